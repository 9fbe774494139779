/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/weblog.h"

/* `[dd/Mon/yyyy:HH:MM:SS +hhmm] "` */
#define TIME_CHARS 26
#define HEAD_CHARS (1 + TIME_CHARS + 3)

static bool two_digits(const char *p, int hi, int *ret)
{
	if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
		return false;
	*ret = (p[0] - '0') * 10 + (p[1] - '0');
	return *ret <= hi;
}

/* Days since 1970-01-01 of a date in the Gregorian calendar: years begin in March here, so that the
 * leap day is the last of its year. */
static int64_t days_since_1970(int y, int month, int d)
{
	int64_t year = month > 2 ? y : y - 1, era = year / 400, of_era = year - era * 400;
	int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + d - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool parse_time(const char *p, struct instant *ret)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	int day, century, year, hour, minute, second, off_hour, off_minute, month = 0;
	int64_t s;

	while (month < 12 && memcmp(months + 3 * month, p + 3, 3) != 0)
		month++;
	if (month == 12 || p[2] != '/' || p[6] != '/' || p[11] != ':' || p[14] != ':' ||
	    p[17] != ':' || p[20] != ' ' || (p[21] != '+' && p[21] != '-'))
		return false;
	if (!two_digits(p, 31, &day) || !two_digits(p + 7, 99, &century) ||
	    !two_digits(p + 9, 99, &year) || !two_digits(p + 12, 23, &hour) ||
	    !two_digits(p + 15, 59, &minute) || !two_digits(p + 18, 60, &second) ||
	    !two_digits(p + 22, 23, &off_hour) || !two_digits(p + 24, 59, &off_minute))
		return false;
	if (day < 1 || century < 19)
		return false;
	s = days_since_1970(century * 100 + year, month + 1, day) * 86400 + hour * 3600 +
	    minute * 60 + second;
	s -= (p[21] == '-' ? -1 : 1) * (off_hour * 3600 + off_minute * 60);
	if (s < 0)
		return false;
	*ret = (struct instant){s * 1000000};
	return true;
}

/* Where `[time] "` begins, or NULL. The user name before it may hold spaces and brackets. */
static const char *find_head(const char *line, size_t n)
{
	struct instant at;

	for (const char *p = line, *end = line + n; p < end; p++) {
		p = memchr(p, '[', (size_t)(end - p));
		if (!p || end - p < HEAD_CHARS)
			return NULL;
		if (p[1 + TIME_CHARS] == ']' && p[2 + TIME_CHARS] == ' ' &&
		    p[3 + TIME_CHARS] == '"' && parse_time(p + 1, &at))
			return p;
	}
	return NULL;
}

bool weblog_looks_like(struct bytes line)
{
	return find_head(line.p, line.n) != NULL;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/*
 * Undoes the escapes of a quoted string in place up to its closing quote. Returns what is behind
 * the quote and the new length, or NULL when the quote is missing.
 */
static char *unquote(char *p, char *end, size_t *ret_n)
{
	char *from = p, *to = p;

	while (from < end && *from != '"') {
		char c = *from++;

		if (c == '\\' && from < end) {
			c = *from++;
			if (c == 'x' && end - from >= 2 && hex(from[0]) >= 0 && hex(from[1]) >= 0) {
				c = (char)(hex(from[0]) * 16 + hex(from[1]));
				from += 2;
			} else {
				c = c == 't'   ? '\t'
				    : c == 'n' ? '\n'
				    : c == 'r' ? '\r'
				    : c == 'v' ? '\v'
				    : c == 'b' ? '\b'
				    : c == 'f' ? '\f'
				               : c;
			}
		}
		*to++ = c;
	}
	if (from == end)
		return NULL;
	*ret_n = (size_t)(to - p);
	return from + 1;
}

/* The target of `METHOD target HTTP/x`; empty when it is not of that form. */
static struct bytes target_of(struct bytes request)
{
	const char *p = request.p, *end = p + request.n, *from, *to;

	from = memchr(p, ' ', request.n);
	if (!from)
		return bytes_of(p, 0);
	from++;
	for (to = end; to > from && to[-1] != ' ';)
		to--;
	if (to == from) /* HTTP/0.9: `GET /path` */
		return bytes_of(from, (size_t)(end - from));
	if (end - to < 5 || memcmp(to, "HTTP/", 5) != 0)
		return bytes_of(p, 0);
	return bytes_of(from, (size_t)(to - 1 - from));
}

/* Leaves the path, and the query if it is kept: no scheme and host, no fragment. */
static struct bytes path_of(struct bytes target, bool keep_query)
{
	const char *p = target.p, *end = p + target.n, *cut;

	for (size_t scheme = 7; scheme <= 8; scheme++) {
		if (target.n > scheme &&
		    memcmp(p, scheme == 7 ? "http://" : "https://", scheme) == 0) {
			p = memchr(p + scheme, '/', target.n - scheme);
			if (!p)
				return bytes_of("/", 1);
			break;
		}
	}
	cut = memchr(p, '#', (size_t)(end - p));
	if (cut)
		end = cut;
	cut = keep_query ? NULL : memchr(p, '?', (size_t)(end - p));
	if (cut)
		end = cut;
	return bytes_of(p, (size_t)(end - p));
}

enum weblog_what weblog_parse(char *line, size_t n, bool keep_query, struct weblog *ret)
{
	char *end = line + n, *head = (char *)find_head(line, n), *p;
	struct bytes request;
	bool get;

	if (!head)
		return WEBLOG_MALFORMED;
	parse_time(head + 1, &ret->at);
	request.p = head + HEAD_CHARS;
	p = unquote(head + HEAD_CHARS, end, &request.n);
	if (!p || end - p < 5 || p[0] != ' ' || p[4] != ' ')
		return WEBLOG_MALFORMED;
	ret->status = 0;
	for (int i = 1; i <= 3; i++) {
		if (p[i] < '0' || p[i] > '9')
			return WEBLOG_MALFORMED;
		ret->status = (uint16_t)(ret->status * 10 + (p[i] - '0'));
	}
	ret->bytes = 0;
	for (p += 5; p < end && *p >= '0' && *p <= '9'; p++)
		ret->bytes = ret->bytes > (UINT32_MAX - 9) / 10
		                     ? UINT32_MAX
		                     : ret->bytes * 10 + (uint32_t)(*p - '0');
	if (request.n == 0 || (request.n == 1 && *(const char *)request.p == '-'))
		return WEBLOG_EMPTY;
	get = request.n > 4 && (memcmp(request.p, "GET ", 4) == 0 ||
	                        (request.n > 5 && memcmp(request.p, "HEAD ", 5) == 0));
	ret->target = path_of(target_of(request), keep_query);
	if (ret->target.n == 0)
		return WEBLOG_MALFORMED;
	if (!get)
		return WEBLOG_METHOD;
	return (ret->status >= 200 && ret->status < 300) || ret->status == 304 ? WEBLOG_OK
	                                                                       : WEBLOG_STATUS;
}
