/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The listener for Redis clients: RESP2 and RESP3 on a TCP address and on a unix socket `resp.sock`
 * in the run directory. It works on the engine's thread, in its loop.
 *
 *	resp_listen.c	sockets: accept, descriptors, who idles too long
 *	resp_conn.c	connections: bytes in, commands, bytes out
 *	resp_handler.c	what handlers of commands have in common
 *	resp_owed.c	values of a reply that are decoded in turns to come
 *	resp_miss.c	the misses that a connection may be about to fill
 *	resp_command.c	the table of commands; COMMAND
 *	resp_string.c	GET, SET, INCR and their like
 *	resp_key.c	DEL, EXPIRE, TTL, RENAME, COPY and their like
 *	resp_scan.c	SCAN, KEYS, FLUSHDB: what concerns many keys
 *	resp_multi.c	MULTI, EXEC, WATCH
 *	resp_client.c	HELLO, AUTH, SELECT, CLIENT: what a connection says of itself
 *	resp_server.c	CONFIG, SLOWLOG, MEMORY, DEBUG and other questions to a server
 *	resp_info.c	INFO
 *	resp_script.c	the few scripts that lock libraries send
 *	resp_learned.c	FC.WHY, FC.TTLS, FC.FORECAST, FC.PREWARM
 *
 * What a client sets is kept as ../engine/plain.h says: exactly as long as it wants.
 */
#ifndef FORECACHED_DAEMON_RESP_H
#define FORECACHED_DAEMON_RESP_H

#include "base/fault.h"
#include "daemon/daemon.h"

struct resp;

/* 0, or a negative errno value. *ret is NULL with 0 when the configuration wants no listener. */
int resp_new(struct daemon *d, struct resp **ret, struct fault *reterr);
void resp_free(struct resp **r);

/* Takes over what a reload may change. */
void resp_configure(struct resp *r);

/* No new connections from now on. */
void resp_stop_accepting(struct resp *r);

/* Goes on where something was waited for, and writes what is to be written. */
void resp_turn_end(struct resp *r);

/* Connections, and commands carried out so far. */
size_t resp_connections(const struct resp *r);
uint64_t resp_commands(const struct resp *r);

#endif
