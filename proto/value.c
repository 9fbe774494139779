/* SPDX-License-Identifier: MIT */
#include "proto/value.h"

#include "base/hash.h"
#include "base/near.h"
#include "base/text.h"
#include "proto/object.h"
#include "proto/scan.h"

#include <errno.h>
#include <math.h>
#include <msgpack/unpack.h>
#include <string.h>

/* No larger than msgpack-c's own smallest sensible chunk: one per message that is being read. */
#define ZONE_BYTES 4096

void message_init(struct message *m)
{
	*m = (struct message){0};
}

void message_release(struct message *m)
{
	if (m->zone)
		msgpack_zone_free(m->zone);
	message_init(m);
}

int message_read(struct message *m, struct bytes frame, const struct proto_limits *limits,
                 struct proto_error *reterr)
{
	msgpack_object *root;
	size_t off = 0;
	int rc;

	m->root = NULL;
	if ((double)frame.n > limits->max_frame_bytes)
		return proto_fail(reterr, -EBADMSG, "message: is longer than %.0f bytes",
		                  limits->max_frame_bytes);
	rc = scan_message(frame, (size_t)limits->max_elements, reterr);
	if (rc)
		return rc;
	if (m->zone)
		msgpack_zone_clear(m->zone);
	else
		m->zone = msgpack_zone_new(ZONE_BYTES);
	root = m->zone ? msgpack_zone_malloc(m->zone, sizeof(*root)) : NULL;
	if (!root)
		return proto_fail(reterr, -ENOMEM, "message: out of memory");
	if (msgpack_unpack(frame.p, frame.n, &off, m->zone, root) != MSGPACK_UNPACK_SUCCESS)
		return proto_fail(reterr, -ENOMEM, "message: out of memory");
	m->root = root;
	return 0;
}

enum value_kind value_kind(const struct msgpack_object *v)
{
	if (!v)
		return VALUE_NIL;
	switch (v->type) {
	case MSGPACK_OBJECT_BOOLEAN:
		return VALUE_BOOL;
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		return VALUE_UINT;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		return VALUE_INT;
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		return VALUE_NUM;
	case MSGPACK_OBJECT_STR:
		return VALUE_STR;
	case MSGPACK_OBJECT_BIN:
		return VALUE_BIN;
	case MSGPACK_OBJECT_ARRAY:
		return VALUE_ARRAY;
	case MSGPACK_OBJECT_MAP:
		return VALUE_MAP;
	default: /* nil; the scan lets no extension through */
		return VALUE_NIL;
	}
}

int value_bool(const struct msgpack_object *v, const char *field, bool *ret,
               struct proto_error *reterr)
{
	if (value_kind(v) != VALUE_BOOL)
		return proto_fail(reterr, -EBADMSG, "%s: must be true or false", field);
	*ret = v->via.boolean;
	return 0;
}

int value_uint(const struct msgpack_object *v, const char *field, uint64_t max, uint64_t *ret,
               struct proto_error *reterr)
{
	if (value_kind(v) != VALUE_UINT || v->via.u64 > max)
		return proto_fail(reterr, -EBADMSG, "%s: must be a whole number from 0 to %llu",
		                  field, (unsigned long long)max);
	*ret = v->via.u64;
	return 0;
}

int value_num(const struct msgpack_object *v, const char *field, double min, double max,
              double *ret, struct proto_error *reterr)
{
	double d = NAN;

	switch (value_kind(v)) {
	case VALUE_UINT:
		d = (double)v->via.u64;
		break;
	case VALUE_INT:
		d = (double)v->via.i64;
		break;
	case VALUE_NUM:
		d = v->via.f64;
		break;
	default:
		break;
	}
	if (!(d >= min && d <= max) || !isfinite(d))
		return proto_fail(reterr, -EBADMSG, "%s: must be a number from %.15g to %.15g",
		                  field, min, max);
	*ret = d;
	return 0;
}

int value_bytes(const struct msgpack_object *v, const char *field, size_t min, size_t max,
                struct bytes *ret, struct proto_error *reterr)
{
	struct bytes b;

	switch (value_kind(v)) {
	case VALUE_STR:
		b = bytes_of(v->via.str.ptr, v->via.str.size);
		break;
	case VALUE_BIN:
		b = bytes_of(v->via.bin.ptr, v->via.bin.size);
		break;
	default:
		return proto_fail(reterr, -EBADMSG, "%s: must be str or bin", field);
	}
	if (b.n > max)
		return proto_fail(reterr, -EMSGSIZE, "%s: is longer than %zu bytes", field, max);
	if (b.n < min)
		return proto_fail(reterr, -EBADMSG, "%s: is shorter than %zu bytes", field, min);
	*ret = b;
	return 0;
}

int value_instant(const struct msgpack_object *v, const char *field, struct instant *ret,
                  struct proto_error *reterr)
{
	double s;
	int rc = value_num(v, field, 0, VALUE_MAX_INSTANT_S, &s, reterr);

	if (rc)
		return rc;
	/* Not instant_from_s, which ends in 2070: whole and rest apart keep every microsecond. */
	*ret = (struct instant){(int64_t)s * 1000000 + llround((s - floor(s)) * 1e6)};
	return 0;
}

int value_span(const struct msgpack_object *v, const char *field, struct span *ret,
               struct proto_error *reterr)
{
	double s = 0;
	int rc = value_num(v, field, 0, span_s(SPAN_MAX), &s, reterr);

	if (!rc)
		*ret = span_from_s(s);
	return rc;
}

int value_version(const struct msgpack_object *v, const char *field, uint64_t *ret,
                  struct proto_error *reterr)
{
	struct bytes b;

	switch (value_kind(v)) {
	case VALUE_NIL:
		*ret = 0;
		return 0;
	case VALUE_UINT:
		*ret = v->via.u64;
		return 0;
	case VALUE_STR:
	case VALUE_BIN:
		if (value_bytes(v, field, 0, UINT32_MAX, &b, reterr))
			return -EBADMSG;
		*ret = hash_bytes(b, 0);
		if (*ret == 0)
			*ret = 1; /* 0 stands for "unknown" */
		return 0;
	default:
		return proto_fail(reterr, -EBADMSG, "%s: must be a whole number >= 0, str or bin",
		                  field);
	}
}

int value_array(const struct msgpack_object *v, const char *field, size_t min, size_t max,
                struct cursor *ret, struct proto_error *reterr)
{
	*ret = (struct cursor){0};
	if (value_kind(v) != VALUE_ARRAY)
		return proto_fail(reterr, -EBADMSG, "%s: must be an array", field);
	if (v->via.array.size > max)
		return proto_fail(reterr, -EMSGSIZE, "%s: has more than %zu values", field, max);
	if (v->via.array.size < min)
		return proto_fail(reterr, -EBADMSG, "%s: has fewer than %zu values", field, min);
	*ret = (struct cursor){v->via.array.ptr, v->via.array.size};
	return 0;
}

const struct msgpack_object *cursor_next(struct cursor *c)
{
	return object_next(c);
}

const struct msgpack_object *cursor_at(const struct cursor *c, size_t i)
{
	return i < c->left ? c->at + i : NULL;
}

int value_map(const struct msgpack_object *v, const char *field, struct map *ret,
              struct proto_error *reterr)
{
	uint32_t i;

	*ret = (struct map){0};
	if (value_kind(v) != VALUE_MAP)
		return proto_fail(reterr, -EBADMSG, "%s: must be a map", field);
	for (i = 0; i < v->via.map.size; i++)
		if (v->via.map.ptr[i].key.type != MSGPACK_OBJECT_STR)
			return proto_fail(reterr, -EBADMSG, "%s: the names in a map must be str",
			                  field);
	*ret = (struct map){v->via.map.ptr, v->via.map.size};
	return 0;
}

struct bytes map_at(const struct map *m, size_t i, const struct msgpack_object **ret_value)
{
	const msgpack_object_kv *kv = m->at;

	*ret_value = &kv[i].val;
	return bytes_of(kv[i].key.via.str.ptr, kv[i].key.via.str.size);
}

const struct msgpack_object *map_find(const struct map *m, const char *key)
{
	const struct msgpack_object *v;
	size_t i;

	for (i = 0; i < m->n; i++)
		if (bytes_equal(map_at(m, i, &v), bytes_str(key)))
			return v;
	return NULL;
}

/* "options: 'ttl' is not one of them: did you mean ttl_s?" */
static int unknown_name(struct bytes name, const char *field, const char *const *names,
                        struct proto_error *reterr)
{
	struct near near = near_to(name);
	char quoted[TEXT_QUOTED_BYTES];

	for (; *names; names++)
		near_offer(&near, *names);
	if (near.name)
		return proto_fail(reterr, -EBADMSG,
		                  "%s: %s is not one that it takes: did you mean %s?", field,
		                  text_quoted(name, quoted), near.name);
	return proto_fail(reterr, -EBADMSG, "%s: %s is not one that it takes", field,
	                  text_quoted(name, quoted));
}

int map_only(const struct map *m, const char *field, const char *const *names,
             struct proto_error *reterr)
{
	const struct msgpack_object *v;
	size_t i, k;

	for (i = 0; i < m->n; i++) {
		struct bytes name = map_at(m, i, &v);

		for (k = 0; names[k] && !bytes_equal(name, bytes_str(names[k])); k++)
			;
		if (!names[k])
			return unknown_name(name, field, names, reterr);
	}
	return 0;
}
