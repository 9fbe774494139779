/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/trace.h"

#include "base/rng.h"
#include "tests/tap.h"

#include <string.h>
#include <unistd.h>

static char requests_path[] = "/tmp/t_sim_trace_r.XXXXXX",
            changes_path[] = "/tmp/t_sim_trace_c.XXXXXX";
static struct rng rng;

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "wb");

	if (!f || fputs(text, f) < 0 || fclose(f) != 0)
		abort();
}

static int read_both(struct trace *t, const char *requests, const char *changes,
                     struct fault *fault)
{
	struct trace_options o = {0};
	int r;

	write_text(requests_path, requests);
	r = trace_read(t, requests_path, &o, fault);
	if (r == 0 && changes)
		write_text(changes_path, changes);
	if (r == 0)
		r = trace_read_changes(t, changes ? changes_path : NULL, fault);
	return r;
}

#define HEAD "time_s\tendpoint\tkey\tbytes\tload_ms\n"

TEST(decimals_are_exact)
{
	static const struct {
		const char *text;
		unsigned digits;
		int64_t want; /* -1: refused */
	} row[] = {
	        {"0", 6, 0},
	        {"1", 6, 1000000},
	        {"1.25", 6, 1250000},
	        {".5", 6, 500000},
	        {"5.", 6, 5000000},
	        {"1794200556.78", 6, 1794200556780000},
	        {"1794200556.123456", 6, 1794200556123456},
	        {"0.0000004", 6, 0},
	        {"0.0000005", 6, 1},
	        {"0.9999999", 6, 1000000},
	        {"0.00000049999", 6, 0},
	        {"12.3456", 3, 12346},
	        {"7", 0, 7},
	        {"7.4", 0, 7},
	        {"7.5", 0, 8},
	        {"000012", 0, 12},
	        {"", 6, -1},
	        {".", 6, -1},
	        {"-1", 6, -1},
	        {"+1", 6, -1},
	        {"1e3", 6, -1},
	        {" 1", 6, -1},
	        {"1 ", 6, -1},
	        {"1.2.3", 6, -1},
	        {"nan", 6, -1},
	        {"0x10", 6, -1},
	        {"9000000000001", 0, -1},
	        {"99999999999999999999999999", 0, -1},
	        {"9223372036854775807", 6, -1},
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		int64_t got = -1;
		bool ok = trace_decimal(
		        row[i].text, strlen(row[i].text), row[i].digits,
		        row[i].digits ? INT64_C(253402300799000000) : INT64_C(9000000000000), &got);

		OK(ok == (row[i].want >= 0) && got == row[i].want, "%s: %" PRId64, row[i].text,
		   got);
	}
}

TEST(keys_are_unescaped)
{
	char a[] = "a\\tb\\nc\\\\d", b[] = "plain", c[] = "bad\\x", d[] = "end\\";

	OK(trace_unescape(a, strlen(a)) == 7 && memcmp(a, "a\tb\nc\\d", 7) == 0);
	OK(trace_unescape(b, strlen(b)) == 5);
	OK(trace_unescape(c, strlen(c)) == -1);
	OK(trace_unescape(d, strlen(d)) == -1);
}

TEST(rows_become_columns)
{
	struct trace t;
	struct fault fault;

	OK(read_both(&t,
	             HEAD "10.5\t/a\tk1\t100\t7.25\n# remark\n10.5\t-\tk\\t2\t-\t-\n11\t/b\tk1\n",
	             "time_s\tkey\n10.5\tk1\n9\tk1\n10.6\tnobody\n10.500001\tk\\t2\n", &fault) == 0,
	   "%s", fault.text);
	OK(t.at.n == 3 && t.keys.live == 2);
	OK(t.at.v[0].us == 10500000 && t.load_us.v[0] == 7250 && t.bytes.v[0] == 100);
	OK(t.load_us.v[1] == 300000 && t.bytes.v[1] == 0);
	OK(bytes_equal(intern_name(&t.keys, t.key.v[1]), bytes_str("k\t2")));
	OK(bytes_equal(intern_name(&t.endpoints, t.endpoint.v[t.key.v[2]]), bytes_str("/a")),
	   "a key stays where it was");
	OK(t.change.n == 3, "changes of keys that nobody asks for are dropped");
	OK(t.change.v[0].at.us == 9000000, "changes come in time order");
	OK(t.version[0] == 2, "a change at the instant of the request counts: %u", t.version[0]);
	OK(t.version[1] == 0 && t.version[2] == 2);
	OK(trace_version_began(&t, 0, 2).us == 10500000);
	trace_release(&t);
}

TEST(complaints_name_file_line_and_field)
{
	static const struct {
		const char *requests, *changes, *want;
	} row[] = {
	        {"", NULL, ": file: is empty"},
	        {"hello\n", NULL, ":1: header: "},
	        {"time_s\tkey\n", NULL, ":1: header: "},
	        {HEAD, NULL, "holds no requests"},
	        {HEAD "x\ta\tb\n", NULL, ":2: time_s: "},
	        {HEAD "2\ta\tb\n1\ta\tb\n", NULL, ":3: time_s: is 1.000000 s before the row above"},
	        {HEAD "1\ta\n", NULL, ":2: row: has 2 fields"},
	        {HEAD "1\ta\tb\t1\t1\t1\n", NULL, ":2: row: has 6 fields"},
	        {HEAD "1\ta\tb\t1\t1\t1\t1\t1\t1\t1\n", NULL, ":2: row: has 8 or more fields"},
	        {HEAD "1\ta\t\n", NULL, ":2: key: is empty"},
	        {HEAD "1\ta\t-\n", NULL, ":2: key: must be known"},
	        {HEAD "1\t\tk\n", NULL, ":2: endpoint: is empty"},
	        {HEAD "1\ta\tk\\q\n", NULL, ":2: key: a backslash"},
	        {HEAD "1\ta\tk\t-1\n", NULL, ":2: bytes: "},
	        {HEAD "1\ta\tk\t1\t600001\n", NULL,
	         ":2: load_ms: must be a decimal number from 0 to 600000 ms"},
	        {HEAD "\n", NULL, ":2: row: is empty"},
	        {HEAD "1\ta\tk\n", "time\tkey\n", ":1: header: "},
	        {HEAD "1\ta\tk\n", "", ": header: "},
	        {HEAD "1\ta\tk\n", "time_s\tkey\n1\n", ":2: row: "},
	        {HEAD "1\ta\tk\n", "time_s\tkey\n-3\tk\n", ":2: time_s: "},
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct trace t;
		struct fault fault = {""};

		OK(read_both(&t, row[i].requests, row[i].changes, &fault) < 0, "row %zu", i);
		OK(strstr(fault.text, row[i].want), "row %zu: %s", i, fault.text);
		trace_release(&t);
	}
}

TEST(versions_are_the_number_of_changes_so_far)
{
	enum { REQUESTS = 400, CHANGES = 300, KEYS = 7 };
	static char r[REQUESTS * 32], c[CHANGES * 32];
	struct {
		int64_t at;
		int key;
	} change[CHANGES];
	char *p = r + sprintf(r, HEAD), *q = c + sprintf(c, "time_s\tkey\n");
	int64_t at = 0;
	struct trace t;
	struct fault fault;

	for (int i = 0; i < CHANGES; i++) {
		change[i].at = (int64_t)rng_below(&rng, 400);
		change[i].key = (int)rng_below(&rng, KEYS);
		q += sprintf(q, "%" PRId64 "\tk%d\n", change[i].at, change[i].key);
	}
	for (int i = 0; i < REQUESTS; i++) {
		at += (int64_t)rng_below(&rng, 3);
		p += sprintf(p, "%" PRId64 "\te\tk%d\n", at, (int)rng_below(&rng, KEYS));
	}
	OK(read_both(&t, r, c, &fault) == 0, "%s", fault.text);
	for (size_t i = 0; i < t.at.n; i++) {
		int key = ((const char *)intern_name(&t.keys, t.key.v[i]).p)[1] - '0';
		uint32_t want = 0;

		for (int j = 0; j < CHANGES; j++)
			want += change[j].key == key && change[j].at * 1000000 <= t.at.v[i].us;
		OK(t.version[i] == want, "request %zu: %u not %u", i, t.version[i], want);
		OK(trace_version(&t, t.key.v[i], t.at.v[i]) == want);
	}
	trace_release(&t);
}

#define LINE(time, target) "h - - [23/Nov/2026:" time " +0000] \"GET " target " HTTP/1.1\" 200 5\n"

TEST(log_lines_are_put_in_order_within_a_window)
{
	struct trace t;
	struct fault fault;

	OK(read_both(&t,
	             LINE("09:30:02", "/b?x=1") LINE("09:30:01", "/a") LINE("09:30:02", "/c")
	                     LINE("09:28:30", "/z") "rubbish\n" LINE("09:30:03", "/b?x=2"),
	             NULL, &fault) == 0,
	   "%s", fault.text);
	OK(t.is_log && !t.has_changes && t.at.n == 5);
	OK(t.skipped.malformed == 1 && t.skipped.first_malformed == 5, "%" PRIu64,
	   t.skipped.first_malformed);
	for (size_t i = 1; i < t.at.n; i++)
		OK(t.at.v[i - 1].us <= t.at.v[i].us);
	OK(bytes_equal(intern_name(&t.keys, t.key.v[0]), bytes_str("/z")));
	OK(bytes_equal(intern_name(&t.keys, t.key.v[1]), bytes_str("/a")));
	OK(bytes_equal(intern_name(&t.keys, t.key.v[2]), bytes_str("/b")));
	OK(bytes_equal(intern_name(&t.keys, t.key.v[3]), bytes_str("/c")),
	   "one second keeps the order of the file");
	OK(t.key.v[4] == t.key.v[2], "the query is dropped");
	trace_release(&t);
	OK(read_both(&t, LINE("09:30:02", "/b") LINE("09:28:01", "/a"), NULL, &fault) < 0);
	OK(strstr(fault.text, ":2: time_local: is 121 s before"), "%s", fault.text);
	trace_release(&t);
}

TEST(urls_that_were_watched_are_paths_in_a_log)
{
	struct trace t;
	struct fault fault;

	OK(read_both(&t, LINE("09:30:02", "/a/b?x=1") LINE("09:30:03", "/"),
	             "time_s\tkey\n"
	             "1\thttps://api.example/a/b\n2\thttp://api.example/a/b?x=1\n"
	             "3\thttps://api.example\n4\thttps://api.example/\n"
	             "5\thttps://api.example/c\n6\t/a/b\n7\t://\n8\tapi.example/a/b\n",
	             &fault) == 0,
	   "%s", fault.text);
	OK(t.change_rows == 8 && t.change.n == 6, "%zu", t.change.n);
	OK(t.version[0] == 3, "%u", t.version[0]);
	OK(t.version[1] == 3, "/, and ://, whose host is empty: %u", t.version[1]);
	trace_release(&t);
	OK(read_both(&t, HEAD "9\te\t/a/b\n", "time_s\tkey\n1\thttps://api.example/a/b\n",
	             &fault) == 0);
	OK(t.change_rows == 1 && t.change.n == 0, "a trace has its own names");
	trace_release(&t);
}

TEST(scoring_begins_at_a_share_or_at_a_second)
{
	struct trace t;
	struct fault fault;

	OK(read_both(&t, HEAD "100\te\tk\n300\te\tk\n", NULL, &fault) == 0);
	OK(trace_score_from(&t, 0).us == 100000000);
	OK(trace_score_from(&t, 0.25).us == 150000000);
	OK(trace_score_from(&t, 1).us == 300000000);
	OK(trace_score_from(&t, 120.5).us == 120500000);
	trace_release(&t);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	close(mkstemp(requests_path));
	close(mkstemp(changes_path));
	RUN(decimals_are_exact);
	RUN(keys_are_unescaped);
	RUN(rows_become_columns);
	RUN(complaints_name_file_line_and_field);
	RUN(versions_are_the_number_of_changes_so_far);
	RUN(log_lines_are_put_in_order_within_a_window);
	RUN(urls_that_were_watched_are_paths_in_a_log);
	RUN(scoring_begins_at_a_share_or_at_a_second);
	unlink(requests_path);
	unlink(changes_path);
	return tap_done();
}
