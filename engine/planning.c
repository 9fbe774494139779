/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which keys does a peak want, and which of them are loaded when? What is known of each key about the
 * peak is put together, and handed to the planner (predictor/prewarm.h), origin by origin. Peaks of
 * one instant are planned together, so that together they keep to an origin's budget. A prewarm by
 * hand is planned like any other, for a peak that is now; such plans queue up.
 *
 * HOW IT WORKS nobody is served while a plan is made, so it is made in slices of some 0.2 ms, counted
 * by what was done in them. What is the same for all keys of an endpoint is looked up once (struct
 * outlook); how long a value would live is the dearest question, and asked only where the answer
 * matters.
 *
 * INVARIANTS one plan at a time, and a key is in it once (KEY_PEAK_MARK). Nothing that a plan says of
 * a key holds for another that has got its number since: keys come with their tags.
 */
#include "engine/state.h"

#include "analyzer/personal.h"
#include "analyzer/template.h"
#include "base/text.h"

#include <math.h>
#include <stdlib.h>

#define WATCH_S (PEAK_WATCH_US * 1e-6)

static const struct span WATCH = {PEAK_WATCH_US};

/* A schedule that has been watched so often, as decayed, knows its keys by itself. */
static const double OWN_PEAKS = 4;

/* The plan for good is made so long before its first load; or the peak, when there is nothing to do. */
static const struct span REPLAN = {1000000}, NOTHING_YET = {60 * 1000000LL};

/* A key counts as wanted when it is more likely than this to be asked for, and has a chance from: */
static const double WANTED = 0.5, CHANCE = 0.05;

/* The share of an origin's budget for a plan: refreshes and audits go on beside it. */
static const double BUDGET_SHARE = 0.5;

/*
 * Prewarming is not to be a peak itself: it keeps to this share of the loads that requests would cause
 * in the first seconds after the peak, or of the budget if that is more.
 */
static const double OF_PEAK = 0.7, FIRST_S = 10, OF_BUDGET = 0.02;

/*
 * What a slice of the collecting may cost, and what its parts do, in units of some 0.1 us: to pass
 * over a key that the peak does not cover, to look at one, to work out how long a value of it would
 * live, and to look at an endpoint.
 */
static const unsigned SLICE_WORK = 2000;
static const unsigned PASS_WORK = 2, LOOK_WORK = 15, LIFE_WORK = 30, OUTLOOK_WORK = 40;

/* Steps of the planner, candidates that are taken over, and blocks of them given back, in a slice. */
static const size_t SORT_SLICE = 1024, TAKE_SLICE = 512, FREE_SLICE = 2;

/* How long before the peak the second look at a key's lifetime is taken: for the wear of leads. */
static const double LEAD_MIN_S = 1, LEAD_MAX_S = 60;

bool peak_covers(const struct engine *e, const struct peak *p, uint32_t key)
{
	uint32_t place = e->key.v[key].endpoint;

	if (!p->pattern)
		return place == p->place;
	return template_match(bytes_str(p->pattern), key_bytes(e, key)) ||
	       bytes_equal(bytes_str(p->pattern), intern_name(&e->place_name, place));
}

/* -- An endpoint about the peak ---------------------------------------------------------------- */

/* Who knows best which keys are asked for: the learned peak in whose place a new schedule steps. */
static const struct audience *audience_of(struct engine *e, const struct peak *p, uint32_t place,
                                          struct instant at)
{
	const struct audience *a;

	if (p->source != PREFETCH_SCHEDULE || p->audience.peaks >= OWN_PEAKS)
		return &p->audience;
	a = learned_audience(e, place, at);
	return a && a->peaks > p->audience.peaks ? a : &p->audience;
}

static void look_at_place(struct engine *e, const struct peak *p, uint32_t place,
                          struct instant now, struct instant at, struct outlook *ret)
{
	const struct place *pl = e->place.v[place];
	const struct demand *d = &pl->ep.demand;
	double clock = shape_mass(d->shape, pl->zone, at, instant_add(at, WATCH)) / WATCH_S;
	double profile = d->mean_n > 0 ? d->mean / SHAPE_BIN_S * clock : 0, of_profile = 1;
	double before = fmin(60, fmax(span_s(instant_diff(at, now)), 1));

	/*
	 * the profile of the week says how many requests come after the peak; of late there were
	 * fewer where what is forecast from them is less
	 */
	if (profile > 0)
		of_profile = fmin(demand_at(d, pl->zone, at).hi80_per_s / profile, 1);
	*ret = (struct outlook){.place = place,
	                        .weekday = peak_weekday(pl->zone, at),
	                        .demand = clock * of_profile,
	                        .changes = shape_mass(pl->ep.shape, pl->zone,
	                                              instant_add(at, span_from_s(-before)), at) /
	                                   before,
	                        .changes_after = shape_at(pl->ep.shape, pl->zone, at),
	                        .audience = audience_of(e, p, place, at)};
}

static void forget_outlooks(struct planning *x)
{
	for (size_t i = 0; i < PLANNING_OUTLOOKS; i++)
		x->outlook[i].place = PLACE_NONE;
}

/* That of the peak that is being collected for. */
static const struct outlook *outlook_of(struct engine *e, const struct peak *p, uint32_t place,
                                        unsigned *work)
{
	struct planning *x = &e->planning;
	struct outlook *o = &x->outlook[place % PLANNING_OUTLOOKS];

	if (o->place != place) {
		look_at_place(e, p, place, x->now, x->at, o);
		*work += OUTLOOK_WORK;
	}
	return o;
}

/* -- A key about the peak ---------------------------------------------------------------------- */

/* What is known of one. */
struct view {
	struct prewarm_candidate c;
	double p; /* that it is asked for within the watch */
	bool wanted;
	bool fresh; /* loading it would gain less than a load is worth */
	enum prewarm_skip
	        skip;  /* why it is not loaded, whatever the plan says; PREWARM_SKIPS: no reason */
	unsigned work; /* what it took to find out */
};

static double miss_value(const struct place *p)
{
	return fmax(p->policy.peak_value, p->policy.latency_value);
}

/* How long a value read at t would live. */
static double life_at(struct engine *e, struct instant now, struct view *v, struct instant t)
{
	v->work += LIFE_WORK;
	return replan_answer(e, now, v->c.key, t, REPLAN_PEAK_PRICE, NULL).ttl_s;
}

/* P(asked for after the peak while a value of that life lasts). */
static double p_within(const struct prewarm_candidate *c, double life_s)
{
	return prewarm_p(c, fmin(life_s, WATCH_S));
}

/* Would what is held live past the peak already, and a load gain less than it is worth? */
static bool fresh_enough(const struct key *k, struct instant at, const struct prewarm_candidate *c)
{
	double rest;

	if (!(k->flags & KEY_OURS) || k->soft.us <= at.us)
		return false;
	rest = span_s(instant_diff(k->soft, at));
	return p_within(c, fmax(c->life_s, rest)) - p_within(c, rest) <
	       prewarm_worth(c->miss_value);
}

static enum prewarm_skip reason_against(const struct engine *e, const struct place *place,
                                        struct instant now, bool personal)
{
	uint32_t origin = place_loads_from(place);

	if (origin == ORIGIN_NONE || !(e->origin.v[origin].policy.rate > 0))
		return SKIP_ORIGIN;
	if (place->policy.prewarm == PREWARM_NEVER)
		return SKIP_FORBIDDEN;
	if (personal)
		return SKIP_PERSONAL;
	return engine_paused(e, now, PAUSE_PREFETCH) ? SKIP_PAUSED : PREWARM_SKIPS;
}

/* How long a value of it would live that is read for the peak, and what each second of lead costs. */
static void look_at_life(struct engine *e, struct instant now, struct instant at,
                         const struct outlook *o, double worth, struct view *v)
{
	struct prewarm_candidate *c = &v->c;
	const struct key *k = &e->key.v[c->key];
	const struct place *place = e->place.v[k->endpoint];
	double rate = change_estimate(endpoint_posterior(&place->ep, k)).mean, lead;

	c->life_s = life_at(e, now, v, at);
	c->changes_per_s = rate * o->changes;
	if (place_is_pushed(place)) {
		/* an event ends its life, whatever the plan says */
		double after = rate * o->changes_after;

		if (after > 0)
			c->life_s = fmin(c->life_s, 1 / after);
		c->wear = after > 0 ? fmin(c->changes_per_s / after, 1) : 0;
	}
	v->fresh = fresh_enough(k, at, c);
	if (place_is_pushed(place) || v->fresh || at.us <= now.us ||
	    c->trust * p_within(c, c->life_s) < worth)
		return;
	lead = fmin(fmax(c->life_s / 2, LEAD_MIN_S), LEAD_MAX_S);
	c->wear =
	        (c->life_s + lead - life_at(e, now, v, instant_add(at, span_from_s(-lead)))) / lead;
	c->wear = fmax(0, c->wear);
}

/*
 * False when it has no chance of being asked for. Its life is looked at only if it may pay to load
 * it; or `all`.
 */
static bool look_at_key(struct engine *e, const struct peak *p, uint32_t key, struct instant now,
                        struct instant at, const struct outlook *o, bool all, struct view *v)
{
	struct key *k = &e->key.v[key];
	const struct place *place = key_place(e, k);
	struct prewarm_candidate *c = &v->c;
	double worth;
	bool personal;

	*v = (struct view){.c = {.key = key,
	                         .tag = intern_tag(&e->key_name, key),
	                         .trust = 1,
	                         .miss_value = miss_value(place),
	                         .load_s = k->load_us * 1e-6,
	                         .at = INSTANT_NEVER},
	                   .skip = SKIP_UNLIKELY,
	                   .work = LOOK_WORK};
	audience_rate(o->audience, key, o->weekday,
	              endpoint_key_rate(&place->ep, place->zone, k, now) * o->demand, WATCH_S,
	              &c->a, &c->b);
	v->p = prewarm_p(c, WATCH_S);
	v->fresh = fresh_enough(k, at, c); /* as far as is known without its life */
	if (p->source == PREFETCH_MANUAL)
		c->miss_value = INFINITY; /* somebody wants them: whether it pays is not asked */
	else if (v->p < CHANCE)
		return false;
	personal = place->policy.prewarm == PREWARM_AUTO && personal_name(key_bytes(e, key));
	v->wanted = v->p >= WANTED && !personal && place_loads_from(place) != ORIGIN_NONE &&
	            place->policy.prewarm != PREWARM_NEVER;
	v->skip = reason_against(e, place, now, personal);
	if (place->prefetched && p->source != PREFETCH_MANUAL)
		c->trust = guard_trust(&place->prefetched[p->source].guard);
	worth = prewarm_worth(c->miss_value);
	if (all || (v->skip == PREWARM_SKIPS && c->trust * v->p >= worth))
		look_at_life(e, now, at, o, worth, v);
	return true;
}

bool planning_would_gain(struct engine *e, const struct peak *p, uint32_t key, struct instant now,
                         struct instant at)
{
	struct outlook o;
	struct view v;

	look_at_place(e, p, e->key.v[key].endpoint, now, at, &o);
	look_at_key(e, p, key, now, at, &o, false, &v);
	return !v.fresh;
}

/* -- Collecting -------------------------------------------------------------------------------- */

static void add_candidate(struct engine *e, uint32_t origin, const struct prewarm_candidate *c)
{
	struct planning *x = &e->planning;
	struct candidates *to;

	while (x->set.n <= origin)
		*vec_push(&x->set) = (struct candidates){0};
	to = &x->set.v[origin];
	if (to->n % PREWARM_BLOCK == 0)
		*vec_push(&to->block) = mem_realloc(NULL, PREWARM_BLOCK, sizeof(*c));
	to->block.v[to->block.n - 1][to->n++ % PREWARM_BLOCK] = *c;
	to->first += prewarm_p(c, FIRST_S);
	to->load_s += c->load_s;
}

/* One line of a dry run: what would be loaded, or why it would not. */
static void say(struct engine *e, uint32_t key, const char *why, struct effects *fx)
{
	struct effect *f = serve_reply(e, fx, e->by_hand.v[0].ticket, key, REPLY_OK, OUTCOME_MISS);

	/* one of a list; the last reply has the count */
	f->reply.count = UINT64_MAX;
	f->reply.error = bytes_str(why);
}

/* It is not loaded. */
static void skip(struct engine *e, struct peak *p, uint32_t key, enum prewarm_skip why,
                 struct effects *fx)
{
	p->report.skipped[why]++;
	if (p == e->planning.hand && e->by_hand.v[0].dry_run && e->planning.said++ < p->max_keys)
		say(e, key, prewarm_skip_name(why), fx);
}

/* Why it is no candidate; PREWARM_SKIPS: it is one. */
static enum prewarm_skip reason_of(struct engine *e, const struct peak *p, const struct view *v)
{
	const struct key *k = &e->key.v[v->c.key];
	double worth = prewarm_worth(v->c.miss_value);

	if (v->skip != PREWARM_SKIPS)
		return v->skip;
	if (p->source == PREFETCH_MANUAL)
		return (k->flags & KEY_OURS) && e->planning.now.us < k->soft.us ? SKIP_FRESH
		                                                                : PREWARM_SKIPS;
	if (v->fresh)
		return SKIP_FRESH;
	if (!prefetch_allowed(e, e->planning.now, k->endpoint, p->source, worth))
		return SKIP_WASTEFUL;
	return v->c.trust * v->p < worth ? SKIP_UNLIKELY : PREWARM_SKIPS;
}

static unsigned collect_key(struct engine *e, struct peak *p, uint32_t key, struct effects *fx)
{
	struct planning *x = &e->planning;
	struct key *k = &e->key.v[key];
	unsigned work = 0;
	const struct outlook *o = outlook_of(e, p, k->endpoint, &work);
	enum prewarm_skip why;
	struct view v;

	if (!look_at_key(e, p, key, x->now, x->at, o, false, &v))
		return work + v.work;
	work += v.work;
	if (v.wanted)
		*vec_push(&p->wanted) = (struct peak_key){key, v.c.tag};
	if (k->at_peaks & KEY_PEAK_MARK)
		return work;
	why = reason_of(e, p, &v);
	if (why != PREWARM_SKIPS) {
		skip(e, p, key, why, fx);
		return work;
	}
	v.c.peak = (uint32_t)x->peak;
	k->at_peaks |= KEY_PEAK_MARK;
	add_candidate(e, place_loads_from(key_place(e, k)), &v.c);
	return work;
}

/* Room for all that may be wanted: a list that grows is copied, in one go. */
static void make_room(struct engine *e, struct peak *p)
{
	size_t n = p->pattern ? e->key_name.live : e->place.v[p->place]->ep.keys.n;

	vec_reserve(&p->wanted, n);
}

/* The keys of the peak, from x->next on; false: there are more. */
static bool collect(struct engine *e, struct peak *p, bool all, struct effects *fx)
{
	struct planning *x = &e->planning;
	unsigned work = 0;

	if (!x->next)
		make_room(e, p);
	if (!p->pattern) {
		struct endpoint *ep = &e->place.v[p->place]->ep;

		while (x->next < ep->keys.n && (all || work < SLICE_WORK))
			work += collect_key(e, p, ep->keys.v[x->next++], fx);
		return x->next >= ep->keys.n;
	}
	for (; x->next < e->key_name.n_ids && (all || work < SLICE_WORK); x->next++) {
		work += PASS_WORK;
		if (intern_is_live(&e->key_name, (uint32_t)x->next) &&
		    peak_covers(e, p, (uint32_t)x->next))
			work += collect_key(e, p, (uint32_t)x->next, fx);
	}
	return x->next >= e->key_name.n_ids;
}

uint32_t planning_hole(struct engine *e, uint32_t place, uint32_t hole)
{
	struct planning *x = &e->planning;
	struct endpoint *ep = &e->place.v[place]->ep;
	const struct peak *p;
	uint32_t moved;

	if (!x->group.n || x->stage != PLAN_COLLECT)
		return hole;
	p = x->group.v[x->peak];
	if (p->pattern || p->place != place || hole >= x->next || x->next >= ep->keys.n)
		return hole;
	moved = ep->keys.v[--x->next];
	ep->keys.v[hole] = moved;
	e->key.v[moved].place = hole;
	return (uint32_t)x->next;
}

/* -- Planning ---------------------------------------------------------------------------------- */

/*
 * Loads per second that a plan may take from an origin: of candidates with `first` requests in the
 * first seconds after the peak, whose loads take load_s on average.
 */
static double rate_of(const struct engine *e, uint32_t origin, double first, double load_s)
{
	const struct origin_state *o = &e->origin.v[origin];
	double rate = fmax(OF_PEAK * first / FIRST_S, OF_BUDGET * o->policy.rate);

	rate = fmin(rate, BUDGET_SHARE * o->policy.rate);
	/* what it can bear at once, of which background loads get half, limits the rate, too */
	if (load_s > 0)
		rate = fmin(rate, fmax(1, 0.5 * o->budget.window) / load_s * BUDGET_SHARE);
	return fmax(rate, 1e-3);
}

static enum prewarm_skip skip_of(enum prewarm_verdict v)
{
	switch (v) {
	case PREWARM_UNLIKELY:
		return SKIP_UNLIKELY;
	case PREWARM_VOLATILE:
		return SKIP_VOLATILE;
	case PREWARM_LIMIT:
		return SKIP_LIMIT;
	case PREWARM_ROOM:
	case PREWARM_LOAD:
		break;
	}
	return SKIP_ROOM;
}

/* Takes over what was decided for the i-th candidate of an origin, in the order of loading. */
static void take(struct engine *e, size_t i, struct effects *fx)
{
	struct planning *x = &e->planning;
	const struct prewarm_candidate *c = prewarm_nth(x->plan, i);
	struct peak *own = x->group.v[c->peak];
	uint8_t *at_peaks = &e->key.v[c->key].at_peaks;
	struct instant at = c->at;

	if (!peak_key_is(e, c->key, c->tag) || !(*at_peaks & KEY_PEAK_MARK))
		return; /* forgotten since, or taken already after it had been */
	*at_peaks &= (uint8_t)~KEY_PEAK_MARK;
	if (c->verdict != PREWARM_LOAD) {
		skip(e, own, c->key, skip_of(c->verdict), fx);
		return;
	}
	x->max_keys.v[c->peak]--; /* it is the peak's, not one of each origin */
	own->report.planned++;
	if (own == x->hand && e->by_hand.v[0].dry_run) {
		say(e, c->key, "", fx);
		return;
	}
	if (own == x->hand) /* the peak is now: as fast as the budget allows */
		at = instant_add(x->now, span_from_s((double)i / x->rate));
	*vec_push(&own->item) = (struct plan_item){.key = {c->key, c->tag},
	                                           .p = own == x->hand ? 1 : (float)c->p,
	                                           .life_s = (float)c->life_s,
	                                           .started = INSTANT_NONE};
	heap_set(&own->todo, (uint32_t)own->item.n - 1, at);
}

void planning_end(struct engine *e)
{
	struct planning *x = &e->planning;

	prewarm_free(&x->plan);
	for (size_t i = 0; i < x->set.n; i++) {
		while (x->set.v[i].block.n)
			free(x->set.v[i].block.v[--x->set.v[i].block.n]);
		vec_free(&x->set.v[i].block);
	}
	vec_free(&x->set);
	vec_free(&x->group);
	vec_free(&x->max_keys);
	peak_release(&x->hand);
	*x = (struct planning){0};
}

void planning_begin(struct engine *e, struct instant now, struct instant at, enum peak_phase phase)
{
	struct planning *x = &e->planning;
	bool is_automatic = false;

	x->stage = PLAN_COLLECT;
	x->at = at;
	x->now = now;
	x->phase = phase;
	forget_outlooks(x);
	for (size_t i = 0; i < x->group.n; i++) {
		struct peak *y = x->group.v[i];

		y->report =
		        (struct peak_report){.source = y->source, .at = at, .began = INSTANT_NONE};
		*vec_push(&x->max_keys) = y->max_keys;
		x->lead_s = fmax(x->lead_s, span_s(y->lead));
		is_automatic |= !y->lead.us;
	}
	if (is_automatic) /* a short lead of another peak is no limit to it */
		x->lead_s = 0;
}

/* The peaks go on by the plan. */
static void go_on(struct engine *e)
{
	struct planning *x = &e->planning;
	struct instant begin = instant_add(x->at, (struct span){-NOTHING_YET.us});
	bool now_or_never;

	for (size_t i = 0; i < x->group.n; i++) {
		struct instant first = heap_next(&x->group.v[i]->todo);

		begin = instant_min(begin, instant_add(first, (struct span){-REPLAN.us}));
	}
	/* no time for a second look */
	now_or_never = x->phase == PEAK_PLANNED || begin.us <= x->now.us;
	for (size_t i = 0; i < x->group.n; i++) {
		struct peak *y = x->group.v[i];

		y->phase = now_or_never ? PEAK_PLANNED : PEAK_ROUGH;
		y->begin = begin;
		if (!now_or_never || y->watch_only)
			course_stop_loading(y);
		if (y->watch_only) {
			y->report.skipped[SKIP_UNPROVEN] = y->report.planned;
			y->report.planned = 0;
		}
	}
	course_count_watching(e);
}

/* Who asked for it by hand is told, and what is to be loaded goes beside what still is. */
static void hand_over(struct engine *e, struct effects *fx)
{
	struct planning *x = &e->planning;
	struct by_hand h = e->by_hand.v[0];
	struct effect *f = serve_reply(e, fx, h.ticket, KEY_NONE, REPLY_OK, OUTCOME_MISS);

	f->reply.count = x->hand->report.planned;
	if (!h.dry_run) {
		*vec_push(&e->manual) = x->hand;
		x->hand = NULL;
	}
	e->by_hand.n--;
	memmove(e->by_hand.v, e->by_hand.v + 1, e->by_hand.n * sizeof(*e->by_hand.v));
}

/* Sets the plan for the next origin going; without one the plan is made. */
static void sort_next(struct engine *e, struct effects *fx)
{
	struct planning *x = &e->planning;
	struct candidates *c;
	struct prewarm_terms t;

	while (x->origin < x->set.n && !x->set.v[x->origin].n)
		x->origin++;
	if (x->origin >= x->set.n) {
		if (x->hand)
			hand_over(e, fx);
		else
			go_on(e);
		x->group.n = 0;
		x->stage = PLAN_FREE;
		return;
	}
	c = &x->set.v[x->origin];
	x->rate = x->hand ? fmax(BUDGET_SHARE * e->origin.v[x->origin].policy.rate, 0.1)
	                  : rate_of(e, x->origin, c->first, c->load_s / (double)c->n);
	t = (struct prewarm_terms){.now = x->now,
	                           .peak = instant_max(x->at, x->now),
	                           .rate = x->rate,
	                           .watch_s = WATCH_S,
	                           .lead_s = x->lead_s,
	                           .max_keys = x->max_keys.v,
	                           .n_peaks = x->group.n};
	x->plan = prewarm_begin(&t, c->block.v, c->n);
	x->stage = PLAN_SORT;
	x->next = 0;
}

/* Room for all that the planner gives a peak, for the same reason. */
static void make_room_for_loads(struct planning *x)
{
	for (size_t i = 0; i < x->group.n; i++) {
		struct peak *p = x->group.v[i];
		size_t loads = prewarm_loads(x->plan), most = x->max_keys.v[i];
		size_t n = p->item.n + (loads < most ? loads : most);

		vec_reserve(&p->item, n);
		heap_reserve(&p->todo, n);
	}
}

/* Takes some of the origin's candidates, or only their marks away; true: that was all of them. */
static bool take_some(struct engine *e, bool all, struct effects *fx)
{
	struct planning *x = &e->planning;
	const struct candidates *c = &x->set.v[x->origin];
	size_t n = c->n;

	for (size_t i = 0; x->next < n && (all || i < TAKE_SLICE); i++, x->next++) {
		if (x->stage == PLAN_TAKE)
			take(e, x->next, fx);
		else
			e->key.v[c->block.v[x->next / PREWARM_BLOCK][x->next % PREWARM_BLOCK].key]
			        .at_peaks &= (uint8_t)~KEY_PEAK_MARK;
	}
	return x->next >= n;
}

/* Gives some of the memory back; true: that was all. */
static bool free_some(struct planning *x, bool all)
{
	for (size_t n = 0; x->set.n;) {
		struct candidates *c = &x->set.v[x->set.n - 1];

		for (; c->block.n && (all || n < FREE_SLICE); n++)
			free(c->block.v[--c->block.n]);
		if (c->block.n)
			return false;
		vec_free(&c->block);
		x->set.n--;
	}
	return true;
}

void planning_slice(struct engine *e, bool all, struct effects *fx)
{
	struct planning *x = &e->planning;

	switch (x->stage) {
	case PLAN_NONE:
		return;
	case PLAN_COLLECT:
		if (!collect(e, x->group.v[x->peak], all, fx))
			return;
		x->next = 0;
		forget_outlooks(x);
		if (++x->peak == x->group.n)
			sort_next(e, fx);
		return;
	case PLAN_SORT:
		if (prewarm_step(x->plan, all ? SIZE_MAX : SORT_SLICE)) {
			x->stage = PLAN_TAKE;
			make_room_for_loads(x);
		}
		return;
	case PLAN_TAKE:
		if (!take_some(e, all, fx))
			return;
		prewarm_free(&x->plan);
		x->origin++;
		sort_next(e, fx);
		return;
	case PLAN_CLEAR:
		for (; x->origin < x->set.n; x->origin++, x->next = 0)
			if (!take_some(e, all, fx))
				return;
		x->stage = PLAN_FREE;
		return;
	case PLAN_FREE:
		if (free_some(x, all))
			planning_end(e);
		return;
	}
}

/* Its marks are taken away in slices, too. */
void planning_drop(struct engine *e, const struct peak *p)
{
	struct planning *x = &e->planning;
	bool about = false;

	forget_outlooks(x); /* one may be by what p knows */
	for (size_t i = 0; i < x->group.n; i++)
		about |= x->group.v[i] == p;
	if (!about)
		return;
	prewarm_free(&x->plan);
	x->group.n = 0;
	x->stage = PLAN_CLEAR;
	x->origin = 0;
	x->next = 0;
}

/* -- By hand ----------------------------------------------------------------------------------- */

void planning_by_hand(struct engine *e, struct instant now, const struct input *in,
                      struct effects *fx)
{
	if ((double)e->by_hand.n >= e->limits.max_waiters) {
		serve_reply(e, fx, in->ticket, KEY_NONE, REPLY_BUSY, OUTCOME_MISS);
		return;
	}
	*vec_push(&e->by_hand) = (struct by_hand){
	        .ticket = in->ticket,
	        .pattern = mem_dup(in->prewarm.pattern.p, in->prewarm.pattern.n),
	        .max_keys = in->prewarm.max_keys ? in->prewarm.max_keys : PEAK_MAX_KEYS,
	        .dry_run = in->prewarm.dry_run};
	e->peak_due = instant_min(e->peak_due, now);
}

bool planning_next_by_hand(struct engine *e, struct instant now)
{
	struct planning *x = &e->planning;
	struct by_hand *h = e->by_hand.v;
	struct peak *p;

	if (!e->by_hand.n || x->stage != PLAN_NONE)
		return false;
	p = x->hand = mem_calloc(1, sizeof(*p));
	p->name = text_copy("prewarm");
	p->pattern = h->pattern;
	h->pattern = NULL;
	p->source = PREFETCH_MANUAL;
	p->max_keys = h->max_keys;
	p->place = INTERN_NONE;
	p->begin = now;
	*vec_push(&x->group) = p;
	planning_begin(e, now, now, PEAK_PLANNED);
	return true;
}

/* -- Why --------------------------------------------------------------------------------------- */

/* The next peak that is about the key; NULL: none. */
static const struct peak *next_about(struct engine *e, struct instant now, uint32_t key)
{
	const struct peak *p = NULL;

	for (size_t i = 0; i < e->peak.n; i++) {
		const struct peak *x = e->peak.v[i];

		if (peak_at(x).us > now.us && peak_at(x).us != INT64_MAX &&
		    (!p || peak_at(x).us < peak_at(p).us) && peak_covers(e, x, key) &&
		    !(x->source == PREFETCH_LEARNED && learned_superseded(e, x)))
			p = x;
	}
	return p;
}

bool peak_why(struct engine *e, struct instant now, uint32_t key, struct why_peak *ret)
{
	const struct peak *p = next_about(e, now, key);
	size_t max_keys = 1;
	struct outlook o;
	struct view v;

	if (!p)
		return false;
	*ret = (struct why_peak){
	        .known = true, .name = bytes_str(p->name), .source = p->source, .at = peak_at(p)};
	look_at_place(e, p, e->key.v[key].endpoint, now, ret->at, &o);
	look_at_key(e, p, key, now, ret->at, &o, true, &v);
	ret->skip = v.skip;
	ret->p_wanted = v.p;
	ret->worth = prewarm_worth(v.c.miss_value);
	if (ret->skip == PREWARM_SKIPS) {
		uint32_t origin = place_loads_from(key_place(e, &e->key.v[key]));
		struct prewarm_terms t = {
		        .now = now,
		        .peak = ret->at,
		        .rate = rate_of(e, origin, prewarm_p(&v.c, FIRST_S), v.c.load_s),
		        .watch_s = WATCH_S,
		        .max_keys = &max_keys,
		        .n_peaks = 1};

		prewarm_plan(&t, &v.c, 1);
		ret->loaded = v.c.verdict == PREWARM_LOAD;
		ret->skip = skip_of(v.c.verdict);
		if (ret->loaded && v.fresh) {
			ret->loaded = false;
			ret->skip = SKIP_FRESH;
		} else if (ret->loaded && p->source == PREFETCH_LEARNED && !p->learned.proven) {
			ret->loaded = false;
			ret->skip = SKIP_UNPROVEN;
		}
	}
	ret->p_useful = v.c.trust * p_within(&v.c, v.c.life_s);
	return true;
}
