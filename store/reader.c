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
	uint64_t check; /* what the hash of the copied value must be */
};

static enum reader_outcome judge(const struct reader_value *v, struct instant now)
{
	int64_t age;

	if (__builtin_sub_overflow(now.us, v->loaded.us, &age) || age > v->max_age.us)
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
	const uint64_t *p;
	uint64_t sizes, soft, hard;

	if (off < l.arena || off >= l.end || l.end - off < layout_granules(0, 0))
		return LOOK_OTHER;
	e = (const struct layout_entry *)((const char *)r->mem + (uint64_t)off * LAYOUT_GRANULE);
	sizes = layout_load(&e->sizes);
	v->value_bytes = (uint32_t)sizes;
	if (sizes >> 32 != key.n || !layout_inside(l, off, key.n, v->value_bytes))
		return LOOK_OTHER;
	p = (const uint64_t *)(e + 1);
	if (!layout_equal(p, key))
		return LOOK_OTHER;

	soft = layout_load(&e->soft_us);
	hard = layout_load(&e->hard_us);
	if (!layout_expiry_ok(layout_load(&e->expiry_check), tag, soft, hard, &v->pushed))
		return LOOK_TORN;
	v->soft.us = (int64_t)soft;
	v->hard.us = (int64_t)hard;
	v->version = layout_load(&e->version);
	v->loaded.us = (int64_t)layout_load(&e->loaded_us);
	v->max_age.us = (int64_t)layout_load(&e->max_age_us);
	ret->outcome = judge(v, now);
	if (ret->outcome == READER_MISS)
		return LOOK_DONE;
	if (v->value_bytes > cap) {
		ret->outcome = READER_SMALL;
		return LOOK_DONE;
	}
	ret->check = layout_load(&e->check) ^ layout_entry_check(tag, sizes, v->version,
	                                                         (uint64_t)v->loaded.us,
	                                                         (uint64_t)v->max_age.us);
	layout_copy_out(buf, p + layout_pad(key.n) / 8, v->value_bytes);
	return LOOK_DONE;
}

enum reader_outcome store_reader_get(const struct store_reader *r, struct bytes key,
                                     struct instant now, void *buf, uint64_t cap,
                                     struct reader_value *ret)
{
	const struct layout_header *h = header(r);
	struct layout l = layout_of(r->bytes);
	const struct layout_bucket *b;
	struct found f;
	uint32_t at, off, seq, passed;
	uint64_t tag;
	enum look what;
	int tries = 0;

	/* Acquire: whoever sees this life of the segment sees its seed and entries too. */
	if (__atomic_load_n(&h->boot_id, __ATOMIC_ACQUIRE) != r->boot_id ||
	    layout_load(&h->magic) != LAYOUT_MAGIC)
		return READER_GONE;
	tag = hash_bytes(key, layout_load(&h->seed));
	at = layout_home(l, tag);
	for (uint32_t probe = 0; probe < l.probes; probe++) {
		b = &buckets(r)[at];
	again:
		seq = __atomic_load_n(&b->seq, __ATOMIC_ACQUIRE);
		if (seq & 1)
			goto torn;
		what = LOOK_OTHER;
		for (unsigned i = 0; i < LAYOUT_SLOTS && what == LOOK_OTHER; i++) {
			off = layout_load32(&b->off[i]);
			if (layout_load(&b->mark[i]) == layout_mark(tag, off))
				what = look(r, l, off, tag, key, now, buf, cap, &f);
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
	    hash_bytes(bytes_of(buf, (size_t)f.value.value_bytes), 0) != f.check)
		return READER_MISS;
	*ret = f.value;
	return f.outcome;
}
