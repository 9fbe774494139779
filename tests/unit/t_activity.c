/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/activity.h"

#include "base/rng.h"
#include "tests/tap.h"

#include <math.h>

static struct rng rng;

/* Well known keys that change every ten minutes. */
static const struct change KEY = {60, 36000};

static struct instant at(double s)
{
	return instant_from_s(1793577600 + s);
}

/* Looks at keys, one every 20 s, of which each has not been looked at for 300 s. */
static void live(struct activity *a, double from_s, double to_s, double factor)
{
	for (double t = from_s; t < to_s; t += 20) {
		activity_fade(a, at(t));
		activity_learn(a, KEY, 300, rng_uniform(&rng) < -expm1(-0.5 * factor));
	}
}

TEST(an_ordinary_day_is_not_spoken_of)
{
	struct activity a;
	double worst = 0;

	activity_init(&a);
	NEAR(activity_seconds(&a), 1, 0);
	for (double h = 0; h < 48; h += 0.1) {
		live(&a, h * 3600, (h + 0.1) * 3600, 1 + 0.5 * sin(h));
		worst = fmax(worst, fabs(activity_log(&a)));
	}
	OK(worst < 0.2, "%g", worst);
	NEAR(activity_seconds(&a), 1, 0.1);
}

TEST(a_standstill_and_a_rush_are_seen_within_hours)
{
	static const double factor[] = {0, 0.02, 30};

	for (int i = 0; i < 3; i++) {
		struct activity a;

		activity_init(&a);
		live(&a, 0, 86400, 1);
		live(&a, 86400, 86400 + 3 * 3600, factor[i]);
		if (factor[i] > 1)
			OK(activity_log(&a) > 0.5, "x %g: %g", factor[i], activity_log(&a));
		else
			OK(activity_log(&a) < -0.7, "x %g: %g", factor[i], activity_log(&a));
		/* what a key did in that time says about as much less, or more, of it */
		OK(log(activity_seconds(&a)) / activity_log(&a) > (factor[i] > 1 ? 0.2 : 0.5),
		   "x %g: %g", factor[i], activity_seconds(&a));
	}
}

/* None of 75 changes that were expected: against what a day has said small steps would come not half as far. */
TEST(another_factor_altogether_is_leapt_to)
{
	struct activity a;

	activity_init(&a);
	live(&a, 0, 86400, 1);
	live(&a, 86400, 86400 + 3000, 0);
	OK(activity_log(&a) < -2, "%g", activity_log(&a));
	live(&a, 86400 + 3000, 86400 + 3 * 3600, 1);
	OK(activity_log(&a) > -0.3, "%g", activity_log(&a));
}

/* By the next morning yesterday's holiday is over. */
TEST(it_fades_within_hours)
{
	struct activity a, b;

	activity_init(&a);
	live(&a, 0, 7 * 3600, 0);
	OK(activity_log(&a) < -0.7, "%g", activity_log(&a));
	b = a;
	activity_fade(&a, a.at);
	activity_fade(&a, at(0)); /* late news */
	OK(a.log == b.log && a.info == b.info && a.at.us == b.at.us);
	activity_fade(&a, at(9 * 3600 - 20));
	NEAR(a.log / b.log, 0.5, 1e-9);
	activity_fade(&a, at(24 * 3600));
	NEAR(activity_log(&a), 0, 0);
	OK(a.info >= 0 && a.info < 1);
}

/* What lasts is what the keys are like: they learn of it as of any hour. */
TEST(what_lasts_is_left_to_the_keys)
{
	struct activity a;
	double left = 0;

	activity_init(&a);
	live(&a, 0, 3 * 86400, 1);
	live(&a, 3 * 86400, 3.2 * 86400, 8);
	OK(activity_seconds(&a) > 1.4, "%g", activity_seconds(&a));
	live(&a, 3.2 * 86400, 8 * 86400, 8);
	OK(activity_log(&a) > 0.8, "%g", activity_log(&a));
	for (int hour = 0; hour < 24; hour++) {
		live(&a, 8 * 86400 + hour * 3600, 8 * 86400 + (hour + 1) * 3600, 8);
		left += log(activity_seconds(&a)) / 24;
	}
	NEAR(left, 0, 0.15);
}

TEST(what_is_explained_is_taken_away_and_no_more)
{
	struct activity a;

	activity_init(&a);
	a.log = -3;
	a.sum = -8;
	a.weight = 4;
	activity_explain(&a, 1.0 / 16);
	NEAR(a.log, -3 + log(16), 1e-12);
	NEAR(activity_seconds(&a), 1, 1e-12);
	activity_explain(&a, 1.0 / 16);
	NEAR(a.log, 0, 0);
	a.log = 2;
	activity_explain(&a, 1.0 / 16); /* the other way: another matter */
	NEAR(a.log, 2, 0);
}

/* A key that is hardly known says little of the others, and none says everything. */
TEST(extremes_are_borne)
{
	static const double mean[] = {1e-9, 1e-3, 1, 1e6}, n[] = {0.05, 1, 100},
	                    tau[] = {0, 1e-9, 1, 1e6, 1e12};

	for (int i = 0; i < 4 * 3 * 5 * 2; i++) {
		struct change c = {n[i / 4 % 3], n[i / 4 % 3] / mean[i % 4]};
		struct activity a;

		activity_init(&a);
		activity_fade(&a, at(0));
		for (int j = 0; j < 1000; j++)
			activity_learn(&a, c, tau[i / 12 % 5], i >= 60);
		OK(isfinite(a.log) && fabs(a.log) <= ACTIVITY_MAX && isfinite(a.info) &&
		           a.info >= 0 && activity_seconds(&a) > 0 && isfinite(activity_seconds(&a)),
		   "rate %g, tau %g: %g", c.a / c.b, tau[i / 12 % 5], a.log);
	}
	for (int known = 0; known < 2; known++) {
		struct change c = {known ? 60 : 0.1, known ? 36000 : 60};
		struct activity a;

		activity_init(&a);
		activity_learn(&a, c, 3600, false);
		OK(known ? a.log < -0.2 : a.log > -0.1, "%g", a.log);
	}
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(an_ordinary_day_is_not_spoken_of);
	RUN(a_standstill_and_a_rush_are_seen_within_hours);
	RUN(another_factor_altogether_is_leapt_to);
	RUN(it_fades_within_hours);
	RUN(what_lasts_is_left_to_the_keys);
	RUN(what_is_explained_is_taken_away_and_no_more);
	RUN(extremes_are_borne);
	return tap_done();
}
