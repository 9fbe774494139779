/* SPDX-License-Identifier: MIT */
#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t hash_bytes(struct bytes b, uint64_t seed)
{
	return XXH3_64bits_withSeed(b.p ? b.p : "", b.n, seed);
}
