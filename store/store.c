/* SPDX-License-Identifier: MIT */
#include "store/store.h"

#include "base/bug.h"
#include "base/hash.h"
#include "store/arena.h"
#include "store/layout.h"

#include <errno.h>
#include <stdlib.h>

_Static_assert(STORE_MIN_BYTES == LAYOUT_MIN_BYTES, "the two headers agree");

/*
 * Entries at most, as a share of the slots. A run of LAYOUT_PROBES full buckets, which would keep a
 * key out that hashes to its start, is 6.7 standard deviations away then.
 */
#define FULL_NUM 91u
#define FULL_DEN 100u

/* How far a new writer's clock may be behind the old one's: they are read one after the other. */
#define CLOCK_SLACK_US 100000

/*
 * What the writer itself knows of a slot, whose number is the entry's handle. Memory can go bad, and
 * what it holds of the segment must never make two entries of one key, or bring back one that was
 * removed: so what is where is never asked of the segment. How large an entry is, the arena says;
 * what of that is key and value, the entry itself, within these bounds.
 */
struct own_slot {
	uint32_t off; /* 0: the slot is empty */
	uint32_t owner;
};

/* The same of a bucket and its slots. */
struct own_bucket {
	uint16_t passed;
	uint16_t known[LAYOUT_SLOTS]; /* KNOWN_* */
};

#define KNOWN_PUSHED 1u
#define KNOWN_FAR    1u  /* shift: buckets between the entry's home and where it is */
#define KNOWN_MARK   10u /* shift: some bits of its mark */
#define KNOWN_MARKS  0x3fu
_Static_assert(LAYOUT_PROBES <= 1u << (KNOWN_MARK - KNOWN_FAR), "the distance has its bits");
_Static_assert(LAYOUT_PROBES *LAYOUT_SLOTS <= UINT16_MAX, "so many can pass a bucket");

/* Live entries are counted by groups of so many buckets, and pairs of groups, and pairs of those. */
#define GROUP 16u

/* How often a slot is chosen at random before the counts say which; most are in use when it is full. */
#define GUESSES 8

struct store {
	unsigned char *mem;
	uint64_t bytes, seed, boot_id;
	struct store_clock clock;
	struct layout l;
	struct layout_header *head;
	struct layout_bucket *bucket;
	struct arena arena;
	struct own_slot *slot;
	struct own_bucket *own;
	uint32_t *
	        live; /* live[leaves + g] in group g; above that live[i] = live[2i] + live[2i + 1] */
	uint32_t leaves, n_slots, n_live, max_live;
	uint64_t reserved; /* granules of rooms that are taken, or being taken */
};

/* -- Segment ----------------------------------------------------------------------------------- */

static struct layout_entry *at(const struct store *s, uint32_t off)
{
	return (struct layout_entry *)(s->mem + (uint64_t)off * LAYOUT_GRANULE);
}

static struct layout_entry *entry_at(const struct store *s, uint32_t h)
{
	return at(s, s->slot[h].off);
}

/* Readers stay away from the bucket and all it refers to from here ... */
static void bucket_open(struct layout_bucket *b)
{
	layout_store32(&b->state, b->state | LAYOUT_CHANGING);
	layout_fence_release();
}

/* ... to here. */
static void bucket_close(struct layout_bucket *b)
{
	uint32_t passed = b->state & LAYOUT_PASSED;

	LAYOUT_ON_STORE();
	/* the sequence number goes on: what is below it overflows, whatever it was */
	__atomic_store_n(&b->state, ((b->state | LAYOUT_CHANGING | LAYOUT_PASSED) + 1) | passed,
	                 __ATOMIC_RELEASE);
}

static struct layout_bucket *bucket_of(const struct store *s, uint32_t slot)
{
	return &s->bucket[slot / LAYOUT_SLOTS];
}

static uint32_t bucket_next(const struct store *s, uint32_t b)
{
	return b + 1 == s->l.n_buckets ? 0 : b + 1;
}

static void write_fixed(struct layout_entry *e, const struct layout_fixed *f, uint64_t tag,
                        uint64_t value_hash)
{
	layout_store(&e->loaded, layout_word_loaded(f));
	layout_store(&e->ends, layout_word_ends(f));
	layout_store(&e->sum, layout_word_sum(f, tag, value_hash));
}

/* Where the value of an entry lies that begins at e. */
static uint64_t *value_at(struct layout_entry *e, uint64_t key_bytes, uint64_t value_bytes,
                          bool own_version)
{
	return (uint64_t *)(e + 1) + layout_large(key_bytes, value_bytes) + own_version +
	       layout_pad(key_bytes) / 8;
}

/* Writes an entry, all but its value, into memory that no slot refers to. */
static void write_head(struct layout_entry *e, uint64_t tag, const struct store_item *i,
                       uint64_t value_hash, bool own_version)
{
	struct layout_fixed f = {.key_bytes = i->key.n,
	                         .value_bytes = i->value.n,
	                         .loaded = layout_ticks(i->loaded)};
	uint64_t *p = (uint64_t *)(e + 1);

	f.age = layout_since(f.loaded, layout_dies(i->loaded, f.loaded, i->max_age),
	                     LAYOUT_AGE_BITS);
	layout_set_ends(&f, i->soft, i->hard);
	f.flags = (own_version ? LAYOUT_OWN_VERSION : 0) | (i->pushed ? LAYOUT_PUSHED : 0) |
	          (i->packed ? LAYOUT_PACKED : 0) |
	          (layout_large(i->key.n, i->value.n) ? LAYOUT_LARGE : 0);
	f.version = own_version ? i->version : 0;
	/* whoever still reads what was here before must see that its bucket has changed since */
	layout_fence_release();
	if (f.flags & LAYOUT_LARGE)
		layout_store(p++, layout_word_sizes(&f));
	if (own_version)
		layout_store(p++, f.version);
	write_fixed(e, &f, tag, value_hash);
	layout_copy_in(p, i->key.p, i->key.n);
}

static void write_entry(struct layout_entry *e, uint64_t tag, const struct store_item *i,
                        uint64_t value_hash, bool own_version)
{
	write_head(e, tag, i, value_hash, own_version);
	layout_copy_in(value_at(e, i->key.n, i->value.n, own_version), i->value.p, i->value.n);
}

/* What is left of an entry that no slot refers to any more must not look whole. */
static void wipe(struct layout_entry *e)
{
	layout_fence_release();
	layout_store(&e->sum, 0);
}

static void write_clock(struct store *s, struct store_clock c)
{
	uint64_t scale;

	BUG_ON(!(c.scale > 0 && c.scale <= 1e9));
	s->clock = c;
	memcpy(&scale, &c.scale, sizeof(scale));
	for (int i = 1; i >= 0; i--) {
		struct layout_clock *w = &s->head->clock[i];

		layout_store(&w->boottime_us, (uint64_t)c.boottime_us);
		layout_store(&w->base_us, (uint64_t)c.base.us);
		layout_store(&w->scale, scale);
		layout_store(&w->host, c.host);
		layout_store(&w->check, layout_clock_check((uint64_t)c.boottime_us,
		                                           (uint64_t)c.base.us, scale, c.host));
		/* the other one only when this one is whole */
		layout_fence_release();
	}
}

static void write_heartbeat(struct store *s, int64_t boottime_us)
{
	layout_store(&s->head->heartbeat_us, (uint64_t)boottime_us);
	layout_store(&s->head->heartbeat_check, layout_heartbeat_check((uint64_t)boottime_us));
}

static void write_identity(struct store *s)
{
	layout_store(&s->head->version, LAYOUT_VERSION);
	layout_store(&s->head->bytes, s->bytes);
	layout_store(&s->head->seed, s->seed);
	layout_store(&s->head->check, layout_header_check(LAYOUT_VERSION, s->bytes, s->seed));
}

/* From here on readers see this life of the segment. */
static void write_life(struct store *s)
{
	LAYOUT_ON_STORE();
	__atomic_store_n(&s->head->boot_id, s->boot_id, __ATOMIC_RELEASE);
	LAYOUT_ON_STORE();
	__atomic_store_n(&s->head->magic, LAYOUT_MAGIC, __ATOMIC_RELEASE);
}

/* -- Slots ------------------------------------------------------------------------------------- */

static bool is_live(const struct store *s, uint32_t h)
{
	return h < s->n_slots && s->slot[h].off;
}

static uint32_t far_of(const struct store *s, uint32_t h)
{
	return s->own[h / LAYOUT_SLOTS].known[h % LAYOUT_SLOTS] >> KNOWN_FAR &
	       ((1u << (KNOWN_MARK - KNOWN_FAR)) - 1);
}

static bool is_pushed(const struct store *s, uint32_t h)
{
	return s->own[h / LAYOUT_SLOTS].known[h % LAYOUT_SLOTS] & KNOWN_PUSHED;
}

static void know(struct store *s, uint32_t h, uint64_t mark, uint32_t far, bool pushed)
{
	s->own[h / LAYOUT_SLOTS].known[h % LAYOUT_SLOTS] =
	        (uint16_t)((mark & KNOWN_MARKS) << KNOWN_MARK | far << KNOWN_FAR |
	                   (pushed ? KNOWN_PUSHED : 0));
}

static void count_live(struct store *s, uint32_t h, bool add)
{
	s->n_live += add ? 1 : UINT32_MAX;
	for (uint32_t i = s->leaves + h / (GROUP * LAYOUT_SLOTS); i; i /= 2)
		s->live[i] += add ? 1 : UINT32_MAX;
}

/* -- Index ------------------------------------------------------------------------------------- */

static uint64_t tag_of(const struct store *s, struct bytes key)
{
	return hash_bytes(key, s->seed);
}

/* What an entry says of itself, and holds. */
struct parts {
	struct layout_fixed fixed;
	struct bytes key, value;
};

/* False, and key and value of no bytes, if it says what can't be. */
static bool parts(const struct store *s, uint32_t h, struct parts *ret)
{
	const struct layout_entry *e = entry_at(s, h);
	struct layout_fixed f = layout_take(e);
	const unsigned char *p = (const unsigned char *)layout_key(e, f.flags);
	bool own = f.flags & LAYOUT_OWN_VERSION;
	bool right = layout_inside(s->l, s->slot[h].off, f.key_bytes, f.value_bytes, own);

	if (right && own)
		f.version = *layout_own_version(e, f.flags);
	ret->fixed = f;
	ret->key = bytes_of(p, right ? f.key_bytes : 0);
	ret->value = bytes_of(p + layout_pad(ret->key.n), right ? f.value_bytes : 0);
	return right;
}

static uint64_t mark_at(const struct layout_bucket *b, uint32_t i)
{
	return (i < 2 ? b->mark2 >> 16 * i : b->mark[(i - 2) / 4] >> (i - 2) % 4 * 16) & 0xffff;
}

static void mark_set(struct layout_bucket *b, uint32_t i, uint64_t mark)
{
	uint64_t *w = &b->mark[(i - 2) / 4 % 2];

	if (i < 2)
		layout_store32(&b->mark2, (b->mark2 & ~(UINT32_C(0xffff) << 16 * i)) |
		                                  (uint32_t)mark << 16 * i);
	else
		layout_store(w, (*w & ~(UINT64_C(0xffff) << (i - 2) % 4 * 16)) |
		                        mark << (i - 2) % 4 * 16);
}

/* The buckets between the home of a tag and this slot. */
static uint32_t distance(const struct store *s, uint32_t slot, uint64_t tag)
{
	return (slot / LAYOUT_SLOTS + s->l.n_buckets - layout_home(s->l, tag)) % s->l.n_buckets;
}

static uint64_t public_mark(const struct store *s, uint32_t h)
{
	return mark_at(bucket_of(s, h), h % LAYOUT_SLOTS);
}

/*
 * Whether an entry is of another key than the one it seems to be of, and where it says it is. If not,
 * it is damaged. The bits of its mark that we know are too few to tell; those in the segment can
 * only make it look damaged.
 */
static bool is_of_another(const struct store *s, uint32_t h, struct bytes own)
{
	uint64_t mark, tag = tag_of(s, own);

	mark = layout_mark(tag);
	return mark == public_mark(s, h) &&
	       (mark & KNOWN_MARKS) ==
	               s->own[h / LAYOUT_SLOTS].known[h % LAYOUT_SLOTS] >> KNOWN_MARK &&
	       distance(s, h, tag) == far_of(s, h);
}

/*
 * The entry of the key. If there is none, one that is damaged and where it could be is taken for it,
 * as it must not be overlooked: rather one that is marked as the key's in the segment. But not one
 * that belongs to another: its owner holds the slot, and would take the new entry for its own.
 */
static uint32_t find(const struct store *s, uint64_t tag, struct bytes key, uint32_t owner)
{
	uint32_t b = layout_home(s->l, tag), h, damaged = STORE_NONE;
	uint32_t known, mark = (uint32_t)(layout_mark(tag) & KNOWN_MARKS) << KNOWN_MARK;
	struct parts p;
	bool right;

	for (uint32_t probe = 0; probe < s->l.probes; probe++, b = bucket_next(s, b)) {
		known = mark | probe << KNOWN_FAR;
		h = b * LAYOUT_SLOTS;
		for (unsigned i = 0; i < LAYOUT_SLOTS; i++, h++) {
			if ((s->own[b].known[i] & ~KNOWN_PUSHED) != known || !s->slot[h].off)
				continue;
			right = parts(s, h, &p);
			if (right && bytes_equal(p.key, key))
				return h;
			if (right && is_of_another(s, h, p.key))
				continue;
			if (s->slot[h].owner != STORE_NONE && s->slot[h].owner != owner)
				continue;
			if (damaged == STORE_NONE || public_mark(s, h) == layout_mark(tag))
				damaged = h;
		}
		if (!s->own[b].passed)
			break;
	}
	return damaged;
}

/* A slot for the tag, or STORE_NONE: all near its home are taken. */
static uint32_t slot_find(const struct store *s, uint64_t tag, uint32_t *ret_far)
{
	uint32_t b = layout_home(s->l, tag);

	for (uint32_t probe = 0; probe < s->l.probes; probe++, b = bucket_next(s, b))
		for (unsigned i = 0; i < LAYOUT_SLOTS; i++)
			if (!s->slot[b * LAYOUT_SLOTS + i].off) {
				*ret_far = probe;
				return b * LAYOUT_SLOTS + i;
			}
	return STORE_NONE;
}

/* Tells readers whether entries have passed the bucket. */
static void show_passed(struct store *s, uint32_t b)
{
	layout_store32(&s->bucket[b].state, (s->bucket[b].state & ~LAYOUT_PASSED) |
	                                            (s->own[b].passed ? LAYOUT_PASSED : 0));
}

/* Counts, or no longer counts, an entry in the buckets between its home and where it is. */
static void slot_pass(struct store *s, uint32_t slot, uint32_t far, bool add)
{
	uint32_t b = slot / LAYOUT_SLOTS;

	while (far--) {
		b = (b ? b : s->l.n_buckets) - 1;
		s->own[b].passed = (uint16_t)(add ? s->own[b].passed + 1 : s->own[b].passed - 1);
		show_passed(s, b);
	}
}

static void slot_set(struct store *s, uint32_t slot, uint64_t mark, uint32_t off)
{
	struct layout_bucket *b = bucket_of(s, slot);
	uint32_t i = slot % LAYOUT_SLOTS;

	bucket_open(b);
	mark_set(b, i, mark);
	layout_store32(&b->off[i], off);
	bucket_close(b);
}

/* The slot of the entry at this offset: where its key leads to, or, if that is damaged, anywhere. */
static uint32_t slot_at(const struct store *s, uint32_t off)
{
	const struct layout_entry *e = at(s, off);
	struct layout_fixed f = layout_take(e);
	uint32_t b, slot;

	if (layout_inside(s->l, off, f.key_bytes, f.value_bytes, f.flags & LAYOUT_OWN_VERSION)) {
		b = layout_home(s->l, tag_of(s, bytes_of(layout_key(e, f.flags), f.key_bytes)));
		for (uint32_t probe = 0; probe < s->l.probes; probe++, b = bucket_next(s, b)) {
			for (slot = b * LAYOUT_SLOTS; slot < (b + 1) * LAYOUT_SLOTS; slot++)
				if (s->slot[slot].off == off)
					return slot;
			if (!s->own[b].passed)
				break;
		}
	}
	for (slot = 0; s->slot[slot].off != off; slot++)
		BUG_ON(slot + 1 == s->n_slots);
	return slot;
}

static void move_entry(void *arg, uint32_t from, uint32_t to, uint32_t size)
{
	struct store *s = arg;
	uint32_t slot = slot_at(s, from);
	struct layout_bucket *b = bucket_of(s, slot);
	const uint64_t *src = (const uint64_t *)at(s, from);
	uint64_t *dst = (uint64_t *)at(s, to);
	size_t n = (size_t)size * (LAYOUT_GRANULE / 8);

	bucket_open(b);
	for (size_t w = 0; w < n; w++)
		layout_store(&dst[w], src[w]);
	layout_store32(&b->off[slot % LAYOUT_SLOTS], to);
	bucket_close(b);
	s->slot[slot].off = to;
	if (from - to >= size)
		wipe(at(s, from));
}

/* -- Life -------------------------------------------------------------------------------------- */

/* NULL: no memory. Does not look at mem. */
static struct store *new_over(void *mem, uint64_t bytes, uint64_t boot_id)
{
	struct store *s = calloc(1, sizeof(*s));

	BUG_ON((uintptr_t)mem % 64);
	if (!s)
		return NULL;
	s->boot_id = boot_id;
	s->mem = mem;
	s->bytes = bytes;
	s->l = layout_of(bytes);
	s->head = mem;
	s->bucket = (struct layout_bucket *)(s->head + 1);
	s->n_slots = s->l.n_buckets * LAYOUT_SLOTS;
	s->max_live = (uint32_t)((uint64_t)s->n_slots * FULL_NUM / FULL_DEN);
	for (s->leaves = 1; s->leaves * GROUP < s->l.n_buckets;)
		s->leaves *= 2;
	s->slot = calloc(s->n_slots, sizeof(*s->slot));
	s->own = calloc(s->l.n_buckets, sizeof(*s->own));
	s->live = calloc(2 * (size_t)s->leaves, sizeof(*s->live));
	if (!s->slot || !s->own || !s->live ||
	    arena_init(&s->arena, s->l.arena, s->l.end, move_entry, s))
		store_release(&s);
	return s;
}

void store_release(struct store **s)
{
	if (!*s)
		return;
	arena_release(&(*s)->arena);
	free((*s)->slot);
	free((*s)->own);
	free((*s)->live);
	free(*s);
	*s = NULL;
}

int store_create(void *mem, uint64_t bytes, uint64_t boot_id, struct store_clock clock,
                 struct store **ret)
{
	struct store *s;
	uint64_t *w = mem;

	*ret = NULL;
	if (!layout_size_ok(bytes))
		return -EINVAL;
	s = new_over(mem, bytes, boot_id);
	if (!s)
		return -ENOMEM;
	/* the magic comes last: a writer killed in here leaves nothing that looks whole */
	layout_store(&s->head->magic, 0);
	layout_fence_release();
	for (size_t i = 1; i < (size_t)s->l.arena * LAYOUT_GRANULE / 8; i++)
		layout_store(&w[i], 0);
	s->seed = hash_u64(boot_id + UINT64_C(0x9e3779b97f4a7c15));
	write_identity(s);
	write_clock(s, clock);
	write_heartbeat(s, clock.boottime_us);
	write_life(s);
	*ret = s;
	return 0;
}

void store_heartbeat(struct store *s, int64_t boottime_us)
{
	write_heartbeat(s, boottime_us);
	/* the same as is there, unless the memory has gone bad: then it is mended */
	write_identity(s);
	write_clock(s, s->clock);
	write_life(s);
}

void store_set_clock(struct store *s, struct store_clock clock)
{
	write_clock(s, clock);
}

/* -- Attaching --------------------------------------------------------------------------------- */

/* What a slot refers to, as far as that can be told. */
struct referred {
	struct layout_fixed fixed;
	uint32_t far;
	bool own_version;
};

/* Whether it is a whole entry. Its offset is in the arena. */
static bool verify(const struct store *s, uint32_t slot, struct referred *ret)
{
	const struct layout_bucket *b = bucket_of(s, slot);
	uint32_t off = b->off[slot % LAYOUT_SLOTS];
	const struct layout_entry *e = at(s, off);
	struct layout_fixed f = layout_take(e);
	uint64_t tag, value_hash;
	const unsigned char *p;

	ret->own_version = f.flags & LAYOUT_OWN_VERSION;
	if (!layout_inside(s->l, off, f.key_bytes, f.value_bytes, ret->own_version))
		return false;
	if (ret->own_version)
		f.version = *layout_own_version(e, f.flags);
	p = (const unsigned char *)layout_key(e, f.flags);
	tag = hash_bytes(bytes_of(p, f.key_bytes), s->seed);
	ret->far = distance(s, slot, tag);
	if (mark_at(b, slot % LAYOUT_SLOTS) != layout_mark(tag) || ret->far >= s->l.probes)
		return false;
	ret->fixed = f;
	value_hash = hash_bytes(bytes_of(p + layout_pad(f.key_bytes), f.value_bytes), 0);
	return e->sum == layout_word_sum(&f, tag, value_hash);
}

/* What becomes of an entry, at now, after nobody wrote for a while. */
enum fate { FATE_DAMAGED, FATE_EXPIRED, FATE_KEPT };

static enum fate fate_of(const struct store *s, uint32_t slot, struct instant now,
                         struct referred *ret)
{
	const struct layout_fixed *f = &ret->fixed;
	uint64_t dies;

	if (!verify(s, slot, ret))
		return FATE_DAMAGED;
	dies = layout_end_of_age(f);
	if (!dies || f->loaded > layout_ticks(now))
		return FATE_DAMAGED;
	/* what is pushed may have changed while nobody listened, and readers see it before the engine */
	if (f->flags & LAYOUT_PUSHED || !instant_before(now, layout_hard(f)) ||
	    instant_before(layout_instant(dies), now))
		return FATE_EXPIRED;
	return FATE_KEPT;
}

/* Granules that are sorted at once: 64 KiB, which a processor has at hand. */
#define PILE      4096u
#define PILE_BITS 12
#define DIGIT     6 /* bits of it that are sorted by at a time */

static uint32_t piles_of(struct layout l)
{
	return (l.end - l.arena) / PILE + 1;
}

/* What attaching takes besides the store itself. */
struct scratch {
	uint64_t *found,
	        *sorted; /* offset << 32 | slot, for each slot; `found` then has the verdicts */
	uint32_t *from;  /* for each pile, and one */
	uint32_t *doubt; /* for each slot */
};

static void scratch_release(struct scratch *w)
{
	free(w->found);
	free(w->sorted);
	free(w->from);
	free(w->doubt);
}

static int scratch_init(struct scratch *w, struct layout l)
{
	size_t slots = (size_t)l.n_buckets * LAYOUT_SLOTS;

	w->found = malloc(slots * sizeof(*w->found));
	w->sorted = malloc(slots * sizeof(*w->sorted));
	w->from = calloc((size_t)piles_of(l) + 1, sizeof(*w->from));
	w->doubt = malloc(slots * sizeof(*w->doubt));
	if (w->found && w->sorted && w->from && w->doubt)
		return 0;
	scratch_release(w);
	return -ENOMEM;
}

/* By the offset within its pile, digit by digit; what has the same stays in order. */
static void sort_pile(uint64_t *v, uint64_t *other, uint32_t n, uint32_t arena)
{
	for (int shift = 0; shift < PILE_BITS; shift += DIGIT) {
		uint32_t from[(1 << DIGIT) + 1] = {0};
		uint64_t *sorted = other;

#define DIGIT_OF(x) ((((uint32_t)((x) >> 32) - arena) >> shift) % (1u << DIGIT))
		for (uint32_t i = 0; i < n; i++)
			from[DIGIT_OF(v[i]) + 1]++;
		for (uint32_t d = 0; d < 1u << DIGIT; d++)
			from[d + 1] += from[d];
		for (uint32_t i = 0; i < n; i++)
			sorted[from[DIGIT_OF(v[i])]++] = v[i];
#undef DIGIT_OF
		other = v;
		v = sorted;
	}
}

/* Sorts the n that were found by offset. */
static void by_offset(const struct store *s, struct scratch *w, uint32_t n)
{
	uint32_t piles = piles_of(s->l), *from = w->from, pile, at = 0;
	uint64_t *found = w->found, *sorted = w->sorted;

	for (uint32_t i = 0; i < n; i++)
		from[((uint32_t)(found[i] >> 32) - s->l.arena) / PILE + 1]++;
	for (pile = 0; pile < piles; pile++)
		from[pile + 1] += from[pile];
	for (uint32_t i = 0; i < n; i++)
		sorted[from[((uint32_t)(found[i] >> 32) - s->l.arena) / PILE]++] = found[i];
	/* each now ends where the next begins */
	for (pile = 0; pile < piles; at = from[pile++])
		sort_pile(&sorted[at], &found[at], from[pile] - at, s->l.arena);
}

/* Finds all that slots refer to in the arena; returns how many. Evens what was being changed. */
static uint32_t collect(struct store *s, bool none, uint64_t *found, uint64_t *ret_seen)
{
	uint32_t slots = s->l.n_buckets * LAYOUT_SLOTS, n = 0, off;

	*ret_seen = 0;
	for (uint32_t slot = 0; slot < slots; slot++) {
		struct layout_bucket *b = bucket_of(s, slot);

		if (b->state & LAYOUT_CHANGING)
			bucket_close(b);
		off = b->off[slot % LAYOUT_SLOTS];
		if (!off)
			continue;
		++*ret_seen;
		if (none || !layout_inside(s->l, off, 0, 0, true))
			slot_set(s, slot, 0, 0);
		else
			found[n++] = (uint64_t)off << 32 | slot;
	}
	return n;
}

/* Whether a slot before this one in its bucket has the same mark. */
static bool has_twin(const struct store *s, uint32_t slot)
{
	const struct layout_bucket *b = bucket_of(s, slot);
	uint64_t mark = mark_at(b, slot % LAYOUT_SLOTS);

	for (uint32_t i = 0; i < slot % LAYOUT_SLOTS; i++)
		if (b->off[i] && mark_at(b, i) == mark)
			return true;
	return false;
}

/* The verdict on a slot: how far its entry is from home << 32 | its granules; 0, or this: it goes. */
#define VERDICT_EXPIRED UINT64_MAX

struct trial {
	const struct store *s;
	struct instant now;
	const uint64_t *sorted;
	uint64_t *verdict;
	uint32_t n;
	unsigned pieces;
};

/* How far ahead the lines of the index are asked for that will be wanted. */
#define AHEAD 8

static void try_piece(void *job, unsigned piece)
{
	const struct trial *t = job;
	uint32_t i = (uint32_t)((uint64_t)t->n * piece / t->pieces);
	uint32_t end = (uint32_t)((uint64_t)t->n * (piece + 1) / t->pieces);
	struct referred r;

	for (; i < end; i++) {
		if (i + AHEAD < end)
			__builtin_prefetch(bucket_of(t->s, (uint32_t)t->sorted[i + AHEAD]));
		switch (fate_of(t->s, (uint32_t)t->sorted[i], t->now, &r)) {
		case FATE_DAMAGED:
			t->verdict[i] = 0;
			break;
		case FATE_EXPIRED:
			t->verdict[i] = VERDICT_EXPIRED;
			break;
		case FATE_KEPT:
			t->verdict[i] = (uint64_t)r.far << 32 |
			                layout_granules(r.fixed.key_bytes, r.fixed.value_bytes,
			                                r.own_version);
			break;
		}
	}
}

/* Pieces for each of the crew: who is done early takes one more. */
#define PIECES 16u

/* Looks at each of them, with all who help. Nothing is changed meanwhile. */
static void try_all(struct trial *t, const struct store_crew *crew)
{
	t->pieces = crew ? PIECES * crew->threads : 1;
	if (crew)
		crew->run(crew->threads, try_piece, t, t->pieces);
	else
		try_piece(t, 0);
}

/*
 * Takes in what of these slots is right, lowest offset first. *ret_doubt (n at least): entries whose
 * key another one might have; returns how many. *ret_expired is counted up.
 */
static uint32_t adopt(struct store *s, const struct trial *t, uint32_t *ret_doubt,
                      uint64_t *ret_expired)
{
	uint32_t doubts = 0;

	for (uint32_t i = 0; i < t->n; i++) {
		uint32_t slot = (uint32_t)t->sorted[i], off = (uint32_t)(t->sorted[i] >> 32);
		uint32_t far = (uint32_t)(t->verdict[i] >> 32);

		if (i + AHEAD < t->n)
			__builtin_prefetch(bucket_of(s, (uint32_t)t->sorted[i + AHEAD]));
		*ret_expired += t->verdict[i] == VERDICT_EXPIRED;
		if (!t->verdict[i] || t->verdict[i] == VERDICT_EXPIRED ||
		    s->n_live >= s->max_live ||
		    !arena_append(&s->arena, off, (uint32_t)t->verdict[i])) {
			slot_set(s, slot, 0, 0);
			continue;
		}
		s->slot[slot] = (struct own_slot){off, STORE_NONE};
		know(s, slot, public_mark(s, slot), far, false);
		count_live(s, slot, true);
		if (far || has_twin(s, slot))
			ret_doubt[doubts++] = slot;
	}
	return doubts;
}

/* Counts anew who passed which bucket, as what is told of it may be half done. */
static void count_passed(struct store *s)
{
	for (uint32_t h = 0; h < s->n_slots; h++)
		if (s->slot[h].off)
			slot_pass(s, h, far_of(s, h), true);
	for (uint32_t b = 0; b < s->l.n_buckets; b++)
		show_passed(s, b);
}

/* Whether what is there can be dated by the new clock. */
static bool can_date(const struct layout_header *h, struct store_clock clock)
{
	struct instant old;
	int64_t lead;

	/* one that is torn or of another boot counts as ahead, too: nobody knows the ages then */
	old = layout_now(h, clock.host, clock.boottime_us);
	return !__builtin_sub_overflow(old.us, clock.base.us, &lead) && lead <= CLOCK_SLACK_US;
}

int store_attach(void *mem, uint64_t bytes, uint64_t boot_id, struct store_clock clock,
                 struct instant now, const struct store_crew *crew, struct store_found *ret_found,
                 struct store **ret)
{
	struct store_found found = {0};
	struct scratch w = {0};
	struct trial t;
	struct store *s;
	uint32_t doubts;
	uint64_t seen;

	*ret = NULL;
	BUG_ON((uintptr_t)mem % 64);
	if (!layout_size_ok(bytes) || !layout_header_ok(mem, bytes))
		return -EPROTO;
	s = new_over(mem, bytes, boot_id);
	if (!s || scratch_init(&w, s->l)) {
		store_release(&s);
		return -ENOMEM;
	}
	s->seed = s->head->seed;
	t = (struct trial){.s = s, .now = now, .sorted = w.sorted, .verdict = w.found};
	t.n = collect(s, !can_date(s->head, clock), w.found, &seen);
	by_offset(s, &w, t.n);
	try_all(&t, crew);
	doubts = adopt(s, &t, w.doubt, &found.expired);
	count_passed(s);
	/* two entries of one key can only be forged: the one that is found stays */
	for (uint32_t i = 0; i < doubts; i++) {
		struct parts p;

		parts(s, w.doubt[i], &p);
		if (store_find(s, p.key) != w.doubt[i])
			store_remove(s, w.doubt[i]);
	}
	scratch_release(&w);
	found.kept = s->n_live;
	found.dropped = seen - found.kept - found.expired;
	if (ret_found)
		*ret_found = found;
	write_clock(s, clock);
	write_heartbeat(s, clock.boottime_us);
	write_life(s);
	*ret = s;
	return 0;
}

/* -- Entries ----------------------------------------------------------------------------------- */

uint64_t store_footprint(const struct store *s, uint64_t key_bytes, uint64_t value_bytes)
{
	if (!layout_inside(s->l, s->l.arena, key_bytes, value_bytes, true))
		return 0;
	return (uint64_t)layout_granules(key_bytes, value_bytes, true) * LAYOUT_GRANULE;
}

uint32_t store_find(const struct store *s, struct bytes key)
{
	return find(s, tag_of(s, key), key, STORE_NONE);
}

void store_remove(struct store *s, uint32_t entry)
{
	BUG_ON(!is_live(s, entry));
	slot_set(s, entry, 0, 0);
	slot_pass(s, entry, far_of(s, entry), false);
	wipe(entry_at(s, entry));
	arena_remove(&s->arena, s->slot[entry].off);
	s->slot[entry].off = 0;
	count_live(s, entry, false);
}

static bool points_into(const struct store *s, struct bytes b)
{
	return b.n && (const unsigned char *)b.p >= s->mem &&
	       (const unsigned char *)b.p < s->mem + s->bytes;
}

/* A slot for a new entry in the place of `old` (or NONE); STORE_NONE when there is none. */
static uint32_t slot_for(const struct store *s, uint64_t tag, uint32_t old, uint32_t *ret_far)
{
	if (old != STORE_NONE) {
		*ret_far = far_of(s, old);
		return old;
	}
	return s->n_live < s->max_live ? slot_find(s, tag, ret_far) : STORE_NONE;
}

/* Makes what was written at this offset the entry of slot h, in the place of what it held. */
static void show(struct store *s, uint32_t h, uint32_t far, uint64_t tag, uint32_t off,
                 const struct store_item *i)
{
	bool held = s->slot[h].off != 0;

	if (!held)
		slot_pass(s, h, far, true);
	slot_set(s, h, layout_mark(tag), off);
	if (held) {
		wipe(entry_at(s, h));
		arena_remove(&s->arena, s->slot[h].off);
	} else {
		count_live(s, h, true);
	}
	s->slot[h] = (struct own_slot){off, i->owner};
	know(s, h, layout_mark(tag), far, i->pushed);
}

/* A new entry in the place of `old` (or NONE); STORE_NONE when there is no room beside it. */
static uint32_t put_beside(struct store *s, uint64_t tag, const struct store_item *i,
                           uint64_t value_hash, uint32_t old)
{
	bool own = i->version != layout_version(value_hash);
	uint32_t far = 0, h = slot_for(s, tag, old, &far), off;

	if (h == STORE_NONE)
		return STORE_NONE;
	off = arena_place(&s->arena, layout_granules(i->key.n, i->value.n, own));
	if (off == ARENA_NONE)
		return STORE_NONE;
	write_entry(at(s, off), tag, i, value_hash, own);
	show(s, h, far, tag, off, i);
	return h;
}

int store_put(struct store *s, const struct store_item *item, uint32_t *ret_entry)
{
	uint64_t tag = tag_of(s, item->key), value_hash;
	uint32_t old = find(s, tag, item->key, item->owner), h;

	BUG_ON(points_into(s, item->key) || points_into(s, item->value));
	if (!store_footprint(s, item->key.n, item->value.n)) {
		if (old != STORE_NONE)
			store_remove(s, old);
		return -E2BIG;
	}
	value_hash = hash_bytes(item->value, 0);
	h = put_beside(s, tag, item, value_hash, old);
	if (h == STORE_NONE && old != STORE_NONE) {
		store_remove(s, old);
		h = put_beside(s, tag, item, value_hash, STORE_NONE);
	}
	if (h == STORE_NONE)
		return -ENOSPC;
	if (ret_entry)
		*ret_entry = h;
	return 0;
}

/* -- Rooms ------------------------------------------------------------------------------------- */

/* Granules that one step moves: 128 KiB take some 30 us. A test sets fewer. */
#ifndef STORE_STEP
#define STORE_STEP 8192u
#endif

int store_reserve(struct store *s, uint64_t key_bytes, uint64_t value_bytes,
                  struct store_room *room)
{
	uint32_t off = room->granules ? room->off : ARENA_NONE;
	int rc;

	if (!room->granules) {
		uint32_t size;

		if (!store_footprint(s, key_bytes, value_bytes))
			return -E2BIG;
		size = layout_granules(key_bytes, value_bytes, true);
		if (size > (s->l.end - s->l.arena) / 2)
			return -E2BIG;
		if (s->reserved + size > (s->l.end - s->l.arena) / 2 ||
		    s->arena.n_pins == ARENA_PINS)
			return -EBUSY;
		*room = (struct store_room){
		        .granules = size, .key_bytes = key_bytes, .value_bytes = value_bytes};
		s->reserved += size;
	}
	BUG_ON(room->taken || room->key_bytes != key_bytes || room->value_bytes != value_bytes);
	rc = arena_gather(&s->arena, room->granules, STORE_STEP, &off);
	room->off = off;
	room->in_the_way = STORE_NONE;
	if (rc == -ENOSPC && off != ARENA_NONE) {
		room->in_the_way = slot_at(s, arena_before(&s->arena, off));
	} else if (rc == -ENOSPC) {
		s->reserved -= room->granules;
		*room = (struct store_room){.in_the_way = STORE_NONE};
	}
	room->taken = rc == 0;
	return rc;
}

void store_fill(const struct store *s, struct store_room *room, const void *value)
{
	BUG_ON(!room->taken);
	/* whoever still reads what was here before must see that its bucket has changed since */
	layout_fence_release();
	layout_copy_in(value_at(at(s, room->off), room->key_bytes, room->value_bytes, true), value,
	               room->value_bytes);
	room->hash = hash_bytes(bytes_of(value, room->value_bytes), 0);
	room->filled = true;
}

int store_publish(struct store *s, const struct store_item *item, struct store_room *room,
                  uint32_t *ret_entry)
{
	uint64_t tag = tag_of(s, item->key);
	uint32_t old = find(s, tag, item->key, item->owner), far = 0;
	uint32_t h = slot_for(s, tag, old, &far);

	BUG_ON(!room->filled || room->key_bytes != item->key.n ||
	       room->value_bytes != item->value.n);
	if (h == STORE_NONE)
		return -ENOSPC;
	write_head(at(s, room->off), tag, item, room->hash, true);
	arena_unpin(&s->arena, room->off);
	show(s, h, far, tag, room->off, item);
	s->reserved -= room->granules;
	*room = (struct store_room){0};
	if (ret_entry)
		*ret_entry = h;
	return 0;
}

void store_unreserve(struct store *s, struct store_room *room)
{
	if (!room->granules)
		return;
	arena_unpin(&s->arena, room->off);
	arena_remove(&s->arena, room->off);
	s->reserved -= room->granules;
	*room = (struct store_room){0};
}

/* -- What is said of an entry ------------------------------------------------------------------ */

/*
 * Writes anew what an entry says of itself, with these changes; `loaded` may be NULL, and both of soft
 * and hard. The hash of the value is taken over, not made again: what is torn or damaged stays so.
 */
static void rewrite(struct store *s, uint32_t h, const struct instant *loaded,
                    const struct instant *soft, const struct instant *hard)
{
	struct layout_entry *e = entry_at(s, h);
	uint64_t tag, value_hash;
	struct parts p;
	struct layout_fixed *f = &p.fixed;

	parts(s, h, &p);
	tag = tag_of(s, p.key);
	value_hash = layout_value_hash(f, tag, e->sum);
	if (loaded)
		f->loaded = layout_ticks(*loaded);
	if (soft)
		layout_set_ends(f, *soft, *hard);
	f->flags = (f->flags & ~LAYOUT_PUSHED) | (is_pushed(s, h) ? LAYOUT_PUSHED : 0);
	bucket_open(bucket_of(s, h));
	write_fixed(e, f, tag, value_hash);
	bucket_close(bucket_of(s, h));
}

void store_set_expiry(struct store *s, uint32_t entry, struct instant soft, struct instant hard)
{
	BUG_ON(!is_live(s, entry));
	rewrite(s, entry, NULL, &soft, &hard);
}

void store_set_pushed(struct store *s, uint32_t entry, bool pushed)
{
	BUG_ON(!is_live(s, entry));
	if (is_pushed(s, entry) == pushed)
		return;
	s->own[entry / LAYOUT_SLOTS].known[entry % LAYOUT_SLOTS] ^= KNOWN_PUSHED;
	rewrite(s, entry, NULL, NULL, NULL);
}

int store_renew(struct store *s, uint32_t entry, struct instant loaded, struct instant soft,
                struct instant hard)
{
	BUG_ON(!is_live(s, entry));
	rewrite(s, entry, &loaded, &soft, &hard);
	return 0;
}

struct bytes store_value(const struct store *s, uint32_t entry, bool *ret_packed)
{
	struct parts p;

	BUG_ON(!is_live(s, entry));
	parts(s, entry, &p);
	*ret_packed = p.fixed.flags & LAYOUT_PACKED;
	return p.value;
}

void store_get(const struct store *s, uint32_t entry, struct store_item *ret)
{
	struct parts p;
	const struct layout_fixed *f = &p.fixed;

	BUG_ON(!is_live(s, entry));
	parts(s, entry, &p);
	ret->key = p.key;
	ret->value = p.value;
	ret->version =
	        f->flags & LAYOUT_OWN_VERSION ? f->version : layout_version(hash_bytes(p.value, 0));
	ret->loaded = layout_instant(f->loaded);
	ret->soft = layout_soft(f);
	ret->hard = layout_hard(f);
	ret->max_age = layout_max_age(f->loaded, layout_end_of_age(f));
	ret->owner = s->slot[entry].owner;
	ret->pushed = is_pushed(s, entry);
	ret->packed = f->flags & LAYOUT_PACKED;
}

bool store_whole(const struct store *s, uint32_t entry)
{
	struct referred r;
	uint32_t size, off;

	BUG_ON(!is_live(s, entry));
	off = s->slot[entry].off;
	if (bucket_of(s, entry)->off[entry % LAYOUT_SLOTS] != off || !verify(s, entry, &r))
		return false;
	size = layout_granules(r.fixed.key_bytes, r.fixed.value_bytes, r.own_version);
	return arena_size(&s->arena, off) - size <= 1;
}

uint32_t store_owner(const struct store *s, uint32_t entry)
{
	BUG_ON(!is_live(s, entry));
	return s->slot[entry].owner;
}

void store_set_owner(struct store *s, uint32_t entry, uint32_t owner)
{
	BUG_ON(!is_live(s, entry));
	s->slot[entry].owner = owner;
}

/* The n-th live entry, from 0. */
static uint32_t live_nth(const struct store *s, uint32_t n)
{
	uint32_t i = 1, h;

	while (i < s->leaves) {
		i *= 2;
		if (n >= s->live[i])
			n -= s->live[i++];
	}
	for (h = (i - s->leaves) * GROUP * LAYOUT_SLOTS; !s->slot[h].off || n--; h++)
		;
	return h;
}

uint32_t store_sample(const struct store *s, struct rng *g)
{
	uint32_t h;

	if (!s->n_live)
		return STORE_NONE;
	for (int i = 0; i < GUESSES; i++) {
		h = (uint32_t)rng_below(g, s->n_slots);
		if (s->slot[h].off)
			return h;
	}
	return live_nth(s, (uint32_t)rng_below(g, s->n_live));
}

void store_each(const struct store *s, store_each_fn *fn, void *arg)
{
	for (uint32_t h = 0; h < s->n_slots; h++)
		if (s->slot[h].off)
			fn(arg, h);
}

void store_stats(const struct store *s, struct store_stats *ret)
{
	ret->entries = s->n_live;
	ret->entries_total = s->max_live;
	ret->bytes_used = (uint64_t)s->arena.used * LAYOUT_GRANULE;
	ret->bytes_total = (uint64_t)(s->l.end - s->l.arena) * LAYOUT_GRANULE;
}
