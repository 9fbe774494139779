/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Questions to the daemon: answered at once, from the engine's question functions and the counts. */
#ifndef FORECACHED_DAEMON_QUERY_H
#define FORECACHED_DAEMON_QUERY_H

#include "engine/engine.h"
#include "proto/pack.h"
#include "proto/request.h"

#include <stddef.h>

struct daemon;
struct learned_history;

/*
 * Writes the result of the request, one value, to w. STATUS_OK, or another status with its text
 * (empty: the status's own sentence); what was written is of no use then.
 */
int query_answer(struct daemon *d, const struct request *r, struct pack *w, char *ret_text,
                 size_t cap);

/* "there is no endpoint '/x'", and which may be meant, as the text; gives STATUS_NOT_FOUND. */
int query_no_endpoint(const struct daemon *d, struct bytes name, char *ret_text, size_t cap);

/* At most so many rows answer the request. */
size_t query_most_rows(const struct daemon *d, const struct request *r);

/* What the file said of `history`, as query_answer does it. */
int query_history(const struct daemon *d, const struct learned_history *h, struct pack *w,
                  char *ret_text, size_t cap);

/* The map of `stats`, and of `health`: also for HTTP. */
void query_write_stats(struct daemon *d, struct pack *w);
void query_write_health(struct daemon *d, struct pack *w);

/* One row of `ttls` and `endpoints`. */
void query_write_ttl(struct pack *w, const struct ttl_row *r);

#endif
