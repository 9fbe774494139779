/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/jump.c"

#include "base/rng.h"
#include "tests/tap.h"

static struct rng rng;

/* A count of mean m by Knuth's product, or near enough where m is large. */
static double poisson(double m)
{
	double limit = exp(-m), p = rng_uniform(&rng), n = 0;

	if (m > 30)
		return fmax(0, floor(m + sqrt(m) * rng_normal(&rng) + 0.5));
	while (p > limit) {
		p *= rng_uniform(&rng);
		n++;
	}
	return n;
}

static bool second(struct jump *j, double s, double n)
{
	return n > 0 && jump_count(j, instant_from_s(s + 0.5), n);
}

/* Seconds of `rate` per second from s on; how many alarms. */
static unsigned run(struct jump *j, double s, double seconds, double rate)
{
	unsigned alarms = 0;

	for (double t = s; t < s + seconds; t++)
		alarms += second(j, t, poisson(rate));
	return alarms;
}

TEST(a_tenfold_jump_from_one_a_second_is_found_within_ten_seconds)
{
	double worst = 0, sum = 0;

	for (int i = 0; i < 200; i++) {
		struct jump j;
		double t = 3 * 3600 + i;

		jump_init(&j);
		jump_expect(&j, 1);
		run(&j, 0, t, 1);
		while (!second(&j, t, poisson(10)) && t < 3 * 3600 + i + 100)
			t++;
		t -= 3 * 3600 + i;
		worst = fmax(worst, t);
		sum += t;
		NEAR((double)j.found_per_s, 10, 10);
	}
	printf("# found after %.1f s in the mean, %.0f s at the most, of 200\n", sum / 200, worst);
	OK(worst <= 10, "%g s", worst);
}

TEST(steady_traffic_raises_no_alarm_in_weeks)
{
	static const double rates[] = {0.01, 0.1, 1, 10};
	unsigned alarms = 0;

	for (int i = 0; i < 4; i++) {
		struct jump j;

		jump_init(&j);
		jump_expect(&j, rates[i]);
		alarms += run(&j, 0, 2 * WEEK_S, rates[i]);
	}
	printf("# %u alarms in 8 endpoint-weeks\n", alarms);
	OK(alarms <= 2);
}

/* Negative-binomial seconds: a gamma of Poissons, of variance spread * m. */
static double clumped(double m, double spread)
{
	return poisson(rng_gamma(&rng, m / (spread - 1), 1 / (spread - 1)));
}

TEST(clumps_are_learned_and_not_taken_for_jumps)
{
	unsigned alarms = 0, later = 0;

	for (int i = 0; i < 4; i++) {
		struct jump j;
		unsigned n;

		jump_init(&j);
		jump_expect(&j, 2);
		for (double t = 0; t < 2 * WEEK_S; t++) {
			n = second(&j, t, clumped(2, 4));
			alarms += n;
			later += t > WEEK_S ? n : 0;
		}
		OK(spread(&j) > 2.5 && spread(&j) < 8, "%g", spread(&j));
	}
	printf("# %u alarms in 8 endpoint-weeks, %u of them in the second week of 4\n", alarms,
	       later);
	OK(alarms <= 8);
}

/* Each ten minutes in the mean somebody asks for 60 things within 30 seconds. */
TEST(where_alarms_do_not_last_the_threshold_rises_until_they_are_rare)
{
	unsigned alarms[6] = {0};
	struct jump j;
	double burst = 0;

	jump_init(&j);
	jump_expect(&j, 0.3);
	for (double t = 0; t < 6 * WEEK_S; t++) {
		if (rng_uniform(&rng) < 1 / 600.0)
			burst = 30;
		if (second(&j, t, poisson(0.2 + (burst-- > 0 ? 2 : 0))))
			alarms[(int)(t / WEEK_S)]++;
	}
	printf("# alarms a week: %u %u %u %u %u %u\n", alarms[0], alarms[1], alarms[2], alarms[3],
	       alarms[4], alarms[5]);
	OK(alarms[3] + alarms[4] + alarms[5] <= 6);
	/* and a real one is still found */
	OK(run(&j, 6 * WEEK_S, 120, 20) == 1);
}

/* Once a day somebody's cron job asks for 300 things in 12 s, a little earlier or later. */
TEST(a_burst_that_comes_each_day_makes_one_alarm_and_hides_no_jump)
{
	unsigned alarms[2] = {0};
	struct jump j;
	double s = 0;

	jump_init(&j);
	jump_expect(&j, 1);
	for (int day = 0; day < 14; day++) {
		double burst = day * 86400.0 + 54000 + rng_uniform(&rng) * 300;

		alarms[day / 7] += run(&j, s, burst - s, 1);
		alarms[day / 7] += run(&j, burst, 12, 25);
		s = burst + 12;
	}
	printf("# alarms: %u in the first week, %u in the second\n", alarms[0], alarms[1]);
	OK(alarms[0] <= 2 && alarms[1] == 0);
	run(&j, s, 40000, 1);
	OK(run(&j, s + 40000, 60, 20) == 1, "what stays is found");
}

/* Twice as many for an hour is for forecasts to follow. */
TEST(a_slow_rise_is_no_jump)
{
	struct jump j;
	unsigned alarms = 0;

	jump_init(&j);
	jump_expect(&j, 3);
	run(&j, 0, 3600, 3);
	for (int i = 1; i <= 40; i++)
		alarms += run(&j, 3600 + 90 * i, 90, 3 + 0.1 * i);
	OK(alarms == 0, "%u", alarms);
}

/* Twice as many every eight minutes, for half an hour; then ten times as many. */
TEST(a_jump_during_a_slow_rise_is_found_within_seconds)
{
	double worst = 0, sum = 0;
	unsigned alarms = 0;

	for (int i = 0; i < 200; i++) {
		struct jump j;
		double t = 7200, rate = 1;

		jump_init(&j);
		jump_expect(&j, 1);
		for (double s = 0; s < t; s++)
			second(&j, s, clumped(1, 3));
		for (; t < 7200 + 1800; t++, rate *= exp2(1 / 480.0))
			alarms += second(&j, t, clumped(rate, 3));
		/* what an alarm of the rise itself leaves behind is another question */
		j.quiet_to = 0;
		j.threshold = (float)JUMP_THRESHOLD;
		while (!second(&j, t, clumped(10 * rate, 3)) && t < 9000 + 600)
			t++;
		t -= 9000;
		worst = fmax(worst, t);
		sum += t;
	}
	printf("# found after %.1f s in the mean, %.0f s at the most, of 200; %u alarms before\n",
	       sum / 200, worst, alarms);
	OK(sum / 200 <= 10 && worst <= 20, "%g s, %g s", sum / 200, worst);
}

TEST(what_was_forecast_is_no_jump)
{
	struct jump a, b;

	jump_init(&a);
	jump_init(&b);
	jump_expect(&a, 1);
	jump_expect(&b, 1);
	run(&a, 0, 7200, 1);
	run(&b, 0, 7200, 1);
	jump_expect(&b, 10);
	OK(run(&a, 7200, 60, 10) == 1);
	OK(run(&b, 7200, 60, 10) == 0);
}

TEST(one_jump_is_one_alarm)
{
	struct jump j;

	jump_init(&j);
	jump_expect(&j, 1);
	OK(run(&j, 0, 599, 30) == 0, "the first ten minutes raise none");
	jump_init(&j);
	run(&j, 0, 7200, 1);
	/* the new rate goes on for hours, and the forecast knows nothing of it */
	OK(run(&j, 7200, 4 * 3600, 20) == 1);
	NEAR((double)j.threshold, JUMP_THRESHOLD, 0);
	/* back to normal, and up again */
	OK(run(&j, 6 * 3600, 4 * 3600, 1) == 0);
	OK(run(&j, 10 * 3600, 3600, 20) == 1);
}

TEST(ten_things_at_once_of_a_quiet_endpoint_are_no_jump)
{
	struct jump j;

	jump_init(&j);
	for (int i = 0; i < 100; i++)
		OK(!second(&j, i * 3600.0, 10));
}

TEST(late_events_and_long_silences_do_no_harm)
{
	struct jump j;

	jump_init(&j);
	run(&j, 1e6, 3600, 1);
	OK(!jump_count(&j, instant_from_s(5), 3));
	OK(!jump_count(&j, instant_from_s(4e9), 3));
	OK(!jump_count(&j, instant_from_s(4e9 + 1), 3));
	for (int i = 0; i < JUMP_SCALES; i++)
		OK(isfinite(j.scale[i].spread) && j.scale[i].spread >= 1);
	OK(isfinite(j.sum) && j.sum >= 0 && isfinite(j.recent));
	/* years before 1970 */
	jump_init(&j);
	OK(run(&j, -1e6, 7200, 1) == 0);
	OK(run(&j, -1e6 + 7200, 60, 10) == 1);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(a_tenfold_jump_from_one_a_second_is_found_within_ten_seconds);
	RUN(steady_traffic_raises_no_alarm_in_weeks);
	RUN(clumps_are_learned_and_not_taken_for_jumps);
	RUN(where_alarms_do_not_last_the_threshold_rises_until_they_are_rare);
	RUN(a_burst_that_comes_each_day_makes_one_alarm_and_hides_no_jump);
	RUN(a_slow_rise_is_no_jump);
	RUN(a_jump_during_a_slow_rise_is_found_within_seconds);
	RUN(what_was_forecast_is_no_jump);
	RUN(one_jump_is_one_alarm);
	RUN(ten_things_at_once_of_a_quiet_endpoint_are_no_jump);
	RUN(late_events_and_long_silences_do_no_harm);
	return tap_done();
}
