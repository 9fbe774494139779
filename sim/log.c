/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/log.h"

#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES (1u << 20)

/* The most that one line takes besides its key: kind, time, word, version and their separators. */
#define LINE_BYTES 96

struct log {
	FILE *f;
	char *path;
	const struct trace *trace;
	int error; /* the first errno of a write */
	size_t n;
	char buffer[BUFFER_BYTES];
};

static void flush(struct log *l)
{
	if (l->n && fwrite(l->buffer, 1, l->n, l->f) != l->n && !l->error)
		l->error = errno ? errno : EIO;
	l->n = 0;
}

struct log *log_open(const char *path, const struct trace *t, const char *policy, uint64_t seed,
                     struct fault *reterr)
{
	struct log *l;
	FILE *f = fopen(path, "we");

	if (!f) {
		fault_set(reterr, -errno, "%s: %s", path, strerror(errno));
		return NULL;
	}
	l = mem_calloc(1, sizeof(*l));
	l->f = f;
	l->path = text_copy(path);
	l->trace = t;
	setvbuf(f, NULL, _IONBF, 0);
	fprintf(f, "# forecache simulate, policy %s, seed %" PRIu64 "\n", policy, seed);
	return l;
}

int log_close(struct log **l, struct fault *reterr)
{
	int r = 0;

	if (!*l)
		return 0;
	flush(*l);
	if (ferror((*l)->f) && !(*l)->error)
		(*l)->error = EIO;
	if (fclose((*l)->f) != 0 && !(*l)->error)
		(*l)->error = errno;
	if ((*l)->error)
		r = fault_set(reterr, -(*l)->error, "%s: %s", (*l)->path, strerror((*l)->error));
	free((*l)->path);
	free(*l);
	*l = NULL;
	return r;
}

static void put_char(struct log *l, char c)
{
	l->buffer[l->n++] = c;
}

static void put_text(struct log *l, const char *s)
{
	size_t n = strlen(s);

	memcpy(l->buffer + l->n, s, n);
	l->n += n;
}

/* At least `width` digits. */
static void put_number(struct log *l, uint64_t v, unsigned width)
{
	char digit[20];
	unsigned n = 0;

	for (; v || n < width; v /= 10)
		digit[n++] = (char)('0' + v % 10);
	while (n)
		put_char(l, digit[--n]);
}

static void put_key(struct log *l, struct bytes key)
{
	const char *p = key.p;

	for (size_t i = 0; i < key.n; i++) {
		char c = p[i], as = c == '\t' ? 't' : c == '\n' ? 'n' : c == '\\' ? '\\' : 0;

		if (as)
			put_char(l, '\\');
		put_char(l, as ? as : c);
	}
}

/* The first three fields of a row. */
static void put_head(struct log *l, char kind, uint32_t key, struct instant at)
{
	struct bytes name = intern_name(&l->trace->keys, key);

	if (l->n + 2 * name.n + LINE_BYTES > BUFFER_BYTES)
		flush(l);
	put_char(l, kind);
	put_char(l, '\t');
	put_number(l, (uint64_t)at.us / 1000000, 1);
	put_char(l, '.');
	put_number(l, (uint64_t)at.us % 1000000, 6);
	put_char(l, '\t');
	put_key(l, name);
	put_char(l, '\t');
}

static void put_row(struct log *l, char kind, uint32_t key, struct instant at, const char *word,
                    uint32_t version)
{
	put_head(l, kind, key, at);
	put_text(l, word);
	put_char(l, '\t');
	put_number(l, version, 1);
	put_char(l, '\n');
}

void log_load(struct log *l, uint32_t key, struct instant at, enum load_reason why,
              uint32_t version)
{
	put_row(l, 'F', key, at, load_reason_name(why), version);
}

void log_answer(struct log *l, uint32_t key, struct instant at, enum outcome o, uint32_t version)
{
	put_row(l, 'R', key, at, outcome_name(o), version);
}

void log_prediction(struct log *l, uint32_t key, struct instant at, double ttl_s, double p,
                    double looks)
{
	char text[LINE_BYTES / 2];

	put_head(l, 'P', key, at);
	snprintf(text, sizeof(text), "%.3f\t%.6f\t%.0f\n", ttl_s, p, looks);
	put_text(l, text);
}
