/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a client needs of a daemon, without one: a segment with values behind the link that clients
 * look for, a heartbeat, and someone who takes the access events, so that what is measured at the
 * client is the client.
 */
#ifndef FORECACHED_BENCH_HOST_H
#define FORECACHED_BENCH_HOST_H

#include "proto/event.h"
#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>

/* Called in the host's thread for each message of events. */
typedef void host_events_fn(void *arg, const struct event *list, size_t n);

struct host {
	char segment[160], link[96];
	uint64_t bytes;
	void *mem, *ctx, *pull;
	struct store *store;
	pthread_t thread;
	pthread_mutex_t lock; /* of the store, between heartbeats and who puts values */
	atomic_bool stop;
	atomic_ullong events; /* that arrived, repeats counted */
	host_events_fn *fn;   /* may be NULL */
	void *arg;
};

/* Engine time, which is the wall clock here. */
struct instant host_now(void);

/* A segment of so many bytes, in directory dir (NULL: /dev/shm). */
void host_start(struct host *h, const char *dir, uint64_t bytes, host_events_fn *fn, void *arg);
void host_stop(struct host *h);

/* Puts a value that stays fresh for hours; or what it was packed into (store/packed.h). */
void host_put(struct host *h, struct bytes key, struct bytes value, uint64_t version);
void host_put_packed(struct host *h, struct bytes key, struct bytes frame, uint64_t version);

#endif
