/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/period.c"

#include "base/rng.h"
#include "tests/tap.h"

static struct rng rng;

enum { DAY = 288, N = 7 * DAY };

static float count[N];

static float noisy(double mean)
{
	return (float)fmax(0, floor(mean + sqrt(mean) * rng_normal(&rng) + 0.5));
}

TEST(periods_of_jobs_are_found_to_the_step)
{
	static const int periods[] = {4, 7, 12, 20, 100};

	for (int p = 0; p < 5; p++) {
		double found;

		for (int i = 0; i < N; i++)
			count[i] = noisy(30 + 20 * sin(i * 6.283185307 / DAY) +
			                 (i % periods[p] < (periods[p] + 3) / 4 ? 40 : 0));
		found = period_find(count, N, DAY);
		OK(fabs(found - periods[p]) <= 1, "%g for %d", found, periods[p]);
	}
}

TEST(what_the_time_of_day_explains_is_none)
{
	for (int i = 0; i < N; i++)
		count[i] = noisy(i % DAY > 100 && i % DAY < 190 ? 300 : 20);
	NEAR(period_find(count, N, DAY), 0, 0);
	for (int i = 0; i < N; i++)
		count[i] = noisy(i % DAY > 110 && i % DAY < 113 ? 500 : 20);
	NEAR(period_find(count, N, DAY), 0, 0);
}

TEST(noise_has_none)
{
	int found = 0;

	for (int run = 0; run < 300; run++) {
		for (int i = 0; i < N; i++)
			count[i] = noisy(30 + 20 * sin(i * 6.283185307 / DAY));
		found += period_find(count, N, DAY) > 0;
	}
	printf("# %d of 300\n", found);
	OK(found <= 10);
}

TEST(a_level_that_wanders_has_none)
{
	int found = 0;

	for (int run = 0; run < 100; run++) {
		double x = 0;

		for (int i = 0; i < N; i++) {
			x = 0.99 * x + 0.05 * rng_normal(&rng);
			count[i] = noisy(100 * exp(x));
		}
		found += period_find(count, N, DAY) > 0;
	}
	printf("# %d of 100\n", found);
	OK(found <= 15);
}

TEST(little_and_constant_and_missing_counts_are_no_trouble)
{
	for (int i = 0; i < N; i++)
		count[i] = 5;
	NEAR(period_find(count, N, DAY), 0, 0);
	NEAR(period_find(count, 2 * DAY, DAY), 0, 0);
	NEAR(period_find(count, 0, DAY), 0, 0);
	for (int i = 0; i < N; i++)
		count[i] = -1;
	NEAR(period_find(count, N, DAY), 0, 0);
	for (int i = 0; i < N; i++)
		count[i] = i > 500 && i < 600 ? -1 : noisy(i % 12 == 0 ? 100 : 10);
	NEAR(period_find(count, N, DAY), 12, 0);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	gsl_set_error_handler_off();
	RUN(periods_of_jobs_are_found_to_the_step);
	RUN(what_the_time_of_day_explains_is_none);
	RUN(noise_has_none);
	RUN(a_level_that_wanders_has_none);
	RUN(little_and_constant_and_missing_counts_are_no_trouble);
	return tap_done();
}
