/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a reader makes of a segment: every outcome, the clock, silence, another life of the segment.
 * And readers in threads beside a writer that puts, moves and removes all the time: never a wrong
 * value. (Damage of every kind is in t_store, kills of the writer in store_torture.)
 */
#include "store/reader.h"

#include "base/hash.h"
#include "base/rng.h"
#include "store/layout.h"
#include "store/store.h"
#include "tests/store_open.h"
#include "tests/tap.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

#define BYTES (256u * 1024)
#define T(s)  ((struct instant){INT64_C(1770000000000000) + (int64_t)(s)*1000000})

static _Alignas(4096) unsigned char segment[BYTES];
static const struct store_clock start_clock = {7000000, {INT64_C(1770000000000000)}, 1.0, 0};

static struct layout_header *head(void)
{
	return (struct layout_header *)(void *)segment;
}

/* One entry: key "k", value "value", loaded at 0, fresh to 10, grace to 20, max_age 30. */
static struct store *one_entry(struct store_reader *r, uint32_t *ret_entry)
{
	struct store *s = created(segment, BYTES, 77, start_clock);
	struct store_item item = {.key = bytes_str("k"),
	                          .value = bytes_str("value"),
	                          .version = 5,
	                          .loaded = T(0),
	                          .soft = T(10),
	                          .hard = T(20),
	                          .max_age = SPAN_S(30)};

	OK(store_put(s, &item, ret_entry) == 0);
	OK(store_reader_init(r, segment, BYTES) == 0);
	return s;
}

static enum reader_outcome get(const struct store_reader *r, struct instant now)
{
	struct reader_value v = {0};
	char buf[8];
	enum reader_outcome o = store_reader_get(r, bytes_str("k"), now, buf, sizeof(buf), &v);

	if (o == READER_FRESH || o == READER_GRACE || o == READER_STALE)
		OK(v.value_bytes == 5 && memcmp(buf, "value", 5) == 0 && v.version == 5 &&
		   v.max_age.us == SPAN_S(30).us);
	return o;
}

TEST(the_longest_key_that_can_be_configured_is_found)
{
	static char key[BYTES_MAX_KEY + 1], buf[8];
	struct store_reader r;
	struct reader_value v;
	uint32_t e;
	struct store *s = one_entry(&r, &e);
	struct store_item item = {.key = bytes_of(key, BYTES_MAX_KEY),
	                          .value = bytes_str("value"),
	                          .loaded = T(0),
	                          .soft = T(10),
	                          .hard = T(20),
	                          .max_age = SPAN_S(30)};

	memset(key, 'k', sizeof(key));
	OK(store_put(s, &item, &e) == 0);
	OK(store_reader_get(&r, item.key, T(1), buf, sizeof(buf), &v) == READER_FRESH);
	OK(v.value_bytes == 5 && !memcmp(buf, "value", 5));
	item.key.n++;
	OK(store_put(s, &item, &e) == -E2BIG);
	store_release(&s);
}

TEST(a_value_is_fresh_then_in_grace_then_stale_then_gone)
{
	struct store_reader r;
	uint32_t e;
	struct store *s = one_entry(&r, &e);

	OK(get(&r, T(0)) == READER_FRESH);
	OK(get(&r, T(-1)) == READER_FRESH, "a reader's clock may be a moment behind");
	OK(get(&r, (struct instant){T(10).us - 1}) == READER_FRESH);
	OK(get(&r, T(10)) == READER_GRACE);
	OK(get(&r, (struct instant){T(20).us - 1}) == READER_GRACE);
	OK(get(&r, T(20)) == READER_STALE);
	OK(get(&r, T(30)) == READER_STALE);
	OK(get(&r, (struct instant){T(30).us + 1}) == READER_MISS);
	OK(get(&r, INSTANT_NEVER) == READER_MISS);
	/* expiry that promises more than max_age does not get it */
	store_set_expiry(s, e, INSTANT_NEVER, INSTANT_NEVER);
	OK(get(&r, T(30)) == READER_FRESH);
	OK(get(&r, (struct instant){T(30).us + 1}) == READER_MISS);
	/* hard stands above soft */
	store_set_expiry(s, e, T(20), T(5));
	OK(get(&r, T(4)) == READER_FRESH);
	OK(get(&r, T(5)) == READER_STALE);
	OK(store_renew(s, e, T(25), T(40), T(50)) == 0);
	OK(get(&r, T(31)) == READER_FRESH);
	OK(get(&r, T(55)) == READER_STALE);
	OK(get(&r, (struct instant){T(55).us + 1}) == READER_MISS);
	store_remove(s, e);
	OK(get(&r, T(25)) == READER_MISS);
	store_release(&s);
}

TEST(whether_a_value_is_pushed_comes_with_it)
{
	struct store_item item = {.key = bytes_str("k"),
	                          .value = bytes_str("value"),
	                          .version = 5,
	                          .loaded = T(0),
	                          .soft = T(10),
	                          .hard = T(20),
	                          .max_age = SPAN_S(30),
	                          .pushed = true};
	struct store *s = created(segment, BYTES, 77, start_clock);
	struct store_reader r;
	struct reader_value v;
	uint32_t e;
	char buf[8];

	OK(store_put(s, &item, &e) == 0 && store_reader_init(&r, segment, BYTES) == 0);
	OK(store_reader_get(&r, item.key, T(1), buf, 8, &v) == READER_FRESH && v.pushed);
	store_set_expiry(s, e, T(12), T(22));
	OK(store_reader_get(&r, item.key, T(11), buf, 8, &v) == READER_FRESH && v.pushed);
	OK(store_renew(s, e, T(2), T(13), T(23)) == 0);
	OK(store_reader_get(&r, item.key, T(12), buf, 8, &v) == READER_FRESH && v.pushed);
	store_release(&s);
	s = attached(segment, BYTES, 78, start_clock, T(3), NULL, NULL);
	OK(store_find(s, item.key) == STORE_NONE, "it may have changed while nobody listened");
	OK(store_reader_init(&r, segment, BYTES) == 0);
	item.loaded = T(2);
	item.soft = T(13);
	item.hard = T(23);
	OK(store_put(s, &item, &e) == 0);
	store_set_pushed(s, e, false);
	OK(store_reader_get(&r, item.key, T(12), buf, 8, &v) == READER_FRESH && !v.pushed);
	store_set_pushed(s, e, true);
	OK(store_reader_get(&r, item.key, T(12), buf, 8, &v) == READER_FRESH && v.pushed);
	store_release(&s);
}

TEST(times_at_the_ends_of_their_range_do_no_harm)
{
	static const int64_t ends[] = {INT64_MIN, INT64_MIN + 1, -1,       0,
	                               1,         INT64_MAX - 1, INT64_MAX};
	struct store_item item = {.key = bytes_str("k"), .value = bytes_str("value"), .version = 5};
	struct store_reader r;
	struct reader_value v;
	struct store *s;
	uint32_t e;
	char buf[8];
	__int128 age;
	enum reader_outcome o;

	s = one_entry(&r, &e);
	for (unsigned i = 0; i < 7 * 7 * 7 * 7; i++) {
		item.loaded.us = ends[i % 7];
		item.max_age.us = ends[i / 7 % 7];
		item.soft.us = item.hard.us = ends[i / 49 % 7];
		OK(store_put(s, &item, &e) == 0);
		o = store_reader_get(&r, item.key, (struct instant){ends[i / 343]}, buf, 8, &v);
		age = (__int128)ends[i / 343] - item.loaded.us;
		OK(o == READER_MISS || age <= item.max_age.us, "age beyond max_age, case %u", i);
		OK(o != READER_FRESH || ends[i / 343] < item.hard.us, "case %u", i);
	}
	store_release(&s);
}

TEST(a_small_buffer_is_told_the_size_and_never_overrun)
{
	struct store_reader r;
	struct reader_value v;
	uint32_t e;
	struct store *s = one_entry(&r, &e);
	struct store_item item = {.key = bytes_str("empty"),
	                          .loaded = T(0),
	                          .soft = T(1),
	                          .hard = T(1),
	                          .max_age = SPAN_S(1)};
	char buf[8];

	for (uint64_t cap = 0; cap <= 5; cap++) {
		memset(buf, '#', sizeof(buf));
		OK(store_reader_get(&r, bytes_str("k"), T(0), buf, cap, &v) ==
		   (cap < 5 ? READER_SMALL : READER_FRESH));
		OK(v.value_bytes == 5 && v.version == 5);
		OK(buf[cap] == '#');
	}
	OK(store_reader_get(&r, bytes_str("k"), T(0), NULL, 0, &v) == READER_SMALL);
	OK(store_put(s, &item, &e) == 0);
	OK(store_reader_get(&r, bytes_str("empty"), T(0), NULL, 0, &v) == READER_FRESH);
	OK(v.value_bytes == 0);
	OK(store_reader_get(&r, bytes_of(NULL, 0), T(0), NULL, 0, &v) == READER_MISS);
	item.key = bytes_of(NULL, 0);
	OK(store_put(s, &item, &e) == 0);
	OK(store_reader_get(&r, bytes_of(NULL, 0), T(0), NULL, 0, &v) == READER_FRESH);
	store_release(&s);
}

TEST(only_the_very_key_is_found)
{
	struct store_reader r;
	uint32_t e;
	struct store *s = one_entry(&r, &e);
	struct store_item i;

	store_get(s, e, &i);
	*(char *)(uintptr_t)i.key.p = 'x';
	OK(get(&r, T(0)) == READER_MISS, "the tag alone is not the key");
	*(char *)(uintptr_t)i.key.p = 'k';
	OK(get(&r, T(0)) == READER_FRESH);
	*(char *)(uintptr_t)i.value.p ^= 1;
	OK(get(&r, T(0)) == READER_MISS);
	store_release(&s);
}

TEST(another_life_of_the_segment_is_noticed)
{
	struct store_reader r, r2;
	uint32_t e;
	struct store *s = one_entry(&r, &e);

	store_release(&s);
	OK(get(&r, T(0)) == READER_FRESH, "a segment outlives its writer");
	s = attached(segment, BYTES, 78, start_clock, T(0), NULL, NULL);
	OK(get(&r, T(0)) == READER_GONE);
	OK(store_reader_init(&r2, segment, BYTES) == 0);
	OK(get(&r2, T(0)) == READER_FRESH);
	store_release(&s);
	head()->magic ^= 1;
	OK(get(&r2, T(0)) == READER_GONE);
}

TEST(only_a_segment_of_ours_is_accepted)
{
	struct store_reader r;
	uint32_t e;
	struct store *s = one_entry(&r, &e);

	store_release(&s);
	OK(store_reader_init(&r, segment, BYTES / 2) == -EPROTO);
	OK(store_reader_init(&r, segment, BYTES - 4096) == -EPROTO);
	OK(store_reader_init(&r, segment, 0) == -EPROTO);
	OK(store_reader_init(&r, segment + 8, BYTES - 8) == -EPROTO);
	OK(store_reader_init(&r, NULL, BYTES) == -EPROTO);
	head()->version++;
	OK(store_reader_init(&r, segment, BYTES) == -EPROTO);
	head()->version--;
	head()->check ^= UINT64_C(1) << 40;
	OK(store_reader_init(&r, segment, BYTES) == -EPROTO);
	head()->check ^= UINT64_C(1) << 40;
	OK(store_reader_init(&r, segment, BYTES) == 0);
}

TEST(the_writers_clock_and_its_silence_can_be_told)
{
	struct store_reader r;
	struct store_clock c = start_clock;
	uint32_t e;
	struct store *s = one_entry(&r, &e);

	OK(store_reader_now(&r, 7000000).us == T(0).us);
	OK(store_reader_now(&r, 8000001).us == T(1).us + 1);
	OK(store_reader_now(&r, 6000000).us == T(-1).us);
	c.scale = 60;
	store_set_clock(s, c);
	OK(store_reader_now(&r, 8000000).us == T(60).us);
	OK(store_reader_now(&r, INT64_MIN).us == INSTANT_NEVER.us);
	OK(store_reader_now(&r, INT64_MAX).us >= T(0).us);

	store_heartbeat(s, 9000000);
	OK(store_reader_silence(&r, 9500000).us == 500000);
	OK(store_reader_silence(&r, 9000000 - 10).us == 0, "the reader looked at its clock before");
	OK(store_reader_silence(&r, 1000000).us == SPAN_MAX.us, "a heartbeat from the future");
	OK(store_reader_silence(&r, INT64_MAX).us == SPAN_MAX.us);
	head()->heartbeat_us++;
	OK(store_reader_silence(&r, 9500000).us == SPAN_MAX.us, "torn");
	head()->clock[0].base_us++;
	OK(store_reader_now(&r, 8000000).us == T(60).us, "there is another");
	head()->clock[1].scale ^= 1;
	OK(store_reader_now(&r, 8000000).us == INSTANT_NEVER.us, "both torn");
	head()->seed ^= 1;
	head()->boot_id ^= 4;
	OK(get(&r, T(1)) == READER_GONE);
	/* whatever the header has come to, the next heartbeat mends it */
	store_heartbeat(s, 9000000);
	OK(store_reader_now(&r, 8000000).us == T(60).us);
	OK(store_reader_silence(&r, 9500000).us == 500000);
	OK(get(&r, T(1)) == READER_FRESH);
	/* after the host was booted anew, its clock says nothing about what is older */
	c.host = 5;
	store_set_clock(s, c);
	OK(store_reader_now(&r, 8000000).us == T(60).us, "who does not know its boot takes any");
	r.host = 5;
	OK(store_reader_now(&r, 8000000).us == T(60).us);
	r.host = 6;
	OK(store_reader_now(&r, 8000000).us == INSTANT_NEVER.us);
	store_release(&s);
}

TEST(a_heartbeat_of_the_future_is_of_another_clock)
{
	struct store_reader r;
	struct reader_clock c = {0};
	struct instant now;
	struct span silence;
	uint32_t e;
	struct store *s = one_entry(&r, &e);

	store_heartbeat(s, 9000000);
	for (int i = 0; i < 2; i++) {
		store_reader_clock(&r, 9000000, &c, &now, &silence);
		OK(get(&r, now) == READER_FRESH);
		/* as in a time namespace whose clock stands behind: ages would come out too small */
		store_reader_clock(&r, 7000000, &c, &now, &silence);
		OK(now.us == INSTANT_NEVER.us && get(&r, now) == READER_MISS);
	}
	store_release(&s);
}

/* The clock that is remembered says what the one that is checked each time says. */
TEST(a_remembered_clock_is_no_other)
{
	struct store_reader r;
	struct reader_clock c = {0};
	struct store_clock clock = start_clock;
	struct instant now;
	struct span silence;
	uint32_t e;
	struct store *s = one_entry(&r, &e);

	for (int i = 0; i < 40; i++) {
		int64_t at = 7000000 + i * 250000;

		if (i % 4 == 0)
			store_heartbeat(s, at);
		if (i % 10 == 7) {
			clock.scale = i % 20 == 7 ? 60 : 1;
			clock.base.us += 5000000;
			store_set_clock(s, clock);
		}
		/* one torn, then both, until the heartbeat of 32 */
		if (i == 30 || i == 31)
			head()->clock[i % 2].base_us++;
		if (i == 33)
			head()->heartbeat_us++;
		if (i == 35) {
			clock.host = 5;
			store_set_clock(s, clock);
		}
		if (i == 36)
			r.host = 6;
		store_reader_clock(&r, at, &c, &now, &silence);
		OK(now.us == store_reader_now(&r, at).us, "at %d", i);
		OK(silence.us == store_reader_silence(&r, at).us, "at %d", i);
		OK((i != 31 && i < 36) == (now.us != INSTANT_NEVER.us), "at %d", i);
		OK(i != 33 || silence.us == SPAN_MAX.us);
	}
	store_release(&s);
}

TEST(a_view_is_checked_before_and_after)
{
	struct store_reader r;
	struct reader_view v;
	uint32_t e;
	struct store *s = one_entry(&r, &e);
	struct reader_key k = store_reader_key(&r, bytes_str("k"));
	char buf[8];

	OK(store_reader_find(&r, &k, T(1), &v) == READER_FRESH);
	OK(store_reader_check(&r, &v) && store_reader_copy(&r, &v, buf) && v.value.version == 5);
	store_set_expiry(s, e, T(11), T(21));
	OK(!store_reader_still(&r, &v) && !store_reader_copy(&r, &v, buf), "of another expiry");
	OK(store_reader_find(&r, &k, T(1), &v) == READER_FRESH);
	OK(store_reader_check(&r, &v) && v.value.soft.us == T(11).us);
	OK(store_renew(s, e, T(1), T(12), T(22)) == 0);
	OK(!store_reader_still(&r, &v) && !store_reader_copy(&r, &v, buf));
	OK(store_reader_find(&r, &k, T(1), &v) == READER_FRESH);
	*(char *)(uintptr_t)v.data ^= 1;
	OK(!store_reader_check(&r, &v) && store_reader_still(&r, &v));
	store_release(&s);
}

TEST(a_reader_gives_up_on_a_bucket_that_stays_odd)
{
	struct store_reader r;
	uint32_t e;
	struct store *s = one_entry(&r, &e);
	struct layout_bucket *b = (struct layout_bucket *)(void *)(head() + 1);

	for (uint32_t i = 0; i < layout_of(BYTES).n_buckets; i++)
		b[i].state |= LAYOUT_CHANGING;
	OK(get(&r, T(0)) == READER_MISS);
	store_release(&s);
	s = attached(segment, BYTES, 77, start_clock, T(0), NULL, NULL);
	OK(get(&r, T(0)) == READER_FRESH, "the next writer evens it");
	store_release(&s);
}

/* -- Threads ----------------------------------------------------------------------------------- */

#define KEYS    64u
#define READERS 3u
#define MAX     20000u

/* A value says its key and version, and every word of it depends on both. */
static uint64_t word(uint64_t key, uint64_t version, size_t i)
{
	return hash_u64(key << 32 | (version + 1)) + i;
}

static int writing; /* atomic */

struct tally {
	uint64_t gets, hits, wrong;
	uint64_t seed;
};

static struct bytes key_name(char *buf, unsigned k)
{
	return bytes_of(buf, (size_t)snprintf(buf, 24, "/threads/%u", k));
}

static void *read_all_the_time(void *arg)
{
	struct tally *t = arg;
	uint64_t *buf = calloc(1, MAX + 8);
	struct store_reader r;
	struct reader_value v;
	struct rng g;
	char key[24];
	unsigned k;

	rng_init(&g, t->seed);
	if (store_reader_init(&r, segment, BYTES) != 0)
		t->wrong++;
	do {
		k = (unsigned)rng_below(&g, KEYS);
		t->gets++;
		if (store_reader_get(&r, key_name(key, k), T(0), buf, MAX, &v) != READER_FRESH)
			continue;
		t->hits++;
		for (size_t i = 0; i < v.value_bytes / 8; i++)
			t->wrong += buf[i] != word(k, v.version, i);
		t->wrong += v.loaded.us != T(0).us || v.soft.us != v.hard.us;
	} while (__atomic_load_n(&writing, __ATOMIC_RELAXED));
	free(buf);
	return NULL;
}

/* A value that another thread fills in. Whose turn it is says who may look at the rest. */
static struct {
	enum { WRITERS, FILLERS } turn;
	const struct store *s;
	struct store_room room;
	uint64_t value[MAX / 8 + 1], version, published;
	unsigned k;
	size_t n;
} fill;

static void *fill_all_the_time(void *arg)
{
	(void)arg;
	while (__atomic_load_n(&writing, __ATOMIC_RELAXED)) {
		if (__atomic_load_n(&fill.turn, __ATOMIC_ACQUIRE) != FILLERS) {
			sched_yield();
			continue;
		}
		store_fill(fill.s, &fill.room, fill.value);
		__atomic_store_n(&fill.turn, WRITERS, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* Takes room for such a value, a step at a time, or shows one that is filled. */
static void fill_or_show(struct store *s, struct store_item item, struct rng *g, uint64_t version)
{
	char key[24];
	uint32_t e;

	if (__atomic_load_n(&fill.turn, __ATOMIC_ACQUIRE) != WRITERS)
		return;
	if (fill.room.filled) {
		item.key = key_name(key, fill.k);
		item.value = bytes_of(NULL, fill.n);
		item.version = fill.version;
		while (store_publish(s, &item, &fill.room, &e) != 0)
			store_remove(s, store_sample(s, g));
		fill.published++;
		return;
	}
	if (!fill.room.granules) {
		fill.s = s;
		fill.k = (unsigned)rng_below(g, KEYS);
		fill.version = version;
		fill.n = (size_t)rng_below(g, MAX);
		for (size_t i = 0; i < fill.n / 8 + 1; i++)
			fill.value[i] = word(fill.k, version, i);
	}
	if (store_reserve(s, key_name(key, fill.k).n, fill.n, &fill.room) == -ENOSPC)
		store_remove(s, store_sample(s, g));
	if (fill.room.taken)
		__atomic_store_n(&fill.turn, FILLERS, __ATOMIC_RELEASE);
}

TEST(readers_beside_a_busy_writer_never_see_a_wrong_value)
{
	struct store *s = created(segment, BYTES, 1, start_clock);
	struct store_item item = {.loaded = T(0), .max_age = SPAN_S(1)};
	struct tally t[READERS] = {0};
	pthread_t id[READERS], filler;
	uint64_t *value = calloc(1, MAX + 8), hits = 0, version;
	struct instant soon;
	struct rng g;
	char key[24];
	unsigned k;
	size_t n;
	uint32_t e;

	rng_init(&g, tap_seed);
	writing = 1;
	for (unsigned i = 0; i < READERS; i++) {
		t[i].seed = tap_seed + i;
		OK(pthread_create(&id[i], NULL, read_all_the_time, &t[i]) == 0);
	}
	OK(pthread_create(&filler, NULL, fill_all_the_time, NULL) == 0);
	for (version = 0; version < 80000 || fill.published < 100; version++) {
		k = (unsigned)rng_below(&g, KEYS);
		e = store_find(s, key_name(key, k));
		soon = (struct instant){T(1).us + (int64_t)rng_below(&g, 100) * 1000};
		if (e != STORE_NONE && rng_below(&g, 3) == 0) {
			store_set_expiry(s, e, soon, soon);
			continue;
		}
		n = (size_t)exp(rng_uniform(&g) * log(MAX));
		for (size_t i = 0; i < n / 8 + 1; i++)
			value[i] = word(k, version, i);
		item.key = key_name(key, k);
		item.value = bytes_of(value, n);
		item.version = version;
		item.soft = item.hard = soon;
		while (store_put(s, &item, &e) != 0)
			store_remove(s, store_sample(s, &g));
		fill_or_show(s, item, &g, ++version);
	}
	__atomic_store_n(&writing, 0, __ATOMIC_RELAXED);
	pthread_join(filler, NULL);
	printf("# %" PRIu64 " values were filled by another thread\n", fill.published);
	for (unsigned i = 0; i < READERS; i++) {
		pthread_join(id[i], NULL);
		OK(t[i].wrong == 0, "%" PRIu64 " wrong words", t[i].wrong);
		hits += t[i].hits;
		printf("# reader %u: %" PRIu64 " of %" PRIu64 " gets were hits\n", i, t[i].hits,
		       t[i].gets);
	}
	OK(hits > 100, "too few hits to tell");
	free(value);
	store_release(&s);
}

/* What a frame holds is not for the store to know; that it is one, it keeps. */
TEST(what_is_packed_is_said_to_be_so)
{
	struct store *s = created(segment, BYTES, 77, start_clock);
	struct bytes value = bytes_str("not a frame, for all that the store knows");
	struct store_item item = {.key = bytes_str("k"),
	                          .value = value,
	                          .version = hash_bytes(value, 0) | 1,
	                          .loaded = T(0),
	                          .soft = T(10),
	                          .hard = T(20),
	                          .max_age = SPAN_S(30),
	                          .packed = true};
	struct store_room room = {0};
	struct store_reader r;
	struct reader_value v;
	struct store_item i;
	char buf[64];
	uint32_t e;
	bool packed;

	OK(store_reader_init(&r, segment, BYTES) == 0);
	for (int how = 0; how < 6; how++) {
		if (how == 0)
			OK(store_put(s, &item, &e) == 0);
		if (how == 1)
			store_set_expiry(s, e, T(10), T(20));
		if (how == 2)
			store_set_pushed(s, e, true);
		if (how == 3)
			store_set_pushed(s, e, false);
		if (how == 4) {
			store_release(&s);
			s = attached(segment, BYTES, 78, start_clock, T(1), NULL, NULL);
			OK(s && store_reader_init(&r, segment, BYTES) == 0);
			e = store_find(s, item.key);
		}
		if (how == 5) {
			while (store_reserve(s, 1, value.n, &room) == -EAGAIN)
				;
			store_fill(s, &room, value.p);
			OK(store_publish(s, &item, &room, &e) == 0);
		}
		store_get(s, e, &i);
		OK(i.packed && i.version == item.version && bytes_equal(i.value, value), "%d", how);
		OK(bytes_equal(store_value(s, e, &packed), value) && packed && store_whole(s, e));
		OK(store_reader_get(&r, item.key, T(1), buf, sizeof(buf), &v) == READER_FRESH &&
		           v.packed && v.value_bytes == value.n && v.version == item.version,
		   "%d", how);
	}
	item.packed = false;
	OK(store_put(s, &item, &e) == 0 &&
	   store_reader_get(&r, item.key, T(1), buf, sizeof(buf), &v) == READER_FRESH &&
	   !v.packed && v.version == item.version);
	store_value(s, e, &packed);
	OK(!packed);
	/* who flips the one bit that says so, gets nothing */
	item.packed = true;
	OK(store_put(s, &item, &e) == 0);
	store_get(s, e, &i);
	((uint64_t *)(uintptr_t)i.key.p)[-3] ^= LAYOUT_PACKED;
	OK(store_reader_get(&r, item.key, T(1), buf, sizeof(buf), &v) == READER_MISS &&
	   !store_whole(s, e));
	store_release(&s);
}

TEST(a_segment_of_the_layout_before_is_refused)
{
	struct store_reader r;
	uint32_t e;
	struct store *s = one_entry(&r, &e), *next;

	store_release(&s);
	head()->version = LAYOUT_VERSION - 1;
	head()->check = layout_header_check(LAYOUT_VERSION - 1, BYTES, head()->seed);
	OK(store_reader_init(&r, segment, BYTES) == -EPROTO);
	OK(store_attach(segment, BYTES, 78, start_clock, T(1), NULL, NULL, &next) == -EPROTO &&
	   !next);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(the_longest_key_that_can_be_configured_is_found);
	RUN(a_value_is_fresh_then_in_grace_then_stale_then_gone);
	RUN(whether_a_value_is_pushed_comes_with_it);
	RUN(times_at_the_ends_of_their_range_do_no_harm);
	RUN(a_small_buffer_is_told_the_size_and_never_overrun);
	RUN(only_the_very_key_is_found);
	RUN(another_life_of_the_segment_is_noticed);
	RUN(only_a_segment_of_ours_is_accepted);
	RUN(the_writers_clock_and_its_silence_can_be_told);
	RUN(a_heartbeat_of_the_future_is_of_another_clock);
	RUN(a_remembered_clock_is_no_other);
	RUN(a_view_is_checked_before_and_after);
	RUN(a_reader_gives_up_on_a_bucket_that_stays_odd);
	RUN(readers_beside_a_busy_writer_never_see_a_wrong_value);
	RUN(what_is_packed_is_said_to_be_so);
	RUN(a_segment_of_the_layout_before_is_refused);
	return tap_done();
}
