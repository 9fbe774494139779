/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "calendar/vtimezone.h"

#include "base/mem.h"
#include "base/vec.h"
#include "calendar/civil.h"
#include "calendar/file.h"
#include "calendar/rule.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* As in zone files: RFC 8536 section 3.2. */
#define MIN_OFFSET_S (-25 * 3600)
#define MAX_OFFSET_S (26 * 3600)

/* The clocks change. */
struct onset {
	int64_t at_s; /* UTC */
	int32_t from_s, to_s;
};

struct description {
	const char *tzid;
	struct instant to; /* later changes are of no interest */
	VEC(struct onset) onset;
	struct instant *buf; /* of VTIMEZONE_MAX_CHANGES */
	uint32_t *steps;
	struct fault *err;
};

/* -- What the file says ------------------------------------------------------------------------ */

struct search {
	const char *tzid;
	icalcomponent *found;
};

/* 1: it is the one. */
static int is_named(void *arg, icalcomponent *zone)
{
	icalproperty *p = icalcomponent_get_first_property(zone, ICAL_TZID_PROPERTY);
	const char *name = p ? icalproperty_get_tzid(p) : NULL;
	struct search *s = arg;

	if (!name || strcmp(name, s->tzid) != 0)
		return 0;
	s->found = zone;
	return 1;
}

/* The VTIMEZONE of that name, or NULL. */
static icalcomponent *find(icalcomponent *file, const char *tzid)
{
	struct search s = {tzid, NULL};

	ics_each(file, ICAL_VTIMEZONE_COMPONENT, is_named, &s);
	return s.found;
}

/* X-LIC-LOCATION, or NULL. */
static const char *location(icalcomponent *zone)
{
	for (icalproperty *p = icalcomponent_get_first_property(zone, ICAL_X_PROPERTY); p;
	     p = icalcomponent_get_next_property(zone, ICAL_X_PROPERTY))
		if (!strcasecmp(icalproperty_get_x_name(p), "X-LIC-LOCATION"))
			return icalproperty_get_x(p);
	return NULL;
}

static int wrong(struct description *d, const char *what)
{
	return fault_set(d->err, -EINVAL, "VTIMEZONE '%.64s': %s", d->tzid, what);
}

static int add_onset(struct description *d, struct onset o)
{
	if (d->onset.n == VTIMEZONE_MAX_CHANGES)
		return fault_set(d->err, -EFBIG,
		                 "VTIMEZONE '%.64s': its clocks change more than %u times", d->tzid,
		                 VTIMEZONE_MAX_CHANGES);
	*vec_push(&d->onset) = o;
	return 0;
}

/* Local times of an observance are those of the clocks before they change. False: it is no time. */
static bool onset_at(struct onset *o, struct icaltimetype t)
{
	if (t.is_date || t.year < 1 || t.year > 2200 || t.month < 1 || t.month > 12 || t.day < 1 ||
	    t.day > civil_month_days(t.year, t.month))
		return false;
	o->at_s = civil_days(t.year, t.month, t.day) * 86400 + t.hour * 3600 + t.minute * 60 +
	          t.second - o->from_s;
	return true;
}

static int add_dates(struct description *d, icalcomponent *c, struct onset o)
{
	for (icalproperty *p = icalcomponent_get_first_property(c, ICAL_RDATE_PROPERTY); p;
	     p = icalcomponent_get_next_property(c, ICAL_RDATE_PROPERTY)) {
		int rc;

		if (!onset_at(&o, icalproperty_get_rdate(p).time))
			return wrong(d, "an RDATE is not a date and time");
		rc = add_onset(d, o);
		if (rc)
			return rc;
	}
	return 0;
}

/* What its RRULE gives after the first one. */
static int add_recurrences(struct description *d, icalcomponent *c, struct onset o)
{
	icalproperty *p = icalcomponent_get_first_property(c, ICAL_RRULE_PROPERTY);
	const struct zone_offset before = {INSTANT_NONE, o.from_s};
	const struct zone clocks = {.offset = &before, .n_offsets = 1};
	const struct instant first = {o.at_s * 1000000}, after = {first.us + 1};
	struct fault why;
	struct rule rule;
	size_t n = 0;
	int rc = 0;

	if (!p || !instant_before(after, d->to))
		return 0;
	if (rule_parse(icalproperty_get_value_as_string(p), &rule, &why))
		return fault_set(d->err, -EINVAL, "VTIMEZONE '%.64s': RRULE: %.140s", d->tzid,
		                 why.text);
	if (rule_expand_within(&rule, &clocks, first, after, d->to, false, d->buf,
	                       VTIMEZONE_MAX_CHANGES, &n, d->steps))
		return fault_set(d->err, -E2BIG, "VTIMEZONE '%.64s': its rules take too much work",
		                 d->tzid);
	for (size_t i = 0; i < n && !rc; i++) {
		o.at_s = d->buf[i].us / 1000000;
		rc = add_onset(d, o);
	}
	return rc;
}

/* The offset that a STANDARD or DAYLIGHT goes from or to. */
static bool offset_of(icalcomponent *c, icalproperty_kind kind, int32_t *ret_s)
{
	icalproperty *p = icalcomponent_get_first_property(c, kind);

	if (!p)
		return false;
	*ret_s = kind == ICAL_TZOFFSETFROM_PROPERTY ? icalproperty_get_tzoffsetfrom(p)
	                                            : icalproperty_get_tzoffsetto(p);
	return *ret_s >= MIN_OFFSET_S && *ret_s <= MAX_OFFSET_S;
}

static int add_observance(struct description *d, icalcomponent *c)
{
	icalproperty *start = icalcomponent_get_first_property(c, ICAL_DTSTART_PROPERTY);
	struct onset o;
	int rc;

	if (!offset_of(c, ICAL_TZOFFSETFROM_PROPERTY, &o.from_s))
		return wrong(d, "TZOFFSETFROM is missing, or not from -2500 to +2600");
	if (!offset_of(c, ICAL_TZOFFSETTO_PROPERTY, &o.to_s))
		return wrong(d, "TZOFFSETTO is missing, or not from -2500 to +2600");
	if (!start || !onset_at(&o, icalproperty_get_dtstart(start)))
		return wrong(d, "DTSTART is missing, or not a date and time");
	rc = add_onset(d, o);
	rc = rc ? rc : add_recurrences(d, c, o);
	return rc ? rc : add_dates(d, c, o);
}

static int read_observances(struct description *d, icalcomponent *zone)
{
	int rc = 0;

	for (icalcompiter i = icalcomponent_begin_component(zone, ICAL_ANY_COMPONENT);
	     icalcompiter_deref(&i) && !rc; icalcompiter_next(&i)) {
		icalcomponent *c = icalcompiter_deref(&i);
		icalcomponent_kind kind = icalcomponent_isa(c);

		if (kind == ICAL_XSTANDARD_COMPONENT || kind == ICAL_XDAYLIGHT_COMPONENT)
			rc = add_observance(d, c);
	}
	return !rc && !d->onset.n ? wrong(d, "has neither STANDARD nor DAYLIGHT") : rc;
}

/* -- The zone of it ---------------------------------------------------------------------------- */

static int by_time(const void *a, const void *b)
{
	const struct onset *x = a, *y = b;

	return x->at_s != y->at_s ? (x->at_s > y->at_s) - (x->at_s < y->at_s) : x->to_s - y->to_s;
}

static struct zone *zone_of(struct description *d, struct instant from)
{
	struct zone_offset *row = mem_calloc(d->onset.n + 1, sizeof(*row));
	struct zone *z = mem_calloc(1, sizeof(*z));
	size_t n = 1;

	qsort(d->onset.v, d->onset.n, sizeof(*d->onset.v), by_time);
	row[0] = (struct zone_offset){from, d->onset.v[0].from_s};
	for (size_t i = 0; i < d->onset.n; i++) {
		struct zone_offset next = {{d->onset.v[i].at_s * 1000000}, d->onset.v[i].to_s};

		if (!instant_before(from, next.from))
			row[0].offset_s = next.offset_s;
		else if (instant_before(next.from, d->to) && row[n - 1].offset_s != next.offset_s)
			row[n++] = next;
	}
	z->offset = row;
	z->n_offsets = n;
	return z;
}

static int describe(icalcomponent *zone, const char *tzid, struct instant from, struct instant to,
                    uint32_t *steps, struct zone **ret, struct fault *reterr)
{
	struct description d = {.tzid = tzid, .to = to, .steps = steps, .err = reterr};
	int rc;

	d.buf = mem_calloc(VTIMEZONE_MAX_CHANGES, sizeof(*d.buf));
	rc = read_observances(&d, zone);
	if (!rc)
		*ret = zone_of(&d, from);
	free(d.buf);
	vec_free(&d.onset);
	return rc;
}

/* What a TZID that is meant to be one of its kind in the world ends in, if that is a zone here. */
static bool zone_at_end(const char *tzid, struct instant from, struct instant to, struct zone **ret)
{
	struct fault why;

	while (*tzid == '/') {
		if (!calendar_zone(++tzid, from, to, ret, &why))
			return true;
		tzid += strcspn(tzid, "/");
	}
	return false;
}

int vtimezone_named(icalcomponent *file, const char *tzid, struct instant from, struct instant to,
                    uint32_t *steps, struct zone **ret, struct fault *reterr)
{
	int rc = file_name_ok(tzid) ? calendar_zone(tzid, from, to, ret, reterr) : -ENOENT;
	struct fault why;
	icalcomponent *zone;
	const char *name;

	if (rc != -ENOENT)
		return rc;
	if (zone_at_end(tzid, from, to, ret))
		return 0;
	zone = find(file, tzid);
	if (!zone)
		return fault_set(reterr, -ENOENT,
		                 "'%.64s' is no time zone of this system (timedatectl "
		                 "list-timezones), and the file has no VTIMEZONE of that name",
		                 tzid);
	name = location(zone);
	if (name && !calendar_zone(name, from, to, ret, &why))
		return 0;
	return describe(zone, tzid, from, to, steps, ret, reterr);
}
