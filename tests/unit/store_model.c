/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The store and a reader against a plain map, in virtual time: ./store_model [seed [steps]].
 * `make model-campaign` makes ten million steps.
 *
 * A step is a get by a reader, a put (which evicts, as the engine would, what the store says), a
 * step of a put in room that was taken before, a removal, a new expiry, a renewal, a flag, the passing of time, a heartbeat, another speed of the
 * clock, or another writer that takes the segment over. Every get must come out as the map says, to
 * the millisecond: fresh, in grace, stale or a miss, with the value, version and age that were put. A
 * third of the values are put compressed.
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
#define KEYS      500u
#define MAX_VALUE 20000u

struct known {
	bool present, pushed, packed;
	uint64_t version;
	size_t bytes, kept; /* of the value; and of what is put for it */
	struct instant loaded, soft,
	        hard; /* whole milliseconds, which the store keeps as they are */
	struct span max_age;
};

static _Alignas(4096) unsigned char segment[BYTES];
static unsigned char value[MAX_VALUE + 8];
static uint64_t steps = 300000;

static struct {
	struct rng g;
	struct store *s;
	struct store_reader r;
	struct known k[KEYS];
	struct store_clock clock;
	int64_t boot_us;
	uint64_t version, life, gets[READER_SMALL + 1], puts, packed, evicted, lost, wrong;
	/* a value that is not put in one go */
	struct store_room room;
	unsigned room_k;
	size_t room_bytes;
	uint64_t room_version, published;
} w;

static struct bytes key_name(unsigned k)
{
	static char name[300];
	int n = snprintf(name, sizeof(name), "/model/%u/%.*s", k, (int)(k % 17),
	                 "abcdefghijklmnopq");

	return bytes_of(name, (size_t)n);
}

static struct instant now(void)
{
	return instant_add(w.clock.base,
	                   SPAN_US((w.boot_us - w.clock.boottime_us) * (int64_t)w.clock.scale));
}

static bool packs(uint64_t version)
{
	return version % 3 == 0;
}

static void value_make(unsigned k, uint64_t version, size_t n)
{
	uint64_t x;

	for (size_t i = 0; i < n; i += 8) {
		x = hash_u64((uint64_t)k << 40 ^ version * 4096 ^ (packs(version) ? i % 64 : i));
		memcpy(value + i, &x, 8);
	}
}

/* What is put for that value. */
static struct bytes kept_make(unsigned k, uint64_t version, size_t n, bool *ret_packed)
{
	*ret_packed = false;
	value_make(k, version, n);
	return packs(version) ? packed_or_not(bytes_of(value, n), ret_packed) : bytes_of(value, n);
}

static void wrong(unsigned k, const char *what)
{
	if (w.wrong++ < 20)
		printf("# key %u, version %" PRIu64 ": %s\n", k, w.k[k].version, what);
}

static struct instant in_ms(uint64_t most)
{
	return instant_add(now(), SPAN_MS(rng_below(&w.g, most)));
}

static enum reader_outcome expected(const struct known *e)
{
	if (!e->present || now().us - e->loaded.us > e->max_age.us)
		return READER_MISS;
	if (!instant_before(now(), e->hard))
		return READER_STALE;
	return instant_before(now(), e->soft) ? READER_FRESH : READER_GRACE;
}

static void get(unsigned k)
{
	static unsigned char buf[MAX_VALUE + 8];
	const struct known *e = &w.k[k];
	struct reader_value v;
	enum reader_outcome want = expected(e), o;
	size_t cap = rng_below(&w.g, 8) ? sizeof(buf) : (size_t)rng_below(&w.g, MAX_VALUE);

	o = store_reader_get(&w.r, key_name(k), store_reader_now(&w.r, w.boot_us), buf, cap, &v);
	w.gets[o]++;
	if (want != READER_MISS && e->kept > cap)
		want = READER_SMALL;
	if (o != want) {
		wrong(k, "another outcome");
		return;
	}
	if (o == READER_MISS || o == READER_GONE)
		return;
	if (v.value_bytes != e->kept || v.packed != e->packed || v.loaded.us != e->loaded.us ||
	    v.soft.us != e->soft.us || v.hard.us != e->hard.us || v.max_age.us != e->max_age.us ||
	    v.pushed != e->pushed)
		wrong(k, "other times");
	if (o == READER_SMALL)
		return;
	value_make(k, e->version, e->bytes);
	w.packed += v.packed;
	if (v.version != e->version ||
	    !bytes_equal(v.packed ? unpacked(bytes_of(buf, e->kept)) : bytes_of(buf, e->kept),
	                 bytes_of(value, e->bytes)))
		wrong(k, "another value");
}

static size_t some_size(void)
{
	return rng_below(&w.g, 50) ? (size_t)(exp(rng_uniform(&w.g) * log(6000)) - 1)
	                           : (size_t)rng_below(&w.g, MAX_VALUE);
}

static void evict(void)
{
	uint32_t victim = store_sample(w.s, &w.g);

	w.k[store_owner(w.s, victim)].present = false;
	store_remove(w.s, victim);
	w.evicted++;
}

/* Of a value of this version and size. */
static struct store_item item_of(unsigned k, uint64_t version, size_t bytes)
{
	struct known *e = &w.k[k];
	struct bytes kept;

	e->version = version;
	e->bytes = bytes;
	e->loaded = instant_add(now(), SPAN_MS(-(int64_t)rng_below(&w.g, 500)));
	e->soft = in_ms(3000);
	e->hard = instant_add(e->soft, SPAN_MS(rng_below(&w.g, 3000)));
	e->max_age = SPAN_MS(500 + rng_below(&w.g, 8000));
	e->pushed = rng_below(&w.g, 4) == 0;
	kept = kept_make(k, e->version, e->bytes, &e->packed);
	e->kept = kept.n;
	return (struct store_item){key_name(k), kept,       e->version, e->loaded, e->soft,
	                           e->hard,     e->max_age, k,          e->pushed, e->packed};
}

static void put(unsigned k)
{
	struct store_item item = item_of(k, ++w.version, some_size());
	uint32_t h;
	int rc;

	while ((rc = store_put(w.s, &item, &h)) == -ENOSPC)
		evict();
	w.k[k].present = rc == 0;
	w.puts++;
	if (rc)
		wrong(k, "was refused");
}

/* Goes on with the value that is not put in one go, or begins with one. */
static void put_in_room(unsigned k)
{
	struct store_item item;
	struct bytes kept;
	uint32_t h;
	bool packed;

	if (!w.room.granules) {
		w.room_k = k;
		w.room_version = ++w.version;
		w.room_bytes = some_size();
	}
	kept = kept_make(w.room_k, w.room_version, w.room_bytes, &packed);
	if (!w.room.taken) {
		if (store_reserve(w.s, key_name(w.room_k).n, kept.n, &w.room) == -ENOSPC)
			evict();
	} else if (!w.room.filled) {
		store_fill(w.s, &w.room, kept.p);
	} else if (rng_below(&w.g, 10) == 0) {
		store_unreserve(w.s, &w.room);
	} else {
		item = item_of(w.room_k, w.room_version, w.room_bytes);
		/* what is in the room counts, and only that */
		memset(value, 0, sizeof(value));
		while (store_publish(w.s, &item, &w.room, &h))
			evict();
		w.k[w.room_k].present = true;
		w.published++;
	}
}

static void mark_found(void *arg, uint32_t h)
{
	bool *found = arg;
	struct store_item i;
	unsigned k;

	store_get(w.s, h, &i);
	k = (unsigned)strtoul((const char *)i.key.p + strlen("/model/"), NULL, 10);
	if (k >= KEYS || !bytes_equal(i.key, key_name(k)) || !w.k[k].present ||
	    i.version != w.k[k].version)
		wrong(k % KEYS, "taken over, and should not be there");
	else
		found[k] = true;
	store_set_owner(w.s, h, k % KEYS);
}

/* What may still be served, and only that, is there after another writer took over. */
static void take_over(void)
{
	struct instant at = (struct instant){now().us / 1000 * 1000};
	bool found[KEYS] = {false};

	store_release(&w.s);
	w.room = (struct store_room){0};
	w.clock.boottime_us = w.boot_us;
	w.clock.base =
	        w.life ? instant_add(at, SPAN_MS(1)) : (struct instant){INT64_C(1770000000000000)};
	w.clock.scale = rng_below(&w.g, 2) ? 1 : 5;
	w.s = w.life ? attached(segment, BYTES, w.life + 1, w.clock, now(), NULL, NULL)
	             : created(segment, BYTES, 1, w.clock);
	w.life++;
	OK(w.s && store_reader_init(&w.r, segment, BYTES) == 0);
	store_each(w.s, mark_found, found);
	for (unsigned k = 0; k < KEYS; k++) {
		enum reader_outcome o = expected(&w.k[k]);

		if ((o == READER_FRESH || o == READER_GRACE) && !w.k[k].pushed && !found[k])
			wrong(k, "was lost by another writer");
		if (w.k[k].pushed && found[k])
			wrong(k, "may have changed while nobody listened");
		w.k[k].present = found[k];
	}
}

static void change(unsigned k)
{
	uint32_t h = store_find(w.s, key_name(k));
	struct known *e = &w.k[k];

	if ((h != STORE_NONE) != e->present) {
		wrong(k, "is there, or not");
		return;
	}
	if (h == STORE_NONE)
		return;
	switch (rng_below(&w.g, 4)) {
	case 0:
		store_remove(w.s, h);
		e->present = false;
		return;
	case 1:
		store_set_pushed(w.s, h, e->pushed = !e->pushed);
		return;
	case 2:
		/* the end by max_age moves with it */
		e->loaded = (struct instant){now().us / 1000 * 1000};
		break;
	default:
		break;
	}
	e->soft = in_ms(3000);
	e->hard = instant_add(e->soft, SPAN_MS(rng_below(&w.g, 3000)));
	if (e->loaded.us == now().us)
		store_renew(w.s, h, e->loaded, e->soft, e->hard);
	else
		store_set_expiry(w.s, h, e->soft, e->hard);
}

TEST(random_steps_do_what_a_plain_map_does)
{
	uint64_t present = 0;
	struct store_stats st;

	rng_init(&w.g, tap_seed);
	w.boot_us = 5000000;
	take_over();
	for (uint64_t i = 0; i < steps && w.wrong < 20; i++) {
		unsigned k = (unsigned)rng_below(&w.g, KEYS), what = (unsigned)rng_below(&w.g, 100);

		if (what < 55)
			get(k);
		else if (what < 68)
			put(k);
		else if (what < 75)
			put_in_room(k);
		else if (what < 90)
			change(k);
		else if (what < 99)
			w.boot_us += (int64_t)rng_below(&w.g, 20) * 1000;
		else if (rng_below(&w.g, 20))
			store_heartbeat(w.s, w.boot_us);
		else
			take_over();
	}
	for (unsigned k = 0; k < KEYS; k++)
		present += w.k[k].present;
	store_stats(w.s, &st);
	OK(st.entries == present);
	printf("# %" PRIu64 " steps, %" PRIu64 " puts, %" PRIu64 " in steps, %" PRIu64
	       " evicted, %" PRIu64 " writers\n# gets: %" PRIu64 " fresh, %" PRIu64
	       " in grace, %" PRIu64 " stale, %" PRIu64 " misses, %" PRIu64
	       " too large for the buffer, %" PRIu64 " packed; %" PRIu64 " wrong\n",
	       steps, w.puts, w.published, w.evicted, w.life, w.gets[READER_FRESH],
	       w.gets[READER_GRACE], w.gets[READER_STALE], w.gets[READER_MISS],
	       w.gets[READER_SMALL], w.packed, w.wrong);
	OK(w.wrong == 0);
	OK(w.packed > steps / 100);
	OK(w.evicted > steps / 10000 && w.published > steps / 1000 && w.gets[READER_GRACE] && w.gets[READER_STALE] &&
	   w.gets[READER_SMALL] && w.gets[READER_FRESH] && w.gets[READER_MISS]);
	store_release(&w.s);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	if (argc > 2)
		steps = strtoull(argv[2], NULL, 10);
	RUN(random_steps_do_what_a_plain_map_does);
	return tap_done();
}
