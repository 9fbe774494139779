/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/state.h"

#include "analyzer/personal.h"
#include "predictor/prewarm.h"

#include <math.h>
#include <stdlib.h>

/* So many keys of the endpoint are looked at, at the most: nobody is served meanwhile. */
static const size_t LOOK_AT = 2048;

/* No more are loaded than the spare half of the origin's budget can load in this time. */
static const double WITHIN_S = 30;
static const size_t MAX_LOADS = 128;

/* A miss in a rush costs at least this many loads: many wait for it. */
static const double LEAST_VALUE = 0.5;

/* A jump so near a peak is the peak. */
static const struct span RISE = {60 * 1000000LL};

struct candidate {
	uint32_t key;
	double rate;
};

static int by_rate(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->rate != y->rate)
		return x->rate > y->rate ? -1 : 1;
	return x->key < y->key ? -1 : x->key > y->key;
}

static double worth(const struct place *p)
{
	return prewarm_worth(fmax(p->policy.latency_value, LEAST_VALUE));
}

/* Could a load help? Not where the value is fresh or on its way, nor where it is nobody's business. */
static bool is_cold(const struct engine *e, struct instant now, const struct place *p, uint32_t key)
{
	const struct key *k = &e->key.v[key];

	return k->flight == KEY_NONE && !((k->flags & KEY_OURS) && now.us < k->soft.us) &&
	       !(p->policy.prewarm == PREWARM_AUTO && personal_name(key_bytes(e, key)));
}

/* The most asked for first. */
static size_t collect(struct engine *e, struct instant now, const struct place *p,
                      struct candidate *c)
{
	size_t stride = p->ep.keys.n / LOOK_AT + 1, n = 0;

	for (size_t i = 0; i < p->ep.keys.n; i += stride) {
		uint32_t key = p->ep.keys.v[i];

		if (is_cold(e, now, p, key))
			c[n++] = (struct candidate){
			        key, endpoint_key_rate(&p->ep, p->zone, &e->key.v[key], now)};
	}
	qsort(c, n, sizeof(*c), by_rate);
	return n;
}

static bool is_of(const struct engine *e, struct peak_key k, uint32_t place)
{
	return peak_key_is(e, k.key, k.tag) && e->key.v[k.key].endpoint == place;
}

/* Are keys of the endpoint wanted at the peak? Its plan has loads for them, or was against it. */
static bool prepares(const struct engine *e, const struct peak *p, uint32_t place)
{
	for (size_t i = 0; i < p->item.n; i++)
		if (is_of(e, p->item.v[i].key, place))
			return true;
	for (size_t i = 0; i < p->wanted.n; i++)
		if (is_of(e, p->wanted.v[i], place))
			return true;
	return false;
}

/*
 * Is it the rise of a peak that was prepared for? Its plan has judged each key, and has left to demand what
 * does not live until it is asked for: to load that now would only add to the rush.
 */
static bool was_foreseen(const struct engine *e, struct instant now, uint32_t place)
{
	for (size_t i = 0; i < e->peak.n; i++) {
		const struct peak *p = e->peak.v[i];

		if (p->phase >= PEAK_PLANNED && !p->watch_only &&
		    llabs((long long)(now.us - peak_at(p).us)) <= RISE.us && prepares(e, p, place))
			return true;
	}
	return false;
}

static uint64_t warm(struct engine *e, struct instant now, uint32_t place, double factor)
{
	const struct place *p = e->place.v[place];
	uint32_t origin = place_loads_from(p);
	struct candidate *c;
	uint64_t planned = 0;
	double rate;
	size_t n;

	if (origin == ORIGIN_NONE || p->policy.prewarm == PREWARM_NEVER ||
	    engine_paused(e, now, PAUSE_PREFETCH) || was_foreseen(e, now, place) ||
	    !prefetch_allowed(e, now, place, PREFETCH_JUMP, worth(p)))
		return 0;
	rate = 0.5 * e->origin.v[origin].policy.rate;
	c = mem_calloc(p->ep.keys.n < 2 * LOOK_AT ? p->ep.keys.n + 1 : 2 * LOOK_AT, sizeof(*c));
	n = collect(e, now, p, c);
	if (n > MAX_LOADS)
		n = MAX_LOADS;
	for (size_t i = 0; i < n && (double)planned < rate * WITHIN_S; i++) {
		double ttl = replan_answer(e, now, c[i].key, now, 1, NULL).ttl_s;

		if (-expm1(-c[i].rate * factor * ttl) < worth(p))
			continue;
		heap_set(&e->jump, c[i].key, instant_add(now, span_from_s((double)planned / rate)));
		planned++;
	}
	free(c);
	return planned;
}

void jump_timer(struct engine *e, struct instant now, uint32_t key, struct effects *fx)
{
	const struct place *p = key_place(e, &e->key.v[key]);

	/* what found no room is left to demand, which is there */
	if (is_cold(e, now, p, key) && !engine_paused(e, now, PAUSE_PREFETCH) &&
	    load_start(e, now, key, LOAD_PREWARM, fx))
		prefetch_started(e, key, PREFETCH_JUMP, worth(p));
}

void jump_found(struct engine *e, struct instant now, uint32_t place, struct effects *fx)
{
	struct place *p = e->place.v[place];
	double before = fmax(demand_rate(&p->ep.demand, p->zone, now), 1e-3);
	struct effect *f;

	e->stats.jumps++;
	f = effect_add(fx, EFFECT_NOTICE);
	f->endpoint = intern_name(&e->place_name, place);
	f->notice.what = NOTICE_JUMP;
	f->notice.value = p->ep.demand.jump.found_per_s;
	f->notice.loads = warm(e, now, place, fmax(p->ep.demand.jump.found_per_s / before, 1));
}
