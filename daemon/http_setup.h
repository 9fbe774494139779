/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The configuration of an HTTP origin as loads use it: checked and copied, headers with their secrets in
 * place, the pointers to ignore compiled.
 *
 * INVARIANTS loads in flight keep the setup that they began with, also over a reload: it is counted, and
 * freed with its last user. Secrets are in no error text.
 */
#ifndef FORECACHED_DAEMON_HTTP_SETUP_H
#define FORECACHED_DAEMON_HTTP_SETUP_H

#include "base/bytes.h"
#include "base/fault.h"
#include "daemon/content_hash.h"
#include "daemon/http_origin.h"
#include "daemon/url_template.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>

struct http_setup_route {
	char *match, *url;
	struct curl_slist *header;
	const char **vary;
	size_t n_vary;
	struct content_ignore *ignore;
	bool cache_private;
};

struct http_setup {
	unsigned users;
	char *name, *ca_file, *proxy, *user_agent;
	struct http_setup_route *route;
	size_t n_routes;
	double scale;
#define X(name, def, lo, hi, unit, help) double name;
	HTTP_ORIGIN_TABLE(X)
#undef X
};

/* With one user. 0, or the error of http_origin_new() for a wrong configuration. */
int http_setup_new(const struct http_origin_config *c, struct http_setup **ret,
                   struct fault *reterr);

/* Whether "Name: value" can be sent, and its secrets read. The error does not name the header. */
int http_header_check(const char *header, struct fault *reterr);

/* One user less; the last one frees it. */
void http_setup_drop(struct http_setup *s);

/* The first route for the key or its endpoint, and what its template takes from the key; NULL: none. */
const struct http_setup_route *http_setup_find(const struct http_setup *s, struct bytes endpoint,
                                               struct bytes key, struct url_captures *ret);

#endif
