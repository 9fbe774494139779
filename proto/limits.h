/* SPDX-License-Identifier: MIT */
/*
 * What a message may be made of, in one table: the struct, its defaults and the limits that the
 * configuration checks all come from the rows here. Whoever decodes hands the struct in.
 *
 * Row: X(name, default, lowest, highest, unit, help). All values are doubles. Those of keys and values are
 * the cache's.
 */
#ifndef FORECACHED_PROTO_LIMITS_H
#define FORECACHED_PROTO_LIMITS_H

#include "base/bytes.h"

#define PROTO_OWN_TABLE(X)                                                                         \
	X(max_frame_bytes, 83886080, 1024, 1073741824, "bytes",                                    \
	  "larger messages are refused unread")                                                    \
	X(max_elements, 262144, 64, 16777216, "elements",                                          \
	  "values in one message, those within arrays and maps counted too")                       \
	X(max_endpoint_bytes, 1024, 16, BYTES_MAX_KEY, "bytes",                                    \
	  "longer endpoints, names, patterns are refused")                                         \
	X(max_events, 10000, 1, 1000000, "events", "access events in one message")                 \
	X(max_keys, 1000, 1, 100000, "keys", "keys in one mget or mset")                           \
	X(max_records, 1000, 1, 100000, "records", "records of learned state in one import")       \
	X(max_loader_endpoints, 64, 1, 10000, "endpoints", "endpoints that one loader serves")     \
	X(max_loader_jobs, 256, 1, 100000, "jobs", "jobs that one loader works on at once")
#define PROTO_LIMIT_TABLE(X) PROTO_OWN_TABLE(X) BYTES_LIMIT_TABLE(X)

struct proto_limits {
#define X(name, def, lo, hi, unit, help) double name;
	PROTO_LIMIT_TABLE(X)
#undef X
};

/* Nesting of arrays and maps: no message of ours goes deeper than 6. */
#define PROTO_MAX_DEPTH 16

/* All defaults. */
struct proto_limits proto_limits_default(void);

#endif
