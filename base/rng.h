/* SPDX-License-Identifier: MIT */
/*
 * Random numbers from a seed that the caller chooses and logs: the same seed gives the same run.
 * The generator is xoshiro256++ (Blackman and Vigna, 2019), seeded through splitmix64.
 * Not for secrets.
 */
#ifndef FORECACHED_BASE_RNG_H
#define FORECACHED_BASE_RNG_H

#include <stdint.h>

struct rng {
	uint64_t s[4];
};

void rng_init(struct rng *g, uint64_t seed);
uint64_t rng_u64(struct rng *g);

/* Uniform in [0, 1). */
double rng_uniform(struct rng *g);

/* Uniform in 0 .. n-1; n > 0. */
uint64_t rng_below(struct rng *g, uint64_t n);

/* Exponentially distributed waiting time with the given rate > 0 (mean 1 / rate). */
double rng_exponential(struct rng *g, double rate);

/* Standard normal, and Gamma(shape > 0, rate > 0) by Marsaglia and Tsang (2000). */
double rng_normal(struct rng *g);
double rng_gamma(struct rng *g, double shape, double rate);

#endif
