/* SPDX-License-Identifier: MIT */
/*
 * Strings, and bytes that came from elsewhere as text that is safe to show. The results are the
 * caller's to free.
 */
#ifndef FORECACHED_BASE_TEXT_H
#define FORECACHED_BASE_TEXT_H

#include "base/bytes.h"

#include <stdbool.h>

/* A copy; NULL of NULL. */
char *text_copy(const char *s);

/* For a terminal: control characters (C0, DEL, C1) and what is not UTF-8 become \xHH. */
char *text_printable(struct bytes b);

/*
 * For a JSON string: only what is not UTF-8, and NUL, become \xHH; JSON has escapes for the rest.
 */
char *text_json(struct bytes b);

/* A token of RFC 9110, section 5.6.2: what a header may be called. */
bool text_is_token(const char *s, size_t n);

/*
 * In 'single quotes', for a short text without allocating: printable ASCII as it is, all else, quotes and
 * backslashes as \xHH, and ... for what goes beyond TEXT_QUOTED_MAX bytes. So it can end neither its own
 * quotes nor those of a line of the log.
 */
#define TEXT_QUOTED_MAX   40
#define TEXT_QUOTED_BYTES (4 * TEXT_QUOTED_MAX + 6)
const char *text_quoted(struct bytes b, char buf[TEXT_QUOTED_BYTES]);

/* Is it UTF-8 without NUL? */
bool text_is_utf8(struct bytes b);

/* RFC 4648 base64, with padding. */
char *text_base64(struct bytes b);

#endif
