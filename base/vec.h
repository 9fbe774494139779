/* SPDX-License-Identifier: MIT */
/*
 * A growing array. Declare `VEC(struct effect) list = { 0 };`, then
 *	*vec_push(&list) = x;      appends (new items are not zeroed)
 *	list.v[i], list.n          reads
 *	vec_free(&list);           releases and zeroes
 * Pointers into v are valid until the next push.
 */
#ifndef FORECACHED_BASE_VEC_H
#define FORECACHED_BASE_VEC_H

#include "base/mem.h"

#include <stdlib.h>

#define VEC(type)                                                                                  \
	struct {                                                                                   \
		type *v;                                                                           \
		size_t n, cap;                                                                     \
	}

#define vec_reserve(a, want)                                                                       \
	((a)->cap >= (want) ? (void)0                                                              \
	                    : (void)((a)->cap = (want) < 8              ? 8                        \
	                                        : (want) < 2 * (a)->cap ? 2 * (a)->cap             \
	                                                                : (want),                  \
	                             (a)->v = mem_realloc((a)->v, (a)->cap, sizeof(*(a)->v))))

#define vec_push(a) (vec_reserve((a), (a)->n + 1), &(a)->v[(a)->n++])

#define vec_free(a)                                                                                \
	do {                                                                                       \
		free((a)->v);                                                                      \
		(a)->v = NULL;                                                                     \
		(a)->n = (a)->cap = 0;                                                             \
	} while (0)

#endif
