/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "calendar/rule.h"

#include "calendar/civil.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* -- Sets of signed numbers ------------------------------------------------------------------- */

void rule_set_add(struct rule_set *s, int n)
{
	uint64_t *bits = n > 0 ? s->pos : s->neg;
	int i = abs(n) - 1;

	bits[i / 64] |= UINT64_C(1) << i % 64;
	s->any = true;
}

static bool set_bit(const uint64_t *bits, int i)
{
	return i >= 0 && i < 384 && bits[i / 64] >> i % 64 & 1;
}

/* Is the n-th of `total` in the set, counted from the front or from the back? */
static bool set_has(const struct rule_set *s, int n, int total)
{
	return set_bit(s->pos, n - 1) || set_bit(s->neg, total - n);
}

/* -- Local time ------------------------------------------------------------------------------- */

int64_t rule_local(const struct zone *z, int64_t local_s)
{
	/*
	 * offsets are below 26 h, so what holds now began no earlier than what held at `early`
	 * ended
	 */
	struct instant early = {(local_s - 26 * 3600) * 1000000}, until;
	int32_t offset = zone_offset_at(z, early, &until);

	while (until.us != INT64_MAX && local_s - offset >= until.us / 1000000) {
		/* past the change by the old offset; before it by the new one: in the gap */
		int32_t next = zone_offset_at(z, until, NULL);
		int64_t change_s = until.us / 1000000;

		if (local_s - next < change_s)
			return local_s - offset;
		offset = zone_offset_at(z, (struct instant){change_s * 1000000}, &until);
	}
	return local_s - offset;
}

static int64_t local_of_utc(const struct zone *z, int64_t utc_s)
{
	return utc_s + zone_offset_at(z, (struct instant){utc_s * 1000000}, NULL);
}

/* -- Expansion -------------------------------------------------------------------------------- */

struct expansion {
	const struct rule *r;
	const struct zone *z;
	int64_t start_local_s; /* the anchor on local clocks */
	struct civil start;
	int64_t from_s, to_s, dtstart_s, until_s; /* UTC */
	bool skip_closed;
	uint32_t counted, steps;
	struct instant *ret;
	size_t max, n;
	bool done;
	/* the parts with the anchor's values filled in */
	uint16_t months;
	struct rule_set month_day;
	uint32_t hours;
	uint64_t minutes, seconds;
	bool weekday_of_start;
	/* days of the current period that passed, as local days */
	int64_t day[366];
	size_t n_days;
};

static void fill_in(struct expansion *x)
{
	const struct rule *r = x->r;
	int start_in_day =
	        (int)(x->start_local_s - civil_floor_div(x->start_local_s, 86400) * 86400);
	bool no_day = !r->month_day.any && !r->year_day.any && !r->week_no.any && !r->n_days;

	x->months = r->months;
	x->month_day = r->month_day;
	x->hours = r->hours                 ? r->hours
	           : r->freq == RULE_HOURLY ? 0xffffff
	                                    : 1u << start_in_day / 3600;
	x->minutes = r->minutes ? r->minutes : UINT64_C(1) << start_in_day / 60 % 60;
	x->seconds = r->seconds ? r->seconds : UINT64_C(1) << start_in_day % 60;
	if (r->freq == RULE_YEARLY && no_day) {
		if (!r->months)
			x->months = (uint16_t)(1u << (x->start.month - 1));
		rule_set_add(&x->month_day, x->start.day);
	} else if (r->freq == RULE_MONTHLY && no_day) {
		rule_set_add(&x->month_day, x->start.day);
	} else if ((r->freq == RULE_WEEKLY && !r->n_days) ||
	           (r->freq == RULE_YEARLY && r->week_no.any && !r->n_days && !r->month_day.any &&
	            !r->year_day.any)) {
		x->weekday_of_start = true;
	}
}

/*
 * The week of the year of RFC 5545 that a day is in; a day of the first week of the next year is
 * not in this one.
 */
static bool week_matches(const struct rule *r, int64_t day, int64_t year)
{
	int64_t jan1 = civil_days(year, 1, 1), jan1_next = civil_days(year + 1, 1, 1);
	int into = (civil_weekday(jan1) - r->week_start + 7) % 7;
	int into_next = (civil_weekday(jan1_next) - r->week_start + 7) % 7;
	/* the first week has at least four days in its year */
	int64_t first = jan1 - into + (into > 3 ? 7 : 0);
	int64_t first_next = jan1_next - into_next + (into_next > 3 ? 7 : 0);

	if (day < first || day >= first_next)
		return false;
	return set_has(&r->week_no, (int)((day - first) / 7) + 1, (int)((first_next - first) / 7));
}

static bool weekday_matches(const struct expansion *x, int64_t day, const struct civil *c)
{
	const struct rule *r = x->r;
	int weekday = civil_weekday(day), n, total;
	size_t i;

	if (x->weekday_of_start)
		return weekday == civil_weekday(civil_floor_div(x->start_local_s, 86400));
	if (!r->n_days)
		return true;
	for (i = 0; i < r->n_days; i++) {
		if (r->day[i].weekday != weekday)
			continue;
		if (!r->day[i].nth)
			return true;
		if (r->freq == RULE_MONTHLY || r->months) {
			n = (c->day - 1) / 7 + 1;
			total = n + (civil_month_days(c->year, c->month) - c->day) / 7;
		} else {
			int64_t first = civil_days(c->year, 1, 1),
			        end = civil_days(c->year + 1, 1, 1);

			n = (int)((day - first) / 7) + 1;
			total = n + (int)((end - 1 - day) / 7);
		}
		if (r->day[i].nth == n || r->day[i].nth == n - total - 1)
			return true;
	}
	return false;
}

static bool day_matches(const struct expansion *x, int64_t day, const struct civil *c)
{
	const struct rule *r = x->r;

	if (x->months && !(x->months >> (c->month - 1) & 1))
		return false;
	if (x->month_day.any &&
	    !set_has(&x->month_day, c->day, civil_month_days(c->year, c->month)))
		return false;
	if (r->year_day.any && !set_has(&r->year_day, (int)(day - civil_days(c->year, 1, 1)) + 1,
	                                civil_is_leap(c->year) ? 366 : 365))
		return false;
	if (r->week_no.any && !week_matches(r, day, c->year))
		return false;
	return weekday_matches(x, day, c);
}

static void test_day(struct expansion *x, int64_t day)
{
	struct civil c = civil_of(day);

	x->steps++;
	if (day_matches(x, day, &c))
		x->day[x->n_days++] = day;
}

bool rule_is_closed(const struct zone *z, int64_t utc_s)
{
	int64_t day = civil_floor_div(local_of_utc(z, utc_s), 86400);

	return zone_day_kind(z, (int32_t)day) == ZONE_SUNDAY && civil_weekday(day) != 6;
}

/*
 * A skipped time moves to where another may stand already: keeps them in order, once. False when there is
 * no room for it, nor for any that is later.
 */
static bool keep(struct expansion *x, int64_t us)
{
	size_t i;

	for (i = x->n; i > 0 && x->ret[i - 1].us > us; i--)
		;
	if (i > 0 && x->ret[i - 1].us == us)
		return true;
	if (x->n == x->max) {
		if (i == x->n) {
			x->done = true;
			return false;
		}
		x->n--;
	}
	memmove(x->ret + i + 1, x->ret + i, (x->n - i) * sizeof *x->ret);
	x->ret[i].us = us;
	x->n++;
	return true;
}

/* True while the expansion goes on. */
static bool emit(struct expansion *x, int64_t local_s)
{
	int64_t utc_s = rule_local(x->z, local_s);

	x->steps++;
	if (utc_s < x->dtstart_s)
		return true;
	if (x->r->has_until && (x->r->until_is_local ? local_s > x->until_s : utc_s > x->until_s))
		x->done = true;
	/* two hours of slack: what a spring change moves may come out of order */
	if (x->done || utc_s >= x->to_s + 7200 || (x->r->count && x->counted == x->r->count)) {
		x->done = true;
		return false;
	}
	x->counted++;
	if (utc_s < x->from_s || utc_s >= x->to_s)
		return true;
	if (x->skip_closed && rule_is_closed(x->z, utc_s))
		return true;
	return keep(x, utc_s * 1000000);
}

/* The times of one hour of a day; *at counts those of the period. As emit(). */
static bool emit_hour(struct expansion *x, int64_t day, int hour, int total, int *at)
{
	uint64_t m = x->r->paired ? x->r->minutes_of[hour] : x->minutes, s;

	for (; m; m &= m - 1)
		for (s = x->seconds; s; s &= s - 1) {
			x->steps++;
			if (x->r->set_pos.any && !set_has(&x->r->set_pos, ++*at, total))
				continue;
			if (!emit(x, day * 86400 + hour * 3600 + __builtin_ctzll(m) * 60 +
			                     __builtin_ctzll(s)))
				return false;
		}
	return true;
}

/*
 * Calls emit for the times of the period's days, all or those that BYSETPOS names: at most 366 days
 * of RULE_MAX_PER_DAY.
 */
static void emit_period(struct expansion *x, uint32_t hours)
{
	int total = (int)x->n_days * __builtin_popcount(hours) * __builtin_popcountll(x->minutes) *
	            __builtin_popcountll(x->seconds);
	int at = 0;

	for (size_t i = 0; i < x->n_days; i++)
		for (uint32_t h = hours; h; h &= h - 1)
			if (!emit_hour(x, x->day[i], __builtin_ctz(h), total, &at))
				return;
}

/*
 * Tests the days of period number p, counted from the anchor's; returns the local day it begins on.
 */
static int64_t period_begin(const struct expansion *x, int64_t p)
{
	int64_t start_day = civil_floor_div(x->start_local_s, 86400), month;

	switch (x->r->freq) {
	case RULE_YEARLY:
		return civil_days(x->start.year + p, 1, 1);
	case RULE_MONTHLY:
		month = x->start.year * 12 + x->start.month - 1 + p;
		return civil_days(civil_floor_div(month, 12),
		                  (int)(month - civil_floor_div(month, 12) * 12) + 1, 1);
	case RULE_WEEKLY:
		return start_day - (civil_weekday(start_day) - x->r->week_start + 7) % 7 + 7 * p;
	case RULE_DAILY:
		return start_day + p;
	case RULE_HOURLY:
		return civil_floor_div(civil_floor_div(x->start_local_s, 3600) + p, 24);
	}
	return 0;
}

/* A period that begins no later than local day `day`, as near to it as is easy to say. */
static int64_t period_before(const struct expansion *x, int64_t day)
{
	int64_t start_day = civil_floor_div(x->start_local_s, 86400);
	int64_t days = day - start_day - 8;

	if (days <= 0)
		return 0;
	switch (x->r->freq) {
	case RULE_YEARLY:
		return days > 366 ? days / 366 - 1 : 0;
	case RULE_MONTHLY:
		return days > 31 ? days / 31 - 1 : 0;
	case RULE_WEEKLY:
		return days / 7;
	case RULE_DAILY:
		return days;
	case RULE_HOURLY:
		return days * 24;
	}
	return 0;
}

int rule_expand(const struct rule *r, const struct zone *z, struct instant dtstart,
                struct instant from, struct instant to, bool skip_closed, struct instant *ret,
                size_t max, size_t *ret_n)
{
	uint32_t left = RULE_MAX_STEPS;

	return rule_expand_within(r, z, dtstart, from, to, skip_closed, ret, max, ret_n, &left);
}

int rule_expand_within(const struct rule *r, const struct zone *z, struct instant dtstart,
                       struct instant from, struct instant to, bool skip_closed,
                       struct instant *ret, size_t max, size_t *ret_n, uint32_t *left)
{
	struct expansion x = {.r = r, .z = z, .skip_closed = skip_closed, .ret = ret, .max = max};
	int64_t p = 0, end_day, day, next;

	*ret_n = 0;
	if (max == 0 || from.us >= to.us)
		return 0;
	/* whole seconds, rounded up: an instant in [from, to) stays inside */
	x.from_s = civil_floor_div(from.us + 999999, 1000000);
	x.to_s = civil_floor_div(to.us + 999999, 1000000);
	x.dtstart_s = civil_floor_div(dtstart.us, 1000000);
	x.start_local_s = local_of_utc(z, x.dtstart_s);
	x.start = civil_of(civil_floor_div(x.start_local_s, 86400));
	x.until_s = r->until_s + (r->until_is_date ? 86399 : 0);
	fill_in(&x);
	end_day = civil_floor_div(x.to_s + 26 * 3600, 86400) + 1;
	/* COUNT counts from the anchor; all else may begin near the window */
	if (!r->count)
		p = period_before(&x, civil_floor_div(x.from_s, 86400)) / r->interval * r->interval;
	for (; !x.done && period_begin(&x, p) <= end_day; p += r->interval) {
		x.n_days = 0;
		x.steps++;
		if (r->freq == RULE_HOURLY) {
			int64_t hour = civil_floor_div(x.start_local_s, 3600) + p;
			uint32_t bit = 1u << (hour - civil_floor_div(hour, 24) * 24);

			if (x.hours & bit) {
				test_day(&x, civil_floor_div(hour, 24));
				emit_period(&x, bit);
			}
		} else {
			day = period_begin(&x, p);
			next = period_begin(&x, p + 1);
			for (; day < next; day++)
				test_day(&x, day);
			emit_period(&x, x.hours);
		}
		if (x.steps > *left) {
			*left = 0;
			return -E2BIG;
		}
	}
	*left -= x.steps < *left ? x.steps : *left;
	*ret_n = x.n;
	return 0;
}
