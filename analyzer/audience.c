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

void audience_release(struct audience *a)
{
	vec_free(&a->list);
	free(a->slot);
	*a = (struct audience){0};
}

/* Where the key is in the table, or the free slot where it would be. There is one. */
static size_t look(const struct audience *a, uint32_t key)
{
	size_t i = hash_u64(key) & (a->n_slots - 1);

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

void audience_begin(struct audience *a)
{
	for (size_t i = 0; i < a->list.n; i++)
		a->list.v[i].delay_s = -1;
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
	struct audience_key *k = audience_add(a, key);

	if (k->delay_s < 0)
		k->delay_s = (float)fmax(delay_s, 0);
}

static int most_asked_first(const void *x, const void *y)
{
	const struct audience_key *a = x, *b = y;

	if (a->n != b->n)
		return a->n > b->n ? -1 : 1;
	return a->key < b->key ? -1 : a->key > b->key;
}

void audience_end(struct audience *a, unsigned weekday, double window_s, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < a->list.n; i++) {
		struct audience_key k = a->list.v[i];
		bool asked = k.delay_s >= 0;
		/* never 0, which means that nothing is known */
		float waited = asked ? fmaxf(k.delay_s, 1e-3f) : (float)window_s;

		if (!(k.s > 0))
			catch_up(a, &k, window_s);
		k.n = KEEP * k.n + asked;
		k.s = KEEP * k.s + waited;
		k.day_n[weekday] = DAY_KEEP * k.day_n[weekday] + asked;
		k.day_s[weekday] = DAY_KEEP * k.day_s[weekday] + waited;
		k.delay_s = -1;
		if (k.n > TOO_RARE)
			a->list.v[n++] = k;
	}
	a->list.n = n;
	if (n > max) {
		qsort(a->list.v, n, sizeof(*a->list.v), most_asked_first);
		a->list.n = max;
	}
	a->peaks = KEEP * a->peaks + 1;
	a->day_peaks[weekday] = DAY_KEEP * a->day_peaks[weekday] + 1;
	index_all(a);
}

void audience_forget(struct audience *a, uint32_t key)
{
	struct audience_key *k = audience_find(a, key);

	if (!k)
		return;
	*k = a->list.v[--a->list.n];
	index_all(a);
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
