/* SPDX-License-Identifier: MIT */
#include "client/worker.h"

#include "client/fc.h"
#include "client/link.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct worker_job {
	struct worker_job *next;
	uint64_t job, version;
	bool have;
	int64_t deadline_us; /* CLOCK_MONOTONIC */
	size_t key_bytes;
	char key[];
};

struct worker_answer {
	struct worker_answer *next;
	void *frame;
	size_t bytes;
};

static void add_answer(struct worker *w, const struct loader_message *l)
{
	struct worker_answer *a = malloc(sizeof(*a));
	struct pack p;

	pack_init(&p, w->fc->opt.max_reply_bytes);
	loader_message_write(&p, l);
	if (!a || pack_status(&p)) { /* the daemon's deadline ends the job */
		free(a);
		pack_release(&p);
		return;
	}
	a->next = NULL;
	a->frame = pack_take(&p, &a->bytes);
	pthread_mutex_lock(&w->lock);
	*w->last_answer = a;
	w->last_answer = &a->next;
	pthread_mutex_unlock(&w->lock);
	link_wake(w->link);
}

static void add_error(struct worker *w, uint64_t job, const char *text)
{
	struct loader_message l = {.word = LOADER_ERROR, .job = job, .error = bytes_str(text)};

	add_answer(w, &l);
}

static void run_job(struct worker *w, const struct worker_job *j)
{
	struct loader_message l = {.job = j->job, .last_modified = INSTANT_NONE};
	struct fc_loaded got = {0};
	int64_t start = fc_monotonic_us();
	int rc;

	if (start > j->deadline_us) {
		add_error(w, j->job, "the deadline was over before its turn");
		return;
	}
	rc = w->fn(w->arg, j->key, j->key_bytes, &got);
	atomic_fetch_add(&w->fc->loads, 1);
	if (rc == -ENOENT) {
		l.word = LOADER_ABSENT;
	} else if (rc) {
		atomic_fetch_add(&w->fc->load_errors, 1);
		l.word = LOADER_ERROR;
		l.error = bytes_str(fc_strerror(rc));
	} else if (got.bytes > w->fc->opt.max_value_bytes) {
		l.word = LOADER_ERROR;
		l.error = bytes_str("the value is larger than max_value_bytes");
	} else if (j->have && got.version && got.version == j->version) {
		l.word = LOADER_UNCHANGED;
	} else {
		l.word = LOADER_VALUE;
		l.value = bytes_of(got.data, got.bytes);
		l.version = got.version;
		l.max_age = got.ttl_s > 0 ? span_from_s(got.ttl_s) : SPAN_ZERO;
		l.load = SPAN_US(fc_monotonic_us() - start);
	}
	add_answer(w, &l);
	free(got.data);
}

static void *run(void *arg)
{
	struct worker *w = arg;
	struct worker_job *j;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		while (!w->job && !w->stop)
			pthread_cond_wait(&w->some, &w->lock);
		if (w->stop)
			break;
		j = w->job;
		w->job = j->next;
		if (!w->job)
			w->last_job = &w->job;
		w->waiting--;
		pthread_mutex_unlock(&w->lock);
		run_job(w, j);
		free(j);
		pthread_mutex_lock(&w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

int worker_new(struct fc *fc, struct link *link, const char *endpoint, unsigned concurrency,
               fc_load_fn *fn, void *arg, struct worker **ret)
{
	struct worker *w = calloc(1, sizeof(*w));
	sigset_t all, old;

	if (!w)
		return -ENOMEM;
	w->endpoint = strdup(endpoint);
	if (!w->endpoint) {
		free(w);
		return -ENOMEM;
	}
	w->fc = fc;
	w->link = link;
	w->concurrency = concurrency;
	w->fn = fn;
	w->arg = arg;
	w->last_job = &w->job;
	w->last_answer = &w->answer;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->some, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (w->threads < concurrency && !pthread_create(&w->thread[w->threads], NULL, run, w))
		w->threads++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (w->threads == 0) {
		worker_free(&w);
		return -EAGAIN;
	}
	*ret = w;
	return 0;
}

void worker_stop(struct worker *w)
{
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->some);
	pthread_mutex_unlock(&w->lock);
	while (w->threads)
		pthread_join(w->thread[--w->threads], NULL);
}

void worker_free(struct worker **wp)
{
	struct worker *w = *wp;
	size_t n;
	void *frame;

	*wp = NULL;
	if (!w)
		return;
	worker_stop(w);
	while (w->job) {
		struct worker_job *j = w->job;

		w->job = j->next;
		free(j);
	}
	while ((frame = worker_answer(w, &n)))
		free(frame);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->some);
	free(w->endpoint);
	free(w);
}

void worker_give(struct worker *w, const struct told *t)
{
	struct worker_job *j = malloc(sizeof(*j) + t->key.n);
	bool full;

	if (!j)
		return; /* the daemon's deadline ends the job */
	*j = (struct worker_job){.job = t->job,
	                         .version = t->version,
	                         .have = t->have,
	                         .deadline_us = fc_monotonic_us() + t->deadline.us,
	                         .key_bytes = t->key.n};
	memcpy(j->key, t->key.p, t->key.n);
	pthread_mutex_lock(&w->lock);
	full = w->waiting >= w->concurrency;
	if (!full) {
		*w->last_job = j;
		w->last_job = &j->next;
		w->waiting++;
		pthread_cond_signal(&w->some);
	}
	pthread_mutex_unlock(&w->lock);
	if (full) {
		add_error(w, j->job, "more jobs than the loader works on at once");
		free(j);
	}
}

void *worker_answer(struct worker *w, size_t *ret_bytes)
{
	struct worker_answer *a;
	void *frame;

	pthread_mutex_lock(&w->lock);
	a = w->answer;
	if (a) {
		w->answer = a->next;
		if (!w->answer)
			w->last_answer = &w->answer;
	}
	pthread_mutex_unlock(&w->lock);
	if (!a)
		return NULL;
	frame = a->frame;
	*ret_bytes = a->bytes;
	free(a);
	return frame;
}
