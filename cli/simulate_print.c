/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/simulate_print.h"

#include "cli/cli.h"
#include "cli/human.h"
#include "cli/table.h"
#include "cli/term.h"
#include "base/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* -- Results as JSON -------------------------------------------------------------------------- */

static const char *const outcome_field[SCORE_OUTCOMES] = {"hits", "grace", "misses", "joined"};

void simulate_add_figures(cJSON *to, const struct figures *f)
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

static void add_worst(cJSON *to, const struct simulate_result *r)
{
	cJSON *o = cJSON_AddObjectToObject(to, "worst_half_hour");

	cJSON_AddNumberToObject(o, "start_s", instant_s(r->worst_start));
	cJSON_AddNumberToObject(o, "requests", r->worst.requests);
	cJSON_AddNumberToObject(o, "stale_per_request", (double)r->worst.stale / r->worst.requests);
}

/* What endpoints that the trace does not name are called. */
static struct bytes endpoint_name(const struct trace *t, uint32_t e)
{
	struct bytes name = intern_name(&t->endpoints, e);

	return name.n ? name : bytes_str("-");
}

void simulate_print_json(const struct simulate *s, const struct simulate_result *r, size_t n)
{
	const struct trace *t = s->trace;
	cJSON *root = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(root, "policies");
	char *text;

	for (size_t i = 0; i < n; i++) {
		cJSON *p = cJSON_CreateObject(), *endpoints;

		cJSON_AddItemToArray(list, p);
		cJSON_AddStringToObject(p, "policy", r[i].policy);
		simulate_add_figures(p, &r[i].total);
		if (r[i].worst.requests)
			add_worst(p, &r[i]);
		endpoints = cJSON_AddObjectToObject(p, "endpoints");
		for (uint32_t e = 0; e < t->endpoints.n_ids; e++) {
			char *name;

			if (!r[i].endpoint[e].requests)
				continue;
			name = text_json(endpoint_name(t, e));
			simulate_add_figures(cJSON_AddObjectToObject(endpoints, name),
			                     &r[i].endpoint[e]);
			free(name);
		}
	}
	text = cJSON_Print(root);
	puts(text ? text : "{}");
	free(text);
	cJSON_Delete(root);
}

/* -- Results as a table ----------------------------------------------------------------------- */

static void add_row(struct table *t, const char *name, const struct figures *f)
{
	char a[HUMAN_MAX], b[HUMAN_MAX], c[HUMAN_MAX], d[HUMAN_MAX], e[HUMAN_MAX], g[HUMAN_MAX],
	        h[HUMAN_MAX];
	char rule[2 * HUMAN_MAX] = "";

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
	table_cell(t, "%" PRIu64, figures_loads(f));
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

void simulate_print_table(const struct simulate *s, const struct simulate_result *r, size_t n,
                          bool by_endpoint)
{
	const struct trace *t = s->trace;
	struct table table = {0};
	char share[HUMAN_MAX], when[HUMAN_MAX];

	printf("%" PRIu32 " keys of %" PRIu32
	       " endpoints; objective: at most %s of requests stale; scored from %s\n\n",
	       t->keys.live, t->endpoints.live, human_share(share, r[0].max_stale),
	       human_time(when, instant_s(s->score_from), true));
	start_table(&table, "policy");
	for (size_t i = 0; i < n; i++)
		add_row(&table, r[i].policy, &r[i].total);
	print_table(&table);
	for (size_t i = 0; i < n; i++)
		if (r[i].worst.requests)
			printf("%s: at worst %s stale in a half hour (from %s, %" PRIu32
			       " requests)\n",
			       r[i].policy,
			       human_share(share, (double)r[i].worst.stale / r[i].worst.requests),
			       human_time(when, instant_s(r[i].worst_start), true),
			       r[i].worst.requests);
	for (size_t i = 0; by_endpoint && i < n; i++) {
		table = (struct table){0};
		printf("\n%s%s%s\n", term_on(TERM_BOLD), r[i].policy, term_off(TERM_BOLD));
		start_table(&table, "endpoint");
		for (uint32_t e = 0; e < t->endpoints.n_ids; e++)
			if (r[i].endpoint[e].requests)
				add_row(&table, endpoint_name(t, e).p, &r[i].endpoint[e]);
		print_table(&table);
	}
}

/* -- Speed ------------------------------------------------------------------------------------ */

void simulate_say_speed(const struct simulate *s, const struct simulate_result *r, size_t n)
{
	char line[1024] = "", rate[HUMAN_MAX], span[HUMAN_MAX];
	size_t used = 0;

	for (size_t i = 0; i < n && used < sizeof(line) / 2; i++) {
		double requests = (double)s->trace->at.n;

		used += (size_t)snprintf(line + used, sizeof(line) - used,
		                         "%s%.40s %s requests/s in %s", i ? ", " : "", r[i].policy,
		                         human_count(rate, requests / r[i].seconds),
		                         human_span(span, r[i].seconds));
	}
	cli_say("%s", line);
}
