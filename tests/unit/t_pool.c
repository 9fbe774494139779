/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/pool.h"

#include "base/quad.h"
#include "base/rng.h"
#include "tests/tap.h"

#include <math.h>

static struct rng rng;

static double mean_of(struct change c)
{
	return c.a / c.b;
}

/* The posterior mean after looks that found a change, with a Gamma prior, by a fine sum. */
static double exact_mean(struct change prior, double quiet_s, const double *tau, int n)
{
	double z = 0, m = 0;

	for (double x = -25; x < 8; x += 1e-3) {
		double rate = exp(x), w = exp(prior.a * x - (prior.b + quiet_s) * rate);

		for (int i = 0; i < n; i++)
			w *= -expm1(-rate * tau[i]);
		z += w;
		m += w * rate;
	}
	return m / z;
}

TEST(a_posterior_is_what_bayes_rule_says)
{
	static const double tau[][4] = {{1}, {12}, {3.5}, {600}, {40000, 5}, {5, 40000, 300, 300}};
	static const int n[] = {1, 1, 1, 1, 2, 4};
	static const double quiet_s[] = {0, 100, 10, 3000, 1e5, 2000};
	struct change prior = {0.8, 0.8 * 600};
	struct pool p;

	pool_init(&p, prior);
	for (size_t i = 0; i < sizeof(n) / sizeof(n[0]); i++) {
		struct looks l = {.quiet_s = (float)quiet_s[i]};

		for (int j = 0; j < n[i]; j++)
			looks_changed(&l, tau[i][j]);
		/* lengths between two of those that are kept are off by a little */
		NEAR(mean_of(pool_posterior(&p, &l)) / exact_mean(prior, quiet_s[i], tau[i], n[i]),
		     1, 0.08);
	}
}

TEST(four_exponentials_at_a_time_are_as_good_as_one)
{
	for (double x = -80; x <= 80; x += 0.037) {
		quad q = quad_exp((quad){(float)x, 0, (float)-x, 1});

		NEAR(q[0] / exp((double)(float)x), 1, 1e-5);
		NEAR(q[1], 1, 1e-6);
		NEAR(q[2] * exp((double)(float)x), 1, 1e-5);
		NEAR(q[3], M_E, 1e-6);
	}
}

TEST(a_posterior_keeps_mean_and_spread_of_a_gamma)
{
	static const struct change prior[] = {{0.3, 3}, {1, 20}, {6, 6e5}};

	for (size_t i = 0; i < sizeof(prior) / sizeof(prior[0]); i++) {
		const struct looks nothing = {0};
		struct pool p;
		struct change c;

		pool_init(&p, prior[i]);
		c = pool_posterior(&p, &nothing);
		NEAR(mean_of(c) / mean_of(prior[i]), 1, 0.02);
		NEAR(c.a / prior[i].a, 1, 0.15);
	}
}

TEST(no_prior_is_so_sure_that_it_could_not_be_wrong)
{
	const struct looks nothing = {0};
	struct pool p;
	struct change c;

	pool_init(&p, (struct change){1e4, 1e5});
	c = pool_posterior(&p, &nothing);
	NEAR(mean_of(c), 0.1, 0.02);
	OK(c.a > 20 && c.a <= CHANGE_MAX_A, "%g", c.a);
}

TEST(the_order_of_looks_does_not_matter_but_what_they_say_does)
{
	struct looks a = {0}, b = {0};
	struct pool p;

	pool_init(&p, (struct change){0.5, 1800});
	looks_changed(&a, 10);
	looks_unchanged(&a, 5000);
	looks_count(&a, 2, 100);
	looks_count(&b, 2, 100);
	looks_changed(&b, 10);
	looks_unchanged(&b, 5000);
	NEAR(mean_of(pool_posterior(&p, &a)), mean_of(pool_posterior(&p, &b)), 1e-9);
	looks_forget(&a, 0.5);
	NEAR(a.quiet_s, 2550, 1e-3);
	OK(pool_posterior(&p, &a).a < pool_posterior(&p, &b).a);
	looks_forget(&a, 0);
	NEAR(mean_of(pool_posterior(&p, &a)), 0.5 / 1800, 0.02 * 0.5 / 1800);
}

TEST(changes_between_looks_that_are_far_apart_set_no_upper_limit)
{
	struct pool fast;
	struct looks l = {0};
	double before;

	pool_init(&fast, (struct change){1.5, 1.5 * 30});
	before = mean_of(pool_posterior(&fast, &l));
	for (int i = 0; i < 200; i++)
		looks_changed(&l, 3000);
	NEAR(mean_of(pool_posterior(&fast, &l)) / before, 1, 0.1);
}

/* Learns from n keys: half of them change every ten seconds, half every ten hours. */
static void two_heaps(struct pool *p, int n, int steps)
{
	struct looks known[400] = {0};

	for (int i = 0; i < n; i++) {
		double rate = i % 2 ? 0.1 : 1 / 36000.0;

		for (int j = 0; j < 12; j++) {
			double tau = 20 + 100 * rng_uniform(&rng);

			if (rng_uniform(&rng) < -expm1(-rate * tau))
				looks_changed(&known[i], tau);
			else
				looks_unchanged(&known[i], tau);
		}
	}
	for (int s = 0; s < steps; s++) {
		struct pool_sum sum = {0};

		for (int i = 0; i < n; i++)
			pool_add(&sum, p, &known[i]);
		pool_learn(p, &sum, (struct change){0.5, 300}, 0);
	}
}

static double share_between(const struct pool *p, double low, double high)
{
	double sum = 0, rate = POOL_LOWEST;

	for (int i = 0; i < POOL_BINS; i++, rate *= exp(POOL_STEP))
		sum += rate >= low && rate < high ? (double)p->share[i] : 0;
	return sum;
}

TEST(two_kinds_of_keys_are_told_apart)
{
	struct looks slow = {0}, fast = {0};
	struct pool p;

	pool_init(&p, (struct change){0.5, 300});
	two_heaps(&p, 400, 30);
	NEAR(share_between(&p, 0, 1 / 600.0), 0.5, 0.06);
	NEAR(share_between(&p, 0.02, 100), 0.5, 0.06);
	/* one look each says which it is */
	looks_unchanged(&slow, 120);
	looks_changed(&fast, 120);
	OK(mean_of(pool_posterior(&p, &slow)) < 1 / 2000.0, "%g",
	   mean_of(pool_posterior(&p, &slow)));
	OK(mean_of(pool_posterior(&p, &fast)) > 0.02, "%g", mean_of(pool_posterior(&p, &fast)));
}

TEST(a_rate_that_no_other_key_has_is_believed_with_time)
{
	struct looks l = {0};
	struct pool p;

	pool_init(&p, (struct change){10, 10 * 3600});
	for (int i = 0; i < 20; i++)
		looks_count(&l, 1, 2);
	NEAR(mean_of(pool_posterior(&p, &l)) / 0.5, 1, 0.3);
	/* and makes the others believe little of it */
	for (int i = 0; i < 20; i++) {
		struct pool_sum sum = {0};
		struct looks other = {.quiet_s = 7200, .changed = {2}};

		for (int k = 0; k < 99; k++)
			pool_add(&sum, &p, &other);
		pool_add(&sum, &p, &l);
		pool_learn(&p, &sum, (struct change){10, 10 * 3600}, 0);
	}
	l = (struct looks){.quiet_s = 3600, .changed = {1}};
	OK(mean_of(pool_posterior(&p, &l)) < 3 / 3600.0, "%g", mean_of(pool_posterior(&p, &l)));
}

TEST(who_is_not_like_the_others_is_judged_by_itself)
{
	struct looks l = {.quiet_s = 1e6f, .changed = {[3] = 5}};
	struct pool p;
	struct change c;

	pool_init(&p, (struct change){50, 50 * 86400.0});
	looks_restart(&l, 1.5, 0.01);
	c = pool_posterior(NULL, &l);
	NEAR(mean_of(c) / 0.01, 1, 0.05);
	NEAR(c.a, 1.5, 0.15);
	OK(mean_of(pool_posterior(&p, &l)) < 0.001);
}

TEST(few_keys_stand_where_their_parent_does_and_many_where_they_are)
{
	struct change parent = {0.5, 0.5 * 60};
	struct looks l = {.quiet_s = 36000, .changed = {10}};
	const struct looks nothing = {0};
	double last = HUGE_VAL;

	for (int n = 0; n <= 1000; n = 10 * n + 1) {
		struct pool_sum sum = {0};
		struct pool p;
		double mean;

		pool_init(&p, parent);
		for (int i = 0; i < n; i++)
			pool_add(&sum, &p, &l);
		pool_learn(&p, &sum, parent, 0);
		mean = mean_of(pool_posterior(&p, &nothing));
		OK(mean < last, "%d keys: %g", n, mean);
		if (!n)
			NEAR(mean / (parent.a / parent.b), 1, 0.2);
		last = mean;
	}
	NEAR(last * 3600, 1, 0.2);
	OK(!(last > 1 / 1800.0));
}

TEST(what_was_known_before_counts_as_told)
{
	struct change parent = {0.5, 0.5 * 60};
	struct looks l = {.quiet_s = 36000, .changed = {100}};
	struct pool_sum sum = {0};
	struct pool a, b;
	double moved, less;

	pool_init(&a, parent);
	b = a;
	for (int i = 0; i < 50; i++)
		pool_add(&sum, &a, &l);
	moved = pool_learn(&a, &sum, parent, 0);
	less = pool_learn(&b, &sum, parent, 150);
	OK(moved > 0.5 && less < 0.4 * moved && less > 0.1 * moved, "%g %g", moved, less);
}

TEST(all_rates_can_move_at_once_and_what_was_kept_comes_back)
{
	const struct looks nothing = {0};
	double kept[POOL_BINS], before, sum = 0;
	struct pool p, q;

	pool_init(&p, (struct change){2, 2 * 600});
	before = mean_of(pool_posterior(&p, &nothing));
	pool_scale(&p, 16);
	NEAR(mean_of(pool_posterior(&p, &nothing)) / before, 16, 16 * 0.15);
	for (int i = 0; i < POOL_BINS; i++)
		kept[i] = p.share[i];
	pool_restore(&q, kept);
	NEAR(mean_of(pool_posterior(&q, &nothing)) / mean_of(pool_posterior(&p, &nothing)), 1,
	     0.01);
	/* beyond the ends there is nothing to go to */
	pool_scale(&p, 1e30);
	for (int i = 0; i < POOL_BINS; i++) {
		OK(p.share[i] > 0);
		sum += p.share[i];
	}
	NEAR(sum, 1, 1e-4);
}

TEST(nothing_that_can_be_said_makes_a_posterior_that_is_none)
{
	static const float odd[] = {0, 1e-30f, 1, 1e15f};
	struct pool p;

	pool_init(&p, (struct change){CHANGE_MIN_A, 1e15});
	for (int i = 0; i < 64; i++) {
		struct looks l = {.quiet_s = odd[i % 4], .changed = {odd[i / 4 % 4]}};

		l.changed[LOOKS_BINS - 1] = odd[i / 16];
		for (int j = 0; j < 2; j++) {
			struct change c = pool_posterior(j ? &p : NULL, &l);

			OK(c.a >= CHANGE_MIN_A && c.a <= CHANGE_MAX_A && mean_of(c) > 0 &&
			   isfinite(mean_of(c)) && c.b > 0);
		}
	}
}

/* Rates drawn from what the pool says, looks at irregular times: is what is predicted what happens? */
TEST(predictions_are_calibrated_from_the_first_look_on)
{
	enum { KEYS = 4000, LOOKS = 12 };
	double said[10] = {0}, seen[10] = {0}, n[10] = {0};
	struct pool p;

	pool_init(&p, (struct change){0.8, 80});
	for (int k = 0; k < KEYS; k++) {
		double rate = rng_gamma(&rng, 0.8, 80);
		struct looks l = {0};

		for (int i = 0; i < LOOKS; i++) {
			/* some far apart, some close: changes that are sure say nothing */
			double tau = rng_exponential(&rng, i % 2 ? 0.02 : 0.0005);
			double q = change_p(pool_posterior(&p, &l), tau);
			bool changed = rng_uniform(&rng) < -expm1(-rate * tau);
			int bin = (int)fmin(q * 10, 9);

			said[bin] += q;
			seen[bin] += changed;
			n[bin]++;
			if (changed)
				looks_changed(&l, tau);
			else
				looks_unchanged(&l, tau);
		}
	}
	for (int b = 0; b < 10; b++) {
		double sd = n[b] > 0 ? sqrt(0.25 / n[b]) : 1;

		if (n[b] > 400)
			NEAR(seen[b] / n[b], said[b] / n[b], 0.02 + 2 * sd);
	}
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(a_posterior_is_what_bayes_rule_says);
	RUN(four_exponentials_at_a_time_are_as_good_as_one);
	RUN(a_posterior_keeps_mean_and_spread_of_a_gamma);
	RUN(no_prior_is_so_sure_that_it_could_not_be_wrong);
	RUN(the_order_of_looks_does_not_matter_but_what_they_say_does);
	RUN(changes_between_looks_that_are_far_apart_set_no_upper_limit);
	RUN(two_kinds_of_keys_are_told_apart);
	RUN(a_rate_that_no_other_key_has_is_believed_with_time);
	RUN(who_is_not_like_the_others_is_judged_by_itself);
	RUN(few_keys_stand_where_their_parent_does_and_many_where_they_are);
	RUN(what_was_known_before_counts_as_told);
	RUN(all_rates_can_move_at_once_and_what_was_kept_comes_back);
	RUN(nothing_that_can_be_said_makes_a_posterior_that_is_none);
	RUN(predictions_are_calibrated_from_the_first_look_on);
	return tap_done();
}
