/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/change.h"

#include "base/rng.h"
#include "tests/tap.h"

static struct rng rng;

/* Moments of the exact posterior, by summing over a fine grid of log rates. */
static void exact_after_change(struct change prior, double tau, double *ret_mean, double *ret_var)
{
	double z = 0, m1 = 0, m2 = 0;

	for (double x = -40; x < 20; x += 1e-3) {
		double rate = exp(x);
		double w = exp(prior.a * x - prior.b * rate) * -expm1(-rate * tau);

		z += w;
		m1 += w * rate;
		m2 += w * rate * rate;
	}
	*ret_mean = m1 / z;
	*ret_var = m2 / z - *ret_mean * *ret_mean;
}

TEST(a_change_gives_the_exact_mean_and_variance)
{
	static const double taus[] = {1e-6, 0.01, 1, 30, 1000};

	for (size_t i = 0; i < sizeof(taus) / sizeof(taus[0]); i++) {
		struct change c = {0.7, 40};
		double mean, var;

		exact_after_change(c, taus[i], &mean, &var);
		change_changed(&c, taus[i]);
		NEAR(c.a / c.b / mean, 1, 1e-4);
		NEAR(c.a / (c.b * c.b) / var, 1, 1e-4);
	}
}

TEST(an_unchanged_look_and_a_count_are_exact)
{
	struct change c = {2, 10};

	change_unchanged(&c, 5);
	NEAR(c.a, 2, 0);
	NEAR(c.b, 15, 0);
	change_count(&c, 3, 30);
	NEAR(c.a, 5, 0);
	NEAR(c.b, 45, 0);
}

TEST(nothing_is_learned_from_no_time)
{
	struct change c = {2, 10};

	change_changed(&c, 0);
	change_unchanged(&c, -1);
	change_changed(&c, NAN);
	OK(c.a == 2 && c.b == 10);
}

TEST(probability_and_time_are_inverses)
{
	struct change c = {0.4, 120};

	for (double p = 1e-6; p < 1; p = p < 0.5 ? p * 3 : p + 0.07)
		NEAR(change_p(c, change_tau(c, p)), p, 1e-9);
	NEAR(change_p(c, 0), 0, 0);
	/* tiny exponents keep their digits: a/b * tau to first order */
	NEAR(change_p(c, 1e-12) / (0.4 / 120 * 1e-12), 1, 1e-6);
}

TEST(evidence_is_bounded_so_that_a_key_can_unlearn)
{
	struct change c = {1, 1};

	for (int i = 0; i < 100000; i++)
		change_count(&c, 1, 10);
	NEAR(c.a, CHANGE_MAX_A, 1e-9);
	NEAR(c.a / c.b, 0.1, 1e-3);
	for (int i = 0; i < 2000; i++)
		change_unchanged(&c, 1000);
	OK(c.a / c.b < 1e-4, "%g", c.a / c.b);
}

/*
 * Rates drawn from the prior, looks at irregular times: is the predicted P(changed) what happens?
 */
TEST(predictions_are_calibrated_from_the_first_look_on)
{
	enum { KEYS = 4000, LOOKS = 12 };
	double said[10] = {0}, seen[10] = {0}, n[10] = {0};

	for (int k = 0; k < KEYS; k++) {
		double rate = rng_gamma(&rng, 1.5, 100);
		struct change c = {1.5, 100};

		for (int i = 0; i < LOOKS; i++) {
			double tau = rng_exponential(&rng, 0.02), p = change_p(c, tau);
			bool changed = rng_uniform(&rng) < -expm1(-rate * tau);
			int bin = (int)(p * 10);

			said[bin] += p;
			seen[bin] += changed;
			n[bin]++;
			if (changed)
				change_changed(&c, tau);
			else
				change_unchanged(&c, tau);
		}
	}
	for (int b = 0; b < 10; b++) {
		double sd = n[b] > 0 ? sqrt(0.25 / n[b]) : 1;

		if (n[b] > 400)
			NEAR(seen[b] / n[b], said[b] / n[b], 0.02 + 2 * sd);
	}
}

TEST(the_long_run_finds_the_rate)
{
	static const double lt[] = {0.1, 1, 3};

	for (size_t j = 0; j < 3; j++) {
		struct change c = {0.5, 1};
		double rate = 0.05, tau = lt[j] / rate, log_sum = 0;

		for (int i = 0; i < 20000; i++) {
			if (rng_uniform(&rng) < -expm1(-rate * tau))
				change_changed(&c, tau);
			else
				change_unchanged(&c, tau);
			if (i >= 2000)
				log_sum += log(c.a / c.b / rate);
		}
		NEAR(log_sum / 18000, 0, 0.06);
	}
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(a_change_gives_the_exact_mean_and_variance);
	RUN(an_unchanged_look_and_a_count_are_exact);
	RUN(nothing_is_learned_from_no_time);
	RUN(probability_and_time_are_inverses);
	RUN(evidence_is_bounded_so_that_a_key_can_unlearn);
	RUN(predictions_are_calibrated_from_the_first_look_on);
	RUN(the_long_run_finds_the_rate);
	return tap_done();
}
