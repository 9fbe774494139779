/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Files of iCalendar (RFC 5545): found, checked for what libical cannot bear, and parsed by it. For the
 * files of calendar/; others go through calendar.h.
 */
#ifndef FORECACHED_CALENDAR_ICS_H
#define FORECACHED_CALENDAR_ICS_H

#include "base/fault.h"
#include "calendar/calendar.h"

#include <libical/ical.h>
#include <stdbool.h>
#include <stddef.h>

/* Whether the name is that of a file, not of a market. */
bool ics_is_file(const char *s);

/* Checks and parses a text; *ret is to be freed by icalcomponent_free. 0, -EINVAL or -EFBIG. */
int ics_parse(const char *ics, size_t n, icalcomponent **ret, struct fault *reterr);

/* Finds, checks and parses; *ret is to be freed by icalcomponent_free. 0, or as calendar_open. */
int ics_open(const char *file_or_code, icalcomponent **ret, struct fault *reterr);

/*
 * Calls fn for each component of that kind in the file, in order, until it gives something else than 0,
 * which is returned. Several calendars may stand in one file. With iterators of its own: libical keeps one
 * in each component, which a search within a search would send back to the first.
 */
typedef int ics_each_fn(void *arg, icalcomponent *c);
int ics_each(icalcomponent *file, icalcomponent_kind kind, ics_each_fn *fn, void *arg);

/* The calendar's own zone: X-WR-TIMEZONE, or NULL. Valid until the component is freed. */
const char *ics_zone(icalcomponent *c);

#endif
