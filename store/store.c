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
#define FULL_NUM 9u
#define FULL_DEN 10u

/* How far a new writer's clock may be behind the old one's: they are read one after the other. */
#define CLOCK_SLACK_US 100000

/* What the writer knows of an entry, by its handle, besides its place in the arena. */
struct entry {
	uint32_t slot; /* bucket * LAYOUT_SLOTS + place in it */
	uint16_t key_bytes;
	uint16_t far;              /* buckets between its home and where it is */
	uint32_t value_bytes : 30; /* at most LAYOUT_MAX_VALUE_BYTES */
	uint32_t pushed : 1;
	uint32_t own_version : 1;
	uint32_t owner;
	uint32_t pos; /* in order[] */
};
_Static_assert(sizeof(struct entry) == 20, "what the writer keeps per entry, with the arena's");

/*
 * What the writer itself knows of a bucket. Memory can go bad, and what it holds of the segment must
 * never make two entries of one key, or bring back one that was removed: so what is where is never
 * asked of the segment.
 */
struct own_bucket {
	uint16_t mark[LAYOUT_SLOTS], passed;
};
_Static_assert(LAYOUT_PROBES *LAYOUT_SLOTS <= UINT16_MAX, "so many can pass a bucket");

struct store {
	unsigned char *mem;
	uint64_t bytes, seed, boot_id;
	struct store_clock clock;
	struct layout l;
	struct layout_header *head;
	struct layout_bucket *bucket;
	struct arena arena;
	struct entry *entry;
	struct own_bucket *own;
	uint32_t *handle; /* by slot, plus 1; 0: the slot is empty */
	uint32_t *order;  /* live handles, then those given back, n_handles together */
	uint32_t n_live, n_handles, max_live;
};

/* -- Segment ----------------------------------------------------------------------------------- */

static struct layout_entry *at(const struct store *s, uint32_t off)
{
	return (struct layout_entry *)(s->mem + (uint64_t)off * LAYOUT_GRANULE);
}

static struct layout_entry *entry_at(const struct store *s, uint32_t h)
{
	return at(s, arena_offset(&s->arena, h));
}

/* Readers stay away from the bucket and all it refers to from here ... */
static void bucket_open(struct layout_bucket *b)
{
	/* not + 1: one that is odd by some damage would stay so */
	layout_store32(&b->seq, b->seq | 1);
	layout_fence_release();
}

/* ... to here. */
static void bucket_close(struct layout_bucket *b)
{
	LAYOUT_ON_STORE();
	__atomic_store_n(&b->seq, b->seq + 1, __ATOMIC_RELEASE);
}

static struct layout_bucket *bucket_of(const struct store *s, uint32_t slot)
{
	return &s->bucket[slot / LAYOUT_SLOTS];
}

static uint32_t bucket_next(const struct store *s, uint32_t b)
{
	return b + 1 == s->l.n_buckets ? 0 : b + 1;
}

static void write_expiry(struct layout_entry *e, uint64_t tag, struct instant soft,
                         struct instant hard, bool pushed)
{
	struct layout_expiry x = {layout_ticks(soft), layout_ticks(hard), pushed};

	layout_expiry_put(e, tag, &x);
}

/* Writes an entry into memory that no slot refers to. */
static void write_entry(struct layout_entry *e, uint64_t tag, const struct store_item *i,
                        uint64_t value_hash, bool own_version)
{
	struct layout_fixed f = {.key_bytes = i->key.n,
	                         .value_bytes = i->value.n,
	                         .loaded = layout_ticks(i->loaded)};
	uint64_t *p = (uint64_t *)(e + 1);

	f.dies = layout_dies(i->loaded, f.loaded, i->max_age);
	/* whoever still reads what was here before must see that its bucket has changed since */
	layout_fence_release();
	if (own_version) {
		f.flags = LAYOUT_OWN_VERSION;
		f.version = i->version;
		layout_store(p++, f.version);
	}
	layout_store(&e->loaded, layout_word_loaded(&f));
	layout_store(&e->dies, layout_word_dies(&f));
	layout_store(&e->sum, layout_word_sum(&f, tag, value_hash));
	write_expiry(e, tag, i->soft, i->hard, i->pushed);
	layout_copy_in(p, i->key.p, i->key.n);
	layout_copy_in(p + layout_pad(i->key.n) / 8, i->value.p, i->value.n);
}

/* What is left of an entry that no slot refers to any more must not look whole. */
static void wipe(struct layout_entry *e)
{
	layout_fence_release();
	layout_store(&e->sum, 0);
}

static void move_entry(void *arg, uint32_t h, uint32_t from, uint32_t to)
{
	struct store *s = arg;
	struct layout_bucket *b = bucket_of(s, s->entry[h].slot);
	const uint64_t *src = (const uint64_t *)at(s, from);
	uint64_t *dst = (uint64_t *)at(s, to);
	size_t n = (size_t)s->arena.block[h].size * (LAYOUT_GRANULE / 8);

	bucket_open(b);
	for (size_t w = 0; w < n; w++)
		layout_store(&dst[w], src[w]);
	layout_store32(&b->off[s->entry[h].slot % LAYOUT_SLOTS], to);
	bucket_close(b);
	if (from - to >= s->arena.block[h].size)
		wipe(at(s, from));
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

/* -- Handles ----------------------------------------------------------------------------------- */

static bool is_live(const struct store *s, uint32_t h)
{
	return h < s->n_handles && s->entry[h].pos < s->n_live;
}

static uint32_t handle_take(struct store *s)
{
	uint32_t h;

	if (s->n_live == s->n_handles)
		s->order[s->n_handles++] = s->n_live;
	h = s->order[s->n_live];
	s->entry[h].pos = s->n_live++;
	return h;
}

static void handle_give(struct store *s, uint32_t h)
{
	uint32_t pos = s->entry[h].pos, last = s->order[--s->n_live];

	s->order[pos] = last;
	s->entry[last].pos = pos;
	s->order[s->n_live] = h;
	s->entry[h].pos = s->n_live;
}

/* -- Index ------------------------------------------------------------------------------------- */

static uint64_t tag_of(const struct store *s, struct bytes key)
{
	return hash_bytes(key, s->seed);
}

static struct bytes key_of(const struct store *s, uint32_t h)
{
	const struct entry *k = &s->entry[h];

	return bytes_of(layout_key(entry_at(s, h), k->own_version ? LAYOUT_OWN_VERSION : 0),
	                k->key_bytes);
}

static struct bytes value_of(const struct store *s, uint32_t h)
{
	struct bytes key = key_of(s, h);

	return bytes_of((const unsigned char *)key.p + layout_pad(key.n), s->entry[h].value_bytes);
}

static uint64_t mark_at(const struct layout_bucket *b, uint32_t i)
{
	return b->mark[i / 4] >> i % 4 * 16 & 0xffff;
}

/* The buckets between the home of a tag and this slot. */
static uint32_t distance(const struct store *s, uint32_t slot, uint64_t tag)
{
	return (slot / LAYOUT_SLOTS + s->l.n_buckets - layout_home(s->l, tag)) % s->l.n_buckets;
}

/*
 * Whether an entry in a place where that of the key could be is the key's. If its own key is not
 * one that belongs there, that is damaged: then it is taken for the key's, as it must not be
 * overlooked, and if it was another's, nothing is lost.
 */
static bool is_of(const struct store *s, uint32_t h, struct bytes key)
{
	const struct entry *k = &s->entry[h];
	struct bytes own = key_of(s, h);
	uint64_t tag;

	if (bytes_equal(own, key))
		return true;
	tag = tag_of(s, own);
	return layout_mark(tag) != s->own[k->slot / LAYOUT_SLOTS].mark[k->slot % LAYOUT_SLOTS] ||
	       distance(s, k->slot, tag) != k->far;
}

static uint32_t find(const struct store *s, uint64_t tag, struct bytes key)
{
	uint32_t b = layout_home(s->l, tag), h;
	uint64_t mark = layout_mark(tag);

	for (unsigned probe = 0; probe < s->l.probes; probe++, b = bucket_next(s, b)) {
		for (unsigned i = 0; i < LAYOUT_SLOTS; i++) {
			if (s->own[b].mark[i] != mark)
				continue;
			h = s->handle[b * LAYOUT_SLOTS + i];
			if (h && s->entry[h - 1].far == probe && is_of(s, h - 1, key))
				return h - 1;
		}
		if (!s->own[b].passed)
			break;
	}
	return STORE_NONE;
}

/* A slot for the tag, or STORE_NONE: all near its home are taken. */
static uint32_t slot_find(const struct store *s, uint64_t tag, uint16_t *ret_far)
{
	uint32_t b = layout_home(s->l, tag);

	for (unsigned probe = 0; probe < s->l.probes; probe++, b = bucket_next(s, b))
		for (unsigned i = 0; i < LAYOUT_SLOTS; i++)
			if (!s->handle[b * LAYOUT_SLOTS + i]) {
				*ret_far = (uint16_t)probe;
				return b * LAYOUT_SLOTS + i;
			}
	return STORE_NONE;
}

/* Counts, or no longer counts, an entry in the buckets between its home and where it is. */
static void slot_pass(struct store *s, uint32_t slot, uint32_t far, bool add)
{
	uint32_t b = slot / LAYOUT_SLOTS;

	while (far--) {
		b = (b ? b : s->l.n_buckets) - 1;
		s->own[b].passed = (uint16_t)(add ? s->own[b].passed + 1 : s->own[b].passed - 1);
		layout_store32(&s->bucket[b].passed, s->own[b].passed);
	}
}

static void slot_set(struct store *s, uint32_t slot, uint64_t mark, uint32_t off)
{
	struct layout_bucket *b = bucket_of(s, slot);
	uint32_t i = slot % LAYOUT_SLOTS;
	uint64_t *w = &b->mark[i / 4];

	bucket_open(b);
	layout_store(w, (*w & ~(UINT64_C(0xffff) << i % 4 * 16)) | mark << i % 4 * 16);
	layout_store32(&b->off[i], off);
	bucket_close(b);
	s->own[slot / LAYOUT_SLOTS].mark[i] = (uint16_t)mark;
}

/* -- Life -------------------------------------------------------------------------------------- */

/* NULL: no memory. Does not look at mem. */
static struct store *new_over(void *mem, uint64_t bytes, uint64_t boot_id)
{
	struct store *s = calloc(1, sizeof(*s));
	uint32_t slots;

	BUG_ON((uintptr_t)mem % 64);
	if (!s)
		return NULL;
	s->boot_id = boot_id;
	s->mem = mem;
	s->bytes = bytes;
	s->l = layout_of(bytes);
	s->head = mem;
	s->bucket = (struct layout_bucket *)(s->head + 1);
	slots = s->l.n_buckets * LAYOUT_SLOTS;
	s->max_live = (uint32_t)((uint64_t)slots * FULL_NUM / FULL_DEN);
	/* one more than can live: an entry is replaced by one that is written beside it */
	s->entry = calloc((size_t)s->max_live + 1, sizeof(*s->entry));
	s->order = calloc((size_t)s->max_live + 1, sizeof(*s->order));
	s->handle = calloc(slots, sizeof(*s->handle));
	s->own = calloc(s->l.n_buckets, sizeof(*s->own));
	if (!s->entry || !s->order || !s->handle || !s->own ||
	    arena_init(&s->arena, s->l.arena, s->l.end, s->max_live + 1, move_entry, s))
		store_release(&s);
	return s;
}

void store_release(struct store **s)
{
	if (!*s)
		return;
	arena_release(&(*s)->arena);
	free((*s)->entry);
	free((*s)->order);
	free((*s)->handle);
	free((*s)->own);
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
	struct layout_expiry expiry;
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
		f.version = *(const uint64_t *)(e + 1);
	p = (const unsigned char *)layout_key(e, f.flags);
	tag = hash_bytes(bytes_of(p, f.key_bytes), s->seed);
	ret->far = distance(s, slot, tag);
	if (mark_at(b, slot % LAYOUT_SLOTS) != layout_mark(tag) || ret->far >= s->l.probes ||
	    !layout_expiry_take(e, tag, &ret->expiry))
		return false;
	ret->fixed = f;
	value_hash = hash_bytes(bytes_of(p + layout_pad(f.key_bytes), f.value_bytes), 0);
	return e->sum == layout_word_sum(&f, tag, value_hash);
}

/* Whether it is one that may still be served, at now, after nobody wrote for a while. */
static bool may_serve(const struct store *s, uint32_t slot, struct instant now,
                      struct referred *ret)
{
	/* what is pushed may have changed while nobody listened, and readers see it before the engine */
	return verify(s, slot, ret) && !ret->expiry.pushed &&
	       instant_before(now, layout_instant(ret->expiry.hard)) &&
	       ret->fixed.loaded <= layout_ticks(now) && ret->fixed.dies &&
	       !instant_before(layout_instant(ret->fixed.dies), now);
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Granules that are sorted at once: 64 KiB, which a processor has at hand. */
#define PILE 4096u

static uint32_t piles_of(struct layout l)
{
	return (l.end - l.arena) / PILE + 1;
}

/* What attaching takes besides the store itself. */
struct scratch {
	uint64_t *found, *sorted; /* offset << 32 | slot, for each slot */
	uint32_t *from;           /* for each pile, and one */
	uint32_t *doubt;          /* for each slot */
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
		qsort(&sorted[at], from[pile] - at, sizeof(*sorted), by_number);
}

/* Finds all that slots refer to in the arena; returns how many. Evens what was being changed. */
static uint32_t collect(struct store *s, bool none, uint64_t *found, uint64_t *ret_seen)
{
	uint32_t slots = s->l.n_buckets * LAYOUT_SLOTS, n = 0, off;

	*ret_seen = 0;
	for (uint32_t slot = 0; slot < slots; slot++) {
		struct layout_bucket *b = bucket_of(s, slot);

		if (b->seq & 1)
			bucket_close(b);
		off = b->off[slot % LAYOUT_SLOTS];
		if (!off)
			continue;
		++*ret_seen;
		if (none || !layout_inside(s->l, off, 0, 0, false))
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

/* How far ahead the lines of the index are asked for that will be wanted. */
#define AHEAD 8

/*
 * Takes in what of these slots is right, lowest offset first. *ret_doubt (n at least): handles of
 * entries whose key another one might have; returns how many.
 */
static uint32_t adopt(struct store *s, struct instant now, const uint64_t *found, uint32_t n,
                      uint32_t *ret_doubt)
{
	struct referred r;
	struct entry *k;
	uint32_t slot, off, h, doubts = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (i + AHEAD < n)
			__builtin_prefetch(bucket_of(s, (uint32_t)found[i + AHEAD]));
		off = (uint32_t)(found[i] >> 32);
		slot = (uint32_t)found[i];
		h = STORE_NONE;
		if (may_serve(s, slot, now, &r))
			h = s->n_live < s->max_live ? handle_take(s) : STORE_NONE;
		if (h == STORE_NONE ||
		    !arena_append(&s->arena, h, off,
		                  layout_granules(r.fixed.key_bytes, r.fixed.value_bytes,
		                                  r.own_version))) {
			slot_set(s, slot, 0, 0);
			if (h != STORE_NONE)
				handle_give(s, h);
			continue;
		}
		k = &s->entry[h];
		k->slot = slot;
		k->far = (uint16_t)r.far;
		k->key_bytes = (uint16_t)r.fixed.key_bytes;
		k->value_bytes = (uint32_t)r.fixed.value_bytes & 0x3fffffff;
		k->own_version = r.own_version;
		k->pushed = r.expiry.pushed;
		k->owner = STORE_NONE;
		s->handle[slot] = h + 1;
		s->own[slot / LAYOUT_SLOTS].mark[slot % LAYOUT_SLOTS] =
		        (uint16_t)mark_at(bucket_of(s, slot), slot % LAYOUT_SLOTS);
		if (r.far || has_twin(s, slot))
			ret_doubt[doubts++] = h;
	}
	return doubts;
}

/* Counts anew who passed which bucket, as the old counts may be half done. */
static void count_passed(struct store *s)
{
	for (uint32_t b = 0; b < s->l.n_buckets; b++)
		layout_store32(&s->bucket[b].passed, 0);
	for (uint32_t i = 0; i < s->n_live; i++)
		slot_pass(s, s->entry[s->order[i]].slot, s->entry[s->order[i]].far, true);
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
                 struct instant now, uint64_t *ret_kept, uint64_t *ret_dropped, struct store **ret)
{
	struct scratch w = {0};
	struct store *s;
	uint32_t n, doubts;
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
	n = collect(s, !can_date(s->head, clock), w.found, &seen);
	by_offset(s, &w, n);
	doubts = adopt(s, now, w.sorted, n, w.doubt);
	count_passed(s);
	/* two entries of one key can only be forged: the one that is found stays */
	for (uint32_t i = 0; i < doubts; i++)
		if (store_find(s, key_of(s, w.doubt[i])) != w.doubt[i])
			store_remove(s, w.doubt[i]);
	scratch_release(&w);
	if (ret_kept)
		*ret_kept = s->n_live;
	if (ret_dropped)
		*ret_dropped = seen - s->n_live;
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
	return find(s, tag_of(s, key), key);
}

void store_remove(struct store *s, uint32_t entry)
{
	uint32_t slot;

	BUG_ON(!is_live(s, entry));
	slot = s->entry[entry].slot;
	slot_set(s, slot, 0, 0);
	s->handle[slot] = 0;
	slot_pass(s, slot, s->entry[entry].far, false);
	wipe(entry_at(s, entry));
	arena_remove(&s->arena, entry);
	handle_give(s, entry);
}

static bool points_into(const struct store *s, struct bytes b)
{
	return b.n && (const unsigned char *)b.p >= s->mem &&
	       (const unsigned char *)b.p < s->mem + s->bytes;
}

/* A new entry in the place of `old` (or NONE); STORE_NONE when there is no room beside it. */
static uint32_t put_beside(struct store *s, uint64_t tag, const struct store_item *i,
                           uint64_t value_hash, uint32_t old)
{
	bool own = i->version != layout_version(value_hash);
	uint16_t far = 0;
	uint32_t h, slot;
	struct entry *k;

	if (old == STORE_NONE && s->n_live >= s->max_live)
		return STORE_NONE;
	if (old != STORE_NONE) {
		slot = s->entry[old].slot;
		far = s->entry[old].far;
	} else {
		slot = slot_find(s, tag, &far);
	}
	if (slot == STORE_NONE)
		return STORE_NONE;
	h = handle_take(s);
	if (!arena_place(&s->arena, h, layout_granules(i->key.n, i->value.n, own))) {
		handle_give(s, h);
		return STORE_NONE;
	}
	k = &s->entry[h];
	k->slot = slot;
	k->far = far;
	k->key_bytes = (uint16_t)i->key.n;
	k->value_bytes = (uint32_t)i->value.n & 0x3fffffff;
	k->own_version = own;
	k->owner = i->owner;
	k->pushed = i->pushed;
	write_entry(entry_at(s, h), tag, i, value_hash, own);
	if (old == STORE_NONE)
		slot_pass(s, slot, far, true);
	slot_set(s, slot, layout_mark(tag), arena_offset(&s->arena, h));
	s->handle[slot] = h + 1;
	if (old != STORE_NONE) {
		wipe(entry_at(s, old));
		arena_remove(&s->arena, old);
		handle_give(s, old);
	}
	return h;
}

int store_put(struct store *s, const struct store_item *item, uint32_t *ret_entry)
{
	uint64_t tag = tag_of(s, item->key), value_hash;
	uint32_t old = find(s, tag, item->key), h;

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

void store_set_expiry(struct store *s, uint32_t entry, struct instant soft, struct instant hard)
{
	BUG_ON(!is_live(s, entry));
	write_expiry(entry_at(s, entry), tag_of(s, key_of(s, entry)), soft, hard,
	             s->entry[entry].pushed);
}

void store_set_pushed(struct store *s, uint32_t entry, bool pushed)
{
	struct layout_expiry x;
	uint64_t tag;

	BUG_ON(!is_live(s, entry));
	if (s->entry[entry].pushed == pushed)
		return;
	s->entry[entry].pushed = pushed;
	tag = tag_of(s, key_of(s, entry));
	/* times that were damaged must not be made good: nobody knows them any more */
	if (!layout_expiry_take(entry_at(s, entry), tag, &x))
		x.soft = x.hard = 0;
	x.pushed = pushed;
	layout_expiry_put(entry_at(s, entry), tag, &x);
}

int store_renew(struct store *s, uint32_t entry, struct instant loaded, struct instant soft,
                struct instant hard)
{
	struct layout_entry *e;
	struct layout_bucket *b;
	struct layout_fixed f;
	uint64_t tag, value_hash, life;

	BUG_ON(!is_live(s, entry));
	e = entry_at(s, entry);
	b = bucket_of(s, s->entry[entry].slot);
	tag = tag_of(s, key_of(s, entry));
	f = layout_take(e);
	if (f.flags & LAYOUT_OWN_VERSION)
		f.version = *(const uint64_t *)(e + 1);
	/* the hash of the value is taken over, not made again: what was torn stays torn */
	value_hash = e->sum ^ layout_word_sum(&f, tag, 0);
	life = f.dies - f.loaded;
	f.loaded = layout_ticks(loaded);
	if (f.dies != LAYOUT_TICK_MAX)
		f.dies = f.loaded + life < LAYOUT_TICK_MAX ? f.loaded + life : LAYOUT_TICK_MAX - 1;
	bucket_open(b);
	layout_store(&e->loaded, layout_word_loaded(&f));
	layout_store(&e->dies, layout_word_dies(&f));
	layout_store(&e->sum, layout_word_sum(&f, tag, value_hash));
	write_expiry(e, tag, soft, hard, s->entry[entry].pushed);
	bucket_close(b);
	return 0;
}

struct bytes store_value(const struct store *s, uint32_t entry)
{
	BUG_ON(!is_live(s, entry));
	return value_of(s, entry);
}

void store_get(const struct store *s, uint32_t entry, struct store_item *ret)
{
	const struct layout_entry *e;
	struct layout_expiry x;
	struct layout_fixed f;

	BUG_ON(!is_live(s, entry));
	e = entry_at(s, entry);
	f = layout_take(e);
	ret->key = key_of(s, entry);
	ret->value = value_of(s, entry);
	layout_expiry_take(e, tag_of(s, ret->key), &x);
	ret->version = s->entry[entry].own_version ? *(const uint64_t *)(e + 1)
	                                           : layout_version(hash_bytes(ret->value, 0));
	ret->loaded = layout_instant(f.loaded);
	ret->soft = layout_instant(x.soft);
	ret->hard = layout_instant(x.hard);
	ret->max_age = layout_max_age(f.loaded, f.dies);
	ret->owner = s->entry[entry].owner;
	ret->pushed = s->entry[entry].pushed;
}

bool store_whole(const struct store *s, uint32_t entry)
{
	struct referred r;
	uint32_t slot;

	BUG_ON(!is_live(s, entry));
	slot = s->entry[entry].slot;
	return bucket_of(s, slot)->off[slot % LAYOUT_SLOTS] == arena_offset(&s->arena, entry) &&
	       verify(s, slot, &r);
}

uint32_t store_owner(const struct store *s, uint32_t entry)
{
	BUG_ON(!is_live(s, entry));
	return s->entry[entry].owner;
}

void store_set_owner(struct store *s, uint32_t entry, uint32_t owner)
{
	BUG_ON(!is_live(s, entry));
	s->entry[entry].owner = owner;
}

uint32_t store_sample(const struct store *s, struct rng *g)
{
	return s->n_live ? s->order[rng_below(g, s->n_live)] : STORE_NONE;
}

void store_each(const struct store *s, store_each_fn *fn, void *arg)
{
	uint32_t next;

	for (uint32_t h = arena_next(&s->arena, ARENA_NONE); h != ARENA_NONE; h = next) {
		next = arena_next(&s->arena, h);
		fn(arg, h);
	}
}

void store_stats(const struct store *s, struct store_stats *ret)
{
	ret->entries = s->n_live;
	ret->bytes_used = (uint64_t)s->arena.used * LAYOUT_GRANULE;
	ret->bytes_total = (uint64_t)(s->l.end - s->l.arena) * LAYOUT_GRANULE;
}
