/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/scenario/world.h"

#include "base/hash.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 2026-11-23 00:00 UTC, a Monday */
static const struct instant MONDAY = {INT64_C(1795392000) * 1000000};

struct engine_config world_config(void)
{
	static const struct engine_origin origin = {"made up", {10000, 10000, 10000, 10}};

	return (struct engine_config){
	        .seed = 7,
	        .limits = engine_limits_default(),
	        .policy = policy_default(),
	        .origins = &origin,
	        .n_origins = 1,
	};
}

void world_init(struct world *w, const struct engine_config *c, uint64_t seed)
{
	*w = (struct world){.config = *c, .start = MONDAY, .now = MONDAY, .load_s = 0.05};
	w->config.seed = seed;
	rng_init(&w->rng, seed);
	rng_init(&w->origin_rng, seed ^ 0x5eed);
	intern_init(&w->names, 0);
	w->e = engine_new(&w->config, NULL, w->now);
}

void world_release(struct world *w)
{
	engine_free(&w->e);
	effects_release(&w->fx);
	vec_free(&w->thing);
	vec_free(&w->errand);
	intern_release(&w->names);
	heap_release(&w->ask);
	heap_release(&w->change);
	heap_release(&w->end);
}

/* The next of a Poisson process, or of a periodic one, after now; NEVER when there is none. */
static struct instant draw(struct world *w, struct rng *g, double per_s, double every,
                           double offset)
{
	double s = span_s(instant_diff(w->now, w->start)) - offset;

	if (every > 0)
		return instant_add(w->start,
		                   span_from_s((floor(s / every + 1e-9) + 1) * every + offset));
	return per_s > 0 ? instant_add(w->now, span_from_s(rng_exponential(g, per_s) + 1e-6))
	                 : INSTANT_NEVER;
}

static void draw_request(struct world *w, uint32_t i)
{
	struct thing *x = &w->thing.v[i];
	struct instant t = draw(w, &w->rng, x->asked_per_s, x->asked_every, x->asked_offset);

	if (t.us < INT64_MAX)
		heap_set(&w->ask, i, t);
	else
		heap_cancel(&w->ask, i);
}

static void draw_change(struct world *w, uint32_t i)
{
	struct thing *x = &w->thing.v[i];
	struct instant t =
	        draw(w, &w->origin_rng, x->changes_per_s, x->changes_every, x->changes_offset);

	if (t.us < INT64_MAX)
		heap_set(&w->change, i, t);
	else
		heap_cancel(&w->change, i);
}

void world_stir(struct world *w, uint32_t i)
{
	draw_request(w, i);
	draw_change(w, i);
}

uint32_t world_add(struct world *w, const char *endpoint, double asked_per_s, double changes_per_s)
{
	uint32_t i = (uint32_t)w->thing.n;
	struct thing *x = vec_push(&w->thing);

	*x = (struct thing){.asked_per_s = asked_per_s, .changes_per_s = changes_per_s};
	x->changed = w->now;
	snprintf(x->endpoint, sizeof(x->endpoint), "%s", endpoint);
	snprintf(x->name, sizeof(x->name), "%s/%u", endpoint, i);
	intern_add(&w->names, bytes_str(x->name), NULL);
	world_stir(w, i);
	return i;
}

void world_change(struct world *w, uint32_t i)
{
	struct thing *x = &w->thing.v[i];

	x->content++;
	if (x->kinds)
		x->content %= x->kinds;
	x->changed = w->now;
}

/* The version that the engine makes of a content: the hash of its bytes. */
static uint64_t version_of(uint64_t content)
{
	return hash_bytes(bytes_of(&content, sizeof(content)), 0) | 1;
}

static void start_load(struct world *w, const struct effect *f)
{
	uint32_t i = intern_find(&w->names, f->key), n = 0;
	struct thing *x = &w->thing.v[i];
	struct errand *r;

	if (w->hook)
		w->hook(w, i, f->load.reason);
	x->n.loads++;
	x->n.by_reason[f->load.reason]++;
	w->n.loads++;
	w->n.by_reason[f->load.reason]++;
	while (n < w->errand.n && w->errand.v[n].job)
		n++;
	if (n == w->errand.n)
		vec_push(&w->errand);
	r = &w->errand.v[n];
	*r = (struct errand){.job = f->load.job,
	                     .thing = i,
	                     .content = x->content,
	                     .modified = x->changed,
	                     .started = w->now,
	                     .by_time = f->load.by_time,
	                     .have = f->load.have,
	                     .reason = f->load.reason};
	heap_set(&w->end, n, instant_add(w->now, span_from_s(w->load_s)));
	if (++w->in_flight > w->most_in_flight)
		w->most_in_flight = w->in_flight;
}

/* Tickets are 1 + the index of a thing. */
static void take_reply(struct world *w, const struct effect *f)
{
	struct thing *x;
	bool old;

	if (!f->ticket || f->ticket > w->thing.n)
		return;
	x = &w->thing.v[f->ticket - 1];
	x->n.requests++;
	w->n.requests++;
	if (f->reply.status == REPLY_ABSENT) {
		x->n.absent++;
		w->n.absent++;
	} else if (f->reply.status != REPLY_OK) {
		x->n.failed++;
		w->n.failed++;
	} else if (f->reply.outcome == OUTCOME_HIT || f->reply.outcome == OUTCOME_GRACE) {
		old = f->reply.version != version_of(x->content);
		x->n.hits++;
		w->n.hits++;
		x->n.stale += old;
		w->n.stale += old;
	}
}

static void note(struct world *w, const struct effect *f)
{
	uint64_t what[4] = {f->kind, (uint64_t)w->now.us, f->ticket, hash_bytes(f->key, 1)};

	if (f->kind == EFFECT_LOAD)
		what[2] = f->load.reason;
	else if (f->kind == EFFECT_REPLY)
		what[2] ^= (uint64_t)f->reply.soft.us ^ f->reply.version;
	w->effects_hash = hash_bytes(bytes_of(what, sizeof(what)), w->effects_hash);
}

static void carry_out(struct world *w)
{
	for (size_t i = 0; i < w->fx.list.n; i++) {
		struct effect *f = &w->fx.list.v[i];

		note(w, f);
		if (f->kind == EFFECT_LOAD)
			start_load(w, f);
		else if (f->kind == EFFECT_REPLY)
			take_reply(w, f);
		else if (f->kind == EFFECT_FIT)
			harmonic_data_free(&f->fit.data); /* nobody fits models here */
	}
	effects_clear(&w->fx);
}

void world_input(struct world *w, const struct input *in)
{
	engine_input(w->e, w->now, in, &w->fx);
	carry_out(w);
}

void world_ask(struct world *w, uint32_t i)
{
	struct thing *x = &w->thing.v[i];
	struct input in = {.kind = INPUT_GET,
	                   .ticket = i + 1,
	                   .endpoint = bytes_str(x->endpoint),
	                   .key = bytes_str(x->name)};

	in.get.mode = GET_LOAD;
	if (w->asked)
		w->asked(w, i);
	world_input(w, &in);
}

static void end_load(struct world *w, uint32_t n)
{
	struct errand r = w->errand.v[n];
	struct thing *x = &w->thing.v[r.thing];
	struct input in = {.kind = INPUT_LOADED};

	w->errand.v[n].job = 0;
	w->in_flight--;
	in.loaded.job = r.job;
	in.loaded.status = x->down ? LOADED_ERROR : x->absent ? LOADED_ABSENT : LOADED_OK;
	in.loaded.value = bytes_of(&r.content, sizeof(r.content));
	in.loaded.last_modified = INSTANT_NONE;
	in.loaded.error = bytes_str("down");
	if (w->answer)
		w->answer(w, &r, &in);
	if (in.loaded.status == LOADED_OK) {
		x->held = true;
		x->held_content = r.content;
		x->read = r.started;
	}
	world_input(w, &in);
}

void world_pass(struct world *w, double s)
{
	struct instant until = instant_add(w->now, span_from_s(s));

	for (;;) {
		struct instant change = heap_next(&w->change), end = heap_next(&w->end);
		struct instant timer = engine_next(w->e), ask = heap_next(&w->ask);
		struct instant t = instant_min(instant_min(change, end), instant_min(timer, ask));
		uint32_t i;

		if (t.us > until.us)
			break;
		w->now = instant_max(w->now, t);
		if (heap_pop(&w->change, t, &i)) {
			world_change(w, i);
			draw_change(w, i);
		} else if (heap_pop(&w->end, t, &i)) {
			end_load(w, i);
		} else if (timer.us <= t.us) {
			engine_tick(w->e, w->now, 0, &w->fx);
			carry_out(w);
		} else if (heap_pop(&w->ask, t, &i)) {
			draw_request(w, i);
			world_ask(w, i);
		}
	}
	w->now = until;
}

struct why world_why(struct world *w, uint32_t i)
{
	struct why y = {0};

	engine_why(w->e, w->now, bytes_str(w->thing.v[i].name), &y);
	return y;
}

void world_count_anew(struct world *w)
{
	w->n = (struct tally){0};
	w->most_in_flight = w->in_flight;
	for (size_t i = 0; i < w->thing.n; i++)
		w->thing.v[i].n = (struct tally){0};
}

struct tally world_tally(const struct world *w, const char *endpoint)
{
	struct tally sum = {0};

	for (size_t i = 0; i < w->thing.n; i++) {
		const struct tally *n = &w->thing.v[i].n;

		if (strcmp(w->thing.v[i].endpoint, endpoint) != 0)
			continue;
		sum.requests += n->requests;
		sum.hits += n->hits;
		sum.stale += n->stale;
		sum.loads += n->loads;
		for (int r = 0; r < LOAD_REASONS; r++)
			sum.by_reason[r] += n->by_reason[r];
		sum.absent += n->absent;
		sum.failed += n->failed;
	}
	return sum;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double quantile(double *v, size_t n, double q)
{
	if (!n)
		return NAN;
	qsort(v, n, sizeof(*v), ascending);
	return v[(size_t)(q * (double)(n - 1) + 0.5)];
}
