/* SPDX-License-Identifier: GPL-3.0-or-later */
/* stats: everything that the daemon counts. */
#include "cli/cli.h"

#include "cli/ask.h"
#include "cli/human.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool ends_in(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && !strcmp(s + n - m, end);
}

/* A number in the unit that its name tells. */
static void number_cell(struct table *t, const char *name, double x)
{
	char buf[HUMAN_MAX];

	if (ends_in(name, "bytes"))
		table_cell(t, "%s", human_bytes(buf, x));
	else if (ends_in(name, "_s") && !ends_in(name, "per_s") && !ends_in(name, "time_s"))
		table_cell(t, "%s", human_span(buf, x));
	else if (ends_in(name, "ratio") || ends_in(name, "share"))
		table_cell(t, "%s", human_share(buf, x));
	else if (fabs(x) < 1e15 && x == floor(x))
		table_cell(t, "%.0f", x);
	else
		table_cell(t, "%s", human_number(buf, x));
}

/*
 * One row per number or text, named by its path: "loads.demand". Bounded by the depth of a message.
 */
static void flatten(struct table *t, const char *path, const cJSON *item)
{
	const cJSON *child;
	char name[256];
	int i = 0;

	if (cJSON_IsObject(item) || cJSON_IsArray(item)) {
		cJSON_ArrayForEach(child, item)
		{
			if (child->string)
				snprintf(name, sizeof(name), "%.120s%s%.120s", path,
				         *path ? "." : "", child->string);
			else
				snprintf(name, sizeof(name), "%.200s[%d]", path, i++);
			flatten(t, name, child);
		}
		return;
	}
	table_cell(t, "%s", path);
	if (cJSON_IsNumber(item))
		number_cell(t, path, item->valuedouble);
	else if (cJSON_IsString(item) || cJSON_IsRaw(item))
		table_cell(t, "%s", item->valuestring);
	else if (cJSON_IsBool(item))
		table_cell(t, "%s", cJSON_IsTrue(item) ? "yes" : "no");
	else
		table_cell(t, "-");
}

int cmd_stats(int argc, char **argv)
{
	static const struct usage usage = {
	        .synopsis = "",
	        .brief = "Prints everything that the daemon counts since its start.",
	        .examples = "forecache stats\n"
	                    "forecache stats --json | jq '.learned, .held_out'     # with "
	                    "learning, and without\n",
	        .details = "With `holdout` in the configuration, learned and held_out are the two "
	                   "arms: keys whose TTL is learned, and keys that keep the static one.",
	};
	int status = options_parse(&usage, NULL, 0, &argc, &argv);
	struct table t = {0};
	struct request r;
	cJSON *result;

	if (status >= 0)
		return status;
	request_init(&r);
	r.op = OP_STATS;
	status = ask_json(&r, &result);
	request_release(&r);
	if (status)
		return status;
	if (cli.json)
		return json_print(result);
	table_column(&t, "counter", TABLE_LEFT);
	table_column(&t, "value", TABLE_RIGHT);
	flatten(&t, "", result);
	table_print(&t, stdout);
	table_release(&t);
	cJSON_Delete(result);
	return CLI_OK;
}
