/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/schedules.h"

#include "base/mem.h"
#include "calendar/calendar.h"
#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/pattern.h"
#include "proto/row.h"
#include "proto/status.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Rules without a start are anchored here, a Monday: INTERVAL=2 then means the same after a
 * restart. */
#define ANCHOR "2024-01-01T00:00"

/* Peaks of one schedule that the report goes back. */
#define REPORT_PEAKS 100

#define FILE_MAX_BYTES (1u << 20)

#define DAY SPAN_S(86400)

/* What a schedule says, as text: all that a worker needs. */
struct rule {
	char *name, *rrule, *tz, *calendar, *start; /* calendar and start may be NULL */
	struct config_texts patterns;
	bool skip_holidays;
	struct span lead;
	uint32_t max_keys;
};

struct peak {
	struct instant at;
	uint64_t wanted, warm, left;
};

struct schedule {
	struct rule rule;
	bool configured;        /* by the file, not at run time */
	bool marked;            /* used while a reload compares */
	uint32_t serial;        /* of the rule: an expansion of an earlier one is thrown away */
	VEC(struct instant) at; /* the instants that the engine was told */
	VEC(struct peak) peaks;
};

struct schedules {
	struct daemon *d;
	VEC(struct schedule *) list;
	uint32_t serial;
	struct loop_timer timer;
};

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

static struct rule rule_of_config(const struct config *c, const struct config_schedule *s)
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

	return rule_copy(&r);
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

int schedules_check(struct setup *s, struct instant now, struct config_error *reterr)
{
	const struct config *c = s->config;
	size_t names = 0;

	for (size_t i = 0; i < c->schedules.n; i++) {
		struct rule r = rule_of_config(c, &c->schedules.v[i]);
		struct calendar_error err = {""};
		struct instant one;
		char path[64];
		size_t n;
		int rc = expand(&r, now, span_from_s(c->schedule_ahead), &one, 1, &n, &err);

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
	int rc;
	struct calendar_error err;
};

static void expansion_work(void *job)
{
	struct expansion *x = job;

	x->rc = expand(&x->rule, x->wall, x->ahead, x->at, x->max, &x->n, &x->err);
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

static void expansion_done(void *job)
{
	struct expansion *x = job;
	struct schedules *l = x->list;
	struct schedule *s = NULL;
	char text[LOG_TEXT_BYTES];

	for (size_t i = 0; i < l->list.n; i++)
		if (l->list.v[i]->serial == x->serial)
			s = l->list.v[i];
	if (s && x->rc) {
		log_line(LOG_WARN, "schedule", "name=%s why=\"%s\"",
		         log_quote(bytes_str(s->rule.name), text), x->err.text);
	} else if (s) {
		/* instants of the wall clock become instants of ours */
		s->at.n = 0;
		for (size_t i = 0; i < x->n; i++)
			*vec_push(&s->at) = (struct instant){x->at[i].us - l->d->clock.offset.us};
		tell_engine(l, s, false);
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
	const struct daemon *d = l->d;
	char text[400];

	for (size_t i = 0;
	     setup_calendar_warning(d->setup, i, instant_add(clock_now(&d->clock), d->clock.offset),
	                            text, sizeof(text));
	     i++)
		if (*text)
			log_line(LOG_WARN, "calendar", "why=\"%s\"", text);
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
	vec_free(&s->peaks);
	free(s);
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
	}
	s->rule = r;
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

static void take_config(struct schedules *l, const struct config *c, bool configured)
{
	for (size_t i = 0; i < c->schedules.n; i++) {
		struct schedule *s = find(l, bytes_str(c->schedules.v[i].name));

		if (configured || !s)
			put(l, rule_of_config(c, &c->schedules.v[i]), configured);
	}
}

void schedules_configure(struct schedules *l)
{
	for (size_t i = 0; i < l->list.n; i++)
		l->list.v[i]->marked = !l->list.v[i]->configured;
	take_config(l, l->d->setup->config, true);
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
	take_config(l, c, false);
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

int schedules_add(struct schedules *l, const struct request *q, char *ret_text, size_t cap)
{
	const struct config *c = l->d->setup->config;
	struct schedule *s = find(l, q->key);
	struct calendar_error err = {""};
	struct instant now = clock_now(&l->d->clock), one;
	struct rule r;
	const char *why;
	size_t names = q->schedule.n_patterns, n;

	if (s && s->configured) {
		snprintf(ret_text, cap,
		         "name: this schedule is in the configuration: change it there");
		return STATUS_DENIED;
	}
	if (has_nul(q->key) || has_nul(q->schedule.rrule) || has_nul(q->schedule.tz) ||
	    has_nul(q->schedule.calendar) || has_nul(q->schedule.start_local)) {
		snprintf(ret_text, cap, "a text contains a NUL byte");
		return STATUS_BAD_REQUEST;
	}
	for (size_t i = 0; i < l->list.n; i++)
		names += l->list.v[i] == s ? 0 : l->list.v[i]->rule.patterns.n;
	if ((double)names > c->max_schedules) {
		snprintf(ret_text, cap, "more than %.15g patterns of schedules (max_schedules)",
		         c->max_schedules);
		return STATUS_BUSY;
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
	for (size_t i = 0; i < q->schedule.n_patterns; i++)
		*vec_push(&r.patterns) =
		        mem_dup(q->schedule.pattern[i].p, q->schedule.pattern[i].n);
	if (!r.name || !r.rrule || !r.patterns.n)
		snprintf(err.text, sizeof(err.text), "name, rrule and patterns must be given");
	for (size_t i = 0; i < r.patterns.n && !*err.text; i++)
		if (has_nul(q->schedule.pattern[i]) || !pattern_is_valid(r.patterns.v[i], &why))
			snprintf(err.text, sizeof(err.text), "patterns[%zu]: %s", i,
			         has_nul(q->schedule.pattern[i]) ? "contains a NUL byte" : why);
	/* once here, so that a bad rule is told to who asked; the worker does it in full */
	if (*err.text || expand(&r, now, span_from_s(c->schedule_ahead), &one, 1, &n, &err)) {
		snprintf(ret_text, cap, "%s", err.text);
		rule_free(&r);
		return STATUS_BAD_REQUEST;
	}
	put(l, r, false);
	save(l);
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

struct bytes schedules_peak(struct schedules *l, struct bytes name, struct instant at,
                            uint64_t wanted, uint64_t warm, uint64_t left)
{
	struct schedule *s = find(l, name);
	struct bytes base = name;
	struct peak *p;

	while (!s && base.n) { /* "bell#2" belongs to "bell" */
		base.n--;
		if (((const char *)base.p)[base.n] == '#')
			s = find(l, base);
	}
	if (!s)
		return name;
	p = s->peaks.n ? &s->peaks.v[s->peaks.n - 1] : NULL;
	if (!p || at.us - p->at.us > 1000000) {
		if (s->peaks.n == REPORT_PEAKS) {
			memmove(s->peaks.v, s->peaks.v + 1,
			        (REPORT_PEAKS - 1) * sizeof(*s->peaks.v));
			s->peaks.n--;
		}
		p = vec_push(&s->peaks);
		*p = (struct peak){.at = at};
	}
	/* the patterns of one schedule come one after the other */
	p->wanted += wanted;
	p->warm += warm;
	p->left += left;
	return bytes_str(s->rule.name);
}

/* -- Answers ---------------------------------------------------------------------------------- */

static struct instant wall(const struct schedules *l, struct instant t)
{
	return instant_add(t, l->d->clock.offset);
}

/* Index of the first instant that is not over. */
static size_t first_ahead(const struct schedules *l, const struct schedule *s)
{
	size_t i = 0;

	while (i < s->at.n && s->at.v[i].us <= clock_now(&l->d->clock).us)
		i++;
	return i;
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

static int by_time(const void *a, const void *b)
{
	const struct row_due *x = a, *y = b;

	return (x->time_s.us > y->time_s.us) - (x->time_s.us < y->time_s.us);
}

void schedules_write_next(struct schedules *l, struct bytes name, size_t max, struct pack *w)
{
	VEC(struct row_due) due = {0};

	for (size_t i = 0; i < l->list.n; i++) {
		const struct schedule *s = l->list.v[i];
		size_t from = first_ahead(l, s);

		for (size_t k = from; asked(s, name) && k < s->at.n && k - from < max; k++)
			*vec_push(&due) =
			        (struct row_due){bytes_str(s->rule.name), wall(l, s->at.v[k])};
	}
	if (due.n)
		qsort(due.v, due.n, sizeof(*due.v), by_time);
	if (due.n > max)
		due.n = max;
	pack_array(w, (uint32_t)due.n);
	for (size_t i = 0; i < due.n; i++)
		row_write(w, &row_due, &due.v[i]);
	vec_free(&due);
}

void schedules_write_report(struct schedules *l, struct bytes name, size_t max, struct pack *w)
{
	size_t n = 0;

	for (size_t i = 0; i < l->list.n; i++)
		if (asked(l->list.v[i], name))
			n += l->list.v[i]->peaks.n < max ? l->list.v[i]->peaks.n : max;
	pack_array(w, (uint32_t)n);
	for (size_t i = 0; i < l->list.n; i++) {
		const struct schedule *s = l->list.v[i];
		size_t from = s->peaks.n > max ? s->peaks.n - max : 0;

		for (size_t k = from; asked(s, name) && k < s->peaks.n; k++) {
			const struct peak *p = &s->peaks.v[k];
			struct row_peak row = {bytes_str(s->rule.name), wall(l, p->at), p->wanted,
			                       p->warm, p->left};

			row_write(w, &row_peak, &row);
		}
	}
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
	                               .last = INSTANT_NONE};
	if (s->peaks.n) {
		const struct peak *p = &s->peaks.v[s->peaks.n - 1];

		ret->last = wall(l, p->at);
		ret->wanted = p->wanted;
		ret->warm = p->warm;
	}
	return true;
}

struct schedules *schedules_new(struct daemon *d)
{
	struct schedules *l = mem_calloc(1, sizeof(*l));

	l->d = d;
	l->timer = (struct loop_timer){on_timer, l, 0};
	take_config(l, d->setup->config, true);
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
	free(l);
	*lp = NULL;
}
