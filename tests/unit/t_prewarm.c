/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "predictor/prewarm.c"

#include "base/rng.h"
#include "tests/tap.h"

static struct rng rng;
static const double PEAK_S = 1e9;
static const size_t MANY = 1000;

static struct prewarm_terms terms(double rate, double now_before_s)
{
	return (struct prewarm_terms){.now = instant_from_s(PEAK_S - now_before_s),
	                              .peak = instant_from_s(PEAK_S),
	                              .rate = rate,
	                              .watch_s = 300,
	                              .max_keys = &MANY,
	                              .n_peaks = 1};
}

/* Asked for per_s times a second after the peak, for sure; a value of it lives for life_s. */
static struct prewarm_candidate of(uint32_t key, double per_s, double life_s, double changes)
{
	return (struct prewarm_candidate){.key = key,
	                                  .miss_value = 1,
	                                  .a = 1000,
	                                  .b = 1000 / per_s,
	                                  .life_s = life_s,
	                                  .trust = 1,
	                                  .changes_per_s = changes,
	                                  .load_s = 0.1};
}

static double before(const struct prewarm_candidate *c)
{
	return PEAK_S - instant_s(c->at);
}

TEST(nothing_is_planned_for_nobody)
{
	struct prewarm_terms t = terms(10, 1800);
	struct prewarm_candidate c = of(1, 0.001, 100, 0);
	size_t none = 0;

	OK(prewarm_plan(&t, &c, 0) == 0);
	OK(prewarm_plan(&t, &c, 1) == 0);
	OK(c.at.us == INT64_MAX && c.verdict == PREWARM_UNLIKELY);
	t.max_keys = &none;
	c = of(1, 1, 100, 0);
	OK(prewarm_plan(&t, &c, 1) == 0 && c.at.us == INT64_MAX && c.verdict == PREWARM_LIMIT);
}

TEST(what_pays_within_its_own_life_is_loaded_and_nothing_else)
{
	struct prewarm_terms t = terms(10, 1800);
	/* P(asked for within 10 s): 0.49, 0.51 and 0.9 */
	struct prewarm_candidate c[3] = {of(1, 0.0672, 10, 0), of(2, 0.0715, 10, 0),
	                                 of(3, 0.2303, 10, 0)};

	OK(prewarm_plan(&t, c, 3) == 2);
	OK(c[0].key != 1 && c[1].key != 1 && c[2].key == 1 && c[2].at.us == INT64_MAX);
	NEAR(c[2].p, 0.489, 0.002);
	/* wanted within the first minutes, but not while its value lasts: that is its volatility */
	OK(c[2].verdict == PREWARM_VOLATILE);
	/* a miss that is worth four loads: a fifth is enough */
	c[2].miss_value = 4;
	OK(prewarm_plan(&t, &c[2], 1) == 1);
}

TEST(predictions_that_did_not_come_true_count_for_less)
{
	struct prewarm_terms t = terms(10, 1800);
	struct prewarm_candidate c = of(1, 1, 100, 0);

	c.trust = 0.51;
	OK(prewarm_plan(&t, &c, 1) == 1);
	c.trust = 0.49;
	OK(prewarm_plan(&t, &c, 1) == 0 && c.verdict == PREWARM_UNLIKELY);
}

TEST(what_would_be_replaced_before_the_peak_is_left_to_demand)
{
	struct prewarm_terms t = terms(10, 1800);
	/* loaded last of all it is read 1.2 * 0.2 s before: half a change by then is the most */
	struct prewarm_candidate c[2] = {of(1, 9, 50, 2.0), of(2, 9, 50, 2.2)};

	OK(prewarm_plan(&t, c, 2) == 1);
	OK(c[0].key == 1 && c[1].key == 2 && c[1].verdict == PREWARM_VOLATILE);
	/* the same for a life that wears off: 0.07 s of it must be left */
	c[0] = of(1, 10, 0.32, 0);
	c[1] = of(2, 10, 0.30, 0);
	c[0].wear = c[1].wear = 1;
	OK(prewarm_plan(&t, c, 2) == 1);
	OK(c[0].key == 1 && c[1].verdict == PREWARM_VOLATILE);
}

TEST(the_stable_go_first_and_the_volatile_and_wanted_last)
{
	struct prewarm_terms t = terms(10, 1800);
	struct prewarm_candidate c[4] = {of(1, 100, 50, 1e-2), of(2, 1, 50, 1e-2),
	                                 of(3, 100, 50, 0), of(4, 10, 50, 1e-2)};

	OK(prewarm_plan(&t, c, 4) == 4);
	OK(c[0].key == 3 && c[1].key == 2 && c[2].key == 4 && c[3].key == 1);
	/* each a gap of 0.1 s and its own load time before the next, with a fifth to spare */
	for (int i = 0; i < 4; i++)
		NEAR(before(&c[i]), 1.2 * ((4 - i) * 0.1 + 0.1), 1e-6);
}

TEST(a_short_life_takes_a_late_slot_and_the_worth_most_gets_it)
{
	struct prewarm_terms t = terms(10, 1800);
	struct prewarm_candidate c[40];

	/* lives of a second hold for five slots or so; there are twenty of them */
	for (uint32_t i = 0; i < 40; i++) {
		c[i] = of(i, 5 + i, i % 2 ? 1 : 1000, 0);
		c[i].wear = 1;
	}
	size_t n = prewarm_plan(&t, c, 40), brief = 0;
	for (size_t i = 0; i < 40; i++) {
		bool is_brief = c[i].key % 2;

		OK(is_brief || i < n, "there is time enough for what lives long");
		if (i < n && is_brief) {
			brief++;
			OK(prewarm_p(&c[i], c[i].life_s - before(&c[i])) >= 0.5 - 1e-9);
			OK(c[i].key >= 20, "of more than fit the most wanted");
		}
		OK(i < n || c[i].verdict == PREWARM_ROOM);
	}
	OK(brief >= 4 && brief <= 8, "%zu", brief);
}

TEST(the_most_wanted_are_taken_when_there_is_no_room_for_all)
{
	struct prewarm_terms t = terms(10, 1800);
	struct prewarm_candidate c[50];
	size_t ten = 10;

	for (uint32_t i = 0; i < 50; i++)
		c[i] = of(i, 0.1 + 0.01 * (i * 7 % 50), 10, 1e-3 * (i % 3));
	t.max_keys = &ten;
	OK(prewarm_plan(&t, c, 50) == 10);
	for (int i = 0; i < 50; i++)
		OK((c[i].key * 7 % 50 >= 40) == (i < 10) && (c[i].at.us != INT64_MAX) == (i < 10));
}

TEST(where_any_chance_pays_the_most_wanted_are_taken_too)
{
	struct prewarm_terms t = terms(10, 0);
	struct prewarm_candidate c[50];
	size_t ten = 10;

	for (uint32_t i = 0; i < 50; i++) {
		c[i] = of(i, 0.001 * (1 + i * 7 % 50), 10, 0);
		c[i].miss_value = INFINITY;
	}
	t.max_keys = &ten;
	OK(prewarm_plan(&t, c, 50) == 10);
	for (int i = 0; i < 10; i++)
		OK(c[i].key * 7 % 50 == (unsigned)(49 - i), "%d: %u", i, c[i].key);
}

TEST(each_of_several_peaks_keeps_to_its_own_limit)
{
	struct prewarm_terms t = terms(10, 1800);
	struct prewarm_candidate c[20];
	size_t most[2] = {3, 100}, n[2] = {0};

	for (uint32_t i = 0; i < 20; i++) {
		c[i] = of(i, 1, 10, 0);
		c[i].peak = i % 2;
	}
	t.max_keys = most;
	t.n_peaks = 2;
	OK(prewarm_plan(&t, c, 20) == 13);
	for (int i = 0; i < 13; i++)
		n[c[i].peak]++;
	OK(n[0] == 3 && n[1] == 10);
}

TEST(a_late_start_takes_the_most_wanted_that_fit)
{
	struct prewarm_terms t = terms(10, 2);
	struct prewarm_candidate c[50];

	for (uint32_t i = 0; i < 50; i++)
		c[i] = of(i, 0.1 + 0.01 * (i * 7 % 50), 10, 1e-3 * (i % 3));
	OK(prewarm_plan(&t, c, 50) == 16);
	for (int i = 0; i < 50; i++) {
		OK((c[i].key * 7 % 50 >= 34) == (i < 16));
		OK(i >= 16 ? c[i].at.us == INT64_MAX && c[i].verdict == PREWARM_ROOM
		           : before(&c[i]) <= 2 && before(&c[i]) > 0);
	}
	/* no time for any: one, now, which whoever comes first will share */
	t = terms(1, 0.1);
	OK(prewarm_plan(&t, c, 50) == 1);
	OK(c[0].key * 7 % 50 == 49);
	NEAR(before(&c[0]), 0.1, 1e-6);
}

TEST(a_peak_that_is_now_or_over_is_loaded_for_at_once)
{
	for (int over = 0; over < 2; over++) {
		struct prewarm_terms t = terms(10, over ? -5 : 0);
		struct prewarm_candidate c[30];

		for (uint32_t i = 0; i < 30; i++)
			c[i] = of(i, 0.1 + 0.01 * i, 10, 1e-3);
		OK(prewarm_plan(&t, c, 30) == 30);
		for (int i = 0; i < 30; i++)
			OK(c[i].at.us == t.now.us);
		OK(c[0].key == 29, "the most wanted first");
	}
}

TEST(a_lead_is_the_longest_and_not_the_usual_one)
{
	struct prewarm_terms t = terms(10, 1800);
	struct prewarm_candidate c[50];

	for (uint32_t i = 0; i < 50; i++)
		c[i] = of(i, 0.2 + 0.01 * i, 10, 1e-3);
	t.lead_s = 600;
	OK(prewarm_plan(&t, c, 50) == 50);
	NEAR(before(&c[0]), 1.2 * 5.1, 1e-6);
	t.lead_s = 3;
	OK(prewarm_plan(&t, c, 50) == 25);
	for (int i = 0; i < 25; i++)
		OK(before(&c[i]) <= 3 + 1e-6 && c[i].key >= 25);
}

TEST(slow_loads_start_earlier)
{
	struct prewarm_terms t = terms(10, 1800);
	struct prewarm_candidate c[2] = {of(1, 1, 50, 0), of(2, 2, 50, 0.001)};

	c[1].load_s = 30;
	OK(prewarm_plan(&t, c, 2) == 2);
	OK(c[1].key == 2);
	NEAR(before(&c[1]), 1.2 * 30.1, 1e-6);
	NEAR(before(&c[0]), 1.2 * 0.3, 1e-6);
}

/* Plans for c in small steps, which must come to `whole`, of which `taken` are loaded. */
static void plan_in_steps(const struct prewarm_terms *t, struct prewarm_candidate *c, size_t n,
                          const struct prewarm_candidate *whole, size_t taken)
{
	struct prewarm *p = prewarm_begin(t, &c, n);
	size_t same = 0;

	while (!prewarm_step(p, 1 + rng_below(&rng, 3)))
		;
	OK(prewarm_loads(p) == taken);
	for (size_t i = 0; i < n; i++) {
		const struct prewarm_candidate *x = prewarm_nth(p, i);

		same += x->key == whole[i].key && x->at.us == whole[i].at.us &&
		        x->verdict == whole[i].verdict;
	}
	OK(same == n, "%zu of %zu", same, n);
	prewarm_free(&p);
}

TEST(any_candidates_give_a_plan_that_keeps_its_word_and_is_the_same_in_steps)
{
	for (int run = 0; run < 500; run++) {
		struct prewarm_candidate c[60], again[60];
		struct prewarm_terms t =
		        terms(0.1 + 20 * rng_uniform(&rng), 60 * rng_uniform(&rng));
		size_t n = rng_below(&rng, 61), taken, most = rng_below(&rng, 70);
		double available = span_s(instant_diff(t.peak, t.now));
		uint64_t seen = 0;

		t.lead_s = rng_below(&rng, 2) ? 0 : 40 * rng_uniform(&rng);
		if (t.lead_s > 0)
			available = fmin(available, t.lead_s);
		t.max_keys = &most;
		for (uint32_t i = 0; i < n; i++) {
			c[i] = of(i, rng_exponential(&rng, 1), rng_exponential(&rng, 0.1),
			          rng_exponential(&rng, 10));
			c[i].a = rng_exponential(&rng, 0.5) + 0.1;
			c[i].b = rng_exponential(&rng, 0.1) + 0.01;
			c[i].wear = rng_uniform(&rng);
			c[i].trust = 0.5 + rng_uniform(&rng) / 2;
			c[i].miss_value = rng_exponential(&rng, 1);
			c[i].load_s = rng_exponential(&rng, 5);
		}
		memcpy(again, c, n * sizeof(*c));
		taken = prewarm_plan(&t, c, n);
		plan_in_steps(&t, again, n, c, taken);
		OK(taken <= n && taken <= most);
		for (size_t i = 0; i < n; i++) {
			seen |= UINT64_C(1) << c[i].key;
			OK((i < taken) == (c[i].at.us != INT64_MAX));
			OK((i < taken) == (c[i].verdict == PREWARM_LOAD));
			if (i >= taken)
				continue;
			OK(c[i].p >= prewarm_worth(c[i].miss_value));
			OK(c[i].at.us >= t.now.us && c[i].at.us <= t.peak.us);
			/* it is still worth its load at its slot, unless the start was late */
			OK(before(&c[i]) >= available - 1e-5 ||
			   c[i].trust * prewarm_p(&c[i], c[i].life_s - c[i].wear * before(&c[i])) >=
			           prewarm_worth(c[i].miss_value) - 1e-6);
		}
		OK(seen == (n ? UINT64_MAX >> (64 - n) : 0), "each key once");
	}
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(nothing_is_planned_for_nobody);
	RUN(what_pays_within_its_own_life_is_loaded_and_nothing_else);
	RUN(predictions_that_did_not_come_true_count_for_less);
	RUN(what_would_be_replaced_before_the_peak_is_left_to_demand);
	RUN(the_stable_go_first_and_the_volatile_and_wanted_last);
	RUN(a_short_life_takes_a_late_slot_and_the_worth_most_gets_it);
	RUN(the_most_wanted_are_taken_when_there_is_no_room_for_all);
	RUN(where_any_chance_pays_the_most_wanted_are_taken_too);
	RUN(each_of_several_peaks_keeps_to_its_own_limit);
	RUN(a_late_start_takes_the_most_wanted_that_fit);
	RUN(a_peak_that_is_now_or_over_is_loaded_for_at_once);
	RUN(a_lead_is_the_longest_and_not_the_usual_one);
	RUN(slow_loads_start_earlier);
	RUN(any_candidates_give_a_plan_that_keeps_its_word_and_is_the_same_in_steps);
	return tap_done();
}
