/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Peaks, scheduled and learned, in the virtual time of an engine with a recorded origin. */
#include "engine/engine.h"

#include "base/rng.h"
#include "base/vec.h"
#include "engine/plain.h"
#include "tests/tap.h"

#include <math.h>
#include <string.h>

static struct rng rng;

/* 2026-11-02 00:00 UTC, a Monday */
static const struct instant MONDAY = {INT64_C(1793577600) * 1000000};
#define DAY_S 86400.0

struct flight {
	uint64_t job;
	struct instant ends;
};

struct bench {
	struct engine *e;
	struct effects fx;
	struct instant now;
	VEC(struct flight) flight;
	bool down;         /* the origin answers with errors */
	bool moving;       /* it has another value every ten minutes */
	unsigned max_work; /* of a tick; 0: all */
	size_t ticks;
	bool slow; /* it takes 20 s */
	size_t prewarmed, demanded;
	bool beside; /* learn_days asks for others, too, while it is busy */
	bool keep;                            /* note what is prewarmed: */
	VEC(int) loaded;                      /* the number in its name; -1: none */
	struct peak_report last;              /* the report that came last, */
	size_t reports;                       /* of so many */
	double first_before_s, last_before_s; /* of prewarm loads: to the next full day + 9 h */
};

static struct bench bench_new(const struct policy *y, double rate)
{
	struct engine_origin origin = {"api", origin_policy_default()};
	struct engine_config c = {
	        .seed = 7, .limits = engine_limits_default(), .policy = policy_default()};
	struct bench b = {.now = MONDAY};

	c.limits.audit_share = 0;
	if (y)
		c.policy = *y;
	origin.policy.rate = rate;
	c.origins = &origin;
	c.n_origins = 1;
	b.e = engine_new(&c, NULL, MONDAY);
	return b;
}

static void bench_free(struct bench *b)
{
	engine_free(&b->e);
	effects_release(&b->fx);
	vec_free(&b->flight);
	vec_free(&b->loaded);
}

/* "/m/17": 17; -1 for any other name. */
static int number_of(struct bytes key)
{
	char text[64];
	int n;

	snprintf(text, sizeof(text), "%.*s", (int)key.n, (const char *)key.p);
	return sscanf(text, "/m/%d", &n) == 1 ? n : -1;
}

static void carry_out(struct bench *b)
{
	for (size_t i = 0; i < b->fx.list.n; i++) {
		const struct effect *f = &b->fx.list.v[i];

		if (f->kind == EFFECT_FIT) {
			struct harmonic_data *d = f->fit.data;

			harmonic_data_free(&d);
		} else if (f->kind == EFFECT_LOAD) {
			*vec_push(&b->flight) = (struct flight){
			        f->load.job, instant_add(b->now, span_from_s(b->slow ? 5 : 0.1))};
			b->prewarmed += f->load.reason == LOAD_PREWARM;
			if (b->keep && f->load.reason == LOAD_PREWARM)
				*vec_push(&b->loaded) = number_of(f->key);
			b->demanded += f->load.reason == LOAD_DEMAND;
		} else if (f->kind == EFFECT_NOTICE && f->notice.what == NOTICE_PEAK) {
			b->last = f->notice.peak;
			b->reports++;
		}
	}
	effects_clear(&b->fx);
}

/* Lets time pass; loads end, timers come, in their order. */
static void until(struct bench *b, struct instant end)
{
	for (;;) {
		struct instant t = engine_next(b->e);
		size_t first = SIZE_MAX;

		for (size_t i = 0; i < b->flight.n; i++)
			if (b->flight.v[i].ends.us <= t.us) {
				t = b->flight.v[i].ends;
				first = i;
			}
		if (t.us > end.us)
			break;
		b->now = instant_max(b->now, t);
		if (first == SIZE_MAX) {
			engine_tick(b->e, b->now, b->max_work, &b->fx);
			b->ticks++;
		} else {
			struct input in = {.kind = INPUT_LOADED};
			char value[32] = "value";

			in.loaded.job = b->flight.v[first].job;
			in.loaded.status = b->down ? LOADED_ERROR : LOADED_OK;
			if (b->moving)
				snprintf(value, sizeof(value), "%" PRId64,
				         b->now.us / 600000000);
			in.loaded.value = bytes_str(value);
			in.loaded.last_modified = INSTANT_NONE;
			in.loaded.error = bytes_str("it is down");
			b->flight.v[first] = b->flight.v[--b->flight.n];
			engine_input(b->e, b->now, &in, &b->fx);
		}
		carry_out(b);
	}
	b->now = end;
}

static void ask(struct bench *b, const char *key)
{
	struct input in = {.kind = INPUT_GET, .key = bytes_str(key)};

	in.get.mode = GET_LOAD;
	engine_input(b->e, b->now, &in, &b->fx);
	carry_out(b);
}

/* The same from a Redis client, whose hits are put down and learned from later. */
static void ask_plainly(struct bench *b, const char *key)
{
	struct plain_value v;

	if (plain_get(b->e, b->now, bytes_str(key), 0, &v, &b->fx) == PLAIN_ASK)
		ask(b, key);
	plain_learn(b->e, b->now, 1, &b->fx);
	carry_out(b);
}

static struct instant nine(int day)
{
	return instant_add(MONDAY, span_from_s(day * DAY_S + 9 * 3600));
}

static void schedule(struct bench *b, const char *name, const char *pattern, int days,
                     double lead_s, uint32_t max_keys)
{
	struct instant at[40];
	struct input in = {.kind = INPUT_SCHEDULE};

	for (int d = 0; d < days; d++)
		at[d] = nine(d);
	in.schedule.name = bytes_str(name);
	in.schedule.pattern = bytes_str(pattern);
	in.schedule.at = at;
	in.schedule.n_at = (size_t)days;
	in.schedule.lead = span_from_s(lead_s);
	in.schedule.max_keys = max_keys;
	engine_input(b->e, b->now, &in, &b->fx);
	carry_out(b);
}

/* A day until ten o'clock: at nine the n keys of the format are asked for, one a second. */
static void morning(struct bench *b, int day, const char *format, int n)
{
	char key[64];

	for (int i = 0; i < n; i++) {
		until(b, instant_add(nine(day), span_from_s(i + 0.5)));
		snprintf(key, sizeof(key), format, i);
		ask(b, key);
	}
	until(b, instant_add(nine(day), span_from_s(3600)));
}

/* Values that are an hour old at most are refreshed each morning. */
static struct policy hourly(void)
{
	struct policy y = policy_default();

	y.max_age = 7200;
	return y;
}

TEST(what_was_asked_for_then_is_warm_and_what_is_popular_elsewhen_is_not)
{
	struct policy y = hourly();
	struct bench b = bench_new(&y, 50);
	char key[64];

	schedule(&b, "nine", "/m/<id>", 6, 0, 0);
	for (int d = 0; d < 5; d++) {
		size_t before = b.prewarmed;

		/* others are asked for all night, three hundred times as often */
		for (int i = 0; i < 300; i++) {
			until(&b, instant_add(MONDAY, span_from_s(d * DAY_S + 60.0 * i)));
			snprintf(key, sizeof(key), "/m/%d", 1000 + i % 3);
			ask(&b, key);
		}
		morning(&b, d, "/m/%d", 10);
		if (d >= 3)
			OK(b.prewarmed - before == 10, "day %d: %zu", d, b.prewarmed - before);
	}
	OK(b.reports == 5 && b.last.source == PREFETCH_SCHEDULE);
	OK(b.last.wanted == 10 && b.last.warm == 10 && b.last.late == 0, "%" PRIu64 " of %" PRIu64,
	   b.last.warm, b.last.wanted);
	OK(b.last.planned == 10 && b.last.loads == 10 && b.last.failed == 0);
	OK(b.last.began.us < b.last.at.us &&
	   b.last.began.us > b.last.at.us - 60 * INT64_C(1000000));
	bench_free(&b);
}

struct kept {
	struct engine *to;
	struct instant now;
	size_t n;
};

static void keep(void *arg, const struct record *r)
{
	struct kept *k = arg;
	const char *why = "";

	OK(engine_import(k->to, k->now, r, &why) == 0, "%s %s", r->kind, why);
	k->n++;
}

TEST(what_was_learned_survives_a_reload_and_a_restart)
{
	struct policy y = hourly();
	struct bench b = bench_new(&y, 50), after = bench_new(&y, 50);
	struct kept k = {.to = after.e};

	schedule(&b, "nine", "/m/<id>", 6, 0, 0);
	for (int d = 0; d < 4; d++)
		morning(&b, d, "/m/%d", 10);
	/* removed and set again, as a reload does */
	schedule(&b, "nine", "/m/<id>", 0, 0, 0);
	schedule(&b, "nine", "/m/<id>", 6, 0, 0);
	after.now = k.now = b.now;
	engine_export(b.e, b.now, keep, &k);
	OK(k.n >= 12);
	morning(&b, 4, "/m/%d", 10);
	OK(b.last.warm == 10, "%" PRIu64, b.last.warm);
	schedule(&after, "nine", "/m/<id>", 6, 0, 0);
	morning(&after, 4, "/m/%d", 10);
	OK(after.last.wanted == 10 && after.last.warm == 10, "%" PRIu64 " of %" PRIu64,
	   after.last.warm, after.last.wanted);
	bench_free(&b);
	bench_free(&after);
}

TEST(a_name_that_says_whose_it_is_is_left_alone_unless_told)
{
	for (int mode = 0; mode < 3; mode++) {
		struct policy y = hourly();
		struct bench b;

		y.prewarm = (enum prewarm_mode)mode;
		b = bench_new(&y, 50);
		schedule(&b, "nine", "*", 6, 0, 0);
		for (int d = 0; d < 5; d++)
			morning(&b, d, "/users/%d/orders", 10);
		if (mode == PREWARM_ALWAYS)
			OK(b.prewarmed >= 10 && b.last.warm == 10);
		else
			OK(b.prewarmed == 0 && b.last.wanted == 0);
		if (mode == PREWARM_AUTO)
			OK(b.last.skipped[SKIP_PERSONAL] == 10);
		if (mode == PREWARM_NEVER)
			OK(b.last.skipped[SKIP_FORBIDDEN] == 10);
		bench_free(&b);
	}
}

TEST(an_origin_that_dies_meanwhile_is_left_in_peace_and_reported)
{
	struct policy y = hourly();
	struct bench b = bench_new(&y, 50);
	size_t before;

	schedule(&b, "nine", "/m/<id>", 6, 0, 0);
	for (int d = 0; d < 4; d++)
		morning(&b, d, "/m/%d", 200);
	until(&b, instant_add(nine(4), span_from_s(-1800)));
	before = b.prewarmed;
	b.down = true;
	until(&b, nine(4));
	OK(b.reports == 5 && b.last.planned >= 190, "%" PRIu64, b.last.planned);
	OK(b.last.late == b.last.planned && b.last.warm == 0);
	OK(b.last.failed >= 1 && b.prewarmed - before < 60, "%zu loads of an origin that fails",
	   b.prewarmed - before);
	OK(b.last.loads == b.prewarmed - before);
	bench_free(&b);
}

TEST(a_budget_of_nothing_is_reported_and_nothing_hangs)
{
	struct policy y = hourly();
	struct bench b = bench_new(&y, 0);

	schedule(&b, "nine", "/m/<id>", 6, 0, 0);
	for (int d = 0; d < 5; d++)
		morning(&b, d, "/m/%d", 10);
	OK(b.prewarmed == 0 && b.reports == 5);
	OK(b.last.wanted == 10 && b.last.warm == 0 && b.last.skipped[SKIP_ORIGIN] == 10);
	bench_free(&b);
}

TEST(loads_that_take_longer_begin_earlier)
{
	struct policy y = hourly();
	struct bench b = bench_new(&y, 50);

	b.slow = true;
	schedule(&b, "nine", "/m/<id>", 6, 0, 0);
	for (int d = 0; d < 5; d++)
		morning(&b, d, "/m/%d", 10);
	OK(b.last.wanted == 10 && b.last.warm == 10, "%" PRIu64, b.last.warm);
	OK(b.last.began.us < b.last.at.us - 6 * INT64_C(1000000));
	bench_free(&b);
}

TEST(overlapping_and_contradictory_schedules_load_each_key_once)
{
	struct policy y = hourly();
	struct bench b = bench_new(&y, 50);
	size_t before = 0;

	schedule(&b, "nine", "/m/<id>", 6, 0, 0);
	schedule(&b, "nine again", "*", 6, 600, 3);
	/* a lead longer than its period, and a pattern that matches nothing */
	schedule(&b, "early", "/m/<id>", 6, 2 * DAY_S, 0);
	schedule(&b, "nobody", "/none/<id>", 6, 0, 0);
	for (int d = 0; d < 5; d++) {
		before = b.prewarmed;
		morning(&b, d, "/m/%d", 10);
	}
	OK(b.prewarmed - before == 10, "%zu", b.prewarmed - before);
	OK(b.reports == 20, "%zu", b.reports);
	bench_free(&b);
}

TEST(many_instants_a_minute_apart_are_reported_each)
{
	struct bench b = bench_new(NULL, 50);
	struct instant at[50];
	struct input in = {.kind = INPUT_SCHEDULE};

	for (int i = 0; i < 50; i++)
		at[i] = instant_add(MONDAY, span_from_s(3600 + 60 * i));
	in.schedule.name = bytes_str("often");
	in.schedule.pattern = bytes_str("*");
	in.schedule.at = at;
	in.schedule.n_at = 50;
	engine_input(b.e, b.now, &in, &b.fx);
	carry_out(&b);
	until(&b, instant_add(MONDAY, span_from_s(9000)));
	OK(b.reports == 50, "%zu", b.reports);
	bench_free(&b);
}

/* Twenty keys; from nine to ten on weekdays one request a second, else one in five minutes. */
static void learn_days(struct bench *b, int from, int to, double start_s)
{
	char key[64];

	for (int d = from; d < to; d++) {
		double t = d * DAY_S, end = (d + 1) * DAY_S, open = d * DAY_S + start_s;

		while (t < end) {
			bool busy = d % 7 < 5 && t >= open && t < open + 3600;
			double next = t + rng_exponential(&rng, busy ? 1 : 1 / 300.0);

			/* the bell is not missed by a long gap */
			t = !busy && d % 7 < 5 && t < open && next > open ? open + 0.01 : next;
			if (t >= end)
				break;
			until(b, instant_add(MONDAY, span_from_s(t)));
			snprintf(key, sizeof(key), "/m/%d", (int)rng_below(&rng, 20));
			ask(b, key);
			if (b->beside && busy) {
				snprintf(key, sizeof(key), "/other/%d", (int)t % 20);
				ask(b, key);
			}
		}
	}
}

TEST(by_hand_the_most_wanted_come_first)
{
	struct policy y = hourly();
	struct bench b = bench_new(&y, 50);
	struct input in = {.kind = INPUT_PREWARM, .ticket = 1};
	char key[64];
	size_t n = 0;

	/* the last are asked for the most; a day later nothing of it is fresh */
	for (int round = 0; round < 20; round++)
		for (int i = 0; i < 20; i++) {
			until(&b, instant_add(b.now, span_from_s(30)));
			snprintf(key, sizeof(key), "/m/%d", i);
			if (i > round)
				ask(&b, key);
		}
	until(&b, instant_add(MONDAY, span_from_s(DAY_S)));
	in.prewarm.pattern = bytes_str("/m/<id>");
	in.prewarm.max_keys = 3;
	in.prewarm.dry_run = true;
	engine_input(b.e, b.now, &in, &b.fx);
	engine_tick(b.e, b.now, 0, &b.fx);
	for (size_t i = 0; i < b.fx.list.n; i++) {
		const struct effect *f = &b.fx.list.v[i];

		if (f->reply.count != UINT64_MAX || f->reply.error.n)
			continue;
		snprintf(key, sizeof(key), "/m/%d", 19 - (int)n++);
		OK(bytes_equal(f->key, bytes_str(key)), "%s: %.*s", key, (int)f->key.n,
		   (const char *)f->key.p);
	}
	OK(n == 3, "%zu", n);
	bench_free(&b);
}

TEST(a_short_lead_beside_it_is_no_limit_to_an_automatic_one)
{
	struct policy y = hourly();
	struct bench b = bench_new(&y, 50);

	schedule(&b, "nine", "/m/<id>", 6, 0, 0);
	schedule(&b, "short", "/other/<id>", 6, 1, 0);
	for (int d = 0; d < 5; d++)
		morning(&b, d, "/m/%d", 200);
	until(&b, nine(5));
	/* 200 loads do not fit into a second, nor into two */
	OK(b.prewarmed >= 200, "%zu", b.prewarmed);
	bench_free(&b);
}

static void count_peaks(void *arg, const struct record *r)
{
	*(size_t *)arg += !strcmp(r->kind, "peak");
}

TEST(every_peak_that_was_is_written_once)
{
	struct policy y = hourly();
	struct bench b = bench_new(&y, 50);
	size_t n = 0;

	schedule(&b, "one", "/m/<id>", 1, 0, 0);
	schedule(&b, "two", "/m/<id>", 1, 0, 0);
	schedule(&b, "three", "/m/<id>", 1, 0, 0);
	schedule(&b, "four", "/m/<id>", 1, 0, 0);
	morning(&b, 0, "/m/%d", 10);
	engine_dirty(b.e, b.now, 1000, count_peaks, &n);
	OK(n == 4, "%zu", n);
	engine_dirty(b.e, b.now, 1000, count_peaks, &n);
	OK(n == 4, "%zu", n);
	bench_free(&b);
}

TEST(by_hand_the_most_keys_are_of_all_origins_together)
{
	struct policy y = hourly();
	struct engine_origin origin[2] = {{"api", origin_policy_default()},
	                                  {"db", origin_policy_default()}};
	struct engine_rule rule = {.match = "/b/<id>", .origin = 1, .policy = y};
	struct engine_config c = {.seed = 7,
	                          .limits = engine_limits_default(),
	                          .policy = y,
	                          .rule = &rule,
	                          .n_rules = 1,
	                          .origins = origin,
	                          .n_origins = 2};
	struct bench b = bench_new(&y, 50);
	struct input in = {.kind = INPUT_PREWARM, .ticket = 1};
	size_t replies = 0;
	char key[64];

	c.limits.audit_share = 0;
	origin[0].policy.rate = origin[1].policy.rate = 50;
	engine_configure(b.e, b.now, &c);
	for (int i = 0; i < 12; i++) {
		snprintf(key, sizeof(key), i % 2 ? "/a/%d" : "/b/%d", i);
		ask(&b, key);
	}
	until(&b, instant_add(MONDAY, span_from_s(DAY_S)));
	in.prewarm.pattern = bytes_str("*");
	in.prewarm.max_keys = 8;
	engine_input(b.e, b.now, &in, &b.fx);
	engine_tick(b.e, b.now, 0, &b.fx);
	for (size_t i = 0; i < b.fx.list.n; i++)
		if (b.fx.list.v[i].kind == EFFECT_REPLY) {
			OK(b.fx.list.v[i].reply.count == 8, "%" PRIu64, b.fx.list.v[i].reply.count);
			replies++;
		}
	OK(replies == 1, "%zu", replies);
	bench_free(&b);
}

TEST(a_schedule_that_is_sent_again_goes_on)
{
	struct policy y = hourly();
	struct bench b = bench_new(&y, 50);
	char key[64];

	schedule(&b, "nine", "/m/<id>", 6, 0, 0);
	for (int d = 0; d < 5; d++) {
		/* before the plan is made, between plan and bell, and while it is watched */
		until(&b, instant_add(nine(d), span_from_s(-1700)));
		schedule(&b, "nine", "/m/<id>", 6, 0, 0);
		until(&b, instant_add(nine(d), span_from_s(-0.1)));
		schedule(&b, "nine", "/m/<id>", 6, 0, 0);
		for (int i = 0; i < 10; i++) {
			until(&b, instant_add(nine(d), span_from_s(i + 0.5)));
			snprintf(key, sizeof(key), "/m/%d", i);
			ask(&b, key);
		}
		schedule(&b, "nine", "/m/<id>", 6, 0, 0);
		until(&b, instant_add(nine(d), span_from_s(3600)));
		OK(b.reports == (size_t)d + 1, "day %d: %zu", d, b.reports);
	}
	OK(b.last.wanted == 10 && b.last.warm == 10, "%" PRIu64 " of %" PRIu64, b.last.warm,
	   b.last.wanted);
	/* another rule makes no second bell of the one that has been */
	until(&b, instant_add(nine(5), span_from_s(1)));
	OK(b.reports == 6);
	schedule(&b, "nine", "/m/*", 6, 0, 0);
	until(&b, instant_add(nine(5), span_from_s(3600)));
	OK(b.reports == 6, "%zu", b.reports);
	bench_free(&b);
}

TEST(an_instant_that_nobody_lived_through_is_no_experience)
{
	struct policy y = hourly();
	struct bench b = bench_new(&y, 50);

	schedule(&b, "nine", "/m/<id>", 8, 0, 0);
	for (int d = 0; d < 4; d++)
		morning(&b, d, "/m/%d", 10);
	/* asleep for three days, from before the first of the plans to long after the last bell */
	b.now = instant_add(nine(6), span_from_s(3 * 3600));
	engine_tick(b.e, b.now, 0, &b.fx);
	carry_out(&b);
	OK(b.reports == 4, "%zu", b.reports);
	morning(&b, 7, "/m/%d", 10);
	OK(b.reports == 5 && b.last.wanted == 10 && b.last.warm == 10, "%" PRIu64 " of %" PRIu64,
	   b.last.warm, b.last.wanted);
	bench_free(&b);
}

struct found {
	size_t n;
	struct learned_row row;
};

static void note(void *arg, const struct learned_row *r)
{
	struct found *f = arg;

	if (r->kind == ZONE_WEEKDAY) {
		f->n++;
		f->row = *r;
	}
}

/* Loads before a peak; those after a jump that nobody foresaw are none. */
static uint64_t foreseen(const struct bench *b)
{
	struct engine_stats s;

	engine_stats(b->e, &s);
	return s.loads[LOAD_PREWARM] - s.prefetch[PREFETCH_JUMP].loads;
}

TEST(a_peak_that_recurs_is_learned_watched_proven_and_then_acted_on)
{
	uint64_t before;
	struct policy y = hourly();
	struct bench b = bench_new(&y, 50);
	struct found f = {0};

	y.max_age = 3600;
	learn_days(&b, 0, 4, 9 * 3600);
	engine_learned_peaks(b.e, note, &f);
	OK(f.n == 1 && f.row.minute == 9 * 60, "%zu, at %d", f.n, f.row.minute);
	OK(!f.row.proven && foreseen(&b) == 0, "only watched: %" PRIu64 " loads", foreseen(&b));
	learn_days(&b, 4, 12, 9 * 3600);
	f = (struct found){0};
	engine_learned_peaks(b.e, note, &f);
	OK(f.n == 1 && f.row.proven && f.row.confidence > 0.8, "%g", f.row.confidence);
	OK(foreseen(&b) > 10 && b.last.source == PREFETCH_LEARNED);
	OK(b.last.warm >= b.last.wanted * 9 / 10, "%" PRIu64 " of %" PRIu64, b.last.warm,
	   b.last.wanted);
	/* a weekend has no such peak */
	before = foreseen(&b);
	learn_days(&b, 12, 14, 9 * 3600);
	OK(foreseen(&b) == before, "%" PRIu64, foreseen(&b) - before);
	bench_free(&b);
}

static struct engine_stats stats_of(const struct bench *b)
{
	struct engine_stats s;

	engine_stats(b->e, &s);
	return s;
}

/*
 * From the start on ten requests a second for one of RUSH_KEYS each, for two minutes: so many keys that some
 * are yet to be asked for when the jump is found, some seconds later. Of 40, in one run of 40 none was.
 */
#define RUSH_KEYS 120
static void rush(struct bench *b, struct instant start)
{
	char key[64];

	for (int i = 0; i < 1200; i++) {
		until(b, instant_add(start, span_from_s(i / 10.0 + 0.01)));
		snprintf(key, sizeof(key), "/m/%d", (int)rng_below(&rng, RUSH_KEYS));
		ask(b, key);
	}
}

/* What the plan of a peak has left to demand is not loaded because the requests jump as they come. */
TEST(the_rise_of_a_peak_that_was_prepared_for_is_no_jump_to_load_for)
{
	struct policy y = hourly();
	struct bench b = bench_new(&y, 50);

	schedule(&b, "nine", "/m/<id>", 8, 0, 5);
	for (int d = 0; d < 4; d++)
		rush(&b, nine(d));
	until(&b, instant_add(nine(4), span_from_s(-3600)));
	/* without a schedule; with one that loads; with one whose plan leaves all to demand */
	for (int i = 0; i < 3; i++) {
		bool scheduled = i > 0, loads = i == 1;
		struct policy dear = y;
		struct bench after;
		struct kept k;
		struct engine_stats s;

		dear.peak_value = dear.latency_value = 0;
		/* a detector that has seen no rush yet */
		after = bench_new(i == 2 ? &dear : &y, 50);
		k = (struct kept){.to = after.e, .now = b.now};
		after.now = b.now;
		engine_export(b.e, b.now, keep, &k);
		if (scheduled)
			schedule(&after, "nine", "/m/<id>", 8, 0, 5); /* keys, at the most */
		for (int j = 0; j < 3600; j++) {
			until(&after, instant_add(b.now, span_from_s(j)));
			ask(&after, "/m/1000");
		}
		rush(&after, nine(4));
		s = stats_of(&after);
		OK(s.jumps == 1, "%" PRIu64, s.jumps);
		OK((after.last.loads == 5) == loads, "%" PRIu64, after.last.loads);
		/* nobody else has foreseen it */
		OK((s.prefetch[PREFETCH_JUMP].loads > 0) == !scheduled, "%" PRIu64,
		   s.prefetch[PREFETCH_JUMP].loads);
		bench_free(&after);
	}
	bench_free(&b);
}

/* What the TTL of a key would be at twice the price, as things are now. */
static double ttl_of(struct bench *b, const char *key)
{
	struct why w;

	OK(engine_why(b->e, b->now, bytes_str(key), &w));
	return w.ttl_at_double_price_s;
}

/* Within a second so many others of the origin are asked for, from number `first` on. */
static void burst(struct bench *b, int first, int n)
{
	struct instant start = b->now;
	char key[64];

	for (int i = 0; i < n; i++) {
		until(b, instant_add(start, span_from_s(i / (double)n)));
		snprintf(key, sizeof(key), "/other/%d", first + i);
		ask(b, key);
	}
}

/* Loads are dear when there are more of them than usual after this peak: what is held lives longer. */
TEST(the_loads_after_a_peak_are_levelled_as_they_are_known_to_come)
{
	struct policy y = hourly();
	struct bench b = bench_new(&y, 50);

	b.moving = true;
	schedule(&b, "nine", "/m/<id>", 8, 0, 0);
	for (int d = 0; d < 4; d++)
		rush(&b, nine(d));
	until(&b, instant_add(nine(4), span_from_s(-3600)));
	for (int i = 0; i < 3; i++) {
		/* by what was known before a restart; not without that; nor when nothing is to be warm */
		struct policy never = y;
		struct bench after;
		struct kept k;
		double idle, busy;
		struct why held, w;
		size_t asked;

		never.prewarm = PREWARM_NEVER;
		after = bench_new(i == 2 ? &never : &y, 50);
		k = (struct kept){.to = after.e, .now = b.now};
		after.now = b.now;
		after.moving = true;
		if (i != 1)
			engine_export(b.e, b.now, keep, &k);
		schedule(&after, "nine", "/m/<id>", 8, 0, 0);
		rush(&after, nine(4));
		until(&after, instant_add(after.now, span_from_s(20)));
		idle = ttl_of(&after, "/m/1");
		ask(&after, "/m/1");
		until(&after, instant_add(after.now, span_from_s(1)));
		OK(engine_why(after.e, after.now, bytes_str("/m/1"), &held));
		burst(&after, 0, 200);
		OK(engine_why(after.e, after.now, bytes_str("/m/1"), &w));
		OK(i == 0 ? w.load_cost > 1.5 : w.load_cost == 1, "%g", w.load_cost);
		busy = ttl_of(&after, "/m/1");
		/* it goes on to the end that was planned before it began */
		for (int n = 200; i == 0 && after.now.us <= held.soft.us; n += 200)
			burst(&after, n, 200);
		OK((busy > 1.5 * idle) == (i == 0), "%g s, %g s", idle, busy);
		/* what would have ended is good for a little longer */
		asked = after.demanded;
		ask(&after, "/m/1");
		OK(i > 0 || after.demanded == asked);
		bench_free(&after);
	}
	bench_free(&b);
}

/* What a peak whose name begins so remembers of loads in its minutes: its record. */
struct levels {
	const char *peak;
	size_t peaks, n; /* n rows of an origin, loads per request, requests per second */
	double v[8][3];
};

static void note_levels(void *arg, const struct record *r)
{
	struct levels *l = arg;

	if (strcmp(r->kind, "peak") || r->name.n < strlen(l->peak) ||
	    memcmp(r->name.p, l->peak, strlen(l->peak)))
		return;
	l->peaks++;
	for (size_t i = 0; i < r->n_fields; i++)
		if (!strcmp(r->field[i].name, "level") && r->field[i].n <= 24) {
			memcpy(l->v, r->field[i].v, r->field[i].n * sizeof(double));
			l->n = r->field[i].n / 3;
		}
}

static struct levels levels_of(struct bench *b, const char *peak)
{
	struct levels l = {.peak = peak};

	engine_export(b->e, b->now, note_levels, &l);
	return l;
}

/* Its minutes are over before its watch is; what they have shown is not lost to the next one's. */
TEST(a_learned_peak_learns_its_loads_though_another_peak_comes_while_it_is_watched)
{
	struct policy y = hourly();
	struct bench b = bench_new(&y, 50);
	struct instant at[20];
	struct input in = {.kind = INPUT_SCHEDULE};
	struct levels learned, other;

	for (int d = 0; d < 20; d++)
		at[d] = instant_add(nine(d), span_from_s(7 * 60));
	in.schedule.name = bytes_str("seven past");
	in.schedule.pattern = bytes_str("/other/<id>");
	in.schedule.at = at;
	in.schedule.n_at = 20;
	engine_input(b.e, b.now, &in, &b.fx);
	carry_out(&b);
	b.beside = true;
	learn_days(&b, 0, 12, 9 * 3600);
	learned = levels_of(&b, "/m/<id> weekdays");
	other = levels_of(&b, "seven past");
	OK(other.n == 1 && other.v[0][2] > 1, "%g", other.v[0][2]);
	OK(learned.peaks == 1 && learned.n == 1 && learned.v[0][2] > 1, "%zu, %zu, %g", learned.peaks,
	   learned.n, learned.v[0][2]);
	bench_free(&b);
}

struct id_of {
	double id;
};

static void take_id(void *arg, const struct record *r)
{
	if (!strcmp(r->kind, "peak"))
		((struct id_of *)arg)->id = r->field[0].v[0];
}

/* Loads are per request, whoever has asked. */
TEST(requests_of_redis_clients_are_counted_once_whether_or_not_they_hit)
{
	struct policy y = hourly();
	struct bench b = bench_new(&y, 50);
	struct levels l;
	size_t loads = 0, last = 0;
	char key[64];

	schedule(&b, "nine", "/m/<id>", 4, 0, 0);
	for (int d = 0; d < 3; d++) {
		for (int i = 0; i < 300; i++) {
			until(&b, instant_add(nine(d), span_from_s(0.9 * i + 0.01)));
			snprintf(key, sizeof(key), "/m/%d", i % 30);
			ask_plainly(&b, key);
		}
		last = b.last.wanted;
		until(&b, instant_add(nine(d), span_from_s(300)));
		l = levels_of(&b, "nine");
		/* 300 in as many seconds; of the second time, of which nothing was known, and since */
		OK(d == 0 || l.n == 1, "%zu", l.n);
		if (l.n)
			NEAR(l.v[0][2], 1, 1e-6);
		loads += b.prewarmed;
	}
	OK(last == 30 && loads > 0, "%zu", last);
	bench_free(&b);
}

/* Of eight origins that there were under other names nothing is kept once the place is wanted. */
TEST(what_a_peak_knows_of_origins_that_are_gone_makes_room)
{
	struct policy y = hourly();
	struct bench b = bench_new(&y, 50), own = bench_new(&y, 50);
	double id = 0, peaks[8] = {0}, level[24];
	struct record r = {.kind = "peak",
	                   .name = bytes_str("nine"),
	                   .field = {{"id", &id, 1}, {"peaks", peaks, 8}, {"level", level, 24}},
	                   .n_fields = 3};
	struct id_of found = {0};
	struct levels l;
	const char *why = "";
	bool is_here = false;

	for (int i = 0; i < 8; i++) {
		level[3 * i] = i + 1;
		level[3 * i + 1] = 0.2;
		level[3 * i + 2] = 50;
	}
	schedule(&b, "nine", "/m/<id>", 8, 0, 0);
	schedule(&own, "nine", "/m/<id>", 8, 0, 0);
	engine_export(b.e, b.now, take_id, &found);
	id = found.id;
	OK(!engine_import(b.e, b.now, &r, &why), "%s", why);
	l = levels_of(&b, "nine");
	OK(l.n == 8, "%zu", l.n);
	/* a record that says nothing of them takes nothing away */
	r.n_fields = 2;
	OK(!engine_import(b.e, b.now, &r, &why), "%s", why);
	l = levels_of(&b, "nine");
	OK(l.n == 8, "%zu", l.n);
	for (int d = 0; d < 3; d++) {
		rush(&b, nine(d));
		rush(&own, nine(d));
		l = levels_of(&own, "nine");
		/* the first time nothing was wanted yet; and what is not known is not written */
		OK(l.peaks == 1 && l.n == (d == 2), "%d: %zu", d, l.n);
	}
	id = l.v[0][0];
	l = levels_of(&b, "nine");
	for (size_t i = 0; i < l.n; i++)
		is_here |= l.v[i][0] == id && l.v[i][2] > 1;
	OK(l.n == 8 && is_here);
	bench_free(&b);
	bench_free(&own);
}

/* A bench that has asked for n keys at two mornings, with a schedule of three for them. */
static struct bench two_mornings(int n, unsigned max_work)
{
	struct policy y = hourly();
	struct bench b = bench_new(&y, 1000);
	char key[64];

	b.max_work = max_work;
	schedule(&b, "nine", "/m/<id>", 3, 0, 0);
	for (int d = 0; d < 2; d++)
		for (int i = 0; i < n; i++) {
			until(&b, instant_add(nine(d), span_from_s(0.01 * i)));
			snprintf(key, sizeof(key), "/m/%d", i);
			ask(&b, key);
		}
	until(&b, instant_add(nine(2), span_from_s(-2000)));
	b.ticks = 0;
	return b;
}

TEST(a_plan_that_is_made_in_slices_is_the_same)
{
	struct bench whole = two_mornings(3000, 0), sliced = two_mornings(3000, 1);
	size_t quiet;

	until(&whole, instant_add(nine(2), span_from_s(10)));
	until(&sliced, instant_add(nine(2), span_from_s(-1750)));
	quiet = sliced.ticks;
	OK(quiet >= 3000 / 16, "%zu ticks for a plan of 3000 keys", quiet);
	until(&sliced, instant_add(nine(2), span_from_s(10)));
	OK(whole.last.at.us == nine(2).us && sliced.last.at.us == nine(2).us);
	OK(whole.last.wanted > 2900 && whole.last.wanted == sliced.last.wanted,
	   "%" PRIu64 ", %" PRIu64, whole.last.wanted, sliced.last.wanted);
	OK(whole.last.planned > 2900 && whole.last.planned == sliced.last.planned,
	   "%" PRIu64 ", %" PRIu64, whole.last.planned, sliced.last.planned);
	OK(sliced.last.warm > 2900, "%" PRIu64, sliced.last.warm);
	OK(sliced.reports == whole.reports);
	bench_free(&whole);
	bench_free(&sliced);
}

TEST(what_changes_while_a_plan_is_made_makes_it_anew)
{
	struct bench b = two_mornings(3000, 1);
	struct instant t = instant_add(nine(2), span_from_s(-1800));
	struct input purge = {.kind = INPUT_PURGE}, gone = {.kind = INPUT_SCHEDULE};

	/* in the midst of it: other keys, then none, then the same as before */
	until(&b, t);
	for (int i = 0; i < 10; i++)
		engine_tick(b.e, b.now, 1, &b.fx);
	schedule(&b, "nine", "/other/<id>", 3, 0, 0);
	for (int i = 0; i < 3; i++)
		engine_tick(b.e, b.now, 1, &b.fx);
	gone.schedule.name = bytes_str("nine");
	engine_input(b.e, b.now, &gone, &b.fx);
	engine_tick(b.e, b.now, 1, &b.fx);
	schedule(&b, "nine", "/m/<id>", 3, 0, 0);
	for (int i = 0; i < 10; i++)
		engine_tick(b.e, b.now, 1, &b.fx);
	purge.key = bytes_str("/m/7");
	engine_input(b.e, b.now, &purge, &b.fx);
	carry_out(&b);
	until(&b, instant_add(nine(2), span_from_s(10)));
	OK(b.last.at.us == nine(2).us && b.last.wanted > 2900 && b.last.warm > 2900,
	   "%" PRIu64 " of %" PRIu64, b.last.warm, b.last.wanted);
	bench_free(&b);
	/* and the end of the engine in the midst */
	b = two_mornings(3000, 1);
	until(&b, t);
	engine_tick(b.e, b.now, 1, &b.fx);
	bench_free(&b);
}

/* Keys that nobody knew take the numbers of others, as there may be no more. Nothing is held of them. */
static void newcomers(struct bench *b, const char *format, int from, int n)
{
	char key[64];

	for (int i = from; i < from + n; i++) {
		struct input in = {.kind = INPUT_EVENT};

		snprintf(key, sizeof(key), format, i);
		in.key = bytes_str(key);
		in.event.at = INSTANT_NONE;
		in.event.outcome = OUTCOME_MISS;
		engine_input(b->e, b->now, &in, &b->fx);
	}
	carry_out(b);
}

static struct engine_config few_keys(double max_keys, struct engine_origin *origin)
{
	struct engine_config c = {.seed = 7,
	                          .limits = engine_limits_default(),
	                          .policy = hourly(),
	                          .origins = origin,
	                          .n_origins = 1};

	c.limits.audit_share = 0;
	c.limits.max_keys = max_keys;
	return c;
}

TEST(what_has_got_the_number_of_a_wanted_key_is_not_loaded_in_its_place)
{
	struct engine_origin origin = {"api", origin_policy_default()};
	struct engine_config c = few_keys(3000, &origin);
	struct bench b = two_mornings(3000, 1);
	size_t strangers = 0;

	origin.policy.rate = 1000;
	engine_configure(b.e, b.now, &c);
	b.keep = true;
	/* while the plans are made, and while the loads of the last one are under way */
	until(&b, instant_add(nine(2), span_from_s(-1800)));
	for (int i = 0; i < 10; i++) {
		for (int k = 0; k < 10; k++)
			engine_tick(b.e, b.now, 1, &b.fx);
		carry_out(&b);
		newcomers(&b, "/m/new%d", 20 * i, 20);
	}
	while (b.now.us < nine(2).us && b.loaded.n < 100)
		until(&b, instant_add(b.now, span_from_s(1)));
	OK(b.loaded.n >= 100 && b.loaded.n < 2000, "%zu", b.loaded.n);
	newcomers(&b, "/m/new%d", 1000, 300);
	until(&b, instant_add(nine(2), span_from_s(10)));
	for (size_t i = 0; i < b.loaded.n; i++)
		strangers += b.loaded.v[i] < 0;
	OK(strangers == 0, "%zu of %zu", strangers, b.loaded.n);
	OK(b.loaded.n > 2200, "%zu", b.loaded.n);
	bench_free(&b);
}

static void note_live(void *arg, const struct record *r)
{
	int n = strcmp(r->kind, "key") ? -1 : number_of(r->name);

	if (n >= 0)
		((bool *)arg)[n] = true;
}

/* A proven learned peak at nine on weekdays of 3000 keys that were asked for at each of them. */
static void learned_at_nine(struct bench *b)
{
	static const double peaks[8] = {5, 1, 1, 1, 1, 1, 0, 0}, minute[15] = {0},
	                    rise[5] = {ZONE_WEEKDAY, 36, 5, 5, 9}, evidence[3] = {1, 1e7, 20},
	                    rate[3] = {3, 400000, -1}, trials[5] = {5, 5, 900, 900, 1};
	double id = 1, asked[17] = {0, 5, 50};
	struct record peak = {.kind = "peak",
	                      .name = bytes_str("any"),
	                      .endpoint = bytes_str("/m/<id>"),
	                      .field = {{"id", &id, 1},
	                                {"peaks", peaks, 8},
	                                {"rise", rise, 5},
	                                {"trials", trials, 5},
	                                {"minute", minute, 15}},
	                      .n_fields = 5};
	struct record key = {
	        .kind = "key",
	        .endpoint = bytes_str("/m/<id>"),
	        .field = {{"evidence", evidence, 3}, {"rate", rate, 3}, {"asked", asked, 17}},
	        .n_fields = 3};
	struct id_of found = {0};
	const char *why = "";
	char name[64];

	OK(!engine_import(b->e, b->now, &peak, &why), "%s", why);
	engine_export(b->e, b->now, take_id, &found);
	asked[0] = id = found.id;
	for (int d = 0; d < 5; d++) {
		asked[3 + 2 * d] = 1;
		asked[4 + 2 * d] = 10;
	}
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "/m/%d", i);
		key.name = bytes_str(name);
		OK(!engine_import(b->e, b->now, &key, &why), "%s", why);
	}
	OK(!engine_import(b->e, b->now, &peak, &why), "%s", why);
}

TEST(a_key_that_takes_the_place_of_another_while_a_plan_is_made_is_seen)
{
	struct engine_origin origin = {"api", origin_policy_default()};
	struct engine_config c = few_keys(3000, &origin);
	struct policy y = hourly();
	struct bench b = bench_new(&y, 1000);
	bool live[3000] = {false};
	uint64_t left = 0, seen = 0;

	origin.policy.rate = 1000;
	engine_configure(b.e, b.now, &c);
	learned_at_nine(&b);
	b.max_work = 1;
	/* so late that there is one plan */
	b.now = instant_add(nine(0), span_from_s(-29));
	for (int i = 0; i < 40; i++) {
		engine_tick(b.e, b.now, 1, &b.fx);
		carry_out(&b);
		newcomers(&b, "/other/%d", 10 * i, 10);
	}
	until(&b, instant_add(nine(0), span_from_s(20)));
	engine_export(b.e, b.now, note_live, live);
	for (int i = 0; i < 3000; i++)
		left += live[i];
	/* whatever became of it */
	for (int i = 0; i < PREWARM_SKIPS; i++)
		seen += b.last.skipped[i];
	seen += b.last.planned;
	OK(b.reports == 1 && left > 2000 && seen == left, "%" PRIu64 " of %" PRIu64, seen, left);
	bench_free(&b);
}

struct trial {
	size_t rows, keys, count, replies;
	char first[64];
};

static void count_rows(struct bench *b, struct trial *t)
{
	for (size_t i = 0; i < b->fx.list.n; i++) {
		const struct effect *f = &b->fx.list.v[i];

		if (f->kind != EFFECT_REPLY || f->ticket != 7)
			continue;
		if (f->reply.count != UINT64_MAX) {
			t->replies++;
			t->count = f->reply.count;
			continue;
		}
		t->rows++;
		if (!f->reply.error.n && !t->keys++)
			snprintf(t->first, sizeof(t->first), "%.*s", (int)f->key.n,
			         (const char *)f->key.p);
	}
	carry_out(b);
}

TEST(by_hand_it_is_planned_in_slices_one_after_the_other)
{
	struct bench whole = two_mornings(3000, 0), sliced = two_mornings(3000, 1);
	struct trial a = {0}, b = {0};
	struct input in = {.kind = INPUT_PREWARM, .ticket = 7}, more = {.kind = INPUT_PREWARM};
	size_t ticks = 0, before;

	in.prewarm.pattern = more.prewarm.pattern = bytes_str("/m/<id>");
	in.prewarm.dry_run = true;
	in.prewarm.max_keys = 500;
	until(&whole, nine(3));
	until(&sliced, nine(3));
	engine_input(whole.e, whole.now, &in, &whole.fx);
	engine_tick(whole.e, whole.now, 0, &whole.fx);
	count_rows(&whole, &a);
	engine_input(sliced.e, sliced.now, &in, &sliced.fx);
	engine_input(sliced.e, sliced.now, &more, &sliced.fx);
	for (before = sliced.prewarmed; !b.replies; ticks++) {
		engine_tick(sliced.e, sliced.now, 1, &sliced.fx);
		count_rows(&sliced, &b);
	}
	OK(ticks > 30, "%zu", ticks);
	OK(a.replies == 1 && b.replies == 1 && a.count == 500 && b.count == 500, "%zu, %zu",
	   a.count, b.count);
	OK(a.rows == 1000 && b.rows == 1000 && a.keys == 500 && b.keys == 500, "%zu, %zu", a.rows,
	   b.rows);
	OK(!strcmp(a.first, b.first), "%s, %s", a.first, b.first);
	/* the dry run has loaded nothing; the one behind it does, and the end of all frees what is left */
	OK(sliced.prewarmed == before);
	until(&sliced, instant_add(sliced.now, span_from_s(60)));
	OK(sliced.prewarmed - before == 3000, "%zu", sliced.prewarmed - before);
	engine_input(sliced.e, sliced.now, &more, &sliced.fx);
	engine_tick(sliced.e, sliced.now, 1, &sliced.fx);
	engine_input(sliced.e, sliced.now, &more, &sliced.fx);
	bench_free(&whole);
	bench_free(&sliced);
}

/* What is asked for next by hand takes nothing from what was asked for before. */
TEST(by_hand_each_is_loaded)
{
	struct bench b = two_mornings(3000, 0);
	struct input in = {.kind = INPUT_PREWARM, .ticket = 7};
	size_t before, at_once;

	until(&b, nine(3));
	before = b.prewarmed;
	in.prewarm.pattern = bytes_str("/m/<id>");
	engine_input(b.e, b.now, &in, &b.fx);
	engine_tick(b.e, b.now, 0, &b.fx);
	carry_out(&b);
	at_once = b.prewarmed - before;
	in.prewarm.pattern = bytes_str("/none/<id>");
	engine_input(b.e, b.now, &in, &b.fx);
	engine_tick(b.e, b.now, 0, &b.fx);
	carry_out(&b);
	until(&b, instant_add(b.now, span_from_s(60)));
	OK(at_once < 2000 && b.prewarmed - before == 3000, "%zu, %zu", at_once,
	   b.prewarmed - before);
	bench_free(&b);
}

TEST(what_a_watch_has_taught_is_worked_off_in_slices)
{
	struct bench b = two_mornings(3000, 1);
	size_t ticks;

	until(&b, instant_add(nine(2), span_from_s(10)));
	until(&b, instant_add(nine(2), span_from_s(299)));
	ticks = b.ticks;
	until(&b, instant_add(nine(2), span_from_s(301)));
	OK(b.ticks - ticks >= 3000 / 1024 + 3000 / 1024 + 3, "%zu", b.ticks - ticks);
	/* a schedule that goes in the midst of it takes nothing down with it */
	schedule(&b, "nine", "/m/<id>", 5, 0, 0);
	until(&b, instant_add(nine(3), span_from_s(300)));
	engine_tick(b.e, b.now, 1, &b.fx);
	schedule(&b, "nine", "/m/<id>", 0, 0, 0);
	engine_tick(b.e, b.now, 1, &b.fx);
	schedule(&b, "nine", "/m/<id>", 5, 0, 0);
	until(&b, instant_add(nine(4), span_from_s(10)));
	OK(b.last.at.us == nine(4).us);
	bench_free(&b);
}

TEST(a_new_schedule_knows_what_was_learned_of_the_peak_in_whose_place_it_steps)
{
	struct policy y = hourly();
	struct bench b = bench_new(&y, 50), after = bench_new(&y, 50);
	struct kept k = {.to = after.e};
	char key[64];

	/* at nine 300 keys, one a second; else three others, with as many requests over the day */
	for (double t = 0; t < 4 * DAY_S;) {
		double at = fmod(t, DAY_S) - 9 * 3600;
		bool busy = at >= 0 && at < 3600;

		until(&b, instant_add(MONDAY, span_from_s(t)));
		snprintf(key, sizeof(key), "/m/%d", busy ? (int)at % 300 : 1000 + (int)t % 3);
		ask(&b, key);
		t += busy ? 1 : 20;
	}
	/* somewhere else, where nobody has asked for anything of late */
	after.now = k.now = b.now;
	schedule(&after, "nine", "/m/<id>", 12, 0, 0);
	engine_export(b.e, b.now, keep, &k);
	until(&after, instant_add(nine(4), span_from_s(1)));
	OK(after.last.source == PREFETCH_SCHEDULE && after.last.at.us == nine(4).us);
	OK(after.last.wanted >= 200 && after.last.warm >= 200, "%" PRIu64 " of %" PRIu64,
	   after.last.warm, after.last.wanted);
	bench_free(&b);
	bench_free(&after);
}

TEST(whether_a_peak_came_is_not_said_without_a_history)
{
	struct policy y = hourly();
	struct bench b = bench_new(&y, 50), after = bench_new(&y, 50);
	struct kept k = {.to = after.e};
	struct found was = {0}, is = {0};
	char key[64];

	learn_days(&b, 0, 4, 9 * 3600);
	until(&b, instant_add(nine(4), span_from_s(-600)));
	after.now = k.now = b.now;
	engine_export(b.e, b.now, keep, &k);
	engine_learned_peaks(after.e, note, &was);
	OK(was.n == 1 && was.row.trials > 0);
	/* a restart just before: the quarters that it would have to be compared with are not known */
	for (int i = 0; i < 1800; i++) {
		until(&after, instant_add(after.now, span_from_s(1)));
		snprintf(key, sizeof(key), "/m/%d", (int)rng_below(&rng, 20));
		ask(&after, key);
	}
	engine_learned_peaks(after.e, note, &is);
	OK(is.n == 1 && is.row.next.us > after.now.us);
	NEAR(is.row.trials, was.row.trials, 1e-6);
	NEAR(is.row.kept, was.row.kept, 1e-6);
	bench_free(&b);
	bench_free(&after);
}

TEST(what_was_forgotten_does_not_come_back_from_the_file)
{
	double peaks[8] = {5}, rise[5] = {ZONE_WEEKDAY, 36, 5, 5, 9}, trials[5] = {5, 1, 0, 0, 0}, id = 1;
	struct record r = {
	        .kind = "peak",
	        .name = bytes_str("any"),
	        .endpoint = bytes_str("/m/<id>"),
	        .field = {{"id", &id, 1}, {"peaks", peaks, 8}, {"rise", rise, 5}, {"trials", trials, 5}},
	        .n_fields = 4};

	for (int kept = 1; kept < 6; kept += 4) {
		struct bench b = bench_new(NULL, 50);
		struct found f = {0};
		const char *why = "";

		trials[1] = kept; /* of five times it came once; each time */
		OK(!engine_import(b.e, b.now, &r, &why), "%s", why);
		engine_learned_peaks(b.e, note, &f);
		OK(f.n == (kept == 5), "%zu", f.n);
		bench_free(&b);
	}
}

struct written {
	size_t rows, deleted;
	char name[64];
};

static void note_written(void *arg, const struct record *r)
{
	struct written *w = arg;

	if (strcmp(r->kind, "peak"))
		return;
	w->rows += r->n_fields > 0;
	if (!r->n_fields) {
		w->deleted++;
		snprintf(w->name, sizeof(w->name), "%.*s", (int)r->name.n, (const char *)r->name.p);
	}
}

TEST(what_does_not_come_any_more_is_deleted_where_it_is_kept)
{
	struct policy y = hourly();
	struct bench b = bench_new(&y, 50);
	struct written w = {0}, again = {0};

	learn_days(&b, 0, 5, 9 * 3600);
	engine_dirty(b.e, b.now, 1000, note_written, &w);
	OK(w.rows == 1 && !w.deleted, "%zu, %zu", w.rows, w.deleted);
	/* from now on they come in the evening */
	learn_days(&b, 5, 28, 20 * 3600);
	engine_dirty(b.e, b.now, 1000, note_written, &w);
	OK(w.deleted == 1 && !strcmp(w.name, "/m/<id> weekdays 09:00"), "%zu, %s", w.deleted,
	   w.name);
	engine_dirty(b.e, b.now, 1000, note_written, &again);
	OK(!again.deleted);
	bench_free(&b);
}

/* Takes the learned peak of that slot, told and come so often. */
static void import_peak(struct bench *b, int slot, double told, double came)
{
	double peaks[8] = {5}, rise[5] = {ZONE_WEEKDAY, slot, 5, 5, 9},
	       trials[5] = {told, came, 0, 0, 0}, id = slot;
	struct record r = {
	        .kind = "peak",
	        .endpoint = bytes_str("/m/<id>"),
	        .field = {{"id", &id, 1}, {"peaks", peaks, 8}, {"rise", rise, 5}, {"trials", trials, 5}},
	        .n_fields = 4};
	const char *why = "";
	char name[64];

	snprintf(name, sizeof(name), "/m/<id> weekdays %02d:%02d", slot / 4, slot % 4 * 15);
	r.name = bytes_str(name);
	OK(!engine_import(b->e, b->now, &r, &why), "%s", why);
}

/* The same; gives what is written then. */
static struct written take_peak(struct bench *b, int slot, double told, double came)
{
	struct written w = {0};

	import_peak(b, slot, told, came);
	engine_dirty(b->e, b->now, 1000, note_written, &w);
	return w;
}

TEST(no_more_is_deleted_at_once_than_there_is_room_for)
{
	struct bench b = bench_new(NULL, 50);
	struct written w = {0};

	learn_days(&b, 0, 1, 9 * 3600);
	import_peak(&b, 70, 6, 1);
	import_peak(&b, 71, 6, 1);
	for (int i = 0; i < 100 && w.deleted < 2; i++) {
		size_t before = w.deleted, n = engine_dirty(b.e, b.now, 1, note_written, &w);

		/* an endpoint is two records, one more than asked for */
		OK(n <= 2 && w.deleted - before <= (n == 1), "%zu, %zu", n, w.deleted);
	}
	OK(w.deleted == 2, "%zu", w.deleted);
	bench_free(&b);
}

TEST(what_comes_from_elsewhere_makes_no_twins)
{
	struct bench b = bench_new(NULL, 50);
	struct written w = take_peak(&b, 36, 3, 3);
	struct found f = {0};

	OK(w.rows == 1 && !w.deleted, "%zu, %zu", w.rows, w.deleted);
	/* a quarter later, and told less often: what is known stays, and its row is not kept */
	w = take_peak(&b, 37, 2, 2);
	OK(!w.rows && w.deleted == 1 && !strcmp(w.name, "/m/<id> weekdays 09:15"), "%zu, %s",
	   w.deleted, w.name);
	/* the same with its own name: nothing is deleted of what is there */
	w = take_peak(&b, 36, 2, 2);
	OK(!w.deleted);
	engine_learned_peaks(b.e, note, &f);
	OK(f.n == 1 && f.row.minute == 9 * 60, "%zu, %d", f.n, f.row.minute);
	/* told more often it steps in its place */
	w = take_peak(&b, 35, 5, 5);
	OK(w.rows == 1 && w.deleted == 1 && !strcmp(w.name, "/m/<id> weekdays 09:00"), "%zu, %s",
	   w.deleted, w.name);
	f = (struct found){0};
	engine_learned_peaks(b.e, note, &f);
	OK(f.n == 1 && f.row.minute == 8 * 60 + 45, "%zu, %d", f.n, f.row.minute);
	/* at another time there is another */
	w = take_peak(&b, 60, 1, 1);
	OK(w.rows == 1 && !w.deleted);
	/* and one that is dead is deleted as it is read */
	w = take_peak(&b, 70, 6, 1);
	OK(!w.rows && w.deleted == 1 && !strcmp(w.name, "/m/<id> weekdays 17:30"), "%s", w.name);
	f = (struct found){0};
	engine_learned_peaks(b.e, note, &f);
	OK(f.n == 2, "%zu", f.n);
	bench_free(&b);
}

TEST(traffic_without_a_rhythm_has_nothing_to_foresee)
{
	struct bench b = bench_new(NULL, 50);
	struct engine_stats s;
	struct found f = {0};
	char key[64];

	for (double t = 0; t < 6 * DAY_S; t += rng_exponential(&rng, 0.05)) {
		until(&b, instant_add(MONDAY, span_from_s(t)));
		snprintf(key, sizeof(key), "/m/%d", (int)rng_below(&rng, 500));
		ask(&b, key);
	}
	engine_learned_peaks(b.e, note, &f);
	engine_stats(b.e, &s);
	OK(b.prewarmed == 0, "%zu", b.prewarmed);
	OK(f.n == 0 || !f.row.proven);
	OK((double)(s.loads[LOAD_REFRESH] + s.loads[LOAD_PREWARM]) <=
	           0.02 * (double)(s.loads[LOAD_DEMAND] + 1),
	   "%" PRIu64 " of %" PRIu64, s.loads[LOAD_REFRESH], s.loads[LOAD_DEMAND]);
	bench_free(&b);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(what_was_asked_for_then_is_warm_and_what_is_popular_elsewhen_is_not);
	RUN(what_was_learned_survives_a_reload_and_a_restart);
	RUN(a_name_that_says_whose_it_is_is_left_alone_unless_told);
	RUN(an_origin_that_dies_meanwhile_is_left_in_peace_and_reported);
	RUN(a_budget_of_nothing_is_reported_and_nothing_hangs);
	RUN(loads_that_take_longer_begin_earlier);
	RUN(overlapping_and_contradictory_schedules_load_each_key_once);
	RUN(many_instants_a_minute_apart_are_reported_each);
	RUN(by_hand_the_most_wanted_come_first);
	RUN(a_short_lead_beside_it_is_no_limit_to_an_automatic_one);
	RUN(every_peak_that_was_is_written_once);
	RUN(by_hand_the_most_keys_are_of_all_origins_together);
	RUN(a_schedule_that_is_sent_again_goes_on);
	RUN(an_instant_that_nobody_lived_through_is_no_experience);
	RUN(the_rise_of_a_peak_that_was_prepared_for_is_no_jump_to_load_for);
	RUN(a_learned_peak_learns_its_loads_though_another_peak_comes_while_it_is_watched);
	RUN(requests_of_redis_clients_are_counted_once_whether_or_not_they_hit);
	RUN(what_a_peak_knows_of_origins_that_are_gone_makes_room);
	RUN(the_loads_after_a_peak_are_levelled_as_they_are_known_to_come);
	RUN(a_peak_that_recurs_is_learned_watched_proven_and_then_acted_on);
	RUN(a_plan_that_is_made_in_slices_is_the_same);
	RUN(what_changes_while_a_plan_is_made_makes_it_anew);
	RUN(what_has_got_the_number_of_a_wanted_key_is_not_loaded_in_its_place);
	RUN(a_key_that_takes_the_place_of_another_while_a_plan_is_made_is_seen);
	RUN(by_hand_it_is_planned_in_slices_one_after_the_other);
	RUN(by_hand_each_is_loaded);
	RUN(what_a_watch_has_taught_is_worked_off_in_slices);
	RUN(a_new_schedule_knows_what_was_learned_of_the_peak_in_whose_place_it_steps);
	RUN(whether_a_peak_came_is_not_said_without_a_history);
	RUN(what_was_forgotten_does_not_come_back_from_the_file);
	RUN(what_does_not_come_any_more_is_deleted_where_it_is_kept);
	RUN(no_more_is_deleted_at_once_than_there_is_room_for);
	RUN(what_comes_from_elsewhere_makes_no_twins);
	RUN(traffic_without_a_rhythm_has_nothing_to_foresee);
	return tap_done();
}
