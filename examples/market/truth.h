/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is true in the example market: which keys there are, when each of them changes, what it
 * says.
 *
 * HOW IT WORKS the changes of a key on one day are drawn from a generator that is seeded with the
 * market's seed, the key and the day alone. So the version of a key at an instant is a pure
 * function: whoever has the seed - origin, trace, referee of the demo - agrees without asking the
 * others.
 *
 *	/quotes/<symbol>    every few seconds to every minute while New York trades (weekdays 09:30 to
 *	                    16:00; holidays are left out), three times as often in the first minutes; rarely before
 *	                    and after; not at night and on weekends
 *	/charts/<symbol>    each minute of the session, some seconds after the minute
 *	/profiles/<symbol>  every few days, in office hours
 *	/news/<topic>       in bursts of some messages, most of them in the morning
 *
 * INVARIANTS a version is the instant of the latest change, in microseconds. Two changes of a key
 * are at least a millisecond apart.
 *
 * OWNERSHIP a truth remembers the days it was asked about, so it is not for several threads at
 * once, unless truth_prepare() was called for all days that they will ask about.
 */
#ifndef FORECACHED_EXAMPLES_MARKET_TRUTH_H
#define FORECACHED_EXAMPLES_MARKET_TRUTH_H

#include "base/instant.h"

#include <stddef.h>
#include <stdint.h>

enum truth_kind { TRUTH_QUOTE, TRUTH_CHART, TRUTH_PROFILE, TRUTH_NEWS, TRUTH_KINDS };

#define TRUTH_SYMBOLS 240
#define TRUTH_TOPICS  40
#define TRUTH_KEYS    (3 * TRUTH_SYMBOLS + TRUTH_TOPICS)
#define TRUTH_NONE    SIZE_MAX

struct truth;

struct truth *truth_new(uint64_t seed);
void truth_free(struct truth **t);

/* Draws the changes of all keys that matter for the time between two instants. */
void truth_prepare(struct truth *t, struct instant from, struct instant until);

/*
 * Keys are numbered 0 .. TRUTH_KEYS - 1: first those of one kind, in order of popularity, then the
 * next.
 */
size_t truth_first(enum truth_kind kind);
size_t truth_count(enum truth_kind kind);
enum truth_kind truth_kind_of(size_t key);
const char *truth_endpoint(enum truth_kind kind);           /* "/quotes/<symbol>" */
const char *truth_name(const struct truth *t, size_t key);  /* "/quotes/FSGB" */
size_t truth_find(const struct truth *t, const char *name); /* or TRUTH_NONE */

/* The version of a key at an instant. */
int64_t truth_version(struct truth *t, size_t key, struct instant at);

/* The first change of a key after an instant; looks at most `days` ahead, then NEVER. */
struct instant truth_next_change(struct truth *t, size_t key, struct instant after, int days);

/* How long the origin takes for a load that begins at an instant: 120 to 450 ms by kind, +-15 %. */
struct span truth_load_time(const struct truth *t, size_t key, struct instant at);

/*
 * The JSON text that the origin answers with for a version; it begins with
 * {"key":"...","version":N, Returns its length; size must be TRUTH_BODY_MAX.
 */
#define TRUTH_BODY_MAX 16384
size_t truth_body(const struct truth *t, size_t key, int64_t version, char *buf, size_t size);

/* The version in an answer, or -1. */
int64_t truth_body_version(const void *body, size_t n);

#endif
