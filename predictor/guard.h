/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Does it pay to load ahead? Counts what became of the loads of one source for one endpoint, and stops
 * a source that wastes.
 *
 * HOW IT WORKS a load is useful when its value is asked for before it ends, else wasted. Of outcomes
 * half are forgotten over the next 200. When even the upper 90 % bound of the useful share (Wilson, J.
 * Am. Stat. Assoc. 22, 1927) lies below what pays, the source rests: one load in a hundred goes on
 * as a probe. A pause lasts a minute, then twice as long each time, to an hour; at its end half of
 * the evidence is forgotten, so that a source gets another chance, and loses it fast.
 */
#ifndef FORECACHED_PREDICTOR_GUARD_H
#define FORECACHED_PREDICTOR_GUARD_H

#include "base/instant.h"

#include <stdbool.h>

struct guard {
	float useful, wasted, said; /* decayed; said: the sum of what had been predicted */
	float pause_s;              /* the last one; 0: none since it did well */
	struct instant resume;      /* end of the pause; all zero is ready for use */
};

/* A load has turned out useful or not; said: the probability predicted for it, 0 .. 1. */
void guard_outcome(struct guard *g, bool useful, double said);

/* What is kept over a restart, as numbers. Restoring refuses what they cannot be. */
#define GUARD_STATE 5
void guard_state(const struct guard *g, double ret[GUARD_STATE]);
bool guard_restore(struct guard *g, struct instant now, const double v[GUARD_STATE]);

/* Factor by which predictions have to be multiplied to come true: 0 .. 1. */
double guard_trust(const struct guard *g);

/* The upper 90 % bound of the useful share; 1 without outcomes. */
double guard_upper(const struct guard *g);

/*
 * May this source load now, where a useful share of `worth` pays? dice: a random number in [0, 1).
 */
bool guard_allows(struct guard *g, struct instant now, double worth, double dice);

#endif
