/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What to load before a peak, in which order, and from when on.
 *
 * HOW IT WORKS each candidate comes with what is known of its first request after the peak (a Gamma
 * of its rate), how long a value would live that is read just before the peak, and how much of that
 * life each second of lead costs. From these follow the gain of loading it,
 *
 *	p L - c (1 - p), in loads with c = 1, where p = P(asked for within its own life), learning.md 4.1
 *
 * and the longest lead at which it is still worth its load. Loads take slots, evenly spaced and
 * counted back from the peak. Which of them is the classical question of unit jobs with deadlines: in
 * order of lead, each takes a slot, and where there are more than slots the one of least gain
 * goes. So what is volatile is loaded last, what would be replaced before it is used is left to
 * demand, and what can wait for nothing goes first, in ascending order of requests times change rate.
 * n loads at the budget's rate start 1.2 n / rate before the peak, but not before the given lead.
 */
#ifndef FORECACHED_PREDICTOR_PREWARM_H
#define FORECACHED_PREDICTOR_PREWARM_H

#include "base/instant.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum prewarm_verdict {
	PREWARM_LOAD,
	PREWARM_UNLIKELY, /* asked for too rarely to pay */
	PREWARM_VOLATILE, /* its value would be replaced before it is asked for */
	PREWARM_LIMIT,    /* there are max_keys of more gain */
	PREWARM_ROOM,     /* there is no slot left in which it would gain as much as others */
};

struct prewarm_candidate {
	uint32_t key;
	uint32_t tag;      /* the caller's own */
	uint32_t peak;     /* which of the peaks that are planned together */
	double miss_value; /* L, loads that sparing a user a miss is worth; >= 0 */
	double a, b;       /* P(not asked for within t s of the peak) = (b / (b + t))^a; > 0 */
	double life_s;     /* of a value read at the peak */
	double wear;       /* seconds of life lost by each second that it is read earlier; >= 0 */
	double trust;      /* factor of p: what became of earlier loads; 0 .. 1 */
	double changes_per_s; /* just before the peak */
	double load_s;
	/* results */
	/* P(asked for after the peak within its life, and within watch_s) when loaded at the peak */
	double p;
	struct instant at; /* when to load it; NEVER: not at all */
	enum prewarm_verdict verdict;
};

struct prewarm_terms {
	struct instant now, peak;
	double rate;            /* loads per second for this; > 0 */
	double watch_s;         /* wanted is what is asked for within so long */
	double lead_s;          /* the longest; 0: as long as it takes */
	const size_t *max_keys; /* by peak */
	size_t n_peaks;
};

/* Least p at which a load pays: c / (L + c). */
static inline double prewarm_worth(double miss_value)
{
	return 1 / (1 + miss_value);
}

/* P(asked for within t seconds of the peak). */
double prewarm_p(const struct prewarm_candidate *c, double t);

/*
 * A plan that is made in steps, as that of 100 000 candidates takes a tenth of a second. They come
 * in blocks, since an array that grows would be moved; blocks and t->max_keys are the caller's, and
 * must stay until prewarm_free. The results are set in them, and nothing is moved.
 */
#define PREWARM_BLOCK 512
struct prewarm;
struct prewarm *prewarm_begin(const struct prewarm_terms *t,
                              struct prewarm_candidate *const *block, size_t n);
/* Goes on by some `work` looks at a candidate, of less than 0.2 us each; true: it is done. */
bool prewarm_step(struct prewarm *p, size_t work);
/* When done: how many are loaded; the i-th: first these, in order of loading, then the rest. */
size_t prewarm_loads(const struct prewarm *p);
const struct prewarm_candidate *prewarm_nth(const struct prewarm *p, size_t i);
void prewarm_free(struct prewarm **p);

/*
 * The same in one go. Sorts c into the order of loading, sets the results. Returns how many will be
 * loaded (the first). With a peak that is not after now all of them are due now, the one of most gain first.
 */
size_t prewarm_plan(const struct prewarm_terms *t, struct prewarm_candidate *c, size_t n);

#endif
