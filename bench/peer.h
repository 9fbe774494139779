/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Other caches, started for the benchmark and asked over a Unix socket, one request after the
 * other: memcached (text protocol, one thread) and redis-server (nothing saved). And LMDB, in this
 * process, whose get is a read transaction with a copy of the value.
 */
#ifndef FORECACHED_BENCH_PEER_H
#define FORECACHED_BENCH_PEER_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct peer;

/* "memcached", "redis-server", "LMDB". NULL, after a word about it, when it is not installed. */
struct peer *peer_start(const char *name, uint64_t max_bytes);
void peer_stop(struct peer **p);

/* Sets n values for an hour, as fast as it takes them; key(i, buf) gives the i-th key. */
typedef struct bytes peer_key_fn(uint64_t i, char *buf);
void peer_fill(struct peer *p, peer_key_fn *key, uint64_t n, struct bytes value);

/* Gets one that is there, with this value's size. */
void peer_get(struct peer *p, struct bytes key, uint64_t value_bytes);

/* Bytes of memory that it has now: of its process, or of LMDB's file. */
uint64_t peer_memory(struct peer *p);

/* Resident bytes of a process; 0: this one. Files that it has mapped count, too. */
uint64_t resident_bytes(int pid);

#endif
