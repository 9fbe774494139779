/* SPDX-License-Identifier: MIT */
#include "client/alone.h"
#include "client/fc.h"
#include "client/link.h"
#include "proto/reply.h"
#include "store/layout.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

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

/* How often a value is read that changes meanwhile, or is of another size each time. */
#define COPIES 8

/* Where n bytes go: room, or new memory. False: they do not fit, or there is none. */
static bool place(struct room room, size_t n, void **ret_data, enum reader_outcome *ret_outcome)
{
	*ret_data = room.p;
	if (room.p && n > room.cap) {
		*ret_outcome = READER_SMALL;
		return false;
	}
	return room.p || (*ret_data = malloc(n ? n : 1));
}

/*
 * The same of a value that is compressed: it is unpacked from a copy that is known to be what was put,
 * as what is in the segment may change at any time.
 */
static bool unpack_frame(const struct store_reader *r, struct lane *mine, struct reader_view *v,
                         struct room room, void **ret_data, enum reader_outcome *ret_outcome)
{
	struct bytes frame = {.n = (size_t)v->value.value_bytes};
	void *copy;
	uint64_t n;

	copy = frame.n ? unpacker_lend(&mine->unpacker, frame.n) : NULL;
	frame.p = copy;
	if (!copy || !store_reader_copy(r, v, copy) ||
	    !packed_bytes(frame, LAYOUT_MAX_VALUE_BYTES, &n))
		return false;
	v->value.value_bytes = n;
	if (!place(room, (size_t)n, ret_data, ret_outcome))
		return false;
	if (unpacker_unpack(&mine->unpacker, frame, *ret_data, n))
		return true;
	if (!room.p)
		free(*ret_data);
	return false;
}

static bool unpack_out(const struct store_reader *r, struct lane *mine, struct reader_view *v,
                       struct room room, void **ret_data, enum reader_outcome *ret_outcome)
{
	bool done = unpack_frame(r, mine, v, room, ret_data, ret_outcome);

	unpacker_trim(&mine->unpacker);
	return done;
}

/*
 * Copies what was found, to room or to new memory. False: it is not what was found any more, or
 * does not fit (*ret_outcome SMALL), or there is no memory.
 */
static bool copy_out(const struct store_reader *r, struct lane *mine, struct reader_view *v,
                     struct room room, void **ret_data, enum reader_outcome *ret_outcome)
{
	if (v->value.packed)
		return unpack_out(r, mine, v, room, ret_data, ret_outcome);
	if (!place(room, (size_t)v->value.value_bytes, ret_data, ret_outcome))
		return false;
	if (store_reader_copy(r, v, *ret_data))
		return true;
	if (!room.p)
		free(*ret_data);
	return false;
}

/* Finds the value and copies it. */
static enum reader_outcome take(const struct store_reader *r, struct lane *mine,
                                const struct reader_key *k, struct instant now, struct room room,
                                struct reader_view *ret, void **ret_data)
{
	enum reader_outcome o, small = READER_MISS;
	int i;

	for (i = 0; i < COPIES; i++) {
		o = store_reader_find(r, k, now, ret);
		if (o == READER_MISS || o == READER_GONE ||
		    copy_out(r, mine, ret, room, ret_data, &small))
			return o;
		/* too small, out of memory, or damaged and nobody is at it */
		if (small == READER_SMALL || store_reader_still(r, ret))
			break;
	}
	return small;
}

static void describe(const struct reader_value *v, struct instant now, enum reader_outcome o,
                     struct fc_value *ret)
{
	ret->bytes = v->value_bytes;
	ret->version = v->version;
	ret->age_s = span_s(instant_diff(now, v->loaded));
	ret->ttl_s =
	        v->soft.us == INT64_MAX ? span_s(SPAN_MAX) : span_s(instant_diff(v->soft, now));
	ret->outcome = o == READER_FRESH ? FC_HIT : FC_GRACE;
}

/* What time it is for the segment, and whether its writer is alive. */
static struct instant look_at_clock(struct fc *fc, struct lane *mine, const struct segment_map *m,
                                    bool *ret_alive)
{
	struct instant now;
	struct span silence;

	uint64_t counter = lane_counter();

	if (counter - mine->counter >= LANE_CLOCK_TICKS) {
		mine->counter = counter;
		mine->boottime_us = fc_boottime_us();
	}
	store_reader_clock(&m->reader, mine->boottime_us, &mine->clock, &now, &silence);
	*ret_alive = silence.us <= fc->silence_us;
	return now;
}

/* What nobody would tell a change of any more is past its time. */
static enum reader_outcome unless_pushed(enum reader_outcome o, const struct reader_value *v,
                                         bool alive)
{
	return (o == READER_FRESH || o == READER_GRACE) && v->pushed && !alive ? READER_STALE : o;
}

static struct seen look_at(struct fc *fc, struct lane *mine, const struct segment_map *m,
                           struct bytes key, struct room room, struct fc_value *ret)
{
	const struct reader_key k = store_reader_key(&m->reader, key);
	struct seen seen = {READER_GONE, false};
	struct reader_view v;
	struct instant now;
	void *data = NULL;

	now = look_at_clock(fc, mine, m, &seen.alive);
	seen.outcome = take(&m->reader, mine, &k, now, room, &v, &data);
	segment_drop(mine);
	if (seen.outcome == READER_MISS || seen.outcome == READER_GONE)
		return seen;
	seen.outcome = unless_pushed(seen.outcome, &v.value, seen.alive);
	ret->data = data;
	describe(&v.value, now, seen.outcome, ret);
	return seen;
}

static struct seen look_into(struct fc *fc, struct lane *mine, struct bytes key, struct room room,
                             struct fc_value *ret)
{
	struct segment_map *m = mine ? segment_hold(&fc->segment, mine) : NULL;
	struct seen seen = {READER_GONE, false};

	if (m)
		seen = look_at(fc, mine, m, key, room, ret);
	/*
	 * The daemon has started anew. Its segment is whole before its sockets answer, so that
	 * asking it instead would load what is there.
	 */
	if (m && seen.outcome == READER_GONE && segment_renew(&fc->segment, m)) {
		m = segment_hold(&fc->segment, mine);
		if (m)
			seen = look_at(fc, mine, m, key, room, ret);
	}
	return seen;
}

static struct seen look(struct fc *fc, struct bytes key, struct fc_value *ret)
{
	return look_into(fc, lanes_mine(&fc->lanes), key, (struct room){0}, ret);
}

/* -- Counting ------------------------------------------------------------------------------- */

static void count(struct lane *mine, const struct fc_value *v)
{
	if (!mine)
		return;
	lane_add(v->outcome == FC_HIT     ? &mine->hits
	         : v->outcome == FC_GRACE ? &mine->grace
	                                  : &mine->misses,
	         1);
}

static void count_gets(struct fc *fc, uint64_t n)
{
	struct lane *mine = lanes_mine(&fc->lanes);

	if (mine)
		lane_add(&mine->gets, n);
}

/* Of many hits, some are told for the others; of grace and misses each counts. */
static void count_segment(struct fc *fc, struct lane *mine, const char *endpoint, struct bytes key,
                          const struct fc_value *v)
{
	uint32_t weight = 1;

	count(mine, v);
	lane_add(&mine->segment_reads, 1);
	if (v->outcome == FC_HIT)
		weight = sample_hit(&mine->sample,
		                    atomic_load_explicit(&fc->flushes, memory_order_relaxed));
	if (weight)
		fc_note(fc, endpoint, key,
		        v->outcome == FC_HIT     ? EVENT_HIT
		        : v->outcome == FC_GRACE ? EVENT_GRACE
		                                 : EVENT_MISS,
		        weight, v->bytes, v->version);
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
	struct lane *mine = lanes_mine(&fc->lanes);
	struct seen seen;
	int rc = check(endpoint, key, ret);

	if (rc)
		return rc;
	seen = look_into(fc, mine, key, (struct room){0}, ret);
	if (mine)
		lane_add(&mine->gets, 1);
	if (seen.outcome == READER_GONE) {
		rc = ask(fc, endpoint, key, MODE_PEEK, fc->opt.timeout_s, ret);
		count(mine, ret);
		return rc;
	}
	if (seen.outcome == READER_STALE || (seen.outcome == READER_GRACE && !seen.alive))
		forget(ret);
	count_segment(fc, mine, endpoint, key, ret);
	return ret->data ? 0 : -ENOENT;
}

int fc_get_into(struct fc *fc, const char *endpoint, const void *key_p, size_t key_bytes,
                unsigned flags, void *buf, size_t cap, struct fc_value *ret)
{
	struct bytes key = bytes_of(key_p, key_bytes);
	struct lane *mine = lanes_mine(&fc->lanes);
	struct seen seen;
	int rc = check(endpoint, key, ret);

	if (rc || !buf)
		return rc ? rc : -EINVAL;
	seen = look_into(fc, mine, key, (struct room){buf, cap}, ret);
	if (seen.outcome == READER_SMALL) {
		ret->data = NULL;
		return -ERANGE;
	}
	if (seen.outcome != READER_FRESH && !(seen.outcome == READER_GRACE && seen.alive))
		*ret = (struct fc_value){.age_s = NAN, .ttl_s = NAN, .outcome = FC_MISS};
	if (seen.outcome == READER_GONE)
		return -EAGAIN;
	if ((flags & FC_ONLY_FRESH) && ret->outcome != FC_HIT) {
		*ret = (struct fc_value){.age_s = NAN, .ttl_s = NAN, .outcome = FC_MISS};
		return -ENOENT;
	}
	lane_add(&mine->gets, 1);
	count_segment(fc, mine, endpoint, key, ret);
	return ret->data ? 0 : -ENOENT;
}

/* -- In place ------------------------------------------------------------------------------- */

/* What fc_view.reserved holds. */
struct peeked {
	struct segment_map *map;
	const void *bucket;
	uint64_t seq;
};
_Static_assert(sizeof(struct peeked) <= sizeof(((struct fc_view *)0)->reserved), "it fits");

/* Finds the value and looks whether it is whole. */
static enum reader_outcome find_whole(const struct store_reader *r, const struct reader_key *k,
                                      struct instant now, struct reader_view *ret)
{
	enum reader_outcome o;
	int i;

	for (i = 0; i < COPIES; i++) {
		o = store_reader_find(r, k, now, ret);
		if (o == READER_MISS || o == READER_GONE || store_reader_check(r, ret))
			return o;
		if (store_reader_still(r, ret))
			break; /* damaged */
	}
	return READER_MISS;
}

int fc_peek(struct fc *fc, const char *endpoint, const void *key_p, size_t key_bytes,
            unsigned flags, struct fc_view *ret)
{
	struct bytes key = bytes_of(key_p, key_bytes);
	struct lane *mine = lanes_mine(&fc->lanes);
	struct fc_value seen;
	struct segment_map *m;
	struct reader_key k;
	struct reader_view v;
	struct peeked p;
	struct instant now;
	enum reader_outcome o;
	bool alive, packed;
	int rc = ret ? check(endpoint, key, &seen) : -EINVAL;

	if (rc)
		return rc;
	*ret = (struct fc_view){.age_s = NAN, .ttl_s = NAN, .outcome = FC_MISS};
	m = mine ? segment_hold(&fc->segment, mine) : NULL;
	if (!m)
		return -EAGAIN;
	k = store_reader_key(&m->reader, key);
	now = look_at_clock(fc, mine, m, &alive);
	o = find_whole(&m->reader, &k, now, &v);
	packed = o != READER_MISS && o != READER_GONE && v.value.packed;
	if (o != READER_MISS && o != READER_GONE)
		o = unless_pushed(o, &v.value, alive);
	if (!packed &&
	    (o == READER_FRESH || (o == READER_GRACE && alive && !(flags & FC_ONLY_FRESH)))) {
		segment_pin(m);
		describe(&v.value, now, o, &seen);
	}
	segment_drop(mine);
	if (o == READER_GONE) {
		segment_renew(&fc->segment, m);
		return -EAGAIN;
	}
	if (packed)
		return -EAGAIN; /* it is not there as it is */
	if ((flags & FC_ONLY_FRESH) && seen.outcome != FC_HIT)
		return -ENOENT;
	lane_add(&mine->gets, 1);
	count_segment(fc, mine, endpoint, key, &seen);
	if (seen.outcome == FC_MISS)
		return -ENOENT;
	p = (struct peeked){m, v.bucket, v.seq};
	memcpy(ret->reserved, &p, sizeof(p));
	ret->data = v.data;
	ret->bytes = seen.bytes;
	ret->version = seen.version;
	ret->age_s = seen.age_s;
	ret->ttl_s = seen.ttl_s;
	ret->outcome = seen.outcome;
	return 0;
}

int fc_peek_valid(struct fc *fc, struct fc_view *view)
{
	struct reader_view v = {0};
	struct peeked p;
	int valid;

	(void)fc;
	if (!view || !view->data)
		return 0;
	memcpy(&p, view->reserved, sizeof(p));
	v.bucket = p.bucket;
	v.seq = (uint32_t)p.seq;
	valid = store_reader_still(&p.map->reader, &v);
	segment_unpin(p.map);
	*view = (struct fc_view){.age_s = NAN, .ttl_s = NAN, .outcome = FC_MISS};
	return valid;
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
	/* not vec_push, which ends the process when there is no memory */
	r.pair.v = calloc(n, sizeof(*r.pair.v));
	if (!r.pair.v)
		return -ENOMEM;
	r.pair.n = r.pair.cap = n;
	for (i = 0; i < n; i++)
		r.pair.v[i].key = bytes_of(keys[i], key_bytes[i]);
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
	struct lane *mine = lanes_mine(&fc->lanes);
	int rc = 0;

	for (i = 0; i < n; i++) {
		rc = check(endpoint, bytes_of(keys[i], key_bytes[i]), &ret[i]);
		if (rc) {
			memset(ret, 0, n * sizeof(*ret));
			return rc;
		}
	}
	if (mine && segment_hold(&fc->segment, mine)) {
		segment_drop(mine);
		for (i = 0; i < n; i++)
			ret[i].error = fc_get(fc, endpoint, keys[i], key_bytes[i], &ret[i]);
		return 0;
	}
	for (at = 0; at < n && !rc; at += part)
		rc = ask_many(fc, endpoint, keys + at, key_bytes + at,
		              n - at < part ? n - at : part, ret + at);
	count_gets(fc, n);
	for (i = 0; i < n; i++) {
		if (rc && !ret[i].data)
			ret[i].error = rc;
		count(mine, &ret[i]);
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
	/*
	 * No lease says when: and the message may wait. Of another host's clock nothing is known.
	 */
	if (segment_here(&fc->segment))
		set.read_s = (double)fc_wall_us() * 1e-6;
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
	struct lane *mine = lanes_mine(&fc->lanes);
	struct seen seen;
	int rc = check(endpoint, key, ret);

	if (rc)
		return rc;
	count_gets(fc, 1);
	seen = look(fc, key, ret);
	if (seen.outcome == READER_FRESH) {
		count_segment(fc, mine, endpoint, key, ret);
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
	count(mine, ret);
	return rc;
}
