/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/state.h"

#include "base/hash.h"

#include <errno.h>
#include <math.h>

/* No hit is audited less or more often than this many times the configured share. */
static const double AUDIT_LEAST = 0.3, AUDIT_MOST = 4, AUDIT_MORE_GAIN = 0.001;

/* So many keys are looked at by a purge before others are served: half a millisecond. */
#define SWEEP_KEYS 1024u

struct effect *serve_reply(struct engine *e, struct effects *fx, uint64_t ticket, uint32_t key,
                           enum reply_status status, enum outcome outcome)
{
	struct effect *f;

	if (!ticket)
		return &e->unwanted;
	f = effect_add(fx, EFFECT_REPLY);
	f->ticket = ticket;
	if (key != KEY_NONE) {
		f->key = key_bytes(e, key);
		f->endpoint = intern_name(&e->place_name, e->key.v[key].endpoint);
	}
	f->reply.status = status;
	f->reply.outcome = outcome;
	f->reply.loaded = f->reply.soft = INSTANT_NONE;
	return f;
}

bool serve_is_whole(const struct engine *e, uint32_t key)
{
	uint32_t entry = e->key.v[key].entry;

	return !e->store || entry == STORE_NONE || store_whole(e->store, entry);
}

struct effect *serve_held(struct engine *e, struct effects *fx, uint64_t ticket, uint32_t key,
                          enum outcome outcome, bool whole)
{
	struct key *k = &e->key.v[key];
	struct effect *f = serve_reply(e, fx, ticket, key, REPLY_OK, outcome);

	f->reply.version = k->version;
	f->reply.loaded = k->loaded;
	f->reply.soft = k->soft;
	if (!whole) {
		f->reply.status = REPLY_ERROR;
		f->reply.error = bytes_str("the value was damaged in memory: ask again");
	} else if (e->store && k->entry != STORE_NONE) {
		f->reply.value = store_value(e->store, k->entry, &f->reply.packed);
	}
	return f;
}

void serve_check(struct engine *e, uint32_t key)
{
	if (serve_is_whole(e, key))
		return;
	e->stats.damaged++;
	serve_drop(e, key);
}

void serve_drop(struct engine *e, uint32_t key)
{
	struct key *k = &e->key.v[key];

	if (e->store && k->entry != STORE_NONE) {
		store_remove(e->store, k->entry);
		plain_unheld(e, k);
	}
	k->entry = STORE_NONE;
	if (k->flags & KEY_OURS)
		plain_touch(e, key);
	prefetch_outcome(e, key, false);
	plain_give_up(e, key);
	k->flags &= (uint8_t) ~(KEY_HELD | KEY_OURS | KEY_AHEAD | KEY_ABSENT | KEY_FAILED);
	heap_cancel(&e->refresh, key);
}

/* What the key lacked that a request for it had to wait. */
static enum survey_miss why_missed(const struct key *k, struct instant now)
{
	if ((k->flags & KEY_FAILED) && now.us < k->soft.us)
		return SURVEY_MISS_FAILED;
	if (!instant_is_set(k->loaded))
		return SURVEY_MISS_COLD;
	/*
	 * One that was evicted before its end, which has come since, would be no hit either; and
	 * one that is there all the same is loaded a little before its end.
	 */
	return now.us >= k->soft.us || (k->flags & KEY_OURS) ? SURVEY_MISS_EXPIRED
	                                                     : SURVEY_MISS_DROPPED;
}

void serve_count(struct engine *e, struct instant now, uint32_t key, enum outcome o, uint64_t count)
{
	struct key *k = &e->key.v[key];
	struct survey_counts *c = &key_place(e, k)->counts;

	switch (o) {
	case OUTCOME_HIT:
		e->stats.hits += count;
		if (k->flags & KEY_ABSENT)
			c->absent += count;
		else
			c->fresh += count;
		break;
	case OUTCOME_GRACE:
		e->stats.grace += count;
		c->grace += count;
		break;
	case OUTCOME_MISS:
		e->stats.misses += count;
		c->missed[why_missed(k, now)] += count;
		break;
	case OUTCOME_JOINED:
		e->stats.joined += count;
		c->joined += count;
		break;
	default:
		break;
	}
}

/* Adds to decayed counts, so that their ratios speak of about the last 10,000 requests. */
static void count_recent(struct endpoint *ep, double requests, double hits, double stale)
{
	if (ep->recent_requests > 10000) {
		ep->recent_requests *= 0.5;
		ep->recent_hits *= 0.5;
		ep->recent_stale *= 0.5;
	}
	ep->recent_requests += requests;
	ep->recent_hits += hits;
	ep->recent_stale += stale;
}

/* What the price of its class has to do with an answer for the key. */
static enum price_reach reach_of(struct engine *e, const struct key *k)
{
	if (key_place(e, k)->policy.ttl != TTL_LEARN)
		return PRICE_IDLE;
	return k->reason == TTL_MIN ? PRICE_BOUND : PRICE_REACHES;
}

/*
 * So many requests were answered alike with what is held at time `at`: by us or by a reader. Feeds the
 * freshness control with the probability that the answer was stale.
 */
static void answered(struct engine *e, struct instant now, struct instant at, uint32_t key,
                     double count, bool hit)
{
	struct key *k = &e->key.v[key];
	struct place *p = key_place(e, k);
	double stale = 0;

	if (hit)
		prefetch_outcome(e, key, true);
	if (hit && (k->flags & KEY_HELD) && !place_is_pushed(p)) {
		struct instant seen = instant_add(at, span_from_s(-p->policy.stale_after));

		stale = endpoint_p_stale(&p->ep, p->zone, k, seen);
		k->p_sum += (float)(count * stale);
		k->hits += (uint32_t)count;
	}
	stale = fmin(stale * p->ep.audited.factor, 1);
	if (!hit && k->flight != KEY_NONE && !e->flight.v[k->flight].lease)
		/* it will get what the load under way has read: that may be replaced by now, too */
		stale = change_p(
		        endpoint_predictive(&p->ep, k),
		        shape_mass(p->ep.shape, p->zone, e->flight.v[k->flight].started, at));
	price_request(key_price(e, k), now, stale, count, reach_of(e, k));
	p->ep.hits += hit ? (uint64_t)count : 0;
	count_recent(&p->ep, count, hit ? count : 0, count * stale);
	if (k->flags & KEY_HELD_OUT) {
		e->stats.held_out.requests += (uint64_t)count;
		e->stats.held_out.hits += hit ? (uint64_t)count : 0;
		e->stats.held_out.stale += stale * count;
	} else {
		e->stats.learned.requests += (uint64_t)count;
		e->stats.learned.hits += hit ? (uint64_t)count : 0;
		e->stats.learned.stale += stale * count;
	}
}

void serve_answered(struct engine *e, struct instant now, struct instant at, uint32_t key,
                    double hits, double misses)
{
	if (hits > 0)
		answered(e, now, at, key, hits, true);
	if (misses > 0)
		answered(e, now, at, key, misses, false);
	key_answered(&e->key.v[key], hits, misses);
}

/*
 * The share of hits to audit: for a given accuracy of the measured staleness, relative to the
 * objective, the fewer the more stale hits there may be.
 */
static double audit_share(struct engine *e, uint32_t key)
{
	static const double FULL_UP_TO = 0.02, LEAST = 0.1, PUSHED = 0.05;
	struct key *k = &e->key.v[key];

	/* all there is to find out is whether change events get lost */
	if (place_is_pushed(key_place(e, k)))
		return e->limits.audit_share * PUSHED;
	return e->limits.audit_share *
	       fmin(fmax(FULL_UP_TO / key_price(e, k)->objective, LEAST), 1);
}

/*
 * A random number in [0, 1) for this key at this instant: whatever else is loaded or not, the same
 * hits are checked. So two runs that differ in one decision stay comparable.
 */
static double audit_dice(const struct engine *e, uint32_t key, struct instant now)
{
	uint64_t h = hash_u64(hash_u64(e->key_name.seed ^ (uint64_t)now.us) + key);

	return (double)(h >> 11) * 0x1p-53;
}

/*
 * Checks a hit against the origin now and then: the unbiased measure of staleness. What is likelier
 * to be stale is checked more often, as the square root of its probability (for a given number of
 * audits that makes the estimate surest), and counts for less in proportion.
 */
void serve_maybe_audit(struct engine *e, struct instant now, uint32_t key, double count,
                       struct effects *fx)
{
	struct key *k = &e->key.v[key];
	struct place *p = key_place(e, k);
	struct class_state *c = &e->cls.v[p->class_id];
	double said, usual, more, share;

	if (k->flight != KEY_NONE || e->limits.audit_share <= 0 ||
	    engine_paused(e, now, PAUSE_PREFETCH))
		return;
	said = endpoint_p_stale(&p->ep, p->zone, k, now);
	usual = fmax(price_measured(key_price(e, k)).mean, 1e-6); /* NAN before any: then 1e-6 */
	more = fmin(fmax(sqrt(said / usual), AUDIT_LEAST), AUDIT_MOST);
	/* on average the configured share, whatever the probabilities are */
	c->audit_more += AUDIT_MORE_GAIN * (more - c->audit_more);
	more /= fmax(c->audit_more, AUDIT_LEAST);
	share = audit_share(e, key) * more * count;
	if (audit_dice(e, key, now) < share && load_start(e, now, key, LOAD_AUDIT, fx)) {
		e->flight.v[k->flight].audit_weight = 1 / more;
		e->flight.v[k->flight].audit_said = said;
	}
}

/* The old value while its origin fails or its load takes time, if it may still be served. */
static bool in_grace(const struct key *k, struct instant now)
{
	return (k->flags & KEY_HELD) && now.us < k->hard.us;
}

static void miss(struct engine *e, struct instant now, const struct input *in, uint32_t key,
                 struct effects *fx)
{
	struct key *k = &e->key.v[key];
	bool lease = in->get.mode == GET_LEASE;

	serve_count(e, now, key, OUTCOME_MISS, 1);
	if (in->get.mode == GET_PEEK) {
		serve_reply(e, fx, in->ticket, key, REPLY_ABSENT, OUTCOME_MISS);
		return;
	}
	if (lease) {
		struct effect *f;
		uint64_t token = load_lease(e, now, key);

		f = serve_reply(e, fx, in->ticket, key, REPLY_LEASE, OUTCOME_MISS);
		f->reply.lease = token;
		return;
	}
	if (place_loads_from(key_place(e, k)) == ORIGIN_NONE) {
		serve_reply(e, fx, in->ticket, key, REPLY_ABSENT, OUTCOME_MISS);
		return;
	}
	if ((k->flags & KEY_FAILED) && now.us < k->soft.us) {
		/* in->ticket may be 0: then nobody reads it */
		serve_reply(e, fx, in->ticket, key, REPLY_ERROR, OUTCOME_MISS)->reply.error =
		        bytes_str(e->last_error_key == key ? e->last_error
		                                           : "its load failed a moment ago");
		return;
	}
	load_start(e, now, key, LOAD_DEMAND, fx);
	load_wait(e, key, in->ticket, true, false, fx);
}

void serve_get(struct engine *e, struct instant now, const struct input *in, struct effects *fx)
{
	uint32_t key = keyring_key(e, now, in->endpoint, in->key, fx);
	struct effect *f;
	struct place *p;
	struct key *k;

	e->stats.requests++;
	if (key == KEY_NONE) {
		serve_reply(e, fx, in->ticket, KEY_NONE, REPLY_TOO_BIG, OUTCOME_MISS);
		return;
	}
	k = &e->key.v[key];
	p = key_place(e, k);
	if (endpoint_request(&p->ep, p->zone, k, now, 1))
		jump_found(e, now, k->endpoint, fx);
	course_asked(e, now, key, 1);
	evict_asked(e, key, 1, k->flags & KEY_OURS);
	replan_if_due(e, now, key);
	/* what is held from here on is whole */
	serve_check(e, key);
	if ((k->flags & KEY_ABSENT) && now.us < k->soft.us) {
		serve_count(e, now, key, OUTCOME_HIT, 1);
		serve_answered(e, now, now, key, 0, 1);
		serve_reply(e, fx, in->ticket, key, REPLY_ABSENT, OUTCOME_HIT);
	} else if ((k->flags & KEY_OURS) && now.us < k->soft.us) {
		serve_count(e, now, key, OUTCOME_HIT, 1);
		serve_answered(e, now, now, key, 1, 0);
		serve_held(e, fx, in->ticket, key, OUTCOME_HIT, true);
		serve_maybe_audit(e, now, key, 1, fx);
	} else if ((k->flags & KEY_OURS) && in_grace(k, now)) {
		serve_count(e, now, key, OUTCOME_GRACE, 1);
		serve_answered(e, now, now, key, 1, 0);
		f = serve_held(e, fx, in->ticket, key, OUTCOME_GRACE, true);
		if (k->flight != KEY_NONE || in->get.mode == GET_PEEK)
			return;
		/* whom nobody can load it for loads; all others get the old value meanwhile */
		if (in->get.mode == GET_LEASE && in->ticket && place_loads_from(p) == ORIGIN_NONE)
			f->reply.lease = load_lease(e, now, key);
		else
			load_start(e, now, key, LOAD_REFRESH, fx);
	} else if (in->get.mode == GET_LOAD && load_supersede(e, now, key, fx)) {
		/* the load under way has read what was replaced before this request came */
		serve_count(e, now, key, OUTCOME_MISS, 1);
		serve_answered(e, now, now, key, 0, 1);
		load_wait(e, key, in->ticket, true, false, fx);
	} else if (k->flight != KEY_NONE && in->get.mode != GET_PEEK) {
		serve_count(e, now, key, OUTCOME_JOINED, 1);
		serve_answered(e, now, now, key, 0, 1);
		load_wait(e, key, in->ticket, false, in->get.mode == GET_LEASE, fx);
	} else {
		serve_answered(e, now, now, key, 0, 1);
		miss(e, now, in, key, fx);
	}
}

/* A load or set that happened in the app's own cache: evidence of change, cost and size. */
static void learn_from_event(struct engine *e, struct instant now, struct instant at, uint32_t key,
                             const struct input *in, struct effects *fx)
{
	struct key *k = &e->key.v[key];
	struct fetched f = {
	        .version = in->event.version,
	        .read = instant_add(at, (struct span){-in->event.load.us}),
	        .took = in->event.load,
	        .no_value = true,
	        .may_count = true,
	        .modified = INSTANT_NONE,
	};

	/* of what is held the store knows how many bytes it takes */
	if (in->event.value_bytes && k->entry == STORE_NONE)
		k->bytes = in->event.value_bytes > UINT32_MAX ? UINT32_MAX
		                                              : (uint32_t)in->event.value_bytes;
	if (f.version && !(k->flags & KEY_OURS) &&
	    (!instant_is_set(k->loaded) || f.read.us > k->loaded.us))
		load_accept(e, now, key, &f, fx);
}

/* So many requests of the key were answered elsewhere: by a reader of the segment, or the app's own cache. */
static void requests_elsewhere(struct engine *e, struct instant now, struct instant at,
                               uint32_t key, const struct input *in, struct effects *fx)
{
	struct key *k = &e->key.v[key];
	struct place *p = key_place(e, k);
	enum outcome o = in->event.outcome;
	double count = in->event.count ? in->event.count : 1;
	bool hit = o == OUTCOME_HIT || o == OUTCOME_GRACE;

	e->stats.requests += (uint64_t)count;
	serve_count(e, at, key, o, (uint64_t)count);
	if (endpoint_request(&p->ep, p->zone, k, at, count))
		jump_found(e, now, k->endpoint, fx);
	course_asked(e, at, key, count);
	evict_asked(e, key, count, hit);
	serve_answered(e, now, at, key, hit ? count : 0, hit ? 0 : count);
	if (o == OUTCOME_MISS)
		learn_from_event(e, now, at, key, in, fx);
	replan_if_due(e, now, key);
	if (!hit || !(k->flags & KEY_OURS))
		return;
	serve_maybe_audit(e, now, key, count, fx);
	/* a reader served grace: one load for all who do */
	if (now.us >= k->soft.us && k->flight == KEY_NONE)
		load_start(e, now, key, LOAD_REFRESH, fx);
}

void serve_event(struct engine *e, struct instant now, const struct input *in, struct effects *fx)
{
	struct instant at = instant_is_set(in->event.at) ? in->event.at : now;
	enum outcome o = in->event.outcome;
	uint32_t key;

	if (at.us > now.us + (int64_t)(e->limits.event_future * 1e6) ||
	    at.us < now.us - (int64_t)(e->limits.event_past * 1e6)) {
		e->stats.events_refused++;
		serve_reply(e, fx, in->ticket, KEY_NONE, REPLY_ERROR, o)->reply.error =
		        bytes_str("time: outside the accepted window");
		return;
	}
	at = instant_min(at, now);
	key = keyring_key(e, now, in->endpoint, in->key, fx);
	if (key == KEY_NONE) {
		e->stats.events_refused++;
		serve_reply(e, fx, in->ticket, KEY_NONE, REPLY_TOO_BIG, o);
		return;
	}
	e->stats.events++;
	if (o == OUTCOME_CHANGED) {
		struct input c = {.kind = INPUT_CHANGED, .endpoint = in->endpoint, .key = in->key};

		c.changed.version = in->event.version;
		serve_changed(e, now, &c, fx);
	} else if (o == OUTCOME_SET) {
		learn_from_event(e, now, at, key, in, fx);
	} else {
		requests_elsewhere(e, now, at, key, in, fx);
	}
	serve_reply(e, fx, in->ticket, key, REPLY_OK, o);
}

/*
 * Whoever loads without a lease may have read the old value when the change was told, or another one
 * read the new.
 */
static bool read_before_change(const struct key *k, const struct fetched *f)
{
	bool held = k->flags & KEY_HELD;

	if (held && k->version == f->version)
		return false;
	return (instant_is_set(k->last_changed) && f->read.us < k->last_changed.us) ||
	       (held && f->read.us < k->loaded.us);
}

/* What a set brings, if it came then: a value cannot have been read later. */
static struct fetched fetched_by(const struct input *in, struct instant now, struct instant came)
{
	struct instant read = instant_is_set(in->set.read)
	                              ? instant_min(in->set.read, now)
	                              : instant_add(now, (struct span){-in->set.load.us});

	return (struct fetched){
	        .value = in->set.value,
	        .room = in->set.room,
	        .packed = in->set.packed,
	        .version = in->set.version
	                           ? in->set.version
	                           : large_version(in->set.value, in->set.room, in->set.packed),
	        .read = instant_min(read, came),
	        .took = in->set.load,
	        .client_ttl = in->set.ttl,
	        .may_count = in->set.version != 0,
	        .modified = INSTANT_NONE,
	};
}

/*
 * Whether the lease that a set comes with still holds; else it has been answered. A change since the
 * lease was given voids it: what was read may be the old value. One that holds says when the value was
 * read, and how long that took, if the set does not.
 */
static bool lease_holds(struct engine *e, struct instant now, struct instant came, uint32_t key,
                        const struct input *in, struct fetched *f, struct effects *fx)
{
	uint32_t flight = load_find(e, in->set.lease);

	if (flight != FLIGHT_NONE && (!e->flight.v[flight].lease || e->flight.v[flight].key != key))
		flight =
		        FLIGHT_NONE; /* another key's, or the number of a load: no lease of this key */
	if (flight == FLIGHT_NONE || e->flight.v[flight].voided) {
		serve_reply(e, fx, in->ticket, key, REPLY_LEASE_LOST, OUTCOME_SET);
		if (flight != FLIGHT_NONE)
			load_timeout(e, now, flight, fx);
		return false;
	}
	if (!instant_is_set(in->set.read))
		f->read = e->flight.v[flight].started;
	if (f->took.us <= 0)
		f->took = instant_diff(came, e->flight.v[flight].started);
	return true;
}

/* Who waits for a load or lease that was under way when a value was set gets that; kept: it was. */
static void answer_waiting(struct engine *e, struct instant now, uint32_t flight, bool kept,
                           struct span took, struct effects *fx)
{
	uint32_t key = e->flight.v[flight].key;

	if (e->flight.v[flight].lease) {
		load_finish(e, now, flight, kept, took, SPAN_ZERO, fx);
		return;
	}
	/* what the load brings may be older */
	load_void(e, key);
	if (kept && now.us < e->key.v[key].soft.us)
		load_answer(e, flight, fx);
}

void serve_set(struct engine *e, struct instant now, const struct input *in, struct effects *fx)
{
	uint32_t key = keyring_key(e, now, in->endpoint, in->key, fx), flight;
	struct instant came = now;
	bool overtaken = large_arrival_end(e, in->set.arrival, &came);
	struct fetched f;
	struct effect *x;
	struct key *k;
	int rc;

	if (key == KEY_NONE || (double)in->set.value.n > e->limits.max_value_bytes) {
		serve_reply(e, fx, in->ticket, key, REPLY_TOO_BIG, OUTCOME_SET);
		return;
	}
	f = fetched_by(in, now, came);
	k = &e->key.v[key];
	flight = k->flight;
	if (in->set.lease && !lease_holds(e, now, came, key, in, &f, fx))
		return;
	if (overtaken) {
		e->stats.sets++;
		x = serve_reply(e, fx, in->ticket, key, REPLY_OK, OUTCOME_SET);
		x->reply.version = f.version;
		return;
	}
	if (!in->set.lease && read_before_change(k, &f)) {
		serve_reply(e, fx, in->ticket, key, REPLY_LEASE_LOST, OUTCOME_SET);
		return;
	}
	e->stats.sets++;
	large_overtake(e, key, in->set.arrival ? in->set.arrival : UINT64_MAX);
	rc = load_accept(e, now, key, &f, fx);
	if (flight != KEY_NONE)
		answer_waiting(e, now, flight, rc == 0, f.took, fx);
	x = serve_reply(e, fx, in->ticket, key,
	                rc == 0        ? now.us < k->hard.us ? REPLY_OK : REPLY_ABSENT
	                : rc == -E2BIG ? REPLY_TOO_BIG
	                               : REPLY_BUSY,
	                OUTCOME_SET);
	if (rc)
		return;
	x->reply.version = k->version;
	x->reply.loaded = k->loaded;
	x->reply.soft = k->soft;
}

void serve_delete(struct engine *e, struct instant now, const struct input *in, struct effects *fx)
{
	uint32_t key = intern_find(&e->key_name, in->key);
	bool held;

	(void)now;
	if (key == INTERN_NONE) {
		serve_reply(e, fx, in->ticket, KEY_NONE, REPLY_ABSENT, OUTCOME_MISS);
		return;
	}
	plain_settle(e, key);
	held = e->key.v[key].flags & KEY_OURS;
	load_void(e, key);
	large_overtake(e, key, UINT64_MAX);
	serve_drop(e, key);
	serve_reply(e, fx, in->ticket, key, held ? REPLY_OK : REPLY_ABSENT, OUTCOME_MISS);
}

/* Whether a change event loads the new value, or leaves that to the next request. */
static bool loads_at_once(struct engine *e, struct place *p, struct key *k, struct instant now)
{
	double requests, changes;

	if (p->policy.ttl != TTL_LEARN || p->policy.push == PUSH_LAZY)
		return false;
	if (p->policy.push == PUSH_EAGER)
		return true;
	/* where the next request is likely to come before the next change */
	requests = endpoint_key_rate(&p->ep, p->zone, k, now);
	changes = change_estimate(endpoint_posterior(&p->ep, k)).mean;
	return p->policy.latency_value > 0 && requests * p->policy.latency_value > changes &&
	       prefetch_allowed(e, now, k->endpoint, PREFETCH_EVENT,
	                        prewarm_worth(p->policy.latency_value));
}

void serve_changed(struct engine *e, struct instant now, const struct input *in, struct effects *fx)
{
	uint32_t key = intern_find(&e->key_name, in->key);
	struct place *p;
	struct effect *f;
	struct key *k;
	bool news;

	e->stats.changed++;
	if (key == INTERN_NONE) {
		/* nobody has asked for it: there is nothing to be stale */
		serve_reply(e, fx, in->ticket, KEY_NONE, REPLY_OK, OUTCOME_CHANGED);
		return;
	}
	k = &e->key.v[key];
	p = key_place(e, k);
	news = !(k->flags & KEY_HELD) || !in->changed.version || in->changed.version != k->version;
	/* of what is on its way nobody knows yet which version it is */
	large_overtake(e, key, UINT64_MAX);
	if (news) {
		/* whether or not an older value is held: what it has read is old */
		load_void(e, key);
		k->last_changed = now;
		/* "no such thing" is such an answer, too, and the error may have passed */
		k->flags &= (uint8_t) ~(KEY_ABSENT | KEY_FAILED);
	}
	if (news && (k->flags & KEY_HELD)) {
		if (!engine_paused(e, now, PAUSE_LEARNING))
			endpoint_event(&p->ep, p->zone, k, k->loaded, now);
		place_announced(p, true);
		serve_drop(e, key);
		/*
		 * this change is learned: the next load is not to be compared with what was before
		 * it
		 */
		k->version = 0;
		k->p_sum = 0;
		k->hits = 0;
		/*
		 * a load that is under way was voided: it starts again by itself if someone waits
		 */
		if (k->flight == KEY_NONE && loads_at_once(e, p, k, now) &&
		    !engine_paused(e, now, PAUSE_PREFETCH) &&
		    load_start(e, now, key, LOAD_EVENT, fx))
			prefetch_started(e, key, PREFETCH_EVENT,
			                 prewarm_worth(p->policy.latency_value));
	}
	f = effect_add(fx, EFFECT_NOTICE);
	f->key = key_bytes(e, key);
	f->endpoint = intern_name(&e->place_name, k->endpoint);
	f->notice.what = NOTICE_CHANGED;
	f->notice.version = in->changed.version;
	serve_reply(e, fx, in->ticket, key, REPLY_OK, OUTCOME_CHANGED);
}

static void sweep_key(struct engine *e, struct sweep *s, uint32_t key)
{
	struct key *k = &e->key.v[key];

	s->gone += (k->flags & KEY_HELD) && !plain_is_flushed(e, k);
	/* what a load has read before may be what is purged */
	load_void(e, key);
	large_overtake(e, key, UINT64_MAX);
	serve_drop(e, key);
}

/* Looks at so many keys; true when there are more. */
static bool sweep_step(struct engine *e, struct sweep *s, uint32_t max)
{
	for (; s->next < s->end && max; s->next++, max--)
		if (intern_is_live(&e->key_name, s->next) &&
		    (s->place == INTERN_NONE || e->key.v[s->next].endpoint == s->place))
			sweep_key(e, s, s->next);
	return s->next < s->end;
}

/* An endpoint of few keys is purged at once, however many keys there are of others. */
static bool sweep_few(struct engine *e, struct sweep *s)
{
	const struct endpoint *ep = &e->place.v[s->place]->ep;

	if (ep->keys.n > SWEEP_KEYS)
		return false;
	for (size_t i = 0; i < ep->keys.n; i++)
		sweep_key(e, s, ep->keys.v[i]);
	return true;
}

static void sweep_reply(struct engine *e, const struct sweep *s, struct effects *fx)
{
	struct effect *f = serve_reply(e, fx, s->ticket, KEY_NONE, REPLY_OK, OUTCOME_MISS);

	f->reply.count = s->gone;
}

void serve_sweep(struct engine *e, struct instant now, bool all, struct effects *fx)
{
	while (e->sweep.n) {
		bool more = sweep_step(e, &e->sweep.v[0], all ? UINT32_MAX : SWEEP_KEYS);

		if (!more) {
			sweep_reply(e, &e->sweep.v[0], fx);
			memmove(e->sweep.v, e->sweep.v + 1, --e->sweep.n * sizeof(*e->sweep.v));
		}
		e->sweep_due = now;
		if (!all)
			return;
	}
}

void serve_purge(struct engine *e, struct instant now, const struct input *in, struct effects *fx)
{
	struct sweep s = {.ticket = in->ticket, .place = INTERN_NONE, .end = e->key_name.n_ids};

	if (in->purge.what == PURGE_KEY) {
		serve_delete(e, now, in, fx);
		return;
	}
	if (in->purge.what == PURGE_ENDPOINT) {
		s.place = intern_find(&e->place_name, in->endpoint);
		if (s.place == INTERN_NONE) {
			serve_reply(e, fx, in->ticket, KEY_NONE, REPLY_ABSENT, OUTCOME_MISS);
			return;
		}
		if (sweep_few(e, &s)) {
			sweep_reply(e, &s, fx);
			return;
		}
	}
	/*
	 * Who purged wants to know that it is gone, readers of the segment included: the answer
	 * comes when all keys have been looked at. Others are served meanwhile.
	 */
	if (!e->sweep.n && !sweep_step(e, &s, SWEEP_KEYS)) {
		sweep_reply(e, &s, fx);
	} else if ((double)e->sweep.n >= e->limits.max_waiters) {
		serve_reply(e, fx, in->ticket, KEY_NONE, REPLY_BUSY, OUTCOME_MISS);
	} else {
		*vec_push(&e->sweep) = s;
		e->sweep_due = now;
	}
}
