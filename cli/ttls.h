/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Rows of what was learned, as tables: for `ttls`, `endpoints` and `top`. */
#ifndef FORECACHED_CLI_TTLS_H
#define FORECACHED_CLI_TTLS_H

#include "cli/ask.h"

#include <stdio.h>

/*
 * The first max_rows rows of an answer to ops ttls or endpoints; `endpoint`: which one's keys were
 * asked for, or NULL. CLI_OK, or CLI_ERROR after a complaint.
 */
int ttls_table(const struct answer *a, const char *endpoint, size_t max_rows, FILE *f);

#endif
