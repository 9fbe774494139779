/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "analyzer/endpoint.h"

#include "base/mem.h"
#include "models/wander.h"

#include <math.h>
#include <stdlib.h>

/*
 * The pool learns after so many looks at the latest, from about so many of the keys; in several steps
 * where these are all. Posteriors follow when so large a share of the keys has moved in it.
 */
static const unsigned POOL_EVERY = 300, POOL_SAMPLE = 250;
static const int POOL_STEPS = 3;
static const double POOL_MOVED = 0.02;

/* Where there is only a sample, what is known counts as so many keys at the least. */
static const double POOL_MEMORY = 100;

/* Evidence of the change rate halves over this many of its own mean intervals, a day at least: a
 * fast key forgets fast. */
static const double FORGET_CHANGES = 20, FORGET_MIN_S = 86400;

/*
 * What is known of the tempo: its logarithm wanders around 0 with a standard deviation of 10 %, that is
 * an information (the inverse of the variance, in predicted stale serves) of 100 at any time; what it
 * says of now it says half of in two hours. By measurement: at 14 % chance begins to spoil the predictions
 * of endpoints that need no tempo. More information than a day's regimes need is not kept, and beyond
 * 4.5 times it is another rate, which surprise.h is there to find.
 */
static const double TEMPO_USUAL = 100, TEMPO_HALF_S = 7200, TEMPO_MEMORY = 300, TEMPO_MAX = 1.5;
static const double SATURATED = 27; /* expected changes: one is as good as sure */

/* Last-Modified has whole seconds, and clocks are a little apart. */
static const struct span MODIFIED_GRAIN = {2000000};

/* No first Last-Modified speaks of more than this. */
static const double FIRST_AGE_MAX_S = 30 * 86400.0;

/*
 * A version that counts does not jump by more than this between two looks. Where at most one change
 * was expected more than a few are no count; and what is surer than this to have changed has.
 */
static const double COUNTER_STEP = 1000, COUNTER_FEW = 8, COUNTER_SURE = 0.99;

/*
 * So many of the latest looks (1 / TURN_GAIN) must have found a key in another regime for all to be
 * taken to be. Keys are found out after 10 looks or more, so a tenth is the most that can be.
 */
static const double TURN_GAIN = 1.0 / 50, TURN_SHARE = 0.08;

/*
 * Keys that alternate between busy and quiet times alarm again and again, and are best left to what
 * they do on average. So each rush of alarms of an endpoint doubles the evidence that the next one
 * takes, once so many looks have passed without a turn of all, and until many more have forgotten.
 * So many: enough for each of the keys to be found out, who go quiet together and alarm in turn.
 */
static const double ALARM_MEMORY = 300000, ALARM_MAX = 1e4;
static const double ALARM_RUSH = 300, ALARM_RUSH_KEY = 20, ALARM_RUSH_MAX = 1500;

/* What a posterior knows at the least that has not just begun anew. */
static const double TURN_KNOWN = 3;

void endpoint_init(struct endpoint *ep, struct change prior)
{
	*ep = (struct endpoint){
	        .tempo_at = INSTANT_NONE,
	        .alarm = SURPRISE_ALARM,
	        .surprised_key = KEY_NONE,
	        .slowness = 1,
	};
	endpoint_restore_prior(ep, prior);
	correction_init(&ep->audited);
	activity_init(&ep->activity);
	demand_init(&ep->demand);
}

void endpoint_release(struct endpoint *ep)
{
	free(ep->shape);
	demand_release(&ep->demand);
	vec_free(&ep->keys);
}

struct change endpoint_posterior(const struct endpoint *ep, const struct key *k)
{
	if (!k->looks)
		return ep->prior;
	if (k->prior_no == ep->prior_no)
		return (struct change){k->a, k->b};
	return pool_posterior(k->stray ? NULL : &ep->pool, &k->seen);
}

static void settle(const struct endpoint *ep, struct key *k)
{
	struct change c = endpoint_posterior(ep, k);

	k->a = (float)c.a;
	k->b = (float)c.b;
	k->prior_no = ep->prior_no;
}

/* The pool is another one: so are all posteriors. */
static void renew_prior(struct endpoint *ep)
{
	const struct looks nothing = {0};

	ep->prior = pool_posterior(&ep->pool, &nothing);
	ep->pool_moved = 0;
	if (!++ep->prior_no)
		ep->prior_no++;
}

void endpoint_restore_pool(struct endpoint *ep, const double *share)
{
	pool_restore(&ep->pool, share);
	renew_prior(ep);
}

void endpoint_restore_prior(struct endpoint *ep, struct change prior)
{
	pool_init(&ep->pool, prior);
	renew_prior(ep);
}

/* Requests per second of the demand clock that a key of the endpoint gets in the mean. */
static double mean_key_rate(const struct endpoint *ep)
{
	double per_bin = ep->demand.mean_n > 0 ? ep->demand.mean : ep->demand.count;

	return fmax(per_bin / SHAPE_BIN_S / (double)(ep->keys.n ? ep->keys.n : 1), 1e-7);
}

/* Share of request evidence that is left after s seconds of the demand clock. */
static double decay(double s)
{
	return exp2(-s / KEY_RATE_HALF_S);
}

bool endpoint_request(struct endpoint *ep, const struct zone *z, struct key *k, struct instant t,
                      double count)
{
	bool jumped = demand_count(&ep->demand, z, t, count);

	if (instant_is_set(k->last_seen) && t.us > k->last_seen.us) {
		double s = shape_mass(ep->demand.shape, z, k->last_seen, t), keep = decay(s);

		k->rate_n = k->rate_n * keep;
		k->rate_s = k->rate_s * keep + s;
	}
	k->rate_n += count;
	if (!instant_is_set(k->last_seen) || t.us > k->last_seen.us)
		k->last_seen = t;
	if (k->looks && k->prior_no != ep->prior_no)
		settle(ep, k);
	ep->requests += (uint64_t)count;
	return jumped;
}

double endpoint_key_rate(const struct endpoint *ep, const struct zone *z, const struct key *k,
                         struct instant t)
{
	double s = 0, keep = 1;

	if (instant_is_set(k->last_seen) && t.us > k->last_seen.us) {
		s = shape_mass(ep->demand.shape, z, k->last_seen, t);
		keep = decay(s);
	}
	/* the prior: one request in the mean time between requests of this endpoint's keys */
	return (k->rate_n * keep + 1) / (k->rate_s * keep + s + 1 / mean_key_rate(ep));
}

void endpoint_set_tempo(struct endpoint *ep, double log_tempo)
{
	ep->log_tempo = log_tempo;
	ep->slowness = exp(-log_tempo - activity_log(&ep->activity));
}

struct change endpoint_predictive(const struct endpoint *ep, const struct key *k)
{
	struct change c = endpoint_posterior(ep, k);

	c.b *= ep->slowness;
	return c;
}

double endpoint_p_stale(const struct endpoint *ep, const struct zone *z, const struct key *k,
                        struct instant t)
{
	return change_p(endpoint_predictive(ep, k), shape_mass(ep->shape, z, k->loaded, t));
}

/* A tempo is of the hour: what is left of it at t, and what is still known of it. */
static void fade_tempo(struct endpoint *ep, struct instant t)
{
	if (instant_is_set(ep->tempo_at)) {
		double keep;

		if (t.us <= ep->tempo_at.us)
			return; /* late news */
		keep = exp2(-span_s(instant_diff(t, ep->tempo_at)) / TEMPO_HALF_S);
		endpoint_set_tempo(ep, ep->log_tempo * keep);
		ep->tempo_info = wander_info(ep->tempo_info, TEMPO_USUAL, keep);
	}
	ep->tempo_at = t;
}

/* One Newton step of the estimating equation in endpoint.h, for an interval of tau. */
static void learn_tempo(struct endpoint *ep, const struct key *k, struct change posterior,
                        double tau, bool changed)
{
	struct change c = posterior;
	double p, x, info, score, log_tempo;

	if (!k->hits || !(k->p_sum > 0))
		return;
	c.b *= ep->slowness;
	/* changes expected: how far from saturated */
	x = c.a * log1p(tau / c.b);
	x = x < SATURATED ? x : SATURATED;
	p = -expm1(-x);
	if (!(p > 0))
		return;
	score = changed ? k->p_sum / p - k->p_sum : -k->p_sum;
	info = k->p_sum * x * (1 - p) / p;
	if (ep->tempo_info > TEMPO_MEMORY)
		ep->tempo_info = TEMPO_MEMORY;
	ep->tempo_info += info;
	log_tempo = ep->log_tempo + score / (ep->tempo_info + TEMPO_USUAL);
	endpoint_set_tempo(ep, fmin(fmax(log_tempo, -TEMPO_MAX), TEMPO_MAX));
}

static void forget(const struct endpoint *ep, struct key *k, struct change c, double tau)
{
	double half_s = fmax(FORGET_CHANGES * c.b / c.a, FORGET_MIN_S * shape_pace(ep->shape));

	looks_forget(&k->seen, exp2(-tau / half_s));
}

/*
 * Is it news of the key? That all stand still at present may be a holiday, or be so from now on: so each is
 * expected to have slowed down half as much (in the logarithm). A rush counts in full: it may be of the one key
 * that the endpoint has, and believed too late it costs stale answers.
 */
static enum surprised surprise(const struct endpoint *ep, struct key *k, struct change c,
                               double tau, bool changed)
{
	return surprise_look(&k->surprise, c, tau / sqrt(fmax(ep->slowness, 1)), changed,
	                     ep->alarm);
}

/* One more look has been taken down. */
static void learned(struct endpoint *ep, struct key *k)
{
	if (k->looks < UINT16_MAX)
		k->looks++;
	k->prior_no = 0;
	settle(ep, k);
	ep->looks_since_pool++;
	k->flags |= KEY_DIRTY;
	ep->dirty = true;
}

static uint32_t whole_seconds(struct instant t)
{
	return instant_is_set(t) && t.us > 0 ? (uint32_t)fmin((double)(t.us / 1000000), UINT32_MAX)
	                                     : 0;
}

/*
 * Puts Last-Modified beside what was seen. Returns the operational seconds from the last change to
 * b where it may be believed, else NAN.
 */
static double heed_modified(struct endpoint *ep, const struct zone *z, struct key *k,
                            struct instant a, struct instant b, bool changed,
                            struct instant modified)
{
	uint32_t before = k->modified_s, now = whole_seconds(modified);
	double age_s;

	if (!now) {
		k->modified_s = changed ? 0 : before;
		return NAN;
	}
	k->modified_s = now;
	if (before)
		witness_look(&ep->modified, changed,
		             fabs((double)now - before) > span_s(MODIFIED_GRAIN),
		             modified.us >= a.us - MODIFIED_GRAIN.us);
	if (!changed || modified.us < a.us - MODIFIED_GRAIN.us || !witness_believed(&ep->modified))
		return NAN;
	/*
	 * Modified just now: whole seconds say nothing so near, and so do servers that make each
	 * answer anew. That it changed since the look before remains.
	 */
	age_s = span_s(instant_diff(b, modified));
	if (age_s < span_s(MODIFIED_GRAIN))
		return NAN;
	return shape_mass(ep->shape, z, instant_max(a, modified), b);
}

/*
 * The same for versions, of changes since the look before; NAN: do not believe it. A time is no
 * count, though it grows, too: it tells of many changes where the looks say that there was about
 * one, or of changes that must have come and did not.
 */
static double heed_counter(struct endpoint *ep, struct change posterior, double tau, bool changed,
                           const struct testimony *says)
{
	double n = says->now > says->before ? (double)(says->now - says->before) : 0;
	double expected = posterior.a / posterior.b * tau;

	if (!says->now || !says->before)
		return NAN;
	if (changed)
		witness_look(&ep->counter, true, n >= 1,
		             n <= COUNTER_STEP && (n <= COUNTER_FEW || expected > 1));
	else if (witness_believed(&ep->counter) && change_p(posterior, tau) > COUNTER_SURE)
		witness_look(&ep->counter, false, true, true);
	return changed && n <= COUNTER_STEP && witness_believed(&ep->counter) ? n : NAN;
}

/*
 * As much as one or two changes say: the next looks decide. Of a key that has gone quiet none was seen, and half
 * of one is what the prior of Jeffreys has of a Poisson rate: the longer it stays quiet, the lower it goes.
 */
static const double RESTART_FASTER = 1.5, RESTART_SLOWER = 0.5;

/* Another regime: the rate is about factor > 0 times what was believed; little is known of it. */
static void restart(struct key *k, struct change believed, double factor)
{
	looks_restart(&k->seen, factor > 1 ? RESTART_FASTER : RESTART_SLOWER,
	              believed.a / believed.b * factor);
	k->prior_no = 0;
}

/* A key is in another regime: forget all but the direction, and count for the endpoint. */
static void heed_surprise(struct endpoint *ep, struct key *k, enum surprised surprised)
{
	bool again = surprised && k->place == ep->surprised_key;

	if (surprised) {
		/* before it is a stray: that is another prior */
		struct change believed = endpoint_posterior(ep, k);

		k->stray = true;
		restart(k, believed, surprise_factor(surprised));
		settle(ep, k);
		ep->surprises++;
		ep->surprised_key = k->place;
	}
	ep->alarm += (SURPRISE_ALARM - ep->alarm) / ALARM_MEMORY;
	if (surprised && !ep->rush)
		ep->rush = (uint32_t)fmin(ALARM_RUSH + ALARM_RUSH_KEY * (double)ep->keys.n,
		                          ALARM_RUSH_MAX);
	else if (ep->rush && --ep->rush == 0)
		ep->alarm = fmin(2 * ep->alarm, ALARM_MAX);
	/* one key that finds its new rate in several steps is not several keys */
	ep->faster += TURN_GAIN * ((surprised == SURPRISED_FASTER && !again) - ep->faster);
	ep->slower += TURN_GAIN * ((surprised == SURPRISED_SLOWER && !again) - ep->slower);
}

/* Asks memory for what has been learned of a key: two lines of the processor's cache. */
static inline void ask_for_learned(const struct key *k)
{
	__builtin_prefetch(&k->looks);
	__builtin_prefetch((const char *)&k->looks + MEM_LINE);
}

/*
 * Asks memory for what a look will touch of the key and the endpoint, all at once: of a million keys
 * it is far away, and so that each does not wait for the one before. The shape asks for its own.
 */
static void ask_for(const struct endpoint *ep, const struct key *k)
{
	ask_for_learned(k);
	for (const char *p = (const char *)ep; p < (const char *)&ep->demand; p += MEM_LINE)
		__builtin_prefetch(p);
}

void endpoint_look(struct endpoint *ep, const struct zone *z, struct key *k, struct instant a,
                   struct instant b, bool changed, const struct testimony *says)
{
	double tau, usual, spoken, since = NAN, count = NAN;
	enum surprised surprised;
	struct change c;

	ask_for(ep, k);
	tau = shape_mass_to_learn(ep->shape, z, a, b);
	if (!(tau > 0))
		return;
	c = endpoint_posterior(ep, k);
	activity_fade(&ep->activity, b);
	usual = tau * activity_seconds(&ep->activity);
	fade_tempo(ep, b);
	surprised = surprise(ep, k, c, tau, changed);
	learn_tempo(ep, k, c, tau, changed);
	if (!ep->shape) {
		ep->shape = mem_calloc(1, sizeof(*ep->shape));
		shape_init(ep->shape);
	}
	shape_learn(ep->shape, z, a, b, tau, c.a / c.b * usual / tau, changed);
	if (says) {
		since = heed_modified(ep, z, k, a, b, changed, says->modified);
		count = heed_counter(ep, c, tau, changed, says);
	}
	spoken = activity_log(&ep->activity);
	activity_learn(&ep->activity, c, tau, changed);
	if (activity_log(&ep->activity) != spoken)
		endpoint_set_tempo(ep, ep->log_tempo);
	forget(ep, k, c, usual);
	*(changed ? &ep->seen_changed : &ep->seen_same) += 1;
	ep->told += isfinite(count) || isfinite(since);
	if (isfinite(count))
		looks_count(&k->seen, count, usual);
	else if (isfinite(since))
		looks_count(&k->seen, 1, since * usual / tau);
	else if (changed)
		looks_changed(&k->seen, usual);
	else
		looks_unchanged(&k->seen, usual);
	learned(ep, k);
	heed_surprise(ep, k, surprised);
}

void endpoint_first(struct endpoint *ep, const struct zone *z, struct key *k, struct instant b,
                    struct instant modified)
{
	double age_s;

	k->modified_s = whole_seconds(modified);
	if (!k->modified_s || !witness_believed(&ep->modified))
		return;
	age_s = span_s(instant_diff(b, modified));
	if (age_s < span_s(MODIFIED_GRAIN))
		return;
	/* of a file of ten years it is enough to know that it was not touched for long */
	if (age_s > FIRST_AGE_MAX_S)
		looks_unchanged(
		        &k->seen,
		        shape_mass(ep->shape, z, instant_add(b, span_from_s(-FIRST_AGE_MAX_S)), b));
	else
		looks_count(&k->seen, 1, shape_mass(ep->shape, z, modified, b));
	learned(ep, k);
}

void endpoint_event(struct endpoint *ep, const struct zone *z, struct key *k, struct instant a,
                    struct instant b)
{
	double tau = shape_mass(ep->shape, z, a, b);
	struct change c = endpoint_posterior(ep, k);

	if (!(tau > 0))
		return;
	forget(ep, k, c, tau);
	ep->announced++;
	looks_count(&k->seen, 1, tau);
	learned(ep, k);
}

void endpoint_audit(struct endpoint *ep, struct instant t, double weight, double said, bool stale)
{
	ep->audits++;
	ep->audits_stale += stale;
	correction_add(&ep->audited, t, weight, said, stale);
}

bool endpoint_turn(struct endpoint *ep, struct key *keys)
{
	double factor =
	        surprise_factor(ep->faster > TURN_SHARE ? SURPRISED_FASTER : SURPRISED_SLOWER);

	if (ep->faster <= TURN_SHARE && ep->slower <= TURN_SHARE)
		return false;
	ep->faster = ep->slower = 0;
	ep->rush = 0;
	ep->turns++;
	for (size_t i = 0; i < ep->keys.n; i++) {
		struct key *k = &keys[ep->keys.v[i]];
		struct change c = endpoint_posterior(ep, k);

		/* those found out by themselves have taken this step */
		if (k->looks && c.a > TURN_KNOWN) {
			restart(k, c, factor);
			k->surprise = (struct surprise){0};
			k->flags |= KEY_DIRTY;
		}
		k->planned = INSTANT_NONE;
	}
	activity_explain(&ep->activity, factor);
	endpoint_set_tempo(ep, ep->log_tempo);
	pool_scale(&ep->pool, factor);
	renew_prior(ep);
	ep->dirty = true;
	return true;
}

/* So many keys before it is added a key is asked for. */
static const size_t AHEAD = 4;

/* One step for all of them, or every stride-th. */
static double learn_pool(struct endpoint *ep, const struct key *keys, struct change parent,
                         size_t stride)
{
	struct pool_sum sum = {0};
	/* others each time */
	size_t first = (ep->seen_same + ep->seen_changed) / POOL_EVERY % stride;

	for (size_t i = first; i < ep->keys.n; i += stride) {
		const struct key *k = &keys[ep->keys.v[i]];

		/* of a million keys each is far away: farther than one is added in */
		if (i + AHEAD * stride < ep->keys.n)
			ask_for_learned(&keys[ep->keys.v[i + AHEAD * stride]]);
		if (k->looks)
			pool_add(&sum, k->stray ? NULL : &ep->pool, &k->seen);
	}
	/* of keys that nobody has looked at yet a sample may find no others */
	if (!(sum.n > 0))
		return 0;
	ep->pool_keys = sum.n * (double)stride;
	return pool_learn(&ep->pool, &sum, parent, stride > 1 ? fmax(sum.n, POOL_MEMORY) : 0);
}

void endpoint_pool(struct endpoint *ep, const struct key *keys, struct change parent)
{
	size_t stride;

	/* often while there is little: the first keys of an endpoint profit most */
	if (ep->looks_since_pool < POOL_EVERY && ep->looks_since_pool * 2 < ep->pool_keys + 10)
		return;
	ep->looks_since_pool = 0;
	stride = ep->keys.n / POOL_SAMPLE + 1;
	for (int i = 0; i < (stride > 1 ? 1 : POOL_STEPS); i++)
		ep->pool_moved += learn_pool(ep, keys, parent, stride);
	if (ep->pool_moved > POOL_MOVED)
		renew_prior(ep);
	ep->dirty = true;
}
