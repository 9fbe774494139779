/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/watch_target.c"

#include "base/rng.h"
#include "tests/tap.h"

/* Share of stale answers over a TTL by adding up: the mean of 1 - (b / (b + u))^a. */
static double share_by_sum(struct change c, double ttl_s)
{
	double sum = 0;
	int n = 20000;

	for (int i = 0; i < n; i++)
		sum += 1 - pow(c.b / (c.b + ttl_s * (i + 0.5) / n), c.a);
	return sum / n;
}

TEST(the_advised_ttl_gives_the_stated_share_of_stale_answers)
{
	static const struct change c[] = {
	        {0.5, 600}, {1, 30}, {1.0000001, 30}, {2.5, 0.4}, {80, 1e6}};
	static const double share[] = {0.0001, 0.01, 0.05, 0.5};

	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		for (size_t j = 0; j < sizeof(share) / sizeof(share[0]); j++) {
			double ttl_s = watch_advised_ttl(c[i], share[j]);

			NEAR(share_by_sum(c[i], ttl_s) / share[j], 1, 1e-3);
		}
	}
}

TEST(a_tiny_share_gives_a_tiny_ttl_and_not_a_wrong_one)
{
	struct change c = {2, 100};

	NEAR(watch_advised_ttl(c, 1e-9) / 1e-7, 1, 1e-6);
}

/* Looks at a page that changes with the given rate, as often as the target asks for. */
static struct watch_target watched(struct rng *g, double rate, double every_s, double for_s)
{
	struct watch_target t;
	double now = 1000, next_change = now + rng_exponential(g, rate), ignored;
	uint64_t version = 1;

	watch_target_init(&t, every_s, for_s);
	while (now < 1000 + for_s) {
		while (next_change <= now) {
			version++;
			next_change += rng_exponential(g, rate);
		}
		watch_target_look(&t,
		                  &(struct watch_look){.at_s = now,
		                                       .version = version,
		                                       .last_modified_s = NAN,
		                                       .date_s = NAN},
		                  &ignored);
		now += watch_target_interval(&t, 12 * every_s);
	}
	return t;
}

/*
 * The 90 % interval (mean +- 1.645 sd, as the rates here are well known) holds the truth in about
 * 90 % of watches, whether changes come between most looks or few; and the mean is not off.
 */
TEST(the_rate_is_calibrated_for_slow_and_fast_pages)
{
	static const double rate[] = {0.02, 0.1,
	                              0.3}; /* per second, with looks 1 s to 12 s apart */
	struct rng g;

	rng_init(&g, tap_seed);
	for (size_t i = 0; i < sizeof(rate) / sizeof(rate[0]); i++) {
		int n = 2000, inside = 0;
		double sum = 0;

		for (int k = 0; k < n; k++) {
			struct watch_target t = watched(&g, rate[i], 1, 60 / rate[i]);
			struct estimate e = change_estimate(t.rate);

			inside += fabs(e.mean - rate[i]) < 1.645 * e.sd;
			sum += e.mean / rate[i];
		}
		NEAR((double)inside / n, 0.9, 0.03);
		NEAR(sum / n, 1, 0.03);
	}
}

TEST(intervals_shrink_where_much_changes_and_grow_where_little_does)
{
	struct rng g;
	struct watch_target fast, slow;

	rng_init(&g, tap_seed);
	fast = watched(&g, 2, 1, 200);
	slow = watched(&g, 0.001, 1, 200);
	OK(watch_target_interval(&fast, 12) == 1);
	OK(watch_target_interval(&slow, 12) == 12);
	NEAR(change_p(fast.rate, 1), 0.86, 0.1);
}

static enum watch_verdict look(struct watch_target *t, double at_s, uint64_t version,
                               double modified_s, double *ret)
{
	return watch_target_look(
	        t,
	        &(struct watch_look){.at_s = at_s,
	                             .version = version,
	                             .last_modified_s = modified_s,
	                             .date_s = at_s + 500}, /* the origin's clock is off */
	        ret);
}

TEST(a_believed_last_modified_dates_a_change)
{
	struct watch_target t;
	double when = 0, before;

	watch_target_init(&t, 10, 600);
	OK(look(&t, 100, 1, 590, &when) == WATCH_FIRST);
	OK(!watch_target_believes_last_modified(&t));
	OK(look(&t, 110, 1, 590, &when) == WATCH_UNCHANGED);
	OK(watch_target_believes_last_modified(&t));
	before = t.rate.b;
	OK(look(&t, 130, 2, 627, &when) == WATCH_CHANGED);
	NEAR(when, 127, 1e-9);
	NEAR(t.rate.b - before, 3, 1e-9); /* one change, three seconds before the look: exact */
}

TEST(a_last_modified_that_is_always_now_is_not_believed)
{
	struct watch_target t;
	double when;

	watch_target_init(&t, 10, 600);
	for (int i = 0; i < 20; i++)
		look(&t, 100 + 10 * i, 1, 600 + 10 * i, &when);
	OK(!watch_target_believes_last_modified(&t));
	OK(t.changes == 0 && t.rate.a < 0.6, "a %g", t.rate.a);
}

TEST(a_change_without_last_modified_is_dated_to_the_middle)
{
	struct watch_target t;
	double when = 0;

	watch_target_init(&t, 10, 600);
	look(&t, 100, 1, NAN, &when);
	OK(look(&t, 120, 2, NAN, &when) == WATCH_CHANGED);
	NEAR(when, 110, 1e-9);
}

TEST(a_304_is_unchanged_whatever_the_version_says)
{
	struct watch_target t;
	double when;

	watch_target_init(&t, 10, 600);
	look(&t, 100, 7, NAN, &when);
	OK(watch_target_look(&t,
	                     &(struct watch_look){.at_s = 110,
	                                          .not_modified = true,
	                                          .last_modified_s = NAN,
	                                          .date_s = NAN},
	                     &when) == WATCH_UNCHANGED);
	OK(t.version == 7 && t.not_modified == 1);
}

TEST(the_past_counts_but_does_not_outweigh_the_watch)
{
	struct watch_target t;
	double when, tens_of_years = 1e9;

	watch_target_init(&t, 10, 600);
	look(&t, 100, 1, 600 - tens_of_years, &when);
	look(&t, 110, 1, 600 - tens_of_years, &when);
	OK(t.rate.b < 700 && t.rate.b > 600, "b %g", t.rate.b);
	OK(t.rate.a < 0.51, "a %g", t.rate.a);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(the_advised_ttl_gives_the_stated_share_of_stale_answers);
	RUN(a_tiny_share_gives_a_tiny_ttl_and_not_a_wrong_one);
	RUN(the_rate_is_calibrated_for_slow_and_fast_pages);
	RUN(intervals_shrink_where_much_changes_and_grow_where_little_does);
	RUN(a_believed_last_modified_dates_a_change);
	RUN(a_last_modified_that_is_always_now_is_not_believed);
	RUN(a_change_without_last_modified_is_dated_to_the_middle);
	RUN(a_304_is_unchanged_whatever_the_version_says);
	RUN(the_past_counts_but_does_not_outweigh_the_watch);
	return tap_done();
}
