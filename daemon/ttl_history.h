/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What an endpoint's TTLs have been over time: points that state_db_history_put has written to the file of
 * what was learned (state_db.h), read back.
 *
 * HOW IT WORKS each reading opens the file for itself and only to read it, next to the thread that writes:
 * neither waits for the other. It may be called from any thread.
 */
#ifndef FORECACHED_DAEMON_TTL_HISTORY_H
#define FORECACHED_DAEMON_TTL_HISTORY_H

#include "base/bytes.h"
#include "base/instant.h"
#include "base/vec.h"

#include <stddef.h>

/* Of one endpoint, as a row of `endpoints` said it at the time; NAN: not known then. */
struct ttl_point {
	struct instant at; /* by the wall clock of then */
	double ttl_s, change_rate_per_s, stale_share, hit_ratio;
};
typedef VEC(struct ttl_point) ttl_points;

/*
 * Adds the last points of the endpoint, at most max, to *ret, the latest last. 0, -EBUSY when somebody else
 * holds the file, or -EIO.
 */
int ttl_history_read(const char *path, struct bytes endpoint, size_t max, ttl_points *ret);

#endif
