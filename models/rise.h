/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Does the demand rise at the same time again and again? Looks through the counts per quarter of an
 * hour that demand.h keeps, by kind of day and time of day.
 *
 * HOW IT WORKS on each day of the kind the quarter is put beside the two before it. The rise held there
 * when it has at least twice their mean, and more than chance would give: the difference is above three
 * standard deviations of two Poisson counts. Of neighbouring quarters the one with the steepest rise
 * counts. A day with too little traffic to tell counts as one on which it did not hold.
 */
#ifndef FORECACHED_MODELS_RISE_H
#define FORECACHED_MODELS_RISE_H

#include "models/demand.h"

#include <stdbool.h>
#include <stddef.h>

struct rise {
	int kind; /* enum zone_day_kind: weekday, Saturday or Sunday */
	int slot; /* quarter of the local day at whose start it rises */
	double days, held;
	double factor; /* count over the mean of the two quarters before, all days together */
};

/* Whether a count of `after` beside a mean of `before` is a rise. */
bool rise_held(double before, double after);

/*
 * The rises that held on at least least_days days and on at least `share` of their kind's, the surest
 * first. Returns how many, at most max.
 */
size_t rise_find(const struct demand *d, const struct zone *z, double least_days, double share,
                 struct rise *ret, size_t max);

#endif
