/* SPDX-License-Identifier: MIT */
/*
 * What was meant by a name that is wrong by a slip of the pen: of the names that are offered, the nearest.
 *
 *	struct near near = near_to(wrong);
 *
 *	near_offer(&near, "ttl_s");
 *	if (near.name)
 *		... did you mean near.name?
 */
#ifndef FORECACHED_BASE_NEAR_H
#define FORECACHED_BASE_NEAR_H

#include "base/bytes.h"

#include <stddef.h>

struct near {
	struct bytes wrong;
	const char *name; /* the nearest that was offered; NULL: none is near */
	size_t best;      /* how many slips away it is */
};

/* Wrong must live as long. One of which more than half is wrong, or that has 64 bytes, is near to nothing. */
struct near near_to(struct bytes wrong);
void near_offer(struct near *n, const char *name);

#endif
