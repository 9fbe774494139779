/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/surprise.h"

#include <math.h>

/* log of P(look | ratio times the rate) / P(look | the rate), as predicted by c. */
static double evidence(struct change c, double tau, double ratio, bool changed)
{
	if (changed)
		return log(change_p(c, ratio * tau) / change_p(c, tau));
	return c.a * (log1p(tau / c.b) - log1p(ratio * tau / c.b));
}

static float add(float sum, double x)
{
	/* a probability that is 0 in floating point is no evidence; one look is not proof */
	return isfinite(x) ? (float)fmax(0, sum + fmin(x, 1)) : sum;
}

enum surprised surprise_look(struct surprise *s, struct change c, double tau, bool changed,
                             double alarm)
{
	enum surprised r = SURPRISED_NOT;

	s->up = add(s->up, evidence(c, tau, SURPRISE_RATIO, changed));
	s->down = add(s->down, evidence(c, tau, 1 / SURPRISE_RATIO, changed));
	if (s->up > alarm)
		r = SURPRISED_FASTER;
	else if (s->down > alarm)
		r = SURPRISED_SLOWER;
	if (r != SURPRISED_NOT)
		*s = (struct surprise){0};
	return r;
}
