/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a get costs the app: from the segment through libforecache, beside one ZeroMQ round trip on
 * the same host and, where it is installed, a Redis GET over a Unix socket.
 */
#include "bench/bench.h"
#include "bench/host.h"

#include "base/hash.h"
#include "base/mem.h"
#include "client/forecache.h"
#include "store/reader.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define KEYS     10000u
#define KEY_MAX  32
#define READ_MAX (1u << 20)

static char key[KEYS][KEY_MAX];
static size_t key_bytes[KEYS];

/* Keys in an order that no prefetcher foresees, the same in each round. */
static unsigned nth_key(size_t i)
{
	return (unsigned)(hash_u64(i) % KEYS);
}

static void make_keys(void)
{
	for (unsigned k = 0; k < KEYS; k++)
		key_bytes[k] = (size_t)snprintf(key[k], KEY_MAX, "/quotes/%06u", k);
}

/* -- From the segment ----------------------------------------------------------------------------
 */

struct getter {
	struct fc *fc;
	uint64_t gets, missed;
};

static void get_fc(void *arg, size_t n)
{
	struct getter *g = arg;
	struct fc_value v;

	g->gets += n;
	for (size_t i = 0; i < n; i++) {
		unsigned k = nth_key(i);
		int rc = fc_get(g->fc, "/quotes/<symbol>", key[k], key_bytes[k], &v);

		if (rc && rc != -ENOENT) {
			errno = -rc;
			bench_die("fc_get");
		}
		g->missed += rc == -ENOENT;
		fc_value_release(&v);
	}
}

struct raw {
	struct store_reader reader;
	struct instant now;
	void *buf;
};

static void get_raw(void *arg, size_t n)
{
	struct raw *r = arg;
	struct reader_value v;

	for (size_t i = 0; i < n; i++) {
		unsigned k = nth_key(i);

		if (store_reader_get(&r->reader, bytes_of(key[k], key_bytes[k]), r->now, r->buf,
		                     READ_MAX, &v) != READER_FRESH)
			bench_die("store_reader_get");
	}
}

/* A writer that replaces values as fast as it can. */
struct writer {
	struct host *host;
	struct bytes value;
	atomic_bool stop;
	uint64_t puts;
};

static void *replace(void *arg)
{
	struct writer *w = arg;

	while (!atomic_load(&w->stop)) {
		unsigned k = nth_key(w->puts++ * 7);

		host_put(w->host, bytes_of(key[k], key_bytes[k]), w->value, w->puts);
	}
	return NULL;
}

/* -- Beside it: ZeroMQ ---------------------------------------------------------------------------
 */

struct echo {
	void *ctx, *router, *dealer;
	const void *value;
	size_t value_bytes;
	pthread_t thread;
};

/* Answers each request with the value, until it is an empty one. */
static void *answer(void *arg)
{
	struct echo *e = arg;
	char id[256], request[256];

	for (;;) {
		int id_n = zmq_recv(e->router, id, sizeof(id), 0);
		int n = zmq_recv(e->router, request, sizeof(request), 0);

		if (id_n < 0 || n <= 0)
			return NULL;
		zmq_send(e->router, id, (size_t)id_n, ZMQ_SNDMORE);
		zmq_send(e->router, e->value, e->value_bytes, 0);
	}
}

static void get_zmq(void *arg, size_t n)
{
	struct echo *e = arg;
	zmq_msg_t reply;

	zmq_msg_init(&reply);
	for (size_t i = 0; i < n; i++) {
		unsigned k = nth_key(i);

		zmq_send(e->dealer, key[k], key_bytes[k], 0);
		if (zmq_msg_recv(&reply, e->dealer, 0) != (int)e->value_bytes)
			bench_die("zmq_msg_recv");
	}
	zmq_msg_close(&reply);
}

static double zmq_ns(struct bytes value)
{
	struct echo e = {.ctx = zmq_ctx_new(), .value = value.p, .value_bytes = value.n};
	char address[128];
	double ns;

	snprintf(address, sizeof(address), "ipc://%s/echo", bench_dir());
	e.router = zmq_socket(e.ctx, ZMQ_ROUTER);
	e.dealer = zmq_socket(e.ctx, ZMQ_DEALER);
	if (zmq_bind(e.router, address) || zmq_connect(e.dealer, address) ||
	    pthread_create(&e.thread, NULL, answer, &e))
		bench_die(address);
	ns = bench_wall_ns(get_zmq, &e, 3000);
	zmq_send(e.dealer, "", 0, 0);
	pthread_join(e.thread, NULL);
	zmq_close(e.dealer);
	zmq_close(e.router);
	zmq_ctx_term(e.ctx);
	return ns;
}

/* -- Beside it: Redis ----------------------------------------------------------------------------
 */

struct redis {
	pid_t pid;
	int fd;
	char *buf;
};

static int dial(const char *path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof(to))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* False when there is no redis-server, or it does not come up within 5 s. */
static bool redis_start(struct redis *r)
{
	const struct timespec tick = {0, 10000000};
	char path[96];

	snprintf(path, sizeof(path), "%s/redis", bench_dir());
	r->fd = -1;
	fflush(NULL); /* or the child prints it once more */
	r->pid = fork();
	if (r->pid == 0) {
		if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
			_exit(127);
		execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", path,
		       "--save", "", "--dir", bench_dir(), (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < 500 && r->pid > 0 && r->fd < 0; i++) {
		if (waitpid(r->pid, NULL, WNOHANG) == r->pid) {
			r->pid = 0;
			return false;
		}
		r->fd = dial(path);
		nanosleep(&tick, NULL);
	}
	return r->fd >= 0;
}

static void redis_stop(struct redis *r)
{
	if (r->fd >= 0)
		close(r->fd);
	if (r->pid > 0) {
		kill(r->pid, SIGTERM);
		waitpid(r->pid, NULL, 0);
	}
}

/* Sends, and reads so many bytes. */
static void exchange(struct redis *r, const void *out, size_t n, size_t answer_bytes)
{
	if (write(r->fd, out, n) != (ssize_t)n)
		bench_die("redis");
	for (size_t got = 0; got < answer_bytes;) {
		ssize_t more = read(r->fd, r->buf, READ_MAX);

		if (more <= 0)
			bench_die("redis");
		got += (size_t)more;
	}
}

static size_t redis_answer; /* bytes of one */

static void get_redis(void *arg, size_t n)
{
	char out[128];

	for (size_t i = 0; i < n; i++) {
		unsigned k = nth_key(i);
		int len = snprintf(out, sizeof(out), "*2\r\n$3\r\nGET\r\n$%zu\r\n%s\r\n",
		                   key_bytes[k], key[k]);

		exchange(arg, out, (size_t)len, redis_answer);
	}
}

/* -1 without Redis. */
static double redis_ns(struct bytes value)
{
	struct redis r = {0};
	double ns = -1;
	char head[64];

	if (redis_start(&r)) {
		char *out = mem_calloc(value.n + 256, 1);

		r.buf = mem_calloc(READ_MAX, 1);
		for (unsigned k = 0; k < KEYS; k++) {
			int n = snprintf(out, 256, "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%zu\r\n",
			                 key_bytes[k], key[k], value.n);

			memcpy(out + n, value.p, value.n);
			memcpy(out + n + value.n, "\r\n", 2);
			exchange(&r, out, (size_t)n + value.n + 2, 5); /* +OK */
		}
		redis_answer =
		        value.n + 2 + (size_t)snprintf(head, sizeof(head), "$%zu\r\n", value.n);
		ns = bench_wall_ns(get_redis, &r, 3000);
		free(out);
		free(r.buf);
	}
	redis_stop(&r);
	return ns;
}

/* -- The rows
 * -------------------------------------------------------------------------------------- */

static void at_size(struct host *h, struct fc *fc, size_t value_bytes)
{
	struct bytes value = {mem_calloc(value_bytes, 1), value_bytes};
	struct raw raw = {.now = host_now(), .buf = mem_calloc(READ_MAX, 1)};
	struct getter quiet = {.fc = fc}, beside = {.fc = fc};
	struct writer w = {.host = h, .value = value};
	size_t n = value_bytes > 4096 ? 20000 : 200000;
	double get, reader, busy, zmq, redis;
	char title[64];
	pthread_t thread;
	int64_t start;

	for (unsigned k = 0; k < KEYS; k++)
		host_put(h, bytes_of(key[k], key_bytes[k]), value, 1);
	if (store_reader_init(&raw.reader, h->mem, UINT64_C(256) << 20))
		bench_die("store_reader_init");
	get = bench_cpu_ns(get_fc, &quiet, n);
	if (quiet.missed) {
		errno = ENOENT;
		bench_die("fc_get");
	}
	reader = bench_cpu_ns(get_raw, &raw, n);

	start = bench_ns();
	if (pthread_create(&thread, NULL, replace, &w))
		bench_die("pthread_create");
	busy = bench_cpu_ns(get_fc, &beside, n);
	atomic_store(&w.stop, true);
	pthread_join(thread, NULL);
	start = bench_ns() - start;

	zmq = zmq_ns(value);
	redis = redis_ns(value);

	snprintf(title, sizeof(title), "get of %zu bytes, %u keys", value_bytes, KEYS);
	bench_title(title);
	bench_row("fc_get, from the segment", get, "ns", 0, NULL);
	bench_row("  of that the reader alone", reader, "ns", reader / get, "of fc_get");
	bench_row("fc_get while a writer replaces values", busy, "ns", busy / get, "x fc_get");
	bench_row("  gets that missed: a reader waits for no writer",
	          1e6 * (double)beside.missed / (double)beside.gets, "ppm", 0, NULL);
	bench_row("  how fast that writer was", (double)w.puts / (double)start * 1e9, "put/s", 0,
	          NULL);
	bench_row("ZeroMQ round trip over ipc, same value", zmq, "ns", zmq / get, "x fc_get");
	if (redis > 0)
		bench_row("Redis GET over a Unix socket", redis, "ns", redis / get, "x fc_get");
	free((void *)(uintptr_t)value.p);
	free(raw.buf);
}

void bench_get(void)
{
	struct fc_options o = {.size = sizeof(o), .dir = bench_dir()};
	struct host h;
	struct fc *fc;

	make_keys();
	host_start(&h, NULL, NULL);
	if (fc_open(&o, &fc))
		bench_die("fc_open");
	at_size(&h, fc, 100);
	at_size(&h, fc, 1000);
	at_size(&h, fc, 10000);
	fc_close(&fc);
	host_stop(&h);
}
