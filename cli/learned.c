/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/learned.h"

#include "base/mem.h"
#include "cli/cli.h"
#include "daemon/record_json.h"

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
	l->failed = record_export_begin(f) != 0;
	return l;
}

void learned_write(void *arg, const struct record *r)
{
	struct learned *l = arg;

	if (record_export(l->f, r))
		l->failed = true;
}

int learned_close(struct learned **lp)
{
	struct learned *l = *lp;
	int status = CLI_OK;

	if (fclose(l->f) != 0 || l->failed)
		status = cli_error("%s: %s", l->path,
		                   errno ? strerror(errno) : "not all of it could be written");
	free(l->path);
	free(l);
	*lp = NULL;
	return status;
}
