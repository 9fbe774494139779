/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/zone.c"

#include "tests/tap.h"

#include <string.h>
#include <time.h>

/* The instant of a UTC time like "2026-03-08T07:00:00". */
static struct instant at(const char *utc)
{
	struct tm tm = {0};

	OK(strptime(utc, "%Y-%m-%dT%H:%M:%S", &tm) != NULL, "%s", utc);
	return (struct instant){(int64_t)timegm(&tm) * 1000000};
}

/* The local time as text. */
static const char *local(const struct zone *z, const char *utc)
{
	static char buf[32];
	time_t s = (time_t)zone_local_s(z, at(utc));
	struct tm tm;

	strftime(buf, sizeof(buf), "%Y-%m-%dT%H:%M:%S", gmtime_r(&s, &tm));
	return buf;
}

static struct zone_offset offset[3];

/* New York through 2026: winter, summer from 8 March 02:00, winter from 1 November 02:00. */
static struct zone new_york(void)
{
	offset[0] = (struct zone_offset){at("2025-11-02T06:00:00"), -5 * 3600};
	offset[1] = (struct zone_offset){at("2026-03-08T07:00:00"), -4 * 3600};
	offset[2] = (struct zone_offset){at("2026-11-01T06:00:00"), -5 * 3600};
	return (struct zone){.offset = offset, .n_offsets = 3};
}

TEST(utc_has_no_offset_and_never_changes)
{
	struct instant until = {0};

	OK(zone_offset_at(&zone_utc, at("2026-07-01T00:00:00"), &until) == 0);
	OK(until.us == INT64_MAX);
	NEAR(zone_local_s(&zone_utc, (struct instant){1500000}), 1.5, 0);
}

TEST(the_clock_goes_forward_and_back)
{
	struct zone z = new_york();

	OK(!strcmp(local(&z, "2026-03-08T06:59:59"), "2026-03-08T01:59:59"));
	OK(!strcmp(local(&z, "2026-03-08T07:00:00"), "2026-03-08T03:00:00"));
	OK(!strcmp(local(&z, "2026-11-01T05:59:59"), "2026-11-01T01:59:59"));
	OK(!strcmp(local(&z, "2026-11-01T06:00:00"), "2026-11-01T01:00:00"));
	/* the opening bell is at 09:30 in winter and in summer */
	OK(!strcmp(local(&z, "2026-01-15T14:30:00"), "2026-01-15T09:30:00"));
	OK(!strcmp(local(&z, "2026-07-15T13:30:00"), "2026-07-15T09:30:00"));
}

TEST(says_until_when_an_offset_holds)
{
	struct zone z = new_york();
	struct instant until;

	for (int i = 0; i < 3; i++) {
		OK(zone_offset_at(&z, offset[i].from, &until) == offset[i].offset_s, "row %d", i);
		OK(until.us == (i < 2 ? offset[i + 1].from.us : INT64_MAX), "row %d", i);
		zone_offset_at(&z, (struct instant){offset[i].from.us - 1}, &until);
		OK(until.us == offset[i].from.us, "1 us before row %d", i);
	}
	OK(zone_offset_at(&z, at("1999-01-01T00:00:00"), NULL) == -5 * 3600, "before the table");
	OK(zone_offset_at(&z, INSTANT_NONE, &until) == -5 * 3600);
	OK(zone_offset_at(&z, at("2099-01-01T00:00:00"), NULL) == -5 * 3600, "behind the table");
}

TEST(knows_the_days_of_the_week)
{
	for (int32_t day = -40000; day < 40000; day += 3) {
		time_t s = (time_t)day * 86400;
		struct tm tm;
		enum zone_day_kind want;

		gmtime_r(&s, &tm);
		want = tm.tm_wday == 0   ? ZONE_SUNDAY
		       : tm.tm_wday == 6 ? ZONE_SATURDAY
		                         : ZONE_WEEKDAY;
		OK(zone_day_kind(&zone_utc, day) == want, "day %d", day);
	}
}

TEST(special_days_override_the_week)
{
	/* 2026: New Year on a Thursday, a Saturday at work, a half day on Christmas Eve */
	struct zone_day day[] = {
	        {20454, ZONE_SUNDAY}, {20547, ZONE_WEEKDAY}, {20811, ZONE_HALF_DAY}};
	struct zone z = {.day = day, .n_days = 3};

	OK(zone_day_kind(&zone_utc, 20454) == ZONE_WEEKDAY);
	OK(zone_day_kind(&zone_utc, 20547) == ZONE_SATURDAY);
	for (int i = 0; i < 3; i++) {
		OK(zone_day_kind(&z, day[i].day) == day[i].kind, "day %d", day[i].day);
		for (int d = -1; d <= 1; d += 2)
			OK(zone_day_kind(&z, day[i].day + d) ==
			   zone_day_kind(&zone_utc, day[i].day + d));
	}
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(utc_has_no_offset_and_never_changes);
	RUN(the_clock_goes_forward_and_back);
	RUN(says_until_when_an_offset_holds);
	RUN(knows_the_days_of_the_week);
	RUN(special_days_override_the_week);
	return tap_done();
}
