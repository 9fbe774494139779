/* SPDX-License-Identifier: MIT */
#include "proto/request.h"

#include "base/near.h"
#include "base/text.h"
#include "proto/status.h"

#include <errno.h>
#include <string.h>

#define DEFAULT_FORECAST_STEP  SPAN_S(60)
#define DEFAULT_FORECAST_STEPS 60
#define DEFAULT_NEXT_STEPS     10
#define DEFAULT_TTLS_ROWS      100
#define DEFAULT_ROWS           1000
#define MAX_ROWS               100000
#define MAX_LOAD_MS            86400000.0
#define MAX_KEYS_WARMED        10000000u
#define MAX_TEXT_BYTES         1024 /* rules, names of zones and calendars */

const char *op_name(enum op op)
{
	static const char *const names[] = {
#define X(name, text) [OP_##name] = text,
	        OP_TABLE(X)
#undef X
	};

	return (unsigned)op < OPS ? names[op] : "unknown";
}

void request_init(struct request *r)
{
	memset(r, 0, sizeof(*r));
	events_init(&r->events);
}

void request_release(struct request *r)
{
	vec_free(&r->pair);
	vec_free(&r->record);
	vec_free(&r->number);
	events_release(&r->events);
	request_init(r);
}

/* Empty but for the memory of the arrays, which is used again. */
static void request_reset(struct request *r)
{
	struct request old = *r;

	memset(r, 0, sizeof(*r));
	r->pair = old.pair;
	r->record = old.record;
	r->number = old.number;
	r->events.list = old.events.list;
	r->pair.n = r->record.n = r->number.n = r->events.list.n = 0;
}

/* -- Reading: what all operations share ----------------------------------------------------- */

struct reading {
	struct request *r;
	const struct proto_limits *limits;
	struct cursor args;
	struct map options; /* none: n is 0 */
	struct proto_error *err;
};

static int read_key(struct reading *x, const struct msgpack_object *v, struct bytes *ret)
{
	return value_bytes(v, "key", 1, (size_t)x->limits->max_key_bytes, ret, x->err);
}

static int read_name(struct reading *x, const struct msgpack_object *v, const char *field,
                     struct bytes *ret)
{
	return value_bytes(v, field, 1, (size_t)x->limits->max_endpoint_bytes, ret, x->err);
}

static const struct msgpack_object *option(const struct reading *x, const char *name)
{
	const struct msgpack_object *v = map_find(&x->options, name);

	return value_is_nil(v) ? NULL : v;
}

static int option_name(struct reading *x, const char *name, struct bytes *ret)
{
	const struct msgpack_object *v = option(x, name);

	return v ? value_bytes(v, name, 0, (size_t)x->limits->max_endpoint_bytes, ret, x->err) : 0;
}

static int option_endpoint(struct reading *x)
{
	return option_name(x, "endpoint", &x->r->endpoint);
}

static int option_text(struct reading *x, const char *name, struct bytes *ret)
{
	const struct msgpack_object *v = option(x, name);

	return v ? value_bytes(v, name, 0, MAX_TEXT_BYTES, ret, x->err) : 0;
}

static int option_span(struct reading *x, const char *name, struct span *ret)
{
	const struct msgpack_object *v = option(x, name);

	return v ? value_span(v, name, ret, x->err) : 0;
}

static int option_load(struct reading *x, struct span *ret)
{
	const struct msgpack_object *v = option(x, "load_ms");
	double ms = 0;
	int rc = v ? value_num(v, "load_ms", 0, MAX_LOAD_MS, &ms, x->err) : 0;

	if (!rc)
		*ret = span_from_s(ms * 1e-3);
	return rc;
}

/* A whole number from 1 to max; missing: as it was. */
static int option_count(struct reading *x, const char *name, uint32_t max, uint32_t *ret)
{
	const struct msgpack_object *v = option(x, name);
	uint64_t u = *ret;

	if (!v)
		return 0;
	if (value_uint(v, name, max, &u, NULL) || u == 0)
		return proto_fail(x->err, -EBADMSG, "%s: must be a whole number from 1 to %u", name,
		                  max);
	*ret = (uint32_t)u;
	return 0;
}

/* One of n words; *ret is its number, as it was when missing. */
static int option_word(struct reading *x, const char *name, const char *const *words, unsigned n,
                       const char *list, unsigned *ret)
{
	const struct msgpack_object *v = option(x, name);
	struct bytes word;
	unsigned i;

	if (!v)
		return 0;
	if (!value_bytes(v, name, 1, 32, &word, NULL))
		for (i = 0; i < n; i++)
			if (bytes_equal(word, bytes_str(words[i]))) {
				*ret = i;
				return 0;
			}
	return proto_fail(x->err, -EBADMSG, "%s: must be %s", name, list);
}

/* -- Reading: each operation ---------------------------------------------------------------- */

static const char *const mode_words[] = {"load", "lease", "peek"};
static const char *const purge_words[] = {"key", "endpoint", "all"};
static const char *const pause_words[] = {"all", "learning", "prefetch"};
static const unsigned pause_bits[] = {REQUEST_LEARNING | REQUEST_PREFETCH, REQUEST_LEARNING,
                                      REQUEST_PREFETCH};

static int read_hello(struct reading *x)
{
	return option_text(x, "client", &x->r->hello.client);
}

static int read_nothing(struct reading *x)
{
	(void)x;
	return 0;
}

static int read_mode(struct reading *x)
{
	unsigned mode = MODE_LOAD;
	int rc = option_endpoint(x);

	rc = rc ? rc : option_word(x, "mode", mode_words, 3, "load, lease or peek", &mode);
	x->r->get.mode = (enum request_mode)mode;
	return rc;
}

static int read_get(struct reading *x)
{
	int rc = read_key(x, cursor_next(&x->args), &x->r->key);

	return rc ? rc : read_mode(x);
}

static int read_lease(struct reading *x)
{
	const struct msgpack_object *failed = option(x, "failed");
	int rc = read_key(x, cursor_next(&x->args), &x->r->key);

	x->r->get.mode = MODE_LEASE;
	rc = rc ? rc : option_endpoint(x);
	return rc || !failed ? rc
	                     : value_uint(failed, "failed", UINT64_MAX, &x->r->get.failed, x->err);
}

static int read_mget(struct reading *x)
{
	struct cursor c;
	size_t i;
	int rc = value_array(cursor_next(&x->args), "keys", 1, (size_t)x->limits->max_keys, &c,
	                     x->err);

	for (i = 0; !rc && c.left; i++) {
		struct request_pair *p = vec_push(&x->r->pair);

		*p = (struct request_pair){{0}, {0}};
		rc = read_key(x, cursor_next(&c), &p->key);
		if (rc)
			proto_within(x->err, 0, "keys[%zu].", i);
	}
	return rc ? rc : read_mode(x);
}

static int read_value(struct reading *x, const struct msgpack_object *v, struct bytes *ret)
{
	return value_bytes(v, "value", 0, (size_t)x->limits->max_value_bytes, ret, x->err);
}

/* The options that set and mset share. */
static int read_set_options(struct reading *x)
{
	const struct msgpack_object *read_s = option(x, "read_s");
	int rc = option_endpoint(x);

	x->r->set.read = INSTANT_NONE;
	rc = rc ? rc : option_span(x, "ttl_s", &x->r->set.ttl);
	rc = rc ? rc : option_load(x, &x->r->set.load);
	return rc || !read_s ? rc : value_instant(read_s, "read_s", &x->r->set.read, x->err);
}

static int read_set(struct reading *x)
{
	const struct msgpack_object *lease = option(x, "lease");
	int rc = read_key(x, cursor_next(&x->args), &x->r->key);

	rc = rc ? rc : read_value(x, cursor_next(&x->args), &x->r->set.value);
	rc = rc ? rc : read_set_options(x);
	if (!rc && lease)
		rc = value_uint(lease, "lease", UINT64_MAX, &x->r->set.lease, x->err);
	return rc ? rc : value_version(option(x, "version"), "version", &x->r->set.version, x->err);
}

static int read_mset(struct reading *x)
{
	struct cursor c, kv;
	size_t i;
	int rc = value_array(cursor_next(&x->args), "pairs", 1, (size_t)x->limits->max_keys, &c,
	                     x->err);

	for (i = 0; !rc && c.left; i++) {
		struct request_pair *p = vec_push(&x->r->pair);

		*p = (struct request_pair){{0}, {0}};
		rc = value_array(cursor_next(&c), "pair", 2, 2, &kv, x->err);
		rc = rc ? rc : read_key(x, cursor_next(&kv), &p->key);
		rc = rc ? rc : read_value(x, cursor_next(&kv), &p->value);
		if (rc)
			proto_within(x->err, 0, "pairs[%zu].", i);
	}
	return rc ? rc : read_set_options(x);
}

static int read_delete(struct reading *x)
{
	return read_key(x, cursor_next(&x->args), &x->r->key);
}

static int read_changed(struct reading *x)
{
	int rc = read_key(x, cursor_next(&x->args), &x->r->key);

	rc = rc ? rc : option_endpoint(x);
	return rc ? rc
	          : value_version(option(x, "version"), "version", &x->r->changed.version, x->err);
}

static int read_event(struct reading *x)
{
	return events_read_value(&x->r->events, cursor_next(&x->args), x->limits, x->err);
}

static int read_ttl(struct reading *x)
{
	int rc = read_key(x, cursor_next(&x->args), &x->r->key);

	return rc ? rc : option_endpoint(x);
}

static int read_ttls(struct reading *x)
{
	int rc = option_endpoint(x);

	x->r->list.max = DEFAULT_TTLS_ROWS;
	return rc ? rc : option_count(x, "max", MAX_ROWS, &x->r->list.max);
}

static int read_endpoints(struct reading *x)
{
	x->r->list.max = DEFAULT_ROWS;
	return option_count(x, "max", MAX_ROWS, &x->r->list.max);
}

static int read_named(struct reading *x)
{
	return read_name(x, cursor_next(&x->args), "name", &x->r->key);
}

static int read_forecast(struct reading *x)
{
	int rc = read_name(x, cursor_next(&x->args), "endpoint", &x->r->endpoint);

	x->r->ahead.step = DEFAULT_FORECAST_STEP;
	x->r->ahead.steps = DEFAULT_FORECAST_STEPS;
	rc = rc ? rc : option_span(x, "step_s", &x->r->ahead.step);
	if (!rc &&
	    (x->r->ahead.step.us < 1000000 || x->r->ahead.step.us > 86400 * INT64_C(1000000)))
		rc = proto_fail(x->err, -EBADMSG, "step_s: must be a number from 1 to 86400");
	return rc ? rc : option_count(x, "steps", REQUEST_MAX_STEPS, &x->r->ahead.steps);
}

static int read_history(struct reading *x)
{
	int rc = read_name(x, cursor_next(&x->args), "endpoint", &x->r->endpoint);

	x->r->list.max = DEFAULT_TTLS_ROWS;
	return rc ? rc : option_count(x, "max", MAX_ROWS, &x->r->list.max);
}

static int read_prewarm(struct reading *x)
{
	const struct msgpack_object *dry = option(x, "dry_run");
	const struct msgpack_object *reasons = option(x, "reasons");
	int rc = read_name(x, cursor_next(&x->args), "pattern", &x->r->key);

	if (!rc && dry)
		rc = value_bool(dry, "dry_run", &x->r->prewarm.dry_run, x->err);
	if (!rc && reasons)
		rc = value_bool(reasons, "reasons", &x->r->prewarm.reasons, x->err);
	return rc ? rc : option_count(x, "max_keys", MAX_KEYS_WARMED, &x->r->prewarm.max_keys);
}

static int read_schedule_list(struct reading *x)
{
	const struct msgpack_object *learned = option(x, "learned");

	return learned ? value_bool(learned, "learned", &x->r->schedule.learned, x->err) : 0;
}

static int read_start(struct reading *x, const struct msgpack_object *v)
{
	/* what is not UTF-8 comes as bin; whether it is a time is judged where the zone is known */
	if (value_kind(v) == VALUE_STR || value_kind(v) == VALUE_BIN)
		return value_bytes(v, "start", 0, 64, &x->r->schedule.start_local, x->err);
	if (value_instant(v, "start", &x->r->schedule.start, NULL))
		return proto_fail(
		        x->err, -EBADMSG,
		        "start: must be seconds since 1970, or str as 2026-11-23T09:30:00");
	return 0;
}

static int read_schedule_add(struct reading *x)
{
	const struct msgpack_object *start = option(x, "start"), *dry = option(x, "dry_run");
	struct cursor c = {0};
	int rc = option_name(x, "name", &x->r->key);

	x->r->schedule.start = INSTANT_NONE;
	if (!rc && x->r->key.n == 0)
		return proto_fail(x->err, -EBADMSG, "name: must be given");
	rc = rc ? rc : option_text(x, "rrule", &x->r->schedule.rrule);
	rc = rc ? rc : option_text(x, "tz", &x->r->schedule.tz);
	rc = rc ? rc : option_text(x, "calendar", &x->r->schedule.calendar);
	rc = rc ? rc : option_span(x, "lead_s", &x->r->schedule.lead);
	rc = rc ? rc : option_count(x, "max_keys", MAX_KEYS_WARMED, &x->r->schedule.max_keys);
	rc = rc || !start ? rc : read_start(x, start);
	rc = rc || !dry ? rc : value_bool(dry, "dry_run", &x->r->schedule.dry_run, x->err);
	rc = rc ? rc
	        : value_array(option(x, "patterns"), "patterns", 1, REQUEST_MAX_PATTERNS, &c,
	                      x->err);
	while (!rc && c.left)
		rc = read_name(x, cursor_next(&c), "pattern",
		               &x->r->schedule.pattern[x->r->schedule.n_patterns++]);
	return rc;
}

static int read_schedule_next(struct reading *x)
{
	int rc = option_name(x, "name", &x->r->key);

	x->r->ahead.steps = DEFAULT_NEXT_STEPS;
	return rc ? rc : option_count(x, "steps", REQUEST_MAX_NEXT, &x->r->ahead.steps);
}

static int read_schedule_report(struct reading *x)
{
	int rc = option_name(x, "name", &x->r->key);

	x->r->list.max = DEFAULT_ROWS;
	return rc ? rc : option_count(x, "max", MAX_ROWS, &x->r->list.max);
}

static int read_purge(struct reading *x)
{
	unsigned what = PURGE_ONE_KEY;
	int rc = option_word(x, "what", purge_words, 3, "key, endpoint or all", &what);

	x->r->purge.what = (enum request_purge)what;
	/*
	 * "all" takes a name like the others, which may be empty: purge is never meant by mistake
	 */
	return rc ? rc
	          : value_bytes(cursor_next(&x->args), "name", what != PURGE_EVERYTHING,
	                        (size_t)x->limits->max_key_bytes, &x->r->key, x->err);
}

static int read_pause(struct reading *x)
{
	unsigned what = 0;
	int rc = option_word(x, "what", pause_words, 3, "all, learning or prefetch", &what);

	x->r->pause.what = pause_bits[what];
	return rc ? rc : option_span(x, "for_s", &x->r->pause.for_);
}

static int read_export(struct reading *x)
{
	const struct msgpack_object *offset = option(x, "offset");
	int rc;

	x->r->list.max = DEFAULT_ROWS;
	rc = offset ? value_uint(offset, "offset", UINT64_MAX, &x->r->list.offset, x->err) : 0;
	return rc ? rc : option_count(x, "max", MAX_ROWS, &x->r->list.max);
}

/* -- Records -------------------------------------------------------------------------------- */

/* Numbers are kept as offsets until all are read: the vector may move while it grows. */
static int read_record_field(struct reading *x, const struct msgpack_object *v,
                             struct record_row *row, struct bytes name)
{
	struct cursor c;
	int rc;

	if (row->n_fields == RECORD_MAX_FIELDS)
		return proto_fail(x->err, -EBADMSG, "fields: has more than %d", RECORD_MAX_FIELDS);
	rc = value_array(v, "field", 1, RECORD_NUMBERS_MAX, &c, x->err);
	if (rc)
		return rc;
	row->field[row->n_fields].name = name;
	row->field[row->n_fields++].n = c.left;
	while (!rc && c.left) {
		double d = 0;

		rc = value_num(cursor_next(&c), "number", -1.7e308, 1.7e308, &d, x->err);
		*vec_push(&x->r->number) = d;
	}
	return rc;
}

static int read_record(struct reading *x, const struct msgpack_object *v, struct record_row *row)
{
	static const char *const names[] = {"kind", "name", "endpoint", "fields", NULL};
	const struct msgpack_object *endpoint, *field;
	struct map m, fields;
	size_t i;
	int rc;

	memset(row, 0, sizeof(*row));
	rc = value_map(v, "record", &m, x->err);
	rc = rc ? rc : map_only(&m, "record", names, x->err);
	if (rc)
		return rc;
	rc = value_bytes(map_find(&m, "kind"), "kind", 1, 32, &row->kind, x->err);
	rc = rc ? rc
	        : value_bytes(map_find(&m, "name"), "name", 0, (size_t)x->limits->max_key_bytes,
	                      &row->name, x->err);
	endpoint = map_find(&m, "endpoint");
	if (!rc && !value_is_nil(endpoint))
		rc = value_bytes(endpoint, "endpoint", 0, (size_t)x->limits->max_endpoint_bytes,
		                 &row->endpoint, x->err);
	rc = rc ? rc : value_map(map_find(&m, "fields"), "fields", &fields, x->err);
	for (i = 0; !rc && i < fields.n; i++) {
		struct bytes name = map_at(&fields, i, &field);

		rc = read_record_field(x, field, row, name);
	}
	return rc;
}

static int read_import(struct reading *x)
{
	struct request *r = x->r;
	const double *next;
	struct cursor c;
	size_t i, k;
	int rc = value_array(cursor_next(&x->args), "records", 1, (size_t)x->limits->max_records,
	                     &c, x->err);

	for (i = 0; !rc && c.left; i++) {
		rc = read_record(x, cursor_next(&c), vec_push(&r->record));
		if (rc)
			proto_within(x->err, 0, "records[%zu].", i);
	}
	next = r->number.v;
	for (i = 0; !rc && i < r->record.n; i++)
		for (k = 0; k < r->record.v[i].n_fields; k++) {
			r->record.v[i].field[k].v = next;
			next += r->record.v[i].field[k].n;
		}
	return rc;
}

/* -- The table of operations ---------------------------------------------------------------- */

#define MAX_OPTIONS 8

static const struct rule {
	unsigned args; /* that stand before the options */
	int (*read)(struct reading *x);
	const char *options[MAX_OPTIONS + 1]; /* end with NULL */
} rules[OPS] = {
        [OP_HELLO] = {0, read_hello, {"client"}},
        [OP_GET] = {1, read_get, {"endpoint", "mode"}},
        [OP_MGET] = {1, read_mget, {"endpoint", "mode"}},
        [OP_SET] = {2, read_set, {"endpoint", "ttl_s", "lease", "load_ms", "version", "read_s"}},
        [OP_MSET] = {1, read_mset, {"endpoint", "ttl_s", "load_ms", "read_s"}},
        [OP_DELETE] = {1, read_delete, {NULL}},
        [OP_CHANGED] = {1, read_changed, {"endpoint", "version"}},
        [OP_LEASE] = {1, read_lease, {"endpoint", "failed"}},
        [OP_EVENT] = {1, read_event, {NULL}},
        [OP_TTL] = {1, read_ttl, {"endpoint"}},
        [OP_TTLS] = {0, read_ttls, {"endpoint", "max"}},
        [OP_ENDPOINTS] = {0, read_endpoints, {"max"}},
        [OP_WHY] = {1, read_named, {NULL}},
        [OP_FORECAST] = {1, read_forecast, {"step_s", "steps"}},
        [OP_HISTORY] = {1, read_history, {"max"}},
        [OP_PREWARM] = {1, read_prewarm, {"dry_run", "reasons", "max_keys"}},
        [OP_SCHEDULE_ADD] = {0,
                             read_schedule_add,
                             {"name", "rrule", "start", "tz", "calendar", "patterns", "lead_s",
                              "max_keys", "dry_run"}},
        [OP_SCHEDULE_LIST] = {0, read_schedule_list, {"learned"}},
        [OP_SCHEDULE_REMOVE] = {1, read_named, {NULL}},
        [OP_SCHEDULE_NEXT] = {0, read_schedule_next, {"name", "steps"}},
        [OP_SCHEDULE_REPORT] = {0, read_schedule_report, {"name", "max"}},
        [OP_PURGE] = {1, read_purge, {"what"}},
        [OP_PAUSE] = {0, read_pause, {"what", "for_s"}},
        [OP_RESUME] = {0, read_pause, {"what"}},
        [OP_STATS] = {0, read_nothing, {NULL}},
        [OP_HEALTH] = {0, read_nothing, {NULL}},
        [OP_EXPORT] = {0, read_export, {"offset", "max"}},
        [OP_IMPORT] = {1, read_import, {NULL}},
};

static int unknown_op(struct bytes name, struct proto_error *reterr)
{
	struct near near = near_to(name);
	char quoted[TEXT_QUOTED_BYTES];
	unsigned op;

	for (op = 0; op < OPS; op++)
		near_offer(&near, op_name((enum op)op));
	proto_fail(reterr, 0, "op: there is no %s%s%s%s", text_quoted(name, quoted),
	           near.name ? ": did you mean " : "", near.name ? near.name : "",
	           near.name ? "?" : "");
	return STATUS_UNKNOWN_OP;
}

static enum op find_op(struct bytes name)
{
	unsigned op;

	for (op = 0; op < OPS; op++)
		if (bytes_equal(name, bytes_str(op_name((enum op)op))))
			break;
	return (enum op)op;
}

/* Arguments, then a map of options or nothing. */
static int read_operation(struct reading *x, const struct rule *rule)
{
	const struct msgpack_object *last;

	if (x->args.left < rule->args || x->args.left > rule->args + 1)
		return proto_fail(x->err, -EBADMSG,
		                  "takes %u arguments and a map of options, got %zu values",
		                  rule->args, x->args.left);
	last = cursor_at(&x->args, rule->args);
	if (!value_is_nil(last)) {
		int rc = value_map(last, "options", &x->options, x->err);

		rc = rc ? rc : map_only(&x->options, "options", rule->options, x->err);
		if (rc)
			return rc;
	}
	return rule->read(x);
}

int request_read(struct request *ret, struct message *m, struct bytes frame,
                 const struct proto_limits *limits, struct proto_error *reterr)
{
	struct reading x = {.r = ret, .limits = limits, .err = reterr};
	struct bytes name;
	int rc;

	request_reset(ret);
	rc = message_read(m, frame, limits, reterr);
	if (rc)
		return rc == -ENOMEM ? STATUS_BUSY : STATUS_BAD_REQUEST;
	if (value_array(m->root, "request", 1, SIZE_MAX, &x.args, reterr))
		return STATUS_BAD_REQUEST;
	if (value_uint(cursor_next(&x.args), "id", UINT64_MAX, &ret->id, reterr))
		return STATUS_BAD_REQUEST;
	ret->has_id = true;
	if (value_bytes(cursor_next(&x.args), "op", 1, 64, &name, reterr))
		return STATUS_BAD_REQUEST;
	ret->op = find_op(name);
	if (ret->op == OPS)
		return unknown_op(name, reterr);
	rc = read_operation(&x, &rules[ret->op]);
	if (!rc)
		return STATUS_OK;
	proto_within(reterr, rc, "%s: ", op_name(ret->op));
	return rc == -EMSGSIZE ? STATUS_TOO_BIG : STATUS_BAD_REQUEST;
}

/* -- Writing -------------------------------------------------------------------------------- */

/*
 * Options are written twice: once into a writer without room, to count them, since a map's length
 * stands before it.
 */
struct options {
	struct pack *w; /* NULL: only count */
	uint32_t n;
};

static bool put(struct options *o, const char *name)
{
	o->n++;
	if (o->w)
		pack_text(o->w, name);
	return o->w;
}

static void put_name(struct options *o, const char *name, struct bytes b)
{
	if (b.n && put(o, name))
		pack_key(o->w, b);
}

static void put_span(struct options *o, const char *name, struct span d)
{
	if (d.us && put(o, name))
		pack_span(o->w, d);
}

static void put_uint(struct options *o, const char *name, uint64_t u, uint64_t otherwise)
{
	if (u != otherwise && put(o, name))
		pack_uint(o->w, u);
}

static void put_load(struct options *o, struct span load)
{
	if (load.us && put(o, "load_ms"))
		pack_num(o->w, (double)load.us * 1e-3);
}

static void put_instant(struct options *o, const char *name, struct instant t)
{
	if (instant_is_set(t) && put(o, name))
		pack_instant(o->w, t);
}

static void put_set(struct options *o, const struct request *r)
{
	put_name(o, "endpoint", r->endpoint);
	put_span(o, "ttl_s", r->set.ttl);
	put_load(o, r->set.load);
	put_instant(o, "read_s", r->set.read);
}

static void put_schedule(struct options *o, const struct request *r)
{
	size_t i;

	put_name(o, "name", r->key);
	put_name(o, "rrule", r->schedule.rrule);
	put_name(o, "tz", r->schedule.tz);
	put_name(o, "calendar", r->schedule.calendar);
	put_instant(o, "start", r->schedule.start);
	if (!instant_is_set(r->schedule.start))
		put_name(o, "start", r->schedule.start_local);
	put_span(o, "lead_s", r->schedule.lead);
	put_uint(o, "max_keys", r->schedule.max_keys, 0);
	if (r->schedule.dry_run && put(o, "dry_run"))
		pack_bool(o->w, true);
	if (r->schedule.n_patterns && put(o, "patterns")) {
		pack_array(o->w, (uint32_t)r->schedule.n_patterns);
		for (i = 0; i < r->schedule.n_patterns; i++)
			pack_key(o->w, r->schedule.pattern[i]);
	}
}

static void put_pause(struct options *o, const struct request *r)
{
	unsigned i;

	for (i = 1; i < 3; i++)
		if (r->pause.what == pause_bits[i] && put(o, "what"))
			pack_text(o->w, pause_words[i]);
	if (r->op == OP_PAUSE)
		put_span(o, "for_s", r->pause.for_);
}

static void put_options(struct options *o, const struct request *r)
{
	switch (r->op) {
	case OP_HELLO:
		put_name(o, "client", r->hello.client);
		return;
	case OP_GET:
	case OP_MGET:
		put_name(o, "endpoint", r->endpoint);
		if (r->get.mode != MODE_LOAD && put(o, "mode"))
			pack_text(o->w, mode_words[r->get.mode]);
		return;
	case OP_SET:
		put_set(o, r);
		put_uint(o, "lease", r->set.lease, 0);
		put_uint(o, "version", r->set.version, 0);
		return;
	case OP_MSET:
		put_set(o, r);
		return;
	case OP_CHANGED:
		put_name(o, "endpoint", r->endpoint);
		put_uint(o, "version", r->changed.version, 0);
		return;
	case OP_LEASE:
		put_name(o, "endpoint", r->endpoint);
		put_uint(o, "failed", r->get.failed, 0);
		return;
	case OP_TTL:
		put_name(o, "endpoint", r->endpoint);
		return;
	case OP_TTLS:
		put_name(o, "endpoint", r->endpoint);
		put_uint(o, "max", r->list.max, DEFAULT_TTLS_ROWS);
		return;
	case OP_HISTORY:
		put_uint(o, "max", r->list.max, DEFAULT_TTLS_ROWS);
		return;
	case OP_ENDPOINTS:
		put_uint(o, "max", r->list.max, DEFAULT_ROWS);
		return;
	case OP_FORECAST:
		if (r->ahead.step.us != DEFAULT_FORECAST_STEP.us)
			put_span(o, "step_s", r->ahead.step);
		put_uint(o, "steps", r->ahead.steps, DEFAULT_FORECAST_STEPS);
		return;
	case OP_PREWARM:
		if (r->prewarm.dry_run && put(o, "dry_run"))
			pack_bool(o->w, true);
		if (r->prewarm.reasons && put(o, "reasons"))
			pack_bool(o->w, true);
		put_uint(o, "max_keys", r->prewarm.max_keys, 0);
		return;
	case OP_SCHEDULE_ADD:
		put_schedule(o, r);
		return;
	case OP_SCHEDULE_LIST:
		if (r->schedule.learned && put(o, "learned"))
			pack_bool(o->w, true);
		return;
	case OP_SCHEDULE_NEXT:
		put_name(o, "name", r->key);
		put_uint(o, "steps", r->ahead.steps, DEFAULT_NEXT_STEPS);
		return;
	case OP_SCHEDULE_REPORT:
		put_name(o, "name", r->key);
		put_uint(o, "max", r->list.max, DEFAULT_ROWS);
		return;
	case OP_PURGE:
		if (r->purge.what != PURGE_ONE_KEY && put(o, "what"))
			pack_text(o->w, purge_words[r->purge.what]);
		return;
	case OP_PAUSE:
	case OP_RESUME:
		put_pause(o, r);
		return;
	case OP_EXPORT:
		put_uint(o, "offset", r->list.offset, 0);
		put_uint(o, "max", r->list.max, DEFAULT_ROWS);
		return;
	default:
		return;
	}
}

static void write_args(struct pack *w, const struct request *r)
{
	size_t i;

	switch (r->op) {
	case OP_MGET:
		pack_array(w, (uint32_t)r->pair.n);
		for (i = 0; i < r->pair.n; i++)
			pack_key(w, r->pair.v[i].key);
		return;
	case OP_SET:
		pack_key(w, r->key);
		pack_bin(w, r->set.value);
		return;
	case OP_MSET:
		pack_array(w, (uint32_t)r->pair.n);
		for (i = 0; i < r->pair.n; i++) {
			pack_array(w, 2);
			pack_key(w, r->pair.v[i].key);
			pack_bin(w, r->pair.v[i].value);
		}
		return;
	case OP_EVENT:
		events_write_rows(w, r->events.list.v, r->events.list.n);
		return;
	case OP_FORECAST:
	case OP_HISTORY:
		pack_key(w, r->endpoint);
		return;
	case OP_IMPORT:
		pack_array(w, (uint32_t)r->record.n);
		for (i = 0; i < r->record.n; i++)
			record_write(w, &r->record.v[i]);
		return;
	default:
		if (rules[r->op].args)
			pack_key(w, r->key);
		return;
	}
}

void request_write(struct pack *w, const struct request *r)
{
	struct options o = {NULL, 0};

	put_options(&o, r);
	pack_array(w, 2 + rules[r->op].args + (o.n > 0));
	pack_uint(w, r->id);
	pack_text(w, op_name(r->op));
	write_args(w, r);
	if (o.n == 0)
		return;
	pack_map(w, o.n);
	o.w = w;
	put_options(&o, r);
}

void record_write(struct pack *w, const struct record_row *r)
{
	size_t i, k;

	pack_map(w, r->endpoint.n ? 4 : 3);
	pack_text(w, "kind");
	pack_str(w, r->kind);
	pack_text(w, "name");
	pack_key(w, r->name);
	if (r->endpoint.n) {
		pack_text(w, "endpoint");
		pack_key(w, r->endpoint);
	}
	pack_text(w, "fields");
	pack_map(w, (uint32_t)r->n_fields);
	for (i = 0; i < r->n_fields; i++) {
		pack_str(w, r->field[i].name);
		pack_array(w, (uint32_t)r->field[i].n);
		for (k = 0; k < r->field[i].n; k++)
			pack_num(w, r->field[i].v[k]);
	}
}
