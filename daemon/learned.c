/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/learned.h"

#include "base/mem.h"
#include "base/text.h"
#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Records per turn of the loop: some 20 us each. */
#define RECORDS_PER_TURN 500

/* A save that goes on says so this often. */
static const struct span SAY_EVERY = {2 * 1000000LL};

/* How often an endpoint's TTL is noted; so many may read what was noted at once. */
static const struct span HISTORY_EVERY = {600 * 1000000LL};
static const unsigned MAX_READINGS = 8;

struct learned {
	struct daemon *d;
	char *path;
	struct state_db *db; /* NULL: no file */
	struct loop_timer timer;
	struct instant history; /* when TTLs were noted last */
	unsigned n_readings;    /* of what was noted */
	uint64_t warning;       /* the last one that was logged */
	VEC(struct record) own; /* not the engine's; copies, until they are asked for */
};

/* Reports of peaks; the first version called them as the engine calls its peaks. */
static bool is_report(const struct record *r)
{
	if (!strcmp(r->kind, "report"))
		return true;
	for (size_t i = 0; i < r->n_fields; i++)
		if (!strcmp(r->kind, "peak") && !strcmp(r->field[i].name, "times"))
			return true;
	return false;
}

static void own_release(struct learned *l)
{
	for (size_t i = 0; i < l->own.n; i++) {
		struct record *r = &l->own.v[i];

		free((void *)(uintptr_t)r->kind);
		free((void *)(uintptr_t)r->name.p);
		free((void *)(uintptr_t)r->endpoint.p);
		for (size_t k = 0; k < r->n_fields; k++) {
			free((void *)(uintptr_t)r->field[k].name);
			free((void *)(uintptr_t)r->field[k].v);
		}
	}
	vec_free(&l->own);
}

static void own_add(struct learned *l, const struct record *r)
{
	struct record *c = vec_push(&l->own);

	*c = *r;
	c->kind = text_copy("report");
	c->name.p = mem_dup(r->name.p, r->name.n);
	c->endpoint.p = mem_dup(r->endpoint.p, r->endpoint.n);
	for (size_t k = 0; k < r->n_fields; k++) {
		double *v = mem_calloc(r->field[k].n + 1, sizeof(*v));

		if (r->field[k].n)
			memcpy(v, r->field[k].v, r->field[k].n * sizeof(*v));
		c->field[k].name = text_copy(r->field[k].name);
		c->field[k].v = v;
	}
}

static void take(void *arg, const struct record *r)
{
	struct learned *l = arg;
	struct daemon *d = l->d;
	const char *why = "";
	char text[LOG_TEXT_BYTES];

	if (is_report(r)) {
		own_add(l, r);
		d->count.restored_records++;
		return;
	}
	if (!engine_import(d->engine, clock_now(&d->clock), r, &why)) {
		d->count.restored_records++;
		return;
	}
	d->count.rejected_records++;
	log_line(LOG_WARN, "record_rejected", "kind=%s name=%s why=\"%s\"", r->kind,
	         log_key(r->name, text), why);
}

static void put(void *arg, const struct record *r)
{
	struct learned *l = arg;
	char text[LOG_TEXT_BYTES];

	if (!state_db_put(l->db, r))
		log_line(LOG_WARN, "record_dropped", "kind=%s name=%s", r->kind,
		         log_key(r->name, text));
}

/* How many were handed over. */
static size_t hand_over(struct learned *l)
{
	size_t room = state_db_room(l->db), max;

	/* an endpoint's record brings its class along: leave room for that */
	max = room < RECORDS_PER_TURN ? room : RECORDS_PER_TURN;
	return max < 2 ? 0 : engine_dirty(l->d->engine, clock_now(&l->d->clock), max - 1, put, l);
}

static void note_ttl(void *arg, const struct ttl_row *row)
{
	struct learned *l = arg;
	/* by the wall clock of now: that of the engine begins anew with each run */
	struct ttl_point p = {.at = instant_add(clock_now(&l->d->clock), l->d->clock.offset),
	                      .ttl_s = row->ttl_s,
	                      .change_rate_per_s = row->change_rate_per_s.mean,
	                      .stale_share = row->stale_share,
	                      .hit_ratio = row->hit_ratio};

	if (row->requests)
		state_db_history_put(l->db, row->endpoint, &p);
}

static void on_timer(void *arg)
{
	struct learned *l = arg;
	struct instant now = clock_now(&l->d->clock);
	struct state_db_status s;
	bool more = hand_over(l) >= RECORDS_PER_TURN - 1;

	if (now.us - l->history.us >= HISTORY_EVERY.us) {
		l->history = now;
		engine_endpoints(l->d->engine, now, note_ttl, l);
	}
	state_db_status(l->db, &s);
	if (s.warning != l->warning) {
		l->warning = s.warning;
		log_line(LOG_WARN, "state_file", "queued=%" PRIu64 " behind_s=%.1f why=\"%s\"",
		         s.queued, s.behind_s, s.warning_text);
	}
	loop_timer_set(l->d->loop, &l->timer,
	               more ? SPAN_MS(10) : span_from_s(l->d->setup->config->flush_s));
}

struct learned *learned_new(struct daemon *d)
{
	struct learned *l = mem_calloc(1, sizeof(*l));
	struct fault err = {.text = ""};
	struct state_db_loaded loaded = {0};
	char path[4200];
	int rc;

	l->d = d;
	l->history = clock_now(&d->clock);
	l->timer = (struct loop_timer){on_timer, l, 0};
	snprintf(path, sizeof(path), "%s/learned.sqlite", d->state_dir);
	l->path = text_copy(path);
	rc = state_db_open(path, &d->setup->config->learned, &l->db, &err);
	if (rc) {
		log_line(LOG_ERROR, "state_file",
		         "path=%s why=\"%s\" then=\"what is learned stays in memory\"", path,
		         err.text);
		l->db = NULL;
		return l;
	}
	if (*err.text)
		log_line(LOG_WARN, "state_file", "path=%s why=\"%s\"", path, err.text);
	err.text[0] = '\0';
	if (state_db_load(l->db, take, l, &loaded, &err) || *err.text)
		log_line(LOG_WARN, "state_file", "path=%s why=\"%s\"", path, err.text);
	engine_all_kept(d->engine, clock_now(&d->clock));
	d->count.rejected_records += loaded.dropped;
	log_line(LOG_INFO, "restored_records", "taken=%" PRIu64 " rejected=%" PRIu64,
	         d->count.restored_records, d->count.rejected_records);
	loop_timer_set(d->loop, &l->timer, span_from_s(d->setup->config->flush_s));
	return l;
}

/* A save that takes its time, as it does after hundreds of thousands of keys have changed. */
struct save {
	struct learned *l;
	int64_t began_us, said_us;
	double timeout_s;
};

/* The daemon's clock stands still meanwhile: there are no turns. */
static int64_t real_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void say_progress(struct save *s)
{
	int64_t now_us = real_us();
	struct state_db_status status;

	if (now_us - s->said_us < SAY_EVERY.us)
		return;
	s->said_us = now_us;
	state_db_status(s->l->db, &status);
	log_line(LOG_NOTICE, "saving", "written=%" PRIu64 " queued=%" PRIu64 " seconds=%.1f", status.written,
	         status.queued, (double)(now_us - s->began_us) * 1e-6);
}

/* Until there is room for a turn's records, or all that was put is on disk. */
static bool wait_for(struct save *s, bool all)
{
	double left_s;
	int rc;

	do {
		left_s = s->timeout_s - (double)(real_us() - s->began_us) * 1e-6;
		left_s = left_s < 0 ? 0 : left_s < span_s(SAY_EVERY) ? left_s : span_s(SAY_EVERY);
		rc = all ? state_db_flush(s->l->db, left_s)
		         : state_db_make_room(s->l->db, RECORDS_PER_TURN, left_s);
		say_progress(s);
	} while (rc == -ETIMEDOUT && left_s > 0);
	return !rc;
}

void learned_save(struct learned *l, double timeout_s)
{
	struct save s = {.l = l, .timeout_s = timeout_s};
	size_t turns;

	if (!l->db)
		return;
	s.began_us = s.said_us = real_us();
	/* a turn looks at so many keys at most; where few have changed many turns find nothing */
	turns = 2 + (size_t)(l->d->setup->config->limits.max_keys /
	                     (ENGINE_DIRTY_LOOKS * (RECORDS_PER_TURN - 1)));
	for (size_t idle = 0; idle < turns && wait_for(&s, false);)
		idle = hand_over(l) ? 0 : idle + 1;
	if (!wait_for(&s, true))
		log_line(LOG_WARN, "state_file",
		         "why=\"what was learned last could not be written in time\"");
}

void learned_free(struct learned **lp)
{
	struct learned *l = *lp;

	if (!l)
		return;
	loop_timer_cancel(l->d->loop, &l->timer);
	state_db_close(&l->db);
	own_release(l);
	free(l->path);
	free(l);
	*lp = NULL;
}

void learned_put(struct learned *l, const struct record *r)
{
	if (l->db)
		put(l, r);
}

void learned_give(struct learned *l, const char *kind, record_fn *fn, void *arg)
{
	for (size_t i = 0; i < l->own.n; i++)
		if (!strcmp(l->own.v[i].kind, kind))
			fn(arg, &l->own.v[i]);
	own_release(l);
}

bool learned_status(struct learned *l, struct state_db_status *ret)
{
	if (!l->db)
		return false;
	state_db_status(l->db, ret);
	return true;
}

/* -- The history of TTLs ----------------------------------------------------------------------- */

/* A question after it, while a worker reads the file. */
struct reading {
	struct learned *l;
	char *path;
	struct bytes endpoint;
	size_t max;
	ttl_points point;
	int err;
	learned_history_fn *fn;
	void *arg;
};

static void reading_work(void *job)
{
	struct reading *r = job;

	r->err = ttl_history_read(r->path, r->endpoint, r->max, &r->point);
}

static void reading_drop(void *job)
{
	struct reading *r = job;

	vec_free(&r->point);
	free((void *)(uintptr_t)r->endpoint.p);
	free(r->path);
	free(r->arg);
	free(r);
}

static void reading_done(void *job)
{
	struct reading *r = job;
	struct learned *l = r->l;
	struct learned_history h = {r->endpoint, r->point.v, r->point.n, r->err};

	l->d->open_tickets--;
	l->n_readings--;
	r->fn(l->d, r->arg, &h);
	r->arg = NULL;
	reading_drop(r);
}

int learned_history(struct learned *l, struct bytes endpoint, size_t max, learned_history_fn *fn,
                    void *arg)
{
	struct reading *r;

	if (!l->db)
		return -ENODEV;
	if (l->n_readings >= MAX_READINGS)
		return -EBUSY;
	r = mem_calloc(1, sizeof(*r));
	*r = (struct reading){.l = l,
	                      .path = text_copy(l->path),
	                      .endpoint = bytes_of(mem_dup(endpoint.p, endpoint.n), endpoint.n),
	                      .max = max,
	                      .fn = fn,
	                      .arg = arg};
	l->n_readings++;
	l->d->open_tickets++; /* the end of the daemon waits for it */
	workers_put(l->d->workers, reading_work, reading_done, reading_drop, r);
	return 0;
}
