/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How even the loads of one origin are in the minutes after a peak, and what a load costs at each
 * moment of them so that they become more so.
 *
 * HOW IT WORKS what users miss cannot be put off, and makes nearly all of a rush. But when a value is
 * loaded anew is a choice all along, by what a load costs against a stale answer (models/walk.h).
 * While the origin is asked for more than is usual for these minutes a load costs more than one, and
 * values live a little longer; while it is asked for less it costs less, and they are fresher. What is
 * usual, in loads per request, is known from the last times that the same peak came: an own average
 * of the few minutes would come too late for the first of them. Since that includes what this did
 * then, it settles: loads move from the busiest seconds to the others, and the sum of them stays about
 * what it was.
 *
 * The cost goes with the square of (loads of late + 1) / (usual + 1), both per second, since TTLs go
 * with its root. Plus 1: an origin that loads less than once a second has nothing to be levelled, only
 * chance.
 *
 * INVARIANTS LEVEL_LEAST <= cost <= LEVEL_MOST; exactly 1 before the peak, after its minutes, and
 * when it came never before.
 */
#ifndef FORECACHED_PREDICTOR_LEVEL_H
#define FORECACHED_PREDICTOR_LEVEL_H

#include "base/instant.h"

#include <stdbool.h>

#define LEVEL_LEAST 0.25
#define LEVEL_MOST  4.0

/* What is usual in these minutes. 0 requests per second: not known yet. */
struct level_usual {
	double loads_per_request, requests_per_s;
};

struct level {
	struct instant from, until; /* the minutes after the peak; NONE: there has been none */
	double loads, requests;     /* since `from` */
	double late_per_s;          /* loads, decayed over seconds */
	struct instant late_at;
	struct level_usual usual;
};

void level_init(struct level *l);

/*
 * A peak has come at `from`. One of which nothing is known joins what is under way; else the latter
 * goes on undisturbed.
 */
void level_begin(struct level *l, struct instant from, struct instant until,
                 struct level_usual usual);

/* A load, whatever for. Counted at any time, for what is of late when a peak comes. */
void level_load(struct level *l, struct instant now);
void level_requests(struct level *l, struct instant at, double count);

/* What a load costs now, in usual ones. */
double level_cost(const struct level *l, struct instant now);

/*
 * What the minutes after the peak at `from` have shown goes into *usual; false: nothing did, since
 * another peak was under way, or there were too few requests.
 */
bool level_learn(const struct level *l, struct instant from, struct level_usual *usual);

#endif
