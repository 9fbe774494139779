/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Learned state from records: what a file or a daemon before this one has kept. See record.h. */
#include "engine/record.h"

#include "base/range.h"
#include "engine/state.h"

#include <errno.h>
#include <math.h>

static struct instant time_in(double s)
{
	return s >= 0 ? instant_from_s(s) : INSTANT_NONE;
}

/* The field of that name with at least n finite numbers, or NULL. */
static const double *get(const struct record *r, const char *name, size_t n)
{
	for (size_t i = 0; i < r->n_fields; i++) {
		if (strcmp(r->field[i].name, name) != 0)
			continue;
		if (r->field[i].n < n)
			return NULL;
		for (size_t j = 0; j < n; j++)
			if (!isfinite(r->field[i].v[j]))
				return NULL;
		return r->field[i].v;
	}
	return NULL;
}

static int bad(const char **ret_why, const char *why)
{
	if (ret_why)
		*ret_why = why;
	return -EINVAL;
}

static int read_class(struct engine *e, const struct record *r, const char **ret_why)
{
	const double *price = get(r, "log_price", 1), *requests = get(r, "requests", 3),
	             *audits = get(r, "audits", 2), *stale = get(r, "stale", 2);
	struct class_state *c;
	uint32_t id;

	if (!price || !isfinite(price[0]))
		return bad(ret_why, "class.log_price: missing or out of range");
	id = keyring_class(e, r->name, e->policy.max_stale); /* moves cls.v */
	c = &e->cls.v[id];
	price_restore(&c->price, price[0]);
	if (requests && requests[0] >= 0 && requests[1] >= 0 && requests[2] >= 0) {
		c->price.requests = requests[0];
		c->price.day_requests = requests[1];
		c->price.day_count = requests[2];
	}
	if (audits && audits[0] >= audits[1] && audits[1] >= 0) {
		c->price.audits = audits[0];
		c->price.audits_stale = audits[1];
	}
	if (stale && stale[1] >= stale[0] && stale[0] >= 0) {
		c->price.stale = stale[0];
		c->price.count = stale[1];
	}
	return 0;
}

static bool is_any(const double *v, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += v[i];
	return sum > 0.5;
}

static void read_witness(const struct record *r, const char *name, struct witness *ret)
{
	const double *v = get(r, name, 4);

	if (v && range_holds(v, 4, 0, 1e6) && v[1] <= v[0] && v[3] <= v[2])
		*ret = (struct witness){v[0], v[1], v[2], v[3]};
}

/* Numbers of any length that is a multiple of `of`; NULL: not there, or not finite. */
static const double *get_some(const struct record *r, const char *name, size_t of, size_t *ret_n)
{
	for (size_t i = 0; i < r->n_fields; i++)
		if (strcmp(r->field[i].name, name) == 0 && r->field[i].n &&
		    r->field[i].n % of == 0) {
			*ret_n = r->field[i].n;
			return get(r, name, r->field[i].n);
		}
	return NULL;
}

/* Sources are known by their number: of a later version there may be more. */
static void read_guards(struct engine *e, struct instant now, uint32_t place,
                        const struct record *r)
{
	size_t n = 0;
	const double *v = get_some(r, "guards", GUARD_STATE, &n);

	for (size_t i = 0; v && i < n / GUARD_STATE && i < PREFETCH_SOURCES; i++)
		guard_restore(&prefetch_of(e, place)[i].guard, now, v + i * GUARD_STATE);
}

static void read_pool(struct endpoint *ep, const struct record *r)
{
	const double *prior = get(r, "prior", 3), *pool = get(r, "pool", POOL_BINS);

	if (pool && range_holds(pool, POOL_BINS, 0, 1) && is_any(pool, POOL_BINS))
		endpoint_restore_pool(ep, pool);
	else
		endpoint_restore_prior(ep, (struct change){prior[0], prior[1]});
	ep->pool_keys = prior[2];
}

static void read_activity(struct endpoint *ep, struct instant now, const struct record *r)
{
	const double *v = get(r, "activity", 5);

	/* the mean of what was spoken of is within its bounds, too */
	if (!v || !range_holds(v, 1, -ACTIVITY_MAX, ACTIVITY_MAX) ||
	    !range_holds(v + 1, 1, 0, 1e6) || !range_holds(v + 3, 1, 0, 1e9) ||
	    fabs(v[2]) > ACTIVITY_MAX * v[3] || v[4] > instant_s(now))
		return;
	ep->activity = (struct activity){
	        .log = v[0], .info = v[1], .sum = v[2], .weight = v[3], .at = time_in(v[4])};
	endpoint_set_tempo(ep, ep->log_tempo);
}

static void read_tempo(struct endpoint *ep, struct instant now, const struct record *r)
{
	const double *tempo = get(r, "tempo", 2), *since = get(r, "tempo", 3);

	if (!tempo || !range_holds(tempo, 1, -3, 3) || !range_holds(tempo + 1, 1, 0, 1e6))
		return;
	endpoint_set_tempo(ep, tempo[0]);
	ep->tempo_info = tempo[1];
	if (since && since[2] <= instant_s(now))
		ep->tempo_at = time_in(since[2]);
}

/* An earlier file does not say when it was: it ages as if it were of the first hours. */
static void read_audits(struct endpoint *ep, struct instant now, const struct record *r)
{
	const double *v = get(r, "audits", 2), *times = get(r, "audits", 4);
	struct instant first = INSTANT_NONE, last = INSTANT_NONE;

	if (!v || !range_holds(v, 2, 0, 1e9))
		return;
	if (times && times[2] >= 0 && times[2] <= times[3] && times[3] <= instant_s(now)) {
		first = time_in(times[2]);
		last = time_in(times[3]);
	}
	correction_restore(&ep->audited, v[0], v[1], first, last);
}

static void read_counts(struct endpoint *ep, const struct record *r)
{
	const double *recent = get(r, "recent", 3), *load = get(r, "load_us", 2);

	if (recent && range_holds(recent, 3, 0, 1e12)) {
		ep->recent_requests = recent[0];
		ep->recent_hits = recent[1];
		ep->recent_stale = recent[2];
	}
	if (load && load[0] > 0 && load[1] >= 1 && !ep->load_us.n)
		loghist_add(&ep->load_us, load[0]);
}

/* Of an earlier file it is not known which days had told: the next one to tell counts as another. */
static void read_shape(struct endpoint *ep, const struct record *r)
{
	const double *theta = get(r, "theta", SHAPE_STATE),
	             *ticks = get(r, "timetable", TIMETABLE_BINS + 1), *last;
	size_t n = 0;

	if (!theta)
		return;
	if (!ep->shape)
		ep->shape = mem_calloc(1, sizeof(*ep->shape));
	shape_init(ep->shape);
	if (ticks && range_holds(ticks + 1, TIMETABLE_BINS, -20, 20))
		timetable_restore(&ep->shape->timetable, ticks[0], ticks + 1);
	shape_restore(ep->shape, theta, get(r, "theta_info", SHAPE_STATE),
	              get(r, "theta_days", SHAPE_STATE));
	last = get_some(r, "theta_last", 1, &n);
	if (last)
		shape_restore_last(ep->shape, last, n);
}

/* Without how wrong it was it would be trusted too much, or not at all. */
static void read_harmonic(struct demand *d, const struct record *r)
{
	const double *model = get(r, "harmonic", HARMONIC_TERMS + 3),
	             *period = get(r, "harmonic", HARMONIC_TERMS + 4),
	             *errors = get(r, "errors", 3);
	struct harmonic h = {.valid = true};

	if (!model || !(model[HARMONIC_TERMS] > 0) || !errors || !range_holds(errors, 3, 0, 1e9))
		return;
	memcpy(h.coef, model, sizeof(h.coef));
	h.step_s = model[HARMONIC_TERMS];
	h.sd = model[HARMONIC_TERMS + 1];
	h.weekly = model[HARMONIC_TERMS + 2] != 0;
	if (period && range_holds(period + HARMONIC_TERMS + 3, 1, 0, 86400 * 7))
		h.period_s = period[HARMONIC_TERMS + 3];
	d->error_n = errors[2];
	d->error[EXPERT_PROFILE] = errors[0];
	demand_set_harmonic(d, &h);
	d->error[EXPERT_HARMONIC] = errors[1];
}

static void read_demand(struct demand *d, const struct record *r)
{
	const double *sum = get(r, "demand_sum", DEMAND_STATE),
	             *days = get(r, "demand_days", DEMAND_STATE), *mean = get(r, "demand_mean", 2),
	             *forecast = get(r, "forecast", ENSEMBLE_STATE),
	             *level = get(r, "level", TAIL_STATE);

	if (sum)
		demand_restore(d, sum, days, mean[0], mean[1]);
	read_harmonic(d, r);
	if (forecast)
		demand_forecast_restore(d, forecast);
	if (level)
		tail_restore(&d->tail, level);
}

/* What an endpoint's record must say, and what must be right where it is said. */
static int check_place(const struct record *r, const char **ret_why)
{
	const double *prior = get(r, "prior", 3), *theta = get(r, "theta", SHAPE_STATE),
	             *info = get(r, "theta_info", SHAPE_STATE),
	             *seen = get(r, "theta_days", SHAPE_STATE),
	             *sum = get(r, "demand_sum", DEMAND_STATE),
	             *days = get(r, "demand_days", DEMAND_STATE), *mean = get(r, "demand_mean", 2);

	if (!prior || !range_holds(prior, 2, 1e-9, 1e15) || !range_holds(prior + 2, 1, 0, 1e15))
		return bad(ret_why, "endpoint.prior: missing or out of range");
	if (theta && (!range_holds(theta, SHAPE_STATE, -20, 20) ||
	              (info && !range_holds(info, SHAPE_STATE, 0, 1e9)) ||
	              (seen && !range_holds(seen, SHAPE_STATE, 0, 1e9))))
		return bad(ret_why, "endpoint.theta: out of range");
	if (sum && (!days || !mean || !range_holds(sum, DEMAND_STATE, 0, 1e12) ||
	            !range_holds(days, DEMAND_STATE, 0, 1e6) || !range_holds(mean, 2, 0, 1e12)))
		return bad(ret_why, "endpoint.demand: out of range");
	return 0;
}

static int read_place(struct engine *e, struct instant now, const struct record *r,
                      const char **ret_why)
{
	int rc = check_place(r, ret_why);
	struct endpoint *ep;
	uint32_t place;

	if (rc)
		return rc;
	place = keyring_place(e, now, r->name, NULL); /* moves place.v: not in one expression */
	ep = &e->place.v[place]->ep;
	ep->dirty = true;
	read_pool(ep, r);
	read_activity(ep, now, r);
	read_tempo(ep, now, r);
	read_audits(ep, now, r);
	read_counts(ep, r);
	read_witness(r, "modified", &ep->modified);
	read_witness(r, "counter", &ep->counter);
	read_shape(ep, r);
	read_demand(&ep->demand, r);
	read_guards(e, now, place, r);
	return 0;
}

static int read_tail(struct engine *e, const struct record *r, const char **ret_why)
{
	const double *got = get(r, "got", TAIL_SLOTS), *due = get(r, "due", TAIL_SLOTS),
	             *ahead = get(r, "ahead", TAIL_AHEAD);

	if (!got || !due || !ahead || !tail_pool_restore(&e->demand.tail, got, due, ahead))
		return bad(ret_why, "tail: got, due or ahead missing or out of range");
	e->tail_written = INSTANT_NONE;
	return 0;
}

/* What peaks know of the key. One that is not known yet waits under its number for its name. */
static void read_asked(struct engine *e, uint32_t key, const struct record *r)
{
	size_t n = 0;
	const double *v = get_some(r, "asked", RECORD_ASKED_NUMBERS, &n);

	for (; v && n; v += RECORD_ASKED_NUMBERS, n -= RECORD_ASKED_NUMBERS) {
		struct audience_key *k;
		struct peak *p;

		if (!range_holds(v, 1, 0, UINT32_MAX) ||
		    !range_holds(v + 1, RECORD_ASKED_NUMBERS - 1, 0, 1e6))
			continue;
		p = peak_by_id(e, (uint32_t)v[0]);
		p = p ? p : peak_unnamed(e, (uint32_t)v[0]);
		if (!p || p->audience.list.n >= PEAK_MAX_KEYS)
			continue;
		k = audience_add(&p->audience, key);
		k->n = (float)v[1];
		k->s = (float)v[2];
		for (int d = 0; d < AUDIENCE_WEEKDAYS; d++) {
			k->day_n[d] = (float)v[3 + 2 * d];
			k->day_s[d] = (float)v[4 + 2 * d];
		}
		e->key.v[key].at_peaks |= KEY_PEAK_KNOWN;
	}
}

static int read_key(struct engine *e, struct instant now, const struct record *r,
                    const char **ret_why)
{
	const double *ev = get(r, "evidence", 3), *rate = get(r, "rate", 3),
	             *load = get(r, "load", 2), *version = get(r, "version", 2),
	             *times = get(r, "times", 2), *modified = get(r, "times", 3),
	             *changed = get(r, "changed", LOOKS_BINS), *stray = get(r, "stray", 1),
	             *ttl = get(r, "client_ttl", 1);
	uint32_t id;
	struct key *k;

	if (!ev || !range_holds(ev, 2, 0, 1e15) || !range_holds(ev + 2, 1, 0, UINT16_MAX))
		return bad(ret_why, "key.evidence: missing or out of range");
	if (!rate || !range_holds(rate, 2, 0, 1e15))
		return bad(ret_why, "key.rate: missing or out of range");
	id = keyring_key(e, now, r->endpoint, r->name, NULL);
	if (id == KEY_NONE)
		return bad(ret_why, "key: its name is too long, or max_keys is reached");
	k = &e->key.v[id];
	k->flags |= KEY_DIRTY;
	k->looks = (uint16_t)ev[2];
	k->seen = (struct looks){.quiet_s = (float)ev[1], .changed = {(float)ev[0]}};
	for (int i = 0; changed && range_holds(changed, LOOKS_BINS, 0, 1e15) && i < LOOKS_BINS; i++)
		k->seen.changed[i] = (float)changed[i];
	k->stray = stray && *stray > 0;
	k->prior_no = 0;
	k->rate_n = rate[0];
	k->rate_s = rate[1];
	k->last_seen = instant_min(time_in(rate[2]), now);
	if (load && range_holds(load, 2, 0, 4e9)) {
		k->load_us = (float)load[0];
		/* of what is held the store knows it */
		if (k->entry == STORE_NONE)
			k->bytes = (uint32_t)load[1];
	}
	/*
	 * what is held is of the version that it is, and as old: an import must not make it younger
	 */
	if (version && range_holds(version, 2, 0, UINT32_MAX) && !(k->flags & KEY_HELD))
		k->version = (uint64_t)version[0] << 32 | (uint64_t)version[1];
	if (times && !(k->flags & KEY_HELD)) {
		k->loaded = instant_min(time_in(times[0]), now);
		k->last_changed = instant_min(time_in(times[1]), now);
		if (modified && range_holds(modified + 2, 1, 0, UINT32_MAX))
			k->modified_s = (uint32_t)modified[2];
	}
	if (ttl && ttl[0] > 0) {
		k->client_ttl = (float)ttl[0];
		k->flags |= KEY_CLIENT_TTL;
	}
	read_asked(e, id, r);
	return 0;
}

/*
 * One that was learned elsewhere, or in an earlier life; NULL: it is not taken. Of two that are one,
 * since the steepest quarter may be another where it was learned, the one that was told more often
 * stays.
 */
static struct peak *read_learned(struct engine *e, struct instant now, const struct record *r,
                                 const double rise[5], const double *trials)
{
	struct learned known = {.rise = {.kind = (int)rise[0],
	                                 .slot = (int)rise[1],
	                                 .days = rise[2],
	                                 .held = rise[3],
	                                 .factor = rise[4]}};
	struct peak *p;
	uint32_t place;

	if (trials && range_holds(trials, 5, 0, 1e9)) {
		known.trials = (float)trials[0];
		known.kept = (float)trials[1];
		known.shadow = (float)trials[2];
		known.shadow_used = (float)trials[3];
		known.proven = trials[4] > 0;
	}
	if (learned_is_gone(&known)) {
		learned_forget(e, r->name);
		return NULL;
	}
	place = keyring_place(e, now, r->endpoint, NULL);
	p = learned_like(e, place, &known.rise);
	if (p && p->learned.trials >= known.trials) {
		learned_forget(e, r->name);
		return NULL;
	}
	if (p) {
		learned_forget(e, bytes_str(p->name));
		peak_remove(e, p);
	}
	p = learned_add(e, place, &known.rise);
	if (p)
		p->learned = known;
	return p;
}

static void read_level(struct engine *e, struct peak *p, const struct record *r)
{
	size_t n;
	const double *v = get_some(r, "level", 3, &n);

	if (!v)
		return;
	p->level.n = 0;
	for (; n; v += 3, n -= 3) {
		struct peak_level *l;

		if (!range_holds(v, 1, 0, UINT32_MAX) || !range_holds(v + 1, 2, 0, 1e9))
			continue;
		l = levels_of_peak(e, p, (uint32_t)v[0]);
		if (l)
			l->usual = (struct level_usual){v[1], v[2]};
	}
}

static int read_peak(struct engine *e, struct instant now, const struct record *r,
                     const char **ret_why)
{
	const double *id = get(r, "id", 1), *peaks = get(r, "peaks", 1 + AUDIENCE_WEEKDAYS),
	             *rise = get(r, "rise", 5), *trials = get(r, "trials", 5),
	             *minute = get(r, "minute", PEAK_MINUTES);
	struct peak *p;

	if (!id || !range_holds(id, 1, 0, UINT32_MAX))
		return bad(ret_why, "peak.id: missing or out of range");
	if (!peaks || !range_holds(peaks, 1 + AUDIENCE_WEEKDAYS, 0, 1e6))
		return bad(ret_why, "peak.peaks: missing or out of range");
	if (rise &&
	    (!r->endpoint.n || !range_holds(rise, 1, ZONE_WEEKDAY, ZONE_SUNDAY) ||
	     !range_holds(rise + 1, 1, 0, SHAPE_BINS - 1) || !range_holds(rise + 2, 3, 0, 1e9)))
		return bad(ret_why, "peak.rise: out of range, or without an endpoint");
	p = peak_by_id(e, (uint32_t)id[0]);
	if (rise && !(p && p->name)) {
		p = read_learned(e, now, r, rise, trials);
		if (!p)
			return 0;
		for (int i = 0;
		     minute && range_holds(minute, PEAK_MINUTES, 0, 1e9) && i < PEAK_MINUTES; i++)
			p->learned.minute[i] = (float)minute[i];
		learned_seek(e, p, now);
	}
	p = p ? p : peak_unnamed(e, (uint32_t)id[0]);
	if (!p)
		return 0;
	p->dirty = true;
	read_level(e, p, r);
	p->audience.peaks = (float)peaks[0];
	for (int d = 0; d < AUDIENCE_WEEKDAYS; d++)
		p->audience.day_peaks[d] = (float)peaks[d + 1];
	return 0;
}

int engine_import(struct engine *e, struct instant now, const struct record *r,
                  const char **ret_why)
{
	if (r->name.n == 0 || (double)r->name.n > e->limits.max_key_bytes)
		return bad(ret_why, "name: empty or above max_key_bytes");
	if (strcmp(r->kind, "class") == 0)
		return read_class(e, r, ret_why);
	if (strcmp(r->kind, "endpoint") == 0)
		return read_place(e, now, r, ret_why);
	if (strcmp(r->kind, "key") == 0)
		return read_key(e, now, r, ret_why);
	if (strcmp(r->kind, "peak") == 0)
		return read_peak(e, now, r, ret_why);
	if (strcmp(r->kind, "tail") == 0)
		return read_tail(e, r, ret_why);
	return bad(ret_why, "kind: not class, endpoint, key, peak or tail");
}
