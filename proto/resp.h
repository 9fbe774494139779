/* SPDX-License-Identifier: MIT */
/*
 * What Redis clients speak: RESP2 and RESP3. Requests are read piece by piece as they come in,
 * replies are written into a growing buffer. No sockets here.
 *
 * HOW IT WORKS a request is an array of bulk strings ("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n") or, from
 * somebody at a terminal, a line of words. The parser is shown the bytes from the start of the
 * request each time more have come; it remembers how far it got and never reads a byte twice, so a
 * value of many megabytes in small pieces costs no more than in one. Arguments are views into that
 * buffer: nothing is copied. Replies differ between the two versions in four things only: null,
 * maps, sets and verbatim text.
 *
 * INVARIANTS no length that a peer declares makes the parser reserve memory: arguments are counted
 * as they come. Texts of errors are those that Redis 7.0 uses, as clients branch on them.
 *
 * OWNERSHIP the bytes belong to the caller. The views in `arg` are valid until the next call, or
 * until the buffer is moved or changed.
 */
#ifndef FORECACHED_PROTO_RESP_H
#define FORECACHED_PROTO_RESP_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

/* -- Requests --------------------------------------------------------------------------------- */

/* The most that a peer may send; what is above it ends the connection. */
struct resp_limits {
	size_t inline_bytes; /* a line: a request typed by hand, or the head of an array or string */
	size_t args;         /* strings of one request */
	size_t bulk_bytes;   /* of one string */
	bool stranger; /* has not said its password: 10 arguments of 16 KiB each are enough for that */
};

/* All zero is a parser that has read nothing. */
struct resp_parser {
	struct bytes *arg; /* of the request that is complete; n of them */
	size_t n, cap;
	size_t pos;   /* bytes read, from the start of the request */
	int64_t left; /* arguments still to come; 0: the head of the request is to come */
	int64_t bulk; /* bytes of the string that comes next, plus 1; 0: its head is to come */
	bool unquoted; /* it was a line with quotes, and is changed: it cannot be read once more */
	const char *error; /* why RESP_BAD was given: a static text */
	char got;          /* with an error that ends in "got '": the character */
};

enum resp_parse {
	RESP_MORE,    /* the request is not complete yet */
	RESP_REQUEST, /* arg and n hold it; n is 0 for an empty line or array. It took `pos` bytes */
	RESP_BAD,     /* not RESP: error says why. The connection cannot be used any further */
};

/*
 * Reads on. p: the bytes from the start of the request, among them those of earlier calls; a line
 * with quotes is changed in place. After RESP_REQUEST the next request starts at p + parser->pos:
 * call resp_parser_next() when this one has been dealt with.
 */
enum resp_parse resp_parse(struct resp_parser *s, char *p, size_t n, const struct resp_limits *l);

static inline void resp_parser_next(struct resp_parser *s)
{
	s->pos = 0;
	s->n = 0;
	s->left = s->bulk = 0;
	s->unquoted = false;
}

/*
 * Once RESP_MORE was given: the size that the whole request has at the least, as far as it can be
 * told (the string that is being read must end); for a buffer that wants to grow at once.
 */
size_t resp_parser_wants(const struct resp_parser *s);

void resp_parser_release(struct resp_parser *s);

/* A whole number as Redis takes it: no blanks, no plus, no leading zeros. */
bool resp_int(struct bytes b, int64_t *ret);

/* -- Replies ---------------------------------------------------------------------------------- */

/* All zero is an empty buffer of version 2. */
struct resp_out {
	char *p;
	size_t n, cap;
	uint8_t version; /* 3, or else 2 */
};

void resp_out_release(struct resp_out *o);

/* Room for n more bytes; gives where they go. The caller adds to o->n what it has written. */
char *resp_room(struct resp_out *o, size_t n);

void resp_raw(struct resp_out *o, const void *p, size_t n);
void resp_simple(struct resp_out *o, const char *text);
/* "ERR text": CR and LF in it become blanks. */
__attribute__((format(printf, 2, 3))) void resp_error(struct resp_out *o, const char *fmt, ...);
void resp_number(struct resp_out *o, int64_t v);
void resp_bulk(struct resp_out *o, struct bytes b);
void resp_text(struct resp_out *o, const char *text); /* a bulk string, too */
void resp_null(struct resp_out *o);
void resp_null_array(struct resp_out *o);
void resp_array(struct resp_out *o, size_t n);
/* n pairs of name and value follow: a map, or an array of 2n. */
void resp_map(struct resp_out *o, size_t n);
void resp_set(struct resp_out *o, size_t n);
/* Text for people: verbatim, or a bulk string. */
void resp_verbatim(struct resp_out *o, struct bytes b);

#endif
