/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Origins that lie in Last-Modified, values on a timetable or against us, clocks, purges. */
#include "tests/scenario/world.h"
#include "tests/tap.h"

#define HOUR 3600.0
#define DAY  86400.0

/* -- Last-Modified ---------------------------------------------------------------------------- */

enum liar { SILENT, HONEST, NOW, FROZEN, FUTURE, OTHER_ZONE, RANDOM, LIARS };
static const char *const liar_name[LIARS] = {
        "none",           "true",           "time of the answer", "never moves",
        "a day too late", "five hours off", "drawn by lot",
};

static struct instant lie(struct world *w, enum liar how, struct instant modified)
{
	switch (how) {
	case HONEST:
		return modified;
	case NOW:
		return w->now;
	case FROZEN:
		return instant_add(w->start, SPAN_S(-86400));
	case FUTURE:
		return instant_add(modified, SPAN_S(86400));
	case OTHER_ZONE:
		return instant_add(modified, SPAN_S(-5 * 3600));
	case RANDOM:
		return instant_add(w->now, span_from_s(-1e5 * rng_uniform(&w->origin_rng)));
	default:
		return INSTANT_NONE;
	}
}

/* Asked by time alone, such a server compares with what it would say now. */
static void answer_with_lie(struct world *w, const struct errand *x, struct input *in)
{
	enum liar how = *(enum liar *)w->arg;
	struct thing *t = &w->thing.v[x->thing];

	in->loaded.last_modified = lie(w, how, x->modified);
	if (x->have && x->by_time &&
	    (how == FROZEN || (how == HONEST && t->held && t->held_content == x->content)))
		in->loaded.status = LOADED_NOT_MODIFIED;
}

TEST(an_origin_that_lies_in_last_modified_costs_little)
{
	struct tally base = {0};

	for (int how = SILENT; how < LIARS; how++) {
		struct engine_config c = world_config();
		enum liar h = (enum liar)how;
		struct world w;

		c.policy.max_stale = 0.02;
		world_init(&w, &c, tap_seed);
		w.answer = answer_with_lie;
		w.arg = &h;
		for (int i = 0; i < 50; i++)
			world_add(&w, "/page", 1.0 / 30, 1 / (2 * HOUR));
		world_pass(&w, 2 * DAY);
		world_count_anew(&w);
		world_pass(&w, 2 * DAY);
		if (how == SILENT)
			base = w.n;
		FIGURE("Last-Modified %s: stale %.4f of 0.02, %.4f loads/request", liar_name[how],
		       stale_share(w.n), loads_per_request(w.n));
		OK(stale_share(w.n) < 0.02 * 1.3, "%s: %g", liar_name[how], stale_share(w.n));
		/* at whatever balance of loads and freshness: where loads are rare it is the same */
		OK(loads_per_request(w.n) * stale_share(w.n) <
		           1.25 * loads_per_request(base) * stale_share(base),
		   "%s: %g x %g, %g x %g without", liar_name[how], loads_per_request(w.n),
		   stale_share(w.n), loads_per_request(base), stale_share(base));
		world_release(&w);
	}
}

/* -- Timetables and adversaries --------------------------------------------------------------- */

/* With changes_every < 0 it changes a second after it was read, each time. */
static void change_behind_its_back(struct world *w, uint32_t thing, enum load_reason reason)
{
	struct thing *x = &w->thing.v[thing];

	(void)reason;
	if (x->changes_every < 0)
		heap_set(&w->change, thing, instant_add(w->now, SPAN_S(1)));
}

struct period {
	const char *what;
	double asked_every, asked_offset, changes_every, changes_offset;
	uint64_t kinds;
	double most_stale; /* of the objective */
	double most_loads; /* per request */
};

TEST(periodic_keys_are_no_trap)
{
	static const struct period all[] = {
	        {"changed every 5 min, asked for at random", 0, 0, 300, 0, 0, 1.5, 0.2},
	        {"changed every hour, asked for at random", 0, 0, 3600, 0, 0, 1.5, 0.08},
	        {"changed every 10 min, asked for 1 s after", 600, 1, 600, 0, 0, 1.5, 1.01},
	        {"changed every 10 min, asked for 1 s before", 600, 599, 600, 0, 0, 1.5, 1.01},
	        {"changed every 30 s, asked for each 10 s", 10, 5, 30, 0, 0, 1.5, 0.5},
	        {"to and fro between two values every 5 min", 0, 0, 300, 0, 2, 1.5, 0.2},
	        {"changed 1 s after each load", 0, 0, -1, 0, 0, 1.5, 1.01},
	};

	for (size_t p = 0; p < sizeof(all) / sizeof(all[0]); p++) {
		struct engine_config c = world_config();
		struct world w;
		struct why y;

		c.policy.max_stale = 0.05;
		world_init(&w, &c, tap_seed);
		w.hook = change_behind_its_back;
		for (int i = 0; i < 20; i++) {
			uint32_t k =
			        world_add(&w, "/feed", all[p].asked_every > 0 ? 0 : 1.0 / 20, 0);
			struct thing *x = &w.thing.v[k];

			x->asked_every = all[p].asked_every;
			x->asked_offset = all[p].asked_offset;
			x->changes_every = all[p].changes_every;
			x->changes_offset = all[p].changes_offset;
			x->kinds = all[p].kinds;
			world_stir(&w, k);
		}
		world_pass(&w, 2 * DAY);
		world_count_anew(&w);
		world_pass(&w, 2 * DAY);
		y = world_why(&w, 0);
		FIGURE("periodic: %s: stale %.4f of 0.05, %.3f loads/request, TTL %.0f s, price "
		       "%.0f",
		       all[p].what, stale_share(w.n), loads_per_request(w.n), y.row.ttl_s, y.price);
		OK(stale_share(w.n) < 0.05 * all[p].most_stale, "%s: %g", all[p].what,
		   stale_share(w.n));
		OK(loads_per_request(w.n) < all[p].most_loads, "%s: %g", all[p].what,
		   loads_per_request(w.n));
		world_release(&w);
	}
}

/* -- The clock -------------------------------------------------------------------------------- */

/* A day of the world: things change twenty times as often from 8 to 16 as else. */
static void pass_days(struct world *w, double days)
{
	for (double h = 0; h < days * 24; h++) {
		int hour = (int)(span_s(instant_diff(w->now, w->start)) / HOUR) % 24;

		for (uint32_t i = 0; i < w->thing.n; i++) {
			w->thing.v[i].changes_per_s =
			        (hour >= 8 && hour < 16 ? 20 : 1) / (10 * HOUR);
			world_stir(w, i);
		}
		world_pass(w, HOUR);
	}
}

static void step_clock(struct world *w, double s)
{
	struct input in = {.kind = INPUT_CLOCK};

	in.clock.offset = span_from_s(s);
	world_input(w, &in);
}

TEST(a_step_of_the_clock_ends_no_life_and_is_forgotten_in_days)
{
	struct engine_config c = world_config();
	struct tally before, minute, first, later;
	struct world w;

	c.policy.max_stale = 0.02;
	world_init(&w, &c, tap_seed);
	for (int i = 0; i < 30; i++)
		world_add(&w, "/page", 1.0 / 60, 0);
	pass_days(&w, 9);
	world_count_anew(&w);
	pass_days(&w, 1);
	before = w.n;
	world_count_anew(&w);
	step_clock(&w, 6 * HOUR);
	world_pass(&w, 60);
	minute = w.n;
	world_pass(&w, HOUR - 60);
	pass_days(&w, 1);
	first = w.n;
	pass_days(&w, 3);
	world_count_anew(&w);
	pass_days(&w, 1);
	later = w.n;
	FIGURE("clock +6 h: %" PRIu64 " loads of 30 keys in the minute after", minute.loads);
	FIGURE("clock +6 h: stale %.4f the day before, %.4f the day after, %.4f on the fifth, of "
	       "0.02; loads/request %.4f, %.4f, %.4f",
	       stale_share(before), stale_share(first), stale_share(later),
	       loads_per_request(before), loads_per_request(first), loads_per_request(later));
	OK(minute.loads < 15, "%" PRIu64, minute.loads);
	OK(stale_share(first) < 0.08, "%g", stale_share(first));
	OK(stale_share(later) < 0.035, "%g", stale_share(later));
	world_release(&w);
}

TEST(a_clock_that_jumps_by_decades_does_no_harm)
{
	static const double steps[] = {-50.0 * 365 * DAY, 50.0 * 365 * DAY, -1, 1, 0};
	struct engine_config c = world_config();
	struct world w;

	c.policy.max_stale = 0.02;
	world_init(&w, &c, tap_seed);
	for (int i = 0; i < 30; i++)
		world_add(&w, "/page", 1.0 / 60, 0);
	pass_days(&w, 3);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct tally n;

		world_count_anew(&w);
		step_clock(&w, steps[i]);
		world_pass(&w, 60);
		n = w.n;
		pass_days(&w, 1);
		FIGURE("clock %+.0f s: %" PRIu64
		       " loads of 30 keys in the minute after; stale %.4f "
		       "of 0.02 on the day, %.4f loads/request",
		       steps[i], n.loads, stale_share(w.n), loads_per_request(w.n));
		OK(n.loads < 15, "%" PRIu64, n.loads);
		OK(stale_share(w.n) < 0.08, "%g", stale_share(w.n));
		OK(loads_per_request(w.n) < 0.5, "%g", loads_per_request(w.n));
	}
	world_release(&w);
}

/* -- A purge ---------------------------------------------------------------------------------- */

TEST(a_purge_of_everything_costs_one_load_a_key_and_no_wave_after)
{
	struct input purge = {.kind = INPUT_PURGE};
	struct engine_config c = world_config();
	struct tally before, minute, hour;
	struct world w;
	double ratio[500], wave = 0;
	uint64_t most = 0;

	c.policy.max_stale = 0.02;
	world_init(&w, &c, tap_seed);
	for (int i = 0; i < 500; i++)
		world_add(&w, "/page", 1.0 / 20, 1 / (2 * HOUR));
	world_pass(&w, 12 * HOUR);
	for (uint32_t i = 0; i < 500; i++)
		ratio[i] = world_why(&w, i).row.ttl_s;
	world_count_anew(&w);
	world_pass(&w, HOUR);
	before = w.n;
	world_count_anew(&w);
	purge.purge.what = PURGE_ALL;
	world_input(&w, &purge);
	world_pass(&w, 60);
	minute = w.n;
	for (uint32_t i = 0; i < 500; i++)
		if (w.thing.v[i].n.loads > most)
			most = w.thing.v[i].n.loads;
	for (uint32_t i = 0; i < 500; i++)
		ratio[i] = world_why(&w, i).row.ttl_s / ratio[i];
	hour = w.n;
	for (int i = 0; i < 59; i++) {
		world_count_anew(&w);
		world_pass(&w, 60);
		wave = fmax(wave, (double)w.n.loads);
		hour.requests += w.n.requests;
		hour.stale += w.n.stale;
		hour.loads += w.n.loads;
	}
	FIGURE("purge: %" PRIu64 " loads of 500 keys in the first minute, at most %" PRIu64
	       " of one; %.0f in the fullest later minute, %.0f usual",
	       minute.loads, most, wave, (double)before.loads / 60);
	FIGURE("purge: TTL after against before %.2f in the median; stale %.4f in the hour after, "
	       "%.4f before, of 0.02",
	       quantile(ratio, 500, 0.5), stale_share(hour), stale_share(before));
	OK(minute.loads >= 450 && minute.loads <= 600, "%" PRIu64, minute.loads);
	OK(wave < 3 * (double)before.loads / 60, "%g", wave);
	NEAR(log(quantile(ratio, 500, 0.5)), 0, 0.3);
	OK(stale_share(hour) < 0.02 * 1.4, "%g", stale_share(hour));
	world_release(&w);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(an_origin_that_lies_in_last_modified_costs_little);
	RUN(periodic_keys_are_no_trap);
	RUN(a_step_of_the_clock_ends_no_life_and_is_forgotten_in_days);
	RUN(a_clock_that_jumps_by_decades_does_no_harm);
	RUN(a_purge_of_everything_costs_one_load_a_key_and_no_wave_after);
	return tap_done();
}
