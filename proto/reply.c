/* SPDX-License-Identifier: MIT */
#include "proto/reply.h"

#include "proto/scan.h"

#include <errno.h>
#include <math.h>

/* No reply's age or TTL is longer; they may be below zero. */
#define MAX_SECONDS 1e12

static void write_head(struct pack *w, uint64_t id, bool has_id, int status)
{
	pack_array(w, 3);
	if (has_id)
		pack_uint(w, id);
	else
		pack_nil(w);
	pack_uint(w, (uint64_t)status);
}

void reply_start(struct pack *w, uint64_t id, bool has_id)
{
	write_head(w, id, has_id, STATUS_OK);
}

void reply_error(struct pack *w, uint64_t id, bool has_id, int status, const char *text)
{
	write_head(w, id, has_id, status);
	pack_array(w, 2);
	pack_text(w, status_name(status));
	pack_key(w, bytes_str(text ? text : status_text(status)));
}

void reply_count(struct pack *w, uint64_t id, bool has_id, uint64_t count)
{
	reply_start(w, id, has_id);
	pack_map(w, 1);
	pack_text(w, "count");
	pack_uint(w, count);
}

/* Where the third value of the frame stands. The frame has been read, so it is well formed. */
static struct bytes third(struct bytes frame, size_t max_elements)
{
	const char *p = frame.p;
	/* an array of three has a head of one byte, or of 3 or 5 if badly packed */
	size_t at = 1, i;

	if ((unsigned char)p[0] != 0x93)
		at = (unsigned char)p[0] == 0xdc ? 3 : 5;
	for (i = 0; i < 2; i++)
		at += scan_value(bytes_of(p + at, frame.n - at), max_elements);
	return bytes_of(p + at, frame.n - at);
}

int reply_read(struct reply *ret, struct message *m, struct bytes frame,
               const struct proto_limits *limits, struct proto_error *reterr)
{
	const struct msgpack_object *id;
	struct cursor c, why;
	uint64_t status;
	int rc;

	*ret = (struct reply){0};
	rc = message_read(m, frame, limits, reterr);
	rc = rc ? rc : value_array(m->root, "reply", 3, 3, &c, reterr);
	if (rc)
		return rc == -ENOMEM ? rc : -EBADMSG;
	id = cursor_next(&c);
	ret->has_id = !value_is_nil(id);
	if (ret->has_id && value_uint(id, "id", UINT64_MAX, &ret->id, reterr))
		return -EBADMSG;
	if (value_uint(cursor_next(&c), "status", INT32_MAX, &status, reterr))
		return -EBADMSG;
	ret->status = (int)status;
	ret->result = cursor_next(&c);
	ret->raw = third(frame, (size_t)limits->max_elements);
	if (status == STATUS_OK)
		return 0;
	rc = value_array(ret->result, "result", 2, 2, &why, reterr);
	rc = rc ? rc : value_bytes(cursor_next(&why), "code", 0, 64, &ret->code, reterr);
	rc = rc ? rc : value_bytes(cursor_next(&why), "text", 0, UINT32_MAX, &ret->text, reterr);
	return rc ? -EBADMSG : 0;
}

/* -- Results that have a struct of their own ------------------------------------------------ */

void got_write(struct pack *w, const struct got *g)
{
	pack_map(w, 5 + (g->endpoint.n > 0) + (g->lease != 0) + (g->status != 0));
	pack_text(w, "value");
	if (g->found)
		pack_bin(w, g->value);
	else
		pack_nil(w);
	pack_text(w, "outcome");
	pack_text(w, event_outcome_name(g->outcome));
	pack_text(w, "version");
	pack_uint(w, g->version);
	pack_text(w, "age_s");
	pack_num(w, g->age_s);
	pack_text(w, "ttl_s");
	pack_num(w, g->ttl_s);
	if (g->endpoint.n) {
		pack_text(w, "endpoint");
		pack_key(w, g->endpoint);
	}
	if (g->lease) {
		pack_text(w, "lease");
		pack_uint(w, g->lease);
	}
	if (g->status) {
		pack_text(w, "status");
		pack_uint(w, (uint64_t)g->status);
	}
}

static int seconds(const struct msgpack_object *v, const char *field, double *ret,
                   struct proto_error *reterr)
{
	*ret = NAN;
	return value_is_nil(v) ? 0 : value_num(v, field, -MAX_SECONDS, MAX_SECONDS, ret, reterr);
}

int got_read(struct got *ret, const struct msgpack_object *v, const struct proto_limits *limits,
             struct proto_error *reterr)
{
	const struct msgpack_object *x;
	struct bytes outcome;
	uint64_t status = 0;
	struct map m;
	int rc;

	*ret = (struct got){0};
	rc = value_map(v, "result", &m, reterr);
	if (rc)
		return rc;
	x = map_find(&m, "value");
	ret->found = !value_is_nil(x);
	if (ret->found)
		rc = value_bytes(x, "value", 0, (size_t)limits->max_value_bytes, &ret->value,
		                 reterr);
	rc = rc ? rc : value_bytes(map_find(&m, "outcome"), "outcome", 1, 16, &outcome, reterr);
	if (rc)
		return rc;
	while (!bytes_equal(outcome, bytes_str(event_outcome_name(ret->outcome))))
		if (++ret->outcome > EVENT_MISS)
			return proto_fail(reterr, -EBADMSG, "outcome: must be hit, grace or miss");
	rc = value_version(map_find(&m, "version"), "version", &ret->version, reterr);
	rc = rc ? rc : seconds(map_find(&m, "age_s"), "age_s", &ret->age_s, reterr);
	rc = rc ? rc : seconds(map_find(&m, "ttl_s"), "ttl_s", &ret->ttl_s, reterr);
	x = map_find(&m, "endpoint");
	if (!rc && !value_is_nil(x))
		rc = value_bytes(x, "endpoint", 0, UINT32_MAX, &ret->endpoint, reterr);
	x = map_find(&m, "lease");
	if (!rc && !value_is_nil(x))
		rc = value_uint(x, "lease", UINT64_MAX, &ret->lease, reterr);
	x = map_find(&m, "status");
	if (!rc && !value_is_nil(x))
		rc = value_uint(x, "status", INT32_MAX, &status, reterr);
	ret->status = (int)status;
	return rc;
}

void events_write_result(struct pack *w, const struct events *e, size_t accepted, size_t refused)
{
	size_t i, n = e->refused < EVENTS_MAX_SAID ? e->refused : EVENTS_MAX_SAID;

	pack_map(w, 3);
	pack_text(w, "accepted");
	pack_uint(w, accepted);
	pack_text(w, "refused");
	pack_uint(w, refused);
	pack_text(w, "errors");
	pack_array(w, (uint32_t)n);
	for (i = 0; i < n; i++) {
		pack_array(w, 2);
		pack_uint(w, e->said[i].index);
		pack_text(w, e->said[i].why.text);
	}
}
