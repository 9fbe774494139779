/* SPDX-License-Identifier: MIT */
#include "store/packed.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

/*
 * How a frame of ours begins: it is none of the formats before 1.0, which the library may read, too; and
 * by the low bits of its fifth byte it has a checksum, and no dictionary.
 */
static const unsigned char MAGIC[4] = {0x28, 0xb5, 0x2f, 0xfd};
#define HEAD_BITS 0x0fu
#define HEAD_SAYS 0x04u

/* A block of a frame makes so many bytes at most, and takes so many at least. */
#define BLOCK_MAKES 131072u
#define BLOCK_TAKES 4u

void packer_release(struct packer *p)
{
	ZSTD_freeCCtx(p->zstd);
	*p = (struct packer){0};
}

static bool packer_start(struct packer *p)
{
	if (p->zstd)
		return true;
	p->zstd = ZSTD_createCCtx();
	if (p->zstd && !ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_checksumFlag, 1)))
		return true;
	packer_release(p);
	return false;
}

size_t packer_room(size_t value_bytes)
{
	return value_bytes - value_bytes / PACKED_SAVES - (value_bytes % PACKED_SAVES != 0);
}

size_t packer_pack(struct packer *p, int level, struct bytes value, void *buf)
{
	size_t room = packer_room(value.n), n;

	if (!room || !packer_start(p) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, level)))
		return 0;
	/* that it does not fit is the usual error */
	n = ZSTD_compress2(p->zstd, buf, room, value.p, value.n);
	if (ZSTD_sizeof_CCtx(p->zstd) > PACKER_KEEPS)
		packer_release(p);
	return ZSTD_isError(n) ? 0 : n;
}

bool packed_bytes(struct bytes frame, uint64_t most, uint64_t *ret_bytes)
{
	const unsigned char *p = frame.p;
	unsigned long long n;

	if (frame.n <= sizeof(MAGIC) || memcmp(p, MAGIC, sizeof(MAGIC)) != 0 ||
	    (p[sizeof(MAGIC)] & HEAD_BITS) != HEAD_SAYS)
		return false;
	n = ZSTD_getFrameContentSize(frame.p, frame.n);
	/* none of ours is empty: that is what is to be skipped */
	if (n == ZSTD_CONTENTSIZE_UNKNOWN || n == ZSTD_CONTENTSIZE_ERROR || !n || n > most ||
	    n > (frame.n / BLOCK_TAKES + 1) * (uint64_t)BLOCK_MAKES)
		return false;
	*ret_bytes = n;
	return true;
}

void unpacker_release(struct unpacker *u)
{
	ZSTD_freeDCtx(u->zstd);
	free(u->buf);
	*u = (struct unpacker){0};
}

void unpacker_trim(struct unpacker *u)
{
	if (u->cap <= UNPACKER_KEEPS)
		return;
	free(u->buf);
	u->buf = NULL;
	u->cap = 0;
}

void *unpacker_lend(struct unpacker *u, size_t n)
{
	unpacker_trim(u);
	if (!u->zstd)
		u->zstd = ZSTD_createDCtx();
	if (!u->zstd)
		return NULL;
	if (n <= u->cap)
		return u->buf;
	free(u->buf);
	u->buf = malloc(n);
	u->cap = u->buf ? n : 0;
	return u->buf;
}

bool unpacker_unpack(struct unpacker *u, struct bytes frame, void *buf, uint64_t n)
{
	size_t made;

	if (!u->zstd)
		u->zstd = ZSTD_createDCtx();
	/* just the one frame, whatever may stand behind it */
	if (!u->zstd || ZSTD_findFrameCompressedSize(frame.p, frame.n) != frame.n)
		return false;
	made = ZSTD_decompressDCtx(u->zstd, buf, (size_t)n, frame.p, frame.n);
	return !ZSTD_isError(made) && made == n;
}
