/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Has the change rate of a key, or of all keys of an endpoint (activity.h), become quite another one?
 * Two cumulative sums (CUSUM) of the evidence that the rate is now SURPRISE_RATIO times what is
 * believed, and one part in that.
 *
 * HOW IT WORKS each look adds the logarithm of how much likelier it was at the other rate than at
 * the believed one, the uncertainty of the belief included: a key that is hardly known surprises
 * nobody. No look adds more than 1, since a single one may have another cause (a holiday). A sum
 * never falls below 0, and raises the alarm above the threshold; then both begin anew. While the
 * belief is true, an alarm at threshold h comes less than once in e^h looks (Wald).
 *
 * That a key has gone quiet takes what any test takes: no change in about 10 of its mean intervals.
 */
#ifndef FORECACHED_MODELS_SURPRISE_H
#define FORECACHED_MODELS_SURPRISE_H

#include "models/change.h"

#include <stdbool.h>

#define SURPRISE_ALARM 10.0 /* the lowest threshold in use: once in 22,000 looks */
#define SURPRISE_RATIO 16.0

struct surprise {
	float up, down; /* >= 0 */
};

enum surprised { SURPRISED_NOT, SURPRISED_FASTER, SURPRISED_SLOWER };

/* So many times what was believed the rate is, then; not for SURPRISED_NOT. */
static inline double surprise_factor(enum surprised s)
{
	return s == SURPRISED_FASTER ? SURPRISE_RATIO : 1 / SURPRISE_RATIO;
}

/* A look over tau > 0 while c was believed before it; alarm: the threshold. */
enum surprised surprise_look(struct surprise *s, struct change c, double tau, bool changed,
                             double alarm);

#endif
