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

/* What the peak knows of the origin, or NULL. */
static struct peak_level *known_of(struct peak *p, uint32_t origin_id)
{
	for (size_t i = 0; i < p->level.n; i++)
		if (p->level.v[i].origin_id == origin_id)
			return &p->level.v[i];
	return NULL;
}

static bool is_present(const struct engine *e, uint32_t origin_id)
{
	for (size_t i = 0; i < e->origin.n; i++)
		if (e->origin.v[i].id == origin_id)
			return true;
	return false;
}

/* Of a full list, what is of no use: an origin that is no more, else one of which nothing is known. */
static struct peak_level *spare(const struct engine *e, struct peak *p)
{
	struct peak_level *r = NULL;

	for (size_t i = 0; i < p->level.n; i++) {
		struct peak_level *l = &p->level.v[i];

		if (!is_present(e, l->origin_id))
			return l;
		if (!(l->usual.requests_per_s > 0))
			r = l;
	}
	return r;
}

struct peak_level *levels_of_peak(const struct engine *e, struct peak *p, uint32_t id)
{
	struct peak_level *l = known_of(p, id);

	if (l)
		return l;
	l = p->level.n < PEAK_MAX_LEVELS ? vec_push(&p->level) : spare(e, p);
	if (l)
		*l = (struct peak_level){.origin_id = id};
	return l;
}

/* What it has shown goes into what the peak knows of the origin. */
static void learn(const struct origin_state *o, struct peak *p)
{
	struct peak_level *known = known_of(p, o->id);

	if (known)
		level_learn(&o->level, peak_at(p), &known->usual);
}

/*
 * The minutes of a peak that is watched until the end of its quarter are over before it is, and then
 * another may begin: what they have shown would be lost.
 */
static void learn_before(struct engine *e, const struct origin_state *o, struct instant at)
{
	const struct level *l = &o->level;

	if (!instant_is_set(l->from) || l->from.us == at.us || at.us < l->until.us)
		return;
	for (size_t i = 0; i < e->peak.n; i++)
		if (e->peak.v[i]->phase == PEAK_WATCHED)
			learn(o, e->peak.v[i]);
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
	known = levels_of_peak(e, p, o->id);
	if (!known)
		return;
	learn_before(e, o, at);
	level_begin(&o->level, at,
	            instant_min(instant_add(at, (struct span){PEAK_WATCH_US}), p->window),
	            known->usual);
}

void levels_learn(struct engine *e, struct peak *p)
{
	for (size_t i = 0; i < e->origin.n; i++)
		learn(&e->origin.v[i], p);
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
