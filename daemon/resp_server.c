/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Questions to a server and orders to it: CONFIG, SLOWLOG, MEMORY, OBJECT, MONITOR and the like. */
#include <config.h>

#include "daemon/resp_conn.h"

#include "base/mem.h"
#include "daemon/log.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* -- CONFIG ----------------------------------------------------------------------------------- */

/*
 * What Redis' own tools and clients ask for. `at`: a number that CONFIG SET changes until the next
 * start or reload; without it the value is fixed, and what it says is true here.
 */
struct setting {
	const char *name, *fixed;
	size_t at; /* in struct resp_settings, plus 1 */
	int64_t lo, hi;
};

#define AT(field) offsetof(struct resp_settings, field) + 1

static const struct setting settings[] = {
        {"appendonly", "no", 0, 0, 0},
        {"appendfsync", "no", 0, 0, 0},
        {"bind", "", 0, 0, 0},
        {"client-query-buffer-limit", NULL, AT(query_bytes), 1048576, INT64_C(1) << 40},
        {"client-output-buffer-limit", "", 0, 0, 0},
        {"cluster-enabled", "no", 0, 0, 0},
        {"daemonize", "no", 0, 0, 0},
        {"databases", "16", 0, 0, 0},
        {"hz", "10", 0, 0, 0},
        {"lua-time-limit", "0", 0, 0, 0},
        {"maxclients", NULL, AT(max_clients), 1, 1000000},
        {"maxmemory", "", 0, 0, 0},
        {"maxmemory-policy", "allkeys-lfu", 0, 0, 0},
        {"notify-keyspace-events", "", 0, 0, 0},
        {"port", "", 0, 0, 0},
        {"proto-max-bulk-len", NULL, AT(bulk_bytes), 1024, BYTES_MAX_VALUE},
        {"replicaof", "", 0, 0, 0},
        {"requirepass", "", 0, 0, 0},
        {"save", "", 0, 0, 0},
        {"slaveof", "", 0, 0, 0},
        {"slowlog-log-slower-than", NULL, AT(slow_us), -1, INT64_MAX},
        {"slowlog-max-len", NULL, AT(slow_len), 0, 100000},
        {"tcp-keepalive", "300", 0, 0, 0},
        {"timeout", NULL, AT(idle_s), 0, INT32_MAX},
        {"unixsocket", "", 0, 0, 0},
};
enum { SETTINGS = sizeof(settings) / sizeof(*settings) };

static int64_t *field_of(struct resp *r, const struct setting *s)
{
	return (int64_t *)((char *)&r->set + s->at - 1);
}

static void setting_text(struct resp *r, const struct setting *s, char *buf, size_t cap)
{
	const struct config *c = r->d->setup->config;

	if (s->at)
		snprintf(buf, cap, "%" PRId64, *field_of(r, s));
	else if (!strcmp(s->name, "port"))
		snprintf(buf, cap, "%d", r->port);
	else if (!strcmp(s->name, "bind"))
		snprintf(buf, cap, "%.*s",
		         (int)(strrchr(c->redis, ':') ? strrchr(c->redis, ':') - c->redis : 0),
		         c->redis);
	else if (!strcmp(s->name, "maxmemory"))
		snprintf(buf, cap, "%.0f", c->segment_bytes);
	else if (!strcmp(s->name, "unixsocket"))
		snprintf(buf, cap, "%s", r->unix_path ? r->unix_path : "");
	else
		snprintf(buf, cap, "%s", s->fixed);
}

static void config_get(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	char text[4200];
	size_t found = 0;

	for (int pass = 0; pass < 2; pass++) {
		if (pass)
			resp_map(c->w, found);
		for (size_t i = 0; i < SETTINGS; i++) {
			bool match = false;

			for (size_t k = 0; k < n && !match; k++)
				match = resp_glob(arg[k], bytes_str(settings[i].name), true);
			found += !pass && match;
			if (!pass || !match)
				continue;
			resp_text(c->w, settings[i].name);
			setting_text(c->r, &settings[i], text, sizeof(text));
			resp_text(c->w, text);
		}
	}
}

static const struct setting *find_setting(struct bytes name)
{
	for (size_t i = 0; i < SETTINGS; i++)
		if (resp_is(name, settings[i].name))
			return &settings[i];
	return NULL;
}

/* The setting of arg[i]; NULL, and an error reply, when there is none or it stands before as well. */
static const struct setting *setting_named(struct resp_conn *c, const struct bytes *arg, size_t i)
{
	const struct setting *s = find_setting(arg[i]);

	if (!s) {
		resp_error(c->w,
		           "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
		           RESP_SHOWN(arg[i]));
		return NULL;
	}
	for (size_t k = 0; k < i; k += 2)
		if (find_setting(arg[k]) == s) {
			resp_error(c->w,
			           "ERR CONFIG SET failed (possibly related to argument '%s') - "
			           "duplicate parameter",
			           s->name);
			return NULL;
		}
	return s;
}

/* Whether the setting can have that value; else it has written an error reply. */
static bool may_be(struct resp_conn *c, const struct setting *s, struct bytes value, int64_t *ret)
{
	char text[4200];

	if (!s->at) {
		setting_text(c->r, s, text, sizeof(text));
		if (bytes_equal(value, bytes_str(text)))
			return true;
		resp_error(c->w,
		           "ERR CONFIG SET failed (possibly related to argument '%s') - can't set "
		           "immutable config: it is set in forecached.conf, or always so here",
		           s->name);
		return false;
	}
	if (resp_int(value, ret) && *ret >= s->lo && *ret <= s->hi)
		return true;
	resp_error(c->w,
	           "ERR CONFIG SET failed (possibly related to argument '%s') - argument must be "
	           "between %" PRId64 " and %" PRId64 " inclusive",
	           s->name, s->lo, s->hi);
	return false;
}

/* All of them, or none: names are looked at first, then values. */
static void config_set(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	const struct setting *s;
	int64_t v = 0;
	size_t i;

	for (i = 0; i < n; i += 2)
		if (!setting_named(c, arg, i))
			return;
	for (i = 0; i < n; i += 2)
		if (!may_be(c, find_setting(arg[i]), arg[i + 1], &v))
			return;
	for (i = 0; i < n; i += 2) {
		s = find_setting(arg[i]);
		if (s->at && resp_int(arg[i + 1], &v))
			*field_of(c->r, s) = v;
	}
	c->r->limits.bulk_bytes = (size_t)c->r->set.bulk_bytes;
	resp_slow_trim(c->r, (size_t)c->r->set.slow_len);
	resp_ok(c);
}

void resp_do_config(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	static const char *const help[] = {"GET <pattern>",
	                                   "    Return parameters matching the glob-like <pattern>.",
	                                   "SET <directive> <value>",
	                                   "    Set the configuration <directive> to <value>.",
	                                   "RESETSTAT",
	                                   "    Reset statistics reported by the INFO command.",
	                                   NULL};

	if (resp_is(arg[1], "get")) {
		if (n < 3)
			resp_wrong_arity(c, "config|get");
		else
			config_get(c, arg + 2, n - 2);
	} else if (resp_is(arg[1], "set")) {
		if (n < 4)
			resp_wrong_arity(c, "config|set");
		else if (n % 2)
			resp_error(c->w, "ERR wrong number of arguments for 'config|set' command");
		else
			config_set(c, arg + 2, n - 2);
	} else if (resp_is(arg[1], "resetstat") && n == 2) {
		struct resp *r = c->r;

		r->n_commands = r->n_connections = r->n_rejected = r->n_hits = r->n_misses = 0;
		r->n_protocol_errors = r->n_cut_output = r->n_error_replies = 0;
		r->bytes_in = r->bytes_out = 0;
		memset(r->calls, 0, resp_n_commands * sizeof(*r->calls));
		resp_ok(c);
	} else if (resp_is(arg[1], "rewrite") && n == 2) {
		resp_error(c->w, "ERR The server is not rewriting its config file: edit "
		                 "forecached.conf, then SIGHUP");
	} else if (resp_is(arg[1], "help")) {
		resp_help(c, "CONFIG", help);
	} else {
		resp_bad_sub(c, "config", arg[1]);
	}
}

/* -- SLOWLOG ---------------------------------------------------------------------------------- */

#define SLOW_ARGS     32
#define SLOW_ARG_SIZE 128

void resp_slow_trim(struct resp *r, size_t keep)
{
	size_t gone = r->slow.n > keep ? r->slow.n - keep : 0;

	for (size_t i = 0; i < gone; i++)
		resp_out_release(&r->slow.v[i].args);
	if (gone) {
		r->slow.n -= gone;
		memmove(r->slow.v, r->slow.v + gone, r->slow.n * sizeof(*r->slow.v));
	}
}

void resp_slow_add(struct resp_conn *c, const struct bytes *arg, size_t n, int64_t took_us)
{
	struct resp *r = c->r;
	struct resp_slow s = {.id = r->next_slow++,
	                      .at_s = resp_wall_ms(c, resp_now(c)) / 1000,
	                      .took_us = took_us,
	                      .n = n < SLOW_ARGS ? n : SLOW_ARGS};
	char text[SLOW_ARG_SIZE + 64];

	if (!r->set.slow_len)
		return;
	for (size_t i = 0; i < s.n; i++) {
		if (n > SLOW_ARGS && i == SLOW_ARGS - 1) {
			snprintf(text, sizeof(text), "... (%zu more arguments)", n - SLOW_ARGS + 1);
			resp_text(&s.args, text);
		} else if (arg[i].n > SLOW_ARG_SIZE) {
			snprintf(text, sizeof(text), "%.*s... (%zu more bytes)", SLOW_ARG_SIZE,
			         (const char *)arg[i].p, arg[i].n - SLOW_ARG_SIZE);
			resp_text(&s.args, text);
		} else {
			resp_bulk(&s.args, arg[i]);
		}
	}
	resp_conn_addr(c, false, s.addr, sizeof(s.addr));
	snprintf(s.name, sizeof(s.name), "%s", c->name ? c->name : "");
	*vec_push(&r->slow) = s;
	resp_slow_trim(r, (size_t)r->set.slow_len);
}

static void slow_get(struct resp_conn *c, size_t most)
{
	struct resp *r = c->r;
	size_t n = r->slow.n < most ? r->slow.n : most;

	resp_array(c->w, n);
	for (size_t i = 0; i < n; i++) {
		const struct resp_slow *s = &r->slow.v[r->slow.n - 1 - i];

		resp_array(c->w, 6);
		resp_number(c->w, (int64_t)s->id);
		resp_number(c->w, s->at_s);
		resp_number(c->w, s->took_us);
		resp_array(c->w, s->n);
		resp_raw(c->w, s->args.p, s->args.n);
		resp_text(c->w, s->addr);
		resp_text(c->w, s->name);
	}
}

void resp_do_slowlog(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	static const char *const help[] = {"GET [<count>]",
	                                   "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
	                                   "    Entries are made of:",
	                                   "    id, timestamp, time in microseconds, arguments array, client IP and port,",
	                                   "    client name",
	                                   "LEN",
	                                   "    Return the length of the slowlog.",
	                                   "RESET",
	                                   "    Reset the slowlog.",
	                                   NULL};
	int64_t most = 10;

	if (resp_is(arg[1], "get") && n <= 3) {
		if (n == 3 && (!resp_int(arg[2], &most) || most < -1)) {
			resp_error(c->w, "ERR count should be greater than or equal to -1");
			return;
		}
		slow_get(c, most < 0 ? SIZE_MAX : (size_t)most);
	} else if (resp_is(arg[1], "len") && n == 2) {
		resp_number(c->w, (int64_t)c->r->slow.n);
	} else if (resp_is(arg[1], "reset") && n == 2) {
		resp_slow_trim(c->r, 0);
		resp_ok(c);
	} else if (resp_is(arg[1], "help")) {
		resp_help(c, "SLOWLOG", help);
	} else {
		resp_bad_sub(c, "slowlog", arg[1]);
	}
}

/* -- LATENCY, MEMORY, OBJECT, ACL ------------------------------------------------------------- */

void resp_do_latency(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	static const char *const help[] = {"LATEST", "    No events are kept: see SLOWLOG.",
	                                   "HISTORY <event>", "    The same.", "RESET [<event> ...]",
	                                   "    The same.", NULL};

	if (resp_is(arg[1], "latest") && n == 2)
		resp_array(c->w, 0);
	else if (resp_is(arg[1], "history") && n == 3)
		resp_array(c->w, 0);
	else if (resp_is(arg[1], "histogram"))
		resp_map(c->w, 0);
	else if (resp_is(arg[1], "reset"))
		resp_number(c->w, 0);
	else if (resp_is(arg[1], "help"))
		resp_help(c, "LATENCY", help);
	else
		resp_bad_sub(c, "latency", arg[1]);
}

void resp_do_memory(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	static const char *const help[] = {"USAGE <key> [SAMPLES <count>]",
	                                   "    Bytes of the segment that key and value take.",
	                                   "STATS", "    Bytes of the segment.", NULL};
	struct store_stats s;
	struct plain_value v;

	if (resp_is(arg[1], "usage") && (n == 3 || (n == 5 && resp_is(arg[3], "samples")))) {
		if (resp_find(c, arg[2], &v))
			resp_number(c->w, (int64_t)store_footprint(c->r->d->store,
			                                           resp_key(c, arg[2]).n, v.value.n));
		else
			resp_null(c->w);
	} else if (resp_is(arg[1], "stats") && n == 2) {
		store_stats(c->r->d->store, &s);
		resp_map(c->w, 4);
		resp_text(c->w, "total.allocated");
		resp_number(c->w, (int64_t)s.bytes_total);
		resp_text(c->w, "dataset.bytes");
		resp_number(c->w, (int64_t)s.bytes_used);
		resp_text(c->w, "keys.count");
		resp_number(c->w, (int64_t)s.entries);
		resp_text(c->w, "keys.bytes-per-key");
		resp_number(c->w, s.entries ? (int64_t)(s.bytes_used / s.entries) : 0);
	} else if (resp_is(arg[1], "doctor") && n == 2) {
		resp_verbatim(c->w, bytes_str("All values are in one segment of memory of a fixed "
		                              "size; see MEMORY STATS."));
	} else if (resp_is(arg[1], "purge") && n == 2) {
		resp_ok(c);
	} else if (resp_is(arg[1], "help")) {
		resp_help(c, "MEMORY", help);
	} else if (resp_is(arg[1], "usage")) {
		resp_syntax(c);
	} else {
		resp_bad_sub(c, "memory", arg[1]);
	}
}

static const char *encoding_of(struct bytes value)
{
	int64_t v;

	return resp_int(value, &v) ? "int" : value.n <= 44 ? "embstr" : "raw";
}

void resp_do_object(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	static const char *const help[] = {
	        "ENCODING <key>", "    Return the kind of internal representation a Redis would use.",
	        "FREQ <key>",     "    Return the logarithm of the learned rate of requests, 0 to 255.",
	        "IDLETIME <key>", "    Return the seconds since the key was last asked for.",
	        "REFCOUNT <key>", "    Return the number of references: 1.", NULL};
	static const char *const subs[] = {"encoding", "freq", "idletime", "refcount"};
	struct plain_value v;
	struct instant last;
	double rate;
	int which = -1;

	for (int i = 0; i < 4; i++)
		if (resp_is(arg[1], subs[i]))
			which = i;
	if (which < 0 && resp_is(arg[1], "help")) {
		resp_help(c, "OBJECT", help);
		return;
	}
	if (which < 0) {
		resp_bad_sub(c, "object", arg[1]);
		return;
	}
	if (n != 3) {
		char full[32];

		snprintf(full, sizeof(full), "object|%s", subs[which]);
		resp_wrong_arity(c, full);
		return;
	}
	if (!resp_find(c, arg[2], &v)) {
		resp_null(c->w);
		return;
	}
	switch (which) {
	case 0:
		/* what is compressed is no number, and not short */
		resp_text(c->w, v.packed ? "raw" : encoding_of(v.value));
		break;
	case 1:
		/* a request a day is 0, one a second 131, a million 255 */
		rate = plain_rate(resp_engine(c), resp_now(c), v.id);
		resp_number(c->w, (int64_t)fmin(fmax(8 * log2(fmax(rate, 1e-9) * 86400), 0), 255));
		break;
	case 2:
		last = plain_last_asked(resp_engine(c), v.id);
		resp_number(c->w, instant_is_set(last)
		                          ? (int64_t)span_s(instant_diff(resp_now(c), last))
		                          : 0);
		break;
	default:
		resp_number(c->w, 1);
	}
}

void resp_do_acl(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	static const char *const help[] = {"CAT", "    List all command categories.", "LIST",
	                                   "    The one user there is.", "USERS",
	                                   "    Its name.", "WHOAMI", "    Its name.", NULL};
	static const char *const categories[] = {"read", "write", "admin", "connection"};

	if (resp_is(arg[1], "whoami") && n == 2) {
		resp_text(c->w, "default");
	} else if (resp_is(arg[1], "users") && n == 2) {
		resp_array(c->w, 1);
		resp_text(c->w, "default");
	} else if (resp_is(arg[1], "list") && n == 2) {
		resp_array(c->w, 1);
		resp_text(c->w, c->r->password ? "user default on ~* &* +@all"
		                               : "user default on nopass ~* &* +@all");
	} else if (resp_is(arg[1], "cat") && n == 2) {
		resp_array(c->w, 4);
		for (int i = 0; i < 4; i++)
			resp_text(c->w, categories[i]);
	} else if (resp_is(arg[1], "help")) {
		resp_help(c, "ACL", help);
	} else {
		resp_bad_sub(c, "acl", arg[1]);
	}
}

/* -- The rest --------------------------------------------------------------------------------- */

void resp_do_time(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	int64_t us = resp_now(c).us + c->r->d->clock.offset.us;
	char text[24];

	(void)arg;
	(void)n;
	resp_array(c->w, 2);
	snprintf(text, sizeof(text), "%" PRId64, us / 1000000);
	resp_text(c->w, text);
	snprintf(text, sizeof(text), "%" PRId64, us % 1000000);
	resp_text(c->w, text);
}

void resp_do_monitor(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	(void)arg;
	(void)n;
	if (!c->monitor)
		c->r->n_monitors++;
	c->monitor = true;
	resp_ok(c);
}

static void add_quoted(struct resp_out *o, struct bytes b)
{
	const unsigned char *s = b.p;
	char text[8];

	resp_raw(o, " \"", 2);
	for (size_t i = 0; i < b.n; i++) {
		const char *e = s[i] == '"'    ? "\\\""
		                : s[i] == '\\' ? "\\\\"
		                : s[i] == '\n' ? "\\n"
		                : s[i] == '\r' ? "\\r"
		                : s[i] == '\t' ? "\\t"
		                : s[i] == '\a' ? "\\a"
		                : s[i] == '\b' ? "\\b"
		                               : NULL;

		if (!e && (s[i] < ' ' || s[i] > '~')) {
			snprintf(text, sizeof(text), "\\x%02x", s[i]);
			e = text;
		}
		if (e)
			resp_raw(o, e, strlen(e));
		else
			resp_raw(o, &s[i], 1);
	}
	resp_raw(o, "\"", 1);
}

void resp_monitor_feed(struct resp *r, const struct resp_conn *from, const struct bytes *arg,
                       size_t n)
{
	int64_t us = clock_now(&r->d->clock).us + r->d->clock.offset.us;
	struct resp_out line = {0};
	char head[160], addr[80];
	int len;

	resp_conn_addr(from, false, addr, sizeof(addr));
	if (from->is_unix)
		snprintf(addr, sizeof(addr), "unix:%.70s", r->unix_path);
	len = snprintf(head, sizeof(head), "+%" PRId64 ".%06" PRId64 " [%u %s]", us / 1000000,
	               us % 1000000, from->db, addr);
	resp_raw(&line, head, (size_t)len);
	for (size_t i = 0; i < n; i++)
		add_quoted(&line, arg[i]);
	resp_raw(&line, "\r\n", 2);
	for (struct resp_conn *c = r->first, *next; c; c = next) {
		next = c->next;
		if (!c->monitor || c == from)
			continue;
		if (c->out.n - c->out_at + line.n > (size_t)r->set.output_bytes) {
			r->n_cut_output++;
			log_line(LOG_NOTICE, "redis_output",
			         "why=\"a MONITOR beyond redis_output_bytes\"");
			resp_conn_close(c);
			continue;
		}
		resp_raw(&c->out, line.p, line.n);
		resp_conn_ready(c);
	}
	resp_out_release(&line);
}

void resp_do_save(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	(void)n;
	/* values are in shared memory and what was learned goes to its file every flush_s */
	if (resp_is(arg[0], "bgsave"))
		resp_simple(c->w, "Background saving started");
	else
		resp_ok(c);
}

void resp_do_lastsave(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	(void)arg;
	(void)n;
	resp_number(c->w, resp_wall_ms(c, resp_now(c)) / 1000);
}

void resp_do_shutdown(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	char addr[80];

	for (size_t i = 1; i < n; i++)
		if (!resp_is(arg[i], "nosave") && !resp_is(arg[i], "save") &&
		    !resp_is(arg[i], "now") && !resp_is(arg[i], "force")) {
			resp_syntax(c);
			return;
		}
	resp_conn_addr(c, false, addr, sizeof(addr));
	log_line(LOG_NOTICE, "redis_shutdown", "peer=%s", addr);
	c->closing = true;
	daemon_drain(c->r->d);
}

void resp_do_debug(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	(void)arg;
	(void)n;
	resp_error(c->w, "ERR DEBUG command not allowed: it would hold up everybody else");
}

void resp_do_role(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	(void)arg;
	(void)n;
	resp_array(c->w, 3);
	resp_text(c->w, "master");
	resp_number(c->w, 0);
	resp_array(c->w, 0);
}

void resp_do_lolwut(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	(void)arg;
	(void)n;
	resp_verbatim(c->w, bytes_str("forecached ver. " PACKAGE_VERSION "\n"));
}
