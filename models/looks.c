/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/looks.h"

#include "base/range.h"

#include <math.h>

void looks_unchanged(struct looks *l, double tau)
{
	l->quiet_s += (float)tau;
}

void looks_changed(struct looks *l, double tau)
{
	double at = log(tau) / LOOKS_STEP;
	int bin;

	at = range_clamp(at, 0, LOOKS_BINS - 1);
	bin = (int)at < LOOKS_BINS - 1 ? (int)at : LOOKS_BINS - 2;

	l->changed[bin] += (float)(bin + 1 - at);
	l->changed[bin + 1] += (float)(at - bin);
}

void looks_count(struct looks *l, double n, double tau)
{
	l->quiet_s += (float)tau;
	l->changed[0] += (float)n;
}

void looks_forget(struct looks *l, double keep)
{
	l->quiet_s *= (float)keep;
	for (int i = 0; i < LOOKS_BINS; i++)
		l->changed[i] *= (float)keep;
}

void looks_restart(struct looks *l, double n, double rate)
{
	*l = (struct looks){0};
	looks_count(l, n, n / rate);
}
