/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A herd of client processes for the test that kills the daemon: each asks for keys in a loop,
 * loads what it is told to load, and checks every value that it gets.
 *
 *	herd DIR PROCESSES SECONDS KEYS LOADS-FILE [THREADS]
 *
 * With THREADS it is a prefork server: the handle is opened, and has been used, before the processes are
 * forked, and each uses what it inherits in so many threads.
 *
 * A value says of itself what it is: "key read_us checksum". Even keys live for a second, odd ones
 * for ten minutes. Each load is a line in the file: "key start_us end_us pid". At the end, one line
 * per process, or thread, on stdout: "gets misses wrong old failed late_us slow_us". `old`: a value that was
 * older than its TTL allows. `late_us`: how late the machine woke the process from a sleep, at the
 * worst. `slow_us`: the longest that a call took.
 */
#include "base/hash.h"
#include "client/forecache.h"
#include "tests/sanitized.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS 16

#define SHORT_S 1.0
#define LONG_S  600.0

/* How long a load takes, and by how much the clocks of two processes may differ. */
#define LOAD_US  2000
#define SLACK_US 50000

struct child {
	int loads_fd;
	unsigned long gets, misses, wrong, old, failed;
	int64_t late_us, slow_us;
};

static int64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static uint64_t sum(unsigned key, int64_t read_us)
{
	return hash_u64(hash_u64(key + 1) ^ (uint64_t)read_us);
}

static double ttl_s(unsigned key)
{
	return key % 2 ? LONG_S : SHORT_S;
}

static int load(void *arg, const void *key, size_t key_bytes, struct fc_loaded *ret)
{
	struct child *c = arg;
	unsigned k = (unsigned)strtoul((const char *)key + strlen("/herd/"), NULL, 10);
	struct timespec pause = {0, LOAD_US * 1000};
	int64_t start = now_us();
	char line[128];
	int n;

	(void)key_bytes;
	nanosleep(&pause, NULL);
	ret->data = malloc(128);
	if (!ret->data)
		return -ENOMEM;
	ret->bytes = (size_t)snprintf(ret->data, 128, "%u %" PRId64 " %" PRIx64, k, start,
	                              sum(k, start));
	ret->ttl_s = ttl_s(k);
	n = snprintf(line, sizeof(line), "%u %" PRId64 " %" PRId64 " %ld\n", k, start, now_us(),
	             (long)getpid());
	return write(c->loads_fd, line, (size_t)n) == n ? 0 : -EIO;
}

/* Nothing may be older than its TTL when it is asked for; `asked` is before the call. */
static void check(struct child *c, unsigned key, int64_t asked, const struct fc_value *v)
{
	char text[128];
	unsigned k = 0;
	int64_t read_us = 0;
	uint64_t s = 0;

	snprintf(text, sizeof(text), "%.*s", (int)(v->bytes < 127 ? v->bytes : 127),
	         (const char *)v->data);
	if (sscanf(text, "%u %" SCNd64 " %" SCNx64, &k, &read_us, &s) != 3 || k != key ||
	    s != sum(k, read_us)) {
		c->wrong++;
		fprintf(stderr, "wrong: key %u has \"%s\"\n", key, text);
	} else if (v->outcome != FC_GRACE &&
	           asked - read_us > (int64_t)(ttl_s(key) * 1e6) + SLACK_US) {
		if (c->old < 3)
			fprintf(stderr,
			        "old: key %u is %.3f s old: outcome %d, said to be %.3f s, %.3f s left\n",
			        key, (double)(asked - read_us) * 1e-6, (int)v->outcome, v->age_s,
			        v->ttl_s);
		c->old++;
	}
}

/* What all of them have in common. */
static struct {
	const char *dir;
	double seconds;
	unsigned keys, threads;
	int loads_fd;
} herd;

struct task {
	struct fc *fc;
	unsigned seed;
	bool failed;
};

static struct fc *opened(void)
{
	struct fc_options options = {.size = sizeof(options), .dir = herd.dir, .timeout_s = 3};
	struct fc *fc;

	return fc_open(&options, &fc) ? NULL : fc;
}

static void *ask(void *arg)
{
	struct task *t = arg;
	struct child c = {.loads_fd = herd.loads_fd};
	int64_t end = now_us() + (int64_t)(herd.seconds * 1e6);
	uint64_t chance = hash_u64(t->seed + 1);
	struct timespec pause = {0, 2000000};
	char line[160];
	int n;

	while (now_us() < end) {
		unsigned key = (unsigned)((chance = hash_u64(chance + 1)) % herd.keys);
		struct fc_value v = {0};
		char name[32];
		int64_t asked;
		int rc;

		n = snprintf(name, sizeof(name), "/herd/%u", key);
		asked = now_us();
		rc = fc_get_or_load(t->fc, "/herd/<k>", name, (size_t)n, load, &c, &v);
		if (now_us() - asked > c.slow_us)
			c.slow_us = now_us() - asked;
		c.gets++;
		if (rc)
			c.failed++;
		else
			check(&c, key, asked, &v);
		c.misses += !rc && v.outcome == FC_MISS;
		fc_value_release(&v);
		asked = now_us();
		nanosleep(&pause, NULL);
		if (now_us() - asked - pause.tv_nsec / 1000 > c.late_us)
			c.late_us = now_us() - asked - pause.tv_nsec / 1000;
	}
	n = snprintf(line, sizeof(line), "%lu %lu %lu %lu %lu %" PRId64 " %" PRId64 "\n", c.gets,
	             c.misses, c.wrong, c.old, c.failed, c.late_us, c.slow_us);
	t->failed = write(STDOUT_FILENO, line, (size_t)n) != n;
	return NULL;
}

/* A process of the herd; inherited may be NULL. */
static _Noreturn void run(struct fc *inherited, unsigned seed)
{
	struct task t[MAX_THREADS];
	pthread_t thread[MAX_THREADS];
	struct fc *fc = inherited ? inherited : opened();
	bool failed = !fc;

	for (unsigned i = 0; fc && i < herd.threads; i++) {
		t[i] = (struct task){.fc = fc, .seed = seed * herd.threads + i};
		if (pthread_create(&thread[i], NULL, ask, &t[i]))
			_exit(1);
	}
	for (unsigned i = 0; fc && i < herd.threads; i++) {
		pthread_join(thread[i], NULL);
		failed |= t[i].failed;
	}
	if (fc)
		fc_close(&fc);
	_exit(failed);
}

int main(int argc, char **argv)
{
	unsigned processes;
	struct fc *fc = NULL;
	int status, bad = 0;

	if (argc != 6 && argc != 7) {
		fprintf(stderr, "usage: herd DIR PROCESSES SECONDS KEYS LOADS-FILE [THREADS]\n");
		return 2;
	}
	herd.dir = argv[1];
	processes = (unsigned)strtoul(argv[2], NULL, 10);
	herd.seconds = strtod(argv[3], NULL);
	herd.keys = (unsigned)strtoul(argv[4], NULL, 10);
	herd.threads = argc == 7 ? (unsigned)strtoul(argv[6], NULL, 10) : 1;
	herd.loads_fd = open(argv[5], O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (herd.loads_fd < 0 || !herd.threads || herd.threads > MAX_THREADS) {
		perror(argv[5]);
		return 1;
	}
	if (argc == 7 && SANITIZED)
		return 77;
	if (argc == 7) {
		fc = opened();
		if (!fc || fc_set(fc, NULL, "/herd/opened", 12, "x", 1, NULL))
			return 1;
	}
	for (unsigned i = 0; i < processes; i++) {
		pid_t pid = fork();

		if (pid < 0) {
			perror("fork");
			return 1;
		}
		if (pid == 0)
			run(fc, i);
	}
	while (wait(&status) > 0)
		bad += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	fc_close(&fc);
	return bad ? 1 : 0;
}
