/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One line of an access log in the common or combined format that nginx and Apache write:
 *
 *	host ident user [17/May/2026:08:05:32 +0200] "GET /a?b=1 HTTP/1.1" 200 318 "referer" "agent"
 *
 * Time has whole seconds and an offset; bytes outside printable ASCII, quotes and backslashes in
 * the request come as \xHH (nginx) or \" \\ \n (Apache).
 */
#ifndef FORECACHED_SIM_WEBLOG_H
#define FORECACHED_SIM_WEBLOG_H

#include "base/bytes.h"
#include "base/instant.h"

#include <stdbool.h>
#include <stdint.h>

enum weblog_what {
	WEBLOG_OK,
	WEBLOG_EMPTY,     /* the request is "-" or "": a connection without one */
	WEBLOG_METHOD,    /* not GET or HEAD: nothing a cache could answer */
	WEBLOG_STATUS,    /* neither 2xx nor 304: no value came of it */
	WEBLOG_MALFORMED, /* not a line of such a log, or not HTTP */
};

struct weblog {
	struct instant at;
	/* path, and query if kept, with escapes undone; a view into the line */
	struct bytes target;
	uint16_t status;
	uint32_t bytes; /* 0 for "-"; larger ones are clipped */
};

/* The line is changed. *ret is complete for WEBLOG_OK only. */
enum weblog_what weblog_parse(char *line, size_t n, bool keep_query, struct weblog *ret);

/* True when the line has a time in brackets and a quoted request behind it. Changes nothing. */
bool weblog_looks_like(struct bytes line);

#endif
