/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How many access events a second one app can tell and one daemon can take: at each stage by
 * itself, and through all of them (library, ZeroMQ, decoder, engine).
 */
#include "bench/bench.h"
#include "bench/host.h"

#include "base/hash.h"
#include "base/mem.h"
#include "client/forecache.h"
#include "engine/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEYS      10000u
#define ENDPOINTS 40u
#define BATCH     1000u

static char endpoint[ENDPOINTS][32], key[KEYS][48];

/* Skewed as requests are: half of them go to a hundredth of the keys. */
static unsigned nth_key(size_t i)
{
	uint64_t x = hash_u64(i);

	return (unsigned)(x % 2 ? x / 2 % (KEYS / 100) : x / 2 % KEYS);
}

static struct event nth_event(size_t i)
{
	unsigned k = nth_key(i);

	return (struct event){.at = INSTANT_NONE,
	                      .endpoint = bytes_str(endpoint[k % ENDPOINTS]),
	                      .key = bytes_str(key[k]),
	                      .outcome = i % 10 ? EVENT_HIT : EVENT_SET,
	                      .count = 1,
	                      .value_bytes = 500,
	                      .load = i % 10 ? SPAN_ZERO : SPAN_MS(100),
	                      .version = i % 10 ? 0 : 1 + i / 100000};
}

/* -- Decoding
 * ---------------------------------------------------------------------------------------- */

struct coded {
	struct pack columns, rows;
	struct events events;
	struct message m;
	struct proto_limits limits;
	size_t next;
};

static void make_names(void)
{
	for (unsigned i = 0; i < ENDPOINTS; i++)
		snprintf(endpoint[i], sizeof(endpoint[i]), "/e%u/<id>", i);
	for (unsigned i = 0; i < KEYS; i++)
		snprintf(key[i], sizeof(key[i]), "/e%u/%u", i % ENDPOINTS, i);
}

static void pack_events(struct pack *columns, struct pack *rows, size_t n)
{
	struct event *list = mem_calloc(n, sizeof(*list));

	for (size_t i = 0; i < n; i++)
		list[i] = nth_event(i);
	events_write_columns(columns, list, n);
	if (rows)
		events_write_rows(rows, list, n);
	if (pack_status(columns) || (rows && pack_status(rows)))
		bench_die("pack");
	free(list);
}

void bench_pack_events(struct pack *columns, size_t n)
{
	make_names();
	pack_events(columns, NULL, n);
}

static void decode(struct coded *c, const struct pack *from, size_t n)
{
	for (size_t i = 0; i < n; i += BATCH)
		if (events_read(&c->events, &c->m, pack_bytes(from), &c->limits, NULL) ||
		    c->events.list.n != BATCH)
			bench_die("events_read");
}

static void decode_columns(void *arg, size_t n)
{
	struct coded *c = arg;

	decode(c, &c->columns, n);
}

static void decode_rows(void *arg, size_t n)
{
	struct coded *c = arg;

	decode(c, &c->rows, n);
}

/* -- The engine
 * ------------------------------------------------------------------------------------ */

struct brain {
	struct engine *engine;
	struct effects fx;
	struct instant now;
	size_t next;
};

static void take(struct brain *b, const struct event *e)
{
	struct input in = {.kind = INPUT_EVENT, .endpoint = e->endpoint, .key = e->key};

	in.event.outcome = e->outcome == EVENT_HIT     ? OUTCOME_HIT
	                   : e->outcome == EVENT_GRACE ? OUTCOME_GRACE
	                   : e->outcome == EVENT_MISS  ? OUTCOME_MISS
	                   : e->outcome == EVENT_SET   ? OUTCOME_SET
	                                               : OUTCOME_CHANGED;
	in.event.at = e->at;
	in.event.count = e->count;
	in.event.value_bytes = e->value_bytes;
	in.event.load = e->load;
	in.event.version = e->version;
	effects_clear(&b->fx);
	engine_input(b->engine, b->now, &in, &b->fx);
}

/* What is due, as the daemon's loop does between batches. */
static void tick(struct brain *b)
{
	while (!instant_before(b->now, engine_next(b->engine))) {
		effects_clear(&b->fx);
		engine_tick(b->engine, b->now, 0, &b->fx);
		for (size_t i = 0; i < b->fx.list.n; i++)
			if (b->fx.list.v[i].kind == EFFECT_FIT)
				harmonic_data_free(&b->fx.list.v[i].fit.data);
	}
}

/* 20 000 events a second of the engine's time. */
static void think(void *arg, size_t n)
{
	struct brain *b = arg;

	for (size_t i = 0; i < n; i++) {
		struct event e = nth_event(b->next++);

		b->now = instant_add(b->now, SPAN_US(50));
		take(b, &e);
		if (i % BATCH == 0)
			tick(b);
	}
}

static void take_batch(void *arg, const struct event *list, size_t n)
{
	struct brain *b = arg;

	b->now = instant_max(b->now, host_now());
	for (size_t i = 0; i < n; i++)
		take(b, &list[i]);
	tick(b);
}

static void brain_init(struct brain *b)
{
	struct engine_config c = {.seed = 1,
	                          .limits = engine_limits_default(),
	                          .policy = policy_default(),
	                          .origin = ORIGIN_NONE};

	*b = (struct brain){.now = host_now()};
	b->engine = engine_new(&c, NULL, b->now);
	if (!b->engine)
		bench_die("engine_new");
}

static void brain_release(struct brain *b)
{
	engine_free(&b->engine);
	effects_release(&b->fx);
}

/* -- All of it
 * -------------------------------------------------------------------------------------- */

static struct fc_event told(size_t i)
{
	struct event e = nth_event(i);

	return (struct fc_event){.size = sizeof(struct fc_event),
	                         .endpoint = e.endpoint.p,
	                         .key = e.key.p,
	                         .key_bytes = e.key.n,
	                         .outcome = (enum fc_event_outcome)e.outcome,
	                         .count = 1,
	                         .value_bytes = e.value_bytes,
	                         .load_ms = (double)e.load.us / 1000,
	                         .version = e.version};
}

struct teller {
	struct fc *fc;
	size_t next;
	uint64_t dropped;
};

static void tell(void *arg, size_t n)
{
	struct teller *t = arg;

	for (size_t i = 0; i < n; i++) {
		struct fc_event e = told(t->next++);

		t->dropped += fc_event(t->fc, &e) == -ENOBUFS;
	}
}

/* Tells n events as fast as they are taken, and waits until the last has arrived. Events a second.
 */
static double through(struct host *h, struct fc *fc, size_t n)
{
	const struct timespec pause = {0, 100000};
	int64_t start = bench_ns(), limit = start + INT64_C(60000000000);

	for (size_t i = 0; i < n;) {
		struct fc_event e = told(i);

		if (fc_event(fc, &e) == 0)
			i++;
		else
			nanosleep(&pause, NULL);
	}
	while (atomic_load(&h->events) < n) {
		if (bench_ns() > limit) {
			errno = ETIMEDOUT;
			bench_die("events that were told did not arrive");
		}
		nanosleep(&pause, NULL);
	}
	return (double)n / (double)(bench_ns() - start) * 1e9;
}

void bench_events(void)
{
	struct coded c = {.limits = proto_limits_default()};
	struct fc_options o = {.size = sizeof(o), .dir = bench_dir(), .flush_s = 0.01};
	struct brain alone, hosted;
	struct teller t = {0};
	struct host h;
	double columns, rows, engine, call, all;

	make_names();
	pack_init(&c.columns, 1 << 20);
	pack_init(&c.rows, 1 << 20);
	events_init(&c.events);
	message_init(&c.m);
	pack_events(&c.columns, &c.rows, BATCH);
	columns = bench_cpu_ns(decode_columns, &c, 100 * BATCH);
	rows = bench_cpu_ns(decode_rows, &c, 100 * BATCH);

	brain_init(&alone);
	engine = bench_cpu_ns(think, &alone, 100 * BATCH);
	brain_release(&alone);

	brain_init(&hosted);
	host_start(&h, NULL, UINT64_C(64) << 20, take_batch, &hosted);
	if (fc_open(&o, &t.fc))
		bench_die("fc_open");
	all = through(&h, t.fc, 500 * BATCH);
	call = bench_cpu_ns(tell, &t, 20 * BATCH);
	fc_close(&t.fc);
	host_stop(&h);
	brain_release(&hosted);

	bench_title("access events, 10000 keys of 40 endpoints, 1 in 10 a set");
	bench_row("fc_event, the call in the app", call, "ns", 0, NULL);
	bench_row("decode one, columns as libforecache sends them", columns, "ns", columns / engine,
	          "of engine_input");
	bench_row("decode one, rows as a hand-written client sends them", rows, "ns",
	          rows / columns, "x columns");
	bench_row("engine_input, one event", engine, "ns", 0, NULL);
	bench_row("decoder and engine, no event like another", 1e9 / (columns + engine), "/s", 0,
	          NULL);
	bench_row("app to engine, repeats within 10 ms told as one", all, "/s",
	          all * (columns + engine) * 1e-9, "x that");

	pack_release(&c.columns);
	pack_release(&c.rows);
	events_release(&c.events);
	message_release(&c.m);
}
