/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "examples/market/when.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY_S 86400

int64_t when_boot_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

struct instant when_now(const struct when *w)
{
	return (struct instant){w->start.us +
	                        (int64_t)((double)(when_boot_us() - w->zero_us) * w->scale)};
}

int64_t when_boot_of(const struct when *w, struct instant t)
{
	return w->zero_us + (int64_t)((double)(t.us - w->start.us) / w->scale);
}

void when_sleep_until(int64_t boot_us)
{
	struct timespec ts = {boot_us / 1000000, boot_us % 1000000 * 1000};

	while (clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar, counted in eras of 400 years. */
static int32_t days_of_date(int y, int m, int d)
{
	int era, year_of_era, day_of_year;

	y -= m <= 2; /* years begin in March: a leap day is the last of its year */
	era = (y >= 0 ? y : y - 399) / 400;
	year_of_era = y - era * 400;
	day_of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
	       day_of_year - 719468;
}

int when_weekday(int32_t day)
{
	return (int)(((day + 3) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */
}

/* The n-th Sunday of a month. */
static int32_t nth_sunday(int year, int month, int n)
{
	int32_t first = days_of_date(year, month, 1);

	return first + 6 - when_weekday(first) + 7 * (n - 1);
}

static int year_of_day(int32_t day)
{
	int year = 1970 + (int)(day / 366);

	while (days_of_date(year + 1, 1, 1) <= day)
		year++;
	return year;
}

/* Local time minus UTC, seconds, as it holds from 02:00 of a local day on. */
static int offset_of_day(int32_t day)
{
	int year = year_of_day(day);

	return day >= nth_sunday(year, 3, 2) && day < nth_sunday(year, 11, 1) ? -4 * 3600
	                                                                      : -5 * 3600;
}

struct instant when_day_start(int32_t day)
{
	/* clocks go back and forth at 02:00: midnight still has the offset of the day before */
	return (struct instant){((int64_t)day * DAY_S - offset_of_day(day - 1)) * 1000000};
}

int32_t when_day(struct instant t)
{
	int32_t day = (int32_t)((t.us / 1000000 - 5 * 3600) / DAY_S);

	while (when_day_start(day + 1).us <= t.us)
		day++;
	while (when_day_start(day).us > t.us)
		day--;
	return day;
}

bool when_parse(const char *text, struct instant *ret)
{
	int y, mo, d, h, mi, oh, om, at = 0, tail = 0, offset;
	double s = 0;
	char sign;

	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d%n", &y, &mo, &d, &h, &mi, &at) != 5)
		return false;
	if (text[at] == ':') {
		if (sscanf(text + at, ":%lf%n", &s, &tail) != 1)
			return false;
		at += tail;
	}
	if (y < 1971 || y > 2200 || mo < 1 || mo > 12 || d < 1 || d > 31 || h < 0 || h > 23 ||
	    mi < 0 || mi > 59 || !(s >= 0 && s < 60))
		return false;
	text += at;
	if (*text == '\0') {
		offset = offset_of_day(days_of_date(y, mo, d));
	} else if (strcmp(text, "Z") == 0) {
		offset = 0;
	} else {
		tail = 0;
		if (sscanf(text, "%c%2d:%2d%n", &sign, &oh, &om, &tail) != 3 ||
		    text[tail] != '\0' || (sign != '+' && sign != '-') || oh > 14 || om > 59)
			return false;
		offset = (oh * 3600 + om * 60) * (sign == '-' ? -1 : 1);
	}
	ret->us =
	        ((int64_t)days_of_date(y, mo, d) * DAY_S + h * 3600 + mi * 60 - offset) * 1000000 +
	        (int64_t)(s * 1e6 + 0.5);
	return true;
}

char *when_text(struct instant t, char buf[32])
{
	int32_t day = when_day(t);
	int64_t local_us = t.us - when_day_start(day).us;
	int offset = offset_of_day(day - 1);
	time_t s;
	struct tm tm;
	size_t n;

	if (local_us >= 7200 * INT64_C(1000000))
		offset = offset_of_day(day);
	s = (time_t)(t.us / 1000000 + offset);
	gmtime_r(&s, &tm);
	n = strftime(buf, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + n, 32 - n, "-%02d:00", -offset / 3600);
	return buf;
}
