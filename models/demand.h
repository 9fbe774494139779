/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How many requests will an endpoint get, and when? Counts of its requests teach two things: the
 * demand clock, and forecasts.
 *
 * HOW IT WORKS
 *  - The demand clock (shape.h), on which keys have constant rates: each quarter of an hour that
 *    ends enters a profile of mean counts: time of day and kind of day, shrunk to time of day,
 *    shrunk to the mean. A robust harmonic regression (harmonic.h), fitted now and then on the
 *    history, is a second opinion; the two are combined by their recent errors.
 *  - Forecasts, from counts of five minutes: an endpoint that has shown some traffic has experts of
 *    its own (ensemble.h); the others, and those for which there is no room, live on what all such
 *    endpoints share (tail.h).
 *  - What nobody could foresee is found within seconds (jump.h).
 * Days are local: the hour that is not there when clocks are put forward is missing, not empty. The
 * five minutes begin at the endpoint's first request: thousands of endpoints do not all have to be
 * looked at in the same moment.
 *
 * INVARIANTS time does not go back: counts of the past (late events) go to what runs now.
 * OWNERSHIP demand_init allocates nothing; what an endpoint of its own model needs, about 60 KiB, is
 * allocated once there is enough to keep and room in the pool. The pool outlives the endpoints.
 */
#ifndef FORECACHED_MODELS_DEMAND_H
#define FORECACHED_MODELS_DEMAND_H

#include "base/instant.h"
#include "base/zone.h"
#include "models/ensemble.h"
#include "models/harmonic.h"
#include "models/jump.h"
#include "models/shape.h"
#include "models/tail.h"

#include <stdbool.h>
#include <stdint.h>

#define DEMAND_DAYS 28
#define DEMAND_BINS (DEMAND_DAYS * SHAPE_BINS)

/* What the endpoints of an engine share. */
struct demand_pool {
	struct tail_pool tail;
	uint32_t models, max_models; /* endpoints with a model of their own: are, may be */
};

void demand_pool_init(struct demand_pool *pool, uint32_t max_models);

enum demand_expert { EXPERT_PROFILE, EXPERT_HARMONIC, EXPERTS };

struct demand_profile; /* sums per bin and kind of day */

struct demand {
	struct demand_pool *pool;       /* NULL: alone */
	struct shape *shape;            /* NULL while flat */
	struct demand_profile *profile; /* NULL: without a model of its own, like the next two */
	float *history;                 /* ring of DEMAND_BINS counts; < 0: missing */
	struct ensemble *ensemble;
	/* local quarter hours since 1970 of the current bin; INT64_MIN: none yet */
	int64_t bin;
	struct instant latest;  /* request, or end of what has been worked off */
	struct instant settled; /* nothing ends before this instant */
	struct instant bucket;  /* start of the five minutes that run */
	int64_t first_bin;      /* of all */
	double count;           /* in the current bin so far */
	double bucket_count;    /* in the five minutes that run */
	double mean;            /* requests per bin, decayed over days */
	double mean_n;          /* bins behind it */
	double error[EXPERTS];  /* of the clock: mean squared errors of log counts, decayed */
	double error_n;
	double requests; /* in all */
	struct tail tail;
	struct jump jump;
};

void demand_init(struct demand *d);
void demand_release(struct demand *d);

/*
 * n >= 0 requests at t. Closes what has ended before t. True when they have just jumped beyond what
 * was to be foreseen.
 */
bool demand_count(struct demand *d, const struct zone *z, struct instant t, double n);

/* What was to be done: the cost in microseconds is about 0.1, 0.5, 8, and 100 to 200. */
enum demand_work {
	DEMAND_UNCHANGED, /* nothing has ended */
	DEMAND_TAIL,      /* five minutes, without a model of its own */
	DEMAND_MODEL,     /* five minutes, with one */
	DEMAND_CLOCK,     /* and an hour: the demand clock is compiled anew */
};

/* Closes what has ended by now; call it each minute or so, that silence is seen, too. */
enum demand_work demand_settle(struct demand *d, const struct zone *z, struct instant now);

struct demand_forecast {
	double per_s; /* mean requests per second */
	/* of five minutes: half of what may come lies below the median, 80 % within the interval */
	double median_per_s, lo80_per_s, hi80_per_s;
};

/* What is expected at t, now or later. All 0 without data. */
struct demand_forecast demand_at(const struct demand *d, const struct zone *z, struct instant t);

/* The mean of that. */
double demand_rate(const struct demand *d, const struct zone *z, struct instant t);

/*
 * Mean absolute error of the forecasts made 30 minutes ahead, over that of another way to forecast:
 * EXPERT_YESTERDAY (then this is the MASE), EXPERT_LAST, EXPERT_EWMA or another. NAN before the
 * first comparison, and without a model of its own.
 */
double demand_error(const struct demand *d, enum ensemble_expert beside);

/* Mean requests per second of late, for a choice of who deserves a model. */
double demand_weight(const struct demand *d);

/* Memory that one takes. */
size_t demand_model_bytes(void);

/* Gives the endpoint a model of its own, or takes it away; what was learned with it is lost. */
void demand_give_model(struct demand *d);
void demand_take_model(struct demand *d);

/*
 * The history as input for harmonic_fit, oldest first; NULL with less than two days. The caller
 * frees.
 */
struct harmonic_data *demand_data(const struct demand *d);

/* Requests in that local quarter hour since 1970; < 0: not known, not over, or before the history. */
double demand_past(const struct demand *d, int64_t bin);

/* Takes a fitted model over. */
void demand_set_harmonic(struct demand *d, const struct harmonic *h);

/* The period that was found beside day and week, in seconds; 0: none. */
double demand_period_s(const struct demand *d);

/* The harmonic model; not valid before one was fitted. */
const struct harmonic *demand_harmonic(const struct demand *d);

/* The profile as flat numbers, to keep and to bring back: per kind and bin the sum and the days. */
#define DEMAND_STATE (ZONE_DAY_KINDS * SHAPE_BINS)
bool demand_state(const struct demand *d, double sum[DEMAND_STATE], double days[DEMAND_STATE]);
void demand_restore(struct demand *d, const double sum[DEMAND_STATE],
                    const double days[DEMAND_STATE], double mean, double mean_n);

/* The same of the forecasts; false: no model of its own, or (restore) not made by it. */
bool demand_forecast_state(const struct demand *d, double ret[ENSEMBLE_STATE]);
bool demand_forecast_restore(struct demand *d, const double v[ENSEMBLE_STATE]);

#endif
