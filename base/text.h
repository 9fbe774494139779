/* SPDX-License-Identifier: MIT */
/*
 * Bytes that came from elsewhere as text that is safe to show. The results are the caller's to
 * free.
 */
#ifndef FORECACHED_BASE_TEXT_H
#define FORECACHED_BASE_TEXT_H

#include "base/bytes.h"

#include <stdbool.h>

/* For a terminal: control characters (C0, DEL, C1) and what is not UTF-8 become \xHH. */
char *text_printable(struct bytes b);

/*
 * For a JSON string: only what is not UTF-8, and NUL, become \xHH; JSON has escapes for the rest.
 */
char *text_json(struct bytes b);

/* Is it UTF-8 without NUL? */
bool text_is_utf8(struct bytes b);

/* RFC 4648 base64, with padding. */
char *text_base64(struct bytes b);

#endif
