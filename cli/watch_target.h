/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What looking at one URL again and again tells: how often its content changes, how surely, when to
 * look next, and what TTL follows. Pure: times are handed in, nothing is fetched here.
 *
 * HOW IT WORKS each look gives evidence for a posterior of the change rate (models/change.h). A
 * look that finds a change says only "at least one since the last look"; naive counting would miss
 * the others. Last-Modified says more, namely when, and is believed once it has stood still while
 * the content did and has never contradicted it.
 *
 * The next look comes when a change has become about as likely as not: looks that nearly always or
 * nearly never find one teach little.
 *
 * INVARIANTS looks come in time order.
 */
#ifndef FORECACHED_CLI_WATCH_TARGET_H
#define FORECACHED_CLI_WATCH_TARGET_H

#include "models/change.h"

#include <stdbool.h>
#include <stdint.h>

struct watch_look {
	double at_s;            /* when the origin was asked, seconds */
	bool not_modified;      /* 304: version is not known, and not needed */
	uint64_t version;       /* hash of the content */
	double last_modified_s; /* by the origin's clock; NAN: not said */
	double date_s;          /* the origin's clock; NAN: not said */
};

enum watch_verdict { WATCH_FIRST, WATCH_UNCHANGED, WATCH_CHANGED };

struct watch_target {
	struct change rate;
	double every_s;    /* shortest interval between looks */
	double past_cap_s; /* what the first Last-Modified may count for at most */
	unsigned looks, changes, not_modified;
	double first_s, last_s; /* times of looks */
	uint64_t version;
	double last_modified_s;
	double first_age_s; /* of the first Last-Modified, until it is believed; else NAN */
	/* Last-Modified stood still, or moved, with the content; or it did not */
	unsigned lm_stood, lm_moved, lm_wrong;
};

/*
 * every_s > 0: the shortest interval between looks, which also sets the prior: a change per
 * interval, believed as much as half a change seen.
 */
void watch_target_init(struct watch_target *t, double every_s, double past_cap_s);

/*
 * Takes a look in. With WATCH_CHANGED *ret_changed_s is when: by a believed Last-Modified, else in
 * the middle between the two looks.
 */
enum watch_verdict watch_target_look(struct watch_target *t, const struct watch_look *look,
                                     double *ret_changed_s);

bool watch_target_believes_last_modified(const struct watch_target *t);

/* Seconds until the next look, every_s to max_s. */
double watch_target_interval(const struct watch_target *t, double max_s);

/*
 * The TTL in seconds at which the share of stale answers, averaged over the TTL and over what the
 * rate may be, is max_stale (0 < max_stale < 1). May be HUGE_VAL.
 */
double watch_advised_ttl(struct change rate, double max_stale);

#endif
