/* SPDX-License-Identifier: MIT */
#include "store/packed.h"

#include <stdlib.h>
#include <zstd.h>

/* A block of a frame makes so many bytes at most, and takes so many at least. */
#define BLOCK_MAKES 131072u
#define BLOCK_TAKES 4u

struct packer {
	ZSTD_CCtx *zstd;
};

struct unpacker {
	ZSTD_DCtx *zstd;
};

struct packer *packer_new(void)
{
	struct packer *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->zstd = ZSTD_createCCtx();
	if (!p->zstd || ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_checksumFlag, 1)))
		packer_free(&p);
	return p;
}

void packer_free(struct packer **p)
{
	if (!*p)
		return;
	ZSTD_freeCCtx((*p)->zstd);
	free(*p);
	*p = NULL;
}

size_t packer_room(size_t value_bytes)
{
	return value_bytes - value_bytes / PACKED_SAVES - (value_bytes % PACKED_SAVES != 0);
}

size_t packer_pack(struct packer *p, int level, struct bytes value, void *buf)
{
	size_t room = packer_room(value.n), n;

	if (!room || ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, level)))
		return 0;
	/* that it does not fit is the usual error */
	n = ZSTD_compress2(p->zstd, buf, room, value.p, value.n);
	return ZSTD_isError(n) ? 0 : n;
}

bool packed_bytes(struct bytes frame, uint64_t most, uint64_t *ret_bytes)
{
	unsigned long long n = ZSTD_getFrameContentSize(frame.p, frame.n);

	/* none of ours is empty: that is what is to be skipped */
	if (n == ZSTD_CONTENTSIZE_UNKNOWN || n == ZSTD_CONTENTSIZE_ERROR || !n || n > most ||
	    n > (frame.n / BLOCK_TAKES + 1) * (uint64_t)BLOCK_MAKES)
		return false;
	*ret_bytes = n;
	return true;
}

struct unpacker *unpacker_new(void)
{
	struct unpacker *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->zstd = ZSTD_createDCtx();
	if (!u->zstd)
		unpacker_free(&u);
	return u;
}

void unpacker_free(struct unpacker **u)
{
	if (!*u)
		return;
	ZSTD_freeDCtx((*u)->zstd);
	free(*u);
	*u = NULL;
}

bool unpacker_unpack(struct unpacker *u, struct bytes frame, void *buf, uint64_t n)
{
	size_t made;

	/* just the one frame, whatever may stand behind it */
	if (ZSTD_findFrameCompressedSize(frame.p, frame.n) != frame.n)
		return false;
	made = ZSTD_decompressDCtx(u->zstd, buf, (size_t)n, frame.p, frame.n);
	return !ZSTD_isError(made) && made == n;
}
