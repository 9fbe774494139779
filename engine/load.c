/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/state.h"

#include "base/bug.h"
#include "base/hash.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

/* A change that arrives while a load is under way makes it start again, this often at most. */
static const uint8_t MAX_RETRIES = 3;

/*
 * How many entries may make way for one new one. A large value among small ones needs many: in a store
 * without any gaps a tenth of all go before there is room for one in one piece.
 */
static const unsigned MAX_EVICTIONS = 20000, MAX_EVICTIONS_LARGE = 400000;

/* A value of so many bytes is large in that: its room is gathered, whatever lies there. */
static const size_t LARGE_BYTES = 1 << 16;

/* An error stands no longer than this, unless negative_ttl is longer. */
static const struct span ERROR_MAX = {60 * 1000000LL};

/* Room for the text of an error that we find ourselves. */
#define ERROR_BYTES 128

/* Whoever carries out a load has this long beyond the deadline to say that it failed. */
static const struct span DEADLINE_SLACK = {1000000};

uint64_t load_job(const struct engine *e, uint32_t flight)
{
	return (uint64_t)e->flight.v[flight].generation << 32 | flight;
}

uint32_t load_find(const struct engine *e, uint64_t job)
{
	uint32_t i = (uint32_t)job;

	if (i >= e->flight.n || e->flight.v[i].key == KEY_NONE || load_job(e, i) != job)
		return FLIGHT_NONE;
	return i;
}

static uint32_t new_flight(struct engine *e, struct instant now, uint32_t key)
{
	uint32_t i = e->free_flight;
	struct flight *f;

	if (i != FLIGHT_NONE) {
		e->free_flight = e->flight.v[i].next_free;
	} else {
		i = (uint32_t)e->flight.n;
		f = vec_push(&e->flight);
		f->generation = 0;
	}
	f = &e->flight.v[i];
	*f = (struct flight){
	        .key = key,
	        .generation = f->generation + 1,
	        .origin = ORIGIN_NONE,
	        .started = now,
	        .first_waiter = WAITER_NONE,
	        .last_waiter = WAITER_NONE,
	};
	e->n_flights++;
	e->key.v[key].flight = i;
	return i;
}

static enum budget_for budget_of(enum load_reason r)
{
	switch (r) {
	case LOAD_DEMAND:
		return BUDGET_MISS;
	case LOAD_EVENT:
		return BUDGET_EVENT;
	case LOAD_REFRESH:
		return BUDGET_REFRESH;
	case LOAD_PREWARM:
		return BUDGET_PREWARM;
	default:
		return BUDGET_AUDIT;
	}
}

static void send_load(struct engine *e, struct instant now, uint32_t flight, struct effects *fx)
{
	struct flight *f = &e->flight.v[flight];
	struct key *k = &e->key.v[f->key];
	struct place *p = key_place(e, k);
	struct span timeout = span_from_s(e->origin.v[f->origin].policy.timeout);
	struct effect *x = effect_add(fx, EFFECT_LOAD);

	f->started = now;
	f->voided = f->late = false;
	x->endpoint = intern_name(&e->place_name, k->endpoint);
	x->key = key_bytes(e, f->key);
	x->load.job = load_job(e, flight);
	x->load.origin = p->loader_origin != ORIGIN_NONE ? ORIGIN_NONE : p->origin;
	x->load.reason = f->reason;
	x->load.deadline = instant_add(now, timeout);
	x->load.have = (k->flags & KEY_OURS) != 0;
	x->load.version = k->version;
	/*
	 * an audit is to find out the truth, not what Last-Modified says: else one that stands
	 * still while the value changes would be believed for ever
	 */
	x->load.by_time = f->reason != LOAD_AUDIT && !witness_conceals(&p->ep.modified);
	heap_set(&e->deadline, flight, instant_add(x->load.deadline, DEADLINE_SLACK));
	level_load(&e->origin.v[f->origin].level, now);
	e->stats.loads[f->reason]++;
	p->counts.loads[f->reason]++;
	p->ep.loads++;
	if (k->flags & KEY_HELD_OUT)
		e->stats.held_out.loads++;
	else
		e->stats.learned.loads++;
}

bool load_start(struct engine *e, struct instant now, uint32_t key, enum load_reason reason,
                struct effects *fx)
{
	struct key *k = &e->key.v[key];
	uint32_t origin = place_loads_from(key_place(e, k)), i;

	BUG_ON(k->flight != KEY_NONE);
	if (origin == ORIGIN_NONE ||
	    !budget_start(&e->origin.v[origin].budget, now, budget_of(reason)))
		return false;
	i = new_flight(e, now, key);
	e->flight.v[i].origin = origin;
	e->flight.v[i].reason = reason;
	e->flight.v[i].budget = budget_of(reason);
	send_load(e, now, i, fx);
	return true;
}

bool load_supersede(struct engine *e, struct instant now, uint32_t key, struct effects *fx)
{
	struct key *k = &e->key.v[key];
	uint32_t old = k->flight;

	if (old == KEY_NONE || e->flight.v[old].lease || !e->flight.v[old].voided ||
	    e->flight.v[old].late)
		return false;
	k->flight = KEY_NONE;
	if (!load_start(e, now, key, LOAD_DEMAND, fx)) {
		k->flight = old;
		return false;
	}
	e->flight.v[old].stray = true;
	e->n_strays++;
	return true;
}

bool load_has_stray(const struct engine *e, uint32_t key)
{
	for (size_t i = 0; e->n_strays && i < e->flight.n; i++)
		if (e->flight.v[i].key == key && e->flight.v[i].stray)
			return true;
	return false;
}

uint64_t load_lease(struct engine *e, struct instant now, uint32_t key)
{
	uint32_t i = new_flight(e, now, key);

	e->flight.v[i].lease = true;
	heap_set(&e->deadline, i, instant_add(now, span_from_s(e->limits.lease_s)));
	return load_job(e, i);
}

void load_wait(struct engine *e, uint32_t key, uint64_t ticket, bool first, bool may_lease,
               struct effects *fx)
{
	uint32_t flight = e->key.v[key].flight, i = e->free_waiter;
	struct flight *f;
	struct effect *x;

	if (!ticket)
		return;
	if (flight == KEY_NONE || e->n_waiters >= e->limits.max_waiters) {
		serve_reply(e, fx, ticket, key, REPLY_BUSY, OUTCOME_MISS);
		return;
	}
	if (i != WAITER_NONE) {
		e->free_waiter = e->waiter.v[i].next;
	} else {
		i = (uint32_t)e->waiter.n;
		vec_push(&e->waiter);
	}
	e->waiter.v[i] = (struct waiter){ticket, WAITER_NONE, may_lease, first};
	e->n_waiters++;
	f = &e->flight.v[flight];
	f->late |= f->voided;
	f->useful = true;
	if (f->last_waiter == WAITER_NONE)
		f->first_waiter = i;
	else
		e->waiter.v[f->last_waiter].next = i;
	f->last_waiter = i;
	x = effect_add(fx, EFFECT_WAIT);
	x->ticket = ticket;
	x->key = key_bytes(e, key);
	x->endpoint = intern_name(&e->place_name, e->key.v[key].endpoint);
	x->wait.job = load_job(e, flight);
	x->wait.outcome = first ? OUTCOME_MISS : OUTCOME_JOINED;
}

/* Takes the first who waits; false when nobody does. */
static bool next_waiter(struct engine *e, uint32_t flight, struct waiter *ret)
{
	struct flight *f = &e->flight.v[flight];
	uint32_t i = f->first_waiter;

	if (i == WAITER_NONE)
		return false;
	*ret = e->waiter.v[i];
	f->first_waiter = ret->next;
	if (f->first_waiter == WAITER_NONE)
		f->last_waiter = WAITER_NONE;
	e->waiter.v[i].next = e->free_waiter;
	e->free_waiter = i;
	e->n_waiters--;
	return true;
}

static void end_flight(struct engine *e, uint32_t flight)
{
	struct flight *f = &e->flight.v[flight];

	BUG_ON(f->first_waiter != WAITER_NONE);
	prefetch_ended(e, f,
	               !f->stray && !f->voided && (e->key.v[f->key].flags & KEY_OURS) &&
	                       e->key.v[f->key].loaded.us >= f->started.us);
	heap_cancel(&e->deadline, flight);
	if (f->stray)
		e->n_strays--;
	else
		e->key.v[f->key].flight = KEY_NONE;
	f->key = KEY_NONE;
	f->next_free = e->free_flight;
	e->free_flight = flight;
	e->n_flights--;
}

void load_void(struct engine *e, uint32_t key)
{
	uint32_t flight = e->key.v[key].flight;

	if (flight != KEY_NONE)
		e->flight.v[flight].voided = true;
}

/* Evicts what is missing for the item; what is free but in pieces the store joins. */
static bool make_room(struct engine *e, struct instant now, const struct store_item *item)
{
	uint64_t need = store_footprint(e->store, item->key.n, item->value.n), freed = 0, n;
	uint64_t before = e->stats.evicted;
	struct store_stats s;

	store_stats(e->store, &s);
	/* of small values there is memory left when the index is full */
	if (s.entries >= s.entries_total)
		return evict_some(e, now, 1) > 0;
	n = s.bytes_total - s.bytes_used;
	if (n >= 2 * need + s.bytes_total / 6)
		return false; /* rooms of large values stand between the pieces: they go soon */
	need = need > n ? need - n : 1;
	while (freed < need && e->stats.evicted - before < MAX_EVICTIONS) {
		n = evict_some(e, now, need - freed);
		if (!n)
			break;
		freed += n;
	}
	return freed > 0;
}

struct bytes load_kept(const struct fetched *f)
{
	return f->packed ? f->packed->bytes : f->value;
}

/*
 * Room for a large value that came without, and the value in it; false: it is not to be had. It is done
 * in one go, however many entries are in the way.
 */
static bool fill_room(struct engine *e, struct instant now, const struct store_item *item,
                      struct store_room *room)
{
	uint64_t before = e->stats.evicted;
	int rc;

	do {
		rc = engine_reserve(e, now, item->key.n, item->value.n, room);
	} while (rc == -EAGAIN && e->stats.evicted - before < MAX_EVICTIONS_LARGE);
	if (rc) {
		store_unreserve(e->store, room);
		return false;
	}
	store_fill(e->store, room, item->value.p);
	return true;
}

/* Puts the value in the store, making room as needed. */
int load_keep(struct engine *e, struct instant now, uint32_t key, const struct fetched *f)
{
	struct key *k = &e->key.v[key];
	struct store_item item = {
	        .key = key_bytes(e, key),
	        .value = load_kept(f),
	        .version = f->version,
	        .loaded = k->loaded,
	        .soft = k->soft,
	        .hard = k->hard,
	        .max_age = k->plain & KEY_PLAIN_EXACT
	                           ? SPAN_MAX
	                           : span_from_s(key_place(e, k)->policy.max_age),
	        .owner = key,
	        .pushed = k->reason == TTL_PUSHED,
	        .packed = f->packed != NULL,
	};
	struct store_room own = {0}, *room = f->room;
	uint64_t before = e->stats.evicted;
	int rc;

	/* the old entry goes first: it must not be chosen as a victim while it is being replaced */
	if (k->entry != STORE_NONE) {
		store_remove(e->store, k->entry);
		k->entry = STORE_NONE;
		plain_unheld(e, k);
	}
	while ((rc = room ? store_publish(e->store, &item, room, &k->entry)
	                  : store_put(e->store, &item, &k->entry)) == -ENOSPC) {
		k->entry = STORE_NONE;
		if (!room && item.value.n >= LARGE_BYTES && fill_room(e, now, &item, &own)) {
			room = &own;
			before = e->stats.evicted;
		} else if (e->stats.evicted - before >= MAX_EVICTIONS ||
		           !make_room(e, now, &item)) {
			break;
		}
	}
	store_unreserve(e->store, &own);
	if (rc) {
		k->entry = STORE_NONE;
	} else {
		plain_held(e, k);
		evict_kept(e, key);
		if (f->packed) {
			e->stats.packed.values++;
			e->stats.packed.bytes += f->value.n;
			e->stats.packed.kept_bytes += f->packed->bytes.n;
		}
	}
	return rc;
}

/* Learns what the load took, and what the value says of the key's changes. */
static void learn_from_load(struct engine *e, struct instant now, uint32_t key,
                            const struct fetched *f, bool compare, bool changed)
{
	struct key *k = &e->key.v[key];
	struct place *p = key_place(e, k);

	if (f->took.us > 0) {
		k->load_us = k->load_us > 0 ? k->load_us + 0.2f * ((float)f->took.us - k->load_us)
		                            : (float)f->took.us;
		loghist_add(&p->ep.load_us, (double)f->took.us);
		evict_loaded(e, f->took);
	}
	if (compare && !engine_paused(e, now, PAUSE_LEARNING)) {
		struct testimony says = {.modified = f->modified};

		if (f->may_count) {
			says.before = k->version;
			says.now = f->version;
		}
		endpoint_look(&p->ep, p->zone, k, k->loaded, f->read, changed, &says);
		endpoint_turn(&p->ep, e->key.v);
		endpoint_pool(&p->ep, e->key.v, e->prior);
	} else if (!instant_is_set(k->loaded) && !engine_paused(e, now, PAUSE_LEARNING)) {
		endpoint_first(&p->ep, p->zone, k, f->read, f->modified);
	}
}

/* Tells that the value is another one. */
static void note_change(struct engine *e, uint32_t key, const struct fetched *f, struct effects *fx)
{
	struct key *k = &e->key.v[key];
	struct effect *x = effect_add(fx, EFFECT_NOTICE);

	place_announced(key_place(e, k), false);
	k->last_changed = f->read;
	x->key = key_bytes(e, key);
	x->endpoint = intern_name(&e->place_name, k->endpoint);
	x->notice.what = NOTICE_CHANGED;
	x->notice.version = f->version;
}

/* Whether the value was read for a peak that comes. */
static void note_prewarm(const struct engine *e, struct key *k, const struct fetched *f)
{
	k->at_peaks &= (uint8_t)~KEY_PEAK_READ;
	if (k->flight != KEY_NONE && e->flight.v[k->flight].reason == LOAD_PREWARM &&
	    f->read.us == e->flight.v[k->flight].started.us)
		k->at_peaks |= KEY_PEAK_READ;
}

int load_accept(struct engine *e, struct instant now, uint32_t key, const struct fetched *f,
                struct effects *fx)
{
	struct key *k = &e->key.v[key];
	bool compare = instant_is_set(k->loaded) && k->version && f->read.us > k->loaded.us;
	bool changed = compare && f->version != k->version;

	learn_from_load(e, now, key, f, compare, changed);
	if (changed)
		note_change(e, key, f, fx);
	prefetch_outcome(e, key, false);
	plain_give_up(e, key);
	k->plain &= (uint8_t)~KEY_PLAIN_GIVEN;
	if (!(k->flags & KEY_OURS) || f->version != k->version)
		plain_touch(e, key);
	note_prewarm(e, k, f);
	k->p_sum = 0;
	k->hits = 0;
	k->errors = 0;
	k->version = f->version;
	k->loaded = f->read;
	k->flags = (uint8_t)((k->flags & ~(KEY_ABSENT | KEY_FAILED)) | KEY_HELD | KEY_DIRTY);
	if (f->client_ttl.us > 0) {
		k->flags |= KEY_CLIENT_TTL;
		k->client_ttl = (float)span_s(f->client_ttl);
	}
	if (!f->no_value) {
		k->flags |= KEY_OURS;
		k->bytes = load_kept(f).n > UINT32_MAX ? UINT32_MAX : (uint32_t)load_kept(f).n;
	}
	replan(e, now, key);
	if (e->store && !f->no_value) {
		int rc = load_keep(e, now, key, f);

		if (rc) {
			serve_drop(e, key);
			return rc;
		}
	}
	return 0;
}

/* Ends the flight: everybody who waits gets what is held, or the given failure. */
static void answer_all(struct engine *e, uint32_t flight, enum reply_status status,
                       struct bytes error, const struct fetched *uncached, struct effects *fx)
{
	uint32_t key = e->flight.v[flight].key;
	struct bytes value = {0};
	struct waiter w;
	bool held = status == REPLY_OK && !uncached, whole;

	if (e->flight.v[flight].first_waiter == WAITER_NONE)
		return;
	whole = !held || serve_is_whole(e, key);
	/* both are views into the input, which is gone when the effects are read */
	error = effect_copy(fx, error);
	if (uncached)
		value = effect_copy(fx, uncached->value);
	while (next_waiter(e, flight, &w)) {
		enum outcome o = w.first ? OUTCOME_MISS : OUTCOME_JOINED;
		struct effect *f;

		if (held) {
			serve_held(e, fx, w.ticket, key, o, whole);
			continue;
		}
		f = serve_reply(e, fx, w.ticket, key, status, o);
		f->reply.error = error;
		if (uncached) {
			f->reply.value = value;
			f->reply.version = uncached->version;
			f->reply.loaded = f->reply.soft = uncached->read;
		}
	}
}

void load_answer(struct engine *e, uint32_t flight, struct effects *fx)
{
	answer_all(e, flight, REPLY_OK, bytes_str(""), NULL, fx);
}

static void give_back(struct engine *e, struct instant now, const struct flight *f, bool ok,
                      struct span took, struct span retry_after)
{
	struct origin_state *o;

	if (f->origin == ORIGIN_NONE)
		return;
	o = &e->origin.v[f->origin];
	budget_end(&o->budget, now, f->budget, ok, took, retry_after);
	survey_times_add(&o->times, took, ok);
}

void load_finish(struct engine *e, struct instant now, uint32_t flight, bool ok, struct span took,
                 struct span retry_after, struct effects *fx)
{
	give_back(e, now, &e->flight.v[flight], ok, took, retry_after);
	answer_all(e, flight, ok ? REPLY_OK : REPLY_BUSY, bytes_str("value could not be kept"),
	           NULL, fx);
	end_flight(e, flight);
}

static void remember_error(struct engine *e, uint32_t key, struct bytes error)
{
	size_t n = error.n < sizeof(e->last_error) - 1 ? error.n : sizeof(e->last_error) - 1;

	if (n)
		memcpy(e->last_error, error.p, n);
	e->last_error[n] = 0;
	e->last_error_key = key;
}

/* How long an error answer stands: doubles with each in a row, up to a minute. */
static struct span error_ttl(const struct place *p, unsigned errors)
{
	double s = p->policy.negative_ttl * exp2(errors > 1 ? fmin(errors - 1, 10) : 0);

	return span_from_s(fmin(s, fmax(span_s(ERROR_MAX), p->policy.negative_ttl)));
}

/* The old value may stand in for a failed load: until then. */
static struct instant stands_in_until(const struct key *k, const struct policy *y)
{
	if (k->plain & KEY_PLAIN_EXACT)
		return k->hard;
	return instant_min(instant_add(k->soft, span_from_s(y->stale_if_error)),
	                   instant_add(k->loaded, span_from_s(y->max_age)));
}

/* The error is the answer until then; at once when negative_ttl is 0. */
static void stand(struct key *k, struct instant now, struct span ttl)
{
	k->flags = (uint8_t)((k->flags & ~KEY_ABSENT) | KEY_FAILED);
	k->reason = TTL_NEGATIVE;
	k->soft = k->hard = instant_add(now, ttl);
}

/* A load whose place another has taken has failed: that is news for those who wait for it only. */
static void stray_failed(struct engine *e, struct instant now, uint32_t flight, struct bytes error,
                         struct span retry_after, struct effects *fx)
{
	struct flight *f = &e->flight.v[flight];

	e->stats.load_errors++;
	key_place(e, &e->key.v[f->key])->ep.errors++;
	give_back(e, now, f, false, instant_diff(now, f->started), retry_after);
	answer_all(e, flight, REPLY_ERROR, error, NULL, fx);
	end_flight(e, flight);
}

/* A load has failed. Never learned from. */
static void failed(struct engine *e, struct instant now, uint32_t flight, struct bytes error,
                   struct span retry_after, struct effects *fx)
{
	struct flight *f = &e->flight.v[flight];
	uint32_t key = f->key;
	struct key *k = &e->key.v[key];
	struct place *p = key_place(e, k);
	bool old = false;

	if (f->stray) {
		stray_failed(e, now, flight, error, retry_after, fx);
		return;
	}
	e->stats.load_errors++;
	p->ep.errors++;
	if (k->errors < UINT8_MAX)
		k->errors++;
	remember_error(e, key, error);
	serve_check(e, key);
	if ((k->flags & KEY_OURS) && now.us < stands_in_until(k, &p->policy).us) {
		struct instant until = instant_add(now, error_ttl(p, k->errors));

		/* served as grace until the next try */
		old = true;
		k->hard = instant_max(k->hard, instant_min(until, stands_in_until(k, &p->policy)));
		if (e->store && k->entry != STORE_NONE)
			store_set_expiry(e->store, k->entry, k->soft, k->hard);
	}
	/*
	 * Nothing to give instead: the error stands for a while, or each miss would ask an origin
	 * that is in trouble. Who loads by itself (a lease) asks as it likes.
	 */
	if (!old && (k->flags & KEY_OURS) && now.us >= k->hard.us)
		serve_drop(e, key); /* too old to be served ever again */
	if (!old && !f->lease && !(k->flags & KEY_HELD))
		stand(k, now, span_clip(retry_after, error_ttl(p, k->errors), ERROR_MAX));
	give_back(e, now, f, false, instant_diff(now, f->started), retry_after);
	if (old) {
		bool whole = serve_is_whole(e, key);
		struct waiter w;

		while (next_waiter(e, flight, &w))
			serve_held(e, fx, w.ticket, key, OUTCOME_GRACE, whole);
	}
	answer_all(e, flight, REPLY_ERROR, error, NULL, fx);
	end_flight(e, flight);
}

/* The app that holds a lease could not load: those who wait need not wait until it runs out. */
static void lease_failed(struct engine *e, struct instant now, uint32_t flight,
                         const struct input *in, struct effects *fx)
{
	uint32_t key = intern_find(&e->key_name, in->key);

	if (flight == FLIGHT_NONE || !e->flight.v[flight].lease || e->flight.v[flight].key != key) {
		serve_reply(e, fx, in->ticket, KEY_NONE, REPLY_LEASE_LOST, OUTCOME_MISS);
		return;
	}
	serve_reply(e, fx, in->ticket, key, REPLY_OK, OUTCOME_MISS);
	failed(e, now, flight, in->loaded.error, SPAN_ZERO, fx);
}

/*
 * A load has ended after its key was changed, set or purged. What is held, if anything, was set
 * since and stays. Who asked before that may get what was read: it was the value when they asked.
 * Who came later must not, unless it changes faster than it can be read.
 */
static void voided_ended(struct engine *e, struct instant now, uint32_t flight,
                         enum load_status status, const struct fetched *got, struct effects *fx)
{
	struct flight *f = &e->flight.v[flight];
	/* the value that was not modified is not held any more */
	bool none = status == LOADED_NOT_MODIFIED;

	if (!f->stray && (f->late || none) && f->retries < MAX_RETRIES &&
	    f->first_waiter != WAITER_NONE) {
		f->retries++;
		send_load(e, now, flight, fx);
		return;
	}
	give_back(e, now, f, true, got->took, SPAN_ZERO);
	if (status == LOADED_ABSENT)
		answer_all(e, flight, REPLY_ABSENT, bytes_str(""), NULL, fx);
	else if (none)
		answer_all(e, flight, REPLY_ERROR, bytes_str("changed while it was read"), NULL,
		           fx);
	else
		answer_all(e, flight, REPLY_OK, bytes_str(""), got, fx);
	end_flight(e, flight);
}

/* What a load has brought. */
static struct fetched fetched_by(const struct flight *f, struct instant now, const struct input *in)
{
	struct span took = instant_diff(now, f->started);

	/* what was done with the answer since is not the origin's time */
	took.us -= in->loaded.waited.us < took.us ? in->loaded.waited.us : took.us;
	return (struct fetched){
	        .value = in->loaded.value,
	        .room = in->loaded.room,
	        .packed = in->loaded.packed,
	        .version = in->loaded.version ? in->loaded.version
	                                      : large_version(in->loaded.value, in->loaded.room,
	                                                      in->loaded.packed),
	        .read = f->started,
	        .took = took,
	        .may_count = in->loaded.version != 0,
	        .modified = in->loaded.last_modified,
	};
}

/* Whether what a load ended with is an error, and which: as long as the input, and buf. */
static bool is_error(const struct engine *e, const struct key *k, const struct input *in,
                     char buf[static ERROR_BYTES], struct bytes *ret_error)
{
	size_t n = in->loaded.value.n;

	switch (in->loaded.status) {
	case LOADED_ERROR:
		*ret_error = in->loaded.error;
		return true;
	case LOADED_NOT_MODIFIED:
		*ret_error = bytes_str("origin says not modified, but nothing is held");
		return !(k->flags & KEY_OURS);
	case LOADED_OK:
		if ((double)n <= e->limits.max_value_bytes)
			return false;
		snprintf(buf, ERROR_BYTES,
		         "value of %zu bytes is longer than limits.max_value_bytes, %.15g", n,
		         e->limits.max_value_bytes);
		*ret_error = bytes_str(buf);
		return true;
	default:
		return false;
	}
}

/* The origin has no such thing. */
static void absent_ended(struct engine *e, struct instant now, uint32_t flight, struct effects *fx)
{
	uint32_t key = e->flight.v[flight].key;
	struct key *k = &e->key.v[key];

	serve_drop(e, key);
	k->version = 0;
	k->errors = (uint8_t)(k->errors < UINT8_MAX ? k->errors + 1 : k->errors);
	k->flags = (uint8_t)((k->flags & ~KEY_FAILED) | KEY_ABSENT);
	k->reason = TTL_NEGATIVE;
	k->soft = k->hard = instant_add(now, error_ttl(key_place(e, k), k->errors));
	answer_all(e, flight, REPLY_ABSENT, bytes_str(""), NULL, fx);
}

/* The value is what it was: it stays where it is, and only its times change. As load_accept. */
static int accept_same(struct engine *e, struct instant now, uint32_t key, struct fetched *got,
                       struct effects *fx)
{
	struct key *k = &e->key.v[key];
	uint32_t entry = k->entry;
	int rc;

	got->version = k->version;
	if (!e->store || entry == STORE_NONE) {
		got->value = bytes_of(NULL, 0);
		return load_accept(e, now, key, got, fx);
	}
	got->no_value = true;
	load_accept(e, now, key, got, fx); /* nothing to keep: cannot fail */
	rc = store_renew(e->store, entry, k->loaded, k->soft, k->hard);
	if (rc)
		serve_drop(e, key);
	return rc;
}

/* There is a value, which may be the one that is held. */
static void value_ended(struct engine *e, struct instant now, uint32_t flight,
                        enum load_status status, struct fetched *got, struct effects *fx)
{
	struct flight *f = &e->flight.v[flight];
	uint32_t key = f->key;
	struct key *k = &e->key.v[key];
	bool not_modified = status == LOADED_NOT_MODIFIED;
	int rc;

	if (f->reason == LOAD_AUDIT && (k->flags & KEY_OURS)) {
		bool same = not_modified || got->version == k->version;

		price_audit(key_price(e, k), f->audit_weight, !same);
		endpoint_audit(&key_place(e, k)->ep, f->started, f->audit_weight, f->audit_said,
		               !same);
	}
	rc = not_modified ? accept_same(e, now, key, got, fx) : load_accept(e, now, key, got, fx);
	answer_all(e, flight, REPLY_OK, bytes_str(""), rc ? got : NULL, fx);
}

void load_ended(struct engine *e, struct instant now, const struct input *in, struct effects *fx)
{
	uint32_t flight = load_find(e, in->loaded.job), key;
	enum load_status status = in->loaded.status;
	char text[ERROR_BYTES];
	struct bytes error;
	struct fetched got;
	struct flight *f;

	if (in->ticket) {
		lease_failed(e, now, flight, in, fx);
		return;
	}
	if (flight == FLIGHT_NONE || e->flight.v[flight].lease)
		return; /* late, twice, or somebody else's: already answered */
	key = e->flight.v[flight].key;
	plain_settle(e, key);
	f = &e->flight.v[flight];
	got = fetched_by(f, now, in);
	if (f->voided && status != LOADED_ERROR) {
		voided_ended(e, now, flight, status, &got, fx);
		return;
	}
	if (is_error(e, &e->key.v[key], in, text, &error)) {
		failed(e, now, flight, error,
		       status == LOADED_ERROR ? in->loaded.retry_after : SPAN_ZERO, fx);
		return;
	}
	give_back(e, now, f, true, got.took, SPAN_ZERO);
	if (status == LOADED_ABSENT) {
		absent_ended(e, now, flight, fx);
	} else if (status == LOADED_UNCACHEABLE) {
		serve_drop(e, key);
		answer_all(e, flight, REPLY_OK, bytes_str(""), &got, fx);
	} else {
		value_ended(e, now, flight, status, &got, fx);
	}
	end_flight(e, flight);
}

/* Whoever had the lease has lost it: the first who waits for it and can load gets it. */
void load_lost(struct engine *e, struct instant now, uint32_t flight, struct effects *fx)
{
	struct flight *f = &e->flight.v[flight];
	uint32_t key = f->key;
	struct waiter w;

	while (next_waiter(e, flight, &w)) {
		struct effect *x;

		if (!w.may_lease) {
			serve_reply(e, fx, w.ticket, key, REPLY_BUSY, OUTCOME_JOINED);
			continue;
		}
		f->generation++;
		f->started = now;
		f->voided = false;
		heap_set(&e->deadline, flight,
		         instant_add(now, f->plain ? plain_lease_time(e, now, &e->key.v[key])
		                                   : span_from_s(e->limits.lease_s)));
		x = serve_reply(e, fx, w.ticket, key, REPLY_LEASE, OUTCOME_MISS);
		x->reply.lease = load_job(e, flight);
		return;
	}
	end_flight(e, flight);
}

void load_timeout(struct engine *e, struct instant now, uint32_t flight, struct effects *fx)
{
	struct flight *f = &e->flight.v[flight];

	if (!f->lease) {
		failed(e, now, flight, bytes_str("no answer before the deadline"), SPAN_ZERO, fx);
		return;
	}
	if (f->plain) {
		/* plain clients do not wait for one after the other */
		plain_unset(e, f->key);
		answer_all(e, flight, REPLY_BUSY, bytes_str("not set in time"), NULL, fx);
	}
	load_lost(e, now, flight, fx);
}
