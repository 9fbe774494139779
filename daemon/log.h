/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The daemon's log: one event a line on stderr, `level event=NAME key=value ...`.
 *
 *	log_line(LOG_NOTICE, "bad_frame", "peer=%s why=%s", peer, log_quote(text, buf));
 *
 * Levels by scope: error, a part of the daemon is lost; warn, a request was hurt; notice, a peer's
 * fault; info, a change; debug, the life of one thing. Values never get in; keys as a hash unless
 * the configuration says otherwise (log_key).
 *
 * HOW IT WORKS of each event name at most `burst` lines are written in any minute; then one line
 * says how many were left out. Under systemd ($JOURNAL_STREAM) lines begin with the priority that
 * journald reads. Any thread may log.
 */
#ifndef FORECACHED_DAEMON_LOG_H
#define FORECACHED_DAEMON_LOG_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_NOTICE, LOG_INFO, LOG_DEBUG };

/* Process-wide. burst: lines of one event and minute. */
void log_setup(enum log_level least, unsigned burst, bool keys_in_clear);

/* "error", "warn", ... False for another word. */
bool log_level_parse(const char *word, enum log_level *ret);

__attribute__((format(printf, 3, 4))) void log_line(enum log_level level, const char *event,
                                                    const char *fmt, ...);

#define LOG_TEXT_BYTES 160

/* The text in quotes if it needs them, control bytes as \xNN, cut to fit; buf holds LOG_TEXT_BYTES.
 */
const char *log_quote(struct bytes text, char *buf);

/* A key as it may be logged: "#9f86d081884c7d65", or quoted when keys are in clear. */
const char *log_key(struct bytes key, char *buf);

/* Lines that were not written because their event came too often. */
uint64_t log_suppressed(void);

#endif
