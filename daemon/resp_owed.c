/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Compressed values of one reply, as of MGET or EXEC, that take longer than a turn of the loop to decode.
 *
 * What the reply says is of the instant at which its command was carried out: so their frames are copied
 * then, and decoded in the turns that follow, while the reply waits and others are served. Of a value that
 * is owed only the place in the reply is known.
 *
 * A part of one (GETRANGE) is not owed but decoded at once: a whole frame would have to be copied for a few bytes,
 * as often as an EXEC asks for some. Nor is one that is changed (APPEND): the next command may read it.
 */
#include "daemon/resp_conn.h"

#include "base/mem.h"

#include <stdlib.h>

struct owed_value {
	size_t at; /* where it goes, in the reply as it is without */
	struct bytes frame; /* ours */
};

struct resp_owed {
	VEC(struct owed_value) value;
	size_t bytes; /* of all of them */
	size_t paid;  /* those that are decoded */
	struct resp_out out; /* the reply up to the last of these ... */
	size_t taken; /* ... which holds so much of c->out */
};

void resp_owed_free(struct resp_conn *c)
{
	struct resp_owed *o = c->owed;

	if (!o)
		return;
	for (size_t i = 0; i < o->value.n; i++)
		free((void *)(uintptr_t)o->value.v[i].frame.p);
	vec_free(&o->value);
	resp_out_release(&o->out);
	free(o);
	c->owed = NULL;
	c->holds = c->waits = c->flushes;
}

size_t resp_owed_bytes(const struct resp_conn *c)
{
	return c->owed ? c->owed->bytes : 0;
}

static void put(struct resp_conn *c, struct resp_out *to, struct bytes frame)
{
	struct bytes value;

	if (unpack_value(&c->r->d->unpack, frame, &value))
		resp_bulk(to, value);
	else
		resp_null(to);
}

void resp_value(struct resp_conn *c, const struct plain_value *v)
{
	if (!v->packed) {
		resp_bulk(c->w, v->value);
	} else if (!resp_share_is_spent(c->r)) {
		put(c, c->w, v->value);
	} else {
		if (!c->owed)
			c->owed = mem_calloc(1, sizeof(*c->owed));
		*vec_push(&c->owed->value) = (struct owed_value){
		        c->w->n, bytes_of(mem_dup(v->value.p, v->value.n), v->value.n)};
		c->owed->bytes += v->bytes;
		c->holds = c->waits = true;
	}
}

void resp_owed_move(struct resp_conn *c, size_t from, size_t to)
{
	for (size_t i = 0; c->owed && i < c->owed->value.n; i++)
		c->owed->value.v[i].at += to - from;
}

void resp_owed_step(struct resp_conn *c)
{
	struct resp_owed *o = c->owed;

	if (!o->paid) {
		o->out.version = c->out.version;
		o->taken = c->out_at;
	}
	resp_share_begin(c->r);
	while (o->paid < o->value.n && !resp_share_is_spent(c->r)) {
		struct owed_value *v = &o->value.v[o->paid++];

		resp_raw(&o->out, c->out.p + o->taken, v->at - o->taken);
		o->taken = v->at;
		put(c, &o->out, v->frame);
		free((void *)(uintptr_t)v->frame.p);
		v->frame.p = NULL;
	}
	if (o->paid < o->value.n) {
		resp_conn_ready(c);
		return;
	}
	resp_raw(&o->out, c->out.p + o->taken, c->out.n - o->taken);
	resp_out_release(&c->out);
	c->out = o->out;
	c->out_at = 0;
	o->out = (struct resp_out){0};
	resp_owed_free(c);
}
