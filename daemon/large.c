/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/large.h"

#include "base/hash.h"
#include "base/mem.h"
#include "daemon/content_hash.h"
#include "daemon/daemon.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
	/* so many steps for one value: then the room is not to be had */
	MAX_STEPS = 30000,
	/* rooms that are taken at once: of more at a time others could not put anything anywhere */
	MAX_ROOMS = 16,
	/*
	 * Keys of messages that are, or wait to be, compressed: each has an arrival that the engine looks
	 * for. And bytes: they may take a second in all, as leases and loads end meanwhile.
	 */
	MAX_PACKING = 4096,
	MAX_PACKING_BYTES = 8 << 20,
};

/* What waits takes so many times max_value_bytes of memory at most; more is put as it is. */
static const double MAX_WAITING = 2;

struct job {
	struct large *l;
	struct large_value *v;
	size_t n, at; /* values; and the one that room is being taken for */
	size_t n_packing; /* its keys, if it has something to be compressed; 0: there is too much already */
	size_t bytes; /* of the values */
	size_t memory; /* of those of them that take some because they wait */
	unsigned steps;
	large_fn *fn;
	worker_fn *drop;
	void *arg;
	struct job *next;
};

struct jobs {
	struct job *first, *last;
};

/* What a thread needs to compress; as many as there are threads. The first n are idle. */
struct packers {
	pthread_mutex_t lock;
	struct packer *idle;
	size_t n;
};

struct large {
	struct daemon *d;
	struct workers *pool;
	struct packers packers;
	struct jobs line;         /* that wait for room */
	struct jobs late;         /* that wait for nothing but the next turn of the loop */
	size_t n, filling;        /* all; and those that a thread has */
	size_t rooms;             /* taken, by them and by the first in line */
	size_t waiting;           /* memory of those that wait, to be compressed or for room */
	size_t packing;           /* keys of those that are compressed, or wait for it; */
	size_t packing_bytes;     /* and bytes */
	struct loop_timer step, hand_on;
};

static void append(struct jobs *s, struct job *j)
{
	*(s->first ? &s->last->next : &s->first) = j;
	s->last = j;
}

static struct job *pop(struct jobs *s)
{
	struct job *j = s->first;

	if (j)
		s->first = j->next;
	return j;
}

bool large_is(const struct daemon *d, size_t bytes)
{
	const struct config *c = d->setup->config;

	return (double)bytes >= c->large_value_bytes && (double)bytes <= c->limits.max_value_bytes;
}

size_t large_count(const struct large *l)
{
	return l->n;
}

bool large_wants(const struct daemon *d, struct bytes endpoint, struct bytes key, size_t bytes,
                 int *ret_level)
{
	*ret_level = engine_compression(d->engine, endpoint, key, bytes);
	return *ret_level || large_is(d, bytes);
}

static double least(const struct policy *y, double bytes)
{
	return y->compression == COMPRESSION_OFF ? bytes : fmin(bytes, y->compression_min_bytes);
}

double large_least(const struct config *c)
{
	double bytes = least(&c->policy, c->large_value_bytes);

	for (size_t i = 0; i < c->rules.n; i++)
		bytes = least(&c->rules.v[i].policy, bytes);
	return bytes;
}

/* -- Compression ------------------------------------------------------------------------------ */

static struct packer packer_take(struct packers *s)
{
	struct packer p;

	pthread_mutex_lock(&s->lock);
	p = s->idle[--s->n];
	pthread_mutex_unlock(&s->lock);
	return p;
}

static void packer_give(struct packers *s, struct packer p)
{
	pthread_mutex_lock(&s->lock);
	s->idle[s->n++] = p;
	pthread_mutex_unlock(&s->lock);
}

/* Its frame, in memory of just its size; nothing where that saves too little. */
static struct bytes frame_of(struct packer *p, int level, struct bytes value)
{
	size_t n = 0;
	void *buf = malloc(packer_room(value.n)), *less;

	if (buf)
		n = packer_pack(p, level, value, buf);
	if (!n) {
		free(buf);
		return bytes_of(NULL, 0);
	}
	less = realloc(buf, n);
	return bytes_of(less ? less : buf, n);
}

static void hash_content(struct large_value *v)
{
	if (v->content && !v->content_hash)
		v->content_hash = content_hash_bytes(v->value);
}

static void pack_all(void *arg)
{
	struct job *j = arg;
	struct packer p = packer_take(&j->l->packers);

	for (size_t i = 0; i < j->n; i++) {
		struct large_value *v = &j->v[i];

		if (v->level)
			v->packed.bytes = frame_of(&p, v->level, v->value);
		if (v->packed.bytes.n)
			v->packed.hash = hash_bytes(v->value, 0);
		hash_content(v);
	}
	packer_give(&j->l->packers, p);
}

/* -- Room ------------------------------------------------------------------------------------- */

/* What is to be put in the store. */
static struct bytes kept(const struct large_value *v)
{
	return v->packed.bytes.n ? v->packed.bytes : v->value;
}

static void job_free(struct job *j)
{
	j->l->n--;
	for (size_t i = 0; i < j->n; i++) {
		free((void *)(uintptr_t)j->v[i].packed.bytes.p);
		if (j->v[i].own)
			free((void *)(uintptr_t)j->v[i].value.p);
	}
	free(j->v);
	free(j);
}

static void fill(void *arg)
{
	struct job *j = arg;

	for (size_t i = 0; i < j->n; i++) {
		struct large_value *v = &j->v[i];

		if (v->room.taken)
			store_fill(j->l->d->store, &v->room, kept(v).p);
		hash_content(v);
	}
}

static void count(struct daemon *d, const struct large_value *v)
{
	if (v->level && !v->packed.bytes.n)
		d->count.values_not_compressed++;
	if (v->room.filled)
		d->count.values_placed++;
	else if (large_is(d, kept(v).n))
		d->count.values_unplaced++;
}

static void filled(void *arg)
{
	struct job *j = arg;
	struct large *l = j->l;
	struct daemon *d = l->d;

	for (size_t i = 0; i < j->n; i++) {
		count(d, &j->v[i]);
		l->rooms -= j->v[i].room.taken;
	}
	j->fn(d, j->arg, j->v, j->n);
	for (size_t i = 0; i < j->n; i++)
		store_unreserve(d->store, &j->v[i].room);
	l->filling--;
	job_free(j);
	/* it may have been waited for */
	if (l->line.first)
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
		if (!large_is(l->d, kept(v).n))
			continue;
		if (l->rooms == MAX_ROOMS && l->filling)
			return -EBUSY;
		if (l->rooms == MAX_ROOMS)
			return 0; /* all are its own: the rest is put without */
		rc = engine_reserve(l->d->engine, clock_now(&l->d->clock), v->key_bytes, kept(v).n,
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

	while ((j = l->line.first)) {
		rc = take_room(l, j);
		if (rc == -EAGAIN)
			loop_timer_set(l->d->loop, &l->step, SPAN_ZERO);
		if (rc)
			return;
		pop(&l->line);
		l->waiting -= j->memory;
		l->filling++;
		workers_put(l->pool, fill, filled, dropped, j);
	}
}

/* Lets it wait for its rooms; one that wants none is handed on. */
static void line_up(struct large *l, struct job *j)
{
	bool large = false, first;

	for (size_t i = 0; i < j->n; i++)
		large |= large_is(l->d, kept(&j->v[i]).n);
	if (!large) {
		l->waiting -= j->memory;
		l->filling++;
		filled(j);
		return;
	}
	first = !l->line.first;
	append(&l->line, j);
	if (first)
		step(l);
}

/* Hands on those that were late when this turn began. */
static void hand_on(void *arg)
{
	struct large *l = arg;
	struct jobs late = l->late;
	struct job *j;

	l->late = (struct jobs){0};
	while ((j = pop(&late))) {
		l->filling++;
		fill(j);
		filled(j);
	}
}

static void packed(void *arg)
{
	struct job *j = arg;

	j->l->packing -= j->n_packing;
	j->l->packing_bytes -= j->bytes;
	line_up(j->l, j);
}

/* What finds no room with the others is put as it is: it holds others up, but takes no more memory. */
static void put_late(struct large *l, struct job *j)
{
	append(&l->late, j);
	loop_timer_set(l->d->loop, &l->hand_on, SPAN_ZERO);
}

void large_put(struct large *l, const struct large_value *v, size_t n, size_t keys, large_fn *fn,
               worker_fn *drop, void *arg)
{
	struct job *j = mem_calloc(1, sizeof(*j));
	bool packs = false, large = false;

	*j = (struct job){.l = l, .n = n, .fn = fn, .drop = drop, .arg = arg};
	j->v = mem_calloc(n, sizeof(*j->v));
	memcpy(j->v, v, n * sizeof(*v));
	for (size_t i = 0; i < n; i++) {
		j->bytes += v[i].value.n;
		j->memory += v[i].kept ? 0 : v[i].value.n;
		packs |= v[i].level != 0;
		large |= large_is(l->d, v[i].value.n);
	}
	l->n++;
	if (packs && l->packing + keys <= MAX_PACKING &&
	    (!l->packing || l->packing_bytes + j->bytes <= MAX_PACKING_BYTES))
		j->n_packing = keys;
	/* too much waits; or it was to be compressed alone, and too much is */
	if ((l->waiting && j->memory && (double)(l->waiting + j->memory) >
	                                        MAX_WAITING * l->d->setup->config->limits.max_value_bytes) ||
	    (packs && !j->n_packing && !large)) {
		put_late(l, j);
		return;
	}
	l->waiting += j->memory;
	if (!j->n_packing) {
		line_up(l, j);
		return;
	}
	l->packing += j->n_packing;
	l->packing_bytes += j->bytes;
	workers_put(l->pool, pack_all, packed, dropped, j);
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
	l->hand_on = (struct loop_timer){hand_on, l, 0};
	l->packers.idle = mem_calloc(threads, sizeof(*l->packers.idle));
	l->packers.n = threads;
	pthread_mutex_init(&l->packers.lock, NULL);
	l->pool = workers_new(d->loop, threads);
	if (!l->pool)
		large_free(&l);
	return l;
}

void large_free(struct large **lp)
{
	struct large *l = *lp;
	struct job *j;

	if (!l)
		return;
	workers_free(&l->pool);
	while ((j = pop(&l->line)) || (j = pop(&l->late)))
		dropped(j);
	loop_timer_cancel(l->d->loop, &l->step);
	loop_timer_cancel(l->d->loop, &l->hand_on);
	while (l->packers.n)
		packer_release(&l->packers.idle[--l->packers.n]);
	pthread_mutex_destroy(&l->packers.lock);
	free(l->packers.idle);
	free(l);
	*lp = NULL;
}
