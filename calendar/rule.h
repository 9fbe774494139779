/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A recurrence rule (RFC 5545, section 3.3.10) and the instants it gives.
 *
 * HOW IT WORKS a rule is a set of tests that a day must pass (month, day of the month, of the year,
 * week, weekday with its ordinal) and lists of hours, minutes and seconds. Expansion walks over the
 * periods of FREQ (a year, a month, a week, a day, an hour) from the anchor to the end of the window,
 * tests each day of each period and counts a step for it. A rule that can never fire (February 30th) thus
 * costs what any other costs, and ends with the window.
 *
 * INVARIANTS an expansion takes at most RULE_MAX_STEPS steps of constant cost, about 0.2 s; a day
 * gives at most RULE_MAX_PER_DAY instants. FREQ=MINUTELY and SECONDLY are refused. Pure: no clock,
 * no file.
 */
#ifndef FORECACHED_CALENDAR_RULE_H
#define FORECACHED_CALENDAR_RULE_H

#include "base/fault.h"
#include "base/instant.h"
#include "base/zone.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RULE_MAX_BYTES   1024
#define RULE_MAX_BYDAY   64
#define RULE_MAX_PER_DAY 1440
#define RULE_MAX_STEPS   8000000u

enum rule_freq { RULE_HOURLY, RULE_DAILY, RULE_WEEKLY, RULE_MONTHLY, RULE_YEARLY };

struct rule_day {
	int8_t weekday; /* 0 = Monday */
	int8_t nth;     /* 0: each; 1 the first of the month or year, -1 the last, ... */
};

/* A set of the numbers 1..366 and -1..-366; which of them may occur depends on the part. */
struct rule_set {
	uint64_t pos[6], neg[6]; /* bit n-1 of pos stands for n, of neg for -n */
	bool any;
};

/* 1 <= |n| <= 366. */
void rule_set_add(struct rule_set *s, int n);

struct rule {
	enum rule_freq freq;
	int interval;
	uint32_t count; /* 0: no COUNT */
	bool has_until, until_is_local, until_is_date;
	int64_t until_s; /* UTC, or local when so marked */
	int week_start;  /* 0 = Monday */
	uint16_t months; /* bit m-1; 0: not given */
	struct rule_set month_day, year_day, week_no, set_pos;
	struct rule_day day[RULE_MAX_BYDAY];
	size_t n_days;
	uint32_t hours; /* bits; 0: not given */
	uint64_t minutes, seconds;
	bool paired; /* the minutes of each hour are minutes_of[hour] */
	uint64_t minutes_of[24];
};

/*
 * Reads a rule of RFC 5545, or one of the short forms of calendar.h (daily, weekdays, ..., cron),
 * which do not depend on the anchor. 0, or -EINVAL and a text that names the part: "BYMONTH: '13' is
 * not from 1 to 12".
 */
int rule_parse(const char *text, struct rule *ret, struct fault *reterr);

/*
 * The earliest instants of the rule in [from, to), ascending, at most max. Instants before dtstart
 * do not count; dtstart itself counts only if the rule gives it. Days that the zone calls closed
 * are left out with skip_closed (after COUNT and BYSETPOS have counted them). 0, or -E2BIG after
 * RULE_MAX_STEPS. All instants handed in are within some thousand years of 1970.
 */
int rule_expand(const struct rule *r, const struct zone *z, struct instant dtstart,
                struct instant from, struct instant to, bool skip_closed, struct instant *ret,
                size_t max, size_t *ret_n);

/* The same within *left steps, which it takes them from; 0 are left with -E2BIG. */
int rule_expand_within(const struct rule *r, const struct zone *z, struct instant dtstart,
                       struct instant from, struct instant to, bool skip_closed,
                       struct instant *ret, size_t max, size_t *ret_n, uint32_t *left);

/* Whether the zone's special days close the day that its clocks show then; a Sunday as such does not. */
bool rule_is_closed(const struct zone *z, int64_t utc_s);

/*
 * The second since 1970 at which the zone's clocks show local_s. What a spring change skips counts
 * with the offset from before it, so as much later as the clock jumped; of what is shown twice, the
 * first.
 */
int64_t rule_local(const struct zone *z, int64_t local_s);

#endif
