/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a schedule says, in words: its recurrence rule, zone, calendar and patterns, and the instants
 * that they mean.
 *
 * HOW IT WORKS everything is text that owns itself, so that a copy can go to a worker: whatever expands a
 * rule reads zone files and calendars and walks over years. Instants are of the wall clock.
 */
#ifndef FORECACHED_DAEMON_SCHEDULE_RULE_H
#define FORECACHED_DAEMON_SCHEDULE_RULE_H

#include "base/fault.h"
#include "base/instant.h"
#include "calendar/calendar.h"
#include "daemon/config.h"
#include "proto/request.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How far ahead a rule is looked at to say that it never fires. */
#define SCHEDULE_RULE_NEVER SPAN_S(INT64_C(5) * 31556952)

/*
 * So many instants are known of every rule that has them, however far ahead they are: somewhat more than
 * are asked for at once, as some pass before the next look.
 */
#define SCHEDULE_RULE_LEAST 16

/* Instants that are looked at for how far they are apart. */
#define SCHEDULE_RULE_TRIED 64

struct schedule_rule {
	char *name, *rrule, *tz, *calendar, *start; /* calendar and start may be NULL */
	struct config_texts patterns;
	bool skip_holidays;
	struct span lead;
	uint32_t max_keys;
};

void schedule_rule_release(struct schedule_rule *r);
struct schedule_rule schedule_rule_copy(const struct schedule_rule *r);

/* event_zone: what schedule_rule_event_zone() has found; NULL: nothing. */
struct schedule_rule schedule_rule_of_config(const struct config *c,
                                             const struct config_schedule *s,
                                             const char *event_zone);

/* The rule that a request asks for. STATUS_OK, or a status of the protocol with its text. */
int schedule_rule_of_request(const struct config *c, const struct request *q,
                             struct schedule_rule *ret, char *ret_text, size_t cap);

/*
 * The zone of the calendar whose events the rule takes, where the schedule says nothing of zone and
 * calendar. False: there is none. Reads the file.
 */
bool schedule_rule_event_zone(const struct config_schedule *s, char *ret, size_t cap);

/*
 * Events of a calendar leave out its holidays where nothing else is said, and are meant in its own zone
 * unless one is given. Reads the file.
 */
void schedule_rule_take_source(struct schedule_rule *r, bool zone_given);

/*
 * The instants from wall on, as far as `ahead`, at most max. 0, or as calendar_expand(); -EINVAL for a
 * COUNT without a start.
 */
int schedule_rule_expand(const struct schedule_rule *r, struct instant wall, struct span ahead,
                         struct instant *ret, size_t max, size_t *ret_n, struct fault *err);

/*
 * The same, but where there are fewer than SCHEDULE_RULE_LEAST (or max) within that time, those that come
 * first after it, as far as SCHEDULE_RULE_NEVER. 0 with *ret_n = 0: it does not fire within that.
 */
int schedule_rule_next(const struct schedule_rule *r, struct instant wall, struct span ahead,
                       struct instant *ret, size_t max, size_t *ret_n, struct fault *err);

/*
 * Whether the rule makes sense, and its next instants as schedule_rule_next() gives them. 0 with
 * *ret_n = 0: it does not fire. -EINVAL, too, when its lead is longer than the time between two of them.
 */
int schedule_rule_try(const struct schedule_rule *r, struct instant wall, struct span ahead,
                      struct instant ret[SCHEDULE_RULE_TRIED], size_t *ret_n, struct fault *err);

/* The midnight after the last special day of the rule's calendar; NONE: it knows none. */
struct instant schedule_rule_calendar_end(const struct schedule_rule *r, struct instant wall);

/* As in the configuration, for its reader. The caller deletes it. */
cJSON *schedule_rule_json(const struct schedule_rule *r);

#endif
