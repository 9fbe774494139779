/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/record.h"

#include "engine/state.h"

struct writer {
	struct record r;
	double buffer[RECORD_MAX_FIELDS][8]; /* of the short fields */
};

static void begin(struct writer *w, const char *kind, struct bytes name, struct bytes endpoint)
{
	w->r = (struct record){.kind = kind, .name = name, .endpoint = endpoint};
}

static void put(struct writer *w, const char *name, const double *v, size_t n)
{
	w->r.field[w->r.n_fields++] = (struct record_field){name, v, n};
}

/* As put, of what is gone sooner: at most 8 numbers. */
static void put_copy(struct writer *w, const char *name, const double *v, size_t n)
{
	double *copy = w->buffer[w->r.n_fields];

	memcpy(copy, v, n * sizeof(*v));
	put(w, name, copy, n);
}

static void put3(struct writer *w, const char *name, size_t n, double a, double b, double c)
{
	put_copy(w, name, (double[]){a, b, c}, n);
}

static void put_witness(struct writer *w, const char *name, const struct witness *v)
{
	put_copy(w, name, (double[]){v->changed, v->missed, v->told, v->wrong}, 4);
}

static double time_out(struct instant t)
{
	return instant_is_set(t) ? instant_s(t) : -1;
}

static void put_correction(struct writer *w, const char *name, const struct correction *c)
{
	put_copy(w, name, (double[]){c->seen, c->said, time_out(c->first), time_out(c->last)}, 4);
}

static void put_activity(struct writer *w, const char *name, const struct activity *a)
{
	put_copy(w, name, (double[]){a->log, a->info, a->sum, a->weight, time_out(a->at)}, 5);
}

static void write_class(const struct class_state *c, record_fn *fn, void *arg)
{
	struct writer w;

	begin(&w, "class", bytes_str(c->name), bytes_of(NULL, 0));
	put3(&w, "log_price", 1, c->price.log_price, 0, 0);
	put3(&w, "requests", 3, c->price.requests, c->price.day_requests, c->price.day_count);
	put3(&w, "audits", 2, c->price.audits, c->price.audits_stale, 0);
	put3(&w, "stale", 2, c->price.stale, c->price.count, 0);
	fn(arg, &w.r);
}

/* What put takes views of, until the record has been given away. */
struct place_numbers {
	double pool[POOL_BINS], theta[SHAPE_STATE], info[SHAPE_STATE], seen[SHAPE_STATE],
	        last[SHAPE_LAST_STATE], ticks[TIMETABLE_BINS + 1], sum[DEMAND_STATE],
	        days[DEMAND_STATE], model[HARMONIC_TERMS + 4], forecast[ENSEMBLE_STATE],
	        level[TAIL_STATE], guards[PREFETCH_SOURCES * GUARD_STATE];
};

static void put_shape(struct writer *w, const struct shape *s, struct place_numbers *x)
{
	const struct timetable *t = &s->timetable;
	size_t n_last;

	shape_state(s, x->theta, x->info, x->seen);
	put(w, "theta", x->theta, SHAPE_STATE);
	put(w, "theta_info", x->info, SHAPE_STATE);
	put(w, "theta_days", x->seen, SHAPE_STATE);
	n_last = shape_last(s, x->last);
	if (n_last)
		put(w, "theta_last", x->last, n_last);
	if (t->chosen < 0)
		return;
	x->ticks[0] = timetable_period(t);
	for (int i = 0; i < TIMETABLE_BINS; i++)
		x->ticks[i + 1] = t->profile[t->chosen].theta[i];
	put(w, "timetable", x->ticks, TIMETABLE_BINS + 1);
}

static void put_demand(struct writer *w, const struct demand *d, struct place_numbers *x)
{
	const struct harmonic *h = demand_harmonic(d);

	if (demand_state(d, x->sum, x->days)) {
		put(w, "demand_sum", x->sum, DEMAND_STATE);
		put(w, "demand_days", x->days, DEMAND_STATE);
		put3(w, "demand_mean", 2, d->mean, d->mean_n, 0);
	}
	if (h->valid) {
		memcpy(x->model, h->coef, sizeof(h->coef));
		x->model[HARMONIC_TERMS] = h->step_s;
		x->model[HARMONIC_TERMS + 1] = h->sd;
		x->model[HARMONIC_TERMS + 2] = h->weekly;
		x->model[HARMONIC_TERMS + 3] = h->period_s;
		put(w, "harmonic", x->model, HARMONIC_TERMS + 4);
		put3(w, "errors", 3, d->error[EXPERT_PROFILE], d->error[EXPERT_HARMONIC],
		     d->error_n);
	}
	if (demand_forecast_state(d, x->forecast))
		put(w, "forecast", x->forecast, ENSEMBLE_STATE);
	if (d->tail.buckets > 0) {
		tail_state(&d->tail, x->level);
		put(w, "level", x->level, TAIL_STATE);
	}
}

static void write_place(struct engine *e, uint32_t id, record_fn *fn, void *arg)
{
	const struct endpoint *ep = &e->place.v[id]->ep;
	const struct prefetched *prefetched = e->place.v[id]->prefetched;
	struct place_numbers x;
	struct writer w;

	begin(&w, "endpoint", intern_name(&e->place_name, id), bytes_of(NULL, 0));
	put3(&w, "prior", 3, ep->prior.a, ep->prior.b, ep->pool_keys);
	for (int i = 0; i < POOL_BINS; i++)
		x.pool[i] = ep->pool.share[i];
	put(&w, "pool", x.pool, POOL_BINS);
	put3(&w, "tempo", 3, ep->log_tempo, ep->tempo_info, time_out(ep->tempo_at));
	put_activity(&w, "activity", &ep->activity);
	put_correction(&w, "audits", &ep->audited);
	put_witness(&w, "modified", &ep->modified);
	put_witness(&w, "counter", &ep->counter);
	put3(&w, "recent", 3, ep->recent_requests, ep->recent_hits, ep->recent_stale);
	put3(&w, "load_us", 2, loghist_mean(&ep->load_us), (double)ep->load_us.n, 0);
	if (ep->shape)
		put_shape(&w, ep->shape, &x);
	put_demand(&w, &ep->demand, &x);
	if (prefetched) {
		for (int i = 0; i < PREFETCH_SOURCES; i++)
			guard_state(&prefetched[i].guard, x.guards + i * GUARD_STATE);
		put(&w, "guards", x.guards, PREFETCH_SOURCES * GUARD_STATE);
	}
	fn(arg, &w.r);
}

/* What all endpoints without a model of their own share is written so often, at the most. */
static const struct span TAIL_EVERY = {1800 * 1000000LL};

static void write_tail(struct engine *e, record_fn *fn, void *arg)
{
	struct tail_pool_state s;
	struct writer w;

	tail_pool_state(&e->demand.tail, &s);
	begin(&w, "tail", bytes_str("all"), bytes_of(NULL, 0));
	put(&w, "got", s.got, TAIL_SLOTS);
	put(&w, "due", s.due, TAIL_SLOTS);
	put(&w, "ahead", s.ahead, TAIL_AHEAD);
	fn(arg, &w.r);
}

/* Of so many peaks a key's record says what is known of it there. */
#define ASKED_PEAKS 32

static size_t asked_numbers(const struct engine *e, uint32_t key,
                            double ret[ASKED_PEAKS * RECORD_ASKED_NUMBERS])
{
	size_t n = 0;

	if (!(e->key.v[key].at_peaks & KEY_PEAK_KNOWN))
		return 0;
	for (size_t i = 0; i < e->peak.n && n < ASKED_PEAKS * RECORD_ASKED_NUMBERS; i++) {
		const struct audience_key *k = audience_find(&e->peak.v[i]->audience, key);

		if (!k || !(k->s > 0))
			continue;
		ret[n++] = e->peak.v[i]->id;
		ret[n++] = k->n;
		ret[n++] = k->s;
		for (int d = 0; d < AUDIENCE_WEEKDAYS; d++) {
			ret[n++] = k->day_n[d];
			ret[n++] = k->day_s[d];
		}
	}
	return n;
}

static void write_peak(struct engine *e, const struct peak *p, record_fn *fn, void *arg)
{
	const struct learned *l = &p->learned;
	bool learned = p->source == PREFETCH_LEARNED;
	double id = p->id, peaks[1 + AUDIENCE_WEEKDAYS], minute[PEAK_MINUTES];
	double rise[5] = {l->rise.kind, l->rise.slot, l->rise.days, l->rise.held, l->rise.factor};
	double level[3 * PEAK_MAX_LEVELS];
	size_t n_level = 0;
	double trials[5] = {l->trials, l->kept, l->shadow, l->shadow_used, l->proven};
	struct writer w;

	if (!p->name || (p->source != PREFETCH_SCHEDULE && !learned))
		return;
	begin(&w, "peak", bytes_str(p->name),
	      learned ? intern_name(&e->place_name, p->place) : bytes_of(NULL, 0));
	peaks[0] = p->audience.peaks;
	for (int d = 0; d < AUDIENCE_WEEKDAYS; d++)
		peaks[d + 1] = p->audience.day_peaks[d];
	put(&w, "id", &id, 1);
	put(&w, "peaks", peaks, 1 + AUDIENCE_WEEKDAYS);
	if (learned) {
		for (int i = 0; i < PEAK_MINUTES; i++)
			minute[i] = l->minute[i];
		put(&w, "rise", rise, 5);
		put(&w, "trials", trials, 5);
		put(&w, "minute", minute, PEAK_MINUTES);
	}
	for (size_t i = 0; i < p->level.n; i++) {
		if (!(p->level.v[i].usual.requests_per_s > 0))
			continue;
		level[n_level++] = p->level.v[i].origin_id;
		level[n_level++] = p->level.v[i].usual.loads_per_request;
		level[n_level++] = p->level.v[i].usual.requests_per_s;
	}
	if (n_level)
		put(&w, "level", level, n_level);
	fn(arg, &w.r);
}

static void write_key(struct engine *e, uint32_t id, record_fn *fn, void *arg)
{
	const struct key *k = &e->key.v[id];
	double asked[ASKED_PEAKS * RECORD_ASKED_NUMBERS], changed[LOOKS_BINS], changes = 0;
	size_t n_asked = asked_numbers(e, id, asked);
	struct writer w;

	begin(&w, "key", key_bytes(e, id), intern_name(&e->place_name, k->endpoint));
	for (int i = 0; i < LOOKS_BINS; i++)
		changes += changed[i] = k->seen.changed[i];
	put3(&w, "evidence", 3, changes, k->seen.quiet_s, k->looks);
	put(&w, "changed", changed, LOOKS_BINS);
	if (k->stray)
		put3(&w, "stray", 1, 1, 0, 0);
	put3(&w, "rate", 3, k->rate_n, k->rate_s, time_out(k->last_seen));
	put3(&w, "load", 2, k->load_us, k->bytes, 0);
	put3(&w, "version", 2, (double)(k->version >> 32), (double)(k->version & UINT32_MAX), 0);
	put3(&w, "times", 3, time_out(k->loaded), time_out(k->last_changed), k->modified_s);
	if (k->flags & KEY_CLIENT_TTL)
		put3(&w, "client_ttl", 1, k->client_ttl, 0, 0);
	if (n_asked)
		put(&w, "asked", asked, n_asked);
	fn(arg, &w.r);
}

/* What has come under the same name since takes the place of what was kept, by itself. */
static size_t write_forgotten(struct engine *e, size_t max, record_fn *fn, void *arg)
{
	size_t out = 0;

	while (e->forgotten.n && out < max) {
		char *name = e->forgotten.v[--e->forgotten.n];
		struct record r = {.kind = "peak", .name = bytes_str(name)};

		if (!peak_find(e, r.name)) {
			fn(arg, &r);
			out++;
		}
		free(name);
	}
	return out;
}

size_t engine_dirty(struct engine *e, struct instant now, size_t max, record_fn *fn, void *arg)
{
	size_t out = 0, looked = 0, first_peak = e->dirty_peak;

	if (out < max && now.us >= e->tail_written.us + TAIL_EVERY.us) {
		e->tail_written = now;
		write_tail(e, fn, arg);
		out++;
	}
	for (size_t i = 0; i < e->place.n && out < max; i++) {
		uint32_t id = e->dirty_place < e->place.n ? e->dirty_place : 0;

		e->dirty_place = id + 1;
		if (!e->place.v[id] || !e->place.v[id]->ep.dirty)
			continue;
		e->place.v[id]->ep.dirty = false;
		write_place(e, id, fn, arg);
		write_class(&e->cls.v[e->place.v[id]->class_id], fn, arg);
		out += 2;
	}
	if (out < max) /* an endpoint is two records */
		out += write_forgotten(e, max - out, fn, arg);
	for (size_t i = 0; i < e->peak.n && out < max; i++) {
		struct peak *p = e->peak.v[(first_peak + i) % e->peak.n];

		e->dirty_peak = (first_peak + i + 1) % e->peak.n;
		if (!p->dirty)
			continue;
		p->dirty = false;
		write_peak(e, p, fn, arg);
		out++;
	}
	/* a bounded look around the table: what is not reached now comes next time */
	for (; out < max && looked < e->key_name.n_ids && looked < ENGINE_DIRTY_LOOKS * max;
	     looked++) {
		uint32_t id = e->dirty_key < e->key_name.n_ids ? e->dirty_key : 0;

		e->dirty_key = id + 1;
		if (!intern_is_live(&e->key_name, id) || !(e->key.v[id].flags & KEY_DIRTY))
			continue;
		e->key.v[id].flags &= (uint8_t)~KEY_DIRTY;
		write_key(e, id, fn, arg);
		out++;
	}
	return out;
}

void engine_export(struct engine *e, struct instant now, record_fn *fn, void *arg)
{
	(void)now;
	for (size_t i = 0; i < e->cls.n; i++)
		write_class(&e->cls.v[i], fn, arg);
	write_tail(e, fn, arg);
	for (uint32_t i = 0; i < e->place.n; i++)
		if (e->place.v[i])
			write_place(e, i, fn, arg);
	for (size_t i = 0; i < e->peak.n; i++)
		write_peak(e, e->peak.v[i], fn, arg);
	for (uint32_t i = 0; i < e->key_name.n_ids; i++)
		if (intern_is_live(&e->key_name, i))
			write_key(e, i, fn, arg);
}

void engine_all_kept(struct engine *e, struct instant now)
{
	for (size_t i = 0; i < e->place.n; i++)
		if (e->place.v[i])
			e->place.v[i]->ep.dirty = false;
	for (size_t i = 0; i < e->peak.n; i++)
		e->peak.v[i]->dirty = false;
	for (uint32_t id = 0; id < e->key_name.n_ids; id++)
		if (intern_is_live(&e->key_name, id))
			e->key.v[id].flags &= (uint8_t)~KEY_DIRTY;
	e->tail_written = now;
}
