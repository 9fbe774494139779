/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/source.h"

#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define IN_BYTES  (128u << 10)
#define OUT_BYTES (256u << 10)

enum packing { PLAIN, GZIP, XZ, ZSTD };

struct source {
	char *name;
	int fd;
	bool own_fd;
	enum packing packing;
	uint64_t line_no;
	uint64_t size, consumed; /* of the file as it lies on disk */

	uint8_t *in; /* as read: in[in_at .. in_end) is not decoded yet */
	size_t in_at, in_end;
	bool in_eof;
	bool inside; /* a compressed member has begun and not ended */

	char *out; /* decoded: out[out_at .. out_end) is not handed out yet */
	size_t out_at, out_end, out_cap;
	bool out_eof;

	z_stream gzip;
	lzma_stream xz;
	ZSTD_DStream *zstd;
};

/* Reads more of the file behind what is left of `in`. 0, or a negative errno. */
static int read_more(struct source *s)
{
	ssize_t n;

	if (s->in_at == s->in_end)
		s->in_at = s->in_end = 0;
	if (s->in_eof || s->in_end == IN_BYTES)
		return 0;
	do
		n = read(s->fd, s->in + s->in_end, IN_BYTES - s->in_end);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	s->in_eof = n == 0;
	s->in_end += (size_t)n;
	s->consumed += (size_t)n;
	return 0;
}

static enum packing packing_of(const uint8_t *p, size_t n)
{
	static const uint8_t xz[6] = {0xfd, '7', 'z', 'X', 'Z', 0};
	static const uint8_t zstd[4] = {0x28, 0xb5, 0x2f, 0xfd};

	if (n >= 2 && p[0] == 0x1f && p[1] == 0x8b)
		return GZIP;
	if (n >= sizeof(xz) && memcmp(p, xz, sizeof(xz)) == 0)
		return XZ;
	if (n >= sizeof(zstd) && memcmp(p, zstd, sizeof(zstd)) == 0)
		return ZSTD;
	return PLAIN;
}

/* 0, or a negative errno with *ret_why. */
static int decoder_start(struct source *s, const char **ret_why)
{
	*ret_why = "not enough memory to decode it";
	switch (s->packing) {
	case PLAIN:
		return 0;
	case GZIP: /* 15: the largest window; 16: a gzip header is required */
		return inflateInit2(&s->gzip, 15 + 16) == Z_OK ? 0 : -ENOMEM;
	case XZ:
		return lzma_stream_decoder(&s->xz, SOURCE_MAX_MEMORY, LZMA_CONCATENATED) == LZMA_OK
		               ? 0
		               : -ENOMEM;
	case ZSTD:
		s->zstd = ZSTD_createDStream();
		if (!s->zstd)
			return -ENOMEM;
		/* 2^28 = SOURCE_MAX_MEMORY */
		ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax, 28);
		return 0;
	}
	return -EINVAL;
}

/*
 * One step of each decoder: from in[in_at..] to out[out_end..]. Each sets `inside`: whether the
 * file may not end here. 0, or -EBADMSG with *ret_why.
 */
static int step_gzip(struct source *s, const char **ret_why)
{
	int r;

	if (s->in_at == s->in_end && !s->inside) /* inside, output may be held back without input */
		return 0;
	s->inside = true;
	s->gzip.next_in = s->in + s->in_at;
	s->gzip.avail_in = (uInt)(s->in_end - s->in_at);
	s->gzip.next_out = (Bytef *)s->out + s->out_end;
	s->gzip.avail_out = (uInt)(s->out_cap - s->out_end);
	r = inflate(&s->gzip, Z_NO_FLUSH);
	s->in_at = s->in_end - s->gzip.avail_in;
	s->out_end = s->out_cap - s->gzip.avail_out;
	if (r == Z_STREAM_END) { /* further members may follow: gzip files can be concatenated */
		inflateReset(&s->gzip);
		s->inside = false;
	} else if (r != Z_OK && r != Z_BUF_ERROR) {
		*ret_why = "damaged gzip data";
		return -EBADMSG;
	}
	return 0;
}

static int step_xz(struct source *s, const char **ret_why)
{
	lzma_ret r;

	s->xz.next_in = s->in + s->in_at;
	s->xz.avail_in = s->in_end - s->in_at;
	s->xz.next_out = (uint8_t *)s->out + s->out_end;
	s->xz.avail_out = s->out_cap - s->out_end;
	r = lzma_code(&s->xz, s->in_eof ? LZMA_FINISH : LZMA_RUN);
	s->in_at = s->in_end - s->xz.avail_in;
	s->out_end = s->out_cap - s->xz.avail_out;
	s->inside = r != LZMA_STREAM_END;
	if (r == LZMA_OK || r == LZMA_BUF_ERROR || r == LZMA_STREAM_END)
		return 0;
	*ret_why = r == LZMA_MEMLIMIT_ERROR ? "xz data needs more than 256 MiB to decode"
	                                    : "damaged xz data";
	return -EBADMSG;
}

static int step_zstd(struct source *s, const char **ret_why)
{
	ZSTD_inBuffer in = {s->in, s->in_end, s->in_at};
	ZSTD_outBuffer out = {s->out, s->out_cap, s->out_end};
	size_t r = ZSTD_decompressStream(s->zstd, &out, &in);

	if (ZSTD_isError(r)) {
		*ret_why = ZSTD_getErrorName(r);
		return -EBADMSG;
	}
	if (in.pos != s->in_at || out.pos != s->out_end)
		s->inside = r != 0; /* 0: a frame is complete, and another may follow */
	s->in_at = in.pos;
	s->out_end = out.pos;
	return 0;
}

static void step_plain(struct source *s)
{
	size_t n = s->in_end - s->in_at, room = s->out_cap - s->out_end;

	if (n > room)
		n = room;
	memcpy(s->out + s->out_end, s->in + s->in_at, n);
	s->in_at += n;
	s->out_end += n;
}

/* Decodes at least one more byte, or sets out_eof. There must be room in `out`. */
static int fill(struct source *s, const char **ret_why)
{
	size_t before = s->out_end;

	while (s->out_end == before && !s->out_eof) {
		size_t had = s->in_end - s->in_at;
		int r = had ? 0 : read_more(s);

		if (r < 0) {
			*ret_why = strerror(-r);
			return r;
		}
		switch (s->packing) {
		case PLAIN:
			step_plain(s);
			break;
		case GZIP:
			r = step_gzip(s, ret_why);
			break;
		case XZ:
			r = step_xz(s, ret_why);
			break;
		case ZSTD:
			r = step_zstd(s, ret_why);
			break;
		}
		if (r < 0)
			return r;
		if (s->out_end == before && s->in_eof && s->in_at == s->in_end) {
			if (s->inside) {
				*ret_why = "the compressed file ends early";
				return -EBADMSG;
			}
			s->out_eof = true;
		}
	}
	return 0;
}

struct source *source_open(const char *path, struct fault *reterr)
{
	struct source *s = mem_calloc(1, sizeof(*s));
	const char *why = NULL;
	struct stat st;
	int r;

	s->own_fd = strcmp(path, "-") != 0;
	s->name = text_copy(s->own_fd ? path : "<stdin>");
	s->in = mem_calloc(1, IN_BYTES);
	s->out_cap = OUT_BYTES;
	/* + 1: the NUL behind a last line without newline */
	s->out = mem_calloc(1, s->out_cap + 1);
	s->fd = s->own_fd ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	if (s->fd < 0) {
		fault_set(reterr, -errno, "%s: %s", path, strerror(errno));
		source_close(&s);
		return NULL;
	}
	if (fstat(s->fd, &st) == 0 && S_ISREG(st.st_mode))
		s->size = (uint64_t)st.st_size;
	do /* a pipe may give its first bytes one by one */
		r = read_more(s);
	while (r == 0 && !s->in_eof && s->in_end < 6);
	if (r < 0)
		why = strerror(-r);
	if (r == 0) {
		s->packing = packing_of(s->in, s->in_end);
		r = decoder_start(s, &why);
	}
	if (r < 0) {
		fault_set(reterr, r, "%s: %s", s->name, why);
		source_close(&s);
	}
	return s;
}

void source_close(struct source **s)
{
	if (!*s)
		return;
	if ((*s)->packing == GZIP)
		inflateEnd(&(*s)->gzip);
	if ((*s)->packing == XZ)
		lzma_end(&(*s)->xz);
	ZSTD_freeDStream((*s)->zstd);
	if ((*s)->own_fd && (*s)->fd >= 0)
		close((*s)->fd);
	free((*s)->name);
	free((*s)->in);
	free((*s)->out);
	free(*s);
	*s = NULL;
}

int source_line(struct source *s, struct bytes *ret, struct fault *reterr)
{
	size_t looked = 0; /* bytes of this line known to hold no newline */

	for (;;) {
		char *line = s->out + s->out_at, *nl;
		size_t have = s->out_end - s->out_at;
		const char *why;
		int r;

		nl = memchr(line + looked, '\n', have - looked);
		if (nl || (s->out_eof && have)) {
			size_t n = nl ? (size_t)(nl - line) : have;

			line[n] = '\0';
			s->out_at += nl ? n + 1 : n;
			s->line_no++;
			*ret = bytes_of(line, n);
			return 1;
		}
		if (s->out_eof)
			return 0;
		if (have > SOURCE_MAX_LINE) {
			s->line_no++;
			return source_fault(s, -E2BIG, reterr, "line", "longer than %u bytes",
			                    SOURCE_MAX_LINE);
		}
		looked = have;
		if (s->out_at) {
			memmove(s->out, line, have);
			s->out_at = 0;
			s->out_end = have;
		}
		if (s->out_end == s->out_cap) {
			s->out_cap *= 2;
			s->out = mem_realloc(s->out, s->out_cap + 1, 1);
		}
		r = fill(s, &why);
		if (r < 0) {
			s->line_no++;
			return source_fault(s, r, reterr, "file", "%s", why);
		}
	}
}

int source_fault(const struct source *s, int err, struct fault *reterr, const char *field,
                 const char *fmt, ...)
{
	char why[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return fault_set(reterr, err, "%s:%llu: %s: %s", s->name, (unsigned long long)s->line_no,
	                 field, why);
}

double source_progress(const struct source *s)
{
	return s->size ? (double)s->consumed / (double)s->size : 0;
}
