/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bench [--json FILE] [PART…]: runs all benchmarks, or those named. */
#include "bench/bench.h"

#include "base/mem.h"

#include <ftw.h>
#include <gsl/gsl_errno.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char dir[64], title[160];
static FILE *json;

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

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_p50_ns(bench_fn *before, bench_fn *fn, void *arg, size_t batches)
{
	size_t n = batches / BENCH_ROUNDS + 1;
	double *ns = mem_calloc(n, sizeof(*ns)), best = HUGE_VAL;

	for (int round = 0; round < BENCH_ROUNDS; round++) {
		for (size_t i = 0; i < n; i++) {
			int64_t start;

			if (before)
				before(arg, BENCH_BATCH);
			start = bench_ns();
			fn(arg, BENCH_BATCH);
			ns[i] = (double)(bench_ns() - start) / BENCH_BATCH;
		}
		qsort(ns, n, sizeof(*ns), by_size);
		best = fmin(best, ns[n / 2]);
	}
	free(ns);
	return best;
}

void bench_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
		sched_setaffinity(0, sizeof(set), &set);
}

/* A string of JSON; what is printed here needs no escapes but for quotes. */
static void json_text(const char *s)
{
	fputc('"', json);
	for (; *s; s++)
		if (*s == '"' || *s == '\\')
			fprintf(json, "\\%c", *s);
		else
			fputc(*s, json);
	fputc('"', json);
}

static void json_row(const char *what, double figure, const char *unit, double ratio,
                     const char *versus)
{
	fprintf(json, "{\"part\": ");
	json_text(title);
	fprintf(json, ", \"what\": ");
	json_text(what);
	fprintf(json, ", \"figure\": %.6g, \"unit\": ", figure);
	json_text(unit);
	if (versus) {
		fprintf(json, ", \"ratio\": %.6g, \"to\": ", ratio);
		json_text(versus);
	}
	fprintf(json, "}\n");
	fflush(json);
}

void bench_title(const char *t)
{
	snprintf(title, sizeof(title), "%s", t);
	printf("\n%-66s %12s %-8s %8s\n", title, "figure", "", "ratio");
}

void bench_row(const char *what, double figure, const char *unit, double ratio, const char *versus)
{
	int digits = figure < 10 ? 2 : figure < 100 ? 1 : 0;

	printf("  %-64s %12.*f %-8s", what, digits, figure, unit);
	if (versus)
		printf(" %8.*f %s", ratio < 10 ? 2 : 0, ratio, versus);
	printf("\n");
	fflush(stdout);
	if (json)
		json_row(what, figure, unit, ratio, versus);
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
} part[] = {{"get", bench_get},
            {"packed", bench_packed},
            {"memory", bench_memory},
            {"pause", bench_pause},
            {"events", bench_events},
            {"daemon", bench_daemon}};
#define PARTS (sizeof(part) / sizeof(part[0]))

/* In a process of its own: what one leaves in the heap, another would take without asking for memory. */
static void run_part(void (*run)(void))
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		run();
		fflush(NULL);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		bench_die("fork");
	if (status)
		exit(1); /* it has said why */
}

int main(int argc, char **argv)
{
	int first = 1;

	if (argc > 2 && !strcmp(argv[1], "--json")) {
		json = fopen(argv[2], "w");
		if (!json)
			bench_die(argv[2]);
		first = 3;
	}
	gsl_set_error_handler_off();
	snprintf(dir, sizeof(dir), "/tmp/fc-bench-XXXXXX");
	if (!mkdtemp(dir))
		bench_die(dir);
	atexit(remove_dir);
	print_machine();
	for (size_t i = 0; i < PARTS; i++) {
		int wanted = argc <= first;

		for (int k = first; k < argc; k++)
			wanted |= !strcmp(argv[k], part[i].name);
		if (wanted)
			run_part(part[i].run);
	}
	return 0;
}
