/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Benchmarks: one program, one table. Each file measures one path and prints rows:
 *
 *	what was measured             figure unit    ratio  beside what
 *
 * HOW IT WORKS what takes nanoseconds is timed BENCH_BATCH at a time, thousands of times in a round,
 * and a round's figure is the median of them (p50). Of each figure the best of BENCH_ROUNDS rounds
 * is printed: what else runs on the machine only ever adds to it. The ratio is to another row of the same run on the same machine, because figures of
 * different machines do not compare. Nothing here passes or fails.
 */
#ifndef FORECACHED_BENCH_BENCH_H
#define FORECACHED_BENCH_BENCH_H

#include <stddef.h>
#include <stdint.h>

#define BENCH_ROUNDS 7
#define BENCH_BATCH  64u

/* Nanoseconds of CLOCK_MONOTONIC. */
int64_t bench_ns(void);

/* Does the work n times. */
typedef void bench_fn(void *arg, size_t n);

/*
 * Nanoseconds per piece of work: the best of the rounds of n pieces each, after one to warm up. CPU
 * time of this thread for what computes; time on the wall for what waits for another thread.
 */
double bench_cpu_ns(bench_fn *fn, void *arg, size_t n);
double bench_wall_ns(bench_fn *fn, void *arg, size_t n);

/*
 * Nanoseconds per piece of work at the median of a round of batches of BENCH_BATCH pieces each, of
 * the best round; so many batches in all rounds together. before is
 * called ahead of each batch, outside the time (NULL: nothing).
 */
double bench_p50_ns(bench_fn *before, bench_fn *fn, void *arg, size_t batches);

/* Keeps the calling thread on one processor, if there is a second for the others. */
void bench_pin(int cpu);

/* A headline, and a row; with --json FILE each row is a line there, too. versus NULL: no ratio. */
void bench_title(const char *title);
void bench_row(const char *what, double figure, const char *unit, double ratio, const char *versus);

/* Ends the program with a word about what a system call said. */
_Noreturn void bench_die(const char *what);

/* A directory for sockets and links; removed with what is in it at the end. */
const char *bench_dir(void);

struct pack;

/* Writes n events in columns, skewed as requests are (events.c). */
void bench_pack_events(struct pack *columns, size_t n);

void bench_daemon(void); /* daemon.c */
void bench_get(void);    /* get.c */
void bench_packed(void); /* get.c */
void bench_events(void); /* events.c */
void bench_memory(void); /* memory.c */
void bench_pause(void);  /* pause.c */

#endif
