/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Databases of plain clients: what is counted on the way, and purges in slices. */
#include "engine/plain.h"

#include "base/hash.h"
#include "engine/state.h"
#include "tests/store_open.h"
#include "tests/store_packed.h"
#include "tests/tap.h"

#include <gsl/gsl_errno.h>
#include <string.h>

static struct rng rng;

static const struct instant NOON = {INT64_C(1795435200) * 1000000};

struct bench {
	struct engine *e;
	struct store *store;
	void *mem;
	struct effects fx;
	struct instant now;
};

static struct bench bench_new(uint64_t bytes, const struct engine_rule *rule, size_t n_rules)
{
	static const struct engine_origin origin = {"api", {100, 100, 50, 10}};
	struct engine_config c = {.seed = 7,
	                          .limits = engine_limits_default(),
	                          .policy = policy_default(),
	                          .origins = &origin,
	                          .n_origins = 1,
	                          .origin = ORIGIN_NONE,
	                          .rule = rule,
	                          .n_rules = n_rules};
	struct bench b = {.now = NOON, .mem = aligned_alloc(4096, bytes)};

	b.store = created(b.mem, bytes, 1, (struct store_clock){0, NOON, 1, 0});
	b.e = engine_new(&c, b.store, NOON);
	return b;
}

static void clear(struct bench *b)
{
	for (size_t i = 0; i < b->fx.list.n; i++)
		if (b->fx.list.v[i].kind == EFFECT_FIT)
			harmonic_data_free(&b->fx.list.v[i].fit.data);
	effects_clear(&b->fx);
}

static void bench_free(struct bench *b)
{
	clear(b);
	engine_free(&b->e);
	store_release(&b->store);
	effects_release(&b->fx);
	free(b->mem);
}

static const struct effect *replied(const struct bench *b, uint64_t ticket)
{
	for (size_t i = 0; i < b->fx.list.n; i++)
		if (b->fx.list.v[i].kind == EFFECT_REPLY && b->fx.list.v[i].ticket == ticket)
			return &b->fx.list.v[i];
	return NULL;
}

static int set(struct bench *b, const char *key, const char *value, struct instant expires)
{
	struct plain_set s = {
	        .key = bytes_str(key), .value = bytes_str(value), .expires = expires};

	return plain_set(b->e, b->now, &s, &b->fx);
}

/* -- Compression ------------------------------------------------------------------------------ */

TEST(a_value_that_came_packed_is_handed_out_so)
{
	static char value[5000];
	struct bench b = bench_new(1 << 20, NULL, 0);
	struct plain_set s = {.key = bytes_str("k"),
	                      .value = bytes_of(value, sizeof(value)),
	                      .expires = INSTANT_NEVER};
	struct packed_value p = {.hash = hash_bytes(s.value, 0)};
	struct plain_value v = {0};
	uint64_t version;
	bool packed;

	p.bytes = packed_or_not(s.value, &packed);
	OK(packed);
	for (int i = 0; i < 4; i++) {
		/* in turn: packed, and as it is */
		s.packed = i % 2 ? NULL : &p;
		OK(plain_set(b.e, b.now, &s, &b.fx) == 0);
		OK(plain_find(b.e, b.now, s.key, &v) && v.packed == !(i % 2) &&
		   v.bytes == sizeof(value));
		OK(bytes_equal(v.value, i % 2 ? s.value : p.bytes));
		OK(plain_get(b.e, b.now, s.key, 0, &v, &b.fx) == PLAIN_HIT && v.packed == !(i % 2));
		version = b.e->key.v[v.id].version;
		OK(version == (p.hash | 1), "it is the same value");
		OK(i % 2 || b.e->key.v[v.id].bytes == p.bytes.n, "it is evicted as what it takes");
		b.now = instant_add(b.now, SPAN_S(1));
	}
	bench_free(&b);
}

TEST(a_set_of_what_is_held_packed_leaves_it_where_it_is)
{
	static char value[5000], other[5000];
	struct bench b = bench_new(1 << 20, NULL, 0);
	struct plain_set s = {.key = bytes_str("k"), .value = bytes_of(value, sizeof(value))};
	struct packed_value p = {.hash = hash_bytes(s.value, 0)};
	struct plain_value v = {0};
	char frame[100];
	bool packed;

	p.bytes = packed_or_not(s.value, &packed);
	OK(packed && p.bytes.n <= sizeof(frame));
	memcpy(frame, p.bytes.p, p.bytes.n);
	p.bytes.p = frame;
	s.packed = &p;
	for (int i = 0; i < 5; i++) {
		s.expires = instant_add(b.now, SPAN_S(10));
		OK(plain_set(b.e, b.now, &s, &b.fx) == 0);
		OK(b.e->stats.packed.values == 1, "put once");
		OK(plain_find(b.e, b.now, s.key, &v) && v.packed && v.expires.us == s.expires.us);
		b.now = instant_add(b.now, SPAN_S(6));
	}
	plain_learn(b.e, b.now, 10, &b.fx);
	OK(b.e->key.v[v.id].looks == 1 && b.e->stats.sets == 5, "a look at what has not changed");
	/* another value, and a frame as long that is another */
	other[0] = 1;
	s.value = bytes_of(other, sizeof(other));
	frame[p.bytes.n - 1] ^= 1;
	p.hash++;
	OK(plain_set(b.e, b.now, &s, &b.fx) == 0 && b.e->stats.packed.values == 2);
	OK(plain_find(b.e, b.now, s.key, &v) && bytes_equal(v.value, p.bytes));
	/* the very bytes of the frame as a value */
	s.value = p.bytes;
	s.packed = NULL;
	OK(plain_set(b.e, b.now, &s, &b.fx) == 0);
	OK(plain_find(b.e, b.now, s.key, &v) && !v.packed && bytes_equal(v.value, p.bytes));
	bench_free(&b);
}

/* -- Counts ------------------------------------------------------------------------------------ */

/* By looking at each key: what plain_count() and plain_ending() have to be. */
static bool counts_are_right(const struct engine *e)
{
	uint64_t held[PLAIN_SPACES] = {0}, ending[PLAIN_SPACES] = {0};

	for (uint32_t id = 0; id < e->key_name.n_ids; id++) {
		const struct key *k = &e->key.v[id];

		if (!intern_is_live(&e->key_name, id) || k->entry == STORE_NONE ||
		    plain_is_flushed(e, k))
			continue;
		held[k->space]++;
		ending[k->space] += instant_is_set(k->soft);
	}
	for (unsigned i = 0; i < PLAIN_SPACES; i++)
		if (plain_count(e, i) != held[i] || plain_ending(e, i) != ending[i])
			return false;
	return true;
}

static struct instant some_end(struct bench *b)
{
	return rng_below(&rng, 3) ? instant_add(b->now, SPAN_MS(1 + rng_below(&rng, 20000)))
	                          : INSTANT_NEVER;
}

static void random_command(struct bench *b, uint64_t *job)
{
	static char value[20000];
	struct input in = {.ticket = 1 + rng_below(&rng, 1000)};
	unsigned kind = (unsigned)rng_below(&rng, 40), space = (unsigned)rng_below(&rng, 3);
	struct plain_value v;
	struct plain_set s;
	char name[64];
	struct bytes key;

	snprintf(name, sizeof(name), "%s/%s/%d", space ? space == 1 ? "@db1:" : "@db15:" : "",
	         rng_below(&rng, 3)   ? "k"
	         : rng_below(&rng, 2) ? "grace"
	                              : "learn",
	         (int)rng_below(&rng, 40));
	key = bytes_str(name);
	in.key = key;
	switch (kind) {
	default: /* big ones drive others out */
		s = (struct plain_set){.key = key,
		                       .value = bytes_of(value, rng_below(&rng, 3)
		                                                        ? rng_below(&rng, 4)
		                                                        : rng_below(&rng, 20000)),
		                       .expires = some_end(b),
		                       .exact = rng_below(&rng, 4) == 0};
		plain_set(b->e, b->now, &s, &b->fx);
		return;
	case 0:
	case 1:
	case 2:
		plain_delete(b->e, b->now, key, &b->fx);
		return;
	case 3:
	case 4:
	case 5:
	case 6:
		if (plain_find(b->e, b->now, key, &v))
			plain_expire(b->e, b->now, v.id, some_end(b), &b->fx);
		return;
	case 7:
	case 8:
	case 9:
		plain_get(b->e, b->now, key, 0, &v, &b->fx);
		return;
	case 10:
		plain_flush(b->e, rng_below(&rng, 4) ? space : PLAIN_SPACES);
		return;
	case 11:
	case 12:
		plain_flush_step(b->e, (uint32_t)rng_below(&rng, 50));
		return;
	case 13:
	case 14:
		in.kind = INPUT_SET;
		in.set.value = bytes_of(value, rng_below(&rng, 100));
		in.set.read = INSTANT_NONE;
		in.set.ttl = SPAN_S(rng_below(&rng, 3) * 20);
		break;
	case 15:
		in.kind = INPUT_DELETE;
		break;
	case 16:
		in.kind = INPUT_CHANGED;
		break;
	case 17:
	case 18:
		in.kind = INPUT_GET;
		in.get.mode = GET_LOAD;
		break;
	case 19:
		in.kind = INPUT_LOADED;
		in.loaded.job = *job;
		in.loaded.status = (enum load_status)rng_below(&rng, 5);
		in.loaded.value = bytes_of(value, rng_below(&rng, 100));
		in.loaded.last_modified = INSTANT_NONE;
		break;
	case 20:
		if (rng_below(&rng, 5))
			return;
		in.kind = INPUT_PURGE;
		in.purge.what = rng_below(&rng, 2) ? PURGE_ALL : PURGE_ENDPOINT;
		in.endpoint = bytes_str("/k/<id>");
		break;
	case 21:
		b->now = instant_add(b->now, SPAN_MS(rng_below(&rng, 5000)));
		plain_learn(b->e, b->now, 100, &b->fx);
		engine_tick(b->e, b->now, 0, &b->fx);
		return;
	}
	engine_input(b->e, b->now, &in, &b->fx);
	for (size_t i = 0; i < b->fx.list.n; i++)
		if (b->fx.list.v[i].kind == EFFECT_LOAD)
			*job = b->fx.list.v[i].load.job;
}

TEST(counts_agree_with_a_scan_whatever_happens)
{
	struct policy grace = policy_default(), learn = policy_default();
	struct engine_rule rule[] = {
	        {.match = "/grace/<id>", .origin = ORIGIN_NONE, .policy = grace},
	        {.match = "/learn/<id>", .origin = 0, .policy = learn}};
	uint64_t ended = 0, evicted = 0, endless = 0;

	rule[0].policy.grace = 5;
	rule[1].policy.ttl = TTL_LEARN;
	rule[1].policy.ttl_stated = true;
	for (int run = 0; run < 10; run++) {
		struct bench b = bench_new(STORE_MIN_BYTES, rule, 2);
		struct engine_stats stats;
		uint64_t job = 0;
		int i;

		for (i = 0; i < 5000 && counts_are_right(b.e); i++) {
			clear(&b);
			random_command(&b, &job);
			endless += plain_count(b.e, 0) - plain_ending(b.e, 0);
		}
		OK(i == 5000, "after %d commands of run %d", i, run);
		engine_stats(b.e, &stats);
		ended += plain_expired(b.e);
		evicted += stats.evicted;
		bench_free(&b);
	}
	OK(ended > 100 && evicted > 100 && endless > 1000,
	   "ended %" PRIu64 ", evicted %" PRIu64 ", endless %" PRIu64, ended, evicted, endless);
}

/* -- Purges ------------------------------------------------------------------------------------ */

enum { MANY = 10000 };

static struct bench filled(void)
{
	struct bench b = bench_new(8 << 20, NULL, 0);
	char key[32];

	for (int i = 0; i < MANY; i++) {
		snprintf(key, sizeof(key), "/%s/%d", i % 2 ? "a" : "b", i);
		OK(set(&b, key, "old", INSTANT_NEVER) == 0);
		clear(&b);
	}
	return b;
}

static uint64_t entries(const struct bench *b)
{
	struct store_stats s;

	store_stats(b->store, &s);
	return s.entries;
}

static void purge(struct bench *b, enum purge_what what, const char *endpoint, uint64_t ticket)
{
	struct input in = {
	        .kind = INPUT_PURGE, .ticket = ticket, .endpoint = bytes_str(endpoint)};

	in.purge.what = what;
	clear(b);
	engine_input(b->e, b->now, &in, &b->fx);
}

/* One turn of the daemon: how many values went. */
static uint64_t turn(struct bench *b)
{
	uint64_t before = entries(b);

	clear(b);
	OK(engine_next(b->e).us <= b->now.us, "a tick is wanted at once");
	engine_tick(b->e, b->now, 100, &b->fx);
	return before - entries(b);
}

TEST(a_purge_of_many_keys_is_done_in_slices)
{
	struct bench b = filled();
	const struct effect *f;
	struct plain_value v;
	uint64_t most = 0, gone;
	int turns;

	purge(&b, PURGE_ALL, "", 7);
	OK(!replied(&b, 7) && entries(&b) > MANY / 2, "%" PRIu64 " are left", entries(&b));
	/* what is set meanwhile, where the purge has been, stays */
	OK(set(&b, "/b/0", "new", INSTANT_NEVER) == 0);
	for (turns = 0; turns < MANY; turns++) {
		gone = turn(&b);
		most = gone > most ? gone : most;
		f = replied(&b, 7);
		if (f)
			break;
	}
	OK(f && f->reply.status == REPLY_OK && f->reply.count == MANY, "all are counted");
	OK(turns > 3 && most < MANY / 4, "%d turns, at most %" PRIu64 " at once", turns, most);
	OK(entries(&b) == 1 && plain_find(b.e, b.now, bytes_str("/b/0"), &v) &&
	   bytes_equal(v.value, bytes_str("new")));
	OK(!plain_find(b.e, b.now, bytes_str("/a/1"), &v));
	bench_free(&b);
}

TEST(purges_are_answered_in_their_order)
{
	struct bench b = filled();
	int at[4] = {0}, i;

	purge(&b, PURGE_ENDPOINT, "/a/<id>", 1);
	purge(&b, PURGE_ALL, "", 2);
	purge(&b, PURGE_ENDPOINT, "/b/<id>", 3);
	for (i = 1; i < MANY && !at[3]; i++) {
		const struct effect *f;

		turn(&b);
		for (uint64_t t = 1; t <= 3; t++) {
			f = replied(&b, t);
			if (!f)
				continue;
			at[t] = i;
			OK(f->reply.count == (t == 3 ? 0 : MANY / 2), "%" PRIu64 ": %" PRIu64, t,
			   f->reply.count);
			OK(entries(&b) == (t == 1 ? MANY / 2 : 0), "only those that were meant");
		}
	}
	OK(at[1] && at[1] < at[2] && at[2] < at[3], "turns %d, %d, %d", at[1], at[2], at[3]);
	/* all at once where nobody waits for a turn: a simulation */
	OK(set(&b, "/a/1", "x", INSTANT_NEVER) == 0);
	purge(&b, PURGE_ALL, "", 4);
	engine_tick(b.e, b.now, 0, &b.fx);
	OK(replied(&b, 4) && entries(&b) == 0);
	bench_free(&b);
}

int main(int argc, char **argv)
{
	gsl_set_error_handler_off();
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(a_value_that_came_packed_is_handed_out_so);
	RUN(a_set_of_what_is_held_packed_leaves_it_where_it_is);
	RUN(counts_agree_with_a_scan_whatever_happens);
	RUN(a_purge_of_many_keys_is_done_in_slices);
	RUN(purges_are_answered_in_their_order);
	return tap_done();
}
