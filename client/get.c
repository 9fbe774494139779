/* SPDX-License-Identifier: MIT */
#include "client/alone.h"
#include "client/fc.h"
#include "client/link.h"
#include "proto/reply.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Most values are smaller: they are read into the stack and copied to memory of just their size. */
#define SMALL_BYTES 4096

static int check(const char *endpoint, struct bytes key, struct fc_value *ret)
{
	if (!ret)
		return -EINVAL;
	*ret = (struct fc_value){.age_s = NAN, .ttl_s = NAN, .outcome = FC_MISS};
	return fc_check_key(endpoint, key.p, key.n);
}

/* -- The segment ---------------------------------------------------------------------------- */

/* Where a value goes. */
struct room {
	void *p; /* NULL: memory of just its size is allocated */
	uint64_t cap;
};

/* What the segment says of a key. */
struct seen {
	enum reader_outcome
	        outcome; /* SMALL: room is given and too small; GONE: there is no segment */
	bool alive;      /* the daemon's heartbeat is recent */
};

static enum reader_outcome copy_out(const struct store_reader *r, struct bytes key,
                                    struct instant now, struct reader_value *ret, void **ret_data)
{
	enum reader_outcome o;
	char small[SMALL_BYTES];
	void *p = NULL;
	int tries;

	o = store_reader_get(r, key, now, small, sizeof(small), ret);
	if (o == READER_FRESH || o == READER_GRACE || o == READER_STALE) {
		p = malloc(ret->value_bytes ? ret->value_bytes : 1);
		if (!p)
			return READER_MISS;
		memcpy(p, small, ret->value_bytes);
		*ret_data = p;
		return o;
	}
	for (tries = 0; o == READER_SMALL && tries < 4; tries++) { /* it may grow meanwhile */
		uint64_t cap = ret->value_bytes;

		free(p);
		p = malloc(cap);
		if (!p)
			return READER_MISS;
		o = store_reader_get(r, key, now, p, cap, ret);
	}
	if (o == READER_FRESH || o == READER_GRACE || o == READER_STALE) {
		*ret_data = p;
		return o;
	}
	free(p);
	return o == READER_SMALL ? READER_MISS : o;
}

static struct seen look_at(struct fc *fc, struct segment_map *m, struct bytes key, struct room room,
                           struct fc_value *ret)
{
	struct seen seen = {READER_GONE, false};
	struct reader_value v;
	struct instant now;
	int64_t boottime;

	boottime = fc_boottime_us();
	now = store_reader_now(&m->reader, boottime);
	seen.alive = span_s(store_reader_silence(&m->reader, boottime)) <= fc->opt.silence_s;
	ret->data = room.p;
	seen.outcome = room.p ? store_reader_get(&m->reader, key, now, room.p, room.cap, &v)
	                      : copy_out(&m->reader, key, now, &v, &ret->data);
	segment_drop(m);
	/* nobody would tell of its change any more */
	if ((seen.outcome == READER_FRESH || seen.outcome == READER_GRACE) && v.pushed &&
	    !seen.alive)
		seen.outcome = READER_STALE;
	if (seen.outcome == READER_MISS || seen.outcome == READER_GONE)
		return seen;
	ret->bytes = v.value_bytes;
	ret->version = v.version;
	ret->age_s = span_s(instant_diff(now, v.loaded));
	ret->ttl_s = v.soft.us == INT64_MAX ? span_s(SPAN_MAX) : span_s(instant_diff(v.soft, now));
	ret->outcome = seen.outcome == READER_FRESH ? FC_HIT : FC_GRACE;
	return seen;
}

static struct seen look_into(struct fc *fc, struct bytes key, struct room room,
                             struct fc_value *ret)
{
	struct segment_map *m = segment_hold(&fc->segment);
	struct seen seen = {READER_GONE, false};

	if (m)
		seen = look_at(fc, m, key, room, ret);
	/*
	 * The daemon has started anew. Its segment is whole before its sockets answer, so that
	 * asking it instead would load what is there.
	 */
	if (m && seen.outcome == READER_GONE && segment_renew(&fc->segment, m)) {
		m = segment_hold(&fc->segment);
		if (m)
			seen = look_at(fc, m, key, room, ret);
	}
	return seen;
}

static struct seen look(struct fc *fc, struct bytes key, struct fc_value *ret)
{
	return look_into(fc, key, (struct room){0}, ret);
}

/* -- Counting ------------------------------------------------------------------------------- */

static void count(struct fc *fc, const struct fc_value *v)
{
	atomic_fetch_add_explicit(v->outcome == FC_HIT     ? &fc->hits
	                          : v->outcome == FC_GRACE ? &fc->grace
	                                                   : &fc->misses,
	                          1, memory_order_relaxed);
}

static void count_segment(struct fc *fc, const char *endpoint, struct bytes key,
                          const struct fc_value *v)
{
	count(fc, v);
	atomic_fetch_add_explicit(&fc->segment_reads, 1, memory_order_relaxed);
	fc_note(fc, endpoint, key,
	        v->outcome == FC_HIT     ? EVENT_HIT
	        : v->outcome == FC_GRACE ? EVENT_GRACE
	                                 : EVENT_MISS,
	        v->bytes, v->version);
}

/* Takes back what was found: the caller is to see a miss. */
static void forget(struct fc_value *v)
{
	fc_value_release(v);
	v->age_s = v->ttl_s = NAN;
	v->outcome = FC_MISS;
}

void fc_value_release(struct fc_value *v)
{
	if (!v)
		return;
	free(v->data);
	*v = (struct fc_value){.outcome = FC_MISS};
}

/* -- The daemon ----------------------------------------------------------------------------- */

static int take_got(const struct got *g, struct fc_value *ret)
{
	ret->version = g->version;
	ret->age_s = g->age_s;
	ret->ttl_s = g->ttl_s;
	ret->lease = g->lease;
	ret->outcome = g->outcome == EVENT_HIT     ? FC_HIT
	               : g->outcome == EVENT_GRACE ? FC_GRACE
	                                           : FC_MISS;
	if (!g->found)
		return g->lease ? 0 : g->status ? fc_status_error(g->status) : -ENOENT;
	ret->data = malloc(g->value.n ? g->value.n : 1);
	if (!ret->data)
		return -ENOMEM;
	if (g->value.n)
		memcpy(ret->data, g->value.p, g->value.n);
	ret->bytes = g->value.n;
	return 0;
}

/* 0: a value, or a lease. -ENOENT: neither. */
static int ask(struct fc *fc, const char *endpoint, struct bytes key, enum request_mode mode,
               double wait_s, struct fc_value *ret)
{
	struct request r;
	struct message m;
	struct reply reply;
	struct got g;
	void *frame;
	size_t bytes;
	int rc;

	request_init(&r);
	r.op = OP_GET;
	r.key = key;
	r.endpoint = bytes_str(endpoint);
	r.get.mode = mode;
	rc = fc_ask(fc, &r, wait_s, &frame, &bytes);
	if (rc)
		return rc;
	message_init(&m);
	rc = reply_read(&reply, &m, bytes_of(frame, bytes), &fc->limits, NULL);
	if (!rc)
		rc = fc_status_error(reply.status);
	if (!rc)
		rc = got_read(&g, reply.result, &fc->limits, NULL);
	if (!rc)
		rc = take_got(&g, ret);
	message_release(&m);
	free(frame);
	return rc;
}

int fc_get(struct fc *fc, const char *endpoint, const void *key_p, size_t key_bytes,
           struct fc_value *ret)
{
	struct bytes key = bytes_of(key_p, key_bytes);
	struct seen seen;
	int rc = check(endpoint, key, ret);

	if (rc)
		return rc;
	atomic_fetch_add_explicit(&fc->gets, 1, memory_order_relaxed);
	seen = look(fc, key, ret);
	if (seen.outcome == READER_GONE) {
		rc = ask(fc, endpoint, key, MODE_PEEK, fc->opt.timeout_s, ret);
		count(fc, ret);
		return rc;
	}
	if (seen.outcome == READER_STALE || (seen.outcome == READER_GRACE && !seen.alive))
		forget(ret);
	count_segment(fc, endpoint, key, ret);
	return ret->data ? 0 : -ENOENT;
}

int fc_peek(struct fc *fc, const char *endpoint, const void *key_p, size_t key_bytes,
            unsigned flags, void *buf, size_t cap, struct fc_value *ret)
{
	struct bytes key = bytes_of(key_p, key_bytes);
	struct seen seen;
	int rc = check(endpoint, key, ret);

	if (rc || !buf)
		return rc ? rc : -EINVAL;
	seen = look_into(fc, key, (struct room){buf, cap}, ret);
	if (seen.outcome == READER_SMALL) {
		ret->data = NULL;
		return -ERANGE;
	}
	if (seen.outcome != READER_FRESH && !(seen.outcome == READER_GRACE && seen.alive))
		*ret = (struct fc_value){.age_s = NAN, .ttl_s = NAN, .outcome = FC_MISS};
	if (seen.outcome == READER_GONE)
		return -EAGAIN;
	if ((flags & FC_PEEK_FRESH) && ret->outcome != FC_HIT) {
		*ret = (struct fc_value){.age_s = NAN, .ttl_s = NAN, .outcome = FC_MISS};
		return -ENOENT;
	}
	atomic_fetch_add_explicit(&fc->gets, 1, memory_order_relaxed);
	count_segment(fc, endpoint, key, ret);
	return ret->data ? 0 : -ENOENT;
}

/* -- Many ----------------------------------------------------------------------------------- */

/* Without a segment all keys go in one request. */
static int ask_many(struct fc *fc, const char *endpoint, const void *const *keys,
                    const size_t *key_bytes, size_t n, struct fc_value *ret)
{
	struct request r;
	struct message m;
	struct reply reply;
	struct cursor c = {0};
	void *frame = NULL;
	size_t bytes = 0, i;
	int rc;

	request_init(&r);
	r.op = OP_MGET;
	r.endpoint = bytes_str(endpoint);
	r.get.mode = MODE_PEEK;
	for (i = 0; i < n; i++)
		*vec_push(&r.pair) = (struct request_pair){bytes_of(keys[i], key_bytes[i]), {0}};
	rc = fc_ask(fc, &r, fc->opt.timeout_s, &frame, &bytes);
	request_release(&r);
	if (rc)
		return rc;
	message_init(&m);
	rc = reply_read(&reply, &m, bytes_of(frame, bytes), &fc->limits, NULL);
	rc = rc ? rc : fc_status_error(reply.status);
	rc = rc ? rc : value_array(reply.result, "result", n, n, &c, NULL);
	for (i = 0; i < n && !rc; i++) {
		struct got g;

		rc = got_read(&g, cursor_next(&c), &fc->limits, NULL);
		if (!rc)
			ret[i].error = take_got(&g, &ret[i]);
	}
	message_release(&m);
	free(frame);
	return rc;
}

int fc_mget(struct fc *fc, const char *endpoint, const void *const *keys, const size_t *key_bytes,
            size_t n, struct fc_value *ret)
{
	size_t i, at, part = (size_t)fc->limits.max_keys;
	struct segment_map *m;
	int rc = 0;

	for (i = 0; i < n; i++) {
		rc = check(endpoint, bytes_of(keys[i], key_bytes[i]), &ret[i]);
		if (rc) {
			memset(ret, 0, n * sizeof(*ret));
			return rc;
		}
	}
	m = segment_hold(&fc->segment);
	if (m) {
		segment_drop(m);
		for (i = 0; i < n; i++)
			ret[i].error = fc_get(fc, endpoint, keys[i], key_bytes[i], &ret[i]);
		return 0;
	}
	for (at = 0; at < n && !rc; at += part)
		rc = ask_many(fc, endpoint, keys + at, key_bytes + at,
		              n - at < part ? n - at : part, ret + at);
	atomic_fetch_add_explicit(&fc->gets, n, memory_order_relaxed);
	for (i = 0; i < n; i++) {
		if (rc && !ret[i].data)
			ret[i].error = rc;
		count(fc, &ret[i]);
	}
	return 0;
}

/* -- Get or load ---------------------------------------------------------------------------- */

/* Runs fn. 0: *ret is the new value. */
static int load(struct fc *fc, struct bytes key, fc_load_fn *fn, void *arg, double *ret_load_ms,
                double *ret_origin_ttl_s, struct fc_value *ret)
{
	struct fc_loaded got = {0};
	int64_t start = fc_monotonic_us();
	int rc = fn(arg, key.p, key.n, &got);

	atomic_fetch_add(&fc->loads, 1);
	if (rc) {
		atomic_fetch_add(&fc->load_errors, rc != -ENOENT);
		free(got.data);
		return rc < 0 ? rc : -EIO;
	}
	free(ret->data);
	*ret = (struct fc_value){.data = got.data ? got.data : calloc(1, 1),
	                         .bytes = got.bytes,
	                         .version = got.version,
	                         .outcome = FC_MISS};
	*ret_load_ms = (double)(fc_monotonic_us() - start) * 1e-3;
	*ret_origin_ttl_s = got.ttl_s > 0 ? got.ttl_s : 0;
	ret->age_s = *ret_load_ms * 1e-3;
	ret->ttl_s = *ret_origin_ttl_s;
	return ret->data ? 0 : -ENOMEM;
}

/* After a failed load: the old value, if there is one that is not too old for anything. */
static int old_value(struct fc *fc, struct bytes key, int rc, struct fc_value *ret)
{
	struct seen seen;

	if (rc == -ENOENT) { /* the origin answered: there is no such thing any more */
		forget(ret);
		return rc;
	}
	forget(ret);
	seen = look(fc, key, ret);
	if (seen.outcome == READER_MISS || seen.outcome == READER_GONE)
		return rc;
	return 0;
}

/* Tells the daemon that nothing will come of a lease: those who wait for it need not. */
static void give_up(struct fc *fc, const char *endpoint, struct bytes key, uint64_t lease)
{
	struct request r;
	void *frame;
	size_t bytes;

	if (!lease)
		return;
	request_init(&r);
	r.op = OP_LEASE;
	r.key = key;
	r.endpoint = bytes_str(endpoint);
	r.get.failed = lease;
	if (!fc_ask(fc, &r, fc->opt.timeout_s, &frame, &bytes))
		free(frame);
}

/* Loads with the daemon's leave, and gives it the value. */
static int load_leased(struct fc *fc, const char *endpoint, struct bytes key, fc_load_fn *fn,
                       void *arg, struct fc_value *ret)
{
	struct fc_set_options set = {.size = sizeof(set), .lease = ret->lease};
	int rc;

	/*
	 * When the origin is read counts: the daemon's own clock says when, as the load time is
	 * told.
	 */
	rc = load(fc, key, fn, arg, &set.load_ms, &set.ttl_s, ret);
	if (rc) {
		give_up(fc, endpoint, key, set.lease);
		return old_value(fc, key, rc, ret);
	}
	set.version = ret->version;
	/* Whatever becomes of it, the caller has its value. */
	(void)fc_set(fc, endpoint, key.p, key.n, ret->data, ret->bytes, &set);
	return 0;
}

/*
 * Without a daemon: one process of the host loads. came_us: when the caller came, CLOCK_BOOTTIME.
 */
static int load_alone(struct fc *fc, struct bytes key, fc_load_fn *fn, void *arg, int64_t came_us,
                      struct fc_value *ret)
{
	struct alone a;
	double load_ms, ttl_s;
	int rc;

	forget(ret);
	if (alone_begin(&a, fc, key, fc->opt.load_wait_s, came_us, true, ret))
		return 0;
	rc = load(fc, key, fn, arg, &load_ms, &ttl_s, ret);
	alone_end(&a, key, rc ? NULL : ret);
	return rc ? old_value(fc, key, rc, ret) : 0;
}

/*
 * The daemon is there, but did not give leave in time. Many callers may have waited for the same
 * lease, and their time ends together: one of the host's loads, and tells the daemon as well.
 */
static int load_unleased(struct fc *fc, const char *endpoint, struct bytes key, fc_load_fn *fn,
                         void *arg, int64_t came_us, struct fc_value *ret)
{
	struct fc_set_options set = {.size = sizeof(set)};
	struct alone a;
	int rc;

	forget(ret);
	if (look(fc, key, ret).outcome == READER_FRESH)
		return 0;
	forget(ret);
	if (alone_begin(&a, fc, key, fc->opt.load_wait_s, came_us, false, ret))
		return 0;
	rc = load(fc, key, fn, arg, &set.load_ms, &set.ttl_s, ret);
	alone_end(&a, key, rc ? NULL : ret);
	if (rc)
		return old_value(fc, key, rc, ret);
	set.version = ret->version;
	(void)fc_set(fc, endpoint, key.p, key.n, ret->data, ret->bytes, &set);
	return 0;
}

int fc_get_or_load(struct fc *fc, const char *endpoint, const void *key_p, size_t key_bytes,
                   fc_load_fn *fn, void *arg, struct fc_value *ret)
{
	struct bytes key = bytes_of(key_p, key_bytes);
	double wait_s = fn ? fc->opt.load_wait_s : fc->opt.timeout_s;
	int64_t came_us = fc_boottime_us();
	struct seen seen;
	int rc = check(endpoint, key, ret);

	if (rc)
		return rc;
	atomic_fetch_add_explicit(&fc->gets, 1, memory_order_relaxed);
	seen = look(fc, key, ret);
	if (seen.outcome == READER_FRESH) {
		count_segment(fc, endpoint, key, ret);
		return 0;
	}
	forget(ret);
	rc = -ENOTCONN;
	if (seen.alive || seen.outcome == READER_GONE)
		rc = ask(fc, endpoint, key, fn ? MODE_LEASE : MODE_LOAD, wait_s, ret);
	if (fn && !rc && ret->lease)
		rc = load_leased(fc, endpoint, key, fn, arg, ret);
	else if (fn && rc == -ENOTCONN)
		rc = load_alone(fc, key, fn, arg, came_us, ret);
	else if (fn && (rc == -ETIMEDOUT || rc == -EBUSY))
		rc = load_unleased(fc, endpoint, key, fn, arg, came_us, ret);
	else if (fn && rc == -EIO) {
		/* who had the lease could not load: no need to try as well */
		rc = old_value(fc, key, rc, ret);
	} else if (fn && rc && rc != -EINVAL) {
		/* a value that the daemon must not keep: load for this caller alone */
		ret->lease = 0;
		rc = load_leased(fc, endpoint, key, fn, arg, ret);
	} else if (!fn && rc == -ENOTCONN) {
		rc = old_value(fc, key, rc, ret); /* who would load is not there */
	} else if (!fn && !rc && ret->lease) {
		forget(ret);
		rc = -ENOENT;
	}
	ret->lease = 0;
	count(fc, ret);
	return rc;
}
