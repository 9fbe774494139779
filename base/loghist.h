/* SPDX-License-Identifier: MIT */
/*
 * Quantiles of durations in fixed memory: counts in buckets whose bounds grow by a constant factor
 * (DDSketch; Masson, Rim and Lee, VLDB 2019). A quantile is right within 5 % of its value.
 * Two histograms add up by adding their counts.
 */
#ifndef FORECACHED_BASE_LOGHIST_H
#define FORECACHED_BASE_LOGHIST_H

#include <stdint.h>

/* Factor 1.1 from 1 us to above 1000 s: ln(1e9) / ln(1.1) = 217.4. */
#define LOGHIST_BUCKETS 224

struct loghist {
	uint64_t n;
	double sum; /* us */
	uint32_t count[LOGHIST_BUCKETS];
};

/*
 * us is clipped to 1 .. 1e12 (any double will do); what is above the range is in the last bucket.
 */
void loghist_add(struct loghist *h, double us);

/* The q-quantile in us, 0 <= q <= 1; 0 when there is no data. */
double loghist_quantile(const struct loghist *h, double q);

/* The mean in us; 0 when there is no data. */
double loghist_mean(const struct loghist *h);

#endif
