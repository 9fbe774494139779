/* SPDX-License-Identifier: MIT */
#include "store/arena.h"

#include "base/bug.h"

#include <errno.h>
#include <stdlib.h>

/*
 * A zone is at least this large, in units, and there are at most MAX_ZONES of them: looking through
 * the room of all takes some 4 us then, as long as moving 64 KiB.
 */
#define MIN_ZONE_SHIFT 8u
#define MAX_ZONES      4096u

/* A block of up to this part of a zone is small: for it the zone with the most room is tidied. */
#define SMALL 8u

/* How many gaps of a size's own bin are looked at; in a larger bin any gap will do. */
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

static uint32_t zone_room(const struct arena *a, uint32_t z)
{
	return a->room[a->leaves + z];
}

static void zone_set_room(struct arena *a, uint32_t z, uint32_t room)
{
	uint32_t i = a->leaves + z, best;

	a->room[i] = room;
	while (i > 1) {
		i /= 2;
		best = a->room[2 * i] > a->room[2 * i + 1] ? a->room[2 * i] : a->room[2 * i + 1];
		if (a->room[i] == best)
			break;
		a->room[i] = best;
	}
}

static void zone_count(struct arena *a, uint32_t off, uint32_t size, bool add)
{
	uint32_t part;

	for (uint32_t z = zone_of(a, off); size; z++, off += part, size -= part) {
		part = zone_end(a, z) - off < size ? zone_end(a, z) - off : size;
		zone_set_room(a, z, add ? zone_room(a, z) - part : zone_room(a, z) + part);
	}
}

static void zone_enter(struct arena *a, uint32_t b)
{
	uint32_t *first = &a->zone_first[zone_of(a, a->block[b].off)];

	if (*first == ARENA_NONE || a->block[*first].off > a->block[b].off)
		*first = b;
}

/* The block must still be linked: the one behind it may become the zone's first. */
static void zone_leave(struct arena *a, uint32_t b)
{
	uint32_t z = zone_of(a, a->block[b].off), next = a->block[b].next;

	if (a->zone_first[z] != b)
		return;
	a->zone_first[z] =
	        next != a->max_blocks && zone_of(a, a->block[next].off) == z ? next : ARENA_NONE;
}

/* -- Windows ----------------------------------------------------------------------------------- */

/* The zone with the most room, if that is a SMALL-th of a zone: less is not worth the work. */
static bool window_of_one(const struct arena *a, uint32_t *ret_lo, uint32_t *ret_hi)
{
	uint32_t i = 1;

	if (a->room[1] < (UINT32_C(1) << a->zone_shift) / SMALL)
		return false;
	while (i < a->leaves)
		i = 2 * i + (a->room[2 * i + 1] > a->room[2 * i]);
	*ret_lo = *ret_hi = i - a->leaves;
	return true;
}

/* The run of zones with room for the size and the least to move; false when that is too much. */
static bool window_find(const struct arena *a, uint32_t size, uint32_t *ret_lo, uint32_t *ret_hi)
{
	uint64_t used = 0, room = 0, best = UINT64_MAX, zone = UINT64_C(1) << a->zone_shift;
	uint32_t lo = 0;

	for (uint32_t hi = 0; hi < a->n_zones; hi++) {
		used += zone_end(a, hi) - zone_start(a, hi) - zone_room(a, hi);
		room += zone_room(a, hi);
		for (; room >= size; lo++) {
			if (used < best) {
				best = used;
				*ret_lo = lo;
				*ret_hi = hi;
			}
			used -= zone_end(a, lo) - zone_start(a, lo) - zone_room(a, lo);
			room -= zone_room(a, lo);
		}
	}
	return best <= ARENA_MOVES * (uint64_t)size + zone;
}

/*
 * Makes one gap of all those in zones lo .. hi and returns the block before it. Blocks that reach
 * into the window from below or out of it above stay; what they leave of it lies between them.
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
		zone_count(a, from, a->block[b].size, false);
		a->block[b].off = to;
		zone_count(a, to, a->block[b].size, true);
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
	a->block[b] = (struct arena_block){off, size, before, next, ARENA_NONE, ARENA_NONE};
	a->block[before].next = b;
	a->block[next].prev = b;
	gap_link(a, before);
	gap_link(a, b);
	zone_count(a, off, size, true);
	zone_enter(a, b);
	a->used += size;
}

/* Moves blocks until one gap holds the size; returns the block before it, or NONE. */
static uint32_t make_room(struct arena *a, uint32_t size)
{
	uint32_t lo = 0, hi = 0;

	if (size <= (UINT32_C(1) << a->zone_shift) / SMALL)
		return window_of_one(a, &lo, &hi) ? window_slide(a, lo, hi) : ARENA_NONE;
	/* one that has just failed, and evicts one by one, is not worth a long look each time */
	if (size >= a->failed_size && a->used + a->failed_size / 2 > a->failed_used)
		return ARENA_NONE;
	if (window_find(a, size, &lo, &hi))
		return window_slide(a, lo, hi);
	a->failed_size = size;
	a->failed_used = a->used;
	return ARENA_NONE;
}

bool arena_place(struct arena *a, uint32_t block, uint32_t size)
{
	uint32_t before;

	BUG_ON(block >= a->max_blocks || size == 0);
	if (size > a->end - a->start - a->used)
		return false;
	before = gap_find(a, size);
	if (before == ARENA_NONE)
		before = make_room(a, size);
	if (before == ARENA_NONE)
		return false;
	BUG_ON(gap_size(a, before) < size);
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
	zone_count(a, a->block[block].off, a->block[block].size, false);
	gap_unlink(a, block);
	gap_unlink(a, prev);
	a->block[prev].next = next;
	a->block[next].prev = prev;
	gap_link(a, prev);
	a->used -= a->block[block].size;
}

int arena_init(struct arena *a, uint32_t start, uint32_t end, uint32_t max_blocks,
               arena_move_fn *move, void *arg)
{
	uint32_t all = max_blocks;

	*a = (struct arena){.start = start, .end = end, .max_blocks = max_blocks};
	a->failed_size = UINT32_MAX;
	a->move = move;
	a->arg = arg;
	a->zone_shift = MIN_ZONE_SHIFT;
	while ((end - start) >> a->zone_shift >= MAX_ZONES)
		a->zone_shift++;
	a->n_zones = zone_of(a, end - 1) + 1;
	for (a->leaves = 1; a->leaves < a->n_zones;)
		a->leaves *= 2;
	a->room = calloc(2 * (size_t)a->leaves, sizeof(*a->room));
	a->zone_first = calloc(a->n_zones, sizeof(*a->zone_first));
	a->block = calloc((size_t)max_blocks + 1, sizeof(*a->block));
	if (!a->room || !a->zone_first || !a->block) {
		arena_release(a);
		return -ENOMEM;
	}
	for (uint32_t z = 0; z < a->n_zones; z++) {
		a->zone_first[z] = ARENA_NONE;
		zone_set_room(a, z, zone_end(a, z) - zone_start(a, z));
	}
	for (unsigned i = 0; i < ARENA_BINS; i++)
		a->bin[i] = ARENA_NONE;
	a->block[all] = (struct arena_block){start, 0, all, all, ARENA_NONE, ARENA_NONE};
	gap_link(a, all);
	return 0;
}

void arena_release(struct arena *a)
{
	free(a->block);
	free(a->room);
	free(a->zone_first);
	*a = (struct arena){0};
}
