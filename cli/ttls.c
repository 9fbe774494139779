/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/ttls.h"

#include "cli/cli.h"
#include "cli/human.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/table.h"
#include "daemon/message_json.h"
#include "base/text.h"
#include "proto/row.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define ROWS_MAX 1000000

/* "12 ±3": the mean and its standard deviation, in the unit that `scale` makes of "per second". */
static void rate_cell(struct table *t, struct estimate e, double scale)
{
	char mean[HUMAN_MAX], sd[HUMAN_MAX];

	if (!(e.n > 0) || !isfinite(e.mean))
		table_cell(t, "-");
	else if (!isfinite(e.sd))
		table_cell(t, "%s", human_number(mean, e.mean * scale));
	else
		table_cell(t, "%s \u00b1%s", human_number(mean, e.mean * scale),
		           human_number(sd, e.sd * scale));
}

static void row_cells(struct table *t, const struct row_ttl *row, bool keys)
{
	char n[HUMAN_MAX], *name = text_printable(row->key.n ? row->key : row->endpoint);
	char *mode = text_printable(row->mode), *reason = text_printable(row->reason);

	table_cell(t, "%s", name);
	table_cell(t, "%s", human_number(n, row->ttl_s));
	if (keys)
		table_cell(t, "%s", human_number(n, row->age_s));
	rate_cell(t, row->change_rate_per_s, 3600);
	table_cell(t, "%s", human_number(n, row->request_rate_per_s));
	table_cell(t, "%s", human_number(n, row->load_ms > 0 ? row->load_ms : NAN));
	table_cell(t, "%s", human_number(n, row->stale_share * 100));
	table_cell(t, "%s", human_number(n, row->hit_ratio * 100));
	table_cell(t, "%s", mode);
	table_cell(t, "%s", reason);
	free(name);
	free(mode);
	free(reason);
}

int ttls_table(const struct answer *a, const char *endpoint, size_t max_rows, FILE *f)
{
	struct table t = {0};
	struct proto_error err;
	struct row_ttl row;
	struct cursor c;
	bool keys = false;
	int status = CLI_OK;

	if (value_array(a->reply.result, "rows", 0, SIZE_MAX, &c, &err))
		return cli_error("the answer cannot be read: %s", err.text);
	if (c.left == 0) {
		if (endpoint)
			cli_say("no key of %s is known", endpoint);
		else
			cli_say("nothing yet: no key has been asked for");
		return CLI_OK;
	}
	if (!row_read(&row_ttl, c.at, &row, &err))
		keys = row.key.n > 0;
	table_column(&t, keys ? "key" : "endpoint", TABLE_LEFT);
	table_column(&t, "TTL s", TABLE_RIGHT);
	if (keys)
		table_column(&t, "age s", TABLE_RIGHT);
	table_column(&t, "changes/h", TABLE_RIGHT);
	table_column(&t, "requests/s", TABLE_RIGHT);
	table_column(&t, "load ms", TABLE_RIGHT);
	table_column(&t, "stale %", TABLE_RIGHT);
	table_column(&t, "hits %", TABLE_RIGHT);
	table_column(&t, "mode", TABLE_LEFT);
	table_column(&t, "reason", TABLE_LEFT);
	while (c.left > 0 && max_rows-- > 0) {
		if (row_read(&row_ttl, cursor_next(&c), &row, &err)) {
			status = cli_error("the answer cannot be read: %s", err.text);
			break;
		}
		row_cells(&t, &row, keys);
	}
	table_print(&t, f);
	table_release(&t);
	return status;
}

/* The latest last, next to the prompt. */
static int history_table(const struct answer *a, const char *endpoint)
{
	struct table t = {0};
	struct proto_error err;
	struct row_history row;
	struct cursor c;
	char s[HUMAN_MAX];
	int status = CLI_OK;

	if (value_array(a->reply.result, "rows", 0, SIZE_MAX, &c, &err))
		return cli_error("the answer cannot be read: %s", err.text);
	if (c.left == 0) {
		cli_say("nothing of %s has been noted yet: that is done every 10 minutes",
		        endpoint);
		return CLI_OK;
	}
	table_column(&t, "time", TABLE_LEFT);
	table_column(&t, "TTL s", TABLE_RIGHT);
	table_column(&t, "changes/h", TABLE_RIGHT);
	table_column(&t, "stale %", TABLE_RIGHT);
	table_column(&t, "hits %", TABLE_RIGHT);
	while (c.left > 0) {
		if (row_read(&row_history, cursor_next(&c), &row, &err)) {
			status = cli_error("the answer cannot be read: %s", err.text);
			break;
		}
		table_cell(&t, "%s", human_time(s, instant_s(row.time_s), false));
		table_cell(&t, "%s", human_number(s, row.ttl_s));
		table_cell(&t, "%s", human_number(s, row.change_rate_per_s * 3600));
		table_cell(&t, "%s", human_number(s, row.stale_share * 100));
		table_cell(&t, "%s", human_number(s, row.hit_ratio * 100));
	}
	table_print(&t, stdout);
	table_release(&t);
	return status;
}

static int print_rows(const struct request *r, const char *endpoint)
{
	struct answer a;
	int status = ask(r, &a);

	if (status)
		return status;
	if (cli.json)
		status = json_print(message_to_json(a.reply.result));
	else if (r->op == OP_HISTORY)
		status = history_table(&a, endpoint);
	else
		status = ttls_table(&a, endpoint, SIZE_MAX, stdout);
	answer_release(&a);
	return status;
}

int cmd_ttls(int argc, char **argv)
{
	static const struct usage usage = {
	        .synopsis = "[ENDPOINT] | --history ENDPOINT",
	        .brief = "Lists keys with their TTLs and what was learned of them, hottest first; "
	                 "or what an endpoint's have been over time.",
	        .examples = "forecache ttls\n"
	                    "forecache ttls '/quotes/<symbol>' --limit 20\n"
	                    "forecache ttls --json | jq '.[] | select(.stale_share > 0.01)'\n"
	                    "forecache ttls --history '/quotes/<symbol>'\n",
	        .details =
	                "changes/h is the change rate at this time of day with its standard "
	                "deviation. `forecache why KEY` says how a TTL came about. --history "
	                "shows, the latest last, what `forecache endpoints` would have said every "
	                "10 minutes, once the endpoint had been asked for.",
	        .max_args = 1,
	};
	bool history = false;
	double limit = 100;
	const struct option_row rows[] = {
	        {"history", 0, OPTION_FLAG, &history, 0, 0, NULL,
	         "an endpoint's TTLs, and what led to them, over time"},
	        {"limit", 'n', OPTION_COUNT, &limit, 1, ROWS_MAX, "N",
	         "at most N keys, or times (100)"},
	};
	int status = options_parse(&usage, rows, sizeof(rows) / sizeof(rows[0]), &argc, &argv);
	const char *endpoint = argc ? argv[0] : NULL;
	struct request r;

	if (status >= 0)
		return status;
	if (history && !endpoint)
		return cli_usage("ttls: --history is of one endpoint: which?");
	request_init(&r);
	r.op = history ? OP_HISTORY : OP_TTLS;
	r.endpoint = bytes_str(endpoint);
	r.list.max = (uint32_t)limit;
	status = print_rows(&r, endpoint);
	request_release(&r);
	return status;
}

int cmd_endpoints(int argc, char **argv)
{
	static const struct usage usage = {
	        .synopsis = "",
	        .brief = "Lists the endpoints with what was learned of each. The TTL is the "
	                 "median of their cached keys, weighted by requests.",
	        .examples = "forecache endpoints\n"
	                    "forecache endpoints --json | jq -r '.[].endpoint'\n",
	};
	double limit = 1000;
	const struct option_row rows[] = {
	        {"limit", 'n', OPTION_COUNT, &limit, 1, ROWS_MAX, "N",
	         "at most N endpoints (1000)"},
	};
	int status = options_parse(&usage, rows, 1, &argc, &argv);
	struct request r;

	if (status >= 0)
		return status;
	request_init(&r);
	r.op = OP_ENDPOINTS;
	r.list.max = (uint32_t)limit;
	status = print_rows(&r, NULL);
	request_release(&r);
	return status;
}
