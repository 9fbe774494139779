/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A peak goes round: idle, planned roughly half an hour before (to know when the loads have to begin),
 * planned for good at that time, watched in the first minutes after it, idle. How plans are made:
 * planning.c.
 *
 * Nobody is served meanwhile, so what takes long is done in slices of some 0.2 ms, one in each turn:
 * the count at the peak of what it finds warm, what is learned at the end of the watch, and plans. A
 * peak that changes meanwhile drops the plan that is being made: it is made anew.
 */
#include "engine/state.h"

#include <limits.h>
#include <math.h>

/*
 * Which keys a peak wants is first looked at so long before it, or at the schedule's lead if that is
 * longer.
 */
static const struct span PLAN_AHEAD = {30 * 60 * 1000000LL};

/* A key that is asked for within this time after the peak was wanted at it. */
static const struct span WATCH = {PEAK_WATCH_US};

/* A load that found no room is tried again so much later, and one that may have failed. */
static const struct span TRY_AGAIN = {1000000}, CHECK = {5 * 1000000LL};

/* What was asked for by hand is tried for so long. */
static const struct span MANUAL_FOR = {600 * 1000000LL};

/* So many keys of a count, and of what is learned of a watch, make a slice. */
static const size_t COUNT_SLICE = 2048, SETTLE_SLICE = 1024;

/* Watches that may end in one turn: the end of each brings the demand of its endpoint up to date. */
static const unsigned ENDS_IN_A_TURN = 2;

/* A load counts as so much of the work of a turn: whether it would still help is worked out first. */
static const unsigned LOAD_WORK = 8;

/* -- Phases and instants ---------------------------------------------------------------------- */

static bool wants_requests(const struct peak *p)
{
	return p->phase == PEAK_WATCHED || (p->source == PREFETCH_LEARNED && p->phase != PEAK_IDLE);
}

void course_count_watching(struct engine *e)
{
	e->n_watching = 0;
	for (size_t i = 0; i < e->peak.n; i++)
		e->n_watching += wants_requests(e->peak.v[i]);
}

void course_stop_loading(struct peak *p)
{
	heap_release(&p->spent);
	p->spent = p->todo;
	p->todo = (struct heap){0};
}

static void drop_items(struct peak *p)
{
	p->item.n = 0;
	p->wanted.n = 0;
	p->counting = false;
	course_stop_loading(p);
}

void course_seek(struct engine *e, struct peak *p, struct instant now)
{
	planning_drop(e, p);
	p->next = 0;
	while (p->next < p->at.n && p->at.v[p->next].us <= now.us)
		p->next++;
	p->phase = PEAK_IDLE;
	drop_items(p);
	course_count_watching(e);
	e->peak_due = INSTANT_NONE; /* to be found out */
}

/* When the peak has something to do next, loads aside. */
static struct instant due(const struct peak *p)
{
	struct instant at = peak_at(p);

	if (at.us == INT64_MAX)
		return at;
	switch (p->phase) {
	case PEAK_IDLE:
		return instant_add(at, (struct span){p->lead.us > PLAN_AHEAD.us ? -p->lead.us
		                                                                : -PLAN_AHEAD.us});
	case PEAK_ROUGH:
		return instant_min(p->begin, at);
	case PEAK_PLANNED:
		return at;
	case PEAK_WATCHED:
		break;
	}
	return p->window;
}

/* When its watch ends: before the next one comes. */
static struct instant window_of(const struct peak *p)
{
	struct instant end = instant_add(peak_at(p), WATCH);

	/* whether the demand has risen shows at the end of the quarter */
	if (p->source == PREFETCH_LEARNED || p->source == PREFETCH_FORECAST)
		return instant_add(p->learned.quarter, span_from_s(SHAPE_BIN_S));
	if (p->next + 1 < p->at.n)
		end = instant_min(end, p->at.v[p->next + 1]);
	return end;
}

bool course_goes_on(struct engine *e, struct peak *p, struct instant now, const struct instant *at,
                    size_t n)
{
	struct instant running;
	size_t i = 0;

	if (p->phase == PEAK_IDLE || p->next >= p->at.n)
		return false;
	running = p->at.v[p->next];
	while (i < n && at[i].us <= (p->phase == PEAK_WATCHED ? running : now).us)
		i++;
	/* what is watched goes on being watched, whether the list still has it or not */
	if (p->phase != PEAK_WATCHED && (i == n || at[i++].us != running.us))
		return false;
	p->at.n = p->next = 0;
	*vec_push(&p->at) = running;
	for (; i < n; i++)
		*vec_push(&p->at) = at[i];
	if (p->phase == PEAK_WATCHED)
		p->window = window_of(p);
	e->peak_due = INSTANT_NONE;
	return true;
}

/* -- Loading ---------------------------------------------------------------------------------- */

/* An item of a plan is due. Returns when to look at it again; NEVER: done with it. */
static struct instant load_item(struct engine *e, struct instant now, struct peak *p,
                                struct plan_item *x, struct instant until, struct effects *fx)
{
	uint32_t key = x->key.key;
	struct key *k = &e->key.v[key];

	if (!peak_key_is(e, key, x->key.tag) || x->state != ITEM_OPEN)
		return INSTANT_NEVER;
	if (k->flight != KEY_NONE)
		return instant_add(now, TRY_AGAIN);
	if (instant_is_set(x->started)) {
		if (k->loaded.us >= x->started.us)
			return INSTANT_NEVER; /* it has come */
		p->report.failed++;
		x->started = INSTANT_NONE;
	}
	if (engine_paused(e, now, PAUSE_PREFETCH)) {
		x->state = ITEM_DROPPED;
		p->report.skipped[SKIP_PAUSED]++;
		p->report.planned--;
		return INSTANT_NEVER;
	}
	if (p->source == PREFETCH_MANUAL && (k->flags & KEY_OURS) && now.us < k->soft.us)
		return INSTANT_NEVER;
	/* somebody else has loaded it meanwhile, or it was kept longer than it seemed */
	if (p->source != PREFETCH_MANUAL && !planning_would_gain(e, p, key, now, until)) {
		x->state = ITEM_FRESH;
		p->report.skipped[SKIP_FRESH]++;
		p->report.planned--;
		return INSTANT_NEVER;
	}
	if (!load_start(e, now, key, LOAD_PREWARM, fx)) {
		e->stats.skipped_for_budget++;
		return instant_add(now, TRY_AGAIN);
	}
	prefetch_started(e, key, p->source, x->p);
	x->started = now;
	p->report.loads++;
	if (!instant_is_set(p->report.began))
		p->report.began = now;
	return instant_add(now, (struct span){CHECK.us + 2 * (int64_t)k->load_us});
}

static void load_due(struct engine *e, struct instant now, struct peak *p, struct instant until,
                     unsigned max_work, unsigned *done, struct effects *fx)
{
	uint32_t i;

	while ((!max_work || *done < max_work) && heap_pop(&p->todo, now, &i)) {
		struct instant again = load_item(e, now, p, &p->item.v[i], until, fx);

		if (again.us < until.us)
			heap_set(&p->todo, i, again);
		*done += LOAD_WORK;
	}
}

/* -- At the peak and after -------------------------------------------------------------------- */

/* The peak has come. */
static void at_peak(struct engine *e, struct peak *p)
{
	p->phase = PEAK_WATCHED;
	p->window = window_of(p);
	course_stop_loading(p);
	audience_begin(&p->audience);
	course_count_watching(e);
	p->counting = !p->watch_only; /* else nothing was done about it */
	p->counted = 0;
}

/* How did it find the cache? Some of what there is to count; says so when that is all. */
static void count_slice(struct engine *e, struct peak *p, struct instant now, bool all,
                        struct effects *fx)
{
	size_t n = p->wanted.n + p->item.n;
	struct effect *f;

	for (size_t i = 0; p->counted < n && (all || i < COUNT_SLICE); i++) {
		size_t at = p->counted++;

		if (at < p->wanted.n) {
			struct peak_key w = p->wanted.v[at];

			p->report.wanted++;
			if (peak_key_is(e, w.key, w.tag) && !engine_paused(e, now, PAUSE_PREFETCH))
				levels_begin(e, p, w.key);
			p->report.warm += peak_key_is(e, w.key, w.tag) &&
			                  (e->key.v[w.key].flags & KEY_OURS) &&
			                  now.us < e->key.v[w.key].soft.us;
		} else {
			const struct plan_item *x = &p->item.v[at - p->wanted.n];
			uint32_t key = x->key.key;

			if (x->state != ITEM_OPEN || !peak_key_is(e, key, x->key.tag))
				continue;
			p->report.late += !instant_is_set(x->started) ||
			                  e->key.v[key].loaded.us < x->started.us ||
			                  e->key.v[key].flight != KEY_NONE;
		}
	}
	if (p->counted < n)
		return;
	p->counting = false;
	f = effect_add(fx, EFFECT_NOTICE);
	f->notice.what = NOTICE_PEAK;
	f->notice.name = effect_copy(fx, bytes_str(p->name));
	if (!p->pattern)
		f->endpoint = intern_name(&e->place_name, p->place);
	f->notice.peak = p->report;
}

void course_asked(struct engine *e, struct instant at, uint32_t key, double count)
{
	if (!e->n_watching)
		return;
	levels_asked(e, at, e->key.v[key].endpoint, count);
	for (size_t i = 0; i < e->peak.n; i++) {
		struct peak *p = e->peak.v[i];
		struct instant peak = peak_at(p);

		if (!wants_requests(p) || !peak_covers(e, p, key))
			continue;
		if (p->source == PREFETCH_LEARNED)
			learned_asked(p, at);
		if (p->phase != PEAK_WATCHED || at.us < peak.us ||
		    at.us >= instant_min(instant_add(peak, WATCH), p->window).us)
			continue;
		audience_asked(&p->audience, key, span_s(instant_diff(at, peak)));
		e->key.v[key].at_peaks |= KEY_PEAK_KNOWN;
	}
}

/* The first minutes are over. What they teach is worked off in slices; the next peak may come. */
static void after_peak(struct engine *e, struct peak *p, struct instant now)
{
	struct instant at = peak_at(p);
	const struct zone *z = p->pattern ? keyring_zone(e, 0) : e->place.v[p->place]->zone;

	if (p->source == PREFETCH_LEARNED || p->source == PREFETCH_FORECAST)
		learned_over(e, p, now);
	levels_learn(e, p);
	p->watched_s = fmin(span_s(instant_diff(p->window, at)), span_s(WATCH));
	p->weekday = peak_weekday(z, at);
	p->settling = SETTLE_ITEMS;
	p->settled = 0;
	p->next++;
	p->phase = PEAK_IDLE;
	if (p->source == PREFETCH_LEARNED)
		learned_seek(e, p, instant_max(now, at));
	course_count_watching(e);
}

/* One of its loads. */
static void settle_item(struct engine *e, struct peak *p, const struct plan_item *x,
                        struct instant now)
{
	uint32_t key = x->key.key;
	bool known = peak_key_is(e, key, x->key.tag);

	if (p->source == PREFETCH_LEARNED)
		learned_item(p, x, known);
	/* what was loaded for it and has ended unasked is known to be wasted now */
	if (known && instant_is_set(x->started) && now.us >= e->key.v[key].soft.us)
		prefetch_outcome(e, key, false);
}

/* What is known of one of its keys is not what was written. */
static void settle_key(struct engine *e, const struct audience_key *k)
{
	if (k->delay_s >= 0 || k->n > 0)
		e->key.v[k->key].flags |= KEY_DIRTY;
}

static void settle_slice(struct engine *e, struct peak *p, struct instant now, bool all)
{
	size_t work = all ? SIZE_MAX : SETTLE_SLICE;

	if (p->settling == SETTLE_ITEMS) {
		for (; p->settled < p->item.n && work; p->settled++, work--)
			settle_item(e, p, &p->item.v[p->settled], now);
		if (p->settled < p->item.n)
			return;
		if (p->source == PREFETCH_LEARNED)
			learned_judge(e, p);
		p->settling = SETTLE_KEYS;
		p->settled = p->audience.list.n;
	}
	if (p->settling == SETTLE_KEYS) {
		/* from the last on: what is forgotten meanwhile moves only what has been seen */
		for (; p->settled && work; p->settled--, work--)
			if (p->settled <= p->audience.list.n)
				settle_key(e, &p->audience.list.v[p->settled - 1]);
		if (p->settled)
			return;
		audience_end(&p->audience, p->weekday, p->watched_s, p->max_keys);
		p->settling = SETTLE_AUDIENCE;
	}
	if (!audience_step(&p->audience, work))
		return;
	p->settling = SETTLE_NOTHING;
	p->dirty = true;
	drop_items(p);
}

/*
 * Nobody lived through it, since the machine slept or its clock was set: there is nothing to prepare,
 * and that nobody asked says nothing.
 */
static void miss(struct engine *e, struct peak *p, struct instant now)
{
	planning_drop(e, p);
	drop_items(p);
	p->next++;
	p->phase = PEAK_IDLE;
	if (p->source == PREFETCH_LEARNED)
		learned_seek(e, p, now);
	course_count_watching(e);
}

/* -- In turn ---------------------------------------------------------------------------------- */

/* Begins to plan for the peaks that are to be planned now for the same instant as p. */
static void plan_together(struct engine *e, struct instant now, struct peak *p,
                          enum peak_phase phase)
{
	struct planning *x = &e->planning;
	struct instant at = peak_at(p);

	for (size_t i = 0; i < e->peak.n; i++) {
		struct peak *y = e->peak.v[i];

		/* one with a longer lead has begun alone: it goes on with those that join it now */
		if (peak_at(y).us != at.us || y->phase >= phase || y->settling ||
		    due(y).us > now.us)
			continue;
		if (y->source == PREFETCH_LEARNED || y->source == PREFETCH_FORECAST)
			learned_prepare(e, y);
		drop_items(y);
		*vec_push(&x->group) = y;
	}
	planning_begin(e, now, at, phase);
}

/* What is due of the peak, short of slices of work; false: it waits for some. */
static bool advance(struct engine *e, struct peak *p, struct instant now)
{
	if (p->phase != PEAK_WATCHED && instant_add(peak_at(p), WATCH).us <= now.us) {
		miss(e, p, now);
		return true;
	}
	switch (p->phase) {
	case PEAK_IDLE:
	case PEAK_ROUGH:
		if (e->planning.stage == PLAN_NONE && !p->settling)
			plan_together(e, now, p, p->phase == PEAK_IDLE ? PEAK_ROUGH : PEAK_PLANNED);
		return false;
	case PEAK_PLANNED:
		at_peak(e, p);
		return !p->counting;
	case PEAK_WATCHED:
		if (p->counting)
			return false;
		after_peak(e, p, now);
		break;
	}
	return true;
}

/* Has it memory that is yet to be given back? */
static bool is_spent(const struct peak *p)
{
	return p->spent.slot || p->spent.where;
}

/* One slice of what takes long; false: there is nothing. */
static bool take_turn(struct engine *e, struct instant now, bool all, struct effects *fx)
{
	struct peak *settling = NULL, *spent = NULL;

	/* how warm it is, is a question about the instant: before anything else */
	for (size_t i = 0; i < e->peak.n; i++) {
		if (e->peak.v[i]->counting) {
			count_slice(e, e->peak.v[i], now, all, fx);
			return true;
		}
		if (e->peak.v[i]->settling)
			settling = e->peak.v[i];
		if (is_spent(e->peak.v[i]))
			spent = e->peak.v[i];
	}
	if (settling) {
		settle_slice(e, settling, now, all);
		return true;
	}
	if (e->planning.stage != PLAN_NONE || planning_next_by_hand(e, now)) {
		planning_slice(e, all, fx);
		return true;
	}
	if (spent)
		heap_give_back(&spent->spent);
	return spent;
}

/* All that is due of the peak, as far as no slice has to come first, and so many watches may end. */
static void advance_far(struct engine *e, struct peak *p, struct instant now, unsigned max_ends,
                        unsigned *ends)
{
	while (*ends < max_ends && due(p).us <= now.us) {
		*ends += p->phase == PEAK_WATCHED && !p->counting;
		if (!advance(e, p, now))
			return;
	}
}

static void take_turns(struct engine *e, struct instant now, bool all, struct effects *fx)
{
	bool more;

	do {
		unsigned ends = 0;

		for (size_t i = 0; i < e->peak.n; i++)
			advance_far(e, e->peak.v[i], now, all ? UINT_MAX : ENDS_IN_A_TURN, &ends);
		more = take_turn(e, now, all, fx);
	} while (all && more);
}

struct instant course_next(const struct engine *e)
{
	return e->peak_due;
}

static void find_next(struct engine *e, struct instant now)
{
	struct instant first = INSTANT_NEVER;
	bool is_planning = e->planning.stage != PLAN_NONE;

	for (size_t i = 0; i < e->manual.n; i++)
		first = instant_min(first, heap_next(&e->manual.v[i]->todo));
	for (size_t i = 0; i < e->peak.n; i++) {
		const struct peak *p = e->peak.v[i];

		/* what waits for a plan is looked at again when that is made */
		if ((!is_planning && !p->settling) || p->phase >= PEAK_PLANNED)
			first = instant_min(first, due(p));
		if (p->phase == PEAK_PLANNED)
			first = instant_min(first, heap_next(&p->todo));
		if (p->counting || p->settling || is_spent(p))
			first = now;
	}
	e->peak_due = is_planning || e->by_hand.n ? now : first;
}

/* A forecast one is of one time only. */
static void remove_past(struct engine *e)
{
	for (size_t i = e->peak.n; i-- > 0;) {
		struct peak *p = e->peak.v[i];

		if (p->source == PREFETCH_FORECAST && !p->settling && peak_at(p).us == INT64_MAX)
			peak_remove(e, p);
	}
}

/* What was asked for by hand is over when it has no load left. */
static void load_manual(struct engine *e, struct instant now, unsigned max_work, unsigned *done,
                        struct effects *fx)
{
	for (size_t i = e->manual.n; i-- > 0;) {
		struct peak *m = e->manual.v[i];

		load_due(e, now, m, instant_add(m->begin, MANUAL_FOR), max_work, done, fx);
		if (heap_next(&m->todo).us == INSTANT_NEVER.us) {
			e->manual.v[i] = e->manual.v[--e->manual.n];
			peak_release(&m);
		}
	}
}

void course_tick(struct engine *e, struct instant now, unsigned max_work, unsigned *done,
                 struct effects *fx)
{
	if (e->peak_due.us > now.us)
		return;
	take_turns(e, now, !max_work, fx);
	remove_past(e);
	for (size_t i = 0; i < e->peak.n; i++)
		if (e->peak.v[i]->phase == PEAK_PLANNED)
			load_due(e, now, e->peak.v[i], peak_at(e->peak.v[i]), max_work, done, fx);
	load_manual(e, now, max_work, done, fx);
	find_next(e, now);
}
