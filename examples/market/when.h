/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Time of the example: a clock that may run fast and start at any instant, and times of New York.
 *
 * HOW IT WORKS instant = start + (CLOCK_BOOTTIME - zero) * scale. Processes on one host that are
 * given the same three numbers show the same time to the microsecond; the daemon's --time-scale
 * clock is built alike. New York is UTC-5, or UTC-4 from the second Sunday of March to the first of
 * November.
 */
#ifndef FORECACHED_EXAMPLES_MARKET_WHEN_H
#define FORECACHED_EXAMPLES_MARKET_WHEN_H

#include "base/instant.h"

#include <stdbool.h>
#include <stddef.h>

struct when {
	struct instant start; /* what the clock shows ... */
	int64_t zero_us;      /* ... at this CLOCK_BOOTTIME */
	double scale;
};

int64_t when_boot_us(void);
struct instant when_now(const struct when *w);

/* The CLOCK_BOOTTIME at which the clock will show t. */
int64_t when_boot_of(const struct when *w, struct instant t);

/* Sleeps until the given CLOCK_BOOTTIME. */
void when_sleep_until(int64_t boot_us);

/* "2026-11-16T09:15:00-05:00", "...Z", or without an offset: New York. False: not a time. */
bool when_parse(const char *text, struct instant *ret);

/* As "2026-11-16T09:30:00-05:00", New York; returns buf, 32 bytes. */
char *when_text(struct instant t, char buf[32]);

/* The local day in New York, days since 1970-01-01, and the instant at which a local day begins. */
int32_t when_day(struct instant t);
struct instant when_day_start(int32_t day);

/* 0 Monday .. 6 Sunday. */
int when_weekday(int32_t day);

#endif
