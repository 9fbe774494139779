/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Lines of a file that may be plain, gzip, xz or zstd (told by its first bytes, never by its name).
 *
 * HOW IT WORKS one buffer of decoded bytes; a line is a view into it. The file is decoded as it is
 * read, so memory does not depend on its size, only on its longest line.
 *
 * INVARIANTS a compressed file that ends early or fails its checksum is an error, never a short
 * file.
 */
#ifndef FORECACHED_SIM_SOURCE_H
#define FORECACHED_SIM_SOURCE_H

#include "base/bytes.h"
#include "base/fault.h"

#include <stdint.h>

struct source;

/* The longest line, bytes: a key of 64 KiB with every byte escaped fits many times over. */
#define SOURCE_MAX_LINE (1u << 20)

/* How much memory an xz or zstd file may ask for to be decoded: level 9 of xz needs 65 MiB. */
#define SOURCE_MAX_MEMORY (256u << 20)

/* Opens path, "-" for stdin. NULL with a fault. The caller closes. */
struct source *source_open(const char *path, struct fault *reterr);
void source_close(struct source **s);

/*
 * The next line without its newline: 1, or 0 at the end, or a negative errno with a fault. The view
 * is valid until the next call; the byte behind it is a NUL and all of it may be written to.
 */
int source_line(struct source *s, struct bytes *ret, struct fault *reterr);

/* `file:line: field: why` for the line that source_line gave last. Returns err. */
__attribute__((format(printf, 5, 6))) int source_fault(const struct source *s, int err,
                                                       struct fault *reterr, const char *field,
                                                       const char *fmt, ...);

/* The share of the file that was read, 0 .. 1; 0 when its size is not known (a pipe). */
double source_progress(const struct source *s);

#endif
