/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/state.h"

#include "base/bug.h"
#include "base/hash.h"
#include "base/text.h"

#include <math.h>
#include <stdlib.h>

/* Before anything is known a change rate may be anything around one in a static TTL. */
static const double PRIOR_A = 0.5;

static uint32_t add_zone(struct engine *e, const struct zone *z)
{
	const struct zone *given = z ? z : &zone_utc;
	struct zone_state *s;

	for (size_t i = 0; i < e->zone.n; i++)
		if (e->zone.v[i].given == given)
			return (uint32_t)i;
	s = vec_push(&e->zone);
	*s = (struct zone_state){.given = given};
	s->shifted = *given;
	s->shifted.n_offsets = given->n_offsets ? given->n_offsets : 1;
	s->offset = mem_calloc(s->shifted.n_offsets, sizeof(*s->offset));
	s->plain = mem_calloc(s->shifted.n_offsets, sizeof(*s->plain));
	if (given->n_offsets)
		memcpy(s->plain, given->offset, given->n_offsets * sizeof(*s->plain));
	if (given->n_days) {
		s->day = mem_calloc(given->n_days, sizeof(*s->day));
		memcpy(s->day, given->day, given->n_days * sizeof(*s->day));
	}
	s->shifted.offset = s->offset;
	s->shifted.day = s->day;
	return (uint32_t)(e->zone.n - 1);
}

/* Local time is engine time, plus what the wall clock was stepped, plus the zone's offset. */
static void shift_zones(struct engine *e, zone_states *zones)
{
	for (size_t i = 0; i < zones->n; i++) {
		struct zone_state *s = &zones->v[i];

		for (size_t j = 0; j < s->shifted.n_offsets; j++) {
			s->offset[j].from =
			        instant_add(s->plain[j].from, (struct span){-e->wall_offset.us});
			s->offset[j].offset_s =
			        s->plain[j].offset_s + (int32_t)(e->wall_offset.us / 1000000);
		}
	}
}

static void free_zones(zone_states *zones)
{
	for (size_t i = 0; i < zones->n; i++) {
		free(zones->v[i].offset);
		free(zones->v[i].plain);
		free(zones->v[i].day);
	}
	vec_free(zones);
}

static uint32_t find_origin(const struct engine *e, const char *name)
{
	for (size_t i = 0; i < e->origin.n; i++)
		if (strcmp(e->origin.v[i].name, name) == 0)
			return (uint32_t)i;
	return ORIGIN_NONE;
}

static uint32_t add_origin(struct engine *e, struct instant now, const char *name,
                           const struct origin_policy *y)
{
	uint32_t i = find_origin(e, name);
	struct origin_state *o;

	if (i != ORIGIN_NONE) {
		e->origin.v[i].policy = *y;
		budget_configure(&e->origin.v[i].budget, y->rate, y->burst, y->concurrency);
		return i;
	}
	o = vec_push(&e->origin);
	*o = (struct origin_state){.name = text_copy(name),
	                            .id = (uint32_t)(hash_bytes(bytes_str(name), 0) >> 32),
	                            .policy = *y};
	level_init(&o->level);
	budget_init(&o->budget, y->rate, y->burst, y->concurrency, now);
	return (uint32_t)(e->origin.n - 1);
}

static void free_rules(struct engine *e)
{
	for (size_t i = 0; i < e->rule.n; i++) {
		free(e->rule.v[i].match);
		free(e->rule.v[i].class_name);
	}
	e->rule.n = 0;
}

/* Goes on with applying the configuration. */
static void apply_some(struct engine *e, bool all)
{
	if (keyring_apply_some(e, all))
		free_zones(&e->applying.zone);
}

static bool is_applying(const struct engine *e)
{
	return e->applying.next < e->applying.end;
}

/*
 * Origins keep the number they got at first sight: those of the first configuration in its order,
 * later ones after them, by name. One that a reload leaves out keeps its place, since loads may
 * come back to its budget. So after a reload an index of the configuration is not ours:
 * find_origin.
 */
void engine_configure(struct engine *e, struct instant now, const struct engine_config *c)
{
	apply_some(e, true); /* what the one before has left */
	e->limits = c->limits;
	e->demand.max_models = (uint32_t)c->limits.max_forecasts;
	e->policy = c->policy;
	e->compression_least = SIZE_MAX;
	keyring_note_compression(e, &c->policy);
	e->pool = c->pool;
	free_rules(e);
	e->applying = (struct applying){.end = (uint32_t)e->place.n, .zone = e->zone};
	e->zone = (zone_states){0};
	add_zone(e, c->zone);
	for (size_t i = 0; i < c->n_origins; i++)
		add_origin(e, now, c->origins[i].name, &c->origins[i].policy);
	e->default_origin =
	        c->origin == ORIGIN_NONE ? ORIGIN_NONE : find_origin(e, c->origins[c->origin].name);
	for (size_t i = 0; i < c->n_rules; i++) {
		const struct engine_rule *r = &c->rule[i];
		struct rule_state s = {
		        .match = text_copy(r->match),
		        .class_name = text_copy(r->class_name),
		        .origin = r->origin == ORIGIN_NONE
		                          ? ORIGIN_NONE
		                          : find_origin(e, c->origins[r->origin].name),
		        .zone = r->zone ? add_zone(e, r->zone) : 0,
		        .policy = r->policy,
		};

		*vec_push(&e->rule) = s;
		keyring_note_compression(e, &r->policy);
	}
	shift_zones(e, &e->zone);
	e->applying_due = now;
	apply_some(e, false);
}

static void reserve(struct engine *e)
{
	size_t n = (size_t)fmin(e->limits.max_keys, UINT32_MAX / 8);
	/* of a key's three lines two are read at most loads: it may not lie across four */
	struct key *key = mem_reserve(n, sizeof(*key));

	if (key) {
		e->key.v = key;
		e->key.cap = n;
	}
	intern_reserve(&e->key_name, (uint32_t)n);
	heap_reserve(&e->refresh, n);
	heap_reserve(&e->expiry, n);
	if (e->evict.reuse)
		reuse_reserve(e->evict.reuse, (uint32_t)n);
}

struct engine *engine_new(const struct engine_config *c, struct store *store, struct instant now)
{
	struct engine *e = mem_calloc(1, sizeof(*e));

	e->store = store;
	if (store)
		e->evict.reuse = reuse_new();
	rng_init(&e->rng, c->seed);
	intern_init(&e->key_name, c->seed);
	intern_init(&e->place_name, c->seed);
	intern_init(&e->cls_name, c->seed);
	e->free_flight = FLIGHT_NONE;
	e->free_waiter = WAITER_NONE;
	e->paused_until[0] = e->paused_until[1] = INSTANT_NONE;
	round_init(e, now);
	e->last_error_key = KEY_NONE;
	e->peak_due = INSTANT_NEVER;
	e->tail_written = now;
	e->prior = (struct change){PRIOR_A, PRIOR_A * fmax(c->policy.static_ttl, 1)};
	demand_pool_init(&e->demand, 0);
	engine_configure(e, now, c);
	if (c->reserve)
		reserve(e);
	return e;
}

void engine_free(struct engine **ep)
{
	struct engine *e = *ep;

	if (!e)
		return;
	for (size_t i = 0; i < e->place.n; i++) {
		if (!e->place.v[i])
			continue;
		endpoint_release(&e->place.v[i]->ep);
		free(e->place.v[i]->prefetched);
		free(e->place.v[i]);
	}
	for (size_t i = 0; i < e->origin.n; i++)
		free(e->origin.v[i].name);
	peak_release_all(e);
	free_rules(e);
	free_zones(&e->zone);
	free_zones(&e->applying.zone);
	vec_free(&e->rule);
	vec_free(&e->origin);
	vec_free(&e->cls);
	vec_free(&e->place);
	vec_free(&e->key);
	vec_free(&e->flight);
	vec_free(&e->waiter);
	vec_free(&e->peak);
	evict_release(e);
	heap_release(&e->refresh);
	heap_release(&e->jump);
	heap_release(&e->expiry);
	vec_free(&e->note);
	vec_free(&e->sweep);
	vec_free(&e->arrival);
	vec_free(&e->touched);
	heap_release(&e->deadline);
	intern_release(&e->key_name);
	intern_release(&e->place_name);
	intern_release(&e->cls_name);
	free(e);
	*ep = NULL;
}

static void loader_came_or_went(struct engine *e, struct instant now, const struct input *in,
                                struct effects *fx)
{
	uint32_t id = keyring_place(e, now, in->endpoint, fx);
	struct place *p = e->place.v[id];
	uint32_t origin = in->loader.origin;

	if (!in->loader.up) {
		p->loader_origin = ORIGIN_NONE;
		return;
	}
	if (origin == ORIGIN_NONE || origin >= e->origin.n) {
		struct origin_policy y = origin_policy_default();

		origin = add_origin(e, now, "loader", &y);
	}
	p->loader_origin = origin;
}

static void fitted(struct engine *e, const struct input *in)
{
	uint32_t place = (uint32_t)in->fitted.fit;
	struct place *p = place < e->place.n ? e->place.v[place] : NULL;

	if (!p || !in->fitted.fit || p->fit != in->fitted.fit)
		return; /* twice, or given up */
	p->fit = 0;
	if (in->fitted.status == 0)
		demand_set_harmonic(&p->ep.demand, &in->fitted.model);
}

static void pause_or_resume(struct engine *e, struct instant now, const struct input *in,
                            struct effects *fx)
{
	for (int bit = 0; bit < 2; bit++)
		if (in->pause.what & 1u << bit)
			e->paused_until[bit] =
			        in->pause.until.us > now.us ? in->pause.until : INSTANT_NONE;
	serve_reply(e, fx, in->ticket, KEY_NONE, REPLY_OK, OUTCOME_MISS);
}

void engine_input(struct engine *e, struct instant now, const struct input *in, struct effects *fx)
{
	switch (in->kind) {
	case INPUT_GET:
		serve_get(e, now, in, fx);
		return;
	case INPUT_EVENT:
		serve_event(e, now, in, fx);
		return;
	case INPUT_SET:
		serve_set(e, now, in, fx);
		return;
	case INPUT_DELETE:
		serve_delete(e, now, in, fx);
		return;
	case INPUT_CHANGED:
		serve_changed(e, now, in, fx);
		return;
	case INPUT_LOADED:
		load_ended(e, now, in, fx);
		return;
	case INPUT_LOADER:
		loader_came_or_went(e, now, in, fx);
		return;
	case INPUT_FITTED:
		fitted(e, in);
		return;
	case INPUT_SCHEDULE:
		schedule_set(e, now, in, fx);
		return;
	case INPUT_PREWARM:
		planning_by_hand(e, now, in, fx);
		return;
	case INPUT_PURGE:
		serve_purge(e, now, in, fx);
		return;
	case INPUT_PAUSE:
		pause_or_resume(e, now, in, fx);
		return;
	case INPUT_CLOCK:
		e->wall_offset = in->clock.offset;
		shift_zones(e, &e->zone);
		shift_zones(e, &e->applying.zone);
		learned_clock(e, now);
		return;
	}
	BUG_ON(true);
}

void engine_tick(struct engine *e, struct instant now, unsigned max_work, struct effects *fx)
{
	unsigned done = 0;
	uint32_t id;

	while ((!max_work || done < max_work) && heap_pop(&e->deadline, now, &id)) {
		load_timeout(e, now, id, fx);
		done++;
	}
	course_tick(e, now, max_work, &done, fx);
	while ((!max_work || done < max_work) && heap_pop(&e->refresh, now, &id)) {
		replan_timer(e, now, id, fx);
		done++;
	}
	while ((!max_work || done < max_work) && heap_pop(&e->jump, now, &id)) {
		jump_timer(e, now, id, fx);
		done++;
	}
	while ((!max_work || done < max_work) && heap_pop(&e->expiry, now, &id)) {
		plain_timer(e, now, id);
		done++;
	}
	if (e->sweep.n)
		serve_sweep(e, now, !max_work, fx);
	if (is_applying(e))
		apply_some(e, !max_work);
	round_tick(e, now, fx);
}

struct instant engine_next(const struct engine *e)
{
	struct instant t = e->round.at;

	t = instant_min(t, heap_next(&e->deadline));
	t = instant_min(t, heap_next(&e->refresh));
	t = instant_min(t, heap_next(&e->jump));
	t = instant_min(t, heap_next(&e->expiry));
	if (e->sweep.n)
		t = instant_min(t, e->sweep_due);
	if (is_applying(e))
		t = instant_min(t, e->applying_due);
	return instant_min(t, course_next(e));
}
