/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The cache as a client sees it that knows nothing of ours: it sets values with a time to live of
 * its own and expects a miss when that has passed, no sooner and no later. This is what Redis
 * clients are given.
 *
 *	plain_get	what is there, counted for learning
 *	plain_set	a value that ends exactly when its client says, or never
 *	plain_find	what is there, without any effect
 *
 * HOW IT WORKS a value that was set here is exact: soft expiry is what the client said, there is no
 * max_age, no jitter and no plan. When its time has come, a timer drops it. What can be learned is
 * put down in a list on the way and worked off by plain_learn() a little later: accesses of one key
 * become one count; all sets of one key since the last time become one look, "the same" or
 * "changed", which is what the change-rate posterior wants to know. So an access costs a lookup.
 *
 * An endpoint rule can allow more, for keys that do not look like a lock, a session or a counter:
 *	grace > 0	after its time, one client gets the miss (and thereby the lease to load it),
 *			the others the old value for as long as loads of it take, within grace; and
 *			shortly before its time, if loads are slow, one gets a miss early. Where there
 *			is no old value the others wait for the new one, for as long as loads take, but
 *			not for keys that the one before them did not set
 *	ttl "learn"	the client's own time to live is advice, as for everybody else: shorter where
 *			values change, longer up to max_age where there is an origin, a loader worker
 *			or change events
 *
 * INVARIANTS without such a rule a value is never served after its time and never missed before it,
 * memory permitting. Numbers of keys are good until the next call that is not a question.
 *
 * OWNERSHIP values are views into the store, valid until the next call that changes it.
 */
#ifndef FORECACHED_ENGINE_PLAIN_H
#define FORECACHED_ENGINE_PLAIN_H

#include "base/bytes.h"
#include "base/instant.h"
#include "engine/engine.h"

#include <stdbool.h>
#include <stdint.h>

#define PLAIN_NONE UINT32_MAX

/*
 * Databases share one cache: the keys of database 1 begin with "@db1:", those of database 0 with
 * anything else; one that does begin with "@db" is told from these by "@db0:" before it.
 */
#define PLAIN_SPACES 16
#define PLAIN_SPACE_BYTES 6 /* "@db15:" */

/* How many bytes of the key name its database; *ret_space says which. 0: database 0. */
size_t plain_space(struct bytes key, unsigned *ret_space);

struct plain_value {
	uint32_t id; /* of the key */
	struct bytes value;     /* as it is kept */
	bool packed;            /* that is a frame (store/packed.h) ... */
	uint64_t bytes;         /* ... and the value so long */
	struct instant expires; /* NEVER: lives until it is evicted */
	bool grace;             /* its time has passed; a rule says that it may be served */
	/* with PLAIN_MISS: 0, or the lease of the key: the others wait, or get the old value */
	uint64_t lease;
};

/* What a client would see, without any effect. False: nothing. */
bool plain_find(const struct engine *e, struct instant now, struct bytes key,
                struct plain_value *ret);

enum plain_got {
	PLAIN_MISS,
	PLAIN_HIT,
	/* the engine can load it: hand in INPUT_GET, which counts it */
	PLAIN_ASK,
	/* another client was told to load it: plain_wait(), or take it for a miss */
	PLAIN_WAIT,
};

/*
 * A client asks for it; `lease` is what it was given with a miss of the key, 0: nothing. Nobody
 * waits for a load of its own: it is a miss again. The key is remembered when it is new.
 */
enum plain_got plain_get(struct engine *e, struct instant now, struct bytes key, uint64_t lease,
                         struct plain_value *ret, struct effects *fx);

/*
 * The ticket gets the value once it is set: REPLY_OK; REPLY_LEASE: whoever was to load it has gone,
 * so it is a miss, with the lease; anything else: a miss. `id` is that of PLAIN_WAIT.
 */
void plain_wait(struct engine *e, uint32_t id, uint64_t ticket, struct effects *fx);

/* A client that was given a lease has gone. */
void plain_give_back(struct engine *e, struct instant now, uint64_t lease, struct effects *fx);

struct plain_set {
	struct bytes key, value; /* not views of the store */
	struct store_room *room; /* filled with the value (engine_reserve), or packed; or NULL */
	const struct packed_value *packed; /* to be kept in its stead; or NULL */
	struct instant expires;  /* after now; NEVER: lives until it is evicted */
	struct span load;        /* what making the value took; 0: unknown */
	/* true: nothing is learned of it and no rule applies, as it is made here (a counter) or
	 * stands for something else than itself (a lock) */
	bool exact;
};

/* 0; -E2BIG: key or value above its limit; -ENOSPC: no room could be made. Then nothing is held. */
int plain_set(struct engine *e, struct instant now, const struct plain_set *s, struct effects *fx);

/* False when nothing was there. */
bool plain_delete(struct engine *e, struct instant now, struct bytes key, struct effects *fx);

/* Another end for the value of a key that plain_find() has found. At or before now: deletes it. */
void plain_expire(struct engine *e, struct instant now, uint32_t id, struct instant at,
                  struct effects *fx);

/*
 * All values of a database, or of all (PLAIN_SPACES), are gone for whoever asks the engine. They are
 * taken out of the store, where readers still find them, by plain_flush_step(), at most max keys at a
 * time; false when it is done.
 */
void plain_flush(struct engine *e, unsigned space);
bool plain_flush_step(struct engine *e, uint32_t max);

/* So many flushes may begin before the steps are done; one more does them all at once. */
unsigned plain_flushes_left(const struct engine *e);

/* Values held in a database; some of them may have expired a moment ago. */
uint64_t plain_count(const struct engine *e, unsigned space);

/* Those of them that end some time. And values that have ended so far. */
uint64_t plain_ending(const struct engine *e, unsigned space);
uint64_t plain_expired(const struct engine *e);

/*
 * Walks all keys: numbers from 0 to plain_ids() - 1, some of them unused. A key keeps its number
 * while it is remembered. False when that one holds nothing in the database.
 */
uint32_t plain_ids(const struct engine *e);
bool plain_at(const struct engine *e, struct instant now, uint32_t id, unsigned space,
              struct bytes *ret_key, struct plain_value *ret);

/* A value of the database chosen at random. False when none was found in some tries. */
bool plain_random(struct engine *e, struct instant now, unsigned space, struct bytes *ret_key);

/* When it was last asked for (NONE: never), and requests per second, both as far as learned. */
struct instant plain_last_asked(const struct engine *e, uint32_t id);
double plain_rate(const struct engine *e, struct instant now, uint32_t id);

/*
 * Tells of the next change of this key's value, once, by plain_touched(). The key is remembered
 * when it is new; PLAIN_NONE when it is too long.
 */
uint32_t plain_watch(struct engine *e, struct instant now, struct bytes key, struct effects *fx);

/* Watched keys whose value has changed since the last call. False: none is left. */
bool plain_touched(struct engine *e, uint32_t *ret_id);

/*
 * Works off at most max keys of what was put down; true when there is more. May start audits.
 */
bool plain_learn(struct engine *e, struct instant now, unsigned max, struct effects *fx);

#endif
