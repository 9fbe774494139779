/* SPDX-License-Identifier: MIT */
#include "proto/event.h"

#include "proto/object.h"

#include <errno.h>
#include <string.h>

#define MAX_LOAD_MS    86400000.0
#define MAX_BYTES_TOLD ((uint64_t)1 << 53) /* what a double holds exactly */

const char *event_outcome_name(enum event_outcome o)
{
	static const char *const names[] = {
#define X(name, number, text) [number] = text,
	        EVENT_OUTCOME_TABLE(X)
#undef X
	};

	return (unsigned)o < EVENT_OUTCOMES ? names[o] : "unknown";
}

void events_init(struct events *e)
{
	memset(e, 0, sizeof(*e));
}

void events_release(struct events *e)
{
	vec_free(&e->list);
	events_init(e);
}

/* -- One event ------------------------------------------------------------------------------ */

static int read_outcome(const struct msgpack_object *v, enum event_outcome *ret,
                        struct proto_error *reterr)
{
	struct bytes name;
	unsigned o;

	if (!value_bytes(v, "outcome", 1, 16, &name, NULL))
		for (o = 0; o < EVENT_OUTCOMES; o++)
			if (bytes_equal(name, bytes_str(event_outcome_name(o)))) {
				*ret = o;
				return 0;
			}
	return proto_fail(reterr, -EBADMSG, "outcome: must be hit, grace, miss, set or changed");
}

/* The values of one event, wherever they stood. NULL or nil: left out. */
struct parts {
	const struct msgpack_object *time_s, *key, *bytes, *load_ms, *version, *count;
};

/* All fields but endpoint and outcome, which the two forms write differently. */
static int read_parts(const struct parts *p, const struct proto_limits *limits, struct event *ret,
                      struct proto_error *reterr)
{
	double load_ms;
	uint64_t count;
	int rc;

	ret->at = INSTANT_NONE;
	ret->count = 1;
	rc = object_is_nil(p->time_s) ? 0 : value_instant(p->time_s, "time_s", &ret->at, reterr);
	if (rc)
		return rc;
	rc = value_bytes(p->key, "key", 1, (size_t)limits->max_key_bytes, &ret->key, reterr);
	if (rc)
		return rc;
	if (!object_is_nil(p->bytes)) {
		rc = value_uint(p->bytes, "bytes", MAX_BYTES_TOLD, &ret->value_bytes, reterr);
		if (rc)
			return rc;
	}
	if (!object_is_nil(p->load_ms)) {
		rc = value_num(p->load_ms, "load_ms", 0, MAX_LOAD_MS, &load_ms, reterr);
		if (rc)
			return rc;
		ret->load = span_from_s(load_ms * 1e-3);
	}
	if (!object_is_nil(p->count)) {
		rc = value_uint(p->count, "count", EVENT_MAX_COUNT, &count, reterr);
		if (rc)
			return rc;
		if (count == 0)
			return proto_fail(reterr, -EBADMSG,
			                  "count: must be a whole number from 1 to %u",
			                  EVENT_MAX_COUNT);
		ret->count = (uint32_t)count;
	}
	return value_version(p->version, "version", &ret->version, reterr);
}

static int read_endpoint(const struct msgpack_object *v, const struct proto_limits *limits,
                         struct bytes *ret, struct proto_error *reterr)
{
	if (object_is_nil(v))
		return 0;
	return value_bytes(v, "endpoint", 0, (size_t)limits->max_endpoint_bytes, ret, reterr);
}

static void refuse(struct events *e, size_t index, const struct proto_error *why)
{
	if (e->refused < EVENTS_MAX_SAID) {
		e->said[e->refused].index = index;
		e->said[e->refused].why = *why;
	}
	e->refused++;
}

/* -- Rows ----------------------------------------------------------------------------------- */

/* A later version may add fields at the end; 16 are more than it will ever need. */
#define MAX_ROW_FIELDS 16

static int read_row(const struct msgpack_object *v, const struct proto_limits *limits,
                    struct event *ret, struct proto_error *reterr)
{
	const struct msgpack_object *endpoint, *outcome;
	struct parts p;
	struct cursor c;
	int rc;

	rc = value_array(v, "event", 4, MAX_ROW_FIELDS, &c, reterr);
	if (rc)
		return rc;
	p.time_s = object_next(&c);
	endpoint = object_next(&c);
	p.key = object_next(&c);
	outcome = object_next(&c);
	p.bytes = object_next(&c);
	p.load_ms = object_next(&c);
	p.version = object_next(&c);
	p.count = object_next(&c);
	rc = read_endpoint(endpoint, limits, &ret->endpoint, reterr);
	rc = rc ? rc : read_outcome(outcome, &ret->outcome, reterr);
	return rc ? rc : read_parts(&p, limits, ret, reterr);
}

static int read_rows(struct events *e, const struct msgpack_object *v,
                     const struct proto_limits *limits, struct proto_error *reterr)
{
	struct cursor c;
	size_t i, n;
	int rc = value_array(v, "events", 0, (size_t)limits->max_events, &c, reterr);

	if (rc)
		return rc;
	n = c.left;
	vec_reserve(&e->list, n);
	for (i = 0; i < n; i++) {
		struct event x = {0};
		struct proto_error why;

		rc = read_row(object_next(&c), limits, &x, &why);
		if (rc) {
			proto_within(&why, 0, "events[%zu].", i);
			refuse(e, i, &why);
		} else {
			*vec_push(&e->list) = x;
		}
	}
	return 0;
}

/* -- Columns -------------------------------------------------------------------------------- */

/* A column has one value per event, or is not there: then every cursor_next gives NULL. */
static int read_column(const struct map *m, const char *name, size_t n, struct cursor *ret,
                       struct proto_error *reterr)
{
	const struct msgpack_object *v = map_find(m, name);

	*ret = (struct cursor){0};
	if (object_is_nil(v))
		return 0;
	if (value_array(v, name, n, n, ret, reterr))
		return proto_fail(reterr, -EBADMSG,
		                  "events.%s: must have one value for each key, %zu", name, n);
	return 0;
}

struct columns {
	struct cursor endpoints; /* that `endpoint` has the numbers of */
	struct cursor key, endpoint, outcome, time_s, count, bytes, load_ms, version;
};

/* All but the values within. */
static int read_heads(struct columns *c, const struct map *m, const struct proto_limits *limits,
                      struct proto_error *reterr)
{
	size_t most = (size_t)limits->max_events, n;
	int rc = value_array(map_find(m, "key"), "events.key", 0, most, &c->key, reterr);

	if (!rc && map_find(m, "endpoints"))
		rc = value_array(map_find(m, "endpoints"), "events.endpoints", 0, most,
		                 &c->endpoints, reterr);
	if (rc)
		return rc;
	n = c->key.left;
	rc = read_column(m, "endpoint", n, &c->endpoint, reterr);
	rc = rc ? rc : read_column(m, "outcome", n, &c->outcome, reterr);
	rc = rc ? rc : read_column(m, "time_s", n, &c->time_s, reterr);
	rc = rc ? rc : read_column(m, "count", n, &c->count, reterr);
	rc = rc ? rc : read_column(m, "bytes", n, &c->bytes, reterr);
	rc = rc ? rc : read_column(m, "load_ms", n, &c->load_ms, reterr);
	return rc ? rc : read_column(m, "version", n, &c->version, reterr);
}

/* The endpoint of that number; none for nil. */
static int read_endpoint_number(const struct columns *c, const struct msgpack_object *number,
                                const struct proto_limits *limits, struct bytes *ret,
                                struct proto_error *reterr)
{
	uint64_t u;
	int rc;

	if (object_is_nil(number))
		return 0;
	rc = value_uint(number, "endpoint", UINT32_MAX, &u, reterr);
	if (rc)
		return rc;
	if (u >= c->endpoints.left)
		return proto_fail(reterr, -EBADMSG,
		                  "endpoint: is not below %zu, the endpoints told",
		                  c->endpoints.left);
	return read_endpoint(cursor_at(&c->endpoints, u), limits, ret, reterr);
}

/* The next event of each column. */
static int read_across(struct columns *c, const struct proto_limits *limits, struct event *ret,
                       struct proto_error *reterr)
{
	const struct msgpack_object *endpoint = object_next(&c->endpoint);
	struct parts p = {object_next(&c->time_s),  object_next(&c->key),
	                  object_next(&c->bytes),   object_next(&c->load_ms),
	                  object_next(&c->version), object_next(&c->count)};
	uint64_t outcome;
	int rc = value_uint(object_next(&c->outcome), "outcome", EVENT_OUTCOMES - 1, &outcome,
	                    reterr);

	if (rc)
		return rc;
	ret->outcome = (enum event_outcome)outcome;
	rc = read_endpoint_number(c, endpoint, limits, &ret->endpoint, reterr);
	return rc ? rc : read_parts(&p, limits, ret, reterr);
}

static int read_columns(struct events *e, const struct msgpack_object *v,
                        const struct proto_limits *limits, struct proto_error *reterr)
{
	static const char *const names[] = {"endpoints", "endpoint", "key",     "outcome", "time_s",
	                                    "count",     "bytes",    "load_ms", "version", NULL};
	struct columns c = {0};
	struct map m;
	size_t i, n;
	int rc;

	rc = value_map(v, "events", &m, reterr);
	rc = rc ? rc : map_only(&m, "events", names, reterr);
	rc = rc ? rc : read_heads(&c, &m, limits, reterr);
	if (rc)
		return rc;
	n = c.key.left;
	vec_reserve(&e->list, n);
	for (i = 0; i < n; i++) {
		struct event x = {0};
		struct proto_error why;

		if (read_across(&c, limits, &x, &why)) {
			proto_within(&why, 0, "events[%zu].", i);
			refuse(e, i, &why);
		} else {
			*vec_push(&e->list) = x;
		}
	}
	return 0;
}

int events_read_value(struct events *e, const struct msgpack_object *v,
                      const struct proto_limits *limits, struct proto_error *reterr)
{
	e->list.n = 0;
	e->refused = 0;
	if (value_kind(v) == VALUE_MAP)
		return read_columns(e, v, limits, reterr);
	return read_rows(e, v, limits, reterr);
}

int events_read(struct events *e, struct message *m, struct bytes frame,
                const struct proto_limits *limits, struct proto_error *reterr)
{
	int rc = message_read(m, frame, limits, reterr);

	if (!rc)
		return events_read_value(e, m->root, limits, reterr);
	e->list.n = 0;
	e->refused = 0;
	return rc;
}

/* -- Writing -------------------------------------------------------------------------------- */

/* How many fields of a row have something to say. */
static uint32_t row_fields(const struct event *x)
{
	return x->count > 1 ? 8 : x->version ? 7 : x->load.us ? 6 : x->value_bytes ? 5 : 4;
}

static void write_version(struct pack *w, uint64_t version)
{
	if (version)
		pack_uint(w, version);
	else
		pack_nil(w);
}

static void write_load_ms(struct pack *w, struct span load)
{
	if (load.us)
		pack_num(w, (double)load.us * 1e-3);
	else
		pack_nil(w);
}

void events_write_rows(struct pack *w, const struct event *list, size_t n)
{
	size_t i;

	pack_array(w, (uint32_t)n);
	for (i = 0; i < n; i++) {
		const struct event *x = &list[i];
		uint32_t fields = row_fields(x);

		pack_array(w, fields);
		pack_instant(w, x->at);
		if (x->endpoint.n)
			pack_key(w, x->endpoint);
		else
			pack_nil(w);
		pack_key(w, x->key);
		pack_text(w, event_outcome_name(x->outcome));
		if (fields > 4)
			pack_uint(w, x->value_bytes);
		if (fields > 5)
			write_load_ms(w, x->load);
		if (fields > 6)
			write_version(w, x->version);
		if (fields > 7)
			pack_uint(w, x->count);
	}
}

/*
 * Endpoints come in runs and there are few of them: the number of one is looked up among those that
 * were told before, newest first.
 */
static size_t endpoint_number(const struct bytes *told, size_t n_told, struct bytes endpoint)
{
	size_t i;

	for (i = n_told; i-- > 0;)
		if (bytes_equal(told[i], endpoint))
			return i;
	return n_told;
}

void events_write_columns(struct pack *w, const struct event *list, size_t n)
{
	enum { AT = 1, COUNT = 2, BYTES = 4, LOAD = 8, VERSION = 16, ENDPOINT = 32 };
	struct bytes *told = calloc(n + 1, sizeof(*told));
	uint32_t *number = calloc(n + 1, sizeof(*number));
	unsigned have = 0;
	size_t i, n_told = 0;

	if (!told || !number) {
		w->status = w->status ? w->status : -ENOMEM;
		goto out;
	}
	for (i = 0; i < n; i++) {
		const struct event *x = &list[i];

		have |= instant_is_set(x->at) ? AT : 0;
		have |= x->count > 1 ? COUNT : 0;
		have |= x->value_bytes ? BYTES : 0;
		have |= x->load.us ? LOAD : 0;
		have |= x->version ? VERSION : 0;
		if (!x->endpoint.n)
			continue;
		have |= ENDPOINT;
		number[i] = (uint32_t)endpoint_number(told, n_told, x->endpoint);
		if (number[i] == n_told)
			told[n_told++] = x->endpoint;
	}
	pack_map(w, 2 + (have & ENDPOINT ? 2 : 0) + !!(have & AT) + !!(have & COUNT) +
	                    !!(have & BYTES) + !!(have & LOAD) + !!(have & VERSION));
	if (have & ENDPOINT) {
		pack_text(w, "endpoints");
		pack_array(w, (uint32_t)n_told);
		for (i = 0; i < n_told; i++)
			pack_key(w, told[i]);
		pack_text(w, "endpoint");
		pack_array(w, (uint32_t)n);
		for (i = 0; i < n; i++) {
			if (list[i].endpoint.n)
				pack_uint(w, number[i]);
			else
				pack_nil(w);
		}
	}
#define COLUMN(name, bit, write)                                                                   \
	if (!(bit) || have & (bit)) {                                                              \
		pack_text(w, name);                                                                \
		pack_array(w, (uint32_t)n);                                                        \
		for (i = 0; i < n; i++)                                                            \
			write;                                                                     \
	}
	COLUMN("key", 0, pack_key(w, list[i].key))
	COLUMN("outcome", 0, pack_uint(w, list[i].outcome))
	COLUMN("time_s", AT, pack_instant(w, list[i].at))
	COLUMN("count", COUNT, pack_uint(w, list[i].count))
	COLUMN("bytes", BYTES, pack_uint(w, list[i].value_bytes))
	COLUMN("load_ms", LOAD, write_load_ms(w, list[i].load))
	COLUMN("version", VERSION, write_version(w, list[i].version))
#undef COLUMN
out:
	free(told);
	free(number);
}
