/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Values of a configuration, read from JSON one by one: texts, numbers with units, names, objects, lists.
 * Each notes where it came from (config_source.h), and refuses what it is not with the path, the limits
 * and what to do. For config_parse.c and config.c.
 */
#ifndef FORECACHED_DAEMON_CONFIG_VALUE_H
#define FORECACHED_DAEMON_CONFIG_VALUE_H

#include "daemon/config.h"
#include "daemon/option.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

/* What one parse works on. */
struct config_reader {
	struct config *c;
	const char *file;
	struct config_error *err;
};

/* "an object", "a list", "a text", ... */
const char *config_kind_of(const cJSON *v);

/* Frees what the field held; value NULL: nothing any more. */
void config_set_text(char **field, const char *value);

/* All of these: 0, or -EINVAL with the reader's error. */

int config_read_text(struct config_reader *p, const cJSON *v, const char *path, char **ret);
int config_read_bool(struct config_reader *p, const cJSON *v, const char *path, bool *ret);

/* Within the limits of its row; `of` is the struct that the row is of. */
int config_read_number(struct config_reader *p, const cJSON *v, const char *path,
                       const struct option *o, void *of);

/* That it is an object without a key twice. Every key's path is `path.key`. */
int config_read_object(struct config_reader *p, const cJSON *v, const char *path);
int config_read_list(struct config_reader *p, const cJSON *v, const char *path);
int config_read_texts(struct config_reader *p, const cJSON *v, const char *path,
                      struct config_texts *ret);

/* Which of these names it is; -EINVAL: none, `wrong` says what it must be. */
int config_read_name(struct config_reader *p, const cJSON *v, const char *path,
                     const char *const name[], const char *wrong);

/*
 * Refuses a key, and suggests the one that may be meant. Names: further keys that are allowed here, ends
 * with NULL. Tables: ends with NULL. Texts: those of option_text are allowed, too.
 */
int config_unknown_key(struct config_reader *p, const char *path, const char *key,
                       const char *const *names, const struct option_table *const *tables,
                       bool texts);

#endif
