/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What makes way when the store is full.
 *
 * HOW IT WORKS an entry is worth what its key's requests promise (models/reuse.h), times what a
 * load costs, by the bytes it takes; past its end it is worth nothing. The least worth of some
 * chosen at random goes, together with the least worth seen before that were not the least: so few
 * look like many. The last few that were put are spared, that whoever sets a value can get it; then
 * each is looked at once, as a loop longer than the cache had best lose its newest.
 */
#include "engine/state.h"

#include "base/bug.h"

#include <math.h>

#define SAMPLE 16

/* All that one eviction looks at: the sample, and the pool: runners-up of before, and a newcomer. */
#define LOOKED_AT (SAMPLE + EVICT_POOL)

/* One of so many entries is a newcomer, and never more than EVICT_NEWEST. */
static const uint64_t NEWEST_OF = 128;

/* What a miss costs besides the load itself, as if the load took so much longer. */
static const double MISS_US = 1000;

/* How fast the mean load time follows, which stands in where none is known. */
static const double MEAN_GAIN = 0.01;

/* The tables are learned from this share of a full store on. */
static const double LEARN_FROM = 0.5;

struct candidate {
	uint32_t key;
	double worth;
};

void evict_release(struct engine *e)
{
	reuse_free(&e->evict.reuse);
}

void evict_asked(struct engine *e, uint32_t key, double count, bool hit)
{
	if (e->store)
		reuse_asked(e->evict.reuse, key, count, hit, e->evict.learn);
}

void evict_loaded(struct engine *e, struct span took)
{
	double us = (double)took.us;

	e->evict.load_us += e->evict.load_us > 0 ? MEAN_GAIN * (us - e->evict.load_us) : us;
}

/* Takes the oldest newcomers beyond so many; whoever evicts next looks at the last of them. */
static void newest_trim(struct evict *v, uint64_t most)
{
	while (v->n_newest > most) {
		if (v->n_pool < EVICT_POOL)
			v->n_pool++;
		v->pool[v->n_pool - 1] = v->newest[v->newest_at];
		v->newest_at = (v->newest_at + 1) % EVICT_NEWEST;
		v->n_newest--;
	}
}

static bool is_newest(const struct evict *v, uint32_t key)
{
	for (unsigned i = 0; i < v->n_newest; i++)
		if (v->newest[(v->newest_at + i) % EVICT_NEWEST] == key)
			return true;
	return false;
}

void evict_kept(struct engine *e, uint32_t key)
{
	struct evict *v = &e->evict;
	struct store_stats s;

	store_stats(e->store, &s);
	v->learn = (double)s.bytes_used > LEARN_FROM * (double)s.bytes_total;
	reuse_resize(v->reuse, (double)s.entries * (double)s.bytes_total / (double)s.bytes_used);
	reuse_put(v->reuse, key);
	newest_trim(v, EVICT_NEWEST - 1);
	v->newest[(v->newest_at + v->n_newest++) % EVICT_NEWEST] = key;
	newest_trim(v, s.entries / NEWEST_OF);
}

static bool is_held(const struct engine *e, uint32_t key)
{
	return key < e->key.n && e->key.v[key].entry != STORE_NONE;
}

static uint64_t bytes_of_key(struct engine *e, uint32_t key)
{
	uint64_t n = store_footprint(e->store, key_bytes(e, key).n, e->key.v[key].bytes);

	return n ? n : 1;
}

double evict_worth(struct engine *e, struct instant now, uint32_t key)
{
	const struct key *k = &e->key.v[key];
	const struct place *p = key_place(e, k);
	double us = k->load_us > 0        ? (double)k->load_us
	            : p->ep.load_us.n > 0 ? loghist_mean(&p->ep.load_us)
	                                  : e->evict.load_us;

	if (now.us >= k->hard.us)
		return 0;
	return reuse_worth(e->evict.reuse, key) * (us + MISS_US) * (1 + p->policy.latency_value) /
	       (double)bytes_of_key(e, key);
}

/* Puts a key in the list, least worth first, unless it is there. */
static void add(struct engine *e, struct instant now, struct candidate *list, unsigned *n,
                uint32_t key)
{
	double worth = evict_worth(e, now, key);
	unsigned i;

	for (i = 0; i < *n; i++)
		if (list[i].key == key)
			return;
	for (i = (*n)++; i > 0 && list[i - 1].worth > worth; i--)
		list[i] = list[i - 1];
	list[i] = (struct candidate){key, worth};
}

/*
 * Fills the list with what may go; LOOKED_AT fit. Entries of which we know nothing go at once: 0
 * candidates then, and *ret_freed is what they took.
 */
static unsigned look(struct engine *e, struct instant now, struct candidate *list,
                     uint64_t *ret_freed)
{
	struct evict *v = &e->evict;
	unsigned n = 0;

	for (unsigned i = 0; i < v->n_pool; i++)
		if (is_held(e, v->pool[i]) && !is_newest(v, v->pool[i]))
			add(e, now, list, &n, v->pool[i]);
	for (int i = 0; i < SAMPLE; i++) {
		uint32_t entry = store_sample(e->store, &e->rng), owner;

		if (entry == STORE_NONE)
			break;
		owner = store_owner(e->store, entry);
		if (owner >= e->key.n || e->key.v[owner].entry != entry) {
			struct store_item item;

			store_get(e->store, entry, &item);
			*ret_freed = store_footprint(e->store, item.key.n, item.value.n);
			store_remove(e->store, entry);
			return 0;
		}
		/* spared, unless there is nothing else */
		if (!is_newest(v, owner) || (i == SAMPLE - 1 && n == 0))
			add(e, now, list, &n, owner);
	}
	return n;
}

void evict_entry(struct engine *e, uint32_t entry)
{
	uint32_t owner = store_owner(e->store, entry);

	if (owner < e->key.n && e->key.v[owner].entry == entry)
		serve_drop(e, owner);
	else
		store_remove(e->store, entry);
	e->stats.evicted++;
}

uint64_t evict_some(struct engine *e, struct instant now, uint64_t bytes)
{
	struct candidate list[LOOKED_AT];
	struct evict *v = &e->evict;
	uint64_t freed = 0;
	unsigned n = look(e, now, list, &freed), gone = 0, most;

	if (freed)
		e->stats.evicted++;
	/* one value among many small ones: several of each sample */
	most = n / 4 ? n / 4 : 1;
	for (; gone < n && gone < most && freed < bytes; gone++) {
		freed += bytes_of_key(e, list[gone].key);
		serve_drop(e, list[gone].key);
		e->stats.evicted++;
	}
	v->n_pool = 0;
	for (unsigned i = gone; i < n && v->n_pool < EVICT_POOL; i++)
		v->pool[v->n_pool++] = list[i].key;
	return freed;
}
