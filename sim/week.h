/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * When in the week traffic comes: requests per half hour of the local week, of several endpoints.
 *
 * HOW IT WORKS one pass over the trace counts; how long the trace has covered each half hour tells
 * rates from counts, so a log of nine days does not make two weekdays look busy. Bins are of local
 * time: bin 0 is Monday 00:00.
 */
#ifndef FORECACHED_SIM_WEEK_H
#define FORECACHED_SIM_WEEK_H

#include "base/zone.h"
#include "sim/trace.h"

#define WEEK_BIN_S 1800
#define WEEK_DAY   48 /* bins */
#define WEEK_BINS  (7 * WEEK_DAY)

#define WEEK_ALL UINT32_MAX /* instead of an endpoint: all together */

struct week_row {
	uint32_t endpoint;
	double total; /* requests */
	double requests[WEEK_BINS];
};

struct week {
	double covered_s[WEEK_BINS], span_s;
	struct week_row *row;
	size_t n_rows;
};

/* Counts the endpoints endpoint[0 .. n), which must differ. */
void week_count(struct week *w, const struct trace *t, const struct zone *z,
                const uint32_t *endpoint, size_t n);
void week_release(struct week *w);

/* Requests per second in a half hour of the week; NAN when the trace has not seen it. */
double week_rate(const struct week *w, const struct week_row *r, int bin);

/* A request in the middle of the last such half hour of the trace, or its last request. */
struct instant week_last(const struct trace *t, const struct zone *z, int bin);

/* On which days a peak comes back. */
enum week_days { WEEK_DAILY, WEEK_WEEKDAYS, WEEK_WEEKENDS };
const char *week_days_name(enum week_days d); /* "daily", "weekdays", "weekends" */

struct week_peak {
	double mean_per_s;
	int bin; /* the busiest half hour of the week */
	double per_s;
	/*
	 * The busiest half hour of the days on which most comes: what a schedule can be made of. keys
	 * is how many different keys are asked for in it, the mean over the days that were seen.
	 */
	enum week_days days;
	int day_bin;
	double day_per_s, keys;
	unsigned seen; /* such half hours, whole or in part */
};

/* Of row i of the week. */
struct week_peak week_peak(const struct week *w, size_t i, const struct trace *t,
                           const struct zone *z);

#endif
