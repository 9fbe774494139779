/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Commands about one string, or several: GET, SET, INCR and their like. */
#include "daemon/resp_conn.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- GET -------------------------------------------------------------------------------------- */

/* The engine has loaded what was asked for, or could not. */
static void on_loaded(struct daemon *d, void *arg, uint32_t part, const struct effect *f)
{
	struct resp_conn *c = arg;
	struct plain_value v;
	uint64_t lease = 0;
	size_t before;

	(void)d;
	(void)part;
	c->tickets--;
	c->waits = false;
	resp_conn_ready(c); /* which frees it in the end, should it be closed by now */
	if (c->dead) {
		if (f->reply.status == REPLY_LEASE)
			*vec_push(&c->r->lost) = f->reply.lease;
		return;
	}
	before = c->w->n;
	switch (f->reply.status) {
	case REPLY_OK:
		/* had it been told to load that once, somebody else has */
		resp_load_time(c, resp_key_shown(f->key));
		v = (struct plain_value){.value = f->reply.value, .packed = f->reply.packed};
		if (resp_unpack(c, &v))
			resp_bulk(c->w, v.value);
		else
			resp_null(c->w);
		break;
	case REPLY_LEASE: /* whoever was to load it has gone: now this one is */
		lease = f->reply.lease;
		/* fallthrough */
	case REPLY_ERROR:
	case REPLY_ABSENT:
	case REPLY_LEASE_LOST:
	case REPLY_TOO_BIG:
	case REPLY_BUSY:
		/*
		 * a cache that has nothing has nothing: the app loads by itself, from now on
		 */
		if (f->key.n)
			resp_missed(c, resp_key_shown(f->key), lease);
		resp_null(c->w);
		break;
	}
	resp_late(c, before);
}

/* The value of a key for a client that asks for it, as it is kept: counted, and under the rules. */
static bool look(struct resp_conn *c, struct bytes key, struct plain_value *ret)
{
	struct daemon *d = c->r->d;
	uint64_t lease = resp_lease(c, key);
	enum plain_got got =
	        plain_get(d->engine, resp_now(c), resp_key(c, key), lease, ret, &d->fx);

	daemon_effects(d);
	if (!c->r->learning)
		resp_learn_soon(c->r);
	if (got == PLAIN_HIT) {
		c->r->n_hits++;
		return true;
	}
	c->r->n_misses++;
	resp_missed(c, key, got == PLAIN_MISS ? ret->lease : 0);
	return false;
}

void resp_do_get(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct daemon *d = c->r->d;
	struct bytes key = resp_key(c, arg[1]);
	uint64_t lease = resp_lease(c, arg[1]);
	struct plain_value v;
	struct input in;

	(void)n;
	switch (plain_get(d->engine, resp_now(c), key, lease, &v, &d->fx)) {
	case PLAIN_HIT:
		c->r->n_hits++;
		resp_value(c, &v);
		break;
	case PLAIN_MISS:
		c->r->n_misses++;
		resp_missed(c, arg[1], v.lease);
		resp_null(c->w);
		break;
	case PLAIN_WAIT:
		c->r->n_misses++;
		if (c->in_exec) {
			resp_missed(c, arg[1], 0);
			resp_null(c->w);
			break;
		}
		c->tickets++;
		c->waits = true;
		plain_wait(d->engine, v.id, daemon_ticket(d, on_loaded, c, 0), &d->fx);
		break;
	case PLAIN_ASK:
		c->r->n_misses++;
		if (c->in_exec) { /* nothing waits in a transaction */
			resp_missed(c, arg[1], 0);
			resp_null(c->w);
			break;
		}
		in = (struct input){.kind = INPUT_GET, .key = key, .get.mode = GET_LOAD};
		c->tickets++;
		c->waits = true;
		in.ticket = daemon_ticket(d, on_loaded, c, 0);
		daemon_effects(d);
		daemon_input(d, &in);
		return;
	}
	daemon_effects(d);
	if (!c->r->learning)
		resp_learn_soon(c->r);
}

void resp_do_mget(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	size_t most = c->w->n + resp_owed_bytes(c) + (size_t)c->r->set.output_bytes;
	struct plain_value v;

	resp_array(c->w, n - 1);
	for (size_t i = 1; i < n; i++) {
		/* beyond that the connection is closed, whatever the rest is */
		if (c->w->n + resp_owed_bytes(c) <= most && look(c, arg[i], &v))
			resp_value(c, &v);
		else
			resp_null(c->w);
	}
}

void resp_do_strlen(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct plain_value v;

	(void)n;
	resp_number(c->w, resp_find(c, arg[1], &v) ? (int64_t)v.bytes : 0);
}

void resp_do_getrange(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct plain_value v;
	int64_t from, to, len;

	(void)n;
	if (!resp_want_int(c, arg[2], &from) || !resp_want_int(c, arg[3], &to))
		return;
	len = resp_find_value(c, arg[1], &v) ? (int64_t)v.value.n : 0;
	if (from < 0 && to < 0 && from > to)
		len = 0;
	from = from < 0 ? from + len : from;
	to = to < 0 ? to + len : to;
	from = from < 0 ? 0 : from;
	to = to < 0 ? 0 : to;
	to = to >= len ? len - 1 : to;
	if (from > to || !len)
		resp_bulk(c->w, bytes_of(NULL, 0));
	else
		resp_bulk(c->w, bytes_of((const char *)v.value.p + from, (size_t)(to - from + 1)));
}

/* -- SET -------------------------------------------------------------------------------------- */

enum unit { NO_TIME, IN_S, IN_MS, AT_S, AT_MS };

/*
 * The end that "EX 10" and the like stand for. False after an error reply. A time that has passed
 * is no error here.
 */
static bool end_of(struct resp_conn *c, enum unit unit, struct bytes arg, const char *command,
                   struct instant *ret)
{
	int64_t v, now = resp_wall_ms(c, resp_now(c));

	if (!resp_want_int(c, arg, &v))
		return false;
	if (v <= 0 || ((unit == IN_S || unit == AT_S) && v > INT64_MAX / 1000))
		goto wrong;
	if (unit == IN_S || unit == AT_S)
		v *= 1000;
	if (unit == IN_S || unit == IN_MS) {
		if (v > INT64_MAX - now)
			goto wrong;
		/* from this very instant: the millisecond that has begun is not lost */
		*ret = instant_min(
		        instant_add(resp_now(c),
		                    (struct span){v > INT64_MAX / 4000 ? INT64_MAX / 4 : v * 1000}),
		        resp_from_wall_ms(c, INT64_MAX));
		return true;
	}
	*ret = resp_from_wall_ms(c, v);
	return true;
wrong:
	resp_error(c->w, "ERR invalid expire time in '%s' command", command);
	return false;
}

static enum unit unit_of(struct bytes arg)
{
	return resp_is(arg, "ex")     ? IN_S
	       : resp_is(arg, "px")   ? IN_MS
	       : resp_is(arg, "exat") ? AT_S
	       : resp_is(arg, "pxat") ? AT_MS
	                              : NO_TIME;
}

/* Sets what may have ended already: then it is gone. */
static bool store_until(struct resp_conn *c, struct bytes key, struct bytes value,
                        struct instant end, bool exact)
{
	if (end.us > resp_now(c).us)
		return resp_store(c, key, value, end, exact);
	/* for a moment it was there, which those who watch the key are told */
	if (!resp_store(c, key, value, INSTANT_NEVER, exact))
		return false;
	resp_delete(c, key);
	return true;
}

void resp_do_set(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	bool nx = false, xx = false, get = false, keep = false, found = false, room;
	struct instant end = INSTANT_NEVER;
	enum unit unit = NO_TIME, u;
	struct bytes time = {0};
	struct plain_value v;
	size_t before;

	for (size_t i = 3; i < n; i++) {
		if (resp_is(arg[i], "nx") && !xx) {
			nx = true;
		} else if (resp_is(arg[i], "xx") && !nx) {
			xx = true;
		} else if (resp_is(arg[i], "get")) {
			get = true;
		} else if (resp_is(arg[i], "keepttl") && !unit) {
			keep = true;
		} else if ((u = unit_of(arg[i])) && !unit && !keep && i + 1 < n) {
			unit = u;
			time = arg[++i];
		} else {
			resp_syntax(c);
			return;
		}
	}
	if (unit && !end_of(c, unit, time, "set", &end))
		return;
	if (nx || xx || get || keep)
		found = get ? resp_find_value(c, arg[1], &v) : resp_find(c, arg[1], &v);
	room = !(nx && found) && !(xx && !found);
	if (keep && found)
		end = v.expires;
	before = c->w->n;
	if (get && found)
		resp_bulk(c->w, v.value);
	else if (get || !room)
		resp_null(c->w);
	if (!room)
		return;
	if (store_until(c, arg[1], arg[2], end, nx)) {
		if (!get)
			resp_ok(c);
	} else if (get) {
		/* the error alone, not behind the old value */
		c->w->n = before;
		resp_error(c->w, "ERR the value could not be kept");
	}
}

static void set_for(struct resp_conn *c, const struct bytes *arg, enum unit unit,
                    const char *command)
{
	struct instant end;

	if (end_of(c, unit, arg[2], command, &end) && store_until(c, arg[1], arg[3], end, false))
		resp_ok(c);
}

void resp_do_setex(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	(void)n;
	set_for(c, arg, IN_S, "setex");
}

void resp_do_psetex(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	(void)n;
	set_for(c, arg, IN_MS, "psetex");
}

void resp_do_setnx(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct plain_value v;

	(void)n;
	if (resp_find(c, arg[1], &v))
		resp_number(c->w, 0);
	else if (resp_store(c, arg[1], arg[2], INSTANT_NEVER, true))
		resp_number(c->w, 1);
}

void resp_do_getset(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct plain_value v;
	size_t before = c->w->n;

	(void)n;
	if (resp_find_value(c, arg[1], &v))
		resp_bulk(c->w, v.value);
	else
		resp_null(c->w);
	if (!resp_store(c, arg[1], arg[2], INSTANT_NEVER, false)) {
		c->w->n = before;
		resp_error(c->w, "ERR the value could not be kept");
	}
}

void resp_do_getex(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct instant end = INSTANT_NEVER;
	enum unit unit = NO_TIME, u;
	bool persist = false;
	struct bytes time = {0};
	struct plain_value v;

	for (size_t i = 2; i < n; i++) {
		if (resp_is(arg[i], "persist") && !unit) {
			persist = true;
		} else if ((u = unit_of(arg[i])) && !unit && !persist && i + 1 < n) {
			unit = u;
			time = arg[++i];
		} else {
			resp_syntax(c);
			return;
		}
	}
	if (!resp_find_value(c, arg[1], &v)) {
		look(c, arg[1], &v);
		resp_null(c->w);
		return;
	}
	if (unit && !end_of(c, unit, time, "getex", &end))
		return;
	resp_bulk(c->w, v.value);
	if (unit)
		resp_expire(c, v.id, end);
	else if (persist && instant_is_set(v.expires))
		resp_expire(c, v.id, INSTANT_NEVER);
}

void resp_do_getdel(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct plain_value v;

	(void)n;
	if (!resp_find_value(c, arg[1], &v)) {
		resp_null(c->w);
		return;
	}
	resp_bulk(c->w, v.value);
	resp_delete(c, arg[1]);
}

static bool set_pairs(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	for (size_t i = 1; i < n; i += 2)
		if (!resp_store(c, arg[i], arg[i + 1], INSTANT_NEVER, false))
			return false;
	return true;
}

void resp_do_mset(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	if (n % 2 == 0)
		resp_wrong_arity(c, "mset");
	else if (set_pairs(c, arg, n))
		resp_ok(c);
}

void resp_do_msetnx(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct plain_value v;

	if (n % 2 == 0) {
		resp_wrong_arity(c, "msetnx");
		return;
	}
	for (size_t i = 1; i < n; i += 2)
		if (resp_find(c, arg[i], &v)) {
			resp_number(c->w, 0);
			return;
		}
	if (set_pairs(c, arg, n))
		resp_number(c->w, 1);
}

/* -- Changing a part -------------------------------------------------------------------------- */

/*
 * A copy of the value with room for `bytes` in all, in r->text: what is set must not be a view of
 * the store. What is beyond the value is zero.
 */
static char *copy_of(struct resp_conn *c, const struct plain_value *v, size_t bytes)
{
	struct resp_out *o = &c->r->text;
	size_t have = v ? v->value.n : 0;
	char *p;

	o->n = 0;
	p = resp_room(o, (bytes > have ? bytes : have) + 1);
	if (have)
		memcpy(p, v->value.p, have);
	if (bytes > have)
		memset(p + have, 0, bytes - have);
	return p;
}

static bool fits(struct resp_conn *c, uint64_t bytes)
{
	if (bytes <= (uint64_t)c->r->set.bulk_bytes)
		return true;
	resp_error(c->w, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
	return false;
}

void resp_do_append(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct plain_value v = {.expires = INSTANT_NEVER};
	bool found = resp_find_value(c, arg[1], &v);
	size_t old = found ? v.value.n : 0;
	char *p;

	(void)n;
	if (!fits(c, (uint64_t)old + arg[2].n))
		return;
	p = copy_of(c, found ? &v : NULL, old + arg[2].n);
	if (arg[2].n)
		memcpy(p + old, arg[2].p, arg[2].n);
	if (resp_store(c, arg[1], bytes_of(p, old + arg[2].n), v.expires, true))
		resp_number(c->w, (int64_t)(old + arg[2].n));
}

void resp_do_setrange(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct plain_value v = {.expires = INSTANT_NEVER};
	int64_t at;
	bool found;
	size_t old, len;
	char *p;

	(void)n;
	if (!resp_want_int(c, arg[2], &at))
		return;
	if (at < 0) {
		resp_error(c->w, "ERR offset is out of range");
		return;
	}
	found = resp_find_value(c, arg[1], &v);
	old = found ? v.value.n : 0;
	if (!arg[3].n) {
		resp_number(c->w, (int64_t)old);
		return;
	}
	if (!fits(c, (uint64_t)at + arg[3].n))
		return;
	len = (size_t)at + arg[3].n;
	len = len > old ? len : old;
	p = copy_of(c, found ? &v : NULL, len);
	memcpy(p + at, arg[3].p, arg[3].n);
	if (resp_store(c, arg[1], bytes_of(p, len), v.expires, true))
		resp_number(c->w, (int64_t)len);
}

static bool bit_offset(struct resp_conn *c, struct bytes arg, int64_t *ret)
{
	if (resp_int(arg, ret) && *ret >= 0 && *ret / 8 < c->r->set.bulk_bytes)
		return true;
	resp_error(c->w, "ERR bit offset is not an integer or out of range");
	return false;
}

void resp_do_getbit(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct plain_value v;
	int64_t at;
	int bit = 0;

	(void)n;
	if (!bit_offset(c, arg[2], &at))
		return;
	if (resp_find_value(c, arg[1], &v) && (uint64_t)at / 8 < v.value.n)
		bit = ((const unsigned char *)v.value.p)[at / 8] >> (7 - at % 8) & 1;
	resp_number(c->w, bit);
}

void resp_do_setbit(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct plain_value v = {.expires = INSTANT_NEVER};
	int64_t at, on;
	size_t len;
	bool found;
	char *p;
	int was, shift;

	(void)n;
	if (!bit_offset(c, arg[2], &at))
		return;
	if (!resp_int(arg[3], &on) || (on != 0 && on != 1)) {
		resp_error(c->w, "ERR bit is not an integer or out of range");
		return;
	}
	found = resp_find_value(c, arg[1], &v);
	len = (size_t)at / 8 + 1;
	if (found && v.value.n > len)
		len = v.value.n;
	p = copy_of(c, found ? &v : NULL, len);
	shift = 7 - (int)(at % 8);
	was = (unsigned char)p[at / 8] >> shift & 1;
	p[at / 8] = (char)(((unsigned char)p[at / 8] & ~(1u << shift)) | (unsigned)on << shift);
	if (resp_store(c, arg[1], bytes_of(p, len), v.expires, true))
		resp_number(c->w, was);
}

/* -- Numbers ---------------------------------------------------------------------------------- */

static void add(struct resp_conn *c, struct bytes key, int64_t by)
{
	struct plain_value v = {.expires = INSTANT_NEVER};
	int64_t old = 0;
	char text[24];
	int n;

	if (resp_find_value(c, key, &v) && !resp_want_int(c, v.value, &old))
		return;
	if (__builtin_add_overflow(old, by, &old)) {
		resp_error(c->w, "ERR increment or decrement would overflow");
		return;
	}
	n = snprintf(text, sizeof(text), "%lld", (long long)old);
	if (resp_store(c, key, bytes_of(text, (size_t)n), v.expires, true))
		resp_number(c->w, old);
}

void resp_do_incr(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	(void)n;
	add(c, arg[1], 1);
}

void resp_do_decr(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	(void)n;
	add(c, arg[1], -1);
}

void resp_do_incrby(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	int64_t by;

	(void)n;
	if (resp_want_int(c, arg[2], &by))
		add(c, arg[1], by);
}

void resp_do_decrby(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	int64_t by;

	(void)n;
	if (!resp_want_int(c, arg[2], &by))
		return;
	if (by == INT64_MIN)
		resp_error(c->w, "ERR decrement would overflow");
	else
		add(c, arg[1], -by);
}

/* A number with a point, as Redis takes it: no blanks, all of it, not "nan". */
static bool want_float(struct resp_conn *c, struct bytes b, long double *ret)
{
	char text[256], *end;

	if (b.n && b.n < sizeof(text) && !memchr(b.p, '\0', b.n) &&
	    !strchr(" \t\n\v\f\r", *(const char *)b.p)) {
		memcpy(text, b.p, b.n);
		text[b.n] = '\0';
		*ret = strtold(text, &end);
		if (!*end && end != text && !isnan(*ret) &&
		    !(isinf(*ret) && text[strspn(text, "+-")] != 'i' &&
		      text[strspn(text, "+-")] != 'I'))
			return true;
	}
	resp_error(c->w, "ERR value is not a valid float");
	return false;
}

void resp_do_incrbyfloat(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct plain_value v = {.expires = INSTANT_NEVER};
	char text[5 * 1024];
	long double old = 0, by;
	int len;

	(void)n;
	if (resp_find_value(c, arg[1], &v) && !want_float(c, v.value, &old))
		return;
	if (!want_float(c, arg[2], &by))
		return;
	old += by;
	if (isnan(old) || isinf(old)) {
		resp_error(c->w, "ERR increment would produce NaN or Infinity");
		return;
	}
	len = snprintf(text, sizeof(text), "%.17Lf", old);
	while (len > 1 && text[len - 1] == '0')
		len--;
	if (len > 1 && text[len - 1] == '.')
		len--;
	if (len == 2 && text[0] == '-' && text[1] == '0') {
		text[0] = '0';
		len = 1;
	}
	if (resp_store(c, arg[1], bytes_of(text, (size_t)len), v.expires, true))
		resp_bulk(c->w, bytes_of(text, (size_t)len));
}
