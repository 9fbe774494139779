/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "predictor/prewarm.h"

#include <math.h>
#include <stdlib.h>

/* The start has this much slack, so that a few slow loads do not make the last ones late. */
static const double SLACK = 1.2;

static int by_use(const void *a, const void *b)
{
	const struct prewarm_candidate *x = a, *y = b;

	if (x->requests != y->requests)
		return x->requests > y->requests ? -1 : 1;
	return x->key < y->key ? -1 : x->key > y->key;
}

/* What a load too early would cost: expected stale serves per second of lead. */
static double haste(const struct prewarm_candidate *c)
{
	return c->requests * c->changes_per_s;
}

static int by_haste(const void *a, const void *b)
{
	const struct prewarm_candidate *x = a, *y = b;

	if (haste(x) != haste(y))
		return haste(x) < haste(y) ? -1 : 1;
	return x->key < y->key ? -1 : x->key > y->key;
}

size_t prewarm_plan(const struct prewarm_terms *t, struct prewarm_candidate *c, size_t n)
{
	size_t take = 0;
	double start, gap, slowest = 0, peak = instant_s(t->peak), now = instant_s(t->now);

	/* the most wanted first, as far as they pay and fit: c[0 .. take) stays in that order */
	qsort(c, n, sizeof(*c), by_use);
	for (size_t i = 0; i < n; i++) {
		struct prewarm_candidate x = c[i];

		x.at = INSTANT_NEVER;
		/* loaded last of all it would be 1 / rate and its own load time old at the peak */
		x.left = x.p >= t->worth && x.changes_per_s * (1 / t->rate + x.load_s) > 1;
		c[i] = x;
		if (x.p >= t->worth && !x.left && take < t->max_keys) {
			c[i] = c[take];
			c[take++] = x;
			slowest = fmax(slowest, x.load_s);
		}
	}
	if (!take)
		return 0;
	gap = 1 / t->rate;
	start = peak - (t->lead_s > 0 ? t->lead_s : SLACK * ((double)take * gap + slowest));
	if (start < now)
		start = now;
	if (start + (double)take * gap > peak && peak > start) {
		/* too late for all of them at this rate: the most wanted that fit */
		size_t fit = (size_t)fmax(1, floor((peak - start) * t->rate));

		if (fit < take)
			take = fit;
	}
	qsort(c, take, sizeof(*c), by_haste);
	/* end as close to the peak as the rate and the load times allow */
	for (size_t i = 0; i < take; i++) {
		double at = peak - SLACK * ((double)(take - i) * gap + c[i].load_s);

		c[i].at = instant_from_s(fmax(at, start));
	}
	return take;
}
