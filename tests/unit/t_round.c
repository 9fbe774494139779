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
	RUN(guards_and_what_the_quiet_share_survive_a_restart);
	return tap_done();
}
