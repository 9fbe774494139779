/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Policies that others use, in small and on their own, to hold ours against: a sequence of keys,
 * numbered 0 .. n_keys - 1, and a cache of so many entries. Each returns the misses.
 */
#ifndef FORECACHED_BENCH_REFERENCE_H
#define FORECACHED_BENCH_REFERENCE_H

#include <stddef.h>
#include <stdint.h>

struct sequence {
	uint32_t *key;
	size_t n;
	uint32_t n_keys;
};

uint64_t reference_lru(const struct sequence *s, uint32_t entries);

/*
 * S3-FIFO (Yang et al., SOSP 2023): a tenth of the entries for newcomers, which go on to the main
 * queue when asked for twice more, as many ghosts as the main queue has entries, counts up to 3.
 */
uint64_t reference_s3fifo(const struct sequence *s, uint32_t entries);

/* Of all that is held and asked for again, what is asked for last goes: no cache can miss less. */
uint64_t reference_optimum(const struct sequence *s, uint32_t entries);

/* LRU by size: what all misses cost where each key has its bytes and its cost of a load. */
double reference_lru_cost(const struct sequence *s, const uint64_t *bytes, const double *cost,
                          uint64_t capacity);

#endif
