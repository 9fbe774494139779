/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "predictor/budget.h"

#include <math.h>

static const double AUDIT_RESERVE = 0.02;   /* share of the rate that is the audits' own */
static const double BACKGROUND_SHARE = 0.5; /* of the loads in flight, so that misses find room */

/*
 * Loads in flight: one more for each window of loads that take no longer than GOOD times the base,
 * one less for each that takes longer than BAD times; SHRINK of them are left after a failure.
 */
static const double GOOD = 1.5, BAD = 4, SHRINK = 0.7;
static const double FAST_US = 10000;   /* below this no load is slow, whatever the base */
static const double BASE_KEEP = 0.999; /* the base creeps up again when all loads are slower */

static const double USED_OVER_S = 60;
static const uint32_t BREAKER_FAILURES = 5, BREAKER_DOUBLINGS = 6;

/* An origin that asks for more is not to switch background work off for good. */
static const struct span RETRY_MAX = {3600 * 1000000LL};

void budget_init(struct budget *b, double rate, double burst, double limit, struct instant now)
{
	*b = (struct budget){
	        .rate = rate,
	        .burst = burst,
	        .limit = limit,
	        .tokens = burst,
	        .audit_tokens = 1,
	        .filled = now,
	        .window = limit,
	        .used_at = now,
	        .closed_until = INSTANT_NONE,
	        .retry_at = INSTANT_NONE,
	};
}

void budget_configure(struct budget *b, double rate, double burst, double limit)
{
	b->rate = rate;
	b->burst = burst;
	b->limit = limit;
	b->tokens = fmin(b->tokens, burst);
	b->window = fmin(fmax(b->window, 1), limit);
}

static void fill(struct budget *b, struct instant now)
{
	double s = now.us > b->filled.us ? span_s(instant_diff(now, b->filled)) : 0;

	b->tokens = fmin(b->tokens + s * b->rate, b->burst);
	b->audit_tokens = fmin(b->audit_tokens + s * b->rate * AUDIT_RESERVE,
	                       fmax(1, b->burst * AUDIT_RESERVE));
	b->filled = instant_max(b->filled, now);
}

double budget_used(const struct budget *b, struct instant now)
{
	double s = now.us > b->used_at.us ? span_s(instant_diff(now, b->used_at)) : 0;

	return b->used_per_s * exp(-s / USED_OVER_S);
}

bool budget_start(struct budget *b, struct instant now, enum budget_for what)
{
	if (what == BUDGET_MISS) {
		b->running++;
		return true;
	}
	fill(b, now);
	if (!(b->rate > 0) || now.us < b->closed_until.us || now.us < b->retry_at.us)
		return false;
	if (what == BUDGET_AUDIT && b->audit_tokens >= 1) {
		b->audit_tokens -= 1;
	} else {
		if (b->tokens < 1 || b->background + 1 > fmax(1, BACKGROUND_SHARE * b->window) ||
		    b->running + 1 > b->window)
			return false;
		b->tokens -= 1;
	}
	b->used_per_s = budget_used(b, now) + 1 / USED_OVER_S;
	b->used_at = now;
	b->running++;
	b->background++;
	return true;
}

/* 1, 2, 4, ... 64 s of rest for background work while nothing but failures comes back. */
static struct span rest(uint32_t failures)
{
	uint32_t n = failures - BREAKER_FAILURES;

	return SPAN_S(1 << (n < BREAKER_DOUBLINGS ? n : BREAKER_DOUBLINGS));
}

void budget_end(struct budget *b, struct instant now, enum budget_for what, bool ok,
                struct span took, struct span retry_after)
{
	double us = (double)took.us;

	if (b->running)
		b->running--;
	if (what != BUDGET_MISS && b->background)
		b->background--;
	if (!ok) {
		b->window = fmax(1, b->window * SHRINK);
		b->failures++;
		if (retry_after.us > 0)
			b->retry_at = instant_max(
			        b->retry_at,
			        instant_add(now, span_clip(retry_after, SPAN_ZERO, RETRY_MAX)));
		else if (b->failures >= BREAKER_FAILURES)
			b->closed_until = instant_add(now, rest(b->failures));
		return;
	}
	b->failures = 0;
	b->closed_until = INSTANT_NONE;
	b->base_us = b->base_us > 0 ? fmin(us, b->base_us / BASE_KEEP) : us;
	if (us <= GOOD * b->base_us || us < FAST_US)
		b->window = fmin(b->window + 1 / b->window, b->limit);
	else if (us > BAD * b->base_us)
		b->window = fmax(1, b->window - 1);
}
