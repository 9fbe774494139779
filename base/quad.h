/* SPDX-License-Identifier: MIT */
/*
 * Four floats at a time, for sums over tables: the vector extension of GCC and Clang, which carries
 * them out together where the processor can, and one after the other where it cannot.
 */
#ifndef FORECACHED_BASE_QUAD_H
#define FORECACHED_BASE_QUAD_H

#include <stdint.h>
#include <string.h>

typedef float quad __attribute__((vector_size(16)));
typedef int32_t quad_bits __attribute__((vector_size(16)));

static inline quad quad_all(float x)
{
	return (quad){x, x, x, x};
}

/* From and to anywhere in an array. */
static inline quad quad_load(const float *p)
{
	quad q;

	memcpy(&q, p, sizeof(q));
	return q;
}

static inline void quad_store(float *p, quad q)
{
	memcpy(p, &q, sizeof(q));
}

static inline quad quad_max(quad a, quad b)
{
	quad q;

	for (int i = 0; i < 4; i++)
		q[i] = a[i] > b[i] ? a[i] : b[i];
	return q;
}

static inline quad quad_min(quad a, quad b)
{
	quad q;

	for (int i = 0; i < 4; i++)
		q[i] = a[i] < b[i] ? a[i] : b[i];
	return q;
}

static inline float quad_sum(quad q)
{
	return (q[0] + q[1]) + (q[2] + q[3]);
}

static inline float quad_top(quad q)
{
	float a = q[0] > q[1] ? q[0] : q[1], b = q[2] > q[3] ? q[2] : q[3];

	return a > b ? a : b;
}

/*
 * e^x for -80 <= x <= 80, to a few parts in a million: 2^whole from the bits of the sum with 1.5 *
 * 2^23, which has no bits below 1, and 2^rest, |rest| <= 0.5, from a polynomial.
 */
static inline quad quad_exp(quad x)
{
	const float log2e = 1.44269504f, whole_only = 12582912.0f;
	quad t = x * log2e, whole = t + whole_only, f = t - (whole - whole_only);
	quad p = f * 0.00133908634f + 0.00967603192f;

	p = p * f + 0.0555035711f;
	p = p * f + 0.240221075f;
	p = p * f + 0.693147188f;
	p = p * f + 1.00000008f;
	return (quad)((quad_bits)p + ((quad_bits)whole << 23));
}

#endif
