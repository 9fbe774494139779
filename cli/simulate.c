/* SPDX-License-Identifier: GPL-3.0-or-later */
/* forecache simulate: what policies would have done with recorded requests. Needs no daemon. */
#include "cli/cli.h"

#include "base/mem.h"
#include "calendar/calendar.h"
#include "cli/human.h"
#include "cli/learned.h"
#include "cli/options.h"
#include "cli/simulate_print.h"
#include "sim/eviction.h"
#include "sim/learn.h"
#include "sim/simulate.h"

#include <errno.h>
#include <gsl/gsl_errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/*
 * -- Progress
 * ---------------------------------------------------------------------------------------
 */

/* Shorter runs show nothing. */
#define QUIET_S   2.0
#define BAR_CHARS 30

struct bar {
	double began_s;
	const char *what;
	bool drawn;
};

static double monotonic_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void bar_draw(void *arg, double share)
{
	struct bar *b = arg;
	double past_s = monotonic_s() - b->began_s;
	char left[HUMAN_MAX];
	int full;

	if (past_s < QUIET_S || !isatty(STDERR_FILENO))
		return;
	share = fmin(fmax(share, 0), 1);
	full = (int)(share * BAR_CHARS);
	fprintf(stderr, "\r%s [%.*s%*s] %3.0f %%", b->what, full, "##############################",
	        BAR_CHARS - full, "", share * 100);
	if (share > 0.02)
		fprintf(stderr, ", %s left\033[K",
		        human_span(left, round(past_s * (1 - share) / share)));
	b->drawn = true;
}

static void bar_clear(struct bar *b)
{
	if (b->drawn)
		fputs("\r\033[K", stderr);
	b->drawn = false;
}

/*
 * -- What `learn` is told
 * -----------------------------------------------------------------------------
 */

/*
 * Days around the trace for which time zones and schedules are worked out: a plan may look ahead.
 */
#define MARGIN_DAYS 400

/* Enough for one peak an hour over two years. */
#define MAX_PEAKS 20000

/* Everything that the command line says, and what is made of it. */
struct given {
	const char *requests, *changes, *log, *learned_out, *push_mode, *calendar, *zone, *budget;
	const char *keys;
	double entries, score_from, max_stale, latency_value, seed, threads;
	bool by_endpoint, pool, no_prewarm;
	struct option_list policies, push, schedules, set;
	struct trace_options trace;

	struct learn_options learn;
	struct zone *made_zone;
	bool *pushed;
	struct learn_schedule *schedule;
};

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
	const char *word[MAX_FIELDS], *equals = strchr(text, '='), *near;
	size_t n = fields_of(o, f), length = equals ? (size_t)(equals - text) : strlen(text);
	char name[64], *end;
	double x;

	snprintf(name, sizeof(name), "%.*s", (int)length, text);
	for (size_t i = 0; i < n; i++) {
		word[i] = f[i].name;
		if (strcmp(f[i].name, name) != 0)
			continue;
		x = equals ? strtod(equals + 1, &end) : NAN;
		if (!equals || end == equals + 1 || *end || !(x >= f[i].lo && x <= f[i].hi))
			return cli_usage("--set %s: must be a number from %g to %g (%s)", name,
			                 f[i].lo, f[i].hi, f[i].unit);
		*f[i].into = x;
		return CLI_OK;
	}
	near = cli_nearest(name, word, n);
	if (near)
		return cli_usage("--set: there is no %s; did you mean %s?", name, near);
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

/* What can be checked before any file is read. */
static int settle_options(struct given *g)
{
	struct learn_options *o = &g->learn;
	int status = CLI_OK;

	*o = learn_options_default();
	o->seed = (uint64_t)g->seed;
	o->pool = g->pool;
	for (size_t i = 0; i < g->set.n && status == CLI_OK; i++)
		status = set_field(o, g->set.item[i]);
	/* the options that have a name of their own win over --set */
	if (!isnan(g->max_stale))
		o->policy.max_stale = g->max_stale;
	if (!isnan(g->latency_value))
		o->policy.latency_value = g->latency_value;
	if (status == CLI_OK && g->budget)
		status = set_budget(o, g->budget);
	if (status == CLI_OK)
		status = set_push_mode(o, g->push_mode);
	return status;
}

static int settle_zone(struct given *g, struct instant from, struct instant to)
{
	struct calendar_error e;
	int r = 0;

	if (g->calendar)
		r = calendar_open(g->calendar, g->zone, from, to, &g->made_zone, &e);
	else if (g->zone)
		r = calendar_zone(g->zone, from, to, &g->made_zone, &e);
	if (r < 0)
		return cli_error("%s: %s", g->calendar ? g->calendar : g->zone, e.text);
	g->learn.zone = g->made_zone;
	return CLI_OK;
}

static int settle_push(struct given *g, const struct trace *t)
{
	if (!g->push.n)
		return CLI_OK;
	g->pushed = mem_calloc(t->endpoints.n_ids, sizeof(*g->pushed));
	for (size_t i = 0; i < g->push.n; i++) {
		uint32_t e = intern_find(&t->endpoints, bytes_str(g->push.item[i]));

		if (strcmp(g->push.item[i], "*") == 0)
			memset(g->pushed, true, t->endpoints.n_ids * sizeof(*g->pushed));
		else if (e == INTERN_NONE)
			return cli_error("--push: no endpoint %s in the trace", g->push.item[i]);
		else
			g->pushed[e] = true;
	}
	g->learn.push = g->pushed;
	return CLI_OK;
}

/* `RULE` or `RULE @ PATTERN`, each given once and expanded over the time of the trace. */
static int settle_schedules(struct given *g, struct instant from, struct instant to)
{
	const struct zone *zone = g->learn.zone ? g->learn.zone : &zone_utc;
	unsigned flags = g->calendar ? CALENDAR_SKIP_HOLIDAYS : 0;

	g->schedule = mem_calloc(g->schedules.n + 1, sizeof(*g->schedule));
	for (size_t i = 0; i < g->schedules.n; i++) {
		struct learn_schedule *s = &g->schedule[i];
		const char *text = g->schedules.item[i], *at = strstr(text, " @ ");
		char *rule = mem_dup(text, at ? (size_t)(at - text) : strlen(text));
		struct calendar_error e;
		int r;

		s->name = text;
		s->pattern = at ? at + 3 : "*";
		s->at = mem_calloc(MAX_PEAKS, sizeof(*s->at));
		g->learn.n_schedules = i + 1;
		r = calendar_expand(rule, zone, from, from, to, flags, s->at, MAX_PEAKS, &s->n, &e);
		free(rule);
		if (r < 0)
			return cli_error("--schedule %s: %s", text, e.text);
	}
	g->learn.schedule = g->schedule;
	if (g->no_prewarm) /* they were checked, and the engine never hears of them */
		g->learn.n_schedules = 0;
	return CLI_OK;
}

static int settle_trace(struct given *g, struct trace *t)
{
	struct instant first = t->at.v[0], last = t->at.v[t->at.n - 1];
	struct span margin = SPAN_S(MARGIN_DAYS * INT64_C(86400));
	int status =
	        settle_zone(g, instant_add(first, SPAN_US(-margin.us)), instant_add(last, margin));

	if (status == CLI_OK)
		learn_name_endpoints(t, &g->learn);
	if (status == CLI_OK)
		status = settle_push(g, t);
	if (status == CLI_OK)
		status = settle_schedules(g, first, instant_add(last, SPAN_S(86400)));
	return status;
}

static void given_release(struct given *g)
{
	for (size_t i = 0; g->schedule && i < g->schedules.n; i++)
		free(g->schedule[i].at);
	free(g->schedule);
	free(g->pushed);
	calendar_zone_free(&g->made_zone);
}

/*
 * -- The command
 * ------------------------------------------------------------------------------------
 */

static const char *const default_policies[] = {"learn", "static-best", "endpoint-best", "bound"};

static void say_about_trace(const struct trace *t, const char *path)
{
	const struct trace_skipped *k = &t->skipped;

	if (t->is_log)
		cli_say("%s is an access log: it shows demand and not change, in whole seconds, "
		        "and every load "
		        "is taken to last %.0f ms",
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
		        "staleness does "
		        "not (`forecache watch` records changes)");
}

/* Reads both files, with a bar. CLI_OK or CLI_ERROR. */
static int read_trace(const struct given *g, struct trace *t)
{
	struct bar bar = {.began_s = monotonic_s(), .what = "reading"};
	struct trace_options o = g->trace;
	struct fault fault;
	int r;

	o.progress = bar_draw;
	o.arg = &bar;
	r = trace_read(t, g->requests, &o, &fault);
	if (r == 0)
		r = trace_read_changes(t, g->changes, &fault);
	bar_clear(&bar);
	if (r < 0)
		return cli_error("%s", fault.text);
	say_about_trace(t, g->requests);
	return CLI_OK;
}

/* Runs the policies and prints what came out. */
static int compare_policies(const struct given *g, const struct trace *t, const char *const *policy,
                            size_t n)
{
	struct bar bar = {.began_s = monotonic_s(), .what = "replaying"};
	struct simulate_result result[SIMULATE_MAX_POLICIES];
	struct simulate s = {
	        .trace = t,
	        .score_from = trace_score_from(t, g->score_from),
	        .learn = &g->learn,
	        .log_path = g->log,
	        .threads = (unsigned)g->threads,
	        .interrupted = cli_interrupted,
	        .progress = bar_draw,
	        .arg = &bar,
	};
	int status = CLI_OK;

	simulate_run(&s, policy, n, result);
	bar_clear(&bar);
	for (size_t i = 0; i < n && status == CLI_OK; i++) {
		if (result[i].error == -EINTR)
			status = cli_signal_status();
		else if (result[i].error < 0)
			status = cli_error("%s", result[i].fault.text);
	}
	if (status == CLI_OK && cli.json)
		simulate_print_json(&s, result, n);
	else if (status == CLI_OK)
		simulate_print_table(&s, result, n, g->by_endpoint);
	for (size_t i = 0; i < n; i++)
		simulate_result_release(&result[i]);
	return status;
}

/* --keys: what is kept when memory is short. */
static int compare_eviction(const struct given *g)
{
	struct eviction v = {g->keys, (uint32_t)g->entries, (uint64_t)g->seed, cli_interrupted};
	struct eviction_result r;
	char share[HUMAN_MAX];
	struct fault fault;
	int err;

	cli_catch_signals();
	err = eviction_run(&v, &r, &fault);
	if (err == -EINTR)
		return cli_signal_status();
	if (err < 0)
		return cli_error("%s", fault.text);
	if (cli.json)
		printf("{\"requests\": %" PRIu64 ", \"misses\": %" PRIu64
		       ", \"miss_ratio\": %.9g}\n",
		       r.requests, r.misses, (double)r.misses / (double)r.requests);
	else
		printf("%" PRIu64 " requests, %u entries: %" PRIu64 " misses, %s\n", r.requests,
		       v.entries, r.misses,
		       human_share(share, (double)r.misses / (double)r.requests));
	return CLI_OK;
}

int cmd_simulate(int argc, char **argv)
{
	static const struct usage usage = {
	        .synopsis = "--requests FILE [--changes FILE] [--policy NAME]...",
	        .brief = "Replays recorded requests against caching policies: loads, staleness and "
	                 "response times.",
	        .examples =
	                "forecache simulate --requests R.tsv.xz --changes C.tsv.xz --max-stale "
	                "0.01\n"
	                "forecache simulate --requests access.log.gz --policy static:60     # "
	                "demand only\n"
	                "forecache simulate --requests R.tsv --changes C.tsv --policy learn --log "
	                "L.tsv\n"
	                "forecache simulate --keys K.txt.xz --entries 1000                  # "
	                "eviction only\n"
	                "forecache simulate --requests R.tsv --changes C.tsv --calendar XNYS \\\n"
	                "    --schedule 'weekdays 09:30 @ /quotes/<symbol>'                 # the "
	                "opening bell\n",
	        .details = "Files may be plain, gzip, xz or zstd. Requests are TSV with the header "
	                   "`time_s endpoint\n"
	                   "key bytes load_ms`, or an access log of nginx or Apache; changes have "
	                   "`time_s key`.\n"
	                   "Policies: " SIMULATE_POLICIES ".\n"
	                   "learn is the engine of the daemon. The -best ones choose their TTL in "
	                   "hindsight, and bound\n"
	                   "is what no cache that loads on demand can go below; endpoint-best "
	                   "leaves out endpoints\n"
	                   "with under 100 scored requests.\n",
	};
	struct given g = {.push_mode = "auto",
	                  .score_from = 0.5,
	                  .max_stale = NAN,
	                  .latency_value = NAN,
	                  .seed = 1,
	                  .threads = 2};
	const struct option_row rows[] = {
	        {"requests", 'r', OPTION_TEXT, &g.requests, 0, 0, "FILE",
	         "who asked for what when; - is stdin"},
	        {"changes", 'c', OPTION_TEXT, &g.changes, 0, 0, "FILE",
	         "when the values changed at the origin"},
	        {"policy", 'p', OPTION_LIST, &g.policies, 0, 0, "NAME",
	         "try this policy; may be repeated"},
	        {"max-stale", 0, OPTION_NUMBER, &g.max_stale, 0, 0.5, "SHARE",
	         "the objective: share of requests that may be stale (0.01)"},
	        {"score-from", 0, OPTION_NUMBER, &g.score_from, 0, 253402300799.0, "SHARE|TIME",
	         "count from this share of the time on, or from this second since 1970 (0.5)"},
	        {"endpoints", 'e', OPTION_FLAG, &g.by_endpoint, 0, 0, NULL,
	         "show every endpoint, too"},
	        {"log", 0, OPTION_TEXT, &g.log, 0, 0, "FILE",
	         "write every decision of the one policy"},
	        {"learned-out", 0, OPTION_TEXT, &g.learned_out, 0, 0, "FILE",
	         "learn: write what was learned by the end, for `forecache import`"},
	        {"pool", 0, OPTION_FLAG, &g.pool, 0, 0, NULL,
	         "learn: all endpoints share one objective"},
	        {"push", 0, OPTION_LIST, &g.push, 0, 0, "ENDPOINT|*",
	         "learn: changes of this endpoint arrive as events; may be repeated"},
	        {"push-mode", 0, OPTION_TEXT, &g.push_mode, 0, 0, "auto|lazy|eager",
	         "learn: whether an event loads the new value at once (auto)"},
	        {"schedule", 0, OPTION_LIST, &g.schedules, 0, 0, "RULE[ @ PATTERN]",
	         "learn: a known peak, as for `forecache schedule add`"},
	        {"no-prewarm", 0, OPTION_FLAG, &g.no_prewarm, 0, 0, NULL,
	         "learn: do nothing about schedules"},
	        {"calendar", 0, OPTION_TEXT, &g.calendar, 0, 0, "FILE.ics|MIC",
	         "learn: special days, and the time zone (XNYS, ...)"},
	        {"zone", 0, OPTION_TEXT, &g.zone, 0, 0, "NAME",
	         "learn: the time zone, as Europe/Berlin (UTC)"},
	        {"budget", 0, OPTION_TEXT, &g.budget, 0, 0, "RATE[,N]",
	         "learn: background loads per second, and loads at once (50,32)"},
	        {"latency-value", 0, OPTION_NUMBER, &g.latency_value, 0, 1000, "LOADS",
	         "learn: loads that sparing a user one miss is worth (0.2)"},
	        {"set", 0, OPTION_LIST, &g.set, 0, 0, "NAME=VALUE",
	         "learn: any number of the configuration"},
	        {"keys", 0, OPTION_TEXT, &g.keys, 0, 0, "FILE",
	         "eviction only: keys in the order of asking, one a line"},
	        {"entries", 0, OPTION_COUNT, &g.entries, 1, EVICTION_MAX_ENTRIES, "N",
	         "eviction only: what the cache holds"},
	        {"keep-query", 0, OPTION_FLAG, &g.trace.keep_query, 0, 0, NULL,
	         "access logs: what follows ? belongs to the key"},
	        {"seed", 0, OPTION_COUNT, &g.seed, 0, 9007199254740992.0, "N",
	         "of what is random in the policies (1)"},
	        {"threads", 0, OPTION_COUNT, &g.threads, 1, 256, "N",
	         "policies that run at once (2)"},
	};
	int status = options_parse(&usage, rows, sizeof(rows) / sizeof(rows[0]), &argc, &argv);
	const char *const *policy = g.policies.n ? g.policies.item : default_policies;
	size_t n = g.policies.n ? g.policies.n
	                        : sizeof(default_policies) / sizeof(default_policies[0]);
	struct learned *learned = NULL;
	struct trace t = {0};
	struct fault fault;

	if (status >= 0)
		return status;
	if (g.keys && g.entries == 0)
		return cli_usage("--keys needs --entries N");
	if (g.keys)
		return compare_eviction(&g);
	if (!g.requests)
		return cli_usage("--requests FILE is needed; try `forecache simulate --help`");
	if (g.log && n != 1)
		return cli_usage("--log needs exactly one --policy");
	if (g.learned_out && (n != 1 || strcmp(policy[0], "learn") != 0))
		return cli_usage("--learned-out needs `--policy learn` and no other");
	for (size_t i = 0; i < n; i++)
		if (simulate_check(policy[i], g.log != NULL, &fault) < 0)
			return cli_usage("%s", fault.text);
	status = settle_options(&g);
	if (status != CLI_OK)
		return status;
	gsl_set_error_handler_off();
	status = read_trace(&g, &t);
	/* from here on there is a log to close; until here Ctrl-C just ends us */
	cli_catch_signals();
	if (status == CLI_OK)
		status = settle_trace(&g, &t);
	if (status == CLI_OK && g.learned_out) {
		learned = learned_create(g.learned_out);
		if (!learned)
			status = CLI_ERROR;
		g.learn.learned = learned_write;
		g.learn.learned_arg = learned;
	}
	if (status == CLI_OK)
		status = compare_policies(&g, &t, policy, n);
	if (learned && learned_close(&learned) != CLI_OK)
		status = CLI_ERROR;
	given_release(&g);
	trace_release(&t);
	return status;
}
