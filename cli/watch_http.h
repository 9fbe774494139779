/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One conditional GET at a time, for `watch`.
 *
 * HOW IT WORKS each URL has a libcurl handle of its own, so that its connection is kept; a call
 * waits until the answer is there, so never more than one request is on its way, to whatever host.
 *
 * OWNERSHIP url, headers and ignore must outlive the handle; texts in an answer live until the next
 * get.
 */
#ifndef FORECACHED_CLI_WATCH_HTTP_H
#define FORECACHED_CLI_WATCH_HTTP_H

#include "daemon/content_hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct watch_http;

#define WATCH_HTTP_MAX_BYTES (8u << 20) /* of a body; a longer one is an error */
#define WATCH_HTTP_ERROR_MAX 256

struct watch_answer {
	int status;       /* HTTP; 0: none came, see error */
	uint64_t version; /* of the content, with 200: content_hash.h */
	size_t bytes;     /* of the body */
	double load_ms;
	double last_modified_s, date_s; /* NAN: not said */
	double retry_after_s;           /* NAN: not said */
	char error[WATCH_HTTP_ERROR_MAX];
};

struct watch_http_options {
	const char *const *header; /* "Name: value", n_headers of them */
	size_t n_headers;
	const struct content_ignore *ignore; /* what does not count as content; NULL: all counts */
	double timeout_s;
};

/* curl_global_init was called. NULL: no memory. */
struct watch_http *watch_http_new(const char *url, const struct watch_http_options *o);
void watch_http_free(struct watch_http **h);

/*
 * Asks with If-None-Match and If-Modified-Since of the last 200. Gives up early when
 * cli_interrupted().
 */
void watch_http_get(struct watch_http *h, struct watch_answer *ret);

/*
 * Scheme and host of a URL for http and https, and whether it is this machine. 0 or -EINVAL. The
 * host (with its port) is the caller's to free.
 */
int watch_http_host(const char *url, char **ret_host, bool *ret_loopback);

#endif
