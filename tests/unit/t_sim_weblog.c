/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/weblog.c"

#include "tests/tap.h"

#define TAIL "\" 200 318 \"-\" \"Mozilla/5.0 (X11)\""

static const struct {
	const char *line;
	enum weblog_what what;
	int64_t at_s;
	const char *target;
	uint32_t bytes;
} row[] = {
        {"1.2.3.4 - - [17/May/2026:08:05:32 +0000] \"GET /a HTTP/1.1" TAIL, WEBLOG_OK, 1779005132,
         "/a", 318},
        {"1.2.3.4 - - [17/May/2026:08:05:32 +0200] \"GET /a HTTP/1.1" TAIL, WEBLOG_OK, 1778997932,
         "/a", 318},
        {"1.2.3.4 - - [17/May/2026:08:05:32 -0930] \"GET /a HTTP/1.1" TAIL, WEBLOG_OK, 1779039332,
         "/a", 318},
        {"::1 - o [b] x [29/Feb/2024:23:59:60 +0000] \"HEAD /a HTTP/2.0\" 304 0", WEBLOG_OK,
         1709251200, "/a", 0},
        {"h - - [01/Jan/1970:00:00:00 +0000] \"GET / HTTP/1.0\" 200 -", WEBLOG_OK, 0, "/", 0},
        {"h - - [17/May/2026:08:05:32 +0000] \"GET /a?b=1&c HTTP/1.1" TAIL, WEBLOG_OK, 1779005132,
         "/a", 318},
        {"h - - [17/May/2026:08:05:32 +0000] \"GET /a#f HTTP/1.1" TAIL, WEBLOG_OK, 1779005132, "/a",
         318},
        {"h - - [17/May/2026:08:05:32 +0000] \"GET /\\x22q\\x22\\x5C HTTP/1.1" TAIL, WEBLOG_OK,
         1779005132, "/\"q\"\\", 318},
        {"h - - [17/May/2026:08:05:32 +0000] \"GET /\\\"q\\\\\\t HTTP/1.1" TAIL, WEBLOG_OK,
         1779005132, "/\"q\\\t", 318},
        {"h - - [17/May/2026:08:05:32 +0000] \"GET /a b HTTP/1.1" TAIL, WEBLOG_OK, 1779005132,
         "/a b", 318},
        {"h - - [17/May/2026:08:05:32 +0000] \"GET http://h.example/p/q?r HTTP/1.1" TAIL, WEBLOG_OK,
         1779005132, "/p/q", 318},
        {"h - - [17/May/2026:08:05:32 +0000] \"GET https://h.example HTTP/1.1" TAIL, WEBLOG_OK,
         1779005132, "/", 318},
        {"h - - [17/May/2026:08:05:32 +0000] \"GET /old\" 200 1", WEBLOG_OK, 1779005132, "/old", 1},
        {"h - - [17/May/2026:08:05:32 +0000] \"GET /big HTTP/1.1\" 200 99999999999", WEBLOG_OK,
         1779005132, "/big", UINT32_MAX},
        {"h - - [17/May/2026:08:05:32 +0000] \"-\" 408 0", WEBLOG_EMPTY, 0, NULL, 0},
        {"h - - [17/May/2026:08:05:32 +0000] \"\" 400 0", WEBLOG_EMPTY, 0, NULL, 0},
        {"h - - [17/May/2026:08:05:32 +0000] \"POST /a HTTP/1.1\" 200 0", WEBLOG_METHOD, 0, NULL,
         0},
        {"h - - [17/May/2026:08:05:32 +0000] \"GET /a HTTP/1.1\" 404 0", WEBLOG_STATUS, 0, NULL, 0},
        {"h - - [17/May/2026:08:05:32 +0000] \"GET /a HTTP/1.1\" 301 0", WEBLOG_STATUS, 0, NULL, 0},
        {"h - - [17/May/2026:08:05:32 +0000] \"\\x16\\x03\\x01\" 400 0", WEBLOG_MALFORMED, 0, NULL,
         0},
        {"h - - [17/May/2026:08:05:32 +0000] \"GET /a HTTP/1.1", WEBLOG_MALFORMED, 0, NULL, 0},
        {"h - - [17/May/2026:08:05:32 +0000] \"GET /a HTTP/1.1\"", WEBLOG_MALFORMED, 0, NULL, 0},
        {"h - - [17/Mai/2026:08:05:32 +0000] \"GET /a HTTP/1.1" TAIL, WEBLOG_MALFORMED, 0, NULL, 0},
        {"h - - [00/May/2026:08:05:32 +0000] \"GET /a HTTP/1.1" TAIL, WEBLOG_MALFORMED, 0, NULL, 0},
        {"h - - [17/May/2026:24:05:32 +0000] \"GET /a HTTP/1.1" TAIL, WEBLOG_MALFORMED, 0, NULL, 0},
        {"h - - [17/May/2026:08:05:32] \"GET /a HTTP/1.1" TAIL, WEBLOG_MALFORMED, 0, NULL, 0},
        {"", WEBLOG_MALFORMED, 0, NULL, 0},
        {"[", WEBLOG_MALFORMED, 0, NULL, 0},
};
#define ROWS (sizeof(row) / sizeof(row[0]))

TEST(lines_mean_what_the_servers_meant)
{
	for (size_t i = 0; i < ROWS; i++) {
		char line[256];
		struct weblog w;
		enum weblog_what what;

		snprintf(line, sizeof(line), "%s", row[i].line);
		what = weblog_parse(line, strlen(line), false, &w);
		OK(what == row[i].what, "row %zu: %d", i, what);
		if (what != WEBLOG_OK)
			continue;
		OK(w.at.us == row[i].at_s * 1000000, "row %zu: %" PRId64, i, w.at.us / 1000000);
		OK(bytes_equal(w.target, bytes_str(row[i].target)), "row %zu: %.*s", i,
		   (int)w.target.n, (const char *)w.target.p);
		OK(w.bytes == row[i].bytes, "row %zu: %u", i, w.bytes);
	}
}

TEST(the_query_is_kept_when_asked_for)
{
	char line[] = "h - - [17/May/2026:08:05:32 +0000] \"GET /a?b=1#c HTTP/1.1\" 200 3";
	struct weblog w;

	OK(weblog_parse(line, strlen(line), true, &w) == WEBLOG_OK);
	OK(bytes_equal(w.target, bytes_str("/a?b=1")));
}

TEST(a_line_may_end_anywhere)
{
	for (size_t i = 0; i < ROWS; i++) {
		size_t n = strlen(row[i].line);

		for (size_t cut = 0; cut <= n; cut++) {
			char *line = malloc(cut + 1); /* exact: a sanitizer sees a byte too far */
			struct weblog w;

			memcpy(line, row[i].line, cut);
			line[cut] = '\0';
			weblog_looks_like(bytes_of(line, cut));
			weblog_parse(line, cut, false, &w);
			free(line);
		}
	}
	OK(true);
}

TEST(days_are_counted_as_the_calendar_does)
{
	/* 2000 was a leap year, 1900 and 2100 are not */
	OK(days_since_1970(1970, 1, 1) == 0);
	OK(days_since_1970(2000, 3, 1) - days_since_1970(2000, 2, 28) == 2);
	OK(days_since_1970(1900, 3, 1) - days_since_1970(1900, 2, 28) == 1);
	OK(days_since_1970(2100, 3, 1) - days_since_1970(2100, 2, 28) == 1);
	OK(days_since_1970(2026, 11, 23) == 20780);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(lines_mean_what_the_servers_meant);
	RUN(the_query_is_kept_when_asked_for);
	RUN(a_line_may_end_anywhere);
	RUN(days_are_counted_as_the_calendar_does);
	return tap_done();
}
