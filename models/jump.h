/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Has the request rate of an endpoint jumped? What no schedule and no forecast could foresee, found
 * within seconds: a cumulative sum (CUSUM; Page, 1954) on counts of one second.
 *
 * HOW IT WORKS each second adds the logarithm of how much likelier its count is at JUMP_RATIO times
 * the rate that was expected than at that rate; the sum never falls below 0. The expected rate is
 * the higher of the forecast and the rate of the last ten minutes. Requests come in clumps, so
 * counts are taken to be negative-binomial, with a variance of `spread` times their mean. The spread
 * is learned: the largest of those of counts of 1, 10 and 60 seconds, since a clump (somebody
 * installs forty packages) may take a while. Seconds without requests are worked off all at once
 * when the next request comes.
 *
 * What fills the sum at less than twice the expected rate is a rise that forecasts follow: the sum
 * begins anew, so that a jump in the midst of it is not lost in its mean.
 *
 * While all is as expected an alarm at threshold h comes less than once in e^h seconds (Wald): once
 * in 5 weeks at JUMP_THRESHOLD. What is short-lived is no rate, and the threshold learns what
 * it comes to: an alarm after which the next five minutes are not even twice as busy as expected was
 * false. It raises the threshold above what the sum has come to in that burst, so that one that comes
 * each day at the same time makes one alarm; time lowers it again.
 * After an alarm the endpoint is left alone for ten minutes, in which its new rate becomes the
 * expected one.
 *
 * INVARIANTS sum >= 0, spreads >= 1. The first ten minutes of an endpoint raise no alarm.
 */
#ifndef FORECACHED_MODELS_JUMP_H
#define FORECACHED_MODELS_JUMP_H

#include "base/instant.h"

#include <stdbool.h>
#include <stdint.h>

#define JUMP_RATIO     4.0 /* of rates: up to twice the rate is for forecasts to follow */
#define JUMP_THRESHOLD 15.0
#define JUMP_SCALES    3

struct jump {
	int64_t second;   /* of the count that runs; INT64_MIN: none yet */
	int64_t quiet_to; /* no alarm before this second; the last one was ten minutes before it */
	bool known;       /* the rate: the first ten minutes are over */
	float sum;
	float count;          /* in that second so far */
	float recent;         /* requests per second, of the last ten minutes */
	float forecast;       /* requests per second; 0: none */
	float since, since_n; /* seconds and requests since the sum was last 0 */
	float threshold;
	float found_per_s; /* of the last jump: requests per second since it began, */
	float before;      /* and what had been expected; 0: judged, or none */
	float after;       /* requests since */
	float burst, burst_most; /* the sum beside what had been expected then: now, and at its most */
	struct {
		float count, due; /* in the block that runs: requests, and how many were expected */
		float spread;     /* variance of a block's count, in means */
	} scale[JUMP_SCALES];
};

void jump_init(struct jump *j);

/* From now on so many requests per second are forecast. */
void jump_expect(struct jump *j, double per_s);

/*
 * n requests at t; late ones count as of the latest second. True: a jump; found_per_s is the rate
 * since it began.
 */
bool jump_count(struct jump *j, struct instant t, double n);

#endif
