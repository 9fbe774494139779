/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/survey.h"

#include "analyzer/template.h"
#include "base/text.h"
#include "engine/state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A plan walks over the coming day: it costs about as much as so many looks at a key. */
static const unsigned PLAN_WORK = 16;

#define X(bound) bound,
const double survey_times_bound[SURVEY_BUCKETS - 1] = {SURVEY_TIMES_TABLE(X)};
#undef X

void survey_times_add(struct survey_times *t, struct span took, bool ok)
{
	double s = fmax(span_s(took), 0);
	int i = 0;

	while (i < SURVEY_BUCKETS - 1 && s > survey_times_bound[i])
		i++;
	t->n[i]++;
	t->sum_s += s;
	t->failed += !ok;
}

/* -- Endpoints and origins -------------------------------------------------------------------- */

uint32_t survey_endpoints(struct engine *e, struct instant now, uint32_t from, unsigned max,
                          survey_endpoint_fn *fn, void *arg)
{
	for (; from < e->place.n && max; from++, max--) {
		const struct place *p = e->place.v[from];
		struct survey_endpoint row;

		if (!p)
			continue;
		row = (struct survey_endpoint){
		        .name = intern_name(&e->place_name, from),
		        .ruled = p->ruled,
		        .counts = &p->counts,
		        .keys = p->ep.keys.n,
		        .load_errors = p->ep.errors,
		        .audits = p->ep.audits,
		        .audits_stale = p->ep.audits_stale,
		        .requests_per_s = demand_rate(&p->ep.demand, p->zone, now),
		        .stale_share = explain_stale_share(p),
		        .objective = e->cls.v[p->class_id].price.objective,
		        .forecast_mase = demand_error(&p->ep.demand, EXPERT_YESTERDAY),
		};
		for (int i = 0; p->prefetched && i < PREFETCH_SOURCES; i++) {
			row.prefetch_useful += p->prefetched[i].count.useful;
			row.prefetch_wasted += p->prefetched[i].count.wasted;
		}
		fn(arg, &row);
	}
	return from < e->place.n ? from : SURVEY_END;
}

uint32_t survey_rows(struct engine *e, struct instant now, uint32_t from, unsigned work,
                     ttl_row_fn *fn, void *arg)
{
	for (unsigned done = 0; from < e->place.n && done < work; from++) {
		struct ttl_row row;

		if (!e->place.v[from])
			continue;
		explain_place(e, now, from, &row);
		fn(arg, &row);
		done += PLAN_WORK + (unsigned)explain_looks(e->place.v[from]) * 4;
	}
	return from < e->place.n ? from : SURVEY_END;
}

bool survey_origin(const struct engine *e, struct instant now, uint32_t i,
                   struct survey_origin *ret)
{
	const struct origin_state *o;

	if (i >= e->origin.n)
		return false;
	o = &e->origin.v[i];
	*ret = (struct survey_origin){
	        .name = o->name,
	        .times = &o->times,
	        .rate_per_s = budget_used(&o->budget, now),
	        .rate_limit_per_s = o->policy.rate,
	        .concurrency = o->budget.window,
	        .in_flight = o->budget.running,
	        .open = now.us < o->budget.closed_until.us || now.us < o->budget.retry_at.us,
	};
	return true;
}

unsigned survey_paused(const struct engine *e, struct instant now)
{
	return (engine_paused(e, now, PAUSE_LEARNING) ? PAUSE_LEARNING : 0) |
	       (engine_paused(e, now, PAUSE_PREFETCH) ? PAUSE_PREFETCH : 0);
}

/* -- The hottest keys ------------------------------------------------------------------------- */

struct survey_hot_key {
	uint32_t key;
	double rate;
};

/* Hotter, and of equals the one known for longer. */
static bool hotter(const struct survey_hot_key *a, const struct survey_hot_key *b)
{
	return a->rate != b->rate ? a->rate > b->rate : a->key < b->key;
}

/* The first may be hotter than others: it goes where it belongs in the heap of the coldest first. */
static void sift_down(struct survey_hot_key *v, size_t n)
{
	size_t i = 0;

	for (;;) {
		size_t coldest = i, child = 2 * i + 1;
		struct survey_hot_key x = v[i];

		for (size_t c = child; c < child + 2 && c < n; c++)
			if (hotter(&v[coldest], &v[c]))
				coldest = c;
		if (coldest == i)
			return;
		v[i] = v[coldest];
		v[coldest] = x;
		i = coldest;
	}
}

static void sift_up(struct survey_hot_key *v, size_t i)
{
	while (i && hotter(&v[(i - 1) / 2], &v[i])) {
		struct survey_hot_key x = v[i];

		v[i] = v[(i - 1) / 2];
		v[(i - 1) / 2] = x;
		i = (i - 1) / 2;
	}
}

bool survey_hot_start(struct survey_hot *s, struct engine *e, struct bytes endpoint, size_t max)
{
	uint32_t place = endpoint.n ? intern_find(&e->place_name, endpoint) : INTERN_NONE;

	*s = (struct survey_hot){.place = place, .max = max};
	return !endpoint.n || place != INTERN_NONE;
}

static void look_at(struct survey_hot *s, struct engine *e, struct instant now, uint32_t id)
{
	struct survey_hot_key h = {.key = id};

	if (!intern_is_live(&e->key_name, id) ||
	    (s->place != INTERN_NONE && e->key.v[id].endpoint != s->place))
		return;
	h.rate = explain_rate(e, now, id);
	if (s->key.n < s->max) {
		*vec_push(&s->key) = h;
		sift_up(s->key.v, s->key.n - 1);
	} else if (s->max && hotter(&h, &s->key.v[0])) {
		s->key.v[0] = h;
		sift_down(s->key.v, s->key.n);
	}
}

bool survey_hot_step(struct survey_hot *s, struct engine *e, struct instant now, unsigned work,
                     ttl_row_fn *fn, void *arg)
{
	for (; !s->sorting && s->next < e->key_name.n_ids && work; work--)
		look_at(s, e, now, s->next++);
	if (!s->sorting && s->next >= e->key_name.n_ids) {
		s->sorting = true;
		s->unsorted = s->key.n;
	}
	/* the coldest of those that are left goes behind them: what remains in front is a heap */
	for (; s->sorting && s->unsorted && work; work--) {
		struct survey_hot_key x = s->key.v[0];

		s->key.v[0] = s->key.v[--s->unsorted];
		s->key.v[s->unsorted] = x;
		sift_down(s->key.v, s->unsorted);
	}
	for (; s->sorting && !s->unsorted && s->told < s->key.n && work >= PLAN_WORK;
	     work -= PLAN_WORK) {
		uint32_t id = s->key.v[s->told++].key;
		struct ttl_row row;

		if (!intern_is_live(&e->key_name, id))
			continue; /* forgotten since */
		explain_key(e, now, id, &row);
		fn(arg, &row);
	}
	return !s->sorting || s->unsorted || s->told < s->key.n;
}

void survey_hot_release(struct survey_hot *s)
{
	vec_free(&s->key);
}

/* -- Warmth ----------------------------------------------------------------------------------- */

/* Whether a schedule of the engine is that one, or one of its further patterns: "bell#2". */
static bool is_named(const struct peak *s, struct bytes name)
{
	size_t n = s->name ? strlen(s->name) : 0;

	return s->source == PREFETCH_SCHEDULE && n >= name.n && !memcmp(s->name, name.p, name.n) &&
	       (n == name.n || s->name[name.n] == '#');
}

bool survey_warmth_start(struct survey_warmth *s, const struct engine *e, struct instant now,
                         struct bytes schedule)
{
	*s = (struct survey_warmth){.peak = INSTANT_NONE};
	for (size_t i = 0; schedule.n && i < e->peak.n; i++) {
		const struct peak *c = e->peak.v[i];
		size_t k = c->next;

		while (k < c->at.n && c->at.v[k].us < now.us)
			k++;
		if (!is_named(c, schedule) || k == c->at.n)
			continue;
		s->peak = c->at.v[k];
		*vec_push(&s->pattern) = bytes_str(text_copy(c->pattern));
	}
	return !schedule.n || s->pattern.n;
}

static bool asked_for(const struct survey_warmth *s, const struct engine *e, uint32_t id)
{
	struct bytes place = intern_name(&e->place_name, e->key.v[id].endpoint);

	for (size_t i = 0; i < s->pattern.n; i++)
		if (template_match(s->pattern.v[i], key_bytes(e, id)) ||
		    bytes_equal(s->pattern.v[i], place))
			return true;
	return !s->pattern.n;
}

/* The share of requests that are hits in the long run; *work is what finding out has cost. */
static double hits_in_the_long_run(struct engine *e, struct instant now, uint32_t id, double rate,
                                   unsigned *work)
{
	struct key *k = &e->key.v[id];
	double ttl_s;
	bool ahead;

	if (k->flags & (KEY_HELD | KEY_ABSENT)) {
		ttl_s = k->soft.us == INT64_MAX ? INFINITY
		        : instant_is_set(k->loaded)
		                ? fmax(span_s(instant_diff(k->soft, k->loaded)), 0)
		                : 0;
		ahead = k->flags & KEY_AHEAD;
	} else {
		struct walk_answer a = replan_answer(e, now, id, now, 1, NULL);

		ttl_s = a.ttl_s;
		ahead = a.refresh_ahead;
		*work += PLAN_WORK;
	}
	if (ahead || isinf(ttl_s))
		return 1;
	return rate * ttl_s / (1 + rate * ttl_s);
}

bool survey_warmth_step(struct survey_warmth *s, struct engine *e, struct instant now,
                        unsigned work)
{
	unsigned done = 0;

	for (; s->next < e->key_name.n_ids && done < work; s->next++, done++) {
		uint32_t id = s->next;
		struct survey_warmth_place *p;
		double rate, can;
		struct key *k;
		bool warm;

		if (!intern_is_live(&e->key_name, id))
			continue;
		k = &e->key.v[id];
		warm = (k->flags & (KEY_OURS | KEY_ABSENT)) && now.us < k->hard.us;
		if ((place_loads_from(key_place(e, k)) == ORIGIN_NONE && !(k->flags & KEY_OURS)) ||
		    !asked_for(s, e, id))
			continue;
		rate = explain_rate(e, instant_is_set(s->peak) ? s->peak : now, id);
		if (!(rate > 0))
			continue;
		can = rate * hits_in_the_long_run(e, now, id, rate, &done);
		while (s->place.n <= k->endpoint)
			*vec_push(&s->place) = (struct survey_warmth_place){0};
		p = &s->place.v[k->endpoint];
		p->keys++;
		p->warm += warm;
		p->now += warm ? rate : 0;
		p->can += can;
	}
	if (s->next < e->key_name.n_ids)
		return true;
	s->all = (struct survey_warmth_place){0};
	for (size_t i = 0; i < s->place.n; i++) {
		s->all.keys += s->place.v[i].keys;
		s->all.warm += s->place.v[i].warm;
		s->all.now += s->place.v[i].now;
		s->all.can += s->place.v[i].can;
	}
	return false;
}

void survey_warmth_release(struct survey_warmth *s)
{
	for (size_t i = 0; i < s->pattern.n; i++)
		free((void *)(uintptr_t)s->pattern.v[i].p);
	vec_free(&s->pattern);
	vec_free(&s->place);
}

double survey_warmth_share(const struct survey_warmth_place *p)
{
	return p->can > 0 ? fmin(p->now / p->can, 1) : NAN;
}

struct bytes survey_place_name(const struct engine *e, uint32_t place)
{
	return place < e->place.n && e->place.v[place] ? intern_name(&e->place_name, place)
	                                               : bytes_str("");
}
