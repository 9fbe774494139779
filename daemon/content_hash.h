/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The version of a value: equal content has an equal version, so that a server that writes its JSON
 * in another order, or with the time of day in it, does not look as if its data changed.
 *
 * HOW IT WORKS JSON is read token by token, without building a tree. Spacing does not count, nor
 * does the order of the members of an object, nor how a string is escaped. Numbers count as they
 * are written: 1 and 1.0 are different, and no digit is lost. What ignored pointers name is left
 * out. Anything that is not strictly JSON, or nested deeper than CONTENT_MAX_DEPTH, is hashed as
 * bytes.
 *
 * INVARIANTS the same for the same content after every restart and on every machine of one byte
 * order; never 0.
 */
#ifndef FORECACHED_DAEMON_CONTENT_HASH_H
#define FORECACHED_DAEMON_CONTENT_HASH_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTENT_MAX_DEPTH  64
#define CONTENT_MAX_IGNORE 32 /* pointers of one route */

/* JSON pointers, read once. */
struct content_ignore;

/*
 * Pointers of RFC 6901 ("/meta/generated_at"); `*` as a token stands for any member or element. 0,
 * or -EINVAL with *ret_why (a static text). *ret is NULL for no pointers; to be freed with
 * content_ignore_free.
 */
int content_ignore_new(const char *const *pointer, size_t n, struct content_ignore **ret,
                       const char **ret_why);
void content_ignore_free(struct content_ignore **i);

/* ignore may be NULL. */
uint64_t content_hash_json(struct bytes body, const struct content_ignore *ignore);
uint64_t content_hash_bytes(struct bytes body);

/* The same, and what it is made of. */
#define CONTENT_MAX_PARTS 32
#define CONTENT_PLACE_MAX 96 /* bytes of a JSON pointer, with its NUL */

struct content_part {
	uint64_t place, value; /* hashes of the pointer and of what it points to */
};

struct content_parts {
	size_t n;
	struct content_part part[CONTENT_MAX_PARTS];
	char name[CONTENT_MAX_PARTS][CONTENT_PLACE_MAX]; /* the pointers */
	uint64_t rest; /* of all members that are too many, or too long of name */
};

/*
 * Members of the outermost object, and of objects that are members of it, count as parts; those of
 * deeper ones and elements of arrays belong to their part. Not JSON, or no object: no parts.
 */
uint64_t content_hash_parts(struct bytes body, const struct content_ignore *ignore,
                            struct content_parts *ret);

#endif
