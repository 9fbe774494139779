/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/week.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

#define DAY_S 86400

/* Days of a week, Monday first: 1970-01-01 was a Thursday. */
#define FIRST_WEEKDAY 3
#define WORKING_DAYS  5

/* Longer traces have seen every half hour about equally long. */
#define WALK_MAX_S (20.0 * 366 * DAY_S)
#define WALK_STEP  SPAN_S(900) /* offsets of zones are whole quarters of an hour */

struct local {
	int64_t day; /* since 1970-01-01 */
	int bin;     /* of the week */
};

static struct local local_of(const struct zone *z, struct instant t)
{
	double s = zone_local_s(z, t), day = floor(s / DAY_S);
	int64_t d = (int64_t)day;
	int weekday = (int)(((d + FIRST_WEEKDAY) % 7 + 7) % 7);

	return (struct local){d, weekday * WEEK_DAY + (int)((s - day * DAY_S) / WEEK_BIN_S)};
}

static void cover(struct week *w, const struct trace *t, const struct zone *z)
{
	struct instant at = t->at.v[0], last = t->at.v[t->at.n - 1];

	w->span_s = span_s(instant_diff(last, at));
	if (w->span_s > WALK_MAX_S) {
		for (int i = 0; i < WEEK_BINS; i++)
			w->covered_s[i] = w->span_s / WEEK_BINS;
		return;
	}
	while (instant_before(at, last)) {
		int64_t next_us = (at.us / WALK_STEP.us + 1) * WALK_STEP.us;
		struct instant next = instant_min((struct instant){next_us}, last);

		w->covered_s[local_of(z, at).bin] += span_s(instant_diff(next, at));
		at = next;
	}
}

void week_count(struct week *w, const struct trace *t, const struct zone *z,
                const uint32_t *endpoint, size_t n)
{
	/* of an endpoint, 1 + its row; and the row of all */
	size_t *row_of = mem_calloc((size_t)t->endpoints.n_ids + 1, sizeof(*row_of)), all = 0;

	*w = (struct week){.row = mem_calloc(n + 1, sizeof(*w->row)), .n_rows = n};
	for (size_t i = 0; i < n; i++) {
		w->row[i].endpoint = endpoint[i];
		if (endpoint[i] == WEEK_ALL)
			all = i + 1;
		else
			row_of[endpoint[i]] = i + 1;
	}
	cover(w, t, z);
	for (size_t i = 0; i < t->at.n; i++) {
		size_t row = row_of[t->endpoint.v[t->key.v[i]]];
		int bin = local_of(z, t->at.v[i]).bin;

		if (row) {
			w->row[row - 1].requests[bin]++;
			w->row[row - 1].total++;
		}
		if (all) {
			w->row[all - 1].requests[bin]++;
			w->row[all - 1].total++;
		}
	}
	free(row_of);
}

void week_release(struct week *w)
{
	free(w->row);
	*w = (struct week){0};
}

double week_rate(const struct week *w, const struct week_row *r, int bin)
{
	/* a half hour that was seen for a minute says nothing */
	return w->covered_s[bin] >= WEEK_BIN_S / 6.0 ? r->requests[bin] / w->covered_s[bin] : NAN;
}

struct instant week_last(const struct trace *t, const struct zone *z, int bin)
{
	size_t end = t->at.n, begin;

	while (end > 0 && local_of(z, t->at.v[end - 1]).bin != bin)
		end--;
	if (end == 0)
		return t->at.v[t->at.n - 1];
	begin = end - 1;
	while (begin > 0 && local_of(z, t->at.v[begin - 1]).bin == bin &&
	       instant_diff(t->at.v[end - 1], t->at.v[begin - 1]).us <= SPAN_S(WEEK_BIN_S).us)
		begin--;
	return t->at.v[begin + (end - begin) / 2];
}

const char *week_days_name(enum week_days d)
{
	static const char *const name[] = {"daily", "weekdays", "weekends"};

	return name[d];
}

static bool is_among(enum week_days d, int bin)
{
	bool working = bin < WORKING_DAYS * WEEK_DAY;

	return d == WEEK_DAILY || working == (d == WEEK_WEEKDAYS);
}

/* Requests per second over the bins of those days; of one half hour of them when bin >= 0. */
static double rate_on(const struct week *w, const struct week_row *r, enum week_days d, int bin)
{
	double requests = 0, covered_s = 0;

	for (int i = 0; i < WEEK_BINS; i++) {
		if (!is_among(d, i) || (bin >= 0 && i % WEEK_DAY != bin))
			continue;
		requests += r->requests[i];
		covered_s += w->covered_s[i];
	}
	return covered_s >= WEEK_BIN_S / 6.0 ? requests / covered_s : NAN;
}

/*
 * Days of one kind that have twice as much as the others have a schedule of their own, and so have
 * those that alone were seen.
 */
static enum week_days busy_days(const struct week *w, const struct week_row *r)
{
	double working = rate_on(w, r, WEEK_WEEKDAYS, -1),
	       free_days = rate_on(w, r, WEEK_WEEKENDS, -1);

	if (working > 2 * free_days || isnan(free_days))
		return WEEK_WEEKDAYS;
	if (free_days > 2 * working || isnan(working))
		return WEEK_WEEKENDS;
	return WEEK_DAILY;
}

/* Counts the half hours of the peak that have requests, and the keys that are asked for in them. */
static void count_keys(struct week_peak *p, uint32_t endpoint, const struct trace *t,
                       const struct zone *z)
{
	/* per key, 2 + the last such day on which it was asked for; 0: none */
	int64_t *day = mem_calloc(t->keys.n_ids, sizeof(*day)), last = INT64_MIN;
	double keys = 0;

	for (size_t i = 0; i < t->at.n; i++) {
		uint32_t k = t->key.v[i];
		struct local l;

		if (endpoint != WEEK_ALL && t->endpoint.v[k] != endpoint)
			continue;
		l = local_of(z, t->at.v[i]);
		if (l.bin % WEEK_DAY != p->day_bin || !is_among(p->days, l.bin))
			continue;
		p->seen += l.day != last;
		last = l.day;
		keys += day[k] != l.day + 2;
		day[k] = l.day + 2;
	}
	p->keys = p->seen ? keys / p->seen : NAN;
	free(day);
}

struct week_peak week_peak(const struct week *w, size_t i, const struct trace *t,
                           const struct zone *z)
{
	const struct week_row *r = &w->row[i];
	struct week_peak p = {.mean_per_s = w->span_s > 0 ? r->total / w->span_s : NAN};

	p.per_s = p.day_per_s = NAN;
	for (int bin = 0; bin < WEEK_BINS; bin++) {
		double rate = week_rate(w, r, bin);

		if (rate > p.per_s || (isnan(p.per_s) && !isnan(rate))) {
			p.per_s = rate;
			p.bin = bin;
		}
	}
	p.days = busy_days(w, r);
	for (int bin = 0; bin < WEEK_DAY; bin++) {
		double rate = rate_on(w, r, p.days, bin);

		if (rate > p.day_per_s || (isnan(p.day_per_s) && !isnan(rate))) {
			p.day_per_s = rate;
			p.day_bin = bin;
		}
	}
	count_keys(&p, r->endpoint, t, z);
	return p;
}
