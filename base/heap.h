/* SPDX-License-Identifier: MIT */
/*
 * Timers: which item is due first. A binary heap of (due, order set, item); items are small numbers
 * that the caller chose (key or flight ids), each at most once in the heap, and can be moved.
 *
 * INVARIANTS items that are due at the same instant come out in the order in which they were set,
 * so that a replay does not depend on how the heap happens to lie.
 */
#ifndef FORECACHED_BASE_HEAP_H
#define FORECACHED_BASE_HEAP_H

#include "base/instant.h"

#include <stdbool.h>
#include <stddef.h>

struct heap_slot;

struct heap {
	struct heap_slot *slot; /* the tree */
	size_t n, cap;
	uint32_t *where; /* item -> index + 1 in the tree, 0 when absent */
	size_t n_where;
	uint64_t seq;
};

/* An all-zero struct heap is empty and usable. */
void heap_release(struct heap *h);

/* The same of one that nobody needs any more, piece by piece; true: that was all. */
bool heap_give_back(struct heap *h);

/* Room for items 0 .. items-1 without moving what there is; no matter if there is none to be had. */
void heap_reserve(struct heap *h, size_t items);

/* Sets or moves the item's timer. */
void heap_set(struct heap *h, uint32_t item, struct instant due);

/* Takes the item out; no effect when it is not in. */
void heap_cancel(struct heap *h, uint32_t item);

/* When the item is due, or INSTANT_NEVER when it has no timer. */
struct instant heap_due(const struct heap *h, uint32_t item);

/* When the first item is due; INSTANT_NEVER when the heap is empty. */
struct instant heap_next(const struct heap *h);

/* Takes out the first item that is due at or before now. False when there is none. */
bool heap_pop(struct heap *h, struct instant now, uint32_t *ret_item);

#endif
