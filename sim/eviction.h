/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the engine keeps when memory is short: keys asked for one after the other, a cache that
 * holds so many entries and no more, and nothing ever changes or expires.
 *
 * HOW IT WORKS the engine runs on a store whose entries all have one size, in memory that holds
 * exactly the wanted number of them. The list has no times: requests come 1 ms apart, loads end at
 * once.
 */
#ifndef FORECACHED_SIM_EVICTION_H
#define FORECACHED_SIM_EVICTION_H

#include "base/fault.h"

#include <stdbool.h>
#include <stdint.h>

#define EVICTION_MAX_ENTRIES 10000000u

struct eviction {
	const char *path; /* one key a line, packed or not */
	uint32_t entries; /* 1 .. EVICTION_MAX_ENTRIES */
	uint64_t seed;
	bool (*interrupted)(void); /* may be NULL */
};

struct eviction_result {
	uint64_t requests, misses;
};

/* 0; -EINTR; or a negative errno with a fault. */
int eviction_run(const struct eviction *v, struct eviction_result *ret, struct fault *reterr);

#endif
