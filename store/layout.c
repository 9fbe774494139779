/* SPDX-License-Identifier: MIT */
#include "store/layout.h"

/* How often a torn clock is read again: a writer that is alive needs a few nanoseconds. */
#define TRIES 64

/* What a whole clock says, in *ret; false: it is torn. */
static bool read_clock(const struct layout_clock *c, uint64_t host, int64_t boottime_us,
                       struct instant *ret)
{
	uint64_t boottime = layout_load(&c->boottime_us), base = layout_load(&c->base_us);
	uint64_t bits = layout_load(&c->scale), of = layout_load(&c->host);
	int64_t passed, at;
	double scale;

	if (layout_load(&c->check) != layout_clock_check(boottime, base, bits, of))
		return false;
	*ret = INSTANT_NEVER;
	memcpy(&scale, &bits, sizeof(scale));
	if (!(scale > 0 && scale <= 1e9) || (host && of && host != of) ||
	    __builtin_sub_overflow(boottime_us, (int64_t)boottime, &passed))
		return true;
	if (scale != 1)
		passed = span_from_s((double)passed * 1e-6 * scale).us;
	if (!__builtin_add_overflow((int64_t)base, passed, &at))
		*ret = (struct instant){at};
	return true;
}

struct instant layout_now(const struct layout_header *h, uint64_t host, int64_t boottime_us)
{
	struct instant at;

	for (int i = 0; i < TRIES; i++)
		if (read_clock(&h->clock[i % 2], host, boottime_us, &at))
			return at;
	return INSTANT_NEVER;
}
