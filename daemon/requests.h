/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What came over the wire, to the engine and back: get, set and the other operations on keys become
 * inputs whose answer is a reply; questions are answered by query.h; what loaders say goes to
 * loaders.h.
 *
 * HOW IT WORKS a call stands for a request until all its keys are answered: one, or those of mget
 * and mset.
 */
#ifndef FORECACHED_DAEMON_REQUESTS_H
#define FORECACHED_DAEMON_REQUESTS_H

#include "daemon/wire.h"

struct daemon;

/* Takes the item over. */
void requests_take(struct daemon *d, struct wire_item *i);

#endif
