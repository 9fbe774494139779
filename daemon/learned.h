/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Carries what the engine learned to the state file and back: all of it at the start, then what has
 * changed, every flush_s, as much as the file's queue takes. Without a file the daemon goes on and
 * says so.
 */
#ifndef FORECACHED_DAEMON_LEARNED_H
#define FORECACHED_DAEMON_LEARNED_H

#include "daemon/state_db.h"
#include "engine/engine.h"

struct daemon;
struct learned;

/* Opens d->state_dir and hands every record to the engine. Never NULL; problems are logged. */
struct learned *learned_new(struct daemon *d);

/* Writes what has changed; waits for the disk, at most timeout_s. */
void learned_save(struct learned *l, double timeout_s);

void learned_free(struct learned **l);

/*
 * Keeps a record of the daemon's own, not the engine's; learned_give() hands those of its kind back
 * after a restart, once. Kinds: "report" (peak_reports.c).
 */
void learned_put(struct learned *l, const struct record *r);
void learned_give(struct learned *l, const char *kind, record_fn *fn, void *arg);

/* What an endpoint's TTLs have been, or err: -EBUSY, -EIO. Views are valid during the call. */
struct learned_history {
	struct bytes endpoint;
	const struct ttl_point *point; /* the latest last */
	size_t n;
	int err;
};
typedef void learned_history_fn(struct daemon *d, void *arg, const struct learned_history *h);

/*
 * Has a worker read the last points of an endpoint, at most max; one is noted every 10 minutes once it has
 * been asked for. fn comes later, or never when the daemon ends before; then arg is freed. 0; -ENODEV: there is no
 * file; -EBUSY: too many are being read. Then fn does not come, and arg is the caller's still.
 */
int learned_history(struct learned *l, struct bytes endpoint, size_t max, learned_history_fn *fn,
                    void *arg);

/* False when there is no file. */
bool learned_status(struct learned *l, struct state_db_status *ret);

#endif
