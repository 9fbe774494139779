/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "calendar/calendar.h"

#include "base/mem.h"
#include "calendar/civil.h"
#include "calendar/days.h"
#include "calendar/events.h"
#include "calendar/file.h"
#include "calendar/ics.h"
#include "calendar/rule.h"
#include "calendar/tzif.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_ZONE_BYTES (1u << 20)

/* Instants outside have no business in a schedule, and inside no sum below overflows. */
#define EARLIEST_S INT64_C(-2208988800) /* 1900-01-01 */
#define LATEST_S   INT64_C(7258118400)  /* 2200-01-01 */

static bool within(struct instant t)
{
	return t.us >= EARLIEST_S * 1000000 && t.us <= LATEST_S * 1000000;
}

static int check_range(struct instant from, struct instant to, struct fault *e)
{
	if (!within(from) || !within(to))
		return fault_set(e, -EINVAL, "the range must lie between the years 1900 and 2200");
	if (from.us >= to.us)
		return fault_set(e, -EINVAL, "the range is empty");
	if (to.us - from.us > CALENDAR_MAX_YEARS * INT64_C(366) * 86400 * 1000000)
		return fault_set(e, -EINVAL, "the range is longer than %d years",
		                 CALENDAR_MAX_YEARS);
	return 0;
}

static struct zone *zone_new(struct zone_offset *offset, size_t n)
{
	struct zone *z = mem_calloc(1, sizeof *z);

	z->offset = offset;
	z->n_offsets = n;
	return z;
}

void calendar_zone_free(struct zone **z)
{
	if (!*z)
		return;
	free((void *)(*z)->offset);
	free((void *)(*z)->day);
	free(*z);
	*z = NULL;
}

int calendar_zone(const char *name, struct instant from, struct instant to, struct zone **ret,
                  struct fault *reterr)
{
	const char *dir = getenv("TZDIR"), *why;
	char path[4096], *file;
	struct zone_offset *rows;
	size_t n_file, n;
	int err = check_range(from, to, reterr);

	if (err)
		return err;
	if (!file_name_ok(name))
		return fault_set(
		        reterr, -EINVAL,
		        "'%.64s' cannot be a time zone's name; see timedatectl list-timezones",
		        name);
	if (strcmp(name, "UTC") == 0) { /* needs no file, so that a host without tzdata starts */
		*ret = zone_new(NULL, 0);
		return 0;
	}
	if (!dir || !*dir)
		dir = "/usr/share/zoneinfo";
	snprintf(path, sizeof path, "%s/%s", dir, name);
	err = file_read(path, MAX_ZONE_BYTES, &file, &n_file);
	if (err == -ENOENT || err == -EISDIR || err == -ENOTDIR)
		return fault_set(reterr, -ENOENT,
		                 "unknown time zone '%s'; see timedatectl list-timezones%s", name,
		                 access(dir, R_OK) == 0
		                         ? ""
		                         : " (there are no zone files here: install tzdata)");
	if (err)
		return fault_set(reterr, err, "time zone '%s': %s", name, strerror(-err));
	err = tzif_rows((const uint8_t *)file, n_file, civil_floor_div(from.us, 1000000),
	                civil_floor_div(to.us, 1000000) + 1, &rows, &n, &why);
	free(file);
	if (err == -EINVAL)
		return fault_set(reterr, err, "time zone '%s': %s", name, why);
	if (err)
		return fault_set(reterr, err, "time zone '%s': %s", name, strerror(-err));
	*ret = zone_new(rows, n);
	return 0;
}

int calendar_add_days(struct zone *z, const char *ics, size_t n_ics, struct instant from,
                      struct instant to, struct fault *reterr)
{
	icalcomponent *c;
	int err = check_range(from, to, reterr);

	if (err)
		return err;
	err = ics_parse(ics, n_ics, &c, reterr);
	if (err)
		return err;
	err = days_add(z, c, from, to, reterr);
	icalcomponent_free(c);
	return err;
}

int calendar_open(const char *file_or_code, const char *tz, struct instant from, struct instant to,
                  struct zone **ret, struct fault *reterr)
{
	icalcomponent *c = NULL;
	struct zone *z = NULL;
	struct fault why;
	int err = check_range(from, to, reterr);

	if (err)
		return err;
	err = ics_open(file_or_code, &c, reterr);
	if (err)
		return err;
	if (!tz)
		tz = ics_zone(c);
	err = calendar_zone(tz ? tz : "UTC", from, to, &z, &why);
	if (!err)
		err = days_add(z, c, from, to, &why);
	if (err) {
		fault_set(reterr, err, "%.80s: %.170s", file_or_code, why.text);
		calendar_zone_free(&z);
	}
	icalcomponent_free(c);
	if (!err)
		*ret = z;
	return err;
}

/* -- Schedules -------------------------------------------------------------------------------- */

int calendar_instant(const char *text, const struct zone *z, struct instant *ret,
                     struct fault *reterr)
{
	int y, mo, d, h = 0, mi = 0, s = 0, n = 0, end = 0;
	bool utc;

	if (sscanf(text, "%4d-%2d-%2d%n", &y, &mo, &d, &end) < 3)
		goto bad;
	if (sscanf(text + end, "T%2d:%2d%n", &h, &mi, &n) == 2) {
		end += n;
		n = 0;
		if (sscanf(text + end, ":%2d%n", &s, &n) == 1)
			end += n;
	}
	utc = text[end] == 'Z';
	if (text[end + utc] || y < 1900 || y > 2199 || mo < 1 || mo > 12 || d < 1 ||
	    d > civil_month_days(y, mo) || h < 0 || h > 23 || mi < 0 || mi > 59 || s < 0 || s > 59)
		goto bad;
	ret->us = rule_local(utc ? &zone_utc : z,
	                     civil_days(y, mo, d) * 86400 + h * 3600 + mi * 60 + s) *
	          1000000;
	return 0;
bad:
	return fault_set(reterr, -EINVAL, "'%.40s' is not a time like 2026-11-23T09:30", text);
}

bool calendar_own_zone(const char *file_or_code, char *ret, size_t cap)
{
	struct fault why;
	icalcomponent *c = NULL;
	const char *name;

	if (ics_open(file_or_code, &c, &why))
		return false;
	name = ics_zone(c);
	if (name)
		snprintf(ret, cap, "%s", name);
	icalcomponent_free(c);
	return name;
}

bool calendar_is_file(const char *file_or_code)
{
	return ics_is_file(file_or_code);
}

const char *calendar_source(const char *rule)
{
	return events_source(rule);
}

int calendar_expand(const char *rule, const struct zone *z, struct instant dtstart,
                    struct instant from, struct instant to, unsigned flags, struct instant *ret,
                    size_t max, size_t *ret_n, struct fault *reterr)
{
	struct rule r;
	struct fault why;
	int err = check_range(from, to, reterr);

	*ret_n = 0;
	if (err)
		return err;
	if (!within(dtstart))
		return fault_set(reterr, -EINVAL,
		                 "the start must lie between the years 1900 and 2200");
	if (events_is_rule(rule))
		return events_expand(rule, z, from, to, flags & CALENDAR_SKIP_HOLIDAYS, ret, max,
		                     ret_n, reterr);
	if (rule_parse(rule, &r, &why))
		return fault_set(reterr, -EINVAL, "%.255s", why.text);
	err = rule_expand(&r, z, dtstart, from, to, flags & CALENDAR_SKIP_HOLIDAYS, ret, max,
	                  ret_n);
	if (err)
		return fault_set(reterr, err, "the rule takes too much work: more than %u steps",
		                 RULE_MAX_STEPS);
	return 0;
}
