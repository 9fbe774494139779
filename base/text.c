/* SPDX-License-Identifier: MIT */
#include "base/text.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

char *text_copy(const char *s)
{
	return s ? mem_dup(s, strlen(s)) : NULL;
}

/* Bytes of the well-formed UTF-8 sequence at s (of n bytes), or 0 when there is none. */
static size_t sequence(const unsigned char *s, size_t n)
{
	size_t len = s[0] < 0x80                   ? 1
	             : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
	             : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
	             : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
	                                           : 0;

	if (len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* overlong forms, surrogates, beyond U+10FFFF */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90))
		return 0;
	return len;
}

static bool is_control(const unsigned char *s)
{
	return s[0] < 0x20 || s[0] == 0x7f || (s[0] == 0xc2 && s[1] < 0xa0);
}

static char *escaped(struct bytes b, bool controls)
{
	const unsigned char *s = b.p;
	char *copy = mem_calloc(b.n * 4 + 1, 1), *out = copy;

	for (size_t i = 0; i < b.n;) {
		size_t n = sequence(s + i, b.n - i);

		if (n == 0 || s[i] == 0 || (controls && is_control(s + i))) {
			out += sprintf(out, "\\x%02x", s[i++]);
			continue;
		}
		memcpy(out, s + i, n);
		out += n;
		i += n;
	}
	return copy;
}

char *text_printable(struct bytes b)
{
	return escaped(b, true);
}

char *text_json(struct bytes b)
{
	return escaped(b, false);
}

bool text_is_token(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!((s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= 'a' && s[i] <= 'z') ||
		      (s[i] >= '0' && s[i] <= '9') || (s[i] && strchr("!#$%&'*+-.^_`|~", s[i]))))
			return false;
	return n > 0;
}

const char *text_quoted(struct bytes b, char buf[TEXT_QUOTED_BYTES])
{
	size_t shown = b.n < TEXT_QUOTED_MAX ? b.n : TEXT_QUOTED_MAX;
	const unsigned char *s = b.p;
	char *out = buf;

	*out++ = '\'';
	for (size_t i = 0; i < shown; i++) {
		if (s[i] >= ' ' && s[i] < 0x7f && !strchr("'\"\\", s[i]))
			*out++ = (char)s[i];
		else
			out += sprintf(out, "\\x%02x", s[i]);
	}
	strcpy(out, shown < b.n ? "...'" : "'");
	return buf;
}

bool text_is_utf8(struct bytes b)
{
	const unsigned char *s = b.p;
	size_t n;

	for (size_t i = 0; i < b.n; i += n) {
		n = sequence(s + i, b.n - i);
		if (n == 0 || s[i] == 0)
			return false;
	}
	return true;
}

char *text_base64(struct bytes b)
{
	static const char digit[] =
	        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *s = b.p;
	char *text = mem_calloc((b.n + 2) / 3 * 4 + 1, 1), *out = text;

	for (size_t i = 0; i < b.n; i += 3) {
		size_t left = b.n - i;
		unsigned x = (unsigned)s[i] << 16 | (left > 1 ? s[i + 1] : 0u) << 8 |
		             (left > 2 ? s[i + 2] : 0u);

		*out++ = digit[x >> 18];
		*out++ = digit[x >> 12 & 63];
		*out++ = left > 1 ? digit[x >> 6 & 63] : '=';
		*out++ = left > 2 ? digit[x & 63] : '=';
	}
	return text;
}
