/* SPDX-License-Identifier: MIT */
/*
 * Access events that wait to be told to the daemon. Any thread puts; the library's thread takes.
 *
 * HOW IT WORKS a put must cost a get next to nothing: it finds a lane that no one is in just now,
 * looks the event up in the lane's table, and counts it up if the same access is there already. A
 * lane is taken by a flag and never waited for: while all are taken, and when a lane is full, the
 * event is dropped and counted. The library's thread exchanges a lane's full table for an empty
 * one.
 *
 * INVARIANTS at most max_events events (of different accesses) and their keys' bytes are held.
 */
#ifndef FORECACHED_CLIENT_OUTBOX_H
#define FORECACHED_CLIENT_OUTBOX_H

#include "proto/event.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define OUTBOX_LANES 4

struct batch {
	struct event *list; /* endpoint and key point into text */
	uint32_t *table;    /* of open addressing: number in list + 1; 0: empty */
	char *text;
	size_t n, text_n;
	size_t cap, table_cap, text_cap; /* table_cap is a power of two */
};

struct outbox_lane {
	_Alignas(64) atomic_bool taken;
	struct batch *batch;
};

struct outbox {
	struct outbox_lane lane[OUTBOX_LANES];
	struct batch *spare; /* the library's thread alone */
	struct batch all[OUTBOX_LANES + 1];
	atomic_ullong dropped;
};

/* -ENOMEM. */
int outbox_init(struct outbox *o, size_t max_events);
void outbox_release(struct outbox *o);

/* In a child after fork: empty, whoever was in it. */
void outbox_forked(struct outbox *o);

/* Copies. False: dropped (and counted). */
bool outbox_put(struct outbox *o, const struct event *e);

/*
 * Takes what a lane holds; NULL: nothing, or someone is in it just now. Valid until the next take.
 */
const struct batch *outbox_take(struct outbox *o, unsigned lane);

/* Events that could be dropped later are counted here, too. */
void outbox_dropped(struct outbox *o, const struct event *list, size_t n);

#endif
