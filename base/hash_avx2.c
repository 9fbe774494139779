/* SPDX-License-Identifier: MIT */
/* The same hash for processors with AVX2, twice as fast from some 250 bytes on. */
#include "base/hash.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif

#define XXH_INLINE_ALL
#define XXH_VECTOR 2 /* XXH_AVX2 */
#include <xxhash.h>

uint64_t hash_bytes_avx2(struct bytes b, uint64_t seed)
{
	uint64_t h = XXH3_64bits_withSeed(b.p, b.n, seed);

	/* else every instruction of the older kind that follows waits for the wide registers */
	_mm256_zeroupper();
	return h;
}

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#else

uint64_t hash_bytes_avx2(struct bytes b, uint64_t seed)
{
	return hash_bytes(b, seed);
}

#endif
