/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * From an endpoint's pattern and a key to a URL: "/quotes/<symbol>" and "/quotes/IBM" give symbol =
 * IBM, and "https://api.example.com/v1/quotes/{symbol}" becomes
 * https://api.example.com/v1/quotes/IBM.
 *
 * HOW IT WORKS in braces stands `key`, the name of a <segment> of the pattern ({symbol}, or as in
 * the pattern {<symbol>}), or a number: {1} is what the first <segment> or `*` took. Everything but
 * letters, digits and -._~ is percent-encoded, and '/' where it is part of {key} or a `*`. {+key}
 * also leaves ?&=:@!$'()*+,; and %XX as they are, for keys that are URLs already. Where the host
 * ends and what follows does not begin with '/', one is put in.
 *
 * INVARIANTS the scheme, host and port of the result are those written in the template, whatever
 * the key says; its path has no "." or ".." segment, plain or encoded, and the URL no byte below
 * 0x21 or above 0x7e and no '#'.
 */
#ifndef FORECACHED_DAEMON_URL_TEMPLATE_H
#define FORECACHED_DAEMON_URL_TEMPLATE_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>

#define URL_MAX_BYTES    8192
#define URL_MAX_CAPTURES 16

/* What the open parts of a pattern took of a key. Views of both. */
struct url_captures {
	struct bytes name[URL_MAX_CAPTURES]; /* empty for `*` */
	struct bytes value[URL_MAX_CAPTURES];
	size_t n;
};

/*
 * Does the pattern (pattern.h) match? NULL matches everything, as "*" does. A <segment> takes one
 * non-empty segment, `*` the rest, which may be empty.
 */
bool url_match(const char *pattern, struct bytes key, struct url_captures *ret);

/*
 * NULL when the template is http:// or https:// with a literal host, and what it names is in the
 * pattern; else what is wrong (static).
 */
const char *url_template_check(const char *template, const char *pattern);

/*
 * Writes the URL, NUL-terminated, to ret[URL_MAX_BYTES]. NULL, or why this key gives none (static).
 * The template has passed url_template_check.
 */
const char *url_template_expand(const char *template, const struct url_captures *c,
                                struct bytes key, char *ret);

#endif
