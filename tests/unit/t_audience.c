/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "analyzer/audience.h"

#include "base/rng.h"
#include "tests/tap.h"

#include <math.h>

static struct rng rng;
static const double WINDOW = 300;

/* P(asked for within t s of the peak on that weekday). */
static double p(const struct audience *a, uint32_t key, unsigned day, double t)
{
	double n, s;

	audience_rate(a, key, day, 1e-6, WINDOW, &n, &s);
	return -expm1(-n * log1p(t / s));
}

/* Some of the work at a time. */
static void end(struct audience *a, unsigned day, size_t max)
{
	audience_end(a, day, WINDOW, max);
	while (!audience_step(a, 1 + rng_below(&rng, 20)))
		;
}

/* One peak: keys first .. last are asked for, each after delay_s. */
static void peak(struct audience *a, unsigned day, uint32_t first, uint32_t last, double delay_s)
{
	audience_begin(a);
	for (uint32_t k = first; k <= last; k++)
		audience_asked(a, k, delay_s);
	end(a, day, 1000);
}

TEST(what_was_asked_for_then_is_expected_and_nothing_else)
{
	struct audience a = {0};

	OK(p(&a, 1, 0, WINDOW) < 0.01, "nothing is known");
	for (int d = 0; d < 5; d++)
		peak(&a, d, 1, 10, 20);
	OK(p(&a, 5, 0, WINDOW) > 0.9);
	OK(p(&a, 5, 0, 5) < 0.5, "and not at once");
	OK(p(&a, 11, 0, WINDOW) < 0.01);
	audience_release(&a);
}

TEST(fashions_change)
{
	struct audience a = {0};

	for (int d = 0; d < 20; d++)
		peak(&a, d % 5, 1, 10, 20);
	for (int d = 0; d < 10; d++)
		peak(&a, d % 5, 11, 20, 20);
	OK(p(&a, 5, 0, WINDOW) < 0.5 && p(&a, 15, 0, WINDOW) > 0.6, "%g %g", p(&a, 5, 0, WINDOW),
	   p(&a, 15, 0, WINDOW));
	for (int d = 0; d < 60; d++)
		peak(&a, d % 5, 11, 20, 20);
	OK(!audience_find(&a, 5), "at last it is not known any more");
	audience_release(&a);
}

TEST(mondays_are_known_for_mondays)
{
	struct audience a = {0};

	for (int d = 0; d < 30; d++)
		peak(&a, d % 5, d % 5 ? 100 : 1, d % 5 ? 110 : 10, 10);
	OK(p(&a, 5, 0, WINDOW) > 0.5 && p(&a, 5, 2, WINDOW) < 0.5, "%g %g", p(&a, 5, 0, WINDOW),
	   p(&a, 5, 2, WINDOW));
	OK(p(&a, 105, 2, WINDOW) > 0.8 && p(&a, 105, 0, WINDOW) < 0.7, "%g %g",
	   p(&a, 105, 2, WINDOW), p(&a, 105, 0, WINDOW));
	audience_release(&a);
}

TEST(rates_of_first_requests_are_found)
{
	struct audience a = {0};
	double n, s;

	/* a hundred peaks; keys 1 .. 20 come at rate k / 100 per second */
	for (int d = 0; d < 100; d++) {
		audience_begin(&a);
		for (uint32_t k = 1; k <= 20; k++) {
			double delay = rng_exponential(&rng, k / 100.0);

			if (delay < WINDOW)
				audience_asked(&a, k, delay);
		}
		end(&a, d % 7, 1000);
	}
	for (uint32_t k = 5; k <= 20; k++) {
		audience_rate(&a, k, 0, k / 100.0, WINDOW, &n, &s);
		OK(n / s > k / 400.0 && n / s < k / 25.0, "key %u: %g", k, n / s);
	}
	audience_release(&a);
}

TEST(of_more_than_max_the_least_asked_for_go)
{
	struct audience a = {0};

	for (int d = 0; d < 10; d++) {
		audience_begin(&a);
		for (uint32_t k = 0; k < 100; k++)
			if (d % (k / 10 + 1) == 0)
				audience_asked(&a, k, 1);
		end(&a, d % 7, 30);
	}
	OK(a.list.n == 30);
	for (uint32_t k = 0; k < 10; k++)
		OK(audience_find(&a, k) != NULL, "%u is asked for each time", k);
	audience_forget(&a, 3);
	OK(!audience_find(&a, 3) && audience_find(&a, 4) && a.list.n == 29);
	audience_forget(&a, 3);
	OK(a.list.n == 29);
	audience_release(&a);
}

TEST(what_is_forgotten_while_an_end_is_worked_off_counts_for_nobody)
{
	struct audience a = {0}, b = {0};

	for (int d = 0; d < 3; d++) {
		peak(&a, d, 0, 999, 10);
		peak(&b, d, 0, 999, 10);
	}
	audience_begin(&a);
	audience_begin(&b);
	for (uint32_t k = 0; k < 1000; k += 2) {
		audience_asked(&a, k, 10);
		audience_asked(&b, k, 10);
	}
	end(&b, 3, 1000);
	audience_end(&a, 3, WINDOW, 1000);
	for (uint32_t gone = 1; !audience_step(&a, 3); gone += 7)
		if (gone < 1000)
			audience_forget(&a, gone);
	OK(a.list.n == 1000 - 143, "%zu", a.list.n);
	for (uint32_t k = 0; k < 1000; k++) {
		const struct audience_key *x = audience_find(&a, k), *y = audience_find(&b, k);

		if (k % 7 == 1)
			OK(!x);
		else
			OK(x && x->n == y->n && x->s == y->s && x->delay_s < 0, "%u", k);
	}
	audience_release(&a);
	audience_release(&b);
}

TEST(a_watch_that_was_broken_off_says_nothing)
{
	struct audience a = {0};

	peak(&a, 0, 1, 10, 20);
	audience_begin(&a);
	audience_asked(&a, 5, 1);
	audience_begin(&a);
	end(&a, 1, 1000);
	OK(audience_find(&a, 5)->n == audience_find(&a, 6)->n);
	audience_release(&a);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(what_was_asked_for_then_is_expected_and_nothing_else);
	RUN(fashions_change);
	RUN(mondays_are_known_for_mondays);
	RUN(rates_of_first_requests_are_found);
	RUN(of_more_than_max_the_least_asked_for_go);
	RUN(what_is_forgotten_while_an_end_is_worked_off_counts_for_nobody);
	RUN(a_watch_that_was_broken_off_says_nothing);
	return tap_done();
}
