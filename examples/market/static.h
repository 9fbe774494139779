/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a cache with one fixed TTL would have done with the same requests, before the same origin.
 *
 * HOW IT WORKS each request is a hit when the key's latest load was read less than the TTL ago;
 * else it begins a load, or waits for the one that is under way (no load is made twice). Loads take
 * as long as the origin's, hits take no time: the comparison flatters the fixed TTL, if anything.
 */
#ifndef FORECACHED_EXAMPLES_MARKET_STATIC_H
#define FORECACHED_EXAMPLES_MARKET_STATIC_H

#include "examples/market/truth.h"

/* One request and how it was answered. */
struct answer {
	struct instant at;
	uint32_t key;
	float response_ms; /* of the origin's time */
	int64_t version;
	enum { ANSWER_HIT, ANSWER_LOADED, ANSWER_FAILED } how;
};

/* Loads per ten seconds, over a window of time. */
#define LOADS_STEP_S 10
struct loads {
	struct instant from;
	size_t n_steps;
	uint32_t *step; /* n_steps */
	uint64_t sum;
};

void loads_init(struct loads *l, struct instant from, struct instant until);
void loads_release(struct loads *l);
void loads_add(struct loads *l, struct instant at);

/* The most loads per second, averaged over ten seconds, in [from, until). */
double loads_peak(const struct loads *l, struct instant from, struct instant until);

/* How many loads began in [from, until), each a multiple of LOADS_STEP_S after l->from. */
uint64_t loads_sum(const struct loads *l, struct instant from, struct instant until);

struct figures {
	double hit_ratio, stale; /* shares of the requests */
	double mean_ms, p99_ms;
	size_t n, misses, failed; /* misses: had to wait for a load */
};

/*
 * Sorts nothing, changes nothing. A version older than the true one at the time of the request is
 * stale.
 */
struct figures figures_of(struct truth *t, const struct answer *a, size_t n);

/* Fills in how, response_ms and version of each request, which are in order of time. */
void static_run(struct truth *t, double ttl_s, struct answer *a, size_t n, struct loads *loads);

/*
 * The longest TTL with at most the given share of stale answers, seconds: hindsight, as nobody
 * could have known it beforehand. Overwrites the answers.
 */
double static_best(struct truth *t, double max_stale, struct answer *a, size_t n);

#endif
