/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/tail.c"

#include "base/rng.h"
#include "tests/tap.h"

static struct rng rng;

enum { DAY = ENSEMBLE_DAY, MANY = 200 };

static double poisson(double m)
{
	double limit = exp(-m), p = rng_uniform(&rng), n = 0;

	while (p > limit) {
		p *= rng_uniform(&rng);
		n++;
	}
	return n;
}

/* Days of 1970 begin at a Thursday. */
static double office(double s)
{
	int day = (int)(s / 86400) + 3;
	double hour = fmod(s, 86400) / 3600;

	return day % 7 < 5 && hour >= 8 && hour < 18 ? 2 : 0.5;
}

TEST(the_rhythm_of_all_is_that_of_each)
{
	static struct tail_pool pool;
	static struct tail own[MANY];
	double alone = 0, shared = 0, inside = 0, n = 0, sum = 0, mean = 0;

	tail_pool_init(&pool);
	for (int64_t b = 0; b < 28 * DAY; b++) {
		double s = (double)b * 300 + 150;

		for (int i = 0; i < MANY; i++) {
			/* from one request in two hours to one in 3 minutes */
			double level = 0.04 * exp(i * 0.02), count = poisson(level * office(s));

			if (b > 21 * DAY && i % 10 == 0 && b % 6 == 0) {
				double later = s + 6 * 300, truth = level * office(later);
				struct ensemble_forecast f =
				        tail_at(&own[i], &pool, &zone_utc, 7, later);
				double y = poisson(truth);

				shared += fabs(f.mean - truth);
				alone += fabs((double)own[i].quick *
				                      tail_factor(&pool, &zone_utc, s) -
				              truth);
				inside += f.lo80 <= y && y <= f.hi80;
				sum += y;
				mean += f.mean;
				n++;
			}
			tail_add(&own[i], &pool, &zone_utc, b, s, count);
		}
	}
	printf("# error of the rate %.3f of that of a moving mean; inside %.3f; mean %.3f\n",
	       shared / alone, inside / n, mean / sum);
	OK(shared < 0.5 * alone);
	OK(inside / n > 0.76 && inside / n < 0.9, "%g", inside / n);
	NEAR(mean / sum, 1, 0.05);
	/* factors: 2 and 0.5 about a mean of 0.5 * (1 + 3 * 50 / 168) */
	NEAR(tail_factor(&pool, &zone_utc, 5 * 86400.0 + 43200) /
	             tail_factor(&pool, &zone_utc, 5 * 86400.0 + 3600),
	     4, 1);
	NEAR(tail_factor(&pool, &zone_utc, 2 * 86400.0 + 43200) /
	             tail_factor(&pool, &zone_utc, 2 * 86400.0 + 3600),
	     1, 0.6);
}

TEST(a_rise_is_followed_and_how_far_it_lasts_is_learned)
{
	static struct tail_pool pool;
	static struct tail own[50];
	struct tail fresh = {0};

	tail_pool_init(&pool);
	NEAR(left(&pool, HORIZON_5M), 0.5, 1e-9);
	NEAR(tail_at(&fresh, &pool, &zone_utc, 1, 0).mean, 0, 0);
	/* levels that stay for a day are worth their difference half an hour later */
	for (int64_t b = 0; b < 10 * DAY; b++)
		for (int i = 0; i < 50; i++)
			tail_add(&own[i], &pool, &zone_utc, b, (double)b * 300,
			         poisson(((b + i * 37) / DAY) % 2 ? 6 : 1));
	OK(left(&pool, HORIZON_30M) > 0.6, "%g", left(&pool, HORIZON_30M));
	NEAR(tail_at(&own[0], &pool, &zone_utc, 1, 10 * 86400.0).mean, 6, 2.5);
	/* without a pool, too */
	for (int64_t b = 0; b < 100; b++)
		tail_add(&fresh, NULL, &zone_utc, b, (double)b * 300, 3);
	NEAR(tail_at(&fresh, NULL, &zone_utc, 1, 0).mean, 3, 1e-3);
}

TEST(counts_of_any_size_keep_all_finite)
{
	static struct tail_pool pool;
	struct tail own = {0};

	tail_pool_init(&pool);
	for (int64_t b = 0; b < 5000; b++) {
		struct ensemble_forecast f;

		tail_add(&own, &pool, &zone_utc, b, (double)b * 300, b % 300 < 3 ? 4e9 : 0);
		f = tail_at(&own, &pool, &zone_utc, 1 + b % 500, (double)b * 300);
		OK(isfinite(f.mean) && f.lo80 >= 0 && f.lo80 <= f.median && f.median <= f.hi80 &&
		   isfinite(f.hi80));
	}
}

TEST(what_is_kept_comes_back)
{
	static struct tail_pool pool, after, untouched;
	struct tail t = {0}, u = {0};
	struct tail_pool_state s;
	double v[TAIL_STATE], before;

	tail_pool_init(&pool);
	tail_pool_init(&after);
	for (int64_t b = 0; b < 10 * DAY; b++)
		tail_add(&t, &pool, &zone_utc, b, (double)b * 300 + 150,
		         poisson(office((double)b * 300)));
	tail_pool_state(&pool, &s);
	tail_state(&t, v);
	OK(tail_pool_restore(&after, s.got, s.due, s.ahead) && tail_restore(&u, v));
	for (int ahead = 1; ahead <= DAY; ahead += 7) {
		double at = (10 * DAY + ahead) * 300.0;
		struct ensemble_forecast x = tail_at(&t, &pool, &zone_utc, ahead, at),
		                         y = tail_at(&u, &after, &zone_utc, ahead, at);

		OK(x.mean == y.mean && x.lo80 == y.lo80 && x.hi80 == y.hi80);
	}
	/* nothing that it cannot be */
	before = s.got[5];
	s.got[5] = -1;
	OK(!tail_pool_restore(&untouched, s.got, s.due, s.ahead) && untouched.got[0][0] == 0);
	s.got[5] = before;
	s.ahead[1] = -1;
	OK(!tail_pool_restore(&untouched, s.got, s.due, s.ahead) && untouched.got[0][0] == 0);
	v[0] = NAN;
	OK(!tail_restore(&u, v));
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(the_rhythm_of_all_is_that_of_each);
	RUN(a_rise_is_followed_and_how_far_it_lasts_is_learned);
	RUN(counts_of_any_size_keep_all_finite);
	RUN(what_is_kept_comes_back);
	return tap_done();
}
