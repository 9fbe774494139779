/* SPDX-License-Identifier: MIT */
#include "proto/loader.h"

#include <errno.h>
#include <string.h>

#define MAX_ERROR_BYTES 1024

static const char *const words[] = {
#define X(name, text) text,
        LOADER_TABLE(X)
#undef X
};

void loader_message_init(struct loader_message *l)
{
	memset(l, 0, sizeof(*l));
}

void loader_message_release(struct loader_message *l)
{
	vec_free(&l->endpoint);
	loader_message_init(l);
}

/* -- What a loader says --------------------------------------------------------------------- */

static int read_register(struct loader_message *l, struct cursor *c,
                         const struct proto_limits *limits, struct proto_error *reterr)
{
	struct cursor names;
	uint64_t n = 0;
	int rc = value_array(cursor_next(c), "endpoints", 1, (size_t)limits->max_loader_endpoints,
	                     &names, reterr);

	while (!rc && names.left) {
		struct bytes b = {0};

		rc = value_bytes(cursor_next(&names), "endpoint", 1,
		                 (size_t)limits->max_endpoint_bytes, &b, reterr);
		*vec_push(&l->endpoint) = b;
	}
	if (rc)
		return rc;
	if (value_uint(cursor_next(c), "concurrency", (uint64_t)limits->max_loader_jobs, &n,
	               NULL) ||
	    n == 0)
		return proto_fail(reterr, -EBADMSG,
		                  "concurrency: must be a whole number from 1 to %.0f",
		                  limits->max_loader_jobs);
	l->concurrency = (uint32_t)n;
	return 0;
}

static int read_options(struct loader_message *l, const struct msgpack_object *v,
                        struct proto_error *reterr)
{
	static const char *const value_names[] = {"version", "max_age_s", "last_modified_s",
	                                          "load_ms", NULL};
	static const char *const error_names[] = {"retry_after_s", NULL};
	const struct msgpack_object *x;
	double ms = 0;
	struct map m;
	int rc;

	if (value_is_nil(v))
		return 0;
	rc = value_map(v, "options", &m, reterr);
	rc = rc ? rc
	        : map_only(&m, "options", l->word == LOADER_ERROR ? error_names : value_names,
	                   reterr);
	rc = rc ? rc : value_version(map_find(&m, "version"), "version", &l->version, reterr);
	x = map_find(&m, "max_age_s");
	if (!rc && !value_is_nil(x))
		rc = value_span(x, "max_age_s", &l->max_age, reterr);
	x = map_find(&m, "last_modified_s");
	if (!rc && !value_is_nil(x))
		rc = value_instant(x, "last_modified_s", &l->last_modified, reterr);
	x = map_find(&m, "load_ms");
	if (!rc && !value_is_nil(x))
		rc = value_num(x, "load_ms", 0, 86400000, &ms, reterr);
	l->load = span_from_s(ms * 1e-3);
	x = map_find(&m, "retry_after_s");
	if (!rc && !value_is_nil(x))
		rc = value_span(x, "retry_after_s", &l->retry_after, reterr);
	return rc;
}

static int read_answer(struct loader_message *l, struct cursor *c,
                       const struct proto_limits *limits, struct proto_error *reterr)
{
	int rc = value_uint(cursor_next(c), "job", UINT64_MAX, &l->job, reterr);

	if (rc)
		return rc;
	switch (l->word) {
	case LOADER_VALUE:
	case LOADER_UNCACHEABLE:
		rc = value_bytes(cursor_next(c), "value", 0, (size_t)limits->max_value_bytes,
		                 &l->value, reterr);
		break;
	case LOADER_ERROR:
		rc = value_bytes(cursor_next(c), "text", 0, MAX_ERROR_BYTES, &l->error, reterr);
		break;
	default: /* unchanged, absent */
		return 0;
	}
	return rc ? rc : read_options(l, cursor_next(c), reterr);
}

/* How many values each word has after it, options not counted. */
static unsigned arguments(enum loader_word w)
{
	switch (w) {
	case LOADER_REGISTER:
	case LOADER_VALUE:
	case LOADER_UNCACHEABLE:
	case LOADER_ERROR:
		return 2;
	case LOADER_UNCHANGED:
	case LOADER_ABSENT:
		return 1;
	default:
		return 0;
	}
}

static bool has_options(enum loader_word w)
{
	return w == LOADER_VALUE || w == LOADER_UNCACHEABLE || w == LOADER_ERROR;
}

int loader_message_read(struct loader_message *ret, struct message *m, struct bytes frame,
                        const struct proto_limits *limits, struct proto_error *reterr)
{
	struct loader_message old = *ret;
	struct cursor c;
	struct bytes word;
	unsigned w = 0, n;
	int rc;

	loader_message_init(ret);
	ret->endpoint = old.endpoint;
	ret->endpoint.n = 0;
	ret->last_modified = INSTANT_NONE;
	rc = message_read(m, frame, limits, reterr);
	rc = rc ? rc : value_array(m->root, "loader", 1, 8, &c, reterr);
	rc = rc ? rc : value_bytes(cursor_next(&c), "word", 1, 32, &word, reterr);
	if (rc)
		return rc == -ENOMEM ? rc : -EBADMSG;
	while (!bytes_equal(word, bytes_str(words[w])))
		if (++w == LOADER_WORDS)
			return proto_fail(
			        reterr, -EBADMSG,
			        "word: must be register, value, unchanged, absent, error, "
			        "uncacheable, beat or bye");
	ret->word = (enum loader_word)w;
	n = arguments(ret->word);
	if (c.left < n || c.left > n + has_options(ret->word))
		return proto_fail(reterr, -EBADMSG, "%s: takes %u values, got %zu", words[w], n,
		                  c.left);
	if (ret->word == LOADER_REGISTER)
		rc = read_register(ret, &c, limits, reterr);
	else if (n)
		rc = read_answer(ret, &c, limits, reterr);
	return rc ? proto_within(reterr, rc, "%s: ", words[w]) : 0;
}

void loader_message_write(struct pack *w, const struct loader_message *l)
{
	uint32_t options = 0;
	size_t i;

	if (has_options(l->word))
		options = (l->version != 0) + (l->max_age.us != 0) +
		          instant_is_set(l->last_modified) + (l->load.us != 0);
	if (l->word == LOADER_ERROR)
		options = l->retry_after.us != 0;
	pack_array(w, 1 + arguments(l->word) + (options > 0));
	pack_text(w, words[l->word]);
	if (l->word == LOADER_REGISTER) {
		pack_array(w, (uint32_t)l->endpoint.n);
		for (i = 0; i < l->endpoint.n; i++)
			pack_key(w, l->endpoint.v[i]);
		pack_uint(w, l->concurrency);
	} else if (arguments(l->word)) {
		pack_uint(w, l->job);
	}
	if (l->word == LOADER_VALUE || l->word == LOADER_UNCACHEABLE)
		pack_bin(w, l->value);
	if (l->word == LOADER_ERROR)
		pack_key(w, l->error);
	if (!options)
		return;
	pack_map(w, options);
	if (l->word == LOADER_ERROR) {
		pack_text(w, "retry_after_s");
		pack_span(w, l->retry_after);
		return;
	}
	if (l->version) {
		pack_text(w, "version");
		pack_uint(w, l->version);
	}
	if (l->max_age.us) {
		pack_text(w, "max_age_s");
		pack_span(w, l->max_age);
	}
	if (instant_is_set(l->last_modified)) {
		pack_text(w, "last_modified_s");
		pack_instant(w, l->last_modified);
	}
	if (l->load.us) {
		pack_text(w, "load_ms");
		pack_num(w, (double)l->load.us * 1e-3);
	}
}

/* -- What a loader is told ------------------------------------------------------------------ */

static int read_job(struct told *t, const struct msgpack_object *job, struct cursor *c,
                    const struct proto_limits *limits, struct proto_error *reterr)
{
	const struct msgpack_object *version;
	int rc = value_uint(job, "job", UINT64_MAX, &t->job, reterr);

	rc = rc ? rc
	        : value_bytes(cursor_next(c), "endpoint", 0, (size_t)limits->max_endpoint_bytes,
	                      &t->endpoint, reterr);
	rc = rc ? rc
	        : value_bytes(cursor_next(c), "key", 1, (size_t)limits->max_key_bytes, &t->key,
	                      reterr);
	rc = rc ? rc : value_bytes(cursor_next(c), "reason", 1, 32, &t->reason, reterr);
	rc = rc ? rc : value_span(cursor_next(c), "deadline_s", &t->deadline, reterr);
	version = cursor_next(c);
	t->have = !value_is_nil(version);
	return rc ? rc : value_version(version, "version", &t->version, reterr);
}

int told_read(struct told *ret, struct message *m, struct bytes frame,
              const struct proto_limits *limits, struct proto_error *reterr)
{
	const struct msgpack_object *first;
	struct bytes word;
	struct cursor c;
	int rc;

	*ret = (struct told){0};
	rc = message_read(m, frame, limits, reterr);
	rc = rc ? rc : value_array(m->root, "told", 1, 16, &c, reterr);
	if (rc)
		return rc == -ENOMEM ? rc : -EBADMSG;
	first = cursor_next(&c);
	if (value_kind(first) == VALUE_UINT) {
		ret->kind = TOLD_JOB;
		return read_job(ret, first, &c, limits, reterr);
	}
	rc = value_bytes(first, "word", 1, 32, &word, reterr);
	if (rc)
		return rc;
	if (bytes_equal(word, bytes_str("beat"))) {
		ret->kind = TOLD_BEAT;
		return 0;
	}
	if (bytes_equal(word, bytes_str("registered"))) {
		ret->kind = TOLD_REGISTERED;
		return value_span(cursor_next(&c), "beat_s", &ret->beat, reterr);
	}
	if (bytes_equal(word, bytes_str("refused"))) {
		ret->kind = TOLD_REFUSED;
		rc = value_bytes(cursor_next(&c), "code", 0, 64, &ret->code, reterr);
		return rc ? rc
		          : value_bytes(cursor_next(&c), "text", 0, UINT32_MAX, &ret->text, reterr);
	}
	return proto_fail(reterr, -EBADMSG, "word: must be a job, registered, beat or refused");
}

void told_write(struct pack *w, const struct told *t)
{
	switch (t->kind) {
	case TOLD_JOB:
		pack_array(w, 6);
		pack_uint(w, t->job);
		pack_key(w, t->endpoint);
		pack_key(w, t->key);
		pack_str(w, t->reason);
		pack_span(w, t->deadline);
		if (t->have)
			pack_uint(w, t->version);
		else
			pack_nil(w);
		return;
	case TOLD_REGISTERED:
		pack_array(w, 2);
		pack_text(w, "registered");
		pack_span(w, t->beat);
		return;
	case TOLD_BEAT:
		pack_array(w, 1);
		pack_text(w, "beat");
		return;
	case TOLD_REFUSED:
		pack_array(w, 3);
		pack_text(w, "refused");
		pack_str(w, t->code);
		pack_key(w, t->text);
		return;
	}
}
