/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/option.h"

#include "daemon/config.h"

#include <stdio.h>
#include <string.h>

/* Tables with a column for what a reload may change, and those where all of it may. */
#define X(name, def, lo, hi, unit, reload, help)                                                   \
	{#name, offsetof(struct config, name), def, lo, hi, unit, reload, help},
static const struct option daemon_rows[] = {DAEMON_TABLE(X)};
#undef X

#define ROWS(var, type, table)                                                                     \
	static const struct option var##_rows[] = {table(X)};                                      \
	const struct option_table option_##var = {var##_rows,                                      \
	                                          sizeof(var##_rows) / sizeof(*var##_rows)}

const struct option_table option_daemon = {daemon_rows, sizeof(daemon_rows) / sizeof(*daemon_rows)};

/* How long a key and a value may be holds for messages, too, whose buffers are made for that. */
#define X(name, def, lo, hi, unit, help)                                                           \
	{#name, offsetof(struct engine_limits, name), def, lo, hi, unit, true, help},
#define FIXED(name, def, lo, hi, unit, help)                                                       \
	{#name, offsetof(struct engine_limits, name), def, lo, hi, unit, false, help},
#define TABLE(X) LIMIT_OWN_TABLE(X) BYTES_LIMIT_TABLE(FIXED)
ROWS(limits, struct engine_limits, TABLE);
#undef TABLE
#undef FIXED
#undef X

#define X(name, def, lo, hi, unit, help)                                                           \
	{#name, offsetof(struct proto_limits, name), def, lo, hi, unit, false, help},
ROWS(messages, struct proto_limits, PROTO_OWN_TABLE);
#undef X

#define X(name, def, lo, hi, unit, help)                                                           \
	{#name, offsetof(struct state_db_config, name), def, lo, hi, unit, false, help},
ROWS(learned, struct state_db_config, STATE_DB_TABLE);
#undef X

#define X(name, def, lo, hi, unit, help)                                                           \
	{#name, offsetof(struct policy, name), def, lo, hi, unit, true, help},
ROWS(policy, struct policy, POLICY_TABLE);
#undef X

#define X(name, def, lo, hi, unit, help)                                                           \
	{#name, offsetof(struct origin_policy, name), def, lo, hi, unit, true, help},
ROWS(origin, struct origin_policy, ORIGIN_TABLE);
#undef X

#define X(name, def, lo, hi, unit, help)                                                           \
	{#name, offsetof(struct config_origin, http.name) - offsetof(struct config_origin, http),  \
	 def,   lo,                                                                                \
	 hi,    unit,                                                                              \
	 true,  help},
ROWS(http, struct config_origin, HTTP_ORIGIN_TABLE);
#undef X

#define X(name, def, values, reload, help)                                                         \
	{#name, offsetof(struct config, name), def, values, reload, help},
const struct option_text option_text[] = {DAEMON_TEXT_TABLE(X)};
#undef X
const size_t option_n_text = sizeof(option_text) / sizeof(*option_text);

const struct option *option_find(const struct option_table *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (!strcmp(t->row[i].name, name))
			return &t->row[i];
	return NULL;
}

double option_get(const struct option *o, const void *of)
{
	return *(const double *)((const char *)of + o->offset);
}

void option_set(const struct option *o, void *of, double v)
{
	*(double *)((char *)of + o->offset) = v;
}

char **option_text_field(struct config *c, const struct option_text *o)
{
	return (char **)((char *)c + o->offset);
}

void option_defaults(const struct option_table *t, void *of)
{
	for (size_t i = 0; i < t->n; i++)
		option_set(&t->row[i], of, t->row[i].def);
}

void option_format(const struct option *o, double v, char *buf, size_t cap)
{
	static const struct {
		const char *unit, *suffix;
		double factor;
	} nice[] = {
	        {"bytes", "GiB", 1073741824.0},
	        {"bytes", "MiB", 1048576},
	        {"bytes", "KiB", 1024},
	        {"s", "d", 86400},
	        {"s", "h", 3600},
	        {"s", "min", 60},
	};

	for (size_t i = 0; i < sizeof(nice) / sizeof(*nice); i++)
		if (!strcmp(o->unit, nice[i].unit) && v >= nice[i].factor) {
			snprintf(buf, cap, "%.15g (%.4g%s)", v, v / nice[i].factor, nice[i].suffix);
			return;
		}
	snprintf(buf, cap, "%.15g", v);
}
