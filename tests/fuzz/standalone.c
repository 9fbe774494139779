/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Runs a fuzz target without a fuzzer: each file of its corpus, then random mutations of them.
 *
 *	fuzz_X [--runs N] [--seed N] [--only N] [FILE|DIRECTORY...]
 *
 * HOW IT WORKS the number of mutations bounds the run, not the time, and the same seed gives the
 * same inputs: each run draws from a generator of its own, seeded by (seed, run), so that --only N
 * repeats run N alone. An input that kills the process is left in NAME.crash, and the run is
 * printed. Without arguments the corpus is $top_srcdir/tests/fuzz/corpus/NAME, and the runs and
 * seed are FUZZ_RUNS (2000) and FUZZ_SEED (1). Prints TAP.
 */
#include "tests/fuzz/fuzz.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/vec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* One input that takes longer is a hang. */
#define HANG_S 20

/* Mutations of one input are stacked: 1 with probability 1/2, 2 with 1/4, … */
#define MAX_STACK 16

struct input {
	char *name;
	uint8_t *p;
	size_t n;
};

/* What runs now, for the handler of its death. */
static struct {
	const uint8_t *p;
	size_t n;
	char what[128];
	char crash_file[64];
} now;

/* Sanitizers are to die by a signal, which is where the input is kept. */
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

const char *__asan_default_options(void)
{
	return "abort_on_error=1";
}

const char *__ubsan_default_options(void)
{
	return "abort_on_error=1:print_stacktrace=1";
}

static void say(const char *s)
{
	ssize_t ignored = write(STDOUT_FILENO, s, strlen(s));

	(void)ignored;
}

/* Keeps the input. Only what a signal handler may call. */
static void save_input(void)
{
	int fd = open(now.crash_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	ssize_t ignored = fd < 0 ? 0 : write(fd, now.p, now.n);

	(void)ignored;
	if (fd >= 0)
		close(fd);
	say("# died in ");
	say(now.what);
	say(", the input is in ");
	say(now.crash_file);
	say("\n");
}

static void on_signal(int sig)
{
	say(sig == SIGALRM ? "# hangs\n" : "# killed by a signal\n");
	save_input();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void watch_for_death(void)
{
	int sig[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM};

	snprintf(now.crash_file, sizeof(now.crash_file), "%s.crash", fuzz_target.name);
	for (size_t i = 0; i < sizeof(sig) / sizeof(*sig); i++)
		signal(sig[i], on_signal);
}

/* Memory whose end is followed by a page that nobody may touch. */
struct arena {
	uint8_t *end;
	size_t cap;
};

static struct arena arena_new(size_t want)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), cap = (want + page) / page * page;
	uint8_t *p =
	        mmap(NULL, cap + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || mprotect(p + cap, page, PROT_NONE)) {
		perror("mmap");
		exit(1);
	}
	return (struct arena){p + cap, cap};
}

static void run_one(const struct arena *a, const uint8_t *p, size_t n)
{
	uint8_t *at = a->end - n;

	if (n)
		memcpy(at, p, n);
	now.p = at;
	now.n = n;
	alarm(HANG_S);
	LLVMFuzzerTestOneInput(at, n);
	alarm(0);
}

typedef VEC(struct input) input_list;

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct input *)a)->name, ((const struct input *)b)->name);
}

/* Reads a file, or all files of a directory; whatever cannot be read ends the program. */
static void load(const char *path, input_list *list)
{
	struct stat st;
	DIR *dir;
	struct dirent *e;
	struct input in = {0};
	FILE *f;

	if (stat(path, &st))
		goto fail;
	if (S_ISDIR(st.st_mode)) {
		dir = opendir(path);
		if (!dir)
			goto fail;
		while ((e = readdir(dir))) {
			char sub[4096];

			if (e->d_name[0] == '.')
				continue;
			snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name);
			load(sub, list);
		}
		closedir(dir);
		return;
	}
	f = fopen(path, "rb");
	if (!f)
		goto fail;
	in.name = mem_dup(path, strlen(path));
	in.p = mem_calloc(fuzz_target.max_bytes + 1, 1);
	in.n = fread(in.p, 1, fuzz_target.max_bytes, f);
	fclose(f);
	*vec_push(list) = in;
	return;
fail:
	printf("Bail out! %s: %s\n", path, strerror(errno));
	exit(1);
}

/* Makes room for n bytes at `at`, as far as there is room. */
static size_t open_gap(struct input *in, size_t at, size_t n)
{
	if (n > fuzz_target.max_bytes - in->n)
		n = fuzz_target.max_bytes - in->n;
	memmove(in->p + at + n, in->p + at, in->n - at);
	in->n += n;
	return n;
}

static void put_number(struct rng *g, struct input *in)
{
	static const uint64_t edge[] = {0,
	                                1,
	                                0x7f,
	                                0x80,
	                                0xff,
	                                0x7fff,
	                                0xffff,
	                                0x7fffffff,
	                                0x80000000,
	                                0xffffffff,
	                                0x7fffffffffffffff,
	                                0x8000000000000000,
	                                0xffffffffffffffff};
	uint64_t x = edge[rng_below(g, sizeof(edge) / sizeof(*edge))] + rng_below(g, 3) - 1;
	size_t width = (size_t)1 << rng_below(g, 4), at;
	bool big_endian = rng_below(g, 2);

	if (in->n < width)
		return;
	at = rng_below(g, in->n - width + 1);
	for (size_t i = 0; i < width; i++)
		in->p[at + i] = (uint8_t)(x >> 8 * (big_endian ? width - 1 - i : i));
}

static void put_decimal(struct rng *g, struct input *in)
{
	static const char *const edge[] = {"0",
	                                   "-1",
	                                   "1e999",
	                                   "nan",
	                                   "-inf",
	                                   "9223372036854775807",
	                                   "9223372036854775808",
	                                   "18446744073709551616",
	                                   "-9223372036854775809",
	                                   "0.0000001",
	                                   "1e-320"};
	const char *s = edge[rng_below(g, sizeof(edge) / sizeof(*edge))];
	size_t at = rng_below(g, in->n + 1), n = open_gap(in, at, strlen(s));

	memcpy(in->p + at, s, n);
}

static void put_word(struct rng *g, struct input *in)
{
	size_t words = 0, at, n;
	const char *s;

	while (fuzz_target.words && fuzz_target.words[words])
		words++;
	if (!words)
		return;
	s = fuzz_target.words[rng_below(g, words)];
	at = rng_below(g, in->n + 1);
	n = rng_below(g, 2) ? open_gap(in, at, strlen(s)) : strlen(s);
	if (n > in->n - at)
		n = in->n - at;
	memcpy(in->p + at, s, n);
}

/* A piece of another input, put in between or over what is there. */
static void put_piece(struct rng *g, struct input *in, const struct input *from)
{
	size_t at = rng_below(g, in->n + 1), start = rng_below(g, from->n + 1);
	size_t n = rng_below(g, from->n - start + 1);

	if (rng_below(g, 2))
		n = open_gap(in, at, n);
	else if (n > in->n - at)
		n = in->n - at;
	memcpy(in->p + at, from->p + start, n);
}

static void cut_out(struct rng *g, struct input *in)
{
	size_t at = rng_below(g, in->n + 1), n = rng_below(g, in->n - at + 1);

	/* mostly little, so that something is left to read */
	if (rng_below(g, 4) && n > 8)
		n = 1 + rng_below(g, 8);
	memmove(in->p + at, in->p + at + n, in->n - at - n);
	in->n -= n;
}

static void mutate(struct rng *g, struct input *in, const input_list *corpus)
{
	uint8_t *byte = in->n ? &in->p[rng_below(g, in->n)] : NULL;

	switch (rng_below(g, 9)) {
	case 0:
		if (byte)
			*byte ^= (uint8_t)(1 << rng_below(g, 8));
		break;
	case 1:
		if (byte)
			*byte = (uint8_t)rng_u64(g);
		break;
	case 2:
		if (byte && in->n < fuzz_target.max_bytes) {
			open_gap(in, (size_t)(byte - in->p), 1);
			*byte = (uint8_t)rng_u64(g);
		}
		break;
	case 3:
		cut_out(g, in);
		break;
	case 4:
		put_number(g, in);
		break;
	case 5:
		put_decimal(g, in);
		break;
	case 6:
		put_word(g, in);
		break;
	case 7:
		put_piece(g, in, &corpus->v[rng_below(g, corpus->n)]);
		break;
	default:
		in->n = rng_below(g, 8) ? in->n : rng_below(g, in->n + 1);
	}
}

/* Builds the input of this run into *in, whose memory holds max_bytes. */
static void draw_input(uint64_t seed, uint64_t run, const input_list *corpus, struct input *in)
{
	const struct input *from;
	struct rng g;

	rng_init(&g, hash_u64(seed + 1) ^ run);
	from = &corpus->v[rng_below(&g, corpus->n)];
	in->n = from->n;
	memcpy(in->p, from->p, from->n);
	for (int i = 0; i < MAX_STACK; i++) {
		mutate(&g, in, corpus);
		if (rng_below(&g, 2))
			break;
	}
}

static void run_corpus(const struct arena *a, const input_list *corpus)
{
	for (size_t i = 0; i < corpus->n; i++) {
		snprintf(now.what, sizeof(now.what), "file %.100s", corpus->v[i].name);
		run_one(a, corpus->v[i].p, corpus->v[i].n);
	}
	printf("%s 1 - %s: a corpus of %zu files\n", corpus->n ? "ok" : "not ok", fuzz_target.name,
	       corpus->n);
}

static void run_mutations(const struct arena *a, const input_list *corpus, uint64_t seed,
                          uint64_t first, uint64_t end)
{
	struct input in = {.p = mem_calloc(fuzz_target.max_bytes + 1, 1)};

	for (uint64_t run = first; run < end && corpus->n; run++) {
		snprintf(now.what, sizeof(now.what), "--seed %" PRIu64 " --only %" PRIu64, seed,
		         run);
		draw_input(seed, run, corpus, &in);
		run_one(a, in.p, in.n);
	}
	printf("ok 2 - %s: %" PRIu64 " mutations\n", fuzz_target.name, end - first);
	free(in.p);
}

static uint64_t number_of(const char *s, uint64_t def)
{
	return s && *s ? strtoull(s, NULL, 10) : def;
}

int main(int argc, char **argv)
{
	uint64_t runs = number_of(getenv("FUZZ_RUNS"), 2000),
	         seed = number_of(getenv("FUZZ_SEED"), 1);
	uint64_t first = 0;
	input_list corpus = {0};
	struct arena arena = arena_new(fuzz_target.max_bytes);
	bool named = false;
	int failed;

	setvbuf(stdout, NULL, _IOLBF, 0);
	watch_for_death();
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--runs") && i + 1 < argc) {
			runs = number_of(argv[++i], 0);
		} else if (!strcmp(argv[i], "--seed") && i + 1 < argc) {
			seed = number_of(argv[++i], 0);
		} else if (!strcmp(argv[i], "--only") && i + 1 < argc) {
			first = number_of(argv[++i], 0);
			runs = 1;
		} else {
			load(argv[i], &corpus);
			named = true;
		}
	}
	if (!named) {
		const char *top = getenv("top_srcdir");
		char path[4096];

		snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", top ? top : ".",
		         fuzz_target.name);
		load(path, &corpus);
	}
	/* a directory lists its files in any order, and runs are numbered */
	if (corpus.n)
		qsort(corpus.v, corpus.n, sizeof(*corpus.v), by_name);

	printf("# seed %" PRIu64 "\n1..2\n", seed);
	run_corpus(&arena, &corpus);
	run_mutations(&arena, &corpus, seed, first, first + runs);

	failed = corpus.n == 0;
	for (size_t i = 0; i < corpus.n; i++) {
		free(corpus.v[i].name);
		free(corpus.v[i].p);
	}
	vec_free(&corpus);
	return failed;
}
