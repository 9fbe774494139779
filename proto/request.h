/* SPDX-License-Identifier: MIT */
/*
 * Requests: [id, op, args...], where an operation's options are a map that stands last and may be
 * left out. Unknown options are refused, with their operation named, and the option that may be meant.
 *
 *	get KEY {endpoint, mode}			mode: "load" (default), "lease", "peek"
 *	mget [KEY...] {endpoint, mode}
 *	lease KEY {endpoint, failed}			get with mode "lease"; failed: a lease whose load failed
 *	set KEY VALUE {endpoint, ttl_s, lease, load_ms, version, read_s}
 *	mset [[KEY, VALUE]...] {endpoint, ttl_s, load_ms, read_s}
 *	delete KEY · changed KEY {endpoint, version}
 *	event EVENTS					either form of event.h
 *	ttl KEY {endpoint}
 *	ttls {endpoint, max} · endpoints {max} · why NAME · history ENDPOINT {max}
 *	forecast ENDPOINT {step_s, steps}
 *	prewarm PATTERN {dry_run, reasons, max_keys}
 *	schedule.add {name, rrule, start, tz, calendar, patterns, lead_s, max_keys, dry_run}
 *	schedule.list {learned} · schedule.remove NAME · schedule.next {name, steps} · schedule.report {name, max}
 *	purge NAME {what}				what: "key" (default), "endpoint", "all"
 *	pause {what, for_s} · resume {what}		what: "all" (default), "learning", "prefetch"
 *	hello {client} · stats · health
 *	export {offset, max} · import [RECORD...]
 *
 * OWNERSHIP views point into the frame; arrays are the request's until request_release or the next
 * request_read.
 */
#ifndef FORECACHED_PROTO_REQUEST_H
#define FORECACHED_PROTO_REQUEST_H

#include "base/bytes.h"
#include "base/instant.h"
#include "base/record.h"
#include "base/vec.h"
#include "proto/event.h"
#include "proto/pack.h"
#include "proto/value.h"

#include <stdbool.h>
#include <stdint.h>

/* The version of the protocol; hello tells it. Bumped in the commit that changes the format. */
#define PROTO_VERSION 1

#define OP_TABLE(X)                                                                                \
	X(HELLO, "hello")                                                                          \
	X(GET, "get")                                                                              \
	X(MGET, "mget")                                                                            \
	X(SET, "set")                                                                              \
	X(MSET, "mset")                                                                            \
	X(DELETE, "delete")                                                                        \
	X(CHANGED, "changed")                                                                      \
	X(LEASE, "lease")                                                                          \
	X(EVENT, "event")                                                                          \
	X(TTL, "ttl")                                                                              \
	X(TTLS, "ttls")                                                                            \
	X(ENDPOINTS, "endpoints")                                                                  \
	X(WHY, "why")                                                                              \
	X(FORECAST, "forecast")                                                                    \
	X(HISTORY, "history")                                                                      \
	X(PREWARM, "prewarm")                                                                      \
	X(SCHEDULE_ADD, "schedule.add")                                                            \
	X(SCHEDULE_LIST, "schedule.list")                                                          \
	X(SCHEDULE_REMOVE, "schedule.remove")                                                      \
	X(SCHEDULE_NEXT, "schedule.next")                                                          \
	X(SCHEDULE_REPORT, "schedule.report")                                                      \
	X(PURGE, "purge")                                                                          \
	X(PAUSE, "pause")                                                                          \
	X(RESUME, "resume")                                                                        \
	X(STATS, "stats")                                                                          \
	X(HEALTH, "health")                                                                        \
	X(EXPORT, "export")                                                                        \
	X(IMPORT, "import")

enum op {
#define X(name, text) OP_##name,
	OP_TABLE(X)
#undef X
	        OPS
};
const char *op_name(enum op op);

/* In the order of the engine's enums of the same purpose. */
enum request_mode { MODE_LOAD, MODE_LEASE, MODE_PEEK };
enum request_purge { PURGE_ONE_KEY, PURGE_ONE_ENDPOINT, PURGE_EVERYTHING };

#define REQUEST_LEARNING 1u
#define REQUEST_PREFETCH 2u

#define REQUEST_MAX_PATTERNS 64
#define REQUEST_MAX_STEPS    10080 /* a week of minutes */
#define REQUEST_MAX_NEXT     1000  /* instants of one question */
#define RECORD_NUMBERS_MAX   4096

struct request_pair {
	struct bytes key, value; /* mget: no value */
};

/* Learned state of one thing: see engine.h, struct record. */
struct record_row {
	struct bytes kind, name, endpoint;
	struct {
		struct bytes name;
		const double *v;
		size_t n;
	} field[RECORD_MAX_FIELDS];
	size_t n_fields;
};

struct request {
	uint64_t id;
	bool has_id; /* even a bad request is answered under its id, if that much could be read */
	enum op op;
	/* option `endpoint`, the endpoint of forecast and history; empty: not said */
	struct bytes endpoint;
	/* KEY, NAME or PATTERN; option `name` of schedule.*; empty: not said */
	struct bytes key;
	union {
		struct {
			enum request_mode mode;
			/* lease: not 0: no get, but the load under this lease failed */
			uint64_t failed;
		} get; /* get, mget, lease (always MODE_LEASE) */
		struct {
			struct bytes value;  /* set alone */
			struct span ttl;     /* 0: none given */
			uint64_t lease;      /* 0: none */
			struct span load;    /* 0: unknown */
			uint64_t version;    /* 0: the hash of the value */
			struct instant read; /* INSTANT_NONE: now */
		} set;                       /* set, mset */
		struct {
			uint64_t version; /* 0: unknown */
		} changed;
		struct {
			struct span step; /* forecast: 60 s by default */
			uint32_t steps;   /* forecast: 60, schedule.next: 10 by default */
		} ahead;
		struct {
			uint32_t max; /* rows: 100 for ttls and history, 1000 for the others */
			uint64_t offset; /* export */
		} list;                  /* ttls, endpoints, history, schedule.report, export */
		struct {
			bool dry_run;
			bool reasons; /* a dry run says, too, what it would not load, and why */
			uint32_t max_keys; /* 0: not said */
		} prewarm;
		struct {
			bool dry_run; /* add: say when it would be due, keep nothing */
			struct bytes rrule, tz, calendar; /* empty: not said */
			struct instant start;             /* INSTANT_NONE: not said */
			/* start as text, "2026-11-23T09:30": local to tz; or empty */
			struct bytes start_local;
			struct bytes pattern[REQUEST_MAX_PATTERNS];
			size_t n_patterns;
			struct span lead;  /* 0: computed */
			uint32_t max_keys; /* 0: not said */
			bool learned;      /* schedule.list: those found in the demand */
		} schedule;
		struct {
			enum request_purge what;
		} purge;
		struct {
			unsigned what;    /* REQUEST_* bits */
			struct span for_; /* 0: until resumed */
		} pause;                  /* and resume */
		struct {
			struct bytes client; /* what the client calls itself */
		} hello;
	};
	VEC(struct request_pair) pair; /* mget, mset */
	struct events events;          /* event */
	VEC(struct record_row) record; /* import */
	VEC(double) number;            /* what the records' fields point into */
};

void request_init(struct request *r);
void request_release(struct request *r);

/*
 * Decodes a request. STATUS_OK, or the status to answer with (and reterr as its text): BAD_REQUEST,
 * UNKNOWN_OP, TOO_BIG (a key or value above its limit).
 */
int request_read(struct request *ret, struct message *m, struct bytes frame,
                 const struct proto_limits *limits, struct proto_error *reterr);

/* Writes a request; the reverse of request_read. Fields that have their default are left out. */
void request_write(struct pack *w, const struct request *r);

/* One record of learned state: {kind, name, endpoint?, fields: {name: [numbers]}}. */
void record_write(struct pack *w, const struct record_row *r);

#endif
