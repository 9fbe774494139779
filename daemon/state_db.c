/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/state_db.h"

#include "base/mem.h"
#include "daemon/record_json.h"
#include "daemon/state_file.h"

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

#define RECORD_BYTES   32768      /* that a record takes in the queue, at most: one of an endpoint */
#define BATCH_WAIT_MS  1000       /* records that come within this time share a transaction */
#define RETRY_MS       5000
#define WARN_EVERY_MS  60000
#define CLOSE_WAIT_S   5.0
#define PRUNE_EVERY_MS 3600000

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
	struct state_db_config config;
	int lock_fd;
	pthread_t thread;
	bool has_thread;

	/* Whoever uses the file holds `file_mutex`, and takes `mutex` only within it. */
	pthread_mutex_t file_mutex;
	struct state_file file;
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

/* -- Writing ---------------------------------------------------------------------------------- */

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
	return state_file_run(&db->file, text);
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
	int rc = state_file_run(&db->file, "BEGIN IMMEDIATE");

	for (i = first; i && !rc; i = i->next)
		rc = i->is_history ? state_file_put_point(&db->file, i->endpoint, &i->point)
		                   : state_file_put(&db->file, &i->record);
	if (!rc)
		rc = prune(db);
	if (!rc)
		rc = state_file_run(&db->file, "COMMIT");
	if (rc && !sqlite3_get_autocommit(db->file.sql))
		sqlite3_exec(db->file.sql, "ROLLBACK", NULL, NULL, NULL);
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

	pthread_mutex_lock(&db->file_mutex);
	if (!db->file.sql)
		err = state_file_open(&db->file, &e);
	if (db->file.sql) {
		rc = write_batch(db, first);
		if (rc) {
			err = state_file_errno(rc);
			snprintf(text, sizeof text, "%.100s: %.100s", db->file.path,
			         sqlite3_errmsg(db->file.sql));
		}
	} else {
		snprintf(text, sizeof text, "%.250s", e.text);
	}
	if (rc && state_file_is_damage(rc)) {
		int renamed = state_file_set_aside(&db->file, "damaged", aside, sizeof aside);

		/* the next try begins an empty file; keys come back to it as they are learned on */
		snprintf(text, sizeof text, "%.60s is damaged%s%.140s", db->file.path,
		         renamed ? " and cannot be renamed: " : ": set aside as ",
		         renamed ? strerror(-renamed) : aside);
	}
	pthread_mutex_unlock(&db->file_mutex);
	pthread_mutex_lock(&db->mutex);
	db->last_error = err;
	if (err) {
		char full[256];

		db->status.failures++;
		snprintf(full, sizeof full, "what was learned stays in memory: %.200s", text);
		warn(db, full, !db->status.failing || (rc && state_file_is_damage(rc)));
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

int state_db_load(struct state_db *db, record_fn *fn, void *arg, struct state_db_loaded *ret,
                  struct fault *reterr)
{
	int err;

	pthread_mutex_lock(&db->file_mutex);
	err = state_file_load(&db->file, fn, arg, ret, reterr);
	pthread_mutex_unlock(&db->file_mutex);
	return err;
}

/* -- Life ------------------------------------------------------------------------------------- */

/* Says by errno what SQLite only calls "unable to open". */
static int check_path(struct state_db *db, struct fault *e)
{
	char lock[PATH_MAX + 8];
	struct stat st;
	int fd;

	snprintf(lock, sizeof lock, "%s.lock", db->file.path);
	db->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (db->lock_fd < 0)
		return fault_set(e, -errno, "%.300s: %s", lock, strerror(errno));
	if (flock(db->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK
		               ? fault_set(e, -EBUSY, "%.300s is in use by another forecached",
		                           db->file.path)
		               : fault_set(e, -errno, "%.300s: %s", lock, strerror(errno));
	fd = open(db->file.path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
	if (fd < 0)
		return fault_set(e, -errno, "%.300s: %s", db->file.path, strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return fault_set(e, -EINVAL, "%.300s is not a regular file", db->file.path);
	}
	close(fd);
	return 0;
}

static void release(struct state_db *db)
{
	state_file_close(&db->file);
	if (db->lock_fd >= 0)
		close(db->lock_fd);
	batch_free(db->queue.first);
	pthread_mutex_destroy(&db->file_mutex);
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
	if (strlen(path) >= sizeof db->file.path - 64)
		return fault_set(reterr, -ENAMETOOLONG, "%.300s...: the path is too long", path);
	db = mem_calloc(1, sizeof *db);
	strcpy(db->file.path, path);
	db->config = *c;
	db->lock_fd = -1;
	db->queue.last = &db->queue.first;
	pthread_mutex_init(&db->file_mutex, NULL);
	pthread_mutex_init(&db->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&db->wake, &attr);
	pthread_cond_init(&db->done, &attr);
	pthread_condattr_destroy(&attr);
	err = check_path(db, reterr);
	if (!err)
		err = state_file_open(&db->file, reterr);
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
