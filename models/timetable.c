/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/timetable.h"

#include "base/range.h"

#include <math.h>
#include <stdint.h>

static const double PERIOD[TIMETABLE_PERIODS] = {60, 300, 600, 900, 1800, 3600};

/* as in shape.c, but what keeps to no phase is to look flat */
static const double HOLD_FLAT = 0.3, MEMORY = 30;
static const double THETA_MIN = -6, THETA_MAX = 4.1; /* e^4.1 = 60: all in one bin */

/* Looks over more periods than this say next to nothing about the phase. */
static const double MAX_PERIODS = 3;

/* Information below this part of the most there is of any bin is none. */
static const double LEAST_NEWS = 1e-9;

/*
 * A timetable is believed from this much log-likelihood on: odds of e^15 : 1 against chance; and
 * given up below the lower bound. A longer period must beat one that divides it, which it can
 * always imitate.
 */
static const double GAIN_ON = 15, GAIN_OFF = 5, GAIN_KEEP = 0.9995, GAIN_LONGER = 1.1;

static void compile(struct timetable_profile *p, double period)
{
	double factor[TIMETABLE_BINS], sum = 0, shift;

	for (int i = 0; i < TIMETABLE_BINS; i++)
		sum += factor[i] = exp(p->theta[i]);
	shift = log(sum / TIMETABLE_BINS);
	p->cum[0] = 0;
	for (int i = 0; i < TIMETABLE_BINS; i++) {
		p->theta[i] -= (float)shift;
		p->cum[i + 1] = p->cum[i] + period * factor[i] / sum;
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

/* An instant as a period sees it. */
struct phase {
	double turns; /* whole periods before it */
	double in;    /* seconds of the profile's clock since the last of them ended */
	int bin;
	double part; /* of the bin that has passed */
};

static struct phase phase_of(const struct timetable_profile *p, double period, double s)
{
	struct phase x;
	double turns = s / period, bins;

	x.turns = (double)(int64_t)turns;
	if (x.turns > turns) /* rounded towards 0, from below */
		x.turns -= 1;
	bins = (turns - x.turns) * TIMETABLE_BINS;
	x.bin = (int)bins;
	if (x.bin >= TIMETABLE_BINS)
		x.bin = TIMETABLE_BINS - 1;
	x.part = bins - x.bin;
	x.in = p->cum[x.bin] + x.part * (p->cum[x.bin + 1] - p->cum[x.bin]);
	return x;
}

double timetable_clock(const struct timetable *t, double local_s)
{
	struct phase x;

	if (t->chosen < 0)
		return local_s;
	x = phase_of(&t->profile[t->chosen], PERIOD[t->chosen], local_s);
	return x.turns * PERIOD[t->chosen] + x.in;
}

/* P(change) where `mass` changes were expected, and the P of none. */
static double p_changed(double mass, double p_none)
{
	return mass > 1e-4 ? 1 - p_none : mass * (1 - 0.5 * mass);
}

/* Its logarithm, with a floor under what is next to impossible. */
static double log_p(double p)
{
	return log(p > 1e-9 ? p : 1e-9);
}

/*
 * What looks say of the bins of a profile, per second of its clock: of each the sum up to its place.
 * So a look that spans many bins costs no more than one that spans few.
 */
struct news {
	struct {
		double score, info;
	} edge[TIMETABLE_BINS + 1];
};

static void add(struct news *n, int bin, double times, double score, double info)
{
	n->edge[bin].score += times * score;
	n->edge[bin].info += times * info;
}

/* One profile's share of a look. flat: the log-likelihood of a change without a timetable. */
static void learn(struct timetable_profile *p, double period, const struct timetable_look *l,
                  double flat, struct news *n)
{
	bool changed = l->flat_mass < 0;
	double flat_mass = fabs((double)l->flat_mass), length = (double)l->length;
	struct phase from = phase_of(p, period, l->from);
	struct phase to = phase_of(p, period, l->from + length);
	double turns = to.turns - from.turns, total = turns * period + to.in - from.in;
	double mass = flat_mass * total / length, e = exp(-mass), q = p_changed(mass, e), score,
	       info;

	p->gain = GAIN_KEEP * p->gain + (changed ? log_p(q) - flat : flat_mass - mass);
	/* at its lowest it can still come back within a few hundred looks */
	if (p->gain < -GAIN_ON)
		p->gain = -GAIN_ON;
	if (!(mass > 1e-12) || !(total > 0))
		return;
	/* to each bin by its share of the clock's seconds; the first and the last bin in part */
	score = (changed ? mass * e / q : mass < 3 ? -mass : -3) / total;
	info = mass * mass * e / q / total;
	add(n, 0, turns, score, info);
	add(n, from.bin, 1 - from.part, score, info);
	add(n, from.bin + 1, from.part, score, info);
	add(n, to.bin, to.part - 1, score, info);
	add(n, to.bin + 1, -to.part, score, info);
}

static void step(struct timetable_profile *p, double period, const struct news *n)
{
	double score = 0, news = 0, most = 0;

	for (int i = 0; i < TIMETABLE_BINS; i++) {
		news += n->edge[i].info;
		most = news > most ? news : most;
	}
	news = 0;
	for (int i = 0; i < TIMETABLE_BINS; i++) {
		double seconds = p->cum[i + 1] - p->cum[i], said, info, held, d;

		score += n->edge[i].score;
		news += n->edge[i].info;
		/* a sum of differences of which nothing is left is not quite 0 */
		said = news > LEAST_NEWS * most ? seconds * news : 0;
		info = range_clamp(p->info[i] + said, 0, MEMORY);
		held = info > 0 ? said / info * HOLD_FLAT * p->theta[i] : 0;
		d = range_clamp((seconds * score - held) / (info + HOLD_FLAT), -1, 1);
		p->theta[i] = (float)range_clamp(p->theta[i] + d, THETA_MIN, THETA_MAX);
		p->info[i] = (float)info;
	}
	compile(p, period);
}

/* What the collected looks say of one period. flat: of each the log-likelihood of a change. */
static void learn_all(struct timetable_profile *p, double period, const struct timetable *t,
                      const double *flat)
{
	struct news n = {0};

	for (unsigned i = 0; i < t->pending; i++)
		if (t->look[i].length < MAX_PERIODS * period)
			learn(p, period, &t->look[i], flat[i], &n);
	step(p, period, &n);
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
	double flat[TIMETABLE_BATCH];
	int before = t->chosen;

	if (!(b > a) || !((float)flat_mass > 0) || !isfinite((float)flat_mass))
		return false;
	t->look[t->pending++] = (struct timetable_look){
	        a, (float)(b - a), changed ? -(float)flat_mass : (float)flat_mass};
	if (t->pending < TIMETABLE_BATCH)
		return false;
	for (int i = 0; i < TIMETABLE_BATCH; i++) {
		double mass = -(double)t->look[i].flat_mass;

		flat[i] = mass > 0 ? log_p(p_changed(mass, exp(-mass))) : 0;
	}
	for (int i = 0; i < TIMETABLE_PERIODS; i++)
		learn_all(&t->profile[i], PERIOD[i], t, flat);
	t->pending = 0;
	choose(t);
	return before >= 0 || t->chosen >= 0;
}

bool timetable_restore(struct timetable *t, double period, const double theta[TIMETABLE_BINS])
{
	for (int i = 0; i < TIMETABLE_PERIODS; i++) {
		if (PERIOD[i] != period)
			continue;
		for (int j = 0; j < TIMETABLE_BINS; j++) {
			t->profile[i].theta[j] =
			        (float)range_clamp(theta[j], THETA_MIN, THETA_MAX);
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
