/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/rise.h"

#include "base/rng.h"
#include "tests/tap.h"

static struct rng rng;

/* Monday 2026-11-02 00:00 UTC */
static const double MONDAY = 1793577600;

/*
 * Days of traffic at a base per quarter; from `slot` on for an hour it is `factor` times that on days
 * that `on` (bit 0 = Monday) has.
 */
static struct demand days_of(int days, double base, int slot, double factor, unsigned on)
{
	struct demand d;

	demand_init(&d);
	for (int q = 0; q < days * SHAPE_BINS; q++) {
		int day = q / SHAPE_BINS, i = q % SHAPE_BINS;
		double mean = base;
		double t = 0;

		if ((on >> day % 7 & 1) && i >= slot && i < slot + 4)
			mean *= factor;
		for (t = rng_exponential(&rng, mean / SHAPE_BIN_S); t < SHAPE_BIN_S;
		     t += rng_exponential(&rng, mean / SHAPE_BIN_S))
			demand_count(&d, &zone_utc, instant_from_s(MONDAY + q * SHAPE_BIN_S + t),
			             1);
	}
	return d;
}

TEST(a_rise_that_recurs_is_found_at_its_time)
{
	struct demand d = days_of(14, 20, 38, 5, 0x1f);
	struct rise r[10];
	size_t n = rise_find(&d, &zone_utc, 2, 0.6, r, 10);

	OK(n == 1, "%zu", n);
	OK(r[0].kind == ZONE_WEEKDAY && r[0].slot == 38 && r[0].held >= 9 && r[0].days == 10);
	NEAR(r[0].factor, 5, 0.8);
	demand_release(&d);
}

TEST(flat_traffic_has_none)
{
	for (int i = 0; i < 5; i++) {
		struct demand d = days_of(14, i ? 10.0 * i : 2, 0, 1, 0);
		struct rise r[10];

		OK(rise_find(&d, &zone_utc, 2, 0.6, r, 10) == 0);
		demand_release(&d);
	}
}

TEST(what_came_once_does_not_recur)
{
	struct demand d = days_of(7, 20, 38, 5, 1);
	struct rise r[10];

	OK(rise_find(&d, &zone_utc, 2, 0.6, r, 10) == 0);
	demand_release(&d);
}

TEST(few_requests_are_no_evidence)
{
	OK(!rise_held(0, 3) && rise_held(0, 12));
	OK(!rise_held(100, 190) && rise_held(100, 210));
	OK(!rise_held(10, 22), "twice as many, but by chance");
}

TEST(a_history_without_a_request_since_has_none)
{
	struct demand d;
	struct rise r[10];

	/* as an endpoint is restored: all that it knows is of an earlier run */
	demand_init(&d);
	demand_give_model(&d);
	OK(d.history && d.bin == INT64_MIN);
	OK(rise_find(&d, &zone_utc, 2, 0.6, r, 10) == 0);
	demand_release(&d);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	rng_init(&rng, tap_seed);
	RUN(a_rise_that_recurs_is_found_at_its_time);
	RUN(flat_traffic_has_none);
	RUN(what_came_once_does_not_recur);
	RUN(few_requests_are_no_evidence);
	RUN(a_history_without_a_request_since_has_none);
	return tap_done();
}
