/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where each value of a configuration came from, by its path: kept by the parser, shown by
 * --show-config, and asked on a reload, where the command line stands above the file.
 */
#ifndef FORECACHED_DAEMON_CONFIG_SOURCE_H
#define FORECACHED_DAEMON_CONFIG_SOURCE_H

#include "daemon/config.h"

#include <stddef.h>

struct config_sources *config_sources_new(void);
void config_sources_free(struct config_sources **s);

/* Copies both; a later note about a path replaces the earlier one. */
void config_source_note(struct config *c, const char *path, const char *from);

/* NULL: a default. */
const char *config_source_of(const struct config *c, const char *path);

/* "path.key", or "key" at the top, cut to fit. */
void config_path_join(char *buf, size_t cap, const char *path, const char *key);

/* What the configuration calls each enum ttl_mode, prewarm_mode and compression; NULL at the end. */
extern const char *const config_ttl_modes[], *const config_prewarm_modes[],
        *const config_compressions[];

#endif
