/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is known of one endpoint: what its keys have in common (the prior of their change rates, the
 * shape of the week in which they change, the demand for them) and how well that predicts.
 */
#ifndef FORECACHED_ANALYZER_ENDPOINT_H
#define FORECACHED_ANALYZER_ENDPOINT_H

#include "analyzer/key.h"
#include "base/loghist.h"
#include "base/vec.h"
#include "base/zone.h"
#include "models/change.h"
#include "models/demand.h"
#include "models/shape.h"

#include <stdint.h>

struct endpoint {
	/* learned */
	struct change prior;   /* of its keys' change rates */
	double pool_keys;      /* keys behind the prior */
	struct shape *shape;   /* of volatility; NULL: flat so far */
	struct demand demand;
	struct loghist load_us;
	unsigned looks_since_pool;
	/* calibration of predicted staleness: what loads revealed and what had been predicted */
	double seen_stale, said_stale;
	VEC(uint32_t) keys; /* ids, in no order */
	/* counted */
	uint64_t requests, hits, loads, errors, audits, audits_stale;
	double recent_requests, recent_hits, recent_stale; /* decayed: over about the last 10,000 */
	bool dirty;
};

void endpoint_init(struct endpoint *ep, struct change prior);
void endpoint_release(struct endpoint *ep);

/* The effective posterior of a key, and the way back after an update. */
struct change endpoint_posterior(const struct endpoint *ep, const struct key *k);
void endpoint_set_posterior(const struct endpoint *ep, struct key *k, struct change c);

/* A request for the key at t: demand and the key's share of it. */
void endpoint_request(struct endpoint *ep, const struct zone *z, struct key *k, struct instant t,
                      double count);

/* The key's requests per second of the demand clock, as of t. */
double endpoint_key_rate(const struct endpoint *ep, const struct zone *z, const struct key *k,
                         struct instant t);

/*
 * Two reads of the origin, at a and b, gave different values or the same one. Learns the key's rate
 * and the endpoint's shape, and compares what had been predicted of the hits in between with what
 * this look reveals of them. k->p_sum and k->hits are the hits since a; the caller resets them.
 */
void endpoint_look(struct endpoint *ep, const struct zone *z, struct key *k, struct instant a,
                   struct instant b, bool changed);

/* P(the value loaded at k->loaded has been replaced by t). */
double endpoint_p_stale(const struct endpoint *ep, const struct zone *z, const struct key *k,
                        struct instant t);

/*
 * By how much predicted staleness has to be multiplied to fit what was seen; 1 without evidence.
 * `pseudo` stale serves of belief in 1.
 */
double endpoint_calibration(const struct endpoint *ep);

/* Renews the prior from the keys, when enough has been seen since. keys: the table of all keys. */
void endpoint_pool(struct endpoint *ep, struct key *keys, struct change parent);

#endif
