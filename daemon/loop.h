/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The engine's thread: one epoll loop that calls back when a file is ready, a timer has run out, a
 * signal has come, or another thread has posted something.
 *
 * HOW IT WORKS epoll over all files; a timerfd (CLOCK_BOOTTIME) for the earliest of the timers,
 * which lie in one heap; a signalfd; an eventfd behind which posts of other threads queue up. The
 * clock is read once per turn, after epoll_wait: every handler of a turn sees the same clock_now().
 *
 * INVARIANTS handlers never block. A file or timer that a handler removed is not called any more,
 * not even in the same turn. Timers that are due at the same time run in the order in which they
 * were set.
 *
 * OWNERSHIP the loop owns no file that it watches: loop_del() before close(). A struct loop_timer
 * belongs to its user and stays where it is while it is set.
 */
#ifndef FORECACHED_DAEMON_LOOP_H
#define FORECACHED_DAEMON_LOOP_H

#include "base/instant.h"
#include "daemon/clock.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop;

/* events: EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP as epoll_wait gave them. */
typedef void loop_fd_fn(void *arg, uint32_t events);
typedef void loop_timer_fn(void *arg);
typedef void loop_signal_fn(void *arg, int signo);
typedef void loop_post_fn(void *arg);

/*
 * One-shot timer. All zero is "not set". fn and arg are filled in once by its user; id is the
 * loop's. It may be set again from within its own fn.
 */
struct loop_timer {
	loop_timer_fn *fn;
	void *arg;
	uint32_t id; /* 0: not set */
};

/* NULL with errno when the system has no epoll instance, timerfd or eventfd left. */
struct loop *loop_new(struct clock *clock);
void loop_free(struct loop **l);

/*
 * Watches a file (level-triggered unless events has EPOLLET). 0 or a negative errno value: -EEXIST
 * when it is watched already, -ENOENT when it is not.
 */
int loop_add(struct loop *l, int fd, uint32_t events, loop_fd_fn *fn, void *arg);
int loop_mod(struct loop *l, int fd, uint32_t events);
int loop_del(struct loop *l, int fd);

/*
 * Runs t->fn(t->arg) once, `after` of *real* time from now (0 or less: in the next turn). Moves the
 * timer when it was set already. For a length of the daemon's own time: clock_to_real() first.
 */
void loop_timer_set(struct loop *l, struct loop_timer *t, struct span after);
void loop_timer_cancel(struct loop *l, struct loop_timer *t);

/* Calls fn for these signals (a list that ends with 0), which must be blocked in all threads. */
int loop_signals(struct loop *l, const int *signals, loop_signal_fn *fn, void *arg);

/* Runs fn(arg) on the loop's thread, in the order of the posts. May be called from any thread. */
void loop_post(struct loop *l, loop_post_fn *fn, void *arg);

/* Called at the end of every turn, after all handlers: to do once what many handlers asked for. */
void loop_set_turn_end(struct loop *l, loop_timer_fn *fn, void *arg);

/* Runs until loop_stop(). 0, or the negative errno value that made it give up. */
int loop_run(struct loop *l);
void loop_stop(struct loop *l);

#endif
