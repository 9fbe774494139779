/* SPDX-License-Identifier: MIT */
#include "base/heap.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

struct heap_slot {
	struct instant due;
	uint64_t seq;
	uint32_t item;
};

void heap_release(struct heap *h)
{
	free(h->slot);
	free(h->where);
	*h = (struct heap){0};
}

bool heap_give_back(struct heap *h)
{
	size_t bytes = h->cap * sizeof(*h->slot), of_where = h->n_where * sizeof(*h->where);
	void *p = h->slot, *where = h->where;

	h->n = 0;
	if (p) {
		if (mem_give_back(&p, &bytes))
			bytes = 0;
		h->slot = p;
		h->cap = bytes / sizeof(*h->slot);
		return !p && !where;
	}
	mem_give_back(&where, &of_where);
	h->where = where;
	h->n_where = of_where / sizeof(*h->where);
	return !where;
}

void heap_reserve(struct heap *h, size_t items)
{
	/* zeroed by the system as it is touched, unlike what a realloc adds */
	uint32_t *where = h->n_where < items ? calloc(items, sizeof(*where)) : NULL;
	struct heap_slot *slot = h->cap < items ? realloc(h->slot, items * sizeof(*slot)) : NULL;

	if (where) {
		if (h->n_where)
			memcpy(where, h->where, h->n_where * sizeof(*where));
		free(h->where);
		h->where = where;
		h->n_where = items;
	}
	if (slot) {
		h->slot = slot;
		h->cap = items;
	}
}

static bool before(const struct heap_slot *a, const struct heap_slot *b)
{
	return a->due.us != b->due.us ? a->due.us < b->due.us : a->seq < b->seq;
}

static void place(struct heap *h, size_t i, struct heap_slot s)
{
	h->slot[i] = s;
	h->where[s.item] = (uint32_t)i + 1;
}

static void sift_up(struct heap *h, size_t i, struct heap_slot s)
{
	while (i > 0 && before(&s, &h->slot[(i - 1) / 2])) {
		place(h, i, h->slot[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	place(h, i, s);
}

static void sift_down(struct heap *h, size_t i, struct heap_slot s)
{
	for (;;) {
		size_t c = 2 * i + 1;

		if (c >= h->n)
			break;
		if (c + 1 < h->n && before(&h->slot[c + 1], &h->slot[c]))
			c++;
		if (!before(&h->slot[c], &s))
			break;
		place(h, i, h->slot[c]);
		i = c;
	}
	place(h, i, s);
}

/* Puts s where slot i was, whichever way it has to move. */
static void settle(struct heap *h, size_t i, struct heap_slot s)
{
	if (i > 0 && before(&s, &h->slot[(i - 1) / 2]))
		sift_up(h, i, s);
	else
		sift_down(h, i, s);
}

void heap_set(struct heap *h, uint32_t item, struct instant due)
{
	struct heap_slot s = {due, h->seq++, item};

	if (item >= h->n_where) {
		size_t n = h->n_where ? h->n_where : 64;

		while (n <= item)
			n *= 2;
		h->where = mem_realloc(h->where, n, sizeof(*h->where));
		memset(h->where + h->n_where, 0, (n - h->n_where) * sizeof(*h->where));
		h->n_where = n;
	}
	if (h->where[item]) {
		settle(h, h->where[item] - 1, s);
		return;
	}
	if (h->n == h->cap) {
		h->cap = h->cap ? 2 * h->cap : 64;
		h->slot = mem_realloc(h->slot, h->cap, sizeof(*h->slot));
	}
	sift_up(h, h->n++, s);
}

static void take_out(struct heap *h, size_t i)
{
	struct heap_slot last = h->slot[--h->n];

	h->where[h->slot[i].item] = 0;
	if (i < h->n)
		settle(h, i, last);
}

void heap_cancel(struct heap *h, uint32_t item)
{
	if (item < h->n_where && h->where[item])
		take_out(h, h->where[item] - 1);
}

struct instant heap_due(const struct heap *h, uint32_t item)
{
	return item < h->n_where && h->where[item] ? h->slot[h->where[item] - 1].due
	                                           : INSTANT_NEVER;
}

struct instant heap_next(const struct heap *h)
{
	return h->n ? h->slot[0].due : INSTANT_NEVER;
}

bool heap_pop(struct heap *h, struct instant now, uint32_t *ret_item)
{
	if (!h->n || h->slot[0].due.us > now.us)
		return false;
	*ret_item = h->slot[0].item;
	take_out(h, 0);
	return true;
}
