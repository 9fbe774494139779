/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "calendar/calendar.h"

#include "base/mem.h"
#include "calendar/civil.h"
#include "calendar/events.h"
#include "calendar/ics.h"
#include "calendar/rule.h"
#include "calendar/shipped.h"
#include "calendar/tzif.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef CALENDAR_DIR
#define CALENDAR_DIR "/usr/share/forecached/calendars"
#endif

#define MAX_ZONE_NAME  64
#define MAX_ZONE_BYTES (1u << 20)
#define MAX_ICS_DEPTH  8

/* Instants outside have no business in a schedule, and inside no sum below overflows. */
#define EARLIEST_S INT64_C(-2208988800) /* 1900-01-01 */
#define LATEST_S   INT64_C(7258118400)  /* 2200-01-01 */

int ics_refuse(struct calendar_error *e, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e->text, sizeof e->text, fmt, ap);
	va_end(ap);
	return err;
}

static bool within(struct instant t)
{
	return t.us >= EARLIEST_S * 1000000 && t.us <= LATEST_S * 1000000;
}

static int check_range(struct instant from, struct instant to, struct calendar_error *e)
{
	if (!within(from) || !within(to))
		return ics_refuse(e, -EINVAL, "the range must lie between the years 1900 and 2200");
	if (from.us >= to.us)
		return ics_refuse(e, -EINVAL, "the range is empty");
	if (to.us - from.us > CALENDAR_MAX_YEARS * INT64_C(366) * 86400 * 1000000)
		return ics_refuse(e, -EINVAL, "the range is longer than %d years",
		                  CALENDAR_MAX_YEARS);
	return 0;
}

/*
 * -- Files --------------------------------------------------------------------------------------
 */

/*
 * A regular file of at most max bytes, with a NUL behind it, to be freed. 0 or -errno, -EFBIG,
 * -EINVAL.
 */
static int read_file(const char *path, size_t max, char **ret, size_t *ret_n)
{
	struct stat st;
	char *text = NULL;
	size_t n = 0;
	ssize_t got = 1;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	else if ((uintmax_t)st.st_size > max)
		err = -EFBIG;
	if (err)
		goto out;
	text = malloc((size_t)st.st_size + 1);
	if (!text) {
		err = -ENOMEM;
		goto out;
	}
	while (n < (size_t)st.st_size && got > 0) {
		got = read(fd, text + n, (size_t)st.st_size - n);
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got < 0)
			err = -errno;
		else
			n += (size_t)got;
	}
	text[n] = '\0';
out:
	close(fd);
	if (err) {
		free(text);
		return err;
	}
	*ret = text;
	*ret_n = n;
	return 0;
}

/*
 * -- Zones --------------------------------------------------------------------------------------
 */

/* Only what a name of a zone can be gets near the file system. */
static bool zone_name_ok(const char *name)
{
	size_t i, n = strlen(name);

	if (n == 0 || n > MAX_ZONE_NAME || *name == '/' || name[n - 1] == '/')
		return false;
	for (i = 0; i < n; i++) {
		char c = name[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		      strchr("_+-/", c)))
			return false;
	}
	return true;
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
                  struct calendar_error *reterr)
{
	const char *dir = getenv("TZDIR"), *why;
	char path[4096], *file;
	struct zone_offset *rows;
	size_t n_file, n;
	int err = check_range(from, to, reterr);

	if (err)
		return err;
	if (!zone_name_ok(name))
		return ics_refuse(
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
	err = read_file(path, MAX_ZONE_BYTES, &file, &n_file);
	if (err == -ENOENT || err == -EISDIR || err == -ENOTDIR)
		return ics_refuse(reterr, -ENOENT,
		                  "unknown time zone '%s'; see timedatectl list-timezones%s", name,
		                  access(dir, R_OK) == 0
		                          ? ""
		                          : " (there are no zone files here: install tzdata)");
	if (err)
		return ics_refuse(reterr, err, "time zone '%s': %s", name, strerror(-err));
	err = tzif_rows((const uint8_t *)file, n_file, civil_floor_div(from.us, 1000000),
	                civil_floor_div(to.us, 1000000) + 1, &rows, &n, &why);
	free(file);
	if (err == -EINVAL)
		return ics_refuse(reterr, err, "time zone '%s': %s", name, why);
	if (err)
		return ics_refuse(reterr, err, "time zone '%s': %s", name, strerror(-err));
	*ret = zone_new(rows, n);
	return 0;
}

/*
 * -- Special days -------------------------------------------------------------------------------
 */

struct days {
	struct zone_day *v;
	size_t n, space;
	int64_t first, last; /* the days that are asked for */
};

static bool days_add(struct days *d, int64_t day, enum zone_day_kind kind)
{
	if (day < d->first || day > d->last)
		return true;
	if (d->n == CALENDAR_MAX_DAYS)
		return false;
	if (d->n == d->space) {
		d->space = d->space ? d->space * 2 : 64;
		d->v = mem_realloc(d->v, d->space, sizeof *d->v);
	}
	d->v[d->n++] = (struct zone_day){(int32_t)day, (uint8_t)kind};
	return true;
}

/* Where two events name one day: closed, then half, then working. */
static int rank(uint8_t kind)
{
	return kind == ZONE_SUNDAY ? 0 : kind == ZONE_HALF_DAY ? 1 : 2;
}

static int day_order(const void *a, const void *b)
{
	const struct zone_day *x = a, *y = b;

	return x->day != y->day ? (x->day > y->day) - (x->day < y->day)
	                        : rank(x->kind) - rank(y->kind);
}

static void days_sort(struct days *d)
{
	size_t i, n = 0;

	if (d->n)
		qsort(d->v, d->n, sizeof *d->v, day_order);
	for (i = 0; i < d->n; i++)
		if (n == 0 || d->v[n - 1].day != d->v[i].day)
			d->v[n++] = d->v[i];
	d->n = n;
}

static enum zone_day_kind event_kind(icalcomponent *event)
{
	icalproperty *p = icalcomponent_get_first_property(event, ICAL_CATEGORIES_PROPERTY);
	const char *text = p ? icalproperty_get_categories(p) : NULL;

	if (text && strcasestr(text, "HALF-DAY"))
		return ZONE_HALF_DAY;
	if (text && strcasestr(text, "WORKING-DAY"))
		return ZONE_WEEKDAY;
	text = icalcomponent_get_summary(event);
	if (text && (strcasestr(text, "half day") || strcasestr(text, "early close")))
		return ZONE_HALF_DAY;
	return ZONE_SUNDAY;
}

static int64_t day_of(struct icaltimetype t)
{
	return civil_days(t.year, t.month, t.day);
}

static bool is_exception(icalcomponent *event, int64_t day)
{
	icalproperty *p;

	for (p = icalcomponent_get_first_property(event, ICAL_EXDATE_PROPERTY); p;
	     p = icalcomponent_get_next_property(event, ICAL_EXDATE_PROPERTY))
		if (day_of(icalproperty_get_exdate(p)) == day)
			return true;
	return false;
}

#define MAX_RECURRENCES 4096

static int add_event(struct days *d, icalcomponent *event, struct calendar_error *e)
{
	icalproperty *start = icalcomponent_get_first_property(event, ICAL_DTSTART_PROPERTY), *p;
	struct icaltimetype begin, end;
	enum zone_day_kind kind = event_kind(event);
	const char *summary = icalcomponent_get_summary(event);
	struct rule rule;
	struct rule_error rule_error;
	struct instant *at;
	int64_t day, length = 1, i;
	size_t n = 0, k;
	int err = 0;

	if (!summary)
		summary = "";
	if (icalcomponent_get_status(event) == ICAL_STATUS_CANCELLED)
		return 0;
	if (!start)
		return ics_refuse(e, -EINVAL, "event '%.60s': DTSTART is missing or not a date",
		                  summary);
	begin = icalproperty_get_dtstart(start);
	if (icaltime_is_null_time(begin) || begin.month < 1 || begin.month > 12 || begin.day < 1 ||
	    begin.year < 1900 || begin.year > 2200 ||
	    begin.day > civil_month_days(begin.year, begin.month))
		return ics_refuse(e, -EINVAL,
		                  "event '%.60s': DTSTART is not a date from 1900 to 2200",
		                  summary);
	if (!begin.is_date)
		return 0;
	day = day_of(begin);
	end = icalcomponent_get_dtend(event);
	if (!icaltime_is_null_time(end) && end.month >= 1 && end.month <= 12)
		length = day_of(end) - day;
	if (length < 1 || length > 366)
		return ics_refuse(e, -EINVAL,
		                  "event '%.60s': lasts %lld days; the limit is 1 to 366", summary,
		                  (long long)length);
	p = icalcomponent_get_first_property(event, ICAL_RRULE_PROPERTY);
	if (!p) {
		for (i = 0; i < length; i++)
			if (!days_add(d, day + i, kind))
				goto full;
		return 0;
	}
	if (rule_parse(icalproperty_get_value_as_string(p), &rule, &rule_error))
		return ics_refuse(e, -EINVAL, "event '%.60s': RRULE: %.150s", summary,
		                  rule_error.text);
	at = mem_calloc(MAX_RECURRENCES, sizeof *at);
	err = rule_expand(&rule, &zone_utc, (struct instant){day * 86400 * 1000000},
	                  (struct instant){(d->first - 366) * 86400 * 1000000},
	                  (struct instant){(d->last + 1) * 86400 * 1000000}, false, at,
	                  MAX_RECURRENCES, &n);
	for (k = 0; !err && k < n; k++) {
		day = at[k].us / 1000000 / 86400;
		for (i = 0; i < length; i++)
			if (!is_exception(event, day) && !days_add(d, day + i, kind)) {
				free(at);
				goto full;
			}
	}
	free(at);
	if (err)
		return ics_refuse(e, err, "event '%.60s': its rule takes too long", summary);
	return 0;
full:
	return ics_refuse(e, -EFBIG, "more than %u special days", CALENDAR_MAX_DAYS);
}

/*
 * libical frees nested components by recursion, so that a file of a million BEGIN lines would end
 * the process; and it skips what it cannot read, so that a file cut short would lose holidays in
 * silence.
 */
static int check_nesting(const char *ics, size_t n, struct calendar_error *e)
{
	const char *p = ics, *end = ics + n;
	int depth = 0, line = 0;
	bool any = false;

	if (memchr(ics, '\0', n))
		return ics_refuse(e, -EINVAL, "the calendar has a NUL byte in it");
	while (p < end) {
		const char *eol = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((eol ? eol : end) - p);

		line++;
		if (len >= 6 && strncasecmp(p, "BEGIN:", 6) == 0) {
			if (!any && (len < 15 || strncasecmp(p + 6, "VCALENDAR", 9) != 0))
				break;
			any = true;
			if (++depth > MAX_ICS_DEPTH)
				return ics_refuse(
				        e, -EINVAL,
				        "line %d: more than %d components inside each other", line,
				        MAX_ICS_DEPTH);
		} else if (len >= 4 && strncasecmp(p, "END:", 4) == 0 && --depth < 0) {
			return ics_refuse(e, -EINVAL, "line %d: END without BEGIN", line);
		}
		p = eol ? eol + 1 : end;
	}
	if (!any)
		return ics_refuse(e, -EINVAL, "it is not a calendar: BEGIN:VCALENDAR is missing");
	if (depth)
		return ics_refuse(e, -EINVAL, "the calendar is cut short: END is missing");
	return 0;
}

static int parse_ics(const char *ics, size_t n, icalcomponent **ret, struct calendar_error *e)
{
	char *copy;
	int err;

	if (n > CALENDAR_MAX_ICS_BYTES)
		return ics_refuse(e, -EFBIG, "the calendar is larger than %u bytes",
		                  CALENDAR_MAX_ICS_BYTES);
	err = check_nesting(ics, n, e);
	if (err)
		return err;
	copy = mem_dup(ics, n);
	*ret = icalparser_parse_string(copy);
	free(copy);
	if (!*ret)
		return ics_refuse(e, -EINVAL, "the calendar cannot be read");
	return 0;
}

static int collect(icalcomponent *c, struct days *d, struct calendar_error *e)
{
	icalcomponent *event;
	int err;

	for (event = icalcomponent_get_first_component(c, ICAL_VEVENT_COMPONENT); event;
	     event = icalcomponent_get_next_component(c, ICAL_VEVENT_COMPONENT)) {
		err = add_event(d, event, e);
		if (err)
			return err;
	}
	/* several calendars in one file stand below a component of no kind */
	for (event = icalcomponent_get_first_component(c, ICAL_VCALENDAR_COMPONENT); event;
	     event = icalcomponent_get_next_component(c, ICAL_VCALENDAR_COMPONENT)) {
		err = collect(event, d, e);
		if (err)
			return err;
	}
	return 0;
}

static int add_days(struct zone *z, icalcomponent *c, struct instant from, struct instant to,
                    struct calendar_error *e)
{
	/* a local day may begin a day before or after that of UTC */
	struct days d = {.first = civil_floor_div(from.us, INT64_C(86400000000)) - 1,
	                 .last = civil_floor_div(to.us, INT64_C(86400000000)) + 1};
	size_t i;
	int err = collect(c, &d, e);

	for (i = 0; !err && i < z->n_days; i++)
		if (!days_add(&d, z->day[i].day, (enum zone_day_kind)z->day[i].kind))
			err = ics_refuse(e, -EFBIG, "more than %u special days", CALENDAR_MAX_DAYS);
	if (err) {
		free(d.v);
		return err;
	}
	days_sort(&d);
	free((void *)z->day);
	z->day = d.v;
	z->n_days = d.n;
	return 0;
}

int calendar_add_days(struct zone *z, const char *ics, size_t n_ics, struct instant from,
                      struct instant to, struct calendar_error *reterr)
{
	icalcomponent *c;
	int err = check_range(from, to, reterr);

	if (err)
		return err;
	err = parse_ics(ics, n_ics, &c, reterr);
	if (err)
		return err;
	err = add_days(z, c, from, to, reterr);
	icalcomponent_free(c);
	return err;
}

const char *ics_zone(icalcomponent *c)
{
	icalproperty *p;

	for (p = icalcomponent_get_first_property(c, ICAL_X_PROPERTY); p;
	     p = icalcomponent_get_next_property(c, ICAL_X_PROPERTY))
		if (strcasecmp(icalproperty_get_x_name(p), "X-WR-TIMEZONE") == 0)
			return icalproperty_get_x(p);
	return NULL;
}

bool ics_is_file(const char *s)
{
	size_t n = strlen(s);

	return strchr(s, '/') || (n > 4 && strcasecmp(s + n - 4, ".ics") == 0);
}

/* The calendar of that code that is built in. 0 or -ENOENT. */
static int copy_shipped(const char *code, char **ret, size_t *ret_n)
{
	for (const struct shipped_calendar *c = shipped_calendars; c->code; c++)
		if (strcmp(c->code, code) == 0) {
			*ret = mem_dup(c->ics, c->n);
			*ret_n = c->n;
			return 0;
		}
	return -ENOENT;
}

static int read_calendar(const char *file_or_code, char **ret, size_t *ret_n,
                         struct calendar_error *e)
{
	const char *dir[] = {getenv("FORECACHED_CALENDARS"), CALENDAR_DIR};
	char path[4096];
	size_t i;
	int err = -ENOENT;

	if (ics_is_file(file_or_code)) {
		err = read_file(file_or_code, CALENDAR_MAX_ICS_BYTES, ret, ret_n);
		if (err == -EFBIG)
			return ics_refuse(e, err, "%.150s: larger than %u bytes", file_or_code,
			                  CALENDAR_MAX_ICS_BYTES);
		return err ? ics_refuse(e, err, "%.150s: %s", file_or_code, strerror(-err)) : 0;
	}
	if (!zone_name_ok(file_or_code))
		return ics_refuse(e, -EINVAL,
		                  "'%.64s' is neither a file nor a market's code like XNYS",
		                  file_or_code);
	for (i = 0; i < sizeof dir / sizeof *dir && err == -ENOENT; i++) {
		if (!dir[i] || !*dir[i])
			continue;
		snprintf(path, sizeof path, "%s/%s.ics", dir[i], file_or_code);
		err = read_file(path, CALENDAR_MAX_ICS_BYTES, ret, ret_n);
	}
	if (err == -ENOENT)
		err = copy_shipped(file_or_code, ret, ret_n);
	if (err == -ENOENT)
		return ics_refuse(
		        e, err,
		        "no calendar '%s' in %.120s and none built in; give a FILE.ics, or "
		        "set FORECACHED_CALENDARS",
		        file_or_code, CALENDAR_DIR);
	return err ? ics_refuse(e, err, "calendar '%s': %s", file_or_code, strerror(-err)) : 0;
}

int ics_open(const char *file_or_code, icalcomponent **ret, struct calendar_error *reterr)
{
	struct calendar_error why;
	char *ics;
	size_t n;
	int err = read_calendar(file_or_code, &ics, &n, reterr);

	if (err)
		return err;
	err = parse_ics(ics, n, ret, &why);
	free(ics);
	return err ? ics_refuse(reterr, err, "%.80s: %.170s", file_or_code, why.text) : 0;
}

int calendar_open(const char *file_or_code, const char *tz, struct instant from, struct instant to,
                  struct zone **ret, struct calendar_error *reterr)
{
	icalcomponent *c = NULL;
	struct zone *z = NULL;
	struct calendar_error why;
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
		err = add_days(z, c, from, to, &why);
	if (err) {
		ics_refuse(reterr, err, "%.80s: %.170s", file_or_code, why.text);
		calendar_zone_free(&z);
	}
	icalcomponent_free(c);
	if (!err)
		*ret = z;
	return err;
}

/*
 * -- Schedules ----------------------------------------------------------------------------------
 */

int calendar_instant(const char *text, const struct zone *z, struct instant *ret,
                     struct calendar_error *reterr)
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
	return ics_refuse(reterr, -EINVAL, "'%.40s' is not a time like 2026-11-23T09:30", text);
}

bool calendar_own_zone(const char *file_or_code, char *ret, size_t cap)
{
	struct calendar_error why;
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

const char *calendar_source(const char *rule)
{
	return events_source(rule);
}

int calendar_expand(const char *rule, const struct zone *z, struct instant dtstart,
                    struct instant from, struct instant to, unsigned flags, struct instant *ret,
                    size_t max, size_t *ret_n, struct calendar_error *reterr)
{
	struct rule r;
	struct rule_error why;
	int err = check_range(from, to, reterr);

	*ret_n = 0;
	if (err)
		return err;
	if (!within(dtstart))
		return ics_refuse(reterr, -EINVAL,
		                  "the start must lie between the years 1900 and 2200");
	if (events_is_rule(rule))
		return events_expand(rule, z, from, to, flags & CALENDAR_SKIP_HOLIDAYS, ret, max,
		                     ret_n, reterr);
	if (rule_parse(rule, &r, &why))
		return ics_refuse(reterr, -EINVAL, "%.255s", why.text);
	err = rule_expand(&r, z, dtstart, from, to, flags & CALENDAR_SKIP_HOLIDAYS, ret, max,
	                  ret_n);
	if (err)
		return ics_refuse(reterr, err, "the rule takes too much work: more than %u steps",
		                  RULE_MAX_STEPS);
	return 0;
}
