/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "examples/market/truth.h"

#include "base/mem.h"
#include "base/rng.h"
#include "examples/market/when.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MINUTE_S   60
#define OPEN_S     ((9 * 60 + 30) * MINUTE_S)
#define CLOSE_S    (16 * 60 * MINUTE_S)
#define DAYS_BACK  90   /* a key that has not changed for so long shows the start of that time */
#define DAYS_KEPT  4096 /* days a truth can remember, counted from the first it was asked about */
#define MIN_GAP_US 1000

/* One day of one key: microseconds since local midnight, ascending. */
struct day {
	uint64_t *at;
	uint32_t n;
	bool drawn;
};

struct truth {
	uint64_t seed;
	int32_t first_day;           /* what days[0] is; INT32_MIN before the first question */
	struct day *day[TRUTH_KEYS]; /* DAYS_KEPT each, made when first needed */
	char name[TRUTH_KEYS][24];
	double mean_s[TRUTH_KEYS]; /* mean time between changes in the middle of its time of day */
};

/* How much more or less often than usual quotes change, from a minute of a trading day on. */
static const struct {
	int minute;
	double factor;
} quote_day[] = {
        {0, 0},
        {4 * 60, 0.002},
        {8 * 60, 0.01},
        {9 * 60 + 30, 3},
        {9 * 60 + 35, 1.8},
        {10 * 60, 1.1},
        {11 * 60 + 30, 0.7},
        {14 * 60, 1},
        {15 * 60 + 30, 1.8},
        {16 * 60, 0.01},
        {18 * 60, 0.003},
        {20 * 60, 0},
        {24 * 60, 0},
};

static uint64_t mix(uint64_t seed, uint64_t a, uint64_t b)
{
	uint64_t x = seed ^ a * UINT64_C(0x9e3779b97f4a7c15) ^ b * UINT64_C(0xd6e8feb86659fd93);

	x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
	return x ^ x >> 32;
}

size_t truth_first(enum truth_kind kind)
{
	return (size_t)kind * TRUTH_SYMBOLS;
}

size_t truth_count(enum truth_kind kind)
{
	return kind == TRUTH_NEWS ? TRUTH_TOPICS : TRUTH_SYMBOLS;
}

enum truth_kind truth_kind_of(size_t key)
{
	return key / TRUTH_SYMBOLS < TRUTH_NEWS ? (enum truth_kind)(key / TRUTH_SYMBOLS)
	                                        : TRUTH_NEWS;
}

const char *truth_endpoint(enum truth_kind kind)
{
	static const char *const name[TRUTH_KINDS] = {
	        [TRUTH_QUOTE] = "/quotes/<symbol>",
	        [TRUTH_CHART] = "/charts/<symbol>",
	        [TRUTH_PROFILE] = "/profiles/<symbol>",
	        [TRUTH_NEWS] = "/news/<topic>",
	};

	return name[kind];
}

const char *truth_name(const struct truth *t, size_t key)
{
	return t->name[key];
}

size_t truth_find(const struct truth *t, const char *name)
{
	for (size_t i = 0; i < TRUTH_KEYS; i++)
		if (strcmp(t->name[i], name) == 0)
			return i;
	return TRUTH_NONE;
}

/* The same letters for the same rank, whatever the seed, and no two alike: a walk through 26^4. */
static void symbol_of(size_t rank, char buf[5])
{
	size_t x = (rank * 96553 + 127) % 456976; /* 96553 shares no divisor with 26^4 */

	for (int i = 3; i >= 0; i--, x /= 26)
		buf[i] = (char)('A' + x % 26);
	buf[4] = '\0';
}

struct truth *truth_new(uint64_t seed)
{
	struct truth *t = mem_calloc(1, sizeof(*t));
	struct rng g;
	char symbol[5];

	t->seed = seed;
	t->first_day = INT32_MIN;
	rng_init(&g, mix(seed, 1, 1));
	for (size_t rank = 0; rank < TRUTH_SYMBOLS; rank++) {
		size_t quote = truth_first(TRUTH_QUOTE) + rank,
		       chart = truth_first(TRUTH_CHART) + rank,
		       profile = truth_first(TRUTH_PROFILE) + rank;

		symbol_of(rank, symbol);
		snprintf(t->name[quote], sizeof(t->name[quote]), "/quotes/%s", symbol);
		snprintf(t->name[chart], sizeof(t->name[chart]), "/charts/%s", symbol);
		snprintf(t->name[profile], sizeof(t->name[profile]), "/profiles/%s", symbol);
		/* what is asked for most is traded most, but not strictly */
		t->mean_s[quote] = 4 * sqrt(1 + (double)rank) * exp(0.5 * rng_normal(&g));
		t->mean_s[chart] = MINUTE_S;
		t->mean_s[profile] = (2 + 6 * rng_uniform(&g)) * 86400;
	}
	for (size_t i = 0; i < TRUTH_TOPICS; i++)
		snprintf(t->name[truth_first(TRUTH_NEWS) + i], sizeof(t->name[0]), "/news/topic%zu",
		         i + 1);
	return t;
}

void truth_free(struct truth **tp)
{
	struct truth *t = *tp;

	if (t == NULL)
		return;
	for (size_t k = 0; k < TRUTH_KEYS; k++) {
		for (size_t d = 0; t->day[k] != NULL && d < DAYS_KEPT; d++)
			free(t->day[k][d].at);
		free(t->day[k]);
	}
	free(t);
	*tp = NULL;
}

/* -- Drawing one day -------------------------------------------------------------------------- */

static void add(struct day *d, double local_s, uint32_t *cap)
{
	if (d->n == *cap) {
		*cap = *cap > 0 ? 2 * *cap : 8;
		d->at = mem_realloc(d->at, *cap, sizeof(*d->at));
	}
	d->at[d->n++] = (uint64_t)(local_s * 1e6);
}

static void draw_quote(struct day *d, struct rng *g, double mean_s, uint32_t *cap)
{
	for (size_t i = 0; i + 1 < sizeof(quote_day) / sizeof(quote_day[0]); i++) {
		double from = quote_day[i].minute * MINUTE_S,
		       until = quote_day[i + 1].minute * MINUTE_S;
		double rate = quote_day[i].factor / mean_s;

		if (rate <= 0)
			continue;
		for (double at = from + rng_exponential(g, rate); at < until;
		     at += rng_exponential(g, rate))
			add(d, at, cap);
	}
}

static void draw_chart(struct day *d, struct rng *g, uint32_t *cap)
{
	for (int s = OPEN_S + MINUTE_S; s <= CLOSE_S; s += MINUTE_S)
		add(d, s + 0.5 + 3.5 * rng_uniform(g), cap);
}

static void draw_profile(struct day *d, struct rng *g, double mean_s, uint32_t *cap)
{
	double share = 1 - exp(-86400 * 7 / 5.0 / mean_s); /* all of a week falls on five days */

	if (rng_uniform(g) < share)
		add(d, (6 + 14 * rng_uniform(g)) * 3600, cap);
}

static void draw_news(struct day *d, struct rng *g, bool weekday, uint32_t *cap)
{
	double bursts = weekday ? 4 : 1;

	for (double left = rng_exponential(g, 1); left < bursts; left += rng_exponential(g, 1)) {
		bool morning = rng_uniform(g) < 0.4;
		double at = 3600 * (morning ? 7.5 + 3 * rng_uniform(g) : 6 + 15 * rng_uniform(g));

		for (uint64_t i = 3 + rng_below(g, 8); i > 0 && at < 86399; i--) {
			add(d, at, cap);
			at += rng_exponential(g, 1 / 120.0);
		}
	}
}

static int by_time(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void draw(const struct truth *t, size_t key, int32_t day, struct day *d)
{
	bool weekday = when_weekday(day) < 5;
	uint32_t cap = 0, n = 0;
	uint64_t end = (uint64_t)(when_day_start(day + 1).us - when_day_start(day).us);
	struct rng g;

	rng_init(&g, mix(t->seed, key + 2, (uint64_t)(int64_t)day));
	switch (truth_kind_of(key)) {
	case TRUTH_QUOTE:
		if (weekday)
			draw_quote(d, &g, t->mean_s[key], &cap);
		break;
	case TRUTH_CHART:
		if (weekday)
			draw_chart(d, &g, &cap);
		break;
	case TRUTH_PROFILE:
		if (weekday)
			draw_profile(d, &g, t->mean_s[key], &cap);
		break;
	default:
		draw_news(d, &g, weekday, &cap);
	}
	if (d->n > 1)
		qsort(d->at, d->n, sizeof(*d->at), by_time);
	for (uint32_t i = 0; i < d->n; i++)
		if (d->at[i] < end && (n == 0 || d->at[i] - d->at[n - 1] >= MIN_GAP_US))
			d->at[n++] = d->at[i];
	d->n = n;
	d->drawn = true;
}

/*
 * The changes of one local day, counted from when_day_start(); NULL when the day is out of reach.
 */
static const struct day *day_of(struct truth *t, size_t key, int32_t day)
{
	struct day *d;

	if (t->first_day == INT32_MIN)
		t->first_day = day - 2 * DAYS_BACK;
	if (day < t->first_day || day - t->first_day >= DAYS_KEPT)
		return NULL;
	if (t->day[key] == NULL)
		t->day[key] = mem_calloc(DAYS_KEPT, sizeof(*t->day[key]));
	d = &t->day[key][day - t->first_day];
	if (!d->drawn)
		draw(t, key, day, d);
	return d;
}

/* -- Questions -------------------------------------------------------------------------------- */

int64_t truth_version(struct truth *t, size_t key, struct instant at)
{
	int32_t today = when_day(at);

	for (int32_t day = today; day > today - DAYS_BACK; day--) {
		const struct day *d = day_of(t, key, day);
		int64_t start = when_day_start(day).us;
		uint32_t lo = 0, hi;

		if (d == NULL)
			break;
		hi = d->n;
		while (lo < hi) { /* the first change after `at` */
			uint32_t mid = lo + (hi - lo) / 2;

			if (start + (int64_t)d->at[mid] <= at.us)
				lo = mid + 1;
			else
				hi = mid;
		}
		if (lo > 0)
			return start + (int64_t)d->at[lo - 1];
	}
	return 0;
}

struct instant truth_next_change(struct truth *t, size_t key, struct instant after, int days)
{
	int32_t today = when_day(after);

	for (int32_t day = today; day <= today + days; day++) {
		const struct day *d = day_of(t, key, day);
		int64_t start = when_day_start(day).us;
		uint32_t lo = 0, hi;

		if (d == NULL)
			break;
		hi = d->n;
		while (lo < hi) {
			uint32_t mid = lo + (hi - lo) / 2;

			if (start + (int64_t)d->at[mid] <= after.us)
				lo = mid + 1;
			else
				hi = mid;
		}
		if (lo < d->n)
			return (struct instant){start + (int64_t)d->at[lo]};
	}
	return INSTANT_NEVER;
}

void truth_prepare(struct truth *t, struct instant from, struct instant until)
{
	int32_t first = when_day(from), last = when_day(until);

	for (size_t k = 0; k < TRUTH_KEYS; k++) {
		for (int32_t day = first; day <= last; day++)
			day_of(t, k, day);
		/* and the days before that it looks back to */
		truth_version(t, k, when_day_start(first));
	}
}

struct span truth_load_time(const struct truth *t, size_t key, struct instant at)
{
	static const double mean_ms[TRUTH_KINDS] = {140, 380, 260, 190};
	double spread = (double)(mix(t->seed, key + 3, (uint64_t)at.us) >> 11) * 0x1p-53;

	return span_from_s(mean_ms[truth_kind_of(key)] * (0.86 + 0.32 * spread) / 1000);
}

size_t truth_body(const struct truth *t, size_t key, int64_t version, char *buf, size_t size)
{
	static const size_t want[TRUTH_KINDS] = {180, 9000, 2400, 5200};
	enum truth_kind kind = truth_kind_of(key);
	struct rng g;
	char when[32];
	int n;

	rng_init(&g, mix(t->seed, key + 4, (uint64_t)version));
	when_text((struct instant){version}, when);
	n = snprintf(buf, size,
	             "{\"key\":\"%s\",\"version\":%" PRId64 ",\"as_of\":\"%s\",\"data\":[",
	             t->name[key], version, when);
	while ((size_t)n < want[kind] && (size_t)n + 40 < size)
		n += snprintf(buf + n, size - (size_t)n, "%.2f,", 20 + 300 * rng_uniform(&g));
	n += snprintf(buf + n, size - (size_t)n, "%.2f]}\n", 20 + 300 * rng_uniform(&g));
	return (size_t)n;
}

int64_t truth_body_version(const void *body, size_t n)
{
	static const char mark[] = "\"version\":";
	const char *p = body, *end = p + (n < 128 ? n : 128);
	int64_t v = 0;

	for (; p + sizeof(mark) < end; p++) {
		if (memcmp(p, mark, sizeof(mark) - 1) != 0)
			continue;
		for (p += sizeof(mark) - 1; p < end && *p >= '0' && *p <= '9'; p++) {
			if (v > INT64_MAX / 10 - 1)
				return -1;
			v = 10 * v + (*p - '0');
		}
		return v;
	}
	return -1;
}
