/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Loader workers: functions of apps that read an origin when asked (proto/loader.h). Keeps who
 * serves which endpoint, hands each job to the worker with the most room, and sees to it that every
 * job ends once, whatever its worker does.
 *
 * HOW IT WORKS a job that finds no room waits in its endpoint's queue. A worker that says nothing
 * for three beats, or "bye", is gone: its jobs go to another worker, at most loader_retries times,
 * or fail. A job that is not answered by its deadline fails. An answer to a job that is not open,
 * or that another worker was given, changes nothing and is told to its sender, counted and logged.
 */
#ifndef FORECACHED_DAEMON_LOADERS_H
#define FORECACHED_DAEMON_LOADERS_H

#include "daemon/wire.h"
#include "engine/engine.h"

#include <stddef.h>

struct daemon;
struct loaders;

struct loaders *loaders_new(struct daemon *d);
void loaders_free(struct loaders **l);

/* What a worker said. True: the item is kept, and freed later; else it stays the caller's. */
bool loaders_take(struct loaders *l, struct wire_item *i);

/* Carries out an EFFECT_LOAD of an endpoint that has workers. */
void loaders_load(struct loaders *l, const struct effect *load);

/* Workers registered, and jobs that are open. */
size_t loaders_count(const struct loaders *l, size_t *ret_jobs);

#endif
