/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One trace, several policies: what each would have cost and how fresh it would have been.
 *
 *	learn            the engine, as the daemon runs it
 *	static:SECONDS   on demand, one TTL
 *	static-best      on demand, the longest single TTL that keeps max_stale: hindsight
 *	endpoint-best    the same with a TTL per endpoint: hindsight. Endpoints with too few scored requests
 *	                 (baseline.h) keep the TTL of static-best and are left out of the total
 *	alex-best        TTL = factor x age at load, the largest factor that keeps max_stale: hindsight
 *	bound            what no cache that loads on demand can go below: clairvoyance
 *
 * HOW IT WORKS the trace is shared and never written to, so policies run on threads, each with a
 * score of its own. What one policy gives does not depend on which others run. A run is one policy
 * under one objective; runs of one call may differ in both.
 */
#ifndef FORECACHED_SIM_SIMULATE_H
#define FORECACHED_SIM_SIMULATE_H

#include "sim/learn.h"
#include "sim/pace.h"
#include "sim/score.h"
#include "sim/trace.h"

#define SIMULATE_MAX_POLICIES 64
#define SIMULATE_POLICIES     "learn, static:SECONDS, static-best, endpoint-best, alex-best, bound"

struct simulate {
	const struct trace *trace;
	struct instant score_from;
	const char *log_path;      /* decision log of the one policy; NULL: none */
	unsigned threads;          /* at least 1 */
	bool (*interrupted)(void); /* as in struct pace */
	/*
	 * Called about five times a second while policies run: the share of the work that is done,
	 * 0 .. 1, and the requests replayed so far, over all policies. May be NULL.
	 */
	void (*progress)(void *arg, double share, double requests);
	void *arg;
};

struct simulate_run {
	const char *policy;
	/* what is stated there of freshness holds for every policy, the rest is for learn */
	const struct learn_options *learn;
	bool total_only; /* nobody wants the figures of its endpoints */
};

struct simulate_result {
	const char *policy; /* as given */
	double max_stale;   /* the objective of the run */
	struct figures total;
	struct half_hour worst; /* the half hour with the most stale answers by request; 0: none */
	struct instant worst_start;
	struct figures *endpoint; /* by number of the endpoint in the trace; NULL: total_only */
	double seconds;           /* what the run took, the search for a TTL included */
	int error;                /* 0; -EINTR: interrupted; else a negative errno with fault */
	struct fault fault;
};

/* 0, or -EINVAL with a fault when there is no such policy, or none that a log can be written of. */
int simulate_check(const char *policy, bool with_log, struct fault *reterr);

/* The policies must have passed simulate_check. Fills ret[0 .. n); release each. */
void simulate_all(const struct simulate *s, const struct simulate_run *run, size_t n,
                  struct simulate_result *ret);
void simulate_result_release(struct simulate_result *r);

#endif
