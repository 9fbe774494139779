/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "predictor/guard.h"

#include "tests/tap.h"

#include <string.h>

static struct instant at(double s)
{
	return instant_from_s(1e9 + s);
}

static void outcomes(struct guard *g, int useful, int wasted)
{
	for (int i = 0; i < useful; i++)
		guard_outcome(g, true, 0.6);
	for (int i = 0; i < wasted; i++)
		guard_outcome(g, false, 0.6);
}

TEST(nothing_known_is_allowed_and_believed)
{
	struct guard g = {0};

	OK(guard_allows(&g, at(0), 0.99, 0.5));
	NEAR(guard_trust(&g), 1, 1e-9);
	NEAR(guard_upper(&g), 1, 1e-9);
}

TEST(what_wastes_for_sure_stops_and_probes)
{
	struct guard g = {0};

	outcomes(&g, 3, 5);
	OK(guard_allows(&g, at(0), 0.5, 0.9), "3 of 8 may still be half");
	outcomes(&g, 0, 20);
	OK(guard_upper(&g) < 0.5);
	OK(!guard_allows(&g, at(0), 0.5, 0.011) && guard_allows(&g, at(0), 0.5, 0.009));
	OK(guard_allows(&g, at(0), 0.05, 0.9), "where so little pays it goes on");
	OK(guard_trust(&g) < 0.3, "and its promises count for less");
}

TEST(pauses_double_up_to_an_hour_and_end_in_another_chance)
{
	struct guard g = {0};
	double pause = 0, now = 0, evidence;

	outcomes(&g, 0, 1000);
	for (int i = 0; i < 12 && !guard_allows(&g, at(now), 0.5, 0.5); i++) {
		double next = span_s(instant_diff(g.resume, at(now)));

		NEAR(next, i ? (pause * 2 < 3600 ? pause * 2 : 3600) : 60, 1);
		OK(!guard_allows(&g, at(now + next - 1), 0.5, 0.5));
		pause = next;
		now += next;
		outcomes(&g, 0, 30); /* the probes are wasted, too */
	}
	NEAR(pause, 3600, 1);
	/* nothing more is heard of it: half is forgotten each time, until it may try again */
	evidence = g.wasted;
	for (int i = 0; i < 20 && !guard_allows(&g, at(now), 0.5, 0.5); i++)
		now += 3601;
	OK(guard_allows(&g, at(now), 0.5, 0.5) && g.wasted < 0.1 * evidence);
	OK(g.pause_s > 3000, "one failure more, and it rests for long again");
	outcomes(&g, 20, 0);
	OK(guard_allows(&g, at(now), 0.5, 0.5) && g.pause_s < 1, "it has done well");
}

TEST(old_outcomes_are_forgotten)
{
	struct guard g = {0};

	outcomes(&g, 0, 2000);
	outcomes(&g, 200, 0);
	NEAR(g.useful / (g.useful + g.wasted), 0.5, 0.01);
}

TEST(what_a_source_has_wasted_is_remembered_over_a_restart)
{
	struct guard g = {0}, after = {0}, untouched = {.useful = 3};
	double v[GUARD_STATE], bad[GUARD_STATE];

	outcomes(&g, 3, 40);
	OK(!guard_allows(&g, at(0), 0.5, 0.5));
	guard_state(&g, v);
	OK(guard_restore(&after, at(5), v));
	OK(after.useful == g.useful && after.wasted == g.wasted && after.said == g.said);
	OK(!guard_allows(&after, at(59), 0.5, 0.5) && guard_allows(&after, at(59), 0.5, 0.001));
	/* by another clock its pause is not longer than it was */
	OK(guard_restore(&after, at(-1e6), v));
	NEAR(span_s(instant_diff(after.resume, at(-1e6))), 60, 1e-3);
	for (int i = 0; i < GUARD_STATE; i++) {
		memcpy(bad, v, sizeof(bad));
		bad[i] = -1;
		OK(!guard_restore(&untouched, at(0), bad) && untouched.useful == 3, "%d", i);
	}
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(nothing_known_is_allowed_and_believed);
	RUN(what_wastes_for_sure_stops_and_probes);
	RUN(pauses_double_up_to_an_hour_and_end_in_another_chance);
	RUN(old_outcomes_are_forgotten);
	RUN(what_a_source_has_wasted_is_remembered_over_a_restart);
	return tap_done();
}
