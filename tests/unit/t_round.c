/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The slow work on endpoints that goes on all the time: what gets its turn, and when. */
#include "engine/state.h"

#include "tests/tap.h"

#define BUSY  150   /* endpoints with a model of their own */
#define QUIET 20000 /* others */

static const struct instant MONDAY = {INT64_C(1793577600) * 1000000};

static void ask(struct engine *e, struct instant now, const char *name, uint32_t count,
                struct effects *fx)
{
	struct input in = {.kind = INPUT_EVENT};

	in.endpoint = in.key = bytes_str(name);
	in.event.outcome = OUTCOME_MISS;
	in.event.at = INSTANT_NONE;
	in.event.count = count;
	engine_input(e, now, &in, fx);
	effects_clear(fx);
}

static void tick_until(struct engine *e, struct instant end, struct effects *fx)
{
	struct instant t;

	while ((t = engine_next(e)).us <= end.us) {
		engine_tick(e, t, 512, fx);
		for (size_t i = 0; i < fx->list.n; i++)
			if (fx->list.v[i].kind == EFFECT_FIT)
				harmonic_data_free(&fx->list.v[i].fit.data);
		effects_clear(fx);
	}
}

/* How many of the BUSY, of which the first are the busiest, were searched since. */
static unsigned searched(const struct engine *e, struct instant since, unsigned *ret_quietest)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < e->place.n; i++) {
		struct bytes name = intern_name(&e->place_name, i);
		unsigned no;

		if (sscanf((const char *)name.p, "/busy%u", &no) != 1 ||
		    e->place.v[i]->searched.us < since.us)
			continue;
		n++;
		*ret_quietest = no > *ret_quietest ? no : *ret_quietest;
	}
	return n;
}

static struct engine *many(struct effects *fx)
{
	struct engine_origin origin = {"api", origin_policy_default()};
	struct engine_config c = {.limits = engine_limits_default(),
	                          .policy = policy_default(),
	                          .origins = &origin,
	                          .n_origins = 1};
	struct engine *e;
	char name[64];

	c.limits.max_endpoints = BUSY + QUIET;
	c.limits.max_forecasts = BUSY;
	e = engine_new(&c, NULL, MONDAY);
	/* the busy ones lie scattered among the others */
	for (unsigned i = 0; i < BUSY + QUIET; i++) {
		unsigned no = i * 7 % BUSY;

		snprintf(name, sizeof(name), i < BUSY ? "/busy%u" : "/quiet%u", i < BUSY ? no : i);
		ask(e, MONDAY, name, i < BUSY ? 1000 - 5 * no : 1, fx);
		if (i < BUSY)
			demand_give_model(&e->place.v[intern_find(&e->place_name, bytes_str(name))]
			                           ->ep.demand);
	}
	return e;
}

TEST(histories_are_searched_the_busiest_first_and_each_in_its_time)
{
	struct effects fx = {0};
	struct engine *e = many(&fx);
	unsigned quietest = 0, n;

	/* a round finds out what is due, the next one does it; the first begins after a minute */
	tick_until(e, instant_add(MONDAY, SPAN_S(150)), &fx);
	n = searched(e, MONDAY, &quietest);
	OK(n == ROUND_SEARCHES, "%u", n);
	OK(quietest == ROUND_SEARCHES - 1, "%u", quietest);
	tick_until(e, instant_add(MONDAY, SPAN_S(400)), &fx);
	n = searched(e, MONDAY, &quietest);
	OK(n == BUSY, "%u: quiet ones beside them hold nobody up", n);
	/* not again before it is time, and then all of them */
	tick_until(e, instant_add(MONDAY, SPAN_S(6 * 3600)), &fx);
	OK(searched(e, instant_add(MONDAY, SPAN_S(401)), &quietest) == 0);
	tick_until(e, instant_add(MONDAY, SPAN_S(6 * 3600 + 600)), &fx);
	n = searched(e, instant_add(MONDAY, SPAN_S(401)), &quietest);
	OK(n == BUSY, "%u", n);
	engine_free(&e);
	effects_release(&fx);
}

static unsigned with_max_age(const struct engine *e, double max_age)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < e->place.n; i++)
		n += e->place.v[i]->policy.max_age == max_age;
	return n;
}

/* A zone of its own, as a setup has it: gone when the configuration was taken. */
static void configure(struct engine *e, struct instant now, double max_age, int32_t offset_s)
{
	struct zone_offset offset = {{0}, offset_s};
	struct zone_day day = {20000, ZONE_SUNDAY};
	struct zone zone = {&offset, 1, &day, 1};
	struct engine_config c = {.limits = engine_limits_default(),
	                          .policy = policy_default(),
	                          .zone = &zone,
	                          .origin = ORIGIN_NONE};

	c.limits.max_endpoints = BUSY + QUIET;
	c.policy.max_age = max_age;
	engine_configure(e, now, &c);
	memset(&offset, 0xff, sizeof(offset));
	memset(&day, 0xff, sizeof(day));
}

TEST(a_new_configuration_is_applied_in_slices)
{
	struct effects fx = {0};
	struct engine *e = many(&fx);
	struct instant now = instant_add(MONDAY, SPAN_S(30));
	unsigned some, ticks = 0;

	configure(e, now, 7000, 3600);
	some = with_max_age(e, 7000);
	OK(some > 0 && some < 2000, "%u at once", some);
	/* the others still have the clock that they had */
	OK(zone_local_s(e->place.v[BUSY + QUIET - 1]->zone, now) == instant_s(now));
	OK(zone_local_s(e->place.v[0]->zone, now) == instant_s(now) + 3600);
	ask(e, now, "/another", 1, &fx);
	/* yet another in the midst of it, and the wall clock is set */
	configure(e, now, 8000, 7200);
	OK(with_max_age(e, 7000) + with_max_age(e, 8000) == e->place.n);
	engine_input(e, now, &(struct input){.kind = INPUT_CLOCK, .clock.offset = SPAN_S(10)}, &fx);
	OK(zone_local_s(e->place.v[BUSY + QUIET - 1]->zone, now) == instant_s(now) + 3610);
	for (; engine_next(e).us <= now.us; ticks++)
		engine_tick(e, now, 1, &fx);
	OK(with_max_age(e, 8000) == e->place.n && ticks > 20, "%u ticks", ticks);
	OK(zone_local_s(e->place.v[BUSY + QUIET - 1]->zone, now) == instant_s(now) + 7210);
	OK(zone_day_kind(e->place.v[0]->zone, 20000) == ZONE_SUNDAY);
	/* the end in the midst of it */
	configure(e, now, 9000, 0);
	engine_free(&e);
	effects_release(&fx);
}

TEST(all_keys_of_an_endpoint_learn_of_another_policy)
{
	struct engine_config c = {.limits = engine_limits_default(),
	                          .policy = policy_default(),
	                          .origin = ORIGIN_NONE};
	struct engine *e = engine_new(&c, NULL, MONDAY);
	struct effects fx = {0};
	char name[64];
	unsigned held = 0;

	for (int i = 0; i < 6000; i++) {
		struct input in = {.kind = INPUT_EVENT};

		snprintf(name, sizeof(name), "/k/%d", i);
		in.key = bytes_str(name);
		in.event.at = INSTANT_NONE;
		in.event.outcome = OUTCOME_MISS;
		engine_input(e, MONDAY, &in, &fx);
		effects_clear(&fx);
	}
	c.policy.holdout = 0.5;
	engine_configure(e, MONDAY, &c);
	for (int i = 0; engine_next(e).us <= MONDAY.us && i < 3; i++)
		engine_tick(e, MONDAY, 1, &fx);
	/* one that is forgotten meanwhile does not keep another from it */
	keyring_forget(e, intern_find(&e->key_name, bytes_str("/k/10")));
	while (engine_next(e).us <= MONDAY.us)
		engine_tick(e, MONDAY, 1, &fx);
	for (uint32_t i = 0; i < e->key_name.n_ids; i++)
		held += intern_is_live(&e->key_name, i) && (e->key.v[i].flags & KEY_HELD_OUT);
	OK(held > 2700 && held < 3300, "%u", held);
	engine_free(&e);
	effects_release(&fx);
}

struct copy {
	struct engine *to;
	bool without; /* as from a version that did not have it */
	size_t tails;
};

static void copy_record(void *arg, const struct record *r)
{
	struct copy *c = arg;
	struct record x = *r;
	const char *why = "";

	c->tails += !strcmp(r->kind, "tail");
	if (c->without && !strcmp(r->kind, "tail"))
		return;
	while (c->without && x.n_fields &&
	       (!strcmp(x.field[x.n_fields - 1].name, "guards") ||
	        !strcmp(x.field[x.n_fields - 1].name, "level")))
		x.n_fields--;
	OK(engine_import(c->to, MONDAY, &x, &why) == 0, "%s: %s", r->kind, why);
}

TEST(guards_and_what_the_quiet_share_survive_a_restart)
{
	struct engine_config c = {.limits = engine_limits_default(),
	                          .policy = policy_default(),
	                          .origin = ORIGIN_NONE};
	struct effects fx = {0};
	struct copy to = {.to = engine_new(&c, NULL, MONDAY)},
	            old = {.to = engine_new(&c, NULL, MONDAY), .without = true};
	struct engine *e = engine_new(&c, NULL, MONDAY);
	const struct prefetched *x;
	uint32_t place;

	for (int i = 0; i < 2000; i++) {
		struct instant t = instant_add(MONDAY, SPAN_S(60 * i));

		ask(e, t, "/quiet", 1, &fx);
		tick_until(e, t, &fx);
	}
	place = intern_find(&e->place_name, bytes_str("/quiet"));
	for (int i = 0; i < 30; i++)
		guard_outcome(&prefetch_of(e, place)[PREFETCH_SCHEDULE].guard, i < 5, 0.5);
	engine_export(e, MONDAY, copy_record, &to);
	engine_export(e, MONDAY, copy_record, &old);
	OK(to.tails == 1);
	place = intern_find(&to.to->place_name, bytes_str("/quiet"));
	x = to.to->place.v[place]->prefetched;
	OK(x && x[PREFETCH_SCHEDULE].guard.wasted > 20 && x[PREFETCH_JUMP].guard.wasted == 0);
	OK(to.to->place.v[place]->ep.demand.tail.slow > 1);
	OK(!memcmp(to.to->demand.tail.got, e->demand.tail.got, sizeof(e->demand.tail.got)));
	/* an older file is read as well */
	place = intern_find(&old.to->place_name, bytes_str("/quiet"));
	OK(place != INTERN_NONE && !old.to->place.v[place]->prefetched);
	/* what they share is written by itself now and then, not in each look */
	to.tails = 0;
	engine_dirty(e, instant_add(MONDAY, SPAN_S(2000 * 60)), 1000, copy_record, &to);
	OK(to.tails == 1);
	engine_dirty(e, instant_add(MONDAY, SPAN_S(2000 * 60 + 60)), 1000, copy_record, &to);
	OK(to.tails == 1);
	engine_free(&e);
	engine_free(&to.to);
	engine_free(&old.to);
	effects_release(&fx);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(histories_are_searched_the_busiest_first_and_each_in_its_time);
	RUN(a_new_configuration_is_applied_in_slices);
	RUN(all_keys_of_an_endpoint_learn_of_another_policy);
	RUN(guards_and_what_the_quiet_share_survive_a_restart);
	return tap_done();
}
