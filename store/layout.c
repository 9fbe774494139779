/* SPDX-License-Identifier: MIT */
#include "store/layout.h"

/* How often a torn clock is read again: a writer that is alive needs a few nanoseconds. */
#define TRIES 64

struct instant layout_now(const struct layout_header *h, int64_t boottime_us)
{
	const struct layout_clock *c = &h->clock;
	uint64_t boottime, base, bits;
	int64_t passed, at;
	double scale;

	for (int i = 0; i < TRIES; i++) {
		boottime = layout_load(&c->boottime_us);
		base = layout_load(&c->base_us);
		bits = layout_load(&c->scale);
		if (layout_load(&c->check) != layout_clock_check(boottime, base, bits))
			continue;
		memcpy(&scale, &bits, sizeof(scale));
		if (!(scale > 0 && scale <= 1e9) ||
		    __builtin_sub_overflow(boottime_us, (int64_t)boottime, &passed))
			break;
		if (scale != 1)
			passed = span_from_s((double)passed * 1e-6 * scale).us;
		if (__builtin_add_overflow((int64_t)base, passed, &at))
			break;
		return (struct instant){at};
	}
	return INSTANT_NEVER;
}
