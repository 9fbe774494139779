/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/heap.c"

#include "base/rng.h"
#include "tests/tap.h"

#define ITEMS 200

/* The same by hand: for each item when it is due and when that was set; seq 0 is "no timer". */
struct model {
	int64_t due[ITEMS];
	uint64_t seq[ITEMS], last;
};

static void model_set(struct model *m, uint32_t item, int64_t due)
{
	m->due[item] = due;
	m->seq[item] = ++m->last;
}

/* The item that comes out first, or ITEMS. */
static uint32_t model_first(const struct model *m)
{
	uint32_t best = ITEMS;

	for (uint32_t i = 0; i < ITEMS; i++) {
		if (!m->seq[i])
			continue;
		if (best == ITEMS || m->due[i] < m->due[best] ||
		    (m->due[i] == m->due[best] && m->seq[i] < m->seq[best]))
			best = i;
	}
	return best;
}

static int64_t model_next(const struct model *m)
{
	uint32_t first = model_first(m);

	return first == ITEMS ? INT64_MAX : m->due[first];
}

/* Every slot stands where its item says, and no child before its parent. */
static bool is_sound(const struct heap *h)
{
	size_t in = 0;

	for (size_t i = 0; i < h->n_where; i++)
		in += h->where[i] != 0;
	if (in != h->n)
		return false;
	for (size_t i = 0; i < h->n; i++)
		if (h->where[h->slot[i].item] != i + 1 ||
		    (i && before(&h->slot[i], &h->slot[(i - 1) / 2])))
			return false;
	return true;
}

TEST(an_all_zero_heap_is_empty)
{
	struct heap h = {0};
	uint32_t item = 7;

	OK(heap_next(&h).us == INT64_MAX);
	OK(heap_due(&h, 0).us == INT64_MAX);
	OK(!heap_pop(&h, INSTANT_NEVER, &item) && item == 7);
	heap_cancel(&h, 3);
	heap_release(&h);
	heap_release(&h);
}

TEST(does_what_a_sorted_list_does)
{
	struct heap h = {0};
	struct model m = {.last = 0};
	struct rng g;

	rng_init(&g, tap_seed);
	for (int step = 0; step < 50000; step++) {
		uint32_t item = (uint32_t)rng_below(&g, ITEMS), got = ITEMS, want;
		int64_t t = (int64_t)rng_below(&g, 50) - 10;

		switch (rng_below(&g, 6)) {
		case 0:
			heap_cancel(&h, item);
			m.seq[item] = 0;
			break;
		case 1:
		case 2:
			want = model_first(&m);
			if (want < ITEMS && m.due[want] > t)
				want = ITEMS;
			OK(heap_pop(&h, (struct instant){t}, &got) == (want < ITEMS));
			OK(got == want, "step %d: item %u, not %u", step, got, want);
			if (want < ITEMS)
				m.seq[want] = 0;
			break;
		default:
			heap_set(&h, item, (struct instant){t});
			model_set(&m, item, t);
		}
		OK(heap_due(&h, item).us == (m.seq[item] ? m.due[item] : INT64_MAX));
		OK(heap_next(&h).us == model_next(&m));
		OK(is_sound(&h), "step %d", step);
		if (tap_bad_here)
			break;
	}
	heap_release(&h);
}

TEST(equal_instants_come_out_in_the_order_set)
{
	struct heap h = {0};
	uint32_t item = 0;

	/* set downwards, and every third once more: those go to the end of the queue */
	for (uint32_t i = 1000; i-- > 0;)
		heap_set(&h, i, (struct instant){5});
	for (uint32_t i = 0; i < 1000; i += 3)
		heap_set(&h, i, (struct instant){5});
	for (uint32_t i = 1000; i-- > 0;)
		if (i % 3)
			OK(heap_pop(&h, (struct instant){5}, &item) && item == i, "%u, not %u",
			   item, i);
	for (uint32_t i = 0; i < 1000; i += 3)
		OK(heap_pop(&h, (struct instant){5}, &item) && item == i, "%u, not %u", item, i);
	OK(h.n == 0);
	heap_release(&h);
}

TEST(what_is_due_later_stays_in)
{
	struct heap h = {0};
	uint32_t item = 0;

	heap_set(&h, 100000, (struct instant){10});
	heap_set(&h, 0, INSTANT_NEVER);
	OK(!heap_pop(&h, (struct instant){9}, &item));
	OK(heap_pop(&h, (struct instant){10}, &item) && item == 100000);
	OK(!heap_pop(&h, (struct instant){INT64_MAX - 1}, &item));
	heap_release(&h);
}

TEST(room_taken_ahead_changes_nothing)
{
	struct heap h = {0};
	uint32_t item;

	for (uint32_t i = 0; i < 100; i++)
		heap_set(&h, i, (struct instant){1000 - i});
	heap_reserve(&h, 10000);
	heap_reserve(&h, 10);
	for (uint32_t i = 100; i < 12000; i++)
		heap_set(&h, i, (struct instant){20000 - i});
	for (uint32_t i = 0; i < 100; i++)
		OK(heap_pop(&h, INSTANT_NEVER, &item) && item == 99 - i);
	for (uint32_t i = 100; i < 12000; i++)
		OK(heap_pop(&h, INSTANT_NEVER, &item) && item == 11999 - (i - 100));
	OK(!heap_pop(&h, INSTANT_NEVER, &item));
	heap_release(&h);
}

TEST(memory_is_given_back_in_pieces_and_the_heap_is_empty_then)
{
	struct heap h = {0};
	unsigned pieces = 1;
	uint32_t item;

	for (uint32_t i = 0; i < 200000; i++)
		heap_set(&h, i, (struct instant){i});
	while (!heap_give_back(&h))
		pieces++;
	OK(pieces > 6 && pieces < 40, "%u", pieces);
	OK(!h.slot && !h.where && h.n == 0 && !heap_pop(&h, INSTANT_NEVER, &item));
	OK(heap_give_back(&h));
	heap_set(&h, 3, (struct instant){1});
	OK(heap_pop(&h, INSTANT_NEVER, &item) && item == 3);
	/* one that is small is gone at once, or nearly */
	OK(heap_give_back(&h) || heap_give_back(&h));
	heap_release(&h);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(an_all_zero_heap_is_empty);
	RUN(does_what_a_sorted_list_does);
	RUN(equal_instants_come_out_in_the_order_set);
	RUN(what_is_due_later_stays_in);
	RUN(room_taken_ahead_changes_nothing);
	RUN(memory_is_given_back_in_pieces_and_the_heap_is_empty_then);
	return tap_done();
}
