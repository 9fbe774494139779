/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "analyzer/endpoint.c"

#include "base/rng.h"
#include "tests/tap.h"

static struct rng rng;

/* 2026-11-23 is a Monday. */
static const struct instant MONDAY = {INT64_C(1795392000) * 1000000};
static const struct change PRIOR = {0.5, 0.5 * 3600};

static struct instant at(double s)
{
	return instant_add(MONDAY, span_from_s(s));
}

static struct key fresh(void)
{
	return (struct key){.last_seen = INSTANT_NONE, .loaded = MONDAY};
}

static double mean_of(struct change c)
{
	return c.a / c.b;
}

TEST(a_hit_ratio_is_of_late)
{
	struct key k = fresh();

	OK(isnan(key_hit_ratio(&k)), "nobody has asked");
	key_answered(&k, 0, 1);
	OK(key_hit_ratio(&k) == 0);
	for (int i = 0; i < 3; i++)
		key_answered(&k, 1, 0);
	NEAR(key_hit_ratio(&k), 0.75, 1e-4);
	/* a hundred that are told as one, and a hundred told one by one */
	key_answered(&k, 100, 0);
	OK(key_hit_ratio(&k) == 1);
	key_answered(&k, 936, 64);
	NEAR(key_hit_ratio(&k), 0.936, 1e-4);
	key_answered(&k, 100, 0);
	for (int i = 0; i < 100; i++)
		key_answered(&k, 0, 1);
	NEAR(key_hit_ratio(&k), pow(63.0 / 64, 100), 0.01);
	for (int i = 0; i < 4000; i++)
		key_answered(&k, i % 10 != 0, i % 10 == 0);
	NEAR(key_hit_ratio(&k), 0.9, 0.02);
	/* a sampled event stands for a part of a request */
	key_answered(&k, 0.5, 0);
	OK(k.recent_n == KEY_RECENT);
}

TEST(a_new_key_is_what_its_endpoint_says)
{
	struct endpoint ep;
	struct key k = fresh();
	struct change c;

	endpoint_init(&ep, PRIOR);
	c = endpoint_posterior(&ep, &k);
	OK(c.a == ep.prior.a && c.b == ep.prior.b);
	OK(mean_of(c) == mean_of(endpoint_predictive(&ep, &k)));
	NEAR(mean_of(c) / mean_of(PRIOR), 1, 0.02);
	endpoint_restore_prior(&ep, (struct change){2, 100});
	c = endpoint_posterior(&ep, &k);
	NEAR(mean_of(c), 0.02, 0.0005); /* a better prior is at once that of every such key */
	NEAR(ep.audited.factor, 1, 0);
	endpoint_release(&ep);
}

TEST(what_is_believed_of_a_key_follows_a_better_prior)
{
	struct endpoint ep;
	struct key k = fresh();
	struct change before, after;

	endpoint_init(&ep, PRIOR);
	endpoint_look(&ep, &zone_utc, &k, at(0), at(100), false, NULL);
	before = endpoint_posterior(&ep, &k);
	endpoint_restore_prior(&ep, (struct change){2, 2 * 86400.0});
	after = endpoint_posterior(&ep, &k);
	OK(k.looks == 1 && mean_of(after) < 0.2 * mean_of(before));
	/* the next request takes it down */
	endpoint_request(&ep, &zone_utc, &k, at(200), 1);
	OK(k.prior_no == ep.prior_no && k.a == (float)after.a && k.b == (float)after.b);
	endpoint_release(&ep);
}

/* Asks for the key as a Poisson process of the given rate, from one time to another. */
static void ask(struct endpoint *ep, struct key *k, double rate, double from, double to)
{
	for (double t = from + rng_exponential(&rng, rate); t < to;
	     t += rng_exponential(&rng, rate))
		endpoint_request(ep, &zone_utc, k, at(t), 1);
}

TEST(the_rate_of_requests_comes_back)
{
	static const double rates[] = {1.0 / 20000, 1.0 / 600, 0.5};

	for (int i = 0; i < 3; i++) {
		double sum = 0, runs = i == 2 ? 3 : 60;

		for (int run = 0; run < runs; run++) {
			struct endpoint ep;
			struct key k = fresh();

			endpoint_init(&ep, PRIOR);
			*vec_push(&ep.keys) = 0;
			ask(&ep, &k, rates[i], 0, 10 * 86400);
			sum += endpoint_key_rate(&ep, &zone_utc, &k, at(10 * 86400));
			endpoint_release(&ep);
		}
		/* the first request and the prior's add one each to the dozen that are remembered
		 */
		NEAR(sum / runs / rates[i], 1, i == 0 ? 0.2 : 0.06);
	}
}

TEST(a_hot_key_is_not_too_hot_to_be_counted)
{
	struct endpoint ep;
	struct key k = fresh();
	double s = 16000, keep = exp2(-4000 / KEY_RATE_HALF_S);

	endpoint_init(&ep, PRIOR);
	*vec_push(&ep.keys) = 0;
	endpoint_request(&ep, &zone_utc, &k, at(s), 1);
	k.rate_n = s * 1000;
	k.rate_s = s;
	for (int i = 1; i <= 4000000; i++)
		endpoint_request(&ep, &zone_utc, &k, at(s + i * 1e-3), 1);
	NEAR(k.rate_s, s * keep + KEY_RATE_HALF_S / log(2) * (1 - keep), 1);
	NEAR(endpoint_key_rate(&ep, &zone_utc, &k, at(s + 4000)), 1000, 1);
	endpoint_release(&ep);
}

TEST(what_is_not_asked_for_any_more_cools_down)
{
	struct endpoint ep;
	struct key k = fresh(), other = fresh();
	double hot, last = HUGE_VAL;

	endpoint_init(&ep, PRIOR);
	*vec_push(&ep.keys) = 0;
	*vec_push(&ep.keys) = 1;
	ask(&ep, &k, 0.01, 0, 14 * 86400);
	hot = endpoint_key_rate(&ep, &zone_utc, &k, at(14 * 86400));
	for (int day = 14; day < 24; day++) {
		double r;

		ask(&ep, &other, 0.01, day * 86400, (day + 1) * 86400);
		r = endpoint_key_rate(&ep, &zone_utc, &k, at((day + 1) * 86400));
		OK(r < last && r > 0, "%g after %g", r, last);
		last = r;
	}
	/* what is known halves in two days; the silence counts in full */
	NEAR(last, (k.rate_n / 32 + 1) / (k.rate_s / 32 + 10 * 86400 + 200), 0.1 * last);
	/* looking back before the last request is no error */
	NEAR(endpoint_key_rate(&ep, &zone_utc, &k, at(0)) / hot, 1, 0.05);
	/* a century is, if anything, cold */
	last = endpoint_key_rate(&ep, &zone_utc, &k, at(3e9));
	OK(last > 0 && last < 1e-6, "%g", last);
	endpoint_release(&ep);
}

TEST(a_key_not_asked_for_yet_has_the_mean_rate_of_all)
{
	struct endpoint ep;
	struct key k = fresh(), unseen = fresh();

	endpoint_init(&ep, PRIOR);
	OK(endpoint_key_rate(&ep, &zone_utc, &unseen, at(0)) > 0);
	for (uint32_t i = 0; i < 10; i++)
		*vec_push(&ep.keys) = i;
	ask(&ep, &k, 1, 0, 6 * 86400);
	NEAR(endpoint_key_rate(&ep, &zone_utc, &unseen, at(6 * 86400)), 0.1, 0.01);
	endpoint_release(&ep);
}

TEST(late_requests_count_and_repeats_count_as_often_as_they_say)
{
	struct endpoint ep;
	struct key k = fresh();

	endpoint_init(&ep, PRIOR);
	*vec_push(&ep.keys) = 0;
	endpoint_request(&ep, &zone_utc, &k, at(1000), 7);
	endpoint_request(&ep, &zone_utc, &k, at(500), 3);
	NEAR(k.rate_n, 10, 1e-9);
	NEAR(k.rate_s, 0, 0);
	OK(k.last_seen.us == at(1000).us && ep.requests == 10);
	endpoint_release(&ep);
}

TEST(a_constant_share_of_a_rhythm_is_a_constant_rate)
{
	struct endpoint ep;
	struct key k = fresh();
	double day_rate, night_rate;

	endpoint_init(&ep, PRIOR);
	*vec_push(&ep.keys) = 0;
	for (int day = 0; day < 28; day++) {
		ask(&ep, &k, 0.01, day * 86400, day * 86400 + 43200);
		ask(&ep, &k, 0.2, day * 86400 + 43200, (day + 1) * 86400);
	}
	day_rate = endpoint_key_rate(&ep, &zone_utc, &k, at(28 * 86400));
	ask(&ep, &k, 0.01, 28 * 86400, 28 * 86400 + 43200);
	night_rate = endpoint_key_rate(&ep, &zone_utc, &k, at(28 * 86400 + 43200));
	NEAR(day_rate, 0.105, 0.012);
	NEAR(night_rate / day_rate, 1, 0.12);
	endpoint_release(&ep);
}

/* A value that may change in bursts: at each of the times a Poisson process marks, n times a
 * second. */
struct life {
	double rate, next;
	int burst, left;
};

static bool passes(struct life *l, double t)
{
	bool changed = false;

	while (l->next <= t) {
		changed = true;
		if (l->left-- > 0) {
			l->next += 30;
		} else {
			l->left = l->burst;
			l->next += rng_exponential(&rng, l->rate);
		}
	}
	return changed;
}

/*
 * Loads and hits of one key: each load's value is asked for a dozen times. Returns how many answers
 * were stale over how many had been predicted, in the second half.
 */
static double serve(struct endpoint *ep, double rate, int burst, int loads)
{
	struct life l = {.rate = rate, .burst = burst};
	struct key k = fresh();
	double t = 0, stale = 0, said = 0;

	for (int i = 0; i < loads; i++) {
		double length = rng_exponential(&rng, 1.0 / 300);
		bool changed = false;

		k.loaded = at(t);
		k.p_sum = 0;
		k.hits = 0;
		for (int h = 1; h <= 12; h++) {
			double p = endpoint_p_stale(ep, &zone_utc, &k, at(t + length * h / 13));

			changed |= passes(&l, t + length * h / 13);
			k.p_sum += (float)p;
			k.hits++;
			if (rng_uniform(&rng) < 0.03)
				endpoint_audit(ep, at(t + length * h / 13), 1, p, changed);
			if (i > loads / 2) {
				said += p;
				stale += changed;
			}
		}
		changed |= passes(&l, t + length);
		endpoint_look(ep, &zone_utc, &k, at(t), at(t + length), changed, NULL);
		t += length;
	}
	return stale / said;
}

TEST(predicted_staleness_is_what_happens)
{
	static const double rates[] = {1.0 / 20000, 1.0 / 2000, 1.0 / 300, 1.0 / 60};

	for (int i = 0; i < 4; i++) {
		double ratio = 0;

		for (int run = 0; run < 6; run++) {
			struct endpoint ep;

			endpoint_init(&ep, PRIOR);
			ratio += serve(&ep, rates[i], 0, 6000) / 6;
			endpoint_release(&ep);
		}
		NEAR(ratio, 1, i == 0 ? 0.2 : 0.06);
	}
}

/*
 * After a change the next is near: a value that was replaced at all was replaced early. Loads,
 * which know only that it was, cannot tell; audits can.
 */
TEST(audits_make_bursts_come_out_right)
{
	double ratio = 0, correction = 0;

	for (int run = 0; run < 24; run++) {
		struct endpoint ep;

		endpoint_init(&ep, PRIOR);
		ratio += serve(&ep, 1.0 / 3000, 20, 6000) / 24;
		correction += ep.audited.factor / 24;
		endpoint_release(&ep);
	}
	OK(ratio > 1.25, "%g", ratio);
	NEAR(ratio / correction, 1, 0.08);
}

/* The posterior is wrong by a factor, and stays so: the tempo has to make up for it. */
TEST(the_tempo_finds_the_factor_both_ways)
{
	static const double factors[] = {0.25, 1, 4};

	for (int i = 0; i < 3; i++) {
		struct endpoint ep;
		struct key k = fresh();
		double sum = 0;

		endpoint_init(&ep, (struct change){100, 100 * 1000});
		for (int n = 0; n < 60000; n++) {
			double tau = rng_exponential(&rng, 1.0 / 200);
			bool changed = rng_uniform(&rng) < -expm1(-factors[i] * 1e-3 * tau);

			k.hits = 5;
			k.p_sum = 0;
			for (int h = 0; h < 5; h++)
				k.p_sum += (float)change_p(endpoint_predictive(&ep, &k),
				                           tau * rng_uniform(&rng));
			learn_tempo(&ep, &k, endpoint_posterior(&ep, &k), tau, changed);
			if (n == 1000)
				NEAR(ep.log_tempo, log(factors[i]), 0.8);
			if (n >= 4000)
				sum += ep.log_tempo / 56000;
		}
		NEAR(sum, log(factors[i]), 0.08);
		NEAR(mean_of(endpoint_predictive(&ep, &k)) / mean_of(endpoint_posterior(&ep, &k)),
		     exp(ep.log_tempo), 1e-6);
		endpoint_release(&ep);
	}
}

/* What was so yesterday is not so this morning. */
TEST(the_tempo_fades_within_hours)
{
	struct endpoint ep;

	endpoint_init(&ep, (struct change){1, 1000});
	fade_tempo(&ep, instant_from_s(1e9));
	endpoint_set_tempo(&ep, -2);
	ep.tempo_info = TEMPO_MEMORY;
	fade_tempo(&ep, instant_from_s(1e9 + 7200));
	NEAR(ep.log_tempo, -1, 1e-9);
	/* and what is known of it with it: a quarter of the old variance, the rest is usual */
	NEAR(1 / (ep.tempo_info + TEMPO_USUAL), 0.25 / (TEMPO_MEMORY + TEMPO_USUAL) + 0.75 / TEMPO_USUAL,
	     1e-9);
	fade_tempo(&ep, instant_from_s(1e9)); /* late news */
	NEAR(ep.log_tempo, -1, 1e-9);
	fade_tempo(&ep, instant_from_s(1e9 + 7200 + 86400));
	NEAR(ep.log_tempo, 0, 3e-4);
	NEAR(ep.tempo_info, 0, 1e-3);
	endpoint_release(&ep);
}

TEST(the_tempo_is_bounded_and_learns_nothing_from_nothing)
{
	struct endpoint ep;
	struct key k = fresh();

	endpoint_init(&ep, (struct change){1, 1000});
	learn_tempo(&ep, &k, ep.prior, 100, true);
	k.hits = 3;
	learn_tempo(&ep, &k, ep.prior, 100, true);
	k.p_sum = 0.1f;
	learn_tempo(&ep, &k, ep.prior, 0, true);
	OK(ep.log_tempo == 0 && ep.tempo_info == 0);
	/* an interval that was sure to hold a change weighs nothing */
	learn_tempo(&ep, &k, (struct change){100, 1}, 1e6, true);
	NEAR(ep.log_tempo, 0, 1e-9);
	for (int i = 0; i < 10000; i++) {
		k.p_sum = 3;
		learn_tempo(&ep, &k, ep.prior, 1e-3, true);
	}
	NEAR(ep.log_tempo, TEMPO_MAX, 1e-9);
	for (int i = 0; i < 100000; i++)
		learn_tempo(&ep, &k, ep.prior, 1e5, false);
	NEAR(ep.log_tempo, -TEMPO_MAX, 1e-9);
	endpoint_release(&ep);
}

TEST(a_look_without_length_teaches_nothing)
{
	struct endpoint ep;
	struct key k = fresh();

	endpoint_init(&ep, PRIOR);
	endpoint_look(&ep, &zone_utc, &k, at(10), at(10), true, NULL);
	endpoint_look(&ep, &zone_utc, &k, at(10), at(5), true, NULL);
	endpoint_event(&ep, &zone_utc, &k, at(10), at(5));
	OK(!k.looks && !k.flags && !ep.dirty && k.seen.quiet_s == 0);
	NEAR(endpoint_p_stale(&ep, &zone_utc, &k, at(-100)), 0, 0);
	endpoint_release(&ep);
}

TEST(looks_and_events_find_the_rate)
{
	for (int events = 0; events < 2; events++) {
		double sum = 0;

		for (int run = 0; run < 40; run++) {
			struct endpoint ep;
			struct key k = fresh();
			double t = 0, rate = 1.0 / 1000;

			endpoint_init(&ep, PRIOR);
			for (int i = 0; i < 400; i++) {
				double tau = rng_exponential(&rng, events ? rate : 1.0 / 500);

				if (events)
					endpoint_event(&ep, &zone_utc, &k, at(t), at(t + tau));
				else
					endpoint_look(&ep, &zone_utc, &k, at(t), at(t + tau),
					              rng_uniform(&rng) < -expm1(-rate * tau),
					              NULL);
				t += tau;
			}
			OK(k.looks == 400 && (k.flags & KEY_DIRTY) && ep.dirty);
			/* on its own clock; the shape turns it into seconds */
			sum += log(mean_of(endpoint_posterior(&ep, &k)) *
			           shape_mass(ep.shape, &zone_utc, at(t - 86400), at(t)) / 86400 /
			           rate) /
			       40;
			endpoint_release(&ep);
		}
		NEAR(sum, 0, 0.12);
	}
}

/* -- What origins say of their values ----------------------------------------------------------- */

enum liar { HONEST, SILENT, ALWAYS_NOW, DEPLOYED, OTHER_ZONE, ON_THE_HOUR, RANDOM, N_LIARS };

/* What such an origin gives as Last-Modified of a value that changed at `truth`, read at b. */
static struct instant last_modified(enum liar how, double truth, double b)
{
	switch (how) {
	case HONEST:
		return at(floor(truth));
	case ALWAYS_NOW:
		return at(floor(b));
	case DEPLOYED:
		return at(-40 * 86400.0);
	case OTHER_ZONE:
		return at(floor(truth) - 5 * 3600);
	case ON_THE_HOUR:
		return at(floor(b / 3600) * 3600);
	case RANDOM:
		return at(floor(b - 1e6 * rng_uniform(&rng)));
	default:
		return INSTANT_NONE;
	}
}

/*
 * Watches a key that changes at the given rate with looks of exponential length. Returns the mean
 * of the posterior; *ret_now is the time at the end.
 */
static double watch_liar(struct endpoint *ep, struct key *k, enum liar how, double rate, double gap,
                         int looks, uint64_t seed)
{
	double t = 0, truth = -50, next;
	struct rng g;

	rng_init(&g, seed);
	next = rng_exponential(&g, rate);
	for (int i = 0; i < looks; i++) {
		double b = t + rng_exponential(&g, 1 / gap);
		struct testimony says = {0};
		bool changed = false;

		for (; next < b; next += rng_exponential(&g, rate)) {
			truth = next;
			changed = true;
		}
		says.modified = last_modified(how, truth, b);
		endpoint_look(ep, &zone_utc, k, at(t), at(b), changed, &says);
		t = b;
	}
	/* on its own clock; the shape turns it into seconds */
	return mean_of(endpoint_posterior(ep, k)) *
	       shape_mass(ep->shape, &zone_utc, at(t / 2), at(t)) / (t / 2);
}

TEST(last_modified_tells_what_looks_cannot)
{
	double told = 0, silent = 0;

	/* twenty changes between two looks: that there was one says nothing of how many */
	for (int run = 0; run < 60; run++)
		for (int how = HONEST; how <= SILENT; how++) {
			struct endpoint ep;
			struct key k = fresh();
			double rate;

			endpoint_init(&ep, (struct change){0.1, 0.1 * 3600});
			rate = watch_liar(&ep, &k, (enum liar)how, 1.0 / 100, 2000, 400,
			                  rng_u64(&rng));
			OK(witness_believed(&ep.modified) == (how == HONEST));
			*(how == HONEST ? &told : &silent) += pow(log(rate * 100), 2) / 60;
			endpoint_release(&ep);
		}
	/* mean squares of the error */
	OK(told < 0.05, "%g", told);
	OK(silent > 1.1 * told, "without it %g, with it %g", silent, told);
}

TEST(an_origin_that_lies_in_last_modified_does_no_harm)
{
	static const double gaps[] = {20, 100, 1000};

	for (int how = ALWAYS_NOW; how < N_LIARS; how++)
		for (int i = 0; i < 3; i++) {
			uint64_t seed = rng_u64(&rng);
			struct endpoint ep, none;
			struct key k = fresh(), l = fresh();
			double told, silent;

			endpoint_init(&ep, PRIOR);
			endpoint_init(&none, PRIOR);
			told = watch_liar(&ep, &k, (enum liar)how, 1.0 / 100, gaps[i], 400, seed);
			silent = watch_liar(&none, &l, SILENT, 1.0 / 100, gaps[i], 400, seed);
			NEAR(log(told / silent), 0, 1e-9);
			OK(!witness_believed(&ep.modified) || how == ALWAYS_NOW, "liar %d", how);
			endpoint_release(&ep);
			endpoint_release(&none);
		}
}

TEST(who_begins_to_lie_is_found_out_within_a_dozen_changes)
{
	struct witness w = {0};
	int lies = 0;

	for (int i = 0; i < 18; i++)
		witness_look(&w, true, true, true);
	OK(!witness_believed(&w), "a few are not enough");
	for (int i = 0; i < 5000; i++)
		witness_look(&w, i % 3 == 0, i % 3 == 0, true);
	OK(witness_believed(&w) && !witness_conceals(&w));
	for (; lies < 100 && witness_believed(&w); lies++)
		witness_look(&w, true, false, true);
	OK(lies <= 12, "%d", lies);
	witness_look(&w, true, false, true);
	OK(witness_conceals(&w));
}

TEST(a_first_last_modified_counts_where_it_is_believed)
{
	struct endpoint ep;
	struct key k = fresh();

	endpoint_init(&ep, PRIOR);
	endpoint_first(&ep, &zone_utc, &k, at(0), at(-100));
	OK(!k.looks && k.modified_s);
	watch_liar(&ep, &k, HONEST, 1.0 / 100, 100, 200, 1);
	ep.shape->pending = 0;
	for (int i = 0; i < 1000; i++) {
		struct key fresh_one = fresh();
		double age = rng_exponential(&rng, 1.0 / 7200);

		endpoint_first(&ep, &zone_utc, &fresh_one, at(0), at(-age));
		if (age > 3) {
			OK(fresh_one.seen.changed[0] == 1);
			NEAR(fresh_one.seen.quiet_s,
			     shape_mass(ep.shape, &zone_utc, at(-age), at(0)), 1 + age * 1e-5);
		}
	}
	k = fresh();
	endpoint_first(&ep, &zone_utc, &k, at(0), at(-3e8));
	OK(k.seen.changed[0] == 0 && k.seen.quiet_s > 0 &&
	           k.seen.quiet_s < 40 * 86400.0 * shape_pace(ep.shape) + 1,
	   "ten years ago is long ago, no more");
	endpoint_release(&ep);
}

/* Versions that count changes, that are times in seconds, that jump by 20 a change, and hashes. */
enum version { COUNT, SECONDS, TWENTIES, HASH };

static double watch_versions(struct endpoint *ep, struct key *k, enum version how, double gap,
                             int looks)
{
	double t = 0, rate = 1.0 / 100, next = rng_exponential(&rng, rate), last = 0;
	uint64_t n = 1, before = 0;

	for (int i = 0; i < looks; i++) {
		double b = t + rng_exponential(&rng, 1 / gap);
		struct testimony says = {.modified = INSTANT_NONE, .before = before};

		for (; next < b; next += rng_exponential(&rng, rate)) {
			n++;
			last = next;
		}
		says.now = how == COUNT      ? n
		           : how == SECONDS  ? (uint64_t)(1795392000 + last)
		           : how == TWENTIES ? 20 * n
		                             : n * UINT64_C(0x9e3779b97f4a7c15);
		if (before)
			endpoint_look(ep, &zone_utc, k, at(t), at(b), says.now != before, &says);
		before = says.now;
		t = b;
	}
	/* on its own clock; the shape turns it into seconds */
	return mean_of(endpoint_posterior(ep, k)) *
	       shape_mass(ep->shape, &zone_utc, at(t / 2), at(t)) / (t / 2);
}

TEST(versions_that_count_tell_how_often)
{
	for (int how = COUNT; how <= HASH; how++)
		for (int i = 0; i < 2; i++) {
			double gap = i ? 2000 : 50, sum = 0;

			for (int run = 0; run < 20; run++) {
				struct endpoint ep;
				struct key k = fresh();

				endpoint_init(&ep, PRIOR);
				sum += log(100 * watch_versions(&ep, &k, (enum version)how, gap,
				                                i ? 300 : 1500)) /
				       20;
				if (i == 0 || how == COUNT || how == HASH)
					OK(witness_believed(&ep.counter) == (how == COUNT), "%d %g",
					   how, gap);
				endpoint_release(&ep);
			}
			if (how == COUNT || i == 0)
				NEAR(sum, 0, 0.15);
		}
}

/* -- Another regime ---------------------------------------------------------------------------- */

/* Looks at a key as its plan would: each when it has changed with probability p. */
static double look_on(struct endpoint *ep, struct key *k, double t, double rate, double p)
{
	double tau = change_tau(endpoint_posterior(ep, k), p);

	endpoint_look(ep, &zone_utc, k, at(t), at(t + tau), rng_uniform(&rng) < -expm1(-rate * tau),
	              NULL);
	return t + tau;
}

static int ascending(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/*
 * After a long time at one rate a key changes `factor` times as fast. Returns the looks, in the
 * median, until what is predicted is within a factor of 3 of it.
 */
static double recovery(double factor, double p)
{
	double looks[41];

	for (int run = 0; run < 41; run++) {
		const double rate = 1e-3 / sqrt(factor);
		struct endpoint ep;
		struct key k = fresh();
		double t = 0;
		int n = 0;

		endpoint_init(&ep, (struct change){0.5, 0.5 / rate});
		/* flat: what is tested is the key, not the week */
		ep.shape = calloc(1, sizeof(*ep.shape));
		shape_init(ep.shape);
		for (int i = 0; i < 300; i++, ep.shape->pending = 0)
			t = look_on(&ep, &k, t, rate, p);
		for (; n < 1000; n++, ep.shape->pending = 0) {
			if (fabs(log(mean_of(endpoint_predictive(&ep, &k)) / (factor * rate))) <
			    log(3))
				break;
			t = look_on(&ep, &k, t, factor * rate, p);
		}
		looks[run] = n;
		endpoint_release(&ep);
	}
	qsort(looks, 41, sizeof(*looks), ascending);
	printf("# %g times as fast: known after %g looks, of ten keys nine after %g\n", factor,
	       looks[20], looks[36]);
	return looks[20];
}

TEST(a_hundred_times_as_fast_is_known_within_twenty_loads)
{
	OK(recovery(100, 0.1) <= 20);
	/* looks so short say little each: a fiftieth of an interval, then a fifth of one */
	OK(recovery(100, 0.02) <= 30);
	/* no change in ten intervals: that many looks that long, or more that are shorter */
	OK(recovery(0.01, 0.6) <= 20);
	OK(recovery(0.01, 0.1) <= 130);
}

/* None was seen of the one, some of the other. */
TEST(a_key_gone_quiet_begins_anew_with_half_a_change_one_that_rushes_with_more)
{
	for (int faster = 0; faster < 2; faster++) {
		struct endpoint ep;
		struct key k = fresh();
		double t = 0, changes = 0;

		endpoint_init(&ep, PRIOR);
		for (int i = 0; i < 300; i++)
			t = look_on(&ep, &k, t, 1e-3, 0.3);
		for (int i = 0; i < 1000 && !ep.surprises; i++)
			t = look_on(&ep, &k, t, faster ? 1e-1 : 0, 0.3);
		for (int i = 0; i < LOOKS_BINS; i++)
			changes += k.seen.changed[i];
		OK(ep.surprises == 1);
		NEAR(changes, faster ? 1.5 : 0.5, 1e-6);
		endpoint_release(&ep);
	}
}

TEST(what_goes_on_as_before_surprises_nobody)
{
	uint64_t surprises = 0;

	for (int i = 0; i < 40; i++) {
		double rate = 1e-3, p = 0.02 + 0.5 * rng_uniform(&rng), t = 0;
		struct endpoint ep;
		struct key k = fresh();

		endpoint_init(&ep, PRIOR);
		for (int n = 0; n < 1500; n++)
			t = look_on(&ep, &k, t, rate, p);
		surprises += ep.surprises;
		endpoint_release(&ep);
	}
	/* 60,000 looks at one alarm in e^10, both ways, and the learning of the week */
	OK(surprises <= 8, "%" PRIu64 " alarms", surprises);
}

TEST(one_look_proves_nothing)
{
	struct change c = {100, 100};
	struct surprise s = {0, 0};

	for (int i = 0; i < 9; i++)
		OK(surprise_look(&s, c, 1e6, false, 10) == SURPRISED_NOT);
	NEAR(s.down, 9, 1e-5);
	OK(s.up == 0);
	surprise_look(&s, c, 1e6, false, 10);
	OK(surprise_look(&s, c, 1e6, false, 10) == SURPRISED_SLOWER && s.down == 0);
	OK(surprise_look(&s, c, 1e-300, true, 10) == SURPRISED_NOT && isfinite(s.up));
}

/* Fifty keys of one endpoint, of which the first `turned` become a hundred times as fast. */
static uint64_t turn(unsigned turned, double *ret_worst)
{
	static struct key key[50];
	struct endpoint ep;
	uint64_t turns;
	double t = 0;

	endpoint_init(&ep, (struct change){0.5, 5000});
	for (uint32_t i = 0; i < 50; i++) {
		key[i] = fresh();
		key[i].place = i;
		*vec_push(&ep.keys) = i;
	}
	for (int n = 0; n < 1300; n++)
		for (unsigned i = 0; i < 50; i++) {
			double rate = n >= 300 && i < turned ? 1e-2 : 1e-4;

			if (n >= 325 && turned == 50)
				break;
			/* the last ones are hardly asked for */
			if (n >= 300 && i >= 40 && n % 20)
				continue;
			t = look_on(&ep, &key[i], t, rate, 0.1);
			if (ep.shape)
				ep.shape->pending = 0;
			endpoint_turn(&ep, key);
		}
	*ret_worst = HUGE_VAL;
	for (unsigned i = 40; i < 50; i++)
		*ret_worst = fmin(*ret_worst, mean_of(endpoint_posterior(&ep, &key[i])));
	turns = ep.turns;
	endpoint_release(&ep);
	return turns;
}

TEST(many_keys_that_turn_together_take_the_others_along)
{
	double worst;
	uint64_t turns = turn(50, &worst);

	OK(turns >= 1 && worst > 5e-4, "those that were hardly looked at: %g", worst);
	turns = turn(1, &worst);
	OK(turns == 0 && worst < 3e-4, "one key is one key: %g", worst);
}

/* A holiday lasts twenty of the usual intervals: nobody has another rate for that. */
TEST(a_standstill_of_all_is_no_news_of_one)
{
	static struct key key[50];
	struct endpoint ep;
	double t = 0, rate[50];

	endpoint_init(&ep, PRIOR);
	for (uint32_t i = 0; i < 50; i++) {
		key[i] = fresh();
		key[i].place = i;
		*vec_push(&ep.keys) = i;
	}
	for (; t < 3 * 86400 + 20 * 1000; t += 100) {
		for (unsigned i = 0; i < 50; i++)
			endpoint_look(&ep, &zone_utc, &key[i], at(t + i), at(t + i + 100),
			              t < 3 * 86400 && rng_uniform(&rng) < -expm1(-0.1), NULL);
		if (ep.shape)
			ep.shape->pending = 0;
		endpoint_turn(&ep, key);
	}
	for (unsigned i = 0; i < 50; i++)
		rate[i] = mean_of(endpoint_posterior(&ep, &key[i]));
	qsort(rate, 50, sizeof(*rate), ascending);
	OK(ep.surprises <= 10 && rate[10] > 0.6e-3, "%" PRIu64 " alarms, of ten two below %g",
	   ep.surprises, rate[10]);
	OK(mean_of(endpoint_predictive(&ep, &key[0])) < 0.2e-3, "%g",
	   mean_of(endpoint_predictive(&ep, &key[0])));
	endpoint_release(&ep);
}

TEST(a_key_that_goes_quiet_is_believed_within_days)
{
	struct endpoint ep;
	struct key k = fresh();
	double t = 0;

	endpoint_init(&ep, PRIOR);
	for (; t < 30 * 86400; t += 600)
		endpoint_look(&ep, &zone_utc, &k, at(t), at(t + 600), rng_uniform(&rng) < 0.6,
		              NULL);
	for (; t < 40 * 86400; t += 600)
		endpoint_look(&ep, &zone_utc, &k, at(t), at(t + 600), false, NULL);
	OK(mean_of(endpoint_predictive(&ep, &k)) * shape_pace(ep.shape) < 0.05 / 600, "%g",
	   mean_of(endpoint_predictive(&ep, &k)) * 600);
	endpoint_release(&ep);
}

TEST(gaps_of_decades_and_the_year_1970_leave_sane_numbers)
{
	static const double starts[] = {0, -40 * 365 * 86400.0, 1e9};

	for (int i = 0; i < 3; i++) {
		struct endpoint ep;
		struct key k = fresh();
		struct instant a = instant_from_s(starts[i]), b = instant_from_s(starts[i] + 1.5e9);

		endpoint_init(&ep, PRIOR);
		endpoint_request(&ep, &zone_utc, &k, a, 1);
		endpoint_look(&ep, &zone_utc, &k, a, b, i & 1, NULL);
		endpoint_request(&ep, &zone_utc, &k, b, 1);
		k.loaded = a;
		OK(isfinite(mean_of(endpoint_posterior(&ep, &k))) &&
		   mean_of(endpoint_posterior(&ep, &k)) > 0);
		OK(endpoint_p_stale(&ep, &zone_utc, &k, b) <= 1 &&
		   endpoint_p_stale(&ep, &zone_utc, &k, b) > 0.1);
		OK(isfinite(endpoint_key_rate(&ep, &zone_utc, &k, b)));
		endpoint_release(&ep);
	}
}

TEST(audits_weigh_what_they_stand_for)
{
	struct endpoint ep;

	endpoint_init(&ep, PRIOR);
	endpoint_audit(&ep, at(0), 4, 0.5, true);
	endpoint_audit(&ep, at(0), 0.25, 0.8, false);
	NEAR(ep.audited.seen, 4, 1e-12);
	NEAR(ep.audited.said, 2.2, 1e-12);
	OK(ep.audits == 2 && ep.audits_stale == 1);
	endpoint_release(&ep);
}

/* An endpoint of n keys whose rates are drawn from a Gamma, each seen for some time. */
static struct key *population(struct endpoint *ep, uint32_t n, double a, double b, double watched_s)
{
	struct key *keys = calloc(n, sizeof(*keys));

	for (uint32_t i = 0; i < n; i++) {
		double rate = rng_gamma(&rng, a, b), changes = 0;

		for (double t = rng_exponential(&rng, rate); t < watched_s && changes < 90;
		     t += rng_exponential(&rng, rate))
			changes++;
		keys[i] = fresh();
		keys[i].looks = 1;
		looks_count(&keys[i].seen, changes, changes < 90 ? watched_s : changes / rate);
		*vec_push(&ep->keys) = i;
	}
	return keys;
}

TEST(the_prior_is_that_of_the_keys)
{
	struct endpoint ep;
	struct key *keys;

	endpoint_init(&ep, PRIOR);
	keys = population(&ep, 3000, 1.5, 1.5 * 1000, 40000);
	for (int i = 0; i < 60; i++) {
		ep.seen_same += 300;
		ep.looks_since_pool = 300;
		endpoint_pool(&ep, keys, PRIOR);
	}
	NEAR(mean_of(ep.prior) * 1000, 1, 0.15);
	NEAR(ep.prior.a, 1.5, 0.4);
	NEAR(ep.pool_keys, 3000, 13); /* from every thirteenth of them */
	OK(ep.dirty);
	endpoint_release(&ep);
	free(keys);
}

TEST(keys_that_are_little_known_are_taken_for_what_the_others_are)
{
	struct endpoint ep;
	struct key *keys;
	double before;

	endpoint_init(&ep, PRIOR);
	keys = population(&ep, 50, 20, 20 * 100, 3000);
	keys[49].seen = (struct looks){.quiet_s = 10};
	before = mean_of(endpoint_posterior(&ep, &keys[49]));
	for (int i = 0; i < 10; i++) {
		ep.looks_since_pool = 300;
		endpoint_pool(&ep, keys, PRIOR);
	}
	OK(mean_of(ep.prior) > 5 * mean_of(PRIOR));
	OK(mean_of(endpoint_posterior(&ep, &keys[49])) > 5 * before);
	/* but not one that has left them */
	keys[49].stray = true;
	keys[49].prior_no = 0;
	keys[49].seen = (struct looks){.quiet_s = 7200, .changed = {2}};
	OK(mean_of(endpoint_posterior(&ep, &keys[49])) < 1.1 / 3600);
	endpoint_release(&ep);
	free(keys);
}

TEST(a_sample_of_keys_that_nobody_has_looked_at_teaches_nothing)
{
	struct endpoint ep;
	struct key *keys;

	endpoint_init(&ep, PRIOR);
	keys = population(&ep, 2000, 2, 2 * 100, 3000);
	for (int i = 0; i < 2000; i++)
		keys[i] = fresh();
	endpoint_restore_prior(&ep, (struct change){2, 2 * 86400.0});
	for (int i = 0; i < 10; i++) {
		ep.looks_since_pool = 300;
		endpoint_pool(&ep, keys, PRIOR);
	}
	NEAR(mean_of(ep.prior) * 86400, 1, 0.05);
	endpoint_release(&ep);
	free(keys);
}

TEST(the_prior_is_renewed_often_at_first_and_then_every_300_looks)
{
	struct endpoint ep;
	struct key *keys;
	struct change first;

	endpoint_init(&ep, PRIOR);
	first = ep.prior;
	keys = population(&ep, 1000, 2, 2 * 100, 3000);
	ep.looks_since_pool = 4;
	endpoint_pool(&ep, keys, PRIOR);
	OK(ep.prior.a == first.a, "not yet");
	ep.looks_since_pool = 5;
	endpoint_pool(&ep, keys, PRIOR);
	OK(ep.prior.a != first.a);
	endpoint_restore_prior(&ep, PRIOR);
	ep.looks_since_pool = 299;
	endpoint_pool(&ep, keys, PRIOR);
	OK(ep.prior.a == first.a);
	ep.looks_since_pool = 300;
	endpoint_pool(&ep, keys, PRIOR);
	OK(ep.prior.a != first.a);
	endpoint_release(&ep);
	free(keys);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(a_hit_ratio_is_of_late);
	RUN(a_new_key_is_what_its_endpoint_says);
	RUN(what_is_believed_of_a_key_follows_a_better_prior);
	RUN(the_rate_of_requests_comes_back);
	RUN(a_hot_key_is_not_too_hot_to_be_counted);
	RUN(what_is_not_asked_for_any_more_cools_down);
	RUN(a_key_not_asked_for_yet_has_the_mean_rate_of_all);
	RUN(late_requests_count_and_repeats_count_as_often_as_they_say);
	RUN(a_constant_share_of_a_rhythm_is_a_constant_rate);
	RUN(predicted_staleness_is_what_happens);
	RUN(audits_make_bursts_come_out_right);
	RUN(the_tempo_finds_the_factor_both_ways);
	RUN(the_tempo_fades_within_hours);
	RUN(the_tempo_is_bounded_and_learns_nothing_from_nothing);
	RUN(a_look_without_length_teaches_nothing);
	RUN(looks_and_events_find_the_rate);
	RUN(last_modified_tells_what_looks_cannot);
	RUN(an_origin_that_lies_in_last_modified_does_no_harm);
	RUN(who_begins_to_lie_is_found_out_within_a_dozen_changes);
	RUN(a_first_last_modified_counts_where_it_is_believed);
	RUN(versions_that_count_tell_how_often);
	RUN(a_hundred_times_as_fast_is_known_within_twenty_loads);
	RUN(a_key_gone_quiet_begins_anew_with_half_a_change_one_that_rushes_with_more);
	RUN(what_goes_on_as_before_surprises_nobody);
	RUN(one_look_proves_nothing);
	RUN(many_keys_that_turn_together_take_the_others_along);
	RUN(a_standstill_of_all_is_no_news_of_one);
	RUN(a_key_that_goes_quiet_is_believed_within_days);
	RUN(gaps_of_decades_and_the_year_1970_leave_sane_numbers);
	RUN(audits_weigh_what_they_stand_for);
	RUN(the_prior_is_that_of_the_keys);
	RUN(keys_that_are_little_known_are_taken_for_what_the_others_are);
	RUN(a_sample_of_keys_that_nobody_has_looked_at_teaches_nothing);
	RUN(the_prior_is_renewed_often_at_first_and_then_every_300_looks);
	return tap_done();
}
