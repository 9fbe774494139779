/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * /api/v1: the answers of the protocol as JSON, the same that `forecache ... --json` prints. What may
 * look at many keys or endpoints goes step by step (engine/survey.h), all else is one question.
 */
#include "daemon/web_answer.h"

#include "base/mem.h"
#include "daemon/query.h"
#include "engine/survey.h"
#include "proto/request.h"
#include "proto/status.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Steps of a forecast in one question: each costs as much as a few looks. */
#define FORECAST_STEPS 256

/* What is wrong, in words: a name as text_quoted has it, and a sentence around it. */
#define TEXT_MAX 300

static struct instant now(const struct web_answer *a)
{
	return clock_now(&a->d->clock);
}

/* -- Lists that are made in steps -------------------------------------------------------------- */

struct rows {
	struct web_answer *a;
	struct pack pack;
	struct survey_hot hot;
	uint32_t next; /* endpoint */
	size_t n, max;
	bool keys;
};

static void rows_release(void *state)
{
	struct rows *r = state;

	survey_hot_release(&r->hot);
	pack_release(&r->pack);
	free(r);
}

static void put_row(void *arg, const struct ttl_row *row)
{
	struct rows *r = arg;

	if (r->n == r->max || r->a->status != 200)
		return;
	pack_reset(&r->pack);
	query_write_ttl(&r->pack, row);
	web_puts(&r->a->text, r->n++ ? ",\n" : "\n");
	web_put_json(r->a, &r->pack);
}

static bool rows_step(struct web_answer *a)
{
	struct rows *r = a->state;
	struct engine *e = a->d->engine;
	bool more;

	if (r->keys) {
		more = survey_hot_step(&r->hot, e, now(a), WEB_WORK, put_row, r);
	} else {
		r->next = survey_rows(e, now(a), r->next, WEB_WORK, put_row, r);
		more = r->next != SURVEY_END && r->n < r->max;
	}
	if (!more && a->status == 200)
		web_puts(&a->text, r->n ? "\n]\n" : "]\n");
	return more && a->status == 200;
}

static struct rows *rows_new(struct web_answer *a, uint32_t max)
{
	struct rows *r = mem_calloc(1, sizeof(*r));

	r->a = a;
	r->max = max;
	pack_init(&r->pack, 1u << 20);
	a->state = r;
	a->release = rows_release;
	a->step = rows_step;
	web_puts(&a->text, "[");
	return r;
}

static uint32_t most_rows(const struct web_answer *a)
{
	return (uint32_t)a->d->setup->config->http_rows;
}

static void ttls_start(struct web_answer *a)
{
	uint32_t most = most_rows(a), max = most < 100 ? most : 100;
	struct bytes endpoint = web_param(a, "endpoint");
	struct survey_hot hot;
	char text[TEXT_MAX];
	struct rows *r;

	if (!web_param_count(a, "max", 0, most, &max))
		return;
	if (!survey_hot_start(&hot, a->d->engine, endpoint, max)) {
		query_no_endpoint(a->d, endpoint, text, sizeof(text));
		web_fail(a, 404, "not_found", "%s", text);
		return;
	}
	r = rows_new(a, max);
	r->keys = true;
	r->hot = hot;
}

static void endpoints_start(struct web_answer *a)
{
	uint32_t most = most_rows(a), max = most;

	if (web_param_count(a, "max", 0, most, &max))
		rows_new(a, max);
}

/* -- One question ------------------------------------------------------------------------------ */

static unsigned http_status(int status)
{
	switch (status) {
	case STATUS_BAD_REQUEST:
	case STATUS_UNKNOWN_OP:
		return 400;
	case STATUS_DENIED:
		return 403;
	case STATUS_NOT_FOUND:
		return 404;
	case STATUS_BUSY:
	case STATUS_UNAVAILABLE:
		return 503;
	default:
		return 500;
	}
}

static void ask(struct web_answer *a, struct request *q)
{
	char text[TEXT_MAX] = "";
	struct pack w;
	int status;

	pack_init(&w, (size_t)a->d->setup->config->messages.max_frame_bytes);
	status = query_answer(a->d, q, &w, text, sizeof(text));
	if (status != STATUS_OK)
		web_fail(a, http_status(status), status_name(status), "%s",
		         *text ? text : status_text(status));
	else if (web_put_json(a, &w))
		web_puts(&a->text, "\n");
	pack_release(&w);
	request_release(q);
}

static struct request question(enum op op)
{
	struct request q;

	request_init(&q);
	q.op = op;
	return q;
}

static void stats_start(struct web_answer *a)
{
	struct request q = question(OP_STATS);

	ask(a, &q);
}

static void health_start(struct web_answer *a)
{
	struct request q = question(OP_HEALTH);

	ask(a, &q);
}

static bool must_be_given(struct web_answer *a, const char *name, struct bytes *ret)
{
	*ret = web_param(a, name);
	if (!ret->n)
		web_fail(a, 400, "bad_request", "%s: must be given", name);
	return ret->n;
}

static void why_start(struct web_answer *a)
{
	struct request q = question(OP_WHY);

	if (must_be_given(a, "name", &q.key))
		ask(a, &q);
}

static void forecast_start(struct web_answer *a)
{
	struct request q = question(OP_FORECAST);
	double step_s = 60;
	uint32_t most = most_rows(a);

	most = most < FORECAST_STEPS ? most : FORECAST_STEPS;
	q.ahead.steps = 60;
	if (!must_be_given(a, "endpoint", &q.endpoint) ||
	    !web_param_number(a, "step_s", 1, 86400, &step_s) ||
	    !web_param_count(a, "steps", 1, most, &q.ahead.steps))
		return;
	q.ahead.step = span_from_s(step_s);
	ask(a, &q);
}

static void schedules_start(struct web_answer *a)
{
	struct request q = question(OP_SCHEDULE_LIST);

	ask(a, &q);
}

static void next_start(struct web_answer *a)
{
	struct request q = question(OP_SCHEDULE_NEXT);

	q.key = web_param(a, "name");
	q.ahead.steps = 10;
	if (web_param_count(a, "steps", 1, most_rows(a), &q.ahead.steps))
		ask(a, &q);
}

static void report_start(struct web_answer *a)
{
	struct request q = question(OP_SCHEDULE_REPORT);

	q.key = web_param(a, "name");
	q.list.max = 20;
	if (web_param_count(a, "max", 1, most_rows(a), &q.list.max))
		ask(a, &q);
}

/* -- What there is ----------------------------------------------------------------------------- */

static void index_start(struct web_answer *a)
{
	a->type = "text/plain; charset=utf-8";
	web_puts(&a->text, "forecached\n\n");
	for (const struct web_route *r = web_routes; r->path; r++)
		web_printf(&a->text, "%-28s %s%s%s%s\n", r->path, r->help, *r->params ? " (" : "",
		           r->params, *r->params ? ")" : "");
}

const struct web_route web_routes[] = {
        {"/", "", "what there is", index_start},
        {"/metrics", "", "for Prometheus", web_metrics_start},
        {"/livez", "", "200 while the daemon runs", web_livez_start},
        {"/readyz", "warm schedule", "200 when it serves, or is warm enough", web_readyz_start},
        {"/healthz", "warm schedule", "the same", web_readyz_start},
        {"/api/v1/ttls", "endpoint max", "TTLs of the hottest keys", ttls_start},
        {"/api/v1/endpoints", "max", "a row for each endpoint", endpoints_start},
        {"/api/v1/why", "name", "why a key's or endpoint's TTL is what it is", why_start},
        {"/api/v1/forecast", "endpoint step_s steps", "requests that are expected", forecast_start},
        {"/api/v1/stats", "", "counts of all parts", stats_start},
        {"/api/v1/health", "", "state of the daemon", health_start},
        {"/api/v1/schedules", "", "schedules, and when each is due", schedules_start},
        {"/api/v1/schedules/next", "name steps", "their next instants", next_start},
        {"/api/v1/schedules/report", "name max", "how warm it was at past ones", report_start},
        {NULL, NULL, NULL, NULL},
};
