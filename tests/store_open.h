/* SPDX-License-Identifier: GPL-3.0-or-later */
/* store_create and store_attach for tests that are not about their errors: NULL stands for any. */
#ifndef FORECACHED_TESTS_STORE_OPEN_H
#define FORECACHED_TESTS_STORE_OPEN_H

#include "store/store.h"

static inline struct store *created(void *mem, uint64_t bytes, uint64_t boot_id,
                                    struct store_clock clock)
{
	struct store *s;

	return store_create(mem, bytes, boot_id, clock, &s) ? NULL : s;
}

static inline struct store *attached(void *mem, uint64_t bytes, uint64_t boot_id,
                                     struct store_clock clock, struct instant now,
                                     uint64_t *ret_kept, uint64_t *ret_dropped)
{
	struct store *s;

	return store_attach(mem, bytes, boot_id, clock, now, ret_kept, ret_dropped, &s) ? NULL : s;
}

#endif
