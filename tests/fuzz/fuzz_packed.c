/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Frames as a broken or hostile segment could hold them, of which the sum is right all the same:
 *
 *	byte 0       bit 0: the checksum at the end is made that of what the frame decodes to
 *	             bit 1: the frame says that it is longer or shorter, by byte 1 (where it can)
 *	bytes 2..    the frame
 *
 * What must hold: nothing is written beyond the value's own memory (which ends at an unmapped page) and
 * no memory taken beyond what an unpacker has for any frame; what is decoded is what it says, again and
 * again; and the next frame, which is good, comes out right.
 */
#include "tests/fuzz/fuzz.h"

#include "base/bug.h"
#include "store/packed.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#define MAX_FRAME 8192
#define MOST      ((size_t)2 << 20) /* bytes of a value */
#define PAGE      4096
#define DCTX      ((size_t)128 << 10)

static const char *const words[] = {
        "\x28\xb5\x2f\xfd", "\x50\x2a\x4d\x18", "\x24", "\x64\x01", "\xa4", "\x84", "\x27", "\xe4", NULL};

const struct fuzz_target fuzz_target = {"packed", words, 2 + MAX_FRAME};

static const char text[] = "what a good frame holds, what a good frame holds, what a good frame holds, "
                           "and more";
static char good[sizeof(text)];
static size_t good_n;
static char *room_end; /* of MOST bytes; an unmapped page follows */
static ZSTD_DCtx *careless; /* does not look at checksums */

static void setup(void)
{
	struct packer p = {0};
	char *room = mmap(NULL, MOST + PAGE, PROT_READ | PROT_WRITE,
	                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	BUG_ON(room == MAP_FAILED || mprotect(room + MOST, PAGE, PROT_NONE));
	room_end = room + MOST;
	good_n = packer_pack(&p, 3, bytes_of(text, sizeof(text)), good);
	BUG_ON(!good_n);
	packer_release(&p);
	careless = ZSTD_createDCtx();
	BUG_ON(!careless ||
	       ZSTD_isError(ZSTD_DCtx_setParameter(careless, ZSTD_d_forceIgnoreChecksum,
	                                           ZSTD_d_ignoreChecksum)));
}

/* As whoever writes the segment on purpose would. */
static void forge_checksum(char *frame, size_t n)
{
	char *room = room_end - MOST;
	size_t made = ZSTD_decompressDCtx(careless, room, MOST, frame, n);
	uint32_t sum;

	if (ZSTD_isError(made) || n < 4)
		return;
	sum = (uint32_t)XXH64(room, made, 0);
	memcpy(frame + n - 4, &sum, 4);
}

/* The first byte of its size, where that has a place of its own. */
static void lie(char *frame, size_t n, uint8_t by)
{
	static const unsigned dictionary[] = {0, 1, 2, 4};
	unsigned char head;
	size_t at;

	if (n < 6)
		return;
	head = (unsigned char)frame[4];
	at = 5 + !(head & 0x20) + dictionary[head & 3];
	if (at < n)
		frame[at] = (char)(frame[at] + by);
}

static void check_good(struct unpacker *u)
{
	char buf[sizeof(text)];

	BUG_ON(!unpacker_unpack(u, bytes_of(good, good_n), buf, sizeof(buf)));
	BUG_ON(memcmp(buf, text, sizeof(text)));
}

/* The value is packed again, and is the same. */
static void check_again(struct bytes value)
{
	struct unpacker u = {0};
	struct packer p = {0};
	char *frame = malloc(value.n), *buf = malloc(value.n);
	uint64_t n;
	size_t packed;

	BUG_ON(!frame || !buf);
	packed = packer_pack(&p, 1, value, frame);
	BUG_ON(packed && (!packed_bytes(bytes_of(frame, packed), MOST, &n) || n != value.n ||
	                  !unpacker_unpack(&u, bytes_of(frame, packed), buf, n) ||
	                  memcmp(buf, value.p, value.n)));
	free(frame);
	free(buf);
	packer_release(&p);
	unpacker_release(&u);
}

static void check_frame(struct bytes frame)
{
	/* what zstd passes over */
	static const char skipped[] = {0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0};
	static struct unpacker kept;
	struct unpacker fresh = {0};
	char longer[MAX_FRAME + sizeof(skipped)], *value;
	uint64_t n;
	bool ok;

	if (!packed_bytes(frame, MOST, &n)) {
		/* nobody decodes it; should somebody, nothing is written */
		unpacker_unpack(&kept, frame, room_end, 0);
		check_good(&kept);
		return;
	}
	BUG_ON(!n || n > MOST || n > (frame.n / 4 + 1) * (uint64_t)131072);
	value = room_end - n;
	ok = unpacker_unpack(&kept, frame, value, n);
	BUG_ON(ZSTD_sizeof_DCtx(kept.zstd) > DCTX);
	check_good(&kept);
	if (ok) {
		uint64_t hash = XXH3_64bits(value, n);

		BUG_ON(unpacker_unpack(&kept, frame, room_end - (n - 1), n - 1));
		BUG_ON(!unpacker_unpack(&fresh, frame, value, n) || XXH3_64bits(value, n) != hash);
		BUG_ON(n < MOST && unpacker_unpack(&fresh, frame, value - 1, n + 1));
		memcpy(longer, frame.p, frame.n);
		memcpy(longer + frame.n, skipped, sizeof(skipped));
		BUG_ON(unpacker_unpack(&fresh, bytes_of(longer, frame.n + 1), value, n));
		BUG_ON(unpacker_unpack(&fresh, bytes_of(longer, frame.n + sizeof(skipped)), value, n));
		BUG_ON(!unpacker_unpack(&fresh, frame, value, n) || XXH3_64bits(value, n) != hash);
		if (n < 65536)
			check_again(bytes_of(value, n));
	}
	unpacker_release(&fresh);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char frame[MAX_FRAME];

	if (!room_end)
		setup();
	if (size < 2)
		return 0;
	size -= 2;
	memcpy(frame, data + 2, size);
	if (data[0] & 2)
		lie(frame, size, data[1]);
	if (data[0] & 1) {
		forge_checksum(frame, size);
		check_frame(bytes_of(frame, size));
	} else {
		/* where it stands: before an unmapped page */
		check_frame(bytes_of(data[0] & 2 ? (const void *)frame : data + 2, size));
	}
	return 0;
}
