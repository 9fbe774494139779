/* SPDX-License-Identifier: MIT */
/* Numbers and their bounds. */
#ifndef FORECACHED_BASE_RANGE_H
#define FORECACHED_BASE_RANGE_H

#include <stdbool.h>
#include <stddef.h>

/* x, or the bound that it is beyond; hi for NaN. Faster than fmin and fmax, which look for NaN. */
static inline double range_clamp(double x, double lo, double hi)
{
	return x < lo ? lo : x < hi ? x : hi;
}

/* Are all n numbers from lo to hi? NaN is not. */
static inline bool range_holds(const double *v, size_t n, double lo, double hi)
{
	for (size_t i = 0; i < n; i++)
		if (!(v[i] >= lo && v[i] <= hi))
			return false;
	return true;
}

#endif
