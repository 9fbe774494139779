/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/state.h"

#include "base/near.h"

#include <math.h>
#include <stdlib.h>

/* The TTL that a key has now or, when nothing is held, would get. */
static double ttl_of(struct engine *e, struct instant now, uint32_t key,
                     enum ttl_reason *ret_reason)
{
	struct key *k = &e->key.v[key];

	if (k->flags & (KEY_ABSENT | KEY_FAILED)) {
		*ret_reason = TTL_NEGATIVE;
		return fmax(0, span_s(instant_diff(k->soft, now)));
	}
	return replan_answer(e, now, key, (k->flags & KEY_HELD) ? k->loaded : now, 1, ret_reason)
	        .ttl_s;
}

static double share(double part, double whole)
{
	return whole > 0 ? part / whole : NAN;
}

double explain_stale_share(const struct place *p)
{
	return share(p->ep.recent_stale, p->ep.recent_requests);
}

double explain_rate(struct engine *e, struct instant t, uint32_t key)
{
	struct key *k = &e->key.v[key];
	struct place *p = key_place(e, k);

	return endpoint_key_rate(&p->ep, p->zone, k, t) * shape_at(p->ep.demand.shape, p->zone, t);
}

void explain_key(struct engine *e, struct instant now, uint32_t key, struct ttl_row *r)
{
	struct key *k = &e->key.v[key];
	struct place *p = key_place(e, k);
	double shape = shape_at(p->ep.shape, p->zone, now);
	enum ttl_reason reason;

	*r = (struct ttl_row){
	        .endpoint = intern_name(&e->place_name, k->endpoint),
	        .key = key_bytes(e, key),
	        .ttl_s = ttl_of(e, now, key, &reason),
	        .age_s = (k->flags & KEY_HELD) ? span_s(instant_diff(now, k->loaded)) : NAN,
	        .change_rate_per_s = change_estimate(endpoint_posterior(&p->ep, k)),
	        .request_rate_per_s = explain_rate(e, now, key),
	        .load_ms = k->load_us / 1000,
	        .stale_share = k->hits ? k->p_sum / k->hits : NAN,
	        .hit_ratio = key_hit_ratio(k),
	        .requests = TTL_ROW_UNCOUNTED,
	        .loads = TTL_ROW_UNCOUNTED,
	        .mode = p->policy.ttl,
	};
	/* of a plain client's own TTL what was learned is advice */
	if (plain_advises(e, now, key, &r->advised_s, &reason))
		r->ttl_s = k->client_ttl;
	r->reason = reason;
	r->change_rate_per_s.mean *= shape;
	r->change_rate_per_s.sd *= shape;
	r->change_rate_per_s.n = k->looks;
}

struct hot {
	uint32_t key;
	double rate;
};

static int hottest_first(const void *a, const void *b)
{
	const struct hot *x = a, *y = b;

	if (x->rate != y->rate)
		return x->rate > y->rate ? -1 : 1;
	return x->key < y->key ? -1 : x->key > y->key;
}

/* The keys of one endpoint (or INTERN_NONE: of all), hottest first. The caller frees. */
static struct hot *hottest(struct engine *e, struct instant now, uint32_t place, size_t *ret_n)
{
	struct hot *h = mem_calloc(e->key_name.live, sizeof(*h));
	size_t n = 0;

	for (uint32_t id = 0; id < e->key_name.n_ids; id++) {
		struct key *k;

		if (!intern_is_live(&e->key_name, id))
			continue;
		k = &e->key.v[id];
		if (place != INTERN_NONE && k->endpoint != place)
			continue;
		h[n++] = (struct hot){id, explain_rate(e, now, id)};
	}
	if (n)
		qsort(h, n, sizeof(*h), hottest_first);
	*ret_n = n;
	return h;
}

struct weighted {
	double value, weight;
};

static int by_value(const void *a, const void *b)
{
	const struct weighted *x = a, *y = b;

	return (x->value > y->value) - (x->value < y->value);
}

/* Keys that are looked at for the median of an endpoint: its sampling error is some 6 %. */
#define MEDIAN_LOOKS 256

size_t explain_looks(const struct place *p)
{
	return p->ep.keys.n / (p->ep.keys.n / MEDIAN_LOOKS + 1) + 1;
}

/* Median weighted by requests of what the endpoint's keys would live. */
static double median_ttl(struct engine *e, struct instant now, struct place *p,
                         enum ttl_reason *ret_reason)
{
	size_t stride = p->ep.keys.n / MEDIAN_LOOKS + 1, n = 0;
	struct weighted *w = mem_calloc(explain_looks(p), sizeof(*w));
	double sum = 0, seen = 0, result = 0, advised;

	*ret_reason = TTL_PLANNED;
	for (size_t i = 0; i < p->ep.keys.n; i += stride) {
		struct key *k = &e->key.v[p->ep.keys.v[i]];

		w[n].value = ttl_of(e, now, p->ep.keys.v[i], ret_reason);
		if (plain_advises(e, now, p->ep.keys.v[i], &advised, ret_reason))
			w[n].value = k->client_ttl;
		w[n].weight = endpoint_key_rate(&p->ep, p->zone, k, now);
		sum += w[n].weight;
		n++;
	}
	if (n)
		qsort(w, n, sizeof(*w), by_value);
	for (size_t i = 0; i < n; i++) {
		seen += w[i].weight;
		if (2 * seen >= sum) {
			result = w[i].value;
			break;
		}
	}
	free(w);
	return result;
}

void explain_place(struct engine *e, struct instant now, uint32_t place, struct ttl_row *r)
{
	struct place *p = e->place.v[place];
	double shape = shape_at(p->ep.shape, p->zone, now);
	enum ttl_reason reason;

	*r = (struct ttl_row){
	        .endpoint = intern_name(&e->place_name, place),
	        .ttl_s = median_ttl(e, now, p, &reason),
	        .age_s = NAN,
	        .change_rate_per_s = change_estimate(p->ep.prior),
	        .request_rate_per_s = demand_rate(&p->ep.demand, p->zone, now),
	        .load_ms = loghist_mean(&p->ep.load_us) / 1000,
	        .stale_share = explain_stale_share(p),
	        .hit_ratio = share(p->ep.recent_hits, p->ep.recent_requests),
	        .requests = p->ep.requests,
	        .loads = p->ep.loads,
	        .mode = p->policy.ttl,
	        .advised_s = NAN,
	};
	r->reason = reason;
	r->change_rate_per_s.mean *= shape;
	r->change_rate_per_s.sd *= shape;
	r->change_rate_per_s.n = p->ep.pool_keys;
}

/* What key and endpoint have in common. */
static void why_place(struct engine *e, struct instant now, uint32_t place, struct why *w)
{
	struct place *p = e->place.v[place];
	struct class_state *c = &e->cls.v[p->class_id];
	struct estimate m = price_measured(&c->price);
	struct demand_forecast f = demand_at(&p->ep.demand, p->zone, now);
	uint32_t origin = place_loads_from(p);

	w->known = true;
	w->change_rate_mean = change_estimate(p->ep.prior);
	w->shape_now = shape_at(p->ep.shape, p->zone, now) / shape_pace(p->ep.shape);
	w->last_changed = w->last_load = w->soft = w->hard = INSTANT_NONE;
	w->change_rate_mean.mean *= shape_pace(p->ep.shape);
	w->change_rate_mean.sd *= shape_pace(p->ep.shape);
	w->pool_mean = p->ep.prior.a / p->ep.prior.b * shape_pace(p->ep.shape);
	w->pool_n = p->ep.pool_keys;
	w->request_rate.mean = f.per_s;
	w->request_rate.sd = (f.hi80_per_s - f.lo80_per_s) / (2 * 1.2816);
	w->request_rate.n = (double)p->ep.requests;
	w->demand_shape_now = shape_at(p->ep.demand.shape, p->zone, now);
	w->forecast_mase = demand_error(&p->ep.demand, EXPERT_YESTERDAY);
	w->forecast_vs_last = demand_error(&p->ep.demand, EXPERT_LAST);
	w->forecast_vs_ewma = demand_error(&p->ep.demand, EXPERT_EWMA);
	w->own_forecast = p->ep.demand.ensemble != NULL;
	if (w->own_forecast)
		ensemble_weights(p->ep.demand.ensemble, HORIZON_30M, w->say);
	w->period_s = demand_period_s(&p->ep.demand);
	w->price = price_now(&c->price);
	w->objective = c->price.objective;
	w->measured = m.mean;
	w->measured_sd = m.sd;
	w->seen_same = p->ep.seen_same;
	w->seen_changed = p->ep.seen_changed;
	w->told = p->ep.told;
	w->announced = p->ep.announced;
	w->last_modified =
	        bytes_str(witness_believed(&p->ep.modified)                   ? "believed"
	                  : p->ep.modified.missed + p->ep.modified.wrong >= 2 ? "not believed"
	                                                                      : "");
	w->audits = p->ep.audits;
	w->audits_stale = p->ep.audits_stale;
	if (origin != ORIGIN_NONE) {
		w->origin_rate_used = budget_used(&e->origin.v[origin].budget, now);
		w->origin_rate_limit = e->origin.v[origin].policy.rate;
	}
	w->load_cost = levels_cost(e, now, place);
	w->activity = exp(activity_log(&p->ep.activity));
	w->paused = survey_paused(e, now);
}

bool engine_why(struct engine *e, struct instant now, struct bytes name, struct why *w)
{
	uint32_t key = intern_find(&e->key_name, name), place;
	struct walk_answer a;
	struct place *p;
	struct key *k;

	*w = (struct why){0};
	if (key == INTERN_NONE) {
		place = intern_find(&e->place_name, name);
		if (place == INTERN_NONE)
			return false;
		explain_place(e, now, place, &w->row);
		why_place(e, now, place, w);
		w->is_endpoint = true;
		return true;
	}
	k = &e->key.v[key];
	p = key_place(e, k);
	explain_key(e, now, key, &w->row);
	why_place(e, now, k->endpoint, w);
	w->resident = (k->flags & KEY_HELD) != 0;
	w->change_rate_mean = change_estimate(endpoint_posterior(&p->ep, k));
	w->change_rate_mean.mean *= shape_pace(p->ep.shape);
	w->change_rate_mean.sd *= shape_pace(p->ep.shape);
	w->change_rate_mean.n = k->looks;
	w->last_changed = k->last_changed;
	w->last_load = k->loaded;
	w->request_rate.mean = w->row.request_rate_per_s;
	w->request_rate.sd = w->row.request_rate_per_s / sqrt(k->rate_n + 1);
	w->request_rate.n = k->rate_n;
	if (w->resident || (k->flags & (KEY_ABSENT | KEY_FAILED))) {
		w->soft = k->soft;
		w->hard = k->hard;
	}
	a = replan_answer(e, now, key, w->resident ? k->loaded : now, 1, NULL);
	w->refresh_ahead = a.refresh_ahead;
	w->p_stale_at_end = a.p_stale;
	w->ttl_at_half_price_s =
	        replan_answer(e, now, key, w->resident ? k->loaded : now, 0.5, NULL).ttl_s;
	w->ttl_at_double_price_s =
	        replan_answer(e, now, key, w->resident ? k->loaded : now, 2, NULL).ttl_s;
	if (e->last_error_key == key)
		w->last_error = bytes_str(e->last_error);
	peak_why(e, now, key, &w->peak);
	return true;
}

struct span engine_ttl(struct engine *e, struct instant now, struct bytes endpoint,
                       struct bytes name, enum ttl_reason *ret_reason, struct bytes *ret_endpoint)
{
	uint32_t key = keyring_key(e, now, endpoint, name, NULL);

	if (ret_endpoint)
		*ret_endpoint = key == KEY_NONE
		                        ? endpoint
		                        : intern_name(&e->place_name, e->key.v[key].endpoint);
	if (key == KEY_NONE) {
		if (ret_reason)
			*ret_reason = TTL_STATIC;
		return span_from_s(e->policy.static_ttl);
	}
	return span_from_s(replan_answer(e, now, key, now, 1, ret_reason).ttl_s);
}

void engine_endpoints(struct engine *e, struct instant now, ttl_row_fn *fn, void *arg)
{
	for (uint32_t i = 0; i < e->place.n; i++) {
		struct ttl_row r;

		if (!e->place.v[i])
			continue;
		explain_place(e, now, i, &r);
		fn(arg, &r);
	}
}

bool engine_ttls(struct engine *e, struct instant now, struct bytes endpoint, size_t max_rows,
                 ttl_row_fn *fn, void *arg)
{
	uint32_t place = endpoint.n ? intern_find(&e->place_name, endpoint) : INTERN_NONE;
	struct hot *h;
	size_t n;

	if (endpoint.n && place == INTERN_NONE)
		return false;
	h = hottest(e, now, place, &n);
	for (size_t i = 0; i < n && i < max_rows; i++) {
		struct ttl_row r;

		explain_key(e, now, h[i].key, &r);
		fn(arg, &r);
	}
	free(h);
	return true;
}

/* So many names are looked at, of some microseconds each: nobody is served meanwhile. */
static const uint32_t LIKE_LOOKS = 256;

const char *engine_endpoint_like(const struct engine *e, struct bytes name)
{
	struct near near = near_to(name);

	for (uint32_t i = 0; i < e->place.n && i < LIKE_LOOKS; i++)
		if (e->place.v[i])
			near_offer(&near, intern_name(&e->place_name, i).p);
	return near.name;
}

bool engine_knows_endpoint(const struct engine *e, struct bytes name)
{
	return intern_find(&e->place_name, name) != INTERN_NONE;
}

bool engine_forecast(struct engine *e, struct instant now, struct bytes endpoint, struct span step,
                     size_t n, struct forecast_row *ret)
{
	uint32_t place = intern_find(&e->place_name, endpoint);
	struct place *p;

	if (place == INTERN_NONE)
		return false;
	p = e->place.v[place];
	for (size_t i = 0; i < n; i++) {
		struct instant at = instant_add(now, (struct span){step.us * (int64_t)i});
		struct demand_forecast f = demand_at(&p->ep.demand, p->zone, at);

		ret[i] = (struct forecast_row){
		        .at = at,
		        .per_s = f.per_s,
		        .median = f.median_per_s,
		        /* a mean of many empty buckets and a full one can lie above both */
		        .lo80 = fmin(f.lo80_per_s, f.per_s),
		        .hi80 = fmax(f.hi80_per_s, f.per_s),
		        .volatility = shape_at(p->ep.shape, p->zone, at) / shape_pace(p->ep.shape),
		};
	}
	return true;
}

void engine_stats(struct engine *e, struct engine_stats *ret)
{
	double stale = 0, count = 0;

	*ret = e->stats;
	ret->keys = e->key_name.live;
	ret->endpoints = e->place_name.live;
	ret->flights = e->n_flights;
	ret->waiters = e->n_waiters;
	ret->schedules = 0;
	for (size_t i = 0; i < e->peak.n; i++)
		ret->schedules += e->peak.v[i]->source == PREFETCH_SCHEDULE && e->peak.v[i]->name;
	for (size_t i = 0; i < e->cls.n; i++) {
		stale += e->cls.v[i].price.stale;
		count += e->cls.v[i].price.count;
	}
	ret->stale = (struct estimate){share(stale, count),
	                               count > 0 ? sqrt(stale + 1) / count : HUGE_VAL, count};
	if (e->store)
		store_stats(e->store, &ret->store);
}
