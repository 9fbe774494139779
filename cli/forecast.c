/* SPDX-License-Identifier: GPL-3.0-or-later */
/* forecast: the demand that is expected of an endpoint, drawn in the terminal. */
#include "cli/cli.h"

#include "cli/ask.h"
#include "cli/chart.h"
#include "cli/human.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/term.h"
#include "daemon/message_json.h"
#include "base/text.h"
#include "proto/row.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define COLUMNS_MAX 240

static int draw(const char *name, const struct answer *a, double step_s, int height)
{
	struct chart_point point[COLUMNS_MAX];
	double volatility[COLUMNS_MAX], peak = 0, peak_s = NAN;
	struct proto_error err;
	struct row_forecast row;
	struct cursor c;
	char when[HUMAN_MAX], rate[HUMAN_MAX], step[HUMAN_MAX], *shown;
	size_t n = 0;

	if (value_array(a->reply.result, "forecast", 0, SIZE_MAX, &c, &err))
		return cli_error("the answer cannot be read: %s", err.text);
	while (c.left > 0 && n < COLUMNS_MAX) {
		if (row_read(&row_forecast, cursor_next(&c), &row, &err))
			return cli_error("the answer cannot be read: %s", err.text);
		point[n] =
		        (struct chart_point){instant_s(row.time_s), row.per_s, row.lo80, row.hi80};
		volatility[n++] = row.volatility;
		if (row.per_s > peak) {
			peak = row.per_s;
			peak_s = instant_s(row.time_s);
		}
	}
	if (n == 0)
		return cli_error("the daemon sent an empty forecast");
	shown = text_printable(bytes_str(name));
	printf("%s%s%s  requests per second, each column %s\n", term_on(TERM_BOLD), shown,
	       term_off(TERM_BOLD), human_span(step, step_s));
	free(shown);
	chart_draw(stdout, point, n, height, term_has_utf8());
	printf("%*s", CHART_MARGIN, "changes ");
	chart_spark(stdout, volatility, n, term_has_utf8());
	printf("\n%s forecast  %s 80 %% band  %s at least; changes: how volatile it is at that "
	       "time of day\n",
	       term_has_utf8() ? "\u2501" : "=", term_has_utf8() ? "\u2592" : ":",
	       term_has_utf8() ? "\u2588" : "#");
	if (isfinite(peak_s))
		printf("highest: %s at %s local time\n", human_rate(rate, peak),
		       human_time(when, peak_s, false));
	return CLI_OK;
}

/* How good forecasts of this endpoint have been. Nothing when that cannot be had. */
static void say_how_good(const char *name)
{
	char yesterday[HUMAN_MAX], last[HUMAN_MAX], ewma[HUMAN_MAX];
	struct proto_error err;
	struct request r;
	struct row_why why;
	struct answer a;
	char *by;

	request_init(&r);
	r.op = OP_WHY;
	r.key = bytes_str(name);
	if (ask(&r, &a) == CLI_OK) {
		if (!row_read(&row_why, a.reply.result, &why, &err)) {
			by = text_printable(why.forecast_by);
			if (isfinite(why.forecast_mase))
				printf("errors 30 min ahead of late: %s times those of \"as "
				       "yesterday\", "
				       "%s of \"as now\", %s of a moving mean\n",
				       human_number(yesterday, why.forecast_mase),
				       human_number(last, why.forecast_vs_last),
				       human_number(ewma, why.forecast_vs_ewma));
			printf("forecast by %s\n", by);
			free(by);
		}
		answer_release(&a);
	}
	request_release(&r);
}

int cmd_forecast(int argc, char **argv)
{
	static const struct usage usage = {
	        .synopsis = "ENDPOINT",
	        .brief = "Draws the requests that are expected, with the band that holds 80 % of "
	                 "what may come, and how volatile the endpoint is at each time of day.",
	        .examples = "forecache forecast '/quotes/<symbol>'\n"
	                    "forecache forecast '/quotes/<symbol>' --for 2h --step 5m\n"
	                    "forecache forecast '/quotes/<symbol>' --json | jq '.[0]'\n",
	        .min_args = 1,
	        .max_args = 1,
	};
	double for_s = 86400, step_s = 0, height = 12;
	const struct option_row rows[] = {
	        {"for", 0, OPTION_SPAN, &for_s, 60, 604800, "TIME", "so far ahead (24h)"},
	        {"step", 0, OPTION_SPAN, &step_s, 1, 86400, "TIME",
	         "length of a step (else: as fits the terminal)"},
	        {"height", 0, OPTION_COUNT, &height, 4, 60, "N", "rows of the drawing (12)"},
	};
	int status = options_parse(&usage, rows, sizeof(rows) / sizeof(rows[0]), &argc, &argv);
	int columns = term_width() - CHART_MARGIN - 1;
	struct request r;
	struct answer a;
	double steps;

	if (status >= 0)
		return status;
	columns = columns > COLUMNS_MAX ? COLUMNS_MAX : columns;
	if (step_s == 0)
		step_s = chart_step(for_s, (size_t)columns);
	steps = fmax(1, round(for_s / step_s));
	if (steps > REQUEST_MAX_STEPS)
		return cli_usage("forecast: %g steps are more than %d; a longer --step will do",
		                 steps, REQUEST_MAX_STEPS);
	if (!cli.json && steps > columns)
		return cli_usage(
		        "forecast: %g steps do not fit into %d columns; a longer --step will do",
		        steps, columns);
	request_init(&r);
	r.op = OP_FORECAST;
	r.endpoint = bytes_str(argv[0]);
	r.ahead.step = span_from_s(step_s);
	r.ahead.steps = (uint32_t)steps;
	status = ask(&r, &a);
	request_release(&r);
	if (status)
		return status;
	status = cli.json ? json_print(message_to_json(a.reply.result))
	                  : draw(argv[0], &a, step_s, (int)height);
	answer_release(&a);
	if (status == CLI_OK && !cli.json)
		say_how_good(argv[0]);
	return status;
}
