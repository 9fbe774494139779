/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The yardsticks against the plainest code that could count the same. */
#include "sim/baseline.h"

#include "tests/sim_made.h"
#include "tests/tap.h"

static struct rng rng;

static const struct made small = {
        .keys = 9,
        .length_s = 4000,
        .requests_per_s = 1,
        .fastest = 0.05,
        .slowest = 0.0005,
        .load_ms = 900,
};

struct plain {
	double requests, loads, stale;
};

/* One TTL, or one factor, on one endpoint or all (UINT32_MAX): straight from the definition. */
static struct plain plain_count(const struct trace *t, uint32_t endpoint, enum fixed_kind kind,
                                double value, struct instant from)
{
	struct {
		bool any;
		double at, ttl;
		uint32_t version;
	} held[MADE_MAX_KEYS] = {0};
	struct plain p = {0};

	for (size_t i = 0; i < t->at.n; i++) {
		uint32_t k = t->key.v[i], now_version = trace_version(t, k, t->at.v[i]);
		double now = (double)t->at.v[i].us;
		bool scored = t->at.v[i].us >= from.us;

		if (endpoint != UINT32_MAX && t->endpoint.v[k] != endpoint)
			continue;
		p.requests += scored;
		if (held[k].any && now - held[k].at < held[k].ttl) {
			p.stale += scored && held[k].version != now_version;
			continue;
		}
		held[k].any = true;
		held[k].at = now;
		held[k].version = now_version;
		held[k].ttl = value * 1e6;
		if (kind == FIXED_AGE)
			held[k].ttl =
			        value *
			        (now - (now_version
			                        ? (double)trace_version_began(t, k, now_version).us
			                        : (double)t->at.v[0].us));
		p.loads += scored;
	}
	return p;
}

TEST(counting_by_key_agrees_with_the_definition)
{
	struct trace t;
	struct lanes l;

	made_read(&t, &small, &rng);
	lanes_init(&l, &t);
	for (int i = 0; i < 30; i++) {
		enum fixed_kind kind = i % 2 ? FIXED_AGE : FIXED_TTL;
		double value = exp(log(kind == FIXED_AGE ? 0.01 : 1) + 5 * rng_uniform(&rng));
		struct instant from = trace_score_from(&t, rng_uniform(&rng));
		struct plain want = plain_count(&t, UINT32_MAX, kind, value, from);
		struct fixed_count got = {0};

		for (uint32_t k = 0; k < t.keys.n_ids; k++)
			fixed_count_key(&l, k, kind, value, from, &got);
		NEAR((double)got.requests, want.requests, 0);
		NEAR((double)got.loads, want.loads, 0);
		NEAR((double)got.stale, want.stale, 0);
		OK(want.loads > 0);
	}
	lanes_release(&l);
	trace_release(&t);
}

TEST(a_replay_counts_what_the_search_counts)
{
	struct trace t;
	struct pace pace = {0};
	double ttl_s[2] = {7.5, 31.25};

	made_read(&t, &small, &rng);
	for (int single_flight = 0; single_flight <= 1; single_flight++) {
		struct fixed_rule rule = {FIXED_TTL, ttl_s, single_flight};
		struct instant from = trace_score_from(&t, 0.3);
		struct score score;

		score_init(&score, &t, from, SPAN_ZERO);
		OK(fixed_run(&t, &rule, &score, NULL, &pace));
		for (uint32_t e = 0; e < 2; e++) {
			struct plain want = plain_count(&t, e, FIXED_TTL, ttl_s[e], from);
			struct figures got = score_endpoint(&score, e);

			NEAR(got.loads_per_request, want.loads / want.requests, 1e-12);
			NEAR(got.stale_per_request, want.stale / want.requests, 1e-12);
			OK(got.outcome[OUTCOME_JOINED] > 0 && got.outcome[OUTCOME_HIT] > 0);
			OK(got.outcome[OUTCOME_MISS] == got.loads[LOAD_DEMAND]);
			OK(got.response_p99_ms <= 900 && got.response_mean_ms > 0);
		}
		score_release(&score);
	}
	trace_release(&t);
}

TEST(a_load_that_outlasts_its_ttl_is_joined_or_overlapped)
{
	struct made slow = small;
	struct trace t;
	struct pace pace = {0};
	double ttl_s[2] = {0.5, 0.5};
	struct figures f[2];

	slow.load_ms = 20000;
	made_read(&t, &slow, &rng);
	for (int single_flight = 0; single_flight <= 1; single_flight++) {
		struct fixed_rule rule = {FIXED_TTL, ttl_s, single_flight};
		struct score score;

		score_init(&score, &t, t.at.v[0], SPAN_ZERO);
		fixed_run(&t, &rule, &score, NULL, &pace);
		f[single_flight] = score_total(&score, NULL);
		score_release(&score);
	}
	NEAR(f[0].loads_per_request,
	     plain_count(&t, UINT32_MAX, FIXED_TTL, 0.5, t.at.v[0]).loads / (double)t.at.n, 1e-12);
	OK(f[1].loads_per_request < 0.5 * f[0].loads_per_request, "%g %g", f[1].loads_per_request,
	   f[0].loads_per_request);
	trace_release(&t);
}

TEST(the_best_ttl_keeps_the_objective_and_a_longer_one_does_not)
{
	for (int i = 0; i < 5; i++) {
		struct trace t;
		struct lanes l;
		struct instant from;
		struct plain p;
		double best, max_stale = 0.02;

		made_read(&t, &small, &rng);
		lanes_init(&l, &t);
		from = trace_score_from(&t, 0.5);
		best = baseline_static(&l, from, max_stale);
		p = plain_count(&t, UINT32_MAX, FIXED_TTL, best, from);
		OK(p.stale / p.requests <= max_stale, "ttl %g", best);
		p = plain_count(&t, UINT32_MAX, FIXED_TTL, best * 1.0002, from);
		OK(p.stale / p.requests > max_stale, "ttl %g", best);
		for (uint32_t e = 0; e < 2; e++) {
			best = baseline_endpoint(&l, e, from, max_stale);
			p = plain_count(&t, e, FIXED_TTL, best, from);
			OK(p.stale / p.requests <= max_stale, "endpoint %u ttl %g", e, best);
			p = plain_count(&t, e, FIXED_TTL, best * 1.0002, from);
			OK(p.stale / p.requests > max_stale, "endpoint %u ttl %g", e, best);
		}
		best = baseline_alex(&l, from, max_stale);
		p = plain_count(&t, UINT32_MAX, FIXED_AGE, best, from);
		OK(p.stale / p.requests <= max_stale, "factor %g", best);
		p = plain_count(&t, UINT32_MAX, FIXED_AGE, best * 1.0002, from);
		OK(p.stale / p.requests > max_stale, "factor %g", best);
		lanes_release(&l);
		trace_release(&t);
	}
}

TEST(what_never_changes_gets_the_longest_ttl)
{
	struct made still = small;
	struct trace t;
	struct lanes l;

	still.fastest = still.slowest = 1e-9;
	made_read(&t, &still, &rng);
	lanes_init(&l, &t);
	OK(baseline_static(&l, t.at.v[0], 0.01) > 13.9 * 86400);
	NEAR(baseline_bound(&l, UINT32_MAX, t.at.v[0], 0.01).loads_per_request,
	     (double)t.keys.live / (double)t.at.n, 1e-12);
	OK(isnan(baseline_endpoint(&l, 0, instant_add(t.at.v[t.at.n - 1], SPAN_S(-20)), 0.01)),
	   "too few scored requests");
	lanes_release(&l);
	trace_release(&t);
}

/*
 * The fewest loads by trying every set of versions to skip. A version may be skipped when the key
 * has an older one in the trace; one that was asked for before scoring began is held already.
 */
static double plain_bound(const struct trace *t, struct instant from, double max_stale)
{
	struct {
		uint32_t key, version;
		int n;
		bool before, oldest;
	} group[64];
	int n_groups = 0, scored = 0, must = 0, skippable[64], n_skippable = 0, best = 0;

	for (size_t i = 0; i < t->at.n; i++) {
		int g = 0;
		bool seen_key = false;

		for (int j = 0; j < n_groups; j++)
			seen_key |= group[j].key == t->key.v[i];
		while (g < n_groups &&
		       (group[g].key != t->key.v[i] || group[g].version != t->version[i]))
			g++;
		if (g == n_groups) {
			n_groups++;
			group[g].key = t->key.v[i];
			group[g].version = t->version[i];
			group[g].n = 0;
			group[g].before = false;
			group[g].oldest = !seen_key;
		}
		if (t->at.v[i].us < from.us) {
			group[g].before = true;
		} else {
			group[g].n++;
			scored++;
		}
	}
	for (int g = 0; g < n_groups; g++) {
		if (!group[g].n || group[g].before)
			continue;
		if (group[g].oldest)
			must++;
		else
			skippable[n_skippable++] = group[g].n;
	}
	for (unsigned set = 0; set < 1u << n_skippable; set++) {
		int stale = 0, skipped = 0;

		for (int j = 0; j < n_skippable; j++) {
			if (set >> j & 1) {
				stale += skippable[j];
				skipped++;
			}
		}
		if (stale <= max_stale * scored && skipped > best)
			best = skipped;
	}
	return (double)(must + n_skippable - best) / scored;
}

TEST(the_bound_is_the_least_that_any_choice_needs)
{
	struct made tiny = small;

	tiny.keys = 3;
	tiny.length_s = 150;
	tiny.fastest = 0.06;
	tiny.slowest = 0.02;
	for (int i = 0; i < 60; i++) {
		struct trace t;
		struct lanes l;
		struct instant from;
		double max_stale = 0.3 * rng_uniform(&rng);

		made_read(&t, &tiny, &rng);
		lanes_init(&l, &t);
		from = trace_score_from(&t, 0.4);
		NEAR(baseline_bound(&l, UINT32_MAX, from, max_stale).loads_per_request,
		     plain_bound(&t, from, max_stale), 1e-12);
		lanes_release(&l);
		trace_release(&t);
	}
}

TEST(nothing_on_demand_is_below_the_bound)
{
	struct trace t;
	struct lanes l;
	struct instant from;

	made_read(&t, &small, &rng);
	lanes_init(&l, &t);
	from = trace_score_from(&t, 0.5);
	for (double ttl_s = 1; ttl_s < 1000; ttl_s *= 1.7) {
		struct plain p = plain_count(&t, UINT32_MAX, FIXED_TTL, ttl_s, from);
		struct figures b = baseline_bound(&l, UINT32_MAX, from, p.stale / p.requests);

		OK(p.loads / p.requests >= b.loads_per_request, "ttl %g: %g below %g", ttl_s,
		   p.loads / p.requests, b.loads_per_request);
		OK(b.stale_per_request <= p.stale / p.requests + 1e-12);
	}
	lanes_release(&l);
	trace_release(&t);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(counting_by_key_agrees_with_the_definition);
	RUN(a_replay_counts_what_the_search_counts);
	RUN(a_load_that_outlasts_its_ttl_is_joined_or_overlapped);
	RUN(the_best_ttl_keeps_the_objective_and_a_longer_one_does_not);
	RUN(what_never_changes_gets_the_longest_ttl);
	RUN(the_bound_is_the_least_that_any_choice_needs);
	RUN(nothing_on_demand_is_below_the_bound);
	return tap_done();
}
