/* SPDX-License-Identifier: MIT */
/*
 * The library's thread: the only one that talks ZeroMQ. It sends requests and hands back replies,
 * tells the daemon the events of the outbox, and passes jobs and answers of loaders.
 *
 * HOW IT WORKS a caller puts its call into a list and waits on a condition; the thread is woken by
 * an eventfd, sends it, and ends the call with the reply of the same id. The ZeroMQ context is made
 * by the thread itself, with all signals blocked, when there is something to send. When the
 * connection breaks no reply will come to what was sent, also not from a daemon that is back at
 * once: calls that may be repeated are sent again to whoever listens then, the others end.
 *
 * OWNERSHIP a call belongs to whoever waits for it; the thread touches it only under the lock and
 * not after it has ended. After a fork the child forgets the link: its thread is the parent's.
 */
#ifndef FORECACHED_CLIENT_LINK_H
#define FORECACHED_CLIENT_LINK_H

#include "client/fc.h"
#include "client/worker.h"

/* NULL: no thread, no memory. */
struct link *link_start(struct fc *fc);

/*
 * Tells what is still to be told, for at most linger_s, ends all calls with -ECANCELED, ends the
 * thread.
 */
void link_stop(struct link **l, double linger_s);

uint64_t link_next_id(struct link *l);

/*
 * Sends the frame of a request with this id and waits for the reply, whose frame the caller frees.
 * repeat: it does no harm if the daemon gets it twice. -ENOTCONN: no daemon, or the connection
 * broke before it answered; -ETIMEDOUT; -EBUSY: max_waiting calls wait already; -ENOMEM;
 * -ECANCELED.
 */
int link_call(struct link *l, uint64_t id, const void *frame, size_t bytes, bool repeat,
              double timeout_s, void **ret_frame, size_t *ret_bytes);

/* Takes over a loader. -EEXIST: its endpoint has one. */
int link_add_worker(struct link *l, struct worker *w);

/* There is something to do: an answer of a loader. From any thread. */
void link_wake(struct link *l);

#endif
