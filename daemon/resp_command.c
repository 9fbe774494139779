/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The table of commands, how one is found, and COMMAND. */
#include "daemon/resp_conn.h"

#include "base/bug.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
const struct resp_command resp_commands_table[] = {
        {"get", resp_do_get, 2,
         RESP_READONLY | RESP_FAST, 1, 1, 1, "string", "1.0.0",
         "Get the value of a key"},
        {"set", resp_do_set, -3,
         RESP_WRITE | RESP_DENYOOM, 1, 1, 1, "string", "1.0.0",
         "Set the string value of a key"},
        {"setex", resp_do_setex, 4,
         RESP_WRITE | RESP_DENYOOM, 1, 1, 1, "string", "2.0.0",
         "Set the value and expiration of a key"},
        {"psetex", resp_do_psetex, 4,
         RESP_WRITE | RESP_DENYOOM, 1, 1, 1, "string", "2.6.0",
         "Set the value and expiration in milliseconds of a key"},
        {"setnx", resp_do_setnx, 3,
         RESP_WRITE | RESP_DENYOOM | RESP_FAST, 1, 1, 1, "string", "1.0.0",
         "Set the value of a key, only if the key does not exist"},
        {"getset", resp_do_getset, 3,
         RESP_WRITE | RESP_DENYOOM | RESP_FAST, 1, 1, 1, "string", "1.0.0",
         "Set the string value of a key and return its old value"},
        {"getex", resp_do_getex, -2,
         RESP_WRITE | RESP_FAST, 1, 1, 1, "string", "6.2.0",
         "Get the value of a key and optionally set its expiration"},
        {"getdel", resp_do_getdel, 2,
         RESP_WRITE | RESP_FAST, 1, 1, 1, "string", "6.2.0",
         "Get the value of a key and delete the key"},
        {"mget", resp_do_mget, -2,
         RESP_READONLY | RESP_FAST | RESP_TIMED, 1, -1, 1, "string", "1.0.0",
         "Get the values of all the given keys"},
        {"mset", resp_do_mset, -3,
         RESP_WRITE | RESP_DENYOOM | RESP_TIMED, 1, -1, 2, "string", "1.0.1",
         "Set multiple keys to multiple values"},
        {"msetnx", resp_do_msetnx, -3,
         RESP_WRITE | RESP_DENYOOM | RESP_TIMED, 1, -1, 2, "string", "1.0.1",
         "Set multiple keys to multiple values, only if none of the keys exist"},
        {"incr", resp_do_incr, 2,
         RESP_WRITE | RESP_DENYOOM | RESP_FAST, 1, 1, 1, "string", "1.0.0",
         "Increment the integer value of a key by one"},
        {"decr", resp_do_decr, 2,
         RESP_WRITE | RESP_DENYOOM | RESP_FAST, 1, 1, 1, "string", "1.0.0",
         "Decrement the integer value of a key by one"},
        {"incrby", resp_do_incrby, 3,
         RESP_WRITE | RESP_DENYOOM | RESP_FAST, 1, 1, 1, "string", "1.0.0",
         "Increment the integer value of a key by the given amount"},
        {"decrby", resp_do_decrby, 3,
         RESP_WRITE | RESP_DENYOOM | RESP_FAST, 1, 1, 1, "string", "1.0.0",
         "Decrement the integer value of a key by the given number"},
        {"incrbyfloat", resp_do_incrbyfloat, 3,
         RESP_WRITE | RESP_DENYOOM | RESP_FAST, 1, 1, 1, "string", "2.6.0",
         "Increment the float value of a key by the given amount"},
        {"append", resp_do_append, 3,
         RESP_WRITE | RESP_DENYOOM | RESP_FAST, 1, 1, 1, "string", "2.0.0",
         "Append a value to a key"},
        {"strlen", resp_do_strlen, 2,
         RESP_READONLY | RESP_FAST, 1, 1, 1, "string", "2.2.0",
         "Get the length of the value stored in a key"},
        {"getrange", resp_do_getrange, 4,
         RESP_READONLY, 1, 1, 1, "string", "2.4.0",
         "Get a substring of the string stored at a key"},
        {"substr", resp_do_getrange, 4,
         RESP_READONLY, 1, 1, 1, "string", "1.0.0",
         "Get a substring of the string stored at a key"},
        {"setrange", resp_do_setrange, 4,
         RESP_WRITE | RESP_DENYOOM, 1, 1, 1, "string", "2.2.0",
         "Overwrite part of a string at key starting at the specified offset"},
        {"getbit", resp_do_getbit, 3,
         RESP_READONLY | RESP_FAST, 1, 1, 1, "bitmap", "2.2.0",
         "Returns the bit value at offset in the string value stored at key"},
        {"setbit", resp_do_setbit, 4,
         RESP_WRITE | RESP_DENYOOM, 1, 1, 1, "bitmap", "2.2.0",
         "Sets or clears the bit at offset in the string value stored at key"},
        {"del", resp_do_del, -2,
         RESP_WRITE | RESP_TIMED, 1, -1, 1, "generic", "1.0.0",
         "Delete a key"},
        {"unlink", resp_do_del, -2,
         RESP_WRITE | RESP_FAST | RESP_TIMED, 1, -1, 1, "generic", "4.0.0",
         "Delete a key"},
        {"exists", resp_do_exists, -2,
         RESP_READONLY | RESP_FAST, 1, -1, 1, "generic", "1.0.0",
         "Determine if a key exists"},
        {"touch", resp_do_touch, -2,
         RESP_READONLY | RESP_FAST, 1, -1, 1, "generic", "3.2.1",
         "Count an access to keys"},
        {"type", resp_do_type, 2,
         RESP_READONLY | RESP_FAST, 1, 1, 1, "generic", "1.0.0",
         "Determine the type stored at key"},
        {"expire", resp_do_expire, -3,
         RESP_WRITE | RESP_FAST, 1, 1, 1, "generic", "1.0.0",
         "Set a key's time to live in seconds"},
        {"pexpire", resp_do_pexpire, -3,
         RESP_WRITE | RESP_FAST, 1, 1, 1, "generic", "2.6.0",
         "Set a key's time to live in milliseconds"},
        {"expireat", resp_do_expireat, -3,
         RESP_WRITE | RESP_FAST, 1, 1, 1, "generic", "1.2.0",
         "Set the expiration for a key as a UNIX timestamp"},
        {"pexpireat", resp_do_pexpireat, -3,
         RESP_WRITE | RESP_FAST, 1, 1, 1, "generic", "2.6.0",
         "Set the expiration for a key as a UNIX timestamp specified in milliseconds"},
        {"ttl", resp_do_ttl, 2,
         RESP_READONLY | RESP_FAST, 1, 1, 1, "generic", "1.0.0",
         "Get the time to live for a key in seconds"},
        {"pttl", resp_do_pttl, 2,
         RESP_READONLY | RESP_FAST, 1, 1, 1, "generic", "2.6.0",
         "Get the time to live for a key in milliseconds"},
        {"expiretime", resp_do_expiretime, 2,
         RESP_READONLY | RESP_FAST, 1, 1, 1, "generic", "7.0.0",
         "Get the expiration Unix timestamp for a key"},
        {"pexpiretime", resp_do_pexpiretime, 2,
         RESP_READONLY | RESP_FAST, 1, 1, 1, "generic", "7.0.0",
         "Get the expiration Unix timestamp for a key in milliseconds"},
        {"persist", resp_do_persist, 2,
         RESP_WRITE | RESP_FAST, 1, 1, 1, "generic", "2.2.0",
         "Remove the expiration from a key"},
        {"rename", resp_do_rename, 3,
         RESP_WRITE, 1, 2, 1, "generic", "1.0.0",
         "Rename a key"},
        {"renamenx", resp_do_renamenx, 3,
         RESP_WRITE | RESP_FAST, 1, 2, 1, "generic", "1.0.0",
         "Rename a key, only if the new key does not exist"},
        {"copy", resp_do_copy, -3,
         RESP_WRITE | RESP_DENYOOM, 1, 2, 1, "generic", "6.2.0",
         "Copy a key"},
        {"move", resp_do_move, 3,
         RESP_WRITE | RESP_FAST, 1, 1, 1, "generic", "1.0.0",
         "Move a key to another database"},
        {"scan", resp_do_scan, -2,
         RESP_READONLY | RESP_TIMED, 0, 0, 0, "generic", "2.8.0",
         "Incrementally iterate the keys space"},
        {"keys", resp_do_keys, 2,
         RESP_READONLY | RESP_TIMED, 0, 0, 0, "generic", "1.0.0",
         "Find all keys matching the given pattern"},
        {"randomkey", resp_do_randomkey, 1,
         RESP_READONLY, 0, 0, 0, "generic", "1.0.0",
         "Return a random key from the keyspace"},
        {"dbsize", resp_do_dbsize, 1,
         RESP_READONLY | RESP_FAST, 0, 0, 0, "server", "1.0.0",
         "Return the number of keys in the selected database"},
        {"flushdb", resp_do_flushdb, -1,
         RESP_WRITE | RESP_TIMED, 0, 0, 0, "server", "1.0.0",
         "Remove all keys from the current database"},
        {"flushall", resp_do_flushall, -1,
         RESP_WRITE | RESP_TIMED, 0, 0, 0, "server", "1.0.0",
         "Remove all keys from all databases"},
        {"object", resp_do_object, -2,
         RESP_PARENT | RESP_READONLY, 2, 2, 1, "generic", "2.2.3",
         "A container for object introspection commands"},
        {"multi", resp_do_multi, 1,
         RESP_NOSCRIPT | RESP_LOADING | RESP_STALE | RESP_FAST | RESP_AT_ONCE, 0, 0, 0, "transactions", "1.2.0",
         "Mark the start of a transaction block"},
        {"exec", resp_do_exec, 1,
         RESP_NOSCRIPT | RESP_LOADING | RESP_STALE | RESP_AT_ONCE | RESP_TIMED | RESP_SKIP_MONITOR, 0, 0, 0, "transactions", "1.2.0",
         "Execute all commands issued after MULTI"},
        {"discard", resp_do_discard, 1,
         RESP_NOSCRIPT | RESP_LOADING | RESP_STALE | RESP_FAST | RESP_AT_ONCE, 0, 0, 0, "transactions", "2.0.0",
         "Discard all commands issued after MULTI"},
        {"watch", resp_do_watch, -2,
         RESP_NOSCRIPT | RESP_LOADING | RESP_STALE | RESP_FAST | RESP_AT_ONCE, 1, -1, 1, "transactions", "2.2.0",
         "Watch the given keys to determine execution of the MULTI/EXEC block"},
        {"unwatch", resp_do_unwatch, 1,
         RESP_NOSCRIPT | RESP_LOADING | RESP_STALE | RESP_FAST, 0, 0, 0, "transactions", "2.2.0",
         "Forget about all watched keys"},
        {"ping", resp_do_ping, -1,
         RESP_FAST, 0, 0, 0, "connection", "1.0.0",
         "Ping the server"},
        {"echo", resp_do_echo, 2,
         RESP_LOADING | RESP_STALE | RESP_FAST, 0, 0, 0, "connection", "1.0.0",
         "Echo the given string"},
        {"quit", resp_do_quit, -1,
         RESP_NOSCRIPT | RESP_LOADING | RESP_STALE | RESP_FAST | RESP_NO_AUTH | RESP_AT_ONCE, 0, 0, 0, "connection", "1.0.0",
         "Close the connection"},
        {"hello", resp_do_hello, -1,
         RESP_NOSCRIPT | RESP_LOADING | RESP_STALE | RESP_FAST | RESP_NO_AUTH | RESP_SKIP_MONITOR, 0, 0, 0, "connection", "6.0.0",
         "Handshake with the server"},
        {"auth", resp_do_auth, -2,
         RESP_NOSCRIPT | RESP_LOADING | RESP_STALE | RESP_FAST | RESP_NO_AUTH | RESP_SKIP_MONITOR, 0, 0, 0, "connection", "1.0.0",
         "Authenticate to the server"},
        {"select", resp_do_select, 2,
         RESP_LOADING | RESP_STALE | RESP_FAST, 0, 0, 0, "connection", "1.0.0",
         "Change the selected database for the current connection"},
        {"client", resp_do_client, -2,
         RESP_PARENT | RESP_NOSCRIPT | RESP_LOADING | RESP_STALE, 0, 0, 0, "connection", "2.4.0",
         "A container for client connection commands"},
        {"reset", resp_do_reset, 1,
         RESP_NOSCRIPT | RESP_LOADING | RESP_STALE | RESP_FAST | RESP_NO_AUTH | RESP_AT_ONCE, 0, 0, 0, "connection", "6.2.0",
         "Reset the connection"},
        {"command", resp_do_command, -1,
         RESP_PARENT | RESP_LOADING | RESP_STALE, 0, 0, 0, "server", "2.8.13",
         "Get array of command details"},
        {"config", resp_do_config, -2,
         RESP_PARENT | RESP_ADMIN | RESP_NOSCRIPT | RESP_LOADING | RESP_STALE | RESP_SKIP_MONITOR, 0, 0, 0, "server", "2.0.0",
         "A container for server configuration commands"},
        {"info", resp_do_info, -1,
         RESP_LOADING | RESP_STALE, 0, 0, 0, "server", "1.0.0",
         "Get information and statistics about the server"},
        {"slowlog", resp_do_slowlog, -2,
         RESP_PARENT | RESP_ADMIN | RESP_LOADING | RESP_STALE, 0, 0, 0, "server", "2.2.12",
         "A container for slow log commands"},
        {"latency", resp_do_latency, -2,
         RESP_PARENT | RESP_ADMIN | RESP_NOSCRIPT | RESP_LOADING | RESP_STALE, 0, 0, 0, "server", "2.8.13",
         "A container for latency diagnostics commands"},
        {"memory", resp_do_memory, -2,
         RESP_PARENT | RESP_READONLY, 0, 0, 0, "server", "4.0.0",
         "A container for memory diagnostics commands"},
        {"acl", resp_do_acl, -2,
         RESP_PARENT | RESP_NOSCRIPT | RESP_LOADING | RESP_STALE, 0, 0, 0, "server", "6.0.0",
         "A container for Access List Control commands"},
        {"time", resp_do_time, 1,
         RESP_LOADING | RESP_STALE | RESP_FAST, 0, 0, 0, "server", "2.6.0",
         "Return the current server time"},
        {"monitor", resp_do_monitor, 1,
         RESP_ADMIN | RESP_NOSCRIPT | RESP_LOADING | RESP_STALE | RESP_NO_MULTI, 0, 0, 0, "server", "1.0.0",
         "Listen for all requests received by the server in real time"},
        {"save", resp_do_save, 1,
         RESP_ADMIN | RESP_NOSCRIPT | RESP_NO_MULTI, 0, 0, 0, "server", "1.0.0",
         "Hand what was learned to its file"},
        {"bgsave", resp_do_save, -1,
         RESP_ADMIN | RESP_NOSCRIPT, 0, 0, 0, "server", "1.0.0",
         "Hand what was learned to its file"},
        {"lastsave", resp_do_lastsave, 1,
         RESP_LOADING | RESP_STALE | RESP_FAST, 0, 0, 0, "server", "1.0.0",
         "When the server was started: values are in shared memory all the time"},
        {"shutdown", resp_do_shutdown, -1,
         RESP_ADMIN | RESP_NOSCRIPT | RESP_LOADING | RESP_STALE | RESP_NO_MULTI, 0, 0, 0, "server", "1.0.0",
         "Stop the daemon in order"},
        {"debug", resp_do_debug, -2,
         RESP_ADMIN | RESP_NOSCRIPT | RESP_LOADING | RESP_STALE, 0, 0, 0, "server", "1.0.0",
         "SLEEP, where the configuration allows it"},
        {"role", resp_do_role, 1,
         RESP_NOSCRIPT | RESP_LOADING | RESP_STALE | RESP_FAST, 0, 0, 0, "server", "2.8.12",
         "Return the role of the instance in the context of replication"},
        {"lolwut", resp_do_lolwut, -1,
         RESP_READONLY | RESP_FAST, 0, 0, 0, "server", "5.0.0",
         "Say which version this is"},
        {"eval", resp_do_eval, -3,
         RESP_NOSCRIPT | RESP_TIMED | RESP_MOVABLE, 0, 0, 0, "scripting", "2.6.0",
         "Run a script of a lock library that is known by its text"},
        {"evalsha", resp_do_evalsha, -3,
         RESP_NOSCRIPT | RESP_TIMED | RESP_MOVABLE, 0, 0, 0, "scripting", "2.6.0",
         "Run a script that was loaded"},
        {"script", resp_do_script, -2,
         RESP_PARENT | RESP_NOSCRIPT, 0, 0, 0, "scripting", "2.6.0",
         "A container for Lua scripts management commands"},
        {"function", resp_do_function, -2,
         RESP_PARENT | RESP_NOSCRIPT, 0, 0, 0, "scripting", "7.0.0",
         "A container for function commands: there are none"},
        {"post", resp_do_crossprotocol, -1,
         RESP_NO_AUTH, 0, 0, 0, "connection", "1.0.0",
         "Not a command: HTTP"},
        {"host:", resp_do_crossprotocol, -1,
         RESP_NO_AUTH, 0, 0, 0, "connection", "1.0.0",
         "Not a command: HTTP"},
        {"fc.why", resp_do_fc_why, 2,
         RESP_READONLY | RESP_TIMED, 1, 1, 1, "forecached", "0.1.0",
         "Why the TTL of a key or endpoint is what it is"},
        {"fc.ttls", resp_do_fc_ttls, -1,
         RESP_READONLY | RESP_TIMED, 0, 0, 0, "forecached", "0.1.0",
         "Learned TTLs of endpoints, or of the keys of one"},
        {"fc.forecast", resp_do_fc_forecast, -2,
         RESP_READONLY | RESP_TIMED, 0, 0, 0, "forecached", "0.1.0",
         "Forecast of the requests of an endpoint"},
        {"fc.prewarm", resp_do_fc_prewarm, -2,
         RESP_WRITE | RESP_TIMED, 0, 0, 0, "forecached", "0.1.0",
         "Load what matches a pattern now"},
};
/* clang-format on */
const size_t resp_n_commands = sizeof(resp_commands_table) / sizeof(*resp_commands_table);

/* -- Finding one ------------------------------------------------------------------------------ */

/*
 * A table four times as large as there are commands, by a hash of the folded name: nearly always
 * the first look finds it.
 */
#define SLOTS    512u
#define NAME_MAX_BYTES 16u

static struct slot {
	char name[NAME_MAX_BYTES]; /* in lower case, padded with zeros */
	const struct resp_command *command;
} slot[SLOTS];

/* In lower case, padded with zeros, as two numbers. False: longer than any command. */
static bool fold(struct bytes name, uint64_t w[2])
{
	const unsigned char *s = name.p;
	unsigned char b[NAME_MAX_BYTES] = {0};

	if (!name.n || name.n > NAME_MAX_BYTES)
		return false;
	for (size_t i = 0; i < name.n; i++)
		b[i] = (unsigned char)(s[i] >= 'A' && s[i] <= 'Z' ? s[i] + 32 : s[i]);
	memcpy(w, b, sizeof(b));
	return true;
}

static unsigned place(const uint64_t w[2])
{
	uint64_t h = (w[0] ^ w[1] * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xd6e8feb86659fd93);

	return (unsigned)(h >> 40) % SLOTS;
}

void resp_command_init(void)
{
	uint64_t w[2];

	if (slot[0].command || slot[SLOTS - 1].command)
		return;
	memset(slot, 0, sizeof(slot));
	for (size_t i = 0; i < resp_n_commands; i++) {
		unsigned at;

		BUG_ON(!fold(bytes_str(resp_commands_table[i].name), w));
		for (at = place(w); slot[at].command; at = (at + 1) % SLOTS)
			;
		memcpy(slot[at].name, w, sizeof(w));
		slot[at].command = &resp_commands_table[i];
	}
}

const struct resp_command *resp_command_find(struct bytes name)
{
	uint64_t w[2];

	if (!fold(name, w))
		return NULL;
	for (unsigned at = place(w); slot[at].command; at = (at + 1) % SLOTS)
		if (!memcmp(slot[at].name, w, sizeof(w)))
			return slot[at].command;
	return NULL;
}

/* -- Subcommands ------------------------------------------------------------------------------ */

static const struct sub {
	const char *command, *name;
	int arity;
} subs[] = {
        {"acl", "cat", -2},         {"acl", "help", 2},         {"acl", "list", 2},
        {"acl", "users", 2},        {"acl", "whoami", 2},       {"client", "getname", 2},
        {"client", "getredir", 2},  {"client", "help", 2},      {"client", "id", 2},
        {"client", "info", 2},      {"client", "kill", -3},     {"client", "list", -2},
        {"client", "no-evict", 3},  {"client", "no-touch", 3},  {"client", "pause", -3},
        {"client", "reply", 3},     {"client", "setinfo", 4},   {"client", "setname", 3},
        {"client", "unblock", -3},  {"client", "unpause", 2},   {"command", "count", 2},
        {"command", "docs", -2},    {"command", "getkeys", -4}, {"command", "help", 2},
        {"command", "info", -2},    {"command", "list", -2},    {"config", "get", -3},
        {"config", "help", 2},      {"config", "resetstat", 2}, {"config", "rewrite", 2},
        {"config", "set", -4},      {"latency", "help", 2},     {"latency", "histogram", -2},
        {"latency", "history", 3},  {"latency", "latest", 2},   {"latency", "reset", -2},
        {"function", "flush", -2},  {"function", "help", 2},    {"function", "list", -2},
        {"memory", "doctor", 2},    {"memory", "help", 2},      {"memory", "purge", 2},
        {"memory", "stats", 2},     {"memory", "usage", -3},    {"object", "encoding", 3},
        {"object", "freq", 3},      {"object", "help", 2},      {"object", "idletime", 3},
        {"object", "refcount", 3},  {"script", "exists", -3},   {"script", "flush", -2},
        {"script", "help", 2},      {"script", "load", 3},      {"slowlog", "get", -2},
        {"slowlog", "help", 2},     {"slowlog", "len", 2},      {"slowlog", "reset", 2},
};

bool resp_command_sub(struct resp_conn *c, const struct resp_command *k, const struct bytes *arg,
                      size_t n)
{
	char full[48];

	for (size_t i = 0; i < sizeof(subs) / sizeof(*subs); i++) {
		const struct sub *s = &subs[i];

		if (strcmp(s->command, k->name) || !resp_is(arg[1], s->name))
			continue;
		c->sub = s->name;
		if ((s->arity > 0 && (size_t)s->arity == n) ||
		    (s->arity < 0 && n >= (size_t)-s->arity))
			return true;
		snprintf(full, sizeof(full), "%s|%s", k->name, s->name);
		resp_wrong_arity(c, full);
		return false;
	}
	resp_unknown_sub(c, k->name, arg[1]);
	return false;
}

/* -- COMMAND ---------------------------------------------------------------------------------- */

static bool is_hidden(const struct resp_command *k)
{
	return k->fn == resp_do_crossprotocol;
}

static void write_flags(struct resp_conn *c, unsigned flags)
{
	static const struct {
		unsigned flag;
		const char *name;
	} names[] = {{RESP_WRITE, "write"},       {RESP_READONLY, "readonly"},
	             {RESP_DENYOOM, "denyoom"},   {RESP_ADMIN, "admin"},
	             {RESP_NOSCRIPT, "noscript"}, {RESP_LOADING, "loading"},
	             {RESP_STALE, "stale"},       {RESP_FAST, "fast"},
	             {RESP_NO_AUTH, "no_auth"},   {RESP_NO_MULTI, "no_multi"},
	             {RESP_MOVABLE, "movablekeys"}, {RESP_SKIP_MONITOR, "skip_monitor"}};
	size_t n = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		n += (flags & names[i].flag) != 0;
	resp_set(c->w, n);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (flags & names[i].flag)
			resp_simple(c->w, names[i].name);
}

static void write_info(struct resp_conn *c, const struct resp_command *k)
{
	resp_array(c->w, 10);
	resp_text(c->w, k->name);
	resp_number(c->w, k->arity);
	write_flags(c, k->flags);
	resp_number(c->w, k->first);
	resp_number(c->w, k->last);
	resp_number(c->w, k->step);
	resp_set(c->w, 1);
	resp_simple(c->w, k->flags & RESP_WRITE      ? "@write"
	                  : k->flags & RESP_READONLY ? "@read"
	                  : k->flags & RESP_ADMIN    ? "@admin"
	                                             : "@connection");
	resp_array(c->w, 0); /* tips */
	resp_array(c->w, 0); /* key specifications */
	resp_array(c->w, 0); /* subcommands */
}

static size_t shown(void)
{
	size_t n = 0;

	for (size_t i = 0; i < resp_n_commands; i++)
		n += !is_hidden(&resp_commands_table[i]);
	return n;
}

static void write_doc(struct resp_conn *c, const struct resp_command *k)
{
	resp_text(c->w, k->name);
	resp_map(c->w, 3);
	resp_text(c->w, "summary");
	resp_text(c->w, k->summary);
	resp_text(c->w, "since");
	resp_text(c->w, k->since);
	resp_text(c->w, "group");
	resp_text(c->w, k->group);
}

static const struct resp_command *shown_find(struct bytes name)
{
	const struct resp_command *k = resp_command_find(name);

	return k && !is_hidden(k) ? k : NULL;
}

static void docs(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	size_t known = 0;

	for (size_t i = 2; i < n; i++)
		known += shown_find(arg[i]) != NULL;
	resp_map(c->w, n == 2 ? shown() : known);
	if (n == 2)
		for (size_t i = 0; i < resp_n_commands; i++)
			if (!is_hidden(&resp_commands_table[i]))
				write_doc(c, &resp_commands_table[i]);
	for (size_t i = 2; i < n; i++)
		if (shown_find(arg[i]))
			write_doc(c, shown_find(arg[i]));
}

static void all(struct resp_conn *c)
{
	resp_array(c->w, shown());
	for (size_t i = 0; i < resp_n_commands; i++)
		if (!is_hidden(&resp_commands_table[i]))
			write_info(c, &resp_commands_table[i]);
}

static void infos(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	if (n == 2) {
		all(c);
		return;
	}
	resp_array(c->w, n - 2);
	for (size_t i = 2; i < n; i++) {
		const struct resp_command *k = shown_find(arg[i]);

		if (k)
			write_info(c, k);
		else
			resp_null_array(c->w);
	}
}

/* COMMAND LIST [FILTERBY PATTERN pattern] */
static void list(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct bytes pattern = bytes_str("*");
	size_t found = 0;

	if (n == 5 && resp_is(arg[2], "filterby") && resp_is(arg[3], "pattern")) {
		pattern = arg[4];
	} else if (n != 2) {
		resp_syntax(c);
		return;
	}
	for (int pass = 0; pass < 2; pass++) {
		if (pass)
			resp_array(c->w, found);
		for (size_t i = 0; i < resp_n_commands; i++) {
			const struct resp_command *k = &resp_commands_table[i];

			if (is_hidden(k) || !resp_glob(pattern, bytes_str(k->name), true))
				continue;
			found++;
			if (pass)
				resp_text(c->w, k->name);
		}
	}
}

static void get_keys(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	const struct resp_command *k = shown_find(arg[0]);
	int64_t keys;

	if (!k) {
		resp_error(c->w, "ERR Invalid command specified");
		return;
	}
	if ((k->arity > 0 && (size_t)k->arity != n) || n < (size_t)abs(k->arity)) {
		resp_error(c->w, "ERR Invalid number of arguments specified for command");
		return;
	}
	if (k->flags & RESP_MOVABLE) { /* EVAL text count key ... */
		if (!resp_int(arg[2], &keys) || keys <= 0 || (uint64_t)keys > n - 3) {
			resp_error(c->w, "ERR The command has no key arguments");
			return;
		}
		resp_array(c->w, (size_t)keys);
		for (int64_t i = 0; i < keys; i++)
			resp_bulk(c->w, arg[3 + i]);
		return;
	}
	if (!k->first) {
		resp_error(c->w, "ERR The command has no key arguments");
		return;
	}
	for (int pass = 0, found = 0; pass < 2; pass++) {
		size_t last = k->last < 0 ? n - (size_t)-k->last : (size_t)k->last;

		if (pass)
			resp_array(c->w, (size_t)found);
		for (size_t i = (size_t)k->first; i <= last && i < n; i += (size_t)k->step) {
			found++;
			if (pass)
				resp_bulk(c->w, arg[i]);
		}
	}
}

void resp_do_command(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	static const char *const help[] = {"(no subcommand)",
	                                   "    Return details about all commands.",
	                                   "COUNT",
	                                   "    Return the total number of commands.",
	                                   "DOCS [<command-name> ...]",
	                                   "    Return documentation details about commands.",
	                                   "GETKEYS <full-command>",
	                                   "    Return the keys from a full command.",
	                                   "INFO [<command-name> ...]",
	                                   "    Return details about commands.",
	                                   "LIST [FILTERBY PATTERN <pattern>]",
	                                   "    Return the names of commands.",
	                                   NULL};

	if (n == 1)
		all(c);
	else if (resp_is(arg[1], "docs"))
		docs(c, arg, n);
	else if (resp_is(arg[1], "info"))
		infos(c, arg, n);
	else if (resp_is(arg[1], "count") && n == 2)
		resp_number(c->w, (int64_t)shown());
	else if (resp_is(arg[1], "list"))
		list(c, arg, n);
	else if (resp_is(arg[1], "getkeys") && n > 2)
		get_keys(c, arg + 2, n - 2);
	else if (resp_is(arg[1], "help"))
		resp_help(c, "COMMAND", help);
	else if (resp_is(arg[1], "getkeys"))
		resp_wrong_arity(c, "command|getkeys");
	else
		resp_bad_sub(c, "command", arg[1]);
}
