/* SPDX-License-Identifier: MIT */
#include "proto/row.h"

#include "base/bug.h"

#include <math.h>

#define FIELD(type, member) {#member, ROW_##type, offsetof(struct ROW_NAME, member)},
#define TABLE(row)                                                                                 \
	const struct row_table row = {                                                             \
	        row##_fields, sizeof(row##_fields) / sizeof(row##_fields[0]), sizeof(struct row)}

#define ROW_NAME row_ttl
static const struct row_field row_ttl_fields[] = {ROW_TTL_TABLE(FIELD)};
TABLE(row_ttl);
#undef ROW_NAME

#define ROW_NAME row_why
static const struct row_field row_why_fields[] = {ROW_WHY_TABLE(FIELD)};
TABLE(row_why);
#undef ROW_NAME

#define ROW_NAME row_forecast
static const struct row_field row_forecast_fields[] = {ROW_FORECAST_TABLE(FIELD)};
TABLE(row_forecast);
#undef ROW_NAME

#define ROW_NAME row_history
static const struct row_field row_history_fields[] = {ROW_HISTORY_TABLE(FIELD)};
TABLE(row_history);
#undef ROW_NAME

#define ROW_NAME row_advice
static const struct row_field row_advice_fields[] = {ROW_ADVICE_TABLE(FIELD)};
TABLE(row_advice);
#undef ROW_NAME

#define ROW_NAME row_hello
static const struct row_field row_hello_fields[] = {ROW_HELLO_TABLE(FIELD)};
TABLE(row_hello);
#undef ROW_NAME

#define ROW_NAME row_schedule
static const struct row_field row_schedule_fields[] = {ROW_SCHEDULE_TABLE(FIELD)};
TABLE(row_schedule);
#undef ROW_NAME

#define ROW_NAME row_learned
static const struct row_field row_learned_fields[] = {ROW_LEARNED_TABLE(FIELD)};
TABLE(row_learned);
#undef ROW_NAME

#define ROW_NAME row_due
static const struct row_field row_due_fields[] = {ROW_DUE_TABLE(FIELD)};
TABLE(row_due);
#undef ROW_NAME

#define ROW_NAME row_peak
static const struct row_field row_peak_fields[] = {ROW_PEAK_TABLE(FIELD)};
TABLE(row_peak);
#undef ROW_NAME

static const void *member(const void *row, const struct row_field *f)
{
	return (const char *)row + f->offset;
}

/* Empty keys are left out: "key" is not there at all in the row of an endpoint. */
static bool left_out(const struct row_field *f, const void *row)
{
	return f->type == ROW_KEY && ((const struct bytes *)member(row, f))->n == 0;
}

void row_write_field(struct pack *w, const struct row_field *f, const void *row)
{
	const void *p = member(row, f);

	pack_text(w, f->name);
	switch (f->type) {
	case ROW_KEY:
		pack_key(w, *(const struct bytes *)p);
		return;
	case ROW_TEXT:
		if (((const struct bytes *)p)->n)
			pack_key(w, *(const struct bytes *)p);
		else
			pack_nil(w);
		return;
	case ROW_NUM:
		pack_num(w, *(const double *)p);
		return;
	case ROW_UINT:
		pack_uint(w, *(const uint64_t *)p);
		return;
	case ROW_COUNT:
		if (*(const uint64_t *)p == ROW_UNCOUNTED)
			pack_nil(w);
		else
			pack_uint(w, *(const uint64_t *)p);
		return;
	case ROW_BOOL:
		pack_bool(w, *(const bool *)p);
		return;
	case ROW_EST:
		pack_estimate(w, *(const struct estimate *)p);
		return;
	case ROW_TIME:
		pack_instant(w, *(const struct instant *)p);
		return;
	}
	BUG_ON(1);
}

void row_write(struct pack *w, const struct row_table *t, const void *row)
{
	uint32_t n = 0;
	size_t i;

	for (i = 0; i < t->n; i++)
		n += !left_out(&t->field[i], row);
	pack_map(w, n);
	for (i = 0; i < t->n; i++)
		if (!left_out(&t->field[i], row))
			row_write_field(w, &t->field[i], row);
}

/* A number that may be anything finite, or missing. */
static int read_num(const struct msgpack_object *v, const char *field, double missing, double *ret,
                    struct proto_error *reterr)
{
	*ret = missing;
	return value_is_nil(v) ? 0 : value_num(v, field, -HUGE_VAL, HUGE_VAL, ret, reterr);
}

static int read_estimate(const struct msgpack_object *v, const char *field, struct estimate *ret,
                         struct proto_error *reterr)
{
	struct map m;
	int rc;

	*ret = (struct estimate){NAN, HUGE_VAL, 0};
	if (value_is_nil(v))
		return 0;
	rc = value_map(v, field, &m, reterr);
	if (rc)
		return rc;
	rc = read_num(map_find(&m, "mean"), "mean", NAN, &ret->mean, reterr);
	rc = rc ? rc : read_num(map_find(&m, "sd"), "sd", HUGE_VAL, &ret->sd, reterr);
	rc = rc ? rc : read_num(map_find(&m, "n"), "n", 0, &ret->n, reterr);
	return rc ? proto_within(reterr, rc, "%s.", field) : 0;
}

int row_read(const struct row_table *t, const struct msgpack_object *v, void *ret,
             struct proto_error *reterr)
{
	struct map m;
	size_t i;
	int rc = value_map(v, "row", &m, reterr);

	if (rc)
		return rc;
	memset(ret, 0, t->bytes);
	for (i = 0; i < t->n && !rc; i++) {
		const struct row_field *f = &t->field[i];
		const struct msgpack_object *x = map_find(&m, f->name);
		void *p = (char *)ret + f->offset;
		bool nil = value_is_nil(x);

		switch (f->type) {
		case ROW_KEY:
		case ROW_TEXT:
			rc = nil ? 0 : value_bytes(x, f->name, 0, UINT32_MAX, p, reterr);
			break;
		case ROW_NUM:
			rc = read_num(x, f->name, NAN, p, reterr);
			break;
		case ROW_UINT:
			rc = nil ? 0 : value_uint(x, f->name, UINT64_MAX, p, reterr);
			break;
		case ROW_COUNT:
			*(uint64_t *)p = ROW_UNCOUNTED;
			rc = nil ? 0 : value_uint(x, f->name, UINT64_MAX, p, reterr);
			break;
		case ROW_BOOL:
			rc = nil ? 0 : value_bool(x, f->name, p, reterr);
			break;
		case ROW_EST:
			rc = read_estimate(x, f->name, p, reterr);
			break;
		case ROW_TIME:
			*(struct instant *)p = INSTANT_NONE;
			rc = nil ? 0 : value_instant(x, f->name, p, reterr);
			break;
		}
	}
	return rc;
}
