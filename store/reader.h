/* SPDX-License-Identifier: MIT */
/*
 * Reads a segment that another process writes. No locks, no system calls, no waiting: a get copies
 * the value out, checks the sequence number again, and gives up with a miss after a bounded number
 * of tries. Whatever the segment holds, also garbage that a broken writer left, the result is a
 * value whose checksum is right and whose age is at most max_age, or a miss.
 *
 * HOW IT WORKS in two steps, which store_reader_get takes one after the other: store_reader_find
 * looks up where the value lies and what is said of it; store_reader_copy copies it and checks that
 * all of it was one and the same entry. Between the two a caller can get memory of just the size. What
 * is packed is copied as it is, and the caller's to be unpacked.
 */
#ifndef FORECACHED_STORE_READER_H
#define FORECACHED_STORE_READER_H

#include "base/bytes.h"
#include "base/instant.h"

#include <stdbool.h>
#include <stdint.h>

struct store_reader {
	const void *mem;
	uint64_t bytes;
	uint64_t boot_id, seed;
	uint32_t n_buckets, probes, arena, end; /* what follows from bytes */
	uint64_t host; /* as in store_clock; the caller may set it after store_reader_init */
};

enum reader_outcome {
	READER_MISS,  /* not there, expired, or damaged */
	READER_FRESH, /* before its soft expiry */
	READER_GRACE, /* between soft and hard expiry: serve it while one load runs */
	READER_STALE, /* past hard expiry, within max_age: only when daemon and origin are gone */
	READER_GONE,  /* not a segment of ours, or another life of it: map it again or use ZeroMQ */
	READER_SMALL, /* the value does not fit the buffer; ret->value_bytes says what it takes */
};

struct reader_value {
	uint64_t value_bytes; /* of what is there */
	uint64_t version; /* 0 with SMALL, if it follows from the value */
	struct instant loaded, soft, hard;
	struct span max_age;
	bool pushed; /* with a writer that is silent: take FRESH and GRACE for STALE */
	bool packed; /* what is there is a frame: packed.h makes the value of it */
};

/*
 * 0, or -EPROTO when mem (page aligned, bytes long: no more than the file behind it) does not start
 * with a segment of our layout version and of just this size.
 */
int store_reader_init(struct store_reader *r, const void *mem, uint64_t bytes);

/*
 * The writer's clock at this CLOCK_BOOTTIME: NEVER when the segment's clock is torn or of another
 * boot of the host, so that everything has expired. And how long the writer has been silent, in real
 * time: SPAN_MAX when that is torn.
 */
struct instant store_reader_now(const struct store_reader *r, int64_t boottime_us);
struct span store_reader_silence(const struct store_reader *r, int64_t boottime_us);

/*
 * Both of these for who asks again and again: what was checked is remembered, so that as long as
 * the writer says the same it need not be checked again. Zero it first; for one reader and thread.
 */
struct reader_clock {
	uint64_t word[7];
	bool known;
};
void store_reader_clock(const struct store_reader *r, int64_t boottime_us, struct reader_clock *c,
                        struct instant *ret_now, struct span *ret_silence);

/* A key, and the hash of it by which this segment finds it. Lives as long as the key's bytes. */
struct reader_key {
	struct bytes key;
	uint64_t tag;
};

/*
 * Hashes the key, and asks memory for what store_reader_find reads first of it, which takes a while: to
 * be called before whatever else a get has to do.
 */
struct reader_key store_reader_key(const struct store_reader *r, struct bytes key);

/* A value in its place. */
struct reader_view {
	struct reader_value value; /* version: only after store_reader_copy or _check, see there */
	const void *data; /* value.value_bytes of the segment, which may change at any time */
	/* the reader's own */
	const void *bucket;
	uint64_t hash; /* what that of the value must be, but for its low bits */
	uint32_t seq;
	bool own_version;
};

/*
 * Where the value is, if there is one to be served at `now`: FRESH, GRACE or STALE; else MISS or
 * GONE. What is in *ret was one entry's when it was read; the value itself has not been looked at.
 */
enum reader_outcome store_reader_find(const struct store_reader *r, const struct reader_key *k,
                                      struct instant now, struct reader_view *ret);

/*
 * Copies the value to buf (value.value_bytes) and fills in its version. False: it has changed
 * meanwhile, or is not what its checksum says; then buf holds anything. Find it again.
 */
bool store_reader_copy(const struct store_reader *r, struct reader_view *v, void *buf);

/* The same without a copy: the value is whole in its place, now. */
bool store_reader_check(const struct store_reader *r, struct reader_view *v);

/*
 * Whether the entry is still the one that was found: then what was read of it was right. No longer
 * so, too, when only its expiry changed, or another entry of its bucket.
 */
bool store_reader_still(const struct store_reader *r, const struct reader_view *v);

/*
 * Copies the value into buf (cap bytes, whose content is undefined unless the outcome is FRESH,
 * GRACE or STALE). ret is filled for every outcome but MISS and GONE. With SMALL nothing in it has
 * been checked against the checksum, as that takes the value: it is good for choosing a buffer. No
 * value is larger than the segment.
 */
enum reader_outcome store_reader_get(const struct store_reader *r, struct bytes key,
                                     struct instant now, void *buf, uint64_t cap,
                                     struct reader_value *ret);

#endif
