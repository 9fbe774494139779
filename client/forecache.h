/* SPDX-License-Identifier: MIT */
/*
 * libforecache: the client of forecached, a caching daemon that learns how long values stay fresh.
 *
 *	struct fc *fc;
 *	int rc = fc_open(NULL, &fc);
 *	...
 *	struct fc_value v;
 *	rc = fc_get_or_load(fc, "/quotes/<symbol>", "/quotes/IBM", 11, load_quote, arg, &v);
 *	if (!rc)
 *		use(v.data, v.bytes);
 *	fc_value_release(&v);
 *	fc_close(&fc);
 *
 * HOW IT WORKS on the daemon's host a get reads the daemon's segment of shared memory, which is
 * mapped read only: no system call, no lock, no waiting. What it saw is told to the daemon in
 * batches by a thread of the library's own, which alone talks ZeroMQ and is started when there is
 * something to say. What is not in the segment is asked of the daemon over ZeroMQ, or loaded by the
 * caller's own function, one caller at a time.
 *
 * WITHOUT THE DAEMON (its heartbeat is older than 2 s) values that are still in the segment are
 * fresh until their TTL; past it they are given, up to their max_age, only where a load fails. A
 * value that was to live until a change event ends it counts as past its TTL at once.
 * fc_get_or_load then lets one process of the host load a key while the others wait, by a lock file
 * that vanishes with its holder. No call fails for want of a daemon where a load can succeed. When
 * the daemon dies while it is asked, reads are asked again of the one that comes back; what changes
 * something ends with -ENOTCONN, and may have been done or not.
 *
 * THREADS a handle may be used by any number of threads at once. FORK a child may go on using the
 * handle: it keeps the segment and makes its own thread and connections; what the parent had not
 * yet told the daemon is told by the parent alone. Signals are blocked in the library's thread.
 *
 * ERRORS functions return 0 or a negative errno value, named at each function; fc_strerror says
 * them in words. Keys are bytes: any value, 1 to 1024 of them (the daemon's limits, max_key_bytes
 * and max_value_bytes, hold). Endpoints are NUL-terminated strings; NULL leaves the endpoint to the
 * daemon's rules. Times are seconds.
 */
#ifndef FORECACHE_H
#define FORECACHE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct fc; /* a handle */

/*
 * Every field may be 0 (NULL), which stands for the default. Set `size` to sizeof(struct
 * fc_options), so that a later library knows which fields you know.
 */
struct fc_options {
	size_t size;
	const char *dir; /* the daemon's directory; default $FORECACHED_DIR, else
	                         $XDG_RUNTIME_DIR/forecached if that exists, else /run/forecached */
	/* how long a call may wait for the daemon, 0.001 to 3600; default 5 */
	double timeout_s;
	double load_wait_s; /* how long fc_get_or_load waits for another caller's load, 0.001 to 3600;
	                         default 10 */
	/* the daemon is gone when its heartbeat is older, 0.1 to 3600; default 2 */
	double silence_s;
	double flush_s; /* events are told after so long, 0.001 to 60; default 0.1; after 10 idle
	                         seconds within a second more */
	/* events in one message, 1 to 10000 (the daemon's max_events); default 1000 */
	unsigned max_batch;
	unsigned max_events; /* so many wait at most; more are dropped and counted, 16 to 10000000;
	                         default 65536 */
	/* requests that wait for an answer at once, 1 to 1000000; default 4096 */
	unsigned max_waiting;
	size_t max_value_bytes; /* larger values are refused, 64 to 2^29; default 67108864 */
	size_t max_reply_bytes; /* larger messages are refused, 1024 to 2^30; default 83886080 */
};

/*
 * Never waits for the daemon, which need not run yet. -EINVAL (an option), -ENAMETOOLONG, -ENOMEM.
 */
int fc_open(const struct fc_options *options, struct fc **ret);

/*
 * Tells the daemon what is still to be told (waits at most 100 ms), ends the thread, frees. Load
 * functions that the daemon has asked for are waited for, and their values are told. NULL is fine.
 */
void fc_close(struct fc **fc);

/* ---- Values ------------------------------------------------------------------------------- */

enum fc_outcome {
	FC_HIT,   /* fresh */
	FC_GRACE, /* past its TTL; a load is under way or failed */
	FC_MISS,  /* no value, or one that was loaded just now */
};

struct fc_value {
	void *data; /* the value, yours until fc_value_release; NULL: none */
	size_t bytes;
	uint64_t version; /* equal versions mean equal content; 0: unknown */
	double age_s;     /* since the origin was read */
	double ttl_s;     /* until it is no longer fresh; below 0: past it */
	uint64_t lease;   /* not 0: the caller is to load the key and to set it with this lease */
	enum fc_outcome outcome;
	int error; /* fc_mget: 0, -ENOENT or what else went wrong with this key */
	void *reserved[2];
};

/* Gives the memory back and clears v. Fine on a zeroed one, and more than once. */
void fc_value_release(struct fc_value *v);

/*
 * What the cache holds, at once: from the segment where there is one, else asked of the daemon.
 * Never loads and never waits for a load. -ENOENT: nothing fresh enough. Without a segment (another
 * host's daemon) also -ETIMEDOUT, -ENOTCONN.
 */
int fc_get(struct fc *fc, const char *endpoint, const void *key, size_t key_bytes,
           struct fc_value *ret);

/*
 * fc_get for those who must not wait at all: event loops, and languages with a lock over their
 * threads. Only the segment is asked, no memory is allocated (but what decodes values that are kept
 * compressed, at a thread's first of them, or of a larger one), and the value is copied to buf (cap
 * bytes; ret->data is buf, or NULL: do not release it). -ENOENT: nothing fresh enough. -EAGAIN:
 * there is no segment; fc_get would ask the daemon. -ERANGE: the value does not fit, ret->bytes is
 * what it takes. What ended with -EAGAIN or -ERANGE is not counted nor told to the daemon, and with
 * FC_ONLY_FRESH in flags only a fresh value is given and told: for those who go on with
 * fc_get_or_load.
 */
#define FC_ONLY_FRESH 1u
int fc_get_into(struct fc *fc, const char *endpoint, const void *key, size_t key_bytes,
                unsigned flags, void *buf, size_t cap, struct fc_value *ret);

/*
 * The value in its place, without a copy: for those who look at it once (parse, send, compare) and
 * can begin again. It was whole when fc_peek returned, and may become another one, or nonsense, at
 * any time after: whoever uses it must bear any bytes there, and believes what came of it only if
 * fc_peek_valid says 1. That ends the peek; it is called once for each that returned 0, soon. -ENOENT
 * and -EAGAIN as fc_get_into; -EAGAIN, too, for a value that is kept compressed: fc_get unpacks it.
 *
 *	if (fc_peek(fc, NULL, key, n, 0, &view) == 0) {
 *		sum = add_up(view.data, view.bytes);
 *		if (fc_peek_valid(fc, &view))
 *			return sum;
 *	}
 *	... fc_get
 */
struct fc_view {
	const void *data; /* of shared memory, aligned to 8 bytes; no NUL behind it */
	size_t bytes;
	uint64_t version;
	double age_s, ttl_s; /* as in fc_value */
	enum fc_outcome outcome;
	void *reserved[4];
};
int fc_peek(struct fc *fc, const char *endpoint, const void *key, size_t key_bytes, unsigned flags,
            struct fc_view *ret);
int fc_peek_valid(struct fc *fc, struct fc_view *view);

/*
 * Many keys. ret[i].error tells how each went, as fc_get. The return value is 0, or an error that
 * concerns all (-EINVAL, -ENOMEM). Release each.
 */
int fc_mget(struct fc *fc, const char *endpoint, const void *const *keys, const size_t *key_bytes,
            size_t n, struct fc_value *ret);

/*
 * Reads the origin. Fills data (from malloc; the library frees it), bytes and, if known, version
 * and ttl_s (the origin's own, 0: not said). 0; -ENOENT: there is no such thing; another negative
 * errno: it failed. Called in the caller's thread by fc_get_or_load, in a thread of the library's
 * by fc_register_loader.
 */
struct fc_loaded {
	void *data;
	size_t bytes;
	uint64_t version;
	double ttl_s;
};
typedef int fc_load_fn(void *arg, const void *key, size_t key_bytes, struct fc_loaded *ret);

/*
 * The value, loaded by fn if the cache has none that is fresh. Of all callers one gets to load; the
 * others wait for it (load_wait_s), or get the old value as long as grace lasts. If that time is
 * over, or the daemon is too busy, one process of the host loads as it does without a daemon, and
 * the others wait as long again for that. If fn fails, the old value is given (FC_GRACE) as long as
 * its max_age permits; else fn's error comes back, and those who waited for it get -EIO without a
 * try of their own. What was just loaded is FC_MISS. With fn NULL the daemon loads, by its HTTP
 * origin or a registered loader, and the errors are -ENOENT (there is no such thing, or nothing to
 * load it by), -EIO (the load failed), -EBUSY, -ETIMEDOUT and -ENOTCONN.
 */
int fc_get_or_load(struct fc *fc, const char *endpoint, const void *key, size_t key_bytes,
                   fc_load_fn *fn, void *arg, struct fc_value *ret);

struct fc_set_options {
	size_t size;      /* sizeof(struct fc_set_options) */
	double ttl_s;     /* the app's own; 0: none */
	uint64_t lease;   /* from fc_get_or_load's or fc_request's lease; 0: none */
	double load_ms;   /* what producing the value took; 0: unknown */
	uint64_t version; /* 0: the hash of the value */
	double read_s;    /* when the origin was read, seconds since 1970; 0: load_ms ago */
};

/*
 * Puts a value into the cache; waits for the daemon's word. -EMSGSIZE: above a limit; -ESTALE: the
 * lease is no longer held, or there is none and a change came after the origin was read; -EBUSY,
 * -ETIMEDOUT, -ENOTCONN: no daemon. options may be NULL.
 */
int fc_set(struct fc *fc, const char *endpoint, const void *key, size_t key_bytes,
           const void *value, size_t value_bytes, const struct fc_set_options *options);

/* Takes a value out. -ENOENT: it was not there; else as fc_set. */
int fc_delete(struct fc *fc, const void *key, size_t key_bytes);

/*
 * The origin's value has changed (version 0: to an unknown one). Waits for the daemon's word, as
 * fc_set: when it returns 0, no get of any process on the host that begins from then on finds the
 * old value.
 */
int fc_changed(struct fc *fc, const char *endpoint, const void *key, size_t key_bytes,
               uint64_t version);

/* The TTL that the daemon advises for the key, in seconds. As fc_set. */
int fc_ttl(struct fc *fc, const char *endpoint, const void *key, size_t key_bytes,
           double *ret_ttl_s);

/* ---- For an app with a cache of its own --------------------------------------------------- */

enum fc_event_outcome {
	FC_EVENT_HIT,
	FC_EVENT_GRACE,
	FC_EVENT_MISS,
	FC_EVENT_SET,
	FC_EVENT_CHANGED
};

struct fc_event {
	size_t size; /* sizeof(struct fc_event) */
	const char *endpoint;
	const void *key;
	size_t key_bytes;
	enum fc_event_outcome outcome;
	double time_s;  /* seconds since 1970; 0: now */
	uint32_t count; /* so many of them; 0 counts as 1 */
	uint64_t value_bytes;
	double load_ms;   /* what the load took; 0: unknown */
	uint64_t version; /* hash or counter of the content; 0: unknown */
};

/*
 * Tells the daemon what happened; copies and returns at once. -EINVAL; -ENOBUFS: dropped and
 * counted.
 */
int fc_event(struct fc *fc, const struct fc_event *e);

/* ---- Loaders: the daemon asks, the app reads its origin ----------------------------------- */

/*
 * Serves an endpoint: fn runs in up to `concurrency` (1 to 256) threads of the library's, also for
 * refreshes and prewarms. One registration per endpoint; it lasts until fc_close and is repeated
 * after a fork only by calling this again in the child. -EINVAL, -EEXIST, -ENOMEM, -EAGAIN (no
 * thread).
 */
int fc_register_loader(struct fc *fc, const char *endpoint, unsigned concurrency, fc_load_fn *fn,
                       void *arg);

/* ---- Everything else ---------------------------------------------------------------------- */

/*
 * Any operation of docs/protocol.md. args is one msgpack array of the arguments (NULL: none). On
 * success *ret_result is the result as one msgpack value: free() it. A failure that the daemon
 * reports comes back as its errno value, with its text in reterr (reterr_bytes long; NULL, 0: not
 * wanted). timeout_s 0: the handle's. -ETIMEDOUT; -ENOTCONN: no daemon.
 */
int fc_request(struct fc *fc, const char *op, const void *args, size_t args_bytes, double timeout_s,
               void **ret_result, size_t *ret_result_bytes, char *reterr, size_t reterr_bytes);

/*
 * Hands out notices (docs/protocol.md) whose topic starts with prefix ("": all) until fn gives
 * something other than 0, which is returned; or -ETIMEDOUT when nothing came for timeout_s (0: for
 * ever). notice is one msgpack map. Notices may be lost.
 */
typedef int fc_notice_fn(void *arg, const char *topic, const void *notice, size_t notice_bytes);
int fc_monitor(struct fc *fc, const char *prefix, double timeout_s, fc_notice_fn *fn, void *arg);

struct fc_stats {
	uint64_t gets, hits, grace, misses;   /* of this process and handle */
	uint64_t segment_reads;               /* gets that the segment alone answered */
	uint64_t requests, timeouts;          /* asked of the daemon; without an answer in time */
	uint64_t events_sent, events_dropped; /* a count of n is n events */
	uint64_t loads, load_errors;          /* calls of load functions */
};
void fc_stats(struct fc *fc, struct fc_stats *ret);

/*
 * Is the daemon there? 1: its heartbeat in the segment is recent; 0: not, or there is no segment.
 */
int fc_alive(struct fc *fc);

/* In words; never NULL. For errors that these functions return, 0 included. */
const char *fc_strerror(int error);

/* "0.1.0" */
const char *fc_version(void);

#ifdef __cplusplus
}
#endif
#endif
