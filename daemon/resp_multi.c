/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Transactions: MULTI, EXEC, DISCARD, WATCH, UNWATCH.
 *
 * The engine marks watched keys and tells once when one has changed (engine/plain.h); whoever
 * watches it then is dirty, and its EXEC does nothing.
 */
#include "daemon/resp_conn.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* In one transaction: a half of those that the engine tells apart before it looks at all keys at once. */
#define MAX_FLUSHES 100

/* -- The queue -------------------------------------------------------------------------------- */

bool resp_queue(struct resp_conn *c, const struct resp_command *k, const struct bytes *arg, size_t n)
{
	struct resp_queued q = {.command = k, .n = n};
	size_t bytes = 0;
	char *p;

	if (k->flags & RESP_NO_MULTI) {
		resp_error(c->w, "ERR Command not allowed inside a transaction");
		return false;
	}
	if (resp_is_flush(k) && ++c->queued_flushes > MAX_FLUSHES) {
		resp_error(c->w, "ERR more than %d flushes in a transaction", MAX_FLUSHES);
		return false;
	}
	if (c->multi == RESP_DOOMED)
		return true; /* it will not be carried out: why keep it */
	for (size_t i = 0; i < n; i++)
		bytes += arg[i].n;
	c->queued_bytes += bytes + n * sizeof(*arg);
	if (c->queued_bytes > (size_t)c->r->set.query_bytes) {
		resp_error(c->w, "ERR transaction longer than redis_query_bytes");
		return false;
	}
	q.arg = mem_calloc(n * sizeof(*q.arg) + bytes + 1, 1);
	p = (char *)(q.arg + n);
	for (size_t i = 0; i < n; i++) {
		q.arg[i] = bytes_of(p, arg[i].n);
		if (arg[i].n)
			memcpy(p, arg[i].p, arg[i].n);
		p += arg[i].n;
	}
	*vec_push(&c->queue) = q;
	return true;
}

static void forget_queue(struct resp_conn *c)
{
	for (size_t i = 0; i < c->queue.n; i++)
		free(c->queue.v[i].arg);
	c->queue.n = 0;
	c->queued_bytes = c->queued_flushes = 0;
	c->multi = RESP_PLAIN;
}

static void forget_watches(struct resp_conn *c)
{
	for (size_t i = 0; i < c->watch.n; i++)
		free((void *)(uintptr_t)c->watch.v[i].key.p);
	c->r->n_watching -= c->watch.n;
	c->watch.n = 0;
	c->dirty = false;
}

void resp_multi_forget(struct resp_conn *c)
{
	forget_queue(c);
	forget_watches(c);
}

/* -- Watches ---------------------------------------------------------------------------------- */

void resp_multi_touched(struct resp *r)
{
	uint32_t id;

	while (plain_touched(r->d->engine, &id))
		for (struct resp_conn *c = r->first; c; c = c->next)
			for (size_t i = 0; i < c->watch.n && !c->dirty; i++)
				c->dirty = c->watch.v[i].id == id;
}

void resp_do_watch(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct plain_value v;

	if (c->multi != RESP_PLAIN) {
		resp_error(c->w, "ERR WATCH inside MULTI is not allowed");
		return;
	}
	/* what was watched before may have changed unheard */
	resp_multi_touched(c->r);
	for (size_t i = 1; i < n; i++) {
		struct bytes key = resp_key(c, arg[i]);
		struct resp_watch w = {.existed = resp_find(c, arg[i], &v)};

		w.id = plain_watch(resp_engine(c), resp_now(c), key, &c->r->d->fx);
		if (w.id == PLAIN_NONE)
			continue; /* too long to be ever set */
		w.key = bytes_of(mem_dup(key.p, key.n), key.n);
		*vec_push(&c->watch) = w;
		c->r->n_watching++;
	}
	daemon_effects(c->r->d);
	resp_ok(c);
}

void resp_do_unwatch(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	(void)arg;
	(void)n;
	forget_watches(c);
	resp_ok(c);
}

/* A watched value that has ended by itself has changed, too. */
static bool some_have_ended(struct resp_conn *c)
{
	struct plain_value v;

	for (size_t i = 0; i < c->watch.n; i++)
		if (c->watch.v[i].existed &&
		    !plain_find(resp_engine(c), resp_now(c), c->watch.v[i].key, &v))
			return true;
	return false;
}

/* -- Transactions ----------------------------------------------------------------------------- */

void resp_do_multi(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	(void)arg;
	(void)n;
	if (c->multi != RESP_PLAIN) {
		resp_error(c->w, "ERR MULTI calls can not be nested");
		return;
	}
	c->multi = RESP_QUEUING;
	resp_ok(c);
}

void resp_do_discard(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	(void)arg;
	(void)n;
	if (c->multi == RESP_PLAIN) {
		resp_error(c->w, "ERR DISCARD without MULTI");
		return;
	}
	resp_multi_forget(c);
	resp_ok(c);
}

/* What it replies, with what it owes. */
static size_t replied(const struct resp_conn *c)
{
	return c->w->n + resp_owed_bytes(c);
}

static void carry_out(struct resp_conn *c)
{
	size_t most = replied(c) + (size_t)c->r->set.output_bytes, n;

	forget_watches(c);
	c->multi = RESP_PLAIN;
	c->in_exec = true;
	c->looked = 0;
	resp_array(c->w, c->queue.n);
	for (size_t i = 0; i < c->queue.n; i++) {
		const struct resp_queued *q = &c->queue.v[i];
		/* beyond that the connection is closed: what is left is to have its effect, but no reply */
		bool beyond = replied(c) > most;

		if (beyond && (q->command->flags & RESP_READONLY))
			continue;
		n = c->w->n;
		if (c->r->n_monitors && !(q->command->flags & RESP_SKIP_MONITOR))
			resp_monitor_feed(c->r, c, q->arg, q->n);
		c->sub = NULL;
		resp_call(c, q->command, q->arg, q->n);
		if (beyond)
			c->w->n = n;
	}
	c->in_exec = false;
}

void resp_do_exec(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	bool abort;

	if (c->multi == RESP_PLAIN) {
		resp_error(c->w, "ERR EXEC without MULTI");
		return;
	}
	resp_multi_touched(c->r);
	abort = c->dirty || some_have_ended(c);
	if (c->multi == RESP_DOOMED)
		resp_error(c->w,
		           "EXECABORT Transaction discarded because of previous errors.");
	else if (abort)
		resp_null_array(c->w);
	else
		carry_out(c);
	/* a MONITOR sees EXEC behind what it has carried out */
	if (c->r->n_monitors)
		resp_monitor_feed(c->r, c, arg, n);
	resp_multi_forget(c);
}
