/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Forecasts for endpoints that are too many, or too quiet, for a model each: 32 bytes of their own
 * beside one pool that all share.
 *
 * HOW IT WORKS the pool learns how much of its own level an endpoint gets at each time of the week,
 * in the mean over all: shrunk to that of the time of day, shrunk to 1. Counts divided by that
 * factor teach each endpoint a quick and a slow level. How much of the difference between them is
 * left 5, 15, 30 minutes and a day ahead is the same number for all, by least squares on what came;
 * so is the interval.
 *
 * INVARIANTS factors lie within 1/20 .. 20, what is left of a difference within 0 .. 1.
 */
#ifndef FORECACHED_MODELS_TAIL_H
#define FORECACHED_MODELS_TAIL_H

#include "base/zone.h"
#include "models/ensemble.h"
#include "models/interval.h"

#include <stdbool.h>
#include <stdint.h>

struct tail {
	float quick, slow;               /* counts per bucket at factor 1 */
	float quick_before, slow_before; /* as of the last bucket whose number ended in 0 mod 6 */
	float buckets;                   /* seen; up to 1000 */
	float own_error, naive_error;    /* mean absolute, 30 minutes ahead; of the quick level */
	float compared;
};

_Static_assert(sizeof(struct tail) == 32, "100,000 of them are meant to be cheap");

struct tail_pool {
	float got[ZONE_DAY_KINDS][ENSEMBLE_SLOTS], due[ZONE_DAY_KINDS][ENSEMBLE_SLOTS];
	int32_t day[ZONE_DAY_KINDS][ENSEMBLE_SLOTS]; /* when they were last added to */
	struct {
		double xy, xx; /* of regression through 0 */
		struct interval interval;
		double counted, median;
	} ahead[HORIZON_DAY]; /* 5, 15, 30 minutes */
};

void tail_pool_init(struct tail_pool *pool);

/* The bucket of that number, whose middle was at this local second, has ended. pool: may be NULL. */
void tail_add(struct tail *t, struct tail_pool *pool, const struct zone *z, int64_t bucket,
              double local_s, double count);

/*
 * So many buckets after the last that has ended (>= 1), at that local second. All 0 before any has
 * ended.
 */
struct ensemble_forecast tail_at(const struct tail *t, const struct tail_pool *pool,
                                 const struct zone *z, int64_t ahead, double local_s);

/* What is kept over a restart, as numbers. Restoring refuses what they cannot be, and does nothing. */
#define TAIL_SLOTS (ZONE_DAY_KINDS * ENSEMBLE_SLOTS)
#define TAIL_AHEAD (8 * HORIZON_DAY)
struct tail_pool_state {
	double got[TAIL_SLOTS], due[TAIL_SLOTS], ahead[TAIL_AHEAD];
};
void tail_pool_state(const struct tail_pool *pool, struct tail_pool_state *ret);
bool tail_pool_restore(struct tail_pool *pool, const double *got, const double *due,
                       const double *ahead);

#define TAIL_STATE 6
void tail_state(const struct tail *t, double ret[TAIL_STATE]);
bool tail_restore(struct tail *t, const double v[TAIL_STATE]);

/* How much of its level an endpoint gets at that local second. */
double tail_factor(const struct tail_pool *pool, const struct zone *z, double local_s);

#endif
