/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/demand.c"

#include "base/rng.h"
#include "tests/tap.h"

static struct rng rng;

/* 2026-11-23 is a Monday. */
static const struct instant MONDAY = {INT64_C(1795392000) * 1000000};

static struct instant at(double day, double hour)
{
	return instant_add(MONDAY, span_from_s(day * 86400 + hour * 3600));
}

/* So many requests of a mean of n, as a Poisson process has them; good for n > 20. */
static double poisson(double n)
{
	return fmax(0, floor(n + sqrt(n) * rng_normal(&rng) + 0.5));
}

/* Requests per quarter of an hour, on UTC clocks. */
typedef double truth_fn(double day, double hour);

static double always_100(double day, double hour)
{
	(void)day;
	(void)hour;
	return 100;
}

static double office(double day, double hour)
{
	bool week_end = fmod(day, 7) >= 5;

	return week_end ? 40 : hour >= 9 && hour < 17 ? 400 : 50;
}

/* Counts each five minutes from one day to another. */
static void feed(struct demand *d, const struct zone *z, truth_fn *truth, double from, double to)
{
	for (double q = from * 288; q < to * 288 - 1e-6; q++) {
		double day = floor(q / 288 + 1e-9), hour = q / 12 - day * 24;

		demand_count(d, z, at(day, hour + 0.01), poisson(truth(day, hour) / 3));
	}
}

TEST(nothing_is_known_before_the_first_request)
{
	struct demand d;
	double sum[DEMAND_STATE], days[DEMAND_STATE];

	demand_init(&d);
	NEAR(demand_rate(&d, &zone_utc, at(0, 0)), 0, 0);
	OK(isnan(demand_error(&d, EXPERT_YESTERDAY)), "as the header says");
	OK(!demand_data(&d) && !demand_state(&d, sum, days) && !d.history && !d.shape);
	demand_release(&d);
}

TEST(the_first_five_minutes_are_spread_over_all_of_them)
{
	struct demand d;

	demand_init(&d);
	for (int i = 0; i < 30; i++)
		demand_count(&d, &zone_utc, at(0, 0.001 * i), 3);
	NEAR(demand_rate(&d, &zone_utc, at(0, 0.03)), 90 / 300.0, 1e-12);
	demand_release(&d);
}

TEST(the_profile_of_the_week_comes_back)
{
	struct demand d;
	double sum = 0;

	demand_init(&d);
	feed(&d, &zone_utc, office, 0, 42);
	for (int day = 42; day < 49; day++)
		for (int h = 0; h < 24; h++) {
			/* not where the quarter just changes: the base is smooth */
			double got = demand_rate(&d, &zone_utc, at(day, h + 0.4)) * 900;
			double want = office(day, h + 0.4), all = office(0, h + 0.4);

			/* Of weekdays 12.7 are remembered, of Saturdays 5.05; each kind is shrunk
			 * by two days' worth of all, as logarithms. */
			all = (12.7 * log(all) + 10.1 * log(40)) / 22.8;
			want = exp(log(want) + (all - log(want)) * 2 / (day < 47 ? 14.7 : 7.05));
			NEAR(got / want, 1, 0.55);
			sum += got / want;
		}
	NEAR(sum / (7 * 24), 1, 0.08);
	/* the demand clock says the same */
	NEAR(shape_at(d.shape, &zone_utc, at(44, 12)) / shape_at(d.shape, &zone_utc, at(44, 3)), 8,
	     1.2);
	NEAR(shape_at(d.shape, &zone_utc, at(44, 12)) / shape_at(d.shape, &zone_utc, at(47, 12)),
	     390 / 73.0, 1);
	NEAR(shape_mass(d.shape, &zone_utc, at(42, 0), at(49, 0)), 7 * 86400, 1);
	demand_release(&d);
}

TEST(its_clock_runs_evenly_within_a_quarter_of_an_hour)
{
	struct demand d;

	demand_init(&d);
	feed(&d, &zone_utc, office, 0, 21);
	for (double s = 0; s < 840; s += 7)
		NEAR(shape_mass(d.shape, &zone_utc, at(21, 12 + s / 3600),
		                at(21, 12 + (s + 10) / 3600)),
		     10 * shape_at(d.shape, &zone_utc, at(21, 12)), 1e-3);
	demand_release(&d);
}

TEST(old_days_count_half_after_ten_more)
{
	struct demand d;

	demand_init(&d);
	for (int q = 0; q < 96 * 28; q++)
		demand_count(&d, &zone_utc, at(0, q * 0.25), 100);
	for (int q = 96 * 28; q < 96 * 42; q++)
		demand_count(&d, &zone_utc, at(0, q * 0.25), 200);
	/* 20 weekdays, then ten: 10.9 * 0.484 against 7.37 */
	NEAR(profile_at(&d, ZONE_WEEKDAY, 50), (10.9 * 0.484 * 100 + 7.37 * 200) / 12.65, 2);
	NEAR(d.mean, 200, 3);
	demand_release(&d);
}

TEST(a_quiet_bin_is_quiet_and_not_impossible)
{
	struct demand d;

	demand_init(&d);
	for (int day = 0; day < 30; day++)
		demand_count(&d, &zone_utc, at(day, 12.1), 1000);
	feed(&d, &zone_utc, always_100, 30, 30.1);
	OK(shape_at(d.shape, &zone_utc, at(30, 3)) > 0);
	OK(shape_at(d.shape, &zone_utc, at(30, 12.1)) >
	   20 * shape_at(d.shape, &zone_utc, at(30, 3)));
	demand_release(&d);
}

TEST(a_raised_level_raises_the_forecast_and_fades)
{
	struct demand d;
	double now, late;

	demand_init(&d);
	feed(&d, &zone_utc, always_100, 0, 14);
	for (int i = 0; i < 24; i++)
		demand_count(&d, &zone_utc, at(14, i / 12.0 + 0.01), 100);
	now = demand_rate(&d, &zone_utc, at(14, 2)) * 900;
	late = demand_rate(&d, &zone_utc, at(14, 23)) * 900;
	OK(now > 160 && now < 330, "%g", now);
	OK(late > 85 && late < 160, "%g", late);
	demand_release(&d);
}

TEST(a_burst_before_a_long_silence_is_not_expected_to_go_on)
{
	struct demand d;

	demand_init(&d);
	feed(&d, &zone_utc, always_100, 0, 14);
	for (int i = 0; i < 24; i++)
		demand_count(&d, &zone_utc, at(14, i / 12.0 + 0.01), 1000);
	/* nobody has asked for half a day, and nobody has looked at that */
	NEAR(demand_rate(&d, &zone_utc, at(14, 14)) * 900 / 100, 1.5, 1.3);
	/* once somebody looks the silence is what is known */
	demand_settle(&d, &zone_utc, at(14, 14));
	OK(demand_rate(&d, &zone_utc, at(14, 14.1)) * 900 < 20);
	demand_release(&d);
}

TEST(silence_is_learned_from_when_somebody_looks)
{
	struct demand a, b;

	demand_init(&a);
	demand_init(&b);
	for (int i = 0; i < 3 * 288; i++) {
		double n = poisson(33);

		demand_count(&a, &zone_utc, at(0, i / 12.0), n);
		demand_count(&b, &zone_utc, at(0, i / 12.0), n);
	}
	for (int i = 0; i <= 60; i++) {
		demand_settle(&a, &zone_utc, at(3, i / 60.0));
		/* looks between do nothing, nor do looks into the past */
		demand_settle(&a, &zone_utc, at(3, i / 60.0 - 0.5));
	}
	demand_settle(&b, &zone_utc, at(3, 1));
	NEAR(demand_rate(&a, &zone_utc, at(3, 2)), demand_rate(&b, &zone_utc, at(3, 2)), 0);
	OK(demand_rate(&a, &zone_utc, at(3, 1)) * 900 < 30);
	demand_release(&a);
	demand_release(&b);
}

TEST(models_of_their_own_are_given_while_there_is_room)
{
	struct demand_pool pool;
	struct demand d[3];

	demand_pool_init(&pool, 2);
	for (int i = 0; i < 3; i++) {
		demand_init(&d[i]);
		d[i].pool = &pool;
		feed(&d[i], &zone_utc, always_100, 0, 3);
	}
	OK(d[0].ensemble && d[1].ensemble && !d[2].ensemble && pool.models == 2);
	OK(!d[2].history && !d[2].profile && !d[2].shape, "nothing else is big");
	/* without one it is worse, not silent */
	NEAR(demand_rate(&d[2], &zone_utc, at(3, 0.2)) * 900, 100, 20);
	demand_take_model(&d[0]);
	demand_give_model(&d[2]);
	OK(pool.models == 2 && !d[0].shape && d[2].ensemble);
	feed(&d[0], &zone_utc, always_100, 3, 4);
	feed(&d[2], &zone_utc, always_100, 3, 4);
	OK(!d[0].ensemble, "no room");
	NEAR(demand_rate(&d[0], &zone_utc, at(4, 0.2)) * 900, 100, 20);
	NEAR(demand_rate(&d[2], &zone_utc, at(4, 0.2)) * 900, 100, 20);
	for (int i = 0; i < 3; i++)
		demand_release(&d[i]);
	OK(pool.models == 0);
}

TEST(when_clocks_are_put_forward_the_lost_hour_is_missing_and_not_empty)
{
	/* at 02:00 local clocks go to 03:00, on the 15th day */
	const struct zone_offset offset[] = {{{0}, 0}, {at(15, 2), 3600}};
	const struct zone z = {offset, 2, NULL, 0};
	struct harmonic_data *data;
	struct demand d;
	int missing = 0, empty = 0;

	demand_init(&d);
	feed(&d, &z, always_100, 0, 15 + 2.25 / 24);
	NEAR(demand_rate(&d, &z, at(15, 2.2)) * 900, 100, 12);
	feed(&d, &z, always_100, 15 + 2.25 / 24, 16);
	data = demand_data(&d);
	for (size_t i = 96; i < data->n; i++) { /* the history is kept from the third quarter on */
		missing += data->count[i] < 0;
		empty += data->count[i] == 0;
	}
	OK(missing == 4 && !empty, "%d missing, %d empty", missing, empty);
	NEAR(profile_at(&d, ZONE_WEEKDAY, 2 * 4 + 1), 100, 8);
	harmonic_data_free(&data);
	demand_release(&d);
}

TEST(when_clocks_are_put_back_the_hour_that_comes_twice_is_not_one_crowded_quarter)
{
	/* at 02:00 local clocks go back to 01:00, on the 15th day */
	const struct zone_offset offset[] = {{{0}, 3600}, {at(15, 1), 0}};
	const struct zone z = {offset, 2, NULL, 0};
	struct demand d;
	double most = 0;

	demand_init(&d);
	feed(&d, &z, always_100, 0, 15 + 2.25 / 24);
	NEAR(demand_rate(&d, &z, at(15, 2.2)) * 900, 100, 12);
	for (int i = 0; i < SHAPE_BINS; i++)
		most = fmax(most, profile_at(&d, ZONE_WEEKDAY, i));
	OK(most < 115, "%g", most);
	/* a late event of the first pass belongs to the quarter that runs, though its clock says
	 * later */
	demand_count(&d, &z, at(15, 0.9), 7);
	OK(slot_of(d.bin) == 2 * 4, "slot %d", slot_of(d.bin));
	demand_release(&d);
}

TEST(another_zone_is_taken_up_at_once)
{
	const struct zone_offset offset[] = {{{0}, -5 * 3600}};
	const struct zone z = {offset, 1, NULL, 0};
	struct demand d;

	demand_init(&d);
	feed(&d, &zone_utc, always_100, 0, 10);
	feed(&d, &z, always_100, 10, 10.5);
	NEAR((double)d.bin, (double)local_bin(&z, at(10, 11.9)), 0);
	for (int i = 0; i < SHAPE_BINS; i++)
		NEAR(profile_at(&d, ZONE_WEEKDAY, i), 100, 25);
	demand_release(&d);
}

TEST(a_holiday_has_the_profile_of_a_sunday)
{
	struct zone_day day = {(int32_t)(instant_s(at(44, 0)) / 86400), ZONE_SUNDAY};
	const struct zone z = {NULL, 0, &day, 1};
	struct demand d;

	demand_init(&d);
	feed(&d, &z, office, 0, 42);
	NEAR(demand_rate(&d, &z, at(44, 12)) / demand_rate(&d, &z, at(48, 12)), 1, 0.4);
	OK(demand_rate(&d, &z, at(45, 12)) > 3 * demand_rate(&d, &z, at(44, 12)));
	demand_release(&d);
}

TEST(late_events_count_in_the_quarter_that_runs)
{
	struct demand d;
	int64_t bin;

	demand_init(&d);
	demand_count(&d, &zone_utc, at(0, 10), 5);
	bin = d.bin;
	demand_count(&d, &zone_utc, at(0, 9), 7);
	demand_count(&d, &zone_utc, at(-400, 9), 7);
	OK(d.bin == bin && d.count == 19 && d.requests == 19);
	demand_release(&d);
}

TEST(a_gap_of_days_is_silence_and_a_gap_of_weeks_is_not_known)
{
	struct demand d;
	struct harmonic_data *data;
	double before, missing = 0;

	demand_init(&d);
	feed(&d, &zone_utc, always_100, 0, 14);
	before = profile_at(&d, ZONE_WEEKDAY, 50);
	demand_count(&d, &zone_utc, at(18, 0), 100);
	OK(profile_at(&d, ZONE_WEEKDAY, 50) < 0.85 * before, "four days of nothing have been seen");
	before = profile_at(&d, ZONE_WEEKDAY, 50);
	demand_count(&d, &zone_utc, at(18 + 29, 0), 100);
	NEAR(profile_at(&d, ZONE_WEEKDAY, 50), before, 0);
	NEAR(d.count, 100, 0);
	data = demand_data(&d);
	for (size_t i = 0; i < data->n; i++)
		missing += data->count[i] < 0;
	NEAR(missing, DEMAND_BINS, 0);
	harmonic_data_free(&data);
	/* a century passes in no time */
	demand_count(&d, &zone_utc, at(36500, 0), 100);
	NEAR(profile_at(&d, ZONE_WEEKDAY, 50), before, 0);
	OK(isfinite(demand_rate(&d, &zone_utc, at(36500, 1))));
	demand_release(&d);
}

TEST(a_gap_of_weeks_over_changes_of_the_clock_ends_where_it_should)
{
	const struct zone_offset offset[] = {{{0}, 3600}, {at(30, 1), 0}, {at(60, 1), 3600}};
	const struct zone z = {offset, 3, NULL, 0};
	struct demand d;

	demand_init(&d);
	feed(&d, &z, always_100, 0, 14);
	demand_count(&d, &z, at(100, 5), 3);
	NEAR((double)d.bin, (double)local_bin(&z, at(100, 5)), 0);
	NEAR(d.count, 3, 0);
	demand_release(&d);
}

TEST(years_before_1970_and_the_year_1970_are_times_like_others)
{
	static const double starts[] = {-3 * 86400.0, 0, -40 * 365 * 86400.0};

	for (int i = 0; i < 3; i++) {
		struct demand d;

		demand_init(&d);
		for (double s = starts[i]; s < starts[i] + 14 * 86400; s += 900)
			for (int k = 0; k < 3; k++)
				demand_count(&d, &zone_utc, instant_from_s(s + 1 + 300 * k),
				             fmod(s + 1e10 * 86400, 86400) < 43200 ? 67 : 17);
		for (double s = starts[i] + 14 * 86400; s < starts[i] + 15 * 86400; s += 3600) {
			double want = fmod(s + 1e10 * 86400, 86400) < 43200 ? 200 : 50;

			NEAR(demand_rate(&d, &zone_utc, instant_from_s(s + 1800)) * 900 / want, 1,
			     0.4);
		}
		demand_release(&d);
	}
}

TEST(the_history_is_the_last_four_weeks_oldest_first)
{
	struct harmonic_data *data;
	struct demand d;
	double n = 0;

	demand_init(&d);
	demand_count(&d, &zone_utc, at(0, 0), 300);
	for (int q = 1; q < 2 * 96; q++)
		demand_count(&d, &zone_utc, at(0, q * 0.25), q);
	OK(!demand_data(&d), "less than two days");
	for (int q = 2 * 96; q <= 40 * 96; q++)
		demand_count(&d, &zone_utc, at(0, q * 0.25), q);
	data = demand_data(&d);
	NEAR((double)data->n, DEMAND_BINS, 0);
	NEAR(data->start_s, instant_s(at(12, 0)), 0);
	NEAR(data->step_s, 900, 0);
	for (size_t i = 0; i < data->n; i++)
		n += data->count[i] == (double)(12 * 96 + i);
	NEAR(n, DEMAND_BINS, 0);
	harmonic_data_free(&data);
	demand_release(&d);
}

/* A harmonic model that is a constant. */
static struct harmonic constant(double per_bin, double step_s)
{
	return (struct harmonic){.coef = {log1p(per_bin)}, .step_s = step_s, .valid = true};
}

TEST(the_expert_that_errs_less_gets_the_weight)
{
	struct demand d;
	struct harmonic good = constant(100, SHAPE_BIN_S), bad = constant(3000, SHAPE_BIN_S),
	                other = constant(100, 300);

	demand_init(&d);
	feed(&d, &zone_utc, always_100, 0, 3);
	demand_set_harmonic(&d, &other);
	OK(!demand_harmonic(&d)->valid, "a model of other steps is none");
	demand_set_harmonic(&d, &good);
	NEAR(harmonic_weight(&d), 0.5, 1e-9);
	feed(&d, &zone_utc, always_100, 3, 6);
	OK(harmonic_weight(&d) > 0.5, "the truth errs less than three days' profile: %g",
	   harmonic_weight(&d));
	demand_set_harmonic(&d, &bad);
	feed(&d, &zone_utc, always_100, 6, 9);
	OK(harmonic_weight(&d) < 0.02, "%g", harmonic_weight(&d));
	NEAR(demand_rate(&d, &zone_utc, at(9, 5)) * 900, 100, 12);
	demand_release(&d);
}

TEST(what_was_kept_comes_back)
{
	struct demand d, e;
	static double sum[DEMAND_STATE], days[DEMAND_STATE], state[ENSEMBLE_STATE],
	        again[ENSEMBLE_STATE];

	demand_init(&d);
	demand_init(&e);
	feed(&d, &zone_utc, office, 0, 21);
	OK(demand_state(&d, sum, days));
	OK(demand_forecast_state(&d, state));
	OK(!demand_forecast_restore(&e, state), "no model of its own yet");
	demand_restore(&e, sum, days, d.mean, d.mean_n);
	OK(demand_forecast_restore(&e, state));
	OK(demand_forecast_state(&e, again) && !memcmp(state, again, sizeof(state)));
	/* before any request */
	for (int h = 0; h < 5 * 24; h++) /* not the hours whose quarter just changes */
		NEAR(demand_rate(&e, &zone_utc, at(21, h + 0.4)) * 900 / office(0, h % 24), 1, 0.3);
	NEAR(shape_at(e.shape, &zone_utc, at(21, 12)) / shape_at(e.shape, &zone_utc, at(21, 4)), 8,
	     2);
	/* and it learns on */
	feed(&e, &zone_utc, office, 21, 22);
	NEAR(demand_rate(&e, &zone_utc, at(22, 9.4)) * 900, 400, 100);
	/* what no ensemble wrote is refused */
	state[3] = -1;
	OK(!demand_forecast_restore(&e, state));
	demand_release(&d);
	demand_release(&e);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(nothing_is_known_before_the_first_request);
	RUN(the_first_five_minutes_are_spread_over_all_of_them);
	RUN(the_profile_of_the_week_comes_back);
	RUN(its_clock_runs_evenly_within_a_quarter_of_an_hour);
	RUN(old_days_count_half_after_ten_more);
	RUN(a_quiet_bin_is_quiet_and_not_impossible);
	RUN(a_raised_level_raises_the_forecast_and_fades);
	RUN(a_burst_before_a_long_silence_is_not_expected_to_go_on);
	RUN(silence_is_learned_from_when_somebody_looks);
	RUN(models_of_their_own_are_given_while_there_is_room);
	RUN(when_clocks_are_put_forward_the_lost_hour_is_missing_and_not_empty);
	RUN(when_clocks_are_put_back_the_hour_that_comes_twice_is_not_one_crowded_quarter);
	RUN(another_zone_is_taken_up_at_once);
	RUN(a_holiday_has_the_profile_of_a_sunday);
	RUN(late_events_count_in_the_quarter_that_runs);
	RUN(a_gap_of_days_is_silence_and_a_gap_of_weeks_is_not_known);
	RUN(a_gap_of_weeks_over_changes_of_the_clock_ends_where_it_should);
	RUN(years_before_1970_and_the_year_1970_are_times_like_others);
	RUN(the_history_is_the_last_four_weeks_oldest_first);
	RUN(the_expert_that_errs_less_gets_the_weight);
	RUN(what_was_kept_comes_back);
	return tap_done();
}
