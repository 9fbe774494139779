/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A made-up world for the scenarios: things that are asked for and that change, an origin that
 * answers loads after a while, and the engine between them. It knows the truth, so it can count
 * what the engine can only estimate: which answers were stale.
 *
 * HOW IT WORKS each thing has a Poisson process of requests and one of changes, or periodic ones;
 * at one instant changes come first, then ends of loads, timers, requests. `hook` is called at
 * each load, before it is read: there the origin can do what it likes (an adversary's changes), and
 * `answer` may write anything into what a load brings.
 *
 * INVARIANTS the same seed gives the same run. A request is counted once, when it is answered:
 * stale means that the version it got is not the one that the origin had when it came.
 */
#ifndef FORECACHED_TESTS_SCENARIO_WORLD_H
#define FORECACHED_TESTS_SCENARIO_WORLD_H

#include "base/heap.h"
#include "base/intern.h"
#include "base/rng.h"
#include "base/vec.h"
#include "engine/engine.h"

#include <stdio.h>

struct tally {
	uint64_t requests, hits, stale; /* stale: of hits and grace */
	uint64_t loads, by_reason[LOAD_REASONS];
	uint64_t absent, failed; /* answers of that status */
};

struct thing {
	char endpoint[32], name[48];
	double asked_per_s;  /* Poisson; 0: never */
	double asked_every;  /* s, > 0: periodic instead, at multiples of it from the start */
	double asked_offset; /* ... this much later */
	double changes_per_s;
	double changes_every, changes_offset;
	uint64_t kinds; /* > 0: the content goes round through so many values */
	bool absent;    /* the origin has no such thing */
	bool down;      /* the origin fails */
	uint64_t content;
	struct instant changed;
	bool held; /* a load has brought something */
	uint64_t held_content;
	struct instant read;
	struct tally n;
};

struct errand {
	uint64_t job;
	uint32_t thing;
	uint64_t content;
	struct instant modified, started;
	bool by_time, have;
	enum load_reason reason;
};

struct world {
	struct engine *e;
	struct engine_config config;
	struct effects fx;
	struct rng rng, origin_rng;
	struct instant start, now;
	double load_s;
	VEC(struct thing) thing;
	VEC(struct errand) errand;
	struct intern names; /* id: index of thing */
	struct heap ask, change, end;
	struct tally n;
	uint64_t effects_hash; /* of everything that the engine has decided */
	uint32_t in_flight, most_in_flight;
	/* NULL: nothing to be done */
	void (*hook)(struct world *w, uint32_t thing, enum load_reason reason);
	void (*answer)(struct world *w, const struct errand *x, struct input *in);
	void (*asked)(struct world *w, uint32_t thing);
	void *arg;
};

/* One origin with room enough; everything else by default. */
struct engine_config world_config(void);

void world_init(struct world *w, const struct engine_config *c, uint64_t seed);
void world_release(struct world *w);

/* Adds a thing; returns its index. The pointer is good until the next is added. */
uint32_t world_add(struct world *w, const char *endpoint, double asked_per_s, double changes_per_s);

/* Its rates were changed: draws its next request and change anew. */
void world_stir(struct world *w, uint32_t thing);

/* The content of a thing is another one now. */
void world_change(struct world *w, uint32_t thing);

void world_ask(struct world *w, uint32_t thing);
void world_input(struct world *w, const struct input *in);

/* Lets so many seconds pass. */
void world_pass(struct world *w, double s);

/* Asks the engine about a thing. */
struct why world_why(struct world *w, uint32_t thing);

/* Forgets the counts, of the world and of all its things. */
void world_count_anew(struct world *w);

/* Sums over the things of an endpoint. */
struct tally world_tally(const struct world *w, const char *endpoint);

static inline double stale_share(struct tally t)
{
	return t.requests ? (double)t.stale / (double)t.requests : 0;
}

static inline double loads_per_request(struct tally t)
{
	return t.requests ? (double)t.loads / (double)t.requests : 0;
}

/* What a scenario has measured, for the log and docs/robustness.md. */
#define FIGURE(...) (printf("# figure: " __VA_ARGS__), putchar('\n'))

/* The q-quantile; sorts v. NAN when there are none. */
double quantile(double *v, size_t n, double q);

#endif
