/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Peaks that nobody has scheduled: a rise of the demand that recurs (models/rise.h) becomes a peak of
 * its endpoint. At first it is only watched: each time it is said beforehand whether it will come and
 * which keys it wants, and afterwards whether that was right. What has proved itself so is acted on
 * like a schedule, for as long as it stays right. Needs no calendar; with one, a holiday is no weekday.
 *
 * And rises that are forecast for the next half hour, whatever they come from.
 */
#include "engine/state.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* An endpoint's history is searched no more often than this. */
static const struct span SEARCH_EVERY = {6 * 3600 * 1000000LL};

/* What is a candidate: on so many days of its kind, and on this share of them. */
static const double LEAST_DAYS = 2, LEAST_SHARE = 0.6;

/* How many there may be, of each kind and of one endpoint. */
static const size_t MAX_LEARNED = 256, MAX_FORECAST = 256;

/* Records that wait to be deleted. One that finds no room is dead still when it is read again. */
static const size_t MAX_FORGOTTEN = 512;
#define MAX_OF_PLACE 12

/* It is proven once it came so often as told, and given up when it came too rarely. */
static const double PROVEN_TRIALS = 2.5, PROVEN_SHARE = 0.7, LOST_SHARE = 0.5, GONE_SHARE = 0.3,
                    GONE_TRIALS = 4;
static const float TRIAL_KEEP = 0.9f; /* half of what is known is of the last 7 times */

static const float MINUTE_KEEP = 0.7f;
static const double MINUTE_LEAST = 30; /* requests: fewer do not show in which minute it began */

/* A rise is forecast when the lower 80 % bound is so many times the rate of the last half hour. */
static const double FORECAST_FACTOR = 3, FORECAST_LEAST = 20 /* requests in a quarter */;
static const int FORECAST_QUARTERS = 2;

/*
 * So many weekdays in what a schedule is known to do make it one of all of them; so many of its
 * instants are looked at for that.
 */
static const int MOST_WEEKDAYS = 3;
static const size_t SCHEDULE_LOOK = 256;

/* Peaks nearer than this to another of the same endpoint are one. */
static const struct span SAME = {20 * 60 * 1000000LL};

static const char *kind_name(int kind)
{
	return kind == ZONE_WEEKDAY ? "weekdays" : kind == ZONE_SATURDAY ? "Saturdays" : "Sundays";
}

static int64_t local_day(const struct zone *z, struct instant t)
{
	return (int64_t)floor(zone_local_s(z, t) / SHAPE_DAY_S);
}

/* The instant at which local clocks show that second since 1970. */
static struct instant from_local(const struct zone *z, double local_s)
{
	struct instant t = instant_from_s(local_s), until;

	/* once by the offset there, once by the one that holds where this leads */
	t = instant_from_s(local_s - zone_offset_at(z, t, &until));
	return instant_from_s(local_s - zone_offset_at(z, t, &until));
}

/*
 * In which minute of its quarter the rise begins: the first that has half as many requests as the
 * busiest.
 */
static int onset(const struct learned *l)
{
	double most = 0, sum = 0;

	for (int i = 0; i < PEAK_MINUTES; i++) {
		most = fmax(most, l->minute[i]);
		sum += l->minute[i];
	}
	for (int i = 0; i < PEAK_MINUTES && sum >= MINUTE_LEAST; i++)
		if (l->minute[i] >= most / 2)
			return i;
	return 0;
}

/* Whether it is expected on a day of this kind. */
static bool comes_on(const struct rise *r, enum zone_day_kind kind)
{
	/* a half day begins like a weekday, and nobody knows how its afternoon will be */
	if (kind == ZONE_HALF_DAY)
		return r->kind == ZONE_WEEKDAY && r->slot < SHAPE_BINS / 2;
	return (int)kind == r->kind;
}

void learned_seek(struct engine *e, struct peak *p, struct instant after)
{
	const struct rise *r = &p->learned.rise;
	const struct zone *z = e->place.v[p->place]->zone;
	int64_t day = local_day(z, after);

	p->at.n = 0;
	p->next = 0;
	for (int64_t d = day; d <= day + 14; d++) {
		double quarter = (double)d * SHAPE_DAY_S + r->slot * SHAPE_BIN_S;
		struct instant at = from_local(z, quarter + 60 * onset(&p->learned));

		if (at.us <= after.us || !comes_on(r, zone_day_kind(z, (int32_t)d)))
			continue;
		p->learned.quarter = from_local(z, quarter);
		*vec_push(&p->at) = at;
		break;
	}
	e->peak_due = INSTANT_NONE;
}

void learned_clock(struct engine *e, struct instant now)
{
	for (size_t i = 0; i < e->peak.n; i++)
		if (e->peak.v[i]->source == PREFETCH_LEARNED && e->peak.v[i]->phase == PEAK_IDLE) {
			planning_drop(e, e->peak.v[i]);
			learned_seek(e, e->peak.v[i], now);
		}
}

/* -- Is it right? ------------------------------------------------------------------------------ */

static double kept_share(const struct learned *l)
{
	return l->trials > 0 ? l->kept / l->trials : 0;
}

/* P(it comes next time): by what was told, and what the history shows. */
static double confidence(const struct learned *l)
{
	return (l->kept + l->rise.held + 1) / (l->trials + l->rise.days + 2);
}

bool learned_is_gone(const struct learned *l)
{
	return l->trials >= GONE_TRIALS && kept_share(l) < GONE_SHARE;
}

void learned_forget(struct engine *e, struct bytes name)
{
	if (e->forgotten.n < MAX_FORGOTTEN)
		*vec_push(&e->forgotten) = mem_dup(name.p, name.n);
}

void learned_item(struct peak *p, const struct plan_item *x, bool known)
{
	const struct audience_key *a = known ? audience_find(&p->audience, x->key.key) : NULL;

	p->learned.shadow++;
	p->learned.shadow_used += a && a->delay_s >= 0 && a->delay_s <= x->life_s;
}

void learned_judge(struct engine *e, struct peak *p)
{
	struct learned *l = &p->learned;
	const struct policy *y = &e->place.v[p->place]->policy;
	double worth = prewarm_worth(fmax(y->peak_value, y->latency_value));
	bool used = l->shadow < 1 || l->shadow_used >= worth * l->shadow;

	if (l->proven)
		l->proven = kept_share(l) >= LOST_SHARE;
	else
		l->proven = l->trials >= PROVEN_TRIALS && kept_share(l) >= PROVEN_SHARE && used;
	e->place.v[p->place]->ep.dirty = true;
}

const struct audience *learned_audience(struct engine *e, uint32_t place, struct instant at)
{
	const struct peak *best = NULL;

	for (size_t i = 0; i < e->peak.n; i++) {
		const struct peak *x = e->peak.v[i];

		if (x->source == PREFETCH_LEARNED && x->place == place && x->next < x->at.n &&
		    llabs((long long)(x->at.v[x->next].us - at.us)) <= SAME.us &&
		    (!best || x->audience.peaks > best->audience.peaks))
			best = x;
	}
	return best ? &best->audience : NULL;
}

/* Are they at the same time of the day? */
static bool same_time(struct instant a, struct instant b)
{
	const int64_t day = INT64_C(86400) * 1000000;
	int64_t apart = (a.us - b.us) % day;

	apart = apart < 0 ? apart + day : apart;
	return apart <= SAME.us || apart >= day - SAME.us;
}

/*
 * Does the schedule ring at that time on the days of its kind, most of them? Then it knows also on
 * which days it does not: those that its calendar leaves out.
 */
static bool rings_daily_at(const struct peak *x, const struct peak *p, const struct zone *z)
{
	size_t from = x->next > SCHEDULE_LOOK / 2 ? x->next - SCHEDULE_LOOK / 2 : 0;
	int64_t last = INT64_MIN;
	int days = 0, enough = p->learned.rise.kind == ZONE_WEEKDAY ? MOST_WEEKDAYS : 1;

	for (size_t i = from; i < x->at.n && i < from + SCHEDULE_LOOK && days < enough; i++) {
		int64_t day = local_day(z, x->at.v[i]);

		if (day == last || !same_time(x->at.v[i], p->at.v[0]) ||
		    !comes_on(&p->learned.rise, zone_day_kind(z, (int32_t)day)))
			continue;
		last = day;
		days++;
	}
	return days >= enough;
}

bool learned_superseded(struct engine *e, const struct peak *p)
{
	const struct zone *z = e->place.v[p->place]->zone;
	const struct endpoint *ep = &e->place.v[p->place]->ep;

	if (!p->at.n || !ep->keys.n)
		return false;
	for (size_t i = 0; i < e->peak.n; i++) {
		const struct peak *x = e->peak.v[i];

		if (x->source != PREFETCH_SCHEDULE || x->next >= x->at.n)
			continue;
		if ((llabs((long long)(x->at.v[x->next].us - p->at.v[0].us)) <= SAME.us ||
		     rings_daily_at(x, p, z)) &&
		    peak_covers(e, x, ep->keys.v[0]))
			return true;
	}
	return false;
}

void learned_prepare(struct engine *e, struct peak *p)
{
	const struct place *place = e->place.v[p->place];
	int32_t day = (int32_t)local_day(place->zone, p->learned.quarter);
	enum zone_day_kind kind = zone_day_kind(place->zone, day);
	bool proven = p->source == PREFETCH_LEARNED
	                      ? p->learned.proven
	                      : place->told[kind] >= PROVEN_TRIALS &&
	                                place->came[kind] >= PROVEN_SHARE * place->told[kind];

	/* where one did not come today, the later ones of the day are not to be expected, too */
	p->watch_only = !proven || learned_superseded(e, p) || place->quiet_day == day;
}

void learned_asked(struct peak *p, struct instant at)
{
	double s = span_s(instant_diff(at, p->learned.quarter));

	if (s >= 0 && s < SHAPE_BIN_S)
		p->learned.minute[(int)(s / 60)] += 1 - MINUTE_KEEP;
}

void learned_over(struct engine *e, struct peak *p, struct instant now)
{
	struct place *place = e->place.v[p->place];
	struct learned *l = &p->learned;
	struct demand *d = &place->ep.demand;
	int64_t bin = (int64_t)floor(zone_local_s(place->zone, l->quarter) / SHAPE_BIN_S);
	double x, y, after;
	bool known, held;

	/* that nobody has asked for anything in it is to be known, too */
	demand_settle(d, place->zone, now);
	x = demand_past(d, bin - 2);
	y = demand_past(d, bin - 1);
	after = d->bin == bin ? d->count : demand_past(d, bin);
	known = x >= 0 && y >= 0 && after >= 0;
	held = known && rise_held((x + y) / 2, after);
	if (known && !held)
		place->quiet_day = (int32_t)local_day(place->zone, l->quarter);
	if (p->source == PREFETCH_FORECAST) {
		enum zone_day_kind kind =
		        zone_day_kind(place->zone, (int32_t)local_day(place->zone, l->quarter));

		if (known) {
			place->told[kind] = TRIAL_KEEP * place->told[kind] + 1;
			place->came[kind] = TRIAL_KEEP * place->came[kind] + held;
		}
		return;
	}
	if (known) {
		l->trials = TRIAL_KEEP * l->trials + 1;
		l->kept = TRIAL_KEEP * l->kept + held;
	}
	for (int i = 0; i < PEAK_MINUTES; i++)
		l->minute[i] *= MINUTE_KEEP;
	l->shadow *= TRIAL_KEEP;
	l->shadow_used *= TRIAL_KEEP;
}

/* -- Finding them ------------------------------------------------------------------------------ */

struct peak *learned_like(struct engine *e, uint32_t place, const struct rise *r)
{
	for (size_t i = 0; i < e->peak.n; i++) {
		struct peak *p = e->peak.v[i];

		/* the steepest quarter may be the one beside it from day to day */
		if (p->source == PREFETCH_LEARNED && p->name && p->place == place &&
		    p->learned.rise.kind == r->kind && abs(p->learned.rise.slot - r->slot) <= 1)
			return p;
	}
	return NULL;
}

static size_t count_of(const struct engine *e, enum prefetch_source source)
{
	size_t n = 0;

	for (size_t i = 0; i < e->peak.n; i++)
		n += e->peak.v[i]->source == source;
	return n;
}

struct peak *learned_add(struct engine *e, uint32_t place, const struct rise *r)
{
	struct bytes endpoint = intern_name(&e->place_name, place);
	char *name = mem_calloc(1, endpoint.n + 64);
	struct peak *p;
	int n;

	if (count_of(e, PREFETCH_LEARNED) >= MAX_LEARNED) {
		free(name);
		return NULL;
	}
	memcpy(name, endpoint.p, endpoint.n);
	n = snprintf(name + endpoint.n, 64, " %s %02d:%02d", kind_name(r->kind), r->slot / 4,
	             r->slot % 4 * 15);
	p = peak_new(e, bytes_of(name, endpoint.n + (size_t)n));
	free(name);
	p->source = PREFETCH_LEARNED;
	p->place = place;
	p->learned.rise = *r;
	return p;
}

void learned_search(struct engine *e, struct instant now, uint32_t place)
{
	struct place *pl = e->place.v[place];
	struct rise found[MAX_OF_PLACE];
	size_t n;

	pl->searched = now;
	n = rise_find(&pl->ep.demand, pl->zone, LEAST_DAYS, LEAST_SHARE, found, MAX_OF_PLACE);

	for (size_t i = 0; i < n; i++) {
		struct peak *p = learned_like(e, place, &found[i]);

		if (p && p->learned.rise.slot != found[i].slot)
			continue;
		if (p) {
			p->learned.rise = found[i];
			p->dirty = true;
		} else {
			p = learned_add(e, place, &found[i]);
			if (p) {
				p->dirty = true;
				learned_seek(e, p, now);
			}
		}
	}
	for (size_t i = e->peak.n; i-- > 0;) {
		struct peak *p = e->peak.v[i];

		if (p->source == PREFETCH_LEARNED && p->place == place && p->name &&
		    p->phase == PEAK_IDLE && learned_is_gone(&p->learned)) {
			learned_forget(e, bytes_str(p->name));
			peak_remove(e, p);
		}
	}
}

/* -- Rises that are forecast -------------------------------------------------------------------- */

/* Does another peak speak of the endpoint near that instant? */
static bool spoken_for(struct engine *e, uint32_t place, struct instant at)
{
	const struct endpoint *ep = &e->place.v[place]->ep;

	for (size_t i = 0; i < e->peak.n; i++) {
		const struct peak *x = e->peak.v[i];

		if (x->next < x->at.n &&
		    llabs((long long)(x->at.v[x->next].us - at.us)) <= SAME.us && x->name &&
		    (x->pattern ? ep->keys.n && peak_covers(e, x, ep->keys.v[0])
		                : x->place == place))
			return true;
	}
	return false;
}

static void look_ahead(struct engine *e, struct instant now, uint32_t place)
{
	const struct place *pl = e->place.v[place];
	const struct demand *d = &pl->ep.demand;
	int64_t bin = (int64_t)floor(zone_local_s(pl->zone, now) / SHAPE_BIN_S);
	double x = demand_past(d, bin - 2), y = demand_past(d, bin - 1);
	double recent = (x + y) / 2;

	if (!d->profile || x < 0 || y < 0)
		return;
	for (int i = 1; i <= FORECAST_QUARTERS; i++) {
		struct instant at = from_local(pl->zone, (double)(bin + i) * SHAPE_BIN_S);
		double count = demand_at(d, pl->zone, at).lo80_per_s * SHAPE_BIN_S;
		char name[64];
		struct peak *p;

		if (count < FORECAST_LEAST || count < FORECAST_FACTOR * recent)
			continue;
		if (spoken_for(e, place, at) || count_of(e, PREFETCH_FORECAST) >= MAX_FORECAST)
			return;
		snprintf(name, sizeof(name), "forecast %u", place);
		p = peak_find(e, bytes_str(name));
		if (p)
			return;
		p = peak_new(e, bytes_str(name));
		p->source = PREFETCH_FORECAST;
		p->place = place;
		p->learned.quarter = at;
		*vec_push(&p->at) = at;
		e->peak_due = INSTANT_NONE;
		return;
	}
}

bool learned_is_due(const struct engine *e, struct instant now, uint32_t place)
{
	const struct place *p = e->place.v[place];

	return !instant_is_set(p->searched) || now.us >= p->searched.us + SEARCH_EVERY.us;
}

bool learned_look(struct engine *e, struct instant now, uint32_t place)
{
	const struct place *p = e->place.v[place];

	/* without a model of its own there is neither a history nor a forecast to go by */
	if (!p->ep.demand.history || place_loads_from(p) == ORIGIN_NONE)
		return false;
	look_ahead(e, now, place);
	return learned_is_due(e, now, place);
}

void engine_learned_peaks(struct engine *e, learned_row_fn *fn, void *arg)
{
	for (size_t i = 0; i < e->peak.n; i++) {
		const struct peak *p = e->peak.v[i];
		const struct learned *l = &p->learned;
		struct learned_row row;

		if (p->source != PREFETCH_LEARNED || !p->name)
			continue;
		row = (struct learned_row){
		        .name = bytes_str(p->name),
		        .endpoint = intern_name(&e->place_name, p->place),
		        .kind = (enum zone_day_kind)l->rise.kind,
		        .minute = l->rise.slot * 15 + onset(l),
		        .next = p->at.n ? p->at.v[0] : INSTANT_NEVER,
		        .factor = l->rise.factor,
		        .confidence = confidence(l),
		        .days = l->rise.days,
		        .held = l->rise.held,
		        .trials = l->trials,
		        .kept = l->kept,
		        .useful = l->shadow > 0 ? l->shadow_used / l->shadow : NAN,
		        .keys = p->audience.list.n,
		        .proven = l->proven,
		};
		fn(arg, &row);
	}
}
