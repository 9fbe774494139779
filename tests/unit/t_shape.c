/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/shape.h"

#include "base/rng.h"
#include "tests/tap.h"

#include <string.h>

static struct rng rng;

/* 2026-11-23 is a Monday. */
static const struct instant MONDAY = {INT64_C(1795392000) * 1000000};

static struct instant at(double day, double hour)
{
	return instant_add(MONDAY, span_from_s(day * 86400 + hour * 3600));
}

static void office(double factor[ZONE_DAY_KINDS][SHAPE_BINS])
{
	for (int k = 0; k < ZONE_DAY_KINDS; k++)
		for (int i = 0; i < SHAPE_BINS; i++)
			factor[k][i] = k == ZONE_WEEKDAY && i >= 36 && i < 68 ? 5 : 0.2;
}

TEST(a_flat_week_is_plain_time)
{
	struct shape s;

	shape_init(&s);
	NEAR(shape_mass(&s, &zone_utc, at(0, 3), at(2, 7.5)), 2 * 86400 + 4.5 * 3600, 1e-6);
	NEAR(shape_mass(NULL, &zone_utc, at(0, 3), at(2, 7.5)), 2 * 86400 + 4.5 * 3600, 1e-6);
	NEAR(shape_at(&s, &zone_utc, at(1, 1)), 1, 1e-6);
	NEAR(shape_mass(&s, &zone_utc, at(2, 0), at(1, 0)), 0, 0);
}

TEST(a_week_of_any_shape_has_the_mass_of_a_week)
{
	struct shape s;
	double f[ZONE_DAY_KINDS][SHAPE_BINS];

	office(f);
	shape_init(&s);
	shape_set(&s, (const double(*)[SHAPE_BINS])f);
	NEAR(shape_mass(&s, &zone_utc, at(0, 0), at(7, 0)), 7 * 86400, 0.5);
	NEAR(shape_mass(&s, &zone_utc, at(3, 5), at(3 + 21, 5)), 21 * 86400, 1);
	NEAR(shape_at(&s, &zone_utc, at(0, 12)) / shape_at(&s, &zone_utc, at(0, 3)), 25, 0.01);
	NEAR(shape_at(&s, &zone_utc, at(5, 12)), shape_at(&s, &zone_utc, at(0, 3)), 1e-9);
}

TEST(mass_adds_up_over_any_cut)
{
	struct shape s;
	double f[ZONE_DAY_KINDS][SHAPE_BINS];
	const struct zone_offset offset[] = {{{0}, -4 * 3600}, {at(3, 6), -5 * 3600}};
	const struct zone z = {offset, 2, NULL, 0};

	for (int k = 0; k < ZONE_DAY_KINDS; k++)
		for (int i = 0; i < SHAPE_BINS; i++)
			f[k][i] = exp(rng_normal(&rng));
	shape_init(&s);
	shape_set(&s, (const double(*)[SHAPE_BINS])f);
	for (int i = 0; i < 2000; i++) {
		struct instant a = at(rng_uniform(&rng) * 6, 0), b = at(rng_uniform(&rng) * 6, 0),
		               m, t;
		struct shape_walk w, beside;
		double whole;

		if (b.us < a.us) {
			t = a;
			a = b;
			b = t;
		}
		m.us = a.us + (int64_t)((double)(b.us - a.us) * rng_uniform(&rng));
		whole = shape_mass(&s, &z, a, b);
		NEAR(shape_mass(&s, &z, a, m) + shape_mass(&s, &z, m, b), whole, 1e-3);
		OK(whole >= 0);
		shape_walk_start(&w, &s, &z, a);
		NEAR(shape_walk_to(&w, instant_s(m)), shape_mass(&s, &z, a, m), 1e-3);
		NEAR(shape_walk_to(&w, instant_s(b)), whole, 1e-3);
		/* another clock that starts beside one is no other for it, and may be flat */
		shape_walk_start(&w, &s, &z, a);
		shape_walk_with(&beside, &s, &z, a, &w);
		NEAR(shape_walk_to(&beside, instant_s(b)), whole, 1e-3);
		shape_walk_with(&beside, NULL, &z, a, &w);
		NEAR(shape_walk_to(&beside, instant_s(b)), span_s(instant_diff(b, a)), 1e-3);
		shape_walk_start(&w, NULL, &z, a);
		shape_walk_with(&beside, &s, &z, a, &w);
		NEAR(shape_walk_to(&beside, instant_s(b)), whole, 1e-3);
	}
}

TEST(a_pace_holds_for_as_long_as_it_says)
{
	static const double theta[TIMETABLE_BINS] = {[30] = 4};
	double f[ZONE_DAY_KINDS][SHAPE_BINS], until;
	const struct zone_offset offset[] = {{{0}, -4 * 3600}, {at(3, 6.1), -5 * 3600}};
	const struct zone z = {offset, 2, NULL, 0};
	struct shape_walk w;
	struct shape s;

	for (int k = 0; k < ZONE_DAY_KINDS; k++)
		for (int i = 0; i < SHAPE_BINS; i++)
			f[k][i] = exp(rng_normal(&rng));
	shape_init(&s);
	shape_set(&s, (const double(*)[SHAPE_BINS])f);
	for (int i = 0; i < 2000; i++) {
		double t = instant_s(at(rng_uniform(&rng) * 6, 0)), from, pace;

		shape_walk_start(&w, &s, &z, at(0, 0));
		pace = shape_walk_pace(&w, t, &until);
		OK(until > t && until - t <= SHAPE_BIN_S + 1e-3, "%g s", until - t);
		from = shape_walk_to(&w, t);
		NEAR(shape_walk_to(&w, until) - from, pace * (until - t), 1e-3);
		/* at its end another begins */
		shape_walk_pace(&w, until, &t);
		OK(t > until + 1, "%g s", t - until);
	}
	OK(timetable_restore(&s.timetable, 60, theta));
	shape_set(&s, (const double(*)[SHAPE_BINS])f);
	shape_walk_start(&w, &s, &z, at(0, 0));
	shape_walk_pace(&w, instant_s(at(0, 1)), &until);
	NEAR(until, instant_s(at(0, 1)), 0);
	shape_walk_start(&w, NULL, &z, at(0, 0));
	NEAR(shape_walk_pace(&w, instant_s(at(0, 1)), &until), 1, 0);
	OK(until == HUGE_VAL);
}

TEST(local_time_decides_not_utc)
{
	struct shape s;
	double f[ZONE_DAY_KINDS][SHAPE_BINS];
	/* clocks go back at 06:00 UTC of day 3 */
	const struct zone_offset offset[] = {{{0}, -4 * 3600}, {at(3, 6), -5 * 3600}};
	const struct zone z = {offset, 2, NULL, 0};

	office(f);
	shape_init(&s);
	shape_set(&s, (const double(*)[SHAPE_BINS])f);
	/* 09:00 local is 13:00 UTC before and 14:00 UTC after */
	OK(shape_at(&s, &z, at(2, 13.1)) > 1 && shape_at(&s, &z, at(2, 12.9)) < 1);
	OK(shape_at(&s, &z, at(4, 14.1)) > 1 && shape_at(&s, &z, at(4, 13.9)) < 1);
}

TEST(a_holiday_has_the_shape_of_a_sunday)
{
	struct shape s;
	double f[ZONE_DAY_KINDS][SHAPE_BINS];
	struct zone_day day = {(int32_t)(instant_s(at(3, 0)) / 86400), ZONE_SUNDAY};
	const struct zone z = {NULL, 0, &day, 1};

	office(f);
	shape_init(&s);
	shape_set(&s, (const double(*)[SHAPE_BINS])f);
	OK(shape_at(&s, &z, at(2, 12)) > 1);
	OK(shape_at(&s, &z, at(3, 12)) < 1);
	NEAR(shape_mass(&s, &z, at(3, 0), at(4, 0)), shape_mass(&s, &z, at(6, 0), at(7, 0)), 1e-6);
}

/* Looks at random times at keys that change twenty times as fast in office hours. */
TEST(looks_teach_the_hours)
{
	struct shape truth, s;
	double f[ZONE_DAY_KINDS][SHAPE_BINS], rate = 1.0 / 3600, err = 0, n = 0;

	office(f);
	shape_init(&truth);
	shape_set(&truth, (const double(*)[SHAPE_BINS])f);
	shape_init(&s);
	for (double t = 0; t < 7 * 30;) {
		double gap = rng_exponential(&rng, 1) * 0.02; /* days between looks: half an hour */
		struct instant a = at(t, 0), b = at(t + gap, 0);

		for (int key = 0; key < 10; key++)
			shape_learn(&s, &zone_utc, a, b, shape_mass(&s, &zone_utc, a, b), rate,
			            rng_uniform(&rng) <
			                    -expm1(-rate * shape_mass(&truth, &zone_utc, a, b)));
		t += gap;
	}
	for (int i = 0; i < SHAPE_BINS; i++) {
		double d = s.theta[ZONE_WEEKDAY][i] - truth.theta[ZONE_WEEKDAY][i];

		err += d * d;
		n++;
	}
	OK(sqrt(err / n) < 0.45, "rms error of log factors %.3f", sqrt(err / n));
	OK(shape_at(&s, &zone_utc, at(1, 12)) / shape_at(&s, &zone_utc, at(1, 3)) > 8);
}

/* Six looks in each quarter of an hour of a weekday, at keys that change at `pace` times the rate. */
static void watch(struct shape *s, int day, double pace)
{
	static const double RATE = 1.5 / SHAPE_BIN_S;

	for (int i = 0; i < SHAPE_BINS; i++)
		for (int look = 0; look < 6; look++) {
			struct instant a = at(day, i / 4.0), b = at(day, (i + 1) / 4.0);

			shape_learn(s, &zone_utc, a, b, shape_mass(s, &zone_utc, a, b), RATE,
			            rng_uniform(&rng) < -expm1(-RATE * pace * SHAPE_BIN_S));
		}
}

/*
 * What was loud for days becomes quiet. That nothing changed is no information about how quiet it is,
 * beyond what was known: else each quiet look would make the next one weigh less.
 */
TEST(what_was_loud_gets_as_quiet_as_it_is)
{
	struct shape s;
	float info;

	shape_init(&s);
	for (int day = 0; day < 4; day++)
		watch(&s, day, 1);
	NEAR(shape_mass(&s, &zone_utc, at(3, 0), at(4, 0)) / 86400, 1, 0.15);
	info = s.bin[ZONE_WEEKDAY][20].info;
	for (int day = 7; day < 7 * 7; day++)
		if (day % 7 < 5)
			watch(&s, day, 0.02);
	/* a Gamma with as many changes, and as long looked at, would be at 3.7 */
	NEAR(shape_mass(&s, &zone_utc, at(3, 0), at(4, 0)) / 86400 / 0.02, 3.7, 1);
	OK(s.bin[ZONE_WEEKDAY][20].info < 1.5F * info, "%g, %g", (double)info,
	   (double)s.bin[ZONE_WEEKDAY][20].info);
}

/* Looks of a day, every ten minutes, at many keys; `active`: the truth changes in office hours. */
static void a_day(struct shape *s, const struct zone *z, int day, bool active)
{
	for (double h = 0; h < 24; h += 1.0 / 6)
		for (int key = 0; key < 200; key++) {
			struct instant a = at(day, h), b = at(day, h + 1.0 / 6);
			double truth = active && h >= 9 && h < 17 ? 0.5 : 0.005;

			shape_learn(s, z, a, b, shape_mass(s, z, a, b), 1.0 / 3600,
			            rng_uniform(&rng) < -expm1(-truth));
		}
}

/* Ratio of an office hour to a night hour, as learned for such a day. */
static double contrast(const struct shape *s, const struct zone *z, int day)
{
	return shape_at(s, z, at(day, 13)) / shape_at(s, z, at(day, 3));
}

TEST(one_silent_day_does_not_undo_a_week)
{
	struct shape s;
	double before;

	shape_init(&s);
	for (int day = 0; day < 11; day++)
		a_day(&s, &zone_utc, day, day % 7 < 5);
	before = contrast(&s, &zone_utc, 11);
	OK(before > 10, "%g", before);
	a_day(&s, &zone_utc, 11, false);
	/* by a factor of two and no more (DAY_MOVE), the night's own noise aside */
	OK(contrast(&s, &zone_utc, 14) > before / 2.4, "%g of %g", contrast(&s, &zone_utc, 14),
	   before);
	/* but what stays so is believed in the end */
	for (int day = 14; day < 28; day++)
		a_day(&s, &zone_utc, day, false);
	OK(contrast(&s, &zone_utc, 28) < 4, "%g", contrast(&s, &zone_utc, 28));
}

TEST(the_first_days_may_move_far)
{
	struct shape s;

	shape_init(&s);
	a_day(&s, &zone_utc, 0, true);
	/* twice what the moves of later days would come to */
	OK(contrast(&s, &zone_utc, 1) > 10, "%g", contrast(&s, &zone_utc, 1));
}

TEST(a_half_day_is_a_weekday_until_it_shows_something_else)
{
	const struct zone_day day[] = {{20780 + 11, ZONE_HALF_DAY}};
	const struct zone z = {NULL, 0, day, 1};
	struct shape s;

	shape_init(&s);
	for (int d = 0; d < 11; d++)
		a_day(&s, &z, d, d % 7 < 5);
	NEAR(log(contrast(&s, &z, 11) / contrast(&s, &z, 10)), 0, 0.7);
	OK(contrast(&s, &z, 11) > 10, "%g", contrast(&s, &z, 11));
}

/* A morning in which nothing changes, told to the shape in so many parts with a restart between each. */
static void quiet_morning(struct shape *s, int day, int parts, bool keeps_days)
{
	double theta[SHAPE_STATE], info[SHAPE_STATE], days[SHAPE_STATE], last[SHAPE_LAST_STATE];
	size_t n;

	for (int part = 0; part < parts; part++) {
		for (int i = 0; i < 6 * SHAPE_BATCH / parts; i++) {
			double tau = shape_mass(s, &zone_utc, at(day, 9), at(day, 9.2));

			shape_learn(s, &zone_utc, at(day, 9), at(day, 9.2), tau, 1.0 / 600, false);
		}
		shape_state(s, theta, info, days);
		n = shape_last(s, last);
		shape_init(s);
		shape_restore(s, theta, info, days);
		OK(!keeps_days || shape_restore_last(s, last, n));
	}
}

TEST(a_restart_makes_no_two_days_of_one)
{
	struct shape whole, cut, anew;

	shape_init(&whole);
	shape_init(&cut);
	shape_init(&anew);
	for (int day = 0; day < 3; day++) {
		quiet_morning(&whole, day, 1, true);
		quiet_morning(&cut, day, 6, true);
		quiet_morning(&anew, day, 6, false);
	}
	OK(whole.bin[ZONE_WEEKDAY][36].seen == 3 && cut.bin[ZONE_WEEKDAY][36].seen == 3,
	   "%u, %u days", whole.bin[ZONE_WEEKDAY][36].seen, cut.bin[ZONE_WEEKDAY][36].seen);
	/* nor does it move its bins further than a day may */
	NEAR((double)cut.bin[ZONE_WEEKDAY][36].before, (double)whole.bin[ZONE_WEEKDAY][36].before,
	     0.5);
	OK(cut.theta[ZONE_WEEKDAY][36] < cut.bin[ZONE_WEEKDAY][36].before - 0.1F);
	/* as they were before days were kept */
	OK(anew.bin[ZONE_WEEKDAY][36].seen == 18, "%u", anew.bin[ZONE_WEEKDAY][36].seen);
}

TEST(days_that_cannot_be_are_not_taken_back)
{
	struct shape s, untouched;
	double last[SHAPE_LAST_STATE];
	size_t n;

	shape_init(&s);
	OK(shape_last(&s, last) == 0);
	quiet_morning(&s, 1, 1, true);
	n = shape_last(&s, last);
	OK(n == 1 + SHAPE_LAST && last[1] == 36 && last[2] == 0, "%zu", n);
	shape_init(&untouched);
	OK(!shape_restore_last(&untouched, last, n - 1) && !shape_restore_last(&untouched, last, 0));
	for (int i = 0; i < 4; i++) {
		double was = last[i];

		for (int k = 0; k < 3; k++) {
			last[i] = k == 0 ? -1e7 : k == 1 ? 1e7 : NAN;
			OK(!shape_restore_last(&untouched, last, n), "%d %g", i, last[i]);
		}
		last[i] = was;
	}
	OK(untouched.bin[ZONE_WEEKDAY][36].day == 0);
}

/* What is known of all other hours stays when a shape is taken back and one hour is learned on. */
TEST(a_kept_shape_outlives_what_is_learned_next)
{
	struct shape s, back;
	double f[ZONE_DAY_KINDS][SHAPE_BINS], theta[SHAPE_STATE], info[SHAPE_STATE],
	        days[SHAPE_STATE];

	office(f);
	shape_init(&s);
	shape_set(&s, (const double(*)[SHAPE_BINS])f);
	for (int k = 0; k < ZONE_DAY_KINDS; k++)
		for (int i = 0; i < SHAPE_BINS; i++) {
			s.bin[k][i].info = SHAPE_MEMORY / 2;
			s.bin[k][i].seen = 5;
		}
	shape_state(&s, theta, info, days);
	for (int old = 0; old < 2; old++) { /* of an older file only the factors come back */
		shape_init(&back);
		shape_restore(&back, theta, old ? NULL : info, old ? NULL : days);
		NEAR(shape_mass(&back, &zone_utc, at(0, 0), at(7, 0)), 7 * 86400, 0.5);
		for (int i = 0; i < 3 * SHAPE_BATCH; i++) {
			double tau = shape_mass(&back, &zone_utc, at(0, 4), at(0, 4.2));

			shape_learn(&back, &zone_utc, at(0, 4), at(0, 4.2), tau, 1.0 / 600,
			            rng_uniform(&rng) < -expm1(-tau / 600));
		}
		OK(back.steps == 3);
		NEAR(shape_at(&back, &zone_utc, at(0, 9.1)) / shape_at(&s, &zone_utc, at(0, 9.1)), 1,
		     0.01);
		NEAR(shape_at(&back, &zone_utc, at(0, 8.9)) / shape_at(&s, &zone_utc, at(0, 8.9)), 1,
		     0.01);
		NEAR(shape_at(&back, &zone_utc, at(5, 12)) / shape_at(&s, &zone_utc, at(5, 12)), 1,
		     0.01);
	}
}

/* The last tick of a session comes at its end, or a moment later. */
TEST(the_tick_at_the_end_of_a_session_is_expected)
{
	static const double periods[] = {60, 300, 900};
	double f[ZONE_DAY_KINDS][SHAPE_BINS], theta[TIMETABLE_BINS];

	office(f); /* from 9 to 17 h */
	for (int i = 0; i < TIMETABLE_BINS; i++)
		theta[i] = i == 0 ? 4 : -4;
	for (size_t j = 0; j < sizeof(periods) / sizeof(periods[0]); j++) {
		double p = periods[j], within, last, none, first, tau;
		struct shape s;

		shape_init(&s);
		OK(timetable_restore(&s.timetable, p, theta));
		shape_set(&s, (const double(*)[SHAPE_BINS])f);
		within = shape_mass(&s, &zone_utc, at(0, 16.5 - 0.4 * p / 3600),
		                    at(0, 16.5 + 0.4 * p / 3600));
		last = shape_mass(&s, &zone_utc, at(0, 17 - 0.4 * p / 3600),
		                  at(0, 17 + 0.4 * p / 3600));
		none = shape_mass(&s, &zone_utc, at(0, 17.25 - 0.4 * p / 3600),
		                  at(0, 17.25 + 0.4 * p / 3600));
		first = shape_mass(&s, &zone_utc, at(0, 9 - 0.4 * p / 3600),
		                   at(0, 9 + 0.4 * p / 3600));
		OK(last > 0.9 * within && last < 1.1 * within, "%g s: %g of %g", p, last, within);
		OK(first > 0.9 * within && first < 1.1 * within, "%g s: %g of %g", p, first, within);
		OK(none < 0.1 * within, "%g s: %g of %g", p, none, within);
		/* what is seen then is news of the session, not of the night */
		tau = shape_mass(&s, &zone_utc, at(0, 17), at(0, 17 + 4.0 / 3600));
		shape_learn(&s, &zone_utc, at(0, 17), at(0, 17 + 4.0 / 3600), tau, 0.5 / tau,
		            false);
		NEAR(s.bin[ZONE_WEEKDAY][67].score, -0.5, 1e-5);
		NEAR(s.bin[ZONE_WEEKDAY][68].score, 0, 1e-9);
	}
}

TEST(a_clock_with_ticks_never_goes_back_or_jumps)
{
	static const double periods[] = {60, 300, 600, 900, 1800, 3600};
	double f[ZONE_DAY_KINDS][SHAPE_BINS], theta[TIMETABLE_BINS];

	office(f);
	for (size_t j = 0; j < sizeof(periods) / sizeof(periods[0]); j++) {
		struct shape_walk w;
		struct shape s;
		double last = 0, start = instant_s(at(0, 7));

		for (int i = 0; i < TIMETABLE_BINS; i++)
			theta[i] = rng_normal(&rng);
		shape_init(&s);
		OK(timetable_restore(&s.timetable, periods[j], theta));
		shape_set(&s, (const double(*)[SHAPE_BINS])f);
		shape_walk_start(&w, &s, &zone_utc, at(0, 7));
		for (double t = 0; t < 11 * 3600; t += 0.1) {
			double now = shape_walk_to(&w, start + t);

			OK(now >= last - 1e-6 && now < last + 60, "%g s: %g after %g s", periods[j],
			   now - last, t);
			last = now;
		}
	}
}

TEST(an_interval_of_days_or_without_length_teaches_nothing)
{
	struct shape s, before;

	shape_init(&s);
	before = s;
	for (int i = 0; i < 1000; i++) {
		shape_learn(&s, &zone_utc, at(0, 0), at(2, 0), 3600, 1e-3, true);
		shape_learn(&s, &zone_utc, at(0, 0), at(0, 0), 3600, 1e-3, true);
		shape_learn(&s, &zone_utc, at(0, 0), at(0, 1), 0, 1e-3, true);
		shape_learn(&s, &zone_utc, at(0, 0), at(0, 1), NAN, 1e-3, false);
	}
	OK(memcmp(&s, &before, sizeof(s)) == 0);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(a_flat_week_is_plain_time);
	RUN(a_week_of_any_shape_has_the_mass_of_a_week);
	RUN(mass_adds_up_over_any_cut);
	RUN(a_pace_holds_for_as_long_as_it_says);
	RUN(local_time_decides_not_utc);
	RUN(a_holiday_has_the_shape_of_a_sunday);
	RUN(looks_teach_the_hours);
	RUN(what_was_loud_gets_as_quiet_as_it_is);
	RUN(one_silent_day_does_not_undo_a_week);
	RUN(the_first_days_may_move_far);
	RUN(a_half_day_is_a_weekday_until_it_shows_something_else);
	RUN(a_restart_makes_no_two_days_of_one);
	RUN(days_that_cannot_be_are_not_taken_back);
	RUN(a_kept_shape_outlives_what_is_learned_next);
	RUN(the_tick_at_the_end_of_a_session_is_expected);
	RUN(a_clock_with_ticks_never_goes_back_or_jumps);
	RUN(an_interval_of_days_or_without_length_teaches_nothing);
	return tap_done();
}
