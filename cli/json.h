/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cJSON as the subcommands use it. */
#ifndef FORECACHED_CLI_JSON_H
#define FORECACHED_CLI_JSON_H

#include <cjson/cJSON.h>

/*
 * Prints the tree on stdout (indented on a terminal, on one line else), and deletes it. Gives
 * CLI_OK.
 */
int json_print(cJSON *item);

/* Of an object: NAN, or "", when there is no such member of that type. */
double json_num(const cJSON *object, const char *name);
const char *json_text(const cJSON *object, const char *name);

/* A number as JSON has it: null for what is not finite. */
cJSON *json_number(double x);

#endif
