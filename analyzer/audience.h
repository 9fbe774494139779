/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which keys are asked for at a recurring instant, such as 09:30 on weekdays, and how soon after it:
 * not those that are asked for much in general.
 *
 * HOW IT WORKS each time the first minutes after the instant are watched. Of a key counts when it
 * was asked for first; not at all is a censored observation. So the rate of first requests has a
 * Gamma posterior, as any rate: events n over s seconds waited, both decayed by peak; before any
 * stands what one peak would show if the forecast were right. What the same weekday has shown
 * counts beside what all days have, of which five peaks' worth counts, so that what comes on
 * Mondays only is known to.
 *
 * The end of a watch is worked off in steps: a busy peak has asked for tens of thousands of keys. Of
 * more than max those that were asked for at fewer peaks go, to a hundredth of a peak. During a watch
 * at most AUDIENCE_NEW keys come in that were not known: those that are asked for first.
 *
 * INVARIANTS keys that were never asked for are not kept; between watches there are max at the most.
 */
#ifndef FORECACHED_ANALYZER_AUDIENCE_H
#define FORECACHED_ANALYZER_AUDIENCE_H

#include "base/vec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUDIENCE_WEEKDAYS 7
#define AUDIENCE_NEW      50000u

struct audience_key {
	uint32_t key;
	float n, s; /* peaks at which it was asked for, and seconds waited for it, decayed */
	float day_n[AUDIENCE_WEEKDAYS], day_s[AUDIENCE_WEEKDAYS]; /* of one weekday; 0 = Monday */
	float delay_s; /* at the peak that is watched now; < 0: not asked for yet */
};

struct audience {
	VEC(struct audience_key) list;
	uint32_t *slot;                            /* hash table: index in list + 1 */
	size_t n_slots;                            /* a power of two, or 0 */
	float peaks, day_peaks[AUDIENCE_WEEKDAYS]; /* watched, decayed */
	size_t n_new;                              /* keys that the running watch has brought */
	bool asked;                                /* some delay_s may be >= 0 */
	struct audience_end *end;                  /* of a watch, being worked off; NULL: none is */
};

/* An all-zero struct audience is empty and usable. */
void audience_release(struct audience *a);

/* A peak begins. */
void audience_begin(struct audience *a);

/* A key was asked for so long after the peak. */
void audience_asked(struct audience *a, uint32_t key, double delay_s);

/*
 * The watch ends, window_s after a peak on that weekday (0 = Monday); max keys are kept. It is for
 * audience_step to work that off, before the next peak begins.
 */
void audience_end(struct audience *a, unsigned weekday, double window_s, size_t max);
/* Looks at up to `work` keys, at some 0.1 us each; true: the end is worked off. */
bool audience_step(struct audience *a, size_t work);

void audience_forget(struct audience *a, uint32_t key);

/* NULL: never asked for at this instant. */
struct audience_key *audience_find(const struct audience *a, uint32_t key);

/* The same, made when there is none (to bring back what was kept). */
struct audience_key *audience_add(struct audience *a, uint32_t key);

/*
 * Gamma posterior (shape *ret_a, rate *ret_b) of the key's rate of first requests after a peak on
 * that weekday. forecast_per_s: its rate then as known otherwise; window_s: how long was watched.
 */
void audience_rate(const struct audience *a, uint32_t key, unsigned weekday, double forecast_per_s,
                   double window_s, double *ret_a, double *ret_b);

#endif
