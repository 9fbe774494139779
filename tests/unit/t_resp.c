/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "proto/resp.c"

#include "base/rng.h"
#include "tests/tap.h"

static const struct resp_limits limits = {.inline_bytes = 64, .args = 8, .bulk_bytes = 100};

/* The whole text at once, in a buffer of its own. */
static enum resp_parse parse(struct resp_parser *s, const char *text, const struct resp_limits *l)
{
	static char buf[512];

	memset(s, 0, sizeof(*s));
	snprintf(buf, sizeof(buf), "%s", text);
	return resp_parse(s, buf, strlen(text), l);
}

static bool is(const struct resp_parser *s, size_t i, const char *text)
{
	return i < s->n && bytes_equal(s->arg[i], bytes_str(text));
}

TEST(requests_of_both_kinds_are_read)
{
	struct resp_parser s;

	OK(parse(&s, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", &limits) == RESP_REQUEST, "array");
	OK(s.n == 2 && is(&s, 0, "GET") && is(&s, 1, "k") && s.pos == 20, "n %zu pos %zu", s.n,
	   s.pos);
	resp_parser_release(&s);
	OK(parse(&s, "*2\r\n$3\r\nGET\r\n$0\r\n\r\n", &limits) == RESP_REQUEST && is(&s, 1, ""),
	   "empty string");
	resp_parser_release(&s);
	OK(parse(&s, "SET  k \"a\\x00\\n b\" 'it\\'s'\r\n", &limits) == RESP_REQUEST, "line");
	OK(s.n == 4 && bytes_equal(s.arg[2], bytes_of("a\0\n b", 5)) && is(&s, 3, "it's"), "n %zu",
	   s.n);
	resp_parser_release(&s);
	OK(parse(&s, "\r\n", &limits) == RESP_REQUEST && s.n == 0 && s.pos == 2, "empty line");
	OK(parse(&s, "*0\r\n", &limits) == RESP_REQUEST && s.n == 0 && s.pos == 4, "empty array");
	OK(parse(&s, "*-1\r\n", &limits) == RESP_REQUEST && s.n == 0, "null array");
}

TEST(what_is_no_request_is_refused_by_name)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
	        {"*x\r\n", "invalid multibulk length"},
	        {"*9\r\n", "invalid multibulk length"},
	        {"*01\r\n", "invalid multibulk length"},
	        {"*1\r\n+a\r\n", "expected '$'"},
	        {"*1\r\n$-1\r\n", "invalid bulk length"},
	        {"*1\r\n$101\r\n", "invalid bulk length"},
	        {"*1\r\n$99999999999999999999\r\n", "invalid bulk length"},
	        {"a 'b\r\n", "unbalanced quotes"},
	        {"a \"b\"c\r\n", "unbalanced quotes"},
	        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	         "too big inline"},
	        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
	         "too big inline"},
	        {"*111111111111111111111111111111111111111111111111111111111111111111111111",
	         "too big mbulk"},
	        {"*1\r\n$11111111111111111111111111111111111111111111111111111111111111111111111",
	         "too big bulk"},
	};
	struct resp_parser s;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		OK(parse(&s, bad[i].text, &limits) == RESP_BAD && strstr(s.error, bad[i].why),
		   "%s", bad[i].text);
		resp_parser_release(&s);
	}
}

TEST(a_stranger_gets_room_for_a_password_alone)
{
	struct resp_limits l = {.inline_bytes = 65536, .args = 1000, .bulk_bytes = 1 << 20};
	struct resp_parser s;

	OK(parse(&s, "*11\r\n", &l) == RESP_MORE, "one who is trusted");
	l.stranger = true;
	OK(parse(&s, "*11\r\n", &l) == RESP_BAD, "arguments");
	OK(parse(&s, "*10\r\n", &l) == RESP_MORE, "few arguments");
	OK(parse(&s, "*1\r\n$16385\r\n", &l) == RESP_BAD, "length");
	OK(parse(&s, "*1\r\n$16384\r\n", &l) == RESP_MORE, "short enough");
}

/* Cut anywhere, with a buffer that moves each time, a stream gives the same requests. */
TEST(pieces_give_what_the_whole_gives)
{
	static const char stream[] = "*3\r\n$3\r\nSET\r\n$2\r\nk1\r\n$10\r\n0123456789\r\nPING\r\n"
	                             "*1\r\n$4\r\nQUIT\r\nECHO \"x y\"\r\n*0\r\n\r\n*2\r\n$1\r\na\r\n"
	                             "$0\r\n\r\n";
	size_t n = sizeof(stream) - 1;
	struct rng g;

	rng_init(&g, tap_seed);
	for (int round = 0; round < 500; round++) {
		struct resp_parser s = {0};
		size_t start = 0, have = 0, requests = 0, args = 0;
		char *buf = NULL;

		while (start < n) {
			enum resp_parse got = RESP_MORE;
			char *moved;

			if (have > start) {
				moved = mem_dup(stream + start, have - start);
				free(buf);
				buf = moved;
				got = resp_parse(&s, buf, have - start, &limits);
			}
			if (got == RESP_MORE) {
				if (have == n)
					break;
				have += 1 + rng_below(&g, 9);
				have = have < n ? have : n;
				continue;
			}
			OK(got == RESP_REQUEST, "round %d at %zu", round, start);
			requests++;
			args += s.n;
			start += s.pos;
			resp_parser_next(&s);
		}
		free(buf);
		resp_parser_release(&s);
		OK(start == n && requests == 7 && args == 9, "round %d: %zu %zu", round, requests, args);
	}
}

TEST(whole_numbers_are_what_redis_takes_for_them)
{
	static const char *const wrong[] = {"",   "-",  "+1", " 1", "1 ",  "01",
	                                    "-0", "1.", "a",  "-a", "1e3", "9223372036854775808",
	                                    "-9223372036854775809"};
	int64_t v;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		OK(!resp_int(bytes_str(wrong[i]), &v), "'%s'", wrong[i]);
	OK(resp_int(bytes_str("0"), &v) && v == 0, "0");
	OK(resp_int(bytes_str("-12"), &v) && v == -12, "-12");
	OK(resp_int(bytes_str("9223372036854775807"), &v) && v == INT64_MAX, "max");
	OK(resp_int(bytes_str("-9223372036854775808"), &v) && v == INT64_MIN, "min");
}

static bool wrote(struct resp_out *o, const char *text)
{
	bool same = o->n == strlen(text) && !memcmp(o->p, text, o->n);

	if (!same)
		printf("# %.*s\n", (int)o->n, o->p);
	o->n = 0;
	return same;
}

TEST(replies_differ_by_version_where_they_must)
{
	struct resp_out o = {.version = 2};

	for (o.version = 2; o.version <= 3; o.version++) {
		bool three = o.version == 3;

		resp_null(&o);
		OK(wrote(&o, three ? "_\r\n" : "$-1\r\n"), "null");
		resp_null_array(&o);
		OK(wrote(&o, three ? "_\r\n" : "*-1\r\n"), "null array");
		resp_map(&o, 2);
		OK(wrote(&o, three ? "%2\r\n" : "*4\r\n"), "map");
		resp_set(&o, 2);
		OK(wrote(&o, three ? "~2\r\n" : "*2\r\n"), "set");
		resp_verbatim(&o, bytes_str("hi"));
		OK(wrote(&o, three ? "=6\r\ntxt:hi\r\n" : "$2\r\nhi\r\n"), "verbatim");
		resp_bulk(&o, bytes_of("", 0));
		OK(wrote(&o, "$0\r\n\r\n"), "bulk");
		resp_number(&o, INT64_MIN);
		OK(wrote(&o, ":-9223372036854775808\r\n"), "least number");
		resp_number(&o, INT64_MAX);
		OK(wrote(&o, ":9223372036854775807\r\n"), "most");
		resp_error(&o, "ERR %s", "two\r\nlines");
		OK(wrote(&o, "-ERR two  lines\r\n"), "an error stays on its line");
	}
	resp_out_release(&o);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(requests_of_both_kinds_are_read);
	RUN(what_is_no_request_is_refused_by_name);
	RUN(a_stranger_gets_room_for_a_password_alone);
	RUN(pieces_give_what_the_whole_gives);
	RUN(whole_numbers_are_what_redis_takes_for_them);
	RUN(replies_differ_by_version_where_they_must);
	return tap_done();
}
