/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/correction.h"

#include "base/quad.h"
#include "base/rng.h"
#include "tests/tap.h"

#include <math.h>

static struct rng rng;

static const struct instant START = {INT64_C(1793577600) * 1000000};

/* So many days after the start. */
static struct instant day(double days)
{
	return instant_add(START, span_from_s(days * 86400));
}

/* log of the density of a Gamma with mean 1. */
static double log_gamma(double x, double a)
{
	return a * log(a) - lgamma(a) + (a - 1) * log(x) - a * x;
}

/* The posterior mean by a fine sum: nine predictions in ten about right, one in ten anything. */
static double exact_factor(double seen, double said)
{
	double z = 0, m = 0;

	for (double y = -12; y < 6; y += 1e-4) {
		double x = exp(y);
		double prior = 0.9 * exp(log_gamma(x, 40)) + 0.1 * exp(log_gamma(x, 2));
		double w = x * prior * exp(seen * log(x * said) - x * said - lgamma(seen + 1));

		z += w;
		m += w * x;
	}
	return m / z;
}

TEST(the_factor_is_what_bayes_rule_says)
{
	static const double seen[] = {0, 0, 3, 7, 40, 12.5, 60}, said[] = {0.1, 30, 3, 20, 45, 2, 20};

	for (int i = 0; i < 7; i++) {
		struct correction c;

		correction_restore(&c, seen[i], said[i], INSTANT_NONE, INSTANT_NONE);
		NEAR(c.factor / exact_factor(seen[i], said[i]), 1, 1e-6);
	}
}

TEST(without_evidence_predictions_stand)
{
	struct correction c;

	correction_init(&c);
	NEAR(c.factor, 1, 0);
	correction_add(&c, START, 1, 0, false); /* it was certain, and came so */
	NEAR(c.factor, 1, 0);
}

/* The root of the mean square of the error of the factor, and of the plain ratio, in logarithms. */
static void errors(double truth, int n, double *ret, double *ret_ratio)
{
	double sum = 0, ratio = 0;

	for (int run = 0; run < 400; run++) {
		struct correction c;

		correction_init(&c);
		for (int i = 0; i < n; i++)
			correction_add(&c, START, 1, 0.02, rng_uniform(&rng) < 0.02 * truth);
		sum += pow(log(c.factor / truth), 2) / 400;
		ratio += pow(log((c.seen + 0.5) / (c.said + 0.5) / truth), 2) / 400;
	}
	*ret = sqrt(sum);
	*ret_ratio = sqrt(ratio);
}

/* 2,000 audits of 2 % each: 40 stale answers, which are known to 16 %. */
TEST(chance_hardly_moves_it)
{
	double mine, ratio;

	errors(1, 2000, &mine, &ratio);
	OK(mine < 0.1 && mine < 0.7 * ratio, "%g, the plain ratio %g", mine, ratio);
}

TEST(what_is_badly_wrong_is_found_as_fast_as_by_the_ratio)
{
	static const double truth[] = {0.25, 4};

	for (int i = 0; i < 2; i++) {
		double mine, ratio;

		errors(truth[i], 4000, &mine, &ratio);
		OK(mine < 1.1 * ratio, "x %g: %g, the plain ratio %g", truth[i], mine, ratio);
	}
}

TEST(it_corrects_both_ways_whatever_the_events_weigh)
{
	static const double factors[] = {0.3, 1, 3};

	for (int i = 0; i < 3; i++) {
		struct correction c;

		correction_init(&c);
		for (int n = 0; n < 40000; n++) {
			/* likely events are looked at more often, and weigh less */
			double said = rng_uniform(&rng) < 0.2 ? 0.1 : 0.004,
			       more = said > 0.01 ? 3 : 0.5;

			correction_add(&c, START, 1 / more, said,
			               rng_uniform(&rng) < said * factors[i]);
		}
		NEAR(c.factor / factors[i], 1, 0.22);
	}
}

TEST(what_nobody_predicted_is_forgotten_when_it_ends)
{
	struct correction c;

	correction_init(&c);
	for (int i = 0; i < 5000; i++)
		correction_add(&c, START, 1, 0, true);
	OK(c.factor > 20, "%g", c.factor);
	for (int i = 0; i < 6000; i++)
		correction_add(&c, START, 1, 0.1, i % 10 == 0);
	NEAR(c.factor, 1, 0.25);
}

/* Events weigh as long after the beginning as they came, but for the first hours and after weeks. */
TEST(what_is_older_weighs_less)
{
	struct correction c;

	correction_init(&c);
	correction_add(&c, day(0), 1, 0, true);
	correction_add(&c, day(1), 1, 0, true);
	NEAR(c.seen, 1 + 0.125 / 1.125, 1e-9);
	correction_add(&c, day(0.5), 1, 0, true); /* late news */
	NEAR(c.seen, 2 + 0.125 / 1.125, 1e-9);
	correction_add(&c, day(4), 1, 0, true);
	NEAR(c.seen, 1 + 1.125 / 4.125 * (2 + 0.125 / 1.125), 1e-9);
	correction_restore(&c, 8, 8, day(0), day(100));
	correction_add(&c, day(114.125), 0, 0, false);
	NEAR(c.seen, 4, 1e-9);
	NEAR(c.said, 4, 1e-9);
}

/* Predictions of the first day are off by a factor of 4, as they well may be, and right from then on. */
TEST(the_first_day_is_soon_forgotten)
{
	struct correction c;
	double first = 0;

	correction_init(&c);
	for (int i = 0; i < 6000; i++) {
		double t = i / 2000.0;

		correction_add(&c, day(t), 1, 0.02, rng_uniform(&rng) < (t < 1 ? 0.08 : 0.02));
		first = t < 1 ? c.factor : first;
	}
	OK(first > 2.5, "the first day: %g", first);
	OK(c.factor < 1.6, "the third: %g", c.factor);
}

TEST(extremes_leave_a_sane_factor)
{
	static const double v[] = {0, 1e-9, 1, 300, 1e9};

	for (int i = 0; i < 5; i++)
		for (int j = 0; j < 5; j++) {
			struct correction c;

			correction_restore(&c, v[i], v[j], INSTANT_NONE, INSTANT_NONE);
			OK(isfinite(c.factor) && c.factor > 0, "seen %g, said %g: %g", v[i], v[j],
			   c.factor);
		}
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(the_factor_is_what_bayes_rule_says);
	RUN(without_evidence_predictions_stand);
	RUN(chance_hardly_moves_it);
	RUN(what_is_badly_wrong_is_found_as_fast_as_by_the_ratio);
	RUN(it_corrects_both_ways_whatever_the_events_weigh);
	RUN(what_nobody_predicted_is_forgotten_when_it_ends);
	RUN(what_is_older_weighs_less);
	RUN(the_first_day_is_soon_forgotten);
	RUN(extremes_leave_a_sane_factor);
	return tap_done();
}
