/* SPDX-License-Identifier: MIT */
/*
 * The daemon's segment as a client sees it: found through <dir>/segment (a link to the file),
 * mapped read only, and mapped anew when the daemon has made another one.
 *
 * HOW IT WORKS a read notes in its thread's lane which mapping it reads, and looks again whether
 * that is still current; so a mapping that was replaced can be given back as soon as no one reads
 * it. Who keeps a view beyond the read pins the mapping. None of that is a system call.
 * segment_refresh, which is, belongs to the library's thread, to fc_open, and to a reader that found
 * the daemon's life over.
 *
 * INVARIANTS at most SEGMENT_MAPS mappings at once; while all are held, no new one is made.
 */
#ifndef FORECACHED_CLIENT_SEGMENT_H
#define FORECACHED_CLIENT_SEGMENT_H

#include "client/lane.h"
#include "store/reader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#define SEGMENT_MAPS 4

struct segment_map {
	struct store_reader reader;
	dev_t dev;
	ino_t ino;
	atomic_uint pins;
};

struct segment {
	char path[256];
	uint64_t host;        /* which boot of the host this is; 0: the system does not say */
	pthread_mutex_t lock; /* of whoever refreshes */
	_Atomic(struct segment_map *) current; /* NULL: none */
	struct segment_map map[SEGMENT_MAPS];
	struct lanes *lanes; /* of who reads it */
};

/* path: of the link. */
void segment_init(struct segment *s, const char *path, struct lanes *lanes);
void segment_release(struct segment *s);

/* In a child after fork. */
void segment_forked(struct segment *s);

/* Maps what the link leads to now, if that is not what is mapped. */
void segment_refresh(struct segment *s);

/*
 * For who saw that m is of another life of the daemon (and holds it no more): maps the present one,
 * unless somebody has meanwhile. True: another mapping is current now.
 */
bool segment_renew(struct segment *s, const struct segment_map *m);

/* Is there one: is the daemon on this host? */
static inline bool segment_here(struct segment *s)
{
	return atomic_load_explicit(&s->current, memory_order_relaxed) != NULL;
}

/* The current mapping, kept for the thread whose lane that is until segment_drop; or NULL. */
struct segment_map *segment_hold(struct segment *s, struct lane *mine);

static inline void segment_drop(struct lane *mine)
{
	lane_done(mine);
}

/* Keeps a mapping that is held, for longer. */
static inline void segment_pin(struct segment_map *m)
{
	atomic_fetch_add_explicit(&m->pins, 1, memory_order_relaxed);
}

static inline void segment_unpin(struct segment_map *m)
{
	atomic_fetch_sub_explicit(&m->pins, 1, memory_order_release);
}

#endif
