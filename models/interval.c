/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/interval.h"

#include <math.h>

static const double OUTSIDE = 0.1;      /* of all counts, at each end */
static const double ROOT = 0.375;       /* Anscombe: makes the scatter of small counts alike, too */
static const double ERROR_MEMORY = 200; /* counts */

/*
 * Ends of 80 % of a Poisson count, whose square root has an sd of 1/2, and room for some more.
 */
static const float START = 0.75F;

void interval_init(struct interval *v)
{
	*v = (struct interval){.below = -START, .above = START};
}

static double end(double m, double offset)
{
	double x = sqrt(m + ROOT) + offset;

	return x > 0 ? fmax(0, x * x - ROOT) : 0;
}

void interval_at(const struct interval *v, double m, double *ret_lo, double *ret_hi)
{
	*ret_lo = fmin(end(m, (double)v->below), m);
	*ret_hi = fmax(end(m, (double)v->above), m);
}

void interval_learn(struct interval *v, double m, double lo, double hi, double count, double gain)
{
	double a = fabs(sqrt(count + ROOT) - sqrt(m + ROOT)), step;

	if (v->n < (float)ERROR_MEMORY)
		v->n++;
	v->abs_error += (float)((a - (double)v->abs_error) / (double)v->n);
	step = gain * (double)v->abs_error;
	v->below += (float)(step * (OUTSIDE - (count < lo)));
	v->above -= (float)(step * (OUTSIDE - (count > hi)));
}
