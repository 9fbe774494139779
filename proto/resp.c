/* SPDX-License-Identifier: MIT */
#include "proto/resp.h"

#include "base/mem.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* What somebody who has not said the password may send. */
enum { STRANGER_ARGS = 10, STRANGER_BYTES = 16384 };

/* The smallest buffer: a page holds the replies of most batches. */
enum { OUT_MIN = 4096 };

/* -- Numbers ---------------------------------------------------------------------------------- */

bool resp_int(struct bytes b, int64_t *ret)
{
	const unsigned char *s = b.p, *end = s + b.n;
	bool minus = false;
	uint64_t v;

	if (!b.n || b.n > 20)
		return false;
	if (b.n == 1 && *s == '0') {
		*ret = 0;
		return true;
	}
	if (*s == '-') {
		minus = true;
		if (++s == end)
			return false;
	}
	if (*s < '1' || *s > '9')
		return false;
	v = *s++ - '0';
	for (; s < end; s++) {
		if (*s < '0' || *s > '9' || v > UINT64_MAX / 10)
			return false;
		v *= 10;
		if (v > UINT64_MAX - (*s - '0'))
			return false;
		v += *s - '0';
	}
	if (minus) {
		if (v > (uint64_t)INT64_MAX + 1)
			return false;
		*ret = (int64_t)(0 - v);
	} else {
		if (v > INT64_MAX)
			return false;
		*ret = (int64_t)v;
	}
	return true;
}

/* -- Requests --------------------------------------------------------------------------------- */

static enum resp_parse bad(struct resp_parser *s, const char *why)
{
	s->error = why;
	return RESP_BAD;
}

/* Arguments are kept as offsets until the request is complete: its buffer may move until then. */
static void add_arg(struct resp_parser *s, size_t off, size_t n)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 8;
		s->arg = mem_realloc(s->arg, s->cap, sizeof(*s->arg));
	}
	s->arg[s->n++] = bytes_of((const void *)(uintptr_t)off, n);
}

static enum resp_parse complete(struct resp_parser *s, const char *p)
{
	for (size_t i = 0; i < s->n; i++)
		s->arg[i].p = p + (uintptr_t)s->arg[i].p;
	return RESP_REQUEST;
}

/*
 * The number between p[from] and the next CR; *ret_end is behind its LF. RESP_MORE when the line is
 * not complete.
 */
static enum resp_parse head(struct resp_parser *s, const char *p, size_t n, size_t from,
                            size_t limit, const char *too_long, const char *wrong, int64_t *ret,
                            size_t *ret_end)
{
	const char *cr = memchr(p + from, '\r', n - from);
	int64_t v = 0;
	size_t len;

	if (!cr)
		return n - from > limit ? bad(s, too_long) : RESP_MORE;
	len = (size_t)(cr - (p + from));
	if (from + len + 2 > n)
		return RESP_MORE;
	/* one and two digits are nearly all that ever comes */
	if (len == 1 && p[from] >= '0' && p[from] <= '9')
		v = p[from] - '0';
	else if (!resp_int(bytes_of(p + from, len), &v))
		return bad(s, wrong);
	*ret = v;
	*ret_end = from + len + 2;
	return RESP_REQUEST;
}

static enum resp_parse parse_array(struct resp_parser *s, char *p, size_t n,
                                   const struct resp_limits *l)
{
	enum resp_parse got;
	int64_t v = 0;
	size_t end = 0;

	if (!s->left) {
		got = head(s, p, n, 1, l->inline_bytes,
		           "Protocol error: too big mbulk count string",
		           "Protocol error: invalid multibulk length", &v, &end);
		if (got != RESP_REQUEST)
			return got;
		if (v > INT_MAX || (v > 0 && (uint64_t)v > l->args))
			return bad(s, "Protocol error: invalid multibulk length");
		if (l->stranger && v > STRANGER_ARGS)
			return bad(s, "Protocol error: unauthenticated multibulk length");
		s->pos = end;
		if (v <= 0)
			return RESP_REQUEST;
		s->left = v;
	}
	while (s->left) {
		if (!s->bulk) {
			if (s->pos >= n)
				return RESP_MORE;
			if (p[s->pos] != '$') {
				s->got = p[s->pos];
				return bad(s, "Protocol error: expected '$', got '");
			}
			got = head(s, p, n, s->pos + 1, l->inline_bytes,
			           "Protocol error: too big bulk count string",
			           "Protocol error: invalid bulk length", &v, &end);
			if (got != RESP_REQUEST)
				return got;
			if (v < 0 || (uint64_t)v > l->bulk_bytes)
				return bad(s, "Protocol error: invalid bulk length");
			if (l->stranger && v > STRANGER_BYTES)
				return bad(s, "Protocol error: unauthenticated bulk length");
			s->pos = end;
			s->bulk = v + 1;
		}
		if (n - s->pos < (size_t)s->bulk - 1 + 2)
			return RESP_MORE;
		add_arg(s, s->pos, (size_t)s->bulk - 1);
		s->pos += (size_t)s->bulk - 1 + 2;
		s->bulk = 0;
		s->left--;
	}
	return complete(s, p);
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static int hex(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	                              : -1;
}

/* One byte of a word in double quotes, escapes and all; gives how many bytes stood for it. */
static size_t unescape(const char *s, const char *end, char *ret)
{
	static const char from[] = "nrtba", to[] = "\n\r\t\b\a";
	const char *e;

	if (*s != '\\' || s + 1 >= end) {
		*ret = *s;
		return 1;
	}
	if (s[1] == 'x' && s + 3 < end && hex(s[2]) >= 0 && hex(s[3]) >= 0) {
		*ret = (char)(hex(s[2]) * 16 + hex(s[3]));
		return 4;
	}
	e = memchr(from, s[1], sizeof(from) - 1);
	*ret = e ? to[e - from] : s[1];
	return 2;
}

/*
 * One word of a line, unquoted in place; gives what comes behind it, NULL when its quotes are not
 * in balance.
 */
static char *word(struct resp_parser *s, char *base, char *p, char *end)
{
	char *w = p, *out = p, quote = 0;

	for (; p < end || quote;) {
		if (p >= end)
			return NULL;
		if (quote && *p == quote) {
			if (p + 1 < end && !is_blank(p[1]))
				return NULL;
			p++;
			quote = 0;
			break;
		}
		if (quote == '"') {
			p += unescape(p, end, out++);
		} else if (quote) {
			if (*p == '\\' && p + 1 < end && p[1] == '\'')
				p++;
			*out++ = *p++;
		} else if (is_blank(*p) || !*p) {
			break;
		} else if (*p == '"' || *p == '\'') {
			quote = *p++;
			s->unquoted = true;
		} else {
			*out++ = *p++;
		}
	}
	add_arg(s, (size_t)(w - base), (size_t)(out - w));
	return p;
}

static enum resp_parse parse_line(struct resp_parser *s, char *p, size_t n,
                                  const struct resp_limits *l)
{
	char *lf = memchr(p + s->pos, '\n', n - s->pos), *end, *w;

	/* however much of what follows has come, too */
	if ((lf ? (size_t)(lf - p) : n) > l->inline_bytes)
		return bad(s, "Protocol error: too big inline request");
	if (!lf) {
		s->pos = n;
		return RESP_MORE;
	}
	s->pos = (size_t)(lf - p) + 1;
	end = lf > p && lf[-1] == '\r' ? lf - 1 : lf;
	s->n = 0;
	for (w = p;;) {
		while (w < end && is_blank(*w))
			w++;
		if (w >= end || !*w)
			break;
		w = word(s, p, w, end);
		if (!w)
			return bad(s, "Protocol error: unbalanced quotes in request");
	}
	return complete(s, p);
}

enum resp_parse resp_parse(struct resp_parser *s, char *p, size_t n, const struct resp_limits *l)
{
	if (!n)
		return RESP_MORE;
	return *p == '*' ? parse_array(s, p, n, l) : parse_line(s, p, n, l);
}

size_t resp_parser_wants(const struct resp_parser *s)
{
	return s->pos + (s->bulk ? (size_t)s->bulk - 1 + 2 : 0);
}

void resp_parser_release(struct resp_parser *s)
{
	free(s->arg);
	*s = (struct resp_parser){0};
}

/* -- Replies ---------------------------------------------------------------------------------- */

void resp_out_release(struct resp_out *o)
{
	free(o->p);
	o->p = NULL;
	o->n = o->cap = 0;
}

char *resp_room(struct resp_out *o, size_t n)
{
	if (o->cap - o->n < n) {
		size_t cap = o->cap ? 2 * o->cap : OUT_MIN;

		while (cap - o->n < n)
			cap *= 2;
		o->p = mem_realloc(o->p, cap, 1);
		o->cap = cap;
	}
	return o->p + o->n;
}

void resp_raw(struct resp_out *o, const void *p, size_t n)
{
	if (!n)
		return;
	memcpy(resp_room(o, n), p, n);
	o->n += n;
}

/* mark, number, CR LF: room for all of it is at hand. */
static char *put_head(char *p, char mark, uint64_t v)
{
	char digits[20];
	unsigned n = 0;

	*p++ = mark;
	do
		digits[n++] = (char)('0' + v % 10);
	while (v /= 10);
	while (n)
		*p++ = digits[--n];
	*p++ = '\r';
	*p++ = '\n';
	return p;
}

enum { HEAD_MAX = 24 };

static void add_head(struct resp_out *o, char mark, uint64_t v)
{
	char *p = resp_room(o, HEAD_MAX);

	o->n += (size_t)(put_head(p, mark, v) - p);
}

void resp_simple(struct resp_out *o, const char *text)
{
	size_t n = strlen(text);
	char *p = resp_room(o, n + 3);

	*p = '+';
	memcpy(p + 1, text, n);
	memcpy(p + 1 + n, "\r\n", 2);
	o->n += n + 3;
}

void resp_error(struct resp_out *o, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		n = 0;
	if ((size_t)n >= sizeof(text))
		n = sizeof(text) - 1;
	for (int i = 0; i < n; i++)
		if (text[i] == '\r' || text[i] == '\n')
			text[i] = ' ';
	resp_raw(o, "-", 1);
	resp_raw(o, text, (size_t)n);
	resp_raw(o, "\r\n", 2);
}

void resp_number(struct resp_out *o, int64_t v)
{
	char *p = resp_room(o, HEAD_MAX + 1);

	if (v >= 0) {
		o->n += (size_t)(put_head(p, ':', (uint64_t)v) - p);
		return;
	}
	*p = ':';
	o->n += (size_t)(put_head(p + 1, '-', 0 - (uint64_t)v) - p);
}

void resp_bulk(struct resp_out *o, struct bytes b)
{
	char *p = resp_room(o, b.n + HEAD_MAX + 2), *start = p;

	p = put_head(p, '$', b.n);
	if (b.n)
		memcpy(p, b.p, b.n);
	memcpy(p + b.n, "\r\n", 2);
	o->n += (size_t)(p - start) + b.n + 2;
}

void resp_text(struct resp_out *o, const char *text)
{
	resp_bulk(o, bytes_str(text));
}

void resp_null(struct resp_out *o)
{
	if (o->version == 3)
		resp_raw(o, "_\r\n", 3);
	else
		resp_raw(o, "$-1\r\n", 5);
}

void resp_null_array(struct resp_out *o)
{
	if (o->version == 3)
		resp_raw(o, "_\r\n", 3);
	else
		resp_raw(o, "*-1\r\n", 5);
}

void resp_array(struct resp_out *o, size_t n)
{
	add_head(o, '*', n);
}

void resp_map(struct resp_out *o, size_t n)
{
	if (o->version == 3)
		add_head(o, '%', n);
	else
		add_head(o, '*', 2 * n);
}

void resp_set(struct resp_out *o, size_t n)
{
	add_head(o, o->version == 3 ? '~' : '*', n);
}

void resp_verbatim(struct resp_out *o, struct bytes b)
{
	if (o->version != 3) {
		resp_bulk(o, b);
		return;
	}
	add_head(o, '=', b.n + 4);
	resp_raw(o, "txt:", 4);
	resp_raw(o, b.p, b.n);
	resp_raw(o, "\r\n", 2);
}
