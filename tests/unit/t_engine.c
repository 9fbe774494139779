/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/engine.h"

#include "base/hash.h"
#include "base/rng.h"
#include "tests/store_open.h"
#include "tests/store_packed.h"
#include "tests/tap.h"

#include <errno.h>
#include <gsl/gsl_errno.h>
#include <string.h>

static struct rng rng;

/* 2026-11-23 12:00 UTC, a Monday */
static const struct instant NOON = {INT64_C(1795435200) * 1000000};

/* An engine with one origin and a store in plain memory, and the clock it is run by. */
struct bench {
	struct engine *e;
	struct store *store;
	void *mem;
	struct effects fx;
	struct instant now;
	uint64_t ticket;
};

#define STORE_BYTES (4u << 20)

#define PRICE_AT_FIRST 5.0 /* PRICE_START of predictor/price.h */

static struct engine_config config_of(const struct policy *y)
{
	static const struct engine_origin origin = {"api", {100, 100, 50, 10}};
	struct engine_config c = {
	        .seed = 7, .limits = engine_limits_default(), .policy = policy_default()};

	c.limits.audit_share = 0;
	if (y)
		c.policy = *y;
	c.origins = &origin;
	c.n_origins = 1;
	return c;
}

static struct bench bench_new(const struct engine_config *c)
{
	struct bench b = {.now = NOON};

	b.mem = aligned_alloc(4096, STORE_BYTES);
	b.store = created(b.mem, STORE_BYTES, 1, (struct store_clock){0, NOON, 1, 0});
	b.e = engine_new(c, b.store, NOON);
	return b;
}

static struct bench bench_policy(const struct policy *y)
{
	struct engine_config c = config_of(y);

	return bench_new(&c);
}

/* Forgets the effects; nobody fits models here. */
static void clear(struct bench *b)
{
	for (size_t i = 0; i < b->fx.list.n; i++)
		if (b->fx.list.v[i].kind == EFFECT_FIT)
			harmonic_data_free(&b->fx.list.v[i].fit.data);
	effects_clear(&b->fx);
}

static void bench_free(struct bench *b)
{
	clear(b);
	engine_free(&b->e);
	store_release(&b->store);
	effects_release(&b->fx);
	free(b->mem);
}

static void input(struct bench *b, const struct input *in)
{
	clear(b);
	engine_input(b->e, b->now, in, &b->fx);
}

/* Lets time pass, with every tick at its instant. Effects of all of them are kept. */
static void pass(struct bench *b, double s)
{
	struct instant end = instant_add(b->now, span_from_s(s));

	clear(b);
	while (engine_next(b->e).us <= end.us) {
		b->now = instant_max(b->now, engine_next(b->e));
		engine_tick(b->e, b->now, 0, &b->fx);
	}
	b->now = end;
}

/* The i-th effect of that kind, or NULL. */
static struct effect *find(struct bench *b, enum effect_kind kind, size_t i)
{
	for (size_t j = 0; j < b->fx.list.n; j++)
		if (b->fx.list.v[j].kind == kind && i-- == 0)
			return &b->fx.list.v[j];
	return NULL;
}

static uint64_t get(struct bench *b, const char *key, enum get_mode mode)
{
	struct input in = {.kind = INPUT_GET, .ticket = ++b->ticket, .key = bytes_str(key)};

	in.get.mode = mode;
	input(b, &in);
	return b->ticket;
}

static void loaded(struct bench *b, uint64_t job, enum load_status status, const char *value)
{
	struct input in = {.kind = INPUT_LOADED};

	in.loaded.job = job;
	in.loaded.status = status;
	in.loaded.value = bytes_str(value);
	in.loaded.last_modified = INSTANT_NONE;
	in.loaded.error = bytes_str("it broke");
	input(b, &in);
}

/* Asks for the key and answers the load after `s`; the value is then held. */
static void warm(struct bench *b, const char *key, const char *value, double s)
{
	struct effect *load;
	uint64_t job;

	get(b, key, GET_LOAD);
	load = find(b, EFFECT_LOAD, 0);
	if (!load)
		return;
	job = load->load.job;
	pass(b, s);
	loaded(b, job, LOADED_OK, value);
}

static bool replied(struct bench *b, uint64_t ticket, enum reply_status status,
                    enum outcome outcome, const char *value)
{
	struct effect *f;

	for (size_t i = 0; (f = find(b, EFFECT_REPLY, i)); i++)
		if (f->ticket == ticket)
			return f->reply.status == status && f->reply.outcome == outcome &&
			       (!value || bytes_equal(f->reply.value, bytes_str(value)));
	return false;
}

static struct why why(struct bench *b, const char *name)
{
	struct why w;

	engine_why(b->e, b->now, bytes_str(name), &w);
	return w;
}

TEST(a_miss_loads_once_and_everybody_gets_the_value)
{
	struct bench b = bench_policy(NULL);
	uint64_t first, second, third, job;
	struct effect *load;

	first = get(&b, "/quotes/7", GET_LOAD);
	load = find(&b, EFFECT_LOAD, 0);
	OK(load && load->load.reason == LOAD_DEMAND && load->load.origin == 0);
	OK(find(&b, EFFECT_WAIT, 0)->wait.outcome == OUTCOME_MISS);
	job = load->load.job;
	pass(&b, 0.1);
	second = get(&b, "/quotes/7", GET_LOAD);
	OK(!find(&b, EFFECT_LOAD, 0) && find(&b, EFFECT_WAIT, 0)->wait.outcome == OUTCOME_JOINED);
	OK(find(&b, EFFECT_WAIT, 0)->wait.job == job);
	pass(&b, 0.1);
	loaded(&b, job, LOADED_OK, "12.5");
	OK(replied(&b, first, REPLY_OK, OUTCOME_MISS, "12.5"));
	OK(replied(&b, second, REPLY_OK, OUTCOME_JOINED, "12.5"));
	third = get(&b, "/quotes/7", GET_LOAD);
	OK(replied(&b, third, REPLY_OK, OUTCOME_HIT, "12.5"));
	/* age counts from when the origin was read, not from when the answer came */
	OK(find(&b, EFFECT_REPLY, 0)->reply.loaded.us == NOON.us);
	bench_free(&b);
}

TEST(a_load_that_ends_twice_or_for_another_job_does_nothing)
{
	struct bench b = bench_policy(NULL);
	uint64_t job;

	get(&b, "k", GET_LOAD);
	job = find(&b, EFFECT_LOAD, 0)->load.job;
	loaded(&b, job + 1, LOADED_OK, "wrong");
	OK(b.fx.list.n == 0);
	loaded(&b, job, LOADED_OK, "right");
	loaded(&b, job, LOADED_OK, "late");
	OK(b.fx.list.n == 0);
	get(&b, "k", GET_LOAD);
	OK(bytes_equal(find(&b, EFFECT_REPLY, 0)->reply.value, bytes_str("right")));
	bench_free(&b);
}

TEST(what_was_done_with_an_answer_is_not_the_origins_time)
{
	struct bench b = bench_policy(NULL);
	struct input in = {.kind = INPUT_LOADED};

	get(&b, "/k", GET_LOAD);
	in.loaded.job = find(&b, EFFECT_LOAD, 0)->load.job;
	pass(&b, 1);
	in.loaded.value = bytes_str("v");
	in.loaded.last_modified = INSTANT_NONE;
	in.loaded.waited = SPAN_MS(900);
	input(&b, &in);
	OK(fabs(why(&b, "/k").row.load_ms - 100) < 1, "%g", why(&b, "/k").row.load_ms);
	bench_free(&b);
}

TEST(an_error_is_told_when_there_is_nothing_old)
{
	struct bench b = bench_policy(NULL);
	uint64_t t = get(&b, "k", GET_LOAD);

	loaded(&b, find(&b, EFFECT_LOAD, 0)->load.job, LOADED_ERROR, "");
	OK(replied(&b, t, REPLY_ERROR, OUTCOME_MISS, NULL));
	OK(bytes_equal(find(&b, EFFECT_REPLY, 0)->reply.error, bytes_str("it broke")));
	bench_free(&b);
}

TEST(the_old_value_stands_in_for_an_error_until_max_age)
{
	struct policy y = policy_default();
	struct bench b;
	uint64_t t;

	y.max_age = 3600;
	y.ttl = TTL_OBEY;
	y.static_ttl = 60;
	b = bench_policy(&y);
	warm(&b, "k", "old", 0.2);
	pass(&b, 100);
	t = get(&b, "k", GET_LOAD);
	OK(find(&b, EFFECT_LOAD, 0) != NULL, "expired");
	loaded(&b, find(&b, EFFECT_LOAD, 0)->load.job, LOADED_ERROR, "");
	OK(replied(&b, t, REPLY_OK, OUTCOME_GRACE, "old"));
	/* past max_age nothing old is served, whatever happens */
	pass(&b, 3600);
	t = get(&b, "k", GET_LOAD);
	loaded(&b, find(&b, EFFECT_LOAD, 0)->load.job, LOADED_ERROR, "");
	OK(replied(&b, t, REPLY_ERROR, OUTCOME_MISS, NULL));
	bench_free(&b);
}

TEST(no_answer_before_the_deadline_is_an_error)
{
	struct bench b = bench_policy(NULL);
	uint64_t t = get(&b, "k", GET_LOAD);

	pass(&b, 10.5);
	OK(!find(&b, EFFECT_REPLY, 0), "whoever loads has a second to say so himself");
	pass(&b, 1);
	OK(replied(&b, t, REPLY_ERROR, OUTCOME_MISS, NULL));
	bench_free(&b);
}

TEST(what_the_origin_does_not_have_is_remembered_for_a_moment)
{
	struct bench b = bench_policy(NULL);
	uint64_t t = get(&b, "k", GET_LOAD);

	loaded(&b, find(&b, EFFECT_LOAD, 0)->load.job, LOADED_ABSENT, "");
	OK(replied(&b, t, REPLY_ABSENT, OUTCOME_MISS, NULL));
	t = get(&b, "k", GET_LOAD);
	OK(replied(&b, t, REPLY_ABSENT, OUTCOME_HIT, NULL) && !find(&b, EFFECT_LOAD, 0));
	pass(&b, 2);
	get(&b, "k", GET_LOAD);
	OK(find(&b, EFFECT_LOAD, 0) != NULL);
	bench_free(&b);
}

TEST(what_may_not_be_kept_reaches_those_who_wait_only)
{
	struct bench b = bench_policy(NULL);
	uint64_t t = get(&b, "k", GET_LOAD);

	loaded(&b, find(&b, EFFECT_LOAD, 0)->load.job, LOADED_UNCACHEABLE, "secret");
	OK(replied(&b, t, REPLY_OK, OUTCOME_MISS, "secret"));
	get(&b, "k", GET_LOAD);
	OK(find(&b, EFFECT_LOAD, 0) != NULL);
	bench_free(&b);
}

TEST(not_modified_renews_the_value_that_is_held)
{
	struct policy y = policy_default();
	struct bench b;
	struct effect *load;
	uint64_t t;

	y.ttl = TTL_OBEY;
	b = bench_policy(&y);
	warm(&b, "k", "v1", 0.1);
	pass(&b, 80);
	t = get(&b, "k", GET_LOAD);
	load = find(&b, EFFECT_LOAD, 0);
	OK(load->load.have && load->load.version);
	loaded(&b, load->load.job, LOADED_NOT_MODIFIED, "");
	OK(replied(&b, t, REPLY_OK, OUTCOME_MISS, "v1"));
	t = get(&b, "k", GET_LOAD);
	OK(replied(&b, t, REPLY_OK, OUTCOME_HIT, "v1"));
	bench_free(&b);
}

TEST(a_lease_goes_to_one_and_the_others_wait_for_its_value)
{
	struct bench b = bench_policy(NULL);
	struct input set = {.kind = INPUT_SET, .key = bytes_str("k"), .ticket = 1000};
	uint64_t first, second;

	first = get(&b, "k", GET_LEASE);
	OK(replied(&b, first, REPLY_LEASE, OUTCOME_MISS, NULL));
	set.set.lease = find(&b, EFFECT_REPLY, 0)->reply.lease;
	set.set.value = bytes_str("mine");
	set.set.read = INSTANT_NONE;
	second = get(&b, "k", GET_LEASE);
	OK(!find(&b, EFFECT_REPLY, 0));
	pass(&b, 1);
	input(&b, &set);
	OK(replied(&b, second, REPLY_OK, OUTCOME_JOINED, "mine"));
	OK(replied(&b, 1000, REPLY_OK, OUTCOME_SET, NULL));
	input(&b, &set);
	OK(replied(&b, 1000, REPLY_LEASE_LOST, OUTCOME_SET, NULL), "a lease is good for one set");
	bench_free(&b);
}

TEST(a_lease_that_is_not_used_passes_to_the_next)
{
	struct bench b = bench_policy(NULL);
	struct input set = {.kind = INPUT_SET, .key = bytes_str("k"), .ticket = 1000};
	uint64_t second;

	get(&b, "k", GET_LEASE);
	set.set.lease = find(&b, EFFECT_REPLY, 0)->reply.lease;
	set.set.value = bytes_str("late");
	set.set.read = INSTANT_NONE;
	second = get(&b, "k", GET_LEASE);
	pass(&b, 10.5);
	OK(replied(&b, second, REPLY_LEASE, OUTCOME_MISS, NULL));
	input(&b, &set);
	OK(replied(&b, 1000, REPLY_LEASE_LOST, OUTCOME_SET, NULL), "the first holder is too late");
	bench_free(&b);
}

TEST(in_grace_one_caller_gets_the_lease_and_all_get_the_old_value)
{
	struct engine_config c = config_of(NULL);
	struct input set = {.kind = INPUT_SET, .key = bytes_str("k"), .ticket = 1000};
	struct bench b;
	uint64_t t;

	c.origin = ORIGIN_NONE;
	c.policy.ttl = TTL_OBEY;
	c.policy.grace = 60;
	b = bench_new(&c);
	set.set.value = bytes_str("old");
	set.set.ttl = SPAN_S(10);
	set.set.read = INSTANT_NONE;
	input(&b, &set);
	pass(&b, 20);
	t = get(&b, "k", GET_PEEK);
	OK(replied(&b, t, REPLY_OK, OUTCOME_GRACE, "old") &&
	   !find(&b, EFFECT_REPLY, 0)->reply.lease);
	t = get(&b, "k", GET_LEASE);
	OK(replied(&b, t, REPLY_OK, OUTCOME_GRACE, "old"));
	set.set.lease = find(&b, EFFECT_REPLY, 0)->reply.lease;
	OK(set.set.lease);
	t = get(&b, "k", GET_LEASE);
	OK(replied(&b, t, REPLY_OK, OUTCOME_GRACE, "old") &&
	   !find(&b, EFFECT_REPLY, 0)->reply.lease);
	pass(&b, 1);
	set.set.value = bytes_str("new");
	input(&b, &set);
	OK(replied(&b, 1000, REPLY_OK, OUTCOME_SET, NULL));
	t = get(&b, "k", GET_LEASE);
	OK(replied(&b, t, REPLY_OK, OUTCOME_HIT, "new"));
	/* a lease of which nothing comes runs out, and the next one gets it */
	pass(&b, 15);
	get(&b, "k", GET_LEASE);
	OK(find(&b, EFFECT_REPLY, 0)->reply.lease);
	pass(&b, 15);
	t = get(&b, "k", GET_LEASE);
	OK(replied(&b, t, REPLY_OK, OUTCOME_GRACE, "new") &&
	   find(&b, EFFECT_REPLY, 0)->reply.lease);
	bench_free(&b);
}

TEST(a_change_voids_the_lease_that_was_read_before_it)
{
	struct bench b = bench_policy(NULL);
	struct input set = {.kind = INPUT_SET, .key = bytes_str("k"), .ticket = 1000};
	struct input changed = {.kind = INPUT_CHANGED, .key = bytes_str("k")};

	get(&b, "k", GET_LEASE);
	set.set.lease = find(&b, EFFECT_REPLY, 0)->reply.lease;
	set.set.value = bytes_str("read before the change");
	set.set.read = INSTANT_NONE;
	input(&b, &changed);
	input(&b, &set);
	OK(replied(&b, 1000, REPLY_LEASE_LOST, OUTCOME_SET, NULL));
	get(&b, "k", GET_PEEK);
	OK(find(&b, EFFECT_REPLY, 0)->reply.status == REPLY_ABSENT);
	bench_free(&b);
}

/* Of two who load without a lease the one who has read later is right, whoever comes last. */
TEST(what_was_read_before_what_is_held_does_not_take_its_place)
{
	struct bench b = bench_policy(NULL);
	struct input set = {.kind = INPUT_SET, .key = bytes_str("k"), .ticket = 1000};

	set.set.read = INSTANT_NONE;
	set.set.value = bytes_str("read late");
	set.set.load = SPAN_MS(100);
	input(&b, &set);
	set.set.value = bytes_str("read early");
	set.set.load = SPAN_S(5);
	input(&b, &set);
	OK(replied(&b, 1000, REPLY_LEASE_LOST, OUTCOME_SET, NULL));
	get(&b, "k", GET_PEEK);
	OK(replied(&b, b.ticket, REPLY_OK, OUTCOME_HIT, "read late"));
	/* the same value, read early, is no older one */
	set.set.value = bytes_str("read late");
	input(&b, &set);
	OK(replied(&b, 1000, REPLY_OK, OUTCOME_SET, NULL));
	bench_free(&b);
}

/* Nor is what somebody read before it without asking: not of a key that is held, nor of another. */
TEST(what_was_read_before_a_change_is_not_kept_without_a_lease_either)
{
	struct input set = {.kind = INPUT_SET, .key = bytes_str("k"), .ticket = 1000};
	struct input changed = {.kind = INPUT_CHANGED, .key = bytes_str("k")};

	for (int held = 0; held < 2; held++) {
		struct bench b = bench_policy(NULL);

		set.set.value = bytes_str("first");
		set.set.read = INSTANT_NONE;
		set.set.load = SPAN_ZERO;
		if (held)
			input(&b, &set);
		else
			get(&b, "k", GET_PEEK);
		pass(&b, 10);
		input(&b, &changed);
		pass(&b, 1);
		set.set.value = bytes_str("read before the change");
		set.set.load = SPAN_S(2);
		input(&b, &set);
		OK(replied(&b, 1000, REPLY_LEASE_LOST, OUTCOME_SET, NULL));
		get(&b, "k", GET_PEEK);
		OK(find(&b, EFFECT_REPLY, 0)->reply.status == REPLY_ABSENT);
		set.set.value = bytes_str("after");
		set.set.load = SPAN_MS(500);
		input(&b, &set);
		OK(replied(&b, 1000, REPLY_OK, OUTCOME_SET, NULL));
		/* what another one read after that is newer, and stays */
		pass(&b, 10);
		set.set.value = bytes_str("newer");
		set.set.load = SPAN_ZERO;
		input(&b, &set);
		set.set.value = bytes_str("slow");
		set.set.load = SPAN_S(5);
		input(&b, &set);
		OK(replied(&b, 1000, REPLY_LEASE_LOST, OUTCOME_SET, NULL));
		get(&b, "k", GET_PEEK);
		OK(replied(&b, b.ticket, REPLY_OK, OUTCOME_HIT, "newer"));
		bench_free(&b);
	}
}

TEST(who_asked_before_a_change_gets_what_was_read_then_and_it_is_not_kept)
{
	struct bench b = bench_policy(NULL);
	struct input changed = {.kind = INPUT_CHANGED, .key = bytes_str("k")};
	uint64_t t = get(&b, "k", GET_LOAD), job = find(&b, EFFECT_LOAD, 0)->load.job;

	input(&b, &changed);
	loaded(&b, job, LOADED_OK, "before");
	OK(replied(&b, t, REPLY_OK, OUTCOME_MISS, "before"));
	OK(!find(&b, EFFECT_LOAD, 0), "nobody asks for the new value yet");
	get(&b, "k", GET_PEEK);
	OK(find(&b, EFFECT_REPLY, 0)->reply.status == REPLY_ABSENT);
	bench_free(&b);
}

TEST(the_cap_of_a_key_follows_the_objective_unless_it_is_given)
{
	static const double objective[] = {0, 0.01, 0.015, 0.02, 0.03, 0.5};
	static const double cap[] = {0.3, 0.3, 0.3, 0.4, 0.6, 0.95};
	struct policy y = policy_default();

	for (int i = 0; i < 6; i++) {
		y.max_stale = objective[i];
		NEAR(policy_max_stale_key(&y), cap[i], 1e-9);
	}
	y.max_stale_key = 0.07;
	NEAR(policy_max_stale_key(&y), 0.07, 0);
}

TEST(who_asks_after_a_change_does_not_wait_for_a_load_from_before_it)
{
	for (int old_first = 0; old_first < 2; old_first++) {
		struct bench b = bench_policy(NULL);
		struct input changed = {.kind = INPUT_CHANGED, .key = bytes_str("k")};
		uint64_t before = get(&b, "k", GET_LOAD), old = find(&b, EFFECT_LOAD, 0)->load.job;
		uint64_t after, joined, job;

		input(&b, &changed);
		after = get(&b, "k", GET_LOAD);
		job = find(&b, EFFECT_LOAD, 0) ? find(&b, EFFECT_LOAD, 0)->load.job : 0;
		OK(job && job != old, "a load of its own");
		joined = get(&b, "k", GET_LOAD);
		OK(!find(&b, EFFECT_LOAD, 0), "one for all who come after");
		if (old_first) {
			loaded(&b, old, LOADED_OK, "before");
			OK(replied(&b, before, REPLY_OK, OUTCOME_MISS, "before"));
		}
		loaded(&b, job, LOADED_OK, "after");
		OK(replied(&b, after, REPLY_OK, OUTCOME_MISS, "after"));
		OK(replied(&b, joined, REPLY_OK, OUTCOME_JOINED, "after"));
		if (!old_first) {
			loaded(&b, old, LOADED_OK, "before");
			OK(replied(&b, before, REPLY_OK, OUTCOME_MISS, "before"));
		}
		get(&b, "k", GET_PEEK);
		OK(find(&b, EFFECT_REPLY, 0)->reply.status == REPLY_OK &&
		           bytes_equal(find(&b, EFFECT_REPLY, 0)->reply.value, bytes_str("after")),
		   "what came from before the change is not kept");
		bench_free(&b);
	}
}

TEST(a_stray_load_that_fails_is_news_for_those_who_wait_for_it_only)
{
	struct bench b = bench_policy(NULL);
	struct input changed = {.kind = INPUT_CHANGED, .key = bytes_str("k")};
	uint64_t before = get(&b, "k", GET_LOAD), old = find(&b, EFFECT_LOAD, 0)->load.job, job,
	         after, joined;

	input(&b, &changed);
	after = get(&b, "k", GET_LOAD);
	job = find(&b, EFFECT_LOAD, 0)->load.job;
	loaded(&b, old, LOADED_ERROR, "");
	OK(replied(&b, before, REPLY_ERROR, OUTCOME_MISS, NULL));
	OK(why(&b, "k").row.reason != TTL_NEGATIVE, "the key has not failed");
	joined = get(&b, "k", GET_LOAD);
	OK(!find(&b, EFFECT_REPLY, 0), "nor has the load under way");
	loaded(&b, job, LOADED_OK, "after");
	OK(replied(&b, after, REPLY_OK, OUTCOME_MISS, "after"));
	OK(replied(&b, joined, REPLY_OK, OUTCOME_JOINED, "after"));
	bench_free(&b);
}

/* Who can load by itself waits all the same while there is a load: then it is made again for it. */
TEST(who_joins_a_load_from_before_a_change_makes_it_start_again)
{
	struct bench b = bench_policy(NULL);
	struct input changed = {.kind = INPUT_CHANGED, .key = bytes_str("k")};
	uint64_t job, after;
	struct effect *again;

	get(&b, "k", GET_LOAD);
	job = find(&b, EFFECT_LOAD, 0)->load.job;
	input(&b, &changed);
	after = get(&b, "k", GET_LEASE);
	OK(!find(&b, EFFECT_LOAD, 0) && !find(&b, EFFECT_REPLY, 0));
	loaded(&b, job, LOADED_OK, "before");
	again = find(&b, EFFECT_LOAD, 0);
	OK(again && !find(&b, EFFECT_REPLY, 0), "who came after the change does not get this");
	if (again)
		loaded(&b, again->load.job, LOADED_OK, "after");
	OK(replied(&b, after, REPLY_OK, OUTCOME_JOINED, "after"));
	bench_free(&b);
}

/* Its number would be another key's when the stray ends. */
TEST(a_key_with_a_stray_load_is_not_forgotten)
{
	struct input changed = {.kind = INPUT_CHANGED, .key = bytes_str("k")};
	struct engine_config c = config_of(NULL);
	uint64_t before, old, job;
	struct bench b;

	c.limits.max_keys = 16;
	b = bench_new(&c);
	before = get(&b, "k", GET_LOAD);
	old = find(&b, EFFECT_LOAD, 0)->load.job;
	input(&b, &changed);
	get(&b, "k", GET_LOAD);
	job = find(&b, EFFECT_LOAD, 0)->load.job;
	loaded(&b, job, LOADED_OK, "after");
	for (int i = 0; i < 100; i++) {
		char name[16];

		snprintf(name, sizeof(name), "other/%d", i);
		/* asked for more often, so that k would go first */
		for (int n = 0; n < 3; n++)
			warm(&b, name, "x", 0.01);
	}
	loaded(&b, old, LOADED_OK, "before");
	OK(replied(&b, before, REPLY_OK, OUTCOME_MISS, "before"));
	OK(find(&b, EFFECT_REPLY, 0) && bytes_equal(find(&b, EFFECT_REPLY, 0)->key, bytes_str("k")),
	   "of the key that was asked for");
	bench_free(&b);
}

static uint64_t audits_of(double max_stale, bool pushed)
{
	struct policy y = policy_default();
	struct engine_config c;
	struct bench b;
	uint64_t n;

	y.max_stale = max_stale;
	c = config_of(&y);
	c.limits.audit_share = 0.1;
	b = bench_new(&c);
	for (int i = 0; pushed && i < 5; i++) {
		struct input changed = {.kind = INPUT_CHANGED, .key = bytes_str("k")};

		warm(&b, "k", "v", 0.01);
		input(&b, &changed);
	}
	/* never replaced: the price has no reason to move */
	for (int i = 0; i < 20000; i++) {
		struct effect *load;
		uint64_t job;

		get(&b, "k", GET_LOAD);
		load = find(&b, EFFECT_LOAD, 0);
		job = load ? load->load.job : 0;
		pass(&b, 0.1);
		if (job)
			loaded(&b, job, LOADED_OK, "v");
	}
	n = why(&b, "k").audits;
	bench_free(&b);
	return n;
}

TEST(audits_are_rarer_where_stale_hits_are_allowed_or_cannot_be)
{
	uint64_t strict = audits_of(0.02, false), lax = audits_of(0.08, false),
	         pushed = audits_of(0.02, true);

	OK(strict > 1000, "%" PRIu64, strict);
	NEAR((double)lax / (double)strict, 0.25, 0.05);
	NEAR((double)pushed / (double)strict, 0.05, 0.03);
}

TEST(a_change_event_ends_the_value)
{
	struct bench b = bench_policy(NULL);
	struct input changed = {.kind = INPUT_CHANGED, .key = bytes_str("k"), .ticket = 99};

	warm(&b, "k", "v1", 0.1);
	input(&b, &changed);
	OK(replied(&b, 99, REPLY_OK, OUTCOME_CHANGED, NULL));
	get(&b, "k", GET_PEEK);
	OK(find(&b, EFFECT_REPLY, 0)->reply.status == REPLY_ABSENT);
	bench_free(&b);
}

TEST(obey_keeps_to_the_ttl_that_the_app_gives)
{
	struct policy y = policy_default();
	struct input set = {.kind = INPUT_SET, .key = bytes_str("k")};
	struct bench b;

	y.ttl = TTL_OBEY;
	y.jitter = 0.5; /* not for a TTL that the app gave */
	b = bench_policy(&y);
	set.set.value = bytes_str("v");
	set.set.ttl = SPAN_S(30);
	set.set.read = INSTANT_NONE;
	input(&b, &set);
	pass(&b, 29.9);
	get(&b, "k", GET_PEEK);
	OK(find(&b, EFFECT_REPLY, 0)->reply.outcome == OUTCOME_HIT);
	pass(&b, 0.2);
	get(&b, "k", GET_PEEK);
	OK(find(&b, EFFECT_REPLY, 0)->reply.status == REPLY_ABSENT);
	OK(why(&b, "k").row.reason == TTL_CLIENT);
	bench_free(&b);
}

TEST(a_value_set_without_a_word_of_when_it_was_read_is_as_old_as_its_load_was_long)
{
	struct policy y = policy_default();
	struct input set = {.kind = INPUT_SET, .key = bytes_str("k")};
	struct bench b;

	y.ttl = TTL_OBEY;
	y.jitter = 0;
	b = bench_policy(&y);
	set.set.value = bytes_str("v");
	set.set.ttl = SPAN_S(30);
	set.set.load = SPAN_S(5);
	set.set.read = INSTANT_NONE;
	input(&b, &set);
	pass(&b, 24.9);
	get(&b, "k", GET_PEEK);
	OK(find(&b, EFFECT_REPLY, 0)->reply.outcome == OUTCOME_HIT);
	pass(&b, 0.2);
	get(&b, "k", GET_PEEK);
	OK(find(&b, EFFECT_REPLY, 0)->reply.status == REPLY_ABSENT);
	bench_free(&b);
}

TEST(without_anything_to_load_from_learning_never_exceeds_the_apps_ttl)
{
	struct engine_config c = config_of(NULL);
	struct input set = {.kind = INPUT_SET, .key = bytes_str("k")};
	struct bench b;

	c.origin = ORIGIN_NONE;
	b = bench_new(&c);
	for (int i = 0; i < 50; i++) {
		set.set.value = bytes_str("never another");
		set.set.ttl = SPAN_S(20);
		set.set.read = INSTANT_NONE;
		input(&b, &set);
		pass(&b, 60);
	}
	OK(why(&b, "k").row.ttl_s <= 20, "%g", why(&b, "k").row.ttl_s);
	bench_free(&b);
}

/* Plays one key for a while: asked for every `gap` s, its value replaced every `period` s. */
static void play(struct bench *b, const char *key, double gap, double period, double until)
{
	char value[32];
	double at;

	for (at = 0; at < until; at += gap) {
		struct effect *load;
		size_t i = 0;

		get(b, key, GET_LOAD);
		snprintf(value, sizeof(value), "v%.0f",
		         floor(span_s(instant_diff(b->now, NOON)) / period));
		if ((load = find(b, EFFECT_LOAD, 0)))
			loaded(b, load->load.job, LOADED_OK, value);
		pass(b, gap);
		while ((load = find(b, EFFECT_LOAD, i++))) {
			struct effects keep = b->fx;

			b->fx = (struct effects){0};
			snprintf(value, sizeof(value), "v%.0f",
			         floor(span_s(instant_diff(b->now, NOON)) / period));
			loaded(b, load->load.job, LOADED_OK, value);
			effects_release(&b->fx);
			b->fx = keep;
		}
	}
}

TEST(what_never_changes_lives_long_and_what_always_changes_does_not)
{
	struct bench b = bench_policy(NULL);

	play(&b, "/still/1", 10, 1e9, 100000);
	/* no period of which an hour is a multiple: not a timetable */
	play(&b, "/busy/1", 10, 23.7, 100000);
	/* which of many near-equal plans stands at the end is chance: 120 to 450 s were seen */
	OK(why(&b, "/still/1").row.ttl_s > 60, "%g", why(&b, "/still/1").row.ttl_s);
	OK(why(&b, "/busy/1").row.ttl_s < 15, "%g", why(&b, "/busy/1").row.ttl_s);
	NEAR(log(why(&b, "/busy/1").row.change_rate_per_s.mean * 23.7), 0, 0.9);
	bench_free(&b);
}

TEST(complete_change_events_end_lives_and_count_as_fresh)
{
	struct bench b = bench_policy(NULL);
	struct input changed = {.kind = INPUT_CHANGED, .key = bytes_str("/p/1")};
	struct store_item item;

	for (int i = 0; i < 10; i++) {
		char value[16];

		snprintf(value, sizeof(value), "v%d", i);
		warm(&b, "/p/1", value, 0.1);
		pass(&b, 30);
		input(&b, &changed);
		if (find(&b, EFFECT_LOAD, 0))
			loaded(&b, find(&b, EFFECT_LOAD, 0)->load.job, LOADED_OK, value);
	}
	warm(&b, "/p/1", "last", 0.1);
	OK(why(&b, "/p/1").row.reason == TTL_PUSHED);
	NEAR(why(&b, "/p/1").row.ttl_s, 86400, 1e-6);
	store_get(b.store, store_find(b.store, bytes_str("/p/1")), &item);
	OK(item.pushed, "readers must know, should we die");
	/* exact evidence, each change once: one in thirty seconds */
	NEAR(log(why(&b, "/p/1").row.change_rate_per_s.mean * 30), 0, 0.5);
	/* changes that come without an event end the trust */
	play(&b, "/p/1", 3600, 3600, 40 * 86400);
	OK(why(&b, "/p/1").row.reason != TTL_PUSHED);
	store_get(b.store, store_find(b.store, bytes_str("/p/1")), &item);
	OK(!item.pushed);
	bench_free(&b);
}

TEST(bounds_of_the_user_hold)
{
	struct policy y = policy_default();
	struct bench b;

	y.min_ttl = 40;
	y.max_age = 300;
	b = bench_policy(&y);
	play(&b, "/still/1", 10, 1e9, 200000);
	/* asked here: what is refreshed in the next play is answered with the busy key's values */
	NEAR(why(&b, "/still/1").row.ttl_s, 300, 1e-6);
	OK(why(&b, "/still/1").row.reason == TTL_MAX_AGE);
	play(&b, "/busy/1", 10, 5, 20000);
	NEAR(why(&b, "/busy/1").row.ttl_s, 40, 1e-6);
	OK(why(&b, "/busy/1").row.reason == TTL_MIN);
	bench_free(&b);
}

TEST(hot_keys_are_refreshed_before_they_expire)
{
	struct policy y = policy_default();
	struct engine_stats s;
	struct bench b;

	y.latency_value = 2;
	b = bench_policy(&y);
	play(&b, "/quotes/1", 0.5, 400, 10000);
	engine_stats(b.e, &s);
	OK(s.loads[LOAD_REFRESH] > 10, "%" PRIu64, s.loads[LOAD_REFRESH]);
	OK(s.loads[LOAD_DEMAND] < s.loads[LOAD_REFRESH], "%" PRIu64, s.loads[LOAD_DEMAND]);
	bench_free(&b);
}

TEST(a_paused_prefetch_starts_no_background_load)
{
	struct policy y = policy_default();
	struct input pause = {.kind = INPUT_PAUSE};
	struct engine_stats s;
	struct bench b;

	y.latency_value = 2;
	b = bench_policy(&y);
	pause.pause.what = PAUSE_PREFETCH;
	pause.pause.until = INSTANT_NEVER;
	input(&b, &pause);
	play(&b, "/quotes/1", 0.5, 400, 5000);
	engine_stats(b.e, &s);
	OK(s.loads[LOAD_REFRESH] == 0 && s.loads[LOAD_AUDIT] == 0);
	pause.pause.until = b.now;
	input(&b, &pause);
	play(&b, "/quotes/1", 0.5, 400, 5000);
	engine_stats(b.e, &s);
	OK(s.loads[LOAD_REFRESH] > 0);
	bench_free(&b);
}

TEST(audits_are_taken_and_counted)
{
	struct engine_config c = config_of(NULL);
	struct bench b;
	struct why w;

	c.limits.audit_share = 0.1;
	b = bench_new(&c);
	play(&b, "/a/1", 1, 30, 5000);
	w = why(&b, "/a/1");
	OK(w.audits > 20, "%" PRIu64, w.audits);
	OK(w.audits_stale > 0 && w.audits_stale < w.audits);
	bench_free(&b);
}

/*
 * Its content changes every 50 s, its Last-Modified does not: asked by that it would say for ever
 * that nothing has changed.
 */
TEST(last_modified_that_stands_still_is_found_out)
{
	struct engine_config c = config_of(NULL);
	struct bench b;
	int by_time = 0, audits = 0, full = 0;

	c.limits.audit_share = 0.05;
	b = bench_new(&c);
	for (int i = 0; i < 4000; i++) {
		struct effect *load;

		pass(&b, 1);
		if (!find(&b, EFFECT_LOAD, 0))
			get(&b, "/a/1", GET_LOAD);
		load = find(&b, EFFECT_LOAD, 0);
		if (load) {
			struct input in = {.kind = INPUT_LOADED};
			char value[16];

			OK(!load->load.by_time || load->load.reason != LOAD_AUDIT);
			audits += load->load.reason == LOAD_AUDIT;
			by_time += load->load.by_time && load->load.have;
			full += !load->load.by_time;
			snprintf(value, sizeof(value), "%d", i / 50);
			in.loaded.job = load->load.job;
			in.loaded.status = load->load.have && load->load.by_time
			                           ? LOADED_NOT_MODIFIED
			                           : LOADED_OK;
			in.loaded.value = bytes_str(value);
			in.loaded.last_modified = instant_add(NOON, SPAN_S(-86400));
			input(&b, &in);
		}
	}
	OK(audits > 3 && full > 10 * by_time, "%d audits, %d by time, %d not", audits, by_time,
	   full);
	OK(why(&b, "/a/1").change_rate_mean.mean > 0.01, "%g",
	   why(&b, "/a/1").change_rate_mean.mean);
	bench_free(&b);
}

TEST(advise_learns_and_reports_and_changes_nothing)
{
	struct policy y = policy_default();
	struct engine_config c;
	struct engine_stats s;
	struct bench b;
	struct why w;

	y.ttl = TTL_ADVISE;
	y.static_ttl = 120;
	y.push = PUSH_EAGER;
	c = config_of(&y);
	c.limits.audit_share = 0.02;
	b = bench_new(&c);
	/* stale half of the time: in mode learn the price would rise */
	play(&b, "/a/1", 1, 60, 30000);
	w = why(&b, "/a/1");
	engine_stats(b.e, &s);
	OK(w.row.reason == TTL_STATIC && w.row.ttl_s == 120 && w.row.mode == TTL_ADVISE);
	OK(s.loads[LOAD_REFRESH] == 0 && s.loads[LOAD_EVENT] == 0 && s.loads[LOAD_PREWARM] == 0);
	OK(s.loads[LOAD_DEMAND] <= 251, "a refresh or a TTL of its own: %" PRIu64,
	   s.loads[LOAD_DEMAND]);
	/* it has learned, and says what was measured */
	NEAR(log(w.change_rate_mean.mean * 60), 0, 0.7);
	OK(w.measured > 0.2, "%g", w.measured);
	NEAR(w.price, PRICE_AT_FIRST, 1e-9);
	bench_free(&b);
}

TEST(where_min_ttl_binds_the_price_does_not_run_away)
{
	struct policy y = policy_default();
	struct bench b;
	struct why w;

	y.min_ttl = 120;
	b = bench_policy(&y);
	play(&b, "/a/1", 1, 60, 30000);
	w = why(&b, "/a/1");
	OK(w.row.reason == TTL_MIN && w.measured > 0.2);
	OK(w.price < 20 * PRICE_AT_FIRST, "%g", w.price);
	bench_free(&b);
}

TEST(events_outside_the_window_are_refused)
{
	struct bench b = bench_policy(NULL);
	struct input in = {.kind = INPUT_EVENT, .key = bytes_str("k"), .ticket = 5};
	struct engine_stats s;

	in.event.at = instant_add(b.now, SPAN_S(2));
	input(&b, &in);
	OK(find(&b, EFFECT_REPLY, 0)->reply.status == REPLY_ERROR);
	in.event.at = instant_add(b.now, SPAN_S(-3601));
	input(&b, &in);
	OK(find(&b, EFFECT_REPLY, 0)->reply.status == REPLY_ERROR);
	in.event.at = instant_add(b.now, SPAN_S(-3599));
	input(&b, &in);
	OK(find(&b, EFFECT_REPLY, 0)->reply.status == REPLY_OK);
	engine_stats(b.e, &s);
	OK(s.events_refused == 2 && s.events == 1);
	bench_free(&b);
}

TEST(an_app_with_a_cache_of_its_own_gets_advice)
{
	struct engine_config c = config_of(NULL);
	struct input in = {.kind = INPUT_EVENT};
	struct bytes endpoint;
	double still, busy;
	struct bench b;

	c.origin = ORIGIN_NONE;
	b = bench_new(&c);
	for (int i = 0; i < 400; i++) {
		in.key = bytes_str(i % 2 ? "/still/1" : "/busy/1");
		in.event.at = INSTANT_NONE;
		in.event.outcome = OUTCOME_MISS;
		in.event.load = SPAN_MS(200);
		in.event.version = i % 2 ? 1 : (uint64_t)i + 1;
		input(&b, &in);
		pass(&b, 30);
	}
	still = span_s(
	        engine_ttl(b.e, b.now, bytes_of(NULL, 0), bytes_str("/still/1"), NULL, NULL));
	busy = span_s(engine_ttl(b.e, b.now, bytes_of(NULL, 0), bytes_str("/busy/1"), NULL, NULL));
	OK(still > 10 * busy, "%g %g", still, busy);
	/* whatever it is asked with, it names the endpoint that it knows the key by */
	in.endpoint = bytes_str("/given/<name>");
	in.key = bytes_str("/given/1");
	input(&b, &in);
	engine_ttl(b.e, b.now, bytes_of(NULL, 0), in.key, NULL, &endpoint);
	OK(bytes_equal(endpoint, in.endpoint));
	engine_ttl(b.e, b.now, bytes_str("/other/<name>"), in.key, NULL, &endpoint);
	OK(bytes_equal(endpoint, in.endpoint));
	engine_ttl(b.e, b.now, bytes_of(NULL, 0), bytes_str("/mined/7"), NULL, &endpoint);
	OK(bytes_equal(endpoint, bytes_str("/mined/<id>")), "%.*s", (int)endpoint.n,
	   (const char *)endpoint.p);
	bench_free(&b);
}

TEST(rules_and_mining_name_endpoints)
{
	struct engine_config c = config_of(NULL);
	struct engine_rule rule = {
	        .match = "/users/<id>/orders", .origin = 0, .policy = policy_default()};
	struct bench b;

	rule.policy.max_age = 77;
	c.rule = &rule;
	c.n_rules = 1;
	b = bench_new(&c);
	warm(&b, "/users/ann/orders", "x", 0.1);
	warm(&b, "/items/42?page=2&a=b", "x", 0.1);
	OK(bytes_equal(why(&b, "/users/ann/orders").row.endpoint, bytes_str("/users/<id>/orders")));
	OK(bytes_equal(why(&b, "/items/42?page=2&a=b").row.endpoint,
	               bytes_str("/items/<id>?a&page")));
	OK(why(&b, "/users/ann/orders").row.ttl_s <= 77);
	bench_free(&b);
}

/* One request a second for 40 keys whose values are good for 20 s; then ten a second. */
TEST(a_jump_of_requests_loads_what_is_most_asked_for)
{
	struct policy y = policy_default();
	size_t jumps = 0, prewarm = 0;
	struct effect *f;
	struct bench b;
	char key[32];

	y.ttl = TTL_OBEY;
	y.static_ttl = 20;
	b = bench_policy(&y);
	for (int s = 0; s < 3600; s++) {
		snprintf(key, sizeof(key), "/j/%d", s * 7 % 40);
		warm(&b, key, "value", 0.1);
		for (size_t i = 0; (f = find(&b, EFFECT_NOTICE, i)); i++)
			jumps += f->notice.what == NOTICE_JUMP;
		pass(&b, 0.9);
		OK(!find(&b, EFFECT_LOAD, 0));
	}
	OK(jumps == 0);
	for (int s = 0; s < 100; s++) {
		uint64_t job[64];
		size_t n = 0;

		pass(&b, 0.1);
		for (size_t i = 0; n < 64 && (f = find(&b, EFFECT_LOAD, i)); i++) {
			prewarm += f->load.reason == LOAD_PREWARM;
			job[n++] = f->load.job;
		}
		while (n > 0)
			loaded(&b, job[--n], LOADED_OK, "value");
		snprintf(key, sizeof(key), "/j/%d", s * 3 % 5);
		get(&b, key, GET_LOAD);
		for (size_t i = 0; (f = find(&b, EFFECT_NOTICE, i)); i++)
			if (f->notice.what == NOTICE_JUMP) {
				jumps++;
				NEAR(f->notice.value, 10, 3);
				OK(f->notice.loads > 10 && f->notice.loads <= 40, "%" PRIu64,
				   f->notice.loads);
				OK(bytes_equal(f->endpoint, bytes_str("/j/<id>")));
			}
		if ((f = find(&b, EFFECT_LOAD, 0)))
			loaded(&b, f->load.job, LOADED_OK, "value");
	}
	OK(jumps == 1, "%zu within ten seconds", jumps);
	OK(prewarm > 10, "%zu", prewarm);
	bench_free(&b);
}

/* As many models as the limit allows; the busier endpoint gets the place of the quieter. */
TEST(forecast_models_go_to_the_busiest)
{
	struct engine_config c = config_of(NULL);
	struct bench b;

	c.limits.max_forecasts = 1;
	b = bench_new(&c);
	for (int s = 0; s < 3 * 86400 / 300; s++) {
		for (int e = 0; e < 3; e++) {
			struct input in = {.kind = INPUT_EVENT};

			in.endpoint = bytes_str(e == 0 ? "a" : e == 1 ? "b" : "c");
			in.key = in.endpoint;
			in.event.at = INSTANT_NONE;
			in.event.outcome = OUTCOME_HIT;
			/* a comes first, b is the busiest */
			in.event.count = e == 0 ? 300 : e == 1 && s > 5 ? 900 : 30;
			input(&b, &in);
		}
		if (s == 2)
			OK(why(&b, "a").own_forecast && !why(&b, "b").own_forecast);
		pass(&b, 300);
	}
	OK(!why(&b, "a").own_forecast && why(&b, "b").own_forecast && !why(&b, "c").own_forecast);
	/* the one without is forecast, too */
	NEAR(why(&b, "a").row.request_rate_per_s, 1, 0.3);
	NEAR(why(&b, "b").row.request_rate_per_s, 3, 0.5);
	c.limits.max_forecasts = 0;
	engine_configure(b.e, b.now, &c);
	pass(&b, 300);
	OK(!why(&b, "b").own_forecast);
	bench_free(&b);
}

/* Three days on which ten keys are asked for right after nine o'clock, and otherwise seldom. */
TEST(a_schedule_warms_what_was_wanted_on_like_days)
{
	struct policy y = policy_default();
	struct instant peaks[5];
	struct input in = {.kind = INPUT_SCHEDULE};
	struct bench b;
	struct effect *f, *peak = NULL;
	size_t prewarm = 0;
	char key[32];

	y.latency_value = 1;
	y.max_age = 7200;
	b = bench_policy(&y);
	for (int d = 0; d < 5; d++)
		peaks[d] = instant_add(NOON, SPAN_S(21 * 3600 + d * 86400));
	in.schedule.name = bytes_str("nine");
	in.schedule.pattern = bytes_str("/m/<id>");
	in.schedule.at = peaks;
	in.schedule.n_at = 5;
	input(&b, &in);
	for (int d = 0; d < 4; d++) {
		pass(&b, span_s(instant_diff(peaks[d], b.now)) - 1800);
		for (int s = 0; s < 1800 * 4; s++) {
			/* a load takes a quarter of a second at most */
			pass(&b, 0.25);
			for (size_t i = 0; (f = find(&b, EFFECT_LOAD, i)); i++) {
				struct effects keep = b.fx;

				prewarm += d == 3 && f->load.reason == LOAD_PREWARM;
				b.fx = (struct effects){0};
				loaded(&b, f->load.job, LOADED_OK, "value");
				effects_release(&b.fx);
				b.fx = keep;
			}
			for (size_t i = 0; (f = find(&b, EFFECT_NOTICE, i)); i++)
				if (f->notice.what == NOTICE_PEAK && d == 3)
					peak = f;
		}
		if (d == 3) {
			OK(peak != NULL);
			if (peak)
				OK(peak->notice.peak.wanted == 10 && peak->notice.peak.warm == 10,
				   "warm %" PRIu64 " of %" PRIu64, peak->notice.peak.warm,
				   peak->notice.peak.wanted);
			OK(prewarm == 10, "%zu loads before the peak", prewarm);
		}
		for (int i = 0; i < 10; i++) {
			pass(&b, 1);
			snprintf(key, sizeof(key), "/m/%d", i);
			warm(&b, key, "value", 0.25);
			OK(d < 3 || replied(&b, b.ticket, REPLY_OK, OUTCOME_HIT, "value"),
			   "day %d key %d", d, i);
		}
	}
	bench_free(&b);
}

TEST(a_purge_empties_and_what_was_learned_stays)
{
	struct bench b = bench_policy(NULL);
	struct input in = {.kind = INPUT_PURGE, .ticket = 77, .endpoint = bytes_str("/a/<id>")};
	double before;

	play(&b, "/a/1", 10, 1e9, 10000);
	warm(&b, "/b/1", "x", 0.1);
	before = why(&b, "/a/1").row.change_rate_per_s.mean;
	in.purge.what = PURGE_ENDPOINT;
	input(&b, &in);
	OK(find(&b, EFFECT_REPLY, 0)->reply.count == 1);
	OK(!why(&b, "/a/1").resident && why(&b, "/b/1").resident);
	NEAR(why(&b, "/a/1").row.change_rate_per_s.mean / before, 1, 1e-9);
	bench_free(&b);
}

/* -- Learned state ----------------------------------------------------------------------------- */

struct shelf {
	struct record r[256];
	size_t n;
};

static void keep(void *arg, const struct record *r)
{
	struct shelf *s = arg;
	struct record *c = &s->r[s->n++];

	*c = *r;
	c->name.p = memcpy(malloc(r->name.n + 1), r->name.p, r->name.n);
	if (r->endpoint.n)
		c->endpoint.p = memcpy(malloc(r->endpoint.n), r->endpoint.p, r->endpoint.n);
	for (size_t i = 0; i < r->n_fields; i++)
		c->field[i].v = memcpy(malloc(r->field[i].n * sizeof(double)), r->field[i].v,
		                       r->field[i].n * sizeof(double));
}

static void shelf_free(struct shelf *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free((void *)s->r[i].name.p);
		if (s->r[i].endpoint.n)
			free((void *)s->r[i].endpoint.p);
		for (size_t j = 0; j < s->r[i].n_fields; j++)
			free((void *)s->r[i].field[j].v);
	}
}

/* What it takes to load, in us, and its bytes: as they would be told to another engine. */
static const double *load_of(const struct shelf *s, struct bytes key)
{
	static const double none[2];

	for (size_t i = 0; i < s->n; i++)
		for (size_t f = 0; f < s->r[i].n_fields && bytes_equal(s->r[i].name, key); f++)
			if (!strcmp(s->r[i].field[f].name, "load"))
				return s->r[i].field[f].v;
	return none;
}

static bool load_is(struct bench *b, struct bytes key, double us, double bytes)
{
	struct shelf *s = calloc(1, sizeof(*s));
	const double *load;
	bool is;

	engine_export(b->e, b->now, keep, s);
	load = load_of(s, key);
	is = (us < 0 || load[0] == us) && load[1] == bytes;
	shelf_free(s);
	free(s);
	return is;
}

TEST(what_others_say_of_its_size_is_not_believed_of_what_is_held)
{
	static const enum outcome o[] = {OUTCOME_SET, OUTCOME_MISS, OUTCOME_HIT};
	struct bench b = bench_policy(NULL);
	struct input in = {.kind = INPUT_EVENT, .key = bytes_str("/quotes/7")};
	double evidence[3] = {1, 1, 1}, rate[3] = {1, 1, 1}, load[2] = {5e5, 77};
	struct record r = {.kind = "key",
	                   .name = in.key,
	                   .field = {{"evidence", evidence, 3}, {"rate", rate, 3}, {"load", load, 2}},
	                   .n_fields = 3};
	const char *bad;

	in.event.at = INSTANT_NONE;
	in.event.value_bytes = UINT64_C(5000000000);
	for (int held = 0; held < 2; held++) {
		for (int i = 0; i < 3; i++) {
			in.event.outcome = o[i];
			in.event.version = 90 + (uint64_t)i;
			input(&b, &in);
			OK(load_is(&b, in.key, -1, held ? 11 : UINT32_MAX), "outcome %d", o[i]);
		}
		OK(engine_import(b.e, b.now, &r, &bad) == 0, "%s", bad);
		OK(load_is(&b, in.key, 5e5, held ? 11 : 77));
		warm(&b, "/quotes/7", "eleven byte", 0.1);
	}
	bench_free(&b);
}

TEST(what_was_learned_survives_a_restart)
{
	struct bench a = bench_policy(NULL), b = bench_policy(NULL);
	struct shelf *s = calloc(1, sizeof(*s));
	struct why x, y;
	const char *bad;

	play(&a, "/still/1", 10, 1e9, 20000);
	play(&a, "/busy/1", 10, 15, 20000);
	engine_export(a.e, a.now, keep, s);
	b.now = a.now;
	for (size_t i = 0; i < s->n; i++)
		OK(engine_import(b.e, b.now, &s->r[i], &bad) == 0, "%s: %s", s->r[i].kind, bad);
	x = why(&a, "/busy/1");
	y = why(&b, "/busy/1");
	NEAR(y.row.change_rate_per_s.mean / x.row.change_rate_per_s.mean, 1, 1e-4);
	NEAR(y.price / x.price, 1, 1e-9);
	NEAR(y.row.request_rate_per_s / x.row.request_rate_per_s, 1, 0.1);
	OK(bytes_equal(y.row.endpoint, bytes_str("/busy/<id>")) ||
	   bytes_equal(y.row.endpoint, x.row.endpoint));
	shelf_free(s);
	free(s);
	bench_free(&a);
	bench_free(&b);
}

/* The first record of the endpoint in a shelf: that field of it, or NULL. */
static const struct record_field *field_of(const struct shelf *s, const char *field)
{
	for (size_t i = 0; i < s->n; i++)
		for (size_t f = 0; f < s->r[i].n_fields && !strcmp(s->r[i].kind, "endpoint"); f++)
			if (!strcmp(s->r[i].field[f].name, field))
				return &s->r[i].field[f];
	return NULL;
}

/* What is known of an endpoint's present, and of how well it is predicted, with its times. */
TEST(the_activity_and_the_audits_of_an_endpoint_survive_a_restart)
{
	struct bench b = bench_policy(NULL);
	double now_s = instant_s(b.now);
	double activity[5] = {-3, 40, -6, 4, now_s - 60}, late[5] = {2, 40, 6, 4, now_s + 60},
	       audits[4] = {12, 30, now_s - 86400, now_s - 100}, prior[3] = {1, 600, 5};
	struct record r = {.kind = "endpoint",
	                   .name = bytes_str("/x"),
	                   .field = {{"activity", activity, 5}, {"audits", audits, 4}, {"prior", prior, 3}},
	                   .n_fields = 3};
	struct shelf *s = calloc(1, sizeof(*s));
	const struct record_field *f;
	const char *bad = "";

	OK(engine_import(b.e, b.now, &r, &bad) == 0, "%s", bad);
	NEAR(log(why(&b, "/x").activity), -3 + log(2), 1e-9);
	r.field[0].v = late; /* of a clock that was ahead: not believed */
	OK(engine_import(b.e, b.now, &r, &bad) == 0, "%s", bad);
	engine_export(b.e, b.now, keep, s);
	f = field_of(s, "activity");
	OK(f && f->n == 5 && !memcmp(f->v, activity, sizeof(activity)));
	f = field_of(s, "audits");
	OK(f && f->n == 4 && !memcmp(f->v, audits, sizeof(audits)));
	shelf_free(s);
	free(s);
	bench_free(&b);
}

TEST(damaged_records_are_refused_by_name)
{
	struct bench b = bench_policy(NULL);
	double nan3[3] = {NAN, 1, 1}, huge[3] = {1e300, 1, 1}, ok[3] = {1, 1, 1};
	struct record r = {.kind = "key",
	                   .name = bytes_str("k"),
	                   .field = {{"evidence", nan3, 3}, {"rate", ok, 3}},
	                   .n_fields = 2};
	const char *why_not = NULL;

	OK(engine_import(b.e, b.now, &r, &why_not) < 0 && strstr(why_not, "evidence"));
	r.field[0].v = huge;
	OK(engine_import(b.e, b.now, &r, &why_not) < 0 && strstr(why_not, "evidence"));
	r.field[0].v = ok;
	r.field[1].n = 2;
	OK(engine_import(b.e, b.now, &r, &why_not) < 0 && strstr(why_not, "rate"));
	r.kind = "poem";
	OK(engine_import(b.e, b.now, &r, &why_not) < 0 && strstr(why_not, "kind"));
	bench_free(&b);
}

TEST(dirty_records_come_once)
{
	struct bench b = bench_policy(NULL);
	struct shelf *s = calloc(1, sizeof(*s));

	warm(&b, "/a/1", "x", 0.1);
	warm(&b, "/a/2", "x", 0.1);
	engine_dirty(b.e, b.now, 100, keep, s);
	OK(s->n >= 2, "%zu", s->n);
	shelf_free(s);
	s->n = 0;
	engine_dirty(b.e, b.now, 100, keep, s);
	OK(s->n == 0, "%zu", s->n);
	shelf_free(s);
	free(s);
	bench_free(&b);
}

TEST(values_in_a_segment_that_outlived_the_daemon_are_served)
{
	struct engine_config c = config_of(NULL);
	struct bench b = bench_new(&c);
	struct engine *second;
	uint64_t t;

	warm(&b, "/a/1", "kept", 0.1);
	store_release(&b.store);
	engine_free(&b.e);
	b.store = attached(b.mem, STORE_BYTES, 2, (struct store_clock){0, NOON, 1, 0}, b.now, NULL,
	                   NULL);
	OK(b.store != NULL);
	second = engine_new(&c, b.store, b.now);
	b.e = second;
	engine_adopt(b.e, b.now);
	t = get(&b, "/a/1", GET_LOAD);
	OK(replied(&b, t, REPLY_OK, OUTCOME_HIT, "kept"));
	bench_free(&b);
}

/* Flips a bit of these bytes, wherever they are in the segment. */
static void damage(struct bench *b, const char *text)
{
	char *p = memmem(b->mem, STORE_BYTES, text, strlen(text));

	OK(p != NULL);
	if (p)
		p[3] ^= 4;
}

TEST(a_value_that_has_gone_bad_in_memory_is_a_miss)
{
	struct bench b = bench_policy(NULL);
	struct engine_stats st;
	uint64_t t;

	warm(&b, "/a/1", "precious", 0.1);
	warm(&b, "/a/2", "treasure", 0.1);
	damage(&b, "precious");
	t = get(&b, "/a/1", GET_PEEK);
	OK(replied(&b, t, REPLY_ABSENT, OUTCOME_MISS, ""));
	engine_stats(b.e, &st);
	OK(st.damaged == 1 && st.store.entries == 1);
	warm(&b, "/a/1", "again", 0.1);
	t = get(&b, "/a/1", GET_LOAD);
	OK(replied(&b, t, REPLY_OK, OUTCOME_HIT, "again"));
	t = get(&b, "/a/2", GET_LOAD);
	OK(replied(&b, t, REPLY_OK, OUTCOME_HIT, "treasure"));
	/* while an origin fails, what is bad does not stand in for it */
	damage(&b, "treasure");
	pass(&b, 86000);
	t = get(&b, "/a/2", GET_LOAD);
	loaded(&b, find(&b, EFFECT_LOAD, 0)->load.job, LOADED_ERROR, "");
	OK(replied(&b, t, REPLY_ERROR, OUTCOME_MISS, ""));
	bench_free(&b);
}

static uint64_t set(struct bench *b, const char *key, const char *value)
{
	struct input in = {.kind = INPUT_SET, .ticket = ++b->ticket, .key = bytes_str(key)};

	in.set.value = bytes_str(value);
	in.set.read = INSTANT_NONE;
	input(b, &in);
	return b->ticket;
}

TEST(what_is_set_during_a_load_reaches_those_who_wait_and_stays)
{
	static const enum load_status ended[] = {LOADED_OK, LOADED_NOT_MODIFIED, LOADED_ABSENT,
	                                         LOADED_UNCACHEABLE};
	struct policy y = policy_default();

	y.ttl = TTL_OBEY;
	for (size_t i = 0; i < sizeof(ended) / sizeof(ended[0]); i++) {
		struct bench b = bench_policy(&y);
		uint64_t waits, job;

		warm(&b, "k", "old", 0.1);
		pass(&b, 100);
		waits = get(&b, "k", GET_LOAD);
		job = find(&b, EFFECT_LOAD, 0)->load.job;
		set(&b, "k", "new");
		OK(replied(&b, waits, REPLY_OK, OUTCOME_MISS, "new"));
		loaded(&b, job, ended[i], ended[i] == LOADED_OK ? "old" : "");
		OK(!find(&b, EFFECT_REPLY, 0));
		waits = get(&b, "k", GET_LOAD);
		OK(replied(&b, waits, REPLY_OK, OUTCOME_HIT, "new"), "after status %d",
		   (int)ended[i]);
		bench_free(&b);
	}
}

TEST(a_not_modified_that_a_change_has_overtaken_is_asked_for_again)
{
	struct policy y = policy_default();
	struct input changed = {.kind = INPUT_CHANGED, .key = bytes_str("k")};
	struct effect *load;
	struct bench b;
	uint64_t t;

	y.ttl = TTL_OBEY;
	b = bench_policy(&y);
	warm(&b, "k", "old", 0.1);
	pass(&b, 100);
	t = get(&b, "k", GET_LOAD);
	OK(find(&b, EFFECT_LOAD, 0)->load.have);
	load = find(&b, EFFECT_LOAD, 0);
	{
		uint64_t job = load->load.job;

		input(&b, &changed);
		loaded(&b, job, LOADED_NOT_MODIFIED, "");
	}
	load = find(&b, EFFECT_LOAD, 0);
	OK(load && !load->load.have && !find(&b, EFFECT_REPLY, 0));
	if (load)
		loaded(&b, load->load.job, LOADED_OK, "new");
	OK(replied(&b, t, REPLY_OK, OUTCOME_MISS, "new"));
	bench_free(&b);
}

/* An origin that is down, and a user who asks every tenth of a second. */
TEST(misses_do_not_hammer_an_origin_that_fails)
{
	for (int negative = 0; negative < 2; negative++) {
		struct policy y = policy_default();
		struct bench b;
		int loads = 0, errors = 0;

		y.negative_ttl = negative;
		b = bench_policy(&y);
		for (int i = 0; i < 6000; i++) {
			struct effect *f, *load;
			uint64_t ticket;

			pass(&b, 0.1);
			ticket = get(&b, "/a/1", GET_LOAD);
			load = find(&b, EFFECT_LOAD, 0);
			if (load) {
				loads++;
				loaded(&b, load->load.job, LOADED_ERROR, "");
			}
			f = find(&b, EFFECT_REPLY, 0);
			errors += f && f->ticket == ticket && f->reply.status == REPLY_ERROR &&
			          bytes_equal(f->reply.error, bytes_str("it broke"));
		}
		OK(errors == 6000, "%d answers", errors);
		/* after 1, 2, 4, ... 32 s, then every minute */
		OK(negative ? loads >= 14 && loads <= 17 : loads == 6000, "%d loads", loads);
		OK(why(&b, "/a/1").row.reason == TTL_NEGATIVE || !negative);
		/* who loads by itself is not kept from it, and a good answer ends it */
		get(&b, "/a/1", GET_LEASE);
		OK(find(&b, EFFECT_REPLY, 0)->reply.status == REPLY_LEASE);
		bench_free(&b);
	}
}

TEST(a_good_answer_ends_an_error)
{
	struct input changed = {.kind = INPUT_CHANGED, .key = bytes_str("k")};
	struct bench b = bench_policy(NULL);

	for (int by_event = 0; by_event < 2; by_event++) {
		get(&b, "k", GET_LOAD);
		loaded(&b, find(&b, EFFECT_LOAD, 0)->load.job, LOADED_ERROR, "");
		get(&b, "k", GET_LOAD);
		OK(!find(&b, EFFECT_LOAD, 0) && find(&b, EFFECT_REPLY, 0));
		if (by_event)
			input(&b, &changed);
		else
			pass(&b, 1.1);
		get(&b, "k", GET_LOAD);
		OK(find(&b, EFFECT_LOAD, 0) != NULL);
		loaded(&b, find(&b, EFFECT_LOAD, 0)->load.job, LOADED_OK, "v");
		OK(replied(&b, get(&b, "k", GET_LOAD), REPLY_OK, OUTCOME_HIT, "v"));
		pass(&b, 2 * 86400);
	}
	bench_free(&b);
}

TEST(a_change_event_ends_a_negative_answer)
{
	struct input changed = {.kind = INPUT_CHANGED, .key = bytes_str("k")};
	struct bench b = bench_policy(NULL);

	get(&b, "k", GET_LOAD);
	loaded(&b, find(&b, EFFECT_LOAD, 0)->load.job, LOADED_ABSENT, "");
	input(&b, &changed);
	get(&b, "k", GET_LOAD);
	OK(find(&b, EFFECT_LOAD, 0) != NULL);
	bench_free(&b);
}

TEST(the_number_of_a_load_is_no_lease)
{
	struct input set_it = {.kind = INPUT_SET, .key = bytes_str("k"), .ticket = 1000};
	struct input changed = {.kind = INPUT_CHANGED, .key = bytes_str("k")};
	struct bench b = bench_policy(NULL);
	uint64_t t = get(&b, "k", GET_LOAD), job = find(&b, EFFECT_LOAD, 0)->load.job;

	set_it.set.lease = job;
	set_it.set.value = bytes_str("guessed");
	set_it.set.read = INSTANT_NONE;
	input(&b, &set_it);
	OK(replied(&b, 1000, REPLY_LEASE_LOST, OUTCOME_SET, NULL));
	input(&b, &changed);
	input(&b, &set_it);
	OK(!replied(&b, t, REPLY_ERROR, OUTCOME_MISS, NULL), "the load goes on");
	loaded(&b, job, LOADED_OK, "old");
	OK(replied(&b, t, REPLY_OK, OUTCOME_MISS, "old"));
	bench_free(&b);
}

TEST(effects_do_not_point_into_the_input)
{
	static const enum load_status ended[] = {LOADED_ERROR, LOADED_UNCACHEABLE};

	for (int i = 0; i < 2; i++) {
		struct bench b = bench_policy(NULL);
		struct input in = {.kind = INPUT_LOADED};
		char text[] = "gone afterwards";
		struct effect *f;

		get(&b, "k", GET_LOAD);
		in.loaded.job = find(&b, EFFECT_LOAD, 0)->load.job;
		in.loaded.status = ended[i];
		in.loaded.value = in.loaded.error = bytes_str(text);
		input(&b, &in);
		memset(text, 'x', sizeof(text) - 1);
		f = find(&b, EFFECT_REPLY, 0);
		OK(bytes_equal(i ? f->reply.value : f->reply.error, bytes_str("gone afterwards")));
		bench_free(&b);
	}
}

TEST(an_error_is_not_told_of_another_key)
{
	struct engine_config c = config_of(NULL);
	struct bench b;
	char name[16];

	c.limits.max_keys = 16;
	b = bench_new(&c);
	get(&b, "bad", GET_LOAD);
	loaded(&b, find(&b, EFFECT_LOAD, 0)->load.job, LOADED_ERROR, "");
	OK(why(&b, "bad").last_error.n > 0);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "k%d", i);
		get(&b, name, GET_PEEK);
		OK(why(&b, name).last_error.n == 0, "%s", name);
	}
	bench_free(&b);
}

TEST(a_lower_max_keys_forgets_and_refuses_nobody)
{
	struct engine_config c = config_of(NULL);
	struct engine_stats stats;
	struct bench b;
	char name[16];

	c.limits.max_keys = 2000;
	b = bench_new(&c);
	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "k%d", i);
		get(&b, name, GET_PEEK);
	}
	c.limits.max_keys = 16;
	engine_configure(b.e, b.now, &c);
	for (int i = 0; i < 3000; i++) {
		uint64_t t;

		snprintf(name, sizeof(name), "n%d", i);
		t = get(&b, name, GET_PEEK);
		if (!replied(&b, t, REPLY_ABSENT, OUTCOME_MISS, NULL)) {
			OK(false, "%s was refused", name);
			break;
		}
	}
	engine_stats(b.e, &stats);
	OK(stats.keys == 16, "%" PRIu64 " keys", stats.keys);
	bench_free(&b);
}

TEST(a_reload_with_a_shorter_max_age_holds_at_once)
{
	struct engine_config c = config_of(NULL);
	struct store_item item;
	struct bench b;

	c.policy.ttl = TTL_OBEY;
	c.policy.static_ttl = 3600;
	b = bench_new(&c);
	warm(&b, "k", "v", 0.1);
	pass(&b, 20);
	c.policy.max_age = 10;
	engine_configure(b.e, b.now, &c);
	store_get(b.store, store_find(b.store, bytes_str("k")), &item);
	OK(item.hard.us <= NOON.us + 10000000, "for readers, too");
	OK(replied(&b, get(&b, "k", GET_PEEK), REPLY_ABSENT, OUTCOME_MISS, NULL));
	bench_free(&b);
}

TEST(a_reload_says_anew_who_is_held_out)
{
	struct engine_config c = config_of(NULL);
	struct engine_stats before, after;
	struct bench b;

	c.policy.holdout = 0.5;
	b = bench_new(&c);
	for (int i = 0; i < 50; i++) {
		char name[8];

		snprintf(name, sizeof(name), "k%d", i);
		get(&b, name, GET_PEEK);
	}
	engine_stats(b.e, &before);
	OK(before.held_out.requests > 5);
	c.policy.holdout = 0;
	engine_configure(b.e, b.now, &c);
	for (int i = 0; i < 50; i++) {
		char name[8];

		snprintf(name, sizeof(name), "k%d", i);
		get(&b, name, GET_PEEK);
	}
	engine_stats(b.e, &after);
	OK(after.held_out.requests == before.held_out.requests);
	bench_free(&b);
}

TEST(a_literal_rule_is_not_lost_by_mining)
{
	struct engine_config c = config_of(NULL);
	struct engine_rule rule = {
	        .match = "/2024/*", .origin = ORIGIN_NONE, .policy = policy_default()};
	struct bench b;

	rule.policy.max_stale = 0.25;
	c.rule = &rule;
	c.n_rules = 1;
	b = bench_new(&c);
	get(&b, "/2024/report", GET_PEEK);
	OK(why(&b, "/2024/report").objective == 0.25);
	bench_free(&b);
}

static void import_key(struct bench *b, const char *name, double loaded_s, int rc)
{
	const double evidence[3] = {0, 0, 0}, rate[3] = {50, 86400, loaded_s}, version[2] = {0, 99},
	             times[2] = {loaded_s, -1};
	struct record r = {.kind = "key",
	                   .name = bytes_str(name),
	                   .field = {{"evidence", evidence, 3},
	                             {"rate", rate, 3},
	                             {"version", version, 2},
	                             {"times", times, 2}},
	                   .n_fields = 4};
	const char *reason = NULL;

	OK(engine_import(b->e, b->now, &r, &reason) == rc, "%s", reason ? reason : "");
}

TEST(an_import_does_not_make_a_held_value_younger)
{
	struct bench b = bench_policy(NULL);
	struct effect *f;

	warm(&b, "k", "v", 0.1);
	pass(&b, 0.5);
	import_key(&b, "k", instant_s(b.now), 0);
	get(&b, "k", GET_LOAD);
	f = find(&b, EFFECT_REPLY, 0);
	OK(f && f->reply.loaded.us == NOON.us && f->reply.version != 99);
	bench_free(&b);
}

TEST(more_values_in_a_segment_than_max_keys_are_dropped)
{
	struct engine_config c = config_of(NULL);
	struct engine_stats stats;
	struct bench b = bench_new(&c);
	char name[16];

	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "k%d", i);
		warm(&b, name, "a value of some length, to have entries of several sizes", 0.001);
	}
	engine_free(&b.e);
	c.limits.max_keys = 16;
	b.e = engine_new(&c, b.store, b.now);
	for (int i = 100; i < 116; i++) {
		snprintf(name, sizeof(name), "k%d", i);
		import_key(&b, name, instant_s(NOON), 0);
	}
	engine_adopt(b.e, b.now);
	for (int i = 100; i < 116; i++) {
		snprintf(name, sizeof(name), "k%d", i);
		OK(why(&b, name).resident, "%s made room for one that nothing is known of", name);
	}
	engine_stats(b.e, &stats);
	OK(stats.keys == 16 && stats.store.entries == 16, "%" PRIu64 " keys, %" PRIu64 " entries",
	   stats.keys, stats.store.entries);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "k%d", i);
		get(&b, name, GET_PEEK);
	}
	bench_free(&b);
}

TEST(a_fit_that_never_comes_back_is_asked_for_again)
{
	struct engine_config c = config_of(NULL);
	uint64_t first = 0, second = 0;
	struct input in = {.kind = INPUT_FITTED};
	struct bench b;

	c.limits.fit_every = 3600;
	b = bench_new(&c);
	for (int i = 0; i < 4 * 96 && !second; i++) {
		struct effect *f;

		for (int j = 0; j < 5; j++)
			get(&b, "k", GET_PEEK);
		pass(&b, 900);
		f = find(&b, EFFECT_FIT, 0);
		if (f)
			*(first ? &second : &first) = f->fit.fit;
	}
	OK(first && second && first != second);
	in.fitted.fit = first;
	in.fitted.status = -1;
	input(&b, &in);
	in.fitted.fit = second;
	input(&b, &in);
	get(&b, "k", GET_PEEK);
	pass(&b, 3700);
	OK(find(&b, EFFECT_FIT, 0) != NULL, "once answered, the next is asked for when it is due");
	bench_free(&b);
}

/* -- Anything at any time ---------------------------------------------------------------------- */

/* One random run; returns a hash of all effects. Every get must be answered exactly once. */
static uint64_t random_run(uint64_t seed, size_t steps)
{
	enum { JOBS = 64, TICKETS = 100000 };
	struct policy y = policy_default();
	struct engine_config c;
	struct bench b;
	uint64_t hash = 0, job[JOBS] = {0}, lease[JOBS] = {0};
	uint8_t *answers = calloc(TICKETS, 1), *asked = calloc(TICKETS, 1);
	char value[600];
	size_t jobs = 0, leases = 0;
	struct rng g;

	rng_init(&g, seed);
	y.grace = rng_below(&g, 2) * 5.0;
	y.latency_value = 1;
	y.holdout = 0.1;
	c = config_of(&y);
	c.limits.audit_share = 0.05;
	c.limits.max_keys = 30;
	c.limits.max_waiters = 20;
	b = bench_new(&c);
	memset(value, 'x', sizeof(value));
	for (size_t i = 0; i < steps; i++) {
		struct input in = {.ticket = i + 1};
		char key[16];
		int k = (int)rng_below(&g, 40);

		snprintf(key, sizeof(key), "/k/%d", k);
		in.key = bytes_str(key);
		in.kind = (enum input_kind)rng_below(&g, INPUT_CLOCK + 1);
		if (rng_below(&g, 2))
			in.kind = rng_below(&g, 3) ? INPUT_GET : INPUT_LOADED;
		asked[in.ticket] = in.kind == INPUT_GET;
		switch (in.kind) {
		case INPUT_GET:
			in.get.mode = (enum get_mode)rng_below(&g, 3);
			break;
		case INPUT_EVENT:
			in.event.outcome = (enum outcome)rng_below(&g, 6);
			in.event.at = INSTANT_NONE;
			in.event.count = (uint32_t)rng_below(&g, 5);
			in.event.version = rng_below(&g, 3);
			break;
		case INPUT_SET:
			in.set.value = bytes_of(value, rng_below(&g, sizeof(value)));
			in.set.read = INSTANT_NONE;
			in.set.lease =
			        leases && rng_below(&g, 2) ? lease[rng_below(&g, leases)] : 0;
			in.set.ttl = SPAN_S(rng_below(&g, 3) * 20);
			break;
		case INPUT_LOADED:
			if (!jobs)
				continue;
			in.loaded.job = job[rng_below(&g, jobs)];
			in.loaded.status = (enum load_status)rng_below(&g, 5);
			in.loaded.value = bytes_of(value, rng_below(&g, sizeof(value)));
			in.loaded.last_modified = INSTANT_NONE;
			break;
		case INPUT_LOADER:
			in.endpoint = bytes_str("/k/<id>");
			in.loader.up = rng_below(&g, 2);
			in.loader.origin = ORIGIN_NONE;
			break;
		case INPUT_FITTED:
			in.fitted.fit = rng_below(&g, 5);
			break;
		case INPUT_PURGE:
			in.purge.what = (enum purge_what)rng_below(&g, 3);
			if (rng_below(&g, 10))
				in.purge.what = PURGE_KEY;
			break;
		case INPUT_PAUSE:
			in.pause.what = (unsigned)rng_below(&g, 4);
			in.pause.until = instant_add(b.now, SPAN_S(rng_below(&g, 60)));
			break;
		case INPUT_SCHEDULE: {
			static struct instant at[2];

			at[0] = instant_add(b.now, SPAN_S(60));
			at[1] = instant_add(b.now, SPAN_S(600));
			in.schedule.name = bytes_str("s");
			in.schedule.pattern = bytes_str("/k/<id>");
			in.schedule.at = at;
			in.schedule.n_at = rng_below(&g, 3);
			break;
		}
		case INPUT_PREWARM:
			in.prewarm.pattern = bytes_str("*");
			in.prewarm.dry_run = rng_below(&g, 2);
			break;
		case INPUT_CLOCK:
			in.clock.offset = SPAN_S((int64_t)rng_below(&g, 7200) - 3600);
			break;
		default:
			break;
		}
		effects_clear(&b.fx);
		engine_input(b.e, b.now, &in, &b.fx);
		if (rng_below(&g, 2))
			b.now = instant_add(b.now, SPAN_MS(rng_below(&g, 3000)));
		engine_tick(b.e, b.now, 0, &b.fx);
		for (size_t j = 0; j < b.fx.list.n; j++) {
			struct effect *f = &b.fx.list.v[j];

			hash = hash_u64(hash ^ f->kind) ^ hash_bytes(f->key, f->ticket);
			if (f->kind == EFFECT_REPLY && f->ticket < TICKETS && asked[f->ticket]) {
				answers[f->ticket]++;
				OK(answers[f->ticket] == 1, "ticket %" PRIu64 " was answered twice",
				   f->ticket);
				if (f->reply.status == REPLY_LEASE && leases < JOBS)
					lease[leases++] = f->reply.lease;
				hash ^= hash_bytes(f->reply.value,
				                   f->reply.status * 10 + f->reply.outcome);
			}
			if (f->kind == EFFECT_LOAD) {
				job[jobs % JOBS] = f->load.job;
				jobs = jobs < JOBS ? jobs + 1 : JOBS;
				if (jobs == JOBS)
					job[rng_below(&g, JOBS)] = f->load.job;
			}
			if (f->kind == EFFECT_FIT)
				harmonic_data_free(&f->fit.data);
		}
	}
	/* all deadlines pass: whoever still waits is told */
	for (int i = 0; i < 100; i++) {
		b.now = instant_add(b.now, SPAN_S(12));
		effects_clear(&b.fx);
		engine_tick(b.e, b.now, 0, &b.fx);
		for (size_t j = 0; j < b.fx.list.n; j++)
			if (b.fx.list.v[j].kind == EFFECT_REPLY && asked[b.fx.list.v[j].ticket])
				answers[b.fx.list.v[j].ticket]++;
	}
	for (size_t i = 0; i < TICKETS; i++)
		OK(answers[i] == asked[i], "ticket %zu was answered %d times", i, answers[i]);
	free(answers);
	free(asked);
	bench_free(&b);
	return hash;
}

TEST(every_get_is_answered_once_whatever_happens)
{
	for (int i = 0; i < 20; i++)
		random_run(rng_u64(&rng), 5000);
}

TEST(the_same_seed_and_inputs_give_the_same_effects)
{
	for (int i = 0; i < 5; i++) {
		uint64_t seed = rng_u64(&rng);

		OK(random_run(seed, 3000) == random_run(seed, 3000), "seed %" PRIu64, seed);
	}
}

/* -- Large values --------------------------------------------------------------------------- */

/* A value of `bytes` times that character. */
static struct bytes many(char c, size_t bytes)
{
	static char text[3][300000];
	static unsigned at;
	char *p = text[at++ % 3];

	memset(p, c, bytes);
	return bytes_of(p, bytes);
}

/* As a daemon would: room in steps, and the value in it. The set is yet to be handed in. */
static struct input placed(struct bench *b, const char *key, struct bytes value,
                           struct store_room *room)
{
	struct input in = {
	        .kind = INPUT_SET, .ticket = ++b->ticket, .key = bytes_str(key)};
	int rc;

	clear(b);
	*room = (struct store_room){0};
	in.set.arrival = engine_arrived(b->e, b->now, in.endpoint, in.key, &b->fx);
	in.set.read = b->now;
	in.set.value = value;
	while ((rc = engine_reserve(b->e, b->now, in.key.n, value.n, room)) == -EAGAIN)
		;
	OK(rc == 0 && in.set.arrival, "no room for %zu bytes: %d", value.n, rc);
	if (rc)
		return in;
	store_fill(b->store, room, value.p);
	in.set.room = room;
	return in;
}

/* What is held of the key begins with that character; 0: nothing is. */
static char first_of(struct bench *b, const char *key)
{
	struct effect *f;

	get(b, key, GET_PEEK);
	f = find(b, EFFECT_REPLY, 0);
	return f->reply.status == REPLY_OK ? *(const char *)f->reply.value.p : '\0';
}

/* Hands it in: it is answered, and its room is spent, or given back. */
static void hand_in(struct bench *b, struct input *in)
{
	input(b, in);
	OK(replied(b, in->ticket, REPLY_OK, OUTCOME_SET, NULL));
	store_unreserve(b->store, in->set.room);
}

TEST(a_large_value_is_published_where_it_lies)
{
	struct bench b = bench_policy(NULL);
	struct store_room room;
	struct bytes value = many('a', 300000);
	struct input in = placed(&b, "k", value, &room);
	struct effect *f;
	const struct store_room taken = room;

	OK(first_of(&b, "k") == '\0', "nobody sees it yet");
	hand_in(&b, &in);
	OK(!room.granules, "its room is spent");
	get(&b, "k", GET_PEEK);
	f = find(&b, EFFECT_REPLY, 0);
	OK(bytes_equal(f->reply.value, value) && f->reply.version == (hash_bytes(value, 0) | 1));
	OK((const char *)f->reply.value.p > (const char *)b.mem + taken.off * UINT64_C(16) &&
	           (const char *)f->reply.value.p <
	                   (const char *)b.mem + (taken.off + taken.granules) * UINT64_C(16),
	   "it is where it was filled in");
	bench_free(&b);
}

TEST(a_load_brings_a_large_value_that_lies_in_its_place)
{
	struct bench b = bench_policy(NULL);
	struct bytes value = many('l', 300000);
	struct input in = {.kind = INPUT_LOADED};
	struct store_room room = {0};
	uint64_t t = get(&b, "k", GET_LOAD);

	in.loaded.job = find(&b, EFFECT_LOAD, 0)->load.job;
	in.loaded.value = value;
	in.loaded.last_modified = INSTANT_NONE;
	while (engine_reserve(b.e, b.now, 1, value.n, &room) == -EAGAIN)
		;
	store_fill(b.store, &room, value.p);
	in.loaded.room = &room;
	input(&b, &in);
	OK(replied(&b, t, REPLY_OK, OUTCOME_MISS, NULL) &&
	   bytes_equal(find(&b, EFFECT_REPLY, 0)->reply.value, value) && !room.granules);
	bench_free(&b);
}

/* Sets a value that came packed; room may be NULL. Returns how often it was said to have changed. */
static unsigned set_packed(struct bench *b, struct bytes value, struct store_room *room)
{
	struct packed_value p = {.hash = hash_bytes(value, 0)};
	struct input in = {.kind = INPUT_SET, .ticket = ++b->ticket, .key = bytes_str("k")};
	struct effect *f;
	unsigned changed = 0;
	bool packed;

	p.bytes = packed_or_not(value, &packed);
	OK(packed && p.bytes.n < value.n / 2);
	in.set.value = value;
	in.set.packed = &p;
	in.set.read = b->now;
	while (room && engine_reserve(b->e, b->now, 1, p.bytes.n, room) == -EAGAIN)
		;
	if (room)
		store_fill(b->store, room, p.bytes.p);
	in.set.room = room;
	input(b, &in);
	OK(replied(b, in.ticket, REPLY_OK, OUTCOME_SET, NULL));
	for (size_t i = 0; (f = find(b, EFFECT_NOTICE, i)); i++)
		changed += f->notice.what == NOTICE_CHANGED;
	get(b, "k", GET_PEEK);
	f = find(b, EFFECT_REPLY, 0);
	OK(f->reply.packed && bytes_equal(f->reply.value, p.bytes) &&
	   f->reply.version == (p.hash | 1));
	pass(b, 1);
	return changed;
}

TEST(a_value_that_came_packed_is_kept_so_and_is_the_same_value)
{
	struct policy y = policy_default();
	struct bytes value = many('a', 5000), other = many('b', 7000);
	struct store_room room = {0};
	struct engine_stats st;
	struct store_item item;
	struct bench b;

	y.max_age = 3600;
	b = bench_policy(&y);
	OK(set_packed(&b, value, NULL) == 0);
	store_get(b.store, store_find(b.store, bytes_str("k")), &item);
	OK(item.packed && item.value.n < 1000);
	OK(set_packed(&b, value, NULL) == 0, "it has not changed");
	OK(set_packed(&b, value, &room) == 0 && !room.granules, "nor in another place");
	/* as it is, it is still the same */
	{
		struct input in = {.kind = INPUT_SET, .ticket = ++b.ticket, .key = bytes_str("k")};
		struct effect *f;

		in.set.value = value;
		in.set.read = b.now;
		input(&b, &in);
		for (size_t i = 0; (f = find(&b, EFFECT_NOTICE, i)); i++)
			OK(f->notice.what != NOTICE_CHANGED);
		get(&b, "k", GET_PEEK);
		f = find(&b, EFFECT_REPLY, 0);
		OK(!f->reply.packed && bytes_equal(f->reply.value, value));
		pass(&b, 1);
	}
	OK(set_packed(&b, other, NULL) == 1, "now it has");
	engine_stats(b.e, &st);
	OK(st.packed.values == 4 && st.packed.bytes == 3 * 5000 + 7000 &&
	   st.packed.kept_bytes < 4000 && st.packed.kept_bytes > 40);
	bench_free(&b);
}

TEST(who_compresses_is_said_by_the_rule)
{
	struct policy y = policy_default();
	struct engine_config c = config_of(NULL);
	struct engine_rule rule[] = {{.match = "/z/<x>", .origin = ORIGIN_NONE}};
	const struct bytes none = {0};
	struct bench b = bench_policy(NULL);

#define LEVEL(endpoint, key, n) engine_compression(b.e, endpoint, bytes_str(key), n)
	OK(LEVEL(none, "/z/1", 5000) == 0);
	y.compression = COMPRESSION_ZSTD;
	y.compression_level = 7;
	y.compression_min_bytes = 2000;
	y.compression_max_bytes = 9000;
	rule[0].policy = y;
	c.rule = rule;
	c.n_rules = 1;
	engine_configure(b.e, b.now, &c);
	OK(LEVEL(none, "/z/1", 5000) == 7 && LEVEL(none, "/other", 5000) == 0);
	OK(LEVEL(bytes_str("/z/<x>"), "what", 5000) == 7 &&
	   LEVEL(bytes_str("/o"), "/z/1", 5000) == 0);
	OK(LEVEL(none, "/z/1", 1999) == 0 && LEVEL(none, "/z/1", 2000) == 7 &&
	   LEVEL(none, "/z/1", 9000) == 7 && LEVEL(none, "/z/1", 9001) == 0);
	/* of keys that are known, as of others */
	get(&b, "/z/1", GET_PEEK);
	get(&b, "/other", GET_PEEK);
	OK(LEVEL(none, "/z/1", 5000) == 7 && LEVEL(none, "/other", 5000) == 0);
	/* of all, and of none again */
	c.policy = y;
	c.n_rules = 0;
	engine_configure(b.e, b.now, &c);
	OK(LEVEL(none, "/other", 5000) == 7 && LEVEL(none, "/new", 5000) == 7);
	c.policy = policy_default();
	engine_configure(b.e, b.now, &c);
	OK(LEVEL(none, "/other", 5000) == 0 && LEVEL(none, "/new", 5000) == 0);
#undef LEVEL
	bench_free(&b);
}

TEST(what_is_said_while_a_large_value_is_put_in_place_is_newer)
{
	struct bench b = bench_policy(NULL);
	struct input small = {.kind = INPUT_SET, .key = bytes_str("k"), .ticket = 1};
	struct input said = {.key = bytes_str("k"), .ticket = 1};
	struct store_room room, second;
	struct input in, later;
	static const enum input_kind drop[] = {INPUT_CHANGED, INPUT_DELETE, INPUT_PURGE};

	small.set.read = INSTANT_NONE;
	small.set.value = bytes_str("s");
	for (int held = 0; held < 2; held++) {
		for (size_t i = 0; i < 3; i++) {
			if (held)
				input(&b, &small);
			in = placed(&b, "k", many('a', 100000), &room);
			said.kind = drop[i];
			said.purge.what = PURGE_ALL;
			if (said.kind != INPUT_PURGE)
				memset(&said.changed, 0, sizeof(said.changed));
			input(&b, &said);
			hand_in(&b, &in);
			OK(first_of(&b, "k") == '\0', "%d, held %d: an old value is back", (int)i,
			   held);
		}
		in = placed(&b, "k", many('a', 100000), &room);
		input(&b, &small);
		hand_in(&b, &in);
		OK(first_of(&b, "k") == 's', "a later set stays");
		/* of two, the one that came later stays, whichever is in its place first */
		in = placed(&b, "k", many('a', 100000), &room);
		later = placed(&b, "k", many('b', 100000), &second);
		hand_in(&b, &in);
		OK(first_of(&b, "k") == 'a');
		hand_in(&b, &later);
		OK(first_of(&b, "k") == 'b');
		in = placed(&b, "k", many('c', 100000), &room);
		later = placed(&b, "k", many('d', 100000), &second);
		hand_in(&b, &later);
		hand_in(&b, &in);
		OK(first_of(&b, "k") == 'd');
		/* and what is said of another key is nothing to it */
		said.kind = INPUT_DELETE;
		said.key = bytes_str("other");
		in = placed(&b, "k", many('e', 100000), &room);
		input(&b, &said);
		said.key = bytes_str("k");
		hand_in(&b, &in);
		OK(first_of(&b, "k") == 'e');
	}
	bench_free(&b);
}

TEST(a_load_that_began_later_is_newer_than_a_large_set)
{
	struct policy y = policy_default();
	struct store_room room;
	struct bench b;
	struct input in;

	y.ttl = TTL_OBEY;
	b = bench_policy(&y);
	in = placed(&b, "k", many('a', 100000), &room);
	pass(&b, 0.1);
	warm(&b, "k", "loaded", 0.1);
	hand_in(&b, &in);
	OK(first_of(&b, "k") == 'l');
	bench_free(&b);
}

/* Room for it is made at the cost of what is least worth, a little in each step. */
TEST(a_large_value_finds_room_in_a_store_full_of_small_ones)
{
	struct bench b = bench_policy(NULL);
	struct input set = {.kind = INPUT_SET};
	struct store_room room = {0};
	struct store_stats before, st;
	struct engine_stats es;
	uint64_t evicted, most = 0;
	char key[24], value[600] = "";
	unsigned steps = 0;
	int rc;

	set.set.value = bytes_of(value, sizeof(value));
	set.set.read = INSTANT_NONE;
	engine_stats(b.e, &es);
	for (unsigned i = 0; es.evicted < 100; i++) {
		set.key = bytes_of(key, (size_t)snprintf(key, sizeof(key), "/small/%u", i));
		input(&b, &set);
		engine_stats(b.e, &es);
	}
	store_stats(b.store, &before);
	do {
		evicted = es.evicted;
		rc = engine_reserve(b.e, b.now, 1, 1000000, &room);
		engine_stats(b.e, &es);
		most = es.evicted - evicted > most ? es.evicted - evicted : most;
		/* others are served meanwhile */
		set.key = bytes_of(key, (size_t)snprintf(key, sizeof(key), "/new/%u", steps));
		input(&b, &set);
		steps++;
	} while (rc == -EAGAIN && steps < 100000);
	OK(rc == 0 && steps > 50 && most <= 40, "%d after %u steps of %" PRIu64 " evictions", rc,
	   steps, most);
	store_unreserve(b.store, &room);
	store_stats(b.store, &st);
	OK(st.bytes_used < before.bytes_used - 900000 && st.bytes_used > before.bytes_used / 2);
	OK(engine_reserve(b.e, b.now, 1, 3000000, &room) == -E2BIG && !room.granules,
	   "more than a half of the segment is not taken like that");
	bench_free(&b);
}

int main(int argc, char **argv)
{
	gsl_set_error_handler_off();
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(a_miss_loads_once_and_everybody_gets_the_value);
	RUN(a_load_that_ends_twice_or_for_another_job_does_nothing);
	RUN(what_was_done_with_an_answer_is_not_the_origins_time);
	RUN(an_error_is_told_when_there_is_nothing_old);
	RUN(the_old_value_stands_in_for_an_error_until_max_age);
	RUN(no_answer_before_the_deadline_is_an_error);
	RUN(what_the_origin_does_not_have_is_remembered_for_a_moment);
	RUN(what_may_not_be_kept_reaches_those_who_wait_only);
	RUN(not_modified_renews_the_value_that_is_held);
	RUN(a_lease_goes_to_one_and_the_others_wait_for_its_value);
	RUN(a_lease_that_is_not_used_passes_to_the_next);
	RUN(in_grace_one_caller_gets_the_lease_and_all_get_the_old_value);
	RUN(a_change_voids_the_lease_that_was_read_before_it);
	RUN(what_was_read_before_what_is_held_does_not_take_its_place);
	RUN(what_was_read_before_a_change_is_not_kept_without_a_lease_either);
	RUN(who_asked_before_a_change_gets_what_was_read_then_and_it_is_not_kept);
	RUN(the_cap_of_a_key_follows_the_objective_unless_it_is_given);
	RUN(who_asks_after_a_change_does_not_wait_for_a_load_from_before_it);
	RUN(a_stray_load_that_fails_is_news_for_those_who_wait_for_it_only);
	RUN(who_joins_a_load_from_before_a_change_makes_it_start_again);
	RUN(a_key_with_a_stray_load_is_not_forgotten);
	RUN(audits_are_rarer_where_stale_hits_are_allowed_or_cannot_be);
	RUN(a_change_event_ends_the_value);
	RUN(obey_keeps_to_the_ttl_that_the_app_gives);
	RUN(a_value_set_without_a_word_of_when_it_was_read_is_as_old_as_its_load_was_long);
	RUN(without_anything_to_load_from_learning_never_exceeds_the_apps_ttl);
	RUN(what_never_changes_lives_long_and_what_always_changes_does_not);
	RUN(complete_change_events_end_lives_and_count_as_fresh);
	RUN(bounds_of_the_user_hold);
	RUN(hot_keys_are_refreshed_before_they_expire);
	RUN(a_paused_prefetch_starts_no_background_load);
	RUN(audits_are_taken_and_counted);
	RUN(last_modified_that_stands_still_is_found_out);
	RUN(advise_learns_and_reports_and_changes_nothing);
	RUN(where_min_ttl_binds_the_price_does_not_run_away);
	RUN(events_outside_the_window_are_refused);
	RUN(an_app_with_a_cache_of_its_own_gets_advice);
	RUN(rules_and_mining_name_endpoints);
	RUN(a_jump_of_requests_loads_what_is_most_asked_for);
	RUN(forecast_models_go_to_the_busiest);
	RUN(a_schedule_warms_what_was_wanted_on_like_days);
	RUN(a_purge_empties_and_what_was_learned_stays);
	RUN(what_others_say_of_its_size_is_not_believed_of_what_is_held);
	RUN(what_was_learned_survives_a_restart);
	RUN(the_activity_and_the_audits_of_an_endpoint_survive_a_restart);
	RUN(damaged_records_are_refused_by_name);
	RUN(dirty_records_come_once);
	RUN(values_in_a_segment_that_outlived_the_daemon_are_served);
	RUN(a_value_that_has_gone_bad_in_memory_is_a_miss);
	RUN(what_is_set_during_a_load_reaches_those_who_wait_and_stays);
	RUN(a_not_modified_that_a_change_has_overtaken_is_asked_for_again);
	RUN(misses_do_not_hammer_an_origin_that_fails);
	RUN(a_good_answer_ends_an_error);
	RUN(a_change_event_ends_a_negative_answer);
	RUN(the_number_of_a_load_is_no_lease);
	RUN(effects_do_not_point_into_the_input);
	RUN(an_error_is_not_told_of_another_key);
	RUN(a_lower_max_keys_forgets_and_refuses_nobody);
	RUN(a_reload_with_a_shorter_max_age_holds_at_once);
	RUN(a_reload_says_anew_who_is_held_out);
	RUN(a_literal_rule_is_not_lost_by_mining);
	RUN(an_import_does_not_make_a_held_value_younger);
	RUN(more_values_in_a_segment_than_max_keys_are_dropped);
	RUN(a_fit_that_never_comes_back_is_asked_for_again);
	RUN(a_large_value_is_published_where_it_lies);
	RUN(a_load_brings_a_large_value_that_lies_in_its_place);
	RUN(what_is_said_while_a_large_value_is_put_in_place_is_newer);
	RUN(a_load_that_began_later_is_newer_than_a_large_set);
	RUN(a_value_that_came_packed_is_kept_so_and_is_the_same_value);
	RUN(who_compresses_is_said_by_the_rule);
	RUN(a_large_value_finds_room_in_a_store_full_of_small_ones);
	RUN(every_get_is_answered_once_whatever_happens);
	RUN(the_same_seed_and_inputs_give_the_same_effects);
	return tap_done();
}
