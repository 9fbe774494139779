/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the daemon consists of, and the one way into the engine: daemon_input() hands it an input
 * and carries out the effects. All of it belongs to the engine's thread (loop.h).
 *
 * Who wants an answer takes a ticket: its function is called once with the engine's reply, perhaps
 * before daemon_input returns. main.c says in which order things are made.
 */
#ifndef FORECACHED_DAEMON_DAEMON_H
#define FORECACHED_DAEMON_DAEMON_H

#include "base/vec.h"
#include "daemon/clock.h"
#include "daemon/loop.h"
#include "daemon/segment.h"
#include "daemon/setup.h"
#include "daemon/unpack.h"
#include "daemon/wire.h"
#include "daemon/worker.h"
#include "engine/engine.h"

#include <stdbool.h>
#include <stdint.h>

struct daemon;
struct large;
struct learned;
struct loaders;
struct load_failure;
struct origins;
struct row_notice;
struct resp;
struct schedules;
struct unmatched;
struct web;

/* The count of a reply that is one of a list: the ticket's last reply is yet to come. */
#define TICKET_MORE UINT64_MAX

/* reply is valid during the call; the function must not call daemon_input. */
typedef void ticket_fn(struct daemon *d, void *arg, uint32_t part, const struct effect *reply);

struct ticket {
	ticket_fn *fn; /* NULL: free */
	void *arg;
	uint32_t part;
	uint32_t serial; /* tells this ticket from earlier ones of its place */
};

/* Counted by the daemon itself; the rest is in engine_stats and wire_stats. */
#define DAEMON_COUNT_TABLE(X)                                                                      \
	X(requests, "requests read")                                                               \
	X(requests_refused, "requests that were not what the protocol says")                       \
	X(events_read, "access events read")                                                       \
	X(events_refused, "access events refused: a bad field, or out of the time window")         \
	X(replies_lost, "answers that could not be handed to their connection")                    \
	X(loader_faults, "messages of loader workers that were refused")                           \
	X(loaders_lost, "loader workers that died or hung")                                        \
	X(jobs_retried, "jobs given to another worker")                                            \
	X(jobs_failed, "loads that failed")                                                        \
	X(values_placed, "large values that a thread has put in place")                            \
	X(values_unplaced, "large values for which there was no room beforehand: the loop did it") \
	X(values_not_compressed,                                                                   \
	  "values kept as they are though their endpoint compresses: it saves too little, or too " \
	  "many wait for it")                                                                      \
	X(fits, "models fitted")                                                                   \
	X(notices, "notices published")                                                            \
	X(reloads, "configurations read again")                                                    \
	X(clock_steps, "steps of the wall clock")                                                  \
	X(restored_entries, "entries found in the segment at the start")                           \
	X(expired_entries, "entries of that segment whose time was over")                          \
	X(dropped_entries, "entries of that segment that were torn, damaged, or of another clock") \
	X(restored_records, "learned records found at the start")                                  \
	X(rejected_records, "learned records that could not be used")

struct daemon {
	struct clock clock;
	struct loop *loop;
	struct setup *setup;
	char *dir, *state_dir, *config_file;
	uint64_t boot_id;
	struct segment segment;
	struct store *store;
	struct engine *engine;
	struct effects fx;
	struct unpack unpack;
	struct wire *wire;
	struct workers *workers;
	struct large *large;
	struct origins *origins;
	struct loaders *loaders;
	struct schedules *schedules;
	struct resp *resp; /* NULL: no listener for Redis clients */
	struct web *web;   /* NULL: no listener for HTTP */
	struct learned *learned;
	struct unmatched *unmatched;
	VEC(struct ticket) ticket;
	VEC(uint32_t) free_ticket;
	size_t open_tickets;
	VEC(struct load_failure *) failed; /* loads that could not even be started */
	struct loop_timer tick, heartbeat, drain;
	struct instant tick_at; /* what tick is set to; NEVER: not set */
	int64_t drain_until_us; /* CLOCK_BOOTTIME */
	bool draining, busy;    /* busy: within daemon_input */
	bool reloading;         /* a worker reads the configuration ... */
	bool reload_again;      /* ... and that was asked for once more */
	uint64_t notice_seq;
	struct instant started;
	double restore_s; /* how long it took to verify the segment that was found */
#define X(name, help) uint64_t name;
	struct {
		DAEMON_COUNT_TABLE(X)
	} count;
#undef X
};

/* A ticket for input.ticket; 0 is never one. */
uint64_t daemon_ticket(struct daemon *d, ticket_fn *fn, void *arg, uint32_t part);

/* Hands the engine an input as of now and carries out what it decides. */
void daemon_input(struct daemon *d, const struct input *in);

/* Carries out what a plain_ function (engine/plain.h) has left in d->fx. */
void daemon_effects(struct daemon *d);

/*
 * Ends a load with an error, after the input that is being dealt with: so it may be called from
 * where an effect is carried out. The text is copied.
 */
void daemon_fail_load(struct daemon *d, uint64_t job, const char *text);

/* Lets the engine know of such failures now, where no daemon_input() follows. */
void daemon_report_failures(struct daemon *d);

/* Publishes a notice: what, endpoint, key and the rest are filled in, seq and time_s are not. */
void daemon_notice(struct daemon *d, struct row_notice *n);

/* Called at the end of every turn: arms the engine's timer, sends what was queued. */
void daemon_turn_end(void *arg);

/* Makes the engine's timer, the heartbeat and the wire's input work on the loop. */
int daemon_start(struct daemon *d);
void daemon_stop(struct daemon *d);

/* Tells all who still wait to try again: after the loop has ended. */
void daemon_give_up(struct daemon *d);

/* SIGHUP. */
void daemon_reload(struct daemon *d);

/* SIGTERM: stops accepting, waits for what is being answered, then ends the loop. */
void daemon_drain(struct daemon *d);

#endif
