/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Named schedules: recurrence rules of the configuration and those added at run time, expanded into
 * instants for the engine, some way ahead, again and again as time goes on.
 *
 * HOW IT WORKS what a schedule says is a schedule_rule.h; expanding it is a job of the workers. How the
 * last instants went is in peak_reports.h. The engine knows one pattern per schedule; one with more
 * patterns is given to it as "name", "name#2", "name#3". Schedules that were added at run time are kept in
 * schedules.json in the state directory; one of the configuration cannot be replaced by them. Where that
 * file cannot be written they stay in memory, who asked is told, and it is tried again; where it cannot be
 * read it is set aside as schedules.json.refused.
 */
#ifndef FORECACHED_DAEMON_SCHEDULES_H
#define FORECACHED_DAEMON_SCHEDULES_H

#include "base/bytes.h"
#include "base/instant.h"
#include "daemon/setup.h"
#include "proto/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct daemon;
struct schedules;

/* Takes those of the configuration and those kept; asks the workers to expand them. */
struct schedules *schedules_new(struct daemon *d);
void schedules_free(struct schedules **s);

/* After a reload: those of the configuration are taken anew. */
void schedules_configure(struct schedules *s);

/* All rules once more, e.g. because the wall clock was stepped. */
void schedules_expand(struct schedules *s);

/*
 * Called once on the engine's thread: status of the protocol, its text, or the result, packed:
 * {"count", "tz", "calendar", "skip_holidays", "saved"}, and for a dry run "next": [ten instants] instead
 * of saved. Frees arg.
 */
typedef void schedules_added_fn(struct daemon *d, void *arg, int status, const char *text,
                                struct bytes result);

/*
 * 0: fn is called when a worker has read the rule; arg is then its own, and freed with free() if
 * the daemon ends before. Else a status with its text, and fn is not called.
 */
int schedules_add(struct schedules *s, const struct request *r, schedules_added_fn *fn, void *arg,
                  char *ret_text, size_t cap);
/* 0, or a status of the protocol with the text. Saved: the file knows of it. */
int schedules_remove(struct schedules *s, struct bytes name, bool *ret_saved, char *ret_text,
                     size_t cap);

/* Is there something that could not be written to the file yet? */
bool schedules_unsaved(const struct schedules *s);

/*
 * A peak has come: keeps how it went, here and in the state file. Gives the schedule's name without
 * the "#2".
 */
struct bytes schedules_peak(struct schedules *s, struct bytes name, const struct peak_report *r);

/* Write the rows of the protocol as an array. An empty name: all. */
void schedules_write_list(struct schedules *s, struct pack *w);
void schedules_write_next(struct schedules *s, struct bytes name, size_t max, struct pack *w);
/* Gives how many rows. */
size_t schedules_write_report(struct schedules *s, struct bytes name, size_t max, struct pack *w);

/* For metrics; instants of the wall clock, NONE: there is none. */
struct schedule_state {
	const char *name;
	struct instant next, last;
	uint64_t wanted, warm; /* keys, at the last */
};
bool schedules_state(const struct schedules *s, size_t i, struct schedule_state *ret);

/*
 * The i-th calendar that the configuration does not name, but a schedule that was set at run time:
 * like setup_calendar.
 */
bool schedules_calendar(const struct schedules *s, size_t i, const char **ret_name,
                        double *ret_days);

size_t schedules_count(const struct schedules *s);
bool schedules_has(const struct schedules *s, struct bytes name);

/*
 * Are the rules of the configuration rules? -EINVAL with *reterr naming the schedule and its key. Strict:
 * and do they fire? Without that the log will say so: single times are over some day.
 */
int schedules_check(struct setup *s, struct instant now, bool strict, struct config_error *reterr);

#endif
