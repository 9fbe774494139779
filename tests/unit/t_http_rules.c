/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The parts of an HTTP origin that need no network: headers, URLs, versions, validators. */
#include "base/mem.h"
#include "base/rng.h"
#include "daemon/content_hash.h"
#include "daemon/http_rules.h"
#include "daemon/noise.h"
#include "daemon/url_template.h"
#include "daemon/validators.h"
#include "tests/tap.h"

#include <string.h>

/* -- Headers ---------------------------------------------------------------------------------- */

/* Lines separated by '\n'. */
static struct http_answer answer(const char *lines)
{
	struct http_answer a;

	http_answer_init(&a);
	while (*lines) {
		size_t n = strcspn(lines, "\n");

		http_answer_header(&a, lines, n);
		lines += n + (lines[n] == '\n');
	}
	return a;
}

static bool keeps(const char *lines)
{
	static const char *const vary[] = {"Accept-Language", "X-Tenant"};
	struct http_answer a = answer(lines);
	const char *why;
	bool ok = http_answer_cacheable(&a, vary, 2, false, &why);

	OK(ok == !why);
	return ok;
}

TEST(what_may_be_kept_follows_rfc_9111)
{
	OK(keeps(""));
	OK(keeps("Cache-Control: max-age=60\nContent-Type: text/html"));
	OK(keeps("Cache-Control: no-cache"), "a check before use is what refreshes are");
	OK(!keeps("Cache-Control: no-store"));
	OK(!keeps("cache-control:max-age=5,NO-STORE"));
	OK(!keeps("Cache-Control: public\nCache-Control: private"));
	OK(!keeps("Cache-Control: private=\"x, y\", max-age=3"));
	OK(keeps("Cache-Control: foo=\"private, no-store\""), "inside a quoted text");
	OK(!keeps("Set-Cookie: a=b"));
	OK(keeps("Vary: accept-language, Accept-Encoding"));
	OK(keeps("Vary: X-Tenant\nVary: Accept-Language"));
	OK(!keeps("Vary: X-Tenant, Cookie"));
	OK(!keeps("Vary: *"));
	OK(!keeps("Vary: X-Tenants") && !keeps("Vary: X-Tenan"));
	OK(keeps("X-Cache-Control: no-store") && keeps("no-store") && keeps(": no-store"));
}

TEST(a_vary_that_is_too_long_is_not_trusted)
{
	char line[2000] = "Vary: ";

	while (strlen(line) < 1900)
		strcat(line, "X-Tenant,");
	OK(!keeps(line));
}

static int64_t max_age_s(const char *lines)
{
	struct http_answer a = answer(lines);
	struct span d = http_answer_max_age(&a);

	return d.us == 1 ? -1 : d.us / 1000000; /* -1: fresh for no time at all */
}

TEST(the_origins_own_max_age_is_found)
{
	OK(max_age_s("") == 0);
	OK(max_age_s("Cache-Control: max-age=60") == 60);
	OK(max_age_s("Cache-Control: max-age=60, s-maxage=30") == 30);
	OK(max_age_s("Cache-Control: max-age=\"60\"") == 60);
	OK(max_age_s("Cache-Control: max-age=60\nAge: 20") == 40);
	OK(max_age_s("Cache-Control: max-age=60\nAge: 70") == -1);
	OK(max_age_s("Cache-Control: max-age=0") == -1 &&
	   max_age_s("Cache-Control: no-cache, max-age=9") == -1);
	OK(max_age_s("Cache-Control: max-age=-5") == -1 &&
	   max_age_s("Cache-Control: max-age=soon") == -1);
	OK(max_age_s("Cache-Control: max-age=99999999999999999999") == 31536000);
	OK(max_age_s(
	           "Date: Mon, 23 Nov 2026 10:00:00 GMT\nExpires: Mon, 23 Nov 2026 10:05:00 GMT") ==
	   300);
	OK(max_age_s("Date: Mon, 23 Nov 2026 10:00:00 GMT\nExpires: 0") == -1 &&
	   max_age_s("Expires: -1") == -1);
	OK(max_age_s("Expires: Mon, 23 Nov 2026 10:05:00 GMT") == 0,
	   "without a Date it says nothing");
}

TEST(retry_after_is_seconds_or_a_date)
{
	struct http_answer a = answer("Retry-After: 120");

	OK(http_answer_retry_after(&a, 0).us == 120000000);
	a = answer("Retry-After: Mon, 23 Nov 2026 10:00:30 GMT");
	OK(http_answer_retry_after(&a, 1795428000).us == 30000000, "%" PRId64,
	   http_answer_retry_after(&a, 1795428000).us);
	OK(http_answer_retry_after(&a, 1795429000).us == 0, "in the past");
	a = answer("Retry-After: 99999999");
	OK(http_answer_retry_after(&a, 0).us == INT64_C(86400000000));
	a = answer("Retry-After: later");
	OK(http_answer_retry_after(&a, 0).us == 0);
}

TEST(validators_are_taken_as_they_come)
{
	struct http_answer a =
	        answer("ETag: W/\"a b\"\r\nLast-Modified: Mon, 23 Nov 2026 09:00:00 GMT\r\n"
	               "Date: Mon, 23 Nov 2026 10:00:00 GMT\r\nContent-Type: "
	               "application/JSON;charset=utf-8");
	char line[HTTP_MAX_ETAG + 100];

	OK(strcmp(a.etag, "W/\"a b\"") == 0 &&
	   strcmp(a.last_modified, "Mon, 23 Nov 2026 09:00:00 GMT") == 0 && a.json);
	OK(http_answer_last_modified_is_strong(&a));
	NEAR(http_answer_modified_ago(&a, 0), 3600, 1e-9); /* by its clock, not by ours */
	a = answer("Last-Modified: Mon, 23 Nov 2026 09:00:00 GMT\nAge: 60\n"
	           "Date: Mon, 23 Nov 2026 10:00:00 GMT");
	NEAR(http_answer_modified_ago(&a, 0), 3660, 1e-9);
	a = answer("Last-Modified: Mon, 23 Nov 2026 09:00:00 GMT");
	NEAR(http_answer_modified_ago(&a, a.last_modified_s + 5), 5, 1e-9);
	OK(http_answer_modified_ago(&a, a.last_modified_s - 5) < 0, "in the future");
	a = answer("ETag: x");
	OK(http_answer_modified_ago(&a, 1e9) < 0);
	a = answer("Last-Modified: Mon, 23 Nov 2026 10:00:00 GMT\nDate: Mon, 23 Nov 2026 10:00:00 "
	           "GMT");
	OK(!http_answer_last_modified_is_strong(&a));
	a = answer("Last-Modified: yesterday\nContent-Type: text/json5");
	OK(!*a.last_modified && a.last_modified_s < 0 && !a.json &&
	   !http_answer_last_modified_is_strong(&a));
	memset(line, 'x', sizeof line);
	memcpy(line, "ETag: ", 6);
	line[sizeof line - 1] = '\0';
	a = answer(line);
	OK(!*a.etag, "too long to be remembered");
}

TEST(random_headers_do_no_harm)
{
	static const char *const name[] = {
	        "Cache-Control:", "Vary:",          "ETag:",         "Expires:", "Retry-After:",
	        "Age:",           "Last-Modified:", "Content-Type:", ""};
	struct http_answer a;
	struct rng g;
	int i;

	rng_init(&g, tap_seed);
	http_answer_init(&a);
	for (i = 0; i < 30000; i++) {
		size_t n = strlen(name[i % 9]), tail = rng_below(&g, 40), k;
		char *line = mem_calloc(1, n + tail + !(n + tail));
		const char *why;

		memcpy(line, name[i % 9], n);
		for (k = 0; k < tail; k++)
			line[n + k] = rng_below(&g, 2) ? (char)rng_below(&g, 256)
			                               : "=,\"; -max-age"[rng_below(&g, 13)];
		http_answer_header(&a, line, n + tail);
		http_answer_cacheable(&a, NULL, 0, false, &why);
		OK(http_answer_max_age(&a).us >= 0 && http_answer_retry_after(&a, 1e9).us >= 0);
		free(line);
		if (i % 100 == 0)
			http_answer_init(&a);
	}
}

/* -- URLs ------------------------------------------------------------------------------------- */

static const char *url(const char *template, const char *pattern, const char *key)
{
	static char ret[URL_MAX_BYTES];
	struct url_captures c;
	const char *why = url_template_check(template, pattern);

	if (why)
		return why;
	if (!url_match(pattern, bytes_str(key), &c))
		return "no match";
	why = url_template_expand(template, &c, bytes_str(key), ret);
	return why ? why : ret;
}

#define URL(template, pattern, key, want)                                                          \
	OK(strcmp(url(template, pattern, key), want) == 0, "%s", url(template, pattern, key))

TEST(keys_become_urls)
{
	URL("http://h/v1/{symbol}", "/quotes/<symbol>", "/quotes/IBM", "http://h/v1/IBM");
	URL("http://h/v1/{<symbol>}?d={2}", "/q/<symbol>/<day>", "/q/BRK.A/1 2",
	    "http://h/v1/BRK.A?d=1%202");
	URL("http://h/{1}", "/q/*", "/q/a/b?c", "http://h/a/b%3Fc");
	URL("http://h/{+1}", "/q/*", "/q/a/b?c=1&d=%20", "http://h/a/b?c=1&d=%20");
	URL("http://h:8000{+key}", NULL, "/a?b=c", "http://h:8000/a?b=c");
	URL("http://h:8000{+key}", "*", "a", "http://h:8000/a");
	URL("http://h{key}", "*", ".evil.com/x", "http://h/.evil.com/x");
	URL("http://h{+key}", "*", "@evil.com/x", "http://h/@evil.com/x");
	URL("http://h{+key}", "*", ":99/x", "http://h/:99/x");
	URL("http://h{+key}", "*", "//evil.com/x", "http://h//evil.com/x");
	URL("http://h?k={key}", "*", "a&b", "http://h?k=a%26b");
	URL("http://h{<s>}", "/<s>", "/a", "http://h/a");
	URL("https://[::1]:8443/x{key}", "*", "/y\x80\xff", "https://[::1]:8443/x/y%80%FF");
	URL("http://h/{+key}", "*", "a#b%zz%4", "http://h/a%23b%25zz%254");
}

TEST(no_key_leaves_its_place)
{
	static const char *const bad[] = {"/..",    "/../x",     "/x/../../y", "/.",
	                                  "/x/./y", "/%2e%2e/x", "/.%2E/",     "/%2e"};
	size_t i;

	for (i = 0; i < sizeof bad / sizeof *bad; i++)
		URL("http://h/api{+key}", "*", bad[i],
		    "the key gives a URL with a '.' or '..' segment");
	URL("http://h/{s}/x", "/q/<s>", "/q/..", "the key gives a URL with a '.' or '..' segment");
	URL("http://h/api{key}", "*", "/%2e%2e/x", "http://h/api/%252e%252e/x");
	URL("http://h/api{+key}", "*", "/...", "http://h/api/...");
	URL("http://h/api{+key}", "*", "/x?a=/../", "http://h/api/x?a=/../");
}

TEST(bad_templates_are_refused)
{
	URL("ftp://h/{key}", "*", "x", "must begin with http:// or https://");
	URL("h/{key}", "*", "x", "must begin with http:// or https://");
	URL("http://{key}/", "*", "x", "has no host, or '{' in it");
	URL("http:///x", "*", "x", "has no host, or '{' in it");
	URL("http://u:p@h/x", "*", "x", "must not hold a user or password: use a header");
	URL("http://h/{nobody}", "/q/<s>", "/q/a",
	    "names in braces what is neither `key` nor in the pattern");
	URL("http://h/{2}", "/q/<s>", "/q/a",
	    "names in braces what is neither `key` nor in the pattern");
	URL("http://h/{key", "*", "x", "has a '{' without a name and '}'");
	URL("http://h/{}", "*", "x", "has a '{' without a name and '}'");
	URL("http://h/a b", "*", "x",
	    "holds a blank, '#' or a byte that is not ASCII: percent-encode it");
}

TEST(patterns_match_whole_keys)
{
	struct url_captures c;

	OK(url_match("/a/<x>", bytes_str("/a/b"), &c) && c.n == 1 &&
	   bytes_equal(c.value[0], bytes_str("b")));
	OK(!url_match("/a/<x>", bytes_str("/a/"), &c) &&
	   !url_match("/a/<x>", bytes_str("/a/b/c"), &c));
	OK(!url_match("/a/<x>", bytes_str("/a"), &c) && !url_match("/a", bytes_str("/ab"), &c));
	OK(url_match("/a/*", bytes_str("/a/"), &c) && c.value[0].n == 0 &&
	   url_match("*", bytes_of(NULL, 0), &c));
	OK(!url_match("", bytes_str("x"), &c) && url_match("", bytes_str(""), &c));
	OK(url_match("/<a>/<b>", bytes_of("/\0/\xff", 4), &c) && c.n == 2);
}

TEST(random_keys_give_urls_of_the_same_host)
{
	static const char *const template[] = {"http://host:81{+key}", "http://host:81{key}",
	                                       "http://host:81/p{+1}?q={key}",
	                                       "http://host:81?{+key}"};
	static const char some[] = "/.:@?#%&=\\ \r\n2eE{}<>[]ab";
	struct url_captures c;
	struct rng g;
	int i, good = 0;

	rng_init(&g, tap_seed);
	for (i = 0; i < 50000; i++) {
		size_t n = rng_below(&g, 24), k;
		char *key = mem_calloc(1, n + !n), out[URL_MAX_BYTES];

		for (k = 0; k < n; k++)
			key[k] = rng_below(&g, 8) ? some[rng_below(&g, sizeof some - 1)]
			                          : (char)rng_below(&g, 256);
		OK(url_match("*", bytes_of(key, n), &c));
		if (!url_template_expand(template[i % 4], &c, bytes_of(key, n), out)) {
			good++;
			OK(strncmp(out, "http://host:81", 14) == 0 && strchr("/?", out[14]), "%s",
			   out);
			for (k = 0; out[k]; k++)
				OK(out[k] > ' ' && out[k] <= '~' && out[k] != '#', "%s", out);
			OK(!strstr(out, "/../") || strchr(out, '?') < strstr(out, "/../"), "%s",
			   out);
		}
		free(key);
	}
	OK(good > 25000, "%d", good);
}

/* -- Versions --------------------------------------------------------------------------------- */

static uint64_t version_ignoring(const char *json, const char *const *pointer, size_t n)
{
	struct content_ignore *ig = NULL;
	const char *why;
	/* of exact size, so that the sanitizer sees a byte too far */
	char *copy = mem_calloc(1, strlen(json) + !*json);
	uint64_t v;

	memcpy(copy, json, strlen(json));
	OK(content_ignore_new(pointer, n, &ig, &why) == 0, "%s", why);
	v = content_hash_json(bytes_of(copy, strlen(json)), ig);
	content_ignore_free(&ig);
	free(copy);
	OK(v != 0);
	return v;
}

static uint64_t version(const char *json)
{
	return version_ignoring(json, NULL, 0);
}

#define SAME(a, b)   OK(version(a) == version(b), "%s and %s", a, b)
#define DIFFER(a, b) OK(version(a) != version(b), "%s and %s", a, b)

TEST(equal_content_has_an_equal_version)
{
	SAME("{\"a\":1,\"b\":[true,null]}", " {\n\"b\" : [ true , null ] , \"a\" : 1 }\r\n");
	SAME("\"\\u0041\\/\\n\"", "\"A/\\u000a\"");
	SAME("\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"");
	SAME("{\"a\":{\"x\":1,\"y\":2},\"b\":{\"y\":2,\"x\":1}}",
	     "{\"b\":{\"x\":1,\"y\":2},\"a\":{\"y\":2,\"x\":1}}");
	SAME("{\"\\u0061\":1}", "{\"a\":1}");
}

TEST(other_content_has_another_version)
{
	DIFFER("{\"a\":1}", "{\"a\":2}");
	DIFFER("{\"a\":1}", "{\"b\":1}");
	DIFFER("{\"a\":1,\"b\":2}", "{\"a\":2,\"b\":1}");
	DIFFER("[1,2]", "[2,1]");
	DIFFER("[1,[2]]", "[[1],2]");
	DIFFER("[[]]", "[]");
	DIFFER("[]", "{}");
	DIFFER("[[],[]]", "[[[]]]");
	DIFFER("1", "\"1\"");
	DIFFER("null", "\"null\"");
	DIFFER("1", "1.0");
	DIFFER("9007199254740993", "9007199254740992");
	DIFFER("{\"a\":1}", "{\"a\":1,\"a\":1}");
	DIFFER("{}", "{\"a\":null}");
	DIFFER("[{\"a\":1},{\"b\":2}]", "[{\"a\":1,\"b\":2}]");
	DIFFER("{\"a\":{\"b\":1}}", "{\"b\":{\"a\":1}}");
	DIFFER("\"\\ud83d\"", "\"\\ude00\"");
	DIFFER("\"a\\u0000b\"", "\"a\\u0000c\"");
	DIFFER("true", "false");
}

TEST(what_is_not_json_is_compared_byte_by_byte)
{
	static const char *const bad[] = {
	        "",        " ",         "{",      "{\"a\":1",   "{\"a\" 1}",
	        "{a:1}",   "[1,]",      "[,1]",   "{\"a\":1,}", "01",
	        "1.",      ".5",        "+1",     "1e",         "-",
	        "0x10",    "1-2",       "nul",    "truex",      "\"a",
	        "\"\\x\"", "\"\\u12\"", "\"\t\"", "[1] 2",      "\xef\xbb\xbf{}",
	        "NaN",     "'a'",       "\"\\",   "\"\\u",      "\"\\ud83d\\u"};
	char deep[400], also[401];
	size_t i;

	for (i = 0; i < sizeof bad / sizeof *bad; i++) {
		char spaced[64];

		OK(version(bad[i]) == content_hash_bytes(bytes_str(bad[i])), "'%s'", bad[i]);
		snprintf(spaced, sizeof spaced, "%s ", bad[i]);
		DIFFER(bad[i], spaced);
	}
	memset(deep, '[', 100);
	memset(deep + 100, ']', 100);
	deep[200] = '\0';
	snprintf(also, sizeof also, "%s ", deep);
	DIFFER(deep, also);
}

TEST(ignored_pointers_do_not_count)
{
	static const char *const time[] = {"/meta/time"}, *const each[] = {"/items/*/seen"},
	                         *const second[] = {"/1"}, *const escaped[] = {"/a~1b/c~0d"},
	                         *const both[] = {"/x", "/y/z"};

	OK(version_ignoring("{\"meta\":{\"time\":1,\"v\":2}}", time, 1) ==
	   version_ignoring("{\"meta\":{\"v\":2,\"time\":9}}", time, 1));
	OK(version_ignoring("{\"meta\":{\"time\":1,\"v\":2}}", time, 1) !=
	   version_ignoring("{\"meta\":{\"v\":3,\"time\":1}}", time, 1));
	OK(version_ignoring("{\"time\":1}", time, 1) != version_ignoring("{\"time\":2}", time, 1),
	   "elsewhere it counts");
	OK(version_ignoring("{\"meta\":{\"a\":{\"time\":1}}}", time, 1) !=
	   version_ignoring("{\"meta\":{\"a\":{\"time\":2}}}", time, 1));
	OK(version_ignoring("{\"items\":[{\"id\":1,\"seen\":5},{\"id\":2,\"seen\":6}]}", each, 1) ==
	   version_ignoring("{\"items\":[{\"id\":1,\"seen\":7},{\"id\":2}]}", each, 1));
	OK(version_ignoring("[1,2,3]", second, 1) ==
	   version_ignoring("[1,{\"x\":9},3]", second, 1));
	OK(version_ignoring("[1,2,3]", second, 1) != version_ignoring("[1,3]", second, 1),
	   "what follows does not move up");
	OK(version_ignoring("{\"a/b\":{\"c~d\":1}}", escaped, 1) ==
	   version_ignoring("{\"a/b\":{\"c~d\":2}}", escaped, 1));
	OK(version_ignoring("{\"x\":1,\"y\":{\"z\":1,\"k\":5}}", both, 2) ==
	   version_ignoring("{\"x\":2,\"y\":{\"z\":3,\"k\":5}}", both, 2));
}

/* -- Noise ------------------------------------------------------------------------------------- */

/* Loads of one key: `always` is another one each time, `seldom` every n-th. */
static const char *noisy(const char *format, int n, int loads, struct content_ignore *ignore,
                         unsigned *alone, unsigned *compared)
{
	static char name[CONTENT_PLACE_MAX];
	struct noise *noise = noise_new();
	const char *field;
	char body[600];

	for (int i = 0; i < loads; i++) {
		snprintf(body, sizeof(body), format, i, i / n);
		OK(noise_hash(noise, bytes_str("e"), bytes_str("k"), bytes_str(body), ignore) ==
		   content_hash_json(bytes_str(body), ignore));
	}
	field = noise_field(noise, bytes_str("e"), alone, compared);
	if (field)
		snprintf(name, sizeof(name), "%s", field);
	noise_free(&noise);
	return field ? name : NULL;
}

TEST(a_field_that_alone_changes_always_is_found)
{
	static const char *const pointer[] = {"/generated_at"};
	struct content_ignore *ignore;
	unsigned alone = 0, compared = 0;
	const char *f, *why;

	f = noisy("{\"v\":%2$d,\"generated_at\":%1$d,\"list\":[1,2]}", 10, 41, NULL, &alone,
	          &compared);
	OK(f && !strcmp(f, "/generated_at") && alone == 36 && compared == 40, "%s %u %u",
	   f ? f : "", alone, compared);
	f = noisy("{\"a\":{\"x~/y\":%1$d,\"z\":{\"q\":%2$d}}}", 10, 41, NULL, &alone, &compared);
	OK(f && !strcmp(f, "/a/x~0~1y"), "%s", f ? f : "");
	f = noisy("{\"a\":{\"b\":{\"c\":%1$d}},\"z\":%2$d}", 10, 41, NULL, &alone, &compared);
	OK(f && !strcmp(f, "/a/b"), "deeper ones are said of what they are in");
	OK(!noisy("{\"v\":%2$d,\"t\":%1$d}", 10, 20, NULL, &alone, &compared), "too few yet");
	OK(!noisy("{\"v\":%2$d,\"t\":%1$d}", 1, 41, NULL, &alone, &compared),
	   "where other fields change as often it is no noise");
	OK(!noisy("{\"v\":%2$d,\"t\":5}", 2, 41, NULL, &alone, &compared));
	OK(!noisy("[{\"v\":%2$d},{\"t\":%1$d}]", 10, 41, NULL, &alone, &compared));
	OK(!noisy("{\"v\":%2$d,\"t\":%1$d", 10, 41, NULL, &alone, &compared), "not JSON");
	OK(content_ignore_new(pointer, 1, &ignore, &why) == 0);
	OK(!noisy("{\"v\":%2$d,\"generated_at\":%1$d}", 10, 41, ignore, &alone, &compared),
	   "it is left out already");
	content_ignore_free(&ignore);
}

TEST(many_fields_and_endpoints_stay_within_bounds)
{
	struct noise *noise = noise_new();
	unsigned alone, compared;
	char body[8192], name[32];
	const char *f = NULL;

	for (int i = 0; i < 3 * NOISE_MAX_ENDPOINTS; i++) {
		snprintf(name, sizeof(name), "e%d", i);
		noise_hash(noise, bytes_str(name), bytes_str("k"), bytes_str("{\"a\":1}"), NULL);
	}
	/* the hundredth member changes: it is one of the rest, that has no name */
	for (int i = 0; i < 50; i++) {
		size_t n = (size_t)snprintf(body, sizeof(body), "{\"m\":0");

		for (int k = 0; k < 100; k++)
			n += (size_t)snprintf(body + n, sizeof(body) - n, ",\"member %d\":%d", k,
			                      k == 99 ? i : 0);
		snprintf(body + n, sizeof(body) - n, "}");
		OK(noise_hash(noise, bytes_str("e0"), bytes_str("k"), bytes_str(body), NULL) ==
		   content_hash_json(bytes_str(body), NULL));
		f = noise_field(noise, bytes_str("e0"), &alone, &compared);
	}
	OK(!f);
	/* another key is watched when the first one is gone for long */
	for (int i = 0; i < 300; i++) {
		snprintf(body, sizeof(body), "{\"t\":%d,\"v\":1}", i);
		noise_hash(noise, bytes_str("e1"), bytes_str("other"), bytes_str(body), NULL);
	}
	f = noise_field(noise, bytes_str("e1"), &alone, &compared);
	OK(f && !strcmp(f, "/t"));
	noise_free(&noise);
}

TEST(bad_pointers_are_refused)
{
	static const char *const bad[] = {"", "meta", "/a~2", "/a~"};
	struct content_ignore *ig = NULL;
	const char *why, *many[40];
	size_t i;

	for (i = 0; i < sizeof bad / sizeof *bad; i++)
		OK(content_ignore_new(&bad[i], 1, &ig, &why) < 0 && why && !ig, "'%s'", bad[i]);
	for (i = 0; i < 40; i++)
		many[i] = "/a";
	OK(content_ignore_new(many, 33, &ig, &why) < 0 && !ig);
	OK(content_ignore_new(many, 32, &ig, &why) == 0 && ig);
	OK(content_hash_json(bytes_str("{\"a\":1}"), ig) ==
	           content_hash_json(bytes_str("{\"a\":2}"), ig),
	   "all 32 bits");
	content_ignore_free(&ig);
}

/*
 * A random tree, written twice: once as it is, once with members in another order, spaces and
 * escapes.
 */
struct writer {
	char *p;
	size_t n;
	struct rng *style; /* NULL: plain */
};

static void w(struct writer *o, const char *s)
{
	o->n += (size_t)sprintf(o->p + o->n, "%s", s);
	while (o->style && strchr("{}[],:", *s) && rng_below(o->style, 3) == 0)
		o->n += (size_t)sprintf(o->p + o->n, " \n");
}

static void write_string(struct writer *o, uint64_t v)
{
	char text[40];
	int i;

	snprintf(text, sizeof text, "k%" PRIu64, v);
	w(o, "\"");
	for (i = 0; text[i]; i++)
		o->n += (size_t)sprintf(o->p + o->n,
		                        o->style && rng_below(o->style, 4) == 0 ? "\\u%04x" : "%c",
		                        text[i]);
	o->n += (size_t)sprintf(o->p + o->n, "\"");
}

/* The tree follows from `seed`; `change` counts down to the leaf that is another one. */
static void write_tree(struct writer *o, uint64_t seed, int depth, int *change)
{
	struct rng g;
	size_t n, i;
	char number[40];

	rng_init(&g, seed);
	n = 1 + rng_below(&g, 4);
	switch (depth ? rng_below(&g, 4) : 2) {
	case 0:
		snprintf(number, sizeof number, "%" PRIu64 ".5",
		         rng_below(&g, 1000) * 10 + ((*change)-- == 0));
		w(o, number);
		break;
	case 1:
		write_string(o, rng_below(&g, 1000) * 10 + ((*change)-- == 0));
		break;
	case 2: {
		size_t first = o->style ? rng_below(o->style, n) : 0;

		w(o, "{");
		for (i = 0; i < n; i++) {
			size_t at = (i + first) % n;

			if (i)
				w(o, ",");
			write_string(o, at);
			w(o, ":");
			if (depth < 5) {
				write_tree(o, seed * 31 + at + 1, depth + 1, change);
			} else {
				w(o, "1");
			}
		}
		w(o, "}");
		break;
	}
	default:
		w(o, "[");
		for (i = 0; i < n && depth < 5; i++) {
			if (i)
				w(o, ",");
			write_tree(o, seed * 37 + i + 1, depth + 1, change);
		}
		w(o, "]");
	}
}

TEST(random_trees_have_the_version_of_their_content)
{
	static char a[1 << 16], b[1 << 16], c[1 << 16];
	struct rng g;
	int i, leaves = 0;

	rng_init(&g, tap_seed);
	for (i = 0; i < 2000; i++) {
		struct writer wa = {a, 0, NULL}, wb = {b, 0, &g}, wc = {c, 0, NULL};
		uint64_t seed = rng_u64(&g);
		int none = -1, change = 0;

		*a = *b = *c = '\0';
		write_tree(&wa, seed, 0, &none);
		none = -1;
		write_tree(&wb, seed, 0, &none);
		write_tree(&wc, seed, 0, &change);
		OK(version(a) == version(b), "%s\n%s", a, b);
		OK(version(a) != content_hash_bytes(bytes_str(a)), "it is JSON: %s", a);
		if (strcmp(a, c) != 0) {
			leaves++;
			OK(version(a) != version(c), "%s\n%s", a, c);
		}
	}
	OK(leaves > 1000, "%d", leaves);
}

TEST(random_bytes_have_a_version)
{
	static const char some[] = "{}[],:\"\\u0123456789abcdefnulltruefalse-+.eE \n";
	static const char *const pointer[] = {"/*/a", "/0"};
	struct content_ignore *ig;
	struct rng g;
	const char *why;
	int i;

	rng_init(&g, tap_seed);
	OK(content_ignore_new(pointer, 2, &ig, &why) == 0);
	for (i = 0; i < 50000; i++) {
		size_t n = rng_below(&g, 60), k;
		char *p = mem_calloc(1, n + !n);

		for (k = 0; k < n; k++)
			p[k] = rng_below(&g, 20) ? some[rng_below(&g, sizeof some - 1)]
			                         : (char)rng_below(&g, 256);
		OK(content_hash_json(bytes_of(p, n), ig) != 0);
		free(p);
	}
	content_ignore_free(&ig);
}

/* -- Validators ------------------------------------------------------------------------------- */

TEST(validators_belong_to_a_version)
{
	struct validators *v = validators_new(64);
	struct validator got;
	struct bytes e = bytes_str("/q/<s>"), k = bytes_str("/q/IBM");

	OK(!validators_get(v, e, k, 1, &got));
	validators_put(v, e, k, 1, "\"a\"", NULL);
	OK(validators_get(v, e, k, 1, &got) && strcmp(got.etag, "\"a\"") == 0 &&
	   !got.last_modified);
	OK(!validators_get(v, e, k, 2, &got) && !validators_get(v, k, e, 1, &got));
	validators_put(v, e, k, 2, "", "Mon");
	OK(!validators_get(v, e, k, 1, &got), "one version per key");
	OK(validators_get(v, e, k, 2, &got) && !got.etag && strcmp(got.last_modified, "Mon") == 0);
	OK(validators_count(v) == 1);
	validators_put(v, e, k, 3, NULL, "");
	OK(!validators_get(v, e, k, 2, &got) && validators_count(v) == 0);
	validators_free(&v);
	OK(!v);
}

TEST(validators_are_bounded_and_the_used_ones_stay)
{
	struct validators *v = validators_new(1024);
	struct validator got;
	struct bytes hot = bytes_str("hot");
	char key[32];
	int i, found = 0;

	validators_put(v, hot, hot, 1, "h", NULL);
	for (i = 0; i < 20000; i++) {
		snprintf(key, sizeof key, "%d", i);
		validators_put(v, bytes_str("e"), bytes_str(key), 1, key, key);
		OK(validators_get(v, hot, hot, 1, &got));
		OK(validators_count(v) <= 1024);
	}
	for (i = 19000; i < 20000; i++) {
		snprintf(key, sizeof key, "%d", i);
		if (validators_get(v, bytes_str("e"), bytes_str(key), 1, &got)) {
			found++;
			OK(strcmp(got.etag, key) == 0 && strcmp(got.last_modified, key) == 0);
		}
	}
	OK(found > 600, "%d of the last 1000", found);
	validators_free(&v);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(what_may_be_kept_follows_rfc_9111);
	RUN(a_vary_that_is_too_long_is_not_trusted);
	RUN(the_origins_own_max_age_is_found);
	RUN(retry_after_is_seconds_or_a_date);
	RUN(validators_are_taken_as_they_come);
	RUN(random_headers_do_no_harm);
	RUN(keys_become_urls);
	RUN(no_key_leaves_its_place);
	RUN(bad_templates_are_refused);
	RUN(patterns_match_whole_keys);
	RUN(random_keys_give_urls_of_the_same_host);
	RUN(equal_content_has_an_equal_version);
	RUN(other_content_has_another_version);
	RUN(what_is_not_json_is_compared_byte_by_byte);
	RUN(ignored_pointers_do_not_count);
	RUN(a_field_that_alone_changes_always_is_found);
	RUN(many_fields_and_endpoints_stay_within_bounds);
	RUN(bad_pointers_are_refused);
	RUN(random_trees_have_the_version_of_their_content);
	RUN(random_bytes_have_a_version);
	RUN(validators_belong_to_a_version);
	RUN(validators_are_bounded_and_the_used_ones_stay);
	return tap_done();
}
