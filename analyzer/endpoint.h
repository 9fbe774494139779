/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is known of one endpoint: what its keys have in common (the prior of their change rates, the
 * shape of the week in which they change, the demand for them) and how well that predicts.
 *
 * HOW IT WORKS real changes are not quite Poisson: they come in bursts or on a timetable, and most
 * of what loads reveal is of long intervals while answers are given at short ages. So each endpoint
 * learns a factor, the tempo, by which rates have to be multiplied for the staleness of its answers
 * to come out right. Each load reveals whether the value changed in (a, b). If it did, an answer
 * given at age u was stale with probability S(u) / S(b - a), else it was not; the tempo is where
 * the sum of these equals the sum of the predicted S(u). It moves by one Newton step per load; an
 * interval that was sure to hold a change weighs nothing, an audit (which ends the interval right
 * at an answer) most. A tempo is of the hour: it fades. What is common to all keys and far from usual, as in a
 * silent afternoon, is kept out of what is learned of each of them (activity.h), until there is so much of it
 * that they are taken to be in another regime (endpoint_turn).
 */
#ifndef FORECACHED_ANALYZER_ENDPOINT_H
#define FORECACHED_ANALYZER_ENDPOINT_H

#include "analyzer/key.h"
#include "analyzer/witness.h"
#include "base/loghist.h"
#include "base/vec.h"
#include "base/zone.h"
#include "models/activity.h"
#include "models/change.h"
#include "models/correction.h"
#include "models/demand.h"
#include "models/pool.h"
#include "models/shape.h"

#include <stdint.h>

/* In this order so that what each look reads and writes lies together, from the pool's end on. */
struct endpoint {
	/* learned */
	struct pool pool;    /* of its keys' change rates */
	struct change prior; /* the Gamma nearest to it */
	struct shape *shape; /* of volatility; NULL: flat so far */
	/*
	 * by how much changes come faster than the posteriors say just after loads (endpoint_look), and
	 * the information that looks of late have given of it, beyond what is usual
	 */
	double log_tempo, tempo_info;
	struct instant tempo_at; /* when it last moved */
	struct activity activity; /* of all keys, at present */
	double slowness; /* of tempo and activity: each answer is judged by it (endpoint_set_tempo) */
	double pool_moved;       /* share of keys that has moved in the pool since the prior was made */
	double pool_keys;        /* keys behind the prior */
	unsigned looks_since_pool;
	uint16_t prior_no; /* counts the priors that keys' posteriors are made with; never 0 */
	bool dirty;
	/* share of the latest looks at which a key was found to change faster, or slower, than known */
	double faster, slower;
	double alarm;              /* evidence that it takes (surprise.h) */
	uint32_t rush;             /* looks until that is raised for the alarms of late; 0: none */
	uint32_t surprised_key;    /* the place of the last such key */
	uint64_t surprises, turns; /* keys, and times that all keys, were found so */
	/* looks that found the value unchanged, or changed; of these dated or counted by the origin */
	uint64_t seen_same, seen_changed, told;
	VEC(uint32_t) keys; /* ids, in no order */
	/* may Last-Modified be believed, and do versions count changes? */
	struct witness modified, counter;
	struct demand demand;
	struct loghist load_us;
	struct correction audited; /* of predicted staleness, by the stale answers that audits found */
	/* counted */
	uint64_t requests, hits, loads, errors, audits, audits_stale;
	uint64_t announced;                                /* changes that events told of */
	double recent_requests, recent_hits, recent_stale; /* decayed: over about the last 10,000 */
};

void endpoint_init(struct endpoint *ep, struct change prior);
void endpoint_release(struct endpoint *ep);

/* The posterior of a key's change rate. */
struct change endpoint_posterior(const struct endpoint *ep, const struct key *k);

/* Takes a prior back that was kept: POOL_BINS shares, or as a Gamma. */
void endpoint_restore_pool(struct endpoint *ep, const double *share);
void endpoint_restore_prior(struct endpoint *ep, struct change prior);

/*
 * count requests for the key at t: demand and the key's share of it. Late ones count as of the
 * latest. True when the endpoint's requests have just jumped beyond what was forecast.
 */
bool endpoint_request(struct endpoint *ep, const struct zone *z, struct key *k, struct instant t,
                      double count);

/* The key's requests per second of the demand clock, as of t. */
double endpoint_key_rate(const struct endpoint *ep, const struct zone *z, const struct key *k,
                         struct instant t);

/* What the origin says of the value that was read. */
struct testimony {
	struct instant modified; /* Last-Modified; INSTANT_NONE: not said */
	/*
	 * the versions read before and now, if they may be counters; 0: unknown. Versions that are
	 * hashes are soon known for what they are.
	 */
	uint64_t before, now;
};

/*
 * Two reads of the origin, at a and b, gave different values or the same one. Learns the key's rate
 * and the endpoint's shape, and compares what had been predicted of the hits in between with what
 * this look reveals of them. k->p_sum and k->hits are the hits since a; the caller resets them.
 * What the origin says itself (NULL: nothing) is checked, and used once it has proved true.
 */
void endpoint_look(struct endpoint *ep, const struct zone *z, struct key *k, struct instant a,
                   struct instant b, bool changed, const struct testimony *says);

/*
 * The key's value was read, at b, for the first time. Where Last-Modified is believed it tells of
 * the change before: seen from any instant the last change of a Poisson process is as far back as
 * the next one is ahead.
 */
void endpoint_first(struct endpoint *ep, const struct zone *z, struct key *k, struct instant b,
                    struct instant modified);

/* The value read at a was replaced at b: a change event. Exact evidence. */
void endpoint_event(struct endpoint *ep, const struct zone *z, struct key *k, struct instant a,
                    struct instant b);

/* P(the value loaded at k->loaded has been replaced by t). */
double endpoint_p_stale(const struct endpoint *ep, const struct zone *z, const struct key *k,
                        struct instant t);

void endpoint_set_tempo(struct endpoint *ep, double log_tempo);

/* The posterior with tempo and activity applied: what predictions are made with. */
struct change endpoint_predictive(const struct endpoint *ep, const struct key *k);

/*
 * An audit found that the answer it checks, of t, was stale or not. said: the probability predicted for
 * it; weight: the inverse of how much more often than others such answers are audited.
 */
void endpoint_audit(struct endpoint *ep, struct instant t, double weight, double said, bool stale);

/*
 * When several keys were lately found in another regime in the same way, all of them are taken to
 * be: a deployment, a new feed. Their plans are to be made anew. True when that was so.
 */
bool endpoint_turn(struct endpoint *ep, struct key *keys);

/* Renews the prior from the keys, when enough has been seen since. keys: the table of all keys. */
void endpoint_pool(struct endpoint *ep, const struct key *keys, struct change parent);

#endif
