/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An origin that speaks HTTP: carries out EFFECT_LOAD and hands back INPUT_LOADED.
 *
 *	http_origin_load(o, now, &effect)     start; never blocks, never calls back from inside
 *	http_origin_fd(o)                     one descriptor for the event loop; when it is readable:
 *	http_origin_run(o, now)               goes on, and calls back for every load that has ended
 *
 * HOW IT WORKS one libcurl multi handle per origin, driven by an epoll of its own with a timerfd in
 * it, so that the loop sees a single descriptor whatever libcurl opens. Connections are kept and
 * limited. The validators (ETag, Last-Modified) of what the cache holds are remembered in a bounded
 * table by endpoint, key and version: a load of a version that is known is asked for conditionally.
 *
 * The answer becomes
 *	200                          OK, or UNCACHEABLE (no-store, private, Set-Cookie, a Vary that is not
 *	                             listed) unless the route says cache_private
 *	304 to a conditional request NOT_MODIFIED
 *	404, 410                     ABSENT
 *	anything else                ERROR with a text: status, timeout, refused, wrong length, too large,
 *	                             redirect to another origin, TLS. Retry-After is handed on.
 * The version of a value is content_hash.h: equal JSON has an equal version, whatever its spacing
 * and order.
 *
 * INVARIANTS every load is answered exactly once, unless the origin is freed first. A URL never
 * leaves the scheme, host and port that its template names, whatever the key says. Secrets are in
 * no error text.
 *
 * OWNERSHIP the configuration is copied. Views in the input are valid during the callback only.
 */
#ifndef FORECACHED_DAEMON_HTTP_ORIGIN_H
#define FORECACHED_DAEMON_HTTP_ORIGIN_H

#include "base/fault.h"
#include "base/instant.h"
#include "engine/engine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_origin;
struct load;

/* Numbers per origin. Row as in policy.h: X(name, default, lowest, highest, unit, help). */
#define HTTP_ORIGIN_TABLE(X)                                                                       \
	X(connect_timeout, 3, 0.01, 600, "s", "no connection by then: the load has failed")        \
	X(timeout, 10, 0.01, 600, "s", "a load that takes longer has failed")                      \
	X(max_connections, 32, 1, 10000, "connections", "open at once; more loads wait for one")   \
	X(max_body_bytes, 67108864, 64, BYTES_MAX_VALUE, "bytes",                                        \
	  "a longer answer is an error, whatever its encoding")                                    \
	X(max_header_bytes, 65536, 1024, 1048576, "bytes", "longer headers are an error")          \
	X(max_redirects, 3, 0, 20, "redirects",                                                    \
	  "followed within the origin; to another host, never")                                    \
	X(max_validators, 65536, 64, 16777216, "keys", "ETags and Last-Modified remembered")       \
	X(max_json_bytes, 1048576, 0, BYTES_MAX_VALUE, "bytes", "longer JSON is compared byte by byte")

/* How keys become URLs. The first route that matches is taken. */
struct http_route {
	/*
	 * As engine_rule.match; compared with the endpoint's name, then with the key. NULL or "*":
	 * all.
	 */
	const char *match;
	/*
	 * A template, see url_template.h: "https://api.example.com/v1/quotes/{symbol}", or
	 * "http://127.0.0.1:8000{+key}" for keys that are paths.
	 */
	const char *url;
	/* "Name: value", n_headers of them; ${env:NAME} and ${file:/path} in the value */
	const char *const *header;
	size_t n_headers;
	/* names that a Vary may list: our request headers do not change with them */
	const char *const *vary;
	size_t n_vary;
	/* JSON pointers (RFC 6901, `*` for any one token) that do not count as content */
	const char *const *ignore;
	size_t n_ignore;
	/* keep what says private, no-store or Set-Cookie: it is the same for everyone */
	bool cache_private;
};

struct http_origin_config {
	const char *name; /* for error texts */
	const struct http_route *route;
	size_t n_routes;
	const char *ca_file;    /* NULL: the system's */
	const char *proxy;      /* NULL: none, whatever the environment says */
	const char *user_agent; /* NULL: "forecached/VERSION" */
	double time_scale;      /* deadlines of engine time are divided by it; 0 counts as 1 */
#define X(name, def, lo, hi, unit, help) double name;
	HTTP_ORIGIN_TABLE(X)
#undef X
};

/* All defaults, no routes. */
struct http_origin_config http_origin_default(void);

/* Called from http_origin_run, once for each load. It may call http_origin_load. */
typedef void http_origin_fn(void *arg, const struct input *loaded);

/*
 * Call curl_global_init first. 0, -EINVAL, -ENOENT or -EACCES for a file, -EMFILE, ... The text names the
 * field: "url: host must not contain '{'".
 */
int http_origin_new(const struct http_origin_config *c, http_origin_fn *fn, void *arg,
                    struct http_origin **ret, struct fault *reterr);

/*
 * A new configuration for the loads from now on; those in flight end by the old one. On error
 * nothing changes. max_validators stays.
 */
int http_origin_configure(struct http_origin *o, const struct http_origin_config *c,
                          struct fault *reterr);

/*
 * A value of `bytes` or more is given to fn before it is handed back: http_origin_go_on() does that,
 * at once or later, so that it can be hashed, compressed and put in its place meanwhile. It may have
 * been put in a room of the store, or packed (NULL: not). With hashed, its version is to be
 * content_hash_bytes() of it, which is handed in (0: not known). *ret_body is the value's memory, to be
 * freed by the caller.
 */
struct http_large {
	struct load *load; /* what to go on with */
	struct bytes body; /* stays until then */
	struct bytes endpoint, key;
	bool hashed;
};
typedef void http_large_fn(void *arg, const struct http_large *large);
void http_origin_set_large(struct http_origin *o, double bytes, http_large_fn *fn);
void http_origin_go_on(struct http_origin *o, struct instant now, struct load *load,
                       struct store_room *room, const struct packed_value *packed,
                       uint64_t content_hash, void **ret_body);

/* Drops the loads in flight without an answer. NULL is fine; sets the pointer to NULL. */
void http_origin_free(struct http_origin **o);

/*
 * Starts an EFFECT_LOAD. The deadline of the effect and `timeout`, whichever is earlier, ends it.
 */
void http_origin_load(struct http_origin *o, struct instant now, const struct effect *load);

int http_origin_fd(const struct http_origin *o);
void http_origin_run(struct http_origin *o, struct instant now);

struct http_origin_stats {
	uint64_t started, ok, not_modified, absent, uncacheable, errors, redirects, body_bytes;
	/* connects: new connections; the other loads reused one */
	uint64_t in_flight, validators, connects;
};
void http_origin_stats(const struct http_origin *o, struct http_origin_stats *ret);

/* The JSON pointer of a field that changes at every look, as noise_field (noise.h), or NULL. */
const char *http_origin_noise(const struct http_origin *o, struct bytes endpoint,
                              unsigned *ret_alone, unsigned *ret_compared);

#endif
