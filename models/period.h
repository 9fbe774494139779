/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Does a series of counts repeat with some period that is neither the day nor the week? A job that
 * runs each 20 minutes, a report each 4 hours.
 *
 * HOW IT WORKS the logarithms of the counts, less what the time of day explains, are freed of their
 * persistence (each less its correlation times the one before, which makes noise white) and
 * transformed (FFT). If the largest peak of the periodogram holds more of the whole than chance gives
 * it one time in a hundred (Fisher's g-test), its period is looked for on the autocorrelation nearby:
 * only a hill of that is a period, and its top says how long it is more exactly than a frequency
 * does (AUTOPERIOD; Vlachos, Yu and Castelli, SDM 2005). The peak may be a harmonic, so multiples of
 * its period are tried, too. Periods of two hours and more that go into a day are the profile's.
 */
#ifndef FORECACHED_MODELS_PERIOD_H
#define FORECACHED_MODELS_PERIOD_H

#include <stddef.h>

/*
 * The period of n counts (negative: missing) in steps, 0 when there is none: from 2 steps to a
 * quarter of the series. per_day: steps in a day. 0 too with less than three days. About 1 ms for
 * 2,000 counts.
 */
double period_find(const float *count, size_t n, size_t per_day);

#endif
