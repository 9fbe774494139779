/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/unpack.h"

#include "base/mem.h"
#include "store/layout.h"

#include <stdlib.h>
#include <time.h>

/* Memory of a larger value is not kept for the next. */
static const size_t KEEP_BYTES = 1 << 20;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/*
 * Memory for n bytes, in place of what was there. Without memory the daemon ends, as elsewhere: a command
 * that took the value for absent would put another in its place.
 */
static void make_room(struct unpack *u, size_t n)
{
	if (u->buf && n <= u->cap && u->cap <= KEEP_BYTES)
		return;
	free(u->buf);
	u->buf = mem_realloc(NULL, n, 1);
	u->cap = n;
}

static bool unpack(struct unpack *u, struct bytes frame, struct bytes *ret)
{
	uint64_t n;

	if (!u->unpacker)
		u->unpacker = unpacker_new();
	if (!u->unpacker || !packed_bytes(frame, LAYOUT_MAX_VALUE_BYTES, &n))
		return false;
	make_room(u, (size_t)n);
	if (!unpacker_unpack(u->unpacker, frame, u->buf, n))
		return false;
	*ret = bytes_of(u->buf, (size_t)n);
	return true;
}

bool unpack_value(struct unpack *u, struct bytes frame, struct bytes *ret)
{
	uint64_t began = now_ns();

	if (!unpack(u, frame, ret)) {
		u->failed++;
		return false;
	}
	u->ns += now_ns() - began;
	u->values++;
	u->bytes += ret->n;
	return true;
}

void unpack_release(struct unpack *u)
{
	unpacker_free(&u->unpacker);
	free(u->buf);
	*u = (struct unpack){0};
}
