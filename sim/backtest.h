/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How good are the engine's demand forecasts on a series that somebody has kept? Each is made from
 * the past alone, by the engine that the daemon runs.
 *
 * HOW IT WORKS the counts enter as requests of one endpoint, spread over their step; when it has
 * ended the step that starts `horizon` after it is forecast. Fits take one second of the series'
 * time.
 *
 * INVARIANTS cutting the series at t changes no forecast issued before t.
 */
#ifndef FORECACHED_SIM_BACKTEST_H
#define FORECACHED_SIM_BACKTEST_H

#include "base/instant.h"
#include "base/vec.h"
#include "base/zone.h"
#include "base/fault.h"

#include <stdbool.h>
#include <stdint.h>

struct series {
	struct span step;       /* between the first two rows; no later gap is shorter */
	VEC(struct instant) at; /* starts of the steps, ascending */
	VEC(double) count;
};

#define SERIES_MAX_ROWS  20000000u
#define SERIES_MAX_COUNT 4000000000.0

/*
 * Reads `time_s count`, packed or not. 0, or a negative errno with a fault. Release in both cases.
 */
int series_read(struct series *s, const char *path, struct fault *reterr);
void series_release(struct series *s);

/* The count at the step that starts then; NAN when there is none. */
double series_count(const struct series *s, struct instant at);

/* Issued at the start of a step whose count is known, for the step at target. */
struct forecast {
	struct instant issued, target;
	double median, lo80, hi80;
};

struct backtest {
	struct span horizon;
	const struct zone *zone;   /* NULL: UTC */
	bool (*interrupted)(void); /* may be NULL */
};

/* One forecast per row of the series into ret[]. 0, or -EINTR. */
int backtest_run(const struct series *s, const struct backtest *b, struct forecast *ret);

/*
 * How good they were, over the targets in the second half that can be compared with the day before.
 */
struct backtest_score {
	uint64_t targets;
	double mae, mae_yesterday; /* mean absolute errors, in counts */
	double mase;               /* mae / mae_yesterday */
	/* of other ways, each over the targets that it can speak of; NAN: none */
	double mae_last_week, mae_last_value, mae_ewma;
	double inside_80; /* share of counts within lo80 .. hi80 */
};
struct backtest_score backtest_score(const struct series *s, struct span horizon,
                                     const struct forecast *f);

#endif
