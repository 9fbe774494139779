/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "examples/market/static.h"
#include "examples/market/traffic.h"
#include "examples/market/truth.h"
#include "examples/market/when.h"
#include "tests/tap.h"

#include <string.h>

static struct instant at(const char *text)
{
	struct instant t = INSTANT_NONE;

	OK(when_parse(text, &t), "%s", text);
	return t;
}

TEST(times_of_new_york_follow_summer_time)
{
	static const char *const same[] = {"2026-11-16T09:30:00-05:00", "2026-07-01T09:30:00-04:00",
	                                   "2026-03-08T03:00:00-04:00", "2026-11-01T02:00:00-05:00",
	                                   "2028-02-29T12:00:00-05:00"};
	char buf[32];

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		OK(strcmp(when_text(at(same[i]), buf), same[i]) == 0, "%s not %s", buf, same[i]);
	OK(at("2026-11-16T14:30Z").us == at("2026-11-16T09:30").us);
	OK(at("1994-11-06T08:49:37Z").us == INT64_C(784111777000000));
	OK(when_day_start(when_day(at("2026-11-01T23:59"))).us == at("2026-11-01T00:00-04:00").us);
	OK(when_weekday(when_day(at("2026-11-16T00:00"))) == 0);
}

TEST(what_is_no_time_is_refused)
{
	static const char *const bad[] = {"",
	                                  "now",
	                                  "2026-11-16",
	                                  "2026-13-01T00:00",
	                                  "2026-11-16T25:00",
	                                  "2026-11-16T09:30x",
	                                  "2026-11-16T09:30:00-5",
	                                  "2026-11-16T09:30:61"};
	struct instant t;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		OK(!when_parse(bad[i], &t), "%s", bad[i]);
}

TEST(a_version_is_the_latest_change_whoever_asks_and_in_whatever_order)
{
	struct truth *a = truth_new(tap_seed), *b = truth_new(tap_seed);
	struct instant from = at("2026-11-12T09:00"), until = at("2026-11-13T11:00");

	truth_prepare(a, from, until);
	for (size_t key = 0; key < TRUTH_KEYS; key += 7) {
		int64_t last = truth_version(b, key, from);

		for (struct instant t = from; t.us < until.us;) {
			struct instant next = truth_next_change(b, key, t, 1);

			OK(truth_version(a, key, t) == last && last <= t.us, "key %zu", key);
			if (next.us > until.us)
				break;
			OK(truth_version(a, key, (struct instant){next.us - 1}) == last, "key %zu",
			   key);
			last = next.us;
			t = next;
		}
	}
	truth_free(&a);
	truth_free(&b);
}

TEST(quotes_change_when_the_market_trades)
{
	struct truth *t = truth_new(tap_seed);
	struct instant open = at("2026-11-16T09:30"), x = open;
	int n = 0;

	while ((x = truth_next_change(t, 0, x, 1)).us < at("2026-11-16T09:40").us)
		n++;
	OK(n > 60, "%d changes in ten minutes", n);
	OK(truth_next_change(t, 0, at("2026-11-14T00:00"), 0).us == INT64_MAX, "a Saturday");
	OK(truth_version(t, 0, at("2026-11-15T12:00")) ==
	   truth_version(t, 0, at("2026-11-14T00:00")));
	OK(truth_version(t, 0, at("2026-11-15T12:00")) > at("2026-11-13T15:50").us,
	   "Friday's last");
	truth_free(&t);
}

TEST(an_answer_says_its_version)
{
	struct truth *t = truth_new(tap_seed);
	char body[TRUTH_BODY_MAX];
	size_t n;

	for (size_t key = 0; key < TRUTH_KEYS; key += 97) {
		int64_t v = truth_version(t, key, at("2026-11-16T10:00"));

		n = truth_body(t, key, v, body, sizeof(body));
		OK(n > 100 && n < sizeof(body) && truth_body_version(body, n) == v);
		OK(truth_find(t, truth_name(t, key)) == key);
	}
	OK(truth_body_version("{\"key\":\"x\"}", 11) == -1);
	OK(truth_body_version("", 0) == -1);
	OK(truth_find(t, "/quotes/NONE!") == TRUTH_NONE);
	truth_free(&t);
}

TEST(a_part_of_a_day_is_the_same_traffic_as_in_the_whole_day)
{
	struct traffic whole, part;
	struct instant a, b, bell = at("2026-11-16T09:30");
	size_t x, y;
	int before = 0, after = 0;

	traffic_init(&whole, tap_seed, at("2026-11-15T20:00"), at("2026-11-16T10:00"));
	traffic_init(&part, tap_seed, at("2026-11-16T09:15"), at("2026-11-16T10:00"));
	while (traffic_next(&part, &b, &y)) {
		do
			OK(traffic_next(&whole, &a, &x));
		while (a.us < at("2026-11-16T09:15").us);
		OK(a.us == b.us && x == y);
		if (b.us < bell.us)
			before++;
		else if (b.us < bell.us + INT64_C(900000000))
			after++;
	}
	OK(!traffic_next(&whole, &a, &x));
	OK(after > 8 * before && before > 100, "the bell: %d, then %d requests", before, after);
}

TEST(a_fixed_ttl_hits_within_it_and_loads_once)
{
	struct truth *t = truth_new(tap_seed);
	struct instant noon = at("2026-11-16T12:00");
	struct span load = truth_load_time(t, 0, noon);
	struct answer a[] = {
	        {.at = noon},                                       /* loads */
	        {.at = instant_add(noon, SPAN_MS(10))},             /* waits for it */
	        {.at = instant_add(noon, SPAN_MS(900))},            /* hit */
	        {.at = instant_add(noon, SPAN_MS(1000))},           /* its TTL is over: loads */
	        {.at = instant_add(noon, SPAN_MS(1000)), .key = 7}, /* another key: loads */
	};
	struct loads l;

	loads_init(&l, noon, instant_add(noon, SPAN_S(60)));
	static_run(t, 1, a, 5, &l);
	OK(l.sum == 3 && loads_peak(&l, noon, instant_add(noon, SPAN_S(60))) == 0.3);
	OK(a[0].how == ANSWER_LOADED && a[1].how == ANSWER_LOADED && a[2].how == ANSWER_HIT);
	OK(a[3].how == ANSWER_LOADED && a[4].how == ANSWER_LOADED);
	NEAR((double)a[0].response_ms, span_s(load) * 1e3, 0.01);
	NEAR((double)a[1].response_ms, span_s(load) * 1e3 - 10, 0.01);
	OK(a[1].version == a[0].version && a[2].version == truth_version(t, 0, noon));
	OK(figures_of(t, a, 5).hit_ratio == 0.2);
	loads_release(&l);
	truth_free(&t);
}

TEST(stale_answers_of_a_fixed_ttl_are_counted_by_the_truth)
{
	struct truth *t = truth_new(tap_seed);
	struct instant changed = truth_next_change(t, 0, at("2026-11-16T12:00"), 1);
	struct answer a[] = {
	        {.at = instant_add(changed, SPAN_US(-400))},
	        /* waits for a value that has just been replaced */
	        {.at = instant_add(changed, SPAN_S(-0))},
	        {.at = instant_add(changed, SPAN_S(30)), .key = truth_first(TRUTH_PROFILE)},
	        {.at = instant_add(changed, SPAN_S(31)), .key = truth_first(TRUTH_PROFILE)},
	};

	static_run(t, 60, a, 4, NULL);
	NEAR(figures_of(t, a, 4).stale, 0.25, 0);
	OK(static_best(t, 0.2, a, 4) < 60, "no TTL that gives a quarter of stale answers");
	truth_free(&t);
}

TEST(loads_are_counted_from_an_instant_to_another)
{
	struct instant from = at("2026-11-16T09:15:00"), bell = at("2026-11-16T09:30:00"),
	               minute = instant_add(bell, SPAN_S(60));
	struct loads l;

	loads_init(&l, from, at("2026-11-16T10:15:00"));
	loads_add(&l, instant_add(bell, SPAN_MS(-1)));
	loads_add(&l, bell);
	for (int i = 0; i < 3; i++)
		loads_add(&l, instant_add(minute, SPAN_MS(-1)));
	loads_add(&l, minute);
	OK(loads_sum(&l, bell, minute) == 4, "%" PRIu64, loads_sum(&l, bell, minute));
	OK(loads_sum(&l, from, bell) == 1);
	NEAR(loads_peak(&l, bell, minute), 0.3, 1e-9);
	loads_release(&l);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(times_of_new_york_follow_summer_time);
	RUN(what_is_no_time_is_refused);
	RUN(a_version_is_the_latest_change_whoever_asks_and_in_whatever_order);
	RUN(quotes_change_when_the_market_trades);
	RUN(an_answer_says_its_version);
	RUN(a_part_of_a_day_is_the_same_traffic_as_in_the_whole_day);
	RUN(a_fixed_ttl_hits_within_it_and_loads_once);
	RUN(stale_answers_of_a_fixed_ttl_are_counted_by_the_truth);
	RUN(loads_are_counted_from_an_instant_to_another);
	return tap_done();
}
