/* SPDX-License-Identifier: MIT */
/*
 * A view of bytes that somebody else owns. How long it is valid is said where one is handed out.
 * Keys are bytes, not text: any byte may occur in them.
 */
#ifndef FORECACHED_BASE_BYTES_H
#define FORECACHED_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/*
 * The longest key or endpoint, and the longest value, that anything is made for: what a configuration
 * can allow at the most. The segment's layout has these bounds, too.
 */
#define BYTES_MAX_KEY   65536
#define BYTES_MAX_VALUE 536870912 /* 512 MiB */

/*
 * Keys and values that are taken unless the configuration says otherwise: rows that the limits of the cache
 * (engine/policy.h) and those of messages (proto/limits.h) share.
 */
#define BYTES_LIMIT_TABLE(X)                                                                       \
	X(max_key_bytes, 1024, 16, BYTES_MAX_KEY, "bytes", "longer keys are refused")              \
	X(max_value_bytes, 67108864, 64, BYTES_MAX_VALUE, "bytes", "larger values are refused")

struct bytes {
	const void *p; /* may be NULL when n is 0 */
	size_t n;
};

static inline struct bytes bytes_of(const void *p, size_t n)
{
	return (struct bytes){p, n};
}

/* Of a NUL-terminated string, without the NUL; NULL gives the empty view. */
static inline struct bytes bytes_str(const char *s)
{
	return (struct bytes){s, s ? strlen(s) : 0};
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Orders by bytes, a prefix before what it is a prefix of. */
static inline int bytes_compare(struct bytes a, struct bytes b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n ? memcmp(a.p, b.p, n) : 0;

	return c ? c : (a.n > b.n) - (a.n < b.n);
}

#endif
