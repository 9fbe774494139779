/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/report.h"

#include "cli/frontier.h"
#include "cli/html.h"
#include "cli/human.h"
#include "base/text.h"
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Names are long; a title need not be. */
#define TITLE_MAX 80

#define PEAK_CHARTS 4 /* all, and the busiest endpoints */

static const char head[] =
        "<!DOCTYPE html>\n"
        "<html lang=\"en\">\n"
        "<head>\n"
        "<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<meta name=\"color-scheme\" content=\"light dark\">\n"
        "<meta name=\"referrer\" content=\"no-referrer\">\n"
        "<meta http-equiv=\"Content-Security-Policy\"\n"
        " content=\"default-src 'none'; style-src 'unsafe-inline'\">\n";

static const char style[] =
        "<style>\n"
        ":root { color-scheme: light dark; --ink: #1a1d21; --dim: #575e66; --page: #fff;\n"
        " --box: #f4f5f7; --line: #d5d9de; --mark: #0a6aa6; --warn: #fff5e0; }\n"
        "@media (prefers-color-scheme: dark) { :root { --ink: #e7e9ec; --dim: #a4abb3;\n"
        " --page: #15181c; --box: #1f2429; --line: #3a4149; --mark: #6cb8ec;\n"
        " --warn: #332a17; } }\n"
        "@media print { :root { color-scheme: light; --ink: #000; --dim: #444; --page: #fff;\n"
        " --box: #fff; --line: #bbb; --mark: #000; --warn: #fff; } }\n"
        "* { box-sizing: border-box; }\n"
        "body { margin: 0; background: var(--page); color: var(--ink);\n"
        " font: 16px/1.5 system-ui, sans-serif; }\n"
        "main, header, footer { max-width: 70rem; margin: 0 auto; padding: 0 1.25rem; }\n"
        "header { padding-top: 2rem; }\n"
        "footer { padding-bottom: 3rem; color: var(--dim); font-size: .875rem; }\n"
        "h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .25rem;\n"
        " overflow-wrap: anywhere; }\n"
        "h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; padding-top: .75rem;\n"
        " border-top: 1px solid var(--line); }\n"
        "h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; }\n"
        "p, li { max-width: 46rem; }\n"
        "header p, .note { color: var(--dim); margin: .25rem 0; }\n"
        "a { color: var(--mark); }\n"
        "nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1.25rem;\n"
        " padding: 0; margin: .75rem 0 0; }\n"
        ".lead { font-size: 1.125rem; }\n"
        ".warn { background: var(--warn); border-left: .25rem solid #c77700;\n"
        " padding: .6rem .9rem; }\n"
        "dl.tiles { display: grid; gap: .75rem; margin: 1.25rem 0;\n"
        " grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); }\n"
        ".tiles div { background: var(--box); border: 1px solid var(--line);\n"
        " border-radius: .4rem; padding: .6rem .9rem; }\n"
        ".tiles dt { color: var(--dim); font-size: .875rem; }\n"
        ".tiles dd { margin: 0; font-size: 1.5rem; font-weight: 600; line-height: 1.3; }\n"
        ".tiles dd small { display: block; font-size: .8125rem; font-weight: 400;\n"
        " color: var(--dim); }\n"
        ".wide { overflow-x: auto; margin: 1rem 0; }\n"
        "table { border-collapse: collapse; width: 100%; font-size: .875rem;\n"
        " font-variant-numeric: tabular-nums; }\n"
        "caption { text-align: left; color: var(--dim); padding-bottom: .25rem; }\n"
        "th, td { text-align: left; padding: .25rem .5rem; vertical-align: top;\n"
        " border-bottom: 1px solid var(--line); }\n"
        "thead th { border-bottom: 2px solid var(--line); font-weight: 600; }\n"
        "tbody th { font-weight: 400; min-width: 11rem; }\n"
        "th.n, td.n { text-align: right; }\n"
        "td { white-space: nowrap; }\n"
        "tr.own { background: var(--box); font-weight: 600; }\n"
        "tr.first td { border-top: 2px solid var(--line); }\n"
        "code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }\n"
        "pre { background: var(--box); border: 1px solid var(--line); border-radius: .4rem;\n"
        " padding: .6rem .9rem; overflow-x: auto; }\n"
        "figure { margin: 1rem 0; }\n"
        "figure svg { display: block; width: 100%; height: auto; }\n"
        "figcaption { color: var(--dim); font-size: .875rem; }\n"
        "dl.words dt { font-weight: 600; } dl.words dd { margin: 0 0 .5rem 1rem;\n"
        " max-width: 46rem; }\n"
        "@media print { body { font-size: 10pt; } h2 { break-after: avoid; } nav { display: none; "
        "}\n"
        " figure, tr, .tiles div { break-inside: avoid; } .wide { overflow: visible; }\n"
        " pre { white-space: pre-wrap; } }\n"
        "</style>\n";

/* The file's name without its folders, or what stands for it. */
static const char *log_name(const struct report *r)
{
	const char *path = r->replay->requests, *slash = strrchr(path, '/');

	if (strcmp(path, "-") == 0)
		return "a log";
	return slash && slash[1] ? slash + 1 : path;
}

static struct bytes endpoint_name(const struct report *r, uint32_t e)
{
	return intern_name(&r->replay->trace.endpoints, e);
}

/* -- Charts ------------------------------------------------------------------------------------ */

/* What is known of the charts of this page: once one could not be drawn, none is tried. */
struct charts {
	FILE *f;
	bool broken;
	char why[256];
};

/* The chart, or once for all of them why there is none. True: a figure stands there. */
static bool draw(struct charts *c, const struct plot *p)
{
	struct fault error;
	char *svg;
	size_t n;

	if (c->broken)
		return false;
	svg = plot_draw(p, PLOT_INLINE, &n, &error);
	if (!svg) {
		c->broken = true;
		memcpy(c->why, error.text, sizeof(c->why));
		fputs("<p class=\"warn\">There are no charts on this page, the tables are "
		      "complete: ",
		      c->f);
		html_printf(c->f, "%s", c->why);
		fputs(".</p>\n", c->f);
		return false;
	}
	fputs("<figure>\n", c->f);
	fwrite(svg, 1, n, c->f);
	free(svg);
	return true;
}

/* -- The log ----------------------------------------------------------------------------------- */

static void tile(FILE *f, const char *what, const char *figure, const char *more)
{
	fputs("<div><dt>", f);
	html_printf(f, "%s", what);
	fputs("</dt><dd>", f);
	html_printf(f, "%s", figure);
	if (more && *more) {
		fputs(" <small>", f);
		html_printf(f, "%s", more);
		fputs("</small>", f);
	}
	fputs("</dd></div>\n", f);
}

static void write_log(FILE *f, const struct report *r)
{
	const struct trace *t = &r->replay->trace;
	struct instant first = t->at.v[0], last = t->at.v[t->at.n - 1];
	const struct trace_skipped *k = &t->skipped;
	char a[HUMAN_MAX], b[HUMAN_MAX], c[HUMAN_MAX], more[4 * HUMAN_MAX];
	double span = span_s(instant_diff(last, first));

	fputs("<h2 id=\"log\">The log</h2>\n<dl class=\"tiles\">\n", f);
	snprintf(more, sizeof(more), "%s on average",
	         span > 0 ? human_rate(a, (double)t->at.n / span) : "all at one instant");
	tile(f, "Requests", human_count(b, (double)t->at.n), more);
	snprintf(more, sizeof(more), "%s requests per key",
	         human_number(a, (double)t->at.n / t->keys.live));
	tile(f, "Keys", human_count(b, t->keys.live), more);
	tile(f, "Endpoints", human_count(b, r->n_endpoints), "groups of keys that are alike");
	snprintf(more, sizeof(more), "%s to %s", human_time(a, instant_s(first), true),
	         human_time(b, instant_s(last), true));
	tile(f, "Time", human_span(c, round(span)), more);
	if (report_knows_changes(r)) {
		snprintf(more, sizeof(more), "of %s keys", human_count(a, r->changed_keys));
		tile(f, "Changes", human_count(b, (double)t->change.n), more);
	}
	fputs("</dl>\n", f);
	if (t->is_log)
		fputs("<p>This is the access log of a web server.</p>\n", f);
	if (k->method + k->status + k->empty + k->malformed)
		html_paragraph(f, "note",
		               "Left out: %" PRIu64 " lines that are not GET or HEAD, %" PRIu64
		               " that were not answered with a value, %" PRIu64
		               " without a request, %" PRIu64 " that were not understood.",
		               k->method, k->status, k->empty, k->malformed);
}

/* How many more there are than a table shows. */
static void say_rest(FILE *f, const struct report *r, uint32_t shown)
{
	uint64_t requests = 0;
	char a[HUMAN_MAX];

	if (r->n_endpoints <= shown)
		return;
	for (uint32_t i = shown; i < r->n_endpoints; i++)
		requests += r->requests[r->order[i]];
	html_paragraph(f, "note",
	               "The busiest %u endpoints are shown; %u more have %s of the requests.",
	               shown, r->n_endpoints - shown,
	               human_share(a, (double)requests / (double)r->replay->trace.at.n));
}

/* -- What freshness costs ---------------------------------------------------------------------- */

static void policy_row(FILE *f, const char *what, const char *ttl, const struct figures *g,
                       bool own)
{
	char a[HUMAN_MAX], b[HUMAN_MAX];

	fputs(own ? "<tr class=\"own\">" : "<tr>", f);
	html_cell(f, "%s", what);
	html_number_cell(f, "%s", ttl);
	html_number_cell(f, "%s", human_share(a, g->stale_per_request));
	html_number_cell(f, "%s", human_share(b, g->hit_ratio));
	html_number_cell(f, "%" PRIu64, figures_loads(g));
	html_number_cell(f, "%.4f", g->loads_per_request);
	html_number_cell(f, "%s", human_span(a, g->response_mean_ms * 1e-3));
	html_number_cell(f, "%s", human_span(b, g->response_p99_ms * 1e-3));
	fputs("</tr>\n", f);
}

static void write_saved_by_endpoint(FILE *f, const struct report *r)
{
	const struct frontier_point *own = &r->frontier.point[r->own];
	uint32_t n = r->n_endpoints < REPORT_ENDPOINTS ? r->n_endpoints : REPORT_ENDPOINTS;
	char a[HUMAN_MAX];

	html_table(f, "By endpoint: learn, and the single TTL that is as stale over all of them",
	           "endpoint|#requests|#learn: stale|#hits|#loads|#single TTL: "
	           "stale|#hits|#loads|#loads saved");
	for (uint32_t i = 0; i < n; i++) {
		uint32_t e = r->order[i];
		const struct figures *both[] = {&own->policy[FRONTIER_LEARN].endpoint[e],
		                                &own->same.endpoint[e]};
		double loads = (double)figures_loads(both[0]),
		       fixed = (double)figures_loads(both[1]);

		fputs("<tr>", f);
		html_name_head(f, endpoint_name(r, e));
		html_number_cell(f, "%" PRIu64, both[0]->requests);
		for (int j = 0; j < 2; j++) {
			html_number_cell(f, "%s", human_share(a, both[j]->stale_per_request));
			html_number_cell(f, "%s", human_share(a, both[j]->hit_ratio));
			html_number_cell(f, "%" PRIu64, figures_loads(both[j]));
		}
		html_number_cell(f, "%s",
		                 human_share(a, fixed > 0 ? (fixed - loads) / fixed : NAN));
		fputs("</tr>\n", f);
	}
	html_table_end(f);
	say_rest(f, r, n);
}

static void write_saved(FILE *f, const struct report *r)
{
	const struct trace *t = &r->replay->trace;
	const struct frontier_point *own = &r->frontier.point[r->own];
	const struct figures *g = &own->policy[FRONTIER_LEARN].total, *same = &own->same.total;
	double loads = (double)figures_loads(g), fixed = (double)figures_loads(same);
	double saved = (fixed - loads) / fixed;
	double days = span_s(instant_diff(t->at.v[t->at.n - 1], r->score_from)) / 86400;
	char a[HUMAN_MAX], b[HUMAN_MAX], c[HUMAN_MAX], more[4 * HUMAN_MAX];
	bool fewer = loads <= fixed;

	fputs("<h2 id=\"saved\">Loads saved</h2>\n<p class=\"lead\">", f);
	if (fixed > 0) {
		html_printf(f, "With %s of answers stale, learned TTLs need %s loads ",
		            human_share(a, g->stale_per_request), human_count(b, loads));
		html_printf(f, "for %s requests. The best single TTL with at most as many stale ",
		            human_count(a, (double)g->requests));
		html_printf(f, "answers, %s, needs %s: learning %s %s of them.",
		            human_span(a, same->ttl_s), human_count(b, fixed),
		            fewer ? "saves" : "costs another", human_share(c, fabs(saved)));
	} else {
		html_printf(f, "No loads were counted: the scored part of the log is empty.");
	}
	fputs("</p>\n", f);
	if (g->stale_per_request > 1.1 * own->objective)
		html_paragraph(
		        f, "warn",
		        "The objective of %s stale answers was not kept on this log: it was %s.",
		        human_share(a, own->objective), human_share(b, g->stale_per_request));
	if (same->stale_per_request > g->stale_per_request) {
		fputs("<p class=\"warn\">No single TTL is as fresh: the shortest that was tried is "
		      "staler.</p>\n",
		      f);
	}
	fputs("<dl class=\"tiles\">\n", f);
	if (days > 0)
		snprintf(more, sizeof(more), "%s loads per day %s",
		         human_count(a, fabs(fixed - loads) / days), fewer ? "fewer" : "more");
	else
		*more = '\0';
	tile(f, fewer ? "Loads saved" : "More loads", human_share(b, fabs(saved)), more);
	snprintf(more, sizeof(more), "objective: at most %s", human_share(a, own->objective));
	tile(f, "Stale answers", human_share(b, g->stale_per_request), more);
	snprintf(more, sizeof(more), "with %s stale; the single TTL: %s",
	         human_share(a, g->stale_per_request), human_share(c, same->hit_ratio));
	tile(f, "Hit ratio", human_share(b, g->hit_ratio), more);
	snprintf(more, sizeof(more), "the single TTL: %.4f", same->loads_per_request);
	snprintf(b, sizeof(b), "%.4f", g->loads_per_request);
	tile(f, "Loads per request", b, more);
	fputs("</dl>\n", f);

	html_table(f, "Counted on the part of the log after learning",
	           "policy|#TTL|#stale|#hits|#loads|#loads per request|#mean response|#99th "
	           "percentile");
	policy_row(f, "learn", "", g, true);
	policy_row(f, "single TTL, as stale as learn", human_span(a, same->ttl_s), same, false);
	for (int p = FRONTIER_STATIC_BEST; p < FRONTIER_POLICIES; p++) {
		const struct figures *other = &own->policy[p].total;

		if (own->policy[p].error)
			continue;
		*a = '\0';
		if (!isnan(other->ttl_s))
			human_span(a, other->ttl_s);
		else if (!isnan(other->factor))
			snprintf(a, sizeof(a), "%.32s x age", human_number(b, other->factor));
		policy_row(f, frontier_policy_name((enum frontier_policy)p), a, other, false);
	}
	html_table_end(f);
	write_saved_by_endpoint(f, r);
}

static void write_frontier(struct charts *c, const struct report *r)
{
	const struct frontier *front = &r->frontier;
	struct frontier_plot *p = mem_calloc(1, sizeof(*p));
	FILE *f = c->f;
	char a[HUMAN_MAX], b[HUMAN_MAX];

	fputs("<h2 id=\"frontier\">What freshness costs</h2>\n"
	      "<p>The fresher answers must be, the more often they are loaded. Each line is a way "
	      "to choose TTLs, each point what it reached under one objective; lower is cheaper, "
	      "left is fresher. All but <i>learn</i> were chosen in hindsight, knowing the part of "
	      "the log that is counted.</p>\n",
	      f);
	frontier_plot(front, p);
	if (draw(c, &p->plot))
		fputs("<figcaption>Loads per request against stale answers. The figures are in the "
		      "table.</figcaption></figure>\n",
		      f);
	free(p);
	html_table(f, "Loads and stale answers that were reached",
	           "#objective|policy|#stale|#hits|#loads|#loads per request|#of static-best|#of a "
	           "single TTL as stale");
	for (size_t i = 0; i < front->n; i++) {
		const struct frontier_point *at = &front->point[i];
		double fixed = at->policy[FRONTIER_STATIC_BEST].total.loads_per_request;

		for (int q = 0; q < FRONTIER_POLICIES; q++) {
			const struct figures *g = &at->policy[q].total;

			if (at->policy[q].error)
				continue;
			fputs(q == FRONTIER_LEARN ? "<tr class=\"own first\">" : "<tr>", f);
			html_number_cell(f, "%s", human_share(a, at->objective));
			html_cell(f, "%s", at->policy[q].policy);
			html_number_cell(f, "%s", human_share(a, g->stale_per_request));
			html_number_cell(f, "%s", human_share(b, g->hit_ratio));
			html_number_cell(f, "%" PRIu64, figures_loads(g));
			html_number_cell(f, "%.4f", g->loads_per_request);
			html_number_cell(f, "%s", human_share(a, g->loads_per_request / fixed));
			html_number_cell(
			        f, "%s",
			        q == FRONTIER_LEARN
			                ? human_share(b, g->loads_per_request /
			                                         at->same.total.loads_per_request)
			                : "");
			fputs("</tr>\n", f);
		}
	}
	html_table_end(f);
}

/* -- Learned TTLs ------------------------------------------------------------------------------ */

static char *changes_text(char buf[static HUMAN_MAX], struct estimate e)
{
	double lo, hi;

	if (!(e.n > 0))
		return strcpy(buf, "-");
	human_interval90(e, &lo, &hi);
	return human_rate_range(buf, e.mean, lo, hi);
}

/* NULL: the engine did not know it then. */
static const struct report_row *row_of(const struct report_look *l, uint32_t endpoint)
{
	for (size_t i = 0; i < l->endpoints.n; i++)
		if (l->endpoints.v[i].endpoint == endpoint)
			return &l->endpoints.v[i];
	return NULL;
}

static void write_hottest(FILE *f, const struct report *r)
{
	const struct trace *t = &r->replay->trace;
	const struct report_look *l = &r->look[REPORT_BUSIEST];
	char a[HUMAN_MAX];

	html_table(f, "The keys that are asked for most, at the busiest time",
	           "key|#TTL then|#changes then (90 % sure)|#requests then");
	for (size_t i = 0; i < l->keys.n; i++) {
		const struct report_row *row = &l->keys.v[i];

		if (row->key == INTERN_NONE)
			continue;
		fputs("<tr>", f);
		html_name_head(f, intern_name(&t->keys, row->key));
		html_number_cell(f, "%s", human_span(a, row->row.ttl_s));
		html_number_cell(f, "%s", changes_text(a, row->row.change_rate_per_s));
		html_number_cell(f, "%s", human_rate(a, row->row.request_rate_per_s));
		fputs("</tr>\n", f);
	}
	html_table_end(f);
}

static void write_learned_row(FILE *f, const struct report *r, uint32_t e)
{
	const struct report_row *busy = row_of(&r->look[REPORT_BUSIEST], e);
	const struct report_row *end = row_of(&r->look[REPORT_END], e);
	const struct figures *g = &r->frontier.point[r->own].policy[FRONTIER_LEARN].endpoint[e];
	char a[HUMAN_MAX];

	fputs("<tr>", f);
	html_name_head(f, endpoint_name(r, e));
	html_number_cell(f, "%" PRIu32, r->keys[e]);
	html_number_cell(f, "%s", human_span(a, busy ? busy->row.ttl_s : NAN));
	html_cell(f, "%s", busy ? ttl_reason_name(busy->row.reason) : "-");
	html_number_cell(f, "%s", busy ? changes_text(a, busy->row.change_rate_per_s) : "-");
	html_number_cell(f, "%s", human_span(a, end ? end->row.ttl_s : NAN));
	html_number_cell(f, "%" PRIu64, g->requests);
	html_number_cell(f, "%s", human_share(a, g->stale_per_request));
	html_number_cell(f, "%s", human_share(a, g->hit_ratio));
	html_number_cell(f, "%s", human_number(a, g->loads_per_request));
	fputs("</tr>\n", f);
}

static void write_learned(FILE *f, const struct report *r)
{
	const struct frontier_point *own = &r->frontier.point[r->own];
	uint32_t n = r->n_endpoints < REPORT_ENDPOINTS ? r->n_endpoints : REPORT_ENDPOINTS;
	char a[HUMAN_MAX], b[HUMAN_MAX];

	fputs("<h2 id=\"ttls\">Learned TTLs</h2>\n<p>", f);
	html_printf(f,
	            "A TTL differs from key to key and with the time of day. Here are the engine's "
	            "for an objective of %s, as they were at a busy time, %s, ",
	            human_share(a, own->objective),
	            human_time(b, instant_s(r->look[REPORT_BUSIEST].at), true));
	html_printf(f,
	            "and when the log ended, %s. An endpoint's is the median of its cached keys, "
	            "weighted by requests.",
	            human_time(a, instant_s(r->look[REPORT_END].at), true));
	fputs("</p>\n", f);
	html_table(f, "Endpoints, busiest first; stale, hits and loads over all that is counted",
	           "endpoint|#keys|#TTL, busy|set by|#changes per key then (90 % sure)|#TTL, "
	           "end|#requests|#stale|#hits|#loads per request");
	for (uint32_t i = 0; i < n; i++)
		write_learned_row(f, r, r->order[i]);
	html_table_end(f);
	fputs("<p class=\"note\">Set by: <i>planned</i> is where one more second of freshness "
	      "costs as many loads as at every other key; the others are limits of that name in "
	      "the configuration.</p>\n",
	      f);
	say_rest(f, r, n);
	if (r->look[REPORT_BUSIEST].keys.n)
		write_hottest(f, r);
}

/* -- Demand alone ------------------------------------------------------------------------------ */

static double loads_share(const struct fixed_count *c)
{
	return c->requests ? (double)c->loads / (double)c->requests : NAN;
}

static void write_demand(struct charts *c, const struct report *r)
{
	static const int shown[] = {3, 5, 6, 8}; /* 1 min, 15 min, 1 h, 1 d */
	double y[REPORT_TTLS];
	struct plot p = {
	        .name = "demand",
	        .about = "Loads per request against a fixed TTL; the figures are in the table",
	        .x_label = "TTL",
	        .y_label = "loads per request",
	        .x_tics = "('1 s' 1, '15 s' 15, '1 min' 60, '5 min' 300, '1 h' 3600, '6 h' 21600, "
	                  "'1 d' 86400, '1 w' 604800)",
	        .x_lo = 1,
	        .x_hi = 604800,
	        .width = 860,
	        .height = 340,
	        .log_x = true,
	        .line = {{NULL, report_ttl_s, y, REPORT_TTLS}},
	        .n_lines = 1,
	};
	FILE *f = c->f;
	char a[HUMAN_MAX];

	for (int i = 0; i < REPORT_TTLS; i++)
		y[i] = loads_share(&r->demand[i]);
	fputs("<h2 id=\"demand\">What demand alone shows</h2>\n"
	      "<p>How many requests would have been loads if every answer were kept for one fixed "
	      "time. This says how often the same thing is asked for again, which is the most that "
	      "caching could save. <strong>It does not say which TTL is right: how many of the "
	      "answers would have been outdated is unknown</strong> without changes.</p>\n",
	      f);
	if (draw(c, &p))
		fputs("<figcaption>Loads per request against a fixed TTL; staleness unknown."
		      "</figcaption></figure>\n",
		      f);
	html_table(f, "All requests that are counted, one TTL for all",
	           "#TTL|#loads per request|#hits|#stale");
	for (int i = 0; i < REPORT_TTLS; i++) {
		fputs("<tr>", f);
		html_number_cell(f, "%s", human_span(a, report_ttl_s[i]));
		html_number_cell(f, "%.4f", y[i]);
		html_number_cell(f, "%s", human_share(a, 1 - y[i]));
		html_number_cell(f, "unknown");
		fputs("</tr>\n", f);
	}
	html_table_end(f);
	html_table(f, "Loads per request of the endpoints, busiest first; staleness unknown",
	           "endpoint|#keys|#requests|#TTL 1 min|#15 min|#1 h|#1 d");
	for (size_t i = 0; i < r->n_demand; i++) {
		uint32_t e = r->order[i];

		fputs("<tr>", f);
		html_name_head(f, endpoint_name(r, e));
		html_number_cell(f, "%" PRIu32, r->keys[e]);
		html_number_cell(f, "%" PRIu64, r->requests[e]);
		for (size_t j = 0; j < sizeof(shown) / sizeof(shown[0]); j++)
			html_number_cell(
			        f, "%s",
			        human_number(a, loads_share(&r->demand[(i + 1) * REPORT_TTLS +
			                                               (size_t)shown[j]])));
		fputs("</tr>\n", f);
	}
	html_table_end(f);
	say_rest(f, r, (uint32_t)r->n_demand);
}

/* -- Peaks ------------------------------------------------------------------------------------- */

static void draw_week(struct charts *c, const struct report *r, size_t row)
{
	static const char name[] = "weekabcdefgh";
	char id[sizeof(name)];
	double x[WEEK_BINS], y[WEEK_BINS];
	struct plot p = {
	        .name = id,
	        .about = "Requests per second over the week",
	        .x_label = "",
	        .y_label = "requests/s",
	        .x_tics = "('Mon' 0, 'Tue' 24, 'Wed' 48, 'Thu' 72, 'Fri' 96, 'Sat' 120, 'Sun' 144, "
	                  "'' 168)",
	        .x_lo = 0,
	        .x_hi = 168,
	        .width = 860,
	        .height = 170,
	        .style = PLOT_STEPS,
	        .line = {{NULL, x, y, WEEK_BINS}},
	        .n_lines = 1,
	};

	snprintf(id, sizeof(id), "%.*s", 5 + (int)row, name); /* weeka, weekab, ... */
	for (int i = 0; i < WEEK_BINS; i++) {
		x[i] = i * WEEK_BIN_S / 3600.0;
		y[i] = week_rate(&r->week, &r->week.row[row], i);
	}
	if (!draw(c, &p))
		return;
	fputs("<figcaption>", c->f);
	if (r->week.row[row].endpoint == WEEK_ALL)
		fputs("All requests", c->f);
	else
		html_name(c->f, endpoint_name(r, r->week.row[row].endpoint));
	fputs("</figcaption></figure>\n", c->f);
}

static void write_peak_rows(FILE *f, const struct report *r)
{
	char a[HUMAN_MAX], at[REPORT_TIME_MAX];

	html_table(f, "The busiest half hours",
	           "endpoint|#requests on average|busiest in the week|#then|#times the "
	           "average|every day alike|#then|#different keys asked for in it");
	for (size_t i = 0; i < r->week.n_rows; i++) {
		const struct week_peak *p = &r->peak[i];

		fputs("<tr>", f);
		if (r->week.row[i].endpoint == WEEK_ALL)
			fputs("<th scope=\"row\">all</th>", f);
		else
			html_name_head(f, endpoint_name(r, r->week.row[i].endpoint));
		html_number_cell(f, "%s", human_rate(a, p->mean_per_s));
		html_cell(f, "%s", p->per_s > 0 ? report_week_time(at, p->bin) : "-");
		html_number_cell(f, "%s", human_rate(a, p->per_s));
		html_number_cell(f, "%s", human_number(a, p->per_s / p->mean_per_s));
		if (!(p->day_per_s > 0))
			html_cell(f, "-");
		else
			html_cell(f, "%s %s", week_days_name(p->days),
			          report_day_time(at, p->day_bin));
		html_number_cell(f, "%s", human_rate(a, p->day_per_s));
		html_number_cell(f, "%s", human_number(a, round(p->keys)));
		fputs("</tr>\n", f);
	}
	html_table_end(f);
}

/* A word of a shell's command line. */
static void write_quoted(FILE *f, const char *text)
{
	fputs("&#39;", f);
	for (const char *p = text; *p;) {
		size_t n = strcspn(p, "'");

		html_text(f, bytes_of(p, n), SIZE_MAX);
		p += n;
		if (*p) {
			fputs("&#39;\\&#39;&#39;", f);
			p++;
		}
	}
	fputs("&#39;", f);
}

/* Only a name that looks as it is can be copied from a page. */
static bool is_plain(struct bytes name)
{
	for (size_t i = 0; i < name.n; i++)
		if (((const char *)name.p)[i] < ' ' || ((const char *)name.p)[i] == 0x7f)
			return false;
	return name.n <= HTML_NAME_MAX;
}

static void write_prewarm(FILE *f, const struct report *r)
{
	const struct simulate_result *was = &r->frontier.point[r->own].policy[FRONTIER_LEARN];
	char a[HUMAN_MAX], b[HUMAN_MAX];
	size_t plain = 0;

	fputs("<h3>What prewarming would load</h3>\n", f);
	if (!r->n_schedules) {
		fputs(r->replay->no_prewarm
		              ? "<p>Not looked at: --no-prewarm was given.</p>\n"
		              : "<p>No endpoint has a peak that comes again at the same time of "
		                "day and is twice its average: there is nothing to schedule.</p>\n",
		      f);
		return;
	}
	fputs("<p>The log replayed once more, with these peaks as schedules: before each, values "
	      "that are likely to be asked for are loaded, within the budget. The first figure is "
	      "without the schedules, the second with them.</p>\n",
	      f);
	html_table(f, "Replayed without and with schedules",
	           "endpoint|schedule|#peaks|#loads before a peak|#loads, all|#stale|#hits|#mean "
	           "response");
	for (size_t i = 0; i < r->n_schedules; i++) {
		const struct report_schedule *s = &r->schedule[i];
		uint32_t e = r->week.row[s->row].endpoint;
		const struct figures *x = &was->endpoint[e], *y = &r->warmed.endpoint[e];

		plain += is_plain(endpoint_name(r, e));
		fputs("<tr>", f);
		html_name_head(f, endpoint_name(r, e));
		html_cell(f, "%s", s->rule);
		html_number_cell(f, "%zu", s->n_scored);
		html_number_cell(
		        f, "%s",
		        human_number(a, (double)y->loads[LOAD_PREWARM] / (double)s->n_scored));
		html_number_cell(f, "%" PRIu64 " \u2192 %" PRIu64, figures_loads(x),
		                 figures_loads(y));
		html_number_cell(f, "%s \u2192 %s", human_share(a, x->stale_per_request),
		                 human_share(b, y->stale_per_request));
		html_number_cell(f, "%s \u2192 %s", human_share(a, x->hit_ratio),
		                 human_share(b, y->hit_ratio));
		html_number_cell(f, "%s \u2192 %s", human_span(a, x->response_mean_ms * 1e-3),
		                 human_span(b, y->response_mean_ms * 1e-3));
		fputs("</tr>\n", f);
	}
	html_table_end(f);
	if (!plain)
		return;
	fputs("<p>To have it so with a daemon:</p>\n<pre>", f);
	for (size_t i = 0; i < r->n_schedules; i++) {
		const struct report_schedule *s = &r->schedule[i];
		struct bytes name = endpoint_name(r, r->week.row[s->row].endpoint);

		if (!is_plain(name))
			continue;
		html_printf(f, "forecache schedule add %s '%s'", s->name, s->rule);
		if (r->replay->zone) {
			fputs(" --tz ", f);
			write_quoted(f, r->replay->zone);
		}
		if (r->replay->calendar) {
			fputs(" --calendar ", f);
			write_quoted(f, r->replay->calendar);
		}
		fputs(" --pattern ", f);
		write_quoted(f, name.p);
		fputc('\n', f);
	}
	fputs("</pre>\n", f);
}

static void write_peaks(struct charts *c, const struct report *r)
{
	double days = r->week.span_s / 86400;
	FILE *f = c->f;
	char a[HUMAN_MAX];

	fputs("<h2 id=\"peaks\">Peaks</h2>\n<p>", f);
	if (r->replay->zone)
		html_printf(f, "When most is asked for, in half hours; times are of %s.",
		            r->replay->zone);
	else if (r->replay->calendar)
		html_printf(f,
		            "When most is asked for, in half hours; times are of the calendar %s.",
		            r->replay->calendar);
	else
		fputs("When most is asked for, in half hours; times are UTC. <code>--zone "
		      "Europe/Berlin</code> shows them as clocks there do.",
		      f);
	fputs("</p>\n", f);
	if (days < 14)
		html_paragraph(f, "warn",
		               "The log covers %s. What comes again each week shows only after two "
		               "weeks; here a single busy hour may look like a habit.",
		               human_span(a, round(r->week.span_s)));
	for (size_t i = 0; i < r->week.n_rows && i < PEAK_CHARTS; i++)
		draw_week(c, r, i);
	write_peak_rows(f, r);
	if (r->has_frontier)
		write_prewarm(f, r);
}

/* -- What the log cannot show ------------------------------------------------------------------ */

static void write_how_to_get_changes(FILE *f, const struct report *r)
{
	fputs("<p>How to get them: let <code>forecache watch</code> look at some of the URLs for a "
	      "day or more, with conditional requests and one at a time; it writes down when each "
	      "really changed. Then make this page again:</p>\n"
	      "<pre>forecache watch --for 2d --changes changes.tsv https://your.api/some/thing "
	      "...\n"
	      "forecache report ",
	      f);
	write_quoted(f, r->replay->requests);
	fputs(" --changes changes.tsv</pre>\n"
	      "<p>If your database or application knows when a value changes, its own list is "
	      "better: rows of <code>time_s</code> and <code>key</code>, a tab between.</p>\n",
	      f);
}

static void write_limits(FILE *f, const struct report *r)
{
	const struct trace *t = &r->replay->trace;
	char a[HUMAN_MAX], b[HUMAN_MAX];

	fputs("<h2 id=\"limits\">What this log cannot show</h2>\n", f);
	if (!t->has_changes)
		fputs("<p class=\"warn\"><strong>It shows demand and no changes.</strong> Nothing "
		      "in it says when an answer became outdated. So this page has no staleness, "
		      "no learned TTLs, and no loads saved at equal freshness.</p>\n",
		      f);
	else if (!t->change.n)
		html_paragraph(
		        f, "warn",
		        "The changes file has %" PRIu64
		        " rows and none is of a key that was asked for. Either nothing changed, or "
		        "its keys are written in another way than those of the log. So this page "
		        "has no staleness, no learned TTLs, and no loads saved.",
		        t->change_rows);
	if (!report_knows_changes(r))
		write_how_to_get_changes(f, r);
	fputs("<ul>\n", f);
	if (report_knows_changes(r) && r->changed_keys < t->keys.live)
		html_item(f,
		          "%" PRIu32 " of %" PRIu32
		          " keys, with %s of the requests, have no row in the changes. They are "
		          "taken to never change. If nobody looked at them, stale answers are "
		          "missing here, and savings are too high.",
		          t->keys.live - r->changed_keys, t->keys.live,
		          human_share(a, 1 - (double)r->changed_requests / (double)t->at.n));
	if (report_knows_changes(r))
		html_item(f,
		          "The changes go from %s to %s. Outside of that, and between two looks, "
		          "nothing is known.",
		          human_time(a, instant_s(t->change.v[0].at), true),
		          human_time(b, instant_s(t->change.v[t->change.n - 1].at), true));
	if (t->is_log) {
		html_item(f,
		          "An access log has times in whole seconds and does not say what a load "
		          "takes: every load is taken to last %.0f ms. What caches in front of "
		          "this server answered is not in it.",
		          span_s(TRACE_LOAD_DEFAULT) * 1e3);
	} else {
		fputs("<li>Loads take as long as the log says they took. With fewer of them the "
		      "backend may be faster; that is not counted.</li>\n",
		      f);
	}
	html_item(f,
	          "What is counted begins at %s; the time before is for learning and for filling "
	          "the caches. How a cold cache fares is not shown.",
	          human_time(a, instant_s(r->score_from), true));
	fputs("<li>All values are taken to fit into memory. <code>forecache simulate --keys</code> "
	      "shows what happens when they do not.</li>\n"
	      "<li>Users are taken to ask for the same whatever the answers are and however fast "
	      "they come.</li>\n",
	      f);
	if (report_knows_changes(r))
		fputs("<li>endpoint-best leaves out endpoints with under 100 counted requests, so "
		      "its line is about fewer requests than the others.</li>\n",
		      f);
	fputs("</ul>\n", f);
}

static void write_words(FILE *f, const struct report *r)
{
	fputs("<h2 id=\"words\">Words</h2>\n<dl class=\"words\">\n"
	      "<dt>load</dt><dd>A read of the backend, for a request that waits or ahead of one."
	      "</dd>\n"
	      "<dt>hit</dt><dd>A request that is answered at once from the cache.</dd>\n"
	      "<dt>stale</dt><dd>An answer that the backend had already replaced when it was "
	      "given. Shown as a share of all requests.</dd>\n"
	      "<dt>TTL</dt><dd>How long an answer may be given again before it is loaded "
	      "anew.</dd>\n",
	      f);
	if (r->has_frontier)
		fputs("<dt>learn</dt><dd>forecached: a TTL per key, learned from the past alone, "
		      "steered so that stale answers stay below the objective.</dd>\n"
		      "<dt>static-best</dt><dd>The longest single TTL that keeps the objective, "
		      "found afterwards.</dd>\n"
		      "<dt>endpoint-best</dt><dd>The same for each endpoint by itself.</dd>\n"
		      "<dt>alex-best</dt><dd>A TTL in proportion to the age of the value, with the "
		      "factor found afterwards.</dd>\n"
		      "<dt>bound</dt><dd>What no cache that loads on demand can go below, even "
		      "knowing each change in advance.</dd>\n",
		      f);
	fputs("</dl>\n", f);
}

/* -- The page ---------------------------------------------------------------------------------- */

void report_page(FILE *f, const struct report *r)
{
	struct charts c = {.f = f};
	char a[HUMAN_MAX];

	fputs(head, f);
	fputs("<title>Caching report: ", f);
	html_text(f, bytes_str(log_name(r)), TITLE_MAX);
	fputs("</title>\n", f);
	fputs(style, f);
	fputs("</head>\n<body>\n<header>\n<h1>What caching would do for ", f);
	html_name(f, bytes_str(log_name(r)));
	fputs("</h1>\n<p>", f);
	html_printf(f, "Made by forecache %s on %s, by replaying the log.", PACKAGE_VERSION,
	            human_time(a, (double)time(NULL), true));
	fputs("</p>\n<nav aria-label=\"Contents\"><ul>\n<li><a href=\"#log\">The log</a></li>\n",
	      f);
	if (r->has_frontier)
		fputs("<li><a href=\"#saved\">Loads saved</a></li>\n"
		      "<li><a href=\"#frontier\">What freshness costs</a></li>\n"
		      "<li><a href=\"#ttls\">Learned TTLs</a></li>\n",
		      f);
	else
		fputs("<li><a href=\"#demand\">What demand alone shows</a></li>\n", f);
	fputs("<li><a href=\"#peaks\">Peaks</a></li>\n"
	      "<li><a href=\"#limits\">What this log cannot show</a></li>\n"
	      "<li><a href=\"#words\">Words</a></li>\n</ul></nav>\n</header>\n<main>\n",
	      f);
	write_log(f, r);
	if (r->has_frontier) {
		write_saved(f, r);
		write_frontier(&c, r);
		write_learned(f, r);
	} else {
		fputs("<p class=\"warn\">There are no changes to go by: this page shows demand, "
		      "not how fresh answers would be. <a href=\"#limits\">How to get "
		      "changes</a>.</p>\n",
		      f);
		write_demand(&c, r);
	}
	write_peaks(&c, r);
	write_limits(f, r);
	write_words(f, r);
	fputs("</main>\n<footer><p>forecached is a caching daemon that learns TTLs. The same "
	      "figures in the terminal: <code>forecache simulate --frontier</code>.</p></footer>\n"
	      "</body>\n</html>\n",
	      f);
}
