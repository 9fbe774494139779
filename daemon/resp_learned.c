/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What was learned, for whoever has a Redis client at hand: FC.WHY, FC.TTLS, FC.FORECAST, FC.PREWARM. */
#include "daemon/resp_conn.h"

#include "base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void number(struct resp_out *o, const char *name, double v)
{
	char text[40];

	resp_text(o, name);
	if (!isfinite(v)) {
		resp_null(o);
		return;
	}
	snprintf(text, sizeof(text), "%.6g", v);
	resp_text(o, text);
}

/* Instants and counts in full: six digits would tell neither a second nor one in a million. */
static void moment(struct resp_conn *c, const char *name, struct instant t)
{
	char text[40];

	snprintf(text, sizeof(text), "%.3f", (double)resp_wall_ms(c, t) / 1000);
	resp_text(c->w, name);
	resp_text(c->w, text);
}

static void whole(struct resp_out *o, const char *name, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, n);
	resp_text(o, name);
	resp_text(o, text);
}

static void text(struct resp_out *o, const char *name, struct bytes v)
{
	resp_text(o, name);
	resp_bulk(o, v);
}

enum { ROW_PAIRS = 13 };

static void row(struct resp_out *o, const struct ttl_row *r)
{
	text(o, "endpoint", r->endpoint);
	text(o, "key", resp_key_shown(r->key));
	number(o, "ttl_s", r->ttl_s);
	number(o, "advised_ttl_s", r->advised_s);
	number(o, "age_s", r->age_s);
	number(o, "change_rate_per_s", r->change_rate_per_s.mean);
	number(o, "change_rate_sd", r->change_rate_per_s.sd);
	number(o, "change_looks", r->change_rate_per_s.n);
	number(o, "request_rate_per_s", r->request_rate_per_s);
	number(o, "load_ms", r->load_ms);
	number(o, "stale_share", r->stale_share);
	number(o, "hit_ratio", r->hit_ratio);
	resp_text(o, "reason");
	resp_text(o, ttl_reason_name(r->reason));
}

/* Learns at once what is still to be learned, so that an answer is up to date. */
static void catch_up(struct resp_conn *c)
{
	while (plain_learn(resp_engine(c), resp_now(c), 100000, &c->r->d->fx))
		;
	daemon_effects(c->r->d);
}

void resp_do_fc_why(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct why y;

	(void)n;
	catch_up(c);
	if (!engine_why(resp_engine(c), resp_now(c), resp_key(c, arg[1]), &y) &&
	    !engine_why(resp_engine(c), resp_now(c), arg[1], &y)) {
		resp_null(c->w);
		return;
	}
	resp_map(c->w, ROW_PAIRS + 10);
	row(c->w, &y.row);
	number(c->w, "objective", y.objective);
	number(c->w, "measured_stale", y.measured);
	number(c->w, "price", y.price);
	number(c->w, "load_cost", y.load_cost);
	number(c->w, "activity", y.activity);
	number(c->w, "p_stale_at_end", y.p_stale_at_end);
	number(c->w, "ttl_at_half_price_s", y.ttl_at_half_price_s);
	number(c->w, "ttl_at_double_price_s", y.ttl_at_double_price_s);
	whole(c->w, "audits", y.audits);
	text(c->w, "last_error", y.last_error);
}

struct rows {
	struct resp_out *out;
	size_t n, most;
};

static void add_row(void *arg, const struct ttl_row *r)
{
	struct rows *rows = arg;

	if (rows->n >= rows->most)
		return;
	rows->n++;
	resp_map(rows->out, ROW_PAIRS);
	row(rows->out, r);
}

/* FC.TTLS [endpoint|*] [COUNT n]: endpoints, or the keys of one (or of all). */
void resp_do_fc_ttls(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct rows rows = {.out = &c->r->text, .most = 100};
	bool of_keys = n % 2 == 0, known = true;
	size_t count = of_keys ? 2 : 1; /* where COUNT stands, if it does */
	int64_t most = 100;

	if (n > count + 2 || (n > count && !resp_is(arg[count], "count"))) {
		resp_syntax(c);
		return;
	}
	if (n > count && !resp_want_int(c, arg[count + 1], &most))
		return;
	if (most < 1 || (double)most > c->r->d->setup->config->max_endpoint_rows) {
		resp_error(c->w, "ERR COUNT must be from 1 to max_endpoint_rows, %.15g",
		           c->r->d->setup->config->max_endpoint_rows);
		return;
	}
	catch_up(c);
	rows.most = (size_t)most;
	rows.out->n = 0;
	rows.out->version = c->w->version;
	if (of_keys)
		known = engine_ttls(resp_engine(c), resp_now(c),
		                    resp_is(arg[1], "*") ? bytes_of(NULL, 0) : arg[1], rows.most,
		                    add_row, &rows);
	else
		engine_endpoints(resp_engine(c), resp_now(c), add_row, &rows);
	if (!known) {
		resp_null_array(c->w);
		return;
	}
	resp_array(c->w, rows.n);
	resp_raw(c->w, rows.out->p, rows.out->n);
}

/* FC.FORECAST endpoint [step seconds] [steps n] */
void resp_do_fc_forecast(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	int64_t step = 300, steps = 12;
	struct forecast_row *f;
	bool known;

	for (size_t i = 2; i < n; i += 2) {
		int64_t *to = resp_is(arg[i], "step")    ? &step
		              : resp_is(arg[i], "steps") ? &steps
		                                         : NULL;

		if (!to || i + 1 >= n) {
			resp_syntax(c);
			return;
		}
		if (!resp_want_int(c, arg[i + 1], to))
			return;
	}
	if (step < 1 || step > 604800 || steps < 1 || steps > 10000) {
		resp_error(c->w, "ERR STEP must be from 1 to 604800 s, STEPS from 1 to 10000");
		return;
	}
	f = mem_calloc((size_t)steps, sizeof(*f));
	known = engine_forecast(resp_engine(c), resp_now(c), arg[1], SPAN_S(step), (size_t)steps, f);
	if (!known)
		resp_null_array(c->w);
	else
		resp_array(c->w, (size_t)steps);
	for (int64_t i = 0; known && i < steps; i++) {
		resp_map(c->w, 6);
		moment(c, "time_s", f[i].at);
		number(c->w, "per_s", f[i].per_s);
		number(c->w, "median", f[i].median);
		number(c->w, "lo80", f[i].lo80);
		number(c->w, "hi80", f[i].hi80);
		number(c->w, "volatility", f[i].volatility);
	}
	free(f);
}

static void on_prewarmed(struct daemon *d, void *arg, uint32_t part, const struct effect *f)
{
	struct resp_conn *c = arg;
	size_t before;

	(void)d;
	(void)part;
	if (f->reply.count == TICKET_MORE)
		return;
	c->tickets--;
	c->waits = false;
	resp_conn_ready(c);
	if (c->dead)
		return;
	before = c->w->n;
	if (f->reply.status == REPLY_BUSY)
		resp_error(c->w, "ERR too many prewarms wait already");
	else
		resp_number(c->w, (int64_t)f->reply.count);
	resp_late(c, before);
}

/* FC.PREWARM pattern [COUNT n]: how many loads it starts. */
void resp_do_fc_prewarm(struct resp_conn *c, const struct bytes *arg, size_t n)
{
	struct input in = {.kind = INPUT_PREWARM, .prewarm.pattern = arg[1]};
	int64_t most = 0;

	if (n != 2 && !(n == 4 && resp_is(arg[2], "count"))) {
		resp_syntax(c);
		return;
	}
	if (n == 4 && (!resp_want_int(c, arg[3], &most) || most < 0 || most > 10000000)) {
		if (resp_int(arg[3], &most))
			resp_error(c->w, "ERR COUNT must be from 0 to 10000000");
		return;
	}
	in.prewarm.max_keys = (uint32_t)most;
	c->tickets++;
	c->waits = true;
	in.ticket = daemon_ticket(c->r->d, on_prewarmed, c, 0);
	daemon_input(c->r->d, &in);
}
