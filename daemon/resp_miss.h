/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The misses that one connection may be about to fill: when each was, and the lease that came with
 * it. A set of the same key then says what the load took; and who closes its connection gives the
 * leases back, so that nobody waits for a load that has ended.
 *
 * HOW IT WORKS a hash table with chains, whose nodes are also in a list by age. It grows as misses
 * are noted, up to the caller's limit; from there on, and after MISSES_MAX_US, the oldest makes
 * way. Each call takes constant time; growing is paid for by the notes that came before.
 *
 * INVARIANTS each key is in there once. An empty table keeps a few nodes or none. It knows no
 * clock: times are handed in, and do not go back.
 */
#ifndef FORECACHED_DAEMON_RESP_MISS_H
#define FORECACHED_DAEMON_RESP_MISS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A load that takes longer than this is not taken for one. */
#define MISSES_MAX_US (300 * INT64_C(1000000))

struct miss {
	uint64_t key; /* its hash */
	int64_t at_us;
	uint64_t lease; /* others wait for the load, or get the old value; 0: none */
};

/* All zero is empty and usable. */
struct misses {
	struct miss_node *node;
	uint32_t *bucket; /* first of a chain, plus 1; as many as there are nodes */
	uint32_t n, n_nodes;
	uint32_t oldest, newest, unused; /* plus 1; 0: none */
	uint32_t n_leases;
};

void misses_release(struct misses *m);

/* Notes a miss, anew if there is one of the key: a lease that it had stays when none comes now. */
void misses_note(struct misses *m, struct miss miss);

/*
 * Takes out the oldest if there are more than `most` (1 at least), or if it is too old at now_us.
 * To be called after each note until it is false.
 */
bool misses_trim(struct misses *m, int64_t now_us, size_t most, struct miss *ret);

/* The one of that key; NULL: none. Valid until the next call that changes the table. */
const struct miss *misses_find(const struct misses *m, uint64_t key);

/* Takes it out. False: none. */
bool misses_take(struct misses *m, uint64_t key, struct miss *ret);

/* Takes out the oldest. False: none is left. */
bool misses_take_oldest(struct misses *m, struct miss *ret);

#endif
