/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/score.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

static const int64_t HALF_HOUR_US = 1800 * INT64_C(1000000);

void score_init(struct score *s, const struct trace *t, struct instant from,
                struct span stale_after)
{
	*s = (struct score){
	        .trace = t,
	        .from = from,
	        .stale_after = stale_after,
	        .tally = mem_calloc(t->endpoints.n_ids, sizeof(*s->tally)),
	};
}

void score_release(struct score *s)
{
	for (uint32_t e = 0; s->tally && e < s->trace->endpoints.n_ids; e++) {
		vec_free(&s->tally[e].wait_us);
		vec_free(&s->tally[e].stale_age_us);
	}
	free(s->tally);
	vec_free(&s->half_hour);
	*s = (struct score){0};
}

void score_load(struct score *s, uint32_t key, struct instant at, enum load_reason why)
{
	if (!instant_before(at, s->from))
		s->tally[s->trace->endpoint.v[key]].loads[why]++;
}

/* The half hour of a request at t (>= from), made when it is new. */
static struct half_hour *half_hour_at(struct score *s, struct instant t)
{
	size_t i = (size_t)(t.us / HALF_HOUR_US - s->from.us / HALF_HOUR_US);

	while (s->half_hour.n <= i)
		*vec_push(&s->half_hour) = (struct half_hour){0};
	return &s->half_hour.v[i];
}

void score_answer(struct score *s, size_t i, enum outcome o, uint32_t version, struct span wait)
{
	const struct trace *t = s->trace;
	uint32_t key = t->key.v[i];
	struct tally *y = &s->tally[t->endpoint.v[key]];
	struct half_hour *h;

	if (instant_before(t->at.v[i], s->from))
		return;
	h = half_hour_at(s, t->at.v[i]);
	h->requests++;
	y->requests++;
	y->outcome[o]++;
	if (wait.us > 0)
		*vec_push(&y->wait_us) = wait.us < UINT32_MAX ? (uint32_t)wait.us : UINT32_MAX;
	if (version != t->version[i]) {
		struct instant replaced = trace_version_began(t, key, version + 1);
		struct span age = instant_diff(t->at.v[i], replaced);

		if (age.us >= s->stale_after.us) {
			*vec_push(&y->stale_age_us) = age.us;
			h->stale++;
		}
	}
}

struct half_hour score_worst_half_hour(const struct score *s, double least,
                                       struct instant *ret_start)
{
	struct half_hour worst = {0};

	*ret_start = INSTANT_NONE;
	for (size_t i = 0; i < s->half_hour.n; i++) {
		struct half_hour h = s->half_hour.v[i];

		if (!h.requests || h.requests < least ||
		    (worst.requests &&
		     (uint64_t)h.stale * worst.requests <= (uint64_t)worst.stale * h.requests))
			continue;
		worst = h;
		ret_start->us = (s->from.us / HALF_HOUR_US + (int64_t)i) * HALF_HOUR_US;
	}
	return worst;
}

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static int compare_i64(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Index of the q-quantile among n > 0 sorted values. */
static uint64_t quantile_index(uint64_t n, double q)
{
	uint64_t i = (uint64_t)(q * (double)n);

	return i < n ? i : n - 1;
}

uint64_t figures_loads(const struct figures *f)
{
	uint64_t loads = 0;

	for (int r = 0; r < LOAD_REASONS; r++)
		loads += f->loads[r];
	return loads;
}

void figures_ratios(struct figures *f)
{
	double n = (double)f->requests;

	f->loads_per_request = f->requests ? (double)figures_loads(f) / n : NAN;
	f->stale_per_request = f->requests ? (double)f->stale / n : NAN;
	f->hit_ratio = f->requests
	                       ? (double)(f->outcome[OUTCOME_HIT] + f->outcome[OUTCOME_GRACE]) / n
	                       : NAN;
	f->response_mean_ms = f->response_p50_ms = f->response_p99_ms = NAN;
	f->stale_age_p50_s = f->stale_age_p99_s = f->stale_age_max_s = NAN;
	f->ttl_s = f->factor = NAN;
}

/* All waits but the `wait_us` were zero. */
static double wait_quantile_ms(const struct tally *y, double q)
{
	uint64_t zeros = y->requests - y->wait_us.n, i = quantile_index(y->requests, q);

	return i < zeros ? 0 : y->wait_us.v[i - zeros] * 1e-3;
}

/* Sorts the tally. */
static struct figures figures_of(struct tally *y)
{
	struct figures f = {.requests = y->requests, .stale = y->stale_age_us.n};
	uint64_t sum_us = 0;

	memcpy(f.outcome, y->outcome, sizeof(f.outcome));
	memcpy(f.loads, y->loads, sizeof(f.loads));
	figures_ratios(&f);
	if (y->requests) {
		if (y->wait_us.n)
			qsort(y->wait_us.v, y->wait_us.n, sizeof(*y->wait_us.v), compare_u32);
		for (size_t i = 0; i < y->wait_us.n; i++)
			sum_us += y->wait_us.v[i];
		f.response_mean_ms = (double)sum_us * 1e-3 / (double)y->requests;
		f.response_p50_ms = wait_quantile_ms(y, 0.5);
		f.response_p99_ms = wait_quantile_ms(y, 0.99);
	}
	if (y->stale_age_us.n) {
		const int64_t *age = y->stale_age_us.v;
		uint64_t n = y->stale_age_us.n;

		qsort(y->stale_age_us.v, n, sizeof(*age), compare_i64);
		f.stale_age_p50_s = (double)age[quantile_index(n, 0.5)] * 1e-6;
		f.stale_age_p99_s = (double)age[quantile_index(n, 0.99)] * 1e-6;
		f.stale_age_max_s = (double)age[n - 1] * 1e-6;
	}
	return f;
}

struct figures score_endpoint(const struct score *s, uint32_t endpoint)
{
	return figures_of(&s->tally[endpoint]);
}

struct figures score_total(const struct score *s, const bool *in)
{
	struct tally sum = {0};
	struct figures f;

	for (uint32_t e = 0; e < s->trace->endpoints.n_ids; e++) {
		const struct tally *y = &s->tally[e];

		if (in && !in[e])
			continue;
		sum.requests += y->requests;
		for (int o = 0; o < SCORE_OUTCOMES; o++)
			sum.outcome[o] += y->outcome[o];
		for (int r = 0; r < LOAD_REASONS; r++)
			sum.loads[r] += y->loads[r];
		for (size_t i = 0; i < y->wait_us.n; i++)
			*vec_push(&sum.wait_us) = y->wait_us.v[i];
		for (size_t i = 0; i < y->stale_age_us.n; i++)
			*vec_push(&sum.stale_age_us) = y->stale_age_us.v[i];
	}
	f = figures_of(&sum);
	vec_free(&sum.wait_us);
	vec_free(&sum.stale_age_us);
	return f;
}
