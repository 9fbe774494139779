/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Forecasts of one endpoint's counts per five minutes, from five minutes to days ahead: several
 * experts, combined by what following each would have saved of late.
 *
 * HOW IT WORKS logarithms of the counts teach a base, the mean of each time of day and kind of day,
 * shrunk to that of all days. What is left, the residual, is followed by two recursive least
 * squares for each horizon (5, 15, 30 minutes, a day): on the last residual, its means over 10, 40
 * minutes and 3 hours, the same time yesterday and a week ago, and how much it rose then; for a day
 * ahead on what is of the same time or of no time of day alone. One forgets in two weeks, the other
 * in a day. Beside them stand simple experts, and the robust harmonic regression that is fitted
 * each night. When a count comes, each forecast that had been made of it is compared, and the
 * experts' weights for that horizon follow (ML-Poly; Gaillard, Stoltz and van Erven, COLT 2014) in
 * the absolute error: an expert whose forecasts made the combination worse loses its say, and
 * regrets are forgotten over a week or two, so it can win it back. The median comes with an
 * interval that holds 80 % (interval.h) and the mean that belongs to it.
 *
 * Between the horizons the answer is a blend of those beside. Lags are of local clocks: yesterday
 * at nine was 23 or 25 hours ago when clocks were changed in between.
 *
 * INVARIANTS buckets come one after the other; what was never seen is missing, not empty.
 * A forecast made at a bucket depends on this and earlier ones alone.
 * OWNERSHIP one flat struct of about 20 KiB; the harmonic model is the caller's.
 */
#ifndef FORECACHED_MODELS_ENSEMBLE_H
#define FORECACHED_MODELS_ENSEMBLE_H

#include "base/instant.h"
#include "base/zone.h"
#include "models/harmonic.h"
#include "models/interval.h"
#include "models/rls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENSEMBLE_STEP_S    300
#define ENSEMBLE_DAY       288                /* buckets */
#define ENSEMBLE_RING      (7 * ENSEMBLE_DAY) /* remembered */
#define ENSEMBLE_SLOTS     96                 /* of a day, in the base */
#define ENSEMBLE_DAY_EVERY 6                  /* a day ahead is forecast at each sixth bucket */

enum ensemble_horizon { HORIZON_5M, HORIZON_15M, HORIZON_30M, HORIZON_DAY, HORIZONS };

enum ensemble_expert {
	/* silent about a day ahead */
	EXPERT_LAST, /* as many as in the last bucket */
	EXPERT_EWMA, /* as many as lately */
	/* silent when that was another kind of day */
	EXPERT_YESTERDAY,  /* as at this time yesterday */
	EXPERT_LAST_WEEK,  /* as at this time a week ago */
	EXPERT_LEVEL,      /* the base, at the level of the last 40 minutes; of half a day */
	EXPERT_SLOW_LEVEL, /* the base, at the level of the last hours; a day ahead as it is */
	EXPERT_RLS,
	EXPERT_QUICK_RLS,
	EXPERT_WAVES,  /* the harmonic model, at the level of the last 40 minutes */
	EXPERT_PERIOD, /* as one, two and three periods ago, where one was found */
	ENSEMBLE_EXPERTS
};
const char *ensemble_expert_name(enum ensemble_expert x);

/* A forecast of one bucket that waits for its count. */
struct ensemble_pending {
	int64_t target; /* index of the bucket; -1: none */
	float x[RLS_TERMS], base;
	float said[ENSEMBLE_EXPERTS]; /* counts; negative: it did not speak */
	float median, lo, hi;
};

struct ensemble_model {
	struct rls slow, quick;
	float regret[ENSEMBLE_EXPERTS], square[ENSEMBLE_EXPERTS];
	struct interval interval;
	float counted, median; /* decayed sums: what came, what had been said */
	float n;               /* forecasts compared */
};

struct ensemble {
	struct instant start; /* of bucket 0 */
	int64_t at;           /* the last bucket that has ended; -1: none */
	int64_t first;        /* since when there was no gap */
	uint16_t log[ENSEMBLE_RING];
	int16_t residual[ENSEMBLE_RING];
	float sum[ZONE_DAY_KINDS][ENSEMBLE_SLOTS], days[ZONE_DAY_KINDS][ENSEMBLE_SLOTS];
	float mean; /* log count */
	float mean_n;
	float ewma;     /* count */
	float level[4]; /* means of the residual: over 10, 40 minutes, 3 hours, half a day */
	float waves_level;
	float peak; /* largest log count of late: nothing is said far beyond it */
	float abs_error[ENSEMBLE_EXPERTS], own_error, error_n; /* mean, 30 minutes ahead */
	struct ensemble_model model[HORIZONS];
	struct ensemble_pending soon[1 + 3 + 6], day[ENSEMBLE_DAY / ENSEMBLE_DAY_EVERY];
};

/* Bucket 0 starts then. */
void ensemble_init(struct ensemble *f, struct instant start);

/* The index of the bucket that holds t; negative before the first. */
int64_t ensemble_bucket(const struct ensemble *f, struct instant t);

/* The next bucket, f->at + 1, has ended with so many requests. waves: not valid yet, or fitted. */
void ensemble_add(struct ensemble *f, const struct zone *z, const struct harmonic *waves,
                  double count);

/* Nothing is known of the buckets before this one: levels and lags begin anew there. */
void ensemble_skip(struct ensemble *f, int64_t bucket);

/* A count per bucket. */
struct ensemble_forecast {
	double median, lo80, hi80;
	double mean; /* >= 0; above hi80 where most buckets are empty */
};

/* Of a bucket that has not ended. All 0 before any has, if nothing was restored. */
struct ensemble_forecast ensemble_at(const struct ensemble *f, const struct zone *z,
                                     const struct harmonic *waves, int64_t bucket);

/* Shares of the combination at a horizon; they sum to 1. */
void ensemble_weights(const struct ensemble *f, enum ensemble_horizon h,
                      double ret[ENSEMBLE_EXPERTS]);

/*
 * Mean absolute error of the forecasts made 30 minutes ahead over that of the expert, both over the
 * last two days or so; NAN while there is nothing to compare.
 */
double ensemble_error(const struct ensemble *f, enum ensemble_expert beside);

/* The counts that are remembered, oldest first; returns how many. */
size_t ensemble_counts(const struct ensemble *f, float ret[ENSEMBLE_RING]);

/* What is worth keeping as flat finite numbers: all but the days behind it. */
#define ENSEMBLE_STATE                                                                             \
	(2 * ZONE_DAY_KINDS * ENSEMBLE_SLOTS + 4 +                                                 \
	 HORIZONS * (2 * RLS_TERMS + 2 * ENSEMBLE_EXPERTS + 5))
void ensemble_state(const struct ensemble *f, double ret[ENSEMBLE_STATE]);

/* False, and nothing done, when these numbers were not made by ensemble_state. */
bool ensemble_restore(struct ensemble *f, const double v[ENSEMBLE_STATE]);

#endif
