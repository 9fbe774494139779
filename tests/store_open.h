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

/* One after the other, the last one first. */
static inline void backwards(unsigned threads, void (*fn)(void *job, unsigned i), void *job, unsigned n)
{
	(void)threads;
	while (n--)
		fn(job, n);
}

/* Every other one with a crew, which must make no difference. Dropped: whatever was not kept. */
static inline struct store *attached(void *mem, uint64_t bytes, uint64_t boot_id,
                                     struct store_clock clock, struct instant now,
                                     uint64_t *ret_kept, uint64_t *ret_dropped)
{
	const struct store_crew crew = {backwards, 3};
	struct store_found found = {0};
	static unsigned calls;
	struct store *s;

	if (store_attach(mem, bytes, boot_id, clock, now, calls++ % 2 ? &crew : NULL, &found, &s))
		s = NULL;
	if (ret_kept)
		*ret_kept = found.kept;
	if (ret_dropped)
		*ret_dropped = found.dropped + found.expired;
	return s;
}

#endif
