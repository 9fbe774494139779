/* SPDX-License-Identifier: MIT */
/*
 * A value that is kept compressed: one zstd frame, which says how long the value is and carries a
 * checksum of it.
 *
 *	packer_pack	makes the frame, if it is enough shorter than the value
 *	packed_bytes	how long the value is
 *	unpacker_unpack	makes the value again
 *
 * HOW IT WORKS a packer and an unpacker are the memory that zstd works in; all zero, they have none yet.
 * They take it when they are first used, and are used again and again, by one thread at a time; nothing
 * of one value stays for the next. What zstd needs to pack grows with the value and the level, to 85 MB:
 * more than PACKER_KEEPS is given back at once. To unpack it needs 96 kB whatever the frame. An unpacker
 * lends its user memory besides, for the frame or for the value.
 *
 * INVARIANTS a frame may come from memory that has gone bad. Nothing it says is acted on but within the
 * bounds of the two blocks of memory that are handed in, no memory is taken for what it says, and what
 * comes of it is the value that was packed or an error. Its memory must not change meanwhile.
 */
#ifndef FORECACHED_STORE_PACKED_H
#define FORECACHED_STORE_PACKED_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

/* A value is kept packed if that saves one byte in so many at least. */
#define PACKED_SAVES 8

/* What a value became, and the hash that it had before: hash_bytes(value, 0). */
struct packed_value {
	struct bytes bytes;
	uint64_t hash;
};

/* So much memory is kept from one value to the next, and no more. */
#define PACKER_KEEPS   ((size_t)2 << 20)
#define UNPACKER_KEEPS ((size_t)1 << 20) /* of what is lent */

struct packer {
	struct ZSTD_CCtx_s *zstd;
};

struct unpacker {
	struct ZSTD_DCtx_s *zstd;
	void *buf; /* lent */
	size_t cap;
};

/* The most that packer_pack writes for so many bytes; 0: they cannot be packed. */
size_t packer_room(size_t value_bytes);

/*
 * Packs the value into buf (packer_room bytes of it). Returns how many bytes it became; 0: that would
 * save too little, or there is no memory. The same value and level become the same bytes each time.
 */
size_t packer_pack(struct packer *p, int level, struct bytes value, void *buf);
void packer_release(struct packer *p);

/* False: it is no frame of ours, or more than `most` bytes. */
bool packed_bytes(struct bytes frame, uint64_t most, uint64_t *ret_bytes);

/*
 * Makes the value, of just n bytes. False: it is not what the frame says, or there is no memory; then buf
 * holds anything.
 */
bool unpacker_unpack(struct unpacker *u, struct bytes frame, void *buf, uint64_t n);
void unpacker_release(struct unpacker *u);

/*
 * Lends memory for n > 0 bytes, until the next call: it takes the place of what was lent before. NULL:
 * there is none. unpacker_trim ends it, too, if that is more than is kept.
 */
void *unpacker_lend(struct unpacker *u, size_t n);
void unpacker_trim(struct unpacker *u);

#endif
