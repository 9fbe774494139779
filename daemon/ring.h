/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A queue of pointers from one thread to one other, without locks. What the producer wrote before
 * ring_put, the consumer sees after ring_take.
 */
#ifndef FORECACHED_DAEMON_RING_H
#define FORECACHED_DAEMON_RING_H

#include "base/mem.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

struct ring {
	void **slot;
	size_t cap;                       /* a power of two */
	_Alignas(64) _Atomic size_t put;  /* count of all that were put; the producer's */
	_Alignas(64) _Atomic size_t took; /* the consumer's */
};

static inline void ring_init(struct ring *r, size_t at_least)
{
	r->cap = 16;
	while (r->cap < at_least)
		r->cap *= 2;
	r->slot = mem_calloc(r->cap, sizeof(*r->slot));
	atomic_init(&r->put, 0);
	atomic_init(&r->took, 0);
}

static inline void ring_release(struct ring *r)
{
	free(r->slot);
	r->slot = NULL;
}

/* How many wait; exact for the producer's and the consumer's thread as of some instant just passed.
 */
static inline size_t ring_count(struct ring *r)
{
	return atomic_load_explicit(&r->put, memory_order_acquire) -
	       atomic_load_explicit(&r->took, memory_order_acquire);
}

/* False when it is full. */
static inline bool ring_put(struct ring *r, void *p)
{
	size_t put = atomic_load_explicit(&r->put, memory_order_relaxed);

	if (put - atomic_load_explicit(&r->took, memory_order_acquire) == r->cap)
		return false;
	r->slot[put & (r->cap - 1)] = p;
	atomic_store_explicit(&r->put, put + 1, memory_order_release);
	return true;
}

/* NULL when it is empty. */
static inline void *ring_take(struct ring *r)
{
	size_t took = atomic_load_explicit(&r->took, memory_order_relaxed);
	void *p;

	if (took == atomic_load_explicit(&r->put, memory_order_acquire))
		return NULL;
	p = r->slot[took & (r->cap - 1)];
	atomic_store_explicit(&r->took, took + 1, memory_order_release);
	return p;
}

#endif
