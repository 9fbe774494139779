/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/state_db.h"

#include "base/hash.h"
#include "base/mem.h"
#include "daemon/record_json.h"

#include <sqlite3.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define APPLICATION_ID 0x46434448 /* "FCDH": what file(1) and we know the file by */
#define RECORD_BYTES   32768      /* that a record takes in the queue, at most: one of an endpoint */
#define BATCH_WAIT_MS  1000       /* records that come within this time share a transaction */
#define RETRY_MS       5000
#define WARN_EVERY_MS  60000
#define CLOSE_WAIT_S   5.0
#define PRUNE_EVERY_MS 3600000
#define BUSY_MS        2000 /* how long sqlite3 in another terminal may hold us up */

/* What waits to be written: a record, or a point of history. */
struct item {
	struct item *next;
	int64_t put_ms;
	size_t n_bytes;
	bool is_history;
	struct bytes endpoint; /* of history */
	struct ttl_point point;
	struct record record; /* its views point behind the struct */
};

struct queue {
	struct item *first, **last;
};

struct state_db {
	char path[PATH_MAX];
	struct state_db_config config;
	int lock_fd;
	pthread_t thread;
	bool has_thread;

	/* Whoever uses the file holds `file`, and takes `mutex` only within it. */
	pthread_mutex_t file;
	sqlite3 *sql; /* NULL while it cannot be opened */
	sqlite3_stmt *upsert, *append, *erase;
	int64_t next_prune_ms;

	pthread_mutex_t mutex; /* for all below */
	pthread_cond_t wake, done;
	struct queue queue;
	uint64_t n_waiting, bytes_waiting; /* the batch that is being written is counted too */
	int64_t oldest_ms;                 /* of what is not on disk; 0: nothing */
	bool stop, hurry;
	int last_error;
	struct state_db_status status;
	int64_t warned_ms;
};

static int64_t real_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct timespec ms_to_timespec(int64_t ms)
{
	return (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
}

struct state_db_config state_db_default(void)
{
	return (struct state_db_config){
#define X(name, def, lo, hi, unit, help) .name = (def),
	        STATE_DB_TABLE(X)
#undef X
	};
}

/* -- The file --------------------------------------------------------------------------------- */

static int errno_of(int rc)
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
static bool is_damage(int rc)
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

static void file_close(struct state_db *db)
{
	sqlite3_finalize(db->upsert);
	sqlite3_finalize(db->append);
	sqlite3_finalize(db->erase);
	db->upsert = db->append = db->erase = NULL;
	sqlite3_close(db->sql);
	db->sql = NULL;
}

/* Renames PATH, and what SQLite keeps beside it, so that the two still fit together. */
static int set_aside(struct state_db *db, const char *as, char *ret, size_t size)
{
	char from[PATH_MAX + 8], to[PATH_MAX + 80], stamp[32];
	time_t t = time(NULL);
	struct tm tm;
	int i;

	file_close(db);
	gmtime_r(&t, &tm);
	strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
	for (i = 0; i < 1000; i++) {
		snprintf(ret, size, i ? "%s.%s-%s.%d" : "%s.%s-%s", db->path, as, stamp, i);
		if (access(ret, F_OK) < 0)
			break;
	}
	if (rename(db->path, ret) < 0)
		return -errno;
	snprintf(from, sizeof from, "%s-wal", db->path);
	snprintf(to, sizeof to, "%s-wal", ret);
	if (rename(from, to) < 0 && errno != ENOENT)
		return -errno;
	snprintf(from, sizeof from, "%s-shm", db->path);
	unlink(from); /* rebuilt from the wal when somebody opens it */
	return 0;
}

static int run(sqlite3 *sql, const char *text)
{
	return sqlite3_exec(sql, text, NULL, NULL, NULL);
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
	int64_t there = 0;
	int rc = number(sql,
	                "SELECT count(*) FROM pragma_table_info('ttl_history') WHERE name IN "
	                "('stale_share', 'hit_ratio')",
	                &there);

	if (rc || there == 2)
		return rc;
	return run(sql, "BEGIN IMMEDIATE;"
	                "ALTER TABLE ttl_history ADD COLUMN stale_share REAL;"
	                "ALTER TABLE ttl_history ADD COLUMN hit_ratio REAL;"
	                "COMMIT;");
}

static int file_open_once(struct state_db *db, enum content *ret_content, int64_t *ret_version)
{
	int rc = sqlite3_open_v2(db->path, &db->sql,
	                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX,
	                         NULL);

	*ret_content = CONTENT_OURS;
	if (rc)
		return rc;
	sqlite3_extended_result_codes(db->sql, 1);
	sqlite3_busy_timeout(db->sql, BUSY_MS);
	/* a file is data: no views or triggers in it may call functions */
	sqlite3_db_config(db->sql, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(db->sql, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	rc = look(db->sql, ret_content, ret_version);
	if (rc || *ret_content == CONTENT_NEWER || *ret_content == CONTENT_FOREIGN)
		return rc;
	/*
	 * NORMAL: a crash of ours loses nothing, a power cut at most the last seconds, and never
	 * consistency
	 */
	rc = run(db->sql, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA "
	                  "cell_size_check = ON;");
	if (!rc && *ret_content == CONTENT_EMPTY)
		rc = run(db->sql, schema);
	else if (!rc)
		rc = add_columns(db->sql);
	/*
	 * a header may say that this SQLite must only read; of a file that we may write, that is
	 * damage
	 */
	if (!rc && sqlite3_db_readonly(db->sql, "main") == 1 && access(db->path, W_OK) == 0)
		rc = SQLITE_CORRUPT;
	if (!rc)
		rc = sqlite3_prepare_v2(db->sql, upsert_text, -1, &db->upsert, NULL);
	if (!rc)
		rc = sqlite3_prepare_v2(db->sql, append_text, -1, &db->append, NULL);
	if (!rc)
		rc = sqlite3_prepare_v2(db->sql, erase_text, -1, &db->erase, NULL);
	return rc;
}

/* Opens the file; what cannot be used is set aside once. 0 with *reterr empty or a warning. */
static int file_open(struct state_db *db, struct fault *reterr)
{
	enum content content = CONTENT_OURS;
	char aside[PATH_MAX + 64], why[160];
	int64_t version = 0;
	int rc = file_open_once(db, &content, &version), err;

	*reterr->text = '\0';
	if (!rc && (content == CONTENT_OURS || content == CONTENT_EMPTY))
		return 0;
	if (!rc && content == CONTENT_FOREIGN) {
		file_close(db);
		return fault_set(reterr, -EINVAL,
		                 "%.300s is another program's database: give a path of its own",
		                 db->path);
	}
	if (rc && !is_damage(rc)) {
		fault_set(reterr, 0, "%.300s: %s", db->path,
		          db->sql ? sqlite3_errmsg(db->sql) : sqlite3_errstr(rc));
		file_close(db);
		return errno_of(rc);
	}
	if (rc)
		snprintf(why, sizeof why, "is damaged (%.100s)", sqlite3_errstr(rc));
	else
		snprintf(why, sizeof why, "is of version %lld, and this forecached reads up to %d",
		         (long long)version, STATE_DB_VERSION);
	err = set_aside(db, rc ? "damaged" : "newer", aside, sizeof aside);
	if (err)
		return fault_set(reterr, err, "%.200s %.120s and cannot be renamed: %s", db->path,
		                 why, strerror(-err));
	rc = file_open_once(db, &content, &version);
	if (rc) {
		fault_set(reterr, 0, "%.300s: %s", db->path,
		          db->sql ? sqlite3_errmsg(db->sql) : sqlite3_errstr(rc));
		file_close(db);
		return errno_of(rc);
	}
	fault_set(reterr, 0, "%.150s %.120s: set aside as %.180s, learning begins anew", db->path,
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

static int erase_record(struct state_db *db, const struct record *r)
{
	sqlite3_stmt *s = db->erase;
	int rc;

	sqlite3_bind_text(s, 1, r->kind, -1, SQLITE_STATIC);
	bind_bytes(s, 2, r->name);
	rc = step_once(s);
	sqlite3_clear_bindings(s);
	return rc;
}

static int write_record(struct state_db *db, const struct record *r)
{
	char *fields = record_fields_text(r);
	sqlite3_stmt *s = db->upsert;
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

static int write_history(struct state_db *db, const struct item *i)
{
	sqlite3_stmt *s = db->append;
	int rc;

	bind_bytes(s, 1, i->endpoint);
	sqlite3_bind_int64(s, 2, i->point.at.us);
	sqlite3_bind_double(s, 3, i->point.ttl_s);
	sqlite3_bind_double(s, 4, i->point.change_rate_per_s);
	sqlite3_bind_double(s, 5, i->point.stale_share); /* NAN: NULL */
	sqlite3_bind_double(s, 6, i->point.hit_ratio);
	rc = step_once(s);
	sqlite3_clear_bindings(s);
	return rc;
}

static int prune(struct state_db *db)
{
	char text[400];

	if (real_ms() < db->next_prune_ms)
		return SQLITE_OK;
	db->next_prune_ms = real_ms() + PRUNE_EVERY_MS;
	snprintf(text, sizeof text,
	         "DELETE FROM record WHERE kind = 'key' AND name IN (SELECT name FROM record WHERE "
	         "kind = 'key'"
	         " ORDER BY written_s DESC, name LIMIT -1 OFFSET %.0f);"
	         "DELETE FROM ttl_history WHERE id <= (SELECT max(id) FROM ttl_history) - %.0f;",
	         db->config.key_rows, db->config.history_rows);
	return run(db->sql, text);
}

/* In the order of the table, so that what is near is written together; history first. */
static int compare(const struct item *a, const struct item *b)
{
	int c;

	if (a->is_history || b->is_history)
		return (int)b->is_history - (int)a->is_history;
	c = strcmp(a->record.kind, b->record.kind);
	return c ? c : bytes_compare(a->record.name, b->record.name);
}

/* Of two that are alike the first stays the first. */
static struct item *merge(struct item *a, struct item *b)
{
	struct item *first = NULL, **last = &first;

	while (a && b) {
		struct item **less = compare(a, b) <= 0 ? &a : &b;

		*last = *less;
		*less = (*less)->next;
		last = &(*last)->next;
	}
	*last = a ? a : b;
	return first;
}

static struct item *sorted(struct item *first)
{
	/* run[i]: none, or 2^i of them, that came before those of the lower ones */
	struct item *run[40] = {NULL}, *all = NULL;
	size_t i;

	while (first) {
		struct item *one = first;

		first = first->next;
		one->next = NULL;
		for (i = 0; run[i]; i++) {
			one = merge(run[i], one);
			run[i] = NULL;
		}
		run[i] = one;
	}
	for (i = 0; i < sizeof run / sizeof *run; i++)
		all = merge(run[i], all);
	return all;
}

/* One transaction: all of the batch, or nothing of it. */
static int write_batch(struct state_db *db, const struct item *first)
{
	const struct item *i;
	int rc = run(db->sql, "BEGIN IMMEDIATE");

	for (i = first; i && !rc; i = i->next)
		rc = i->is_history             ? write_history(db, i)
		     : i->record.n_fields == 0 ? erase_record(db, &i->record)
		                               : write_record(db, &i->record);
	if (!rc)
		rc = prune(db);
	if (!rc)
		rc = run(db->sql, "COMMIT");
	if (rc && !sqlite3_get_autocommit(db->sql))
		sqlite3_exec(db->sql, "ROLLBACK", NULL, NULL, NULL);
	return rc;
}

static void warn(struct state_db *db, const char *text, bool always)
{
	int64_t now = real_ms();

	if (!always && db->warned_ms && now - db->warned_ms < WARN_EVERY_MS)
		return;
	db->warned_ms = now;
	db->status.warning++;
	snprintf(db->status.warning_text, sizeof db->status.warning_text, "%s", text);
}

/* Tries to bring a batch to disk. 0 or a negative errno value; counts and warns. */
static int try_batch(struct state_db *db, const struct item *first)
{
	struct fault e = {""};
	char aside[PATH_MAX + 64], text[256] = "";
	int rc = SQLITE_OK, err = 0;

	pthread_mutex_lock(&db->file);
	if (!db->sql)
		err = file_open(db, &e);
	if (db->sql) {
		rc = write_batch(db, first);
		if (rc) {
			err = errno_of(rc);
			snprintf(text, sizeof text, "%.100s: %.100s", db->path,
			         sqlite3_errmsg(db->sql));
		}
	} else {
		snprintf(text, sizeof text, "%.250s", e.text);
	}
	if (rc && is_damage(rc)) {
		int renamed = set_aside(db, "damaged", aside, sizeof aside);

		/* the next try begins an empty file; keys come back to it as they are learned on */
		snprintf(text, sizeof text, "%.60s is damaged%s%.140s", db->path,
		         renamed ? " and cannot be renamed: " : ": set aside as ",
		         renamed ? strerror(-renamed) : aside);
	}
	pthread_mutex_unlock(&db->file);
	pthread_mutex_lock(&db->mutex);
	db->last_error = err;
	if (err) {
		char full[256];

		db->status.failures++;
		snprintf(full, sizeof full, "what was learned stays in memory: %.200s", text);
		warn(db, full, !db->status.failing || (rc && is_damage(rc)));
		db->status.failing = true;
	} else {
		if (db->status.failing)
			warn(db, "what was learned is written to disk again", true);
		if (*e.text)
			warn(db, e.text, true);
		db->status.failing = false;
		db->status.commits++;
	}
	pthread_mutex_unlock(&db->mutex);
	return err;
}

static void batch_free(struct item *i)
{
	while (i) {
		struct item *next = i->next;

		free(i);
		i = next;
	}
}

/* Waits on the mutex's `wake`, at most until the time, or until there is reason to hurry. */
static void wait_until(struct state_db *db, int64_t ms)
{
	struct timespec t = ms_to_timespec(ms);

	while (!db->stop && !db->hurry && real_ms() < ms)
		pthread_cond_timedwait(&db->wake, &db->mutex, &t);
}

/*
 * Writes the batch, and frees it; while the disk does not take it, again and again. False: neither did it
 * when it was time to stop. The mutex is held, but for the writing.
 */
static bool bring_to_disk(struct state_db *db, struct item *batch)
{
	bool stopping, written;

	for (;;) {
		stopping = db->stop;
		pthread_mutex_unlock(&db->mutex);
		written = try_batch(db, batch) == 0;
		if (written || stopping)
			batch_free(batch);
		pthread_mutex_lock(&db->mutex);
		pthread_cond_broadcast(&db->done);
		if (written || stopping)
			return written;
		db->hurry = false;
		wait_until(db, real_ms() + RETRY_MS);
	}
}

static void *write_forever(void *arg)
{
	struct state_db *db = arg;

	pthread_mutex_lock(&db->mutex);
	for (;;) {
		uint64_t n = 0, bytes = 0;
		struct item *batch;

		while (!db->queue.first && !db->stop)
			pthread_cond_wait(&db->wake, &db->mutex);
		if (!db->queue.first)
			break;
		wait_until(db, db->queue.first->put_ms + BATCH_WAIT_MS);
		batch = db->queue.first;
		db->queue = (struct queue){NULL, &db->queue.first};
		db->hurry = false;
		pthread_mutex_unlock(&db->mutex);
		batch = sorted(batch);
		for (const struct item *i = batch; i; i = i->next) {
			n++;
			bytes += i->n_bytes;
		}
		pthread_mutex_lock(&db->mutex);
		if (!bring_to_disk(db, batch))
			break;
		db->n_waiting -= n;
		db->bytes_waiting -= bytes;
		db->status.written += n;
		db->oldest_ms = db->queue.first ? db->queue.first->put_ms : 0;
		pthread_cond_broadcast(&db->done);
	}
	pthread_mutex_unlock(&db->mutex);
	return NULL;
}

/* -- The queue -------------------------------------------------------------------------------- */

static bool enqueue(struct state_db *db, struct item *i)
{
	pthread_mutex_lock(&db->mutex);
	if ((double)db->n_waiting + 1 > db->config.queue_records ||
	    (double)(db->bytes_waiting + i->n_bytes) > db->config.queue_bytes) {
		pthread_mutex_unlock(&db->mutex);
		free(i);
		return false;
	}
	i->put_ms = real_ms();
	*db->queue.last = i;
	db->queue.last = &i->next;
	if (!db->oldest_ms)
		db->oldest_ms = i->put_ms;
	db->n_waiting++;
	db->bytes_waiting += i->n_bytes;
	pthread_cond_signal(&db->wake);
	pthread_mutex_unlock(&db->mutex);
	return true;
}

static size_t room(const struct state_db *db)
{
	double by_count = db->config.queue_records - (double)db->n_waiting;
	/* a key's record is some hundred bytes, an endpoint's up to RECORD_BYTES: all may be such */
	double by_bytes = (db->config.queue_bytes - (double)db->bytes_waiting) / RECORD_BYTES;

	return by_count <= 0 || by_bytes <= 0 ? 0
	                                      : (size_t)(by_count < by_bytes ? by_count : by_bytes);
}

size_t state_db_room(struct state_db *db)
{
	size_t n;

	pthread_mutex_lock(&db->mutex);
	n = room(db);
	pthread_mutex_unlock(&db->mutex);
	return n;
}

static const char *put_text(char **to, const void *p, size_t n)
{
	char *at = *to;

	if (n)
		memcpy(at, p, n);
	at[n] = '\0';
	*to = at + n + 1;
	return at;
}

bool state_db_put(struct state_db *db, const struct record *r)
{
	size_t i, values = 0, chars = strlen(r->kind) + r->name.n + r->endpoint.n + 3, bytes;
	struct item *it;
	double *number;
	char *text;

	if (r->n_fields > RECORD_MAX_FIELDS)
		return false;
	for (i = 0; i < r->n_fields; i++) {
		values += r->field[i].n;
		chars += strlen(r->field[i].name) + 1;
	}
	if (values > RECORD_MAX_VALUES || chars > RECORD_MAX_BYTES / 2)
		return false;
	bytes = sizeof *it + values * sizeof *number + chars;
	it = malloc(bytes);
	if (!it)
		return false;
	*it = (struct item){.n_bytes = bytes};
	number = (double *)(it + 1);
	text = (char *)(number + values);
	it->record.kind = put_text(&text, r->kind, strlen(r->kind));
	it->record.name = bytes_of(put_text(&text, r->name.p, r->name.n), r->name.n);
	it->record.endpoint =
	        bytes_of(put_text(&text, r->endpoint.p, r->endpoint.n), r->endpoint.n);
	it->record.n_fields = r->n_fields;
	for (i = 0; i < r->n_fields; i++) {
		const struct record_field *f = &r->field[i];

		it->record.field[i] = (struct record_field){
		        put_text(&text, f->name, strlen(f->name)), number, f->n};
		if (f->n)
			memcpy(number, f->v, f->n * sizeof *number);
		number += f->n;
	}
	return enqueue(db, it);
}

bool state_db_history_put(struct state_db *db, struct bytes endpoint, const struct ttl_point *p)
{
	struct item *it;

	/* the file takes no row without these */
	if (endpoint.n > RECORD_MAX_BYTES / 2 || isnan(p->ttl_s) || isnan(p->change_rate_per_s))
		return false;
	it = malloc(sizeof *it + endpoint.n + 1);
	if (!it)
		return false;
	*it = (struct item){.n_bytes = sizeof *it + endpoint.n, .is_history = true, .point = *p};
	if (endpoint.n)
		memcpy(it + 1, endpoint.p, endpoint.n);
	it->endpoint = bytes_of(it + 1, endpoint.n);
	return enqueue(db, it);
}

/* Until so many are written, and there is room for so many, or as much as there can be. */
static int wait_for(struct state_db *db, uint64_t written, size_t records, double timeout_s)
{
	int64_t end = real_ms() + (int64_t)(timeout_s * 1000);
	struct timespec t = ms_to_timespec(end);
	uint64_t failures = db->status.failures;
	int err = 0;

	while ((db->status.written < written || (room(db) < records && db->n_waiting)) && !err) {
		if (db->status.failures > failures)
			err = db->last_error ? db->last_error : -EIO;
		else if (real_ms() >= end)
			err = -ETIMEDOUT;
		else {
			db->hurry = true;
			pthread_cond_signal(&db->wake);
			pthread_cond_timedwait(&db->done, &db->mutex, &t);
		}
	}
	return err;
}

int state_db_make_room(struct state_db *db, size_t records, double timeout_s)
{
	int err;

	pthread_mutex_lock(&db->mutex);
	db->hurry = true;
	pthread_cond_signal(&db->wake);
	err = wait_for(db, 0, records, timeout_s);
	pthread_mutex_unlock(&db->mutex);
	return err;
}

int state_db_flush(struct state_db *db, double timeout_s)
{
	int err;

	pthread_mutex_lock(&db->mutex);
	err = wait_for(db, db->status.written + db->n_waiting, 0, timeout_s);
	pthread_mutex_unlock(&db->mutex);
	return err;
}

void state_db_status(struct state_db *db, struct state_db_status *ret)
{
	pthread_mutex_lock(&db->mutex);
	*ret = db->status;
	ret->queued = db->n_waiting;
	ret->behind_s = db->oldest_ms ? (double)(real_ms() - db->oldest_ms) / 1000 : 0;
	pthread_mutex_unlock(&db->mutex);
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

int state_db_load(struct state_db *db, record_fn *fn, void *arg, struct state_db_loaded *ret,
                  struct fault *reterr)
{
	char why[160] = "", aside[PATH_MAX + 64];
	int rc, err = 0;

	*ret = (struct state_db_loaded){0};
	*reterr->text = '\0';
	pthread_mutex_lock(&db->file);
	if (!db->sql) {
		err = fault_set(reterr, -EIO, "%.300s is not open", db->path);
		goto out;
	}
	rc = check_structure(db->sql, why, sizeof why);
	if (rc && is_damage(rc)) {
		struct fault e;

		err = set_aside(db, "damaged", aside, sizeof aside);
		if (!err)
			err = file_open(db, &e);
		if (err)
			fault_set(reterr, err,
			          "%.200s is damaged (%.100s) and cannot be set aside: %s",
			          db->path, why, strerror(-err));
		else
			fault_set(
			        reterr, 0,
			        "%.150s is damaged (%.100s): set aside as %.180s, learning begins "
			        "anew",
			        db->path, why, aside);
		goto out;
	}
	if (!rc)
		rc = load_where(db->sql, "kind NOT IN ('endpoint', 'key')", fn, arg, ret);
	if (!rc)
		rc = load_where(db->sql, "kind = 'endpoint'", fn, arg, ret);
	if (!rc)
		rc = load_where(db->sql, "kind = 'key'", fn, arg, ret);
	if (rc)
		err = fault_set(reterr, errno_of(rc) ? errno_of(rc) : -EIO,
		                "%.200s: after %llu records: %.100s", db->path,
		                (unsigned long long)ret->records, sqlite3_errmsg(db->sql));
	else if (ret->dropped)
		fault_set(reterr, 0,
		          "%.200s: %llu of %llu records fail their checksum and were left out",
		          db->path, (unsigned long long)ret->dropped,
		          (unsigned long long)(ret->records + ret->dropped));
out:
	pthread_mutex_unlock(&db->file);
	return err;
}

/* -- Life ------------------------------------------------------------------------------------- */

/* Says by errno what SQLite only calls "unable to open". */
static int check_path(struct state_db *db, struct fault *e)
{
	char lock[PATH_MAX + 8];
	struct stat st;
	int fd;

	snprintf(lock, sizeof lock, "%s.lock", db->path);
	db->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (db->lock_fd < 0)
		return fault_set(e, -errno, "%.300s: %s", lock, strerror(errno));
	if (flock(db->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK
		               ? fault_set(e, -EBUSY, "%.300s is in use by another forecached",
		                           db->path)
		               : fault_set(e, -errno, "%.300s: %s", lock, strerror(errno));
	fd = open(db->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
	if (fd < 0)
		return fault_set(e, -errno, "%.300s: %s", db->path, strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return fault_set(e, -EINVAL, "%.300s is not a regular file", db->path);
	}
	close(fd);
	return 0;
}

static void release(struct state_db *db)
{
	file_close(db);
	if (db->lock_fd >= 0)
		close(db->lock_fd);
	batch_free(db->queue.first);
	pthread_mutex_destroy(&db->file);
	pthread_mutex_destroy(&db->mutex);
	pthread_cond_destroy(&db->wake);
	pthread_cond_destroy(&db->done);
	free(db);
}

int state_db_open(const char *path, const struct state_db_config *c, struct state_db **ret,
                  struct fault *reterr)
{
	struct state_db *db;
	pthread_condattr_t attr;
	int err;

	*reterr->text = '\0';
	if (strlen(path) >= sizeof db->path - 64)
		return fault_set(reterr, -ENAMETOOLONG, "%.300s...: the path is too long", path);
	db = mem_calloc(1, sizeof *db);
	strcpy(db->path, path);
	db->config = *c;
	db->lock_fd = -1;
	db->queue.last = &db->queue.first;
	pthread_mutex_init(&db->file, NULL);
	pthread_mutex_init(&db->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&db->wake, &attr);
	pthread_cond_init(&db->done, &attr);
	pthread_condattr_destroy(&attr);
	err = check_path(db, reterr);
	if (!err)
		err = file_open(db, reterr);
	if (!err && (err = -pthread_create(&db->thread, NULL, write_forever, db)))
		fault_set(reterr, err, "no thread for %.300s: %s", path, strerror(-err));
	if (err) {
		release(db);
		return err;
	}
	db->has_thread = true;
	*ret = db;
	return 0;
}

void state_db_close(struct state_db **p)
{
	struct state_db *db = *p;

	if (!db)
		return;
	state_db_flush(db, CLOSE_WAIT_S);
	pthread_mutex_lock(&db->mutex);
	db->stop = true;
	pthread_cond_signal(&db->wake);
	pthread_mutex_unlock(&db->mutex);
	if (db->has_thread)
		pthread_join(db->thread, NULL);
	release(db);
	*p = NULL;
}
