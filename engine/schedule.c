/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/state.h"

#include "analyzer/template.h"
#include "base/bug.h"
#include "predictor/prewarm.h"

#include <math.h>
#include <stdlib.h>

/*
 * Which keys a peak wants is settled this long before it, or at the schedule's lead if that is
 * longer: later, and a slow origin could not be warmed in time; earlier, and the plan would be out
 * of date.
 */
static const struct span PLAN_AHEAD = {30 * 60 * 1000000LL};

/* A key that is asked for within this time after the peak was wanted at it. */
static const struct span WATCH = {5 * 60 * 1000000LL};

/* A background load that found no room is tried again so much later, until the peak. */
static const struct span TRY_AGAIN = {1000000};

static const uint32_t DEFAULT_MAX_KEYS = 10000;
static const size_t MAX_SCHEDULES = 64;

/* A key counts as wanted by a peak when it is more likely than this to be asked for. */
static const double WANTED = 0.5;

void schedule_release(struct schedule *s)
{
	free(s->name);
	free(s->pattern);
	vec_free(&s->at);
	*s = (struct schedule){0};
}

static struct schedule *find(struct engine *e, struct bytes name)
{
	for (size_t i = 0; i < e->schedule.n; i++)
		if (bytes_equal(bytes_str(e->schedule.v[i].name), name))
			return &e->schedule.v[i];
	return NULL;
}

/* Skips peaks that are over. */
static void seek(struct schedule *s, struct instant now)
{
	s->next = 0;
	while (s->next < s->at.n && s->at.v[s->next].us + WATCH.us <= now.us)
		s->next++;
	s->phase = SCHEDULE_IDLE;
}

void schedule_set(struct engine *e, struct instant now, const struct input *in, struct effects *fx)
{
	struct schedule *s = find(e, in->schedule.name);

	if (!in->schedule.n_at) {
		if (!s) {
			serve_reply(e, fx, in->ticket, KEY_NONE, REPLY_ABSENT, OUTCOME_MISS);
			return;
		}
		schedule_release(s);
		*s = e->schedule.v[--e->schedule.n];
		serve_reply(e, fx, in->ticket, KEY_NONE, REPLY_OK, OUTCOME_MISS);
		return;
	}
	if (!s) {
		if (e->schedule.n >= MAX_SCHEDULES) {
			serve_reply(e, fx, in->ticket, KEY_NONE, REPLY_BUSY, OUTCOME_MISS);
			return;
		}
		s = vec_push(&e->schedule);
		*s = (struct schedule){.name = mem_dup(in->schedule.name.p, in->schedule.name.n)};
	}
	free(s->pattern);
	s->pattern = mem_dup(in->schedule.pattern.p, in->schedule.pattern.n);
	s->at.n = 0;
	for (size_t i = 0; i < in->schedule.n_at; i++)
		*vec_push(&s->at) = in->schedule.at[i];
	s->lead = in->schedule.lead;
	s->max_keys = in->schedule.max_keys ? in->schedule.max_keys : DEFAULT_MAX_KEYS;
	seek(s, now);
	serve_reply(e, fx, in->ticket, KEY_NONE, REPLY_OK, OUTCOME_MISS);
}

static struct span plan_ahead(const struct schedule *s)
{
	return s->lead.us > PLAN_AHEAD.us ? s->lead : PLAN_AHEAD;
}

/* When the schedule has something to do next. */
static struct instant due(const struct schedule *s)
{
	struct instant peak;

	if (s->next >= s->at.n)
		return INSTANT_NEVER;
	peak = s->at.v[s->next];
	switch (s->phase) {
	case SCHEDULE_IDLE:
		return instant_add(peak, (struct span){-plan_ahead(s).us});
	case SCHEDULE_PLANNED:
		return peak;
	case SCHEDULE_AT_PEAK:
		break;
	}
	return instant_add(peak, WATCH);
}

struct instant schedule_next(const struct engine *e)
{
	struct instant first = INSTANT_NEVER;

	for (size_t i = 0; i < e->schedule.n; i++)
		first = instant_min(first, due(&e->schedule.v[i]));
	return first;
}

static bool matches(const struct engine *e, struct bytes pattern, uint32_t key)
{
	return template_match(pattern, key_bytes(e, key)) ||
	       bytes_equal(pattern, intern_name(&e->place_name, e->key.v[key].endpoint));
}

static bool covers(const struct engine *e, const struct schedule *s, uint32_t key)
{
	return matches(e, bytes_str(s->pattern), key);
}

/* P(the key is asked for within WATCH after the peak): the last like days, and the forecast. */
static double p_wanted(struct engine *e, uint32_t key, struct instant now, struct instant peak)
{
	struct key *k = &e->key.v[key];
	struct place *p = key_place(e, k);
	double expected = endpoint_key_rate(&p->ep, p->zone, k, now) *
	                  shape_mass(p->ep.demand.shape, p->zone, peak, instant_add(peak, WATCH));
	double forecast = -expm1(-expected);
	unsigned days = k->peaks, ones = 0;

	for (unsigned i = 0; i < days; i++)
		ones += k->asked >> i & 1;
	/* the forecast counts as one more day */
	return (ones + forecast) / (days + 1);
}

/* The best origin rate there is for prewarming this key. */
static double rate_for(struct engine *e, uint32_t key)
{
	uint32_t origin = place_loads_from(key_place(e, &e->key.v[key]));

	return origin == ORIGIN_NONE ? 0 : e->origin.v[origin].policy.rate;
}

/* Fills in what is known of a key about the peak. False when it is not wanted. */
static bool candidate(struct engine *e, uint32_t key, struct instant now, struct instant peak,
                      struct prewarm_candidate *c)
{
	struct key *k = &e->key.v[key];
	struct place *p = key_place(e, k);
	double wanted = p_wanted(e, key, now, peak), watch = span_s(WATCH), ttl, rate;

	if (wanted < 0.05)
		return false;
	*c = (struct prewarm_candidate){.key = key};
	/* its rate just after the peak, and its lifetime there */
	rate = -log1p(-fmin(wanted, 0.999)) / watch;
	ttl = replan_answer(e, now, key, peak, 1, NULL).ttl_s;
	c->p = -expm1(-rate * ttl);
	c->requests = rate * watch;
	c->changes_per_s = change_estimate(endpoint_posterior(&p->ep, k)).mean *
	                   shape_at(p->ep.shape, p->zone, peak);
	c->load_s = k->load_us * 1e-6;
	return true;
}

struct candidates {
	VEC(struct prewarm_candidate) list;
	double slowest_rate;
	uint64_t wanted;
};

static void collect(struct engine *e, struct bytes pattern, struct instant now, struct instant peak,
                    struct candidates *out)
{
	out->slowest_rate = INFINITY;
	for (uint32_t id = 0; id < e->key_name.n_ids; id++) {
		struct prewarm_candidate c;
		double rate;

		if (!intern_is_live(&e->key_name, id))
			continue;
		rate = rate_for(e, id);
		if (rate <= 0 || !matches(e, pattern, id) || !candidate(e, id, now, peak, &c))
			continue;
		out->slowest_rate = fmin(out->slowest_rate, rate);
		out->wanted += p_wanted(e, id, now, peak) >= WANTED;
		*vec_push(&out->list) = c;
	}
}

/* Decides what to load before the peak and sets the timers. */
static void plan(struct engine *e, struct schedule *s, struct instant now)
{
	struct instant peak = s->at.v[s->next];
	struct candidates c = {0};
	struct prewarm_terms t = {
	        .now = now,
	        .peak = peak,
	        .lead_s = span_s(s->lead),
	        .max_keys = s->max_keys,
	};
	size_t n;

	s->phase = SCHEDULE_PLANNED;
	s->wanted = s->left = 0;
	if (engine_paused(e, now, PAUSE_PREFETCH))
		return;
	collect(e, bytes_str(s->pattern), now, peak, &c);
	if (c.list.n) {
		double l = e->place.v[e->key.v[c.list.v[0].key].endpoint]->policy.latency_value;

		/* half of the budget: refreshes and audits go on beside it */
		t.rate = fmax(0.5 * c.slowest_rate, 0.1);
		t.worth = 1 / (1 + fmax(l, 0.5));
		n = prewarm_plan(&t, c.list.v, c.list.n);
		for (size_t i = 0; i < n; i++)
			heap_set(&e->prewarm, c.list.v[i].key, c.list.v[i].at);
		s->wanted = c.wanted;
		for (size_t i = n; i < c.list.n; i++)
			s->left += c.list.v[i].requests >= -log1p(-WANTED);
	}
	vec_free(&c.list);
}

void schedule_timer(struct engine *e, struct instant now, uint32_t key, struct effects *fx)
{
	struct key *k = &e->key.v[key];
	struct instant peak = INSTANT_NEVER;

	for (size_t i = 0; i < e->schedule.n; i++) {
		struct schedule *s = &e->schedule.v[i];

		if (s->phase == SCHEDULE_PLANNED && s->next < s->at.n)
			peak = instant_min(peak, s->at.v[s->next]);
	}
	if (k->flight != KEY_NONE || engine_paused(e, now, PAUSE_PREFETCH))
		return;
	/* what is held past the peak anyway, and was read a moment ago, is warm already */
	if ((k->flags & KEY_OURS) && peak.us != INT64_MAX && k->soft.us > peak.us + SPAN_S(1).us &&
	    !(k->flags & KEY_AHEAD)) {
		double lead = span_s(instant_diff(peak, now)),
		       age = span_s(instant_diff(now, k->loaded));

		if (age < lead || k->p_end < 0.01)
			return;
	}
	if (!load_start(e, now, key, LOAD_PREWARM, fx)) {
		struct instant again = instant_add(now, TRY_AGAIN);

		e->stats.skipped_for_budget++;
		if (again.us < peak.us && peak.us != INT64_MAX)
			heap_set(&e->prewarm, key, again);
	}
}

/* The peak has come: how many of the wanted keys are warm? */
static void at_peak(struct engine *e, struct schedule *s, struct instant now, struct effects *fx)
{
	struct instant peak = s->at.v[s->next];
	struct effect *f;
	uint64_t warm = 0, wanted = 0;

	s->phase = SCHEDULE_AT_PEAK;
	for (uint32_t id = 0; id < e->key_name.n_ids; id++) {
		if (!intern_is_live(&e->key_name, id) || rate_for(e, id) <= 0 ||
		    !covers(e, s, id) || p_wanted(e, id, now, peak) < WANTED)
			continue;
		wanted++;
		warm += (e->key.v[id].flags & KEY_OURS) && now.us < e->key.v[id].soft.us;
	}
	f = effect_add(fx, EFFECT_NOTICE);
	f->notice.what = NOTICE_PEAK;
	f->notice.name = effect_copy(fx, bytes_str(s->name));
	f->notice.peak = (struct peak_report){
	        .source = PREFETCH_SCHEDULE,
	        .at = peak,
	        .began = INSTANT_NONE,
	        .wanted = wanted,
	        .warm = warm,
	};
	f->notice.peak.skipped[SKIP_VOLATILE] = wanted - warm < s->left ? wanted - warm : s->left;
}

/* The first minutes are over: remember which keys they asked for. */
static void after_peak(struct engine *e, struct schedule *s)
{
	struct instant peak = s->at.v[s->next];

	for (uint32_t id = 0; id < e->key_name.n_ids; id++) {
		struct key *k = &e->key.v[id];
		bool asked;

		if (!intern_is_live(&e->key_name, id) || !covers(e, s, id))
			continue;
		asked = instant_is_set(k->last_seen) && k->last_seen.us >= peak.us;
		k->asked = (uint8_t)(k->asked << 1 | asked);
		if (k->peaks < 8)
			k->peaks++;
		k->flags |= KEY_DIRTY;
	}
	s->next++;
	s->phase = SCHEDULE_IDLE;
}

void schedule_tick(struct engine *e, struct instant now, struct effects *fx)
{
	for (size_t i = 0; i < e->schedule.n; i++) {
		struct schedule *s = &e->schedule.v[i];

		while (due(s).us <= now.us) {
			switch (s->phase) {
			case SCHEDULE_IDLE:
				plan(e, s, now);
				break;
			case SCHEDULE_PLANNED:
				at_peak(e, s, now, fx);
				break;
			case SCHEDULE_AT_PEAK:
				after_peak(e, s);
				break;
			}
		}
	}
}

void schedule_prewarm(struct engine *e, struct instant now, const struct input *in,
                      struct effects *fx)
{
	struct candidates c = {0};
	uint32_t max = in->prewarm.max_keys ? in->prewarm.max_keys : DEFAULT_MAX_KEYS;
	uint64_t planned = 0;
	struct effect *f;
	double gap;

	collect(e, in->prewarm.pattern, now, now, &c);
	if (c.list.n) {
		struct prewarm_terms t = {
		        .now = now,
		        .peak = now,
		        .rate = fmax(0.5 * c.slowest_rate, 0.1),
		        .worth = 0,
		        .max_keys = max,
		};
		size_t n = prewarm_plan(&t, c.list.v, c.list.n);

		/* the peak is now: the most wanted first, as fast as the budget allows */
		gap = 1 / t.rate;
		for (size_t i = 0; i < n; i++) {
			uint32_t key = c.list.v[n - 1 - i].key;
			struct key *k = &e->key.v[key];

			if ((k->flags & KEY_OURS) && now.us < k->soft.us)
				continue; /* warm */
			if (in->prewarm.dry_run) {
				f = serve_reply(e, fx, in->ticket, key, REPLY_OK, OUTCOME_MISS);
				/* one of a list; the last reply has the count */
				f->reply.count = UINT64_MAX;
			} else {
				heap_set(&e->prewarm, key,
				         instant_add(now, span_from_s(gap * (double)planned)));
			}
			planned++;
		}
	}
	vec_free(&c.list);
	f = serve_reply(e, fx, in->ticket, KEY_NONE, REPLY_OK, OUTCOME_MISS);
	f->reply.count = planned;
}
