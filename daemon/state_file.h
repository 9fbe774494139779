/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The SQLite file behind state_db.h: what stands in it, and what is done with one that cannot be used.
 *
 * HOW IT WORKS records are rows by kind and name, with a checksum; points of the history of TTLs are rows
 * that are only appended. What is written belongs to the transaction that the caller has begun by
 * state_file_run. Results of SQLite are handed on as they are; 0 is SQLITE_OK.
 *
 * OWNERSHIP the caller sets `path`, sees to it that one thread at a time uses the file, and closes it.
 */
#ifndef FORECACHED_DAEMON_STATE_FILE_H
#define FORECACHED_DAEMON_STATE_FILE_H

#include "base/fault.h"
#include "daemon/state_db.h"

#include <limits.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

struct state_file {
	char path[PATH_MAX];
	sqlite3 *sql; /* NULL while it cannot be opened */
	sqlite3_stmt *upsert, *append, *erase;
};

/*
 * Opens or makes the file; what cannot be used is set aside once. 0 with *reterr empty or a warning; else a
 * negative errno value, and the file is closed.
 */
int state_file_open(struct state_file *f, struct fault *reterr);
void state_file_close(struct state_file *f);

/*
 * Closes and renames PATH, and what SQLite keeps beside it, so that the two still fit together; the new name
 * to ret. 0 or a negative errno value.
 */
int state_file_set_aside(struct state_file *f, const char *as, char *ret, size_t size);

/* Statements without results. */
int state_file_run(struct state_file *f, const char *text);

/* Writes a record, or deletes it where it has no fields. One that cannot be written is passed by. */
int state_file_put(struct state_file *f, const struct record *r);
int state_file_put_point(struct state_file *f, struct bytes endpoint, const struct ttl_point *p);

/* As state_db_load. */
int state_file_load(struct state_file *f, record_fn *fn, void *arg, struct state_db_loaded *ret,
                    struct fault *reterr);

/* What SQLite's result is as an errno value: 0 or negative. */
int state_file_errno(int rc);

/* Does it say that the file's content is wrong, as opposed to the disk, the rights or a lock? */
bool state_file_is_damage(int rc);

#endif
