/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The peaks that there are: made, found, and removed. What each of them goes through: course.c.
 */
#include "engine/state.h"

#include "base/hash.h"

#include <math.h>
#include <stdlib.h>

/* Peaks of which something was kept, and that nobody has named since. */
static const size_t MAX_UNNAMED = 512;

static uint32_t id_of(struct bytes name)
{
	return (uint32_t)(hash_bytes(name, 0) >> 32);
}

struct peak *peak_by_id(struct engine *e, uint32_t id)
{
	for (size_t i = 0; i < e->peak.n; i++)
		if (e->peak.v[i]->id == id)
			return e->peak.v[i];
	return NULL;
}

struct peak *peak_find(struct engine *e, struct bytes name)
{
	struct peak *p = peak_by_id(e, id_of(name));

	return p && p->name && bytes_equal(bytes_str(p->name), name) ? p : NULL;
}

static bool room_for_unnamed(const struct engine *e)
{
	size_t n = 0;

	for (size_t i = 0; i < e->peak.n; i++)
		n += !e->peak.v[i]->name;
	return n < MAX_UNNAMED;
}

struct peak *peak_unnamed(struct engine *e, uint32_t id)
{
	struct peak *p;

	if (!room_for_unnamed(e))
		return NULL;
	p = mem_calloc(1, sizeof(*p));
	*vec_push(&e->peak) = p;
	p->id = id;
	p->source = PREFETCH_SCHEDULE;
	p->place = INTERN_NONE;
	return p;
}

/* What is known of a peak of that name from an earlier life is taken over. */
struct peak *peak_new(struct engine *e, struct bytes name)
{
	uint32_t id = id_of(name);
	struct peak *p = peak_by_id(e, id);

	if (!p || p->name) {
		p = mem_calloc(1, sizeof(*p));
		*vec_push(&e->peak) = p;
	}
	p->id = id;
	p->name = mem_dup(name.p, name.n);
	p->max_keys = PEAK_MAX_KEYS;
	p->place = INTERN_NONE;
	return p;
}

void peak_release(struct peak **pp)
{
	struct peak *p = *pp;

	if (!p)
		return;
	free(p->name);
	free(p->pattern);
	vec_free(&p->at);
	vec_free(&p->item);
	vec_free(&p->wanted);
	heap_release(&p->todo);
	heap_release(&p->spent);
	vec_free(&p->level);
	audience_release(&p->audience);
	free(p);
	*pp = NULL;
}

void peak_release_all(struct engine *e)
{
	planning_end(e);
	for (size_t i = 0; i < e->by_hand.n; i++)
		free(e->by_hand.v[i].pattern);
	vec_free(&e->by_hand);
	for (size_t i = 0; i < e->peak.n; i++)
		peak_release(&e->peak.v[i]);
	for (size_t i = 0; i < e->manual.n; i++)
		peak_release(&e->manual.v[i]);
	vec_free(&e->manual);
	for (size_t i = 0; i < e->forgotten.n; i++)
		free(e->forgotten.v[i]);
	vec_free(&e->forgotten);
}

void peak_remove(struct engine *e, struct peak *p)
{
	planning_drop(e, p);
	for (size_t i = 0; i < e->peak.n; i++)
		if (e->peak.v[i] == p) {
			e->peak.v[i] = e->peak.v[--e->peak.n];
			peak_release(&p);
			break;
		}
	course_count_watching(e);
	e->peak_due = INSTANT_NONE;
}

/* A schedule may come back: each reload of the configuration sets all of them anew. */
void peak_retire(struct engine *e, struct peak *p)
{
	if (!p->audience.list.n || !room_for_unnamed(e)) {
		peak_remove(e, p);
		return;
	}
	free(p->name);
	free(p->pattern);
	p->name = p->pattern = NULL;
	p->at.n = 0;
	course_seek(e, p, INSTANT_NONE);
}

void peak_forget_key(struct engine *e, uint32_t key)
{
	if (!(e->key.v[key].at_peaks & KEY_PEAK_KNOWN))
		return;
	for (size_t i = 0; i < e->peak.n; i++)
		audience_forget(&e->peak.v[i]->audience, key);
}

struct instant peak_at(const struct peak *p)
{
	return p->next < p->at.n ? p->at.v[p->next] : INSTANT_NEVER;
}

unsigned peak_weekday(const struct zone *z, struct instant t)
{
	/* 1 January 1970 was a Thursday */
	return (unsigned)(((int64_t)floor(zone_local_s(z, t) / 86400) % 7 + 10) % 7);
}
