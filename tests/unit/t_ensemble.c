/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/ensemble.c"

#include "base/rng.h"
#include "tests/tap.h"

static struct rng rng;
static const struct harmonic NONE = {0};

/* 2026-11-23 is a Monday. */
static const struct instant MONDAY = {INT64_C(1795392000) * 1000000};

static double poisson(double m)
{
	double limit = exp(-m), p = rng_uniform(&rng), n = 0;

	if (m > 30)
		return fmax(0, floor(m + sqrt(m) * rng_normal(&rng) + 0.5));
	while (p > limit) {
		p *= rng_uniform(&rng);
		n++;
	}
	return n;
}

/* Mean of a bucket. */
typedef double truth_fn(int64_t bucket);

static double daily(int64_t bucket)
{
	return 60 + 50 * sin((double)bucket / ENSEMBLE_DAY * 6.283185307);
}

static double quiet(int64_t bucket)
{
	return 0.4 + 0.3 * sin((double)bucket / ENSEMBLE_DAY * 6.283185307);
}

/* Each 8 buckets a job asks for 100 things. */
static double job(int64_t bucket)
{
	return bucket % 8 == 3 ? 100 : 5;
}

static struct ensemble *new_ensemble(void)
{
	struct ensemble *f = malloc(sizeof(*f));

	ensemble_init(f, MONDAY);
	return f;
}

static void feed(struct ensemble *f, truth_fn *truth, const struct harmonic *waves, int64_t buckets)
{
	for (int64_t i = 0; i < buckets; i++)
		ensemble_add(f, &zone_utc, waves, poisson(truth(f->at + 1)));
}

TEST(nothing_is_said_before_anything_is_known)
{
	struct ensemble *f = new_ensemble();
	struct ensemble_forecast x = ensemble_at(f, &zone_utc, &NONE, 0);
	double w[ENSEMBLE_EXPERTS];

	NEAR(x.median + x.lo80 + x.hi80 + x.mean, 0, 0);
	OK(isnan(ensemble_error(f, EXPERT_LAST)));
	ensemble_weights(f, HORIZON_30M, w);
	NEAR(w[EXPERT_EWMA], 1, 0);
	ensemble_add(f, &zone_utc, &NONE, 7);
	x = ensemble_at(f, &zone_utc, &NONE, 1);
	NEAR(x.median, 7, 1e-6);
	OK(x.lo80 < 7 && x.hi80 > 7);
	free(f);
}

struct score {
	double error, naive, inside, sum, mean, n;
};

/* Forecasts `ahead` buckets ahead over so many buckets. */
static struct score score(truth_fn *truth, int64_t skip, int64_t buckets, int ahead)
{
	struct ensemble *f = new_ensemble();
	struct ensemble_forecast said[ENSEMBLE_DAY + 1];
	double count[ENSEMBLE_DAY + 1];
	struct score s = {0};

	for (int64_t i = 0; i < skip + buckets; i++) {
		double y = poisson(truth(i));

		ensemble_add(f, &zone_utc, &NONE, y);
		if (i > skip) {
			const struct ensemble_forecast *x = &said[i % (ahead + 1)];

			s.error += fabs(x->median - y);
			s.naive += fabs(count[i % (ahead + 1)] - y);
			s.inside += x->lo80 <= y && y <= x->hi80;
			s.sum += y;
			s.mean += x->mean;
			s.n++;
			OK(0 <= x->lo80 && x->lo80 <= x->median && x->median <= x->hi80);
		}
		said[(i + ahead) % (ahead + 1)] = ensemble_at(f, &zone_utc, &NONE, i + ahead);
		count[(i + ahead) % (ahead + 1)] = y;
	}
	free(f);
	return s;
}

TEST(errors_come_near_to_what_chance_leaves)
{
	static const int ahead[] = {1, 3, 6, 40, ENSEMBLE_DAY};

	for (int i = 0; i < 5; i++) {
		struct score s = score(daily, 12 * ENSEMBLE_DAY, 20 * ENSEMBLE_DAY, ahead[i]);
		double least = 0;

		/* mean absolute deviation of a Poisson count, near enough */
		for (int b = 0; b < ENSEMBLE_DAY; b++)
			least += 0.798 * sqrt(daily(b)) / ENSEMBLE_DAY;
		printf("# %d ahead: error %.2f, by chance %.2f; inside %.3f; mean %.3f\n", ahead[i],
		       s.error / s.n, least, s.inside / s.n, s.mean / s.sum);
		OK(s.error / s.n < 1.15 * least, "%g", s.error / s.n);
		NEAR(s.inside / s.n, 0.8, 0.06);
		NEAR(s.mean / s.sum, 1, 0.03);
	}
}

TEST(means_and_intervals_hold_where_most_buckets_are_empty)
{
	struct score s = score(quiet, 14 * ENSEMBLE_DAY, 40 * ENSEMBLE_DAY, 6);

	printf("# inside %.3f, mean %.3f of what came\n", s.inside / s.n, s.mean / s.sum);
	NEAR(s.inside / s.n, 0.8, 0.06);
	NEAR(s.mean / s.sum, 1, 0.1);
}

TEST(who_loses_for_a_while_loses_his_say_and_wins_it_back)
{
	struct ensemble *f = new_ensemble();
	struct harmonic good = {.coef = {log1p(150)}, .step_s = 900, .valid = true},
	                bad = {.coef = {log1p(9000)}, .step_s = 900, .valid = true};
	double w[ENSEMBLE_EXPERTS], sum = 0;

	/* no rhythm at all: the waves know it from the start, yesterday is as good as any day */
	for (int i = 0; i < 10 * ENSEMBLE_DAY; i++)
		ensemble_add(f, &zone_utc, &good, poisson(50));
	ensemble_weights(f, HORIZON_30M, w);
	for (int i = 0; i < ENSEMBLE_EXPERTS; i++)
		sum += w[i];
	NEAR(sum, 1, 1e-9);
	OK(w[EXPERT_LAST] < 0.05 && w[EXPERT_YESTERDAY] < 0.05, "%g %g", w[EXPERT_LAST],
	   w[EXPERT_YESTERDAY]);
	OK(ensemble_error(f, EXPERT_YESTERDAY) < 0.8 && ensemble_error(f, EXPERT_LAST) < 0.8 &&
	   ensemble_error(f, EXPERT_EWMA) < 1);
	/* a day ahead nothing corrects the level of the waves */
	for (int i = 0; i < 4 * ENSEMBLE_DAY; i++)
		ensemble_add(f, &zone_utc, &bad, poisson(50));
	ensemble_weights(f, HORIZON_DAY, w);
	OK(w[EXPERT_WAVES] < 0.05, "%g", w[EXPERT_WAVES]);
	OK(ensemble_at(f, &zone_utc, &bad, f->at + ENSEMBLE_DAY).median < 70);
	free(f);
}

TEST(a_period_that_was_found_is_used)
{
	struct ensemble *f = new_ensemble();
	struct harmonic waves = {.period_s = 8 * ENSEMBLE_STEP_S};
	double w[ENSEMBLE_EXPERTS];

	feed(f, job, &waves, 4 * ENSEMBLE_DAY);
	ensemble_weights(f, HORIZON_30M, w);
	OK(w[EXPERT_PERIOD] > 0.5, "%g", w[EXPERT_PERIOD]);
	while ((f->at + 6) % 8 != 3)
		feed(f, job, &waves, 1);
	NEAR(ensemble_at(f, &zone_utc, &waves, f->at + 6).median, 100, 30);
	NEAR(ensemble_at(f, &zone_utc, &waves, f->at + 5).median, 5, 12);
	free(f);
}

TEST(yesterday_is_of_local_clocks)
{
	/* at the 15th day's noon UTC clocks go forward by an hour */
	struct instant change = instant_add(MONDAY, SPAN_S(14 * 86400 + 43200));
	const struct zone_offset offset[] = {{{0}, 0}, {change, 3600}};
	const struct zone z = {offset, 2, NULL, 0};
	struct ensemble *f = new_ensemble();

	NEAR((double)days_before(f, &z, 14 * 288 + 100, 1), 13 * 288 + 100, 0);
	NEAR((double)days_before(f, &z, 14 * 288 + 200, 1), 13 * 288 + 200 + 12, 0);
	NEAR((double)days_before(f, &z, 16 * 288 + 200, 1), 15 * 288 + 200, 0);
	NEAR((double)days_before(f, &z, 16 * 288 + 200, 7), 9 * 288 + 200 + 12, 0);
	free(f);
}

TEST(the_future_changes_no_forecast_and_a_gap_is_not_silence)
{
	struct ensemble *f = new_ensemble();
	struct ensemble_forecast before, after;

	feed(f, daily, &NONE, 10 * ENSEMBLE_DAY);
	before = ensemble_at(f, &zone_utc, &NONE, f->at + 3 * ENSEMBLE_DAY + 72);
	ensemble_skip(f, f->at + 3 * ENSEMBLE_DAY);
	after = ensemble_at(f, &zone_utc, &NONE, f->at + 73);
	NEAR(after.median / before.median, 1, 0.2);
	feed(f, daily, &NONE, 1);
	OK(isfinite(ensemble_at(f, &zone_utc, &NONE, f->at + 6).median));
	feed(f, daily, &NONE, ENSEMBLE_DAY);
	NEAR(ensemble_at(f, &zone_utc, &NONE, f->at + 6).median, daily(f->at + 6), 20);
	free(f);
}

TEST(huge_counts_and_sudden_ends_stay_finite)
{
	struct ensemble *f = new_ensemble();

	for (int i = 0; i < 3000; i++)
		ensemble_add(f, &zone_utc, &NONE, i % 700 < 350 ? 4e9 : 0);
	for (int h = 1; h < 3000; h += 7) {
		struct ensemble_forecast x = ensemble_at(f, &zone_utc, &NONE, f->at + h);

		OK(isfinite(x.median) && x.median >= 0 && isfinite(x.mean) && isfinite(x.lo80) &&
		   isfinite(x.hi80));
	}
	free(f);
}

TEST(a_line_is_found_and_an_outlier_does_not_bend_it)
{
	static const double zero[RLS_TERMS] = {0};
	struct rls r;
	float x[RLS_TERMS];

	rls_init(&r, zero);
	for (int i = 0; i < 3000; i++) {
		double y = 0;

		for (int k = 0; k < RLS_TERMS; k++) {
			x[k] = (float)rng_normal(&rng);
			y += 0.1 * k * (double)x[k];
		}
		rls_learn(&r, x, y + 0.1 * rng_normal(&rng) + (i % 100 == 50 ? 100 : 0), 0.999);
	}
	for (int k = 0; k < RLS_TERMS; k++)
		NEAR(r.w[k], 0.1 * k, 0.15);
	/* a term that stays 0 for ever, and one that explodes */
	x[0] = 0;
	for (int i = 0; i < 100000; i++) {
		for (int k = 1; k < RLS_TERMS; k++)
			x[k] = (float)rng_normal(&rng);
		rls_learn(&r, x, i == 70000 ? 1e300 : 1, 0.997);
		OK(isfinite(rls_say(&r, x)));
	}
}

TEST(a_fifth_lies_outside_of_an_interval_wherever_it_began)
{
	struct interval v;
	double below = 0, above = 0;

	interval_init(&v);
	for (int i = 0; i < 60000; i++) {
		double m = 400 + 300 * sin(i * 0.01), lo, hi,
		       y = poisson(m * exp(0.3 * rng_normal(&rng)));

		interval_at(&v, m, &lo, &hi);
		if (i > 10000) {
			below += y < lo;
			above += y > hi;
		}
		interval_learn(&v, m, lo, hi, y, INTERVAL_GAIN);
	}
	NEAR(below / 50000, 0.1, 0.01);
	NEAR(above / 50000, 0.1, 0.01);
}

TEST(what_is_kept_comes_back_and_nonsense_does_not)
{
	static double v[ENSEMBLE_STATE], w[ENSEMBLE_STATE];
	struct ensemble *f = new_ensemble(), *g = new_ensemble(), *once = new_ensemble();

	feed(f, daily, &NONE, 10 * ENSEMBLE_DAY);
	ensemble_state(f, v);
	OK(ensemble_restore(g, v));
	ensemble_state(g, w);
	OK(!memcmp(v, w, sizeof(v)));
	/* how sure it is of that does not depend on how often it was restored, nor into what */
	*once = *g;
	OK(ensemble_restore(g, v) && ensemble_restore(f, v));
	for (int h = 0; h < HORIZONS; h++) {
		OK(!memcmp(&g->model[h].slow, &once->model[h].slow, sizeof(struct rls)));
		OK(!memcmp(g->model[h].quick.cov, once->model[h].quick.cov,
		           sizeof(once->model[h].quick.cov)));
		OK(!memcmp(f->model[h].slow.cov, once->model[h].slow.cov,
		           sizeof(once->model[h].slow.cov)));
	}
	free(once);
	feed(g, daily, &NONE, 3 * ENSEMBLE_DAY);
	NEAR(ensemble_at(g, &zone_utc, &NONE, g->at + 6).median, daily(g->at + 6), 20);
	for (int i = 0; i < ENSEMBLE_STATE; i++) {
		double kept = v[i];

		v[i] = NAN;
		OK(!ensemble_restore(g, v), "%d", i);
		v[i] = kept;
	}
	free(f);
	free(g);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(nothing_is_said_before_anything_is_known);
	RUN(errors_come_near_to_what_chance_leaves);
	RUN(means_and_intervals_hold_where_most_buckets_are_empty);
	RUN(who_loses_for_a_while_loses_his_say_and_wins_it_back);
	RUN(a_period_that_was_found_is_used);
	RUN(yesterday_is_of_local_clocks);
	RUN(the_future_changes_no_forecast_and_a_gap_is_not_silence);
	RUN(huge_counts_and_sudden_ends_stay_finite);
	RUN(a_line_is_found_and_an_outlier_does_not_bend_it);
	RUN(a_fifth_lies_outside_of_an_interval_wherever_it_began);
	RUN(what_is_kept_comes_back_and_nonsense_does_not);
	return tap_done();
}
