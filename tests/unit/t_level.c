/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "predictor/level.c"

#include "base/rng.h"
#include "tests/tap.h"

static struct rng rng;

#define WATCH_S 300.0

static struct instant at(double s)
{
	return instant_from_s(1e9 + s);
}

static void begin(struct level *l, double s, struct level_usual usual)
{
	level_begin(l, at(s), at(s + WATCH_S), usual);
}

/* Steady requests and loads from one second to another. */
static void run(struct level *l, double from, double to, double requests_per_s, double loads_per_s)
{
	for (double s = from; s < to; s += 1) {
		level_requests(l, at(s), requests_per_s);
		for (int i = 0; i < (int)loads_per_s; i++)
			level_load(l, at(s + i / loads_per_s));
	}
}

TEST(a_load_costs_one_at_any_other_time_and_the_first_time)
{
	struct level_usual none = {0}, usual = {0.2, 50};
	struct level l;

	level_init(&l);
	NEAR(level_cost(&l, at(0)), 1, 0);
	run(&l, 0, 100, 50, 100);
	NEAR(level_cost(&l, at(100)), 1, 0);
	begin(&l, 100, none);
	run(&l, 100, 200, 50, 100);
	NEAR(level_cost(&l, at(200)), 1, 0);
	level_init(&l);
	begin(&l, 100, usual);
	NEAR(level_cost(&l, at(99)), 1, 0);
	NEAR(level_cost(&l, at(100)), DEARER, 1e-9); /* the rush is only to come */
	OK(level_cost(&l, at(105)) < 1);
	NEAR(level_cost(&l, at(400)), 1, 0);
}

TEST(more_loads_than_usual_are_dear_and_fewer_cheap)
{
	struct level_usual usual = {0.2, 50};
	struct level l;

	level_init(&l);
	begin(&l, 0, usual);
	run(&l, 0, 60, 50, 10);
	NEAR(level_cost(&l, at(60)), DEARER, 0.2);
	run(&l, 60, 90, 50, 15);
	NEAR(level_cost(&l, at(90)), DEARER * pow(16 / 11.0, 2), 0.3);
	run(&l, 90, 120, 50, 5);
	NEAR(level_cost(&l, at(120)), DEARER * pow(6 / 11.0, 2), 0.1);
	run(&l, 120, 150, 50, 1000);
	NEAR(level_cost(&l, at(150)), LEVEL_MOST, 0);
	/* as if the clock went back, and long after */
	OK(level_cost(&l, at(149)) >= LEVEL_LEAST && level_cost(&l, at(299)) >= LEVEL_LEAST);
	NEAR(level_cost(&l, at(299)), LEVEL_LEAST, 0);
}

TEST(what_is_usual_goes_by_the_requests_of_today)
{
	struct level_usual usual = {0.2, 50};
	struct level l;

	level_init(&l);
	begin(&l, 0, usual);
	run(&l, 0, 120, 100, 20); /* twice as many of both */
	NEAR(level_cost(&l, at(120)), DEARER, 0.25);
}

/* A quiet origin has nothing to level: whatever comes by chance moves the cost little. */
TEST(few_loads_are_hardly_dearer_or_cheaper)
{
	struct level_usual usual = {0.2, 1};
	struct level l;

	level_init(&l);
	begin(&l, 0, usual);
	for (double s = 0; s < WATCH_S; s += 1) {
		level_requests(&l, at(s), 1);
		if (rng_uniform(&rng) < 0.2)
			level_load(&l, at(s));
		OK(level_cost(&l, at(s)) > 0.6 && level_cost(&l, at(s)) < 3.5, "%g",
		   level_cost(&l, at(s)));
	}
}

TEST(each_time_teaches_what_is_usual)
{
	struct level_usual usual = {0};
	struct level l;

	level_init(&l);
	OK(!level_learn(&l, at(0), &usual), "there was none");
	begin(&l, 0, usual);
	run(&l, 0, WATCH_S, 50, 10);
	OK(!level_learn(&l, at(1), &usual), "it was another");
	OK(level_learn(&l, at(0), &usual));
	NEAR(usual.loads_per_request, 0.2, 1e-9);
	NEAR(usual.requests_per_s, 50, 1e-9);
	begin(&l, 86400, usual);
	run(&l, 86400, 86400 + WATCH_S, 100, 40);
	OK(level_learn(&l, at(86400), &usual));
	NEAR(usual.loads_per_request, 0.3, 1e-9);
	NEAR(usual.requests_per_s, 75, 1e-9);
	begin(&l, 2 * 86400, usual);
	run(&l, 2 * 86400, 2 * 86400 + 9, 10, 1000);
	OK(!level_learn(&l, at(2 * 86400), &usual), "too few to say anything");
	NEAR(usual.loads_per_request, 0.3, 1e-9);
}

TEST(of_two_peaks_at_once_the_first_goes_on_and_one_that_knows_helps_its_twin)
{
	struct level_usual none = {0}, usual = {0.2, 50}, other = {0.9, 50};
	struct level l;

	level_init(&l);
	begin(&l, 0, none);
	begin(&l, 0, usual);
	OK(level_cost(&l, at(2)) < DEARER);
	begin(&l, 0, other);
	begin(&l, 60, other);
	NEAR(l.usual.loads_per_request, 0.2, 0);
	NEAR(span_s(instant_diff(l.until, l.from)), WATCH_S, 0);
	begin(&l, WATCH_S, other);
	NEAR(l.usual.loads_per_request, 0.9, 0);
}

TEST(a_peak_that_is_told_late_makes_loads_no_dearer_than_one_that_is_told_in_time)
{
	struct level_usual usual = {0.2, 50};
	struct level in_time, late;

	level_init(&in_time);
	begin(&in_time, 0, usual);
	run(&in_time, 0, 20, 50, 10);
	level_init(&late);
	run(&late, 0, 20, 50, 10);
	begin(&late, 0, usual);
	OK(instant_is_set(late.from) && late.late_per_s <= in_time.late_per_s, "%g, %g",
	   late.late_per_s, in_time.late_per_s);
	/* hours after it: its minutes are over */
	level_init(&late);
	level_load(&late, at(36000));
	begin(&late, 0, usual);
	OK(!instant_is_set(late.from));
	NEAR(late.late_per_s, 1 / LATE_S, 1e-9);
	/* a clock that was set back by as much */
	level_load(&late, at(0));
	NEAR(late.late_per_s, 2 / LATE_S, 1e-9);
}

/*
 * Loads that come of their own in bursts, and the others whose TTLs follow the square root of the cost:
 * the busiest seconds have fewer, and all together nearly as many as before.
 */
TEST(bursts_are_levelled_and_the_sum_of_the_loads_stays_about_the_same)
{
	struct level_usual usual = {0};
	double first[2] = {0}, most[2] = {0};
	struct level l;

	level_init(&l);
	for (int day = 0; day < 20; day++) {
		double start = day * 86400.0, sum = 0, in_10s[30] = {0}, top = 0;
		bool levelled = day >= 5;
		struct level_usual none = {0};

		begin(&l, start, levelled ? usual : none);
		for (int i = 0; i < (int)(WATCH_S * 100); i++) {
			double s = i / 100.0, burst = fmod(s, 60) < 10 ? 6 : 0, rate;

			rate = burst + 8 / sqrt(level_cost(&l, at(start + s)));
			level_requests(&l, at(start + s), 0.5);
			if (rng_uniform(&rng) < rate / 100) {
				level_load(&l, at(start + s));
				sum++;
				in_10s[(int)(s / 10)]++;
			}
		}
		level_learn(&l, at(start), &usual);
		for (int i = 0; i < 30; i++)
			top = fmax(top, in_10s[i]);
		if (day < 5 || day >= 10) {
			first[levelled] += sum / (levelled ? 10 : 5);
			most[levelled] += top / (levelled ? 10 : 5);
		}
	}
	printf("# loads %.0f, levelled %.0f; busiest 10 s %.0f, levelled %.0f\n", first[0], first[1],
	       most[0], most[1]);
	/* here nothing is learned that would take more */
	NEAR(first[1] / first[0], 0.96, 0.06);
	OK(most[1] < 0.93 * most[0], "%g of %g", most[1], most[0]);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(a_load_costs_one_at_any_other_time_and_the_first_time);
	RUN(more_loads_than_usual_are_dear_and_fewer_cheap);
	RUN(what_is_usual_goes_by_the_requests_of_today);
	RUN(few_loads_are_hardly_dearer_or_cheaper);
	RUN(each_time_teaches_what_is_usual);
	RUN(of_two_peaks_at_once_the_first_goes_on_and_one_that_knows_helps_its_twin);
	RUN(a_peak_that_is_told_late_makes_loads_no_dearer_than_one_that_is_told_in_time);
	RUN(bursts_are_levelled_and_the_sum_of_the_loads_stays_about_the_same);
	return tap_done();
}
