/* SPDX-License-Identifier: MIT */
/*
 * Names to small numbers: gives each byte string it is shown an id, 0, 1, 2, …, and keeps a copy.
 * Ids index the arrays in which their owner keeps what it knows; a forgotten id is used again.
 *
 * HOW IT WORKS open addressing over ids, at most 7/10 full, a seeded hash, tombstones swept when
 * the table grows. It grows beside itself: each new name takes some of the old table along, so that
 * none has to wait for all, and the old one's memory is given back piece by piece. The order of ids
 * follows the order of first sight and never the hash, so a replay gives the same ids whatever the
 * seed.
 */
#ifndef FORECACHED_BASE_INTERN_H
#define FORECACHED_BASE_INTERN_H

#include "base/bytes.h"

#include <stdint.h>

#define INTERN_NONE UINT32_MAX

struct intern_name;

struct intern {
	struct intern_name *name; /* by id */
	uint32_t n_ids, cap_ids;  /* ids given out so far, forgotten ones included */
	uint32_t free_id;         /* head of the list of forgotten ids */
	uint32_t live;
	uint32_t *slot; /* hash table of ids, plus 2 */
	uint32_t n_slots, used;
	uint32_t *old; /* the table before: what is left of it, from the start; or NULL */
	uint32_t n_old, old_left;
	uint64_t seed;
};

void intern_init(struct intern *t, uint64_t seed);
void intern_release(struct intern *t);

/* Room for so many names without moving what there is; no matter if there is none to be had. */
void intern_reserve(struct intern *t, uint32_t names);

/* The id of the name, or INTERN_NONE when it is not known. */
uint32_t intern_find(const struct intern *t, struct bytes name);

/* The id of the name, made when it is new; *ret_new says which (may be NULL). */
uint32_t intern_add(struct intern *t, struct bytes name, bool *ret_new);

/* Forgets the name; its id may be given out again. The id must be live. */
void intern_remove(struct intern *t, uint32_t id);

/* The name of a live id, NUL-terminated behind its n bytes; valid until the id is removed. */
struct bytes intern_name(const struct intern *t, uint32_t id);

/* Tells a live id from one that was forgotten and given to another name since: as good as sure. */
uint32_t intern_tag(const struct intern *t, uint32_t id);

/* True when the id is in use. */
bool intern_is_live(const struct intern *t, uint32_t id);

#endif
