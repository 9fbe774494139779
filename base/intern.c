/* SPDX-License-Identifier: MIT */
#include "base/intern.h"

#include "base/bug.h"
#include "base/hash.h"
#include "base/mem.h"

#include <stdlib.h>

struct intern_name {
	char *p; /* NULL: the id is free, n is the next free id */
	uint32_t n;
	uint32_t hash;
};

/* A slot holds its id plus SLOT_IDS. Empty is 0, so that a new table need not be touched. */
#define SLOT_EMPTY 0u
#define SLOT_GONE  1u
#define SLOT_IDS   2u

/* Slots of the old table that each new name takes along: more than enough before it is full. */
#define STEP 16u

/* How much of the old table is given back at once, in slots. */
#define PIECE 16384u

void intern_init(struct intern *t, uint64_t seed)
{
	*t = (struct intern){.free_id = INTERN_NONE, .seed = seed};
}

void intern_release(struct intern *t)
{
	for (uint32_t i = 0; i < t->n_ids; i++)
		free(t->name[i].p);
	free(t->name);
	free(t->slot);
	free(t->old);
	*t = (struct intern){.free_id = INTERN_NONE};
}

void intern_reserve(struct intern *t, uint32_t names)
{
	struct intern_name *p;

	if (names <= t->cap_ids)
		return;
	p = realloc(t->name, (size_t)names * sizeof(*p));
	if (!p)
		return;
	t->name = p;
	t->cap_ids = names;
}

static void enter(struct intern *t, uint32_t id)
{
	uint32_t i = t->name[id].hash & (t->n_slots - 1);

	while (t->slot[i] != SLOT_EMPTY)
		i = (i + 1) & (t->n_slots - 1);
	t->slot[i] = id + SLOT_IDS;
	t->used++;
}

/* Takes some of the old table along, from its end. */
static void move_on(struct intern *t, uint32_t slots)
{
	uint32_t *p;

	for (; t->old && slots; slots--) {
		uint32_t x = t->old[--t->old_left];

		if (x >= SLOT_IDS)
			enter(t, x - SLOT_IDS);
		if (!t->old_left) {
			free(t->old);
			t->old = NULL;
		} else if (t->old_left % PIECE == 0) {
			p = realloc(t->old, t->old_left * sizeof(*p));
			t->old = p ? p : t->old;
		}
	}
}

static void grow(struct intern *t, uint32_t n_slots)
{
	move_on(t, UINT32_MAX);
	t->old = t->slot;
	t->n_old = t->old_left = t->n_slots;
	t->slot = mem_calloc(n_slots, sizeof(*t->slot));
	t->n_slots = n_slots;
	t->used = 0;
}

static bool is_name(const struct intern *t, uint32_t id, struct bytes name, uint32_t hash)
{
	return t->name[id].hash == hash && t->name[id].n == name.n &&
	       memcmp(t->name[id].p, name.p ? name.p : "", name.n) == 0;
}

/* In the old table, of which the end is gone. */
static uint32_t *find_old(const struct intern *t, struct bytes name, uint32_t hash)
{
	uint32_t i = hash & (t->n_old - 1);

	for (uint32_t seen = 0; seen <= t->old_left; seen++, i++) {
		if (i >= t->old_left)
			i = 0;
		if (t->old[i] == SLOT_EMPTY)
			break;
		if (t->old[i] >= SLOT_IDS && is_name(t, t->old[i] - SLOT_IDS, name, hash))
			return &t->old[i];
	}
	return NULL;
}

/* The slot that holds the name, or NULL. */
static uint32_t *find_slot(const struct intern *t, struct bytes name, uint32_t hash)
{
	if (!t->n_slots)
		return NULL;
	for (uint32_t i = hash & (t->n_slots - 1); t->slot[i] != SLOT_EMPTY;
	     i = (i + 1) & (t->n_slots - 1))
		if (t->slot[i] >= SLOT_IDS && is_name(t, t->slot[i] - SLOT_IDS, name, hash))
			return &t->slot[i];
	return t->old ? find_old(t, name, hash) : NULL;
}

static uint32_t short_hash(const struct intern *t, struct bytes name)
{
	return (uint32_t)(hash_bytes(name, t->seed) >> 16);
}

uint32_t intern_find(const struct intern *t, struct bytes name)
{
	const uint32_t *slot = find_slot(t, name, short_hash(t, name));

	return slot ? *slot - SLOT_IDS : INTERN_NONE;
}

uint32_t intern_add(struct intern *t, struct bytes name, bool *ret_new)
{
	uint32_t hash = short_hash(t, name), id;
	const uint32_t *slot = find_slot(t, name, hash);

	if (ret_new)
		*ret_new = !slot;
	if (slot)
		return *slot - SLOT_IDS;
	BUG_ON(name.n >= UINT32_MAX || t->live >= UINT32_MAX / 4);
	if (!t->n_slots || (t->used + 1) > t->n_slots / 10 * 7)
		grow(t, t->n_slots && t->live < t->n_slots / 3 ? t->n_slots
		        : t->n_slots                           ? t->n_slots * 2
		                                               : 64);
	move_on(t, STEP);
	if (t->free_id != INTERN_NONE) {
		id = t->free_id;
		t->free_id = t->name[id].n;
	} else {
		if (t->n_ids == t->cap_ids) {
			t->cap_ids = t->cap_ids ? 2 * t->cap_ids : 64;
			t->name = mem_realloc(t->name, t->cap_ids, sizeof(*t->name));
		}
		id = t->n_ids++;
	}
	t->name[id] = (struct intern_name){mem_dup(name.p, name.n), (uint32_t)name.n, hash};
	t->live++;
	enter(t, id);
	return id;
}

void intern_remove(struct intern *t, uint32_t id)
{
	uint32_t *slot;

	BUG_ON(!intern_is_live(t, id));
	slot = find_slot(t, bytes_of(t->name[id].p, t->name[id].n), t->name[id].hash);
	BUG_ON(!slot);
	*slot = SLOT_GONE;
	free(t->name[id].p);
	t->name[id] = (struct intern_name){NULL, t->free_id, 0};
	t->free_id = id;
	t->live--;
}

struct bytes intern_name(const struct intern *t, uint32_t id)
{
	BUG_ON(!intern_is_live(t, id));
	return bytes_of(t->name[id].p, t->name[id].n);
}

uint32_t intern_tag(const struct intern *t, uint32_t id)
{
	BUG_ON(!intern_is_live(t, id));
	return t->name[id].hash;
}

bool intern_is_live(const struct intern *t, uint32_t id)
{
	return id < t->n_ids && t->name[id].p;
}
