/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What looks have said of the change rate of a key, by itself: nothing of other keys, nothing of what
 * was believed at the time. From it and a prior comes the posterior (pool.h), again whenever the prior
 * has become a better one.
 *
 * HOW IT WORKS "unchanged over tau" has the likelihood exp(-rate tau), so the sum of all tau says it
 * all. "Changed over tau" has 1 - exp(-rate tau), which rises up to a rate of about 1 / tau and is
 * flat beyond: a value that was replaced between two looks an hour apart may change every second. No
 * two numbers keep that. So these looks are counted by the logarithm of tau, at LOOKS_BINS lengths e^(i
 * LOOKS_STEP) s; one between two of them counts for both, for the nearer one more. A change whose
 * instant is known is one at the shortest length.
 *
 * INVARIANTS all >= 0 and finite.
 */
#ifndef FORECACHED_MODELS_LOOKS_H
#define FORECACHED_MODELS_LOOKS_H

#define LOOKS_BINS 8
#define LOOKS_STEP 1.75 /* of the logarithm of the length: from 1 s to 58 h */

struct looks {
	float quiet_s;             /* seconds watched in which nothing changed */
	float changed[LOOKS_BINS]; /* looks that found a change, by their length */
};

/* Two looks tau > 0 apart saw the same value. */
void looks_unchanged(struct looks *l, double tau);

/* Two looks tau > 0 apart saw different values: one change or more. */
void looks_changed(struct looks *l, double tau);

/* A complete account: n >= 0 changes over tau >= 0 seconds. */
void looks_count(struct looks *l, double n, double tau);

/* Forgets: all of it is weighted with 0 <= keep <= 1 (power prior). */
void looks_forget(struct looks *l, double keep);

/* As if nothing were known but that about n > 0 changes came at this rate > 0. */
void looks_restart(struct looks *l, double n, double rate);

#endif
