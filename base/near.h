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
	size_t slips; /* how many slips away it is; none was offered: from so many on it is not near */
};

/*
 * Wrong must live as long. Near is at most one slip for each three letters that were begun: a letter that is
 * another, too much or left out, two that are swapped, or the whole of the end left out. What has 64 bytes or
 * more is near to nothing. Of names as near as each other it is the first that was offered.
 */
struct near near_to(struct bytes wrong);
void near_offer(struct near *n, const char *name);

#endif
