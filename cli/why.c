/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * why: explains a TTL to somebody who knows caching but no statistics. Each line answers one
 * question and says from how much evidence; a line about what is not known yet says that instead of
 * a number.
 */
#include "cli/cli.h"

#include "cli/ask.h"
#include "cli/human.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/table.h"
#include "cli/term.h"
#include "base/text.h"
#include "cli/watch_target.h"
#include "daemon/message_json.h"
#include "proto/row.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Why the TTL is what it is, by the engine's name of the reason; which limit that is, and what
 * would change it.
 */
static const struct reason {
	const char *name, *sentence, *limit;
} reasons[] = {
        {"planned",
         "one more second of freshness costs as many loads here as at every other key of its class",
         "none applies; max_stale sets how fresh, and the price follows from it"},
        {"min_ttl", "fresher would be better, but no learned TTL may be shorter",
         "min_ttl: lower it for a shorter TTL"},
        {"max_age", "it hardly changes, but no older value may be served",
         "max_age: raise it for a longer TTL"},
        {"max_stale_key",
         "the average would allow longer, but a single key may not be stale that probably",
         "max_stale_key: raise it for a longer TTL"},
        {"client", "the app's own TTL stands",
         "mode obey or advise, or nothing to load and compare with: set ttl to learn, give it an "
         "origin, a loader or "
         "change events"},
        {"static", "held out for comparison: the static TTL stands",
         "static_ttl, for the share of keys that holdout names"},
        {"negative", "the last answer was an error, or that there is no such thing",
         "negative_ttl, doubled while it lasts; a good answer of the origin ends it"},
        {"client_too_short",
         "a Redis client's own TTL stands, and it is too short: what it sets again is mostly what "
         "was there",
         "its TTL in the app: raise it; or an endpoint rule with ttl learn and an origin"},
        {"client_right", "a Redis client's own TTL stands, and it is about right",
         "nothing to change: it agrees with what was learned"},
        {"client_too_long", "a Redis client's own TTL stands, and it is too long for the objective",
         "its TTL in the app: lower it; or an endpoint rule with ttl learn"},
        {"pushed", "change events say when the value ends: it is kept until one comes",
         "max_age, should none come"},
};

/* Where what was learned is not applied: mode obey or advise. */
static const struct reason no_ttl_given = {
        NULL, "the mode keeps the app's own TTL; it gave none, so the static TTL stands",
        "static_ttl; set ttl to learn to have the TTL learned"};

static bool learns(const struct row_why *w)
{
	return bytes_equal(w->mode, bytes_str("learn"));
}

static const struct reason *find_reason(struct bytes name)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (bytes_equal(name, bytes_str(reasons[i].name)))
			return &reasons[i];
	return NULL;
}

/* -- Lines: a label and a text, wrapped to the terminal ---------------------------------------- */

#define LABEL_WIDTH 15
#define TEXT_MAX    1024

struct text {
	char s[TEXT_MAX];
	size_t n;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->s + t->n, TEXT_MAX - t->n, fmt, ap);
	va_end(ap);
	t->n = t->n + (size_t)n < TEXT_MAX ? t->n + (size_t)n : TEXT_MAX - 1;
}

/* Into a pipe a line stays a line. */
static void put(const char *name, const struct text *t, enum term_style style)
{
	int at = LABEL_WIDTH, width = term_is_tty() ? term_width() : INT_MAX;
	char word[TEXT_MAX];

	printf("  %s%-12s%s", term_on(TERM_DIM), name, term_off(TERM_DIM));
	fputs(term_on(style), stdout);
	for (const char *p = t->s; *p; p += strspn(p, " ")) {
		size_t n = strcspn(p, " ");

		snprintf(word, sizeof(word), "%.*s", (int)n, p);
		if (at > LABEL_WIDTH && at + 1 + table_text_width(word) > width) {
			printf("\n%*s", LABEL_WIDTH - 1, "");
			at = LABEL_WIDTH;
		}
		at += 1 + table_text_width(word);
		printf(" %s", word);
		p += n;
	}
	printf("%s\n", term_off(style));
}

/* Less than one observation is only what was assumed to begin with. */
static bool known(struct estimate e)
{
	return e.n >= 1 && isfinite(e.mean);
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

/* -- One question each ------------------------------------------------------------------------- */

static void head(const char *name, const struct row_why *w)
{
	char ttl[HUMAN_MAX], *mode = text_printable(w->mode),
	                     *endpoint = text_printable(w->endpoint);

	printf("%s%s%s  TTL %s%s%s", term_on(TERM_BOLD), name, term_off(TERM_BOLD),
	       term_on(TERM_GOOD), human_span(ttl, w->ttl_s), term_off(TERM_GOOD));
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
	struct text t = {0};

	if (w->is_endpoint)
		return;
	if (!w->resident)
		add(&t, "no value is held; the TTL is what the next one would get");
	else if (fresh_s >= 0)
		add(&t, "%s old, fresh for another %s, never served after %s",
		    human_span(a, w->age_s), human_span(b, fresh_s), human_span(c, hard_s));
	else if (hard_s > 0)
		add(&t, "%s old, no longer fresh since %s, never served after %s",
		    human_span(a, w->age_s), human_span(b, -fresh_s), human_span(c, hard_s));
	else
		add(&t, "%s old, no longer fresh since %s, and not served any more",
		    human_span(a, w->age_s), human_span(b, -fresh_s));
	put("cached", &t, TERM_PLAIN);
}

static void changes(const struct row_why *w, struct instant now)
{
	char rate[HUMAN_MAX], every[HUMAN_MAX], n[HUMAN_MAX], when[HUMAN_MAX];
	struct estimate e = w->change_rate_mean;
	struct text t = {0};
	double lo, hi;

	if (known(e)) {
		human_interval90(e, &lo, &hi);
		add(&t, "%s, 90 %% sure from %s look%s; once in %s",
		    human_rate_range(rate, e.mean, lo, hi), human_number(n, e.n),
		    e.n == 1 ? "" : "s", human_span(every, 1 / e.mean));
		if (instant_is_set(w->last_changed))
			add(&t, "; last seen to change %s", ago(when, w->last_changed, now));
		else if (!w->is_endpoint) /* kept per key only */
			add(&t, "; not seen to change yet");
	} else if (w->pool_n > 0) {
		add(&t, "not known of this key yet; the %s keys of its endpoint: %s",
		    human_number(n, w->pool_n), human_rate(rate, w->pool_mean));
	} else {
		add(&t, "not known yet: it takes two loads to see a change%s%s",
		    e.mean > 0 ? "; assumed for now: " : "",
		    e.mean > 0 ? human_rate(rate, e.mean) : "");
	}
	put("changes", &t, TERM_PLAIN);
}

/* What is learned of all keys of the endpoint together: from how many looks, and at which hours. */
static void endpoint(const struct row_why *w)
{
	char factor[HUMAN_MAX], times[HUMAN_MAX], rate[HUMAN_MAX], pool[HUMAN_MAX], n[HUMAN_MAX];
	struct text t = {0};

	if (isfinite(w->shape_now) && fabs(w->shape_now - 1) < 0.05)
		add(&t, "changes now as often as on average over the week");
	else if (isfinite(w->shape_now))
		add(&t, "changes now %s times as often as on average over the week: %s",
		    human_number(factor, w->shape_now),
		    human_rate(rate, w->change_rate_per_s.mean));
	if (isfinite(w->activity) && w->activity != 1)
		add(&t, "%sall its keys, at present, %s times as often as usual at this hour",
		    t.n ? "; " : "", human_number(times, w->activity));
	if (!w->is_endpoint && w->pool_n > 0 && known(w->change_rate_mean))
		add(&t, "%sits %s keys: %s", t.n ? "; " : "", human_number(n, w->pool_n),
		    human_rate(pool, w->pool_mean));
	if (w->seen_same || w->seen_changed)
		add(&t, "%s%" PRIu64 " looks found no change, %" PRIu64 " a change",
		    t.n ? "; " : "", w->seen_same, w->seen_changed);
	if (w->told)
		add(&t, " (the origin said when or how often for %" PRIu64 ")", w->told);
	if (w->announced)
		add(&t, "%s%" PRIu64 " change event%s", t.n ? "; " : "", w->announced,
		    w->announced == 1 ? "" : "s");
	if (bytes_equal(w->last_modified, bytes_str("not believed")))
		add(&t, "%sits Last-Modified does not go with what changes, and is not used",
		    t.n ? "; " : "");
	if (t.n)
		put("endpoint", &t, TERM_PLAIN);
}

static void requests(const struct row_why *w)
{
	char rate[HUMAN_MAX], factor[HUMAN_MAX], hits[HUMAN_MAX];
	double r = known(w->request_rate) ? w->request_rate.mean : w->request_rate_per_s;
	struct text t = {0};

	if (isfinite(r))
		add(&t, "%s expected in the next minute", human_rate(rate, r));
	else
		add(&t, "how many will come is not known yet");
	if (isfinite(w->demand_shape_now))
		add(&t, ", %s times its average", human_number(factor, w->demand_shape_now));
	if (w->requests > 0 && w->requests != ROW_UNCOUNTED)
		add(&t, "; %" PRIu64 " so far", w->requests);
	if (isfinite(w->hit_ratio))
		add(&t, ", %s hits", human_share(hits, w->hit_ratio));
	put("requests", &t, TERM_PLAIN);
}

static void forecast(const struct row_why *w)
{
	char yesterday[HUMAN_MAX], last[HUMAN_MAX], ewma[HUMAN_MAX], period[HUMAN_MAX];
	struct text t = {0};
	char *by;

	if (isfinite(w->forecast_mase))
		add(&t,
		    "30 min ahead %s times the error of \"as yesterday\", %s of \"as now\", %s of "
		    "a moving mean; ",
		    human_number(yesterday, w->forecast_mase),
		    human_number(last, w->forecast_vs_last),
		    human_number(ewma, w->forecast_vs_ewma));
	by = text_printable(w->forecast_by);
	add(&t, "by %s", by);
	free(by);
	if (w->period_s > 0)
		add(&t, "; repeats each %s", human_span(period, w->period_s));
	put("forecast", &t, TERM_PLAIN);
}

static void cost(const struct row_why *w, struct instant now)
{
	char ms[HUMAN_MAX], used[HUMAN_MAX], limit[HUMAN_MAX], when[HUMAN_MAX];
	struct text t = {0};

	if (w->load_ms > 0)
		add(&t, "a load takes %s", human_span(ms, w->load_ms / 1000));
	else
		add(&t, "how long a load takes is not known yet");
	if (w->loads > 0 && w->loads != ROW_UNCOUNTED)
		add(&t, "; %" PRIu64 " loads", w->loads);
	if (instant_is_set(w->last_load))
		add(&t, "; the last one %s", ago(when, w->last_load, now));
	if (isfinite(w->origin_rate_limit) && w->origin_rate_limit > 0)
		add(&t, "; background loads of its origin: %s of %s per s",
		    human_number(used, w->origin_rate_used),
		    human_number(limit, w->origin_rate_limit));
	put("cost", &t, TERM_PLAIN);
}

static void freshness(const struct row_why *w)
{
	char objective[HUMAN_MAX], measured[HUMAN_MAX], sd[HUMAN_MAX], price[HUMAN_MAX];
	struct text t = {0};

	if (!isfinite(w->objective))
		return;
	add(&t, "at most %s of requests may be stale", human_share(objective, w->objective));
	if (isfinite(w->measured) && w->audits > 0)
		add(&t, "; measured %s \u00b1 %s (%" PRIu64 " of %" PRIu64 " audits stale)",
		    human_share(measured, w->measured), human_share(sd, w->measured_sd),
		    w->audits_stale, w->audits);
	else
		add(&t, "; not measured yet (no audits)");
	if (isfinite(w->price))
		add(&t, "; so a stale answer is priced at %s loads", human_number(price, w->price));
	put("freshness", &t, w->measured > w->objective ? TERM_WARN : TERM_PLAIN);
}

static const struct reason *reason_of(const struct row_why *w)
{
	bool none_given = !learns(w) && bytes_equal(w->reason, bytes_str("static"));

	return none_given ? &no_ttl_given : find_reason(w->reason);
}

static void decision(const struct row_why *w)
{
	const struct reason *reason = reason_of(w);
	char *name = text_printable(w->reason), p[HUMAN_MAX], cost[HUMAN_MAX];
	struct text t = {0};

	add(&t, "%s", reason ? reason->sentence : name);
	if (w->p_stale_at_end > 0 && learns(w)) /* it is of the TTL that would be learned */
		add(&t, "; replaced by the end of the TTL with probability %s",
		    human_share(p, w->p_stale_at_end));
	if (isfinite(w->load_cost) && w->load_cost != 1 && learns(w))
		add(&t, "; a load is priced at %s for now, to even out those after a peak",
		    human_number(cost, w->load_cost));
	if (w->refresh_ahead)
		add(&t, "; refreshed ahead, as requests will come");
	put("decision", &t, TERM_PLAIN);
	free(name);
}

/*
 * What mode advise is for: the TTL of the measured rate alone. Not that of the price, which is
 * steered by stale answers and has nothing to hold on to where TTLs do not follow it.
 */
static void advice(struct text *t, const struct row_why *w)
{
	struct estimate e = w->change_rate_mean;
	char ttl[HUMAN_MAX], share[HUMAN_MAX];
	struct change rate;

	if (!known(e) || !(e.mean > 0) || !(e.sd > 0) || !(w->objective > 0 && w->objective < 1))
		return;
	rate.a = e.mean * e.mean / (e.sd * e.sd);
	rate.b = e.mean / (e.sd * e.sd);
	add(t, "%sby its rate of changes alone, a TTL of %s would have %s of answers stale",
	    t->n ? "; " : "", human_span(ttl, watch_advised_ttl(rate, w->objective)),
	    human_share(share, w->objective));
}

/* Which limit applied, and what would move the TTL. */
static void to_change(const struct row_why *w)
{
	const struct reason *reason = reason_of(w);
	char half[HUMAN_MAX], dbl[HUMAN_MAX];
	struct text t = {0};

	if (reason)
		add(&t, "%s", reason->limit);
	if (!learns(w))
		advice(&t, w);
	/* a price sets the TTL of a value, not how long a failed load is not tried again */
	else if (!w->is_endpoint && !bytes_equal(w->reason, bytes_str("negative")) &&
	         isfinite(w->ttl_at_half_price_s) && isfinite(w->ttl_at_double_price_s))
		add(&t, "%sstale answers at half the price: TTL %s; at twice the price: %s",
		    t.n ? "; " : "", human_span(half, w->ttl_at_half_price_s),
		    human_span(dbl, w->ttl_at_double_price_s));
	if (t.n)
		put("to change", &t, TERM_PLAIN);
}

static void say(struct text *t, const char *before, struct bytes what, const char *behind)
{
	char *text = text_printable(what);

	add(t, "%s%s%s%s", t->n ? "; " : "", before, text, behind);
	free(text);
}

/* What the next peak means to do about it. */
static void peak(const struct row_why *w, struct instant now)
{
	static const struct {
		const char *word, *text;
	} why[] = {
	        {"fresh", "no load: what is held will do"},
	        {"unlikely", "no load: too unlikely to be asked for to pay"},
	        {"volatile", "no load: it would be replaced before it is asked for"},
	        {"personal", "no load: its name says whose it is (`prewarm: always` allows it)"},
	        {"forbidden", "no load: its endpoint says `prewarm: never`"},
	        {"room", "no load: there is no room before it"},
	        {"origin", "no load: nothing to load from, or no budget for it"},
	        {"paused", "no load: prefetching is paused"},
	        {"unproven", "watched only, until it has come as told"},
	};
	char in[HUMAN_MAX], wanted[HUMAN_MAX], useful[HUMAN_MAX], worth[HUMAN_MAX];
	const char *what = w->peak_loaded ? "it will be loaded before" : "no load";
	struct text t = {0};
	char *name;

	if (!w->peak.n)
		return;
	for (size_t i = 0; !w->peak_loaded && i < sizeof(why) / sizeof(why[0]); i++)
		if (bytes_equal(w->peak_skip, bytes_str(why[i].word)))
			what = why[i].text;
	name = text_printable(w->peak);
	add(&t,
	    "%s in %s: asked for within 5 min %s, while its value lives %s, worth it from %s; %s",
	    name, human_span(in, span_s(instant_diff(w->peak_s, now))),
	    human_share(wanted, w->peak_p_wanted), human_share(useful, w->peak_p_useful),
	    human_share(worth, w->peak_worth), what);
	put("next peak", &t, TERM_PLAIN);
	free(name);
}

static void trouble(const struct row_why *w)
{
	struct text t = {0};

	if (w->last_error.n)
		say(&t, "last error: ", w->last_error, "");
	if (w->paused.n)
		say(&t, "paused: ", w->paused, "; `forecache resume` ends it");
	if (w->hint.n)
		say(&t, "", w->hint, "");
	if (t.n)
		put("attention", &t, w->last_error.n ? TERM_BAD : TERM_WARN);
}

/* Ten lines at most; five when brief. */
static void explain(const char *name, const struct row_why *w, struct instant now, bool brief)
{
	head(name, w);
	if (!brief)
		held(w, now);
	changes(w, now);
	if (!brief)
		endpoint(w);
	requests(w);
	if (!brief && w->is_endpoint && w->forecast_by.n)
		forecast(w);
	if (!brief)
		cost(w, now);
	freshness(w);
	decision(w);
	if (!brief)
		to_change(w);
	if (!brief)
		peak(w, now);
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
	        .brief = "Says why a TTL is what it is: what was measured and how surely, what "
	                 "was decided, which limit applied, and what would change it.",
	        .examples = "forecache why /quotes/IBM\n"
	                    "forecache why '/quotes/<symbol>' --brief\n"
	                    "forecache why /quotes/IBM --json | jq .change_rate_mean\n",
	        .min_args = 1,
	        .max_args = 1,
	};
	bool brief = false;
	const struct option_row rows[] = {
	        {"brief", 'b', OPTION_FLAG, &brief, 0, 0, NULL, "five lines"},
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
		status = json_print(message_to_json(a.reply.result));
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
