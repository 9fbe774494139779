/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/crew.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

struct crew {
	void (*fn)(void *job, unsigned i);
	void *job;
	unsigned n;
	atomic_uint next;
};

unsigned crew_threads(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) ? 1 : CPU_COUNT(&set);

	return n < 1 ? 1 : (unsigned)n > CREW_MAX ? CREW_MAX : (unsigned)n;
}

static void *take_part(void *arg)
{
	struct crew *c = arg;
	unsigned i;

	/* relaxed: who takes which says nothing of what the others have done; that, the join says */
	while ((i = atomic_fetch_add_explicit(&c->next, 1, memory_order_relaxed)) < c->n)
		c->fn(c->job, i);
	return NULL;
}

void crew_run(unsigned threads, void (*fn)(void *job, unsigned i), void *job, unsigned n)
{
	struct crew c = {.fn = fn, .job = job, .n = n};
	pthread_t thread[CREW_MAX];
	unsigned more = 0;

	while (more + 1 < threads && more + 1 < n && more < CREW_MAX &&
	       !pthread_create(&thread[more], NULL, take_part, &c))
		more++;
	take_part(&c);
	while (more)
		pthread_join(thread[--more], NULL);
}
