/* SPDX-License-Identifier: MIT */
#include "store/reader.h"

#include "store/layout.h"

#include <errno.h>

/*
 * How often a bucket that changes under the reader is read again, all in all. A change of a small
 * entry takes some 50 ns, so this rides out the writer at work but not the move of a large value.
 */
#define TRIES 64

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

	if (!mem || (uintptr_t)mem % 64 || !layout_size_ok(bytes) || !layout_header_ok(h, bytes))
		return -EPROTO;
	r->mem = mem;
	r->bytes = bytes;
	r->boot_id = layout_load(&h->boot_id);
	return 0;
}

struct instant store_reader_now(const struct store_reader *r, int64_t boottime_us)
{
	return layout_now(header(r), boottime_us);
}

struct span store_reader_silence(const struct store_reader *r, int64_t boottime_us)
{
	uint64_t beat;
	int64_t d;

	for (int i = 0; i < TRIES; i++) {
		beat = layout_load(&header(r)->heartbeat_us);
		if (layout_load(&header(r)->heartbeat_check) != layout_heartbeat_check(beat))
			continue;
		if (__builtin_sub_overflow(boottime_us, (int64_t)beat, &d) || d < -FUTURE_US)
			break;
		return (struct span){d < 0 ? 0 : d > SPAN_MAX.us ? SPAN_MAX.us : d};
	}
	return SPAN_MAX;
}

/* What one look at one entry came to. */
enum look {
	LOOK_OTHER, /* another key, or not an entry at all */
	LOOK_TORN,  /* expiry is being written: look again */
	LOOK_DONE,  /* *ret_outcome holds if the bucket has not changed meanwhile */
};

struct found {
	struct reader_value value;
	enum reader_outcome outcome;
	struct layout_fixed fixed;
	uint64_t sum; /* what the word must be with the hash of the copied value */
};

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

/* Copies what may be the key's entry; nothing here is known to be true yet. */
static enum look look(const struct store_reader *r, struct layout l, uint32_t off, uint64_t tag,
                      struct bytes key, struct instant now, void *buf, uint64_t cap,
                      struct found *ret)
{
	const struct layout_entry *e;
	struct reader_value *v = &ret->value;
	struct layout_expiry x;
	struct layout_fixed f;
	const uint64_t *p;
	bool own;

	if (off < l.arena || off >= l.end || l.end - off < layout_granules(0, 0, false))
		return LOOK_OTHER;
	e = (const struct layout_entry *)((const char *)r->mem + (uint64_t)off * LAYOUT_GRANULE);
	f = layout_take(e);
	own = f.flags & LAYOUT_OWN_VERSION;
	if (f.key_bytes != key.n || !layout_inside(l, off, key.n, f.value_bytes, own))
		return LOOK_OTHER;
	p = layout_key(e, f.flags);
	if (!layout_equal(p, key))
		return LOOK_OTHER;
	if (!layout_expiry_take(e, tag, &x))
		return LOOK_TORN;
	if (own)
		f.version = layout_load((const uint64_t *)(e + 1));
	*v = (struct reader_value){.value_bytes = f.value_bytes,
	                           .version = f.version,
	                           .loaded = layout_instant(f.loaded),
	                           .soft = layout_instant(x.soft),
	                           .hard = layout_instant(x.hard),
	                           .max_age = layout_max_age(f.loaded, f.dies),
	                           .pushed = x.pushed};
	ret->fixed = f;
	ret->outcome = judge(v, now, f.dies);
	if (ret->outcome == READER_MISS)
		return LOOK_DONE;
	if (v->value_bytes > cap) {
		ret->outcome = READER_SMALL;
		return LOOK_DONE;
	}
	ret->sum = layout_load(&e->sum);
	layout_copy_out(buf, p + layout_pad(key.n) / 8, v->value_bytes);
	return LOOK_DONE;
}

/* Whether the hash of the value is what the entry says; it makes the version, if there is none. */
static bool is_whole(struct found *f, uint64_t tag, uint64_t value_hash)
{
	if (!(f->fixed.flags & LAYOUT_OWN_VERSION))
		f->value.version = layout_version(value_hash);
	return f->sum == layout_word_sum(&f->fixed, tag, value_hash);
}

/* Whether one of four marks is this one: then not all of a word's 16-bit parts differ from it. */
static bool may_hold(uint64_t marks, uint64_t mark)
{
	uint64_t low = UINT64_C(0x0001000100010001), x = marks ^ mark * low;

	return (x - low) & ~x & low << 15;
}

enum reader_outcome store_reader_get(const struct store_reader *r, struct bytes key,
                                     struct instant now, void *buf, uint64_t cap,
                                     struct reader_value *ret)
{
	const struct layout_header *h = header(r);
	struct layout l = layout_of(r->bytes);
	const struct layout_bucket *b;
	struct found f;
	uint32_t at, seq, passed;
	uint64_t tag, mark, marks;
	enum look what;
	int tries = 0;

	/* Acquire: whoever sees this life of the segment sees its seed and entries too. */
	if (__atomic_load_n(&h->boot_id, __ATOMIC_ACQUIRE) != r->boot_id ||
	    layout_load(&h->magic) != LAYOUT_MAGIC)
		return READER_GONE;
	tag = hash_bytes(key, layout_load(&h->seed));
	mark = layout_mark(tag);
	at = layout_home(l, tag);
	for (uint32_t probe = 0; probe < l.probes; probe++) {
		b = &buckets(r)[at];
	again:
		seq = __atomic_load_n(&b->seq, __ATOMIC_ACQUIRE);
		if (seq & 1)
			goto torn;
		what = LOOK_OTHER;
		for (unsigned w = 0; w < LAYOUT_SLOTS / 4; w++) {
			marks = layout_load(&b->mark[w]);
			if (!may_hold(marks, mark))
				continue;
			for (unsigned i = 0; i < 4 && what == LOOK_OTHER; i++)
				if ((marks >> 16 * i & 0xffff) == mark)
					what = look(r, l, layout_load32(&b->off[w * 4 + i]), tag,
					            key, now, buf, cap, &f);
		}
		passed = layout_load32(&b->passed);
		layout_fence_acquire();
		if (layout_load32(&b->seq) != seq || what == LOOK_TORN)
			goto torn;
		if (what == LOOK_DONE)
			goto found;
		if (!passed)
			return READER_MISS;
		at = at + 1 == l.n_buckets ? 0 : at + 1;
		continue;
	torn:
		if (++tries == TRIES)
			return READER_MISS;
		goto again;
	}
	return READER_MISS;
found:
	if (f.outcome == READER_MISS)
		return READER_MISS;
	if (f.outcome != READER_SMALL &&
	    !is_whole(&f, tag, hash_bytes(bytes_of(buf, (size_t)f.value.value_bytes), 0)))
		return READER_MISS;
	*ret = f.value;
	return f.outcome;
}
