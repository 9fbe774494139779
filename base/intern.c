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

#define SLOT_EMPTY UINT32_MAX
#define SLOT_GONE  (UINT32_MAX - 1)

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
	*t = (struct intern){.free_id = INTERN_NONE};
}

static void rebuild(struct intern *t, uint32_t n_slots)
{
	free(t->slot);
	t->slot = mem_calloc(n_slots, sizeof(*t->slot));
	t->n_slots = n_slots;
	t->used = 0;
	for (uint32_t i = 0; i < n_slots; i++)
		t->slot[i] = SLOT_EMPTY;
	for (uint32_t id = 0; id < t->n_ids; id++) {
		uint32_t i;

		if (!t->name[id].p)
			continue;
		for (i = t->name[id].hash & (n_slots - 1); t->slot[i] != SLOT_EMPTY;)
			i = (i + 1) & (n_slots - 1);
		t->slot[i] = id;
		t->used++;
	}
}

/* The slot that holds the name, or UINT32_MAX. */
static uint32_t find_slot(const struct intern *t, struct bytes name, uint32_t hash)
{
	if (!t->n_slots)
		return UINT32_MAX;
	for (uint32_t i = hash & (t->n_slots - 1);; i = (i + 1) & (t->n_slots - 1)) {
		uint32_t id = t->slot[i];

		if (id == SLOT_EMPTY)
			return UINT32_MAX;
		if (id != SLOT_GONE && t->name[id].hash == hash && t->name[id].n == name.n &&
		    memcmp(t->name[id].p, name.p ? name.p : "", name.n) == 0)
			return i;
	}
}

static uint32_t short_hash(const struct intern *t, struct bytes name)
{
	return (uint32_t)(hash_bytes(name, t->seed) >> 16);
}

uint32_t intern_find(const struct intern *t, struct bytes name)
{
	uint32_t slot = find_slot(t, name, short_hash(t, name));

	return slot == UINT32_MAX ? INTERN_NONE : t->slot[slot];
}

uint32_t intern_add(struct intern *t, struct bytes name, bool *ret_new)
{
	uint32_t hash = short_hash(t, name), slot = find_slot(t, name, hash), id, i;

	if (ret_new)
		*ret_new = slot == UINT32_MAX;
	if (slot != UINT32_MAX)
		return t->slot[slot];
	BUG_ON(name.n >= UINT32_MAX || t->live >= UINT32_MAX / 4);
	if (!t->n_slots || (t->used + 1) > t->n_slots / 10 * 7)
		rebuild(t, t->n_slots && t->live < t->n_slots / 3 ? t->n_slots
		           : t->n_slots                           ? t->n_slots * 2
		                                                  : 64);
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
	for (i = hash & (t->n_slots - 1); t->slot[i] != SLOT_EMPTY;)
		i = (i + 1) & (t->n_slots - 1);
	t->slot[i] = id;
	t->used++;
	return id;
}

void intern_remove(struct intern *t, uint32_t id)
{
	uint32_t slot;

	BUG_ON(!intern_is_live(t, id));
	slot = find_slot(t, bytes_of(t->name[id].p, t->name[id].n), t->name[id].hash);
	BUG_ON(slot == UINT32_MAX);
	t->slot[slot] = SLOT_GONE;
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

bool intern_is_live(const struct intern *t, uint32_t id)
{
	return id < t->n_ids && t->name[id].p;
}
