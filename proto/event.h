/* SPDX-License-Identifier: MIT */
/*
 * Access events: what happened at a cache that the daemon does not see itself (readers of the
 * segment, apps with a cache of their own).
 *
 * Two forms of the same. Rows, for hand-written clients:
 *	[[time_s, endpoint, key, outcome, bytes, load_ms, version, count], ...]
 * where trailing fields may be left out and nil means "now", "by rule" or "unknown"; and columns,
 * as libforecache sends them:
 *	{"endpoints": ["/quotes/<symbol>", ...], "endpoint": [0, ...], "key": [...], "outcome": [0, ...],
 *	 "time_s": [...], "count": [...], "bytes": [...], "load_ms": [...], "version": [...]}
 * where "endpoint" counts into "endpoints" (nil: by rule), outcomes are the numbers of enum
 * event_outcome, and all columns but key and outcome may be left out.
 *
 * A bad event is refused by itself and said so; the good ones of the batch are kept.
 * Whether an event's time is within the accepted window is for the caller to judge.
 *
 * OWNERSHIP views in events point into the frame.
 */
#ifndef FORECACHED_PROTO_EVENT_H
#define FORECACHED_PROTO_EVENT_H

#include "base/bytes.h"
#include "base/instant.h"
#include "base/vec.h"
#include "proto/error.h"
#include "proto/limits.h"
#include "proto/pack.h"
#include "proto/value.h"

#include <stdint.h>

/* Row: X(NAME, number in the column form, name in the row form). */
#define EVENT_OUTCOME_TABLE(X)                                                                     \
	X(HIT, 0, "hit")                                                                           \
	X(GRACE, 1, "grace")                                                                       \
	X(MISS, 2, "miss")                                                                         \
	X(SET, 3, "set")                                                                           \
	X(CHANGED, 4, "changed")

enum event_outcome {
#define X(name, number, text) EVENT_##name = number,
	EVENT_OUTCOME_TABLE(X)
#undef X
	        EVENT_OUTCOMES
};
const char *event_outcome_name(enum event_outcome o);

struct event {
	struct instant at;     /* INSTANT_NONE: now */
	struct bytes endpoint; /* empty: by rule, or mined from the key */
	struct bytes key;      /* at least one byte */
	enum event_outcome outcome;
	uint32_t count; /* the same access so many times, >= 1 */
	uint64_t value_bytes;
	struct span load; /* what the load took; 0: unknown */
	uint64_t version; /* 0: unknown */
};

/* The highest count of one event, and the longest load time, 24 h. */
#define EVENT_MAX_COUNT 1000000000u
#define EVENT_MAX_LOAD  SPAN_S(86400)

#define EVENTS_MAX_SAID 8

struct events {
	VEC(struct event) list; /* the good ones, in the order of the message */
	size_t refused;         /* how many were not */
	struct {
		size_t index; /* within the message */
		struct proto_error why;
	} said[EVENTS_MAX_SAID]; /* about the first min(refused, EVENTS_MAX_SAID) of them */
};

void events_init(struct events *e);
void events_release(struct events *e);

/*
 * Decodes a message of events in either form; what e held before is forgotten. 0 when the message
 * as a whole could be read (e->refused may still be above 0); -EBADMSG or -ENOMEM when not. m is
 * working memory that must outlive nothing.
 */
int events_read(struct events *e, struct message *m, struct bytes frame,
                const struct proto_limits *limits, struct proto_error *reterr);

/* The same from a value within a message that was read (the argument of op event). */
int events_read_value(struct events *e, const struct msgpack_object *v,
                      const struct proto_limits *limits, struct proto_error *reterr);

/* Writes the row form, or the column form. Fields that are unknown in all events are left out. */
void events_write_rows(struct pack *w, const struct event *list, size_t n);
void events_write_columns(struct pack *w, const struct event *list, size_t n);

#endif
