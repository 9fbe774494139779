/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Learned state on disk: the records of the engine (engine.h, struct record) in an SQLite file, and
 * the history of TTLs (read by ttl_history.h).
 *
 *	state_db_open(path, ...)         reads nothing yet; sets aside what it cannot use
 *	state_db_load(db, fn, arg, ...)  once, at start: every record that is whole
 *	state_db_put(db, &record)        copies it into a queue; state_db_room says how many fit;
 *	                                 one without fields deletes what is kept of its kind and name
 *	state_db_flush(db, timeout)      everything that was put is on disk
 *
 * HOW IT WORKS a thread of its own takes the queue, at most a second after a record was put, and
 * writes it in one transaction (WAL). Each row carries a checksum of its content, which SQLite does
 * not keep: a row that fails it is left out. When the disk is full or read only, the queue keeps
 * what fits, writing is tried again every few seconds, and state_db_status says so; the queue takes
 * no more when it is full, so ask engine_dirty for at most state_db_room records: the others stay
 * dirty in the engine.
 *
 * PATH.lock keeps a second daemon out. While the daemon runs, the file can be read with sqlite3.
 *
 * A file that is damaged is renamed to PATH.damaged-20261123T193000Z, one of a later version to
 * PATH.newer-..., and an empty one is begun. Nothing is deleted.
 *
 * OWNERSHIP state_db_* are called from one thread. Records in callbacks are valid during the call.
 */
#ifndef FORECACHED_DAEMON_STATE_DB_H
#define FORECACHED_DAEMON_STATE_DB_H

#include "base/fault.h"
#include "base/instant.h"
#include "daemon/ttl_history.h"
#include "engine/engine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct state_db;

#define STATE_DB_VERSION 1 /* user_version of the file, and "version" of an export */

/* Limits. Row as in policy.h: X(name, default, lowest, highest, unit, help). */
#define STATE_DB_TABLE(X)                                                                          \
	X(queue_records, 65536, 16, 16777216, "records",                                           \
	  "learned records that wait to be written")                                               \
	X(queue_bytes, 67108864, 65536, 1073741824, "bytes", "memory for those")                   \
	X(key_rows, 2000000, 1000, 1000000000, "rows",                                             \
	  "learned keys kept; those written longest ago go first")                                 \
	X(history_rows, 200000, 0, 100000000, "rows", "TTL history kept; the oldest go first")

struct state_db_config {
#define X(name, def, lo, hi, unit, help) double name;
	STATE_DB_TABLE(X)
#undef X
};
struct state_db_config state_db_default(void);

/*
 * Opens or creates the file. 0; then *reterr is empty, or says what was set aside and why (a
 * warning). Else -EACCES, -ENOENT (no such directory), -EROFS, -ENOSPC, -EBUSY (another daemon has
 * it), -EIO, with the text: the caller may go on without a file. -EINVAL: another program's
 * database, left as it is.
 */
int state_db_open(const char *path, const struct state_db_config *c, struct state_db **ret,
                  struct fault *reterr);

/* Writes what is queued if it can be written within 5 s, then closes. NULL is fine. */
void state_db_close(struct state_db **db);

struct state_db_loaded {
	uint64_t records; /* handed out */
	uint64_t dropped; /* failed their checksum, or did not parse */
};

/*
 * Hands out every record: classes and schedules first, then endpoints, then keys. Damage that is
 * found here sets the file aside as at open, before the first callback: then no record is handed
 * out.
 */
int state_db_load(struct state_db *db, record_fn *fn, void *arg, struct state_db_loaded *ret,
                  struct fault *reterr);

/* How many records may be put now. 0 while the disk cannot be written and the queue is full. */
size_t state_db_room(struct state_db *db);

/*
 * Queues a copy. False when there was no room or the record is above the limits of record_json.h.
 */
bool state_db_put(struct state_db *db, const struct record *r);

/*
 * Appends a point of an endpoint's TTL history. The caller keeps the rate low: one per endpoint and
 * 10 min.
 */
bool state_db_history_put(struct state_db *db, struct bytes endpoint, const struct ttl_point *p);

/*
 * Has what waits written at once, and waits, at most timeout_s, until so many records may be put, or nothing
 * waits any more. 0, -ETIMEDOUT, or the error of writing.
 */
int state_db_make_room(struct state_db *db, size_t records, double timeout_s);

/* The same until all that was put is on disk. */
int state_db_flush(struct state_db *db, double timeout_s);

struct state_db_status {
	uint64_t written, queued, commits, failures;
	double behind_s;  /* age of the oldest record that is not on disk */
	bool failing;     /* the last commit failed; it is tried again */
	uint64_t warning; /* counts up when there is a new text to log: at most once a minute */
	char warning_text[256];
};
void state_db_status(struct state_db *db, struct state_db_status *ret);

#endif
