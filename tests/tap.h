/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Unit tests that print TAP. A test program includes the .c it tests (to reach its statics) or its
 * header, and is one chain of TEST functions:
 *
 *	TEST(a_key_that_never_changes_gets_the_longest_ttl)
 *	{
 *		OK(ttl.us == max.us, "ttl %" PRId64, ttl.us);
 *		NEAR(rate, 0.1, 0.01);
 *	}
 *	int main(int argc, char **argv)
 *	{
 *		tap_start(argc, argv);
 *		RUN(a_key_that_never_changes_gets_the_longest_ttl);
 *		return tap_done();
 *	}
 *
 * One TAP line per TEST; every failed check prints its place. `./t_rate 123` runs with seed 123;
 * the seed is printed first. No test reads a clock or sleeps: time is handed in.
 */
#ifndef FORECACHED_TESTS_TAP_H
#define FORECACHED_TESTS_TAP_H

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t tap_seed = 1;
static int tap_tests, tap_failed, tap_bad_here;

static inline void tap_start(int argc, char **argv)
{
	if (argc > 1)
		tap_seed = strtoull(argv[1], NULL, 10);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("# seed %" PRIu64 "\n", tap_seed);
}

/* The text of the condition is no part of the format: it may hold a %. */
__attribute__((format(printf, 5, 6))) static inline void
tap_check(bool ok, const char *file, int line, const char *cond, const char *fmt, ...)
{
	va_list ap;

	if (ok)
		return;
	tap_bad_here++;
	printf("# %s:%d: not true: %s;", file, line, cond);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

static inline void tap_run(const char *name, void (*fn)(void))
{
	tap_bad_here = 0;
	fn();
	tap_tests++;
	tap_failed += tap_bad_here > 0;
	printf("%s %d - ", tap_bad_here ? "not ok" : "ok", tap_tests);
	for (; *name; name++)
		putchar(*name == '_' ? ' ' : *name);
	putchar('\n');
}

static inline int tap_done(void)
{
	printf("1..%d\n", tap_tests);
	return tap_failed ? 1 : 0;
}

#define TEST(name)    static void name(void)
#define RUN(name)     tap_run(#name, name)
#define OK(cond, ...) tap_check((cond), __FILE__, __LINE__, #cond, " " __VA_ARGS__)
#define NEAR(got, want, tol)                                                                       \
	do {                                                                                       \
		double g_ = (got), w_ = (want), t_ = (tol);                                        \
		tap_check(fabs(g_ - w_) <= t_, __FILE__, __LINE__, #got " is near " #want,         \
		          " it is %.9g, not %.9g +- %.3g", g_, w_, t_);                            \
	} while (0)

#endif
