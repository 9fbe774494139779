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

/*
 * Where both clocks run evenly S is a smooth curve, whose slope is known. A step may be so long that
 * this falls by that share, about; is to go past a goal by a little; and is taken if it is no shorter
 * than this share of what one without that knowledge would be.
 */
static const double BEND = 0.5, BEYOND = 1.02, EVEN_SHARE = 0.25;

static inline double less(double a, double b)
{
	return a < b ? a : b;
}

static inline double more(double a, double b)
{
	return a > b ? a : b;
}

/*
 * An age on the way: operational seconds that count for S, then S and M there, and the stale serves up
 * to it, int S dM.
 */
struct point {
	double t, tau, p, m, stale;
};

/* The two clocks at a point; both are of the same zone. */
struct clocks {
	struct shape_walk volatility, demand;
	double loaded_s;
};

static void start(struct clocks *c, const struct walk_question *q)
{
	shape_walk_start(&c->volatility, q->volatility, q->zone, q->loaded);
	shape_walk_with(&c->demand, q->demand, q->zone, q->loaded, &c->volatility);
	c->loaded_s = instant_s(q->loaded);
}

/* One of the two policies: its optimum is where int (M + head) dS reaches the target. */
struct goal {
	double head, target;
	bool reached;
	struct point at; /* the optimum, or the bound that came before it */
};

/* The point at age t, as seen from one before it; moves the clocks there. */
static struct point look(const struct walk_question *q, const struct point *from, double t,
                         struct clocks *c)
{
	double at = c->loaded_s + t;
	struct point x = {.t = t};

	if (t > q->tolerated_s)
		x.tau = shape_walk_to(&c->volatility, at - q->tolerated_s);
	x.p = change_p(q->rate, x.tau);
	x.m = q->requests_per_s * shape_walk_to(&c->demand, at);
	x.stale = from->stale + 0.5 * (from->p + x.p) * (x.m - from->m);
	return x;
}

/* Do both clocks know that age without going to another day? */
static bool holds(const struct clocks *c, double t)
{
	double at = c->loaded_s + t;

	return at < c->volatility.end_s && at < c->demand.end_s;
}

static struct point between(const struct point *a, const struct point *b, double f)
{
	return (struct point){
	        .t = a->t + f * (b->t - a->t),
	        .tau = a->tau + f * (b->tau - a->tau),
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

/* A walk that has come to some point. */
struct walk {
	const struct walk_question *q;
	struct goal on_demand, ahead;
	double doubt;   /* how much of int M dS a step may leave in doubt */
	double cap_tau; /* where S reaches the cap; HUGE_VAL: nowhere */
	struct clocks clocks;
	struct point here;
	double step;   /* a good length of the next step, where clocks do not run evenly */
	double passed; /* some end lies before this age */
	double aim;    /* and is looked for here */
	bool capped;   /* the cap is reached */
};

/* It goes on from a point; at_end: where a goal is reached. */
static void go_on_from(struct walk *w, const struct point *next, bool at_end)
{
	if (at_end || next->t >= w->passed)
		w->passed = HUGE_VAL;
	w->aim = 0.5 * (next->t + w->passed);
	w->here = *next;
}

/* From some age on both clocks run evenly. */
struct even {
	double volatility, demand; /* operational seconds, and requests, a second */
	double length_s;           /* for so long; 0: they do not, or it is not known */
};

static struct even even_from_here(struct walk *w)
{
	const struct walk_question *q = w->q;
	double at = w->clocks.loaded_s + w->here.t, until;
	double seen = at - q->tolerated_s, seen_until = w->clocks.loaded_s;
	struct even e = {0};

	e.demand = q->requests_per_s * shape_walk_pace(&w->clocks.demand, at, &until);
	if (w->here.t >= q->tolerated_s)
		e.volatility = shape_walk_pace(&w->clocks.volatility, seen, &seen_until);
	e.length_s = less(less(until - at, seen_until - seen), q->max_s - w->here.t);
	return e;
}

/* dS/dt in an even stretch. */
static double slope_at(const struct walk_question *q, const struct even *e, const struct point *x)
{
	return q->rate.a * (1 - x->p) / (q->rate.b + x->tau) * e->volatility;
}

/* How long it is from a point to a goal if S goes on with that slope; HUGE_VAL: it is reached. */
static double way_to(const struct goal *g, const struct even *e, const struct point *here,
                     double slope)
{
	double left = g->target - gained(g, here), now = (here->m + g->head) * slope;

	return g->reached ? HUGE_VAL
	                  : 2 * left / (now + sqrt(now * now + 2 * slope * e->demand * left));
}

/*
 * The length of a good step in an even stretch: just beyond the nearer of the goals, or both if the
 * other is not far. S bends, so they are a little farther than its slope says.
 */
static double even_length(const struct walk *w, const struct even *e)
{
	const struct walk_question *q = w->q;
	double slope = slope_at(q, e, &w->here);
	double bend = (q->rate.a + 1) / (q->rate.b + w->here.tau) * e->volatility;
	double one = way_to(&w->on_demand, e, &w->here, slope);
	double other = way_to(&w->ahead, e, &w->here, slope);
	double near = less(one, other), far = more(one, other), way = far < 2 * near ? far : near;

	way *= BEYOND + 0.5 * less(way * bend, 1);
	return less(way * bend > BEND ? BEND / bend : way, e->length_s);
}

/* The cubic on [0, 1] that has these values and these slopes at its ends. */
struct cubic {
	double start, slope, square, rest; /* start + slope f + square f^2 + rest f^2 (f - 1) */
};

static struct cubic cubic_through(double a, double slope_a, double b, double slope_b)
{
	double square = b - a - slope_a;

	return (struct cubic){a, slope_a, square, slope_b - slope_a - 2 * square};
}

static double cubic_at(const struct cubic *c, double f)
{
	return c->start + f * (c->slope + f * (c->square + c->rest * (f - 1)));
}

/* Where one that rises, to y or more, comes to y. */
static double cubic_root(const struct cubic *c, double y)
{
	double rise = y - c->start, square = c->slope * c->slope + 4 * c->square * rise;
	double f = less(2 * rise / (c->slope + sqrt(more(square, 0))), 1);

	/* that was without the rest, which is small: Newton's method soon knows better */
	for (int i = 0; i < 2; i++) {
		double d = c->slope + f * (2 * c->square + c->rest * (3 * f - 2));

		if (d > 0)
			f = less(more(f + (y - cubic_at(c, f)) / d, 0), 1);
	}
	return f;
}

/* A step in an even stretch. */
struct glide {
	struct point from, to;
	double slope_from, slope_to; /* of S, over the whole of the step */
};

/*
 * M is a straight line, and of S the slope is known at both ends: what these correct of the trapezoid
 * makes it exact but for the fifth power of the step's length (Euler and Maclaurin). The cap is met
 * exactly.
 */
static struct glide glide_from_here(const struct walk *w, const struct even *e, double length)
{
	double to_cap = (w->cap_tau - w->here.tau) / e->volatility;
	struct glide g = {.from = w->here};
	bool capped = to_cap <= length;

	if (capped)
		length = more(to_cap, 0);
	g.to.t = g.from.t + length;
	g.to.tau = g.from.tau + length * e->volatility;
	g.to.m = g.from.m + length * e->demand;
	g.to.p = capped ? w->q->p_cap : change_p(w->q->rate, g.to.tau);
	g.slope_from = length * slope_at(w->q, e, &g.from);
	g.slope_to = length * slope_at(w->q, e, &g.to);
	g.to.stale = g.from.stale + (g.to.m - g.from.m) * (0.5 * (g.from.p + g.to.p) -
	                                                   (g.slope_to - g.slope_from) / 12);
	return g;
}

/* As advance, in an even stretch: there S and what is gained are all but cubics. */
static void glide_towards(struct goal *goal, const struct glide *g)
{
	const struct point *a = &g->from, *b = &g->to;
	struct cubic gain, p;
	double f;

	if (goal->reached)
		return;
	goal->at = *b;
	goal->reached = reaches(goal, b);
	if (!goal->reached)
		return;
	gain = cubic_through(gained(goal, a), (a->m + goal->head) * g->slope_from, gained(goal, b),
	                     (b->m + goal->head) * g->slope_to);
	p = cubic_through(a->p, g->slope_from, b->p, g->slope_to);
	f = cubic_root(&gain, goal->target);
	goal->at = between(a, b, f);
	goal->at.p = cubic_at(&p, f);
	goal->at.stale = (goal->at.m + goal->head) * goal->at.p - goal->target;
}

/* Takes a step of at least that length where both clocks run evenly. False where they do not. */
static bool glides(struct walk *w, double least)
{
	struct even e = even_from_here(w);
	struct glide g;
	double length;
	bool at_end;

	/* asked first, since it costs less */
	if (!(e.length_s >= least))
		return false;
	length = even_length(w, &e);
	if (!(length >= least))
		return false;
	g = glide_from_here(w, &e, length);
	w->capped = g.to.p >= w->q->p_cap && w->q->p_cap < 1;
	at_end = reaches(&w->on_demand, &g.to) || reaches(&w->ahead, &g.to);
	glide_towards(&w->on_demand, &g);
	glide_towards(&w->ahead, &g);
	go_on_from(w, &g.to, at_end);
	w->step = more(w->step, length);
	return true;
}

/*
 * Where in the step to b the walk comes to its first end, as far as a straight line tells, or closely
 * behind it: as a share of the step. 1 when that is b itself, or there is no end.
 */
static double share_to_end(const struct walk *w, const struct point *b)
{
	const struct point *a = &w->here;
	double f = 1;

	if (!w->on_demand.reached)
		f = less(f, share_to(&w->on_demand, 0.5 * CLOSE, a, b));
	if (!w->ahead.reached)
		f = less(f, share_to(&w->ahead, 0.5 * CLOSE, a, b));
	if (w->q->p_cap < 1 && b->p > a->p)
		f = less(f, ((1 + 0.5 * CLOSE) * w->q->p_cap - a->p) / (b->p - a->p));
	return f;
}

/*
 * Takes a step wherever it is, or takes it back and aims nearer. The length of the steps follows what
 * they leave in doubt, as that of a solver of differential equations follows its error: long through
 * quiet hours, short around the ticks of a timetable. A step that goes far past an end of the walk is
 * taken back. The next is to hit the end, and if that is no smooth place the one after it halves what
 * is left.
 */
static void stride(struct walk *w, double length, double finest)
{
	const struct walk_question *q = w->q;
	double t = less(w->here.t + length, q->max_s), box, fit, share = 1;
	bool aimed = w->aim < HUGE_VAL, capped, ends, stays = holds(&w->clocks, t);
	struct clocks moved;
	struct point next;

	/* within a stretch clocks go to and fro; a step out of it may be taken back */
	if (!stays)
		moved = w->clocks;
	next = look(q, &w->here, t, stays ? &w->clocks : &moved);
	box = (next.m - w->here.m) * (next.p - w->here.p);
	fit = box > 0 ? less(0.9 * sqrt(w->doubt / box), STEP_GROWTH) : STEP_GROWTH;
	w->step = (next.t - w->here.t) * fit;
	capped = next.p >= q->p_cap && q->p_cap < 1;
	ends = capped || reaches(&w->on_demand, &next) || reaches(&w->ahead, &next);
	if (ends) {
		share = share_to_end(w, &next);
		w->passed = next.t;
	}
	if (((ends && share < 1) || box > w->doubt) && length > finest) {
		w->aim = w->here.t + (ends && !aimed ? share : 0.5) * (w->passed - w->here.t);
		return;
	}
	if (capped && next.p > w->here.p)
		next = between(&w->here, &next, (q->p_cap - w->here.p) / (next.p - w->here.p));
	w->capped = capped;
	advance(&w->on_demand, &w->here, &next);
	advance(&w->ahead, &w->here, &next);
	go_on_from(w, &next, ends);
	if (!stays)
		w->clocks = moved;
}

/* A good length of the first step: half of what would be best at a steady mean rate. */
static double first_step(const struct walk *w)
{
	const struct walk_question *q = w->q;
	double rate = q->rate.a / q->rate.b * shape_pace(q->volatility), r = q->requests_per_s;
	double x = 2 * w->on_demand.target / rate;

	/* (sqrt(1 + r x) - 1) / r without the difference, since r may be tiny or 0 */
	return 0.5 * x / (sqrt(1 + r * x) + 1);
}

/* Until both goals are reached, or S the cap, or t the end. */
static void walk(struct walk *w)
{
	const struct walk_question *q = w->q;

	w->doubt = DOUBT * less(w->on_demand.target, w->ahead.target);
	w->cap_tau = q->p_cap < 1 ? change_tau(q->rate, q->p_cap) : HUGE_VAL;
	w->step = first_step(w);
	w->passed = w->aim = HUGE_VAL;
	start(&w->clocks, q);
	while (!w->capped && w->here.t < q->max_s && !(w->on_demand.reached && w->ahead.reached)) {
		double finest = more(FINEST * w->here.t, FINEST_S);
		double length = more(less(w->step, w->aim - w->here.t), finest);

		if (!glides(w, EVEN_SHARE * length))
			stride(w, length, finest);
	}
}

struct walk_answer walk_ttl(const struct walk_question *q)
{
	bool worth_ahead = q->miss_value > 0 && q->requests_per_s > 0;
	struct walk w = {
	        .q = q,
	        .on_demand = {.head = 1, .target = (q->cost + q->miss_value) / q->price},
	        .ahead = {.head = 0, .target = q->cost / q->price, .reached = !worth_ahead},
	};
	const struct goal *pick = &w.on_demand;
	struct walk_answer a = {0};

	BUG_ON(!(q->price > 0) || !(q->cost > 0) || q->min_s > q->max_s);
	walk(&w);
	if (worth_ahead && w.ahead.at.m > 0) {
		double g1 = (q->cost + q->miss_value + q->price * w.on_demand.at.stale) /
		            (w.on_demand.at.m + 1);
		double g2 = (q->cost + q->price * w.ahead.at.stale) / w.ahead.at.m;

		if (g2 < g1) {
			pick = &w.ahead;
			a.refresh_ahead = true;
		}
	}
	a.ttl_s = pick->at.t;
	a.p_stale = pick->at.p;
	a.end = pick->reached ? WALK_PLANNED : w.capped ? WALK_CAP : WALK_MAX;
	if (a.ttl_s < q->min_s) {
		struct clocks clocks;
		const struct point loaded = {0};

		start(&clocks, q);
		a.ttl_s = q->min_s;
		a.p_stale = look(q, &loaded, a.ttl_s, &clocks).p;
		a.end = WALK_MIN;
	}
	return a;
}
