/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/validators.h"

#include "base/hash.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define WAYS 4

struct entry {
	uint64_t tag, version, used; /* used 0: free */
	char *text;                  /* etag, NUL, last_modified, NUL; either may be empty */
};

struct validators {
	size_t n_buckets, count;
	uint64_t turn;
	struct entry entry[];
};

struct validators *validators_new(size_t max)
{
	size_t buckets = max / WAYS ? max / WAYS : 1;
	struct validators *v = mem_calloc(1, sizeof *v + buckets * WAYS * sizeof *v->entry);

	v->n_buckets = buckets;
	return v;
}

void validators_free(struct validators **v)
{
	size_t i;

	if (!*v)
		return;
	for (i = 0; i < (*v)->n_buckets * WAYS; i++)
		free((*v)->entry[i].text);
	free(*v);
	*v = NULL;
}

static struct entry *bucket(struct validators *v, struct bytes endpoint, struct bytes key,
                            uint64_t *ret_tag)
{
	*ret_tag = hash_bytes(key, hash_bytes(endpoint, 0));
	return v->entry + *ret_tag % v->n_buckets * WAYS;
}

void validators_put(struct validators *v, struct bytes endpoint, struct bytes key, uint64_t version,
                    const char *etag, const char *last_modified)
{
	uint64_t tag;
	struct entry *b = bucket(v, endpoint, key, &tag), *e = b;
	size_t n_etag = etag ? strlen(etag) : 0, n_last = last_modified ? strlen(last_modified) : 0;
	int i;

	/* the key's own entry, else a free one (used 0), else the oldest */
	for (i = 0; i < WAYS; i++) {
		if (b[i].used && b[i].tag == tag) {
			e = &b[i];
			break;
		}
		if (b[i].used < e->used)
			e = &b[i];
	}
	if (n_etag + n_last == 0 && (i == WAYS || e->tag != tag))
		return;
	v->count -= e->used != 0;
	free(e->text);
	*e = (struct entry){0};
	if (n_etag + n_last == 0)
		return;
	e->text = mem_calloc(1, n_etag + n_last + 2);
	memcpy(e->text, etag ? etag : "", n_etag);
	memcpy(e->text + n_etag + 1, last_modified ? last_modified : "", n_last);
	e->tag = tag;
	e->version = version;
	e->used = ++v->turn;
	v->count++;
}

bool validators_get(struct validators *v, struct bytes endpoint, struct bytes key, uint64_t version,
                    struct validator *ret)
{
	uint64_t tag;
	struct entry *e = bucket(v, endpoint, key, &tag);
	int i;

	for (i = 0; i < WAYS; i++, e++) {
		const char *last;

		if (!e->used || e->tag != tag || e->version != version)
			continue;
		last = e->text + strlen(e->text) + 1;
		e->used = ++v->turn;
		*ret = (struct validator){*e->text ? e->text : NULL, *last ? last : NULL};
		return true;
	}
	return false;
}

size_t validators_count(const struct validators *v)
{
	return v->count;
}
