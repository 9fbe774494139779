/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the operator states, from a JSON file with comments.
 *
 * HOW IT WORKS every number is one row of a table, here or in engine/policy.h: its default, its
 * limits and its unit. The parser, --check-config, --show-config and forecached.conf(5) all come
 * from the rows. Where the unit is "s", a number of seconds or a text such as "30s", "5m", "24h",
 * "7d", "250ms" may stand; where it is "bytes", a number or "64KiB", "256MiB", "1GiB".
 *
 * INVARIANTS a struct config is complete: every number within its limits, every name of an origin
 * resolved. What needs files (zones, calendars, secrets) is checked by setup.h. An unknown key, a
 * key given twice or a value out of range is an error that names the key by its path, the limits,
 * the unit, and what to do.
 *
 * OWNERSHIP all text belongs to the config. A reload makes a new config and frees the old one after
 * every module was handed the new one; a module copies what its work in flight still needs.
 */
#ifndef FORECACHED_DAEMON_CONFIG_H
#define FORECACHED_DAEMON_CONFIG_H

#include "base/bytes.h"
#include "base/vec.h"
#include "daemon/http_origin.h"
#include "daemon/state_db.h"
#include "engine/engine.h"
#include "proto/limits.h"
#include "proto/request.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Row: X(name, default, lowest, highest, unit, reload, help). reload 0: takes a restart to change.
 */
#define DAEMON_TABLE(X)                                                                            \
	X(segment_bytes, 268435456, 262144, 68719476736.0, "bytes", 0,                             \
	  "the shared-memory segment that holds all values; allocated in full at start")           \
	X(workers, 2, 1, 64, "threads", 0,                                               \
	  "threads for fits and calendar expansion, and as many for large values")                 \
	X(large_value_bytes, 262144, 65536, BYTES_MAX_VALUE, "bytes", 1,                                 \
	  "values from this size on are copied and hashed by a thread while others are served")    \
	X(flush_s, 5, 0.1, 10, "s", 1, "learned state is handed to the state file this often")     \
	X(drain_s, 5, 0, 300, "s", 1, "at SIGTERM, answer what waits for at most this long")       \
	X(message_parts, 16, 3, 256, "frames", 0,                                                  \
	  "most frames of one ZeroMQ message, envelope included")                                  \
	X(socket_queue, 10000, 10, 1000000, "messages", 0,                                         \
	  "high-water mark of each ZeroMQ socket")                                                 \
	X(input_queue, 8192, 16, 1048576, "messages", 0,                                           \
	  "decoded messages that wait for the engine; more events are dropped, more requests "     \
	  "told to try again")                                                                     \
	X(input_queue_bytes, 268435456, 1048576, 17179869184.0, "bytes", 0,                        \
	  "and their size in all")                                                                 \
	X(reply_queue_bytes, 1073741824, 1048576, 17179869184.0, "bytes", 0,                       \
	  "replies that wait to be sent; more are dropped and counted")                            \
	X(max_loaders, 1000, 1, 100000, "workers", 1,                                              \
	  "loader workers that may be registered at once")                                         \
	X(loader_beat_s, 5, 0.05, 600, "s", 1,                                                     \
	  "how often a loader worker says that it lives, real time; silent for three, it is "      \
	  "taken for dead")                                                                        \
	X(loader_retries, 1, 0, 10, "times", 1,                                                    \
	  "a job whose worker died is given to another one this often")                            \
	X(max_schedules, 64, 0, 64, "schedules", 1, "named schedules; each pattern counts")        \
	X(schedule_ahead, 691200, 3600, 31622400, "s", 1, "rules are expanded this far ahead")     \
	X(schedule_instants, 10000, 1, 1000000, "instants", 1,                                     \
	  "most instants of one schedule within that time; the later ones follow as time goes on") \
	X(schedule_reports, 1000, 1, 100000, "reports", 0,                                         \
	  "how the last instants of schedules went: so many are kept")                             \
	X(unmatched_after, 3600, 1, 31536000, "s", 1,                                              \
	  "warn about an endpoint pattern that has matched nothing for this long")                 \
	X(max_endpoint_rows, 10000, 1, 1000000, "rows", 1, "rows that one question may ask for")   \
	X(redis_max_clients, 10000, 1, 1000000, "connections", 1,                                  \
	  "connections of Redis clients; more are refused")                                        \
	X(redis_idle_s, 0, 0, 31536000, "s", 1,                                                    \
	  "a connection of a Redis client that says nothing for this long is closed; 0: never")    \
	X(redis_inline_bytes, 65536, 64, 1048576, "bytes", 1, "longest line of a request")         \
	X(redis_args, 1048576, 16, 16777216, "strings", 1, "strings of one request")               \
	X(redis_bulk_bytes, 67108864, 1024, 536870912, "bytes", 1, "longest string of a request")  \
	X(redis_query_bytes, 268435456, 65536, 4294967296.0, "bytes", 1,                           \
	  "of requests that are not complete, or queued by MULTI, per connection; at more it is "  \
	  "closed")                                                                                \
	X(redis_output_bytes, 268435456, 65536, 4294967296.0, "bytes", 1,                          \
	  "of replies that a connection does not take; at more it is closed")                      \
	X(redis_misses, 1024, 1, 1048576, "misses", 1,                                             \
	  "misses that a connection of a Redis client may yet fill; of more the oldest is "        \
	  "forgotten, and somebody else may load it")                                              \
	X(http_max_connections, 64, 1, 10000, "connections", 0,                                    \
	  "connections of HTTP clients; more wait until one is closed")                            \
	X(http_idle_s, 10, 1, 3600, "s", 0,                                                        \
	  "a connection of an HTTP client that says nothing for this long is closed, and one "     \
	  "whose request takes three times as long to come, or to which the answer takes three "   \
	  "times as long to go")                                                                   \
	X(http_request_bytes, 16384, 4096, 1048576, "bytes", 0,                                    \
	  "of a request's lines and the answer's headers, per connection; longer ones are "        \
	  "refused")                                                                               \
	X(http_rows, 1000, 1, 100000, "rows", 1, "rows of one answer over HTTP")                   \
	X(http_endpoint_rows, 100, 0, 1000, "endpoints", 1,                                        \
	  "endpoints with metrics of their own: the first so many that are seen, and as many "     \
	  "that rules name; all others are counted together as <other>")                           \
	X(log_burst, 10, 1, 100000, "lines", 1,                                                    \
	  "lines of one event and minute that are written; the others are counted")

/* Row: X(name, default, values ("" = any text), reload, help). */
#define DAEMON_TEXT_TABLE(X)                                                                       \
	X(dir, "", "", 0,                                                                          \
	  "run directory with the sockets; empty: $FORECACHED_DIR, $XDG_RUNTIME_DIR/forecached "   \
	  "or /run/forecached")                                                                    \
	X(state, "", "", 0,                                                                        \
	  "directory of what was learned; empty: $STATE_DIRECTORY, or `state` in the run "         \
	  "directory")                                                                             \
	X(segment_dir, "/dev/shm", "", 0, "where the segment's file is made: a tmpfs")             \
	X(segment_mode, "0600", "0600 0640", 0,                                                    \
	  "who may map the segment: 0600 the daemon's user, 0640 its group as well")               \
	X(zone, "UTC", "", 1, "time zone of endpoints and schedules that name none")               \
	X(calendar, "", "", 1,                                                                     \
	  "special days: an .ics file or a market's code (XNYS); empty: none")                     \
	X(events, "", "", 0,                                                                       \
	  "ZeroMQ address of events; empty: ipc socket `events` in the run directory")             \
	X(requests, "", "", 0, "ZeroMQ address of requests; empty: ipc socket `requests`")         \
	X(loaders, "", "", 0, "ZeroMQ address of loader workers; empty: ipc socket `loaders`")     \
	X(notices, "", "", 0, "ZeroMQ address of notices; empty: ipc socket `notices`")            \
	X(redis, "127.0.0.1:6390", "", 0,                                                          \
	  "address for Redis clients; a port of 0 is any that is free, \"off\" is none. Other "    \
	  "than "                                                                                  \
	  "loopback takes a redis_password_file")                                                  \
	X(redis_socket, "on", "on off", 0,                                                         \
	  "whether Redis clients may use the unix socket `resp.sock` in the run directory")        \
	X(redis_password_file, "", "", 0,                                                          \
	  "file whose first line is the password of Redis clients; empty: none is asked for")      \
	X(http, "127.0.0.1:6391", "", 0,                                                           \
	  "address for HTTP: metrics, health, questions; a port of 0 is any that is free, "        \
	  "\"off\" "                                                                               \
	  "is none. Other than loopback takes http_open")                                          \
	X(http_open, "off", "on off", 0,                                                           \
	  "on: HTTP may be reached from other hosts, where anybody could read keys (never "        \
	  "values)")                                                                               \
	X(log_level, "info", "error warn notice info debug", 1,                                    \
	  "least important lines that are written")                                                \
	X(log_keys, "hash", "hash text", 1, "how keys appear in the log")

/* A list of texts; vec.h works on it. */
struct config_texts {
	char **v;
	size_t n, cap;
};

struct config_header {
	char *line;   /* "Name: value", the value with ${file:PATH} or ${env:NAME} as http_origin.h
	                 reads it */
	char *source; /* "text", "file PATH" or "env NAME": what --show-config prints instead of the
	                 value */
};

struct config_origin {
	char *name;
	char *url; /* http:// or https://, without a slash at its end; NULL: loader workers read it
	            */
	struct origin_policy policy;
	/* http_origin.h; timeout and max_connections are policy's timeout and concurrency */
#define X(name, def, lo, hi, unit, help) double name;
	struct {
		HTTP_ORIGIN_TABLE(X)
	} http;
#undef X
	VEC(struct config_header) headers; /* sent with every request */
	char *proxy;                       /* NULL: none; the environment is not looked at */
	char *ca_file;                     /* NULL: the system's */
};

struct config_rule {
	char *match;      /* see struct engine_rule */
	char *class_name; /* NULL: by itself */
	char *zone;       /* NULL: the default zone */
	char *calendar;   /* NULL: the default calendar */
	uint32_t origin;  /* index into origins, or ORIGIN_NONE */
	char *url;        /* template, see http_origin.h; NULL: the origin's url and {+key} */
	struct policy policy;
	bool cache_private; /* keep answers that say private or set a cookie */
	struct config_texts
	        vary; /* request headers by which answers may vary and be kept all the same */
	struct config_texts ignore; /* JSON pointers to what does not count as content */
};

struct config_schedule {
	char *name;
	char *rrule;                  /* a rule as in calendar.h */
	char *tz;                     /* IANA name; NULL: the default zone */
	char *calendar;               /* NULL: the default calendar */
	char *start;                  /* local time YYYY-MM-DDTHH:MM[:SS]; NULL: from now on */
	struct config_texts patterns; /* at least one */
	bool skip_holidays;
	struct span lead;  /* 0: computed */
	uint32_t max_keys; /* 0: the engine's default */
};

struct config {
#define X(name, def, lo, hi, unit, reload, help) double name;
	DAEMON_TABLE(X)
#undef X
#define X(name, def, values, reload, help) char *name;
	DAEMON_TEXT_TABLE(X)
#undef X
	bool pool; /* all endpoints share one objective */
	struct policy policy;
	struct engine_limits limits;
	struct proto_limits messages; /* max_key_bytes and max_value_bytes are those of limits */
	struct state_db_config learned;
	uint32_t origin; /* of endpoints that no rule matches, or ORIGIN_NONE */
	VEC(struct config_origin) origins;
	VEC(struct config_rule) rules;
	VEC(struct config_schedule) schedules;
	struct config_sources *sources; /* where each value came from, for config_show */
};

struct config_error {
	char path[256]; /* e.g. "endpoints[2].max_stale"; empty: the file as a whole */
	char why[512];
};

/* The defaults. */
struct config *config_default(void);

/* Keys and values may be as long in messages as in the cache: after c->limits was set. */
static inline void config_follow_limits(struct config *c)
{
	c->messages.max_key_bytes = c->limits.max_key_bytes;
	c->messages.max_value_bytes = c->limits.max_value_bytes;
}

/* Longest lead of a schedule. */
#define CONFIG_LEAD_MAX SPAN_S(86400)

/* Longest text of a configuration: it is written by people. */
#define CONFIG_MAX_BYTES (1u << 20)

/*
 * Reads a file. 0; -EINVAL when it says something wrong, or the error of reading it: *reterr then
 * says what and where, and *ret stays untouched.
 */
int config_load(const char *file, struct config **ret, struct config_error *reterr);

/* The same from text; `file` is for the messages only. */
int config_parse(const char *file, const char *text, size_t n, struct config **ret,
                 struct config_error *reterr);

void config_free(struct config **c);

/*
 * Whether `redis` is an address, and one that is allowed: beyond this host only with a password.
 */
int config_check_redis(const struct config *c, struct config_error *reterr);

/* Whether `http` is an address, and one that is allowed: beyond this host only with http_open. */
int config_check_http(const struct config *c, struct config_error *reterr);

/* Replaces a text value, e.g. by an option of the command line; `from` says by what. */
void config_override(struct config *c, char **field, const char *value, const char *from);

/* Every effective value with its unit and where it came from; secrets are named, never shown. */
void config_show(const struct config *c, FILE *out);

/*
 * For a reload of `file`: options that differ between two configurations and take a restart, as
 * "name name ...". Gives `now` the values of `old` for them, so that what is shown is what is in
 * force, and those that did not come from a file but from the command line. Returns how many take a
 * restart.
 */
size_t config_keep_fixed(struct config *now, const struct config *old, const char *file,
                         char *names, size_t cap);

/* Fills in the error; the text says what was wrong and what to do. Always gives -EINVAL. */
__attribute__((format(printf, 3, 4))) int config_fail(struct config_error *e, const char *path,
                                                      const char *fmt, ...);

/* Seconds from "30s", "5m", "1.5h", "250ms", "7d" or "12". False: not a length of time. */
bool config_duration(const char *text, double *ret_s);

#endif
