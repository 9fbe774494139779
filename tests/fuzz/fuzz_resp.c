/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Requests of Redis clients. The first byte says into how long pieces the rest is cut: what is read
 * in pieces, from a buffer that moves, must be what is read at once.
 */
#include "tests/fuzz/fuzz.h"

#include "base/bug.h"
#include "base/hash.h"
#include "base/mem.h"
#include "proto/resp.h"

#include <stdlib.h>
#include <string.h>

static const char *const words[] = {"*1\r\n", "*3\r\n", "*-1\r\n", "$3\r\n", "$0\r\n\r\n", "$-1\r\n",
                                    "GET",    "\r\n",   "\"",      "'",      "\\x41",      "*2147483648\r\n",
                                    "$99999999999999\r\n", NULL};

const struct fuzz_target fuzz_target = {"resp", words, 2048};

static const struct resp_limits limits = {.inline_bytes = 100, .args = 16, .bulk_bytes = 300};

/* What came of a stream: a hash over all arguments, how many requests, and whether it broke. */
struct sum {
	uint64_t hash;
	size_t requests;
	const char *error;
};

static struct sum read_all(const uint8_t *data, size_t size, size_t piece)
{
	struct resp_parser s = {0};
	struct sum sum = {0};
	size_t start = 0, have = piece < size ? piece : size;

	while (start < size) {
		/* a copy that is cut exactly: reading beyond it is found out */
		char *buf = mem_dup(data + start, have - start);
		enum resp_parse got = resp_parse(&s, buf, have - start, &limits);

		if (got == RESP_BAD) {
			BUG_ON(!s.error);
			sum.error = s.error;
			free(buf);
			break;
		}
		if (got == RESP_REQUEST) {
			BUG_ON(!s.pos || s.pos > have - start);
			for (size_t i = 0; i < s.n; i++) {
				const char *p = s.arg[i].p;

				BUG_ON(p < buf || p + s.arg[i].n > buf + (have - start));
				sum.hash = hash_bytes(s.arg[i], sum.hash + i + 1);
			}
			sum.requests++;
			start += s.pos;
			resp_parser_next(&s);
			if (have < start)
				have = start;
		}
		free(buf);
		if (got == RESP_MORE || start == have) {
			if (have == size)
				break;
			have = have + piece < size ? have + piece : size;
		}
	}
	resp_parser_release(&s);
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sum whole, pieces;

	if (size < 2)
		return 0;
	whole = read_all(data + 1, size - 1, size);
	pieces = read_all(data + 1, size - 1, data[0] % 40 + 1u);
	BUG_ON(whole.hash != pieces.hash || whole.requests != pieces.requests);
	BUG_ON(!whole.error != !pieces.error);
	return 0;
}
