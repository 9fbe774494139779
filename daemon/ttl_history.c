/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/ttl_history.h"

#include <errno.h>
#include <math.h>
#include <sqlite3.h>

#define BUSY_MS 1000

/* The last ones, and these in the order of time. */
static const char query[] =
        "SELECT at_us, ttl_s, change_rate_per_s, stale_share, hit_ratio FROM"
        " (SELECT * FROM ttl_history WHERE endpoint = ?1 ORDER BY at_us DESC, id DESC LIMIT ?2)"
        " ORDER BY at_us, id";

/* NULL: it was not known, or was written before it was kept. */
static double number(sqlite3_stmt *s, int column)
{
	return sqlite3_column_type(s, column) == SQLITE_NULL ? NAN
	                                                     : sqlite3_column_double(s, column);
}

static int read_points(sqlite3 *sql, struct bytes endpoint, size_t max, ttl_points *ret)
{
	sqlite3_stmt *s;
	int rc = sqlite3_prepare_v2(sql, query, -1, &s, NULL);

	if (rc)
		return rc;
	sqlite3_bind_blob(s, 1, endpoint.n ? endpoint.p : "", (int)endpoint.n, SQLITE_STATIC);
	sqlite3_bind_int64(s, 2, max > INT64_MAX ? INT64_MAX : (sqlite3_int64)max);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW)
		*vec_push(ret) = (struct ttl_point){.at = {sqlite3_column_int64(s, 0)},
		                                    .ttl_s = number(s, 1),
		                                    .change_rate_per_s = number(s, 2),
		                                    .stale_share = number(s, 3),
		                                    .hit_ratio = number(s, 4)};
	sqlite3_finalize(s);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int ttl_history_read(const char *path, struct bytes endpoint, size_t max, ttl_points *ret)
{
	sqlite3 *sql = NULL;
	int rc = sqlite3_open_v2(path, &sql, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);

	if (!rc) {
		sqlite3_busy_timeout(sql, BUSY_MS);
		/* a file is data, as for state_file.c */
		sqlite3_db_config(sql, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
		sqlite3_db_config(sql, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
		rc = read_points(sql, endpoint, max, ret);
	}
	sqlite3_close(sql);
	if (!rc)
		return 0;
	return rc == SQLITE_BUSY || rc == SQLITE_LOCKED ? -EBUSY : -EIO;
}
