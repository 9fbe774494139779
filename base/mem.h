/* SPDX-License-Identifier: MIT */
/*
 * Allocation of what we size ourselves: small structs and tables whose growth a configured limit
 * bounds. Running out of those is the end of the process, so there is no error to handle.
 * Anything that a peer sizes is bounded and checked where it enters, before it gets here.
 */
#ifndef FORECACHED_BASE_MEM_H
#define FORECACHED_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed memory for n items of the given size. Never NULL; aborts when there is none. */
void *mem_calloc(size_t n, size_t size);

/* Like realloc(p, n * size) with the product checked. Never NULL for n > 0. */
void *mem_realloc(void *p, size_t n, size_t size);

/* Bytes of a line of the processor's cache. */
#define MEM_LINE ((size_t)64)

/*
 * Address space for n items, not zeroed, which begins with a line of the processor's cache; memory is
 * taken as it is touched. NULL when there is none. Grows by mem_realloc or mem_grow_filled, ends by
 * free.
 */
void *mem_reserve(size_t n, size_t size);

/*
 * LARGE TABLES that are read all over wait for the tables of pages as well as for their memory: a
 * processor knows the places of some two thousand pages at a time. Of 4 KiB these are 8 MiB; of 2 MiB
 * a hundred hold a million keys.
 *
 * mem_filled is told how much of a block, from its start, is in use, each time that this has grown by
 * `more`. From MEM_LARGE on it asks the system to put what is full together into huge pages
 * (MADV_HUGEPAGE), which it does by and by. It does not ask for what is yet to come: a huge page is
 * cleared whole when its first byte is touched, for which a request would wait (0.5 ms, and 4 to 6
 * where a hypervisor has to find the memory), and a process that holds little would not stay small.
 *
 * A block that mem_filled was told of grows by mem_grow_filled, which is told the same bytes: the
 * system moves it, where mem_realloc would copy it. Of no other block is anything asked.
 */
#define MEM_LARGE ((size_t)4 << 20)
#define MEM_HUGE  ((size_t)2 << 20)
void mem_ask_for_huge(void *p, size_t bytes);

/*
 * Of a block that is filled so far, what is asked for: in four steps to each doubling, since to ask
 * may be to wait for the system's own work on huge pages.
 */
static inline size_t mem_asked(size_t bytes)
{
	size_t step = MEM_HUGE;

	while (8 * step <= bytes)
		step *= 2;
	return bytes < MEM_LARGE ? 0 : bytes - bytes % step;
}

static inline void mem_filled(void *p, size_t bytes, size_t more)
{
	if (bytes >= MEM_LARGE && mem_asked(bytes) != mem_asked(bytes - more))
		mem_ask_for_huge(p, mem_asked(bytes));
}

void *mem_grow_filled(void *p, size_t n, size_t size, size_t bytes);

/*
 * Gives up to MEM_PIECE of a block of *bytes back to the system; true: that was all, and *p is NULL. To
 * free megabytes in one go is a pause.
 */
#define MEM_PIECE ((size_t)1 << 19)
bool mem_give_back(void **p, size_t *bytes);

/* A copy of n bytes with a NUL behind it. The caller frees. */
char *mem_dup(const void *p, size_t n);

#endif
