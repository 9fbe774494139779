/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/baseline.h"

#include "base/vec.h"

#include <math.h>
#include <stdlib.h>

/* The range and the fineness of the searches: 18 halvings leave TTLs 0.006 % apart. */
#define TTL_LO_S     0.5
#define TTL_HI_S     (14 * 86400.0)
#define TTL_STEPS    18
#define FACTOR_LO    1e-5
#define FACTOR_HI    1e3
#define FACTOR_STEPS 22

/* The keys key[begin .. end) of the lanes. */
struct part {
	const struct lanes *l;
	uint32_t begin, end;
	struct instant from;
};

static struct part part_of(const struct lanes *l, uint32_t endpoint, struct instant from)
{
	if (endpoint == UINT32_MAX)
		return (struct part){l, 0, l->trace->keys.n_ids, from};
	return (struct part){l, l->key_first[endpoint], l->key_first[endpoint + 1], from};
}

static struct fixed_count count(const struct part *p, enum fixed_kind kind, double value)
{
	struct fixed_count sum = {0};

	for (uint32_t i = p->begin; i < p->end; i++)
		fixed_count_key(p->l, p->l->key[i], kind, value, p->from, &sum);
	return sum;
}

static double longest(const struct part *p, enum fixed_kind kind, double max_stale, double lo,
                      double hi, int steps)
{
	for (; steps; steps--) {
		double mid = sqrt(lo * hi);
		struct fixed_count c = count(p, kind, mid);

		if ((double)c.stale / (double)(c.requests ? c.requests : 1) > max_stale)
			hi = mid;
		else
			lo = mid;
	}
	return lo;
}

double baseline_static(const struct lanes *l, struct instant from, double max_stale)
{
	struct part p = part_of(l, UINT32_MAX, from);

	return longest(&p, FIXED_TTL, max_stale, TTL_LO_S, TTL_HI_S, TTL_STEPS);
}

double baseline_endpoint(const struct lanes *l, uint32_t endpoint, struct instant from,
                         double max_stale)
{
	struct part p = part_of(l, endpoint, from);

	if (count(&p, FIXED_TTL, TTL_HI_S).requests < BASELINE_MIN_REQUESTS)
		return NAN;
	return longest(&p, FIXED_TTL, max_stale, TTL_LO_S, TTL_HI_S, TTL_STEPS);
}

double baseline_alex(const struct lanes *l, struct instant from, double max_stale)
{
	struct part p = part_of(l, UINT32_MAX, from);

	return longest(&p, FIXED_AGE, max_stale, FACTOR_LO, FACTOR_HI, FACTOR_STEPS);
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

struct figures baseline_bound(const struct lanes *l, uint32_t endpoint, struct instant from,
                              double max_stale)
{
	struct part p = part_of(l, endpoint, from);
	/* scored requests of each version that an older one could answer */
	VEC(uint64_t) skippable = {0};
	struct figures f = {0};
	uint64_t loads = 0;
	double room;
	size_t skipped = 0;

	for (uint32_t j = p.begin; j < p.end; j++) {
		size_t i = l->first[l->key[j]], end = l->first[l->key[j] + 1];
		uint32_t oldest = i < end ? l->version[i] : 0;

		while (i < end) {
			uint32_t version = l->version[i];
			/* loaded before scoring began */
			bool held = instant_before(l->at[i], from);
			uint64_t n = 0;

			for (; i < end && l->version[i] == version; i++)
				n += !instant_before(l->at[i], from);
			f.requests += n;
			if (!n || held)
				continue;
			if (version == oldest) /* there is no older one to answer with */
				loads++;
			else
				*vec_push(&skippable) = n;
		}
	}
	if (skippable.n)
		qsort(skippable.v, skippable.n, sizeof(*skippable.v), compare_u64);
	room = max_stale * (double)f.requests;
	for (; skipped < skippable.n && (double)skippable.v[skipped] <= room; skipped++) {
		room -= (double)skippable.v[skipped];
		f.stale += skippable.v[skipped];
	}
	loads += skippable.n - skipped;
	vec_free(&skippable);
	f.outcome[OUTCOME_MISS] = loads;
	f.outcome[OUTCOME_HIT] = f.requests - loads;
	f.loads[LOAD_DEMAND] = loads;
	figures_ratios(&f);
	return f;
}
