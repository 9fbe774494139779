/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The file that `simulate --learned-out` writes: daemon/record_json.h's, as `forecache import`
 * reads it.
 */
#ifndef FORECACHED_CLI_LEARNED_H
#define FORECACHED_CLI_LEARNED_H

#include "engine/engine.h"

struct learned;

/* NULL, and a word on stderr, when there can be no such file. */
struct learned *learned_create(const char *path);

/* A record_fn; arg is the struct learned. Faults are kept until the end. */
void learned_write(void *arg, const struct record *r);

/* CLI_OK, or CLI_ERROR with a word on stderr: not all of it could be written. */
int learned_close(struct learned **l);

#endif
