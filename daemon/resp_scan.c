/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Commands about many keys: SCAN, KEYS, RANDOMKEY, DBSIZE, FLUSHDB.
 *
 * A cursor of SCAN is a key's number, which a key keeps while it is remembered: so a key that is
 * there from the start of a scan to its end is given exactly once. KEYS walks the same numbers, a
 * slice in each turn of the loop, while its connection waits and all others are served.
 */
#include "daemon/resp_conn.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keys looked at in one turn: half a millisecond. */
#define KEYS_PER_TURN 1024

/* Keys that those of one transaction look at in all: it is one turn. */
#define KEYS_IN_EXEC 65536

/* Most keys that one SCAN looks at for each that it was asked for: few may be of its database. */
#define SCAN_PER_KEY 16
#define SCAN_MOST    65536

struct resp_job {
	struct bytes pattern; /* ours */
	uint32_t next;
	size_t found;
	struct resp_out keys; /* as RESP */
};

/* -- Patterns --------------------------------------------------------------------------------- */

static int fold_char(unsigned char ch, bool fold)
{
	return fold && ch >= 'A' && ch <= 'Z' ? ch + 32 : ch;
}

/* A class such as [a-z^\]]; gives what comes behind it. p is behind the '['. */
static const unsigned char *in_class(const unsigned char *p, const unsigned char *end,
                                     unsigned char ch, bool fold, bool *ret)
{
	bool negated = p < end && *p == '^', match = false;
	int x = fold_char(ch, fold);

	p += negated;
	for (; p < end && *p != ']'; p++) {
		if (*p == '\\' && p + 1 < end) {
			p++;
			match |= *p == ch;
		} else if (p + 2 < end && p[1] == '-') {
			int lo = fold_char(p[0], fold), hi = fold_char(p[2], fold);

			if (lo > hi) {
				int t = lo;

				lo = hi;
				hi = t;
			}
			match |= x >= lo && x <= hi;
			p += 2;
		} else {
			match |= fold_char(*p, fold) == x;
		}
	}
	*ret = match != negated;
	return p < end ? p + 1 : p;
}

/*
 * One way back is enough: after a later star an earlier one cannot do better. So the work is bounded
 * by pattern times text.
 */
bool resp_glob(struct bytes pattern, struct bytes text, bool fold)
{
	const unsigned char *p = pattern.p, *pe = p + pattern.n, *s = text.p, *se = s + text.n;
	const unsigned char *star = NULL, *back = NULL, *next;
	bool ok;

	while (s < se || p < pe) {
		if (p < pe && *p == '*') {
			star = ++p;
			back = s;
			continue;
		}
		if (p < pe && s < se) {
			if (*p == '?') {
				ok = true;
				next = p + 1;
			} else if (*p == '[') {
				next = in_class(p + 1, pe, *s, fold, &ok);
			} else if (*p == '\\' && p + 1 < pe) {
				ok = fold_char(p[1], fold) == fold_char(*s, fold);
				next = p + 2;
			} else {
				ok = fold_char(*p, fold) == fold_char(*s, fold);
				next = p + 1;
			}
			if (ok) {
				p = next;
				s++;
				continue;
			}
		}
		if (!star || back >= se)
			return false;
		p = star;
		s = ++back;
	}
	return true;
}

static bool is_all(struct bytes pattern)
{
	return pattern.n == 1 && *(const char *)pattern.p == '*';
}

/* -- KEYS ------------------------------------------------------------------------------------- */

void resp_job_free(struct resp_conn *c)
{
	if (!c->job)
		return;
	resp_out_release(&c->job->keys);
	free((void *)(uintptr_t)c->job->pattern.p);
	free(c->job);
	c->job = NULL;
	c->r->n_jobs--;
}

/* Looks at the next keys, at most so many; true when all have been looked at. */
static bool keys_slice(struct resp_conn *c, struct resp_job *j, uint32_t most)
{
	const struct engine *e = resp_engine(c);
	uint32_t end = plain_ids(e);
	struct plain_value v;
	struct bytes key;

	for (; j->next < end && most; j->next++, most--) {
		if (!plain_at(e, resp_now(c), j->next, c->db, &key, &v))
			continue;
		key = resp_key_shown(key);
		if (!is_all(j->pattern) && !resp_glob(j->pattern, key, false))
			continue;
		resp_bulk(&j->keys, key);
		j->found++;
	}
	return j->next >= end;
}

static void keys_done(struct resp_conn *c, struct resp_job *j)
{
	resp_array(c->w, j->found);
	resp_raw(c->w, j->keys.p, j->keys.n);
}

void resp_job_step(struct resp_conn *c)
{
	struct resp_job *j = c->job;
	bool done = keys_slice(c, j, KEYS_PER_TURN);
	size_t before = c->w->n;

	if (j->keys.n > (size_t)c->r->set.output_bytes) {
		resp_error(c->w, "ERR more keys than redis_output_bytes has room for: use SCAN");
		done = true;
	} else if (done) {
		keys_done(c, j);
	}
	if (!done) {
		resp_conn_ready(c);
		return;
	}
	resp_late(c, before);
	resp_job_free(c);
	c->waits = false;
}

void resp_do_keys(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct resp_job all = {.pattern = arg[1]};

	(void)n;
	/* in a transaction nothing may happen in between */
	if (c->in_exec) {
		c->looked += plain_ids(resp_engine(c));
		if (c->looked > KEYS_IN_EXEC) {
			resp_error(c->w,
			           "ERR KEYS looks at no more than %d keys in a transaction, as all "
			           "others wait for it: use SCAN, or KEYS outside of it",
			           KEYS_IN_EXEC);
			return;
		}
	}
	/* and few keys need no turns */
	if (c->in_exec || plain_ids(resp_engine(c)) <= KEYS_PER_TURN) {
		keys_slice(c, &all, UINT32_MAX);
		keys_done(c, &all);
		resp_out_release(&all.keys);
		return;
	}
	c->job = mem_calloc(1, sizeof(*c->job));
	c->job->pattern = bytes_of(mem_dup(arg[1].p, arg[1].n), arg[1].n);
	c->r->n_jobs++;
	c->waits = true;
	resp_conn_ready(c);
}

/* -- SCAN ------------------------------------------------------------------------------------- */

static bool cursor_of(struct bytes arg, uint64_t *ret)
{
	const char *s = arg.p;

	if (!arg.n || arg.n > 20)
		return false;
	*ret = 0;
	for (size_t i = 0; i < arg.n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		*ret = *ret * 10 + (uint64_t)(s[i] - '0');
	}
	return true;
}

void resp_do_scan(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct bytes pattern = bytes_str("*"), type = bytes_str("string"), key;
	const struct engine *e = resp_engine(c);
	struct resp_out *found = &c->r->text;
	int64_t count = 10, looks;
	uint64_t cursor, end = plain_ids(e);
	struct plain_value v;
	size_t n_found = 0;
	char text[24];

	if (!cursor_of(arg[1], &cursor)) {
		resp_error(c->w, "ERR invalid cursor");
		return;
	}
	for (size_t i = 2; i < n; i += 2) {
		if (i + 1 < n && resp_is(arg[i], "count")) {
			if (!resp_want_int(c, arg[i + 1], &count))
				return;
			if (count < 1) {
				resp_syntax(c);
				return;
			}
		} else if (i + 1 < n && resp_is(arg[i], "match")) {
			pattern = arg[i + 1];
		} else if (i + 1 < n && resp_is(arg[i], "type")) {
			type = arg[i + 1];
		} else {
			resp_syntax(c);
			return;
		}
	}
	found->n = 0;
	found->version = c->w->version;
	looks = count < SCAN_MOST / SCAN_PER_KEY ? count * SCAN_PER_KEY : SCAN_MOST;
	for (; cursor < end && count > 0 && looks > 0; cursor++, looks--) {
		if (!plain_at(e, resp_now(c), (uint32_t)cursor, c->db, &key, &v))
			continue;
		count--;
		key = resp_key_shown(key);
		if ((!is_all(pattern) && !resp_glob(pattern, key, false)) ||
		    !resp_is(type, "string"))
			continue;
		resp_bulk(found, key);
		n_found++;
	}
	resp_array(c->w, 2);
	snprintf(text, sizeof(text), "%llu", cursor < end ? (unsigned long long)cursor : 0);
	resp_text(c->w, text);
	resp_array(c->w, n_found);
	resp_raw(c->w, found->p, found->n);
}

/* -- The rest --------------------------------------------------------------------------------- */

void resp_do_randomkey(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct bytes key;

	(void)arg;
	(void)n;
	if (plain_random(resp_engine(c), resp_now(c), c->db, &key))
		resp_bulk(c->w, resp_key_shown(key));
	else
		resp_null(c->w);
}

void resp_do_dbsize(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	(void)arg;
	(void)n;
	resp_number(c->w, (int64_t)plain_count(resp_engine(c), c->db));
}

void resp_flush_step(struct resp *r)
{
	if (plain_flush_step(r->d->engine, KEYS_PER_TURN))
		return;
	r->flushing = false;
	for (struct resp_conn *c = r->first; c; c = c->next) {
		size_t before = c->w->n;

		if (c->held_back)
			resp_conn_ready(c);
		if (!c->flushes)
			continue;
		c->flushes = false;
		if (!c->holds)
			resp_ok(c);
		c->holds = c->waits = c->owed != NULL;
		resp_late(c, before);
		resp_conn_ready(c);
	}
}

bool resp_is_flush(const struct resp_command *k)
{
	return k->fn == resp_do_flushdb || k->fn == resp_do_flushall;
}

/*
 * All is gone at once for those who ask here; the reply comes when it is also gone from the store,
 * for those who read that without asking. Nobody else waits for it.
 */
static void flush(struct resp_conn *c, const struct bytes *arg, size_t n, unsigned space)
{
	struct engine *e = resp_engine(c);

	if (n > 2 || (n == 2 && !resp_is(arg[1], "async") && !resp_is(arg[1], "sync"))) {
		resp_syntax(c);
		return;
	}
	plain_flush(e, space);
	if (plain_ids(e) <= KEYS_PER_TURN) {
		plain_flush_step(e, UINT32_MAX);
		resp_ok(c);
		return;
	}
	if (c->in_exec) { /* the transaction goes on; what it replies waits */
		resp_ok(c);
		c->holds = true;
	}
	c->flushes = c->waits = c->r->flushing = true;
}

void resp_do_flushdb(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	flush(c, arg, n, c->db);
}

void resp_do_flushall(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	flush(c, arg, n, PLAIN_SPACES);
}
