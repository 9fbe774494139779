/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/requests.h"

#include "base/bug.h"
#include "base/mem.h"
#include "base/text.h"
#include "daemon/daemon.h"
#include "daemon/large.h"
#include "daemon/learned.h"
#include "daemon/loaders.h"
#include "daemon/log.h"
#include "daemon/query.h"
#include "daemon/schedules.h"
#include "proto/notice.h"
#include "proto/reply.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ERROR_TEXT 200

/* A request whose answer is not there yet. */
struct call {
	struct wire_peer peer;
	uint64_t id;
	bool has_id;
	enum op op;
	uint32_t n, left; /* keys; and those that have not been answered */
	uint64_t count;   /* what the answers add up to */
	int status;       /* the first failure */
	char text[ERROR_TEXT];
	struct bytes *part; /* mget: a packed `got` per key; the memory is ours */
	size_t bytes;       /* of them */
	bool dry_run;       /* of prewarm: its keys so far are in list */
	bool reasons;       /* ... and those that it leaves out in skipped */
	size_t n_skipped;
	struct pack skipped;
	struct pack list;
};

static size_t reply_limit(const struct daemon *d)
{
	return (size_t)d->setup->config->messages.max_frame_bytes;
}

/* -- Answering -------------------------------------------------------------------------------- */

static void send(struct daemon *d, const struct wire_peer *to, struct pack *p, uint64_t id,
                 bool has_id)
{
	if (pack_status(p)) { /* e.g. mget of many large values */
		pack_reset(p);
		reply_error(p, id, has_id, STATUS_TOO_BIG,
		            "the reply is longer than messages.max_frame_bytes");
	}
	if (wire_reply(d->wire, to, p))
		return;
	/* a word may find room where a large value does not */
	reply_error(p, id, has_id, STATUS_BUSY, "reply_queue_bytes is used up: ask again later");
	if (!wire_reply(d->wire, to, p))
		d->count.replies_lost++;
}

static void send_error(struct daemon *d, const struct wire_peer *to, uint64_t id, bool has_id,
                       int status, const char *text)
{
	struct pack p;

	pack_init(&p, reply_limit(d));
	reply_error(&p, id, has_id, status, text && *text ? text : NULL);
	send(d, to, &p, id, has_id);
	pack_release(&p);
}

static int status_of(const struct effect *f)
{
	switch (f->reply.status) {
	case REPLY_OK:
	case REPLY_ABSENT:
	case REPLY_LEASE:
		break;
	case REPLY_ERROR:
		return STATUS_LOAD_FAILED;
	case REPLY_BUSY:
		return STATUS_BUSY;
	case REPLY_LEASE_LOST:
		return STATUS_LEASE_LOST;
	case REPLY_TOO_BIG:
		return STATUS_TOO_BIG;
	}
	return STATUS_OK;
}

static struct got got_of(struct daemon *d, const struct effect *f)
{
	static const enum event_outcome outcome[] = {
	        [OUTCOME_HIT] = EVENT_HIT,   [OUTCOME_GRACE] = EVENT_GRACE,
	        [OUTCOME_MISS] = EVENT_MISS, [OUTCOME_JOINED] = EVENT_MISS,
	        [OUTCOME_SET] = EVENT_MISS,  [OUTCOME_CHANGED] = EVENT_MISS};
	struct instant now = clock_now(&d->clock);
	struct got g = {.outcome = outcome[f->reply.outcome],
	                .found = f->reply.status == REPLY_OK,
	                .endpoint = f->endpoint,
	                .age_s = NAN,
	                .ttl_s = NAN,
	                .lease = f->reply.lease,
	                .status = status_of(f)};

	if (!g.found)
		return g;
	g.value = f->reply.value;
	if (f->reply.packed && !unpack_value(&d->unpack, f->reply.value, &g.value)) {
		g.found = false;
		g.status = STATUS_LOAD_FAILED;
		return g;
	}
	g.version = f->reply.version;
	if (instant_is_set(f->reply.loaded))
		g.age_s = span_s(instant_diff(now, f->reply.loaded));
	if (instant_is_set(f->reply.soft))
		g.ttl_s = span_s(instant_diff(f->reply.soft, now));
	return g;
}

static void end_call(struct daemon *d, struct call *c)
{
	struct pack p;

	pack_init(&p, reply_limit(d));
	if (c->part) { /* mget: each key has a status of its own */
		reply_start(&p, c->id, c->has_id);
		pack_array(&p, c->n);
		for (uint32_t i = 0; i < c->n; i++)
			pack_raw(&p, c->part[i]);
	} else if (c->status) {
		reply_error(&p, c->id, c->has_id, c->status, *c->text ? c->text : NULL);
	} else {
		reply_count(&p, c->id, c->has_id, c->count);
	}
	send(d, &c->peer, &p, c->id, c->has_id);
	pack_release(&p);
	for (uint32_t i = 0; c->part && i < c->n; i++)
		free((void *)(uintptr_t)c->part[i].p);
	free(c->part);
	free(c);
}

/* What the origin said, for who asked: printable, and cut to fit into buf of ERROR_TEXT bytes. */
static const char *error_text(struct bytes error, char *buf)
{
	char *text = text_printable(error);
	size_t n = strlen(text);

	if (n < ERROR_TEXT) {
		memcpy(buf, text, n + 1);
	} else {
		n = ERROR_TEXT - 4;
		while (n && ((unsigned char)text[n] & 0xc0) == 0x80) /* not within a character */
			n--;
		memcpy(buf, text, n);
		memcpy(buf + n, "...", 4);
	}
	free(text);
	return buf;
}

/* get and lease: one key, answered as a map. */
static void on_got(struct daemon *d, void *arg, uint32_t part, const struct effect *f)
{
	struct call *c = arg;
	struct got g = got_of(d, f);
	char text[ERROR_TEXT];
	struct pack p;

	(void)part;
	if (g.status) {
		send_error(d, &c->peer, c->id, c->has_id, g.status,
		           error_text(f->reply.error, text));
	} else {
		pack_init(&p, reply_limit(d));
		reply_start(&p, c->id, c->has_id);
		got_write(&p, &g);
		send(d, &c->peer, &p, c->id, c->has_id);
		pack_release(&p);
	}
	free(c);
}

static void on_mgot(struct daemon *d, void *arg, uint32_t part, const struct effect *f)
{
	struct call *c = arg;
	struct got g;
	struct pack p;

	/*
	 * one that is too long already is refused: no more is copied or decoded, as a key may stand
	 * there often
	 */
	if (c->bytes <= reply_limit(d)) {
		g = got_of(d, f);
		pack_init(&p, reply_limit(d));
		got_write(&p, &g);
		if (pack_status(&p)) {
			g = (struct got){.outcome = EVENT_MISS,
			                 .age_s = NAN,
			                 .ttl_s = NAN,
			                 .status = STATUS_TOO_BIG};
			pack_reset(&p);
			got_write(&p, &g);
		}
		c->part[part].p = pack_take(&p, &c->part[part].n);
		c->bytes += c->part[part].n;
		pack_release(&p);
	}
	if (--c->left == 0)
		end_call(d, c);
}

/* prewarm: {"count": n}; a dry run: the keys, in the order in which they would be loaded. */
static void on_prewarm(struct daemon *d, void *arg, uint32_t part, const struct effect *f)
{
	struct call *c = arg;
	struct pack p;

	(void)part;
	if (f->reply.count == TICKET_MORE && f->reply.error.n) {
		pack_map(&c->skipped, 2);
		pack_text(&c->skipped, "key");
		pack_key(&c->skipped, f->key);
		pack_text(&c->skipped, "reason");
		pack_str(&c->skipped, f->reply.error);
		c->n_skipped++;
		return;
	}
	if (f->reply.count == TICKET_MORE) {
		pack_key(&c->list, f->key);
		c->count++;
		return;
	}
	pack_init(&p, reply_limit(d));
	if (status_of(f)) {
		reply_error(&p, c->id, c->has_id, status_of(f), NULL);
	} else if (c->dry_run) {
		reply_start(&p, c->id, c->has_id);
		if (c->reasons) {
			pack_map(&p, 2);
			pack_text(&p, "keys");
		}
		pack_array(&p, (uint32_t)c->count);
		pack_raw(&p, pack_bytes(&c->list));
		p.status = p.status ? p.status : pack_status(&c->list);
		if (c->reasons) {
			pack_text(&p, "skipped");
			pack_array(&p, (uint32_t)c->n_skipped);
			pack_raw(&p, pack_bytes(&c->skipped));
			p.status = p.status ? p.status : pack_status(&c->skipped);
		}
	} else {
		reply_count(&p, c->id, c->has_id, f->reply.count);
	}
	send(d, &c->peer, &p, c->id, c->has_id);
	pack_release(&p);
	pack_release(&c->list);
	pack_release(&c->skipped);
	free(c);
}

/* Its size was within the limits of a message: the segment is too small for it, or for one key more. */
static void say_no_room(const struct daemon *d, struct call *c, uint32_t part)
{
	char where[32] = "";

	if (c->op == OP_MSET)
		snprintf(where, sizeof(where), "pairs[%" PRIu32 "].", part);
	snprintf(c->text, sizeof(c->text),
	         "%s: %svalue: is larger than segment_bytes (%.15g) has room for, or its key is one "
	         "more than limits.max_keys (%.15g): raise it in the configuration",
	         op_name(c->op), where, d->setup->config->segment_bytes,
	         d->setup->config->limits.max_keys);
}

/* set, mset, delete, changed, purge, pause: {"count": n}. */
static void on_done(struct daemon *d, void *arg, uint32_t part, const struct effect *f)
{
	struct call *c = arg;
	int status = status_of(f);

	if (status && !c->status) {
		c->status = status;
		error_text(f->reply.error, c->text);
		if (!*c->text && status == STATUS_TOO_BIG &&
		    (c->op == OP_SET || c->op == OP_MSET))
			say_no_room(d, c, part);
	}
	if (!status && c->op == OP_PURGE && !f->key.n)
		c->count += f->reply.count; /* of an endpoint, or all */
	else if (!status)
		c->count += f->reply.status == REPLY_OK;
	if (--c->left == 0)
		end_call(d, c);
}

/* -- Asking ----------------------------------------------------------------------------------- */

static struct call *call_new(const struct wire_item *i, size_t n)
{
	struct call *c = mem_calloc(1, sizeof(*c));

	c->peer = i->peer;
	c->id = i->request.id;
	c->has_id = i->request.has_id;
	c->op = i->request.op;
	c->n = c->left = (uint32_t)n;
	return c;
}

static void get(struct daemon *d, const struct wire_item *i)
{
	static const enum get_mode mode[] = {
	        [MODE_LOAD] = GET_LOAD, [MODE_LEASE] = GET_LEASE, [MODE_PEEK] = GET_PEEK};
	const struct request *r = &i->request;
	struct input in = {
	        .kind = INPUT_GET, .endpoint = r->endpoint, .get.mode = mode[r->get.mode]};
	size_t n = r->op == OP_MGET ? r->pair.n : 1;
	struct call *c = call_new(i, n);

	if (r->op == OP_MGET)
		c->part = mem_calloc(n ? n : 1, sizeof(*c->part));
	if (!n)
		end_call(d, c);
	for (size_t k = 0; k < n;
	     k++) { /* the last answer frees c, and only the last input can bring it */
		in.key = r->op == OP_MGET ? r->pair.v[k].key : r->key;
		in.ticket = daemon_ticket(d, r->op == OP_MGET ? on_mgot : on_got, c, (uint32_t)k);
		daemon_input(d, &in);
	}
}

/* The caller's wall clock, within what makes sense: not in the future. */
static struct instant read_at(const struct daemon *d, struct instant wall)
{
	if (!instant_is_set(wall))
		return INSTANT_NONE;
	return instant_min((struct instant){wall.us - d->clock.offset.us}, clock_now(&d->clock));
}

/* A set whose large values are put in place, and others compressed, before it is carried out. */
struct placed {
	struct daemon *d;
	struct wire_item *item;
	struct instant came;
	uint64_t *arrival; /* of each key */
	size_t n;
};

static size_t set_keys(const struct request *r)
{
	return r->op == OP_MSET ? r->pair.n : 1;
}

static struct bytes set_key(const struct request *r, size_t k)
{
	return r->op == OP_MSET ? r->pair.v[k].key : r->key;
}

static struct bytes set_value(const struct request *r, size_t k)
{
	return r->op == OP_MSET ? r->pair.v[k].value : r->set.value;
}

/*
 * placed is NULL, or says when it came, and the m of its values that were prepared lie in v, lowest
 * number first.
 */
static void set(struct daemon *d, const struct wire_item *i, const struct placed *placed,
                struct large_value *v, size_t m)
{
	const struct request *r = &i->request;
	struct input in = {.kind = INPUT_SET,
	                   .endpoint = r->endpoint,
	                   .set = {.version = r->set.version,
	                           .lease = r->set.lease,
	                           .ttl = r->set.ttl,
	                           .load = r->set.load,
	                           .read = read_at(d, r->set.read)}};
	size_t n = set_keys(r);
	struct call *c = call_new(i, n);

	/* without a lease and a word about it, the origin was read just before it came */
	if (placed && !r->set.lease && !instant_is_set(in.set.read))
		in.set.read = instant_add(placed->came, (struct span){-r->set.load.us});
	if (!n)
		end_call(d, c);
	for (size_t k = 0; k < n; k++) {
		in.key = set_key(r, k);
		in.set.value = set_value(r, k);
		in.set.arrival = placed ? placed->arrival[k] : 0;
		in.set.room = NULL;
		in.set.packed = NULL;
		if (m && v->number == k) {
			in.set.room = large_room(v);
			in.set.packed = large_packed(v);
			v++;
			m--;
		}
		in.ticket = daemon_ticket(d, on_done, c, (uint32_t)k);
		daemon_input(d, &in);
	}
}

static void placed_free(void *arg)
{
	struct placed *p = arg;

	wire_item_free(&p->item);
	free(p->arrival);
	free(p);
}

static void placed_set(struct daemon *d, void *arg, struct large_value *v, size_t n)
{
	struct placed *p = arg;

	set(d, p->item, p, v, n);
	large_discard(d->large, placed_free, p);
}

/* The daemon ends. */
static void placed_drop(void *arg)
{
	struct placed *p = arg;
	const struct request *r = &p->item->request;

	send_error(p->d, &p->item->peer, r->id, r->has_id, STATUS_BUSY, NULL);
	placed_free(p);
}

/* True: it has values that are large, or to be compressed, which comes first. */
static bool set_is_large(struct daemon *d, struct wire_item *i)
{
	const struct request *r = &i->request;
	VEC(struct large_value) large = {0};
	size_t n = r->op == OP_SET || r->op == OP_MSET ? set_keys(r) : 0;
	struct placed *p;
	int level;

	for (size_t k = 0; k < n; k++)
		if (large_wants(d, r->endpoint, set_key(r, k), set_value(r, k).n, &level))
			*vec_push(&large) = (struct large_value){.value = set_value(r, k),
			                                         .key_bytes = set_key(r, k).n,
			                                         .number = (uint32_t)k,
			                                         .level = level};
	if (!large.n)
		return false;
	p = mem_calloc(1, sizeof(*p));
	*p = (struct placed){.d = d, .item = i, .came = clock_now(&d->clock), .n = n};
	p->arrival = mem_calloc(n, sizeof(*p->arrival));
	for (size_t k = 0; k < n; k++) {
		p->arrival[k] =
		        engine_arrived(d->engine, p->came, r->endpoint, set_key(r, k), &d->fx);
		daemon_effects(d);
	}
	large_put(d->large, large.v, large.n, n, placed_set, placed_drop, p);
	vec_free(&large);
	return true;
}

/* Operations that are one input with one answer. */
static void simple(struct daemon *d, const struct wire_item *i, struct input *in)
{
	in->ticket = daemon_ticket(d, on_done, call_new(i, 1), 0);
	daemon_input(d, in);
}

/* The holder of a lease could not load. */
static void give_up_lease(struct daemon *d, const struct wire_item *i)
{
	const struct request *r = &i->request;
	struct input in = {
	        .kind = INPUT_LOADED,
	        .key = r->key,
	        .loaded = {.job = r->get.failed,
	                   .status = LOADED_ERROR,
	                   .last_modified = INSTANT_NONE,
	                   .error = bytes_str("the app that held the lease could not load")}};

	simple(d, i, &in);
}

static void prewarm(struct daemon *d, const struct wire_item *i)
{
	const struct request *r = &i->request;
	struct call *c = call_new(i, 1);
	struct input in = {.kind = INPUT_PREWARM,
	                   .prewarm = {.pattern = r->key,
	                               .max_keys = r->prewarm.max_keys,
	                               .dry_run = r->prewarm.dry_run}};

	c->dry_run = r->prewarm.dry_run;
	c->reasons = r->prewarm.reasons;
	pack_init(&c->list, reply_limit(d));
	pack_init(&c->skipped, reply_limit(d));
	in.ticket = daemon_ticket(d, on_prewarm, c, 0);
	daemon_input(d, &in);
}

static void pause_or_resume(struct daemon *d, const struct wire_item *i)
{
	const struct request *r = &i->request;
	struct instant now = clock_now(&d->clock);
	struct input in = {.kind = INPUT_PAUSE};

	in.pause.what = (r->pause.what & REQUEST_LEARNING ? PAUSE_LEARNING : 0) |
	                (r->pause.what & REQUEST_PREFETCH ? PAUSE_PREFETCH : 0);
	in.pause.until = r->op == OP_RESUME     ? now
	                 : r->pause.for_.us > 0 ? instant_add(now, r->pause.for_)
	                                        : INSTANT_NEVER;
	log_line(LOG_INFO, r->op == OP_PAUSE ? "pause" : "resume", "learning=%d prefetch=%d",
	         !!(in.pause.what & PAUSE_LEARNING), !!(in.pause.what & PAUSE_PREFETCH));
	simple(d, i, &in);
}

/* -- Events ----------------------------------------------------------------------------------- */

static const enum outcome outcome_of[EVENT_OUTCOMES] = {[EVENT_HIT] = OUTCOME_HIT,
                                                        [EVENT_GRACE] = OUTCOME_GRACE,
                                                        [EVENT_MISS] = OUTCOME_MISS,
                                                        [EVENT_SET] = OUTCOME_SET,
                                                        [EVENT_CHANGED] = OUTCOME_CHANGED};

/* Within the window that the limits set? If not, *ret_why names the limit. */
static bool in_time(const struct daemon *d, struct instant at, char *why, size_t cap)
{
	const struct engine_limits *l = &d->setup->config->limits;
	double age_s = span_s(instant_diff(clock_now(&d->clock), at));

	if (age_s > l->event_past)
		snprintf(why, cap, "time_s: %.3f s in the past, the limit (event_past) is %.15g s",
		         age_s, l->event_past);
	else if (-age_s > l->event_future)
		snprintf(why, cap,
		         "time_s: %.3f s in the future, the limit (event_future) is %.15g s",
		         -age_s, l->event_future);
	else
		return true;
	return false;
}

/* Gives how many were taken; what was wrong with the others is added to e. */
static size_t take_events(struct daemon *d, struct events *e)
{
	char why[PROTO_ERROR_BYTES];
	size_t taken = 0;

	for (size_t k = 0; k < e->list.n; k++) {
		const struct event *v = &e->list.v[k];
		struct input in = {.kind = INPUT_EVENT,
		                   .endpoint = v->endpoint,
		                   .key = v->key,
		                   .event = {.outcome = outcome_of[v->outcome],
		                             .at = v->at,
		                             .count = v->count,
		                             .value_bytes = v->value_bytes,
		                             .load = v->load,
		                             .version = v->version}};

		if (instant_is_set(v->at)) {
			in.event.at.us -= d->clock.offset.us;
			if (!in_time(d, in.event.at, why, sizeof(why))) {
				if (e->refused < EVENTS_MAX_SAID) {
					e->said[e->refused].index = k;
					memcpy(e->said[e->refused].why.text, why, sizeof(why));
				}
				e->refused++;
				continue;
			}
		}
		daemon_input(d, &in);
		taken++;
	}
	d->count.events_read += taken;
	return taken;
}

/* Whoever sent bad events hears of it on notices: PUSH has no way back. */
static void report_refused(struct daemon *d, size_t refused, const char *text)
{
	struct row_notice n = {
	        .what = bytes_str("refused"), .count = refused, .text = bytes_str(text)};

	d->count.events_refused += refused;
	log_line(LOG_NOTICE, "bad_event", "count=%zu why=\"%s\"", refused, text);
	daemon_notice(d, &n);
}

static void events(struct daemon *d, struct wire_item *i)
{
	if (i->status) {
		report_refused(d, 1, i->error.text);
		return;
	}
	take_events(d, &i->events);
	if (i->events.refused)
		report_refused(d, i->events.refused, i->events.said[0].why.text);
}

static void event_op(struct daemon *d, struct wire_item *i)
{
	struct request *r = &i->request;
	size_t taken = take_events(d, &r->events);
	struct pack p;

	if (r->events.refused)
		report_refused(d, r->events.refused, r->events.said[0].why.text);
	pack_init(&p, reply_limit(d));
	reply_start(&p, r->id, r->has_id);
	events_write_result(&p, &r->events, taken, r->events.refused);
	send(d, &i->peer, &p, r->id, r->has_id);
	pack_release(&p);
}

/* -- Requests --------------------------------------------------------------------------------- */

static void question(struct daemon *d, const struct wire_item *i)
{
	const struct request *r = &i->request;
	char text[200] = "";
	struct pack p;
	int status;

	pack_init(&p, reply_limit(d));
	reply_start(&p, r->id, r->has_id);
	status = query_answer(d, r, &p, text, sizeof(text));
	if (status) {
		pack_reset(&p);
		reply_error(&p, r->id, r->has_id, status, *text ? text : NULL);
	}
	send(d, &i->peer, &p, r->id, r->has_id);
	pack_release(&p);
}

/* An answer for which a worker was needed. */
static void answer_later(struct daemon *d, void *arg, int status, const char *text,
                         struct bytes result)
{
	struct call *c = arg;
	struct pack p;

	if (status) {
		send_error(d, &c->peer, c->id, c->has_id, status, text);
	} else {
		pack_init(&p, reply_limit(d));
		reply_start(&p, c->id, c->has_id);
		pack_raw(&p, result);
		send(d, &c->peer, &p, c->id, c->has_id);
		pack_release(&p);
	}
	free(c);
}

/* A rule is read by a worker: files and years take their time. */
static void add_schedule(struct daemon *d, const struct wire_item *i)
{
	struct call *c = mem_calloc(1, sizeof(*c));
	char text[300] = "";
	int status;

	*c = (struct call){.peer = i->peer, .id = i->request.id, .has_id = i->request.has_id};
	status = schedules_add(d->schedules, &i->request, answer_later, c, text, sizeof(text));
	if (status)
		answer_later(d, c, status, text, bytes_of(NULL, 0));
}

static void on_history(struct daemon *d, void *arg, const struct learned_history *h)
{
	char text[ERROR_TEXT] = "";
	struct pack w;
	int status;

	pack_init(&w, reply_limit(d));
	status = query_history(d, h, &w, text, sizeof(text));
	answer_later(d, arg, status, text, pack_bytes(&w));
	pack_release(&w);
}

/* A worker reads it: a disk may take its time. */
static void history(struct daemon *d, const struct wire_item *i)
{
	const struct request *r = &i->request;
	struct call *c = mem_calloc(1, sizeof(*c));
	int rc;

	*c = (struct call){.peer = i->peer, .id = r->id, .has_id = r->has_id};
	rc = learned_history(d->learned, r->endpoint, query_most_rows(d, r), on_history, c);
	if (rc == -ENODEV)
		answer_later(d, c, STATUS_INTERNAL,
		             "there is no file of what was learned; the log says why",
		             bytes_of(NULL, 0));
	else if (rc)
		answer_later(d, c, STATUS_BUSY, "too many ask: try again in a moment",
		             bytes_of(NULL, 0));
}

static void purge(struct daemon *d, struct wire_item *i)
{
	static const enum purge_what what[] = {[PURGE_ONE_KEY] = PURGE_KEY,
	                                       [PURGE_ONE_ENDPOINT] = PURGE_ENDPOINT,
	                                       [PURGE_EVERYTHING] = PURGE_ALL};
	const struct request *r = &i->request;
	struct input in = {
	        .kind = INPUT_PURGE, .endpoint = r->endpoint, .purge.what = what[r->purge.what]};
	char text[LOG_TEXT_BYTES];

	if (r->purge.what == PURGE_ONE_ENDPOINT)
		in.endpoint = r->key;
	else if (r->purge.what == PURGE_ONE_KEY)
		in.key = r->key;
	log_line(LOG_INFO, "purge", "what=%d name=%s", (int)r->purge.what, log_key(r->key, text));
	simple(d, i, &in);
}

/* True: it keeps the item. */
static bool request(struct daemon *d, struct wire_item *i)
{
	const struct request *r = &i->request;
	char text[LOG_TEXT_BYTES];

	d->count.requests++;
	if (i->status) {
		d->count.requests_refused++;
		log_line(LOG_NOTICE, "bad_request", "peer=%s why=\"%s\"",
		         log_key(bytes_of(i->peer.id, i->peer.n), text), i->error.text);
		send_error(d, &i->peer, r->id, r->has_id, i->status, i->error.text);
		return false;
	}
	switch (r->op) {
	case OP_LEASE:
		if (r->get.failed)
			give_up_lease(d, i);
		else
			get(d, i);
		break;
	case OP_GET:
	case OP_MGET:
		get(d, i);
		break;
	case OP_SET:
	case OP_MSET:
		if (set_is_large(d, i))
			return true;
		set(d, i, NULL, NULL, 0);
		break;
	case OP_DELETE:
		simple(d, i,
		       &(struct input){
		               .kind = INPUT_DELETE, .endpoint = r->endpoint, .key = r->key});
		break;
	case OP_CHANGED:
		simple(d, i,
		       &(struct input){.kind = INPUT_CHANGED,
		                       .endpoint = r->endpoint,
		                       .key = r->key,
		                       .changed.version = r->changed.version});
		break;
	case OP_EVENT:
		event_op(d, i);
		break;
	case OP_PREWARM:
		prewarm(d, i);
		break;
	case OP_PURGE:
		purge(d, i);
		break;
	case OP_SCHEDULE_ADD:
		add_schedule(d, i);
		break;
	case OP_HISTORY:
		history(d, i);
		break;
	case OP_PAUSE:
	case OP_RESUME:
		pause_or_resume(d, i);
		break;
	default:
		question(d, i);
		break;
	}
	return false;
}

void requests_take(struct daemon *d, struct wire_item *i)
{
	bool kept = false;

	switch (i->kind) {
	case WIRE_EVENTS:
		events(d, i);
		break;
	case WIRE_REQUEST:
		kept = request(d, i);
		break;
	case WIRE_LOADER:
		kept = loaders_take(d->loaders, i);
		break;
	}
	if (!kept)
		wire_item_free(&i);
}
