/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/state.h"

#include <math.h>

/* Each endpoint has its turn once in this time. */
static const struct span ROUND = {60 * 1000000LL};

/*
 * So many have it at once, as nobody is served meanwhile: some 0.4 ms. What else there may be to do
 * for one counts as that many more (bench/forecast).
 */
static const uint32_t SLICE = 64;
static const unsigned WORK[] = {
        [DEMAND_UNCHANGED] = 0, [DEMAND_TAIL] = 0, [DEMAND_MODEL] = 3, [DEMAND_CLOCK] = 31};
static const unsigned FITS_PER_SLICE = 8;
static const struct span SOON = {20 * 1000};

/* A fit that has not come back after this long never will. */
static const double FIT_LOST_S = 86400;

/* Besides one search for peaks, some 0.3 ms. To look whether a rise is forecast counts as this. */
static const unsigned LOOK_WORK = 1;

/* One that is so much busier than one with a model of its own takes its place. */
static const double BUSIER = 2;

/* The next slice comes when all of them just fill the time of a round. */
static struct instant next_slice(const struct engine *e, struct instant now)
{
	int64_t slices = (int64_t)(e->place.n + SLICE - 1) / SLICE;

	return instant_add(now, (struct span){ROUND.us / (slices > 0 ? slices : 1)});
}

void round_init(struct engine *e, struct instant now)
{
	e->round = (struct round){
	        .at = next_slice(e, now), .quietest = PLACE_NONE, .busiest = PLACE_NONE};
}

/* -- Searches: the busiest first ---------------------------------------------------------------- */

static void add_search(struct round_searches *s, uint32_t place, double weight)
{
	uint32_t i = s->n;

	if (i == ROUND_SEARCHES && !(weight > s->of[--i].weight))
		return;
	s->n = i + 1;
	for (; i && s->of[i - 1].weight < weight; i--)
		s->of[i] = s->of[i - 1];
	s->of[i].place = place;
	s->of[i].weight = weight;
}

static void search_one(struct engine *e, struct instant now)
{
	struct round *r = &e->round;

	while (r->searched < r->search.n) {
		uint32_t place = r->search.of[r->searched++].place;

		/* it may have been searched after it had been found due */
		if (!learned_is_due(e, now, place))
			continue;
		learned_search(e, now, place);
		return;
	}
}

/* -- The round ---------------------------------------------------------------------------------- */

/* Asks for a fit of its model where that is due. */
static bool ask_for_fit(struct engine *e, struct instant now, uint32_t place, struct effects *fx)
{
	struct place *p = e->place.v[place];
	double since = span_s(instant_diff(now, p->fitted));
	struct harmonic_data *data;
	struct effect *f;

	if (since < e->limits.fit_every || (p->fit && since < FIT_LOST_S))
		return false;
	p->fitted = now;
	p->fit = 0;
	data = demand_data(&p->ep.demand);
	if (!data)
		return false;
	p->fit = ++e->last_fit << 32 | place;
	f = effect_add(fx, EFFECT_FIT);
	f->endpoint = intern_name(&e->place_name, place);
	f->fit.fit = p->fit;
	f->fit.data = data;
	return true;
}

/* What all endpoints have in common, for the next new one: the mean of their log mean rates. */
static void add_to_prior(struct round *r, const struct endpoint *ep)
{
	if (ep->pool_keys >= 5) {
		r->sum += log(ep->prior.a / ep->prior.b * shape_pace(ep->shape));
		r->n++;
	}
}

/* Of those with a model of their own the quietest, of those that could have one the busiest. */
static void compare(struct engine *e, uint32_t place)
{
	const struct demand *d = &e->place.v[place]->ep.demand;
	uint32_t *best = d->profile ? &e->round.quietest : &e->round.busiest;
	double sign = d->profile ? -1 : 1;

	if (*best == PLACE_NONE ||
	    sign * demand_weight(d) > sign * demand_weight(&e->place.v[*best]->ep.demand))
		*best = place;
}

/* Models go to the busiest, one a round: who is busy only today does not push out who always is. */
static void hand_over(struct engine *e)
{
	struct demand *from, *to;

	if (e->round.quietest == PLACE_NONE)
		return;
	from = &e->place.v[e->round.quietest]->ep.demand;
	if (e->demand.models > e->demand.max_models) {
		demand_take_model(from);
		return;
	}
	if (e->round.busiest == PLACE_NONE || e->demand.models < e->demand.max_models)
		return;
	to = &e->place.v[e->round.busiest]->ep.demand;
	if (demand_weight(to) > BUSIER * demand_weight(from)) {
		demand_take_model(from);
		demand_give_model(to);
	}
}

static void end(struct engine *e, struct instant now)
{
	struct round_searches found = e->round.due;

	if (e->round.n > 0)
		e->prior.b = e->prior.a / exp(e->round.sum / e->round.n);
	hand_over(e);
	round_init(e, now);
	/* what is left of the last round was quieter than what this one has found, or is among it */
	e->round.search = found;
}

void round_tick(struct engine *e, struct instant now, struct effects *fx)
{
	unsigned fits = 0, work = 0;
	uint32_t from = e->round.next;

	if (now.us < e->round.at.us)
		return;
	search_one(e, now);
	while (work < SLICE && e->round.next < e->place.n) {
		uint32_t place = e->round.next++;
		struct place *p = e->place.v[place];

		work++;
		if (!p)
			continue;
		work += WORK[demand_settle(&p->ep.demand, p->zone, now)];
		compare(e, place);
		if (p->ep.demand.history)
			work += LOOK_WORK;
		if (learned_look(e, now, place))
			add_search(&e->round.due, place, demand_weight(&p->ep.demand));
		add_to_prior(&e->round, &p->ep);
		if (fits < FITS_PER_SLICE)
			fits += ask_for_fit(e, now, place, fx);
	}
	/* the limit was lowered: faster than one a round */
	while (e->demand.models > e->demand.max_models && e->round.quietest != PLACE_NONE &&
	       e->place.v[e->round.quietest]->ep.demand.profile) {
		demand_take_model(&e->place.v[e->round.quietest]->ep.demand);
		e->round.quietest = PLACE_NONE;
	}
	if (e->round.next >= e->place.n) {
		end(e, now);
		return;
	}
	/* a slice that was short for what it had to do is made up for soon */
	e->round.at = e->round.next - from < SLICE ? instant_add(now, SOON) : next_slice(e, now);
}

void engine_settle(struct engine *e, struct instant now)
{
	for (uint32_t i = 0; i < e->place.n; i++)
		if (e->place.v[i])
			demand_settle(&e->place.v[i]->ep.demand, e->place.v[i]->zone, now);
}
