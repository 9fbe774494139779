/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/period.h"

#include "base/mem.h"

#include <gsl/gsl_errno.h>
#include <gsl/gsl_fft_real.h>
#include <math.h>
#include <stdlib.h>

static const double CHANCE = 0.01; /* of finding a period in noise */

/*
 * The top of a hill of the autocorrelation must stand out of its surroundings by so many standard
 * errors, 1 / sqrt(n) each.
 */
static const double HILL = 3;

static const int HARMONICS = 6;

/* A period that goes into a day is seen at the lag of a day, too; its own hill is as high. */
static const double DAILY = 0.6;

/* Mean over two hours about a slot; the day is a circle. */
static double smoothed(const double *slot, size_t per_day, size_t i)
{
	size_t half = per_day / 24;
	double sum = 0;

	for (size_t k = 0; k <= 2 * half; k++)
		sum += slot[(i + per_day - half + k) % per_day];
	return sum / (double)(2 * half + 1);
}

/*
 * Puts log counts less what the time of day explains into x, smoothed: what repeats within hours may
 * well begin anew each midnight, and is not to be taken away. Missing ones become 0.
 */
static void detrend(const float *count, size_t n, size_t per_day, double *x)
{
	double *mean = mem_calloc(per_day, sizeof(*mean));

	for (size_t slot = 0; slot < per_day; slot++) {
		double sum = 0, seen = 0;

		for (size_t i = slot; i < n; i += per_day)
			if (count[i] >= 0) {
				sum += log1p((double)count[i]);
				seen++;
			}
		mean[slot] = seen > 0 ? sum / seen : 0;
	}
	for (size_t i = 0; i < n; i++)
		x[i] = count[i] >= 0
		               ? log1p((double)count[i]) - smoothed(mean, per_day, i % per_day)
		               : 0;
	free(mean);
}

/* Autocorrelation at a lag, unbiased by the ends; 0 where nothing varies. */
static double correlation(const double *x, size_t n, size_t lag)
{
	double sum = 0, square = 0;

	for (size_t i = 0; i < n; i++)
		square += x[i] * x[i];
	for (size_t i = lag; i < n; i++)
		sum += x[i] * x[i - lag];
	return square > 0 ? sum / square * (double)n / (double)(n - lag) : 0;
}

/*
 * log of the chance that the largest of m ordinates holds the share g of noise: the first term of
 * Fisher's series, an upper bound and exact where g is large.
 */
static double log_chance(double g, double m)
{
	return log(m) + (m - 1) * log1p(-fmin(g, 1 - 1e-12));
}

/* The lag at the top of a hill between lo and hi, 0 when there is none. */
static size_t hill(const double *x, size_t n, size_t per_day, size_t lo, size_t hi)
{
	size_t best = 0;
	double top = -1, edge = HILL / sqrt((double)n);

	for (size_t lag = lo; lag <= hi; lag++) {
		double c = correlation(x, n, lag);

		if (c > top) {
			top = c;
			best = lag;
		}
	}
	/* half a period aside a wave is in its trough; noise that fades slowly is not */
	if (top < edge || top - correlation(x, n, best - best / 2) < edge ||
	    top - correlation(x, n, best + best / 2) < edge)
		return 0;
	/* what is alike from day to day alone is the day's, however sharp its edges */
	return top > DAILY * correlation(x, n, per_day) ? best : 0;
}

/* The ordinate that stands out, 0 when chance explains it; x: half-complex, m ordinates. */
static size_t peak(const double *x, size_t m)
{
	double sum = 0, most = 0;
	size_t at = 0;

	for (size_t k = 1; k <= m; k++) {
		double power = x[2 * k - 1] * x[2 * k - 1] + x[2 * k] * x[2 * k];

		sum += power;
		if (power > most) {
			most = power;
			at = k;
		}
	}
	return sum > 0 && log_chance(most / sum, (double)m) < log(CHANCE) ? at : 0;
}

double period_find(const float *count, size_t n, size_t per_day)
{
	gsl_fft_real_wavetable *table;
	gsl_fft_real_workspace *work;
	double *x, *f, found = 0, persistence;
	size_t k;

	if (n < 3 * per_day || n < 8)
		return 0;
	x = mem_calloc(n, sizeof(*x));
	f = mem_calloc(n, sizeof(*f));
	table = gsl_fft_real_wavetable_alloc(n);
	work = gsl_fft_real_workspace_alloc(n);
	detrend(count, n, per_day, x);
	persistence = correlation(x, n, 1);
	for (size_t i = 1; i < n; i++)
		f[i] = x[i] - persistence * x[i - 1];
	if (table && work && gsl_fft_real_transform(f, 1, n, table, work) == GSL_SUCCESS &&
	    (k = peak(f, (n - 1) / 2)) >= 4) {
		/* a frequency k of n says no more than that the period is between these */
		double lo = (double)n / ((double)k + 1), hi = (double)n / ((double)k - 1);

		for (int m = 1; m <= HARMONICS && !found && m * hi <= (double)n / 4; m++)
			found = (double)hill(x, n, per_day, (size_t)fmax(2, floor(m * lo)),
			                     (size_t)ceil(m * hi));
	}
	gsl_fft_real_wavetable_free(table);
	gsl_fft_real_workspace_free(work);
	free(x);
	free(f);
	return found;
}
