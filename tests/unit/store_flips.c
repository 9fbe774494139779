/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Random bits of a live segment flip, one after another, while its writer works and readers read:
 * ./store_flips [seed [flips]]. `make flip-campaign` runs ten million under AddressSanitizer.
 *
 * What must hold: no crash, and whoever gets a value gets the one that was put last under that key
 * (its bytes depend on key and version; a third are put compressed), not removed since, not older than its max_age by the true
 * clock, not called fresh, or in grace, for longer than the writer said. A miss is always right.
 * That holds for readers, for the writer's own reads when it checks (store_whole), and for the
 * writer that takes the damaged segment over.
 *
 * Nothing here knows the layout: a bit may be any of the segment. Four in five are taken from words
 * that are not zero, as the rest is mostly empty; some flip back a moment later, as a bit does that
 * was only read wrongly.
 */
#include "base/hash.h"
#include "base/rng.h"
#include "store/reader.h"
#include "store/store.h"
#include "tests/store_open.h"
#include "tests/store_packed.h"
#include "tests/tap.h"

#include <errno.h>
#include <string.h>

#define BYTES     (256u * 1024)
#define WORDS     (BYTES / 8)
#define KEYS      220u
#define MAX_VALUE 6000u
#define BASE      INT64_C(1770000000000000)
#define HOST      77

/* One life of the segment is so many flips, after which the next writer takes over, or a new one starts. */
#define FLIPS_PER_LIFE 4000u

/* What the world believes of a key. */
struct truth {
	bool present, pushed;
	uint64_t version;
	size_t bytes; /* of the value, not of what is put for it */
	uint32_t entry;
	struct instant loaded, soft, hard;
	struct span max_age;
};

static _Alignas(4096) unsigned char segment[BYTES];
static uint64_t flips = 200000;

static struct world {
	struct rng g;
	struct store *s;
	struct store_reader r;
	struct reader_clock clock_seen;
	struct truth t[KEYS];
	uint64_t version, life;
	int64_t boot_us, beat_us; /* CLOCK_BOOTTIME now, and at the last heartbeat */
	struct store_clock clock;
	uint32_t hot[WORDS], n_hot; /* words that are not zero */
	/* figures */
	uint64_t flips, reads, hits, puts, refused, lives, kept, dropped, lost, own_reads, own_bad,
	        packed;
	uint64_t wrong;
} w;

static struct instant now(void)
{
	double passed = (double)(w.boot_us - w.clock.boottime_us) * w.clock.scale;

	return instant_add(w.clock.base, SPAN_US(passed));
}

/* In whole milliseconds, which the store keeps as they are. */
static struct instant now_ms(void)
{
	return (struct instant){now().us / 1000 * 1000};
}

static struct bytes key_name(unsigned k)
{
	static char name[96];
	int n = snprintf(name, sizeof(name), "/flips/%u/", k);

	for (unsigned i = 0; i < k % 23; i++)
		name[n++] = (char)('a' + (i + k) % 26);
	return bytes_of(name, (size_t)n);
}

static bool packs(uint64_t version)
{
	return version % 3 == 0;
}

static void value_make(unsigned k, uint64_t version, unsigned char *buf, size_t n)
{
	uint64_t x;

	for (size_t i = 0; i < n; i += 8) {
		x = hash_u64((uint64_t)k << 40 ^ version * 4096 ^ (packs(version) ? i % 64 : i));
		memcpy(buf + i, &x, n - i < 8 ? n - i : 8);
	}
}

static bool value_right(unsigned k, struct bytes v, bool packed)
{
	static unsigned char want[MAX_VALUE + 8];
	const struct truth *t = &w.t[k];

	w.packed += packed;
	v = packed ? unpacked(v) : v;
	if (v.n != t->bytes)
		return false;
	value_make(k, t->version, want, t->bytes);
	return memcmp(want, v.p, v.n) == 0;
}

static void wrong(const char *who, unsigned k, const char *what)
{
	if (w.wrong++ < 20)
		printf("# flip %" PRIu64 ", life %" PRIu64 ": %s, key %u: %s\n", w.flips, w.life,
		       who, k, what);
}

/* -- The readers ------------------------------------------------------------------------------- */

static void read_key(unsigned k)
{
	static char buf[MAX_VALUE + 64];
	const struct truth *t = &w.t[k];
	struct reader_view view;
	struct reader_value v;
	struct span silence;
	struct instant at;
	enum reader_outcome o;

	w.reads++;
	/* one that keeps what it has checked of the clock, and looks at values in their place */
	store_reader_clock(&w.r, w.boot_us, &w.clock_seen, &at, &silence);
	if (at.us != INSTANT_NEVER.us && at.us < now().us - 1)
		wrong("reader", k, "the clock is behind");
	if (silence.us < w.boot_us - w.beat_us)
		wrong("reader", k, "takes a silent writer for alive");
	if (w.reads % 2) {
		o = store_reader_get(&w.r, key_name(k), at, buf, sizeof(buf), &v);
	} else {
		struct reader_key key = store_reader_key(&w.r, key_name(k));

		o = store_reader_find(&w.r, &key, at, &view);
		if (o == READER_FRESH || o == READER_GRACE || o == READER_STALE) {
			if (!store_reader_check(&w.r, &view) ||
			    view.value.value_bytes > sizeof(buf))
				return;
			v = view.value;
			memcpy(buf, view.data, v.value_bytes);
			if (!store_reader_still(&w.r, &view))
				return;
		}
	}
	if (o != READER_FRESH && o != READER_GRACE && o != READER_STALE)
		return;
	w.hits++;
	if (!t->present)
		wrong("reader", k, "was removed");
	else if (v.version != t->version || !value_right(k, bytes_of(buf, v.value_bytes), v.packed))
		wrong("reader", k, v.version < t->version ? "an old version" : "a wrong value");
	else if (now().us - t->loaded.us > t->max_age.us)
		wrong("reader", k, "older than max_age");
	else if (v.loaded.us != t->loaded.us || v.max_age.us != t->max_age.us)
		wrong("reader", k, "of another age");
	else if (o == READER_FRESH && !instant_before(now(), t->soft))
		wrong("reader", k, "fresh too long");
	else if (o != READER_STALE && !instant_before(now(), t->hard))
		wrong("reader", k, "in grace too long");
	else if (o != READER_STALE && v.pushed != t->pushed)
		wrong("reader", k, "wrong about who tells of changes");
}

static void read_header(void)
{
	struct instant at = store_reader_now(&w.r, w.boot_us);
	struct span silence = store_reader_silence(&w.r, w.boot_us);
	struct store_reader again;

	if (at.us != INSTANT_NEVER.us && at.us < now().us - 1)
		wrong("reader", 0, "the clock is behind");
	if (silence.us < w.boot_us - w.beat_us)
		wrong("reader", 0, "takes a silent writer for alive");
	if (store_reader_init(&again, segment, BYTES) == 0 && rng_below(&w.g, 4) == 0) {
		w.r = again;
		w.clock_seen = (struct reader_clock){.known = false};
	}
}

/* -- The writer -------------------------------------------------------------------------------- */

static void put(unsigned k)
{
	static unsigned char value[MAX_VALUE + 8];
	struct truth *t = &w.t[k];
	struct store_item item;
	struct bytes kept;
	bool packed = false;
	uint32_t h = STORE_NONE;
	int rc;

	t->version = ++w.version;
	t->bytes = (size_t)(exp(rng_uniform(&w.g) * log(MAX_VALUE)) - 1);
	t->loaded = instant_add(now_ms(), SPAN_MS(-(int64_t)rng_below(&w.g, 1000)));
	t->soft = instant_add(now_ms(), SPAN_MS(1 + rng_below(&w.g, 4000)));
	t->hard = instant_add(t->soft, SPAN_MS(rng_below(&w.g, 4000)));
	t->max_age = SPAN_MS(1000 + rng_below(&w.g, 10000));
	t->pushed = rng_below(&w.g, 4) == 0;
	value_make(k, t->version, value, t->bytes);
	kept = bytes_of(value, t->bytes);
	if (packs(t->version))
		kept = packed_or_not(kept, &packed);
	item = (struct store_item){key_name(k), kept,       t->version, t->loaded, t->soft,
	                           t->hard,     t->max_age, k,          t->pushed, packed};
	while ((rc = store_put(w.s, &item, &h)) == -ENOSPC) {
		uint32_t victim = store_sample(w.s, &w.g);

		if (victim == STORE_NONE)
			break;
		w.t[store_owner(w.s, victim) % KEYS].present = false;
		store_remove(w.s, victim);
	}
	t->present = rc == 0;
	t->entry = h;
	w.puts++;
	w.refused += rc != 0;
}

/* What the daemon itself would answer. */
static void own_read(unsigned k, uint32_t h)
{
	struct store_item i;

	w.own_reads++;
	if (!store_whole(w.s, h)) {
		w.own_bad++;
		store_remove(w.s, h);
		w.t[k].present = false;
		return;
	}
	store_get(w.s, h, &i);
	if (!bytes_equal(i.key, key_name(k)) || i.version != w.t[k].version ||
	    !value_right(k, i.value, i.packed) || i.loaded.us != w.t[k].loaded.us)
		wrong("writer", k, "a wrong value");
}

static void work(void)
{
	unsigned k = (unsigned)rng_below(&w.g, KEYS);
	struct truth *t = &w.t[k];
	uint32_t h = store_find(w.s, key_name(k));
	unsigned what = (unsigned)rng_below(&w.g, 16);

	if (h == STORE_NONE)
		w.lost += t->present;
	if (h == STORE_NONE && what < 7) {
		/*
		 * it cannot be read just now, and is taken out by its number, as the engine does: the bit
		 * may flip back
		 */
		if (t->present)
			store_remove(w.s, t->entry);
		t->present = false;
		return;
	}
	switch (what) {
	case 0:
	case 1:
		store_remove(w.s, h);
		t->present = false;
		break;
	case 2:
		t->soft = instant_add(now_ms(), SPAN_MS(rng_below(&w.g, 4000)));
		t->hard = instant_add(t->soft, SPAN_MS(rng_below(&w.g, 4000)));
		store_set_expiry(w.s, h, t->soft, t->hard);
		break;
	case 3:
		t->loaded = now_ms();
		t->soft = instant_add(now_ms(), SPAN_MS(rng_below(&w.g, 4000)));
		t->hard = instant_add(t->soft, SPAN_MS(rng_below(&w.g, 4000)));
		store_renew(w.s, h, t->loaded, t->soft, t->hard);
		break;
	case 4:
		t->pushed = !t->pushed;
		store_set_pushed(w.s, h, t->pushed);
		break;
	case 5:
	case 6:
		own_read(k, h);
		break;
	default:
		put(k);
	}
}

static void beat(void)
{
	w.beat_us = w.boot_us;
	store_heartbeat(w.s, w.boot_us);
}

/* -- The damage -------------------------------------------------------------------------------- */

static void find_hot(void)
{
	const uint64_t *word = (const uint64_t *)(const void *)segment;

	w.n_hot = 0;
	for (uint32_t i = 0; i < WORDS; i++)
		if (word[i])
			w.hot[w.n_hot++] = i;
}

static uint32_t choose_bit(void)
{
	if (w.n_hot && rng_below(&w.g, 5))
		return w.hot[rng_below(&w.g, w.n_hot)] * 64 + (uint32_t)rng_below(&w.g, 64);
	return (uint32_t)rng_below(&w.g, BYTES * 8);
}

static void flip(uint32_t bit)
{
	segment[bit / 8] ^= (unsigned char)(1u << bit % 8);
}

static void one_flip(void)
{
	uint32_t bit = choose_bit();
	unsigned k = (unsigned)rng_below(&w.g, KEYS);
	bool back = rng_below(&w.g, 4) == 0;

	w.flips++;
	w.boot_us += (int64_t)rng_below(&w.g, 2000);
	flip(bit);
	for (int i = 0; i < 4; i++)
		read_key((k + (unsigned)i) % KEYS);
	for (uint64_t i = rng_below(&w.g, 4); i; i--)
		work();
	if (back)
		flip(bit);
	if (w.flips % 16 == 0)
		read_header();
	if (w.flips % 64 == 0)
		beat();
	if (w.flips % 128 == 0)
		for (k = 0; k < KEYS; k++)
			read_key(k);
	if (w.flips % 1000 == 0)
		find_hot();
}

/* -- Lives ------------------------------------------------------------------------------------- */

static void mark_found(void *arg, uint32_t h)
{
	bool *found = arg;
	struct store_item i;
	unsigned k;

	store_get(w.s, h, &i);
	for (k = 0; k < KEYS && !bytes_equal(i.key, key_name(k)); k++)
		;
	if (k == KEYS) {
		wrong("next writer", k, "a key that never was");
		return;
	}
	found[k] = true;
	w.t[k].entry = h;
	store_set_owner(w.s, h, k);
	if (!w.t[k].present)
		wrong("next writer", k, "was removed");
	else if (i.version != w.t[k].version || !value_right(k, i.value, i.packed))
		wrong("next writer", k, "a wrong value");
	else if (i.loaded.us != w.t[k].loaded.us || i.max_age.us != w.t[k].max_age.us)
		wrong("next writer", k, "of another age");
	else if (i.soft.us > w.t[k].soft.us || i.hard.us > w.t[k].hard.us)
		wrong("next writer", k, "lives too long");
	else if (i.pushed != w.t[k].pushed)
		wrong("next writer", k, "wrong about who tells of changes");
}

/* The next writer takes over what is there; or, at times, lays out a new segment. */
static void next_life(void)
{
	bool found[KEYS] = {false};
	uint64_t kept = 0, dropped = 0;
	struct instant at = w.life ? now() : (struct instant){BASE};

	store_release(&w.s);
	w.life++;
	w.lives++;
	w.clock.boottime_us = w.boot_us;
	w.clock.base = at;
	w.clock.scale = rng_below(&w.g, 2) ? 1 : 3;
	w.clock.host = HOST;
	if (w.life % 4 != 1)
		w.s = attached(segment, BYTES, w.life, w.clock, at, &kept, &dropped);
	if (w.s) {
		w.kept += kept;
		w.dropped += dropped;
		store_each(w.s, mark_found, found);
	} else {
		w.s = created(segment, BYTES, w.life, w.clock);
	}
	for (unsigned k = 0; k < KEYS; k++)
		w.t[k].present = found[k];
	OK(w.s && store_reader_init(&w.r, segment, BYTES) == 0, "life %" PRIu64, w.life);
	w.r.host = rng_below(&w.g, 2) ? HOST : 0;
	w.beat_us = w.boot_us;
	for (unsigned i = 0; i < 2 * KEYS; i++)
		work();
	find_hot();
}

TEST(bits_of_a_live_segment_may_flip)
{
	rng_init(&w.g, tap_seed);
	w.boot_us = 5000000;
	while (w.flips < flips && w.wrong < 20) {
		if (w.flips % FLIPS_PER_LIFE == 0)
			next_life();
		one_flip();
	}
	store_release(&w.s);
	printf("# %" PRIu64 " bits flipped in %" PRIu64 " lives of the writer, %" PRIu64
	       " puts, %" PRIu64 " refused\n",
	       w.flips, w.lives, w.puts, w.refused);
	printf("# readers: %" PRIu64 " gets, %" PRIu64 " hits; the writer: %" PRIu64
	       " reads, %" PRIu64 " of what was damaged, %" PRIu64 " entries lost\n",
	       w.reads, w.hits, w.own_reads, w.own_bad, w.lost);
	printf("# taken over: %" PRIu64 " entries kept, %" PRIu64 " dropped\n", w.kept, w.dropped);
	printf("# %" PRIu64 " wrong\n", w.wrong);
	OK(w.wrong == 0);
	OK(w.packed > w.hits / 20, "too few were compressed");
	OK(w.hits > w.reads / 10, "the readers saw too little");
	OK(w.own_bad > 0 && w.kept > 0 && w.dropped > 0, "too little was damaged");
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	if (argc > 2)
		flips = strtoull(argv[2], NULL, 10);
	RUN(bits_of_a_live_segment_may_flip);
	return tap_done();
}
