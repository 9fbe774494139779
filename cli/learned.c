/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/learned.h"

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/text.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct learned {
	FILE *f;
	char *path;
	bool failed;
};

struct learned *learned_create(const char *path)
{
	FILE *f = fopen(path, "we");
	struct learned *l;

	if (!f) {
		cli_error("%s: %s", path, strerror(errno));
		return NULL;
	}
	l = mem_calloc(1, sizeof(*l));
	l->f = f;
	l->path = mem_dup(path, strlen(path));
	fputs("{\"forecached\":\"learned state\",\"version\":1}\n", f);
	return l;
}

/* The member `name`, or `name`_hex when it is no text. */
static void add_name(cJSON *to, const char *name, struct bytes b)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = b.p;
	char *text, member[32];

	if (text_is_utf8(b)) {
		text = mem_dup(b.p, b.n);
		cJSON_AddStringToObject(to, name, text);
	} else {
		text = mem_calloc(2 * b.n + 1, 1);
		for (size_t i = 0; i < b.n; i++) {
			text[2 * i] = digits[p[i] >> 4];
			text[2 * i + 1] = digits[p[i] & 15];
		}
		snprintf(member, sizeof(member), "%s_hex", name);
		cJSON_AddStringToObject(to, member, text);
	}
	free(text);
}

void learned_write(void *arg, const struct record *r)
{
	struct learned *l = arg;
	cJSON *o = cJSON_CreateObject(), *fields;
	char *text;

	cJSON_AddStringToObject(o, "kind", r->kind);
	if (r->endpoint.n)
		add_name(o, "endpoint", r->endpoint);
	add_name(o, "name", r->name);
	fields = cJSON_AddObjectToObject(o, "fields");
	for (size_t i = 0; i < r->n_fields; i++)
		cJSON_AddItemToObject(fields, r->field[i].name,
		                      cJSON_CreateDoubleArray(r->field[i].v, (int)r->field[i].n));
	text = cJSON_PrintUnformatted(o);
	if (!text || fprintf(l->f, "%s\n", text) < 0)
		l->failed = true;
	free(text);
	cJSON_Delete(o);
}

int learned_close(struct learned **lp)
{
	struct learned *l = *lp;
	int status = CLI_OK;

	if (fclose(l->f) != 0 || l->failed)
		status = cli_error("%s: %s", l->path, errno ? strerror(errno) : "not all of it could be written");
	free(l->path);
	free(l);
	*lp = NULL;
	return status;
}
