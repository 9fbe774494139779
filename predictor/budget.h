/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What background work may cost one origin: a token bucket of loads per second, a limit of loads in
 * flight that grows while the origin is well, shrinks when it slows down and more when it fails,
 * and a reserve for audits, without which nobody would know how stale answers are.
 *
 * User misses are never held back, only counted; background work is skipped rather than queued when
 * there is no room. A rate of 0 means no background work at all.
 */
#ifndef FORECACHED_PREDICTOR_BUDGET_H
#define FORECACHED_PREDICTOR_BUDGET_H

#include "base/instant.h"

#include <stdbool.h>
#include <stdint.h>

/* In falling order of right to the budget. */
enum budget_for { BUDGET_MISS, BUDGET_EVENT, BUDGET_REFRESH, BUDGET_PREWARM, BUDGET_AUDIT };

struct budget {
	double rate, burst, limit; /* configured: loads/s, loads, loads in flight */
	double tokens, audit_tokens;
	struct instant filled;
	double window;                /* AIMD: loads in flight that the origin bears now */
	double base_us;               /* load time when all is well: decayed minimum */
	uint32_t running, background; /* in flight; of these background */
	double used_per_s;            /* background loads per second, decayed over a minute */
	struct instant used_at;
	struct instant closed_until; /* by the breaker; the first success ends it */
	struct instant retry_at;     /* what the origin asked for stands, whatever else succeeds */
	uint32_t failures;           /* in a row */
};

void budget_init(struct budget *b, double rate, double burst, double limit, struct instant now);

/* New limits for a running budget. */
void budget_configure(struct budget *b, double rate, double burst, double limit);

/* True, and the load is counted as started, when it may start now. Misses always may. */
bool budget_start(struct budget *b, struct instant now, enum budget_for what);

/*
 * A load that budget_start let through has ended, ok or not, after `took`. retry_after: 0 unless
 * the origin asked for it; an hour is the longest that is granted.
 */
void budget_end(struct budget *b, struct instant now, enum budget_for what, bool ok,
                struct span took, struct span retry_after);

/* Background loads per second over about the last minute. */
double budget_used(const struct budget *b, struct instant now);

#endif
