/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Robust harmonic regression of log request counts: level, trend-free, with daily and weekly sines
 * and cosines, fitted by iteratively reweighted least squares (bisquare; Huber and Ronchetti,
 * Robust Statistics, 7.8), so that a flash crowd or an outage does not bend it.
 *
 * Rank and isfinite are checked, and a fit that fails them is an error, never a model.
 */
#ifndef FORECACHED_MODELS_HARMONIC_H
#define FORECACHED_MODELS_HARMONIC_H

#include "base/instant.h"

#include <stdbool.h>
#include <stddef.h>

#define HARMONIC_DAILY  6 /* sine-cosine pairs with periods of 1 day / 1 .. 6 */
#define HARMONIC_WEEKLY 3 /* and of 1 week / 1 .. 3 */
#define HARMONIC_TERMS  (1 + 2 * (HARMONIC_DAILY + HARMONIC_WEEKLY))

/* Counts of equal steps; index 0 starts at local second `start_s`. Negative counts: missing. */
struct harmonic_data {
	double start_s; /* seconds since 1970 on local clocks */
	double step_s;
	size_t n;
	double *count;
	/* the latest part of it in finer steps, to look for periods of hours and minutes */
	double fine_step_s;
	size_t n_fine; /* 0: none */
	float *fine;
};

struct harmonic {
	double coef[HARMONIC_TERMS]; /* of log1p(count per step) */
	double step_s;
	double sd;       /* robust scale of the residual */
	double period_s; /* another period that was found in the finer steps (period.h); 0: none */
	bool weekly;     /* the weekly terms were fitted: 14 days or more of data */
	bool valid;
};

/* n counts, all 0, for the caller to fill in; start_s and step_s too. */
struct harmonic_data *harmonic_data_new(size_t n);
void harmonic_data_free(struct harmonic_data **d);

/*
 * 0, or -EDOM: too little data, deficient rank (six hours and more of each day missing), or not
 * finite, or -ENOMEM; then *ret is as it was. Needs at least two days and two counts per term;
 * weekly terms from 14 days on. Needs gsl_set_error_handler_off() to have been called by the
 * process. Takes about 20 ms for 14 days of 5 minutes.
 */
int harmonic_fit(const struct harmonic_data *d, struct harmonic *ret);

/*
 * Expected count of the step that starts at this local second; finite and >= 0. The model must be
 * valid. The mean of a logarithm lies below the logarithm of the mean: at 10 requests per step the
 * answer is 3 % low, at 1 it is 22 % low.
 */
double harmonic_at(const struct harmonic *h, double local_s);

#endif
