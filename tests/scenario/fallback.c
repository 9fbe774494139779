/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What stands when nothing is known, nothing is there, or nothing may be changed. */
#include "tests/scenario/world.h"
#include "tests/tap.h"

#define HOUR 3600.0
#define DAY  86400.0

TEST(what_is_not_there_is_asked_for_less_and_less_and_found_within_a_minute)
{
	struct engine_config c = world_config();
	struct tally gone;
	struct world w;
	uint32_t k;
	double s;

	world_init(&w, &c, tap_seed);
	k = world_add(&w, "/page", 10, 0);
	w.thing.v[k].absent = true;
	world_pass(&w, 600);
	gone = w.n;
	w.thing.v[k].absent = false;
	for (s = 0; s < 120 && w.n.hits == 0; s += 0.1)
		world_pass(&w, 0.1);
	FIGURE("negative: %" PRIu64 " loads for %" PRIu64 " requests in ten minutes; found %.0f s "
	       "after it has come",
	       gone.loads, gone.requests, s);
	/* 1 + 2 + 4 + ... + 32 s, then one a minute */
	OK(gone.loads >= 12 && gone.loads <= 17, "%" PRIu64, gone.loads);
	OK(gone.absent > gone.requests - 20);
	OK(s <= 61, "%g", s);
	world_release(&w);
}

TEST(an_origin_that_fails_is_spared_and_its_last_answers_stand)
{
	struct engine_config c = world_config();
	struct tally down, up;
	struct world w;

	c.policy.max_stale = 0.02;
	world_init(&w, &c, tap_seed);
	for (int i = 0; i < 50; i++)
		world_add(&w, "/page", 1.0 / 5, 1 / (2 * HOUR));
	world_pass(&w, 6 * HOUR);
	for (uint32_t i = 0; i < 50; i++)
		w.thing.v[i].down = true;
	world_count_anew(&w);
	world_pass(&w, HOUR);
	down = w.n;
	for (uint32_t i = 0; i < 50; i++)
		w.thing.v[i].down = false;
	world_pass(&w, 61);
	world_count_anew(&w);
	world_pass(&w, HOUR);
	up = w.n;
	FIGURE("origin down for an hour: %" PRIu64 " loads for %" PRIu64 " requests, %" PRIu64
	       " errors; the hour after: stale %.4f of 0.02",
	       down.loads, down.requests, down.failed, stale_share(up));
	OK(down.failed == 0, "%" PRIu64, down.failed);
	/* at most one a minute and key, and the doubling before */
	OK(down.loads < 50 * 68, "%" PRIu64, down.loads);
	OK(stale_share(up) < 0.02 * 1.4, "%g", stale_share(up));
	world_release(&w);
}

static double first_ttl(struct world *w, const char *endpoint)
{
	uint32_t i = world_add(w, endpoint, 0, 0);

	world_ask(w, i);
	world_pass(w, 1);
	return world_why(w, i).row.ttl_s;
}

TEST(who_knows_nothing_asks_its_endpoint_then_all_then_the_static_ttl)
{
	struct engine_config c = world_config();
	double nothing, own[30], old, fast, slow, foreign;
	enum ttl_reason reason;
	struct world w;

	c.policy.max_stale = 0.02;
	world_init(&w, &c, tap_seed);
	nothing = first_ttl(&w, "/first");
	for (int i = 0; i < 30; i++) {
		world_add(&w, "/fast", 1.0 / 30, 1 / 60.0);
		world_add(&w, "/slow", 1.0 / 30, 1 / (6 * HOUR));
	}
	world_pass(&w, DAY);
	for (uint32_t i = 0; i < 30; i++)
		own[i] = world_why(&w, 2 + 2 * i).row.ttl_s;
	old = quantile(own, 30, 0.5);
	fast = first_ttl(&w, "/fast");
	slow = first_ttl(&w, "/slow");
	foreign = first_ttl(&w, "/new");
	FIGURE("ladder: at first %.1f s; a new key of a slow endpoint %.0f s (its old ones %.0f "
	       "s), "
	       "of a fast one %.1f s, of a new endpoint %.1f s",
	       nothing, slow, old, fast, foreign);
	OK(fabs(log(slow / old)) < log(3), "%g %g", slow, old);
	OK(fast < foreign && foreign < slow, "%g %g %g", fast, foreign, slow);
	world_release(&w);
	/* nothing to load from: what the app says, else static_ttl */
	c.origin = ORIGIN_NONE;
	c.policy.ttl = TTL_OBEY;
	world_init(&w, &c, tap_seed);
	nothing = span_s(engine_ttl(w.e, w.now, bytes_str("/x"), bytes_str("/x/1"), &reason, NULL));
	FIGURE("ladder: without an origin %.0f s (static_ttl 60)", nothing);
	OK(nothing == 60 && reason == TTL_STATIC, "%g", nothing);
	world_release(&w);
}

TEST(who_is_held_out_keeps_the_static_ttl_and_shows_what_learning_gives)
{
	struct engine_config c = world_config();
	struct engine_stats a, b;
	double stale, stale_out;
	struct world w;
	uint32_t held = 0;

	c.policy.max_stale = 0.02;
	c.policy.static_ttl = 300;
	c.policy.jitter = 0;
	c.policy.holdout = 0.1;
	world_init(&w, &c, tap_seed);
	for (int i = 0; i < 500; i++)
		world_add(&w, "/page", exp(rng_normal(&w.rng)) / 60,
		          exp(rng_normal(&w.rng)) / HOUR);
	world_pass(&w, 12 * HOUR);
	engine_stats(w.e, &a);
	world_pass(&w, DAY);
	engine_stats(w.e, &b);
	for (uint32_t i = 0; i < 500; i++) {
		struct why y = world_why(&w, i);

		held += y.row.reason == TTL_STATIC;
		OK(y.row.reason != TTL_STATIC || fabs(y.row.ttl_s - 300) < 1e-3, "%g", y.row.ttl_s);
	}
	stale = (b.learned.stale - a.learned.stale) /
	        (double)(b.learned.requests - a.learned.requests);
	stale_out = (b.held_out.stale - a.held_out.stale) /
	            (double)(b.held_out.requests - a.held_out.requests);
	FIGURE("holdout: %u of 500 keys at holdout 0.1; stale %.4f learned, %.4f held out; "
	       "loads/request %.4f and %.4f",
	       held, stale, stale_out,
	       (double)(b.learned.loads - a.learned.loads) /
	               (double)(b.learned.requests - a.learned.requests),
	       (double)(b.held_out.loads - a.held_out.loads) /
	               (double)(b.held_out.requests - a.held_out.requests));
	NEAR(held, 50, 3.5 * sqrt(45));
	OK(stale < 0.02 * 1.3 && stale_out > 1.5 * stale, "%g %g", stale, stale_out);
	NEAR((double)b.held_out.requests / (double)(b.held_out.requests + b.learned.requests), 0.1,
	     0.06);
	world_release(&w);
}

/* Everything that was decided, as one number. */
static uint64_t decided(enum ttl_mode mode, struct tally *ret_n, double *ret_interval_s)
{
	struct engine_config c = world_config();
	double interval[50];
	struct world w;
	uint64_t h;

	c.policy.ttl = mode;
	c.policy.static_ttl = 120;
	c.limits.audit_share = mode == TTL_LEARN ? 0.005 : 0;
	world_init(&w, &c, tap_seed);
	for (int i = 0; i < 50; i++)
		world_add(&w, "/page", 1.0 / 20, 1 / 1800.0);
	world_pass(&w, DAY);
	h = w.effects_hash;
	*ret_n = w.n;
	for (uint32_t i = 0; i < 50; i++)
		interval[i] = 1 / world_why(&w, i).change_rate_mean.mean;
	*ret_interval_s = quantile(interval, 50, 0.5);
	world_release(&w);
	return h;
}

TEST(advise_learns_and_decides_nothing)
{
	struct tally obey, advise, learn;
	double interval, ignored;
	uint64_t same = decided(TTL_OBEY, &obey, &ignored);

	OK(decided(TTL_ADVISE, &advise, &interval) == same,
	   "advise is obey in every reply and load");
	OK(decided(TTL_LEARN, &learn, &ignored) != same);
	FIGURE("advise: %" PRIu64 " requests and %" PRIu64
	       " loads, effect for effect those of obey; "
	       "keys are known to change every %.0f s in the median (1800)",
	       advise.requests, advise.loads, interval);
	OK(advise.loads == obey.loads && advise.by_reason[LOAD_DEMAND] == advise.loads);
	NEAR(log(interval / 1800), 0, 0.4);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(what_is_not_there_is_asked_for_less_and_less_and_found_within_a_minute);
	RUN(an_origin_that_fails_is_spared_and_its_last_answers_stand);
	RUN(who_knows_nothing_asks_its_endpoint_then_all_then_the_static_ttl);
	RUN(who_is_held_out_keeps_the_static_ttl_and_shows_what_learning_gives);
	RUN(advise_learns_and_decides_nothing);
	return tap_done();
}
