/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Everything that knows about wall clocks: IANA time zones, recurring schedules, and the special
 * days of a market. It turns them into plain tables (struct zone, arrays of instants), so that what
 * learns and decides needs no zone files.
 *
 * HOW IT WORKS tzif.h reads the zone files of the system, libical the .ics files. Rules are read
 * and evaluated by rule.h, whose work is bounded by the window that is asked for. (libical 3.0.16
 * could do all three, but has Tehran, Sao Paulo and Gaza wrong for months, and its iterator can
 * search for a day that does not exist until it is killed. Both measured.)
 *
 * SPECIAL DAYS are the all-day events (DTSTART;VALUE=DATE, with DTEND or one day long, RRULE
 * allowed) of an .ics file. CATEGORIES say what such a day is:
 *
 *	HOLIDAY or nothing    closed: learns and behaves like a Sunday
 *	HALF-DAY              closes early: has a shape of its own. A summary that contains "half day"
 *	                      or "early close" (any case) says the same
 *	WORKING-DAY           open although its weekday is not: behaves like a weekday
 *
 * Events with a time of day say nothing about days: they are the market's sessions, or whatever a
 * schedule wants to be warm for (events.h). Events with STATUS:CANCELLED are skipped. X-WR-TIMEZONE,
 * if there, is the time zone that the calendar is meant in. Where two events name the same day, closed
 * wins over half, half over working.
 *
 * OWNERSHIP a zone made here is freed by calendar_zone_free, after everything that uses it.
 * All functions may be called from any thread. Why something was refused is said in a way that is fit to
 * be shown: "FREQ: 'SECONDLY' is finer than HOURLY".
 */
#ifndef FORECACHED_CALENDAR_CALENDAR_H
#define FORECACHED_CALENDAR_CALENDAR_H

#include "base/fault.h"
#include "base/instant.h"
#include "base/zone.h"

#include <stdbool.h>
#include <stddef.h>

#define CALENDAR_MAX_ICS_BYTES (4u << 20)
#define CALENDAR_MAX_DAYS      20000u /* special days of one calendar */
#define CALENDAR_MAX_YEARS     60     /* longest range of a zone or an expansion */

/*
 * The UTC offsets of a zone ("America/New_York", "UTC") from `from` to `to`. 0, -ENOENT for an
 * unknown name, -EINVAL for a name that cannot be one or a range that is empty or above
 * CALENDAR_MAX_YEARS.
 */
int calendar_zone(const char *name, struct instant from, struct instant to, struct zone **ret,
                  struct fault *reterr);

/*
 * The same with the special days of a calendar: a file (its name contains '/' or ends in ".ics") or
 * a market's code (XNYS), which is looked up as CODE.ics in $FORECACHED_CALENDARS, among the
 * installed calendars and at last among those built in (shipped.h). `tz` NULL: the calendar's own zone,
 * or UTC. Errors as above, and -ENOENT, -EFBIG, -EINVAL or the error of open for the file.
 */
int calendar_open(const char *file_or_code, const char *tz, struct instant from, struct instant to,
                  struct zone **ret, struct fault *reterr);

/*
 * Adds the special days of an .ics text to a zone made here. 0, -EINVAL or -EFBIG; the zone is as
 * it was then.
 */
int calendar_add_days(struct zone *z, const char *ics, size_t n_ics, struct instant from,
                      struct instant to, struct fault *reterr);

/* Frees a zone made here and sets the pointer to NULL; NULL is fine. */
void calendar_zone_free(struct zone **z);

/*
 * "2026-11-23T09:30", with or without seconds or time, as the zone's clocks show it; with a Z
 * behind it, UTC. 0 or -EINVAL.
 */
int calendar_instant(const char *text, const struct zone *z, struct instant *ret,
                     struct fault *reterr);

/* The zone that a calendar is meant in (X-WR-TIMEZONE). False: it says none, or cannot be read. */
bool calendar_own_zone(const char *file_or_code, char *ret, size_t cap);

/* Is it the name of a file, rather than a market's code? */
bool calendar_is_file(const char *file_or_code);

/* The file or market that a rule takes its instants from ("starts XTKS": XTKS); NULL: none. */
const char *calendar_source(const char *rule);

/* Leave out instants on days that the zone's table calls closed. */
#define CALENDAR_SKIP_HOLIDAYS 1u

/*
 * The instants at which a schedule fires in [from, to), ascending, at most `max` of them: the
 * earliest ones. The rule is one of
 *
 *	FREQ=WEEKLY;BYDAY=MO,TU;BYHOUR=9;BYMINUTE=30      RFC 5545, HOURLY and coarser
 *	daily 07:00 | weekdays 09:30,16:00 | weekends 10:00 | mon,wed-fri 18:15 | hourly | hourly :15
 *	30 9 * * 1-5                                      the five fields of cron
 *	at 2026-12-24T12:30,2026-12-31T12:30              these instants
 *	starts XTKS | ends XLON | starts FILE.ics         events with a time of day (events.h)
 *
 * meant in local time of the zone. `dtstart` anchors it (RFC 5545: the parts that a rule leaves
 * out, the phase of INTERVAL, the first of COUNT); for the two that follow it is just the earliest
 * instant, and the last two do without. A local time that a spring change skips fires as much later as
 * the clock jumped; one that occurs twice fires the first time. 0 with *ret_n set, or -EINVAL, or -E2BIG
 * when the rule needs more work than RULE_MAX_STEPS (rule.h).
 */
int calendar_expand(const char *rule, const struct zone *z, struct instant dtstart,
                    struct instant from, struct instant to, unsigned flags, struct instant *ret,
                    size_t max, size_t *ret_n, struct fault *reterr);

#endif
