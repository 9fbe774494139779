/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "calendar/tzif.h"

#include "calendar/civil.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/*
 * The longest table of a zone today has 250 transitions; a hostile file shall not make us sort
 * millions.
 */
#define MAX_TRANSITIONS 4096
#define MAX_TYPES       256
/* RFC 8536 section 3.2: offsets are within -25 h .. +26 h. */
#define MIN_OFFSET_S (-25 * 3600)
#define MAX_OFFSET_S (26 * 3600)

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t be64(const uint8_t *p)
{
	return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

/* -- Rows under construction ------------------------------------------------------------------- */

struct rows {
	int64_t from_s, to_s;
	struct zone_offset *v;
	size_t n, space;
	bool full;
};

/* Transitions come in ascending order. What lies before from_s moves the first row along. */
static void rows_add(struct rows *r, int64_t at_s, int32_t offset_s)
{
	if (at_s >= r->to_s)
		return;
	if (at_s <= r->from_s || r->n == 0) {
		r->v[0] = (struct zone_offset){{r->from_s * 1000000}, offset_s};
		r->n = 1;
		if (at_s <= r->from_s)
			return;
	}
	if (r->v[r->n - 1].offset_s == offset_s)
		return;
	if (r->n == r->space) {
		r->full = true;
		return;
	}
	r->v[r->n++] = (struct zone_offset){{at_s * 1000000}, offset_s};
}

/* -- The footer: a POSIX TZ string ------------------------------------------------------------- */

struct posix_date {
	char kind; /* 'J': day 1..365 without leap days; 'D': day 0..365; 'M': month.week.weekday */
	int day, month, week;
	int32_t time_s; /* in the local time that ends there */
};

struct posix_tz {
	int32_t std_s, dst_s; /* east of Greenwich */
	bool has_dst;
	struct posix_date to_dst, to_std;
};

struct cursor {
	const char *p, *end;
};

static char peek(const struct cursor *c)
{
	return c->p < c->end ? *c->p : '\0';
}

static bool eat(struct cursor *c, char ch)
{
	if (peek(c) != ch)
		return false;
	c->p++;
	return true;
}

static bool eat_int(struct cursor *c, int max, int *ret)
{
	int v = 0, digits = 0;

	while (peek(c) >= '0' && peek(c) <= '9') {
		v = v * 10 + (*c->p++ - '0');
		if (++digits > 4 || v > max)
			return false;
	}
	*ret = v;
	return digits > 0;
}

static bool eat_name(struct cursor *c)
{
	const char *start = c->p;

	if (eat(c, '<')) {
		while (c->p < c->end && *c->p != '>')
			c->p++;
		return eat(c, '>');
	}
	while ((peek(c) >= 'A' && peek(c) <= 'Z') || (peek(c) >= 'a' && peek(c) <= 'z'))
		c->p++;
	return c->p - start >= 3;
}

/* [+-]hh[:mm[:ss]] */
static bool eat_time(struct cursor *c, int max_hours, int32_t *ret_s)
{
	int sign = 1, h, m = 0, s = 0;

	if (eat(c, '-'))
		sign = -1;
	else
		eat(c, '+');
	if (!eat_int(c, max_hours, &h))
		return false;
	if (eat(c, ':') && !eat_int(c, 59, &m))
		return false;
	if (eat(c, ':') && !eat_int(c, 59, &s))
		return false;
	*ret_s = sign * (h * 3600 + m * 60 + s);
	return true;
}

static bool eat_date(struct cursor *c, struct posix_date *ret)
{
	ret->time_s = 7200;
	if (eat(c, 'M')) {
		ret->kind = 'M';
		if (!eat_int(c, 12, &ret->month) || ret->month < 1 || !eat(c, '.') ||
		    !eat_int(c, 5, &ret->week) || ret->week < 1 || !eat(c, '.') ||
		    !eat_int(c, 6, &ret->day))
			return false;
	} else if (eat(c, 'J')) {
		ret->kind = 'J';
		if (!eat_int(c, 365, &ret->day) || ret->day < 1)
			return false;
	} else {
		ret->kind = 'D';
		if (!eat_int(c, 365, &ret->day))
			return false;
	}
	return !eat(c, '/') || eat_time(c, 167, &ret->time_s);
}

static bool posix_parse(const char *p, size_t n, struct posix_tz *ret)
{
	struct cursor c = {p, p + n};
	int32_t west;

	*ret = (struct posix_tz){0};
	if (!eat_name(&c) || !eat_time(&c, 24, &west))
		return false;
	ret->std_s = -west;
	if (c.p == c.end)
		return true;
	ret->has_dst = true;
	ret->dst_s = ret->std_s + 3600;
	if (!eat_name(&c))
		return false;
	if (peek(&c) != ',') {
		if (!eat_time(&c, 24, &west))
			return false;
		ret->dst_s = -west;
	}
	return eat(&c, ',') && eat_date(&c, &ret->to_dst) && eat(&c, ',') &&
	       eat_date(&c, &ret->to_std) && c.p == c.end;
}

/* Seconds since 1970 on a clock that stands still at UTC. */
static int64_t posix_date_s(const struct posix_date *d, int64_t year)
{
	int64_t day = 0;

	switch (d->kind) {
	case 'J': /* day 60 is always March 1 */
		day = civil_days(year, 1, 1) + d->day - 1 + (civil_is_leap(year) && d->day >= 60);
		break;
	case 'D':
		day = civil_days(year, 1, 1) + d->day;
		break;
	default: {
		int64_t first = civil_days(year, d->month, 1);
		/* POSIX counts from Sunday, civil_weekday from Monday */
		int weekday = (d->day + 6) % 7;
		int in_month = (weekday - civil_weekday(first) + 7) % 7 + (d->week - 1) * 7;

		if (in_month >= civil_month_days(year, d->month))
			in_month -= 7; /* week 5 is the last one */
		day = first + in_month;
	}
	}
	return day * 86400 + d->time_s;
}

static void posix_rows(const struct posix_tz *tz, int64_t after_s, struct rows *r)
{
	int64_t begin = after_s > r->from_s ? after_s : r->from_s;
	int64_t year, last = civil_of(civil_floor_div(r->to_s, 86400)).year + 1;

	if (!tz->has_dst) {
		/*
		 * without a transition after the last one of the table this only fills an empty
		 * table
		 */
		if (r->n == 0 || r->v[r->n - 1].offset_s != tz->std_s)
			rows_add(r, begin, tz->std_s);
		return;
	}
	/* the year before shows which offset is in force at `begin` */
	for (year = civil_of(civil_floor_div(begin, 86400)).year - 1; year <= last && !r->full;
	     year++) {
		int64_t to_dst = posix_date_s(&tz->to_dst, year) - tz->std_s;
		int64_t to_std = posix_date_s(&tz->to_std, year) - tz->dst_s;
		bool dst_first = to_dst < to_std;
		int64_t a = dst_first ? to_dst : to_std, b = dst_first ? to_std : to_dst;
		int32_t at_a = dst_first ? tz->dst_s : tz->std_s;
		int32_t at_b = dst_first ? tz->std_s : tz->dst_s;

		if (a > after_s)
			rows_add(r, a, at_a);
		if (b > after_s)
			rows_add(r, b, at_b);
	}
}

/* -- The file ---------------------------------------------------------------------------------- */

struct block {
	size_t isut, isstd, leap, time, type, chars;
};

static bool block_read(const uint8_t *p, size_t n, struct block *ret)
{
	if (n < 44 || memcmp(p, "TZif", 4) != 0)
		return false;
	*ret = (struct block){be32(p + 20), be32(p + 24), be32(p + 28),
	                      be32(p + 32), be32(p + 36), be32(p + 40)};
	return ret->time <= MAX_TRANSITIONS && ret->type >= 1 && ret->type <= MAX_TYPES &&
	       ret->leap <= MAX_TRANSITIONS && ret->chars <= 4096 && ret->isut <= MAX_TYPES &&
	       ret->isstd <= MAX_TYPES;
}

static size_t block_bytes(const struct block *b, size_t time_bytes)
{
	return b->time * time_bytes + b->time + b->type * 6 + b->chars +
	       b->leap * (time_bytes + 4) + b->isstd + b->isut;
}

static const char *rows_read(const uint8_t *file, size_t n_file, struct rows *r)
{
	struct block b;
	struct posix_tz tz;
	const uint8_t *p, *index, *type;
	size_t skip, footer, n, i;
	int64_t last = INT64_MIN;

	if (!block_read(file, n_file, &b))
		return "it is not a time zone file";
	if (file[4] < '2')
		return "it is a time zone file of version 1, without 64-bit times";
	skip = 44 + block_bytes(&b, 4);
	if (skip > n_file || !block_read(file + skip, n_file - skip, &b))
		return "the time zone file is cut short";
	p = file + skip + 44;
	n = n_file - skip - 44;
	footer = block_bytes(&b, 8);
	if (footer > n)
		return "the time zone file is cut short";
	if (b.leap)
		return "the time zone file counts leap seconds ('right/')";
	index = p + b.time * 8;
	type = index + b.time;
	for (i = 0; i < b.type; i++) {
		int32_t s = (int32_t)be32(type + i * 6);

		if (s < MIN_OFFSET_S || s > MAX_OFFSET_S)
			return "the time zone file has an offset out of range";
	}
	rows_add(r, INT64_MIN, (int32_t)be32(type)); /* type 0 holds before the first transition */
	for (i = 0; i < b.time; i++) {
		int64_t at = be64(p + i * 8);

		if (index[i] >= b.type || (i && at <= last))
			return "the time zone file has its transitions in disorder";
		last = at;
		rows_add(r, at, (int32_t)be32(type + index[i] * 6u));
	}
	p += footer;
	n -= footer;
	if (n >= 2 && p[0] == '\n') {
		const uint8_t *end = memchr(p + 1, '\n', n - 1);

		if (end && end > p + 1) {
			if (!posix_parse((const char *)p + 1, (size_t)(end - p - 1), &tz))
				return "the time zone file ends in a rule that is not understood";
			posix_rows(&tz, last, r);
		}
	}
	return r->full ? "the time zone has too many transitions" : NULL;
}

int tzif_rows(const uint8_t *file, size_t n_file, int64_t from_s, int64_t to_s,
              struct zone_offset **ret, size_t *ret_n, const char **ret_why)
{
	struct rows r = {.from_s = from_s, .to_s = to_s, .space = 2 * MAX_TRANSITIONS};
	const char *why;

	r.v = malloc(r.space * sizeof *r.v);
	if (!r.v)
		return -ENOMEM;
	why = rows_read(file, n_file, &r);
	if (why) {
		free(r.v);
		*ret_why = why;
		return -EINVAL;
	}
	*ret = r.v;
	*ret_n = r.n;
	return 0;
}
