/* SPDX-License-Identifier: MIT */
/*
 * What one thread of the app has of a handle, so that a get writes to no memory that another thread
 * writes to: its counters, the mapping it reads just now, and how it samples what it tells.
 *
 * HOW IT WORKS a thread finds its lane by a short table of its own (thread-local), takes a free one
 * the first time, and gives it back when it ends; the counts in it stay. The first LANES_AT_HAND are
 * part of the handle, further ones are allocated.
 *
 * A thread that says what it reads (lane->reading) and one that wants to unmap it order themselves
 * by membarrier(2), which the rare one of the two pays: lanes_read is a store and a load. Where the
 * kernel has no membarrier the store is an exchange.
 *
 * What unpacks compressed values, and the memory that they are copied to, is taken when it is first
 * wanted and kept, so that a get of one takes no memory but for the value. Of a frame beyond
 * UNPACKER_KEEPS it is given back before the get is over.
 *
 * The clock costs a get a quarter of its time. A reading is good for LANE_CLOCK_TICKS of the
 * processor's counter, below a microsecond, of which the counter alone is read in between.
 *
 * INVARIANTS only its thread writes to a lane (relaxed stores; sums are read by anyone), but for
 * `taken`.
 */
#ifndef FORECACHED_CLIENT_LANE_H
#define FORECACHED_CLIENT_LANE_H

#include "client/sample.h"
#include "store/packed.h"
#include "store/reader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LANES_AT_HAND 16

/* Row: X(name). What fc_stats counts of gets. */
#define LANE_COUNT_TABLE(X) X(gets) X(hits) X(grace) X(misses) X(segment_reads)

struct segment_map;

struct lane {
	_Alignas(64) _Atomic(const struct segment_map *) reading; /* NULL: none */
#define X(name) atomic_ullong name;
	LANE_COUNT_TABLE(X)
#undef X
	struct sample sample;
	struct reader_clock clock;
	uint64_t counter; /* of the processor, when ... */
	int64_t boottime_us;
	struct unpacker unpacker; /* for values that are kept compressed: lends memory for the frame */

	_Atomic uint64_t taken; /* by the thread with this number; 0: free */
	struct lane *next;      /* all of the handle; only ever prepended to */
	bool allocated;
};

struct lanes {
	uint64_t id; /* of the handle; never used twice in a process */
	bool fence;  /* no membarrier */
	_Atomic(struct lane *) first;
	pthread_mutex_t lock; /* of whoever takes one */
	struct lane at_hand[LANES_AT_HAND];
	struct lanes *next_set, *prev_set; /* of the process */
};

void lanes_init(struct lanes *s);
void lanes_release(struct lanes *s);

/* In a child after fork: the lanes of threads that are not there any more are free. */
void lanes_forked(struct lanes *s);

/* The calling thread's; NULL when there is no memory for one. */
struct lane *lanes_mine(struct lanes *s);

/* Whether some thread reads m; for who has taken care that none begins to. */
bool lanes_reading(struct lanes *s, const struct segment_map *m);

#if defined(__x86_64__) && defined(__GNUC__)
#define LANE_CLOCK_TICKS 2048u /* of a counter that runs at 1 to 5 GHz */
static inline uint64_t lane_counter(void)
{
	return __builtin_ia32_rdtsc();
}
#elif defined(__aarch64__) && defined(__GNUC__)
#define LANE_CLOCK_TICKS 16u /* 25 MHz to 1 GHz */
static inline uint64_t lane_counter(void)
{
	uint64_t n;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(n));
	return n;
}
#else
#define LANE_CLOCK_TICKS 0u
static inline uint64_t lane_counter(void)
{
	return 0;
}
#endif

static inline void lane_add(atomic_ullong *count, unsigned long long n)
{
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + n,
	                      memory_order_relaxed);
}

/* Says that the thread reads m from here on; to be followed by a look whether m is still there. */
static inline void lane_read(const struct lanes *s, struct lane *l, const struct segment_map *m)
{
	if (s->fence) {
		atomic_exchange_explicit(&l->reading, m, memory_order_seq_cst);
		return;
	}
	atomic_store_explicit(&l->reading, m, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst); /* the other side has a membarrier */
}

static inline void lane_done(struct lane *l)
{
	atomic_store_explicit(&l->reading, NULL, memory_order_release);
}

#endif
