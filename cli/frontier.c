/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/frontier.h"

#include "cli/cli.h"
#include "cli/human.h"
#include "cli/simulate_print.h"
#include "cli/table.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define OBJECTIVE_MAX 0.5

int frontier_objectives(const char *option, const char *text, double *ret, size_t *ret_n)
{
	const char *p = *text ? text : FRONTIER_DEFAULT;
	char *end;

	for (*ret_n = 0;; p = end + 1) {
		double x = strtod(p, &end);

		if (end == p || !(x >= 0 && x <= OBJECTIVE_MAX) || (*end && *end != ','))
			return cli_usage("--%s: must be shares from 0 to %g, as " FRONTIER_DEFAULT,
			                 option, OBJECTIVE_MAX);
		if (*ret_n && !(x > ret[*ret_n - 1]))
			return cli_usage("--%s: the shares must ascend", option);
		if (*ret_n == FRONTIER_MAX)
			return cli_usage("--%s: more than %d objectives", option, FRONTIER_MAX);
		ret[(*ret_n)++] = x;
		if (!*end)
			return CLI_OK;
	}
}

cJSON *frontier_json(const struct frontier *f)
{
	cJSON *list = cJSON_CreateArray();

	for (size_t i = 0; i < f->n; i++) {
		const struct frontier_point *at = &f->point[i];
		cJSON *point = cJSON_CreateObject(), *policies, *same;

		cJSON_AddItemToArray(list, point);
		cJSON_AddNumberToObject(point, "max_stale", at->objective);
		policies = cJSON_AddArrayToObject(point, "policies");
		for (int p = 0; p < FRONTIER_POLICIES; p++) {
			cJSON *o;

			if (at->policy[p].error)
				continue;
			o = cJSON_CreateObject();
			cJSON_AddItemToArray(policies, o);
			cJSON_AddStringToObject(o, "policy", at->policy[p].policy);
			simulate_add_figures(o, &at->policy[p].total);
		}
		same = cJSON_AddObjectToObject(point, "static_same_stale");
		cJSON_AddStringToObject(same, "policy", at->same.policy);
		simulate_add_figures(same, &at->same.total);
	}
	return list;
}

void frontier_table(const struct simulate *s, const struct frontier *f)
{
	char a[HUMAN_MAX], b[HUMAN_MAX], c[HUMAN_MAX], d[HUMAN_MAX];
	struct table t = {0};

	printf("%" PRIu32 " keys of %" PRIu32 " endpoints, %" PRIu64
	       " requests scored, from %s\n\n",
	       s->trace->keys.live, s->trace->endpoints.live,
	       f->point[0].policy[FRONTIER_LEARN].total.requests,
	       human_time(a, instant_s(s->score_from), true));
	table_column(&t, "objective", TABLE_RIGHT);
	table_column(&t, "policy", TABLE_LEFT);
	table_column(&t, "stale", TABLE_RIGHT);
	table_column(&t, "loads", TABLE_RIGHT);
	table_column(&t, "per request", TABLE_RIGHT);
	table_column(&t, "of static-best", TABLE_RIGHT);
	table_column(&t, "of static as stale", TABLE_RIGHT);
	table_column(&t, "hits", TABLE_RIGHT);
	for (size_t i = 0; i < f->n; i++) {
		const struct frontier_point *at = &f->point[i];
		double fixed = at->policy[FRONTIER_STATIC_BEST].total.loads_per_request;
		double same = at->same.total.loads_per_request;

		for (int p = 0; p < FRONTIER_POLICIES; p++) {
			const struct figures *g = &at->policy[p].total;

			if (at->policy[p].error)
				continue;
			table_cell(&t, "%s", human_share(a, at->objective));
			table_cell(&t, "%s", at->policy[p].policy);
			table_cell(&t, "%s", human_share(b, g->stale_per_request));
			table_cell(&t, "%" PRIu64, figures_loads(g));
			table_cell(&t, "%.4f", g->loads_per_request);
			table_cell(&t, "%s", human_share(c, g->loads_per_request / fixed));
			table_cell(&t, "%s",
			           p == FRONTIER_LEARN ? human_share(d, g->loads_per_request / same)
			                               : "");
			table_cell(&t, "%s", human_share(a, g->hit_ratio));
		}
	}
	table_print(&t, stdout);
	table_release(&t);
	puts("\nof static as stale: loads of learn / loads of the best single TTL that is as stale "
	     "as learn was.\nAll but learn know the future: their TTLs are chosen in hindsight, "
	     "and bound is clairvoyant.");
}

void frontier_plot(const struct frontier *f, struct frontier_plot *ret)
{
	struct plot *p = &ret->plot;
	double lo = HUGE_VAL, hi = 0;

	*p = (struct plot){
	        .name = "frontier",
	        .about = "Loads per request against stale answers, a line per policy; the figures "
	                 "are in the table",
	        .x_label = "stale answers, % of requests",
	        .x_tics = "(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)",
	        .y_label = "loads per request",
	        .width = 860,
	        .height = 500,
	        .log_x = true,
	        .n_lines = FRONTIER_POLICIES,
	};
	for (int l = 0; l < FRONTIER_POLICIES; l++) {
		size_t n = 0;

		for (size_t i = 0; i < f->n; i++) {
			const struct figures *g = &f->point[i].policy[l].total;

			if (f->point[i].policy[l].error || !g->requests)
				continue;
			ret->x[l][n] = g->stale_per_request * 100;
			ret->y[l][n] = g->loads_per_request;
			lo = fmin(lo, ret->x[l][n]);
			hi = fmax(hi, ret->x[l][n++]);
		}
		p->line[l] = (struct plot_line){frontier_policy_name((enum frontier_policy)l),
		                                ret->x[l], ret->y[l], n};
	}
	p->x_lo = lo / 1.2;
	p->x_hi = hi * 1.2;
	if (!(lo > 0)) { /* a log scale has no 0, and its tics would crowd at the left of another */
		p->log_x = false;
		p->x_tics = NULL;
		p->x_hi = p->x_lo = 0;
	}
}
