/* SPDX-License-Identifier: MIT */
#include "store/bits.h"

#include <errno.h>
#include <stdlib.h>

int bits_init(struct bits *b, uint32_t n)
{
	size_t words[BITS_LEVELS], total = 0, left = n;

	*b = (struct bits){.n_levels = 0};
	do {
		left = (left + 63) / 64;
		words[b->n_levels++] = left;
		total += left;
	} while (left > 1);
	b->level[0] = calloc(total, sizeof(uint64_t));
	if (!b->level[0])
		return -ENOMEM;
	for (unsigned l = 1; l < b->n_levels; l++)
		b->level[l] = b->level[l - 1] + words[l - 1];
	return 0;
}

void bits_release(struct bits *b)
{
	free(b->level[0]);
	b->level[0] = NULL;
}

uint32_t bits_next(const struct bits *b, uint32_t i)
{
	uint64_t w;

	for (unsigned l = 0; l < b->n_levels; l++, i /= 64) {
		/* two shifts: one by 64 would be undefined */
		w = b->level[l][i / 64] >> i % 64 >> 1;
		if (!w)
			continue;
		i += 1 + (unsigned)__builtin_ctzll(w);
		while (l--)
			i = i * 64 + (unsigned)__builtin_ctzll(b->level[l][i]);
		return i;
	}
	return BITS_NONE;
}

uint32_t bits_prev(const struct bits *b, uint32_t i)
{
	uint64_t w;

	for (unsigned l = 0; l < b->n_levels; l++, i /= 64) {
		w = b->level[l][i / 64] << (63 - i % 64) << 1;
		if (!w)
			continue;
		i -= 1 + (unsigned)__builtin_clzll(w);
		while (l--)
			i = i * 64 + 63 - (unsigned)__builtin_clzll(b->level[l][i]);
		return i;
	}
	return BITS_NONE;
}
