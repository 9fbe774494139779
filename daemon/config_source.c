/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/config_source.h"

#include "base/mem.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct config_source {
	char *path, *from;
};

struct config_sources {
	VEC(struct config_source) list;
};

struct config_sources *config_sources_new(void)
{
	return mem_calloc(1, sizeof(struct config_sources));
}

void config_sources_free(struct config_sources **sp)
{
	struct config_sources *s = *sp;

	if (!s)
		return;
	for (size_t i = 0; i < s->list.n; i++) {
		free(s->list.v[i].path);
		free(s->list.v[i].from);
	}
	vec_free(&s->list);
	free(s);
	*sp = NULL;
}

static struct config_source *find(const struct config *c, const char *path)
{
	for (size_t i = 0; i < c->sources->list.n; i++)
		if (!strcmp(c->sources->list.v[i].path, path))
			return &c->sources->list.v[i];
	return NULL;
}

void config_source_note(struct config *c, const char *path, const char *from)
{
	struct config_source *s = find(c, path);

	if (s) {
		free(s->from);
	} else {
		s = vec_push(&c->sources->list);
		s->path = text_copy(path);
	}
	s->from = text_copy(from);
}

const char *config_source_of(const struct config *c, const char *path)
{
	const struct config_source *s = find(c, path);

	return s ? s->from : NULL;
}

void config_path_join(char *buf, size_t cap, const char *path, const char *key)
{
	snprintf(buf, cap, "%.120s%s%.120s", path, *path ? "." : "", key);
}

const char *const config_ttl_modes[] = {
        [TTL_LEARN] = "learn", [TTL_OBEY] = "obey", [TTL_ADVISE] = "advise", NULL};

const char *const config_prewarm_modes[] = {
        [PREWARM_AUTO] = "auto", [PREWARM_ALWAYS] = "always", [PREWARM_NEVER] = "never", NULL};

const char *const config_compressions[] = {
        [COMPRESSION_OFF] = "off", [COMPRESSION_ZSTD] = "zstd", NULL};
