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

/*
 * Gives up to MEM_PIECE of a block of *bytes back to the system; true: that was all, and *p is NULL. To
 * free megabytes in one go is a pause.
 */
#define MEM_PIECE ((size_t)1 << 19)
bool mem_give_back(void **p, size_t *bytes);

/* A copy of n bytes with a NUL behind it. The caller frees. */
char *mem_dup(const void *p, size_t n);

#endif
