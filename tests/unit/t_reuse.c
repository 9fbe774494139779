/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/reuse.c"

#include "base/rng.h"
#include "tests/tap.h"

static struct rng rng;

/* Asks n times for one of the keys, each as likely as its share says. */
static void ask_at_random(struct reuse *r, const double *share, uint32_t n_keys, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		double u = rng_uniform(&rng);
		uint32_t k = 0;

		while (k + 1 < n_keys && (u -= share[k]) >= 0)
			k++;
		reuse_asked(r, k, 1, true, true);
	}
}

static void ask_around(struct reuse *r, uint32_t first, uint32_t n_keys, unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++)
		for (uint32_t k = 0; k < n_keys; k++)
			reuse_asked(r, first + k, 1, true, true);
}

TEST(a_buckets_bounds_are_those_of_its_ages)
{
	struct reuse *r = reuse_new();

	for (int i = 0; i < 100000; i++) {
		uint32_t age = (uint32_t)(rng_u64(&rng) >> (32 + rng_below(&rng, 32)));
		unsigned b = bucket_of(age);

		OK(b < REUSE_BUCKETS && (double)r->start[b] <= age && age < (double)r->start[b + 1],
		   "age %" PRIu32 " in %u", age, b);
	}
	reuse_free(&r);
}

/* The worth as it is defined, over all times to hold. */
static double worth_at(const struct reuse *r, const float *rate, int from)
{
	double left = 1, held = 0, best = 0;

	for (int b = from; b < REUSE_BUCKETS; b++) {
		double l = (double)rate[b], next = left * exp(-l * width(r, b));

		held += (left - next) / l;
		left = next;
		best = fmax(best, (1 - left) / held);
	}
	return best;
}

TEST(worth_is_the_best_over_all_times_to_hold)
{
	struct reuse *r = reuse_new();
	float rate[REUSE_BUCKETS], worth[REUSE_BUCKETS];

	for (int i = 0; i < 200; i++) {
		double smooth = rng_uniform(&rng) * 3;

		for (int b = 0; b < REUSE_BUCKETS; b++)
			rate[b] =
			        (float)(exp(smooth * rng_normal(&rng)) / (1 + (double)r->start[b]));
		find_worth(r, rate, worth);
		/* beyond, what is left of 1 is of the size of what rounding takes */
		for (int b = 0; b < 24; b++)
			NEAR((double)worth[b] / worth_at(r, rate, b), 1, 0.001);
	}
	reuse_free(&r);
}

TEST(keys_asked_for_without_memory_are_worth_their_rates)
{
	enum { KEYS = 400, HOT = 100 };
	struct reuse *r = reuse_new();
	double share[KEYS], hot = 0, cold = 0;

	/* a quarter of the keys with four times the rate */
	for (int k = 0; k < KEYS; k++)
		share[k] = (k < HOT ? 4.0 : 1.0) / (4 * HOT + (KEYS - HOT));
	reuse_resize(r, 100);
	ask_at_random(r, share, KEYS, 60000);
	for (int i = 0; i < 20; i++) {
		ask_at_random(r, share, KEYS, 500);
		for (uint32_t k = 0; k < KEYS; k++)
			*(k < HOT ? &hot : &cold) += reuse_worth(r, k) / 20;
	}
	NEAR(hot + cold, 1, 0.15);
	NEAR(hot / HOT * (KEYS - HOT) / cold, 4, 1);
	reuse_free(&r);
}

TEST(in_a_loop_what_was_asked_for_longest_ago_is_worth_most)
{
	struct reuse *r = reuse_new();

	reuse_resize(r, 100);
	ask_around(r, 0, 300, 60);
	for (uint32_t k = 0; k + 100 < 300; k += 50)
		OK(reuse_worth(r, k) > 1.2 * reuse_worth(r, k + 100),
		   "%g of key %" PRIu32 ", %g later", reuse_worth(r, k), k,
		   reuse_worth(r, k + 100));
	reuse_free(&r);
}

/* Each key is asked for four times within 40 requests and never again. */
static void bursts(struct reuse *r, uint32_t *next, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		reuse_asked(r, *next + (uint32_t)rng_below(&rng, 10), 1, true, true),
		        *next += i % 4 == 3;
}

TEST(after_a_burst_a_key_is_worth_the_less_the_longer_ago)
{
	struct reuse *r = reuse_new();
	uint32_t next = 1000;

	reuse_resize(r, 100);
	bursts(r, &next, 40000);
	OK(reuse_worth(r, next) > 3 * reuse_worth(r, next - 50), "%g, then %g",
	   reuse_worth(r, next), reuse_worth(r, next - 50));
	reuse_free(&r);
}

TEST(another_use_is_learned_within_the_memory)
{
	struct reuse *r = reuse_new();
	uint32_t next = 1000;

	reuse_resize(r, 100);
	ask_around(r, 0, 300, 400);
	bursts(r, &next, 120000);
	OK(reuse_worth(r, next) > 3 * reuse_worth(r, next - 50), "%g, then %g",
	   reuse_worth(r, next), reuse_worth(r, next - 50));
	ask_around(r, 0, 300, 400);
	OK(reuse_worth(r, 20) > 1.2 * reuse_worth(r, 250), "%g, and newer %g", reuse_worth(r, 20),
	   reuse_worth(r, 250));
	reuse_free(&r);
}

TEST(keys_that_do_not_come_back_count_too)
{
	struct reuse *r = reuse_new();
	double once, twice = 0;

	reuse_resize(r, 100);
	/* one in ten new keys is asked for once more, 20 requests later */
	for (uint32_t i = 0; i < 40000; i++)
		reuse_asked(r, i % 10 == 9 && i > 30 ? i - 20 - i % 20 : i, 1, true, true);
	once = reuse_worth(r, 39998);
	/* without the census every one that began would seem to end */
	OK(once > 0 && once < 0.02, "%g", once);
	for (int b = 0; b < REUSE_BUCKETS; b++)
		twice += (double)r->table[ALL].waiting[!r->census][b];
	OK(twice > 20000, "%g spells go on", twice);
	reuse_free(&r);
}

TEST(what_is_put_is_no_request)
{
	struct reuse *r = reuse_new();

	reuse_put(r, 5);
	OK(reuse_look(r, 5).state == REUSE_PUT && reuse_look(r, 5).class == CLASS_PUT, "put");
	/* the request that led to the put, told later */
	reuse_asked(r, 5, 1, false, true);
	OK(reuse_look(r, 5).freq == FREQ_ONE && reuse_look(r, 5).class == 0, "asked once");
	NEAR(r->table[ALL].ended[bucket_of(1)], 0, 0);
	reuse_put(r, 6);
	reuse_asked(r, 6, 1, true, true);
	NEAR(r->table[ALL].ended[bucket_of(1)], 1, 0.01);
	/* another put is not a request either */
	reuse_put(r, 6);
	OK(reuse_look(r, 6).state == REUSE_ASKED, "still asked");
	reuse_free(&r);
}

TEST(unknown_and_forgotten_keys_are_worth_nothing)
{
	struct reuse *r = reuse_new();

	NEAR(reuse_worth(r, 77), 0, 0);
	reuse_asked(r, 77, 1, false, true);
	OK(reuse_worth(r, 77) > 0, "known");
	reuse_forget(r, 77);
	NEAR(reuse_worth(r, 77), 0, 0);
	reuse_forget(r, 1000000);
	OK(reuse_bytes(r) < sizeof(*r) + 1000, "%" PRIu64, reuse_bytes(r));
	reuse_free(&r);
}

TEST(reserved_keys_stay_where_they_are)
{
	struct reuse *r = reuse_new();
	const struct reuse_key *before;

	reuse_asked(r, 3, 1, false, true);
	reuse_reserve(r, 1000);
	before = r->key.v;
	OK(reuse_look(r, 3).state == REUSE_ASKED, "what was known is");
	for (uint32_t k = 0; k < 1000; k++)
		reuse_put(r, k);
	OK(r->key.v == before && r->key.n == 1000, "moved");
	reuse_reserve(r, 10);
	OK(r->key.v == before, "fewer are reserved already");
	reuse_free(&r);
}

TEST(ages_stand_still_before_the_counter_wraps)
{
	struct reuse *r = reuse_new();

	reuse_asked(r, 0, 1, false, true);
	for (uint32_t i = 0; i < 8; i++) {
		/* time flies, and the census comes by */
		r->now += UINT32_C(1) << 30;
		for (uint32_t j = 0; j < 2 * CENSUS_ROUND; j++)
			reuse_asked(r, 1, 1, true, true);
	}
	OK(r->now - reuse_look(r, 0).last >= AGE_MAX, "age %" PRIu32,
	   r->now - reuse_look(r, 0).last);
	reuse_free(&r);
}

TEST(counts_of_any_size_and_repeats_do_no_harm)
{
	static const double counts[] = {0, -1, 1e300, INFINITY, 0.5};
	struct reuse *r = reuse_new();

	for (int i = 0; i < 100000; i++) {
		reuse_resize(r, i % 977 ? r->size : exp(20 * rng_uniform(&rng)));
		reuse_asked(r, (uint32_t)rng_below(&rng, 50), counts[i % 5], i % 2, i % 3);
	}
	for (unsigned c = 0; c < REUSE_CLASSES; c++)
		for (int b = 0; b < REUSE_BUCKETS; b++)
			OK(isfinite(r->worth[c][b]) && r->worth[c][b] >= 0, "class %u age %d: %g",
			   c, b, (double)r->worth[c][b]);
	reuse_free(&r);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(a_buckets_bounds_are_those_of_its_ages);
	RUN(worth_is_the_best_over_all_times_to_hold);
	RUN(keys_asked_for_without_memory_are_worth_their_rates);
	RUN(in_a_loop_what_was_asked_for_longest_ago_is_worth_most);
	RUN(after_a_burst_a_key_is_worth_the_less_the_longer_ago);
	RUN(another_use_is_learned_within_the_memory);
	RUN(keys_that_do_not_come_back_count_too);
	RUN(what_is_put_is_no_request);
	RUN(unknown_and_forgotten_keys_are_worth_nothing);
	RUN(reserved_keys_stay_where_they_are);
	RUN(ages_stand_still_before_the_counter_wraps);
	RUN(counts_of_any_size_and_repeats_do_no_harm);
	return tap_done();
}
