/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/schedules.h"

#include "base/heap.h"
#include "base/mem.h"
#include "base/text.h"
#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/peak_reports.h"
#include "daemon/schedule_rule.h"
#include "proto/row.h"
#include "proto/status.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Instants that a dry run tells. */
#define TRIAL_INSTANTS 10

#define NEVER_FIRES                                                                                \
	"gives no instant within the next five years: is its day, its time or its UNTIL over?"

/* Additions that workers read at once: each may keep one busy for a while. */
#define MAX_ADDITIONS 16

struct schedule {
	struct schedule_rule rule;
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
	struct peak_reports *reports;
	uint32_t serial;
	size_t n_additions; /* under way */
	struct loop_timer timer;
	struct span look; /* after which it was set: one that needs it earlier sets it anew */
	bool unsaved;     /* the file does not have what was added or removed last ... */
	struct loop_timer save_again; /* ... and is written again then */
};

static struct instant wall(const struct schedules *l, struct instant t)
{
	return instant_add(t, l->d->clock.offset);
}

/* The rest of a text that begins with a key's name; NULL: it begins otherwise. */
static const char *after_key(const char *text, const char *key)
{
	size_t n = strlen(key);

	return !strncmp(text, key, n) && !strncmp(text + n, ": ", 2) ? text + n + 2 : NULL;
}

static int refuse_rule(size_t i, const char *text, struct config_error *reterr)
{
	static const char *const keys[] = {"lead", "start", "rrule"};
	const char *key = "rrule", *why = text;
	char path[64];

	for (size_t k = 0; k < sizeof(keys) / sizeof(*keys); k++)
		if (after_key(text, keys[k])) {
			key = keys[k];
			why = after_key(text, key);
			break;
		}
	snprintf(path, sizeof(path), "schedules[%zu].%s", i, key);
	return config_fail(reterr, path, "%s", why);
}

int schedules_check(struct setup *s, struct instant now, bool strict, struct config_error *reterr)
{
	const struct config *c = s->config;
	size_t names = 0;

	for (size_t i = 0; i < c->schedules.n; i++) {
		struct schedule_rule r =
		        schedule_rule_of_config(c, &c->schedules.v[i], s->event_zones.v[i]);
		struct fault err = {""};
		struct instant next[SCHEDULE_RULE_TRIED];
		size_t n;
		int rc = schedule_rule_try(&r, now, span_from_s(c->schedule_ahead), next, &n, &err);

		names += r.patterns.n;
		schedule_rule_release(&r);
		if (rc)
			return refuse_rule(i, err.text, reterr);
		if (strict && !n)
			return refuse_rule(i, NEVER_FIRES " Correct it, or remove the schedule",
			                   reterr);
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
	struct schedule_rule rule;
	uint32_t serial;
	struct instant wall;
	struct span ahead;
	size_t max, n;
	struct instant *at;
	struct instant calendar_end;
	int rc;
	struct fault err;
};

static void expansion_work(void *job)
{
	struct expansion *x = job;

	x->calendar_end = schedule_rule_calendar_end(&x->rule, x->wall);
	x->rc = schedule_rule_next(&x->rule, x->wall, x->ahead, x->at, x->max, &x->n, &x->err);
}

static void expansion_drop(void *job)
{
	struct expansion *x = job;

	schedule_rule_release(&x->rule);
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
	look = span_clip(clock_to_real(&l->d->clock, look), SPAN_S(1), SPAN_MAX);
	if (l->timer.id && l->look.us <= look.us)
		return;
	l->look = look;
	loop_timer_set(l->d->loop, &l->timer, look);
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
		if (!x->n)
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
	                        .rule = schedule_rule_copy(&s->rule),
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
	schedule_rule_release(&s->rule);
	vec_free(&s->at);
	free(s);
}

/* What is known of its last instant, if it is the latest. */
static void take_last(struct schedule *s, const struct peak_report *r)
{
	if (!s || !r || (instant_is_set(s->last) && instant_before(r->at, s->last)))
		return;
	s->last = r->at;
	s->wanted = r->wanted;
	s->warm = r->warm;
}

/* Takes the rule over; replaces the one of that name. */
static struct schedule *put(struct schedules *l, struct schedule_rule r, bool configured)
{
	struct schedule *s = find(l, bytes_str(r.name));

	if (s) {
		tell_engine(l, s, true);
		schedule_rule_release(&s->rule);
		s->at.n = 0;
	} else {
		s = mem_calloc(1, sizeof(*s));
		*vec_push(&l->list) = s;
		s->last = INSTANT_NONE;
		take_last(s, peak_reports_last(l->reports, bytes_str(r.name)));
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
		    schedule_rule_of_config(s->config, &s->config->schedules.v[i],
		                            s->event_zones.v[i]),
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

bool schedules_has(const struct schedules *l, struct bytes name)
{
	return find(l, name);
}

/* -- Those added at run time, on disk --------------------------------------------------------- */

static void file_name(const struct schedules *l, const char *suffix, char *buf, size_t cap)
{
	snprintf(buf, cap, "%s/schedules.json%s", l->d->state_dir, suffix);
}

static char *list_of_added(const struct schedules *l)
{
	cJSON *root = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(root, "schedules");
	char *text;

	for (size_t i = 0; i < l->list.n; i++)
		if (!l->list.v[i]->configured)
			cJSON_AddItemToArray(list, schedule_rule_json(&l->list.v[i]->rule));
	text = cJSON_Print(root);
	cJSON_Delete(root);
	return text;
}

/* 0, or an errno value. */
static int write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");
	int rc = f ? 0 : errno;

	if (f && (fputs(text, f) < 0 || fflush(f) || fdatasync(fileno(f))))
		rc = errno;
	if (f && fclose(f) && !rc)
		rc = errno;
	return rc;
}

/*
 * Written aside, synced, renamed: the file is the old one or the new one, and nothing half written stays.
 * 0, or an errno value: it is then tried again, until it is there or the daemon ends.
 */
static int save(struct schedules *l)
{
	char path[4200], tmp[4200], *text = list_of_added(l);
	int rc = text ? 0 : ENOMEM;

	file_name(l, "", path, sizeof(path));
	file_name(l, ".new", tmp, sizeof(tmp));
	rc = rc ? rc : write_file(tmp, text);
	if (!rc && rename(tmp, path))
		rc = errno;
	if (rc)
		unlink(tmp);
	free(text);
	l->unsaved = rc != 0;
	if (rc)
		loop_timer_set(l->d->loop, &l->save_again,
		               span_from_s(l->d->setup->config->flush_s));
	else
		loop_timer_cancel(l->d->loop, &l->save_again);
	return rc;
}

/* False: the schedules that were added are in memory only; `then` says what becomes of them. */
static bool save_or_say(struct schedules *l, const char *then)
{
	char path[4200];
	int rc = save(l);

	file_name(l, "", path, sizeof(path));
	if (rc)
		log_line(LOG_WARN, "schedules_file",
		         "path=%s why=\"cannot be written: %s\" then=\"%s\"", path, strerror(rc),
		         then);
	return !rc;
}

static bool save_now(struct schedules *l)
{
	return save_or_say(l, "they stay in memory, and it is tried again");
}

static void on_save_again(void *arg)
{
	struct schedules *l = arg;
	char path[4200];

	file_name(l, "", path, sizeof(path));
	if (!save(l))
		log_line(LOG_NOTICE, "schedules_file", "path=%s then=\"written at last\"", path);
}

bool schedules_unsaved(const struct schedules *l)
{
	return l->unsaved;
}

/* Same form as in the configuration, and the same reader. */
static void load(struct schedules *l)
{
	struct config_error err = {.path = ""};
	struct config *c = NULL;
	char path[4200], aside[4200];

	file_name(l, "", path, sizeof(path));
	file_name(l, ".refused", aside, sizeof(aside));
	if (access(path, F_OK))
		return;
	if (config_load(path, &c, &err)) {
		/* the next schedule that is added would be written over it */
		log_line(LOG_WARN, "schedules_file", "path=%s key=%s why=\"%s\" then=\"%s %s\"",
		         path, err.path, err.why,
		         rename(path, aside) ? "cannot be put aside as" : "it is kept as", aside);
		return;
	}
	for (size_t i = 0; i < c->schedules.n; i++) {
		const struct config_schedule *y = &c->schedules.v[i];
		struct schedule_rule r;
		char zone[128];

		if (find(l, bytes_str(y->name)))
			continue;
		/* at the start, when nobody is kept waiting by that */
		r = schedule_rule_of_config(
		        c, y, schedule_rule_event_zone(y, zone, sizeof(zone)) ? zone : NULL);
		/* as it was understood when it was added, whatever a calendar means in the configuration */
		r.skip_holidays = y->skip_holidays;
		put(l, r, false);
	}
	config_free(&c);
}

/* -- Operations ------------------------------------------------------------------------------- */

/* What a rule has been understood as: a map in which one more name and value follow. */
static void write_rule(const struct schedule_rule *r, uint32_t count, struct pack *w)
{
	pack_map(w, 4 + 1);
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
static void write_trial(const struct schedule_rule *r, const struct instant *at, size_t n,
                        struct pack *w)
{
	size_t shown = n < TRIAL_INSTANTS ? n : TRIAL_INSTANTS;

	write_rule(r, 0, w);
	pack_text(w, "next");
	pack_array(w, (uint32_t)shown);
	for (size_t i = 0; i < shown; i++)
		pack_instant(w, at[i]);
}

/* A rule that was asked for, while a worker reads it. */
struct addition {
	struct schedules *list;
	struct schedule_rule rule;
	bool has_tz, dry_run;
	struct instant wall, next[SCHEDULE_RULE_TRIED];
	struct span ahead;
	size_t n;
	struct fault err;
	schedules_added_fn *fn;
	void *arg;
};

/* Reads files and walks over years: not for the engine's thread. */
static void addition_work(void *job)
{
	struct addition *a = job;

	schedule_rule_take_source(&a->rule, a->has_tz);
	if (!schedule_rule_try(&a->rule, a->wall, a->ahead, a->next, &a->n, &a->err) && !a->n)
		fault_set(&a->err, 0, "rrule: %s", NEVER_FIRES);
}

static void addition_drop(void *job)
{
	struct addition *a = job;

	schedule_rule_release(&a->rule);
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
	char text[sizeof(a->err.text)] = "";
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
		write_rule(&a->rule, 1, &w);
		put(l, a->rule, false);
		a->rule = (struct schedule_rule){0};
		pack_text(&w, "saved");
		pack_bool(&w, save_now(l));
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
	struct schedule_rule r;
	struct addition *a;
	int status = may_add(l, q->key, q->schedule.n_patterns, ret_text, cap);

	if (status)
		return status;
	if (l->n_additions >= MAX_ADDITIONS) {
		snprintf(ret_text, cap, "%d rules are being read already: try again in a moment",
		         MAX_ADDITIONS);
		return STATUS_BUSY;
	}
	status = schedule_rule_of_request(c, q, &r, ret_text, cap);
	if (status)
		return status;
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

int schedules_remove(struct schedules *l, struct bytes name, bool *ret_saved, char *ret_text,
                     size_t cap)
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
	*ret_saved = save_now(l);
	return STATUS_OK;
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
	struct peak_report x = *r;

	/* who did not say when speaks of now */
	x.at = wall(l, r->at.us ? r->at : clock_now(&l->d->clock));
	if (instant_is_set(r->began))
		x.began = wall(l, r->began);
	x = peak_reports_add(l->reports, base, &x, (size_t)l->d->setup->config->schedule_reports);
	take_last(find(l, base), &x);
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

static void join_patterns(const struct schedule_rule *r, char *buf, size_t cap)
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

size_t schedules_write_report(struct schedules *l, struct bytes name, size_t max, struct pack *w)
{
	return peak_reports_write(l->reports, name, max, w);
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
	l->save_again = (struct loop_timer){on_save_again, l, 0};
	l->reports = peak_reports_new(d->learned, (size_t)d->setup->config->schedule_reports);
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
	if (l->unsaved)
		save_or_say(l, "what was added or removed since is lost");
	loop_timer_cancel(l->d->loop, &l->save_again);
	for (size_t i = 0; i < l->list.n; i++)
		schedule_free(l->list.v[i]);
	vec_free(&l->list);
	peak_reports_free(&l->reports);
	free(l);
	*lp = NULL;
}
