/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Learned records as JSON text: for SQLite, and for `forecache export` and `import`.
 *
 * An export is lines: first {"forecached":"learned state","version":1}, then one record a line:
 *	{"kind":"key","endpoint":"/q/<s>","name":"/q/IBM","fields":{"rate":[0.25,4],"seen":[12]}}
 * A name that is not UTF-8 stands as "name_hex" (or "endpoint_hex"). Numbers have 17 digits where
 * they need them and come back as they were. A record may be up to RECORD_MAX_BYTES long.
 */
#ifndef FORECACHED_DAEMON_RECORD_JSON_H
#define FORECACHED_DAEMON_RECORD_JSON_H

#include "base/fault.h"
#include "engine/engine.h"

#include <stddef.h>
#include <stdio.h>

#define RECORD_MAX_BYTES  (1u << 20) /* of one record as JSON */
#define RECORD_MAX_VALUES 8192u      /* numbers of one record */

/*
 * {"rate":[0.25,4],"seen":[12]}, to be freed. NULL when the record is above the limits or has a
 * number that is not finite.
 */
char *record_fields_text(const struct record *r);

/*
 * Reads those back into *ret, whose field names and numbers then point into *ret_memory, to be
 * freed. 0, or -EINVAL with *ret_why (a static text).
 */
int record_fields_parse(const char *text, size_t n, struct record *ret, void **ret_memory,
                        const char **ret_why);

/*
 * The first line, then each record. 0, -EINVAL for a record that cannot be written, or -errno of
 * the stream.
 */
int record_export_begin(FILE *f);
int record_export(FILE *f, const struct record *r);

/*
 * Import hands each record to fn, which says 0, or -EINVAL and why; the first error ends it. The
 * text names the line: "line 7: fields: 'rate' is not a list of numbers".
 */
typedef int record_take_fn(void *arg, const struct record *r, const char **ret_why);
int record_import(FILE *f, record_take_fn *fn, void *arg, size_t *ret_n, struct fault *reterr);

#endif
