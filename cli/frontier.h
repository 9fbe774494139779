/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The frontier (sim/frontier.h) for people, for programs, and as a chart. */
#ifndef FORECACHED_CLI_FRONTIER_H
#define FORECACHED_CLI_FRONTIER_H

#include "cli/plot.h"
#include "sim/frontier.h"

#include <cjson/cJSON.h>

/* Shares, ascending, that are tried where none are given; how many. */
#define FRONTIER_DEFAULT "0.005,0.01,0.02,0.03,0.05,0.1"

/*
 * Reads "0.01,0.02"; "" is FRONTIER_DEFAULT. CLI_OK, or CLI_USAGE after a complaint about
 * `option`.
 */
int frontier_objectives(const char *option, const char *text, double *ret, size_t *ret_n);

/*
 * [{"max_stale", "policies": [{"policy", ...}], "static_same_stale": {...}}], one per objective. A
 * policy that has nothing to go by is left out.
 */
cJSON *frontier_json(const struct frontier *f);

void frontier_table(const struct simulate *s, const struct frontier *f);

/* A chart, and the numbers that its lines point to. */
struct frontier_plot {
	double x[FRONTIER_POLICIES][FRONTIER_MAX], y[FRONTIER_POLICIES][FRONTIER_MAX];
	struct plot plot;
};
void frontier_plot(const struct frontier *f, struct frontier_plot *ret);

#endif
