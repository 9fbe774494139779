/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <config.h>

#include "daemon/query.h"

#include "base/mem.h"
#include "base/text.h"
#include "daemon/daemon.h"
#include "daemon/learned.h"
#include "daemon/loaders.h"
#include "daemon/log.h"
#include "daemon/origins.h"
#include "daemon/schedules.h"
#include "proto/reply.h"
#include "proto/row.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const mode_names[] = {
        [TTL_LEARN] = "learn", [TTL_OBEY] = "obey", [TTL_ADVISE] = "advise"};

/* What the world calls this instant. */
static struct instant wall(const struct daemon *d, struct instant t)
{
	return instant_add(t, d->clock.offset);
}

static struct instant now(const struct daemon *d)
{
	return clock_now(&d->clock);
}

/* -- TTLs, endpoints, why --------------------------------------------------------------------- */

_Static_assert(TTL_ROW_UNCOUNTED == ROW_UNCOUNTED, "the engine and the wire mean the same by it");

#define FILL_TTL(row, r)                                                                           \
	(row)->endpoint = (r)->endpoint;                                                           \
	(row)->key = (r)->key;                                                                     \
	(row)->ttl_s = (r)->ttl_s;                                                                 \
	(row)->age_s = (r)->age_s;                                                                 \
	(row)->change_rate_per_s = (r)->change_rate_per_s;                                         \
	(row)->request_rate_per_s = (r)->request_rate_per_s;                                       \
	(row)->load_ms = (r)->load_ms;                                                             \
	(row)->stale_share = (r)->stale_share;                                                     \
	(row)->hit_ratio = (r)->hit_ratio;                                                         \
	(row)->requests = (r)->requests;                                                           \
	(row)->loads = (r)->loads;                                                                 \
	(row)->mode = bytes_str(mode_names[(r)->mode]);                                            \
	(row)->reason = bytes_str(ttl_reason_name((r)->reason))

/* Rows go to a packer of their own first: an array says how many it has before they are known. */
struct rows {
	struct pack list;
	size_t n, max;
};

void query_write_ttl(struct pack *w, const struct ttl_row *r)
{
	struct row_ttl row = {0};

	FILL_TTL(&row, r);
	row_write(w, &row_ttl, &row);
}

static void write_ttl(void *arg, const struct ttl_row *r)
{
	struct rows *rows = arg;

	if (rows->n == rows->max)
		return;
	query_write_ttl(&rows->list, r);
	rows->n++;
}

static void finish_rows(struct rows *rows, struct pack *w)
{
	pack_array(w, (uint32_t)rows->n);
	pack_raw(w, pack_bytes(&rows->list));
	if (pack_status(&rows->list) && !w->status)
		w->status = pack_status(&rows->list);
	pack_release(&rows->list);
}

size_t query_most_rows(const struct daemon *d, const struct request *r)
{
	size_t max = (size_t)d->setup->config->max_endpoint_rows;

	return r->list.max && r->list.max < max ? r->list.max : max;
}

static int not_found(const char *what, struct bytes name, char *ret_text, size_t cap)
{
	char quoted[TEXT_QUOTED_BYTES];

	snprintf(ret_text, cap, "there is no %s %s", what, text_quoted(name, quoted));
	return STATUS_NOT_FOUND;
}

int query_no_endpoint(const struct daemon *d, struct bytes name, char *ret_text, size_t cap)
{
	char quoted[TEXT_QUOTED_BYTES];
	const char *like = engine_endpoint_like(d->engine, name);
	int status = not_found("endpoint", name, ret_text, cap);
	size_t n = strlen(ret_text);

	if (like)
		snprintf(ret_text + n, cap - n, ": did you mean %s?",
		         text_quoted(bytes_str(like), quoted));
	return status;
}

static int ttls(struct daemon *d, const struct request *r, struct pack *w, char *ret_text,
                size_t cap)
{
	struct rows rows = {.max = query_most_rows(d, r)};
	bool known = true;

	pack_init(&rows.list, w->limit);
	if (r->op == OP_ENDPOINTS)
		engine_endpoints(d->engine, now(d), write_ttl, &rows);
	else
		known = engine_ttls(d->engine, now(d), r->endpoint, rows.max, write_ttl, &rows);
	finish_rows(&rows, w);
	return known ? STATUS_OK : query_no_endpoint(d, r->endpoint, ret_text, cap);
}

/* Who has how much say in the forecasts of 30 minutes ahead, and who has lost it. */
static struct bytes forecast_by(const struct why *y, char *text, size_t size)
{
	size_t n = 0;

	if (!y->own_forecast)
		return bytes_str("the rhythm and levels of all quiet endpoints");
	for (int round = 0; round < 2; round++) {
		bool silent = round == 1, first = true;

		for (int i = 0; i < ENSEMBLE_EXPERTS && n < size; i++) {
			const char *name = ensemble_expert_name((enum ensemble_expert)i);

			if ((y->say[i] < 0.005) != silent)
				continue;
			n += (size_t)snprintf(text + n, size - n, "%s%s",
			                      !first            ? ", "
			                      : silent && n > 0 ? "; no say: "
			                                        : "",
			                      name);
			if (!silent && n < size)
				n += (size_t)snprintf(text + n, size - n, " %.0f %%",
				                      100 * y->say[i]);
			first = false;
		}
	}
	return bytes_str(text);
}

/* What the next peak thinks of it. */
static void fill_peak(const struct daemon *d, const struct why_peak *p, struct row_why *row)
{
	row->peak_s = INSTANT_NONE;
	if (!p->known)
		return;
	row->peak = p->name;
	row->peak_source = bytes_str(prefetch_source_name(p->source));
	row->peak_s = wall(d, p->at);
	row->peak_p_wanted = p->p_wanted;
	row->peak_p_useful = p->p_useful;
	row->peak_worth = p->worth;
	row->peak_loaded = p->loaded;
	row->peak_skip = bytes_str(p->loaded ? "" : prewarm_skip_name(p->skip));
}

/* A field that alone changes in each answer; empty: there is none. */
static struct bytes hint_of(const struct daemon *d, struct bytes endpoint, char *text, size_t size)
{
	unsigned alone, compared;
	const char *field = origins_noise(d->origins, endpoint, &alone, &compared);

	if (!field)
		return bytes_of(NULL, 0);
	snprintf(text, size,
	         "only %s changes, in %u of %u answers that were compared; if it says nothing of "
	         "the data, leave it out with \"ignore\": [\"%s\"]",
	         field, alone, compared, field);
	return bytes_str(text);
}

static int why(struct daemon *d, const struct request *r, struct pack *w, char *ret_text,
               size_t cap)
{
	static const char *const paused[] = {"", "learning", "prefetch", "learning and prefetch"};
	struct row_why row = {0};
	char hint[512], by[256];
	struct why y;

	if (!engine_why(d->engine, now(d), r->key, &y))
		return not_found("key or endpoint", r->key, ret_text, cap);
	FILL_TTL(&row, &y.row);
#define COPY(name) row.name = y.name;
	COPY(is_endpoint)
	COPY(resident)
	COPY(change_rate_mean)
	COPY(shape_now)
	COPY(pool_mean)
	COPY(pool_n)
	COPY(request_rate)
	COPY(demand_shape_now)
	COPY(forecast_mase)
	COPY(forecast_vs_last)
	COPY(forecast_vs_ewma)
	COPY(period_s)
	COPY(refresh_ahead)
	COPY(price)
	COPY(load_cost)
	COPY(activity)
	COPY(p_stale_at_end)
	COPY(ttl_at_half_price_s)
	COPY(ttl_at_double_price_s)
	COPY(objective)
	COPY(measured)
	COPY(measured_sd)
	COPY(audits)
	COPY(audits_stale)
	COPY(origin_rate_used)
	COPY(origin_rate_limit)
	COPY(last_error)
	COPY(seen_same)
	COPY(seen_changed)
	COPY(told)
	COPY(announced)
	COPY(last_modified)
#undef COPY
	row.last_changed = wall(d, y.last_changed);
	row.last_load = wall(d, y.last_load);
	row.soft = wall(d, y.soft);
	row.hard = wall(d, y.hard);
	row.forecast_by = forecast_by(&y, by, sizeof(by));
	row.paused = bytes_str(paused[y.paused & (PAUSE_LEARNING | PAUSE_PREFETCH)]);
	row.hint = hint_of(d, row.endpoint, hint, sizeof(hint));
	fill_peak(d, &y.peak, &row);
	row_write(w, &row_why, &row);
	return STATUS_OK;
}

static int ttl(struct daemon *d, const struct request *r, struct pack *w)
{
	enum ttl_reason reason = TTL_STATIC;
	struct row_advice row;

	row.ttl_s =
	        span_s(engine_ttl(d->engine, now(d), r->endpoint, r->key, &reason, &row.endpoint));
	row.reason = bytes_str(ttl_reason_name(reason));

	row_write(w, &row_advice, &row);
	return STATUS_OK;
}

static int forecast(struct daemon *d, const struct request *r, struct pack *w, char *ret_text,
                    size_t cap)
{
	size_t n = r->ahead.steps;
	struct forecast_row *f = mem_calloc(n ? n : 1, sizeof(*f));
	bool known = engine_forecast(d->engine, now(d), r->endpoint, r->ahead.step, n, f);

	if (known)
		pack_array(w, (uint32_t)n);
	for (size_t i = 0; known && i < n; i++) {
		struct row_forecast row = {.time_s = wall(d, f[i].at),
		                           .per_s = f[i].per_s,
		                           .median = f[i].median,
		                           .lo80 = f[i].lo80,
		                           .hi80 = f[i].hi80,
		                           .volatility = f[i].volatility};

		row_write(w, &row_forecast, &row);
	}
	free(f);
	return known ? STATUS_OK : query_no_endpoint(d, r->endpoint, ret_text, cap);
}

static int history_failed(int err, char *ret_text, size_t cap)
{
	snprintf(ret_text, cap, "the file of what was learned %s",
	         err == -EBUSY ? "is held by another program: try again" : "cannot be read");
	return err == -EBUSY ? STATUS_BUSY : STATUS_INTERNAL;
}

int query_history(const struct daemon *d, const struct learned_history *h, struct pack *w,
                  char *ret_text, size_t cap)
{
	if (h->err)
		return history_failed(h->err, ret_text, cap);
	/* one that is gone has its history still */
	if (!h->n && !engine_knows_endpoint(d->engine, h->endpoint))
		return query_no_endpoint(d, h->endpoint, ret_text, cap);
	pack_array(w, (uint32_t)h->n);
	for (size_t i = 0; i < h->n; i++) {
		const struct ttl_point *p = &h->point[i];
		struct row_history row = {.time_s = p->at,
		                          .ttl_s = p->ttl_s,
		                          .change_rate_per_s = p->change_rate_per_s,
		                          .stale_share = p->stale_share,
		                          .hit_ratio = p->hit_ratio};

		row_write(w, &row_history, &row);
	}
	return STATUS_OK;
}

/* -- Learned state ---------------------------------------------------------------------------- */

struct export
{
	struct rows rows;
	uint64_t skip, seen;
};

static void export_record(void *arg, const struct record *r)
{
	struct export *x = arg;
	struct record_row row = {
	        .kind = bytes_str(r->kind), .name = r->name, .endpoint = r->endpoint};

	if (x->seen++ < x->skip || x->rows.n == x->rows.max)
		return;
	row.n_fields = r->n_fields;
	for (size_t i = 0; i < r->n_fields; i++) {
		row.field[i].name = bytes_str(r->field[i].name);
		row.field[i].v = r->field[i].v;
		row.field[i].n = r->field[i].n;
	}
	record_write(&x->rows.list, &row);
	x->rows.n++;
}

/* {"records": [...], "total": n} */
static int export(struct daemon *d, const struct request *r, struct pack *w)
{
	struct export x = {.rows.max = query_most_rows(d, r), .skip = r->list.offset};

	pack_init(&x.rows.list, w->limit);
	engine_export(d->engine, now(d), export_record, &x);
	pack_map(w, 2);
	pack_text(w, "total");
	pack_uint(w, x.seen);
	pack_text(w, "records");
	finish_rows(&x.rows, w);
	return STATUS_OK;
}

/* All or, at the first that is not one, the ones before: {"count": n}. */
static int import(struct daemon *d, const struct request *r, struct pack *w, char *ret_text,
                  size_t cap)
{
	char kind[64], names[RECORD_MAX_FIELDS][64];
	const char *reason = "";

	for (size_t i = 0; i < r->record.n; i++) {
		const struct record_row *row = &r->record.v[i];
		struct record rec = {.kind = kind,
		                     .name = row->name,
		                     .endpoint = row->endpoint,
		                     .n_fields = row->n_fields};

		/* names that are longer than any of ours are cut, and so not found */
		snprintf(kind, sizeof(kind), "%.*s", (int)(row->kind.n < 63 ? row->kind.n : 63),
		         (const char *)row->kind.p);
		for (size_t k = 0; k < rec.n_fields; k++) {
			snprintf(names[k], sizeof(names[k]), "%.*s",
			         (int)(row->field[k].name.n < 63 ? row->field[k].name.n : 63),
			         (const char *)row->field[k].name.p);
			rec.field[k] =
			        (struct record_field){names[k], row->field[k].v, row->field[k].n};
		}
		if (engine_import(d->engine, now(d), &rec, &reason)) {
			snprintf(ret_text, cap, "records[%zu]: %s; the %zu before it were taken", i,
			         reason, i);
			return STATUS_BAD_REQUEST;
		}
	}
	log_line(LOG_INFO, "import", "records=%zu", r->record.n);
	pack_map(w, 1);
	pack_text(w, "count");
	pack_uint(w, r->record.n);
	return STATUS_OK;
}

/* -- Learned peaks ----------------------------------------------------------------------------- */

struct learned_rows {
	struct daemon *d;
	struct rows rows;
};

static void learned_row(void *arg, const struct learned_row *l)
{
	static const char *const days[] = {[ZONE_WEEKDAY] = "weekdays",
	                                   [ZONE_SATURDAY] = "Saturdays",
	                                   [ZONE_SUNDAY] = "Sundays and holidays",
	                                   [ZONE_HALF_DAY] = "half days"};
	struct learned_rows *x = arg;
	struct daemon *d = x->d;
	char at[16];
	struct row_learned row = {.name = l->name,
	                          .endpoint = l->endpoint,
	                          .days = bytes_str(days[l->kind]),
	                          .tz = bytes_str(d->setup->config->zone),
	                          .next_s = l->next.us == INT64_MAX ? INSTANT_NEVER
	                                                            : wall(d, l->next),
	                          .factor = l->factor,
	                          .confidence = l->confidence,
	                          .seen_days = l->days,
	                          .held_days = l->held,
	                          .told = l->trials,
	                          .came = l->kept,
	                          .useful = l->useful,
	                          .keys = l->keys,
	                          .acted_on = l->proven};

	snprintf(at, sizeof(at), "%02d:%02d", l->minute / 60 % 24, l->minute % 60);
	row.time = bytes_str(at);
	row_write(&x->rows.list, &row_learned, &row);
	x->rows.n++;
}

static void write_learned(struct daemon *d, struct pack *w)
{
	struct learned_rows x = {.d = d};

	pack_init(&x.rows.list, w->limit);
	engine_learned_peaks(d->engine, learned_row, &x);
	finish_rows(&x.rows, w);
}

/* -- Schedules --------------------------------------------------------------------------------- */

static int next(struct daemon *d, const struct request *r, struct pack *w, char *ret_text,
                size_t cap)
{
	if (r->key.n && !schedules_has(d->schedules, r->key))
		return not_found("schedule", r->key, ret_text, cap);
	schedules_write_next(d->schedules, r->key, r->ahead.steps, w);
	return STATUS_OK;
}

/* One that was removed has its reports still. */
static int report(struct daemon *d, const struct request *r, struct pack *w, char *ret_text,
                  size_t cap)
{
	size_t rows = schedules_write_report(d->schedules, r->key, r->list.max, w);

	if (r->key.n && !rows && !schedules_has(d->schedules, r->key))
		return not_found("schedule", r->key, ret_text, cap);
	return STATUS_OK;
}

/* -- Hello, stats, health --------------------------------------------------------------------- */

static int hello(struct daemon *d, struct pack *w)
{
	const struct proto_limits *l = &d->setup->config->messages;
	struct row_hello row = {.server = bytes_str("forecached"),
	                        .version = bytes_str(PACKAGE_VERSION),
	                        .protocol = PROTO_VERSION,
	                        .segment = bytes_str(d->segment.path),
	                        .boot_id = d->boot_id,
	                        .pid = (uint64_t)getpid(),
	                        .time_s = wall(d, now(d)),
	                        .time_scale = d->clock.scale,
	                        .max_frame_bytes = (uint64_t)l->max_frame_bytes,
	                        .max_key_bytes = (uint64_t)l->max_key_bytes,
	                        .max_value_bytes = (uint64_t)l->max_value_bytes,
	                        .max_events = (uint64_t)l->max_events,
	                        .max_keys = (uint64_t)l->max_keys};

	row_write(w, &row_hello, &row);
	return STATUS_OK;
}

static void put_uint(struct pack *w, const char *name, uint64_t v)
{
	pack_text(w, name);
	pack_uint(w, v);
}

static void put_num(struct pack *w, const char *name, double v)
{
	pack_text(w, name);
	pack_num(w, v);
}

#define ENGINE_COUNT_TABLE(X)                                                                      \
	X(requests)                                                                                \
	X(hits)                                                                                    \
	X(grace)                                                                                   \
	X(misses)                                                                                  \
	X(joined)                                                                                  \
	X(events)                                                                                  \
	X(sets)                                                                                    \
	X(changed)                                                                                 \
	X(load_errors)                                                                             \
	X(skipped_for_budget)                                                                      \
	X(evicted) X(damaged) X(events_refused) X(keys) X(endpoints) X(flights) X(waiters)

#define ONE(...) +1

static void put_arm(struct pack *w, const char *name, uint64_t requests, uint64_t hits,
                    uint64_t loads, double stale)
{
	pack_text(w, name);
	pack_map(w, 4);
	put_uint(w, "requests", requests);
	put_uint(w, "hits", hits);
	put_uint(w, "loads", loads);
	put_num(w, "stale", stale);
}

static void put_engine(struct daemon *d, struct pack *w)
{
	struct engine_stats s;

	engine_stats(d->engine, &s);
#define X(name) put_uint(w, #name, s.name);
	ENGINE_COUNT_TABLE(X)
#undef X
	pack_text(w, "loads");
	pack_map(w, LOAD_REASONS);
	for (int i = 0; i < LOAD_REASONS; i++)
		put_uint(w, load_reason_name((enum load_reason)i), s.loads[i]);
	pack_text(w, "stale");
	pack_estimate(w, s.stale);
	pack_text(w, "store");
	pack_map(w, 3);
	put_uint(w, "entries", s.store.entries);
	put_uint(w, "bytes_used", s.store.bytes_used);
	put_uint(w, "bytes_total", s.store.bytes_total);
	put_arm(w, "learned", s.learned.requests, s.learned.hits, s.learned.loads, s.learned.stale);
	put_arm(w, "held_out", s.held_out.requests, s.held_out.hits, s.held_out.loads,
	        s.held_out.stale);
}

#define ENGINE_ENTRIES (0 ENGINE_COUNT_TABLE(ONE) + 5)

/* Values that were compressed, since the start, and what it took to answer with some of them. */
static void put_compression(struct daemon *d, struct pack *w)
{
	const struct unpack *u = &d->unpack;
	struct engine_stats s;

	engine_stats(d->engine, &s);
	pack_text(w, "compression");
	pack_map(w, 9);
	put_uint(w, "values", s.packed.values);
	put_uint(w, "value_bytes", s.packed.bytes);
	put_uint(w, "kept_bytes", s.packed.kept_bytes);
	put_num(w, "ratio",
	        s.packed.bytes ? (double)s.packed.kept_bytes / (double)s.packed.bytes : NAN);
	put_uint(w, "decoded_values", u->values);
	put_uint(w, "decoded_bytes", u->bytes);
	put_num(w, "decode_s", (double)u->ns * 1e-9);
	put_num(w, "decode_mean_s", u->values ? (double)u->ns * 1e-9 / (double)u->values : NAN);
	put_uint(w, "decode_failures", u->failed);
}

static void put_daemon(struct daemon *d, struct pack *w)
{
	pack_text(w, "daemon");
	pack_map(w, 0 DAEMON_COUNT_TABLE(ONE) + 2);
#define X(name, help) put_uint(w, #name, d->count.name);
	DAEMON_COUNT_TABLE(X)
#undef X
	put_uint(w, "log_lines_left_out", log_suppressed());
	put_uint(w, "schedules", schedules_count(d->schedules));
}

static void put_wire(struct daemon *d, struct pack *w)
{
	struct wire_stats s;

	wire_stats(d->wire, &s);
	pack_text(w, "wire");
	pack_map(w, 0 WIRE_STATS_TABLE(ONE));
#define X(name, help) put_uint(w, #name, s.name);
	WIRE_STATS_TABLE(X)
#undef X
}

static void put_loaders(struct daemon *d, struct pack *w)
{
	size_t jobs, n = loaders_count(d->loaders, &jobs);

	pack_text(w, "loaders");
	pack_map(w, 2);
	put_uint(w, "workers", n);
	put_uint(w, "jobs", jobs);
}

#define ORIGIN_COUNT_TABLE(X)                                                                      \
	X(started)                                                                                 \
	X(ok)                                                                                      \
	X(not_modified)                                                                            \
	X(absent)                                                                                  \
	X(uncacheable) X(errors) X(redirects) X(body_bytes) X(in_flight) X(validators) X(connects)

static void put_origins(struct daemon *d, struct pack *w)
{
	struct http_origin_stats s;
	const char *name;
	uint32_t n = 0;

	while (origins_stats(d->origins, n, &name, &s))
		n++;
	pack_text(w, "origins");
	pack_map(w, n);
	for (size_t i = 0; origins_stats(d->origins, i, &name, &s); i++) {
		pack_text(w, name);
		pack_map(w, 0 ORIGIN_COUNT_TABLE(ONE));
#define X(field) put_uint(w, #field, s.field);
		ORIGIN_COUNT_TABLE(X)
#undef X
	}
}

void query_write_stats(struct daemon *d, struct pack *w)
{
	pack_map(w, ENGINE_ENTRIES + 5);
	put_engine(d, w);
	put_compression(d, w);
	put_daemon(d, w);
	put_wire(d, w);
	put_loaders(d, w);
	put_origins(d, w);
}

void query_write_health(struct daemon *d, struct pack *w)
{
	struct state_db_status s = {0};
	bool kept = learned_status(d->learned, &s);

	pack_map(w, 10);
	pack_text(w, "status");
	pack_text(w, d->draining ? "draining" : "ready");
	put_uint(w, "pid", (uint64_t)getpid());
	put_num(w, "uptime_s", span_s(instant_diff(now(d), d->started)));
	put_uint(w, "restored_entries", d->count.restored_entries);
	put_uint(w, "expired_entries", d->count.expired_entries);
	put_uint(w, "dropped_entries", d->count.dropped_entries);
	put_num(w, "restore_s", d->restore_s);
	put_uint(w, "restored_records", d->count.restored_records);
	put_num(w, "state_behind_s", kept ? s.behind_s : NAN);
	pack_text(w, "state");
	pack_text(w, !kept                                          ? "none"
	             : s.failing || schedules_unsaved(d->schedules) ? "failing"
	                                                            : "ok");
}

static int remove_schedule(struct daemon *d, const struct request *r, struct pack *w,
                           char *ret_text, size_t cap)
{
	bool saved = false;
	int status = schedules_remove(d->schedules, r->key, &saved, ret_text, cap);

	if (status == STATUS_NOT_FOUND)
		return not_found("schedule", r->key, ret_text, cap);
	pack_map(w, 2);
	put_uint(w, "count", status == STATUS_OK);
	pack_text(w, "saved");
	pack_bool(w, saved);
	return status;
}

int query_answer(struct daemon *d, const struct request *r, struct pack *w, char *ret_text,
                 size_t cap)
{
	switch (r->op) {
	case OP_HELLO:
		return hello(d, w);
	case OP_TTL:
		return ttl(d, r, w);
	case OP_TTLS:
	case OP_ENDPOINTS:
		return ttls(d, r, w, ret_text, cap);
	case OP_WHY:
		return why(d, r, w, ret_text, cap);
	case OP_FORECAST:
		return forecast(d, r, w, ret_text, cap);
	case OP_SCHEDULE_REMOVE:
		return remove_schedule(d, r, w, ret_text, cap);
	case OP_SCHEDULE_LIST:
		if (r->schedule.learned)
			write_learned(d, w);
		else
			schedules_write_list(d->schedules, w);
		return STATUS_OK;
	case OP_SCHEDULE_NEXT:
		return next(d, r, w, ret_text, cap);
	case OP_SCHEDULE_REPORT:
		return report(d, r, w, ret_text, cap);
	case OP_STATS:
		query_write_stats(d, w);
		return STATUS_OK;
	case OP_HEALTH:
		query_write_health(d, w);
		return STATUS_OK;
	case OP_EXPORT:
		return export(d, r, w);
	case OP_IMPORT:
		return import(d, r, w, ret_text, cap);
	default:
		return STATUS_UNKNOWN_OP;
	}
}
