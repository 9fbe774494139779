/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/demand.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double DAY_KEEP = 0.93;      /* a day counts half after ten more of its kind */
static const double MEAN_BINS = 3 * 96.0; /* the mean forgets over three days */
static const double ERROR_BINS = 96.0;    /* errors over one */
static const double LEVEL_KEEP = 0.78;    /* per bin: the level halves in 40 minutes */
static const double LEVEL_GAIN = 0.35;
static const double ENOUGH = 200; /* requests: below that an endpoint has no rhythm worth memory */

struct demand_profile {
	double sum[ZONE_DAY_KINDS][SHAPE_BINS], days[ZONE_DAY_KINDS][SHAPE_BINS];
};

void demand_init(struct demand *d)
{
	*d = (struct demand){.bin = INT64_MIN, .latest = INSTANT_NONE};
}

void demand_release(struct demand *d)
{
	free(d->shape);
	free(d->profile);
	free(d->history);
	demand_init(d);
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
	return harmonic_at(&d->harmonic, (double)bin * SHAPE_BIN_S);
}

/* Weight of the harmonic model: by inverse squared mean squared error, 0 while it has none. */
static double harmonic_weight(const struct demand *d)
{
	double p = d->error[EXPERT_PROFILE] + 1e-3, h = d->error[EXPERT_HARMONIC] + 1e-3;

	if (!d->harmonic.valid || d->error_n < SHAPE_BINS / 4)
		return 0;
	return p * p / (p * p + h * h);
}

/* Log count of a bin, both experts combined, before the level. */
static double log_count(const struct demand *d, const struct zone *z, int64_t bin)
{
	double w = harmonic_weight(d), x = log1p(profile_at(d, kind_of(z, bin), slot_of(bin)));

	return w > 0 ? (1 - w) * x + w * log1p(harmonic_count(d, bin)) : x;
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
	double said = log_count(d, z, d->bin), got = log1p(d->count), keep;

	if (d->profile) {
		double e = got - said - d->level;

		keep = d->error_n < ERROR_BINS ? d->error_n / (d->error_n + 1) : 1 - 1 / ERROR_BINS;
		decay_to(&d->spread, e * e, keep);
		e = got - log1p(profile_at(d, kind, slot));
		decay_to(&d->error[EXPERT_PROFILE], e * e, keep);
		if (d->harmonic.valid) {
			e = got - log1p(harmonic_count(d, d->bin));
			decay_to(&d->error[EXPERT_HARMONIC], e * e, keep);
		}
		if (d->history && d->bin - d->first_bin >= SHAPE_BINS) {
			double y = d->history[ring(d->bin - SHAPE_BINS)];

			if (y >= 0) {
				decay_to(&d->abs_error, fabs(d->count - expm1(said + d->level)),
				         keep);
				decay_to(&d->naive_error, fabs(d->count - y), keep);
			}
		}
		d->error_n++;
		d->level = LEVEL_KEEP * d->level + LEVEL_GAIN * (got - said - d->level);
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
		d->level = 0;
		d->count = 0;
	}
	for (zone_offset_at(z, d->latest, &until); until.us <= t.us;
	     zone_offset_at(z, until, &until)) {
		close_until(d, z, local_bin(z, (struct instant){until.us - 1}) + 1);
		jump_to(d, local_bin(z, until));
	}
	close_until(d, z, bin);
	d->latest = t;
}

static float *new_history(void)
{
	float *h = mem_calloc(DEMAND_BINS, sizeof(*h));

	for (int i = 0; i < DEMAND_BINS; i++)
		h[i] = -1;
	return h;
}

void demand_count(struct demand *d, const struct zone *z, struct instant t, double n)
{
	int64_t before;

	if (d->bin == INT64_MIN) {
		d->bin = d->first_bin = local_bin(z, t);
		d->latest = t;
	}
	before = d->bin;
	go_to(d, z, instant_max(t, d->latest));
	if (d->profile && d->bin / 4 != before / 4) /* each hour */
		compile(d);
	d->count += n;
	d->requests += n;
	if (!d->profile && d->requests >= ENOUGH) {
		d->profile = mem_calloc(1, sizeof(*d->profile));
		d->history = new_history();
	}
}

double demand_rate(const struct demand *d, const struct zone *z, struct instant t)
{
	int64_t bin = local_bin(z, t);
	double level = d->level;

	if (!d->mean_n) {
		/* the first quarter of an hour: what has come so far, spread over all of it */
		return d->count / SHAPE_BIN_S;
	}
	/* the level is as of the latest request: silence since then makes it say less, too */
	if (d->bin != INT64_MIN && bin > d->bin)
		level *= pow(LEVEL_KEEP, (double)(bin - d->bin));
	return fmax(expm1(log_count(d, z, bin) + level), 0) / SHAPE_BIN_S;
}

double demand_spread80(const struct demand *d)
{
	return d->error_n > 0 ? exp(1.2816 * sqrt(d->spread)) : 1;
}

double demand_mase(const struct demand *d)
{
	return d->naive_error > 0 ? d->abs_error / d->naive_error : NAN;
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
	if (h->valid && h->step_s == SHAPE_BIN_S) {
		if (!d->harmonic.valid)
			d->error[EXPERT_HARMONIC] = d->error[EXPERT_PROFILE];
		d->harmonic = *h;
		if (d->profile)
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
	if (!d->profile)
		d->profile = mem_calloc(1, sizeof(*d->profile));
	if (!d->history)
		d->history = new_history();
	memcpy(d->profile->sum, sum, sizeof(d->profile->sum));
	memcpy(d->profile->days, days, sizeof(d->profile->days));
	d->mean = mean;
	d->mean_n = mean_n;
	d->requests = fmax(d->requests, ENOUGH);
	compile(d);
}
