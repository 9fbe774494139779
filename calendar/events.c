/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "calendar/events.h"

#include "base/mem.h"
#include "base/vec.h"
#include "calendar/civil.h"
#include "calendar/ics.h"
#include "calendar/rule.h"
#include "calendar/vtimezone.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Recurrences of one event within the window; more are an error, not cut in silence. */
#define MAX_RECURRENCES 20000u

/* The longest event whose end is of interest. */
#define LONGEST_S (366 * 86400)

#define LONGEST_TZID 128
#define MAX_TZIDS    100

/* A zone that events name; few files name more than two. */
struct named_zone {
	char name[LONGEST_TZID];
	struct zone *zone;
};

/* An instance of a recurring event that another event stands in for. */
struct moved {
	const char *uid;
	int64_t utc_s;
};

struct expansion {
	icalcomponent *file;
	const struct zone *z; /* of floating times, and of closed days */
	struct instant from, to;
	bool ends;
	VEC(struct instant) at;
	VEC(struct named_zone) zone;
	VEC(struct moved) moved;   /* in order */
	VEC(int64_t) extra;        /* RDATEs of the event at hand */
	VEC(int64_t) left_out;     /* EXDATEs of the event at hand, in seconds UTC, in order */
	VEC(int64_t) left_out_day; /* those that are days, since 1970 */
	struct instant *buf;       /* of MAX_RECURRENCES */
	size_t n_events, n_whole_days;
	uint32_t steps; /* left for rules */
	struct fault *err;
};

/* -- Listed instants --------------------------------------------------------------------------- */

static bool word(const char *rule, const char *w, const char **ret_rest)
{
	size_t n = strlen(w);

	if (strncasecmp(rule, w, n) || rule[n] != ' ')
		return false;
	rule += n;
	*ret_rest = rule + strspn(rule, " ");
	return true;
}

bool events_is_rule(const char *rule)
{
	size_t n = strlen(rule);
	const char *rest;

	return word(rule, "at", &rest) || word(rule, "starts", &rest) ||
	       word(rule, "ends", &rest) ||
	       (n > 4 && !strcasecmp(rule + n - 4, ".ics") && !strpbrk(rule, "=;\n"));
}

const char *events_source(const char *rule)
{
	const char *rest = rule;

	if (!events_is_rule(rule) || word(rule, "at", &rest))
		return NULL;
	if (!word(rule, "starts", &rest))
		word(rule, "ends", &rest);
	return rest;
}

static int by_time(const void *a, const void *b)
{
	const struct instant *x = a, *y = b;

	return (x->us > y->us) - (x->us < y->us);
}

/* The earliest max of them, each once, those in the window and not on closed days. */
static void hand_out(struct expansion *x, bool skip_closed, struct instant *ret, size_t max,
                     size_t *ret_n)
{
	size_t n = 0;

	if (x->at.n)
		qsort(x->at.v, x->at.n, sizeof(*x->at.v), by_time);
	for (size_t i = 0; i < x->at.n && n < max; i++) {
		struct instant t = x->at.v[i];

		if (t.us < x->from.us || t.us >= x->to.us || (n && ret[n - 1].us == t.us) ||
		    (skip_closed && rule_is_closed(x->z, civil_floor_div(t.us, 1000000))))
			continue;
		ret[n++] = t;
	}
	*ret_n = n;
}

static int list_times(struct expansion *x, const char *list)
{
	if (!*list)
		return fault_set(x->err, -EINVAL, "at: which time? e.g. at 2026-12-24T12:30");
	while (*list) {
		size_t n = strcspn(list, ", ");
		char text[64];
		int rc;

		snprintf(text, sizeof(text), "%.*s", (int)(n < 63 ? n : 63), list);
		rc = calendar_instant(text, x->z, vec_push(&x->at), x->err);
		if (rc)
			return rc;
		list += n + strspn(list + n, ", ");
	}
	return 0;
}

/* -- Events ------------------------------------------------------------------------------------ */

static const char *text_or(const char *s)
{
	return s ? s : "";
}

static int wrong(struct expansion *x, icalcomponent *event, const char *what)
{
	return fault_set(x->err, -EINVAL, "event '%.60s': %s",
	                 text_or(icalcomponent_get_summary(event)), what);
}

/* The zone of that name, read once. */
static int zone_named(struct expansion *x, icalcomponent *event, const char *name,
                      const struct zone **ret)
{
	struct instant from = {x->from.us - (int64_t)LONGEST_S * 1000000};
	struct fault why;
	struct named_zone *z;
	int rc;

	for (size_t i = 0; i < x->zone.n; i++)
		if (!strcmp(x->zone.v[i].name, name)) {
			*ret = x->zone.v[i].zone;
			return 0;
		}
	if (strlen(name) >= LONGEST_TZID)
		return wrong(x, event, "its TZID is longer than 127 bytes");
	if (x->zone.n == MAX_TZIDS)
		return wrong(x, event, "the file names more than 100 time zones");
	z = vec_push(&x->zone);
	z->zone = NULL;
	snprintf(z->name, sizeof(z->name), "%s", name);
	rc = vtimezone_named(x->file, name, from, x->to, &x->steps, &z->zone, &why);
	if (rc) {
		x->zone.n--;
		return fault_set(x->err, rc, "event '%.40s': TZID: %.190s",
		                 text_or(icalcomponent_get_summary(event)), why.text);
	}
	*ret = z->zone;
	return 0;
}

static bool is_time(struct icaltimetype t)
{
	return t.year >= 1900 && t.year < 2200 && t.month >= 1 && t.month <= 12 && t.day >= 1 &&
	       t.day <= civil_month_days(t.year, t.month) && t.hour >= 0 && t.hour < 24 &&
	       t.minute >= 0 && t.minute < 60 && t.second >= 0 && t.second <= 60;
}

static int64_t local_s(struct icaltimetype t)
{
	return civil_days(t.year, t.month, t.day) * 86400 + t.hour * 3600 + t.minute * 60 +
	       t.second;
}

/* The instant of a date-time, and the zone that it is meant in. */
static int instant_of(struct expansion *x, icalcomponent *event, icalproperty *p,
                      struct icaltimetype t, int64_t *ret_s, const struct zone **ret_z)
{
	icalparameter *tzid = icalproperty_get_first_parameter(p, ICAL_TZID_PARAMETER);
	const struct zone *z = x->z;
	int rc = 0;

	if (!is_time(t))
		return wrong(x, event, "has a date or time that is none, or not from 1900 to 2200");
	if (icaltime_is_utc(t))
		z = &zone_utc;
	else if (tzid)
		rc = zone_named(x, event, text_or(icalparameter_get_tzid(tzid)), &z);
	if (rc)
		return rc;
	*ret_s = rule_local(z, local_s(t));
	*ret_z = z;
	return 0;
}

static int push(struct expansion *x, icalcomponent *event, int64_t utc_s)
{
	if (x->at.n >= EVENTS_MAX_INSTANTS)
		return fault_set(x->err, -EFBIG, "event '%.60s': more than %u instants in the file",
		                 text_or(icalcomponent_get_summary(event)), EVENTS_MAX_INSTANTS);
	*vec_push(&x->at) = (struct instant){utc_s * 1000000};
	return 0;
}

static int by_number(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int by_moved(const void *a, const void *b)
{
	const struct moved *x = a, *y = b;
	int d = by_number(&x->utc_s, &y->utc_s);

	return d ? d : strcmp(x->uid, y->uid);
}

/* Both are looked into for each instance: so they are read once, and kept in order. */
static int read_exdates(struct expansion *x, icalcomponent *event)
{
	icalproperty *p;

	x->left_out.n = x->left_out_day.n = 0;
	for (p = icalcomponent_get_first_property(event, ICAL_EXDATE_PROPERTY); p;
	     p = icalcomponent_get_next_property(event, ICAL_EXDATE_PROPERTY)) {
		struct icaltimetype t = icalproperty_get_exdate(p);
		const struct zone *ez;
		int64_t s;
		int rc;

		if (t.is_date) {
			*vec_push(&x->left_out_day) = civil_days(t.year, t.month, t.day);
			continue;
		}
		rc = instant_of(x, event, p, t, &s, &ez);
		if (rc)
			return rc;
		*vec_push(&x->left_out) = s;
	}
	if (x->left_out.n)
		qsort(x->left_out.v, x->left_out.n, sizeof(*x->left_out.v), by_number);
	if (x->left_out_day.n)
		qsort(x->left_out_day.v, x->left_out_day.n, sizeof(*x->left_out_day.v), by_number);
	return 0;
}

static bool has(const int64_t *v, size_t n, int64_t key)
{
	return n && bsearch(&key, v, n, sizeof(*v), by_number);
}

/* Is the instance of this event left out, or moved elsewhere? */
static bool is_left_out(const struct expansion *x, icalcomponent *event, const struct zone *z,
                        int64_t utc_s)
{
	struct moved key = {text_or(icalcomponent_get_uid(event)), utc_s};
	int64_t local;

	if (x->moved.n && bsearch(&key, x->moved.v, x->moved.n, sizeof(key), by_moved))
		return true;
	if (has(x->left_out.v, x->left_out.n, utc_s))
		return true;
	if (!x->left_out_day.n)
		return false;
	local = utc_s + zone_offset_at(z, (struct instant){utc_s * 1000000}, NULL);
	return has(x->left_out_day.v, x->left_out_day.n, civil_floor_div(local, 86400));
}

/* What begins at utc_s goes in with its start or end. */
static int take(struct expansion *x, icalcomponent *event, const struct zone *z, int64_t utc_s,
                int64_t length_s, bool may_be_left_out)
{
	if (may_be_left_out && is_left_out(x, event, z, utc_s))
		return 0;
	return push(x, event, utc_s + (x->ends ? length_s : 0));
}

static int length_of(struct expansion *x, icalcomponent *event, int64_t start_s, int64_t *ret_s)
{
	icalproperty *end = icalcomponent_get_first_property(event, ICAL_DTEND_PROPERTY);
	icalproperty *d = icalcomponent_get_first_property(event, ICAL_DURATION_PROPERTY);
	const struct zone *z;
	int64_t end_s = start_s;
	int rc = 0;

	if (end)
		rc = instant_of(x, event, end, icalproperty_get_dtend(end), &end_s, &z);
	else if (d)
		end_s = start_s + icaldurationtype_as_int(icalproperty_get_duration(d));
	if (!rc && (end_s < start_s || end_s - start_s > LONGEST_S))
		return wrong(x, event, "ends before it begins, or lasts more than a year");
	*ret_s = end_s - start_s;
	return rc;
}

static int add_recurrences(struct expansion *x, icalcomponent *event, const struct zone *z,
                           int64_t start_s, int64_t length_s)
{
	icalproperty *p = icalcomponent_get_first_property(event, ICAL_RRULE_PROPERTY);
	struct instant begin = {x->from.us - (x->ends ? length_s * 1000000 : 0)};
	struct fault why;
	struct rule rule;
	size_t n = 0;
	int rc;

	if (!p)
		return 0;
	if (rule_parse(icalproperty_get_value_as_string(p), &rule, &why))
		return fault_set(x->err, -EINVAL, "event '%.60s': RRULE: %.150s",
		                 text_or(icalcomponent_get_summary(event)), why.text);
	rc = rule_expand_within(&rule, z, (struct instant){start_s * 1000000}, begin, x->to, false,
	                        x->buf, MAX_RECURRENCES, &n, &x->steps);
	if (rc || n == MAX_RECURRENCES)
		return fault_set(x->err, rc ? rc : -EFBIG, "event '%.60s': %s",
		                 text_or(icalcomponent_get_summary(event)),
		                 rc ? "the rules of the file take too much work"
		                    : "its rule gives more than 20000 instants");
	for (size_t i = 0; i < n && !rc; i++)
		rc = take(x, event, z, x->buf[i].us / 1000000, length_s, true);
	return rc;
}

/* All at first: libical has one iterator per event, and whatever else is asked of it moves that. */
static int read_rdates(struct expansion *x, icalcomponent *event)
{
	icalproperty *p;

	x->extra.n = 0;
	for (p = icalcomponent_get_first_property(event, ICAL_RDATE_PROPERTY); p;
	     p = icalcomponent_get_next_property(event, ICAL_RDATE_PROPERTY)) {
		struct icaldatetimeperiodtype d = icalproperty_get_rdate(p);
		const struct zone *z;
		int64_t s;
		int rc;

		if (d.time.is_date || icaltime_is_null_time(d.time))
			continue;
		rc = instant_of(x, event, p, d.time, &s, &z);
		if (rc)
			return rc;
		*vec_push(&x->extra) = s;
	}
	return 0;
}

static int add_event(void *arg, icalcomponent *event)
{
	struct expansion *x = arg;
	icalproperty *start = icalcomponent_get_first_property(event, ICAL_DTSTART_PROPERTY);
	bool moved = icalcomponent_get_first_property(event, ICAL_RECURRENCEID_PROPERTY);
	const struct zone *z;
	int64_t start_s, length_s = 0;
	int rc;

	if (++x->n_events > EVENTS_MAX)
		return fault_set(x->err, -EFBIG, "more than %u events", EVENTS_MAX);
	if (icalcomponent_get_status(event) == ICAL_STATUS_CANCELLED)
		return 0;
	if (!start)
		return wrong(x, event, "DTSTART is missing or not a date");
	if (icalproperty_get_dtstart(start).is_date) {
		x->n_whole_days++;
		return 0;
	}
	rc = instant_of(x, event, start, icalproperty_get_dtstart(start), &start_s, &z);
	rc = rc ? rc : length_of(x, event, start_s, &length_s);
	rc = rc ? rc : read_exdates(x, event);
	/* RFC 5545: DTSTART is the first instance, whether or not the rule gives it */
	rc = rc ? rc : take(x, event, z, start_s, length_s, !moved);
	rc = rc ? rc : read_rdates(x, event);
	for (size_t i = 0; i < x->extra.n && !rc; i++)
		rc = take(x, event, z, x->extra.v[i], length_s, true);
	return rc ? rc : moved ? 0 : add_recurrences(x, event, z, start_s, length_s);
}

/* An event with a RECURRENCE-ID stands in for that instance of the event of its UID. */
static int note_moved(void *arg, icalcomponent *event)
{
	struct expansion *x = arg;
	icalproperty *p = icalcomponent_get_first_property(event, ICAL_RECURRENCEID_PROPERTY);
	const struct zone *z;
	struct moved m;
	int rc;

	if (!p || icalproperty_get_recurrenceid(p).is_date)
		return 0;
	rc = instant_of(x, event, p, icalproperty_get_recurrenceid(p), &m.utc_s, &z);
	if (rc)
		return rc;
	if (x->moved.n >= EVENTS_MAX)
		return fault_set(x->err, -EFBIG, "more than %u events", EVENTS_MAX);
	m.uid = text_or(icalcomponent_get_uid(event));
	*vec_push(&x->moved) = m;
	return 0;
}

static int list_events(struct expansion *x, const char *source)
{
	int rc = ics_open(source, &x->file, x->err);

	if (rc)
		return rc;
	x->buf = mem_calloc(MAX_RECURRENCES, sizeof(*x->buf));
	rc = ics_each(x->file, ICAL_VEVENT_COMPONENT, note_moved, x);
	if (x->moved.n)
		qsort(x->moved.v, x->moved.n, sizeof(*x->moved.v), by_moved);
	rc = rc ? rc : ics_each(x->file, ICAL_VEVENT_COMPONENT, add_event, x);
	if (!rc && x->n_whole_days && x->n_whole_days == x->n_events)
		rc = fault_set(
		        x->err, -EINVAL,
		        "%.100s: its events are of whole days, which have no time of day: give "
		        "a rule such as daily 09:30 instead",
		        source);
	icalcomponent_free(x->file);
	free(x->buf);
	return rc;
}

int events_expand(const char *rule, const struct zone *z, struct instant from, struct instant to,
                  bool skip_closed, struct instant *ret, size_t max, size_t *ret_n,
                  struct fault *reterr)
{
	struct expansion x = {
	        .z = z, .from = from, .to = to, .steps = RULE_MAX_STEPS, .err = reterr};
	const char *rest = rule;
	int rc;

	*ret_n = 0;
	if (word(rule, "at", &rest)) {
		rc = list_times(&x, rest);
	} else {
		x.ends = word(rule, "ends", &rest);
		if (!x.ends)
			word(rule, "starts", &rest);
		rc = list_events(&x, rest);
	}
	if (!rc)
		hand_out(&x, skip_closed, ret, max, ret_n);
	for (size_t i = 0; i < x.zone.n; i++)
		calendar_zone_free(&x.zone.v[i].zone);
	vec_free(&x.zone);
	vec_free(&x.moved);
	vec_free(&x.extra);
	vec_free(&x.left_out);
	vec_free(&x.left_out_day);
	vec_free(&x.at);
	return rc;
}
