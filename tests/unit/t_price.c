/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "predictor/price.c"

#include "base/rng.h"
#include "tests/tap.h"

static struct rng rng;

static struct instant at(double s)
{
	return instant_from_s(s);
}

/*
 * A cache in small: the dearer a stale serve, the fewer there are; in the odd half of a day four
 * times as many. Few requests carry most of the staleness. Returns the share of stale serves of the
 * last day.
 */
static double play(struct price *p, double days, double per_day, double at_price_1)
{
	double stale = 0, n = 0;

	for (double t = 0; t < days * DAY_S; t += DAY_S / per_day) {
		double odd = fmod(t, DAY_S) < DAY_S / 2 ? 0.4 : 1.6;
		double share = at_price_1 * odd / price_now(p);
		double said = rng_uniform(&rng) < 0.1 ? fmin(10 * share, 1) : 0;

		price_request(p, at(t), said, 1, PRICE_REACHES);
		if (t >= (days - 3) * DAY_S) {
			stale += said;
			n++;
		}
	}
	return stale / n;
}

TEST(the_objective_is_met_from_a_price_too_low_or_too_high)
{
	static const double objectives[] = {0.002, 0.01, 0.05};

	for (int i = 0; i < 3; i++)
		for (int high = 0; high < 2; high++) {
			double o = objectives[i], k = o * (high ? 0.5 : 50);
			struct price p;

			price_init(&p, o);
			NEAR(price_now(&p), PRICE_START, 1e-9);
			NEAR(play(&p, 12, 20000, k) / o, 1, 0.06);
			/* the price at which that is so */
			NEAR(price_now(&p) * o / k, 1, 0.35);
		}
}

TEST(it_swings_little_with_the_hours)
{
	struct price p;
	double lo = HUGE_VAL, hi = 0;

	price_init(&p, 0.01);
	play(&p, 10, 20000, 0.2);
	for (int i = 0; i < 20000; i++) {
		double odd = i < 10000 ? 0.4 : 1.6;

		price_request(&p, at(10 * DAY_S + i * DAY_S / 20000), 0.2 * odd / price_now(&p), 1,
		              PRICE_REACHES);
		lo = fmin(lo, price_now(&p));
		hi = fmax(hi, price_now(&p));
	}
	OK(hi / lo < 2, "%g", hi / lo);
}

TEST(the_step_is_large_at_first_and_then_one_of_half_a_day)
{
	struct price p;
	double before;

	price_init(&p, 0.01);
	price_request(&p, at(0), 0.02, 1, PRICE_REACHES);
	NEAR(p.log_price - log(PRICE_START), 1.0 / 501, 1e-5);
	for (int i = 0; i < 5 * 10000; i++)
		price_request(&p, at(i * DAY_S / 10000), 0.01, 1, PRICE_REACHES);
	NEAR(p.day_requests, 10000, 5);
	before = p.log_price;
	price_request(&p, at(5 * DAY_S - 1), 1, 1, PRICE_REACHES);
	NEAR(p.log_price - before, 99 / 5000.0, 1e-3);
}

TEST(repeats_in_one_are_as_good_as_one_by_one)
{
	struct price one, many;

	price_init(&one, 0.01);
	price_init(&many, 0.01);
	for (int i = 0; i < 20000; i++) {
		double p_stale = i % 100 < 10 ? 0.05 : 0.01;

		price_request(&one, at(i), p_stale, 1, PRICE_REACHES);
		if (i % 10 == 9)
			price_request(&many, at(i), p_stale, 10, PRICE_REACHES);
	}
	NEAR(many.log_price, one.log_price, 0.02);
	NEAR(price_measured(&many).mean, price_measured(&one).mean, 1e-5);
}

TEST(the_price_stays_between_its_bounds)
{
	struct price p;

	price_init(&p, 0);
	OK(p.objective > 0);
	price_request(&p, at(0), 1, 1e6, PRICE_REACHES);
	NEAR(price_now(&p) * p.objective / PRICE_TOP, 1, 1e-9);
	for (int i = 0; i < 100000; i++)
		price_request(&p, at(i * 60), 0, 100, PRICE_REACHES);
	NEAR(price_now(&p) / PRICE_MIN, 1, 1e-9);
	/* and comes back */
	price_set_objective(&p, 0.01);
	for (int i = 0; i < 3000; i++)
		price_request(&p, at(6e6 + i), 1, 100, PRICE_REACHES);
	OK(price_now(&p) > 1, "%g", price_now(&p));
}

TEST(it_does_not_rise_where_no_ttl_follows)
{
	struct price p;
	double before;

	/* all that is stale is at the shortest TTL: up makes no sense, down does */
	price_init(&p, 0.01);
	for (int i = 0; i < 1000; i++)
		price_request(&p, at(i), 0.5, 1, PRICE_BOUND);
	before = p.log_price;
	/* some had to be seen first */
	OK(price_now(&p) < 2 * PRICE_START, "%g", price_now(&p));
	price_request(&p, at(1000), 0.5, 100, PRICE_BOUND);
	NEAR(p.log_price, before, 0);
	price_request(&p, at(1001), 0, 100, PRICE_BOUND);
	OK(p.log_price < before, "%g %g", p.log_price, before);
	/* a tenth of it is not: that much is to be had */
	before = p.log_price;
	price_request(&p, at(1002), 0.5, 200, PRICE_REACHES);
	OK(p.log_price > before, "%g %g", p.log_price, before);
}

TEST(what_the_price_has_nothing_to_do_with_is_measured_only)
{
	struct price p;

	price_init(&p, 0.01);
	for (int i = 0; i < 1000; i++)
		price_request(&p, at(i), 0.5, 1, PRICE_IDLE);
	NEAR(price_now(&p), PRICE_START, 1e-9);
	NEAR(price_measured(&p).mean, 0.5, 1e-9);
	/* and does not stand in the way of what it does reach */
	price_request(&p, at(1000), 0.5, 1, PRICE_REACHES);
	OK(price_now(&p) > PRICE_START);
}

TEST(far_from_the_objective_both_sides_are_equally_far)
{
	double moved[2];

	for (int fresh = 0; fresh < 2; fresh++) {
		struct price p;

		price_init(&p, 0.01);
		for (int i = 0; i < 5 * 10000; i++)
			price_request(&p, at(i * DAY_S / 10000), 0.01, 1, PRICE_REACHES);
		moved[fresh] = p.log_price;
		for (int i = 0; i < 8000; i++)
			price_request(&p, at(5 * DAY_S + i * 8), fresh ? 0.001 : 0.1, 1,
			              PRICE_REACHES);
		moved[fresh] = p.log_price - moved[fresh];
	}
	OK(moved[0] > 0 && moved[1] < 0, "%g %g", moved[0], moved[1]);
	/* linear steps would move it ten times as far on one side */
	OK(moved[0] < -3 * moved[1], "%g %g", moved[0], moved[1]);
}

TEST(what_was_kept_comes_back_within_the_bounds)
{
	struct price p;

	price_init(&p, 0.01);
	price_restore(&p, 2.5);
	NEAR(p.log_price, 2.5, 0);
	price_restore(&p, 1e3);
	NEAR(price_now(&p), PRICE_TOP / 0.01, 1e-6);
	price_set_objective(&p, 0.1);
	NEAR(price_now(&p), PRICE_TOP / 0.1, 1e-6);
}

TEST(nothing_measured_is_nothing_claimed)
{
	struct price p;
	struct estimate e;

	price_init(&p, 0.01);
	e = price_measured(&p);
	OK(isnan(e.mean) && isinf(e.sd) && e.n == 0, "as the header says");
	price_request(&p, at(0), 0, 1, PRICE_REACHES);
	e = price_measured(&p);
	NEAR(e.mean, 0, 0);
	NEAR(e.sd, 1, 0);
}

/* Stale serves that happen as often as was said: does the truth lie as far off as sd says? */
TEST(what_is_measured_is_as_sure_as_it_says)
{
	enum { RUNS = 600, REQUESTS = 4000 };
	double inside = 0, bias = 0;

	for (int r = 0; r < RUNS; r++) {
		struct estimate e;
		struct price p;

		price_init(&p, 0.01);
		p.day_requests = REQUESTS;
		for (int i = 0; i < REQUESTS; i++)
			price_request(&p, at(i), rng_uniform(&rng) < 0.01, 1, PRICE_REACHES);
		e = price_measured(&p);
		inside += fabs(e.mean - 0.01) <= e.sd;
		bias += (e.mean / 0.01 - 1) / RUNS;
	}
	NEAR(inside / RUNS, 0.69, 0.07);
	NEAR(bias, 0, 0.03);
}

TEST(measured_is_about_the_last_day)
{
	struct price p;

	price_init(&p, 0.01);
	for (int i = 0; i < 50000; i++)
		price_request(&p, at(i * DAY_S / 10000), 0.1, 1, PRICE_REACHES);
	NEAR(price_measured(&p).mean, 0.1, 1e-3);
	for (int i = 50000; i < 60000; i++)
		price_request(&p, at(i * DAY_S / 10000), 0.01, 1, PRICE_REACHES);
	NEAR(price_measured(&p).mean, 0.01 + 0.09 * exp(-1), 0.003);
	NEAR(price_measured(&p).n, 10000, 20);
}

TEST(gaps_of_years_and_the_year_1970_do_no_harm)
{
	struct price p;

	price_init(&p, 0.01);
	for (int i = 0; i < 10; i++) {
		double t = i * 20 * 365 * DAY_S > 3e9 ? 3e9 + i : i * 20 * 365 * DAY_S;

		price_request(&p, at(t), 0.02, 1, PRICE_REACHES);
		price_request(&p, at(t - 86400), 0.02, 1, PRICE_REACHES);
	}
	OK(isfinite(p.log_price) && isfinite(price_measured(&p).mean));
	NEAR(p.log_price - log(PRICE_START), 20.0 / 510, 2e-3);
}

TEST(audits_are_weighted_and_the_old_ones_fade)
{
	struct price p;

	price_init(&p, 0.01);
	price_audit(&p, 0.25, true);
	price_audit(&p, 2, false);
	NEAR(p.audits, 2.25, 1e-12);
	NEAR(p.audits_stale, 0.25, 1e-12);
	for (int i = 0; i < 100000; i++)
		price_audit(&p, 1, true);
	for (int i = 0; i < 100000; i++)
		price_audit(&p, 1, i % 10 == 0);
	NEAR(p.audits_stale / p.audits, 0.1 + 0.9 * exp(-5), 0.005);
	NEAR(p.audits, AUDIT_MEMORY, 2);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(the_objective_is_met_from_a_price_too_low_or_too_high);
	RUN(it_swings_little_with_the_hours);
	RUN(the_step_is_large_at_first_and_then_one_of_half_a_day);
	RUN(repeats_in_one_are_as_good_as_one_by_one);
	RUN(the_price_stays_between_its_bounds);
	RUN(it_does_not_rise_where_no_ttl_follows);
	RUN(what_the_price_has_nothing_to_do_with_is_measured_only);
	RUN(far_from_the_objective_both_sides_are_equally_far);
	RUN(what_was_kept_comes_back_within_the_bounds);
	RUN(nothing_measured_is_nothing_claimed);
	RUN(what_is_measured_is_as_sure_as_it_says);
	RUN(measured_is_about_the_last_day);
	RUN(gaps_of_years_and_the_year_1970_do_no_harm);
	RUN(audits_are_weighted_and_the_old_ones_fade);
	return tap_done();
}
