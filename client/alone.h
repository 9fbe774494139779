/* SPDX-License-Identifier: MIT */
/*
 * One load per key and host while there is no daemon to give leases, or it does not in time.
 *
 * HOW IT WORKS a key belongs to one of ALONE_SLOTS files, in <dir>/alone where the user may write
 * there, else in /dev/shm/forecache-UID. Whoever holds the file's flock loads, and writes what it
 * got into the file; the others wait for the lock, which the kernel drops when its holder dies, and
 * take the value if it was finished after they came, or if the origin said that it holds longer.
 * Two keys of one slot wait for each other. Values above ALONE_MAX_BYTES are not written: then
 * those who wait load one after the other.
 */
#ifndef FORECACHED_CLIENT_ALONE_H
#define FORECACHED_CLIENT_ALONE_H

#include "client/fc.h"

#define ALONE_SLOTS     256u
#define ALONE_MAX_BYTES (1u << 20) /* of key and value: 256 MiB of tmpfs at the worst */

struct alone {
	int fd;        /* -1: no lock could be had, load without */
	uint64_t seed; /* of the hashes: by the directory of the daemon */
};

/*
 * 1: *ret is what another one loaded since came_us (CLOCK_BOOTTIME) or, with until_ttl, earlier if
 * it holds still: not while there is a daemon, which may know better. 0: load, then call alone_end.
 */
int alone_begin(struct alone *a, struct fc *fc, struct bytes key, double wait_s, int64_t came_us,
                bool until_ttl, struct fc_value *ret);

/* v: what was loaded, its age the time that the load took; NULL: it failed. */
void alone_end(struct alone *a, struct bytes key, const struct fc_value *v);

#endif
