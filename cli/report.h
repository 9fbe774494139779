/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What `forecache report` has found out about a log, and the page that says it.
 *
 * HOW IT WORKS report.c fills struct report from replays; report_page.c writes it as one HTML file
 * that needs nothing else: styles and charts are inside, there are no scripts, and its own policy
 * (Content-Security-Policy) forbids browsers to load or run anything.
 */
#ifndef FORECACHED_CLI_REPORT_H
#define FORECACHED_CLI_REPORT_H

#include "cli/plot.h"
#include "cli/replay.h"
#include "sim/fixed.h"
#include "sim/frontier.h"
#include "sim/week.h"

#include <stdio.h>

#define REPORT_ENDPOINTS 50 /* rows of tables of endpoints */
#define REPORT_KEYS      15
#define REPORT_PEAKS     20 /* endpoints whose week is looked at */
#define REPORT_SCHEDULES 10
#define REPORT_TTLS      10 /* of the table of demand */

extern const double report_ttl_s[REPORT_TTLS];

/* What the engine says of an endpoint or key. */
struct report_row {
	uint32_t endpoint, key; /* INTERN_NONE: not in the log; key of an endpoint: none */
	struct ttl_row row;     /* without its names */
};

/* When the engine is asked. */
enum { REPORT_BUSIEST, REPORT_END, REPORT_LOOKS };

struct report_look {
	struct instant at;
	VEC(struct report_row) endpoints, keys; /* keys: the hottest */
};

/* A peak that was scheduled for a second replay. */
struct report_schedule {
	size_t row; /* of the week */
	char name[16], rule[32];
	size_t n_scored; /* how often it came in the scored part */
};

struct report {
	const struct replay *replay;
	struct instant score_from;

	uint64_t *requests; /* per endpoint */
	uint32_t *keys;     /* per endpoint */
	uint32_t *order;    /* endpoints, busiest first */
	uint32_t n_endpoints;
	uint32_t changed_keys;     /* keys that have changes */
	uint64_t changed_requests; /* requests for them */

	/* With changes: what the policies reach. `own`: the point whose objective was asked for. */
	bool has_frontier;
	struct frontier frontier;
	size_t own;
	struct report_look look[REPORT_LOOKS];

	/* Without: misses of fixed TTLs; of all together (row 0) and of the endpoints in order. */
	struct fixed_count *demand; /* [1 + n_demand][REPORT_TTLS] */
	size_t n_demand;

	struct week week; /* row 0: all */
	struct week_peak *peak;
	struct instant busiest; /* a look at the busiest half hour, the last time it came */
	struct report_schedule schedule[REPORT_SCHEDULES];
	size_t n_schedules;
	struct simulate_result warmed; /* learn with those schedules */
};

/* Whether the log and the changes together say when answers were stale. */
bool report_knows_changes(const struct report *r);

/* "Mon 09:30" of a bin of the week; "09:30" of a bin of the day. */
#define REPORT_TIME_MAX 16
const char *report_week_time(char buf[static REPORT_TIME_MAX], int bin);
const char *report_day_time(char buf[static REPORT_TIME_MAX], int bin);

/* Writes the page. Whether it got there is the stream's to tell. */
void report_page(FILE *f, const struct report *r);

#endif
