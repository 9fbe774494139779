/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/replay.h"

#include "base/mem.h"
#include "base/near.h"
#include "calendar/calendar.h"
#include "cli/bar.h"
#include "cli/cli.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Days around the trace for which zones and schedules are worked out: a plan may look ahead. */
#define MARGIN_DAYS 400

/* Enough for one peak an hour over two years. */
#define MAX_PEAKS 20000

/* -- Options ---------------------------------------------------------------------------------- */

size_t replay_options(struct replay *r, struct option_row *row, size_t n)
{
	const struct option_row rows[] = {
	        {"changes", 'c', OPTION_TEXT, &r->changes, 0, 0, "FILE",
	         "when the values changed at the origin"},
	        {"max-stale", 0, OPTION_NUMBER, &r->max_stale, 0, 0.5, "SHARE",
	         "the objective: share of requests that may be stale (0.01)"},
	        {"score-from", 0, OPTION_NUMBER, &r->score_from, 0, 253402300799.0, "SHARE|TIME",
	         "count from this share of the time on, or from this second since 1970 (0.5)"},
	        {"pool", 0, OPTION_FLAG, &r->pool, 0, 0, NULL,
	         "learn: all endpoints share one objective"},
	        {"push", 0, OPTION_LIST, &r->push, 0, 0, "ENDPOINT|*",
	         "learn: changes of this endpoint arrive as events; may be repeated"},
	        {"push-mode", 0, OPTION_TEXT, &r->push_mode, 0, 0, "auto|lazy|eager",
	         "learn: whether an event loads the new value at once (auto)"},
	        {"schedule", 0, OPTION_LIST, &r->schedules, 0, 0, "RULE[ @ PATTERN]",
	         "learn: a known peak, as for `forecache schedule add`"},
	        {"no-prewarm", 0, OPTION_FLAG, &r->no_prewarm, 0, 0, NULL,
	         "learn: warm nothing before peaks, scheduled or learned"},
	        {"calendar", 0, OPTION_TEXT, &r->calendar, 0, 0, "FILE.ics|MIC",
	         "learn: special days, and the time zone (XNYS, ...)"},
	        {"zone", 0, OPTION_TEXT, &r->zone, 0, 0, "NAME",
	         "learn: the time zone, as Europe/Berlin (UTC)"},
	        {"budget", 0, OPTION_TEXT, &r->budget, 0, 0, "RATE[,N]",
	         "learn: background loads per second, and loads at once (50,32)"},
	        {"latency-value", 0, OPTION_NUMBER, &r->latency_value, 0, 1000, "LOADS",
	         "learn: loads that sparing a user one miss is worth (0.2)"},
	        {"set", 0, OPTION_LIST, &r->set, 0, 0, "NAME=VALUE",
	         "learn: any number of the configuration"},
	        {"keep-query", 0, OPTION_FLAG, &r->read.keep_query, 0, 0, NULL,
	         "access logs: what follows ? belongs to the key"},
	        {"seed", 0, OPTION_COUNT, &r->seed, 0, 9007199254740992.0, "N",
	         "of what is random in the policies (1)"},
	        {"threads", 0, OPTION_COUNT, &r->threads, 1, 256, "N",
	         "policies that run at once (2)"},
	};
	size_t n_rows = sizeof(rows) / sizeof(rows[0]);

	memcpy(row + n, rows, sizeof(rows));
	return n + n_rows;
}

struct field {
	const char *name, *unit;
	double lo, hi;
	double *into;
};

/* Every field of the three tables that --set can change; their number. */
#define MAX_FIELDS 64
static size_t fields_of(struct learn_options *o, struct field *f)
{
	size_t n = 0;

#define X(name, def, lo, hi, unit, help)                                                           \
	f[n++] = (struct field){#name, unit, lo, hi, &o->policy.name};
	POLICY_TABLE(X)
#undef X
#define X(name, def, lo, hi, unit, help)                                                           \
	f[n++] = (struct field){#name, unit, lo, hi, &o->origin.name};
	ORIGIN_TABLE(X)
#undef X
#define X(name, def, lo, hi, unit, help)                                                           \
	f[n++] = (struct field){#name, unit, lo, hi, &o->limits.name};
	LIMIT_TABLE(X)
#undef X
	return n;
}

/* One `name=value`. CLI_OK, or CLI_USAGE after a complaint. */
static int set_field(struct learn_options *o, const char *text)
{
	struct field f[MAX_FIELDS];
	const char *equals = strchr(text, '=');
	size_t n = fields_of(o, f), length = equals ? (size_t)(equals - text) : strlen(text);
	char name[64], *end;
	struct near near;
	double x;

	snprintf(name, sizeof(name), "%.*s", (int)length, text);
	near = near_to(bytes_str(name));
	for (size_t i = 0; i < n; i++) {
		near_offer(&near, f[i].name);
		if (strcmp(f[i].name, name) != 0)
			continue;
		x = equals ? strtod(equals + 1, &end) : NAN;
		if (!equals || end == equals + 1 || *end || !(x >= f[i].lo && x <= f[i].hi))
			return cli_usage("--set %s: must be a number from %.15g to %.15g (%s)",
			                 name, f[i].lo, f[i].hi, f[i].unit);
		*f[i].into = x;
		return CLI_OK;
	}
	if (near.name)
		return cli_usage("--set: there is no %s; did you mean %s?", name, near.name);
	return cli_usage("--set: there is no %s; the names are those of the configuration", name);
}

/* RATE or RATE,CONCURRENCY. */
static int set_budget(struct learn_options *o, const char *text)
{
	char *end;
	double rate = strtod(text, &end), concurrency = o->origin.concurrency;
	bool bad = end == text || !(rate >= 0 && rate <= 1e5);

	if (!bad && *end == ',') {
		const char *second = end + 1;

		concurrency = strtod(second, &end);
		bad = end == second || !(concurrency >= 1 && concurrency <= 1e4);
	}
	if (bad || *end)
		return cli_usage("--budget: must be RATE or RATE,CONCURRENCY: 0 to 100000 loads/s, "
		                 "1 to 10000 loads");
	o->origin.rate = rate;
	o->origin.burst = fmax(1, fmin(o->origin.burst, ceil(rate)));
	o->origin.concurrency = concurrency;
	return CLI_OK;
}

static int set_push_mode(struct learn_options *o, const char *text)
{
	static const char *const word[] = {"auto", "lazy", "eager"};

	for (int i = 0; i < 3; i++) {
		if (strcmp(text, word[i]) == 0) {
			o->policy.push = (enum push_mode)i;
			return CLI_OK;
		}
	}
	return cli_usage("--push-mode: must be auto, lazy or eager");
}

int replay_settle(struct replay *r)
{
	struct learn_options *o = &r->learn;
	int status = CLI_OK;

	*o = learn_options_default();
	o->seed = (uint64_t)r->seed;
	o->pool = r->pool;
	for (size_t i = 0; i < r->set.n && status == CLI_OK; i++)
		status = set_field(o, r->set.item[i]);
	/* the options that have a name of their own win over --set */
	if (!isnan(r->max_stale))
		o->policy.max_stale = r->max_stale;
	if (!isnan(r->latency_value))
		o->policy.latency_value = r->latency_value;
	if (status == CLI_OK && r->budget)
		status = set_budget(o, r->budget);
	if (status == CLI_OK)
		status = set_push_mode(o, r->push_mode);
	if (r->no_prewarm)
		o->policy.prewarm = PREWARM_NEVER;
	return status;
}

static int settle_zone(struct replay *r, struct instant from, struct instant to)
{
	struct fault e;
	int err = 0;

	if (r->calendar)
		err = calendar_open(r->calendar, r->zone, from, to, &r->made_zone, &e);
	else if (r->zone)
		err = calendar_zone(r->zone, from, to, &r->made_zone, &e);
	if (err < 0)
		return cli_error("%s: %s", r->calendar ? r->calendar : r->zone, e.text);
	r->learn.zone = r->made_zone;
	return CLI_OK;
}

static int settle_push(struct replay *r)
{
	const struct trace *t = &r->trace;

	if (!r->push.n)
		return CLI_OK;
	r->pushed = mem_calloc(t->endpoints.n_ids, sizeof(*r->pushed));
	for (size_t i = 0; i < r->push.n; i++) {
		uint32_t e = intern_find(&t->endpoints, bytes_str(r->push.item[i]));

		if (strcmp(r->push.item[i], "*") == 0)
			memset(r->pushed, true, t->endpoints.n_ids * sizeof(*r->pushed));
		else if (e == INTERN_NONE)
			return cli_error("--push: no endpoint %s in the trace", r->push.item[i]);
		else
			r->pushed[e] = true;
	}
	r->learn.push = r->pushed;
	return CLI_OK;
}

/* `RULE` or `RULE @ PATTERN`, each given once and expanded over the time of the trace. */
static int settle_schedules(struct replay *r, struct instant from, struct instant to)
{
	const struct zone *zone = r->learn.zone ? r->learn.zone : &zone_utc;
	unsigned flags = r->calendar ? CALENDAR_SKIP_HOLIDAYS : 0;

	r->schedule = mem_calloc(r->schedules.n + 1, sizeof(*r->schedule));
	for (size_t i = 0; i < r->schedules.n; i++) {
		struct learn_schedule *s = &r->schedule[i];
		const char *text = r->schedules.item[i], *at = strstr(text, " @ ");
		char *rule = mem_dup(text, at ? (size_t)(at - text) : strlen(text));
		struct fault e;
		int err;

		if (at && !at[3 + strspn(at + 3, " \t")]) {
			free(rule);
			return cli_usage("--schedule %s: what is to be warm then? A pattern "
			                 "stands behind the @",
			                 text);
		}
		s->name = text;
		s->pattern = at ? at + 3 : "*";
		s->at = mem_calloc(MAX_PEAKS, sizeof(*s->at));
		r->learn.n_schedules = i + 1;
		err = calendar_expand(rule, zone, from, from, to, flags, s->at, MAX_PEAKS, &s->n,
		                      &e);
		free(rule);
		if (err < 0)
			return cli_error("--schedule %s: %s", text, e.text);
	}
	r->learn.schedule = r->schedule;
	if (r->no_prewarm) /* they were checked, and the engine never hears of them */
		r->learn.n_schedules = 0;
	return CLI_OK;
}

/* -- Files ------------------------------------------------------------------------------------ */

static void say_about_trace(const struct trace *t, const char *path)
{
	const struct trace_skipped *k = &t->skipped;

	if (t->is_log)
		cli_say("%s is an access log: it shows demand and not change, in whole seconds, "
		        "and every load is taken to last %.0f ms",
		        path, span_s(TRACE_LOAD_DEFAULT) * 1e3);
	if (k->method + k->status + k->empty + k->malformed)
		cli_say("skipped lines: %" PRIu64 " not GET or HEAD, %" PRIu64
		        " not answered with a value, %" PRIu64 " without a request, %" PRIu64
		        " not understood",
		        k->method, k->status, k->empty, k->malformed);
	if (k->malformed)
		cli_say("the first line that was not understood is line %" PRIu64,
		        k->first_malformed);
	if (!t->has_changes)
		cli_say("without --changes nothing ever changes: hits and loads mean something, "
		        "staleness does not (`forecache watch` records changes)");
	else if (t->change_rows && !t->change.n)
		cli_say("none of the %" PRIu64 " changes is of a key that is asked for: are the "
		        "keys written the same way?",
		        t->change_rows);
}

static void draw_reading(void *arg, double share)
{
	bar_draw(arg, share, 0);
}

/* From when to when zones and schedules are worked out: around the trace, for plans look ahead. */
static void window_of(const struct replay *r, struct instant *ret_from, struct instant *ret_to)
{
	const struct trace *t = &r->trace;
	struct span margin = SPAN_S(MARGIN_DAYS * INT64_C(86400));

	*ret_from = instant_add(t->at.v[0], SPAN_US(-margin.us));
	*ret_to = instant_add(t->at.v[t->at.n - 1], margin);
}

int replay_read(struct replay *r)
{
	struct trace *t = &r->trace;
	struct instant from, to;
	struct fault fault;
	struct bar bar;
	int err, status;

	bar_begin(&bar, "reading");
	r->read.progress = draw_reading;
	r->read.arg = &bar;
	err = trace_read(t, r->requests, &r->read, &fault);
	if (err == 0)
		err = trace_read_changes(t, r->changes, &fault);
	bar_end(&bar);
	if (err < 0)
		return cli_error("%s", fault.text);
	say_about_trace(t, r->requests);
	window_of(r, &from, &to);
	status = settle_zone(r, from, to);
	if (status == CLI_OK)
		learn_name_endpoints(t, &r->learn);
	if (status == CLI_OK)
		status = settle_push(r);
	if (status == CLI_OK)
		status = settle_schedules(r, t->at.v[0],
		                          instant_add(t->at.v[t->at.n - 1], SPAN_S(86400)));
	return status;
}

void replay_release(struct replay *r)
{
	for (size_t i = 0; r->schedule && i < r->schedules.n; i++)
		free(r->schedule[i].at);
	free(r->schedule);
	free(r->pushed);
	calendar_zone_free(&r->made_zone);
	trace_release(&r->trace);
}
