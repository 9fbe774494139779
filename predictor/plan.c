/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "predictor/plan.h"

#include <math.h>

struct walk_answer plan_ttl(const struct endpoint *ep, const struct key *k, struct instant loaded,
                            struct instant now, const struct plan_terms *t)
{
	struct walk_question q = {
	        .rate = endpoint_predictive(ep, k),
	        .volatility = ep->shape,
	        .requests_per_s = endpoint_key_rate(ep, t->zone, k, now),
	        .demand = ep->demand.shape,
	        .zone = t->zone,
	        .loaded = loaded,
	        .price = t->price,
	        .cost = t->cost,
	        .miss_value = t->miss_value,
	        .p_cap = t->max_stale_key,
	        .min_s = fmin(t->min_ttl_s, t->max_age_s),
	        .max_s = t->max_age_s,
	        .tolerated_s = t->stale_after_s,
	};

	return walk_ttl(&q);
}
