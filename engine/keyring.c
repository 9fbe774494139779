/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/state.h"

#include "analyzer/template.h"
#include "base/hash.h"

#include <stdlib.h>

/* What catches endpoints beyond max_endpoints. */
static const char OTHER[] = "<other>";

const struct zone *keyring_zone(const struct engine *e, uint32_t index)
{
	return &e->zone.v[index].shifted;
}

bool engine_paused(const struct engine *e, struct instant now, unsigned what)
{
	return ((what & PAUSE_LEARNING) && now.us < e->paused_until[0].us) ||
	       ((what & PAUSE_PREFETCH) && now.us < e->paused_until[1].us);
}

uint32_t place_loads_from(const struct place *p)
{
	return p->loader_origin != ORIGIN_NONE ? p->loader_origin : p->origin;
}

/*
 * Events are trusted after so many of them, and while fewer changes than this share come without.
 */
static const double TRUST_EVENTS = 3, TRUST_MISSED = 0.02, TRUST_MEMORY = 1000;

void place_announced(struct place *p, bool announced)
{
	if (p->announced + p->unannounced > TRUST_MEMORY) {
		p->announced *= 0.5;
		p->unannounced *= 0.5;
	}
	*(announced ? &p->announced : &p->unannounced) += 1;
}

bool place_is_pushed(const struct place *p)
{
	return p->announced >= TRUST_EVENTS &&
	       p->unannounced <= TRUST_MISSED * (p->announced + p->unannounced);
}

static uint32_t find_rule(const struct engine *e, struct bytes name)
{
	for (size_t i = 0; i < e->rule.n; i++)
		if (template_match(bytes_str(e->rule.v[i].match), name))
			return (uint32_t)i;
	return RULE_NONE;
}

uint32_t keyring_class(struct engine *e, struct bytes name, double objective)
{
	bool is_new;
	/* no class is ever forgotten: ids are places in the list */
	uint32_t id = intern_add(&e->cls_name, name, &is_new);
	struct class_state *c;

	if (!is_new)
		return id;
	c = vec_push(&e->cls);
	*c = (struct class_state){.name = (const char *)intern_name(&e->cls_name, id).p,
	                          .audit_more = 1};
	price_init(&c->price, objective);
	return id;
}

/*
 * Whether the key is in the control group: by its name alone, so that it is after a restart, too.
 */
static void hold_out(struct key *k, struct bytes name, const struct policy *y)
{
	bool out = y->holdout > 0 && (double)(hash_bytes(name, 0) >> 11) * 0x1p-53 < y->holdout;

	k->flags = (uint8_t)(out ? k->flags | KEY_HELD_OUT : k->flags & ~KEY_HELD_OUT);
}

/*
 * Another policy holds for a key. What is held is planned anew when it is next asked for; only
 * max_age cannot wait for that, since readers serve without asking us.
 */
static void policy_changed(struct engine *e, const struct place *p, uint32_t id)
{
	struct key *k = &e->key.v[id];
	struct instant oldest;

	hold_out(k, key_bytes(e, id), &p->policy);
	if (!(k->flags & KEY_HELD) || (k->plain & KEY_PLAIN_EXACT))
		return;
	k->planned = INSTANT_NONE;
	oldest = instant_add(k->loaded, span_from_s(p->policy.max_age));
	if (k->hard.us <= oldest.us)
		return;
	k->soft = instant_min(k->soft, oldest);
	k->hard = oldest;
	if (e->store && k->entry != STORE_NONE)
		store_set_expiry(e->store, k->entry, k->soft, k->hard);
}

/* What holds for a key; one that is not known yet may come with an endpoint. */
static const struct policy *policy_of(const struct engine *e, struct bytes endpoint,
                                      struct bytes key)
{
	uint32_t id = intern_find(&e->key_name, key), place = INTERN_NONE, rule;

	if (id != INTERN_NONE)
		return &e->place.v[e->key.v[id].endpoint]->policy;
	if (endpoint.n)
		place = intern_find(&e->place_name, endpoint);
	if (place != INTERN_NONE)
		return &e->place.v[place]->policy;
	rule = find_rule(e, endpoint.n ? endpoint : key);
	return rule != RULE_NONE ? &e->rule.v[rule].policy : &e->policy;
}

int engine_compression(const struct engine *e, struct bytes endpoint, struct bytes key,
                       size_t value_bytes)
{
	const struct policy *y;

	if (!e->store || value_bytes < e->compression_least ||
	    (double)value_bytes > e->limits.max_value_bytes)
		return 0;
	y = policy_of(e, endpoint, key);
	return y->compression != COMPRESSION_OFF &&
	                       (double)value_bytes >= y->compression_min_bytes &&
	                       (double)value_bytes <= y->compression_max_bytes
	               ? (int)y->compression_level
	               : 0;
}

void keyring_note_compression(struct engine *e, const struct policy *y)
{
	if (y->compression != COMPRESSION_OFF &&
	    y->compression_min_bytes < (double)e->compression_least)
		e->compression_least = (size_t)y->compression_min_bytes;
}

/* Reads rule, policy, class, zone and origin of an endpoint anew; true: its policy is another one. */
static bool apply(struct engine *e, uint32_t place)
{
	struct place *p = e->place.v[place];
	struct bytes name = intern_name(&e->place_name, place), cls = name;
	const struct policy before = p->policy;
	uint32_t rule;

	rule = find_rule(e, name);
	p->policy = e->policy;
	p->origin = e->default_origin;
	p->zone = keyring_zone(e, 0);
	p->ruled = rule != RULE_NONE;
	if (rule != RULE_NONE) {
		const struct rule_state *r = &e->rule.v[rule];

		p->policy = r->policy;
		p->origin = r->origin;
		p->zone = keyring_zone(e, r->zone);
		if (r->class_name)
			cls = bytes_str(r->class_name);
	}
	if (e->pool)
		cls = bytes_str("all");
	p->class_id = keyring_class(e, cls, p->policy.max_stale);
	price_set_objective(&e->cls.v[p->class_id].price, p->policy.max_stale);
	return memcmp(&before, &p->policy, sizeof(before)) != 0;
}

/*
 * A slice of the applying, of some 0.2 ms: in units of about 0.1 us an endpoint costs this, and as
 * much as it has rules to be compared with; a key 1.
 */
static const size_t APPLY_SLICE = 2000, APPLY_PLACE = 5;

bool keyring_apply_some(struct engine *e, bool all)
{
	struct applying *a = &e->applying;
	size_t work = 0;

	while (a->next < a->end && (all || work < APPLY_SLICE)) {
		struct place *p = e->place.v[a->next];

		if (p && !a->in_keys) {
			a->in_keys = apply(e, a->next);
			a->keys = p->ep.keys.n;
			work += APPLY_PLACE + e->rule.n;
		}
		/* from the last on: what is forgotten meanwhile moves only what has been seen */
		for (; a->in_keys && a->keys && (all || work < APPLY_SLICE); a->keys--, work++)
			if (a->keys <= p->ep.keys.n)
				policy_changed(e, p, p->ep.keys.v[a->keys - 1]);
		if (a->in_keys && a->keys)
			return false;
		a->in_keys = false;
		a->next++;
	}
	return a->next >= a->end;
}

uint32_t keyring_place(struct engine *e, struct instant now, struct bytes name, struct effects *fx)
{
	uint32_t id = intern_find(&e->place_name, name);
	struct place *p;
	struct effect *f;

	if (id != INTERN_NONE)
		return id;
	if (e->place_name.live >= e->limits.max_endpoints && !bytes_equal(name, bytes_str(OTHER)))
		return keyring_place(e, now, bytes_str(OTHER), fx);
	id = intern_add(&e->place_name, name, NULL);
	while (e->place.n <= id)
		*vec_push(&e->place) = NULL;
	p = mem_calloc(1, sizeof(*p));
	e->place.v[id] = p;
	endpoint_init(&p->ep, e->prior);
	p->ep.demand.pool = &e->demand;
	p->loader_origin = ORIGIN_NONE;
	p->fitted = now;
	p->searched = INSTANT_NONE;
	apply(e, id);
	e->stats.endpoints++;
	if (fx) {
		f = effect_add(fx, EFFECT_NOTICE);
		f->endpoint = intern_name(&e->place_name, id);
		f->notice.what = NOTICE_ENDPOINT;
	}
	return id;
}

/* The endpoint of a key that came without one: the rule's pattern names it, else it is mined. */
static uint32_t place_of(struct engine *e, struct instant now, struct bytes endpoint,
                         struct bytes key, struct effects *fx)
{
	char mined[TEMPLATE_MAX + 1];
	uint32_t rule;

	if (endpoint.n)
		return keyring_place(e, now, endpoint, fx);
	rule = find_rule(e, key);
	if (rule != RULE_NONE && strchr(e->rule.v[rule].match, '<'))
		return keyring_place(e, now, bytes_str(e->rule.v[rule].match), fx);
	template_mine(key, mined);
	/*
	 * what the rule takes literally may look like an id: the mined name would escape the rule
	 */
	if (rule != RULE_NONE && find_rule(e, bytes_str(mined)) != rule)
		return keyring_place(e, now, bytes_str(e->rule.v[rule].match), fx);
	return keyring_place(e, now, bytes_str(mined), fx);
}

/*
 * Makes room for a new key: of some chosen at random the one least asked for goes. False when every
 * key has a load under way.
 */
static bool forget_one(struct engine *e, struct instant now)
{
	uint32_t worst = KEY_NONE, start;
	double least = 0;

	for (int tries = 0, seen = 0; tries < 256 && seen < 16; tries++) {
		uint32_t id = (uint32_t)rng_below(&e->rng, e->key_name.n_ids);
		struct key *k;
		double rate;

		if (!intern_is_live(&e->key_name, id))
			continue;
		k = &e->key.v[id];
		if (k->flight != KEY_NONE || load_has_stray(e, id) || large_is_awaited(e, id))
			continue;
		seen++;
		rate = endpoint_key_rate(&key_place(e, k)->ep, key_place(e, k)->zone, k, now);
		if (worst == KEY_NONE || rate < least) {
			worst = id;
			least = rate;
		}
	}
	/*
	 * few are left among many ids (max_keys was lowered), or most are being loaded: any will do
	 */
	start = worst == KEY_NONE ? (uint32_t)rng_below(&e->rng, e->key_name.n_ids) : 0;
	for (uint32_t i = 0; worst == KEY_NONE && i < e->key_name.n_ids; i++) {
		uint32_t id = (uint32_t)(((uint64_t)start + i) % e->key_name.n_ids);

		if (intern_is_live(&e->key_name, id) && e->key.v[id].flight == KEY_NONE &&
		    !load_has_stray(e, id) && !large_is_awaited(e, id))
			worst = id;
	}
	if (worst == KEY_NONE)
		return false;
	keyring_forget(e, worst);
	return true;
}

/* One more place in the table, which is large: see mem_filled. */
static void add_key(struct engine *e)
{
	const size_t of = sizeof(*e->key.v);

	if (e->key.n == e->key.cap) {
		e->key.cap = e->key.cap ? 2 * e->key.cap : 64;
		e->key.v = mem_grow_filled(e->key.v, e->key.cap, of, e->key.n * of);
	}
	e->key.n++;
	mem_filled(e->key.v, e->key.n * of, of);
}

uint32_t keyring_key(struct engine *e, struct instant now, struct bytes endpoint, struct bytes name,
                     struct effects *fx)
{
	uint32_t id = intern_find(&e->key_name, name), place;
	struct place *p;
	struct key *k;

	if (id != INTERN_NONE) {
		plain_settle(e, id);
		return id;
	}
	if (!name.n || (double)name.n > e->limits.max_key_bytes ||
	    (double)endpoint.n > e->limits.max_key_bytes)
		return KEY_NONE;
	if (e->key_name.live >= e->limits.max_keys && !forget_one(e, now))
		return KEY_NONE;
	/* still too many: the limit was lowered; two go for each that comes until it is kept */
	if (e->key_name.live >= e->limits.max_keys)
		forget_one(e, now);
	place = place_of(e, now, endpoint, name, fx);
	p = e->place.v[place];
	id = intern_add(&e->key_name, name, NULL);
	while (e->key.n <= id)
		add_key(e);
	k = &e->key.v[id];
	*k = (struct key){
	        .endpoint = place,
	        .place = (uint32_t)p->ep.keys.n,
	        .entry = STORE_NONE,
	        .flight = KEY_NONE,
	        .loaded = INSTANT_NONE,
	        .soft = INSTANT_NONE,
	        .hard = INSTANT_NONE,
	        .planned = INSTANT_NONE,
	        .last_seen = INSTANT_NONE,
	        .last_changed = INSTANT_NONE,
	};
	hold_out(k, name, &p->policy);
	plain_look_at(k, name);
	k->flush = e->flushes.number[k->space];
	*vec_push(&p->ep.keys) = id;
	return id;
}

void keyring_forget(struct engine *e, uint32_t key)
{
	struct key *k = &e->key.v[key];
	struct endpoint *ep = &key_place(e, k)->ep;
	uint32_t last = ep->keys.v[ep->keys.n - 1], hole;

	serve_drop(e, key);
	plain_forget(e, key);
	if (e->store)
		reuse_forget(e->evict.reuse, key);
	heap_cancel(&e->refresh, key);
	heap_cancel(&e->jump, key);
	peak_forget_key(e, key);
	if (e->last_error_key == key)
		e->last_error_key = KEY_NONE; /* its id may be another key's soon */
	hole = planning_hole(e, k->endpoint, k->place);
	ep->keys.v[hole] = last;
	e->key.v[last].place = hole;
	ep->keys.n--;
	intern_remove(&e->key_name, key);
}
