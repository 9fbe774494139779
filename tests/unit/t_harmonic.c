/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/harmonic.c"

#include "base/rng.h"
#include "tests/tap.h"

/* A day of 5 minutes, starting on a Monday. */
static const size_t STEPS = 288;
static const double STEP_S = 300, MONDAY_S = 4 * 86400;

static struct harmonic_data *days_new(double days)
{
	struct harmonic_data *d = harmonic_data_new((size_t)(days * (double)STEPS));

	d->start_s = MONDAY_S;
	d->step_s = STEP_S;
	return d;
}

/* What the counts are drawn around: from 10 by night to 700 by day, the week 0.45 to 2.2 times
 * that. */
static double truth(double local_s, bool weekly)
{
	double day = local_s / 86400 * TWO_PI, week = local_s / (7 * 86400) * TWO_PI;

	return exp(4.5 - 2 * cos(day) + 0.3 * sin(2 * day) + (weekly ? 0.8 * cos(week) : 0));
}

/* Noise of the given sd on the logarithm. */
static void fill(struct harmonic_data *d, bool weekly, double sd, uint64_t salt)
{
	struct rng g;

	rng_init(&g, tap_seed + salt);
	for (size_t i = 0; i < d->n; i++)
		d->count[i] = expm1(log1p(truth(d->start_s + (double)i * d->step_s, weekly)) +
		                    sd * rng_normal(&g));
	for (size_t i = 0; i < d->n; i++)
		d->count[i] = d->count[i] > 0 ? d->count[i] : 0;
}

/* Root mean square of log(fit / truth) over a week. */
static double error_of(const struct harmonic *h, bool weekly)
{
	double sum = 0;

	for (size_t i = 0; i < 7 * STEPS; i++) {
		double t = MONDAY_S + 8 * 7 * 86400 + (double)i * STEP_S;
		double e = log1p(harmonic_at(h, t)) - log1p(truth(t, weekly));

		sum += e * e;
	}
	return sqrt(sum / (double)(7 * STEPS));
}

TEST(finds_the_shape_of_the_day_and_of_the_week)
{
	struct harmonic_data *d = days_new(28);
	struct harmonic h = {0};

	fill(d, true, 0.2, 0);
	OK(harmonic_fit(d, &h) == 0);
	OK(h.valid && h.weekly);
	OK(error_of(&h, true) < 0.03, "error %g", error_of(&h, true));
	NEAR(h.sd, 0.2, 0.01);
	NEAR(h.step_s, 300, 0);
	harmonic_data_free(&d);
	OK(!d);
	harmonic_data_free(&d);
}

TEST(weekly_terms_come_in_at_fourteen_days)
{
	double days[] = {2, 13.9, 14};

	for (int i = 0; i < 3; i++) {
		struct harmonic_data *d = days_new(days[i]);
		struct harmonic h = {0};

		fill(d, false, 0.1, 1);
		OK(harmonic_fit(d, &h) == 0);
		OK(h.weekly == (i == 2), "%g days", days[i]);
		OK(error_of(&h, false) < 0.05, "%g days: error %g", days[i], error_of(&h, false));
		for (int k = 13; k < HARMONIC_TERMS; k++)
			OK(h.weekly || h.coef[k] == 0);
		harmonic_data_free(&d);
	}
}

TEST(flash_crowds_do_not_bend_it)
{
	struct harmonic_data *d = days_new(14);
	struct harmonic h = {0};
	struct rng g;

	fill(d, true, 0.2, 2);
	rng_init(&g, tap_seed);
	for (size_t i = 0; i < d->n; i++)
		if (rng_uniform(&g) < 0.05)
			d->count[i] *= 50;
	OK(harmonic_fit(d, &h) == 0);
	OK(error_of(&h, true) < 0.03, "error %g", error_of(&h, true));
	NEAR(h.sd, 0.2, 0.03);
	harmonic_data_free(&d);
}

TEST(a_day_of_outage_does_not_bend_it)
{
	struct harmonic_data *d = days_new(14);
	struct harmonic h = {0};

	fill(d, true, 0.2, 3);
	memset(d->count + 5 * STEPS, 0, STEPS * sizeof(*d->count));
	OK(harmonic_fit(d, &h) == 0);
	OK(error_of(&h, true) < 0.06, "error %g", error_of(&h, true));
	harmonic_data_free(&d);
}

TEST(missing_steps_are_skipped_and_not_zeros)
{
	struct harmonic_data *d = days_new(15);
	struct harmonic h = {0};

	/* two hours of each day, one whole day, and every third step */
	fill(d, true, 0.2, 4);
	for (size_t i = 0; i < d->n; i++)
		if (i % STEPS < 24 || i / STEPS == 6 || i % 3 == 0)
			d->count[i] = -1;
	OK(harmonic_fit(d, &h) == 0);
	OK(error_of(&h, true) < 0.05, "error %g", error_of(&h, true));
	harmonic_data_free(&d);
}

TEST(a_part_of_the_day_never_seen_is_refused)
{
	struct harmonic_data *d = days_new(14);
	struct harmonic h = {.coef = {42}};

	fill(d, true, 0.2, 5);
	for (size_t i = 0; i < d->n; i++)
		if (i % STEPS < 8 * 12)
			d->count[i] = -1;
	OK(harmonic_fit(d, &h) == -EDOM);
	OK(h.coef[0] == 42 && !h.valid, "the last good model was touched");
	harmonic_data_free(&d);
}

TEST(too_little_data_is_refused)
{
	struct harmonic h = {0};
	struct harmonic_data *d = days_new(1.99);

	fill(d, false, 0.1, 6);
	OK(harmonic_fit(d, &h) == -EDOM, "1.99 days");
	harmonic_data_free(&d);

	d = days_new(10);
	fill(d, false, 0.1, 7);
	for (size_t i = 288; i < d->n - 50; i++)
		d->count[i] = -1;
	OK(harmonic_fit(d, &h) == 0, "what is missing inside counts for the length");
	for (size_t i = 25; i < d->n - 1; i++)
		d->count[i] = -1;
	OK(harmonic_fit(d, &h) == -EDOM, "26 counts of two hours");
	for (size_t i = 0; i < d->n; i++)
		d->count[i] = -1;
	OK(harmonic_fit(d, &h) == -EDOM, "nothing but missing steps");
	harmonic_data_free(&d);

	d = days_new(0);
	OK(harmonic_fit(d, &h) == -EDOM, "no steps");
	harmonic_data_free(&d);

	/* fewer counts than two per term: 25 of 4 hours, 13 terms */
	d = harmonic_data_new(25);
	d->step_s = 1e4;
	for (size_t i = 0; i < d->n; i++)
		d->count[i] = 10 + (double)(i % 3);
	OK(harmonic_fit(d, &h) == -EDOM, "n < 2 p");
	harmonic_data_free(&d);
	OK(!h.valid || h.step_s == 300);
}

TEST(steps_too_long_to_tell_the_waves_apart_are_refused)
{
	double step_s[] = {7200, 43200, 86400};

	for (int i = 0; i < 3; i++) {
		struct harmonic_data *d = harmonic_data_new(400);
		struct harmonic h = {0};

		d->step_s = step_s[i];
		fill(d, false, 0.1, 8);
		OK(harmonic_fit(d, &h) == -EDOM, "step of %g s", step_s[i]);
		harmonic_data_free(&d);
	}
}

TEST(numbers_that_are_none_are_refused)
{
	double bad[] = {NAN, INFINITY, -INFINITY};

	for (int i = 0; i < 3; i++) {
		struct harmonic_data *d = days_new(3);
		struct harmonic h = {0};

		fill(d, false, 0.1, 9);
		d->count[100] = bad[i];
		OK(harmonic_fit(d, &h) == -EDOM);
		d->count[100] = 5;
		OK(harmonic_fit(d, &h) == 0);
		d->start_s = bad[i];
		OK(harmonic_fit(d, &h) == -EDOM);
		d->start_s = 0;
		d->step_s = bad[i];
		OK(harmonic_fit(d, &h) == -EDOM);
		d->step_s = 0;
		OK(harmonic_fit(d, &h) == -EDOM);
		d->step_s = -300;
		OK(harmonic_fit(d, &h) == -EDOM);
		harmonic_data_free(&d);
	}
}

TEST(no_requests_at_all_are_forecast_as_none)
{
	struct harmonic_data *d = days_new(14);
	struct harmonic h = {0};

	OK(harmonic_fit(d, &h) == 0);
	NEAR(harmonic_at(&h, 1e9), 0, 1e-9);
	NEAR(h.sd, 0, 1e-9);
	harmonic_data_free(&d);
}

TEST(constant_counts_with_crowds_stay_constant)
{
	struct harmonic_data *d = days_new(14);
	struct harmonic h = {0};
	struct rng g;

	rng_init(&g, tap_seed);
	for (size_t i = 0; i < d->n; i++)
		d->count[i] = rng_uniform(&g) < 0.05 ? 250 : 5;
	OK(harmonic_fit(d, &h) == 0);
	for (double t = 0; t < 7 * 86400; t += 3600)
		NEAR(harmonic_at(&h, t), 5, 0.2);
	harmonic_data_free(&d);
}

TEST(sparse_requests_are_not_taken_for_outliers)
{
	struct harmonic_data *d = days_new(14);
	struct harmonic h = {0};
	struct rng g;

	/* by day every fifth step has one request, by night none has */
	rng_init(&g, tap_seed);
	for (size_t i = 0; i < d->n; i++)
		d->count[i] = i % STEPS >= 120 && rng_uniform(&g) < 0.2;
	OK(harmonic_fit(d, &h) == 0);
	NEAR(harmonic_at(&h, MONDAY_S + 17 * 3600), 0.15, 0.06);
	NEAR(harmonic_at(&h, MONDAY_S + 5 * 3600), 0, 0.03);
	OK(h.sd > 0.05, "sd %g", h.sd);
	harmonic_data_free(&d);
}

TEST(forecasts_are_finite_and_not_negative)
{
	struct harmonic h = {.coef = {800}, .valid = true, .weekly = true};

	OK(isfinite(harmonic_at(&h, 0)));
	h.coef[0] = -3;
	OK(harmonic_at(&h, 0) == 0);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	gsl_set_error_handler_off();
	RUN(finds_the_shape_of_the_day_and_of_the_week);
	RUN(weekly_terms_come_in_at_fourteen_days);
	RUN(flash_crowds_do_not_bend_it);
	RUN(a_day_of_outage_does_not_bend_it);
	RUN(missing_steps_are_skipped_and_not_zeros);
	RUN(a_part_of_the_day_never_seen_is_refused);
	RUN(too_little_data_is_refused);
	RUN(steps_too_long_to_tell_the_waves_apart_are_refused);
	RUN(numbers_that_are_none_are_refused);
	RUN(no_requests_at_all_are_forecast_as_none);
	RUN(constant_counts_with_crowds_stay_constant);
	RUN(sparse_requests_are_not_taken_for_outliers);
	RUN(forecasts_are_finite_and_not_negative);
	return tap_done();
}
