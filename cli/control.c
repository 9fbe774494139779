/* SPDX-License-Identifier: GPL-3.0-or-later */
/* prewarm, pause, resume, purge: what an operator tells the daemon to do. */
#include "cli/cli.h"

#include "base/near.h"
#include "cli/ask.h"
#include "cli/human.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The keys that a dry run would load, the first one first. */
static void print_plan(const cJSON *list)
{
	struct table t = {0};
	const cJSON *key;
	int i = 0;

	table_column(&t, "order", TABLE_RIGHT);
	table_column(&t, "key", TABLE_LEFT);
	cJSON_ArrayForEach(key, list)
	{
		table_cell(&t, "%d", ++i);
		table_cell(&t, "%s", cJSON_IsString(key) ? key->valuestring : "?");
	}
	table_print(&t, stdout);
	table_release(&t);
}

/* What a dry run would leave to demand. */
static void print_skipped(const cJSON *list)
{
	struct table t = {0};
	const cJSON *row;

	table_column(&t, "not loaded", TABLE_LEFT);
	table_column(&t, "why", TABLE_LEFT);
	cJSON_ArrayForEach(row, list)
	{
		table_cell(&t, "%s", json_text(row, "key"));
		table_cell(&t, "%s", json_text(row, "reason"));
	}
	table_print(&t, stdout);
	table_release(&t);
}

int cmd_prewarm(int argc, char **argv)
{
	static const struct usage usage = {
	        .synopsis = "PATTERN",
	        .brief = "Loads now what matches and is likely to be asked for, within the "
	                 "origin's budget.",
	        .examples = "forecache prewarm '/quotes/<symbol>' --dry-run     # what would be "
	                    "loaded, in which order\n"
	                    "forecache prewarm '/quotes/<symbol>' --max-keys 500\n",
	        .details = "PATTERN is an endpoint, a key, or a template whose <segments> stand "
	                   "for anything. Without a dry run the number of loads planned is said; "
	                   "`forecache monitor` shows them arrive.",
	        .min_args = 1,
	        .max_args = 1,
	};
	bool dry_run = false, reasons = false;
	double max_keys = 0;
	const struct option_row rows[] = {
	        {"dry-run", 'n', OPTION_FLAG, &dry_run, 0, 0, NULL,
	         "only list what would be loaded, in order"},
	        {"reasons", 0, OPTION_FLAG, &reasons, 0, 0, NULL,
	         "and what would not, and why; with --dry-run"},
	        {"max-keys", 0, OPTION_COUNT, &max_keys, 1, 4294967295.0, "N",
	         "the N most wanted at most"},
	};
	int status = options_parse(&usage, rows, sizeof(rows) / sizeof(rows[0]), &argc, &argv);
	const cJSON *list = NULL;
	struct request r;
	cJSON *result;
	double count;

	if (status >= 0)
		return status;
	if (reasons && !dry_run)
		return cli_usage("--reasons goes with --dry-run");
	request_init(&r);
	r.op = OP_PREWARM;
	r.key = bytes_str(argv[0]);
	r.prewarm.dry_run = dry_run;
	r.prewarm.reasons = reasons;
	r.prewarm.max_keys = (uint32_t)max_keys;
	status = ask_json(&r, &result);
	request_release(&r);
	if (status)
		return status;
	if (cli.json)
		return json_print(result);
	if (cJSON_IsArray(result))
		list = result;
	else
		list = cJSON_GetObjectItemCaseSensitive(result, "keys");
	count = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : json_num(result, "count");
	if (cJSON_IsArray(list) && count > 0)
		print_plan(list);
	if (dry_run && reasons && cJSON_GetArraySize(cJSON_GetObjectItem(result, "skipped")))
		print_skipped(cJSON_GetObjectItem(result, "skipped"));
	if (count > 0)
		cli_say("%s%.0f loads%s", dry_run ? "" : "planned ", count,
		        dry_run ? " would be made" : "");
	else
		cli_say("nothing to load: no known key matches, or all that do are fresh%s",
		        reasons ? "" : " (--dry-run --reasons says which)");
	cJSON_Delete(result);
	return CLI_OK;
}

/* The word's PAUSE bits, or 0 after a complaint. */
static unsigned pause_what(const char *word)
{
	static const char *const words[] = {"all", "learning", "prefetch"};
	static const unsigned bits[] = {REQUEST_LEARNING | REQUEST_PREFETCH, REQUEST_LEARNING,
	                                REQUEST_PREFETCH};
	struct near near = near_to(bytes_str(word));

	for (size_t i = 0; i < 3; i++) {
		if (!strcmp(words[i], word))
			return bits[i];
		near_offer(&near, words[i]);
	}
	cli_say("\"%s\" is not one of learning, prefetch, all%s%s%s", word,
	        near.name ? "; did you mean " : "", near.name ? near.name : "",
	        near.name ? "?" : "");
	return 0;
}

static int pause_or_resume(enum op op, unsigned what, double for_s)
{
	struct request r;
	cJSON *result;
	int status;

	request_init(&r);
	r.op = op;
	r.pause.what = what;
	r.pause.for_ = span_from_s(for_s);
	status = ask_json(&r, &result);
	request_release(&r);
	if (status)
		return status;
	if (cli.json)
		return json_print(result);
	cJSON_Delete(result);
	return CLI_OK;
}

int cmd_pause(int argc, char **argv)
{
	static const struct usage usage = {
	        .synopsis = "learning|prefetch|all",
	        .brief = "Stops a part of the daemon's own doing, at once. The cache goes on "
	                 "serving.",
	        .examples = "forecache pause prefetch --for 1h    # the origin is being repaired\n"
	                    "forecache pause learning             # a load test is about to run\n",
	        .details = "learning: what happens is counted but not learned from, TTLs stay as "
	                   "they are. prefetch: no refresh ahead, no prewarming, no audits. "
	                   "Without --for it lasts until `forecache resume`.",
	        .min_args = 1,
	        .max_args = 1,
	};
	double for_s = 0;
	const struct option_row rows[] = {
	        {"for", 0, OPTION_SPAN, &for_s, 1, 31536000, "TIME",
	         "resume by itself after this time"},
	};
	int status = options_parse(&usage, rows, 1, &argc, &argv);
	char span[HUMAN_MAX];
	unsigned what;

	if (status >= 0)
		return status;
	what = pause_what(argv[0]);
	if (!what)
		return CLI_USAGE;
	status = pause_or_resume(OP_PAUSE, what, for_s);
	if (!status)
		cli_say("paused %s%s%s", argv[0], for_s > 0 ? " for " : " until `forecache resume`",
		        for_s > 0 ? human_span(span, for_s) : "");
	return status;
}

int cmd_resume(int argc, char **argv)
{
	static const struct usage usage = {
	        .synopsis = "[learning|prefetch|all]",
	        .brief = "Ends a pause.",
	        .examples = "forecache resume\n"
	                    "forecache resume prefetch\n",
	        .max_args = 1,
	};
	int status = options_parse(&usage, NULL, 0, &argc, &argv);
	unsigned what;

	if (status >= 0)
		return status;
	what = pause_what(argc ? argv[0] : "all");
	if (!what)
		return CLI_USAGE;
	status = pause_or_resume(OP_RESUME, what, 0);
	if (!status)
		cli_say("resumed %s", argc ? argv[0] : "all");
	return status;
}

/* Asks on the terminal; without one the answer is no. */
static bool confirmed(const char *question)
{
	char line[16];

	if (!isatty(STDIN_FILENO)) {
		cli_say("%s Say --yes, as there is no terminal to ask on", question);
		return false;
	}
	fprintf(stderr, "forecache: %s [y/N] ", question);
	return fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y');
}

static int purge(enum request_purge what, const char *name, bool quietly, double *ret_count)
{
	struct request r;
	cJSON *result;
	int status;

	request_init(&r);
	r.op = OP_PURGE;
	r.key = bytes_str(name);
	r.purge.what = what;
	status = quietly ? ask_json_quietly(&r, &result) : ask_json(&r, &result);
	request_release(&r);
	if (status)
		return status;
	*ret_count = json_num(result, "count");
	cJSON_Delete(result);
	return CLI_OK;
}

int cmd_purge(int argc, char **argv)
{
	static const struct usage usage = {
	        .synopsis = "KEY|ENDPOINT",
	        .brief = "Takes values out of the cache: of a key, or of all keys of an endpoint. "
	                 "What was learned stays.",
	        .examples = "forecache purge /quotes/IBM\n"
	                    "forecache purge '/quotes/<symbol>'\n"
	                    "forecache purge --all --yes\n",
	        .details = "A name that is both is taken for the key; --endpoint says otherwise.",
	        .max_args = 1,
	};
	bool endpoint = false, all = false, yes = false;
	const struct option_row rows[] = {
	        {"endpoint", 'e', OPTION_FLAG, &endpoint, 0, 0, NULL, "the name is an endpoint's"},
	        {"all", 0, OPTION_FLAG, &all, 0, 0, NULL, "everything; asks first"},
	        {"yes", 'y', OPTION_FLAG, &yes, 0, 0, NULL, "do not ask"},
	};
	int status = options_parse(&usage, rows, sizeof(rows) / sizeof(rows[0]), &argc, &argv);
	double count = 0;

	if (status >= 0)
		return status;
	if (all == (argc == 1))
		return cli_usage(all ? "purge: either a name or --all"
		                     : "purge needs KEY|ENDPOINT, or --all");
	if (all) {
		if (!yes && !confirmed("Take all values out of the cache?"))
			return CLI_USAGE;
		status = purge(PURGE_EVERYTHING, "", false, &count);
	} else if (endpoint) {
		status = purge(PURGE_ONE_ENDPOINT, argv[0], false, &count);
	} else {
		status = purge(PURGE_ONE_KEY, argv[0], true, &count);
		if (status == CLI_NOT_FOUND || (status == CLI_OK && !(count > 0)))
			status = purge(PURGE_ONE_ENDPOINT, argv[0], false, &count);
	}
	if (status)
		return status;
	if (!(count > 0) && !all) {
		cli_say("purge: nothing is cached under \"%s\"", argv[0]);
		status = CLI_NOT_FOUND;
	}
	if (cli.json)
		printf("{\"count\":%.0f}\n", isfinite(count) ? count : 0);
	else if (!status)
		cli_say("purged %.0f", count);
	return status;
}
