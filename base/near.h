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
	/* by letters, the nearest so far, and how many slips away; none: from so many on it is not near */
	const char *by_letters;
	size_t slips;
	const char *begun; /* the last that begins so, of so many */
	size_t beginnings;
};

/*
 * Wrong must live as long, and the names that are offered. It is the one name that begins so; where none or
 * several do, the one that is nearest by letters, the first of those as near as each other: with at most one
 * slip for each three letters that were begun, of which each is a letter that is another, too much or left out,
 * or two that are swapped. What has 64 bytes or more is near to nothing.
 */
struct near near_to(struct bytes wrong);
void near_offer(struct near *n, const char *name);

#endif
