/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The ETag and Last-Modified of the values that the cache holds, so that the next load can be
 * conditional.
 *
 * HOW IT WORKS a table of buckets of four. An entry is found by a hash of endpoint and key and by
 * the version of the value; of a full bucket the entry that was used longest ago goes. What is lost
 * costs one full answer.
 *
 * INVARIANTS at most `max` entries. An entry is used for exactly the version that it came with: a
 * 304 then speaks of the value that we hold.
 */
#ifndef FORECACHED_DAEMON_VALIDATORS_H
#define FORECACHED_DAEMON_VALIDATORS_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct validators;

struct validator {
	const char *etag, *last_modified; /* NULL: none; valid until the next put */
};

struct validators *validators_new(size_t max);
void validators_free(struct validators **v);

/* Remembers copies. Both texts empty or NULL: forgets the key. */
void validators_put(struct validators *v, struct bytes endpoint, struct bytes key, uint64_t version,
                    const char *etag, const char *last_modified);
bool validators_get(struct validators *v, struct bytes endpoint, struct bytes key, uint64_t version,
                    struct validator *ret);
size_t validators_count(const struct validators *v);

#endif
