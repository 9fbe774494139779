/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "examples/market/traffic.h"

#include "examples/market/when.h"

#include <math.h>

/* Requests per second from a minute of the day on. */
struct rate {
	int minute;
	double per_s;
};

static const struct rate weekday[] = {
        {0, 0.05},           {6 * 60, 0.3},     {8 * 60, 1},       {9 * 60, 2},
        {9 * 60 + 30, 40},   {9 * 60 + 35, 25}, {9 * 60 + 45, 14}, {10 * 60 + 15, 4},
        {11 * 60 + 30, 1.5}, {14 * 60, 2},      {15 * 60 + 30, 6}, {16 * 60 + 5, 1},
        {18 * 60, 0.4},      {22 * 60, 0.1},    {24 * 60, 0},
};

static const struct rate weekend[] = {
        {0, 0.03},
        {9 * 60, 0.2},
        {22 * 60, 0.05},
        {24 * 60, 0},
};

static const double share[TRUTH_KINDS] = {0.42, 0.25, 0.18, 0.15};

static void start_day(struct traffic *f, int32_t day)
{
	f->day = day;
	f->at = when_day_start(day);
	rng_init(&f->g, f->seed ^ UINT64_C(0x9e3779b97f4a7c15) * (uint64_t)(uint32_t)day);
}

void traffic_init(struct traffic *f, uint64_t seed, struct instant from, struct instant until)
{
	f->seed = seed ^ UINT64_C(0x5851f42d4c957f2d);
	f->from = from;
	f->until = until;
	for (int kind = 0; kind < TRUTH_KINDS; kind++) {
		size_t first = truth_first(kind), n = truth_count(kind);
		double sum = 0;

		for (size_t i = 0; i < n; i++)
			f->upto[first + i] = sum += pow((double)i + 1, -0.9);
		for (size_t i = 0; i < n; i++)
			f->upto[first + i] /= sum;
	}
	start_day(f, when_day(from));
}

static size_t draw_key(struct traffic *f)
{
	double u = rng_uniform(&f->g);
	int kind = 0;
	size_t lo, hi;

	while (kind < TRUTH_KINDS - 1 && u >= share[kind])
		u -= share[kind++];
	u = rng_uniform(&f->g);
	lo = truth_first(kind);
	hi = lo + truth_count(kind) - 1;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (u < f->upto[mid])
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

bool traffic_next(struct traffic *f, struct instant *ret_at, size_t *ret_key)
{
	for (;;) {
		const struct rate *r = when_weekday(f->day) < 5 ? weekday : weekend;
		struct instant start = when_day_start(f->day);
		struct instant until = when_day_start(f->day + 1);

		/* a draw that runs past the end of its rate begins again there, at the next rate */
		while (f->at.us < until.us) {
			int64_t local_us = f->at.us - start.us;
			int i = 0;
			struct instant end;

			while (r[i + 1].per_s > 0 &&
			       local_us >= r[i + 1].minute * INT64_C(60000000))
				i++;
			end.us = r[i + 1].per_s > 0 ? start.us + r[i + 1].minute * INT64_C(60000000)
			                            : until.us;
			f->at = instant_add(f->at, span_from_s(rng_exponential(&f->g, r[i].per_s)));
			if (f->at.us >= end.us) {
				f->at = end;
				continue;
			}
			if (f->at.us >= f->until.us)
				return false;
			*ret_key = draw_key(f);
			*ret_at = f->at;
			if (f->at.us >= f->from.us)
				return true;
		}
		if (until.us >= f->until.us)
			return false;
		start_day(f, f->day + 1);
	}
}
