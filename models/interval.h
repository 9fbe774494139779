/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The interval around a forecast of a count that holds 80 % of what comes, whatever the model gets
 * wrong: its ends are moved by what fell outside them (adaptive conformal inference; Gibbs and
 * Candes, NeurIPS 2021), so that in the long run a tenth lies below and a tenth above.
 *
 * HOW IT WORKS on the scale of square roots, on which a count scatters alike at all levels. After
 * each count both ends move by a share of the mean absolute error: outwards by nine parts when the
 * count was beyond, inwards by one when it was not.
 *
 * INVARIANTS 0 <= lo <= the forecast <= hi.
 */
#ifndef FORECACHED_MODELS_INTERVAL_H
#define FORECACHED_MODELS_INTERVAL_H

struct interval {
	float below, above; /* offsets of the ends from the forecast, as square roots */
	float abs_error;    /* mean, as square roots */
	float n;            /* counts behind it */
};

#define INTERVAL_GAIN 0.02 /* after 50 counts an end has moved by a mean error: Gibbs and Candes */

void interval_init(struct interval *v);

/* The ends around a forecast count m >= 0. */
void interval_at(const struct interval *v, double m, double *ret_lo, double *ret_hi);

/* A count came of which m had been forecast, with these ends. */
void interval_learn(struct interval *v, double m, double lo, double hi, double count, double gain);

#endif
