/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "analyzer/template.h"

#include <stdlib.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Where the segment that starts at i ends. */
static size_t segment_end(const char *p, size_t n, size_t i)
{
	while (i < n && p[i] != '/')
		i++;
	return i;
}

bool template_match(struct bytes pattern, struct bytes key)
{
	const char *p = pattern.p, *k = key.p;
	size_t i = 0, j = 0;

	for (;;) {
		size_t pe, ke;

		if (i < pattern.n && p[i] == '*' && i + 1 == pattern.n)
			return true;
		pe = segment_end(p, pattern.n, i);
		ke = segment_end(k, key.n, j);
		if (pe - i >= 2 && p[i] == '<' && p[pe - 1] == '>') {
			if (ke == j)
				return false;
		} else if (!bytes_equal(bytes_of(p + i, pe - i), bytes_of(k + j, ke - j))) {
			/* "*" at the end of a segment: any rest, also beyond it */
			return pe == pattern.n && pe > i && p[pe - 1] == '*' &&
			       key.n - j >= pe - 1 - i && memcmp(p + i, k + j, pe - 1 - i) == 0;
		}
		if (pe == pattern.n || ke == key.n)
			return pe == pattern.n && ke == key.n;
		i = pe + 1;
		j = ke + 1;
	}
}

/* An id rather than a name: a number, a UUID, a hash, or at least half of it digits. */
static bool is_id(const char *s, size_t n)
{
	size_t digits = 0, hex = 0, dashes = 0;

	for (size_t i = 0; i < n; i++) {
		digits += is_digit(s[i]);
		hex += is_hex(s[i]);
		dashes += s[i] == '-';
	}
	if (!digits)
		return false;
	return digits == n || (n >= 12 && hex + dashes == n) || (n >= 3 && 2 * digits >= n);
}

struct out {
	char *p;
	size_t n;
};

static void put(struct out *o, const char *s, size_t n)
{
	if (n > TEMPLATE_MAX - o->n)
		n = TEMPLATE_MAX - o->n;
	memcpy(o->p + o->n, s, n);
	o->n += n;
}

static int by_bytes(const void *a, const void *b)
{
	return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

/* Of a query string: the names of its parameters, sorted, each once. */
#define MAX_NAMES 32
static void put_query(struct out *o, const char *q, size_t n)
{
	struct bytes name[MAX_NAMES];
	size_t names = 0;

	for (size_t i = 0; i < n && names < MAX_NAMES;) {
		size_t end = i, eq;

		while (end < n && q[end] != '&')
			end++;
		for (eq = i; eq < end && q[eq] != '=';)
			eq++;
		if (eq > i)
			name[names++] = bytes_of(q + i, eq - i);
		i = end + 1;
	}
	qsort(name, names, sizeof(name[0]), by_bytes);
	for (size_t i = 0; i < names; i++) {
		if (i && bytes_equal(name[i], name[i - 1]))
			continue;
		put(o, i ? "&" : "?", 1);
		put(o, name[i].p, name[i].n);
	}
}

size_t template_mine(struct bytes key, char out[TEMPLATE_MAX + 1])
{
	struct out o = {out, 0};
	const char *k = key.p;
	size_t path = 0;

	while (path < key.n && k[path] != '?')
		path++;
	for (size_t i = 0; i < path;) {
		size_t end = segment_end(k, path, i);

		if (is_id(k + i, end - i))
			put(&o, "<id>", 4);
		else
			put(&o, k + i, end - i);
		if (end < path)
			put(&o, "/", 1);
		i = end + 1;
	}
	if (path < key.n)
		put_query(&o, k + path + 1, key.n - path - 1);
	/* names are printed: no control characters, whatever the key holds */
	for (size_t i = 0; i < o.n; i++)
		if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
			out[i] = '?';
	out[o.n] = 0;
	return o.n;
}
