/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The freshness control of one class of endpoints: which price of a stale serve, in loads, keeps
 * the share of stale serves at the objective?
 *
 * HOW IT WORKS for every request the predicted probability that it was answered stale is added up,
 * multiplied by how much predictions have been off lately (audits and loads tell: endpoint.h). The
 * logarithm of the price moves with (predicted - objective) / objective, so at rest the two agree
 * on average; half a day's requests off by their half move it by a half, so that it does not
 * swing with the hours, which would buy freshness where it is dear. Steps are not clipped: a clip on
 * one side would let rare large errors on the other side drag the price away. But far from the
 * objective (by a factor of r over the last hours) steps are scaled by log(r) / (r - 1), for both
 * signs alike: ten times too stale and ten times too fresh are equally far off.
 *
 * When all but a little of what is stale is so because no TTL may be shorter, a higher price would
 * buy nothing, only take long to come down: then it does not rise.
 *
 * INVARIANTS the price stays between PRICE_MIN and PRICE_TOP / objective. At the optimum the price
 * of all stale serves is less than the loads, and these are at most about one a request: a price
 * above 1 / objective is one that no TTL can follow (min_ttl, or the app's own), and winding it up
 * further would only take the longer to come down.
 */
#ifndef FORECACHED_PREDICTOR_PRICE_H
#define FORECACHED_PREDICTOR_PRICE_H

#include "base/estimate.h"
#include "base/instant.h"

#include <stdbool.h>
#include <stdint.h>

#define PRICE_START 5.0 /* between the prices of a 1 % and a 5 % objective on most traffic */
#define PRICE_MIN   0.01
#define PRICE_TOP   10.0

struct price {
	double log_price;
	double objective;         /* share of requests, > 0 */
	double log_top;           /* the most that log_price may be for it */
	double requests;          /* in all */
	double day_requests;      /* about a day's worth, decayed */
	struct instant day_start; /* of the day being counted */
	double day_count;
	/* predicted (calibrated) stale serves and requests, decayed over a day */
	double stale, count;
	double late_stale, late_count; /* the same over half a day */
	/* predicted stale serves of late that it reached, and of these those at the shortest TTL */
	double reached_stale, bound_stale;
	double audits, audits_stale; /* weighted, decayed over many; for the record only */
};

void price_init(struct price *p, double objective);
void price_set_objective(struct price *p, double objective);

/* Takes the logarithm (finite) of a price back that was kept, within the bounds of today's. */
void price_restore(struct price *p, double log_price);

/* What the price has to do with an answer. */
enum price_reach {
	PRICE_REACHES, /* it set the TTL */
	PRICE_BOUND,   /* it would have, but no TTL may be shorter */
	PRICE_IDLE,    /* it did not: the app's own TTL, or a static one */
};

/*
 * A request at t was answered with a value that was stale with probability p_stale (calibrated). It
 * counts in what is measured; an answer that the price has nothing to do with does not move it.
 */
void price_request(struct price *p, struct instant t, double p_stale, double count,
                   enum price_reach reach);

/* An audit found the served value replaced or not; weight as in endpoint_audit. */
void price_audit(struct price *p, double weight, bool stale);

double price_now(const struct price *p);

/*
 * Stale serves per request, as predicted and calibrated, over about the last day. Without a
 * request: mean NAN, sd HUGE_VAL.
 */
struct estimate price_measured(const struct price *p);

#endif
