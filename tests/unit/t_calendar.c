/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "calendar/calendar.h"
#include "calendar/civil.h"
#include "calendar/rule.h"
#include "calendar/tzif.h"
#include "base/mem.h"
#include "base/rng.h"
#include "tests/tap.h"

#include <libical/ical.h>

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct instant at(int y, int mo, int d, int h, int mi)
{
	return (struct instant){(civil_days(y, mo, d) * 86400 + h * 3600 + mi * 60) * 1000000};
}

static struct zone *zone(const char *name)
{
	struct zone *z = NULL;
	struct fault e;

	OK(calendar_zone(name, at(2000, 1, 1, 0, 0), at(2045, 1, 1, 0, 0), &z, &e) == 0, "%s: %s",
	   name, e.text);
	return z;
}

static const char *iso(struct instant t)
{
	static char buf[4][32];
	static int turn;
	struct civil c = civil_of(civil_floor_div(t.us / 1000000, 86400));
	unsigned s = (unsigned)(t.us / 1000000 - civil_days(c.year, c.month, c.day) * 86400);
	char *b = buf[turn++ % 4];

	snprintf(b, sizeof buf[0], "%04u-%02u-%02uT%02u:%02u:%02uZ", (unsigned)c.year % 10000u,
	         (unsigned)c.month % 100u, (unsigned)c.day % 100u, s / 3600 % 100u, s / 60 % 60,
	         s % 60);
	return b;
}

#define MAX_AT 4096
static struct instant out[MAX_AT];

/* Expands, and compares with the instants listed in `want`, separated by blanks. */
static void expect(const char *file, int line, const char *rule, const char *tz,
                   struct instant start, struct instant from, struct instant to, const char *want)
{
	struct zone *z = zone(tz);
	struct fault e = {""};
	char got[4096] = "";
	size_t n, i;
	int err = calendar_expand(rule, z, start, from, to, 0, out, 64, &n, &e);

	tap_check(err == 0, file, line, "%s: %d %s", rule, err, e.text);
	for (i = 0; i < n; i++) {
		strcat(got, i ? " " : "");
		strcat(got, iso(out[i]));
	}
	tap_check(strcmp(got, want) == 0, file, line, "%s:\n#  got %s\n# want %s", rule, got, want);
	calendar_zone_free(&z);
}
#define EXPECT(...) expect(__FILE__, __LINE__, __VA_ARGS__)

TEST(dates_count_from_1970)
{
	int64_t d;

	OK(civil_days(1970, 1, 1) == 0 && civil_days(2000, 3, 1) == 11017);
	OK(civil_weekday(0) == 3 && civil_weekday(-1) == 2, "1970-01-01 was a Thursday");
	for (d = -200000; d < 200000; d += 7) {
		struct civil c = civil_of(d);

		OK(civil_days(c.year, c.month, c.day) == d);
	}
}

TEST(zones_say_what_the_c_library_says)
{
	static const char *const name[] = {
	        "America/New_York",    "Europe/London",      "Europe/Dublin",     "Asia/Tokyo",
	        "Australia/Sydney",    "America/Sao_Paulo",  "Africa/Casablanca", "Asia/Tehran",
	        "Australia/Lord_Howe", "Etc/GMT+5",          "Asia/Gaza",         "America/Nuuk",
	        "Africa/Cairo",        "Pacific/Apia",       "Asia/Kolkata",      "EST5EDT",
	        "America/St_Johns",    "Pacific/Kiritimati", "Antarctica/Troll",  "UTC",
	};
	size_t i;

	for (i = 0; i < sizeof name / sizeof *name; i++) {
		struct zone *z = zone(name[i]);
		int64_t s, bad = 0, tested = 0;

		setenv("TZ", name[i], 1);
		tzset();
		for (s = civil_days(2000, 1, 1) * 86400; s < civil_days(2045, 1, 1) * 86400;
		     s += 3 * 3600 + 600) {
			struct tm tm;
			time_t t = s;

			localtime_r(&t, &tm);
			tested++;
			bad += tm.tm_gmtoff !=
			       zone_offset_at(z, (struct instant){s * 1000000}, NULL);
		}
		OK(bad == 0, "%s: %" PRId64 " of %" PRId64 " offsets differ", name[i], bad, tested);
		calendar_zone_free(&z);
		OK(!z);
	}
}

TEST(a_zone_names_its_changes_to_the_second)
{
	struct zone *z = zone("America/New_York");
	struct instant until;

	OK(zone_offset_at(z, at(2026, 3, 8, 6, 59), &until) == -18000);
	OK(until.us == at(2026, 3, 8, 7, 0).us, "%s", iso(until));
	OK(zone_offset_at(z, until, &until) == -14400 && until.us == at(2026, 11, 1, 6, 0).us, "%s",
	   iso(until));
	/* far beyond the table of the file: the footer goes on */
	OK(zone_offset_at(z, at(2044, 7, 1, 0, 0), NULL) == -14400);
	calendar_zone_free(&z);
}

TEST(unknown_and_impossible_zone_names_are_refused)
{
	static const char *const bad[] = {
	        "",
	        "/etc/passwd",
	        "../../etc/passwd",
	        "Europe/../Europe/Paris",
	        "America/New York",
	        "Europe/",
	        "a\nb",
	        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
	struct zone *z = NULL;
	struct fault e;
	size_t i;

	for (i = 0; i < sizeof bad / sizeof *bad; i++)
		OK(calendar_zone(bad[i], at(2020, 1, 1, 0, 0), at(2021, 1, 1, 0, 0), &z, &e) ==
		                   -EINVAL &&
		           !z,
		   "'%s'", bad[i]);
	OK(calendar_zone("Mars/Olympus", at(2020, 1, 1, 0, 0), at(2021, 1, 1, 0, 0), &z, &e) ==
	   -ENOENT);
	OK(strcmp(e.text, "unknown time zone 'Mars/Olympus'; see timedatectl list-timezones") == 0,
	   "%s", e.text);
	OK(calendar_zone("Europe", at(2020, 1, 1, 0, 0), at(2021, 1, 1, 0, 0), &z, &e) == -ENOENT,
	   "a directory");
	OK(calendar_zone("tzdata.zi", at(2020, 1, 1, 0, 0), at(2021, 1, 1, 0, 0), &z, &e) ==
	           -EINVAL,
	   "a dot");
	OK(calendar_zone("UTC", at(2021, 1, 1, 0, 0), at(2021, 1, 1, 0, 0), &z, &e) == -EINVAL,
	   "empty");
	OK(calendar_zone("UTC", at(1950, 1, 1, 0, 0), at(2100, 1, 1, 0, 0), &z, &e) == -EINVAL,
	   "too long");
	OK(calendar_zone("UTC", INSTANT_NONE, INSTANT_NEVER, &z, &e) == -EINVAL, "for ever");
	OK(!z);
}

TEST(damaged_zone_files_are_refused_or_read_never_more)
{
	uint8_t file[8192];
	FILE *f = fopen("/usr/share/zoneinfo/America/New_York", "rb");
	struct zone_offset *rows;
	struct rng g;
	const char *why;
	size_t n, n_file, i;
	int refused = 0;

	OK(f != NULL);
	if (!f)
		return;
	n_file = fread(file, 1, sizeof file, f);
	fclose(f);
	/* each on memory of its exact size, so that the sanitizer sees a byte too far */
	for (i = 0; i < n_file; i++) {
		uint8_t *copy = mem_calloc(1, i + 1);

		memcpy(copy, file, i);
		if (tzif_rows(copy, i, 0, 2000000000, &rows, &n, &why) == 0)
			free(rows);
		else
			refused++;
		free(copy);
	}
	OK(refused > (int)n_file - 32, "%d of %zu: all but the footer is needed", refused, n_file);
	rng_init(&g, tap_seed);
	for (i = 0; i < 20000; i++) {
		uint8_t *copy = mem_calloc(1, n_file);
		size_t k, flips = 1 + rng_below(&g, 3);

		memcpy(copy, file, n_file);
		for (k = 0; k < flips; k++)
			copy[rng_below(&g, rng_below(&g, 2) ? n_file : 100)] ^=
			        (uint8_t)(1u << rng_below(&g, 8));
		if (tzif_rows(copy, n_file, 0, 2000000000, &rows, &n, &why) == 0) {
			OK(n > 0 && rows[0].from.us == 0);
			free(rows);
		}
		free(copy);
	}
}

TEST(half_past_nine_in_new_york_is_that_on_both_sides_of_a_change)
{
	EXPECT("FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9;BYMINUTE=30;BYSECOND=0",
	       "America/New_York", at(2026, 1, 1, 0, 0), at(2026, 3, 5, 0, 0),
	       at(2026, 3, 11, 0, 0),
	       "2026-03-05T14:30:00Z 2026-03-06T14:30:00Z 2026-03-09T13:30:00Z "
	       "2026-03-10T13:30:00Z");
	EXPECT("weekdays 09:30", "America/New_York", at(2026, 1, 1, 0, 0), at(2026, 10, 30, 0, 0),
	       at(2026, 11, 4, 0, 0),
	       "2026-10-30T13:30:00Z 2026-11-02T14:30:00Z 2026-11-03T14:30:00Z");
	EXPECT("30 9 * * 1-5", "America/New_York", at(2026, 1, 1, 0, 0), at(2026, 10, 30, 0, 0),
	       at(2026, 11, 4, 0, 0),
	       "2026-10-30T13:30:00Z 2026-11-02T14:30:00Z 2026-11-03T14:30:00Z");
}

TEST(times_that_a_change_skips_or_repeats_fire_once)
{
	EXPECT("daily 02:30", "America/New_York", at(2026, 1, 1, 0, 0), at(2026, 3, 7, 0, 0),
	       at(2026, 3, 10, 0, 0),
	       "2026-03-07T07:30:00Z 2026-03-08T07:30:00Z 2026-03-09T06:30:00Z");
	EXPECT("daily 01:30", "America/New_York", at(2026, 1, 1, 0, 0), at(2026, 10, 31, 0, 0),
	       at(2026, 11, 3, 0, 0),
	       "2026-10-31T05:30:00Z 2026-11-01T05:30:00Z 2026-11-02T06:30:00Z");
	/* 02:00 is skipped and falls on 03:00 */
	EXPECT("hourly", "America/New_York", at(2026, 1, 1, 0, 0), at(2026, 3, 8, 6, 0),
	       at(2026, 3, 8, 9, 0),
	       "2026-03-08T06:00:00Z 2026-03-08T07:00:00Z 2026-03-08T08:00:00Z");
	/* a change of half an hour, and a date that did not exist */
	EXPECT("daily 02:15", "Australia/Lord_Howe", at(2026, 1, 1, 0, 0), at(2026, 10, 3, 0, 0),
	       at(2026, 10, 5, 0, 0), "2026-10-03T15:45:00Z 2026-10-04T15:15:00Z");
	EXPECT("daily 12:00", "Pacific/Apia", at(2011, 1, 1, 0, 0), at(2011, 12, 29, 0, 0),
	       at(2012, 1, 1, 0, 0),
	       "2011-12-29T22:00:00Z 2011-12-30T22:00:00Z 2011-12-31T22:00:00Z");
}

TEST(a_local_time_is_an_instant)
{
	struct zone *z = zone("America/New_York");
	struct fault e;
	struct instant t;

	OK(calendar_instant("2026-11-23T09:30", z, &t, &e) == 0 &&
	   t.us == at(2026, 11, 23, 14, 30).us);
	OK(calendar_instant("2026-07-01T09:30:05", z, &t, &e) == 0 &&
	   t.us == at(2026, 7, 1, 13, 30).us + 5000000);
	OK(calendar_instant("2026-11-23T09:30Z", z, &t, &e) == 0 &&
	   t.us == at(2026, 11, 23, 9, 30).us);
	OK(calendar_instant("2026-11-23", z, &t, &e) == 0 && t.us == at(2026, 11, 23, 5, 0).us);
	OK(calendar_instant("2026-02-30T09:30", z, &t, &e) == -EINVAL, "%s", e.text);
	OK(calendar_instant("tomorrow", z, &t, &e) == -EINVAL);
	OK(calendar_instant("2026-11-23T09:30 ", z, &t, &e) == -EINVAL);
	OK(calendar_instant("2026-11-23T24:00", z, &t, &e) == -EINVAL);
	calendar_zone_free(&z);
}

TEST(short_forms_mean_what_they_say)
{
	struct instant from = at(2026, 11, 23, 0, 0); /* a Monday */

	EXPECT("daily 07:00", "UTC", from, from, at(2026, 11, 25, 0, 0),
	       "2026-11-23T07:00:00Z 2026-11-24T07:00:00Z");
	EXPECT("weekdays 09:30,16:00", "UTC", from, from, at(2026, 11, 24, 0, 0),
	       "2026-11-23T09:30:00Z 2026-11-23T16:00:00Z");
	EXPECT("mon,wed-fri 18:15", "UTC", from, from, at(2026, 11, 28, 0, 0),
	       "2026-11-23T18:15:00Z 2026-11-25T18:15:00Z 2026-11-26T18:15:00Z "
	       "2026-11-27T18:15:00Z");
	EXPECT("Weekends 10:00", "UTC", from, from, at(2026, 11, 30, 0, 0),
	       "2026-11-28T10:00:00Z 2026-11-29T10:00:00Z");
	EXPECT("fri-mon 10:00", "UTC", from, from, at(2026, 11, 30, 0, 0),
	       "2026-11-23T10:00:00Z 2026-11-27T10:00:00Z 2026-11-28T10:00:00Z "
	       "2026-11-29T10:00:00Z");
	EXPECT("hourly :15,:45", "UTC", at(2026, 11, 23, 0, 7), at(2026, 11, 23, 1, 0),
	       at(2026, 11, 23, 2, 0), "2026-11-23T01:15:00Z 2026-11-23T01:45:00Z");
	EXPECT("0 */8 * * *", "UTC", from, from, at(2026, 11, 24, 0, 0),
	       "2026-11-23T00:00:00Z 2026-11-23T08:00:00Z 2026-11-23T16:00:00Z");
	EXPECT("15,45 6-8/2 1 1,12 *", "UTC", from, from, at(2026, 12, 31, 0, 0),
	       "2026-12-01T06:15:00Z 2026-12-01T06:45:00Z 2026-12-01T08:15:00Z "
	       "2026-12-01T08:45:00Z");
	EXPECT("0 0 * * 0", "UTC", from, from, at(2026, 12, 7, 0, 0),
	       "2026-11-29T00:00:00Z 2026-12-06T00:00:00Z");
	EXPECT("0 0 * * sat-7", "UTC", from, from, at(2026, 12, 1, 0, 0),
	       "2026-11-28T00:00:00Z 2026-11-29T00:00:00Z");
}

TEST(rules_follow_rfc_5545)
{
	struct instant s = at(1997, 9, 2, 9, 0), e = at(2005, 1, 1, 0, 0);

	EXPECT("FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8", "UTC",
	       at(1996, 11, 5, 9, 0), at(1996, 1, 1, 0, 0), e,
	       "1996-11-05T09:00:00Z 2000-11-07T09:00:00Z 2004-11-02T09:00:00Z");
	EXPECT("FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3", "UTC", at(1997, 9, 4, 9, 0), s, e,
	       "1997-09-04T09:00:00Z 1997-10-07T09:00:00Z 1997-11-06T09:00:00Z");
	EXPECT("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2;COUNT=3", "UTC",
	       at(1997, 9, 29, 9, 0), s, e,
	       "1997-09-29T09:00:00Z 1997-10-30T09:00:00Z 1997-11-27T09:00:00Z");
	EXPECT("FREQ=MONTHLY;BYDAY=-1SU;COUNT=3", "UTC", s, s, e,
	       "1997-09-28T09:00:00Z 1997-10-26T09:00:00Z 1997-11-30T09:00:00Z");
	EXPECT("FREQ=YEARLY;BYDAY=20MO;COUNT=3", "UTC", at(1997, 5, 19, 9, 0), at(1997, 1, 1, 0, 0),
	       e, "1997-05-19T09:00:00Z 1998-05-18T09:00:00Z 1999-05-17T09:00:00Z");
	EXPECT("FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO;COUNT=3", "UTC", at(1997, 5, 12, 9, 0),
	       at(1997, 1, 1, 0, 0), e,
	       "1997-05-12T09:00:00Z 1998-05-11T09:00:00Z 1999-05-17T09:00:00Z");
	EXPECT("FREQ=YEARLY;INTERVAL=3;COUNT=4;BYYEARDAY=1,100,200", "UTC", at(1997, 1, 1, 9, 0),
	       at(1997, 1, 1, 0, 0), e,
	       "1997-01-01T09:00:00Z 1997-04-10T09:00:00Z 1997-07-19T09:00:00Z "
	       "2000-01-01T09:00:00Z");
	EXPECT("FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO", "UTC", at(1997, 8, 5, 9, 0),
	       at(1997, 1, 1, 0, 0), e,
	       "1997-08-05T09:00:00Z 1997-08-10T09:00:00Z 1997-08-19T09:00:00Z "
	       "1997-08-24T09:00:00Z");
	EXPECT("FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU", "UTC", at(1997, 8, 5, 9, 0),
	       at(1997, 1, 1, 0, 0), e,
	       "1997-08-05T09:00:00Z 1997-08-17T09:00:00Z 1997-08-19T09:00:00Z "
	       "1997-08-31T09:00:00Z");
	EXPECT("FREQ=MONTHLY;BYMONTHDAY=31;COUNT=3", "UTC", s, s, e,
	       "1997-10-31T09:00:00Z 1997-12-31T09:00:00Z 1998-01-31T09:00:00Z");
	EXPECT("FREQ=YEARLY;COUNT=2", "UTC", at(1996, 2, 29, 9, 0), at(1996, 1, 1, 0, 0), e,
	       "1996-02-29T09:00:00Z 2000-02-29T09:00:00Z");
	EXPECT("FREQ=DAILY;UNTIL=19970904T090000Z", "UTC", s, s, e,
	       "1997-09-02T09:00:00Z 1997-09-03T09:00:00Z 1997-09-04T09:00:00Z");
	EXPECT("FREQ=DAILY;INTERVAL=10;COUNT=3", "UTC", s, at(1997, 9, 10, 0, 0), e,
	       "1997-09-12T09:00:00Z 1997-09-22T09:00:00Z");
	EXPECT("RRULE:FREQ=HOURLY;INTERVAL=5;COUNT=3;", "UTC", s, s, e,
	       "1997-09-02T09:00:00Z 1997-09-02T14:00:00Z 1997-09-02T19:00:00Z");
}

/* What a rule gives must not hang on where the window begins. */
TEST(a_window_gives_the_same_as_the_whole)
{
	static const char *const freq[] = {"HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"};
	struct zone *z = zone("America/New_York");
	struct fault e;
	static struct instant part[MAX_AT];
	struct rng g;
	int i;

	rng_init(&g, tap_seed);
	for (i = 0; i < 300; i++) {
		struct instant s = {(civil_days(2005, 1, 1) + (int64_t)rng_below(&g, 400)) *
		                            INT64_C(86400000000) +
		                    (int64_t)rng_below(&g, 86400) * 1000000};
		struct instant to =
		        instant_add(s, SPAN_S(86400 * (int64_t)(rng_below(&g, 3000) + 60)));
		struct instant from = instant_add(
		        s, SPAN_US((int64_t)(rng_uniform(&g) * (double)(to.us - s.us))));
		size_t n, m, k = 0;
		char rule[200];

		snprintf(rule, sizeof rule, "FREQ=%s;INTERVAL=%d%s%s", freq[rng_below(&g, 5)],
		         (int)rng_below(&g, 40) + 1, rng_below(&g, 2) ? ";BYMONTH=3,4,11" : "",
		         rng_below(&g, 3) ? "" : ";COUNT=50");
		OK(calendar_expand(rule, z, s, s, to, 0, out, MAX_AT, &n, &e) == 0, "%s", e.text);
		if (n == MAX_AT)
			continue;
		OK(calendar_expand(rule, z, s, from, to, 0, part, MAX_AT, &m, &e) == 0, "%s",
		   e.text);
		while (k < n && out[k].us < from.us)
			k++;
		OK(n - k == m && (!m || memcmp(out + k, part, m * sizeof *part) == 0),
		   "%s from %s: %zu, not %zu", rule, iso(from), m, n - k);
	}
	calendar_zone_free(&z);
}

static int random_rule(struct rng *g, char *rule, size_t n)
{
	static const char *const freq[] = {"DAILY", "WEEKLY", "MONTHLY", "YEARLY"};
	static const char *const day[] = {"MO", "TU,TH", "SA,SU", "MO,TU,WE,TH,FR"};
	static const char *const nth[] = {"1MO", "-1FR", "2TU,4TH", "3WE"};
	/* the last two only with MONTHLY: libical 3.0.16 leaves negative days out of DAILY rules */
	static const char *const month_day[] = {"1", "13", "31", "1,15", "-1", "-2,5,28"};
	int f = (int)rng_below(g, 4);
	size_t at_n =
	        (size_t)snprintf(rule, n, "FREQ=%s;INTERVAL=%d", freq[f], 1 + (int)rng_below(g, 3));

	if (rng_below(g, 3) == 0 && f != 1)
		at_n += (size_t)snprintf(rule + at_n, n - at_n, ";BYMONTH=%s",
		                         rng_below(g, 2) ? "2,6" : "11");
	if (rng_below(g, 2) == 0 && f != 1 && f != 3)
		at_n += (size_t)snprintf(rule + at_n, n - at_n, ";BYMONTHDAY=%s",
		                         month_day[rng_below(g, f == 0 ? 4 : 6)]);
	else if (f == 2 && rng_below(g, 2))
		at_n += (size_t)snprintf(rule + at_n, n - at_n, ";BYDAY=%s", nth[rng_below(g, 4)]);
	else if (f != 3 && rng_below(g, 2))
		at_n += (size_t)snprintf(rule + at_n, n - at_n, ";BYDAY=%s", day[rng_below(g, 4)]);
	if (rng_below(g, 2))
		at_n += (size_t)snprintf(rule + at_n, n - at_n, ";BYHOUR=%s",
		                         rng_below(g, 2) ? "9" : "7,19");
	if (rng_below(g, 2))
		snprintf(rule + at_n, n - at_n, ";BYMINUTE=%s", rng_below(g, 2) ? "30" : "0,45");
	return f;
}

TEST(rules_give_what_libical_gives)
{
	struct fault e;
	struct rng g;
	int i, compared = 0;

	rng_init(&g, tap_seed);
	for (i = 0; i < 400; i++) {
		struct instant s = at(2020, 1 + (int)rng_below(&g, 12), 1 + (int)rng_below(&g, 28),
		                      (int)rng_below(&g, 24), (int)rng_below(&g, 60));
		struct icalrecurrencetype recur;
		struct icaltimetype t = icaltime_from_timet_with_zone(
		        s.us / 1000000, 0, icaltimezone_get_utc_timezone());
		icalrecur_iterator *it;
		char rule[200];
		size_t n, k;

		random_rule(&g, rule, sizeof rule);
		OK(calendar_expand(rule, &zone_utc, s, s, at(2060, 1, 1, 0, 0), 0, out, 60, &n,
		                   &e) == 0,
		   "%s: %s", rule, e.text);
		recur = icalrecurrencetype_from_string(rule);
		it = icalrecur_iterator_new(recur, t);
		OK(it || n == 0, "%s: libical says that it never fires", rule);
		for (k = 0; it && k < n; k++) {
			struct icaltimetype next = icalrecur_iterator_next(it);
			int64_t want = icaltime_is_null_time(next) ? -1 : icaltime_as_timet(next);

			OK(want == out[k].us / 1000000,
			   "%s from %s: number %zu is %s, of libical %s", rule, iso(s), k,
			   iso(out[k]), iso((struct instant){want * 1000000}));
			compared++;
			if (want != out[k].us / 1000000)
				break;
		}
		if (it)
			icalrecur_iterator_free(it);
	}
	OK(compared > 10000, "%d", compared);
}

TEST(hostile_rules_end_soon)
{
	static const char *const rule[] = {
	        "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30",
	        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
	        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
	        "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=31",
	        "FREQ=YEARLY;BYYEARDAY=366;BYMONTH=1",
	        "FREQ=YEARLY;BYWEEKNO=53;BYMONTH=6",
	        "FREQ=MONTHLY;BYDAY=5MO;BYMONTHDAY=1",
	        "FREQ=YEARLY;BYSETPOS=366;BYMONTH=1;BYMONTHDAY=1",
	        "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30;COUNT=10000000",
	        "FREQ=HOURLY;COUNT=10000000",
	        "FREQ=HOURLY;BYYEARDAY=366;BYHOUR=3;BYDAY=MO;COUNT=10000000",
	        "FREQ=DAILY;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23;"
	        "BYMINUTE=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,"
	        "27,28,29,30,31,32,"
	        "33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,51,52,53,54,55,56,57,58,59;"
	        "COUNT=10000000",
	        "FREQ=HOURLY;INTERVAL=100000",
	        "* * 30 2 *",
	        "FREQ=YEARLY;INTERVAL=100000;BYDAY=1MO",
	};
	struct fault e;
	size_t i, n;

	for (i = 0; i < sizeof rule / sizeof *rule; i++) {
		clock_t begin = clock();
		int err = calendar_expand(rule[i], &zone_utc, at(1900, 1, 1, 0, 0),
		                          at(2150, 1, 1, 0, 0), at(2199, 1, 1, 0, 0), 0, out,
		                          MAX_AT, &n, &e);
		double s = (double)(clock() - begin) / CLOCKS_PER_SEC;

		OK(err == 0 || err == -E2BIG, "%s: %d %s", rule[i], err, e.text);
		OK(i != 11 || err == -E2BIG, "each minute of 250 years is too much work");
		/*
		 * steps are what bounds it; seconds only catch a step that is not constant.
		 * Sanitizers are slow
		 */
		OK(s < 10, "%s took %.2f s of processor time", rule[i], s);
		printf("# %.3f s, %zu instants: %.60s\n", s, n, rule[i]);
	}
}

TEST(bad_rules_are_refused_with_the_part_that_is_wrong)
{
	static const char *const bad[][2] = {
	        {"FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30", "FREQ: 'SECONDLY' is finer than HOURLY"},
	        {"FREQ=MINUTELY", "FREQ: 'MINUTELY' is finer than HOURLY"},
	        {"FREQ=OFTEN", "FREQ: 'OFTEN' is not"},
	        {"BYDAY=MO", "FREQ: missing"},
	        {"FREQ=DAILY;FREQ=DAILY", "FREQ: stands twice"},
	        {"FREQ=DAILY;BYMONTH=13", "BYMONTH: '13' is not a number from 1 to 12"},
	        {"FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY: '0'"},
	        {"FREQ=MONTHLY;BYMONTHDAY=1,,2", "BYMONTHDAY: ''"},
	        {"FREQ=DAILY;BYHOUR=24", "BYHOUR: '24'"},
	        {"FREQ=DAILY;INTERVAL=0", "INTERVAL: '0'"},
	        {"FREQ=DAILY;INTERVAL=99999999999999999999", "INTERVAL:"},
	        {"FREQ=DAILY;COUNT=5;UNTIL=20300101", "COUNT and UNTIL"},
	        {"FREQ=DAILY;UNTIL=2030-01-01", "UNTIL:"},
	        {"FREQ=DAILY;UNTIL=20300230", "UNTIL:"},
	        {"FREQ=WEEKLY;BYDAY=1MO", "BYDAY:"},
	        {"FREQ=WEEKLY;BYDAY=XX", "BYDAY: 'XX' is not a weekday"},
	        {"FREQ=DAILY;BYEASTER=0", "'BYEASTER' is not a part"},
	        {"FREQ=DAILY;BYMINUTE", "'BYMINUTE' is not NAME=VALUE"},
	        {"FREQ=DAILY;BYSETPOS=1", "BYSETPOS needs"},
	        {"FREQ=HOURLY;BYMINUTE=0,1,2;BYSECOND=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,"
	         "18,19,20,21",
	         "the rule gives 1584 instants a day"},
	        {"", "a schedule is"},
	        {"sometimes", "a schedule is"},
	        {"weekdays 9:3", "'9:3' is not a time"},
	        {"weekdays 25:00", "'25:00' is not a time"},
	        {"mon-xyz 09:00", "'mon-xyz' is not daily"},
	        {"61 * * * *", "cron minute: '61'"},
	        {"* * 1 * 1", "cron: day of month and day of week"},
	        {"a b c d e f g", "more words"},
	};
	char big[RULE_MAX_BYTES + 100];
	struct fault e;
	size_t i, n;

	for (i = 0; i < sizeof bad / sizeof *bad; i++) {
		int err = calendar_expand(bad[i][0], &zone_utc, at(2020, 1, 1, 0, 0),
		                          at(2020, 1, 1, 0, 0), at(2021, 1, 1, 0, 0), 0, out,
		                          MAX_AT, &n, &e);

		OK(err == -EINVAL && strncmp(e.text, bad[i][1], strlen(bad[i][1])) == 0,
		   "'%s': %d %s", bad[i][0], err, e.text);
	}
	memset(big, 'A', sizeof big);
	big[sizeof big - 1] = '\0';
	OK(calendar_expand(big, &zone_utc, at(2020, 1, 1, 0, 0), at(2020, 1, 1, 0, 0),
	                   at(2021, 1, 1, 0, 0), 0, out, MAX_AT, &n, &e) == -EINVAL);
}

TEST(random_text_is_refused_or_read)
{
	static const char *const bit[] = {"FREQ=",    "DAILY",     "HOURLY",      "YEARLY",
	                                  ";",        "BYDAY=",    "MO",          "-1SU",
	                                  ",",        "=",         "BYMONTHDAY=", "31",
	                                  "-366",     "BYSETPOS=", "BYWEEKNO=",   "53",
	                                  "COUNT=",   "9999999",   "*",           "*/",
	                                  " ",        "0",         "1-5",         "daily",
	                                  "09:30",    "hourly",    ":59",         "UNTIL=",
	                                  "20301231", "T",         "INTERVAL=",   "WKST="};
	struct fault e;
	struct rng g;
	int i, good = 0;

	rng_init(&g, tap_seed);
	for (i = 0; i < 20000; i++) {
		char text[400] = "FREQ=";
		size_t k, n, bits = rng_below(&g, 12);

		if (rng_below(&g, 3) == 0)
			*text = '\0';
		for (k = 0; k < bits; k++)
			strcat(text, bit[rng_below(&g, sizeof bit / sizeof *bit)]);
		if (rng_below(&g, 4) == 0 && *text)
			text[rng_below(&g, strlen(text))] = (char)(1 + rng_below(&g, 255));
		good += calendar_expand(text, &zone_utc, at(2020, 1, 1, 0, 0), at(2020, 1, 1, 0, 0),
		                        at(2022, 1, 1, 0, 0), 0, out, 100, &n, &e) == 0;
		OK(n <= 100);
	}
	OK(good > 50, "%d", good);
}

static int kind(const struct zone *z, int y, int m, int d)
{
	return zone_day_kind(z, (int32_t)civil_days(y, m, d));
}

TEST(the_new_york_stock_exchange_is_closed_when_it_says)
{
	static const int closed[][3] = {
	        {2024, 1, 1},  {2024, 3, 29}, {2025, 1, 9},   {2025, 4, 18},  {2026, 1, 1},
	        {2026, 1, 19}, {2026, 2, 16}, {2026, 4, 3},   {2026, 5, 25},  {2026, 6, 19},
	        {2026, 7, 3},  {2026, 9, 7},  {2026, 11, 26}, {2026, 12, 25}, {2027, 3, 26},
	        {2027, 6, 18}, {2027, 7, 5},  {2027, 12, 24}, {2028, 4, 14},  {2030, 4, 19}};
	static const int half[][3] = {{2024, 7, 3}, {2024, 11, 29}, {2024, 12, 24},
	                              {2025, 7, 3}, {2026, 11, 27}, {2026, 12, 24},
	                              {2028, 7, 3}, {2028, 11, 24}};
	static const int open[][3] = {
	        {2026, 7, 2}, {2026, 7, 6}, {2026, 12, 31}, {2027, 12, 31}, {2026, 10, 12}};
	struct zone *z = NULL;
	struct fault e = {""};
	size_t i, n;

	OK(calendar_open("XNYS", NULL, at(2024, 1, 1, 0, 0), at(2031, 1, 1, 0, 0), &z, &e) == 0,
	   "%s", e.text);
	if (!z)
		return;
	for (i = 0; i < sizeof closed / sizeof *closed; i++)
		OK(kind(z, closed[i][0], closed[i][1], closed[i][2]) == ZONE_SUNDAY, "%d-%d-%d",
		   closed[i][0], closed[i][1], closed[i][2]);
	for (i = 0; i < sizeof half / sizeof *half; i++)
		OK(kind(z, half[i][0], half[i][1], half[i][2]) == ZONE_HALF_DAY, "%d-%d-%d",
		   half[i][0], half[i][1], half[i][2]);
	for (i = 0; i < sizeof open / sizeof *open; i++)
		OK(kind(z, open[i][0], open[i][1], open[i][2]) == ZONE_WEEKDAY, "%d-%d-%d",
		   open[i][0], open[i][1], open[i][2]);
	OK(kind(z, 2026, 11, 28) == ZONE_SATURDAY && kind(z, 2026, 11, 29) == ZONE_SUNDAY);
	OK(zone_offset_at(z, at(2026, 7, 1, 0, 0), NULL) == -14400, "its own zone");
	/* the opening bell of Thanksgiving week */
	OK(calendar_expand("weekdays 09:30", z, at(2026, 11, 1, 0, 0), at(2026, 11, 24, 0, 0),
	                   at(2026, 11, 30, 0, 0), CALENDAR_SKIP_HOLIDAYS, out, MAX_AT, &n,
	                   &e) == 0);
	OK(n == 3 && out[1].us == at(2026, 11, 25, 14, 30).us &&
	           out[2].us == at(2026, 11, 27, 14, 30).us,
	   "%zu", n);
	calendar_zone_free(&z);
}

TEST(a_number_of_trading_days_is_what_the_exchange_counts)
{
	static const int days[] = {252, 250, 251, 251}; /* 2024 to 2027, as published */
	struct zone *z = NULL;
	struct fault e;
	size_t n;
	int y;

	OK(calendar_open("XNYS", NULL, at(2024, 1, 1, 0, 0), at(2031, 1, 1, 0, 0), &z, &e) == 0);
	for (y = 2024; z && y < 2028; y++) {
		OK(calendar_expand("weekdays 09:30", z, at(2024, 1, 1, 0, 0), at(y, 1, 1, 0, 0),
		                   at(y + 1, 1, 1, 0, 0), CALENDAR_SKIP_HOLIDAYS, out, MAX_AT, &n,
		                   &e) == 0);
		OK((int)n == days[y - 2024], "%d: %zu, not %d", y, n, days[y - 2024]);
	}
	calendar_zone_free(&z);
}

/* Whether the zone's table says so of each day; a list of {year, month, day}. */
static void days_are(struct zone *z, const char *what, const int (*day)[3], size_t n, int wanted)
{
	for (size_t i = 0; i < n; i++)
		OK(kind(z, day[i][0], day[i][1], day[i][2]) == wanted, "%s: %d-%d-%d", what,
		   day[i][0], day[i][1], day[i][2]);
}

#define DAYS_ARE(z, what, list, wanted) days_are(z, what, list, sizeof list / sizeof *list, wanted)

static size_t trading_days(const struct zone *z, int y)
{
	struct fault e = {""};
	size_t n = 0;

	OK(calendar_expand("weekdays 12:00", z, at(2024, 1, 1, 0, 0), at(y, 1, 1, 0, 0),
	                   at(y + 1, 1, 1, 0, 0), CALENDAR_SKIP_HOLIDAYS, out, MAX_AT, &n, &e) == 0,
	   "%s", e.text);
	return n;
}

TEST(london_is_closed_on_its_bank_holidays_and_closes_early_before_christmas_and_new_year)
{
	static const int closed[][3] = {
	        {2026, 1, 1},   {2026, 4, 3},   {2026, 4, 6},   {2026, 5, 4},  {2026, 5, 25},
	        {2026, 8, 31},  {2026, 12, 25}, {2026, 12, 28}, /* Boxing Day is a Saturday */
	        {2027, 1, 1},   {2027, 3, 26},  {2027, 3, 29},  {2027, 5, 3},  {2027, 5, 31},
	        {2027, 8, 30},  {2027, 12, 27}, {2027, 12, 28}, /* Christmas is a Saturday */
	        {2028, 1, 3},                                   /* New Year's Day is a Saturday */
	        {2028, 4, 14},  {2028, 4, 17},  {2028, 5, 1},   {2028, 5, 29}, {2028, 8, 28},
	        {2028, 12, 25}, {2028, 12, 26}};
	static const int half[][3] = {{2026, 12, 24}, {2026, 12, 31}, {2027, 12, 24},
	                              {2027, 12, 31}, {2028, 12, 22}, {2028, 12, 29}};
	/* Thanksgiving, Scotland's 2 January, a US holiday, the days after substitutes */
	static const int open[][3] = {{2026, 11, 26}, {2026, 1, 2},   {2026, 7, 3},
	                              {2026, 12, 29}, {2027, 12, 29}, {2028, 1, 4}};
	struct zone *z = NULL;
	struct fault e = {""};

	OK(calendar_open("XLON", NULL, at(2024, 1, 1, 0, 0), at(2029, 1, 1, 0, 0), &z, &e) == 0,
	   "%s", e.text);
	if (!z)
		return;
	DAYS_ARE(z, "closed", closed, ZONE_SUNDAY);
	DAYS_ARE(z, "half", half, ZONE_HALF_DAY);
	DAYS_ARE(z, "open", open, ZONE_WEEKDAY);
	OK(trading_days(z, 2024) == 254 && trading_days(z, 2025) == 253, "as the exchange counts");
	calendar_zone_free(&z);
}

TEST(tokyo_is_closed_on_national_holidays_their_substitutes_and_around_new_year)
{
	static const int closed[][3] = {{2026, 1, 1},   {2026, 1, 2},   {2026, 1, 12},
	                                {2026, 2, 11},  {2026, 2, 23},  {2026, 3, 20},
	                                {2026, 4, 29},  {2026, 5, 4},   {2026, 5, 5},
	                                {2026, 5, 6}, /* 3 May is a Sunday */
	                                {2026, 7, 20},  {2026, 8, 11},  {2026, 9, 21},
	                                {2026, 9, 22}, /* between two holidays */
	                                {2026, 9, 23},  {2026, 10, 12}, {2026, 11, 3},
	                                {2026, 11, 23}, {2026, 12, 31}, {2027, 1, 1},
	                                {2027, 1, 11},  {2027, 2, 11},  {2027, 2, 23},
	                                {2027, 3, 22}, /* the equinox is a Sunday */
	                                {2027, 4, 29},  {2027, 5, 3},   {2027, 5, 4},
	                                {2027, 5, 5},   {2027, 7, 19},  {2027, 8, 11},
	                                {2027, 9, 20},  {2027, 9, 23},  {2027, 10, 11},
	                                {2027, 11, 3},  {2027, 11, 23}, {2027, 12, 31},
	                                {2028, 1, 3},   {2028, 1, 10},  {2028, 2, 11},
	                                {2028, 2, 23},  {2028, 3, 20},  {2028, 5, 3},
	                                {2028, 5, 4},   {2028, 5, 5},   {2028, 7, 17},
	                                {2028, 8, 11},  {2028, 9, 18},  {2028, 9, 22},
	                                {2028, 10, 9},  {2028, 11, 3},  {2028, 11, 23}};
	/* days that look like holidays elsewhere, and holidays on a Saturday, which move nowhere */
	static const int open[][3] = {{2026, 12, 24}, {2026, 12, 25}, {2026, 12, 30}, {2027, 1, 4},
	                              {2027, 9, 21},  {2027, 9, 22},  {2028, 1, 4},   {2028, 5, 1}};
	struct zone *z = NULL;
	struct fault e = {""};
	size_t n;

	OK(calendar_open("XTKS", NULL, at(2024, 1, 1, 0, 0), at(2029, 1, 1, 0, 0), &z, &e) == 0,
	   "%s", e.text);
	if (!z)
		return;
	DAYS_ARE(z, "closed", closed, ZONE_SUNDAY);
	DAYS_ARE(z, "open", open, ZONE_WEEKDAY);
	OK(trading_days(z, 2024) == 245 && trading_days(z, 2025) == 243, "as the exchange counts");
	/* the sessions around the lunch break, on the last day of a year and the first of the next */
	OK(calendar_expand("starts XTKS", z, at(2026, 1, 1, 0, 0), at(2026, 12, 29, 15, 0),
	                   at(2027, 1, 4, 15, 0), CALENDAR_SKIP_HOLIDAYS, out, MAX_AT, &n, &e) == 0,
	   "%s", e.text);
	OK(n == 4 && out[0].us == at(2026, 12, 30, 0, 0).us &&
	           out[1].us == at(2026, 12, 30, 3, 30).us &&
	           out[2].us == at(2027, 1, 4, 0, 0).us && out[3].us == at(2027, 1, 4, 3, 30).us,
	   "%zu", n);
	OK(calendar_expand("ends XTKS", z, at(2026, 1, 1, 0, 0), at(2026, 12, 29, 15, 0),
	                   at(2026, 12, 30, 15, 0), CALENDAR_SKIP_HOLIDAYS, out, MAX_AT, &n,
	                   &e) == 0,
	   "%s", e.text);
	OK(n == 2 && out[0].us == at(2026, 12, 30, 2, 30).us &&
	           out[1].us == at(2026, 12, 30, 6, 30).us,
	   "%zu", n);
	calendar_zone_free(&z);
}

TEST(sessions_end_early_where_the_day_does)
{
	struct zone *z = NULL;
	struct fault e = {""};
	size_t n;

	OK(calendar_open("XNYS", NULL, at(2024, 1, 1, 0, 0), at(2031, 1, 1, 0, 0), &z, &e) == 0);
	OK(calendar_expand("ends XNYS", z, at(2026, 1, 1, 0, 0), at(2026, 11, 25, 0, 0),
	                   at(2026, 12, 1, 0, 0), CALENDAR_SKIP_HOLIDAYS, out, MAX_AT, &n, &e) == 0,
	   "%s", e.text);
	/* Wednesday; not Thanksgiving; Friday at 13:00; Monday */
	OK(n == 3 && out[0].us == at(2026, 11, 25, 21, 0).us &&
	           out[1].us == at(2026, 11, 27, 18, 0).us &&
	           out[2].us == at(2026, 11, 30, 21, 0).us,
	   "%zu", n);
	OK(calendar_expand("starts XNYS", z, at(2026, 1, 1, 0, 0), at(2026, 11, 25, 0, 0),
	                   at(2026, 12, 1, 0, 0), CALENDAR_SKIP_HOLIDAYS, out, MAX_AT, &n,
	                   &e) == 0);
	OK(n == 3 && out[1].us == at(2026, 11, 27, 14, 30).us, "%zu", n);
	calendar_zone_free(&z);
}

/* In which weeks are New York and London four hours apart instead of five? */
TEST(clocks_change_in_other_weeks_on_the_other_side_of_the_atlantic)
{
	static const struct {
		int y, mo, d, hours; /* a Monday, and how far New York is behind */
	} weeks[] = {
	        {2026, 3, 2, 5},   {2026, 3, 9, 4},   {2026, 3, 23, 4}, {2026, 3, 30, 5},
	        {2026, 10, 19, 5}, {2026, 10, 26, 4}, {2026, 11, 2, 5}, {2027, 3, 15, 4},
	        {2027, 3, 29, 5},  {2027, 11, 1, 4},  {2027, 11, 8, 5}, {2028, 3, 13, 4},
	        {2028, 3, 27, 5},  {2028, 10, 30, 4}, {2028, 11, 6, 5},
	};
	struct zone *ny = NULL, *lon = NULL;
	struct fault e = {""};
	struct instant bell[2];
	size_t n;

	OK(calendar_open("XNYS", NULL, at(2026, 1, 1, 0, 0), at(2029, 1, 1, 0, 0), &ny, &e) == 0 &&
	           calendar_open("XLON", NULL, at(2026, 1, 1, 0, 0), at(2029, 1, 1, 0, 0), &lon,
	                         &e) == 0,
	   "%s", e.text);
	for (size_t i = 0; ny && lon && i < sizeof weeks / sizeof *weeks; i++) {
		struct instant from = at(weeks[i].y, weeks[i].mo, weeks[i].d, 4, 0);
		struct instant to = {from.us + INT64_C(86400) * 1000000};

		/* the daemon's calendar is one for both: each schedule in its own zone */
		OK(calendar_expand("weekdays 09:30", ny, from, from, to, 0, &bell[0], 1, &n, &e) ==
		           0 &&
		   n == 1);
		OK(calendar_expand("weekdays 09:30", lon, from, from, to, 0, &bell[1], 1, &n, &e) ==
		           0 &&
		   n == 1);
		OK(bell[0].us - bell[1].us == weeks[i].hours * INT64_C(3600) * 1000000,
		   "%d-%d-%d: %lld s", weeks[i].y, weeks[i].mo, weeks[i].d,
		   (long long)(bell[0].us - bell[1].us) / 1000000);
	}
	calendar_zone_free(&ny);
	calendar_zone_free(&lon);
}

TEST(instants_may_be_listed)
{
	struct zone *z = zone("America/New_York");
	struct fault e = {""};
	size_t n;

	OK(calendar_expand("at 2026-12-31T12:30, 2026-07-01T09:30:15,2026-12-31T17:30Z,2027-01-01",
	                   z, at(2026, 1, 1, 0, 0), at(2026, 1, 1, 0, 0), at(2027, 6, 1, 0, 0), 0,
	                   out, MAX_AT, &n, &e) == 0,
	   "%s", e.text);
	OK(n == 3 && out[0].us == at(2026, 7, 1, 13, 30).us + 15000000 &&
	           out[1].us == at(2026, 12, 31, 17, 30).us && out[2].us == at(2027, 1, 1, 5, 0).us,
	   "%zu", n);
	OK(calendar_expand("at 2026-02-30T10:00", z, at(2026, 1, 1, 0, 0), at(2026, 1, 1, 0, 0),
	                   at(2027, 6, 1, 0, 0), 0, out, MAX_AT, &n, &e) == -EINVAL &&
	   strstr(e.text, "2026-02-30"));
	OK(calendar_expand("at ", z, at(2026, 1, 1, 0, 0), at(2026, 1, 1, 0, 0),
	                   at(2027, 6, 1, 0, 0), 0, out, MAX_AT, &n, &e) == -EINVAL);
	calendar_zone_free(&z);
}

/* Writes the lines as VEVENTs of a file that is gone with the program. */
static const char *ics_file(const char *events)
{
	static char path[64];
	FILE *f;

	snprintf(path, sizeof path, "/tmp/t_calendar.%ld.ics", (long)getpid());
	f = fopen(path, "w");
	if (f) {
		fprintf(f, "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n%sEND:VCALENDAR\r\n",
		        events);
		fclose(f);
	}
	return path;
}

static int events_of(const char *events, size_t *n, struct fault *e)
{
	struct zone *z = zone("America/New_York");
	const char *path = ics_file(events);
	int rc = calendar_expand(path, z, at(2026, 1, 1, 0, 0), at(2026, 3, 1, 0, 0),
	                         at(2026, 12, 1, 0, 0), 0, out, MAX_AT, n, e);

	unlink(path);
	calendar_zone_free(&z);
	return rc;
}

#define EVENT(lines) "BEGIN:VEVENT\r\n" lines "SUMMARY:An event\r\nEND:VEVENT\r\n"

TEST(events_of_a_file_keep_their_zones_and_exceptions)
{
	struct fault e = {""};
	size_t n;

	OK(events_of(EVENT("UID:1\r\nDTSTART;TZID=Europe/Berlin:20260323T090000\r\n"
	                   "RRULE:FREQ=WEEKLY;COUNT=4\r\n"
	                   "EXDATE;TZID=Europe/Berlin:20260406T090000\r\n"
	                   "RDATE;TZID=Europe/Berlin:20260408T100000\r\n"
	                   "RDATE;TZID=Europe/Berlin:20260409T100000\r\n")
	                     EVENT("UID:1\r\nRECURRENCE-ID;TZID=Europe/Berlin:20260413T090000\r\n"
	                           "DTSTART;TZID=Europe/Berlin:20260414T110000\r\n")
	                             EVENT("UID:2\r\nDTSTART:20260701T093000\r\nDURATION:PT1H\r\n")
	                                     EVENT("UID:3\r\nDTSTART:20260702T120000Z\r\nSTATUS:"
	                                           "CANCELLED\r\n") EVENT("UID:4\r\nDTSTART;VALUE="
	                                                                  "DATE:20260703\r\n")
	                                             EVENT("UID:5\r\nDTSTART:"
	                                                   "20260704T120000Z\r\nRRULE:FREQ=DAILY;"
	                                                   "UNTIL=20260706T120000Z\r\n"
	                                                   "EXDATE;VALUE=DATE:20260705\r\n"),
	             &n, &e) == 0,
	   "%s", e.text);
	OK(n == 8, "%zu", n);
	OK(out[0].us == at(2026, 3, 23, 8, 0).us && out[1].us == at(2026, 3, 30, 7, 0).us,
	   "Berlin's clocks go forward in between");
	OK(out[2].us == at(2026, 4, 8, 8, 0).us && out[3].us == at(2026, 4, 9, 8, 0).us &&
	           out[4].us == at(2026, 4, 14, 9, 0).us,
	   "one left out, two more, one moved");
	OK(out[5].us == at(2026, 7, 1, 13, 30).us, "floating: in the schedule's zone");
	OK(out[6].us == at(2026, 7, 4, 12, 0).us && out[7].us == at(2026, 7, 6, 12, 0).us,
	   "a whole day left out");
}

TEST(each_of_many_exceptions_is_found)
{
	struct fault e = {""};
	static char text[1u << 20];
	char *to = text;
	size_t n;

	/* every minute of two days but the odd ones, and those that moved: three of each four */
	to += sprintf(to, "BEGIN:VEVENT\r\nUID:1\r\nDTSTART:20260401T000000Z\r\n"
	                  "RRULE:FREQ=HOURLY;COUNT=2880;BYMINUTE=0");
	for (int i = 1; i < 60; i++)
		to += sprintf(to, ",%d", i);
	to += sprintf(to, "\r\n");
	for (int i = 2879; i > 0; i -= 2)
		to += sprintf(to, "EXDATE:202604%02dT%02d%02d00Z\r\n", 1 + i / 1440, i / 60 % 24,
		              i % 60);
	to += sprintf(to, "END:VEVENT\r\n");
	for (int i = 0; i < 2880; i += 4)
		to += sprintf(to,
		              EVENT("UID:%d\r\nRECURRENCE-ID:202604%02dT%02d%02d00Z\r\n"
		                    "DTSTART:20260501T000000Z\r\n"),
		              i % 8 ? 1 : 2, 1 + i / 1440, i / 60 % 24, i % 60);
	OK(events_of(text, &n, &e) == 0, "%s", e.text);
	/* of 1440 even ones, 360 have moved by an event of this UID, all to the same instant */
	OK(n == 1440 - 360 + 1, "%zu", n);
	OK(n && out[0].us == at(2026, 4, 1, 0, 0).us && out[1].us == at(2026, 4, 1, 0, 2).us,
	   "those of another UID stay");
	OK(n > 2 && out[2].us == at(2026, 4, 1, 0, 6).us, "one moved");
}

#define CLOCKS(kind, start, from, to, more)                                                        \
	"BEGIN:" kind "\r\nDTSTART:" start "\r\nTZOFFSETFROM:" from "\r\nTZOFFSETTO:" to           \
	"\r\n" more "END:" kind "\r\n"
#define VTIMEZONE(id, lines) "BEGIN:VTIMEZONE\r\nTZID:" id "\r\n" lines "END:VTIMEZONE\r\n"

/* As Outlook writes New York, from the year 1601 on. */
#define EASTERN                                                                                    \
	VTIMEZONE("Eastern Standard Time",                                                         \
	          CLOCKS("STANDARD", "16010101T020000", "-0400", "-0500",                          \
	                 "RRULE:FREQ=YEARLY;BYDAY=1SU;BYMONTH=11\r\n")                             \
	                  CLOCKS("DAYLIGHT", "16010101T020000", "-0500", "-0400",                  \
	                         "RRULE:FREQ=YEARLY;BYDAY=2SU;BYMONTH=3\r\n"))

TEST(zones_that_a_file_describes_hold)
{
	struct fault e = {""};
	struct zone *ny = zone("America/New_York");
	size_t n;

	/* an hour before and after the clocks change */
	OK(events_of(EVENT("UID:1\r\nDTSTART;TZID=\"Eastern Standard Time\":20260301T013000\r\n"
	                   "RRULE:FREQ=DAILY;COUNT=270\r\n")
	                     EVENT("UID:2\r\nDTSTART;TZID=Eastern Standard Time:20260301T033000\r\n"
	                           "RRULE:FREQ=DAILY;COUNT=270\r\n") EASTERN,
	             &n, &e) == 0,
	   "%s", e.text);
	OK(n == 540, "%zu", n);
	for (size_t i = 0; i < n; i++) {
		int64_t local = out[i].us / 1000000 + zone_offset_at(ny, out[i], NULL);

		OK(local % 86400 == 5400 || local % 86400 == 12600, "%zu: %lld s of the day", i,
		   (long long)(local % 86400));
	}
	calendar_zone_free(&ny);
}

#define NEXT_CALENDAR "END:VCALENDAR\r\nBEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n"

TEST(all_calendars_of_a_file_count)
{
	struct fault e = {""};
	struct zone *z = NULL;
	size_t n;

	OK(events_of(EVENT("UID:1\r\nDTSTART;TZID=Eastern Standard Time:20260701T093000\r\n")
	                     NEXT_CALENDAR EASTERN EVENT("UID:2\r\nDTSTART:20260702T120000Z\r\n"),
	             &n, &e) == 0,
	   "%s", e.text);
	OK(n == 2 && out[0].us == at(2026, 7, 1, 13, 30).us &&
	   out[1].us == at(2026, 7, 2, 12, 0).us);
	/* what is wrong in one is not made good by what follows */
	OK(events_of(EVENT("UID:1\r\n") EVENT("UID:2\r\nDTSTART:20260702T120000Z\r\n"), &n, &e) ==
	   -EINVAL);
	OK(events_of(EVENT("UID:1\r\n")
	                     NEXT_CALENDAR EVENT("UID:2\r\nDTSTART:20260702T120000Z\r\n"),
	             &n, &e) == -EINVAL);
	OK(calendar_open(
	           ics_file(EVENT("UID:1\r\nDTSTART;VALUE=DATE:20260701\r\n") NEXT_CALENDAR EVENT(
	                   "UID:2\r\nDTSTART;VALUE=DATE:20260702\r\n")),
	           "UTC", at(2026, 1, 1, 0, 0), at(2026, 12, 1, 0, 0), &z, &e) == 0,
	   "%s", e.text);
	OK(z && z->n_days == 2, "special days of both");
	unlink(ics_file(""));
	calendar_zone_free(&z);
}

TEST(clocks_change_as_a_file_says)
{
	struct fault e = {""};
	size_t n;

	/* UNTIL counts in UTC: the first of March at midnight there is its last change */
	OK(events_of(
	           VTIMEZONE("Mine", CLOCKS("STANDARD", "20000301T000000", "+0300", "+0330",
	                                    "RRULE:FREQ=YEARLY;UNTIL=20260228T210000Z\r\n")
	                                     CLOCKS("DAYLIGHT", "20000901T000000", "+0330", "+0300",
	                                            "RRULE:FREQ=YEARLY;UNTIL=20250831T203000Z\r\n"
	                                            "RDATE:20260701T000000\r\n"))
	                   EVENT("UID:1\r\nDTSTART;TZID=Mine:20260601T120000\r\n")
	                           EVENT("UID:2\r\nDTSTART;TZID=Mine:20260801T120000\r\n")
	                                   EVENT("UID:3\r\nDTSTART;TZID=Mine:20261101T120000\r\n"),
	           &n, &e) == 0,
	   "%s", e.text);
	OK(n == 3 && out[0].us == at(2026, 6, 1, 8, 30).us, "the last of the rule holds");
	OK(n == 3 && out[1].us == at(2026, 8, 1, 9, 0).us, "a listed one");
	OK(n == 3 && out[2].us == at(2026, 11, 1, 9, 0).us, "no more of the rules");
}

TEST(zones_of_the_system_are_found_behind_other_names)
{
	struct fault e = {""};
	size_t n;

	OK(events_of(EVENT("UID:1\r\nDTSTART;TZID=/example.org/2026_1/Europe/"
	                   "Berlin:20260701T090000\r\n")
	                     EVENT("UID:2\r\nDTSTART;TZID=Here:20260702T090000\r\n") VTIMEZONE(
	                             "Here", "X-LIC-LOCATION:America/Argentina/Ushuaia\r\n"),
	             &n, &e) == 0,
	   "%s", e.text);
	OK(n == 2 && out[0].us == at(2026, 7, 1, 7, 0).us && out[1].us == at(2026, 7, 2, 12, 0).us);
}

TEST(zones_that_are_described_badly_are_named)
{
	static const struct {
		const char *zone, *words;
	} bad[] = {
	        {"", "no VTIMEZONE"},
	        {VTIMEZONE("Other", CLOCKS("STANDARD", "20000101T000000", "+0000", "+0100", "")),
	         "no VTIMEZONE"},
	        {VTIMEZONE("Mine", ""), "neither STANDARD nor DAYLIGHT"},
	        {VTIMEZONE("Mine", CLOCKS("STANDARD", "20000101T000000", "+9000", "+0100", "")),
	         "TZOFFSETFROM"},
	        {VTIMEZONE("Mine", "BEGIN:STANDARD\r\nDTSTART:20000101T000000\r\n"
	                           "TZOFFSETFROM:+0100\r\nEND:STANDARD\r\n"),
	         "TZOFFSETTO"},
	        {VTIMEZONE("Mine", "BEGIN:STANDARD\r\nTZOFFSETTO:+0000\r\n"
	                           "TZOFFSETFROM:+0100\r\nEND:STANDARD\r\n"),
	         "DTSTART"},
	        {VTIMEZONE("Mine", CLOCKS("STANDARD", "20000101T000000", "+0000", "+0100",
	                                  "RRULE:FREQ=SECONDLY\r\n")),
	         "RRULE"},
	        {VTIMEZONE("Mine", CLOCKS("STANDARD", "20000101T000000", "+0000", "+0100",
	                                  "RRULE:FREQ=DAILY\r\n")),
	         "4096"},
	        {VTIMEZONE("Mine", CLOCKS("STANDARD", "00010101T000000", "+0000", "+0100",
	                                  "RRULE:FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30\r\n")),
	         "too much work"},
	};
	char text[1000];

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct fault e = {""};
		size_t n;

		snprintf(text, sizeof text, "%s%s",
		         EVENT("UID:1\r\nDTSTART;TZID=Mine:20260323T090000\r\n"), bad[i].zone);
		OK(events_of(text, &n, &e) < 0, "%zu", i);
		OK(strstr(e.text, bad[i].words) && strstr(e.text, "Mine"), "%zu: %s", i, e.text);
	}
}

TEST(bad_events_are_named)
{
	static const struct {
		const char *events, *words;
	} bad[] = {
	        {EVENT("UID:1\r\nDTSTART;TZID=Europe/Atlantis:20260323T090000\r\n"),
	         "Europe/Atlantis"},
	        {EVENT("UID:1\r\nDTSTART;TZID=../../etc/passwd:20260323T090000\r\n"), "TZID"},
	        {EVENT("UID:1\r\nDTSTART:20260323T090000Z\r\nDTEND:20260322T090000Z\r\n"),
	         "ends before"},
	        {EVENT("UID:1\r\nDTSTART:20260323T090000Z\r\nRRULE:FREQ=SECONDLY\r\n"), "RRULE"},
	        {EVENT("UID:1\r\nDTSTART:20200101T000000Z\r\nRRULE:FREQ=HOURLY;BYMINUTE=0,1,2,3,4,"
	               "5,6,7,8,9,"
	               "10,11,12,13,14,15,16,17,18,19,20\r\n"),
	         "20000"},
	        {EVENT("UID:1\r\n"), "DTSTART"},
	};
	struct fault e;
	size_t n;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		e.text[0] = '\0';
		OK(events_of(bad[i].events, &n, &e) < 0 && strstr(e.text, bad[i].words), "%zu: %s",
		   i, e.text);
	}
	/* one that never matches, as in no year there is a 30 February: no instants, and soon */
	OK(events_of(EVENT("UID:1\r\nDTSTART:20250101T000000Z\r\n"
	                   "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30\r\n"),
	             &n, &e) == 0 &&
	           n == 0,
	   "%zu %s", n, e.text);
	OK(calendar_expand("starts /nonexistent/x.ics", &zone_utc, at(2026, 1, 1, 0, 0),
	                   at(2026, 1, 1, 0, 0), at(2027, 1, 1, 0, 0), 0, out, MAX_AT, &n,
	                   &e) == -ENOENT &&
	           strstr(e.text, "/nonexistent/x.ics"),
	   "%s", e.text);
	OK(calendar_expand("starts XXXX", &zone_utc, at(2026, 1, 1, 0, 0), at(2026, 1, 1, 0, 0),
	                   at(2027, 1, 1, 0, 0), 0, out, MAX_AT, &n, &e) == -ENOENT,
	   "%s", e.text);
}

TEST(many_events_are_told_of_not_waited_for)
{
	struct fault e = {""};
	char *text = malloc(4u << 20), *to = text;
	size_t n;
	int rc;

	if (!text)
		return;
	for (int i = 0; i < 12000; i++)
		to += sprintf(to, EVENT("UID:%d\r\nDTSTART:20260323T090000Z\r\n"), i);
	rc = events_of(text, &n, &e);
	OK(rc == -EFBIG && strstr(e.text, "10000 events"), "%d %s", rc, e.text);
	/* rules that find nothing for a long time: all of a file share the steps of one */
	to = text;
	for (int i = 0; i < 3000; i++)
		to += sprintf(to,
		              EVENT("UID:%d\r\nDTSTART:19000101T090000Z\r\n"
		                    "RRULE:FREQ=HOURLY;COUNT=4000000;BYMONTH=2;BYMONTHDAY=30\r\n"),
		              i);
	rc = events_of(text, &n, &e);
	OK(rc == -E2BIG && strstr(e.text, "too much work"), "%d %s", rc, e.text);
	free(text);
}

static const char ics[] =
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nX-WR-TIMEZONE:Europe/Berlin\r\n"
        "BEGIN:VEVENT\r\nUID:1\r\nDTSTART;VALUE=DATE:20200101\r\nRRULE:FREQ=YEARLY\r\n"
        "EXDATE;VALUE=DATE:20270101\r\nSUMMARY:New Year\r\nEND:VEVENT\r\n"
        "BEGIN:VEVENT\r\nUID:2\r\nDTSTART;VALUE=DATE:20260706\r\nDTEND;VALUE=DATE:20260709\r\n"
        "SUMMARY:Works holiday\r\nEND:VEVENT\r\n"
        "BEGIN:VEVENT\r\nUID:3\r\nDTSTART;VALUE=DATE:20260708\r\nSUMMARY:Half day\r\nEND:VEVENT\r\n"
        "BEGIN:VEVENT\r\nUID:4\r\nDTSTART;VALUE=DATE:20260710\r\nSUMMARY:an Early\r\n  "
        "close\r\nEND:VEVENT\r\n"
        "BEGIN:VEVENT\r\nUID:5\r\nDTSTART;VALUE=DATE:20260711\r\nCATEGORIES:WORKING-DAY\r\nSUMMARY:"
        "x\r\nEND:VEVENT\r\n"
        "BEGIN:VEVENT\r\nUID:6\r\nDTSTART:20260713T100000Z\r\nSUMMARY:A meeting\r\nEND:VEVENT\r\n"
        "BEGIN:VEVENT\r\nUID:7\r\nDTSTART;VALUE=DATE:20260714\r\nSTATUS:CANCELLED\r\nSUMMARY:"
        "no\r\nEND:VEVENT\r\n"
        "END:VCALENDAR\r\n";

TEST(events_become_days)
{
	struct zone *z = zone("Europe/Berlin");
	struct fault e = {""};

	OK(calendar_add_days(z, ics, strlen(ics), at(2024, 1, 1, 0, 0), at(2030, 1, 1, 0, 0), &e) ==
	           0,
	   "%s", e.text);
	OK(kind(z, 2026, 1, 1) == ZONE_SUNDAY && kind(z, 2029, 1, 1) == ZONE_SUNDAY);
	OK(kind(z, 2027, 1, 1) == ZONE_WEEKDAY, "EXDATE");
	OK(kind(z, 2026, 7, 6) == ZONE_SUNDAY && kind(z, 2026, 7, 8) == ZONE_SUNDAY,
	   "closed wins over half");
	OK(kind(z, 2026, 7, 9) == ZONE_WEEKDAY, "DTEND is the day after");
	OK(kind(z, 2026, 7, 10) == ZONE_HALF_DAY, "a folded summary");
	OK(kind(z, 2026, 7, 11) == ZONE_WEEKDAY, "a working Saturday");
	OK(kind(z, 2026, 7, 13) == ZONE_WEEKDAY && kind(z, 2026, 7, 14) == ZONE_WEEKDAY);
	calendar_zone_free(&z);
}

TEST(bad_calendars_are_refused_and_change_nothing)
{
	static const char *const bad[] = {
	        "",
	        "no calendar",
	        "BEGIN:VEVENT\nEND:VEVENT\n",
	        "BEGIN:VCALENDAR\nBEGIN:VEVENT\n",
	        "END:VCALENDAR\n",
	        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:x\nEND:VEVENT\nEND:VCALENDAR\n",
	        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20269999\nEND:VEVENT\nEND:"
	        "VCALENDAR\n",
	        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20260101\nDTEND;VALUE=DATE:"
	        "20250101\nEND:VEVENT\nEND:VCALENDAR\n",
	};
	struct zone *z = zone("UTC");
	struct fault e;
	char *deep;
	struct rng g;
	size_t i, n = 0;

	for (i = 0; i < sizeof bad / sizeof *bad; i++)
		OK(calendar_add_days(z, bad[i], strlen(bad[i]), at(2024, 1, 1, 0, 0),
		                     at(2030, 1, 1, 0, 0), &e) == -EINVAL &&
		           z->n_days == 0,
		   "%zu", i);
	/* whole, and deeper than a recursion could free */
	deep = mem_calloc(200000, 16 + 14);
	for (i = 0; i < 200000; i++) {
		memcpy(deep + n, "BEGIN:VCALENDAR\n", 16);
		n += 16;
	}
	for (i = 0; i < 200000; i++) {
		memcpy(deep + n, "END:VCALENDAR\n", 14);
		n += 14;
	}
	OK(calendar_add_days(z, deep, n, at(2024, 1, 1, 0, 0), at(2030, 1, 1, 0, 0), &e) == -EFBIG,
	   "%s", e.text);
	n = 100000 * 30;
	memmove(deep + 100000 * 16, deep + 200000 * 16, 100000 * 14);
	OK(calendar_add_days(z, deep, n, at(2024, 1, 1, 0, 0), at(2030, 1, 1, 0, 0), &e) ==
	   -EINVAL);
	OK(strcmp(e.text, "line 9: more than 8 components inside each other") == 0, "%s", e.text);
	free(deep);
	/* bytes changed at random: anything but a crash or a hang */
	rng_init(&g, tap_seed);
	for (i = 0; i < 3000; i++) {
		char *copy = mem_dup(ics, strlen(ics));
		size_t k, flips = 1 + rng_below(&g, 5);

		for (k = 0; k < flips; k++)
			copy[rng_below(&g, strlen(ics))] = (char)rng_below(&g, 256);
		calendar_add_days(z, copy,
		                  rng_below(&g, 3) ? strlen(ics) : rng_below(&g, strlen(ics)),
		                  at(2024, 1, 1, 0, 0), at(2030, 1, 1, 0, 0), &e);
		free(copy);
	}
	calendar_zone_free(&z);
	OK(calendar_open("XXXX", NULL, at(2024, 1, 1, 0, 0), at(2030, 1, 1, 0, 0), &z, &e) ==
	           -ENOENT,
	   "%s", e.text);
	OK(calendar_open("./none.ics", NULL, at(2024, 1, 1, 0, 0), at(2030, 1, 1, 0, 0), &z, &e) ==
	   -ENOENT);
	OK(calendar_open("/dev/zero", NULL, at(2024, 1, 1, 0, 0), at(2030, 1, 1, 0, 0), &z, &e) ==
	   -EINVAL);
	OK(!z);
}

int main(int argc, char **argv)
{
	char dir[4096];

	tap_start(argc, argv);
	snprintf(dir, sizeof dir, "%s/models/calendars",
	         getenv("top_srcdir") ? getenv("top_srcdir") : ".");
	setenv("FORECACHED_CALENDARS", dir, 1);
	RUN(dates_count_from_1970);
	RUN(zones_say_what_the_c_library_says);
	RUN(a_zone_names_its_changes_to_the_second);
	RUN(unknown_and_impossible_zone_names_are_refused);
	RUN(damaged_zone_files_are_refused_or_read_never_more);
	RUN(half_past_nine_in_new_york_is_that_on_both_sides_of_a_change);
	RUN(times_that_a_change_skips_or_repeats_fire_once);
	RUN(a_local_time_is_an_instant);
	RUN(short_forms_mean_what_they_say);
	RUN(rules_follow_rfc_5545);
	RUN(a_window_gives_the_same_as_the_whole);
	RUN(rules_give_what_libical_gives);
	RUN(hostile_rules_end_soon);
	RUN(bad_rules_are_refused_with_the_part_that_is_wrong);
	RUN(random_text_is_refused_or_read);
	RUN(the_new_york_stock_exchange_is_closed_when_it_says);
	RUN(a_number_of_trading_days_is_what_the_exchange_counts);
	RUN(london_is_closed_on_its_bank_holidays_and_closes_early_before_christmas_and_new_year);
	RUN(tokyo_is_closed_on_national_holidays_their_substitutes_and_around_new_year);
	RUN(sessions_end_early_where_the_day_does);
	RUN(clocks_change_in_other_weeks_on_the_other_side_of_the_atlantic);
	RUN(instants_may_be_listed);
	RUN(events_of_a_file_keep_their_zones_and_exceptions);
	RUN(each_of_many_exceptions_is_found);
	RUN(zones_that_a_file_describes_hold);
	RUN(all_calendars_of_a_file_count);
	RUN(clocks_change_as_a_file_says);
	RUN(zones_of_the_system_are_found_behind_other_names);
	RUN(zones_that_are_described_badly_are_named);
	RUN(bad_events_are_named);
	RUN(many_events_are_told_of_not_waited_for);
	RUN(events_become_days);
	RUN(bad_calendars_are_refused_and_change_nothing);
	return tap_done();
}
