/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A recorded history in memory: who asked for what when, and when the origin's values changed.
 *
 * HOW IT WORKS requests lie in columns in time order, keys and endpoints as small numbers (24 bytes
 * per request). Changes lie twice: per key, to find a version by bisection, and all in time order,
 * for those that are delivered as events. Reading is trace_read (requests), then changes_read.
 *
 * INVARIANTS at.v never falls. The version of a key at t is the number of its change rows with
 * time <= t. All times are whole microseconds, read as decimals: no double has touched them.
 * A key belongs to the endpoint that its first request names.
 */
#ifndef FORECACHED_SIM_TRACE_H
#define FORECACHED_SIM_TRACE_H

#include "base/instant.h"
#include "base/intern.h"
#include "base/vec.h"
#include "base/fault.h"

#include <stdbool.h>
#include <stdint.h>

/* What a request whose load time is not known would have taken. */
#define TRACE_LOAD_DEFAULT SPAN_MS(300)

/* Limits of what is read. */
#define TRACE_MAX_REQUESTS  UINT32_C(2000000000)
#define TRACE_MAX_KEY_BYTES 65536u
#define TRACE_MAX_LOAD_MS   600000u /* as origin_policy.timeout allows */
#define TRACE_MAX_BYTES     UINT32_MAX
#define TRACE_LAST_US       (INT64_C(253402300799) * 1000000) /* the last second of the year 9999 */
#define TRACE_LOG_WINDOW_S  120 /* log lines this much out of order are put in order */

struct trace_change {
	struct instant at;
	uint32_t key;
	uint32_t row; /* order in the file */
};

struct trace_skipped {
	uint64_t malformed, method, status, empty; /* log lines that are no request for a value */
	uint64_t first_malformed;                  /* its line number */
};

struct trace {
	struct intern keys, endpoints;
	VEC(uint32_t) endpoint; /* of a key */

	/* One row per request. */
	VEC(struct instant) at;
	VEC(uint32_t) key;
	VEC(uint32_t) load_us;
	VEC(uint32_t) bytes;
	uint32_t *version; /* of the key at that time; 0 everywhere without changes */

	/* Changes of keys that are asked for somewhere in the trace. */
	bool has_changes;
	uint64_t change_rows;            /* of the file, those of other keys included */
	VEC(struct trace_change) change; /* in time order, then in order of the file */
	/* per key: change_at[change_first[k] .. change_first[k + 1]) */
	struct instant *change_at;
	uint32_t *change_first;

	bool is_log; /* read from a web server's log: demand only, times in whole seconds */
	struct trace_skipped skipped;
};

struct trace_options {
	bool keep_query;                           /* logs: `?...` belongs to the key */
	void (*progress)(void *arg, double share); /* may be NULL */
	void *arg;
};

/* Reads a TSV or a combined log. 0, or a negative errno with a fault. Release in both cases. */
int trace_read(struct trace *t, const char *path, const struct trace_options *o,
               struct fault *reterr);

/*
 * Reads the changes TSV; NULL: there are none, all versions are 0. Call once after trace_read. A
 * web server's log has paths where `forecache watch` writes whole URLs: with such a log, a URL that
 * is no key stands for its path.
 */
int trace_read_changes(struct trace *t, const char *path, struct fault *reterr);

void trace_release(struct trace *t);

/* The origin: the version of a key at an instant, and when a version >= 1 began. */
uint32_t trace_version(const struct trace *t, uint32_t key, struct instant at);
struct instant trace_version_began(const struct trace *t, uint32_t key, uint32_t version);

/*
 * From which instant on a run is scored: below or at 1 a share of the trace's time, else epoch
 * seconds.
 */
struct instant trace_score_from(const struct trace *t, double score_from);

/*
 * A decimal number of units as an integer count of 10^-digits units, rounded to nearest:
 * ("1.25", 6) is 1250000. False when it is no such number, is negative or above max.
 */
bool trace_decimal(const char *p, size_t n, unsigned digits, int64_t max, int64_t *ret);

/* Undoes \t, \n and \\ in place; the new length, or -1 for any other backslash. */
ptrdiff_t trace_unescape(char *p, size_t n);

#endif
