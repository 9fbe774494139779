/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/worker.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct task {
	struct workers *pool;
	worker_fn *work, *done, *drop;
	void *job;
	struct task *next;
};

struct workers {
	struct loop *loop;
	pthread_t *thread;
	size_t n;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wake;
	struct task *first, *last; /* that wait */
	struct task *finished;     /* whose `done` has not run yet */
	bool stop;
};

/* On the loop's thread. */
static void finish(void *arg)
{
	struct workers *w = arg;
	struct task *t, *list = NULL, *next;

	pthread_mutex_lock(&w->lock);
	t = w->finished;
	w->finished = NULL;
	pthread_mutex_unlock(&w->lock);
	for (; t; t = next) { /* the latest is first: turn it round */
		next = t->next;
		t->next = list;
		list = t;
	}
	for (t = list; t; t = next) {
		next = t->next;
		t->done(t->job);
		free(t);
	}
}

static void *run(void *arg)
{
	struct workers *w = arg;
	struct task *t;

	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		t = w->first;
		if (!t) {
			pthread_cond_wait(&w->wake, &w->lock);
			continue;
		}
		w->first = t->next;
		if (!w->first)
			w->last = NULL;
		pthread_mutex_unlock(&w->lock);
		t->work(t->job);
		pthread_mutex_lock(&w->lock);
		t->next = w->finished;
		w->finished = t;
		if (!t->next)
			loop_post(w->loop, finish, w);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

struct workers *workers_new(struct loop *l, size_t threads)
{
	struct workers *w = mem_calloc(1, sizeof(*w));

	w->loop = l;
	w->thread = mem_calloc(threads, sizeof(*w->thread));
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	while (w->n < threads && !pthread_create(&w->thread[w->n], NULL, run, w))
		w->n++;
	if (!w->n)
		workers_free(&w);
	return w;
}

static void drop_list(struct task *t)
{
	struct task *next;

	for (; t; t = next) {
		next = t->next;
		t->drop(t->job);
		free(t);
	}
}

void workers_free(struct workers **wp)
{
	struct workers *w = *wp;

	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->wake);
	pthread_mutex_unlock(&w->lock);
	for (size_t i = 0; i < w->n; i++)
		pthread_join(w->thread[i], NULL);
	drop_list(w->first);
	drop_list(w->finished);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->wake);
	free(w->thread);
	free(w);
	*wp = NULL;
}

void workers_put(struct workers *w, worker_fn *work, worker_fn *done, worker_fn *drop, void *job)
{
	struct task *t = mem_calloc(1, sizeof(*t));

	*t = (struct task){w, work, done, drop, job, NULL};
	pthread_mutex_lock(&w->lock);
	if (w->last)
		w->last->next = t;
	else
		w->first = t;
	w->last = t;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
}
