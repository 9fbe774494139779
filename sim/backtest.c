/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/backtest.h"

#include "engine/engine.h"
#include "models/interval.h"
#include "sim/source.h"
#include "sim/trace.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define DAY       SPAN_S(86400)
#define EWMA_GAIN 0.3

static const struct span FIT_TAKES = {1000000};

/*
 * So finely a step is looked at: its count comes in equal parts, and its forecast is their sum. Parts
 * are not longer than what the engine counts by, so that none of that stays empty in between.
 */
#define MIN_PARTS 6
#define PART_S    300

static int parts_of(struct span step)
{
	return (int)fmax(MIN_PARTS, ceil(span_s(step) / PART_S));
}

/* -- The series ------------------------------------------------------------------------------- */

static int read_row(struct series *s, const struct source *src, struct bytes line,
                    struct fault *reterr)
{
	const char *tab = memchr(line.p, '\t', line.n);
	size_t n = tab ? (size_t)(tab - (const char *)line.p) : 0;
	struct instant at;
	int64_t count_e6;

	if (!tab)
		return source_fault(src, -EINVAL, reterr, "row",
		                    "must have 2 fields (time_s count)");
	if (!trace_decimal(line.p, n, 6, TRACE_LAST_US, &at.us))
		return source_fault(src, -EINVAL, reterr, "time_s",
		                    "must be a decimal number from 0 to 253402300799 s");
	if (!trace_decimal(tab + 1, line.n - n - 1, 6, (int64_t)(SERIES_MAX_COUNT * 1e6),
	                   &count_e6))
		return source_fault(src, -EINVAL, reterr, "count",
		                    "must be a number from 0 to %.0f", SERIES_MAX_COUNT);
	if (s->at.n && at.us <= s->at.v[s->at.n - 1].us)
		return source_fault(src, -EINVAL, reterr, "time_s", "is not after the row above");
	if (s->at.n == 1)
		s->step = instant_diff(at, s->at.v[0]);
	if (s->at.n > 1 && instant_diff(at, s->at.v[s->at.n - 1]).us < s->step.us)
		return source_fault(
		        src, -EINVAL, reterr, "time_s",
		        "comes sooner after the row above than the second row after the first");
	if (s->at.n == SERIES_MAX_ROWS)
		return source_fault(src, -E2BIG, reterr, "file", "more than %u rows",
		                    SERIES_MAX_ROWS);
	*vec_push(&s->at) = at;
	*vec_push(&s->count) = (double)count_e6 * 1e-6;
	return 0;
}

int series_read(struct series *s, const char *path, struct fault *reterr)
{
	struct source *src = source_open(path, reterr);
	struct bytes line;
	int r;

	*s = (struct series){0};
	if (!src)
		return -EIO;
	r = source_line(src, &line, reterr);
	if (r == 0 || (r > 0 && !bytes_equal(line, bytes_str("time_s\tcount"))))
		r = source_fault(src, -EINVAL, reterr, "header",
		                 "is not `time_s count` (a tab between)");
	while (r >= 0 && (r = source_line(src, &line, reterr)) > 0)
		r = read_row(s, src, line, reterr);
	if (r == 0 && s->at.n < 2)
		r = source_fault(src, -ENODATA, reterr, "file", "holds fewer than two rows");
	source_close(&src);
	return r;
}

void series_release(struct series *s)
{
	vec_free(&s->at);
	vec_free(&s->count);
}

double series_count(const struct series *s, struct instant at)
{
	size_t lo = 0, hi = s->at.n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->at.v[mid].us < at.us)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->at.n && s->at.v[lo].us == at.us ? s->count.v[lo] : NAN;
}

/* -- The engine, fed with it ------------------------------------------------------------------ */

struct fit {
	uint64_t id;
	struct instant ends;
	int status;
	struct harmonic model;
};

struct run {
	struct engine *engine;
	struct effects fx;
	VEC(struct fit) fit; /* under way, in order of their start */
};

static const struct bytes SERIES_NAME = {"series", 6};

static void take_fits(struct run *r, struct instant now)
{
	for (size_t i = 0; i < r->fx.list.n; i++) {
		const struct effect *x = &r->fx.list.v[i];
		struct harmonic_data *data;
		struct fit *f;

		if (x->kind != EFFECT_FIT)
			continue;
		data = x->fit.data;
		f = vec_push(&r->fit);
		*f = (struct fit){.id = x->fit.fit, .ends = instant_add(now, FIT_TAKES)};
		f->status = harmonic_fit(data, &f->model);
		harmonic_data_free(&data);
	}
	effects_clear(&r->fx);
}

/* Lets timers and ends of fits happen up to `until`. */
static void advance(struct run *r, struct instant until)
{
	for (;;) {
		struct instant timer = engine_next(r->engine);

		if (r->fit.n && r->fit.v[0].ends.us <= until.us &&
		    r->fit.v[0].ends.us <= timer.us) {
			struct input in = {.kind = INPUT_FITTED};

			in.fitted.fit = r->fit.v[0].id;
			in.fitted.status = r->fit.v[0].status;
			in.fitted.model = r->fit.v[0].model;
			engine_input(r->engine, r->fit.v[0].ends, &in, &r->fx);
			memmove(r->fit.v, r->fit.v + 1, --r->fit.n * sizeof(*r->fit.v));
			take_fits(r, r->fit.v[0].ends);
		} else if (timer.us <= until.us) {
			engine_tick(r->engine, timer, 0, &r->fx);
			take_fits(r, timer);
		} else {
			return;
		}
	}
}

/* Where a part of a step begins: the engine's five minutes begin with the first of all. */
static struct instant part_start(struct instant start, struct span step, int part, int parts)
{
	return (struct instant){start.us + step.us / parts * part};
}

static void feed_step(struct run *r, struct instant start, struct span step, double count)
{
	uint64_t n = (uint64_t)round(count), parts = (uint64_t)parts_of(step);

	for (uint64_t i = 0; i < parts; i++) {
		struct instant at = part_start(start, step, (int)i, (int)parts);
		struct input in = {
		        .kind = INPUT_EVENT, .endpoint = SERIES_NAME, .key = SERIES_NAME};

		in.event.outcome = OUTCOME_HIT;
		in.event.at = INSTANT_NONE;
		/* rounded up: the first of all comes when the series begins */
		in.event.count =
		        (uint32_t)(((i + 1) * n + parts - 1) / parts - (i * n + parts - 1) / parts);
		advance(r, at);
		if (in.event.count == 0) /* would count as one */
			continue;
		engine_input(r->engine, at, &in, &r->fx);
		take_fits(r, at);
	}
}

static struct forecast forecast_step(struct run *r, struct instant now, struct instant issued,
                                     struct instant target, struct span step)
{
	struct forecast f = {.issued = issued, .target = target};
	int parts = parts_of(step);
	double part_s = span_s(step) / parts;

	for (int i = 0; i < parts; i++) {
		struct instant at = part_start(target, step, i, parts);
		struct forecast_row row[2];

		if (!engine_forecast(r->engine, now, SERIES_NAME, instant_diff(at, now), 2, row))
			return f; /* nothing but zeros so far */
		f.median += row[1].median * part_s;
		f.lo80 += row[1].lo80 * part_s;
		f.hi80 += row[1].hi80 * part_s;
	}
	return f;
}

/*
 * The engine's intervals are of counts of five minutes; those of other steps are found in the same
 * way, by what fell outside.
 */
struct widener {
	struct interval interval;
	size_t next; /* the first forecast whose count has not come */
};

static void widen(struct widener *w, const struct series *s, struct forecast *f, size_t now)
{
	struct instant known = s->at.v[now];

	for (; w->next < now && f[w->next].target.us <= known.us; w->next++) {
		const struct forecast *x = &f[w->next];
		double count = series_count(s, x->target);

		if (!isnan(count))
			interval_learn(&w->interval, x->median, x->lo80, x->hi80, count,
			               INTERVAL_GAIN);
	}
	interval_at(&w->interval, f[now].median, &f[now].lo80, &f[now].hi80);
}

int backtest_run(const struct series *s, const struct backtest *b, struct forecast *ret)
{
	struct engine_config c = {
	        .limits = engine_limits_default(),
	        .policy = policy_default(),
	        .origin = ORIGIN_NONE,
	        .zone = b->zone,
	};
	struct run r = {.engine = engine_new(&c, NULL, s->at.v[0])};
	struct widener w = {.next = 0};
	size_t i;

	interval_init(&w.interval);
	for (i = 0; i < s->at.n && !(b->interrupted && b->interrupted()); i++) {
		struct instant start = s->at.v[i];
		struct instant end = instant_add(start, s->step);

		feed_step(&r, start, s->step, s->count.v[i]);
		advance(&r, end);
		engine_settle(r.engine, end);
		ret[i] = forecast_step(&r, end, start, instant_add(start, b->horizon), s->step);
		if (s->step.us != SPAN_S(PART_S).us)
			widen(&w, s, ret, i);
	}
	engine_free(&r.engine);
	effects_release(&r.fx);
	vec_free(&r.fit);
	return i < s->at.n ? -EINTR : 0;
}

/* Absolute errors of one of the ways to forecast that need no model. */
struct simple {
	double sum, n;
};

static void add_simple(struct simple *x, double said, double truth)
{
	if (!isnan(said)) {
		x->sum += fabs(said - truth);
		x->n++;
	}
}

struct backtest_score backtest_score(const struct series *s, struct span horizon,
                                     const struct forecast *f)
{
	struct backtest_score r = {0};
	struct simple week = {0}, last = {0}, mean = {0};
	double ewma = 0;
	uint64_t inside = 0;

	for (size_t i = 0; i < s->at.n / 2; i++)
		ewma = i ? ewma + EWMA_GAIN * (s->count.v[i] - ewma) : s->count.v[i];
	for (size_t i = s->at.n / 2; i < s->at.n; i++) {
		double truth = series_count(s, instant_add(s->at.v[i], horizon));
		double yesterday =
		        series_count(s, instant_add(s->at.v[i], SPAN_US(horizon.us - DAY.us)));

		ewma = i ? ewma + EWMA_GAIN * (s->count.v[i] - ewma) : s->count.v[i];
		if (isnan(truth) || isnan(yesterday))
			continue;
		add_simple(
		        &week,
		        series_count(s, instant_add(s->at.v[i], SPAN_US(horizon.us - 7 * DAY.us))),
		        truth);
		add_simple(&last, s->count.v[i], truth);
		add_simple(&mean, ewma, truth);
		r.targets++;
		r.mae += fabs(f[i].median - truth);
		r.mae_yesterday += fabs(yesterday - truth);
		inside += f[i].lo80 <= truth && truth <= f[i].hi80;
	}
	r.mase = r.mae / r.mae_yesterday;
	r.mae /= (double)r.targets;
	r.mae_yesterday /= (double)r.targets;
	r.inside_80 = (double)inside / (double)r.targets;
	r.mae_last_week = week.n > 0 ? week.sum / week.n : NAN;
	r.mae_last_value = last.n > 0 ? last.sum / last.n : NAN;
	r.mae_ewma = mean.n > 0 ? mean.sum / mean.n : NAN;
	return r;
}
