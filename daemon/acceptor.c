/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/acceptor.h"

#include "daemon/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define ACCEPTS_PER_TURN 64

/* Out of descriptors: accept again after so long. */
static const struct span PAUSE = {100 * 1000};

static void watch(struct acceptor *a)
{
	loop_mod(a->loop, a->fd, a->held || a->again.id ? 0 : EPOLLIN);
}

static void keep_reserve(struct acceptor *a)
{
	if (a->reserve_fd < 0)
		a->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_again(void *arg)
{
	struct acceptor *a = arg;

	keep_reserve(a);
	watch(a);
}

static void out_of_descriptors(struct acceptor *a)
{
	int fd;

	if (a->reserve_fd >= 0) {
		close(a->reserve_fd);
		a->reserve_fd = -1;
		fd = accept4(a->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			if (write(fd, a->sorry.p, a->sorry.n) < 0)
				log_line(LOG_DEBUG, "refused", "why=\"%s\"", strerror(errno));
			close(fd);
		}
		keep_reserve(a);
	}
	a->refused(a->arg);
	loop_timer_set(a->loop, &a->again, PAUSE);
	watch(a);
}

static void on_ready(void *arg, uint32_t events)
{
	struct acceptor *a = arg;

	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN && a->loop && !a->held; i++) {
		struct sockaddr_storage from;
		socklen_t n = sizeof(from);
		int fd = accept4(a->fd, (struct sockaddr *)&from, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			a->take(a->arg, fd, (struct sockaddr *)&from, n);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		           errno == ENOMEM) {
			out_of_descriptors(a);
			return;
		} else if (errno != ECONNABORTED) {
			return;
		}
	}
}

int acceptor_start(struct acceptor *a, struct loop *l, int listen_fd)
{
	int rc = loop_add(l, listen_fd, EPOLLIN, on_ready, a);

	if (rc) {
		close(listen_fd);
		return rc;
	}
	a->loop = l;
	a->fd = listen_fd;
	a->reserve_fd = -1;
	a->held = false;
	a->again = (struct loop_timer){on_again, a, 0};
	keep_reserve(a);
	return 0;
}

void acceptor_hold(struct acceptor *a, bool hold)
{
	if (!a->loop || a->held == hold)
		return;
	a->held = hold;
	watch(a);
}

void acceptor_stop(struct acceptor *a)
{
	if (!a->loop)
		return;
	loop_timer_cancel(a->loop, &a->again);
	loop_del(a->loop, a->fd);
	close(a->fd);
	if (a->reserve_fd >= 0)
		close(a->reserve_fd);
	a->loop = NULL;
}
