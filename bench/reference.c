/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/reference.h"

#include "base/mem.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

/* A queue of keys: in at the head, out at the tail or from between. */
struct queue {
	uint32_t *newer, *older;
	uint32_t head, tail, n;
};

static struct queue queue_new(uint32_t n_keys)
{
	return (struct queue){mem_calloc(n_keys + 1, sizeof(uint32_t)),
	                      mem_calloc(n_keys + 1, sizeof(uint32_t)), NONE, NONE, 0};
}

static void queue_free(struct queue *q)
{
	free(q->newer);
	free(q->older);
}

static void queue_push(struct queue *q, uint32_t k)
{
	q->newer[k] = NONE;
	q->older[k] = q->head;
	if (q->head == NONE)
		q->tail = k;
	else
		q->newer[q->head] = k;
	q->head = k;
	q->n++;
}

static void queue_remove(struct queue *q, uint32_t k)
{
	if (q->newer[k] == NONE)
		q->head = q->older[k];
	else
		q->older[q->newer[k]] = q->older[k];
	if (q->older[k] == NONE)
		q->tail = q->newer[k];
	else
		q->newer[q->older[k]] = q->newer[k];
	q->n--;
}

static uint32_t queue_pop(struct queue *q)
{
	uint32_t k = q->tail;

	queue_remove(q, k);
	return k;
}

double reference_lru_cost(const struct sequence *s, const uint64_t *bytes, const double *cost,
                          uint64_t capacity)
{
	struct queue q = queue_new(s->n_keys);
	bool *held = mem_calloc(s->n_keys + 1, sizeof(*held));
	uint64_t used = 0;
	double sum = 0;

	for (size_t i = 0; i < s->n; i++) {
		uint32_t k = s->key[i];
		uint64_t b = bytes ? bytes[k] : 1;

		if (held[k]) {
			queue_remove(&q, k);
		} else {
			sum += cost ? cost[k] : 1;
			if (b > capacity)
				continue;
			for (used += b; used > capacity;) {
				uint32_t out = queue_pop(&q);

				held[out] = false;
				used -= bytes ? bytes[out] : 1;
			}
			held[k] = true;
		}
		queue_push(&q, k);
	}
	queue_free(&q);
	free(held);
	return sum;
}

uint64_t reference_lru(const struct sequence *s, uint32_t entries)
{
	return (uint64_t)reference_lru_cost(s, NULL, NULL, entries);
}

enum where { NOWHERE, SMALL, MAIN, GHOST };

struct s3fifo {
	struct queue small, main, ghost;
	unsigned char *where, *count;
	uint32_t most_main;
};

static void leave_main(struct s3fifo *c)
{
	for (;;) {
		uint32_t k = queue_pop(&c->main);

		if (!c->count[k]) {
			c->where[k] = NOWHERE;
			return;
		}
		c->count[k]--;
		queue_push(&c->main, k);
	}
}

/* The first newcomer that was not asked for twice becomes a ghost; those before it move on. */
static void leave_small(struct s3fifo *c)
{
	while (c->small.n) {
		uint32_t k = queue_pop(&c->small);

		if (c->count[k] < 2) {
			c->where[k] = GHOST;
			queue_push(&c->ghost, k);
			if (c->ghost.n > c->most_main)
				c->where[queue_pop(&c->ghost)] = NOWHERE;
			return;
		}
		c->count[k] = 0;
		c->where[k] = MAIN;
		queue_push(&c->main, k);
		if (c->main.n > c->most_main)
			leave_main(c);
	}
}

uint64_t reference_s3fifo(const struct sequence *s, uint32_t entries)
{
	uint32_t newcomers = entries < 10 ? 1 : entries / 10;
	struct s3fifo c = {
	        .small = queue_new(s->n_keys),
	        .main = queue_new(s->n_keys),
	        .ghost = queue_new(s->n_keys),
	        .where = mem_calloc(s->n_keys + 1, 1),
	        .count = mem_calloc(s->n_keys + 1, 1),
	        .most_main = entries - newcomers,
	};
	uint64_t misses = 0;

	for (size_t i = 0; i < s->n; i++) {
		uint32_t k = s->key[i];
		bool was_ghost = c.where[k] == GHOST;

		if (c.where[k] == SMALL || c.where[k] == MAIN) {
			c.count[k] += c.count[k] < 3;
			continue;
		}
		misses++;
		if (was_ghost)
			queue_remove(&c.ghost, k);
		while (c.small.n + c.main.n >= entries) {
			if (c.small.n >= newcomers || !c.main.n)
				leave_small(&c);
			else
				leave_main(&c);
		}
		c.count[k] = 0;
		c.where[k] = was_ghost ? MAIN : SMALL;
		queue_push(was_ghost ? &c.main : &c.small, k);
	}
	queue_free(&c.small);
	queue_free(&c.main);
	queue_free(&c.ghost);
	free(c.where);
	free(c.count);
	return misses;
}

/* The held key that is asked for last, by a heap; what was asked for since is left in it. */
struct later {
	uint64_t *v; /* when << 32 | key */
	size_t n;
};

static void later_push(struct later *h, uint64_t x)
{
	size_t i = h->n++;

	for (; i && h->v[(i - 1) / 2] < x; i = (i - 1) / 2)
		h->v[i] = h->v[(i - 1) / 2];
	h->v[i] = x;
}

static uint64_t later_pop(struct later *h)
{
	uint64_t top = h->v[0], x = h->v[--h->n];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < h->n) {
		child += child + 1 < h->n && h->v[child + 1] > h->v[child];
		if (h->v[child] <= x)
			break;
		h->v[i] = h->v[child];
		i = child;
	}
	h->v[i] = x;
	return top;
}

uint64_t reference_optimum(const struct sequence *s, uint32_t entries)
{
	uint32_t *next = mem_calloc(s->n + 1, sizeof(*next)),
	         *at = mem_calloc(s->n_keys + 1, sizeof(*at)), n_held = 0;
	struct later h = {mem_calloc(s->n + 1, sizeof(*h.v)), 0};
	uint64_t misses = 0;

	/* at[k]: when k is asked for next, 0: never; later when the one held is, 0: not held */
	for (size_t i = s->n; i-- > 0;) {
		next[i] = at[s->key[i]];
		at[s->key[i]] = (uint32_t)i;
	}
	memset(at, 0, s->n_keys * sizeof(*at));
	for (size_t i = 0; i < s->n; i++) {
		uint32_t k = s->key[i];

		if (at[k]) {
			n_held--;
		} else {
			misses++;
		}
		at[k] = next[i];
		if (!next[i])
			continue;
		later_push(&h, (uint64_t)next[i] << 32 | k);
		for (n_held++; n_held > entries;) {
			uint64_t out = later_pop(&h);

			if (at[(uint32_t)out] != (uint32_t)(out >> 32))
				continue;
			at[(uint32_t)out] = 0;
			n_held--;
		}
	}
	free(next);
	free(at);
	free(h.v);
	return misses;
}
