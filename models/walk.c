/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/walk.h"

#include "base/bug.h"

#include <math.h>

/* Steps grow by this factor, so that each is a fixed share of the age; finer grids move the TTL by
 * less than 1 %, since the crossing is interpolated. */
static const double STEP_FIRST_S = 0.25, STEP_GROWTH = 1.15;

/* Beyond two days the hour no longer matters to a decision that is made again long before. */
static const double EDGES_S = 2 * SHAPE_DAY_S;

/* Single ticks of a timetable are walked to so often; after that its mean pace will do. */
static const int MAX_TICKS = 100;

/* What one of the two policies has accumulated, and where its optimum was crossed. */
struct crossing {
	double lhs, ttl_s, p_stale, requests, stale_serves;
	bool found;
};

/* Adds this step's share and notes the crossing, interpolated within the step. */
static void advance(struct crossing *x, double add, double target, double t0, double t1, double p0,
                    double p1, double m0, double m1, double i0, double i1)
{
	double f;

	if (x->found)
		return;
	if (x->lhs + add < target) {
		x->lhs += add;
		return;
	}
	f = add > 0 ? (target - x->lhs) / add : 0;
	x->ttl_s = t0 + f * (t1 - t0);
	x->p_stale = p0 + f * (p1 - p0);
	x->requests = m0 + f * (m1 - m0);
	x->stale_serves = i0 + f * (i1 - i0);
	x->found = true;
}

/* The walk ended at a bound before the optimum: the bound is the TTL. */
static void stop(struct crossing *x, double t, double p, double m, double i)
{
	if (x->found)
		return;
	x->ttl_s = t;
	x->p_stale = p;
	x->requests = m;
	x->stale_serves = i;
}

struct walk_answer walk_ttl(const struct walk_question *q)
{
	struct shape_walk vol, dem;
	struct crossing on_demand = {0}, ahead = {0}, *pick;
	double t0_s = instant_s(q->loaded), t = 0, step = STEP_FIRST_S, p = 0, m = 0, stale = 0;
	double lag = q->tolerated_s, target_od, target_ahead;
	int ticks = 0;
	bool worth_ahead = q->miss_value > 0 && q->requests_per_s > 0, capped = false;
	struct walk_answer a = {0};

	BUG_ON(!(q->price > 0) || !(q->cost > 0) || q->min_s > q->max_s);
	target_od = (q->cost + q->miss_value) / q->price;
	target_ahead = q->cost / q->price;
	shape_walk_start(&vol, q->volatility, q->zone, q->loaded);
	shape_walk_start(&dem, q->demand, q->zone, q->loaded);
	while (t < q->max_s && !(on_demand.found && (ahead.found || !worth_ahead))) {
		double next = t + step, edge, p1, m1, stale1, dp;

		/* Do not step over a boundary at which either clock may change its pace. */
		edge = shape_walk_edge(&vol, t0_s + t) - t0_s;
		if (next > edge && edge > t && t < EDGES_S)
			next = edge;
		else
			step *= STEP_GROWTH;
		/* nor over a tick of a timetable, as long as single ticks matter */
		if (ticks < MAX_TICKS) {
			double knot = shape_walk_knot(&vol, t0_s + t) - t0_s;

			if (knot > t + 1e-6 && next > knot) {
				next = knot;
				ticks++;
			}
		}
		if (next > q->max_s)
			next = q->max_s;
		p1 = next > lag ? change_p(q->rate, shape_walk_to(&vol, t0_s + next - lag)) : 0;
		m1 = q->requests_per_s * shape_walk_to(&dem, t0_s + next);
		if (p1 >= q->p_cap) {
			/* the cap lies within this step: end there */
			double f = p1 > p ? (q->p_cap - p) / (p1 - p) : 1;

			next = t + f * (next - t);
			m1 = m + f * (m1 - m);
			p1 = q->p_cap;
			capped = true;
		}
		stale1 = stale + 0.5 * (p + p1) * (m1 - m);
		dp = p1 - p;
		advance(&on_demand, (0.5 * (m + m1) + 1) * dp, target_od, t, next, p, p1, m, m1,
		        stale, stale1);
		if (worth_ahead)
			advance(&ahead, 0.5 * (m + m1) * dp, target_ahead, t, next, p, p1, m, m1,
			        stale, stale1);
		t = next;
		p = p1;
		m = m1;
		stale = stale1;
		if (capped)
			break;
	}
	stop(&on_demand, t, p, m, stale);
	stop(&ahead, t, p, m, stale);
	pick = &on_demand;
	if (worth_ahead && ahead.requests > 0) {
		double g1 = (q->cost + q->miss_value + q->price * on_demand.stale_serves) /
		            (on_demand.requests + 1);
		double g2 = (q->cost + q->price * ahead.stale_serves) / ahead.requests;

		if (g2 < g1) {
			pick = &ahead;
			a.refresh_ahead = true;
		}
	}
	a.ttl_s = pick->ttl_s;
	a.p_stale = pick->p_stale;
	a.end = pick->found ? WALK_PLANNED : capped ? WALK_CAP : WALK_MAX;
	if (a.ttl_s < q->min_s) {
		a.ttl_s = q->min_s;
		a.end = WALK_MIN;
		shape_walk_start(&vol, q->volatility, q->zone, q->loaded);
		a.p_stale = a.ttl_s > lag
		                    ? change_p(q->rate, shape_walk_to(&vol, t0_s + a.ttl_s - lag))
		                    : 0;
	}
	return a;
}
