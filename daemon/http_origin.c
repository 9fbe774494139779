/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/http_origin.h"

#include "base/bug.h"
#include "base/mem.h"
#include "daemon/content_hash.h"
#include "daemon/http_rules.h"
#include "daemon/http_setup.h"
#include "daemon/noise.h"
#include "daemon/url_template.h"
#include "daemon/validators.h"

#include <curl/curl.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define IDLE_HANDLES    64 /* easy handles kept for the next load: each holds some KB */
#define EVENTS_PER_TURN 64
/* While loads wait for a connection, their deadlines are looked at this often. */
#define QUEUE_TICK_MS 50

/* -- Loads ------------------------------------------------------------------------------------ */

struct load {
	struct load *next, *prev; /* in the list it is in */
	struct http_setup *setup;
	const struct http_setup_route *route;
	uint64_t job, version;
	struct bytes endpoint, key; /* copies, behind the struct */
	/* with If-None-Match, and with If-Modified-Since */
	bool conditional, by_time;
	int64_t deadline_ms; /* CLOCK_MONOTONIC */
	CURL *easy;
	struct curl_slist *header; /* the route's and If-None-Match; NULL: the route's do */
	struct http_answer answer;
	size_t header_bytes;
	char *body;
	size_t n_body, space;
	unsigned redirects;
	bool too_large, header_too_large, no_memory;
	bool body_kept;          /* the body is somebody else's to free */
	struct store_room *room; /* where the value lies already, once it is handed back */
	const struct packed_value *packed; /* what it was packed into, then */
	uint64_t content_hash;             /* of the body; 0: not known */
	struct instant ended;              /* when the answer was there */
	char why[160 + CURL_ERROR_SIZE];   /* not empty: failed before or beside curl */
	char curl_why[CURL_ERROR_SIZE];
	char url[URL_MAX_BYTES];
};

struct list {
	struct load head; /* only its links are used */
};

struct http_origin {
	http_origin_fn *fn;
	void *arg;
	struct http_setup *setup;
	CURLM *multi;
	int epoll, timer;
	int64_t curl_due_ms;                       /* when curl wants to be called; -1: not */
	struct list active, waiting, failed, held; /* held: large values, see http_large */
	http_large_fn *large_fn;
	double large_bytes;
	size_t n_active, n_waiting;
	CURL *idle[IDLE_HANDLES];
	size_t n_idle;
	struct validators *validators;
	struct noise *noise;
	struct http_origin_stats stats;
};

static void list_init(struct list *l)
{
	l->head.next = l->head.prev = &l->head;
}

static bool list_is_empty(const struct list *l)
{
	return l->head.next == &l->head;
}

static void list_append(struct list *l, struct load *d)
{
	d->prev = l->head.prev;
	d->next = &l->head;
	l->head.prev->next = d;
	l->head.prev = d;
}

static void list_remove(struct load *d)
{
	d->prev->next = d->next;
	d->next->prev = d->prev;
}

/* Waiting is measured in real time, which the engine's clock may run ahead of. */
static int64_t real_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct http_origin_config http_origin_default(void)
{
	return (struct http_origin_config){.time_scale = 1,
#define X(name, def, lo, hi, unit, help) .name = (def),
	                                   HTTP_ORIGIN_TABLE(X)
#undef X
	};
}

/* -- What curl calls -------------------------------------------------------------------------- */

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct load *d = arg;

	n *= size;
	if (n >= 5 && memcmp(line, "HTTP/", 5) == 0)
		http_answer_init(&d->answer);
	d->header_bytes += n;
	if ((double)d->header_bytes > d->setup->max_header_bytes) {
		d->header_too_large = true;
		return 0;
	}
	http_answer_header(&d->answer, line, n);
	return n;
}

static bool body_reserve(struct load *d, size_t n)
{
	size_t space = d->space ? d->space : 4096;
	char *p;

	if (n <= d->space)
		return true;
	while (space < n)
		space *= 2;
	p = realloc(d->body, space);
	if (!p)
		return false;
	d->body = p;
	d->space = space;
	return true;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct load *d = arg;
	long status = 0;

	n *= size;
	if ((double)(d->n_body + n) > d->setup->max_body_bytes) {
		d->too_large = true;
		return 0;
	}
	curl_easy_getinfo(d->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status == 200) { /* of other answers only the length counts */
		if (!body_reserve(d, d->n_body + n)) {
			d->no_memory = true;
			return 0;
		}
		memcpy(d->body + d->n_body, bytes, n);
	}
	d->n_body += n;
	return n;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct http_origin *o = arg;
	struct epoll_event ev = {.data.fd = fd};

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		epoll_ctl(o->epoll, EPOLL_CTL_DEL, fd, NULL); /* it may be closed already */
		curl_multi_assign(o->multi, fd, NULL);
		return 0;
	}
	ev.events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0) |
	            (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0);
	if (known && epoll_ctl(o->epoll, EPOLL_CTL_MOD, fd, &ev) == 0)
		return 0;
	if (epoll_ctl(o->epoll, EPOLL_CTL_ADD, fd, &ev) < 0 && errno == EEXIST)
		epoll_ctl(o->epoll, EPOLL_CTL_MOD, fd, &ev);
	curl_multi_assign(o->multi, fd, o);
	return 0;
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
	struct http_origin *o = arg;

	(void)multi;
	o->curl_due_ms = ms < 0 ? -1 : real_ms() + ms;
	return 0;
}

/*
 * The timerfd for whichever comes first: curl, a load that failed at once, one that waits too long.
 */
static void arm(struct http_origin *o)
{
	struct itimerspec t = {0};
	int64_t now = real_ms(), due = o->curl_due_ms;

	if (!list_is_empty(&o->failed))
		due = now;
	else if (o->n_waiting && (due < 0 || due > now + QUEUE_TICK_MS))
		due = now + QUEUE_TICK_MS;
	if (due >= 0) {
		int64_t wait = due > now ? due - now : 0;

		t.it_value.tv_sec = wait / 1000;
		t.it_value.tv_nsec = wait % 1000 * 1000000 + 1; /* all zero would disarm it */
	}
	timerfd_settime(o->timer, 0, &t, NULL);
}

/* -- Starting --------------------------------------------------------------------------------- */

static void load_free(struct http_origin *o, struct load *d)
{
	if (d->easy) {
		if (o->n_idle < IDLE_HANDLES) {
			curl_easy_reset(d->easy);
			o->idle[o->n_idle++] = d->easy;
		} else {
			curl_easy_cleanup(d->easy);
		}
	}
	curl_slist_free_all(d->header);
	http_setup_drop(d->setup);
	if (!d->body_kept)
		free(d->body);
	free(d);
}

static void fail(struct http_origin *o, struct load *d, const char *why)
{
	snprintf(d->why, sizeof d->why, "%s", why);
	list_append(&o->failed, d);
}

static bool add_conditions(struct http_origin *o, struct load *d)
{
	char line[HTTP_MAX_ETAG + 64];
	struct validator v;
	struct curl_slist *list = NULL, *longer, *h;

	if (!d->conditional ||
	    !validators_get(o->validators, d->endpoint, d->key, d->version, &v) ||
	    (!v.etag && !d->by_time)) {
		d->conditional = false;
		return true;
	}
	for (h = d->route->header; h; h = h->next) {
		longer = curl_slist_append(list, h->data);
		if (!longer)
			goto no_memory;
		list = longer;
	}
	if (v.etag) {
		snprintf(line, sizeof line, "If-None-Match: %s", v.etag);
		longer = curl_slist_append(list, line);
		if (!longer)
			goto no_memory;
		list = longer;
	}
	if (v.last_modified && d->by_time) {
		snprintf(line, sizeof line, "If-Modified-Since: %s", v.last_modified);
		longer = curl_slist_append(list, line);
		if (!longer)
			goto no_memory;
		list = longer;
	}
	d->header = list;
	return true;
no_memory:
	curl_slist_free_all(list);
	return false;
}

static void set_timeout(struct load *d)
{
	int64_t left = d->deadline_ms - real_ms();
	long ms = left < 1 ? 1 : left > 86400000 ? 86400000 : (long)left;
	double connect = d->setup->connect_timeout * 1000;

	curl_easy_setopt(d->easy, CURLOPT_TIMEOUT_MS, ms);
	curl_easy_setopt(d->easy, CURLOPT_CONNECTTIMEOUT_MS, connect < 1 ? 1L : (long)connect);
}

/* Sets everything that a load needs; an easy handle comes here reset. */
static bool prepare(struct load *d)
{
	CURL *c = d->easy;
	const struct http_setup *s = d->setup;
	CURLcode rc = CURLE_OK;

#define SET(opt, value) (rc = rc ? rc : curl_easy_setopt(c, opt, value))
	SET(CURLOPT_URL, d->url);
	SET(CURLOPT_PRIVATE, d);
	SET(CURLOPT_ERRORBUFFER, d->curl_why);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_FOLLOWLOCATION, 0L); /* see follow() */
	SET(CURLOPT_PATH_AS_IS, 1L);
#if LIBCURL_VERSION_NUM >= 0x075500
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
#else
	SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	SET(CURLOPT_HTTPHEADER, d->header ? d->header : d->route->header);
	SET(CURLOPT_USERAGENT, s->user_agent);
	SET(CURLOPT_ACCEPT_ENCODING, "");             /* all that curl can undo */
	SET(CURLOPT_PROXY, s->proxy ? s->proxy : ""); /* "" also keeps the environment out */
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	if (s->ca_file)
		SET(CURLOPT_CAINFO, s->ca_file);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, d);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, d);
	SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)s->max_body_bytes);
#undef SET
	return rc == CURLE_OK;
}

/* Hands a load to curl, or puts it among the failed. It is in no list when it comes. */
static void start(struct http_origin *o, struct load *d)
{
	d->easy = o->n_idle ? o->idle[--o->n_idle] : curl_easy_init();
	http_answer_init(&d->answer);
	if (!d->easy || !add_conditions(o, d) || !prepare(d)) {
		fail(o, d, "no memory to start the load");
		return;
	}
	set_timeout(d);
	if (curl_multi_add_handle(o->multi, d->easy) != CURLM_OK) {
		fail(o, d, "the load could not be started");
		return;
	}
	list_append(&o->active, d);
	o->n_active++;
}

void http_origin_load(struct http_origin *o, struct instant now, const struct effect *load)
{
	struct load *d = calloc(1, sizeof *d + load->endpoint.n + load->key.n);
	char *text = (char *)(d + 1);
	struct url_captures captures;
	double s = o->setup->timeout;
	const char *why = NULL;

	BUG_ON(!d); /* a key is bounded by max_key_bytes */
	BUG_ON(load->kind != EFFECT_LOAD);
	if (load->endpoint.n)
		memcpy(text, load->endpoint.p, load->endpoint.n);
	if (load->key.n)
		memcpy(text + load->endpoint.n, load->key.p, load->key.n);
	d->endpoint = bytes_of(text, load->endpoint.n);
	d->key = bytes_of(text + load->endpoint.n, load->key.n);
	d->job = load->load.job;
	d->version = load->load.version;
	d->conditional = load->load.have && load->load.version;
	d->by_time = load->load.by_time;
	d->setup = o->setup;
	d->setup->users++;
	if (instant_is_set(load->load.deadline) &&
	    span_s(instant_diff(load->load.deadline, now)) < s)
		s = span_s(instant_diff(load->load.deadline, now));
	s /= d->setup->scale;
	d->deadline_ms = real_ms() + (s > 0.001 ? (int64_t)(s * 1000) : 1);
	o->stats.started++;
	d->route = http_setup_find(d->setup, d->endpoint, d->key, &captures);
	if (!d->route)
		why = "no url is configured for this endpoint";
	else
		why = url_template_expand(d->route->url, &captures, d->key, d->url);
	if (why) {
		fail(o, d, why);
	} else if ((double)o->n_active >= d->setup->max_connections) {
		list_append(&o->waiting, d);
		o->n_waiting++;
	} else {
		start(o, d);
	}
	arm(o);
}

/* -- Ending ----------------------------------------------------------------------------------- */

/* Does the URL have scheme, host and port of the other? */
static bool same_origin(const char *a, const char *b)
{
	static const CURLUPart part[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
	CURLU *ua = curl_url(), *ub = curl_url();
	bool same = ua && ub && !curl_url_set(ua, CURLUPART_URL, a, 0) &&
	            !curl_url_set(ub, CURLUPART_URL, b, 0);
	size_t i;

	for (i = 0; i < 3 && same; i++) {
		char *x = NULL, *y = NULL;

		same = !curl_url_get(ua, part[i], &x, CURLU_DEFAULT_PORT) &&
		       !curl_url_get(ub, part[i], &y, CURLU_DEFAULT_PORT) && strcasecmp(x, y) == 0;
		curl_free(x);
		curl_free(y);
	}
	curl_url_cleanup(ua);
	curl_url_cleanup(ub);
	return same;
}

/*
 * Starts the load again at the address that a redirect names. False with d->why when it must not.
 */
static bool follow(struct http_origin *o, struct load *d, long status)
{
	char *to = NULL;

	if (curl_easy_getinfo(d->easy, CURLINFO_REDIRECT_URL, &to) || !to) {
		snprintf(d->why, sizeof d->why, "status %ld without a place to go to", status);
		return false;
	}
	if (!same_origin(d->url, to)) {
		snprintf(d->why, sizeof d->why,
		         "status %ld redirects to another host, which is not followed", status);
		return false;
	}
	if (d->redirects >= (unsigned)d->setup->max_redirects) {
		snprintf(d->why, sizeof d->why, "more than %u redirects",
		         (unsigned)d->setup->max_redirects);
		return false;
	}
	if (strlen(to) >= sizeof d->url) {
		snprintf(d->why, sizeof d->why, "status %ld redirects to a URL that is too long",
		         status);
		return false;
	}
	d->redirects++;
	o->stats.redirects++;
	strcpy(d->url, to);
	d->n_body = 0;
	http_answer_init(&d->answer);
	if (real_ms() >= d->deadline_ms ||
	    curl_easy_setopt(d->easy, CURLOPT_URL, d->url) != CURLE_OK) {
		snprintf(d->why, sizeof d->why, "no answer in time, after %u redirects",
		         d->redirects);
		return false;
	}
	set_timeout(d);
	if (curl_multi_add_handle(o->multi, d->easy) != CURLM_OK) {
		snprintf(d->why, sizeof d->why, "the redirect could not be followed");
		return false;
	}
	return true;
}

/* What went wrong, in words. Curl's own text says which host and port; it never quotes headers. */
static void describe(struct load *d, CURLcode rc)
{
	const struct http_setup *s = d->setup;
	curl_off_t wanted = -1, got = 0, connected = 0;

	if (d->too_large || rc == CURLE_FILESIZE_EXCEEDED) {
		snprintf(d->why, sizeof d->why, "the answer is longer than max_body_bytes, %.0f",
		         s->max_body_bytes);
		return;
	}
	if (d->header_too_large) {
		snprintf(d->why, sizeof d->why,
		         "the headers are longer than max_header_bytes, %.0f", s->max_header_bytes);
		return;
	}
	if (d->no_memory) {
		snprintf(d->why, sizeof d->why, "no memory for the answer");
		return;
	}
	curl_easy_getinfo(d->easy, CURLINFO_CONNECT_TIME_T, &connected);
	curl_easy_getinfo(d->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &wanted);
	curl_easy_getinfo(d->easy, CURLINFO_SIZE_DOWNLOAD_T, &got);
	if (rc == CURLE_OPERATION_TIMEDOUT && connected == 0)
		snprintf(d->why, sizeof d->why, "timeout: no connection; %s", d->curl_why);
	else if (rc == CURLE_OPERATION_TIMEDOUT)
		snprintf(d->why, sizeof d->why, "timeout: no full answer; %s", d->curl_why);
	else if (rc == CURLE_PARTIAL_FILE && wanted >= 0)
		snprintf(d->why, sizeof d->why,
		         "wrong length: the answer ended after %lld of %lld bytes", (long long)got,
		         (long long)wanted);
	else if (rc == CURLE_PARTIAL_FILE)
		snprintf(d->why, sizeof d->why, "wrong length: the answer was cut off");
	else if (rc == CURLE_COULDNT_CONNECT)
		snprintf(d->why, sizeof d->why, "refused: %s",
		         *d->curl_why ? d->curl_why : curl_easy_strerror(rc));
	else
		snprintf(d->why, sizeof d->why, "%s",
		         *d->curl_why ? d->curl_why : curl_easy_strerror(rc));
}

/* Equal JSON has an equal version, where it is not too long to be looked into. */
static bool is_json(const struct load *d)
{
	return d->answer.json && (double)d->n_body <= d->setup->max_json_bytes;
}

static void answer(struct http_origin *o, struct load *d, enum load_status status,
                   struct instant now, struct input *in)
{
	const struct http_answer *a = &d->answer;
	double ago_s = http_answer_modified_ago(a, instant_s(now));

	in->loaded.status = status;
	if (ago_s >= 0)
		in->loaded.last_modified = instant_add(now, span_from_s(-ago_s));
	in->loaded.max_age = http_answer_max_age(a);
	if (status == LOADED_NOT_MODIFIED) {
		in->loaded.version = d->version;
		return;
	}
	in->loaded.value = bytes_of(d->n_body ? d->body : "", d->n_body);
	in->loaded.room = d->room;
	in->loaded.packed = d->packed;
	in->loaded.version = is_json(d)        ? noise_hash(o->noise, d->endpoint, d->key,
	                                                    in->loaded.value, d->route->ignore)
	                     : d->content_hash ? d->content_hash
	                                       : content_hash_bytes(in->loaded.value);
	if (status == LOADED_OK)
		validators_put(o->validators, d->endpoint, d->key, in->loaded.version, a->etag,
		               http_answer_last_modified_is_strong(a) ? a->last_modified : NULL);
	o->stats.body_bytes += d->n_body;
}

static bool may_be_kept(const struct load *d)
{
	const struct http_setup_route *r = d->route;
	const char *why;

	return http_answer_cacheable(&d->answer, r->vary, r->n_vary, r->cache_private, &why);
}

/* The load has ended, well or not; it is in no list. Calls back and frees it. */
static void deliver(struct http_origin *o, struct load *d, long status, struct instant now)
{
	struct input in = {.kind = INPUT_LOADED, .endpoint = d->endpoint, .key = d->key};
	char text[sizeof d->why + 160];

	in.loaded.job = d->job;
	in.loaded.last_modified = INSTANT_NONE;
	if (d->body_kept)
		in.loaded.waited = instant_diff(now, d->ended);
	if (*d->why) {
		in.loaded.status = LOADED_ERROR;
	} else if (status == 200) {
		answer(o, d, may_be_kept(d) ? LOADED_OK : LOADED_UNCACHEABLE, now, &in);
	} else if (status == 304 && d->conditional) {
		answer(o, d, LOADED_NOT_MODIFIED, now, &in);
	} else if (status == 404 || status == 410) {
		in.loaded.status = LOADED_ABSENT;
		in.loaded.max_age = http_answer_max_age(&d->answer);
	} else {
		in.loaded.status = LOADED_ERROR;
		in.loaded.retry_after = http_answer_retry_after(
		        &d->answer, d->answer.date_s >= 0 ? d->answer.date_s : instant_s(now));
		snprintf(d->why, sizeof d->why,
		         status == 304 ? "status 304 to a request without conditions"
		                       : "status %ld",
		         status);
	}
	switch (in.loaded.status) {
	case LOADED_OK:
		o->stats.ok++;
		break;
	case LOADED_NOT_MODIFIED:
		o->stats.not_modified++;
		break;
	case LOADED_ABSENT:
		o->stats.absent++;
		break;
	case LOADED_UNCACHEABLE:
		o->stats.uncacheable++;
		break;
	case LOADED_ERROR:
		o->stats.errors++;
		snprintf(text, sizeof text, "%.100s: %s", d->setup->name, d->why);
		in.loaded.error = bytes_str(text);
		break;
	}
	o->fn(o->arg, &in);
	load_free(o, d);
}

/* Its value is large: others look after it before it is handed back. */
static void hold(struct http_origin *o, struct load *d)
{
	struct http_large large = {.load = d,
	                           .body = bytes_of(d->body, d->n_body),
	                           .endpoint = d->endpoint,
	                           .key = d->key,
	                           .hashed = !is_json(d)};

	list_append(&o->held, d);
	o->large_fn(o->arg, &large);
}

/* Curl is done with a load. */
static void finish(struct http_origin *o, struct load *d, CURLcode rc, struct instant now)
{
	long status = 0, connects = 0;

	curl_multi_remove_handle(o->multi, d->easy);
	curl_easy_getinfo(d->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(d->easy, CURLINFO_NUM_CONNECTS, &connects);
	o->stats.connects += (uint64_t)connects;
	if (rc != CURLE_OK)
		describe(d, rc);
	else if ((status == 301 || status == 302 || status == 303 || status == 307 ||
	          status == 308) &&
	         follow(o, d, status))
		return;
	list_remove(d);
	o->n_active--;
	d->ended = now;
	/* nobody is put out for what is not kept */
	if (o->large_fn && status == 200 && !*d->why && (double)d->n_body >= o->large_bytes &&
	    may_be_kept(d))
		hold(o, d);
	else
		deliver(o, d, status, now);
}

void http_origin_go_on(struct http_origin *o, struct instant now, struct load *d,
                       struct store_room *room, const struct packed_value *packed,
                       uint64_t content_hash, void **ret_body)
{
	list_remove(d);
	d->room = room;
	d->packed = packed;
	d->content_hash = content_hash;
	*ret_body = d->body;
	d->body_kept = true;
	deliver(o, d, 200, now);
}

void http_origin_set_large(struct http_origin *o, double bytes, http_large_fn *fn)
{
	o->large_bytes = bytes;
	o->large_fn = fn;
}

static void take_finished(struct http_origin *o, struct instant now)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(o->multi, &left))) {
		CURLcode rc = m->data.result; /* m is gone after the handle is removed */
		char *d = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &d);
		finish(o, (struct load *)(void *)d, rc, now);
	}
}

static void take_failed(struct http_origin *o, struct instant now)
{
	struct load *last = o->failed.head.prev, *d;
	bool more = !list_is_empty(&o->failed);

	/* those that a callback adds wait for the next turn */
	while (more) {
		d = o->failed.head.next;
		more = d != last;
		list_remove(d);
		deliver(o, d, 0, now);
	}
}

static void take_waiting(struct http_origin *o, struct instant now)
{
	int64_t ms = real_ms();
	struct load *d, *next;
	struct list late;

	list_init(&late);
	for (d = o->waiting.head.next; d != &o->waiting.head; d = next) {
		bool is_late = ms >= d->deadline_ms;

		next = d->next;
		if (!is_late && (double)o->n_active >= o->setup->max_connections)
			continue;
		list_remove(d);
		o->n_waiting--;
		if (is_late)
			list_append(&late, d);
		else
			start(o, d);
	}
	while (!list_is_empty(&late)) {
		d = late.head.next;
		list_remove(d);
		snprintf(d->why, sizeof d->why,
		         "timeout: no connection became free; max_connections is %.0f",
		         d->setup->max_connections);
		deliver(o, d, 0, now);
	}
}

void http_origin_run(struct http_origin *o, struct instant now)
{
	struct epoll_event ev[EVENTS_PER_TURN];
	int n = epoll_wait(o->epoll, ev, EVENTS_PER_TURN, 0), running, i;

	for (i = 0; i < n; i++) {
		int what = (ev[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
		           (ev[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
		           (ev[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);

		if (ev[i].data.fd != o->timer)
			curl_multi_socket_action(o->multi, ev[i].data.fd, what, &running);
	}
	if (o->curl_due_ms >= 0 && real_ms() >= o->curl_due_ms) {
		o->curl_due_ms = -1;
		curl_multi_socket_action(o->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	take_finished(o, now);
	take_failed(o, now);
	if (o->n_waiting)
		take_waiting(o, now);
	arm(o); /* also empties the timerfd: setting it forgets what has run out */
}

/* -- Life ------------------------------------------------------------------------------------- */

static void apply_limits(struct http_origin *o)
{
	long n = (long)o->setup->max_connections;

	curl_multi_setopt(o->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, n);
	curl_multi_setopt(o->multi, CURLMOPT_MAXCONNECTS, n);
}

int http_origin_new(const struct http_origin_config *c, http_origin_fn *fn, void *arg,
                    struct http_origin **ret, struct fault *reterr)
{
	struct http_origin *o = mem_calloc(1, sizeof *o);
	struct epoll_event ev = {.events = EPOLLIN};
	int err;

	o->fn = fn;
	o->arg = arg;
	o->epoll = o->timer = -1;
	o->curl_due_ms = -1;
	list_init(&o->active);
	list_init(&o->waiting);
	list_init(&o->failed);
	list_init(&o->held);
	err = http_setup_new(c, &o->setup, reterr);
	if (err)
		goto out;
	o->epoll = epoll_create1(EPOLL_CLOEXEC);
	o->timer = o->epoll < 0 ? -1 : timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	ev.data.fd = o->timer;
	if (o->timer < 0 || epoll_ctl(o->epoll, EPOLL_CTL_ADD, o->timer, &ev) < 0) {
		err = fault_set(reterr, -errno, "no descriptor for the origin: %s",
		                strerror(errno));
		goto out;
	}
	o->multi = curl_multi_init();
	if (!o->multi) {
		err = fault_set(reterr, -ENOMEM, "no memory for the origin");
		goto out;
	}
	curl_multi_setopt(o->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(o->multi, CURLMOPT_SOCKETDATA, o);
	curl_multi_setopt(o->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(o->multi, CURLMOPT_TIMERDATA, o);
	apply_limits(o);
	o->validators = validators_new((size_t)c->max_validators);
	o->noise = noise_new();
	*ret = o;
	return 0;
out:
	http_origin_free(&o);
	return err;
}

int http_origin_configure(struct http_origin *o, const struct http_origin_config *c,
                          struct fault *reterr)
{
	struct http_setup *s;
	int err = http_setup_new(c, &s, reterr);

	if (err)
		return err;
	http_setup_drop(o->setup);
	o->setup = s;
	apply_limits(o);
	return 0;
}

static void drop_all(struct http_origin *o, struct list *l)
{
	while (!list_is_empty(l)) {
		struct load *d = l->head.next;

		list_remove(d);
		if (l == &o->active)
			curl_multi_remove_handle(o->multi, d->easy);
		load_free(o, d);
	}
}

void http_origin_free(struct http_origin **origin)
{
	struct http_origin *o = *origin;

	if (!o)
		return;
	drop_all(o, &o->active);
	drop_all(o, &o->waiting);
	drop_all(o, &o->failed);
	drop_all(o, &o->held);
	while (o->n_idle)
		curl_easy_cleanup(o->idle[--o->n_idle]);
	if (o->multi)
		curl_multi_cleanup(o->multi);
	if (o->timer >= 0)
		close(o->timer);
	if (o->epoll >= 0)
		close(o->epoll);
	if (o->setup)
		http_setup_drop(o->setup);
	validators_free(&o->validators);
	noise_free(&o->noise);
	free(o);
	*origin = NULL;
}

int http_origin_fd(const struct http_origin *o)
{
	return o->epoll;
}

void http_origin_stats(const struct http_origin *o, struct http_origin_stats *ret)
{
	*ret = o->stats;
	ret->in_flight = o->n_active + o->n_waiting;
	ret->validators = validators_count(o->validators);
}

const char *http_origin_noise(const struct http_origin *o, struct bytes endpoint,
                              unsigned *ret_alone, unsigned *ret_compared)
{
	return noise_field(o->noise, endpoint, ret_alone, ret_compared);
}
