/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "predictor/guard.h"

#include <math.h>

static const double KEEP = 0.99654; /* half of the outcomes are of the last 200 */
static const double Z90 = 1.2816;   /* one-sided */
static const double PROBE = 0.01;
static const double PAUSE_FIRST_S = 60, PAUSE_MAX_S = 3600;

void guard_outcome(struct guard *g, bool useful, double said)
{
	g->useful = (float)(g->useful * KEEP + useful);
	g->wasted = (float)(g->wasted * KEEP + !useful);
	g->said = (float)(g->said * KEEP + said);
}

double guard_trust(const struct guard *g)
{
	return fmin(1, (g->useful + 1.0) / (g->said + 1.0));
}

double guard_upper(const struct guard *g)
{
	double n = (double)g->useful + g->wasted, p, z2 = Z90 * Z90;

	if (!(n > 0))
		return 1;
	p = g->useful / n;
	return (p + z2 / (2 * n) + Z90 * sqrt(p * (1 - p) / n + z2 / (4 * n * n))) / (1 + z2 / n);
}

bool guard_allows(struct guard *g, struct instant now, double worth, double dice)
{
	if (g->pause_s > 0 && now.us >= g->resume.us && guard_upper(g) < worth) {
		g->useful *= 0.5f;
		g->wasted *= 0.5f;
		g->said *= 0.5f;
	}
	if (guard_upper(g) >= worth) {
		/* doing well again, not only given another chance */
		if (g->useful > worth * (g->useful + g->wasted))
			g->pause_s = 0;
		return true;
	}
	if (now.us >= g->resume.us) {
		g->pause_s = (float)fmin(fmax(2.0 * g->pause_s, PAUSE_FIRST_S), PAUSE_MAX_S);
		g->resume = instant_add(now, span_from_s(g->pause_s));
	}
	return dice < PROBE;
}

void guard_state(const struct guard *g, double ret[GUARD_STATE])
{
	ret[0] = (double)g->useful;
	ret[1] = (double)g->wasted;
	ret[2] = (double)g->said;
	ret[3] = (double)g->pause_s;
	ret[4] = instant_s(g->resume);
}

bool guard_restore(struct guard *g, struct instant now, const double v[GUARD_STATE])
{
	const double most = 1 / (1 - KEEP) + 1;

	for (int i = 0; i < 3; i++)
		if (!(v[i] >= 0 && v[i] <= most))
			return false;
	if (!(v[3] >= 0 && v[3] <= PAUSE_MAX_S) || !(v[4] >= 0 && v[4] < 1e11))
		return false;
	*g = (struct guard){.useful = (float)v[0],
	                    .wasted = (float)v[1],
	                    .said = (float)v[2],
	                    .pause_s = (float)v[3]};
	/* no pause is longer than it was, whatever the clock says */
	g->resume = instant_min(instant_from_s(v[4]), instant_add(now, span_from_s(v[3])));
	return true;
}
