/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The compiled zone files of the system (tzfile(5), RFC 8536) as rows of UTC offsets.
 *
 * HOW IT WORKS the 64-bit block of the file lists the transitions that are known; the footer, a
 * POSIX TZ string such as "EST5EDT,M3.2.0,M11.1.0", goes on from there for ever, and is followed
 * year by year up to the end of the range that is asked for.
 */
#ifndef FORECACHED_CALENDAR_TZIF_H
#define FORECACHED_CALENDAR_TZIF_H

#include "base/zone.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Rows for [from_s, to_s) in seconds since 1970, ascending: the first holds at from_s already, and
 * each has another offset than the one before. *ret is to be freed. 0, -EINVAL with *ret_why (a
 * static text) for what is not a zone file, -ENOMEM.
 */
int tzif_rows(const uint8_t *file, size_t n_file, int64_t from_s, int64_t to_s,
              struct zone_offset **ret, size_t *ret_n, const char **ret_why);

#endif
