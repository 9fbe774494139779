/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/mem.c"

#include "tests/sanitized.h"
#include "tests/tap.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

/* Has the system been asked for huge pages at p? -1: it does not say. */
static int asked_at(const void *p)
{
	/* else the flag is not kept, either */
	bool has_huge = access("/sys/kernel/mm/transparent_hugepage", F_OK) == 0;
	FILE *f = has_huge ? fopen("/proc/self/smaps", "r") : NULL;
	char line[512];
	unsigned long from, to;
	bool here = false;
	int r = -1;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = from <= (uintptr_t)p && (uintptr_t)p < to;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			r = strstr(line, " hg") != NULL;
	}
	if (f)
		fclose(f);
	return r;
}

static long faults(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_minflt;
}

TEST(only_what_is_full_and_large_asks_for_huge_pages)
{
	size_t n = 64 * MIB / 192;
	char *p = mem_reserve(n, 192);

	OK(p && (uintptr_t)p % 64 == 0);
	for (size_t bytes = 192; bytes < MEM_LARGE; bytes += 192)
		mem_filled(p, bytes, 192);
	OK(asked_at(p) != 1);
	for (size_t bytes = MEM_LARGE; bytes < 32 * MIB; bytes += 192)
		mem_filled(p, bytes, 192);
	OK(asked_at(p + PAGE) != 0 && asked_at(p + 26 * MIB) != 0);
	OK(asked_at(p + 32 * MIB) != 1 && asked_at(p + 60 * MIB) != 1);
	/* nor what it grows by, whether or not it is moved; but then it is asked for as it fills */
	p = mem_grow_filled(p, 2 * n, 192, 32 * MIB);
	/* their allocators copy always, to where nobody has asked */
	OK(SANITIZED || (asked_at(p + PAGE) != 0 && asked_at(p + 26 * MIB) != 0));
	OK(asked_at(p + 34 * MIB) != 1 && asked_at(p + 100 * MIB) != 1);
	for (size_t bytes = 32 * MIB; bytes < 100 * MIB; bytes += 192)
		mem_filled(p, bytes, 192);
	OK(asked_at(p + 90 * MIB) != 0 && asked_at(p + 110 * MIB) != 1);
	free(p);
	OK(!mem_reserve(SIZE_MAX / 2, 4));
}

TEST(a_block_that_nobody_said_is_full_asks_for_nothing)
{
	char *p = NULL;

	for (size_t bytes = 4 * MIB; bytes <= 128 * MIB; bytes *= 2) {
		p = mem_realloc(p, bytes, 1);
		OK(asked_at(p + PAGE) != 1 && asked_at(p + bytes - PAGE) != 1, "%zu", bytes);
	}
	free(p);
}

/* Copying would take as many faults again as it took to fill it. */
TEST(a_table_that_has_asked_grows_without_a_copy)
{
	size_t n = 16 * MIB / sizeof(uint64_t), half = n / 2;
	uint64_t *v = mem_reserve(n, sizeof(*v));
	long before, filled, grown;

	/* advice or not: where all memory is in huge pages there are few faults to compare */
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	before = faults();
	for (size_t i = 0; i < half; i++)
		v[i] = i * 7;
	mem_ask_for_huge(v, half * sizeof(*v));
	filled = faults();
	v = mem_grow_filled(v, 4 * n, sizeof(*v), half * sizeof(*v));
	grown = faults();
	prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
	OK(SANITIZED || grown - filled < (filled - before) / 4,
	   "%ld faults to fill it, %ld to grow it", filled - before, grown - filled);
	for (size_t i = 0; i < half; i++)
		OK(v[i] == i * 7);
	free(v);
}

TEST(a_block_is_given_back_in_pieces)
{
	size_t bytes = 3 * MEM_PIECE + 5;
	void *p = mem_calloc(bytes, 1);
	int times = 1;

	while (!mem_give_back(&p, &bytes))
		times++;
	OK(times == 4 && !p && !bytes, "%d times", times);
	OK(mem_give_back(&p, &bytes));
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(only_what_is_full_and_large_asks_for_huge_pages);
	RUN(a_block_that_nobody_said_is_full_asks_for_nothing);
	RUN(a_table_that_has_asked_grows_without_a_copy);
	RUN(a_block_is_given_back_in_pieces);
	return tap_done();
}
