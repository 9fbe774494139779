/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The decision log: every load and every answer of a run as one line each, in the order in which
 * they happened, for a judge that trusts nothing else.
 *
 *	# ...                              the first line: what wrote it
 *	F time_s key reason version        the origin was read
 *	R time_s key outcome version       a request was answered (or began to wait) with that version
 *
 * A file of predictions is written in the same way, from what the engine says of itself:
 *
 *	P time_s key ttl_s p looks         the value read then was given this TTL, by the end of which it
 *	                                   will have been replaced with probability p; looks is how often
 *	                                   the key had been observed by then
 *
 * Fields are separated by tabs, times have six decimals, keys are escaped as in the trace.
 */
#ifndef FORECACHED_SIM_LOG_H
#define FORECACHED_SIM_LOG_H

#include "base/instant.h"
#include "engine/engine.h"
#include "base/fault.h"
#include "sim/trace.h"

struct log;

/* Makes or empties the file. NULL with a fault. */
struct log *log_open(const char *path, const struct trace *t, const char *policy, uint64_t seed,
                     struct fault *reterr);

/* Writes what is left. 0, or a negative errno with a fault when any byte could not be written. */
int log_close(struct log **l, struct fault *reterr);

void log_load(struct log *l, uint32_t key, struct instant at, enum load_reason why,
              uint32_t version);
void log_answer(struct log *l, uint32_t key, struct instant at, enum outcome o, uint32_t version);
void log_prediction(struct log *l, uint32_t key, struct instant at, double ttl_s, double p,
                    double looks);

#endif
