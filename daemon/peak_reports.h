/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How the last peaks went: what was wanted, warm and late at each, what it cost, and why keys were not
 * loaded (struct peak_report).
 *
 * HOW IT WORKS the latest schedule_reports are held, oldest first, and each is a record of its own in the
 * state file, named by its slot in a ring: a new one takes the place of the one that is schedule_reports
 * older. What comes for the same name and instant, as for the patterns of one schedule, is one report.
 * Instants are of the wall clock.
 */
#ifndef FORECACHED_DAEMON_PEAK_REPORTS_H
#define FORECACHED_DAEMON_PEAK_REPORTS_H

#include "base/bytes.h"
#include "engine/engine.h"
#include "proto/pack.h"

#include <stddef.h>

struct learned;
struct peak_reports;

/* Those of earlier runs, at most `most`. */
struct peak_reports *peak_reports_new(struct learned *l, size_t most);
void peak_reports_free(struct peak_reports **p);

/* Keeps a report, here and in the state file, and at most `most` > 0 in all. Gives what is known by now. */
struct peak_report peak_reports_add(struct peak_reports *p, struct bytes name,
                                    const struct peak_report *r, size_t most);

/* The latest of that name, or NULL. Valid until the next call of peak_reports_add(). */
const struct peak_report *peak_reports_last(const struct peak_reports *p, struct bytes name);

/* Writes the latest `max` of that name as an array of rows, oldest first; how many. An empty name: of all. */
size_t peak_reports_write(const struct peak_reports *p, struct bytes name, size_t max,
                          struct pack *w);

#endif
