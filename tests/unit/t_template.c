/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "analyzer/template.c"

#include "base/rng.h"
#include "tests/tap.h"

static struct rng rng;

static bool match(const char *pattern, const char *key)
{
	return template_match(bytes_str(pattern), bytes_str(key));
}

static void mines(const char *key, const char *want)
{
	char out[TEMPLATE_MAX + 1];
	size_t n = template_mine(bytes_str(key), out);

	OK(n == strlen(out) && strcmp(out, want) == 0, "%s gives %s, not %s", key, out, want);
}

TEST(a_pattern_stands_for_itself_segment_by_segment)
{
	OK(match("/a/b", "/a/b"));
	OK(!match("/a/b", "/a/bb") && !match("/a/bb", "/a/b"));
	OK(!match("/a/b", "/a") && !match("/a", "/a/b"));
	OK(!match("/a/b", "/a/b/") && !match("/a/b/", "/a/b"));
	OK(match("", "") && !match("", "a") && !match("a", ""));
	OK(!match("/a/b", "/A/b"));
}

TEST(a_named_segment_is_any_one_that_is_not_empty)
{
	OK(match("/quotes/<symbol>", "/quotes/IBM"));
	OK(match("/quotes/<symbol>", "/quotes/<symbol>"), "an endpoint's own name");
	OK(!match("/quotes/<symbol>", "/quotes/"));
	OK(!match("/quotes/<symbol>", "/quotes/IBM/bid"));
	OK(match("/<a>/x/<b>", "/1/x/2") && !match("/<a>/x/<b>", "/1/y/2"));
	OK(match("<a>", "k") && !match("<a>", "k/l"));
	OK(match("/<>", "/x"), "a name may be empty, a segment may not");
	OK(!match("/x<a>", "/xy"), "it is a whole segment or none");
	OK(match("/quotes/<symbol>", "/quotes/IBM?range=1d"), "a query belongs to its segment");
}

TEST(a_star_at_the_end_is_any_rest)
{
	OK(match("*", "") && match("*", "/a/b"));
	OK(match("/a/*", "/a/b") && match("/a/*", "/a/b/c") && match("/a/*", "/a/"));
	OK(!match("/a/*", "/a") && !match("/a/*", "/b/c"));
	OK(match("/quo*", "/quotes/IBM") && match("/quo*", "/quo") && !match("/quo*", "/qu"));
	OK(!template_match(bytes_str("/quo*"), bytes_of("/quotes", 3)), "not beyond the key's end");
	OK(match("/<a>/q*", "/1/quotes/x") && !match("/<a>/q*", "/1/p"));
	OK(!match("/*/b", "/a/b") && match("/*/b", "/*/b"), "elsewhere it is itself");
}

TEST(keys_are_bytes_and_may_hold_a_nul)
{
	OK(template_match(bytes_of("a\0b", 3), bytes_of("a\0b", 3)));
	OK(!template_match(bytes_of("a\0b", 3), bytes_of("a\0c", 3)));
	OK(template_match(bytes_str("<x>"), bytes_of("\0", 1)));
}

TEST(ids_are_mined_and_names_stay)
{
	mines("/users/42/orders", "/users/<id>/orders");
	mines("/u/550e8400-e29b-41d4-a716-446655440000", "/u/<id>");
	mines("/u/abcdefab-cdef-abcd-efab-cdefabcdef12", "/u/<id>");
	mines("/blob/da39a3ee5e6b4b0d3255bfef95601890afd80709", "/blob/<id>");
	mines("/day/2026-11-23", "/day/<id>");
	mines("/quotes/IBM", "/quotes/IBM");
	mines("/api/v1/x", "/api/v1/x");
	mines("/a1", "/a1");
	mines("/a12", "/<id>");
	mines("/ab12", "/<id>");
	mines("/abc12", "/abc12");
	mines("/deadbeefcafe", "/deadbeefcafe");
	mines("/deadbeefcaf1", "/<id>");
	mines("/deadbeefca1", "/deadbeefca1");
	mines("7", "<id>");
	mines("session:abc", "session:abc");
	mines("", "");
	mines("/", "/");
	mines("//7//", "//<id>//");
}

TEST(of_a_query_the_names_remain_sorted_and_once)
{
	mines("/q?b=2&a=1", "/q?a&b");
	mines("/q?a=1&b=2&a=3", "/q?a&b");
	mines("/q?a", "/q?a");
	mines("/q?a=1&&b=", "/q?a&b");
	mines("/q?", "/q");
	mines("/q?=5&", "/q");
	mines("/users/42/orders?page=2", "/users/<id>/orders?page");
	/* a name that ends in ? is no beginning */
	mines("/q?a?=1&b=2", "/q?a?&b");
	mines("/q?ab=1&a=2&abc=3", "/q?a&ab&abc");
}

TEST(mined_names_are_short_and_fit_to_print)
{
	char key[4096], out[TEMPLATE_MAX + 1];

	mines("/a\tb\x7f\n", "/a?b??");
	for (int run = 0; run < 20000; run++) {
		size_t n = (size_t)rng_below(&rng, run % 10 ? 300 : sizeof(key)), m;

		for (size_t i = 0; i < n; i++)
			key[i] = run % 3 ? "/?&=<>*a1-f"[rng_below(&rng, 11)] : (char)rng_u64(&rng);
		memset(out, 'x', sizeof(out));
		m = template_mine(bytes_of(key, n), out);
		OK(m <= TEMPLATE_MAX && out[m] == 0, "%zu", m);
		for (size_t i = 0; i < m; i++)
			OK((unsigned char)out[i] >= 0x20 && out[i] != 0x7f);
		/* whatever pattern, whatever key: an answer, and a key matches itself */
		template_match(bytes_of(key, n / 2), bytes_of(key + n / 2, n - n / 2));
		OK(template_match(bytes_str("*"), bytes_of(key, n)));
		if (!memchr(key, '<', n) && !memchr(key, '*', n))
			OK(template_match(bytes_of(key, n), bytes_of(key, n)));
	}
}

TEST(keys_that_differ_in_ids_and_values_share_an_endpoint)
{
	for (int run = 0; run < 500; run++) {
		char a[128], b[128], x[TEMPLATE_MAX + 1], y[TEMPLATE_MAX + 1];

		snprintf(a, sizeof(a), "/shop/%u/item-%u?size=%u&color=%u",
		         (unsigned)rng_below(&rng, 1000000),
		         (unsigned)(10000 + rng_below(&rng, 10000)), (unsigned)rng_below(&rng, 9),
		         1u);
		snprintf(b, sizeof(b), "/shop/%u/item-%u?color=%u&size=%u",
		         (unsigned)rng_below(&rng, 1000000),
		         (unsigned)(10000 + rng_below(&rng, 10000)), (unsigned)rng_below(&rng, 9),
		         1u);
		template_mine(bytes_str(a), x);
		template_mine(bytes_str(b), y);
		OK(strcmp(x, y) == 0 && strcmp(x, "/shop/<id>/<id>?color&size") == 0, "%s %s", x,
		   y);
	}
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(a_pattern_stands_for_itself_segment_by_segment);
	RUN(a_named_segment_is_any_one_that_is_not_empty);
	RUN(a_star_at_the_end_is_any_rest);
	RUN(keys_are_bytes_and_may_hold_a_nul);
	RUN(ids_are_mined_and_names_stay);
	RUN(of_a_query_the_names_remain_sorted_and_once);
	RUN(mined_names_are_short_and_fit_to_print);
	RUN(keys_that_differ_in_ids_and_values_share_an_endpoint);
	return tap_done();
}
