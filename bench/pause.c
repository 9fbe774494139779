/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The longest that one operation of the writer takes, with up to ten million entries: what a request
 * that comes meanwhile has to wait. In processor time of the thread, as what else runs on the
 * machine is no pause of ours; the clock's own call is taken off.
 */
#include "bench/bench.h"

#include "base/bug.h"
#include "base/hash.h"
#include "base/mem.h"
#include "engine/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define VALUE                                                                                      \
	190u /* with its key it fills the segment by the time that the index is nearly full, too */
#define START ((struct instant){INT64_C(1800000000000000)})

struct pauses {
	int64_t cost; /* of the clock */
	int64_t worst, over, total;
	uint64_t n;
};

/* Ten million, or what $FC_BENCH_ENTRIES says: a thousand at least. */
static uint64_t wanted(void)
{
	const char *said = getenv("FC_BENCH_ENTRIES");
	uint64_t n = said ? strtoull(said, NULL, 10) : 10000000;

	return n < 1000 ? 1000 : n > 10000000 ? 10000000 : n;
}

static int64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void pauses_init(struct pauses *p)
{
	*p = (struct pauses){.cost = INT64_MAX};
	for (int i = 0; i < 1000; i++) {
		int64_t a = cpu_ns(), b = cpu_ns();

		p->cost = b - a < p->cost ? b - a : p->cost;
	}
}

static void pauses_add(struct pauses *p, int64_t begun)
{
	int64_t took = cpu_ns() - begun - p->cost;

	p->n++;
	p->total += took;
	p->over += took > 100000;
	p->worst = took > p->worst ? took : p->worst;
}

static void pauses_row(const char *what, const struct pauses *p)
{
	char text[96];

	bench_row(what, (double)p->worst * 1e-3, "us", 0, NULL);
	snprintf(text, sizeof(text), "  of %llu, above 100 us", (unsigned long long)p->n);
	bench_row(text, (double)p->over, "", 0, NULL);
}

/* What the machine adds by itself: as many pieces of the same length, of looking at the clock alone. */
static struct pauses nothing(const struct pauses *like)
{
	int64_t piece = like->total / (int64_t)like->n;
	struct pauses p;

	pauses_init(&p);
	while (p.n < like->n) {
		int64_t begun = cpu_ns();

		while (cpu_ns() - begun < piece)
			;
		pauses_add(&p, begun);
	}
	return p;
}

struct writer {
	struct engine *engine;
	struct effects fx;
	struct instant now;
	char value[VALUE];
};

static void set(struct writer *w, uint64_t k, double ttl_s)
{
	char key[32];
	struct input in = {.kind = INPUT_SET,
	                   .endpoint = bytes_str("/quotes/<symbol>"),
	                   .key = bytes_of(key, (size_t)snprintf(key, sizeof(key), "/quotes/%08llx",
	                                                         (unsigned long long)k))};

	in.set.value = bytes_of(w->value, sizeof(w->value));
	in.set.read = INSTANT_NONE;
	in.set.ttl = span_from_s(ttl_s);
	memcpy(w->value, &k, sizeof(k));
	effects_clear(&w->fx);
	engine_input(w->engine, w->now, &in, &w->fx);
}

/* What is due, an item at a time. */
static void ticks(struct writer *w, struct pauses *p)
{
	while (!instant_before(w->now, engine_next(w->engine))) {
		int64_t begun = cpu_ns();

		effects_clear(&w->fx);
		engine_tick(w->engine, w->now, 1, &w->fx);
		pauses_add(p, begun);
		for (size_t i = 0; i < w->fx.list.n; i++)
			if (w->fx.list.v[i].kind == EFFECT_FIT)
				harmonic_data_free(&w->fx.list.v[i].fit.data);
	}
}

/*
 * The same value put in its place beforehand, as the daemon does: what the engine's thread does for it
 * are steps to take room, and the set. Processor time, too, that all steps took together.
 */
static void place(struct writer *w, struct store *s, struct bytes value, struct pauses *p,
                  struct pauses *total)
{
	struct input in = {.kind = INPUT_SET, .key = bytes_str("large")};
	struct store_room room = {0};
	int64_t all = cpu_ns(), begun;
	int rc;

	in.set.value = value;
	in.set.read = INSTANT_NONE;
	in.set.arrival = engine_arrived(w->engine, w->now, in.endpoint, in.key, &w->fx);
	do {
		begun = cpu_ns();
		rc = engine_reserve(w->engine, w->now, in.key.n, value.n, &room);
		pauses_add(p, begun);
	} while (rc == -EAGAIN);
	pauses_add(total, all);
	if (rc)
		bench_die("no room");
	store_fill(s, &room, value.p);
	in.set.room = &room;
	effects_clear(&w->fx);
	w->now.us++;
	begun = cpu_ns();
	engine_input(w->engine, w->now, &in, &w->fx);
	pauses_add(p, begun);
	store_unreserve(s, &room);
}

static void place_all(struct writer *w, struct store *s, char *value, unsigned mib,
                      const char *where)
{
	struct pauses p, total;
	char text[96];

	pauses_init(&p);
	total = p;
	for (int k = 0; k < BENCH_ROUNDS; k++) {
		value[0]++;
		place(w, s, bytes_of(value, (size_t)mib << 20), &p, &total);
	}
	snprintf(text, sizeof(text), "step of a set of %u MiB that a thread fills in, %s", mib,
	         where);
	pauses_row(text, &p);
	bench_row("  all steps to take its room", (double)total.worst * 1e-3, "us", 0, NULL);
}

/* A large value is hashed and copied in one go, or put in its place beforehand. */
static void large(void)
{
	static const unsigned mib[] = {1, 8, 64};
	uint64_t bytes = UINT64_C(256) << 20;
	void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	                 MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	struct engine_config c = {.seed = 1,
	                          .limits = engine_limits_default(),
	                          .policy = policy_default(),
	                          .origin = ORIGIN_NONE};
	struct writer w = {.now = START};
	struct pauses p;
	struct store *s;
	char text[64], *value;

	if (mem == MAP_FAILED ||
	    store_create(mem, bytes, 1, (struct store_clock){0, START, 1, 0}, &s))
		bench_die("store_create");
	c.limits.max_value_bytes = 64 << 20;
	w.engine = engine_new(&c, s, w.now);
	if (!w.engine)
		bench_die("engine_new");
	value = mem_calloc(1, 64u << 20);
	for (size_t i = 0; i < sizeof(mib) / sizeof(mib[0]); i++) {
		struct input in = {.kind = INPUT_SET, .key = bytes_str("large")};
		int64_t begun;

		in.set.value = bytes_of(value, (size_t)mib[i] << 20);
		in.set.read = INSTANT_NONE;
		pauses_init(&p);
		for (int k = 0; k < BENCH_ROUNDS; k++) {
			value[0]++;
			effects_clear(&w.fx);
			w.now.us++;
			begun = cpu_ns();
			engine_input(w.engine, w.now, &in, &w.fx);
			pauses_add(&p, begun);
		}
		snprintf(text, sizeof(text), "set of %u MiB in one go", mib[i]);
		bench_row(text, (double)p.worst * 1e-3, "us", 0, NULL);
		place_all(&w, s, value, mib[i], "where there is room");
	}
	for (size_t i = 0; i < sizeof(mib) / sizeof(mib[0]); i++) {
		for (uint64_t k = 0; k < bytes / 200; k++) {
			w.now.us += 2;
			set(&w, k, 3600);
		}
		place_all(&w, s, value, mib[i], "in a store full of small ones");
	}
	free(value);
	engine_free(&w.engine);
	effects_release(&w.fx);
	store_release(&s);
	munmap(mem, bytes);
}

void bench_pause(void)
{
	struct engine_config c = {.seed = 1,
	                          .limits = engine_limits_default(),
	                          .policy = policy_default(),
	                          .origin = ORIGIN_NONE};
	uint64_t entries = wanted(), bytes = (entries * 240 + (1u << 20)) / 4096 * 4096;
	void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	                 MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	struct store *s;
	struct store_stats st;
	struct engine_stats es;
	struct pauses fill, evict, expire, tick, control;
	struct writer w = {.now = START};
	int64_t begun;

	if (mem == MAP_FAILED)
		bench_die("mmap");
	c.limits.max_keys = (double)(entries + entries / 5);
	c.reserve = true;
	if (store_create(mem, bytes, 1, (struct store_clock){0, START, 1, 0}, &s))
		bench_die("store_create");
	w.engine = engine_new(&c, s, w.now);
	if (!w.engine)
		bench_die("engine_new");
	pauses_init(&fill);
	evict = expire = tick = fill;
	for (uint64_t k = 0; k < entries; k++) {
		w.now.us += 2;
		begun = cpu_ns();
		set(&w, k, k % 2 ? 3600 : 86400);
		pauses_add(&fill, begun);
	}
	store_stats(s, &st);
	/* one that is replaced, one that is new and makes another go */
	for (uint64_t k = 0; k < entries / 10; k++) {
		w.now.us += 2;
		begun = cpu_ns();
		set(&w, k % 2 ? hash_u64(k) % entries : entries + k, 3600);
		pauses_add(&evict, begun);
		if (k % 16 == 0)
			ticks(&w, &tick);
	}
	/* half of them have expired: their room is taken by new ones */
	w.now.us += INT64_C(7200) * 1000000;
	ticks(&w, &tick);
	for (uint64_t k = 0; k < entries / 10; k++) {
		w.now.us += 2;
		begun = cpu_ns();
		set(&w, 2 * entries + k, 3600);
		pauses_add(&expire, begun);
	}
	engine_stats(w.engine, &es);
	if (!es.evicted)
		bench_die("the store was to be full");
	bench_title("the longest single operation of the engine, processor time");
	bench_row("entries held", (double)st.entries, "", 0, NULL);
	pauses_row("set of a new key, from none to all of them", &fill);
	control = nothing(&fill);
	pauses_row("as long, nothing but looking at the clock", &control);
	pauses_row("set of an old and a new key in turn, in a full store", &evict);
	pauses_row("set of a new key where half have expired", &expire);
	pauses_row("timers", &tick);
	bench_row("evicted on the way", (double)es.evicted, "", 0, NULL);
	large();
	engine_free(&w.engine);
	effects_release(&w.fx);
	store_release(&s);
	munmap(mem, bytes);
}
