/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Answers of the protocol as JSON: what `forecache ... --json` prints and what HTTP serves is one
 * and the same.
 */
#ifndef FORECACHED_DAEMON_MESSAGE_JSON_H
#define FORECACHED_DAEMON_MESSAGE_JSON_H

#include <cjson/cJSON.h>

struct msgpack_object;

/*
 * JSON has no bytes, no infinity and no keys but strings: bytes that are not UTF-8 become \xHH,
 * numbers that are not finite become null, other keys their text. The walk is as deep as
 * message_read allows. NULL gives null. The tree is the caller's.
 */
cJSON *message_to_json(const struct msgpack_object *v);

#endif
