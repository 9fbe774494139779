/* SPDX-License-Identifier: MIT */
/*
 * A loader: the threads that run an app's load function when the daemon asks, and what passes
 * between them and the link: jobs one way, answers as ready-made messages the other.
 *
 * INVARIANTS at most `concurrency` jobs wait (the daemon gives no more than that at once; further
 * ones are answered with an error). A job whose deadline has passed before its turn is not run.
 */
#ifndef FORECACHED_CLIENT_WORKER_H
#define FORECACHED_CLIENT_WORKER_H

#include "client/forecache.h"
#include "proto/loader.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define WORKER_MAX_THREADS 256

struct fc;
struct link;
struct worker_job;
struct worker_answer;

struct worker {
	struct fc *fc;
	struct link *link; /* to wake when there is an answer */
	char *endpoint;
	unsigned concurrency;
	fc_load_fn *fn;
	void *arg;

	pthread_mutex_t lock;
	pthread_cond_t some; /* jobs, or the end */
	bool stop;
	struct worker_job *job, **last_job;
	struct worker_answer *answer, **last_answer;
	unsigned waiting, threads;
	pthread_t thread[WORKER_MAX_THREADS];

	/* the link's alone */
	void *socket;
	int64_t next_beat_us, registered_us, heard_us;
	int64_t beat_us; /* 0: not registered */
	bool unsent;     /* register waits for a connection */
	struct worker *next;
};

/* 0, -ENOMEM or -EAGAIN (no thread). */
int worker_new(struct fc *fc, struct link *link, const char *endpoint, unsigned concurrency,
               fc_load_fn *fn, void *arg, struct worker **ret);

/* No more jobs are begun. Waits for the functions that are running; their answers can be taken. */
void worker_stop(struct worker *w);

/* Stops it as well. */
void worker_free(struct worker **w);

/* A job from the daemon; its bytes are copied. */
void worker_give(struct worker *w, const struct told *job);

/* The next answer's message, to be freed; NULL: none. */
void *worker_answer(struct worker *w, size_t *ret_bytes);

#endif
