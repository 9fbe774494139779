/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/pool.h"

#include "base/quad.h"
#include "base/range.h"

#include <math.h>
#include <stddef.h>

/*
 * Beside the keys a Gamma of this shape counts as so many, lest few keys be taken for all there can
 * be. It stands where the keys are; the parent's place counts as that of so many.
 */
static const float REST_KEYS = 4;
static const double REST_A = 0.7, PLACE_KEYS = 1;

/* Goes to each neighbour at each step. */
static const float BLUR = 0.2f;

/* No rate is impossible; but those far above the others may not make up the mean. */
static const float FLOOR = 1e-5f;

/* What is so much less likely than the likeliest, in logarithms, is left out. */
static const float UNLIKELY = 20;

/* Bins of rates from one length of looks.h to the next. */
#define PER_LENGTH 7

/* The rates of the bins, POOL_LOWEST e^(i POOL_STEP). */
/* clang-format off */
static const float RATE[POOL_BINS] = {
	3e-08f, 3.852076e-08f, 4.946164e-08f, 6.351e-08f,
	8.154845e-08f, 1.047103e-07f, 1.344507e-07f, 1.726381e-07f,
	2.216717e-07f, 2.846321e-07f, 3.654748e-07f, 4.69279e-07f,
	6.025661e-07f, 7.737102e-07f, 9.934636e-07f, 1.275632e-06f,
	1.637945e-06f, 2.103162e-06f, 2.700514e-06f, 3.467529e-06f,
	4.452395e-06f, 5.716988e-06f, 7.340758e-06f, 9.42572e-06f,
	1.210286e-05f, 1.554038e-05f, 1.995425e-05f, 2.562176e-05f,
	3.289899e-05f, 4.224315e-05f, 5.424127e-05f, 6.964717e-05f,
	8.942874e-05f, 0.0001148288f, 0.0001474431f, 0.0001893206f,
	0.0002430925f, 0.000312137f, 0.0004007918f, 0.0005146269f,
	0.000660794f, 0.0008484763f, 0.001089465f, 0.001398901f,
	0.001796224f, 0.002306398f, 0.002961473f, 0.003802607f,
	0.004882644f, 0.006269439f, 0.008050119f, 0.01033656f,
	0.0132724f, 0.0170421f, 0.02188249f, 0.02809767f,
	0.03607813f, 0.04632523f, 0.05948278f, 0.0763774f,
	0.09807052f, 0.125925f, 0.161691f, 0.2076153f,
	0.2665833f, 0.3422998f, 0.4395216f, 0.5643569f,
	0.7246486f, 0.9304672f, 1.194744f, 1.534081f,
	1.969799f, 2.529272f, 3.24765f, 4.170065f,
	5.354469f, 6.875274f, 8.828027f, 11.33541f,
	14.55496f, 18.68893f, 23.99707f, 30.81284f,
};
/* clang-format on */

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

static void normalise(float *v)
{
	float sum = 0;

	for (int i = 0; i < POOL_BINS; i++)
		sum += v[i];
	for (int i = 0; i < POOL_BINS; i++)
		v[i] /= sum;
}

/* Shares of a Gamma: its density of the logarithm. */
static void shares_of(struct change c, float *ret)
{
	const float a = (float)c.a, mean = (float)(c.a / c.b);
	/* of the bin over the mean */
	quad log_ratio =
	        (float)POOL_STEP * (quad){0, 1, 2, 3} + (float)(log(POOL_LOWEST) - log(c.a / c.b));

	for (int i = 0; i < POOL_BINS; i += 4, log_ratio += 4 * (float)POOL_STEP) {
		quad l = a * (log_ratio - quad_load(RATE + i) / mean + 1);

		/* at most 0 but for rounding, which a large `a` makes large */
		l = quad_min(quad_max(l, quad_all(-80)), quad_all(80));
		quad_store(ret + i, quad_exp(l));
	}
	normalise(ret);
}

/* ret_moved: the share of keys that is in another bin than before; may be NULL. */
static void set(struct pool *p, float *share, double *ret_moved)
{
	float mean = 0, moved = 0;

	normalise(share);
	for (int i = 0; i < POOL_BINS; i++)
		mean += share[i] * RATE[i];
	for (int i = 0; i < POOL_BINS; i++) {
		float above = RATE[i] > mean ? RATE[i] / mean : 1;

		share[i] += FLOOR / (above * above);
	}
	normalise(share);
	for (int i = 0; i < POOL_BINS; i++) {
		moved += 0.5f * fabsf(share[i] - p->share[i]);
		p->share[i] = share[i];
	}
	if (ret_moved)
		*ret_moved = (double)moved;
}

void pool_init(struct pool *p, struct change parent)
{
	float share[POOL_BINS];

	shares_of(parent, share);
	set(p, share, NULL);
}

/* Looks of one length at which changes were seen. */
struct found {
	quad times;
	const float *log_changed; /* their part in LOG_CHANGED */
};

/* What is known of a key. */
struct evidence {
	float quiet_s, changes;
	struct found found[LOOKS_BINS];
	int n;
};

static void gather(const struct looks *known, struct evidence *e)
{
	e->quiet_s = known->quiet_s;
	e->changes = 0;
	e->n = 0;
	for (int i = 0; i < LOOKS_BINS; i++) {
		float times = known->changed[i];

		if (!(times > 0))
			continue;
		e->changes += times;
		e->found[e->n++] = (struct found){quad_all(times), LOG_CHANGED + i * PER_LENGTH};
	}
}

/* The logarithms of the likelihoods of bin i and the three that follow. */
static inline quad log_likelihood(const struct evidence *e, int i)
{
	quad l = quad_load(RATE + i) * -e->quiet_s;

	for (const struct found *f = e->found; f < e->found + e->n; f++)
		l += quad_load(f->log_changed + i) * f->times;
	return l;
}

/*
 * Where to look for the likeliest: the four bins that hold the rate of the changes seen, which it
 * is not above.
 */
static int start_of(const struct evidence *e)
{
	double bin;

	if (!(e->changes > 0))
		return 0;
	bin = (log((double)e->changes / (double)e->quiet_s) - log(POOL_LOWEST)) / POOL_STEP;
	return bin < 0 ? 0 : bin < POOL_BINS - 4 ? (int)bin & ~3 : POOL_BINS - 4;
}

/* The posterior of a key where it is worth a mention: from bin first to before bin end. */
struct posterior {
	float p[POOL_BINS]; /* not normalised */
	int first, end;     /* multiples of 4 */
	float sum;
	double mean, mean_bin; /* of the rate, and of the bin */
};

/*
 * The logarithms of the likelihood, over all bins that are worth it; returns the largest. A
 * likelihood has one peak only: so go both ways from a place near it until it has fallen for good.
 */
static float likelihood(const struct evidence *e, float *l, int *ret_first, int *ret_end)
{
	int first = start_of(e), end = first + 4;
	quad q = log_likelihood(e, first), top = q;
	float best = q[0] > q[3] ? q[0] : q[3];

	quad_store(l + first, q);
	while (first > 0 && l[first] > best - UNLIKELY) {
		first -= 4;
		q = log_likelihood(e, first);
		quad_store(l + first, q);
		top = quad_max(top, q);
		best = l[first] > best ? l[first] : best;
	}
	while (end < POOL_BINS && l[end - 1] > best - UNLIKELY) {
		q = log_likelihood(e, end);
		quad_store(l + end, q);
		top = quad_max(top, q);
		end += 4;
		best = l[end - 1] > best ? l[end - 1] : best;
	}
	*ret_first = first;
	*ret_end = end;
	return quad_top(top);
}

static void posterior_of(const struct pool *p, const struct looks *known, struct posterior *ret)
{
	float l[POOL_BINS], top;
	quad bin = {0, 1, 2, 3}, sum = {0}, mean = {0}, mean_bin = {0};
	struct evidence e;

	gather(known, &e);
	top = likelihood(&e, l, &ret->first, &ret->end);
	for (int i = ret->first; i < ret->end; i += 4, bin += 4) {
		quad q = quad_exp(quad_max(quad_load(l + i) - top, quad_all(-80)));

		if (p)
			q *= quad_load(p->share + i);
		quad_store(ret->p + i, q);
		sum += q;
		mean += q * quad_load(RATE + i);
		mean_bin += q * bin;
	}
	ret->sum = quad_sum(sum);
	ret->mean = (double)(quad_sum(mean) / ret->sum);
	ret->mean_bin = ret->first + (double)(quad_sum(mean_bin) / ret->sum);
}

/* The Gamma with that mean and mean logarithm: q = ln a - psi(a), by Minka's approximation. */
static struct change nearest(double mean, double q)
{
	double a;

	/* a bin has a width */
	q = (q > 0 ? q : 0) + POOL_STEP * POOL_STEP / 24;
	a = (3 - q + sqrt((q - 3) * (q - 3) + 24 * q)) / (12 * q);
	a = range_clamp(a, CHANGE_MIN_A, CHANGE_MAX_A);
	return (struct change){a, a / mean};
}

struct change pool_posterior(const struct pool *p, const struct looks *known)
{
	struct posterior x;

	posterior_of(p, known, &x);
	return nearest(x.mean, log(x.mean) - log(POOL_LOWEST) - POOL_STEP * x.mean_bin);
}

void pool_add(struct pool_sum *s, const struct pool *p, const struct looks *known)
{
	struct posterior x;
	float each;

	posterior_of(p, known, &x);
	each = 1 / x.sum;
	for (int i = x.first; i < x.end; i += 4)
		quad_store(s->share + i, quad_load(s->share + i) + quad_load(x.p + i) * each);
	s->log_rate += log(POOL_LOWEST) + POOL_STEP * x.mean_bin;
	s->n++;
}

double pool_learn(struct pool *p, const struct pool_sum *s, struct change parent, double old_keys)
{
	float rest[POOL_BINS], sharp[POOL_BINS + 2], share[POOL_BINS], old = (float)old_keys;
	double at = (s->log_rate + PLACE_KEYS * log(parent.a / parent.b)) / (s->n + PLACE_KEYS),
	       moved;

	shares_of((struct change){REST_A, REST_A / exp(at)}, rest);
	for (int i = 0; i < POOL_BINS; i++)
		sharp[i + 1] = s->share[i] + REST_KEYS * rest[i] + old * p->share[i];
	sharp[0] = sharp[1];
	sharp[POOL_BINS + 1] = sharp[POOL_BINS];
	for (int i = 0; i < POOL_BINS; i++)
		share[i] = (1 - 2 * BLUR) * sharp[i + 1] + BLUR * (sharp[i] + sharp[i + 2]);
	set(p, share, &moved);
	return moved;
}

void pool_scale(struct pool *p, double factor)
{
	float share[POOL_BINS] = {0};
	int by = (int)lrint(log(factor) / POOL_STEP);

	for (int i = 0; i < POOL_BINS; i++) {
		int to = i + by < 0 ? 0 : i + by >= POOL_BINS ? POOL_BINS - 1 : i + by;

		share[to] += p->share[i];
	}
	set(p, share, NULL);
}

void pool_restore(struct pool *p, const double *share)
{
	float copy[POOL_BINS];

	for (int i = 0; i < POOL_BINS; i++)
		copy[i] = (float)share[i];
	set(p, copy, NULL);
}
