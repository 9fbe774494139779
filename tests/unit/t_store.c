/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The store against a plain model of it; killed at each of its stores to the segment; and taking
 * over segments that have been damaged in every way we could think of. Every value says which key
 * and which version it belongs to, so a wrong one cannot pass for a right one.
 */
#include <setjmp.h>
#include <stdbool.h>

/* Stops the writer before its n-th store to the segment, as a kill -9 would. */
static long stores_left = -1;
static jmp_buf killed;

static void on_store(void)
{
	if (stores_left >= 0 && stores_left-- == 0)
		longjmp(killed, 1);
}
#define LAYOUT_ON_STORE() on_store()

/* So that room for a value is not taken in one step. */
#define STORE_STEP 64u

#include "store/store.c"
#include "store/reader.h"
#include "tests/store_open.h"
#include "tests/tap.h"

#define BYTES   (256u * 1024)
#define KEYS    192u
#define FEW     48u /* keys of the segment that gets damaged */
#define NOW     ((struct instant){INT64_C(1770000000000000)})
#define MAX_AGE SPAN_S(1000)

static const struct store_clock clock_then = {5000000, {INT64_C(1770000000000000)}, 1.0, 0};

/* -- The model --------------------------------------------------------------------------------- */

/* Half of the keys, where a test says so: who takes over drops what is pushed. */
static bool some_pushed;

static bool pushes(unsigned k)
{
	return some_pushed && k % 2;
}

struct model_entry {
	bool present;
	uint64_t version, made_from;
	size_t value_bytes;
	struct instant loaded, soft, hard;
	uint32_t owner;
};

struct model {
	struct model_entry e[KEYS];
	uint64_t next_version;
};

/* Values that are not put in one go, each with as much room as it has by now. */
#define PENDING 3u
static uint64_t in_the_way; /* so often one needed what was below it */
static struct pending {
	struct store_room room;
	unsigned k;
	size_t n;
	struct model_entry e; /* what it will be, once it is filled */
} pending[PENDING];

static void forget_pending(void)
{
	memset(pending, 0, sizeof(pending));
}

/* Whoever begins with a segment knows of none. */
#define created(...)  (forget_pending(), (created)(__VA_ARGS__))
#define attached(...) (forget_pending(), (attached)(__VA_ARGS__))

static _Alignas(4096) unsigned char segment[BYTES];
static unsigned char buf[BYTES], whole[BYTES];
static char names[KEYS][300];
static struct bytes name[KEYS];

static void make_names(void)
{
	for (unsigned k = 0; k < KEYS; k++) {
		int n = snprintf(names[k], sizeof(names[k]), "/key/%u/", k);

		/* of every length modulo 8, and one that is long */
		for (unsigned i = 0; i < (k == 7 ? 250 : k % 9); i++)
			names[k][n++] = (char)('a' + (i + k) % 26);
		name[k] = bytes_of(names[k], (size_t)n);
	}
}

/* Eight bytes of the value of a key and version. */
static uint64_t value_word(unsigned k, uint64_t version, size_t at)
{
	return hash_u64(version * 1024 + k + ((uint64_t)at << 40));
}

static void value_make(unsigned k, uint64_t version, size_t n, unsigned char *ret)
{
	uint64_t w;

	for (size_t i = 0; i < n; i += 8) {
		w = value_word(k, version, i);
		memcpy(ret + i, &w, n - i < 8 ? n - i : 8);
	}
}

static bool value_right(unsigned k, uint64_t version, struct bytes v)
{
	uint64_t w;

	for (size_t i = 0; i < v.n; i += 8) {
		w = value_word(k, version, i);
		if (memcmp((const char *)v.p + i, &w, v.n - i < 8 ? v.n - i : 8) != 0)
			return false;
	}
	return true;
}

static size_t random_size(struct rng *g, size_t max)
{
	double x = rng_uniform(g);

	return x < 0.05 ? rng_below(g, 8) : (size_t)exp(x * log((double)max));
}

/* Whole ticks, below n of them, in microseconds: what the segment can hold exactly. */
static int64_t ticks(struct rng *g, uint64_t n)
{
	return (int64_t)rng_below(g, n) * LAYOUT_TICK_US;
}

/* As the store makes it when none was given, for every other key: then it is not kept. */
static uint64_t version_of(unsigned k, uint64_t n, struct bytes value)
{
	return k / 2 % 2 ? n : layout_version(hash_bytes(value, 0));
}

static struct store_item item_make(struct model *m, struct rng *g, unsigned k, size_t n)
{
	struct model_entry *e = &m->e[k];

	*e = (struct model_entry){.present = true,
	                          .version = ++m->next_version,
	                          .value_bytes = n,
	                          .owner = (uint32_t)rng_u64(g)};
	e->loaded = e->soft = e->hard = NOW;
	e->loaded.us -= ticks(g, 4000000);
	e->soft.us += ticks(g, 4000);
	e->hard.us = e->soft.us + LAYOUT_TICK_US + ticks(g, 4000);
	e->made_from = e->version;
	value_make(k, e->made_from, n, buf);
	e->version = version_of(k, e->made_from, bytes_of(buf, n));
	return (struct store_item){name[k], bytes_of(buf, n), e->version, e->loaded, e->soft,
	                           e->hard, MAX_AGE,          e->owner,   pushes(k), k % 5 == 0};
}

/* What of the model's entry is not in entry h of key k; NULL when all is. */
static const char *entry_differs(const struct store *s, uint32_t h, unsigned k,
                                 const struct model_entry *e)
{
	struct store_item i;

	store_get(s, h, &i);
	if (!bytes_equal(i.key, name[k]))
		return "key";
	if (i.version != e->version || i.value.n != e->value_bytes)
		return "version or size";
	if (!value_right(k, e->made_from, i.value))
		return "value";
	if (i.loaded.us != e->loaded.us || i.max_age.us != MAX_AGE.us)
		return "loaded or max_age";
	if (i.soft.us != e->soft.us || i.hard.us != e->hard.us)
		return "soft or hard";
	if (i.pushed != pushes(k) || i.packed != (k % 5 == 0))
		return "pushed or packed";
	return NULL;
}

static bool zones_consistent(const struct arena *a, const uint32_t *used)
{
	uint32_t size;

	for (uint32_t z = 0; z < a->n_zones; z++) {
		size = a->end - a->start - (z << a->zone_shift);
		size = size >> a->zone_shift ? UINT32_C(1) << a->zone_shift : size;
		if (a->room[a->leaves + z] != size - used[z])
			return false;
	}
	for (uint32_t i = 1; i < a->leaves; i++)
		if (a->room[i] < a->room[2 * i] || a->room[i] < a->room[2 * i + 1] ||
		    (a->room[i] != a->room[2 * i] && a->room[i] != a->room[2 * i + 1]))
			return false;
	return true;
}

/* The bits of the arena, and every count of it, against what the slots say. */
static bool arena_consistent(const struct store *s)
{
	static uint32_t zone[BYTES / 4096];
	static uint8_t begins[BYTES / LAYOUT_GRANULE + 1]; /* 1: a block, 2: a gap */
	const struct arena *a = &s->arena;
	uint32_t used = 0, n = a->end - a->start, end, blocks = 0, pins = 0;

	memset(zone, 0, sizeof(zone));
	memset(begins, 0, sizeof(begins));
	for (uint32_t h = 0; h < s->n_slots; h++)
		if (s->slot[h].off) {
			begins[s->slot[h].off - a->start]++;
			blocks++;
		}
	for (unsigned i = 0; i < PENDING; i++)
		if (pending[i].room.granules) {
			begins[pending[i].room.off - a->start]++;
			blocks++;
			pins++;
		}
	for (uint32_t i = 0; i < a->n_pins; i++)
		if (begins[a->pin[i]] != 1 || (i && a->pin[i] <= a->pin[i - 1]))
			return false;
	for (uint32_t at = 0; at < n; at = end) {
		bool gap = bits_has(&a->begins, at + 1);

		if (!bits_has(&a->begins, at) || (begins[at] != 1) != gap)
			return false;
		for (end = at + 2; end < n && !bits_has(&a->begins, end); end++)
			;
		if (gap && end < n && begins[end] != 1)
			return false;
		/* neighbours, from both sides, over any distance */
		if (bits_next(&a->begins, at + gap) != end ||
		    bits_prev(&a->begins, end) != at + gap)
			return false;
		if (gap)
			continue;
		blocks--;
		used += end - at;
		for (uint32_t u = at; u < end; u++)
			zone[u >> a->zone_shift]++;
	}
	return blocks == 0 && pins == a->n_pins && bits_has(&a->begins, n) && used == a->used &&
	       zones_consistent(a, zone);
}

struct count {
	const struct store *s;
	uint64_t n, bytes;
};

static void count_entry(void *arg, uint32_t h)
{
	struct count *c = arg;
	struct store_item i;
	bool own;

	store_get(c->s, h, &i);
	own = i.version != layout_version(hash_bytes(i.value, 0));
	c->n++;
	c->bytes += (uint64_t)layout_granules(i.key.n, i.value.n, own) * LAYOUT_GRANULE;
}

/* All of the store against all of the model. */
static bool same(const struct store *s, const struct model *m, bool owners)
{
	struct count c = {s, 0, 0};
	struct store_stats st;
	const char *why;
	uint64_t n = 0, rooms = 0;
	uint32_t h;

	for (unsigned i = 0; i < PENDING; i++)
		if (pending[i].room.granules)
			rooms += (uint64_t)arena_size(&s->arena, pending[i].room.off) *
			         LAYOUT_GRANULE;
	for (unsigned k = 0; k < KEYS; k++) {
		h = store_find(s, name[k]);
		if (m->e[k].present != (h != STORE_NONE)) {
			printf("# key %u should%s be there\n", k, m->e[k].present ? "" : " not");
			return false;
		}
		if (h == STORE_NONE)
			continue;
		n++;
		why = entry_differs(s, h, k, &m->e[k]);
		if (why || (owners && store_owner(s, h) != m->e[k].owner)) {
			printf("# key %u: wrong %s\n", k, why ? why : "owner");
			return false;
		}
	}
	store_stats(s, &st);
	store_each(s, count_entry, &c);
	/*
	 * each may have a granule more, which is too small for a gap; and one for a version that it
	 * need not have kept
	 */
	if (c.n != n || st.entries != n || st.bytes_used < c.bytes + rooms ||
	    st.bytes_used > c.bytes + rooms + 2 * n * LAYOUT_GRANULE ||
	    st.bytes_used > st.bytes_total) {
		printf("# the counts are wrong\n");
		return false;
	}
	return arena_consistent(s);
}

static unsigned key_of_entry(const struct store *s, uint32_t h)
{
	struct store_item i;

	store_get(s, h, &i);
	for (unsigned k = 0; k < KEYS; k++)
		if (bytes_equal(i.key, name[k]))
			return k;
	return KEYS;
}

static void evict_this(struct store *s, struct model *m, uint32_t h)
{
	unsigned victim = key_of_entry(s, h);

	if (victim < KEYS)
		m->e[victim].present = false;
	store_remove(s, h);
}

/* False: there is nothing to evict. */
static bool evict_one(struct store *s, struct model *m, struct rng *g)
{
	uint32_t h = store_sample(s, g);

	if (h != STORE_NONE)
		evict_this(s, m, h);
	return h != STORE_NONE;
}

/* A step on the way of a value that is not put in one go; *ret_given_up: it ends without. */
static void pending_step(struct store *s, struct model *m, struct rng *g, struct pending *p,
                         bool *ret_given_up)
{
	struct model_entry was = m->e[p->k];
	struct store_item item;
	uint32_t h;
	int r;

	*ret_given_up = false;
	if (!p->room.taken) {
		r = store_reserve(s, name[p->k].n, p->n, &p->room);
		*ret_given_up = r == -E2BIG || r == -EBUSY;
		if (r == -ENOSPC && p->room.in_the_way != STORE_NONE && rng_below(g, 4)) {
			in_the_way++;
			OK(p->room.granules);
			evict_this(s, m, p->room.in_the_way);
		} else if (r == -ENOSPC) {
			*ret_given_up = !evict_one(s, m, g);
		}
	} else if (!p->room.filled) {
		/* the model has it only when it is published */
		item_make(m, g, p->k, p->n);
		p->e = m->e[p->k];
		m->e[p->k] = was;
		store_fill(s, &p->room, buf);
		OK(p->room.hash == hash_bytes(bytes_of(buf, p->n), 0));
	} else {
		item = (struct store_item){name[p->k],   bytes_of(NULL, p->n),
		                           p->e.version, p->e.loaded,
		                           p->e.soft,    p->e.hard,
		                           MAX_AGE,      p->e.owner,
		                           pushes(p->k), p->k % 5 == 0};
		m->e[p->k] = p->e;
		r = store_publish(s, &item, &p->room, &h);
		OK(r == 0 || r == -ENOSPC);
		if (r) {
			m->e[p->k] = was;
			evict_one(s, m, g);
		}
	}
}

/* Any step of any of those. */
static void some_pending(struct store *s, struct model *m, struct rng *g, unsigned k)
{
	struct pending *p = &pending[rng_below(g, PENDING)];
	bool given_up;

	if (!p->n) {
		p->k = k;
		p->n = 1 + random_size(g, rng_below(g, 4) ? 12000 : 100000);
	}
	if (rng_below(g, 10) == 0) {
		store_unreserve(s, &p->room);
		*p = (struct pending){.n = 0};
		return;
	}
	pending_step(s, m, g, p, &given_up);
	if (given_up || (!p->room.granules && p->e.present))
		*p = (struct pending){.n = 0};
}

/* All of them, one after the other. */
static void put_in_room(struct store *s, struct model *m, struct rng *g, unsigned k, size_t n)
{
	struct pending *p = &pending[0];
	bool given_up = false;

	*p = (struct pending){.k = k, .n = n};
	while (!given_up && !(p->e.present && !p->room.granules))
		pending_step(s, m, g, p, &given_up);
	*p = (struct pending){.n = 0};
}

/* Puts a new value of k, evicting as the engine would; returns how many it took. */
static unsigned put(struct store *s, struct model *m, struct rng *g, unsigned k, size_t n)
{
	struct store_item item = item_make(m, g, k, n);
	unsigned evicted = 0, rooms = 0;
	uint32_t h;
	int r;

	while ((r = store_put(s, &item, &h)) == -ENOSPC && evict_one(s, m, g))
		evicted++;
	m->e[k].present = r == 0;
	for (unsigned i = 0; i < PENDING; i++)
		rooms += pending[i].room.granules != 0;
	OK(r == 0 || r == -E2BIG || (r == -ENOSPC && rooms), "put of %zu bytes: %d", n, r);
	return evicted;
}

static void one_operation(struct store *s, struct model *m, struct rng *g, unsigned k)
{
	uint32_t h = store_find(s, name[k]);
	struct model_entry *e = &m->e[k];
	unsigned what = (unsigned)rng_below(g, 24);

	if (what >= 16) {
		some_pending(s, m, g, k);
		return;
	}
	if (what >= 7) {
		put(s, m, g, k, random_size(g, rng_below(g, 20) ? 12000 : 250000));
		return;
	}
	if (h == STORE_NONE)
		return;
	switch (what) {
	case 0:
	case 1:
	case 2:
		store_remove(s, h);
		e->present = false;
		break;
	case 3:
	case 4:
		e->soft.us += ticks(g, 4);
		e->hard.us += ticks(g, 400);
		store_set_expiry(s, h, e->soft, e->hard);
		break;
	case 5:
		e->loaded.us = NOW.us - ticks(g, 4000);
		e->soft.us += ticks(g, 4);
		OK(store_renew(s, h, e->loaded, e->soft, e->hard) == 0);
		break;
	default:
		e->owner = (uint32_t)rng_u64(g);
		store_set_owner(s, h, e->owner);
	}
}

/* Another writer: what is pushed goes (without a model: nothing is), and nothing else. */
static struct store *attach(struct model *m)
{
	uint64_t dropped, pushed = 0;
	struct store *s = attached(segment, BYTES, 2, clock_then, NOW, NULL, &dropped);

	for (unsigned k = 0; m && k < KEYS; k++)
		if (pushes(k)) {
			pushed += m->e[k].present;
			m->e[k].present = false;
		}
	OK(s && dropped == pushed, "dropped %" PRIu64 ", not %" PRIu64, dropped, pushed);
	return s;
}

TEST(random_operations_do_what_a_plain_model_does)
{
	struct store *s = created(segment, BYTES, 1, clock_then);
	struct model m = {.next_version = 0};
	uint64_t moved = 0;
	struct rng g;

	some_pushed = true;
	rng_init(&g, tap_seed);
	for (int i = 0; i < 10000; i++) {
		if (rng_below(&g, 100) == 0) {
			moved += s->arena.moved;
			store_release(&s);
			s = attach(&m);
			for (unsigned k = 0; k < KEYS; k++)
				if (m.e[k].present)
					store_set_owner(s, store_find(s, name[k]), m.e[k].owner);
		}
		one_operation(s, &m, &g, (unsigned)rng_below(&g, KEYS));
		if (!same(s, &m, true)) {
			OK(false, "after operation %d", i);
			break;
		}
	}
	OK(moved * LAYOUT_GRANULE > BYTES, "too little was moved for a test of it");
	some_pushed = false;
	store_release(&s);
}

/* Values up to the largest that fit, after small ones: any is placed, evictions are bounded. */
TEST(any_size_can_be_placed_after_others_were_there)
{
	static const size_t sizes[] = {100, 3000, 20, 60000, 1000, 230000, 10};
	struct store *s = created(segment, BYTES, 1, clock_then);
	struct model m = {.next_version = 0};
	struct store_stats st;
	struct rng g;
	uint64_t before, freed_most, moved, moved_most;
	size_t n;

	rng_init(&g, tap_seed);
	for (unsigned i = 0; i < 7 * 600; i++) {
		n = sizes[i / 600];
		store_stats(s, &st);
		before = st.bytes_used;
		moved = s->arena.moved;
		put(s, &m, &g, i % KEYS, n);
		store_stats(s, &st);
		moved_most = ARENA_MOVES * layout_granules(300, n, true) +
		             (UINT64_C(1) << s->arena.zone_shift);
		OK(s->arena.moved - moved <= moved_most, "%zu bytes: moved %" PRIu64, n,
		   s->arena.moved - moved);
		/* a sixth, twice the footprint, and one victim more than was needed */
		freed_most = st.bytes_total / 6 + 2 * store_footprint(s, 300, n) + 231000;
		if (!m.e[i % KEYS].present || before > st.bytes_used + freed_most) {
			OK(false,
			   "size %zu: %" PRIu64 " of %" PRIu64 " bytes in use became %" PRIu64, n,
			   before, st.bytes_total, st.bytes_used);
			break;
		}
	}
	OK(same(s, &m, true));
	store_release(&s);
}

/* Room for a large value is had though others take what is free as soon as it is. */
TEST(room_is_had_in_a_store_that_is_kept_full)
{
	struct store *s = created(segment, BYTES, 1, clock_then);
	struct model m = {.next_version = 0};
	struct pending *p = &pending[0];
	bool given_up = false;
	struct rng g;
	unsigned steps = 0, k = 0;

	rng_init(&g, tap_seed);
	in_the_way = 0;
	for (unsigned round = 0; round < 20; round++) {
		*p = (struct pending){.k = KEYS - 1, .n = 60000};
		while (!given_up && !(p->e.present && !p->room.granules) && steps++ < 100000) {
			for (int i = 0; i < 3; i++)
				put(s, &m, &g, k++ % (KEYS - 1), 1000 + rng_below(&g, 1000));
			pending_step(s, &m, &g, p, &given_up);
		}
		OK(!given_up && m.e[KEYS - 1].present && same(s, &m, true));
	}
	OK(in_the_way > 10, "%" PRIu64 " were in the way", in_the_way);
	store_release(&s);
}

TEST(small_values_fill_the_store_to_nine_tenths_of_the_index)
{
	struct store *s = created(segment, BYTES, 1, clock_then);
	struct store_item item = {.value = bytes_of("v", 1), .loaded = NOW, .hard = INSTANT_NEVER};
	struct store_stats st;
	struct rng g;
	char key[32];
	uint32_t h, n = 0;
	int r = 0, refused = 0;

	rng_init(&g, tap_seed);
	while (r == 0) {
		item.key = bytes_of(key, (size_t)snprintf(key, sizeof(key), "%u", n));
		r = store_put(s, &item, &h);
		n += r == 0;
	}
	store_stats(s, &st);
	OK(r == -ENOSPC && n == s->max_live && st.entries == n && st.entries_total == n,
	   "%u entries, then %d", n, r);
	for (uint32_t i = 0; i < 20000; i++) {
		item.key = bytes_of(key, (size_t)snprintf(key, sizeof(key), "%u", n + i));
		while (store_put(s, &item, &h) != 0) {
			store_remove(s, store_sample(s, &g));
			refused++;
		}
	}
	OK(refused == 20000, "%d evictions for 20000 entries", refused);
	n = s->n_live;
	memcpy(whole, segment, BYTES);
	for (uint32_t b = 0; b < s->l.n_buckets; b++)
		s->bucket[b].state ^= b % 3 ? LAYOUT_PASSED : 0;
	store_release(&s);
	s = attach(NULL);
	OK(s->n_live == n && memcmp(s->bucket, whole + sizeof(struct layout_header),
	                            s->l.n_buckets * sizeof(*s->bucket)) == 0,
	   "what was passed is not counted anew");
	while ((h = store_sample(s, &g)) != STORE_NONE)
		store_remove(s, h);
	for (uint32_t b = 0; b < s->l.n_buckets; b++)
		OK(s->own[b].passed == 0 && !(s->bucket[b].state & LAYOUT_PASSED), "bucket %u", b);
	store_release(&s);
}

TEST(what_does_not_fit_is_refused_and_takes_the_old_value_with_it)
{
	struct store *s = created(segment, BYTES, 1, clock_then);
	struct store_item item = {
	        .key = name[1], .value = bytes_of(buf, 10), .hard = INSTANT_NEVER};
	struct store_stats st;
	uint32_t h;

	OK(created(segment, STORE_MIN_BYTES - 1, 1, clock_then) == NULL);
	store_stats(s, &st);
	OK(store_footprint(s, 10, st.bytes_total - 56) == st.bytes_total);
	OK(store_footprint(s, 10, st.bytes_total - 55) == 0);
	OK(store_footprint(s, LAYOUT_MAX_KEY_BYTES, 0) > 0);
	OK(store_footprint(s, LAYOUT_MAX_KEY_BYTES + 1, 0) == 0);
	OK(store_footprint(s, UINT64_MAX, 10) == 0 && store_footprint(s, 10, UINT64_MAX) == 0);
	OK(store_put(s, &item, &h) == 0);
	item.value = bytes_of(buf, sizeof(buf));
	OK(store_put(s, &item, &h) == -E2BIG);
	OK(store_find(s, name[1]) == STORE_NONE);
	/* two of these have no room beside each other */
	item.value = bytes_of(buf, 150000);
	OK(store_put(s, &item, &h) == 0 && store_put(s, &item, &h) == 0);
	item.key = name[2];
	OK(store_put(s, &item, &h) == -ENOSPC);
	item.key = name[1];
	OK(store_find(s, name[1]) != STORE_NONE);
	item.value = bytes_of(buf, 10000);
	item.key = name[3];
	OK(store_put(s, &item, &h) == 0);
	item.value = bytes_of(buf, st.bytes_total - 10000);
	item.key = name[1];
	OK(store_put(s, &item, &h) == -ENOSPC);
	OK(store_find(s, name[1]) == STORE_NONE, "an old value stays");
	store_release(&s);
}

/* -- Killed at every store --------------------------------------------------------------------- */

/* Right, whole and of some version the key ever had; counts what was found. */
static unsigned readable(const void *mem, const struct model *m, const struct model *m2)
{
	static unsigned char out[BYTES];
	struct store_reader r;
	struct reader_value v;
	enum reader_outcome o;
	const struct model_entry *e;
	unsigned n = 0;

	if (store_reader_init(&r, mem, BYTES) != 0)
		return 0;
	for (unsigned k = 0; k < KEYS; k++) {
		o = store_reader_get(&r, name[k], NOW, out, sizeof(out), &v);
		if (o == READER_MISS || o == READER_GONE || o == READER_SMALL)
			continue;
		n++;
		e = m->e[k].present && m->e[k].version == v.version ? &m->e[k] : &m2->e[k];
		OK(e->present && e->version == v.version, "key %u: version %" PRIu64, k, v.version);
		OK(e->value_bytes == v.value_bytes &&
		           value_right(k, e->made_from, bytes_of(out, v.value_bytes)),
		   "key %u: wrong value", k);
		OK(v.max_age.us == MAX_AGE.us &&
		           (v.loaded.us == m->e[k].loaded.us || v.loaded.us == m2->e[k].loaded.us),
		   "key %u: wrong age", k);
		OK((v.soft.us == m->e[k].soft.us && v.hard.us == m->e[k].hard.us) ||
		           (v.soft.us == m2->e[k].soft.us && v.hard.us == m2->e[k].hard.us),
		   "key %u: wrong expiry", k);
	}
	return n;
}

/*
 * Every entry of s is of model m or m2, or has been renewed with the old expiry yet: the same
 * value, and no longer life. Returns how many that are in both, besides key k_put, are not in s.
 */
static unsigned lost(const struct store *s, const struct model *m, const struct model *m2,
                     unsigned k_put)
{
	struct model_entry renewed;
	unsigned n = 0;
	uint32_t h;

	for (unsigned k = 0; k < KEYS; k++) {
		h = store_find(s, name[k]);
		if (h == STORE_NONE) {
			n += k != k_put && m->e[k].present && m2->e[k].present;
			continue;
		}
		renewed = m2->e[k];
		renewed.soft = m->e[k].soft;
		renewed.hard = m->e[k].hard;
		OK((m->e[k].present && !entry_differs(s, h, k, &m->e[k])) ||
		           (m2->e[k].present && !entry_differs(s, h, k, &m2->e[k])) ||
		           (m->e[k].present && m->e[k].version == renewed.version &&
		            !entry_differs(s, h, k, &renewed)),
		   "key %u is of no version: %s, %s", k,
		   m->e[k].present ? entry_differs(s, h, k, &m->e[k]) : "not there before",
		   m2->e[k].present ? entry_differs(s, h, k, &m2->e[k]) : "not there after");
	}
	OK(arena_consistent(s));
	return n;
}

extern void __lsan_disable(void) __attribute__((weak));
extern void __lsan_enable(void) __attribute__((weak));

/* Attaching once more, a put that may well need a hole among the others, or any operation. */
static void one_round(struct store **s, struct model *m, struct rng *g, int round, unsigned k)
{
	if (round % 10 == 9) {
		store_release(s);
		/* one that is killed in here leaves its memory behind, as a process would */
		if (__lsan_disable)
			__lsan_disable();
		*s = attached(segment, BYTES, 3, clock_then, NOW, NULL, NULL);
	} else if (round % 3 == 1) {
		put_in_room(*s, m, g, k, 4000 + rng_below(g, 20000));
	} else if (round % 3 == 0) {
		put(*s, m, g, k, 4000 + rng_below(g, 20000));
	} else {
		one_operation(*s, m, g, k);
	}
}

/*
 * Does one operation over and over on the same segment, killed before its first, second, third ...
 * store. Whatever the instant, readers see only what was there before or after, and the next writer
 * finds all entries but the one that was being put and the one that was being moved for it.
 */
TEST(a_writer_killed_at_any_store_loses_no_more_than_it_was_at)
{
	static unsigned char start[BYTES];
	static struct model m, m2;
	static struct store *s;
	static struct rng g, g0;
	static uint64_t kills, moves;
	static long step;
	static bool done;
	static unsigned k;

	rng_init(&g, tap_seed);
	memset(&m, 0, sizeof(m));
	s = created(segment, BYTES, 1, clock_then);
	for (int i = 0; i < 1500; i++)
		one_operation(s, &m, &g, (unsigned)rng_below(&g, KEYS));
	store_release(&s);
	for (int round = 0; round < 60; round++) {
		memcpy(start, segment, BYTES);
		k = (unsigned)rng_below(&g, KEYS);
		g0 = g;
		done = false;
		for (step = 0; !done; step += 1 + step / 40) {
			memcpy(segment, start, BYTES);
			g = g0;
			m2 = m;
			s = attached(segment, BYTES, 1, clock_then, NOW, NULL, NULL);
			stores_left = step;
			if (setjmp(killed) == 0) {
				one_round(&s, &m2, &g, round, k);
				done = true;
			}
			moves += s ? s->arena.moved : 0;
			stores_left = -1;
			if (round % 10 == 9 && __lsan_enable)
				__lsan_enable();
			store_release(&s);
			kills++;
			readable(segment, &m, &m2);
			s = attached(segment, BYTES, 2, clock_then, NOW, NULL, NULL);
			OK(s != NULL);
			if (!s)
				return;
			OK(lost(s, &m, &m2, k) <= (done ? 0 : 1), "round %d, store %ld", round,
			   step);
			store_release(&s);
		}
		m = m2;
	}
	printf("# killed %" PRIu64 " times\n", kills);
	OK(moves * LAYOUT_GRANULE > BYTES / 4, "too few kills while memory was moved");
}

/* Each new writer has another clock: a kill while that is written must not cost the ages of all. */
TEST(a_writer_killed_while_it_takes_over_loses_nothing)
{
	static struct store_clock c;
	static struct store *s;
	static struct model m;
	static uint64_t kept, dropped;
	static long step;
	static bool done;
	struct rng g;

	rng_init(&g, tap_seed);
	memset(&m, 0, sizeof(m));
	s = created(segment, BYTES, 1, clock_then);
	for (unsigned k = 0; k < FEW; k++)
		put(s, &m, &g, k, 100);
	store_release(&s);
	c = clock_then;
	for (step = 0; !done; step++) {
		/* the same clock, told from another instant on */
		c.boottime_us += 1000;
		c.base.us += 1000;
		stores_left = step;
		if (__lsan_disable)
			__lsan_disable();
		if (setjmp(killed) == 0) {
			s = attached(segment, BYTES, 2, c, NOW, &kept, &dropped);
			done = true;
		}
		stores_left = -1;
		if (__lsan_enable)
			__lsan_enable();
		OK(readable(segment, &m, &m) == FEW, "after %ld stores", step);
		if (!done)
			continue;
		OK(kept == FEW && dropped == 0, "kept %" PRIu64, kept);
	}
	store_release(&s);
	OK(step > 20, "%ld stores", step);
}

/* -- Damage ------------------------------------------------------------------------------------ */

static struct model damage_model;

/* A segment of small values, a copy of which is kept in whole[]. */
static void damage_start(void)
{
	struct store *s;
	struct rng g;

	rng_init(&g, tap_seed);
	memset(segment, 0, BYTES);
	s = created(segment, BYTES, 1, clock_then);
	memset(&damage_model, 0, sizeof(damage_model));
	/* each twice: what was replaced is still there, and must not come back */
	for (unsigned k = 0; k < 2 * FEW; k++)
		put(s, &damage_model, &g, k % FEW, k % FEW * 3);
	store_release(&s);
	memcpy(whole, segment, BYTES);
}

/* Reads all keys, takes the segment over, and works with what is left. */
static void use_damaged(struct rng *g, bool work)
{
	static struct model m;
	struct store *s;

	m = damage_model;
	readable(segment, &m, &m);
	s = attached(segment, BYTES, 2, clock_then, NOW, NULL, NULL);
	if (!s)
		return;
	lost(s, &m, &m, KEYS);
	readable(segment, &m, &m);
	if (work) {
		for (unsigned k = 0; k < KEYS; k++)
			m.e[k].present = store_find(s, name[k]) != STORE_NONE;
		OK(same(s, &m, false), "before new work");
		for (int i = 0; i < 60; i++)
			one_operation(s, &m, g, (unsigned)rng_below(g, KEYS));
		OK(same(s, &m, false), "after new work");
	}
	store_release(&s);
}

TEST(any_single_bit_may_flip)
{
	size_t used, n = 0, missing = 0;
	struct store *s;
	struct rng g;

	damage_start();
	rng_init(&g, tap_seed);
	s = attached(segment, BYTES, 1, clock_then, NOW, NULL, NULL);
	used = ((size_t)s->l.arena + 2 * s->arena.used) * LAYOUT_GRANULE;
	store_release(&s);
	memcpy(segment, whole, BYTES);
	OK(readable(segment, &damage_model, &damage_model) == FEW);
	for (size_t bit = 0; bit < used * 8; bit++) {
		/* most of the index is empty slots: one bit in 16 of them will do */
		if (bit / 64 % 16 && ((uint64_t *)whole)[bit / 64] == 0)
			continue;
		segment[bit / 8] ^= (unsigned char)(1 << bit % 8);
		missing += FEW - readable(segment, &damage_model, &damage_model);
		if (rng_below(&g, 8) == 0) {
			use_damaged(&g, rng_below(&g, 8) == 0);
			memcpy(segment, whole, BYTES);
		} else {
			segment[bit / 8] = whole[bit / 8];
		}
		n++;
	}
	printf("# %zu bits flipped, %zu of %zu reads missed\n", n, missing, n * FEW);
	OK(missing > n / 8 && missing < n * FEW / 2);
}

static unsigned char *at_granule(uint32_t off)
{
	return segment + (size_t)off * LAYOUT_GRANULE;
}

/* Freed memory still holds old entries, wiped. Nothing but a forged one brings one back. */
TEST(an_old_entry_stays_gone)
{
	struct store *s;
	struct model m = {.next_version = 0};
	struct layout_bucket *b;
	struct rng g;
	uint64_t kept, mark;
	uint32_t old_off, new_off, slot;

	rng_init(&g, tap_seed);
	memset(segment, 0, BYTES);
	s = created(segment, BYTES, 1, clock_then);
	put(s, &m, &g, 1, 100);
	old_off = s->slot[store_find(s, name[1])].off;
	put(s, &m, &g, 1, 100);
	slot = store_find(s, name[1]);
	new_off = s->slot[slot].off;
	b = bucket_of(s, slot);
	slot %= LAYOUT_SLOTS;
	mark = mark_at(b, slot);
	store_release(&s);
	OK(old_off != new_off && readable(segment, &m, &m) == 1);

	b->off[slot] = old_off;
	OK(readable(segment, &m, &m) == 0, "a reader takes the old entry");
	s = attached(segment, BYTES, 2, clock_then, NOW, &kept, NULL);
	OK(kept == 0, "attach takes the old entry");
	store_release(&s);

	/* a copy, and a forged slot that leads to it: two of the key, and one must go */
	memcpy(at_granule(old_off), at_granule(new_off), 144);
	b->off[slot] = new_off;
	mark_set(b, slot, mark);
	slot = (slot + 1) % LAYOUT_SLOTS;
	b->off[slot] = old_off;
	mark_set(b, slot, mark);
	s = attached(segment, BYTES, 2, clock_then, NOW, &kept, NULL);
	OK(kept == 1 && same(s, &m, false), "kept %" PRIu64, kept);
	store_release(&s);
}

TEST(any_garbage_may_be_in_the_segment)
{
	static unsigned char other[BYTES];
	struct rng g;
	size_t head = sizeof(struct layout_header), at, n, from;
	uint64_t w, seed;

	damage_start();
	seed = ((struct layout_header *)(void *)whole)->seed;
	rng_init(&g, tap_seed + 1);
	for (int i = 0; i < 3000; i++) {
		memcpy(segment, whole, BYTES);
		switch (i % 5) {
		case 0: /* a header that is right, and noise behind it */
			for (at = head; at < BYTES; at += 8) {
				w = rng_u64(&g);
				memcpy(segment + at, &w, 8);
			}
			break;
		case 1: /* a piece of noise */
			at = rng_below(&g, 40000);
			for (n = rng_below(&g, 4000); n; n--)
				segment[at++] = (unsigned char)rng_u64(&g);
			break;
		case 2: /* a piece of the segment in another place */
			n = rng_below(&g, 4000);
			from = rng_below(&g, 40000);
			memcpy(other, segment + from, n);
			memcpy(segment + rng_below(&g, 40000), other, n);
			break;
		case 3: /* slots that point anywhere, to each other's entries or into them */
			for (unsigned j = 0; j < 20; j++) {
				struct layout_bucket *b = (struct layout_bucket *)(segment + head);

				b += rng_below(&g, 128);
				from = rng_below(&g, LAYOUT_SLOTS);
				n = (size_t)rng_below(&g, KEYS);
				b->off[from] =
				        (uint32_t)(rng_below(&g, 2) ? rng_u64(&g)
				                                    : 700 + rng_below(&g, 600));
				if (rng_below(&g, 2))
					mark_set(b, (uint32_t)from,
					         layout_mark(hash_bytes(name[n], seed)));
			}
			break;
		default: /* small changes all over, words of all ones or zeroes among them */
			for (unsigned j = 0; j < 50; j++) {
				at = rng_below(&g, 5000) * 8;
				w = rng_below(&g, 3) ? rng_below(&g, 2) ? ~UINT64_C(0) : 0
				                     : UINT64_C(1) << rng_below(&g, 64);
				memcpy(segment + at, &w, 8);
			}
		}
		use_damaged(&g, true);
	}
}

/* Far ends are kept no later than they are, and no more than their digits too early. */
TEST(a_damaged_entry_goes_to_nobody_but_its_owner)
{
	static const char text[] = "a key that gets damaged";
	struct store *s = created(segment, BYTES, 1, clock_then);
	struct store_item item = {.key = bytes_str(text),
	                          .value = bytes_of("x", 1),
	                          .loaded = NOW,
	                          .soft = instant_add(NOW, SPAN_S(100)),
	                          .hard = instant_add(NOW, SPAN_S(200)),
	                          .max_age = MAX_AGE,
	                          .owner = 7};
	uint32_t damaged, h, taken = 0;
	unsigned char *at;
	char other[32];

	OK(store_put(s, &item, &damaged) == 0);
	at = memmem(segment, BYTES, text, strlen(text));
	OK(at != NULL);
	at[3] ^= 4;
	OK(!store_whole(s, damaged));
	/* among so many keys some belong where it is */
	for (unsigned n = 0; n < 300000; n++) {
		item.key = bytes_of(other, (size_t)snprintf(other, sizeof(other), "other %u", n));
		item.owner = 1000 + n;
		OK(store_put(s, &item, &h) == 0);
		taken += h == damaged || store_owner(s, damaged) != 7;
		store_remove(s, h);
	}
	OK(!taken, "%u", taken);
	/* its own next value takes its place */
	item.key = bytes_str(text);
	item.owner = 7;
	OK(store_put(s, &item, &h) == 0 && store_whole(s, h) &&
	   store_find(s, bytes_str(text)) == h);
	store_release(&s);
}

TEST(far_ends_are_rounded_down)
{
	struct store *s = created(segment, BYTES, 1, clock_then);
	struct store_item i, item = {.key = name[0], .value = bytes_of("x", 1), .loaded = NOW};
	int64_t late = 0, soft, hard, age;
	struct rng g;
	uint32_t h;

	rng_init(&g, tap_seed);
	for (int n = 0; n < 20000; n++) {
		soft = ticks(&g, UINT64_C(1) << rng_below(&g, 42));
		hard = soft + ticks(&g, UINT64_C(1) << rng_below(&g, 42));
		age = ticks(&g, UINT64_C(1) << rng_below(&g, 42));
		item.soft.us = NOW.us + soft;
		item.hard.us = NOW.us + hard;
		item.max_age.us = age;
		OK(store_put(s, &item, &h) == 0);
		store_get(s, h, &i);
		late += i.soft.us > item.soft.us || i.hard.us > item.hard.us ||
		        i.max_age.us > item.max_age.us;
		OK(item.soft.us - i.soft.us <= soft >> 27, "soft, after %" PRId64, soft);
		OK(item.hard.us - i.hard.us <= (hard - soft + (soft >> 27)) >> 19,
		   "hard, after %" PRId64, hard - soft);
		OK(item.max_age.us - i.max_age.us <= age >> 17, "max_age %" PRId64, age);
	}
	OK(late == 0, "%" PRId64 " are later than they should be", late);
	/* before the load: over, whatever the reader's clock */
	item.soft.us = item.hard.us = NOW.us - 1000;
	OK(store_put(s, &item, &h) == 0);
	store_get(s, h, &i);
	OK(i.soft.us == 0 && i.hard.us == 0);
	/* large keys and values have their sizes elsewhere */
	for (unsigned n = 254; n < 258; n++) {
		item.key = bytes_of(whole, n);
		item.value = bytes_of(buf, n * 257 - 256);
		OK(store_put(s, &item, &h) == 0 && store_whole(s, h));
		store_get(s, h, &i);
		OK(bytes_equal(i.key, item.key) && bytes_equal(i.value, item.value), "%u", n);
		store_remove(s, h);
	}
	store_release(&s);
}

TEST(attach_refuses_what_is_not_a_segment_of_ours)
{
	struct store *s;
	uint64_t kept, dropped;

	damage_start();
	OK(!attached(segment, BYTES / 2, 2, clock_then, NOW, NULL, NULL), "another size");
	segment[offsetof(struct layout_header, version)]++;
	OK(!attached(segment, BYTES, 2, clock_then, NOW, NULL, NULL), "another version");
	memset(segment, 0, BYTES);
	OK(!attached(segment, BYTES, 2, clock_then, NOW, NULL, NULL), "nothing");
	memcpy(segment, whole, BYTES);
	s = attached(segment, BYTES, 2, clock_then, NOW, &kept, &dropped);
	OK(s && kept == FEW && dropped == 0);
	store_release(&s);
}

TEST(attach_drops_what_has_expired_and_what_it_cannot_date)
{
	struct instant later = instant_add(NOW, SPAN_S(100)), at;
	struct store_clock c = clock_then;
	struct store_item item = {.key = name[0],
	                          .value = bytes_of("x", 1),
	                          .loaded = NOW,
	                          .soft = NOW,
	                          .hard = later,
	                          .max_age = SPAN_S(200)};
	struct store *s;
	struct store_found found;
	uint32_t h;

	for (int i = 0; i < 7; i++) {
		c = clock_then;
		c.host = i == 6 ? 5 : 0;
		s = created(segment, BYTES, 1, c);
		at = instant_add(NOW, SPAN_S(99));
		item.hard = i == 5 ? INSTANT_NEVER : later;
		OK(store_put(s, &item, &h) == 0);
		store_release(&s);
		c.boottime_us += 99000000;
		c.base = at;
		switch (i) {
		case 1:
			at = later;
			break;
		case 2: /* a clock that went back: ages would come out too small */
			c.base.us -= 200000;
			break;
		case 3: /* loaded in the future */
			at.us = NOW.us - 1;
			break;
		case 4: /* a clock that nobody can read */
			((struct layout_header *)(void *)segment)->clock[0].check++;
			((struct layout_header *)(void *)segment)->clock[1].check++;
			break;
		case 5: /* too old, whatever its expiry says */
			at = instant_add(NOW, SPAN_US(200000001));
			break;
		case 6: /* of another boot of the host */
			c.host = 6;
		}
		OK(!store_attach(segment, BYTES, 2, c, at, NULL, &found, &s));
		/* whose time is over is no damage */
		OK(found.kept == (i == 0) && found.expired == (i == 1 || i == 5) &&
		           found.dropped == !(found.kept + found.expired),
		   "case %d: kept %" PRIu64 ", expired %" PRIu64, i, found.kept, found.expired);
		if (i == 0)
			OK(store_owner(s, store_find(s, name[0])) == STORE_NONE);
		store_release(&s);
	}
}

TEST(samples_are_uniform_and_each_visits_all)
{
	static unsigned seen[FEW];
	struct store *s;
	struct rng g;
	double chi2 = 0, d;

	damage_start();
	s = attach(NULL);
	rng_init(&g, tap_seed);
	for (unsigned i = 0; i < 1000 * FEW; i++)
		seen[key_of_entry(s, store_sample(s, &g))]++;
	for (unsigned k = 0; k < FEW; k++) {
		d = seen[k] - 1000.0;
		chi2 += d * d / 1000;
	}
	/* 47 degrees of freedom: below 100 but once in 100 000 */
	OK(chi2 < 100, "chi square %g", chi2);
	store_release(&s);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	make_names();
	RUN(random_operations_do_what_a_plain_model_does);
	RUN(any_size_can_be_placed_after_others_were_there);
	RUN(room_is_had_in_a_store_that_is_kept_full);
	RUN(small_values_fill_the_store_to_nine_tenths_of_the_index);
	RUN(what_does_not_fit_is_refused_and_takes_the_old_value_with_it);
	RUN(a_writer_killed_at_any_store_loses_no_more_than_it_was_at);
	RUN(a_writer_killed_while_it_takes_over_loses_nothing);
	RUN(any_single_bit_may_flip);
	RUN(an_old_entry_stays_gone);
	RUN(any_garbage_may_be_in_the_segment);
	RUN(a_damaged_entry_goes_to_nobody_but_its_owner);
	RUN(far_ends_are_rounded_down);
	RUN(attach_refuses_what_is_not_a_segment_of_ours);
	RUN(attach_drops_what_has_expired_and_what_it_cannot_date);
	RUN(samples_are_uniform_and_each_visits_all);
	return tap_done();
}
