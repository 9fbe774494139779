/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/loop.h"

#include "base/bug.h"
#include "base/heap.h"
#include "base/mem.h"
#include "base/vec.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define EVENTS_PER_TURN 256

/* Signals read at once; standard signals do not queue, so more than these few cannot wait. */
#define SIGNALS_AT_ONCE 8

/* What is watched, by file number. The serial number tells a file from an earlier one of that
 * number. */
struct watched {
	loop_fd_fn *fn; /* NULL: not watched */
	void *arg;
	uint32_t serial;
};

struct post {
	loop_post_fn *fn;
	void *arg;
};

struct loop {
	struct clock *clock;
	int epoll_fd, timer_fd, post_fd, signal_fd;
	VEC(struct watched) file;
	uint32_t serial;
	struct heap due;                /* in real time: CLOCK_BOOTTIME */
	VEC(struct loop_timer *) timer; /* by id - 1 */
	VEC(uint32_t) free_id;
	struct instant armed; /* what the timerfd is set to */
	loop_signal_fn *signal_fn;
	void *signal_arg;
	loop_timer_fn *turn_end_fn;
	void *turn_end_arg;
	pthread_mutex_t lock; /* of posted */
	VEC(struct post) posted;
	bool stop;
};

static struct instant real_now(const struct loop *l)
{
	return (struct instant){clock_boot_us(l->clock)};
}

/* -- Files ------------------------------------------------------------------------------------ */

static uint64_t cookie(int fd, uint32_t serial)
{
	return (uint64_t)serial << 32 | (uint32_t)fd;
}

static struct watched *watched_at(struct loop *l, int fd)
{
	return fd >= 0 && (size_t)fd < l->file.n && l->file.v[fd].fn ? &l->file.v[fd] : NULL;
}

int loop_add(struct loop *l, int fd, uint32_t events, loop_fd_fn *fn, void *arg)
{
	struct epoll_event ev = {.events = events};

	if (fd < 0)
		return -EBADF;
	while (l->file.n <= (size_t)fd)
		*vec_push(&l->file) = (struct watched){0};
	if (l->file.v[fd].fn)
		return -EEXIST;
	ev.data.u64 = cookie(fd, ++l->serial);
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev))
		return -errno;
	l->file.v[fd] = (struct watched){fn, arg, l->serial};
	return 0;
}

int loop_mod(struct loop *l, int fd, uint32_t events)
{
	struct watched *w = watched_at(l, fd);
	struct epoll_event ev = {.events = events};

	if (!w)
		return -ENOENT;
	ev.data.u64 = cookie(fd, w->serial);
	return epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, fd, &ev) ? -errno : 0;
}

int loop_del(struct loop *l, int fd)
{
	struct watched *w = watched_at(l, fd);

	if (!w)
		return -ENOENT;
	*w = (struct watched){0};
	return epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, NULL) ? -errno : 0;
}

static void dispatch(struct loop *l, const struct epoll_event *ev)
{
	int fd = (int)(uint32_t)ev->data.u64;
	struct watched *w = watched_at(l, fd);

	/* removed, or removed and added again, by a handler of this turn */
	if (w && w->serial == ev->data.u64 >> 32)
		w->fn(w->arg, ev->events);
}

/* -- Timers ----------------------------------------------------------------------------------- */

void loop_timer_set(struct loop *l, struct loop_timer *t, struct span after)
{
	BUG_ON(!t->fn);
	if (!t->id) {
		if (l->free_id.n) {
			t->id = l->free_id.v[--l->free_id.n];
		} else {
			*vec_push(&l->timer) = NULL;
			t->id = (uint32_t)l->timer.n;
		}
		l->timer.v[t->id - 1] = t;
	}
	BUG_ON(l->timer.v[t->id - 1] != t);
	after = span_clip(after, SPAN_ZERO, SPAN_MAX);
	heap_set(&l->due, t->id - 1, instant_add(real_now(l), after));
}

void loop_timer_cancel(struct loop *l, struct loop_timer *t)
{
	if (!t->id)
		return;
	heap_cancel(&l->due, t->id - 1);
	l->timer.v[t->id - 1] = NULL;
	*vec_push(&l->free_id) = t->id;
	t->id = 0;
}

/* Only those due as of the start: one that sets itself again for "now" waits for the next turn. */
static void run_timers(struct loop *l)
{
	size_t budget = l->due.n;
	struct loop_timer *t;
	uint32_t item;

	while (budget-- && heap_pop(&l->due, real_now(l), &item)) {
		t = l->timer.v[item];
		loop_timer_cancel(l, t);
		t->fn(t->arg);
	}
}

static void on_timer_fd(void *arg, uint32_t events)
{
	struct loop *l = arg;
	uint64_t n;

	(void)events;
	if (read(l->timer_fd, &n, sizeof(n)) > 0)
		l->armed = INSTANT_NONE;
}

static void arm(struct loop *l)
{
	struct instant next = heap_next(&l->due);
	struct itimerspec at = {0};

	if (next.us == l->armed.us)
		return;
	l->armed = next;
	if (next.us != INSTANT_NEVER.us) {
		/* all zero would disarm it: in the past is now */
		int64_t us = next.us > 1 ? next.us : 1;

		at.it_value.tv_sec = us / 1000000;
		at.it_value.tv_nsec = us % 1000000 * 1000;
	}
	timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

/* -- Signals and posts ------------------------------------------------------------------------ */

static void on_signal_fd(void *arg, uint32_t events)
{
	struct loop *l = arg;
	struct signalfd_siginfo si[SIGNALS_AT_ONCE];
	ssize_t n = read(l->signal_fd, si, sizeof(si));

	(void)events;
	for (ssize_t i = 0; i < n / (ssize_t)sizeof(*si); i++)
		l->signal_fn(l->signal_arg, (int)si[i].ssi_signo);
}

int loop_signals(struct loop *l, const int *signals, loop_signal_fn *fn, void *arg)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (; *signals; signals++)
		sigaddset(&set, *signals);
	fd = signalfd(l->signal_fd, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	l->signal_fn = fn;
	l->signal_arg = arg;
	if (l->signal_fd == fd)
		return 0;
	l->signal_fd = fd;
	return loop_add(l, fd, EPOLLIN, on_signal_fd, l);
}

void loop_post(struct loop *l, loop_post_fn *fn, void *arg)
{
	uint64_t one = 1;
	bool first;

	pthread_mutex_lock(&l->lock);
	first = l->posted.n == 0;
	*vec_push(&l->posted) = (struct post){fn, arg};
	pthread_mutex_unlock(&l->lock);
	if (first && write(l->post_fd, &one, sizeof(one)) < 0)
		BUG_ON(errno != EAGAIN); /* the counter is full: it is readable anyway */
}

static void on_post_fd(void *arg, uint32_t events)
{
	struct loop *l = arg;
	VEC(struct post) list;
	uint64_t n;

	(void)events;
	if (read(l->post_fd, &n, sizeof(n)) < 0)
		return;
	pthread_mutex_lock(&l->lock);
	list.v = l->posted.v;
	list.n = l->posted.n;
	list.cap = l->posted.cap;
	l->posted.v = NULL;
	l->posted.n = l->posted.cap = 0;
	pthread_mutex_unlock(&l->lock);
	for (size_t i = 0; i < list.n; i++)
		list.v[i].fn(list.v[i].arg);
	vec_free(&list);
}

/* -- The loop --------------------------------------------------------------------------------- */

struct loop *loop_new(struct clock *clock)
{
	struct loop *l = mem_calloc(1, sizeof(*l));
	int err;

	l->clock = clock;
	l->signal_fd = -1;
	l->armed = INSTANT_NONE;
	pthread_mutex_init(&l->lock, NULL);
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	l->post_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->epoll_fd < 0 || l->timer_fd < 0 || l->post_fd < 0 ||
	    loop_add(l, l->timer_fd, EPOLLIN, on_timer_fd, l) ||
	    loop_add(l, l->post_fd, EPOLLIN, on_post_fd, l)) {
		err = errno;
		loop_free(&l);
		errno = err;
	}
	return l;
}

void loop_free(struct loop **l)
{
	struct loop *x = *l;

	if (!x)
		return;
	if (x->epoll_fd >= 0)
		close(x->epoll_fd);
	if (x->timer_fd >= 0)
		close(x->timer_fd);
	if (x->post_fd >= 0)
		close(x->post_fd);
	if (x->signal_fd >= 0)
		close(x->signal_fd);
	pthread_mutex_destroy(&x->lock);
	heap_release(&x->due);
	vec_free(&x->file);
	vec_free(&x->timer);
	vec_free(&x->free_id);
	vec_free(&x->posted);
	free(x);
	*l = NULL;
}

void loop_set_turn_end(struct loop *l, loop_timer_fn *fn, void *arg)
{
	l->turn_end_fn = fn;
	l->turn_end_arg = arg;
}

int loop_run(struct loop *l)
{
	struct epoll_event ev[EVENTS_PER_TURN];
	int n;

	l->stop = false;
	clock_turn(l->clock);
	while (!l->stop) {
		run_timers(l);
		if (l->turn_end_fn)
			l->turn_end_fn(l->turn_end_arg);
		if (l->stop)
			break;
		arm(l);
		n = epoll_wait(l->epoll_fd, ev, EVENTS_PER_TURN, -1);
		if (n < 0 && errno != EINTR)
			return -errno;
		clock_turn(l->clock);
		for (int i = 0; i < n; i++)
			dispatch(l, &ev[i]);
	}
	return 0;
}

void loop_stop(struct loop *l)
{
	l->stop = true;
}
