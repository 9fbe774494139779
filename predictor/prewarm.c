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

/* What is worked out of a candidate on its way to a slot. */
struct entry {
	double gain;
	size_t slots; /* that it may take: the nearest so many to the peak */
};

/* What is sorted of it: ascending by a, then b, then key. */
struct rank {
	double a, b;
	uint32_t key, i; /* i: its number */
};

/* A merge sort from the bottom up, which can be left and gone on with after each element. */
struct sort {
	struct rank *from, *to;
	size_t n, width, begin, left, right; /* [begin, begin + width) and the next are merged */
};

enum stage {
	JUDGE,
	BY_GAIN,
	LIMIT,
	COUNT_SLOTS,
	BY_SLOTS,
	FILL,
	FREE_ENTRIES, /* arrays of megabytes are given back piece by piece, one in each stage */
	FREE_HEAP,
	OUT,
	FREE_RANKS,
	FREE_SPARE,
	REST,
	DONE
};

/* To give a piece of memory back costs about as much as so many looks at a candidate. */
static const size_t PIECE_WORK = 1024;

struct prewarm {
	struct prewarm_terms terms;
	struct prewarm_candidate *const *block;
	struct entry *x;
	size_t n;
	double available, most; /* seconds, slots */
	enum stage stage;
	size_t i; /* cursor of the stage */
	struct rank *rank, *spare;
	size_t pay, kept; /* ranks: that pay, and are within the limit */
	struct sort sort;
	size_t *of_peak; /* so many of each within the limit */
	uint32_t *heap;  /* of chosen numbers: the least gain on top */
	size_t taken, slot, out;
	uint32_t *order; /* the result */
};

/* Judges one by itself, and counts its slots. */
static void judge(const struct prewarm_terms *t, double available_s, struct prewarm_candidate *c,
                  struct entry *x)
{
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

/* -- Sorting ----------------------------------------------------------------------------------- */

static bool comes_first(const struct rank *x, const struct rank *y)
{
	if (x->a != y->a)
		return x->a < y->a;
	if (x->b != y->b)
		return x->b < y->b;
	return x->key < y->key || (x->key == y->key && x->i <= y->i);
}

static void sort_merge_at(struct sort *s, size_t begin)
{
	s->begin = s->left = begin;
	s->right = begin + s->width < s->n ? begin + s->width : s->n;
}

static void sort_begin(struct sort *s, struct rank *v, struct rank *spare, size_t n)
{
	*s = (struct sort){.from = v, .to = spare, .n = n, .width = 1};
	sort_merge_at(s, 0);
}

/* Moves so many elements at the most, less of *work; true: s->from is sorted. */
static bool sort_step(struct sort *s, size_t *work)
{
	while (s->width < s->n) {
		size_t middle = s->begin + s->width < s->n ? s->begin + s->width : s->n,
		       end = middle + s->width < s->n ? middle + s->width : s->n,
		       k = s->left + s->right - middle;

		for (; k < end && *work; k++, --*work)
			s->to[k] = s->right == end || (s->left < middle &&
			                               comes_first(&s->from[s->left],
			                                           &s->from[s->right]))
			                   ? s->from[s->left++]
			                   : s->from[s->right++];
		if (k < end)
			return false;
		if (end < s->n) {
			sort_merge_at(s, end);
			continue;
		}
		{
			struct rank *other = s->from;

			s->from = s->to;
			s->to = other;
		}
		s->width *= 2;
		sort_merge_at(s, 0);
	}
	return true;
}

static struct prewarm_candidate *nth(const struct prewarm *p, size_t i)
{
	return &p->block[i / PREWARM_BLOCK][i % PREWARM_BLOCK];
}

/* -- The heap of those chosen so far: the least gain on top ------------------------------------- */

static bool less(const struct prewarm *p, uint32_t x, uint32_t y)
{
	return p->x[x].gain != p->x[y].gain ? p->x[x].gain < p->x[y].gain
	                                    : nth(p, x)->key > nth(p, y)->key;
}

static void swap(uint32_t *h, size_t i, size_t j)
{
	uint32_t x = h[i];

	h[i] = h[j];
	h[j] = x;
}

static void sift_up(const struct prewarm *p, size_t i)
{
	for (; i && less(p, p->heap[i], p->heap[(i - 1) / 2]); i = (i - 1) / 2)
		swap(p->heap, i, (i - 1) / 2);
}

static void sift_down(const struct prewarm *p, size_t n, size_t i)
{
	for (;;) {
		size_t least = i, l = 2 * i + 1;

		if (l < n && less(p, p->heap[l], p->heap[least]))
			least = l;
		if (l + 1 < n && less(p, p->heap[l + 1], p->heap[least]))
			least = l + 1;
		if (least == i)
			return;
		swap(p->heap, i, least);
		i = least;
	}
}

/* -- The stages: each does one element --------------------------------------------------------- */

static void do_judge(struct prewarm *p, size_t i)
{
	struct prewarm_candidate *c = nth(p, i);

	judge(&p->terms, p->available, c, &p->x[i]);
	/* what pays before what does not; and of it the most gain first */
	if (c->verdict == PREWARM_LOAD)
		p->rank[p->pay++] =
		        (struct rank){.a = -p->x[i].gain, .key = c->key, .i = (uint32_t)i};
}

/* Of those that pay, by gain, the ones within max_keys of their peak move to the front. */
static void do_limit(struct prewarm *p, size_t i)
{
	struct rank r = p->rank[i];
	struct prewarm_candidate *c = nth(p, r.i);

	if (p->of_peak[c->peak]++ >= p->terms.max_keys[c->peak])
		c->verdict = PREWARM_LIMIT;
	else
		p->rank[p->kept++] = r;
}

/* The fewest slots first: the nearest to the peak; else the most hasty. */
static void do_slots(struct prewarm *p, size_t i)
{
	struct entry *x = &p->x[p->rank[i].i];

	if ((double)x->slots > p->most)
		x->slots = (size_t)p->most;
	/* more slots than loads are no reason for an order */
	if (x->slots > p->kept)
		x->slots = p->kept < (size_t)p->most ? p->kept : (size_t)p->most;
	p->rank[i].a = (double)x->slots;
	p->rank[i].b = -haste(nth(p, p->rank[i].i));
}

/* By slots, it finds one, or the one of least gain goes. */
static void do_fill(struct prewarm *p, size_t i)
{
	uint32_t x = p->rank[i].i;

	p->heap[p->taken] = x;
	sift_up(p, p->taken++);
	if (p->taken > p->x[x].slots) {
		nth(p, p->heap[0])->verdict = PREWARM_ROOM;
		p->heap[0] = p->heap[--p->taken];
		sift_down(p, p->taken, 0);
	}
}

/* The nearest to the peak is the first, and the last to be loaded. */
static void do_out(struct prewarm *p, size_t i)
{
	struct prewarm_candidate *c = nth(p, p->rank[i].i);
	bool in_time = p->available > 0;
	double lead;

	if (c->verdict != PREWARM_LOAD)
		return;
	p->slot++;
	lead = SLACK * ((double)p->slot / p->terms.rate + c->load_s);
	c->at = in_time ? instant_add(p->terms.peak, span_from_s(-fmin(lead, p->available)))
	                : p->terms.now;
	p->order[in_time ? p->taken - p->slot : p->slot - 1] = p->rank[i].i;
}

static void do_rest(struct prewarm *p, size_t i)
{
	if (nth(p, i)->verdict != PREWARM_LOAD)
		p->order[p->out++] = (uint32_t)i;
}

/* Gives back some of an array of p->n, of which p->i bytes are gone. Returns it; NULL: that was all. */
static void *give_back(struct prewarm *p, void *array, size_t size, size_t *work)
{
	size_t bytes = p->n * size, left = bytes - p->i;

	while (array && *work) {
		mem_give_back(&array, &left);
		*work -= *work < PIECE_WORK ? *work : PIECE_WORK;
	}
	p->i = bytes - left;
	return array;
}

static void enter(struct prewarm *p, enum stage stage)
{
	p->stage = stage;
	p->i = 0;
	switch (stage) {
	case BY_GAIN:
		sort_begin(&p->sort, p->rank, p->spare, p->pay);
		break;
	case COUNT_SLOTS:
		p->taken = p->kept;
		if (p->available <= 0 || !p->kept) {
			enter(p, FREE_ENTRIES);
			return;
		}
		/* at a late start there is one slot at the least: a load that ends late is shared */
		p->most = fmax(1, floor(p->available / SLACK * p->terms.rate));
		break;
	case BY_SLOTS:
		sort_begin(&p->sort, p->rank, p->spare, p->kept);
		break;
	case FILL:
		p->taken = 0;
		break;
	case REST:
		p->out = p->taken;
		break;
	default:
		break;
	}
}

/* The sorted ranks are in either array. */
static void take_sorted(struct prewarm *p)
{
	p->rank = p->sort.from;
	p->spare = p->sort.to;
}

/* Each element is set before it is read; clearing megabytes would be a pause of its own. */
static void *room_for(size_t n, size_t size)
{
	return n ? mem_realloc(NULL, n, size) : NULL;
}

struct prewarm *prewarm_begin(const struct prewarm_terms *t, struct prewarm_candidate *const *block,
                              size_t n)
{
	struct prewarm *p = mem_calloc(1, sizeof(*p));

	p->terms = *t;
	p->block = block;
	p->n = n;
	p->available = span_s(instant_diff(t->peak, t->now));
	if (t->lead_s > 0)
		p->available = fmin(p->available, t->lead_s);
	p->x = room_for(n, sizeof(*p->x));
	p->rank = room_for(n, sizeof(*p->rank));
	p->spare = room_for(n, sizeof(*p->spare));
	p->heap = room_for(n, sizeof(*p->heap));
	p->order = room_for(n, sizeof(*p->order));
	p->of_peak = mem_calloc(t->n_peaks, sizeof(*p->of_peak));
	return p;
}

/* Goes on with a stage that does so to each of n, less of *work; true: that was all of them. */
static bool each(struct prewarm *p, size_t n, size_t *work, void (*does)(struct prewarm *, size_t))
{
	for (; p->i < n && *work; --*work)
		does(p, p->i++);
	return p->i >= n;
}

bool prewarm_step(struct prewarm *p, size_t work)
{
	bool all = true;

	for (;; enter(p, p->stage + 1)) {
		switch (p->stage) {
		case JUDGE:
			all = each(p, p->n, &work, do_judge);
			break;
		case BY_GAIN:
		case BY_SLOTS:
			all = sort_step(&p->sort, &work);
			if (all)
				take_sorted(p);
			break;
		case LIMIT:
			all = each(p, p->pay, &work, do_limit);
			break;
		case COUNT_SLOTS:
			all = each(p, p->kept, &work, do_slots);
			break;
		case FILL:
			all = each(p, p->kept, &work, do_fill);
			break;
		case FREE_ENTRIES:
			p->x = give_back(p, p->x, sizeof(*p->x), &work);
			all = !p->x;
			break;
		case FREE_HEAP:
			p->heap = give_back(p, p->heap, sizeof(*p->heap), &work);
			all = !p->heap;
			break;
		case OUT:
			all = each(p, p->kept, &work, do_out);
			break;
		case FREE_RANKS:
			p->rank = give_back(p, p->rank, sizeof(*p->rank), &work);
			all = !p->rank;
			break;
		case FREE_SPARE:
			p->spare = give_back(p, p->spare, sizeof(*p->spare), &work);
			all = !p->spare;
			break;
		case REST:
			all = each(p, p->n, &work, do_rest);
			break;
		case DONE:
			return true;
		}
		if (!all)
			return false;
	}
}

size_t prewarm_loads(const struct prewarm *p)
{
	return p->taken;
}

const struct prewarm_candidate *prewarm_nth(const struct prewarm *p, size_t i)
{
	return nth(p, p->order[i]);
}

void prewarm_free(struct prewarm **pp)
{
	struct prewarm *p = *pp;

	if (!p)
		return;
	free(p->x);
	free(p->rank);
	free(p->spare);
	free(p->heap);
	free(p->order);
	free(p->of_peak);
	free(p);
	*pp = NULL;
}

size_t prewarm_plan(const struct prewarm_terms *t, struct prewarm_candidate *c, size_t n)
{
	struct prewarm_candidate **block = mem_calloc(n / PREWARM_BLOCK + 1, sizeof(c)),
	                         *sorted = mem_calloc(n, sizeof(*sorted));
	struct prewarm *p;
	size_t taken;

	for (size_t i = 0; i < n; i += PREWARM_BLOCK)
		block[i / PREWARM_BLOCK] = c + i;
	p = prewarm_begin(t, block, n);

	while (!prewarm_step(p, SIZE_MAX))
		;
	for (size_t i = 0; i < n; i++)
		sorted[i] = *prewarm_nth(p, i);
	if (n)
		memcpy(c, sorted, n * sizeof(*c));
	taken = prewarm_loads(p);
	free(sorted);
	free(block);
	prewarm_free(&p);
	return taken;
}
