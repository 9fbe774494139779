/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Says which endpoint patterns of the configuration have matched nothing for a while: most likely
 * they are misspelt.
 */
#ifndef FORECACHED_DAEMON_UNMATCHED_H
#define FORECACHED_DAEMON_UNMATCHED_H

struct daemon;
struct unmatched;

/* Looks once, unmatched_after from now; after a reload, call unmatched_restart. */
struct unmatched *unmatched_new(struct daemon *d);
void unmatched_restart(struct unmatched *u);
void unmatched_free(struct unmatched **u);

#endif
