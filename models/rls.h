/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Recursive least squares: a line through what has been seen, corrected by each new observation and
 * slowly forgetting the old ones (Haykin, Adaptive Filter Theory, ch. 10).
 *
 * HOW IT WORKS one rank-one update of the inverse covariance per observation, O(n^2). An
 * observation whose residual is beyond three mean absolute ones is weighed down to that (Huber), so
 * that a flash crowd does not bend the line. While nothing new is seen in some direction the
 * inverse covariance would grow without end there; its trace is capped.
 *
 * INVARIANTS all numbers are finite: what is not, or weighs absurdly much, begins anew.
 */
#ifndef FORECACHED_MODELS_RLS_H
#define FORECACHED_MODELS_RLS_H

#define RLS_TERMS 8
#define RLS_COV   (RLS_TERMS * (RLS_TERMS + 1) / 2)

struct rls {
	double w[RLS_TERMS];
	double cov[RLS_COV]; /* lower half, by rows */
	double abs_error;    /* mean absolute residual, of the last 200 or so */
	double n;            /* observations */
};

/* Begins with these weights, each known to within 1 or so. */
void rls_init(struct rls *r, const double w[RLS_TERMS]);

/* Its weights are known as well as that from now on: the variance of each, > 0, and no covariance. */
void rls_trust(struct rls *r, double variance);

double rls_say(const struct rls *r, const float x[RLS_TERMS]);

/* y was seen at x; keep: the share of evidence that is left per observation, in (0, 1]. */
void rls_learn(struct rls *r, const float x[RLS_TERMS], double y, double keep);

#endif
