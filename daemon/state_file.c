/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/state_file.h"

#include "base/hash.h"
#include "daemon/record_json.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define APPLICATION_ID 0x46434448 /* "FCDH": what file(1) and we know the file by */
#define BUSY_MS        2000       /* how long sqlite3 in another terminal may hold us up */

int state_file_errno(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_PERM:
	case SQLITE_CANTOPEN:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	default:
		return -EIO;
	}
}

/*
 * Errors that say that the file's content is wrong, as opposed to the disk, the rights or a lock.
 */
bool state_file_is_damage(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FORMAT:
	case SQLITE_SCHEMA:
	case SQLITE_MISMATCH:
	case SQLITE_ERROR: /* a table or column of ours is not there */
		return true;
	default:
		return rc == SQLITE_IOERR_SHORT_READ;
	}
}

void state_file_close(struct state_file *f)
{
	sqlite3_finalize(f->upsert);
	sqlite3_finalize(f->append);
	sqlite3_finalize(f->erase);
	f->upsert = f->append = f->erase = NULL;
	sqlite3_close(f->sql);
	f->sql = NULL;
}

/* Renames PATH, and what SQLite keeps beside it, so that the two still fit together. */
int state_file_set_aside(struct state_file *f, const char *as, char *ret, size_t size)
{
	char from[PATH_MAX + 8], to[PATH_MAX + 80], stamp[32];
	time_t t = time(NULL);
	struct tm tm;
	int i;

	state_file_close(f);
	gmtime_r(&t, &tm);
	strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
	for (i = 0; i < 1000; i++) {
		snprintf(ret, size, i ? "%s.%s-%s.%d" : "%s.%s-%s", f->path, as, stamp, i);
		if (access(ret, F_OK) < 0)
			break;
	}
	if (rename(f->path, ret) < 0)
		return -errno;
	snprintf(from, sizeof from, "%s-wal", f->path);
	snprintf(to, sizeof to, "%s-wal", ret);
	if (rename(from, to) < 0 && errno != ENOENT)
		return -errno;
	snprintf(from, sizeof from, "%s-shm", f->path);
	unlink(from); /* rebuilt from the wal when somebody opens it */
	return 0;
}

static int run(sqlite3 *sql, const char *text)
{
	return sqlite3_exec(sql, text, NULL, NULL, NULL);
}

int state_file_run(struct state_file *f, const char *text)
{
	return run(f->sql, text);
}

static int number(sqlite3 *sql, const char *query, int64_t *ret)
{
	sqlite3_stmt *s;
	int rc = sqlite3_prepare_v2(sql, query, -1, &s, NULL);

	if (rc != SQLITE_OK)
		return rc;
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW) {
		*ret = sqlite3_column_int64(s, 0);
		rc = SQLITE_OK;
	} else if (rc == SQLITE_DONE) {
		rc = SQLITE_CORRUPT;
	}
	sqlite3_finalize(s);
	return rc;
}

static const char schema[] = "BEGIN IMMEDIATE;"
                             "CREATE TABLE record(kind TEXT NOT NULL, name BLOB NOT NULL, endpoint "
                             "BLOB NOT NULL, fields TEXT NOT NULL,"
                             " checksum INTEGER NOT NULL, written_s INTEGER NOT NULL, PRIMARY "
                             "KEY(kind, name)) WITHOUT ROWID;"
                             "CREATE TABLE ttl_history(id INTEGER PRIMARY KEY, endpoint BLOB NOT "
                             "NULL, at_us INTEGER NOT NULL,"
                             " ttl_s REAL NOT NULL, change_rate_per_s REAL NOT NULL,"
                             " stale_share REAL, hit_ratio REAL);"
                             "CREATE INDEX ttl_history_by_endpoint ON ttl_history(endpoint, at_us);"
                             "PRAGMA application_id = 1178813512;"
                             "PRAGMA user_version = 1;"
                             "COMMIT;";
_Static_assert(APPLICATION_ID == 1178813512 && STATE_DB_VERSION == 1, "as in the schema");

static const char upsert_text[] = "INSERT INTO record(kind, name, endpoint, fields, checksum, "
                                  "written_s) VALUES(?1, ?2, ?3, ?4, ?5, ?6)"
                                  " ON CONFLICT(kind, name) DO UPDATE SET endpoint = ?3, fields = "
                                  "?4, checksum = ?5, written_s = ?6";
static const char append_text[] =
        "INSERT INTO ttl_history(endpoint, at_us, ttl_s, change_rate_per_s, "
        "stale_share, hit_ratio) VALUES(?1, ?2, ?3, ?4, ?5, ?6)";
static const char erase_text[] = "DELETE FROM record WHERE kind = ?1 AND name = ?2";

enum content { CONTENT_OURS, CONTENT_EMPTY, CONTENT_NEWER, CONTENT_FOREIGN };

/* What the file says it is; also the first read of it. */
static int look(sqlite3 *sql, enum content *ret, int64_t *ret_version)
{
	int64_t tables = 0, ours = 0, id = 0;
	int rc = number(sql, "PRAGMA user_version", ret_version);

	if (!rc)
		rc = number(sql, "PRAGMA application_id", &id);
	if (!rc)
		rc = number(sql, "SELECT count(*) FROM sqlite_master", &tables);
	if (!rc)
		rc = number(sql,
		            "SELECT count(*) FROM sqlite_master WHERE name IN ('record', "
		            "'ttl_history')",
		            &ours);
	if (rc)
		return rc;
	if (tables == 0)
		*ret = CONTENT_EMPTY;
	else if (id != APPLICATION_ID && ours < 2)
		*ret = CONTENT_FOREIGN;
	else if (*ret_version > STATE_DB_VERSION)
		*ret = CONTENT_NEWER;
	else if (id != APPLICATION_ID || *ret_version != STATE_DB_VERSION)
		rc = SQLITE_CORRUPT; /* our tables under a name that we never gave */
	else
		*ret = CONTENT_OURS;
	return rc;
}

/*
 * Columns that came later, and may be empty: an earlier forecached goes on with such a file as it is, so its
 * version stays.
 */
static int add_columns(sqlite3 *sql)
{
	static const char *const column[][2] = {
	        {"SELECT count(*) FROM pragma_table_info('ttl_history') WHERE name = 'stale_share'",
	         "ALTER TABLE ttl_history ADD COLUMN stale_share REAL"},
	        {"SELECT count(*) FROM pragma_table_info('ttl_history') WHERE name = 'hit_ratio'",
	         "ALTER TABLE ttl_history ADD COLUMN hit_ratio REAL"},
	};
	int rc = 0;

	for (size_t i = 0; i < 2 && !rc; i++) {
		int64_t there = 0;

		rc = number(sql, column[i][0], &there);
		if (!rc && !there)
			rc = run(sql, column[i][1]);
	}
	return rc;
}

static int open_once(struct state_file *f, enum content *ret_content, int64_t *ret_version)
{
	int rc = sqlite3_open_v2(f->path, &f->sql,
	                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX,
	                         NULL);

	*ret_content = CONTENT_OURS;
	if (rc)
		return rc;
	sqlite3_extended_result_codes(f->sql, 1);
	sqlite3_busy_timeout(f->sql, BUSY_MS);
	/* a file is data: no views or triggers in it may call functions */
	sqlite3_db_config(f->sql, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(f->sql, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	rc = look(f->sql, ret_content, ret_version);
	if (rc || *ret_content == CONTENT_NEWER || *ret_content == CONTENT_FOREIGN)
		return rc;
	/*
	 * NORMAL: a crash of ours loses nothing, a power cut at most the last seconds, and never
	 * consistency
	 */
	rc = run(f->sql, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA "
	                 "cell_size_check = ON;");
	if (!rc && *ret_content == CONTENT_EMPTY)
		rc = run(f->sql, schema);
	else if (!rc)
		rc = add_columns(f->sql);
	/*
	 * a header may say that this SQLite must only read; of a file that we may write, that is
	 * damage
	 */
	if (!rc && sqlite3_db_readonly(f->sql, "main") == 1 && access(f->path, W_OK) == 0)
		rc = SQLITE_CORRUPT;
	if (!rc)
		rc = sqlite3_prepare_v2(f->sql, upsert_text, -1, &f->upsert, NULL);
	if (!rc)
		rc = sqlite3_prepare_v2(f->sql, append_text, -1, &f->append, NULL);
	if (!rc)
		rc = sqlite3_prepare_v2(f->sql, erase_text, -1, &f->erase, NULL);
	return rc;
}

/* Opens the file; what cannot be used is set aside once. 0 with *reterr empty or a warning. */
int state_file_open(struct state_file *f, struct fault *reterr)
{
	enum content content = CONTENT_OURS;
	char aside[PATH_MAX + 64], why[160];
	int64_t version = 0;
	int rc = open_once(f, &content, &version), err;

	*reterr->text = '\0';
	if (!rc && (content == CONTENT_OURS || content == CONTENT_EMPTY))
		return 0;
	if (!rc && content == CONTENT_FOREIGN) {
		state_file_close(f);
		return fault_set(reterr, -EINVAL,
		                 "%.300s is another program's database: give a path of its own",
		                 f->path);
	}
	if (rc && !state_file_is_damage(rc)) {
		fault_set(reterr, 0, "%.300s: %s", f->path,
		          f->sql ? sqlite3_errmsg(f->sql) : sqlite3_errstr(rc));
		state_file_close(f);
		return state_file_errno(rc);
	}
	if (rc)
		snprintf(why, sizeof why, "is damaged (%.100s)", sqlite3_errstr(rc));
	else
		snprintf(why, sizeof why, "is of version %lld, and this forecached reads up to %d",
		         (long long)version, STATE_DB_VERSION);
	err = state_file_set_aside(f, rc ? "damaged" : "newer", aside, sizeof aside);
	if (err)
		return fault_set(reterr, err, "%.200s %.120s and cannot be renamed: %s", f->path,
		                 why, strerror(-err));
	rc = open_once(f, &content, &version);
	if (rc) {
		fault_set(reterr, 0, "%.300s: %s", f->path,
		          f->sql ? sqlite3_errmsg(f->sql) : sqlite3_errstr(rc));
		state_file_close(f);
		return state_file_errno(rc);
	}
	fault_set(reterr, 0, "%.150s %.120s: set aside as %.180s, learning begins anew", f->path,
	          why, aside);
	return 0;
}

static int64_t checksum(const char *kind, struct bytes name, struct bytes endpoint,
                        struct bytes fields)
{
	uint64_t h = hash_bytes(bytes_str(kind), STATE_DB_VERSION);

	h = hash_bytes(name, h);
	h = hash_bytes(endpoint, h);
	return (int64_t)hash_bytes(fields, h);
}

/* -- Writing ---------------------------------------------------------------------------------- */

static int bind_bytes(sqlite3_stmt *s, int i, struct bytes b)
{
	return sqlite3_bind_blob(s, i, b.p ? b.p : "", (int)b.n, SQLITE_STATIC);
}

static int step_once(sqlite3_stmt *s)
{
	int rc = sqlite3_step(s);

	sqlite3_reset(s);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int erase_record(struct state_file *f, const struct record *r)
{
	sqlite3_stmt *s = f->erase;
	int rc;

	sqlite3_bind_text(s, 1, r->kind, -1, SQLITE_STATIC);
	bind_bytes(s, 2, r->name);
	rc = step_once(s);
	sqlite3_clear_bindings(s);
	return rc;
}

static int write_record(struct state_file *f, const struct record *r)
{
	char *fields = record_fields_text(r);
	sqlite3_stmt *s = f->upsert;
	int rc;

	if (!fields)
		return SQLITE_OK; /* a number that is not finite: not worth failing all others */
	sqlite3_bind_text(s, 1, r->kind, -1, SQLITE_STATIC);
	bind_bytes(s, 2, r->name);
	bind_bytes(s, 3, r->endpoint);
	sqlite3_bind_text(s, 4, fields, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 5, checksum(r->kind, r->name, r->endpoint, bytes_str(fields)));
	sqlite3_bind_int64(s, 6, (int64_t)time(NULL));
	rc = step_once(s);
	sqlite3_clear_bindings(s);
	free(fields);
	return rc;
}

int state_file_put(struct state_file *f, const struct record *r)
{
	return r->n_fields ? write_record(f, r) : erase_record(f, r);
}

int state_file_put_point(struct state_file *f, struct bytes endpoint, const struct ttl_point *p)
{
	sqlite3_stmt *s = f->append;
	int rc;

	bind_bytes(s, 1, endpoint);
	sqlite3_bind_int64(s, 2, p->at.us);
	sqlite3_bind_double(s, 3, p->ttl_s);
	sqlite3_bind_double(s, 4, p->change_rate_per_s);
	sqlite3_bind_double(s, 5, p->stale_share); /* NAN: NULL */
	sqlite3_bind_double(s, 6, p->hit_ratio);
	rc = step_once(s);
	sqlite3_clear_bindings(s);
	return rc;
}

/* -- Reading ---------------------------------------------------------------------------------- */

/* 0 when SQLite finds the structure of the file whole. */
static int check_structure(sqlite3 *sql, char *why, size_t size)
{
	sqlite3_stmt *s;
	int rc = sqlite3_prepare_v2(sql, "PRAGMA quick_check(1)", -1, &s, NULL);

	if (!rc) {
		rc = sqlite3_step(s);
		if (rc == SQLITE_ROW) {
			const char *text = (const char *)sqlite3_column_text(s, 0);

			rc = text && strcmp(text, "ok") == 0 ? SQLITE_OK : SQLITE_CORRUPT;
			snprintf(why, size, "%.100s", text ? text : "");
		} else if (rc == SQLITE_DONE) {
			rc = SQLITE_CORRUPT;
		}
		sqlite3_finalize(s);
	}
	if (rc && !*why)
		snprintf(why, size, "%.100s", sqlite3_errmsg(sql));
	return rc;
}

static struct bytes column_bytes(sqlite3_stmt *s, int i)
{
	const void *p = sqlite3_column_blob(s, i);

	return bytes_of(p, (size_t)sqlite3_column_bytes(s, i));
}

static bool hand_out(sqlite3_stmt *s, record_fn *fn, void *arg)
{
	struct record r = {0};
	struct bytes fields;
	void *memory = NULL;
	const char *why;

	r.kind = (const char *)sqlite3_column_text(s, 0);
	r.name = column_bytes(s, 1);
	r.endpoint = column_bytes(s, 2);
	fields = column_bytes(s, 3);
	if (!r.kind || !fields.p ||
	    checksum(r.kind, r.name, r.endpoint, fields) != sqlite3_column_int64(s, 4) ||
	    record_fields_parse(fields.p, fields.n, &r, &memory, &why))
		return false;
	fn(arg, &r);
	free(memory);
	return true;
}

static int load_where(sqlite3 *sql, const char *where, record_fn *fn, void *arg,
                      struct state_db_loaded *ret)
{
	char text[200];
	sqlite3_stmt *s;
	int rc;

	snprintf(text, sizeof text,
	         "SELECT kind, name, endpoint, fields, checksum FROM record WHERE %s ORDER BY "
	         "kind, name",
	         where);
	rc = sqlite3_prepare_v2(sql, text, -1, &s, NULL);
	if (rc)
		return rc;
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		if (hand_out(s, fn, arg))
			ret->records++;
		else
			ret->dropped++;
	}
	sqlite3_finalize(s);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Of a file whose structure is broken: it is set aside, and an empty one begun. */
static int begin_anew(struct state_file *f, const char *why, struct fault *reterr)
{
	char aside[PATH_MAX + 64];
	struct fault e;
	int err = state_file_set_aside(f, "damaged", aside, sizeof aside);

	if (!err)
		err = state_file_open(f, &e);
	if (err)
		return fault_set(reterr, err,
		                 "%.200s is damaged (%.100s) and cannot be set aside: %s", f->path,
		                 why, strerror(-err));
	return fault_set(reterr, 0,
	                 "%.150s is damaged (%.100s): set aside as %.180s, learning begins anew",
	                 f->path, why, aside);
}

int state_file_load(struct state_file *f, record_fn *fn, void *arg, struct state_db_loaded *ret,
                    struct fault *reterr)
{
	char why[160] = "";
	int rc;

	*ret = (struct state_db_loaded){0};
	*reterr->text = '\0';
	if (!f->sql)
		return fault_set(reterr, -EIO, "%.300s is not open", f->path);
	rc = check_structure(f->sql, why, sizeof why);
	if (rc && state_file_is_damage(rc))
		return begin_anew(f, why, reterr);
	if (!rc)
		rc = load_where(f->sql, "kind NOT IN ('endpoint', 'key')", fn, arg, ret);
	if (!rc)
		rc = load_where(f->sql, "kind = 'endpoint'", fn, arg, ret);
	if (!rc)
		rc = load_where(f->sql, "kind = 'key'", fn, arg, ret);
	if (rc)
		return fault_set(reterr, state_file_errno(rc) ? state_file_errno(rc) : -EIO,
		                 "%.200s: after %llu records: %.100s", f->path,
		                 (unsigned long long)ret->records, sqlite3_errmsg(f->sql));
	if (ret->dropped)
		fault_set(reterr, 0,
		          "%.200s: %llu of %llu records fail their checksum and were left out",
		          f->path, (unsigned long long)ret->dropped,
		          (unsigned long long)(ret->records + ret->dropped));
	return 0;
}
