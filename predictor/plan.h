/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * From what is known to what will be done: when does the value of a key expire, and will it be
 * refreshed before? Puts the walk (models/walk.h) between the bounds that the user has stated, and
 * says which of them decided.
 */
#ifndef FORECACHED_PREDICTOR_PLAN_H
#define FORECACHED_PREDICTOR_PLAN_H

#include "analyzer/endpoint.h"
#include "models/walk.h"

struct plan_terms {
	const struct zone *zone;
	double price;      /* loads per stale serve */
	double cost;       /* of this key's load, in mean loads; > 0 */
	double miss_value; /* loads one spends to spare a user a miss */
	double min_ttl_s, max_age_s, max_stale_key, stale_after_s;
};

/*
 * A value of this key read at `loaded`, as seen from now (>= loaded). The rate of requests is the
 * one known now; the answer's ttl_s counts from `loaded`.
 */
struct walk_answer plan_ttl(const struct endpoint *ep, const struct key *k, struct instant loaded,
                            struct instant now, const struct plan_terms *t);

#endif
