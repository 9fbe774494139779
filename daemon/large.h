/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Large values are put in their place in the store before the engine hears of them, so that nobody
 * waits while they are copied and hashed.
 *
 *	large_is	is it one? (limit large_value_bytes)
 *	large_put	puts the values of a message in place; calls back when the engine may have it
 *
 * HOW IT WORKS messages wait in line. For the first of them room is taken in the store, a step in each
 * turn of the loop (engine_reserve: room may have to be made first); a thread of a pool of its own
 * fills it; then its function runs on the loop's thread, hands the engine the message as if it had come
 * just now, with the rooms, and what is left of them is given back. Where there is no room to be had
 * the engine gets the value without, and does all of it itself.
 *
 * INVARIANTS messages are handed on when they are ready, which may be another order than they came
 * in: whoever needs an order, keeps it (engine_arrived; a connection that waits).
 *
 * OWNERSHIP the memory of the values must stay as it is until the function has been called, or
 * `drop`. One of the two is, once.
 */
#ifndef FORECACHED_DAEMON_LARGE_H
#define FORECACHED_DAEMON_LARGE_H

#include "base/bytes.h"
#include "daemon/worker.h"
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
	bool content;     /* wants content_hash_bytes() of it, too: */
	uint64_t content_hash;
	struct store_room room; /* for the engine's input, if it is filled */
};

typedef void large_fn(struct daemon *d, void *arg, struct large_value *v, size_t n);

struct large *large_new(struct daemon *d, size_t threads); /* NULL: no thread can be started */

/* Drops what is under way. NULL is fine. */
void large_free(struct large **l);

bool large_is(const struct daemon *d, size_t bytes);

/* drop(arg) is called instead of fn at the end of the daemon. The n > 0 values are copied. */
void large_put(struct large *l, const struct large_value *v, size_t n, large_fn *fn,
               worker_fn *drop, void *arg);

/* Calls release(what) on a thread: giving back the memory of a large value takes its time, too. */
void large_discard(struct large *l, worker_fn *release, void *what);

/* Messages whose function has not been called yet. */
size_t large_count(const struct large *l);

#endif
