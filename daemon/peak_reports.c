/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/peak_reports.h"

#include "base/mem.h"
#include "base/vec.h"
#include "daemon/learned.h"
#include "proto/row.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char KIND[] = "report";

/* The counts of a report, as they are kept and told. */
#define COUNTS(X) X(wanted) X(warm) X(planned) X(late) X(loads)

struct peak {
	char *name; /* of the schedule, or of what was learned */
	struct peak_report report;
	uint32_t slot; /* in the state file */
};

struct peak_reports {
	struct learned *learned;
	VEC(struct peak) list;
};

/* Drops the oldest beyond what is to be kept. */
static void trim(struct peak_reports *p, size_t most)
{
	size_t over = p->list.n > most ? p->list.n - most : 0;

	for (size_t i = 0; i < over; i++)
		free(p->list.v[i].name);
	if (over)
		memmove(p->list.v, p->list.v + over, (p->list.n - over) * sizeof(*p->list.v));
	p->list.n -= over;
}

/* -- In the state file ------------------------------------------------------------------------- */

static void keep(struct peak_reports *p, const struct peak *x)
{
	const struct peak_report *r = &x->report;
	double at[2] = {instant_s(r->at), instant_is_set(r->began) ? instant_s(r->began) : -1};
	double counts[] = {
#define X(name) (double)r->name,
	        COUNTS(X)
#undef X
	};
	double skipped[PREWARM_SKIPS], source = r->source;
	char slot[16];
	struct record rec = {.kind = KIND,
	                     .endpoint = bytes_str(x->name),
	                     .field = {{"times", at, 2},
	                               {"counts", counts, sizeof(counts) / sizeof(*counts)},
	                               {"skipped", skipped, PREWARM_SKIPS},
	                               {"source", &source, 1}},
	                     .n_fields = 4};

	for (int i = 0; i < PREWARM_SKIPS; i++)
		skipped[i] = (double)r->skipped[i];
	snprintf(slot, sizeof(slot), "%u", (unsigned)x->slot);
	rec.name = bytes_str(slot);
	learned_put(p->learned, &rec);
}

static uint64_t count_of(double v)
{
	return v >= 0 && v < 1e15 ? (uint64_t)v : 0;
}

/* The report of a record; false: it is not whole. */
static bool report_of(const struct record *rec, struct peak_report *ret)
{
	const struct record_field *at = NULL, *counts = NULL, *skipped = NULL, *source = NULL;
	size_t k = 0;

	for (size_t i = 0; i < rec->n_fields; i++) {
		const struct record_field *f = &rec->field[i];

		at = !strcmp(f->name, "times") && f->n == 2 ? f : at;
		counts = !strcmp(f->name, "counts") && f->n == 5 ? f : counts;
		skipped = !strcmp(f->name, "skipped") && f->n <= PREWARM_SKIPS ? f : skipped;
		source = !strcmp(f->name, "source") && f->n == 1 ? f : source;
	}
	if (!rec->endpoint.n || !at || !counts || !skipped || !source ||
	    !(source->v[0] >= 0 && source->v[0] < PREFETCH_SOURCES))
		return false;
	*ret = (struct peak_report){.source = (enum prefetch_source)source->v[0],
	                            .at = instant_from_s(at->v[0]),
	                            .began =
	                                    at->v[1] < 0 ? INSTANT_NONE : instant_from_s(at->v[1])};
#define X(name) ret->name = count_of(counts->v[k++]);
	COUNTS(X)
#undef X
	for (size_t i = 0; i < skipped->n; i++)
		ret->skipped[i] = count_of(skipped->v[i]);
	return true;
}

static void restore(void *arg, const struct record *rec)
{
	struct peak_reports *p = arg;
	struct peak x = {.slot = (uint32_t)strtoul((const char *)rec->name.p, NULL, 10)};
	size_t i;

	if (!report_of(rec, &x.report))
		return;
	x.name = mem_dup(rec->endpoint.p, rec->endpoint.n);
	/* the file gives them in no order */
	for (i = p->list.n; i && p->list.v[i - 1].report.at.us > x.report.at.us; i--)
		;
	vec_push(&p->list);
	memmove(p->list.v + i + 1, p->list.v + i, (p->list.n - 1 - i) * sizeof(*p->list.v));
	p->list.v[i] = x;
}

/* -- The list ---------------------------------------------------------------------------------- */

struct peak_reports *peak_reports_new(struct learned *l, size_t most)
{
	struct peak_reports *p = mem_calloc(1, sizeof(*p));

	p->learned = l;
	learned_give(l, KIND, restore, p);
	trim(p, most);
	return p;
}

void peak_reports_free(struct peak_reports **pp)
{
	struct peak_reports *p = *pp;

	if (!p)
		return;
	trim(p, 0);
	vec_free(&p->list);
	free(p);
	*pp = NULL;
}

/* The patterns of one schedule come one after the other, for the same instant. */
static struct peak *find(struct peak_reports *p, struct bytes name, struct instant at)
{
	for (size_t i = p->list.n; i-- && p->list.v[i].report.at.us >= at.us - 1000000;)
		if (bytes_equal(bytes_str(p->list.v[i].name), name) &&
		    p->list.v[i].report.at.us == at.us)
			return &p->list.v[i];
	return NULL;
}

static void add_up(struct peak_report *sum, const struct peak_report *r)
{
#define X(name) sum->name += r->name;
	COUNTS(X)
#undef X
	for (int i = 0; i < PREWARM_SKIPS; i++)
		sum->skipped[i] += r->skipped[i];
	if (instant_is_set(r->began) &&
	    (!instant_is_set(sum->began) || instant_before(r->began, sum->began)))
		sum->began = r->began;
}

struct peak_report peak_reports_add(struct peak_reports *p, struct bytes name,
                                    const struct peak_report *r, size_t most)
{
	struct peak *x = find(p, name, r->at);
	struct peak_report known;

	if (x) {
		add_up(&x->report, r);
	} else {
		uint32_t last = p->list.n ? p->list.v[p->list.n - 1].slot : UINT32_MAX;

		x = vec_push(&p->list);
		*x = (struct peak){.name = mem_dup(name.p, name.n),
		                   .report = *r,
		                   .slot = (last + 1) % (uint32_t)most};
	}
	keep(p, x);
	known = x->report;
	trim(p, most);
	return known;
}

const struct peak_report *peak_reports_last(const struct peak_reports *p, struct bytes name)
{
	for (size_t i = p->list.n; i--;)
		if (bytes_equal(bytes_str(p->list.v[i].name), name))
			return &p->list.v[i].report;
	return NULL;
}

/* -- Answers ----------------------------------------------------------------------------------- */

/* row_peak, and what that cannot say. */
static void write_one(const struct peak *x, struct pack *w)
{
	const struct peak_report *r = &x->report;
	struct row_peak row = {.name = bytes_str(x->name),
	                       .time_s = r->at,
	                       .wanted = r->wanted,
	                       .warm = r->warm,
	                       .left = r->skipped[SKIP_VOLATILE]};
	uint32_t reasons = 0;

	for (int i = 0; i < PREWARM_SKIPS; i++)
		reasons += r->skipped[i] > 0;
	pack_map(w, (uint32_t)row_peak.n + 6);
	for (size_t i = 0; i < row_peak.n; i++)
		row_write_field(w, &row_peak.field[i], &row);
	pack_text(w, "source");
	pack_text(w, prefetch_source_name(r->source));
	pack_text(w, "began_s");
	pack_instant(w, r->began);
	pack_text(w, "planned");
	pack_uint(w, r->planned);
	pack_text(w, "late");
	pack_uint(w, r->late);
	pack_text(w, "loads");
	pack_uint(w, r->loads);
	pack_text(w, "skipped");
	pack_map(w, reasons);
	for (int i = 0; i < PREWARM_SKIPS; i++)
		if (r->skipped[i]) {
			pack_text(w, prewarm_skip_name((enum prewarm_skip)i));
			pack_uint(w, r->skipped[i]);
		}
}

static bool is_of(const struct peak *x, struct bytes name)
{
	return !name.n || bytes_equal(name, bytes_str(x->name));
}

size_t peak_reports_write(const struct peak_reports *p, struct bytes name, size_t max,
                          struct pack *w)
{
	size_t n = 0, from = p->list.n;

	while (from && n < max)
		n += is_of(&p->list.v[--from], name);
	pack_array(w, (uint32_t)n);
	for (size_t i = from; i < p->list.n && n; i++)
		if (is_of(&p->list.v[i], name))
			write_one(&p->list.v[i], w);
	return n;
}
