/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "predictor/price.h"

#include <math.h>

static const double DAY_S = 86400;
static const double FIRST_REQUESTS = 500; /* the step size starts as if so many had been seen */
static const double DAY_PART = 0.5;       /* of a day's requests: the horizon of a step */
static const double MEMORY_LEAST = 1000;  /* requests that the measured share is taken over */
static const double AUDIT_MEMORY = 20000;

/*
 * The price does not rise while more than this share of the last so many stale serves are of keys
 * at the shortest TTL, once some have been seen.
 */
static const double BOUND_MOST = 0.95, BOUND_MEMORY = 200, BOUND_SEEN = 2;

void price_init(struct price *p, double objective)
{
	*p = (struct price){.log_price = log(PRICE_START), .day_start = INSTANT_NONE};
	price_set_objective(p, objective);
}

void price_set_objective(struct price *p, double objective)
{
	/*
	 * an objective of 0 is a wish that only change events can grant; steer to as good as none
	 */
	p->objective = fmax(objective, 1e-5);
	p->log_top = log(PRICE_TOP / p->objective);
	price_restore(p, p->log_price);
}

void price_restore(struct price *p, double log_price)
{
	p->log_price = fmin(fmax(log_price, log(PRICE_MIN)), p->log_top);
}

/* Adds to a decayed sum over about `memory` requests. */
static void remember(double *stale, double *n, double p_stale, double count, double memory)
{
	if (*n > memory) {
		*stale *= memory / *n;
		*n = memory;
	}
	*stale += count * p_stale;
	*n += count;
}

/* By what a step is scaled for how far off the last hours are: 1 near the objective. */
static double far_off(const struct price *p)
{
	double r = (p->late_stale + 1) / (p->late_count * p->objective + 1);

	return fabs(r - 1) > 1e-3 ? log(r) / (r - 1) : 1;
}

/* Would a higher price buy nothing? */
static bool is_bound(const struct price *p)
{
	return p->reached_stale > BOUND_SEEN && p->bound_stale > BOUND_MOST * p->reached_stale;
}

void price_request(struct price *p, struct instant t, double p_stale, double count,
                   enum price_reach reach)
{
	double horizon, step;

	if (!instant_is_set(p->day_start))
		p->day_start = t;
	if (span_s(instant_diff(t, p->day_start)) >= DAY_S) {
		p->day_requests =
		        p->day_requests > 0 ? 0.5 * (p->day_requests + p->day_count) : p->day_count;
		p->day_count = 0;
		p->day_start = t;
	}
	p->day_count += count;
	p->requests += count;
	horizon = FIRST_REQUESTS + p->requests;
	if (p->day_requests > 0)
		horizon = fmin(horizon, fmax(DAY_PART * p->day_requests, FIRST_REQUESTS));
	step = far_off(p) * count * (p_stale - p->objective) / p->objective / horizon;
	if (p->reached_stale > BOUND_MEMORY) {
		p->reached_stale *= 0.5;
		p->bound_stale *= 0.5;
	}
	if (reach != PRICE_IDLE) {
		p->reached_stale += count * p_stale;
		p->bound_stale += reach == PRICE_BOUND ? count * p_stale : 0;
		if (step <= 0 || !is_bound(p))
			price_restore(p, p->log_price + step);
	}
	remember(&p->stale, &p->count, p_stale, count, fmax(p->day_requests, MEMORY_LEAST));
	remember(&p->late_stale, &p->late_count, p_stale, count,
	         fmax(DAY_PART * p->day_requests, MEMORY_LEAST));
}

void price_audit(struct price *p, double weight, bool stale)
{
	if (p->audits > AUDIT_MEMORY) {
		p->audits_stale *= AUDIT_MEMORY / p->audits;
		p->audits = AUDIT_MEMORY;
	}
	p->audits += weight;
	p->audits_stale += stale ? weight : 0;
}

double price_now(const struct price *p)
{
	return exp(p->log_price);
}

struct estimate price_measured(const struct price *p)
{
	struct estimate e = {NAN, HUGE_VAL, p->count};

	if (p->count > 0) {
		e.mean = p->stale / p->count;
		/* as many stale serves as these are known to about their square root */
		e.sd = sqrt(p->stale + 1) / p->count;
	}
	return e;
}
