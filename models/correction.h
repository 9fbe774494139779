/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * By what factor are predicted probabilities off? Events that were predicted are counted beside the
 * sum of their probabilities.
 *
 * HOW IT WORKS so many events as were seen are a Poisson draw around factor x said. Where they are few
 * the plain ratio is mostly noise, and a control that follows it is led by chance. So what is usual
 * counts beforehand: most predictions are right but for a sixth, and a few are badly wrong (a process
 * that is not the one assumed). That is a mixture of two Gammas with mean 1, a narrow and a wide one; its
 * posterior is one, too, and its mean is the factor. Evidence that is slight is held to 1, and evidence
 * that no narrow prior explains is followed. (Gelman et al., Bayesian Data Analysis, 2.4: Poisson and
 * Gamma, mixtures of conjugate priors.)
 *
 * Who predicts gets better at it, fast at first and slowly later: what is known of the first day says
 * little about the third, and what is known of the first week still something about the second. So
 * evidence weighs in proportion to how far on things were when it came: from half as long after the
 * beginning, half as much.
 *
 * INVARIANTS seen, said >= 0 and at most CORRECTION_MEMORY once an event is added, but for its weight: then
 * older ones count for less. Begins with correction_init.
 */
#ifndef FORECACHED_MODELS_CORRECTION_H
#define FORECACHED_MODELS_CORRECTION_H

#include "base/instant.h"

#include <stdbool.h>

#define CORRECTION_MEMORY 300.0

struct correction {
	double seen;   /* events, weighted */
	double said;   /* sum of their predicted probabilities, weighted alike */
	struct instant first, last; /* event; INSTANT_NONE: there was none yet */
	double factor; /* > 0, by which predictions have to be multiplied; 1 without evidence */
};

void correction_init(struct correction *c);

/*
 * An event that had been given the probability said (0 .. 1) has happened at t, or not. weight > 0: of
 * how many like it this one is the sample.
 */
void correction_add(struct correction *c, struct instant t, double weight, double said,
                    bool happened);

/* Takes back what was kept; seen, said >= 0, and first and last as they were (first <= last). */
void correction_restore(struct correction *c, double seen, double said, struct instant first,
                        struct instant last);

#endif
