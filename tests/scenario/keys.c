/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Keys that behave like few others: asked for once, changed at every look, never changed. */
#include "tests/scenario/world.h"
#include "tests/tap.h"

#define HOUR 3600.0
#define DAY  86400.0

/* Fifty ordinary keys: asked for twice a minute, changed every two hours. */
static void add_ordinary(struct world *w, const char *endpoint)
{
	for (int i = 0; i < 50; i++)
		world_add(w, endpoint, 1.0 / 30, 1 / (2 * HOUR));
}

/*
 * Stale answers times loads: what of two runs that strike the balance differently costs more. Where
 * loads are rare it does not depend on the balance.
 */
static double costs(struct tally n)
{
	return stale_share(n) * loads_per_request(n);
}

/* The ordinary keys of a world in which, every gap s, one more key is asked for once. */
static struct tally with_once(double gap, struct tally *ret_once, uint64_t *ret_keys)
{
	struct engine_config c = world_config();
	struct engine_stats s;
	struct world w;
	struct tally n;

	c.policy.max_stale = 0.02;
	c.limits.max_keys = 5000;
	world_init(&w, &c, tap_seed);
	add_ordinary(&w, "/page");
	for (double t = 0; t < 5 * DAY; t += gap) {
		world_pass(&w, gap);
		if (t >= 2 * DAY && t < 2 * DAY + gap)
			world_count_anew(&w);
		if (gap < HOUR)
			world_ask(&w, world_add(&w, "/page", 0, 1 / (2 * HOUR)));
	}
	world_pass(&w, 60);
	n = (struct tally){0};
	*ret_once = world_tally(&w, "/page");
	for (int i = 0; i < 50; i++) {
		n.requests += w.thing.v[i].n.requests;
		n.stale += w.thing.v[i].n.stale;
		n.loads += w.thing.v[i].n.loads;
	}
	ret_once->requests -= n.requests;
	ret_once->loads -= n.loads;
	engine_stats(w.e, &s);
	*ret_keys = s.keys;
	world_release(&w);
	return n;
}

TEST(keys_seen_once_cost_one_load_and_the_others_nothing)
{
	struct tally once, none, with, without;
	double stale;
	uint64_t keys;

	without = with_once(HOUR, &none, &keys);
	with = with_once(5, &once, &keys);
	/* the objective is a share of all requests, and those asked for once are never stale */
	stale = (double)with.stale / (double)(with.requests + once.requests);
	FIGURE("once: %" PRIu64 " keys asked for once took %" PRIu64 " loads; %" PRIu64
	       " keys remembered of at most 5000",
	       once.requests, once.loads, keys);
	FIGURE("once: the others: %.4f loads/request, %.4f without; stale of all %.4f of 0.02, "
	       "%.4f without",
	       loads_per_request(with), loads_per_request(without), stale, stale_share(without));
	OK(once.requests > 15000 && once.loads == once.requests, "%" PRIu64 " loads for %" PRIu64,
	   once.loads, once.requests);
	OK(keys <= 5000);
	NEAR(costs(with) / costs(without), 1, 0.25);
	OK(stale < 0.02 * 1.4, "%g", stale);
}

static uint32_t clock_key;

/* It is another one whenever anybody looks: a page with the time of day on it. */
static void tick_asked(struct world *w, uint32_t thing)
{
	if (thing == clock_key)
		world_change(w, thing);
}

static void tick_loaded(struct world *w, uint32_t thing, enum load_reason reason)
{
	(void)reason;
	tick_asked(w, thing);
}

/* The neighbours of a key that is never the same, in another endpoint or in its own. */
static struct tally with_clock(const char *endpoint, struct tally *ret_clock, struct why *ret_why,
                               struct why *ret_neighbour)
{
	struct engine_config c = world_config();
	struct tally n = {0};
	struct world w;

	c.policy.max_stale = 0.02;
	world_init(&w, &c, tap_seed);
	add_ordinary(&w, "/page");
	if (endpoint) {
		clock_key = world_add(&w, endpoint, 1, 0);
		w.asked = tick_asked;
		w.hook = tick_loaded;
	}
	world_pass(&w, 2 * DAY);
	world_count_anew(&w);
	world_pass(&w, 3 * DAY);
	for (int i = 0; i < 50; i++) {
		n.requests += w.thing.v[i].n.requests;
		n.stale += w.thing.v[i].n.stale;
		n.loads += w.thing.v[i].n.loads;
	}
	if (endpoint) {
		*ret_clock = w.thing.v[clock_key].n;
		*ret_why = world_why(&w, clock_key);
	}
	*ret_neighbour = world_why(&w, 0);
	world_release(&w);
	return n;
}

TEST(a_value_that_changes_at_every_look_keeps_min_ttl_and_its_neighbours_their_peace)
{
	struct tally clock, alone, apart, together;
	struct why y, n;

	alone = with_clock(NULL, NULL, NULL, &n);
	apart = with_clock("/now", &clock, &y, &n);
	FIGURE("every look: TTL %.2f s, %.3f loads/request at 1 request/s and min_ttl 1 s, price "
	       "%.0f",
	       y.row.ttl_s, loads_per_request(clock), y.price);
	FIGURE("every look: neighbours in another endpoint: %.4f loads/request, %.4f without; "
	       "stale %.4f of 0.02, %.4f without",
	       loads_per_request(apart), loads_per_request(alone), stale_share(apart),
	       stale_share(alone));
	OK(y.row.ttl_s <= 1.05, "%g", y.row.ttl_s);
	/* a load every min_ttl and the wait for the next request; audits within */
	OK(loads_per_request(clock) < 0.65, "%g", loads_per_request(clock));
	OK(y.price < 1000, "%g", y.price);
	NEAR(costs(apart) / costs(alone), 1, 0.2);
	OK(stale_share(apart) < 0.02 * 1.4, "%g", stale_share(apart));
	together = with_clock("/page", &clock, &y, &n);
	FIGURE("every look: neighbours in its own endpoint: %.4f loads/request, stale %.4f; price "
	       "%.0f, its TTL %.2f s, theirs %.0f s",
	       loads_per_request(together), stale_share(together), y.price, y.row.ttl_s,
	       n.row.ttl_s);
	OK(y.row.ttl_s <= 1.05, "%g", y.row.ttl_s);
	OK(loads_per_request(together) < 3 * loads_per_request(alone), "%g",
	   loads_per_request(together));
}

TEST(what_never_changes_is_loaded_less_and_less)
{
	struct engine_config c = world_config();
	struct tally first, last;
	struct world w;
	double ttl[100];

	c.policy.max_stale = 0.01;
	world_init(&w, &c, tap_seed);
	for (int i = 0; i < 100; i++)
		world_add(&w, "/static", 1.0 / 60, 0);
	world_pass(&w, DAY);
	first = w.n;
	world_pass(&w, 6 * DAY);
	world_count_anew(&w);
	world_pass(&w, DAY);
	last = w.n;
	for (uint32_t i = 0; i < 100; i++)
		ttl[i] = world_why(&w, i).row.ttl_s;
	FIGURE("never: %.1f loads per key on day 1, %.2f on day 8 (of these audits %.2f); median "
	       "TTL %.1f h of max_age 24",
	       (double)first.loads / 100, (double)last.loads / 100,
	       (double)last.by_reason[LOAD_AUDIT] / 100, quantile(ttl, 100, 0.5) / HOUR);
	OK(first.stale + last.stale == 0);
	OK((double)first.loads / 100 < 80, "%g", (double)first.loads / 100);
	OK((double)last.loads / 100 < 10, "%g", (double)last.loads / 100);
	OK(quantile(ttl, 100, 0.5) > 12 * HOUR, "%g", quantile(ttl, 100, 0.5));
	world_release(&w);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(keys_seen_once_cost_one_load_and_the_others_nothing);
	RUN(a_value_that_changes_at_every_look_keeps_min_ttl_and_its_neighbours_their_peace);
	RUN(what_never_changes_is_loaded_less_and_less);
	return tap_done();
}
