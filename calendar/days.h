/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The special days of a calendar: what its all-day events say (calendar.h, SPECIAL DAYS), as the rows
 * of a zone. An event that recurs counts MAX_RECURRENCES times at the most.
 */
#ifndef FORECACHED_CALENDAR_DAYS_H
#define FORECACHED_CALENDAR_DAYS_H

#include "base/fault.h"
#include "calendar/ics.h"

/*
 * Adds those of the file between from and to, to those that the zone has. 0, -EFBIG above
 * CALENDAR_MAX_DAYS, -EINVAL or -E2BIG; the zone is as it was then.
 */
int days_add(struct zone *z, icalcomponent *file, struct instant from, struct instant to,
             struct fault *reterr);

#endif
