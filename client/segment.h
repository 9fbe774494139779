/* SPDX-License-Identifier: MIT */
/*
 * The daemon's segment as a client sees it: found through <dir>/segment (a link to the file),
 * mapped read only, and mapped anew when the daemon has made another one.
 *
 * HOW IT WORKS a read takes a hold on the mapping that is current, in a counter of its own cache
 * line, and looks again whether it still is; so a mapping that was replaced can be given back as
 * soon as no one holds it. None of that is a system call. segment_refresh, which is, belongs to the
 * library's thread, to fc_open, and to a reader that found the daemon's life over.
 *
 * INVARIANTS at most SEGMENT_MAPS mappings at once; while all are held, no new one is made.
 */
#ifndef FORECACHED_CLIENT_SEGMENT_H
#define FORECACHED_CLIENT_SEGMENT_H

#include "store/reader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#define SEGMENT_MAPS  4
#define SEGMENT_HOLDS 16

struct segment_map {
	struct store_reader reader;
	dev_t dev;
	ino_t ino;
	struct {
		_Alignas(64) atomic_uint n;
	} held[SEGMENT_HOLDS];
};

struct segment {
	char path[256];
	pthread_mutex_t lock;                  /* of whoever refreshes */
	_Atomic(struct segment_map *) current; /* NULL: none */
	struct segment_map map[SEGMENT_MAPS];
};

/* path: of the link. */
void segment_init(struct segment *s, const char *path);
void segment_release(struct segment *s);

/* In a child after fork: the holds of threads that are not there any more end. */
void segment_forked(struct segment *s);

/* Maps what the link leads to now, if that is not what is mapped. */
void segment_refresh(struct segment *s);

/*
 * For who saw that m is of another life of the daemon (and holds it no more): maps the present one,
 * unless somebody has meanwhile. True: another mapping is current now.
 */
bool segment_renew(struct segment *s, const struct segment_map *m);

/* The current mapping, held, or NULL; to be given back with segment_drop. */
struct segment_map *segment_hold(struct segment *s);
void segment_drop(struct segment_map *m);

#endif
