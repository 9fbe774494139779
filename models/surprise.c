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
	if (!isfinite(x))
		return sum;
	x = sum + (x < 1 ? x : 1);
	return x > 0 ? (float)x : 0;
}

enum surprised surprise_look(struct surprise *s, struct change c, double tau, bool changed,
                             double alarm)
{
	enum surprised r = SURPRISED_NOT;

	/* a change speaks for the faster rate, none for the slower: what is 0 the other way stays so */
	if (changed || s->up > 0)
		s->up = add(s->up, evidence(c, tau, SURPRISE_RATIO, changed));
	if (!changed || s->down > 0)
		s->down = add(s->down, evidence(c, tau, 1 / SURPRISE_RATIO, changed));
	if (s->up > alarm)
		r = SURPRISED_FASTER;
	else if (s->down > alarm)
		r = SURPRISED_SLOWER;
	if (r != SURPRISED_NOT)
		*s = (struct surprise){0};
	return r;
}
