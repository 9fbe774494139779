/* SPDX-License-Identifier: MIT */
#include "base/zone.h"

const struct zone zone_utc = {0};

int32_t zone_offset_at(const struct zone *z, struct instant t, struct instant *ret_until)
{
	size_t lo = 0, hi = z->n_offsets;

	/* the first row after t */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (z->offset[mid].from.us <= t.us)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (ret_until)
		*ret_until = lo < z->n_offsets ? z->offset[lo].from : INSTANT_NEVER;
	if (!z->n_offsets)
		return 0;
	return z->offset[lo ? lo - 1 : 0].offset_s;
}

double zone_local_s(const struct zone *z, struct instant t)
{
	return instant_s(t) + zone_offset_at(z, t, NULL);
}

enum zone_day_kind zone_day_kind(const struct zone *z, int32_t local_day)
{
	size_t lo = 0, hi = z->n_days;
	int32_t weekday;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (z->day[mid].day < local_day)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < z->n_days && z->day[lo].day == local_day)
		return (enum zone_day_kind)z->day[lo].kind;
	/* 1970-01-01 was a Thursday: Monday is 0 */
	weekday = (local_day + 3) % 7;
	if (weekday < 0)
		weekday += 7;
	return weekday < 5 ? ZONE_WEEKDAY : weekday == 5 ? ZONE_SATURDAY : ZONE_SUNDAY;
}
