/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Lines of access logs. */
#include "tests/fuzz/fuzz.h"

#include "base/bug.h"
#include "base/mem.h"
#include "sim/weblog.h"

#include <stdlib.h>
#include <string.h>

static const char *const words[] = {
        " - - [",     "] \"GET ",   " HTTP/1.1\" 200 ", "\\x22", "\\\"",  "\\\\", "\\n", "29/Feb/",
        "/Feb/1900:", ":23:59:60 ", " +9999]",          "?q=",   "HEAD ", "304",  NULL};

const struct fuzz_target fuzz_target = {"weblog", words, 4096};

static void check(const char *line, size_t n, bool keep_query)
{
	char *copy = mem_dup(line, n);
	struct weblog w;

	if (weblog_parse(copy, n, keep_query, &w) == WEBLOG_OK) {
		const char *p = w.target.p;
		bool inside = p >= copy && p + w.target.n <= copy + n;

		/* http://host without a path asks for "/", which stands nowhere in the line */
		BUG_ON(w.target.n == 0 || (!inside && !bytes_equal(w.target, bytes_str("/"))));
		BUG_ON(!keep_query && memchr(p, '?', w.target.n) && !memchr(line, '\\', n) &&
		       !memchr(line, '%', n));
		BUG_ON(!instant_is_set(w.at));
		BUG_ON(w.status != 304 && (w.status < 200 || w.status > 299));
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data, *end = p + size;

	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((nl ? nl : end) - p);

		weblog_looks_like(bytes_of(p, n));
		check(p, n, false);
		check(p, n, true);
		p += n + 1;
	}
	return 0;
}
