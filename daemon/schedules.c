/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/schedules.h"

#include "base/heap.h"
#include "base/mem.h"
#include "calendar/calendar.h"
#include "daemon/daemon.h"
#include "daemon/learned.h"
#include "daemon/log.h"
#include "daemon/pattern.h"
#include "proto/row.h"
#include "proto/status.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Rules without a start are anchored here, a Monday: INTERVAL=2 then means the same after a
 * restart. */
#define ANCHOR "2024-01-01T00:00"

/* How far ahead a rule is looked at to say that it never fires. */
#define NEVER SPAN_S(INT64_C(5) * 31556952)

/* Instants that are looked at for how far they are apart. */
#define GAP_INSTANTS 64

/* Instants that a dry run tells. */
#define TRIAL_INSTANTS 10

/* Additions that workers read at once: each may keep one busy for a while. */
#define MAX_ADDITIONS 16

#define FILE_MAX_BYTES (1u << 20)

#define DAY SPAN_S(86400)

/* So far back and ahead a calendar is read to know its end. */
#define CALENDAR_REACH SPAN_S(INT64_C(20) * 31556952)

/* What a schedule says, as text: all that a worker needs. */
struct rule {
	char *name, *rrule, *tz, *calendar, *start; /* calendar and start may be NULL */
	struct config_texts patterns;
	bool skip_holidays;
	struct span lead;
	uint32_t max_keys;
};

/* How one instant went; instants of the wall clock. */
struct peak {
	char *name; /* of the schedule, or of what was learned */
	struct peak_report report;
	uint32_t slot; /* in the state file: its place in a ring of schedule_reports */
};

struct schedule {
	struct rule rule;
	bool configured; /* by the file, not at run time */
	bool marked;     /* used while a reload compares */
	uint32_t serial; /* of the rule: an expansion of an earlier one is thrown away */
	/* of the wall clock: after the last special day of its calendar; NONE: there is none, or not yet */
	struct instant calendar_end;
	VEC(struct instant) at; /* the instants that the engine was told */
	/* how its last instant went; NONE: nothing is known */
	struct instant last;
	uint64_t wanted, warm;
};

struct schedules {
	struct daemon *d;
	VEC(struct schedule *) list;
	VEC(struct peak) peaks; /* the latest schedule_reports, oldest first */
	uint32_t serial;
	size_t n_additions; /* under way */
	struct loop_timer timer;
};

static struct instant wall(const struct schedules *l, struct instant t)
{
	return instant_add(t, l->d->clock.offset);
}

/* -- Rules ------------------------------------------------------------------------------------ */

static char *dup_or_null(const char *s)
{
	return s && *s ? mem_dup(s, strlen(s)) : NULL;
}

static void rule_free(struct rule *r)
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

static struct rule rule_copy(const struct rule *r)
{
	struct rule x = *r;

	x.name = dup_or_null(r->name);
	x.rrule = dup_or_null(r->rrule);
	x.tz = dup_or_null(r->tz);
	x.calendar = dup_or_null(r->calendar);
	x.start = dup_or_null(r->start);
	x.patterns = (struct config_texts){0};
	for (size_t i = 0; i < r->patterns.n; i++)
		*vec_push(&x.patterns) = dup_or_null(r->patterns.v[i]);
	return x;
}

/* Its own zone is that of the events of a calendar, unless a zone or a calendar is given. */
static bool own_zone(const char *rrule, bool given, char *ret, size_t cap)
{
	const char *source = calendar_source(rrule);

	return source && !given && calendar_own_zone(source, ret, cap);
}

bool schedules_event_zone(const struct config_schedule *y, char *ret, size_t cap)
{
	return own_zone(y->rrule, y->tz || y->calendar || y->skip_holidays, ret, cap);
}

/* Events of a calendar leave out its holidays, in its own zone, where nothing else is said. */
static void take_source(struct rule *r, const char *zone)
{
	const char *source = calendar_source(r->rrule);

	if (!source || r->skip_holidays)
		return;
	free(r->calendar);
	r->calendar = mem_dup(source, strlen(source));
	r->skip_holidays = true;
	if (zone) {
		free(r->tz);
		r->tz = mem_dup(zone, strlen(zone));
	}
}

/* event_zone: what schedules_event_zone has found; NULL: nothing. */
static struct rule rule_of_config(const struct config *c, const struct config_schedule *s,
                                  const char *event_zone)
{
	struct rule r = {.name = s->name,
	                 .rrule = s->rrule,
	                 .tz = s->tz ? s->tz : c->zone,
	                 .calendar = s->calendar ? s->calendar : c->calendar,
	                 .start = s->start,
	                 .patterns = s->patterns,
	                 .skip_holidays = s->skip_holidays || s->calendar,
	                 .lead = s->lead,
	                 .max_keys = s->max_keys};

	r = rule_copy(&r);
	take_source(&r, event_zone);
	return r;
}

/* Reads zone files: for a worker, or to check a rule once. The instants are of the wall clock. */
static int expand(const struct rule *r, struct instant wall, struct span ahead, struct instant *ret,
                  size_t max, size_t *ret_n, struct calendar_error *err)
{
	struct instant from = {wall.us - 400 * DAY.us}, to = {wall.us + ahead.us};
	struct instant reach = {to.us + 400 * DAY.us}, start;
	unsigned flags = r->skip_holidays ? CALENDAR_SKIP_HOLIDAYS : 0;
	struct zone *z = NULL;
	int rc;

	if (strstr(r->rrule, "COUNT=") && !r->start) {
		snprintf(err->text, sizeof(err->text),
		         "COUNT needs a start: when is the first one?");
		return -EINVAL;
	}
	rc = r->calendar ? calendar_open(r->calendar, r->tz, from, reach, &z, err)
	                 : calendar_zone(r->tz, from, reach, &z, err);
	rc = rc ? rc : calendar_instant(r->start ? r->start : ANCHOR, z, &start, err);
	rc = rc ? rc : calendar_expand(r->rrule, z, start, wall, to, flags, ret, max, ret_n, err);
	calendar_zone_free(&z);
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

/*
 * Reads the rule, and gives its next instants. 0 with *ret_n = 0: it does not fire within NEVER.
 * -EINVAL, too, when its lead is longer than the time between two of them.
 */
static int try_rule(const struct rule *r, struct instant wall, struct span ahead,
                    struct instant ret[GAP_INSTANTS], size_t *ret_n, struct calendar_error *err)
{
	struct span gap;
	int rc = expand(r, wall, ahead, ret, GAP_INSTANTS, ret_n, err);

	if (!rc && !*ret_n && ahead.us < NEVER.us)
		rc = expand(r, wall, NEVER, ret, GAP_INSTANTS, ret_n, err);
	if (rc)
		return rc;
	gap = shortest_gap(ret, *ret_n);
	if (r->lead.us > gap.us) {
		snprintf(err->text, sizeof(err->text),
		         "lead: %.15g s is longer than the time between two instants, %.15g s: the "
		         "loads for one would begin before the one before it",
		         span_s(r->lead), span_s(gap));
		return -EINVAL;
	}
	return 0;
}

int schedules_check(struct setup *s, struct instant now, struct config_error *reterr)
{
	const struct config *c = s->config;
	size_t names = 0;

	for (size_t i = 0; i < c->schedules.n; i++) {
		struct rule r = rule_of_config(c, &c->schedules.v[i], s->event_zones.v[i]);
		struct calendar_error err = {""};
		struct instant next[GAP_INSTANTS];
		char path[64];
		size_t n;
		int rc = try_rule(&r, now, span_from_s(c->schedule_ahead), next, &n, &err);

		names += r.patterns.n;
		rule_free(&r);
		snprintf(path, sizeof(path), "schedules[%zu].rrule", i);
		if (rc)
			return config_fail(reterr, path, "%s", err.text);
		if ((double)names > c->max_schedules)
			return config_fail(reterr, "schedules",
			                   "have more than %.15g patterns in all (max_schedules)",
			                   c->max_schedules);
	}
	return 0;
}

/* -- The engine's view ------------------------------------------------------------------------ */

/* The name of pattern k: "bell", "bell#2", "bell#3". */
static struct bytes engine_name(const struct schedule *s, size_t k, char *buf, size_t cap)
{
	if (k == 0)
		return bytes_str(s->rule.name);
	snprintf(buf, cap, "%.1000s#%zu", s->rule.name, k + 1);
	return bytes_str(buf);
}

static void tell_engine(struct schedules *l, struct schedule *s, bool remove)
{
	char name[1100];

	for (size_t k = 0; k < s->rule.patterns.n; k++)
		daemon_input(
		        l->d,
		        &(struct input){.kind = INPUT_SCHEDULE,
		                        .schedule = {.name = engine_name(s, k, name, sizeof(name)),
		                                     .pattern = bytes_str(s->rule.patterns.v[k]),
		                                     .at = s->at.v,
		                                     .n_at = remove ? 0 : s->at.n,
		                                     .lead = s->rule.lead,
		                                     .max_keys = s->rule.max_keys}});
}

/* -- Expansion -------------------------------------------------------------------------------- */

struct expansion {
	struct schedules *list;
	struct rule rule;
	uint32_t serial;
	struct instant wall;
	struct span ahead;
	size_t max, n;
	struct instant *at;
	bool never; /* nor within NEVER */
	struct instant calendar_end;
	int rc;
	struct calendar_error err;
};

/* The midnight after the last special day of the rule's calendar; NONE: it knows none. */
static struct instant end_of_calendar(const struct rule *r, struct instant wall)
{
	struct instant end = INSTANT_NONE, until;
	struct calendar_error ignored;
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

static void expansion_work(void *job)
{
	struct expansion *x = job;

	x->calendar_end = end_of_calendar(&x->rule, x->wall);
	x->rc = expand(&x->rule, x->wall, x->ahead, x->at, x->max, &x->n, &x->err);
	if (!x->rc && !x->n) {
		size_t n = 0;

		x->never = !expand(&x->rule, x->wall, NEVER, x->at, 1, &n, &x->err) && !n;
	}
}

static void expansion_drop(void *job)
{
	struct expansion *x = job;

	rule_free(&x->rule);
	free(x->at);
	free(x);
}

/* When the list of instants may run out, if it was cut by its limit. */
static void next_look(struct schedules *l, const struct expansion *x)
{
	struct span look = {x->ahead.us / 8};

	if (x->n == x->max && x->n)
		look = span_clip((struct span){(x->at[x->n - 1].us - x->wall.us) / 2}, SPAN_S(1),
		                 look);
	look = clock_to_real(&l->d->clock, look);
	if (!l->timer.id)
		loop_timer_set(l->d->loop, &l->timer, span_clip(look, SPAN_S(1), SPAN_MAX));
}

/* Days left of the i-th schedule's calendar. */
static double days_left(const struct schedules *l, size_t i)
{
	struct instant now = wall(l, clock_now(&l->d->clock));

	return floor(span_s(instant_diff(l->list.v[i]->calendar_end, now)) / 86400);
}

/* Is it the first with a calendar that is not in the configuration? */
static bool has_own_calendar(const struct schedules *l, size_t i)
{
	const struct schedule *s = l->list.v[i];
	struct instant now = wall(l, clock_now(&l->d->clock));
	const char *name;
	double days;

	if (!instant_is_set(s->calendar_end))
		return false;
	for (size_t k = 0; k < i; k++)
		if (instant_is_set(l->list.v[k]->calendar_end) &&
		    !strcmp(l->list.v[k]->rule.calendar, s->rule.calendar))
			return false;
	for (size_t k = 0; setup_calendar(l->d->setup, k, now, &name, &days); k++)
		if (!strcmp(name, s->rule.calendar))
			return false;
	return true;
}

bool schedules_calendar(const struct schedules *l, size_t i, const char **ret_name,
                        double *ret_days)
{
	for (size_t k = 0; k < l->list.n; k++) {
		if (!has_own_calendar(l, k) || i--)
			continue;
		*ret_name = l->list.v[k]->rule.calendar;
		*ret_days = days_left(l, k);
		return true;
	}
	return false;
}

static void warn_of_calendar(const char *name, double days)
{
	char text[400];

	setup_calendar_text(name, days, text, sizeof(text));
	if (*text)
		log_line(LOG_WARN, "calendar", "why=\"%s\"", text);
}

/* What a worker has found out. */
static void take_calendar_end(struct schedules *l, struct schedule *s, struct instant end)
{
	bool is_new = !instant_is_set(s->calendar_end);

	s->calendar_end = end;
	for (size_t i = 0; is_new && i < l->list.n; i++)
		if (l->list.v[i] == s && has_own_calendar(l, i))
			warn_of_calendar(s->rule.calendar, days_left(l, i));
}

static void expansion_done(void *job)
{
	struct expansion *x = job;
	struct schedules *l = x->list;
	struct schedule *s = NULL;
	char text[LOG_TEXT_BYTES];

	for (size_t i = 0; i < l->list.n; i++)
		if (l->list.v[i]->serial == x->serial)
			s = l->list.v[i];
	if (s)
		take_calendar_end(l, s, x->calendar_end);
	if (s && x->rc) {
		log_line(LOG_WARN, "schedule", "name=%s why=\"%s\"",
		         log_quote(bytes_str(s->rule.name), text), x->err.text);
	} else if (s) {
		/* instants of the wall clock become instants of ours */
		s->at.n = 0;
		for (size_t i = 0; i < x->n; i++)
			*vec_push(&s->at) = (struct instant){x->at[i].us - l->d->clock.offset.us};
		tell_engine(l, s, false);
		if (x->never)
			log_line(LOG_WARN, "schedule", "name=%s why=\"%s\"",
			         log_quote(bytes_str(s->rule.name), text),
			         "its rule gives no instant within five years");
		log_line(LOG_DEBUG, "schedule", "name=%s instants=%zu",
		         log_quote(bytes_str(s->rule.name), text), x->n);
	}
	next_look(l, x);
	expansion_drop(x);
}

static void start_expansion(struct schedules *l, const struct schedule *s)
{
	const struct config *c = l->d->setup->config;
	struct expansion *x = mem_calloc(1, sizeof(*x));

	*x = (struct expansion){.list = l,
	                        .rule = rule_copy(&s->rule),
	                        .serial = s->serial,
	                        .wall = {clock_now(&l->d->clock).us + l->d->clock.offset.us},
	                        .ahead = span_from_s(c->schedule_ahead),
	                        .max = (size_t)c->schedule_instants};
	x->at = mem_calloc(x->max, sizeof(*x->at));
	workers_put(l->d->workers, expansion_work, expansion_done, expansion_drop, x);
}

void schedules_expand(struct schedules *l)
{
	for (size_t i = 0; i < l->list.n; i++)
		start_expansion(l, l->list.v[i]);
}

static void warn_of_calendars(const struct schedules *l)
{
	struct instant now = wall(l, clock_now(&l->d->clock));
	const char *name;
	double days;

	for (size_t i = 0; setup_calendar(l->d->setup, i, now, &name, &days); i++)
		warn_of_calendar(name, days);
	for (size_t i = 0; schedules_calendar(l, i, &name, &days); i++)
		warn_of_calendar(name, days);
}

static void on_timer(void *arg)
{
	warn_of_calendars(arg);
	schedules_expand(arg);
}

/* -- The list --------------------------------------------------------------------------------- */

static struct schedule *find(const struct schedules *l, struct bytes name)
{
	for (size_t i = 0; i < l->list.n; i++)
		if (bytes_equal(bytes_str(l->list.v[i]->rule.name), name))
			return l->list.v[i];
	return NULL;
}

static void schedule_free(struct schedule *s)
{
	rule_free(&s->rule);
	vec_free(&s->at);
	free(s);
}

/* What is kept of its last instant, if it is the latest known. */
static void take_last(struct schedule *s, const struct peak *p)
{
	if (!s || (instant_is_set(s->last) && s->last.us > p->report.at.us))
		return;
	s->last = p->report.at;
	s->wanted = p->report.wanted;
	s->warm = p->report.warm;
}

/* Takes the rule over; replaces the one of that name. */
static struct schedule *put(struct schedules *l, struct rule r, bool configured)
{
	struct schedule *s = find(l, bytes_str(r.name));

	if (s) {
		tell_engine(l, s, true);
		rule_free(&s->rule);
		s->at.n = 0;
	} else {
		s = mem_calloc(1, sizeof(*s));
		*vec_push(&l->list) = s;
		s->last = INSTANT_NONE;
		for (size_t i = 0; i < l->peaks.n; i++)
			if (!strcmp(l->peaks.v[i].name, r.name))
				take_last(s, &l->peaks.v[i]);
	}
	s->rule = r;
	s->calendar_end = INSTANT_NONE;
	s->configured = configured;
	s->marked = true;
	s->serial = ++l->serial;
	start_expansion(l, s);
	return s;
}

static void drop(struct schedules *l, struct schedule *s)
{
	tell_engine(l, s, true);
	for (size_t i = 0; i < l->list.n; i++)
		if (l->list.v[i] == s) {
			memmove(&l->list.v[i], &l->list.v[i + 1],
			        (l->list.n - i - 1) * sizeof(*l->list.v));
			l->list.n--;
			break;
		}
	schedule_free(s);
}

static void take_config(struct schedules *l)
{
	const struct setup *s = l->d->setup;

	for (size_t i = 0; i < s->config->schedules.n; i++)
		put(l,
		    rule_of_config(s->config, &s->config->schedules.v[i], s->event_zones.v[i]),
		    true);
}

void schedules_configure(struct schedules *l)
{
	for (size_t i = 0; i < l->list.n; i++)
		l->list.v[i]->marked = !l->list.v[i]->configured;
	take_config(l);
	for (size_t i = l->list.n; i-- > 0;)
		if (!l->list.v[i]->marked)
			drop(l, l->list.v[i]);
	warn_of_calendars(l);
}

size_t schedules_count(const struct schedules *l)
{
	return l->list.n;
}

/* -- Those added at run time, on disk --------------------------------------------------------- */

static void file_name(const struct schedules *l, const char *suffix, char *buf, size_t cap)
{
	snprintf(buf, cap, "%s/schedules.json%s", l->d->state_dir, suffix);
}

static cJSON *rule_json(const struct rule *r)
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

/* Written aside, synced, renamed: the file is the old one or the new one. */
static void save(const struct schedules *l)
{
	cJSON *root = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(root, "schedules");
	char path[4200], tmp[4200];
	FILE *f;
	char *text;
	bool ok;

	for (size_t i = 0; i < l->list.n; i++)
		if (!l->list.v[i]->configured)
			cJSON_AddItemToArray(list, rule_json(&l->list.v[i]->rule));
	text = cJSON_Print(root);
	cJSON_Delete(root);
	file_name(l, "", path, sizeof(path));
	file_name(l, ".new", tmp, sizeof(tmp));
	f = text ? fopen(tmp, "we") : NULL;
	ok = f && fputs(text, f) >= 0 && !fflush(f) && !fdatasync(fileno(f));
	if (f)
		ok = !fclose(f) && ok;
	if (!ok || rename(tmp, path))
		log_line(LOG_WARN, "schedules_file", "path=%s why=\"%s\"", path, strerror(errno));
	free(text);
}

/* Same form as in the configuration, and the same reader. */
static void load(struct schedules *l)
{
	struct config_error err = {.path = ""};
	struct config *c = NULL;
	char path[4200];

	file_name(l, "", path, sizeof(path));
	if (access(path, F_OK))
		return;
	if (config_load(path, &c, &err)) {
		log_line(LOG_WARN, "schedules_file", "path=%s key=%s why=\"%s\"", path, err.path,
		         err.why);
		return;
	}
	for (size_t i = 0; i < c->schedules.n; i++) {
		const struct config_schedule *y = &c->schedules.v[i];
		char zone[128];

		/* at the start, when nobody is kept waiting by that */
		if (!find(l, bytes_str(y->name)))
			put(l,
			    rule_of_config(c, y,
			                   schedules_event_zone(y, zone, sizeof(zone)) ? zone
			                                                               : NULL),
			    false);
	}
	config_free(&c);
}

/* -- Operations ------------------------------------------------------------------------------- */

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
	return mem_dup(text, strlen(text));
}

static bool has_nul(struct bytes b)
{
	return b.n && memchr(b.p, 0, b.n);
}

/* What a rule has been understood as; `more` fields follow. */
static void write_rule(const struct rule *r, uint32_t count, uint32_t more, struct pack *w)
{
	pack_map(w, 4 + more);
	pack_text(w, "count");
	pack_uint(w, count);
	pack_text(w, "tz");
	pack_text(w, r->tz ? r->tz : "");
	pack_text(w, "calendar");
	pack_text(w, r->calendar);
	pack_text(w, "skip_holidays");
	pack_bool(w, r->skip_holidays);
}

/* What would be: nothing is kept. */
static void write_trial(const struct rule *r, const struct instant *at, size_t n, struct pack *w)
{
	size_t shown = n < TRIAL_INSTANTS ? n : TRIAL_INSTANTS;

	write_rule(r, 0, 1, w);
	pack_text(w, "next");
	pack_array(w, (uint32_t)shown);
	for (size_t i = 0; i < shown; i++)
		pack_instant(w, at[i]);
}

/* A rule that was asked for, while a worker reads it. */
struct addition {
	struct schedules *list;
	struct rule rule;
	bool has_tz, dry_run;
	struct instant wall, next[GAP_INSTANTS];
	struct span ahead;
	size_t n;
	struct calendar_error err;
	schedules_added_fn *fn;
	void *arg;
};

/* Reads files and walks over years: not for the engine's thread. */
static void addition_work(void *job)
{
	struct addition *a = job;
	bool given = a->has_tz || a->rule.skip_holidays;
	char zone[128];

	take_source(&a->rule, own_zone(a->rule.rrule, given, zone, sizeof(zone)) ? zone : NULL);
	if (!try_rule(&a->rule, a->wall, a->ahead, a->next, &a->n, &a->err) && !a->n)
		snprintf(a->err.text, sizeof(a->err.text),
		         "rrule: gives no instant within the next five years: is its day, its time "
		         "or "
		         "its UNTIL over?");
}

static void addition_drop(void *job)
{
	struct addition *a = job;

	rule_free(&a->rule);
	free(a->arg);
	free(a);
}

/* May a schedule of that name, with so many patterns, be set at run time? */
static int may_add(const struct schedules *l, struct bytes name, size_t patterns, char *ret_text,
                   size_t cap)
{
	const struct schedule *s = find(l, name);
	double most = l->d->setup->config->max_schedules;

	if (s && s->configured) {
		snprintf(ret_text, cap,
		         "name: this schedule is in the configuration: change it there");
		return STATUS_DENIED;
	}
	for (size_t i = 0; i < l->list.n; i++)
		patterns += l->list.v[i] == s ? 0 : l->list.v[i]->rule.patterns.n;
	if ((double)patterns > most) {
		snprintf(ret_text, cap, "more than %.15g patterns of schedules (max_schedules)",
		         most);
		return STATUS_BUSY;
	}
	return STATUS_OK;
}

static void addition_done(void *job)
{
	struct addition *a = job;
	struct schedules *l = a->list;
	char text[300] = "";
	struct pack w;
	int status = STATUS_OK;

	l->d->open_tickets--;
	l->n_additions--;
	pack_init(&w, 1u << 16);
	if (*a->err.text) {
		snprintf(text, sizeof(text), "%s", a->err.text);
		status = STATUS_BAD_REQUEST;
	} else if (a->dry_run) {
		write_trial(&a->rule, a->next, a->n, &w);
	} else {
		/* others may have been set meanwhile */
		status =
		        may_add(l, bytes_str(a->rule.name), a->rule.patterns.n, text, sizeof(text));
	}
	if (!status && !a->dry_run) {
		write_rule(&a->rule, 1, 0, &w);
		put(l, a->rule, false);
		a->rule = (struct rule){0};
		save(l);
	}
	a->fn(l->d, a->arg, status, text, pack_bytes(&w));
	a->arg = NULL;
	pack_release(&w);
	addition_drop(a);
}

int schedules_add(struct schedules *l, const struct request *q, schedules_added_fn *fn, void *arg,
                  char *ret_text, size_t cap)
{
	const struct config *c = l->d->setup->config;
	struct addition *a;
	struct rule r;
	const char *why = NULL;
	size_t bad = 0;
	int status = may_add(l, q->key, q->schedule.n_patterns, ret_text, cap);

	if (status)
		return status;
	if (l->n_additions >= MAX_ADDITIONS) {
		snprintf(ret_text, cap, "%d rules are being read already: try again in a moment",
		         MAX_ADDITIONS);
		return STATUS_BUSY;
	}
	if (has_nul(q->key) || has_nul(q->schedule.rrule) || has_nul(q->schedule.tz) ||
	    has_nul(q->schedule.calendar) || has_nul(q->schedule.start_local)) {
		snprintf(ret_text, cap, "a text contains a NUL byte");
		return STATUS_BAD_REQUEST;
	}
	r = (struct rule){.name = text_of(q->key),
	                  .rrule = text_of(q->schedule.rrule),
	                  .tz = q->schedule.tz.n ? text_of(q->schedule.tz) : dup_or_null(c->zone),
	                  .calendar = q->schedule.calendar.n ? text_of(q->schedule.calendar)
	                                                     : dup_or_null(c->calendar),
	                  .start = start_of(q),
	                  .skip_holidays = q->schedule.calendar.n > 0,
	                  .lead = q->schedule.lead,
	                  .max_keys = q->schedule.max_keys};
	for (size_t i = 0; i < q->schedule.n_patterns; i++) {
		*vec_push(&r.patterns) =
		        mem_dup(q->schedule.pattern[i].p, q->schedule.pattern[i].n);
		if (!why && has_nul(q->schedule.pattern[i]))
			why = "contains a NUL byte";
		else if (!why && pattern_is_valid(r.patterns.v[i], &why))
			why = NULL;
		bad += !why;
	}
	if (!r.name || !r.rrule || !r.patterns.n || why) {
		if (why)
			snprintf(ret_text, cap, "patterns[%zu]: %s", bad, why);
		else
			snprintf(ret_text, cap, "name, rrule and patterns must be given");
		rule_free(&r);
		return STATUS_BAD_REQUEST;
	}
	a = mem_calloc(1, sizeof(*a));
	*a = (struct addition){.list = l,
	                       .rule = r,
	                       .has_tz = q->schedule.tz.n,
	                       .dry_run = q->schedule.dry_run,
	                       .wall = wall(l, clock_now(&l->d->clock)),
	                       .ahead = span_from_s(c->schedule_ahead),
	                       .fn = fn,
	                       .arg = arg};
	l->n_additions++;
	l->d->open_tickets++; /* the end of the daemon waits for it */
	workers_put(l->d->workers, addition_work, addition_done, addition_drop, a);
	return STATUS_OK;
}

int schedules_remove(struct schedules *l, struct bytes name, char *ret_text, size_t cap)
{
	struct schedule *s = find(l, name);

	if (!s)
		return STATUS_NOT_FOUND;
	if (s->configured) {
		snprintf(ret_text, cap,
		         "name: this schedule is in the configuration: remove it there");
		return STATUS_DENIED;
	}
	drop(l, s);
	save(l);
	return STATUS_OK;
}

/* -- How the last ones went ------------------------------------------------------------------- */

static const char REPORT_KIND[] = "report";

/* The counts of a report, as they are kept and told. */
#define REPORT_COUNTS(X) X(wanted) X(warm) X(planned) X(late) X(loads)

static void peak_free(struct peak *p)
{
	free(p->name);
}

/* Drops the oldest beyond what is to be kept. */
static void trim_peaks(struct schedules *l)
{
	size_t most = (size_t)l->d->setup->config->schedule_reports, over;

	over = l->peaks.n > most ? l->peaks.n - most : 0;
	for (size_t i = 0; i < over; i++)
		peak_free(&l->peaks.v[i]);
	if (over)
		memmove(l->peaks.v, l->peaks.v + over, (l->peaks.n - over) * sizeof(*l->peaks.v));
	l->peaks.n -= over;
}

/*
 * Each report is a record of its own, named by its slot: in the state file a new one takes the place
 * of the one that is schedule_reports older.
 */
static void keep_peak(struct schedules *l, const struct peak *p)
{
	const struct peak_report *r = &p->report;
	double at[2] = {instant_s(r->at), instant_is_set(r->began) ? instant_s(r->began) : -1};
	double counts[] = {
#define X(name) (double)r->name,
	        REPORT_COUNTS(X)
#undef X
	};
	double skipped[PREWARM_SKIPS], source = r->source;
	char slot[16];
	struct record rec = {.kind = REPORT_KIND,
	                     .endpoint = bytes_str(p->name),
	                     .field = {{"times", at, 2},
	                               {"counts", counts, sizeof(counts) / sizeof(*counts)},
	                               {"skipped", skipped, PREWARM_SKIPS},
	                               {"source", &source, 1}},
	                     .n_fields = 4};

	for (int i = 0; i < PREWARM_SKIPS; i++)
		skipped[i] = (double)r->skipped[i];
	snprintf(slot, sizeof(slot), "%u", (unsigned)p->slot);
	rec.name = bytes_str(slot);
	learned_put(l->d->learned, &rec);
}

static uint64_t count_of(double v)
{
	return v >= 0 && v < 1e15 ? (uint64_t)v : 0;
}

/* Takes a report of an earlier run back; one that is not whole is left out. */
static void restore_peak(void *arg, const struct record *rec)
{
	struct schedules *l = arg;
	struct peak p = {.name = dup_or_null((const char *)rec->endpoint.p)};
	const struct record_field *at = NULL, *counts = NULL, *skipped = NULL, *source = NULL;
	size_t k = 0, i;

	for (i = 0; i < rec->n_fields; i++) {
		const struct record_field *f = &rec->field[i];

		at = !strcmp(f->name, "times") && f->n == 2 ? f : at;
		counts = !strcmp(f->name, "counts") && f->n == 5 ? f : counts;
		skipped = !strcmp(f->name, "skipped") && f->n <= PREWARM_SKIPS ? f : skipped;
		source = !strcmp(f->name, "source") && f->n == 1 ? f : source;
	}
	if (!p.name || !at || !counts || !skipped || !source ||
	    !(source->v[0] >= 0 && source->v[0] < PREFETCH_SOURCES)) {
		peak_free(&p);
		return;
	}
	p.slot = (uint32_t)strtoul((const char *)rec->name.p, NULL, 10);
	p.report.at = instant_from_s(at->v[0]);
	p.report.began = at->v[1] < 0 ? INSTANT_NONE : instant_from_s(at->v[1]);
	p.report.source = (enum prefetch_source)source->v[0];
#define X(name) p.report.name = count_of(counts->v[k++]);
	REPORT_COUNTS(X)
#undef X
	for (i = 0; i < skipped->n; i++)
		p.report.skipped[i] = count_of(skipped->v[i]);
	/* the file gives them in no order */
	for (i = l->peaks.n; i && l->peaks.v[i - 1].report.at.us > p.report.at.us; i--)
		;
	vec_push(&l->peaks);
	memmove(l->peaks.v + i + 1, l->peaks.v + i, (l->peaks.n - 1 - i) * sizeof(*l->peaks.v));
	l->peaks.v[i] = p;
}

/* "bell#2" belongs to "bell". */
static struct bytes base_name(const struct schedules *l, struct bytes name)
{
	struct bytes base = name;

	while (!find(l, base) && base.n)
		if (((const char *)base.p)[--base.n] == '#' && find(l, base))
			return base;
	return base.n ? base : name;
}

struct bytes schedules_peak(struct schedules *l, struct bytes name, const struct peak_report *r)
{
	struct bytes base = base_name(l, name);
	/* who did not say when speaks of now */
	struct instant at = wall(l, r->at.us ? r->at : clock_now(&l->d->clock));
	struct peak *p = NULL;
	uint32_t slots = (uint32_t)l->d->setup->config->schedule_reports;

	/* the patterns of one schedule come one after the other, for the same instant */
	for (size_t i = l->peaks.n; i-- && !p && l->peaks.v[i].report.at.us >= at.us - 1000000;)
		if (bytes_equal(bytes_str(l->peaks.v[i].name), base) &&
		    l->peaks.v[i].report.at.us == at.us)
			p = &l->peaks.v[i];
	if (!p) {
		uint32_t slot = l->peaks.n ? (l->peaks.v[l->peaks.n - 1].slot + 1) % slots : 0;

		p = vec_push(&l->peaks);
		*p = (struct peak){.name = mem_dup(base.p, base.n), .report = *r, .slot = slot};
		p->report.at = at;
		if (instant_is_set(r->began))
			p->report.began = wall(l, r->began);
	} else {
#define X(name) p->report.name += r->name;
		REPORT_COUNTS(X)
#undef X
		for (int i = 0; i < PREWARM_SKIPS; i++)
			p->report.skipped[i] += r->skipped[i];
		if (instant_is_set(r->began) &&
		    (!instant_is_set(p->report.began) || wall(l, r->began).us < p->report.began.us))
			p->report.began = wall(l, r->began);
	}
	take_last(find(l, base), p);
	keep_peak(l, p);
	trim_peaks(l);
	return base;
}

/* -- Answers ---------------------------------------------------------------------------------- */

/* Index of the first instant that is not over. */
static size_t first_ahead(const struct schedules *l, const struct schedule *s)
{
	int64_t now = clock_now(&l->d->clock).us;
	size_t from = 0, to = s->at.n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (s->at.v[middle].us <= now)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static void join_patterns(const struct rule *r, char *buf, size_t cap)
{
	size_t n = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < r->patterns.n && n < cap; i++)
		n += (size_t)snprintf(buf + n, cap - n, "%s%s", i ? " " : "", r->patterns.v[i]);
}

void schedules_write_list(struct schedules *l, struct pack *w)
{
	char patterns[4096];

	pack_array(w, (uint32_t)l->list.n);
	for (size_t i = 0; i < l->list.n; i++) {
		const struct schedule *s = l->list.v[i];
		size_t k = first_ahead(l, s);
		struct row_schedule row = {.name = bytes_str(s->rule.name),
		                           .rrule = bytes_str(s->rule.rrule),
		                           .tz = bytes_str(s->rule.tz),
		                           .calendar = bytes_str(s->rule.calendar),
		                           .start = bytes_str(s->rule.start),
		                           .lead_s = span_s(s->rule.lead),
		                           .max_keys = s->rule.max_keys,
		                           .next_s = k < s->at.n ? wall(l, s->at.v[k])
		                                                 : INSTANT_NEVER};

		join_patterns(&s->rule, patterns, sizeof(patterns));
		row.patterns = bytes_str(patterns);
		row_write(w, &row_schedule, &row);
	}
}

static bool asked(const struct schedule *s, struct bytes name)
{
	return !name.n || bytes_equal(name, bytes_str(s->rule.name));
}

void schedules_write_next(struct schedules *l, struct bytes name, size_t max, struct pack *w)
{
	size_t *next = mem_calloc(l->list.n, sizeof(*next)), n = 0;
	struct heap first = {0}; /* of each the next one */
	struct pack rows;
	uint32_t i;

	for (size_t k = 0; k < l->list.n; k++) {
		const struct schedule *s = l->list.v[k];

		next[k] = first_ahead(l, s);
		if (asked(s, name) && next[k] < s->at.n)
			heap_set(&first, (uint32_t)k, s->at.v[next[k]++]);
	}
	pack_init(&rows, w->limit);
	for (; n < max && first.n; n++) {
		struct row_due row = {.time_s = wall(l, heap_next(&first))};
		const struct schedule *s;

		heap_pop(&first, INSTANT_NEVER, &i);
		s = l->list.v[i];
		row.name = bytes_str(s->rule.name);
		row_write(&rows, &row_due, &row);
		if (next[i] < s->at.n)
			heap_set(&first, i, s->at.v[next[i]++]);
	}
	pack_array(w, (uint32_t)n);
	pack_raw(w, pack_bytes(&rows));
	w->status = w->status ? w->status : pack_status(&rows);
	pack_release(&rows);
	heap_release(&first);
	free(next);
}

/* A row of the report: row_peak, and what that cannot say. */
static void write_peak(const struct peak *p, struct pack *w)
{
	const struct peak_report *r = &p->report;
	struct row_peak row = {.name = bytes_str(p->name),
	                       .time_s = r->at,
	                       .wanted = r->wanted,
	                       .warm = r->warm,
	                       .left = r->skipped[SKIP_VOLATILE]};
	uint32_t reasons = 0;

	for (int i = 0; i < PREWARM_SKIPS; i++)
		reasons += r->skipped[i] > 0;
	pack_map(w, (uint32_t)row_peak.n + 6);
	for (size_t i = 0; i < row_peak.n; i++)
		row_write_field(w, &row_peak.field[i], &row);
	pack_text(w, "source");
	pack_text(w, prefetch_source_name(r->source));
	pack_text(w, "began_s");
	pack_instant(w, r->began);
	pack_text(w, "planned");
	pack_uint(w, r->planned);
	pack_text(w, "late");
	pack_uint(w, r->late);
	pack_text(w, "loads");
	pack_uint(w, r->loads);
	pack_text(w, "skipped");
	pack_map(w, reasons);
	for (int i = 0; i < PREWARM_SKIPS; i++)
		if (r->skipped[i]) {
			pack_text(w, prewarm_skip_name((enum prewarm_skip)i));
			pack_uint(w, r->skipped[i]);
		}
}

void schedules_write_report(struct schedules *l, struct bytes name, size_t max, struct pack *w)
{
	size_t n = 0, from = l->peaks.n;

	while (from && n < max) {
		const struct peak *p = &l->peaks.v[--from];

		n += !name.n || bytes_equal(name, bytes_str(p->name));
	}
	pack_array(w, (uint32_t)n);
	for (size_t i = from; i < l->peaks.n && n; i++)
		if (!name.n || bytes_equal(name, bytes_str(l->peaks.v[i].name)))
			write_peak(&l->peaks.v[i], w);
}

bool schedules_state(const struct schedules *l, size_t i, struct schedule_state *ret)
{
	const struct schedule *s;
	size_t k;

	if (i >= l->list.n)
		return false;
	s = l->list.v[i];
	k = first_ahead(l, s);
	*ret = (struct schedule_state){.name = s->rule.name,
	                               .next = k < s->at.n ? wall(l, s->at.v[k]) : INSTANT_NONE,
	                               .last = s->last,
	                               .wanted = s->wanted,
	                               .warm = s->warm};
	return true;
}

struct schedules *schedules_new(struct daemon *d)
{
	struct schedules *l = mem_calloc(1, sizeof(*l));

	l->d = d;
	l->timer = (struct loop_timer){on_timer, l, 0};
	learned_give(d->learned, REPORT_KIND, restore_peak, l);
	trim_peaks(l);
	take_config(l);
	load(l);
	warn_of_calendars(l);
	return l;
}

void schedules_free(struct schedules **lp)
{
	struct schedules *l = *lp;

	if (!l)
		return;
	loop_timer_cancel(l->d->loop, &l->timer);
	for (size_t i = 0; i < l->list.n; i++)
		schedule_free(l->list.v[i]);
	vec_free(&l->list);
	for (size_t i = 0; i < l->peaks.n; i++)
		peak_free(&l->peaks.v[i]);
	vec_free(&l->peaks);
	free(l);
	*lp = NULL;
}
