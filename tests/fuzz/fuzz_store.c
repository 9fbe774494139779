/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Segments that a broken or hostile writer left. A whole garbage segment would be refused at its
 * header and be too long to mutate with profit, so the input is a list of blows to a good one:
 *
 *	byte 0       0, 1: a word anywhere  2, 3: a word of a bucket that is in use
 *	             4, 5: a word of an entry  6: copy an entry over another
 *	             7: forge the expiry of an entry  8: time goes on
 *	bytes 1..4   where, little endian: taken modulo what there is
 *	bytes 5..12  the word (4..11 of which the low bits say how far, for time)
 *
 * What must hold: no access outside the segment (it ends at an unmapped page), and every value that
 * is served is the right one of its key and no older than max_age. Expiry may be anything. Every fifth
 * value is kept packed.
 */
#include "tests/fuzz/fuzz.h"

#include "base/bug.h"
#include "store/layout.h"
#include "store/reader.h"
#include "store/store.h"
#include "tests/store_open.h"
#include "tests/store_packed.h"

#include <stdio.h>
#include <sys/mman.h>

#define BYTES   (256u * 1024)
#define KEYS    40
#define BLOW    13
#define NOW     ((struct instant){INT64_C(1770000000000000)})
#define MAX_AGE SPAN_S(1000)

static const char *const words[] = {"\x02\0\0\0\0\0\0\0\0\0\0\0\0",
                                    "\x04\x08\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
                                    "\x07\x01\0\0\0",
                                    "\x06\x01\x02\x03\x04",
                                    "\x08",
                                    NULL};

const struct fuzz_target fuzz_target = {"store", words, 64 * BLOW};

static const struct store_clock clock_then = {5000000, {INT64_C(1770000000000000)}, 1.0, 0};

static unsigned char good[BYTES]; /* the segment before the blows */
static unsigned char *seg;        /* and after */
static uint32_t entry_at[KEYS];   /* granules */
static uint32_t bucket_of[KEYS];
static uint64_t tag_of[KEYS];

static struct bytes key_of(unsigned k, char *buf, size_t n)
{
	return bytes_of(buf, (size_t)snprintf(buf, n, "/key/%u%.*s", k, (int)(k % 9), "abcdefgh"));
}

/* The value of key k: its length and bytes tell which key it belongs to. */
static size_t value_of(unsigned k, unsigned char *buf)
{
	size_t n = k * k * 2 + k % 8;

	/* what is packed repeats itself */
	for (size_t i = 0; i < n; i++)
		buf[i] = (unsigned char)(hash_u64(k * 1000003u + (k % 5 ? i / 8 : 0)) >> i % 8 * 8);
	return n;
}

/* As it is kept, good until the next. */
static struct bytes kept_of(unsigned k, unsigned char *buf, bool *ret_packed)
{
	struct bytes value = bytes_of(buf, value_of(k, buf));

	*ret_packed = false;
	return k % 5 ? value : packed_or_not(value, ret_packed);
}

static uint64_t mark_at(const struct layout_bucket *b, unsigned i)
{
	return (i < 2 ? b->mark2 >> 16 * i : b->mark[(i - 2) / 4] >> (i - 2) % 4 * 16) & 0xffff;
}

static void find_entries(void)
{
	struct layout l = layout_of(BYTES);
	const struct layout_header *h = (const void *)good;
	const struct layout_bucket *b = (const void *)(h + 1);

	for (unsigned k = 0; k < KEYS; k++) {
		char name[64];
		uint64_t tag = hash_bytes(key_of(k, name, sizeof(name)), h->seed);

		tag_of[k] = tag;
		for (uint32_t i = 0; i < l.n_buckets; i++)
			for (unsigned s = 0; s < LAYOUT_SLOTS; s++)
				if (mark_at(&b[i], s) == layout_mark(tag) && b[i].off[s]) {
					bucket_of[k] = i;
					entry_at[k] = b[i].off[s];
				}
		BUG_ON(!entry_at[k]);
	}
}

static void setup(void)
{
	struct store *s;
	unsigned char value[8192];
	char name[64];
	uint32_t entry;

	seg = mmap(NULL, BYTES + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	BUG_ON(seg == MAP_FAILED || mprotect(seg + BYTES, 4096, PROT_NONE));
	s = created(seg, BYTES, 1, clock_then);
	BUG_ON(!s);
	for (unsigned k = 0; k < KEYS; k++) {
		struct store_item item = {.key = key_of(k, name, sizeof(name)),
		                          .version = k + 1,
		                          .loaded = NOW,
		                          .soft = instant_add(NOW, SPAN_S(10)),
		                          .hard = instant_add(NOW, SPAN_S(k % 4 ? 500 : 20)),
		                          .max_age = MAX_AGE};

		item.value = kept_of(k, value, &item.packed);
		BUG_ON(item.packed != (k && k % 5 == 0));
		BUG_ON(store_put(s, &item, &entry));
	}
	store_heartbeat(s, clock_then.boottime_us);
	store_release(&s);
	memcpy(good, seg, BYTES);
	find_entries();
}

static struct layout_entry *entry_of(unsigned k)
{
	return (void *)(seg + (size_t)entry_at[k] * LAYOUT_GRANULE);
}

/* Other ends, with the sum that they need. */
static void forge(struct layout_entry *e, uint64_t tag, uint64_t word)
{
	struct layout_fixed f = layout_take(e);
	uint64_t value_hash;

	f.version = *layout_own_version(e, f.flags);
	value_hash = layout_value_hash(&f, tag, e->sum);
	f.soft = word >> 32;
	f.hard = word & 0xffffff;
	e->ends = layout_word_ends(&f);
	e->sum = layout_word_sum(&f, tag, value_hash);
}

static void blow(const uint8_t *p, struct instant *now)
{
	uint32_t where;
	uint64_t word;
	unsigned k;

	memcpy(&where, p + 1, 4);
	memcpy(&word, p + 5, 8);
	k = where % KEYS;
	switch (p[0] % 9) {
	case 0:
	case 1:
		memcpy(seg + where % (BYTES / 8) * 8, &word, 8);
		break;
	case 2:
	case 3:
		memcpy(seg + sizeof(struct layout_header) +
		               bucket_of[k] * sizeof(struct layout_bucket) +
		               where / KEYS % sizeof(struct layout_bucket) / 4 * 4,
		       &word, 4);
		break;
	case 4:
	case 5:
		memcpy((unsigned char *)entry_of(k) + where / KEYS % 14 * 8, &word, 8);
		break;
	case 6:
		memmove(entry_of(k), entry_of((where / KEYS) % KEYS), 24 + word % 256);
		break;
	case 7:
		forge(entry_of(k), tag_of[k], word);
		break;
	default:
		*now = instant_add(*now, SPAN_US(word % (uint64_t)(2 * MAX_AGE.us)));
	}
}

static void check_value(unsigned k, struct bytes got, bool packed, uint64_t version,
                        struct instant loaded, struct instant now)
{
	unsigned char want[8192];

	if (packed)
		got = unpacked(got);
	BUG_ON(!bytes_equal(got, bytes_of(want, value_of(k, want))) || version != k + 1);
	BUG_ON(now.us - loaded.us > MAX_AGE.us);
}

static void check_reader(struct instant now)
{
	struct store_reader r;
	struct reader_value v;
	unsigned char buf[8192];
	char name[64];

	if (store_reader_init(&r, seg, BYTES))
		return;
	store_reader_now(&r, 5000000);
	store_reader_silence(&r, 5000000);
	for (unsigned k = 0; k <= KEYS; k++) {
		enum reader_outcome o;

		o = store_reader_get(&r, key_of(k, name, sizeof(name)), now, buf, sizeof(buf), &v);
		if (o == READER_FRESH || o == READER_GRACE || o == READER_STALE) {
			BUG_ON(k == KEYS || v.value_bytes > sizeof(buf));
			BUG_ON(o == READER_STALE && instant_before(now, v.hard));
			check_value(k, bytes_of(buf, v.value_bytes), v.packed, v.version, v.loaded, now);
		}
		o = store_reader_get(&r, key_of(k, name, sizeof(name)), now, buf, 1, &v);
		BUG_ON((o == READER_FRESH || o == READER_GRACE) && v.value_bytes > 1);
	}
}

/* The next writer takes the segment over, drops what is wrong, and works. */
static void check_writer(struct instant now)
{
	struct store_clock clock = {5000000 + (now.us - NOW.us), now, 1.0, 0};
	uint64_t kept, dropped;
	struct store *s = attached(seg, BYTES, 2, clock, now, &kept, &dropped);
	struct store_stats st;
	char name[64];
	uint32_t entry;

	if (!s)
		return;
	for (unsigned k = 0; k < KEYS; k++) {
		struct store_item got;

		entry = store_find(s, key_of(k, name, sizeof(name)));
		if (entry == STORE_NONE)
			continue;
		store_get(s, entry, &got);
		check_value(k, got.value, got.packed, got.version, got.loaded, now);
		if (k % 3 == 0)
			store_remove(s, entry);
	}
	for (unsigned k = 0; k < KEYS; k += 2) {
		unsigned char value[8192];
		struct store_item item = {.key = key_of(k, name, sizeof(name)),
		                          .version = k + 1,
		                          .loaded = now,
		                          .soft = instant_add(now, SPAN_S(10)),
		                          .hard = instant_add(now, SPAN_S(20)),
		                          .max_age = MAX_AGE};

		item.value = kept_of(k, value, &item.packed);
		BUG_ON(store_put(s, &item, &entry));
	}
	store_stats(s, &st);
	BUG_ON(st.entries < KEYS / 2 || st.bytes_used > st.bytes_total);
	store_release(&s);
	check_reader(now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct instant now = NOW;

	if (!seg)
		setup();
	memcpy(seg, good, BYTES);
	for (; size >= BLOW; data += BLOW, size -= BLOW)
		blow(data, &now);
	check_reader(now);
	check_writer(now);
	return 0;
}
