/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What freshness costs: the loads and the staleness that each policy reaches, for several
 * objectives. One objective is one point of each policy's line; the lines side by side are what
 * `simulate --frontier` and `report` show.
 *
 * HOW IT WORKS every policy is run under every objective (simulate.h), `threads` at a time. Then
 * the best single TTL is run once more with the staleness that learn has reached, for loads may be
 * compared only among answers that are equally fresh.
 *
 * OWNERSHIP the trace and the options must outlive the frontier.
 */
#ifndef FORECACHED_SIM_FRONTIER_H
#define FORECACHED_SIM_FRONTIER_H

#include "sim/simulate.h"

#define FRONTIER_MAX 12 /* objectives */

enum frontier_policy {
	FRONTIER_LEARN,
	FRONTIER_STATIC_BEST,
	FRONTIER_ENDPOINT_BEST,
	FRONTIER_ALEX_BEST,
	FRONTIER_BOUND,
	FRONTIER_POLICIES
};

struct frontier_point {
	double objective;
	/* error is -ENODATA where a policy has nothing to go by, and its figures are all 0 */
	struct simulate_result policy[FRONTIER_POLICIES];
	/* static-best as stale as learn was; its max_stale is learn's staleness */
	struct simulate_result same;
};

struct frontier {
	struct frontier_point point[FRONTIER_MAX]; /* by objective, ascending */
	size_t n;
	double seconds[FRONTIER_POLICIES]; /* of all runs of a policy */
};

/*
 * Runs 1 .. FRONTIER_MAX different objectives, each within 0 .. 0.5, with the other options of
 * `learn`. Only the objective that is learn's own, if it is among them, has figures of endpoints,
 * and only its run calls the hooks (learned, looked). 0, or the first error with its fault: -EINTR
 * when interrupted. Release in both cases.
 */
int frontier_run(const struct simulate *s, const struct learn_options *learn,
                 const double *objective, size_t n, struct frontier *ret, struct fault *reterr);
void frontier_release(struct frontier *f);

/* "learn", "static-best", ...: as simulate.h names them. */
const char *frontier_policy_name(enum frontier_policy p);

#endif
