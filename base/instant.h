/* SPDX-License-Identifier: MIT */
/*
 * Points in time and lengths of time, as two types that do not mix.
 *
 * Both count whole microseconds. An instant counts from 1970-01-01T00:00:00Z on the one clock of
 * whoever runs the engine: the daemon's clock, or the simulator's. Nothing at this level reads a
 * clock; instants are handed in.
 */
#ifndef FORECACHED_BASE_INSTANT_H
#define FORECACHED_BASE_INSTANT_H

#include <stdbool.h>
#include <stdint.h>

struct instant {
	int64_t us;
};

struct span {
	int64_t us;
};

#define INSTANT_NEVER ((struct instant){INT64_MAX})
#define INSTANT_NONE  ((struct instant){INT64_MIN}) /* "has not happened" */
#define SPAN_ZERO     ((struct span){0})
#define SPAN_US(n)    ((struct span){(int64_t)(n)})
#define SPAN_MS(n)    ((struct span){(int64_t)(n)*1000})
#define SPAN_S(n)     ((struct span){(int64_t)(n)*1000000})

/* The longest length of time we deal in, 100 years: keeps every sum below far from overflow. */
#define SPAN_MAX ((struct span){INT64_C(3155760000000000)})

static inline struct instant instant_add(struct instant t, struct span d)
{
	return t.us == INT64_MAX || t.us == INT64_MIN ? t : (struct instant){t.us + d.us};
}

/* a - b; the caller sees to it that neither is NEVER or NONE. */
static inline struct span instant_diff(struct instant a, struct instant b)
{
	return (struct span){a.us - b.us};
}

static inline bool instant_before(struct instant a, struct instant b)
{
	return a.us < b.us;
}

static inline bool instant_is_set(struct instant t)
{
	return t.us != INT64_MAX && t.us != INT64_MIN;
}

static inline struct instant instant_min(struct instant a, struct instant b)
{
	return a.us < b.us ? a : b;
}

static inline struct instant instant_max(struct instant a, struct instant b)
{
	return a.us > b.us ? a : b;
}

static inline double span_s(struct span d)
{
	return (double)d.us * 1e-6;
}

static inline double instant_s(struct instant t)
{
	return (double)t.us * 1e-6;
}

/*
 * Seconds to the nearest microsecond; clipped to +-SPAN_MAX, so any finite or infinite s will do.
 */
static inline struct span span_from_s(double s)
{
	if (!(s < 3155760000.0))
		return SPAN_MAX;
	if (s < -3155760000.0)
		return (struct span){-SPAN_MAX.us};
	return (struct span){(int64_t)(s * 1e6 + (s < 0 ? -0.5 : 0.5))};
}

static inline struct instant instant_from_s(double s)
{
	return (struct instant){span_from_s(s).us};
}

static inline struct span span_clip(struct span d, struct span lo, struct span hi)
{
	return d.us < lo.us ? lo : d.us > hi.us ? hi : d;
}

#endif
