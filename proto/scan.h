/* SPDX-License-Identifier: MIT */
/*
 * A first walk over untrusted msgpack bytes, before msgpack-c sees them: msgpack-c reserves what a
 * header declares (five bytes are enough for 8 GiB), and says "success" with bytes left over.
 *
 * HOW IT WORKS every array, map, string, binary and extension declares a count; each declared
 * element takes at least one byte, so a count above the bytes left is a lie and ends the walk. No
 * memory is taken, no recursion: the stack of open containers is PROTO_MAX_DEPTH long.
 */
#ifndef FORECACHED_PROTO_SCAN_H
#define FORECACHED_PROTO_SCAN_H

#include "base/bytes.h"
#include "proto/error.h"

#include <stddef.h>

/*
 * Checks that `in` is exactly one msgpack value of at most max_elements values (itself and
 * everything within counted) and no extension type. 0, or -EBADMSG and the reason.
 */
int scan_message(struct bytes in, size_t max_elements, struct proto_error *reterr);

/*
 * How many bytes the first value in `in` takes: the way to cut a value out of a message as it is.
 * 0 when `in` does not start with a whole value within the same limits.
 */
size_t scan_value(struct bytes in, size_t max_elements);

#endif
