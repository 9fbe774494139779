/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How many requests will an endpoint get, and when? Counts per quarter of an hour teach a profile
 * of the week; a robust harmonic regression (harmonic.h), fitted now and then on the history, is a
 * second opinion; the two are combined by their recent errors, and the recent level corrects both.
 *
 * HOW IT WORKS each quarter of an hour that ends is compared with what each expert had said, then
 * enters the profile: time of day and kind of day, shrunk to time of day, shrunk to the mean. The
 * combination is compiled into a shape (shape.h): the demand clock on which keys have constant
 * rates. Days are local: the hour that is not there when clocks are put forward is missing, not
 * empty.
 *
 * INVARIANTS time does not go back: counts of the past (late events) go to the current quarter.
 * OWNERSHIP demand_init allocates nothing; the history is allocated once there is enough to keep.
 */
#ifndef FORECACHED_MODELS_DEMAND_H
#define FORECACHED_MODELS_DEMAND_H

#include "base/instant.h"
#include "base/zone.h"
#include "models/harmonic.h"
#include "models/shape.h"

#include <stdbool.h>
#include <stdint.h>

#define DEMAND_DAYS 28
#define DEMAND_BINS (DEMAND_DAYS * SHAPE_BINS)

enum demand_expert { EXPERT_PROFILE, EXPERT_HARMONIC, EXPERTS };

struct demand_profile; /* sums per bin and kind of day */

struct demand {
	struct shape *shape;            /* NULL while flat */
	struct demand_profile *profile; /* NULL until there is traffic */
	float *history;                 /* ring of DEMAND_BINS counts; < 0: missing */
	struct harmonic harmonic;
	/* local quarter hours since 1970 of the current bin; INT64_MIN: none yet */
	int64_t bin;
	struct instant latest; /* request */
	int64_t first_bin;     /* of all */
	double count;          /* in the current bin so far */
	double mean;           /* requests per bin, decayed over days */
	double mean_n;         /* bins behind it */
	double level;          /* log of recent counts over forecast; 0.61 of what stays as it is */
	double error[EXPERTS]; /* mean squared error of log counts, decayed over days */
	double error_n;
	double spread;                 /* the same, of the combination: for the interval */
	double abs_error, naive_error; /* mean absolute errors: combination, same time yesterday */
	double requests;               /* in all */
};

void demand_init(struct demand *d);
void demand_release(struct demand *d);

/* n >= 0 requests at t. Closes the quarters that have ended before t. */
void demand_count(struct demand *d, const struct zone *z, struct instant t, double n);

/* Requests per second expected at t (now or later), the recent level included. 0 without data. */
double demand_rate(const struct demand *d, const struct zone *z, struct instant t);

/*
 * Factor by which the count at t may differ: 80 % lie within rate / f .. rate * f. 1 without data.
 */
double demand_spread80(const struct demand *d);

/* Mean absolute scaled error against "same time yesterday"; NAN before the first comparison. */
double demand_mase(const struct demand *d);

/*
 * The history as input for harmonic_fit, oldest first; NULL with less than two days. The caller
 * frees.
 */
struct harmonic_data *demand_data(const struct demand *d);

/* Requests in that local quarter hour since 1970; < 0: not known, not over, or before the history. */
double demand_past(const struct demand *d, int64_t bin);

/* Takes a fitted model over. */
void demand_set_harmonic(struct demand *d, const struct harmonic *h);

/* The profile as flat numbers, to keep and to bring back: per kind and bin the sum and the days. */
#define DEMAND_STATE (ZONE_DAY_KINDS * SHAPE_BINS)
bool demand_state(const struct demand *d, double sum[DEMAND_STATE], double days[DEMAND_STATE]);
void demand_restore(struct demand *d, const double sum[DEMAND_STATE],
                    const double days[DEMAND_STATE], double mean, double mean_n);

#endif
