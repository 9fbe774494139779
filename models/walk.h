/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How long should a value live? The one rule from which every TTL comes: among all keys the next
 * stale serve avoided must cost the same number of loads (the price).
 *
 * Renewal-reward: a cycle lasts from one load to the next. With S(u) the probability that the value
 * has been replaced at age u, M(u) the requests expected up to age u, s the price of a stale serve
 * in loads, c the cost of a load and L the value of sparing a user a miss (both in loads),
 *
 *	on demand (the request after expiry loads)  cost per request (c + L + s int S dM) / (M(T) + 1)
 *	                                            least where s int (M(u) + 1) dS = c + L
 *	refresh ahead (loaded at T without one)     cost per request (c + s int S dM) / M(T)
 *	                                            least where s int M(u) dS = c
 *
 * Both integrals grow with T, so one walk forward in time finds both, for change rates and request
 * rates that vary with the hour. Only dS and dM ask the two clocks: a few times while these run evenly,
 * some 20 where a timetable has a say or the life is many quarters of an hour. S is the
 * posterior-predictive probability: not being sure of the rate shortens the TTL.
 */
#ifndef FORECACHED_MODELS_WALK_H
#define FORECACHED_MODELS_WALK_H

#include "base/instant.h"
#include "base/zone.h"
#include "models/change.h"
#include "models/shape.h"

#include <stdbool.h>

struct walk_question {
	struct change rate;             /* per operational second */
	const struct shape *volatility; /* NULL: flat */
	double requests_per_s;          /* per second of the demand clock; >= 0 */
	const struct shape *demand;     /* NULL: flat */
	const struct zone *zone;
	struct instant loaded; /* when the value was read: age 0 */
	double price;          /* s > 0, loads per stale serve */
	/* c > 0, in loads: 1, more while the origin is short of capacity */
	double cost;
	double miss_value;   /* L >= 0, in loads */
	double p_cap;        /* T ends where S reaches this; 1: never */
	double min_s, max_s; /* bounds of T; 0 <= min_s <= max_s */
	/* an answer counts as stale only this long after the change; >= 0 */
	double tolerated_s;
};

enum walk_end { WALK_PLANNED, WALK_MIN, WALK_MAX, WALK_CAP };

struct walk_answer {
	double ttl_s;
	bool refresh_ahead;
	enum walk_end end; /* what ended it */
	double p_stale;    /* S at the end of the TTL */
};

struct walk_answer walk_ttl(const struct walk_question *q);

#endif
