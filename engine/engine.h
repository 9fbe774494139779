/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The engine decides; whoever runs it does. One thread owns it. It is handed what happened together
 * with the instant at which it happened, and answers with effects: replies to give, loads to start,
 * models to fit, notices to publish, learned state to keep.
 *
 *	engine_input(e, now, &input, &fx)     something happened
 *	engine_tick(e, now, &fx)              engine_next(e) has come
 *	engine_why, engine_ttls, ...          questions; they change nothing (engine_ttl: see there)
 *
 * HOW IT WORKS the store (../store) holds values, the analyzer knows keys and endpoints, the
 * predictor turns statistics into expiry times, refreshes and prewarms. The engine keeps what is
 * between them: flights (one load per key, with everyone who waits for it), leases, timers,
 * budgets.
 *
 * INVARIANTS reads no clock and no randomness of its own: the same configuration, seed and inputs
 * give the same effects, byte for byte. `now` never goes back (a step of the wall clock arrives as
 * INPUT_CLOCK). At most one load per key is in flight. Every INPUT_GET is answered exactly once.
 *
 * OWNERSHIP views in an input are read during the call only. Views in effects and answers stay
 * valid until the next call on the engine. The configuration is copied; zones must outlive the
 * engine.
 */
#ifndef FORECACHED_ENGINE_ENGINE_H
#define FORECACHED_ENGINE_ENGINE_H

#include "base/bytes.h"
#include "base/estimate.h"
#include "base/instant.h"
#include "base/record.h"
#include "base/vec.h"
#include "base/zone.h"
#include "engine/policy.h"
#include "models/ensemble.h"
#include "models/harmonic.h"
#include "store/packed.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct engine;

/* -- Configuration ---------------------------------------------------------------------------- */

#define ORIGIN_NONE UINT32_MAX

struct engine_origin {
	const char *name;
	struct origin_policy policy;
};

/*
 * A rule for endpoints. `match` is a template of path segments: `<name>` stands for any one
 * segment, `*` for any rest, everything else for itself; "*" alone matches everything. The first
 * rule that matches a key names its endpoint (unless the app named it) and gives its policy. An
 * endpoint named by the app is matched by its own name.
 */
struct engine_rule {
	const char *match;
	/* endpoints of one class share max_stale and its price; NULL: by itself */
	const char *class_name;
	uint32_t origin;         /* index of the origin that loads it, or ORIGIN_NONE */
	const struct zone *zone; /* NULL: the default zone */
	struct policy policy;
};

struct engine_config {
	uint64_t seed;
	struct engine_limits limits;
	struct policy policy;    /* for endpoints that no rule matches */
	uint32_t origin;         /* for those, too */
	bool pool;               /* all endpoints in one class */
	const struct zone *zone; /* default zone; NULL: UTC */
	const struct engine_rule *rule;
	size_t n_rules;
	const struct engine_origin *origins;
	size_t n_origins;
	/*
	 * Take address space for all keys that limits.max_keys allows at once, memory as they come:
	 * then no array has to be moved, for which a request would wait.
	 */
	bool reserve;
};

/* store may be NULL: then the engine remembers versions but no values (advice only, simulation). */
struct engine *engine_new(const struct engine_config *c, struct store *store, struct instant now);
void engine_free(struct engine **e);

/*
 * A new configuration for a running engine: policies, rules, origins and limits change, what was
 * learned stays. The seed is not looked at. It is all copied. Endpoints and their keys learn of it a
 * slice at a time, the first at once and the others in the ticks that follow.
 */
void engine_configure(struct engine *e, struct instant now, const struct engine_config *c);

/* -- Inputs ----------------------------------------------------------------------------------- */

enum outcome {
	OUTCOME_HIT,
	OUTCOME_GRACE,
	OUTCOME_MISS,
	OUTCOME_JOINED,
	OUTCOME_SET,
	OUTCOME_CHANGED
};
const char *outcome_name(enum outcome o); /* "hit", "grace", "miss", ... */

enum load_reason {
	LOAD_DEMAND,  /* a request waits for it */
	LOAD_REFRESH, /* before or at the end of a TTL, because requests will come */
	LOAD_PREWARM, /* before a scheduled or forecast peak */
	LOAD_EVENT,   /* the value was said to have changed */
	LOAD_AUDIT,   /* was that hit stale? */
	LOAD_PROBE,   /* how volatile is it? */
	LOAD_REASONS
};
const char *load_reason_name(enum load_reason r); /* "demand", "refresh", ... */

enum load_status {
	LOADED_OK,           /* value is the current one */
	LOADED_NOT_MODIFIED, /* the one we have is still current (304) */
	LOADED_ERROR,        /* timeout, refused, 5xx, bad length: try the old value */
	/* the origin says there is no such thing (404, 410): negative caching */
	LOADED_ABSENT,
	/* value is good for those who wait, and must not be kept (no-store, ...) */
	LOADED_UNCACHEABLE,
};

enum get_mode {
	GET_LOAD,  /* load through an origin or loader and wait; a miss if there is neither */
	GET_LEASE, /* the app loads by itself: the first caller gets the lease, others wait */
	GET_PEEK,  /* only what is in the cache */
};

enum input_kind {
	INPUT_GET,
	/* an access that happened elsewhere: at a reader of the segment, in the app's own cache */
	INPUT_EVENT,
	INPUT_SET,
	INPUT_DELETE,
	INPUT_CHANGED, /* the origin's value has changed: a change event */
	/* the end of an EFFECT_LOAD; with a ticket: the key's lease (job) ends without a value */
	INPUT_LOADED,
	INPUT_LOADER,   /* a loader worker for an endpoint came or went */
	INPUT_FITTED,   /* the end of an EFFECT_FIT */
	INPUT_SCHEDULE, /* sets or replaces a schedule by name; no instants: removes it */
	INPUT_PREWARM,  /* warm now what matches */
	INPUT_PURGE,
	INPUT_PAUSE, /* or resume */
	/* the wall clock was stepped: local time = engine time + offset from now on */
	INPUT_CLOCK,
};

enum purge_what { PURGE_KEY, PURGE_ENDPOINT, PURGE_ALL };

#define PAUSE_LEARNING 1u
#define PAUSE_PREFETCH 2u

struct input {
	enum input_kind kind;
	/* comes back in EFFECT_REPLY; 0: no reply wanted (not for INPUT_GET) */
	uint64_t ticket;
	struct bytes endpoint; /* empty: by rule, or mined from the key */
	struct bytes key;
	union {
		struct {
			enum get_mode mode;
		} get;
		struct {
			enum outcome outcome;
			struct instant at; /* INSTANT_NONE: now */
			uint32_t count;    /* repeats of the same access; 0 counts as 1 */
			uint64_t value_bytes;
			struct span load; /* what the load took; 0: unknown */
			uint64_t version; /* hash or counter of the content; 0: unknown */
		} event;
		struct {
			struct bytes value;
			struct store_room *room; /* filled with the value, or packed; or NULL */
			const struct packed_value *packed; /* to be kept in its stead; or NULL */
			uint64_t arrival;    /* of engine_arrived; 0: it comes without */
			uint64_t version;    /* 0: the hash of the value */
			uint64_t lease;      /* 0: none */
			struct span ttl;     /* the app's own TTL; 0: none given */
			struct span load;    /* what producing it took; 0: unknown */
			struct instant read; /* when the origin was read; INSTANT_NONE: now */
		} set;
		struct {
			uint64_t version; /* 0: unknown */
		} changed;
		struct {
			uint64_t job;
			enum load_status status;
			struct bytes value;
			struct store_room *room; /* filled with the value, or packed; or NULL */
			const struct packed_value *packed; /* to be kept in its stead; or NULL */
			uint64_t version;                  /* 0: the hash of the value */
			struct span waited;                /* since the answer was there */
			struct instant last_modified;      /* INSTANT_NONE: not said */
			struct span max_age;               /* the origin's own; 0: not said */
			struct span retry_after;           /* with ERROR; 0: not said */
			/* with ERROR: what happened, for `why` and the reply */
			struct bytes error;
		} loaded;
		struct {
			bool up;
			/* whose budget it takes from; ORIGIN_NONE: one of its own defaults */
			uint32_t origin;
		} loader;
		struct {
			uint64_t fit;
			int status; /* 0, or the error of harmonic_fit */
			struct harmonic model;
		} fitted;
		struct {
			struct bytes name;
			struct bytes pattern;     /* endpoints or keys, as in engine_rule.match */
			const struct instant *at; /* the peaks, ascending */
			size_t n_at;
			/* warm this long before; 0: computed from cost and budget */
			struct span lead;
			uint32_t max_keys; /* 0: 10000 */
		} schedule;
		struct {
			struct bytes pattern;
			uint32_t max_keys;
			/*
			 * nothing is loaded: a reply for each key (its count is UINT64_MAX) that
			 * would be, in order, and for each that would not, with the reason in
			 * `error`; the last reply has the count
			 */
			bool dry_run;
		} prewarm;
		struct {
			enum purge_what what;
		} purge;
		struct {
			unsigned what;        /* PAUSE_* bits */
			struct instant until; /* NEVER: until resumed; not after now: resume */
		} pause;
		struct {
			struct span offset;
		} clock;
	};
};

/* -- Effects ---------------------------------------------------------------------------------- */

enum effect_kind {
	EFFECT_REPLY,
	EFFECT_WAIT,   /* the ticket waits for a load (for whoever writes a decision log) */
	EFFECT_LOAD,   /* read the origin now */
	EFFECT_FIT,    /* run harmonic_fit on a worker and hand back INPUT_FITTED */
	EFFECT_NOTICE, /* publish */
};

enum reply_status {
	REPLY_OK,
	/* no value: miss without loader, 404, delete of what is not there, set of what is too old to be served */
	REPLY_ABSENT,
	REPLY_LEASE, /* outcome MISS: you hold the lease, load it and set it */
	REPLY_ERROR, /* the load failed and there is no old value */
	REPLY_BUSY,  /* too many waiters: try again */
	/* set with a lease that is no longer held, or of what was read before a change: not kept */
	REPLY_LEASE_LOST,
	REPLY_TOO_BIG, /* key or value above its limit */
};

/* Who asked for a background load before anybody needed its value. Files keep the numbers. */
enum prefetch_source {
	PREFETCH_AHEAD,    /* the end of a TTL, because requests will come */
	PREFETCH_SCHEDULE, /* a scheduled peak */
	PREFETCH_LEARNED,  /* a peak that recurs, found in the demand */
	PREFETCH_FORECAST, /* a rise that is forecast for the next half hour */
	PREFETCH_EVENT,    /* a change event, because requests will come */
	PREFETCH_MANUAL,   /* INPUT_PREWARM */
	PREFETCH_JUMP,     /* a jump of the request rate that nothing had foretold */
	PREFETCH_SOURCES
};
const char *prefetch_source_name(enum prefetch_source s); /* "ahead", "schedule", ... */

/* Why a key that may be asked for at a peak is not loaded before it. */
enum prewarm_skip {
	SKIP_FRESH,     /* it is held, and will be fresh at the peak */
	SKIP_UNLIKELY,  /* asked for within its own lifetime too rarely to pay for the load */
	SKIP_VOLATILE,  /* what can be loaded before the peak would be replaced before it is used */
	SKIP_PERSONAL,  /* its name says whose it is, and its endpoint does not say `always` */
	SKIP_FORBIDDEN, /* its endpoint says `prewarm: never` */
	SKIP_LIMIT,     /* others are wanted more: max_keys */
	SKIP_ROOM,      /* the same: what the origin's budget can load until then */
	SKIP_ORIGIN,    /* no origin, or one without a budget for background loads */
	SKIP_PAUSED,    /* prefetching is paused */
	SKIP_WASTEFUL,  /* what this source loaded for the endpoint of late was not used */
	SKIP_UNPROVEN,  /* a learned peak that is only watched so far */
	PREWARM_SKIPS
};
const char *prewarm_skip_name(enum prewarm_skip s); /* "fresh", "unlikely", ... */

/* How a peak found the cache. Counts are of keys that have a chance of being asked for at it. */
struct peak_report {
	enum prefetch_source source;
	struct instant at;
	struct instant began; /* the first load for it; INSTANT_NONE: none */
	uint64_t wanted;      /* likelier than not to be asked for within 5 minutes */
	uint64_t warm;        /* of these: held and fresh at the peak */
	uint64_t planned;     /* to be loaded before it */
	uint64_t late;        /* of these: the load had not ended by then, or had failed */
	uint64_t loads;       /* spent on it */
	uint64_t failed;      /* of these: errors */
	uint64_t skipped[PREWARM_SKIPS]; /* not planned, and why */
};

enum notice_kind {
	NOTICE_CHANGED,  /* a load or event found a new version of the key */
	NOTICE_PEAK,     /* a scheduled or learned instant has come: `peak` says how it went */
	NOTICE_ENDPOINT, /* a new endpoint was seen */
	/* the request rate of an endpoint has jumped beyond the forecast: to `value` */
	NOTICE_JUMP,
};

struct effect {
	enum effect_kind kind;
	uint64_t ticket;
	struct bytes endpoint, key;
	union {
		struct {
			enum reply_status status;
			enum outcome outcome;
			struct bytes value; /* empty without a store */
			bool packed;        /* it is a frame that the value is made of */
			uint64_t version;
			struct instant loaded; /* when the origin was read */
			struct instant soft;   /* fresh before this */
			uint64_t lease;     /* with REPLY_LEASE, and REPLY_OK in grace; 0: none */
			uint64_t count;     /* purge: entries gone; prewarm: loads planned */
			struct bytes error; /* with REPLY_ERROR */
		} reply;
		struct {
			uint64_t job;
			enum outcome outcome; /* MISS for who started it, JOINED for the others */
		} wait;
		struct {
			uint64_t job;
			uint32_t origin; /* ORIGIN_NONE: the endpoint's loader worker */
			enum load_reason reason;
			struct instant deadline;
			/* we hold a value of this version: ask conditionally if possible */
			bool have;
			uint64_t version;
			/* ... by its Last-Modified, too; else by stronger validators alone */
			bool by_time;
		} load;
		struct {
			uint64_t fit;
			struct harmonic_data *data; /* yours: free with harmonic_data_free */
		} fit;
		struct {
			enum notice_kind what;
			uint64_t version;
			/* PEAK: the schedule, or what is learned of (then `endpoint` is set, too) */
			struct bytes name;
			struct peak_report peak;
			double value;   /* JUMP: requests per second */
			uint64_t loads; /* JUMP: planned */
		} notice;
	};
};

struct effects {
	VEC(struct effect) list;
	VEC(char *) text; /* copies that effects point into */
};

/* Forgets the effects of the last call; the memory is used again. */
void effects_clear(struct effects *fx);
void effects_release(struct effects *fx);

void engine_input(struct engine *e, struct instant now, const struct input *in, struct effects *fx);

/* Carries out what is due at or before now, at most max_work items (0: all). */
void engine_tick(struct engine *e, struct instant now, unsigned max_work, struct effects *fx);

/* Does at once what ticks do bit by bit: the forecasts know of all that has ended by now. */
void engine_settle(struct engine *e, struct instant now);

/* When engine_tick wants to be called next; NEVER when nothing is planned. */
struct instant engine_next(const struct engine *e);

/* -- Large values ----------------------------------------------------------------------------- */

/*
 * Whoever runs the engine can put a large value in its place in the store before the engine is told
 * of it: room is taken here in steps, evicting what is least worth, store_fill() copies and hashes it
 * on a thread of its own, and the input that follows has the room, so that the engine only
 * publishes what lies there. The room is spent then, or still the caller's: store_unreserve() it.
 *
 * One step of taking room; *room is zero before the first. 0: it is there. -EAGAIN: call again.
 * -EBUSY: call again when another room is spent. -ENOSPC, -E2BIG: hand the input in without.
 */
int engine_reserve(struct engine *e, struct instant now, size_t key_bytes, size_t value_bytes,
                   struct store_room *room);

/*
 * A set of the key has come and will be handed in when its value is in place. What the engine is told
 * of the key until then is newer: a set, a change event, a delete, a purge. They overtake it: it is
 * answered, but its value is not kept. Returns what goes into input.set.arrival; 0: the key cannot be.
 * Its effects are to be carried out.
 */
uint64_t engine_arrived(struct engine *e, struct instant now, struct bytes endpoint,
                        struct bytes key, struct effects *fx);

/* -- Compression ------------------------------------------------------------------------------ */

/*
 * Values of an endpoint that says so are kept as zstd frames (store/packed.h). Whoever runs the engine
 * makes the frame, on a thread of its own, and hands it in with the value; what was kept so is
 * handed out so. The version stays that of the value, so that it makes no difference to what is learned.
 *
 * The level for a value of this size of the key (which may be empty, with an endpoint); 0: it is to be
 * kept as it is.
 */
int engine_compression(const struct engine *e, struct bytes endpoint, struct bytes key,
                       size_t value_bytes);

/* -- Questions -------------------------------------------------------------------------------- */

/* Why a TTL is what it is: the first of these that applied. */
enum ttl_reason {
	TTL_PLANNED,  /* equal marginal value */
	TTL_MIN,      /* clamped by min_ttl */
	TTL_MAX_AGE,  /* clamped by max_age */
	TTL_KEY_CAP,  /* clamped by max_stale_key */
	TTL_CLIENT,   /* the app's own TTL (obey, advise, or nothing to load from) */
	TTL_STATIC,   /* static_ttl: held out, paused, or nothing known */
	TTL_NEGATIVE, /* an error answer */
	TTL_PUSHED,   /* change events say when it ends */
	/* a plain client's own TTL (plain.h), and what was learned says that it is ... */
	TTL_TOO_SHORT,
	TTL_RIGHT,
	TTL_TOO_LONG,
};
const char *ttl_reason_name(enum ttl_reason r);

#define TTL_ROW_UNCOUNTED UINT64_MAX

/* One row of `forecache ttls`, and the head of `why`. Of an endpoint when key is empty. */
struct ttl_row {
	struct bytes endpoint, key;
	/* of the key; of an endpoint: the median over its resident keys, weighted by requests */
	double ttl_s;
	/* what a plain client's own TTL should be; NAN when it is not about one, or too early */
	double advised_s;
	double age_s;                      /* NAN when no value is held */
	struct estimate change_rate_per_s; /* at this time of day */
	double request_rate_per_s;         /* forecast for now */
	double load_ms;
	double stale_share; /* estimated from audits and loads; NAN without data */
	double hit_ratio;   /* of late; NAN without data */
	uint64_t requests, loads; /* of an endpoint; TTL_ROW_UNCOUNTED of a key */
	enum ttl_mode mode;
	enum ttl_reason reason;
};

/* What the next peak that is about a key thinks of it. */
struct why_peak {
	bool known; /* there is one */
	struct bytes name;
	enum prefetch_source source;
	struct instant at;
	double p_wanted;        /* P(asked for within 5 minutes of it) */
	double p_useful;        /* P(asked for within its own lifetime then) */
	double worth;           /* the least of these that pays */
	bool loaded;            /* it will be loaded, as far as can be said now ... */
	enum prewarm_skip skip; /* ... or why not */
};

struct why {
	struct why_peak peak;
	struct ttl_row row;
	bool known; /* the key or endpoint has been seen */
	bool is_endpoint;
	bool resident;
	/* volatility */
	struct estimate change_rate_mean; /* per second, averaged over the week */
	double shape_now;                 /* the time-of-day factor now */
	struct instant last_changed, last_load;
	/* the endpoint's prior: mean per second, keys behind it */
	double pool_mean, pool_n;
	/* demand */
	struct estimate request_rate; /* per second over the next minute */
	double demand_shape_now;
	/*
	 * errors of the endpoint's forecasts of 30 minutes ahead, over those of "as yesterday", "as
	 * now" and a moving mean; NAN before the first comparison
	 */
	double forecast_mase, forecast_vs_last, forecast_vs_ewma;
	bool own_forecast; /* it has a model of its own: these are the shares of the experts */
	double say[ENSEMBLE_EXPERTS];
	double period_s; /* found beside day and week; 0: none */
	/* decision */
	struct instant soft, hard;
	bool refresh_ahead;
	double price; /* s: what one stale serve costs, in loads */
	double load_cost; /* what a load costs now, in usual ones: 1 but for the minutes after a peak */
	/*
	 * how many times as often as usual all keys of the endpoint change at present; 1 within what hours
	 * differ by
	 */
	double activity;
	/* predicted probability that the value is replaced at the end of the TTL */
	double p_stale_at_end;
	double ttl_at_half_price_s, ttl_at_double_price_s; /* what would change it */
	/* of the class: max_stale, and staleness per request */
	double objective, measured, measured_sd;
	uint64_t audits, audits_stale;
	double origin_rate_used, origin_rate_limit; /* background loads per second */
	unsigned paused;                            /* PAUSE_* bits in force */
	struct bytes last_error;
	/* what its endpoint has learned from since the start: looks, and what was said of changes */
	uint64_t seen_same, seen_changed, told, announced;
	/* "believed", "not believed": what its endpoint's Last-Modified turned out to be; or empty */
	struct bytes last_modified;
};

/* False when neither a key nor an endpoint has that name. */
bool engine_why(struct engine *e, struct instant now, struct bytes name, struct why *ret);

/*
 * The advised TTL of a key that need not be resident (for apps with a cache of their own). A key
 * that is new is remembered, and may make another be forgotten. ret_endpoint, if given, is the one
 * that the key is known by, whatever was asked with; valid until the next input.
 */
struct span engine_ttl(struct engine *e, struct instant now, struct bytes endpoint,
                       struct bytes key, enum ttl_reason *ret_reason,
                       struct bytes *ret_endpoint);

typedef void ttl_row_fn(void *arg, const struct ttl_row *row);

/*
 * Rows of endpoints, in order of first sight; or of keys of one endpoint (empty: of all), hottest
 * first. False: there is no such endpoint.
 */
void engine_endpoints(struct engine *e, struct instant now, ttl_row_fn *fn, void *arg);
bool engine_ttls(struct engine *e, struct instant now, struct bytes endpoint, size_t max_rows,
                 ttl_row_fn *fn, void *arg);

bool engine_knows_endpoint(const struct engine *e, struct bytes name);
/* The endpoint that may be meant by a name that is none: one of the first few hundred; NULL: none. */
const char *engine_endpoint_like(const struct engine *e, struct bytes name);

/* Forecast of an endpoint's requests per second for n steps from now. False: unknown endpoint. */
struct forecast_row {
	struct instant at;
	double per_s; /* mean */
	/* per second over five minutes: half of what may come is below, 80 % within */
	double median, lo80, hi80;
	double volatility; /* the time-of-day factor of its change rate, mean 1 */
};
bool engine_forecast(struct engine *e, struct instant now, struct bytes endpoint, struct span step,
                     size_t n, struct forecast_row *ret);

/* What became of background loads: asked for before they ended, or not. The rest is open. */
struct prefetch_count {
	uint64_t loads, useful, wasted;
};

/* Peaks that were found in the demand. */
struct learned_row {
	struct bytes name, endpoint;
	enum zone_day_kind kind; /* weekday, Saturday, Sunday */
	int minute;              /* of the local day */
	struct instant next;
	double factor;       /* by which the demand rises */
	double confidence;   /* P(it comes next time) */
	double days, held;   /* in the history of 28 days: of its kind, and with the rise */
	double trials, kept; /* told beforehand, and right; older ones count for less */
	/* of the keys that would have been, or were, loaded: asked for in time; NAN: none yet */
	double useful;
	uint64_t keys; /* that are known to be asked for then */
	bool proven;   /* acted on */
};
typedef void learned_row_fn(void *arg, const struct learned_row *row);
void engine_learned_peaks(struct engine *e, learned_row_fn *fn, void *arg);

struct engine_stats {
	uint64_t requests, hits, grace, misses, joined, events, sets, changed;
	uint64_t loads[LOAD_REASONS], load_errors, skipped_for_budget, evicted, events_refused;
	uint64_t damaged; /* entries that had gone bad in memory: dropped when asked for */
	uint64_t jumps;   /* of request rates beyond what was forecast */
	uint64_t keys, endpoints, flights, waiters, schedules;
	struct prefetch_count prefetch[PREFETCH_SOURCES];
	struct estimate stale; /* per request, over all classes */
	/* kept compressed since the start: values, their bytes, and what was kept in their stead */
	struct {
		uint64_t values, bytes, kept_bytes;
	} packed;
	struct store_stats store;
	/* the two arms of holdout */
	struct {
		uint64_t requests, hits, loads;
		double stale;
	} learned, held_out;
};
void engine_stats(struct engine *e, struct engine_stats *ret);

/* -- Learned state, to keep and to bring back -------------------------------------------------- */

/*
 * Learned state as self-contained records: `kind` and `name` identify one (a later record replaces
 * an earlier one of the same kind and name), the fields are its content: a name and one or more
 * doubles. The daemon keeps them in SQLite as JSON, `export` and `import` carry them as a file.
 */
struct record_field {
	const char *name;
	const double *v; /* n finite numbers */
	size_t n;
};

struct record {
	const char *kind; /* "key", "endpoint", "class", "peak", "tail" */
	struct bytes name;
	struct bytes endpoint; /* of a key or a learned peak, else empty */
	struct record_field field[RECORD_MAX_FIELDS];
	size_t n_fields;
};
typedef void record_fn(void *arg, const struct record *r);

/*
 * Hands out up to max records that changed since they were last handed out; returns how many. Goes
 * on where the last call has stopped, and looks at so many keys for each of max, no more. A record
 * without fields says that there is none of that kind and name any more.
 */
#define ENGINE_DIRTY_LOOKS 64
size_t engine_dirty(struct engine *e, struct instant now, size_t max, record_fn *fn, void *arg);

/* All of them. */
void engine_export(struct engine *e, struct instant now, record_fn *fn, void *arg);

/*
 * Takes one back. It counts as changed, so that engine_dirty hands it out. 0, or -EINVAL with *ret_why (a
 * static text that names the field).
 */
int engine_import(struct engine *e, struct instant now, const struct record *r,
                  const char **ret_why);

/* What was imported so far was read where it is kept: engine_dirty need not hand it out. */
void engine_all_kept(struct engine *e, struct instant now);

/*
 * Ties entries that a segment still holds (after store_attach) to what was learned of their keys.
 * Call once, after the imports.
 */
void engine_adopt(struct engine *e, struct instant now);

#endif
