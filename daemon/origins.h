/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The HTTP origins of the configuration, by the engine's numbers. Those keep their meaning over
 * reloads: an origin that a reload leaves out keeps its number, and one that comes new gets the
 * next.
 */
#ifndef FORECACHED_DAEMON_ORIGINS_H
#define FORECACHED_DAEMON_ORIGINS_H

#include "daemon/http_origin.h"
#include "engine/engine.h"

#include <stddef.h>

struct daemon;
struct origins;

struct origins *origins_new(struct daemon *d);
void origins_free(struct origins **o);

/* Brings them in line with d->setup, which setup_check() has found good. What cannot be is logged.
 */
void origins_configure(struct origins *o);

/*
 * The number of the origin whose budget and timeout hold for loader workers of this endpoint;
 * ORIGIN_NONE when no rule names one: the engine gives a number of its own to that then, and this
 * counts with it.
 */
uint32_t origins_for_loader(struct origins *o, struct bytes endpoint);

/* Carries out an EFFECT_LOAD of an origin. */
void origins_load(struct origins *o, const struct effect *load);

/* One after the other, for statistics; false past the last. */
bool origins_stats(const struct origins *o, size_t i, const char **ret_name,
                   struct http_origin_stats *ret);

/* The same question as http_origin_noise, of whichever origin serves the endpoint. */
const char *origins_noise(const struct origins *o, struct bytes endpoint, unsigned *ret_alone,
                          unsigned *ret_compared);

#endif
