/* SPDX-License-Identifier: MIT */
#include "proto/pack.h"

#include <errno.h>
#include <math.h>
#include <msgpack/pack.h>
#include <stdlib.h>

/* msgpack-c's sink. Always says "written": a writer that is full drops what comes. */
static int pack_sink(void *arg, const char *p, size_t n)
{
	struct pack *w = arg;

	if (w->status || n == 0)
		return 0;
	if (n > w->limit - w->n) {
		w->status = -EMSGSIZE;
		return 0;
	}
	if (n > w->cap - w->n) {
		size_t cap = w->cap ? w->cap : 256;
		unsigned char *grown;

		while (cap - w->n < n)
			cap *= 2;
		if (cap > w->limit)
			cap = w->limit;
		grown = realloc(w->p, cap);
		if (!grown) {
			w->status = -ENOMEM;
			return 0;
		}
		w->p = grown;
		w->cap = cap;
	}
	memcpy(w->p + w->n, p, n);
	w->n += n;
	return 0;
}

static msgpack_packer packer(struct pack *w)
{
	return (msgpack_packer){.data = w, .callback = pack_sink};
}

void pack_init(struct pack *w, size_t limit_bytes)
{
	/* Half of the address space is no limit, and keeps the doubling above from overflow. */
	*w = (struct pack){.limit = limit_bytes < SIZE_MAX / 2 ? limit_bytes : SIZE_MAX / 2};
}

void pack_release(struct pack *w)
{
	free(w->p);
	*w = (struct pack){.limit = w->limit};
}

void pack_reset(struct pack *w)
{
	w->n = 0;
	w->status = 0;
}

int pack_status(const struct pack *w)
{
	return w->status;
}

void *pack_take(struct pack *w, size_t *ret_bytes)
{
	void *p = w->p;

	*ret_bytes = w->n;
	*w = (struct pack){.limit = w->limit};
	return p;
}

void pack_nil(struct pack *w)
{
	msgpack_packer k = packer(w);

	msgpack_pack_nil(&k);
}

void pack_bool(struct pack *w, bool b)
{
	msgpack_packer k = packer(w);

	if (b)
		msgpack_pack_true(&k);
	else
		msgpack_pack_false(&k);
}

void pack_uint(struct pack *w, uint64_t u)
{
	msgpack_packer k = packer(w);

	msgpack_pack_uint64(&k, u);
}

void pack_text(struct pack *w, const char *s)
{
	if (s)
		pack_str(w, bytes_str(s));
	else
		pack_nil(w);
}

/* A length that msgpack cannot say is above every limit, too. */
static bool too_long(struct pack *w, size_t n)
{
	if (n > UINT32_MAX && !w->status)
		w->status = -EMSGSIZE;
	return n > UINT32_MAX;
}

void pack_str(struct pack *w, struct bytes b)
{
	msgpack_packer k = packer(w);

	if (too_long(w, b.n))
		return;
	msgpack_pack_str(&k, b.n);
	msgpack_pack_str_body(&k, b.p, b.n);
}

void pack_bin(struct pack *w, struct bytes b)
{
	msgpack_packer k = packer(w);

	if (too_long(w, b.n))
		return;
	msgpack_pack_bin(&k, b.n);
	msgpack_pack_bin_body(&k, b.p, b.n);
}

void pack_array(struct pack *w, uint32_t n)
{
	msgpack_packer k = packer(w);

	msgpack_pack_array(&k, n);
}

void pack_map(struct pack *w, uint32_t n)
{
	msgpack_packer k = packer(w);

	msgpack_pack_map(&k, n);
}

void pack_raw(struct pack *w, struct bytes b)
{
	pack_sink(w, b.p, b.n);
}

void pack_num(struct pack *w, double d)
{
	msgpack_packer k = packer(w);

	if (isfinite(d))
		msgpack_pack_double(&k, d);
	else
		msgpack_pack_nil(&k);
}

/* Well-formed UTF-8 as in Unicode's table 3-7: no overlong forms, no surrogates, up to U+10FFFF. */
static bool is_utf8(struct bytes b)
{
	const unsigned char *p = b.p, *end = p + b.n;

	while (p < end) {
		unsigned char c = *p++, lo = 0x80, hi = 0xbf;
		int more;

		if (c < 0x80)
			continue;
		if (c < 0xc2 || c > 0xf4)
			return false;
		more = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
		if (c == 0xe0)
			lo = 0xa0;
		if (c == 0xed)
			hi = 0x9f;
		if (c == 0xf0)
			lo = 0x90;
		if (c == 0xf4)
			hi = 0x8f;
		for (; more; more--, lo = 0x80, hi = 0xbf)
			if (p == end || *p < lo || *p++ > hi)
				return false;
	}
	return true;
}

void pack_key(struct pack *w, struct bytes b)
{
	if (b.n == 0 || is_utf8(b))
		pack_str(w, b);
	else
		pack_bin(w, b);
}

void pack_instant(struct pack *w, struct instant t)
{
	if (instant_is_set(t))
		pack_num(w, instant_s(t));
	else
		pack_nil(w);
}

void pack_span(struct pack *w, struct span d)
{
	pack_num(w, span_s(d));
}

void pack_estimate(struct pack *w, struct estimate e)
{
	pack_map(w, 3);
	pack_text(w, "mean");
	pack_num(w, e.mean);
	pack_text(w, "sd");
	pack_num(w, e.sd);
	pack_text(w, "n");
	pack_num(w, e.n);
}
