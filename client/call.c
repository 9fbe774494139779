/* SPDX-License-Identifier: MIT */
#include "client/fc.h"
#include "client/link.h"
#include "proto/reply.h"
#include "proto/row.h"
#include "proto/scan.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int fc_status_error(int status)
{
	switch (status) {
	case STATUS_OK:
		return 0;
	case STATUS_BAD_REQUEST:
		return -EINVAL;
	case STATUS_UNKNOWN_OP:
		return -ENOSYS;
	case STATUS_NOT_FOUND:
		return -ENOENT;
	case STATUS_TOO_BIG:
		return -EMSGSIZE;
	case STATUS_BUSY:
		return -EBUSY;
	case STATUS_LOAD_FAILED:
		return -EIO;
	case STATUS_LEASE_LOST:
		return -ESTALE;
	case STATUS_DENIED:
		return -EACCES;
	case STATUS_UNAVAILABLE:
		return -ENODEV;
	default:
		return -EPROTO;
	}
}

/* Whether a key or endpoint can be right at all; the daemon knows its own limits. */
int fc_check_key(const char *endpoint, const void *key, size_t key_bytes)
{
	if (!key || key_bytes == 0 || key_bytes > BYTES_MAX_KEY ||
	    (endpoint && strlen(endpoint) > BYTES_MAX_KEY))
		return -EINVAL;
	return 0;
}

/* The one place where requests leave the caller's thread. */
static int send_frame(struct fc *fc, struct link *l, uint64_t id, struct pack *w, bool repeat,
                      double timeout_s, void **ret_frame, size_t *ret_bytes)
{
	int rc = pack_status(w);

	if (rc)
		return rc;
	atomic_fetch_add(&fc->requests, 1);
	rc = link_call(l, id, w->p, w->n, repeat, timeout_s, ret_frame, ret_bytes);
	atomic_fetch_add(&fc->timeouts, rc == -ETIMEDOUT);
	return rc;
}

int fc_ask(struct fc *fc, struct request *r, double timeout_s, void **ret_frame, size_t *ret_bytes)
{
	struct link *l = fc_link(fc);
	struct pack w;
	int rc;

	if (!l)
		return -ENOTCONN;
	pack_init(&w, fc->opt.max_reply_bytes);
	r->id = link_next_id(l);
	request_write(&w, r);
	rc = send_frame(fc, l, r->id, &w, r->op == OP_GET || r->op == OP_MGET || r->op == OP_TTL,
	                timeout_s, ret_frame, ret_bytes);
	pack_release(&w);
	return rc;
}

/* A request whose result is of no interest but for one field, if `count` is asked for. */
static int tell(struct fc *fc, struct request *r, uint64_t *ret_count)
{
	struct message m;
	struct reply reply;
	struct map map;
	void *frame;
	size_t bytes;
	int rc = fc_ask(fc, r, fc->opt.timeout_s, &frame, &bytes);

	if (rc)
		return rc;
	message_init(&m);
	rc = reply_read(&reply, &m, bytes_of(frame, bytes), &fc->limits, NULL);
	rc = rc ? rc : fc_status_error(reply.status);
	if (!rc && ret_count) {
		rc = value_map(reply.result, "result", &map, NULL);
		rc = rc ? rc
		        : value_uint(map_find(&map, "count"), "count", UINT64_MAX, ret_count, NULL);
	}
	message_release(&m);
	free(frame);
	return rc == -EBADMSG ? -EPROTO : rc;
}

/* A number of seconds or milliseconds that is no nonsense. */
static bool is_amount(double x)
{
	return isfinite(x) && x >= 0 && x <= 3e12;
}

int fc_set(struct fc *fc, const char *endpoint, const void *key, size_t key_bytes,
           const void *value, size_t value_bytes, const struct fc_set_options *options)
{
	static const struct fc_set_options none;
	const struct fc_set_options *o = options ? options : &none;
	struct request r;
	int rc = fc_check_key(endpoint, key, key_bytes);

	if (rc || (!value && value_bytes) || (options && options->size < sizeof(*o)) ||
	    !is_amount(o->ttl_s) || !is_amount(o->load_ms) || !is_amount(o->read_s))
		return -EINVAL;
	if (value_bytes > fc->opt.max_value_bytes)
		return -EMSGSIZE;
	request_init(&r);
	r.op = OP_SET;
	r.endpoint = bytes_str(endpoint);
	r.key = bytes_of(key, key_bytes);
	r.set.value = bytes_of(value, value_bytes);
	r.set.ttl = span_from_s(o->ttl_s);
	r.set.lease = o->lease;
	r.set.load = span_from_s(o->load_ms * 1e-3);
	r.set.version = o->version;
	r.set.read = o->read_s > 0 ? instant_from_s(o->read_s) : INSTANT_NONE;
	return tell(fc, &r, NULL);
}

int fc_delete(struct fc *fc, const void *key, size_t key_bytes)
{
	struct request r;
	uint64_t n = 0;
	int rc = fc_check_key(NULL, key, key_bytes);

	if (rc)
		return rc;
	request_init(&r);
	r.op = OP_DELETE;
	r.key = bytes_of(key, key_bytes);
	rc = tell(fc, &r, &n);
	return rc ? rc : n ? 0 : -ENOENT;
}

int fc_changed(struct fc *fc, const char *endpoint, const void *key, size_t key_bytes,
               uint64_t version)
{
	struct request r;
	int rc = fc_check_key(endpoint, key, key_bytes);

	if (rc)
		return rc;
	request_init(&r);
	r.op = OP_CHANGED;
	r.endpoint = bytes_str(endpoint);
	r.key = bytes_of(key, key_bytes);
	r.changed.version = version;
	return tell(fc, &r, NULL);
}

int fc_ttl(struct fc *fc, const char *endpoint, const void *key, size_t key_bytes,
           double *ret_ttl_s)
{
	struct row_advice row;
	struct request r;
	struct message m;
	struct reply reply;
	void *frame;
	size_t bytes;
	int rc = fc_check_key(endpoint, key, key_bytes);

	if (rc)
		return rc;
	request_init(&r);
	r.op = OP_TTL;
	r.endpoint = bytes_str(endpoint);
	r.key = bytes_of(key, key_bytes);
	rc = fc_ask(fc, &r, fc->opt.timeout_s, &frame, &bytes);
	if (rc)
		return rc;
	message_init(&m);
	rc = reply_read(&reply, &m, bytes_of(frame, bytes), &fc->limits, NULL);
	rc = rc ? rc : fc_status_error(reply.status);
	rc = rc ? rc : row_read(&row_advice, reply.result, &row, NULL);
	if (!rc && isfinite(row.ttl_s))
		*ret_ttl_s = row.ttl_s;
	else if (!rc)
		rc = -EPROTO;
	message_release(&m);
	free(frame);
	return rc == -EBADMSG ? -EPROTO : rc;
}

int fc_event(struct fc *fc, const struct fc_event *e)
{
	struct event x;

	if (!e || e->size < sizeof(*e) || fc_check_key(e->endpoint, e->key, e->key_bytes) ||
	    (unsigned)e->outcome > FC_EVENT_CHANGED || !is_amount(e->time_s) ||
	    !is_amount(e->load_ms) || e->time_s >= VALUE_MAX_INSTANT_S ||
	    e->load_ms > span_s(EVENT_MAX_LOAD) * 1e3 || e->count > EVENT_MAX_COUNT ||
	    e->value_bytes > (uint64_t)1 << 53)
		return -EINVAL;
	x = (struct event){
	        .at = e->time_s > 0 ? instant_from_s(e->time_s) : INSTANT_NONE,
	        .endpoint = bytes_str(e->endpoint),
	        .key = bytes_of(e->key, e->key_bytes),
	        .outcome = (enum event_outcome)e->outcome,
	        .count = e->count ? e->count : 1,
	        .value_bytes = e->value_bytes,
	        .load = span_from_s(e->load_ms * 1e-3),
	        .version = e->version,
	};
	if (!fc_link(fc))
		outbox_dropped(&fc->outbox, &x, 1);
	else if (outbox_put(&fc->outbox, &x))
		return 0;
	return -ENOBUFS;
}

/* -- Any operation -------------------------------------------------------------------------- */

/* [id, op, args...] from the array args, whose head is cut off. */
static int pack_request(struct pack *w, uint64_t id, const char *op, struct bytes args)
{
	const unsigned char *p = args.p;
	struct cursor c = {0};
	struct message m;
	struct proto_limits limits = proto_limits_default();
	size_t head, n = 0;
	int rc = 0;

	limits.max_frame_bytes = (double)w->limit;
	if (args.n) {
		message_init(&m);
		rc = message_read(&m, args, &limits, NULL);
		rc = rc ? rc : value_array(m.root, "args", 0, 64, &c, NULL);
		message_release(&m);
		n = c.left;
	}
	if (rc)
		return -EINVAL;
	pack_array(w, (uint32_t)(2 + n));
	pack_uint(w, id);
	pack_text(w, op);
	if (n) {
		head = p[0] == 0xdd ? 5 : p[0] == 0xdc ? 3 : 1;
		pack_raw(w, bytes_of(p + head, args.n - head));
	}
	return pack_status(w);
}

static void say(char *buf, size_t n, struct bytes text)
{
	size_t k;

	if (!buf || n == 0)
		return;
	k = text.n < n - 1 ? text.n : n - 1;
	if (k)
		memcpy(buf, text.p, k);
	buf[k] = '\0';
}

int fc_request(struct fc *fc, const char *op, const void *args, size_t args_bytes, double timeout_s,
               void **ret_result, size_t *ret_result_bytes, char *reterr, size_t reterr_bytes)
{
	struct link *l = fc_link(fc);
	struct message m;
	struct reply reply;
	struct pack w;
	void *frame = NULL;
	size_t bytes = 0;
	uint64_t id;
	int rc;

	say(reterr, reterr_bytes, bytes_of(NULL, 0));
	if (!op || !isfinite(timeout_s) || timeout_s < 0 || timeout_s > 86400)
		return -EINVAL;
	if (!l)
		return -ENOTCONN;
	pack_init(&w, fc->opt.max_reply_bytes);
	id = link_next_id(l);
	rc = pack_request(&w, id, op, bytes_of(args, args ? args_bytes : 0));
	if (!rc)
		rc = send_frame(fc, l, id, &w, false, timeout_s > 0 ? timeout_s : fc->opt.timeout_s,
		                &frame, &bytes);
	pack_release(&w);
	if (rc) {
		say(reterr, reterr_bytes, bytes_str(fc_strerror(rc)));
		return rc;
	}
	message_init(&m);
	rc = reply_read(&reply, &m, bytes_of(frame, bytes), &fc->limits, NULL);
	if (rc) {
		rc = -EPROTO;
		say(reterr, reterr_bytes, bytes_str(fc_strerror(rc)));
	} else if (reply.status) {
		rc = fc_status_error(reply.status);
		say(reterr, reterr_bytes, reply.text);
	} else {
		/*
		 * The result is the end of the frame: move it to the front and give the frame away.
		 */
		*ret_result_bytes = reply.raw.n;
		memmove(frame, reply.raw.p, reply.raw.n);
		*ret_result = frame;
		frame = NULL;
	}
	message_release(&m);
	free(frame);
	return rc;
}
