/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A fixed pool of threads for work that takes long. A job is a pure function of what it was given;
 * when it is done, a second function runs on the loop's thread with the result.
 */
#ifndef FORECACHED_DAEMON_WORKER_H
#define FORECACHED_DAEMON_WORKER_H

#include "daemon/loop.h"

#include <stddef.h>

struct workers;

typedef void worker_fn(void *job);

/* NULL when no thread can be started. Signals must be blocked already: the threads inherit that. */
struct workers *workers_new(struct loop *l, size_t threads);

/* Waits for the jobs that are running; drops those that are not, by calling `drop` of each. */
void workers_free(struct workers **w);

/*
 * Queues a job: work(job) on a thread, then done(job) on the loop's. The job is freed by done, or
 * by drop if it never comes to that.
 */
void workers_put(struct workers *w, worker_fn *work, worker_fn *done, worker_fn *drop, void *job);

#endif
