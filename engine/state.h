/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The engine from the inside: its state, and the functions by which its files call each other.
 *
 *	engine.c    life, configuration, inputs in, ticks
 *	keyring.c   keys, endpoints and classes: finds, makes, forgets them
 *	serve.c     gets, events, sets, changes, purges
 *	evict.c     what makes way when the store is full
 *	load.c      flights: one load or lease per key, who waits for it, how it ends
 *	prefetch.c  what became of loads ahead
 *	replan.c    when the value of a key expires, and what its timer does
 *	peak.c      peaks: makes, finds, removes them
 *	course.c    what a peak goes through: planned, loaded for, watched
 *	planning.c  which keys a peak wants, and when each of them is loaded
 *	schedule.c  peaks that somebody has scheduled
 *	learned.c   peaks that were found in the demand, and rises that are forecast
 *	round.c     slow work on endpoints: forecasts, fits, the common prior
 *	levels.c    the loads in the minutes after a peak, levelled
 *	jump.c      what to load when an endpoint's request rate jumps
 *	large.c     large values, whose room is filled before the engine hears of them
 *	explain.c   questions
 *	survey.c    questions that look at every endpoint or key, in pieces
 *	plain.c     values whose clients say when they end
 *	record.c    learned state, out
 *	import.c    learned state, in
 *	adopt.c     what a store holds from before
 *	policy.c    what the user states, in a form that can be used
 *	effects.c   the list of what is to be done
 *	names.c     the words for all that
 */
#ifndef FORECACHED_ENGINE_STATE_H
#define FORECACHED_ENGINE_STATE_H

#include "analyzer/audience.h"
#include "analyzer/endpoint.h"
#include "analyzer/key.h"
#include "base/heap.h"
#include "base/intern.h"
#include "base/rng.h"
#include "base/vec.h"
#include "engine/engine.h"
#include "engine/survey.h"
#include "models/reuse.h"
#include "models/rise.h"
#include "predictor/budget.h"
#include "predictor/guard.h"
#include "predictor/level.h"
#include "predictor/plan.h"
#include "predictor/prewarm.h"
#include "predictor/price.h"

#define FLIGHT_NONE UINT32_MAX
#define WAITER_NONE UINT32_MAX
#define RULE_NONE   UINT32_MAX
#define PLACE_NONE  UINT32_MAX

/* What became of the background loads of one source for one endpoint. */
struct prefetched {
	struct prefetch_count count;
	struct guard guard;
};

/* An endpoint with what is configured for it. */
struct place {
	struct endpoint ep; /* what is learned */
	struct policy policy;
	const struct zone *zone;
	uint32_t class_id;
	uint32_t origin;        /* index of e->origin, or ORIGIN_NONE */
	uint32_t loader_origin; /* budget of its loader workers; ORIGIN_NONE: none connected */
	/* changes that events announced, and those that only a load revealed; decayed */
	double announced, unannounced;
	struct instant fitted; /* when a fit was last asked for */
	uint64_t fit;          /* the one that is under way; 0: none */
	bool ruled;            /* an endpoint rule is about it */
	struct survey_counts counts;
	/* of its background loads by source: PREFETCH_SOURCES of them, or NULL */
	struct prefetched *prefetched;
	struct instant searched; /* for learned peaks */
	/* rises that were forecast for it by kind of day, and those that came; decayed */
	float told[ZONE_DAY_KINDS], came[ZONE_DAY_KINDS];
	int32_t quiet_day; /* local day on which a learned peak did not come; 0: none */
};

struct class_state {
	const char *name; /* engine.cls_name's */
	struct price price;
	/* mean factor by which hits are audited more or less often than others */
	double audit_more;
};

struct origin_state {
	char *name;
	uint32_t id; /* hash of its name: what is kept of it carries this */
	struct origin_policy policy;
	struct budget budget;
	struct level level;
	struct survey_times times; /* of loads that have ended */
};

struct rule_state {
	char *match, *class_name;
	uint32_t origin;
	uint32_t zone; /* index of e->zone */
	struct policy policy;
};

/* A copy of a zone, shifted by what the wall clock was stepped. */
struct zone_state {
	const struct zone *given; /* of use while a configuration is taken */
	struct zone shifted;
	struct zone_offset *offset; /* the copy's, and as they were given */
	struct zone_offset *plain;
	struct zone_day *day;
};
typedef VEC(struct zone_state) zone_states;

/* A configuration is being applied to endpoint after endpoint, and to the keys of each. */
struct applying {
	uint32_t next, end;
	bool in_keys;     /* next's keys have another policy, of which */
	size_t keys;      /* so many have yet to learn of it */
	zone_states zone; /* those before, which the others still go by */
};

/* What plain clients did with one key since that was last worked off (plain.h). */
struct plain_note {
	uint32_t key; /* KEY_NONE: forgotten since */
	uint32_t hits, misses;
	bool set;         /* and what was held before the first set: */
	uint64_t version; /* 0: nothing known */
	struct instant loaded;
};

/*
 * Flushes of plain clients' databases (plain.c). A key whose number of a flush is not that of its
 * database holds what was flushed; those from `next` to `end` are yet to be looked at for that.
 */
struct plain_flushes {
	uint32_t next, end;
	unsigned begun;     /* since all keys were looked at last */
	uint8_t number[16]; /* by database */
	uint64_t left[16];  /* flushed values that are still in the store */
	uint64_t left_endless[16];
};

struct waiter {
	uint64_t ticket;
	uint32_t next;
	bool may_lease; /* would take the lease over if its holder is lost */
	bool first;     /* its request started the load: outcome miss, not joined */
};

/* A purge that is under way: keys from `next` to `end` are yet to be looked at. */
struct sweep {
	uint64_t ticket, gone;
	uint32_t place; /* INTERN_NONE: of all endpoints */
	uint32_t next, end;
};

/* One load or lease of one key on its way. */
struct flight {
	uint32_t key; /* KEY_NONE: the slot is free, `next_free` follows */
	uint32_t next_free;
	uint32_t generation; /* tells a job from an earlier one in the same slot */
	uint32_t origin;     /* whose budget was taken; ORIGIN_NONE for a lease */
	enum load_reason reason;
	enum budget_for budget;
	struct instant started;
	uint32_t first_waiter, last_waiter;
	uint8_t ahead_by;                /* enum prefetch_source plus 1; 0: somebody needs it */
	bool useful;                     /* loaded ahead, and somebody waits for it already */
	float ahead_p;                   /* what was said of its being asked for */
	double audit_weight, audit_said; /* inverse of its oversampling; P(stale) predicted */
	uint8_t retries; /* how often a change during the load has made it start again */
	bool lease;      /* an app loads, not we */
	bool plain;      /* ... a plain client, which knows nothing of leases */
	bool voided;     /* changed, set or purged since it started: what it brings is not kept */
	bool late;       /* somebody waits for it who came after that */
	bool stray;      /* voided, and another load of the key has taken its place */
};

/* A key that is spoken of for a while: with another tag the number has become another key's. */
struct peak_key {
	uint32_t key, tag;
};

/* One load of a plan. */
struct plan_item {
	struct peak_key key;
	float p, life_s;
	struct instant started; /* INSTANT_NONE: it waits for its time, or for room */
	enum { ITEM_OPEN, ITEM_FRESH, ITEM_DROPPED } state;
};

enum peak_phase {
	PEAK_IDLE,
	PEAK_ROUGH,   /* planned, to know when the loads have to begin */
	PEAK_PLANNED, /* planned; the loads are under way */
	PEAK_WATCHED, /* it has come: which keys are asked for? */
};

#define PEAK_MAX_KEYS 10000u

/* A key that is asked for within this time after the peak was wanted at it. */
#define PEAK_WATCH_US (5 * 60 * INT64_C(1000000))

#define PEAK_MINUTES 15 /* of a quarter of an hour: SHAPE_BIN_S */

/* What is known of a peak that was found in the demand of one endpoint. */
struct learned {
	struct rise rise;
	/* as told beforehand, without or with acting on it; decayed */
	float trials, kept;
	float shadow,
	        shadow_used; /* keys that would have been loaded, and were asked for in time */
	float minute[PEAK_MINUTES]; /* requests by minute of the quarter, decayed */
	struct instant quarter;     /* the start of the coming one */
	bool proven;
};

#define PEAK_MAX_LEVELS 8

/* What is usual for an origin in the minutes after a peak. */
struct peak_level {
	uint32_t origin_id;
	struct level_usual usual;
};

/* A recurring instant at which keys are wanted. Its own memory: peaks are not moved. */
struct peak {
	uint32_t id;   /* hash of its name: what is kept of it carries this */
	char *name;    /* NULL: only what was learned of its keys, from an earlier life */
	char *pattern; /* of keys or endpoints; NULL: the keys of `place` */
	uint32_t place;
	enum prefetch_source source;
	VEC(struct instant) at;
	size_t next; /* the first that is not over */
	struct span lead;
	uint32_t max_keys;
	enum peak_phase phase;
	bool dirty;            /* learned something that has not been handed out yet */
	bool watch_only;       /* this time: plan, and do not load */
	struct instant begin;  /* ROUGH: when to plan for good */
	struct instant window; /* WATCHED: until then */
	struct audience audience;
	VEC(struct plan_item) item;
	struct heap todo;            /* by item; of PLANNED ones only */
	struct heap spent;           /* what it was: its memory is given back in slices */
	VEC(struct peak_key) wanted; /* that are likely to be asked for */
	bool counting;  /* WATCHED: how many of them it has found warm is being counted ... */
	size_t counted; /* ... so far: of wanted, then of item */
	/* what the last watch has taught is being worked off: its items, then its keys, twice */
	enum { SETTLE_NOTHING, SETTLE_ITEMS, SETTLE_KEYS, SETTLE_AUDIENCE } settling;
	size_t settled; /* of the items; of the keys it has yet to look at so many */
	double watched_s;
	unsigned weekday;
	struct peak_report report;
	struct learned learned;
	VEC(struct peak_level) level; /* PEAK_MAX_LEVELS at most */
};

/* What one origin may be asked to load before a peak. */
struct candidates {
	VEC(struct prewarm_candidate *) block; /* of PREWARM_BLOCK each; n in all */
	size_t n;
	double first, load_s; /* sums: requests in the first seconds after the peak, load times */
};

/* What is the same for all keys of an endpoint, about a peak. */
struct outlook {
	uint32_t place; /* PLACE_NONE: nothing */
	unsigned weekday;
	double demand;  /* requests per second after the peak, in those of the demand clock */
	double changes; /* the same for changes, just before the peak, and after it */
	double changes_after;
	const struct audience *audience;
};

#define PLANNING_OUTLOOKS 64

/* A prewarm that was asked for by hand. */
struct by_hand {
	uint64_t ticket;
	char *pattern; /* NULL: it is being planned */
	uint32_t max_keys;
	bool dry_run;
};

/*
 * The plan that is being made for the peaks of one instant, a slice at a time (planning.c). All is
 * asked as of one `now`. Candidates are marked (KEY_PEAK_MARK) until the plan is made or dropped.
 */
struct planning {
	enum {
		PLAN_NONE,
		PLAN_COLLECT, /* candidates */
		PLAN_SORT,    /* the planner is at work */
		PLAN_TAKE,    /* what it says is taken over */
		PLAN_CLEAR,   /* dropped: marks go */
		PLAN_FREE,    /* and memory */
	} stage;
	VEC(struct peak *) group;
	struct peak *hand;     /* the group is this one, by hand; NULL: it is not */
	size_t said;           /* of its dry run: keys that would not be loaded */
	enum peak_phase phase; /* which the group will be in then */
	struct instant now, at;
	double lead_s;
	size_t peak;                /* COLLECT: whose keys */
	size_t next;                /* COLLECT: the key; TAKE, CLEAR: the candidate */
	VEC(struct candidates) set; /* by origin */
	uint32_t origin;            /* SORT, TAKE, CLEAR: whose candidates */
	double rate;                /* SORT, TAKE: loads per second */
	struct prewarm *plan;
	VEC(size_t) max_keys; /* by peak: what is left of it */
	struct outlook outlook[PLANNING_OUTLOOKS];
};

/* Keys that the next eviction looks at again; values just put that are spared, at most. */
#define EVICT_POOL   8
#define EVICT_NEWEST 32

struct evict {
	struct reuse *reuse; /* of keys by number; NULL without a store */
	double load_us;      /* mean of all loads; 0: none yet */
	bool learn;          /* the store is full enough for evictions to come */
	uint32_t pool[EVICT_POOL];
	uint32_t newest[EVICT_NEWEST]; /* a ring of keys */
	unsigned n_pool, n_newest, newest_at;
};

/* Endpoints whose history is searched for peaks in a round, at most. */
#define ROUND_SEARCHES 64

/* The busiest of those that are due for it, in this order. */
struct round_searches {
	struct {
		uint32_t place;
		double weight;
	} of[ROUND_SEARCHES];
	uint32_t n;
};

/* Slow work on all endpoints, a slice of them at a time (round.c). */
struct round {
	struct instant at;          /* the next slice */
	uint32_t next;              /* the endpoint it begins with */
	double sum, n;              /* of those so far: log rates, for the common prior */
	uint32_t quietest, busiest; /* endpoints with a forecast model of their own, and without */
	/* the busiest of those that this round has found due; and of the one before, yet to be done */
	struct round_searches due, search;
	uint32_t searched; /* of these */
};

/* A set whose value is being put in place. */
struct arrival {
	uint64_t number;
	struct instant came;
	uint32_t key;
	bool overtaken; /* something newer has been said of the key since */
};

struct engine {
	struct engine_limits limits;
	struct policy policy;
	uint32_t default_origin;
	bool pool;
	size_t compression_least; /* no policy compresses smaller ones; SIZE_MAX: none any */
	struct span wall_offset;
	zone_states zone; /* [0] is the default */
	struct applying applying;
	struct instant applying_due;
	VEC(struct rule_state) rule;
	VEC(struct origin_state) origin;
	VEC(struct class_state) cls; /* by id of cls_name */

	struct store *store;
	struct evict evict;
	struct rng rng;
	struct intern key_name, place_name, cls_name;
	VEC(struct key) key;       /* by id of key_name */
	VEC(struct place *) place; /* by id of place_name */
	struct change prior;       /* of all endpoints together */
	struct demand_pool demand; /* what their forecasts share */

	VEC(struct flight) flight;
	uint32_t free_flight, n_flights, n_strays;
	VEC(struct waiter) waiter;
	uint32_t free_waiter, n_waiters;

	struct heap refresh;  /* by key: refresh-ahead */
	struct heap jump;     /* by key: load after a jump of the demand */
	struct heap deadline; /* by flight */
	VEC(struct peak *) peak;
	VEC(char *) forgotten;       /* names of learned peaks whose records are to be deleted */
	VEC(struct peak *) manual;   /* what INPUT_PREWARMs have planned and is not loaded yet */
	VEC(struct by_hand) by_hand; /* those that are to be planned */
	struct instant peak_due;     /* the first thing that a peak wants done */
	struct planning planning;
	size_t n_watching;              /* peaks that want to know of requests */
	struct round round;             /* of slow work */
	struct instant paused_until[2]; /* by bit of PAUSE_* */
	uint64_t last_fit; /* its number; a fit's id is this and, in the low half, its endpoint */

	VEC(struct plain_note) note; /* by key.counted - 1 */
	struct heap expiry;          /* by key: the end of exact values */
	VEC(uint32_t) touched;       /* watched keys that have changed */
	uint64_t held[16];           /* values in each database of plain clients */
	uint64_t endless[16];        /* those of them that are exact and never end */
	struct plain_flushes flushes;
	uint64_t n_expired;

	VEC(struct arrival) arrival; /* sets that are yet to come, a few */
	uint64_t last_arrival;       /* its number */

	VEC(struct sweep) sweep; /* the first is at work */
	struct instant sweep_due;

	struct engine_stats stats;
	uint32_t dirty_key, dirty_place; /* cursors of engine_dirty */
	size_t dirty_peak;
	struct instant tail_written; /* what all endpoints of the tail share; NONE: not yet */
	char last_error[160];
	uint32_t last_error_key;
	struct effect unwanted; /* takes what is written into replies that nobody wants */
};

/* effects.c */
struct effect *effect_add(struct effects *fx, enum effect_kind kind);
struct bytes effect_copy(struct effects *fx, struct bytes b);

/* keyring.c */
const struct zone *keyring_zone(const struct engine *e, uint32_t index);
/* The key, made when it is new; KEY_NONE when the name is empty or too long. */
uint32_t keyring_key(struct engine *e, struct instant now, struct bytes endpoint, struct bytes name,
                     struct effects *fx);
/* The endpoint, made when it is new. */
uint32_t keyring_place(struct engine *e, struct instant now, struct bytes name, struct effects *fx);
void keyring_forget(struct engine *e, uint32_t key);
/* A policy of a new configuration: e->compression_least follows from all. */
void keyring_note_compression(struct engine *e, const struct policy *y);
/* The class of that name, made when it is new. */
uint32_t keyring_class(struct engine *e, struct bytes name, double objective);
/* Goes on with applying a new configuration: a slice, or all there is to do; true: that was all. */
bool keyring_apply_some(struct engine *e, bool all);
static inline struct place *key_place(struct engine *e, const struct key *k)
{
	return e->place.v[k->endpoint];
}
static inline struct bytes key_bytes(const struct engine *e, uint32_t key)
{
	return intern_name(&e->key_name, key);
}
static inline struct price *key_price(struct engine *e, const struct key *k)
{
	return &e->cls.v[key_place(e, k)->class_id].price;
}
/*
 * The origin whose budget a background load of the endpoint takes from; ORIGIN_NONE: cannot be
 * loaded.
 */
uint32_t place_loads_from(const struct place *p);
/* Counts a change of one of its keys, announced by an event or found by a load. */
void place_announced(struct place *p, bool announced);
/*
 * True when events announce the changes of its keys, all but a few: then they end a life, not a
 * TTL.
 */
bool place_is_pushed(const struct place *p);
bool engine_paused(const struct engine *e, struct instant now, unsigned what);

/* serve.c */
/* Counts `count` requests for the key that ended so; of misses, why, as of before the answer. */
void serve_count(struct engine *e, struct instant now, uint32_t key, enum outcome o,
                 uint64_t count);
void serve_get(struct engine *e, struct instant now, const struct input *in, struct effects *fx);
void serve_event(struct engine *e, struct instant now, const struct input *in, struct effects *fx);
void serve_set(struct engine *e, struct instant now, const struct input *in, struct effects *fx);
void serve_delete(struct engine *e, struct instant now, const struct input *in, struct effects *fx);
void serve_changed(struct engine *e, struct instant now, const struct input *in,
                   struct effects *fx);
void serve_purge(struct engine *e, struct instant now, const struct input *in, struct effects *fx);
/* Goes on with purges: a slice, or all there is to do. */
void serve_sweep(struct engine *e, struct instant now, bool all, struct effects *fx);
/* The value of the key is gone from the cache; what was learned stays. */
void serve_drop(struct engine *e, uint32_t key);
/* Drops it if what the segment holds is no longer what was put: nobody may get that. */
void serve_check(struct engine *e, uint32_t key);
/*
 * So many requests were answered at `at` with what is held, and so many not: what follows for control
 * and key.
 */
void serve_answered(struct engine *e, struct instant now, struct instant at, uint32_t key,
                    double hits, double misses);
/* Audits a hit now and then. */
void serve_maybe_audit(struct engine *e, struct instant now, uint32_t key, double count,
                       struct effects *fx);
/* A reply of the given status; nothing when ticket is 0. */
struct effect *serve_reply(struct engine *e, struct effects *fx, uint64_t ticket, uint32_t key,
                           enum reply_status status, enum outcome outcome);
/*
 * The same with the value that is held: REPLY_ERROR unless it is whole, which serve_is_whole says, in
 * as much time as the value is long; or serve_check has just seen to it.
 */
struct effect *serve_held(struct engine *e, struct effects *fx, uint64_t ticket, uint32_t key,
                          enum outcome outcome, bool whole);
bool serve_is_whole(const struct engine *e, uint32_t key);

/* evict.c */
void evict_release(struct engine *e);
/* The key was asked for, and a value was held or not. */
void evict_asked(struct engine *e, uint32_t key, double count, bool hit);
void evict_loaded(struct engine *e, struct span took);
/* A value of the key was put in the store. */
void evict_kept(struct engine *e, uint32_t key);
/* What holding the value of the key is worth, in us of loading per byte and request to the cache. */
double evict_worth(struct engine *e, struct instant now, uint32_t key);
/*
 * Drops what is least worth until `bytes` are free that were not, or a few have gone; returns how
 * many bytes are. 0: there is nothing.
 */
uint64_t evict_some(struct engine *e, struct instant now, uint64_t bytes);
/* Drops this entry. */
void evict_entry(struct engine *e, uint32_t entry);

/* load.c */
struct fetched {
	struct bytes value;
	struct store_room *room;           /* where it lies already; NULL: nowhere */
	const struct packed_value *packed; /* what is kept in its stead; NULL: nothing */
	uint64_t version;        /* never 0 */
	struct instant read;
	struct span took;        /* 0: unknown */
	struct span client_ttl;  /* 0: none */
	bool no_value;           /* only the version is known (an event) */
	bool may_count;          /* the version was given, not computed: it may be a counter */
	struct instant modified; /* Last-Modified; INSTANT_NONE: not said */
};
/* Starts a load; false when the budget or a missing origin forbids it. */
bool load_start(struct engine *e, struct instant now, uint32_t key, enum load_reason reason,
                struct effects *fx);
/* Gives the caller the lease of the key; returns the lease. */
uint64_t load_lease(struct engine *e, struct instant now, uint32_t key);
/* Lets a request wait for the flight of the key; replies BUSY when too many wait. */
void load_wait(struct engine *e, uint32_t key, uint64_t ticket, bool first, bool may_lease,
               struct effects *fx);
void load_ended(struct engine *e, struct instant now, const struct input *in, struct effects *fx);
/* The deadline of a flight has passed. */
void load_timeout(struct engine *e, struct instant now, uint32_t flight, struct effects *fx);
/* Whoever has the lease will not load: it goes to the first who waits and can, or ends. */
void load_lost(struct engine *e, struct instant now, uint32_t flight, struct effects *fx);
/* The flight with this job number, or FLIGHT_NONE. */
uint32_t load_find(const struct engine *e, uint64_t job);
uint64_t load_job(const struct engine *e, uint32_t flight);
/* What the flight brings is not to be kept. */
void load_void(struct engine *e, uint32_t key);
/*
 * The load under way, if any, was voided before this request came: starts another in its place. The
 * old one goes on as a stray and answers those who were there before, so each gets a value that was
 * the origin's at some time since it asked, and no load is made for nobody. False: nothing done.
 */
bool load_supersede(struct engine *e, struct instant now, uint32_t key, struct effects *fx);
/* A stray speaks of the key by its number: it must not be forgotten. */
bool load_has_stray(const struct engine *e, uint32_t key);
/* Those who wait for the flight get what is held now; the flight goes on. */
void load_answer(struct engine *e, uint32_t flight, struct effects *fx);
/* Answers all who wait with what is held, and ends the flight. */
void load_finish(struct engine *e, struct instant now, uint32_t flight, bool ok, struct span took,
                 struct span retry_after, struct effects *fx);
/* A value has come: evidence, store, plan. Returns 0, -E2BIG or -ENOSPC (then nothing is held). */
int load_accept(struct engine *e, struct instant now, uint32_t key, const struct fetched *f,
                struct effects *fx);

/* What is to be put in the store: the value, or what it was packed into. */
struct bytes load_kept(const struct fetched *f);

/* Puts the value of f in the store; k's times are set. 0, -E2BIG or -ENOSPC. */
int load_keep(struct engine *e, struct instant now, uint32_t key, const struct fetched *f);

/* large.c */
/* The version of a value for which none is given; room and packed may be NULL. */
uint64_t large_version(struct bytes value, const struct store_room *room,
                       const struct packed_value *packed);
/* The set that was announced so (0: none was) is here: has something overtaken it? */
bool large_arrival_end(struct engine *e, uint64_t number, struct instant *ret_came);
/* Something new is said of the key: sets of it that arrived before that number are old. */
void large_overtake(struct engine *e, uint32_t key, uint64_t before);
/* Such a set speaks of the key by its number: it must not be forgotten. */
bool large_is_awaited(const struct engine *e, uint32_t key);

/* explain.c */
/* Rows of `forecache ttls` and `forecache endpoints`. */
void explain_key(struct engine *e, struct instant now, uint32_t key, struct ttl_row *ret);
void explain_place(struct engine *e, struct instant now, uint32_t place, struct ttl_row *ret);
/* Keys that the row of an endpoint looks at. */
size_t explain_looks(const struct place *p);
/* Requests per second of the key at t. */
double explain_rate(struct engine *e, struct instant t, uint32_t key);
/*
 * Stale serves per request of late: predicted, and calibrated by what loads and audits revealed.
 * NAN without data.
 */
double explain_stale_share(const struct place *p);

/* plain.c */
/* What a key's name says: its database, and whether it is to be left alone. */
void plain_look_at(struct key *k, struct bytes name);
/* Its value is another one now, or gone. */
void plain_touch(struct engine *e, uint32_t key);
/* The key is about to be forgotten. */
void plain_forget(struct engine *e, uint32_t key);
/* The end of an exact value has come. */
void plain_timer(struct engine *e, struct instant now, uint32_t key);
/* A client that sets its own times to live has set it last: what to think of the one it gave. */
bool plain_advises(struct engine *e, struct instant now, uint32_t key, double *ret_advised_s,
                   enum ttl_reason *ret_reason);
/* An exact value was found in the store at the start. */
void plain_adopt(struct engine *e, uint32_t key);
/* How long a plain client has for a load of the key before somebody else is told to. */
struct span plain_lease_time(const struct engine *e, struct instant now, const struct key *k);
/* The lease of a plain client has run out. */
void plain_unset(struct engine *e, uint32_t key);
/* What the key holds was flushed, and is yet to be taken out. */
static inline bool plain_is_flushed(const struct engine *e, const struct key *k)
{
	return k->flush != e->flushes.number[k->space];
}
/* Takes it out now, before anything else is done with the key. */
void plain_settle(struct engine *e, uint32_t id);
/* A value of a plain client that never ends. All others have an end. */
static inline bool plain_is_endless(const struct key *k)
{
	return (k->plain & KEY_PLAIN_EXACT) && !instant_is_set(k->soft);
}
/*
 * One value more in the key's database, or less. A value that is held is taken out of the counts
 * before its end changes, or whether it is exact, and put in again after.
 */
static inline void plain_held(struct engine *e, const struct key *k)
{
	bool endless = plain_is_endless(k);

	e->held[k->space]++;
	e->endless[k->space] += endless;
	if (!plain_is_flushed(e, k))
		return;
	e->flushes.left[k->space]++;
	e->flushes.left_endless[k->space] += endless;
}
static inline void plain_unheld(struct engine *e, const struct key *k)
{
	bool endless = plain_is_endless(k);

	e->held[k->space]--;
	e->endless[k->space] -= endless;
	if (!plain_is_flushed(e, k))
		return;
	e->flushes.left[k->space]--;
	e->flushes.left_endless[k->space] -= endless;
}
/* The value that is held is planned like any other from now on. */
void plain_give_up(struct engine *e, uint32_t key);

/* replan.c */
/*
 * Stale answers are so much dearer from what was read before a peak, for it: the first minutes of a
 * session move faster than its quarter of an hour does on average, and the loads that would show that
 * are the very ones that were made beforehand.
 */
#define REPLAN_PEAK_PRICE 3
void replan(struct engine *e, struct instant now, uint32_t key);
/* The plan for a value read at `loaded`, whether or not one is held; *ret_reason may be NULL. */
struct walk_answer replan_answer(struct engine *e, struct instant now, uint32_t key,
                                 struct instant loaded, double price_factor,
                                 enum ttl_reason *ret_reason);
/* The TTL in seconds that was learned for the key, whether or not it is in force. */
double replan_advice(struct engine *e, struct instant now, uint32_t key);
/* On a hit: plans anew when the price or the forecast may have moved since. */
void replan_if_due(struct engine *e, struct instant now, uint32_t key);
void replan_timer(struct engine *e, struct instant now, uint32_t key, struct effects *fx);

/* peak.c */
struct peak *peak_new(struct engine *e, struct bytes name);
struct peak *peak_find(struct engine *e, struct bytes name);
struct peak *peak_by_id(struct engine *e, uint32_t id);
/* Takes what is known of a peak whose name is still to come. NULL: there are too many. */
struct peak *peak_unnamed(struct engine *e, uint32_t id);
void peak_remove(struct engine *e, struct peak *p);
/* The same, but what was learned of its keys waits for another of its name. */
void peak_retire(struct engine *e, struct peak *p);
void peak_release(struct peak **p);
/* At the end of the engine. */
void peak_release_all(struct engine *e);
void peak_forget_key(struct engine *e, uint32_t key);
/* Its next instant, or the one that is watched; NEVER: none. */
struct instant peak_at(const struct peak *p);
/* 0 = Monday. */
unsigned peak_weekday(const struct zone *z, struct instant t);
static inline bool peak_key_is(const struct engine *e, uint32_t key, uint32_t tag)
{
	return intern_is_live(&e->key_name, key) && intern_tag(&e->key_name, key) == tag;
}

/* course.c */
/* What is planned is off; goes to the first instant that is still to come. */
void course_seek(struct engine *e, struct peak *p, struct instant now);
/*
 * Takes n other instants, ascending, and goes on with the one that is planned or watched. False, and
 * nothing was done: there is none, or it is not the first of them that is to come.
 */
bool course_goes_on(struct engine *e, struct peak *p, struct instant now, const struct instant *at,
                    size_t n);
void course_tick(struct engine *e, struct instant now, unsigned max_work, unsigned *done,
                 struct effects *fx);
struct instant course_next(const struct engine *e);
/* So many requests came: the peaks whose minutes these are learn who asks. */
void course_asked(struct engine *e, struct instant at, uint32_t key, double count);
void course_stop_loading(struct peak *p);
/* Who wants to know of requests has changed. */
void course_count_watching(struct engine *e);

/* planning.c */
bool peak_covers(const struct engine *e, const struct peak *p, uint32_t key);
/* A plan for the group is to be made: none is. */
void planning_begin(struct engine *e, struct instant now, struct instant at, enum peak_phase phase);
/* The same for the next prewarm that was asked for by hand; false: there is none, or no room. */
bool planning_next_by_hand(struct engine *e, struct instant now);
/* A slice of the plan, or all of one of its stages. */
void planning_slice(struct engine *e, bool all, struct effects *fx);
/* The plan that is being made, if it is about p, is off. */
void planning_drop(struct engine *e, const struct peak *p);
void planning_end(struct engine *e);
/*
 * A key is leaving the `hole`-th place in the list of its endpoint's, and the last one is to fill it.
 * Returns the place that is to be filled by it, so that a plan sees each key.
 */
uint32_t planning_hole(struct engine *e, uint32_t place, uint32_t hole);
/* Would a load for the peak at that instant still gain more than it is worth? */
bool planning_would_gain(struct engine *e, const struct peak *p, uint32_t key, struct instant now,
                         struct instant at);
/* INPUT_PREWARM. */
void planning_by_hand(struct engine *e, struct instant now, const struct input *in,
                      struct effects *fx);
/* What the next peak thinks of a key. False when none is about it. */
bool peak_why(struct engine *e, struct instant now, uint32_t key, struct why_peak *ret);

/* prefetch.c */
/* A value that was loaded ahead has been asked for, or has ended without. */
void prefetch_outcome(struct engine *e, uint32_t key, bool useful);
/* The same for a load whose value was not kept, or was waited for. */
void prefetch_ended(struct engine *e, const struct flight *f, bool kept);
/* May the source load for the endpoint now? Counts nothing. */
bool prefetch_allowed(struct engine *e, struct instant now, uint32_t place,
                      enum prefetch_source source, double worth);
/* What has become of the loads of all sources, or will. */
struct prefetched *prefetch_of(struct engine *e, uint32_t place);
/* The load that has just been started for the key is the source's. */
void prefetch_started(struct engine *e, uint32_t key, enum prefetch_source source, double p);

/* round.c */
void round_init(struct engine *e, struct instant now);
/* A slice of the work, if it is due. */
void round_tick(struct engine *e, struct instant now, struct effects *fx);

/* jump.c */
/* The endpoint is asked for far more than was to be foreseen: warms what is most asked for. */
void jump_found(struct engine *e, struct instant now, uint32_t place, struct effects *fx);
/* Loads one of them. */
void jump_timer(struct engine *e, struct instant now, uint32_t key, struct effects *fx);

/* levels.c */
/* The peak, which has come and wants the key, levels the loads of the key's origin. */
void levels_begin(struct engine *e, struct peak *p, uint32_t key);
/* Its watch has ended. */
void levels_learn(struct engine *e, struct peak *p);
/* What the peak knows of the origin, or is to; NULL: it knows as many as may be, all of them present. */
struct peak_level *levels_of_peak(const struct engine *e, struct peak *p, uint32_t origin_id);
/* So many requests for keys of the endpoint came while e->n_watching. */
void levels_asked(struct engine *e, struct instant at, uint32_t place, double count);
/* What a load for the endpoint costs now, in usual ones. */
double levels_cost(struct engine *e, struct instant now, uint32_t place);

/* schedule.c */
void schedule_set(struct engine *e, struct instant now, const struct input *in, struct effects *fx);

/* learned.c */
/* A learned peak is to be planned: will it be acted on this time? */
void learned_prepare(struct engine *e, struct peak *p);
/* Is a peak of somebody who knows better about the same keys at about the same time? */
bool learned_superseded(struct engine *e, const struct peak *p);
/* What a learned peak of the endpoint at about that instant knows of its keys; NULL: none. */
const struct audience *learned_audience(struct engine *e, uint32_t place, struct instant at);
/* Looks whether a rise is forecast for an endpoint; true: its history is to be searched again. */
bool learned_look(struct engine *e, struct instant now, uint32_t place);
bool learned_is_due(const struct engine *e, struct instant now, uint32_t place);
/* Looks for peaks in an endpoint's history: some 0.3 ms. */
void learned_search(struct engine *e, struct instant now, uint32_t place);
/* Local clocks have been stepped: when do they come now? */
void learned_clock(struct engine *e, struct instant now);
/* The watch of a learned or forecast peak has ended: did it come? */
void learned_over(struct engine *e, struct peak *p, struct instant now);
/* And of a learned one: was the load right that was planned? At last: is it proven? */
void learned_item(struct peak *p, const struct plan_item *x, bool known);
void learned_judge(struct engine *e, struct peak *p);
/* It has not come so often that it is to be forgotten. */
bool learned_is_gone(const struct learned *l);
/* Its record is to be deleted where it is kept. */
void learned_forget(struct engine *e, struct bytes name);
/* The one of the endpoint that such a rise is, or is beside; NULL: none. */
struct peak *learned_like(struct engine *e, uint32_t place, const struct rise *r);
/* A new one, without an instant yet; NULL: there are as many as may be. */
struct peak *learned_add(struct engine *e, uint32_t place, const struct rise *r);
/* Sets its next instant after `after`. */
void learned_seek(struct engine *e, struct peak *p, struct instant after);
/* A request for a key of its endpoint, near or at the peak. */
void learned_asked(struct peak *p, struct instant at);

#endif
