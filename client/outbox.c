/* SPDX-License-Identifier: MIT */
#include "client/outbox.h"

#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Room for keys and endpoints, per event; longer ones on average fill the text before the list. */
#define TEXT_PER_EVENT 128

static int batch_init(struct batch *b, size_t events)
{
	memset(b, 0, sizeof(*b));
	b->cap = events;
	b->text_cap = events * TEXT_PER_EVENT + 65536;
	for (b->table_cap = 16; b->table_cap < 2 * events; b->table_cap *= 2)
		;
	b->list = calloc(b->cap, sizeof(*b->list));
	b->table = calloc(b->table_cap, sizeof(*b->table));
	b->text = malloc(b->text_cap);
	return b->list && b->table && b->text ? 0 : -ENOMEM;
}

static void batch_release(struct batch *b)
{
	free(b->list);
	free(b->table);
	free(b->text);
	memset(b, 0, sizeof(*b));
}

static void batch_reset(struct batch *b)
{
	if (b->n)
		memset(b->table, 0, b->table_cap * sizeof(*b->table));
	b->n = b->text_n = 0;
}

/* A put may have been cut off half way, so the table is cleared whatever else the batch says. */
static void batch_wipe(struct batch *b)
{
	memset(b->table, 0, b->table_cap * sizeof(*b->table));
	b->n = b->text_n = 0;
}

static void set_lanes(struct outbox *o)
{
	int i;

	for (i = 0; i < OUTBOX_LANES; i++) {
		o->lane[i].batch = &o->all[i];
		atomic_store(&o->lane[i].taken, false);
	}
	o->spare = &o->all[OUTBOX_LANES];
}

int outbox_init(struct outbox *o, size_t max_events)
{
	int i, rc = 0;

	memset(o, 0, sizeof(*o));
	for (i = 0; i <= OUTBOX_LANES && !rc; i++)
		rc = batch_init(&o->all[i], (max_events + OUTBOX_LANES - 1) / OUTBOX_LANES);
	if (rc) {
		outbox_release(o);
		return rc;
	}
	set_lanes(o);
	return 0;
}

void outbox_release(struct outbox *o)
{
	int i;

	for (i = 0; i <= OUTBOX_LANES; i++)
		batch_release(&o->all[i]);
}

void outbox_forked(struct outbox *o)
{
	bool taken = false;
	int i;

	for (i = 0; i < OUTBOX_LANES; i++)
		taken |= atomic_load(&o->lane[i].taken);
	/*
	 * what was never written to stays untouched: a child should not pay for memory it does not
	 * use
	 */
	for (i = 0; i <= OUTBOX_LANES; i++)
		if (taken || o->all[i].n)
			batch_wipe(&o->all[i]);
	set_lanes(o);
}

static bool same_access(const struct event *a, const struct event *b)
{
	return a->outcome == b->outcome && a->at.us == b->at.us && bytes_equal(a->key, b->key) &&
	       bytes_equal(a->endpoint, b->endpoint);
}

static struct bytes keep(struct batch *b, struct bytes x)
{
	struct bytes kept = bytes_of(b->text + b->text_n, x.n);

	if (x.n)
		memcpy(b->text + b->text_n, x.p, x.n);
	b->text_n += x.n;
	return kept;
}

static bool batch_add(struct batch *b, const struct event *e, uint64_t hash)
{
	size_t mask = b->table_cap - 1, i;
	struct event *x;

	for (i = hash & mask; b->table[i]; i = (i + 1) & mask) {
		x = &b->list[b->table[i] - 1];
		if (!same_access(x, e))
			continue;
		if (x->count > EVENT_MAX_COUNT - e->count)
			return false;
		x->count += e->count;
		/* the last one knows best */
		x->value_bytes = e->value_bytes ? e->value_bytes : x->value_bytes;
		x->load = e->load.us ? e->load : x->load;
		x->version = e->version ? e->version : x->version;
		return true;
	}
	if (b->n == b->cap || e->key.n + e->endpoint.n > b->text_cap - b->text_n)
		return false;
	x = &b->list[b->n++];
	*x = *e;
	x->key = keep(b, e->key);
	x->endpoint = keep(b, e->endpoint);
	b->table[i] = (uint32_t)b->n;
	return true;
}

static _Thread_local char self; /* its address tells threads apart */

bool outbox_put(struct outbox *o, const struct event *e)
{
	uint64_t hash = hash_bytes(e->key, e->outcome);
	unsigned first = (unsigned)hash_u64((uint64_t)(uintptr_t)&self), i;

	for (i = 0; i < OUTBOX_LANES; i++) {
		struct outbox_lane *l = &o->lane[(first + i) % OUTBOX_LANES];
		bool done;

		if (atomic_exchange_explicit(&l->taken, true, memory_order_acquire))
			continue;
		done = batch_add(l->batch, e, hash);
		atomic_store_explicit(&l->taken, false, memory_order_release);
		if (done)
			return true;
	}
	atomic_fetch_add(&o->dropped, e->count);
	return false;
}

const struct batch *outbox_take(struct outbox *o, unsigned lane)
{
	struct outbox_lane *l = &o->lane[lane];
	struct batch *full = NULL;

	batch_reset(o->spare);
	if (atomic_exchange_explicit(&l->taken, true, memory_order_acquire))
		return NULL;
	if (l->batch->n) {
		full = l->batch;
		l->batch = o->spare;
		o->spare = full;
	}
	atomic_store_explicit(&l->taken, false, memory_order_release);
	return full;
}

void outbox_dropped(struct outbox *o, const struct event *list, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		atomic_fetch_add(&o->dropped, list[i].count);
}
