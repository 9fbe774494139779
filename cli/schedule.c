/* SPDX-License-Identifier: GPL-3.0-or-later */
/* schedule: peaks that are known beforehand, such as the opening bell. */
#include "cli/cli.h"

#include "base/mem.h"
#include "base/text.h"
#include "calendar/calendar.h"
#include "cli/ask.h"
#include "cli/human.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/*
 * "Mon 2026-11-23 09:30 EST", in the zone of that name ("": UTC). This process shows times of one
 * zone after another and has a single thread, so glibc's own zone may follow.
 */
static char *local_time(char *buf, double s, const char *tz)
{
	char zone[128];
	struct tm tm;
	time_t t;

	if (!(fabs(s) < 1e11))
		return strcpy(buf, "never");
	snprintf(zone, sizeof(zone), ":%.120s", *tz ? tz : "UTC");
	setenv("TZ", zone, 1);
	tzset();
	t = (time_t)floor(s);
	localtime_r(&t, &tm);
	strftime(buf, HUMAN_MAX, "%a %Y-%m-%d %H:%M %Z", &tm);
	return buf;
}

static const cJSON *find_schedule(const cJSON *list, const char *name)
{
	const cJSON *row;

	cJSON_ArrayForEach(row, list)
	{
		if (!strcmp(json_text(row, "name"), name))
			return row;
	}
	return NULL;
}

/* Asks what is about the schedule r->key, or about all of them. CLI_OK: *ret is the caller's. */
static int ask_about(struct request *r, cJSON **ret)
{
	int status = ask_json_quietly(r, ret);

	if (status == CLI_NOT_FOUND)
		cli_say("there is no schedule \"%.*s\"; `forecache schedule list` shows all",
		        (int)r->key.n, (const char *)r->key.p);
	request_release(r);
	return status;
}

static int ask_list(bool learned, cJSON **ret)
{
	struct request r;
	int status;

	request_init(&r);
	r.op = OP_SCHEDULE_LIST;
	r.schedule.learned = learned;
	status = ask_json(&r, ret);
	request_release(&r);
	return status;
}

/* -- add --------------------------------------------------------------------------------------- */

static const struct usage add_usage = {
        .synopsis = "NAME RULE",
        .brief = "Adds a schedule, or replaces the one of that name: what matches the patterns is "
                 "warm at each of its instants.",
        .examples =
                "forecache schedule add open 'weekdays 09:30' --tz America/New_York --pattern "
                "'/quotes/<symbol>'\n"
                "forecache schedule add open "
                "'FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9;BYMINUTE=30' \\\n"
                "    --tz America/New_York --calendar XNYS --pattern '/quotes/<symbol>' "
                "--lead 10m\n"
                "forecache schedule add tokyo 'starts XTKS' --pattern '/jp/<symbol>' --dry-run\n"
                "forecache schedule add launch 'at 2026-12-24T18:00' --pattern '/shop/*'\n",
        .details =
                "RULE is an RRULE of RFC 5545, a shorthand (daily 07:00, weekdays 09:30,16:00, "
                "mon,wed-fri 18:15, hourly :15), the five fields of cron, single times (at "
                "2026-12-24T18:00,2026-12-31T18:00), or where the events of an .ics file or the "
                "sessions of a market start or end (starts FILE.ics, ends XLON), in local time of "
                "the zone. With --lead auto, the default, the start is computed from what the "
                "loads cost and what the origin's budget allows. --dry-run keeps nothing and "
                "prints the next ten instants and what would be loaded, as of now.",
        .min_args = 2,
        .max_args = 2,
};

/*
 * What would be loaded for the pattern if its instant were now, and what not: {"keys": [...],
 * "skipped": [{"key", "reason"}...]}.
 */
static int ask_plan(const char *pattern, uint32_t max_keys, cJSON **ret)
{
	struct request r;
	int status;

	request_init(&r);
	r.op = OP_PREWARM;
	r.key = bytes_str(pattern);
	r.prewarm.dry_run = true;
	r.prewarm.reasons = true;
	r.prewarm.max_keys = max_keys;
	status = ask_json(&r, ret);
	request_release(&r);
	return status;
}

/* Puts "plan": [{"pattern", "keys", "skipped"}...] beside the instants. */
static int add_plans(cJSON *trial, const struct option_list *patterns, uint32_t max_keys)
{
	cJSON *plans = cJSON_AddArrayToObject(trial, "plan");

	for (size_t i = 0; i < patterns->n; i++) {
		cJSON *plan;
		int status = ask_plan(patterns->item[i], max_keys, &plan);

		if (status)
			return status;
		cJSON_AddStringToObject(plan, "pattern", patterns->item[i]);
		cJSON_AddItemToArray(plans, plan);
	}
	return CLI_OK;
}

static int print_plan(const char *pattern, uint32_t max_keys)
{
	const cJSON *keys;
	cJSON *plan;
	int status = ask_plan(pattern, max_keys, &plan), n, shown;

	if (status)
		return status;
	keys = cJSON_GetObjectItemCaseSensitive(plan, "keys");
	n = cJSON_GetArraySize(keys);
	shown = n < 5 ? n : 5;
	printf("%s: %d loads%s", pattern, n, shown ? ", first " : "");
	for (int i = 0; i < shown; i++) {
		const cJSON *key = cJSON_GetArrayItem(keys, i);
		char *text = text_printable(bytes_str(cJSON_IsString(key) ? key->valuestring : ""));

		printf("%s%s", i ? ", " : "", text);
		free(text);
	}
	puts(n > shown ? ", ..." : "");
	cJSON_Delete(plan);
	return CLI_OK;
}

/* Which holidays it leaves out, if any. */
static char *about_holidays(char *buf, size_t cap, const cJSON *rule)
{
	const char *calendar = json_text(rule, "calendar");

	if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(rule, "skip_holidays")))
		snprintf(buf, cap, "the holidays of %.300s are left out", calendar);
	else if (*calendar)
		snprintf(buf, cap,
		         "holidays are not left out; --calendar %.300s leaves out those of the "
		         "daemon's calendar",
		         calendar);
	else
		snprintf(buf, cap, "holidays are not left out; --calendar names whose are to be");
	return buf;
}

static int print_trial(const cJSON *trial, const struct option_list *patterns, double lead_s,
                       uint32_t max_keys)
{
	const cJSON *next = cJSON_GetObjectItemCaseSensitive(trial, "next"), *at;
	const char *tz = json_text(trial, "tz");
	struct table t = {0};
	char buf[HUMAN_MAX], text[400];
	int status = CLI_OK;

	table_column(&t, "local", TABLE_LEFT);
	table_column(&t, "UTC", TABLE_LEFT);
	cJSON_ArrayForEach(at, next)
	{
		table_cell(&t, "%s", local_time(buf, at->valuedouble, tz));
		table_cell(&t, "%s", human_time(buf, at->valuedouble, true));
	}
	table_print(&t, stdout);
	table_release(&t);
	printf("%s\n", about_holidays(text, sizeof(text), trial));
	printf("\nloads begin %s%s; as of now they would be:\n",
	       lead_s > 0 ? human_span(buf, lead_s) : "as early as they must",
	       lead_s > 0 ? " before" : "");
	for (size_t i = 0; i < patterns->n && !status; i++)
		status = print_plan(patterns->item[i], max_keys);
	return status;
}

/* Set or removed, but not written down: said, as the next start of the daemon may not know of it. */
static void warn_unless_saved(const cJSON *result)
{
	if (cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(result, "saved")))
		cli_say("warning: it could not be written to the daemon's state directory (its log "
		        "says why): the daemon tries again, and forgets it if it ends before that");
}

/* A file's name as the daemon finds it, which runs in another directory; what is none stays as it is. */
static char *from_anywhere(const char *file_or_code)
{
	char *dir = calendar_is_file(file_or_code) && *file_or_code != '/' ? getcwd(NULL, 0) : NULL;
	size_t n = strlen(file_or_code) + (dir ? strlen(dir) : 0) + 2;
	char *path = mem_calloc(n, 1);

	snprintf(path, n, "%s%s%s", dir ? dir : "", dir ? "/" : "", file_or_code);
	free(dir);
	return path;
}

/* The same for the file that a rule takes its events from: its name ends the rule. */
static char *rule_from_anywhere(const char *rule)
{
	const char *source = calendar_source(rule);
	char *path = from_anywhere(source ? source : ""), *text;
	size_t before = source ? (size_t)(source - rule) : strlen(rule);
	size_t n = before + strlen(path) + 1;

	text = mem_calloc(n, 1);
	snprintf(text, n, "%.*s%s", (int)before, rule, path);
	free(path);
	return text;
}

/* A schedule as the command line has it. */
struct addition {
	const char *name, *rule, *tz, *calendar, *start;
	struct option_list patterns;
	double lead_s; /* 0: computed */
	double max_keys;
	bool dry_run;
};

static int ask_add(const struct addition *a, cJSON **ret)
{
	char *rule = rule_from_anywhere(a->rule);
	char *calendar = a->calendar ? from_anywhere(a->calendar) : NULL;
	struct request r;
	int status;

	request_init(&r);
	r.op = OP_SCHEDULE_ADD;
	r.key = bytes_str(a->name);
	r.schedule.rrule = bytes_str(rule);
	r.schedule.tz = bytes_str(a->tz);
	r.schedule.calendar = bytes_str(calendar);
	r.schedule.start = INSTANT_NONE;
	r.schedule.start_local = bytes_str(a->start);
	for (size_t i = 0; i < a->patterns.n; i++)
		r.schedule.pattern[r.schedule.n_patterns++] = bytes_str(a->patterns.item[i]);
	r.schedule.lead = span_from_s(a->lead_s);
	r.schedule.max_keys = (uint32_t)a->max_keys;
	r.schedule.dry_run = a->dry_run;
	status = ask_json(&r, ret);
	request_release(&r);
	free(rule);
	free(calendar);
	return status;
}

/* Prints the answer. */
static int print_added(const struct addition *a, const cJSON *result)
{
	char text[400];

	if (a->dry_run)
		return print_trial(result, &a->patterns, a->lead_s, (uint32_t)a->max_keys);
	cli_say("schedule \"%s\" is set; `forecache schedule next %s` shows when; %s", a->name,
	        a->name, about_holidays(text, sizeof(text), result));
	return CLI_OK;
}

static int add(int argc, char **argv)
{
	struct addition a = {0};
	const char *lead = "auto";
	const struct option_row rows[] = {
	        {"pattern", 'p', OPTION_LIST, &a.patterns, 0, 0, "PATTERN",
	         "endpoint or key template to warm; may be given again"},
	        {"tz", 0, OPTION_TEXT, &a.tz, 0, 0, "ZONE",
	         "time zone of the rule (the daemon's `zone`)"},
	        {"calendar", 0, OPTION_TEXT, &a.calendar, 0, 0, "MIC|FILE", "skip its holidays"},
	        {"start", 0, OPTION_TEXT, &a.start, 0, 0, "TIME",
	         "DTSTART of the rule, local time of the zone"},
	        {"lead", 0, OPTION_TEXT, &lead, 0, 0, "TIME|auto",
	         "warm this long before; auto (the default): computed"},
	        {"max-keys", 0, OPTION_COUNT, &a.max_keys, 1, 4294967295.0, "N",
	         "the N most wanted keys (10000)"},
	        {"dry-run", 0, OPTION_FLAG, &a.dry_run, 0, 0, NULL,
	         "only show when it would be due, and the plan"},
	};
	int status = options_parse(&add_usage, rows, sizeof(rows) / sizeof(rows[0]), &argc, &argv);
	cJSON *result;

	if (status >= 0)
		return status;
	if (a.patterns.n == 0)
		return cli_usage("schedule add needs --pattern: what is to be warm then?");
	if (strcmp(lead, "auto") &&
	    (human_parse_span(lead, &a.lead_s) || a.lead_s < 1 || a.lead_s > 86400))
		return cli_usage("--lead: must be auto, or a time from 1s to 24h");
	a.name = argv[0];
	a.rule = argv[1];
	status = ask_add(&a, &result);
	if (status)
		return status;
	if (a.dry_run && cli.json)
		status = add_plans(result, &a.patterns, (uint32_t)a.max_keys);
	if (!status) {
		warn_unless_saved(result);
		if (cli.json)
			return json_print(result);
		status = print_added(&a, result);
	}
	cJSON_Delete(result);
	return status;
}

/* -- list, next, report ------------------------------------------------------------------------ */

static const struct usage list_usage = {
        .synopsis = "",
        .brief = "Lists the schedules and when each is due next, or the peaks that were found in "
                 "the demand.",
        .examples = "forecache schedule list\n"
                    "forecache schedule list --learned\n",
        .details = "A learned peak is a rise of an endpoint's requests at the same time on many "
                   "days. It is watched until it has come as told, and what it would have loaded "
                   "was asked for; from then on it is acted on like a schedule. A schedule for the "
                   "same keys at about the same time takes its place.",
};

static int list_learned(const cJSON *result)
{
	struct table t = {0};
	char buf[HUMAN_MAX];
	const cJSON *row;

	table_column(&t, "endpoint", TABLE_LEFT);
	table_column(&t, "days", TABLE_LEFT);
	table_column(&t, "at", TABLE_LEFT);
	table_column(&t, "rise", TABLE_RIGHT);
	table_column(&t, "confidence", TABLE_RIGHT);
	table_column(&t, "seen", TABLE_RIGHT);
	table_column(&t, "used", TABLE_RIGHT);
	table_column(&t, "keys", TABLE_RIGHT);
	table_column(&t, "state", TABLE_LEFT);
	table_column(&t, "next", TABLE_LEFT);
	cJSON_ArrayForEach(row, result)
	{
		double used = json_num(row, "useful");

		table_cell(&t, "%s", json_text(row, "endpoint"));
		table_cell(&t, "%s", json_text(row, "days"));
		table_cell(&t, "%s", json_text(row, "time"));
		table_cell(&t, "%.1fx", json_num(row, "factor"));
		table_cell(&t, "%.0f%%", 100 * json_num(row, "confidence"));
		table_cell(&t, "%.0f of %.0f days", json_num(row, "held_days"),
		           json_num(row, "seen_days"));
		table_cell(&t, isnan(used) ? "-" : "%.0f%%", 100 * used);
		table_cell(&t, "%.0f", json_num(row, "keys"));
		table_cell(&t, "%s",
		           cJSON_IsTrue(cJSON_GetObjectItem(row, "acted_on")) ? "acted on"
		                                                              : "watched");
		table_cell(&t, "%s",
		           local_time(buf, json_num(row, "next_s"), json_text(row, "tz")));
	}
	if (cJSON_GetArraySize(result) > 0)
		table_print(&t, stdout);
	else
		cli_say("no learned peaks: a rise must have come on two days at least, in the "
		        "demand of an endpoint that can be loaded");
	table_release(&t);
	return CLI_OK;
}

static int list(int argc, char **argv)
{
	bool learned = false;
	const struct option_row rows[] = {
	        {"learned", 0, OPTION_FLAG, &learned, 0, 0, NULL,
	         "peaks that were found in the demand, with the confidence in them"},
	};
	int status = options_parse(&list_usage, rows, 1, &argc, &argv);
	struct table t = {0};
	char buf[HUMAN_MAX];
	const cJSON *row;
	cJSON *result;

	if (status >= 0)
		return status;
	status = ask_list(learned, &result);
	if (status)
		return status;
	if (cli.json)
		return json_print(result);
	if (learned) {
		status = list_learned(result);
		cJSON_Delete(result);
		return status;
	}
	table_column(&t, "name", TABLE_LEFT);
	table_column(&t, "rule", TABLE_LEFT);
	table_column(&t, "zone", TABLE_LEFT);
	table_column(&t, "calendar", TABLE_LEFT);
	table_column(&t, "patterns", TABLE_LEFT);
	table_column(&t, "lead", TABLE_RIGHT);
	table_column(&t, "next", TABLE_LEFT);
	cJSON_ArrayForEach(row, result)
	{
		double lead_s = json_num(row, "lead_s");

		table_cell(&t, "%s", json_text(row, "name"));
		table_cell(&t, "%s", json_text(row, "rrule"));
		table_cell(&t, "%s", json_text(row, "tz"));
		table_cell(&t, "%s", json_text(row, "calendar"));
		table_cell(&t, "%s", json_text(row, "patterns"));
		table_cell(&t, "%s", lead_s > 0 ? human_span(buf, lead_s) : "computed");
		table_cell(&t, "%s",
		           local_time(buf, json_num(row, "next_s"), json_text(row, "tz")));
	}
	if (cJSON_GetArraySize(result) > 0)
		table_print(&t, stdout);
	else
		cli_say("no schedules; `forecache schedule add --help` has examples");
	table_release(&t);
	cJSON_Delete(result);
	return CLI_OK;
}

static const struct usage next_usage = {
        .synopsis = "[NAME]",
        .brief = "Shows the next instants of one schedule or all, in local time of the schedule "
                 "and in UTC.",
        .examples = "forecache schedule next\n"
                    "forecache schedule next open --limit 3\n",
        .max_args = 1,
};

static int next(int argc, char **argv)
{
	double limit = 10;
	const struct option_row rows[] = {
	        {"limit", 'n', OPTION_COUNT, &limit, 1, REQUEST_MAX_NEXT, "N",
	         "at most N instants (10)"},
	};
	int status = options_parse(&next_usage, rows, 1, &argc, &argv);
	cJSON *result, *schedules = NULL;
	struct table t = {0};
	char buf[HUMAN_MAX];
	const cJSON *row;
	struct request r;

	if (status >= 0)
		return status;
	request_init(&r);
	r.op = OP_SCHEDULE_NEXT;
	r.key = bytes_str(argc ? argv[0] : NULL);
	r.ahead.steps = (uint32_t)limit;
	status = ask_about(&r, &result);
	if (status)
		return status;
	if (cli.json)
		return json_print(result);
	status = ask_list(false, &schedules);
	if (status)
		goto out;
	table_column(&t, "schedule", TABLE_LEFT);
	table_column(&t, "local", TABLE_LEFT);
	table_column(&t, "UTC", TABLE_LEFT);
	cJSON_ArrayForEach(row, result)
	{
		const char *name = json_text(row, "name");
		const cJSON *schedule = find_schedule(schedules, name);

		table_cell(&t, "%s", name);
		table_cell(&t, "%s",
		           local_time(buf, json_num(row, "time_s"),
		                      schedule ? json_text(schedule, "tz") : ""));
		table_cell(&t, "%s", human_time(buf, json_num(row, "time_s"), true));
	}
	if (cJSON_GetArraySize(result) > 0)
		table_print(&t, stdout);
	else
		cli_say("nothing is due");
	table_release(&t);
out:
	cJSON_Delete(schedules);
	cJSON_Delete(result);
	return status;
}

static const struct usage report_usage = {
        .synopsis = "[NAME]",
        .brief = "Shows how warm the cache was at past instants of one schedule or all.",
        .examples = "forecache schedule report\n"
                    "forecache schedule report open --json\n",
        .details =
                "wanted: keys that were to be warm. warm: of those, held and fresh at that "
                "instant. began: how long before it the first load started. late: loads that had "
                "not ended by then. loads: spent on it. skipped: keys that were not loaded, and "
                "why. Kept over restarts; --json has the counts by name.",
        .max_args = 1,
};

/* "volatile 12, unlikely 3" */
static void cell_of_skipped(struct table *t, const cJSON *skipped)
{
	char text[256] = "";
	const cJSON *reason;
	size_t n = 0;

	cJSON_ArrayForEach(reason, skipped)
	{
		if (n < sizeof(text))
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %.0f",
			                      n ? ", " : "", reason->string, reason->valuedouble);
	}
	table_cell(t, "%s", text);
}

static int report(int argc, char **argv)
{
	double limit = 20;
	const struct option_row rows[] = {
	        {"limit", 'n', OPTION_COUNT, &limit, 1, 1000, "N", "the last N instants (20)"},
	};
	int status = options_parse(&report_usage, rows, 1, &argc, &argv);
	struct table t = {0};
	char buf[HUMAN_MAX];
	const cJSON *row;
	struct request r;
	cJSON *result;

	if (status >= 0)
		return status;
	request_init(&r);
	r.op = OP_SCHEDULE_REPORT;
	r.key = bytes_str(argc ? argv[0] : NULL);
	r.list.max = (uint32_t)limit;
	status = ask_about(&r, &result);
	if (status)
		return status;
	if (cli.json)
		return json_print(result);
	table_column(&t, "schedule", TABLE_LEFT);
	table_column(&t, "UTC", TABLE_LEFT);
	table_column(&t, "wanted", TABLE_RIGHT);
	table_column(&t, "warm", TABLE_RIGHT);
	table_column(&t, "warm %", TABLE_RIGHT);
	table_column(&t, "began", TABLE_RIGHT);
	table_column(&t, "late", TABLE_RIGHT);
	table_column(&t, "loads", TABLE_RIGHT);
	table_column(&t, "skipped", TABLE_LEFT);
	cJSON_ArrayForEach(row, result)
	{
		double wanted = json_num(row, "wanted"), warm = json_num(row, "warm");

		table_cell(&t, "%s", json_text(row, "name"));
		table_cell(&t, "%s", human_time(buf, json_num(row, "time_s"), true));
		table_cell(&t, "%.0f", wanted);
		table_cell(&t, "%.0f", warm);
		table_cell(&t, "%s", human_number(buf, wanted > 0 ? 100 * warm / wanted : NAN));
		table_cell(&t, "%s",
		           human_span(buf, json_num(row, "time_s") - json_num(row, "began_s")));
		table_cell(&t, "%.0f", json_num(row, "late"));
		table_cell(&t, "%.0f", json_num(row, "loads"));
		cell_of_skipped(&t, cJSON_GetObjectItemCaseSensitive(row, "skipped"));
	}
	if (cJSON_GetArraySize(result) > 0)
		table_print(&t, stdout);
	else
		cli_say("no instant of %s has come yet", argc ? argv[0] : "a schedule");
	table_release(&t);
	cJSON_Delete(result);
	return CLI_OK;
}

/* -- remove ------------------------------------------------------------------------------------ */

static const struct usage remove_usage = {
        .synopsis = "NAME",
        .brief = "Removes a schedule.",
        .examples = "forecache schedule remove open\n",
        .min_args = 1,
        .max_args = 1,
};

static int remove_one(int argc, char **argv)
{
	int status = options_parse(&remove_usage, NULL, 0, &argc, &argv);
	struct request r;
	cJSON *result;

	if (status >= 0)
		return status;
	request_init(&r);
	r.op = OP_SCHEDULE_REMOVE;
	r.key = bytes_str(argv[0]);
	status = ask_about(&r, &result);
	if (status)
		return status;
	warn_unless_saved(result);
	if (cli.json)
		return json_print(result);
	cJSON_Delete(result);
	return CLI_OK;
}

int cmd_schedule(int argc, char **argv)
{
	static const struct usage usage = {
	        .synopsis = "add|list|remove|next|report",
	        .brief = "Peaks that are known beforehand, such as an opening bell: what is "
	                 "wanted then is warm in time.",
	        .examples = "forecache schedule add open 'weekdays 09:30' --tz America/New_York "
	                    "--pattern '/quotes/<symbol>'\n"
	                    "forecache schedule next            # local time and UTC\n"
	                    "forecache schedule report          # how warm it was at the bell\n"
	                    "forecache schedule add --help      # and so on, for each\n",
	        .min_args = 1,
	        .max_args = -1,
	};
	static const struct subcommand subs[] = {
	        {"add", add},   {"list", list},     {"remove", remove_one},
	        {"next", next}, {"report", report},
	};

	return options_subcommand(&usage, subs, sizeof(subs) / sizeof(subs[0]), argc, argv);
}
