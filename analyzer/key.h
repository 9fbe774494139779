/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is known of one key: how often it is asked for, how often it changes, what a load costs, and
 * how the value now held has fared since it was loaded.
 *
 * HOW IT WORKS what looks have said of the change rate (looks.h) is kept apart from the prior, which
 * is the endpoint's (pool.h): as that becomes a better one, so does what is believed of the key.
 * The request rate is a Gamma too, on the endpoint's demand clock, with its evidence halved every
 * KEY_RATE_HALF_S.
 */
#ifndef FORECACHED_ANALYZER_KEY_H
#define FORECACHED_ANALYZER_KEY_H

#include "base/instant.h"
#include "models/change.h"
#include "models/looks.h"
#include "models/surprise.h"

#include <stdbool.h>
#include <stdint.h>

#define KEY_NONE UINT32_MAX

enum key_flag {
	KEY_HELD = 1,        /* a value is held (by us, or by the app that told us of its load) */
	KEY_OURS = 2,        /* ... and it is in our cache, not in the app's */
	KEY_AHEAD = 4,       /* the plan is to refresh it before it expires */
	KEY_ABSENT = 8,      /* the origin said there is no such thing; stands until `soft` */
	KEY_CLIENT_TTL = 16, /* client_ttl holds the app's own TTL */
	KEY_HELD_OUT = 32,   /* in the control group: static TTL */
	KEY_FAILED = 128,    /* the last load failed and nothing stands in; until `soft` */
	KEY_DIRTY = 64,      /* learned something that has not been handed out yet */
};

enum key_plain {
	KEY_PLAIN_EXACT = 1,   /* the value ends when its client said, and has no max_age */
	KEY_PLAIN_OWN = 2,     /* looks like a lock, a session or a counter: no rule applies */
	KEY_PLAIN_WATCHED = 4, /* somebody wants to know of the next change */
	KEY_PLAIN_GIVEN = 8,   /* client_ttl is what a plain client gave it last */
	KEY_PLAIN_UNSET = 16,  /* who was told to load it did not set it: nobody waits for that */
};

enum key_peak {
	KEY_PEAK_KNOWN = 1, /* some peak may know it by its number */
	KEY_PEAK_MARK = 2,  /* in the plan that is being made */
	KEY_PEAK_READ = 4,  /* what is held was read before a peak, for it */
};

/* In this order so that what is learned, and used to answer and to plan, lies close together. */
struct key {
	uint64_t version;
	struct instant last_changed;
	float client_ttl; /* s */
	float p_end;      /* P(stale) planned for the end of the TTL */
	float ahead_p;    /* what was said of its being asked for when it was loaded ahead */
	uint32_t bytes;   /* of the value */
	uint32_t entry;   /* of the store */
	uint32_t flight;  /* load in flight, or KEY_NONE */
	struct instant soft, hard;
	/* when soft was last computed; NONE: to be computed when next asked for */
	struct instant planned;
	struct instant loaded; /* when the origin was read */
	struct instant last_seen;
	double rate_n; /* requests, decayed, at last_seen; a float holds still at 100 a second */
	double rate_s; /* demand-clock seconds they were counted in, decayed */
	uint32_t endpoint;
	uint32_t place;    /* in the endpoint's list of keys */
	uint32_t hits;     /* since the load */
	float p_sum;       /* sum over the hits since the load of P(stale then) */
	float load_us;     /* mean load time; 0: never loaded */
	uint8_t flags;     /* KEY_* */
	uint8_t reason;    /* enum ttl_reason of the plan */
	bool stray;        /* it has left the others' ways: their prior is not its own */
	uint8_t at_peaks;  /* KEY_PEAK_* */
	uint16_t looks;    /* pieces of evidence: loads that could be compared, events, ... */
	uint16_t prior_no; /* of the prior that a and b come from; 0: none */
	float a, b;        /* the posterior of its change rate that follows (endpoint_posterior) */
	struct looks seen; /* what is known of its change rate without the others */
	struct surprise surprise; /* has the rate become another one? */
	uint32_t modified_s;      /* Last-Modified of what was read last, since 1970; 0: not said */
	uint16_t recent_hits;     /* share of the last recent_n requests, of 65535 */
	uint8_t recent_n;         /* at most KEY_RECENT */
	uint8_t errors;           /* in a row */
	/* who had the value that is held loaded ahead, plus 1; 0: nobody, or it has been asked for */
	uint8_t ahead_by;
	/* of plain clients (engine/plain.h) */
	uint8_t plain; /* KEY_PLAIN_* */
	uint8_t space; /* its database */
	uint8_t flush; /* the last flush of it that this key has seen */
	uint32_t
	        counted; /* its place in the list of what is yet to be learned, plus 1; 0: not in it */
};

/* Requests that a key's hit ratio is about. */
#define KEY_RECENT 64

/* So many requests were answered at once from what was held, and so many not; one at least in all. */
void key_answered(struct key *k, double hits, double misses);

/* The share of hits among its last KEY_RECENT requests, each weighing the less the older it is; NAN: none. */
double key_hit_ratio(const struct key *k);

/* Half of a key's request evidence is this old, in seconds of the demand clock. */
#define KEY_RATE_HALF_S (2 * 86400.0)

#endif
