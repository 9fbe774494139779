/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "analyzer/key.h"

#include <math.h>

#define WHOLE 65535.0

void key_answered(struct key *k, double hits, double misses)
{
	double take = fmin(hits + misses, KEY_RECENT), keep = fmin(k->recent_n, KEY_RECENT - take);
	double share =
	        (keep * k->recent_hits + take * WHOLE * hits / (hits + misses)) / (keep + take);

	k->recent_hits = (uint16_t)(share + 0.5);
	k->recent_n = (uint8_t)ceil(keep + take);
}

double key_hit_ratio(const struct key *k)
{
	return k->recent_n ? k->recent_hits / WHOLE : NAN;
}
