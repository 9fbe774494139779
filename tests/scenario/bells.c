/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sessions of markets in the virtual time of an engine: a day that ends early, clocks that change in
 * other weeks on the other side of an ocean, a lunch break. Each time: is it warm at the bell, and is
 * nothing loaded for one that does not ring?
 */
#include "base/vec.h"
#include "calendar/calendar.h"
#include "engine/engine.h"
#include "tests/tap.h"

#include <stdlib.h>
#include <string.h>

#define DAY_S  86400
#define KEYS   20 /* that are asked for after a bell, one a second */
#define BELLS  512
#define MINUTE (INT64_C(60) * 1000000)

struct flight {
	uint64_t job;
	struct instant ends;
};

struct load {
	struct instant at;
	char group[8]; /* "/us/17": "us" */
};

struct floor {
	struct engine *e;
	struct effects fx;
	struct instant now;
	VEC(struct flight) flight;
	VEC(struct load) warmed; /* before peaks, jumps that nobody foresaw aside */
	VEC(struct peak_report) report;
	uint64_t by_jump;
};

static struct instant utc(int year, int month, int day, int hour, int minute)
{
	static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
	/* leap years until then: this is no test of other centuries */
	int64_t days =
	        (year - 1970) * INT64_C(365) + (year - 1969) / 4 + before[month - 1] + day - 1;

	days += month > 2 && year % 4 == 0;
	return (struct instant){(days * DAY_S + hour * 3600 + minute * 60) * 1000000};
}

/* All in one zone (NULL: UTC), or each market in its own. */
static struct floor floor_new(const struct zone *z, const struct zone *us, const struct zone *uk,
                              struct instant now)
{
	struct engine_origin origin = {"api", origin_policy_default()};
	struct engine_rule rule[2] = {{.match = "/us/<id>", .zone = us},
	                              {.match = "/uk/<id>", .zone = uk}};
	struct engine_config c = {.seed = 7,
	                          .limits = engine_limits_default(),
	                          .policy = policy_default(),
	                          .zone = z,
	                          .origins = &origin,
	                          .n_origins = 1};

	c.limits.audit_share = 0;
	c.policy.max_age = 3600;
	origin.policy.rate = 50;
	rule[0].policy = rule[1].policy = c.policy;
	c.rule = rule;
	c.n_rules = us ? 2 : 0;
	return (struct floor){.e = engine_new(&c, NULL, now), .now = now};
}

static void floor_free(struct floor *f)
{
	engine_free(&f->e);
	effects_release(&f->fx);
	vec_free(&f->flight);
	vec_free(&f->warmed);
	vec_free(&f->report);
}

static void carry_out(struct floor *f)
{
	struct engine_stats s;

	engine_stats(f->e, &s);
	for (size_t i = 0; i < f->fx.list.n; i++) {
		const struct effect *x = &f->fx.list.v[i];
		struct load l = {.at = f->now};

		if (x->kind == EFFECT_FIT) {
			struct harmonic_data *d = x->fit.data;

			harmonic_data_free(&d);
		} else if (x->kind == EFFECT_LOAD) {
			*vec_push(&f->flight) =
			        (struct flight){x->load.job, instant_add(f->now, SPAN_MS(100))};
			if (x->load.reason != LOAD_PREWARM ||
			    f->by_jump != s.prefetch[PREFETCH_JUMP].loads)
				continue;
			snprintf(l.group, sizeof(l.group), "%.*s",
			         (int)strcspn((const char *)x->key.p + 1, "/"),
			         (const char *)x->key.p + 1);
			*vec_push(&f->warmed) = l;
		} else if (x->kind == EFFECT_NOTICE && x->notice.what == NOTICE_PEAK &&
		           x->notice.peak.source == PREFETCH_SCHEDULE) {
			*vec_push(&f->report) = x->notice.peak;
		}
	}
	f->by_jump = s.prefetch[PREFETCH_JUMP].loads;
	effects_clear(&f->fx);
}

static void until(struct floor *f, struct instant end)
{
	for (;;) {
		struct instant t = engine_next(f->e);
		size_t first = SIZE_MAX;

		for (size_t i = 0; i < f->flight.n; i++)
			if (f->flight.v[i].ends.us <= t.us) {
				t = f->flight.v[i].ends;
				first = i;
			}
		if (t.us > end.us)
			break;
		f->now = instant_max(f->now, t);
		if (first == SIZE_MAX) {
			engine_tick(f->e, f->now, 0, &f->fx);
		} else {
			struct input in = {.kind = INPUT_LOADED};

			in.loaded.job = f->flight.v[first].job;
			in.loaded.status = LOADED_OK;
			in.loaded.value = bytes_str("value");
			in.loaded.last_modified = INSTANT_NONE;
			f->flight.v[first] = f->flight.v[--f->flight.n];
			engine_input(f->e, f->now, &in, &f->fx);
		}
		carry_out(f);
	}
	f->now = end;
}

static void ask(struct floor *f, struct instant at, const char *group, int key)
{
	struct input in = {.kind = INPUT_GET};
	char name[64];

	until(f, at);
	snprintf(name, sizeof(name), "/%s/%d", group, key);
	in.key = bytes_str(name);
	in.get.mode = GET_LOAD;
	engine_input(f->e, f->now, &in, &f->fx);
	carry_out(f);
}

/* The market's clocks and days. */
static struct zone *zone_of(const char *market)
{
	struct fault e = {""};
	struct zone *z = NULL;

	OK(!calendar_open(market, NULL, utc(2026, 1, 1, 0, 0), utc(2028, 1, 1, 0, 0), &z, &e), "%s",
	   e.text);
	return z;
}

/* What the rule gives between two instants, by the market's calendar and clocks. */
static size_t bells(const char *rule, const char *market, struct instant from, struct instant to,
                    struct instant ret[BELLS])
{
	struct fault e = {""};
	struct zone *z = zone_of(market);
	size_t n = 0;

	OK(!calendar_expand(rule, z, from, from, to, CALENDAR_SKIP_HOLIDAYS, ret, BELLS, &n, &e),
	   "%s", e.text);
	calendar_zone_free(&z);
	return n;
}

static void schedule(struct floor *f, const char *name, const char *pattern,
                     const struct instant *at, size_t n)
{
	struct input in = {.kind = INPUT_SCHEDULE};

	in.schedule.name = bytes_str(name);
	in.schedule.pattern = bytes_str(pattern);
	in.schedule.at = at;
	in.schedule.n_at = n;
	engine_input(f->e, f->now, &in, &f->fx);
	carry_out(f);
}

/* Everybody asks after the bell. */
static void ring(struct floor *f, struct instant bell, const char *group)
{
	for (int i = 0; i < KEYS; i++)
		ask(f, instant_add(bell, SPAN_MS(1000 * i + 500)), group, i);
}

/* Loads before peaks in that time; of a group, or NULL: all. */
static size_t warmed(const struct floor *f, const char *group, struct instant from,
                     struct instant to)
{
	size_t n = 0;

	for (size_t i = 0; i < f->warmed.n; i++)
		n += f->warmed.v[i].at.us >= from.us && f->warmed.v[i].at.us < to.us &&
		     (!group || !strcmp(group, f->warmed.v[i].group));
	return n;
}

static struct instant before(struct instant t, int64_t minutes)
{
	return (struct instant){t.us - minutes * MINUTE};
}

/* Was all of the group loaded just before the bell, and nothing of it else since `since`? */
static void was_warm(const struct floor *f, const char *group, struct instant since,
                     struct instant bell)
{
	size_t n = warmed(f, group, before(bell, 5), bell), all = warmed(f, group, since, bell);

	OK(n == KEYS && all == KEYS, "%s at %.0f: %zu just before, %zu since the last", group,
	   instant_s(bell), n, all);
}

TEST(a_day_that_ends_early_is_warm_at_its_own_bell_and_at_no_other)
{
	/* Thanksgiving is closed, and the day after it ends at 13:00: 18:00 UTC */
	struct instant from = utc(2026, 11, 16, 0, 0), close[BELLS],
	               half = utc(2026, 11, 27, 18, 0);
	struct floor f = floor_new(NULL, NULL, NULL, from);
	size_t n = bells("ends XNYS", "XNYS", from, utc(2026, 12, 2, 0, 0), close);
	uint64_t wanted;

	OK(n == 11, "%zu", n);
	schedule(&f, "close", "/us/<id>", close, n);
	for (size_t i = 0; i < n; i++) {
		struct instant since = f.now;

		ring(&f, close[i], "us");
		until(&f, instant_add(close[i], SPAN_S(1800)));
		if (i >= 5)
			was_warm(&f, "us", since, close[i]);
		if (i < 5)
			continue;
		wanted = f.report.v[f.report.n - 1].wanted;
		OK(wanted == KEYS && f.report.v[f.report.n - 1].warm == KEYS, "%" PRIu64, wanted);
	}
	OK(f.report.n == n);
	OK(warmed(&f, NULL, utc(2026, 11, 26, 5, 0), utc(2026, 11, 27, 5, 0)) == 0, "the holiday");
	OK(warmed(&f, NULL, before(half, 5), half) == KEYS);
	OK(warmed(&f, NULL, half, utc(2026, 11, 28, 5, 0)) == 0, "not at 16:00 of the half day");
	floor_free(&f);
}

/* What a market's opens and closes make of the demand, with a trickle in between. */
static void market_day(struct floor *f, struct instant open, struct instant close)
{
	struct instant end = instant_add(close, SPAN_S(3600)), t = before(open, 150);

	for (int i = 0; t.us < end.us; i++) {
		bool busy = (t.us >= open.us && t.us < open.us + 60 * MINUTE) || t.us >= close.us;
		struct span gap = busy ? SPAN_S(1) : SPAN_S(200);
		struct instant next = instant_add(t, gap);

		ask(f, t, "us", i % KEYS);
		/* no bell is slept through */
		t = t.us < open.us && next.us > open.us     ? open
		    : t.us < close.us && next.us > close.us ? close
		                                            : next;
	}
}

static void note_close(void *arg, const struct learned_row *r)
{
	if (r->kind == ZONE_WEEKDAY && r->minute == 16 * 60)
		*(struct instant *)arg = r->next;
}

TEST(what_was_learned_of_closes_is_not_expected_on_a_half_day)
{
	struct instant from = utc(2026, 11, 2, 5, 0), open[BELLS], close[BELLS];
	struct zone *z = zone_of("XNYS");
	struct floor f;
	size_t n, before_half;

	f = floor_new(z, NULL, NULL, from);
	n = bells("starts XNYS", "XNYS", from, utc(2026, 12, 1, 5, 0), open);
	OK(n == bells("ends XNYS", "XNYS", from, utc(2026, 12, 1, 5, 0), close) && n == 20, "%zu",
	   n);
	for (size_t i = 0; i < n; i++) {
		struct instant next = INSTANT_NONE;

		market_day(&f, open[i], close[i]);
		if (close[i].us != utc(2026, 11, 27, 18, 0).us)
			continue;
		engine_learned_peaks(f.e, note_close, &next);
		OK(next.us == utc(2026, 11, 30, 21, 0).us, "the next is on Monday: %.0f",
		   instant_s(next));
	}
	until(&f, utc(2026, 12, 1, 5, 0));
	/* proven by then, and acted on at the close of the day before the holiday */
	before_half = warmed(&f, NULL, utc(2026, 11, 25, 20, 30), utc(2026, 11, 25, 21, 0));
	OK(before_half > 0, "%zu", before_half);
	OK(warmed(&f, NULL, utc(2026, 11, 26, 5, 0), utc(2026, 11, 27, 5, 0)) == 0, "the holiday");
	OK(warmed(&f, NULL, utc(2026, 11, 27, 14, 0), utc(2026, 11, 27, 14, 30)) > 0,
	   "its morning");
	OK(warmed(&f, NULL, utc(2026, 11, 27, 19, 0), utc(2026, 11, 28, 5, 0)) == 0,
	   "no bell rings at 16:00 of the half day: %zu",
	   warmed(&f, NULL, utc(2026, 11, 27, 19, 0), utc(2026, 11, 28, 5, 0)));
	OK(warmed(&f, NULL, utc(2026, 11, 30, 20, 30), utc(2026, 11, 30, 21, 0)) > 0,
	   "but on Monday");
	floor_free(&f);
	calendar_zone_free(&z);
}

/* Both markets, from the third Monday before clocks change to the fourth week. */
static void across(struct instant from, struct instant to, int changes)
{
	struct instant us[BELLS], uk[BELLS], last_us = from, last_uk = from;
	size_t n_us = bells("starts XNYS", "XNYS", from, to, us),
	       n_uk = bells("starts XLON", "XLON", from, to, uk), i = 0, k = 0;
	struct zone *ny = zone_of("XNYS"), *london = zone_of("XLON");
	struct floor f = floor_new(NULL, ny, london, from);
	int64_t gap = 0;
	int gaps = 0;

	schedule(&f, "us", "/us/<id>", us, n_us);
	schedule(&f, "uk", "/uk/<id>", uk, n_uk);
	while (i < n_us || k < n_uk) {
		bool is_us = k == n_uk || (i < n_us && us[i].us < uk[k].us);
		struct instant bell = is_us ? us[i] : uk[k];

		ring(&f, bell, is_us ? "us" : "uk");
		if (is_us ? i >= 5 : k >= 5)
			was_warm(&f, is_us ? "us" : "uk", is_us ? last_us : last_uk, bell);
		/* how far the bells of a day are apart: it changes with either side's clocks */
		if (is_us && k && us[i].us - uk[k - 1].us < DAY_S * INT64_C(1000000) / 2) {
			gaps += gap && gap != us[i].us - uk[k - 1].us;
			gap = us[i].us - uk[k - 1].us;
		}
		until(&f, instant_add(bell, SPAN_S(600)));
		*(is_us ? &last_us : &last_uk) = f.now;
		i += is_us;
		k += !is_us;
	}
	OK(gaps == changes, "the gap has changed %d times", gaps);
	OK(f.report.n == n_us + n_uk, "%zu", f.report.n);
	floor_free(&f);
	calendar_zone_free(&ny);
	calendar_zone_free(&london);
}

TEST(clocks_that_change_in_other_weeks_move_each_bell_by_itself)
{
	/* Europe on 25 October 2026, America on 1 November */
	across(utc(2026, 10, 12, 0, 0), utc(2026, 11, 7, 0, 0), 2);
	/* America on 14 March 2027, Europe on the 28th */
	across(utc(2027, 3, 1, 0, 0), utc(2027, 4, 10, 0, 0), 2);
}

TEST(tokyo_is_warm_in_the_morning_and_after_lunch)
{
	/* Monday 23 November 2026 is a holiday there */
	struct instant from = utc(2026, 11, 8, 15, 0), to = utc(2026, 11, 27, 15, 0), bell[BELLS];
	size_t n = bells("starts XTKS", "XTKS", from, to, bell);
	struct floor f = floor_new(NULL, NULL, NULL, from);

	OK(n == 28, "%zu", n);
	schedule(&f, "tokyo", "/jp/<id>", bell, n);
	for (size_t i = 0; i < n; i++) {
		struct instant since = f.now;

		OK((bell[i].us / 1000000 + 9 * 3600) % DAY_S ==
		           (i % 2 ? 12 * 3600 + 1800 : 9 * 3600),
		   "%zu", i);
		ring(&f, bell[i], "jp");
		until(&f, instant_add(bell[i], SPAN_S(600)));
		if (i >= 6)
			was_warm(&f, "jp", since, bell[i]);
	}
	OK(f.report.n == n);
	OK(warmed(&f, NULL, utc(2026, 11, 22, 15, 0), utc(2026, 11, 23, 15, 0)) == 0,
	   "the holiday");
	floor_free(&f);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(a_day_that_ends_early_is_warm_at_its_own_bell_and_at_no_other);
	RUN(what_was_learned_of_closes_is_not_expected_on_a_half_day);
	RUN(clocks_that_change_in_other_weeks_move_each_bell_by_itself);
	RUN(tokyo_is_warm_in_the_morning_and_after_lunch);
	return tap_done();
}
