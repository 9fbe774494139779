/* SPDX-License-Identifier: MIT */
/*
 * A time zone and its special days as plain tables, so that the learning can speak of "09:30 in New
 * York" without zone files. calendar/ makes them; a zone with empty tables is UTC with plain weeks.
 */
#ifndef FORECACHED_BASE_ZONE_H
#define FORECACHED_BASE_ZONE_H

#include "base/instant.h"

#include <stddef.h>
#include <stdint.h>

struct zone_offset {
	struct instant from; /* the offset holds from this instant on */
	int32_t offset_s;    /* local time minus UTC */
};

/* Days that share one shape. Holidays take the Sunday shape; a half day has one of its own. */
enum zone_day_kind { ZONE_WEEKDAY, ZONE_SATURDAY, ZONE_SUNDAY, ZONE_HALF_DAY, ZONE_DAY_KINDS };

struct zone_day {
	int32_t day; /* local days since 1970-01-01 */
	uint8_t kind;
};

struct zone {
	const struct zone_offset *offset; /* ascending; before the first row its offset holds too */
	size_t n_offsets;
	const struct zone_day *day; /* ascending; only days that are not what their weekday says */
	size_t n_days;
};

extern const struct zone zone_utc;

/* Seconds since 1970-01-01T00:00:00 on local clocks. */
double zone_local_s(const struct zone *z, struct instant t);

/* The offset in force at t, and the next instant after t at which it changes (or NEVER). */
int32_t zone_offset_at(const struct zone *z, struct instant t, struct instant *ret_until);

enum zone_day_kind zone_day_kind(const struct zone *z, int32_t local_day);

#endif
