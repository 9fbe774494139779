/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* madvise */
#include "base/mem.h"

#include "base/bug.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* What advice is given about: the least that may be a page. */
#define PAGE ((uintptr_t)4096)

/*
 * malloc maps a large block by itself, with 16 bytes of its own before it: rounded down, a block's
 * start is that of the mapping.
 */
static void ask(const void *block, uintptr_t end)
{
#ifdef MADV_HUGEPAGE
	uintptr_t start = (uintptr_t)block & ~(PAGE - 1);

	/* it is advice: what cannot be had is done without */
	if (end > start)
		(void)madvise((void *)start, end - start, MADV_HUGEPAGE);
#else
	(void)block, (void)end;
#endif
}

/* Not any more; the mapping is two then. */
static void ask_not(uintptr_t start, uintptr_t end)
{
#ifdef MADV_NOHUGEPAGE
	if (end > start)
		(void)madvise((void *)start, end - start, MADV_NOHUGEPAGE);
#else
	(void)start, (void)end;
#endif
}

/* Where what is asked for ends, of so many bytes from p on. */
static uintptr_t huge_end(const void *p, size_t bytes)
{
	return ((uintptr_t)p + bytes) & ~(uintptr_t)(MEM_HUGE - 1);
}

static uintptr_t last_page(void *p)
{
	return ((uintptr_t)p + (p ? malloc_usable_size(p) : 0)) & ~(PAGE - 1);
}

void mem_ask_for_huge(void *p, size_t bytes)
{
	ask(p, huge_end(p, bytes));
}

void *mem_calloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	BUG_ON(!p);
	return p;
}

void *mem_realloc(void *p, size_t n, size_t size)
{
	BUG_ON(size && n > SIZE_MAX / size);
	p = realloc(p, n * size > 0 ? n * size : 1);
	BUG_ON(!p);
	return p;
}

void *mem_grow_filled(void *p, size_t n, size_t size, size_t bytes)
{
	size_t asked = mem_asked(bytes);

	/* asked for in part it is two mappings: the system moves only one, and else it is copied */
	if (asked)
		ask(p, last_page(p));
	p = mem_realloc(p, n, size);
	/* what moved has the advice in full */
	if (asked)
		ask_not(huge_end(p, asked), last_page(p));
	return p;
}

void *mem_reserve(size_t n, size_t size)
{
	return n <= (SIZE_MAX - MEM_LINE) / size
	               ? aligned_alloc(MEM_LINE, (n * size + MEM_LINE - 1) & ~(MEM_LINE - 1))
	               : NULL;
}

char *mem_dup(const void *p, size_t n)
{
	char *d = mem_calloc(n + 1, 1);

	if (n)
		memcpy(d, p, n);
	return d;
}

bool mem_give_back(void **p, size_t *bytes)
{
	void *less;

	if (!*p || *bytes <= MEM_PIECE) {
		free(*p);
		*p = NULL;
		*bytes = 0;
		return true;
	}
	*bytes -= MEM_PIECE;
	less = realloc(*p, *bytes);
	*p = less ? less : *p;
	return false;
}
