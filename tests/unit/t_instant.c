/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/instant.h"

#include "tests/tap.h"

#include <string.h>

TEST(never_and_none_stay_what_they_are)
{
	OK(instant_add(INSTANT_NEVER, SPAN_S(-5)).us == INT64_MAX);
	OK(instant_add(INSTANT_NEVER, SPAN_S(5)).us == INT64_MAX);
	OK(instant_add(INSTANT_NONE, SPAN_S(5)).us == INT64_MIN);
	OK(!instant_is_set(INSTANT_NEVER) && !instant_is_set(INSTANT_NONE));
	OK(instant_is_set((struct instant){0}), "1970 is an instant like any other");
	OK(instant_before(INSTANT_NONE, (struct instant){-1}));
	OK(instant_before((struct instant){1}, INSTANT_NEVER));
}

TEST(adds_and_takes_differences)
{
	struct instant a = {1700000000000000}, b = instant_add(a, SPAN_MS(1500));

	OK(instant_diff(b, a).us == 1500000);
	OK(instant_diff(a, b).us == -1500000);
	OK(instant_before(a, b) && !instant_before(b, a) && !instant_before(a, a));
	OK(instant_min(a, b).us == a.us && instant_max(a, b).us == b.us);
	OK(instant_min(b, a).us == a.us && instant_max(b, a).us == b.us);
	OK(SPAN_S(3).us == 3000000 && SPAN_MS(-2).us == -2000 && SPAN_US(7).us == 7);
}

TEST(sums_of_the_longest_spans_do_not_overflow)
{
	struct instant t = instant_from_s(INFINITY);

	for (int i = 0; i < 1000; i++)
		t = instant_add(t, SPAN_MAX);
	OK(instant_is_set(t) && t.us == 1001 * SPAN_MAX.us);
}

TEST(seconds_round_to_the_nearest_microsecond)
{
	OK(span_from_s(0).us == 0);
	OK(span_from_s(1.0000004).us == 1000000);
	OK(span_from_s(1.0000006).us == 1000001);
	OK(span_from_s(-1.0000006).us == -1000001);
	OK(span_from_s(-0.25).us == -250000);
	OK(span_from_s(INFINITY).us == SPAN_MAX.us);
	OK(span_from_s(-INFINITY).us == -SPAN_MAX.us);
	OK(span_from_s(1e300).us == SPAN_MAX.us);
	OK(span_from_s(-1e300).us == -SPAN_MAX.us);
	OK(span_from_s(NAN).us == SPAN_MAX.us, "not a number must not be undefined");
	NEAR(span_s(SPAN_MS(1500)), 1.5, 0);
}

TEST(six_decimals_survive_the_way_there_and_back)
{
	/* what logs print: a double near 1.7e9 holds a quarter of a microsecond */
	for (int64_t us = 1732000000000000; us < 1732000000002000; us++)
		OK(instant_from_s(instant_s((struct instant){us})).us == us, "%" PRId64, us);
}

TEST(clips_between_its_bounds)
{
	OK(span_clip(SPAN_S(5), SPAN_S(1), SPAN_S(10)).us == 5000000);
	OK(span_clip(SPAN_S(0), SPAN_S(1), SPAN_S(10)).us == 1000000);
	OK(span_clip(SPAN_S(50), SPAN_S(1), SPAN_S(10)).us == 10000000);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(never_and_none_stay_what_they_are);
	RUN(adds_and_takes_differences);
	RUN(sums_of_the_longest_spans_do_not_overflow);
	RUN(seconds_round_to_the_nearest_microsecond);
	RUN(six_decimals_survive_the_way_there_and_back);
	RUN(clips_between_its_bounds);
	return tap_done();
}
