/* SPDX-License-Identifier: MIT */
/*
 * How a request ended. Row: X(NAME, number, code name, what it means). The numbers are part of the
 * protocol and never change; new ones are added at the end.
 */
#ifndef FORECACHED_PROTO_STATUS_H
#define FORECACHED_PROTO_STATUS_H

#define STATUS_TABLE(X)                                                                            \
	X(OK, 0, "ok", "done")                                                                     \
	X(BAD_REQUEST, 1, "bad_request", "the message is not what the protocol says")              \
	X(UNKNOWN_OP, 2, "unknown_op", "there is no such operation")                               \
	X(NOT_FOUND, 3, "not_found", "no such key, endpoint or schedule")                          \
	X(TOO_BIG, 4, "too_big", "a key, value or reply is above its limit")                       \
	X(BUSY, 5, "busy", "too much is waiting: try again later")                                 \
	X(LOAD_FAILED, 6, "load_failed", "the origin failed and there is no old value")            \
	X(LEASE_LOST, 7, "lease_lost",                                                             \
	  "the lease is no longer held, or a change came after the value was read: it was not "    \
	  "kept")                                                                                  \
	X(DENIED, 8, "denied", "the configuration does not allow it")                              \
	X(UNAVAILABLE, 9, "unavailable", "what this needs is switched off or not ready")           \
	X(INTERNAL, 10, "internal", "a fault in the daemon; its log says more")

enum status {
#define X(name, number, code, text) STATUS_##name = number,
	STATUS_TABLE(X)
#undef X
};

/* "not_found"; "unknown" for a number that is not in the table. */
const char *status_name(int status);

/* The table's sentence. */
const char *status_text(int status);

#endif
