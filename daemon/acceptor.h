/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Takes connections off a listening socket, and when no descriptor is left it neither spins nor
 * leaves anybody in the queue unheard.
 *
 * HOW IT WORKS each acceptor keeps a descriptor in reserve. When there is no other that one is given
 * up for whoever waits longest, who is told to go. Then nobody is looked for until some time has
 * passed, as the listening socket stays readable and the loop would spin.
 *
 * OWNERSHIP the listening socket is the acceptor's from acceptor_start on, a connection's that of
 * who takes it. The acceptor stays where it is.
 */
#ifndef FORECACHED_DAEMON_ACCEPTOR_H
#define FORECACHED_DAEMON_ACCEPTOR_H

#include "base/bytes.h"
#include "daemon/loop.h"

#include <stdbool.h>
#include <sys/socket.h>

/* A connection, not blocking. */
typedef void acceptor_take_fn(void *arg, int fd, const struct sockaddr *from, socklen_t n);
/* No descriptor was left for one. */
typedef void acceptor_refused_fn(void *arg);

struct acceptor {
	/* filled in by its user */
	acceptor_take_fn *take;
	acceptor_refused_fn *refused;
	void *arg;
	struct bytes sorry; /* what who is refused gets to read */
	/* the acceptor's */
	struct loop *loop; /* NULL: not started, or stopped */
	int fd, reserve_fd;
	bool held;
	struct loop_timer again;
};

/* 0, or what the loop says: the socket is closed then. */
int acceptor_start(struct acceptor *a, struct loop *l, int listen_fd);

/* Nobody is taken until it is released: they wait in the queue of the system. */
void acceptor_hold(struct acceptor *a, bool hold);

/* Closes the socket. One that was never started is fine. */
void acceptor_stop(struct acceptor *a);

#endif
