/* SPDX-License-Identifier: GPL-3.0-or-later */
/* forecache report: a page about a log, for a colleague. Needs no daemon. */
#include "cli/report.h"

#include "base/mem.h"
#include "calendar/calendar.h"
#include "cli/bar.h"
#include "cli/cli.h"
#include "cli/frontier.h"
#include "cli/human.h"
#include "cli/json.h"
#include "cli/options.h"
#include "base/text.h"

#include <errno.h>
#include <gsl/gsl_errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const double report_ttl_s[REPORT_TTLS] = {1, 5, 15, 60, 300, 900, 3600, 21600, 86400, 604800};

/* A peak is worth a schedule when it stands out, is not a handful of requests, and was seen again. */
#define PEAK_TIMES    2.0
#define PEAK_REQUESTS 20.0
#define PEAK_SEEN     3

#define MAX_PEAKS 20000 /* instants of one schedule */

static void draw(void *arg, double share, double requests)
{
	bar_draw(arg, share, requests);
}

static struct simulate simulation(const struct report *r, struct bar *bar, const char *what)
{
	bar_begin(bar, what);
	return (struct simulate){
	        .trace = &r->replay->trace,
	        .score_from = r->score_from,
	        .threads = (unsigned)r->replay->threads,
	        .interrupted = cli_interrupted,
	        .progress = draw,
	        .arg = bar,
	};
}

static int failed(int err, const struct fault *fault)
{
	return err == -EINTR ? cli_signal_status() : cli_error("%s", fault->text);
}

/* -- What the log says ------------------------------------------------------------------------ */

bool report_knows_changes(const struct report *r)
{
	return r->replay->trace.has_changes && r->replay->trace.change.n > 0;
}

static int compare_requests(const void *a, const void *b, void *arg)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	const uint64_t *requests = arg;

	if (requests[x] != requests[y])
		return requests[x] < requests[y] ? 1 : -1;
	return (x > y) - (x < y);
}

static void count_requests(struct report *r)
{
	const struct trace *t = &r->replay->trace;
	uint32_t n = t->endpoints.n_ids;

	r->requests = mem_calloc(n, sizeof(*r->requests));
	r->keys = mem_calloc(n, sizeof(*r->keys));
	r->order = mem_calloc(n, sizeof(*r->order));
	for (size_t i = 0; i < t->at.n; i++) {
		uint32_t k = t->key.v[i];

		r->requests[t->endpoint.v[k]]++;
		r->changed_requests += t->change_first[k + 1] > t->change_first[k];
	}
	for (uint32_t k = 0; k < t->keys.n_ids; k++) {
		r->keys[t->endpoint.v[k]]++;
		r->changed_keys += t->change_first[k + 1] > t->change_first[k];
	}
	for (uint32_t e = 0; e < n; e++)
		if (r->requests[e])
			r->order[r->n_endpoints++] = e;
	qsort_r(r->order, r->n_endpoints, sizeof(*r->order), compare_requests, r->requests);
}

/* Without changes: what a TTL would save if nothing else mattered. */
static void count_demand(struct report *r)
{
	const struct trace *t = &r->replay->trace;
	struct lanes lanes;

	r->n_demand = r->n_endpoints < REPORT_ENDPOINTS ? r->n_endpoints : REPORT_ENDPOINTS;
	r->demand = mem_calloc((r->n_demand + 1) * REPORT_TTLS, sizeof(*r->demand));
	lanes_init(&lanes, t);
	for (int i = 0; i < REPORT_TTLS; i++) {
		for (uint32_t k = 0; k < t->keys.n_ids; k++)
			fixed_count_key(&lanes, k, FIXED_TTL, report_ttl_s[i], r->score_from,
			                &r->demand[i]);
		for (size_t j = 0; j < r->n_demand; j++)
			for (uint32_t k = lanes.key_first[r->order[j]];
			     k < lanes.key_first[r->order[j] + 1]; k++)
				fixed_count_key(&lanes, lanes.key[k], FIXED_TTL, report_ttl_s[i],
				                r->score_from,
				                &r->demand[(j + 1) * REPORT_TTLS + (size_t)i]);
	}
	lanes_release(&lanes);
}

/* -- What was learned ------------------------------------------------------------------------- */

static struct report_row named(const struct report *r, const struct ttl_row *row)
{
	const struct trace *t = &r->replay->trace;
	struct report_row copy = {.endpoint = intern_find(&t->endpoints, row->endpoint),
	                          .key = INTERN_NONE,
	                          .row = *row};

	if (row->key.n)
		copy.key = intern_find(&t->keys, row->key);
	copy.row.endpoint = copy.row.key = bytes_of(NULL, 0); /* they do not outlive the call */
	return copy;
}

/* One look of one report. */
struct looking {
	const struct report *report;
	struct report_look *look;
};

static void keep_endpoint(void *arg, const struct ttl_row *row)
{
	struct looking *l = arg;

	*vec_push(&l->look->endpoints) = named(l->report, row);
}

static void keep_key(void *arg, const struct ttl_row *row)
{
	struct looking *l = arg;

	*vec_push(&l->look->keys) = named(l->report, row);
}

/* On the thread of the one run whose objective was asked for. */
static void ask_engine(void *arg, size_t i, struct engine *e, struct instant now)
{
	struct report *r = arg;
	struct looking l = {r, &r->look[i]};

	l.look->at = now;
	engine_endpoints(e, now, keep_endpoint, &l);
	engine_ttls(e, now, bytes_of(NULL, 0), REPORT_KEYS, keep_key, &l);
}

static int run_frontier(struct report *r, const double *objective, size_t n)
{
	struct bar bar;
	struct simulate s = simulation(r, &bar, "replaying");
	struct learn_options learn = r->replay->learn;
	struct instant look[REPORT_LOOKS] = {r->busiest, INSTANT_NEVER};
	struct fault fault;
	int err;

	learn.look = look;
	learn.n_looks = REPORT_LOOKS;
	learn.looked = ask_engine;
	learn.looked_arg = r;
	err = frontier_run(&s, &learn, objective, n, &r->frontier, &fault);
	bar_end(&bar);
	if (err)
		return failed(err, &fault);
	r->has_frontier = true;
	for (size_t i = 0; i < n; i++)
		if (r->frontier.point[i].objective <= learn.policy.max_stale)
			r->own = i;
	return CLI_OK;
}

/* -- Peaks ------------------------------------------------------------------------------------ */

const char *report_day_time(char buf[static REPORT_TIME_MAX], int bin)
{
	int minutes = bin % WEEK_DAY * (WEEK_BIN_S / 60);

	snprintf(buf, REPORT_TIME_MAX, "%02d:%02d", minutes / 60 % 24, minutes % 60);
	return buf;
}

const char *report_week_time(char buf[static REPORT_TIME_MAX], int bin)
{
	static const char *const day[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
	char at[REPORT_TIME_MAX];

	snprintf(buf, REPORT_TIME_MAX, "%s %.5s", day[bin / WEEK_DAY % 7],
	         report_day_time(at, bin));
	return buf;
}

static void find_peaks(struct report *r)
{
	const struct trace *t = &r->replay->trace;
	const struct zone *zone = r->replay->learn.zone ? r->replay->learn.zone : &zone_utc;
	size_t n = r->n_endpoints < REPORT_PEAKS ? r->n_endpoints : REPORT_PEAKS;
	uint32_t endpoint[REPORT_PEAKS + 1] = {WEEK_ALL};

	memcpy(endpoint + 1, r->order, n * sizeof(*endpoint));
	week_count(&r->week, t, zone, endpoint, n + 1);
	r->peak = mem_calloc(n + 1, sizeof(*r->peak));
	for (size_t i = 0; i <= n; i++)
		r->peak[i] = week_peak(&r->week, i, t, zone);
	r->busiest = week_last(t, zone, r->peak[0].bin);
}

/* Can the endpoint's name stand for it, and for nothing else, in a schedule? */
static bool is_pattern(struct bytes name)
{
	return name.n && strlen(name.p) == name.n && !strchr(name.p, '*');
}

static bool is_worth_a_schedule(const struct week_peak *p)
{
	return p->day_per_s >= PEAK_TIMES * p->mean_per_s &&
	       p->day_per_s * WEEK_BIN_S >= PEAK_REQUESTS && p->seen >= PEAK_SEEN;
}

/* A schedule for each endpoint with a marked peak. CLI_OK or an exit status. */
static int make_schedules(struct report *r, struct learn_schedule *schedule)
{
	const struct trace *t = &r->replay->trace;
	const struct zone *zone = r->replay->learn.zone ? r->replay->learn.zone : &zone_utc;
	unsigned flags = r->replay->calendar ? CALENDAR_SKIP_HOLIDAYS : 0;
	struct instant from = t->at.v[0], last = t->at.v[t->at.n - 1];
	char at[REPORT_TIME_MAX];

	for (size_t i = 1; i < r->week.n_rows && r->n_schedules < REPORT_SCHEDULES; i++) {
		struct bytes name = intern_name(&t->endpoints, r->week.row[i].endpoint);
		struct learn_schedule *s = &schedule[r->n_schedules];
		struct report_schedule *mine = &r->schedule[r->n_schedules];
		struct fault e;

		if (!is_worth_a_schedule(&r->peak[i]) || !is_pattern(name))
			continue;
		mine->row = i;
		snprintf(mine->rule, sizeof(mine->rule), "%s %s", week_days_name(r->peak[i].days),
		         report_day_time(at, r->peak[i].day_bin));
		s->at = mem_calloc(MAX_PEAKS, sizeof(*s->at));
		snprintf(mine->name, sizeof(mine->name), "peak-%zu", r->n_schedules + 1);
		s->name = mine->name;
		s->pattern = name.p;
		r->n_schedules++;
		if (calendar_expand(mine->rule, zone, from, from, instant_add(last, SPAN_S(86400)),
		                    flags, s->at, MAX_PEAKS, &s->n, &e) < 0)
			return cli_error("peak %s: %s", mine->rule, e.text);
		for (size_t j = 0; j < s->n; j++)
			mine->n_scored += !instant_before(s->at[j], r->score_from) &&
			                  !instant_before(last, s->at[j]);
	}
	return CLI_OK;
}

/* What learn would have done had it been told of the peaks. */
static int run_scheduled(struct report *r)
{
	struct learn_options learn = r->replay->learn;
	size_t n_given = learn.n_schedules;
	struct learn_schedule *schedule = mem_calloc(n_given + REPORT_SCHEDULES, sizeof(*schedule));
	struct simulate_run run = {"learn", &learn, false};
	int status;

	if (n_given)
		memcpy(schedule, learn.schedule, n_given * sizeof(*schedule));
	status = make_schedules(r, schedule + n_given);
	if (status == CLI_OK && r->n_schedules) {
		struct bar bar;
		struct simulate s = simulation(r, &bar, "replaying with schedules");

		learn.schedule = schedule;
		learn.n_schedules = n_given + r->n_schedules;
		simulate_all(&s, &run, 1, &r->warmed);
		bar_end(&bar);
		if (r->warmed.error)
			status = failed(r->warmed.error, &r->warmed.fault);
	}
	for (size_t i = 0; i < r->n_schedules; i++)
		free(schedule[n_given + i].at);
	free(schedule);
	return status;
}

/* -- The command ------------------------------------------------------------------------------ */

/* The file is there as a whole or not at all. */
static int write_page(const struct report *r, const char *path)
{
	bool to_stdout = strcmp(path, "-") == 0;
	size_t n = strlen(path) + 8;
	char *temporary = mem_calloc(n, 1);
	int status = CLI_OK;
	FILE *f;

	if (to_stdout) {
		report_page(stdout, r);
		free(temporary);
		return CLI_OK; /* main() looks at stdout */
	}
	snprintf(temporary, n, "%s.part", path);
	f = fopen(temporary, "we");
	if (!f) {
		status = cli_error("%s: %s", path, strerror(errno));
		free(temporary);
		return status;
	}
	report_page(f, r);
	if (fflush(f) || ferror(f))
		status = cli_error("%s: %s", path, strerror(errno));
	if (fclose(f) && status == CLI_OK)
		status = cli_error("%s: %s", path, strerror(errno));
	if (status == CLI_OK && rename(temporary, path) != 0)
		status = cli_error("%s: %s", path, strerror(errno));
	if (status != CLI_OK)
		unlink(temporary);
	free(temporary);
	return status;
}

static cJSON *text_of(struct bytes b)
{
	char *text = text_json(b);
	cJSON *item = cJSON_CreateString(text);

	free(text);
	return item;
}

/* The same as the page, for programs. */
static int print_json(const struct report *r, const char *path)
{
	const struct trace *t = &r->replay->trace;
	cJSON *o = cJSON_CreateObject(), *list, *item;
	char at[REPORT_TIME_MAX];

	cJSON_AddItemToObject(o, "report", text_of(bytes_str(path)));
	cJSON_AddNumberToObject(o, "requests", (double)t->at.n);
	cJSON_AddNumberToObject(o, "keys", t->keys.live);
	cJSON_AddNumberToObject(o, "endpoints", r->n_endpoints);
	cJSON_AddNumberToObject(o, "from_s", instant_s(t->at.v[0]));
	cJSON_AddNumberToObject(o, "to_s", instant_s(t->at.v[t->at.n - 1]));
	cJSON_AddNumberToObject(o, "score_from_s", instant_s(r->score_from));
	cJSON_AddBoolToObject(o, "changes_known", report_knows_changes(r));
	cJSON_AddNumberToObject(o, "changed_keys", r->changed_keys);
	cJSON_AddItemToObject(o, "frontier",
	                      r->has_frontier ? frontier_json(&r->frontier) : cJSON_CreateArray());
	list = cJSON_AddArrayToObject(o, "learned");
	for (size_t i = 0; i < r->look[REPORT_BUSIEST].endpoints.n; i++) {
		const struct report_row *row = &r->look[REPORT_BUSIEST].endpoints.v[i];

		if (row->endpoint == INTERN_NONE)
			continue;
		item = cJSON_CreateObject();
		cJSON_AddItemToArray(list, item);
		cJSON_AddItemToObject(item, "endpoint",
		                      text_of(intern_name(&t->endpoints, row->endpoint)));
		cJSON_AddItemToObject(item, "ttl_s", json_number(row->row.ttl_s));
		cJSON_AddItemToObject(item, "change_rate_per_s",
		                      json_number(row->row.change_rate_per_s.mean));
	}
	list = cJSON_AddArrayToObject(o, "peaks");
	for (size_t i = 1; i < r->week.n_rows; i++) {
		const struct week_peak *p = &r->peak[i];

		item = cJSON_CreateObject();
		cJSON_AddItemToArray(list, item);
		cJSON_AddItemToObject(item, "endpoint",
		                      text_of(intern_name(&t->endpoints, r->week.row[i].endpoint)));
		cJSON_AddStringToObject(item, "busiest", report_week_time(at, p->bin));
		cJSON_AddItemToObject(item, "requests_per_s", json_number(p->per_s));
		cJSON_AddItemToObject(item, "mean_requests_per_s", json_number(p->mean_per_s));
	}
	return json_print(o);
}

static void report_release(struct report *r)
{
	frontier_release(&r->frontier);
	simulate_result_release(&r->warmed);
	week_release(&r->week);
	for (int i = 0; i < REPORT_LOOKS; i++) {
		vec_free(&r->look[i].endpoints);
		vec_free(&r->look[i].keys);
	}
	free(r->requests);
	free(r->keys);
	free(r->order);
	free(r->demand);
	free(r->peak);
	free(r);
}

static int make_report(const struct replay *replay, const double *objective, size_t n,
                       const char *path)
{
	struct report *r = mem_calloc(1, sizeof(*r));
	int status = CLI_OK;

	r->replay = replay;
	r->score_from = trace_score_from(&replay->trace, replay->score_from);
	count_requests(r);
	find_peaks(r);
	if (report_knows_changes(r)) {
		status = run_frontier(r, objective, n);
		if (status == CLI_OK && !replay->no_prewarm)
			status = run_scheduled(r);
	} else {
		count_demand(r);
	}
	if (status == CLI_OK)
		status = write_page(r, path);
	if (status == CLI_OK && strcmp(path, "-") != 0)
		cli_say("wrote %s", path);
	if (status == CLI_OK && cli.json)
		status = print_json(r, path);
	report_release(r);
	return status;
}

/* The objectives of the frontier, and that of the report among them. */
static int settle_objectives(const char *given, double own, double *ret, size_t *ret_n)
{
	int status = frontier_objectives("frontier", given ? given : "", ret, ret_n);
	size_t at = 0;

	if (status != CLI_OK)
		return status;
	while (at < *ret_n && ret[at] < own)
		at++;
	if (at < *ret_n && !(ret[at] > own))
		return CLI_OK;
	if (*ret_n == FRONTIER_MAX)
		return cli_usage("--frontier: more than %d objectives, with --max-stale",
		                 FRONTIER_MAX);
	memmove(ret + at + 1, ret + at, (*ret_n - at) * sizeof(*ret));
	ret[at] = own;
	++*ret_n;
	return CLI_OK;
}

int cmd_report(int argc, char **argv)
{
	static const struct usage usage = {
	        .synopsis = "LOG",
	        .brief = "Writes an HTML page about recorded requests: what caching would save at "
	                 "which staleness, learned TTLs, peaks.",
	        .examples = "forecache report R.tsv.xz --changes C.tsv.xz --max-stale 0.01\n"
	                    "forecache report access.log.gz --out demand.html    # demand only\n",
	        .details =
	                "The page is one file that needs no network: send it to a colleague. "
	                "What the log cannot show, it says. An access log shows demand and not "
	                "change; `forecache watch --changes` records changes. Charts are drawn by "
	                "gnuplot; without it the tables are there all the same. The page names "
	                "endpoints and the hottest keys of the log.",
	        .min_args = 1,
	        .max_args = 1,
	};
	struct replay replay = REPLAY_DEFAULT;
	const char *out = "forecache-report.html", *frontier = NULL;
	struct option_row rows[2 + REPLAY_ROWS] = {
	        {"out", 'o', OPTION_TEXT, &out, 0, 0, "FILE.html",
	         "the page (forecache-report.html); - is stdout"},
	        {"frontier", 0, OPTION_MAYBE, &frontier, 0, 0, "[=SHARE,...]",
	         "the objectives to compare (" FRONTIER_DEFAULT ")"},
	};
	size_t n_rows = replay_options(&replay, rows, 2), n = 0;
	int status = options_parse(&usage, rows, n_rows, &argc, &argv);
	double objective[FRONTIER_MAX];

	if (status >= 0)
		return status;
	if (cli.json && strcmp(out, "-") == 0)
		return cli_usage("--json and --out -: both go to stdout");
	replay.requests = argv[0];
	status = replay_settle(&replay);
	if (status == CLI_OK)
		status = settle_objectives(frontier, replay.learn.policy.max_stale, objective, &n);
	if (status != CLI_OK)
		return status;
	gsl_set_error_handler_off();
	status = replay_read(&replay);
	cli_catch_signals(); /* from here on there are threads to end */
	if (status == CLI_OK)
		status = make_report(&replay, objective, n, out);
	replay_release(&replay);
	return status;
}
