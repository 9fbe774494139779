/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Results of `forecache simulate`, for programs and for people. */
#ifndef FORECACHED_CLI_SIMULATE_PRINT_H
#define FORECACHED_CLI_SIMULATE_PRINT_H

#include "sim/simulate.h"

#include <cjson/cJSON.h>

/* One JSON object on stdout: {"policies": [{"policy": ..., "requests": ..., ...}]}. */
void simulate_print_json(const struct simulate *s, const struct simulate_result *r, size_t n);

/* How fast each policy was replayed, on one line of stderr. */
void simulate_say_speed(const struct simulate *s, const struct simulate_result *r, size_t n);

/* A row per policy; with by_endpoint, a table of endpoints for each policy behind it. */
void simulate_print_table(const struct simulate *s, const struct simulate_result *r, size_t n,
                          bool by_endpoint);

/* The members of an endpoint, or of a policy but its name. */
void simulate_add_figures(cJSON *to, const struct figures *f);

#endif
