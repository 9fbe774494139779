/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "examples/market/static.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

void loads_init(struct loads *l, struct instant from, struct instant until)
{
	l->from = from;
	l->n_steps = (size_t)((until.us - from.us) / (LOADS_STEP_S * INT64_C(1000000))) + 1;
	l->step = mem_calloc(l->n_steps, sizeof(*l->step));
	l->sum = 0;
}

void loads_release(struct loads *l)
{
	free(l->step);
	l->step = NULL;
}

/* The step of an instant; those outside of the window fall into its first or last step. */
static size_t step_of(const struct loads *l, struct instant at)
{
	int64_t i = (at.us - l->from.us) / (LOADS_STEP_S * INT64_C(1000000));

	return i < 0 ? 0 : (size_t)i < l->n_steps ? (size_t)i : l->n_steps - 1;
}

void loads_add(struct loads *l, struct instant at)
{
	l->step[step_of(l, at)]++;
	l->sum++;
}

double loads_peak(const struct loads *l, struct instant from, struct instant until)
{
	uint32_t most = 0;

	for (size_t i = step_of(l, from); i <= step_of(l, (struct instant){until.us - 1}); i++)
		if (l->step[i] > most)
			most = l->step[i];
	return (double)most / LOADS_STEP_S;
}

uint64_t loads_sum(const struct loads *l, struct instant from, struct instant until)
{
	uint64_t sum = 0;

	for (size_t i = step_of(l, from); i <= step_of(l, (struct instant){until.us - 1}); i++)
		sum += l->step[i];
	return sum;
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

struct figures figures_of(struct truth *t, const struct answer *a, size_t n)
{
	struct figures f = {.n = n};
	float *ms = mem_calloc(n > 0 ? n : 1, sizeof(*ms));
	size_t hits = 0, stale = 0;

	for (size_t i = 0; i < n; i++) {
		ms[i] = a[i].response_ms;
		f.mean_ms += (double)ms[i];
		hits += a[i].how == ANSWER_HIT;
		f.misses += a[i].how == ANSWER_LOADED;
		f.failed += a[i].how == ANSWER_FAILED;
		stale += a[i].how != ANSWER_FAILED &&
		         a[i].version < truth_version(t, a[i].key, a[i].at);
	}
	if (n > 0) {
		qsort(ms, n, sizeof(*ms), by_value);
		f.mean_ms /= (double)n;
		f.p99_ms = (double)ms[(size_t)(0.99 * (double)(n - 1))];
		f.hit_ratio = (double)hits / (double)n;
		f.stale = (double)stale / (double)n;
	}
	free(ms);
	return f;
}

void static_run(struct truth *t, double ttl_s, struct answer *a, size_t n, struct loads *loads)
{
	static struct entry {
		struct instant read, ready;
		int64_t version;
	} cache[TRUTH_KEYS];
	struct span ttl = span_from_s(ttl_s);

	for (size_t k = 0; k < TRUTH_KEYS; k++)
		cache[k].read = INSTANT_NONE;
	for (size_t i = 0; i < n; i++) {
		struct entry *e = &cache[a[i].key];

		/*
		 * a value that has outlived its TTL on its way still answers those who wait for it
		 */
		if (!instant_is_set(e->read) ||
		    (a[i].at.us >= e->read.us + ttl.us && a[i].at.us >= e->ready.us)) {
			e->read = a[i].at;
			e->ready = instant_add(e->read, truth_load_time(t, a[i].key, e->read));
			e->version = truth_version(t, a[i].key, e->read);
			if (loads != NULL)
				loads_add(loads, e->read);
		}
		a[i].version = e->version;
		a[i].how = a[i].at.us < e->ready.us ? ANSWER_LOADED : ANSWER_HIT;
		a[i].response_ms =
		        a[i].how == ANSWER_HIT ? 0 : (float)(e->ready.us - a[i].at.us) / 1000;
	}
}

double static_best(struct truth *t, double max_stale, struct answer *a, size_t n)
{
	double best = 0;

	/*
	 * staleness grows with the TTL, but not in every small step: so all of a grid, of 5 % steps
	 */
	for (double ttl = 0.1; ttl < 86400; ttl *= 1.05) {
		double stale;

		static_run(t, ttl, a, n, NULL);
		stale = figures_of(t, a, n).stale;
		if (stale <= max_stale)
			best = ttl;
		else if (stale > 4 * max_stale)
			break;
	}
	return best;
}
