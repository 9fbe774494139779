/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the engine keeps when its store is full. Sequences whose best result is known, and parts. */
#include "engine/evict.c"

#include "base/hash.h"
#include "base/rng.h"
#include "tests/tap.h"

#include <string.h>

#define STORE_BYTES (1u << 20)

static struct rng rng;
static const struct instant START = {INT64_C(1600000000) * 1000000};

struct cache {
	struct engine *e;
	struct store *store;
	void *mem;
	struct effects fx;
	struct instant now;
	uint8_t *value;
	uint64_t misses;
};

static struct cache cache_of(size_t bytes)
{
	struct cache c = {.now = START};
	struct store_clock clock = {.base = START, .scale = 1};
	struct engine_config config = {
	        .seed = tap_seed,
	        .limits = engine_limits_default(),
	        .policy = policy_default(),
	        .origin = ORIGIN_NONE,
	};

	config.policy.ttl = TTL_OBEY;
	config.policy.static_ttl = config.policy.max_age = 31536000;
	config.policy.jitter = 0;
	config.limits.audit_share = 0;
	c.mem = aligned_alloc(4096, bytes);
	c.value = mem_calloc(1, bytes);
	if (store_create(c.mem, bytes, 1, clock, &c.store) != 0)
		abort();
	c.e = engine_new(&config, c.store, START);
	return c;
}

static struct cache cache_new(void)
{
	return cache_of(STORE_BYTES);
}

static void cache_free(struct cache *c)
{
	effects_release(&c->fx);
	engine_free(&c->e);
	store_release(&c->store);
	free(c->mem);
	free(c->value);
}

static void tell(struct cache *c, const struct input *in)
{
	c->now = instant_add(c->now, SPAN_MS(1));
	engine_input(c->e, c->now, in, &c->fx);
	for (size_t i = 0; i < c->fx.list.n; i++)
		if (c->fx.list.v[i].kind == EFFECT_FIT)
			harmonic_data_free(&c->fx.list.v[i].fit.data);
	effects_clear(&c->fx);
}

static struct input about(const uint32_t *key, enum input_kind kind)
{
	struct input in = {.kind = kind, .key = bytes_of(key, sizeof(*key))};

	in.endpoint = bytes_str("keys");
	return in;
}

static bool holds(const struct cache *c, uint32_t key)
{
	return store_find(c->store, bytes_of(&key, sizeof(key))) != STORE_NONE;
}

static void set(struct cache *c, uint32_t key, size_t bytes, double load_ms, double ttl_s)
{
	struct input in = about(&key, INPUT_SET);

	in.set.value = bytes_of(c->value, bytes);
	in.set.version = 1;
	in.set.read = INSTANT_NONE;
	in.set.load = span_from_s(load_ms / 1000);
	in.set.ttl = span_from_s(ttl_s);
	tell(c, &in);
}

/* An app asks for the key, and loads and sets it where it is not held. */
static bool ask(struct cache *c, uint32_t key, size_t bytes, double load_ms)
{
	struct input in = about(&key, INPUT_EVENT);
	bool hit = holds(c, key);

	in.event.at = INSTANT_NONE;
	in.event.count = 1;
	in.event.outcome = hit ? OUTCOME_HIT : OUTCOME_MISS;
	tell(c, &in);
	if (hit)
		return true;
	c->misses++;
	set(c, key, bytes, load_ms, 0);
	return false;
}

/* Entries of the size that fit. */
static uint32_t room_for(size_t bytes)
{
	struct cache c = cache_new();
	struct store_stats s;
	uint32_t n = 0;

	for (; c.e->stats.evicted == 0; n++)
		set(&c, n, bytes, 0, 0);
	store_stats(c.store, &s);
	cache_free(&c);
	return (uint32_t)s.entries;
}

TEST(of_a_loop_one_longer_than_the_cache_nearly_all_is_kept)
{
	/* few entries, and enough for some newcomers to be spared */
	for (size_t bytes = 16000; bytes >= 1000; bytes /= 16) {
		uint32_t room = room_for(bytes), rounds = 60;
		struct cache c = cache_new();
		double best, n = (double)(room + 1) * (rounds - 20);

		for (uint32_t i = 0; i < (room + 1) * rounds; i++) {
			if (i == (room + 1) * 20)
				c.misses = 0;
			ask(&c, i % (room + 1), bytes, 0);
		}
		/* LRU and FIFO miss all; the best misses one of `room` */
		best = n / room;
		OK((double)c.misses < 3 * best + 0.05 * n, "%" PRIu64 " misses of %.0f, best %.0f",
		   c.misses, n, best);
		cache_free(&c);
	}
}

TEST(of_a_loop_twice_as_long_about_half_is_kept)
{
	uint32_t room = room_for(1000);
	struct cache c = cache_new();

	for (uint32_t i = 0; i < 2 * room * 60; i++) {
		if (i == 2 * room * 20)
			c.misses = 0;
		ask(&c, i % (2 * room), 1000, 0);
	}
	NEAR((double)c.misses / (2 * room * 40), 0.5, 0.08);
	cache_free(&c);
}

TEST(scans_do_not_wash_out_what_is_used)
{
	uint32_t room = room_for(1000), used = room / 2, next = 1000000;
	struct cache c = cache_new();
	uint64_t of_used = 0, n = 0;

	for (uint32_t i = 0; i < 200000; i++) {
		bool hit;

		/* a scan of three times the cache, of keys that never come again */
		if (i % 20000 == 19999)
			for (uint32_t j = 0; j < 3 * room; j++)
				ask(&c, next++, 1000, 0);
		hit = ask(&c, (uint32_t)rng_below(&rng, used), 1000, 0);
		of_used += i > 100000 && !hit;
		n += i > 100000;
	}
	OK((double)of_used / (double)n < 0.005, "%" PRIu64 " of %" PRIu64, of_used, n);
	cache_free(&c);
}

TEST(of_few_entries_none_are_lost_to_newcomers)
{
	uint32_t room = room_for(16000), used = room - 8, next = 1000000;
	struct cache c = cache_new();
	uint64_t of_used = 0, n = 0;

	/* two of five requests are for keys that never come again */
	for (uint32_t i = 0; i < 40000; i++) {
		if (i % 5 < 2) {
			ask(&c, next++, 16000, 0);
			continue;
		}
		of_used += !ask(&c, (uint32_t)rng_below(&rng, used), 16000, 0) && i > 20000;
		n += i > 20000;
	}
	OK((double)of_used / (double)n < 0.1, "%" PRIu64 " of %" PRIu64, of_used, n);
	cache_free(&c);
}

TEST(what_was_used_yesterday_makes_way)
{
	uint32_t room = room_for(1000), used = room * 3 / 4;
	struct cache c = cache_new();

	for (uint32_t i = 0; i < 100000; i++)
		ask(&c, (uint32_t)rng_below(&rng, used), 1000, 0);
	/* other keys from now on; each of the old ones had been asked for a hundred times */
	for (uint32_t i = 0; i < 30000; i++) {
		if (i == 20000)
			c.misses = 0;
		ask(&c, used + (uint32_t)rng_below(&rng, used), 1000, 0);
	}
	OK(c.misses < 200, "%" PRIu64 " of the last 10000 missed", c.misses);
	cache_free(&c);
}

/* Twice the room of keys asked for alike, every other dear; the share of each that is held. */
static void held_shares(size_t cheap_bytes, size_t dear_bytes, double cheap_ms, double dear_ms,
                        double *ret_cheap, double *ret_dear)
{
	uint32_t n = 2 * STORE_BYTES / (uint32_t)(cheap_bytes + dear_bytes) * 2;
	struct cache c = cache_new();

	*ret_cheap = *ret_dear = 0;
	for (uint32_t i = 0; i < 100 * n; i++) {
		uint32_t k = (uint32_t)rng_below(&rng, n);

		ask(&c, k, k % 2 ? dear_bytes : cheap_bytes, k % 2 ? dear_ms : cheap_ms);
	}
	for (uint32_t k = 0; k < n; k++)
		*(k % 2 ? ret_dear : ret_cheap) += holds(&c, k) / (n / 2.0);
	cache_free(&c);
}

TEST(what_costs_more_to_load_is_kept)
{
	double cheap, dear;

	held_shares(1000, 1000, 10, 100, &cheap, &dear);
	OK(dear > 0.8 && cheap < 0.2, "%.2f of the dear, %.2f of the cheap", dear, cheap);
}

TEST(of_alike_keys_the_small_are_kept)
{
	double large, small;

	held_shares(4000, 400, 50, 50, &large, &small);
	OK(small > 0.9 && large < 0.6, "%.2f of the small, %.2f of the large", small, large);
}

TEST(what_has_ended_goes_first)
{
	uint32_t room = room_for(1000), ended = 0, lasting = 0;
	struct cache c = cache_new();

	/* as often asked for, one in ten ends early */
	for (int round = 0; round < 3; round++)
		for (uint32_t k = 0; k + 1 < room; k++) {
			if (round == 0)
				set(&c, k, 1000, 10, k % 10 ? 0 : 1);
			ask(&c, k, 1000, 10);
		}
	c.now = instant_add(c.now, SPAN_S(60));
	for (uint32_t k = 0; k < room / 20; k++)
		set(&c, 100000 + k, 1000, 10, 0);
	for (uint32_t k = 0; k + 1 < room; k++)
		*(k % 10 ? &lasting : &ended) += !holds(&c, k);
	OK(ended > room / 20 * 3 / 4, "%" PRIu32 " that had ended, %" PRIu32 " others went", ended,
	   lasting);
	cache_free(&c);
}

TEST(the_last_few_that_were_put_are_spared)
{
	uint32_t room = room_for(1000), spared = room / 128, next = 1000000, lost = 0;
	struct cache c = cache_new();

	/* all there is is asked for often, and nothing new ever again: it would go at once */
	for (uint32_t i = 0; i < 50 * room; i++)
		ask(&c, (uint32_t)rng_below(&rng, room - 1), 1000, 0);
	OK(spared >= 5, "%" PRIu32, spared);
	for (uint32_t i = 0; i < 2000; i++, next++) {
		set(&c, next, 1000, 0, 0);
		/* what is asked for in between is put again now and then, and is new, too */
		for (uint32_t back = 0; back < spared / 2; back++)
			lost += i > spared && !holds(&c, next - back);
		ask(&c, (uint32_t)rng_below(&rng, room - 1), 1000, 0);
	}
	OK(lost == 0, "%" PRIu32 " went while new", lost);
	cache_free(&c);
}

TEST(a_key_that_comes_back_is_no_stranger)
{
	uint32_t room = room_for(1000);
	struct cache c = cache_new();
	uint32_t id, key = 7;

	for (int i = 0; i < 20; i++)
		ask(&c, key, 1000, 0);
	for (uint32_t k = 0; holds(&c, key); k++)
		for (int i = 0; i < 3; i++)
			ask(&c, 1000 + k % (4 * room), 1000, 0);
	id = intern_find(&c.e->key_name, bytes_of(&key, sizeof(key)));
	OK(reuse_look(c.e->evict.reuse, id).freq > 2 * 64, "its frequency is %u / 64",
	   reuse_look(c.e->evict.reuse, id).freq);
	ask(&c, key, 1000, 0);
	OK(reuse_look(c.e->evict.reuse, id).freq > 3 * 64, "and counts on");
	/* when the key itself is forgotten, so is this */
	keyring_forget(c.e, id);
	OK(reuse_look(c.e->evict.reuse, id).state == REUSE_UNKNOWN, "forgotten");
	cache_free(&c);
}

TEST(a_large_value_finds_room_among_small_ones)
{
	struct cache c = cache_new();
	uint64_t before;

	for (uint32_t k = 0; k < 20000; k++)
		set(&c, k, 50, 0, 0);
	before = c.e->stats.evicted;
	set(&c, 1000000, 400000, 0, 0);
	OK(holds(&c, 1000000), "held");
	OK(c.e->stats.evicted - before < 5000, "%" PRIu64 " made way", c.e->stats.evicted - before);
	/* what can never fit moves nothing */
	before = c.e->stats.evicted;
	set(&c, 1000001, STORE_BYTES, 0, 0);
	OK(c.e->stats.evicted == before, "nothing made way");
	cache_free(&c);
}

TEST(a_large_value_without_a_room_of_its_own_finds_one_in_a_store_without_gaps)
{
	struct cache c = cache_of(32 << 20);
	uint64_t before;

	for (uint32_t k = 0; c.e->stats.evicted == 0; k++)
		set(&c, k, 280 + k % 7, 0, 0);
	before = c.e->stats.evicted;
	set(&c, 1000000, 8 << 20, 0, 0);
	OK(holds(&c, 1000000), "%" PRIu64 " made way", c.e->stats.evicted - before);
	/* those in its place, and as many as it takes that there is one */
	OK(c.e->stats.evicted - before > 20000 && c.e->stats.evicted - before < 45000,
	   "%" PRIu64 " made way", c.e->stats.evicted - before);
	cache_free(&c);
}

TEST(small_values_that_fill_the_index_make_way)
{
	struct cache c = cache_new();
	struct store_stats s;
	uint32_t most = 0, held = 0;

	/* far less than an entry per 232 bytes of memory is left of it when there is no slot any more */
	for (uint32_t k = 0; k < 20000; k++) {
		set(&c, k, 8, 0, 0);
		held += holds(&c, k);
		store_stats(c.store, &s);
		most = s.entries > most ? (uint32_t)s.entries : most;
	}
	OK(held == 20000, "%u of 20000 were kept", held);
	OK(s.bytes_used < s.bytes_total / 2, "it is not memory that is missing");
	OK(s.entries == most && most < 20000 && c.e->stats.evicted == 20000 - most,
	   "%u entries, %" PRIu64 " made way", most, c.e->stats.evicted);
	/* and for a large one, put in one go, just one does */
	set(&c, 1000000, 100000, 0, 0);
	OK(holds(&c, 1000000) && c.e->stats.evicted == 20001 - most);
	cache_free(&c);
}

TEST(what_an_earlier_daemon_left_is_not_the_first_to_go)
{
	struct engine_config config = {
	        .seed = tap_seed,
	        .limits = engine_limits_default(),
	        .policy = policy_default(),
	        .origin = ORIGIN_NONE,
	};
	struct cache c = cache_new();
	uint32_t id, key = 7;

	set(&c, key, 1000, 0, 0);
	engine_free(&c.e);
	c.e = engine_new(&config, c.store, c.now);
	engine_adopt(c.e, c.now);
	id = intern_find(&c.e->key_name, bytes_of(&key, sizeof(key)));
	OK(id != INTERN_NONE && holds(&c, key), "taken over");
	OK(reuse_look(c.e->evict.reuse, id).state == REUSE_PUT, "as put just now");
	OK(evict_worth(c.e, c.now, id) > 0, "and worth something");
	cache_free(&c);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(of_a_loop_one_longer_than_the_cache_nearly_all_is_kept);
	RUN(of_a_loop_twice_as_long_about_half_is_kept);
	RUN(scans_do_not_wash_out_what_is_used);
	RUN(of_few_entries_none_are_lost_to_newcomers);
	RUN(what_was_used_yesterday_makes_way);
	RUN(what_costs_more_to_load_is_kept);
	RUN(of_alike_keys_the_small_are_kept);
	RUN(what_has_ended_goes_first);
	RUN(the_last_few_that_were_put_are_spared);
	RUN(a_key_that_comes_back_is_no_stranger);
	RUN(a_large_value_finds_room_among_small_ones);
	RUN(a_large_value_without_a_room_of_its_own_finds_one_in_a_store_without_gaps);
	RUN(small_values_that_fill_the_index_make_way);
	RUN(what_an_earlier_daemon_left_is_not_the_first_to_go);
	return tap_done();
}
