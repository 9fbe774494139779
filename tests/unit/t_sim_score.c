/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/score.c"

#include "tests/sim_made.h"
#include "tests/tap.h"

static struct rng rng;

static const struct made some = {
        .keys = 8,
        .length_s = 600,
        .requests_per_s = 5,
        .fastest = 0.1,
        .slowest = 0.01,
        .load_ms = 100,
};

TEST(quantiles_are_those_of_the_sorted_list)
{
	for (int round = 0; round < 200; round++) {
		struct tally y = {.requests = 1 + rng_below(&rng, 40)};
		uint32_t all[40] = {0};
		size_t waits = rng_below(&rng, y.requests + 1);
		struct figures f;

		for (size_t i = 0; i < waits; i++)
			all[y.requests - 1 - i] = *vec_push(&y.wait_us) =
			        1 + (uint32_t)rng_below(&rng, 1000);
		qsort(all, y.requests, sizeof(*all), compare_u32);
		f = figures_of(&y);
		NEAR(f.response_p50_ms,
		     all[y.requests / 2 < y.requests ? y.requests / 2 : 0] * 1e-3, 1e-12);
		NEAR(f.response_p99_ms, all[(size_t)(0.99 * (double)y.requests)] * 1e-3, 1e-12);
		vec_free(&y.wait_us);
	}
}

TEST(staleness_is_judged_when_the_request_comes)
{
	struct trace t;
	struct score s, lenient;
	size_t stale = 0, late = 0;
	struct figures f;

	made_read(&t, &some, &rng);
	score_init(&s, &t, t.at.v[0], SPAN_ZERO);
	score_init(&lenient, &t, t.at.v[0], SPAN_S(5));
	for (size_t i = 0; i < t.at.n; i++) {
		uint32_t behind = t.version[i] && rng_below(&rng, 2); /* one version old */

		score_answer(&s, i, OUTCOME_HIT, t.version[i] - behind, SPAN_ZERO);
		score_answer(&lenient, i, OUTCOME_HIT, t.version[i] - behind, SPAN_ZERO);
		stale += behind;
		late += behind &&
		        instant_diff(t.at.v[i], trace_version_began(&t, t.key.v[i], t.version[i]))
		                        .us >= 5000000;
	}
	f = score_total(&s, NULL);
	OK(f.stale == stale && stale > 0);
	NEAR(f.stale_per_request, (double)stale / (double)t.at.n, 1e-12);
	OK(f.stale_age_p50_s >= 0 && f.stale_age_max_s >= f.stale_age_p99_s);
	f = score_total(&lenient, NULL);
	OK(f.stale == late && late < stale && f.stale_age_p50_s >= 5);
	score_release(&s);
	score_release(&lenient);
	trace_release(&t);
}

TEST(what_comes_before_scoring_is_not_counted)
{
	struct trace t;
	struct score s;
	struct figures f;
	size_t n = 0;

	made_read(&t, &some, &rng);
	score_init(&s, &t, trace_score_from(&t, 0.5), SPAN_ZERO);
	for (size_t i = 0; i < t.at.n; i++) {
		n += t.at.v[i].us >= s.from.us;
		score_load(&s, t.key.v[i], t.at.v[i], LOAD_AUDIT);
		score_answer(&s, i, OUTCOME_GRACE, t.version[i], SPAN_ZERO);
	}
	f = score_total(&s, NULL);
	OK(n > 0 && n < t.at.n && f.requests == n && f.loads[LOAD_AUDIT] == n);
	NEAR(f.hit_ratio, 1, 0);
	OK(isnan(f.stale_age_p50_s));
	f = score_total(&s, (const bool[]){true, false});
	OK(f.requests == score_endpoint(&s, 0).requests && f.requests < n);
	score_release(&s);
	trace_release(&t);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(quantiles_are_those_of_the_sorted_list);
	RUN(staleness_is_judged_when_the_request_comes);
	RUN(what_comes_before_scoring_is_not_counted);
	return tap_done();
}
