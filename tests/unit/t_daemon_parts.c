/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Patterns, lengths of time, log lines and the ring: small parts of the daemon. */
#include "daemon/config.h"
#include "daemon/crew.h"
#include "daemon/log.h"
#include "daemon/pattern.h"
#include "daemon/ring.h"
#include "store/store.h"
#include "tests/tap.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

TEST(patterns_match_by_segment)
{
	static const struct {
		const char *pattern, *key;
		bool yes;
	} t[] = {
	        {"*", "", true},
	        {"*", "/any/thing", true},
	        {"/q/<s>", "/q/IBM", true},
	        {"/q/<s>", "/q/<symbol>", true},
	        {"/q/<s>", "/q/", false},
	        {"/q/<s>", "/q/IBM/day", false},
	        {"/q/<s>/day", "/q/IBM/day", true},
	        {"/q/*", "/q/IBM/day", true},
	        {"/q/*", "/q/", true},
	        {"/q/*", "/q", false},
	        {"/q", "/q", true},
	        {"/q", "/qq", false},
	        {"q:*", "q:1", true},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++)
		OK(pattern_matches(t[i].pattern, bytes_str(t[i].key)) == t[i].yes, "%s %s",
		   t[i].pattern, t[i].key);
}

TEST(lengths_of_time_are_read)
{
	static const struct {
		const char *text;
		double s;
	} t[] = {{"30s", 30},     {"5m", 300},    {"1.5h", 5400},
	         {"250ms", 0.25}, {"7d", 604800}, {"12", 12}};
	static const char *const bad[] = {"",    "s",      "-1s", "1 fortnight", "0x10", "nan",
	                                  "inf", "1e400s", "5m3", ".",           "1s "};
	double s;

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		OK(config_duration(t[i].text, &s), "%s", t[i].text);
		NEAR(s, t[i].s, 1e-12);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		OK(!config_duration(bad[i], &s), "%s", bad[i]);
}

/* What the function writes to stderr. */
static size_t caught(void (*fn)(void), char *buf, size_t cap)
{
	int pipe_fd[2], saved = dup(2);
	ssize_t n;

	OK(!pipe(pipe_fd));
	fcntl(pipe_fd[1], F_SETPIPE_SZ, 1 << 20);
	dup2(pipe_fd[1], 2);
	fn();
	dup2(saved, 2);
	close(saved);
	close(pipe_fd[1]);
	n = read(pipe_fd[0], buf, cap - 1);
	close(pipe_fd[0]);
	buf[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

static void write_hundred(void)
{
	for (int i = 0; i < 100; i++)
		log_line(LOG_WARN, "test", "n=%d", i);
	log_line(LOG_DEBUG, "quiet", "n=1");
	log_line(LOG_INFO, "other", "text=a\nb");
}

TEST(the_log_counts_what_it_leaves_out)
{
	static char buf[65536];
	uint64_t before = log_suppressed();
	size_t lines = 0;

	log_setup(LOG_INFO, 5, false);
	caught(write_hundred, buf, sizeof(buf));
	for (const char *s = buf; (s = strchr(s, '\n')); s++)
		lines++;
	OK(lines == 6, "%zu lines: %s", lines, buf);
	OK(strstr(buf, "warn event=test n=4\n"));
	OK(!strstr(buf, "n=5\n"));
	OK(strstr(buf, "info event=other text=a b\n"));
	OK(log_suppressed() - before == 95);
}

TEST(keys_are_hashed_and_texts_quoted)
{
	char buf[LOG_TEXT_BYTES], long_text[1000];

	log_setup(LOG_INFO, 5, false);
	OK(*log_key(bytes_str("/user/secret"), buf) == '#');
	OK(!strstr(buf, "secret"));
	OK(!strcmp(log_quote(bytes_str("plain"), buf), "plain"));
	OK(!strcmp(log_quote(bytes_str("two words"), buf), "\"two words\""));
	OK(!strcmp(log_quote(bytes_of("a\0\n\"\\\xff", 6), buf), "\"a\\x00\\x0a\\\"\\\\\\xff\""));
	memset(long_text, '\n', sizeof(long_text));
	OK(strlen(log_quote(bytes_of(long_text, sizeof(long_text)), buf)) < LOG_TEXT_BYTES);
	log_setup(LOG_INFO, 5, true);
	OK(!strcmp(log_key(bytes_str("/user/1"), buf), "/user/1"));
}

#define RING_ITEMS 200000

static struct ring ring;

static void *produce(void *arg)
{
	(void)arg;
	for (uintptr_t i = 1; i <= RING_ITEMS; i++)
		while (!ring_put(&ring, (void *)i))
			sched_yield();
	return NULL;
}

TEST(the_ring_loses_nothing_and_keeps_the_order)
{
	uintptr_t expect = 1;
	pthread_t thread;

	ring_init(&ring, 10);
	OK(ring.cap == 16);
	OK(!ring_take(&ring));
	for (uintptr_t i = 0; i < 16; i++)
		OK(ring_put(&ring, (void *)(i + 1)));
	OK(!ring_put(&ring, &ring));
	OK(ring_count(&ring) == 16);
	while (ring_take(&ring))
		;
	OK(!pthread_create(&thread, NULL, produce, NULL));
	while (expect <= RING_ITEMS) {
		void *p = ring_take(&ring);

		if (!p) {
			sched_yield();
			continue;
		}
		if ((uintptr_t)p != expect) {
			OK(false, "%ju in place of %ju", (uintmax_t)(uintptr_t)p,
			   (uintmax_t)expect);
			break;
		}
		expect++;
	}
	pthread_join(thread, NULL);
	ring_release(&ring);
}

static void note(void *job, unsigned i)
{
	((atomic_uint *)job)[i]++;
}

TEST(a_crew_does_each_piece_once)
{
	static atomic_uint done[1000];
	unsigned bad = 0;

	crew_run(4, note, done, 1000);
	for (int i = 0; i < 1000; i++)
		bad += done[i] != 1;
	OK(!bad, "%u of 1000", bad);
	crew_run(4, note, done, 1);
	crew_run(1, note, done, 1);
	crew_run(1, note, done, 0);
	OK(done[0] == 3 && done[1] == 1);
}

/* Under ThreadSanitizer: that verifying at once is no race. */
TEST(a_crew_attaches_a_segment)
{
	static _Alignas(64) unsigned char segment[1 << 20];
	const struct store_clock clock = {0, {INT64_C(1800000000000000)}, 1, 0};
	const struct store_crew crew = {crew_run, 4};
	struct store_found found = {.dropped = 1};
	uint64_t n = 0;
	struct store *s;
	char key[16];

	OK(!store_create(segment, sizeof(segment), 1, clock, &s));
	for (;; n++) {
		struct store_item item = {.value = bytes_str("a value"),
		                          .loaded = clock.base,
		                          .soft = instant_add(clock.base, SPAN_S(60)),
		                          .hard = instant_add(clock.base, SPAN_S(120)),
		                          .max_age = SPAN_S(3600)};

		snprintf(key, sizeof(key), "/k/%llu", (unsigned long long)n);
		item.key = bytes_str(key);
		if (store_put(s, &item, NULL))
			break;
	}
	store_release(&s);
	OK(!store_attach(segment, sizeof(segment), 2, clock, clock.base, &crew, &found, &s));
	OK(n > 1000 && found.kept == n && !found.dropped, "%llu of %llu",
	   (unsigned long long)found.kept, (unsigned long long)n);
	store_release(&s);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(patterns_match_by_segment);
	RUN(lengths_of_time_are_read);
	RUN(the_log_counts_what_it_leaves_out);
	RUN(keys_are_hashed_and_texts_quoted);
	RUN(the_ring_loses_nothing_and_keeps_the_order);
	RUN(a_crew_does_each_piece_once);
	RUN(a_crew_attaches_a_segment);
	return tap_done();
}
