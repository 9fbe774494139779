/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/learned.h"

#include "base/mem.h"
#include "cli/cli.h"
#include "daemon/record_json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct learned {
	FILE *f;
	char *path, *beside; /* where it is to be, and where it is written until it is whole */
	bool failed;
};

struct learned *learned_create(const char *path)
{
	struct learned *l = mem_calloc(1, sizeof(*l));
	size_t n = strlen(path);

	l->path = mem_dup(path, n);
	l->beside = mem_calloc(1, n + sizeof(".part"));
	memcpy(l->beside, path, n);
	memcpy(l->beside + n, ".part", sizeof(".part"));
	l->f = fopen(l->beside, "we");
	if (!l->f) {
		cli_error("%s: %s", path, strerror(errno));
		free(l->beside);
		free(l->path);
		free(l);
		return NULL;
	}
	l->failed = record_export_begin(l->f) != 0;
	return l;
}

void learned_write(void *arg, const struct record *r)
{
	struct learned *l = arg;

	if (record_export(l->f, r))
		l->failed = true;
}

int learned_close(struct learned **lp, bool whole)
{
	struct learned *l = *lp;
	int status = CLI_OK;

	errno = 0;
	if (fclose(l->f) != 0 || l->failed)
		status = cli_error("%s: %s", l->path,
		                   errno ? strerror(errno) : "not all of it could be written");
	if (!whole || status != CLI_OK)
		unlink(l->beside);
	else if (rename(l->beside, l->path))
		status = cli_error("%s: %s", l->path, strerror(errno));
	free(l->beside);
	free(l->path);
	free(l);
	*lp = NULL;
	return status;
}

struct pupil {
	struct engine *engine;
	const struct trace *trace;
	struct instant now;
};

static int teach(void *arg, const struct record *r, const char **ret_why)
{
	struct pupil *p = arg;

	if (!strcmp(r->kind, "key") && intern_find(&p->trace->keys, r->name) == INTERN_NONE)
		return 0;
	return engine_import(p->engine, p->now, r, ret_why);
}

int learned_read(void *arg, struct engine *e, struct instant now, struct fault *reterr)
{
	const struct learned_file *file = arg;
	struct pupil p = {e, file->trace, now};
	const char *path = file->path;
	struct fault err;
	FILE *f = fopen(path, "re");
	size_t n;
	int rc;

	if (!f)
		return fault_set(reterr, -errno, "%s: %s", path, strerror(errno));
	rc = record_import(f, teach, &p, &n, &err);
	fclose(f);
	return rc ? fault_set(reterr, rc, "%s: %s", path, err.text) : 0;
}
