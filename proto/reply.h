/* SPDX-License-Identifier: MIT */
/*
 * Replies: [id, status, result]. Status 0 is success; else the result is [code name, text].
 *
 * The writer of a reply starts it with reply_start and then writes exactly one value, the result,
 * with pack.h, row.h or the functions below. id is nil when the request's id could not be read.
 */
#ifndef FORECACHED_PROTO_REPLY_H
#define FORECACHED_PROTO_REPLY_H

#include "base/bytes.h"
#include "base/instant.h"
#include "proto/event.h"
#include "proto/pack.h"
#include "proto/request.h"
#include "proto/status.h"
#include "proto/value.h"

#include <stdbool.h>
#include <stdint.h>

/* The head of a successful reply: the result follows. */
void reply_start(struct pack *w, uint64_t id, bool has_id);

/* A whole reply for a failure. text NULL: the table's sentence. */
void reply_error(struct pack *w, uint64_t id, bool has_id, int status, const char *text);

/* A whole reply with the result {"count": n}: set, delete, changed, purge, prewarm, ... */
void reply_count(struct pack *w, uint64_t id, bool has_id, uint64_t count);

struct reply {
	uint64_t id;
	bool has_id;
	int status;
	struct bytes code, text;             /* of a failure */
	const struct msgpack_object *result; /* of a success */
	struct bytes raw;                    /* the same as msgpack bytes */
};

/* 0 or -EBADMSG. Views point into the frame, the result lives as long as m's message. */
int reply_read(struct reply *ret, struct message *m, struct bytes frame,
               const struct proto_limits *limits, struct proto_error *reterr);

/* What get and lease answer, and one row of mget. */
struct got {
	enum event_outcome outcome; /* HIT, GRACE or MISS */
	bool found;                 /* there is a value */
	struct bytes value;
	struct bytes endpoint; /* that the key belongs to */
	uint64_t version;
	double age_s;   /* seconds since the origin was read; NAN: no value */
	double ttl_s;   /* seconds until it is no longer fresh, below 0: past it; NAN: no value */
	uint64_t lease; /* 0: none; else the caller is to load and set with it */
	int status;     /* mget: this key's own failure; 0 otherwise */
};
void got_write(struct pack *w, const struct got *g);
int got_read(struct got *ret, const struct msgpack_object *v, const struct proto_limits *limits,
             struct proto_error *reterr);

/* What event answers: {accepted, refused, errors: [[index, text]...]}. */
void events_write_result(struct pack *w, const struct events *e, size_t accepted, size_t refused);

#endif
