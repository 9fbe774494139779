/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/correction.h"

#include <gsl/gsl_sf_gamma.h>
#include <math.h>

/*
 * The two Gammas, by their shape, which is also their rate: relative standard deviations of 16 % and
 * 71 %; and the share of predictions that the wide one is for.
 */
static const double NARROW = 40, WIDE = 2, WIDE_SHARE = 0.1;

/*
 * Evidence ages as if things had been under way for so long before it: else the first event would be
 * forgotten at the second. And after so long nothing is new any more: what is as much older has faded to
 * between a half and 1/e, the further the more events have come since.
 */
static const double BEFORE_S = 3 * 3600.0, OLD_S = 14 * 86400.0;

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
	correction_restore(c, 0, 0, INSTANT_NONE, INSTANT_NONE);
}

/* What has been seen ages to t. */
static void age(struct correction *c, struct instant t)
{
	if (!instant_is_set(c->last)) {
		c->first = c->last = t;
	} else if (t.us > c->last.us) {
		double old = span_s(instant_diff(c->last, c->first)), keep;

		old = BEFORE_S + (old < OLD_S ? old : OLD_S);
		keep = old / (old + span_s(instant_diff(t, c->last)));
		c->seen *= keep;
		c->said *= keep;
		c->last = t;
	}
}

void correction_add(struct correction *c, struct instant t, double weight, double said,
                    bool happened)
{
	double most, keep;

	age(c, t);
	/* by the larger: else events that are never predicted would never be forgotten */
	most = fmax(c->seen, c->said);
	keep = most > CORRECTION_MEMORY ? CORRECTION_MEMORY / most : 1;
	c->seen = c->seen * keep + (happened ? weight : 0);
	c->said = c->said * keep + weight * said;
	settle(c);
}

void correction_restore(struct correction *c, double seen, double said, struct instant first,
                        struct instant last)
{
	*c = (struct correction){.seen = seen, .said = said, .first = first, .last = last};
	settle(c);
}
