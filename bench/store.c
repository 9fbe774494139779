/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the store costs: bench/store [MiB]. One segment of 256 MiB unless told otherwise.
 *	same size    ns per get by a reader and per put by the writer, bytes of segment per key
 *	mixed sizes  how full a store is that evicts what store_sample gives until a put succeeds,
 *	             and what a put takes with the evictions it needs
 */
#include "base/bug.h"
#include "base/mem.h"
#include "base/rng.h"
#include "store/reader.h"
#include "store/store.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define OPS 1000000u

static const struct store_clock epoch = {0, {0}, 1.0, 0};
static const struct instant now = {1000000};
static unsigned char *value, *buf;

static double clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static struct bytes key_name(uint64_t k)
{
	static char name[32];

	return bytes_of(name, (size_t)snprintf(name, sizeof(name), "/quotes/%08" PRIu64, k));
}

static struct store_item item_of(uint64_t k, size_t n)
{
	return (struct store_item){.key = key_name(k),
	                           .value = bytes_of(value, n),
	                           .version = k,
	                           .loaded = now,
	                           .soft = INSTANT_NEVER,
	                           .hard = INSTANT_NEVER,
	                           .max_age = SPAN_MAX};
}

/* Puts it, evicting at random; returns how many that took. */
static unsigned put(struct store *s, struct rng *g, const struct store_item *i)
{
	unsigned evicted = 0;
	uint32_t h;
	int r;

	while ((r = store_put(s, i, &h)) == -ENOSPC) {
		store_remove(s, store_sample(s, g));
		evicted++;
	}
	BUG_ON(r != 0);
	return evicted;
}

static void same_size(void *mem, uint64_t bytes, size_t n)
{
	struct store *s;
	struct store_item i = item_of(0, n);
	struct store_reader r;
	struct reader_value v;
	struct store_stats st;
	struct rng g;
	uint64_t keys = 0, hits = 0;
	double t0, put_ns, replace_ns, evict_ns, name_ns, get_ns, hit_few_ns, miss_ns, attach_ms;
	uint32_t h;

	BUG_ON(store_create(mem, bytes, 1, epoch, &s));
	rng_init(&g, 1);
	t0 = clock_ns();
	while (store_put(s, &i, &h) == 0)
		i = item_of(++keys, n);
	put_ns = (clock_ns() - t0) / (double)keys;
	store_stats(s, &st);

	t0 = clock_ns();
	for (unsigned k = 0; k < OPS; k++)
		hits += key_name(rng_below(&g, keys)).n;
	name_ns = (clock_ns() - t0) / OPS;

	BUG_ON(store_reader_init(&r, mem, bytes) != 0);
	t0 = clock_ns();
	for (unsigned k = 0; k < OPS; k++)
		hits += store_reader_get(&r, key_name(rng_below(&g, keys)), now, buf, n, &v) ==
		        READER_FRESH;
	get_ns = (clock_ns() - t0) / OPS - name_ns;
	t0 = clock_ns();
	for (unsigned k = 0; k < OPS; k++)
		hits += store_reader_get(&r, key_name(rng_below(&g, 100)), now, buf, n, &v) ==
		        READER_FRESH;
	hit_few_ns = (clock_ns() - t0) / OPS - name_ns;
	t0 = clock_ns();
	for (unsigned k = 0; k < OPS; k++)
		hits += store_reader_get(&r, key_name(keys + rng_below(&g, keys)), now, buf, n,
		                         &v) == READER_FRESH;
	miss_ns = (clock_ns() - t0) / OPS - name_ns;
	BUG_ON(hits != 2 * (uint64_t)OPS + (uint64_t)OPS * 16);

	t0 = clock_ns();
	for (unsigned k = 0; k < OPS / 4; k++) {
		i = item_of(rng_below(&g, keys), n);
		put(s, &g, &i);
	}
	replace_ns = (clock_ns() - t0) / (OPS / 4) - name_ns;
	t0 = clock_ns();
	for (unsigned k = 0; k < OPS / 4; k++) {
		i = item_of(keys + k, n);
		put(s, &g, &i);
	}
	evict_ns = (clock_ns() - t0) / (OPS / 4) - name_ns;
	store_release(&s);
	t0 = clock_ns();
	BUG_ON(store_attach(mem, bytes, 2, epoch, now, NULL, NULL, &s));
	attach_ms = (clock_ns() - t0) * 1e-6;
	printf("%6zu %8" PRIu64 " %9.1f | %7.0f %7.0f %6.0f | %7.0f %7.0f %7.0f | %9.0f\n", n, keys,
	       (double)bytes / (double)keys, get_ns, hit_few_ns, miss_ns, put_ns, replace_ns,
	       evict_ns, attach_ms);
	store_release(&s);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sizes from lo to hi, their logarithms evenly spread; then all ten times as large. */
static void mixed(void *mem, uint64_t bytes, double lo, double hi)
{
	struct store *s;
	struct store_item i;
	struct store_stats st, full;
	struct rng g;
	uint64_t next = 0, evicted = 0, put_bytes = 0;
	unsigned n_puts, from;
	double *ns, t0, fill, sum;

	BUG_ON(store_create(mem, bytes, 1, epoch, &s));
	rng_init(&g, 1);
	for (int phase = 0; phase < 2; phase++, lo *= 10, hi *= 10) {
		n_puts = (unsigned)fmin(1e6, 6.0 * (double)bytes / ((hi - lo) / log(hi / lo)));
		from = n_puts / 2;
		ns = mem_calloc(n_puts, sizeof(*ns));
		fill = sum = 0;
		evicted = put_bytes = 0;
		for (unsigned k = 0; k < n_puts; k++) {
			i = item_of(next++, (size_t)(lo * pow(hi / lo, rng_uniform(&g))));
			t0 = clock_ns();
			evicted += put(s, &g, &i);
			ns[k] = clock_ns() - t0;
			put_bytes += i.value.n;
			store_stats(s, &full);
			if (k >= from)
				sum += ns[k];
			if (k >= from)
				fill += (double)full.bytes_used / (double)full.bytes_total;
		}
		qsort(ns, n_puts, sizeof(*ns), by_size);
		store_stats(s, &st);
		printf("%8.0f %9.0f | %6.2f %% %8.2f | %8.0f %8.0f %9.0f %9.0f\n", lo, hi,
		       100 * fill / (n_puts - from), (double)evicted / n_puts,
		       sum / (n_puts - from), ns[n_puts / 2], ns[(size_t)(n_puts * 0.99)],
		       ns[n_puts - 1]);
		free(ns);
	}
	store_release(&s);
}

int main(int argc, char **argv)
{
	uint64_t bytes = (argc > 1 ? strtoull(argv[1], NULL, 10) : 256) << 20;
	void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	BUG_ON(mem == MAP_FAILED);
	value = mem_calloc(1, 16u << 20);
	buf = mem_calloc(1, 16u << 20);
	for (size_t k = 0; k < 16u << 20; k++) {
		value[k] = (unsigned char)(k * 7 + (k >> 8));
		((unsigned char *)mem)[k % bytes] = 0;
	}
	printf("segment %" PRIu64 " MiB; times in ns\n", bytes >> 20);
	printf(" value     keys bytes/key |     get get/100   miss |     put replace   evict | "
	       "attach ms\n");
	same_size(mem, bytes, 100);
	same_size(mem, bytes, 100);
	same_size(mem, bytes, 1024);
	same_size(mem, bytes, 10240);
	printf("   sizes from .. to |     full  evicted | put:mean      p50       p99       max\n");
	mixed(mem, bytes, 100, 10000);
	mixed(mem, bytes, 100, 100000);
	mixed(mem, bytes, 1000, 800000);
	free(value);
	free(buf);
	munmap(mem, bytes);
	return 0;
}
