/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ZeroMQ, in a thread of its own: receives, checks and decodes, and hands messages to the engine's
 * thread; sends what the engine's thread hands back.
 *
 *	events PULL      what happened elsewhere        proto/event.h
 *	requests ROUTER  clients (DEALER or REQ)        proto/request.h, proto/reply.h
 *	loaders ROUTER   loader workers (DEALER)        proto/loader.h
 *	notices PUB      hints that may be lost         proto/notice.h
 *
 * HOW IT WORKS one ring in each direction, each with an eventfd. The thread alone touches the
 * sockets. A message that cannot be read is handed over all the same, with the status and text that
 * its sender gets. When the engine falls behind, events are dropped first, then requests are told
 * to try again (by the thread itself); what loaders say comes through until the ring is full.
 *
 * INVARIANTS a frame is at most limits.max_frame_bytes long, enforced by libzmq before it takes the
 * memory; of a message with more parts than message_parts nothing is kept. No call here blocks.
 *
 * OWNERSHIP an item is the taker's until wire_item_free; views in it point into its own frame.
 */
#ifndef FORECACHED_DAEMON_WIRE_H
#define FORECACHED_DAEMON_WIRE_H

#include "base/fault.h"
#include "daemon/config.h"
#include "proto/error.h"
#include "proto/event.h"
#include "proto/loader.h"
#include "proto/pack.h"
#include "proto/request.h"
#include "proto/value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

struct wire;

/* Where a reply goes: libzmq's name of the connection, and whether it wants REQ's empty frame. */
struct wire_peer {
	unsigned char id[255];
	uint8_t n;
	bool delimiter;
};

enum wire_kind { WIRE_EVENTS, WIRE_REQUEST, WIRE_LOADER };

struct wire_item {
	enum wire_kind kind;
	struct wire_peer peer; /* not of events */
	int status;            /* request: STATUS_OK; the others: 0 or -EBADMSG */
	struct proto_error error;
	union {
		struct events events;
		struct request request;
		struct loader_message loader;
	};
	/* the wire's own */
	zmq_msg_t frame;
	struct message message;
	size_t bytes;
	struct wire *wire;
};

/*
 * Binds the four sockets in dir (or where the configuration says) and starts the thread. Signals
 * must be blocked already: the threads inherit that. 0, or a negative errno value: -EADDRINUSE when
 * somebody listens there, -ENAMETOOLONG when the path does not fit an ipc address, -EACCES, ...
 */
int wire_new(const struct config *c, const char *dir, struct wire **ret, struct fault *reterr);

/* Sends what is queued, for at most a second, then closes. NULL is fine. */
void wire_free(struct wire **w);

/* Readable when there are items to take. */
int wire_fd(const struct wire *w);

/* The next item, or NULL; wire_fd is quiet after NULL until more come. */
struct wire_item *wire_take(struct wire *w);
void wire_item_free(struct wire_item **i);

/*
 * Queue a message: to a client, to a loader, to all subscribers. The bytes of `p` are taken over.
 * They are sent after wire_flush, which is called once per turn. False when it had to be dropped.
 */
bool wire_reply(struct wire *w, const struct wire_peer *to, struct pack *p);
bool wire_tell(struct wire *w, const struct wire_peer *to, struct pack *p);
bool wire_publish(struct wire *w, struct bytes topic, struct pack *p);
void wire_flush(struct wire *w);

/* Takes no more requests and events; loaders are still heard. For the end. */
void wire_stop_accepting(struct wire *w);

/* True when all that was queued has been given to libzmq. */
bool wire_is_idle(struct wire *w);

#define WIRE_STATS_TABLE(X)                                                                        \
	X(received, "messages received")                                                           \
	X(bad_envelope, "messages whose frames are not what the protocol says")                    \
	X(events_dropped, "messages of events dropped because the engine was behind")              \
	X(requests_busy, "requests told to try again because the engine was behind")               \
	X(sent, "messages sent")                                                                   \
	X(unroutable, "replies whose receiver had gone")                                           \
	X(send_full, "replies dropped because their receiver reads too slowly")                    \
	X(reply_dropped, "replies dropped because too many waited to be sent")                     \
	X(input_bytes, "bytes that wait for the engine")

struct wire_stats {
#define X(name, help) uint64_t name;
	WIRE_STATS_TABLE(X)
#undef X
};
void wire_stats(struct wire *w, struct wire_stats *ret);

#endif
