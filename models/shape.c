/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/shape.h"

#include <math.h>

/* How much a bin is held to the mean of its neighbours, and to 0, in units of information; by
 * measurement on made-up days the error is flat around these. */
static const double HOLD_NEIGHBOURS = 1.0, HOLD_FLAT = 0.3;
static const double THETA_MIN = -6, THETA_MAX = 4; /* 1/400 to 55 of the mean */
static const double INFO_KEEP = 0.9;               /* of the old information at each step */

/* A plain week has 5 + 1 + 1 days; half days are rare and do not count in the mean. */
static const double DAYS[ZONE_DAY_KINDS] = { 5, 1, 1, 0 };

/* Plain seconds of bin i on the timetable's clock: all bins are alike unless its period is longer. */
static double bin_length(const struct shape *s, int i)
{
	return timetable_clock(&s->timetable, (i + 1) * SHAPE_BIN_S) -
	       timetable_clock(&s->timetable, i * SHAPE_BIN_S);
}

static void normalise(struct shape *s)
{
	double sum = 0, shift, length[SHAPE_BINS];

	for (int i = 0; i < SHAPE_BINS; i++)
		length[i] = bin_length(s, i);
	for (int k = 0; k < ZONE_DAY_KINDS; k++)
		for (int i = 0; i < SHAPE_BINS; i++)
			sum += DAYS[k] * exp(s->theta[k][i]) * length[i];
	shift = log(sum / (7 * SHAPE_DAY_S));
	for (int k = 0; k < ZONE_DAY_KINDS; k++) {
		s->cum[k][0] = 0;
		for (int i = 0; i < SHAPE_BINS; i++) {
			s->theta[k][i] -= (float)shift;
			s->cum[k][i + 1] = s->cum[k][i] + length[i] * exp(s->theta[k][i]);
		}
	}
}

void shape_compile(struct shape *s)
{
	normalise(s);
}

void shape_init(struct shape *s)
{
	*s = (struct shape){ 0 };
	timetable_init(&s->timetable);
	normalise(s);
}

void shape_set(struct shape *s, const double factor[ZONE_DAY_KINDS][SHAPE_BINS])
{
	double mean = 0;

	for (int k = 0; k < ZONE_DAY_KINDS; k++)
		for (int i = 0; i < SHAPE_BINS; i++)
			mean += DAYS[k] * factor[k][i] / (7 * SHAPE_BINS);
	for (int k = 0; k < ZONE_DAY_KINDS; k++)
		for (int i = 0; i < SHAPE_BINS; i++)
			s->theta[k][i] = (float)fmin(
				fmax(log(factor[k][i] / mean), THETA_MIN), THETA_MAX);
	normalise(s);
}

/* Finds day, kind and stretch of the instant t_s. */
static void enter(struct shape_walk *w, double t_s)
{
	struct instant until, t = instant_from_s(t_s);
	int32_t offset = zone_offset_at(w->zone, t, &until);
	double local = t_s + offset, day = floor(local / SHAPE_DAY_S);

	w->kind = zone_day_kind(w->zone, (int32_t)day);
	w->midnight_s = day * SHAPE_DAY_S - offset;
	w->start_s = t_s;
	w->end_s = w->midnight_s + SHAPE_DAY_S;
	if (until.us != INT64_MAX && instant_s(until) < w->end_s)
		w->end_s = instant_s(until);
}

static double cum_at(const struct shape *s, int kind, double sec)
{
	int i = (int)(sec / SHAPE_BIN_S);
	double from, part, length;

	if (i < 0)
		return 0;
	if (i >= SHAPE_BINS)
		return s->cum[kind][SHAPE_BINS];
	from = i * SHAPE_BIN_S;
	part = sec - from;
	length = SHAPE_BIN_S;
	if (s->timetable.chosen >= 0) {
		double start = timetable_clock(&s->timetable, from);

		part = timetable_clock(&s->timetable, sec) - start;
		length = timetable_clock(&s->timetable, from + SHAPE_BIN_S) - start;
	}
	return s->cum[kind][i] + part / length * (s->cum[kind][i + 1] - s->cum[kind][i]);
}

void shape_walk_start(struct shape_walk *w, const struct shape *s, const struct zone *z, struct instant t)
{
	w->shape = s;
	w->zone = z;
	enter(w, instant_s(t));
	w->passed = s ? -cum_at(s, w->kind, w->start_s - w->midnight_s) : -w->start_s;
}

double shape_walk_to(struct shape_walk *w, double t_s)
{
	if (!w->shape) /* flat: only the edges are needed */
		return t_s + w->passed;
	while (t_s >= w->end_s) {
		double next = w->end_s;

		w->passed += cum_at(w->shape, w->kind, next - w->midnight_s);
		enter(w, next);
		if (w->end_s <= next) /* a day shorter than a microsecond cannot be; do not hang on one */
			w->end_s = next + 1;
		w->passed -= cum_at(w->shape, w->kind, next - w->midnight_s);
	}
	return w->passed + cum_at(w->shape, w->kind, t_s - w->midnight_s);
}

double shape_walk_edge(const struct shape_walk *w, double t_s)
{
	double sec = t_s - w->midnight_s;

	return w->midnight_s + (floor(sec / SHAPE_BIN_S + 1e-9) + 1) * SHAPE_BIN_S;
}

double shape_walk_knot(const struct shape_walk *w, double t_s)
{
	if (!w->shape || w->shape->timetable.chosen < 0)
		return HUGE_VAL;
	return w->midnight_s + timetable_next_knot(&w->shape->timetable, t_s - w->midnight_s);
}

double shape_at(const struct shape *s, const struct zone *z, struct instant t)
{
	struct shape_walk w;
	int i;

	if (!s)
		return 1;
	shape_walk_start(&w, s, z, t);
	i = (int)((w.start_s - w.midnight_s) / SHAPE_BIN_S);
	i = i < 0 ? 0 : i >= SHAPE_BINS ? SHAPE_BINS - 1 : i;
	return exp(s->theta[w.kind][i]);
}

double shape_mass(const struct shape *s, const struct zone *z, struct instant a, struct instant b)
{
	struct shape_walk w;
	double days, mass = 0;

	if (b.us <= a.us)
		return 0;
	if (!s)
		return span_s(instant_diff(b, a));
	/* Whole weeks have the mass of a week: do not walk through years. */
	days = floor(span_s(instant_diff(b, a)) / (7 * SHAPE_DAY_S)) * 7;
	if (days > 7) {
		mass = days * SHAPE_DAY_S;
		a = instant_add(a, span_from_s(mass));
	}
	shape_walk_start(&w, s, z, a);
	return mass + shape_walk_to(&w, instant_s(b));
}

/* One damped step of all bins; neighbours wrap around within their kind of day. */
static void step(struct shape *s)
{
	for (int k = 0; k < ZONE_DAY_KINDS; k++) {
		float old[SHAPE_BINS];

		for (int i = 0; i < SHAPE_BINS; i++)
			old[i] = s->theta[k][i];
		for (int i = 0; i < SHAPE_BINS; i++) {
			double around = 0.5 * (old[(i + SHAPE_BINS - 1) % SHAPE_BINS] +
			                       old[(i + 1) % SHAPE_BINS]);
			/* info is of many steps, score of this one: so the holds enter by their share */
			double hold = HOLD_NEIGHBOURS * (old[i] - around) + HOLD_FLAT * old[i];
			double d = (s->score[k][i] - (1 - INFO_KEEP) * hold) /
			           (s->info[k][i] + HOLD_NEIGHBOURS + HOLD_FLAT);

			d = fmin(fmax(d, -1), 1);
			s->theta[k][i] = (float)fmin(fmax(old[i] + d, THETA_MIN), THETA_MAX);
			s->score[k][i] = 0;
			s->info[k][i] *= (float)INFO_KEEP;
		}
	}
	normalise(s);
	s->steps++;
}

void shape_learn(struct shape *s, const struct zone *z, struct instant a, struct instant b, double mass,
                 bool changed)
{
	struct shape_walk w;
	double total, t = instant_s(a), end = instant_s(b), done = 0, g, info, e;

	if (!(mass > 0) || end <= t || end - t > SHAPE_DAY_S)
		return;
	e = exp(-mass);
	/* With m expected: P(changed) = 1 - e^-m, slope of its log in theta m e^-m / (1 - e^-m). */
	g = changed ? mass * e / -expm1(-mass) : fmax(-mass, -3);
	info = mass * mass * e / -expm1(-mass);
	if (!isfinite(g) || !isfinite(info))
		return;
	total = shape_mass(s, z, a, b);
	if (!(total > 0))
		return;
	shape_walk_start(&w, s, z, a);
	while (t < end) {
		double next = shape_walk_edge(&w, t), now, sec = t - w.midnight_s;
		int i = (int)(sec / SHAPE_BIN_S + 1e-9), k = w.kind;

		if (next > end)
			next = end;
		if (next > w.end_s && w.end_s > t)
			next = w.end_s;
		now = shape_walk_to(&w, next);
		if (i >= 0 && i < SHAPE_BINS) {
			double share = (now - done) / total;

			s->score[k][i] += (float)(share * g);
			s->info[k][i] += (float)(share * info);
		}
		done = now;
		t = next;
	}
	if (end - instant_s(a) < SHAPE_DAY_S / 8) {
		/* what was expected, had the timetable not had its say */
		double local = zone_local_s(z, a), length = end - instant_s(a);
		double said = timetable_clock(&s->timetable, local + length) -
		              timetable_clock(&s->timetable, local);

		if (said > 0 &&
		    timetable_learn(&s->timetable, local, local + length, mass * length / said, changed))
			normalise(s);
	}
	if (++s->pending >= SHAPE_BATCH) {
		s->pending = 0;
		step(s);
	}
}
