/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The yardsticks: the best that fixed rules could have done, chosen in hindsight on the scored
 * part, and what no cache that loads on demand can go below.
 *
 * HOW IT WORKS a longer TTL means fewer loads and more stale answers, so the longest TTL that keeps
 * the objective is found by bisection on a log scale. Loads are instant while searching.
 */
#ifndef FORECACHED_SIM_BASELINE_H
#define FORECACHED_SIM_BASELINE_H

#include "sim/fixed.h"
#include "sim/score.h"

/* An endpoint that has fewer scored requests gets no TTL of its own: one stale answer more or less
 * would decide it. */
#define BASELINE_MIN_REQUESTS 100

/*
 * The longest single TTL in seconds that keeps max_stale; the shortest that was tried if none does.
 */
double baseline_static(const struct lanes *l, struct instant from, double max_stale);

/* The same for one endpoint by itself; NAN when it has too few scored requests. */
double baseline_endpoint(const struct lanes *l, uint32_t endpoint, struct instant from,
                         double max_stale);

/* The largest factor that keeps max_stale with TTL = factor x age at load. */
double baseline_alex(const struct lanes *l, struct instant from, double max_stale);

/*
 * The clairvoyant frontier: every version that is asked for must be loaded once, except that the
 * versions with the fewest requests may be skipped, those requests getting an older one, as long as
 * max_stale is kept. endpoint UINT32_MAX: of all endpoints together. Loads count as demand.
 */
struct figures baseline_bound(const struct lanes *l, uint32_t endpoint, struct instant from,
                              double max_stale);

#endif
