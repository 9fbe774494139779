/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/walk.h"

#include "base/bug.h"

#include <math.h>

/*
 * S and M only grow, so over a step int M dS is known to within (M1 - M0) (S1 - S0). A step is
 * short enough when that is at most this share of the target; the trapezoid errs by far less.
 */
static const double DOUBT = 0.02;

/*
 * The step that passes an end of the walk is narrowed down until it passes it by this share of what
 * is sought there, or is this share of the age: a tick of a timetable is passed in no time.
 */
static const double CLOSE = 0.02, FINEST = 0.002, FINEST_S = 1e-3;

static const double STEP_GROWTH = 3;

static inline double less(double a, double b)
{
	return a < b ? a : b;
}

static inline double more(double a, double b)
{
	return a > b ? a : b;
}

/* An age on the way: S and M there, and the stale serves up to it, int S dM. */
struct point {
	double t, p, m, stale;
};

/* The two clocks at a point; both are of the same zone. */
struct clocks {
	struct shape_walk volatility, demand;
};

static void start(struct clocks *c, const struct walk_question *q)
{
	shape_walk_start(&c->volatility, q->volatility, q->zone, q->loaded);
	shape_walk_with(&c->demand, q->demand, q->zone, q->loaded, &c->volatility);
}

/* One of the two policies: its optimum is where int (M + head) dS reaches the target. */
struct goal {
	double head, target;
	bool reached;
	struct point at; /* the optimum, or the bound that came before it */
};

static double p_at(const struct walk_question *q, struct shape_walk *volatility, double t)
{
	double seen = instant_s(q->loaded) + t - q->tolerated_s;

	return t > q->tolerated_s ? change_p(q->rate, shape_walk_to(volatility, seen)) : 0;
}

/* The point at age t, as seen from one before it; moves the clocks there. */
static struct point look(const struct walk_question *q, const struct point *from, double t,
                         struct clocks *c)
{
	struct point x = {
	        .t = t,
	        .p = p_at(q, &c->volatility, t),
	        .m = q->requests_per_s * shape_walk_to(&c->demand, instant_s(q->loaded) + t),
	};

	x.stale = from->stale + 0.5 * (from->p + x.p) * (x.m - from->m);
	return x;
}

/* Do both clocks know that age without going to another day? */
static bool holds(const struct clocks *c, const struct walk_question *q, double t)
{
	double at = instant_s(q->loaded) + t;

	return at < c->volatility.end_s && at < c->demand.end_s;
}

static struct point between(const struct point *a, const struct point *b, double f)
{
	return (struct point){
	        .t = a->t + f * (b->t - a->t),
	        .p = a->p + f * (b->p - a->p),
	        .m = a->m + f * (b->m - a->m),
	        .stale = a->stale + f * (b->stale - a->stale),
	};
}

/* int (M + head) dS up to x, by parts. */
static double gained(const struct goal *g, const struct point *x)
{
	return (x->m + g->head) * x->p - x->stale;
}

static bool reaches(const struct goal *g, const struct point *x)
{
	return !g->reached && gained(g, x) >= g->target;
}

/* Where between a and b, as a share of the step, the goal or a little more than it is reached. */
static double share_to(const struct goal *g, double beyond, const struct point *a,
                       const struct point *b)
{
	double from = gained(g, a), to = gained(g, b);

	return to > from ? less(((1 + beyond) * g->target - from) / (to - from), 1) : 1;
}

/* The walk has come from a to b, and may have reached the goal on the way. */
static void advance(struct goal *g, const struct point *a, const struct point *b)
{
	if (g->reached)
		return;
	g->reached = reaches(g, b);
	g->at = g->reached ? between(a, b, share_to(g, 0, a, b)) : *b;
}

/* A good length of the first step: half of what would be best at a steady mean rate. */
static double first_step(const struct walk_question *q, const struct goal *on_demand)
{
	double rate = q->rate.a / q->rate.b * shape_pace(q->volatility), r = q->requests_per_s;
	double x = 2 * on_demand->target / rate;

	/* (sqrt(1 + r x) - 1) / r without the difference, since r may be tiny or 0 */
	return 0.5 * x / (sqrt(1 + r * x) + 1);
}

/*
 * Where in the step from a to b the walk comes to its first end, as far as a straight line tells,
 * or closely behind it: as a share of the step. 1 when that is b itself, or there is no end.
 */
static double share_to_end(const struct walk_question *q, const struct goal *on_demand,
                           const struct goal *ahead, const struct point *a, const struct point *b)
{
	double f = 1;

	if (!on_demand->reached)
		f = less(f, share_to(on_demand, 0.5 * CLOSE, a, b));
	if (!ahead->reached)
		f = less(f, share_to(ahead, 0.5 * CLOSE, a, b));
	if (q->p_cap < 1 && b->p > a->p)
		f = less(f, ((1 + 0.5 * CLOSE) * q->p_cap - a->p) / (b->p - a->p));
	return f;
}

/*
 * Walks until both goals are reached, or S the cap, or t the end. True when the cap ended it.
 *
 * The length of the steps follows what they leave in doubt, as that of a solver of differential
 * equations follows its error: long through quiet hours, short around the ticks of a timetable. A
 * step that goes far past an end of the walk is taken back. The next is to hit the end, and if that
 * is no smooth place the one after it halves what is left.
 */
static bool walk(const struct walk_question *q, struct goal *on_demand, struct goal *ahead)
{
	double doubt = DOUBT * less(on_demand->target, ahead->target),
	       step = first_step(q, on_demand);
	double passed = HUGE_VAL; /* some end lies before this age */
	double aim = HUGE_VAL;    /* and is looked for here */
	struct point here = {0};
	struct clocks clocks, moved;

	start(&clocks, q);
	while (here.t < q->max_s && !(on_demand->reached && ahead->reached)) {
		double finest = more(FINEST * here.t, FINEST_S), box, fit, share = 1;
		double length = more(less(step, aim - here.t), finest);
		double t = less(here.t + length, q->max_s);
		bool aimed = aim < HUGE_VAL, capped, ends, stays = holds(&clocks, q, t);
		struct point next;

		/* within a stretch clocks go to and fro; a step out of it may be taken back */
		if (!stays)
			moved = clocks;
		next = look(q, &here, t, stays ? &clocks : &moved);
		box = (next.m - here.m) * (next.p - here.p);
		fit = box > 0 ? less(0.9 * sqrt(doubt / box), STEP_GROWTH) : STEP_GROWTH;
		step = (next.t - here.t) * fit;
		capped = next.p >= q->p_cap && q->p_cap < 1;
		ends = capped || reaches(on_demand, &next) || reaches(ahead, &next);
		if (ends) {
			share = share_to_end(q, on_demand, ahead, &here, &next);
			passed = next.t;
		}
		if (((ends && share < 1) || box > doubt) && length > finest) {
			aim = here.t + (ends && !aimed ? share : 0.5) * (passed - here.t);
			continue;
		}
		if (capped && next.p > here.p)
			next = between(&here, &next, (q->p_cap - here.p) / (next.p - here.p));
		advance(on_demand, &here, &next);
		advance(ahead, &here, &next);
		if (capped)
			return true;
		if (ends)
			passed = HUGE_VAL;
		aim = 0.5 * (next.t + passed);
		here = next;
		if (!stays)
			clocks = moved;
	}
	return false;
}

struct walk_answer walk_ttl(const struct walk_question *q)
{
	struct goal on_demand = {.head = 1, .target = (q->cost + q->miss_value) / q->price};
	struct goal ahead = {.head = 0, .target = q->cost / q->price}, *pick = &on_demand;
	bool worth_ahead = q->miss_value > 0 && q->requests_per_s > 0, capped;
	struct walk_answer a = {0};

	BUG_ON(!(q->price > 0) || !(q->cost > 0) || q->min_s > q->max_s);
	ahead.reached = !worth_ahead;
	capped = walk(q, &on_demand, &ahead);
	if (worth_ahead && ahead.at.m > 0) {
		double g1 = (q->cost + q->miss_value + q->price * on_demand.at.stale) /
		            (on_demand.at.m + 1);
		double g2 = (q->cost + q->price * ahead.at.stale) / ahead.at.m;

		if (g2 < g1) {
			pick = &ahead;
			a.refresh_ahead = true;
		}
	}
	a.ttl_s = pick->at.t;
	a.p_stale = pick->at.p;
	a.end = pick->reached ? WALK_PLANNED : capped ? WALK_CAP : WALK_MAX;
	if (a.ttl_s < q->min_s) {
		struct shape_walk volatility;

		shape_walk_start(&volatility, q->volatility, q->zone, q->loaded);
		a.ttl_s = q->min_s;
		a.p_stale = p_at(q, &volatility, a.ttl_s);
		a.end = WALK_MIN;
	}
	return a;
}
