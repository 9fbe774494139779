/* SPDX-License-Identifier: MIT */
#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Below this there is nothing to gain by wide registers. */
#define LONG 256

uint64_t hash_bytes(struct bytes b, uint64_t seed)
{
#if defined(__x86_64__) && defined(__GNUC__)
	if (b.n >= LONG && __builtin_cpu_supports("avx2"))
		return hash_bytes_avx2(b, seed);
#endif
	return XXH3_64bits_withSeed(b.p ? b.p : "", b.n, seed);
}
