/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Commands about keys: DEL, EXPIRE, TTL, RENAME, COPY and their like. */
#include "daemon/resp_conn.h"

#include <string.h>

void resp_do_del(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	int64_t gone = 0;

	for (size_t i = 1; i < n; i++)
		gone += resp_delete(c, arg[i]);
	resp_number(c->w, gone);
}

void resp_do_exists(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct plain_value v;
	int64_t there = 0;

	for (size_t i = 1; i < n; i++)
		there += resp_find(c, arg[i], &v);
	resp_number(c->w, there);
}

/* An access like any other: it says that the key is wanted. */
void resp_do_touch(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct plain_value v;
	int64_t there = 0;

	for (size_t i = 1; i < n; i++) {
		if (!resp_find(c, arg[i], &v))
			continue;
		there++;
		plain_get(resp_engine(c), resp_now(c), resp_key(c, arg[i]), 0, &v,
		          &c->r->d->fx);
	}
	daemon_effects(c->r->d);
	resp_learn_soon(c->r);
	resp_number(c->w, there);
}

void resp_do_type(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct plain_value v;

	(void)n;
	resp_simple(c->w, resp_find(c, arg[1], &v) ? "string" : "none");
}

/* -- When it ends ----------------------------------------------------------------------------- */

enum { IF_NONE = 1, IF_SOME = 2, IF_LATER = 4, IF_SOONER = 8 };

static bool conditions(struct resp_conn *c, const struct bytes *arg, size_t n, int *ret)
{
	*ret = 0;
	for (size_t i = 3; i < n; i++) {
		if (resp_is(arg[i], "nx")) {
			*ret |= IF_NONE;
		} else if (resp_is(arg[i], "xx")) {
			*ret |= IF_SOME;
		} else if (resp_is(arg[i], "gt")) {
			*ret |= IF_LATER;
		} else if (resp_is(arg[i], "lt")) {
			*ret |= IF_SOONER;
		} else {
			resp_error(c->w, "ERR Unsupported option %.*s", (int)arg[i].n,
			           (const char *)arg[i].p);
			return false;
		}
	}
	if ((*ret & IF_NONE) && *ret != IF_NONE) {
		resp_error(c->w,
		           "ERR NX and XX, GT or LT options at the same time are not compatible");
		return false;
	}
	if ((*ret & IF_LATER) && (*ret & IF_SOONER)) {
		resp_error(c->w, "ERR GT and LT options at the same time are not compatible");
		return false;
	}
	return true;
}

static void expire(struct resp_conn *c, const struct bytes *arg, size_t n, bool seconds, bool at,
                   const char *command)
{
	int64_t now = resp_wall_ms(c, resp_now(c)), base = at ? 0 : now, when, old;
	struct plain_value v;
	struct instant end;
	bool has;
	int only;

	if (!conditions(c, arg, n, &only) || !resp_want_int(c, arg[2], &when))
		return;
	if (seconds && (when > INT64_MAX / 1000 || when < INT64_MIN / 1000))
		goto wrong;
	when *= seconds ? 1000 : 1;
	if (when > INT64_MAX - base)
		goto wrong;
	when += base;
	if (!resp_find(c, arg[1], &v)) {
		resp_number(c->w, 0);
		return;
	}
	has = instant_is_set(v.expires);
	old = has ? resp_wall_ms(c, v.expires) : 0;
	/* as it can be kept: an end beyond all that are is not later than itself */
	when = resp_wall_ms(c, resp_from_wall_ms(c, when));
	if (((only & IF_NONE) && has) || ((only & IF_SOME) && !has) ||
	    ((only & IF_LATER) && (!has || when <= old)) ||
	    ((only & IF_SOONER) && has && when >= old)) {
		resp_number(c->w, 0);
		return;
	}
	end = resp_from_wall_ms(c, when);
	/* from this very instant, not from the start of its millisecond */
	if (!at && when > now && end.us < INT64_MAX / 2)
		end.us += resp_now(c).us - resp_from_wall_ms(c, now).us;
	resp_expire(c, v.id, when <= now ? resp_now(c) : end);
	resp_number(c->w, 1);
	return;
wrong:
	resp_error(c->w, "ERR invalid expire time in '%s' command", command);
}

void resp_do_expire(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	expire(c, arg, n, true, false, "expire");
}

void resp_do_pexpire(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	expire(c, arg, n, false, false, "pexpire");
}

void resp_do_expireat(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	expire(c, arg, n, true, true, "expireat");
}

void resp_do_pexpireat(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	expire(c, arg, n, false, true, "pexpireat");
}

/* Milliseconds that it lives, or the time at which it ends; -2: not there, -1: no end. */
static int64_t time_of(struct resp_conn *c, struct bytes key, bool at)
{
	struct plain_value v;

	if (!resp_find(c, key, &v))
		return -2;
	if (!instant_is_set(v.expires))
		return -1;
	if (at)
		return resp_wall_ms(c, v.expires);
	return (v.expires.us - resp_now(c).us + 999) / 1000;
}

static int64_t seconds_of(int64_t ms)
{
	return ms < 0 ? ms : (ms + 500) / 1000;
}

void resp_do_ttl(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	(void)n;
	resp_number(c->w, seconds_of(time_of(c, arg[1], false)));
}

void resp_do_pttl(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	(void)n;
	resp_number(c->w, time_of(c, arg[1], false));
}

void resp_do_expiretime(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	(void)n;
	resp_number(c->w, seconds_of(time_of(c, arg[1], true)));
}

void resp_do_pexpiretime(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	(void)n;
	resp_number(c->w, time_of(c, arg[1], true));
}

void resp_do_persist(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct plain_value v;

	(void)n;
	if (!resp_find(c, arg[1], &v) || !instant_is_set(v.expires)) {
		resp_number(c->w, 0);
		return;
	}
	resp_expire(c, v.id, INSTANT_NEVER);
	resp_number(c->w, 1);
}

/* -- Other names ------------------------------------------------------------------------------ */

/* Puts a copy of v under another name: through r->text, as it is a view of the store. */
static bool copy_to(struct resp_conn *c, const struct plain_value *v, unsigned db, struct bytes to)
{
	struct resp_out *o = &c->r->text;
	uint8_t own = c->db;
	struct bytes copy;
	bool ok;

	o->n = 0;
	resp_room(o, v->value.n + 1);
	resp_raw(o, v->value.p, v->value.n);
	copy = bytes_of(o->p, v->value.n);
	c->db = (uint8_t)db;
	ok = resp_store(c, to, copy, v->expires, false);
	c->db = own;
	return ok;
}

static void rename_key(struct resp_conn *c, const struct bytes *arg, bool only_new)
{
	struct plain_value v, there;

	if (!resp_find_value(c, arg[1], &v)) {
		resp_error(c->w, "ERR no such key");
		return;
	}
	if (bytes_equal(arg[1], arg[2]) || (only_new && resp_find(c, arg[2], &there))) {
		if (only_new)
			resp_number(c->w, 0);
		else
			resp_ok(c);
		return;
	}
	if (!copy_to(c, &v, c->db, arg[2]))
		return;
	resp_delete(c, arg[1]);
	if (only_new)
		resp_number(c->w, 1);
	else
		resp_ok(c);
}

void resp_do_rename(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	(void)n;
	rename_key(c, arg, false);
}

void resp_do_renamenx(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	(void)n;
	rename_key(c, arg, true);
}

/* To a key of this or another database; what is there stays unless `replace`. */
static void copy_or_move(struct resp_conn *c, struct bytes from, unsigned db, struct bytes to,
                         bool replace, bool move)
{
	struct plain_value v, there;

	if (db == c->db && bytes_equal(from, to)) {
		resp_error(c->w, "ERR source and destination objects are the same");
		return;
	}
	if (!resp_find_value(c, from, &v) ||
	    (!replace && plain_find(resp_engine(c), resp_now(c), resp_key_in(c, db, to), &there))) {
		resp_number(c->w, 0);
		return;
	}
	if (!copy_to(c, &v, db, to))
		return;
	if (move)
		resp_delete(c, from);
	resp_number(c->w, 1);
}

void resp_do_copy(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	bool replace = false;
	int64_t db = c->db;

	for (size_t i = 3; i < n; i++) {
		if (resp_is(arg[i], "replace")) {
			replace = true;
		} else if (resp_is(arg[i], "db") && i + 1 < n) {
			if (!resp_want_int(c, arg[++i], &db))
				return;
			if (db < 0 || db >= PLAIN_SPACES) {
				resp_error(c->w, "ERR DB index is out of range");
				return;
			}
		} else {
			resp_syntax(c);
			return;
		}
	}
	copy_or_move(c, arg[1], (unsigned)db, arg[2], replace, false);
}

void resp_do_move(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	int64_t db;

	(void)n;
	if (!resp_want_int(c, arg[2], &db))
		return;
	if (db < 0 || db >= PLAIN_SPACES)
		resp_error(c->w, "ERR DB index is out of range");
	else
		copy_or_move(c, arg[1], (unsigned)db, arg[1], false, true);
}
