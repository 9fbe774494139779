/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/pool.h"

#include <gsl/gsl_sf_psi.h>
#include <math.h>

void pool_add(struct pool *p, struct change key)
{
	double log_rate = gsl_sf_psi(key.a) - log(key.b);

	if (!isfinite(log_rate))
		return;
	p->sum_mean += key.a / key.b;
	p->sum_log += log_rate;
	p->n += 1;
}

struct change pool_fit(const struct pool *p, struct change parent)
{
	double mean, q, a;

	if (p->n < POOL_MIN_KEYS)
		return parent;
	mean = p->sum_mean / p->n;
	q = log(mean) - p->sum_log / p->n; /* > 0 by Jensen: how far the rates are spread */
	if (!(q > 1e-6) || !isfinite(q))
		return (struct change){POOL_MAX_A, POOL_MAX_A / mean};
	/* Minka's start for ln a - psi(a) = q, then Newton. */
	a = (3 - q + sqrt((q - 3) * (q - 3) + 24 * q)) / (12 * q);
	for (int i = 0; i < 4; i++) {
		double step = (log(a) - gsl_sf_psi(a) - q) / (1 / a - gsl_sf_psi_1(a));

		if (!isfinite(step))
			break;
		a = step < a ? a - step : a / 2;
	}
	a = fmin(fmax(a, POOL_MIN_A), POOL_MAX_A);
	return (struct change){a, a / mean};
}
