/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What users of the example market ask for, and when.
 *
 * HOW IT WORKS requests come at random (Poisson) at a rate that follows the day in New York: next
 * to nothing at night, a little before the bell, twenty times as much at 09:30, which decays within
 * the hour, a smaller peak at the close. Each asks for a kind of page, then for a symbol or topic
 * by Zipf's law: the n-th most popular is asked for in proportion to n^-0.9. A day is drawn from
 * the seed and the date alone, so any part of it can be played again.
 */
#ifndef FORECACHED_EXAMPLES_MARKET_TRAFFIC_H
#define FORECACHED_EXAMPLES_MARKET_TRAFFIC_H

#include "base/rng.h"
#include "examples/market/truth.h"

#include <stdbool.h>

struct traffic {
	uint64_t seed;
	struct instant from, until;
	struct rng g;
	int32_t day;
	struct instant at;       /* of the latest request that was drawn */
	double upto[TRUTH_KEYS]; /* cumulated popularity within the kind, 0 .. 1 */
};

/* Requests in [from, until). */
void traffic_init(struct traffic *f, uint64_t seed, struct instant from, struct instant until);

/* The next request in order of time. False: no more. */
bool traffic_next(struct traffic *f, struct instant *ret_at, size_t *ret_key);

#endif
