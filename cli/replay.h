/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What `simulate` and `report` have in common: the files that they replay and what `learn` is told.
 *
 *	struct replay r = REPLAY_DEFAULT;
 *
 *	n = replay_options(&r, rows, n);	the rows go to options_parse
 *	replay_settle(&r);			what can be checked before any file is read
 *	replay_read(&r);			r.trace and r.learn are complete
 *	replay_release(&r);			in any case
 *
 * Each returns CLI_OK, or the exit status after a complaint.
 */
#ifndef FORECACHED_CLI_REPLAY_H
#define FORECACHED_CLI_REPLAY_H

#include "cli/options.h"
#include "sim/learn.h"

struct replay {
	/* Given on the command line. NAN: not given. */
	const char *requests, *changes, *push_mode, *calendar, *zone, *budget;
	double score_from, max_stale, latency_value, seed, threads;
	bool pool, no_prewarm;
	struct option_list push, schedules, set;
	struct trace_options read;

	/* Made of it. */
	struct trace trace;
	struct learn_options learn;
	struct zone *made_zone;
	bool *pushed;
	struct learn_schedule *schedule;
};

#define REPLAY_DEFAULT                                                                             \
	{                                                                                          \
		.push_mode = "auto", .score_from = 0.5, .max_stale = NAN, .latency_value = NAN,    \
		.seed = 1, .threads = 2                                                            \
	}

/* Adds the rows of both commands behind the n that are there; how many there are then. */
#define REPLAY_ROWS 16
size_t replay_options(struct replay *r, struct option_row *row, size_t n);

int replay_settle(struct replay *r);
int replay_read(struct replay *r);
void replay_release(struct replay *r);

#endif
