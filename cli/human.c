/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/human.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* 95th percentile of the standard normal: two of them bound 90 %. */
#define Z95 1.6448536269514722

static const struct unit {
	const char *name;
	double s;
} units[] = {
        {"ms", 1e-3}, {"s", 1}, {"min", 60}, {"m", 60}, {"h", 3600}, {"d", 86400}, {"w", 604800},
};

int human_parse_span(const char *text, double *ret_s)
{
	double sum = 0;
	const char *p = text;

	if (!*p)
		return -EINVAL;
	while (*p) {
		char *end;
		double x, unit_s = 0;
		size_t n;

		if (!((*p >= '0' && *p <= '9') || *p == '.'))
			return -EINVAL;
		x = strtod(p, &end);
		if (end == p || !isfinite(x))
			return -EINVAL;
		n = strspn(end, "abcdefghijklmnopqrstuvwxyz");
		for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
			if (n == strlen(units[i].name) && !strncmp(end, units[i].name, n))
				unit_s = units[i].s;
		if (n == 0 && p == text && !*end)
			unit_s = 1; /* a bare number is seconds, if alone: 1h30 is unclear */
		if (unit_s == 0)
			return -EINVAL;
		sum += x * unit_s;
		p = end + n;
	}
	*ret_s = sum;
	return 0;
}

char *human_number(char *buf, double x)
{
	double a = fabs(x);
	int digits;

	if (!isfinite(x))
		return strcpy(buf, "-");
	if (a == 0)
		return strcpy(buf, "0");
	if (a < 0.001 || a >= 1e6) {
		snprintf(buf, HUMAN_MAX, "%.3g", x);
		return buf;
	}
	digits = a >= 99.95     ? 0
	         : a >= 9.995   ? 1
	         : a >= 0.9995  ? 2
	         : a >= 0.09995 ? 3
	         : a >= 0.01    ? 4
	                        : 5;
	snprintf(buf, HUMAN_MAX, "%.*f", digits, x);
	if (strchr(buf, '.')) { /* 1.50 -> 1.5, 2.00 -> 2 */
		char *end = buf + strlen(buf) - 1;

		while (*end == '0')
			*end-- = '\0';
		if (*end == '.')
			*end = '\0';
	}
	return buf;
}

/* "3 min 20 s", without the second part when it is 0. */
static char *two_parts(char *buf, double big, const char *big_unit, double small,
                       const char *small_unit)
{
	int n = snprintf(buf, HUMAN_MAX, "%.0f %s", big, big_unit);

	if (small > 0)
		snprintf(buf + n, HUMAN_MAX - (size_t)n, " %.0f %s", small, small_unit);
	return buf;
}

char *human_span(char *buf, double s)
{
	char a[HUMAN_MAX];
	double r;

	if (!isfinite(s))
		return strcpy(buf, "-");
	if (s < 0) {
		human_span(buf, -s);
		memmove(buf + 1, buf, strlen(buf) + 1);
		buf[0] = '-';
		return buf;
	}
	if (s > 0 && s < 0.9995) {
		snprintf(buf, HUMAN_MAX, "%.32s ms", human_number(a, s * 1000));
		return buf;
	}
	if (s < 99.95) {
		snprintf(buf, HUMAN_MAX, "%.32s s", human_number(a, s));
		return buf;
	}
	r = round(s);
	if (r < 3600)
		return two_parts(buf, floor(r / 60), "min", fmod(r, 60), "s");
	r = round(s / 60);
	if (r < 2880)
		return two_parts(buf, floor(r / 60), "h", fmod(r, 60), "min");
	r = round(s / 3600);
	return two_parts(buf, floor(r / 24), "d", fmod(r, 24), "h");
}

char *human_count(char *buf, double n)
{
	const char *unit = "";
	char a[HUMAN_MAX];

	if (!isfinite(n))
		return strcpy(buf, "-");
	if (fabs(n) >= 999.5e6) {
		n *= 1e-9;
		unit = " G";
	} else if (fabs(n) >= 999.5e3) {
		n *= 1e-6;
		unit = " M";
	} else if (fabs(n) >= 9999.5) {
		n *= 1e-3;
		unit = " k";
	}
	snprintf(buf, HUMAN_MAX, "%.32s%s", human_number(a, n), unit);
	return buf;
}

char *human_share(char *buf, double share)
{
	char a[HUMAN_MAX];

	if (!isfinite(share))
		return strcpy(buf, "-");
	snprintf(buf, HUMAN_MAX, "%s %%", human_number(a, share * 100));
	return buf;
}

char *human_bytes(char *buf, double bytes)
{
	static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	char a[HUMAN_MAX];
	size_t u = 0;

	if (!isfinite(bytes))
		return strcpy(buf, "-");
	while (fabs(bytes) >= 1024 && u + 1 < sizeof(unit) / sizeof(unit[0])) {
		bytes /= 1024;
		u++;
	}
	snprintf(buf, HUMAN_MAX, "%s %s", human_number(a, bytes), unit[u]);
	return buf;
}

/* The unit in which a rate is 0.5 or more, or the longest. */
static const struct unit *rate_unit(double per_s)
{
	static const struct unit unit[] = {{"s", 1}, {"min", 60}, {"h", 3600}, {"d", 86400}};
	size_t i = 0;

	if (per_s > 0)
		while (i < 3 && per_s * unit[i].s < 0.5)
			i++;
	return &unit[i];
}

char *human_rate(char *buf, double per_s)
{
	const struct unit *u = rate_unit(per_s);
	char a[HUMAN_MAX];

	if (!isfinite(per_s))
		return strcpy(buf, "-");
	snprintf(buf, HUMAN_MAX, "%.32s per %s", human_number(a, per_s * u->s), u->name);
	return buf;
}

char *human_rate_range(char *buf, double per_s, double lo, double hi)
{
	const struct unit *u = rate_unit(per_s);
	char a[HUMAN_MAX], b[HUMAN_MAX], c[HUMAN_MAX];

	if (!isfinite(per_s))
		return strcpy(buf, "-");
	snprintf(buf, HUMAN_MAX, "%.16s (%.16s to %.16s) per %s", human_number(a, per_s * u->s),
	         human_number(b, lo * u->s), human_number(c, hi * u->s), u->name);
	return buf;
}

char *human_time(char *buf, double s, bool utc)
{
	struct tm tm;
	time_t t;

	if (!(fabs(s) < 1e11)) /* year 5138: what is beyond is "never", not a time */
		return strcpy(buf, "never");
	t = (time_t)floor(s);
	if (!(utc ? gmtime_r(&t, &tm) : localtime_r(&t, &tm)))
		return strcpy(buf, "never");
	strftime(buf, HUMAN_MAX, utc ? "%Y-%m-%d %H:%M:%SZ" : "%Y-%m-%d %H:%M:%S", &tm);
	return buf;
}

void human_interval90(struct estimate e, double *ret_lo, double *ret_hi)
{
	double shape, c;

	*ret_lo = 0;
	*ret_hi = HUGE_VAL;
	if (!(e.mean > 0) || !isfinite(e.sd))
		return;
	if (!(e.sd > 0)) {
		*ret_lo = *ret_hi = e.mean;
		return;
	}
	/* Gamma with this mean and sd; (X / mean)^(1/3) is nearly normal(1 - 1/(9a), 1/(9a)) */
	shape = e.mean * e.mean / (e.sd * e.sd);
	c = 1 / (9 * shape);
	*ret_lo = e.mean * pow(fmax(0, 1 - c - Z95 * sqrt(c)), 3);
	*ret_hi = e.mean * pow(1 - c + Z95 * sqrt(c), 3);
	if (*ret_lo < e.mean / 1000) /* nobody can tell that from never */
		*ret_lo = 0;
}
