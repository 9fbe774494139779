/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Large values are put in their place in the store before the engine hears of them, and others are
 * compressed where their endpoint says so, so that nobody waits while that is done.
 *
 *	large_wants	is it one? (limit large_value_bytes; compression of the endpoint)
 *	large_put	prepares the values of a message; calls back when the engine may have it
 *
 * HOW IT WORKS a thread of a pool of its own compresses what is to be, to memory that is not the
 * store's. A message of which something is large then waits in line. For the first of them room is
 * taken in the store, a step in each turn of the loop (engine_reserve: room may have to be made
 * first); a thread fills it; then its function runs on the loop's thread, hands the engine the message
 * as if it had come just now, with the rooms, and what is left of them is given back. Where there is no
 * room to be had the engine gets the value without, and does all of it itself. Where too much waits
 * already, values are not compressed.
 *
 * INVARIANTS messages are handed on when they are ready, which may be another order than they came
 * in: whoever needs an order, keeps it (engine_arrived; a connection that waits).
 *
 * OWNERSHIP the memory of the values must stay as it is until the function has been called, or
 * `drop`. One of the two is, once. With `own` it is from mem_dup(), and freed here.
 */
#ifndef FORECACHED_DAEMON_LARGE_H
#define FORECACHED_DAEMON_LARGE_H

#include "base/bytes.h"
#include "daemon/config.h"
#include "daemon/worker.h"
#include "store/packed.h"
#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct daemon;
struct large;

struct large_value {
	struct bytes value;
	size_t key_bytes; /* of its key's name in the cache */
	uint32_t number;  /* the caller's */
	int level;        /* of its compression; 0: none */
	bool own;
	bool kept; /* its memory is there however long it waits: that is no reason not to */
	bool content;     /* wants content_hash_bytes() of it, too: */
	uint64_t content_hash;
	/* the two below: what there is of them for the engine's input */
	struct store_room room;
	struct packed_value packed;
};

static inline struct store_room *large_room(struct large_value *v)
{
	return v->room.filled ? &v->room : NULL;
}

static inline const struct packed_value *large_packed(const struct large_value *v)
{
	return v->packed.bytes.n ? &v->packed : NULL;
}

typedef void large_fn(struct daemon *d, void *arg, struct large_value *v, size_t n);

struct large *large_new(struct daemon *d, size_t threads); /* NULL: no thread can be started */

/* Drops what is under way. NULL is fine. */
void large_free(struct large **l);

/* Whether a value of this size of the key is to be prepared; *ret_level is then its level. */
bool large_wants(const struct daemon *d, struct bytes endpoint, struct bytes key, size_t bytes,
                 int *ret_level);

/* No smaller value is. */
double large_least(const struct config *c);

/* Giving back so much memory is a pause. */
bool large_is(const struct daemon *d, size_t bytes);

/*
 * drop(arg) is called instead of fn at the end of the daemon. The n > 0 values are copied; keys: how
 * many the message has, with and without such values.
 */
void large_put(struct large *l, const struct large_value *v, size_t n, size_t keys, large_fn *fn,
               worker_fn *drop, void *arg);

/* Calls release(what) on a thread: giving back the memory of a large value takes its time, too. */
void large_discard(struct large *l, worker_fn *release, void *what);

/* Messages whose function has not been called yet. */
size_t large_count(const struct large *l);

#endif
