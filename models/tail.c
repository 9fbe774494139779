/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/tail.h"

#include "base/range.h"

#include <math.h>

static const double AHEAD[HORIZON_DAY] = {1, 3, 6};
static const int64_t ROUND = 6; /* buckets between two beginnings of a comparison */

static const double QUICK_GAIN = 0.3, SLOW_GAIN = 0.02;
static const double MAX_BUCKETS = 1000;

/* The factors: a day counts half after ten more; so many endpoints' buckets stand for no rhythm. */
static const double DAY_KEEP = 0.93, SHRINK = 20;
static const double FACTOR_MAX = 20;

/* What is left of a difference: half, until so many comparisons say otherwise; they are forgotten. */
static const double LEFT_PRIOR = 20, LEFT_KEEP = 0.9999;

/* Many endpoints move the one interval: each by less. */
static const double SHARED_GAIN = INTERVAL_GAIN / 10;

static const double ERROR_COUNTS = 100;

void tail_pool_init(struct tail_pool *pool)
{
	*pool = (struct tail_pool){0};
	for (int h = 0; h < HORIZON_DAY; h++)
		interval_init(&pool->ahead[h].interval);
}

static double slot_factor(const struct tail_pool *pool, const struct zone *z, double slot)
{
	int32_t day = (int32_t)floor(slot / ENSEMBLE_SLOTS);
	int i = (int)(slot - day * (double)ENSEMBLE_SLOTS), kind = zone_day_kind(z, day);
	double got = SHRINK, due = SHRINK, any;

	for (int k = 0; k < ZONE_DAY_KINDS; k++) {
		got += (double)pool->got[k][i];
		due += (double)pool->due[k][i];
	}
	any = got / due;
	return fmin(fmax(((double)pool->got[kind][i] + SHRINK * any) /
	                         ((double)pool->due[kind][i] + SHRINK),
	                 1 / FACTOR_MAX),
	            FACTOR_MAX);
}

double tail_factor(const struct tail_pool *pool, const struct zone *z, double local_s)
{
	double slot = local_s / (86400 / ENSEMBLE_SLOTS) - 0.5, before = floor(slot), f;

	if (!pool)
		return 1;
	f = slot_factor(pool, z, before);
	return f + (slot_factor(pool, z, before + 1) - f) * (slot - before);
}

/* A busy endpoint says little more of the rhythm of others than one of a request per bucket. */
static void learn_rhythm(struct tail_pool *pool, const struct zone *z, double local_s, double count,
                         double level)
{
	double slot = floor(local_s / (86400 / ENSEMBLE_SLOTS));
	int32_t day = (int32_t)floor(slot / ENSEMBLE_SLOTS);
	int i = (int)(slot - day * (double)ENSEMBLE_SLOTS), kind = zone_day_kind(z, day);
	float *got = &pool->got[kind][i], *due = &pool->due[kind][i];

	if (pool->day[kind][i] != day) {
		*got *= (float)DAY_KEEP;
		*due *= (float)DAY_KEEP;
		pool->day[kind][i] = day;
	}
	*got += (float)(count / (level + 1));
	*due += (float)(level / (level + 1));
}

static double left(const struct tail_pool *pool, int h)
{
	if (!pool)
		return 0.5;
	return fmin(
	        fmax((pool->ahead[h].xy + 0.5 * LEFT_PRIOR) / (pool->ahead[h].xx + LEFT_PRIOR), 0),
	        1);
}

static double level(double quick, double slow, double share)
{
	return fmax(slow + share * (quick - slow), 0);
}

/* What the levels of `ahead[h]` buckets ago were worth. */
static void compare(struct tail *t, struct tail_pool *pool, int h, double factor, double count)
{
	double quick = (double)t->quick_before, slow = (double)t->slow_before,
	       m = factor * level(quick, slow, left(pool, h)), lo, hi, scale;

	if (h == HORIZON_30M) {
		if ((double)t->compared < ERROR_COUNTS)
			t->compared++;
		t->own_error +=
		        (float)((fabs(m - count) - (double)t->own_error) / (double)t->compared);
		t->naive_error += (float)((fabs(quick - count) - (double)t->naive_error) /
		                          (double)t->compared);
	}
	if (!pool)
		return;
	/* each counts by its scatter, which is that of a count of its level */
	scale = factor * (slow + 1);
	pool->ahead[h].xy = LEFT_KEEP * pool->ahead[h].xy +
	                    factor * (quick - slow) * (count - factor * slow) / scale;
	pool->ahead[h].xx = LEFT_KEEP * pool->ahead[h].xx +
	                    factor * factor * (quick - slow) * (quick - slow) / scale;
	pool->ahead[h].counted = LEFT_KEEP * pool->ahead[h].counted + count;
	pool->ahead[h].median = LEFT_KEEP * pool->ahead[h].median + m;
	interval_at(&pool->ahead[h].interval, m, &lo, &hi);
	interval_learn(&pool->ahead[h].interval, m, lo, hi, count, SHARED_GAIN);
}

void tail_add(struct tail *t, struct tail_pool *pool, const struct zone *z, int64_t bucket,
              double local_s, double count)
{
	double factor = tail_factor(pool, z, local_s), x = count / factor;
	int64_t phase = ((bucket % ROUND) + ROUND) % ROUND;

	if (pool && (double)t->buckets > 1 / SLOW_GAIN)
		learn_rhythm(pool, z, local_s, count, (double)t->slow);
	if ((double)t->buckets > (double)ROUND + 1 / QUICK_GAIN) {
		/* levels were noted when the bucket with phase 0 had ended */
		for (int h = 0; h < HORIZON_DAY; h++)
			if ((int64_t)AHEAD[h] % ROUND == phase)
				compare(t, pool, h, factor, count);
	}
	if ((double)t->buckets < MAX_BUCKETS)
		t->buckets++;
	t->quick += (float)(fmax(QUICK_GAIN, 1 / (double)t->buckets) * (x - (double)t->quick));
	t->slow += (float)(fmax(SLOW_GAIN, 1 / (double)t->buckets) * (x - (double)t->slow));
	if (phase == 0) {
		t->quick_before = t->quick;
		t->slow_before = t->slow;
	}
}

struct ensemble_forecast tail_at(const struct tail *t, const struct tail_pool *pool,
                                 const struct zone *z, int64_t ahead, double local_s)
{
	struct ensemble_forecast r = {0};
	struct interval plain;
	double share, m;
	int h = 0;

	if (t->buckets == 0)
		return r;
	while (h + 1 < HORIZON_DAY && AHEAD[h + 1] <= (double)ahead)
		h++;
	share = left(pool, h);
	if ((double)ahead > AHEAD[HORIZON_30M]) {
		/* what is left of it fades on as it did in the first half hour */
		share = pow(share, (double)ahead / AHEAD[HORIZON_30M]);
	}
	m = tail_factor(pool, z, local_s) * level((double)t->quick, (double)t->slow, share);
	interval_init(&plain);
	interval_at(pool ? &pool->ahead[h].interval : &plain, m, &r.lo80, &r.hi80);
	r.median = r.mean = m;
	return r;
}

/* -- Keeping it -------------------------------------------------------------------------------- */

void tail_pool_state(const struct tail_pool *pool, struct tail_pool_state *ret)
{
	double *v = ret->ahead;

	for (int i = 0; i < TAIL_SLOTS; i++) {
		ret->got[i] = (double)pool->got[i / ENSEMBLE_SLOTS][i % ENSEMBLE_SLOTS];
		ret->due[i] = (double)pool->due[i / ENSEMBLE_SLOTS][i % ENSEMBLE_SLOTS];
	}
	for (int h = 0; h < HORIZON_DAY; h++) {
		const struct interval *x = &pool->ahead[h].interval;

		*v++ = pool->ahead[h].xy;
		*v++ = pool->ahead[h].xx;
		*v++ = pool->ahead[h].counted;
		*v++ = pool->ahead[h].median;
		*v++ = (double)x->below;
		*v++ = (double)x->above;
		*v++ = (double)x->abs_error;
		*v++ = (double)x->n;
	}
}

bool tail_pool_restore(struct tail_pool *pool, const double *got, const double *due,
                       const double *ahead)
{
	bool right = range_holds(got, TAIL_SLOTS, 0, 1e12) && range_holds(due, TAIL_SLOTS, 0, 1e12);

	for (int h = 0; h < HORIZON_DAY; h++)
		right &= range_holds(ahead + 8 * h, 1, -1e15, 1e15) &&
		         range_holds(ahead + 8 * h + 1, 3, 0, 1e15) &&
		         range_holds(ahead + 8 * h + 4, 2, -1e5, 1e5) &&
		         range_holds(ahead + 8 * h + 6, 2, 0, 1e9);
	if (!right)
		return false;
	for (int i = 0; i < TAIL_SLOTS; i++) {
		pool->got[i / ENSEMBLE_SLOTS][i % ENSEMBLE_SLOTS] = (float)got[i];
		pool->due[i / ENSEMBLE_SLOTS][i % ENSEMBLE_SLOTS] = (float)due[i];
	}
	for (int h = 0; h < HORIZON_DAY; h++, ahead += 8) {
		pool->ahead[h].xy = ahead[0];
		pool->ahead[h].xx = ahead[1];
		pool->ahead[h].counted = ahead[2];
		pool->ahead[h].median = ahead[3];
		pool->ahead[h].interval = (struct interval){(float)ahead[4], (float)ahead[5],
		                                            (float)ahead[6], (float)ahead[7]};
	}
	return true;
}

void tail_state(const struct tail *t, double ret[TAIL_STATE])
{
	ret[0] = (double)t->quick;
	ret[1] = (double)t->slow;
	ret[2] = (double)t->buckets;
	ret[3] = (double)t->own_error;
	ret[4] = (double)t->naive_error;
	ret[5] = (double)t->compared;
}

bool tail_restore(struct tail *t, const double v[TAIL_STATE])
{
	if (!range_holds(v, TAIL_STATE, 0, 1e12))
		return false;
	*t = (struct tail){.quick = (float)v[0],
	                   .slow = (float)v[1],
	                   .quick_before = (float)v[0],
	                   .slow_before = (float)v[1],
	                   .buckets = (float)fmin(v[2], MAX_BUCKETS),
	                   .own_error = (float)v[3],
	                   .naive_error = (float)v[4],
	                   .compared = (float)fmin(v[5], ERROR_COUNTS)};
	return true;
}
