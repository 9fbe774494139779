/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The listener for Redis clients from the inside: its state, a connection's state, and what the
 * files named in resp.h have of each other.
 *
 * HOW IT WORKS when a connection is readable it is read once, into a buffer that all share; each
 * command in there is carried out on the spot, its arguments being views into that buffer; its
 * replies go into a buffer that all share, too, and are written with one call when all that were
 * readable in this turn have been served. Only what is left over, a request in parts or a reply
 * that the peer does not take, gets memory of the connection's own. A connection whose peer does
 * not read is not read from either, so it cannot pile up replies; one reply above the cap ends it.
 *
 * A command that has to wait (for a load, or a KEYS over many keys) sets c->waits; nothing more of
 * that connection is looked at until it is cleared and the connection is put on the ready list.
 *
 * INVARIANTS handlers run one at a time and never block. A connection that waits for a ticket is
 * not freed before the ticket is answered.
 */
#ifndef FORECACHED_DAEMON_RESP_CONN_H
#define FORECACHED_DAEMON_RESP_CONN_H

#include "base/vec.h"
#include "daemon/acceptor.h"
#include "daemon/daemon.h"
#include "daemon/resp.h"
#include "daemon/resp_miss.h"
#include "engine/plain.h"
#include "proto/resp.h"

struct resp_conn;

/* arg[0] is the command; n counts it. Writes one reply into c->w. */
typedef void resp_fn(struct resp_conn *c, const struct bytes *arg, size_t n);

enum resp_flag {
	RESP_WRITE = 1 << 0,
	RESP_READONLY = 1 << 1,
	RESP_DENYOOM = 1 << 2,
	RESP_ADMIN = 1 << 3,
	RESP_NOSCRIPT = 1 << 4,
	RESP_LOADING = 1 << 5,
	RESP_STALE = 1 << 6,
	RESP_FAST = 1 << 7,
	RESP_NO_AUTH = 1 << 8,
	RESP_NO_MULTI = 1 << 9,
	RESP_MOVABLE = 1 << 10,
	RESP_SKIP_MONITOR = 1 << 11,
	/* ours: */
	RESP_AT_ONCE = 1 << 12, /* not queued by MULTI */
	RESP_TIMED = 1 << 13,   /* may take long: for the slow log, and the share of a turn */
	RESP_PARENT = 1 << 14,  /* its first argument is a subcommand */
};

struct resp_command {
	const char *name; /* in lower case; "client|list" for a subcommand */
	resp_fn *fn;
	int arity; /* n of the handler; negative: at least so many */
	unsigned flags;
	int first, last, step; /* where the keys are; 0: nowhere */
	const char *group, *since, *summary;
};

/* What happened under a connection's MULTI. */
enum resp_multi { RESP_PLAIN, RESP_QUEUING, RESP_DOOMED };

enum resp_reply { RESP_REPLY_ON, RESP_REPLY_OFF, RESP_REPLY_SKIP_NEXT, RESP_REPLY_SKIP };

struct resp_queued {
	const struct resp_command *command;
	struct bytes *arg; /* one piece of memory with the bytes behind it */
	size_t n;
};

struct resp_watch {
	uint32_t id;
	bool existed;
	struct bytes key; /* ours */
};

struct resp_job;  /* resp_scan.c: a KEYS that is under way */
struct resp_owed; /* resp_owed.c: values that the last reply waits for */

struct resp_conn {
	struct resp *r;
	struct resp_conn *prev, *next;
	int fd;
	uint64_t id;
	uint32_t events; /* that the loop watches for */
	uint8_t db;
	uint8_t multi; /* enum resp_multi */
	uint8_t reply; /* enum resp_reply */
	bool trusted;  /* has said the password, or there is none */
	bool is_unix, monitor, no_evict, no_touch;
	bool waits;    /* for a ticket or a job: nothing more is carried out */
	bool closing;  /* once all replies are written */
	bool dead;     /* closed; freed when nothing refers to it any more */
	bool on_ready; /* is in r->ready */
	bool batched;  /* is in r->batch */
	bool held_back; /* its next request, by CLIENT PAUSE or by flushes under way */
	bool placing;   /* the value of its next request is on its way into its place */
	bool stalled;  /* stopped between two commands: its share of the turn is spent, or the peer did not
	                * take its replies */
	bool mute;     /* CLIENT REPLY: the command that is carried out, or waits, is not answered */
	bool flushes;  /* waits until all that it flushed is out of the store */
	bool holds;    /* its reply is there and not to be written yet: of an EXEC that flushed, or with
	                * values that are owed */
	bool in_exec, dirty;
	uint32_t tickets; /* yet to be answered */
	struct resp_parser parser;
	char *in; /* what has been read and not carried out: from in_at to in_n */
	size_t in_at, in_n, in_cap;
	struct resp_out *w;  /* where replies go right now: r->out or out */
	size_t from, to;     /* its share of r->out, older than what is in out */
	struct resp_out out; /* what the peer has not taken: from out_at */
	size_t out_at;
	int64_t born_us, last_us; /* CLOCK_BOOTTIME */
	const struct resp_command *last;
	const char *sub; /* of the last command: its subcommand, in lower case */
	char *name, *lib_name, *lib_version;
	VEC(struct resp_queued) queue;
	size_t queued_bytes;
	unsigned queued_flushes;
	uint64_t looked; /* keys at which KEYS in the EXEC that is carried out has looked */
	VEC(struct resp_watch) watch;
	struct resp_job *job;
	struct resp_owed *owed;
	struct large_value *placed; /* ... and is there: while that request is carried out */
	struct misses misses; /* that it may be about to fill; keys as resp_key_shown() */
	uint64_t bytes_in, bytes_out;
};

struct resp_slow {
	uint64_t id;
	int64_t at_s, took_us;
	struct resp_out args; /* as RESP: an array of bulk strings */
	size_t n;
	char addr[80], name[64];
};

/* Settings that CONFIG SET changes. */
struct resp_settings {
	int64_t slow_us, slow_len;
	int64_t max_clients, idle_s, bulk_bytes, query_bytes, output_bytes, misses;
};

/* The server that clients take this one for: what is here is what they find in it. */
#define RESP_REDIS_VERSION "7.0.15"

#define RESP_KEYS 4 /* composed names of keys that are alive at once */
#define RESP_READ_BYTES (256 * 1024)

struct resp {
	struct daemon *d;
	struct acceptor tcp, unix_socket;
	char *unix_path, *password;
	int port;
	struct resp_conn *first; /* of all connections */
	size_t n_conns;
	uint64_t next_id;
	VEC(struct resp_conn *) ready; /* to be gone on with at the end of the turn */
	VEC(struct resp_conn *) batch; /* have replies in out that are yet to be written */
	VEC(uint64_t) lost;            /* leases of connections that were closed, or forgot them */
	size_t n_watching, n_monitors, n_jobs;
	struct resp_limits limits;
	struct resp_settings set;
	struct resp_out out;            /* replies of this turn, one connection's behind the other's */
	struct resp_out text;           /* for putting texts together */
	char *key[RESP_KEYS];           /* composed names */
	size_t key_cap[RESP_KEYS];
	unsigned next_key;
	struct loop_timer idle, learn, go_on, pause;
	bool learning;                  /* the timer is set */
	bool flushing;                  /* connections wait for a flush */
	int64_t paused_until_us;        /* CLIENT PAUSE */
	bool pause_all;
	VEC(struct resp_slow) slow; /* oldest first */
	uint64_t next_slow;
	uint64_t *calls; /* by command, in the order of the table */
	int64_t timed_us;        /* what all commands with RESP_TIMED took; those within EXEC count twice */
	uint64_t share_ns;       /* what had been decoded, and these had taken, when ... */
	int64_t share_us;        /* ... the turn of this connection began */
	uint64_t n_commands, n_connections, n_rejected, n_hits, n_misses, n_expired_lookups;
	uint64_t n_protocol_errors, n_cut_output, n_error_replies;
	uint64_t bytes_in, bytes_out;
	uint32_t scripts; /* bits: known scripts that somebody has loaded */
	char script_name[8][41];
	uint64_t ops_per_s, ops_at_look;
	int64_t started_us; /* CLOCK_BOOTTIME */
	char run_id[41];
	char read[RESP_READ_BYTES];
};

/* -- resp_conn.c ------------------------------------------------------------------------------ */

void resp_conn_setup(struct resp *r);
void resp_conn_teardown(struct resp *r);
void resp_conn_open(struct resp *r, int fd, bool is_unix);
/* Closes it now; the memory goes when nothing refers to it any more. */
void resp_conn_close(struct resp_conn *c);
/* Writes the replies of this turn. */
void resp_conn_write_all(struct resp *r);
/* What it waited for is there: to be gone on with at the end of this turn. */
void resp_conn_ready(struct resp_conn *c);
void resp_conn_ready_all(struct resp *r);
/* Carries out a command; `name` etc. as in a handler. For EXEC and scripts. */
void resp_call(struct resp_conn *c, const struct resp_command *k, const struct bytes *arg, size_t n);
/* "127.0.0.1:54321", or the path of the unix socket with ":0". */
void resp_conn_addr(const struct resp_conn *c, bool own, char *buf, size_t cap);

/*
 * What one connection has of a turn of the loop for what takes long: commands with RESP_TIMED, and
 * decoding. Once that is spent it goes on in the next turn.
 */
void resp_share_begin(struct resp *r);
bool resp_share_is_spent(const struct resp *r);

/* -- resp_handler.c --------------------------------------------------------------------------- */

static inline struct engine *resp_engine(const struct resp_conn *c)
{
	return c->r->d->engine;
}

/*
 * Behind the reply to a command that had waited: takes it back from `before`, where c->w ended, if
 * its client wants none.
 */
static inline void resp_late(struct resp_conn *c, size_t before)
{
	if (c->mute)
		c->w->n = before;
}

static inline struct instant resp_now(const struct resp_conn *c)
{
	return clock_now(&c->r->d->clock);
}

/* The instant as the milliseconds since 1970 that the client's clock shows then, and back. */
int64_t resp_wall_ms(const struct resp_conn *c, struct instant t);
struct instant resp_from_wall_ms(const struct resp_conn *c, int64_t ms);

/* The key's name in the cache: valid for the next RESP_KEYS - 1 calls. */
struct bytes resp_key_in(struct resp_conn *c, unsigned db, struct bytes key);
static inline struct bytes resp_key(struct resp_conn *c, struct bytes key)
{
	if (!c->db && (key.n < 3 || *(const char *)key.p != '@'))
		return key;
	return resp_key_in(c, c->db, key);
}
/* And back. */
struct bytes resp_key_shown(struct bytes key);

static inline bool resp_find(struct resp_conn *c, struct bytes key, struct plain_value *ret)
{
	return plain_find(resp_engine(c), resp_now(c), resp_key(c, key), ret);
}

/* The same with its bytes, which are kept compressed perhaps: v.value is what was set. */
bool resp_find_value(struct resp_conn *c, struct bytes key, struct plain_value *ret);
/* Makes that of what else was found. False: it is damaged, and so not there. */
bool resp_unpack(struct resp_conn *c, struct plain_value *v);
/*
 * Replies with a value that was found, null if it is damaged: at once, or, when the share of the turn is
 * spent, in turns to come.
 */
void resp_value(struct resp_conn *c, const struct plain_value *v);

/* Sets a value; on failure it has written an error reply and gives false. */
bool resp_store(struct resp_conn *c, struct bytes key, struct bytes value, struct instant expires,
                bool exact);
bool resp_delete(struct resp_conn *c, struct bytes key);
void resp_expire(struct resp_conn *c, uint32_t id, struct instant at);

/*
 * Notes the miss of a key, with the lease that came with it or 0; looks which lease it has of the
 * key, 0: none; or takes the miss out: how long ago it was, zero if that says nothing of a load.
 */
void resp_missed(struct resp_conn *c, struct bytes key, uint64_t lease);
uint64_t resp_lease(const struct resp_conn *c, struct bytes key);
struct span resp_load_time(struct resp_conn *c, struct bytes key);

/* Makes sure that what was counted is learned soon: by the timer whose function is the second. */
void resp_learn_soon(struct resp *r);
void resp_learn(void *r);

/* So much of what a client sent is repeated in an error: two arguments for "%.*s". */
#define RESP_SHOWN_BYTES 128
#define RESP_SHOWN(b)                                                                              \
	(int)((b).n < RESP_SHOWN_BYTES ? (b).n : RESP_SHOWN_BYTES), (const char *)(b).p

/* The argument is that word, in upper or lower case. */
bool resp_is(struct bytes arg, const char *word);
/* A whole number; else it has written "ERR value is not an integer or out of range". */
bool resp_want_int(struct resp_conn *c, struct bytes arg, int64_t *ret);
void resp_syntax(struct resp_conn *c);
void resp_ok(struct resp_conn *c);
/* "ERR unknown subcommand 'x'. Try CLIENT HELP." */
void resp_unknown_sub(struct resp_conn *c, const char *command, struct bytes sub);
/* The same of one that exists, but not with these arguments. */
void resp_bad_sub(struct resp_conn *c, const char *command, struct bytes sub);
void resp_wrong_arity(struct resp_conn *c, const char *command);
/* The lines of a HELP: an array of simple strings. */
void resp_help(struct resp_conn *c, const char *command, const char *const *lines);

/* Redis' patterns: * ? [a-z] and \ before any of them. */
bool resp_glob(struct bytes pattern, struct bytes text, bool fold);

/* -- resp_command.c --------------------------------------------------------------------------- */

extern const struct resp_command resp_commands_table[];
extern const size_t resp_n_commands;
void resp_command_init(void);
const struct resp_command *resp_command_find(struct bytes name);
/* Whether the subcommand exists and has enough arguments; else it has written an error reply. */
bool resp_command_sub(struct resp_conn *c, const struct resp_command *k, const struct bytes *arg,
                      size_t n);

/* -- The others -------------------------------------------------------------------------------- */

bool resp_queue(struct resp_conn *c, const struct resp_command *k, const struct bytes *arg, size_t n);
void resp_multi_forget(struct resp_conn *c); /* queue and watches */
void resp_multi_touched(struct resp *r);     /* asks the engine which watched keys changed */
void resp_job_step(struct resp_conn *c);
void resp_job_free(struct resp_conn *c);
void resp_flush_step(struct resp *r);
/* FLUSHDB, FLUSHALL. */
bool resp_is_flush(const struct resp_command *k);
/* Values that a reply waits for: their bytes; decodes some; the reply was moved; gives them up. */
size_t resp_owed_bytes(const struct resp_conn *c);
void resp_owed_step(struct resp_conn *c);
void resp_owed_move(struct resp_conn *c, size_t from, size_t to);
void resp_owed_free(struct resp_conn *c);
void resp_monitor_feed(struct resp *r, const struct resp_conn *from, const struct bytes *arg,
                       size_t n);
void resp_slow_add(struct resp_conn *c, const struct bytes *arg, size_t n, int64_t took_us);
void resp_slow_trim(struct resp *r, size_t keep);
/* How a client is listed: a line of CLIENT LIST, without its end. */
void resp_client_line(const struct resp_conn *c, struct resp_out *to);
/* Both take the same time whatever is equal. */
bool resp_password_is(const struct resp *r, struct bytes given);

/* Handlers, by file. */
#define RESP_HANDLERS(X)                                                                           \
	X(get) X(set) X(setex) X(psetex) X(setnx) X(getset) X(getex) X(getdel) X(mget) X(mset)     \
	X(msetnx) X(incr) X(decr) X(incrby) X(decrby) X(incrbyfloat) X(append) X(strlen)           \
	X(getrange) X(setrange) X(getbit) X(setbit)                                                \
	X(del) X(exists) X(touch) X(type) X(expire) X(pexpire) X(expireat) X(pexpireat) X(ttl)     \
	X(pttl) X(expiretime) X(pexpiretime) X(persist) X(rename) X(renamenx) X(copy) X(move)      \
	X(scan) X(keys) X(randomkey) X(dbsize) X(flushdb) X(flushall)                              \
	X(multi) X(exec) X(discard) X(watch) X(unwatch)                                            \
	X(ping) X(echo) X(quit) X(hello) X(auth) X(select) X(client) X(reset)                      \
	X(command) X(config) X(info) X(slowlog) X(latency) X(memory) X(object) X(acl) X(time)      \
	X(monitor) X(save) X(lastsave) X(shutdown) X(debug) X(role) X(lolwut)                      \
	X(eval) X(evalsha) X(script) X(function) X(crossprotocol)                                              \
	X(fc_why) X(fc_ttls) X(fc_forecast) X(fc_prewarm)
#define X(name) resp_fn resp_do_##name;
RESP_HANDLERS(X)
#undef X

#endif
