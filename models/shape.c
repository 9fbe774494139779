/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/shape.h"

#include "base/mem.h"
#include "base/range.h"

#include <math.h>

/* How much a bin is held to the mean of its neighbours, and to 0, in units of information; by
 * measurement on made-up days the error is flat around these. */
static const double HOLD_NEIGHBOURS = 1.0, HOLD_FLAT = 0.05;
static const double THETA_MIN = -12,
                    THETA_MAX = 4; /* nothing changes at night, to 55 times the mean */

/*
 * Bins without news drift this little towards their neighbours; those never looked at, all the way.
 */
static const double DRIFT = 1e-3;

/*
 * How far theta may move within a day: to anywhere on the first, then less, in the end by a factor
 * of two. On a made-up market the day after a holiday had 50 % stale answers for an objective of 2 %
 * without this.
 */
static const double DAY_MOVE_FIRST = 6, DAY_MOVE = 0.7;
/* where only the factors were kept a bin counts as seen on so many days, with so much information */
static const uint32_t DAYS_KEPT = 8;
static const double INFO_KEPT = 10;

/* A plain week has 5 + 1 + 1 days; half days are rare and do not count in the mean. */
static const double DAYS[ZONE_DAY_KINDS] = {5, 1, 1, 0};

/* A tick comes up to so long after its time, or a bin of the timetable's profile if that is longer. */
static const double TICK_S = 5;

/*
 * How long after a boundary a tick may be the last one of the bin before. 0: there are none, or the
 * timetable's clock is not right again at every boundary.
 */
static double edge_s(const struct shape *s)
{
	double period = timetable_period(&s->timetable);
	bool divides = period > 0 && fmod(SHAPE_BIN_S, period) == 0;

	return divides ? fmax(TICK_S, period / TIMETABLE_BINS) : 0;
}

/* The bin whose factor holds just after the start of bin i. */
static int edge_bin(const struct shape *s, int kind, int i)
{
	return i > 0 && s->theta[kind][i - 1] > s->theta[kind][i] ? i - 1 : i;
}

/*
 * Plain seconds of bin i on the timetable's clock: all bins are alike unless its period is longer.
 */
static double bin_length(const struct shape *s, int i)
{
	return timetable_clock(&s->timetable, (i + 1) * SHAPE_BIN_S) -
	       timetable_clock(&s->timetable, i * SHAPE_BIN_S);
}

/* Computes the clock from the factors. */
static void compile(struct shape *s)
{
	double length[SHAPE_BINS], factor[SHAPE_BINS];
	double edge = timetable_clock(&s->timetable, edge_s(s));

	for (int i = 0; i < SHAPE_BINS; i++)
		length[i] = bin_length(s, i);
	s->edge_clock = edge;
	s->pace = 0;
	for (int k = 0; k < ZONE_DAY_KINDS; k++) {
		for (int i = 0; i < SHAPE_BINS; i++)
			factor[i] = exp(s->theta[k][i]);
		s->cum[k][0] = 0;
		for (int i = 0; i < SHAPE_BINS; i++) {
			s->edge[k][i] = edge * factor[edge_bin(s, k, i)];
			s->cum[k][i + 1] = s->cum[k][i] + s->edge[k][i] +
			                   (length[i] - edge) * factor[i];
		}
		s->pace += DAYS[k] * s->cum[k][SHAPE_BINS] / (7 * SHAPE_DAY_S);
	}
}

void shape_init(struct shape *s)
{
	*s = (struct shape){0};
	timetable_init(&s->timetable);
	compile(s);
}

void shape_set(struct shape *s, const double factor[ZONE_DAY_KINDS][SHAPE_BINS])
{
	double shift;

	for (int k = 0; k < ZONE_DAY_KINDS; k++)
		for (int i = 0; i < SHAPE_BINS; i++)
			s->theta[k][i] = (float)log(factor[k][i]);
	compile(s);
	shift = log(s->pace);
	for (int k = 0; k < ZONE_DAY_KINDS; k++)
		for (int i = 0; i < SHAPE_BINS; i++)
			s->theta[k][i] =
			        (float)fmin(fmax(s->theta[k][i] - shift, THETA_MIN), THETA_MAX);
	compile(s);
}

void shape_state(const struct shape *s, double theta[SHAPE_STATE], double info[SHAPE_STATE],
                 double days[SHAPE_STATE])
{
	for (int k = 0; k < ZONE_DAY_KINDS; k++)
		for (int i = 0; i < SHAPE_BINS; i++) {
			int at = k * SHAPE_BINS + i;

			theta[at] = s->theta[k][i];
			/* rounded to what is short as text */
			info[at] = round(64 * s->bin[k][i].info) / 64;
			days[at] = s->bin[k][i].seen;
		}
}

void shape_restore(struct shape *s, const double theta[SHAPE_STATE], const double *info,
                   const double *days)
{
	for (int k = 0; k < ZONE_DAY_KINDS; k++)
		for (int i = 0; i < SHAPE_BINS; i++) {
			int at = k * SHAPE_BINS + i;

			s->theta[k][i] = (float)fmin(fmax(theta[at], THETA_MIN), THETA_MAX);
			s->bin[k][i].info = (float)fmin(info ? info[at] : INFO_KEPT, SHAPE_MEMORY);
			s->bin[k][i].seen = days ? (uint32_t)days[at] : DAYS_KEPT;
			/* the next day to tell of it begins here */
			s->bin[k][i].before = s->theta[k][i];
		}
	compile(s);
}

/* A look reaches back over a day at most: older days have no more to tell. */
static const int32_t LAST_DAYS = 2;

size_t shape_last(const struct shape *s, double ret[SHAPE_LAST_STATE])
{
	int32_t latest = INT32_MIN;
	size_t n = 0;

	for (int at = 0; at < SHAPE_STATE; at++) {
		const struct shape_bin *b = &s->bin[at / SHAPE_BINS][at % SHAPE_BINS];

		if (b->seen && b->day > latest)
			latest = b->day;
	}
	if (latest == INT32_MIN)
		return 0;
	ret[n++] = latest;
	for (int at = 0; at < SHAPE_STATE && n + SHAPE_LAST <= SHAPE_LAST_STATE; at++) {
		const struct shape_bin *b = &s->bin[at / SHAPE_BINS][at % SHAPE_BINS];
		double theta = s->theta[at / SHAPE_BINS][at % SHAPE_BINS];

		if (!b->seen || latest - b->day >= LAST_DAYS)
			continue;
		ret[n++] = at;
		ret[n++] = latest - b->day;
		/* rounded to what is short as text */
		ret[n++] = round(64 * (theta - (double)b->before)) / 64;
	}
	return n;
}

static bool is_last(const double *v, size_t n)
{
	if (n % SHAPE_LAST != 1 || !range_holds(v, 1, -1e6, 1e6) || v[0] != floor(v[0]))
		return false;
	for (size_t i = 1; i < n; i += SHAPE_LAST)
		if (!range_holds(v + i, 1, 0, SHAPE_STATE - 1) || v[i] != floor(v[i]) ||
		    !range_holds(v + i + 1, 1, 0, LAST_DAYS - 1) || v[i + 1] != floor(v[i + 1]) ||
		    !range_holds(v + i + 2, 1, THETA_MIN - THETA_MAX, THETA_MAX - THETA_MIN))
			return false;
	return true;
}

bool shape_restore_last(struct shape *s, const double *v, size_t n)
{
	if (!is_last(v, n))
		return false;
	for (size_t i = 1; i < n; i += SHAPE_LAST) {
		int at = (int)v[i];
		struct shape_bin *b = &s->bin[at / SHAPE_BINS][at % SHAPE_BINS];

		b->day = (int32_t)(v[0] - v[i + 1]);
		b->before = (float)((double)b->before - v[i + 2]);
	}
	return true;
}

/* Finds day, kind and stretch of the instant t, which is t_s. */
static void enter(struct shape_walk *w, struct instant t, double t_s)
{
	struct instant until;
	int32_t offset = zone_offset_at(w->zone, t, &until);
	double local = t_s + offset;
	int32_t day = (int32_t)(local * (1 / SHAPE_DAY_S));

	/* rounded towards 0, from a product that is not exact */
	while (day * SHAPE_DAY_S > local)
		day--;
	while ((day + 1) * SHAPE_DAY_S <= local)
		day++;
	w->day = day;
	w->kind = zone_day_kind(w->zone, day);
	w->midnight_s = day * SHAPE_DAY_S - offset;
	w->start_s = t_s;
	w->end_s = w->midnight_s + SHAPE_DAY_S;
	if (until.us != INT64_MAX && instant_s(until) < w->end_s)
		w->end_s = instant_s(until);
}

/* What has passed of bin i after `part` seconds of it, where the timetable has a say. */
static double passed_by_timetable(const struct shape *s, int kind, int i, double part)
{
	double from = i * SHAPE_BIN_S, start, length;
	double whole = s->cum[kind][i + 1] - s->cum[kind][i], edge = s->edge[kind][i], clock;

	if (!(s->edge_clock > 0)) {
		start = timetable_clock(&s->timetable, from);
		length = timetable_clock(&s->timetable, from + SHAPE_BIN_S) - start;
		return (timetable_clock(&s->timetable, from + part) - start) / length * whole;
	}
	clock = timetable_clock(&s->timetable, from + part) - from;
	if (clock < s->edge_clock)
		return clock / s->edge_clock * edge;
	length = SHAPE_BIN_S - s->edge_clock;
	return length > 0 ? edge + (clock - s->edge_clock) / length * (whole - edge) : edge;
}

static inline double cum_at(const struct shape *s, int kind, double sec)
{
	const double *cum = s->cum[kind];
	/* products, as quotients are slow; which side of a boundary it takes does not matter */
	double bin = sec * (1 / SHAPE_BIN_S);
	int i = (int)bin;

	if (i < 0)
		return 0;
	if (i >= SHAPE_BINS)
		return cum[SHAPE_BINS];
	if (s->timetable.chosen < 0)
		return cum[i] + (bin - i) * (cum[i + 1] - cum[i]);
	return cum[i] + passed_by_timetable(s, kind, i, sec - i * SHAPE_BIN_S);
}

void shape_walk_start(struct shape_walk *w, const struct shape *s, const struct zone *z,
                      struct instant t)
{
	double t_s = instant_s(t);

	w->shape = s;
	if (!s) {
		*w = (struct shape_walk){.passed = -t_s, .start_s = t_s, .end_s = HUGE_VAL};
		return;
	}
	w->zone = z;
	enter(w, t, t_s);
	w->passed = -cum_at(s, w->kind, t_s - w->midnight_s);
}

void shape_walk_with(struct shape_walk *w, const struct shape *s, const struct zone *z,
                     struct instant t, const struct shape_walk *other)
{
	if (!s || !other->shape) {
		shape_walk_start(w, s, z, t);
		return;
	}
	*w = *other;
	w->shape = s;
	w->passed = -cum_at(s, w->kind, w->start_s - w->midnight_s);
}

/* To an instant beyond the stretch it is in. */
static void go_on(struct shape_walk *w, double t_s)
{
	while (t_s >= w->end_s) {
		double next = w->end_s;

		w->passed += cum_at(w->shape, w->kind, next - w->midnight_s);
		enter(w, instant_from_s(next), next);
		/* a day shorter than a microsecond cannot be; do not hang on one */
		if (w->end_s <= next)
			w->end_s = next + 1;
		w->passed -= cum_at(w->shape, w->kind, next - w->midnight_s);
	}
}

double shape_walk_to(struct shape_walk *w, double t_s)
{
	if (!w->shape)
		return t_s + w->passed;
	if (t_s >= w->end_s)
		go_on(w, t_s);
	return w->passed + cum_at(w->shape, w->kind, t_s - w->midnight_s);
}

double shape_walk_pace(struct shape_walk *w, double t_s, double *ret_until_s)
{
	const double *cum;
	double bin;
	int i;

	*ret_until_s = HUGE_VAL;
	if (!w->shape)
		return 1;
	if (t_s >= w->end_s)
		go_on(w, t_s);
	*ret_until_s = t_s;
	/* as in shape_walk_edge: what is next to a boundary is on it */
	bin = (t_s - w->midnight_s) * (1 / SHAPE_BIN_S) + 1e-9;
	i = (int)bin;
	if (w->shape->timetable.chosen >= 0 || bin < 0 || i >= SHAPE_BINS)
		return 0;
	cum = w->shape->cum[w->kind] + i;
	*ret_until_s = w->midnight_s + (i + 1) * SHAPE_BIN_S;
	if (*ret_until_s > w->end_s)
		*ret_until_s = w->end_s;
	return (cum[1] - cum[0]) * (1 / SHAPE_BIN_S);
}

double shape_walk_edge(const struct shape_walk *w, double t_s)
{
	double sec = t_s - w->midnight_s;

	return w->midnight_s + (floor(sec / SHAPE_BIN_S + 1e-9) + 1) * SHAPE_BIN_S;
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

double shape_pace(const struct shape *s)
{
	return s ? s->pace : 1;
}

/* What has been learned of the bin in which the walk has started. */
static const struct shape_bin *bin_of(const struct shape_walk *w)
{
	int i = (int)((w->start_s - w->midnight_s) * (1 / SHAPE_BIN_S));

	return &w->shape->bin[w->kind][i < 0 ? 0 : i < SHAPE_BINS ? i : SHAPE_BINS - 1];
}

static inline double mass_between(const struct shape *s, const struct zone *z, struct instant a,
                                  struct instant b, bool to_learn)
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
		mass = days * SHAPE_DAY_S * s->pace;
		a = instant_add(a, span_from_s(days * SHAPE_DAY_S));
	}
	shape_walk_start(&w, s, z, a);
	/*
	 * Of a thousand endpoints it is far away, and shape_learn comes to it 0.2 us from here. Two
	 * lines of the processor's cache: what ends in the next bin is learned there, too.
	 */
	if (to_learn) {
		__builtin_prefetch(bin_of(&w));
		__builtin_prefetch((const char *)bin_of(&w) + MEM_LINE);
	}
	return mass + shape_walk_to(&w, instant_s(b));
}

double shape_mass(const struct shape *s, const struct zone *z, struct instant a, struct instant b)
{
	return mass_between(s, z, a, b, false);
}

double shape_mass_to_learn(const struct shape *s, const struct zone *z, struct instant a,
                           struct instant b)
{
	return mass_between(s, z, a, b, true);
}

/* A day tells something of a bin: from here on its move counts. */
static void mark_day(struct shape *s, int kind, int i, int32_t day)
{
	struct shape_bin *b = &s->bin[kind][i];

	if (b->day == day && b->seen)
		return;
	b->day = day;
	b->before = s->theta[kind][i];
	b->seen++;
}

/* theta, as far as one day may move it. */
static double within_day(const struct shape_bin *b, double theta)
{
	double most = b->seen ? DAY_MOVE_FIRST / b->seen : HUGE_VAL;

	most = most > DAY_MOVE ? most : DAY_MOVE;
	return range_clamp(range_clamp(theta, b->before - most, b->before + most), THETA_MIN, THETA_MAX);
}

/*
 * One damped step of all bins; neighbours wrap around within their kind of day. What holds a bin
 * back enters by the share that the news have in all its information: it is to count once, not at
 * each step. Half days are held to the weekday's shape, all others to flat.
 *
 * Information was gathered where theta was, and is as much as was expected there. What has been found
 * to change less has, looked at again from where theta is now, told less: so it follows the factor. (A
 * Gamma posterior says the same: that nothing changed leaves its a alone.)
 */
static void step(struct shape *s)
{
	for (int k = 0; k < ZONE_DAY_KINDS; k++) {
		double off[SHAPE_BINS]; /* from what the bin is held to */

		for (int i = 0; i < SHAPE_BINS; i++)
			off[i] = s->theta[k][i] -
			         (k == ZONE_HALF_DAY ? s->theta[ZONE_WEEKDAY][i] : 0);
		for (int i = 0; i < SHAPE_BINS; i++) {
			double around = 0.5 * (off[(i + SHAPE_BINS - 1) % SHAPE_BINS] +
			                       off[(i + 1) % SHAPE_BINS]);
			double hold = HOLD_NEIGHBOURS * (off[i] - around) + HOLD_FLAT * off[i];
			struct shape_bin *b = &s->bin[k][i];
			double news = b->news, was = s->theta[k][i], info, d;

			info = range_clamp(b->info + news, 0, SHAPE_MEMORY);
			d = (b->score - (news + DRIFT) / (info + DRIFT) * hold) /
			    (info + HOLD_NEIGHBOURS + HOLD_FLAT);
			d = range_clamp(d, -1, 1);
			s->theta[k][i] = (float)within_day(b, was + d);
			if (info > 0)
				info *= exp((double)s->theta[k][i] - was);
			b->info = (float)fmin(info, SHAPE_MEMORY);
			b->score = b->news = 0;
		}
	}
	compile(s);
	s->steps++;
}

/* Tells the bins between two instants, each by its part of the operational seconds. */
static void tell_bins(struct shape *s, const struct zone *z, struct instant a, struct instant b,
                      double score, double info)
{
	struct shape_walk w;
	double t = instant_s(a), end = instant_s(b), done = 0, edge = edge_s(s);

	shape_walk_start(&w, s, z, a);
	while (t < end) {
		double next = shape_walk_edge(&w, t), now, sec = t - w.midnight_s;
		int i = (int)(sec * (1 / SHAPE_BIN_S) + 1e-9), k = w.kind;
		int32_t day;
		double over = i * SHAPE_BIN_S + edge; /* then the ticks of the boundary are */

		if (i > 0 && i < SHAPE_BINS && sec < over - 1e-6) {
			next = fmin(next, w.midnight_s + over);
			i = edge_bin(s, k, i);
		}
		if (next > end)
			next = end;
		if (next > w.end_s && w.end_s > t)
			next = w.end_s;
		day = w.day; /* the walk may go on to the next */
		now = shape_walk_to(&w, next);
		if (i >= 0 && i < SHAPE_BINS) {
			mark_day(s, k, i, day);
			s->bin[k][i].score += (float)((now - done) * score);
			s->bin[k][i].news += (float)((now - done) * info);
		}
		done = now;
		t = next;
	}
}

void shape_learn(struct shape *s, const struct zone *z, struct instant a, struct instant b,
                 double tau, double rate, bool changed)
{
	double length = span_s(instant_diff(b, a)), mass = rate * tau, e, p, score, info;

	if (!(mass > 0) || !isfinite(mass) || !(length > 0) || length > SHAPE_DAY_S)
		return;
	e = exp(-mass);
	p = mass > 1e-4 ? 1 - e : mass * (1 - 0.5 * mass);
	/* With m expected: P(changed) = 1 - e^-m, slope of its log in theta m e^-m / (1 - e^-m). */
	score = changed ? mass * e / p : mass < 3 ? -mass : -3;
	info = mass * mass * e / p;
	tell_bins(s, z, a, b, score / tau, info / tau);
	if (length < SHAPE_DAY_S / 8) {
		/* what was expected, had the timetable not had its say */
		double local = zone_local_s(z, a), said = length;

		if (s->timetable.chosen >= 0)
			said = timetable_clock(&s->timetable, local + length) -
			       timetable_clock(&s->timetable, local);
		if (said > 0 && timetable_learn(&s->timetable, local, local + length,
		                                mass * length / said, changed))
			compile(s);
	}
	if (++s->pending >= SHAPE_BATCH) {
		s->pending = 0;
		step(s);
	}
}
