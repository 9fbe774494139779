/* SPDX-License-Identifier: MIT */
/*
 * What writer and readers of the segment agree on: where things lie, what covers what, and how
 * words are read and written while the other side is at work. See store.h for what the store is
 * for.
 *
 *	header | buckets: 1/33 of the segment | arena: entries, in granules of 16 bytes
 *
 * HOW IT WORKS Everything but the header's content follows from the size of the segment, so a
 * reader that knows how much it has mapped can check every offset before it uses it. A key hashes
 * to a home bucket; if that is full the entry goes to the next with room, and every bucket that it
 * had to pass counts it, so that a reader knows where to stop looking. A bucket is one cache line
 * and carries the sequence number of all that it refers to, and whether that is changing: a slot, or
 * what an entry says of itself, or the place where it lies. Memory of an entry is used for something
 * else only after the sequence number of its bucket went on.
 *
 * A slot is 16 bits of the key's hash (the entry's tag) and the offset of the entry. An entry is a
 * struct layout_entry, its sizes if they are large, its version unless that follows from the value,
 * the key padded to 8 bytes, and the value. Its sum covers all of it, with the tag: key, sizes,
 * version, times, value, whether change events end the value's life, and whether it is packed. Of an
 * entry that is given up it is wiped: a slot that leads there by mistake finds nothing.
 *
 * Of a packed value the zstd frame lies where else the value would, and size and sum are the frame's,
 * which says how long the value is. Its version is the value's, and so has a word of its own.
 *
 * The time of the load is kept in ticks of 250 us, 44 bits: to the year 2109; the ends as so many
 * ticks after it, and the hard one after the soft one, rounded to the bits that there are: soft to the
 * tick for 18 hours, then to one part in 2^27, hard for 4 minutes, then to one in 2^19, that by
 * max_age for a minute, then to one in 2^17. What is written is rounded down, so it lives no longer,
 * and a renewed one ages no slower.
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
#define LAYOUT_VERSION         5u
#define LAYOUT_GRANULE         16u
#define LAYOUT_SLOTS           10u  /* per bucket */
#define LAYOUT_PROBES          512u /* buckets in which an entry may be, if there are so many */
#define LAYOUT_INDEX_SHARE     33u  /* the index is this part of the segment */
#define LAYOUT_MIN_BYTES       (256u * 1024)
#define LAYOUT_MAX_BYTES       (UINT64_C(1) << 36) /* granules are counted in 32 bits: 64 GiB */
#define LAYOUT_MAX_KEY_BYTES   ((uint64_t)BYTES_MAX_KEY)
#define LAYOUT_MAX_VALUE_BYTES ((uint32_t)BYTES_MAX_VALUE)

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
_Static_assert(sizeof(struct layout_header) == 256, "readers of version 5 rely on it");

struct layout_bucket {
	uint32_t state; /* the two bits below, and the sequence number above them */
	/* 16 bits of each tag: of slots 0 and 1, then of four a word, lowest first */
	uint32_t mark2;
	uint64_t mark[(LAYOUT_SLOTS - 2) / 4];
	uint32_t off[LAYOUT_SLOTS]; /* in granules from the start of the segment; 0: empty */
};
_Static_assert(sizeof(struct layout_bucket) == 64, "one cache line");

#define LAYOUT_CHANGING 1u
#define LAYOUT_PASSED   2u /* entries are further on because this one was full; without the number */

/* Read and written by the functions below alone. */
struct layout_entry {
	uint64_t sum;    /* 42 bits, and 22 of max_age */
	uint64_t loaded; /* 44 bits, 16 of the value's size, 4 of LAYOUT_* flags */
	uint64_t ends;   /* 32 bits of soft, 24 of hard, 8 of the key's size */
};
_Static_assert(sizeof(struct layout_entry) == 24, "what an entry takes besides key and value");

#define LAYOUT_OWN_VERSION 1u /* flag: a word with the version follows the struct, and the sizes */
#define LAYOUT_LARGE       2u /* flag: a word with the sizes follows the struct */
#define LAYOUT_PUSHED      4u /* flag: only change events end its life */
#define LAYOUT_PACKED      8u /* flag: what is there is a frame that the value is made of: packed.h */

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

/* Whether the sizes need a word of their own. */
static inline bool layout_large(uint64_t key_bytes, uint64_t value_bytes)
{
	return key_bytes > 0xff || value_bytes > 0xffff;
}

/* Granules that an entry of these sizes takes. The sizes must be within the limits above. */
static inline uint32_t layout_granules(uint64_t key_bytes, uint64_t value_bytes, bool own_version)
{
	uint64_t n = sizeof(struct layout_entry) + own_version * sizeof(uint64_t) +
	             layout_large(key_bytes, value_bytes) * sizeof(uint64_t) +
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

/* Bits of a span's leading digits; 5 more say how large it is. */
#define LAYOUT_SOFT_BITS 27u
#define LAYOUT_HARD_BITS 19u
#define LAYOUT_AGE_BITS  17u
/* What no span comes to, by how much it is below the highest number and one. */
#define LAYOUT_NEVER    1u
#define LAYOUT_OVER     2u /* before the load */
#define LAYOUT_AGE_MASK ((UINT64_C(1) << (LAYOUT_AGE_BITS + 5)) - 1)

/* What an entry says of itself, taken apart. */
struct layout_fixed {
	uint64_t key_bytes, value_bytes; /* key_bytes beyond any limit: these cannot be */
	uint64_t loaded;                 /* ticks */
	uint64_t soft, hard, age;        /* as layout_since has them; hard: layout_hard_from */
	uint64_t version;                /* with LAYOUT_OWN_VERSION */
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

/* How long after the load (or soft) an end is, both in ticks: leading bits, and how many follow. */
static inline uint64_t layout_since(uint64_t loaded, uint64_t end, unsigned bits)
{
	uint64_t n = end - loaded, e;

	if (end == LAYOUT_TICK_MAX)
		return (UINT64_C(1) << (bits + 5)) - LAYOUT_NEVER;
	if (end < loaded || end == 0)
		return (UINT64_C(1) << (bits + 5)) - LAYOUT_OVER;
	if (n >> bits == 0)
		return n;
	e = 64 - (uint64_t)__builtin_clzll(n) - bits;
	return e << bits | (n >> (e - 1) & ((UINT64_C(1) << bits) - 1));
}

/* The end, in ticks; 0 when it was before the load. */
static inline uint64_t layout_until(uint64_t loaded, uint64_t since, unsigned bits)
{
	uint64_t e = since >> bits, n = since & ((UINT64_C(1) << bits) - 1);

	if (since == (UINT64_C(1) << (bits + 5)) - LAYOUT_NEVER)
		return LAYOUT_TICK_MAX;
	if (since == (UINT64_C(1) << (bits + 5)) - LAYOUT_OVER)
		return 0;
	if (e)
		n = (n | UINT64_C(1) << bits) << (e - 1);
	return loaded + n < LAYOUT_TICK_MAX ? loaded + n : LAYOUT_TICK_MAX - 1;
}

static inline struct instant layout_soft(const struct layout_fixed *f)
{
	return layout_instant(layout_until(f->loaded, f->soft, LAYOUT_SOFT_BITS));
}

/* What the hard end is counted from: the soft one, or the load, if that is later. */
static inline uint64_t layout_hard_from(const struct layout_fixed *f)
{
	uint64_t soft = layout_until(f->loaded, f->soft, LAYOUT_SOFT_BITS);

	return soft > f->loaded && soft != LAYOUT_TICK_MAX ? soft : f->loaded;
}

static inline struct instant layout_hard(const struct layout_fixed *f)
{
	return layout_instant(layout_until(layout_hard_from(f), f->hard, LAYOUT_HARD_BITS));
}

/* Sets both; a soft end behind the hard one is that. */
static inline void layout_set_ends(struct layout_fixed *f, struct instant soft, struct instant hard)
{
	uint64_t s = layout_ticks(soft), h = layout_ticks(hard);

	f->soft = layout_since(f->loaded, s < h ? s : h, LAYOUT_SOFT_BITS);
	f->hard = layout_since(layout_hard_from(f), h, LAYOUT_HARD_BITS);
}

/* When max_age is over: 0, which is never served, or ticks. */
static inline uint64_t layout_end_of_age(const struct layout_fixed *f)
{
	return layout_until(f->loaded, f->age, LAYOUT_AGE_BITS);
}

/* All but the version. A word besides the struct is read, which every entry has. */
static inline struct layout_fixed layout_take(const struct layout_entry *e)
{
	uint64_t loaded = layout_load(&e->loaded), ends = layout_load(&e->ends), sizes;
	struct layout_fixed f = {
	        .key_bytes = ends & 0xff,
	        .value_bytes = loaded >> 4 & 0xffff,
	        .loaded = loaded >> LAYOUT_TICK_SHIFT,
	        .soft = ends >> 32,
	        .hard = ends >> 8 & 0xffffff,
	        .age = layout_load(&e->sum) & LAYOUT_AGE_MASK,
	        .flags = (unsigned)loaded & 0xf,
	};

	if (!(f.flags & LAYOUT_LARGE))
		return f;
	sizes = layout_load((const uint64_t *)(e + 1));
	f.key_bytes = sizes >> 32;
	f.value_bytes = sizes & UINT32_MAX;
	/* its room is reckoned by the sizes, so they must say the same */
	if (!layout_large(f.key_bytes, f.value_bytes))
		f.key_bytes = UINT64_MAX;
	return f;
}

static inline uint64_t layout_word_sizes(const struct layout_fixed *f)
{
	return f->flags & LAYOUT_LARGE ? f->key_bytes << 32 | f->value_bytes : 0;
}

static inline uint64_t layout_word_loaded(const struct layout_fixed *f)
{
	return f->loaded << LAYOUT_TICK_SHIFT |
	       (f->flags & LAYOUT_LARGE ? 0 : f->value_bytes << 4) | f->flags;
}

static inline uint64_t layout_word_ends(const struct layout_fixed *f)
{
	return f->soft << 32 | f->hard << 8 | (f->flags & LAYOUT_LARGE ? 0 : f->key_bytes);
}

/* The word `sum` of an entry whose value has this hash. */
static inline uint64_t layout_word_sum(const struct layout_fixed *f, uint64_t tag,
                                       uint64_t value_hash)
{
	/* a factor, so that no few bits of one make up for few of the other */
	uint64_t rest = f->version + f->age * UINT64_C(0x9e3779b97f4a7c15);
	uint64_t sum = layout_mix(layout_word_loaded(f), layout_word_ends(f),
	                          tag ^ layout_word_sizes(f), rest) ^
	               value_hash;

	return (sum & ~LAYOUT_AGE_MASK) | f->age;
}

/* The hash that its value must have, given the word; its low bits cannot be told. */
static inline uint64_t layout_value_hash(const struct layout_fixed *f, uint64_t tag, uint64_t sum)
{
	return sum ^ layout_word_sum(f, tag, 0);
}

static inline bool layout_same_hash(uint64_t a, uint64_t b)
{
	return ((a ^ b) & ~LAYOUT_AGE_MASK) == 0;
}

/* Where the version lies, if there is one. */
static inline const uint64_t *layout_own_version(const struct layout_entry *e, unsigned flags)
{
	return (const uint64_t *)(e + 1) + (flags & LAYOUT_LARGE ? 1 : 0);
}

/* Where an entry's key lies; its value follows, at the next multiple of 8. */
static inline const uint64_t *layout_key(const struct layout_entry *e, unsigned flags)
{
	return layout_own_version(e, flags) + (flags & LAYOUT_OWN_VERSION ? 1 : 0);
}

/* The version of a value for which none is given. */
static inline uint64_t layout_version(uint64_t value_hash)
{
	return value_hash | 1;
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
