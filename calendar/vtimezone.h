/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The time zones that an .ics file names: by a name of the system's zones, or by one of its own that
 * the file describes (VTIMEZONE, RFC 5545 section 3.6.5), such as Outlook's "Eastern Standard Time".
 *
 * HOW IT WORKS the system's zones come first, as they are kept up to date and files are not: the TZID
 * itself; what a TZID that begins with a slash ends in ("/example.org/2026/Europe/Berlin"); and the
 * X-LIC-LOCATION of the VTIMEZONE. Without any of these the rules of the VTIMEZONE hold: each STANDARD
 * and DAYLIGHT lists, or gives by a rule, when its clocks go from TZOFFSETFROM to TZOFFSETTO.
 */
#ifndef FORECACHED_CALENDAR_VTIMEZONE_H
#define FORECACHED_CALENDAR_VTIMEZONE_H

#include "base/fault.h"
#include "calendar/ics.h"

#include <stdint.h>

#define VTIMEZONE_MAX_CHANGES 4096u /* of the clocks, in one zone */

/*
 * The zone of that TZID from `from` to `to`, to be freed by calendar_zone_free(). Its rules take from
 * *steps what they cost (rule.h). 0; -ENOENT for a name that neither the system nor the file knows;
 * -EINVAL for a VTIMEZONE that is wrong, -EFBIG above VTIMEZONE_MAX_CHANGES, -E2BIG when *steps do not
 * suffice.
 */
int vtimezone_named(icalcomponent *file, const char *tzid, struct instant from, struct instant to,
                    uint32_t *steps, struct zone **ret, struct fault *reterr);

#endif
