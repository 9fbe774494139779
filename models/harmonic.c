/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/harmonic.h"

#include "base/bug.h"
#include "base/mem.h"
#include "models/period.h"

#include <errno.h>
#include <gsl/gsl_blas.h>
#include <gsl/gsl_eigen.h>
#include <gsl/gsl_errno.h>
#include <gsl/gsl_linalg.h>
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
 * Weights settle within some 50 rounds. After these the forecasts differ from that by much less
 * than their noise.
 */
static const int MAX_ROUNDS = 12;
static const double ROUND_TOL = 1e-8;

/*
 * Where the weight of a residual reaches 0, in scales: then a fit to normal residuals is 95 % as
 * sharp as least squares (Tukey's bisquare).
 */
static const double BISQUARE = 4.685;

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
	free((*d)->fine);
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

/*
 * What one fit works in: n rows of p terms x, and what they are to explain, y. It goes by normal
 * equations, which are as good as a decomposition of x here, since RANK_TOL bounds the condition of
 * x by 50, and take a thirtieth of the time.
 */
struct scratch {
	size_t n, p;
	double *x, *y, *weight, *residual, *spread, *work;
	gsl_matrix *normal; /* x' w x, then its Cholesky factor */
	gsl_vector *c, *before;
};

static int scratch_init(struct scratch *s, size_t n, size_t p)
{
	s->n = n;
	s->p = p;
	s->x = mem_calloc(n * p, sizeof(*s->x));
	s->y = mem_calloc(n, sizeof(*s->y));
	s->weight = mem_calloc(n, sizeof(*s->weight));
	s->residual = mem_calloc(n, sizeof(*s->residual));
	s->spread = mem_calloc(n, sizeof(*s->spread));
	s->work = mem_calloc(n, sizeof(*s->work));
	s->normal = gsl_matrix_alloc(p, p);
	s->c = gsl_vector_alloc(p);
	s->before = gsl_vector_alloc(p);
	return s->normal && s->c && s->before ? 0 : -ENOMEM;
}

static void scratch_release(struct scratch *s)
{
	free(s->x);
	free(s->y);
	free(s->weight);
	free(s->residual);
	free(s->spread);
	free(s->work);
	gsl_matrix_free(s->normal);
	gsl_vector_free(s->c);
	gsl_vector_free(s->before);
}

/* Puts the weighted sums of squares and products into the lower half of normal, and c. */
static void sum_up(struct scratch *s)
{
	gsl_matrix_set_zero(s->normal);
	gsl_vector_set_zero(s->c);
	for (size_t row = 0; row < s->n; row++) {
		const double *x = s->x + row * s->p;

		if (s->weight[row] == 0)
			continue;
		for (size_t i = 0; i < s->p; i++) {
			double wx = s->weight[row] * x[i], *to = gsl_matrix_ptr(s->normal, i, 0);

			s->c->data[i] += wx * s->y[row];
			for (size_t j = 0; j <= i; j++)
				to[j] += wx * x[j];
		}
	}
}

/* 0 when all terms can be told apart, else -EDOM. Overwrites normal. */
static int check_rank(struct scratch *s)
{
	gsl_eigen_symm_workspace *w = gsl_eigen_symm_alloc(s->p);
	double least, most;
	int rc = -EDOM;

	if (!w)
		return -ENOMEM;
	sum_up(s);
	/* the eigenvalues are the squares of the singular values of x */
	if (gsl_eigen_symm(s->normal, s->c, w) == GSL_SUCCESS) {
		gsl_vector_minmax(s->c, &least, &most);
		if (least > RANK_TOL * RANK_TOL * most)
			rc = 0;
	}
	gsl_eigen_symm_free(w);
	return rc;
}

/* Least squares with the weights as they are: c and the residuals. 0 or -EDOM. */
static int solve(struct scratch *s)
{
	sum_up(s);
	if (gsl_linalg_cholesky_decomp1(s->normal) != GSL_SUCCESS ||
	    gsl_linalg_cholesky_svx(s->normal, s->c) != GSL_SUCCESS)
		return -EDOM;
	for (size_t row = 0; row < s->n; row++) {
		const double *x = s->x + row * s->p;

		s->residual[row] = s->y[row];
		for (size_t i = 0; i < s->p; i++)
			s->residual[row] -= s->c->data[i] * x[i];
	}
	return 0;
}

/*
 * A row that the fit leans on has a small residual for that alone: what each is to be multiplied
 * with to undo it, 1 / sqrt(1 - leverage). Right after solve() with equal weights.
 */
static void find_spread(struct scratch *s)
{
	for (size_t row = 0; row < s->n; row++) {
		gsl_vector_view x = gsl_vector_view_array(s->work, s->p);
		double leverage;

		memcpy(s->work, s->x + row * s->p, s->p * sizeof(*s->work));
		gsl_blas_dtrsv(CblasLower, CblasNoTrans, CblasNonUnit, s->normal, &x.vector);
		gsl_blas_ddot(&x.vector, &x.vector, &leverage);
		s->spread[row] = 1 / sqrt(1 - fmin(leverage, 0.9999));
	}
}

/*
 * The scale of the residuals, untouched by outliers, as the sd that a normal would have. As many of
 * the least as there are terms count for nothing: a fit may pass through so many points.
 */
static double bulk_scale(struct scratch *s)
{
	size_t median = s->p + (s->n - s->p) / 2;

	for (size_t row = 0; row < s->n; row++)
		s->work[row] = fabs(s->residual[row] * s->spread[row]);
	return gsl_stats_select(s->work, 1, s->n, median) / 0.6745;
}

/* Weighs outliers down. */
static void weigh(struct scratch *s, double scale)
{
	for (size_t row = 0; row < s->n; row++) {
		double z = s->residual[row] * s->spread[row] / (scale * BISQUARE);

		s->weight[row] = fabs(z) < 1 ? (1 - z * z) * (1 - z * z) : 0;
	}
}

/* True when no coefficient has moved since the one before. */
static bool at_rest(const struct scratch *s)
{
	for (size_t i = 0; i < s->p; i++) {
		double c = s->c->data[i], before = s->before->data[i];

		if (fabs(c - before) > ROUND_TOL * fmax(fabs(c), fabs(before)))
			return false;
	}
	return true;
}

static double share_of_zeros(const double *v, size_t n)
{
	size_t zeros = 0;

	for (size_t i = 0; i < n; i++)
		zeros += v[i] == 0;
	return (double)zeros / (double)n;
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

/* Least squares: the coefficients and sd of *ret, and what the robust fit starts from. */
static int fit_plain(struct scratch *s, struct harmonic *ret)
{
	double sum = 0;
	int rc;

	for (size_t row = 0; row < s->n; row++)
		s->weight[row] = 1;
	rc = solve(s);
	if (rc)
		return rc;
	for (size_t row = 0; row < s->n; row++)
		sum += s->residual[row] * s->residual[row];
	return take_result(s->c, sqrt(sum / (double)(s->n - s->p)), ret);
}

/*
 * The same with outliers weighted down, from a fit_plain. Leaves *ret alone when it is no fit
 * because the counts are too sparse.
 */
static int fit_robust(struct scratch *s, struct harmonic *ret)
{
	/* counts that the terms explain altogether leave nothing but rounding to weigh by */
	double least = 1e-6 * gsl_stats_sd(s->y, 1, s->n);
	int rc;

	find_spread(s);
	for (int i = 0; i < MAX_ROUNDS; i++) {
		double scale = fmax(bulk_scale(s), least);

		weigh(s, scale > 0 ? scale : 1);
		gsl_vector_memcpy(s->before, s->c);
		rc = solve(s);
		if (rc)
			return rc == -EDOM ? 0 : rc;
		if (at_rest(s))
			break;
	}
	if (share_of_zeros(s->weight, s->n) > MAX_OUTLIERS ||
	    gsl_vector_get(s->c, 0) < log1p(MIN_LEVEL))
		return 0;
	return take_result(s->c, gsl_stats_mad(s->residual, 1, s->n, s->work), ret);
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
		put_terms(d->start_s + (double)i * d->step_s, h.weekly, s.x + row * p);
		s.weight[row] = 1;
		s.y[row++] = log1p(d->count[i]);
	}
	rc = check_rank(&s);
	if (rc)
		goto out;
	rc = fit_plain(&s, &h);
	if (!rc)
		rc = fit_robust(&s, &h);
	if (rc)
		goto out;
	if (d->n_fine)
		h.period_s = period_find(d->fine, d->n_fine, (size_t)(DAY_S / d->fine_step_s)) *
		             d->fine_step_s;
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
