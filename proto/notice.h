/* SPDX-License-Identifier: MIT */
/*
 * Notices: hints that may be lost. Two frames: the topic, and a map. The topic is the kind, a colon
 * and the endpoint ("changed:/quotes/<symbol>"), so that a subscription by prefix picks what it
 * wants. seq counts all notices of this daemon: a gap tells a subscriber that it missed some.
 *
 * OWNERSHIP views point into the frame.
 */
#ifndef FORECACHED_PROTO_NOTICE_H
#define FORECACHED_PROTO_NOTICE_H

#include "base/bytes.h"
#include "base/instant.h"
#include "proto/pack.h"
#include "proto/row.h"
#include "proto/value.h"

#include <stdint.h>

/*
 * what: changed (key has a new version), peak (name, wanted, warm, left), endpoint (a new one was
 * seen), jump (value requests per second, count loads planned), refused (count bad events, text says
 * what was wrong with the first), reload, stop.
 */
#define NOTICE_KIND_TABLE(X) X(changed) X(peak) X(endpoint) X(jump) X(refused) X(reload) X(stop)

#define ROW_NOTICE_TABLE(X)                                                                        \
	X(UINT, seq)                                                                               \
	X(TIME, time_s)                                                                            \
	X(TEXT, what) X(KEY, endpoint) X(KEY, key) X(UINT, version) X(TEXT, name) X(UINT, wanted)  \
	        X(UINT, warm) X(UINT, left) X(NUM, value) X(UINT, count) X(TEXT, text)

struct row_notice {
	ROW_NOTICE_TABLE(ROW_MEMBER)
};
extern const struct row_table row_notice;

#define NOTICE_TOPIC_BYTES 1100

/* The topic frame into buf of NOTICE_TOPIC_BYTES (cut to fit); gives its length. */
size_t notice_topic(const struct row_notice *n, char *buf);

/* The map. Fields that are 0 or empty are left out, seq, time_s and what never. */
void notice_write(struct pack *w, const struct row_notice *n);

static inline int notice_read(struct row_notice *ret, const struct msgpack_object *v,
                              struct proto_error *reterr)
{
	return row_read(&row_notice, v, ret, reterr);
}

#endif
