/* SPDX-License-Identifier: MIT */
/*
 * A set of small numbers that knows the neighbours of each: one bit per number, one per word of
 * those, and so on, so that any step takes a few words however far the next number is.
 *
 * INVARIANTS a bit above the lowest level says whether its word has any bit set.
 */
#ifndef FORECACHED_STORE_BITS_H
#define FORECACHED_STORE_BITS_H

#include <stdbool.h>
#include <stdint.h>

#define BITS_LEVELS 6u /* 64 to the sixth is more than there are */
#define BITS_NONE   UINT32_MAX

struct bits {
	uint64_t *level[BITS_LEVELS]; /* the lowest first, all in one piece of memory */
	unsigned n_levels;
};

/* An empty set of numbers below n > 0. 0, or -ENOMEM. */
int bits_init(struct bits *b, uint32_t n);
void bits_release(struct bits *b);

static inline bool bits_has(const struct bits *b, uint32_t i)
{
	return b->level[0][i / 64] >> i % 64 & 1;
}

static inline void bits_set(struct bits *b, uint32_t i)
{
	uint64_t *w, was = 0;

	for (unsigned l = 0; l < b->n_levels && !was; l++, i /= 64) {
		w = &b->level[l][i / 64];
		was = *w;
		*w |= UINT64_C(1) << i % 64;
	}
}

static inline void bits_clear(struct bits *b, uint32_t i)
{
	uint64_t *w, left = 0;

	for (unsigned l = 0; l < b->n_levels && !left; l++, i /= 64) {
		w = &b->level[l][i / 64];
		left = *w &= ~(UINT64_C(1) << i % 64);
	}
}

/* The lowest number of the set above i, the highest below it; NONE when there is none. */
uint32_t bits_next(const struct bits *b, uint32_t i);
uint32_t bits_prev(const struct bits *b, uint32_t i);

#endif
