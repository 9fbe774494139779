/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The daemon as it is, in a process of its own: how many events a second it takes, and what its
 * answers cost a client of the same host. $FORECACHED says which program; without it, no rows.
 */
#include "bench/bench.h"

#include "client/forecache.h"
#include "base/mem.h"
#include "proto/pack.h"
#include "proto/reply.h"
#include "proto/request.h"
#include "proto/value.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define BATCH   1000u
#define BATCHES 1000u
#define KEYS    1000u

struct run {
	char dir[96];
	pid_t pid;
	struct fc *fc;
};

static void pause_ms(long ms)
{
	struct timespec t = {0, ms * 1000000};

	nanosleep(&t, NULL);
}

static void write_config(const char *path)
{
	FILE *f = fopen(path, "w");

	if (!f ||
	    fputs("{ \"redis\": \"off\", \"http\": \"off\", \"log_level\": \"error\" }\n", f) < 0 ||
	    fclose(f))
		bench_die(path);
}

static void start(struct run *r, const char *program)
{
	struct fc_options o = {.size = sizeof(o), .timeout_s = 0.5};
	char config[128], dir_arg[128], config_arg[160];
	void *result = NULL;
	size_t n;
	int rc = -1;

	snprintf(r->dir, sizeof(r->dir), "%s/daemon", bench_dir());
	snprintf(config, sizeof(config), "%s/bench.conf", bench_dir());
	snprintf(dir_arg, sizeof(dir_arg), "--dir=%s", r->dir);
	snprintf(config_arg, sizeof(config_arg), "--config=%s", config);
	write_config(config);
	if (mkdir(r->dir, 0700))
		bench_die(r->dir);
	fflush(NULL);
	r->pid = fork();
	if (r->pid == 0) {
		execl(program, program, dir_arg, config_arg, "--seed=1", (char *)NULL);
		perror(program);
		_exit(127);
	}
	o.dir = r->dir;
	if (r->pid < 0 || fc_open(&o, &r->fc))
		bench_die("fc_open");
	for (int i = 0; i < 100 && rc; i++) {
		if (waitpid(r->pid, NULL, WNOHANG) == r->pid) {
			errno = ECHILD;
			bench_die(program);
		}
		rc = fc_request(r->fc, "health", NULL, 0, 0, &result, &n, NULL, 0);
		if (rc)
			pause_ms(100);
	}
	free(result);
	if (rc) {
		kill(r->pid, SIGKILL);
		errno = -rc;
		bench_die("health");
	}
}

static void stop(struct run *r)
{
	fc_close(&r->fc);
	kill(r->pid, SIGTERM);
	waitpid(r->pid, NULL, 0);
}

/* A count of `stats`. */
static uint64_t count_of(struct run *r, const char *name)
{
	struct proto_limits limits = proto_limits_default();
	struct message m;
	struct map map;
	void *result = NULL;
	uint64_t v = 0;
	size_t n = 0;
	int rc = fc_request(r->fc, "stats", NULL, 0, 30, &result, &n, NULL, 0);

	message_init(&m);
	if (rc || message_read(&m, bytes_of(result, n), &limits, NULL) ||
	    value_map(m.root, "stats", &map, NULL) ||
	    value_uint(map_find(&map, name), name, UINT64_MAX, &v, NULL)) {
		errno = rc ? -rc : EBADMSG;
		bench_die(name);
	}
	message_release(&m);
	free(result);
	return v;
}

/* Pushes the batches as fast as the daemon takes them. Events a second; *ret_lost: the share
 * dropped. */
static double push_events(struct run *r, double *ret_lost)
{
	void *ctx = zmq_ctx_new(), *push = zmq_socket(ctx, ZMQ_PUSH);
	char address[128];
	struct pack w;
	uint64_t before, taken = 0, last = 0;
	int64_t begun, ended;

	pack_init(&w, 1 << 20);
	bench_pack_events(&w, BATCH);
	snprintf(address, sizeof(address), "ipc://%s/events", r->dir);
	if (zmq_connect(push, address))
		bench_die(address);
	before = count_of(r, "events");
	begun = ended = bench_ns();
	for (size_t i = 0; i < BATCHES; i++)
		if (zmq_send(push, w.p, w.n, 0) < 0)
			bench_die("zmq_send");
	/* until all have arrived, or nothing came for a second: the rest was dropped */
	while (taken < (uint64_t)BATCH * BATCHES && bench_ns() - ended < INT64_C(1000000000)) {
		taken = count_of(r, "events") - before;
		if (taken > last)
			ended = bench_ns();
		last = taken;
		pause_ms(1);
	}
	zmq_close(push);
	zmq_ctx_term(ctx);
	pack_release(&w);
	*ret_lost = 1 - (double)taken / ((double)BATCH * BATCHES);
	return (double)taken / (double)(ended - begun) * 1e9;
}

/* -- Many at once ------------------------------------------------------------------------------ */

#define MSET        32u   /* pairs in one */
#define MSET_FRAMES 1024u /* 16,384 keys, each in two frames with another value */
#define MSET_WINDOW 64u   /* frames on their way */
#define MSET_BYTES  200u

static void pack_mset(struct pack *w, unsigned frame)
{
	char keys[MSET][32], value[MSET_BYTES];
	struct request q;

	memset(value, (int)('a' + frame % 2), sizeof(value));
	request_init(&q);
	q.op = OP_MSET;
	q.id = 1 + frame;
	q.endpoint = bytes_str("/quotes/<symbol>");
	q.set.ttl = SPAN_S(3600);
	for (unsigned i = 0; i < MSET; i++) {
		int n = snprintf(keys[i], sizeof(keys[i]), "/quotes/%08u", frame / 2 * MSET + i);

		*vec_push(&q.pair) = (struct request_pair){bytes_of(keys[i], (size_t)n),
		                                           bytes_of(value, sizeof(value))};
	}
	pack_init(w, 1 << 20);
	request_write(w, &q);
	if (pack_status(w))
		bench_die("pack");
	request_release(&q);
}

/* Values set per second. */
static double push_sets(struct run *r, size_t frames)
{
	void *ctx = zmq_ctx_new(), *dealer = zmq_socket(ctx, ZMQ_DEALER);
	struct pack *w = mem_calloc(MSET_FRAMES, sizeof(*w));
	struct proto_limits limits = proto_limits_default();
	struct message m;
	struct reply said;
	char address[128];
	int64_t begun, took;
	zmq_msg_t reply;

	message_init(&m);

	for (unsigned i = 0; i < MSET_FRAMES; i++)
		pack_mset(&w[i], i);
	snprintf(address, sizeof(address), "ipc://%s/requests", r->dir);
	if (zmq_connect(dealer, address))
		bench_die(address);
	zmq_msg_init(&reply);
	begun = bench_ns();
	for (size_t sent = 0, got = 0; got < frames;) {
		if (sent < frames && sent - got < MSET_WINDOW) {
			/* all keys with one value, then with the other */
			const struct pack *p =
			        &w[sent * 2 % MSET_FRAMES + sent * 2 / MSET_FRAMES % 2];

			sent++;
			if (zmq_send(dealer, p->p, p->n, 0) < 0)
				bench_die("zmq_send");
			continue;
		}
		if (zmq_msg_recv(&reply, dealer, 0) < 0)
			bench_die("zmq_msg_recv");
		if (reply_read(&said, &m, bytes_of(zmq_msg_data(&reply), zmq_msg_size(&reply)),
		               &limits, NULL) ||
		    said.status) {
			errno = EBUSY;
			bench_die("mset");
		}
		got++;
	}
	took = bench_ns() - begun;
	message_release(&m);
	zmq_msg_close(&reply);
	zmq_close(dealer);
	zmq_ctx_term(ctx);
	for (unsigned i = 0; i < MSET_FRAMES; i++)
		pack_release(&w[i]);
	free(w);
	return (double)(frames * MSET) / (double)took * 1e9;
}

/* -- Single requests
 * ------------------------------------------------------------------------------- */

static size_t key_of(size_t i, char *buf, size_t n)
{
	return (size_t)snprintf(buf, n, "/quotes/%zu", i % KEYS);
}

static void set(void *arg, size_t n)
{
	struct run *r = arg;
	char key[64], value[100] = "";

	for (size_t i = 0; i < n; i++) {
		struct fc_set_options o = {.size = sizeof(o), .ttl_s = 3600, .load_ms = 100};
		int rc = fc_set(r->fc, "/quotes/<symbol>", key, key_of(i, key, sizeof(key)), value,
		                sizeof(value), &o);

		if (rc) {
			errno = -rc;
			bench_die("fc_set");
		}
	}
}

static void get(void *arg, size_t n)
{
	struct run *r = arg;
	struct fc_value v;
	char key[64];

	for (size_t i = 0; i < n; i++) {
		int rc = fc_get(r->fc, "/quotes/<symbol>", key, key_of(i, key, sizeof(key)), &v);

		if (rc) {
			errno = -rc;
			bench_die("fc_get");
		}
		fc_value_release(&v);
	}
}

static void ask(void *arg, size_t n)
{
	struct run *r = arg;
	struct pack w;
	char key[64];

	pack_init(&w, 1024);
	for (size_t i = 0; i < n; i++) {
		void *result = NULL;
		size_t bytes;
		int rc;

		pack_reset(&w);
		pack_array(&w, 1);
		pack_key(&w, bytes_of(key, key_of(i, key, sizeof(key))));
		rc = fc_request(r->fc, "get", w.p, w.n, 0, &result, &bytes, NULL, 0);
		if (rc) {
			errno = -rc;
			bench_die("get");
		}
		free(result);
	}
	pack_release(&w);
}

void bench_daemon(void)
{
	const char *program = getenv("FORECACHED");
	struct run r = {0};
	double events, lost, sets, set_ns, get_ns, ask_ns;

	if (!program || access(program, X_OK)) {
		printf("\nforecached: not built, or $FORECACHED does not name it\n");
		return;
	}
	start(&r, program);
	set_ns = bench_wall_ns(set, &r, KEYS);
	get_ns = bench_cpu_ns(get, &r, 20 * KEYS);
	ask_ns = bench_wall_ns(ask, &r, KEYS);
	push_sets(&r, 1000);
	sets = push_sets(&r, 20000);
	events = push_events(&r, &lost);
	stop(&r);

	bench_title("forecached in a process of its own, values of 100 bytes");
	bench_row("fc_get, from its segment", get_ns, "ns", 0, NULL);
	bench_row("get over ZeroMQ", ask_ns, "ns", ask_ns / get_ns, "x fc_get");
	bench_row("fc_set", set_ns, "ns", set_ns / ask_ns, "x get over ZeroMQ");
	bench_row("sets by mset of 32 over ZeroMQ, 200 bytes each", sets, "/s", 0, NULL);
	bench_row("events taken, a million in batches of 1000", events, "/s", 0, NULL);
	bench_row("  of them dropped and counted", lost * 100, "%", 0, NULL);
}
