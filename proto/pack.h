/* SPDX-License-Identifier: MIT */
/*
 * Writes msgpack into memory that grows up to a limit. No call fails by itself: past the limit the
 * writer remembers that, writes nothing more, and pack_status says so at the end.
 *
 *	struct pack w;
 *	pack_init(&w, limit_bytes);
 *	pack_array(&w, 2);
 *	pack_uint(&w, 7);
 *	pack_text(&w, "hit");
 *	if (!pack_status(&w))
 *		send(w.p, w.n);
 *	pack_release(&w);
 *
 * INVARIANTS n <= limit; after an overflow the bytes are of no use until pack_reset.
 * OWNERSHIP the memory is the writer's until pack_take.
 */
#ifndef FORECACHED_PROTO_PACK_H
#define FORECACHED_PROTO_PACK_H

#include "base/bytes.h"
#include "base/estimate.h"
#include "base/instant.h"

#include <stdbool.h>
#include <stdint.h>

struct pack {
	unsigned char *p;
	size_t n, cap, limit;
	int status; /* 0, -EMSGSIZE or -ENOMEM */
};

void pack_init(struct pack *w, size_t limit_bytes);
void pack_release(struct pack *w);
void pack_reset(struct pack *w); /* empty, memory and limit stay */

/* 0; -EMSGSIZE: more than limit bytes; -ENOMEM. */
int pack_status(const struct pack *w);

/* What was written; valid until the next write. */
static inline struct bytes pack_bytes(const struct pack *w)
{
	return bytes_of(w->p, w->n);
}

/* Gives the memory away (the caller frees it with free()); the writer is empty then. */
void *pack_take(struct pack *w, size_t *ret_bytes);

void pack_nil(struct pack *w);
void pack_bool(struct pack *w, bool b);
void pack_uint(struct pack *w, uint64_t u);
void pack_text(struct pack *w, const char *s); /* str; NULL gives nil */
void pack_str(struct pack *w, struct bytes b); /* str */
void pack_bin(struct pack *w, struct bytes b); /* bin */
void pack_array(struct pack *w, uint32_t n);   /* n values follow */
void pack_map(struct pack *w, uint32_t n);     /* n times key and value follow */
void pack_raw(struct pack *w, struct bytes b); /* msgpack that is ready made */

/* float 64; what is not finite has no number to tell and gives nil. */
void pack_num(struct pack *w, double d);

/* A key or endpoint: str when it is valid UTF-8, else bin. */
void pack_key(struct pack *w, struct bytes b);

/* Seconds since 1970; nil for NEVER and NONE. And seconds. */
void pack_instant(struct pack *w, struct instant t);
void pack_span(struct pack *w, struct span d);

/* {"mean", "sd", "n"} */
void pack_estimate(struct pack *w, struct estimate e);

#endif
