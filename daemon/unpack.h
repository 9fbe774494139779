/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Values that are kept compressed (store/packed.h), for the answers of the daemon itself: readers of the
 * segment unpack on their own. It is done on the loop, and timed.
 *
 * OWNERSHIP what unpack_value gives is the struct's, valid until its next call or the end of the turn.
 */
#ifndef FORECACHED_DAEMON_UNPACK_H
#define FORECACHED_DAEMON_UNPACK_H

#include "base/bytes.h"
#include "store/packed.h"

#include <stdbool.h>
#include <stdint.h>

struct unpack {
	struct unpacker unpacker; /* which lends the memory of the value */
	/* so far: values, their bytes, what it took, and those that could not be unpacked */
	uint64_t values, bytes, ns, failed;
};

/* False: the frame is damaged. */
bool unpack_value(struct unpack *u, struct bytes frame, struct bytes *ret);

#endif
