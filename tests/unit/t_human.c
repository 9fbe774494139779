/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/human.h"

#include "base/text.h"
#include "tests/tap.h"

#include <gsl/gsl_cdf.h>
#include <string.h>

#define SAYS(call, want)                                                                           \
	do {                                                                                       \
		char buf[HUMAN_MAX];                                                               \
		const char *got = call;                                                            \
		OK(!strcmp(got, want), "got \"%s\"", got);                                         \
	} while (0)

TEST(spans_are_read_in_every_unit)
{
	static const struct {
		const char *text;
		double s;
	} good[] = {{"30", 30},     {"30s", 30},    {"5m", 300},     {"5min", 300},
	            {"1.5h", 5400}, {"2d", 172800}, {"250ms", 0.25}, {"1h30m", 5400},
	            {"0.05", 0.05}, {"1w", 604800}};
	static const char *const bad[] = {"",    "s",     "1x",    "-5",  "1h30", "5 m", "nan",
	                                  "inf", "1e999", "0x10q", "1hh", "5m ",  "+3"};
	double s;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		OK(human_parse_span(good[i].text, &s) == 0, "%s", good[i].text);
		NEAR(s, good[i].s, 1e-12);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		s = 77;
		OK(human_parse_span(bad[i], &s) != 0 && s == 77, "%s", bad[i]);
	}
}

TEST(spans_are_shown_in_the_unit_that_reads_best)
{
	SAYS(human_span(buf, 0.25), "250 ms");
	SAYS(human_span(buf, 4.2), "4.2 s");
	SAYS(human_span(buf, 59.99), "60 s");
	SAYS(human_span(buf, 200), "3 min 20 s");
	SAYS(human_span(buf, 240), "4 min");
	SAYS(human_span(buf, 3599.7), "1 h");
	SAYS(human_span(buf, 3900), "1 h 5 min");
	SAYS(human_span(buf, 187200), "2 d 4 h");
	SAYS(human_span(buf, 172800), "2 d");
	SAYS(human_span(buf, -2), "-2 s");
	SAYS(human_span(buf, 0), "0 s");
	SAYS(human_span(buf, NAN), "-");
	SAYS(human_span(buf, HUGE_VAL), "-");
}

TEST(counts_have_a_unit_where_they_are_long)
{
	SAYS(human_count(buf, 0), "0");
	SAYS(human_count(buf, 950), "950");
	SAYS(human_count(buf, 9999), "9999");
	SAYS(human_count(buf, 12345), "12.3 k");
	SAYS(human_count(buf, 999499), "999 k");
	SAYS(human_count(buf, 999600), "1 M");
	SAYS(human_count(buf, 2.5e9), "2.5 G");
	SAYS(human_count(buf, HUGE_VAL), "-");
}

TEST(numbers_have_three_digits)
{
	SAYS(human_number(buf, 0), "0");
	SAYS(human_number(buf, 0.123456), "0.123");
	SAYS(human_number(buf, 1.5), "1.5");
	SAYS(human_number(buf, 99.96), "100");
	SAYS(human_number(buf, 1234), "1234");
	SAYS(human_number(buf, 1e7), "1e+07");
	SAYS(human_number(buf, NAN), "-");
	SAYS(human_share(buf, 0.0072), "0.72 %");
	SAYS(human_bytes(buf, 1536), "1.5 KiB");
	SAYS(human_rate(buf, 0.2), "12 per min");
	SAYS(human_rate(buf, 3.0 / 3600), "3 per h");
	SAYS(human_rate(buf, 0), "0 per s");
	SAYS(human_rate_range(buf, 1.25 / 3600, 0.1 / 3600, 70.0 / 3600), "1.25 (0.1 to 70) per h");
	SAYS(human_rate_range(buf, 1, 0, HUGE_VAL), "1 (0 to -) per s");
}

TEST(times_are_shown_and_far_ones_are_never)
{
	SAYS(human_time(buf, 1764081000, true), "2025-11-25 14:30:00Z");
	SAYS(human_time(buf, HUGE_VAL, true), "never");
	SAYS(human_time(buf, NAN, true), "never");
}

/* Against the Gamma quantiles of GSL. */
TEST(the_interval_is_that_of_a_gamma)
{
	static const double shape[] = {1, 3, 10, 100};

	for (size_t i = 0; i < sizeof(shape) / sizeof(shape[0]); i++) {
		double a = shape[i], b = 50, lo, hi;

		human_interval90((struct estimate){a / b, sqrt(a) / b, 5}, &lo, &hi);
		NEAR(gsl_cdf_gamma_P(lo, a, 1 / b), 0.05, 0.012);
		NEAR(gsl_cdf_gamma_P(hi, a, 1 / b), 0.95, 0.004);
	}
}

TEST(no_knowledge_has_no_upper_bound)
{
	double lo, hi;

	human_interval90((struct estimate){1, HUGE_VAL, 0}, &lo, &hi);
	OK(lo == 0 && isinf(hi));
}

TEST(text_from_elsewhere_is_made_safe)
{
	static const struct {
		const char *in;
		size_t n;
		const char *printable, *json;
		bool utf8;
	} row[] = {
	        {"plain", 5, "plain", "plain", true},
	        {"a\x1b[2J", 5, "a\\x1b[2J", "a\x1b[2J", true},
	        {"a\0b", 3, "a\\x00b", "a\\x00b", false},
	        {"\xc3\xa9", 2, "\xc3\xa9", "\xc3\xa9", true},
	        {"\xc3", 1, "\\xc3", "\\xc3", false},
	        {"\xc0\xaf", 2, "\\xc0\\xaf", "\\xc0\\xaf", false},               /* overlong */
	        {"\xed\xa0\x80", 3, "\\xed\\xa0\\x80", "\\xed\\xa0\\x80", false}, /* surrogate */
	        {"\xc2\x9b", 2, "\\xc2\\x9b", "\xc2\x9b", true}, /* CSI of the C1 set */
	        {"", 0, "", "", true},
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct bytes b = bytes_of(row[i].in, row[i].n);
		char *printable = text_printable(b), *json = text_json(b);

		OK(!strcmp(printable, row[i].printable), "row %zu: %s", i, printable);
		OK(!strcmp(json, row[i].json), "row %zu: %s", i, json);
		OK(text_is_utf8(b) == row[i].utf8, "row %zu", i);
		free(printable);
		free(json);
	}
}

TEST(names_are_quoted_within_bounds)
{
	char buf[TEXT_QUOTED_BYTES], longest[TEXT_QUOTED_MAX + 1];

	memset(longest, 1, sizeof(longest));
	OK(!strcmp(text_quoted(bytes_str(""), buf), "''"));
	OK(!strcmp(text_quoted(bytes_of("a\0\"'\\\n~\x7f\xe9", 9), buf),
	           "'a\\x00\\x22\\x27\\x5c\\x0a~\\x7f\\xe9'"),
	   "%s", buf);
	OK(!strcmp(text_quoted(bytes_of("0123456789012345678901234567890123456789", 40), buf),
	           "'0123456789012345678901234567890123456789'"));
	text_quoted(bytes_of(longest, sizeof(longest)), buf);
	OK(strlen(buf) == TEXT_QUOTED_BYTES - 1 && !strcmp(buf + strlen(buf) - 8, "\\x01...'"),
	   "%s", buf);
}

TEST(base64_is_that_of_rfc_4648)
{
	static const char *const row[][2] = {
	        {"", ""},        {"f", "Zg=="},        {"fo", "Zm8="},
	        {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"\xff\xfe\xfd", "//79"}};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		char *text = text_base64(bytes_str(row[i][0]));

		OK(!strcmp(text, row[i][1]), "%s", text);
		free(text);
	}
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(spans_are_read_in_every_unit);
	RUN(spans_are_shown_in_the_unit_that_reads_best);
	RUN(counts_have_a_unit_where_they_are_long);
	RUN(numbers_have_three_digits);
	RUN(times_are_shown_and_far_ones_are_never);
	RUN(the_interval_is_that_of_a_gamma);
	RUN(no_knowledge_has_no_upper_bound);
	RUN(text_from_elsewhere_is_made_safe);
	RUN(names_are_quoted_within_bounds);
	RUN(base64_is_that_of_rfc_4648);
	return tap_done();
}
