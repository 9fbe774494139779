/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/pool.h"

#include <math.h>
#include <stddef.h>

/*
 * Beside the keys a Gamma of this shape counts as so many, lest few keys be taken for all there can
 * be. It stands where the keys are; the parent's place counts as that of so many.
 */
static const double REST_KEYS = 4, REST_A = 0.7, PLACE_KEYS = 1;

/* Goes to each neighbour at each step. */
static const double BLUR = 0.2;

/* No rate is impossible; but those far above the others may not make up the mean. */
static const double FLOOR = 1e-5;

/* What is so much less likely than the likeliest, in logarithms, is left out. */
static const double UNLIKELY = 20;

/* Bins of rates from one length of looks.h to the next. */
#define PER_LENGTH 7

/*
 * ln(1 - exp(-x)) for x = POOL_LOWEST e^(i POOL_STEP): what a look over 1 s that found a change says
 * of the rate of bin i, and one over the next length of looks.h of bin i - PER_LENGTH.
 */
/* clang-format off */
static const float LOG_CHANGED[POOL_BINS + (LOOKS_BINS - 1) * PER_LENGTH] = {
	-17.32207f, -17.07207f, -16.82207f, -16.57207f, -16.32207f, -16.07207f, -15.82207f,
	-15.57207f, -15.32207f, -15.07207f, -14.82207f, -14.57207f, -14.32207f, -14.07207f,
	-13.82207f, -13.57207f, -13.32207f, -13.07207f, -12.82207f, -12.57207f, -12.32207f,
	-12.07207f, -11.82207f, -11.57207f, -11.32207f, -11.07208f, -10.82208f, -10.57208f,
	-10.32208f, -10.07209f, -9.822096f, -9.572103f, -9.322113f, -9.072126f, -8.822142f,
	-8.572163f, -8.32219f, -8.072225f, -7.822269f, -7.572326f, -7.322399f, -7.072493f,
	-6.822613f, -6.572768f, -6.322966f, -6.073221f, -5.823549f, -5.573969f, -5.324509f,
	-5.075202f, -4.826091f, -4.577232f, -4.328697f, -4.080577f, -3.83299f, -3.586084f,
	-3.340053f, -3.095142f, -2.851662f, -2.610014f, -2.370703f, -2.13437f, -1.901825f,
	-1.674081f, -1.452401f, -1.238341f, -1.033793f, -0.8410112f, -0.6626079f, -0.5014851f,
	-0.3606566f, -0.2429047f, -0.1502241f, -0.08307408f, -0.03964087f, -0.01557188f,
	-0.004738186f, -0.001033548f, -0.0001465779f, -1.194252e-05f, -4.773788e-07f,
	-7.647147e-09f, -3.786227e-11f,
	/* and 0 from there */
};
/* clang-format on */

static double log_rate(int bin)
{
	return log(POOL_LOWEST) + POOL_STEP * bin;
}

static void normalise(double *v)
{
	double sum = 0;

	for (int i = 0; i < POOL_BINS; i++)
		sum += v[i];
	for (int i = 0; i < POOL_BINS; i++)
		v[i] /= sum;
}

/* Shares of a Gamma: its density of the logarithm. */
static void shares_of(struct change c, double *ret)
{
	double top = c.a * log(c.a / c.b) - c.a;

	for (int i = 0; i < POOL_BINS; i++) {
		double x = log_rate(i);

		ret[i] = exp(c.a * x - c.b * exp(x) - top) + 1e-300;
	}
	normalise(ret);
}

/* ret_moved: the share of keys that is in another bin than before; may be NULL. */
static void set(struct pool *p, double *share, double *ret_moved)
{
	double mean = 0;

	normalise(share);
	for (int i = 0; i < POOL_BINS; i++)
		mean += share[i] * exp(log_rate(i));
	for (int i = 0; i < POOL_BINS; i++) {
		double above = fmax(exp(log_rate(i)) / mean, 1);

		share[i] += FLOOR / (above * above);
	}
	normalise(share);
	for (int i = 0; i < POOL_BINS; i++) {
		if (ret_moved)
			*ret_moved += 0.5 * fabs(share[i] - p->share[i]);
		p->share[i] = (float)share[i];
	}
}

void pool_init(struct pool *p, struct change parent)
{
	double share[POOL_BINS];

	shares_of(parent, share);
	set(p, share, NULL);
}

/* The posterior of a key, from bin first to bin last. */
struct posterior {
	double p[POOL_BINS]; /* not normalised */
	int first, last;
	double sum;
};

/* The logarithms of the likelihood, and the largest of them. */
static double likelihood(const struct looks *known, double *ret)
{
	const double growth = exp(POOL_STEP);
	double rate = POOL_LOWEST, top = -HUGE_VAL;

	for (int i = 0; i < POOL_BINS; i++, rate *= growth)
		ret[i] = -known->quiet_s * rate;
	for (int n = 0; n < LOOKS_BINS; n++) {
		double times = known->changed[n];

		if (times > 0)
			for (int i = 0; i < POOL_BINS; i++)
				ret[i] += times * LOG_CHANGED[i + n * PER_LENGTH];
	}
	for (int i = 0; i < POOL_BINS; i++)
		top = ret[i] > top ? ret[i] : top;
	return top;
}

static void posterior_of(const struct pool *p, const struct looks *known, struct posterior *ret)
{
	double l[POOL_BINS], top = likelihood(known, l);

	ret->sum = 0;
	/* a likelihood has one peak only */
	for (ret->first = 0; l[ret->first] < top - UNLIKELY;)
		ret->first++;
	for (ret->last = POOL_BINS - 1; l[ret->last] < top - UNLIKELY;)
		ret->last--;
	for (int i = ret->first; i <= ret->last; i++)
		ret->sum += ret->p[i] = (p ? p->share[i] : 1) * (double)expf((float)(l[i] - top));
}

/* The Gamma with that mean and mean logarithm: q = ln a - psi(a), by Minka's approximation. */
static struct change nearest(double mean, double q)
{
	double a;

	/* a bin has a width */
	q = fmax(q, 0) + POOL_STEP * POOL_STEP / 24;
	a = (3 - q + sqrt((q - 3) * (q - 3) + 24 * q)) / (12 * q);
	a = fmin(fmax(a, CHANGE_MIN_A), CHANGE_MAX_A);
	return (struct change){a, a / mean};
}

struct change pool_posterior(const struct pool *p, const struct looks *known)
{
	const double growth = exp(POOL_STEP), lowest = log(POOL_LOWEST);
	struct posterior x;
	double mean = 0, mean_log = 0, rate;

	posterior_of(p, known, &x);
	rate = exp(lowest + POOL_STEP * x.first);
	for (int i = x.first; i <= x.last; i++, rate *= growth) {
		mean += x.p[i] * rate;
		mean_log += x.p[i] * (lowest + POOL_STEP * i);
	}
	mean /= x.sum;
	return nearest(mean, log(mean) - mean_log / x.sum);
}

void pool_add(struct pool_sum *s, const struct pool *p, const struct looks *known)
{
	struct posterior x;
	double mean_bin = 0;

	posterior_of(p, known, &x);
	for (int i = x.first; i <= x.last; i++) {
		s->share[i] += x.p[i] / x.sum;
		mean_bin += x.p[i] / x.sum * i;
	}
	s->log_rate += log(POOL_LOWEST) + POOL_STEP * mean_bin;
	s->n++;
}

double pool_learn(struct pool *p, const struct pool_sum *s, struct change parent, double old_keys)
{
	double rest[POOL_BINS], sharp[POOL_BINS], share[POOL_BINS], moved = 0;
	double at = (s->log_rate + PLACE_KEYS * log(parent.a / parent.b)) / (s->n + PLACE_KEYS);

	shares_of((struct change){REST_A, REST_A / exp(at)}, rest);
	for (int i = 0; i < POOL_BINS; i++)
		sharp[i] = s->share[i] + REST_KEYS * rest[i] + old_keys * p->share[i];
	for (int i = 0; i < POOL_BINS; i++) {
		int below = i ? i - 1 : 0, above = i < POOL_BINS - 1 ? i + 1 : i;

		share[i] = (1 - 2 * BLUR) * sharp[i] + BLUR * (sharp[below] + sharp[above]);
	}
	set(p, share, &moved);
	return moved;
}

void pool_scale(struct pool *p, double factor)
{
	double share[POOL_BINS] = {0};
	int by = (int)lrint(log(factor) / POOL_STEP);

	for (int i = 0; i < POOL_BINS; i++) {
		int to = i + by < 0 ? 0 : i + by >= POOL_BINS ? POOL_BINS - 1 : i + by;

		share[to] += p->share[i];
	}
	set(p, share, NULL);
}

void pool_restore(struct pool *p, const double *share)
{
	double copy[POOL_BINS];

	for (int i = 0; i < POOL_BINS; i++)
		copy[i] = share[i];
	set(p, copy, NULL);
}
