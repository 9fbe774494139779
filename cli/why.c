/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * why: explains a TTL to somebody who knows caching but no statistics. Each line answers one question
 * and says from how much evidence; a line about what is not known yet says that instead of a number.
 */
#include "cli/cli.h"

#include "cli/ask.h"
#include "cli/human.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/term.h"
#include "cli/text.h"
#include "proto/row.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Why the TTL is what it is, by the engine's name of the reason, and what would change it. */
static const struct reason {
	const char *name, *sentence, *remedy;
} reasons[] = {
	{ "planned",
	  "one more second of freshness costs as many loads here as at every other key of its class",
	  "no limit applies; max_stale sets how fresh, the price follows from it" },
	{ "min_ttl", "fresher would be better, but min_ttl forbids a shorter TTL", "lower min_ttl" },
	{ "max_age", "it hardly changes; max_age forbids a longer TTL", "raise max_age" },
	{ "max_stale_key", "the average would allow longer, but no single key may be stale that often: max_stale_key",
	  "raise max_stale_key" },
	{ "client", "the app's own TTL stands (mode obey or advise, or nothing to load and compare with)",
	  "ttl: learn for this endpoint, and an origin, loader or change events for it" },
	{ "static", "static_ttl: held out to compare with, learning paused, or nothing known yet",
	  "static_ttl, or wait until it has been loaded a few times" },
	{ "negative", "the last answer was an error or \"no such thing\": negative_ttl, doubling while it lasts",
	  "a good answer of the origin" },
	{ "pushed", "change events say when the value ends, so it can be kept until one comes", "raise max_age" },
};

static const struct reason *find_reason(struct bytes name)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (bytes_equal(name, bytes_str(reasons[i].name)))
			return &reasons[i];
	return NULL;
}

static void label(const char *name)
{
	printf("  %s%-12s%s ", term_on(TERM_DIM), name, term_off(TERM_DIM));
}

__attribute__((format(printf, 2, 3))) static void line(const char *name, const char *fmt, ...)
{
	va_list ap;

	label(name);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static bool known(struct estimate e)
{
	return e.n > 0 && isfinite(e.mean);
}

/* "14 min 3 s ago", by the daemon's clock. */
static const char *ago(char *buf, struct instant t, struct instant now)
{
	char span[HUMAN_MAX - 8];

	if (!instant_is_set(t))
		return "never";
	snprintf(buf, HUMAN_MAX, "%s ago", human_span(span, fmax(0, span_s(instant_diff(now, t)))));
	return buf;
}

static void head(const char *name, const struct row_why *w)
{
	char ttl[HUMAN_MAX], *mode = text_printable(w->mode), *endpoint = text_printable(w->endpoint);

	printf("%s%s%s  TTL %s%s%s", term_on(TERM_BOLD), name, term_off(TERM_BOLD), term_on(TERM_GOOD),
	       human_span(ttl, w->ttl_s), term_off(TERM_GOOD));
	if (w->is_endpoint)
		printf(" (median of its cached keys, weighted by requests; mode %s)\n", mode);
	else
		printf(" (endpoint %s, mode %s)\n", endpoint, mode);
	free(mode);
	free(endpoint);
}

static void held(const struct row_why *w, struct instant now)
{
	char a[HUMAN_MAX], b[HUMAN_MAX], c[HUMAN_MAX];
	double fresh_s = instant_is_set(w->soft) ? span_s(instant_diff(w->soft, now)) : NAN;
	double hard_s = instant_is_set(w->hard) ? span_s(instant_diff(w->hard, now)) : NAN;

	if (w->is_endpoint)
		return;
	if (!w->resident)
		line("cached", "no value is held; the TTL is what the next one would get");
	else if (fresh_s >= 0)
		line("cached", "%s old, fresh for another %s; never served after %s from now", human_span(a, w->age_s),
		     human_span(b, fresh_s), human_span(c, hard_s));
	else
		line("cached", "%s old, no longer fresh since %s; never served after %s from now", human_span(a, w->age_s),
		     human_span(b, -fresh_s), human_span(c, hard_s));
}

static void changes(const struct row_why *w, struct instant now)
{
	char rate[HUMAN_MAX], every[HUMAN_MAX], lo_text[HUMAN_MAX], hi_text[HUMAN_MAX], n[HUMAN_MAX], when[HUMAN_MAX];
	struct estimate e = w->change_rate_mean;
	double lo, hi;

	if (!known(e)) {
		if (w->pool_n > 0)
			line("changes", "not seen yet; %s keys of its endpoint change %s on average", human_number(n, w->pool_n),
			     human_rate(rate, w->pool_mean));
		else
			line("changes", "not known yet: it takes two loads to see a change");
		return;
	}
	human_interval90(e, &lo, &hi);
	line("changes", "%s, once in %s (90 %% sure: %s to %s), from %s looks; last seen to change %s",
	     human_rate(rate, e.mean), human_span(every, 1 / e.mean), human_rate(lo_text, lo), human_rate(hi_text, hi),
	     human_number(n, e.n), ago(when, w->last_changed, now));
}

static void time_of_day(const struct row_why *w)
{
	char factor[HUMAN_MAX], rate[HUMAN_MAX], pool[HUMAN_MAX], n[HUMAN_MAX];

	if (!isfinite(w->shape_now))
		return;
	label("time of day");
	if (fabs(w->shape_now - 1) < 0.05)
		printf("it changes now as often as on average over the week");
	else
		printf("it changes now %s times as often as on average over the week: %s", human_number(factor, w->shape_now),
		       human_rate(rate, w->change_rate_per_s.mean));
	if (!w->is_endpoint && w->pool_n > 0 && known(w->change_rate_mean))
		printf("; its endpoint's %s keys: %s", human_number(n, w->pool_n), human_rate(pool, w->pool_mean));
	putchar('\n');
}

static void requests(const struct row_why *w)
{
	char rate[HUMAN_MAX], factor[HUMAN_MAX], mase[HUMAN_MAX], hits[HUMAN_MAX];
	double r = known(w->request_rate) ? w->request_rate.mean : w->request_rate_per_s;

	label("requests");
	printf("%s expected in the next minute", human_rate(rate, r));
	if (isfinite(w->demand_shape_now))
		printf(" (%s times its average)", human_number(factor, w->demand_shape_now));
	printf("; %" PRIu64 " so far", w->requests);
	if (isfinite(w->hit_ratio))
		printf(", %s hits", human_share(hits, w->hit_ratio));
	if (isfinite(w->forecast_mase))
		printf("; forecast error %s of \"same as last week\"", human_number(mase, w->forecast_mase));
	putchar('\n');
}

static void cost(const struct row_why *w, struct instant now)
{
	char ms[HUMAN_MAX], used[HUMAN_MAX], limit[HUMAN_MAX], when[HUMAN_MAX];

	label("cost");
	if (isfinite(w->load_ms))
		printf("a load takes %s", human_span(ms, w->load_ms / 1000));
	else
		printf("how long a load takes is not known yet");
	printf("; %" PRIu64 " loads, the last %s", w->loads, ago(when, w->last_load, now));
	if (isfinite(w->origin_rate_limit))
		printf("; background loads of its origin: %s per s of %s", human_number(used, w->origin_rate_used),
		       human_number(limit, w->origin_rate_limit));
	putchar('\n');
}

static void freshness(const struct row_why *w)
{
	char objective[HUMAN_MAX], measured[HUMAN_MAX], sd[HUMAN_MAX], price[HUMAN_MAX];
	const char *style = term_on(w->measured > w->objective ? TERM_WARN : TERM_GOOD);

	if (!isfinite(w->objective))
		return;
	label("freshness");
	printf("at most %s of requests may be stale", human_share(objective, w->objective));
	if (isfinite(w->measured))
		printf("; measured %s%s%s \u00b1 %s (%" PRIu64 " of %" PRIu64 " audits stale)", style,
		       human_share(measured, w->measured), term_off(TERM_GOOD), human_share(sd, w->measured_sd),
		       w->audits_stale, w->audits);
	else
		printf("; not measured yet (%" PRIu64 " audits)", w->audits);
	if (isfinite(w->price))
		printf("; so a stale answer is priced at %s loads", human_number(price, w->price));
	putchar('\n');
}

static void decision(const struct row_why *w, bool brief)
{
	const struct reason *reason = find_reason(w->reason);
	char *name = text_printable(w->reason), p[HUMAN_MAX];

	label("decision");
	printf("%s", reason ? reason->sentence : name);
	if (isfinite(w->p_stale_at_end))
		printf("; replaced by its end with probability %s", human_share(p, w->p_stale_at_end));
	printf("%s\n", w->refresh_ahead ? "; refreshed ahead, as requests will come" : "");
	if (!brief)
		line("limit", "%s%s%s", name, reason ? ": to change it, " : "", reason ? reason->remedy : "");
	free(name);
}

static void what_if(const struct row_why *w)
{
	char half[HUMAN_MAX], dbl[HUMAN_MAX], now[HUMAN_MAX];

	if (isfinite(w->ttl_at_half_price_s) && isfinite(w->ttl_at_double_price_s))
		line("what if", "stale answers at half the price: TTL %s; at twice the price: %s (now %s)",
		     human_span(half, w->ttl_at_half_price_s), human_span(dbl, w->ttl_at_double_price_s),
		     human_span(now, w->ttl_s));
}

static void trouble(const struct row_why *w)
{
	char *text;

	if (w->paused.n) {
		text = text_printable(w->paused);
		line("paused", "%s%s%s; `forecache resume` ends it", term_on(TERM_WARN), text, term_off(TERM_WARN));
		free(text);
	}
	if (w->last_error.n) {
		text = text_printable(w->last_error);
		line("last error", "%s%s%s", term_on(TERM_BAD), text, term_off(TERM_BAD));
		free(text);
	}
}

static void explain(const char *name, const struct row_why *w, struct instant now, bool brief)
{
	head(name, w);
	if (!brief)
		held(w, now);
	changes(w, now);
	if (!brief)
		time_of_day(w);
	requests(w);
	if (!brief)
		cost(w, now);
	freshness(w);
	decision(w, brief);
	if (!brief)
		what_if(w);
	if (!brief)
		trouble(w);
}

/* The daemon's clock, which may run faster than ours or stand elsewhere. */
static int daemon_now(struct instant *ret)
{
	struct proto_error err;
	struct row_hello hello;
	struct request r;
	struct answer a;
	int status;

	request_init(&r);
	r.op = OP_HELLO;
	r.hello.client = bytes_str("forecache");
	status = ask(&r, &a);
	request_release(&r);
	if (status)
		return status;
	if (row_read(&row_hello, a.reply.result, &hello, &err))
		status = cli_error("hello: the answer cannot be read: %s", err.text);
	else
		*ret = hello.time_s;
	answer_release(&a);
	return status;
}

int cmd_why(int argc, char **argv)
{
	static const struct usage usage = {
		.synopsis = "KEY|ENDPOINT",
		.brief = "Says why a TTL is what it is: what was measured and how surely, what was decided, which "
			 "limit applied, and what would change it.",
		.examples = "forecache why /quotes/IBM\n"
		            "forecache why '/quotes/<symbol>' --brief\n"
		            "forecache why /quotes/IBM --json | jq .change_rate_mean\n",
		.min_args = 1,
		.max_args = 1,
	};
	bool brief = false;
	const struct option_row rows[] = {
		{ "brief", 'b', OPTION_FLAG, &brief, 0, 0, NULL, "five lines" },
	};
	int status = options_parse(&usage, rows, 1, &argc, &argv);
	struct instant now = INSTANT_NONE;
	struct proto_error err;
	struct row_why why;
	struct request r;
	struct answer a;
	char *name;

	if (status >= 0)
		return status;
	if (!cli.json) {
		status = daemon_now(&now);
		if (status)
			return status;
	}
	request_init(&r);
	r.op = OP_WHY;
	r.key = bytes_str(argv[0]);
	status = ask(&r, &a);
	request_release(&r);
	if (status)
		return status;
	if (cli.json) {
		status = json_print(ask_to_json(a.reply.result));
	} else if (row_read(&row_why, a.reply.result, &why, &err)) {
		status = cli_error("why: the answer cannot be read: %s", err.text);
	} else {
		name = text_printable(bytes_str(argv[0]));
		explain(name, &why, now, brief);
		free(name);
	}
	answer_release(&a);
	return status;
}
