/* SPDX-License-Identifier: MIT */
/*
 * The cache itself: values in one segment of memory that one writer (the engine's thread) changes
 * and any number of readers in other processes map read only (reader.h). The memory is handed in:
 * a shared mapping in the daemon, plain memory in the simulator and in tests.
 *
 * An entry (key, value, version, load time, expiry) is covered by one checksum. A reader that finds
 * anything torn or out of bounds reports a miss.
 *
 * HOW IT WORKS layout.h says what lies where and how readers and the writer share it. Values are in
 * one piece each, so that a view of one is a view into the segment; one that is packed (packed.h) is
 * bytes like any other here. arena.h places them, and moves
 * others together when the room left is in pieces, with work bounded by the size of what is placed.
 * So any size can be placed again after enough was evicted, no matter what sizes were there before.
 * An entry takes 24 bytes plus key and value, rounded up to 16, 8 more if its version is not the hash
 * of its value, and 8 more with a key above 255 bytes or a value above 65,535; a 33rd of the segment is
 * the index, which has room for an entry per 232 bytes of segment. Outside the segment the writer keeps
 * 10 bytes per slot of the index, and a bit per granule of the arena; the number of the slot is the
 * entry's handle.
 *
 * Instants are kept to 250 us, rounded down; ends that are far away less exactly, never later: soft to
 * one part in 2^27 of its time after the load, hard to one in 2^19 of that after soft, max_age to one
 * in 2^17. A soft end behind the hard one becomes that.
 *
 * A large value need not be put in one go: store_reserve takes room for it in steps of bounded work,
 * store_fill copies and hashes it there, on any thread, and store_publish makes an entry of it, which
 * takes as long as a small put. Until then nothing refers to that room: others do not move it, and
 * a writer that is killed leaves nothing of it.
 *
 * INVARIANTS entries keep their handle until they are removed or replaced. The writer can be killed
 * between any two of its stores: what it was putting, renewing or giving another expiry may be lost,
 * and one entry that it was moving to make room, no other, and none is wrong.
 *
 * Times are instants of the writer's clock. The header tells readers how to get the same clock from
 * CLOCK_BOOTTIME: instant = base + (boottime - boottime at base) * scale.
 *
 * OWNERSHIP the caller owns the memory, which must stay mapped until store_release. The store keeps
 * bookkeeping of its own outside the segment; all of it can be rebuilt from the segment, which is
 * how a segment outlives the daemon (store_attach). What `owner` was is not rebuilt.
 */
#ifndef FORECACHED_STORE_STORE_H
#define FORECACHED_STORE_STORE_H

#include "base/bytes.h"
#include "base/instant.h"
#include "base/rng.h"

#include <stdbool.h>
#include <stdint.h>

struct store; /* the writer's handle */

#define STORE_NONE UINT32_MAX /* "no entry" where an entry handle is expected */

struct store_clock {
	int64_t boottime_us; /* CLOCK_BOOTTIME at which ... */
	struct instant base; /* ... the writer's clock showed this instant */
	double scale;        /* and how fast it runs since: 1 = real time */
	uint64_t host;       /* which boot of the host it is, as a hash; 0: unknown */
};

/* What an entry is made from. */
struct store_item {
	struct bytes key;
	struct bytes value;
	/* hash or counter: equal means equal content; hash_bytes(value, 0) | 1 takes no room */
	uint64_t version;
	struct instant loaded; /* when the origin was read */
	struct instant soft;   /* fresh before this instant */
	struct instant hard;   /* grace before this instant; after it only where loads fail */
	struct span max_age;   /* never served at an age (now - loaded) above this */
	uint32_t owner;        /* the engine's number for the key, given back by store_owner */
	/*
	 * It is fresh until soft only because the writer is told when it changes: no reader may
	 * serve it as fresh when the writer is gone.
	 */
	bool pushed;
	bool packed; /* value is a frame (packed.h); version is that of what it was made of */
};

/* The smallest segment that store_create accepts, bytes. */
#define STORE_MIN_BYTES (256u * 1024)

/*
 * How many bytes of segment an item of these sizes takes at most; 0 when it can never fit: a key above
 * BYTES_MAX_KEY, a value above BYTES_MAX_VALUE, or more than the segment has.
 */
uint64_t store_footprint(const struct store *s, uint64_t key_bytes, uint64_t value_bytes);

/*
 * Lays out an empty store in mem (page aligned). -EINVAL when bytes < STORE_MIN_BYTES or above 64
 * GiB; -ENOMEM, before mem is touched. boot_id tells this life of the segment from the next; readers
 * fall back when it changes under them.
 */
int store_create(void *mem, uint64_t bytes, uint64_t boot_id, struct store_clock clock,
                 struct store **ret);

/*
 * Who helps with an attach: run() carries out fn(job, i) for each i < n, in any order and at once, by so
 * many threads as far as it can, and returns when all is done.
 */
struct store_crew {
	void (*run)(unsigned threads, void (*fn)(void *job, unsigned i), void *job, unsigned n);
	unsigned threads;
};

/* How many entries an attach has found. */
struct store_found {
	uint64_t kept;
	uint64_t expired; /* whole, but past their time, or pushed */
	uint64_t dropped; /* torn, damaged, or of another clock */
};

/*
 * Takes over a segment that an earlier writer left, verifies every entry, drops what is torn, past
 * its hard expiry or max_age at `now`, or pushed (its change may have been told to nobody), and
 * evens what that writer left half done. Verifying is shared among the crew (NULL: nobody helps).
 * Drops everything when the new clock is behind the one in the segment by more than 100 ms: ages would
 * come out too small; and when it is of another boot of the host: then nobody knows how much time
 * lies between. Every owner is STORE_NONE then. ret_found may be NULL.
 * -EPROTO when the layout version or size is not ours, or the header is damaged: create a new one
 * then. -ENOMEM, before mem is touched.
 */
int store_attach(void *mem, uint64_t bytes, uint64_t boot_id, struct store_clock clock,
                 struct instant now, const struct store_crew *crew, struct store_found *ret_found,
                 struct store **ret);

void store_release(struct store **s);

/*
 * Tells readers that the writer lives, and writes the header anew, whatever it may have come to; and
 * the clock, if it was stepped.
 */
void store_heartbeat(struct store *s, int64_t boottime_us);
void store_set_clock(struct store *s, struct store_clock clock);

/* The entry of the key (also one that is damaged: see store_whole), or STORE_NONE. */
uint32_t store_find(const struct store *s, struct bytes key);

/*
 * Puts the item in the place of any entry of the same key, and gives its handle (the old one's is
 * no longer valid, unless it is the same). Its views must not point into the segment. -E2BIG: it can
 * never fit. -ENOSPC:
 * no room; evict something and try again, which will do at the latest when a sixth of the segment
 * and twice the item's footprint are free. It saves time to evict the item's footprint at once
 * before the next try. On an error the old entry of the key, if any, is gone: better a miss than an
 * old value.
 */
int store_put(struct store *s, const struct store_item *item, uint32_t *ret_entry);

/* Room for a value that is not yet an entry. All zero: none. What is in it is the store's. */
struct store_room {
	uint32_t off, granules;
	bool taken;          /* all of it is there */
	bool filled;         /* and the value in it */
	uint32_t in_the_way; /* with -ENOSPC: the entry to be removed; NONE: any */
	uint64_t key_bytes, value_bytes;
	uint64_t hash; /* of the value, once it is filled: hash_bytes(value, 0) */
};

/*
 * Takes room for a value and its key, a step at a time: *room is zero before the first. 0: it is
 * there. -EAGAIN: not yet, to be called again, with anything done to the store in between. -ENOSPC:
 * evict something, room->in_the_way if that is an entry, and call again. -EBUSY: not before other
 * rooms are spent, as all of them take a half of the segment, and are ARENA_PINS, at most. -E2BIG:
 * never; such a value store_put may take.
 */
int store_reserve(struct store *s, uint64_t key_bytes, uint64_t value_bytes,
                  struct store_room *room);

/*
 * Copies the value into room that is taken, and hashes it; the memory of `value` must not change
 * meanwhile. On any thread, while the store's own is at work; but before *room is handed on.
 */
void store_fill(const struct store *s, struct store_room *room, const void *value);

/*
 * As store_put, of an item whose value is the one that the room was filled with: it is not read
 * again. The room is spent (zero) if that is 0, else still there. -ENOSPC: the index is full.
 */
int store_publish(struct store *s, const struct store_item *item, struct store_room *room,
                  uint32_t *ret_entry);

/* Gives back what was taken, if anything: nobody may be filling it. */
void store_unreserve(struct store *s, struct store_room *room);

void store_remove(struct store *s, uint32_t entry);

/* Whether an entry is pushed from now on. Set it before a longer expiry, take it back after. */
void store_set_pushed(struct store *s, uint32_t entry, bool pushed);

/* New expiry of an entry whose value stays: re-planning, push invalidation, not-modified. */
void store_set_expiry(struct store *s, uint32_t entry, struct instant soft, struct instant hard);

/* The origin was read again and had the same value: age counts from `loaded` now. Always 0. */
int store_renew(struct store *s, uint32_t entry, struct instant loaded, struct instant soft,
                struct instant hard);

/*
 * Views into the segment, valid until the next call that changes the store. Where the version was
 * not kept, store_get makes it from the value again. *ret_packed: as store_item.packed.
 */
struct bytes store_value(const struct store *s, uint32_t entry, bool *ret_packed);
void store_get(const struct store *s, uint32_t entry, struct store_item *ret);

/*
 * Whether the entry is still as it was put: memory can go bad, and what store_get gives is taken
 * from the segment as it stands. Ask before a value is handed on; remove what is not whole.
 */
bool store_whole(const struct store *s, uint32_t entry);

uint32_t store_owner(const struct store *s, uint32_t entry);
void store_set_owner(struct store *s, uint32_t entry, uint32_t owner);

/* A live entry chosen uniformly (STORE_NONE when empty): the caller samples victims to evict. */
uint32_t store_sample(const struct store *s, struct rng *g);

/*
 * Calls fn for every live entry in an order that depends on the segment alone. fn may remove the
 * entry that it is called for, and nothing else.
 */
typedef void store_each_fn(void *arg, uint32_t entry);
void store_each(const struct store *s, store_each_fn *fn, void *arg);

struct store_stats {
	uint64_t entries;
	uint64_t entries_total; /* what they could be: for more the index has no slots */
	uint64_t bytes_used;  /* the sum of their footprints, and of rooms that are taken */
	uint64_t bytes_total; /* what the sum could be */
};
void store_stats(const struct store *s, struct store_stats *ret);

#endif
