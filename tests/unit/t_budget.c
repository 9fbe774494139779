/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "predictor/budget.c"

#include "base/rng.h"
#include "tests/tap.h"

static struct rng rng;
static const struct span NO_RETRY = {0}, QUICK = {20000};

static struct instant at(double s)
{
	return instant_from_s(1e9 + s);
}

static struct budget of(double rate, double burst, double limit)
{
	struct budget b;

	budget_init(&b, rate, burst, limit, at(0));
	return b;
}

/* Starts and, when that is allowed, ends a load at once. */
static bool run(struct budget *b, double s, enum budget_for what)
{
	if (!budget_start(b, at(s), what))
		return false;
	budget_end(b, at(s), what, true, QUICK, NO_RETRY);
	return true;
}

static void fail(struct budget *b, double s, double retry_s)
{
	budget_start(b, at(s), BUDGET_MISS);
	budget_end(b, at(s), BUDGET_MISS, false, QUICK, span_from_s(retry_s));
}

TEST(the_rate_holds_after_the_burst)
{
	struct budget b = of(5, 20, 100);
	int n = 0;

	for (int i = 0; i < 100; i++)
		n += run(&b, 0, BUDGET_REFRESH);
	NEAR(n, 20, 0);
	n = 0;
	for (int i = 0; i < 10000; i++)
		n += run(&b, i * 0.01, BUDGET_REFRESH);
	NEAR(n, 500, 1);
	/* what is not used is not kept beyond the burst */
	n = 0;
	for (int i = 0; i < 100; i++)
		n += run(&b, 1e6, BUDGET_REFRESH);
	NEAR(n, 20, 0);
}

TEST(misses_are_never_held_back)
{
	struct budget b = of(0, 1, 1);

	for (int i = 0; i < 1000; i++)
		OK(budget_start(&b, at(0), BUDGET_MISS));
	NEAR(b.running, 1000, 0);
	NEAR(b.background, 0, 0);
	for (int i = 0; i < 20; i++)
		budget_end(&b, at(0), BUDGET_MISS, false, QUICK, SPAN_S(60));
	OK(budget_start(&b, at(1), BUDGET_MISS), "not by a breaker or the origin's wish either");
}

TEST(a_rate_of_nothing_means_nothing_in_the_background)
{
	struct budget b = of(0, 50, 32);

	OK(!run(&b, 0, BUDGET_REFRESH) && !run(&b, 1e6, BUDGET_PREWARM) &&
	   !run(&b, 1e6, BUDGET_AUDIT) && !run(&b, 1e6, BUDGET_EVENT));
	b = of(50, 50, 32);
	budget_configure(&b, 0, 50, 32);
	OK(!run(&b, 0, BUDGET_REFRESH));
	budget_configure(&b, 50, 50, 32);
	OK(run(&b, 1, BUDGET_REFRESH));
}

TEST(half_of_the_loads_in_flight_are_left_to_misses)
{
	struct budget b = of(1000, 1000, 20);
	int n = 0;

	while (n < 100 && budget_start(&b, at(0), BUDGET_REFRESH))
		n++;
	NEAR(n, 10, 0);
	b = of(1000, 1000, 20);
	for (int i = 0; i < 17; i++)
		budget_start(&b, at(0), BUDGET_MISS);
	n = 0;
	while (n < 100 && budget_start(&b, at(0), BUDGET_REFRESH))
		n++;
	NEAR(n, 3, 0);
	budget_end(&b, at(0), BUDGET_MISS, true, QUICK, NO_RETRY);
	OK(budget_start(&b, at(0), BUDGET_REFRESH) && !budget_start(&b, at(0), BUDGET_REFRESH));
	/* with room for one there is still one */
	b = of(1000, 1000, 1);
	OK(budget_start(&b, at(0), BUDGET_REFRESH) && !budget_start(&b, at(0), BUDGET_REFRESH));
}

TEST(audits_have_a_reserve_that_nobody_else_can_use)
{
	struct budget b = of(50, 50, 10);
	double audits = 0, s;

	run(&b, 0, BUDGET_AUDIT);
	for (int i = 0; i < 10; i++)
		budget_start(&b, at(0), BUDGET_MISS);
	for (s = 0; s < 100; s += 0.01) {
		OK(!run(&b, s, BUDGET_REFRESH), "misses fill the origin");
		audits += run(&b, s, BUDGET_AUDIT);
	}
	NEAR(audits, 100, 1); /* 2 % of 50 per second */
	b = of(50, 50, 100);
	while (run(&b, 0, BUDGET_REFRESH))
		;
	OK(run(&b, 0, BUDGET_AUDIT));
	OK(!run(&b, 0, BUDGET_AUDIT), "the reserve is one load at a time");
}

TEST(failures_shrink_the_window_and_successes_grow_it_back)
{
	struct budget b = of(1000, 1000, 32);
	int n = 0;

	fail(&b, 0, 0);
	NEAR(b.window, 32 * 0.7, 1e-9);
	for (int i = 0; i < 4; i++)
		fail(&b, 0, 0);
	NEAR(b.window, 32 * pow(0.7, 5), 1e-9);
	for (int i = 0; i < 50; i++)
		fail(&b, 0, 0);
	NEAR(b.window, 1, 0);
	/* one more for each window of loads: 32 after 32^2 / 2 of them */
	while (b.window < 32 && n++ < 10000)
		run(&b, 1, BUDGET_MISS);
	NEAR(n, 512, 40);
	for (int i = 0; i < 100; i++)
		run(&b, 1, BUDGET_MISS);
	NEAR(b.window, 32, 0);
}

static void took(struct budget *b, int n, int64_t ms)
{
	for (int i = 0; i < n; i++) {
		budget_start(b, at(0), BUDGET_MISS);
		budget_end(b, at(0), BUDGET_MISS, true, SPAN_MS(ms), NO_RETRY);
	}
}

TEST(slow_loads_shrink_the_window_until_slow_is_what_is_usual)
{
	struct budget b = of(1000, 1000, 32);

	took(&b, 100, 100);
	NEAR(b.window, 32, 0);
	took(&b, 10, 300);
	NEAR(b.window, 32, 0);
	took(&b, 10, 500);
	NEAR(b.window, 22, 0);
	took(&b, 5, 300);
	NEAR(b.window, 22, 0); /* neither good nor bad */
	took(&b, 4, 120);
	OK(b.window > 22);
	/* the base creeps up by a thousandth each */
	took(&b, 3000, 500);
	NEAR(b.base_us, 500000, 1);
	NEAR(b.window, 32, 0);
	/* of loads below 10 ms none is slow */
	b = of(1000, 1000, 32);
	took(&b, 10, 1);
	took(&b, 10, 9);
	NEAR(b.window, 32, 0);
}

TEST(the_breaker_rests_longer_each_time_and_a_success_ends_it)
{
	struct budget b = of(1000, 1000, 32);
	double s = 0;

	for (int i = 0; i < 4; i++)
		fail(&b, s, 0);
	OK(run(&b, s, BUDGET_REFRESH));
	NEAR(b.failures, 0, 0);
	for (int i = 0; i < 5; i++)
		fail(&b, s, 0);
	for (int i = 0; i < 12; i++) {
		double rest_s = i < 6 ? exp2(i) : 64;

		OK(!run(&b, s + rest_s - 0.01, BUDGET_REFRESH), "rest %d", i);
		OK(!run(&b, s + rest_s - 0.01, BUDGET_AUDIT), "rest %d", i);
		s += rest_s + 0.01;
		OK(budget_start(&b, at(s), BUDGET_REFRESH), "rest %d", i);
		budget_end(&b, at(s), BUDGET_REFRESH, false, QUICK, NO_RETRY);
	}
	OK(!run(&b, s, BUDGET_REFRESH));
	run(&b, s, BUDGET_MISS);
	OK(run(&b, s, BUDGET_REFRESH));
}

TEST(what_the_origin_asked_for_stands_whatever_else_comes_back)
{
	struct budget b = of(1000, 1000, 32);

	/* a load that was under way before the origin said so */
	budget_start(&b, at(0), BUDGET_MISS);
	fail(&b, 0, 60);
	budget_end(&b, at(0.1), BUDGET_MISS, true, QUICK, NO_RETRY);
	OK(!run(&b, 1, BUDGET_REFRESH));
	/* a shorter wish, or a plain failure, takes nothing off it */
	fail(&b, 1, 2);
	for (int i = 0; i < 6; i++)
		fail(&b, 1, 0);
	run(&b, 1, BUDGET_MISS);
	OK(!run(&b, 59.9, BUDGET_REFRESH) && run(&b, 60.1, BUDGET_REFRESH));
	/* and none is for ever */
	fail(&b, 100, 1e12);
	OK(!run(&b, 100 + 3599, BUDGET_REFRESH) && run(&b, 100 + 3601, BUDGET_REFRESH));
}

TEST(use_is_told_per_second_and_fades)
{
	struct budget b = of(1000, 1000, 1000);
	double t = 0;

	NEAR(budget_used(&b, at(0)), 0, 0);
	while (t < 600) {
		t += rng_exponential(&rng, 20);
		run(&b, t, t < 300 ? BUDGET_REFRESH : BUDGET_AUDIT);
		run(&b, t, BUDGET_MISS);
	}
	NEAR(budget_used(&b, at(t)), 20, 2.5);
	NEAR(budget_used(&b, at(t + 60)) / budget_used(&b, at(t)), exp(-1), 1e-9);
	/* a clock that goes back makes nothing grow */
	NEAR(budget_used(&b, at(t - 1e6)), budget_used(&b, at(t)), 1e-12);
}

TEST(new_limits_hold_at_once)
{
	struct budget b = of(100, 100, 64);
	int n = 0;

	budget_configure(&b, 2, 3, 8);
	NEAR(b.window, 8, 0);
	NEAR(b.tokens, 3, 0);
	for (int i = 0; i < 100; i++)
		n += run(&b, 0, BUDGET_REFRESH);
	NEAR(n, 3, 0);
	NEAR(b.window, 8, 0);
	budget_configure(&b, 2, 3, 64);
	NEAR(b.window, 8, 0); /* and grows by successes */
}

TEST(any_order_of_events_leaves_sane_numbers)
{
	for (int r = 0; r < 200; r++) {
		struct budget b = of(rng_uniform(&rng) * 100, 1 + rng_uniform(&rng) * 100,
		                     1 + rng_uniform(&rng) * 40);
		double s = 0;

		for (int i = 0; i < 500; i++) {
			enum budget_for what = (enum budget_for)rng_below(&rng, 5);

			s += rng_normal(&rng) < 2 ? rng_exponential(&rng, 10)
			                          : -100 * rng_uniform(&rng);
			if (rng_below(&rng, 2))
				budget_start(&b, at(s), what);
			else
				budget_end(&b, at(s), what, rng_below(&rng, 3),
				           SPAN_US(rng_below(&rng, 1000000)),
				           span_from_s(rng_below(&rng, 9)
				                               ? 0
				                               : 1e3 * rng_uniform(&rng)));
			OK(b.window >= 1 && b.window <= b.limit && b.tokens >= 0 &&
			   b.tokens <= b.burst);
			OK(b.audit_tokens >= 0 && b.background <= b.running + 500 &&
			   b.running <= 500);
			OK(isfinite(b.base_us) && isfinite(budget_used(&b, at(s))) &&
			   budget_used(&b, at(s)) >= 0);
		}
	}
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(the_rate_holds_after_the_burst);
	RUN(misses_are_never_held_back);
	RUN(a_rate_of_nothing_means_nothing_in_the_background);
	RUN(half_of_the_loads_in_flight_are_left_to_misses);
	RUN(audits_have_a_reserve_that_nobody_else_can_use);
	RUN(failures_shrink_the_window_and_successes_grow_it_back);
	RUN(slow_loads_shrink_the_window_until_slow_is_what_is_usual);
	RUN(the_breaker_rests_longer_each_time_and_a_success_ends_it);
	RUN(what_the_origin_asked_for_stands_whatever_else_comes_back);
	RUN(use_is_told_per_second_and_fades);
	RUN(new_limits_hold_at_once);
	RUN(any_order_of_events_leaves_sane_numbers);
	return tap_done();
}
