/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * /metrics: Prometheus' text format, version 0.0.4. docs/metrics.md says what each means; a test
 * holds the two together.
 *
 * HOW IT WORKS first the endpoints are gathered, some hundred a step, then each metric is written
 * with its samples together, as the format wants it.
 *
 * CARDINALITY the first http_endpoint_rows endpoints that were seen have series of their own, and as
 * many of those that rules of the configuration name; all others add up in endpoint="<other>". Who
 * has series keeps them, so that no counter ever goes back. Keys are never labels.
 */
#include <config.h>

#include "daemon/web_answer.h"

#include "base/mem.h"
#include "base/text.h"
#include "daemon/learned.h"
#include "daemon/loaders.h"
#include "daemon/log.h"
#include "daemon/origins.h"
#include "daemon/resp.h"
#include "daemon/schedules.h"
#include "engine/survey.h"

#include <dirent.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define OTHER "<other>"

/* Endpoints gathered in one step, entries of a directory, lines written. */
#define ENDPOINTS_PER_STEP 64
#define FILES_PER_STEP     128
#define LINES_PER_STEP     100

enum type { COUNTER, GAUGE, HISTOGRAM };

struct row {
	char *label; /* escaped */
	struct survey_counts counts;
	double keys, load_errors, audits, audits_stale, prefetch_useful, prefetch_wasted;
	double requests_per_s, stale_share, objective, forecast_mase;
};

struct metrics {
	struct web_answer *a;
	struct web_text *t;
	VEC(struct row) row; /* the last is of the others */
	uint32_t next;       /* endpoint to gather; SURVEY_END: all are */
	size_t free_rows[2]; /* series left for endpoints that no rule names, and that one does */
	struct row other;
	bool others, gathered;
	DIR *files;
	size_t n_files;
	size_t family, at; /* of endpoints, to write next; and its row */
};

/* -- The format -------------------------------------------------------------------------------- */

/*
 * A label's value. What is not UTF-8 becomes \xHH, and a backslash two, so that no two names look
 * the same: a series that is there twice would make the whole answer invalid.
 */
static char *escape(struct bytes b)
{
	char *twice = mem_calloc(2 * b.n + 1, 1), *out, *text, *to;
	const char *s = b.p;
	size_t n = 0;

	for (size_t i = 0; i < b.n; i++) {
		if (s[i] == '\\')
			twice[n++] = '\\';
		twice[n++] = s[i];
	}
	text = text_json(bytes_of(twice, n));
	free(twice);
	out = to = mem_calloc(2 * strlen(text) + 1, 1);
	for (const char *c = text; *c; c++) {
		if (*c == '\\' || *c == '"')
			*to++ = '\\';
		else if (*c == '\n') {
			*to++ = '\\';
			*to++ = 'n';
			continue;
		}
		*to++ = *c;
	}
	free(text);
	return out;
}

static void head(struct metrics *m, const char *name, enum type type, const char *help)
{
	static const char *const word[] = {"counter", "gauge", "histogram"};

	web_printf(m->t, "# HELP forecached_%s %s\n# TYPE forecached_%s %s\n", name, help, name,
	           word[type]);
}

static void value(struct metrics *m, double v)
{
	if (isnan(v))
		web_puts(m->t, " NaN\n");
	else if (isinf(v))
		web_puts(m->t, v > 0 ? " +Inf\n" : " -Inf\n");
	else if (v == floor(v) && fabs(v) < 1e15)
		web_printf(m->t, " %.0f\n", v);
	else
		web_printf(m->t, " %.15g\n", v);
}

/* forecached_name{label="text",label2="text2"} v; labels may be NULL, their values are escaped. */
static void sample(struct metrics *m, const char *name, const char *label, const char *text,
                   const char *label2, const char *text2, double v)
{
	web_puts(m->t, "forecached_");
	web_puts(m->t, name);
	if (label) {
		web_puts(m->t, "{");
		web_puts(m->t, label);
		web_puts(m->t, "=\"");
		web_puts(m->t, text);
		if (label2) {
			web_puts(m->t, "\",");
			web_puts(m->t, label2);
			web_puts(m->t, "=\"");
			web_puts(m->t, text2);
		}
		web_puts(m->t, "\"}");
	}
	value(m, v);
}

static void one(struct metrics *m, const char *name, enum type type, const char *help, double v)
{
	head(m, name, type, help);
	sample(m, name, NULL, NULL, NULL, NULL, v);
}

/* -- Endpoints --------------------------------------------------------------------------------- */

static const char *const outcomes[] = {"fresh", "grace", "absent", "joined", "miss"};
static const char *const misses[] = {[SURVEY_MISS_COLD] = "cold",
                                     [SURVEY_MISS_EXPIRED] = "expired",
                                     [SURVEY_MISS_DROPPED] = "dropped",
                                     [SURVEY_MISS_FAILED] = "failed"};

static double of_outcome(const struct row *r, size_t i)
{
	const struct survey_counts *c = &r->counts;
	uint64_t missed = 0;

	for (int k = 0; k < SURVEY_MISSES; k++)
		missed += c->missed[k];
	return (double)(i == 0   ? c->fresh
	                : i == 1 ? c->grace
	                : i == 2 ? c->absent
	                : i == 3 ? c->joined
	                         : missed);
}

static double of_miss(const struct row *r, size_t i)
{
	return (double)r->counts.missed[i];
}

static double of_load(const struct row *r, size_t i)
{
	return (double)r->counts.loads[i];
}

#define FIELD(name)                                                                                \
	static double of_##name(const struct row *r, size_t i)                                     \
	{                                                                                          \
		(void)i;                                                                           \
		return r->name;                                                                    \
	}
FIELD(load_errors)
FIELD(audits)
FIELD(audits_stale)
FIELD(prefetch_useful)
FIELD(prefetch_wasted)
FIELD(keys)
FIELD(requests_per_s)
FIELD(stale_share)
FIELD(objective)
FIELD(forecast_mase)
#undef FIELD

static const char *outcome_text(size_t i)
{
	return outcomes[i];
}

static const char *miss_text(size_t i)
{
	return misses[i];
}

static const char *load_text(size_t i)
{
	return load_reason_name((enum load_reason)i);
}

static const struct family {
	const char *name;
	enum type type;
	const char *label; /* beside endpoint; NULL: none */
	size_t n;
	const char *(*text)(size_t i);
	double (*of)(const struct row *r, size_t i);
	const char *help;
} families[] = {
        {"requests_total", COUNTER, "outcome", 5, outcome_text, of_outcome,
         "requests by how they were answered"},
        {"misses_total", COUNTER, "reason", SURVEY_MISSES, miss_text, of_miss,
         "requests that found nothing to answer with, by what was lacking"},
        {"loads_total", COUNTER, "reason", LOAD_REASONS, load_text, of_load,
         "reads of the origin, by why they were started"},
        {"load_errors_total", COUNTER, NULL, 1, NULL, of_load_errors, "loads that failed"},
        {"audits_total", COUNTER, NULL, 1, NULL, of_audits,
         "hits that were checked against the origin"},
        {"audits_stale_total", COUNTER, NULL, 1, NULL, of_audits_stale,
         "of these, hits that had been replaced"},
        {"endpoint_prefetch_useful_total", COUNTER, NULL, 1, NULL, of_prefetch_useful,
         "loads ahead of requests whose value was asked for in its time"},
        {"endpoint_prefetch_wasted_total", COUNTER, NULL, 1, NULL, of_prefetch_wasted,
         "loads ahead of requests whose value nobody asked for in its time"},
        {"endpoint_keys", GAUGE, NULL, 1, NULL, of_keys, "keys that are remembered"},
        {"endpoint_expected_requests_per_second", GAUGE, NULL, 1, NULL, of_requests_per_s,
         "requests that are forecast for now"},
        {"endpoint_stale_ratio", GAUGE, NULL, 1, NULL, of_stale_share,
         "share of the last 10,000 requests or so answered with a replaced value, estimated"},
        {"endpoint_max_stale_ratio", GAUGE, NULL, 1, NULL, of_objective,
         "the objective for that share"},
        {"endpoint_forecast_scaled_error_ratio", GAUGE, NULL, 1, NULL, of_forecast_mase,
         "mean absolute error of the forecast by that of the same time yesterday"},
};

#define N_FAMILIES (sizeof(families) / sizeof(*families))

static void add_to_other(struct metrics *m, const struct survey_endpoint *p)
{
	struct row *o = &m->other;
	const struct survey_counts *c = p->counts;

	m->others = true;
	o->counts.fresh += c->fresh;
	o->counts.grace += c->grace;
	o->counts.absent += c->absent;
	o->counts.joined += c->joined;
	for (int i = 0; i < SURVEY_MISSES; i++)
		o->counts.missed[i] += c->missed[i];
	for (int i = 0; i < LOAD_REASONS; i++)
		o->counts.loads[i] += c->loads[i];
	o->keys += (double)p->keys;
	o->load_errors += (double)p->load_errors;
	o->audits += (double)p->audits;
	o->audits_stale += (double)p->audits_stale;
	o->prefetch_useful += (double)p->prefetch_useful;
	o->prefetch_wasted += (double)p->prefetch_wasted;
	o->requests_per_s += p->requests_per_s;
}

static void gather(void *arg, const struct survey_endpoint *p)
{
	struct metrics *m = arg;

	if (!m->free_rows[p->ruled] || bytes_equal(p->name, bytes_str(OTHER))) {
		add_to_other(m, p);
		return;
	}
	m->free_rows[p->ruled]--;
	*vec_push(&m->row) = (struct row){.label = escape(p->name),
	                                  .counts = *p->counts,
	                                  .keys = (double)p->keys,
	                                  .load_errors = (double)p->load_errors,
	                                  .audits = (double)p->audits,
	                                  .audits_stale = (double)p->audits_stale,
	                                  .prefetch_useful = (double)p->prefetch_useful,
	                                  .prefetch_wasted = (double)p->prefetch_wasted,
	                                  .requests_per_s = p->requests_per_s,
	                                  .stale_share = p->stale_share,
	                                  .objective = p->objective,
	                                  .forecast_mase = p->forecast_mase};
}

/* Goes on with a family; gives the lines written. */
static size_t write_family(struct metrics *m, const struct family *f)
{
	size_t lines = 1;

	if (!m->at)
		head(m, f->name, f->type, f->help);
	for (; m->at < m->row.n && lines < LINES_PER_STEP; m->at++)
		for (size_t k = 0; k < f->n; k++, lines++) {
			const struct row *r = &m->row.v[m->at];
			double v = f->of(r, k);

			if (!isnan(v)) /* else it is not known yet */
				sample(m, f->name, "endpoint", r->label, f->label,
				       f->label ? f->text(k) : NULL, v);
		}
	if (m->at == m->row.n) {
		m->family++;
		m->at = 0;
	}
	return lines;
}

/* -- Engine, store, origins -------------------------------------------------------------------- */

/* One count of each source; `field` is its place in struct prefetch_count. */
static void prefetch(struct metrics *m, const char *name, const char *help,
                     const struct engine_stats *s, size_t field)
{
	head(m, name, COUNTER, help);
	for (int i = 0; i < PREFETCH_SOURCES; i++)
		sample(m, name, "source", prefetch_source_name((enum prefetch_source)i), NULL, NULL,
		       (double)*(const uint64_t *)((const char *)&s->prefetch[i] + field));
}

static void write_engine(struct metrics *m)
{
	struct daemon *d = m->a->d;
	struct engine_stats s;

	engine_stats(d->engine, &s);
	one(m, "keys", GAUGE, "keys that are remembered", (double)s.keys);
	one(m, "endpoints", GAUGE, "endpoints that are remembered", (double)s.endpoints);
	one(m, "loads_in_flight", GAUGE, "loads and leases under way", (double)s.flights);
	one(m, "waiting_requests", GAUGE, "requests that wait for a load", (double)s.waiters);
	one(m, "stale_ratio", GAUGE,
	    "share of the last day's requests answered with a replaced value, estimated",
	    s.stale.mean);
	one(m, "stale_ratio_standard_error", GAUGE, "standard error of that share", s.stale.sd);
	one(m, "sets_total", COUNTER, "values set by clients", (double)s.sets);
	one(m, "change_events_total", COUNTER, "values that were said to have changed",
	    (double)s.changed);
	one(m, "access_events_total", COUNTER, "accesses elsewhere that were reported",
	    (double)s.events);
	one(m, "access_events_refused_total", COUNTER,
	    "reports of accesses outside of the accepted time or with too long a key",
	    (double)s.events_refused);
	one(m, "background_loads_skipped_total", COUNTER,
	    "background loads that the budget had no room for", (double)s.skipped_for_budget);
	one(m, "evictions_total", COUNTER, "values that made room for others", (double)s.evicted);
	one(m, "store_entries", GAUGE, "values in the cache", (double)s.store.entries);
	one(m, "store_used_bytes", GAUGE, "bytes that values take up", (double)s.store.bytes_used);
	one(m, "store_size_bytes", GAUGE, "bytes that values could take up",
	    (double)s.store.bytes_total);
	one(m, "damaged_entries_total", COUNTER,
	    "values that had gone bad in memory: dropped when asked for", (double)s.damaged);
	one(m, "compressed_values_total", COUNTER, "values that were kept compressed",
	    (double)s.packed.values);
	one(m, "compressed_value_bytes_total", COUNTER, "bytes that these values have",
	    (double)s.packed.bytes);
	one(m, "compressed_kept_bytes_total", COUNTER, "bytes that were kept of them",
	    (double)s.packed.kept_bytes);
	one(m, "decoded_values_total", COUNTER, "compressed values that the daemon answered with",
	    (double)d->unpack.values);
	one(m, "decoded_bytes_total", COUNTER, "bytes that these values have",
	    (double)d->unpack.bytes);
	one(m, "decode_seconds_total", COUNTER, "time that decoding them took",
	    (double)d->unpack.ns * 1e-9);
	one(m, "decode_failures_total", COUNTER, "compressed values that could not be decoded",
	    (double)d->unpack.failed);
	prefetch(m, "prefetch_loads_total", "loads ahead of requests, by what asked for them", &s,
	         offsetof(struct prefetch_count, loads));
	prefetch(m, "prefetch_useful_total",
	         "of these, loads whose value was asked for in its time", &s,
	         offsetof(struct prefetch_count, useful));
	prefetch(m, "prefetch_wasted_total",
	         "of these, loads whose value nobody asked for in its time", &s,
	         offsetof(struct prefetch_count, wasted));
	head(m, "holdout_requests_total", COUNTER,
	     "requests of keys with a learned TTL, and of those held out with a static one");
	sample(m, "holdout_requests_total", "arm", "learned", NULL, NULL,
	       (double)s.learned.requests);
	sample(m, "holdout_requests_total", "arm", "held_out", NULL, NULL,
	       (double)s.held_out.requests);
	head(m, "holdout_hits_total", COUNTER, "of these, hits");
	sample(m, "holdout_hits_total", "arm", "learned", NULL, NULL, (double)s.learned.hits);
	sample(m, "holdout_hits_total", "arm", "held_out", NULL, NULL, (double)s.held_out.hits);
	head(m, "holdout_loads_total", COUNTER, "loads of these keys");
	sample(m, "holdout_loads_total", "arm", "learned", NULL, NULL, (double)s.learned.loads);
	sample(m, "holdout_loads_total", "arm", "held_out", NULL, NULL, (double)s.held_out.loads);
	head(m, "holdout_stale_requests_total", COUNTER,
	     "of these requests, those answered with a replaced value, estimated");
	sample(m, "holdout_stale_requests_total", "arm", "learned", NULL, NULL, s.learned.stale);
	sample(m, "holdout_stale_requests_total", "arm", "held_out", NULL, NULL, s.held_out.stale);
}

static void write_times(struct metrics *m, const char *origin, const struct survey_times *t)
{
	double below = 0;
	char bound[32];

	for (int i = 0; i < SURVEY_BUCKETS; i++) {
		below += (double)t->n[i];
		snprintf(bound, sizeof(bound), "%g",
		         i < SURVEY_BUCKETS - 1 ? survey_times_bound[i] : 0);
		sample(m, "origin_load_duration_seconds_bucket", "origin", origin, "le",
		       i < SURVEY_BUCKETS - 1 ? bound : "+Inf", below);
	}
	sample(m, "origin_load_duration_seconds_sum", "origin", origin, NULL, NULL, t->sum_s);
	sample(m, "origin_load_duration_seconds_count", "origin", origin, NULL, NULL, below);
}

/* What is asked of each origin of the engine; -1: the histogram. */
static double of_origin(const struct survey_origin *o, int what)
{
	switch (what) {
	case 0:
		return (double)o->times->failed;
	case 1:
		return o->rate_per_s;
	case 2:
		return o->rate_limit_per_s;
	case 3:
		return o->concurrency;
	case 4:
		return o->in_flight;
	default:
		return o->open;
	}
}

static void write_origins(struct metrics *m)
{
	static const struct {
		const char *name;
		enum type type;
		const char *help;
	} rows[] = {
	        {"origin_load_failures_total", COUNTER, "loads of the origin that failed"},
	        {"origin_background_loads_per_second", GAUGE,
	         "background loads started over about the last minute"},
	        {"origin_background_loads_limit_per_second", GAUGE,
	         "what the configuration allows"},
	        {"origin_concurrency_limit", GAUGE,
	         "loads in flight that the origin is believed to bear now"},
	        {"origin_loads_in_flight", GAUGE, "loads under way"},
	        {"origin_held_back", GAUGE,
	         "1 while background loads wait for the origin to recover, else 0"},
	};
	struct instant now = clock_now(&m->a->d->clock);
	struct survey_origin o;

	for (int what = -1; what < (int)(sizeof(rows) / sizeof(*rows)); what++) {
		if (what < 0)
			head(m, "origin_load_duration_seconds", HISTOGRAM,
			     "how long loads of the origin took");
		else
			head(m, rows[what].name, rows[what].type, rows[what].help);
		for (uint32_t i = 0; survey_origin(m->a->d->engine, now, i, &o); i++) {
			char *name = escape(bytes_str(o.name));

			if (what < 0)
				write_times(m, name, o.times);
			else
				sample(m, rows[what].name, "origin", name, NULL, NULL,
				       of_origin(&o, what));
			free(name);
		}
	}
}

static void write_http_origins(struct metrics *m)
{
#define X(field, name, type, help) {name, type, help, offsetof(struct http_origin_stats, field)},
	static const struct {
		const char *name;
		enum type type;
		const char *help;
		size_t offset;
	} rows[] = {X(body_bytes, "origin_received_bytes_total", COUNTER, "bytes of answers") X(
	        connects, "origin_connections_total", COUNTER, "connections made")
	                    X(redirects, "origin_redirects_total", COUNTER, "redirects followed")};
	static const struct {
		const char *result;
		size_t offset;
	} results[] = {{"ok", offsetof(struct http_origin_stats, ok)},
	               {"not_modified", offsetof(struct http_origin_stats, not_modified)},
	               {"absent", offsetof(struct http_origin_stats, absent)},
	               {"uncacheable", offsetof(struct http_origin_stats, uncacheable)},
	               {"error", offsetof(struct http_origin_stats, errors)}};
#undef X
	const struct origins *origins = m->a->d->origins;
	struct http_origin_stats s;
	const char *name;

	head(m, "origin_answers_total", COUNTER, "answers of an HTTP origin, by what they were");
	for (size_t i = 0; origins_stats(origins, i, &name, &s); i++) {
		char *text = escape(bytes_str(name));

		for (size_t k = 0; k < sizeof(results) / sizeof(*results); k++)
			sample(m, "origin_answers_total", "origin", text, "result",
			       results[k].result,
			       (double)*(const uint64_t *)((const char *)&s + results[k].offset));
		free(text);
	}
	for (size_t k = 0; k < sizeof(rows) / sizeof(*rows); k++) {
		head(m, rows[k].name, rows[k].type, rows[k].help);
		for (size_t i = 0; origins_stats(origins, i, &name, &s); i++) {
			char *text = escape(bytes_str(name));

			sample(m, rows[k].name, "origin", text, NULL, NULL,
			       (double)*(const uint64_t *)((const char *)&s + rows[k].offset));
			free(text);
		}
	}
}

/* -- Schedules and calendars ------------------------------------------------------------------- */

static void write_schedules(struct metrics *m)
{
	static const struct {
		const char *name, *help;
	} rows[] = {
	        {"schedule_next_timestamp_seconds", "when it is due next, since 1970"},
	        {"schedule_last_timestamp_seconds", "its last instant, since 1970"},
	        {"schedule_last_wanted_keys", "keys that were to be warm at its last instant"},
	        {"schedule_last_warm_keys", "of these, keys that were"},
	};
	struct daemon *d = m->a->d;
	struct schedule_state s;
	double days;
	const char *name;

	one(m, "schedules", GAUGE, "named schedules", (double)schedules_count(d->schedules));
	for (size_t k = 0; k < sizeof(rows) / sizeof(*rows); k++) {
		head(m, rows[k].name, GAUGE, rows[k].help);
		for (size_t i = 0; schedules_state(d->schedules, i, &s); i++) {
			double v = k == 0   ? (instant_is_set(s.next) ? instant_s(s.next) : NAN)
			           : k == 1 ? (instant_is_set(s.last) ? instant_s(s.last) : NAN)
			           : k == 2 ? (instant_is_set(s.last) ? (double)s.wanted : NAN)
			                    : (instant_is_set(s.last) ? (double)s.warm : NAN);
			char *text = escape(bytes_str(s.name));

			if (!isnan(v))
				sample(m, rows[k].name, "schedule", text, NULL, NULL, v);
			free(text);
		}
	}
	head(m, "calendar_days_left", GAUGE, "days until the last special day that it knows");
	for (size_t i = 0; setup_calendar(
	             d->setup, i, instant_add(clock_now(&d->clock), d->clock.offset), &name, &days);
	     i++) {
		char *text = escape(bytes_str(name));

		sample(m, "calendar_days_left", "calendar", text, NULL, NULL, days);
		free(text);
	}
	for (size_t i = 0; schedules_calendar(d->schedules, i, &name, &days); i++) {
		char *text = escape(bytes_str(name));

		sample(m, "calendar_days_left", "calendar", text, NULL, NULL, days);
		free(text);
	}
}

/* -- The daemon -------------------------------------------------------------------------------- */

static void write_daemon(struct metrics *m)
{
	struct daemon *d = m->a->d;
	struct state_db_status db = {0};
	struct web_counts web = web_counts(m->a->web);
	struct wire_stats wire;
	size_t jobs, workers = loaders_count(d->loaders, &jobs);
	bool kept = learned_status(d->learned, &db);
	struct instant now = clock_now(&d->clock);
	unsigned paused = survey_paused(d->engine, now);

	head(m, "build_info", GAUGE, "1; the labels say what runs");
	sample(m, "build_info", "version", PACKAGE_VERSION, NULL, NULL, 1);
	one(m, "draining", GAUGE, "1 after SIGTERM, else 0", d->draining);
	head(m, "paused", GAUGE, "1 while it is paused, else 0");
	sample(m, "paused", "what", "learning", NULL, NULL, (paused & PAUSE_LEARNING) != 0);
	sample(m, "paused", "what", "prefetch", NULL, NULL, (paused & PAUSE_PREFETCH) != 0);
#define X(name, help) one(m, "daemon_" #name "_total", COUNTER, help, (double)d->count.name);
	DAEMON_COUNT_TABLE(X)
#undef X
	one(m, "log_lines_left_out_total", COUNTER,
	    "lines of the log that were not written because their event came too often",
	    (double)log_suppressed());
	wire_stats(d->wire, &wire);
#define X(name, help)                                                                              \
	if (strcmp(#name, "input_bytes"))                                                          \
		one(m, "wire_" #name "_total", COUNTER, help, (double)wire.name);
	WIRE_STATS_TABLE(X)
#undef X
	one(m, "wire_input_bytes", GAUGE, "bytes that wait for the engine",
	    (double)wire.input_bytes);
	one(m, "loader_workers", GAUGE, "loader workers that are registered", (double)workers);
	one(m, "loader_jobs", GAUGE, "loads that loader workers are at", (double)jobs);
	one(m, "redis_connections", GAUGE, "connections of Redis clients",
	    (double)resp_connections(d->resp));
	one(m, "redis_commands_total", COUNTER, "commands of Redis clients",
	    (double)resp_commands(d->resp));
	one(m, "state_kept", GAUGE, "1 while what is learned is kept in a file, else 0",
	    kept && !db.failing);
	one(m, "state_behind_seconds", GAUGE, "age of the oldest thing learned that is not in it",
	    kept ? db.behind_s : NAN);
	one(m, "schedules_kept", GAUGE,
	    "1 while the schedules that were added are kept in a file, else 0",
	    !schedules_unsaved(d->schedules));
	one(m, "http_connections", GAUGE, "connections to this listener", (double)web.connections);
	head(m, "http_responses_total", COUNTER, "answers of this listener, by the status");
	for (int i = 2; i < 6; i++) {
		char code[8];

		snprintf(code, sizeof(code), "%dxx", i);
		sample(m, "http_responses_total", "code", code, NULL, NULL,
		       (double)web.answered[i]);
	}
	one(m, "http_longest_step_seconds", GAUGE,
	    "the longest piece of work of this listener, CPU time of the engine's thread",
	    web.longest_step_s);
}

static void process(struct metrics *m, const char *name, const char *type, const char *help,
                    double v)
{
	web_printf(m->t, "# HELP process_%s %s\n# TYPE process_%s %s\nprocess_%s", name, help, name,
	           type, name);
	value(m, v);
}

/* Boot time plus the start's ticks since then (proc(5)), as the client libraries of Prometheus do. */
static double start_time_s(unsigned long long ticks)
{
	struct timespec wall, boot;

	clock_gettime(CLOCK_REALTIME, &wall);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	return (double)wall.tv_sec - (double)boot.tv_sec +
	       (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static void write_process(struct metrics *m)
{
	unsigned long long started = 0;
	unsigned long vsize = 0;
	long rss = 0, threads = 0;
	struct rlimit files;
	struct rusage use;
	char text[1024];
	FILE *f = fopen("/proc/self/stat", "re");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	const char *after;

	if (f)
		fclose(f);
	text[n] = '\0';
	/* the name of the program may hold anything, but a parenthesis ends it */
	after = strrchr(text, ')');
	if (after && sscanf(after,
	                    ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d "
	                    "%*d %ld %*d %llu %lu %ld",
	                    &threads, &started, &vsize, &rss) == 4) {
		process(m, "virtual_memory_bytes", "gauge", "Virtual memory size in bytes.",
		        (double)vsize);
		process(m, "resident_memory_bytes", "gauge", "Resident memory size in bytes.",
		        (double)rss * (double)sysconf(_SC_PAGESIZE));
		process(m, "start_time_seconds", "gauge",
		        "Start time of the process since unix epoch in seconds.",
		        start_time_s(started));
		process(m, "threads", "gauge", "Number of OS threads in the process.",
		        (double)threads);
	}
	if (!getrusage(RUSAGE_SELF, &use))
		process(m, "cpu_seconds_total", "counter",
		        "Total user and system CPU time spent in seconds.",
		        (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
		                (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6);
	process(m, "open_fds", "gauge", "Number of open file descriptors.", (double)m->n_files);
	if (!getrlimit(RLIMIT_NOFILE, &files))
		process(m, "max_fds", "gauge", "Maximum number of open file descriptors.",
		        (double)files.rlim_cur);
}

/* -- Steps ------------------------------------------------------------------------------------- */

/* Counts some of the open files; false when all are counted. */
static bool count_files(struct metrics *m)
{
	for (int i = 0; m->files && i < FILES_PER_STEP; i++) {
		const struct dirent *e = readdir(m->files);

		if (e) {
			m->n_files += e->d_name[0] != '.';
			continue;
		}
		closedir(m->files);
		m->files = NULL;
		m->n_files -= m->n_files > 0; /* the one it was counted with */
	}
	return m->files;
}

static void gathered(struct metrics *m)
{
	m->gathered = true;
	if (!m->others)
		return;
	m->other.label = escape(bytes_str(OTHER));
	m->other.stale_share = m->other.objective = m->other.forecast_mase = NAN;
	*vec_push(&m->row) = m->other;
}

static bool metrics_step(struct web_answer *a)
{
	static void (*const parts[])(struct metrics * m) = {write_engine,       write_origins,
	                                                    write_http_origins, write_schedules,
	                                                    write_daemon,       write_process};
	struct metrics *m = a->state;
	size_t lines = 0;

	if (m->next != SURVEY_END) {
		m->next = survey_endpoints(a->d->engine, clock_now(&a->d->clock), m->next,
		                           ENDPOINTS_PER_STEP, gather, m);
		return true;
	}
	if (count_files(m))
		return true;
	if (!m->gathered)
		gathered(m);
	while (m->family < N_FAMILIES && lines < LINES_PER_STEP)
		lines += write_family(m, &families[m->family]);
	if (lines)
		return true;
	parts[m->family - N_FAMILIES](m);
	return ++m->family < N_FAMILIES + sizeof(parts) / sizeof(*parts);
}

static void metrics_release(void *state)
{
	struct metrics *m = state;

	for (size_t i = 0; i < m->row.n; i++)
		free(m->row.v[i].label);
	vec_free(&m->row);
	if (m->files)
		closedir(m->files);
	free(m);
}

void web_metrics_start(struct web_answer *a)
{
	struct metrics *m = mem_calloc(1, sizeof(*m));

	m->a = a;
	m->t = &a->text;
	m->free_rows[0] = m->free_rows[1] = (size_t)a->d->setup->config->http_endpoint_rows;
	m->files = opendir("/proc/self/fd");
	a->state = m;
	a->release = metrics_release;
	a->step = metrics_step;
	a->type = "text/plain; version=0.0.4; charset=utf-8";
}
