/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the headers of an HTTP answer say to a cache (RFC 9110, 9111).
 *
 * HOW IT WORKS http_answer_header takes the header lines as they come and keeps what matters. An
 * answer may be kept unless it says no-store, or private, or sets a cookie, or varies by a request
 * header that is not known to be constant. `no-cache` and max-age=0 may be kept: they ask for a
 * check before each use, and how long a value is fresh is learned.
 *
 * INVARIANTS bounded: of each header only so much is kept as is named here. Pure.
 */
#ifndef FORECACHED_DAEMON_HTTP_RULES_H
#define FORECACHED_DAEMON_HTTP_RULES_H

#include "base/instant.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_MAX_ETAG 512

struct http_answer {
	bool no_store, is_private, set_cookie, no_cache, json, vary_too_long;
	double max_age_s, s_maxage_s, age_s; /* < 0: not said */
	/* since 1970; < 0: not said */
	double date_s, expires_s, last_modified_s, retry_after_s, retry_at_s;
	char etag[HTTP_MAX_ETAG + 1]; /* empty: none, or too long to be remembered */
	char last_modified[64];       /* as it came */
	char vary[512];               /* all of them, separated by commas */
};

/*
 * Before the first line, and at each status line: a redirect or "100 Continue" is another answer.
 */
void http_answer_init(struct http_answer *a);

/* One line, with or without its line end. What is not understood is skipped. */
void http_answer_header(struct http_answer *a, const char *line, size_t n);

/* May it be kept? If not, *ret_why says why (a static text). */
bool http_answer_cacheable(const struct http_answer *a, const char *const *vary, size_t n_vary,
                           bool cache_private, const char **ret_why);

/*
 * For how long from now the origin itself calls it fresh: s-maxage, max-age or Expires, less its
 * Age. SPAN_ZERO: not said. "Not at all" is one microsecond.
 */
struct span http_answer_max_age(const struct http_answer *a);

/*
 * How long to leave the origin alone; SPAN_ZERO: not said. At most a day. now_s: seconds since
 * 1970.
 */
struct span http_answer_retry_after(const struct http_answer *a, double now_s);

/*
 * May Last-Modified alone say that nothing has changed? Only if it was a second old at least when
 * it was sent: a second change within the same second would go unseen (RFC 9110, section 8.8.2.2).
 */
bool http_answer_last_modified_is_strong(const struct http_answer *a);

/*
 * How long before it came the value was last modified, in seconds; < 0: not said, or in the future.
 * By the origin's own clock where it tells the Date, so that ours need not agree with it.
 */
double http_answer_modified_ago(const struct http_answer *a, double now_s);

#endif
