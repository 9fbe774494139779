/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "calendar/ics.h"

#include "base/mem.h"
#include "calendar/file.h"
#include "calendar/shipped.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#ifndef CALENDAR_DIR
#define CALENDAR_DIR "/usr/share/forecached/calendars"
#endif

#define MAX_DEPTH 8

/*
 * libical frees nested components by recursion, so that a file of a million BEGIN lines would end
 * the process; and it skips what it cannot read, so that a file cut short would lose holidays in
 * silence.
 */
static int check_nesting(const char *ics, size_t n, struct fault *e)
{
	const char *p = ics, *end = ics + n;
	int depth = 0, line = 0;
	bool any = false;

	if (memchr(ics, '\0', n))
		return fault_set(e, -EINVAL, "the calendar has a NUL byte in it");
	while (p < end) {
		const char *eol = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((eol ? eol : end) - p);

		line++;
		if (len >= 6 && strncasecmp(p, "BEGIN:", 6) == 0) {
			if (!any && (len < 15 || strncasecmp(p + 6, "VCALENDAR", 9) != 0))
				break;
			any = true;
			if (++depth > MAX_DEPTH)
				return fault_set(
				        e, -EINVAL,
				        "line %d: more than %d components inside each other", line,
				        MAX_DEPTH);
		} else if (len >= 4 && strncasecmp(p, "END:", 4) == 0 && --depth < 0) {
			return fault_set(e, -EINVAL, "line %d: END without BEGIN", line);
		}
		p = eol ? eol + 1 : end;
	}
	if (!any)
		return fault_set(e, -EINVAL, "it is not a calendar: BEGIN:VCALENDAR is missing");
	if (depth)
		return fault_set(e, -EINVAL, "the calendar is cut short: END is missing");
	return 0;
}

int ics_parse(const char *ics, size_t n, icalcomponent **ret, struct fault *e)
{
	char *copy;
	int err;

	if (n > CALENDAR_MAX_ICS_BYTES)
		return fault_set(e, -EFBIG, "the calendar is larger than %u bytes",
		                 CALENDAR_MAX_ICS_BYTES);
	err = check_nesting(ics, n, e);
	if (err)
		return err;
	copy = mem_dup(ics, n);
	*ret = icalparser_parse_string(copy);
	free(copy);
	if (!*ret)
		return fault_set(e, -EINVAL, "the calendar cannot be read");
	return 0;
}

int ics_each(icalcomponent *file, icalcomponent_kind kind, ics_each_fn *fn, void *arg)
{
	int rc = 0;

	for (icalcompiter i = icalcomponent_begin_component(file, kind);
	     icalcompiter_deref(&i) && !rc; icalcompiter_next(&i))
		rc = fn(arg, icalcompiter_deref(&i));
	/* several calendars in one file stand below a component of no kind */
	for (icalcompiter i = icalcomponent_begin_component(file, ICAL_VCALENDAR_COMPONENT);
	     icalcompiter_deref(&i) && !rc; icalcompiter_next(&i))
		rc = ics_each(icalcompiter_deref(&i), kind, fn, arg);
	return rc;
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

static int read_calendar(const char *file_or_code, char **ret, size_t *ret_n, struct fault *e)
{
	const char *dir[] = {getenv("FORECACHED_CALENDARS"), CALENDAR_DIR};
	char path[4096];
	size_t i;
	int err = -ENOENT;

	if (ics_is_file(file_or_code)) {
		err = file_read(file_or_code, CALENDAR_MAX_ICS_BYTES, ret, ret_n);
		if (err == -EFBIG)
			return fault_set(e, err, "%.150s: larger than %u bytes", file_or_code,
			                 CALENDAR_MAX_ICS_BYTES);
		/* whoever gave a relative name may have meant it from elsewhere */
		if (err && *file_or_code != '/' && getcwd(path, sizeof path))
			return fault_set(e, err, "%.100s: %s (looked for in %.80s)", file_or_code,
			                 strerror(-err), path);
		return err ? fault_set(e, err, "%.150s: %s", file_or_code, strerror(-err)) : 0;
	}
	if (!file_name_ok(file_or_code))
		return fault_set(e, -EINVAL,
		                 "'%.64s' is neither a file nor a market's code like XNYS",
		                 file_or_code);
	for (i = 0; i < sizeof dir / sizeof *dir && err == -ENOENT; i++) {
		if (!dir[i] || !*dir[i])
			continue;
		snprintf(path, sizeof path, "%s/%s.ics", dir[i], file_or_code);
		err = file_read(path, CALENDAR_MAX_ICS_BYTES, ret, ret_n);
	}
	if (err == -ENOENT)
		err = copy_shipped(file_or_code, ret, ret_n);
	if (err == -ENOENT)
		return fault_set(
		        e, err,
		        "no calendar '%s' in %.120s and none built in; give a FILE.ics, or "
		        "set FORECACHED_CALENDARS",
		        file_or_code, CALENDAR_DIR);
	return err ? fault_set(e, err, "calendar '%s': %s", file_or_code, strerror(-err)) : 0;
}

int ics_open(const char *file_or_code, icalcomponent **ret, struct fault *reterr)
{
	struct fault why;
	char *ics;
	size_t n;
	int err = read_calendar(file_or_code, &ics, &n, reterr);

	if (err)
		return err;
	err = ics_parse(ics, n, ret, &why);
	free(ics);
	return err ? fault_set(reterr, err, "%.80s: %.170s", file_or_code, why.text) : 0;
}
