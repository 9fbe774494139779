/* SPDX-License-Identifier: MIT */
#include "base/mem.h"

#include "base/bug.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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
