/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/rise.h"

#include <math.h>
#include <stdlib.h>

static const double FACTOR = 2, SURE_SD = 3;

/* Quarters on either side within which only the steepest rise counts. */
static const int APART = 2;

bool rise_held(double before, double after)
{
	return after >= FACTOR * before && after - before > SURE_SD * sqrt(after + before + 1);
}

/* The mean of the two quarters before a bin; < 0: not known. */
static double count_before(const struct demand *d, int64_t bin)
{
	double x = demand_past(d, bin - 2), y = demand_past(d, bin - 1);

	return x < 0 || y < 0 ? -1 : (x + y) / 2;
}

/* What the days of its kind say of a slot. */
static struct rise look(const struct demand *d, const struct zone *z, int kind, int slot)
{
	struct rise r = {.kind = kind, .slot = slot};
	int64_t today = (int64_t)floor((double)d->bin / SHAPE_BINS);
	double sum_before = 0, sum_after = 0;

	for (int64_t day = today - DEMAND_DAYS; day <= today; day++) {
		int64_t bin = day * SHAPE_BINS + slot;
		double before, after;

		if (bin >= d->bin || (int)zone_day_kind(z, (int32_t)day) != kind)
			continue;
		before = count_before(d, bin);
		after = demand_past(d, bin);
		if (before < 0 || after < 0)
			continue;
		r.days++;
		r.held += rise_held(before, after);
		sum_before += before;
		sum_after += after;
	}
	r.factor = sum_after / fmax(sum_before, 1);
	return r;
}

static int surest_first(const void *a, const void *b)
{
	const struct rise *x = a, *y = b;

	if (x->held != y->held)
		return x->held > y->held ? -1 : 1;
	return x->kind != y->kind ? x->kind - y->kind : x->slot - y->slot;
}

size_t rise_find(const struct demand *d, const struct zone *z, double least_days, double share,
                 struct rise *ret, size_t max)
{
	struct rise found[ZONE_DAY_KINDS * SHAPE_BINS];
	size_t n = 0;

	/* what was restored may have a history, and no request yet */
	if (!d->history || d->bin == INT64_MIN)
		return 0;
	for (int kind = ZONE_WEEKDAY; kind <= ZONE_SUNDAY; kind++) {
		struct rise at[SHAPE_BINS];

		for (int i = 0; i < SHAPE_BINS; i++)
			at[i] = look(d, z, kind, i);
		for (int i = 0; i < SHAPE_BINS; i++) {
			bool steepest = true;

			if (at[i].held < least_days || at[i].held < share * at[i].days)
				continue;
			for (int j = i - APART; j <= i + APART; j++) {
				const struct rise *o = &at[(j + SHAPE_BINS) % SHAPE_BINS];

				steepest &= j == i || o->held < least_days ||
				            o->factor < at[i].factor ||
				            (o->factor == at[i].factor && j > i);
			}
			if (steepest)
				found[n++] = at[i];
		}
	}
	qsort(found, n, sizeof(*found), surest_first);
	for (size_t i = 0; i < n && i < max; i++)
		ret[i] = found[i];
	return n < max ? n : max;
}
