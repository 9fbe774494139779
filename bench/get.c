/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a get costs the app: from the segment through libforecache, beside what it would cost from
 * LMDB in this process, or from memcached or Redis over a Unix socket.
 *
 *	hot       16 keys, one after the other: all of it in the processor's own caches
 *	uniform   a million keys of 1 KiB, each as likely as the next: none of it is
 *	packed    16 keys of JSON, kept compressed, beside the same kept as they are
 *	beside    uniform over 10,000 keys, while another thread sets 100,000 a second
 *
 * Keys are spelt out before the time is taken, as an app has its key at hand.
 */
#include "bench/bench.h"
#include "bench/host.h"
#include "bench/peer.h"

#include "base/hash.h"
#include "base/mem.h"
#include "client/forecache.h"
#include "store/packed.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOT      16u
#define MANY     1000000u
#define BESIDE   10000u
#define PEER_HOT 10000u
#define KEY_MAX  64
#define MIB      (UINT64_C(1) << 20)

static struct bytes key_of(uint64_t i, char *buf)
{
	return bytes_of(buf, (size_t)snprintf(buf, KEY_MAX, "/quotes/%08x", (unsigned)i));
}

/* -- The segment, through libforecache --------------------------------------------------------- */

enum how { GET, INTO, PEEK };

struct getter {
	struct fc *fc;
	struct peer *peer;
	enum how how;
	unsigned keys; /* so many, from the first on */
	uint64_t n, gets, missed;
	size_t value_bytes;
	char name[BENCH_BATCH][KEY_MAX];
	struct bytes key[BENCH_BATCH];
	char buf[65536];
};

/* The keys of the next batch: in order if they are few, else in one that nothing foresees. */
static void name_keys(void *arg, size_t n)
{
	struct getter *g = arg;

	for (size_t i = 0; i < n; i++, g->n++)
		g->key[i] = key_of(g->keys <= HOT ? g->n % g->keys : hash_u64(g->n) % g->keys,
		                   g->name[i]);
}

static void get_one(struct getter *g, struct bytes k)
{
	struct fc_value v;
	struct fc_view w;
	int rc;

	switch (g->how) {
	case GET:
		rc = fc_get(g->fc, "/quotes/<symbol>", k.p, k.n, &v);
		fc_value_release(&v);
		break;
	case INTO:
		rc = fc_get_into(g->fc, "/quotes/<symbol>", k.p, k.n, 0, g->buf, sizeof(g->buf),
		                 &v);
		break;
	default:
		rc = fc_peek(g->fc, "/quotes/<symbol>", k.p, k.n, 0, &w);
		rc = rc ? rc : fc_peek_valid(g->fc, &w) ? 0 : -ENOENT;
	}
	g->gets++;
	g->missed += rc == -ENOENT;
	if (rc && rc != -ENOENT) {
		errno = -rc;
		bench_die("fc_get");
	}
}

static void get(void *arg, size_t n)
{
	struct getter *g = arg;

	for (size_t i = 0; i < n; i++)
		get_one(g, g->key[i]);
}

static void ask_peer(void *arg, size_t n)
{
	struct getter *g = arg;

	for (size_t i = 0; i < n; i++)
		peer_get(g->peer, g->key[i], g->value_bytes);
}

static double p50(struct fc *fc, enum how how, unsigned keys, size_t batches)
{
	struct getter *g = mem_calloc(1, sizeof(*g));
	double ns;

	g->fc = fc;
	g->how = how;
	g->keys = keys;
	ns = bench_p50_ns(name_keys, get, g, batches);
	if (g->missed) {
		errno = ENOENT;
		bench_die("fc_get");
	}
	free(g);
	return ns;
}

/* Negative when it is not there. */
static double peer_p50(const char *name, unsigned keys, struct bytes value)
{
	struct peer *p = peer_start(name, (uint64_t)keys * (value.n + 300));
	struct getter *g;
	double ns;

	if (!p)
		return -1;
	g = mem_calloc(1, sizeof(*g));
	peer_fill(p, key_of, keys, value);
	g->peer = p;
	g->keys = keys;
	g->value_bytes = value.n;
	ns = bench_p50_ns(name_keys, ask_peer, g, strcmp(name, "LMDB") ? 700 : 14000);
	free(g);
	peer_stop(&p);
	return ns;
}

static void peers(unsigned keys, struct bytes value, double ns)
{
	static const char *const peer[][2] = {
	        {"LMDB", "LMDB, in this process: a read transaction, and a copy"},
	        {"memcached", "memcached get, over a Unix socket"},
	        {"redis-server", "Redis GET, over a Unix socket"}};

	for (int i = 0; i < 3; i++) {
		double theirs = peer_p50(peer[i][0], keys, value);

		if (theirs > 0)
			bench_row(peer[i][1], theirs, "ns p50", theirs / ns, "x fc_get");
	}
}

static void fill(struct host *h, unsigned keys, struct bytes value)
{
	char buf[KEY_MAX];

	for (unsigned k = 0; k < keys; k++)
		host_put(h, key_of(k, buf), value, 1);
}

/* -- The rows ---------------------------------------------------------------------------------- */

static struct fc *open_client(void)
{
	struct fc_options o = {.size = sizeof(o), .dir = bench_dir()};
	struct fc *fc;

	if (fc_open(&o, &fc))
		bench_die("fc_open");
	return fc;
}

static void hot(size_t value_bytes)
{
	struct bytes value = {mem_calloc(value_bytes, 1), value_bytes};
	struct host h;
	struct fc *fc;
	double ns, into, peek;
	char title[96];

	host_start(&h, NULL, 64 * MIB, NULL, NULL);
	fc = open_client();
	fill(&h, HOT, value);
	ns = p50(fc, GET, HOT, 100000);
	into = p50(fc, INTO, HOT, 100000);
	peek = p50(fc, PEEK, HOT, 100000);
	fc_close(&fc);
	host_stop(&h);
	snprintf(title, sizeof(title), "get of %zu bytes, hot: %u keys in turn, one thread",
	         value_bytes, HOT);
	bench_title(title);
	bench_row("fc_get", ns, "ns p50", 0, NULL);
	bench_row("fc_get_into, a buffer of the caller's", into, "ns p50", into / ns, "x fc_get");
	bench_row("fc_peek and fc_peek_valid, in place", peek, "ns p50", peek / ns, "x fc_get");
	peers(PEER_HOT, value, ns);
	free((void *)(uintptr_t)value.p);
}

/* An array of quotes, as an API answers; no two keys have the same. */
static void quotes(char *buf, size_t n, uint64_t seed)
{
	char row[128];
	size_t at = 0;
	int len;

	for (uint64_t i = seed << 20; at < n; i++, at += (size_t)len) {
		uint64_t x = hash_u64(i);

		len = snprintf(
		        row, sizeof(row),
		        "{\"symbol\":\"%c%c%c\",\"bid\":%u.%02u,\"ask\":%u.%02u,\"volume\":%u},",
		        'A' + (char)(x % 26), 'A' + (char)(x / 26 % 26), 'A' + (char)(x / 676 % 26),
		        (unsigned)(x >> 20) % 500, (unsigned)(x >> 30) % 100,
		        (unsigned)(x >> 20) % 500, (unsigned)(x >> 40) % 100,
		        (unsigned)(x >> 48) % 10000 * 100);
		memcpy(buf + at, row, n - at < (size_t)len ? n - at : (size_t)len);
	}
}

/* What decoding costs: the same values twice, the first HOT keys as they are and then packed. */
static void packed(size_t value_bytes)
{
	char *value = mem_calloc(value_bytes, 1), *frame = mem_calloc(value_bytes, 1);
	char title[96], name[KEY_MAX];
	struct packer p = {0};
	double ns[2], kept = 0, fastest = INFINITY;
	struct host h;
	struct fc *fc;

	host_start(&h, NULL, 64 * MIB, NULL, NULL);
	fc = open_client();
	for (int how = 0; how < 2; how++) {
		for (unsigned k = 0; k < HOT; k++) {
			size_t n;
			int64_t began;

			quotes(value, value_bytes, k);
			began = bench_ns();
			n = packer_pack(&p, 3, bytes_of(value, value_bytes), frame);
			fastest = fmin(fastest, (double)(bench_ns() - began));
			kept += how ? (double)n / HOT : 0;
			if (!n)
				bench_die("packer_pack");
			if (how)
				host_put_packed(&h, key_of(k, name), bytes_of(frame, n), 1);
			else
				host_put(&h, key_of(k, name), bytes_of(value, value_bytes), 1);
		}
		ns[how] = p50(fc, GET, HOT, 7000);
	}
	fc_close(&fc);
	host_stop(&h);
	packer_release(&p);
	snprintf(title, sizeof(title), "get of %zu bytes of JSON, hot: %u keys in turn, one thread",
	         value_bytes, HOT);
	bench_title(title);
	bench_row("fc_get, kept as it is", ns[0], "ns p50", 0, NULL);
	bench_row("fc_get, kept compressed (zstd, level 3)", ns[1], "ns p50", ns[1] / ns[0],
	          "x as it is");
	bench_row("  of the bytes are kept", 100 * kept / (double)value_bytes, "%", 0, NULL);
	bench_row("  compressing one, on a thread of the daemon's, at best", fastest, "ns", 0,
	          NULL);
	free(value);
	free(frame);
}

/* A file system of its own with huge pages; NULL when this user or system has none. */
static const char *huge_dir(void)
{
	static char dir[96];

	snprintf(dir, sizeof(dir), "%s/huge", bench_dir());
	if (mkdir(dir, 0700) || mount("fc-bench", dir, "tmpfs", 0, "huge=always,size=2g")) {
		rmdir(dir);
		return NULL;
	}
	return dir;
}

static double uniform_in(const char *dir, struct bytes value)
{
	struct host h;
	struct fc *fc;
	double ns;

	host_start(&h, dir, 1200 * MIB, NULL, NULL);
	fc = open_client();
	fill(&h, MANY, value);
	ns = p50(fc, GET, MANY, 50000);
	fc_close(&fc);
	host_stop(&h);
	return ns;
}

/*
 * What memory alone takes: a table says where the value is, and it is copied. No key is compared, no
 * checksum made, no clock read, and nobody may write.
 */
struct table {
	uint32_t *at;
	const char *mem;
	uint64_t n;
	uint32_t pick[BENCH_BATCH];
	size_t value_bytes;
	void *(*volatile copy)(void *, const void *,
	                       size_t); /* so that it is not left out as of no use */
};

static void pick(void *arg, size_t n)
{
	struct table *t = arg;

	for (size_t i = 0; i < n; i++)
		t->pick[i] = (uint32_t)(hash_u64(t->n++) % MANY);
}

static void copy(void *arg, size_t n)
{
	struct table *t = arg;

	for (size_t i = 0; i < n; i++) {
		void *value = malloc(t->value_bytes);

		if (!value)
			bench_die("malloc");
		t->copy(value, t->mem + (uint64_t)t->at[t->pick[i]] * t->value_bytes,
		        t->value_bytes);
		free(value);
	}
}

static double memory_alone(size_t value_bytes)
{
	size_t bytes = MANY * value_bytes;
	struct table t = {
	        .at = mem_calloc(MANY, sizeof(*t.at)), .value_bytes = value_bytes, .copy = memcpy};
	void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	                 MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	double ns;

	if (mem == MAP_FAILED)
		bench_die("mmap");
	t.mem = mem;
	for (uint32_t i = 0; i < MANY; i++)
		t.at[i] = (uint32_t)(hash_u64(~(uint64_t)i) % MANY);
	ns = bench_p50_ns(pick, copy, &t, 50000);
	munmap(mem, bytes);
	free(t.at);
	return ns;
}

static void uniform(void)
{
	struct bytes value = {mem_calloc(1024, 1), 1024};
	double ns = uniform_in(NULL, value), least = memory_alone(value.n);
	const char *dir;

	bench_title("get of 1024 bytes, 1000000 keys, uniform, one thread");
	bench_row("fc_get", ns, "ns p50", 0, NULL);
	bench_row("memory alone: a table of places, and memcpy", least, "ns p50", least / ns,
	          "x fc_get");
	dir = huge_dir();
	if (dir) {
		double huge = uniform_in(dir, value);

		bench_row("fc_get, the segment in huge pages", huge, "ns p50", huge / ns,
		          "x fc_get");
		umount(dir);
	} else {
		printf("  (no file system with huge pages could be mounted: not root?)\n");
	}
	peers(MANY, value, ns);
	free((void *)(uintptr_t)value.p);
}

/* Sets 100,000 values a second, evenly. */
struct writer {
	struct host *host;
	struct bytes value;
	atomic_bool stop;
	uint64_t puts;
};

static void *write_on(void *arg)
{
	struct writer *w = arg;
	int64_t next = bench_ns();
	char buf[KEY_MAX];

	bench_pin(1);
	while (!atomic_load_explicit(&w->stop, memory_order_relaxed)) {
		if (bench_ns() < next)
			continue;
		next += 10000;
		host_put(w->host, key_of(hash_u64(w->puts * 7) % BESIDE, buf), w->value, w->puts);
		w->puts++;
	}
	return NULL;
}

/* Gets per second over some time of this thread. */
static double rate(struct getter *g, int64_t for_ns)
{
	int64_t spent = 0, start;
	uint64_t n = 0;

	while (spent < for_ns) {
		name_keys(g, BENCH_BATCH);
		start = bench_ns();
		get(g, BENCH_BATCH);
		spent += bench_ns() - start;
		n += BENCH_BATCH;
	}
	return (double)n / (double)spent * 1e9;
}

static void beside(void)
{
	struct bytes value = {mem_calloc(1024, 1), 1024};
	struct getter *g = mem_calloc(1, sizeof(*g));
	double alone = 0, busy = 0, r;
	struct writer w = {.value = value};
	pthread_t thread;
	struct host h;
	int64_t start, took = 0;

	host_start(&h, NULL, 64 * MIB, NULL, NULL);
	fill(&h, BESIDE, value);
	g->fc = open_client();
	g->keys = BESIDE;
	w.host = &h;
	bench_pin(0);
	/* in turns, so that what the machine does meanwhile hits both */
	for (int i = 0; i < BENCH_ROUNDS; i++) {
		r = rate(g, 200000000);
		alone = r > alone ? r : alone;
		g->gets = g->missed = 0;
		atomic_store(&w.stop, false);
		start = bench_ns();
		if (pthread_create(&thread, NULL, write_on, &w))
			bench_die("pthread_create");
		r = rate(g, 200000000);
		busy = r > busy ? r : busy;
		atomic_store(&w.stop, true);
		pthread_join(thread, NULL);
		took += bench_ns() - start;
	}
	bench_title("a reader pinned to one processor, the writer on another, 1024 bytes");
	bench_row("gets of 10000 keys, uniform, without writer", alone, "/s", 0, NULL);
	bench_row("the same while it sets", busy, "/s", busy / alone, "x alone");
	bench_row("  sets meanwhile", (double)w.puts / (double)took * 1e9, "/s", 0, NULL);
	bench_row("  gets that missed: a reader waits for no writer",
	          1e6 * (double)g->missed / (double)g->gets, "ppm", 0, NULL);
	fc_close(&g->fc);
	host_stop(&h);
	free(g);
	free((void *)(uintptr_t)value.p);
}

void bench_get(void)
{
	hot(64);
	hot(1024);
	uniform();
	beside();
}

void bench_packed(void)
{
	packed(1024);
	packed(16384);
	packed(131072);
}
