/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "predictor/prewarm.c"

#include "base/rng.h"
#include "tests/tap.h"

static struct rng rng;
static const double PEAK_S = 1e9;

static struct prewarm_terms terms(double rate, double now_before_s)
{
	return (struct prewarm_terms){.now = instant_from_s(PEAK_S - now_before_s),
	                              .peak = instant_from_s(PEAK_S),
	                              .rate = rate,
	                              .worth = 0.5,
	                              .max_keys = 1000};
}

static struct prewarm_candidate of(uint32_t key, double p, double requests, double changes)
{
	return (struct prewarm_candidate){
	        .key = key, .p = p, .requests = requests, .changes_per_s = changes, .load_s = 0.1};
}

static double before(const struct prewarm_candidate *c)
{
	return PEAK_S - instant_s(c->at);
}

TEST(nothing_is_planned_for_nobody)
{
	struct prewarm_terms t = terms(10, 1800);
	struct prewarm_candidate c = of(1, 0.4, 10, 0);

	OK(prewarm_plan(&t, &c, 0) == 0);
	OK(prewarm_plan(&t, &c, 1) == 0);
	OK(c.at.us == INT64_MAX && !c.left);
	t.max_keys = 0;
	c.p = 1;
	OK(prewarm_plan(&t, &c, 1) == 0 && c.at.us == INT64_MAX);
}

TEST(what_pays_is_loaded_and_nothing_else)
{
	struct prewarm_terms t = terms(10, 1800);
	struct prewarm_candidate c[3] = {of(1, 0.49, 9, 0), of(2, 0.5, 5, 0), of(3, 0.9, 1, 0)};

	OK(prewarm_plan(&t, c, 3) == 2);
	OK(c[0].key != 1 && c[1].key != 1 && c[2].key == 1 && c[2].at.us == INT64_MAX);
}

TEST(what_would_change_again_before_the_peak_is_left_to_demand)
{
	struct prewarm_terms t = terms(10, 1800);
	/* loaded last of all it is 0.1 + 0.1 s old at the peak */
	struct prewarm_candidate c[3] = {of(1, 0.9, 9, 4.9), of(2, 0.9, 9, 5.1), of(3, 0.1, 9, 9)};

	OK(prewarm_plan(&t, c, 3) == 1);
	OK(c[0].key == 1 && !c[0].left);
	for (int i = 1; i < 3; i++)
		OK(c[i].at.us == INT64_MAX && c[i].left == (c[i].key == 2), "%u", c[i].key);
}

TEST(the_stable_go_first_and_the_volatile_and_wanted_last)
{
	struct prewarm_terms t = terms(10, 1800);
	struct prewarm_candidate c[4] = {of(1, 1, 100, 1e-2), of(2, 1, 1, 1e-2), of(3, 1, 100, 0),
	                                 of(4, 1, 10, 1e-2)};

	OK(prewarm_plan(&t, c, 4) == 4);
	OK(c[0].key == 3 && c[1].key == 2 && c[2].key == 4 && c[3].key == 1);
	/* each a gap of 0.1 s and its own load time before the next, with a fifth to spare */
	for (int i = 0; i < 4; i++)
		NEAR(before(&c[i]), 1.2 * ((4 - i) * 0.1 + 0.1), 1e-6);
}

TEST(the_most_wanted_are_taken_when_there_is_no_room_for_all)
{
	struct prewarm_terms t = terms(10, 1800);
	struct prewarm_candidate c[50];

	for (uint32_t i = 0; i < 50; i++)
		c[i] = of(i, 1, i * 7 % 50, 1e-3 * (i % 3));
	t.max_keys = 10;
	OK(prewarm_plan(&t, c, 50) == 10);
	for (int i = 0; i < 50; i++)
		OK((c[i].requests >= 40) == (i < 10) && (c[i].at.us != INT64_MAX) == (i < 10));
}

TEST(a_late_start_takes_the_most_wanted_that_fit)
{
	struct prewarm_terms t = terms(10, 2);
	struct prewarm_candidate c[50];

	for (uint32_t i = 0; i < 50; i++)
		c[i] = of(i, 1, i * 7 % 50, 1e-3 * (i % 3));
	OK(prewarm_plan(&t, c, 50) == 20);
	for (int i = 0; i < 50; i++) {
		OK((c[i].requests >= 30) == (i < 20));
		OK(i >= 20 ? c[i].at.us == INT64_MAX : before(&c[i]) <= 2 && before(&c[i]) > 0);
	}
	/* a tenth of a second, or none at all: one, now */
	t = terms(1, 0.1);
	OK(prewarm_plan(&t, c, 50) == 1);
	NEAR(c[0].requests, 49, 0);
	NEAR(before(&c[0]), 0.1, 1e-6);
}

TEST(a_peak_that_is_now_or_over_is_loaded_for_at_once)
{
	for (int over = 0; over < 2; over++) {
		struct prewarm_terms t = terms(10, over ? -5 : 0);
		struct prewarm_candidate c[30];

		for (uint32_t i = 0; i < 30; i++)
			c[i] = of(i, 1, i, 1e-3);
		OK(prewarm_plan(&t, c, 30) == 30);
		for (int i = 0; i < 30; i++)
			OK(c[i].at.us == t.now.us);
		OK(c[29].key == 29, "the most urgent last");
	}
}

TEST(a_lead_is_the_longest_and_not_the_usual_one)
{
	struct prewarm_terms t = terms(10, 1800);
	struct prewarm_candidate c[50];

	for (uint32_t i = 0; i < 50; i++)
		c[i] = of(i, 1, i, 1e-3);
	t.lead_s = 600;
	OK(prewarm_plan(&t, c, 50) == 50);
	NEAR(before(&c[0]), 1.2 * 5.1, 1e-6);
	t.lead_s = 3;
	OK(prewarm_plan(&t, c, 50) == 30);
	for (int i = 0; i < 30; i++)
		OK(before(&c[i]) <= 3 + 1e-6 && c[i].key >= 20);
}

TEST(slow_loads_start_earlier)
{
	struct prewarm_terms t = terms(10, 1800);
	struct prewarm_candidate c[2] = {of(1, 1, 1, 0), of(2, 1, 2, 0.001)};

	c[1].load_s = 30;
	OK(prewarm_plan(&t, c, 2) == 2);
	OK(c[1].key == 2);
	NEAR(before(&c[1]), 1.2 * 30.1, 1e-6);
	NEAR(before(&c[0]), 1.2 * 0.3, 1e-6);
}

TEST(any_candidates_give_a_plan_that_keeps_its_word)
{
	for (int run = 0; run < 500; run++) {
		struct prewarm_candidate c[60];
		struct prewarm_terms t =
		        terms(0.1 + 20 * rng_uniform(&rng), 60 * rng_uniform(&rng));
		size_t n = rng_below(&rng, 61), taken, left = 0;
		uint64_t seen = 0;

		t.lead_s = rng_below(&rng, 2) ? 0 : 40 * rng_uniform(&rng);
		t.max_keys = rng_below(&rng, 70);
		for (uint32_t i = 0; i < n; i++) {
			c[i] = of(i, rng_uniform(&rng), (double)rng_below(&rng, 10),
			          rng_exponential(&rng, 1));
			c[i].load_s = rng_exponential(&rng, 5);
		}
		taken = prewarm_plan(&t, c, n);
		OK(taken <= n && taken <= t.max_keys);
		for (size_t i = 0; i < n; i++) {
			seen |= UINT64_C(1) << c[i].key;
			left += c[i].left;
			OK((i < taken) == (c[i].at.us != INT64_MAX));
			if (i >= taken)
				continue;
			OK(!c[i].left && c[i].p >= t.worth);
			OK(c[i].at.us >= t.now.us && c[i].at.us <= t.peak.us);
			OK(!i || haste(&c[i - 1]) <= haste(&c[i]));
		}
		OK(seen == (n ? UINT64_MAX >> (64 - n) : 0), "each key once");
		OK(left + taken <= n);
	}
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(nothing_is_planned_for_nobody);
	RUN(what_pays_is_loaded_and_nothing_else);
	RUN(what_would_change_again_before_the_peak_is_left_to_demand);
	RUN(the_stable_go_first_and_the_volatile_and_wanted_last);
	RUN(the_most_wanted_are_taken_when_there_is_no_room_for_all);
	RUN(a_late_start_takes_the_most_wanted_that_fit);
	RUN(a_peak_that_is_now_or_over_is_loaded_for_at_once);
	RUN(a_lead_is_the_longest_and_not_the_usual_one);
	RUN(slow_loads_start_earlier);
	RUN(any_candidates_give_a_plan_that_keeps_its_word);
	return tap_done();
}
