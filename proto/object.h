/* SPDX-License-Identifier: MIT */
/*
 * Values as msgpack-c lays them out, for what reads thousands of them: the two questions that are asked of
 * each are answered in place. All others are for value.h.
 */
#ifndef FORECACHED_PROTO_OBJECT_H
#define FORECACHED_PROTO_OBJECT_H

#include "proto/value.h"

#include <msgpack/object.h>

/* As value_is_nil. */
static inline bool object_is_nil(const struct msgpack_object *v)
{
	return !v || v->type == MSGPACK_OBJECT_NIL;
}

/* As cursor_next. */
static inline const struct msgpack_object *object_next(struct cursor *c)
{
	if (c->left == 0)
		return NULL;
	c->left--;
	return c->at++;
}

#endif
