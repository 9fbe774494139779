/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Rates of change that are suddenly a hundred times what they were, up or down; and a day without any. */
#include "tests/scenario/world.h"
#include "tests/tap.h"

#include <string.h>

#define HOUR   3600.0
#define DAY    86400.0
#define KEYS   60
#define WORLDS 3

/* Does the engine know how often the thing changes at present, to a factor of 3? */
static bool is_known(struct world *w, uint32_t i, double truth)
{
	struct why y = world_why(w, i);
	double off = y.row.change_rate_per_s.mean * y.activity / truth;

	return off > 1.0 / 3 && off < 3;
}

/* Of the switched keys, until the rate of each is known to a factor of 3. */
struct recovery {
	double loads[WORLDS * KEYS];
	double intervals[WORLDS * KEYS]; /* what it was believed to live, so often */
	size_t n;
	struct tally after; /* of the switched keys, from the switch on */
};

/* Starts what a play of one world, or of several, adds to. */
static void clear(struct recovery *r)
{
	memset(r, 0, sizeof(*r));
}

/*
 * Keys change every `before` s for three days, then the first `switched` of them every `after` s.
 * These are watched for at most watch_s.
 */
static void play_world(struct recovery *r, uint64_t seed, double max_stale, double asked_every,
                       double before, double after, uint32_t switched, double watch_s)
{
	struct engine_config c = world_config();
	double step = fmin(after, before) / 10;
	bool known[KEYS] = {0}, all = false;
	struct world w;

	c.policy.max_stale = max_stale;
	world_init(&w, &c, seed);
	for (int i = 0; i < KEYS; i++)
		world_add(&w, "/quotes", 1 / asked_every, 1 / before);
	world_pass(&w, 3 * DAY);
	world_count_anew(&w);
	for (uint32_t i = 0; i < switched; i++) {
		w.thing.v[i].changes_per_s = 1 / after;
		world_stir(&w, i);
	}
	for (double t = 0; !all && t < watch_s; t += step) {
		world_pass(&w, step);
		all = true;
		for (uint32_t i = 0; i < switched; i++) {
			if (known[i] || (known[i] = is_known(&w, i, 1 / after)))
				continue;
			all = false;
			r->loads[r->n + i] = (double)w.thing.v[i].n.loads;
			r->intervals[r->n + i] = (t + step) / before;
		}
	}
	OK(all, "some were never found out");
	for (uint32_t i = 0; i < switched; i++) {
		r->after.requests += w.thing.v[i].n.requests;
		r->after.stale += w.thing.v[i].n.stale;
	}
	r->n += switched;
	world_release(&w);
}

static void play(struct recovery *r, double max_stale, double asked_every, double before,
                 double after, uint32_t switched, double watch_s)
{
	clear(r);
	play_world(r, tap_seed, max_stale, asked_every, before, after, switched, watch_s);
}

static void row(const char *what, struct recovery *r)
{
	double loads = quantile(r->loads, r->n, 0.5), most = quantile(r->loads, r->n, 0.9);

	FIGURE("regime %s: %.0f loads in the median, %.0f in nine of ten; %.1f of its old "
	       "intervals; stale meanwhile %.3f",
	       what, loads, most, quantile(r->intervals, r->n, 0.5), stale_share(r->after));
}

TEST(a_hundred_times_faster_is_found_within_twenty_loads)
{
	struct recovery r;

	play(&r, 0.02, 30, 2 * HOUR, 72, 6, DAY);
	row("x100, one key of ten", &r);
	OK(quantile(r.loads, r.n, 0.5) <= 20 && quantile(r.loads, r.n, 0.9) <= 30);
	/* when that is seen of all keys at once hangs on which of them are loaded first */
	clear(&r);
	for (uint64_t i = 0; i < WORLDS; i++)
		play_world(&r, tap_seed + i, 0.02, 30, 2 * HOUR, 72, KEYS, DAY);
	row("x100, all keys", &r);
	OK(quantile(r.loads, r.n, 0.5) <= 20 && quantile(r.loads, r.n, 0.9) <= 20);
}

/*
 * That one key has gone quiet only time can tell, not loads: ten of its old intervals without a change are
 * as likely as one in e^10. Loads are within twenty where they are an interval apart, or where all keys tell.
 */
TEST(a_hundred_times_slower_is_found_within_twenty_loads_or_intervals)
{
	struct recovery r;

	play(&r, 0.02, 600, 72, 2 * HOUR, KEYS, 10 * DAY);
	row("x1/100, all keys, asked for every ten minutes", &r);
	OK(quantile(r.loads, r.n, 0.5) <= 20 && quantile(r.loads, r.n, 0.9) <= 20);
	play(&r, 0.1, 30, 72, 2 * HOUR, KEYS, 10 * DAY);
	row("x1/100, all keys, twice a minute, max_stale 10 %", &r);
	OK(quantile(r.loads, r.n, 0.5) <= 20 && quantile(r.loads, r.n, 0.9) <= 20);
	play(&r, 0.02, 30, 72, 2 * HOUR, 6, 10 * DAY);
	row("x1/100, one key of ten, twice a minute", &r);
	OK(quantile(r.intervals, r.n, 0.5) <= 100);
	play(&r, 0.02, 30, 72, 2 * HOUR, KEYS, 10 * DAY);
	row("x1/100, all keys, twice a minute", &r);
	OK(quantile(r.loads, r.n, 0.5) <= 20 && quantile(r.loads, r.n, 0.9) <= 20);
}

/* Every thing changes every `every` s from now on; 0: none does. */
static void set_all(struct world *w, double every)
{
	for (uint32_t i = 0; i < KEYS; i++) {
		w->thing.v[i].changes_per_s = every > 0 ? 1 / every : 0;
		world_stir(w, i);
	}
}

static void add(struct tally *sum, struct tally t)
{
	sum->requests += t.requests;
	sum->stale += t.stale;
}

/*
 * Things change from nine to five, every ten minutes, but not on the ninth day. Adds the answers in the
 * first hour of the eighth, and of the tenth.
 */
static void play_mornings(uint64_t seed, struct tally *usual, struct tally *after)
{
	struct engine_config c = world_config();
	struct world w;

	world_init(&w, &c, seed);
	for (int i = 0; i < KEYS; i++)
		world_add(&w, "/quotes", 1.0 / 60, 0);
	for (int day = 1; day <= 10; day++) {
		world_pass(&w, 9 * HOUR);
		world_count_anew(&w);
		set_all(&w, day == 9 ? 0 : 600);
		world_pass(&w, HOUR);
		if (day == 8)
			add(usual, w.n);
		if (day == 10)
			add(after, w.n);
		world_pass(&w, 7 * HOUR);
		set_all(&w, 0);
		world_pass(&w, 7 * HOUR);
	}
	world_release(&w);
}

TEST(a_holiday_is_no_news_about_the_keys)
{
	struct tally usual = {0}, after = {0};

	for (uint64_t i = 0; i < WORLDS; i++)
		play_mornings(tap_seed + i, &usual, &after);
	FIGURE("regime: a day on which nothing changes: %.3f stale in the first hour of the next, %.3f in "
	       "that of any other",
	       stale_share(after), stale_share(usual));
	OK(stale_share(after) < 4 * stale_share(usual));
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(a_hundred_times_faster_is_found_within_twenty_loads);
	RUN(a_hundred_times_slower_is_found_within_twenty_loads_or_intervals);
	RUN(a_holiday_is_no_news_about_the_keys);
	return tap_done();
}
