/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Do the keys of an endpoint, all together, change more or less than usual at present? On a holiday a
 * feed stands still, after a deployment it is a hundred times as busy: that is no news about each key.
 *
 * HOW IT WORKS a Kalman filter of the logarithm of a common factor. Left alone that goes back to 0, half
 * of the way in two hours (a first-order autoregressive process); each look at any of the keys is an
 * observation of a Poisson count, of which it tells whether it was 0 (score and information as in
 * shape.h). So small steps lead to another factor altogether late; where looks at all keys, taken together,
 * are evidence of that as looks at one key are of another rate (surprise.h), it leaps. Hours differ, by a
 * factor of two or so, and so much is left to what else is known of the endpoint: only what goes beyond
 * is spoken of.
 *
 * It serves twice. Predictions are made with the factor. And what is learned of a key, and of the shape of
 * the week, is learned of a usual hour: while nothing changes anywhere, that a value did not change either
 * says little about its key, and about this hour next week. Not so for what lasts: the mean of the factor over
 * the last days is the keys' own affair, or a feed that is busier from now on would be a surprise for ever;
 * and what surprises many of the keys, each beyond doubt, is another regime of all of them (surprise.h): then
 * there is so much less left to explain (activity_explain).
 *
 * INVARIANTS finite; log is between -ACTIVITY_MAX and ACTIVITY_MAX. Begins with activity_init.
 */
#ifndef FORECACHED_MODELS_ACTIVITY_H
#define FORECACHED_MODELS_ACTIVITY_H

#include "base/instant.h"
#include "models/change.h"
#include "models/surprise.h"

#include <stdbool.h>

#define ACTIVITY_MAX 5.0 /* a factor of 148 */

struct activity {
	double log;         /* of the factor */
	double info;        /* what looks of late say of it, beyond what is usual */
	double sum, weight; /* of what was spoken of in the last days, by changes expected */
	struct instant at;  /* the latest that is known */
	struct surprise surprise; /* is the factor another one altogether? */
};

void activity_init(struct activity *a);

/* Time passes, to t; an earlier t is late news and changes nothing. */
void activity_fade(struct activity *a, struct instant t);

/* A key whose rate is c, in usual hours, had changed within tau operational seconds, or not. */
void activity_learn(struct activity *a, struct change c, double tau, bool changed);

/* The logarithm of the factor, as far as it goes beyond what hours differ by. */
double activity_log(const struct activity *a);

/* How many usual seconds a second of now is, to those who learn what is usual: > 0. */
double activity_seconds(const struct activity *a);

/* All keys are known to change `factor` times as often from now on: so much less is left to explain. */
void activity_explain(struct activity *a, double factor);

#endif
