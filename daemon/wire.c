/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/wire.h"

#include "base/bug.h"
#include "base/mem.h"
#include "base/text.h"
#include "daemon/ring.h"
#include "proto/reply.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Of one socket, before the others get their turn. */
#define MESSAGES_PER_TURN 256

/* How long the end waits for libzmq to pass on what it was given, ms. */
#define LINGER_MS 500

enum socket_index { EVENTS, REQUESTS, LOADERS, NOTICES, SOCKETS };

static const struct {
	const char *name;
	int type;
} plan[SOCKETS] = {
        [EVENTS] = {"events", ZMQ_PULL},
        [REQUESTS] = {"requests", ZMQ_ROUTER},
        [LOADERS] = {"loaders", ZMQ_ROUTER},
        [NOTICES] = {"notices", ZMQ_PUB},
};

/* A message on its way out. */
struct out {
	enum socket_index to;
	struct wire_peer peer;
	void *topic; /* notices */
	size_t topic_bytes;
	void *data;
	size_t n;
};

struct wire {
	void *ctx, *socket[SOCKETS];
	char *path[SOCKETS]; /* of the files that we bound */
	struct proto_limits limits;
	size_t parts, input_queue, input_queue_bytes, reply_queue_bytes;
	pthread_t thread;
	bool has_thread;
	struct ring in, out;
	int in_fd, out_fd;
	bool out_signal;  /* something was queued since wire_flush */
	zmq_msg_t *frame; /* of the message being received */
	_Atomic bool stop, deaf;
	_Atomic size_t in_bytes, out_bytes;
#define X(name, help) _Atomic uint64_t name;
	struct {
		WIRE_STATS_TABLE(X)
	} count;
#undef X
};

#define COUNT(w, what) atomic_fetch_add_explicit(&(w)->count.what, 1, memory_order_relaxed)

static void signal_fd(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0)
		BUG_ON(errno != EAGAIN); /* the counter is full: it is readable anyway */
}

static void clear_fd(int fd)
{
	uint64_t n;

	if (read(fd, &n, sizeof(n)) < 0)
		BUG_ON(errno != EAGAIN && errno != EINTR);
}

/* -- Receiving, on the wire's thread ---------------------------------------------------------- */

/*
 * One whole message into w->frame. Its number of parts, at most w->parts; 0: nothing there; -1: it
 * had more and is gone.
 */
static int receive(struct wire *w, void *socket)
{
	size_t n = 0;
	bool more, too_many = false;

	do {
		zmq_msg_t *m = &w->frame[n];
		int rc;

		zmq_msg_init(m);
		do
			rc = zmq_msg_recv(m, socket, ZMQ_DONTWAIT);
		while (rc < 0 && errno == EINTR);
		if (rc < 0) {
			zmq_msg_close(m);
			break; /* parts of a message come all at once: only the first can be missing
			        */
		}
		more = zmq_msg_more(m);
		if (n + 1 < w->parts) {
			n++;
		} else if (more) {
			too_many = true;
			zmq_msg_close(m);
		} else {
			n++;
		}
	} while (more);
	if (!too_many)
		return (int)n;
	for (size_t i = 0; i < n; i++)
		zmq_msg_close(&w->frame[i]);
	return -1;
}

static struct bytes frame_bytes(zmq_msg_t *m)
{
	return bytes_of(zmq_msg_data(m), zmq_msg_size(m));
}

static void set_peer(struct wire_peer *p, zmq_msg_t *id, bool delimiter)
{
	size_t n = zmq_msg_size(id);

	BUG_ON(n > sizeof(p->id)); /* libzmq refuses longer ones */
	memcpy(p->id, zmq_msg_data(id), n);
	p->n = (uint8_t)n;
	p->delimiter = delimiter;
}

/* A part of a message of which more follows. */
static int send_part(void *socket, const void *p, size_t n)
{
	int rc;

	do
		rc = zmq_send(socket, p, n, ZMQ_SNDMORE | ZMQ_DONTWAIT);
	while (rc < 0 && errno == EINTR);
	return rc;
}

static void free_data(void *data, void *hint)
{
	(void)hint;
	free(data);
}

/* The last frame, which takes over the memory whether or not it can be sent. */
static int send_owned(void *socket, void *data, size_t n)
{
	zmq_msg_t m;
	int rc;

	if (zmq_msg_init_data(&m, data, n, free_data, NULL)) {
		free(data);
		return -1;
	}
	do
		rc = zmq_msg_send(&m, socket, ZMQ_DONTWAIT);
	while (rc < 0 && errno == EINTR);
	if (rc < 0)
		zmq_msg_close(&m);
	return rc;
}

static void send_to_peer(struct wire *w, enum socket_index to, const struct wire_peer *peer,
                         void *data, size_t n)
{
	void *s = w->socket[to];

	/* ROUTER_MANDATORY: a peer that is gone or full fails here, at the first frame */
	if (send_part(s, peer->id, peer->n) < 0) {
		if (errno == EHOSTUNREACH)
			COUNT(w, unroutable);
		else
			COUNT(w, send_full);
		free(data);
		return;
	}
	if (peer->delimiter)
		send_part(s, "", 0);
	if (send_owned(s, data, n) < 0)
		COUNT(w, send_full);
	else
		COUNT(w, sent);
}

/* Tells a client by itself, without the engine. */
static void answer_error(struct wire *w, const struct wire_peer *peer, uint64_t id, bool has_id,
                         int status, const char *text)
{
	struct pack p;
	size_t n;
	void *data;

	pack_init(&p, 4096);
	reply_error(&p, id, has_id, status, text);
	data = pack_take(&p, &n);
	if (data)
		send_to_peer(w, REQUESTS, peer, data, n);
	pack_release(&p);
}

static size_t room_for(const struct wire *w, enum wire_kind kind)
{
	/* the ring holds twice the queue: events may fill a half, requests three quarters of it */
	return kind == WIRE_EVENTS    ? w->input_queue
	       : kind == WIRE_REQUEST ? w->input_queue + w->input_queue / 2
	                              : w->input_queue * 2;
}

static void decode(struct wire *w, struct wire_item *i)
{
	struct bytes frame = frame_bytes(&i->frame);

	message_init(&i->message);
	switch (i->kind) {
	case WIRE_EVENTS:
		events_init(&i->events);
		i->status = events_read(&i->events, &i->message, frame, &w->limits, &i->error);
		break;
	case WIRE_REQUEST:
		request_init(&i->request);
		i->status = request_read(&i->request, &i->message, frame, &w->limits, &i->error);
		break;
	case WIRE_LOADER:
		loader_message_init(&i->loader);
		i->status =
		        loader_message_read(&i->loader, &i->message, frame, &w->limits, &i->error);
		break;
	}
}

static void send_out(struct wire *w)
{
	struct out *o;

	while ((o = ring_take(&w->out))) {
		size_t bytes = o->n + o->topic_bytes + sizeof(*o);

		if (o->to == NOTICES) {
			send_part(w->socket[NOTICES], o->topic, o->topic_bytes);
			if (send_owned(w->socket[NOTICES], o->data, o->n) >= 0)
				COUNT(w, sent);
		} else {
			send_to_peer(w, o->to, &o->peer, o->data, o->n);
		}
		atomic_fetch_sub(&w->out_bytes, bytes);
		free(o->topic);
		free(o);
	}
}

/* Takes over the frame. */
static void accept_message(struct wire *w, enum wire_kind kind, const struct wire_peer *peer,
                           zmq_msg_t *frame)
{
	struct wire_item *i = mem_calloc(1, sizeof(*i));
	bool full;

	/*
	 * Replies first: while much is received their ring must not fill up, or one would be lost
	 * that somebody waits for. So it never holds more than what was let in since.
	 */
	send_out(w);
	i->kind = kind;
	i->wire = w;
	if (peer)
		i->peer = *peer;
	zmq_msg_init(&i->frame);
	zmq_msg_move(&i->frame, frame);
	i->bytes = zmq_msg_size(&i->frame) + sizeof(*i);
	full = ring_count(&w->in) >= room_for(w, kind) ||
	       (kind != WIRE_LOADER && atomic_load(&w->in_bytes) + i->bytes > w->input_queue_bytes);
	atomic_fetch_add(&w->in_bytes, i->bytes);
	decode(w, i);
	if (!full && ring_put(&w->in, i))
		return;
	if (kind == WIRE_REQUEST) {
		COUNT(w, requests_busy);
		answer_error(w, peer, i->request.id, i->request.has_id, STATUS_BUSY, NULL);
	} else {
		COUNT(w, events_dropped);
	}
	wire_item_free(&i);
}

static void bad_envelope(struct wire *w, enum socket_index from, const struct wire_peer *peer)
{
	COUNT(w, bad_envelope);
	if (from == REQUESTS && peer)
		answer_error(w, peer, 0, false, STATUS_BAD_REQUEST,
		             "a request is one frame after the envelope (DEALER: none or an empty "
		             "frame)");
}

/* True when there was a message. */
static bool receive_one(struct wire *w, enum socket_index from)
{
	static const enum wire_kind kind[] = {
	        [EVENTS] = WIRE_EVENTS, [REQUESTS] = WIRE_REQUEST, [LOADERS] = WIRE_LOADER};
	struct wire_peer peer = {.n = 0};
	int n = receive(w, w->socket[from]);
	size_t head = from == EVENTS ? 0 : 1; /* frames before the payload */
	bool ok;

	if (n == 0)
		return false;
	COUNT(w, received);
	if (n < 0) {
		bad_envelope(w, from, NULL);
		return true;
	}
	if (from != EVENTS) {
		bool delimiter = n >= 3 && zmq_msg_size(&w->frame[1]) == 0;

		set_peer(&peer, &w->frame[0], delimiter);
		head += delimiter;
	}
	ok = (size_t)n == head + 1;
	if (!ok)
		bad_envelope(w, from, from == EVENTS ? NULL : &peer);
	else
		accept_message(w, kind[from], from == EVENTS ? NULL : &peer, &w->frame[n - 1]);
	for (int i = 0; i < n; i++)
		zmq_msg_close(&w->frame[i]);
	return true;
}

static void *run(void *arg)
{
	struct wire *w = arg;
	bool deaf, got;

	while (!atomic_load(&w->stop)) {
		zmq_pollitem_t item[] = {
		        {.fd = w->out_fd, .events = ZMQ_POLLIN},
		        {.socket = w->socket[LOADERS], .events = ZMQ_POLLIN},
		        {.socket = w->socket[REQUESTS], .events = ZMQ_POLLIN},
		        {.socket = w->socket[EVENTS], .events = ZMQ_POLLIN},
		};

		deaf = atomic_load(&w->deaf);
		if (zmq_poll(item, deaf ? 2 : 4, -1) < 0) {
			if (errno == EINTR)
				continue;
			break; /* ETERM */
		}
		if (item[0].revents)
			clear_fd(w->out_fd);
		send_out(w);
		got = false;
		for (enum socket_index s = EVENTS; s <= LOADERS; s++) {
			if (deaf && s != LOADERS)
				continue;
			for (int k = 0; k < MESSAGES_PER_TURN && receive_one(w, s); k++)
				got = true;
		}
		if (got)
			signal_fd(w->in_fd);
	}
	send_out(w);
	return NULL;
}

/* -- Setting up ------------------------------------------------------------------------------- */

/* libzmq takes over a socket that somebody listens on: so ask first. */
static bool is_served(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool served;

	if (fd < 0)
		return false;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	served = !connect(fd, (struct sockaddr *)&sa, sizeof(sa)) || errno == EAGAIN;
	close(fd);
	return served;
}

static void set_option(void *s, int option, int value)
{
	int rc = zmq_setsockopt(s, option, &value, sizeof(value));

	BUG_ON(rc);
}

static int bind_socket(struct wire *w, enum socket_index k, const struct config *c,
                       const char *address, struct fault *reterr)
{
	int64_t max_bytes = (int64_t)c->messages.max_frame_bytes;
	const char *path = address + strlen("ipc://");
	void *s;

	if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return fault_set(reterr, -ENAMETOOLONG,
		                 "%s: a socket's path may be 107 bytes long: %s", plan[k].name,
		                 "choose a shorter run directory (dir)");
	if (is_served(path))
		return fault_set(reterr, -EADDRINUSE, "%s: %s is served by another process",
		                 plan[k].name, path);
	s = w->socket[k] = zmq_socket(w->ctx, plan[k].type);
	if (!s)
		return fault_set(reterr, -errno, "%s: %s", plan[k].name, zmq_strerror(errno));
	set_option(s, ZMQ_LINGER, LINGER_MS);
	set_option(s, ZMQ_SNDHWM, (int)c->socket_queue);
	set_option(s, ZMQ_RCVHWM, (int)c->socket_queue);
	if (zmq_setsockopt(s, ZMQ_MAXMSGSIZE, &max_bytes, sizeof(max_bytes)))
		return fault_set(reterr, -errno, "%s: %s", plan[k].name, zmq_strerror(errno));
	if (plan[k].type == ZMQ_ROUTER)
		set_option(s, ZMQ_ROUTER_MANDATORY, 1);
	if (zmq_bind(s, address))
		return fault_set(reterr, -errno, "cannot bind %.300s: %s", address,
		                 zmq_strerror(errno));
	w->path[k] = text_copy(path);
	return 0;
}

int wire_new(const struct config *c, const char *dir, struct wire **ret, struct fault *reterr)
{
	struct wire *w = mem_calloc(1, sizeof(*w));
	const char *given[SOCKETS] = {c->events, c->requests, c->loaders, c->notices};
	char address[4200];
	int rc = 0;

	w->limits = c->messages;
	w->parts = (size_t)c->message_parts;
	w->input_queue = (size_t)c->input_queue;
	w->input_queue_bytes = (size_t)c->input_queue_bytes;
	w->reply_queue_bytes = (size_t)c->reply_queue_bytes;
	w->frame = mem_calloc(w->parts, sizeof(*w->frame));
	ring_init(&w->in, w->input_queue * 2);
	ring_init(&w->out, w->input_queue * 4);
	w->in_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	w->out_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	w->ctx = zmq_ctx_new();
	if (w->in_fd < 0 || w->out_fd < 0 || !w->ctx)
		rc = fault_set(reterr, -errno, "cannot start ZeroMQ: %s", strerror(errno));
	for (enum socket_index k = 0; k < SOCKETS && !rc; k++) {
		if (*given[k])
			snprintf(address, sizeof(address), "%s", given[k]);
		else
			snprintf(address, sizeof(address), "ipc://%s/%s", dir, plan[k].name);
		rc = bind_socket(w, k, c, address, reterr);
	}
	if (!rc) {
		rc = -pthread_create(&w->thread, NULL, run, w);
		w->has_thread = !rc;
		if (rc)
			fault_set(reterr, rc, "cannot start a thread: %s", strerror(-rc));
	}
	if (rc)
		wire_free(&w);
	else
		*ret = w;
	return rc;
}

static void free_out(struct out *o)
{
	free(o->topic);
	free(o->data);
	free(o);
}

void wire_free(struct wire **w)
{
	struct wire *x = *w;
	struct wire_item *i;
	struct out *o;

	if (!x)
		return;
	if (x->has_thread) {
		atomic_store(&x->stop, true);
		signal_fd(x->out_fd);
		pthread_join(x->thread, NULL);
	}
	while ((i = ring_take(&x->in)))
		wire_item_free(&i);
	while ((o = ring_take(&x->out)))
		free_out(o);
	for (int k = 0; k < SOCKETS; k++)
		if (x->socket[k])
			zmq_close(x->socket[k]);
	if (x->ctx)
		zmq_ctx_term(x->ctx);
	for (int k = 0; k < SOCKETS; k++) {
		if (x->path[k])
			unlink(x->path[k]); /* libzmq leaves it */
		free(x->path[k]);
	}
	if (x->in_fd >= 0)
		close(x->in_fd);
	if (x->out_fd >= 0)
		close(x->out_fd);
	ring_release(&x->in);
	ring_release(&x->out);
	free(x->frame);
	free(x);
	*w = NULL;
}

/* -- On the engine's thread ------------------------------------------------------------------- */

int wire_fd(const struct wire *w)
{
	return w->in_fd;
}

struct wire_item *wire_take(struct wire *w)
{
	struct wire_item *i = ring_take(&w->in);

	if (i)
		return i;
	/* first the signal, then a second look: what comes in between signals again */
	clear_fd(w->in_fd);
	return ring_take(&w->in);
}

void wire_item_free(struct wire_item **i)
{
	struct wire_item *x = *i;

	if (!x)
		return;
	switch (x->kind) {
	case WIRE_EVENTS:
		events_release(&x->events);
		break;
	case WIRE_REQUEST:
		request_release(&x->request);
		break;
	case WIRE_LOADER:
		loader_message_release(&x->loader);
		break;
	}
	message_release(&x->message);
	zmq_msg_close(&x->frame);
	atomic_fetch_sub(&x->wire->in_bytes, x->bytes);
	free(x);
	*i = NULL;
}

static bool queue(struct wire *w, enum socket_index to, const struct wire_peer *peer,
                  struct bytes topic, struct pack *p)
{
	struct out *o;
	size_t bytes;

	if (pack_status(p))
		return false;
	o = mem_calloc(1, sizeof(*o));
	o->to = to;
	if (peer)
		o->peer = *peer;
	if (topic.n) {
		o->topic = mem_dup(topic.p, topic.n);
		o->topic_bytes = topic.n;
	}
	o->data = pack_take(p, &o->n);
	bytes = o->n + o->topic_bytes + sizeof(*o);
	/* notices may get lost, replies may not: the half of the ring is theirs */
	if ((to == NOTICES && ring_count(&w->out) >= w->input_queue * 2) ||
	    atomic_load(&w->out_bytes) + bytes > w->reply_queue_bytes || !ring_put(&w->out, o)) {
		COUNT(w, reply_dropped);
		free_out(o);
		return false;
	}
	atomic_fetch_add(&w->out_bytes, bytes);
	w->out_signal = true;
	return true;
}

bool wire_reply(struct wire *w, const struct wire_peer *to, struct pack *p)
{
	return queue(w, REQUESTS, to, bytes_of(NULL, 0), p);
}

bool wire_tell(struct wire *w, const struct wire_peer *to, struct pack *p)
{
	return queue(w, LOADERS, to, bytes_of(NULL, 0), p);
}

bool wire_publish(struct wire *w, struct bytes topic, struct pack *p)
{
	return queue(w, NOTICES, NULL, topic, p);
}

void wire_flush(struct wire *w)
{
	if (!w->out_signal)
		return;
	w->out_signal = false;
	signal_fd(w->out_fd);
}

void wire_stop_accepting(struct wire *w)
{
	atomic_store(&w->deaf, true);
	signal_fd(w->out_fd);
}

bool wire_is_idle(struct wire *w)
{
	return ring_count(&w->out) == 0 && ring_count(&w->in) == 0;
}

void wire_stats(struct wire *w, struct wire_stats *ret)
{
#define X(name, help) ret->name = atomic_load_explicit(&w->count.name, memory_order_relaxed);
	WIRE_STATS_TABLE(X)
#undef X
	ret->input_bytes = atomic_load(&w->in_bytes);
}
