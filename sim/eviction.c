/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/eviction.h"

#include "base/hash.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "sim/pace.h"
#include "sim/source.h"
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Keys are shown to the engine as their hash, so that all entries have one size. */
#define KEY_BYTES 8

static const struct span BETWEEN = {1000};
static const struct instant START = {INT64_C(1600000000) * 1000000};

/* A segment in plain memory. */
struct segment {
	void *mem;
	struct store *store;
	uint8_t *value;
	size_t value_bytes;
};

static void segment_release(struct segment *g)
{
	store_release(&g->store);
	free(g->mem);
	free(g->value);
	*g = (struct segment){0};
}

/* An empty store of so many bytes. False when there is no memory. */
static bool segment_make(struct segment *g, uint64_t bytes)
{
	struct store_clock clock = {0, START, 1, 0};

	store_release(&g->store);
	free(g->mem);
	g->mem = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
	if (g->mem)
		store_create(g->mem, bytes, 1, clock, &g->store);
	return g->store != NULL;
}

/* How many entries fit. The store is full of them afterwards. */
static uint64_t fill(struct segment *g)
{
	struct store_item item = {
	        .value = bytes_of(g->value, g->value_bytes),
	        .version = 1,
	        .loaded = START,
	        .soft = INSTANT_NEVER,
	        .hard = INSTANT_NEVER,
	        .max_age = SPAN_MAX,
	};
	uint64_t n = 0, key;
	uint32_t entry;

	for (;; n++) {
		key = hash_u64(n + 1);
		item.key = bytes_of(&key, KEY_BYTES);
		if (store_put(g->store, &item, &entry) != 0)
			return n;
	}
}

/*
 * Finds the size of memory that holds exactly so many entries, by trying: it grows or shrinks by
 * what the missing or extra ones take. Entries are large enough that few of them fill the smallest
 * store.
 */
static int segment_for(struct segment *g, uint32_t entries)
{
	uint64_t bytes, n = 0;

	/* the smallest store must be too small for them, or it could not be made to fit */
	g->value_bytes = entries < 1024 ? 4 * STORE_MIN_BYTES / entries : 1024;
	if (entries > 100000)
		g->value_bytes = 192; /* 10,000,000 entries in 2.6 GB */
	g->value = mem_calloc(1, g->value_bytes);
	bytes = STORE_MIN_BYTES + (uint64_t)entries * (g->value_bytes + 80) * 16 / 15;
	for (int i = 0; i < 60; i++) {
		uint64_t footprint, off;

		if (!segment_make(g, bytes))
			return -ENOMEM;
		footprint = store_footprint(g->store, KEY_BYTES, g->value_bytes);
		n = fill(g);
		if (n == entries)
			return segment_make(g, bytes) ? 0 : -ENOMEM;
		off = (n > entries ? n - entries : entries - n) * footprint;
		off -= off % 64;
		bytes = n > entries
		                ? bytes - (off < bytes - STORE_MIN_BYTES ? off
		                                                         : bytes - STORE_MIN_BYTES)
		                : bytes + off;
	}
	return -ERANGE;
}

/* -- The run ---------------------------------------------------------------------------------- */

struct run {
	struct engine *engine;
	struct effects fx;
	struct segment segment;
	struct instant now;
	struct eviction_result *result;
};

/* Ends loads as they start, until the engine has nothing more to say. */
static void carry_out(struct run *r)
{
	uint64_t job[16];
	size_t n = 0;

	for (size_t i = 0; i < r->fx.list.n; i++) {
		struct effect *x = &r->fx.list.v[i];

		if (x->kind == EFFECT_LOAD && n < sizeof(job) / sizeof(job[0]))
			job[n++] = x->load.job;
		else if (x->kind == EFFECT_FIT)
			/* no load ever depends on a forecast here */
			harmonic_data_free(&x->fit.data);
		else if (x->kind == EFFECT_WAIT && x->wait.outcome == OUTCOME_MISS)
			r->result->misses++;
	}
	effects_clear(&r->fx);
	for (size_t i = 0; i < n; i++) {
		struct input in = {.kind = INPUT_LOADED};

		in.loaded.job = job[i];
		in.loaded.status = LOADED_OK;
		in.loaded.version = 1;
		in.loaded.value = bytes_of(r->segment.value, r->segment.value_bytes);
		in.loaded.last_modified = INSTANT_NONE;
		engine_input(r->engine, r->now, &in, &r->fx);
		carry_out(r);
	}
}

static void ask(struct run *r, struct bytes name)
{
	uint64_t hash = hash_bytes(name, 0);
	struct input in = {.kind = INPUT_GET, .ticket = 1, .key = bytes_of(&hash, KEY_BYTES)};

	r->now = instant_add(r->now, BETWEEN);
	if (engine_next(r->engine).us <= r->now.us) {
		engine_tick(r->engine, r->now, 0, &r->fx);
		carry_out(r);
	}
	in.endpoint = bytes_str("keys");
	in.get.mode = GET_LOAD;
	engine_input(r->engine, r->now, &in, &r->fx);
	carry_out(r);
	r->result->requests++;
}

static struct engine *make_engine(const struct eviction *v, struct store *store)
{
	struct engine_origin origin = {"recorded", origin_policy_default()};
	struct engine_config c = {
	        .seed = v->seed,
	        .limits = engine_limits_default(),
	        .policy = policy_default(),
	        .origins = &origin,
	        .n_origins = 1,
	};

	/* nothing ends by time, and nothing is loaded but what is asked for */
	c.policy.ttl = TTL_OBEY;
	c.policy.static_ttl = c.policy.max_age = 31536000;
	c.policy.jitter = 0;
	c.limits.audit_share = 0;
	return engine_new(&c, store, START);
}

int eviction_run(const struct eviction *v, struct eviction_result *ret, struct fault *reterr)
{
	struct run r = {.now = START, .result = ret};
	struct pace pace = {.interrupted = v->interrupted};
	struct source *s = source_open(v->path, reterr);
	struct bytes line;
	int err;

	*ret = (struct eviction_result){0};
	if (!s)
		return -EIO;
	err = segment_for(&r.segment, v->entries);
	if (err < 0) {
		fault_set(reterr, err, "--entries %u: %s", v->entries, strerror(-err));
	} else {
		r.engine = make_engine(v, r.segment.store);
		while ((err = source_line(s, &line, reterr)) > 0 && pace_on(&pace, ret->requests))
			ask(&r, line);
		if (err > 0)
			err = -EINTR;
		if (err == 0 && !ret->requests)
			err = source_fault(s, -ENODATA, reterr, "file", "is empty");
	}
	engine_free(&r.engine);
	effects_release(&r.fx);
	segment_release(&r.segment);
	source_close(&s);
	return err;
}
