/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Rows of what was learned, as tables: for `ttls`, `endpoints` and `top`. */
#ifndef FORECACHED_CLI_TTLS_H
#define FORECACHED_CLI_TTLS_H

#include "cli/ask.h"

#include <stdio.h>

/*
 * The first max_rows rows of an answer to ops ttls or endpoints. CLI_OK, or CLI_ERROR after a
 * complaint.
 */
int ttls_table(const struct answer *a, size_t max_rows, FILE *f);

#endif
