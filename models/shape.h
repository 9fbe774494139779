/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The shape of a week: a positive factor for each quarter of an hour of a weekday, a Saturday, a
 * Sunday or holiday, and a half day, in local time. Its integral is a clock that runs fast when
 * much happens: operational time. A rate that is constant on that clock has the shape's rhythm on
 * the wall.
 *
 * HOW IT WORKS the factor of a bin is exp(theta). What was learned of a bin arrives as a score
 * (slope of the log-likelihood in theta) and an information (its curvature); every SHAPE_BATCH
 * observations one damped Fisher step moves theta, held back towards the neighbouring bins and
 * towards 0 (flat).
 *
 * Days differ: a holiday that no calendar tells of is silent where any other weekday is loud. What one
 * day shows moves a bin only so far, the less the more days it has been seen on; so the day after
 * is not mistaken for another holiday. Half days are rare: theirs is the weekday's shape until they
 * have shown something else.
 *
 * Within the hour a timetable (timetable.h) may say that changes keep to certain seconds; its
 * profile, with mean 1, multiplies the factors. The tick at a boundary, where a session may end or
 * begin, has the larger of the two factors: the last prices of a day are written at its very end, and
 * were they not expected, the ones before would be shown all night.
 *
 * INVARIANTS what is learned of one hour never moves another. So the clock's unit is its own: rates
 * are per operational second, `pace` of which pass in a second on average. (Holding the mean at 1
 * instead would shift all other hours whenever one is found to be busy, and with it every rate that
 * was learned in them.)
 */
#ifndef FORECACHED_MODELS_SHAPE_H
#define FORECACHED_MODELS_SHAPE_H

#include "base/instant.h"
#include "base/zone.h"
#include "models/timetable.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHAPE_BINS  96
#define SHAPE_BIN_S 900.0
#define SHAPE_DAY_S 86400.0
#define SHAPE_BATCH 100

/*
 * Information (about: changes that could have gone either way) that a bin remembers. A quiet night
 * must not be forgotten because a busy day has taught its own bins much.
 */
#define SHAPE_MEMORY 30.0

/* What is learned of a bin, beside theta. */
struct shape_bin {
	float score; /* since the last step */
	float news;  /* information since the last step */
	float info;  /* remembered, up to SHAPE_MEMORY */
	/* what one day may do to it: "Days differ" above */
	float before;  /* theta when the day began to tell of it */
	int32_t day;   /* local days since 1970 */
	uint32_t seen; /* days that have told of it, this one included */
};

struct shape {
	double pace;      /* operational seconds a second, over a plain week */
	unsigned pending; /* observations since the last step */
	unsigned steps;
	double edge_clock; /* of the timetable's clock, those of the ticks below; 0: there are none */
	struct timetable timetable; /* ticks within the hour that changes keep to, if any */
	/* cum[k][i]: operational seconds from midnight to the start of bin i of a day of kind k */
	double cum[ZONE_DAY_KINDS][SHAPE_BINS + 1];
	float theta[ZONE_DAY_KINDS][SHAPE_BINS];
	/* of the ticks just after each boundary, "Within the hour" above: operational seconds */
	float edge[ZONE_DAY_KINDS][SHAPE_BINS];
	struct shape_bin bin[ZONE_DAY_KINDS][SHAPE_BINS];
};

/* Flat. */
void shape_init(struct shape *s);

/* Sets all factors (each > 0, any scale), e.g. from a fitted profile, and the pace to 1. */
void shape_set(struct shape *s, const double factor[ZONE_DAY_KINDS][SHAPE_BINS]);

#define SHAPE_STATE (ZONE_DAY_KINDS * SHAPE_BINS)

/*
 * What to keep of a shape over a restart, bin by bin: logarithms of the factors, the information
 * behind them, and the days that have told of them.
 */
void shape_state(const struct shape *s, double theta[SHAPE_STATE], double info[SHAPE_STATE],
                 double days[SHAPE_STATE]);

/*
 * Takes it back, the pace included. Without its information a bin counts as never looked at, and would
 * drift to the mean of its neighbours: info and days may be NULL, for what was kept without them; then
 * all bins count as looked at for some days.
 */
void shape_restore(struct shape *s, const double theta[SHAPE_STATE], const double *info,
                   const double *days);

/*
 * What the last two days have told of, in which looks that are still to come may lie: that a restart
 * makes no two days of one. The latest day, then for each such bin its number, how many days before
 * that it was, and how far the bin has moved since that day began to tell of it. Returns how many
 * numbers: one and a multiple of SHAPE_LAST; 0 when nothing has been told.
 */
#define SHAPE_LAST       3
#define SHAPE_LAST_STATE (1 + SHAPE_LAST * 2 * SHAPE_BINS)
size_t shape_last(const struct shape *s, double ret[SHAPE_LAST_STATE]);

/* Takes it back after shape_restore. False, and nothing done, when these are no such numbers. */
bool shape_restore_last(struct shape *s, const double *v, size_t n);

/* The factor at t. A NULL shape is flat. */
double shape_at(const struct shape *s, const struct zone *z, struct instant t);

/* The pace; 1 for a NULL shape. */
double shape_pace(const struct shape *s);

/* Operational seconds from a to b; 0 when b is not after a. A NULL shape is flat. */
double shape_mass(const struct shape *s, const struct zone *z, struct instant a, struct instant b);

/* The same, of a look that will be learned from: asks memory for what shape_learn is about to touch. */
double shape_mass_to_learn(const struct shape *s, const struct zone *z, struct instant a,
                           struct instant b);

/*
 * Walks forward from one instant and says how much operational time has passed. Cheap: a table
 * look-up a step, and a zone look-up a day.
 */
struct shape_walk {
	const struct shape *shape;
	const struct zone *zone;
	/* operational seconds up to the start of this stretch, less its cum there */
	double passed;
	double start_s;    /* instants in seconds: this stretch (same day, same offset) ... */
	double end_s;      /* ... ends here */
	double midnight_s; /* instant of the local midnight before it, at its offset */
	int32_t day;       /* local days since 1970 */
	int kind;
};

void shape_walk_start(struct shape_walk *w, const struct shape *s, const struct zone *z,
                      struct instant t);

/* The same as shape_walk_start for less, where another has just started at t in the same zone. */
void shape_walk_with(struct shape_walk *w, const struct shape *s, const struct zone *z,
                     struct instant t, const struct shape_walk *other);

/*
 * Operational seconds from the start to t_s (seconds since 1970), which must not lie before the
 * stretch that the walk has come to.
 */
double shape_walk_to(struct shape_walk *w, double t_s);

/*
 * Operational seconds a second just after t_s, of which the same holds, and up to when that is so: to
 * the end of the bin or of the stretch. Up to t_s itself where the timetable has a say.
 */
double shape_walk_pace(struct shape_walk *w, double t_s, double *ret_until_s);

/* The next boundary between bins after t_s, where the factor may change; not for flat ones. */
double shape_walk_edge(const struct shape_walk *w, double t_s);

/*
 * Learns from one look at a key that changes at `rate` per operational second: its value had
 * changed or not between a and b, which is tau (shape_mass) later. Fisher scoring of the
 * complementary log-log likelihood; Fahrmeir and Tutz, Multivariate Statistical Modelling, 2.2.
 * Intervals beyond a day say little about hours and are ignored.
 */
void shape_learn(struct shape *s, const struct zone *z, struct instant a, struct instant b,
                 double tau, double rate, bool changed);

#endif
