/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "predictor/level.h"

#include <math.h>

/* Of late: shorter than the bursts that are to be levelled, longer than between two loads. */
static const double LATE_S = 5;

/* Loads per second that are too few to speak of a level. */
static const double FEW_PER_S = 1;

/*
 * The mean cost at which the sum of the loads is about that without levelling: what is planned anew
 * within seconds follows what was just learned, too, and would take 4 to 16 % more loads. Measured on
 * four markets of different sizes and rates, where it is 1.1 to 1.3.
 */
static const double DEARER = 1.15;

/* What is usual counts like so many seconds of requests when the peak has just come. */
static const double FIRST_S = 10;

/* Fewer requests than this do not show what is usual; of which the last time makes a half. */
static const double LEAST_REQUESTS = 100, KEEP = 0.5;

void level_init(struct level *l)
{
	*l = (struct level){.from = INSTANT_NONE, .until = INSTANT_NONE, .late_at = INSTANT_NONE};
}

/* What is left of so much after a while; a clock that went back makes nothing more. */
static double decayed(double per_s, struct instant then, struct instant now)
{
	return per_s * exp(-fmax(span_s(instant_diff(now, then)), 0) / LATE_S);
}

static double late(const struct level *l, struct instant now)
{
	return instant_is_set(l->late_at) ? decayed(l->late_per_s, l->late_at, now) : 0;
}

/* Seconds since the peak came; negative: not in its minutes. */
static double since(const struct level *l, struct instant now)
{
	return instant_is_set(l->from) && now.us >= l->from.us && now.us < l->until.us
	               ? span_s(instant_diff(now, l->from))
	               : -1;
}

void level_begin(struct level *l, struct instant from, struct instant until,
                 struct level_usual usual)
{
	bool is_twin = instant_is_set(l->from) && from.us == l->from.us;
	/* it is told a little after it came: by the last load that is known of, at least */
	struct instant now = instant_is_set(l->late_at) ? instant_max(from, l->late_at) : from;

	if (now.us >= until.us)
		return;
	if (instant_is_set(l->from) && from.us < l->until.us && !is_twin)
		return;
	if (!is_twin) {
		l->from = from;
		l->until = until;
		l->loads = l->requests = 0;
		l->usual = (struct level_usual){0};
	}
	if (l->usual.requests_per_s > 0 || !(usual.requests_per_s > 0))
		return;
	l->usual = usual;
	/* that it was quiet before is no reason to load more as the rush begins */
	l->late_per_s = fmax(late(l, now),
	                     decayed(usual.loads_per_request * usual.requests_per_s, from, now));
	l->late_at = now;
}

void level_load(struct level *l, struct instant now)
{
	l->late_per_s = late(l, now) + 1 / LATE_S;
	l->late_at = now;
	if (since(l, now) >= 0)
		l->loads++;
}

void level_requests(struct level *l, struct instant at, double count)
{
	if (since(l, at) >= 0)
		l->requests += count;
}

double level_cost(const struct level *l, struct instant now)
{
	const struct level_usual *u = &l->usual;
	double s = since(l, now), per_s, x;

	if (s < 0 || !(u->requests_per_s > 0))
		return 1;
	/* by today's requests: it may be a quiet day, or a wild one */
	per_s = u->loads_per_request * (l->requests + FIRST_S * u->requests_per_s) / (s + FIRST_S);
	x = (late(l, now) + FEW_PER_S) / (per_s + FEW_PER_S);
	return fmin(fmax(DEARER * x * x, LEVEL_LEAST), LEVEL_MOST);
}

bool level_learn(const struct level *l, struct instant from, struct level_usual *usual)
{
	double keep = usual->requests_per_s > 0 ? KEEP : 0;

	if (!instant_is_set(l->from) || l->from.us != from.us || l->requests < LEAST_REQUESTS)
		return false;
	usual->loads_per_request =
	        keep * usual->loads_per_request + (1 - keep) * l->loads / l->requests;
	usual->requests_per_s =
	        keep * usual->requests_per_s +
	        (1 - keep) * l->requests / span_s(instant_diff(l->until, l->from));
	return true;
}
