/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the keys of an endpoint have in common: the distribution from which their change rates look
 * drawn. It is the prior of a key that little is known of (empirical Bayes).
 *
 * HOW IT WORKS rates of the keys of one endpoint are spread over decades, and often in two heaps
 * (most never change, some all the time): no Gamma looks like that, and one that has to would not
 * believe a key that differs. So the distribution has no form (Kiefer and Wolfowitz, Ann. Math. Stat.
 * 27, 1956): a share for each of POOL_BINS logarithmic bins of rates. What is known of a key
 * (looks.h) makes a likelihood of each bin. A step of expectation maximisation moves the
 * shares to the mean of the keys' posteriors, and blurs them by a bin, so that they stay a
 * distribution where few keys have been seen.
 *
 * A posterior is handed out as the Gamma nearest to it (the one with its mean and its mean logarithm,
 * which minimises the Kullback-Leibler divergence): the mean, which says how stale answers are that
 * are young, is exact.
 *
 * INVARIANTS shares are > 0 and their sum is 1.
 */
#ifndef FORECACHED_MODELS_POOL_H
#define FORECACHED_MODELS_POOL_H

#include "models/change.h"
#include "models/looks.h"

#define POOL_BINS   84 /* a multiple of 4 */
#define POOL_STEP   0.25 /* of the logarithm of the rate, from bin to bin */
#define POOL_LOWEST 3e-8 /* rate of the first bin, changes per second; the last has 31 */

struct pool {
	float share[POOL_BINS];
};

/* Keys looked at, to learn from. */
struct pool_sum {
	float share[POOL_BINS];
	double log_rate; /* sum of the keys' mean logarithms */
	double n;
};

/* The distribution that a Gamma is. */
void pool_init(struct pool *p, struct change parent);

/*
 * The posterior of the change rate of a key of which that much is known. NULL: it is not like the
 * others; every rate is as likely beforehand.
 */
struct change pool_posterior(const struct pool *p, const struct looks *known);

/* Adds such a key to those that are learned from. */
void pool_add(struct pool_sum *s, const struct pool *p, const struct looks *known);

/*
 * The distribution that the keys suggest, and a Gamma around `parent` as far as they are few; what was
 * known before counts as old_keys >= 0 keys. Returns the share of keys that moved to another bin.
 */
double pool_learn(struct pool *p, const struct pool_sum *s, struct change parent, double old_keys);

/* All rates have become `factor` > 0 times what they were. */
void pool_scale(struct pool *p, double factor);

/* Takes shares back that were kept: POOL_BINS numbers >= 0, not all 0. */
void pool_restore(struct pool *p, const double *share);

#endif
