/* SPDX-License-Identifier: MIT */
#include "base/rng.h"

#include "base/bug.h"

#include <math.h>

static uint64_t splitmix64(uint64_t *x)
{
	uint64_t z = (*x += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

void rng_init(struct rng *g, uint64_t seed)
{
	for (int i = 0; i < 4; i++)
		g->s[i] = splitmix64(&seed);
}

static uint64_t rotl(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

uint64_t rng_u64(struct rng *g)
{
	uint64_t *s = g->s, out = rotl(s[0] + s[3], 23) + s[0], t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return out;
}

double rng_uniform(struct rng *g)
{
	return (double)(rng_u64(g) >> 11) * 0x1p-53;
}

uint64_t rng_below(struct rng *g, uint64_t n)
{
	uint64_t x, limit;

	BUG_ON(n == 0);
	/* Draw again in the incomplete last block, so that no value is favoured. */
	limit = UINT64_MAX - UINT64_MAX % n;
	do {
		x = rng_u64(g);
	} while (x >= limit);
	return x % n;
}

double rng_exponential(struct rng *g, double rate)
{
	BUG_ON(!(rate > 0));
	return -log1p(-rng_uniform(g)) / rate;
}

double rng_normal(struct rng *g)
{
	double u, v, q;

	do {
		u = 2 * rng_uniform(g) - 1;
		v = 2 * rng_uniform(g) - 1;
		q = u * u + v * v;
	} while (q >= 1 || q == 0);
	return u * sqrt(-2 * log(q) / q);
}

double rng_gamma(struct rng *g, double shape, double rate)
{
	double boost = 1, d, c, x, v, u;

	BUG_ON(!(shape > 0) || !(rate > 0));
	if (shape < 1) {
		boost = pow(1 - rng_uniform(g), 1 / shape);
		shape += 1;
	}
	d = shape - 1.0 / 3;
	c = 1 / sqrt(9 * d);
	for (;;) {
		x = rng_normal(g);
		v = 1 + c * x;
		if (v <= 0)
			continue;
		v = v * v * v;
		u = 1 - rng_uniform(g);
		if (log(u) < 0.5 * x * x + d - d * v + d * log(v))
			return boost * d * v / rate;
	}
}
