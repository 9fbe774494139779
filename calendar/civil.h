/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Dates of the Gregorian calendar, counted in days since 1970-01-01, which was a Thursday.
 * The arithmetic is the usual one with years that begin in March, so that the leap day comes last.
 */
#ifndef FORECACHED_CALENDAR_CIVIL_H
#define FORECACHED_CALENDAR_CIVIL_H

#include <stdbool.h>
#include <stdint.h>

struct civil {
	int64_t year;
	int month, day; /* 1..12, 1..31 */
};

static inline int64_t civil_floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static inline int64_t civil_days(int64_t year, int month, int day)
{
	int64_t y = year - (month <= 2);
	int64_t era = civil_floor_div(y, 400);
	int64_t in_era = y - era * 400;
	int64_t in_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719468;
}

static inline struct civil civil_of(int64_t days)
{
	int64_t z = days + 719468;
	int64_t era = civil_floor_div(z, 146097);
	int64_t in_era = z - era * 146097;
	int64_t y = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	int64_t in_year = in_era - (365 * y + y / 4 - y / 100);
	int64_t m = (5 * in_year + 2) / 153;
	struct civil c = {.month = (int)(m < 10 ? m + 3 : m - 9),
	                  .day = (int)(in_year - (153 * m + 2) / 5 + 1)};

	c.year = y + era * 400 + (c.month <= 2);
	return c;
}

static inline bool civil_is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static inline int civil_month_days(int64_t year, int month)
{
	static const int8_t n[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return month == 2 && civil_is_leap(year) ? 29 : n[month - 1];
}

/* 0 = Monday .. 6 = Sunday */
static inline int civil_weekday(int64_t days)
{
	int64_t w = (days + 3) % 7;

	return (int)(w < 0 ? w + 7 : w);
}

#endif
