/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * On-demand caches that learn nothing: their TTL follows a rule that is fixed before the run. They
 * are what developers use today, and with the best rule in hindsight, what any learning must beat.
 *
 * HOW IT WORKS a value is loaded by the request that finds none or an expired one, and its TTL
 * counts from that instant. fixed_run replays the whole trace with load times, for scores and logs.
 * fixed_count walks single keys with instant loads, to try many rules quickly.
 *
 * INVARIANTS where no TTL is shorter than a load takes, both count the same loads and stale
 * answers.
 */
#ifndef FORECACHED_SIM_FIXED_H
#define FORECACHED_SIM_FIXED_H

#include "base/instant.h"
#include "sim/log.h"
#include "sim/pace.h"
#include "sim/score.h"
#include "sim/trace.h"

#include <stdbool.h>

enum fixed_kind {
	FIXED_TTL, /* value: seconds */
	FIXED_AGE, /* TTL = value x age of the version when it is loaded (Alex protocol) */
};

struct fixed_rule {
	enum fixed_kind kind;
	const double *value; /* per endpoint */
	/*
	 * Requests that come while a load is in flight join it, even when its TTL has passed
	 * meanwhile. Without this a second load is started then, which is how instant loads count.
	 */
	bool single_flight;
};

/* Replays the trace in its order; log may be NULL. False when it was interrupted. */
bool fixed_run(const struct trace *t, const struct fixed_rule *rule, struct score *score,
               struct log *log, struct pace *pace);

/*
 * The trace by key: the requests of key k are at[first[k]] .. at[first[k + 1] - 1], in time order.
 */
struct lanes {
	const struct trace *trace;
	size_t *first;
	struct instant *at;
	uint32_t *version;
	uint32_t *key; /* keys in order of their endpoint ... */
	/* ... those of endpoint e are key[key_first[e]] .. key[key_first[e + 1] - 1] */
	uint32_t *key_first;
};

void lanes_init(struct lanes *l, const struct trace *t);
void lanes_release(struct lanes *l);

struct fixed_count {
	uint64_t requests, loads, stale;
};

/* Adds what the rule does to one key from `from` on, with instant loads. */
void fixed_count_key(const struct lanes *l, uint32_t key, enum fixed_kind kind, double value,
                     struct instant from, struct fixed_count *sum);

#endif
