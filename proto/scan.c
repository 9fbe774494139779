/* SPDX-License-Identifier: MIT */
#include "proto/scan.h"

#include "proto/limits.h"

#include <errno.h>
#include <stdint.h>

/* What the bytes of one value's head say. */
struct head {
	size_t bytes;    /* of the head */
	uint64_t body;   /* bytes of string or number that follow it */
	uint64_t values; /* values that follow it: of an array; keys and values of a map */
	bool known;
};

static uint64_t big_endian(const unsigned char *p, size_t n)
{
	uint64_t u = 0;

	while (n--)
		u = u << 8 | *p++;
	return u;
}

/* left >= 1. A head that is cut off has bytes > left. */
static struct head head_of(const unsigned char *p, size_t left)
{
	struct head h = {.bytes = 1, .known = true};
	unsigned char c = *p;
	size_t width;

	if (c <= 0x7f || c >= 0xe0 || c == 0xc0 || c == 0xc2 || c == 0xc3)
		return h; /* small integers, nil, false, true */
	if (c <= 0x8f) {
		h.values = 2 * (uint64_t)(c & 15);
		return h;
	}
	if (c <= 0x9f) {
		h.values = c & 15;
		return h;
	}
	if (c <= 0xbf) {
		h.body = c & 31;
		return h;
	}
	if (c >= 0xca && c <= 0xd3) { /* float 32 and 64, uint 8 to 64, int 8 to 64 */
		h.body = c == 0xca ? 4 : c == 0xcb ? 8 : (uint64_t)1 << ((c - 0xcc) & 3);
		return h;
	}
	switch (c) {
	case 0xc4: /* bin 8, str 8 */
	case 0xd9:
		width = 1;
		break;
	case 0xc5: /* bin 16, str 16, array 16, map 16 */
	case 0xda:
	case 0xdc:
	case 0xde:
		width = 2;
		break;
	case 0xc6: /* the same with 32 bits */
	case 0xdb:
	case 0xdd:
	case 0xdf:
		width = 4;
		break;
	default: /* 0xc1 is never used; 0xc7-c9 and 0xd4-d8 are extensions */
		h.known = false;
		return h;
	}
	h.bytes += width;
	if (h.bytes > left)
		return h;
	h.body = big_endian(p + 1, width);
	if (c >= 0xdc) {
		h.values = h.body << (c >= 0xde);
		h.body = 0;
	}
	return h;
}

/* Walks one value; gives the bytes that it takes, or 0 and the reason. */
static size_t walk(struct bytes in, size_t max_elements, struct proto_error *reterr)
{
	const unsigned char *p = in.p;
	uint64_t open[PROTO_MAX_DEPTH + 1]; /* values still to come, per open container */
	size_t at = 0, elements = 0;
	unsigned depth = 0;

	open[0] = 1;
	for (;;) {
		struct head h;

		while (open[depth] == 0) {
			if (depth == 0)
				return at;
			depth--;
		}
		open[depth]--;
		if (at == in.n) {
			proto_fail(reterr, 0, "message: ends after %zu bytes, within a value",
			           in.n);
			return 0;
		}
		if (++elements > max_elements) {
			proto_fail(reterr, 0, "message: has more than %zu values", max_elements);
			return 0;
		}
		h = head_of(p + at, in.n - at);
		if (!h.known) {
			proto_fail(reterr, 0, "message: byte %zu: %s", at,
			           p[at] == 0xc1 ? "0xc1 stands for nothing in msgpack"
			                         : "extension types are not used here");
			return 0;
		}
		if (h.bytes > in.n - at) {
			proto_fail(reterr, 0, "message: ends after %zu bytes, within a value",
			           in.n);
			return 0;
		}
		at += h.bytes;
		if (h.body > in.n - at || h.values > in.n - at) {
			proto_fail(reterr, 0,
			           "message: byte %zu: declares more than the %zu bytes left",
			           at - h.bytes, in.n - at);
			return 0;
		}
		at += h.body;
		if (h.values == 0)
			continue;
		if (depth == PROTO_MAX_DEPTH) {
			proto_fail(reterr, 0, "message: nests deeper than %d", PROTO_MAX_DEPTH);
			return 0;
		}
		open[++depth] = h.values;
	}
}

int scan_message(struct bytes in, size_t max_elements, struct proto_error *reterr)
{
	size_t n = walk(in, max_elements, reterr);

	if (n == 0)
		return -EBADMSG;
	if (n < in.n)
		return proto_fail(reterr, -EBADMSG, "message: %zu bytes are left over", in.n - n);
	return 0;
}

size_t scan_value(struct bytes in, size_t max_elements)
{
	return walk(in, max_elements, NULL);
}
