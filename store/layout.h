/* SPDX-License-Identifier: MIT */
/*
 * What writer and readers of the segment agree on: where things lie, what covers what, and how
 * words are read and written while the other side is at work. See store.h for what the store is
 * for.
 *
 *	header | buckets: 1/16 of the segment | arena: entries, in granules of 16 bytes
 *
 * HOW IT WORKS Everything but the header's content follows from the size of the segment, so a
 * reader that knows how much it has mapped can check every offset before it uses it. A key hashes
 * to a home bucket; if that is full the entry goes to the next with room, and every bucket that it
 * had to pass counts it, so that a reader knows where to stop looking. A bucket is two cache lines
 * and carries the sequence number of all that it refers to: odd while the writer changes a slot, or
 * moves the entry behind it. Memory of an entry is used for something else only after the sequence
 * number of its bucket went on.
 *
 * A slot's mark joins the hash of the key, which is the entry's tag, with the offset of the entry.
 * An entry is a struct layout_entry, the key, and the value, the latter two padded to 8 bytes:
 *	check          covers tag (and so the key), sizes, version, loaded, max_age and the value
 *	expiry_check   covers soft and hard, which change alone and without the sequence number, and
 *	               says whether change events end the value's life
 *
 * INVARIANTS every word of the segment that a reader looks at is written with an atomic store and
 * read with an atomic load. A reader acts on nothing that it has not checked or compared.
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
#define LAYOUT_VERSION         1u
#define LAYOUT_GRANULE         16u
#define LAYOUT_SLOTS           10u  /* per bucket */
#define LAYOUT_PROBES          512u /* buckets in which an entry may be, if there are so many */
#define LAYOUT_MIN_BYTES       (256u * 1024)
#define LAYOUT_MAX_BYTES       (UINT64_C(1) << 36) /* granules are counted in 32 bits: 64 GiB */
#define LAYOUT_MAX_KEY_BYTES   65536u              /* the highest limits a configuration can set */
#define LAYOUT_MAX_VALUE_BYTES (UINT32_C(1) << 29) /* 512 MiB */

/* The writer's clock; instant = base + (boottime - boottime_us) * scale. */
struct layout_clock {
	uint64_t boottime_us, base_us;
	uint64_t scale; /* bits of a double */
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
	struct layout_clock clock;
	uint64_t unused[20];
};
_Static_assert(sizeof(struct layout_header) == 256, "readers of version 1 rely on it");

struct layout_bucket {
	uint32_t seq;                /* odd while it changes */
	uint32_t passed;             /* entries that are further on because this one was full */
	uint64_t mark[LAYOUT_SLOTS]; /* layout_mark(the hash of the key, off) */
	uint32_t off[LAYOUT_SLOTS];  /* in granules from the start of the segment; 0: empty */
};
_Static_assert(sizeof(struct layout_bucket) == 128, "two cache lines");

struct layout_entry {
	uint64_t check;
	uint64_t sizes; /* key_bytes << 32 | value_bytes */
	uint64_t version;
	uint64_t loaded_us, max_age_us;
	uint64_t soft_us, hard_us, expiry_check;
};
_Static_assert(sizeof(struct layout_entry) == 64, "one cache line's worth");

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

	l.n_buckets = (uint32_t)(bytes / (16 * sizeof(struct layout_bucket)));
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

/*
 * Ties a tag to the offset beside it, so that neither can change alone: memory that was given back
 * may still hold a whole old entry of the same key. Of a mark and its offset it gives the tag.
 */
static inline uint64_t layout_mark(uint64_t tag, uint32_t off)
{
	return tag ^ off * UINT64_C(0x9e3779b97f4a7c15);
}

static inline uint64_t layout_pad(uint64_t n)
{
	return (n + 7) & ~UINT64_C(7);
}

/* Granules that an entry of these sizes takes. The sizes must be within the limits above. */
static inline uint32_t layout_granules(uint64_t key_bytes, uint64_t value_bytes)
{
	uint64_t n = sizeof(struct layout_entry) + layout_pad(key_bytes) + value_bytes;

	return (uint32_t)((n + LAYOUT_GRANULE - 1) / LAYOUT_GRANULE);
}

/* Whether an entry of these sizes at this offset lies wholly in the arena. */
static inline bool layout_inside(struct layout l, uint32_t off, uint64_t key_bytes,
                                 uint64_t value_bytes)
{
	return off >= l.arena && off < l.end && key_bytes <= LAYOUT_MAX_KEY_BYTES &&
	       value_bytes <= LAYOUT_MAX_VALUE_BYTES &&
	       layout_granules(key_bytes, value_bytes) <= l.end - off;
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
	uint64_t w;

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
	if (n) {
		w = layout_load(seg);
		return memcmp(&w, p, n) == 0;
	}
	return true;
}

/* -- Checks ------------------------------------------------------------------------------------ */

static inline uint64_t layout_header_check(uint64_t version, uint64_t bytes, uint64_t seed)
{
	uint64_t w[] = {LAYOUT_MAGIC, version, bytes, seed};

	return hash_bytes(bytes_of(w, sizeof(w)), 1);
}

/* An entry's check is the hash of its value xor this. */
static inline uint64_t layout_entry_check(uint64_t tag, uint64_t sizes, uint64_t version,
                                          uint64_t loaded_us, uint64_t max_age_us)
{
	uint64_t w[] = {tag, sizes, version, loaded_us, max_age_us};

	return hash_bytes(bytes_of(w, sizeof(w)), 2);
}

/* Two checks are right for the same times: which of them stands there says whether it is pushed. */
static inline uint64_t layout_expiry_check(uint64_t tag, uint64_t soft_us, uint64_t hard_us,
                                           bool pushed)
{
	uint64_t w[] = {tag, soft_us, hard_us};

	return hash_bytes(bytes_of(w, sizeof(w)), pushed ? 6 : 3);
}

/* Whether an expiry is whole; *ret_pushed, if it is. */
static inline bool layout_expiry_ok(uint64_t check, uint64_t tag, uint64_t soft_us,
                                    uint64_t hard_us, bool *ret_pushed)
{
	*ret_pushed = check != layout_expiry_check(tag, soft_us, hard_us, false);
	return !*ret_pushed || check == layout_expiry_check(tag, soft_us, hard_us, true);
}

static inline uint64_t layout_clock_check(uint64_t boottime_us, uint64_t base_us, uint64_t scale)
{
	uint64_t w[] = {boottime_us, base_us, scale};

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
 * The writer's clock at this CLOCK_BOOTTIME. NEVER when the clock in the header is torn or absurd:
 * then everything has expired.
 */
struct instant layout_now(const struct layout_header *h, int64_t boottime_us);

#endif
