/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/change.h"

#include "base/bug.h"

#include <math.h>

/* Brings a into its range and keeps the mean. */
static void clip(struct change *c)
{
	double mean = c->a / c->b;

	BUG_ON(!isfinite(mean) || !(c->b > 0));
	if (c->a < CHANGE_MIN_A) {
		c->a = CHANGE_MIN_A;
		c->b = c->a / mean;
	} else if (c->a > CHANGE_MAX_A) {
		c->a = CHANGE_MAX_A;
		c->b = c->a / mean;
	}
}

void change_count(struct change *c, double n, double tau)
{
	if (!(tau >= 0) || !(n >= 0))
		return;
	c->a += n;
	c->b += tau;
	clip(c);
}

void change_unchanged(struct change *c, double tau)
{
	if (!(tau > 0))
		return;
	c->b += tau;
	clip(c);
}

void change_changed(struct change *c, double tau)
{
	double a = c->a, b = c->b, l1, lr, z, m1, m2, v;

	if (!(tau > 0))
		return;
	/*
	 * Moments of lambda^(a-1) e^(-b lambda) (1 - e^(-lambda tau)); every difference through
	 * expm1, since tau/b may be tiny.
	 */
	l1 = log1p(tau / b);
	lr = -a * l1;
	z = -expm1(lr);
	m1 = a / b * -expm1(lr - l1) / z;
	m2 = a * (a + 1) / (b * b) * -expm1(lr - 2 * l1) / z;
	v = m2 - m1 * m1;
	if (!isfinite(m1) || !isfinite(m2))
		return;
	if (v < 1e-12 * m1 * m1)
		v = 1e-12 * m1 * m1;
	c->a = m1 * m1 / v;
	c->b = m1 / v;
	clip(c);
}

double change_p(struct change c, double tau)
{
	double x = tau / c.b;

	if (!(tau > 0))
		return 0;
	/* where 1 + x is exact enough, log and exp do, which take half the time */
	return x > 1e-4 ? 1 - exp(-c.a * log(1 + x)) : -expm1(-c.a * log1p(x));
}

double change_tau(struct change c, double p)
{
	return c.b * expm1(-log1p(-p) / c.a);
}

struct estimate change_estimate(struct change c)
{
	return (struct estimate){c.a / c.b, sqrt(c.a) / c.b, c.a};
}
