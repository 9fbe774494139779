/* SPDX-License-Identifier: MIT */
#include "store/reader.h"

#include "store/layout.h"

#include <errno.h>

/*
 * How often a bucket that changes under the reader is read again, all in all. A change of a small
 * entry takes some 50 ns, so this rides out the writer at work but not the move of a large value.
 */
#define TRIES 64

/* How often a value is copied that changes meanwhile: of a large one each try takes its time. */
#define COPIES 8

/* Lines of an entry that are asked for at once; what a processor has on its way is about as many. */
#define PREFETCH 10

/* A heartbeat further in the future was not given a moment ago: it is garbage. */
#define FUTURE_US 1000000

static const struct layout_header *header(const struct store_reader *r)
{
	return r->mem;
}

static const struct layout_bucket *buckets(const struct store_reader *r)
{
	return (const struct layout_bucket *)(header(r) + 1);
}

int store_reader_init(struct store_reader *r, const void *mem, uint64_t bytes)
{
	const struct layout_header *h = mem;
	struct layout l;

	if (!mem || (uintptr_t)mem % 64 || !layout_size_ok(bytes) || !layout_header_ok(h, bytes))
		return -EPROTO;
	r->mem = mem;
	r->bytes = bytes;
	r->boot_id = layout_load(&h->boot_id);
	r->seed = layout_load(&h->seed);
	l = layout_of(bytes);
	r->n_buckets = l.n_buckets;
	r->probes = l.probes;
	r->arena = l.arena;
	r->end = l.end;
	r->host = 0;
	return 0;
}

struct instant store_reader_now(const struct store_reader *r, int64_t boottime_us)
{
	return layout_now(header(r), r->host, boottime_us);
}

/* How long ago a heartbeat was; SPAN_MAX when it cannot be one. */
static struct span silence(uint64_t beat, int64_t boottime_us)
{
	int64_t d;

	if (__builtin_sub_overflow(boottime_us, (int64_t)beat, &d) || d < -FUTURE_US)
		return SPAN_MAX;
	return (struct span){d < 0 ? 0 : d > SPAN_MAX.us ? SPAN_MAX.us : d};
}

struct span store_reader_silence(const struct store_reader *r, int64_t boottime_us)
{
	uint64_t beat;

	for (int i = 0; i < TRIES; i++) {
		beat = layout_load(&header(r)->heartbeat_us);
		if (layout_load(&header(r)->heartbeat_check) == layout_heartbeat_check(beat))
			return silence(beat, boottime_us);
	}
	return SPAN_MAX;
}

void store_reader_clock(const struct store_reader *r, int64_t boottime_us, struct reader_clock *c,
                        struct instant *ret_now, struct span *ret_silence)
{
	const struct layout_header *h = header(r);
	const struct layout_clock *k = &h->clock[0];
	const uint64_t w[7] = {layout_load(&k->boottime_us),    layout_load(&k->base_us),
	                       layout_load(&k->scale),          layout_load(&k->host),
	                       layout_load(&k->check),          layout_load(&h->heartbeat_us),
	                       layout_load(&h->heartbeat_check)};
	const uint64_t one = UINT64_C(0x3ff0000000000000); /* the bits of 1.0 */
	bool same = c->known && w[0] == c->word[0] && w[1] == c->word[1] && w[2] == c->word[2] &&
	            w[3] == c->word[3] && w[4] == c->word[4];
	int64_t passed;

	if (same && w[2] == one && !__builtin_sub_overflow(boottime_us, (int64_t)w[0], &passed) &&
	    !__builtin_add_overflow((int64_t)w[1], passed, &ret_now->us))
		;
	else
		*ret_now = store_reader_now(r, boottime_us);
	if (c->known && w[5] == c->word[5] && w[6] == c->word[6])
		*ret_silence = silence(w[5], boottime_us);
	else
		*ret_silence = store_reader_silence(r, boottime_us);
	/* a whole heartbeat of the future: this is not the writer's clock, ages would come out too small */
	if (ret_silence->us == SPAN_MAX.us && w[6] == layout_heartbeat_check(w[5]))
		*ret_now = INSTANT_NEVER;
	if (same && w[5] == c->word[5])
		return;
	memcpy(c->word, w, sizeof(w));
	c->known = w[4] == layout_clock_check(w[0], w[1], w[2], w[3]) &&
	           (!r->host || !w[3] || w[3] == r->host) && w[6] == layout_heartbeat_check(w[5]);
}

static enum reader_outcome judge(const struct reader_value *v, struct instant now, uint64_t dies)
{
	/* what cannot be told from the ends of the range of ticks is over */
	if (now.us < 0 || layout_ticks(now) == LAYOUT_TICK_MAX || !dies ||
	    instant_before(layout_instant(dies), now))
		return READER_MISS;
	if (!instant_before(now, v->hard))
		return READER_STALE;
	return instant_before(now, v->soft) ? READER_FRESH : READER_GRACE;
}

/* Whether this is the key's entry, if its bucket has not changed meanwhile; nothing is known yet. */
static inline bool look(const struct store_reader *r, uint32_t off, const struct reader_key *k,
                        struct instant now, enum reader_outcome *ret_outcome,
                        struct reader_view *ret)
{
	struct layout l = {r->n_buckets, r->probes, r->arena, r->end};
	const struct layout_entry *e;
	struct layout_fixed f;
	const uint64_t *p;
	uint64_t dies;
	bool own;

	if (off < l.arena || off >= l.end || l.end - off < layout_granules(0, 0, true))
		return false;
	e = (const struct layout_entry *)((const char *)r->mem + (uint64_t)off * LAYOUT_GRANULE);
	/* the key and the value will be wanted: not one line after the other */
	for (unsigned i = 1; i < PREFETCH; i++)
		__builtin_prefetch((const char *)e + i * 64);
	f = layout_take(e);
	own = f.flags & LAYOUT_OWN_VERSION;
	if (f.key_bytes != k->key.n || !layout_inside(l, off, k->key.n, f.value_bytes, own))
		return false;
	p = layout_key(e, f.flags);
	if (!layout_equal(p, k->key))
		return false;
	if (own)
		f.version = layout_load(layout_own_version(e, f.flags));
	dies = layout_end_of_age(&f);
	ret->value = (struct reader_value){.value_bytes = f.value_bytes,
	                                   .version = f.version,
	                                   .loaded = layout_instant(f.loaded),
	                                   .soft = layout_soft(&f),
	                                   .hard = layout_hard(&f),
	                                   .max_age = layout_max_age(f.loaded, dies),
	                                   .pushed = f.flags & LAYOUT_PUSHED,
	                                   .packed = f.flags & LAYOUT_PACKED};
	ret->data = p + layout_pad(k->key.n) / 8;
	ret->hash = layout_value_hash(&f, k->tag, layout_load(&e->sum));
	ret->own_version = own;
	*ret_outcome = judge(&ret->value, now, dies);
	return true;
}

/* Zero only if none of four marks is this one. */
static inline uint64_t may_hold(uint64_t marks, uint64_t mark)
{
	const uint64_t low = UINT64_C(0x0001000100010001);
	uint64_t x = marks ^ mark * low;

	return (x - low) & ~x & low << 15;
}

/* Whether nothing of a bucket has changed between two looks at its state. */
static bool same_seq(uint32_t a, uint32_t b)
{
	return ((a ^ b) & ~LAYOUT_PASSED) == 0;
}

struct reader_key store_reader_key(const struct store_reader *r, struct bytes key)
{
	struct layout l = {r->n_buckets, r->probes, r->arena, r->end};
	struct reader_key k = {key, hash_bytes(key, r->seed)};

	__builtin_prefetch(&buckets(r)[layout_home(l, k.tag)]);
	return k;
}

enum reader_outcome store_reader_find(const struct store_reader *r, const struct reader_key *k,
                                      struct instant now, struct reader_view *ret)
{
	const struct layout_header *h = header(r);
	struct layout l = {r->n_buckets, r->probes, r->arena, r->end};
	const struct layout_bucket *b;
	enum reader_outcome outcome = READER_MISS;
	uint32_t at, state;
	const uint64_t mark = layout_mark(k->tag);
	uint64_t marks;
	unsigned first, n;
	bool found;
	int tries = 0;

	/* Acquire: whoever sees this life of the segment sees its entries too. */
	if (__atomic_load_n(&h->boot_id, __ATOMIC_ACQUIRE) != r->boot_id ||
	    layout_load(&h->magic) != LAYOUT_MAGIC)
		return READER_GONE;
	at = layout_home(l, k->tag);
	for (uint32_t probe = 0; probe < r->probes; probe++) {
		b = &buckets(r)[at];
	again:
		state = __atomic_load_n(&b->state, __ATOMIC_ACQUIRE);
		if (state & LAYOUT_CHANGING)
			goto torn;
		found = false;
		for (first = 0; first < LAYOUT_SLOTS && !found; first += n) {
			n = first ? 4 : 2;
			marks = first ? layout_load(&b->mark[first / 4]) : layout_load32(&b->mark2);
			if (!may_hold(marks, mark))
				continue;
			for (unsigned i = 0; i < n && !found; i++)
				found = (marks >> 16 * i & 0xffff) == mark &&
				        look(r, layout_load32(&b->off[first + i]), k, now, &outcome,
				             ret);
		}
		layout_fence_acquire();
		if (!same_seq(layout_load32(&b->state), state))
			goto torn;
		if (found) {
			ret->bucket = b;
			ret->seq = state;
			return outcome;
		}
		if (!(state & LAYOUT_PASSED))
			return READER_MISS;
		at = at + 1 == r->n_buckets ? 0 : at + 1;
		continue;
	torn:
		if (++tries == TRIES)
			return READER_MISS;
		goto again;
	}
	return READER_MISS;
}

bool store_reader_still(const struct store_reader *r, const struct reader_view *v)
{
	const struct layout_bucket *b = v->bucket;

	layout_fence_acquire();
	return same_seq(layout_load32(&b->state), v->seq) &&
	       layout_load(&header(r)->boot_id) == r->boot_id;
}

/* Whether that is the hash of the value; it makes the version, if there is none. */
static bool is_whole(struct reader_view *v, uint64_t value_hash)
{
	if (!v->own_version)
		v->value.version = layout_version(value_hash);
	return layout_same_hash(v->hash, value_hash);
}

bool store_reader_copy(const struct store_reader *r, struct reader_view *v, void *buf)
{
	struct bytes copy = bytes_of(buf, (size_t)v->value.value_bytes);

	layout_copy_out(buf, v->data, copy.n);
	return store_reader_still(r, v) && is_whole(v, hash_bytes(copy, 0));
}

bool store_reader_check(const struct store_reader *r, struct reader_view *v)
{
	struct bytes there = bytes_of(v->data, (size_t)v->value.value_bytes);

	return is_whole(v, hash_bytes(there, 0)) && store_reader_still(r, v);
}

enum reader_outcome store_reader_get(const struct store_reader *r, struct bytes key,
                                     struct instant now, void *buf, uint64_t cap,
                                     struct reader_value *ret)
{
	const struct reader_key k = store_reader_key(r, key);
	struct reader_view v;
	enum reader_outcome o;

	for (int i = 0; i < COPIES; i++) {
		o = store_reader_find(r, &k, now, &v);
		if (o == READER_MISS || o == READER_GONE)
			return o;
		if (v.value.value_bytes > cap) {
			*ret = v.value;
			return READER_SMALL;
		}
		if (store_reader_copy(r, &v, buf)) {
			*ret = v.value;
			return o;
		}
		if (store_reader_still(r, &v))
			return READER_MISS; /* nobody is at it: it is damaged */
	}
	return READER_MISS;
}
