/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The option tables as data: one row per number, whichever X-macro table it comes from, so that the
 * parser, --show-config and the manual walk them alike.
 */
#ifndef FORECACHED_DAEMON_OPTION_H
#define FORECACHED_DAEMON_OPTION_H

#include <stdbool.h>
#include <stddef.h>

struct config;

struct option {
	const char *name;
	size_t offset; /* of the double in the table's struct */
	double def, lo, hi;
	const char *unit;
	bool reload;
	const char *help;
};

struct option_text {
	const char *name;
	size_t offset;            /* of the char * in struct config */
	const char *def, *values; /* "": any text */
	bool reload;
	const char *help;
};

struct option_table {
	const struct option *row;
	size_t n;
};

extern const struct option_table option_daemon;   /* struct config */
extern const struct option_table option_limits;   /* struct engine_limits */
extern const struct option_table option_messages; /* struct proto_limits */
extern const struct option_table option_learned;  /* struct state_db_config */
extern const struct option_table option_policy;   /* struct policy */
extern const struct option_table option_origin;   /* struct origin_policy */
extern const struct option_table option_http;     /* the http part of struct config_origin */

extern const struct option_text option_text[];
extern const size_t option_n_text;

/* The row of that name, or NULL. */
const struct option *option_find(const struct option_table *t, const char *name);

double option_get(const struct option *o, const void *of);
void option_set(const struct option *o, void *of, double v);

/* The text of that row in a configuration. */
char **option_text_field(struct config *c, const struct option_text *o);

/* Every row's default into the struct. */
void option_defaults(const struct option_table *t, void *of);

/* "3600 (1h)", "268435456 (256MiB)", "0.01": a value as it is shown. */
void option_format(const struct option *o, double v, char *buf, size_t cap);

#endif
