/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Something that wanders around 0 and is looked at now and then: a first-order autoregressive process, and
 * of the Kalman filter for it the step that lets time pass.
 */
#ifndef FORECACHED_MODELS_WANDER_H
#define FORECACHED_MODELS_WANDER_H

#include <math.h>

/*
 * What looks still say, beyond `usual`, when the share keep (0 .. 1) of it is left. Both are information,
 * inverse variances: usual > 0 is how far it strays when nobody looks, info >= 0 comes on top.
 */
static inline double wander_info(double info, double usual, double keep)
{
	double variance = keep * keep / (usual + info) + (1 - keep * keep) / usual;

	return fmax(1 / variance - usual, 0);
}

#endif
