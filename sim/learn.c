/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/learn.h"

#include "base/bug.h"
#include "base/hash.h"
#include "base/heap.h"
#include "base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const struct span FIT_TAKES = {1000000};

/* So many timers at one instant, and the engine is going round in circles. */
#define MAX_TICKS 1000000u

/* Something under way outside the engine: a load, or a fit when model is set. */
struct errand {
	uint64_t id; /* the engine's job or fit */
	struct harmonic *model;
	int fit_status;
	uint32_t key, version;
	struct instant ends;
};

/* What tells errands apart: jobs and fits are numbered independently. */
struct errand_name {
	uint64_t id, is_fit;
};

struct known_key {
	bool asked;
	uint32_t load_us;      /* of its latest request */
	uint32_t held_version; /* the newest that a load has brought */
	uint64_t held_hash;    /* the same as the engine sees it; 0: no load has ended */
};

struct learn {
	const struct trace *trace;
	const struct learn_options *o;
	struct score *score;
	struct log *log, *predictions; /* NULL: not wanted */
	struct fault *fault;
	int error;

	struct engine *engine;
	struct effects fx;
	struct instant now;
	size_t next_change;
	uint64_t brought; /* as the engine sees it: what the load that ended last has brought */
	struct known_key *key;

	struct intern errand_name; /* struct errand_name -> index of errand */
	VEC(struct errand) errand;
	struct heap ends; /* of errands */
};

struct learn_options learn_options_default(void)
{
	struct learn_options o = {
	        .seed = 1,
	        .policy = policy_default(),
	        .origin = origin_policy_default(),
	        .limits = engine_limits_default(),
	};

	o.origin.timeout = TRACE_MAX_LOAD_MS * 1e-3;
	o.limits.max_key_bytes = TRACE_MAX_KEY_BYTES;
	return o;
}

static struct engine *make_engine(const struct learn_options *o, struct instant now)
{
	struct engine_origin origin = {"recorded", o->origin};
	struct engine_config c = {
	        .seed = o->seed,
	        .limits = o->limits,
	        .policy = o->policy,
	        .origin = 0,
	        .pool = o->pool,
	        .zone = o->zone,
	        .origins = &origin,
	        .n_origins = 1,
	};

	return engine_new(&c, NULL, now);
}

/* The first error stands; the run ends at the next request. */
__attribute__((format(printf, 3, 4))) static void broken(struct learn *l, uint32_t key,
                                                         const char *fmt, ...)
{
	char what[256];
	struct bytes name = key == INTERN_NONE ? bytes_str("?") : intern_name(&l->trace->keys, key);
	va_list ap;

	if (l->error)
		return;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	l->error = fault_set(l->fault, -EPROTO,
	                     "at %.6f, key %.100s: %s (this is a bug of the engine)",
	                     instant_s(l->now), (const char *)name.p, what);
}

/* A version as the engine sees it: never 0, and it shows nothing but whether two are equal. */
static uint64_t version_hash(const struct learn *l, uint32_t key, uint32_t version)
{
	uint64_t h = hash_u64(hash_bytes(intern_name(&l->trace->keys, key), l->o->seed) ^
	                      (version + UINT64_C(1)));

	return h ? h : 1;
}

/* -- Effects ---------------------------------------------------------------------------------- */

static struct bytes errand_bytes(const struct errand_name *n)
{
	return bytes_of(n, sizeof(*n));
}

/* The errand of that name, made when there is none. */
static struct errand *errand_add(struct learn *l, uint64_t id, bool is_fit, struct instant ends)
{
	struct errand_name name = {id, is_fit};
	uint32_t i = intern_add(&l->errand_name, errand_bytes(&name), NULL);
	struct errand *x;

	while (l->errand.n <= i)
		vec_push(&l->errand);
	x = &l->errand.v[i];
	*x = (struct errand){.id = id, .ends = ends};
	heap_set(&l->ends, i, ends);
	return x;
}

static void start_load(struct learn *l, const struct effect *x)
{
	uint32_t key = intern_find(&l->trace->keys, x->key);
	struct errand *load;

	if (key == INTERN_NONE || !l->key[key].asked) {
		broken(l, key, "is loaded although nobody has asked for it");
		return;
	}
	/*
	 * a second load of the same job takes the place of the first, whose value changed meanwhile
	 */
	load = errand_add(l, x->load.job, false, instant_add(l->now, SPAN_US(l->key[key].load_us)));
	load->key = key;
	load->version = trace_version(l->trace, key, l->now);
	score_load(l->score, key, l->now, x->load.reason);
	if (l->log)
		log_load(l->log, key, l->now, x->load.reason, load->version);
}

static void start_fit(struct learn *l, const struct effect *x)
{
	struct harmonic_data *data = x->fit.data;
	struct errand *fit = errand_add(l, x->fit.fit, true, instant_add(l->now, FIT_TAKES));

	fit->model = mem_calloc(1, sizeof(*fit->model));
	fit->fit_status = harmonic_fit(data, fit->model);
	harmonic_data_free(&data);
}

static void answer(struct learn *l, size_t request, enum outcome o, uint32_t version,
                   struct span wait)
{
	uint32_t key = l->trace->key.v[request];

	score_answer(l->score, request, o, version, wait);
	if (l->log)
		log_answer(l->log, key, l->now, o, version);
}

/* A request waits: it will get what the load under way has read. */
static void begin_wait(struct learn *l, const struct effect *x)
{
	struct errand_name name = {x->wait.job, false};
	uint32_t i = intern_find(&l->errand_name, errand_bytes(&name));
	uint32_t key = l->trace->key.v[x->ticket - 1];

	if (i == INTERN_NONE)
		broken(l, key, "a request waits for a load that was not started");
	else if (l->errand.v[i].key != key)
		broken(l, key, "a request waits for a load of another key");
	else
		answer(l, x->ticket - 1, x->wait.outcome, l->errand.v[i].version,
		       instant_diff(l->errand.v[i].ends, l->now));
}

static void take_reply(struct learn *l, const struct effect *x)
{
	size_t request = x->ticket - 1;
	uint32_t key = l->trace->key.v[request];
	const struct known_key *k = &l->key[key];
	bool hit = x->reply.outcome == OUTCOME_HIT || x->reply.outcome == OUTCOME_GRACE;

	if (x->reply.status != REPLY_OK)
		broken(l, key, "request %zu got reply status %d", request, x->reply.status);
	else if (!k->held_hash ||
	         (x->reply.version != k->held_hash && (hit || x->reply.version != l->brought)))
		broken(l, key, "request %zu got a version that the last load did not bring",
		       request);
	else if (hit)
		answer(l, request, x->reply.outcome, k->held_version, SPAN_ZERO);
	/* misses and those who joined were answered when they began to wait */
}

static void carry_out(struct learn *l)
{
	for (size_t i = 0; i < l->fx.list.n; i++) {
		const struct effect *x = &l->fx.list.v[i];

		switch (x->kind) {
		case EFFECT_LOAD:
			start_load(l, x);
			break;
		case EFFECT_FIT:
			start_fit(l, x);
			break;
		case EFFECT_WAIT:
			begin_wait(l, x);
			break;
		case EFFECT_REPLY:
			if (x->ticket)
				take_reply(l, x);
			break;
		case EFFECT_NOTICE:
			break;
		}
	}
	effects_clear(&l->fx);
}

/* -- Inputs ----------------------------------------------------------------------------------- */

static void put_in(struct learn *l, const struct input *in)
{
	engine_input(l->engine, l->now, in, &l->fx);
	carry_out(l);
}

/* What the engine says of the value that has just come, before anything else happens. */
static void note_prediction(struct learn *l, uint32_t key)
{
	struct why w;

	if (engine_why(l->engine, l->now, intern_name(&l->trace->keys, key), &w) && w.resident)
		log_prediction(l->predictions, key, w.last_load, w.row.ttl_s, w.p_stale_at_end,
		               w.change_rate_mean.n);
}

static void end_errand(struct learn *l, uint32_t i)
{
	struct errand x = l->errand.v[i];
	struct input in = {.kind = INPUT_FITTED};

	intern_remove(&l->errand_name, i);
	if (x.model) {
		in.fitted.fit = x.id;
		in.fitted.status = x.fit_status;
		in.fitted.model = *x.model;
		free(x.model);
		put_in(l, &in);
	} else {
		struct known_key *k = &l->key[x.key];

		l->brought = version_hash(l, x.key, x.version);
		/* of two loads under way, one from before a change, the older may end last */
		if (!k->held_hash || x.version >= k->held_version) {
			k->held_version = x.version;
			k->held_hash = l->brought;
		}
		in = (struct input){.kind = INPUT_LOADED};
		in.loaded.job = x.id;
		in.loaded.status = LOADED_OK;
		in.loaded.version = l->brought;
		in.loaded.value = bytes_of(&l->brought, sizeof(l->brought));
		in.loaded.last_modified = INSTANT_NONE;
		put_in(l, &in);
		if (l->predictions)
			note_prediction(l, x.key);
	}
}

/*
 * The next change that is delivered as an event: of a pushed endpoint, and of a key that is known.
 */
static struct instant next_event(struct learn *l, struct instant until)
{
	const struct trace *t = l->trace;

	if (!l->o->push)
		return INSTANT_NEVER;
	for (; l->next_change < t->change.n && t->change.v[l->next_change].at.us <= until.us;
	     l->next_change++) {
		uint32_t key = t->change.v[l->next_change].key;

		if (l->key[key].asked && l->o->push[t->endpoint.v[key]])
			return t->change.v[l->next_change].at;
	}
	return INSTANT_NEVER;
}

static void push_event(struct learn *l)
{
	uint32_t key = l->trace->change.v[l->next_change++].key;
	struct input in = {
	        .kind = INPUT_CHANGED,
	        .endpoint = intern_name(&l->trace->endpoints, l->trace->endpoint.v[key]),
	        .key = intern_name(&l->trace->keys, key),
	};

	put_in(l, &in);
}

/* Lets happen what happens up to `until`, that instant included. */
static void advance(struct learn *l, struct instant until)
{
	unsigned ticks = 0;

	while (!l->error) {
		struct instant event = next_event(l, until), end = heap_next(&l->ends), t;
		struct instant timer = engine_next(l->engine);
		uint32_t i;

		t = instant_min(event, instant_min(end, timer));
		if (t.us > until.us)
			break;
		ticks = t.us > l->now.us ? 0 : ticks;
		l->now = instant_max(l->now, t);
		if (event.us == t.us) {
			push_event(l);
		} else if (heap_pop(&l->ends, t, &i)) {
			end_errand(l, i);
		} else {
			engine_tick(l->engine, l->now, 0, &l->fx);
			carry_out(l);
			if (++ticks > MAX_TICKS)
				broken(l, INTERN_NONE, "a timer is due again and again");
		}
	}
	l->now = until;
}

static void ask(struct learn *l, size_t i)
{
	const struct trace *t = l->trace;
	uint32_t key = t->key.v[i];
	struct input in = {
	        .kind = INPUT_GET,
	        .ticket = i + 1, /* 0 would mean that no reply is wanted */
	        .endpoint = intern_name(&t->endpoints, t->endpoint.v[key]),
	        .key = intern_name(&t->keys, key),
	        .get.mode = GET_LOAD,
	};

	l->key[key].asked = true;
	l->key[key].load_us = t->load_us.v[i];
	put_in(l, &in);
}

static void begin_taught(struct learn *l)
{
	const struct trace *t = l->trace;

	l->error = l->o->taught(l->o->taught_arg, l->engine, l->now, l->fault);
	for (size_t i = t->at.n; i-- > 0;) {
		l->key[t->key.v[i]].asked = true;
		l->key[t->key.v[i]].load_us = t->load_us.v[i];
	}
}

static void set_schedules(struct learn *l)
{
	for (size_t i = 0; i < l->o->n_schedules; i++) {
		const struct learn_schedule *s = &l->o->schedule[i];
		struct input in = {.kind = INPUT_SCHEDULE};

		in.schedule.name = bytes_str(s->name);
		in.schedule.pattern = bytes_str(s->pattern);
		in.schedule.at = s->at;
		in.schedule.n_at = s->n;
		put_in(l, &in);
	}
}

int learn_run(const struct trace *t, const struct learn_options *o, struct score *score,
              struct log *log, struct pace *pace, struct fault *reterr)
{
	struct learn l = {
	        .trace = t, .o = o, .score = score, .log = log, .fault = reterr, .now = t->at.v[0]};
	size_t i, looks = 0;
	struct fault second;
	int closed;

	if (o->predictions_path) {
		l.predictions = log_open(o->predictions_path, t, "learn", o->seed, reterr);
		if (!l.predictions)
			return -EIO;
	}
	l.engine = make_engine(o, l.now);
	l.key = mem_calloc(t->keys.n_ids, sizeof(*l.key));
	if (o->taught)
		begin_taught(&l);
	intern_init(&l.errand_name, 0);
	set_schedules(&l);
	for (i = 0; i < t->at.n && !l.error && pace_on(pace, i); i++) {
		advance(&l, t->at.v[i]);
		for (; looks < o->n_looks && o->look[looks].us <= l.now.us; looks++)
			o->looked(o->looked_arg, looks, l.engine, l.now);
		if (!l.error)
			ask(&l, i);
	}
	if (!l.error && i < t->at.n)
		l.error = -EINTR;
	if (!l.error && o->learned)
		engine_export(l.engine, l.now, o->learned, o->learned_arg);
	for (; !l.error && looks < o->n_looks; looks++)
		o->looked(o->looked_arg, looks, l.engine, l.now);
	for (uint32_t j = 0; j < l.errand.n; j++)
		if (intern_is_live(&l.errand_name, j))
			free(l.errand.v[j].model);
	engine_free(&l.engine);
	effects_release(&l.fx);
	intern_release(&l.errand_name);
	heap_release(&l.ends);
	vec_free(&l.errand);
	free(l.key);
	/* the first fault is the one to tell */
	closed = log_close(&l.predictions, l.error ? &second : reterr);
	return l.error ? l.error : closed;
}

/* Asks the engine for each such key, and reads off the reply where it put it. */
void learn_name_endpoints(struct trace *t, const struct learn_options *o)
{
	uint32_t unnamed = intern_find(&t->endpoints, bytes_of(NULL, 0));
	struct engine *e;
	struct effects fx = {0};

	if (unnamed == INTERN_NONE)
		return;
	e = make_engine(o, t->at.v[0]);
	for (uint32_t k = 0; k < t->keys.n_ids; k++) {
		struct input in = {.kind = INPUT_GET, .ticket = 1, .key = intern_name(&t->keys, k)};

		if (t->endpoint.v[k] != unnamed)
			continue;
		in.get.mode = GET_PEEK;
		engine_input(e, t->at.v[0], &in, &fx);
		for (size_t i = 0; i < fx.list.n; i++)
			if (fx.list.v[i].kind == EFFECT_REPLY && fx.list.v[i].endpoint.n)
				t->endpoint.v[k] =
				        intern_add(&t->endpoints, fx.list.v[i].endpoint, NULL);
		effects_clear(&fx);
	}
	effects_release(&fx);
	engine_free(&e);
}
