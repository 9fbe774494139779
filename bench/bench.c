/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs all benchmarks, or those named on the command line. */
#include "bench/bench.h"

#include <ftw.h>
#include <gsl/gsl_errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static char dir[64];

static int64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t bench_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static double each_ns(clockid_t id, bench_fn *fn, void *arg, size_t n)
{
	int64_t best = INT64_MAX;

	fn(arg, n / 4 + 1);
	for (int i = 0; i < BENCH_ROUNDS; i++) {
		int64_t start = clock_ns(id), took;

		fn(arg, n);
		took = clock_ns(id) - start;
		best = took < best ? took : best;
	}
	return (double)best / (double)n;
}

double bench_cpu_ns(bench_fn *fn, void *arg, size_t n)
{
	return each_ns(CLOCK_THREAD_CPUTIME_ID, fn, arg, n);
}

double bench_wall_ns(bench_fn *fn, void *arg, size_t n)
{
	return each_ns(CLOCK_MONOTONIC, fn, arg, n);
}

void bench_title(const char *title)
{
	printf("\n%-58s %12s %-8s %8s\n", title, "best", "", "ratio");
}

void bench_row(const char *what, double figure, const char *unit, double ratio, const char *versus)
{
	int digits = figure < 10 ? 2 : figure < 100 ? 1 : 0;

	printf("  %-56s %12.*f %-8s", what, digits, figure, unit);
	if (versus)
		printf(" %8.*f %s", ratio < 10 ? 2 : 0, ratio, versus);
	printf("\n");
	fflush(stdout);
}

void bench_die(const char *what)
{
	perror(what);
	exit(1);
}

const char *bench_dir(void)
{
	return dir;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

static void remove_dir(void)
{
	char link[96], segment[128];
	ssize_t n;

	/* after an early end the segment of host.c is still there */
	snprintf(link, sizeof(link), "%s/segment", dir);
	n = readlink(link, segment, sizeof(segment) - 1);
	if (n > 0) {
		segment[n] = '\0';
		unlink(segment);
	}
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* What the figures belong to: processor, its count, kernel, compiler. */
static void print_machine(void)
{
	char line[256] = "", *cpu = NULL;
	struct utsname u;
	FILE *f = fopen("/proc/cpuinfo", "r");

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "model name", 10) && (cpu = strchr(line, ':')))
			break;
	if (f)
		fclose(f);
	line[strcspn(line, "\n")] = '\0';
	uname(&u);
	printf("machine: %s, %ld processors, %s %s, compiler %s\n", cpu ? cpu + 2 : u.machine,
	       sysconf(_SC_NPROCESSORS_ONLN), u.sysname, u.release, __VERSION__);
}

static const struct {
	const char *name;
	void (*run)(void);
} part[] = {{"get", bench_get}, {"events", bench_events}, {"daemon", bench_daemon}};
#define PARTS (sizeof(part) / sizeof(part[0]))

int main(int argc, char **argv)
{
	gsl_set_error_handler_off();
	snprintf(dir, sizeof(dir), "/tmp/fc-bench-XXXXXX");
	if (!mkdtemp(dir))
		bench_die(dir);
	atexit(remove_dir);
	print_machine();
	for (size_t i = 0; i < PARTS; i++) {
		int wanted = argc < 2;

		for (int k = 1; k < argc; k++)
			wanted |= !strcmp(argv[k], part[i].name);
		if (wanted)
			part[i].run();
	}
	return 0;
}
