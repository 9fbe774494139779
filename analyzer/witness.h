/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An origin that says when or how often its values change (Last-Modified, a version that counts):
 * may it be believed? What it says is exact where a comparison of two reads only knows "changed or
 * not", and wrong on many servers: times of a deployment, of the answer, of another zone.
 *
 * HOW IT WORKS every look that could be compared is put beside what the origin said of it. Two
 * shares count, both with one doubt added: changes that it did not tell, and changes that it told
 * and that were none. It is believed while both are below 5 %, which takes 19 changes without a
 * fault at least.
 *
 * INVARIANTS counts are finite and decay, so that an origin that begins to lie is found out within
 * a dozen changes however long it was honest.
 */
#ifndef FORECACHED_ANALYZER_WITNESS_H
#define FORECACHED_ANALYZER_WITNESS_H

#include <stdbool.h>

struct witness {
	double changed, missed; /* changes that we saw; of these not told, or told wrongly */
	double told, wrong;     /* changes that were told; of these there were none */
};

/* One look: did the content change, did the origin say so, and could what it said be true? */
void witness_look(struct witness *w, bool changed, bool told, bool possible);

bool witness_believed(const struct witness *w);

/* Has it been caught, more than once and in more than one change of twenty? */
bool witness_conceals(const struct witness *w);

#endif
