/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/correction.h"

#include <gsl/gsl_sf_gamma.h>
#include <math.h>

/*
 * The two Gammas, by their shape, which is also their rate: relative standard deviations of 16 % and
 * 71 %; and the share of predictions that the wide one is for.
 */
static const double NARROW = 40, WIDE = 2, WIDE_SHARE = 0.1;

/* log P(seen | said) with a factor from Gamma(a, a), but for what does not depend on a. */
static double log_evidence(const struct correction *c, double a)
{
	return gsl_sf_lngamma(c->seen + a) - gsl_sf_lngamma(a) + a * log(a) -
	       (c->seen + a) * log(c->said + a);
}

static double mean_of(const struct correction *c, double a)
{
	return (c->seen + a) / (c->said + a);
}

static void settle(struct correction *c)
{
	double odds = (1 - WIDE_SHARE) / WIDE_SHARE *
	              exp(log_evidence(c, NARROW) - log_evidence(c, WIDE));
	double wide = 1 / (1 + odds);

	c->factor = wide * mean_of(c, WIDE) + (1 - wide) * mean_of(c, NARROW);
}

void correction_init(struct correction *c)
{
	correction_restore(c, 0, 0);
}

void correction_add(struct correction *c, double weight, double said, bool happened)
{
	/* by the larger: else events that are never predicted would never be forgotten */
	double most = fmax(c->seen, c->said);
	double keep = most > CORRECTION_MEMORY ? CORRECTION_MEMORY / most : 1;

	c->seen = c->seen * keep + (happened ? weight : 0);
	c->said = c->said * keep + weight * said;
	settle(c);
}

void correction_restore(struct correction *c, double seen, double said)
{
	c->seen = seen;
	c->said = said;
	settle(c);
}
