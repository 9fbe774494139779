/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/demand.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double DAY_KEEP = 0.93;      /* a day counts half after ten more of its kind */
static const double MEAN_BINS = 3 * 96.0; /* the mean forgets over three days */
static const double ERROR_BINS = 96.0;    /* errors over one */
static const double ENOUGH = 200; /* requests: below that an endpoint has no rhythm worth memory */

static const struct span BUCKET = {ENSEMBLE_STEP_S * INT64_C(1000000)};

/*
 * A silence that nobody has watched (the daemon stood still, the clock was stepped) is walked
 * bucket by bucket up to a day; beyond, what lies in between is missing.
 */
static const int64_t MAX_SILENCE = ENSEMBLE_DAY;

struct demand_profile {
	double sum[ZONE_DAY_KINDS][SHAPE_BINS], days[ZONE_DAY_KINDS][SHAPE_BINS];
	struct harmonic harmonic;
};

void demand_pool_init(struct demand_pool *pool, uint32_t max_models)
{
	*pool = (struct demand_pool){.max_models = max_models};
	tail_pool_init(&pool->tail);
}

void demand_init(struct demand *d)
{
	*d = (struct demand){
	        .bin = INT64_MIN,
	        .latest = INSTANT_NONE,
	        .settled = {INT64_MIN},
	};
	jump_init(&d->jump);
}

void demand_release(struct demand *d)
{
	demand_take_model(d);
	demand_init(d);
}

static const struct harmonic NO_HARMONIC = {0};

const struct harmonic *demand_harmonic(const struct demand *d)
{
	return d->profile ? &d->profile->harmonic : &NO_HARMONIC;
}

double demand_period_s(const struct demand *d)
{
	return demand_harmonic(d)->period_s;
}

static int64_t local_bin(const struct zone *z, struct instant t)
{
	return (int64_t)floor(zone_local_s(z, t) / SHAPE_BIN_S);
}

static int kind_of(const struct zone *z, int64_t bin)
{
	return zone_day_kind(z, (int32_t)floor((double)bin / SHAPE_BINS));
}

static int slot_of(int64_t bin)
{
	int64_t i = bin % SHAPE_BINS;

	return (int)(i < 0 ? i + SHAPE_BINS : i);
}

/* Where the ring keeps a bin. */
static int ring(int64_t bin)
{
	int64_t i = bin % DEMAND_BINS;

	return (int)(i < 0 ? i + DEMAND_BINS : i);
}

/* Requests in a bin of this kind and slot by the profile: shrunk by one day's worth each time. */
static double profile_at(const struct demand *d, int kind, int slot)
{
	const struct demand_profile *p = d->profile;
	double sum = 0, days = 0, any;

	if (!p)
		return d->mean;
	for (int k = 0; k < ZONE_DAY_KINDS; k++) {
		sum += p->sum[k][slot];
		days += p->days[k][slot];
	}
	any = (sum + d->mean) / (days + 1);
	return (p->sum[kind][slot] + any) / (p->days[kind][slot] + 1);
}

static double harmonic_count(const struct demand *d, int64_t bin)
{
	return harmonic_at(demand_harmonic(d), (double)bin * SHAPE_BIN_S);
}

/* Weight of the harmonic model: by inverse squared mean squared error, 0 while it has none. */
static double harmonic_weight(const struct demand *d)
{
	double p = d->error[EXPERT_PROFILE] + 1e-3, h = d->error[EXPERT_HARMONIC] + 1e-3;

	if (!demand_harmonic(d)->valid || d->error_n < SHAPE_BINS / 4)
		return 0;
	return p * p / (p * p + h * h);
}

/* Compiles the combination into the demand clock. */
static void compile(struct demand *d)
{
	double factor[ZONE_DAY_KINDS][SHAPE_BINS], w = harmonic_weight(d);
	/* a day of each kind in a plain week of January 1970, whose 1st was a Thursday */
	static const int day_of[ZONE_DAY_KINDS] = {6, 2, 3, 6};

	for (int k = 0; k < ZONE_DAY_KINDS; k++)
		for (int i = 0; i < SHAPE_BINS; i++) {
			double x = log1p(profile_at(d, k, i));

			if (w > 0)
				x = (1 - w) * x +
				    w * log1p(harmonic_count(d, day_of[k] * SHAPE_BINS + i));
			/* a hundredth of a request: quiet bins are quiet, not impossible */
			factor[k][i] = expm1(x) + 0.01;
		}
	if (!d->shape) {
		d->shape = mem_calloc(1, sizeof(*d->shape));
		shape_init(d->shape);
	}
	shape_set(d->shape, factor);
}

static void decay_to(double *mean, double x, double keep)
{
	*mean = keep * *mean + (1 - keep) * x;
}

/* The current bin has ended with d->count requests. */
static void close_bin(struct demand *d, const struct zone *z)
{
	int kind = kind_of(z, d->bin), slot = slot_of(d->bin);
	double got = log1p(d->count), keep;

	if (d->profile) {
		double e = got - log1p(profile_at(d, kind, slot));

		keep = d->error_n < ERROR_BINS ? d->error_n / (d->error_n + 1) : 1 - 1 / ERROR_BINS;
		decay_to(&d->error[EXPERT_PROFILE], e * e, keep);
		if (demand_harmonic(d)->valid) {
			e = got - log1p(harmonic_count(d, d->bin));
			decay_to(&d->error[EXPERT_HARMONIC], e * e, keep);
		}
		d->error_n++;
		d->profile->sum[kind][slot] = DAY_KEEP * d->profile->sum[kind][slot] + d->count;
		d->profile->days[kind][slot] = DAY_KEEP * d->profile->days[kind][slot] + 1;
	}
	if (d->history)
		d->history[ring(d->bin)] = (float)d->count;
	keep = d->mean_n < MEAN_BINS ? d->mean_n / (d->mean_n + 1) : 1 - 1 / MEAN_BINS;
	decay_to(&d->mean, d->count, keep);
	d->mean_n++;
	d->count = 0;
}

/*
 * Local clocks go on at this bin: forwards, those in between are neither empty nor full, but
 * missing.
 */
static void jump_to(struct demand *d, int64_t bin)
{
	if (d->history)
		for (int64_t i = 0; i < bin - d->bin && i < DEMAND_BINS; i++)
			d->history[ring(d->bin + i)] = -1;
	d->bin = bin;
}

static void close_until(struct demand *d, const struct zone *z, int64_t bin)
{
	while (d->bin < bin) {
		close_bin(d, z);
		d->bin++;
	}
}

/* Closes five minutes after five minutes. */
static void close_buckets(struct demand *d, const struct zone *z, struct instant t)
{
	int64_t n = instant_diff(t, d->bucket).us / BUCKET.us;

	if (n > MAX_SILENCE) {
		d->bucket = instant_add(d->bucket, (struct span){n * BUCKET.us});
		d->bucket_count = 0;
		if (d->ensemble)
			ensemble_skip(d->ensemble, ensemble_bucket(d->ensemble, d->bucket));
		return;
	}
	for (; n > 0; n--) {
		if (d->ensemble)
			ensemble_add(d->ensemble, z, demand_harmonic(d), d->bucket_count);
		else
			tail_add(&d->tail, d->pool ? &d->pool->tail : NULL, z,
			         d->bucket.us / BUCKET.us,
			         zone_local_s(z, d->bucket) + ENSEMBLE_STEP_S / 2.0,
			         d->bucket_count);
		d->bucket = instant_add(d->bucket, BUCKET);
		d->bucket_count = 0;
		if (n == 1)
			jump_expect(&d->jump, demand_rate(d, z, d->bucket));
	}
}

/*
 * Closes what has ended by t, not before d->latest. Where clocks are put forward an hour is not
 * there, and nobody can have asked in it; where they are put back one comes twice, and is learned
 * from twice.
 */
static void go_to(struct demand *d, const struct zone *z, struct instant t)
{
	struct instant until;
	int64_t bin = local_bin(z, t), from = local_bin(z, d->latest);

	if (from != d->bin) /* the endpoint has been given another zone */
		jump_to(d, from);
	if (bin - d->bin > DEMAND_BINS) {
		/*
		 * a gap of weeks is not walked bin by bin: the profile stands, the rest begins anew
		 */
		jump_to(d, bin);
		d->latest = t;
		d->count = 0;
	}
	for (zone_offset_at(z, d->latest, &until); until.us <= t.us;
	     zone_offset_at(z, until, &until)) {
		close_until(d, z, local_bin(z, (struct instant){until.us - 1}) + 1);
		jump_to(d, local_bin(z, until));
	}
	close_until(d, z, bin);
	d->latest = t;
	close_buckets(d, z, t);
	/* the local quarter of an hour ends with one of UTC: offsets are multiples of that */
	d->settled = instant_min(
	        instant_add(d->bucket, BUCKET),
	        instant_add(t, span_from_s(SHAPE_BIN_S - fmod(zone_local_s(z, t), SHAPE_BIN_S))));
}

static float *new_history(void)
{
	float *h = mem_calloc(DEMAND_BINS, sizeof(*h));

	for (int i = 0; i < DEMAND_BINS; i++)
		h[i] = -1;
	return h;
}

void demand_give_model(struct demand *d)
{
	if (d->profile)
		return;
	d->profile = mem_calloc(1, sizeof(*d->profile));
	d->history = new_history();
	d->ensemble = mem_calloc(1, sizeof(*d->ensemble));
	ensemble_init(d->ensemble, d->bucket);
	if (d->pool)
		d->pool->models++;
}

size_t demand_model_bytes(void)
{
	return sizeof(struct shape) + sizeof(struct demand_profile) + sizeof(struct ensemble) +
	       DEMAND_BINS * sizeof(float);
}

void demand_take_model(struct demand *d)
{
	if (d->profile && d->pool)
		d->pool->models--;
	free(d->shape);
	free(d->profile);
	free(d->history);
	free(d->ensemble);
	d->shape = NULL;
	d->profile = NULL;
	d->history = NULL;
	d->ensemble = NULL;
	d->error_n = 0;
	d->tail = (struct tail){0};
}

static bool has_room(const struct demand *d)
{
	return !d->pool || d->pool->models < d->pool->max_models;
}

enum demand_work demand_settle(struct demand *d, const struct zone *z, struct instant now)
{
	int64_t before = d->bin;

	if (d->bin == INT64_MIN || now.us < d->settled.us || now.us < d->latest.us)
		return DEMAND_UNCHANGED;
	go_to(d, z, now);
	if (!d->profile)
		return DEMAND_TAIL;
	if (d->bin / 4 == before / 4)
		return DEMAND_MODEL;
	compile(d);
	return DEMAND_CLOCK;
}

bool demand_count(struct demand *d, const struct zone *z, struct instant t, double n)
{
	if (d->bin == INT64_MIN) {
		d->bin = d->first_bin = local_bin(z, t);
		d->latest = d->bucket = t;
		if (d->ensemble) /* from an earlier run */
			d->ensemble->start = t;
	}
	t = instant_max(t, d->latest);
	if (t.us >= d->settled.us)
		demand_settle(d, z, t);
	d->latest = t;
	d->count += n;
	d->bucket_count += n;
	d->requests += n;
	if (!d->profile && d->requests >= ENOUGH && has_room(d))
		demand_give_model(d);
	return jump_count(&d->jump, t, n);
}

struct demand_forecast demand_at(const struct demand *d, const struct zone *z, struct instant t)
{
	struct ensemble_forecast f = {0};
	double per_s = 1.0 / ENSEMBLE_STEP_S;
	int64_t ahead = t.us >= d->bucket.us ? (t.us - d->bucket.us) / BUCKET.us + 1 : 1;
	struct instant start = instant_add(d->bucket, (struct span){(ahead - 1) * BUCKET.us});

	if (d->ensemble && d->ensemble->mean_n > 0)
		f = ensemble_at(d->ensemble, z, demand_harmonic(d),
		                ensemble_bucket(d->ensemble, t));
	else if (d->tail.buckets > 0)
		f = tail_at(&d->tail, d->pool ? &d->pool->tail : NULL, z, ahead,
		            zone_local_s(z, start) + ENSEMBLE_STEP_S / 2.0);
	else /* the first five minutes: what has come so far, spread over all of them */
		f = (struct ensemble_forecast){d->bucket_count, 0, 2 * d->bucket_count,
		                               d->bucket_count};
	return (struct demand_forecast){f.mean * per_s, f.median * per_s, f.lo80 * per_s,
	                                f.hi80 * per_s};
}

double demand_rate(const struct demand *d, const struct zone *z, struct instant t)
{
	return demand_at(d, z, t).per_s;
}

double demand_error(const struct demand *d, enum ensemble_expert beside)
{
	return d->ensemble ? ensemble_error(d->ensemble, beside) : NAN;
}

double demand_weight(const struct demand *d)
{
	return (d->mean_n > 0 ? d->mean : d->count) / SHAPE_BIN_S;
}

struct harmonic_data *demand_data(const struct demand *d)
{
	struct harmonic_data *data;
	int64_t first;

	if (!d->history || d->bin - d->first_bin < 2 * SHAPE_BINS)
		return NULL;
	first = d->bin - DEMAND_BINS;
	if (first < d->first_bin)
		first = d->first_bin;
	data = harmonic_data_new((size_t)(d->bin - first));
	data->start_s = (double)first * SHAPE_BIN_S;
	data->step_s = SHAPE_BIN_S;
	for (int64_t b = first; b < d->bin; b++)
		data->count[b - first] = d->history[ring(b)];
	data->fine = mem_calloc(ENSEMBLE_RING, sizeof(*data->fine));
	data->n_fine = ensemble_counts(d->ensemble, data->fine);
	data->fine_step_s = ENSEMBLE_STEP_S;
	return data;
}

double demand_past(const struct demand *d, int64_t bin)
{
	if (!d->history || bin < d->first_bin || bin >= d->bin || d->bin - bin > DEMAND_BINS)
		return -1;
	return d->history[ring(bin)];
}

void demand_set_harmonic(struct demand *d, const struct harmonic *h)
{
	if (h->valid && h->step_s == SHAPE_BIN_S && d->profile) {
		if (!d->profile->harmonic.valid)
			d->error[EXPERT_HARMONIC] = d->error[EXPERT_PROFILE];
		d->profile->harmonic = *h;
		compile(d);
	}
}

bool demand_state(const struct demand *d, double sum[DEMAND_STATE], double days[DEMAND_STATE])
{
	if (!d->profile)
		return false;
	memcpy(sum, d->profile->sum, sizeof(d->profile->sum));
	memcpy(days, d->profile->days, sizeof(d->profile->days));
	return true;
}

void demand_restore(struct demand *d, const double sum[DEMAND_STATE],
                    const double days[DEMAND_STATE], double mean, double mean_n)
{
	demand_give_model(d);
	memcpy(d->profile->sum, sum, sizeof(d->profile->sum));
	memcpy(d->profile->days, days, sizeof(d->profile->days));
	d->mean = mean;
	d->mean_n = mean_n;
	d->requests = fmax(d->requests, ENOUGH);
	compile(d);
}

bool demand_forecast_state(const struct demand *d, double ret[ENSEMBLE_STATE])
{
	if (!d->ensemble)
		return false;
	ensemble_state(d->ensemble, ret);
	return true;
}

bool demand_forecast_restore(struct demand *d, const double v[ENSEMBLE_STATE])
{
	return d->ensemble && ensemble_restore(d->ensemble, v);
}
