/* SPDX-License-Identifier: MIT */
#include "base/loghist.h"

#include <math.h>

static const double FACTOR = 1.1, MAX_US = 1e12;

void loghist_add(struct loghist *h, double us)
{
	/* not a number counts as 1; the upper bound keeps infinity out of the sum */
	double x = us > 1 ? fmin(us, MAX_US) : 1;
	int i = (int)ceil(log(x) / log(FACTOR));

	if (i >= LOGHIST_BUCKETS)
		i = LOGHIST_BUCKETS - 1;
	h->count[i]++;
	h->n++;
	h->sum += x;
}

/* So many buckets at a time are passed over; LOGHIST_BUCKETS is a multiple of it. */
#define STRIDE 8

static uint64_t stride_count(const uint32_t *count)
{
	uint64_t n = 0;

	for (int i = 0; i < STRIDE; i++)
		n += count[i];
	return n;
}

double loghist_quantile(const struct loghist *h, double q)
{
	uint64_t want = (uint64_t)(q * (double)h->n), seen = 0, n;
	int i;

	if (!h->n)
		return 0;
	if (want >= h->n)
		want = h->n - 1;
	for (i = 0; i < LOGHIST_BUCKETS; i += STRIDE, seen += n) {
		n = stride_count(h->count + i);
		if (seen + n > want)
			break;
	}
	for (; i < LOGHIST_BUCKETS; i++) {
		seen += h->count[i];
		/* the middle of the bucket (f^(i-1), f^i] that bounds the relative error */
		if (seen > want)
			return i ? 2 * pow(FACTOR, i) / (FACTOR + 1) : 1;
	}
	return 0;
}

double loghist_mean(const struct loghist *h)
{
	return h->n ? h->sum / (double)h->n : 0;
}
