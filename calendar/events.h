/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Instants that are listed, not ruled: one by one, or as the events of an .ics file.
 *
 *	at 2026-12-24T12:30,2026-12-31T12:30Z     local times of the zone, or UTC
 *	starts SOURCE                             where its events begin
 *	ends SOURCE                               where they end, e.g. sessions: early closes are known
 *	FILE.ics                                  the same as `starts FILE.ics`
 *
 * SOURCE is a file or a market's code, as for calendar_open(). Events with a time of day count; those of
 * whole days do not, and a file with nothing else is refused. Of RFC 5545: TZID with a name of the
 * system's zones or of a VTIMEZONE (vtimezone.h), UTC, floating times in the zone of the schedule; RRULE,
 * RDATE, EXDATE, RECURRENCE-ID, DURATION, STATUS:CANCELLED.
 *
 * INVARIANTS at most EVENTS_MAX events and EVENTS_MAX_INSTANTS instants are looked at, and all rules
 * of a file together take no more than RULE_MAX_STEPS.
 */
#ifndef FORECACHED_CALENDAR_EVENTS_H
#define FORECACHED_CALENDAR_EVENTS_H

#include "base/fault.h"
#include "calendar/calendar.h"

#include <stdbool.h>
#include <stddef.h>

#define EVENTS_MAX          10000u
#define EVENTS_MAX_INSTANTS 200000u

bool events_is_rule(const char *rule);

/* SOURCE, or NULL. */
const char *events_source(const char *rule);

/* As calendar_expand(), for such a rule. -EFBIG: more events or instants than the limits. */
int events_expand(const char *rule, const struct zone *z, struct instant from, struct instant to,
                  bool skip_closed, struct instant *ret, size_t max, size_t *ret_n,
                  struct fault *reterr);

#endif
