/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Rules as text: RRULE of RFC 5545, and the short forms of calendar.h, cron's among them. */
#include "calendar/rule.h"

#include "calendar/civil.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char weekday_name[7][3] = {"MO", "TU", "WE", "TH", "FR", "SA", "SU"};

/* -- RRULE ------------------------------------------------------------------------------------ */

/* A whole number in [lo, hi] that takes all of the text. */
static bool number(const char *s, long lo, long hi, long *ret)
{
	char *end;
	const char *digits = s + (*s == '-' || *s == '+');

	if (*digits < '0' || *digits > '9' || strlen(digits) > 9)
		return false;
	*ret = strtol(s, &end, 10);
	return *end == '\0' && *ret >= lo && *ret <= hi;
}

typedef int item_fn(struct rule *r, const char *part, char *item, struct fault *e);

/* Calls fn for each item of a list; `list` is cut up. */
static int each(struct rule *r, const char *part, char *list, item_fn *fn, struct fault *e)
{
	char *item, *rest = list;

	while ((item = strsep(&rest, ","))) {
		int err = fn(r, part, item, e);

		if (err)
			return err;
	}
	return 0;
}

static int not_within(struct fault *e, const char *part, const char *item, int lo, int hi)
{
	if (lo < 0)
		return fault_set(e, -EINVAL, "%s: '%.40s' is not from 1 to %d or from -%d to -1",
		                 part, item, hi, hi);
	return fault_set(e, -EINVAL, "%s: '%.40s' is not a number from %d to %d", part, item, lo,
	                 hi);
}

static int add_signed(struct rule_set *s, const char *part, const char *item, int hi,
                      struct fault *e)
{
	long n;

	if (!number(item, -hi, hi, &n) || n == 0)
		return not_within(e, part, item, -hi, hi);
	rule_set_add(s, (int)n);
	return 0;
}

static int add_month(struct rule *r, const char *part, char *item, struct fault *e)
{
	long n;

	if (!number(item, 1, 12, &n))
		return not_within(e, part, item, 1, 12);
	r->months |= (uint16_t)(1u << (n - 1));
	return 0;
}

static int add_month_day(struct rule *r, const char *part, char *item, struct fault *e)
{
	return add_signed(&r->month_day, part, item, 31, e);
}

static int add_year_day(struct rule *r, const char *part, char *item, struct fault *e)
{
	return add_signed(&r->year_day, part, item, 366, e);
}

static int add_week_no(struct rule *r, const char *part, char *item, struct fault *e)
{
	return add_signed(&r->week_no, part, item, 53, e);
}

static int add_set_pos(struct rule *r, const char *part, char *item, struct fault *e)
{
	return add_signed(&r->set_pos, part, item, 366, e);
}

/* A number from 0 on is a bit. */
static int add_bit(uint64_t *bits, const char *part, char *item, int most, struct fault *e)
{
	long n;

	if (!number(item, 0, most, &n))
		return not_within(e, part, item, 0, most);
	*bits |= UINT64_C(1) << n;
	return 0;
}

static int add_hour(struct rule *r, const char *part, char *item, struct fault *e)
{
	uint64_t hours = r->hours;
	int rc = add_bit(&hours, part, item, 23, e);

	r->hours = (uint32_t)hours;
	return rc;
}

static int add_minute(struct rule *r, const char *part, char *item, struct fault *e)
{
	return add_bit(&r->minutes, part, item, 59, e);
}

static int add_second(struct rule *r, const char *part, char *item, struct fault *e)
{
	return add_bit(&r->seconds, part, item, 59, e);
}

static int weekday_of(const char *two)
{
	int i;

	for (i = 0; i < 7; i++)
		if (strncasecmp(two, weekday_name[i], 2) == 0)
			return i;
	return -1;
}

static int add_day(struct rule *r, const char *part, char *item, struct fault *e)
{
	size_t n = strlen(item);
	int weekday = n >= 2 ? weekday_of(item + n - 2) : -1;
	long nth = 0;
	char front[8];

	if (weekday < 0 || n > 6)
		goto bad;
	memcpy(front, item, n - 2);
	front[n - 2] = '\0';
	if (*front && (!number(front, -53, 53, &nth) || nth == 0))
		goto bad;
	if (r->n_days == RULE_MAX_BYDAY)
		return fault_set(e, -EINVAL, "%s: more than %d days", part, RULE_MAX_BYDAY);
	r->day[r->n_days++] = (struct rule_day){(int8_t)weekday, (int8_t)nth};
	return 0;
bad:
	return fault_set(e, -EINVAL, "%s: '%.40s' is not a weekday like MO, 1FR or -1SU", part,
	                 item);
}

static int read_until(struct rule *r, const char *v, struct fault *e)
{
	int y, mo, d, h = 0, mi = 0, s = 0;
	size_t n = strlen(v), i;

	for (i = 0; i < n; i++)
		if (i == 8 ? v[i] != 'T' : i == 15 ? v[i] != 'Z' : v[i] < '0' || v[i] > '9')
			goto bad;
	if ((n != 8 && n != 15 && n != 16) ||
	    sscanf(v, "%4d%2d%2dT%2d%2d%2d", &y, &mo, &d, &h, &mi, &s) < 3)
		goto bad;
	if (mo < 1 || mo > 12 || d < 1 || d > civil_month_days(y, mo) || h > 23 || mi > 59 ||
	    s > 60)
		goto bad;
	r->has_until = true;
	r->until_is_date = n == 8;
	r->until_is_local = n != 16;
	r->until_s = civil_days(y, mo, d) * 86400 + h * 3600 + mi * 60 + s;
	return 0;
bad:
	return fault_set(e, -EINVAL,
	                 "UNTIL: '%.40s' is not a date like 20301231 or 20301231T235959Z", v);
}

static int read_freq(struct rule *r, const char *v, struct fault *e)
{
	static const char *const name[] = {"HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"};
	size_t i;

	for (i = 0; i < sizeof name / sizeof *name; i++)
		if (strcasecmp(v, name[i]) == 0) {
			r->freq = (enum rule_freq)i;
			return 0;
		}
	if (strcasecmp(v, "MINUTELY") == 0 || strcasecmp(v, "SECONDLY") == 0)
		return fault_set(e, -EINVAL,
		                 "FREQ: '%s' is finer than HOURLY; list the minutes with BYMINUTE",
		                 v);
	return fault_set(e, -EINVAL,
	                 "FREQ: '%.40s' is not HOURLY, DAILY, WEEKLY, MONTHLY or YEARLY", v);
}

static int read_part(struct rule *r, const char *name, char *v, struct fault *e)
{
	static const struct {
		const char *name;
		item_fn *fn;
	} list[] = {
	        {"BYMONTH", add_month},      {"BYMONTHDAY", add_month_day},
	        {"BYYEARDAY", add_year_day}, {"BYWEEKNO", add_week_no},
	        {"BYDAY", add_day},          {"BYHOUR", add_hour},
	        {"BYMINUTE", add_minute},    {"BYSECOND", add_second},
	        {"BYSETPOS", add_set_pos},
	};
	size_t i;
	long n;

	for (i = 0; i < sizeof list / sizeof *list; i++)
		if (strcasecmp(name, list[i].name) == 0)
			return each(r, list[i].name, v, list[i].fn, e);
	if (strcasecmp(name, "FREQ") == 0)
		return read_freq(r, v, e);
	if (strcasecmp(name, "UNTIL") == 0)
		return read_until(r, v, e);
	if (strcasecmp(name, "INTERVAL") == 0) {
		if (!number(v, 1, 100000, &n))
			return not_within(e, "INTERVAL", v, 1, 100000);
		r->interval = (int)n;
		return 0;
	}
	if (strcasecmp(name, "COUNT") == 0) {
		if (!number(v, 1, 10000000, &n))
			return not_within(e, "COUNT", v, 1, 10000000);
		r->count = (uint32_t)n;
		return 0;
	}
	if (strcasecmp(name, "WKST") == 0) {
		if (strlen(v) != 2 || weekday_of(v) < 0)
			return fault_set(e, -EINVAL, "WKST: '%.40s' is not a weekday like MO", v);
		r->week_start = weekday_of(v);
		return 0;
	}
	return fault_set(e, -EINVAL, "'%.40s' is not a part of a recurrence rule", name);
}

/* What RFC 5545 forbids in combination, and what would give too much. */
static int check(const struct rule *r, struct fault *e)
{
	size_t i;
	int per_day = (r->hours                 ? __builtin_popcount(r->hours)
	               : r->freq == RULE_HOURLY ? 24
	                                        : 1) *
	              (r->minutes ? __builtin_popcountll(r->minutes) : 1) *
	              (r->seconds ? __builtin_popcountll(r->seconds) : 1);

	if (per_day > RULE_MAX_PER_DAY)
		return fault_set(e, -EINVAL, "the rule gives %d instants a day; the limit is %d",
		                 per_day, RULE_MAX_PER_DAY);
	if (r->count && r->has_until)
		return fault_set(e, -EINVAL, "COUNT and UNTIL exclude each other");
	if (r->week_no.any && r->freq != RULE_YEARLY)
		return fault_set(e, -EINVAL, "BYWEEKNO goes with FREQ=YEARLY only");
	if (r->year_day.any && r->freq != RULE_YEARLY && r->freq != RULE_HOURLY)
		return fault_set(e, -EINVAL, "BYYEARDAY goes with FREQ=YEARLY or HOURLY only");
	if (r->month_day.any && r->freq == RULE_WEEKLY)
		return fault_set(e, -EINVAL, "BYMONTHDAY does not go with FREQ=WEEKLY");
	for (i = 0; i < r->n_days; i++)
		if (r->day[i].nth &&
		    ((r->freq != RULE_MONTHLY && r->freq != RULE_YEARLY) || r->week_no.any))
			return fault_set(e, -EINVAL,
			                 "BYDAY: a number before a weekday goes with FREQ=MONTHLY "
			                 "or YEARLY, without BYWEEKNO");
	if (r->set_pos.any && !r->months && !r->month_day.any && !r->year_day.any &&
	    !r->week_no.any && !r->n_days && !r->hours && !r->minutes && !r->seconds)
		return fault_set(e, -EINVAL, "BYSETPOS needs another BY part to choose from");
	return 0;
}

static int parse_rrule(char *text, struct rule *r, struct fault *e)
{
	static const char *const once[] = {
	        "FREQ",  "UNTIL",      "COUNT",     "INTERVAL", "BYSECOND", "BYMINUTE", "BYHOUR",
	        "BYDAY", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYMONTH",  "BYSETPOS", "WKST"};
	unsigned seen = 0;
	char *part, *rest = text;
	size_t i;

	while ((part = strsep(&rest, ";"))) {
		char *v = strchr(part, '=');
		int err;

		if (!*part && !rest)
			break; /* a trailing ';' is common */
		if (!v || !v[1])
			return fault_set(e, -EINVAL, "'%.40s' is not NAME=VALUE", part);
		*v++ = '\0';
		for (i = 0; i < sizeof once / sizeof *once; i++)
			if (strcasecmp(part, once[i]) == 0) {
				if (seen & 1u << i)
					return fault_set(e, -EINVAL, "%s: stands twice", once[i]);
				seen |= 1u << i;
			}
		err = read_part(r, part, v, e);
		if (err)
			return err;
	}
	if (!(seen & 1u))
		return fault_set(e, -EINVAL, "FREQ: missing");
	return 0;
}

/* -- The short forms -------------------------------------------------------------------------- */

/*
 * "07:00", or ":15" with no_hour. A list of times is no product of hours and minutes, hence
 * `paired`.
 */
static int add_clock(struct rule *r, const char *t, bool no_hour, struct fault *e)
{
	int h = 0, m = 0, n = 0;

	if (no_hour && sscanf(t, ":%2d%n", &m, &n) == 1 && n == 3 && !t[n] && m >= 0 && m <= 59) {
		r->minutes |= UINT64_C(1) << m;
		return 0;
	}
	if (!no_hour && sscanf(t, "%2d:%2d%n", &h, &m, &n) == 2 && n >= 4 && !t[n] &&
	    t[n - 3] == ':' && h >= 0 && h <= 23 && m >= 0 && m <= 59) {
		r->paired = true;
		r->hours |= 1u << h;
		r->minutes |= UINT64_C(1) << m;
		r->minutes_of[h] |= UINT64_C(1) << m;
		return 0;
	}
	return fault_set(e, -EINVAL,
	                 no_hour ? "'%.40s' is not a minute like :15"
	                         : "'%.40s' is not a time like 09:30",
	                 t);
}

/* Names of cron and of plain speech: mon, tue, ... */
static int short_weekday(const char *s, size_t n)
{
	static const char *const name[] = {"monday", "tuesday",  "wednesday", "thursday",
	                                   "friday", "saturday", "sunday"};
	int i;

	for (i = 0; i < 7; i++)
		if ((n == 3 || n == strlen(name[i])) && strncasecmp(s, name[i], n) == 0)
			return i;
	return -1;
}

static bool add_weekdays(struct rule *r, char *list)
{
	unsigned days = 0;
	char *item, *rest = list;
	int i;

	if (strcasecmp(list, "daily") == 0) {
		r->freq = RULE_DAILY;
		return true;
	}
	r->freq = RULE_WEEKLY;
	if (strcasecmp(list, "weekdays") == 0)
		days = 0x1f;
	else if (strcasecmp(list, "weekends") == 0)
		days = 0x60;
	else
		while ((item = strsep(&rest, ","))) {
			char *dash = strchr(item, '-');
			int a = short_weekday(item, dash ? (size_t)(dash - item) : strlen(item));
			int b = dash ? short_weekday(dash + 1, strlen(dash + 1)) : a;

			if (a < 0 || b < 0)
				return false;
			for (i = a;; i = (i + 1) % 7) {
				days |= 1u << i;
				if (i == b)
					break;
			}
		}
	for (i = 0; i < 7; i++)
		if (days & 1u << i)
			r->day[r->n_days++] = (struct rule_day){(int8_t)i, 0};
	return true;
}

/* One field of cron: star, numbers, ranges, steps, lists; into bits lo..hi. */
static int cron_field(const char *name, char *text, int lo, int hi, uint64_t *ret, struct fault *e)
{
	char *item, *rest = text;

	*ret = 0;
	while ((item = strsep(&rest, ","))) {
		char *slash = strchr(item, '/'), *dash;
		long a = lo, b = hi, step = 1, i;
		int weekday = hi == 7 ? short_weekday(item, strlen(item)) : -1;

		if (slash) {
			*slash = '\0';
			if (!number(slash + 1, 1, hi ? hi : 1, &step))
				goto bad;
		}
		if (weekday >= 0) {
			a = b = weekday + 1;
		} else if (strcmp(item, "*") != 0) {
			dash = strchr(item, '-');
			if (dash)
				*dash = '\0';
			if (hi == 7 && short_weekday(item, strlen(item)) >= 0)
				a = short_weekday(item, strlen(item)) + 1;
			else if (!number(item, lo, hi, &a))
				goto bad;
			b = slash && !dash ? hi : a;
			if (dash && hi == 7 && short_weekday(dash + 1, strlen(dash + 1)) >= 0)
				b = short_weekday(dash + 1, strlen(dash + 1)) + 1;
			else if (dash && !number(dash + 1, lo, hi, &b))
				goto bad;
			if (b < a)
				goto bad;
		}
		for (i = a; i <= b; i += step)
			*ret |= UINT64_C(1) << i;
	}
	return 0;
bad:
	return fault_set(e, -EINVAL,
	                 "cron %s: '%.40s' is not *, a number from %d to %d, a range or a step",
	                 name, item, lo, hi);
}

static int parse_cron(char **field, struct rule *r, struct fault *e)
{
	uint64_t minute, hour, day, month, weekday;
	bool any_day = strcmp(field[2], "*") == 0, any_weekday = strcmp(field[4], "*") == 0;
	int i, err;

	if (!any_day && !any_weekday)
		return fault_set(e, -EINVAL,
		                 "cron: day of month and day of week together mean \"either\"; use "
		                 "two schedules");
	if ((err = cron_field("minute", field[0], 0, 59, &minute, e)) ||
	    (err = cron_field("hour", field[1], 0, 23, &hour, e)) ||
	    (err = cron_field("day of month", field[2], 1, 31, &day, e)) ||
	    (err = cron_field("month", field[3], 1, 12, &month, e)) ||
	    (err = cron_field("day of week", field[4], 0, 7, &weekday, e)))
		return err;
	r->freq = RULE_DAILY;
	r->minutes = minute;
	r->hours = (uint32_t)hour;
	r->months = month == 0x1ffe ? 0 : (uint16_t)(month >> 1);
	for (i = 1; !any_day && i <= 31; i++)
		if (day >> i & 1)
			rule_set_add(&r->month_day, i);
	if (!any_weekday) {
		weekday |= weekday & 1 ? 0x80 : 0; /* cron calls Sunday 0 or 7 */
		for (i = 1; i <= 7; i++)
			if (weekday >> i & 1)
				r->day[r->n_days++] = (struct rule_day){(int8_t)(i - 1), 0};
	}
	return 0;
}

static int parse_short(char *text, struct rule *r, struct fault *e)
{
	char *word[6], *item, *rest = text;
	size_t n = 0;

	while ((item = strsep(&rest, " \t"))) {
		if (!*item)
			continue;
		if (n == 6)
			return fault_set(e, -EINVAL, "more words than a schedule has");
		word[n++] = item;
	}
	r->seconds = 1;
	if (n == 5)
		return parse_cron(word, r, e);
	if (n >= 1 && n <= 2 && strcasecmp(word[0], "hourly") == 0) {
		r->freq = RULE_HOURLY;
		if (n == 1) {
			r->minutes = 1;
			return 0;
		}
		for (rest = word[1]; (item = strsep(&rest, ","));) {
			int err = add_clock(r, item, true, e);

			if (err)
				return err;
		}
		return 0;
	}
	if (n != 2)
		return fault_set(
		        e, -EINVAL,
		        "a schedule is FREQ=..., \"weekdays 09:30\" or the five fields of cron");
	/* said first: reading a list cuts it up */
	fault_set(e, -EINVAL,
	          "'%.40s' is not daily, weekdays, weekends, hourly or a list like mon,wed-fri",
	          word[0]);
	if (!add_weekdays(r, word[0]))
		return -EINVAL;
	*e->text = '\0';
	for (rest = word[1]; (item = strsep(&rest, ","));) {
		int err = add_clock(r, item, false, e);

		if (err)
			return err;
	}
	return 0;
}

int rule_parse(const char *text, struct rule *ret, struct fault *reterr)
{
	struct rule r = {.interval = 1};
	char copy[RULE_MAX_BYTES + 1];
	size_t n = strlen(text), skip = strncasecmp(text, "RRULE:", 6) == 0 ? 6 : 0;
	int err;

	if (n > RULE_MAX_BYTES)
		return fault_set(reterr, -EINVAL, "the rule is longer than %d bytes",
		                 RULE_MAX_BYTES);
	memcpy(copy, text + skip, n - skip + 1);
	err = strchr(copy, '=') ? parse_rrule(copy, &r, reterr) : parse_short(copy, &r, reterr);
	if (!err)
		err = check(&r, reterr);
	if (err)
		return err;
	*ret = r;
	return 0;
}
