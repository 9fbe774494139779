/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What forecasts cost: bench/forecast [ENDPOINTS [MODELS]], 100,000 endpoints of which 2,000 have a
 * model of their own (max_forecasts) unless told otherwise.
 *
 *	tick        CPU time of all that an engine does in five minutes without a request: each
 *	            endpoint's five minutes are closed and forecast anew
 *	slice       the longest single call of engine_tick in that time: so long nobody is served
 *	model       one bucket of an endpoint with a model of its own
 *	clock       the demand clock of such an endpoint is compiled anew
 *	tail        one bucket of another
 *	memory      of the forecasts: per endpoint of each kind, and of all of the tail
 *
 * HOW IT WORKS an engine in virtual time. Each endpoint is asked for some things in every other five
 * minutes, those with models a hundred times as often. CPU time of this thread. Nothing passes or
 * fails.
 */
#include "base/mem.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "models/demand.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define FIVE_MINUTES_S 300
#define WARM_UP        8 /* times five minutes */
#define ROUNDS         5

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

struct cost {
	double all_ns, longest_ns;
	unsigned slices;
};

static struct cost ticks_until(struct engine *e, struct instant end, struct effects *fx)
{
	struct cost c = {0};
	struct instant t;

	while ((t = engine_next(e)).us <= end.us) {
		double began = cpu_ns(), took;

		engine_tick(e, t, 512, fx);
		took = cpu_ns() - began;
		for (size_t i = 0; i < fx->list.n; i++)
			if (fx->list.v[i].kind == EFFECT_FIT)
				harmonic_data_free(&fx->list.v[i].fit.data);
		effects_clear(fx);
		c.all_ns += took;
		c.longest_ns = fmax(c.longest_ns, took);
		c.slices++;
	}
	return c;
}

/* Each endpoint is asked for something at some time of these five minutes. */
static void ask(struct engine *e, struct rng *g, struct instant start, unsigned endpoints,
                unsigned models, struct effects *fx)
{
	for (unsigned i = 0; i < endpoints; i++) {
		char name[32];
		struct input in = {.kind = INPUT_EVENT};
		size_t n = (size_t)snprintf(name, sizeof(name), "/e%u/<id>", i);

		in.endpoint = in.key = (struct bytes){(const unsigned char *)name, n};
		in.event.outcome = OUTCOME_HIT;
		in.event.at = INSTANT_NONE;
		in.event.count = i < models ? 100 : 1 + (uint32_t)rng_below(g, 3);
		/* in the order of time, evenly spread */
		engine_input(
		        e, instant_add(start, span_from_s(FIVE_MINUTES_S * (double)i / endpoints)),
		        &in, fx);
		effects_clear(fx);
	}
}

static void bench_engine(unsigned endpoints, unsigned models)
{
	/* what can be loaded has its history searched for peaks, too */
	struct engine_origin origin = {"api", origin_policy_default()};
	struct engine_config c = {
	        .limits = engine_limits_default(),
	        .policy = policy_default(),
	        .origins = &origin,
	        .n_origins = 1,
	};
	struct instant now = {INT64_C(1793577600) * 1000000};
	struct cost best = {.all_ns = INFINITY};
	double longest_ns = 0; /* of all rounds: an hour ends in one of them */
	struct effects fx = {0};
	struct engine *e;
	struct rng g;

	c.limits.max_endpoints = endpoints;
	c.limits.max_forecasts = models;
	c.pool = true;
	rng_init(&g, 1);
	e = engine_new(&c, NULL, now);
	for (int i = 0; i < WARM_UP + ROUNDS; i++) {
		struct instant end = instant_add(now, SPAN_S(FIVE_MINUTES_S));
		struct cost t;

		ask(e, &g, now, endpoints, models, &fx);
		ticks_until(e, end, &fx);
		now = end;
		end = instant_add(end, SPAN_S(FIVE_MINUTES_S));
		t = ticks_until(e, end, &fx);
		now = end;
		if (i >= WARM_UP) {
			best.all_ns = fmin(best.all_ns, t.all_ns);
			longest_ns = fmax(longest_ns, t.longest_ns);
			best.slices = t.slices;
		}
	}
	printf("tick     %9.1f ms each 5 minutes (%.3f %% of a core) for %u endpoints, %u with "
	       "models\n",
	       best.all_ns * 1e-6, best.all_ns * 1e-9 / FIVE_MINUTES_S * 100, endpoints, models);
	printf("slice    %9.3f ms the longest of %u\n", longest_ns * 1e-6, best.slices);
	engine_free(&e);
	effects_release(&fx);
}

static double bench_clock(void)
{
	static const struct harmonic waves = {
	        .coef = {3, 0.5, 0.3}, .step_s = 900, .weekly = true, .valid = true};
	double best = INFINITY;
	struct demand d;

	demand_init(&d);
	demand_count(&d, &zone_utc, (struct instant){INT64_C(1793577600) * 1000000}, 1000);
	d.error_n = 100; /* the waves are listened to */
	for (int round = 0; round < ROUNDS; round++) {
		double began = cpu_ns();

		for (int i = 0; i < 100; i++)
			demand_set_harmonic(&d, &waves);
		best = fmin(best, (cpu_ns() - began) / 100);
	}
	demand_release(&d);
	return best;
}

static double bench_bucket(bool own)
{
	static struct demand_pool pool;
	struct instant t = {INT64_C(1793577600) * 1000000};
	double best = INFINITY;
	struct demand d;
	struct rng g;

	rng_init(&g, 1);
	demand_pool_init(&pool, own);
	demand_init(&d);
	d.pool = &pool;
	for (int round = 0; round < 2 + ROUNDS; round++) {
		double began = cpu_ns();

		for (int i = 0; i < 2016; i++) {
			demand_count(&d, &zone_utc, t, 20 + (double)rng_below(&g, 20));
			t = instant_add(t, SPAN_S(FIVE_MINUTES_S));
		}
		if (round >= 2)
			best = fmin(best, (cpu_ns() - began) / 2016);
	}
	demand_release(&d);
	return best;
}

int main(int argc, char **argv)
{
	unsigned endpoints = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 100000,
	         models = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 2000;

	if (endpoints < 1 || endpoints > 1000000 || models > endpoints) {
		fprintf(stderr, "bench/forecast [ENDPOINTS [MODELS]]: up to 1000000\n");
		return 2;
	}
	bench_engine(endpoints, models);
	printf("model    %9.0f ns a bucket\n", bench_bucket(true));
	printf("clock    %9.0f ns to compile it, each hour, where waves were fitted\n",
	       bench_clock());
	printf("tail     %9.0f ns a bucket\n", bench_bucket(false));
	printf("memory   %9zu bytes per endpoint of the tail, %zu more with a model of its own\n",
	       sizeof(struct demand), demand_model_bytes());
	printf("         %9.1f MiB for a tail of %u\n",
	       (double)(endpoints - models) * sizeof(struct demand) / 1048576, endpoints - models);
	return 0;
}
