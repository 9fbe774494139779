/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/policy.h"

struct policy policy_default(void)
{
	return (struct policy){
#define X(name, def, lo, hi, unit, help) .name = def,
	        POLICY_TABLE(X)
#undef X
	                .ttl = TTL_LEARN,
	        .push = PUSH_AUTO,
	};
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
