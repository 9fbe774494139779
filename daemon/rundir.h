/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The run directory: made when it is not there, private, and held by one daemon at a time through a
 * lock on the file `lock` in it, which the kernel drops with its holder.
 */
#ifndef FORECACHED_DAEMON_RUNDIR_H
#define FORECACHED_DAEMON_RUNDIR_H

#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The directory that is meant when none is given: $FORECACHED_DIR, else
 * $XDG_RUNTIME_DIR/forecached, else /run/forecached; *ret_from says which of them. To be freed.
 */
char *rundir_default(const char **ret_from);

/*
 * Makes the directory (group: readable by the group as well) if need be and takes the lock. Gives a
 * descriptor to keep open, or a negative errno value: -EBUSY when another daemon has it (the text
 * names its pid), -EPERM when the directory is open to others.
 */
int rundir_lock(const char *dir, bool group, struct fault *reterr);

/* Makes a private directory below one that exists. 0, or a negative errno value with the text. */
int rundir_make(const char *dir, bool group, struct fault *reterr);

#endif
