/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * EVAL, EVALSHA, SCRIPT for the few scripts that lock libraries send. There is no Lua here: a
 * script is known by its text, white space aside, and what it does is done in C.
 */
#include "daemon/resp_conn.h"

#include <stdio.h>
#include <string.h>

typedef void script_fn(struct resp_conn *c, const struct bytes *key, size_t n_keys,
                       const struct bytes *arg, size_t n_args);

static bool holds(struct resp_conn *c, struct bytes key, struct bytes token, struct plain_value *v)
{
	return resp_find_value(c, key, v) && bytes_equal(v->value, token);
}

static bool enough(struct resp_conn *c, size_t n_keys, size_t n_args, size_t args)
{
	if (n_keys >= 1 && n_args >= args)
		return true;
	resp_error(c->w, "ERR this script takes 1 key and %zu arguments", args);
	return false;
}

/* KEYS[1] is held with ARGV[1]: deletes it; 1 or 0. */
static void release(struct resp_conn *c, const struct bytes *key, size_t n_keys,
                    const struct bytes *arg, size_t n_args)
{
	struct plain_value v;

	if (!enough(c, n_keys, n_args, 1))
		return;
	resp_number(c->w, holds(c, key[0], arg[0], &v) ? resp_delete(c, key[0]) : 0);
}

/* ... lives ARGV[2] ms, from now (ARGV[3] "1") or from its end; 0 when it has no end. */
static void extend(struct resp_conn *c, const struct bytes *key, size_t n_keys,
                   const struct bytes *arg, size_t n_args)
{
	struct plain_value v;
	struct instant from;
	int64_t ms;

	if (!enough(c, n_keys, n_args, 3) || !resp_want_int(c, arg[1], &ms))
		return;
	if (!holds(c, key[0], arg[0], &v) || !instant_is_set(v.expires)) {
		resp_number(c->w, 0);
		return;
	}
	from = bytes_equal(arg[2], bytes_str("0")) ? v.expires : resp_now(c);
	if (ms > INT64_MAX / 4000)
		ms = INT64_MAX / 4000;
	resp_expire(c, v.id, instant_add(from, (struct span){ms * 1000}));
	resp_number(c->w, 1);
}

/* ... lives ARGV[2] ms from now. */
static void reacquire(struct resp_conn *c, const struct bytes *key, size_t n_keys,
                      const struct bytes *arg, size_t n_args)
{
	struct plain_value v;
	int64_t ms;

	if (!enough(c, n_keys, n_args, 2) || !resp_want_int(c, arg[1], &ms))
		return;
	if (!holds(c, key[0], arg[0], &v)) {
		resp_number(c->w, 0);
		return;
	}
	if (ms > INT64_MAX / 4000)
		ms = INT64_MAX / 4000;
	resp_expire(c, v.id, instant_add(resp_now(c), (struct span){ms * 1000}));
	resp_number(c->w, 1);
}

/*
 * Texts with white space taken out: the same however a release indents them. The SHA1 by which a
 * script is called is that of the text as it was loaded.
 */
static const struct known {
	const char *text;
	script_fn *fn;
} known[] = {
        /* redis-py, and what took its lock over: dogpile.cache, django-redis */
        {"localtoken=redis.call('get',KEYS[1])ifnottokenortoken~=ARGV[1]thenreturn0end"
         "redis.call('del',KEYS[1])return1",
         release},
        {"localtoken=redis.call('get',KEYS[1])ifnottokenortoken~=ARGV[1]thenreturn0end"
         "localexpiration=redis.call('pttl',KEYS[1])ifnotexpirationthenexpiration=0endif"
         "expiration<0thenreturn0endlocalnewttl=ARGV[2]ifARGV[3]==\"0\"thennewttl=ARGV[2]+"
         "expirationendredis.call('pexpire',KEYS[1],newttl)return1",
         extend},
        {"localtoken=redis.call('get',KEYS[1])ifnottokenortoken~=ARGV[1]thenreturn0end"
         "redis.call('pexpire',KEYS[1],ARGV[2])return1",
         reacquire},
        /* aiocache, and the text of the Redis documentation */
        {"ifredis.call('get',KEYS[1])==ARGV[1]thenreturnredis.call('del',KEYS[1])elsereturn0end",
         release},
        {"ifredis.call('get',KEYS[1])==ARGV[1]thenreturnredis.call('pexpire',KEYS[1],ARGV[2])"
         "elsereturn0end",
         reacquire},
};
enum { KNOWN = sizeof(known) / sizeof(*known) };

/* Without white space, and with one kind of quotes. */
static size_t squeeze(struct bytes text, char *buf, size_t cap)
{
	const char *s = text.p;
	size_t n = 0;

	for (size_t i = 0; i < text.n && n < cap; i++)
		if (!strchr(" \t\r\n;", s[i]) || !s[i])
			buf[n++] = s[i] == '"' ? '\'' : s[i];
	return n;
}

static int known_by_text(struct bytes text)
{
	char a[1024], b[1024];
	size_t n = squeeze(text, a, sizeof(a));

	for (int i = 0; i < KNOWN; i++) {
		size_t m = squeeze(bytes_str(known[i].text), b, sizeof(b));

		if (n == m && n < sizeof(a) && !memcmp(a, b, n))
			return i;
	}
	return -1;
}

/* -- SHA1: RFC 3174 --------------------------------------------------------------------------- */

static uint32_t rotate(uint32_t x, int n)
{
	return x << n | x >> (32 - n);
}

static void sha1_block(uint32_t h[5], const unsigned char *p)
{
	uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
		       (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
	for (int i = 16; i < 80; i++)
		w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (int i = 0; i < 80; i++) {
		uint32_t f = i < 20   ? ((b & c) | (~b & d)) + 0x5a827999
		             : i < 40 ? (b ^ c ^ d) + 0x6ed9eba1
		             : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc
		                      : (b ^ c ^ d) + 0xca62c1d6;
		uint32_t t = rotate(a, 5) + f + e + w[i];

		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = t;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
}

static void sha1_hex(struct bytes text, char hex[41])
{
	uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
	unsigned char last[128] = {0};
	size_t whole = text.n / 64 * 64, rest = text.n - whole, n = rest < 56 ? 64 : 128;

	for (size_t i = 0; i < whole; i += 64)
		sha1_block(h, (const unsigned char *)text.p + i);
	if (rest)
		memcpy(last, (const char *)text.p + whole, rest);
	last[rest] = 0x80;
	for (int i = 0; i < 8; i++)
		last[n - 1 - (size_t)i] = (unsigned char)((uint64_t)text.n * 8 >> 8 * i);
	for (size_t i = 0; i < n; i += 64)
		sha1_block(h, last + i);
	for (int i = 0; i < 5; i++)
		snprintf(hex + 8 * i, 9, "%08x", h[i]);
}

/* -- Commands --------------------------------------------------------------------------------- */

static void no_lua(struct resp_conn *c)
{
	resp_error(c->w, "ERR this server runs no Lua; only the scripts of well-known lock libraries "
	                 "are recognised by their text");
}

static void run(struct resp_conn *c, int i, const struct bytes *arg, size_t n)
{
	int64_t keys;

	if (!resp_want_int(c, arg[2], &keys))
		return;
	if (keys > (int64_t)n - 3)
		resp_error(c->w, "ERR Number of keys can't be greater than number of args");
	else if (keys < 0)
		resp_error(c->w, "ERR Number of keys can't be negative");
	else
		known[i].fn(c, arg + 3, (size_t)keys, arg + 3 + keys, n - 3 - (size_t)keys);
}

/* From now on it may be called by its SHA1. */
static void load(struct resp_conn *c, int i, struct bytes text)
{
	sha1_hex(text, c->r->script_name[i]);
	c->r->scripts |= 1u << i;
}

void resp_do_eval(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	int i = known_by_text(arg[1]);

	if (i < 0) {
		no_lua(c);
	} else {
		load(c, i, arg[1]);
		run(c, i, arg, n);
	}
}

/* Bit i of r->scripts: script i was loaded, so its name may be used. */
void resp_do_evalsha(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	for (int i = 0; i < KNOWN; i++)
		if ((c->r->scripts & 1u << i) && resp_is(arg[1], c->r->script_name[i])) {
			run(c, i, arg, n);
			return;
		}
	resp_error(c->w, "NOSCRIPT No matching script. Please use EVAL.");
}

void resp_do_script(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	static const char *const help[] = {"EXISTS <sha1> [<sha1> ...]",
	                                   "    Which of these scripts are loaded.",
	                                   "FLUSH [ASYNC|SYNC]",
	                                   "    Forget which scripts were loaded.",
	                                   "LOAD <script>",
	                                   "    Take in a script that is known by its text.",
	                                   NULL};
	int i;

	if (resp_is(arg[1], "load") && n == 3) {
		i = known_by_text(arg[2]);
		if (i < 0) {
			no_lua(c);
			return;
		}
		load(c, i, arg[2]);
		resp_text(c->w, c->r->script_name[i]);
	} else if (resp_is(arg[1], "exists") && n > 2) {
		resp_array(c->w, n - 2);
		for (size_t k = 2; k < n; k++) {
			bool there = false;

			for (i = 0; i < KNOWN; i++)
				there |= (c->r->scripts & 1u << i) &&
				         resp_is(arg[k], c->r->script_name[i]);
			resp_number(c->w, there);
		}
	} else if (resp_is(arg[1], "flush") &&
	           (n == 2 || (n == 3 && (resp_is(arg[2], "sync") || resp_is(arg[2], "async"))))) {
		c->r->scripts = 0;
		resp_ok(c);
	} else if (resp_is(arg[1], "help")) {
		resp_help(c, "SCRIPT", help);
	} else if (resp_is(arg[1], "load") || resp_is(arg[1], "exists")) {
		resp_wrong_arity(c, resp_is(arg[1], "load") ? "script|load" : "script|exists");
	} else {
		resp_bad_sub(c, "script", arg[1]);
	}
}

/* There are no functions: the list is empty, and all of them are easily forgotten. */
void resp_do_function(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	static const char *const help[] = {"FLUSH [ASYNC|SYNC]", "    There is nothing to delete.",
	                                   "LIST", "    An empty list.", NULL};

	if (resp_is(arg[1], "help"))
		resp_help(c, "FUNCTION", help);
	else if (resp_is(arg[1], "list"))
		resp_array(c->w, 0);
	else if (n == 2 || (n == 3 && (resp_is(arg[2], "sync") || resp_is(arg[2], "async"))))
		resp_ok(c);
	else
		resp_error(c->w, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
}
