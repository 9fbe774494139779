/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Values that are written on a timetable: every minute, every five, every hour. Looks at a key tell
 * whether it changed within an interval; when changes keep to a phase of some period, intervals
 * that hold that phase show changes and others do not.
 *
 * HOW IT WORKS for each of a few periods a profile over its phase is learned in the same way as the
 * shape of the week (shape.h), and how much better it predicts than no timetable is added up, each
 * look predicted before it is learned from. The period that predicts best, if it does so clearly,
 * becomes the timetable: its profile multiplies the shape, so the operational clock jumps at the
 * tick and stands still between ticks. A TTL then ends right after the next tick, with no special
 * case.
 *
 * Looks are collected, and learned from TIMETABLE_BATCH at a time: one by one, those of many
 * endpoints would drive each other's profiles out of the processor's cache.
 *
 * Phases count from midnight, local time.
 */
#ifndef FORECACHED_MODELS_TIMETABLE_H
#define FORECACHED_MODELS_TIMETABLE_H

#include <stdbool.h>

#define TIMETABLE_PERIODS 6
#define TIMETABLE_BINS    60

#define TIMETABLE_BATCH 200

struct timetable_profile {
	float theta[TIMETABLE_BINS], info[TIMETABLE_BINS];
	/* seconds of the profile's clock from phase 0; cum[last] = period */
	double cum[TIMETABLE_BINS + 1];
	double gain; /* log-likelihood over none, decayed */
};

/* A look: changed or not within `length` seconds from local second `from` on. */
struct timetable_look {
	double from;
	float length;
	float flat_mass; /* changes that were expected without any timetable; < 0: it found one */
};

struct timetable {
	int chosen;       /* index of the period in force; -1: none */
	unsigned pending; /* looks not yet learned from */
	struct timetable_look look[TIMETABLE_BATCH];
	struct timetable_profile profile[TIMETABLE_PERIODS];
};

void timetable_init(struct timetable *t);

/* Seconds of the chosen period, 0 when there is none. */
double timetable_period(const struct timetable *t);

/*
 * The chosen profile's clock at a local second; differences of it are what counts. s without one.
 */
double timetable_clock(const struct timetable *t, double local_s);

/*
 * Learns from a look: changed or not between local seconds a and b (b > a), when `flat_mass`
 * changes were expected without any timetable. True when the period or the profile in force has
 * changed.
 */
bool timetable_learn(struct timetable *t, double a, double b, double flat_mass, bool changed);

/* Puts a profile kept from an earlier run in force. False when there is no such period. */
bool timetable_restore(struct timetable *t, double period, const double theta[TIMETABLE_BINS]);

#endif
