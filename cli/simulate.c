/* SPDX-License-Identifier: GPL-3.0-or-later */
/* forecache simulate: what policies would have done with a recorded day. Needs no daemon. */
#include "cli/cli.h"

#include "cli/human.h"
#include "cli/options.h"
#include "cli/table.h"
#include "cli/term.h"
#include "sim/simulate.h"

#include <cjson/cJSON.h>

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* -- Progress --------------------------------------------------------------------------------------- */

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
		fprintf(stderr, ", %s left\033[K", human_span(left, round(past_s * (1 - share) / share)));
	b->drawn = true;
}

static void bar_clear(struct bar *b)
{
	if (b->drawn)
		fputs("\r\033[K", stderr);
	b->drawn = false;
}

/* -- Results as JSON -------------------------------------------------------------------------------- */

static const char *const outcome_field[SCORE_OUTCOMES] = { "hits", "grace", "misses", "joined" };

static void add_figures(cJSON *to, const struct figures *f)
{
	cJSON *o;

	cJSON_AddNumberToObject(to, "requests", (double)f->requests);
	for (int i = 0; i < SCORE_OUTCOMES; i++)
		cJSON_AddNumberToObject(to, outcome_field[i], (double)f->outcome[i]);
	o = cJSON_AddObjectToObject(to, "loads");
	for (enum load_reason r = 0; r < LOAD_REASONS; r++)
		cJSON_AddNumberToObject(o, load_reason_name(r), (double)f->loads[r]);
	cJSON_AddNumberToObject(to, "loads_per_request", f->loads_per_request);
	cJSON_AddNumberToObject(to, "stale_per_request", f->stale_per_request);
	cJSON_AddNumberToObject(to, "hit_ratio", f->hit_ratio);
	o = cJSON_AddObjectToObject(to, "response_ms");
	cJSON_AddNumberToObject(o, "mean", f->response_mean_ms);
	cJSON_AddNumberToObject(o, "p50", f->response_p50_ms);
	cJSON_AddNumberToObject(o, "p99", f->response_p99_ms);
	o = cJSON_AddObjectToObject(to, "stale_age_s");
	cJSON_AddNumberToObject(o, "p50", f->stale_age_p50_s);
	cJSON_AddNumberToObject(o, "p99", f->stale_age_p99_s);
	cJSON_AddNumberToObject(o, "max", f->stale_age_max_s);
	if (!isnan(f->ttl_s))
		cJSON_AddNumberToObject(to, "ttl_s", f->ttl_s);
	if (!isnan(f->factor))
		cJSON_AddNumberToObject(to, "factor", f->factor);
}

/* What endpoints that the trace does not name are called. */
static const char *endpoint_name(const struct trace *t, uint32_t e)
{
	struct bytes name = intern_name(&t->endpoints, e);

	return name.n ? name.p : "-";
}

static void print_json(const struct trace *t, const struct simulate_result *r, size_t n)
{
	cJSON *root = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(root, "policies");
	char *text;

	for (size_t i = 0; i < n; i++) {
		cJSON *p = cJSON_CreateObject(), *endpoints;

		cJSON_AddItemToArray(list, p);
		cJSON_AddStringToObject(p, "policy", r[i].policy);
		add_figures(p, &r[i].total);
		endpoints = cJSON_AddObjectToObject(p, "endpoints");
		for (uint32_t e = 0; e < t->endpoints.n_ids; e++)
			if (r[i].endpoint[e].requests)
				add_figures(cJSON_AddObjectToObject(endpoints, endpoint_name(t, e)),
				            &r[i].endpoint[e]);
	}
	text = cJSON_Print(root);
	puts(text ? text : "{}");
	free(text);
	cJSON_Delete(root);
}

/* -- Results as a table ----------------------------------------------------------------------------- */

static void add_row(struct table *t, const char *name, const struct figures *f)
{
	char a[HUMAN_MAX], b[HUMAN_MAX], c[HUMAN_MAX], d[HUMAN_MAX], e[HUMAN_MAX], g[HUMAN_MAX], h[HUMAN_MAX];
	char rule[2 * HUMAN_MAX] = "";
	uint64_t loads = 0;

	for (int r = 0; r < LOAD_REASONS; r++)
		loads += f->loads[r];
	if (!isnan(f->ttl_s))
		snprintf(rule, sizeof(rule), "%s", human_span(a, f->ttl_s));
	else if (!isnan(f->factor))
		snprintf(rule, sizeof(rule), "%s x age", human_number(a, f->factor));
	table_cell(t, "%s", name);
	table_cell(t, "%" PRIu64, f->requests);
	table_cell(t, "%s", human_share(b, f->hit_ratio));
	table_cell(t, "%s", human_share(c, f->stale_per_request));
	table_cell(t, "%s", human_span(d, f->stale_age_p50_s));
	table_cell(t, "%s", human_span(e, f->stale_age_p99_s));
	table_cell(t, "%" PRIu64, loads);
	table_cell(t, "%.4f", f->loads_per_request);
	table_cell(t, "%s", human_span(g, f->response_mean_ms * 1e-3));
	table_cell(t, "%s", human_span(h, f->response_p99_ms * 1e-3));
	table_cell(t, "%s", rule);
}

static void start_table(struct table *t, const char *first)
{
	table_column(t, first, TABLE_LEFT);
	table_column(t, "requests", TABLE_RIGHT);
	table_column(t, "hits", TABLE_RIGHT);
	table_column(t, "stale", TABLE_RIGHT);
	table_column(t, "for p50", TABLE_RIGHT);
	table_column(t, "p99", TABLE_RIGHT);
	table_column(t, "loads", TABLE_RIGHT);
	table_column(t, "per request", TABLE_RIGHT);
	table_column(t, "response", TABLE_RIGHT);
	table_column(t, "p99", TABLE_RIGHT);
	table_column(t, "TTL", TABLE_RIGHT);
}

static void print_table(struct table *t)
{
	table_print(t, stdout);
	table_release(t);
}

static void print_tables(const struct trace *t, const struct simulate *s, const struct simulate_result *r,
                         size_t n, bool by_endpoint)
{
	struct table table = { 0 };
	char share[HUMAN_MAX], when[HUMAN_MAX];

	printf("%" PRIu32 " keys of %" PRIu32 " endpoints; objective: at most %s of requests stale; scored from %s\n\n",
	       t->keys.live, t->endpoints.live, human_share(share, s->max_stale),
	       human_time(when, instant_s(s->score_from), true));
	start_table(&table, "policy");
	for (size_t i = 0; i < n; i++)
		add_row(&table, r[i].policy, &r[i].total);
	print_table(&table);
	for (size_t i = 0; by_endpoint && i < n; i++) {
		table = (struct table){ 0 };
		printf("\n%s%s%s\n", term_on(TERM_BOLD), r[i].policy, term_off(TERM_BOLD));
		start_table(&table, "endpoint");
		for (uint32_t e = 0; e < t->endpoints.n_ids; e++)
			if (r[i].endpoint[e].requests)
				add_row(&table, endpoint_name(t, e), &r[i].endpoint[e]);
		print_table(&table);
	}
}

/* -- The command ------------------------------------------------------------------------------------ */

static const char *const default_policies[] = { "static-best", "endpoint-best", "bound" };

static void say_about_trace(const struct trace *t, const char *path)
{
	const struct trace_skipped *k = &t->skipped;

	if (t->is_log)
		cli_say("%s is an access log: it shows demand and not change, in whole seconds, and every load "
		        "is taken to last %.0f ms",
		        path, span_s(TRACE_LOAD_DEFAULT) * 1e3);
	if (k->method + k->status + k->empty + k->malformed)
		cli_say("skipped lines: %" PRIu64 " not GET or HEAD, %" PRIu64 " not answered with a value, %" PRIu64
		        " without a request, %" PRIu64 " not understood",
		        k->method, k->status, k->empty, k->malformed);
	if (k->malformed)
		cli_say("the first line that was not understood is %" PRIu64, k->first_malformed);
	if (!t->has_changes)
		cli_say("without --changes nothing ever changes: hits and loads mean something, staleness does "
		        "not (`forecache watch` records changes)");
}

int cmd_simulate(int argc, char **argv)
{
	static const struct usage usage = {
		.synopsis = "--requests FILE [--changes FILE] [--policy NAME]...",
		.brief = "Replays recorded requests against caching policies: loads, staleness and response times.",
		.examples = "forecache simulate --requests R.tsv.xz --changes C.tsv.xz --max-stale 0.01\n"
		            "forecache simulate --requests access.log.gz --policy static:60   # demand only\n"
		            "forecache simulate --requests R.tsv --changes C.tsv --policy static:60 --log L.tsv\n",
		.details =
		        "Files may be plain, gzip, xz or zstd. Requests are TSV with the header `time_s endpoint\n"
		        "key bytes load_ms`, or an access log of nginx or Apache; changes have `time_s key`.\n"
		        "Policies: " SIMULATE_POLICIES ".\n"
		        "The -best ones choose their TTL in hindsight, bound is what no cache that loads on\n"
		        "demand can go below; endpoint-best leaves out endpoints with under 100 scored requests.\n",
	};
	const char *requests = NULL, *changes = NULL, *log = NULL;
	double score_from = 0.5, max_stale = 0.01, seed = 1, threads = 2;
	bool by_endpoint = false;
	struct option_list policies = { 0 };
	struct trace_options trace_options = { 0 };
	const struct option_row rows[] = {
		{ "requests", 'r', OPTION_TEXT, &requests, 0, 0, "FILE", "who asked for what when; - is stdin" },
		{ "changes", 'c', OPTION_TEXT, &changes, 0, 0, "FILE", "when the values changed at the origin" },
		{ "policy", 'p', OPTION_LIST, &policies, 0, 0, "NAME", "try this policy; may be repeated" },
		{ "max-stale", 0, OPTION_NUMBER, &max_stale, 0, 0.5, "SHARE",
		  "the objective: share of requests that may be stale (0.01)" },
		{ "score-from", 0, OPTION_NUMBER, &score_from, 0, 253402300799.0, "SHARE|TIME",
		  "count from this share of the time on, or from this second since 1970 (0.5)" },
		{ "endpoints", 'e', OPTION_FLAG, &by_endpoint, 0, 0, NULL, "show every endpoint, too" },
		{ "log", 0, OPTION_TEXT, &log, 0, 0, "FILE", "write every decision of the one policy" },
		{ "keep-query", 0, OPTION_FLAG, &trace_options.keep_query, 0, 0, NULL,
		  "access logs: what follows ? belongs to the key" },
		{ "seed", 0, OPTION_COUNT, &seed, 0, 9007199254740992.0, "N", "of what is random in the policies (1)" },
		{ "threads", 0, OPTION_COUNT, &threads, 1, 256, "N", "policies that run at once (2)" },
	};
	struct simulate_result result[SIMULATE_MAX_POLICIES];
	struct simulate s = { 0 };
	struct trace t = { 0 };
	struct fault fault;
	struct bar bar = { .began_s = monotonic_s() };
	int status = options_parse(&usage, rows, sizeof(rows) / sizeof(rows[0]), &argc, &argv);
	const char *const *policy;
	size_t n;

	if (status >= 0)
		return status;
	if (!requests)
		return cli_usage("--requests FILE is needed; try `forecache simulate --help`");
	n = policies.n ? policies.n : sizeof(default_policies) / sizeof(default_policies[0]);
	policy = policies.n ? policies.item : default_policies;
	if (log && n != 1)
		return cli_usage("--log needs exactly one --policy");
	for (size_t i = 0; i < n; i++)
		if (simulate_check(policy[i], log != NULL, &fault) < 0)
			return cli_usage("%s", fault.text);
	cli_catch_signals();
	bar.what = "reading";
	trace_options.progress = bar_draw;
	trace_options.arg = &bar;
	status = CLI_ERROR;
	if (trace_read(&t, requests, &trace_options, &fault) < 0 ||
	    trace_read_changes(&t, changes, &fault) < 0) {
		bar_clear(&bar);
		cli_error("%s", fault.text);
		goto out;
	}
	bar_clear(&bar);
	say_about_trace(&t, requests);
	bar = (struct bar){ .began_s = monotonic_s(), .what = "replaying" };
	s = (struct simulate){
		.trace = &t,
		.score_from = trace_score_from(&t, score_from),
		.max_stale = max_stale,
		.seed = (uint64_t)seed,
		.log_path = log,
		.threads = (unsigned)threads,
		.interrupted = cli_interrupted,
		.progress = bar_draw,
		.arg = &bar,
	};
	simulate_run(&s, policy, n, result);
	bar_clear(&bar);
	status = CLI_OK;
	for (size_t i = 0; i < n && status == CLI_OK; i++) {
		if (result[i].error == -EINTR)
			status = cli_signal_status();
		else if (result[i].error < 0)
			status = cli_error("%s", result[i].fault.text);
	}
	if (status == CLI_OK && cli.json)
		print_json(&t, result, n);
	else if (status == CLI_OK)
		print_tables(&t, &s, result, n, by_endpoint);
	for (size_t i = 0; i < n; i++)
		simulate_result_release(&result[i]);
out:
	trace_release(&t);
	return status;
}
