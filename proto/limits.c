/* SPDX-License-Identifier: MIT */
#include "proto/limits.h"

struct proto_limits proto_limits_default(void)
{
	return (struct proto_limits){
#define X(name, def, lo, hi, unit, help) .name = (def),
	        PROTO_LIMIT_TABLE(X)
#undef X
	};
}
