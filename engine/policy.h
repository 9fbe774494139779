/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the user states, in one table per kind of thing. The struct, the defaults, the limits that
 * the configuration checks, --show-config and the manual all come from the rows here.
 *
 * Row: X(name, default, lowest, highest, unit, help). All values are doubles; "s" is seconds.
 */
#ifndef FORECACHED_ENGINE_POLICY_H
#define FORECACHED_ENGINE_POLICY_H

#include "base/bytes.h"

#include <stdbool.h>

/* Per endpoint; the top level of the configuration gives the default for all endpoints. */
#define POLICY_TABLE(X)                                                                            \
	X(max_stale, 0.01, 0, 0.5, "share of requests",                                            \
	  "freshness objective: the share of requests that may be answered with a replaced value") \
	X(min_ttl, 1, 0, 86400, "s", "no learned TTL is shorter")                                  \
	X(max_age, 86400, 1, 31536000, "s", "no older value is ever served, whatever is learned")  \
	X(static_ttl, 60, 0, 31536000, "s", "the TTL where nothing may or can be learned")         \
	X(grace, 0, 0, 86400, "s",                                                                 \
	  "after the TTL, serve the old value this long while one load runs")                      \
	X(stale_after, 0, 0, 86400, "s", "a replaced value counts as stale only after this long")  \
	X(stale_if_error, 86400, 0, 31536000, "s",                                                 \
	  "while the origin fails, serve the old value this long after its TTL, within max_age")   \
	X(latency_value, 0.1, 0, 1000, "loads",                                                    \
	  "loads one is willing to spend to spare a user a miss")                                  \
	X(peak_value, 1, 0, 1000, "loads",                                                         \
	  "the same at a peak that was seen coming, where it also takes load off the origin's "    \
	  "busiest time; the larger of the two counts")                                            \
	X(jitter, 0.05, 0, 0.5, "share of the TTL", "spread of expiry times")                      \
	X(negative_ttl, 1, 0, 3600, "s",                                                           \
	  "how long \"no such thing\", or a load that failed with no old value to give, is the "   \
	  "answer; doubles while it lasts, to 60 s; 0: each request asks again")                   \
	X(holdout, 0, 0, 0.5, "share of keys", "keys that keep static_ttl, to compare with")       \
	X(max_stale_key, 0, 0, 1, "probability",                                                   \
	  "no key is planned to be stale with a higher probability at the end of its TTL; 0: 20 "  \
	  "times max_stale, at least 0.3 and at most 0.95")                                        \
	X(compression_level, 3, 1, 19, "zstd level",                                               \
	  "with compression: higher is smaller and takes longer to make, not to read")             \
	X(compression_min_bytes, 1024, 64, BYTES_MAX_VALUE, "bytes",                                     \
	  "with compression: smaller values are kept as they are")                                 \
	X(compression_max_bytes, 1048576, 64, BYTES_MAX_VALUE, "bytes",                                  \
	  "with compression: larger values are kept as they are, as others wait while the daemon " \
	  "unpacks one to answer: about a millisecond for a MiB")

/* ttl: obey | learn | advise */
enum ttl_mode {
	TTL_LEARN,  /* forecached sets the TTL */
	TTL_OBEY,   /* the TTL given with the value, or static_ttl */
	TTL_ADVISE, /* as obey; learns and reports what it would do */
};

/* push: auto | lazy | eager: what a change event does besides ending the old value's life */
enum push_mode {
	/* load at once where the next request is likely to come before the next change */
	PUSH_AUTO,
	PUSH_LAZY,  /* leave the load to the next request */
	PUSH_EAGER, /* load at once */
};

/* prewarm: auto | always | never */
enum prewarm_mode {
	PREWARM_AUTO,   /* not what carries a user's identity in its name */
	PREWARM_ALWAYS, /* that, too */
	PREWARM_NEVER,
};

/* compression: off | zstd: how values are kept in the store */
enum compression { COMPRESSION_OFF, COMPRESSION_ZSTD };

struct policy {
#define X(name, def, lo, hi, unit, help) double name;
	POLICY_TABLE(X)
#undef X
	enum ttl_mode ttl;
	enum push_mode push;
	enum prewarm_mode prewarm;
	enum compression compression;
	/* an endpoint rule says what ttl is: only then is it for plain clients, too (plain.h) */
	bool ttl_stated;
};

/* All defaults. */
struct policy policy_default(void);

/* max_stale_key with its automatic value worked out: in (0, 1]. */
double policy_max_stale_key(const struct policy *y);

/* Per origin: what background work may cost it. User misses are never held back by the rate. */
#define ORIGIN_TABLE(X)                                                                            \
	X(rate, 50, 0, 100000, "loads/s", "background loads (refresh, prewarm, audit) per second") \
	X(burst, 50, 1, 100000, "loads", "background loads that may start at once")                \
	X(concurrency, 32, 1, 10000, "loads", "loads in flight at once, of all kinds")             \
	X(timeout, 10, 0.01, 600, "s", "a load that takes longer has failed")

struct origin_policy {
#define X(name, def, lo, hi, unit, help) double name;
	ORIGIN_TABLE(X)
#undef X
};

struct origin_policy origin_policy_default(void);

/* For the engine as a whole: what may change while it runs, and what it shares with messages. */
#define LIMIT_OWN_TABLE(X)                                                                         \
	X(max_keys, 1000000, 16, 100000000, "keys",                                                \
	  "keys that are remembered; the least asked for go first")                                \
	X(max_endpoints, 10000, 1, 1000000, "endpoints",                                           \
	  "further endpoints share one that is called <other>")                                    \
	X(max_forecasts, 2000, 0, 1000000, "endpoints",                                            \
	  "the busiest have a forecast model of their own, of 60 KiB each; the others share one")  \
	X(max_waiters, 65536, 1, 10000000, "requests",                                             \
	  "requests that wait for a load; more are told to try again")                             \
	X(audit_share, 0.005, 0, 0.1, "share of hits",                                             \
	  "hits that are checked against the origin in the background where max_stale is 2 % or "  \
	  "less; fewer in proportion above, down to a tenth: stale hits are found more often "     \
	  "then")                                                                                  \
	X(lease_s, 10, 0.05, 600, "s",                                                             \
	  "an app that took a lease and has not set the value by then loses it")                   \
	X(redis_wait_s, 1, 0, 60, "s",                                                             \
	  "a GET of a Redis client waits no longer than this for the load of another, where a "    \
	  "rule says grace; 0: it does not wait")                                                  \
	X(fit_every, 86400, 60, 31536000, "s", "how often request-rate models are fitted anew")    \
	X(event_past, 3600, 0, 86400, "s", "older access events are refused")                      \
	X(event_future, 1, 0, 3600, "s", "access events further in the future are refused")
#define LIMIT_TABLE(X) LIMIT_OWN_TABLE(X) BYTES_LIMIT_TABLE(X)

struct engine_limits {
#define X(name, def, lo, hi, unit, help) double name;
	LIMIT_TABLE(X)
#undef X
};

struct engine_limits engine_limits_default(void);

#endif
