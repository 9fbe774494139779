/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Headers of an origin's answer, one a line. */
#include "tests/fuzz/fuzz.h"

#include "base/bug.h"
#include "daemon/http_rules.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const words[] = {"Cache-Control: ",
                                    "max-age=",
                                    "s-maxage=",
                                    "no-store",
                                    "private",
                                    "no-cache=\"",
                                    "Expires: ",
                                    "Sun, 06 Nov 1994 08:49:37 GMT",
                                    "Sunday, 06-Nov-94 08:49:37 GMT",
                                    "Date: ",
                                    "Age: ",
                                    "ETag: ",
                                    "W/\"",
                                    "Last-Modified: ",
                                    "Vary: ",
                                    "Set-Cookie:",
                                    "Retry-After: ",
                                    "99999999999",
                                    "Content-Type: application/json",
                                    "\r\n",
                                    NULL};

const struct fuzz_target fuzz_target = {"http", words, 4096};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const constant[] = {"Accept", "Accept-Encoding"};
	const char *p = (const char *)data, *end = p + size, *why = NULL;
	struct http_answer a;
	struct span d;

	http_answer_init(&a);
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((nl ? nl + 1 : end) - p);

		http_answer_header(&a, p, n);
		p += n;
	}
	BUG_ON(!memchr(a.etag, 0, sizeof(a.etag)) || !memchr(a.vary, 0, sizeof(a.vary)) ||
	       !memchr(a.last_modified, 0, sizeof(a.last_modified)));
	/* what goes into the next request must not begin a header of its own */
	BUG_ON(strpbrk(a.etag, "\r\n") || strpbrk(a.last_modified, "\r\n"));
	BUG_ON(isnan(a.max_age_s) || isnan(a.s_maxage_s) || isnan(a.age_s) || isnan(a.date_s) ||
	       isnan(a.expires_s) || isnan(a.last_modified_s) || isnan(a.retry_after_s));
	BUG_ON(!http_answer_cacheable(&a, constant, 2, size % 2, &why) && !why);
	d = http_answer_max_age(&a);
	BUG_ON(d.us < 0 || d.us > SPAN_MAX.us);
	d = http_answer_retry_after(&a, 1770000000);
	BUG_ON(d.us < 0 || d.us > INT64_C(86400000000));
	http_answer_last_modified_is_strong(&a);
	return 0;
}
