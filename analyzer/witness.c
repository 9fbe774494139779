/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "analyzer/witness.h"

static const double MOST_FAULTS = 0.05, MEMORY = 200;

void witness_look(struct witness *w, bool changed, bool told, bool possible)
{
	if (w->changed > MEMORY || w->told > MEMORY) {
		w->changed *= 0.5;
		w->missed *= 0.5;
		w->told *= 0.5;
		w->wrong *= 0.5;
	}
	w->changed += changed;
	w->missed += changed && !(told && possible);
	w->told += told;
	w->wrong += told && !changed;
}

bool witness_believed(const struct witness *w)
{
	return w->missed + 1 < MOST_FAULTS * (w->changed + 2) &&
	       w->wrong + 1 < MOST_FAULTS * (w->told + 2);
}

bool witness_conceals(const struct witness *w)
{
	return w->missed >= 2 && w->missed > MOST_FAULTS * w->changed;
}
