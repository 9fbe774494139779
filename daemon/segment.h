/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The file behind the store: shared memory that outlives the daemon.
 *
 * HOW IT WORKS a file in segment_dir named after the run directory, and a symlink `segment` to it
 * in the run directory, where readers find it. All of it is allocated when it is made, so that no
 * write to it can fail later. A file of the right size that an earlier daemon left is used again;
 * one of another size is unlinked, never cut: readers may have it mapped.
 */
#ifndef FORECACHED_DAEMON_SEGMENT_H
#define FORECACHED_DAEMON_SEGMENT_H

#include "base/fault.h"
#include "base/instant.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct segment {
	void *mem;
	uint64_t bytes;
	char path[4200];
	bool used_before; /* may hold an earlier daemon's entries */
};

/* 0; -ENOSPC: does not fit segment_dir; or another negative errno value, with the text. */
int segment_open(const char *segment_dir, const char *run_dir, uint64_t bytes, mode_t mode,
                 struct segment *ret, struct fault *reterr);

/* Unmaps it; the file stays. */
void segment_close(struct segment *s);

/* A start has failed: removes the file and the link to it, if that start has made them. */
void segment_undo(const struct segment *s, const char *run_dir);

/* Which boot of the host this is, as a hash; 0: the system does not say. */
uint64_t segment_host(void);

/*
 * What an earlier daemon's clock would show now, if that ran in the same boot of the host;
 * INSTANT_NONE when there is none to be read.
 */
struct instant segment_clock(const struct segment *s, uint64_t host, int64_t boot_us);

#endif
