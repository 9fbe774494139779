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

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(the_ttl_is_where_the_cost_is_least);
	RUN(small_ages_follow_the_closed_form);
	RUN(a_dearer_stale_serve_shortens_the_life);
	RUN(doubt_about_the_rate_shortens_the_life_of_what_looks_stable);
	RUN(bounds_hold_and_are_named);
	RUN(refresh_ahead_pays_for_hot_keys_and_dear_misses_only);
	RUN(a_life_planned_at_night_ends_with_the_morning);
	RUN(what_is_tolerated_lengthens_the_life);
	return tap_done();
}
