/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One answer of the HTTP listener while it is made: by its route's `start`, then by `step` after
 * step until there is no more to do. Each step is bounded by count: about WEB_WORK looks at a key.
 *
 * OWNERSHIP the answer and its parameters are the listener's; what `state` points to is freed by
 * `release`. The client may be gone at any time; the answer is made all the same.
 */
#ifndef FORECACHED_DAEMON_WEB_ANSWER_H
#define FORECACHED_DAEMON_WEB_ANSWER_H

#include "base/bytes.h"
#include "base/vec.h"
#include "daemon/daemon.h"
#include "daemon/web.h"
#include "proto/pack.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Looks at keys, or what costs as much, in one step: some 0.1 ms, or a few times that out of cache. */
#define WEB_WORK 64u

#define WEB_MAX_PARAMS 8

struct MHD_Connection;
struct web_answer;

/* True: there is more to do. */
typedef bool web_step_fn(struct web_answer *a);

struct web_text {
	VEC(char) text;
};

void web_put(struct web_text *t, struct bytes b);
void web_puts(struct web_text *t, const char *s);
__attribute__((format(printf, 2, 3))) void web_printf(struct web_text *t, const char *fmt, ...);

struct web_param {
	struct bytes name, value; /* copies, NUL-terminated behind their bytes */
};

struct web_answer {
	struct web *web;
	struct daemon *d;
	struct MHD_Connection *connection;
	struct web_answer *next; /* in the queue */
	struct web_param param[WEB_MAX_PARAMS];
	size_t n_params;
	unsigned status; /* of HTTP */
	const char *type;
	struct web_text text;
	const struct web_route *route;
	web_step_fn *step; /* NULL: the answer is complete */
	void *state;
	void (*release)(void *state); /* NULL: nothing to free */
	enum { WEB_READ, WEB_QUEUED, WEB_MADE } phase;
	bool stepped;
};

struct web_route {
	const char *path;
	const char *params; /* names that are understood, with spaces between; "*": any */
	const char *help;
	/* Makes the answer, or its beginning and sets `step`. */
	void (*start)(struct web_answer *a);
};

/* Ends with one whose path is NULL. */
extern const struct web_route web_routes[];

void web_metrics_start(struct web_answer *a);
void web_livez_start(struct web_answer *a);
void web_readyz_start(struct web_answer *a);

/* Surveys of warmth, in a list that the listener holds for web_ready.c. */
struct web_warmth;
struct web_warmth **web_warmths(struct web *w);
void web_warmth_forget(struct web_warmth **list);

/* What has been answered so far, for the metrics. */
struct web_counts {
	uint64_t answered[6]; /* by the first digit of the status */
	size_t connections;
	double longest_step_s;
};
struct web_counts web_counts(const struct web *w);

/* The value of the parameter; empty when it was not given. */
struct bytes web_param(const struct web_answer *a, const char *name);

/*
 * A number from lo to hi: false, and the answer is an error that says so, when it is none. Leaves
 * *ret alone when it was not given.
 */
bool web_param_number(struct web_answer *a, const char *name, double lo, double hi, double *ret);
bool web_param_count(struct web_answer *a, const char *name, uint32_t lo, uint32_t hi,
                     uint32_t *ret);

/* The answer is {"error": {"code", "text"}} with that status. */
__attribute__((format(printf, 4, 5))) void web_fail(struct web_answer *a, unsigned status,
                                                    const char *code, const char *fmt, ...);

/* Adds a packed value as JSON. False, and the answer is an error, when it is too large. */
bool web_put_json(struct web_answer *a, struct pack *p);

/* A string in JSON, quotes included. */
void web_put_quoted(struct web_text *t, struct bytes b);

#define WEB_JSON "application/json"

#endif
