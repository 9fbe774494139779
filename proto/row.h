/* SPDX-License-Identifier: MIT */
/*
 * Results that are maps, described once for whoever writes and whoever reads them.
 *
 * Each table lists (TYPE, name) of a struct's fields; from it come the struct, the map with the
 * same names on the wire (and so in --json), and the reader. Types:
 *	KEY   struct bytes		key, endpoint or pattern; empty: left out
 *	TEXT  struct bytes		our own words; empty: nil
 *	NUM   double			NAN and infinities: nil
 *	UINT  uint64_t
 *	COUNT uint64_t			ROW_UNCOUNTED: nil
 *	BOOL  bool
 *	EST   struct estimate		{mean, sd, n}
 *	TIME  struct instant		seconds since 1970; unset: nil
 * A reader takes a missing or nil field for empty, NAN, 0, ROW_UNCOUNTED, false or NONE, and ignores names that it
 * does not know, so that a newer daemon can say more.
 */
#ifndef FORECACHED_PROTO_ROW_H
#define FORECACHED_PROTO_ROW_H

#include "base/bytes.h"
#include "base/estimate.h"
#include "base/instant.h"
#include "proto/pack.h"
#include "proto/value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum row_type { ROW_KEY, ROW_TEXT, ROW_NUM, ROW_UINT, ROW_COUNT, ROW_BOOL, ROW_EST, ROW_TIME };

#define ROW_UNCOUNTED UINT64_MAX

struct row_field {
	const char *name;
	enum row_type type;
	size_t offset;
};

struct row_table {
	const struct row_field *field;
	size_t n, bytes; /* fields; size of the struct */
};

/* clang-format off */

/* Of `ttls` and `endpoints`, and the head of `why`: engine.h, struct ttl_row. */
#define ROW_TTL_TABLE(X)									\
	X(KEY, endpoint) X(KEY, key) X(NUM, ttl_s) X(NUM, age_s) X(EST, change_rate_per_s)	\
	X(NUM, request_rate_per_s) X(NUM, load_ms) X(NUM, stale_share) X(NUM, hit_ratio)	\
	X(COUNT, requests) X(COUNT, loads) X(TEXT, mode) X(TEXT, reason)

/* Of `why`: engine.h, struct why, its row included. */
#define ROW_WHY_TABLE(X)									\
	ROW_TTL_TABLE(X) X(BOOL, is_endpoint) X(BOOL, resident) X(EST, change_rate_mean)	\
	X(NUM, shape_now) X(TIME, last_changed) X(TIME, last_load) X(NUM, pool_mean)		\
	X(NUM, pool_n) X(EST, request_rate) X(NUM, demand_shape_now) X(NUM, forecast_mase)	\
	X(TIME, soft) X(TIME, hard) X(BOOL, refresh_ahead) X(NUM, price)			\
	X(NUM, p_stale_at_end) X(NUM, ttl_at_half_price_s) X(NUM, ttl_at_double_price_s)	\
	X(NUM, objective) X(NUM, measured) X(NUM, measured_sd) X(UINT, audits)			\
	X(UINT, audits_stale) X(NUM, origin_rate_used) X(NUM, origin_rate_limit)		\
	X(TEXT, paused) X(TEXT, last_error) X(UINT, seen_same) X(UINT, seen_changed)		\
	X(UINT, told) X(UINT, announced) X(TEXT, last_modified) X(NUM, forecast_vs_last)	\
	X(NUM, forecast_vs_ewma) X(TEXT, forecast_by) X(NUM, period_s) X(TEXT, hint)		\
	X(TEXT, peak) X(TEXT, peak_source) X(TIME, peak_s) X(NUM, peak_p_wanted)		\
	X(NUM, peak_p_useful) X(NUM, peak_worth) X(BOOL, peak_loaded) X(TEXT, peak_skip)	\
	X(NUM, load_cost) X(NUM, activity)

/* Of `forecast`. */
#define ROW_FORECAST_TABLE(X)									\
	X(TIME, time_s) X(NUM, per_s) X(NUM, median) X(NUM, lo80) X(NUM, hi80)			\
	X(NUM, volatility)

/* Of `history`: what `endpoints` said then. */
#define ROW_HISTORY_TABLE(X)									\
	X(TIME, time_s) X(NUM, ttl_s) X(NUM, change_rate_per_s) X(NUM, stale_share)		\
	X(NUM, hit_ratio)

/* Of `ttl`. */
#define ROW_ADVICE_TABLE(X) X(KEY, endpoint) X(NUM, ttl_s) X(TEXT, reason)

/* Of `hello`. max_* are the limits that a client must keep to. */
#define ROW_HELLO_TABLE(X)									\
	X(TEXT, server) X(TEXT, version) X(UINT, protocol) X(TEXT, segment) X(UINT, boot_id)	\
	X(UINT, pid) X(TIME, time_s) X(NUM, time_scale) X(UINT, max_frame_bytes)		\
	X(UINT, max_key_bytes) X(UINT, max_value_bytes) X(UINT, max_events)			\
	X(UINT, max_keys)

/* Of `schedule.list`, `schedule.next`, `schedule.report`. next_s: when it is due next. */
#define ROW_SCHEDULE_TABLE(X)									\
	X(TEXT, name) X(TEXT, rrule) X(TEXT, tz) X(TEXT, calendar) X(TEXT, start)		\
	X(TEXT, patterns) X(NUM, lead_s) X(UINT, max_keys) X(TIME, next_s)
/* Of `schedule.list` with `learned`: engine.h, struct learned_row. */
#define ROW_LEARNED_TABLE(X)									\
	X(TEXT, name) X(KEY, endpoint) X(TEXT, days) X(TEXT, time) X(TEXT, tz)			\
	X(TIME, next_s) X(NUM, factor) X(NUM, confidence) X(NUM, seen_days)			\
	X(NUM, held_days) X(NUM, told) X(NUM, came) X(NUM, useful) X(UINT, keys)		\
	X(BOOL, acted_on)
#define ROW_DUE_TABLE(X) X(TEXT, name) X(TIME, time_s)
#define ROW_PEAK_TABLE(X) X(TEXT, name) X(TIME, time_s) X(UINT, wanted) X(UINT, warm) X(UINT, left)

/* clang-format on */

#define ROW_C_KEY              struct bytes
#define ROW_C_TEXT             struct bytes
#define ROW_C_NUM              double
#define ROW_C_UINT             uint64_t
#define ROW_C_COUNT            uint64_t
#define ROW_C_BOOL             bool
#define ROW_C_EST              struct estimate
#define ROW_C_TIME             struct instant
#define ROW_MEMBER(type, name) ROW_C_##type name;

struct row_ttl {
	ROW_TTL_TABLE(ROW_MEMBER)
};
struct row_why {
	ROW_WHY_TABLE(ROW_MEMBER)
};
struct row_forecast {
	ROW_FORECAST_TABLE(ROW_MEMBER)
};
struct row_history {
	ROW_HISTORY_TABLE(ROW_MEMBER)
};
struct row_advice {
	ROW_ADVICE_TABLE(ROW_MEMBER)
};
struct row_hello {
	ROW_HELLO_TABLE(ROW_MEMBER)
};
struct row_schedule {
	ROW_SCHEDULE_TABLE(ROW_MEMBER)
};
struct row_learned {
	ROW_LEARNED_TABLE(ROW_MEMBER)
};
struct row_due {
	ROW_DUE_TABLE(ROW_MEMBER)
};
struct row_peak {
	ROW_PEAK_TABLE(ROW_MEMBER)
};

extern const struct row_table row_ttl, row_why, row_forecast, row_history, row_advice, row_hello,
        row_schedule, row_learned, row_due, row_peak;

/* Writes the struct that `row` points to as a map: row_write(w, &row_ttl, &row). */
void row_write(struct pack *w, const struct row_table *t, const void *row);

/* One name and value of it, for a map that says more than the table. */
void row_write_field(struct pack *w, const struct row_field *f, const void *row);

/* The reverse; ret points to the struct. Views point into the frame. */
int row_read(const struct row_table *t, const struct msgpack_object *v, void *ret,
             struct proto_error *reterr);

#endif
