/* SPDX-License-Identifier: GPL-3.0-or-later */
/* forecache backtest: how good demand forecasts would have been on a series. Needs no daemon. */
#include "cli/cli.h"

#include "base/mem.h"
#include "calendar/calendar.h"
#include "cli/human.h"
#include "cli/options.h"
#include "sim/backtest.h"

#include <cjson/cJSON.h>

#include <errno.h>
#include <gsl/gsl_errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Days around the series for which the time zone is worked out. */
#define MARGIN_DAYS 40

static int write_forecasts(const char *path, const struct forecast *f, size_t n)
{
	FILE *out = fopen(path, "we");
	bool bad;

	if (!out)
		return cli_error("%s: %s", path, strerror(errno));
	fputs("issued_s\ttarget_s\tmedian\tlo80\thi80\n", out);
	for (size_t i = 0; i < n; i++)
		fprintf(out, "%.6f\t%.6f\t%.6g\t%.6g\t%.6g\n", instant_s(f[i].issued),
		        instant_s(f[i].target), f[i].median, f[i].lo80, f[i].hi80);
	bad = ferror(out);
	if (fclose(out) != 0 || bad)
		return cli_error("%s: %s", path, strerror(errno ? errno : EIO));
	return CLI_OK;
}

/* null where there was nothing to compare */
static void add_error(cJSON *o, const char *name, double v)
{
	if (isfinite(v))
		cJSON_AddNumberToObject(o, name, v);
	else
		cJSON_AddNullToObject(o, name);
}

static void print_json(const struct series *s, double horizon_s, const struct backtest_score *r)
{
	cJSON *o = cJSON_CreateObject();
	char *text;

	cJSON_AddNumberToObject(o, "steps", (double)s->at.n);
	cJSON_AddNumberToObject(o, "step_s", span_s(s->step));
	cJSON_AddNumberToObject(o, "horizon_s", horizon_s);
	cJSON_AddNumberToObject(o, "targets", (double)r->targets);
	cJSON_AddNumberToObject(o, "mae", r->mae);
	cJSON_AddNumberToObject(o, "mae_yesterday", r->mae_yesterday);
	add_error(o, "mae_last_week", r->mae_last_week);
	add_error(o, "mae_last_value", r->mae_last_value);
	add_error(o, "mae_ewma", r->mae_ewma);
	cJSON_AddNumberToObject(o, "mase", r->mase);
	cJSON_AddNumberToObject(o, "inside_80", r->inside_80);
	text = cJSON_Print(o);
	puts(text ? text : "{}");
	free(text);
	cJSON_Delete(o);
}

static void print_beside(const char *what, double mae, double other)
{
	char a[HUMAN_MAX], b[HUMAN_MAX];

	if (isfinite(other))
		printf("%-18s %s requests per step; ours is %s of that\n", what,
		       human_number(a, other), other > 0 ? human_number(b, mae / other) : "-");
}

static void print_text(const struct series *s, double horizon_s, const struct backtest_score *r)
{
	char a[HUMAN_MAX], b[HUMAN_MAX];

	printf("%zu steps of %s, forecast %s ahead; scored on the second half: %" PRIu64 " steps\n",
	       s->at.n, human_span(a, span_s(s->step)), human_span(b, horizon_s), r->targets);
	if (!r->targets) {
		printf("nothing to score: no step has one a day before it\n");
		return;
	}
	printf("mean error         %s requests per step\n", human_number(a, r->mae));
	print_beside("as yesterday", r->mae, r->mae_yesterday);
	print_beside("as last week", r->mae, r->mae_last_week);
	print_beside("as the last step", r->mae, r->mae_last_value);
	print_beside("moving mean", r->mae, r->mae_ewma);
	printf("within 80 %% range  %s   (80 %% is right)\n", human_share(a, r->inside_80));
}

/* Half an hour is what a prewarm looks ahead. */
#define DEFAULT_HORIZON_S 1800

static int open_zone(const char *calendar, const char *name, const struct series *s,
                     struct zone **ret)
{
	struct span margin = SPAN_S(MARGIN_DAYS * INT64_C(86400));
	struct instant from = instant_add(s->at.v[0], SPAN_US(-margin.us));
	struct instant to = instant_add(s->at.v[s->at.n - 1], margin);
	struct fault e;
	int r = 0;

	if (calendar)
		r = calendar_open(calendar, name, from, to, ret, &e);
	else if (name)
		r = calendar_zone(name, from, to, ret, &e);
	return r < 0 ? cli_error("%s: %s", calendar ? calendar : name, e.text) : CLI_OK;
}

/*
 * Counts are known of whole steps, so a forecast can be judged only if its horizon is whole steps, too.
 * One that was not given is set to the nearest such to half an hour.
 */
static int settle_horizon(const struct series *s, double given_s, struct span *ret)
{
	int64_t step = s->step.us,
	        us = span_from_s(isnan(given_s) ? DEFAULT_HORIZON_S : given_s).us;
	int64_t below = us / step * step, above = below + step;
	char of[HUMAN_MAX], a[HUMAN_MAX], b[HUMAN_MAX];

	*ret = SPAN_US(us);
	if (below == us)
		return CLI_OK;
	human_span(of, span_s(s->step));
	human_span(a, span_s(SPAN_US(below)));
	human_span(b, span_s(SPAN_US(above)));
	if (isnan(given_s)) {
		*ret = SPAN_US(below > 0 && us - below <= above - us ? below : above);
		cli_say("forecasting %s ahead: the series is in steps of %s",
		        ret->us == above ? b : a, of);
		return CLI_OK;
	}
	return cli_usage("--horizon: %.15g s are no multiple of the series' step of %.15g s; "
	                 "%s%s%s would be",
	                 given_s, span_s(s->step), below > 0 ? a : "", below > 0 ? " or " : "", b);
}

int cmd_backtest(int argc, char **argv)
{
	static const struct usage usage = {
	        .synopsis = "--series FILE",
	        .brief = "Forecasts a recorded series from its past, step by step, and says how "
	                 "good that was.",
	        .examples = "forecache backtest --series counts.tsv.xz --horizon 30m\n"
	                    "forecache backtest --series counts.tsv --zone America/New_York --out "
	                    "forecasts.tsv\n",
	        .details = "A series is TSV with the header `time_s count`: how many requests came "
	                   "in the step that\n"
	                   "starts then. Each forecast is made from the steps up to it alone. The "
	                   "horizon is a multiple of the step.\n",
	};
	const char *path = NULL, *out = NULL, *calendar = NULL, *zone_name = NULL;
	double horizon_s = NAN;
	const struct option_row rows[] = {
	        {"series", 's', OPTION_TEXT, &path, 0, 0, "FILE",
	         "the counts; plain, gzip, xz or zstd; - is stdin"},
	        {"horizon", 0, OPTION_SPAN, &horizon_s, 1, 30 * 86400.0, "TIME",
	         "forecast this far ahead (30m, or the nearest to it in whole steps)"},
	        {"out", 'o', OPTION_TEXT, &out, 0, 0, "FILE",
	         "write every forecast: issued_s target_s median lo80 hi80"},
	        {"calendar", 0, OPTION_TEXT, &calendar, 0, 0, "FILE.ics|MIC",
	         "special days, and the time zone"},
	        {"zone", 0, OPTION_TEXT, &zone_name, 0, 0, "NAME",
	         "the time zone, as Europe/Berlin (UTC)"},
	};
	int status = options_parse(&usage, rows, sizeof(rows) / sizeof(rows[0]), &argc, &argv);
	struct series s = {0};
	struct forecast *f = NULL;
	struct zone *zone = NULL;
	struct span horizon = {0};
	struct fault fault;

	if (status >= 0)
		return status;
	if (!path)
		return cli_usage("--series FILE is needed; try `forecache backtest --help`");
	gsl_set_error_handler_off();
	status = series_read(&s, path, &fault) < 0 ? cli_error("%s", fault.text)
	                                           : settle_horizon(&s, horizon_s, &horizon);
	if (status == CLI_OK)
		status = open_zone(calendar, zone_name, &s, &zone);
	if (status == CLI_OK) {
		struct backtest b = {horizon, zone, cli_interrupted};
		struct backtest_score score;

		cli_catch_signals();
		f = mem_calloc(s.at.n, sizeof(*f));
		if (backtest_run(&s, &b, f) < 0)
			status = cli_signal_status();
		else if (out)
			status = write_forecasts(out, f, s.at.n);
		score = backtest_score(&s, b.horizon, f);
		if (status == CLI_OK && cli.json)
			print_json(&s, span_s(horizon), &score);
		else if (status == CLI_OK)
			print_text(&s, span_s(horizon), &score);
	}
	free(f);
	calendar_zone_free(&zone);
	series_release(&s);
	return status;
}
