/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "predictor/plan.c"

#include "tests/tap.h"

static const struct instant START = {INT64_C(1795392000) * 1000000};

static struct instant at(double s)
{
	return instant_add(START, span_from_s(s));
}

/* An endpoint whose one key changes every 1000 s, for sure, and is asked for every 10 s. */
struct bench {
	struct endpoint ep;
	struct key k;
	struct plan_terms t;
};

static void bench_init(struct bench *b)
{
	*b = (struct bench){.k = {.last_seen = INSTANT_NONE, .loaded = START}};
	endpoint_init(&b->ep, (struct change){100, 100 * 1000.0});
	*vec_push(&b->ep.keys) = 0;
	for (int i = -20000; i <= 0; i++)
		endpoint_request(&b->ep, &zone_utc, &b->k, at(i * 10), 1);
	b->t = (struct plan_terms){
	        .zone = &zone_utc,
	        .price = 5,
	        .cost = 1,
	        .max_age_s = 86400,
	        .max_stale_key = 1,
	};
}

static struct walk_answer plan(const struct bench *b)
{
	return plan_ttl(&b->ep, &b->k, START, START, &b->t);
}

/* Where s (r x - (1 + r - ...)) balances: on demand, one key, constant rates, by bisection. */
static double oracle(double changes, double requests, double price, double cost)
{
	double lo = 0, hi = 1e7;

	/* price * integral of (requests u + 1) dS(u) up to T = cost, S = 1 - e^(-changes u) */
	for (int i = 0; i < 200; i++) {
		double t = 0.5 * (lo + hi), x = changes * t, e = exp(-x);
		double lhs = price * (requests / changes * (1 - e * (1 + x)) + 1 - e);

		if (lhs < cost)
			lo = t;
		else
			hi = t;
	}
	return lo;
}

TEST(the_ttl_is_where_the_next_stale_serve_costs_its_price)
{
	struct bench b;

	bench_init(&b);
	for (double price = 0.5; price < 1000; price *= 3) {
		b.t.price = price;
		NEAR(plan(&b).ttl_s / oracle(1e-3, 0.1, price, 1), 1, 0.04);
		OK(plan(&b).end == WALK_PLANNED && !plan(&b).refresh_ahead);
	}
	b.t.price = 5;
	b.t.cost = 3;
	NEAR(plan(&b).ttl_s / oracle(1e-3, 0.1, 5, 3), 1, 0.04);
	endpoint_release(&b.ep);
}

TEST(each_bound_decides_when_it_is_reached_and_says_so)
{
	struct bench b;
	double free_s;

	bench_init(&b);
	free_s = plan(&b).ttl_s;
	b.t.min_ttl_s = 2 * free_s;
	NEAR(plan(&b).ttl_s, 2 * free_s, 1e-9);
	OK(plan(&b).end == WALK_MIN);
	b.t.max_age_s = free_s / 2;
	NEAR(plan(&b).ttl_s, free_s / 2, 1e-9); /* the hard limit is above all, min_ttl too */
	b.t.min_ttl_s = 0;
	NEAR(plan(&b).ttl_s, free_s / 2, 1e-9);
	OK(plan(&b).end == WALK_MAX);
	b.t.max_age_s = 86400;
	b.t.max_stale_key = 0.01;
	OK(plan(&b).end == WALK_CAP);
	NEAR(plan(&b).p_stale, 0.01, 1e-9);
	NEAR(plan(&b).ttl_s, -log1p(-0.01) * 1000, 0.2);
	endpoint_release(&b.ep);
}

TEST(what_is_tolerated_lengthens_and_what_a_miss_costs_refreshes)
{
	struct bench b;
	double free_s;

	bench_init(&b);
	free_s = plan(&b).ttl_s;
	b.t.stale_after_s = 30;
	OK(plan(&b).ttl_s > free_s + 10 && plan(&b).ttl_s < free_s + 30, "%g", plan(&b).ttl_s);
	b.t.stale_after_s = 0;
	b.t.miss_value = 4;
	OK(plan(&b).refresh_ahead);
	endpoint_release(&b.ep);
}

TEST(the_tempo_and_the_rhythms_of_the_endpoint_are_in_it)
{
	struct bench b;
	double f[ZONE_DAY_KINDS][SHAPE_BINS], free_s;

	bench_init(&b);
	free_s = plan(&b).ttl_s;
	endpoint_set_tempo(&b.ep, log(4));
	NEAR(plan(&b).ttl_s / oracle(4e-3, 0.1, 5, 1), 1, 0.04);
	endpoint_set_tempo(&b.ep, 0);
	/* midnight: nothing changes before 06:00, and much then */
	for (int k = 0; k < ZONE_DAY_KINDS; k++)
		for (int i = 0; i < SHAPE_BINS; i++)
			f[k][i] = i < 24 ? 1e-6 : 1;
	b.ep.shape = calloc(1, sizeof(*b.ep.shape));
	shape_init(b.ep.shape);
	shape_set(b.ep.shape, (const double(*)[SHAPE_BINS])f);
	OK(plan(&b).ttl_s > 20 * free_s, "%g is %g", plan(&b).ttl_s, free_s);
	b.t.max_stale_key = 0.3;
	OK(plan(&b).ttl_s < 6 * 3600 + 400);
	/* and nobody asks before 06:00 */
	b.t.max_stale_key = 1;
	free(b.ep.shape);
	b.ep.shape = NULL;
	shape_set(b.ep.demand.shape, (const double(*)[SHAPE_BINS])f);
	OK(plan(&b).ttl_s > 2 * free_s, "%g is %g", plan(&b).ttl_s, free_s);
	endpoint_release(&b.ep);
}

TEST(the_rate_of_requests_is_the_one_known_now)
{
	struct bench b;
	double at_load, later;

	bench_init(&b);
	at_load = plan(&b).ttl_s;
	later = plan_ttl(&b.ep, &b.k, START, at(20 * 86400), &b.t).ttl_s;
	OK(later > 1.5 * at_load, "nobody asked for twenty days: %g, was %g", later, at_load);
	endpoint_release(&b.ep);
}

TEST(a_key_that_nobody_knows_gets_a_finite_ttl)
{
	struct plan_terms t = {.zone = &zone_utc,
	                       .price = 5,
	                       .cost = 1,
	                       .min_ttl_s = 1,
	                       .max_age_s = 86400,
	                       .max_stale_key = 0.3};
	static const double starts[] = {0, -1e9, 1e9};

	for (int i = 0; i < 3; i++) {
		struct key k = {.last_seen = INSTANT_NONE};
		struct instant now = instant_from_s(starts[i]);
		struct walk_answer a;
		struct endpoint ep;

		endpoint_init(&ep, (struct change){0.5, 30});
		a = plan_ttl(&ep, &k, now, now, &t);
		OK(a.ttl_s >= 1 && a.ttl_s <= 86400 && a.p_stale >= 0 && a.p_stale <= 0.3 + 1e-9,
		   "%g %g", a.ttl_s, a.p_stale);
		endpoint_release(&ep);
	}
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(the_ttl_is_where_the_next_stale_serve_costs_its_price);
	RUN(each_bound_decides_when_it_is_reached_and_says_so);
	RUN(what_is_tolerated_lengthens_and_what_a_miss_costs_refreshes);
	RUN(the_tempo_and_the_rhythms_of_the_endpoint_are_in_it);
	RUN(the_rate_of_requests_is_the_one_known_now);
	RUN(a_key_that_nobody_knows_gets_a_finite_ttl);
	return tap_done();
}
