/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The hash is the same on every processor: values that one has stored, another must find whole.
 * Beside the library's own, and known answers, so that a segment outlives a new library as well.
 */
#include "base/hash.h"
#include "tests/tap.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define BYTES 70000u

static unsigned char text[BYTES];

static bool has_avx2(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
	return __builtin_cpu_supports("avx2");
#else
	return true; /* the other form is used in its place */
#endif
}

TEST(is_the_same_with_and_without_wide_registers)
{
	for (size_t n = 1; n <= BYTES; n += 1 + n / 40)
		for (uint64_t seed = 0; seed < 3; seed++) {
			uint64_t want = XXH3_64bits_withSeed(text, n, seed);

			OK(hash_bytes(bytes_of(text, n), seed) == want, "%zu bytes", n);
			if (has_avx2())
				OK(hash_bytes_avx2(bytes_of(text, n), seed) == want, "%zu bytes",
				   n);
		}
	OK(hash_bytes(bytes_of(NULL, 0), 5) == XXH3_64bits_withSeed("", 0, 5));
}

TEST(gives_what_it_always_gave)
{
	OK(hash_bytes(bytes_of(NULL, 0), 0) == UINT64_C(0x2d06800538d394c2));
	OK(hash_bytes(bytes_of(text, 1000), 0) == UINT64_C(0xc97ac64d558d1a1f), "%" PRIx64,
	   hash_bytes(bytes_of(text, 1000), 0));
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	for (size_t i = 0; i < BYTES; i++)
		text[i] = (unsigned char)(i * 31 + (i >> 7));
	RUN(is_the_same_with_and_without_wide_registers);
	RUN(gives_what_it_always_gave);
	return tap_done();
}
