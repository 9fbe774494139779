/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Values as frames (store/packed.h), for tests that put some so: one packer and unpacker a process. */
#ifndef FORECACHED_TESTS_STORE_PACKED_H
#define FORECACHED_TESTS_STORE_PACKED_H

#include "store/packed.h"

#include <stdlib.h>

/* The frame of a value, good until the next; the value itself if packing saves too little. */
static inline struct bytes packed_or_not(struct bytes value, bool *ret_packed)
{
	static struct packer packer;
	static char *buf;
	static size_t cap;
	size_t n;

	if (cap < value.n) {
		free(buf);
		cap = value.n;
		buf = malloc(cap);
	}
	n = buf ? packer_pack(&packer, 1, value, buf) : 0;
	*ret_packed = n > 0;
	return n ? bytes_of(buf, n) : value;
}

/* The value of a frame, good until the next; NULL and 0: it has none. */
static inline struct bytes unpacked(struct bytes frame)
{
	static struct unpacker unpacker;
	static char *buf;
	uint64_t n;

	free(buf);
	buf = NULL;
	if (!packed_bytes(frame, 1 << 20, &n) || !(buf = malloc(n)) ||
	    !unpacker_unpack(&unpacker, frame, buf, n))
		return bytes_of(NULL, 0);
	return bytes_of(buf, n);
}

#endif
