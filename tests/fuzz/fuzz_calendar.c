/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Schedules, .ics files, zones that these describe, and zone files: the first byte says which. */
#include "tests/fuzz/fuzz.h"

#include "base/bug.h"
#include "base/mem.h"
#include "calendar/calendar.h"
#include "calendar/tzif.h"
#include "calendar/vtimezone.h"

#include <stdlib.h>
#include <string.h>

static const char *const words[] = {"FREQ=",
                                    "HOURLY",
                                    "YEARLY",
                                    ";BYDAY=",
                                    "-1SU",
                                    ";BYSETPOS=",
                                    ";BYWEEKNO=",
                                    ";COUNT=9",
                                    ";UNTIL=20301231",
                                    "weekdays ",
                                    "09:30",
                                    "*/5 * * * *",
                                    "BEGIN:",
                                    "END:",
                                    "VCALENDAR\n",
                                    "VEVENT\n",
                                    "RRULE:",
                                    "DTSTART;VALUE=DATE:",
                                    "DTEND;VALUE=DATE:",
                                    "20260101\n",
                                    "EXDATE:",
                                    "CATEGORIES:HALF-DAY\n",
                                    "SUMMARY:",
                                    "DTSTART;TZID=a:20260101T093000\n",
                                    "VTIMEZONE\nTZID:a\n",
                                    "STANDARD\nDTSTART:16010101T020000\n",
                                    "TZOFFSETFROM:+0100\n",
                                    "TZOFFSETTO:-0230\n",
                                    "TZif2",
                                    "M3.2.0/2",
                                    NULL};

const struct fuzz_target fuzz_target = {"calendar", words, 4096};

static const struct instant from = {INT64_C(1704067200000000)}; /* 2024 to 2030 */
static const struct instant to = {INT64_C(1893456000000000)};

static void schedule(const char *text)
{
	struct fault e = {""};
	struct instant at[64];
	size_t n, i;
	int err = calendar_expand(text, &zone_utc, from, from, to, 0, at, 64, &n, &e);

	BUG_ON(n > 64 || (err && (n || !*e.text)));
	for (i = 0; i < n; i++)
		BUG_ON(at[i].us < from.us || at[i].us >= to.us || (i && at[i].us <= at[i - 1].us));
}

static void days(const char *text, size_t n)
{
	struct fault e = {""};
	struct zone *z;
	size_t i;

	BUG_ON(calendar_zone("UTC", from, to, &z, &e));
	if (calendar_add_days(z, text, n, from, to, &e))
		BUG_ON(!*e.text || z->n_days);
	for (i = 0; i < z->n_days; i++)
		BUG_ON(z->day[i].kind >= ZONE_DAY_KINDS ||
		       (i && z->day[i].day <= z->day[i - 1].day));
	calendar_zone_free(&z);
}

static void rows_hold(const struct zone_offset *row, size_t n)
{
	BUG_ON(!n);
	for (size_t i = 0; i < n; i++) {
		BUG_ON(abs(row[i].offset_s) > 26 * 3600);
		BUG_ON(i && (row[i].from.us <= row[i - 1].from.us ||
		             row[i].offset_s == row[i - 1].offset_s));
	}
}

static void described_zone(const char *text, size_t n)
{
	struct fault e = {""};
	uint32_t steps = 20000;
	icalcomponent *file;
	struct zone *z;

	if (ics_parse(text, n, &file, &e)) {
		BUG_ON(!*e.text);
		return;
	}
	if (vtimezone_named(file, "a", from, to, &steps, &z, &e)) {
		BUG_ON(!*e.text);
	} else {
		rows_hold(z->offset, z->n_offsets);
		BUG_ON(z->offset[0].from.us != from.us);
		calendar_zone_free(&z);
	}
	icalcomponent_free(file);
}

static void zone_file(const uint8_t *file, size_t n_file)
{
	struct zone_offset *rows;
	const char *why = NULL;
	size_t n;

	if (tzif_rows(file, n_file, from.us / 1000000, to.us / 1000000, &rows, &n, &why)) {
		BUG_ON(!why);
		return;
	}
	rows_hold(rows, n);
	BUG_ON(rows[0].from.us != from.us);
	free(rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size == 0)
		return 0;
	text = mem_dup(data + 1, size - 1);
	if (data[0] == 's')
		schedule(text);
	else if (data[0] == 'z')
		zone_file(data + 1, size - 1);
	else if (data[0] == 'v')
		described_zone(text, size - 1);
	else
		days(text, size - 1);
	free(text);
	return 0;
}
