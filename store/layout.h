/* SPDX-License-Identifier: MIT */
/*
 * What writer and readers of the segment agree on: where things lie, what covers what, and how
 * words are read and written while the other side is at work. See store.h for what the store is
 * for.
 *
 *	header | buckets: 1/24 of the segment | arena: entries, in granules of 16 bytes
 *
 * HOW IT WORKS Everything but the header's content follows from the size of the segment, so a
 * reader that knows how much it has mapped can check every offset before it uses it. A key hashes
 * to a home bucket; if that is full the entry goes to the next with room, and every bucket that it
 * had to pass counts it, so that a reader knows where to stop looking. A bucket is one cache line
 * and carries the sequence number of all that it refers to: odd while the writer changes a slot, or
 * moves the entry behind it. Memory of an entry is used for something else only after the sequence
 * number of its bucket went on.
 *
 * A slot is 16 bits of the key's hash (the entry's tag) and the offset of the entry. An entry is a
 * struct layout_entry, its version unless that follows from the value, the key padded to 8 bytes,
 * and the value:
 *	sum      covers tag (and so the key), sizes, version, loaded, the end by max_age, the value
 *	expiry   soft and hard, which change alone and without the sequence number, with a sum of
 *	         40 bits in what their two words have left; it says, too, whether change events end
 *	         the value's life
 * The sum of an entry that is given up is wiped: a slot that leads there by mistake finds nothing.
 *
 * Times are kept in ticks of 250 us, 44 bits: to the year 2109. What is written is rounded down, so
 * it lives no longer, and a renewed one ages no slower.
 *
 * INVARIANTS every word of the segment that a reader looks at is written with an atomic store and
 * read with an atomic load, but for a value that is hashed in its place: what comes of torn bytes
 * there is thrown away by the look at the sequence number that follows. A reader acts on nothing
 * that it has not checked or compared.
 */
#ifndef FORECACHED_STORE_LAYOUT_H
#define FORECACHED_STORE_LAYOUT_H

#include "base/bytes.h"
#include "base/hash.h"
#include "base/instant.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define LAYOUT_MAGIC           UINT64_C(0x65726f7473206366) /* "fc store" */
#define LAYOUT_VERSION         3u
#define LAYOUT_GRANULE         16u
#define LAYOUT_SLOTS           8u   /* per bucket */
#define LAYOUT_PROBES          512u /* buckets in which an entry may be, if there are so many */
#define LAYOUT_INDEX_SHARE     24u  /* the index is this part of the segment: 8 bytes per slot */
#define LAYOUT_MIN_BYTES       (256u * 1024)
#define LAYOUT_MAX_BYTES       (UINT64_C(1) << 36) /* granules are counted in 32 bits: 64 GiB */
#define LAYOUT_MAX_KEY_BYTES   UINT64_C(65535)     /* the highest limits a configuration can set */
#define LAYOUT_MAX_VALUE_BYTES (UINT32_C(1) << 29) /* 512 MiB */

/* The writer's clock; instant = base + (boottime - boottime_us) * scale. */
struct layout_clock {
	uint64_t boottime_us, base_us;
	uint64_t scale; /* bits of a double */
	uint64_t host;  /* which boot of the host the CLOCK_BOOTTIME is of; 0: unknown */
	uint64_t check;
};

struct layout_header {
	uint64_t magic;
	uint64_t version;
	uint64_t bytes;
	uint64_t seed;    /* of the key's hash */
	uint64_t check;   /* covers the four above, which stay for the life of the segment */
	uint64_t boot_id; /* the life of the writer */
	uint64_t heartbeat_us, heartbeat_check;
	/* both the same; the second is written first, so that one is whole at any instant */
	struct layout_clock clock[2];
	uint64_t unused[14];
};
_Static_assert(sizeof(struct layout_header) == 256, "readers of version 3 rely on it");

struct layout_bucket {
	uint32_t seq;    /* odd while it changes */
	uint32_t passed; /* entries that are further on because this one was full */
	uint64_t mark[LAYOUT_SLOTS /
	              4];           /* 16 bits of each tag: slot i in word i / 4, lowest first */
	uint32_t off[LAYOUT_SLOTS]; /* in granules from the start of the segment; 0: empty */
	uint64_t unused;
};
_Static_assert(sizeof(struct layout_bucket) == 64, "one cache line");

/* Read and written by the functions below alone. */
struct layout_entry {
	uint64_t sum;    /* 54 bits, and the high 10 of the value's size */
	uint64_t loaded; /* 44 bits, 16 of the key's size, 4 of LAYOUT_* flags */
	uint64_t dies;   /* loaded + max_age, 44 bits, and the low 20 of the value's size */
	uint64_t soft;   /* 44 bits, and the high 20 of the expiry's sum */
	uint64_t hard;   /* 44 bits, and the low 20 of it */
};
_Static_assert(sizeof(struct layout_entry) == 40, "what an entry takes besides key and value");

#define LAYOUT_OWN_VERSION 1u /* flag: a word with the version follows the struct */

/* -- Where things lie: all of it follows from the size of the segment ------------------------- */

struct layout {
	uint32_t n_buckets, probes;
	uint32_t arena, end; /* granules from the start of the segment */
};

static inline bool layout_size_ok(uint64_t bytes)
{
	return bytes >= LAYOUT_MIN_BYTES && bytes <= LAYOUT_MAX_BYTES;
}

static inline struct layout layout_of(uint64_t bytes)
{
	struct layout l;
	uint64_t head = sizeof(struct layout_header);

	l.n_buckets = (uint32_t)(bytes / (LAYOUT_INDEX_SHARE * sizeof(struct layout_bucket)));
	l.probes = l.n_buckets < LAYOUT_PROBES ? l.n_buckets : LAYOUT_PROBES;
	head += (uint64_t)l.n_buckets * sizeof(struct layout_bucket);
	l.arena = (uint32_t)(head / LAYOUT_GRANULE);
	l.end = bytes == LAYOUT_MAX_BYTES ? UINT32_MAX : (uint32_t)(bytes / LAYOUT_GRANULE);
	return l;
}

static inline uint32_t layout_home(struct layout l, uint64_t tag)
{
	return (uint32_t)(((tag >> 32) * l.n_buckets) >> 32);
}

/* The bits of a tag that a slot keeps; the home is of others. */
static inline uint64_t layout_mark(uint64_t tag)
{
	return tag & 0xffff;
}

static inline uint64_t layout_pad(uint64_t n)
{
	return (n + 7) & ~UINT64_C(7);
}

/* Granules that an entry of these sizes takes. The sizes must be within the limits above. */
static inline uint32_t layout_granules(uint64_t key_bytes, uint64_t value_bytes, bool own_version)
{
	uint64_t n = sizeof(struct layout_entry) + own_version * sizeof(uint64_t) +
	             layout_pad(key_bytes) + value_bytes;

	return (uint32_t)((n + LAYOUT_GRANULE - 1) / LAYOUT_GRANULE);
}

/* Whether an entry of these sizes at this offset lies wholly in the arena. */
static inline bool layout_inside(struct layout l, uint32_t off, uint64_t key_bytes,
                                 uint64_t value_bytes, bool own_version)
{
	return off >= l.arena && off < l.end && key_bytes <= LAYOUT_MAX_KEY_BYTES &&
	       value_bytes <= LAYOUT_MAX_VALUE_BYTES &&
	       layout_granules(key_bytes, value_bytes, own_version) <= l.end - off;
}

/* -- Words of the segment ---------------------------------------------------------------------- */

/* A test sets this to stop the writer between any two of its stores. */
#ifndef LAYOUT_ON_STORE
#define LAYOUT_ON_STORE() ((void)0)
#endif

static inline uint64_t layout_load(const uint64_t *w)
{
	return __atomic_load_n(w, __ATOMIC_RELAXED);
}

static inline uint32_t layout_load32(const uint32_t *w)
{
	return __atomic_load_n(w, __ATOMIC_RELAXED);
}

static inline void layout_store(uint64_t *w, uint64_t x)
{
	LAYOUT_ON_STORE();
	__atomic_store_n(w, x, __ATOMIC_RELAXED);
}

static inline void layout_store32(uint32_t *w, uint32_t x)
{
	LAYOUT_ON_STORE();
	__atomic_store_n(w, x, __ATOMIC_RELAXED);
}

/* ThreadSanitizer does not model fences; it need not, as every word they order is atomic itself. */
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
static inline void layout_fence_release(void)
{
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static inline void layout_fence_acquire(void)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
}
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

/* n bytes into the segment; what is left of the last word becomes zero. */
static inline void layout_copy_in(uint64_t *to, const void *from, size_t n)
{
	const unsigned char *p = from;
	uint64_t w;

	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&w, p, 8);
		layout_store(to++, w);
	}
	if (n) {
		w = 0;
		memcpy(&w, p, n);
		layout_store(to, w);
	}
}

/* n bytes out of the segment, from which whole words are read. */
static inline void layout_copy_out(void *to, const uint64_t *from, size_t n)
{
	unsigned char *p = to;
	uint64_t w, x, y, z;

	/* four at a time: the loop itself would cost as much as the copy */
	for (; n >= 32; n -= 32, p += 32, from += 4) {
		w = layout_load(from);
		x = layout_load(from + 1);
		y = layout_load(from + 2);
		z = layout_load(from + 3);
		memcpy(p, &w, 8);
		memcpy(p + 8, &x, 8);
		memcpy(p + 16, &y, 8);
		memcpy(p + 24, &z, 8);
	}
	for (; n >= 8; n -= 8, p += 8) {
		w = layout_load(from++);
		memcpy(p, &w, 8);
	}
	if (n) {
		w = layout_load(from);
		memcpy(p, &w, n);
	}
}

static inline bool layout_equal(const uint64_t *seg, struct bytes b)
{
	const unsigned char *p = b.p;
	size_t n = b.n;
	uint64_t w, x;

	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&x, p, 8);
		if (layout_load(seg++) != x)
			return false;
	}
	if (!n)
		return true;
	w = layout_load(seg);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	if (b.n >= 8) {
		/* the last n bytes at the end of a word that is read whole, and once more */
		memcpy(&x, p + n - 8, 8);
		return (w ^ x >> 8 * (8 - n)) << 8 * (8 - n) == 0;
	}
#endif
	return memcmp(&w, p, n) == 0;
}

/* -- Checks ------------------------------------------------------------------------------------ */

static inline uint64_t layout_header_check(uint64_t version, uint64_t bytes, uint64_t seed)
{
	uint64_t w[] = {LAYOUT_MAGIC, version, bytes, seed};

	return hash_bytes(bytes_of(w, sizeof(w)), 1);
}

__extension__ typedef unsigned __int128 layout_u128;

/* Each bit of the result depends on all of both. */
static inline uint64_t layout_fold(uint64_t a, uint64_t b)
{
	layout_u128 m = (layout_u128)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* Of four words; not of what somebody may choose who knows how it is made. */
static inline uint64_t layout_mix(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	uint64_t x =
	        layout_fold(a ^ UINT64_C(0x9fb21c651e98df25), b ^ UINT64_C(0xa0761d6478bd642f));
	uint64_t y =
	        layout_fold(c ^ UINT64_C(0xe7037ed1a0b428db), d ^ UINT64_C(0x8ebc6af09c88c6e3));

	return layout_fold(x ^ UINT64_C(0x589965cc75374cc3), y ^ UINT64_C(0x1d8e4e27c47d124f));
}

/* -- Entries ----------------------------------------------------------------------------------- */

#define LAYOUT_TICK_US    250
#define LAYOUT_TICK_MAX   ((UINT64_C(1) << 44) - 1) /* never */
#define LAYOUT_TICK_SHIFT 20u
#define LAYOUT_LOW        ((UINT64_C(1) << LAYOUT_TICK_SHIFT) - 1)

/* What an entry says of itself, taken apart. */
struct layout_fixed {
	uint64_t key_bytes, value_bytes;
	uint64_t loaded, dies; /* ticks */
	uint64_t version;      /* with LAYOUT_OWN_VERSION */
	unsigned flags;
};

static inline uint64_t layout_ticks(struct instant t)
{
	uint64_t n = t.us < 0 ? 0 : (uint64_t)t.us / LAYOUT_TICK_US;

	return n < LAYOUT_TICK_MAX ? n : LAYOUT_TICK_MAX;
}

static inline struct instant layout_instant(uint64_t ticks)
{
	return ticks == LAYOUT_TICK_MAX ? INSTANT_NEVER
	                                : (struct instant){(int64_t)(ticks * LAYOUT_TICK_US)};
}

/* loaded + max_age, of a value loaded at these ticks; of one from before 1970: at its true time. */
static inline uint64_t layout_dies(struct instant loaded, uint64_t ticks, struct span max_age)
{
	int64_t from = loaded.us < 0 ? loaded.us : (int64_t)(ticks * LAYOUT_TICK_US), at;

	if (__builtin_add_overflow(from, max_age.us, &at))
		return max_age.us < 0 ? 0 : LAYOUT_TICK_MAX;
	return layout_ticks((struct instant){at});
}

static inline struct span layout_max_age(uint64_t loaded, uint64_t dies)
{
	if (dies == LAYOUT_TICK_MAX)
		return SPAN_MAX;
	return SPAN_US(((int64_t)dies - (int64_t)loaded) * LAYOUT_TICK_US);
}

static inline struct layout_fixed layout_take(const struct layout_entry *e)
{
	uint64_t loaded = layout_load(&e->loaded), dies = layout_load(&e->dies);

	return (struct layout_fixed){
	        .key_bytes = loaded >> 4 & 0xffff,
	        .value_bytes = (layout_load(&e->sum) & 0x3ff) << 20 | (dies & LAYOUT_LOW),
	        .loaded = loaded >> LAYOUT_TICK_SHIFT,
	        .dies = dies >> LAYOUT_TICK_SHIFT,
	        .flags = (unsigned)loaded & 0xf,
	};
}

static inline uint64_t layout_word_loaded(const struct layout_fixed *f)
{
	return f->loaded << LAYOUT_TICK_SHIFT | f->key_bytes << 4 | f->flags;
}

static inline uint64_t layout_word_dies(const struct layout_fixed *f)
{
	return f->dies << LAYOUT_TICK_SHIFT | (f->value_bytes & LAYOUT_LOW);
}

/* The word `sum` of an entry whose value has this hash. */
static inline uint64_t layout_word_sum(const struct layout_fixed *f, uint64_t tag,
                                       uint64_t value_hash)
{
	uint64_t high = f->value_bytes >> 20;
	uint64_t sum = layout_mix(layout_word_loaded(f), layout_word_dies(f), tag,
	                          f->version ^ high << 54) ^
	               value_hash;

	return (sum & ~UINT64_C(0x3ff)) | high;
}

/* The hash that its value must have, given the word; its low bits cannot be told. */
static inline uint64_t layout_value_hash(const struct layout_fixed *f, uint64_t tag, uint64_t sum)
{
	return sum ^ layout_word_sum(f, tag, 0);
}

static inline bool layout_same_hash(uint64_t a, uint64_t b)
{
	return (a ^ b) >> 10 == 0;
}

/* Where an entry's key lies; its value follows, at the next multiple of 8. */
static inline const uint64_t *layout_key(const struct layout_entry *e, unsigned flags)
{
	return (const uint64_t *)(e + 1) + (flags & LAYOUT_OWN_VERSION ? 1 : 0);
}

/* The version of a value for which none is given. */
static inline uint64_t layout_version(uint64_t value_hash)
{
	return value_hash | 1;
}

/* Two sums are right for the same times: which of them stands there says whether it is pushed. */
static inline uint64_t layout_expiry_sum(uint64_t tag, uint64_t soft, uint64_t hard, bool pushed)
{
	return layout_mix(soft, hard, tag, pushed ? 6 : 3) >> 24;
}

struct layout_expiry {
	uint64_t soft, hard; /* ticks */
	bool pushed;
};

/* False when it is torn. */
static inline bool layout_expiry_take(const struct layout_entry *e, uint64_t tag,
                                      struct layout_expiry *ret)
{
	uint64_t soft = layout_load(&e->soft), hard = layout_load(&e->hard);
	uint64_t sum = (soft & LAYOUT_LOW) << 20 | (hard & LAYOUT_LOW);

	ret->soft = soft >> LAYOUT_TICK_SHIFT;
	ret->hard = hard >> LAYOUT_TICK_SHIFT;
	ret->pushed = sum != layout_expiry_sum(tag, ret->soft, ret->hard, false);
	return !ret->pushed || sum == layout_expiry_sum(tag, ret->soft, ret->hard, true);
}

static inline void layout_expiry_put(struct layout_entry *e, uint64_t tag,
                                     const struct layout_expiry *x)
{
	uint64_t sum = layout_expiry_sum(tag, x->soft, x->hard, x->pushed);

	layout_store(&e->soft, x->soft << LAYOUT_TICK_SHIFT | sum >> 20);
	layout_store(&e->hard, x->hard << LAYOUT_TICK_SHIFT | (sum & LAYOUT_LOW));
}

/* -- The header -------------------------------------------------------------------------------- */

static inline uint64_t layout_clock_check(uint64_t boottime_us, uint64_t base_us, uint64_t scale,
                                          uint64_t host)
{
	uint64_t w[] = {boottime_us, base_us, scale, host};

	return hash_bytes(bytes_of(w, sizeof(w)), 4);
}

static inline uint64_t layout_heartbeat_check(uint64_t heartbeat_us)
{
	return hash_bytes(bytes_of(&heartbeat_us, sizeof(heartbeat_us)), 5);
}

/* Whether the segment is one of ours, of this size. */
static inline bool layout_header_ok(const struct layout_header *h, uint64_t bytes)
{
	return layout_load(&h->magic) == LAYOUT_MAGIC &&
	       layout_load(&h->version) == LAYOUT_VERSION && layout_load(&h->bytes) == bytes &&
	       layout_load(&h->check) ==
	               layout_header_check(LAYOUT_VERSION, bytes, layout_load(&h->seed));
}

/*
 * The writer's clock at this CLOCK_BOOTTIME of the given boot of the host (0: unknown). NEVER when
 * the clock in the header is torn, absurd, or of another boot: then everything has expired.
 */
struct instant layout_now(const struct layout_header *h, uint64_t host, int64_t boottime_us);

#endif
