/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sockets, limits, and the queue of answers: see web.h. */
#include "daemon/web.h"

#include "base/mem.h"
#include "base/text.h"
#include "daemon/acceptor.h"
#include "daemon/config_source.h"
#include "daemon/log.h"
#include "daemon/message_json.h"
#include "daemon/web_answer.h"
#include "proto/value.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG 64

/* Between two turns of one answer. */
static const struct span PAUSE = {1000};

/* Steps of one turn: until they have taken so much of the thread's time. */
static const double TURN_S = 0.0003;

/* The kernel takes no more of an answer at once: copying it is work of this thread, too. */
static const int SEND_BYTES = 65536;

/*
 * A request that is not complete, or an answer that is not taken, after so many times http_idle_s is
 * given up, however busy.
 */
#define SLOW_IDLES 3

/* For whom no descriptor is left. */
static const char SORRY[] = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
                            "Retry-After: 1\r\nContent-Length: 0\r\n\r\n";

/* How often slow connections are looked for. */
static const struct span LOOK = {1000 * 1000};

/* An open connection, in a list. */
struct peer {
	struct peer *prev, *next;
	int fd;
	int64_t since_us; /* of its beginning, its last answer, or that answer's end */
	bool busy;        /* an answer for it is being made */
};

struct web {
	struct daemon *d;
	struct MHD_Daemon *mhd;
	struct acceptor acceptor;
	int epoll_fd, port;
	struct loop_timer timeout, work, look;
	struct web_answer *first, *last;
	struct peer *peers;
	struct web_counts counts;
	struct web_warmth *warmths;
	int64_t idle_us;
	uint64_t max_connections;
};

/* -- Text ------------------------------------------------------------------------------------- */

void web_put(struct web_text *t, struct bytes b)
{
	if (!b.n)
		return;
	vec_reserve(&t->text, t->text.n + b.n);
	memcpy(t->text.v + t->text.n, b.p, b.n);
	t->text.n += b.n;
}

void web_puts(struct web_text *t, const char *s)
{
	web_put(t, bytes_str(s));
}

void web_printf(struct web_text *t, const char *fmt, ...)
{
	char buf[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	web_put(t, bytes_of(buf, n < 0                     ? 0
	                         : (size_t)n < sizeof(buf) ? (size_t)n
	                                                   : sizeof(buf) - 1));
}

void web_put_quoted(struct web_text *t, struct bytes b)
{
	char *text = text_json(b);
	cJSON *item = cJSON_CreateString(text);
	char *quoted = cJSON_PrintUnformatted(item);

	web_puts(t, quoted ? quoted : "\"\"");
	cJSON_free(quoted);
	cJSON_Delete(item);
	free(text);
}

void web_fail(struct web_answer *a, unsigned status, const char *code, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	a->status = status;
	a->type = WEB_JSON;
	a->step = NULL;
	a->text.text.n = 0;
	web_printf(&a->text, "{\"error\":{\"code\":\"%s\",\"text\":", code);
	web_put_quoted(&a->text, bytes_str(text));
	web_puts(&a->text, "}}\n");
}

bool web_put_json(struct web_answer *a, struct pack *p)
{
	struct proto_limits limits = proto_limits_default();
	struct proto_error err = {.text = ""};
	struct message m;
	char *text = NULL;
	cJSON *tree;

	limits.max_frame_bytes = (double)p->limit;
	limits.max_value_bytes = (double)p->limit;
	limits.max_elements = 4194304; /* bounded by http_rows */
	message_init(&m);
	if (pack_status(p) || message_read(&m, pack_bytes(p), &limits, &err)) {
		web_fail(a, 500, "too_big", "the answer is too large: ask for fewer rows");
	} else {
		tree = message_to_json(m.root);
		text = cJSON_PrintUnformatted(tree);
		cJSON_Delete(tree);
		web_puts(&a->text, text ? text : "null");
	}
	message_release(&m);
	cJSON_free(text);
	return text != NULL;
}

/* -- Parameters ------------------------------------------------------------------------------- */

struct bytes web_param(const struct web_answer *a, const char *name)
{
	for (size_t i = 0; i < a->n_params; i++)
		if (bytes_equal(a->param[i].name, bytes_str(name)))
			return a->param[i].value;
	return bytes_of(NULL, 0);
}

bool web_param_number(struct web_answer *a, const char *name, double lo, double hi, double *ret)
{
	struct bytes v = web_param(a, name);
	char *end = NULL;
	double x;

	if (!v.p)
		return true;
	x = strtod(v.p, &end);
	/* strtod also takes "inf", "nan" and hexadecimal, which nobody means here */
	if (!v.n || end != (const char *)v.p + v.n || strspn(v.p, "0123456789.eE+-") != v.n ||
	    !(x >= lo && x <= hi)) {
		web_fail(a, 400, "bad_request", "%s: must be a number from %.15g to %.15g", name,
		         lo, hi);
		return false;
	}
	*ret = x;
	return true;
}

bool web_param_count(struct web_answer *a, const char *name, uint32_t lo, uint32_t hi,
                     uint32_t *ret)
{
	double x = *ret;

	if (!web_param_number(a, name, lo, hi, &x))
		return false;
	if (x != floor(x)) {
		web_fail(a, 400, "bad_request", "%s: must be a whole number", name);
		return false;
	}
	*ret = (uint32_t)x;
	return true;
}

static struct bytes copy(const char *p, size_t n)
{
	return bytes_of(p ? mem_dup(p, n) : mem_dup("", 0), p ? n : 0);
}

static enum MHD_Result take_param(void *arg, enum MHD_ValueKind kind, const char *name, size_t n,
                                  const char *value, size_t n_value)
{
	struct web_answer *a = arg;

	(void)kind;
	for (size_t i = 0; i < a->n_params; i++)
		if (bytes_equal(a->param[i].name, bytes_of(name, n)))
			a->status = 400;
	if (a->n_params == WEB_MAX_PARAMS) {
		a->status = 400;
		return MHD_NO;
	}
	a->param[a->n_params].name = copy(name, n);
	a->param[a->n_params].value = copy(value, n_value);
	a->n_params++;
	return MHD_YES;
}

/* Whether name is one of the words of list. */
static bool in_words(const char *list, struct bytes name)
{
	for (const char *s = list; *s;) {
		size_t n = strcspn(s, " ");

		if (bytes_equal(bytes_of(s, n), name))
			return true;
		s += n + (s[n] == ' ');
	}
	return !strcmp(list, "*");
}

/* False, and the answer is an error, when something is asked that nobody would answer. */
static bool read_params(struct web_answer *a)
{
	MHD_get_connection_values_n(a->connection, MHD_GET_ARGUMENT_KIND, take_param, a);
	if (a->status == 400) {
		web_fail(a, 400, "bad_request",
		         "a parameter is given twice, or there are more than %d", WEB_MAX_PARAMS);
		return false;
	}
	for (size_t i = 0; i < a->n_params; i++)
		if (!in_words(a->route->params, a->param[i].name)) {
			web_fail(a, 400, "bad_request", "%.100s: unknown parameter; %s%s",
			         (const char *)a->param[i].name.p,
			         *a->route->params ? "there are: " : "there is none",
			         a->route->params);
			return false;
		}
	return true;
}

/* -- Answers ---------------------------------------------------------------------------------- */

static void answer_free(struct web_answer *a)
{
	if (a->release)
		a->release(a->state);
	for (size_t i = 0; i < a->n_params; i++) {
		free((void *)(uintptr_t)a->param[i].name.p);
		free((void *)(uintptr_t)a->param[i].value.p);
	}
	vec_free(&a->text.text);
	free(a);
}

/* Of this thread alone: what others take of the machine is not our doing. */
static double cpu_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void note_step(struct web *w, double from_s)
{
	double took = cpu_s() - from_s;

	if (took > w->counts.longest_step_s)
		w->counts.longest_step_s = took;
}

static void run(struct web *w)
{
	MHD_UNSIGNED_LONG_LONG ms;
	double from = cpu_s();

	MHD_run(w->mhd);
	note_step(w, from);
	if (MHD_get_timeout(w->mhd, &ms) == MHD_YES)
		loop_timer_set(w->d->loop, &w->timeout, SPAN_MS(ms < 60000 ? ms : 60000));
	else
		loop_timer_cancel(w->d->loop, &w->timeout);
}

static void on_epoll(void *arg, uint32_t events)
{
	(void)events;
	run(arg);
}

static void on_timeout(void *arg)
{
	run(arg);
}

static void wake(struct web *w)
{
	if (w->first && !w->work.id)
		loop_timer_set(w->d->loop, &w->work, w->first->stepped ? PAUSE : SPAN_ZERO);
}

static void begin(struct web_answer *a)
{
	const struct web_route *r = a->route;

	a->status = 200;
	a->type = WEB_JSON;
	if (read_params(a))
		r->start(a);
}

/*
 * Some steps of the first answer, which then goes to the end of the queue: nobody waits for a long
 * one.
 */
static void on_work(void *arg)
{
	struct web *w = arg;
	struct web_answer *a = w->first;
	double from = cpu_s();

	w->first = a->next;
	w->last = w->first ? w->last : NULL;
	a->next = NULL;
	if (!a->stepped)
		begin(a);
	while (a->step && cpu_s() - from < TURN_S)
		if (!a->step(a))
			a->step = NULL;
	a->stepped = true;
	note_step(w, from);
	if (a->step) {
		if (w->last)
			w->last->next = a;
		else
			w->first = a;
		w->last = a;
	} else {
		a->phase = WEB_MADE;
		MHD_resume_connection(a->connection);
		run(w);
	}
	wake(w);
}

static void enqueue(struct web *w, struct web_answer *a)
{
	a->phase = WEB_QUEUED;
	if (w->last)
		w->last->next = a;
	else
		w->first = a;
	w->last = a;
	MHD_suspend_connection(a->connection);
	wake(w);
}

static struct peer *peer_of(struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info =
	        MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

/* From now on it is the peer that is waited for. */
static void peer_waits(struct web *w, struct peer *p)
{
	if (!p)
		return;
	p->busy = false;
	p->since_us = clock_boot_us(&w->d->clock);
}

static enum MHD_Result send_answer(struct web *w, struct web_answer *a)
{
	struct MHD_Response *r;
	enum MHD_Result rc;
	void *body = a->text.text.v;

	w->counts.answered[a->status / 100]++;
	/* the text is the response's now */
	r = MHD_create_response_from_buffer(a->text.text.n, body ? body : mem_calloc(1, 1),
	                                    MHD_RESPMEM_MUST_FREE);
	if (!r)
		return MHD_NO;
	a->text.text.v = NULL;
	a->text.text.n = a->text.text.cap = 0;
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, a->type);
	MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	if (a->status == 405)
		MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	rc = MHD_queue_response(a->connection, a->status, r);
	MHD_destroy_response(r);
	peer_waits(w, peer_of(a->connection));
	return rc;
}

static const struct web_route *find_route(const char *url)
{
	size_t n = strlen(url);

	while (n > 1 && url[n - 1] == '/')
		n--;
	for (const struct web_route *r = web_routes; r->path; r++)
		if (strlen(r->path) == n && !memcmp(r->path, url, n))
			return r;
	return NULL;
}

static void method_not_allowed(struct web_answer *a)
{
	web_fail(a, 405, "bad_request", "only GET and HEAD: nothing can be changed over HTTP");
}

static void not_found(struct web_answer *a)
{
	web_fail(a, 404, "not_found", "there is nothing here; / lists what there is");
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_n, void **per_request)
{
	static const struct web_route wrong = {"", "*", "", method_not_allowed},
	                              nothing = {"", "*", "", not_found};
	struct web *w = arg;
	struct web_answer *a = *per_request;
	struct peer *p;

	(void)version;
	(void)upload;
	if (!a) {
		a = mem_calloc(1, sizeof(*a));
		*a = (struct web_answer){.web = w, .d = w->d, .connection = c, .type = WEB_JSON};
		a->route = find_route(url);
		if (!a->route)
			a->route = &nothing;
		if (strcmp(method, "GET") && strcmp(method, "HEAD"))
			a->route = &wrong;
		*per_request = a;
		return MHD_YES;
	}
	if (*upload_n) { /* nobody reads it */
		*upload_n = 0;
		return MHD_YES;
	}
	if (a->phase == WEB_READ) {
		p = peer_of(c);
		if (p)
			p->busy = true;
		enqueue(w, a);
		return MHD_YES;
	}
	return a->phase == WEB_MADE ? send_answer(w, a) : MHD_YES;
}

static void on_completed(void *arg, struct MHD_Connection *c, void **per_request,
                         enum MHD_RequestTerminationCode how)
{
	struct web *w = arg;
	struct web_answer *a = *per_request;

	(void)how;
	peer_waits(w, peer_of(c));
	if (!a)
		return;
	for (struct web_answer **q = &w->first; *q; q = &(*q)->next)
		if (*q == a) { /* at the end of the daemon */
			*q = a->next;
			break;
		}
	w->last = NULL;
	for (struct web_answer *x = w->first; x; x = x->next)
		w->last = x;
	answer_free(a);
	*per_request = NULL;
}

/* -- Connections ------------------------------------------------------------------------------ */

static void on_connection(void *arg, struct MHD_Connection *c, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
	struct web *w = arg;
	struct peer *p = *context;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *info =
		        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);

		if (info)
			setsockopt(info->connect_fd, SOL_SOCKET, SO_SNDBUF, &SEND_BYTES,
			           sizeof(SEND_BYTES));
		p = mem_calloc(1, sizeof(*p));
		*p = (struct peer){.next = w->peers,
		                   .fd = info ? info->connect_fd : -1,
		                   .since_us = clock_boot_us(&w->d->clock)};
		if (w->peers)
			w->peers->prev = p;
		w->peers = p;
		w->counts.connections++;
		*context = p;
		return;
	}
	if (!p)
		return;
	if (p->prev)
		p->prev->next = p->next;
	else
		w->peers = p->next;
	if (p->next)
		p->next->prev = p->prev;
	w->counts.connections--;
	acceptor_hold(&w->acceptor, false);
	free(p);
	*context = NULL;
}

/* MHD closes the socket if it does not take it. Those that are too many wait in the system's queue. */
static void on_accepted(void *arg, int fd, const struct sockaddr *from, socklen_t n)
{
	struct web *w = arg;

	if (MHD_add_connection(w->mhd, fd, from, n) != MHD_YES)
		log_line(LOG_DEBUG, "http", "why=\"connection not taken: %s\"", strerror(errno));
	acceptor_hold(&w->acceptor, w->counts.connections >= w->max_connections);
	run(w);
}

static void on_refused(void *arg)
{
	struct web *w = arg;

	log_line(
	        LOG_WARN, "http_accept",
	        "why=\"no descriptor is left: raise the limit of open files\" connections=%" PRIu64,
	        (uint64_t)w->counts.connections);
}

/* Who sends or takes a byte now and then is never idle, and never done. */
static void on_look(void *arg)
{
	struct web *w = arg;
	int64_t now = clock_boot_us(&w->d->clock);

	for (struct peer *p = w->peers; p; p = p->next)
		if (!p->busy && p->fd >= 0 && now - p->since_us > SLOW_IDLES * w->idle_us)
			shutdown(p->fd, SHUT_RDWR);
	loop_timer_set(w->d->loop, &w->look, LOOK);
}

struct web_warmth **web_warmths(struct web *w)
{
	return &w->warmths;
}

struct web_counts web_counts(const struct web *w)
{
	return w->counts;
}

/* -- Listening -------------------------------------------------------------------------------- */

static void be_silent(void *arg, const char *fmt, va_list ap)
{
	(void)arg;
	(void)fmt;
	(void)ap;
}

static int start(struct web *w, const struct config *c, int listen_fd, struct fault *e)
{
	const union MHD_DaemonInfo *info;
	int rc;

	w->mhd = MHD_start_daemon(
	        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL,
	        on_request, w, MHD_OPTION_EXTERNAL_LOGGER, be_silent, NULL,
	        MHD_OPTION_CONNECTION_LIMIT, (unsigned)c->http_max_connections,
	        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)ceil(c->http_idle_s),
	        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)c->http_request_bytes,
	        MHD_OPTION_NOTIFY_COMPLETED, on_completed, w, MHD_OPTION_NOTIFY_CONNECTION,
	        on_connection, w, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
	info = w->mhd ? MHD_get_daemon_info(w->mhd, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (!info) {
		close(listen_fd);
		return fault_set(e, -EIO, "http: the server does not start");
	}
	w->epoll_fd = info->epoll_fd;
	rc = loop_add(w->d->loop, w->epoll_fd, EPOLLIN, on_epoll, w);
	if (rc) {
		w->epoll_fd = -1;
		close(listen_fd);
	}
	rc = rc ? rc : acceptor_start(&w->acceptor, w->d->loop, listen_fd);
	return rc ? fault_set(e, rc, "http: %s", strerror(-rc)) : 0;
}

int web_new(struct daemon *d, struct web **ret, struct fault *reterr)
{
	const struct config *c = d->setup->config;
	struct web *w;
	int rc, fd;

	*ret = NULL;
	if (!strcmp(c->http, "off"))
		return 0;
	w = mem_calloc(1, sizeof(*w));
	*w = (struct web){.d = d,
	                  .epoll_fd = -1,
	                  .acceptor = {.take = on_accepted,
	                               .refused = on_refused,
	                               .arg = w,
	                               .sorry = bytes_str(SORRY)},
	                  .max_connections = (uint64_t)c->http_max_connections,
	                  .idle_us = (int64_t)(c->http_idle_s * 1e6),
	                  .timeout = {on_timeout, w, 0},
	                  .work = {on_work, w, 0},
	                  .look = {on_look, w, 0}};
	fd = address_listen("http", c->http, BACKLOG, &w->port, reterr);
	if (fd == -EADDRINUSE && !config_source_of(c, "http")) {
		/* nobody has asked for it: no reason not to serve */
		log_line(LOG_WARN, "http", "why=\"%s\"", reterr->text);
		free(w);
		return 0;
	}
	rc = fd < 0 ? fd : start(w, c, fd, reterr);
	if (rc) {
		web_free(&w);
		return rc;
	}
	on_look(w);
	log_line(LOG_INFO, "http", "address=%s port=%d", c->http, w->port);
	*ret = w;
	return 0;
}

void web_free(struct web **wp)
{
	struct web *w = *wp;

	if (!w)
		return;
	acceptor_stop(&w->acceptor);
	if (w->epoll_fd >= 0)
		loop_del(w->d->loop, w->epoll_fd);
	/* MHD does not end while a connection is suspended */
	for (struct web_answer *a = w->first; a; a = a->next)
		MHD_resume_connection(a->connection);
	if (w->mhd)
		MHD_stop_daemon(w->mhd);
	loop_timer_cancel(w->d->loop, &w->timeout);
	loop_timer_cancel(w->d->loop, &w->work);
	loop_timer_cancel(w->d->loop, &w->look);
	web_warmth_forget(&w->warmths);
	free(w);
	*wp = NULL;
}
