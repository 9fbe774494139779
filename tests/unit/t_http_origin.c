/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Loads from tests/scripts/origin_faults.py, which refuses, hangs, lies about lengths and redirects
 * away. Unlike other unit tests this one waits, but only for what must come, and at most until a
 * deadline.
 */
#include "daemon/http_origin.h"
#include "base/mem.h"
#include "base/rng.h"
#include "tests/tap.h"

#include <curl/curl.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <time.h>
#include <unistd.h>

static int port;
static char base[64];

/* What came back for a job. */
struct got {
	int times;
	enum load_status status;
	char value[4096], error[600];
	size_t n;
	uint64_t version;
	struct span max_age, retry_after;
	struct instant last_modified;
};
#define JOBS 512
static struct got got[JOBS];
static int answered;

static void on_loaded(void *arg, const struct input *in)
{
	struct got *g = &got[in->loaded.job % JOBS];

	(void)arg;
	answered++;
	g->times++;
	g->status = in->loaded.status;
	g->n = in->loaded.value.n;
	g->version = in->loaded.version;
	g->max_age = in->loaded.max_age;
	g->retry_after = in->loaded.retry_after;
	g->last_modified = in->loaded.last_modified;
	snprintf(g->value, sizeof g->value, "%.*s", (int)(g->n < 4000 ? g->n : 4000),
	         (const char *)in->loaded.value.p);
	snprintf(g->error, sizeof g->error, "%.*s", (int)in->loaded.error.n,
	         (const char *)in->loaded.error.p);
	OK(in->kind == INPUT_LOADED);
}

static struct instant now;
static bool by_time = true;

static struct http_origin *origin(struct http_origin_config *c)
{
	struct http_origin *o = NULL;
	struct fault e = {""};

	OK(http_origin_new(c, on_loaded, NULL, &o, &e) == 0, "%s", e.text);
	return o;
}

static char plain_url[80];
static const struct http_route plain = {.match = "*", .url = plain_url};

static struct http_origin_config config(void)
{
	struct http_origin_config c = http_origin_default();

	c.name = "test";
	c.route = &plain;
	c.n_routes = 1;
	c.max_body_bytes = 1 << 20;
	return c;
}

static void begin(struct http_origin *o, uint64_t job, const char *key, double deadline_s,
                  uint64_t version)
{
	struct effect e = {.kind = EFFECT_LOAD, .endpoint = bytes_str("e"), .key = bytes_str(key)};

	e.load.job = job;
	e.load.have = version != 0;
	e.load.version = version;
	e.load.by_time = by_time;
	e.load.deadline = instant_add(now, span_from_s(deadline_s));
	got[job] = (struct got){0};
	http_origin_load(o, now, &e);
}

/* Runs until n more answers have come, at most 20 s. */
static void wait_for(struct http_origin *o, int n)
{
	struct pollfd p = {http_origin_fd(o), POLLIN, 0};
	time_t end = time(NULL) + 20;

	answered = 0;
	while (answered < n && time(NULL) < end) {
		if (poll(&p, 1, 1000) > 0)
			http_origin_run(o, now);
	}
	OK(answered == n, "%d of %d answers", answered, n);
}

static struct got *load(struct http_origin *o, const char *key, uint64_t version)
{
	begin(o, 1, key, 10, version);
	wait_for(o, 1);
	OK(got[1].times == 1, "%s: answered %d times", key, got[1].times);
	return &got[1];
}

static bool starts(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

TEST(a_value_comes_over_a_connection_that_is_kept)
{
	struct http_origin_config c = config();
	struct http_origin *o = origin(&c);
	struct http_origin_stats s;
	int i;

	for (i = 0; i < 20; i++) {
		struct got *g = load(o, "/ok/IBM", 0);

		OK(g->status == LOADED_OK && strcmp(g->value, "value of IBM") == 0, "%s %s",
		   g->value, g->error);
		OK(g->version != 0 && g->max_age.us == 0 && g->last_modified.us == INSTANT_NONE.us);
	}
	OK(strcmp(load(o, "/gzip/IBM", 0)->value, "value of IBM") == 0 &&
	   got[1].status == LOADED_OK);
	http_origin_stats(o, &s);
	OK(s.connects == 1 && s.ok == 21 && s.in_flight == 0, "%d connections", (int)s.connects);
	http_origin_free(&o);
	OK(!o);
}

TEST(many_loads_share_few_connections)
{
	struct http_origin_config c = config();
	struct http_origin *o;
	struct http_origin_stats s;
	int i;

	c.max_connections = 4;
	o = origin(&c);
	for (i = 0; i < 200; i++) {
		char key[32];

		snprintf(key, sizeof key, "/ok/%d", i);
		begin(o, (uint64_t)i, key, 20, 0);
	}
	wait_for(o, 200);
	for (i = 0; i < 200; i++) {
		char want[32];

		snprintf(want, sizeof want, "value of %d", i);
		OK(got[i].times == 1 && strcmp(got[i].value, want) == 0, "%d: %s %s", i,
		   got[i].value, got[i].error);
	}
	http_origin_stats(o, &s);
	OK(s.connects <= 4, "%d connections", (int)s.connects);
	http_origin_free(&o);
}

TEST(what_waits_for_a_connection_too_long_is_an_error)
{
	struct http_origin_config c = config();
	struct http_origin *o;

	c.max_connections = 1;
	o = origin(&c);
	begin(o, 1, "/hang/1", 0.6, 0);
	begin(o, 2, "/ok/1", 0.3, 0);
	begin(o, 3, "/ok/2", 10, 0);
	wait_for(o, 3);
	OK(got[1].status == LOADED_ERROR && got[2].status == LOADED_ERROR &&
	   got[3].status == LOADED_OK);
	OK(starts(got[2].error, "test: timeout: no connection became free"), "%s", got[2].error);
	http_origin_free(&o);
}

TEST(unchanged_values_are_not_sent_again)
{
	struct http_origin_config c = config();
	struct http_origin *o = origin(&c);
	struct http_origin_stats s;
	uint64_t v;

	load(o, "/etag/a", 0);
	OK(got[1].status == LOADED_OK && strcmp(got[1].value, "a 1") == 0);
	v = got[1].version;
	load(o, "/etag/a", v);
	OK(got[1].status == LOADED_NOT_MODIFIED && got[1].version == v && got[1].n == 0);
	load(o, "/etag/a", 0);
	OK(got[1].status == LOADED_OK, "we hold nothing: unconditional");
	load(o, "/etag/a", v + 1);
	OK(got[1].status == LOADED_OK, "another version than the ETag's: unconditional");
	load(o, "/etag-set/a?v=2", 0);
	load(o, "/etag/a", v);
	OK(got[1].status == LOADED_OK && strcmp(got[1].value, "a 2") == 0 && got[1].version != v);
	load(o, "/last-modified/a", 0);
	OK(got[1].status == LOADED_OK && instant_is_set(got[1].last_modified));
	load(o, "/last-modified/a", got[1].version);
	OK(got[1].status == LOADED_NOT_MODIFIED, "%s", got[1].error);
	OK(!instant_is_set(got[1].last_modified) ||
	           fabs(span_s(instant_diff(now, got[1].last_modified)) - 3600) < 600,
	   "told by the origin's own clock");
	by_time = false;
	load(o, "/last-modified/a", got[1].version);
	OK(got[1].status == LOADED_OK, "%s", got[1].error);
	by_time = true;
	/* changed in the second in which it was sent: may change again in it */
	load(o, "/last-modified-now/a", 0);
	load(o, "/last-modified-now/a", got[1].version);
	OK(got[1].status == LOADED_OK, "%s", got[1].error);
	http_origin_stats(o, &s);
	OK(s.not_modified == 2 && s.validators == 2, "%d", (int)s.validators);
	http_origin_free(&o);
}

TEST(statuses_mean_what_they_say)
{
	struct http_origin_config c = config();
	struct http_origin *o = origin(&c);

	OK(load(o, "/status/404", 0)->status == LOADED_ABSENT &&
	   load(o, "/status/410", 0)->status == LOADED_ABSENT);
	OK(load(o, "/status/500", 0)->status == LOADED_ERROR);
	OK(strcmp(got[1].error, "test: status 500") == 0 && got[1].n == 0, "%s", got[1].error);
	OK(load(o, "/status/503", 0)->status == LOADED_ERROR && got[1].retry_after.us == 7000000);
	OK(load(o, "/status/204", 0)->status == LOADED_ERROR);
	OK(load(o, "/status/206", 0)->status == LOADED_ERROR);
	OK(load(o, "/status/401", 0)->status == LOADED_ERROR);
	OK(load(o, "/status/304", 0)->status == LOADED_ERROR);
	OK(strcmp(got[1].error, "test: status 304 to a request without conditions") == 0, "%s",
	   got[1].error);
	http_origin_free(&o);
}

TEST(broken_answers_are_errors_that_say_so)
{
	static const char *const bad[][2] = {
	        {"/short/1", "test: wrong length: the answer ended after 5 of 100 bytes"},
	        {"/short-chunk/1", "test: "},
	        {"/close/1", "test: "},
	        {"/garbage/1", "test: "},
	        {"/huge/2000000", "test: the answer is longer than max_body_bytes, 1048576"},
	        {"/endless/1", "test: the answer is longer than max_body_bytes, 1048576"},
	        {"/bomb/1", "test: the answer is longer than max_body_bytes, 1048576"},
	        {"/headers/80000", "test: the headers are longer than max_header_bytes, 65536"},
	};
	struct http_origin_config c = config();
	struct http_origin *o = origin(&c);
	size_t i;

	for (i = 0; i < sizeof bad / sizeof *bad; i++) {
		load(o, bad[i][0], 0);
		OK(got[1].status == LOADED_ERROR && starts(got[1].error, bad[i][1]),
		   "%s: status %d, %s", bad[i][0], got[1].status, got[1].error);
		printf("# %s: %s\n", bad[i][0], got[1].error);
	}
	OK(load(o, "/huge/1048576", 0)->status == LOADED_OK && got[1].n == 1048576,
	   "the limit itself is allowed");
	OK(load(o, "/ok/after", 0)->status == LOADED_OK, "and the origin goes on");
	http_origin_free(&o);
}

static double real_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

TEST(silence_ends_at_the_deadline)
{
	static const char *const slow[] = {"/hang/1", "/slow/1", "/slow-header/1"};
	struct http_origin_config c = config();
	struct http_origin *o = origin(&c);
	double begun = real_s(), took;
	size_t i;

	for (i = 0; i < 3; i++)
		begin(o, i, slow[i], 0.4, 0);
	wait_for(o, 3);
	took = real_s() - begun;
	for (i = 0; i < 3; i++)
		OK(got[i].status == LOADED_ERROR &&
		           starts(got[i].error, "test: timeout: no full answer"),
		   "%s", got[i].error);
	OK(took > 0.3 && took < 5, "%.2f s", took);
	http_origin_free(&o);
	/* time that runs 20 times as fast: a deadline of 8 s is 0.4 s */
	c.time_scale = 20;
	o = origin(&c);
	begun = real_s();
	begin(o, 1, "/hang/1", 8, 0);
	wait_for(o, 1);
	took = real_s() - begun;
	OK(got[1].status == LOADED_ERROR && took > 0.3 && took < 5, "%.2f s", took);
	http_origin_free(&o);
	/* a deadline that has passed */
	c.time_scale = 1;
	o = origin(&c);
	begin(o, 1, "/hang/1", -1, 0);
	wait_for(o, 1);
	OK(got[1].status == LOADED_ERROR);
	http_origin_free(&o);
}

TEST(an_origin_that_is_not_there_is_refused)
{
	struct http_origin_config c = config();
	struct http_route r = plain;
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char url[80];
	struct http_origin *o;

	/* a port that is bound but not listened at */
	OK(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 &&
	   getsockname(fd, (struct sockaddr *)&a, &n) == 0);
	snprintf(url, sizeof url, "http://127.0.0.1:%d{+key}", ntohs(a.sin_port));
	r.url = url;
	c.route = &r;
	o = origin(&c);
	OK(load(o, "/x", 0)->status == LOADED_ERROR && starts(got[1].error, "test: refused: "),
	   "%s", got[1].error);
	printf("# %s\n", got[1].error);
	http_origin_free(&o);
	close(fd);
	r.url = "http://no-such-host.invalid{+key}";
	o = origin(&c);
	OK(load(o, "/x", 0)->status == LOADED_ERROR && strstr(got[1].error, "no-such-host.invalid"),
	   "%s", got[1].error);
	http_origin_free(&o);
}

TEST(redirects_stay_at_home)
{
	struct http_origin_config c = config();
	struct http_origin *o = origin(&c);

	OK(load(o, "/redirect/3", 0)->status == LOADED_OK && strcmp(got[1].value, "arrived") == 0,
	   "%s", got[1].error);
	OK(load(o, "/redirect/4", 0)->status == LOADED_ERROR);
	OK(strcmp(got[1].error, "test: more than 3 redirects") == 0, "%s", got[1].error);
	OK(load(o, "/redirect-loop/x", 0)->status == LOADED_ERROR);
	OK(load(o, "/redirect-away/x", 0)->status == LOADED_ERROR &&
	           strstr(got[1].error, "another host"),
	   "%s", got[1].error);
	OK(load(o, "/redirect-file/x", 0)->status == LOADED_ERROR, "%s", got[1].error);
	http_origin_free(&o);
}

TEST(what_must_not_be_kept_is_handed_over_only)
{
	static const char *const no[] = {
	        "/header?Cache-Control=no-store", "/header?Cache-Control=max-age%3D60,+private",
	        "/header?Set-Cookie=a%3Db", "/header?Vary=Cookie", "/header?Vary=*"};
	static const char *const vary[] = {"Accept-Language"};
	struct http_origin_config c = config();
	struct http_route r = plain;
	struct http_origin *o = origin(&c);
	size_t i;

	for (i = 0; i < sizeof no / sizeof *no; i++)
		OK(load(o, no[i], 0)->status == LOADED_UNCACHEABLE &&
		           strcmp(got[1].value, "value") == 0,
		   "%s", no[i]);
	OK(load(o, "/header?Vary=Accept-Language", 0)->status == LOADED_UNCACHEABLE);
	OK(load(o, "/header?Cache-Control=max-age%3D60&Age=10", 0)->status == LOADED_OK);
	OK(got[1].max_age.us == 50000000, "%" PRId64, got[1].max_age.us);
	http_origin_free(&o);
	r.cache_private = true;
	r.vary = vary;
	r.n_vary = 1;
	c.route = &r;
	o = origin(&c);
	for (i = 0; i < 3; i++)
		OK(load(o, no[i], 0)->status == LOADED_OK, "%s", no[i]);
	OK(load(o, "/header?Vary=Accept-Language", 0)->status == LOADED_OK);
	OK(load(o, "/header?Vary=*", 0)->status == LOADED_UNCACHEABLE, "that is never safe");
	http_origin_free(&o);
}

TEST(equal_json_has_an_equal_version)
{
	static const char *const ignore[] = {"/meta/t"};
	struct http_origin_config c = config();
	struct http_route r = plain;
	struct http_origin *o = origin(&c);
	uint64_t v;

	v = load(o, "/json/0", 0)->version;
	OK(load(o, "/json/1", 0)->version == v);
	v = load(o, "/json-time/1", 0)->version;
	OK(load(o, "/json-time/1", 0)->version != v);
	http_origin_free(&o);
	r.ignore = ignore;
	r.n_ignore = 1;
	c.route = &r;
	o = origin(&c);
	v = load(o, "/json-time/1", 0)->version;
	OK(load(o, "/json-time/1", 0)->version == v);
	OK(load(o, "/json-time/2", 0)->version != v);
	http_origin_free(&o);
}

TEST(urls_and_headers_are_what_was_configured)
{
	char secret[] = "/tmp/t_http_origin.XXXXXX", file_header[80];
	const char *const header[] = {"Authorization: Bearer ${env:T_HTTP_TOKEN}", file_header};
	struct http_origin_config c = config();
	struct http_route r[2] = {{.match = "/quotes/<symbol>/<day>"}, {.match = "other"}};
	struct fault e;
	struct http_origin *o;
	char url[2][120];
	int fd = mkstemp(secret);

	OK(fd >= 0 && write(fd, "s3cret\n", 7) == 7);
	close(fd);
	snprintf(file_header, sizeof file_header, "X-File: a${file:%s}b", secret);
	setenv("T_HTTP_TOKEN", "t0ken", 1);
	setenv("http_proxy", "http://127.0.0.1:1", 1); /* not to be looked at */
	snprintf(url[0], sizeof url[0], "%s/echo/v1/{symbol}?day={2}", base);
	snprintf(url[1], sizeof url[1], "%s/echo/{key}", base);
	r[0].url = url[0];
	r[1].url = url[1];
	r[0].header = header;
	r[0].n_headers = 2;
	c.route = r;
	c.n_routes = 2;
	o = origin(&c);
	load(o, "/quotes/A B&c/2026", 0);
	OK(starts(got[1].value, "GET /echo/v1/A%20B%26c?day=2026 HTTP/1.1\n"), "%s", got[1].value);
	OK(strstr(got[1].value, "Authorization: Bearer t0ken\n") &&
	           strstr(got[1].value, "X-File: as3cretb\n"),
	   "%s", got[1].value);
	OK(strstr(got[1].value, "User-Agent: forecached/"));
	load(o, "/none/of/these", 0);
	OK(strcmp(got[1].error, "test: no url is configured for this endpoint") == 0, "%s",
	   got[1].error);
	load(o, "/quotes/../2026", 0);
	OK(got[1].status == LOADED_ERROR && strstr(got[1].error, "'..'"), "%s", got[1].error);
	unsetenv("T_HTTP_TOKEN");
	OK(http_origin_configure(o, &c, &e) < 0 && strstr(e.text, "T_HTTP_TOKEN"), "%s", e.text);
	OK(load(o, "/quotes/A/2026", 0)->status == LOADED_OK, "the old configuration stays");
	setenv("T_HTTP_TOKEN", "evil\r\nX-Injected: 1", 1);
	OK(http_origin_configure(o, &c, &e) < 0 && !strstr(e.text, "evil"), "%s", e.text);
	r[0].n_headers = 0;
	OK(http_origin_configure(o, &c, &e) == 0);
	load(o, "/quotes/A/2026", 0);
	OK(got[1].status == LOADED_OK && !strstr(got[1].value, "Authorization"));
	http_origin_free(&o);
	unlink(secret);
	unsetenv("http_proxy");
}

TEST(bad_configurations_are_refused_by_name)
{
	static const char *const bad_header[] = {"If-None-Match: x"};
	struct http_origin_config c = config();
	struct http_origin *o = NULL;
	struct fault e;
	struct http_route r = plain;

	c.route = &r;
	r.url = "ftp://x/{key}";
	OK(http_origin_new(&c, on_loaded, NULL, &o, &e) < 0 && starts(e.text, "url: "), "%s",
	   e.text);
	r = plain;
	r.header = bad_header;
	r.n_headers = 1;
	OK(http_origin_new(&c, on_loaded, NULL, &o, &e) < 0 &&
	           starts(e.text, "header If-None-Match: "),
	   "%s", e.text);
	r = plain;
	c.max_redirects = 1000;
	OK(http_origin_new(&c, on_loaded, NULL, &o, &e) < 0, "no limit");
	OK(strcmp(e.text, "max_redirects: must be a number from 0 to 20 redirects") == 0, "%s",
	   e.text);
	c = config();
	c.ca_file = "/nonexistent";
	OK(http_origin_new(&c, on_loaded, NULL, &o, &e) < 0 && starts(e.text, "ca_file: "), "%s",
	   e.text);
	OK(!o);
}

TEST(an_origin_may_be_dropped_with_loads_in_flight)
{
	struct http_origin_config c = config();
	struct http_origin *o;
	int i;

	c.max_connections = 3;
	o = origin(&c);
	for (i = 0; i < 10; i++)
		begin(o, (uint64_t)i, i % 2 ? "/slow/x" : "/hang/x", 10, 0);
	begin(o, 20, "/../x", 10, 0);
	answered = 0;
	http_origin_run(o, now);
	http_origin_free(&o);
	OK(answered <= 1 && got[0].times == 0);
}

/* Starts the origin; with pem, over TLS. Its port goes to *ret_port; it ends with its stdin. */
static pid_t server(const char *pem, int *ret_stdin, int *ret_port)
{
	const char *python = getenv("PYTHON3"), *src = getenv("top_srcdir");
	char script[4096], line[64] = "";
	int in[2], out[2];
	pid_t pid;
	FILE *f;

	*ret_port = 0;
	snprintf(script, sizeof script, "%s/tests/scripts/origin_faults.py", src ? src : ".");
	if (pipe(in) < 0 || pipe(out) < 0 || (pid = fork()) < 0)
		return -1;
	if (pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[0]);
		close(in[1]);
		close(out[0]);
		close(out[1]);
		execlp(python ? python : "python3", "python3", script, "0", pem, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	/* or a second origin would keep the first one's stdin open */
	fcntl(in[1], F_SETFD, FD_CLOEXEC);
	*ret_stdin = in[1];
	f = fdopen(out[0], "r");
	if (!fgets(line, sizeof line, f) || sscanf(line, "port %d", ret_port) != 1)
		*ret_port = 0;
	fclose(f);
	return pid;
}

TEST(a_certificate_that_nobody_vouches_for_is_refused)
{
	static const char make[] =
	        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
	        "-subj /CN=%s -addext subjectAltName=%s -keyout %s.key -out %s.crt 2>/dev/null && "
	        "cat %s.crt %s.key > %s.pem";
	static const char *const name[] = {"DNS:elsewhere", "IP:127.0.0.1"};
	struct http_origin_config c = config();
	struct http_route r = plain;
	struct http_origin *o;
	char dir[] = "/tmp/t_http_origin.XXXXXX", stem[64], pem[80], crt[80], url[80], command[600];
	int i, stdin_fd, tls_port, status;
	pid_t pid;

	OK(mkdtemp(dir) != NULL);
	for (i = 0; i < 2; i++) {
		snprintf(stem, sizeof stem, "%s/%d", dir, i);
		snprintf(pem, sizeof pem, "%s.pem", stem);
		snprintf(crt, sizeof crt, "%s.crt", stem);
		snprintf(command, sizeof command, make, "test", name[i], stem, stem, stem, stem,
		         stem);
		if (system(command) != 0) {
			printf("# skipped: no openssl to make a certificate with\n");
			break;
		}
		pid = server(pem, &stdin_fd, &tls_port);
		OK(pid > 0 && tls_port);
		snprintf(url, sizeof url, "https://127.0.0.1:%d{+key}", tls_port);
		r.url = url;
		c.route = &r;
		c.ca_file = NULL;
		o = origin(&c);
		OK(load(o, "/ok/x", 0)->status == LOADED_ERROR &&
		           strstr(got[1].error, "SSL certificate problem"),
		   "%s", got[1].error);
		printf("# %s\n", got[1].error);
		http_origin_free(&o);
		c.ca_file = crt;
		o = origin(&c);
		load(o, "/ok/x", 0);
		if (i == 0) /* vouched for, but it is another host's */
			OK(got[1].status == LOADED_ERROR && strstr(got[1].error, "127.0.0.1"), "%s",
			   got[1].error);
		else
			OK(got[1].status == LOADED_OK && strcmp(got[1].value, "value of x") == 0,
			   "%s", got[1].error);
		http_origin_free(&o);
		close(stdin_fd);
		waitpid(pid, &status, 0);
	}
	snprintf(command, sizeof command, "rm -rf %s", dir);
	OK(system(command) == 0);
}

/* Loads of all kinds at once, at random: each is answered once. */
TEST(everything_at_once)
{
	static const char *const what[] = {"/ok/x",      "/etag/x",      "/short/x",    "/close/x",
	                                   "/garbage/x", "/status/500",  "/redirect/2", "/hang/x",
	                                   "/slow/x",    "/huge/300000", "/json/0",     "/bomb/x",
	                                   "/../x",      "/status/404"};
	struct http_origin_config c = config();
	struct http_origin *o;
	struct http_origin_stats s;
	struct rng g;
	int i;

	rng_init(&g, tap_seed);
	c.max_connections = 16;
	o = origin(&c);
	for (i = 0; i < 400; i++)
		begin(o, (uint64_t)i, what[rng_below(&g, sizeof what / sizeof *what)],
		      0.2 + 3 * rng_uniform(&g), rng_below(&g, 3));
	wait_for(o, 400);
	for (i = 0; i < 400; i++)
		OK(got[i].times == 1, "%d: %d", i, got[i].times);
	http_origin_stats(o, &s);
	OK(s.started == 400 && s.in_flight == 0);
	OK(s.ok + s.not_modified + s.absent + s.uncacheable + s.errors == 400);
	http_origin_free(&o);
}

int main(int argc, char **argv)
{
	int stdin_fd = -1, status;
	pid_t pid;

	tap_start(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	pid = server(NULL, &stdin_fd, &port);
	if (pid < 0 || !port) {
		printf("1..0 # SKIP no python3 to run the origin\n");
		return 0;
	}
	curl_global_init(CURL_GLOBAL_ALL);
	now = instant_from_s((double)time(NULL));
	snprintf(base, sizeof base, "http://127.0.0.1:%d", port);
	snprintf(plain_url, sizeof plain_url, "%s{+key}", base);
	RUN(a_value_comes_over_a_connection_that_is_kept);
	RUN(many_loads_share_few_connections);
	RUN(what_waits_for_a_connection_too_long_is_an_error);
	RUN(unchanged_values_are_not_sent_again);
	RUN(statuses_mean_what_they_say);
	RUN(broken_answers_are_errors_that_say_so);
	RUN(silence_ends_at_the_deadline);
	RUN(an_origin_that_is_not_there_is_refused);
	RUN(redirects_stay_at_home);
	RUN(what_must_not_be_kept_is_handed_over_only);
	RUN(equal_json_has_an_equal_version);
	RUN(urls_and_headers_are_what_was_configured);
	RUN(bad_configurations_are_refused_by_name);
	RUN(an_origin_may_be_dropped_with_loads_in_flight);
	RUN(a_certificate_that_nobody_vouches_for_is_refused);
	RUN(everything_at_once);
	curl_global_cleanup();
	close(stdin_fd);
	waitpid(pid, &status, 0);
	return tap_done();
}
