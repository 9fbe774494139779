/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What to load before a peak, in which order, and from when on.
 *
 * HOW IT WORKS each candidate comes with the probability that it is asked for within its own
 * lifetime after the peak, its change rate then, and its expected requests. Keys that would not pay
 * (p < worth), or that would have changed again before the peak, are left to demand. The others are
 * loaded in ascending order of requests times change rate: what is stable first, what is volatile
 * and wanted last, since that is what a load too early hurts. n loads at the budget's rate start
 * 1.2 n / rate before the peak, but not before the given lead; where that is too late for all, the
 * most wanted that fit are loaded.
 */
#ifndef FORECACHED_PREDICTOR_PREWARM_H
#define FORECACHED_PREDICTOR_PREWARM_H

#include "base/instant.h"

#include <stddef.h>
#include <stdint.h>

struct prewarm_candidate {
	uint32_t key;
	double p;             /* P(asked for between the peak and the end of its TTL) */
	double requests;      /* expected in the first minutes after the peak */
	double changes_per_s; /* expected around the peak */
	double load_s;
	struct instant at; /* result: when to load it; NEVER: not at all */
	uint8_t left;      /* result: left to demand because it is too volatile */
};

struct prewarm_terms {
	struct instant now, peak;
	double rate;   /* loads per second for this; > 0 */
	double worth;  /* least p that pays: cost / (miss value + cost) */
	double lead_s; /* the longest; 0: as long as it takes */
	size_t max_keys;
};

/*
 * Sorts c into the order of loading, sets at and left. Returns how many will be loaded (the first).
 */
size_t prewarm_plan(const struct prewarm_terms *t, struct prewarm_candidate *c, size_t n);

#endif
