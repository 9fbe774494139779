/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/resp_miss.h"

#include "base/hash.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* Tables of so few nodes are kept when they are empty: most clients load one thing at a time. */
#define FEW 8u

/* All are the number of a node plus 1; 0: none. Unused nodes are a list by `chain`. */
struct miss_node {
	struct miss miss;
	uint32_t chain, older, newer;
};

void misses_release(struct misses *m)
{
	free(m->node);
	free(m->bucket);
	*m = (struct misses){0};
}

static uint32_t *bucket_of(const struct misses *m, uint64_t key)
{
	return &m->bucket[hash_u64(key) & (m->n_nodes - 1)];
}

/* What refers to the node of that key; to 0 when there is none. NULL: the table is empty. */
static uint32_t *find(const struct misses *m, uint64_t key)
{
	uint32_t *at;

	if (!m->n)
		return NULL;
	for (at = bucket_of(m, key); *at && m->node[*at - 1].miss.key != key;)
		at = &m->node[*at - 1].chain;
	return at;
}

static void grow(struct misses *m)
{
	uint32_t had = m->n_nodes, n = had ? 2 * had : FEW;

	m->node = mem_realloc(m->node, n, sizeof(*m->node));
	m->bucket = mem_realloc(m->bucket, n, sizeof(*m->bucket));
	m->n_nodes = n;
	memset(m->bucket, 0, n * sizeof(*m->bucket));
	for (uint32_t i = 1; i <= had; i++) { /* it grows only when all are in use */
		uint32_t *b = bucket_of(m, m->node[i - 1].miss.key);

		m->node[i - 1].chain = *b;
		*b = i;
	}
	for (uint32_t i = n; i > had; i--) {
		m->node[i - 1].chain = m->unused;
		m->unused = i;
	}
}

static void list_out(struct misses *m, const struct miss_node *x)
{
	*(x->older ? &m->node[x->older - 1].newer : &m->oldest) = x->newer;
	*(x->newer ? &m->node[x->newer - 1].older : &m->newest) = x->older;
}

static void list_in(struct misses *m, uint32_t i)
{
	struct miss_node *x = &m->node[i - 1];

	x->older = m->newest;
	x->newer = 0;
	*(m->newest ? &m->node[m->newest - 1].newer : &m->oldest) = i;
	m->newest = i;
}

static void take(struct misses *m, uint32_t *at, struct miss *ret)
{
	uint32_t i = *at;
	struct miss_node *x = &m->node[i - 1];

	*ret = x->miss;
	*at = x->chain;
	list_out(m, x);
	x->chain = m->unused;
	m->unused = i;
	m->n_leases -= x->miss.lease != 0;
	if (!--m->n && m->n_nodes > FEW)
		misses_release(m);
}

bool misses_take(struct misses *m, uint64_t key, struct miss *ret)
{
	uint32_t *at = find(m, key);

	if (!at || !*at)
		return false;
	take(m, at, ret);
	return true;
}

bool misses_take_oldest(struct misses *m, struct miss *ret)
{
	return m->n && misses_take(m, m->node[m->oldest - 1].miss.key, ret);
}

const struct miss *misses_find(const struct misses *m, uint64_t key)
{
	const uint32_t *at = find(m, key);

	return at && *at ? &m->node[*at - 1].miss : NULL;
}

/* Again a miss of a key that is in there: it is the newest now. */
static bool renew(struct misses *m, const struct miss *miss)
{
	const uint32_t *at = find(m, miss->key);
	struct miss_node *x;
	uint32_t i;

	if (!at || !*at)
		return false;
	i = *at;
	x = &m->node[i - 1];
	x->miss.at_us = miss->at_us;
	if (miss->lease) {
		m->n_leases += !x->miss.lease;
		x->miss.lease = miss->lease;
	}
	list_out(m, x);
	list_in(m, i);
	return true;
}

void misses_note(struct misses *m, struct miss miss)
{
	uint32_t i, *b;

	if (renew(m, &miss))
		return;
	if (!m->unused)
		grow(m);
	i = m->unused;
	m->unused = m->node[i - 1].chain;
	b = bucket_of(m, miss.key);
	m->node[i - 1] = (struct miss_node){.miss = miss, .chain = *b};
	*b = i;
	list_in(m, i);
	m->n++;
	m->n_leases += miss.lease != 0;
}

bool misses_trim(struct misses *m, int64_t now_us, size_t most, struct miss *ret)
{
	if (m->n <= most &&
	    (!m->n || now_us - m->node[m->oldest - 1].miss.at_us < MISSES_MAX_US))
		return false;
	return misses_take_oldest(m, ret);
}
