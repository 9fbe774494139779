/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which field of a JSON answer changes at every look, while nothing else does? A time of day or a
 * request id in it makes each value look as volatile as a clock. `why` then says so.
 *
 * HOW IT WORKS of each endpoint one key is watched. The hashes of the members of its objects (two
 * levels deep, what lies deeper counts for its member there) are kept from one answer to the next
 * and compared. All happens in the pass that makes the version of the value.
 *
 * INVARIANTS at most NOISE_MAX_ENDPOINTS endpoints and CONTENT_MAX_PARTS hashes and NOISE_FIELDS
 * names each, below 2 KiB an endpoint. What does not fit counts as one more field, without a name.
 */
#ifndef FORECACHED_DAEMON_NOISE_H
#define FORECACHED_DAEMON_NOISE_H

#include "daemon/content_hash.h"

#define NOISE_MAX_ENDPOINTS 4096
#define NOISE_FIELDS        4

struct noise;

struct noise *noise_new(void);
void noise_free(struct noise **n);

/* content_hash_json of the body; watches it if it is its endpoint's turn. ignore may be NULL. */
uint64_t noise_hash(struct noise *n, struct bytes endpoint, struct bytes key, struct bytes body,
                    const struct content_ignore *ignore);

/*
 * The JSON pointer of a field of the endpoint's answers that changed in 19 of 20 comparisons at
 * least, and alone in half of them; NULL: none, or not compared 20 times yet. Valid until the next
 * noise_hash. *ret_alone of *ret_compared comparisons found nothing else changed.
 */
const char *noise_field(const struct noise *n, struct bytes endpoint, unsigned *ret_alone,
                        unsigned *ret_compared);

#endif
