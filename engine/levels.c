/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The loads after a peak, of each origin that it asks (predictor/level.h). An origin is one number of
 * its name where a peak remembers it: which ones there are may change between two lives.
 */
#include "engine/state.h"

static struct level *level_of(struct engine *e, uint32_t place)
{
	uint32_t origin = place_loads_from(e->place.v[place]);

	return origin == ORIGIN_NONE ? NULL : &e->origin.v[origin].level;
}

struct peak_level *levels_of_peak(struct peak *p, uint32_t id)
{
	for (size_t i = 0; i < p->level.n; i++)
		if (p->level.v[i].origin_id == id)
			return &p->level.v[i];
	if (p->level.n >= PEAK_MAX_LEVELS)
		return NULL;
	*vec_push(&p->level) = (struct peak_level){.origin_id = id};
	return &p->level.v[p->level.n - 1];
}

void levels_begin(struct engine *e, struct peak *p, uint32_t key)
{
	struct instant at = peak_at(p);
	uint32_t origin = place_loads_from(key_place(e, &e->key.v[key]));
	struct peak_level *known;
	struct origin_state *o;

	if (origin == ORIGIN_NONE)
		return;
	o = &e->origin.v[origin];
	if (o->level.from.us == at.us && o->level.usual.requests_per_s > 0)
		return;
	known = levels_of_peak(p, o->id);
	if (known)
		level_begin(&o->level, at,
		            instant_min(instant_add(at, (struct span){PEAK_WATCH_US}), p->window),
		            known->usual);
}

void levels_learn(struct engine *e, struct peak *p)
{
	for (size_t i = 0; i < p->level.n; i++)
		for (size_t j = 0; j < e->origin.n; j++)
			if (e->origin.v[j].id == p->level.v[i].origin_id)
				level_learn(&e->origin.v[j].level, peak_at(p),
				            &p->level.v[i].usual);
}

void levels_asked(struct engine *e, struct instant at, uint32_t place, double count)
{
	struct level *l = level_of(e, place);

	if (l)
		level_requests(l, at, count);
}

double levels_cost(struct engine *e, struct instant now, uint32_t place)
{
	const struct level *l = e->n_watching ? level_of(e, place) : NULL;

	return l && !engine_paused(e, now, PAUSE_PREFETCH) ? level_cost(l, now) : 1;
}
