/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Numbers and times as people write and read them.
 *
 * OWNERSHIP each human_*() that formats writes into the caller's buffer of HUMAN_MAX bytes and
 * returns it, so that calls nest in a printf.
 */
#ifndef FORECACHED_CLI_HUMAN_H
#define FORECACHED_CLI_HUMAN_H

#include "base/estimate.h"

#include <stdbool.h>
#include <stddef.h>

#define HUMAN_MAX 64

/* "30", "30s", "5m", "1.5h", "2d", "250ms", "1h30m" in seconds. 0, or -EINVAL. */
int human_parse_span(const char *text, double *ret_s);

/* "250 ms", "4.2 s", "3 min 20 s", "1 h", "2 d 4 h"; "-" for what is not a number. */
char *human_span(char *buf, double s);

/* Three significant digits, no exponent between 0.001 and 1e6; "-" for what is not a number. */
char *human_number(char *buf, double x);

/* Of things that are many: "950", "12.3 k", "4.56 M"; "-" for what is not a number. */
char *human_count(char *buf, double n);

/* "1.2 %", "0.03 %"; "-" for what is not a number. */
char *human_share(char *buf, double share);

/* "512 B", "1.5 KiB", "8 MiB". */
char *human_bytes(char *buf, double bytes);

/* "0.5 per s", "12 per min", "3 per h", "0.4 per d": the unit in which it reads best. */
char *human_rate(char *buf, double per_s);

/* A rate with its interval in one unit: "1.25 (0.87 to 1.69) per h". */
char *human_rate_range(char *buf, double per_s, double lo, double hi);

/*
 * Local time of this machine, "2026-11-23 09:30:00"; utc: with a Z. "never" for what is not a
 * number.
 */
char *human_time(char *buf, double s, bool utc);

/*
 * The 90 % interval of a rate that is known as a Gamma distribution with the given mean and sd (the
 * cube-root normal approximation of Wilson and Hilferty). hi is HUGE_VAL where sd is not finite.
 */
void human_interval90(struct estimate e, double *ret_lo, double *ret_hi);

#endif
