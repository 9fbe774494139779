/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is in a store that a daemon before this one has left, as keys of this engine. */
#include "engine/state.h"

struct adoption {
	struct engine *e;
	struct instant now;
	VEC(uint32_t) drop;
};

static void adopt_one(void *arg, uint32_t entry)
{
	struct adoption *a = arg;
	struct engine *e = a->e;
	struct store_item item;
	bool known;
	uint32_t id;
	struct key *k;

	store_get(e->store, entry, &item);
	known = intern_find(&e->key_name, item.key) != INTERN_NONE;
	id = KEY_NONE;
	/* no key makes room for this one: its entry may not go while we walk the store */
	if (known || e->key_name.live < e->limits.max_keys)
		id = keyring_key(e, a->now, bytes_of(NULL, 0), item.key, NULL);
	/* what changed while nobody listened was announced to nobody */
	if (id == KEY_NONE || item.loaded.us > a->now.us || item.pushed) {
		*vec_push(&a->drop) = entry;
		return;
	}
	store_set_owner(e->store, entry, id);
	k = &e->key.v[id];
	k->entry = entry;
	k->version = item.version;
	k->loaded = item.loaded;
	k->soft = item.soft;
	k->hard = item.hard;
	k->bytes = (uint32_t)item.value.n;
	k->flags |= KEY_HELD | KEY_OURS;
	plain_held(e, k);
	evict_kept(e, id);
	if (item.max_age.us == SPAN_MAX.us) {
		plain_adopt(e, id);
		return;
	}
	/*
	 * what the app said of its TTL is lost: what came of it, jitter and all, must not grow by
	 * that
	 */
	if (!known && item.soft.us > item.loaded.us) {
		k->client_ttl = (float)(span_s(instant_diff(item.soft, item.loaded)) /
		                        (1 + key_place(e, k)->policy.jitter));
		k->flags |= KEY_CLIENT_TTL;
	}
}

void engine_adopt(struct engine *e, struct instant now)
{
	struct adoption a = {.e = e, .now = now};

	if (!e->store)
		return;
	store_each(e->store, adopt_one, &a);
	for (size_t i = 0; i < a.drop.n; i++)
		store_remove(e->store, a.drop.v[i]);
	vec_free(&a.drop);
	for (uint32_t id = 0; id < e->key_name.n_ids; id++)
		if (intern_is_live(&e->key_name, id) && (e->key.v[id].flags & KEY_HELD))
			replan(e, now, id);
}
