/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/schedule_rule.h"

#include "base/mem.h"
#include "base/text.h"
#include "daemon/pattern.h"
#include "proto/status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Rules without a start are anchored here, a Monday: INTERVAL=2 then means the same after a restart. */
#define ANCHOR "2024-01-01T00:00"

#define DAY SPAN_S(86400)

/* So far back and ahead a calendar is read to know its end. */
#define CALENDAR_REACH SPAN_S(INT64_C(20) * 31556952)

/* What "" and NULL say is the same: nothing. */
static char *said(const char *s)
{
	return s && *s ? text_copy(s) : NULL;
}

void schedule_rule_release(struct schedule_rule *r)
{
	free(r->name);
	free(r->rrule);
	free(r->tz);
	free(r->calendar);
	free(r->start);
	for (size_t i = 0; i < r->patterns.n; i++)
		free(r->patterns.v[i]);
	vec_free(&r->patterns);
}

struct schedule_rule schedule_rule_copy(const struct schedule_rule *r)
{
	struct schedule_rule x = *r;

	x.name = said(r->name);
	x.rrule = said(r->rrule);
	x.tz = said(r->tz);
	x.calendar = said(r->calendar);
	x.start = said(r->start);
	x.patterns = (struct config_texts){0};
	for (size_t i = 0; i < r->patterns.n; i++)
		*vec_push(&x.patterns) = said(r->patterns.v[i]);
	return x;
}

/* Its own zone is that of the events of a calendar, unless a zone or a calendar is given. */
static bool own_zone(const char *rrule, bool given, char *ret, size_t cap)
{
	const char *source = calendar_source(rrule);

	return source && !given && calendar_own_zone(source, ret, cap);
}

bool schedule_rule_event_zone(const struct config_schedule *s, char *ret, size_t cap)
{
	return own_zone(s->rrule, s->tz || s->calendar || s->skip_holidays, ret, cap);
}

/* Events of a calendar leave out its holidays, in its own zone, where nothing else is said. */
static void take_source(struct schedule_rule *r, const char *zone)
{
	const char *source = calendar_source(r->rrule);

	if (!source || r->skip_holidays)
		return;
	free(r->calendar);
	r->calendar = text_copy(source);
	r->skip_holidays = true;
	if (zone) {
		free(r->tz);
		r->tz = text_copy(zone);
	}
}

void schedule_rule_take_source(struct schedule_rule *r, bool zone_given)
{
	char zone[128];

	take_source(r, own_zone(r->rrule, zone_given || r->skip_holidays, zone, sizeof(zone))
	                       ? zone
	                       : NULL);
}

struct schedule_rule schedule_rule_of_config(const struct config *c,
                                             const struct config_schedule *s,
                                             const char *event_zone)
{
	struct schedule_rule r = {.name = s->name,
	                          .rrule = s->rrule,
	                          .tz = s->tz ? s->tz : c->zone,
	                          .calendar = s->calendar ? s->calendar : c->calendar,
	                          .start = s->start,
	                          .patterns = s->patterns,
	                          .skip_holidays = s->skip_holidays || s->calendar,
	                          .lead = s->lead,
	                          .max_keys = s->max_keys};

	r = schedule_rule_copy(&r);
	take_source(&r, event_zone);
	return r;
}

static char *text_of(struct bytes b)
{
	return b.n ? mem_dup(b.p, b.n) : NULL;
}

static char *start_of(const struct request *r)
{
	char text[64];
	struct tm tm;
	time_t t;

	if (r->schedule.start_local.n)
		return text_of(r->schedule.start_local);
	if (!instant_is_set(r->schedule.start))
		return NULL;
	t = (time_t)(r->schedule.start.us / 1000000);
	gmtime_r(&t, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return text_copy(text);
}

/* What the reader of the file they are kept in refuses. */
static bool has_control(struct bytes b)
{
	const unsigned char *p = b.p;

	for (size_t i = 0; i < b.n; i++)
		if (p[i] < 0x20)
			return true;
	return false;
}

int schedule_rule_of_request(const struct config *c, const struct request *q,
                             struct schedule_rule *ret, char *ret_text, size_t cap)
{
	struct schedule_rule r;
	const char *why = NULL;
	size_t bad = 0;

	if (has_control(q->key) || has_control(q->schedule.rrule) || has_control(q->schedule.tz) ||
	    has_control(q->schedule.calendar) || has_control(q->schedule.start_local)) {
		snprintf(ret_text, cap, "a text contains a control character");
		return STATUS_BAD_REQUEST;
	}
	if (q->schedule.lead.us > CONFIG_LEAD_MAX.us) {
		snprintf(ret_text, cap, "lead_s: %.15g s is out of range: at most %.15g",
		         span_s(q->schedule.lead), span_s(CONFIG_LEAD_MAX));
		return STATUS_BAD_REQUEST;
	}
	r = (struct schedule_rule){
	        .name = text_of(q->key),
	        .rrule = text_of(q->schedule.rrule),
	        .tz = text_of(q->schedule.tz.n ? q->schedule.tz : bytes_str(c->zone)),
	        .calendar = text_of(q->schedule.calendar.n ? q->schedule.calendar
	                                                   : bytes_str(c->calendar)),
	        .start = start_of(q),
	        .skip_holidays = q->schedule.calendar.n > 0,
	        .lead = q->schedule.lead,
	        .max_keys = q->schedule.max_keys};
	for (size_t i = 0; i < q->schedule.n_patterns; i++) {
		struct bytes p = q->schedule.pattern[i];

		*vec_push(&r.patterns) = mem_dup(p.p, p.n);
		if (!why && has_control(p))
			why = "contains a control character";
		else if (!why && pattern_is_valid(r.patterns.v[i], &why))
			why = NULL;
		bad += !why;
	}
	*ret = r;
	if (r.name && r.rrule && r.patterns.n && !why)
		return STATUS_OK;
	if (why)
		snprintf(ret_text, cap, "patterns[%zu]: %s", bad, why);
	else
		snprintf(ret_text, cap, "name, rrule and patterns must be given");
	schedule_rule_release(ret);
	return STATUS_BAD_REQUEST;
}

static int read_start(const char *text, const struct zone *z, struct instant *ret,
                      struct fault *err)
{
	struct fault why;
	int rc = calendar_instant(text, z, ret, &why);

	return rc ? fault_set(err, rc, "start: %.200s", why.text) : 0;
}

int schedule_rule_expand(const struct schedule_rule *r, struct instant wall, struct span ahead,
                         struct instant *ret, size_t max, size_t *ret_n, struct fault *err)
{
	struct instant from = {wall.us - 400 * DAY.us}, to = {wall.us + ahead.us};
	struct instant reach = {to.us + 400 * DAY.us}, start;
	unsigned flags = r->skip_holidays ? CALENDAR_SKIP_HOLIDAYS : 0;
	struct zone *z = NULL;
	int rc;

	if (strstr(r->rrule, "COUNT=") && !r->start)
		return fault_set(err, -EINVAL,
		                 "rrule: COUNT needs a start: when is the first one?");
	rc = r->calendar ? calendar_open(r->calendar, r->tz, from, reach, &z, err)
	                 : calendar_zone(r->tz, from, reach, &z, err);
	rc = rc ? rc : read_start(r->start ? r->start : ANCHOR, z, &start, err);
	rc = rc ? rc : calendar_expand(r->rrule, z, start, wall, to, flags, ret, max, ret_n, err);
	calendar_zone_free(&z);
	return rc;
}

/*
 * Each look is eight times as long as the one before, so that one at years ends after three more, and
 * events that come every hour are not walked over for years.
 */
int schedule_rule_next(const struct schedule_rule *r, struct instant wall, struct span ahead,
                       struct instant *ret, size_t max, size_t *ret_n, struct fault *err)
{
	size_t least = max < SCHEDULE_RULE_LEAST ? max : SCHEDULE_RULE_LEAST, n;
	int rc = schedule_rule_expand(r, wall, ahead, ret, max, ret_n, err);

	while (!rc && *ret_n < least && ahead.us < SCHEDULE_RULE_NEVER.us) {
		struct span near = ahead;

		n = *ret_n;
		ahead = span_clip((struct span){8 * ahead.us}, SPAN_ZERO, SCHEDULE_RULE_NEVER);
		rc = schedule_rule_expand(r, wall, ahead, ret, least, ret_n, err);
		/* too much to walk over: what is near is known all the same */
		if (rc == -E2BIG && n) {
			err->text[0] = '\0';
			return schedule_rule_expand(r, wall, near, ret, max, ret_n, err);
		}
	}
	return rc;
}

/* The shortest time between two of the instants; SPAN_MAX with fewer than two. */
static struct span shortest_gap(const struct instant *at, size_t n)
{
	struct span gap = SPAN_MAX;

	for (size_t i = 1; i < n; i++)
		if (at[i].us - at[i - 1].us < gap.us)
			gap.us = at[i].us - at[i - 1].us;
	return gap;
}

int schedule_rule_try(const struct schedule_rule *r, struct instant wall, struct span ahead,
                      struct instant ret[SCHEDULE_RULE_TRIED], size_t *ret_n, struct fault *err)
{
	struct span gap;
	int rc = schedule_rule_next(r, wall, ahead, ret, SCHEDULE_RULE_TRIED, ret_n, err);

	if (rc)
		return rc;
	gap = shortest_gap(ret, *ret_n);
	if (r->lead.us > gap.us)
		return fault_set(
		        err, -EINVAL,
		        "lead: %.15g s is longer than the time between two instants, %.15g s: the "
		        "loads for one would begin before the one before it",
		        span_s(r->lead), span_s(gap));
	return 0;
}

struct instant schedule_rule_calendar_end(const struct schedule_rule *r, struct instant wall)
{
	struct instant end = INSTANT_NONE, until;
	struct fault ignored;
	struct zone *z = NULL;

	if (!r->calendar ||
	    calendar_open(r->calendar, r->tz, (struct instant){wall.us - CALENDAR_REACH.us},
	                  (struct instant){wall.us + CALENDAR_REACH.us}, &z, &ignored))
		return end;
	if (z->n_days)
		end = instant_from_s((z->day[z->n_days - 1].day + 1) * 86400.0 -
		                     zone_offset_at(z, wall, &until));
	calendar_zone_free(&z);
	return end;
}

cJSON *schedule_rule_json(const struct schedule_rule *r)
{
	cJSON *o = cJSON_CreateObject(), *patterns = cJSON_AddArrayToObject(o, "patterns");

	cJSON_AddStringToObject(o, "name", r->name);
	cJSON_AddStringToObject(o, "rrule", r->rrule);
	if (r->tz)
		cJSON_AddStringToObject(o, "tz", r->tz);
	if (r->calendar)
		cJSON_AddStringToObject(o, "calendar", r->calendar);
	if (r->start)
		cJSON_AddStringToObject(o, "start", r->start);
	cJSON_AddBoolToObject(o, "skip_holidays", r->skip_holidays);
	cJSON_AddNumberToObject(o, "lead", span_s(r->lead));
	cJSON_AddNumberToObject(o, "max_keys", r->max_keys);
	for (size_t i = 0; i < r->patterns.n; i++)
		cJSON_AddItemToArray(patterns, cJSON_CreateString(r->patterns.v[i]));
	return o;
}
