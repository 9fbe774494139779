/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "calendar/days.h"

#include "base/mem.h"
#include "calendar/civil.h"
#include "calendar/ics.h"
#include "calendar/rule.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DAY_US          INT64_C(86400000000)
#define LONGEST_DAYS    366 /* of one event */
#define MAX_RECURRENCES 4096

/* Under construction. */
struct table {
	struct zone_day *v;
	size_t n, space;
	int64_t first, last; /* the days that are asked for */
	struct fault *err;
};

static bool table_add(struct table *d, int64_t day, enum zone_day_kind kind)
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

static void table_sort(struct table *d)
{
	size_t i, n = 0;

	if (d->n)
		qsort(d->v, d->n, sizeof *d->v, day_order);
	for (i = 0; i < d->n; i++)
		if (n == 0 || d->v[n - 1].day != d->v[i].day)
			d->v[n++] = d->v[i];
	d->n = n;
}

static int full(struct fault *e)
{
	return fault_set(e, -EFBIG, "more than %u special days", CALENDAR_MAX_DAYS);
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

static const char *summary_of(icalcomponent *event)
{
	const char *s = icalcomponent_get_summary(event);

	return s ? s : "";
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

/* False: there are too many. */
static bool add_span(struct table *d, int64_t day, int64_t length, enum zone_day_kind kind)
{
	for (int64_t i = 0; i < length; i++)
		if (!table_add(d, day + i, kind))
			return false;
	return true;
}

/* The first day of the event, and how many it takes. 0 length: it has a time of day. */
static int span_of(icalcomponent *event, const char *summary, int64_t *ret_day, int64_t *ret_length,
                   struct fault *e)
{
	icalproperty *start = icalcomponent_get_first_property(event, ICAL_DTSTART_PROPERTY);
	struct icaltimetype begin, end = icalcomponent_get_dtend(event);

	*ret_length = 0;
	if (!start)
		return fault_set(e, -EINVAL, "event '%.60s': DTSTART is missing or not a date",
		                 summary);
	begin = icalproperty_get_dtstart(start);
	if (icaltime_is_null_time(begin) || begin.month < 1 || begin.month > 12 || begin.day < 1 ||
	    begin.year < 1900 || begin.year > 2200 ||
	    begin.day > civil_month_days(begin.year, begin.month))
		return fault_set(e, -EINVAL,
		                 "event '%.60s': DTSTART is not a date from 1900 to 2200", summary);
	if (!begin.is_date)
		return 0;
	*ret_day = day_of(begin);
	*ret_length = 1;
	if (!icaltime_is_null_time(end) && end.month >= 1 && end.month <= 12)
		*ret_length = day_of(end) - *ret_day;
	if (*ret_length < 1 || *ret_length > LONGEST_DAYS)
		return fault_set(e, -EINVAL, "event '%.60s': lasts %lld days; the limit is 1 to %d",
		                 summary, (long long)*ret_length, LONGEST_DAYS);
	return 0;
}

static int add_recurrences(struct table *d, icalcomponent *event, const struct rule *rule,
                           int64_t day, int64_t length, struct fault *e)
{
	struct instant *at = mem_calloc(MAX_RECURRENCES, sizeof *at);
	enum zone_day_kind kind = event_kind(event);
	bool fits = true;
	size_t n = 0;
	int err = rule_expand(rule, &zone_utc, (struct instant){day * DAY_US},
	                      (struct instant){(d->first - LONGEST_DAYS) * DAY_US},
	                      (struct instant){(d->last + 1) * DAY_US}, false, at, MAX_RECURRENCES,
	                      &n);

	for (size_t i = 0; !err && i < n && fits; i++) {
		day = at[i].us / DAY_US;
		fits = is_exception(event, day) || add_span(d, day, length, kind);
	}
	free(at);
	if (err)
		return fault_set(e, err, "event '%.60s': its rule takes too long",
		                 summary_of(event));
	return fits ? 0 : full(e);
}

static int add_event(void *arg, icalcomponent *event)
{
	struct table *d = arg;
	struct fault *e = d->err;
	icalproperty *p = icalcomponent_get_first_property(event, ICAL_RRULE_PROPERTY);
	const char *summary = summary_of(event);
	struct fault why;
	struct rule rule;
	int64_t day, length;
	int err;

	if (icalcomponent_get_status(event) == ICAL_STATUS_CANCELLED)
		return 0;
	err = span_of(event, summary, &day, &length, e);
	if (err || !length)
		return err;
	if (!p)
		return add_span(d, day, length, event_kind(event)) ? 0 : full(e);
	if (rule_parse(icalproperty_get_value_as_string(p), &rule, &why))
		return fault_set(e, -EINVAL, "event '%.60s': RRULE: %.150s", summary, why.text);
	return add_recurrences(d, event, &rule, day, length, e);
}

int days_add(struct zone *z, icalcomponent *c, struct instant from, struct instant to,
             struct fault *e)
{
	/* a local day may begin a day before or after that of UTC */
	struct table d = {.first = civil_floor_div(from.us, DAY_US) - 1,
	                  .last = civil_floor_div(to.us, DAY_US) + 1,
	                  .err = e};
	size_t i;
	int err = ics_each(c, ICAL_VEVENT_COMPONENT, add_event, &d);

	for (i = 0; !err && i < z->n_days; i++)
		if (!table_add(&d, z->day[i].day, (enum zone_day_kind)z->day[i].kind))
			err = full(e);
	if (err) {
		free(d.v);
		return err;
	}
	table_sort(&d);
	free((void *)z->day);
	z->day = d.v;
	z->n_days = d.n;
	return 0;
}
