/* SPDX-License-Identifier: MIT */
/*
 * What was wrong with a message: names the field and the limit, e.g.
 * "events[3].load_ms: must be a number from 0 to 86400000". Always one line, NUL-terminated; a name that a
 * peer sent gets into it only as text_quoted() writes it.
 */
#ifndef FORECACHED_PROTO_ERROR_H
#define FORECACHED_PROTO_ERROR_H

#define PROTO_ERROR_BYTES 320 /* a name in quotes takes up to 165 */

struct proto_error {
	char text[PROTO_ERROR_BYTES];
};

/* Sets the text (cut to fit); err may be NULL. Gives rc back, so that a decoder can return it. */
__attribute__((format(printf, 3, 4))) int proto_fail(struct proto_error *err, int rc,
                                                     const char *fmt, ...);

/* Puts where it was in front of the text that is there: "events[3]." before "load_ms: ...". */
__attribute__((format(printf, 3, 4))) int proto_within(struct proto_error *err, int rc,
                                                       const char *fmt, ...);

#endif
