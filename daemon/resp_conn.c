/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Connections of Redis clients: bytes in, commands, bytes out. See resp_conn.h. */
#include "daemon/resp_conn.h"

#include "base/mem.h"
#include "daemon/large.h"
#include "daemon/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Replies beyond this are written before the next command, so that a batch does not pile up. */
#define WRITE_AT (1024 * 1024)

/* Replies of several connections are written together, up to what a core's cache holds. */
#define BATCH_BYTES (128 * 1024)

/* The common buffer, when it grew beyond this for one reply, is given back. */
#define OUT_KEEP (4 * WRITE_AT)

/* A connection's share of a turn. */
#define SHARE_US 2000

/* Buffers of a connection that grew beyond this are given back when they are empty. */
#define KEEP_BYTES (16 * 1024)

static void on_ready(void *arg, uint32_t events);
static void go_on(struct resp_conn *c);

/* -- Life ------------------------------------------------------------------------------------- */

static void watch_for(struct resp_conn *c, uint32_t events)
{
	if (c->events == events)
		return;
	c->events = events;
	loop_mod(c->r->d->loop, c->fd, events);
}

/*
 * Whoever hangs up while it waits wants no answer; what it has sent to be set is set all the same, and a
 * reply that is known but for its values is decoded: how long that takes is no reason to lose it.
 */
static uint32_t watch_end(const struct resp_conn *c)
{
	return c->waits && !c->placing && !c->owed ? EPOLLRDHUP : 0u;
}

void resp_conn_open(struct resp *r, int fd, bool is_unix)
{
	struct resp_conn *c = mem_calloc(1, sizeof(*c));

	c->r = r;
	c->fd = fd;
	c->id = ++r->next_id;
	c->is_unix = is_unix;
	c->trusted = !r->password;
	c->out.version = 2;
	c->w = &c->out;
	c->born_us = c->last_us = clock_boot_us(&r->d->clock);
	c->events = EPOLLIN;
	if (loop_add(r->d->loop, fd, EPOLLIN, on_ready, c)) {
		close(fd);
		free(c);
		return;
	}
	c->next = r->first;
	if (r->first)
		r->first->prev = c;
	r->first = c;
	r->n_conns++;
}

void resp_conn_ready(struct resp_conn *c)
{
	if (c->on_ready)
		return;
	c->on_ready = true;
	*vec_push(&c->r->ready) = c;
}

static void maybe_free(struct resp_conn *c)
{
	if (c->dead && !c->tickets && !c->on_ready && !c->batched)
		free(c);
}

void resp_conn_close(struct resp_conn *c)
{
	struct resp *r = c->r;
	struct miss miss;

	if (c->dead)
		return;
	loop_del(r->d->loop, c->fd);
	close(c->fd);
	if (c->prev)
		c->prev->next = c->next;
	else
		r->first = c->next;
	if (c->next)
		c->next->prev = c->prev;
	r->n_conns--;
	if (c->monitor)
		r->n_monitors--;
	resp_multi_forget(c);
	resp_job_free(c);
	resp_owed_free(c);
	while (misses_take_oldest(&c->misses, &miss))
		if (miss.lease)
			*vec_push(&r->lost) = miss.lease;
	misses_release(&c->misses);
	vec_free(&c->queue);
	vec_free(&c->watch);
	/* a thread may be reading it: see let_go() */
	if (!c->placing) {
		free(c->in);
		c->in = NULL;
	}
	resp_out_release(&c->out);
	resp_parser_release(&c->parser);
	free(c->name);
	free(c->lib_name);
	free(c->lib_version);
	c->name = c->lib_name = c->lib_version = NULL;
	c->dead = true;
	/* whoever called may still look at c->dead: it is freed at the end of the turn */
	resp_conn_ready(c);
}

static void on_go_on(void *arg)
{
	(void)arg; /* the turn's end does the work */
}

static void on_pause_over(void *arg)
{
	struct resp *r = arg;

	resp_conn_ready_all(r);
}

void resp_conn_setup(struct resp *r)
{
	r->learn = (struct loop_timer){resp_learn, r, 0};
	r->go_on = (struct loop_timer){on_go_on, r, 0};
	r->pause = (struct loop_timer){on_pause_over, r, 0};
}

void resp_conn_teardown(struct resp *r)
{
	loop_timer_cancel(r->d->loop, &r->learn);
	loop_timer_cancel(r->d->loop, &r->go_on);
	loop_timer_cancel(r->d->loop, &r->pause);
	r->batch.n = 0;
	for (size_t i = 0; i < r->ready.n; i++) {
		r->ready.v[i]->on_ready = false;
		maybe_free(r->ready.v[i]);
	}
	vec_free(&r->ready);
	vec_free(&r->batch);
	vec_free(&r->lost);
	for (size_t i = 0; i < RESP_KEYS; i++)
		free(r->key[i]);
	resp_out_release(&r->out);
	resp_out_release(&r->text);
}

void resp_conn_ready_all(struct resp *r)
{
	for (struct resp_conn *c = r->first; c; c = c->next)
		resp_conn_ready(c);
}

void resp_conn_addr(const struct resp_conn *c, bool own, char *buf, size_t cap)
{
	struct sockaddr_storage sa = {0};
	socklen_t n = sizeof(sa);
	char ip[INET6_ADDRSTRLEN] = "?";

	if (c->is_unix) {
		snprintf(buf, cap, "%.60s:0", c->r->unix_path);
		return;
	}
	if (own ? getsockname(c->fd, (struct sockaddr *)&sa, &n)
	        : getpeername(c->fd, (struct sockaddr *)&sa, &n)) {
		snprintf(buf, cap, "?:0");
	} else if (sa.ss_family == AF_INET6) {
		const struct sockaddr_in6 *s = (const struct sockaddr_in6 *)&sa;

		inet_ntop(AF_INET6, &s->sin6_addr, ip, sizeof(ip));
		snprintf(buf, cap, "[%s]:%u", ip, ntohs(s->sin6_port));
	} else {
		const struct sockaddr_in *s = (const struct sockaddr_in *)&sa;

		inet_ntop(AF_INET, &s->sin_addr, ip, sizeof(ip));
		snprintf(buf, cap, "%s:%u", ip, ntohs(s->sin_port));
	}
}

/* -- Writing ---------------------------------------------------------------------------------- */

/* Gives the peer what it takes of these bytes; how many. The connection may be closed then. */
static size_t send_some(struct resp_conn *c, const char *p, size_t n)
{
	ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL);

	if (sent < 0) {
		if (errno != EAGAIN && errno != EINTR)
			resp_conn_close(c);
		return 0;
	}
	c->bytes_out += (uint64_t)sent;
	c->r->bytes_out += (uint64_t)sent;
	return (size_t)sent;
}

/*
 * Writes what is in the connection's own buffer. False: the peer does not take all of it now, or
 * the connection is closed (c->dead).
 */
static bool write_own(struct resp_conn *c)
{
	struct resp_out *o = &c->out;

	if (c->out_at < o->n)
		c->out_at += send_some(c, o->p + c->out_at, o->n - c->out_at);
	if (c->dead || c->out_at < o->n)
		return false;
	c->out_at = o->n = 0;
	if (o->cap > KEEP_BYTES)
		resp_out_release(o);
	return true;
}

/*
 * Writes the connection's share of the common buffer; what the peer does not take moves to its own,
 * before what has come there since. False as in write_own().
 */
static bool write_share(struct resp_conn *c, size_t from, size_t to)
{
	const char *share = c->r->out.p;
	size_t own = c->out.n - c->out_at, left;
	char *p;

	if (from < to)
		from += send_some(c, share + from, to - from);
	if (c->dead)
		return false;
	left = to - from;
	if (!left)
		return write_own(c);
	p = resp_room(&c->out, left) - own;
	memmove(p + left, p, own);
	memcpy(p, share + from, left);
	c->out.n += left;
	return false;
}

/* What has been replied since choose_out(), is owed, or is in the connection's own buffer. */
static size_t unwritten(const struct resp_conn *c)
{
	return c->w->n - (c->w == &c->out ? c->out_at : c->from) + resp_owed_bytes(c);
}

static bool write_out(struct resp_conn *c)
{
	size_t to = c->w->n;

	if (c->w == &c->out)
		return write_own(c);
	c->w->n = c->from;
	if (write_share(c, c->from, to))
		return true;
	c->w = &c->out;
	return false;
}

/* -- Carrying out ----------------------------------------------------------------------------- */

static int64_t clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void resp_share_begin(struct resp *r)
{
	r->share_ns = r->d->unpack.ns;
	r->share_us = r->timed_us;
}

bool resp_share_is_spent(const struct resp *r)
{
	return r->d->unpack.ns - r->share_ns > 1000 * SHARE_US ||
	       r->timed_us - r->share_us > SHARE_US;
}

void resp_call(struct resp_conn *c, const struct resp_command *k, const struct bytes *arg, size_t n)
{
	struct resp *r = c->r;

	if ((k->flags & RESP_PARENT) && n > 1 && !c->sub && !resp_command_sub(c, k, arg, n))
		return;
	r->calls[k - resp_commands_table]++;
	r->n_commands++;
	if (!(k->flags & RESP_TIMED)) {
		k->fn(c, arg, n);
	} else {
		int64_t start = clock_us(), took;

		k->fn(c, arg, n);
		took = clock_us() - start;
		r->timed_us += took;
		if (r->set.slow_us >= 0 && took >= r->set.slow_us)
			resp_slow_add(c, arg, n, took);
	}
	if (r->n_watching)
		resp_multi_touched(r);
}

static void unknown(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	char args[160];
	size_t at = 0;

	args[0] = '\0';
	for (size_t i = 1; i < n && at < 128; i++) {
		size_t most = 128 - at;
		int m = snprintf(args + at, sizeof(args) - at, "'%.*s' ",
		                 (int)(arg[i].n < most ? arg[i].n : most), (const char *)arg[i].p);

		at += m > 0 ? (size_t)m : 0;
	}
	resp_error(c->w, "ERR unknown command '%.*s', with args beginning with: %s",
	           RESP_SHOWN(arg[0]), args);
}

static bool writes(const struct resp_command *k)
{
	return (k->flags & RESP_WRITE) || k->fn == resp_do_eval || k->fn == resp_do_evalsha;
}

/* True when CLIENT PAUSE holds this command back. */
static bool is_paused(const struct resp_conn *c, const struct resp_command *k)
{
	struct resp *r = c->r;

	if (!r->paused_until_us || clock_boot_us(&r->d->clock) >= r->paused_until_us)
		return false;
	if (k->fn == resp_do_client || k->fn == resp_do_hello || k->fn == resp_do_auth)
		return false;
	if (r->pause_all || writes(k))
		return true;
	for (size_t i = 0; k->fn == resp_do_exec && i < c->queue.n; i++)
		if (writes(c->queue.v[i].command))
			return true;
	return false;
}

/*
 * True when so many flushes are under way that the engine would have to end them at once: others would
 * wait for that.
 */
static bool flush_waits(const struct resp_conn *c, const struct resp_command *k)
{
	unsigned n = k->fn == resp_do_exec ? c->queued_flushes
	                                   : resp_is_flush(k) && c->multi == RESP_PLAIN;

	return n && c->r->flushing && n > plain_flushes_left(resp_engine(c));
}

/* "GET / HTTP/1.1": the last word of a line that is no request of a Redis client. */
static bool is_http(struct bytes word)
{
	return word.n == 8 && !memcmp(word.p, "HTTP/1.", 7);
}

/* -- Large values --------------------------------------------------------------------------- */

/* The value that the command sets as it stands, or NULL: no such command. */
static const struct bytes *value_of(const struct resp_command *k, const struct bytes *arg)
{
	if (k->fn == resp_do_set || k->fn == resp_do_setnx || k->fn == resp_do_getset)
		return &arg[2];
	if (k->fn == resp_do_setex || k->fn == resp_do_psetex)
		return &arg[3];
	return NULL;
}

/* The connection's buffer is nobody else's any more. */
static void let_go(struct resp_conn *c)
{
	c->tickets--;
	c->placing = c->waits = false;
	if (!c->dead)
		return;
	free(c->in);
	c->in = NULL;
	resp_conn_ready(c); /* which frees it in the end */
}

/* Carries the request out that waited for its value. */
static void on_placed(struct daemon *d, void *arg, struct large_value *v, size_t n)
{
	struct resp_conn *c = arg;

	(void)d;
	(void)n;
	let_go(c);
	if (c->dead)
		return;
	c->placed = v;
	go_on(c);
	c->placed = NULL;
}

static void on_not_placed(void *arg)
{
	let_go(arg);
}

/* True: the value of the command is put in its place first, then it is read again. */
static bool put_in_place(struct resp_conn *c, const struct resp_command *k, const struct bytes *arg)
{
	const struct bytes *value = c->multi == RESP_PLAIN && !c->placed ? value_of(k, arg) : NULL;
	struct large_value v;
	bool stays;
	int level;

	if (!value || c->parser.unquoted ||
	    !large_wants(c->r->d, bytes_of(NULL, 0), resp_key(c, arg[1]), value->n, &level))
		return false;
	stays = c->in && (const char *)value->p >= c->in &&
	        (const char *)value->p < c->in + c->in_n;
	/* what is not in the connection's own buffer will not stay there: a small one is copied */
	if (!stays && !level)
		return false;
	v = (struct large_value){.value = *value,
	                         .key_bytes = resp_key(c, arg[1]).n,
	                         .level = level,
	                         .own = !stays,
	                         .kept = stays};
	if (!stays)
		v.value.p = mem_dup(value->p, value->n);
	c->tickets++;
	c->placing = c->waits = true;
	large_put(c->r->d->large, &v, 1, 1, on_placed, on_not_placed, c);
	return true;
}

/* The command has more arguments than it takes, or fewer: a transaction ends with that, if it is EXEC. */
static void wrong_arity(struct resp_conn *c, const struct resp_command *k)
{
	if (k->fn != resp_do_exec) {
		resp_wrong_arity(c, k->name);
		return;
	}
	resp_multi_forget(c);
	resp_error(c->w,
	           "EXECABORT Transaction discarded because of: wrong number of arguments for "
	           "'exec' command");
}

/* Carries it out or queues it. False: it was rejected. */
static bool call_or_queue(struct resp_conn *c, const struct resp_command *k,
                          const struct bytes *arg, size_t n)
{
	c->last = k;
	if (c->multi != RESP_PLAIN && !(k->flags & RESP_AT_ONCE)) {
		if (!resp_queue(c, k, arg, n))
			return false;
		resp_simple(c->w, "QUEUED");
		return true;
	}
	if (c->r->n_monitors && !(k->flags & RESP_SKIP_MONITOR))
		resp_monitor_feed(c->r, c, arg, n);
	resp_call(c, k, arg, n);
	return true;
}

/* Behind the reply, which began at `before`: it is counted if it is an error, and taken back if muted. */
static void replied(struct resp_conn *c, size_t before, bool rejected)
{
	if (c->w->n > before && c->w->p[before] == '-') {
		c->r->n_error_replies++;
		/* what could not be queued dooms the transaction */
		if (c->multi == RESP_QUEUING && rejected)
			c->multi = RESP_DOOMED;
	}
	if (c->reply == RESP_REPLY_OFF || c->reply == RESP_REPLY_SKIP) {
		c->w->n = before;
		resp_owed_free(c);
	}
	c->reply = c->reply == RESP_REPLY_SKIP        ? RESP_REPLY_ON
	           : c->reply == RESP_REPLY_SKIP_NEXT ? RESP_REPLY_SKIP
	                                              : c->reply;
}

/* False: held back, to be tried again later. */
static bool dispatch(struct resp_conn *c, const struct bytes *arg, size_t n, bool is_line)
{
	const struct resp_command *k = resp_command_find(arg[0]);
	size_t before = c->w->n;
	bool rejected = true; /* before it was carried out or queued */

	c->held_back = false;
	c->mute = c->reply == RESP_REPLY_OFF || c->reply == RESP_REPLY_SKIP;
	c->sub = NULL;
	if (n == 3 && is_line && is_http(arg[2])) {
		resp_do_crossprotocol(c, arg, n);
	} else if (!k) {
		unknown(c, arg, n);
	} else if (k->fn == resp_do_crossprotocol) {
		resp_do_crossprotocol(c, arg, n);
	} else if ((k->arity > 0 && (size_t)k->arity != n) ||
	           (k->arity < 0 && n < (size_t)-k->arity)) {
		wrong_arity(c, k);
	} else if (!c->trusted && !(k->flags & RESP_NO_AUTH)) {
		resp_error(c->w, "NOAUTH Authentication required.");
	} else if (!(k->flags & RESP_PARENT) || n < 2 || resp_command_sub(c, k, arg, n)) {
		c->held_back = is_paused(c, k) || flush_waits(c, k);
		if (c->held_back || put_in_place(c, k, arg))
			return false;
		rejected = !call_or_queue(c, k, arg, n);
	}
	if (!c->dead)
		replied(c, before, rejected);
	return true;
}

/* Says why and closes: the stream makes no sense any more. */
static void protocol_error(struct resp_conn *c)
{
	char text[LOG_TEXT_BYTES], addr[80];

	c->r->n_protocol_errors++;
	resp_conn_addr(c, false, addr, sizeof(addr));
	log_line(LOG_NOTICE, "redis_protocol", "peer=%s why=\"%s\"",
	         log_quote(bytes_str(addr), text), c->parser.error);
	if (strstr(c->parser.error, "got '"))
		resp_error(c->w, "ERR %s%c'", c->parser.error, c->parser.got);
	else
		resp_error(c->w, "ERR %s", c->parser.error);
	c->closing = true;
}

static void output_too_long(struct resp_conn *c)
{
	char addr[80];

	resp_conn_addr(c, false, addr, sizeof(addr));
	c->r->n_cut_output++;
	log_line(LOG_NOTICE, "redis_output", "peer=%s why=\"replies beyond redis_output_bytes\"",
	         addr);
	resp_conn_close(c);
}

/*
 * Carries out what is complete in p; gives how many bytes of it are done with. Stops when the
 * connection waits, is closed, does not take its replies, or had its share of the turn.
 */
static size_t carry_out(struct resp_conn *c, char *p, size_t n)
{
	struct resp *r = c->r;
	struct resp_limits l = r->limits;
	size_t at = 0;

	c->stalled = c->held_back = false;
	resp_share_begin(r);
	while (at < n && !c->waits && !c->closing) {
		enum resp_parse got;

		l.stranger = !c->trusted;
		got = resp_parse(&c->parser, p + at, n - at, &l);
		if (got == RESP_MORE)
			break;
		if (got == RESP_BAD) {
			protocol_error(c);
			break;
		}
		if (c->parser.n && !dispatch(c, c->parser.arg, c->parser.n, p[at] != '*') &&
		    c->parser.unquoted) {
			c->held_back = false;
			resp_error(c->w,
			           "ERR not now, as clients are paused, or flushes under way: "
			           "send it again later");
		} else if (c->held_back || c->placing) {
			/* held back: read again from its start */
			resp_parser_next(&c->parser);
			c->waits = true;
			break;
		}
		if (c->dead)
			return at;
		c->placed = NULL;
		at += c->parser.pos;
		resp_parser_next(&c->parser);
		if (unwritten(c) > (size_t)r->set.output_bytes) {
			output_too_long(c);
			return at;
		}
		if (resp_share_is_spent(r) ||
		    (unwritten(c) > WRITE_AT && !c->holds && !write_out(c))) {
			c->stalled = true;
			break;
		}
	}
	return at;
}

/* -- Reading ---------------------------------------------------------------------------------- */

/* Keeps what has not been carried out yet. */
static bool keep(struct resp_conn *c, const char *p, size_t n)
{
	char addr[80];

	if (n > (size_t)c->r->set.query_bytes) {
		resp_conn_addr(c, false, addr, sizeof(addr));
		log_line(LOG_NOTICE, "redis_query",
		         "peer=%s why=\"a request beyond redis_query_bytes\"", addr);
		resp_conn_close(c);
		return false;
	}
	if (c->in_cap < n) {
		c->in_cap = n < 512 ? 512 : 2 * n;
		c->in = mem_realloc(c->in, c->in_cap, 1);
	}
	memmove(c->in, p, n);
	c->in_at = 0;
	c->in_n = n;
	return true;
}

static void forget_input(struct resp_conn *c)
{
	c->in_at = c->in_n = 0;
	if (c->in_cap > KEEP_BYTES || !c->parser.pos) {
		if (large_is(c->r->d, c->in_cap))
			large_discard(c->r->d->large, free, c->in);
		else
			free(c->in);
		c->in = NULL;
		c->in_cap = 0;
	}
	if (c->parser.cap > 64)
		resp_parser_release(&c->parser);
}

/* After replies were written, all of them or not: what to wait for next. */
static void settle(struct resp_conn *c, bool written)
{
	uint32_t events = 0;

	if (c->dead)
		return;
	c->w = &c->out;
	if (c->closing && written) {
		resp_conn_close(c);
		return;
	}
	if (!written)
		events = EPOLLOUT;
	else if (!c->waits && !c->closing)
		events = EPOLLIN;
	watch_for(c, events | watch_end(c));
	if (written && c->stalled)
		resp_conn_ready(c);
}

void resp_conn_write_all(struct resp *r)
{
	for (size_t i = 0; i < r->batch.n; i++) {
		struct resp_conn *c = r->batch.v[i];

		c->batched = false;
		if (!c->dead)
			settle(c, write_share(c, c->from, c->to));
	}
	r->batch.n = 0;
	r->out.n = 0;
	if (r->out.cap > OUT_KEEP)
		resp_out_release(&r->out);
}

/* Its replies wait for something else than their turn: they move to its own buffer. */
static void hold(struct resp_conn *c)
{
	struct resp *r = c->r;

	if (c->w == &r->out) {
		resp_owed_move(c, c->from, c->out.n);
		resp_raw(&c->out, r->out.p + c->from, r->out.n - c->from);
		r->out.n = c->from;
		c->w = &c->out;
	}
	watch_for(c, watch_end(c));
	if (c->owed)
		resp_conn_ready(c);
}

/*
 * After commands were carried out: their replies wait for those of the other connections of this
 * turn. A peer that talks over many connections, as load generators and proxies do, is then woken
 * once for all of them.
 */
static void conclude(struct resp_conn *c)
{
	struct resp *r = c->r;

	if (c->dead)
		return;
	if (c->holds) {
		hold(c);
		return;
	}
	if (c->w == &c->out || r->out.n == c->from) {
		settle(c, write_own(c));
		return;
	}
	c->to = r->out.n;
	c->w = &c->out;
	c->batched = true;
	*vec_push(&r->batch) = c;
	if (r->out.n >= BATCH_BYTES)
		resp_conn_write_all(r);
}

/* Replies go into the buffer that all share, unless some of its own wait already. */
static void choose_out(struct resp_conn *c)
{
	struct resp *r = c->r;

	if (c->batched)
		resp_conn_write_all(r);
	if (c->out.n > c->out_at) {
		c->w = &c->out;
		return;
	}
	c->out.n = c->out_at = 0;
	c->w = &r->out;
	c->from = r->out.n;
	c->w->version = c->out.version;
}

/* What is in the connection's own buffer. */
static void go_on(struct resp_conn *c)
{
	size_t n;

	if (c->batched)
		resp_conn_write_all(c->r);
	if (c->dead || c->holds)
		return;
	if (!write_own(c)) {
		settle(c, false);
		return;
	}
	choose_out(c);
	/* what it stopped at may have been its last request */
	c->stalled = false;
	if (c->in_n > c->in_at) {
		n = carry_out(c, c->in + c->in_at, c->in_n - c->in_at);
		if (c->dead)
			return;
		c->in_at += n;
		if (c->in_at == c->in_n)
			forget_input(c);
	}
	conclude(c);
}

/* Reads on into the connection's own buffer: a request that came in part. */
static ssize_t read_more(struct resp_conn *c)
{
	size_t wants = resp_parser_wants(&c->parser), have = c->in_n - c->in_at, room;
	ssize_t n;

	if (c->in_at && !keep(c, c->in + c->in_at, have))
		return -1;
	/* as much as it says it needs, but only twice what has come: words are cheap */
	room = wants > c->in_n ? wants - c->in_n : 0;
	if (room < KEEP_BYTES / 4)
		room = KEEP_BYTES / 4;
	if (room > c->in_n + RESP_READ_BYTES)
		room = c->in_n + RESP_READ_BYTES;
	if (c->in_cap - c->in_n < room) {
		c->in_cap = c->in_n + room;
		c->in = mem_realloc(c->in, c->in_cap, 1);
	}
	n = recv(c->fd, c->in + c->in_n, c->in_cap - c->in_n, 0);
	if (n > 0)
		c->in_n += (size_t)n;
	if (n > 0 && c->in_n > (size_t)c->r->set.query_bytes) {
		keep(c, c->in, c->in_n);
		return -1;
	}
	return n;
}

static void read_and_carry_out(struct resp_conn *c)
{
	struct resp *r = c->r;
	bool own = c->in_n > c->in_at;
	size_t done;
	ssize_t n;

	n = own ? read_more(c) : recv(c->fd, r->read, sizeof(r->read), 0);
	if (c->dead)
		return;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		resp_conn_close(c);
		return;
	}
	c->last_us = clock_boot_us(&r->d->clock);
	c->bytes_in += (uint64_t)n;
	r->bytes_in += (uint64_t)n;
	if (own) {
		go_on(c);
		return;
	}
	choose_out(c);
	done = carry_out(c, r->read, (size_t)n);
	if (c->dead)
		return;
	if (done < (size_t)n && !c->closing && !keep(c, r->read + done, (size_t)n - done))
		return;
	conclude(c);
}

static void on_ready(void *arg, uint32_t events)
{
	struct resp_conn *c = arg;

	if (events & EPOLLOUT) {
		go_on(c);
		return;
	}
	if (events & EPOLLIN) {
		read_and_carry_out(c);
		return;
	}
	/* it has hung up while it waited */
	resp_conn_close(c);
}

/* -- The end of a turn ------------------------------------------------------------------------ */

void resp_turn_end(struct resp *r)
{
	size_t n;

	if (!r)
		return;
	resp_conn_write_all(r);
	if (r->flushing)
		resp_flush_step(r);
	while (r->lost.n)
		plain_give_back(r->d->engine, clock_now(&r->d->clock), r->lost.v[--r->lost.n],
		                &r->d->fx);
	daemon_effects(r->d);
	/* those that become ready now wait for the next turn: nobody starves the sockets */
	n = r->ready.n;
	for (size_t i = 0; i < n; i++) {
		struct resp_conn *c = r->ready.v[i];

		c->on_ready = false;
		if (c->dead) {
			maybe_free(c);
			continue;
		}
		if (c->owed)
			resp_owed_step(c);
		else if (c->job)
			resp_job_step(c);
		else if (c->waits && !c->tickets && !c->flushes)
			c->waits = false;
		if (!c->dead)
			go_on(c);
	}
	if (n) {
		r->ready.n -= n;
		memmove(r->ready.v, r->ready.v + n, r->ready.n * sizeof(*r->ready.v));
		resp_conn_write_all(r);
	}
	if (r->ready.n || r->flushing || r->lost.n)
		loop_timer_set(r->d->loop, &r->go_on, SPAN_ZERO);
}
