/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the handlers of commands have in common: keys, times and values as a client has them and the
 * engine does, and replies that many of them give.
 */
#include "daemon/resp_conn.h"

#include "base/hash.h"
#include "base/mem.h"
#include "daemon/large.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What was counted is learned after so long; so many keys of it at once. */
static const struct span LEARN_AFTER = {100 * 1000};
#define LEARN_AT_ONCE 2000

/* -- Names of keys ---------------------------------------------------------------------------- */

struct bytes resp_key_in(struct resp_conn *c, unsigned db, struct bytes key)
{
	struct resp *r = c->r;
	unsigned i = r->next_key++ % RESP_KEYS;
	size_t n = 0;

	if (!db && (key.n < 3 || memcmp(key.p, "@db", 3) != 0))
		return key;
	if (r->key_cap[i] < key.n + PLAIN_SPACE_BYTES + 1) {
		r->key_cap[i] = 2 * (key.n + PLAIN_SPACE_BYTES + 1);
		r->key[i] = mem_realloc(r->key[i], r->key_cap[i], 1);
	}
	n = (size_t)snprintf(r->key[i], r->key_cap[i], "@db%u:", db);
	if (key.n)
		memcpy(r->key[i] + n, key.p, key.n);
	return bytes_of(r->key[i], n + key.n);
}

struct bytes resp_key_shown(struct bytes key)
{
	unsigned space;
	size_t n = plain_space(key, &space);

	return n ? bytes_of((const char *)key.p + n, key.n - n) : key;
}

/* -- Time ------------------------------------------------------------------------------------- */

int64_t resp_wall_ms(const struct resp_conn *c, struct instant t)
{
	int64_t us = t.us + c->r->d->clock.offset.us;

	return us / 1000;
}

struct instant resp_from_wall_ms(const struct resp_conn *c, int64_t ms)
{
	const int64_t most = INT64_MAX / 1000 - 1000000;

	if (ms > most)
		ms = most;
	if (ms < -most)
		ms = -most;
	return (struct instant){ms * 1000 - c->r->d->clock.offset.us};
}

/* -- What handlers use ------------------------------------------------------------------------ */

bool resp_is(struct bytes arg, const char *word)
{
	const char *s = arg.p;
	size_t i;

	for (i = 0; i < arg.n && word[i]; i++) {
		char a = s[i], b = word[i];

		a = a >= 'A' && a <= 'Z' ? (char)(a + 32) : a;
		b = b >= 'A' && b <= 'Z' ? (char)(b + 32) : b;
		if (a != b)
			return false;
	}
	return i == arg.n && !word[i];
}

bool resp_want_int(struct resp_conn *c, struct bytes arg, int64_t *ret)
{
	if (resp_int(arg, ret))
		return true;
	resp_error(c->w, "ERR value is not an integer or out of range");
	return false;
}

void resp_syntax(struct resp_conn *c)
{
	resp_error(c->w, "ERR syntax error");
}

void resp_ok(struct resp_conn *c)
{
	resp_raw(c->w, "+OK\r\n", 5);
}

static void upper(const char *s, char *buf, size_t cap)
{
	size_t i;

	for (i = 0; s[i] && i < cap - 1; i++)
		buf[i] = s[i] >= 'a' && s[i] <= 'z' ? (char)(s[i] - 32) : s[i];
	buf[i] = '\0';
}

void resp_unknown_sub(struct resp_conn *c, const char *command, struct bytes sub)
{
	char up[32];

	upper(command, up, sizeof(up));
	resp_error(c->w, "ERR unknown subcommand '%.*s'. Try %s HELP.", RESP_SHOWN(sub), up);
}

void resp_bad_sub(struct resp_conn *c, const char *command, struct bytes sub)
{
	char up[32];

	upper(command, up, sizeof(up));
	resp_error(c->w,
	           "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try %s HELP.",
	           RESP_SHOWN(sub), up);
}

void resp_wrong_arity(struct resp_conn *c, const char *command)
{
	resp_error(c->w, "ERR wrong number of arguments for '%s' command", command);
}

void resp_help(struct resp_conn *c, const char *command, const char *const *lines)
{
	char head[128];
	size_t n = 0;

	while (lines[n])
		n++;
	resp_array(c->w, n + 3);
	snprintf(head, sizeof(head),
	         "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", command);
	resp_simple(c->w, head);
	for (size_t i = 0; i < n; i++)
		resp_simple(c->w, lines[i]);
	resp_simple(c->w, "HELP");
	resp_simple(c->w, "    Print this help.");
}

/* Whether that is the value; of a copy, equal bytes will do. */
static bool is_placed(const struct large_value *v, struct bytes value)
{
	return v->value.n == value.n &&
	       (v->value.p == value.p || (v->own && bytes_equal(v->value, value)));
}

bool resp_find_value(struct resp_conn *c, struct bytes key, struct plain_value *ret)
{
	return resp_find(c, key, ret) && resp_unpack(c, ret);
}

bool resp_unpack(struct resp_conn *c, struct plain_value *v)
{
	if (!v->packed)
		return true;
	v->packed = false;
	return unpack_value(&c->r->d->unpack, v->value, &v->value);
}

bool resp_store(struct resp_conn *c, struct bytes key, struct bytes value, struct instant expires,
                bool exact)
{
	struct span took = resp_load_time(c, key);
	struct plain_set s = {.key = resp_key(c, key),
	                      .value = value,
	                      .expires = expires,
	                      .load = exact ? SPAN_ZERO : took,
	                      .exact = exact};
	const struct engine_limits *l = &c->r->d->setup->config->limits;
	int rc;

	if (c->placed && c->placed->key_bytes == s.key.n && is_placed(c->placed, value)) {
		s.room = large_room(c->placed);
		s.packed = large_packed(c->placed);
	}
	rc = plain_set(resp_engine(c), resp_now(c), &s, &c->r->d->fx);

	daemon_effects(c->r->d);
	resp_learn_soon(c->r);
	if (!rc)
		return true;
	if (rc == -ENOSPC)
		resp_error(c->w, "OOM command not allowed when used memory > 'maxmemory'.");
	else if (!s.key.n)
		resp_error(c->w, "ERR a key must not be empty here");
	else if ((double)s.key.n > l->max_key_bytes)
		resp_error(c->w, "ERR key of %zu bytes is longer than limits.max_key_bytes, %.15g",
		           s.key.n, l->max_key_bytes);
	else
		resp_error(
		        c->w,
		        "ERR value of %zu bytes is larger than limits.max_value_bytes, %.15g, or "
		        "than segment_bytes has room for",
		        value.n, l->max_value_bytes);
	return false;
}

bool resp_delete(struct resp_conn *c, struct bytes key)
{
	bool was = plain_delete(resp_engine(c), resp_now(c), resp_key(c, key), &c->r->d->fx);

	daemon_effects(c->r->d);
	return was;
}

void resp_expire(struct resp_conn *c, uint32_t id, struct instant at)
{
	plain_expire(resp_engine(c), resp_now(c), id, at, &c->r->d->fx);
	daemon_effects(c->r->d);
}

/* -- What a connection's misses teach --------------------------------------------------------- */

static uint64_t miss_hash(const struct resp_conn *c, struct bytes key)
{
	return hash_bytes(key, c->db);
}

void resp_missed(struct resp_conn *c, struct bytes key, uint64_t lease)
{
	struct miss m = {miss_hash(c, key), resp_now(c).us, lease}, old;

	misses_note(&c->misses, m);
	/* nobody is to wait for one that is not remembered: its load may never come */
	while (misses_trim(&c->misses, m.at_us, (size_t)c->r->set.misses, &old))
		if (old.lease)
			*vec_push(&c->r->lost) = old.lease;
}

uint64_t resp_lease(const struct resp_conn *c, struct bytes key)
{
	const struct miss *m;

	if (!c->misses.n_leases)
		return 0;
	m = misses_find(&c->misses, miss_hash(c, key));
	return m ? m->lease : 0;
}

struct span resp_load_time(struct resp_conn *c, struct bytes key)
{
	struct miss m;
	int64_t took;

	if (!c->misses.n || !misses_take(&c->misses, miss_hash(c, key), &m))
		return SPAN_ZERO;
	took = resp_now(c).us - m.at_us;
	return took > 0 && took < MISSES_MAX_US ? (struct span){took} : SPAN_ZERO;
}

void resp_learn(void *arg)
{
	struct resp *r = arg;
	bool more = plain_learn(r->d->engine, clock_now(&r->d->clock), LEARN_AT_ONCE, &r->d->fx);

	daemon_effects(r->d);
	daemon_report_failures(r->d);
	r->learning = false;
	if (more)
		resp_learn_soon(r);
}

void resp_learn_soon(struct resp *r)
{
	if (r->learning)
		return;
	r->learning = true;
	loop_timer_set(r->d->loop, &r->learn, LEARN_AFTER);
}
