/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * From a key to the endpoint it belongs to: `/users/42/orders?page=2` -> `/users/<id>/orders?page`.
 *
 * Matching a rule: a pattern is path segments; `<name>` stands for any one segment that is not
 * empty, `*` at the end for any rest, anything else for itself. A query string is part of its
 * segment. Mining, for keys that no rule names: a segment that is a number, a UUID, a long
 * hexadecimal string, or at least half digits is an id; of a query string the sorted names of the
 * first 32 parameters remain.
 */
#ifndef FORECACHED_ANALYZER_TEMPLATE_H
#define FORECACHED_ANALYZER_TEMPLATE_H

#include "base/bytes.h"

#include <stdbool.h>

/* True when the key (or an endpoint's own name) matches the pattern. */
bool template_match(struct bytes pattern, struct bytes key);

/* Longest mined name, bytes; what is longer is cut off. */
#define TEMPLATE_MAX 256

/* Writes the mined endpoint of the key, NUL-terminated, into out; returns its length. */
size_t template_mine(struct bytes key, char out[TEMPLATE_MAX + 1]);

#endif
