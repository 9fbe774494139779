/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Plays a recorded trace against a running daemon, and is the origin behind it: what the daemon did
 * can then be held against what `forecache simulate` says that it would do.
 *
 *	parity DIR REQUESTS CHANGES
 *
 * DIR is the run directory of a daemon that was started with --time-scale and with --time-start a
 * little before the first request. Prints one JSON object, with the fields of `simulate --json`.
 *
 * HOW IT WORKS the daemon's clock is read from its segment, to the microsecond. Each request is
 * sent when that clock shows its time, whatever became of those before it, and each job of the
 * loader worker is answered after the load_ms of its key's latest request, with the version that
 * the trace has at the instant when the job came. A value is its version in digits, so every answer
 * shows what it is.
 *
 * A load that is answered after its deadline has failed: the machine stood still for so long. Such
 * loads, and requests that got no value because of them, are counted as `failed`.
 *
 * The daemon calls `miss` also those who waited for another's load. A demand load has exactly one
 * miss, and its answer comes first; the other answers of that kind are counted as joined.
 */
#include "base/heap.h"
#include "base/mem.h"
#include "proto/loader.h"
#include "proto/reply.h"
#include "proto/request.h"
#include "proto/status.h"
#include "sim/score.h"
#include "sim/trace.h"
#include "store/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define CONCURRENCY 256 /* jobs at once: the most that a daemon allows by default */
#define MESSAGE_MAX (1 << 20)
#define GIVE_UP_US  (60 * INT64_C(1000000)) /* real time without any word, while answers are owed */
#define REGISTER_US (10 * INT64_C(1000000))

struct job {
	uint64_t id;
	uint32_t key, version;
};

struct known_key {
	uint32_t load_us;     /* of its latest request */
	uint32_t misses_owed; /* demand loads whose first answer is still to come */
};

struct drive {
	struct trace trace;
	struct score score;
	struct known_key *key;

	/* the daemon's clock: it showed `zero` at the CLOCK_BOOTTIME zero_us */
	struct instant zero;
	int64_t zero_us;
	double scale;

	void *requests, *loaders; /* sockets */
	int timer_fd;
	struct proto_limits limits;
	struct message message;
	struct pack pack;

	size_t next, answered;    /* requests */
	size_t failed;            /* loads that were too late, requests that got nothing for that */
	int64_t *sent_us;         /* by request */
	int64_t heard_us;         /* anything, from the daemon */
	VEC(int64_t) late_us;     /* by request: sent so long after its time */
	VEC(int64_t) hit_took_us; /* round trips of hits */

	VEC(struct job) job;
	VEC(uint32_t) free_job;
	struct heap ends; /* of jobs, by CLOCK_BOOTTIME */
	bool registered;
	int64_t beat_us, next_beat_us;
};

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("parity: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

/* -- Time ------------------------------------------------------------------------------------- */

static int64_t boot_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static struct instant daemon_time(const struct drive *d, int64_t at_us)
{
	return (struct instant){d->zero.us + (int64_t)((double)(at_us - d->zero_us) * d->scale)};
}

/* When the daemon's clock shows t, rounded up: nothing is to be early. */
static int64_t boot_of(const struct drive *d, struct instant t)
{
	return d->zero_us + (int64_t)((double)(t.us - d->zero.us) / d->scale) + 1;
}

static void read_clock(struct drive *d, const char *dir)
{
	/* so far apart that the rounding to microseconds is no error of the scale */
	const int64_t hour_us = 3600 * INT64_C(1000000);
	struct store_reader r;
	struct stat st;
	char path[4096];
	void *mem;
	int fd;

	snprintf(path, sizeof(path), "%s/segment", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		die("%s: %s", path, strerror(errno));
	mem = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (mem == MAP_FAILED || store_reader_init(&r, mem, (uint64_t)st.st_size))
		die("%s: no segment of this version", path);
	d->zero_us = boot_us();
	d->zero = store_reader_now(&r, d->zero_us);
	d->scale = (double)(store_reader_now(&r, d->zero_us + hour_us).us - d->zero.us) /
	           (double)hour_us;
	munmap(mem, (size_t)st.st_size);
	if (!instant_is_set(d->zero) || !(d->scale > 0))
		die("%s: its clock cannot be read", path);
}

/* -- Messages --------------------------------------------------------------------------------- */

static void send_packed(struct drive *d, void *socket)
{
	if (pack_status(&d->pack) || zmq_send(socket, d->pack.p, d->pack.n, ZMQ_DONTWAIT) < 0)
		die("a message cannot be sent: %s", zmq_strerror(errno));
	pack_reset(&d->pack);
}

/* False: nothing has come. The frame is the caller's to close. */
static bool receive(struct drive *d, void *socket, zmq_msg_t *ret)
{
	zmq_msg_init(ret);
	if (zmq_msg_recv(ret, socket, ZMQ_DONTWAIT) < 0) {
		zmq_msg_close(ret);
		return false;
	}
	d->heard_us = boot_us();
	return true;
}

static void say(struct drive *d, const struct loader_message *m)
{
	loader_message_write(&d->pack, m);
	send_packed(d, d->loaders);
}

static void *open_socket(void *ctx, const char *dir, const char *name)
{
	void *s = zmq_socket(ctx, ZMQ_DEALER);
	char address[4096];
	int none = 0;

	snprintf(address, sizeof(address), "ipc://%s/%s", dir, name);
	zmq_setsockopt(s, ZMQ_SNDHWM, &none, sizeof(none));
	zmq_setsockopt(s, ZMQ_RCVHWM, &none, sizeof(none));
	zmq_setsockopt(s, ZMQ_LINGER, &none, sizeof(none));
	if (!s || zmq_connect(s, address))
		die("%s: %s", address, zmq_strerror(errno));
	return s;
}

/* -- The users -------------------------------------------------------------------------------- */

static void ask(struct drive *d, size_t i)
{
	const struct trace *t = &d->trace;
	uint32_t key = t->key.v[i];
	struct request r;

	request_init(&r);
	r.op = OP_GET;
	r.id = i;
	r.endpoint = intern_name(&t->endpoints, t->endpoint.v[key]);
	r.key = intern_name(&t->keys, key);
	r.get.mode = MODE_LOAD;
	d->key[key].load_us = t->load_us.v[i];
	request_write(&d->pack, &r);
	d->sent_us[i] = boot_us();
	*vec_push(&d->late_us) = d->sent_us[i] - boot_of(d, t->at.v[i]);
	send_packed(d, d->requests);
	request_release(&r);
}

static uint32_t version_of(struct bytes value)
{
	char text[16];

	snprintf(text, sizeof(text), "%.*s", (int)value.n, (const char *)value.p);
	return (uint32_t)strtoul(text, NULL, 10);
}

static void on_reply(struct drive *d, struct bytes frame)
{
	struct proto_error err = {""};
	struct reply r;
	struct got g;
	enum outcome o;
	int64_t took_us;
	uint32_t key;

	if (reply_read(&r, &d->message, frame, &d->limits, &err) || !r.has_id || r.id >= d->next)
		die("a reply that is none: %s", err.text);
	key = d->trace.key.v[r.id];
	if (r.status == STATUS_LOAD_FAILED) {
		d->key[key].misses_owed -= d->key[key].misses_owed > 0;
		d->failed++;
		d->answered++;
		return;
	}
	if (r.status)
		die("request %" PRIu64 ", %s, was refused: %.*s: %.*s", r.id,
		    (const char *)intern_name(&d->trace.keys, key).p, (int)r.code.n,
		    (const char *)r.code.p, (int)r.text.n, (const char *)r.text.p);
	if (got_read(&g, r.result, &d->limits, &err) || !g.found)
		die("request %" PRIu64 " got no value: %s", r.id, err.text);
	took_us = boot_us() - d->sent_us[r.id];
	if (g.outcome != EVENT_MISS) {
		o = g.outcome == EVENT_HIT ? OUTCOME_HIT : OUTCOME_GRACE;
	} else if (d->key[key].misses_owed > 0) {
		d->key[key].misses_owed--;
		o = OUTCOME_MISS;
	} else {
		o = OUTCOME_JOINED;
	}
	if (o == OUTCOME_HIT) {
		*vec_push(&d->hit_took_us) = took_us;
		took_us = 0; /* this machine's time, not the origin's */
	}
	score_answer(&d->score, r.id, o, version_of(g.value), SPAN_US((double)took_us * d->scale));
	d->answered++;
}

/* -- The origin ------------------------------------------------------------------------------- */

static void do_register(struct drive *d)
{
	struct loader_message m;

	loader_message_init(&m);
	m.word = LOADER_REGISTER;
	m.concurrency = CONCURRENCY;
	for (uint32_t e = 0; e < d->trace.endpoints.n_ids; e++)
		*vec_push(&m.endpoint) = intern_name(&d->trace.endpoints, e);
	say(d, &m);
	loader_message_release(&m);
}

static void start_job(struct drive *d, const struct told *t)
{
	int64_t now_us = boot_us();
	struct instant now = daemon_time(d, now_us), ends;
	uint32_t key = intern_find(&d->trace.keys, t->key), i;
	enum load_reason reason = 0;

	if (key == INTERN_NONE)
		die("a key is loaded that nobody has asked for");
	while (reason < LOAD_REASONS &&
	       !bytes_equal(t->reason, bytes_str(load_reason_name(reason))))
		reason++;
	if (reason == LOAD_REASONS)
		die("a load for no reason that is known");
	if (d->free_job.n) {
		i = d->free_job.v[--d->free_job.n];
	} else {
		i = (uint32_t)d->job.n;
		vec_push(&d->job);
	}
	d->job.v[i] = (struct job){t->job, key, trace_version(&d->trace, key, now)};
	ends.us = now_us + (int64_t)(d->key[key].load_us / d->scale);
	heap_set(&d->ends, i, ends);
	d->key[key].misses_owed += reason == LOAD_DEMAND;
	score_load(&d->score, key, now, reason);
}

static void end_job(struct drive *d, uint32_t i)
{
	struct loader_message m;
	char text[16];
	int n = snprintf(text, sizeof(text), "%" PRIu32, d->job.v[i].version);

	loader_message_init(&m);
	m.word = LOADER_VALUE;
	m.job = d->job.v[i].id;
	m.value = bytes_of(text, (size_t)n);
	m.last_modified = INSTANT_NONE;
	say(d, &m);
	loader_message_release(&m);
	*vec_push(&d->free_job) = i;
}

static void on_told(struct drive *d, struct bytes frame)
{
	struct proto_error err = {""};
	struct told t;

	if (told_read(&t, &d->message, frame, &d->limits, &err))
		die("a word to the loader that is none: %s", err.text);
	switch (t.kind) {
	case TOLD_JOB:
		start_job(d, &t);
		break;
	case TOLD_REGISTERED:
		d->registered = true;
		d->beat_us = t.beat.us;
		d->next_beat_us = boot_us() + d->beat_us;
		break;
	case TOLD_BEAT:
		break;
	case TOLD_REFUSED:
		if (d->registered &&
		    bytes_equal(t.code, bytes_str(status_name(STATUS_BAD_REQUEST)))) {
			d->failed++; /* a job that is not open any more */
			break;
		}
		die("the loader was refused: %.*s: %.*s", (int)t.code.n, (const char *)t.code.p,
		    (int)t.text.n, (const char *)t.text.p);
	}
}

/* -- The loop --------------------------------------------------------------------------------- */

/* Sends what is due; returns when the next is. */
static int64_t run_due(struct drive *d)
{
	const struct trace *t = &d->trace;
	int64_t now_us = boot_us(), next_us;
	uint32_t i;

	while (d->next < t->at.n && boot_of(d, t->at.v[d->next]) <= now_us)
		ask(d, d->next++);
	while (heap_pop(&d->ends, (struct instant){now_us}, &i))
		end_job(d, i);
	if (d->next_beat_us <= now_us) {
		say(d, &(struct loader_message){.word = LOADER_BEAT});
		d->next_beat_us = now_us + d->beat_us;
	}
	next_us = heap_next(&d->ends).us;
	if (d->next < t->at.n && boot_of(d, t->at.v[d->next]) < next_us)
		next_us = boot_of(d, t->at.v[d->next]);
	return next_us < d->next_beat_us ? next_us : d->next_beat_us;
}

static void wait_until(struct drive *d, int64_t at_us)
{
	struct itimerspec at = {.it_value = {at_us / 1000000, at_us % 1000000 * 1000}};
	zmq_pollitem_t item[] = {
	        {d->requests, 0, ZMQ_POLLIN, 0},
	        {d->loaders, 0, ZMQ_POLLIN, 0},
	        {NULL, d->timer_fd, ZMQ_POLLIN, 0},
	};
	zmq_msg_t m;

	/* zmq_poll knows milliseconds only, a timer microseconds */
	timerfd_settime(d->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
	if (zmq_poll(item, 3, -1) < 0 && errno != EINTR)
		die("zmq_poll: %s", zmq_strerror(errno));
	/* jobs before replies: a reply's miss is known by its load */
	while ((item[1].revents & ZMQ_POLLIN) && receive(d, d->loaders, &m)) {
		on_told(d, bytes_of(zmq_msg_data(&m), zmq_msg_size(&m)));
		zmq_msg_close(&m);
	}
	while ((item[0].revents & ZMQ_POLLIN) && receive(d, d->requests, &m)) {
		on_reply(d, bytes_of(zmq_msg_data(&m), zmq_msg_size(&m)));
		zmq_msg_close(&m);
	}
}

static void play(struct drive *d)
{
	const struct trace *t = &d->trace;
	int64_t began_us = boot_us();

	do_register(d);
	while (!d->registered) {
		wait_until(d, began_us + REGISTER_US);
		if (!d->registered && boot_us() - began_us >= REGISTER_US)
			die("the daemon does not answer the loader");
	}
	if (boot_us() > boot_of(d, t->at.v[0]))
		die("the daemon's clock is past the first request by %.1f s: start it earlier",
		    span_s(instant_diff(daemon_time(d, boot_us()), t->at.v[0])));
	while (d->answered < t->at.n) {
		wait_until(d, run_due(d));
		if (d->answered < d->next && boot_us() - d->heard_us > GIVE_UP_US)
			die("%zu requests were not answered", d->next - d->answered);
	}
}

/* -- What came out ---------------------------------------------------------------------------- */

static int compare_i64(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* `"name": {"p50", "p99", "max"}` of microseconds, as ms of real time. */
static void print_quantiles(const char *name, int64_t *us, size_t n)
{
	if (n == 0)
		return;
	qsort(us, n, sizeof(*us), compare_i64);
	printf(", \"%s\": {\"p50\": %.3f, \"p99\": %.3f, \"max\": %.3f}", name,
	       (double)us[n / 2] * 1e-3, (double)us[n * 99 / 100] * 1e-3, (double)us[n - 1] * 1e-3);
}

static void print_figures(const struct figures *f)
{
	static const char *const name[SCORE_OUTCOMES] = {"hits", "grace", "misses", "joined"};

	printf("\"requests\": %" PRIu64, f->requests);
	for (int o = 0; o < SCORE_OUTCOMES; o++)
		printf(", \"%s\": %" PRIu64, name[o], f->outcome[o]);
	printf(", \"loads\": {");
	for (enum load_reason r = 0; r < LOAD_REASONS; r++)
		printf("%s\"%s\": %" PRIu64, r ? ", " : "", load_reason_name(r), f->loads[r]);
	printf("}, \"loads_per_request\": %.9f, \"stale_per_request\": %.9f, \"hit_ratio\": %.9f",
	       f->loads_per_request, f->stale_per_request, f->hit_ratio);
	printf(", \"response_ms\": {\"mean\": %.3f, \"p50\": %.3f, \"p99\": %.3f}",
	       f->response_mean_ms, f->response_p50_ms, f->response_p99_ms);
}

/* Endpoints are named as they are: the traces here have none with quotes in them. */
static void print(struct drive *d)
{
	struct figures f = score_total(&d->score, NULL);

	printf("{");
	print_figures(&f);
	printf(", \"endpoints\": {");
	for (uint32_t e = 0; e < d->trace.endpoints.n_ids; e++) {
		f = score_endpoint(&d->score, e);
		printf("%s\"%s\": {", e ? ", " : "",
		       (const char *)intern_name(&d->trace.endpoints, e).p);
		print_figures(&f);
		printf("}");
	}
	printf("}, \"time_scale\": %.9g, \"failed\": %zu", d->scale, d->failed);
	print_quantiles("late_ms", d->late_us.v, d->late_us.n);
	print_quantiles("hit_took_ms", d->hit_took_us.v, d->hit_took_us.n);
	printf("}\n");
}

int main(int argc, char **argv)
{
	struct drive d = {.limits = proto_limits_default(), .next_beat_us = INT64_MAX};
	struct trace_options o = {0};
	struct fault fault;
	void *ctx;

	if (argc != 4) {
		fputs("usage: parity DIR REQUESTS CHANGES\n", stderr);
		return 2;
	}
	if (trace_read(&d.trace, argv[2], &o, &fault) ||
	    trace_read_changes(&d.trace, argv[3], &fault))
		die("%s", fault.text);
	if (intern_find(&d.trace.endpoints, bytes_of(NULL, 0)) != INTERN_NONE)
		die("%s: every request must name its endpoint", argv[2]);
	score_init(&d.score, &d.trace, d.trace.at.v[0], SPAN_ZERO);
	d.key = mem_calloc(d.trace.keys.n_ids, sizeof(*d.key));
	d.sent_us = mem_calloc(d.trace.at.n, sizeof(*d.sent_us));
	message_init(&d.message);
	pack_init(&d.pack, MESSAGE_MAX);

	prctl(PR_SET_TIMERSLACK, 1000UL);
	d.timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	ctx = zmq_ctx_new();
	if (d.timer_fd < 0 || !ctx)
		die("no timer or context: %s", strerror(errno));
	d.requests = open_socket(ctx, argv[1], "requests");
	d.loaders = open_socket(ctx, argv[1], "loaders");
	read_clock(&d, argv[1]);
	play(&d);
	print(&d);

	zmq_close(d.requests);
	zmq_close(d.loaders);
	zmq_ctx_term(ctx);
	close(d.timer_fd);
	pack_release(&d.pack);
	message_release(&d.message);
	heap_release(&d.ends);
	vec_free(&d.job);
	vec_free(&d.free_job);
	vec_free(&d.late_us);
	vec_free(&d.hit_took_us);
	score_release(&d.score);
	free(d.key);
	free(d.sent_us);
	trace_release(&d.trace);
	return 0;
}
