/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How far a long run is, for whoever watches, and whether to give it up. */
#ifndef FORECACHED_SIM_PACE_H
#define FORECACHED_SIM_PACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct pace {
	bool (*interrupted)(void); /* may be NULL; called from the thread that runs */
	atomic_size_t done;        /* requests so far */
};

/* Often enough for a bar and for Ctrl-C, too seldom to be noticed in a profile. */
#define PACE_EVERY 4096

/* Call at every request i; false: give up. */
static inline bool pace_on(struct pace *p, size_t i)
{
	if (i % PACE_EVERY)
		return true;
	atomic_store_explicit(&p->done, i, memory_order_relaxed);
	return !p->interrupted || !p->interrupted();
}

#endif
