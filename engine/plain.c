/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/plain.h"

#include "base/bug.h"
#include "base/hash.h"
#include "engine/state.h"

#include <errno.h>
#include <math.h>

/*
 * Who was given a miss under a rule has this many of the key's mean load times, and a moment, to
 * set it; then the next one is asked.
 */
static const double LEASE_LOADS = 3;
static const struct span LEASE_MOMENT = {50 * 1000};

/* Loads that take less are not worth a miss before its time; and so many of them before it. */
static const float SLOW_LOAD_US = 20000;
static const double EARLY_LOADS = 1.5;

/* -- What a name says ------------------------------------------------------------------------- */

size_t plain_space(struct bytes key, unsigned *ret_space)
{
	const char *s = key.p;
	unsigned v = 0;
	size_t i = 3;

	*ret_space = 0;
	if (key.n < 5 || s[0] != '@' || s[1] != 'd' || s[2] != 'b' || s[3] < '0' || s[3] > '9')
		return 0;
	for (; i < key.n && i < 5 && s[i] >= '0' && s[i] <= '9'; i++)
		v = v * 10 + (unsigned)(s[i] - '0');
	if (i >= key.n || s[i] != ':' || v >= PLAIN_SPACES)
		return 0;
	*ret_space = v;
	return i + 1;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_letter(char c)
{
	return lower(c) >= 'a' && lower(c) <= 'z';
}

/* Whether the name begins with the word here, in upper or lower case. */
static bool begins(const char *s, const char *end, const char *word)
{
	for (; *word; word++, s++)
		if (s == end || lower(*s) != *word)
			return false;
	return true;
}

/*
 * Names of what must be exactly what was set: an old lock lets two in, an old session lets somebody
 * in who has left, an old counter counts wrong. Words count where a word begins; a trailing "s",
 * "ed" and the like does not matter.
 */
static bool is_own(struct bytes name)
{
	static const char *const words[] = {"lock",  "mutex",  "semaphore", "lease",     "sess",
	                                    "csrf",  "token",  "nonce",     "counter",   "count",
	                                    "quota", "rate",   "throttle",  "ratelimit", "limiter",
	                                    "otp",   "idempot"};
	const char *s = name.p, *end = s + name.n;

	for (const char *p = s; p < end; p++) {
		if (!is_letter(*p) ||
		    (p > s && is_letter(p[-1]) && !(p[-1] >= 'a' && *p >= 'A' && *p <= 'Z')))
			continue;
		for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
			if (begins(p, end, words[i]))
				return true;
	}
	/* redlock, user_session: a word may also end the name, or a part of it, in one piece */
	for (const char *p = s; p < end; p++)
		if (begins(p, end, "lock") && (p + 4 == end || !is_letter(p[4])) && p > s &&
		    !begins(p - 1, end, "block") && !begins(p - 1, end, "clock"))
			return true;
	return false;
}

void plain_look_at(struct key *k, struct bytes name)
{
	unsigned space;

	plain_space(name, &space);
	k->space = (uint8_t)space;
	if (is_own(name))
		k->plain |= KEY_PLAIN_OWN;
}

/* -- What rules allow ------------------------------------------------------------------------- */

static bool grace_allowed(const struct place *p, const struct key *k)
{
	return p->ruled && p->policy.grace > 0 && !(k->plain & KEY_PLAIN_OWN);
}

static bool learning_allowed(const struct place *p, const struct key *k)
{
	return p->policy.ttl_stated && p->policy.ttl == TTL_LEARN && !(k->plain & KEY_PLAIN_OWN);
}

/* -- Notes: what is yet to be learned ---------------------------------------------------------- */

static struct plain_note *note_of(struct engine *e, uint32_t key)
{
	struct key *k = &e->key.v[key];

	if (!k->counted) {
		*vec_push(&e->note) = (struct plain_note){.key = key, .loaded = INSTANT_NONE};
		k->counted = (uint32_t)e->note.n;
	}
	return &e->note.v[k->counted - 1];
}

void plain_forget(struct engine *e, uint32_t key)
{
	struct key *k = &e->key.v[key];

	if (k->counted)
		e->note.v[k->counted - 1].key = KEY_NONE;
	k->counted = 0;
	heap_cancel(&e->expiry, key);
	if (k->plain & KEY_PLAIN_WATCHED)
		*vec_push(&e->touched) = key;
}

static void learn_look(struct engine *e, struct instant now, uint32_t key,
                       const struct plain_note *n, struct effects *fx)
{
	struct key *k = &e->key.v[key];
	struct place *p = key_place(e, k);
	bool changed = n->version != k->version;
	struct effect *x;

	if (!n->version || !instant_is_set(n->loaded) || k->loaded.us <= n->loaded.us)
		return;
	if (!engine_paused(e, now, PAUSE_LEARNING)) {
		struct testimony none = {.modified = INSTANT_NONE};

		endpoint_look(&p->ep, p->zone, k, n->loaded, k->loaded, changed, &none);
		endpoint_pool(&p->ep, e->key.v, e->prior);
	}
	k->p_sum = 0;
	k->hits = 0;
	if (!changed)
		return;
	place_announced(p, false);
	k->last_changed = k->loaded;
	x = effect_add(fx, EFFECT_NOTICE);
	x->key = key_bytes(e, key);
	x->endpoint = intern_name(&e->place_name, k->endpoint);
	x->notice.what = NOTICE_CHANGED;
	x->notice.version = k->version;
}

bool plain_learn(struct engine *e, struct instant now, unsigned max, struct effects *fx)
{
	for (; e->note.n && max; max--) {
		struct plain_note n = e->note.v[--e->note.n];
		struct place *p;
		struct key *k;

		if (n.key == KEY_NONE)
			continue;
		k = &e->key.v[n.key];
		p = key_place(e, k);
		k->counted = 0;
		e->stats.requests += n.hits + n.misses;
		if (n.hits + n.misses) {
			if (endpoint_request(&p->ep, p->zone, k, now, n.hits + n.misses))
				jump_found(e, now, k->endpoint, fx);
			/* what nobody here can load is nothing to prepare, and these are many */
			if (place_loads_from(p) != ORIGIN_NONE && !(k->plain & KEY_PLAIN_OWN))
				course_asked(e, now, n.key, n.hits + n.misses);
			evict_asked(e, n.key, n.hits + n.misses, n.hits > 0);
		}
		if (n.hits + n.misses)
			serve_answered(e, now, now, n.key, n.hits, n.misses);
		if (n.set)
			learn_look(e, now, n.key, &n, fx);
		replan_if_due(e, now, n.key);
		if (n.hits && (k->flags & KEY_OURS) && now.us < k->soft.us &&
		    place_loads_from(p) != ORIGIN_NONE)
			serve_maybe_audit(e, now, n.key, n.hits, fx);
	}
	return e->note.n > 0;
}

/* -- Values ----------------------------------------------------------------------------------- */

static struct bytes held_value(const struct engine *e, const struct key *k, bool *ret_packed)
{
	*ret_packed = false;
	return e->store && k->entry != STORE_NONE ? store_value(e->store, k->entry, ret_packed)
	                                          : bytes_of(NULL, 0);
}

/*
 * Whether just that is held: the value as it is, or the frame that it was packed into. The same value
 * is packed into the same frame, but for another level; then the new one is to be kept.
 */
static bool is_held_so(const struct engine *e, const struct key *k, const struct fetched *f)
{
	struct bytes kept = load_kept(f), held;
	bool packed;

	if (k->bytes != kept.n)
		return false;
	held = held_value(e, k, &packed);
	return packed == (f->packed != NULL) && bytes_equal(held, kept);
}

static bool is_live(const struct key *k, struct instant now)
{
	return (k->flags & KEY_OURS) && now.us < k->soft.us;
}

static void give(const struct engine *e, uint32_t id, bool grace, struct plain_value *ret)
{
	const struct key *k = &e->key.v[id];

	ret->id = id;
	ret->value = held_value(e, k, &ret->packed);
	ret->bytes = ret->value.n;
	if (ret->packed)
		packed_bytes(ret->value, UINT64_MAX, &ret->bytes);
	ret->expires = k->soft;
	ret->grace = grace;
}

bool plain_find(const struct engine *e, struct instant now, struct bytes key,
                struct plain_value *ret)
{
	uint32_t id = intern_find(&e->key_name, key);

	if (id == INTERN_NONE || !is_live(&e->key.v[id], now) ||
	    plain_is_flushed(e, &e->key.v[id]) || !serve_is_whole(e, id))
		return false;
	give(e, id, false, ret);
	return true;
}

static void count_hit(struct engine *e, struct instant now, uint32_t id, enum outcome o)
{
	note_of(e, id)->hits++;
	serve_count(e, now, id, o, 1);
}

static void count_miss(struct engine *e, struct instant now, uint32_t id, enum outcome o)
{
	note_of(e, id)->misses++;
	serve_count(e, now, id, o, 1);
}

struct span plain_lease_time(const struct engine *e, struct instant now, const struct key *k)
{
	double s = LEASE_LOADS * (double)k->load_us * 1e-6 + span_s(LEASE_MOMENT);

	/* others wait for it */
	if (!(k->flags & KEY_OURS) || now.us >= k->hard.us)
		return span_from_s(
		        fmin(k->load_us > 0 ? s : e->limits.redis_wait_s, e->limits.redis_wait_s));
	return span_from_s(fmin(k->load_us > 0 ? s : e->limits.lease_s, e->limits.lease_s));
}

/* One client is told to load the value: the engine's lease, with the time that its loads take. */
static enum plain_got lend(struct engine *e, struct instant now, uint32_t key,
                           struct plain_value *ret)
{
	struct key *k = &e->key.v[key];

	ret->lease = load_lease(e, now, key);
	e->flight.v[k->flight].plain = true;
	heap_set(&e->deadline, k->flight, instant_add(now, plain_lease_time(e, now, k)));
	count_miss(e, now, key, OUTCOME_MISS);
	return PLAIN_MISS;
}

void plain_unset(struct engine *e, uint32_t key)
{
	e->key.v[key].plain |= KEY_PLAIN_UNSET;
}

void plain_wait(struct engine *e, uint32_t id, uint64_t ticket, struct effects *fx)
{
	load_wait(e, id, ticket, false, true, fx);
}

void plain_give_back(struct engine *e, struct instant now, uint64_t lease, struct effects *fx)
{
	uint32_t flight = load_find(e, lease);

	if (flight != FLIGHT_NONE && e->flight.v[flight].plain)
		load_lost(e, now, flight, fx);
}

/* A rule says grace, and there is nothing to be served. */
static enum plain_got cold(struct engine *e, struct instant now, uint32_t key, uint64_t lease,
                           struct plain_value *ret)
{
	struct key *k = &e->key.v[key];

	if (e->limits.redis_wait_s <= 0 || (k->plain & KEY_PLAIN_UNSET)) {
		count_miss(e, now, key, OUTCOME_MISS);
		return PLAIN_MISS;
	}
	if (k->flight == KEY_NONE)
		return lend(e, now, key, ret);
	if (lease && load_job(e, k->flight) == lease) {
		/* nobody waits for itself */
		count_miss(e, now, key, OUTCOME_MISS);
		ret->lease = lease;
		return PLAIN_MISS;
	}
	count_miss(e, now, key, OUTCOME_JOINED);
	ret->id = key;
	return PLAIN_WAIT;
}

enum plain_got plain_get(struct engine *e, struct instant now, struct bytes key, uint64_t lease,
                         struct plain_value *ret, struct effects *fx)
{
	uint32_t id = keyring_key(e, now, bytes_of(NULL, 0), key, fx);
	struct place *p;
	struct key *k;

	ret->lease = 0;
	if (id == KEY_NONE)
		return PLAIN_MISS;
	k = &e->key.v[id];
	p = key_place(e, k);
	serve_check(e, id);
	if (is_live(k, now)) {
		bool early = (k->plain & KEY_PLAIN_EXACT) && k->load_us >= SLOW_LOAD_US &&
		             k->flight == KEY_NONE && grace_allowed(p, k) &&
		             (double)(k->soft.us - now.us) < EARLY_LOADS * (double)k->load_us;

		if (!early) {
			count_hit(e, now, id, OUTCOME_HIT);
			give(e, id, false, ret);
			return PLAIN_HIT;
		}
		return lend(e, now, id, ret);
	}
	if (place_loads_from(p) != ORIGIN_NONE && !(k->plain & KEY_PLAIN_OWN))
		return PLAIN_ASK;
	if ((k->flags & KEY_OURS) && now.us < k->hard.us && grace_allowed(p, k)) {
		if (k->flight != KEY_NONE) {
			count_hit(e, now, id, OUTCOME_GRACE);
			give(e, id, true, ret);
			return PLAIN_HIT;
		}
		return lend(e, now, id, ret);
	}
	if (grace_allowed(p, k))
		return cold(e, now, id, lease, ret);
	count_miss(e, now, id, OUTCOME_MISS);
	return PLAIN_MISS;
}

void plain_touch(struct engine *e, uint32_t key)
{
	struct key *k = &e->key.v[key];

	if (!(k->plain & KEY_PLAIN_WATCHED))
		return;
	k->plain &= (uint8_t)~KEY_PLAIN_WATCHED;
	*vec_push(&e->touched) = key;
}

void plain_give_up(struct engine *e, uint32_t key)
{
	struct key *k = &e->key.v[key];

	if (!(k->plain & KEY_PLAIN_EXACT))
		return;
	if (k->entry != STORE_NONE)
		plain_unheld(e, k);
	k->plain &= (uint8_t)~KEY_PLAIN_EXACT;
	if (k->entry != STORE_NONE)
		plain_held(e, k);
	heap_cancel(&e->expiry, key);
}

/* The times of an exact value; a rule may keep it for grace beyond its end. */
static void set_times(struct engine *e, uint32_t key, struct instant expires)
{
	struct key *k = &e->key.v[key];
	struct place *p = key_place(e, k);

	if (k->entry != STORE_NONE)
		plain_unheld(e, k);
	k->soft = k->hard = expires;
	k->plain |= KEY_PLAIN_EXACT;
	if (k->entry != STORE_NONE)
		plain_held(e, k);
	if (instant_is_set(expires) && grace_allowed(p, k))
		k->hard = instant_add(expires, span_from_s(p->policy.grace));
	k->reason = TTL_CLIENT;
	k->flags &= (uint8_t)~KEY_AHEAD;
	heap_cancel(&e->refresh, key);
	if (instant_is_set(expires))
		heap_set(&e->expiry, key, k->hard);
	else
		heap_cancel(&e->expiry, key);
}

void plain_adopt(struct engine *e, uint32_t key)
{
	struct key *k = &e->key.v[key];

	plain_unheld(e, k);
	k->plain |= KEY_PLAIN_EXACT;
	/* the same instant, which the store keeps less finely as the first of the two */
	if (!grace_allowed(key_place(e, k), k))
		k->soft = k->hard;
	plain_held(e, k);
	k->reason = TTL_CLIENT;
	if (instant_is_set(k->hard))
		heap_set(&e->expiry, key, k->hard);
}

void plain_timer(struct engine *e, struct instant now, uint32_t key)
{
	struct key *k = &e->key.v[key];

	if (!(k->plain & KEY_PLAIN_EXACT) || now.us < k->hard.us)
		return;
	serve_drop(e, key);
	e->n_expired++;
}

/* Somebody may wait for what is now set: a lease, or a load that may bring something older. */
static void end_flight(struct engine *e, struct instant now, uint32_t key, struct span took,
                       bool ok, struct effects *fx)
{
	struct key *k = &e->key.v[key];
	uint32_t flight = k->flight;

	if (flight == KEY_NONE)
		return;
	if (e->flight.v[flight].lease) {
		load_finish(e, now, flight, ok, took, SPAN_ZERO, fx);
		return;
	}
	load_void(e, key);
	if (ok)
		load_answer(e, flight, fx);
}

static int set_learned(struct engine *e, struct instant now, const struct plain_set *s,
                       uint32_t key, struct effects *fx)
{
	struct span ttl = instant_is_set(s->expires) ? instant_diff(s->expires, now) : SPAN_ZERO;
	struct fetched f = {
	        .value = s->value,
	        .room = s->room,
	        .packed = s->packed,
	        .version = large_version(s->value, s->room, s->packed),
	        .read = now,
	        .took = s->load,
	        .client_ttl = ttl,
	        .modified = INSTANT_NONE,
	};
	int rc = load_accept(e, now, key, &f, fx);

	e->key.v[key].plain &= (uint8_t)~KEY_PLAIN_UNSET;
	end_flight(e, now, key, s->load, rc == 0, fx);
	return rc;
}

/* Notes what was held before the first set since the last look, and takes over what the set says.
 */
static void note_set(struct engine *e, struct instant now, uint32_t key, const struct fetched *f,
                     const struct plain_set *s)
{
	struct key *k = &e->key.v[key];
	struct place *p = key_place(e, k);
	struct plain_note *n;

	if (s->load.us > 0) {
		k->load_us = k->load_us > 0 ? k->load_us + 0.2f * ((float)s->load.us - k->load_us)
		                            : (float)s->load.us;
		loghist_add(&p->ep.load_us, (double)s->load.us);
	}
	if (!s->exact && k->version) {
		n = note_of(e, key);
		if (!n->set) {
			n->set = true;
			n->version = k->version;
			n->loaded = k->loaded;
		}
	}
	k->version = f->version;
	k->loaded = now;
	k->errors = 0;
	k->flags = (uint8_t)((k->flags & ~KEY_ABSENT) | KEY_HELD | KEY_OURS | KEY_DIRTY);
	k->bytes = (uint32_t)load_kept(f).n;
	if (instant_is_set(s->expires)) {
		k->flags |= KEY_CLIENT_TTL;
		k->client_ttl = (float)span_s(instant_diff(s->expires, now));
		k->plain |= KEY_PLAIN_GIVEN;
	} else {
		k->flags &= (uint8_t)~KEY_CLIENT_TTL;
		k->plain &= (uint8_t)~KEY_PLAIN_GIVEN;
	}
}

/* Within this factor of what was learned a client's TTL is right; before so many looks who knows. */
static const double ABOUT_RIGHT = 1.5;
static const uint16_t ADVICE_LOOKS = 3;

bool plain_advises(struct engine *e, struct instant now, uint32_t key, double *ret_advised_s,
                   enum ttl_reason *ret_reason)
{
	struct key *k = &e->key.v[key];
	double given = k->client_ttl, advised;

	*ret_advised_s = NAN;
	if (!(k->plain & KEY_PLAIN_GIVEN) || !(k->flags & KEY_CLIENT_TTL) ||
	    learning_allowed(key_place(e, k), k))
		return false;
	*ret_reason = TTL_CLIENT;
	if (k->looks < ADVICE_LOOKS || (k->plain & KEY_PLAIN_OWN))
		return true;
	advised = replan_advice(e, now, key);
	*ret_advised_s = advised;
	*ret_reason = advised > given * ABOUT_RIGHT   ? TTL_TOO_SHORT
	              : advised < given / ABOUT_RIGHT ? TTL_TOO_LONG
	                                              : TTL_RIGHT;
	return true;
}

int plain_set(struct engine *e, struct instant now, const struct plain_set *s, struct effects *fx)
{
	uint32_t key = keyring_key(e, now, bytes_of(NULL, 0), s->key, fx);
	struct fetched f = {.value = s->value, .room = s->room, .packed = s->packed};
	bool was_exact;
	struct key *k;
	int rc = 0;

	if (key == KEY_NONE)
		return -E2BIG;
	k = &e->key.v[key];
	if ((double)s->value.n > e->limits.max_value_bytes) {
		serve_drop(e, key);
		end_flight(e, now, key, SPAN_ZERO, false, fx);
		return -E2BIG;
	}
	e->stats.sets++;
	large_overtake(e, key, UINT64_MAX);
	if (s->exact)
		k->plain |= KEY_PLAIN_OWN;
	if (learning_allowed(key_place(e, k), k))
		return set_learned(e, now, s, key, fx);
	was_exact = k->plain & KEY_PLAIN_EXACT;
	f.version = large_version(s->value, s->room, s->packed);
	plain_touch(e, key);
	/* equal bytes stay where they are: a set of what is there costs a comparison */
	if (!s->room && was_exact && (k->flags & KEY_OURS) && k->entry != STORE_NONE &&
	    is_held_so(e, k, &f) && serve_is_whole(e, key)) {
		note_set(e, now, key, &f, s);
		set_times(e, key, s->expires);
		store_renew(e->store, k->entry, k->loaded, k->soft, k->hard);
	} else {
		note_set(e, now, key, &f, s);
		set_times(e, key, s->expires);
		if (e->store)
			rc = load_keep(e, now, key, &f);
		if (rc)
			serve_drop(e, key);
	}
	k->plain &= (uint8_t)~KEY_PLAIN_UNSET;
	if (k->flight != KEY_NONE)
		end_flight(e, now, key, s->load, rc == 0, fx);
	return rc;
}

bool plain_delete(struct engine *e, struct instant now, struct bytes key, struct effects *fx)
{
	uint32_t id = intern_find(&e->key_name, key);
	bool live;

	(void)fx;
	if (id == INTERN_NONE)
		return false;
	plain_settle(e, id);
	live = is_live(&e->key.v[id], now);
	load_void(e, id);
	large_overtake(e, id, UINT64_MAX);
	serve_drop(e, id);
	return live;
}

void plain_expire(struct engine *e, struct instant now, uint32_t id, struct instant at,
                  struct effects *fx)
{
	struct key *k = &e->key.v[id];

	BUG_ON(!(k->flags & KEY_OURS));
	if (at.us <= now.us) {
		plain_delete(e, now, key_bytes(e, id), fx);
		return;
	}
	plain_touch(e, id);
	set_times(e, id, at);
	if (instant_is_set(at)) {
		k->flags |= KEY_CLIENT_TTL;
		k->client_ttl = (float)span_s(instant_diff(at, now));
	}
	if (e->store && k->entry != STORE_NONE) {
		store_set_expiry(e->store, k->entry, k->soft, k->hard);
		store_set_pushed(e->store, k->entry, false);
	}
}

/* -- Flushes ---------------------------------------------------------------------------------- */

/* So many numbers of flushes are kept apart; a key may be as many behind, and no more. */
enum { FLUSHES_APART = 200 };

void plain_settle(struct engine *e, uint32_t id)
{
	struct key *k = &e->key.v[id];

	if (!plain_is_flushed(e, k))
		return;
	load_void(e, id);
	large_overtake(e, id, UINT64_MAX);
	serve_drop(e, id);
	k->flush = e->flushes.number[k->space];
}

void plain_flush(struct engine *e, unsigned space)
{
	struct plain_flushes *f = &e->flushes;

	if (++f->begun > FLUSHES_APART) {
		plain_flush_step(e, UINT32_MAX);
		f->begun = 1;
	}
	for (unsigned i = 0; i < PLAIN_SPACES; i++) {
		if (space < PLAIN_SPACES && i != space)
			continue;
		f->number[i]++;
		f->left[i] = e->held[i];
		f->left_endless[i] = e->endless[i];
	}
	f->next = 0;
	f->end = e->key_name.n_ids;
}

unsigned plain_flushes_left(const struct engine *e)
{
	return FLUSHES_APART - e->flushes.begun;
}

bool plain_flush_step(struct engine *e, uint32_t max)
{
	struct plain_flushes *f = &e->flushes;

	for (; f->next < f->end && max; f->next++, max--)
		if (intern_is_live(&e->key_name, f->next))
			plain_settle(e, f->next);
	if (f->next < f->end)
		return true;
	f->begun = 0;
	return false;
}

uint64_t plain_count(const struct engine *e, unsigned space)
{
	return e->held[space] - e->flushes.left[space];
}

uint64_t plain_ending(const struct engine *e, unsigned space)
{
	return plain_count(e, space) - (e->endless[space] - e->flushes.left_endless[space]);
}

uint64_t plain_expired(const struct engine *e)
{
	return e->n_expired;
}

uint32_t plain_ids(const struct engine *e)
{
	return e->key_name.n_ids;
}

bool plain_at(const struct engine *e, struct instant now, uint32_t id, unsigned space,
              struct bytes *ret_key, struct plain_value *ret)
{
	if (!intern_is_live(&e->key_name, id) || e->key.v[id].space != space ||
	    !is_live(&e->key.v[id], now) || plain_is_flushed(e, &e->key.v[id]) ||
	    !serve_is_whole(e, id))
		return false;
	*ret_key = key_bytes(e, id);
	give(e, id, false, ret);
	return true;
}

bool plain_random(struct engine *e, struct instant now, unsigned space, struct bytes *ret_key)
{
	struct plain_value v;

	if (!plain_count(e, space))
		return false;
	for (int i = 0; e->store && i < 100; i++) {
		uint32_t entry = store_sample(e->store, &e->rng), id;

		if (entry == STORE_NONE)
			return false;
		id = store_owner(e->store, entry);
		if (id < e->key.n && plain_at(e, now, id, space, ret_key, &v))
			return true;
	}
	/* few of this database among many others */
	for (uint32_t id = 0; id < plain_ids(e); id++)
		if (plain_at(e, now, id, space, ret_key, &v))
			return true;
	return false;
}

struct instant plain_last_asked(const struct engine *e, uint32_t id)
{
	return e->key.v[id].last_seen;
}

double plain_rate(const struct engine *e, struct instant now, uint32_t id)
{
	const struct key *k = &e->key.v[id];
	const struct place *p = e->place.v[k->endpoint];

	return endpoint_key_rate(&p->ep, p->zone, k, now);
}

uint32_t plain_watch(struct engine *e, struct instant now, struct bytes key, struct effects *fx)
{
	uint32_t id = keyring_key(e, now, bytes_of(NULL, 0), key, fx);
	struct key *k;

	if (id == KEY_NONE)
		return PLAIN_NONE;
	k = &e->key.v[id];
	/* what has expired is gone for this client: its removal is no change */
	if ((k->flags & KEY_OURS) && now.us >= k->hard.us)
		serve_drop(e, id);
	k->plain |= KEY_PLAIN_WATCHED;
	return id;
}

bool plain_touched(struct engine *e, uint32_t *ret_id)
{
	if (!e->touched.n)
		return false;
	*ret_id = e->touched.v[--e->touched.n];
	return true;
}
