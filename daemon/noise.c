/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/noise.h"

#include "base/hash.h"
#include "base/intern.h"
#include "base/mem.h"
#include "base/vec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A watched key that none of so many loads of its endpoint was of gives way to another. */
static const unsigned PATIENCE = 200;

static const unsigned ENOUGH = 20, MEMORY = 1000;
static const double ALWAYS = 0.95, ALONE = 0.5;

struct field {
	char place[CONTENT_PLACE_MAX];
	unsigned changed, alone;
};

struct watch {
	uint64_t key;   /* the hash of its name */
	unsigned since; /* loads of other keys since it was seen */
	unsigned compared;
	size_t n; /* parts */
	uint64_t rest;
	struct content_part part[CONTENT_MAX_PARTS];
	struct field field[NOISE_FIELDS];
};

struct noise {
	struct intern endpoint;
	VEC(struct watch *) watch; /* by id of endpoint */
};

struct noise *noise_new(void)
{
	struct noise *n = mem_calloc(1, sizeof(*n));

	intern_init(&n->endpoint, 1);
	return n;
}

void noise_free(struct noise **np)
{
	struct noise *n = *np;

	if (!n)
		return;
	for (size_t i = 0; i < n->watch.n; i++)
		free(n->watch.v[i]);
	vec_free(&n->watch);
	intern_release(&n->endpoint);
	free(n);
	*np = NULL;
}

static const struct content_part *find(const struct content_part *p, size_t n, uint64_t place)
{
	for (size_t i = 0; i < n; i++)
		if (p[i].place == place)
			return &p[i];
	return NULL;
}

/* The counts of a field; of too many the one that changed least often gives way. */
static struct field *field_of(struct watch *w, const char *place)
{
	struct field *least = &w->field[0];

	for (int i = 0; i < NOISE_FIELDS; i++) {
		if (!strcmp(w->field[i].place, place))
			return &w->field[i];
		if (w->field[i].changed < least->changed)
			least = &w->field[i];
	}
	*least = (struct field){.changed = 0};
	snprintf(least->place, sizeof(least->place), "%s", place);
	return least;
}

/* The parts of this answer against those of the one before. */
static void compare(struct watch *w, const struct content_parts *now)
{
	struct field *alone = NULL;
	size_t changed = now->rest != w->rest;

	for (size_t i = 0; i < now->n; i++) {
		const struct content_part *before = find(w->part, w->n, now->part[i].place);

		if (before && before->value == now->part[i].value)
			continue;
		changed++;
		if (before) {
			alone = field_of(w, now->name[i]);
			alone->changed++;
		}
	}
	for (size_t i = 0; i < w->n; i++)
		changed += !find(now->part, now->n, w->part[i].place);
	if (changed == 1 && alone)
		alone->alone++;
	w->compared++;
	if (w->compared < MEMORY)
		return;
	w->compared /= 2;
	for (int i = 0; i < NOISE_FIELDS; i++) {
		w->field[i].changed /= 2;
		w->field[i].alone /= 2;
	}
}

static struct watch *watch_of(struct noise *n, struct bytes endpoint, uint64_t key)
{
	uint32_t id = intern_find(&n->endpoint, endpoint);

	if (id == INTERN_NONE) {
		if (n->endpoint.live >= NOISE_MAX_ENDPOINTS)
			return NULL;
		id = intern_add(&n->endpoint, endpoint, NULL);
		*vec_push(&n->watch) = mem_calloc(1, sizeof(struct watch));
		n->watch.v[id]->key = key;
	}
	return n->watch.v[id];
}

uint64_t noise_hash(struct noise *n, struct bytes endpoint, struct bytes key, struct bytes body,
                    const struct content_ignore *ignore)
{
	uint64_t name = hash_bytes(key, 1), h;
	struct watch *w = watch_of(n, endpoint, name);
	struct content_parts parts;

	if (!w || (w->key != name && w->since++ < PATIENCE))
		return content_hash_json(body, ignore);
	h = content_hash_parts(body, ignore, &parts);
	if (w->key == name && w->n)
		compare(w, &parts);
	w->key = name;
	w->since = 0;
	w->n = parts.n;
	w->rest = parts.rest;
	memcpy(w->part, parts.part, parts.n * sizeof(*parts.part));
	return h;
}

const char *noise_field(const struct noise *n, struct bytes endpoint, unsigned *ret_alone,
                        unsigned *ret_compared)
{
	uint32_t id = intern_find(&n->endpoint, endpoint);
	const struct watch *w;

	if (id == INTERN_NONE)
		return NULL;
	w = n->watch.v[id];
	for (int i = 0; i < NOISE_FIELDS && w->compared >= ENOUGH; i++) {
		const struct field *f = &w->field[i];

		if (f->changed < ALWAYS * w->compared || f->alone < ALONE * w->compared)
			continue;
		*ret_alone = f->alone;
		*ret_compared = w->compared;
		return f->place;
	}
	return NULL;
}
