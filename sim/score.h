/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Counts what a policy did with a trace: answers, loads, staleness and waiting, per endpoint and in
 * all, from the instant on at which scoring begins.
 *
 * HOW IT WORKS every wait above zero and every age of a stale answer is kept, so quantiles are
 * exact: the p-quantile of n sorted values is the one at index min(n - 1, floor(p n)).
 */
#ifndef FORECACHED_SIM_SCORE_H
#define FORECACHED_SIM_SCORE_H

#include "base/instant.h"
#include "base/vec.h"
#include "engine/engine.h"
#include "sim/trace.h"

/* The outcomes of a request, OUTCOME_HIT .. OUTCOME_JOINED. */
#define SCORE_OUTCOMES 4

/* What is printed. NAN: there is no such figure. */
struct figures {
	uint64_t requests, outcome[SCORE_OUTCOMES], loads[LOAD_REASONS], stale;
	double loads_per_request, stale_per_request, hit_ratio;
	double response_mean_ms, response_p50_ms, response_p99_ms;
	double stale_age_p50_s, stale_age_p99_s, stale_age_max_s;
	double ttl_s;  /* of a policy with one TTL */
	double factor; /* of a policy whose TTL is a share of the age */
};

struct tally {
	uint64_t requests, outcome[SCORE_OUTCOMES], loads[LOAD_REASONS];
	VEC(uint32_t) wait_us;     /* those above 0 */
	VEC(int64_t) stale_age_us; /* of each stale answer, since its version was replaced */
};

/* Requests of one half hour of UTC, and those among them that got a stale answer. */
struct half_hour {
	uint32_t requests, stale;
};

struct score {
	const struct trace *trace;
	struct instant from;
	struct span stale_after;         /* a replaced value is stale only after this long */
	struct tally *tally;             /* per endpoint */
	VEC(struct half_hour) half_hour; /* [0] holds `from` */
};

void score_init(struct score *s, const struct trace *t, struct instant from,
                struct span stale_after);
void score_release(struct score *s);

void score_load(struct score *s, uint32_t key, struct instant at, enum load_reason why);

/* Request i of the trace was answered with this version after this wait. */
void score_answer(struct score *s, size_t i, enum outcome o, uint32_t version, struct span wait);

/* Of one endpoint; of those in 0 .. n-1 for which `in` holds (NULL: of all). */
struct figures score_endpoint(const struct score *s, uint32_t endpoint);
struct figures score_total(const struct score *s, const bool *in);

/* Loads of whatever reason. */
uint64_t figures_loads(const struct figures *f);

/*
 * The half hour with the largest share of stale answers among those with at least `least` requests,
 * and its start; all zero when there is none. An average over days can hide a bad opening bell.
 */
struct half_hour score_worst_half_hour(const struct score *s, double least,
                                       struct instant *ret_start);

/* All figures that depend on nothing else: the ratios of counts; the rest is NAN. */
void figures_ratios(struct figures *f);

#endif
