/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/large.h"

#include "base/mem.h"
#include "daemon/content_hash.h"
#include "daemon/daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	/* so many steps for one value: then the room is not to be had */
	MAX_STEPS = 30000,
	/* rooms that are taken at once: of more at a time others could not put anything anywhere */
	MAX_ROOMS = 16,
};

/* What waits for room takes so many times max_value_bytes at most; more is put without. */
static const double MAX_WAITING = 2;

struct job {
	struct large *l;
	struct large_value *v;
	size_t n, at; /* values; and the one that room is being taken for */
	size_t bytes; /* of the values */
	unsigned steps;
	large_fn *fn;
	worker_fn *drop;
	void *arg;
	struct job *next;
};

struct large {
	struct daemon *d;
	struct workers *pool;
	struct job *first, *last; /* that wait for room */
	size_t n, filling;        /* all; and those that a thread has */
	size_t rooms;             /* taken, by them and by the first in line */
	size_t waiting;           /* bytes of those that wait for room */
	struct loop_timer step;
};

bool large_is(const struct daemon *d, size_t bytes)
{
	const struct config *c = d->setup->config;

	return (double)bytes >= c->large_value_bytes && (double)bytes <= c->limits.max_value_bytes;
}

size_t large_count(const struct large *l)
{
	return l->n;
}

static void job_free(struct job *j)
{
	j->l->n--;
	free(j->v);
	free(j);
}

static void fill(void *arg)
{
	struct job *j = arg;

	for (size_t i = 0; i < j->n; i++) {
		struct large_value *v = &j->v[i];

		if (v->room.taken)
			store_fill(j->l->d->store, &v->room, v->value.p);
		if (v->content)
			v->content_hash = content_hash_bytes(v->value);
	}
}

static void filled(void *arg)
{
	struct job *j = arg;
	struct large *l = j->l;
	struct daemon *d = l->d;

	for (size_t i = 0; i < j->n; i++) {
		*(j->v[i].room.filled ? &d->count.values_placed : &d->count.values_unplaced) += 1;
		l->rooms -= j->v[i].room.taken;
	}
	j->fn(d, j->arg, j->v, j->n);
	for (size_t i = 0; i < j->n; i++)
		store_unreserve(d->store, &j->v[i].room);
	l->filling--;
	job_free(j);
	/* it may have been waited for */
	if (l->first)
		loop_timer_set(d->loop, &l->step, SPAN_ZERO);
}

static void dropped(void *arg)
{
	struct job *j = arg;

	j->drop(j->arg);
	job_free(j);
}

/*
 * Goes on with the first in line. 0: it has all its rooms, or cannot have them. -EAGAIN: a step is
 * done. -EBUSY: not before those that are being filled are spent.
 */
static int take_room(struct large *l, struct job *j)
{
	struct large_value *v;
	int rc;

	for (; j->at < j->n; j->at++, j->steps = 0) {
		v = &j->v[j->at];
		if (l->rooms == MAX_ROOMS && l->filling)
			return -EBUSY;
		if (l->rooms == MAX_ROOMS)
			return 0; /* all are its own: the rest is put without */
		rc = engine_reserve(l->d->engine, clock_now(&l->d->clock), v->key_bytes, v->value.n,
		                    &v->room);
		if (rc == -EAGAIN && ++j->steps < MAX_STEPS)
			return rc;
		if (rc == -EBUSY && l->filling)
			return rc;
		if (rc)
			store_unreserve(l->d->store, &v->room);
		else
			l->rooms++;
	}
	return 0;
}

static void step(void *arg)
{
	struct large *l = arg;
	struct job *j;
	int rc;

	while ((j = l->first)) {
		rc = take_room(l, j);
		if (rc == -EAGAIN)
			loop_timer_set(l->d->loop, &l->step, SPAN_ZERO);
		if (rc)
			return;
		l->first = j->next;
		l->waiting -= j->bytes;
		l->filling++;
		workers_put(l->pool, fill, filled, dropped, j);
	}
}

void large_put(struct large *l, const struct large_value *v, size_t n, large_fn *fn,
               worker_fn *drop, void *arg)
{
	struct job *j = mem_calloc(1, sizeof(*j));

	*j = (struct job){.l = l, .n = n, .fn = fn, .drop = drop, .arg = arg};
	j->v = mem_calloc(n, sizeof(*j->v));
	memcpy(j->v, v, n * sizeof(*v));
	for (size_t i = 0; i < n; i++)
		j->bytes += v[i].value.n;
	l->n++;
	if (l->first && (double)(l->waiting + j->bytes) >
	                        MAX_WAITING * l->d->setup->config->limits.max_value_bytes) {
		/* the line is long: what is put at once holds others up, but takes no more memory */
		l->filling++;
		fill(j);
		filled(j);
		return;
	}
	l->waiting += j->bytes;
	if (l->first) {
		l->last->next = j;
		l->last = j;
		return;
	}
	l->first = l->last = j;
	step(l);
}

struct discard {
	worker_fn *release; /* NULL once it has been called */
	void *what;
};

static void discard(void *arg)
{
	struct discard *x = arg;

	x->release(x->what);
	x->release = NULL;
}

static void discarded(void *arg)
{
	struct discard *x = arg;

	if (x->release)
		x->release(x->what);
	free(x);
}

void large_discard(struct large *l, worker_fn *release, void *what)
{
	struct discard *x = mem_calloc(1, sizeof(*x));

	*x = (struct discard){release, what};
	workers_put(l->pool, discard, discarded, discarded, x);
}

struct large *large_new(struct daemon *d, size_t threads)
{
	struct large *l = mem_calloc(1, sizeof(*l));

	l->d = d;
	l->step = (struct loop_timer){step, l, 0};
	l->pool = workers_new(d->loop, threads);
	if (!l->pool) {
		free(l);
		return NULL;
	}
	return l;
}

void large_free(struct large **lp)
{
	struct large *l = *lp;
	struct job *j;

	if (!l)
		return;
	workers_free(&l->pool);
	while ((j = l->first)) {
		l->first = j->next;
		dropped(j);
	}
	loop_timer_cancel(l->d->loop, &l->step);
	free(l);
	*lp = NULL;
}
