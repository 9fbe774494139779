/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/activity.h"

#include "base/range.h"
#include "models/wander.h"

#include <math.h>

/*
 * The logarithm has a standard deviation of 0.35, that is an information of 8, at any time; more
 * information than INFO_MOST is not kept. Measured on markets and car parks: loads are flat from 8 to 50,
 * and from one hour to four; the less, the sooner a standstill is seen.
 */
static const double USUAL = 8, INFO_MOST = 300, HALF_S = 7200;

/* What hours differ by, and are let differ by: a factor of two. */
static const double ORDINARY = 0.6931471805599453;

/* The mean is over so long: half of what it is made of. And 0 counts as so many changes. */
static const double MEAN_HALF_S = 2 * 86400.0, MEAN_NONE = 1;

/* Keys often change by one cause: evidence of them all has to be so much more than of one. */
static const double ALARM = 3 * SURPRISE_ALARM;

static const double SATURATED = 27; /* changes: one is as good as sure */
static const double SURPRISED = 3;  /* no look that finds no change counts for more than so many */

void activity_init(struct activity *a)
{
	*a = (struct activity){.at = INSTANT_NONE};
}

void activity_fade(struct activity *a, struct instant t)
{
	double s, keep, mean_keep;

	if (!instant_is_set(a->at)) {
		a->at = t;
		return;
	}
	if (t.us <= a->at.us)
		return;
	s = span_s(instant_diff(t, a->at));
	keep = exp2(-s / HALF_S);
	a->log *= keep;
	a->info = wander_info(a->info, USUAL, keep);
	mean_keep = exp2(-s / MEAN_HALF_S);
	a->sum *= mean_keep;
	a->weight *= mean_keep;
	a->at = t;
}

void activity_learn(struct activity *a, struct change c, double tau, bool changed)
{
	double now = tau * exp(a->log), x, p, score;
	enum surprised surprised;

	/* changes expected: of an uncertain rate fewer than its mean says, lest it count for much */
	x = fmin(c.a * log1p(now / c.b), SATURATED);
	p = -expm1(-x);
	if (!(p > 0))
		return;
	surprised = surprise_look(&a->surprise, c, now, changed, ALARM);
	if (surprised) {
		a->log = range_clamp(a->log + log(surprise_factor(surprised)), -ACTIVITY_MAX,
		                     ACTIVITY_MAX);
		a->info = 0;
		return;
	}
	score = changed ? x * (1 - p) / p : -fmin(x, SURPRISED);
	a->info = fmin(a->info, INFO_MOST) + x * x * (1 - p) / p;
	a->log = range_clamp(a->log + score / (a->info + USUAL), -ACTIVITY_MAX, ACTIVITY_MAX);
	a->sum += fmin(x, SURPRISED) * activity_log(a);
	a->weight += fmin(x, SURPRISED);
}

double activity_log(const struct activity *a)
{
	return a->log > ORDINARY ? a->log - ORDINARY : a->log < -ORDINARY ? a->log + ORDINARY : 0;
}

double activity_seconds(const struct activity *a)
{
	return exp(activity_log(a) - a->sum / (a->weight + MEAN_NONE));
}

void activity_explain(struct activity *a, double factor)
{
	double by = log(factor);

	/* not beyond 0: what is left is news of its own */
	if (by * a->log > 0)
		a->log -= fabs(by) < fabs(a->log) ? by : a->log;
	a->sum = a->weight = 0;
	a->surprise = (struct surprise){0};
}
