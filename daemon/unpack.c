/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/unpack.h"

#include "base/bug.h"
#include "store/layout.h"

#include <time.h>

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static bool unpack(struct unpack *u, struct bytes frame, struct bytes *ret)
{
	uint64_t n;
	void *buf;

	if (!packed_bytes(frame, LAYOUT_MAX_VALUE_BYTES, &n))
		return false;
	buf = unpacker_lend(&u->unpacker, (size_t)n);
	/* a command that took the value for absent would put another in its place */
	BUG_ON(!buf);
	*ret = bytes_of(buf, (size_t)n);
	return unpacker_unpack(&u->unpacker, frame, buf, n);
}

bool unpack_value(struct unpack *u, struct bytes frame, struct bytes *ret)
{
	uint64_t began = now_ns();
	bool whole = unpack(u, frame, ret);

	/* one that is damaged in its last byte takes as long */
	u->ns += now_ns() - began;
	if (!whole) {
		u->failed++;
		return false;
	}
	u->values++;
	u->bytes += ret->n;
	return true;
}
