/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/message_json.h"

#include "base/text.h"

#include <inttypes.h>
#include <math.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>

/* Integers that a double cannot hold go out digit by digit; cJSON would round them. */
#define EXACT_MAX (UINT64_C(1) << 53)

static cJSON *whole(bool negative, uint64_t magnitude)
{
	char digits[32];

	if (magnitude <= EXACT_MAX)
		return cJSON_CreateNumber(negative ? -(double)magnitude : (double)magnitude);
	snprintf(digits, sizeof(digits), "%s%" PRIu64, negative ? "-" : "", magnitude);
	return cJSON_CreateRaw(digits);
}

static cJSON *string(const char *p, size_t n)
{
	char *text = text_json(bytes_of(p, n));
	cJSON *item = cJSON_CreateString(text);

	free(text);
	return item;
}

cJSON *message_to_json(const struct msgpack_object *v)
{
	cJSON *item;

	if (!v)
		return cJSON_CreateNull();
	switch (v->type) {
	case MSGPACK_OBJECT_BOOLEAN:
		return cJSON_CreateBool(v->via.boolean);
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		return whole(false, v->via.u64);
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		return whole(true, (uint64_t)-v->via.i64);
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		return isfinite(v->via.f64) ? cJSON_CreateNumber(v->via.f64) : cJSON_CreateNull();
	case MSGPACK_OBJECT_STR:
		return string(v->via.str.ptr, v->via.str.size);
	case MSGPACK_OBJECT_BIN:
		return string(v->via.bin.ptr, v->via.bin.size);
	case MSGPACK_OBJECT_ARRAY:
		item = cJSON_CreateArray();
		for (uint32_t i = 0; i < v->via.array.size; i++)
			cJSON_AddItemToArray(item, message_to_json(&v->via.array.ptr[i]));
		return item;
	case MSGPACK_OBJECT_MAP:
		item = cJSON_CreateObject();
		for (uint32_t i = 0; i < v->via.map.size; i++) {
			cJSON *key = message_to_json(&v->via.map.ptr[i].key);
			char *name = cJSON_IsString(key) ? NULL : cJSON_PrintUnformatted(key);

			cJSON_AddItemToObject(item, name ? name : key->valuestring,
			                      message_to_json(&v->via.map.ptr[i].val));
			cJSON_free(name);
			cJSON_Delete(key);
		}
		return item;
	default:
		return cJSON_CreateNull();
	}
}
