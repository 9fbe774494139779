/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/timetable.h"

#include <math.h>
#include <stdint.h>

static const double PERIOD[TIMETABLE_PERIODS] = {60, 300, 600, 900, 1800, 3600};

/* as in shape.c, but what keeps to no phase is to look flat */
static const double HOLD_FLAT = 0.3, MEMORY = 30;
static const double THETA_MIN = -6, THETA_MAX = 4.1; /* e^4.1 = 60: all in one bin */
static const unsigned BATCH = 200;

/* Looks over more periods than this say next to nothing about the phase. */
static const double MAX_PERIODS = 3;

/*
 * A timetable is believed from this much log-likelihood on: odds of e^15 : 1 against chance; and
 * given up below the lower bound. A longer period must beat one that divides it, which it can
 * always imitate.
 */
static const double GAIN_ON = 15, GAIN_OFF = 5, GAIN_KEEP = 0.9995, GAIN_LONGER = 1.1;

static void compile(struct timetable_profile *p, double period)
{
	double sum = 0, shift;

	for (int i = 0; i < TIMETABLE_BINS; i++)
		sum += exp(p->theta[i]);
	shift = log(sum / TIMETABLE_BINS);
	p->cum[0] = 0;
	for (int i = 0; i < TIMETABLE_BINS; i++) {
		p->theta[i] -= (float)shift;
		p->cum[i + 1] = p->cum[i] + period / TIMETABLE_BINS * exp(p->theta[i]);
	}
}

void timetable_init(struct timetable *t)
{
	*t = (struct timetable){.chosen = -1};
	for (int i = 0; i < TIMETABLE_PERIODS; i++)
		compile(&t->profile[i], PERIOD[i]);
}

double timetable_period(const struct timetable *t)
{
	return t->chosen < 0 ? 0 : PERIOD[t->chosen];
}

static double clock_of(const struct timetable_profile *p, double period, double s)
{
	double turns = s / period, whole = (double)(int64_t)turns, x;
	int i;

	if (whole > turns) /* rounded towards 0, from below */
		whole -= 1;
	x = (turns - whole) * TIMETABLE_BINS;
	i = (int)x;
	if (i >= TIMETABLE_BINS)
		i = TIMETABLE_BINS - 1;
	return whole * period + p->cum[i] + (x - i) * (p->cum[i + 1] - p->cum[i]);
}

double timetable_clock(const struct timetable *t, double local_s)
{
	return t->chosen < 0 ? local_s
	                     : clock_of(&t->profile[t->chosen], PERIOD[t->chosen], local_s);
}

/* Log-likelihood of the look when `mass` changes were expected. */
static double log_p(double mass, bool changed)
{
	return changed ? log(-expm1(-fmax(mass, 1e-9))) : -mass;
}

/*
 * One profile's share of timetable_learn. flat: the log-likelihood of the look without a
 * timetable.
 */
static void learn_profile(struct timetable_profile *p, double period, double a, double b,
                          double flat_mass, double flat, bool changed)
{
	double total = clock_of(p, period, b) - clock_of(p, period, a);
	double mass = flat_mass * total / (b - a), e, g, info;
	double from = a / period * TIMETABLE_BINS, to = b / period * TIMETABLE_BINS;
	double first = floor(from), last = floor(to);
	int i = (int)(first - floor(a / period) * TIMETABLE_BINS);

	p->gain = GAIN_KEEP * p->gain + log_p(mass, changed) - flat;
	/* at its lowest it can still come back within a few hundred looks */
	if (p->gain < -GAIN_ON)
		p->gain = -GAIN_ON;
	if (!(mass > 1e-12) || !(total > 0))
		return;
	e = exp(-mass);
	g = changed ? mass * e / -expm1(-mass) : fmax(-mass, -3);
	info = mass * mass * e / -expm1(-mass);
	/* to each bin by its share of the clock's seconds; the first and the last bin in part */
	g /= total;
	info /= total;
	for (double bin = first; bin <= last; bin++, i++) {
		double part = 1, seconds;

		if (i >= TIMETABLE_BINS)
			i = 0;
		if (bin == first)
			part -= from - first;
		if (bin == last)
			part -= last + 1 - to;
		seconds = part * (p->cum[i + 1] - p->cum[i]);
		p->score[i] += (float)(seconds * g);
		p->news[i] += (float)(seconds * info);
	}
}

static void step(struct timetable_profile *p, double period)
{
	for (int i = 0; i < TIMETABLE_BINS; i++) {
		double info = fmin(p->info[i] + p->news[i], MEMORY);
		double held = info > 0 ? p->news[i] / info * HOLD_FLAT * p->theta[i] : 0;
		double d = fmin(fmax((p->score[i] - held) / (info + HOLD_FLAT), -1), 1);

		p->theta[i] = (float)fmin(fmax(p->theta[i] + d, THETA_MIN), THETA_MAX);
		p->info[i] = (float)info;
		p->score[i] = p->news[i] = 0;
	}
	compile(p, period);
}

static void choose(struct timetable *t)
{
	int best = -1;

	for (int i = 0; i < TIMETABLE_PERIODS; i++) {
		double on = i == t->chosen ? GAIN_OFF : GAIN_ON;

		if (t->profile[i].gain < on)
			continue;
		if (best < 0 || t->profile[i].gain > GAIN_LONGER * t->profile[best].gain)
			best = i;
	}
	t->chosen = best;
}

bool timetable_learn(struct timetable *t, double a, double b, double flat_mass, bool changed)
{
	double flat;

	if (!(b > a) || !(flat_mass > 0) || !isfinite(flat_mass))
		return false;
	flat = log_p(flat_mass, changed);
	for (int i = 0; i < TIMETABLE_PERIODS; i++)
		if (b - a < MAX_PERIODS * PERIOD[i])
			learn_profile(&t->profile[i], PERIOD[i], a, b, flat_mass, flat, changed);
	if (++t->pending < BATCH)
		return false;
	t->pending = 0;
	for (int i = 0; i < TIMETABLE_PERIODS; i++)
		step(&t->profile[i], PERIOD[i]);
	choose(t);
	return true;
}

bool timetable_restore(struct timetable *t, double period, const double theta[TIMETABLE_BINS])
{
	for (int i = 0; i < TIMETABLE_PERIODS; i++) {
		if (PERIOD[i] != period)
			continue;
		for (int j = 0; j < TIMETABLE_BINS; j++) {
			t->profile[i].theta[j] = (float)theta[j];
			/* it was in force, so much is known of it; or it would turn flat */
			t->profile[i].info[j] = (float)MEMORY;
		}
		compile(&t->profile[i], period);
		t->profile[i].gain = 2 * GAIN_ON;
		choose(t);
		return true;
	}
	return false;
}
