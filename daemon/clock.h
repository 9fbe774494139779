/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The one clock of the daemon; nothing else in it reads a clock.
 *
 * HOW IT WORKS instant = start + (CLOCK_BOOTTIME now - CLOCK_BOOTTIME at start) * scale. At scale 1
 * without a given start, start is the wall clock when the daemon began (or the clock of the segment
 * that it takes over, when that one is ahead). CLOCK_BOOTTIME is never stepped and goes on while
 * the machine sleeps, so TTLs do neither jump nor stop. When somebody steps the wall clock, the
 * difference is reported as an offset: schedules and times of day follow it, TTLs do not.
 *
 * INVARIANTS clock_now() never goes back and changes only in clock_turn().
 */
#ifndef FORECACHED_DAEMON_CLOCK_H
#define FORECACHED_DAEMON_CLOCK_H

#include "base/instant.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct clock {
	int64_t boot_start_us; /* CLOCK_BOOTTIME at which the clock showed ... */
	struct instant start;  /* ... this instant */
	double scale;
	bool made_up;    /* scale or start were given: the wall clock has no say */
	int64_t boot_us; /* of this turn */
	struct instant now;
	struct span offset; /* wall clock minus this clock, as of the last step */
	int step_fd;        /* readable when the wall clock was stepped; -1: cannot be watched */
};

/*
 * Starts the clock. scale > 0; start: INSTANT_NONE for the wall clock. 0, or a negative errno value
 * when CLOCK_BOOTTIME cannot be read.
 */
int clock_setup(struct clock *c, double scale, struct instant start);
void clock_teardown(struct clock *c);

/* Reads CLOCK_BOOTTIME: once at the start of each turn of the loop. */
void clock_turn(struct clock *c);

/* The instant of this turn; and its CLOCK_BOOTTIME. */
static inline struct instant clock_now(const struct clock *c)
{
	return c->now;
}

static inline int64_t clock_boot_us(const struct clock *c)
{
	return c->boot_us;
}

/* A length of the daemon's time as real time: divided by the scale. */
struct span clock_to_real(const struct clock *c, struct span d);

/* How much real time is left until the instant: 0 when it has come, SPAN_MAX for NEVER. */
struct span clock_real_until(const struct clock *c, struct instant t);

/* What readers of the segment need to know. */
struct store_clock clock_for_store(const struct clock *c);

/* Carries on the clock of an earlier daemon that is ahead of this one, so that no value gets
 * younger. */
void clock_carry_on(struct clock *c, struct instant now);

/*
 * To be called when step_fd is readable: reads the wall clock again. True when it differs from what
 * was known by more than 1 ms; *ret_offset is then the new wall clock minus this clock.
 */
bool clock_stepped(struct clock *c, struct span *ret_offset);

/* Seconds of real time since boot, for the log's rates; any thread may ask. */
int64_t clock_log_s(void);

/* CLOCK_MONOTONIC, for how long something took. */
int64_t clock_monotonic_us(void);

#endif
