/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/timetable.h"

#include "base/rng.h"
#include "tests/tap.h"

static struct rng rng;

/*
 * Looks at random times at a value that may change once a period, at `phase`, with probability p.
 */
static void watch(struct timetable *t, double period, double phase, double p, double mean_gap,
                  int looks)
{
	double at = 1000, rate = p / period;

	for (int i = 0; i < looks; i++) {
		double to = at + rng_exponential(&rng, 1 / mean_gap);
		double ticks = floor((to - phase) / period) - floor((at - phase) / period);
		bool changed = rng_uniform(&rng) < 1 - pow(1 - p, ticks);

		timetable_learn(t, at, to, rate * (to - at), changed);
		at = to;
	}
}

TEST(ticks_of_five_minutes_are_found_with_their_phase)
{
	struct timetable t;
	double before, at, after;

	timetable_init(&t);
	watch(&t, 300, 31, 0.6, 120, 6000);
	NEAR(timetable_period(&t), 300, 0);
	before = timetable_clock(&t, 24.9);
	at = timetable_clock(&t, 40.1);
	after = timetable_clock(&t, 324.9);
	OK((at - before) / (after - before) > 0.5, "share within a bin of the tick %g, not 0.05",
	   (at - before) / (after - before));
}

TEST(ticks_of_a_minute_are_found_though_most_looks_are_further_apart)
{
	struct timetable t;

	/* only the few short gaps tell */
	timetable_init(&t);
	watch(&t, 60, 1, 1, 90, 20000);
	NEAR(timetable_period(&t), 60, 0);
}

TEST(changes_at_any_time_are_no_timetable)
{
	for (int run = 0; run < 5; run++) {
		struct timetable t;
		double at = 0;

		timetable_init(&t);
		for (int i = 0; i < 20000; i++) {
			double gap = rng_exponential(&rng, 1.0 / 100), mass = gap / 200;

			timetable_learn(&t, at, at + gap, mass, rng_uniform(&rng) < -expm1(-mass));
			at += gap;
		}
		OK(t.chosen == -1, "period %g", timetable_period(&t));
	}
}

TEST(a_timetable_that_ends_is_given_up)
{
	struct timetable t;
	double at = 0;

	timetable_init(&t);
	watch(&t, 300, 31, 0.6, 120, 6000);
	for (int i = 0; i < 20000; i++) {
		double gap = rng_exponential(&rng, 1.0 / 100), mass = gap / 500;

		timetable_learn(&t, at, at + gap, mass, rng_uniform(&rng) < -expm1(-mass));
		at += gap;
	}
	OK(t.chosen == -1, "period %g", timetable_period(&t));
}

TEST(its_clock_keeps_time_over_whole_periods_and_never_goes_back)
{
	struct timetable t;
	double last = -HUGE_VAL;

	timetable_init(&t);
	watch(&t, 900, 100, 0.9, 300, 4000);
	NEAR(timetable_period(&t), 900, 0);
	NEAR(timetable_clock(&t, 5 * 900 + 77) - timetable_clock(&t, 77), 5 * 900, 1e-6);
	for (double s = 0; s < 3600; s += 0.37) {
		double c = timetable_clock(&t, s);

		OK(c >= last);
		last = c;
	}
}

/* Phases 60 bins long, of 60 s: looks from 100 s to 130 s cover 20 s of bin 1 and 10 s of bin 2. */
TEST(a_look_moves_the_bins_that_it_covers_and_no_others)
{
	for (int turns = 0; turns < 3; turns++) {
		struct timetable t;
		const float *theta = t.profile[TIMETABLE_PERIODS - 1].theta;

		timetable_init(&t);
		for (int i = 0; i < TIMETABLE_BATCH; i++) {
			double day = i * 86400.0;

			timetable_learn(&t, day + 100, day + 130 + turns * 3600, 0.5, i % 2);
		}
		OK(theta[1] > theta[2] && theta[2] > theta[3], "%g %g %g", theta[1], theta[2],
		   theta[3]);
		for (int i = 0; i < TIMETABLE_BINS; i++)
			if (i != 1 && i != 2)
				NEAR(theta[i], theta[0], 1e-6);
	}
}

TEST(a_look_over_the_end_of_a_period_is_of_its_two_ends)
{
	struct timetable t;
	const float *theta = t.profile[TIMETABLE_PERIODS - 1].theta;

	timetable_init(&t);
	for (int i = 0; i < TIMETABLE_BATCH; i++)
		timetable_learn(&t, 3540, 3660, 0.5, i % 2);
	NEAR(theta[0], theta[59], 1e-6);
	OK(theta[0] > theta[1], "%g %g", theta[0], theta[1]);
	NEAR(theta[58], theta[1], 1e-6);
}

TEST(a_kept_profile_comes_back)
{
	struct timetable t, u;
	double theta[TIMETABLE_BINS];

	timetable_init(&t);
	timetable_init(&u);
	watch(&t, 300, 31, 0.9, 100, 6000);
	for (int i = 0; i < TIMETABLE_BINS; i++)
		theta[i] = t.profile[t.chosen].theta[i];
	OK(timetable_restore(&u, 300, theta));
	NEAR(timetable_clock(&u, 33) - timetable_clock(&u, 30),
	     timetable_clock(&t, 33) - timetable_clock(&t, 30), 1e-3);
	OK(!timetable_restore(&u, 77, theta));
	/* and does not turn flat where there is no news of it */
	for (int i = 0; i < 1000; i++)
		timetable_learn(&u, 300 * i + 100, 300 * i + 110, 1e-4, false);
	NEAR(timetable_clock(&u, 33) - timetable_clock(&u, 30),
	     timetable_clock(&t, 33) - timetable_clock(&t, 30), 0.1);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(ticks_of_five_minutes_are_found_with_their_phase);
	RUN(ticks_of_a_minute_are_found_though_most_looks_are_further_apart);
	RUN(changes_at_any_time_are_no_timetable);
	RUN(a_timetable_that_ends_is_given_up);
	RUN(its_clock_keeps_time_over_whole_periods_and_never_goes_back);
	RUN(a_look_moves_the_bins_that_it_covers_and_no_others);
	RUN(a_look_over_the_end_of_a_period_is_of_its_two_ends);
	RUN(a_kept_profile_comes_back);
	return tap_done();
}
