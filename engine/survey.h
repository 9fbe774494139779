/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Questions that look at every endpoint or every key, in pieces: who watches the daemon must not
 * hold up those whom it serves. Each call does a bounded piece of the work and says where to go on;
 * what comes and goes between two pieces may be seen or not.
 *
 *	survey_endpoints	how requests and loads of each endpoint ended, in all
 *	survey_rows		one row of `forecache endpoints` for each
 *	survey_hot		the hottest keys: rows of `forecache ttls`
 *	survey_warmth		how warm the cache is, and where not
 *	survey_origin		load times, and what is left of the budget
 *
 * OWNERSHIP views in rows are valid during the callback. A struct survey_... that was started is
 * released by its owner, whether or not it has come to its end.
 */
#ifndef FORECACHED_ENGINE_SURVEY_H
#define FORECACHED_ENGINE_SURVEY_H

#include "base/vec.h"
#include "engine/engine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SURVEY_END UINT32_MAX

/* -- Counts ----------------------------------------------------------------------------------- */

enum survey_miss {
	SURVEY_MISS_COLD,    /* never held since it is known */
	SURVEY_MISS_EXPIRED, /* held once; its time was over */
	SURVEY_MISS_DROPPED, /* held once; evicted, deleted or replaced by a change event since */
	SURVEY_MISS_FAILED,  /* its load failed a moment ago, and nothing stands in */
	SURVEY_MISSES
};

/* How requests of one endpoint ended, and its loads by reason: since the start. */
struct survey_counts {
	uint64_t fresh, absent, grace, joined, missed[SURVEY_MISSES];
	uint64_t loads[LOAD_REASONS];
};

/* Upper bounds of the buckets of load times, in seconds; above the last there is one more. */
#define SURVEY_TIMES_TABLE(X)                                                                      \
	X(0.001)                                                                                   \
	X(0.0025)                                                                                  \
	X(0.005) X(0.01) X(0.025) X(0.05) X(0.1) X(0.25) X(0.5) X(1) X(2.5) X(5) X(10) X(30)
#define SURVEY_TIMES_ONE(bound) +1
#define SURVEY_BUCKETS          (0 SURVEY_TIMES_TABLE(SURVEY_TIMES_ONE) + 1)

extern const double survey_times_bound[SURVEY_BUCKETS - 1];

/* Times of loads that have ended: how many took no longer than each bound, not cumulated. */
struct survey_times {
	uint64_t n[SURVEY_BUCKETS], failed;
	double sum_s;
};

/* took < 0 counts as 0. */
void survey_times_add(struct survey_times *t, struct span took, bool ok);

/* -- Endpoints and origins -------------------------------------------------------------------- */

struct survey_endpoint {
	struct bytes name;
	bool ruled; /* an endpoint rule is about it */
	const struct survey_counts *counts;
	uint64_t keys, load_errors, audits, audits_stale;
	/* loads ahead of requests, by whether these came in time; the rest is open */
	uint64_t prefetch_useful, prefetch_wasted;
	double requests_per_s; /* forecast for now */
	double stale_share;    /* estimated, of about the last 10,000 requests; NAN without data */
	double objective;      /* of its class: max_stale */
	double forecast_mase; /* error of its forecast by that of the same time yesterday; or NAN */
};
typedef void survey_endpoint_fn(void *arg, const struct survey_endpoint *row);

/*
 * Up to max endpoints from place `from` on (0 at first), in order of first sight. Returns where to
 * go on, or SURVEY_END.
 */
uint32_t survey_endpoints(struct engine *e, struct instant now, uint32_t from, unsigned max,
                          survey_endpoint_fn *fn, void *arg);

/*
 * The same with the rows of engine_endpoints(), for which some keys of each must be planned: as many
 * as fit in `work` looks, one at least.
 */
uint32_t survey_rows(struct engine *e, struct instant now, uint32_t from, unsigned work,
                     ttl_row_fn *fn, void *arg);

struct survey_origin {
	const char *name;
	const struct survey_times *times;
	double rate_per_s, rate_limit_per_s; /* background loads */
	double concurrency;                  /* loads in flight that it bears now */
	uint32_t in_flight;
	bool open; /* the breaker holds background loads back */
};

/* Origin i, loader workers' included. False past the last. */
bool survey_origin(const struct engine *e, struct instant now, uint32_t i,
                   struct survey_origin *ret);

/* PAUSE_* bits in force. */
unsigned survey_paused(const struct engine *e, struct instant now);

/* -- The hottest keys ------------------------------------------------------------------------- */

struct survey_hot_key;

struct survey_hot {
	uint32_t place; /* INTERN_NONE: of all endpoints */
	uint32_t next;  /* key to look at next */
	size_t max;
	VEC(struct survey_hot_key) key; /* a heap, the coldest at its top; then sorted */
	size_t unsorted, told;
	bool sorting;
};

/* The max hottest keys of an endpoint (empty: of all). False when there is no such endpoint. */
bool survey_hot_start(struct survey_hot *s, struct engine *e, struct bytes endpoint, size_t max);

/*
 * Looks on, at up to `work` keys; once it has seen all, tells the rows, hottest first, at 16 units
 * of work each. True: there is more to do.
 */
bool survey_hot_step(struct survey_hot *s, struct engine *e, struct instant now, unsigned work,
                     ttl_row_fn *fn, void *arg);
void survey_hot_release(struct survey_hot *s);

/* -- Warmth ----------------------------------------------------------------------------------- */

/*
 * How often the next request is answered at once, compared with what can be reached.
 *
 * For a key that is asked for at rate r and whose value lives T seconds, on demand rT/(1+rT) of the
 * requests are hits once it is warm, all of them if it is refreshed ahead. `can` adds r times that
 * share over the keys, `now` adds r over those that hold a value that may be served. So now/can is 1
 * in the long run, and 0 when all is cold, whether keys live for seconds or days. Counted are keys
 * that forecached can load by itself, and those that it holds.
 */
struct survey_warmth_place {
	uint64_t keys, warm;
	double now, can; /* hits per second */
};

struct survey_warmth {
	uint32_t next;
	struct instant peak;       /* at which requests are expected; NONE: now */
	VEC(struct bytes) pattern; /* copies; none: all keys */
	struct survey_warmth_place all;
	VEC(struct survey_warmth_place) place; /* by place */
};

/*
 * Of all keys; or, with a schedule's name, of what it wants at its next instant, with the rates of
 * then. False when there is no such schedule, or nothing of it is to come.
 */
bool survey_warmth_start(struct survey_warmth *s, const struct engine *e, struct instant now,
                         struct bytes schedule);

/* Looks at up to `work` keys; one whose time to live must be worked out counts as 16. True: more. */
bool survey_warmth_step(struct survey_warmth *s, struct engine *e, struct instant now,
                        unsigned work);
void survey_warmth_release(struct survey_warmth *s);

/* 0 .. 1; NAN when there is nothing that could be warm. */
double survey_warmth_share(const struct survey_warmth_place *p);

/* The name of a place that the survey has seen. */
struct bytes survey_place_name(const struct engine *e, uint32_t place);

#endif
