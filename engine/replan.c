/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/state.h"

#include "base/hash.h"

#include <math.h>

/*
 * A plan is made again on the next hit once it is this old and so large a part of the life it gave
 * has passed: the price and the forecast have moved, and a long TTL that was given at a low price
 * must not stand until it ends.
 */
static const struct span RECHECK = {300 * 1000000LL};
static const int64_t RECHECK_PARTS = 16;

/* While the loads after a peak are levelled a hit plans anew so often, at the most. */
static const struct span LEVELLED_EVERY = {1000000};

/* So many load times of a key before its value expires a refresh of it starts. */
static const double LOAD_SLACK = 1.5;

static enum ttl_reason reason_of(enum walk_end end)
{
	switch (end) {
	case WALK_MIN:
		return TTL_MIN;
	case WALK_MAX:
		return TTL_MAX_AGE;
	case WALK_CAP:
		return TTL_KEY_CAP;
	case WALK_PLANNED:
		break;
	}
	return TTL_PLANNED;
}

/*
 * Load time against that of its endpoint: what sparing a user this miss is worth. Against the
 * median: a few loads that hang must not make all others look cheap.
 */
static double relative_load(const struct endpoint *ep, const struct key *k)
{
	double usual = loghist_quantile(&ep->load_us, 0.5);

	return usual > 0 && k->load_us > 0 ? fmin(fmax(k->load_us / usual, 0.1), 10) : 1;
}

/* What equal marginal value asks for, whatever the mode is and the app wants. */
static struct walk_answer plan(struct engine *e, struct instant now, uint32_t key,
                               struct instant loaded, double price_factor)
{
	struct key *k = &e->key.v[key];
	struct place *p = key_place(e, k);
	const struct policy *y = &p->policy;
	struct plan_terms terms = {
	        .zone = p->zone,
	        .price = price_now(key_price(e, k)) * price_factor,
	        .cost = levels_cost(e, now, k->endpoint),
	        .min_ttl_s = y->min_ttl,
	        .max_age_s = y->max_age,
	        .max_stale_key = policy_max_stale_key(y),
	        .stale_after_s = y->stale_after,
	};

	if (place_loads_from(p) != ORIGIN_NONE && !engine_paused(e, now, PAUSE_PREFETCH))
		terms.miss_value = y->latency_value * relative_load(&p->ep, k);
	return plan_ttl(&p->ep, k, loaded, now, &terms);
}

double replan_advice(struct engine *e, struct instant now, uint32_t key)
{
	struct key *k = &e->key.v[key];

	return plan(e, now, key, instant_is_set(k->loaded) ? k->loaded : now, 1).ttl_s;
}

struct walk_answer replan_answer(struct engine *e, struct instant now, uint32_t key,
                                 struct instant loaded, double price_factor,
                                 enum ttl_reason *ret_reason)
{
	struct key *k = &e->key.v[key];
	struct place *p = key_place(e, k);
	const struct policy *y = &p->policy;
	bool loads = place_loads_from(p) != ORIGIN_NONE;
	bool learn = y->ttl == TTL_LEARN && !(k->flags & KEY_HELD_OUT);
	struct walk_answer a;
	double given = (k->flags & KEY_CLIENT_TTL) ? k->client_ttl : y->static_ttl;
	enum ttl_reason reason = (k->flags & KEY_CLIENT_TTL) ? TTL_CLIENT : TTL_STATIC;

	if (learn && place_is_pushed(p)) {
		if (ret_reason)
			*ret_reason = TTL_PUSHED;
		return (struct walk_answer){.ttl_s = y->max_age};
	}
	a = plan(e, now, key, loaded, price_factor);
	if (learn) {
		/* Where nobody but the app can look again, its own TTL is the longest. */
		if (!loads && (k->flags & KEY_CLIENT_TTL) && a.ttl_s > k->client_ttl)
			a.ttl_s = k->client_ttl;
		else
			reason = reason_of(a.end);
	} else {
		a.ttl_s = fmin(given, y->max_age);
		a.refresh_ahead = false;
		if (k->flags & KEY_HELD_OUT)
			reason = TTL_STATIC;
	}
	if (ret_reason)
		*ret_reason = reason;
	return a;
}

/*
 * The factor of a TTL: the same for every plan of one load, so that planning again does not draw
 * again.
 */
static double jitter(uint32_t key, struct instant loaded, double share)
{
	uint64_t h = hash_u64(hash_u64((uint64_t)loaded.us) + key);

	return 1 + share * (2 * ((double)(h >> 11) * 0x1p-53) - 1);
}

/* When the refresh-ahead of a key has to start so that it has ended by `soft`. */
static struct instant refresh_at(const struct key *k, struct instant now)
{
	struct instant at =
	        instant_add(k->soft, (struct span){(int64_t)(-LOAD_SLACK * k->load_us)});

	return instant_max(at, now);
}

void replan(struct engine *e, struct instant now, uint32_t key)
{
	struct key *k = &e->key.v[key];
	struct place *p = key_place(e, k);
	enum ttl_reason reason;
	struct walk_answer a;
	struct instant oldest;

	if (!(k->flags & KEY_HELD) || (k->plain & KEY_PLAIN_EXACT))
		return;
	a = replan_answer(e, now, key, k->loaded,
	                  k->at_peaks & KEY_PEAK_READ ? REPLAN_PEAK_PRICE : 1, &reason);
	oldest = instant_add(k->loaded, span_from_s(p->policy.max_age));
	/*
	 * the app's own TTL is a promise: no jitter, and nothing beyond it where it is the longest
	 */
	if (reason != TTL_CLIENT)
		a.ttl_s *= jitter(key, k->loaded, p->policy.jitter);
	if ((k->flags & KEY_CLIENT_TTL) && place_loads_from(p) == ORIGIN_NONE)
		a.ttl_s = fmin(a.ttl_s, k->client_ttl);
	k->soft = instant_add(k->loaded, span_from_s(a.ttl_s));
	k->soft = instant_min(k->soft, oldest);
	k->hard = instant_min(instant_add(k->soft, span_from_s(p->policy.grace)), oldest);
	k->planned = now;
	k->reason = (uint8_t)reason;
	k->p_end = (float)a.p_stale;
	k->flags = (uint8_t)(a.refresh_ahead ? k->flags | KEY_AHEAD : k->flags & ~KEY_AHEAD);
	if (k->flags & KEY_AHEAD)
		heap_set(&e->refresh, key, refresh_at(k, now));
	else
		heap_cancel(&e->refresh, key);
	if (e->store && k->entry != STORE_NONE) {
		/* killed between the two it must not leave the long life without the mark */
		if (reason == TTL_PUSHED)
			store_set_pushed(e->store, k->entry, true);
		store_set_expiry(e->store, k->entry, k->soft, k->hard);
		if (reason != TTL_PUSHED)
			store_set_pushed(e->store, k->entry, false);
	}
}

static bool is_due(const struct key *k, struct instant now)
{
	int64_t age, life;

	if (!instant_is_set(k->planned))
		return true;
	age = now.us - k->planned.us;
	life = k->soft.us - k->planned.us;
	return age > RECHECK.us && age > life / RECHECK_PARTS;
}

/* Whether it has a TTL that follows from what a load costs. */
static bool is_priced(const struct place *p, const struct key *k)
{
	return p->policy.ttl == TTL_LEARN && !place_is_pushed(p) && !(k->flags & KEY_HELD_OUT) &&
	       !(k->plain & KEY_PLAIN_EXACT);
}

/*
 * After a peak what a load costs moves within seconds (levels.c): values end by what it costs when they
 * are asked for, not when they were read. One that is being loaded already is waited for.
 */
static bool is_levelled(struct engine *e, const struct key *k, struct instant now)
{
	return now.us - k->planned.us >= LEVELLED_EVERY.us && k->flight == KEY_NONE &&
	       !(k->flags & KEY_FAILED) && is_priced(key_place(e, k), k) &&
	       levels_cost(e, now, k->endpoint) != 1;
}

void replan_if_due(struct engine *e, struct instant now, uint32_t key)
{
	struct key *k = &e->key.v[key];

	if ((k->flags & KEY_HELD) && (is_due(k, now) || is_levelled(e, k, now)))
		replan(e, now, key);
}

void replan_timer(struct engine *e, struct instant now, uint32_t key, struct effects *fx)
{
	struct key *k = &e->key.v[key];
	double worth;

	if (!(k->flags & KEY_HELD) || !(k->flags & KEY_AHEAD) || k->flight != KEY_NONE ||
	    engine_paused(e, now, PAUSE_PREFETCH))
		return;
	/* what was worth refreshing when it was loaded may have gone out of fashion since */
	replan(e, now, key);
	if (!(k->flags & KEY_AHEAD))
		return;
	if (heap_due(&e->refresh, key).us > now.us)
		return;
	heap_cancel(&e->refresh, key);
	worth = prewarm_worth(key_place(e, k)->policy.latency_value);
	if (!prefetch_allowed(e, now, k->endpoint, PREFETCH_AHEAD, worth))
		return;
	if (load_start(e, now, key, LOAD_REFRESH, fx))
		prefetch_started(e, key, PREFETCH_AHEAD, worth);
	else
		e->stats.skipped_for_budget++;
}
