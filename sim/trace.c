/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/trace.h"

#include "base/mem.h"
#include "sim/source.h"
#include "sim/weblog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Keys are looked up by hash only, so any seed will do; ids do not depend on it. */
#define KEY_SEED 1

bool trace_decimal(const char *p, size_t n, unsigned digits, int64_t max, int64_t *ret)
{
	const char *end = p + n;
	int64_t v = 0;
	unsigned seen = 0, after = 0;

	for (; p < end && *p >= '0' && *p <= '9'; p++, seen++) {
		if (v > (INT64_MAX - 9) / 10)
			return false;
		v = v * 10 + (*p - '0');
	}
	for (unsigned i = 0; i < digits; i++) {
		if (v > (INT64_MAX - 9) / 10)
			return false;
		v *= 10;
	}
	if (v > max)
		return false;
	if (p < end && *p == '.') {
		int64_t unit = 1;

		for (unsigned i = 0; i < digits; i++)
			unit *= 10;
		for (p++; p < end && *p >= '0' && *p <= '9'; p++, seen++, after++) {
			unit /= 10;
			if (after < digits)
				v += unit * (*p - '0');
			else if (after == digits && *p >= '5')
				v++;
		}
	}
	if (p != end || !seen || v > max)
		return false;
	*ret = v;
	return true;
}

ptrdiff_t trace_unescape(char *p, size_t n)
{
	char *from = memchr(p, '\\', n), *to = from;
	const char *end = p + n;

	if (!from)
		return (ptrdiff_t)n;
	while (from < end) {
		char c = *from++;

		if (c == '\\') {
			if (from == end)
				return -1;
			c = *from++;
			if (c == 't')
				c = '\t';
			else if (c == 'n')
				c = '\n';
			else if (c != '\\')
				return -1;
		}
		*to++ = c;
	}
	return to - p;
}

/* -- TSV -------------------------------------------------------------------------------------- */

#define MAX_FIELDS 8

/* Splits at tabs; the number of fields, at most MAX_FIELDS + 1. */
static size_t split(struct bytes line, struct bytes *field)
{
	const char *p = line.p, *end = p + line.n;
	size_t n = 0;

	for (;;) {
		const char *tab = memchr(p, '\t', (size_t)(end - p));

		if (n == MAX_FIELDS)
			return n + 1;
		field[n++] = bytes_of(p, (size_t)((tab ? tab : end) - p));
		if (!tab)
			return n;
		p = tab + 1;
	}
}

static bool is_unknown(struct bytes b)
{
	return b.n == 1 && *(const char *)b.p == '-';
}

static int read_time(const struct source *s, struct bytes f, struct instant *ret,
                     struct fault *reterr)
{
	if (!trace_decimal(f.p, f.n, 6, TRACE_LAST_US, &ret->us))
		return source_fault(s, -EINVAL, reterr, "time_s",
		                    "must be a decimal number from 0 to 253402300799 s");
	return 0;
}

/* The field is part of a writable line. */
static int read_name(const struct source *s, const char *what, struct bytes *f,
                     struct fault *reterr)
{
	ptrdiff_t n = trace_unescape((char *)f->p, f->n);

	if (n < 0)
		return source_fault(s, -EINVAL, reterr, what,
		                    "a backslash must be followed by t, n or \\");
	if (n == 0)
		return source_fault(s, -EINVAL, reterr, what, "is empty; write - for unknown");
	if ((size_t)n > TRACE_MAX_KEY_BYTES)
		return source_fault(s, -E2BIG, reterr, what, "longer than %u bytes",
		                    TRACE_MAX_KEY_BYTES);
	f->n = (size_t)n;
	return 0;
}

/* The next line that is no comment. As source_line. */
static int next_row(struct source *s, struct bytes *ret, struct fault *reterr)
{
	int r;

	do
		r = source_line(s, ret, reterr);
	while (r > 0 && ret->n && *(const char *)ret->p == '#');
	return r;
}

/* The header must be the first `least` or more of the names. */
static bool header_fits(struct bytes line, const char *const *names, size_t n_names, size_t least)
{
	struct bytes f[MAX_FIELDS];
	size_t n = split(line, f);

	if (n < least || n > n_names)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!bytes_equal(f[i], bytes_str(names[i])))
			return false;
	return true;
}

static const char *const request_columns[] = {"time_s", "endpoint", "key", "bytes", "load_ms"};
static const char *const change_columns[] = {"time_s", "key"};

static void add_row(struct trace *t, struct instant at, struct bytes endpoint, struct bytes key,
                    uint32_t bytes, uint32_t load_us)
{
	bool is_new;
	uint32_t k = intern_add(&t->keys, key, &is_new);

	if (is_new)
		*vec_push(&t->endpoint) = intern_add(&t->endpoints, endpoint, NULL);
	*vec_push(&t->at) = at;
	*vec_push(&t->key) = k;
	*vec_push(&t->bytes) = bytes;
	*vec_push(&t->load_us) = load_us;
}

static int read_request_row(struct trace *t, const struct source *s, struct bytes line,
                            struct fault *reterr)
{
	struct bytes f[MAX_FIELDS];
	size_t n = split(line, f);
	int64_t bytes = 0, load_us = TRACE_LOAD_DEFAULT.us;
	struct instant at;
	int r;

	if (n < 3 || n > 5)
		return source_fault(
		        s, -EINVAL, reterr, "row",
		        "has %zu%s fields, not 3 to 5 (time_s endpoint key bytes load_ms)",
		        n > MAX_FIELDS ? MAX_FIELDS : n, n > MAX_FIELDS ? " or more" : "");
	r = read_time(s, f[0], &at, reterr);
	if (r == 0)
		r = read_name(s, "endpoint", &f[1], reterr);
	if (r == 0)
		r = read_name(s, "key", &f[2], reterr);
	if (r < 0)
		return r;
	if (is_unknown(f[2]))
		return source_fault(s, -EINVAL, reterr, "key", "must be known");
	if (n > 3 && !is_unknown(f[3]) &&
	    !trace_decimal(f[3].p, f[3].n, 0, TRACE_MAX_BYTES, &bytes))
		return source_fault(s, -EINVAL, reterr, "bytes",
		                    "must be a whole number from 0 to %u, or -", TRACE_MAX_BYTES);
	if (n > 4 && !is_unknown(f[4]) &&
	    !trace_decimal(f[4].p, f[4].n, 3, INT64_C(1000) * TRACE_MAX_LOAD_MS, &load_us))
		return source_fault(s, -EINVAL, reterr, "load_ms",
		                    "must be a decimal number from 0 to %u ms, or -",
		                    TRACE_MAX_LOAD_MS);
	if (t->at.n && instant_before(at, t->at.v[t->at.n - 1]))
		return source_fault(s, -EINVAL, reterr, "time_s",
		                    "is %.6f s before the row above; rows must be in time order",
		                    span_s(instant_diff(t->at.v[t->at.n - 1], at)));
	add_row(t, at, is_unknown(f[1]) ? bytes_of(NULL, 0) : f[1], f[2], (uint32_t)bytes,
	        (uint32_t)load_us);
	return 0;
}

/* -- Logs of web servers ---------------------------------------------------------------------- */

/* Moves the last row up to where its time belongs; rows of one instant keep their order. */
static void sort_in_last(struct trace *t)
{
	size_t i = t->at.n - 1;
	struct instant at = t->at.v[i];
	uint32_t key = t->key.v[i], bytes = t->bytes.v[i], load_us = t->load_us.v[i];

	for (; i && instant_before(at, t->at.v[i - 1]); i--) {
		t->at.v[i] = t->at.v[i - 1];
		t->key.v[i] = t->key.v[i - 1];
		t->bytes.v[i] = t->bytes.v[i - 1];
		t->load_us.v[i] = t->load_us.v[i - 1];
	}
	t->at.v[i] = at;
	t->key.v[i] = key;
	t->bytes.v[i] = bytes;
	t->load_us.v[i] = load_us;
}

static int read_log_row(struct trace *t, const struct source *s, struct bytes line,
                        uint64_t line_no, bool keep_query, struct fault *reterr)
{
	struct weblog w;

	switch (weblog_parse((char *)line.p, line.n, keep_query, &w)) {
	case WEBLOG_MALFORMED:
		if (!t->skipped.malformed++)
			t->skipped.first_malformed = line_no;
		return 0;
	case WEBLOG_EMPTY:
		t->skipped.empty++;
		return 0;
	case WEBLOG_METHOD:
		t->skipped.method++;
		return 0;
	case WEBLOG_STATUS:
		t->skipped.status++;
		return 0;
	case WEBLOG_OK:
		break;
	}
	if (w.target.n > TRACE_MAX_KEY_BYTES)
		return source_fault(s, -E2BIG, reterr, "request", "longer than %u bytes",
		                    TRACE_MAX_KEY_BYTES);
	if (t->at.n &&
	    instant_before(instant_add(w.at, SPAN_S(TRACE_LOG_WINDOW_S)), t->at.v[t->at.n - 1]))
		return source_fault(s, -EINVAL, reterr, "time_local",
		                    "is %.0f s before a line above; up to %d s are put in order, "
		                    "sort the log by time first",
		                    span_s(instant_diff(t->at.v[t->at.n - 1], w.at)),
		                    TRACE_LOG_WINDOW_S);
	add_row(t, w.at, bytes_of(NULL, 0), w.target, w.bytes, (uint32_t)TRACE_LOAD_DEFAULT.us);
	sort_in_last(t);
	return 0;
}

/* -- Files ------------------------------------------------------------------------------------ */

static int read_requests(struct trace *t, struct source *s, const struct trace_options *o,
                         struct fault *reterr)
{
	struct bytes line;
	uint64_t line_no = 1;
	int r = next_row(s, &line, reterr);

	if (r < 0)
		return r;
	if (r == 0)
		return source_fault(s, -ENODATA, reterr, "file", "is empty");
	if (header_fits(line, request_columns, 5, 3)) {
		r = next_row(s, &line, reterr);
	} else if (weblog_looks_like(line)) {
		t->is_log = true;
	} else {
		return source_fault(
		        s, -EINVAL, reterr, "header",
		        "is neither `time_s endpoint key bytes load_ms` (tabs between) nor a "
		        "line of a combined log");
	}
	for (; r > 0; r = source_line(s, &line, reterr), line_no++) {
		if (t->is_log)
			r = read_log_row(t, s, line, line_no, o->keep_query, reterr);
		else if (line.n && *(const char *)line.p != '#')
			r = read_request_row(t, s, line, reterr);
		else if (!line.n)
			r = source_fault(s, -EINVAL, reterr, "row", "is empty");
		if (r < 0)
			return r;
		if (t->at.n >= TRACE_MAX_REQUESTS)
			return source_fault(s, -E2BIG, reterr, "file", "more than %u requests",
			                    TRACE_MAX_REQUESTS);
		if (o->progress && line_no % 65536 == 0)
			o->progress(o->arg, source_progress(s));
	}
	if (r < 0)
		return r;
	if (!t->at.n)
		return source_fault(s, -ENODATA, reterr, "file",
		                    t->is_log ? "holds no successful GET or HEAD"
		                              : "holds no requests");
	return 0;
}

int trace_read(struct trace *t, const char *path, const struct trace_options *o,
               struct fault *reterr)
{
	struct source *s;
	int r;

	*t = (struct trace){0};
	intern_init(&t->keys, KEY_SEED);
	intern_init(&t->endpoints, KEY_SEED);
	s = source_open(path, reterr);
	if (!s)
		return -EIO;
	r = read_requests(t, s, o, reterr);
	source_close(&s);
	return r;
}

static int compare_changes(const void *a, const void *b)
{
	const struct trace_change *x = a, *y = b;

	if (x->at.us != y->at.us)
		return x->at.us < y->at.us ? -1 : 1;
	return x->row < y->row ? -1 : 1;
}

/* The key of a row of the changes, or INTERN_NONE: see trace_read_changes. */
static uint32_t changed_key(const struct trace *t, struct bytes name)
{
	uint32_t key = intern_find(&t->keys, name);
	const char *p = name.p, *end = p + name.n, *host, *path, *query;

	if (key != INTERN_NONE || !t->is_log)
		return key;
	host = memmem(p, name.n, "://", 3);
	path = host ? memchr(host + 3, '/', (size_t)(end - host - 3)) : NULL;
	if (!host)
		return INTERN_NONE;
	if (!path)
		return intern_find(&t->keys, bytes_str("/"));
	key = intern_find(&t->keys, bytes_of(path, (size_t)(end - path)));
	query = memchr(path, '?', (size_t)(end - path));
	if (key == INTERN_NONE && query)
		key = intern_find(&t->keys, bytes_of(path, (size_t)(query - path)));
	return key;
}

static int read_changes(struct trace *t, struct source *s, struct fault *reterr)
{
	bool sorted = true;
	uint32_t row = 0;
	struct bytes line;
	int r = next_row(s, &line, reterr);

	if (r < 0)
		return r;
	if (r == 0 || !header_fits(line, change_columns, 2, 2))
		return source_fault(s, -EINVAL, reterr, "header",
		                    "is not `time_s key` (a tab between)");
	while ((r = next_row(s, &line, reterr)) > 0) {
		struct bytes f[MAX_FIELDS];
		struct instant at;
		uint32_t key;

		if (split(line, f) != 2)
			return source_fault(s, -EINVAL, reterr, "row",
			                    "must have 2 fields (time_s key)");
		r = read_time(s, f[0], &at, reterr);
		if (r == 0)
			r = read_name(s, "key", &f[1], reterr);
		if (r < 0)
			return r;
		t->change_rows++;
		key = changed_key(t, f[1]);
		if (key == INTERN_NONE)
			continue;
		if (row == TRACE_MAX_REQUESTS)
			return source_fault(s, -E2BIG, reterr, "file", "more than %u changes",
			                    TRACE_MAX_REQUESTS);
		sorted &= !t->change.n || !instant_before(at, t->change.v[t->change.n - 1].at);
		*vec_push(&t->change) = (struct trace_change){at, key, row++};
	}
	if (!sorted)
		qsort(t->change.v, t->change.n, sizeof(*t->change.v), compare_changes);
	return r;
}

/* Sorts the changes by key; within a key they stay in time order. */
static void index_changes(struct trace *t)
{
	uint32_t n_keys = t->keys.n_ids, *first;

	t->change_first = first = mem_calloc((size_t)n_keys + 2, sizeof(*first));
	t->change_at = mem_calloc(t->change.n + 1, sizeof(*t->change_at));
	/* Counted two places up, so that after the fill first[k] is where k begins. */
	for (size_t i = 0; i < t->change.n; i++)
		first[t->change.v[i].key + 2]++;
	for (uint32_t k = 2; k <= n_keys; k++)
		first[k] += first[k - 1];
	for (size_t i = 0; i < t->change.n; i++)
		t->change_at[first[t->change.v[i].key + 1]++] = t->change.v[i].at;
}

/* One walk with a cursor per key: far cheaper than a bisection per request. */
static void find_versions(struct trace *t)
{
	uint32_t *now = mem_calloc(t->keys.n_ids, sizeof(*now));

	t->version = mem_calloc(t->at.n, sizeof(*t->version));
	for (size_t i = 0; i < t->at.n; i++) {
		uint32_t k = t->key.v[i], n = t->change_first[k + 1] - t->change_first[k];
		const struct instant *at = t->change_at + t->change_first[k];

		while (now[k] < n && at[now[k]].us <= t->at.v[i].us)
			now[k]++;
		t->version[i] = now[k];
	}
	free(now);
}

int trace_read_changes(struct trace *t, const char *path, struct fault *reterr)
{
	int r = 0;

	if (path) {
		struct source *s = source_open(path, reterr);

		if (!s)
			return -EIO;
		t->has_changes = true;
		r = read_changes(t, s, reterr);
		source_close(&s);
	}
	if (r < 0)
		return r;
	index_changes(t);
	find_versions(t);
	return 0;
}

void trace_release(struct trace *t)
{
	intern_release(&t->keys);
	intern_release(&t->endpoints);
	vec_free(&t->endpoint);
	vec_free(&t->at);
	vec_free(&t->key);
	vec_free(&t->load_us);
	vec_free(&t->bytes);
	vec_free(&t->change);
	free(t->version);
	free(t->change_at);
	free(t->change_first);
	*t = (struct trace){0};
}

uint32_t trace_version(const struct trace *t, uint32_t key, struct instant at)
{
	uint32_t lo = t->change_first[key], hi = t->change_first[key + 1];

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (t->change_at[mid].us <= at.us)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo - t->change_first[key];
}

struct instant trace_version_began(const struct trace *t, uint32_t key, uint32_t version)
{
	return t->change_at[t->change_first[key] + version - 1];
}

struct instant trace_score_from(const struct trace *t, double score_from)
{
	struct instant first = t->at.v[0];

	if (score_from > 1)
		return instant_from_s(score_from);
	return instant_add(
	        first, span_from_s(score_from * span_s(instant_diff(t->at.v[t->at.n - 1], first))));
}
