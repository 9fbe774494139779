/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/rls.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static const double HUBER = 3;          /* mean absolute residuals */
static const double ERROR_MEMORY = 200; /* observations */
static const double MAX_TRACE = 1e6;    /* of the inverse covariance: nothing is known there */
static const double MAX_WEIGHT = 5;     /* no level is worth five times itself */

void rls_init(struct rls *r, const double w[RLS_TERMS])
{
	*r = (struct rls){0};
	memcpy(r->w, w, sizeof(r->w));
	for (int i = 0; i < RLS_TERMS; i++)
		r->cov[i * (i + 1) / 2 + i] = 1;
}

void rls_trust(struct rls *r, double variance)
{
	memset(r->cov, 0, sizeof(r->cov));
	for (int i = 0; i < RLS_TERMS; i++)
		r->cov[i * (i + 1) / 2 + i] = variance;
}

double rls_say(const struct rls *r, const float x[RLS_TERMS])
{
	double sum = 0;

	for (int i = 0; i < RLS_TERMS; i++)
		sum += r->w[i] * (double)x[i];
	return sum;
}

/* False when the numbers have run away. */
static bool is_sound(const struct rls *r, double trace)
{
	if (!isfinite(trace))
		return false;
	for (int i = 0; i < RLS_TERMS; i++)
		if (!(fabs(r->w[i]) <= MAX_WEIGHT))
			return false;
	return true;
}

void rls_learn(struct rls *r, const float x[RLS_TERMS], double y, double keep)
{
	double gain[RLS_TERMS] = {0}, e = y - rls_say(r, x), a = fabs(e), size = 0, den, trace = 0;
	double weight = 1;

	r->n++;
	r->abs_error += (a - r->abs_error) / fmin(r->n, ERROR_MEMORY);
	if (a > HUBER * r->abs_error)
		weight = HUBER * r->abs_error / a;
	for (int i = 0, at = 0; i < RLS_TERMS; i++) {
		for (int j = 0; j < i; j++, at++) {
			gain[i] += r->cov[at] * (double)x[j];
			gain[j] += r->cov[at] * (double)x[i];
		}
		gain[i] += r->cov[at++] * (double)x[i];
	}
	for (int i = 0; i < RLS_TERMS; i++)
		size += gain[i] * (double)x[i];
	den = keep / weight + size;
	for (int i = 0, at = 0; i < RLS_TERMS; i++) {
		r->w[i] += gain[i] / den * e;
		for (int j = 0; j <= i; j++, at++)
			r->cov[at] = (r->cov[at] - gain[i] * gain[j] / den) / keep;
		trace += r->cov[at - 1];
	}
	if (trace > MAX_TRACE)
		for (int i = 0; i < RLS_COV; i++)
			r->cov[i] *= MAX_TRACE / trace;
	if (!is_sound(r, trace)) {
		static const double none[RLS_TERMS] = {0};

		rls_init(r, none);
	}
}
