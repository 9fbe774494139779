/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Files that a name from outside leads to: zone files of the system and calendars.
 */
#ifndef FORECACHED_CALENDAR_FILE_H
#define FORECACHED_CALENDAR_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Whether a zone or a market can be called that: nothing else gets near the file system. */
bool file_name_ok(const char *name);

/*
 * All of a regular file of at most max bytes, with a NUL behind it, to be freed. 0, the error of
 * open() or read(), -EISDIR, -EFBIG, -ENOMEM, or -EINVAL for what is neither file nor directory.
 */
int file_read(const char *path, size_t max, char **ret, size_t *ret_n);

#endif
