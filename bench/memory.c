/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What an entry takes beyond its key and value, a million of 32 and 200 bytes, each with a time to
 * live: resident memory that filling added, of the process; of LMDB its pages in use. And how long a
 * writer that was killed keeps its successor waiting.
 */
#include "bench/bench.h"
#include "bench/peer.h"

#include "base/bug.h"
#include "base/hash.h"
#include "base/mem.h"
#include "daemon/crew.h"
#include "store/store.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENTRIES     1000000u
#define KEY_BYTES   32u
#define VALUE_BYTES 200u
#define GIB         (UINT64_C(1) << 30)

static const struct store_clock epoch = {0, {1000000}, 1.0, 0};
static const struct instant now = {2000000};

static struct bytes key_of(uint64_t i, char *buf)
{
	return bytes_of(buf, (size_t)sprintf(buf, "/%031llx", (unsigned long long)i));
}

static struct store_item item_of(struct bytes key, struct bytes value)
{
	return (struct store_item){.key = key,
	                           .value = value,
	                           .version = hash_bytes(value, 0) | 1,
	                           .loaded = now,
	                           .soft = instant_add(now, SPAN_S(3600)),
	                           .hard = instant_add(now, SPAN_S(7200)),
	                           .max_age = SPAN_S(86400)};
}

static void *shared(uint64_t bytes)
{
	void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED)
		bench_die("mmap");
	return mem;
}

static struct store *make(void *mem, uint64_t bytes)
{
	struct store *s;

	if (store_create(mem, bytes, 1, epoch, &s))
		bench_die("store_create");
	return s;
}

/* Puts until it is full, at most n; returns how many. */
static uint64_t fill(struct store *s, uint64_t n, struct bytes value)
{
	char buf[KEY_BYTES + 1];
	uint64_t i;

	for (i = 0; i < n; i++) {
		struct store_item item = item_of(key_of(i, buf), value);

		if (store_put(s, &item, NULL))
			break;
	}
	return i;
}

static double beyond(uint64_t bytes, uint64_t before)
{
	return (double)(bytes - before) / ENTRIES - KEY_BYTES - VALUE_BYTES;
}

/* Fills a segment of this size in a process of its own: what did it take, of its memory? */
static bool try_size(uint64_t bytes, struct bytes value, uint64_t *ret_resident)
{
	uint64_t *said = shared(4096);
	bool held;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		void *mem = shared(bytes);
		uint64_t before = resident_bytes(0);
		struct store *s = make(mem, bytes);

		said[0] = fill(s, ENTRIES, value);
		said[1] = resident_bytes(0) - before;
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		bench_die("fork");
	held = said[0] == ENTRIES;
	*ret_resident = said[1];
	munmap(said, 4096);
	return held;
}

/* The smallest segment that holds them all, to a hundredth. */
static double ours(struct bytes value, double *ret_segment)
{
	uint64_t bytes = ENTRIES * UINT64_C(232), resident;

	do {
		bytes += bytes / 100;
		bytes -= bytes % 4096;
	} while (!try_size(bytes, value, &resident));
	*ret_segment = beyond(bytes, 0);
	return beyond(resident, 0);
}

/*
 * Where a hypervisor keeps page tables of its own (shadow paging), a page that this process has
 * mapped still costs a trip to it when it is touched for the first time.
 */
static void touch(const volatile unsigned char *mem, uint64_t bytes)
{
	for (uint64_t at = 0; at < bytes; at += 4096)
		(void)mem[at];
}

static void attach(size_t value_bytes)
{
	struct bytes value = {mem_calloc(value_bytes, 1), value_bytes};
	const struct store_crew crew = {crew_run, crew_threads()};
	char title[96];
	void *mem = shared(GIB);
	struct store *s;
	struct store_found found;
	uint64_t *n = shared(4096);
	int64_t start;
	double ms, mapped, touched;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		s = make(mem, GIB);
		*n = fill(s, UINT64_MAX, value);
		/* goes on replacing until it is killed */
		for (uint64_t i = 0;; i++) {
			char buf[KEY_BYTES + 1];
			struct store_item item = item_of(key_of(hash_u64(i) % *n, buf), value);

			store_put(s, &item, NULL);
			__atomic_store_n(n + 1, i, __ATOMIC_RELEASE);
		}
	}
	while (__atomic_load_n(n + 1, __ATOMIC_ACQUIRE) < 100000)
		usleep(1000);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	start = bench_ns();
	madvise(mem, GIB, MADV_POPULATE_WRITE); /* as the daemon does */
	mapped = (double)(bench_ns() - start) * 1e-6;
	touch(mem, GIB);
	touched = (double)(bench_ns() - start) * 1e-6 - mapped;
	BUG_ON(store_attach(mem, GIB, 2, epoch, now, &crew, &found, &s));
	ms = (double)(bench_ns() - start) * 1e-6;
	snprintf(title, sizeof(title),
	         "a writer killed with SIGKILL while it replaces %zu bytes, 1 GiB", value_bytes);
	bench_title(title);
	bench_row("attach: every entry verified", ms, "ms", 0, NULL);
	bench_row("  threads", crew.threads, "", 0, NULL);
	bench_row("  of that to map its pages", mapped, "ms", mapped / ms, "of it");
	bench_row("  and to touch each of them once", touched, "ms", touched / ms, "of it");
	bench_row("entries kept", (double)found.kept, "", 0, NULL);
	bench_row("  of those that were there", 100 * (double)found.kept / (double)*n, "%", 0,
	          NULL);
	store_release(&s);
	munmap(mem, GIB);
	munmap(n, 4096);
	free((void *)(uintptr_t)value.p);
}

void bench_memory(void)
{
	static const char *const peer[] = {"memcached", "redis-server", "LMDB"};
	struct bytes value = {mem_calloc(VALUE_BYTES, 1), VALUE_BYTES};
	double segment, all = ours(value, &segment);

	bench_title("memory per entry beyond key and value, 1000000 x (32 B + 200 B)");
	bench_row("the store: segment and what its writer keeps", all, "B", 0, NULL);
	bench_row("  of that the segment, the smallest that holds them", segment, "B",
	          segment / all, "of it");
	for (int i = 0; i < 3; i++) {
		struct peer *p = peer_start(peer[i], ENTRIES * UINT64_C(400));
		uint64_t before;
		double theirs;

		if (!p)
			continue;
		before = peer_memory(p);
		peer_fill(p, key_of, ENTRIES, value);
		theirs = beyond(peer_memory(p), before);
		bench_row(peer[i], theirs, "B", theirs / all, "x the store");
		peer_stop(&p);
	}
	free((void *)(uintptr_t)value.p);
	attach(1024);
	attach(VALUE_BYTES);
}
