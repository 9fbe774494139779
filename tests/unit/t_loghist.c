/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/loghist.c"

#include "base/rng.h"
#include "tests/tap.h"

#define DRAWS 20000

static double draw[DRAWS];

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

TEST(quantiles_are_right_within_five_percent)
{
	double q[] = {0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1};
	struct rng g;

	rng_init(&g, tap_seed);
	/* from microseconds to ten minutes, narrow and wide */
	for (int law = 0; law < 6; law++) {
		struct loghist h = {0};
		double sum = 0;

		for (int i = 0; i < DRAWS; i++) {
			draw[i] = law < 3 ? exp(5 + 4 * law + (law + 1) * 0.5 * rng_normal(&g))
			                  : 1 + rng_exponential(&g, pow(10, -2.0 * (law - 2)));
			draw[i] = fmin(fmax(draw[i], 1), 1e9);
			loghist_add(&h, draw[i]);
			sum += draw[i];
		}
		qsort(draw, DRAWS, sizeof(*draw), by_size);
		for (int i = 0; i < 11; i++) {
			double want = draw[q[i] < 1 ? (int)(q[i] * DRAWS) : DRAWS - 1];
			double got = loghist_quantile(&h, q[i]);

			OK(fabs(got - want) <= 0.05 * want, "law %d, %g-quantile: %g, not %g", law,
			   q[i], got, want);
		}
		NEAR(loghist_mean(&h) / (sum / DRAWS), 1, 1e-9);
	}
}

TEST(each_single_value_comes_back_within_five_percent)
{
	for (double us = 1; us < 1e9; us *= 1.0137) {
		struct loghist h = {0};

		loghist_add(&h, us);
		OK(fabs(loghist_quantile(&h, 0.5) - us) <= 0.05 * us, "%g gives %g", us,
		   loghist_quantile(&h, 0.5));
	}
}

TEST(no_data_gives_zero)
{
	struct loghist h = {0};

	OK(loghist_quantile(&h, 0.5) == 0);
	OK(loghist_mean(&h) == 0);
}

TEST(what_is_out_of_range_is_clipped)
{
	struct loghist h = {0};
	double low[] = {0, -5, 0.5, NAN, -INFINITY}, high[] = {1e12, 1e300, INFINITY};

	for (int i = 0; i < 5; i++)
		loghist_add(&h, low[i]);
	OK(h.count[0] == 5 && h.n == 5);
	NEAR(loghist_quantile(&h, 0.5), 1, 0);
	NEAR(loghist_mean(&h), 1, 0);
	for (int i = 0; i < 3; i++)
		loghist_add(&h, high[i]);
	OK(h.count[LOGHIST_BUCKETS - 1] == 3 && h.n == 8);
	OK(loghist_quantile(&h, 1) > 1e9);
	OK(isfinite(loghist_mean(&h)));
}

TEST(histograms_add_up)
{
	struct loghist a = {0}, b = {0}, both = {0};
	struct rng g;

	rng_init(&g, tap_seed);
	for (int i = 0; i < 1000; i++) {
		double us = rng_exponential(&g, 1e-4);

		loghist_add(i % 3 ? &a : &b, us);
		loghist_add(&both, us);
	}
	for (int i = 0; i < LOGHIST_BUCKETS; i++)
		OK(a.count[i] + b.count[i] == both.count[i]);
	OK(a.n + b.n == both.n);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(quantiles_are_right_within_five_percent);
	RUN(each_single_value_comes_back_within_five_percent);
	RUN(no_data_gives_zero);
	RUN(what_is_out_of_range_is_clipped);
	RUN(histograms_add_up);
	return tap_done();
}
