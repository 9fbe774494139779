/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/week.h"

#include "tests/tap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MONDAY 1789948800 /* 2026-09-21T00:00:00Z */
#define DAY    86400
#define NINE   (9 * 3600)

static char path[] = "/tmp/t_sim_week.XXXXXX";

/*
 * Everybody asks for /even once a minute, for `days` from Monday on; on working days ten keys of
 * /bell are asked for once a minute each in the half hour after 9:30 of local clocks, which are
 * `offset_s` ahead of UTC, and an hour less from the second Monday on.
 */
static void make(struct trace *t, int days, int offset_s)
{
	struct trace_options o = {0};
	struct fault fault;
	FILE *f = fopen(path, "wb");

	if (!f)
		abort();
	fputs("time_s\tendpoint\tkey\tbytes\tload_ms\n", f);
	for (int s = 0; s < days * DAY; s += 60) {
		int local = s + offset_s - (offset_s && s >= 7 * DAY - offset_s ? 3600 : 0);
		int day = (int)floor((double)local / DAY), at = local - day * DAY;

		fprintf(f, "%d\t/even\tk\t1\t1\n", MONDAY + s);
		if (((day % 7) + 7) % 7 < 5 && at >= NINE + 1800 && at < NINE + 3600)
			for (int k = 0; k < 10; k++)
				fprintf(f, "%d.5\t/bell\tb%d\t1\t1\n", MONDAY + s, k);
	}
	if (fclose(f) != 0)
		abort();
	OK(trace_read(t, path, &o, &fault) == 0 && trace_read_changes(t, NULL, &fault) == 0, "%s",
	   fault.text);
}

static void look(const struct zone *z, int days, int offset_s)
{
	struct trace t;
	struct week w;
	struct week_peak even, bell, all;
	uint32_t endpoint[3] = {WEEK_ALL};
	double covered_s = 0;
	int wrong = 0;

	make(&t, days, offset_s);
	endpoint[1] = intern_find(&t.endpoints, bytes_str("/even"));
	endpoint[2] = intern_find(&t.endpoints, bytes_str("/bell"));
	week_count(&w, &t, z, endpoint, 3);
	OK(w.row[0].total == (double)t.at.n && w.row[1].total + w.row[2].total == w.row[0].total);
	for (int i = 0; i < WEEK_BINS; i++) {
		covered_s += w.covered_s[i];
		/* the last half hour may be seen in part */
		if (w.covered_s[i] >= WEEK_BIN_S / 6.0)
			wrong += fabs(week_rate(&w, &w.row[1], i) - 1 / 60.0) > 0.1 / 60;
		else
			wrong += !isnan(week_rate(&w, &w.row[1], i));
	}
	NEAR(covered_s, w.span_s, 1e-6);
	OK(wrong == 0, "%d half hours look busier or idler than they were", wrong);
	even = week_peak(&w, 1, &t, z);
	bell = week_peak(&w, 2, &t, z);
	all = week_peak(&w, 0, &t, z);
	NEAR(even.mean_per_s, 1 / 60.0, 1e-4);
	/* of weekends that were not seen nothing is said */
	OK(even.days == (days > 5 ? WEEK_DAILY : WEEK_WEEKDAYS) && even.keys == 1, "%d %g",
	   even.days, even.keys);
	OK(bell.bin % WEEK_DAY == 19 && bell.bin < 5 * WEEK_DAY, "bin %d", bell.bin);
	OK(bell.days == WEEK_WEEKDAYS && bell.day_bin == 19, "%s, bin %d",
	   week_days_name(bell.days), bell.day_bin);
	NEAR(bell.day_per_s, 10 / 60.0, 0.01);
	OK(bell.keys == 10, "%g keys", bell.keys);
	OK((int)bell.seen == days - 2 * (days / 7), "seen %u times", bell.seen);
	/* with the even ones not twice as much comes on working days: the peak is of all days */
	OK(all.days == (days > 5 ? WEEK_DAILY : WEEK_WEEKDAYS) && all.day_bin == 19, "%d, bin %d",
	   all.days, all.day_bin);
	NEAR(all.keys, 1 + 10.0 * bell.seen / days, 1e-9);
	week_release(&w);
	trace_release(&t);
}

TEST(the_bell_is_found_among_even_requests)
{
	look(&zone_utc, 9, 0);
	look(&zone_utc, 5, 0);
}

TEST(it_stays_where_it_is_when_clocks_change)
{
	static const struct zone_offset offset[] = {
	        {{0}, 7200}, {{(MONDAY + 7 * DAY - 7200) * INT64_C(1000000)}, 3600}};
	static const struct zone zone = {offset, 2, NULL, 0};

	look(&zone, 9, 7200);
}

TEST(the_last_time_is_looked_at_in_its_middle)
{
	struct trace t;

	make(&t, 9, 0);
	for (int day = 0; day < 3; day++) {
		/* Monday and Tuesday came twice, Wednesday once */
		int bin = day * WEEK_DAY + 19;
		double s = instant_s(week_last(&t, &zone_utc, bin)) - MONDAY;
		int last = day < 2 ? 7 + day : day;

		OK(fabs(s - (last * DAY + NINE + 1800 + 900)) < 120, "day %d: %g", day, s);
	}
	trace_release(&t);
}

TEST(very_long_traces_are_not_walked)
{
	struct trace_options o = {0};
	struct fault fault;
	struct trace t;
	struct week w;
	uint32_t all = WEEK_ALL;
	FILE *f = fopen(path, "wb");

	if (!f)
		abort();
	fputs("time_s\tendpoint\tkey\tbytes\tload_ms\n1\te\tk\t1\t1\n253402300799\te\tk\t1\t1\n",
	      f);
	if (fclose(f) != 0)
		abort();
	OK(trace_read(&t, path, &o, &fault) == 0 && trace_read_changes(&t, NULL, &fault) == 0, "%s",
	   fault.text);
	week_count(&w, &t, &zone_utc, &all, 1);
	OK(w.row[0].total == 2 && week_rate(&w, &w.row[0], 0) >= 0);
	week_release(&w);
	trace_release(&t);
}

int main(int argc, char **argv)
{
	int status;

	tap_start(argc, argv);
	close(mkstemp(path));
	RUN(the_bell_is_found_among_even_requests);
	RUN(it_stays_where_it_is_when_clocks_change);
	RUN(the_last_time_is_looked_at_in_its_middle);
	RUN(very_long_traces_are_not_walked);
	status = tap_done();
	unlink(path);
	return status;
}
