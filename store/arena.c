/* SPDX-License-Identifier: MIT */
#include "store/arena.h"

#include "base/bug.h"
#include "base/mem.h"

#include <stdlib.h>

/*
 * A zone is at least this large, in units, and there are at most MAX_ZONES of them: looking through
 * the fill of all takes 4 us then, as long as moving 64 KiB.
 */
#define MIN_ZONE_SHIFT 8u
#define MAX_ZONES      4096u

/* Gaps of a size's own bin that are looked at before a larger bin is taken, where any gap will do. */
#define LOOK_AT 8

static uint32_t end_of(const struct arena *a, uint32_t b)
{
	return a->block[b].off + a->block[b].size;
}

/* -- Gaps -------------------------------------------------------------------------------------- */

static uint32_t gap_size(const struct arena *a, uint32_t b)
{
	uint32_t next = a->block[b].next;

	return (next == a->max_blocks ? a->end : a->block[next].off) - end_of(a, b);
}

/* The bin of gaps of this size > 0: one per size up to 15, then 8 per power of two. */
static unsigned bin_of(uint32_t size)
{
	unsigned e;

	if (size < 16)
		return size;
	e = 31 - (unsigned)__builtin_clz(size);
	return 16 + (e - 4) * 8 + (size >> (e - 3) & 7);
}

static void gap_link(struct arena *a, uint32_t b)
{
	uint32_t size = gap_size(a, b);
	unsigned i;

	if (!size)
		return;
	i = bin_of(size);
	a->block[b].gap_prev = ARENA_NONE;
	a->block[b].gap_next = a->bin[i];
	if (a->bin[i] != ARENA_NONE)
		a->block[a->bin[i]].gap_prev = b;
	a->bin[i] = b;
	a->bins_in_use[i / 64] |= UINT64_C(1) << i % 64;
}

/* To be called before anything changes the size of the gap. */
static void gap_unlink(struct arena *a, uint32_t b)
{
	uint32_t size = gap_size(a, b);
	struct arena_block *k = &a->block[b];
	unsigned i;

	if (!size)
		return;
	i = bin_of(size);
	if (k->gap_next != ARENA_NONE)
		a->block[k->gap_next].gap_prev = k->gap_prev;
	if (k->gap_prev != ARENA_NONE)
		a->block[k->gap_prev].gap_next = k->gap_next;
	else
		a->bin[i] = k->gap_next;
	if (a->bin[i] == ARENA_NONE)
		a->bins_in_use[i / 64] &= ~(UINT64_C(1) << i % 64);
}

/* A block whose gap holds the size, or NONE. */
static uint32_t gap_find(const struct arena *a, uint32_t size)
{
	unsigned i = bin_of(size);
	uint32_t b = a->bin[i];
	uint64_t map;

	for (int n = 0; b != ARENA_NONE && n < LOOK_AT; n++, b = a->block[b].gap_next)
		if (gap_size(a, b) >= size)
			return b;
	for (i++; i < ARENA_BINS; i = (i | 63) + 1) {
		map = a->bins_in_use[i / 64] >> i % 64;
		if (map)
			return a->bin[i + (unsigned)__builtin_ctzll(map)];
	}
	return ARENA_NONE;
}

/* -- Zones ------------------------------------------------------------------------------------- */

static uint32_t zone_of(const struct arena *a, uint32_t off)
{
	return (off - a->start) >> a->zone_shift;
}

static uint32_t zone_start(const struct arena *a, uint32_t z)
{
	return a->start + (z << a->zone_shift);
}

static uint32_t zone_end(const struct arena *a, uint32_t z)
{
	return z + 1 >= a->n_zones ? a->end : zone_start(a, z + 1);
}

static void zone_count(struct arena *a, uint32_t b, bool add)
{
	uint32_t from = a->block[b].off, to = end_of(a, b), part_end;

	for (uint32_t z = zone_of(a, from); from < to; z++, from = part_end) {
		part_end = zone_end(a, z) < to ? zone_end(a, z) : to;
		if (add)
			a->zone_used[z] += part_end - from;
		else
			a->zone_used[z] -= part_end - from;
	}
}

static void zone_enter(struct arena *a, uint32_t b)
{
	uint32_t *first = &a->zone_first[zone_of(a, a->block[b].off)];

	if (*first == ARENA_NONE || a->block[*first].off > a->block[b].off)
		*first = b;
	zone_count(a, b, true);
}

/* The block must still be linked: the one behind it may become the zone's first. */
static void zone_leave(struct arena *a, uint32_t b)
{
	uint32_t z = zone_of(a, a->block[b].off), next = a->block[b].next;

	zone_count(a, b, false);
	if (a->zone_first[z] != b)
		return;
	a->zone_first[z] = next != a->max_blocks && zone_of(a, a->block[next].off) == z ? next
	                                                                               : ARENA_NONE;
}

/* The run of zones with room for the size and the least to move; false when that is too much. */
static bool window_find(const struct arena *a, uint32_t size, uint32_t *ret_lo, uint32_t *ret_hi)
{
	uint64_t used = 0, room = 0, best = UINT64_MAX, first;
	uint32_t lo = 0;

	for (uint32_t hi = 0; hi < a->n_zones; hi++) {
		used += a->zone_used[hi];
		room += zone_end(a, hi) - zone_start(a, hi) - a->zone_used[hi];
		for (; room >= size; lo++) {
			if (used < best) {
				best = used;
				*ret_lo = lo;
				*ret_hi = hi;
			}
			first = zone_end(a, lo) - zone_start(a, lo);
			used -= a->zone_used[lo];
			room -= first - a->zone_used[lo];
		}
	}
	return best <= (uint64_t)ARENA_MOVES * size + (UINT64_C(1) << a->zone_shift);
}

/*
 * Makes one gap of all those in zones lo .. hi and returns the block before it. Blocks that reach into
 * the window from below or out of it above stay; what they leave of it lies between them.
 */
static uint32_t window_slide(struct arena *a, uint32_t lo, uint32_t hi)
{
	uint32_t b = a->max_blocks, end = zone_end(a, hi), before, to, from;

	for (uint32_t z = lo; z < a->n_zones && b == a->max_blocks; z++)
		if (a->zone_first[z] != ARENA_NONE)
			b = a->zone_first[z];
	before = a->block[b].prev;
	gap_unlink(a, before);
	for (; b != a->max_blocks && end_of(a, b) <= end; before = b, b = a->block[b].next) {
		gap_unlink(a, b);
		from = a->block[b].off;
		to = end_of(a, before);
		if (from == to)
			continue;
		zone_leave(a, b);
		a->block[b].off = to;
		zone_enter(a, b);
		a->moved += a->block[b].size;
		a->move(a->arg, b, from, to);
	}
	gap_link(a, before);
	return before;
}

/* -- Blocks ------------------------------------------------------------------------------------ */

static void insert(struct arena *a, uint32_t b, uint32_t before, uint32_t off, uint32_t size)
{
	uint32_t next = a->block[before].next;

	gap_unlink(a, before);
	a->block[b] = (struct arena_block){ off, size, before, next, ARENA_NONE, ARENA_NONE };
	a->block[before].next = b;
	a->block[next].prev = b;
	gap_link(a, before);
	gap_link(a, b);
	zone_enter(a, b);
	a->used += size;
}

bool arena_place(struct arena *a, uint32_t block, uint32_t size)
{
	uint32_t before, lo = 0, hi = 0;

	BUG_ON(block >= a->max_blocks || size == 0);
	if (size > a->end - a->start - a->used)
		return false;
	before = gap_find(a, size);
	if (before == ARENA_NONE) {
		if (!window_find(a, size, &lo, &hi))
			return false;
		before = window_slide(a, lo, hi);
		BUG_ON(gap_size(a, before) < size);
	}
	insert(a, block, before, end_of(a, before), size);
	return true;
}

bool arena_append(struct arena *a, uint32_t block, uint32_t off, uint32_t size)
{
	uint32_t last = a->block[a->max_blocks].prev;

	BUG_ON(block >= a->max_blocks || size == 0);
	if (off < end_of(a, last) || off > a->end || size > a->end - off)
		return false;
	insert(a, block, last, off, size);
	return true;
}

void arena_remove(struct arena *a, uint32_t block)
{
	uint32_t prev = a->block[block].prev, next = a->block[block].next;

	zone_leave(a, block);
	gap_unlink(a, block);
	gap_unlink(a, prev);
	a->block[prev].next = next;
	a->block[next].prev = prev;
	gap_link(a, prev);
	a->used -= a->block[block].size;
}

void arena_init(struct arena *a, uint32_t start, uint32_t end, uint32_t max_blocks,
                arena_move_fn *move, void *arg)
{
	uint32_t all = max_blocks;

	*a = (struct arena){ .start = start, .end = end, .max_blocks = max_blocks };
	a->move = move;
	a->arg = arg;
	a->zone_shift = MIN_ZONE_SHIFT;
	while ((end - start) >> a->zone_shift >= MAX_ZONES)
		a->zone_shift++;
	a->n_zones = zone_of(a, end - 1) + 1;
	a->zone_used = mem_calloc(a->n_zones, sizeof(*a->zone_used));
	a->zone_first = mem_calloc(a->n_zones, sizeof(*a->zone_first));
	for (uint32_t z = 0; z < a->n_zones; z++)
		a->zone_first[z] = ARENA_NONE;
	for (unsigned i = 0; i < ARENA_BINS; i++)
		a->bin[i] = ARENA_NONE;
	a->block = mem_calloc((size_t)max_blocks + 1, sizeof(*a->block));
	a->block[all] = (struct arena_block){ start, 0, all, all, ARENA_NONE, ARENA_NONE };
	gap_link(a, all);
}

void arena_release(struct arena *a)
{
	free(a->block);
	free(a->zone_used);
	free(a->zone_first);
	*a = (struct arena){ 0 };
}
