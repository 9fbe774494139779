/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What became of loads that nobody waited for, by endpoint and source; and may the source go on? */
#include "engine/state.h"

struct prefetched *prefetch_of(struct engine *e, uint32_t place)
{
	struct place *p = e->place.v[place];

	if (!p->prefetched)
		p->prefetched = mem_calloc(PREFETCH_SOURCES, sizeof(*p->prefetched));
	return p->prefetched;
}

bool prefetch_allowed(struct engine *e, struct instant now, uint32_t place,
                      enum prefetch_source source, double worth)
{
	struct prefetched *x = e->place.v[place]->prefetched;
	double dice;

	if (!x || guard_upper(&x[source].guard) >= worth)
		return true;
	dice = rng_uniform(&e->rng);
	return guard_allows(&x[source].guard, now, worth, dice);
}

void prefetch_started(struct engine *e, uint32_t key, enum prefetch_source source, double p)
{
	struct flight *f = &e->flight.v[e->key.v[key].flight];

	f->ahead_by = (uint8_t)(source + 1);
	f->ahead_p = (float)p;
	e->stats.prefetch[source].loads++;
	prefetch_of(e, e->key.v[key].endpoint)[source].count.loads++;
}

static void settle(struct engine *e, uint32_t place, enum prefetch_source source, bool useful,
                   double said)
{
	struct prefetched *x = &prefetch_of(e, place)[source];

	*(useful ? &x->count.useful : &x->count.wasted) += 1;
	*(useful ? &e->stats.prefetch[source].useful : &e->stats.prefetch[source].wasted) += 1;
	guard_outcome(&x->guard, useful, said);
	e->place.v[place]->ep.dirty = true;
}

void prefetch_outcome(struct engine *e, uint32_t key, bool useful)
{
	struct key *k = &e->key.v[key];

	if (!k->ahead_by)
		return;
	settle(e, k->endpoint, (enum prefetch_source)(k->ahead_by - 1), useful, k->ahead_p);
	k->ahead_by = 0;
}

void prefetch_ended(struct engine *e, const struct flight *f, bool kept)
{
	struct key *k = &e->key.v[f->key];

	if (!f->ahead_by)
		return;
	if (f->useful) {
		settle(e, k->endpoint, (enum prefetch_source)(f->ahead_by - 1), true, f->ahead_p);
	} else if (kept) { /* a load that failed says nothing of what would have been asked for */
		k->ahead_by = f->ahead_by;
		k->ahead_p = f->ahead_p;
	}
}
