/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a scheduled peak costs, and for how long nobody is served: bench/peak [KEYS], 100,000 unless
 * told otherwise. All of them match the schedule, and all are asked for at it on four days.
 *
 *	plan      CPU time to plan for the peak, and the longest single call of engine_tick in that time
 *	load      from then to the bell: the loads are begun and their values kept
 *	bell      from the bell on: the count of what was warm, and all that the watch has taught
 *	by hand   a dry run of `forecache prewarm` for all of them
 *
 * HOW IT WORKS an engine in virtual time with an origin that answers at once. CPU time of this
 * thread. Nothing passes or fails.
 */
#include "base/vec.h"
#include "engine/engine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define DAY_S 86400
#define DAYS  4
#define WORK  512 /* of a tick, as in the daemon */

static const struct instant MONDAY = {INT64_C(1793577600) * 1000000};

struct cost {
	double all_ns, longest_ns;
	unsigned slices, long_ones; /* above a millisecond */
};

struct day {
	struct engine *e;
	struct effects fx;
	struct instant now;
	VEC(uint64_t) job;
	struct peak_report last;
	bool replied;
};

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void note_effects(struct day *d)
{
	for (size_t i = 0; i < d->fx.list.n; i++) {
		struct effect *f = &d->fx.list.v[i];

		if (f->kind == EFFECT_FIT)
			harmonic_data_free(&f->fit.data);
		else if (f->kind == EFFECT_LOAD)
			*vec_push(&d->job) = f->load.job;
		else if (f->kind == EFFECT_NOTICE && f->notice.what == NOTICE_PEAK)
			d->last = f->notice.peak;
		else if (f->kind == EFFECT_REPLY && f->ticket && f->reply.count != UINT64_MAX)
			d->replied = true;
	}
	effects_clear(&d->fx);
}

static void carry_out(struct day *d)
{
	note_effects(d);
	while (d->job.n) {
		struct input in = {.kind = INPUT_LOADED};

		in.loaded.job = d->job.v[--d->job.n];
		in.loaded.status = LOADED_OK;
		in.loaded.value = bytes_str("value");
		in.loaded.last_modified = INSTANT_NONE;
		engine_input(d->e, d->now, &in, &d->fx);
		note_effects(d);
	}
}

static void tick(struct day *d, struct cost *c)
{
	double began = cpu_ns(), took;

	engine_tick(d->e, d->now, WORK, &d->fx);
	took = cpu_ns() - began;
	c->all_ns += took;
	c->longest_ns = fmax(c->longest_ns, took);
	c->slices++;
	c->long_ones += took > 1e6;
	carry_out(d);
}

static struct cost until(struct day *d, struct instant end)
{
	struct cost c = {0};
	struct instant t;

	while ((t = engine_next(d->e)).us <= end.us) {
		d->now = instant_max(d->now, t);
		tick(d, &c);
	}
	d->now = end;
	return c;
}

static struct instant nine(int day)
{
	return instant_add(MONDAY, span_from_s(day * DAY_S + 9 * 3600));
}

static void say(const char *name, struct cost c)
{
	printf("%-9s %9.1f ms, the longest of %u slices %.2f ms, %u above 1 ms\n", name,
	       c.all_ns * 1e-6, c.slices, c.longest_ns * 1e-6, c.long_ones);
}

int main(int argc, char **argv)
{
	unsigned keys = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 100000;
	struct engine_origin origin = {"api", origin_policy_default()};
	struct engine_config c = {.seed = 1,
	                          .limits = engine_limits_default(),
	                          .policy = policy_default(),
	                          .origins = &origin,
	                          .n_origins = 1};
	struct input in = {.kind = INPUT_SCHEDULE}, hand = {.kind = INPUT_PREWARM, .ticket = 1};
	struct instant at[DAYS + 1];
	struct day d = {.now = MONDAY};
	struct cost by_hand = {0};

	if (keys < 1 || keys > 1000000) {
		fprintf(stderr, "bench/peak [KEYS]: up to 1000000\n");
		return 2;
	}
	c.limits.audit_share = 0;
	c.policy.max_age = 7200;
	origin.policy.rate = keys;
	d.e = engine_new(&c, NULL, MONDAY);
	for (int i = 0; i <= DAYS; i++)
		at[i] = nine(i);
	in.schedule.name = bytes_str("nine");
	in.schedule.pattern = bytes_str("/k/<id>");
	in.schedule.at = at;
	in.schedule.n_at = DAYS + 1;
	in.schedule.max_keys = keys;
	engine_input(d.e, d.now, &in, &d.fx);
	for (int day = 0; day < DAYS; day++)
		for (unsigned i = 0; i < keys; i++) {
			struct input get = {.kind = INPUT_GET};
			char name[32];

			until(&d, instant_add(nine(day), span_from_s(200.0 * i / keys)));
			snprintf(name, sizeof(name), "/k/%u", i);
			get.key = bytes_str(name);
			get.get.mode = GET_LOAD;
			engine_input(d.e, d.now, &get, &d.fx);
			carry_out(&d);
		}
	until(&d, instant_add(nine(DAYS), SPAN_S(-1801)));
	say("plan", until(&d, instant_add(nine(DAYS), SPAN_S(-1799))));
	say("load", until(&d, instant_add(nine(DAYS), SPAN_US(-1))));
	say("bell", until(&d, instant_add(nine(DAYS), SPAN_S(400))));
	hand.prewarm.pattern = bytes_str("/k/<id>");
	hand.prewarm.max_keys = keys;
	hand.prewarm.dry_run = true;
	d.now = instant_add(nine(DAYS), SPAN_S(10 * 3600));
	until(&d, d.now);
	engine_input(d.e, d.now, &hand, &d.fx);
	while (!d.replied)
		tick(&d, &by_hand);
	say("by hand", by_hand);
	printf("wanted %llu, warm %llu\n", (unsigned long long)d.last.wanted,
	       (unsigned long long)d.last.warm);
	engine_free(&d.e);
	effects_release(&d.fx);
	vec_free(&d.job);
	return 0;
}
