/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the keys of an endpoint have in common: the Gamma distribution from which their change rates
 * look drawn. It is the prior of a key that nothing is known of yet (empirical Bayes).
 *
 * HOW IT WORKS one step of expectation maximisation for a Gamma population: the mean of the keys'
 * posterior means, and the mean of their expected logarithms, psi(a) - ln b; then the Gamma with
 * these two.
 */
#ifndef FORECACHED_MODELS_POOL_H
#define FORECACHED_MODELS_POOL_H

#include "models/change.h"

#include <stddef.h>

#define POOL_MIN_KEYS 5 /* fewer keys with data say nothing about spread: use the parent's prior */
#define POOL_MIN_A    0.05 /* rates may be spread over many decades ... */
#define POOL_MAX_A                                                                                 \
	10 /* ... but a prior never knows so much that a key that differs is not believed */

/* Sums over keys: add each, then fit. */
struct pool {
	double sum_mean, sum_log, n;
};

void pool_add(struct pool *p, struct change key);

/* The prior that the keys suggest. `parent` when there are fewer than POOL_MIN_KEYS. */
struct change pool_fit(const struct pool *p, struct change parent);

#endif
