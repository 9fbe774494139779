/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The listener for operators: HTTP/1.1 on a TCP address, read only.
 *
 *	/metrics		Prometheus' text format			web_metrics.c
 *	/livez /readyz		does it run, and is it warm?		web_ready.c
 *	/api/v1/...		what `forecache ... --json` says	web_api.c
 *	web_listen.c		sockets, limits, and answers on their way
 *
 * HOW IT WORKS libmicrohttpd reads and writes, without a thread of its own: its epoll is one file of
 * the engine's loop. A request is not answered where it is read: it waits, suspended, in a queue
 * whose first answer is made some steps further once per turn of the loop, for 0.3 ms and a step at
 * most, and between the turns of a long one a millisecond passes. So whoever asks, however much and
 * however often, holds up those whom the cache serves by some tenths of a millisecond, and takes a
 * third of the engine's time at most.
 *
 * INVARIANTS nothing here changes the engine's state. Only GET and HEAD are understood. An answer has
 * at most http_rows rows.
 */
#ifndef FORECACHED_DAEMON_WEB_H
#define FORECACHED_DAEMON_WEB_H

#include "base/fault.h"
#include "daemon/address.h"
#include "daemon/daemon.h"

struct web;

/*
 * 0, or a negative errno value. *ret is NULL with 0 when the configuration wants no listener, or
 * somebody else has the port that is everybody's default: then the log says so.
 */
int web_new(struct daemon *d, struct web **ret, struct fault *reterr);
void web_free(struct web **w);

#endif
