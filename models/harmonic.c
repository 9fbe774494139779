/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/harmonic.h"

#include "base/bug.h"
#include "base/mem.h"

#include <errno.h>
#include <gsl/gsl_errno.h>
#include <gsl/gsl_multifit.h>
#include <gsl/gsl_statistics_double.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double DAY_S = 86400, WEEK_S = 7 * 86400, TWO_PI = 6.283185307179586;

/* Below two days a day is not told from a trend; below two weeks neither is a week. */
static const double MIN_DAYS = 2, MIN_DAYS_WEEKLY = 14;

/* Observations per term: a bisquare fit to fewer takes the noise for the signal. */
static const size_t STEPS_PER_TERM = 2;

/*
 * The smallest singular value, as a share of the largest, that counts towards the rank. Evenly
 * covered days give 0.7. A part of the day that was never seen leaves some sum of the waves
 * undetermined, and the fit would swing there as it likes: 3 unseen hours a day give 0.17, 5 give
 * 0.037, 6 give 0.016 (measured, with and without the weekly terms).
 */
static const double RANK_TOL = 0.02;

/*
 * When more than this share of steps is judged to be outliers, or the level comes out below half a
 * request per step, then the outliers are the signal: most counts are 0, so is the median residual,
 * and every request looks like an accident. Plain least squares is the better fit there.
 */
static const double MAX_OUTLIERS = 0.25, MIN_LEVEL = 0.5;

/*
 * GSL weighs anew until no coefficient moves by 1e-8 of itself, which takes 50 rounds. After these
 * the forecasts differ from that by much less than their noise.
 */
static const size_t MAX_ROUNDS = 12;

/* exp of more would overflow; no count comes near. */
static const double MAX_LOG = 100;

struct harmonic_data *harmonic_data_new(size_t n)
{
	struct harmonic_data *d = mem_calloc(1, sizeof(*d));

	d->n = n;
	d->count = mem_calloc(n, sizeof(*d->count));
	return d;
}

void harmonic_data_free(struct harmonic_data **d)
{
	if (!*d)
		return;
	free((*d)->count);
	free(*d);
	*d = NULL;
}

/* Sine and cosine of the first n harmonics of the period, at local second t. */
static void put_waves(double t, double period_s, int n, double *ret_x)
{
	/* fmod first: t has ten digits, and an angle of 1e5 turns would lose half of them */
	double angle = fmod(t, period_s) / period_s * TWO_PI;

	for (int k = 1; k <= n; k++) {
		*ret_x++ = sin(k * angle);
		*ret_x++ = cos(k * angle);
	}
}

static void put_terms(double t, bool weekly, double *ret_x)
{
	ret_x[0] = 1;
	put_waves(t, DAY_S, HARMONIC_DAILY, ret_x + 1);
	if (weekly)
		put_waves(t, WEEK_S, HARMONIC_WEEKLY, ret_x + 1 + 2 * HARMONIC_DAILY);
}

/* What one fit works in; any part may be missing. */
struct scratch {
	gsl_matrix *x, *cov;
	gsl_vector *y, *c;
};

static int scratch_init(struct scratch *s, size_t n, size_t p)
{
	s->x = gsl_matrix_alloc(n, p);
	s->cov = gsl_matrix_alloc(p, p);
	s->y = gsl_vector_alloc(n);
	s->c = gsl_vector_alloc(p);
	return s->x && s->cov && s->y && s->c ? 0 : -ENOMEM;
}

static void scratch_release(struct scratch *s)
{
	gsl_matrix_free(s->x);
	gsl_matrix_free(s->cov);
	gsl_vector_free(s->y);
	gsl_vector_free(s->c);
}

/* 0 when all columns of x can be told apart, else -EDOM. */
static int check_rank(const gsl_matrix *x)
{
	gsl_multifit_linear_workspace *w = gsl_multifit_linear_alloc(x->size1, x->size2);
	int rc = -EDOM;

	if (!w)
		return -ENOMEM;
	if (gsl_multifit_linear_svd(x, w) == GSL_SUCCESS &&
	    gsl_multifit_linear_rank(RANK_TOL, w) == x->size2)
		rc = 0;
	gsl_multifit_linear_free(w);
	return rc;
}

static double share_of_zeros(const gsl_vector *v)
{
	size_t zeros = 0;

	for (size_t i = 0; i < v->size; i++)
		zeros += gsl_vector_get(v, i) == 0;
	return (double)zeros / (double)v->size;
}

/* The scale of the residuals, untouched by outliers, as the sd that a normal would have. */
static double scale_of(const gsl_vector *residual)
{
	double *work = mem_calloc(residual->size, sizeof(*work));
	double sd = gsl_stats_mad(residual->data, residual->stride, residual->size, work);

	free(work);
	return sd;
}

/* Moves the result into ret if all of it is finite, else -EDOM. */
static int take_result(const gsl_vector *c, double sd, struct harmonic *ret)
{
	if (!isfinite(sd))
		return -EDOM;
	for (size_t i = 0; i < c->size; i++) {
		ret->coef[i] = gsl_vector_get(c, i);
		if (!isfinite(ret->coef[i]))
			return -EDOM;
	}
	ret->sd = sd;
	return 0;
}

/*
 * Fits the coefficients and sd of *ret, outliers weighted down or not. A robust fit that is none
 * because the counts are too sparse is -EDOM.
 */
static int fit_weighted(bool robust, struct scratch *s, struct harmonic *ret)
{
	gsl_multifit_robust_workspace *w = gsl_multifit_robust_alloc(
	        robust ? gsl_multifit_robust_bisquare : gsl_multifit_robust_ols, s->x->size1,
	        s->x->size2);
	gsl_multifit_robust_stats stats;
	int rc;

	if (!w)
		return -ENOMEM;
	gsl_multifit_robust_maxiter(MAX_ROUNDS, w);
	rc = gsl_multifit_robust(s->x, s->y, s->c, s->cov, w);
	stats = gsl_multifit_robust_statistics(w);
	/* Out of iterations is no failure: the last step is a least squares fit all the same. */
	if (rc != GSL_SUCCESS && rc != GSL_EMAXITER)
		rc = -EDOM;
	else if (robust && (share_of_zeros(stats.weights) > MAX_OUTLIERS ||
	                    gsl_vector_get(s->c, 0) < log1p(MIN_LEVEL)))
		rc = -EDOM;
	else
		rc = take_result(s->c, robust ? scale_of(stats.r) : stats.sigma_ols, ret);
	gsl_multifit_robust_free(w);
	return rc;
}

/* Number of steps that are there, and the days from the first of them to the end of the last. */
static int survey(const struct harmonic_data *d, size_t *ret_n, double *ret_days)
{
	size_t n = 0, first = 0, last = 0;

	if (!isfinite(d->start_s) || !isfinite(d->step_s) || !(d->step_s > 0))
		return -EDOM;
	for (size_t i = 0; i < d->n; i++) {
		if (!isfinite(d->count[i]))
			return -EDOM;
		if (d->count[i] < 0)
			continue;
		if (!n++)
			first = i;
		last = i;
	}
	*ret_n = n;
	*ret_days = n ? (double)(last - first + 1) * d->step_s / DAY_S : 0;
	return 0;
}

int harmonic_fit(const struct harmonic_data *d, struct harmonic *ret)
{
	struct scratch s = {0};
	struct harmonic h = {.step_s = d->step_s};
	size_t n, p, row = 0;
	double days;
	int rc;

	rc = survey(d, &n, &days);
	if (rc)
		return rc;
	h.weekly = days >= MIN_DAYS_WEEKLY;
	p = 1 + 2 * (HARMONIC_DAILY + (h.weekly ? HARMONIC_WEEKLY : 0));
	if (days < MIN_DAYS || n < STEPS_PER_TERM * p)
		return -EDOM;

	rc = scratch_init(&s, n, p);
	if (rc)
		goto out;
	for (size_t i = 0; i < d->n; i++) {
		if (d->count[i] < 0)
			continue;
		put_terms(d->start_s + (double)i * d->step_s, h.weekly,
		          gsl_matrix_ptr(s.x, row, 0));
		gsl_vector_set(s.y, row++, log1p(d->count[i]));
	}
	rc = check_rank(s.x);
	if (rc)
		goto out;
	rc = fit_weighted(true, &s, &h);
	if (rc == -EDOM)
		rc = fit_weighted(false, &s, &h);
	if (rc)
		goto out;
	h.valid = true;
	*ret = h;
out:
	scratch_release(&s);
	return rc;
}

double harmonic_at(const struct harmonic *h, double local_s)
{
	double x[HARMONIC_TERMS] = {0}, sum = 0;

	BUG_ON(!h->valid || !isfinite(local_s));
	put_terms(local_s, h->weekly, x);
	for (int i = 0; i < HARMONIC_TERMS; i++)
		sum += h->coef[i] * x[i];
	return sum > 0 ? expm1(fmin(sum, MAX_LOG)) : 0;
}
