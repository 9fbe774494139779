/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "analyzer/audience.h"

#include "base/hash.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

static const float KEEP = 0.9f, DAY_KEEP = 0.8f; /* per peak; half is left after 7, and after 3 */
static const double ALL_PEAKS = 5;               /* of all days count so many for each weekday */
static const float TOO_RARE = 0.02f;             /* what is left of a single time after 37 peaks */

/* Longer than this nobody waits for the next request, s. */
static const double RARE_S = 1e9;

/* Peaks at which a key was asked for, by hundredths: there are 1 / (1 - KEEP) of them at the most. */
#define RANKS 1024
static const double RANKS_A_PEAK = 100;

/*
 * How a watch ends: each key's numbers go on, from the last in the list to the first; then what is
 * too much goes, in the same order.
 */
struct audience_end {
	unsigned weekday;
	double window_s;
	size_t max;
	size_t next;   /* keys that this pass has yet to look at */
	bool thinning; /* the second pass */
	unsigned cut;  /* its keys of less than this rank go, */
	size_t spare;  /* and so many of this one */
	uint32_t of_rank[RANKS];
};

void audience_release(struct audience *a)
{
	vec_free(&a->list);
	free(a->slot);
	free(a->end);
	*a = (struct audience){0};
}

static size_t home(const struct audience *a, uint32_t key)
{
	return hash_u64(key) & (a->n_slots - 1);
}

/* Where the key is in the table, or the free slot where it would be. There is one. */
static size_t look(const struct audience *a, uint32_t key)
{
	size_t i = home(a, key);

	while (a->slot[i] && a->list.v[a->slot[i] - 1].key != key)
		i = (i + 1) & (a->n_slots - 1);
	return i;
}

static void index_all(struct audience *a)
{
	size_t n = 16;

	while (n < 2 * a->list.n + 2)
		n *= 2;
	free(a->slot);
	a->slot = mem_calloc(n, sizeof(*a->slot));
	a->n_slots = n;
	for (size_t i = 0; i < a->list.n; i++)
		a->slot[look(a, a->list.v[i].key)] = (uint32_t)i + 1;
}

struct audience_key *audience_find(const struct audience *a, uint32_t key)
{
	uint32_t i = a->n_slots ? a->slot[look(a, key)] : 0;

	return i ? &a->list.v[i - 1] : NULL;
}

struct audience_key *audience_add(struct audience *a, uint32_t key)
{
	struct audience_key *k = audience_find(a, key);

	if (k)
		return k;
	k = vec_push(&a->list);
	*k = (struct audience_key){.key = key, .delay_s = -1};
	if (2 * a->list.n > a->n_slots)
		index_all(a);
	else
		a->slot[look(a, key)] = (uint32_t)a->list.n;
	return &a->list.v[a->list.n - 1];
}

/* Frees a slot; those behind it that it kept from their home move up (Knuth, TAOCP 6.4, R). */
static void free_slot(struct audience *a, size_t i)
{
	size_t mask = a->n_slots - 1;

	for (size_t j = (i + 1) & mask; a->slot[j]; j = (j + 1) & mask) {
		size_t h = home(a, a->list.v[a->slot[j] - 1].key);

		if (((j - h) & mask) < ((j - i) & mask))
			continue;
		a->slot[i] = a->slot[j];
		i = j;
	}
	a->slot[i] = 0;
}

/* The key at `from` moves to the place `to`, which is free. */
static void move(struct audience *a, size_t from, size_t to)
{
	if (from == to)
		return;
	a->slot[look(a, a->list.v[from].key)] = (uint32_t)to + 1;
	a->list.v[to] = a->list.v[from];
}

/* Takes the i-th out; the order of those that the end has yet to look at, and has, stays. */
static void take_out(struct audience *a, size_t i)
{
	struct audience_end *end = a->end;

	free_slot(a, look(a, a->list.v[i].key));
	if (end && i < end->next) {
		move(a, --end->next, i);
		i = end->next;
	}
	move(a, a->list.n - 1, i);
	a->list.n--;
}

void audience_begin(struct audience *a)
{
	audience_step(a, SIZE_MAX);
	/* a watch that was broken off */
	for (size_t i = 0; a->asked && i < a->list.n; i++)
		a->list.v[i].delay_s = -1;
	a->asked = false;
	a->n_new = 0;
}

/* What was not asked for at any of the peaks so far has been waited for at all of them. */
static void catch_up(const struct audience *a, struct audience_key *k, double window_s)
{
	k->s = (float)(a->peaks * window_s);
	for (int d = 0; d < AUDIENCE_WEEKDAYS; d++)
		k->day_s[d] = (float)(a->day_peaks[d] * window_s);
}

void audience_asked(struct audience *a, uint32_t key, double delay_s)
{
	struct audience_key *k = audience_find(a, key);

	if (!k && a->n_new >= AUDIENCE_NEW)
		return;
	if (!k) {
		k = audience_add(a, key);
		a->n_new++;
	}
	if (k->delay_s < 0)
		k->delay_s = (float)fmax(delay_s, 0);
	a->asked = true;
}

void audience_end(struct audience *a, unsigned weekday, double window_s, size_t max)
{
	a->end = mem_calloc(1, sizeof(*a->end));
	a->end->weekday = weekday;
	a->end->window_s = window_s;
	a->end->max = max;
	a->end->next = a->list.n;
}

static unsigned rank_of(const struct audience_key *k)
{
	return (unsigned)fmin((double)k->n * RANKS_A_PEAK, RANKS - 1);
}

static void go_on(struct audience *a, size_t i)
{
	struct audience_end *end = a->end;
	struct audience_key *k = &a->list.v[i];
	bool asked = k->delay_s >= 0;
	/* never 0, which means that nothing is known */
	float waited = asked ? fmaxf(k->delay_s, 1e-3f) : (float)end->window_s;

	if (!(k->s > 0))
		catch_up(a, k, end->window_s);
	k->n = KEEP * k->n + asked;
	k->s = KEEP * k->s + waited;
	k->day_n[end->weekday] = DAY_KEEP * k->day_n[end->weekday] + asked;
	k->day_s[end->weekday] = DAY_KEEP * k->day_s[end->weekday] + waited;
	k->delay_s = -1;
	if (k->n > TOO_RARE)
		end->of_rank[rank_of(k)]++;
	else
		take_out(a, i);
}

/* Which go, if there are too many? */
static void begin_thinning(struct audience *a)
{
	struct audience_end *end = a->end;
	size_t over = a->list.n > end->max ? a->list.n - end->max : 0;

	while (end->cut < RANKS - 1 && end->of_rank[end->cut] <= over)
		over -= end->of_rank[end->cut++];
	end->spare = over;
	end->thinning = true;
	end->next = a->list.n;
}

static void thin(struct audience *a, size_t i)
{
	struct audience_end *end = a->end;
	unsigned rank = rank_of(&a->list.v[i]);

	if (rank > end->cut || (rank == end->cut && !end->spare))
		return;
	end->spare -= rank == end->cut;
	take_out(a, i);
}

bool audience_step(struct audience *a, size_t work)
{
	struct audience_end *end = a->end;

	for (; end; begin_thinning(a)) {
		for (; end->next && work; work--) {
			end->next--;
			if (end->thinning)
				thin(a, end->next);
			else
				go_on(a, end->next);
		}
		if (end->next)
			return false;
		if (end->thinning || a->list.n <= end->max)
			break;
	}
	if (!end)
		return true;
	a->peaks = KEEP * a->peaks + 1;
	a->day_peaks[end->weekday] = DAY_KEEP * a->day_peaks[end->weekday] + 1;
	free(end);
	a->end = NULL;
	a->asked = false;
	return true;
}

void audience_forget(struct audience *a, uint32_t key)
{
	struct audience_key *k = audience_find(a, key);

	if (k)
		take_out(a, (size_t)(k - a->list.v));
}

void audience_rate(const struct audience *a, uint32_t key, unsigned weekday, double forecast_per_s,
                   double window_s, double *ret_a, double *ret_b)
{
	const struct audience_key *k = audience_find(a, key);
	double rate = fmax(forecast_per_s, 1 / RARE_S), share;
	/* what one peak would show if the forecast were right */
	double n = -expm1(-rate * window_s), s = n / rate;

	n += k ? k->n : 0;
	s += k && k->s > 0 ? k->s : a->peaks * window_s;
	share = fmin(ALL_PEAKS / (a->peaks + 1), 1);
	*ret_a = n * share + (k ? k->day_n[weekday] : 0);
	*ret_b = s * share + (k && k->s > 0 ? k->day_s[weekday] : a->day_peaks[weekday] * window_s);
}
