/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/ensemble.h"

#include "base/bug.h"

#include <math.h>
#include <string.h>

/* Buckets ahead. */
static const int AHEAD[HORIZONS] = {1, 3, 6, ENSEMBLE_DAY};

/* The base: a day counts half after ten more of its kind, and is shrunk by two days' worth. */
static const double DAY_KEEP = 0.93, SHRINK_DAYS = 2;
static const double PER_SLOT = ENSEMBLE_SLOTS / (double)ENSEMBLE_DAY;
static const double MEAN_BUCKETS = 3 * ENSEMBLE_DAY;

static const double EWMA_GAIN = 0.3; /* the usual one */
static const double LEVEL_GAIN[4] = {0.4, 0.12, 0.03, 1.0 / 144};

/* Evidence left per bucket: it halves in five days, and in 19 hours. */
static const double KEEP = 0.9995, QUICK_KEEP = 0.997;
static const double REGRET_KEEP = 0.9995;
static const double ERROR_BUCKETS = 2 * ENSEMBLE_DAY;

/* Below so many comparisons the recent mean is all that is believed. */
static const float BEGINNER = 10;

static const double RESTORED_VARIANCE = 0.01; /* of a weight: as after about 100 observations */

/*
 * The largest count of late, doubled, is the most that is forecast; it is forgotten by half in a
 * week.
 */
static const double PEAK_FADES = 0.6931471805599453 / ENSEMBLE_RING;

/* Units of the ring: a logarithm of a count is below 22.2. */
static const double LOG_UNIT = 1 / 2900.0, RESIDUAL_UNIT = 1 / 1450.0;

const char *ensemble_expert_name(enum ensemble_expert x)
{
	static const char *const name[] = {"last value", "ewma",       "yesterday", "last week",
	                                   "level",      "slow level", "rls",       "quick rls",
	                                   "harmonic",   "period"};

	BUG_ON((unsigned)x >= ENSEMBLE_EXPERTS);
	return name[x];
}

void ensemble_init(struct ensemble *f, struct instant start)
{
	/* persistence: the residual goes on as it has been */
	static const double w[RLS_TERMS] = {0, 0.3, 0.3, 0.3};

	*f = (struct ensemble){.start = start, .at = -1};
	for (int h = 0; h < HORIZONS; h++) {
		rls_init(&f->model[h].slow, w);
		rls_init(&f->model[h].quick, w);
		interval_init(&f->model[h].interval);
	}
	for (size_t i = 0; i < sizeof(f->soon) / sizeof(f->soon[0]); i++)
		f->soon[i].target = -1;
	for (size_t i = 0; i < sizeof(f->day) / sizeof(f->day[0]); i++)
		f->day[i].target = -1;
}

int64_t ensemble_bucket(const struct ensemble *f, struct instant t)
{
	int64_t us = t.us - f->start.us, step = ENSEMBLE_STEP_S * INT64_C(1000000);

	return us >= 0 ? us / step : -1 - (-1 - us) / step;
}

static struct instant bucket_start(const struct ensemble *f, int64_t bucket)
{
	return (struct instant){f->start.us + bucket * ENSEMBLE_STEP_S * INT64_C(1000000)};
}

/* Seconds on local clocks at the middle of a bucket. */
static double local_s(const struct ensemble *f, const struct zone *z, int64_t bucket)
{
	return zone_local_s(z, bucket_start(f, bucket)) + ENSEMBLE_STEP_S / 2.0;
}

/* -- The ring --------------------------------------------------------------------------------- */

static bool have(const struct ensemble *f, int64_t bucket)
{
	return bucket >= f->first && bucket <= f->at && bucket > f->at - ENSEMBLE_RING;
}

static double log_at(const struct ensemble *f, int64_t bucket)
{
	return f->log[bucket % ENSEMBLE_RING] * LOG_UNIT;
}

static double residual_at(const struct ensemble *f, int64_t bucket)
{
	return f->residual[bucket % ENSEMBLE_RING] * RESIDUAL_UNIT;
}

static void remember(struct ensemble *f, double x, double residual)
{
	int64_t i = f->at % ENSEMBLE_RING;

	f->log[i] = (uint16_t)lrint(fmin(x / LOG_UNIT, UINT16_MAX));
	f->residual[i] = (int16_t)lrint(fmax(fmin(residual / RESIDUAL_UNIT, INT16_MAX), INT16_MIN));
}

/* The bucket at the same local time so many days before this one. */
static int64_t days_before(const struct ensemble *f, const struct zone *z, int64_t bucket, int days)
{
	int64_t then = bucket - (int64_t)days * ENSEMBLE_DAY;
	double shift_s = zone_offset_at(z, bucket_start(f, bucket), NULL) -
	                 zone_offset_at(z, bucket_start(f, then), NULL);

	return then + (int64_t)lrint(shift_s / ENSEMBLE_STEP_S);
}

/* The latest bucket that has ended, a whole number of these spans of days before this one. */
static int64_t like_before(const struct ensemble *f, const struct zone *z, int64_t bucket, int days)
{
	int64_t span = (int64_t)days * ENSEMBLE_DAY, spans = (bucket - f->at + span - 1) / span;

	return days_before(f, z, bucket, days * (int)(spans < 1 ? 1 : spans));
}

/* Mean residual of a bucket and its neighbours, as far as they are known; 0 if none is. */
static double residual_around(const struct ensemble *f, int64_t bucket)
{
	double sum = 0, n = 0;

	for (int64_t i = bucket - 1; i <= bucket + 1; i++)
		if (have(f, i)) {
			sum += residual_at(f, i);
			n++;
		}
	return n > 0 ? sum / n : 0;
}

/* -- The base --------------------------------------------------------------------------------- */

static double slot_base(const struct ensemble *f, const struct zone *z, double slot)
{
	int32_t day = (int32_t)floor(slot / ENSEMBLE_SLOTS);
	int i = (int)(slot - day * (double)ENSEMBLE_SLOTS), kind = zone_day_kind(z, day);
	double sum = (double)f->mean, days = 1;

	for (int k = 0; k < ZONE_DAY_KINDS; k++) {
		sum += (double)f->sum[k][i];
		days += (double)f->days[k][i];
	}
	return ((double)f->sum[kind][i] + SHRINK_DAYS * sum / days) /
	       ((double)f->days[kind][i] + SHRINK_DAYS);
}

/* Log count expected at a local second, between the middles of the slots on either side. */
static double base_at(const struct ensemble *f, const struct zone *z, double s)
{
	double slot = s / (86400 / ENSEMBLE_SLOTS) - 0.5, before = floor(slot);
	double b = slot_base(f, z, before);

	return b + (slot_base(f, z, before + 1) - b) * (slot - before);
}

static void base_learn(struct ensemble *f, const struct zone *z, double s, double x)
{
	double slot = floor(s / (86400 / ENSEMBLE_SLOTS));
	int32_t day = (int32_t)floor(slot / ENSEMBLE_SLOTS);
	int i = (int)(slot - day * (double)ENSEMBLE_SLOTS), kind = zone_day_kind(z, day);
	float keep = (float)pow(DAY_KEEP, PER_SLOT);

	f->sum[kind][i] = keep * f->sum[kind][i] + (float)(PER_SLOT * x);
	f->days[kind][i] = keep * f->days[kind][i] + (float)PER_SLOT;
	f->mean_n++;
	f->mean += (float)((x - (double)f->mean) / fmin((double)f->mean_n, MEAN_BUCKETS));
}

/* -- The experts ------------------------------------------------------------------------------ */

/* Log count by the harmonic model, which is of quarters of an hour. */
static double waves_log(const struct harmonic *waves, double s)
{
	return log1p(harmonic_at(waves, s - ENSEMBLE_STEP_S / 2.0) * ENSEMBLE_STEP_S /
	             waves->step_s);
}

static double period_says(const struct ensemble *f, int64_t bucket, double period)
{
	int64_t span = (int64_t)lrint(period), ahead = bucket - f->at;
	double sum = 0;
	int n = 0;

	for (int64_t k = (ahead + span - 1) / span; n < 3; k++, n++) {
		if (!have(f, bucket - k * span))
			return n ? expm1(sum / n) : -1;
		sum += log_at(f, bucket - k * span);
	}
	return expm1(sum / n);
}

static int kind_at(const struct ensemble *f, const struct zone *z, int64_t bucket)
{
	return zone_day_kind(z, (int32_t)floor(local_s(f, z, bucket) / 86400));
}

/* As many as then, if that was a day like this one. */
static double same_then(const struct ensemble *f, const struct zone *z, int64_t bucket,
                        int64_t then)
{
	return have(f, then) && kind_at(f, z, then) == kind_at(f, z, bucket)
	               ? expm1(log_at(f, then))
	               : -1;
}

/* What the lines are drawn through. */
static void put_terms(const struct ensemble *f, const struct zone *z, int horizon, int64_t bucket,
                      struct ensemble_pending *p)
{
	int64_t day = like_before(f, z, bucket, 1), before = day - (bucket - f->at);

	memset(p->x, 0, sizeof(p->x));
	if (horizon == HORIZON_DAY) {
		/* weighed a whole day ahead, and used for hours as well: nothing of the hour of now */
		p->x[0] = (float)(have(f, day) ? residual_at(f, day) : 0);
		p->x[3] = f->level[3];
	} else {
		p->x[0] = (float)residual_at(f, f->at);
		for (int i = 0; i < 3; i++)
			p->x[1 + i] = f->level[i];
		if (have(f, day) && have(f, before))
			p->x[7] = (float)(log_at(f, day) - log_at(f, before) - (double)p->base +
			                  base_at(f, z, local_s(f, z, f->at)));
	}
	p->x[4] = (float)residual_around(f, day);
	p->x[5] = 1;
	p->x[6] = (float)residual_around(f, like_before(f, z, bucket, 7));
}

/* True of those who need not have anything to say. */
static bool is_silent(int expert)
{
	return expert <= EXPERT_LAST_WEEK || expert >= EXPERT_WAVES;
}

/* What the experts of a horizon say of the bucket, and why. All but target and the combination. */
static void ask(const struct ensemble *f, const struct zone *z, const struct harmonic *waves,
                int horizon, int64_t bucket, struct ensemble_pending *p)
{
	const struct ensemble_model *m = &f->model[horizon];
	bool far = horizon == HORIZON_DAY;
	double s = local_s(f, z, bucket), base = base_at(f, z, s),
	       most = 2 * expm1((double)f->peak) + 5, said;

	p->base = (float)base;
	put_terms(f, z, horizon, bucket, p);
	for (int i = 0; i < ENSEMBLE_EXPERTS; i++) {
		switch ((enum ensemble_expert)i) {
		case EXPERT_LAST:
			said = far ? -1 : expm1(log_at(f, f->at));
			break;
		case EXPERT_EWMA:
			said = far ? -1 : (double)f->ewma;
			break;
		case EXPERT_YESTERDAY:
			said = same_then(f, z, bucket, like_before(f, z, bucket, 1));
			break;
		case EXPERT_LAST_WEEK:
			said = same_then(f, z, bucket, like_before(f, z, bucket, 7));
			break;
		case EXPERT_LEVEL:
			said = expm1(base + (double)f->level[far ? 3 : 1]);
			break;
		case EXPERT_SLOW_LEVEL:
			said = expm1(far ? base : base + (double)f->level[2]);
			break;
		case EXPERT_RLS:
			said = expm1(base + rls_say(&m->slow, p->x));
			break;
		case EXPERT_QUICK_RLS:
			said = expm1(base + rls_say(&m->quick, p->x));
			break;
		case EXPERT_WAVES:
			said = waves->valid ? expm1(waves_log(waves, s) +
			                            (double)(far ? 0 : f->waves_level))
			                    : -1;
			break;
		case EXPERT_PERIOD:
			said = waves->period_s >= 2 * ENSEMBLE_STEP_S
			               ? period_says(f, bucket, waves->period_s / ENSEMBLE_STEP_S)
			               : -1;
			break;
		case ENSEMBLE_EXPERTS:
		default:
			BUG_ON(true);
		}
		/* the lines and levels never come to -1 quite: a count of nothing is 0 */
		p->said[i] = said == -1 && is_silent(i) ? -1 : (float)fmin(fmax(said, 0), most);
	}
}

/* -- The combination -------------------------------------------------------------------------- */

static void weigh(const struct ensemble_model *m, double ret[ENSEMBLE_EXPERTS])
{
	double sum = 0;

	for (int i = 0; i < ENSEMBLE_EXPERTS; i++) {
		ret[i] = fmax((double)m->regret[i], 0) / (1 + (double)m->square[i]);
		sum += ret[i];
	}
	/* nothing known yet, or nothing to choose by */
	if (m->n < BEGINNER || !(sum > 0)) {
		for (int i = 0; i < ENSEMBLE_EXPERTS; i++)
			ret[i] = i == (m->n < BEGINNER ? EXPERT_EWMA : EXPERT_LEVEL);
		return;
	}
	for (int i = 0; i < ENSEMBLE_EXPERTS; i++)
		ret[i] /= sum;
}

static void combine(const struct ensemble_model *m, struct ensemble_pending *p)
{
	double w[ENSEMBLE_EXPERTS], sum = 0, all = 0, lo, hi;

	weigh(m, w);
	for (int i = 0; i < ENSEMBLE_EXPERTS; i++)
		if (p->said[i] >= 0) {
			sum += w[i] * (double)p->said[i];
			all += w[i];
		}
	/* who has the say is silent: the level speaks for them */
	p->median = all > 0 ? (float)(sum / all) : p->said[EXPERT_LEVEL];
	interval_at(&m->interval, (double)p->median, &lo, &hi);
	p->lo = (float)lo;
	p->hi = (float)hi;
}

/*
 * The count of a pending forecast has come. The regret of an expert is what following it a little
 * more would have saved, in units of the scatter of such a count.
 */
static void compare(struct ensemble_model *m, const struct ensemble_pending *p, double count,
                    double x)
{
	double median = (double)p->median, slope;

	slope = median > count ? 1 : median < count ? -1 : 0;
	for (int i = 0; i < ENSEMBLE_EXPERTS; i++) {
		double r = p->said[i] < 0
		                   ? 0
		                   : slope * (median - (double)p->said[i]) / sqrt(median + 1);

		m->regret[i] = (float)(REGRET_KEEP * (double)m->regret[i] + r);
		m->square[i] = (float)(REGRET_KEEP * (double)m->square[i] + r * r);
	}
	rls_learn(&m->slow, p->x, x - (double)p->base, KEEP);
	rls_learn(&m->quick, p->x, x - (double)p->base, QUICK_KEEP);
	interval_learn(&m->interval, median, (double)p->lo, (double)p->hi, count, INTERVAL_GAIN);
	m->counted = (float)(KEEP * (double)m->counted + count);
	m->median = (float)(KEEP * (double)m->median + median);
	m->n++;
}

static void note_errors(struct ensemble *f, const struct ensemble_pending *p, double count)
{
	double gain;

	/* all are compared on the same counts, or it would be no comparison */
	if (p->said[EXPERT_YESTERDAY] < 0)
		return;
	f->error_n++;
	gain = 1 / fmin((double)f->error_n, ERROR_BUCKETS);
	f->own_error += (float)(gain * (fabs((double)p->median - count) - (double)f->own_error));
	for (int i = 0; i < ENSEMBLE_EXPERTS; i++)
		if (p->said[i] >= 0)
			f->abs_error[i] += (float)(gain * (fabs((double)p->said[i] - count) -
			                                   (double)f->abs_error[i]));
}

/* The place of a forecast of this bucket; NULL where none is made. */
static struct ensemble_pending *pending(struct ensemble *f, int horizon, int64_t target)
{
	if (horizon == HORIZON_DAY)
		return target % ENSEMBLE_DAY_EVERY ? NULL
		                                   : &f->day[target / ENSEMBLE_DAY_EVERY %
		                                             (ENSEMBLE_DAY / ENSEMBLE_DAY_EVERY)];
	return &f->soon[(horizon == HORIZON_5M    ? 0
	                 : horizon == HORIZON_15M ? 1
	                                          : 4) +
	                target % AHEAD[horizon]];
}

/* -- Time goes on ----------------------------------------------------------------------------- */

void ensemble_add(struct ensemble *f, const struct zone *z, const struct harmonic *waves,
                  double count)
{
	double x = fmin(log1p(count), UINT16_MAX * LOG_UNIT), s, residual, n;

	f->at++;
	for (int h = 0; h < HORIZONS; h++) {
		struct ensemble_pending *p = pending(f, h, f->at);

		if (!p || p->target != f->at)
			continue;
		compare(&f->model[h], p, count, x);
		if (h == HORIZON_30M)
			note_errors(f, p, count);
	}
	n = (double)(f->at - f->first) + 1;
	s = local_s(f, z, f->at);
	if (f->mean_n == 0)
		f->mean = (float)x;
	residual = x - base_at(f, z, s);
	for (int i = 0; i < 4; i++)
		f->level[i] +=
		        (float)(fmax(LEVEL_GAIN[i], 1 / n) * (residual - (double)f->level[i]));
	if (waves->valid)
		f->waves_level +=
		        (float)(LEVEL_GAIN[1] * (x - waves_log(waves, s) - (double)f->waves_level));
	f->ewma += (float)(fmax(EWMA_GAIN, 1 / n) * (count - (double)f->ewma));
	f->peak = (float)fmax(x, (double)f->peak - PEAK_FADES);
	base_learn(f, z, s, x);
	remember(f, x, residual);
	for (int h = 0; h < HORIZONS; h++) {
		struct ensemble_pending *p = pending(f, h, f->at + AHEAD[h]);

		if (!p)
			continue;
		p->target = f->at + AHEAD[h];
		ask(f, z, waves, h, p->target, p);
		combine(&f->model[h], p);
	}
}

void ensemble_skip(struct ensemble *f, int64_t bucket)
{
	if (bucket <= f->at + 1)
		return;
	f->at = bucket - 1;
	f->first = bucket;
	for (int i = 0; i < 4; i++)
		f->level[i] = 0;
	f->waves_level = 0;
	f->ewma = 0;
}

/* -- Answers ---------------------------------------------------------------------------------- */

static struct ensemble_forecast answer(const struct ensemble *f, const struct zone *z,
                                       const struct harmonic *waves, int horizon, int64_t bucket)
{
	const struct ensemble_model *m = &f->model[horizon];
	struct ensemble_pending p;
	double ratio;

	ask(f, z, waves, horizon, bucket, &p);
	combine(m, &p);
	/* counts lie above their median more than below it, the more so the fewer there are */
	ratio = ((double)m->counted + 1) / ((double)m->median + 1);
	return (struct ensemble_forecast){(double)p.median, (double)p.lo, (double)p.hi,
	                                  (double)p.median * fmin(fmax(ratio, 0.5), 5)};
}

/* Nothing is known of now: what the time of the week says. */
static struct ensemble_forecast from_base(const struct ensemble *f, const struct zone *z,
                                          int64_t bucket)
{
	struct ensemble_forecast r;

	r.median = r.mean = expm1(base_at(f, z, local_s(f, z, bucket)));
	interval_at(&f->model[HORIZON_DAY].interval, r.median, &r.lo80, &r.hi80);
	return r;
}

/* On the scale on which levels fade. */
static double between(double a, double b, double share)
{
	double x = log1p(a);

	return expm1(x + (log1p(b) - x) * share);
}

struct ensemble_forecast ensemble_at(const struct ensemble *f, const struct zone *z,
                                     const struct harmonic *waves, int64_t bucket)
{
	struct ensemble_forecast a, b;
	int64_t ahead = bucket - f->at;
	double share;
	int h = 0;

	if (f->mean_n == 0)
		return (struct ensemble_forecast){0};
	if (f->at < f->first)
		return from_base(f, z, bucket);
	if (ahead < 1) {
		bucket = f->at + 1;
		ahead = 1;
	}
	while (h + 1 < HORIZONS && AHEAD[h + 1] <= ahead)
		h++;
	a = answer(f, z, waves, h, bucket);
	if (ahead == AHEAD[h] || h == HORIZON_DAY)
		return a;
	b = answer(f, z, waves, h + 1, bucket);
	share = log((double)ahead / AHEAD[h]) / log((double)AHEAD[h + 1] / AHEAD[h]);
	return (struct ensemble_forecast){
	        between(a.median, b.median, share), between(a.lo80, b.lo80, share),
	        between(a.hi80, b.hi80, share), between(a.mean, b.mean, share)};
}

void ensemble_weights(const struct ensemble *f, enum ensemble_horizon h,
                      double ret[ENSEMBLE_EXPERTS])
{
	weigh(&f->model[h], ret);
}

double ensemble_error(const struct ensemble *f, enum ensemble_expert beside)
{
	double e = (double)f->abs_error[beside];

	return f->error_n > 0 && e > 0 ? (double)f->own_error / e : NAN;
}

size_t ensemble_counts(const struct ensemble *f, float ret[ENSEMBLE_RING])
{
	size_t n = 0;
	int64_t from = f->at - ENSEMBLE_RING + 1;

	for (int64_t i = from > f->first ? from : f->first; i <= f->at; i++)
		ret[n++] = (float)expm1(log_at(f, i));
	return n;
}

/* -- To keep ---------------------------------------------------------------------------------- */

/* Goes through all that is kept in one order, out or in. */
struct carrier {
	double *v;
	bool out;
};

static void carry_floats(struct carrier *c, float *x, size_t n)
{
	for (size_t i = 0; i < n; i++, c->v++) {
		if (c->out)
			*c->v = (double)x[i];
		else
			x[i] = (float)*c->v;
	}
}

static void carry_doubles(struct carrier *c, double *x, size_t n)
{
	for (size_t i = 0; i < n; i++, c->v++) {
		if (c->out)
			*c->v = x[i];
		else
			x[i] = *c->v;
	}
}

static void carry(struct carrier *c, struct ensemble *f)
{
	carry_floats(c, f->sum[0], ZONE_DAY_KINDS * ENSEMBLE_SLOTS);
	carry_floats(c, f->days[0], ZONE_DAY_KINDS * ENSEMBLE_SLOTS);
	carry_floats(c, &f->mean, 1);
	carry_floats(c, &f->mean_n, 1);
	carry_floats(c, &f->ewma, 1);
	carry_floats(c, &f->peak, 1);
	for (int h = 0; h < HORIZONS; h++) {
		struct ensemble_model *m = &f->model[h];

		carry_doubles(c, m->slow.w, RLS_TERMS);
		carry_doubles(c, m->quick.w, RLS_TERMS);
		carry_floats(c, m->regret, ENSEMBLE_EXPERTS);
		carry_floats(c, m->square, ENSEMBLE_EXPERTS);
		carry_floats(c, &m->interval.below, 1);
		carry_floats(c, &m->interval.above, 1);
		carry_floats(c, &m->interval.abs_error, 1);
		carry_floats(c, &m->interval.n, 1);
		carry_floats(c, &m->n, 1);
	}
}

void ensemble_state(const struct ensemble *f, double ret[ENSEMBLE_STATE])
{
	struct ensemble copy = *f;
	struct carrier c = {ret, true};

	carry(&c, &copy);
	BUG_ON(c.v != ret + ENSEMBLE_STATE);
}

/* Within what these numbers can be: a file may hold anything. */
static bool is_state(const struct ensemble *f)
{
	for (int k = 0; k < ZONE_DAY_KINDS; k++)
		for (int i = 0; i < ENSEMBLE_SLOTS; i++)
			if (!(f->sum[k][i] >= 0 && f->days[k][i] >= 0 && f->days[k][i] <= 15 &&
			      f->sum[k][i] <= 23 * f->days[k][i] + 1))
				return false;
	if (!(f->mean >= 0 && f->mean <= 23 && f->mean_n >= 0 && f->ewma >= 0 && f->ewma < 5e9f &&
	      f->peak >= 0 && f->peak <= 23))
		return false;
	for (int h = 0; h < HORIZONS; h++) {
		const struct ensemble_model *m = &f->model[h];

		for (int i = 0; i < RLS_TERMS; i++)
			if (!(fabs(m->slow.w[i]) <= 5 && fabs(m->quick.w[i]) <= 5))
				return false;
		for (int i = 0; i < ENSEMBLE_EXPERTS; i++)
			if (!(fabsf(m->regret[i]) < 1e12f && m->square[i] >= 0))
				return false;
		if (!(fabsf(m->interval.below) < 1e5f && fabsf(m->interval.above) < 1e5f &&
		      m->interval.abs_error >= 0 && m->interval.n >= 0 && m->n >= 0))
			return false;
	}
	return true;
}

bool ensemble_restore(struct ensemble *f, const double v[ENSEMBLE_STATE])
{
	struct ensemble new = *f;
	double copy[ENSEMBLE_STATE];
	struct carrier c = {copy, false};

	memcpy(copy, v, sizeof(copy));
	carry(&c, &new);
	if (!is_state(&new))
		return false;
	/* how sure the lines are is not kept: enough to go on with them, not to be stuck */
	for (int h = 0; h < HORIZONS; h++) {
		rls_trust(&new.model[h].slow, RESTORED_VARIANCE);
		rls_trust(&new.model[h].quick, RESTORED_VARIANCE);
	}
	*f = new;
	return true;
}
