/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/fixed.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

/*
 * The TTL in whole microseconds. Rounded up, so that for whole-microsecond ages `age < ttl` holds
 * exactly when it holds for the number as it was given; to 1 ns first, for 4.35 * 1e6 is above
 * 4350000.
 */
static int64_t ttl_us(double s)
{
	double us = s * 1e6;

	return us >= (double)SPAN_MAX.us ? SPAN_MAX.us : (int64_t)ceil(us - 1e-3);
}

/*
 * The TTL of a version that is loaded at `at`. How old the first versions are is not known: at
 * least as old as the trace is by then.
 */
static int64_t rule_ttl_us(const struct trace *t, uint32_t key, uint32_t version, struct instant at,
                           enum fixed_kind kind, double value)
{
	struct instant began;

	if (kind == FIXED_TTL)
		return ttl_us(value);
	began = version ? trace_version_began(t, key, version) : t->at.v[0];
	return ttl_us(value * span_s(instant_diff(at, began)));
}

struct held {
	struct instant expires, ready; /* ready: when the load that brought it ended */
	uint32_t version;
	bool any;
};

bool fixed_run(const struct trace *t, const struct fixed_rule *rule, struct score *score,
               struct log *log, struct pace *pace)
{
	struct held *held = mem_calloc(t->keys.n_ids, sizeof(*held));
	size_t i;

	for (i = 0; i < t->at.n && pace_on(pace, i); i++) {
		struct instant now = t->at.v[i];
		uint32_t key = t->key.v[i];
		double value = rule->value[t->endpoint.v[key]];
		struct held *h = &held[key];
		bool flying = h->any && instant_before(now, h->ready);
		enum outcome o = flying ? OUTCOME_JOINED : OUTCOME_HIT;

		if (!h->any ||
		    (!instant_before(now, h->expires) && !(flying && rule->single_flight))) {
			uint32_t v = t->version[i];
			struct span ttl = {rule_ttl_us(t, key, v, now, rule->kind, value)};

			*h = (struct held){instant_add(now, ttl),
			                   instant_add(now, SPAN_US(t->load_us.v[i])), v, true};
			o = OUTCOME_MISS;
			score_load(score, key, now, LOAD_DEMAND);
			if (log)
				log_load(log, key, now, LOAD_DEMAND, v);
		}
		score_answer(score, i, o, h->version,
		             o == OUTCOME_HIT ? SPAN_ZERO : instant_diff(h->ready, now));
		if (log)
			log_answer(log, key, now, o, h->version);
	}
	free(held);
	return i == t->at.n;
}

void lanes_init(struct lanes *l, const struct trace *t)
{
	uint32_t n_keys = t->keys.n_ids, n_endpoints = t->endpoints.n_ids;

	*l = (struct lanes){.trace = t};
	l->first = mem_calloc((size_t)n_keys + 2, sizeof(*l->first));
	l->at = mem_calloc(t->at.n, sizeof(*l->at));
	l->version = mem_calloc(t->at.n, sizeof(*l->version));
	/* Counted two places up, so that after the fill first[k] is where k begins. */
	for (size_t i = 0; i < t->at.n; i++)
		l->first[t->key.v[i] + 2]++;
	for (size_t k = 2; k <= n_keys; k++)
		l->first[k] += l->first[k - 1];
	for (size_t i = 0; i < t->at.n; i++) {
		size_t to = l->first[t->key.v[i] + 1]++;

		l->at[to] = t->at.v[i];
		l->version[to] = t->version[i];
	}
	l->key_first = mem_calloc((size_t)n_endpoints + 2, sizeof(*l->key_first));
	l->key = mem_calloc(n_keys, sizeof(*l->key));
	for (uint32_t k = 0; k < n_keys; k++)
		l->key_first[t->endpoint.v[k] + 2]++;
	for (size_t e = 2; e <= n_endpoints; e++)
		l->key_first[e] += l->key_first[e - 1];
	for (uint32_t k = 0; k < n_keys; k++)
		l->key[l->key_first[t->endpoint.v[k] + 1]++] = k;
}

void lanes_release(struct lanes *l)
{
	free(l->first);
	free(l->at);
	free(l->version);
	free(l->key);
	free(l->key_first);
	*l = (struct lanes){0};
}

void fixed_count_key(const struct lanes *l, uint32_t key, enum fixed_kind kind, double value,
                     struct instant from, struct fixed_count *sum)
{
	int64_t expires = INT64_MIN;
	uint32_t held = 0;

	for (size_t i = l->first[key]; i < l->first[key + 1]; i++) {
		struct instant at = l->at[i];
		bool scored = !instant_before(at, from);

		sum->requests += scored;
		if (at.us < expires) {
			sum->stale += scored && held != l->version[i];
			continue;
		}
		held = l->version[i];
		expires = at.us + rule_ttl_us(l->trace, key, held, at, kind, value);
		sum->loads += scored;
	}
}
