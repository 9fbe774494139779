/* SPDX-License-Identifier: MIT */
#include "store/arena.h"

#include "base/bug.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * A zone is at least this large, in units, and there are at most MAX_ZONES of them: looking through
 * the room of all takes some 4 us then, as long as moving 64 KiB.
 */
#define MIN_ZONE_SHIFT 8u
#define MAX_ZONES      4096u

/* A block of up to this part of a zone is small: for it the zone with the most room is tidied. */
#define SMALL 8u

/* What it costs to look up whose a block is and to move it, besides its size, in units moved. */
#define STEP 64u

/* How many gaps of a size's own bin are looked at; of a larger bin any will do. */
#define LOOK_AT 8

/* -- Pieces: blocks and gaps; offsets here are from the start ---------------------------------- */

static uint32_t units(const struct arena *a)
{
	return a->end - a->start;
}

static bool is_gap(const struct arena *a, uint32_t at)
{
	return at < units(a) && bits_has(&a->begins, at + 1);
}

/* The end of the piece that begins here. */
static uint32_t piece_end(const struct arena *a, uint32_t at)
{
	return bits_next(&a->begins, at + is_gap(a, at));
}

/*
 * Whether a piece begins at a number of the set, which may be the second bit of a gap, too. No two
 * gaps adjoin, so three in a row are a gap of two and the block behind it.
 */
static bool begins(const struct arena *a, uint32_t at)
{
	return at == 0 || !bits_has(&a->begins, at - 1) || (at > 1 && bits_has(&a->begins, at - 2));
}

/* The piece before the one that begins here; NONE before the first. */
static uint32_t piece_before(const struct arena *a, uint32_t at)
{
	uint32_t i = bits_prev(&a->begins, at);

	return i == BITS_NONE || begins(a, i) ? i : i - 1;
}

/* The first block that begins here or later; units() when there is none. */
static uint32_t block_from(const struct arena *a, uint32_t at)
{
	if (!bits_has(&a->begins, at) || !begins(a, at))
		at = bits_next(&a->begins, at);
	return is_gap(a, at) ? piece_end(a, at) : at;
}

/* -- Gaps -------------------------------------------------------------------------------------- */

/* The bin of gaps of this size > 0: one per size up to 15, then 8 per power of two. */
static unsigned bin_of(uint32_t size)
{
	unsigned e;

	if (size < 16)
		return size;
	e = 31 - (unsigned)__builtin_clz(size);
	return 16 + (e - 4) * 8 + (size >> (e - 3) & 7);
}

/* Makes a gap of at least two units, whose memory is no piece's, and notes it. */
static void gap_make(struct arena *a, uint32_t at, uint32_t end)
{
	unsigned i = bin_of(end - at);
	struct arena_bin *b = &a->bin[i];

	bits_set(&a->begins, at);
	bits_set(&a->begins, at + 1);
	b->off[b->end++ % ARENA_NOTES] = at;
	b->n += b->n < ARENA_NOTES;
	a->bins_in_use[i / 64] |= UINT64_C(1) << i % 64;
}

static void gap_forget(struct arena *a, uint32_t at)
{
	bits_clear(&a->begins, at);
	bits_clear(&a->begins, at + 1);
}

/* The size of the gap that was noted there; 0 when there is none now. */
static uint32_t noted_size(const struct arena *a, uint32_t at)
{
	return bits_has(&a->begins, at) && begins(a, at) && is_gap(a, at) ? piece_end(a, at) - at
	                                                                  : 0;
}

/* A gap of this bin that holds the size, or NONE; drops the notes of what is no more on the way. */
static uint32_t bin_find(struct arena *a, unsigned i, uint32_t size)
{
	struct arena_bin *b = &a->bin[i];
	uint32_t *note, n = 1, held;

	while (n <= b->n && n <= LOOK_AT) {
		note = &b->off[(b->end - n) % ARENA_NOTES];
		held = noted_size(a, *note);
		if (held >= size)
			return *note;
		if (held && bin_of(held) == i) {
			n++;
			continue;
		}
		*note = b->off[--b->end % ARENA_NOTES];
		b->n--;
	}
	if (!b->n)
		a->bins_in_use[i / 64] &= ~(UINT64_C(1) << i % 64);
	return ARENA_NONE;
}

/* A gap that holds the size, or NONE. */
static uint32_t gap_find(struct arena *a, uint32_t size)
{
	unsigned i = bin_of(size);
	uint32_t at = bin_find(a, i, size);
	uint64_t map;

	for (i++; at == ARENA_NONE && i < ARENA_BINS; i++) {
		map = a->bins_in_use[i / 64] >> i % 64;
		if (!map) {
			i |= 63;
			continue;
		}
		i += (unsigned)__builtin_ctzll(map);
		at = bin_find(a, i, size);
	}
	return at;
}

/* -- Zones ------------------------------------------------------------------------------------- */

static uint32_t zone_start(const struct arena *a, uint32_t z)
{
	return z << a->zone_shift;
}

static uint32_t zone_end(const struct arena *a, uint32_t z)
{
	return z + 1 >= a->n_zones ? units(a) : zone_start(a, z + 1);
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

	for (uint32_t z = off >> a->zone_shift; size; z++, off += part, size -= part) {
		part = zone_end(a, z) - off < size ? zone_end(a, z) - off : size;
		zone_set_room(a, z, add ? zone_room(a, z) - part : zone_room(a, z) + part);
	}
}

/* -- Pins -------------------------------------------------------------------------------------- */

/* Where the block stands in the list, or would stand. */
static uint32_t pin_find(const struct arena *a, uint32_t at)
{
	uint32_t i = 0;

	while (i < a->n_pins && a->pin[i] < at)
		i++;
	return i;
}

static bool is_pinned(const struct arena *a, uint32_t at)
{
	uint32_t i = pin_find(a, at);

	return i < a->n_pins && a->pin[i] == at;
}

static void pin(struct arena *a, uint32_t at)
{
	uint32_t i = pin_find(a, at);

	memmove(&a->pin[i + 1], &a->pin[i], (a->n_pins - i) * sizeof(*a->pin));
	a->pin[i] = at;
	a->n_pins++;
}

void arena_unpin(struct arena *a, uint32_t off)
{
	uint32_t i = pin_find(a, off - a->start);

	BUG_ON(i == a->n_pins || a->pin[i] != off - a->start);
	a->n_pins--;
	a->failed_size = UINT32_MAX; /* it may have been in the way */
	memmove(&a->pin[i], &a->pin[i + 1], (a->n_pins - i) * sizeof(*a->pin));
}

/*
 * Whether a pinned block reaches into the zone. *next is where to look in the list: 0 at first, and
 * not touched while zones are asked about from low to high.
 */
static bool zone_is_pinned(const struct arena *a, uint32_t z, uint32_t *next)
{
	while (*next < a->n_pins && piece_end(a, a->pin[*next]) <= zone_start(a, z))
		++*next;
	return *next < a->n_pins && a->pin[*next] < zone_end(a, z);
}

/* -- Windows ----------------------------------------------------------------------------------- */

/* The zone with the most room of those where nothing is pinned. */
static uint32_t best_unpinned(const struct arena *a)
{
	uint32_t best = 0, room = 0, next = 0;

	for (uint32_t z = 0; z < a->n_zones; z++)
		if (zone_room(a, z) > room && !zone_is_pinned(a, z, &next)) {
			room = zone_room(a, z);
			best = z;
		}
	return best;
}

/* The zone with the most room, if that is a SMALL-th of a zone: less is not worth the work. */
static bool window_of_one(const struct arena *a, uint32_t *ret_lo, uint32_t *ret_hi)
{
	uint32_t i = 1, least = (UINT32_C(1) << a->zone_shift) / SMALL, next = 0;

	if (a->room[1] < least)
		return false;
	while (i < a->leaves)
		i = 2 * i + (a->room[2 * i + 1] > a->room[2 * i]);
	i -= a->leaves;
	if (zone_is_pinned(a, i, &next)) {
		i = best_unpinned(a);
		next = 0;
		if (zone_room(a, i) < least || zone_is_pinned(a, i, &next))
			return false;
	}
	*ret_lo = *ret_hi = i;
	return true;
}

/* The run of zones with room for the size and the least to move; false when that is too much. */
static bool window_find(const struct arena *a, uint32_t size, uint32_t *ret_lo, uint32_t *ret_hi)
{
	uint64_t used = 0, room = 0, best = UINT64_MAX, zone = UINT64_C(1) << a->zone_shift;
	uint32_t lo = 0, next = 0;

	for (uint32_t hi = 0; hi < a->n_zones; hi++) {
		if (zone_is_pinned(a, hi, &next)) {
			used = room = 0;
			lo = hi + 1;
			continue;
		}
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
 * Makes one gap of all those in zones lo .. hi and returns it. Blocks that reach into the window from
 * below or out of it above stay; what they leave of it lies between them.
 */
static uint32_t window_slide(struct arena *a, uint32_t lo, uint32_t hi)
{
	uint32_t end = zone_end(a, hi), from = block_from(a, zone_start(a, lo)), to = from, next;
	uint32_t before = piece_before(a, from);

	if (before != BITS_NONE && is_gap(a, before)) {
		to = before;
		gap_forget(a, before);
	}
	while (from < units(a) && (next = piece_end(a, from)) <= end) {
		if (from != to) {
			zone_count(a, from, next - from, false);
			zone_count(a, to, next - from, true);
			bits_clear(&a->begins, from);
			bits_set(&a->begins, to);
			a->moved += next - from;
			a->move(a->arg, a->start + from, a->start + to, next - from);
		}
		to += next - from;
		from = next;
		if (is_gap(a, from)) {
			next = piece_end(a, from);
			gap_forget(a, from);
			from = next;
		}
	}
	if (from == to)
		return ARENA_NONE;
	gap_make(a, to, from);
	return to;
}

/* -- Blocks ------------------------------------------------------------------------------------ */

/* The window for a size that is not small; false when there is none, or it would be too dear. */
static bool window_for(struct arena *a, uint32_t size, uint32_t *ret_lo, uint32_t *ret_hi)
{
	/* one that has just failed, and evicts one by one, is not worth a long look each time */
	if (size >= a->failed_size && a->used + a->failed_size / 2 > a->failed_used)
		return false;
	if (window_find(a, size, ret_lo, ret_hi))
		return true;
	a->failed_size = size;
	a->failed_used = a->used;
	return false;
}

/* Moves blocks until one gap holds the size; returns it, or NONE. */
static uint32_t make_room(struct arena *a, uint32_t size)
{
	uint32_t lo = 0, hi = 0;
	bool found = size <= (UINT32_C(1) << a->zone_shift) / SMALL ? window_of_one(a, &lo, &hi)
	                                                            : window_for(a, size, &lo, &hi);

	return found ? window_slide(a, lo, hi) : ARENA_NONE;
}

/* Makes a block at the start of a gap, or further up in it, and gaps of what is left. */
static void insert(struct arena *a, uint32_t gap, uint32_t at, uint32_t size)
{
	uint32_t end = piece_end(a, gap);

	gap_forget(a, gap);
	bits_set(&a->begins, at);
	if (at != gap)
		gap_make(a, gap, at);
	if (end - at - size >= ARENA_LEAST)
		gap_make(a, at + size, end);
	else
		size = end - at;
	zone_count(a, at, size, true);
	a->used += size;
}

uint32_t arena_place(struct arena *a, uint32_t size)
{
	uint32_t gap;

	BUG_ON(size < ARENA_LEAST);
	if (size > units(a) - a->used)
		return ARENA_NONE;
	gap = gap_find(a, size);
	if (gap == ARENA_NONE)
		gap = make_room(a, size);
	if (gap == ARENA_NONE)
		return ARENA_NONE;
	BUG_ON(piece_end(a, gap) - gap < size);
	insert(a, gap, gap, size);
	return a->start + gap;
}

/* The gap that a window begins with, or the first in it. */
static uint32_t first_gap(const struct arena *a, uint32_t zone)
{
	uint32_t at = block_from(a, zone_start(a, zone)), before = piece_before(a, at);

	if (before != BITS_NONE && is_gap(a, before))
		return before;
	while (at < units(a) && !is_gap(a, at))
		at = piece_end(a, at);
	return at < units(a) ? at : ARENA_NONE;
}

/* Where to gather the size: a gap that holds it, or the first of those that will; NONE: nowhere. */
static uint32_t gather_from(struct arena *a, uint32_t size)
{
	uint32_t gap, lo = 0, hi = 0;

	if (size > units(a) - a->used || a->n_pins == ARENA_PINS)
		return ARENA_NONE;
	gap = gap_find(a, size);
	if (gap == ARENA_NONE && window_for(a, size, &lo, &hi))
		gap = first_gap(a, lo);
	return gap;
}

/* Takes in the gap behind the block. */
static void absorb(struct arena *a, uint32_t gap)
{
	uint32_t size = piece_end(a, gap) - gap;

	gap_forget(a, gap);
	zone_count(a, gap, size, true);
	a->used += size;
}

/* Changes places with the block above; returns where it is then. */
static uint32_t change_places(struct arena *a, uint32_t at)
{
	uint32_t above = piece_end(a, at), size = piece_end(a, above) - above;

	bits_clear(&a->begins, above);
	bits_set(&a->begins, at + size);
	a->pin[pin_find(a, at)] = at + size;
	a->moved += size;
	a->move(a->arg, a->start + above, a->start + at, size);
	return at + size;
}

/* Takes in the gap before the block, which is pinned; returns where it begins then. */
static uint32_t absorb_below(struct arena *a, uint32_t gap, uint32_t at)
{
	a->pin[pin_find(a, at)] = gap;
	zone_count(a, gap, at - gap, true);
	a->used += at - gap;
	gap_forget(a, gap);
	bits_clear(&a->begins, at);
	bits_set(&a->begins, gap);
	return gap;
}

/* Gives back what a block has too much. */
static void trim(struct arena *a, uint32_t at, uint32_t size)
{
	uint32_t end = piece_end(a, at);

	if (end - at - size < ARENA_LEAST)
		return;
	zone_count(a, at + size, end - at - size, false);
	a->used -= end - at - size;
	gap_make(a, at + size, end);
}

int arena_gather(struct arena *a, uint32_t size, uint32_t work, uint32_t *off)
{
	uint64_t done = 0;
	uint32_t at, above, below;

	BUG_ON(size < ARENA_LEAST);
	if (*off == ARENA_NONE) {
		at = gather_from(a, size);
		if (at == ARENA_NONE)
			return -ENOSPC;
		above = piece_end(a, at) - at;
		insert(a, at, at, above < size ? above : size);
		pin(a, at);
	} else {
		at = *off - a->start;
	}
	while (piece_end(a, at) - at < size) {
		above = piece_end(a, at);
		*off = a->start + at;
		if (done >= work)
			return -EAGAIN;
		done += STEP;
		if (above == units(a) || is_pinned(a, above)) {
			below = piece_before(a, at);
			if (below != BITS_NONE && is_gap(a, below)) {
				at = absorb_below(a, below, at);
				continue;
			}
			if (below != BITS_NONE && !is_pinned(a, below))
				return -ENOSPC;
			arena_unpin(a, *off);
			arena_remove(a, *off);
			*off = ARENA_NONE;
			return -ENOSPC;
		}
		if (is_gap(a, above)) {
			absorb(a, above);
		} else {
			done += piece_end(a, above) - above;
			at = change_places(a, at);
		}
	}
	trim(a, at, size);
	*off = a->start + at;
	return 0;
}

bool arena_append(struct arena *a, uint32_t off, uint32_t size)
{
	uint32_t last = piece_before(a, units(a)), at = off - a->start;

	BUG_ON(size < ARENA_LEAST);
	if (off < a->start || off > a->end || size > a->end - off || !is_gap(a, last) || at < last)
		return false;
	if (at != last + 1) {
		insert(a, last, at, size);
		return true;
	}
	/* the unit between is of the block before */
	if (last == 0)
		return false;
	gap_forget(a, last);
	zone_count(a, last, 1, true);
	a->used++;
	insert(a, at, at, size);
	return true;
}

void arena_remove(struct arena *a, uint32_t off)
{
	uint32_t at = off - a->start, end = piece_end(a, at), before = piece_before(a, at);

	zone_count(a, at, end - at, false);
	a->used -= end - at;
	bits_clear(&a->begins, at);
	if (is_gap(a, end)) {
		uint32_t gap = end;

		end = piece_end(a, gap);
		gap_forget(a, gap);
	}
	if (before != BITS_NONE && is_gap(a, before))
		at = before;
	gap_make(a, at, end);
}

uint32_t arena_size(const struct arena *a, uint32_t off)
{
	return piece_end(a, off - a->start) - (off - a->start);
}

uint32_t arena_before(const struct arena *a, uint32_t off)
{
	return a->start + piece_before(a, off - a->start);
}

int arena_init(struct arena *a, uint32_t start, uint32_t end, arena_move_fn *move, void *arg)
{
	*a = (struct arena){.start = start, .end = end};
	a->failed_size = UINT32_MAX;
	a->move = move;
	a->arg = arg;
	a->zone_shift = MIN_ZONE_SHIFT;
	while ((end - start) >> a->zone_shift >= MAX_ZONES)
		a->zone_shift++;
	a->n_zones = ((units(a) - 1) >> a->zone_shift) + 1;
	for (a->leaves = 1; a->leaves < a->n_zones;)
		a->leaves *= 2;
	a->room = calloc(2 * (size_t)a->leaves, sizeof(*a->room));
	a->bin = calloc(ARENA_BINS, sizeof(*a->bin));
	if (!a->room || !a->bin || bits_init(&a->begins, units(a) + 1)) {
		arena_release(a);
		return -ENOMEM;
	}
	for (uint32_t z = 0; z < a->n_zones; z++)
		zone_set_room(a, z, zone_end(a, z) - zone_start(a, z));
	bits_set(&a->begins, units(a));
	gap_make(a, 0, units(a));
	return 0;
}

void arena_release(struct arena *a)
{
	bits_release(&a->begins);
	free(a->bin);
	free(a->room);
	*a = (struct arena){0};
}
