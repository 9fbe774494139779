/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * market-origin: the slow backend of the example, an HTTP API with quotes, charts, profiles and
 * news.
 *
 * HOW IT WORKS one thread serves all connections. A request reads the value that is true at that
 * instant, then its connection is suspended until the time that the load takes is over; a second
 * thread resumes connections when they are due. Times are of the fast clock (when.h), so with
 * --time-scale 60 a load of 300 ms takes 5 ms.
 *
 *	GET /quotes/FSGB     200 with an ETag, or 304 when If-None-Match names it
 *	GET /stats           loads so far (not counted as a load)
 *
 * With --log FILE each load is written down as it begins: time_s, key, version, "200" or "304",
 * with tabs.
 */
#include "examples/market/args.h"
#include "base/heap.h"
#include "base/mem.h"
#include "examples/market/truth.h"
#include "examples/market/when.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define CONNECTIONS 1024

static const char usage[] =
        "usage: market-origin [--port N] [--seed N] [--time-scale N] [--time-start TIME "
        "[--time-zero US]]\n"
        "\n"
        "Serves /quotes/<symbol>, /charts/<symbol>, /profiles/<symbol>, /news/<topic> and /stats "
        "on 127.0.0.1.\n"
        "  --port N           0: any free port; the first line on stdout says which (default "
        "6380)\n"
        "  --seed N           another market (default 1)\n"
        "  --time-scale N     time runs N times as fast\n"
        "  --time-start TIME  what the clock shows at the start, like 2026-11-16T09:15:00-05:00; "
        "default: now\n"
        "  --time-zero US     ... at this CLOCK_BOOTTIME in microseconds, to agree with another "
        "process\n"
        "  --log FILE         write down every load: time_s, key, version, status\n";

/* One request on its way. */
struct load {
	struct MHD_Connection *connection;
	struct instant read; /* when the origin read the value */
	size_t key;
	int64_t version;
	char etag[32];
	uint32_t slot;
	bool not_modified, ready;
};

struct origin {
	struct when clock;
	struct truth *truth;
	pthread_mutex_t lock; /* over everything below */
	pthread_cond_t sooner;
	struct heap due; /* slots of suspended loads, by CLOCK_BOOTTIME */
	struct load *load[CONNECTIONS];
	bool stop;
	uint64_t loads, not_modified;
	FILE *log; /* NULL: none */
};

const char args_program[] = "market-origin";

/* -- Answers ---------------------------------------------------------------------------------- */

static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, const char *body, size_t n,
                              const char *etag)
{
	struct MHD_Response *r =
	        MHD_create_response_from_buffer(n, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result ok;

	if (r == NULL)
		return MHD_NO;
	MHD_add_response_header(r, "Content-Type", "application/json");
	if (etag != NULL)
		MHD_add_response_header(r, "ETag", etag);
	ok = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result answer_stats(struct origin *o, struct MHD_Connection *c)
{
	char text[200];
	int n;

	pthread_mutex_lock(&o->lock);
	n = snprintf(text, sizeof(text),
	             "{\"time_s\":%.6f,\"loads\":%" PRIu64 ",\"not_modified\":%" PRIu64 "}\n",
	             instant_s(when_now(&o->clock)), o->loads, o->not_modified);
	pthread_mutex_unlock(&o->lock);
	return answer(c, MHD_HTTP_OK, text, (size_t)n, NULL);
}

static enum MHD_Result answer_load(struct origin *o, const struct load *l)
{
	char body[TRUTH_BODY_MAX];

	if (l->not_modified)
		return answer(l->connection, MHD_HTTP_NOT_MODIFIED, "", 0, l->etag);
	return answer(l->connection, MHD_HTTP_OK, body,
	              truth_body(o->truth, l->key, l->version, body, sizeof(body)), l->etag);
}

/*
 * Reads the origin: the value is the one of this instant, whenever it gets there. False: too many.
 */
static bool begin(struct origin *o, struct load *l)
{
	const char *have =
	        MHD_lookup_connection_value(l->connection, MHD_HEADER_KIND, "If-None-Match");
	bool ok = false;

	l->read = when_now(&o->clock);
	l->version = truth_version(o->truth, l->key, l->read);
	snprintf(l->etag, sizeof(l->etag), "\"%" PRIx64 "\"", (uint64_t)l->version);
	l->not_modified = have != NULL && strcmp(have, l->etag) == 0;
	pthread_mutex_lock(&o->lock);
	o->loads++;
	o->not_modified += l->not_modified;
	if (o->log != NULL)
		fprintf(o->log, "%.6f\t%s\t%" PRId64 "\t%d\n", instant_s(l->read),
		        truth_name(o->truth, l->key), l->version, l->not_modified ? 304 : 200);
	for (l->slot = 0; l->slot < CONNECTIONS && o->load[l->slot] != NULL; l->slot++)
		;
	if (l->slot < CONNECTIONS) {
		struct instant end =
		        instant_add(l->read, truth_load_time(o->truth, l->key, l->read));
		struct instant due = {when_boot_of(&o->clock, end)};
		bool first = due.us < heap_next(&o->due).us;

		MHD_suspend_connection(l->connection);
		o->load[l->slot] = l;
		heap_set(&o->due, l->slot, due);
		if (first)
			pthread_cond_signal(&o->sooner);
		ok = true;
	}
	pthread_mutex_unlock(&o->lock);
	return ok;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_n, void **state)
{
	struct origin *o = arg;
	struct load *l = *state;
	size_t key;

	(void)version, (void)upload;
	if (l != NULL && l->ready)
		return answer_load(o, l);
	/* all of the request is here: only now may the connection be kept for the next */
	if (l != NULL)
		return begin(o, l) ? MHD_YES
		                   : answer(c, MHD_HTTP_SERVICE_UNAVAILABLE, "{}\n", 3, NULL);
	if (strcmp(method, "GET") != 0 || *upload_n > 0)
		return answer(c, MHD_HTTP_METHOD_NOT_ALLOWED, "{}\n", 3, NULL);
	if (strcmp(url, "/stats") == 0)
		return answer_stats(o, c);
	key = truth_find(o->truth, url);
	if (key == TRUTH_NONE)
		return answer(c, MHD_HTTP_NOT_FOUND, "{}\n", 3, NULL);
	l = mem_calloc(1, sizeof(*l));
	l->connection = c;
	l->key = key;
	*state = l;
	return MHD_YES;
}

static void on_done(void *arg, struct MHD_Connection *c, void **state,
                    enum MHD_RequestTerminationCode why)
{
	(void)arg, (void)c, (void)why;
	free(*state);
	*state = NULL;
}

/*
 * A condition waits by CLOCK_MONOTONIC at best; it differs from CLOCK_BOOTTIME when the machine
 * slept.
 */
static void wait_at_most(struct origin *o, int64_t us)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	us += ts.tv_nsec / 1000;
	ts.tv_sec += us / 1000000;
	ts.tv_nsec = us % 1000000 * 1000 + ts.tv_nsec % 1000;
	pthread_cond_timedwait(&o->sooner, &o->lock, &ts);
}

/* The second thread: resumes connections whose time has come. */
static void *resume(void *arg)
{
	struct origin *o = arg;
	uint32_t slot;

	prctl(PR_SET_TIMERSLACK, 1000UL); /* the default, 50 us, is 3 ms at 60 times the speed */
	pthread_mutex_lock(&o->lock);
	while (!o->stop) {
		struct instant next = heap_next(&o->due);
		int64_t wait_us = instant_is_set(next) ? next.us - when_boot_us() : INT64_MAX;

		if (wait_us == INT64_MAX)
			pthread_cond_wait(&o->sooner, &o->lock);
		else if (wait_us > 0)
			wait_at_most(o, wait_us);
		while (heap_pop(&o->due, (struct instant){when_boot_us()}, &slot)) {
			o->load[slot]->ready = true;
			MHD_resume_connection(o->load[slot]->connection);
			o->load[slot] = NULL;
		}
	}
	/* MHD wants nothing suspended when it stops */
	for (slot = 0; slot < CONNECTIONS; slot++)
		if (o->load[slot] != NULL) {
			o->load[slot]->ready = true;
			MHD_resume_connection(o->load[slot]->connection);
			o->load[slot] = NULL;
		}
	pthread_mutex_unlock(&o->lock);
	return NULL;
}

/*
 * -------------------------------------------------------------------------------------------------
 */

static void serve(struct origin *o, uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct MHD_Daemon *http;
	pthread_condattr_t monotonic;
	pthread_t thread;
	sigset_t stop;
	int sig;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	pthread_mutex_init(&o->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&o->sooner, &monotonic);
	sigemptyset(&stop);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &stop, NULL);
	if (pthread_create(&thread, NULL, resume, o) != 0)
		args_die("thread", "cannot be started");
	http = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, port,
	                        NULL, NULL, on_request, o, MHD_OPTION_SOCK_ADDR, &address,
	                        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
	                        MHD_OPTION_NOTIFY_COMPLETED, on_done, NULL, MHD_OPTION_END);
	if (http == NULL)
		args_die("port", strerror(errno));
	printf("listening on http://127.0.0.1:%u\n",
	       MHD_get_daemon_info(http, MHD_DAEMON_INFO_BIND_PORT)->port);
	fflush(stdout);
	sigwait(&stop, &sig);

	MHD_quiesce_daemon(http);
	pthread_mutex_lock(&o->lock);
	o->stop = true;
	pthread_cond_signal(&o->sooner);
	pthread_mutex_unlock(&o->lock);
	pthread_join(thread, NULL);
	MHD_stop_daemon(http);
	heap_release(&o->due);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	        {"port", required_argument, NULL, 'p'},
	        {"seed", required_argument, NULL, 's'},
	        {"time-scale", required_argument, NULL, 'x'},
	        {"time-start", required_argument, NULL, 't'},
	        {"time-zero", required_argument, NULL, 'z'},
	        {"log", required_argument, NULL, 'l'},
	        {"help", no_argument, NULL, 'h'},
	        {NULL, 0, NULL, 0},
	};
	static struct origin o;
	struct timespec ts;
	uint16_t port = 6380;
	uint64_t seed = 1;
	int c;

	clock_gettime(CLOCK_REALTIME, &ts);
	o.clock = (struct when){
	        {(int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000}, when_boot_us(), 1};
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			port = (uint16_t)args_number("--port", optarg, 0, 65535);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 10);
			break;
		case 'x':
			o.clock.scale = args_number("--time-scale", optarg, 0.001, 100000);
			break;
		case 't':
			if (!when_parse(optarg, &o.clock.start))
				args_die("--time-start",
				         "not a time like 2026-11-16T09:15:00-05:00");
			break;
		case 'z':
			o.clock.zero_us = (int64_t)args_number("--time-zero", optarg, 0, 1e17);
			break;
		case 'l':
			o.log = fopen(optarg, "w");
			if (o.log == NULL)
				args_die(optarg, strerror(errno));
			setvbuf(o.log, NULL, _IOLBF, 0);
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind != argc) {
		fputs(usage, stderr);
		return 2;
	}
	o.truth = truth_new(seed);
	truth_prepare(o.truth, o.clock.start, instant_add(o.clock.start, SPAN_S(86400)));
	serve(&o, port);
	if (o.log != NULL && fclose(o.log) != 0)
		args_die("--log", strerror(errno));
	truth_free(&o.truth);
	return 0;
}
