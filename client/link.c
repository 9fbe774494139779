/* SPDX-License-Identifier: MIT */
#include "client/link.h"

#include "proto/reply.h"
#include "proto/scan.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#define MAX_WORKERS      64
#define REFRESH_US       1000000 /* how often the segment's link is looked at */
#define ACTIVE_US        10000000 /* so long after the last event the thread looks for more each flush_s */
#define IDLE_US          1000000 /* ... and then only this often: a put must not cost a wake-up */
#define PROBE_AFTER_US   20000   /* a call that could not be sent for so long: is anyone there? */
#define KEEP_EVENTS_US   1000000 /* events mean "now" when they arrive: older ones are dropped */
#define EVENT_QUEUE      1000    /* messages, each of up to max_batch events */
#define REQUEST_QUEUE    1000
#define RECONNECT_MS     50 /* doubles up to the next */
#define RECONNECT_MAX_MS 250
#define MAX_PARTS        8 /* of a message from the daemon; it sends at most 2 */

struct call {
	struct call *next, *prev;
	uint64_t id;
	const void *frame;
	size_t bytes;
	int64_t begun_us, deadline_us; /* CLOCK_MONOTONIC */
	bool sent, done;
	bool repeat; /* may be sent again when the connection broke */
	int rc;
	void *reply;
	size_t reply_bytes;
	pthread_cond_t ended;
};

struct link {
	struct fc *fc;
	pthread_t thread;
	int wake; /* eventfd */

	pthread_mutex_t lock; /* over calls, workers and stop */
	struct call calls;    /* head of a ring, in the order in which they came */
	unsigned waiting;
	struct worker *worker;
	unsigned n_workers;
	bool stop;
	double linger_s;
	atomic_ullong next_id;

	/* the thread's alone */
	void *ctx, *requests, *events;
	void *watch; /* says what becomes of the connection of requests; NULL: nobody does */
	bool broken; /* that connection, and there is no other yet */
	struct pack out;
	struct message message;
	/* when the events that could not be sent became stuck; 0: none are */
	int64_t events_from_us;
	int64_t refresh_us, probe_us, active_us;
};

/* -- Sockets -------------------------------------------------------------------------------- */

static void set_int(void *socket, int option, int value)
{
	zmq_setsockopt(socket, option, &value, sizeof(value));
}

static void *connect_to(struct link *l, int type, const char *name, int queue)
{
	int64_t max = (int64_t)l->fc->opt.max_reply_bytes;
	char address[FC_MAX_PATH + 32];
	void *s;

	if (!l->ctx)
		l->ctx = zmq_ctx_new();
	s = l->ctx ? zmq_socket(l->ctx, type) : NULL;
	if (!s)
		return NULL;
	set_int(s, ZMQ_LINGER, 0);
	set_int(s, ZMQ_IMMEDIATE, 1);
	set_int(s, ZMQ_SNDHWM, queue);
	set_int(s, ZMQ_RCVHWM, queue);
	set_int(s, ZMQ_RECONNECT_IVL, RECONNECT_MS);
	set_int(s, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS);
	zmq_setsockopt(s, ZMQ_MAXMSGSIZE, &max, sizeof(max));
	snprintf(address, sizeof(address), "ipc://%s/%s", l->fc->dir, name);
	if (zmq_connect(s, address)) {
		zmq_close(s);
		return NULL;
	}
	return s;
}

#define WATCH_ADDRESS "inproc://requests"

static void connect_requests(struct link *l)
{
	l->requests = connect_to(l, ZMQ_DEALER, "requests", REQUEST_QUEUE);
	if (!l->requests || zmq_socket_monitor(l->requests, WATCH_ADDRESS,
	                                       ZMQ_EVENT_CONNECTED | ZMQ_EVENT_DISCONNECTED))
		return;
	l->watch = zmq_socket(l->ctx, ZMQ_PAIR);
	if (l->watch)
		set_int(l->watch, ZMQ_LINGER, 0);
	if (l->watch && !zmq_connect(l->watch, WATCH_ADDRESS))
		return;
	/* what nobody reads must not be written */
	zmq_socket_monitor(l->requests, NULL, 0);
	if (l->watch)
		zmq_close(l->watch);
	l->watch = NULL;
}

static void close_requests(struct link *l)
{
	if (l->watch) {
		zmq_socket_monitor(l->requests, NULL, 0);
		zmq_close(l->watch);
	}
	if (l->requests)
		zmq_close(l->requests);
	l->watch = l->requests = NULL;
}

static int send_frame(void *s, const void *frame, size_t bytes)
{
	int rc;

	do
		rc = zmq_send(s, frame, bytes, ZMQ_DONTWAIT);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

/* The last frame of the next message; -EAGAIN: none. A message of too many parts is drained. */
static int receive(void *s, zmq_msg_t *ret)
{
	int more = 1, parts = 0;
	size_t size = sizeof(more);

	while (more) {
		zmq_msg_close(ret);
		zmq_msg_init(ret);
		while (zmq_msg_recv(ret, s, ZMQ_DONTWAIT) < 0)
			if (errno != EINTR)
				return -EAGAIN;
		parts++;
		if (zmq_getsockopt(s, ZMQ_RCVMORE, &more, &size))
			return -EAGAIN;
	}
	return parts > MAX_PARTS ? -EBADMSG : 0;
}

/* Does anyone listen? Asked of the socket itself, since libzmq does not tell. */
static bool is_there(struct link *l, const char *name)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	bool there;
	int fd;

	if (snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s", l->fc->dir, name) >=
	    (int)sizeof(a.sun_path))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return true; /* cannot tell */
	there = !connect(fd, (struct sockaddr *)&a, sizeof(a)) || errno == EAGAIN ||
	        errno == EINPROGRESS;
	close(fd);
	return there;
}

static bool is_silent(struct link *l)
{
	struct lane *mine = lanes_mine(&l->fc->lanes);
	struct segment_map *m = mine ? segment_hold(&l->fc->segment, mine) : NULL;
	bool silent = false;

	if (m) {
		silent = span_s(store_reader_silence(&m->reader, fc_boottime_us())) >
		         l->fc->opt.silence_s;
		segment_drop(mine);
	}
	return silent;
}

/* -- Calls ---------------------------------------------------------------------------------- */

/* Under the lock. The waiting thread frees nothing of it before it has seen done. */
static void end_call(struct link *l, struct call *c, int rc)
{
	c->prev->next = c->next;
	c->next->prev = c->prev;
	c->next = c->prev = NULL;
	l->waiting--;
	c->rc = rc;
	c->done = true;
	pthread_cond_signal(&c->ended);
}

/* Under the lock. */
static void end_calls(struct link *l, int rc, bool unsent_only)
{
	struct call *c, *next;

	for (c = l->calls.next; c != &l->calls; c = next) {
		next = c->next;
		if (!unsent_only || !c->sent)
			end_call(l, c, rc);
	}
}

/* Sends what can be sent. True: something is left that waits for a connection. */
static bool send_calls(struct link *l)
{
	struct call *c, *next;
	bool left = false;

	pthread_mutex_lock(&l->lock);
	for (c = l->calls.next; c != &l->calls; c = next) {
		int rc;

		next = c->next;
		if (c->sent)
			continue;
		if (!l->requests)
			connect_requests(l);
		/* libzmq may still take messages for the connection that broke */
		rc = !l->requests ? -ENOMEM
		     : l->broken  ? -EAGAIN
		                  : send_frame(l->requests, c->frame, c->bytes);
		if (rc == -EAGAIN) {
			left = true;
			break;
		}
		if (rc)
			end_call(l, c, rc);
		else
			c->sent = true;
	}
	pthread_mutex_unlock(&l->lock);
	return left;
}

/* A call that nobody will answer should not have to wait for its whole time. */
static void give_up_calls(struct link *l, int64_t now, bool left)
{
	bool gone = false, silent;
	struct call *c;

	if (now - l->probe_us < PROBE_AFTER_US)
		return;
	l->probe_us = now;
	silent = is_silent(l);
	if (silent) { /* of an earlier daemon, perhaps */
		segment_refresh(&l->fc->segment);
		silent = is_silent(l);
	}
	pthread_mutex_lock(&l->lock);
	for (c = l->calls.next; c != &l->calls && !gone; c = c->next)
		gone = left && !c->sent && now - c->begun_us > PROBE_AFTER_US;
	pthread_mutex_unlock(&l->lock);
	gone = gone && !is_there(l, "requests");
	pthread_mutex_lock(&l->lock);
	if (silent)
		end_calls(l, -ENOTCONN, false);
	else if (gone)
		end_calls(l, -ENOTCONN, true);
	pthread_mutex_unlock(&l->lock);
}

/* The id of a reply, its second byte on; -EBADMSG. Only this much is looked at here. */
static int reply_id(struct link *l, struct bytes frame, uint64_t *ret)
{
	const unsigned char *p = frame.p;
	struct bytes id;

	if (frame.n < 2 || p[0] != 0x93)
		return -EBADMSG;
	id = bytes_of(p + 1, scan_value(bytes_of(p + 1, frame.n - 1), 1));
	if (message_read(&l->message, id, &l->fc->limits, NULL))
		return -EBADMSG;
	return value_uint(l->message.root, "id", UINT64_MAX, ret, NULL);
}

static void take_replies(struct link *l)
{
	zmq_msg_t msg;
	int rc;

	zmq_msg_init(&msg);
	while ((rc = receive(l->requests, &msg)) != -EAGAIN) {
		struct bytes frame = bytes_of(zmq_msg_data(&msg), zmq_msg_size(&msg));
		struct call *c;
		uint64_t id;

		if (rc || reply_id(l, frame, &id))
			continue;
		pthread_mutex_lock(&l->lock);
		for (c = l->calls.next; c != &l->calls && c->id != id; c = c->next)
			;
		if (c != &l->calls) {
			c->reply = malloc(frame.n);
			if (c->reply)
				memcpy(c->reply, frame.p, frame.n);
			c->reply_bytes = frame.n;
			end_call(l, c, c->reply ? 0 : -ENOMEM);
		}
		pthread_mutex_unlock(&l->lock);
	}
	zmq_msg_close(&msg);
}

/* The connection broke: whom the calls were sent to will not answer them. */
static void lose_calls(struct link *l)
{
	struct call *c, *next;

	pthread_mutex_lock(&l->lock);
	for (c = l->calls.next; c != &l->calls; c = next) {
		next = c->next;
		if (c->sent && c->repeat)
			c->sent = false;
		else if (c->sent)
			end_call(l, c, -ENOTCONN);
	}
	pthread_mutex_unlock(&l->lock);
}

/* A piece of news has two parts: what (16 bits) with a value, and the address. */
static void take_news(struct link *l)
{
	unsigned char part[256];
	uint16_t what;
	int n, more;
	size_t size;

	for (;;) {
		n = zmq_recv(l->watch, part, sizeof(part), ZMQ_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return;
		size = sizeof(more);
		if (n < (int)sizeof(what) || zmq_getsockopt(l->watch, ZMQ_RCVMORE, &more, &size) ||
		    !more)
			continue;
		memcpy(&what, part, sizeof(what));
		l->broken = what == ZMQ_EVENT_DISCONNECTED;
		if (l->broken) {
			take_replies(l); /* what it still said */
			lose_calls(l);
		}
	}
}

uint64_t link_next_id(struct link *l)
{
	return atomic_fetch_add(&l->next_id, 1);
}

int link_call(struct link *l, uint64_t id, const void *frame, size_t bytes, bool repeat,
              double timeout_s, void **ret_frame, size_t *ret_bytes)
{
	struct call c = {.id = id, .frame = frame, .bytes = bytes, .repeat = repeat};
	pthread_condattr_t attr;
	struct timespec until;
	int rc = 0;

	c.begun_us = fc_monotonic_us();
	c.deadline_us = c.begun_us + (int64_t)(timeout_s * 1e6);
	until.tv_sec = c.deadline_us / 1000000;
	until.tv_nsec = c.deadline_us % 1000000 * 1000;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c.ended, &attr);
	pthread_condattr_destroy(&attr);

	pthread_mutex_lock(&l->lock);
	if (l->stop || l->waiting >= l->fc->opt.max_waiting) {
		rc = l->stop ? -ECANCELED : -EBUSY;
		goto out;
	}
	c.prev = l->calls.prev;
	c.next = &l->calls;
	c.prev->next = c.next->prev = &c;
	l->waiting++;
	link_wake(l);
	while (!c.done && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&c.ended, &l->lock, &until);
	if (!c.done)
		end_call(l, &c, -ETIMEDOUT);
	rc = c.rc;
out:
	pthread_mutex_unlock(&l->lock);
	pthread_cond_destroy(&c.ended);
	if (rc)
		return rc;
	*ret_frame = c.reply;
	*ret_bytes = c.reply_bytes;
	return 0;
}

/* -- Events --------------------------------------------------------------------------------- */

static void send_batch(struct link *l, const struct batch *b, int64_t now)
{
	size_t at, n;

	if (!l->events)
		l->events = connect_to(l, ZMQ_PUSH, "events", EVENT_QUEUE);
	for (at = 0; at < b->n; at += n) {
		uint64_t told = 0;
		size_t i;

		n = b->n - at < l->fc->opt.max_batch ? b->n - at : l->fc->opt.max_batch;
		for (i = at; i < at + n; i++)
			told += b->list[i].count;
		pack_reset(&l->out);
		events_write_columns(&l->out, b->list + at, n);
		if (!l->events || pack_status(&l->out) ||
		    send_frame(l->events, l->out.p, l->out.n)) {
			outbox_dropped(&l->fc->outbox, b->list + at, n);
			if (!l->events_from_us)
				l->events_from_us = now;
		} else {
			atomic_fetch_add(&l->fc->events_sent, told);
			l->events_from_us = 0;
		}
	}
}

/* Can the daemon be told now? Before the first event there is no connection yet: then make one. */
static bool can_tell(struct link *l)
{
	zmq_pollitem_t item = {.events = ZMQ_POLLOUT};

	if (!l->events)
		l->events = connect_to(l, ZMQ_PUSH, "events", EVENT_QUEUE);
	item.socket = l->events;
	return l->events && zmq_poll(&item, 1, 0) > 0;
}

/*
 * Events stay in the outbox while the daemon cannot be told, but not for longer than they are still
 * true: they mean "now" when they arrive. True: there was something.
 */
static bool send_events(struct link *l, int64_t now)
{
	struct outbox *o = &l->fc->outbox;
	bool some = false, can = can_tell(l);
	unsigned lane;

	if (can)
		l->events_from_us = 0;
	else if (!l->events_from_us)
		l->events_from_us = now;
	if (!can && now - l->events_from_us < KEEP_EVENTS_US)
		return false;
	for (lane = 0; lane < OUTBOX_LANES; lane++) {
		const struct batch *b = outbox_take(o, lane);

		if (!b)
			continue;
		some = true;
		if (can)
			send_batch(l, b, now);
		else
			outbox_dropped(o, b->list, b->n);
	}
	return some;
}

/* -- Loaders -------------------------------------------------------------------------------- */

static int send_loader(struct link *l, struct worker *w, const struct loader_message *m)
{
	pack_reset(&l->out);
	loader_message_write(&l->out, m);
	return pack_status(&l->out) ? pack_status(&l->out)
	                            : send_frame(w->socket, l->out.p, l->out.n);
}

static void send_register(struct link *l, struct worker *w, int64_t now)
{
	struct loader_message m = {.word = LOADER_REGISTER, .concurrency = w->concurrency};
	struct bytes endpoint = bytes_str(w->endpoint);

	m.endpoint.v = &endpoint;
	m.endpoint.n = 1;
	w->unsent = send_loader(l, w, &m) == -EAGAIN; /* not connected yet: when it can be sent */
	if (!w->unsent)
		w->registered_us = now;
}

static void take_jobs(struct link *l, struct worker *w, int64_t now)
{
	zmq_msg_t msg;
	int rc;

	zmq_msg_init(&msg);
	while ((rc = receive(w->socket, &msg)) != -EAGAIN) {
		struct bytes frame = bytes_of(zmq_msg_data(&msg), zmq_msg_size(&msg));
		struct told t;

		if (rc || told_read(&t, &l->message, frame, &l->fc->limits, NULL))
			continue;
		w->heard_us = now;
		if (t.kind == TOLD_REGISTERED && t.beat.us >= 10000)
			w->beat_us = t.beat.us;
		if (t.kind == TOLD_REFUSED && w->beat_us)
			w->beat_us = 0; /* the daemon does not know us: register again */
		if (t.kind == TOLD_JOB)
			worker_give(w, &t);
	}
	zmq_msg_close(&msg);
}

static void send_answers(struct worker *w)
{
	size_t bytes;
	void *frame;

	while ((frame = worker_answer(w, &bytes))) {
		if (w->socket)
			send_frame(w->socket, frame, bytes);
		free(frame);
	}
}

/*
 * Until the daemon has said "registered", we register anew each second; then we beat. Three beats
 * without a word from it: it is another daemon by now, or none.
 */
static void serve_worker(struct link *l, struct worker *w, int64_t now)
{
	struct loader_message beat = {.word = LOADER_BEAT};

	if (!w->socket)
		w->socket = connect_to(l, ZMQ_DEALER, "loaders", REQUEST_QUEUE);
	if (!w->socket)
		return;
	take_jobs(l, w, now);
	send_answers(w);
	if (w->beat_us && now - w->heard_us > 3 * w->beat_us)
		w->beat_us = 0;
	if (!w->beat_us) {
		if (now - w->registered_us > 1000000)
			send_register(l, w, now);
	} else if (now >= w->next_beat_us) {
		send_loader(l, w, &beat);
		w->next_beat_us = now + w->beat_us;
	}
}

int link_add_worker(struct link *l, struct worker *w)
{
	struct worker *other;
	int rc = 0;

	pthread_mutex_lock(&l->lock);
	for (other = l->worker; other && !rc; other = other->next)
		if (!strcmp(other->endpoint, w->endpoint))
			rc = -EEXIST;
	if (!rc && l->n_workers == MAX_WORKERS)
		rc = -ENOMEM;
	if (!rc) {
		w->next = l->worker;
		l->worker = w;
		l->n_workers++;
		link_wake(l);
	}
	pthread_mutex_unlock(&l->lock);
	return rc;
}

/* -- The thread ----------------------------------------------------------------------------- */

void link_wake(struct link *l)
{
	uint64_t one = 1;
	ssize_t n = write(l->wake, &one, sizeof(one));

	(void)n; /* full: it is awake */
}

/* How long the thread may sleep, ms. */
static long sleep_ms(struct link *l, int64_t now, bool left)
{
	int64_t us = IDLE_US;
	struct worker *w;

	if (now - l->active_us < ACTIVE_US)
		us = (int64_t)(l->fc->opt.flush_s * 1e6);
	if (left && us > PROBE_AFTER_US)
		us = PROBE_AFTER_US;
	for (w = l->worker; w; w = w->next)
		if (w->beat_us && w->next_beat_us - now < us)
			us = w->next_beat_us - now;
	return us > 1000 ? (long)(us / 1000) : 1;
}

/* Sleeps until something comes. */
static void wait_for_work(struct link *l, int64_t now, bool left)
{
	zmq_pollitem_t item[3 + MAX_WORKERS];
	struct worker *w;
	uint64_t woken;
	ssize_t got;
	int n = 0;

	item[n++] = (zmq_pollitem_t){.fd = l->wake, .events = ZMQ_POLLIN};
	if (l->requests)
		item[n++] = (zmq_pollitem_t){
		        .socket = l->requests,
		        .events = (short)(ZMQ_POLLIN | (left && !l->broken ? ZMQ_POLLOUT : 0))};
	if (l->watch)
		item[n++] = (zmq_pollitem_t){.socket = l->watch, .events = ZMQ_POLLIN};
	pthread_mutex_lock(&l->lock);
	for (w = l->worker; w; w = w->next)
		if (w->socket)
			item[n++] = (zmq_pollitem_t){
			        .socket = w->socket,
			        .events = (short)(ZMQ_POLLIN | (w->unsent ? ZMQ_POLLOUT : 0))};
	pthread_mutex_unlock(&l->lock);
	zmq_poll(item, n, sleep_ms(l, now, left));
	if (item[0].revents)
		got = read(l->wake, &woken, sizeof(woken));
	else
		got = 0;
	(void)got;
}

static void close_sockets(struct link *l)
{
	struct worker *w;

	for (w = l->worker; w; w = w->next)
		if (w->socket) {
			struct loader_message bye = {.word = LOADER_BYE};

			set_int(w->socket, ZMQ_LINGER, (int)(l->linger_s * 1e3));
			send_loader(l, w, &bye);
			zmq_close(w->socket);
			w->socket = NULL;
		}
	if (l->events) {
		set_int(l->events, ZMQ_LINGER, (int)(l->linger_s * 1e3));
		zmq_close(l->events);
	}
	close_requests(l);
	if (l->ctx) {
		while (zmq_ctx_term(l->ctx) && errno == EINTR)
			;
	}
	l->events = l->ctx = NULL;
}

static void *run(void *arg)
{
	struct link *l = arg;
	struct worker *w, *first;
	int64_t now, flush_us = (int64_t)(l->fc->opt.flush_s * 1e6), flushed = 0, until;
	bool left, stop = false;

	while (!stop) {
		now = fc_monotonic_us();
		if (now - l->refresh_us > REFRESH_US) {
			segment_refresh(&l->fc->segment);
			l->refresh_us = now;
		}
		if (l->watch)
			take_news(l);
		left = send_calls(l);
		if (l->requests)
			take_replies(l);
		give_up_calls(l, now, left);
		pthread_mutex_lock(&l->lock);
		first = l->worker; /* further ones are put before it */
		pthread_mutex_unlock(&l->lock);
		for (w = first; w; w = w->next)
			serve_worker(l, w, now);
		if (now - flushed >= flush_us) {
			atomic_fetch_add_explicit(&l->fc->flushes, 1, memory_order_relaxed);
			if (send_events(l, now))
				l->active_us = now;
			flushed = now;
		}
		wait_for_work(l, now, left);
		pthread_mutex_lock(&l->lock);
		stop = l->stop;
		pthread_mutex_unlock(&l->lock);
	}
	/* what is still to be told, if there is anyone to tell */
	until = fc_monotonic_us() + (int64_t)(l->linger_s * 1e6);
	while (is_there(l, "events") && !can_tell(l) && fc_monotonic_us() < until)
		poll(NULL, 0, 1);
	send_events(l, fc_monotonic_us());
	return NULL;
}

struct link *link_start(struct fc *fc)
{
	struct link *l = calloc(1, sizeof(*l));
	sigset_t all, old;
	int rc;

	if (!l)
		return NULL;
	l->fc = fc;
	l->calls.next = l->calls.prev = &l->calls;
	l->active_us = fc_monotonic_us();
	atomic_store(&l->next_id, 1);
	pthread_mutex_init(&l->lock, NULL);
	pack_init(&l->out, fc->opt.max_reply_bytes);
	message_init(&l->message);
	l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = l->wake < 0 ? -1 : pthread_create(&l->thread, NULL, run, l);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!rc)
		return l;
	if (l->wake >= 0)
		close(l->wake);
	pthread_mutex_destroy(&l->lock);
	free(l);
	return NULL;
}

void link_stop(struct link **lp, double linger_s)
{
	struct link *l = *lp;
	struct worker *w;

	*lp = NULL;
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	l->linger_s = linger_s;
	end_calls(l, -ECANCELED, false);
	pthread_mutex_unlock(&l->lock);
	link_wake(l);
	pthread_join(l->thread, NULL);
	/* The thread has ended: its sockets are ours now (pthread_join is a full barrier). */
	for (w = l->worker; w; w = w->next) {
		worker_stop(w);
		send_answers(w); /* before the goodbye, after which they are worth nothing */
	}
	close_sockets(l);
	while ((w = l->worker)) {
		l->worker = w->next;
		worker_free(&w);
	}
	close(l->wake);
	pack_release(&l->out);
	message_release(&l->message);
	pthread_mutex_destroy(&l->lock);
	free(l);
}
