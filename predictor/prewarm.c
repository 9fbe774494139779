/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "predictor/prewarm.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The start has this much slack, so that a few slow loads do not make the last ones late. */
static const double SLACK = 1.2;

/* Nothing is loaded so early that more changes than this are expected before the peak. */
static const double MOST_CHANGES = 0.5;

double prewarm_p(const struct prewarm_candidate *c, double t)
{
	return t > 0 ? -expm1(-c->a * log1p(t / c->b)) : 0;
}

static double gain(const struct prewarm_candidate *c)
{
	/* where any chance pays, the chances are in order */
	if (isinf(c->miss_value))
		return c->p;
	return c->p * (1 + c->miss_value) - 1;
}

/* What a load too early would cost: expected stale serves per second of lead. */
static double haste(const struct prewarm_candidate *c)
{
	return c->a / c->b * c->changes_per_s;
}

/* A candidate on its way to a slot. */
struct entry {
	struct prewarm_candidate c;
	double gain;
	size_t slots; /* that it may take: the nearest so many to the peak */
};

static int by_key(const struct entry *x, const struct entry *y)
{
	return x->c.key < y->c.key ? -1 : x->c.key > y->c.key;
}

/* What pays before what does not; and of it the most gain first. */
static int by_gain(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if ((x->c.verdict == PREWARM_LOAD) != (y->c.verdict == PREWARM_LOAD))
		return x->c.verdict == PREWARM_LOAD ? -1 : 1;
	if (x->gain != y->gain)
		return x->gain > y->gain ? -1 : 1;
	return by_key(x, y);
}

/* The fewest slots first: the nearest to the peak; else the most hasty. */
static int by_slots(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->slots != y->slots)
		return x->slots < y->slots ? -1 : 1;
	if (haste(&x->c) != haste(&y->c))
		return haste(&x->c) > haste(&y->c) ? -1 : 1;
	return by_key(x, y);
}

/* Judges one by itself, and counts its slots. */
static void judge(const struct prewarm_terms *t, double available_s, struct entry *x)
{
	struct prewarm_candidate *c = &x->c;
	double worth = prewarm_worth(c->miss_value), lead = INFINITY, fits, need;

	c->at = INSTANT_NEVER;
	c->verdict = PREWARM_LOAD;
	/* what is asked for later than that was not wanted at the peak */
	c->p = c->trust * prewarm_p(c, fmin(c->life_s, t->watch_s));
	x->gain = gain(c);
	x->slots = SIZE_MAX;
	if (c->p < worth) {
		c->verdict = c->trust * prewarm_p(c, t->watch_s) < worth ? PREWARM_UNLIKELY
		                                                         : PREWARM_VOLATILE;
		return;
	}
	if (available_s <= 0)
		return;
	/* the life that is needed for p to be worth it, and the lead that leaves it */
	need = c->b * expm1(-log1p(-fmin(worth / c->trust, 1)) / c->a);
	if (c->wear > 0)
		lead = (c->life_s - need) / c->wear;
	if (c->changes_per_s > 0)
		lead = fmin(lead, MOST_CHANGES / c->changes_per_s);
	fits = floor((lead / SLACK - c->load_s) * t->rate);
	if (fits < 1)
		c->verdict = PREWARM_VOLATILE;
	else if (fits < 1e9)
		x->slots = (size_t)fits;
}

/* -- The heap of those chosen so far: the least gain on top ------------------------------------- */

static bool less(const struct entry *x, const struct entry *y)
{
	return x->gain != y->gain ? x->gain < y->gain : x->c.key > y->c.key;
}

static void sift_up(struct entry **h, size_t i)
{
	for (; i && less(h[i], h[(i - 1) / 2]); i = (i - 1) / 2) {
		struct entry *x = h[i];

		h[i] = h[(i - 1) / 2];
		h[(i - 1) / 2] = x;
	}
}

static void sift_down(struct entry **h, size_t n, size_t i)
{
	for (;;) {
		size_t least = i, l = 2 * i + 1;
		struct entry *x;

		if (l < n && less(h[l], h[least]))
			least = l;
		if (l + 1 < n && less(h[l + 1], h[least]))
			least = l + 1;
		if (least == i)
			return;
		x = h[i];
		h[i] = h[least];
		h[least] = x;
		i = least;
	}
}

/* Of the first n entries, by slots, those that find one; the others get their verdict. */
static size_t fill_slots(struct entry *x, size_t n)
{
	struct entry **chosen = mem_calloc(n, sizeof(struct entry *));
	size_t taken = 0;

	for (size_t i = 0; i < n; i++) {
		chosen[taken] = &x[i];
		sift_up(chosen, taken++);
		if (taken > x[i].slots) {
			chosen[0]->c.verdict = PREWARM_ROOM;
			chosen[0] = chosen[--taken];
			sift_down(chosen, taken, 0);
		}
	}
	free(chosen);
	return taken;
}

/* Of the first n entries, by gain, those within max_keys of their peak; moves them to the front. */
static size_t limit(const struct prewarm_terms *t, struct entry *x, size_t n)
{
	size_t *taken = mem_calloc(t->n_peaks, sizeof(*taken)), kept = 0;

	for (size_t i = 0; i < n; i++) {
		struct entry y = x[i];

		if (taken[y.c.peak]++ >= t->max_keys[y.c.peak]) {
			x[i].c.verdict = PREWARM_LIMIT;
			continue;
		}
		x[i] = x[kept];
		x[kept++] = y;
	}
	free(taken);
	return kept;
}

size_t prewarm_plan(const struct prewarm_terms *t, struct prewarm_candidate *c, size_t n)
{
	double available = span_s(instant_diff(t->peak, t->now)), most;
	struct entry *x = mem_calloc(n, sizeof(*x));
	size_t pay = 0, taken, out = 0;

	if (t->lead_s > 0)
		available = fmin(available, t->lead_s);
	for (size_t i = 0; i < n; i++) {
		x[i].c = c[i];
		judge(t, available, &x[i]);
		pay += x[i].c.verdict == PREWARM_LOAD;
	}
	if (n)
		qsort(x, n, sizeof(*x), by_gain);
	pay = limit(t, x, pay);
	taken = pay;
	if (available > 0 && pay) {
		/* at a late start there is one slot at the least: a load that ends late is shared */
		most = fmax(1, floor(available / SLACK * t->rate));
		for (size_t i = 0; i < pay; i++)
			if ((double)x[i].slots > most)
				x[i].slots = (size_t)most;
		/* more slots than loads are no reason for an order */
		for (size_t i = 0; i < pay; i++)
			if (x[i].slots > pay)
				x[i].slots = pay < (size_t)most ? pay : (size_t)most;
		qsort(x, pay, sizeof(*x), by_slots);
		taken = fill_slots(x, pay);
	}
	/* the nearest to the peak is the first in x, and the last to be loaded */
	for (size_t i = 0, slot = 0; i < pay; i++) {
		struct prewarm_candidate *y = &x[i].c;
		double lead;

		if (y->verdict != PREWARM_LOAD)
			continue;
		slot++;
		lead = SLACK * ((double)slot / t->rate + y->load_s);
		y->at = available > 0 ? instant_add(t->peak, span_from_s(-fmin(lead, available)))
		                      : t->now;
		c[available > 0 ? taken - slot : slot - 1] = *y;
	}
	out = taken;
	for (size_t i = 0; i < n; i++)
		if (x[i].c.verdict != PREWARM_LOAD)
			c[out++] = x[i].c;
	free(x);
	return taken;
}
