/* SPDX-License-Identifier: MIT */
/*
 * Where things lie in a stretch of memory: places blocks of any size without overlap, and moves
 * them together when the room left is in pieces. It knows nothing of what is in them; whoever owns
 * the memory numbers the blocks and carries out the moves.
 *
 * HOW IT WORKS one bit per unit says where a block or a gap begins; of the pieces, which leave
 * nothing between them, a gap has its second bit set, too. So whoever knows where a block begins
 * knows its end and its neighbours, and a block takes no other memory here. A gap of one unit is
 * not told from the block before it, and goes with it. Where gaps of about a size were left (8 sizes
 * per power of two) is noted, of each size the last ARENA_NOTES of them: a note is a hint, and looked
 * at before it is believed. A block goes into the first gap that is noted and sure to hold it, of the
 * smallest such size. If none is, though there is room in
 * total, the blocks that lie wholly within a window are moved down one by one, so that the window's
 * gaps become one. Windows are runs of zones, all of a size, whose room is counted. A small block
 * takes the zone with the most room, if that is an eighth of it; a larger one the run with room for
 * it and the least to move, if that is at most ARENA_MOVES times its own size, plus a zone. So the
 * work of a placement is bounded by the size of what is placed. It fails when the cheapest window
 * would be too dear; it is sure to succeed when a sixth of the memory is free besides twice the
 * size wanted, however the room lies.
 *
 * A block may be pinned: it stays where it is, for somebody else is at work in it. A window has no zone
 * that a pinned block reaches into. Room for a large block can be gathered in steps, so that nobody
 * has to wait for all of the work: a gap becomes a pinned block at once, and grows by changing places
 * with the blocks above it and taking in the gaps between them, until it is as large as is wanted.
 * With a pinned block, or the end, in its way it takes in what is below it, if that is removed.
 *
 * Why not size classes: in a model of them (classes 12.5 % apart in pages of 64 KiB that change
 * class as soon as a class could spare one, runs of pages above), kept full by random eviction with
 * sizes spread over two or three powers of ten between 100 B and 800 KB, values held 70 to 89 % of
 * the memory. Here they hold 98 %, and 94 to 98 % after all sizes grew tenfold (bench/store). A put
 * then takes 1 us at the median and 6 us on average for values around 2 KB, evictions included.
 *
 * INVARIANTS sizes and offsets are in units of the owner's choice; a block takes ARENA_LEAST of them
 * or more. The order of all that happens depends on the calls alone.
 */
#ifndef FORECACHED_STORE_ARENA_H
#define FORECACHED_STORE_ARENA_H

#include "store/bits.h"

#include <stdbool.h>
#include <stdint.h>

#define ARENA_NONE  UINT32_MAX
#define ARENA_LEAST 2u
#define ARENA_MOVES 8u
#define ARENA_BINS  240u
#define ARENA_NOTES 64u
#define ARENA_PINS  64u /* blocks that are pinned at once */

/* The block now starts at `to`, below `from`, which it may overlap. Lower blocks come first. */
typedef void arena_move_fn(void *arg, uint32_t from, uint32_t to, uint32_t size);

/* Where gaps of a size were left: the last n of them, the latest before `end`, round and round. */
struct arena_bin {
	uint32_t off[ARENA_NOTES];
	uint32_t end, n;
};

struct arena {
	uint32_t start, end, used;
	struct bits begins; /* by unit from start; a piece that begins at the end stands there always */
	struct arena_bin *bin;
	uint64_t bins_in_use[(ARENA_BINS + 63) / 64];
	uint32_t zone_shift, n_zones;
	/* free in zone z: room[leaves + z]; above that room[i] = max(room[2i], room[2i + 1]) */
	uint32_t *room, leaves;
	/* the last search for a window that failed, and `used` then */
	uint32_t failed_size, failed_used;
	uint64_t moved; /* how much has been moved so far */
	uint32_t pin[ARENA_PINS], n_pins; /* the blocks that stay, lowest first; from start */
	arena_move_fn *move;
	void *arg;
};

/* An empty arena from start to end. 0, or -ENOMEM. */
int arena_init(struct arena *a, uint32_t start, uint32_t end, arena_move_fn *move, void *arg);
void arena_release(struct arena *a);

/*
 * Finds room for a block of this size, perhaps moving others, and returns where it starts. NONE when
 * there is none, or when making it would take too much work: remove something, then try again.
 */
uint32_t arena_place(struct arena *a, uint32_t size);

/*
 * Puts a block where it is known to lie, behind all blocks so far. False when it overlaps the last
 * of them or the end, or would leave a gap of one unit at the start.
 */
bool arena_append(struct arena *a, uint32_t off, uint32_t size);

/*
 * The same for a large block, in steps: each moves about `work` units of others. *off is NONE before the
 * first step, and the block as far as it has come while it gives -EAGAIN; others may be placed and
 * removed meanwhile. 0: it is there, pinned. -ENOSPC: as NONE above, if *off is NONE; else remove
 * the block before it, to be called again then.
 */
int arena_gather(struct arena *a, uint32_t size, uint32_t work, uint32_t *off);

/* It may be moved from now on. */
void arena_unpin(struct arena *a, uint32_t off);

/* The block that starts there, which is not pinned. Its size is what it was placed with, or one more. */
void arena_remove(struct arena *a, uint32_t off);
uint32_t arena_size(const struct arena *a, uint32_t off);

/* The block before one that has a block before it. */
uint32_t arena_before(const struct arena *a, uint32_t off);

#endif
