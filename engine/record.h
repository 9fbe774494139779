/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Learned state as records (engine.h). Kinds:
 *
 *	class     log_price, requests [all, a day's, of this day], audits [all, stale], stale [serves,
 *	          of requests]
 *	endpoint  prior [a, b, keys behind it], pool (shares of its bins), tempo [log, information,
 *	          when it last moved], audits [stale ones found, and said], recent [requests, hits,
 *	          stale], load_us [mean, n], theta, theta_info, theta_days (volatility shape,
 *	          shape_state), theta_last (shape_last), timetable [period s, theta of its phases],
 *	          demand_sum, demand_days, demand_mean [mean, bins], harmonic [coefficients, step s, sd,
 *	          weekly, period s], errors [profile, harmonic, n], forecast (ensemble_state),
 *	          level (tail_state), guards (guard_state, of each source of prefetches)
 *	tail      got, due, ahead (tail_pool_state): what all endpoints without a model share
 *	key       evidence [changes, seconds without, looks], changed (the changes by the length of the
 *	          look; without it all are dated), stray, rate [n, s, last_seen], load [us, bytes],
 *	          version [hi, lo],
 *	          times [loaded, last_changed], client_ttl, asked (at peaks: for each the number of its
 *	          peak, peaks and seconds waited, the same for Monday to Sunday)
 *	peak      id, peaks [all, Monday .. Sunday], and of a learned one: rise [kind, slot, days, held,
 *	          factor], trials [all, kept, keys, keys used, proven], minute; level (of the minutes
 *	          after it, for each origin: number of its name, loads per request, requests per second)
 *
 * Numbers are doubles; a 64-bit version is two halves, an instant is seconds. record.c writes them,
 * import.c reads them: what is not there, as in a file of an earlier version, is not known.
 */
#ifndef FORECACHED_ENGINE_RECORD_H
#define FORECACHED_ENGINE_RECORD_H

#include "analyzer/audience.h"

/* What one key's audience at a peak knows of it: the numbers of `asked` for each peak. */
#define RECORD_ASKED_NUMBERS (3 + 2 * AUDIENCE_WEEKDAYS)

#endif
