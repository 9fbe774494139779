/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/walk.h"

#include "base/rng.h"
#include "tests/tap.h"

static struct rng rng;

/* A rate that is all but certain: the posterior-predictive becomes 1 - exp(-rate u). */
static struct change sure(double rate)
{
	return (struct change){1e7, 1e7 / rate};
}

static struct walk_question question(double rate, double requests, double price)
{
	return (struct walk_question){
	        .rate = sure(rate),
	        .requests_per_s = requests,
	        .zone = &zone_utc,
	        .loaded = {1400000000000000},
	        .price = price,
	        .cost = 1,
	        .p_cap = 1,
	        .min_s = 0,
	        .max_s = 30 * 86400,
	};
}

/*
 * Loads and stale serves per request of an on-demand cache, times the price: what the TTL
 * minimises.
 */
static double cost_on_demand(const struct walk_question *q, double rate, double ttl)
{
	double r = q->requests_per_s, stale = r * (ttl - -expm1(-rate * ttl) / rate);

	return (q->cost + q->miss_value + q->price * stale) / (r * ttl + 1);
}

TEST(the_ttl_is_where_the_cost_is_least)
{
	for (int i = 0; i < 200; i++) {
		double rate = exp(rng_uniform(&rng) * 10 - 10),
		       requests = exp(rng_uniform(&rng) * 10 - 8);
		struct walk_question q = question(rate, requests, exp(rng_uniform(&rng) * 4));
		struct walk_answer a;
		double best = HUGE_VAL, here;

		q.miss_value = i % 2 ? 0 : 0.5;
		a = walk_ttl(&q);
		if (a.refresh_ahead)
			continue;
		for (double t = 0.01; t < q.max_s; t *= 1.01)
			best = fmin(best, cost_on_demand(&q, rate, t));
		best = fmin(best, cost_on_demand(&q, rate, q.max_s));
		here = cost_on_demand(&q, rate, a.ttl_s);
		OK(here <= best * 1.01 + 1e-9,
		   "rate %g requests %g price %g: ttl %g costs %g, best %g", rate, requests,
		   q.price, a.ttl_s, here, best);
	}
}

TEST(small_ages_follow_the_closed_form)
{
	/* T = (sqrt(1 + 2 r / (s rate)) - 1) / r for rate T << 1 */
	struct walk_question q = question(1e-4, 0.5, 20);
	double want = (sqrt(1 + 2 * 0.5 / (20 * 1e-4)) - 1) / 0.5;

	NEAR(walk_ttl(&q).ttl_s / want, 1, 0.01);
}

TEST(a_dearer_stale_serve_shortens_the_life)
{
	double last = HUGE_VAL;

	for (double price = 0.5; price < 1000; price *= 2) {
		struct walk_question q = question(0.01, 1, price);
		double t = walk_ttl(&q).ttl_s;

		OK(t < last, "price %g: %g not below %g", price, t, last);
		last = t;
	}
}

TEST(doubt_about_the_rate_shortens_the_life_of_what_looks_stable)
{
	struct walk_question q = question(1e-5, 0.1, 10);
	double known = walk_ttl(&q).ttl_s, unknown;

	q.rate = (struct change){0.5, 0.5 / 1e-3};
	unknown = walk_ttl(&q).ttl_s;
	OK(unknown < known, "%g %g", unknown, known);
}

TEST(bounds_hold_and_are_named)
{
	struct walk_question q = question(1e-15, 1, 1);
	struct walk_answer a = walk_ttl(&q);

	OK(a.end == WALK_MAX, "%d", a.end);
	NEAR(a.ttl_s, q.max_s, 1e-6);
	q = question(10, 0.001, 100);
	q.min_s = 1;
	a = walk_ttl(&q);
	OK(a.end == WALK_MIN && a.ttl_s == 1, "%d %g", a.end, a.ttl_s);
	NEAR(a.p_stale, 1, 1e-4);
	q = question(1e-3, 1e-6, 1);
	q.p_cap = 0.2;
	a = walk_ttl(&q);
	OK(a.end == WALK_CAP, "%d", a.end);
	NEAR(a.ttl_s / (-log1p(-0.2) / 1e-3), 1, 0.01);
}

TEST(refresh_ahead_pays_for_hot_keys_and_dear_misses_only)
{
	struct walk_question q = question(0.001, 1, 10);

	q.miss_value = 0;
	OK(!walk_ttl(&q).refresh_ahead, "a miss that costs the user nothing is no reason");
	q.miss_value = 1;
	OK(walk_ttl(&q).refresh_ahead);
	q.requests_per_s = 0.001;
	OK(!walk_ttl(&q).refresh_ahead, "nobody asks");
}

TEST(a_life_planned_at_night_ends_with_the_morning)
{
	struct shape s;
	struct walk_question q = question(5e-5, 1e-4, 3);
	double factor[ZONE_DAY_KINDS][SHAPE_BINS], flat, morning;

	/* 1400000000 is 2014-05-13 16:53:20 UTC: load at 20:53, changes only from 09:30 to 16:00 */
	for (int k = 0; k < ZONE_DAY_KINDS; k++)
		for (int i = 0; i < SHAPE_BINS; i++)
			factor[k][i] = i >= 38 && i < 64 ? 1 : 0.002;
	shape_init(&s);
	shape_set(&s, (const double(*)[SHAPE_BINS])factor);
	q.loaded = instant_add(q.loaded, SPAN_S(4 * 3600));
	flat = walk_ttl(&q).ttl_s;
	q.volatility = &s;
	morning = 20 * 3600 + 53 * 60 + 20 + walk_ttl(&q).ttl_s;
	OK(flat < 8 * 3600, "%g", flat);
	OK(morning > (24 + 9.4) * 3600 && morning < (24 + 10) * 3600.0, "ends at %g h",
	   morning / 3600 - 24);
}

TEST(what_is_tolerated_lengthens_the_life)
{
	struct walk_question q = question(0.05, 1, 10);
	double strict = walk_ttl(&q).ttl_s;

	q.tolerated_s = 30;
	NEAR(walk_ttl(&q).ttl_s > strict + 10, 1, 0);
}

/*
 * int (M + head) dS in steps so small that nothing is left to be clever about: the age at which it
 * reaches the target, or S the cap.
 */
static double slow_optimum(const struct walk_question *q, double head, double target, double step)
{
	struct shape_walk vol, dem;
	double t0 = instant_s(q->loaded), p = 0, m = 0, sum = 0;

	shape_walk_start(&vol, q->volatility, q->zone, q->loaded);
	shape_walk_start(&dem, q->demand, q->zone, q->loaded);
	for (double t = step; t < q->max_s; t += step) {
		double seen = t - q->tolerated_s;
		double p1 = seen > 0 ? change_p(q->rate, shape_walk_to(&vol, t0 + seen)) : 0;
		double m1 = q->requests_per_s * shape_walk_to(&dem, t0 + t);

		sum += (0.5 * (m + m1) + head) * (p1 - p);
		if (sum >= target || (q->p_cap < 1 && p1 >= q->p_cap))
			return t;
		p = p1;
		m = m1;
	}
	return q->max_s;
}

/* Made-up days, and ticks of a made-up period that take most changes. */
static void make_rhythm(struct shape *s, double period)
{
	double factor[ZONE_DAY_KINDS][SHAPE_BINS], theta[TIMETABLE_BINS];
	int tick = (int)rng_below(&rng, TIMETABLE_BINS);

	for (int k = 0; k < ZONE_DAY_KINDS; k++)
		for (int i = 0; i < SHAPE_BINS; i++)
			factor[k][i] =
			        exp(4 * rng_uniform(&rng) - 2) * (i > 36 && i < 70 ? 1 : 0.01);
	for (int i = 0; i < TIMETABLE_BINS; i++)
		theta[i] = i == tick ? 4 : -2;
	shape_init(s);
	if (period > 0)
		timetable_restore(&s->timetable, period, theta);
	shape_set(s, (const double(*)[SHAPE_BINS])factor);
}

TEST(long_steps_end_where_short_ones_do)
{
	static const double period[] = {0, 60, 300, 3600};
	double worst = 0;

	for (int i = 0; i < 160; i++) {
		double rate = exp(rng_uniform(&rng) * 6 - 9);
		struct walk_question q =
		        question(rate, exp(rng_uniform(&rng) * 8 - 8), exp(rng_uniform(&rng) * 4));
		struct shape volatility, demand;
		struct walk_answer a;
		double want, early, late;

		make_rhythm(&volatility, period[i % 4]);
		make_rhythm(&demand, 0);
		q.volatility = &volatility;
		q.demand = &demand;
		q.rate = (struct change){0.3 + 3 * rng_uniform(&rng), 0};
		q.rate.b = q.rate.a / rate;
		q.loaded.us += (int64_t)(rng_uniform(&rng) * 7 * 86400e6);
		q.max_s = 86400;
		q.miss_value = i % 3;
		a = walk_ttl(&q);
		/* the steps leave some per cent of the target in doubt, all together */
		want = a.refresh_ahead ? q.cost : q.cost + q.miss_value;
		early = slow_optimum(&q, !a.refresh_ahead, 0.95 * want / q.price, 0.5);
		late = slow_optimum(&q, !a.refresh_ahead, 1.05 * want / q.price, 0.5);
		OK(a.ttl_s >= 0.997 * early - 1 && a.ttl_s <= 1.003 * late + 1,
		   "period %g: %g s is not within %g and %g s", period[i % 4], a.ttl_s, early,
		   late);
		want = slow_optimum(&q, !a.refresh_ahead, want / q.price, 0.5);
		worst = fmax(worst, fabs(a.ttl_s - want) / (want + 10));
	}
	printf("# farthest from the slow integration: %.2g of the life\n", worst);
}

/* Without ticks S is smooth from quarter of an hour to quarter of an hour: no doubt need be left. */
TEST(where_clocks_run_evenly_the_life_is_exact)
{
	const int lives = 200;
	int exact = 0;

	for (int i = 0; i < lives; i++) {
		double rate = exp(rng_uniform(&rng) * 5 - 9), want, seen;
		struct walk_question q =
		        question(rate, exp(rng_uniform(&rng) * 8 - 8), exp(rng_uniform(&rng) * 3));
		struct shape volatility, demand;
		struct walk_answer a;

		make_rhythm(&volatility, 0);
		make_rhythm(&demand, 0);
		q.volatility = i % 4 ? &volatility : NULL;
		q.demand = i % 3 ? &demand : NULL;
		q.rate = (struct change){0.3 + 3 * rng_uniform(&rng), 0};
		q.rate.b = q.rate.a / rate;
		q.loaded.us += (int64_t)(rng_uniform(&rng) * 7 * 86400e6);
		q.max_s = 7200;
		q.miss_value = i % 3;
		q.p_cap = i % 5 ? 1 : 0.2;
		q.tolerated_s = i % 7 ? 0 : 45;
		a = walk_ttl(&q);
		want = (a.refresh_ahead ? q.cost : q.cost + q.miss_value) / q.price;
		want = slow_optimum(&q, !a.refresh_ahead, want, 0.1);
		seen = fmax(a.ttl_s - q.tolerated_s, 0);
		exact += fabs(a.ttl_s - want) < 0.0005 * want + 0.1;
		NEAR(a.ttl_s, want, 0.1 * want);
		want = change_p(q.rate, shape_mass(q.volatility, q.zone, q.loaded,
		                                   instant_add(q.loaded, span_from_s(seen))));
		NEAR(a.p_stale, want, 0.02);
	}
	/* the others end where steps were long, as is right through quiet hours */
	OK(exact >= 0.9 * lives, "%d of %d lives are", exact, lives);
	printf("# exact: %d of %d\n", exact, lives);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(the_ttl_is_where_the_cost_is_least);
	RUN(long_steps_end_where_short_ones_do);
	RUN(where_clocks_run_evenly_the_life_is_exact);
	RUN(small_ages_follow_the_closed_form);
	RUN(a_dearer_stale_serve_shortens_the_life);
	RUN(doubt_about_the_rate_shortens_the_life_of_what_looks_stable);
	RUN(bounds_hold_and_are_named);
	RUN(refresh_ahead_pays_for_hot_keys_and_dear_misses_only);
	RUN(a_life_planned_at_night_ends_with_the_morning);
	RUN(what_is_tolerated_lengthens_the_life);
	return tap_done();
}
