/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How soon keys that were just asked for are asked for again, and what their place in a full cache
 * is worth because of that. Time is counted in requests: nights and peaks look the same.
 *
 * HOW IT WORKS the time from one request for a key to the next is a spell. Keys are put into
 * classes by what is known when a spell begins: how often the key was asked for (decayed), and how
 * long the spell before was, in sizes of the cache. Each class has a life table, as an actuary
 * makes them: by age, the spells that ended, out of those that got so far, whether they have ended
 * or still go on. All keys that are remembered take part, in the cache or not, so what is learned
 * does not hang on what was kept. A census walks around the keys and counts those whose spell goes
 * on. What is old counts less, spell by spell by when it began. A cell with little in it borrows
 * from the same frequencies and the same gaps, these from all keys, and those from a rate that goes
 * as one over the age.
 *
 * From the rates by age follows the worth of holding a key for a while: at best, over all times h
 * to hold it, P(asked for within h) / E(time it is held), its Gittins index. A key whose requests
 * know no past has just its request rate; one of a loop longer than the cache is worth the more the
 * longer ago it was asked for, one of a burst the less, and both are learned, not chosen. To keep
 * the keys of the highest worth per byte is optimal for many keys with independent spells (Gittins
 * and Jones 1974; Whittle 1988).
 *
 * Work is spread: a request renews one table of 221 now and then, and the census takes eight keys.
 *
 * OWNERSHIP keys are numbered by the caller; their 8 bytes each are kept here.
 */
#ifndef FORECACHED_MODELS_REUSE_H
#define FORECACHED_MODELS_REUSE_H

#include <stdbool.h>
#include <stdint.h>

/* Ages from one request to 2^32, two buckets for each doubling. */
#define REUSE_BUCKETS 64
#define REUSE_FREQS   12
#define REUSE_GAPS    16
#define REUSE_CLASSES (REUSE_FREQS * REUSE_GAPS)

/* What is kept of a key besides its place in the tables. */
struct reuse_key {
	uint32_t last; /* when it was last asked for, in requests */
	uint16_t freq; /* how often, decayed, in 64ths */
	uint8_t class; /* freq * REUSE_GAPS + gap, both as of then */
	uint8_t state; /* REUSE_* */
};

enum {
	REUSE_UNKNOWN, /* all zero: not asked for, not put */
	REUSE_PUT,     /* put, and not asked for since */
	REUSE_ASKED,
};

struct reuse;

struct reuse *reuse_new(void);
void reuse_free(struct reuse **r);

/* Takes address space for so many keys, so that they are not moved as more come. */
void reuse_reserve(struct reuse *r, uint32_t keys);

/*
 * How many entries the cache holds when full, about: the unit of gaps, and what sets how fast is
 * forgotten. Until it is told, 64.
 */
void reuse_resize(struct reuse *r, double entries);

/* A value of the key was put; means something only if nothing is known of the key. */
void reuse_put(struct reuse *r, uint32_t key);

/*
 * The key was asked for, count times in a row or count times as often as was told. hit: there was a
 * value. learn: renew the tables, too; where nothing is ever evicted that is work for nothing.
 */
void reuse_asked(struct reuse *r, uint32_t key, double count, bool hit, bool learn);

/* The key's number may be another key's from now on. */
void reuse_forget(struct reuse *r, uint32_t key);

/*
 * What holding the key is worth now: requests for it per request for any, while it is held, >= 0.
 */
double reuse_worth(const struct reuse *r, uint32_t key);

/* The key's state, for whoever explains; all zero when it is not known. */
struct reuse_key reuse_look(const struct reuse *r, uint32_t key);

/* Bytes taken, for keys and tables. */
uint64_t reuse_bytes(const struct reuse *r);

#endif
