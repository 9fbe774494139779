/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the operator states, from a JSON file with comments.
 *
 * HOW IT WORKS every number is one row of a table, here or in engine/policy.h: its default, its
 * limits and its unit. The parser, --check-config, --show-config and forecached.conf(5) all come from the
 * rows. Where the unit is "s", a number of seconds or a text such as "30s", "5m", "24h", "7d", "250ms" may
 * stand; where it is "bytes", a number or "64KiB", "256MiB", "1GiB".
 *
 * INVARIANTS a struct config is complete and valid: every number within its limits, every name of an
 * origin resolved, every secret read. An unknown key, a key given twice or a value out of range is an
 * error that names the key by its path, the limits, the unit, and what to do.
 *
 * OWNERSHIP all text belongs to the config. A reload makes a new config and frees the old one after
 * every module was handed the new one; a module copies what its work in flight still needs.
 */
#ifndef FORECACHED_DAEMON_CONFIG_H
#define FORECACHED_DAEMON_CONFIG_H

#include "base/bytes.h"
#include "base/vec.h"
#include "engine/engine.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Row: X(name, default, lowest, highest, unit, reload, help). reload 0: takes a restart to change.
 */
#define DAEMON_TABLE(X)                                                                                \
	X(segment_bytes, 268435456, 262144, 1099511627776.0, "bytes", 0,                               \
	  "the shared-memory segment that holds all values; allocated in full at start")               \
	X(segment_mode, 600, 600, 640, "octal", 0,                                                     \
	  "who may map the segment: 600 the daemon's user, 640 its group as well")                     \
	X(workers, 2, 1, 64, "threads", 0, "threads for fits, calendar expansion and the state file")  \
	X(flush_s, 5, 0.1, 10, "s", 1, "learned state is written to the state directory this often")   \
	X(drain_s, 5, 0, 300, "s", 1, "at SIGTERM, answer what waits for at most this long")           \
	X(message_bytes, 16777216, 65536, 1073741824, "bytes", 0,                                      \
	  "longest ZeroMQ frame; longer ones close their connection")                                  \
	X(message_parts, 16, 1, 256, "frames", 0, "most frames of one ZeroMQ message, envelope included") \
	X(message_items, 65536, 16, 1048576, "items", 0,                                               \
	  "most msgpack items, at all depths, of one message")                                         \
	X(socket_queue, 10000, 10, 1000000, "messages", 0, "high-water mark of each ZeroMQ socket")    \
	X(input_queue, 4096, 16, 1048576, "messages", 0,                                               \
	  "decoded messages that wait for the engine; further events are dropped and counted")         \
	X(input_queue_bytes, 268435456, 1048576, 17179869184.0, "bytes", 0,                            \
	  "and their size in all")                                                                     \
	X(max_loaders, 1000, 1, 100000, "workers", 1, "loader workers that may be registered at once") \
	X(loader_jobs, 64, 1, 10000, "jobs", 1, "jobs that one loader worker is given at once")        \
	X(loader_silence_s, 15, 1, 600, "s", 1,                                                        \
	  "a loader worker that was silent for this long is taken for dead; real time")                \
	X(loader_retries, 1, 0, 10, "times", 1,                                                        \
	  "a job whose worker died or failed is given to another one this often")                      \
	X(max_rows, 10000, 1, 10000000, "rows", 1, "most rows of one answer to ttls, export, endpoints") \
	X(max_schedules, 1000, 0, 100000, "schedules", 1, "named schedules")                           \
	X(schedule_ahead_s, 691200, 3600, 31622400, "s", 1, "recurrence rules are expanded this far ahead") \
	X(schedule_instants, 10000, 1, 1000000, "instants", 1, "most instants of one schedule within that time") \
	X(unmatched_after_s, 3600, 1, 31536000, "s", 1,                                                \
	  "warn about an endpoint pattern that has matched nothing for this long")                     \
	X(log_burst, 10, 1, 100000, "lines", 1,                                                        \
	  "lines of one event and minute that are written in full; the others are counted")

/* Row: X(name, default, values ("" = any text), reload, help). */
#define DAEMON_TEXT_TABLE(X)                                                                           \
	X(dir, "", "", 0,                                                                              \
	  "run directory with the sockets; empty: $FORECACHED_DIR, $XDG_RUNTIME_DIR/forecached, or /run/forecached") \
	X(state, "", "", 0,                                                                            \
	  "directory of what was learned; empty: $STATE_DIRECTORY, or state below the run directory")  \
	X(segment_dir, "/dev/shm", "", 0, "where the segment's file is made; a tmpfs")                 \
	X(zone, "UTC", "", 1, "time zone of endpoints and schedules that name none")                   \
	X(events, "", "", 0, "ZeroMQ address of events; empty: ipc socket `events` in the run directory") \
	X(requests, "", "", 0, "ZeroMQ address of requests; empty: ipc socket `requests`")             \
	X(loaders, "", "", 0, "ZeroMQ address of loader workers; empty: ipc socket `loaders`")         \
	X(notices, "", "", 0, "ZeroMQ address of notices; empty: ipc socket `notices`")                \
	X(resp, "127.0.0.1:6390", "", 0, "address and port of the RESP listener; \"off\": none")       \
	X(http, "127.0.0.1:6391", "", 0, "address and port of metrics, health and the page; \"off\": none") \
	X(log_level, "info", "error warn notice info debug", 1, "least important lines that are written") \
	X(log_keys, "hash", "hash text", 1, "how keys appear in the log")

/* Per origin, with engine/policy.h's ORIGIN_TABLE. Row as in DAEMON_TABLE. */
#define HTTP_ORIGIN_TABLE(X)                                                                           \
	X(max_value_bytes, 8388608, 64, 536870912, "bytes", 1, "longer answers are refused unread")    \
	X(connect_timeout, 3, 0.01, 600, "s", 1, "time to connect, within timeout")                    \
	X(max_redirects, 3, 0, 20, "redirects", 1, "redirects that are followed, on the same host only")

struct config_header {
	char *name;
	char *value;  /* secret: never printed */
	char *source; /* "text", "file PATH" or "env NAME": what --show-config prints */
};

struct config_origin {
	char *name;
	char *url; /* http:// or https://, without a slash at its end */
	struct origin_policy policy;
#define X(name, def, lo, hi, unit, reload, help) double name;
	HTTP_ORIGIN_TABLE(X)
#undef X
	VEC(struct config_header) headers; /* sent with every request */
	char *proxy;    /* NULL: none; the environment is not looked at */
	char *ca_file;  /* NULL: the system's */
	bool tls_verify;
};

struct config_rule {
	char *match;         /* see struct engine_rule */
	char *class_name;    /* NULL: by itself */
	char *zone;          /* NULL: the default zone */
	uint32_t origin;     /* index into origins, or ORIGIN_NONE */
	char *url;           /* template with "{key}" and "{<name>}" of match; NULL: the origin's url, then the key */
	struct policy policy;
	bool cache_private;    /* keep answers marked `Cache-Control: private` */
	bool cache_set_cookie; /* keep answers that set a cookie */
	VEC(char *) vary;      /* request headers by which answers may vary and be kept all the same */
};

struct config_schedule {
	char *name;
	char *rrule; /* RFC 5545, without "RRULE:" */
	char *tz;    /* IANA name; NULL: the default zone */
	char *start; /* local time YYYY-MM-DDTHH:MM[:SS] of the first instant */
	VEC(char *) patterns; /* at least one */
	struct span lead;     /* 0: computed */
	uint32_t max_keys;    /* 0: the engine's default */
};

struct config {
#define X(name, def, lo, hi, unit, reload, help) double name;
	DAEMON_TABLE(X)
#undef X
#define X(name, def, values, reload, help) char *name;
	DAEMON_TEXT_TABLE(X)
#undef X
	struct policy policy;
	struct engine_limits limits;
	uint32_t origin; /* of endpoints that no rule matches, or ORIGIN_NONE */
	VEC(struct config_origin) origins;
	VEC(struct config_rule) rules;
	VEC(struct config_schedule) schedules;
	void *origins_of_values; /* where each value came from, for config_show */
};

struct config_error {
	char path[256]; /* e.g. "endpoints[2].max_stale"; empty: the file as a whole */
	char why[512];
};

/* The defaults. */
struct config *config_default(void);

/*
 * Reads a file. 0; -EINVAL when it says something wrong, or the error of reading it: *reterr then
 * says what and where, and *ret stays untouched.
 */
int config_load(const char *file, struct config **ret, struct config_error *reterr);

/* The same from text; `file` is for the messages only. */
int config_parse(const char *file, const char *text, size_t n, struct config **ret,
                 struct config_error *reterr);

void config_free(struct config **c);

/* Replaces a text value, e.g. by an option of the command line; `from` says by what. */
void config_override(struct config *c, char **field, const char *value, const char *from);

/* Every effective value with its unit and where it came from; secrets are named, never shown. */
void config_show(const struct config *c, FILE *out);

/*
 * Options that differ between two configurations and take a restart, as "name name ...". Copies them
 * from `old` to `now`, so that what is in force is what is shown. Returns how many.
 */
size_t config_keep_fixed(struct config *now, const struct config *old, char *names, size_t cap);

/* The first rule whose pattern matches the endpoint's own name or the key; NULL when none does. */
const struct config_rule *config_rule_for(const struct config *c, struct bytes endpoint, struct bytes key);

/* Seconds from "30s", "5m", "1.5h", "250ms", "7d" or "12". False: not a length of time. */
bool config_duration(const char *text, double *ret_s);

#endif
