/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Values that are put in place before the engine is told of them: see engine.h. */
#include "engine/state.h"

#include "base/hash.h"

#include <errno.h>

/*
 * In one step: entries in the way that make room, some microseconds each; or looks at what is worth least,
 * each of which evicts some.
 */
enum { EVICTIONS = 12, LOOKS = 6 };

uint64_t large_version(struct bytes value, const struct store_room *room,
                       const struct packed_value *packed)
{
	return (packed ? packed->hash : room ? room->hash : hash_bytes(value, 0)) | 1;
}

int engine_reserve(struct engine *e, struct instant now, size_t key_bytes, size_t value_bytes,
                   struct store_room *room)
{
	uint64_t need, freed = 0, n;
	int rc;

	if (!e->store || (double)key_bytes > e->limits.max_key_bytes ||
	    (double)value_bytes > e->limits.max_value_bytes)
		return -E2BIG;
	for (int i = 0; i <= EVICTIONS; i++) {
		rc = store_reserve(e->store, key_bytes, value_bytes, room);
		if (rc != -ENOSPC)
			return rc;
		if (room->in_the_way == STORE_NONE)
			break;
		/* and on at once: before somebody else puts something there */
		evict_entry(e, room->in_the_way);
	}
	if (room->granules)
		return -EAGAIN;
	need = store_footprint(e->store, key_bytes, value_bytes);
	for (int i = 0; i < LOOKS && freed < need; i++) {
		n = evict_some(e, now, need - freed);
		if (!n)
			break;
		freed += n;
	}
	return freed ? -EAGAIN : -ENOSPC;
}

uint64_t engine_arrived(struct engine *e, struct instant now, struct bytes endpoint,
                        struct bytes key, struct effects *fx)
{
	uint32_t id = keyring_key(e, now, endpoint, key, fx);

	if (id == KEY_NONE)
		return 0;
	*vec_push(&e->arrival) =
	        (struct arrival){.key = id, .came = now, .number = ++e->last_arrival};
	return e->last_arrival;
}

bool large_arrival_end(struct engine *e, uint64_t number, struct instant *ret_came)
{
	const struct arrival *a;
	size_t i = 0;
	bool overtaken;

	while (i < e->arrival.n && e->arrival.v[i].number != number)
		i++;
	if (i == e->arrival.n)
		return false;
	a = &e->arrival.v[i];
	/* or it was read after this one came: by a load */
	overtaken = a->overtaken || e->key.v[a->key].loaded.us > a->came.us;
	*ret_came = a->came;
	e->arrival.v[i] = e->arrival.v[--e->arrival.n];
	return overtaken;
}

void large_overtake(struct engine *e, uint32_t key, uint64_t before)
{
	for (size_t i = 0; i < e->arrival.n; i++)
		if (e->arrival.v[i].key == key && e->arrival.v[i].number < before)
			e->arrival.v[i].overtaken = true;
}

bool large_is_awaited(const struct engine *e, uint32_t key)
{
	for (size_t i = 0; i < e->arrival.n; i++)
		if (e->arrival.v[i].key == key)
			return true;
	return false;
}
