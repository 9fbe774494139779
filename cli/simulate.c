/* SPDX-License-Identifier: GPL-3.0-or-later */
/* forecache simulate: what policies would have done with recorded requests. Needs no daemon. */
#include "cli/cli.h"

#include "base/mem.h"
#include "cli/bar.h"
#include "cli/frontier.h"
#include "cli/human.h"
#include "cli/json.h"
#include "cli/learned.h"
#include "cli/options.h"
#include "cli/replay.h"
#include "cli/simulate_print.h"
#include "sim/eviction.h"
#include "sim/simulate.h"

#include <errno.h>
#include <gsl/gsl_errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What only `simulate` can be told. */
struct command_line {
	struct replay replay;
	const char *log, *predictions, *learned_in, *learned_out, *keys, *frontier, *chart;
	double entries;
	bool by_endpoint;
	struct option_list policies;
	double objective[FRONTIER_MAX];
	size_t n_objectives;
};

static const struct option_list default_policies = {
        {"learn", "static-best", "endpoint-best", "bound"}, 4};

static void draw_replaying(void *arg, double share, double requests)
{
	bar_draw(arg, share, requests);
}

static struct simulate simulation(const struct command_line *c, struct bar *bar)
{
	bar_begin(bar, "replaying");
	return (struct simulate){
	        .trace = &c->replay.trace,
	        .score_from = trace_score_from(&c->replay.trace, c->replay.score_from),
	        .log_path = c->log,
	        .threads = (unsigned)c->replay.threads,
	        .interrupted = cli_interrupted,
	        .progress = draw_replaying,
	        .arg = bar,
	};
}

/* Runs the policies and prints what came out. */
static int compare_policies(const struct command_line *c)
{
	size_t n = c->policies.n;
	struct bar bar;
	struct simulate_result result[SIMULATE_MAX_POLICIES];
	struct simulate_run run[SIMULATE_MAX_POLICIES];
	struct simulate s = simulation(c, &bar);
	int status = CLI_OK;

	for (size_t i = 0; i < n; i++)
		run[i] = (struct simulate_run){c->policies.item[i], &c->replay.learn, false};
	simulate_all(&s, run, n, result);
	bar_end(&bar);
	for (size_t i = 0; i < n && status == CLI_OK; i++) {
		if (result[i].error == -EINTR)
			status = cli_signal_status();
		else if (result[i].error < 0)
			status = cli_error("%s", result[i].fault.text);
	}
	if (status == CLI_OK && cli.json)
		simulate_print_json(&s, result, n);
	else if (status == CLI_OK)
		simulate_print_table(&s, result, n, c->by_endpoint);
	if (status == CLI_OK && !cli.json)
		simulate_say_speed(&s, result, n);
	for (size_t i = 0; i < n; i++)
		simulate_result_release(&result[i]);
	return status;
}

/* -- The frontier ------------------------------------------------------------------------------ */

static enum plot_format chart_format(const char *path)
{
	size_t n = strlen(path);

	return n >= 4 && strcmp(path + n - 4, ".png") == 0 ? PLOT_PNG : PLOT_SVG;
}

static bool has_learn(const struct option_list *policies)
{
	for (size_t i = 0; i < policies->n; i++)
		if (!strcmp(policies->item[i], "learn"))
			return true;
	return false;
}

/* Whatever would otherwise come out only after minutes of replaying. */
static int check_frontier(struct command_line *c)
{
	const char *dot = c->chart ? strrchr(c->chart, '.') : NULL;

	if (c->chart && !c->frontier)
		return cli_usage("--chart draws the --frontier, which is not asked for");
	if (!c->frontier)
		return CLI_OK;
	if (c->policies.n || c->log || c->predictions || c->learned_out || c->by_endpoint)
		return cli_usage("--frontier runs its own policies: it cannot stand with --policy, "
		                 "--log, --predictions, --learned-out or --endpoints");
	if (!isnan(c->replay.max_stale))
		return cli_usage("--frontier takes the objectives itself: --frontier=0.01,0.02");
	if (!c->replay.changes)
		return cli_usage("--frontier needs --changes: without them nothing is ever stale "
		                 "(`forecache watch` records changes)");
	if (c->chart && (!dot || (strcmp(dot, ".svg") != 0 && strcmp(dot, ".png") != 0)))
		return cli_usage("--chart: the name must end in .svg or .png");
	if (c->chart && !plot_possible())
		return cli_error("--chart: there is no gnuplot to draw with; on Debian: "
		                 "apt-get install " PLOT_PACKAGE);
	return frontier_objectives("frontier", c->frontier, c->objective, &c->n_objectives);
}

static int write_chart(const char *path, const struct frontier *f)
{
	struct frontier_plot *p = mem_calloc(1, sizeof(*p));
	struct fault error;
	int status = CLI_OK;
	char *picture;
	bool written;
	FILE *to;
	size_t n;

	frontier_plot(f, p);
	picture = plot_draw(&p->plot, chart_format(path), &n, &error);
	free(p);
	if (!picture)
		return cli_error("--chart: %s", error.text);
	to = fopen(path, "we");
	written = to && fwrite(picture, 1, n, to) == n;
	if (to && fclose(to) != 0)
		written = false;
	if (!written)
		status = cli_error("%s: %s", path, strerror(errno));
	free(picture);
	return status;
}

static int show_frontier(const struct command_line *c)
{
	struct bar bar;
	struct simulate s = simulation(c, &bar);
	struct frontier *f = mem_calloc(1, sizeof(*f));
	struct fault fault;
	int err = frontier_run(&s, &c->replay.learn, c->objective, c->n_objectives, f, &fault);
	int status = CLI_OK;
	cJSON *o;

	bar_end(&bar);
	if (err == -EINTR) {
		status = cli_signal_status();
	} else if (err) {
		status = cli_error("%s", fault.text);
	} else if (cli.json) {
		o = cJSON_CreateObject();
		cJSON_AddItemToObject(o, "frontier", frontier_json(f));
		status = json_print(o);
	} else {
		frontier_table(&s, f);
	}
	if (status == CLI_OK && c->chart)
		status = write_chart(c->chart, f);
	frontier_release(f);
	free(f);
	return status;
}

/* --keys: what is kept when memory is short. */
static int compare_eviction(const struct command_line *c)
{
	struct eviction v = {c->keys, (uint32_t)c->entries, (uint64_t)c->replay.seed,
	                     cli_interrupted};
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

/* Whether the options go together. CLI_OK, or CLI_USAGE after a complaint. */
static int check_options(struct command_line *c)
{
	struct fault fault;
	bool learn_alone;
	int status;

	if (!c->replay.requests)
		return cli_usage("--requests FILE is needed; try `forecache simulate --help`");
	status = check_frontier(c);
	if (status != CLI_OK)
		return status;
	if (!c->policies.n)
		c->policies = default_policies;
	learn_alone = c->policies.n == 1 && has_learn(&c->policies);
	if (c->log && c->policies.n != 1)
		return cli_usage("--log needs exactly one --policy");
	if (c->learned_out && !learn_alone)
		return cli_usage("--learned-out needs `--policy learn` and no other");
	if (c->predictions && !learn_alone)
		return cli_usage("--predictions needs `--policy learn` and no other");
	if (c->learned_in && !c->frontier && !has_learn(&c->policies))
		return cli_usage("--learned-in needs `--policy learn`");
	for (size_t i = 0; i < c->policies.n; i++)
		if (simulate_check(c->policies.item[i], c->log != NULL, &fault) < 0)
			return cli_usage("%s", fault.text);
	return replay_settle(&c->replay);
}

/* Replays what has been read; what is to be learned from before, and kept of it, is in files. */
static int run(struct command_line *c)
{
	struct replay *r = &c->replay;
	struct learned_file taught = {c->learned_in, &r->trace};
	struct learned *learned = NULL;
	int status;

	r->learn.predictions_path = c->predictions;
	if (c->learned_in) {
		r->learn.taught = learned_read;
		r->learn.taught_arg = &taught;
	}
	if (c->learned_out) {
		learned = learned_create(c->learned_out);
		if (!learned)
			return CLI_ERROR;
		r->learn.learned = learned_write;
		r->learn.learned_arg = learned;
	}
	status = c->frontier ? show_frontier(c) : compare_policies(c);
	if (learned && learned_close(&learned, status == CLI_OK) != CLI_OK)
		status = CLI_ERROR;
	return status;
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
	                "forecache simulate --requests R.tsv --changes C.tsv --frontier --chart "
	                "F.svg\n"
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
	                   "with under 100 scored requests. --frontier shows what freshness costs: "
	                   "loads per request\n"
	                   "and stale answers of all of them, for several objectives.\n",
	};
	struct command_line c = {.replay = REPLAY_DEFAULT};
	struct replay *r = &c.replay;
	struct option_row rows[11 + REPLAY_ROWS] = {
	        {"requests", 'r', OPTION_TEXT, &r->requests, 0, 0, "FILE",
	         "who asked for what when; - is stdin"},
	        {"policy", 'p', OPTION_LIST, &c.policies, 0, 0, "NAME",
	         "try this policy; may be repeated"},
	        {"frontier", 0, OPTION_MAYBE, &c.frontier, 0, 0, "[=SHARE,...]",
	         "run all policies under each of these objectives (" FRONTIER_DEFAULT ")"},
	        {"chart", 0, OPTION_TEXT, &c.chart, 0, 0, "FILE.svg|.png",
	         "draw the frontier, with gnuplot"},
	        {"endpoints", 'e', OPTION_FLAG, &c.by_endpoint, 0, 0, NULL,
	         "show every endpoint, too"},
	        {"log", 0, OPTION_TEXT, &c.log, 0, 0, "FILE",
	         "write every decision of the one policy"},
	        {"predictions", 0, OPTION_TEXT, &c.predictions, 0, 0, "FILE",
	         "learn: write each planned TTL, and how likely its value is outdated by then"},
	        {"learned-in", 0, OPTION_TEXT, &c.learned_in, 0, 0, "FILE",
	         "learn: begin with what was learned before, as after `forecache import`"},
	        {"learned-out", 0, OPTION_TEXT, &c.learned_out, 0, 0, "FILE",
	         "learn: write what was learned by the end, for `forecache import`"},
	        {"keys", 0, OPTION_TEXT, &c.keys, 0, 0, "FILE",
	         "eviction only: keys in the order of asking, one a line"},
	        {"entries", 0, OPTION_COUNT, &c.entries, 1, EVICTION_MAX_ENTRIES, "N",
	         "eviction only: what the cache holds"},
	};
	size_t n_rows = replay_options(r, rows, 11);
	int status = options_parse(&usage, rows, n_rows, &argc, &argv);

	if (status >= 0)
		return status;
	if (c.keys && c.entries == 0)
		return cli_usage("--keys needs --entries N");
	if (c.keys)
		return compare_eviction(&c);
	status = check_options(&c);
	if (status != CLI_OK)
		return status;
	gsl_set_error_handler_off();
	status = replay_read(r);
	/* from here on there is a log to close; until here Ctrl-C just ends us */
	cli_catch_signals();
	if (status == CLI_OK)
		status = run(&c);
	replay_release(r);
	return status;
}
