/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The store against a plain model of it; killed at each of its stores to the segment; and taking over
 * segments that have been damaged in every way we could think of. Every value says which key and which
 * version it belongs to, so a wrong one cannot pass for a right one.
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

#include "store/store.c"
#include "store/reader.h"
#include "tests/tap.h"

#define BYTES   (256u * 1024)
#define KEYS    48u
#define NOW     ((struct instant){ INT64_C(1770000000000000) })
#define MAX_AGE SPAN_S(1000)

static const struct store_clock clock_then = { 5000000, { INT64_C(1770000000000000) }, 1.0 };

/* -- The model --------------------------------------------------------------------------------- */

struct model_entry {
	bool present;
	uint64_t version;
	size_t value_bytes;
	struct instant loaded, soft, hard;
	uint32_t owner;
};

struct model {
	struct model_entry e[KEYS];
	uint64_t next_version;
};

static _Alignas(4096) unsigned char segment[BYTES];
static unsigned char buf[BYTES];
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
	return hash_u64(version * 64 + k + ((uint64_t)at << 40));
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

static struct store_item item_make(struct model *m, struct rng *g, unsigned k, size_t n)
{
	struct model_entry *e = &m->e[k];

	*e = (struct model_entry){ true, ++m->next_version, n, NOW, NOW, NOW, (uint32_t)rng_u64(g) };
	e->loaded.us -= (int64_t)rng_below(g, 1000000000);
	e->soft.us += (int64_t)rng_below(g, 1000000);
	e->hard.us = e->soft.us + 1 + (int64_t)rng_below(g, 1000000);
	value_make(k, e->version, n, buf);
	return (struct store_item){ name[k], bytes_of(buf, n), e->version, e->loaded,
		                    e->soft, e->hard,          MAX_AGE,    e->owner };
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
	if (!value_right(k, i.version, i.value))
		return "value";
	if (i.loaded.us != e->loaded.us || i.max_age.us != MAX_AGE.us)
		return "loaded or max_age";
	if (i.soft.us != e->soft.us || i.hard.us != e->hard.us)
		return "soft or hard";
	return NULL;
}

/* Every count and list of the arena against what the blocks say. */
static bool arena_consistent(const struct arena *a)
{
	static uint32_t zone[BYTES / 4096], first[BYTES / 4096];
	uint32_t used = 0, to = a->start, b = a->max_blocks, in_bins = 0, gaps = 0, next, end, z;

	memset(zone, 0, sizeof(zone));
	memset(first, 0xff, sizeof(first));
	do {
		next = a->block[b].next;
		end = next == a->max_blocks ? a->end : a->block[next].off;
		if (a->block[next].prev != b || a->block[b].off < to)
			return false;
		to = a->block[b].off + a->block[b].size;
		if (end < to)
			return false;
		gaps += end > to;
		used += a->block[b].size;
		for (uint32_t u = a->block[b].off; u < to; u++)
			zone[(u - a->start) >> a->zone_shift]++;
		z = (a->block[b].off - a->start) >> a->zone_shift;
		if (b != a->max_blocks && first[z] == ARENA_NONE)
			first[z] = b;
		b = next;
	} while (b != a->max_blocks);
	for (unsigned i = 0; i < ARENA_BINS; i++)
		for (b = a->bin[i]; b != ARENA_NONE; b = a->block[b].gap_next)
			in_bins++;
	return used == a->used && in_bins == gaps &&
	       memcmp(zone, a->zone_used, a->n_zones * sizeof(*zone)) == 0 &&
	       memcmp(first, a->zone_first, a->n_zones * sizeof(*first)) == 0;
}

struct count {
	const struct store *s;
	uint64_t n, bytes;
};

static void count_entry(void *arg, uint32_t h)
{
	struct count *c = arg;
	struct store_item i;

	store_get(c->s, h, &i);
	c->n++;
	c->bytes += store_footprint(c->s, i.key.n, i.value.n);
}

/* All of the store against all of the model. */
static bool same(const struct store *s, const struct model *m, bool owners)
{
	struct count c = { s, 0, 0 };
	struct store_stats st;
	const char *why;
	uint64_t n = 0;
	uint32_t h;

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
	if (c.n != n || st.entries != n || st.bytes_used != c.bytes ||
	    st.bytes_used > st.bytes_total) {
		printf("# the counts are wrong\n");
		return false;
	}
	return arena_consistent(&s->arena);
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

/* Puts a new value of k, evicting as the engine would; returns how many it took. */
static unsigned put(struct store *s, struct model *m, struct rng *g, unsigned k, size_t n)
{
	struct store_item item = item_make(m, g, k, n);
	unsigned evicted = 0, victim;
	uint32_t h;
	int r;

	while ((r = store_put(s, &item, &h)) == -ENOSPC) {
		h = store_sample(s, g);
		if (h == STORE_NONE)
			break;
		victim = key_of_entry(s, h);
		if (victim < KEYS)
			m->e[victim].present = false;
		store_remove(s, h);
		evicted++;
	}
	m->e[k].present = r == 0;
	OK(r == 0 || r == -E2BIG, "put of %zu bytes: %d", n, r);
	return evicted;
}

static void one_operation(struct store *s, struct model *m, struct rng *g, unsigned k)
{
	uint32_t h = store_find(s, name[k]);
	struct model_entry *e = &m->e[k];
	unsigned what = (unsigned)rng_below(g, 16);

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
		e->soft.us += (int64_t)rng_below(g, 1000);
		e->hard.us += (int64_t)rng_below(g, 100000);
		store_set_expiry(s, h, e->soft, e->hard);
		break;
	case 5:
		e->loaded.us = NOW.us - (int64_t)rng_below(g, 1000000);
		e->soft.us += (int64_t)rng_below(g, 1000);
		OK(store_renew(s, h, e->loaded, e->soft, e->hard) == 0);
		break;
	default:
		e->owner = (uint32_t)rng_u64(g);
		store_set_owner(s, h, e->owner);
	}
}

static struct store *attach(void)
{
	uint64_t dropped;
	struct store *s = store_attach(segment, BYTES, 2, clock_then, NOW, NULL, &dropped);

	OK(s && dropped == 0, "dropped %" PRIu64, dropped);
	return s;
}

TEST(random_operations_do_what_a_plain_model_does)
{
	struct store *s = store_create(segment, BYTES, 1, clock_then);
	struct model m = { .next_version = 0 };
	uint64_t moved = 0;
	struct rng g;

	rng_init(&g, tap_seed);
	for (int i = 0; i < 10000; i++) {
		if (rng_below(&g, 100) == 0) {
			moved += s->arena.moved;
			store_release(&s);
			s = attach();
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
	store_release(&s);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	make_names();
	RUN(random_operations_do_what_a_plain_model_does);
	return tap_done();
}
