/* SPDX-License-Identifier: MIT */
/*
 * Reads a message: first the walk of scan.h, then msgpack-c, then typed questions about its values.
 * Every question that finds something else than it asked for says so, with the field's name and the
 * limits.
 *
 *	struct message m;
 *	message_init(&m);
 *	rc = message_read(&m, frame, &limits, &err);
 *	rc = rc ? rc : value_array(m.root, "request", 2, 8, &c, &err);
 *	rc = rc ? rc : value_uint(cursor_next(&c), "request.id", UINT64_MAX, &id, &err);
 *
 * A NULL value (what cursor_next gives at the end of an array, and map_find for a key that is not
 * there) reads as nil. The value_ functions do not take nil for anything but nil: trailing fields
 * that may be left out are asked for with value_is_nil first.
 *
 * OWNERSHIP views point into the frame that was read, which must outlive them; values live until
 * the next message_read or message_release.
 */
#ifndef FORECACHED_PROTO_VALUE_H
#define FORECACHED_PROTO_VALUE_H

#include "base/bytes.h"
#include "base/instant.h"
#include "proto/error.h"
#include "proto/limits.h"

#include <stdbool.h>
#include <stdint.h>

struct msgpack_object;
struct msgpack_zone;

struct message {
	struct msgpack_zone *zone; /* msgpack-c's memory of the message */
	const struct msgpack_object *root;
};

void message_init(struct message *m);
void message_release(struct message *m);

/* 0; -EBADMSG: not a message within the limits; -ENOMEM. */
int message_read(struct message *m, struct bytes frame, const struct proto_limits *limits,
                 struct proto_error *reterr);

/* -- What a value is ------------------------------------------------------------------------ */

enum value_kind {
	VALUE_NIL,
	VALUE_BOOL,
	VALUE_UINT,
	VALUE_INT, /* below zero */
	VALUE_NUM,
	VALUE_STR,
	VALUE_BIN,
	VALUE_ARRAY,
	VALUE_MAP,
};
enum value_kind value_kind(const struct msgpack_object *v);

static inline bool value_is_nil(const struct msgpack_object *v)
{
	return value_kind(v) == VALUE_NIL;
}

/* -- Typed questions: 0, or -EBADMSG with the field named ----------------------------------- */

#define VALUE_MAX_INSTANT_S 253402300800.0 /* the end of year 9999 */

int value_bool(const struct msgpack_object *v, const char *field, bool *ret,
               struct proto_error *reterr);

/* A whole number from 0 to max. */
int value_uint(const struct msgpack_object *v, const char *field, uint64_t max, uint64_t *ret,
               struct proto_error *reterr);

/* An integer or a float that is finite and from min to max. */
int value_num(const struct msgpack_object *v, const char *field, double min, double max,
              double *ret, struct proto_error *reterr);

/* str or bin of min to max bytes; -EMSGSIZE when it is longer. */
int value_bytes(const struct msgpack_object *v, const char *field, size_t min, size_t max,
                struct bytes *ret, struct proto_error *reterr);

/* Seconds since 1970, 0 to year 9999. Seconds from 0 to 100 years. */
int value_instant(const struct msgpack_object *v, const char *field, struct instant *ret,
                  struct proto_error *reterr);
int value_span(const struct msgpack_object *v, const char *field, struct span *ret,
               struct proto_error *reterr);

/*
 * The version of a content, as the 64-bit number that the engine compares: an integer is itself,
 * str and bin (an ETag, say) are hashed. Never 0 for str and bin. nil gives 0, "unknown".
 */
int value_version(const struct msgpack_object *v, const char *field, uint64_t *ret,
                  struct proto_error *reterr);

/* -- Arrays and maps: what could not be read is empty afterwards, so asking on finds nothing  */

struct cursor {
	const struct msgpack_object *at;
	size_t left;
};

/* An array of min to max values, to be walked with cursor_next; -EMSGSIZE when it has more. */
int value_array(const struct msgpack_object *v, const char *field, size_t min, size_t max,
                struct cursor *ret, struct proto_error *reterr);
const struct msgpack_object *cursor_next(struct cursor *c); /* NULL at the end */

/* The i-th of those that are left; NULL when there are not so many. */
const struct msgpack_object *cursor_at(const struct cursor *c, size_t i);

/* A map whose keys are all str. Of duplicate keys the first counts. */
struct map {
	const void *at; /* of msgpack_object_kv */
	size_t n;
};
int value_map(const struct msgpack_object *v, const char *field, struct map *ret,
              struct proto_error *reterr);
const struct msgpack_object *map_find(const struct map *m, const char *key); /* NULL: not there */
/* The i-th entry, i < m->n; the name points into the frame. */
struct bytes map_at(const struct map *m, size_t i, const struct msgpack_object **ret_value);

/* -EBADMSG when a key is not in the list (names end with NULL), which is named with the one that is near. */
int map_only(const struct map *m, const char *field, const char *const *names,
             struct proto_error *reterr);

#endif
