/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A peak goes round: idle, planned roughly half an hour before (to know when the loads have to begin),
 * planned for good at that time, watched in the first minutes after it, idle. Peaks of one instant are
 * planned together, origin by origin, so that together they keep to its budget.
 *
 * Nobody is served while a plan is made, so it is made in slices of some 0.2 ms, and so is the
 * count at the peak of what it finds warm. A peak that changes meanwhile drops the plan: it is made
 * anew.
 */
#include "engine/state.h"

#include "analyzer/personal.h"
#include "analyzer/template.h"
#include "base/bug.h"
#include "base/hash.h"

#include <math.h>
#include <stdlib.h>

/*
 * Which keys a peak wants is first looked at so long before it, or at the schedule's lead if that is
 * longer.
 */
static const struct span PLAN_AHEAD = {30 * 60 * 1000000LL};

/* A key that is asked for within this time after the peak was wanted at it. */
static const struct span WATCH = {5 * 60 * 1000000LL};

/* The plan for good is made so long before its first load; or the peak, when there is nothing to do. */
static const struct span REPLAN = {1000000}, NOTHING_YET = {60 * 1000000LL};

/* A load that found no room is tried again so much later, and one that may have failed. */
static const struct span TRY_AGAIN = {1000000}, CHECK = {5 * 1000000LL};

/* A schedule that has been watched so often, as decayed, knows its keys by itself. */
static const double OWN_PEAKS = 4;

/* What was asked for by hand is tried for so long. */
static const struct span MANUAL_FOR = {600 * 1000000LL};

/* Peaks of which something was kept, and that nobody has named since. */
static const size_t MAX_UNNAMED = 512;

/* A key counts as wanted when it is more likely than this to be asked for, and has a chance from: */
static const double WANTED = 0.5, CHANCE = 0.05;

/* The share of an origin's budget for a plan: refreshes and audits go on beside it. */
static const double BUDGET_SHARE = 0.5;

/*
 * Prewarming is not to be a peak itself: it keeps to this share of the loads that requests would cause
 * in the first seconds after the peak, or of the budget if that is more.
 */
static const double OF_PEAK = 0.7, FIRST_S = 10, OF_BUDGET = 0.02;

/* Looks at a key, at a candidate that is sorted, at one that is wanted: so many make a slice. */
static const size_t COLLECT_SLICE = 16, SORT_SLICE = 2048, TAKE_SLICE = 512, COUNT_SLICE = 2048;

/* A slice of a plan over a wide pattern passes over so many keys that it does not cover. */
static const size_t PASS_SLICE = 2048;

/* How long before the peak the second look at a key's lifetime is taken: for the wear of leads. */
static const double LEAD_MIN_S = 1, LEAD_MAX_S = 60;

/* -- The list --------------------------------------------------------------------------------- */

static uint32_t id_of(struct bytes name)
{
	return (uint32_t)(hash_bytes(name, 0) >> 32);
}

struct peak *peak_by_id(struct engine *e, uint32_t id)
{
	for (size_t i = 0; i < e->peak.n; i++)
		if (e->peak.v[i]->id == id)
			return e->peak.v[i];
	return NULL;
}

struct peak *peak_find(struct engine *e, struct bytes name)
{
	struct peak *p = peak_by_id(e, id_of(name));

	return p && p->name && bytes_equal(bytes_str(p->name), name) ? p : NULL;
}

static bool room_for_unnamed(const struct engine *e)
{
	size_t n = 0;

	for (size_t i = 0; i < e->peak.n; i++)
		n += !e->peak.v[i]->name;
	return n < MAX_UNNAMED;
}

struct peak *peak_unnamed(struct engine *e, uint32_t id)
{
	struct peak *p;

	if (!room_for_unnamed(e))
		return NULL;
	p = mem_calloc(1, sizeof(*p));
	*vec_push(&e->peak) = p;
	p->id = id;
	p->source = PREFETCH_SCHEDULE;
	p->place = INTERN_NONE;
	return p;
}

/* What is known of a peak of that name from an earlier life is taken over. */
struct peak *peak_new(struct engine *e, struct bytes name)
{
	uint32_t id = id_of(name);
	struct peak *p = peak_by_id(e, id);

	if (!p || p->name) {
		p = mem_calloc(1, sizeof(*p));
		*vec_push(&e->peak) = p;
	}
	p->id = id;
	p->name = mem_dup(name.p, name.n);
	p->max_keys = PEAK_MAX_KEYS;
	p->place = INTERN_NONE;
	return p;
}

static void end_plan(struct engine *e);

void peak_release_all(struct engine *e)
{
	end_plan(e);
	for (size_t i = 0; i < e->peak.n; i++)
		peak_release(&e->peak.v[i]);
	peak_release(&e->manual);
}

void peak_release(struct peak **pp)
{
	struct peak *p = *pp;

	if (!p)
		return;
	free(p->name);
	free(p->pattern);
	vec_free(&p->at);
	vec_free(&p->item);
	vec_free(&p->wanted);
	heap_release(&p->todo);
	audience_release(&p->audience);
	free(p);
	*pp = NULL;
}

static bool wants_requests(const struct peak *p)
{
	return p->phase == PEAK_WATCHED || (p->source == PREFETCH_LEARNED && p->phase != PEAK_IDLE);
}

static void count_watching(struct engine *e)
{
	e->n_watching = 0;
	for (size_t i = 0; i < e->peak.n; i++)
		e->n_watching += wants_requests(e->peak.v[i]);
}

/* Its marks are taken away in slices, too. */
void peak_drop_plan(struct engine *e, const struct peak *p)
{
	struct planning *x = &e->planning;
	bool about = false;

	for (size_t i = 0; i < x->group.n; i++)
		about |= x->group.v[i] == p;
	if (!about || x->stage == PLAN_CLEAR)
		return;
	prewarm_free(&x->plan);
	x->stage = PLAN_CLEAR;
	x->origin = 0;
	x->next = 0;
}

void peak_remove(struct engine *e, struct peak *p)
{
	peak_drop_plan(e, p);
	for (size_t i = 0; i < e->peak.n; i++)
		if (e->peak.v[i] == p) {
			e->peak.v[i] = e->peak.v[--e->peak.n];
			peak_release(&p);
			break;
		}
	count_watching(e);
	e->peak_due = INSTANT_NONE;
}

static void stop_loading(struct peak *p)
{
	heap_release(&p->todo);
	p->todo = (struct heap){0};
}

static void drop_items(struct peak *p)
{
	p->item.n = 0;
	p->wanted.n = 0;
	p->counting = false;
	stop_loading(p);
}

void peak_seek(struct engine *e, struct peak *p, struct instant now)
{
	peak_drop_plan(e, p);
	p->next = 0;
	while (p->next < p->at.n && p->at.v[p->next].us <= now.us)
		p->next++;
	p->phase = PEAK_IDLE;
	drop_items(p);
	count_watching(e);
	e->peak_due = INSTANT_NONE; /* to be found out */
}

/* A schedule may come back: each reload of the configuration sets all of them anew. */
void peak_retire(struct engine *e, struct peak *p)
{
	if (!p->audience.list.n || !room_for_unnamed(e)) {
		peak_remove(e, p);
		return;
	}
	free(p->name);
	free(p->pattern);
	p->name = p->pattern = NULL;
	p->at.n = 0;
	peak_seek(e, p, INSTANT_NONE);
}

static struct instant peak_at(const struct peak *p)
{
	return p->next < p->at.n ? p->at.v[p->next] : INSTANT_NEVER;
}

/* When the peak has something to do next, loads aside. */
static struct instant due(const struct peak *p)
{
	struct instant at = peak_at(p);

	if (at.us == INT64_MAX)
		return at;
	switch (p->phase) {
	case PEAK_IDLE:
		return instant_add(at, (struct span){p->lead.us > PLAN_AHEAD.us ? -p->lead.us
		                                                                : -PLAN_AHEAD.us});
	case PEAK_ROUGH:
		return instant_min(p->begin, at);
	case PEAK_PLANNED:
		return at;
	case PEAK_WATCHED:
		break;
	}
	return p->window;
}

/* When its watch ends: before the next one comes. */
static struct instant window_of(const struct peak *p)
{
	struct instant end = instant_add(peak_at(p), WATCH);

	/* whether the demand has risen shows at the end of the quarter */
	if (p->source == PREFETCH_LEARNED || p->source == PREFETCH_FORECAST)
		return instant_add(p->learned.quarter, span_from_s(SHAPE_BIN_S));
	if (p->next + 1 < p->at.n)
		end = instant_min(end, p->at.v[p->next + 1]);
	return end;
}

bool peak_goes_on(struct engine *e, struct peak *p, struct instant now, const struct instant *at,
                  size_t n)
{
	struct instant running;
	size_t i = 0;

	if (p->phase == PEAK_IDLE || p->next >= p->at.n)
		return false;
	running = p->at.v[p->next];
	while (i < n && at[i].us <= (p->phase == PEAK_WATCHED ? running : now).us)
		i++;
	/* what is watched goes on being watched, whether the list still has it or not */
	if (p->phase != PEAK_WATCHED && (i == n || at[i++].us != running.us))
		return false;
	p->at.n = p->next = 0;
	*vec_push(&p->at) = running;
	for (; i < n; i++)
		*vec_push(&p->at) = at[i];
	if (p->phase == PEAK_WATCHED)
		p->window = window_of(p);
	e->peak_due = INSTANT_NONE;
	return true;
}

struct instant peak_next(const struct engine *e)
{
	return e->peak_due;
}

static void find_next(struct engine *e, struct instant now)
{
	struct instant first = e->manual ? heap_next(&e->manual->todo) : INSTANT_NEVER;

	for (size_t i = 0; i < e->peak.n; i++) {
		const struct peak *p = e->peak.v[i];

		/* what waits for a plan is looked at again when that is made */
		if (!e->planning.group.n || p->phase >= PEAK_PLANNED)
			first = instant_min(first, due(p));
		if (p->phase == PEAK_PLANNED)
			first = instant_min(first, heap_next(&p->todo));
		if (p->counting)
			first = now;
	}
	e->peak_due = e->planning.group.n ? now : first;
}

/* -- What it is about -------------------------------------------------------------------------- */

bool peak_covers(const struct engine *e, const struct peak *p, uint32_t key)
{
	uint32_t place = e->key.v[key].endpoint;

	if (!p->pattern)
		return place == p->place;
	return template_match(bytes_str(p->pattern), key_bytes(e, key)) ||
	       bytes_equal(bytes_str(p->pattern), intern_name(&e->place_name, place));
}

static unsigned weekday_of(const struct zone *z, struct instant t)
{
	/* 1 January 1970 was a Thursday */
	return (unsigned)(((int64_t)floor(zone_local_s(z, t) / 86400) % 7 + 10) % 7);
}

/*
 * Requests per second for the key that the forecast of its endpoint expects after the peak. The
 * profile of the week says so; of late there were fewer where what is forecast from them is less.
 */
static double forecast_rate(const struct place *place, const struct key *k, struct instant now,
                            struct instant at)
{
	const struct demand *d = &place->ep.demand;
	double clock =
	        shape_mass(d->shape, place->zone, at, instant_add(at, WATCH)) / span_s(WATCH);
	double profile = d->mean_n > 0 ? d->mean / SHAPE_BIN_S * clock : 0, of_profile = 1;

	if (profile > 0)
		of_profile = fmin(demand_at(d, place->zone, at).hi80_per_s / profile, 1);
	return endpoint_key_rate(&place->ep, place->zone, k, now) * clock * of_profile;
}

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

/* What is known of the key's first request after the peak. */
static void first_request(struct engine *e, const struct peak *p, uint32_t key, struct instant now,
                          struct instant at, struct prewarm_candidate *c)
{
	struct key *k = &e->key.v[key];
	struct place *place = key_place(e, k);

	audience_rate(audience_of(e, p, k->endpoint, at), key, weekday_of(place->zone, at),
	              forecast_rate(place, k, now, at), span_s(WATCH), &c->a, &c->b);
}

static double miss_value(const struct place *p)
{
	return fmax(p->policy.peak_value, p->policy.latency_value);
}

/* How long a value read at t would live. */
static double life_at(struct engine *e, struct instant now, uint32_t key, struct instant t)
{
	return replan_answer(e, now, key, t, REPLAN_PEAK_PRICE, NULL).ttl_s;
}

/*
 * Fills in what is known of a key about the peak. False when it has no chance of being asked for, and
 * *ret_skip is set when something other than the plan says that it is not loaded.
 */
static bool candidate(struct engine *e, const struct peak *p, uint32_t key, struct instant now,
                      struct instant at, struct prewarm_candidate *c, enum prewarm_skip *ret_skip)
{
	struct key *k = &e->key.v[key];
	struct place *place = key_place(e, k);
	double before, lead, rate;
	uint32_t origin = place_loads_from(place);

	*ret_skip = PREWARM_SKIPS;
	*c = (struct prewarm_candidate){.key = key, .trust = 1, .at = INSTANT_NEVER};
	first_request(e, p, key, now, at, c);
	if (p->source != PREFETCH_MANUAL && prewarm_p(c, span_s(WATCH)) < CHANCE)
		return false;
	c->miss_value = miss_value(place);
	c->load_s = k->load_us * 1e-6;
	rate = change_estimate(endpoint_posterior(&place->ep, k)).mean;
	before = fmin(60, fmax(span_s(instant_diff(at, now)), 1));
	c->changes_per_s = rate *
	                   shape_mass(place->ep.shape, place->zone,
	                              instant_add(at, span_from_s(-before)), at) /
	                   before;
	c->life_s = life_at(e, now, key, at);
	lead = fmin(fmax(c->life_s / 2, LEAD_MIN_S), LEAD_MAX_S);
	c->wear = fmax(
	        0, (c->life_s + lead - life_at(e, now, key, instant_add(at, span_from_s(-lead)))) /
	                   lead);
	if (place_is_pushed(place)) {
		/* an event ends its life, whatever the plan says */
		double after = rate * shape_at(place->ep.shape, place->zone, at);

		if (after > 0)
			c->life_s = fmin(c->life_s, 1 / after);
		c->wear = after > 0 ? fmin(c->changes_per_s / after, 1) : 0;
	}
	if (place->prefetched)
		c->trust = guard_trust(&place->prefetched[p->source].guard);
	if (origin == ORIGIN_NONE || !(e->origin.v[origin].policy.rate > 0))
		*ret_skip = SKIP_ORIGIN;
	else if (place->policy.prewarm == PREWARM_NEVER)
		*ret_skip = SKIP_FORBIDDEN;
	else if (place->policy.prewarm == PREWARM_AUTO && personal_name(key_bytes(e, key)))
		*ret_skip = SKIP_PERSONAL;
	else if (engine_paused(e, now, PAUSE_PREFETCH))
		*ret_skip = SKIP_PAUSED;
	return true;
}

/*
 * Would loading it gain less than a load is worth, since what is held lives past the peak already?
 */
static bool fresh_enough(struct engine *e, uint32_t key, struct instant at,
                         const struct prewarm_candidate *c)
{
	const struct key *k = &e->key.v[key];
	double rest;

	if (!(k->flags & KEY_OURS) || k->soft.us <= at.us)
		return false;
	rest = span_s(instant_diff(k->soft, at));
	return prewarm_p(c, fmin(fmax(c->life_s, rest), span_s(WATCH))) -
	               prewarm_p(c, fmin(rest, span_s(WATCH))) <
	       prewarm_worth(c->miss_value);
}

/* -- Planning ---------------------------------------------------------------------------------- */

/* Is it likely to be asked for, and could it be there? */
static bool is_wanted(struct engine *e, uint32_t key, const struct prewarm_candidate *c)
{
	const struct place *place = key_place(e, &e->key.v[key]);

	return place_loads_from(place) != ORIGIN_NONE && place->policy.prewarm != PREWARM_NEVER &&
	       prewarm_p(c, span_s(WATCH)) >= WANTED &&
	       (place->policy.prewarm != PREWARM_AUTO || !personal_name(key_bytes(e, key)));
}

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

static void collect_key(struct engine *e, struct peak *p, uint32_t key)
{
	struct planning *x = &e->planning;
	struct key *k = &e->key.v[key];
	struct prewarm_candidate c;
	enum prewarm_skip skip;

	if (!candidate(e, p, key, x->now, x->at, &c, &skip))
		return;
	if (is_wanted(e, key, &c)) {
		k->at_peaks |= KEY_PEAK_KNOWN;
		*vec_push(&p->wanted) = key;
	}
	if (k->at_peaks & KEY_PEAK_MARK)
		return;
	if (skip == PREWARM_SKIPS && fresh_enough(e, key, x->at, &c))
		skip = SKIP_FRESH;
	if (skip == PREWARM_SKIPS && !prefetch_allowed(e, x->now, k->endpoint, p->source,
	                                               prewarm_worth(c.miss_value)))
		skip = SKIP_WASTEFUL;
	if (skip != PREWARM_SKIPS) {
		p->report.skipped[skip]++;
		return;
	}
	c.peak = (uint32_t)x->peak;
	k->at_peaks |= KEY_PEAK_MARK | KEY_PEAK_KNOWN;
	add_candidate(e, place_loads_from(key_place(e, k)), &c);
}

/* The keys of the peak, from x->next on; false: there are more. */
static bool collect(struct engine *e, struct peak *p, bool all)
{
	struct planning *x = &e->planning;
	size_t looks = 0, passes = 0;

	if (!p->pattern) {
		struct endpoint *ep = &e->place.v[p->place]->ep;

		for (; x->next < ep->keys.n && (all || looks < COLLECT_SLICE); looks++)
			collect_key(e, p, ep->keys.v[x->next++]);
		return x->next >= ep->keys.n;
	}
	for (; x->next < e->key_name.n_ids &&
	       (all || (looks < COLLECT_SLICE && passes < PASS_SLICE));
	     x->next++, passes++)
		if (intern_is_live(&e->key_name, (uint32_t)x->next) &&
		    peak_covers(e, p, (uint32_t)x->next)) {
			collect_key(e, p, (uint32_t)x->next);
			looks++;
		}
	return x->next >= e->key_name.n_ids;
}

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

/* Takes over what was decided for one of the candidates. */
static void take(struct engine *e, const struct prewarm_candidate *c)
{
	struct planning *x = &e->planning;
	struct peak *own = x->group.v[c->peak];
	uint8_t *at_peaks = &e->key.v[c->key].at_peaks;

	if (!(*at_peaks & KEY_PEAK_MARK))
		return; /* forgotten since */
	*at_peaks &= (uint8_t)~KEY_PEAK_MARK;
	if (c->verdict != PREWARM_LOAD) {
		own->report.skipped[skip_of(c->verdict)]++;
		return;
	}
	x->max_keys.v[c->peak]--; /* it is the peak's, not one of each origin */
	*vec_push(&own->item) = (struct plan_item){.key = c->key,
	                                           .p = (float)c->p,
	                                           .life_s = (float)c->life_s,
	                                           .started = INSTANT_NONE};
	heap_set(&own->todo, (uint32_t)own->item.n - 1, c->at);
	own->report.planned++;
}

static void end_plan(struct engine *e)
{
	struct planning *x = &e->planning;

	prewarm_free(&x->plan);
	for (size_t i = 0; i < x->set.n; i++) {
		for (size_t j = 0; j < x->set.v[i].block.n; j++)
			free(x->set.v[i].block.v[j]);
		vec_free(&x->set.v[i].block);
	}
	vec_free(&x->set);
	vec_free(&x->group);
	vec_free(&x->max_keys);
	*x = (struct planning){0};
}

/* Begins to plan for the peaks that are to be planned now for the same instant as p. */
static void plan_together(struct engine *e, struct instant now, struct peak *p,
                          enum peak_phase phase)
{
	struct planning *x = &e->planning;
	bool is_automatic = false;

	x->at = peak_at(p);
	x->now = now;
	x->phase = phase;
	for (size_t i = 0; i < e->peak.n; i++) {
		struct peak *y = e->peak.v[i];

		/* one with a longer lead has begun alone: it goes on with those that join it now */
		if (peak_at(y).us == x->at.us && y->phase < phase && due(y).us <= now.us)
			*vec_push(&x->group) = y;
	}
	for (size_t i = 0; i < x->group.n; i++) {
		struct peak *y = x->group.v[i];

		if (y->source == PREFETCH_LEARNED || y->source == PREFETCH_FORECAST)
			learned_prepare(e, y);
		drop_items(y);
		y->report = (struct peak_report){
		        .source = y->source, .at = x->at, .began = INSTANT_NONE};
		*vec_push(&x->max_keys) = y->max_keys;
		x->lead_s = fmax(x->lead_s, span_s(y->lead));
		is_automatic |= !y->lead.us;
	}
	if (is_automatic) /* a short lead of another peak is no limit to it */
		x->lead_s = 0;
}

/* The plan is made: the peaks go on by it. */
static void finish_plan(struct engine *e)
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
			stop_loading(y);
		if (y->watch_only) {
			y->report.skipped[SKIP_UNPROVEN] = y->report.planned;
			y->report.planned = 0;
		}
	}
	end_plan(e);
	count_watching(e);
}

/* Sets the plan for the next origin going; false: there is none. */
static bool sort_next(struct engine *e)
{
	struct planning *x = &e->planning;
	struct candidates *c;
	struct prewarm_terms t;

	while (x->origin < x->set.n && !x->set.v[x->origin].n)
		x->origin++;
	if (x->origin >= x->set.n)
		return false;
	c = &x->set.v[x->origin];
	t = (struct prewarm_terms){
	        .now = x->now,
	        .peak = instant_max(x->at, x->now),
	        .rate = rate_of(e, x->origin, c->first, c->load_s / (double)c->n),
	        .watch_s = span_s(WATCH),
	        .lead_s = x->lead_s,
	        .max_keys = x->max_keys.v,
	        .n_peaks = x->group.n};
	x->plan = prewarm_begin(&t, c->block.v, c->n);
	x->stage = PLAN_SORT;
	x->next = 0;
	return true;
}

/* Takes some of the origin's candidates, or only their marks away; true: that was all of them. */
static bool take_some(struct engine *e, bool all)
{
	struct planning *x = &e->planning;
	const struct candidates *c = &x->set.v[x->origin];
	size_t n = c->n;

	for (size_t i = 0; x->next < n && (all || i < TAKE_SLICE); i++, x->next++) {
		if (x->stage == PLAN_TAKE)
			take(e, prewarm_nth(x->plan, x->next));
		else
			e->key.v[c->block.v[x->next / PREWARM_BLOCK][x->next % PREWARM_BLOCK].key]
			        .at_peaks &= (uint8_t)~KEY_PEAK_MARK;
	}
	return x->next >= n;
}

/* A slice of the plan that is being made. */
static void plan_slice(struct engine *e, bool all)
{
	struct planning *x = &e->planning;

	switch (x->stage) {
	case PLAN_COLLECT:
		if (!collect(e, x->group.v[x->peak], all))
			return;
		x->next = 0;
		if (++x->peak < x->group.n)
			return;
		if (!sort_next(e))
			finish_plan(e);
		return;
	case PLAN_SORT:
		if (prewarm_step(x->plan, all ? SIZE_MAX : SORT_SLICE))
			x->stage = PLAN_TAKE;
		return;
	case PLAN_TAKE:
		if (!take_some(e, all))
			return;
		prewarm_free(&x->plan);
		x->origin++;
		if (!sort_next(e))
			finish_plan(e);
		return;
	case PLAN_CLEAR:
		while (x->origin < x->set.n) {
			if (!take_some(e, all))
				return;
			x->origin++;
			x->next = 0;
		}
		end_plan(e);
		return;
	}
}

/* -- Loading ----------------------------------------------------------------------------------- */

/* An item of a plan is due. Returns when to look at it again; NEVER: done with it. */
static struct instant load_item(struct engine *e, struct instant now, struct peak *p,
                                struct plan_item *x, struct instant until, struct effects *fx)
{
	struct key *k;

	if (x->key == KEY_NONE || x->state != ITEM_OPEN)
		return INSTANT_NEVER;
	k = &e->key.v[x->key];
	if (k->flight != KEY_NONE)
		return instant_add(now, TRY_AGAIN);
	if (instant_is_set(x->started)) {
		if (k->loaded.us >= x->started.us)
			return INSTANT_NEVER; /* it has come */
		p->report.failed++;
		x->started = INSTANT_NONE;
	}
	if (engine_paused(e, now, PAUSE_PREFETCH)) {
		x->state = ITEM_DROPPED;
		p->report.skipped[SKIP_PAUSED]++;
		p->report.planned--;
		return INSTANT_NEVER;
	}
	if (p->source != PREFETCH_MANUAL) {
		struct prewarm_candidate c;
		enum prewarm_skip skip;

		candidate(e, p, x->key, now, until, &c, &skip);
		/* somebody else has loaded it meanwhile, or it was kept longer than it seemed */
		if (fresh_enough(e, x->key, until, &c)) {
			x->state = ITEM_FRESH;
			p->report.skipped[SKIP_FRESH]++;
			p->report.planned--;
			return INSTANT_NEVER;
		}
	} else if ((k->flags & KEY_OURS) && now.us < k->soft.us) {
		return INSTANT_NEVER;
	}
	if (!load_start(e, now, x->key, LOAD_PREWARM, fx)) {
		e->stats.skipped_for_budget++;
		return instant_add(now, TRY_AGAIN);
	}
	prefetch_started(e, x->key, p->source, x->p);
	x->started = now;
	p->report.loads++;
	if (!instant_is_set(p->report.began))
		p->report.began = now;
	return instant_add(now, (struct span){CHECK.us + 2 * (int64_t)k->load_us});
}

static void load_due(struct engine *e, struct instant now, struct peak *p, struct instant until,
                     unsigned max_work, unsigned *done, struct effects *fx)
{
	uint32_t i;

	while ((!max_work || *done < max_work) && heap_pop(&p->todo, now, &i)) {
		struct instant again = load_item(e, now, p, &p->item.v[i], until, fx);

		if (again.us < until.us)
			heap_set(&p->todo, i, again);
		++*done;
	}
}

/* -- At the peak and after ---------------------------------------------------------------------- */

/* The peak has come. */
static void at_peak(struct engine *e, struct peak *p)
{
	p->phase = PEAK_WATCHED;
	p->window = window_of(p);
	stop_loading(p);
	audience_begin(&p->audience);
	count_watching(e);
	p->counting = !p->watch_only; /* else nothing was done about it */
	p->counted = 0;
}

/* How did it find the cache? Some of what there is to count; says so when that is all. */
static void count_slice(struct engine *e, struct peak *p, struct instant now, bool all,
                        struct effects *fx)
{
	size_t n = p->wanted.n + p->item.n;
	struct effect *f;

	for (size_t i = 0; p->counted < n && (all || i < COUNT_SLICE); i++) {
		size_t at = p->counted++;

		if (at < p->wanted.n) {
			const struct key *k = p->wanted.v[at] == KEY_NONE
			                              ? NULL
			                              : &e->key.v[p->wanted.v[at]];

			p->report.wanted++;
			p->report.warm += k && (k->flags & KEY_OURS) && now.us < k->soft.us;
		} else {
			const struct plan_item *x = &p->item.v[at - p->wanted.n];

			if (x->key == KEY_NONE || x->state != ITEM_OPEN)
				continue;
			p->report.late += !instant_is_set(x->started) ||
			                  e->key.v[x->key].loaded.us < x->started.us ||
			                  e->key.v[x->key].flight != KEY_NONE;
		}
	}
	if (p->counted < n)
		return;
	p->counting = false;
	f = effect_add(fx, EFFECT_NOTICE);
	f->notice.what = NOTICE_PEAK;
	f->notice.name = effect_copy(fx, bytes_str(p->name));
	if (!p->pattern)
		f->endpoint = intern_name(&e->place_name, p->place);
	f->notice.peak = p->report;
}

void peak_asked(struct engine *e, struct instant at, uint32_t key)
{
	for (size_t i = 0; i < e->peak.n; i++) {
		struct peak *p = e->peak.v[i];
		struct instant peak = peak_at(p);

		if (!wants_requests(p) || !peak_covers(e, p, key))
			continue;
		if (p->source == PREFETCH_LEARNED)
			learned_asked(p, at);
		if (p->phase != PEAK_WATCHED || at.us < peak.us ||
		    at.us >= instant_min(instant_add(peak, WATCH), p->window).us)
			continue;
		audience_asked(&p->audience, key, span_s(instant_diff(at, peak)));
		e->key.v[key].at_peaks |= KEY_PEAK_KNOWN;
	}
}

/* The first minutes are over. */
static void after_peak(struct engine *e, struct peak *p, struct instant now)
{
	struct instant at = peak_at(p);
	const struct zone *z = p->pattern ? keyring_zone(e, 0) : e->place.v[p->place]->zone;
	double window = fmin(span_s(instant_diff(p->window, at)), span_s(WATCH));

	if (p->source == PREFETCH_LEARNED || p->source == PREFETCH_FORECAST)
		learned_over(e, p, now);
	/* what was loaded for it and has ended unasked is known to be wasted now */
	for (size_t i = 0; i < p->item.n; i++) {
		uint32_t key = p->item.v[i].key;

		if (key != KEY_NONE && instant_is_set(p->item.v[i].started) &&
		    now.us >= e->key.v[key].soft.us)
			prefetch_outcome(e, key, false);
	}
	for (size_t i = 0; i < p->audience.list.n; i++)
		if (p->audience.list.v[i].delay_s >= 0 || p->audience.list.v[i].n > 0)
			e->key.v[p->audience.list.v[i].key].flags |= KEY_DIRTY;
	audience_end(&p->audience, weekday_of(z, at), window, p->max_keys);
	p->dirty = true;
	drop_items(p);
	p->next++;
	p->phase = PEAK_IDLE;
	if (p->source == PREFETCH_LEARNED)
		learned_seek(e, p, instant_max(now, at));
	count_watching(e);
}

/*
 * Nobody lived through it, since the machine slept or its clock was set: there is nothing to prepare,
 * and that nobody asked says nothing.
 */
static void miss(struct engine *e, struct peak *p, struct instant now)
{
	peak_drop_plan(e, p);
	drop_items(p);
	p->next++;
	p->phase = PEAK_IDLE;
	if (p->source == PREFETCH_LEARNED)
		learned_seek(e, p, now);
	count_watching(e);
}

/* What is due of the peak, short of making plans; false: it waits for one. */
static bool advance(struct engine *e, struct peak *p, struct instant now)
{
	if (p->phase != PEAK_WATCHED && instant_add(peak_at(p), WATCH).us <= now.us) {
		miss(e, p, now);
		return true;
	}
	switch (p->phase) {
	case PEAK_IDLE:
	case PEAK_ROUGH:
		if (e->planning.group.n)
			return false;
		plan_together(e, now, p, p->phase == PEAK_IDLE ? PEAK_ROUGH : PEAK_PLANNED);
		return false;
	case PEAK_PLANNED:
		at_peak(e, p);
		return !p->counting;
	case PEAK_WATCHED:
		if (p->counting)
			return false;
		after_peak(e, p, now);
		break;
	}
	return true;
}

/* One slice of what takes long, or all of it. */
static void take_turns(struct engine *e, struct instant now, bool all, struct effects *fx)
{
	bool more;

	do {
		more = false;
		for (size_t i = 0; i < e->peak.n; i++) {
			struct peak *p = e->peak.v[i];

			while (due(p).us <= now.us && advance(e, p, now))
				;
			if (p->counting) {
				count_slice(e, p, now, all, fx);
				more = true;
			}
		}
		if (e->planning.group.n) {
			plan_slice(e, all);
			more = true;
		}
	} while (all && more);
}

void peak_tick(struct engine *e, struct instant now, unsigned max_work, unsigned *done,
               struct effects *fx)
{
	if (e->peak_due.us > now.us)
		return;
	take_turns(e, now, !max_work, fx);
	/* a forecast one is of one time only */
	for (size_t i = e->peak.n; i-- > 0;)
		if (e->peak.v[i]->source == PREFETCH_FORECAST &&
		    peak_at(e->peak.v[i]).us == INT64_MAX)
			peak_remove(e, e->peak.v[i]);
	for (size_t i = 0; i < e->peak.n; i++)
		if (e->peak.v[i]->phase == PEAK_PLANNED)
			load_due(e, now, e->peak.v[i], peak_at(e->peak.v[i]), max_work, done, fx);
	if (e->manual)
		load_due(e, now, e->manual, instant_add(e->manual->begin, MANUAL_FOR), max_work,
		         done, fx);
	find_next(e, now);
}

void peak_forget_key(struct engine *e, uint32_t key)
{
	if (!(e->key.v[key].at_peaks & KEY_PEAK_KNOWN))
		return;
	for (size_t i = 0; i <= e->peak.n; i++) {
		struct peak *p = i < e->peak.n ? e->peak.v[i] : e->manual;

		if (!p)
			continue;
		audience_forget(&p->audience, key);
		for (size_t j = 0; j < p->item.n; j++)
			if (p->item.v[j].key == key)
				p->item.v[j].key = KEY_NONE;
		for (size_t j = 0; j < p->wanted.n; j++)
			if (p->wanted.v[j] == key)
				p->wanted.v[j] = KEY_NONE;
	}
}

bool peak_why(struct engine *e, struct instant now, uint32_t key, struct why_peak *ret)
{
	struct peak *p = NULL;
	struct prewarm_candidate c;
	size_t max_keys = 1;
	struct prewarm_terms t = {
	        .now = now, .watch_s = span_s(WATCH), .max_keys = &max_keys, .n_peaks = 1};

	for (size_t i = 0; i < e->peak.n; i++)
		if (peak_at(e->peak.v[i]).us > now.us && peak_at(e->peak.v[i]).us != INT64_MAX &&
		    (!p || peak_at(e->peak.v[i]).us < peak_at(p).us) &&
		    peak_covers(e, e->peak.v[i], key) &&
		    !(e->peak.v[i]->source == PREFETCH_LEARNED &&
		      learned_superseded(e, e->peak.v[i])))
			p = e->peak.v[i];
	if (!p)
		return false;
	*ret = (struct why_peak){
	        .known = true, .name = bytes_str(p->name), .source = p->source, .at = peak_at(p)};
	if (!candidate(e, p, key, now, ret->at, &c, &ret->skip)) {
		c.miss_value = miss_value(key_place(e, &e->key.v[key]));
		ret->skip = SKIP_UNLIKELY;
	}
	ret->p_wanted = prewarm_p(&c, span_s(WATCH));
	ret->worth = prewarm_worth(c.miss_value);
	if (ret->skip == PREWARM_SKIPS) {
		uint32_t origin = place_loads_from(key_place(e, &e->key.v[key]));

		t.peak = ret->at;
		t.rate = rate_of(e, origin, prewarm_p(&c, FIRST_S), c.load_s);
		prewarm_plan(&t, &c, 1);
		ret->loaded = c.verdict == PREWARM_LOAD;
		ret->skip = skip_of(c.verdict);
		if (ret->loaded && fresh_enough(e, key, ret->at, &c)) {
			ret->loaded = false;
			ret->skip = SKIP_FRESH;
		} else if (ret->loaded && p->source == PREFETCH_LEARNED && !p->learned.proven) {
			ret->loaded = false;
			ret->skip = SKIP_UNPROVEN;
		}
	}
	ret->p_useful = c.trust * prewarm_p(&c, fmin(c.life_s, span_s(WATCH)));
	return true;
}

/* -- By hand ----------------------------------------------------------------------------------- */

struct by_hand {
	VEC(struct prewarm_candidate) list;
	VEC(uint32_t) origin; /* of each */
};

/* One line of a dry run: what would be loaded, or why it would not. */
static void say(struct engine *e, const struct input *in, uint32_t key, const char *why,
                struct effects *fx)
{
	struct effect *f = serve_reply(e, fx, in->ticket, key, REPLY_OK, OUTCOME_MISS);

	/* one of a list; the last reply has the count */
	f->reply.count = UINT64_MAX;
	f->reply.error = bytes_str(why);
}

/* The peak is now: the most wanted first, as fast as the budget allows. */
void peak_by_hand(struct engine *e, struct instant now, const struct input *in, struct effects *fx)
{
	size_t max = in->prewarm.max_keys ? in->prewarm.max_keys : PEAK_MAX_KEYS, left = max,
	       planned = 0, said = 0;
	struct prewarm_candidate *some;
	struct by_hand all = {0};
	struct peak *p = e->manual;
	struct effect *f;

	if (!p) {
		p = e->manual = mem_calloc(1, sizeof(*p));
		p->name = mem_dup("prewarm", 7);
		p->source = PREFETCH_MANUAL;
	}
	free(p->pattern);
	p->pattern = mem_dup(in->prewarm.pattern.p, in->prewarm.pattern.n);
	for (uint32_t id = 0; id < e->key_name.n_ids; id++) {
		struct prewarm_candidate c;
		enum prewarm_skip skip;

		if (!intern_is_live(&e->key_name, id) || !peak_covers(e, p, id))
			continue;
		candidate(e, p, id, now, now, &c, &skip);
		if (skip == PREWARM_SKIPS && (e->key.v[id].flags & KEY_OURS) &&
		    now.us < e->key.v[id].soft.us)
			skip = SKIP_FRESH;
		if (skip != PREWARM_SKIPS) {
			if (in->prewarm.dry_run && said++ < max)
				say(e, in, id, prewarm_skip_name(skip), fx);
			continue;
		}
		c.miss_value = INFINITY; /* somebody wants them: whether it pays is not asked */
		c.trust = 1;
		*vec_push(&all.list) = c;
		*vec_push(&all.origin) = place_loads_from(key_place(e, &e->key.v[id]));
	}
	if (!in->prewarm.dry_run) {
		drop_items(p);
		p->report = (struct peak_report){.source = PREFETCH_MANUAL, .at = now};
		p->begin = now;
	}
	some = mem_calloc(all.list.n, sizeof(*some));
	for (uint32_t origin = 0; origin < e->origin.n; origin++) {
		struct prewarm_terms t = {.now = now,
		                          .peak = now,
		                          .watch_s = span_s(WATCH),
		                          .max_keys = &left,
		                          .n_peaks = 1};
		size_t m = 0, n;

		for (size_t i = 0; i < all.list.n; i++)
			if (all.origin.v[i] == origin)
				some[m++] = all.list.v[i];
		if (!m)
			continue;
		t.rate = fmax(BUDGET_SHARE * e->origin.v[origin].policy.rate, 0.1);
		n = prewarm_plan(&t, some, m);
		for (size_t i = 0; i < m; i++) {
			if (in->prewarm.dry_run) {
				if (i < n || said++ < max)
					say(e, in, some[i].key,
					    i < n ? ""
					          : prewarm_skip_name(skip_of(some[i].verdict)),
					    fx);
				continue;
			}
			if (i >= n)
				break;
			e->key.v[some[i].key].at_peaks |= KEY_PEAK_KNOWN;
			*vec_push(&p->item) = (struct plan_item){
			        .key = some[i].key, .p = 1, .started = INSTANT_NONE};
			heap_set(&p->todo, (uint32_t)p->item.n - 1,
			         instant_add(now, span_from_s((double)i / t.rate)));
		}
		planned += n;
		left -= n;
	}
	free(some);
	vec_free(&all.list);
	vec_free(&all.origin);
	e->peak_due = INSTANT_NONE;
	f = serve_reply(e, fx, in->ticket, KEY_NONE, REPLY_OK, OUTCOME_MISS);
	f->reply.count = planned;
}
