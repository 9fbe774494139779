/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The engine, fed from a trace: the same code that runs in the daemon, with a recorded origin.
 *
 * HOW IT WORKS a clock of our own jumps from event to event. At one instant the order is: changes
 * of values, change events, ends of loads, timers, requests in the order of the file. A load reads
 * the origin when it starts and ends after the load time of the key's latest request so far; for a
 * miss that is the request that asks. The engine is shown versions as numbers that are equal or
 * not, and tell nothing else. Fits take one second of the trace's time.
 *
 * INVARIANTS the same trace, options and seed give the same log byte for byte, and what happens
 * before an instant never depends on what the trace holds after it.
 */
#ifndef FORECACHED_SIM_LEARN_H
#define FORECACHED_SIM_LEARN_H

#include "engine/engine.h"
#include "sim/log.h"
#include "sim/pace.h"
#include "sim/score.h"
#include "sim/trace.h"

struct learn_schedule {
	const char *name, *pattern;
	struct instant *at; /* ascending */
	size_t n;
};

struct learn_options {
	uint64_t seed;
	struct policy policy;
	struct origin_policy origin;
	struct engine_limits limits;
	bool pool;               /* all endpoints share max_stale */
	const struct zone *zone; /* NULL: UTC */
	/* by endpoint of the trace: change events are delivered; NULL: of none */
	const bool *push;
	const struct learn_schedule *schedule;
	size_t n_schedules;
	/*
	 * hands a new engine what was learned before, of no other keys than the trace's; 0, or a
	 * negative errno value and why; NULL: it begins with nothing. Keys may be loaded before the
	 * trace asks for them then, and take as long as when it first does.
	 */
	int (*taught)(void *arg, struct engine *e, struct instant now, struct fault *reterr);
	void *taught_arg;
	/* a file for what is predicted of every value that is loaded (log.h); NULL: none */
	const char *predictions_path;
	/* is handed what was learned by the end of the trace; NULL: nobody wants it */
	record_fn *learned;
	void *learned_arg;
	/*
	 * Is shown the engine as it is at each of these instants, ascending; what lies behind the
	 * end of the trace stands for its end. May ask the engine, and change nothing.
	 */
	const struct instant *look;
	size_t n_looks;
	void (*looked)(void *arg, size_t i, struct engine *e, struct instant now);
	void *looked_arg;
};

/* Defaults, with limits and timeouts that admit every row a trace can hold. */
struct learn_options learn_options_default(void);

/*
 * 0; -EINTR when interrupted; -EPROTO with a fault when the engine broke its contract, for example
 * by answering with a version that no load has brought. log may be NULL.
 */
int learn_run(const struct trace *t, const struct learn_options *o, struct score *score,
              struct log *log, struct pace *pace, struct fault *reterr);

/*
 * Gives the keys whose rows name no endpoint the one that the engine finds for them, so that all
 * policies are scored by the same endpoints.
 */
void learn_name_endpoints(struct trace *t, const struct learn_options *o);

#endif
