/* SPDX-License-Identifier: MIT */
/*
 * What a handle is made of, for the library's own files.
 *
 *	forecache.c	open, close, fork, options, words
 *	get.c		reads: segment, daemon, load functions
 *	call.c		the operations that are one request
 *	link.c		the library's thread: ZeroMQ, events, replies
 *	worker.c	loaders: the threads that run the app's functions for the daemon
 *	alone.c		one load per host while there is no daemon
 *	lane.c		what each thread has of a handle: counters, sampling
 *	segment.c, outbox.c, monitor.c
 */
#ifndef FORECACHED_CLIENT_FC_H
#define FORECACHED_CLIENT_FC_H

#include "client/forecache.h"
#include "client/lane.h"
#include "client/outbox.h"
#include "client/segment.h"
#include "proto/limits.h"
#include "proto/request.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct link;

/* Longest address of an ipc socket: sun_path without its NUL, as libzmq has it. */
#define FC_MAX_PATH 107

struct fc {
	struct fc_options opt; /* complete; opt.dir points to the next */
	char dir[FC_MAX_PATH + 1];
	struct proto_limits limits;
	struct lanes lanes;
	struct segment segment;
	struct outbox outbox;
	pthread_mutex_t lock;        /* starting the link */
	_Atomic(struct link *) link; /* NULL: not started, or the parent's */
	atomic_bool closing;
	int64_t silence_us;  /* opt.silence_s */
	atomic_uint flushes; /* how often the thread has looked for events to tell */

	/* fc_stats; what it says of gets is in the lanes */
	atomic_ullong requests, timeouts, events_sent, loads, load_errors;

	struct fc *next, *prev; /* all handles of the process, for fork */
};

/* CLOCK_BOOTTIME and CLOCK_MONOTONIC, microseconds. Answered by the vDSO: no system call. */
int64_t fc_boottime_us(void);
int64_t fc_monotonic_us(void);

/* CLOCK_REALTIME, microseconds since 1970. */
int64_t fc_wall_us(void);

/* The link, started if need be; NULL when no thread can be had. */
struct link *fc_link(struct fc *fc);

/* Notes count accesses for the daemon. endpoint may be NULL. */
void fc_note(struct fc *fc, const char *endpoint, struct bytes key, enum event_outcome outcome,
             uint32_t count, uint64_t value_bytes, uint64_t version);

/* 0, or -EINVAL: no key, or an endpoint or key that is too long for any daemon. */
int fc_check_key(const char *endpoint, const void *key, size_t key_bytes);

/*
 * Sends a request and waits; the reply's frame is the caller's to free. See fc_request for errors.
 */
int fc_ask(struct fc *fc, struct request *r, double timeout_s, void **ret_frame, size_t *ret_bytes);

/* The errno value that stands for a status of the protocol; 0 for STATUS_OK. */
int fc_status_error(int status);

#endif
