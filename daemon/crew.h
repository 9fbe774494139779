/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Threads that share one piece of work and are gone with it: for the start, when there are no workers yet.
 */
#ifndef FORECACHED_DAEMON_CREW_H
#define FORECACHED_DAEMON_CREW_H

#define CREW_MAX 64u

/* As many as there are processors for this process, CREW_MAX at most. */
unsigned crew_threads(void);

/*
 * Carries out fn(job, i) for each i < n, by so many threads, the caller among them, each taking the next
 * one that nobody has taken. Returns when all is done. Where threads cannot be had, fewer do it. A
 * store_crew's run().
 */
void crew_run(unsigned threads, void (*fn)(void *job, unsigned i), void *job, unsigned n);

#endif
