/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * /livez and /readyz. Warmth is worked out by looking at every key (engine/survey.h), which many
 * probes must not repeat: who asks while a survey is under way waits for its result, and one that
 * is younger than a second stands.
 */
#include "daemon/web_answer.h"

#include "base/mem.h"
#include "engine/survey.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Endpoints that are named as lacking most. */
#define MISSING_ROWS 10

/* A result stands for so long, of real time. */
#define STANDS_US 1000000

struct web_warmth {
	struct survey_warmth survey;
	char *schedule; /* NULL: of all keys */
	bool running;
	unsigned users; /* answers that hold it, and the list */
	int64_t done_us;
	struct web_warmth *next;
};

static void drop(struct web_warmth *w)
{
	if (--w->users)
		return;
	survey_warmth_release(&w->survey);
	free(w->schedule);
	free(w);
}

void web_warmth_forget(struct web_warmth **list)
{
	while (*list) {
		struct web_warmth *w = *list;

		*list = w->next;
		drop(w);
	}
}

/* -- Liveness ---------------------------------------------------------------------------------- */

static const char *state(const struct web_answer *a)
{
	return a->d->draining ? "draining" : "ready";
}

static double uptime_s(const struct daemon *d)
{
	return span_s(instant_diff(clock_now(&d->clock), d->started));
}

void web_livez_start(struct web_answer *a)
{
	web_printf(&a->text, "{\"status\":\"alive\",\"uptime_s\":%.3f}\n", uptime_s(a->d));
}

/* -- Readiness --------------------------------------------------------------------------------- */

struct ready {
	struct web_warmth *warmth;
	double wanted;
};

static void ready_release(void *state)
{
	struct ready *r = state;

	drop(r->warmth);
	free(r);
}

static void put_number(struct web_text *t, const char *name, double v)
{
	if (isfinite(v))
		web_printf(t, ",\"%s\":%.6g", name, v);
	else
		web_printf(t, ",\"%s\":null", name);
}

static void put_missing(struct web_answer *a, const struct survey_warmth *s)
{
	size_t shown = 0, row[MISSING_ROWS];

	/* insertion into a short list, most lacking first */
	for (size_t i = 0; i < s->place.n; i++) {
		double lack = s->place.v[i].can - s->place.v[i].now;
		size_t k = shown;

		if (!(lack > 0))
			continue;
		while (k && lack > s->place.v[row[k - 1]].can - s->place.v[row[k - 1]].now)
			k--;
		if (k == MISSING_ROWS)
			continue;
		shown += shown < MISSING_ROWS;
		memmove(row + k + 1, row + k, (shown - k - 1) * sizeof(*row));
		row[k] = i;
	}
	web_puts(&a->text, ",\"missing\":[");
	for (size_t i = 0; i < shown; i++) {
		const struct survey_warmth_place *p = &s->place.v[row[i]];

		web_puts(&a->text, i ? ",{\"endpoint\":" : "{\"endpoint\":");
		web_put_quoted(&a->text, survey_place_name(a->d->engine, (uint32_t)row[i]));
		web_printf(&a->text, ",\"keys\":%" PRIu64 ",\"cold_keys\":%" PRIu64, p->keys,
		           p->keys - p->warm);
		put_number(&a->text, "warm", survey_warmth_share(p));
		put_number(&a->text, "missing_hits_per_s", p->can - p->now);
		web_puts(&a->text, "}");
	}
	web_puts(&a->text, "]");
}

static void put_warmth(struct web_answer *a, const struct ready *r)
{
	const struct survey_warmth *s = &r->warmth->survey;
	double share = survey_warmth_share(&s->all);
	/* nothing that could be warm is known: there is nothing to wait for */
	bool warm = isnan(share) || share >= r->wanted;

	a->status = warm && !a->d->draining ? 200 : 503;
	web_printf(&a->text, "{\"status\":\"%s\"",
	           a->d->draining ? "draining"
	           : warm         ? "ready"
	                          : "warming");
	put_number(&a->text, "warm", share);
	put_number(&a->text, "wanted", r->wanted);
	web_printf(&a->text, ",\"keys\":%" PRIu64 ",\"warm_keys\":%" PRIu64, s->all.keys,
	           s->all.warm);
	put_number(&a->text, "hits_per_s", s->all.now);
	put_number(&a->text, "hits_per_s_when_warm", s->all.can);
	if (r->warmth->schedule) {
		web_puts(&a->text, ",\"schedule\":");
		web_put_quoted(&a->text, bytes_str(r->warmth->schedule));
		web_printf(&a->text, ",\"at_s\":%.3f",
		           instant_s(instant_add(s->peak, a->d->clock.offset)));
	}
	web_printf(&a->text, ",\"uptime_s\":%.3f", uptime_s(a->d));
	put_missing(a, s);
	web_puts(&a->text, "}\n");
}

static bool ready_step(struct web_answer *a)
{
	struct ready *r = a->state;
	struct web_warmth *w = r->warmth;

	if (w->running) {
		w->running = survey_warmth_step(&w->survey, a->d->engine, clock_now(&a->d->clock),
		                                WEB_WORK);
		w->done_us = clock_boot_us(&a->d->clock);
		return true; /* the text in a step of its own */
	}
	put_warmth(a, r);
	return false;
}

static bool is_for(const struct web_warmth *w, struct bytes schedule)
{
	return bytes_equal(bytes_str(w->schedule), schedule);
}

/* The survey that is under way, or stands, for that schedule. */
static struct web_warmth *find(struct web_answer *a, struct bytes schedule)
{
	int64_t now = clock_boot_us(&a->d->clock);
	struct web_warmth **at = web_warmths(a->web), *w;

	while ((w = *at)) {
		if (!w->running && now - w->done_us > STANDS_US) {
			*at = w->next;
			drop(w);
			continue;
		}
		if (is_for(w, schedule))
			return w;
		at = &w->next;
	}
	return NULL;
}

static struct web_warmth *make(struct web_answer *a, struct bytes schedule)
{
	struct web_warmth *w = mem_calloc(1, sizeof(*w));

	w->users = 1;
	if (!survey_warmth_start(&w->survey, a->d->engine, clock_now(&a->d->clock), schedule)) {
		drop(w);
		return NULL;
	}
	w->schedule = schedule.n ? mem_dup(schedule.p, schedule.n) : NULL;
	w->running = true;
	w->next = *web_warmths(a->web);
	*web_warmths(a->web) = w;
	return w;
}

void web_readyz_start(struct web_answer *a)
{
	struct bytes schedule = web_param(a, "schedule");
	double wanted = NAN;
	struct web_warmth *w;
	struct ready *r;

	if (!web_param_number(a, "warm", 0, 1, &wanted))
		return;
	if (isnan(wanted) && schedule.p) {
		web_fail(a, 400, "bad_request", "schedule: needs warm, e.g. warm=0.9");
		return;
	}
	if (isnan(wanted)) {
		a->status = a->d->draining ? 503 : 200;
		web_printf(&a->text, "{\"status\":\"%s\",\"uptime_s\":%.3f}\n", state(a),
		           uptime_s(a->d));
		return;
	}
	w = find(a, schedule);
	w = w ? w : make(a, schedule);
	if (!w) {
		web_fail(a, 404, "not_found",
		         "schedule: there is none of that name, or no instant of it is to come");
		return;
	}
	w->users++;
	r = mem_calloc(1, sizeof(*r));
	*r = (struct ready){.warmth = w, .wanted = wanted};
	a->state = r;
	a->release = ready_release;
	a->step = ready_step;
}
