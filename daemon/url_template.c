/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/url_template.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

/* -- Patterns --------------------------------------------------------------------------------- */

bool url_match(const char *pattern, struct bytes key, struct url_captures *ret)
{
	const char *p = pattern ? pattern : "*", *k = key.p, *end;

	if (!k)
		k = "";
	end = k + key.n;
	ret->n = 0;
	while (*p) {
		const char *from = k, *close;
		struct bytes name = {NULL, 0};

		if (*p == '*' && !p[1]) {
			k = end;
			p++;
		} else if (*p == '<' && (close = strchr(p, '>'))) {
			name = bytes_of(p + 1, (size_t)(close - p - 1));
			while (k < end && *k != '/')
				k++;
			if (k == from)
				return false;
			p = close + 1;
		} else if (k < end && *k == *p) {
			k++;
			p++;
			continue;
		} else {
			return false;
		}
		if (ret->n < URL_MAX_CAPTURES) {
			ret->name[ret->n] = name;
			ret->value[ret->n++] = bytes_of(from, (size_t)(k - from));
		}
	}
	return k == end;
}

/* -- Templates -------------------------------------------------------------------------------- */

/* What stands in one pair of braces. */
struct placeholder {
	struct bytes name;
	bool reserved; /* {+name} */
	const char *after;
};

/* p stands at '{'. False when there is no end to it, or nothing in it. */
static bool placeholder_read(const char *p, struct placeholder *ret)
{
	const char *end = strchr(p, '}');

	if (!end)
		return false;
	p++;
	ret->reserved = *p == '+';
	p += ret->reserved;
	ret->after = end + 1;
	if (end - p >= 2 && *p == '<' && end[-1] == '>') {
		p++;
		end--;
	}
	ret->name = bytes_of(p, (size_t)(end - p));
	return ret->name.n > 0 && !memchr(p, '{', ret->name.n);
}

/* Index from 1 that the text says, or 0. */
static size_t as_index(struct bytes name)
{
	const char *s = name.p;

	if (name.n == 1 && s[0] >= '1' && s[0] <= '9')
		return (size_t)(s[0] - '0');
	if (name.n == 2 && s[0] == '1' && s[1] >= '0' && s[1] <= '6')
		return (size_t)(10 + s[1] - '0');
	return 0;
}

static bool find(const struct url_captures *c, struct bytes key, struct bytes name,
                 struct bytes *ret, bool *ret_keep_slash)
{
	size_t i = as_index(name);

	*ret_keep_slash = true;
	if (bytes_equal(name, bytes_str("key"))) {
		*ret = key;
		return true;
	}
	if (i) {
		if (i > c->n)
			return false;
		*ret = c->value[i - 1];
		return true;
	}
	*ret_keep_slash = false;
	for (i = 0; i < c->n; i++)
		if (c->name[i].n && bytes_equal(c->name[i], name)) {
			*ret = c->value[i];
			return true;
		}
	return false;
}

/*
 * Where the host ends: the first '/', '?', '#' or '{' behind "://"; NULL without a scheme of ours.
 */
static const char *authority_end(const char *template)
{
	const char *p = NULL;

	if (strncasecmp(template, "http://", 7) == 0)
		p = template + 7;
	else if (strncasecmp(template, "https://", 8) == 0)
		p = template + 8;
	if (!p)
		return NULL;
	return p + strcspn(p, "/?#{");
}

const char *url_template_check(const char *template, const char *pattern)
{
	/* the pattern matches itself, segment by segment, and so names its captures */
	struct url_captures c;
	struct placeholder ph;
	struct bytes value;
	const char *p = authority_end(template), *s;
	bool keep_slash;

	if (!p)
		return "must begin with http:// or https://";
	s = strstr(template, "://") + 3;
	if (p == s)
		return "has no host, or '{' in it";
	if (memchr(s, '@', (size_t)(p - s)))
		return "must not hold a user or password: use a header";
	if (strlen(template) >= URL_MAX_BYTES / 2)
		return "is too long";
	for (s = template; *s; s++)
		if ((unsigned char)*s <= ' ' || (unsigned char)*s > '~' || *s == '#')
			return "holds a blank, '#' or a byte that is not ASCII: percent-encode it";
	if (!url_match(pattern, bytes_str(pattern ? pattern : ""), &c))
		return "has a pattern that is not one";
	while ((p = strchr(p, '{'))) {
		if (!placeholder_read(p, &ph))
			return "has a '{' without a name and '}'";
		if (!find(&c, bytes_str(""), ph.name, &value, &keep_slash))
			return "names in braces what is neither `key` nor in the pattern";
		p = ph.after;
	}
	return NULL;
}

/* -- Expansion -------------------------------------------------------------------------------- */

struct writer {
	char *p;
	size_t n;
	bool full;
};

static void put(struct writer *w, char c)
{
	if (w->n + 1 < URL_MAX_BYTES)
		w->p[w->n++] = c;
	else
		w->full = true;
}

static bool is_unreserved(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

static int hex(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	                              : -1;
}

static void put_encoded(struct writer *w, struct bytes b, bool keep_slash, bool reserved)
{
	static const char digit[] = "0123456789ABCDEF";
	const unsigned char *s = b.p;
	size_t i;

	for (i = 0; i < b.n; i++) {
		unsigned char c = s[i];

		if (is_unreserved(c) || (c == '/' && (keep_slash || reserved)) ||
		    (reserved && c && strchr("?&=:@!$'()*+,;", c)) ||
		    (reserved && c == '%' && i + 2 < b.n && hex((char)s[i + 1]) >= 0 &&
		     hex((char)s[i + 2]) >= 0)) {
			put(w, (char)c);
		} else {
			put(w, '%');
			put(w, digit[c >> 4]);
			put(w, digit[c & 15]);
		}
	}
}

/*
 * "." or "..", each dot plain or as %2e: servers and libraries resolve them, and leave the place
 * meant.
 */
static bool is_dots(const char *s, size_t n)
{
	size_t i = 0;
	int dots = 0;

	while (i < n) {
		if (s[i] == '.')
			i++;
		else if (n - i >= 3 && s[i] == '%' && s[i + 1] == '2' && (s[i + 2] | 0x20) == 'e')
			i += 3;
		else
			return false;
		dots++;
	}
	return dots == 1 || dots == 2;
}

static bool has_dot_segment(const char *path)
{
	size_t end = strcspn(path, "?");
	const char *p = path;

	while (p <= path + end) {
		const char *next = memchr(p, '/', (size_t)(path + end - p));
		size_t n = next ? (size_t)(next - p) : (size_t)(path + end - p);

		if (is_dots(p, n))
			return true;
		p += n + 1;
	}
	return false;
}

const char *url_template_expand(const char *template, const struct url_captures *c,
                                struct bytes key, char *ret)
{
	struct writer w = {.p = ret};
	const char *p = template, *host_end = authority_end(template);
	struct placeholder ph;
	struct bytes value;
	bool keep_slash;
	size_t path = (size_t)(host_end - template);

	while (*p) {
		if (*p != '{') {
			put(&w, *p++);
			continue;
		}
		if (!placeholder_read(p, &ph) || !find(c, key, ph.name, &value, &keep_slash))
			return "the key does not have the segments that the url names";
		/* nothing of a key may become part of the host */
		if (p == host_end &&
		    !(value.n && *(const char *)value.p == '/' && (keep_slash || ph.reserved)))
			put(&w, '/');
		put_encoded(&w, value, keep_slash, ph.reserved);
		p = ph.after;
	}
	put(&w, '\0');
	if (w.full)
		return "the key gives a URL that is too long";
	if (has_dot_segment(ret + path))
		return "the key gives a URL with a '.' or '..' segment";
	return NULL;
}
