/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What learning costs: bench/learn [KEYS], a million keys in 1,000 endpoints unless told otherwise.
 *
 *	observe     a load is compared with the one before (endpoint_look) and, where it is due, the
 *	            endpoint's prior is renewed from its keys (endpoint_pool)
 *	plan        the TTL of the value that came (plan_ttl)
 *	load        both, one after the other, as each load in a daemon has them: what the first has
 *	            fetched from memory the second finds there
 *	state       bytes per key: what is learned, and the whole of struct key
 *
 * HOW IT WORKS keys are visited in a random order, so each is a cache miss, as in a daemon that has
 * a million of them, and lie in memory as the engine's do: one table, address space for all of which is
 * reserved, in which those of one endpoint are strewn about; endpoints each by itself. Ages, rates and
 * clocks differ; the shapes of the day are there. Best of several rounds, CPU time of this thread.
 * Nothing passes or fails.
 */
#include "analyzer/endpoint.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/vec.h"
#include "predictor/plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define KEYS_PER_ENDPOINT 1000u
#define ROUNDS            5
#define RATE_SPREAD       8 /* of the logarithm: from every second to every hour */
#define MEAN_RATE         (1.0 / RATE_SPREAD)

static struct endpoint **endpoint;
static struct key *key;
static uint32_t *order;
static size_t n_keys, n_endpoints;
static bool huge; /* the table of keys is in huge pages */
static const struct change parent = {0.5, 600};
static double sink; /* what is computed is used */

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Most changes by day. */
static struct shape *day_shape(void)
{
	double factor[ZONE_DAY_KINDS][SHAPE_BINS];
	struct shape *s = mem_calloc(1, sizeof(*s));

	for (int kind = 0; kind < ZONE_DAY_KINDS; kind++)
		for (int i = 0; i < SHAPE_BINS; i++)
			factor[kind][i] = 1.05 - cos(2 * M_PI * i / SHAPE_BINS);
	shape_init(s);
	shape_set(s, factor);
	return s;
}

/*
 * The engine asks for huge pages as its table fills (mem_filled), and the system brings them by and
 * by: some minutes for a million keys. Here it does so at once, where it can (Linux 6.1).
 */
static void bring_huge_pages(void)
{
#define COLLAPSE 25 /* MADV_COLLAPSE, which headers have since glibc 2.37 */
	uintptr_t start = ((uintptr_t)key + MEM_HUGE - 1) & ~(uintptr_t)(MEM_HUGE - 1);
	uintptr_t end =
	        ((uintptr_t)key + mem_asked(n_keys * sizeof(*key))) & ~(uintptr_t)(MEM_HUGE - 1);

	if (end > start)
		huge = madvise((void *)start, end - start, COLLAPSE) == 0;
}

static void set_up(struct rng *g)
{
	const struct instant start = {INT64_C(1793577600) * 1000000};

	n_endpoints = (n_keys + KEYS_PER_ENDPOINT - 1) / KEYS_PER_ENDPOINT;
	endpoint = mem_calloc(n_endpoints, sizeof(*endpoint));
	key = mem_reserve(n_keys, sizeof(*key));
	if (!key)
		exit(1);
	order = mem_calloc(n_keys, sizeof(*order));
	for (size_t e = 0; e < n_endpoints; e++) {
		endpoint[e] = mem_calloc(1, sizeof(*endpoint[e]));
		endpoint_init(endpoint[e], parent);
		endpoint[e]->shape = day_shape();
		endpoint[e]->demand.mean = KEYS_PER_ENDPOINT * MEAN_RATE * SHAPE_BIN_S;
		endpoint[e]->demand.mean_n = 1;
	}
	for (uint32_t i = 0; i < n_keys; i++) {
		struct key *k = &key[i];
		struct endpoint *ep = endpoint[i % n_endpoints];

		mem_filled(key, (i + 1) * sizeof(*key), sizeof(*key));
		*k = (struct key){0};
		k->endpoint = i % (uint32_t)n_endpoints;
		k->place = (uint32_t)ep->keys.n;
		*vec_push(&ep->keys) = i;
		/* last loaded within a day, asked for every second to every hour */
		k->loaded = instant_add(start, span_from_s(rng_uniform(g) * 86400));
		k->last_seen = k->loaded;
		k->rate_n = 20;
		k->rate_s = 20 * exp(rng_uniform(g) * RATE_SPREAD);
		k->load_us = 750000;
		k->hits = 3;
		k->p_sum = 0.1f;
		order[i] = i;
	}
	bring_huge_pages();
	for (size_t i = n_keys - 1; i > 0; i--) {
		size_t j = rng_below(g, i + 1);
		uint32_t x = order[i];

		order[i] = order[j];
		order[j] = x;
	}
}

/* A load of the key, some time after the one before. */
static void observe_key(struct rng *g, struct key *k)
{
	struct endpoint *ep = endpoint[k->endpoint];
	struct instant at = instant_add(k->loaded, span_from_s(60 + rng_uniform(g) * 1200));

	endpoint_look(ep, &zone_utc, k, k->loaded, at, rng_uniform(g) < 0.4, NULL);
	endpoint_pool(ep, key, parent);
	k->loaded = at;
	k->hits = 3;
	k->p_sum = 0.1f;
}

static void plan_key(const struct key *k)
{
	static const struct plan_terms terms = {
	        .zone = &zone_utc,
	        .price = 3,
	        .cost = 1,
	        .miss_value = 0.2,
	        .min_ttl_s = 1,
	        .max_age_s = 86400,
	        .max_stale_key = 0.3,
	};

	sink += plan_ttl(endpoint[k->endpoint], k, k->loaded, k->loaded, &terms).ttl_s;
}

static void observe(struct rng *g)
{
	for (size_t i = 0; i < n_keys; i++)
		observe_key(g, &key[order[i]]);
}

static void plan(struct rng *g)
{
	(void)g;
	for (size_t i = 0; i < n_keys; i++)
		plan_key(&key[order[i]]);
}

/* Both, as each load in a daemon has them: a key that was observed is planned right then. */
static void load(struct rng *g)
{
	for (size_t i = 0; i < n_keys; i++) {
		observe_key(g, &key[order[i]]);
		plan_key(&key[order[i]]);
	}
}

static double best_ns(void (*work)(struct rng *), struct rng *g)
{
	double best = HUGE_VAL;

	work(g);
	for (int i = 0; i < ROUNDS; i++) {
		double start = cpu_ns();

		work(g);
		best = fmin(best, cpu_ns() - start);
	}
	return best / (double)n_keys;
}

static void row(const char *what, double figure, const char *unit)
{
	printf("  %-56s %12.0f %s\n", what, figure, unit);
}

int main(int argc, char **argv)
{
	struct rng g;
	double observed, planned, loaded;
	/* what a key has learned of itself; its value, times and place in tables are not that */
	const struct key *k = NULL;
	size_t learned = sizeof(k->seen) + sizeof(k->a) + sizeof(k->b) + sizeof(k->prior_no) +
	                 sizeof(k->stray) + sizeof(k->surprise) + sizeof(k->rate_n) +
	                 sizeof(k->rate_s) + sizeof(k->last_seen) + sizeof(k->load_us) +
	                 sizeof(k->modified_s) + sizeof(k->looks);

	n_keys = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 1000000;
	if (n_keys < 1 || n_keys > 100000000) {
		fprintf(stderr, "usage: learn [KEYS], from 1 to 100000000\n");
		return 2;
	}
	rng_init(&g, 1);
	set_up(&g);
	observed = best_ns(observe, &g);
	planned = best_ns(plan, &g);
	loaded = best_ns(load, &g);
	printf("\nlearning, %zu keys in %zu endpoints, in random order %18s\n", n_keys, n_endpoints,
	       "best");
	row("observe a load: posterior, shape, tempo, prior", observed, "ns");
	row("plan a TTL", planned, "ns");
	row("both, each by itself", observed + planned, "ns");
	row("both, one after the other, as at each load of a daemon", loaded, "ns");
	printf("  the table of keys is in %s pages\n", huge ? "huge" : "small");
	row("state: learned of a key", (double)learned, "B");
	row("state: the whole of struct key", (double)sizeof(struct key), "B");
	for (size_t e = 0; e < n_endpoints; e++) {
		endpoint_release(endpoint[e]);
		free(endpoint[e]);
	}
	free(endpoint);
	free(key);
	free(order);
	return isnan(sink);
}
