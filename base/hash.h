/* SPDX-License-Identifier: MIT */
/* XXH3 with a seed: the one hash of the project. Not for secrets. */
#ifndef FORECACHED_BASE_HASH_H
#define FORECACHED_BASE_HASH_H

#include "base/bytes.h"

#include <stdint.h>

uint64_t hash_bytes(struct bytes b, uint64_t seed);

/* What hash_bytes calls where it can. */
uint64_t hash_bytes_avx2(struct bytes b, uint64_t seed);

/* Mixes a number; equal inputs give equal outputs on every machine. */
static inline uint64_t hash_u64(uint64_t x)
{
	x ^= x >> 32;
	x *= UINT64_C(0xd6e8feb86659fd93);
	x ^= x >> 32;
	x *= UINT64_C(0xd6e8feb86659fd93);
	return x ^ x >> 32;
}

#endif
