/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Templates of keys: "/quotes/<symbol>". Segments are cut by '/'; `<name>` stands for any one
 * segment that is not empty, a `*` at the end for any rest, all else for itself; "*" alone matches
 * everything.
 */
#ifndef FORECACHED_DAEMON_PATTERN_H
#define FORECACHED_DAEMON_PATTERN_H

#include "base/bytes.h"

#include <stdbool.h>

/* False with *ret_why, a static text, when it cannot be a template. */
bool pattern_is_valid(const char *pattern, const char **ret_why);

/* A `<name>` of the pattern also matches a `<...>` of an endpoint's own name. */
bool pattern_matches(const char *pattern, struct bytes key);

#endif
