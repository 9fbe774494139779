/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What eviction keeps: bench/evict [SEED [FILE...]].
 *	sequences  misses against LRU, S3-FIFO and the optimum, entries of one size, on generated
 *	           sequences of keys and on the files given (one key a line, packed or not)
 *	costs      what the misses cost against LRU where sizes and costs differ and the engine is
 *	           told of a tenth of the hits
 * Ours is the engine on a store in plain memory, as `forecache simulate --keys` runs it.
 */
#include "bench/reference.h"

#include "base/bug.h"
#include "base/hash.h"
#include "base/intern.h"
#include "base/mem.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "sim/eviction.h"
#include "sim/source.h"
#include "store/store.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REQUESTS 300000u

static struct rng rng;

/* -- Sequences --------------------------------------------------------------------------------- */

/* Keys 0 .. n - 1, the k-th as likely as 1 / (k + 1)^a. */
struct zipf {
	double *sum;
	uint32_t n;
};

static struct zipf zipf_new(uint32_t n, double a)
{
	struct zipf z = {mem_calloc(n, sizeof(double)), n};
	double sum = 0;

	for (uint32_t k = 0; k < n; k++)
		z.sum[k] = sum += pow(k + 1, -a);
	return z;
}

static uint32_t zipf_draw(const struct zipf *z)
{
	double u = rng_uniform(&rng) * z->sum[z->n - 1];
	uint32_t lo = 0, hi = z->n - 1;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (z->sum[mid] > u)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static void steady(uint32_t *key)
{
	struct zipf z = zipf_new(20000, 1);

	for (uint32_t i = 0; i < REQUESTS; i++)
		key[i] = zipf_draw(&z);
	free(z.sum);
}

/* Half of the keys change places slowly, and 15 % of requests are for keys that never come again. */
static void drift(uint32_t *key)
{
	struct zipf z = zipf_new(20000, 0.9);

	for (uint32_t i = 0; i < REQUESTS; i++) {
		if (rng_uniform(&rng) < 0.15)
			key[i] = 40000 + i;
		else if (rng_uniform(&rng) < 0.5)
			key[i] = (zipf_draw(&z) + i / 40) % 20000;
		else
			key[i] = 20000 + zipf_draw(&z);
	}
	free(z.sum);
}

static void loop(uint32_t *key)
{
	for (uint32_t i = 0; i < REQUESTS; i++)
		key[i] = i % 4000;
}

static void loops(uint32_t *key)
{
	static const uint32_t length[] = {50, 300, 1500, 6000};
	uint32_t at[4] = {0};

	for (uint32_t i = 0; i < REQUESTS; i++) {
		uint64_t u = rng_below(&rng, 10);
		unsigned j = u < 1 ? 0 : u < 3 ? 1 : u < 6 ? 2 : 3;

		key[i] = j * 10000 + at[j]++ % length[j];
	}
}

/* Every other request goes around a loop. */
static void skew_and_loop(uint32_t *key)
{
	struct zipf z = zipf_new(10000, 0.9);

	for (uint32_t i = 0; i < REQUESTS; i++)
		key[i] = i % 2 ? zipf_draw(&z) : 10000 + i / 2 % 8000;
	free(z.sum);
}

static void skew_and_scans(uint32_t *key)
{
	struct zipf z = zipf_new(10000, 0.9);
	uint32_t scan = 0;

	for (uint32_t i = 0; i < REQUESTS; i++) {
		if (!scan && rng_uniform(&rng) < 1 / 5000.0)
			scan = 2000;
		key[i] = scan ? 10000 + i : zipf_draw(&z);
		scan -= scan > 0;
	}
	free(z.sum);
}

/* What it is used for changes every fifth of the way: skewed, a loop, skewed ... */
static void phases(uint32_t *key)
{
	struct zipf z = zipf_new(5000, 1);

	for (uint32_t i = 0; i < REQUESTS; i++) {
		uint32_t phase = i / (REQUESTS / 5);

		key[i] = phase * 5000 + (phase % 2 ? i % 3000 : zipf_draw(&z));
	}
	free(z.sum);
}

/* The latest are the likeliest: what LRU is best at. 3 % are new. */
static void recent(uint32_t *key)
{
	uint32_t *stack = mem_calloc(REQUESTS, sizeof(*stack)), n = 0, next = 0;

	for (uint32_t i = 0; i < REQUESTS; i++) {
		double depth = pow(1 - rng_uniform(&rng), -1 / 0.6) - 1;
		uint32_t at;

		if (depth >= n || rng_uniform(&rng) < 0.03) {
			key[i] = next++;
		} else {
			at = n - 1 - (uint32_t)depth;
			key[i] = stack[at];
			memmove(&stack[at], &stack[at + 1], (n - 1 - at) * sizeof(*stack));
			n--;
		}
		stack[n++] = key[i];
	}
	free(stack);
}

/* New things, each popular in its way, and less so with its age. */
static void news(uint32_t *key)
{
	double *popular = mem_calloc(REQUESTS, sizeof(*popular));
	uint32_t n = 0;

	for (uint32_t i = 0; i < REQUESTS; i++) {
		double back;

		if (i % 20 == 0)
			popular[n++] = exp(1.2 * rng_normal(&rng));
		do
			back = rng_exponential(&rng, 1.0 / 600);
		while (back >= n || rng_uniform(&rng) > popular[n - 1 - (uint32_t)back] / 5);
		key[i] = n - 1 - (uint32_t)back;
	}
	free(popular);
}

/* Numbers the keys 0, 1, 2, ... by first sight. */
static void number(struct sequence *s)
{
	struct intern names;

	intern_init(&names, 1);
	for (size_t i = 0; i < s->n; i++)
		s->key[i] = intern_add(&names, bytes_of(&s->key[i], sizeof(s->key[i])), NULL);
	s->n_keys = names.n_ids;
	intern_release(&names);
}

/* False when it cannot be read. */
static bool read_sequence(const char *path, struct sequence *s)
{
	struct fault fault;
	struct source *f = source_open(path, &fault);
	struct intern names;
	struct bytes line;
	size_t cap = 0;
	int err = -1;

	*s = (struct sequence){0};
	intern_init(&names, 1);
	while (f && (err = source_line(f, &line, &fault)) > 0) {
		if (s->n == cap)
			s->key = mem_realloc(s->key, cap = 2 * cap + 1024, sizeof(*s->key));
		s->key[s->n++] = intern_add(&names, line, NULL);
	}
	s->n_keys = names.n_ids;
	intern_release(&names);
	source_close(&f);
	if (err < 0)
		fprintf(stderr, "%s\n", fault.text);
	return err == 0 && s->n > 0;
}

/* Misses of the engine, which reads a file. */
static uint64_t ours(const char *path, uint32_t entries, uint64_t seed)
{
	struct eviction v = {path, entries, seed, NULL};
	struct eviction_result r = {0};
	struct fault fault;

	if (eviction_run(&v, &r, &fault) != 0) {
		fprintf(stderr, "%s\n", fault.text);
		exit(1);
	}
	return r.misses;
}

static uint64_t seed;
static double log_sum, worst;
static unsigned n_ratios;

static void summary(const char *what)
{
	printf("%s: ratio %.3f (geometric mean), %.3f at worst\n", what, exp(log_sum / n_ratios),
	       worst);
	log_sum = worst = n_ratios = 0;
}

static void compare(const char *name, const char *path, const struct sequence *s)
{
	static const unsigned percent[] = {1, 10};

	for (int i = 0; i < 2; i++) {
		uint32_t entries = (uint32_t)((double)s->n_keys * percent[i] / 100 + 0.5);
		double n = (double)s->n, lru, s3, best, we, ratio;

		entries += entries == 0;
		lru = (double)reference_lru(s, entries) / n;
		s3 = (double)reference_s3fifo(s, entries) / n;
		best = (double)reference_optimum(s, entries) / n;
		we = (double)ours(path, entries, seed) / n;
		ratio = we / fmin(lru, s3);
		log_sum += log(ratio);
		n_ratios++;
		worst = fmax(worst, ratio);
		printf("%-16s %8" PRIu32 " %4u %% %8" PRIu32 " | %6.4f %6.4f %6.4f %6.4f | %5.3f\n",
		       name, s->n_keys, percent[i], entries, lru, s3, best, we, ratio);
		fflush(stdout);
	}
}

static void compare_generated(const char *name, void (*fill)(uint32_t *key))
{
	struct sequence s = {mem_calloc(REQUESTS, sizeof(uint32_t)), REQUESTS, 0};
	char path[] = "/tmp/forecached-evict-XXXXXX";
	int fd = mkstemp(path);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

	if (!f) {
		perror(path);
		exit(1);
	}
	fill(s.key);
	number(&s);
	for (size_t i = 0; i < s.n; i++)
		fprintf(f, "%" PRIu32 "\n", s.key[i]);
	if (fclose(f) != 0) {
		perror(path);
		exit(1);
	}
	compare(name, path, &s);
	unlink(path);
	free(s.key);
}

/* -- Costs ------------------------------------------------------------------------------------- */

#define COST_KEYS     20000u
#define COST_REQUESTS 1000000u

/* One request in so many that the store answers is told to the engine. */
#define TOLD 10

static const struct instant START = {INT64_C(1600000000) * 1000000};

struct priced {
	struct engine *engine;
	struct store *store;
	struct effects fx;
	struct instant now;
};

static void tell(struct priced *p, const struct input *in)
{
	engine_input(p->engine, p->now, in, &p->fx);
	for (size_t i = 0; i < p->fx.list.n; i++)
		if (p->fx.list.v[i].kind == EFFECT_FIT)
			harmonic_data_free(&p->fx.list.v[i].fit.data);
	effects_clear(&p->fx);
}

/* An app asks: true when the store has it. Else it loads it and sets it. */
static bool asked(struct priced *p, uint32_t key, struct bytes value, double cost_ms)
{
	uint64_t name = hash_u64(key + 1);
	struct input in = {.kind = INPUT_EVENT,
	                   .key = bytes_of(&name, sizeof(name)),
	                   .endpoint = bytes_str("keys")};
	bool hit = store_find(p->store, in.key) != STORE_NONE;

	p->now = instant_add(p->now, SPAN_MS(1));
	if (hit && rng_below(&rng, TOLD) != 0)
		return true;
	in.event.at = INSTANT_NONE;
	in.event.outcome = hit ? OUTCOME_HIT : OUTCOME_MISS;
	in.event.count = hit ? TOLD : 1;
	tell(p, &in);
	if (hit)
		return true;
	in.kind = INPUT_SET;
	memset(&in.set, 0, sizeof(in.set));
	in.set.value = value;
	in.set.version = 1;
	in.set.read = INSTANT_NONE;
	in.set.load = span_from_s(cost_ms / 1000);
	tell(p, &in);
	return false;
}

static struct engine *priced_engine(struct store *store)
{
	struct engine_config c = {
	        .seed = seed,
	        .limits = engine_limits_default(),
	        .policy = policy_default(),
	        .origin = ORIGIN_NONE,
	};

	/* nothing ends by time */
	c.policy.ttl = TTL_OBEY;
	c.policy.static_ttl = c.policy.max_age = 31536000;
	c.limits.audit_share = 0;
	return engine_new(&c, store, START);
}

static void costs(void)
{
	struct sequence s = {mem_calloc(COST_REQUESTS, sizeof(uint32_t)), COST_REQUESTS, 0};
	struct zipf z = zipf_new(COST_KEYS, 0.9);
	struct store_clock clock = {.base = START, .scale = 1};
	struct priced p = {.now = START};
	uint64_t *bytes, all = 0, segment, largest = 0;
	double *cost, all_cost = 0, ours_cost = 0, lru, *size;
	uint32_t *times;
	struct store_stats stats;
	void *mem;
	uint8_t *value;

	/* as drift(): 15 % are never asked for again, the rest changes places slowly */
	for (uint32_t i = 0; i < COST_REQUESTS; i++)
		s.key[i] = rng_uniform(&rng) < 0.15 ? COST_KEYS + i
		                                    : (zipf_draw(&z) + i / 400) % COST_KEYS;
	number(&s);
	bytes = mem_calloc(s.n_keys, sizeof(*bytes));
	times = mem_calloc(s.n_keys, sizeof(*times));
	for (size_t i = 0; i < s.n; i++)
		times[s.key[i]]++;
	size = mem_calloc(s.n_keys, sizeof(*size));
	cost = mem_calloc(s.n_keys, sizeof(*cost));
	for (uint32_t k = 0; k < s.n_keys; k++) {
		size[k] = floor(fmin(1000 * exp(rng_normal(&rng)), 60000));
		cost[k] = 50 * exp(rng_normal(&rng));
		all += times[k] > 1 ? (uint64_t)size[k] + 80 : 0;
		largest = size[k] > (double)largest ? (uint64_t)size[k] : largest;
	}
	segment = (all / 10 * 16 / 15 + 4095) / 4096 * 4096;
	mem = aligned_alloc(4096, segment);
	value = mem_calloc(1, largest);
	BUG_ON(!mem || store_create(mem, segment, 1, clock, &p.store) != 0);
	p.engine = priced_engine(p.store);
	for (uint32_t k = 0; k < s.n_keys; k++)
		bytes[k] = store_footprint(p.store, 8, (uint64_t)size[k]);
	store_stats(p.store, &stats);
	for (size_t i = 0; i < s.n; i++) {
		uint32_t k = s.key[i];

		all_cost += cost[k];
		if (!asked(&p, k, bytes_of(value, (size_t)size[k]), cost[k]))
			ours_cost += cost[k];
	}
	lru = reference_lru_cost(&s, bytes, cost, stats.bytes_total);
	printf("\n%u requests for %" PRIu32
	       " keys, sizes and costs lognormal (sd of log 1), %.0f MiB = "
	       "10 %% of what is asked for twice,\n1 in %u hits told: cost of misses by cost of "
	       "all requests: LRU "
	       "(told of "
	       "all) %.4f, ours %.4f, ratio %.3f\n",
	       COST_REQUESTS, s.n_keys, (double)segment / (1 << 20), TOLD, lru / all_cost,
	       ours_cost / all_cost, ours_cost / lru);
	engine_free(&p.engine);
	effects_release(&p.fx);
	store_release(&p.store);
	free(mem);
	free(value);
	free(bytes);
	free(times);
	free(size);
	free(cost);
	free(s.key);
	free(z.sum);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*fill)(uint32_t *key);
	} made[] = {{"steady", steady},
	            {"drift", drift},
	            {"loop", loop},
	            {"loops", loops},
	            {"skew and loop", skew_and_loop},
	            {"skew and scans", skew_and_scans},
	            {"phases", phases},
	            {"recent", recent},
	            {"news", news}};
	struct sequence s;

	seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	rng_init(&rng, seed);
	printf("# seed %" PRIu64
	       "\nmisses per request; ratio: ours by the better of LRU and S3-FIFO\n"
	       "sequence             keys      entries   |    LRU S3-FIFO  best   ours | ratio\n",
	       seed);
	for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++)
		compare_generated(made[i].name, made[i].fill);
	summary("generated");
	for (int i = 2; i < argc; i++) {
		const char *slash = strrchr(argv[i], '/');

		if (!read_sequence(argv[i], &s))
			return 1;
		compare(slash ? slash + 1 : argv[i], argv[i], &s);
		free(s.key);
	}
	if (argc > 2)
		summary("files");
	costs();
	return 0;
}
