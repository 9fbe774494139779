/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/reuse.h"

#include "base/mem.h"
#include "base/vec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * A spell counts e times less for each MEMORY_SIZES cache sizes and MEMORY requests since it began:
 * enough of them for sure tables, few enough to follow another use of the cache. The results hardly
 * change between a third and three times as much.
 */
static const double MEMORY_SIZES = 30, MEMORY = 50000;

/* The same for how often a key was asked for. Less loses what is steady, more what comes and goes. */
static const double FREQ_SIZES = 50;

/* A cell weighs its own spells against so many of what it borrows from. */
static const double BORROWED = 3;

/* The rate before anything is known is this over the age: a request is likely at any scale. */
static const double PRIOR = 0.5;

/* All tables are renewed in a quarter of a cache size, within these bounds, in requests. */
static const double RENEW_MIN = 1024, RENEW_MAX = 65536;

/* Classes that no key was ever in are renewed in one round of so many. */
#define UNUSED_ROUNDS 8u

/* Keys the census takes per request, and how many requests a round of it takes at least. */
#define CENSUS_KEYS  8u
#define CENSUS_ROUND 512u

/* Large caches learn from one key in so many: there are more than enough. */
#define MANY_ENTRIES 16384
#define SPARSE       8u

/* No age is above this, or it would begin at 0 again. */
#define AGE_MAX (UINT32_C(1) << 31)

#define FREQ_ONE 64

/* A put key's class: few requests after a short gap cannot be, as it would have been asked twice. */
#define CLASS_PUT 1

/* Where gap classes stand: the ninth begins at the size of the cache, each is twice the last. */
#define GAP_OF_SIZE 8

/* Tables: of all keys, by frequency, by gap, by both. */
enum { ALL = 0, BY_FREQ = 1, BY_GAP = BY_FREQ + REUSE_FREQS, BY_CLASS = BY_GAP + REUSE_GAPS };
#define TABLES (1 + REUSE_FREQS + REUSE_GAPS + REUSE_CLASSES)

struct table {
	float ended[REUSE_BUCKETS];      /* spells that ended at the age */
	float waiting[2][REUSE_BUCKETS]; /* that go on: in the last census, and in this one */
	float rate[REUSE_BUCKETS];       /* ends per request, of those that got so far */
	uint32_t faded;                  /* when ended[] was last made to fade */
	bool used;                       /* something was ever counted in it */
};

struct reuse {
	VEC(struct reuse_key) key;
	uint32_t now; /* requests so far; wraps */
	double size, memory;
	uint32_t stride; /* keys whose number is a multiple of it take part */
	unsigned census; /* which waiting[] is being counted */
	uint32_t census_next, census_began;
	uint32_t renew_every, renew_in;
	unsigned renew_next, renew_round;
	float start[REUSE_BUCKETS + 1]; /* ages */
	float keep[REUSE_BUCKETS];      /* what a spell that began so long ago counts */
	float freq_keep[REUSE_BUCKETS];
	struct table table[TABLES];
	float worth[REUSE_CLASSES][REUSE_BUCKETS];
};

static unsigned bucket_of(uint32_t age)
{
	unsigned octave;

	if (age < 2)
		return age; /* there are no halves of 1 */
	octave = 31 - (unsigned)__builtin_clz(age);
	return 2 * octave + (age >> (octave - 1) & 1);
}

static double width(const struct reuse *r, int b)
{
	return (double)r->start[b + 1] - (double)r->start[b];
}

/* -- From counts to rates to worth ------------------------------------------------------------- */

static void fade(struct reuse *r, struct table *t)
{
	float keep = (float)exp(-(double)(r->now - t->faded) / r->memory);

	for (int b = 0; b < REUSE_BUCKETS; b++)
		t->ended[b] *= keep;
	t->faded = r->now;
}

/*
 * Ends by exposure, with as much borrowed from `prior`: those that got further spent the width of
 * the bucket in it, those that ended or are now in it half of that.
 */
static void find_rates(const struct reuse *r, struct table *t, const double *prior)
{
	const float *waiting = t->waiting[!r->census];
	double beyond = 0;

	for (int b = REUSE_BUCKETS - 1; b >= 0; b--) {
		double here = (double)t->ended[b] + (double)waiting[b];
		double exposed = (beyond + 0.5 * here) * width(r, b);

		t->rate[b] =
		        (float)(((double)t->ended[b] + BORROWED) / (exposed + BORROWED / prior[b]));
		beyond += here;
	}
}

/*
 * At each age the best ratio, over the ages to hold it to, of the probability that the spell ends
 * by then to the time it is held: the steepest line from that point of the curve (time held,
 * probability) to a later one, which is to the next corner of the hull of what is later. Corners
 * are kept as seen from the age in hand: differences of what is seen from age 0 would be of
 * rounding alone where few get to.
 */
static void find_worth(const struct reuse *r, const float *rate, float *ret)
{
	double time[REUSE_BUCKETS + 1], ended[REUSE_BUCKETS + 1];
	int n = 0;

	for (int b = REUSE_BUCKETS - 1; b >= 0; b--) {
		double l = (double)rate[b], gone = -expm1(-l * width(r, b)), left = 1 - gone;

		/* the start of the next bucket is a corner, too */
		time[n] = ended[n] = 0;
		n++;
		for (int i = 0; i < n; i++) {
			ended[i] = gone + left * ended[i];
			time[i] = gone / l + left * time[i];
		}
		while (n > 1 && ended[n - 2] * time[n - 1] >= ended[n - 1] * time[n - 2])
			n--;
		ret[b] = (float)(ended[n - 1] / time[n - 1]);
	}
}

static void renew_table(struct reuse *r, unsigned i)
{
	struct table *t = &r->table[i];
	const struct table *all = &r->table[ALL], *f, *g;
	double prior[REUSE_BUCKETS];

	fade(r, t);
	if (i == ALL) {
		for (int b = 0; b < REUSE_BUCKETS; b++)
			prior[b] = PRIOR / ((double)r->start[b] + 0.5 * width(r, b));
	} else if (i < BY_CLASS) {
		for (int b = 0; b < REUSE_BUCKETS; b++)
			prior[b] = (double)all->rate[b];
	} else {
		f = &r->table[BY_FREQ + (i - BY_CLASS) / REUSE_GAPS];
		g = &r->table[BY_GAP + (i - BY_CLASS) % REUSE_GAPS];
		/* as if frequency and gap told independent things */
		for (int b = 0; b < REUSE_BUCKETS; b++)
			prior[b] = (double)f->rate[b] * (double)g->rate[b] / (double)all->rate[b];
	}
	find_rates(r, t, prior);
	if (i >= BY_CLASS)
		find_worth(r, t->rate, r->worth[i - BY_CLASS]);
}

static void renew(struct reuse *r)
{
	if (--r->renew_in)
		return;
	r->renew_in = r->renew_every;
	/* of classes without keys only what they borrow moves, and that little */
	if (r->table[r->renew_next].used || r->renew_round % UNUSED_ROUNDS == 0)
		renew_table(r, r->renew_next);
	if (++r->renew_next == TABLES) {
		r->renew_next = 0;
		r->renew_round++;
	}
}

/* -- Counting ---------------------------------------------------------------------------------- */

static void count_ended(struct reuse *r, unsigned class, unsigned b)
{
	float w = r->keep[b];

	r->table[BY_CLASS + class].used = true;
	r->table[ALL].ended[b] += w;
	r->table[BY_FREQ + class / REUSE_GAPS].ended[b] += w;
	r->table[BY_GAP + class % REUSE_GAPS].ended[b] += w;
	r->table[BY_CLASS + class].ended[b] += w;
}

static void count_waiting(struct reuse *r, unsigned class, unsigned b)
{
	unsigned c = r->census;
	float w = r->keep[b];

	r->table[BY_CLASS + class].used = true;
	r->table[ALL].waiting[c][b] += w;
	r->table[BY_FREQ + class / REUSE_GAPS].waiting[c][b] += w;
	r->table[BY_GAP + class % REUSE_GAPS].waiting[c][b] += w;
	r->table[BY_CLASS + class].waiting[c][b] += w;
}

static void census(struct reuse *r, bool learn)
{
	/* where nothing is learned all there is to do is to keep ages from wrapping */
	unsigned most = learn ? CENSUS_KEYS : 1;

	for (unsigned i = 0; i < most && r->census_next < r->key.n; i++) {
		uint32_t id = r->census_next++;
		struct reuse_key *k = &r->key.v[id];
		uint32_t age = r->now - k->last;

		if (k->state == REUSE_UNKNOWN)
			continue;
		if (age > AGE_MAX)
			k->last = r->now - (age = AGE_MAX);
		if (learn && id % r->stride == 0)
			count_waiting(r, k->class, bucket_of(age));
	}
	if (r->census_next < r->key.n || r->now - r->census_began < CENSUS_ROUND)
		return;
	r->census_began = r->now;
	r->census_next = 0;
	r->census = !r->census;
	for (unsigned i = 0; i < TABLES; i++)
		memset(r->table[i].waiting[r->census], 0, sizeof(r->table[i].waiting[0]));
}

/* -- Keys -------------------------------------------------------------------------------------- */

static struct reuse_key *key_at(struct reuse *r, uint32_t key)
{
	while (r->key.n <= key)
		*vec_push(&r->key) = (struct reuse_key){0};
	return &r->key.v[key];
}

static unsigned freq_class(unsigned freq)
{
	/* upper ends, in halves: 1, 2, 3, 4, 5-6, 7-9, 10-15, 16-25, 26-49, 50-99, 100-249, more */
	static const uint16_t upto[REUSE_FREQS - 1] = {3, 5, 7, 10, 14, 20, 32, 52, 100, 200, 500};
	unsigned i = 0;

	while (i < REUSE_FREQS - 1 && freq >= upto[i] * (FREQ_ONE / 2u))
		i++;
	return i;
}

static unsigned gap_class(const struct reuse *r, uint32_t gap)
{
	int g = ilogb(gap / r->size) + GAP_OF_SIZE;

	return g < 1 ? 1 : g >= REUSE_GAPS ? REUSE_GAPS - 1 : (unsigned)g;
}

void reuse_put(struct reuse *r, uint32_t key)
{
	struct reuse_key *k = key_at(r, key);

	if (k->state == REUSE_UNKNOWN)
		*k = (struct reuse_key){.last = r->now, .class = CLASS_PUT, .state = REUSE_PUT};
}

void reuse_asked(struct reuse *r, uint32_t key, double count, bool hit, bool learn)
{
	struct reuse_key *k = key_at(r, key);
	bool spell = k->state == REUSE_ASKED || (k->state == REUSE_PUT && hit);
	uint32_t gap = ++r->now - k->last;
	unsigned g = 0, b;
	double freq = count < 1 ? 1 : count;

	if (spell) {
		b = bucket_of(gap);
		if (learn && key % r->stride == 0)
			count_ended(r, k->class, b);
		freq += (double)r->freq_keep[b] * k->freq / FREQ_ONE;
		g = k->state == REUSE_ASKED ? gap_class(r, gap) : 0;
	}
	k->freq = freq * FREQ_ONE < UINT16_MAX ? (uint16_t)(freq * FREQ_ONE) : UINT16_MAX;
	k->last = r->now;
	k->class = (uint8_t)(freq_class(k->freq) * REUSE_GAPS + g);
	k->state = REUSE_ASKED;
	census(r, learn);
	if (learn)
		renew(r);
}

void reuse_forget(struct reuse *r, uint32_t key)
{
	if (key < r->key.n)
		r->key.v[key] = (struct reuse_key){0};
}

double reuse_worth(const struct reuse *r, uint32_t key)
{
	struct reuse_key k = reuse_look(r, key);

	if (k.state == REUSE_UNKNOWN)
		return 0;
	return (double)r->worth[k.class][bucket_of(r->now - k.last)];
}

struct reuse_key reuse_look(const struct reuse *r, uint32_t key)
{
	return key < r->key.n ? r->key.v[key] : (struct reuse_key){0};
}

/* -- Life -------------------------------------------------------------------------------------- */

void reuse_resize(struct reuse *r, double entries)
{
	double every = fmin(fmax(entries / 4, RENEW_MIN), RENEW_MAX) / TABLES;

	entries = fmax(entries, 1);
	if (fabs(entries - r->size) < 0.01 * r->size)
		return;
	r->size = entries;
	r->memory = MEMORY_SIZES * entries + MEMORY;
	r->stride = entries >= MANY_ENTRIES ? SPARSE : 1;
	r->renew_every = (uint32_t)every;
	if (r->renew_in > r->renew_every)
		r->renew_in = r->renew_every;
	for (int b = 0; b < REUSE_BUCKETS; b++) {
		double age = (double)r->start[b] + 0.5 * width(r, b);

		r->keep[b] = (float)exp(-age / r->memory);
		r->freq_keep[b] = (float)exp(-age / (FREQ_SIZES * entries));
	}
}

struct reuse *reuse_new(void)
{
	struct reuse *r = mem_calloc(1, sizeof(*r));

	for (int b = 0; b <= REUSE_BUCKETS; b++)
		r->start[b] = b < 2 ? (float)b : (float)ldexp(b % 2 ? 1.5 : 1, b / 2);
	r->renew_in = 1;
	reuse_resize(r, 64);
	for (unsigned i = 0; i < TABLES; i++) {
		r->table[i].used = i < BY_CLASS;
		renew_table(r, i);
	}
	return r;
}

void reuse_reserve(struct reuse *r, uint32_t keys)
{
	struct reuse_key *key = r->key.cap < keys ? malloc(keys * sizeof(*key)) : NULL;

	if (!key)
		return;
	if (r->key.n)
		memcpy(key, r->key.v, r->key.n * sizeof(*key));
	free(r->key.v);
	r->key.v = key;
	r->key.cap = keys;
}

void reuse_free(struct reuse **r)
{
	if (!*r)
		return;
	vec_free(&(*r)->key);
	free(*r);
	*r = NULL;
}

uint64_t reuse_bytes(const struct reuse *r)
{
	return sizeof(*r) + r->key.n * sizeof(r->key.v[0]);
}
