/* SPDX-License-Identifier: MIT */
/*
 * Where things lie in a stretch of memory: places blocks of any size without overlap, and moves
 * them together when the room left is in pieces. It knows nothing of what is in them; whoever owns
 * the memory numbers the blocks and carries out the moves.
 *
 * HOW IT WORKS blocks are linked in the order of their addresses, and the gap behind each is in a
 * list of gaps of about its size (8 sizes per power of two). A block goes into the first gap that
 * is sure to hold it, of the smallest such size. If no gap is big enough, though there is room in
 * total, the blocks that lie wholly within a window are moved down one by one, so that the window's
 * gaps become one. Windows are runs of zones, all of a size, whose room is counted. A small block
 * takes the zone with the most room, if that is an eighth of it; a larger one the run with room for
 * it and the least to move, if that is at most ARENA_MOVES times its own size, plus a zone. So the
 * work of a placement is bounded by the size of what is placed. It fails when the cheapest window
 * would be too dear; it is sure to succeed when a sixth of the memory is free besides twice the
 * size wanted, however the room lies.
 *
 * Why not size classes: in a model of them (classes 12.5 % apart in pages of 64 KiB that change
 * class as soon as a class could spare one, runs of pages above), kept full by random eviction with
 * sizes spread over two or three powers of ten between 100 B and 800 KB, values held 70 to 89 % of
 * the memory. Here they hold 98 %, and 94 to 98 % after all sizes grew tenfold (bench/store). A put
 * then takes 1 us at the median and 6 us on average for values around 2 KB, evictions included.
 *
 * INVARIANTS sizes and offsets are in units of the owner's choice. The order of all that happens
 * depends on the calls alone.
 */
#ifndef FORECACHED_STORE_ARENA_H
#define FORECACHED_STORE_ARENA_H

#include <stdbool.h>
#include <stdint.h>

#define ARENA_NONE  UINT32_MAX
#define ARENA_MOVES 8u
#define ARENA_BINS  240u

/* The block now starts at `to`, below `from`, which it may overlap. Lower blocks come first. */
typedef void arena_move_fn(void *arg, uint32_t block, uint32_t from, uint32_t to);

struct arena_block {
	uint32_t off, size;
	uint32_t prev, next;         /* by address */
	uint32_t gap_prev, gap_next; /* among gaps of about the size of the one behind this block */
};

struct arena {
	uint32_t start, end, used;
	uint32_t max_blocks;
	struct arena_block *block; /* by number; block[max_blocks] stands for both ends */
	uint32_t bin[ARENA_BINS];  /* first gap of each size */
	uint64_t bins_in_use[(ARENA_BINS + 63) / 64];
	uint32_t zone_shift, n_zones;
	/* free in zone z: room[leaves + z]; above that room[i] = max(room[2i], room[2i + 1]) */
	uint32_t *room, leaves;
	uint32_t *zone_first; /* the lowest block that starts in it */
	/* the last search for a window that failed, and `used` then */
	uint32_t failed_size, failed_used;
	uint64_t moved; /* how much has been moved so far */
	arena_move_fn *move;
	void *arg;
};

/* An empty arena from start to end, for blocks numbered 0 .. max_blocks-1. 0, or -ENOMEM. */
int arena_init(struct arena *a, uint32_t start, uint32_t end, uint32_t max_blocks,
               arena_move_fn *move, void *arg);
void arena_release(struct arena *a);

/*
 * Finds room for a block of this size > 0, perhaps moving others. False when there is none, or when
 * making it would take too much work: remove something, then try again.
 */
bool arena_place(struct arena *a, uint32_t block, uint32_t size);

/*
 * Puts a block where it is known to lie, behind all blocks so far. False when it overlaps the last
 * of them or the end.
 */
bool arena_append(struct arena *a, uint32_t block, uint32_t off, uint32_t size);

void arena_remove(struct arena *a, uint32_t block);

static inline uint32_t arena_offset(const struct arena *a, uint32_t block)
{
	return a->block[block].off;
}

/* The block with the lowest address, the one behind a block; ARENA_NONE at the end. */
static inline uint32_t arena_next(const struct arena *a, uint32_t block)
{
	uint32_t next = a->block[block == ARENA_NONE ? a->max_blocks : block].next;

	return next == a->max_blocks ? ARENA_NONE : next;
}

#endif
