/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The file of what was learned (daemon/record_json.h): `simulate --learned-out` writes it, `forecache
 * import` and `simulate --learned-in` read it.
 */
#ifndef FORECACHED_CLI_LEARNED_H
#define FORECACHED_CLI_LEARNED_H

#include "engine/engine.h"
#include "base/fault.h"
#include "sim/trace.h"

struct learned;

/* NULL, and a word on stderr, when there can be no such file. */
struct learned *learned_create(const char *path);

/* A record_fn; arg is the struct learned. Faults are kept until the end. */
void learned_write(void *arg, const struct record *r);

/*
 * Puts the file in its place, if all was written; an earlier one of that name stays until then, so
 * it may be the one that was begun with. CLI_OK, or CLI_ERROR with a word on stderr.
 */
int learned_close(struct learned **l, bool whole);

struct learned_file {
	const char *path;
	const struct trace *trace;
};

/*
 * Hands the engine what the file (arg, a struct learned_file) says of endpoints, classes, peaks and
 * the keys of the trace. 0, or a negative errno value with the fault: then it may have taken some.
 */
int learned_read(void *arg, struct engine *e, struct instant now, struct fault *reterr);

#endif
