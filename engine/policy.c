/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/policy.h"

#include <math.h>

struct policy policy_default(void)
{
	return (struct policy){
#define X(name, def, lo, hi, unit, help) .name = def,
	        POLICY_TABLE(X)
#undef X
	                .ttl = TTL_LEARN,
	        .push = PUSH_AUTO,
	        .prewarm = PREWARM_AUTO,
	        .compression = COMPRESSION_OFF,
	};
}

double policy_max_stale_key(const struct policy *y)
{
	/* an average of max_stale needs keys above it, and TTLs that end above their average */
	static const double TIMES = 20, LEAST = 0.3, MOST = 0.95;

	return y->max_stale_key > 0 ? y->max_stale_key
	                            : fmin(fmax(TIMES * y->max_stale, LEAST), MOST);
}

struct origin_policy origin_policy_default(void)
{
	return (struct origin_policy){
#define X(name, def, lo, hi, unit, help) .name = def,
	        ORIGIN_TABLE(X)
#undef X
	};
}

struct engine_limits engine_limits_default(void)
{
	return (struct engine_limits){
#define X(name, def, lo, hi, unit, help) .name = def,
	        LIMIT_TABLE(X)
#undef X
	};
}
