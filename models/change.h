/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How often does a value change? A Gamma(a, b) posterior of the rate of a Poisson process, in
 * changes per second of operational time (shape.h). Mean a/b, relative standard deviation
 * 1/sqrt(a).
 *
 * HOW IT WORKS a load tells whether the value changed since the one before, not how often.
 * "Unchanged over tau" has the likelihood exp(-rate tau), which is conjugate: b grows by tau.
 * "Changed over tau" has 1 - exp(-rate tau); the posterior is a difference of two Gammas, and the
 * Gamma with the same mean and variance takes its place (assumed density filtering). The mean is
 * exact, one at a time.
 *
 * INVARIANTS a >= CHANGE_MIN_A, b > 0, both finite. More certainty than CHANGE_MAX_A is not kept,
 * so that a key can always unlearn.
 */
#ifndef FORECACHED_MODELS_CHANGE_H
#define FORECACHED_MODELS_CHANGE_H

#include "base/estimate.h"

struct change {
	double a; /* "changes seen" */
	double b; /* "seconds watched", operational */
};

#define CHANGE_MIN_A 0.05
#define CHANGE_MAX_A 100.0 /* relative sd 10 %: finer knowledge does not move a TTL by 5 % */

/* What a complete account gives: n changes over tau >= 0 operational seconds. Exact. */
void change_count(struct change *c, double n, double tau);

/* Two looks tau apart saw the same value. Exact. Ignores tau <= 0. */
void change_unchanged(struct change *c, double tau);

/* Two looks tau apart saw different values: one change or more. Ignores tau <= 0. */
void change_changed(struct change *c, double tau);

/* Probability that the value changes within tau >= 0 seconds, the uncertainty of the rate included:
 * 1 - (b / (b + tau))^a. */
double change_p(struct change c, double tau);

/* The tau at which change_p reaches 0 <= p < 1: b ((1 - p)^(-1/a) - 1). May be HUGE_VAL. */
double change_tau(struct change c, double p);

struct estimate change_estimate(struct change c);

#endif
