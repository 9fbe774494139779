/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * watch: measures how often URLs change, before any cache stands in front of them. Needs no daemon.
 *
 * It is a guest at somebody's API: one request at a time, conditional ones wherever the server
 * allows them, intervals that grow when nothing happens, Retry-After and refusals honoured, and an
 * end.
 */
#include "cli/cli.h"

#include "base/text.h"
#include "base/vec.h"
#include "cli/human.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/table.h"
#include "cli/term.h"
#include "cli/watch_http.h"
#include "cli/watch_target.h"

#include <curl/curl.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define URLS_MAX 64

/* Somebody else's server is not asked more often than this. */
#define POLITE_EVERY_S 1.0

/* The longest interval, as a multiple of the shortest, and as a share of the whole watch. */
#define MAX_INTERVALS 12
#define MAX_SHARE     0.05

#define BACKOFF_MAX_S   600.0
#define ERRORS_MAX      5      /* in a row: then the URL is left alone */
#define RETRY_AFTER_MAX 3600.0 /* who asks for a longer rest is left alone */

struct watched {
	const char *url;
	char *name; /* safe to print */
	char *host; /* with port */
	struct watch_http *http;
	struct watch_target target;
	double due_s; /* on the steady clock; HUGE_VAL: left alone */
	unsigned errors_in_row, errors;
	double load_ms_sum;
	size_t bytes;
};

struct watch {
	double every_s, for_s, max_every_s, max_stale, timeout_s;
	bool quiet;
	const char *changes_path, *requests_path; /* NULL: not wanted */
	struct option_list header_args, ignore;
	struct option_list headers;     /* lines: of header_args and of the files they name */
	VEC(char *) kept;               /* those lines of files: ours */
	struct content_ignore *ignored; /* ignore, compiled */
	FILE *changes, *requests;
	struct watched url[URLS_MAX];
	size_t n;
	double start_s; /* on the steady clock */
};

static double clock_s(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* Until then, or until a signal comes. */
static void sleep_until(double at_s)
{
	double left_s = at_s - clock_s(CLOCK_MONOTONIC);
	struct timespec ts = {(time_t)left_s, (long)((left_s - floor(left_s)) * 1e9)};

	if (left_s > 0 && !cli_interrupted())
		nanosleep(&ts, NULL);
}

/* -- Files ------------------------------------------------------------------------------------- */

/* 0, or CLI_ERROR after a complaint. path NULL: no file. */
static int open_file(const char *path, const char *head, FILE **ret)
{
	if (!path)
		return 0;
	*ret = fopen(path, "we");
	if (!*ret)
		return cli_error("%s: %s", path, strerror(errno));
	fputs(head, *ret);
	return 0;
}

/* Rows that did not get to the disk are an error. Gives the status to end with. */
static int close_file(const char *path, FILE *f, int status)
{
	bool failed = f && ferror(f);

	if (f && fclose(f))
		failed = true;
	if (failed)
		return cli_error("%s: writing failed: %s", path, strerror(errno));
	return status;
}

static void put_key(FILE *f, const char *key)
{
	for (; *key; key++) {
		if (*key == '\t')
			fputs("\\t", f);
		else if (*key == '\n')
			fputs("\\n", f);
		else if (*key == '\\')
			fputs("\\\\", f);
		else
			fputc(*key, f);
	}
}

static void put_request(const struct watch *w, const struct watched *u, double at_s, double load_ms)
{
	if (!w->requests)
		return;
	fprintf(w->requests, "%.6f\t-\t", at_s);
	put_key(w->requests, u->url);
	fprintf(w->requests, "\t%zu\t%.3f\n", u->bytes, load_ms);
	fflush(w->requests);
}

static void put_change(const struct watch *w, const struct watched *u, double at_s)
{
	if (!w->changes)
		return;
	fprintf(w->changes, "%.6f\t", at_s);
	put_key(w->changes, u->url);
	fputc('\n', w->changes);
	fflush(w->changes);
}

/* -- One look ---------------------------------------------------------------------------------- */

static void leave_alone(struct watched *u, const char *why)
{
	cli_say("%s: %s; it is left alone from now on", u->name, why);
	u->due_s = HUGE_VAL;
}

/* The server said when to come back: that holds for all URLs of its host. */
static void rest(struct watch *w, const struct watched *asked, double s, double now_s)
{
	char span[HUMAN_MAX];

	cli_say("%s asks for a rest of %s", asked->host, human_span(span, s));
	for (size_t i = 0; i < w->n; i++) {
		struct watched *u = &w->url[i];

		if (strcmp(u->host, asked->host))
			continue;
		if (s > RETRY_AFTER_MAX)
			leave_alone(u, "a rest longer than an hour");
		else
			u->due_s = fmax(u->due_s, now_s + s);
	}
}

static void took_error(struct watch *w, struct watched *u, const struct watch_answer *a,
                       double now_s)
{
	double wait_s =
	        fmin(w->every_s * pow(2, u->errors_in_row + 1), fmax(BACKOFF_MAX_S, w->every_s));
	char span[HUMAN_MAX];

	u->errors++;
	u->errors_in_row++;
	if (a->status == 401 || a->status == 403 || a->status == 410) {
		leave_alone(u, a->error);
		return;
	}
	if (u->errors_in_row >= ERRORS_MAX) {
		leave_alone(u, a->error);
		return;
	}
	u->due_s = now_s + wait_s;
	cli_say("%s: %s; next look in %s", u->name, a->error, human_span(span, wait_s));
	if (isfinite(a->retry_after_s))
		rest(w, u, a->retry_after_s, now_s);
}

/* "19:55:02  changed     1.2 KiB  45 ms  3.1 (2.2 to 4.1) per h  TTL 12 s  https://..." */
static void print_look(const struct watch *w, const struct watched *u, const struct watch_answer *a,
                       const char *what, double at_s)
{
	char when[HUMAN_MAX], bytes[HUMAN_MAX], ms[HUMAN_MAX], rate[HUMAN_MAX], ttl[HUMAN_MAX];
	struct estimate e = change_estimate(u->target.rate);
	bool changed = u->target.looks > 1 && !strcmp(what, "changed");
	FILE *f = cli.json ? stderr : stdout;
	double lo, hi;

	if (w->quiet)
		return;
	human_interval90(e, &lo, &hi);
	human_time(when, at_s, false);
	fprintf(f, "%s  %s%-9s%s  %9s  %8s", when + 11,
	        changed && !cli.json ? term_on(TERM_BOLD) : "", what,
	        changed && !cli.json ? term_off(TERM_BOLD) : "",
	        human_bytes(bytes, (double)u->bytes), human_span(ms, a->load_ms / 1000));
	if (u->target.looks > 1)
		fprintf(f, "  %s  TTL %s", human_rate_range(rate, e.mean, lo, hi),
		        human_span(ttl, watch_advised_ttl(u->target.rate, w->max_stale)));
	fprintf(f, "  %s\n", u->name);
	fflush(f);
}

static void look(struct watch *w, struct watched *u)
{
	static const char *const word[] = {"first", "unchanged", "changed"};
	struct watch_answer a;
	struct watch_look l;
	enum watch_verdict verdict;
	double at_s = clock_s(CLOCK_REALTIME), asked_s = clock_s(CLOCK_MONOTONIC), changed_s;

	watch_http_get(u->http, &a);
	if (cli_interrupted())
		return;
	if (a.status != 200 && !(a.status == 304 && u->target.looks > 0)) {
		took_error(w, u, &a, clock_s(CLOCK_MONOTONIC));
		return;
	}
	u->errors_in_row = 0;
	if (a.status == 200)
		u->bytes = a.bytes;
	u->load_ms_sum += a.load_ms;
	/* intervals by the steady clock, so that a step of the wall clock is no evidence */
	l = (struct watch_look){
	        .at_s = asked_s,
	        .not_modified = a.status == 304,
	        .version = a.version,
	        .last_modified_s = a.last_modified_s,
	        .date_s = a.date_s,
	};
	verdict = watch_target_look(&u->target, &l, &changed_s);
	put_request(w, u, at_s, a.load_ms);
	if (verdict == WATCH_CHANGED)
		put_change(w, u, at_s - (asked_s - changed_s));
	print_look(w, u, &a, a.status == 304 ? "304" : word[verdict], at_s);
	u->due_s = asked_s + watch_target_interval(&u->target, w->max_every_s);
	if (isfinite(a.retry_after_s))
		rest(w, u, a.retry_after_s, clock_s(CLOCK_MONOTONIC));
}

static void run(struct watch *w)
{
	double end_s;

	w->start_s = clock_s(CLOCK_MONOTONIC);
	end_s = w->start_s + w->for_s;
	for (size_t i = 0; i < w->n; i++) /* spread over the first interval */
		w->url[i].due_s = w->start_s + w->every_s * (double)i / (double)w->n;
	while (!cli_interrupted()) {
		struct watched *u = &w->url[0];

		for (size_t i = 1; i < w->n; i++)
			if (w->url[i].due_s < u->due_s)
				u = &w->url[i];
		if (!isfinite(u->due_s)) {
			cli_say("no URL is left to watch");
			return;
		}
		if (u->due_s > end_s) {
			sleep_until(end_s);
			return;
		}
		sleep_until(u->due_s);
		if (!cli_interrupted())
			look(w, u);
	}
}

/* -- The result -------------------------------------------------------------------------------- */

static cJSON *summary_json(const struct watch *w, const struct watched *u)
{
	const struct watch_target *t = &u->target;
	struct estimate e = change_estimate(t->rate);
	cJSON *o = cJSON_CreateObject(), *rate, *interval;
	bool known = t->looks > 1;
	char *url = text_json(bytes_str(u->url));
	double lo, hi;

	human_interval90(e, &lo, &hi);
	cJSON_AddStringToObject(o, "url", url);
	free(url);
	cJSON_AddNumberToObject(o, "looks", t->looks);
	cJSON_AddNumberToObject(o, "changes_seen", t->changes);
	cJSON_AddNumberToObject(o, "not_modified", t->not_modified);
	cJSON_AddNumberToObject(o, "errors", u->errors);
	cJSON_AddNumberToObject(o, "watched_s", t->last_s - t->first_s);
	rate = cJSON_AddObjectToObject(o, "change_rate_per_s");
	cJSON_AddItemToObject(rate, "mean", json_number(known ? e.mean : NAN));
	cJSON_AddItemToObject(rate, "sd", json_number(known ? e.sd : NAN));
	cJSON_AddNumberToObject(rate, "n", known ? t->looks - 1 : 0);
	interval = cJSON_AddArrayToObject(o, "change_rate_90_per_s");
	cJSON_AddItemToArray(interval, json_number(known ? lo : NAN));
	cJSON_AddItemToArray(interval, json_number(known ? hi : NAN));
	cJSON_AddNumberToObject(o, "max_stale", w->max_stale);
	cJSON_AddItemToObject(o, "ttl_s",
	                      json_number(known ? watch_advised_ttl(t->rate, w->max_stale) : NAN));
	cJSON_AddItemToObject(o, "load_ms",
	                      json_number(t->looks ? u->load_ms_sum / t->looks : NAN));
	cJSON_AddNumberToObject(o, "bytes", (double)u->bytes);
	cJSON_AddBoolToObject(o, "last_modified_believed", watch_target_believes_last_modified(t));
	return o;
}

static int print_json(const struct watch *w)
{
	cJSON *list = cJSON_CreateArray();

	for (size_t i = 0; i < w->n; i++)
		cJSON_AddItemToArray(list, summary_json(w, &w->url[i]));
	return json_print(list);
}

static void print_summary(const struct watch *w)
{
	char head[64], share[HUMAN_MAX], mean[HUMAN_MAX], lo_text[HUMAN_MAX], hi_text[HUMAN_MAX],
	        ttl[HUMAN_MAX];
	struct table t = {0};

	snprintf(head, sizeof(head), "TTL s for %s stale", human_share(share, w->max_stale));
	table_column(&t, "URL", TABLE_LEFT);
	table_column(&t, "looks", TABLE_RIGHT);
	table_column(&t, "304", TABLE_RIGHT);
	table_column(&t, "errors", TABLE_RIGHT);
	table_column(&t, "changed", TABLE_RIGHT);
	table_column(&t, "changes/h", TABLE_RIGHT);
	table_column(&t, "90 % interval", TABLE_RIGHT);
	table_column(&t, "load ms", TABLE_RIGHT);
	table_column(&t, head, TABLE_RIGHT);
	for (size_t i = 0; i < w->n; i++) {
		const struct watched *u = &w->url[i];
		struct estimate e = change_estimate(u->target.rate);
		bool known = u->target.looks > 1;
		double lo, hi;

		human_interval90(e, &lo, &hi);
		table_cell(&t, "%s", u->name);
		table_cell(&t, "%u", u->target.looks);
		table_cell(&t, "%u", u->target.not_modified);
		table_cell(&t, "%u", u->errors);
		table_cell(&t, "%u", u->target.changes);
		table_cell(&t, "%s", human_number(mean, known ? e.mean * 3600 : NAN));
		if (known)
			table_cell(&t, "%s to %s", human_number(lo_text, lo * 3600),
			           human_number(hi_text, hi * 3600));
		else
			table_cell(&t, "-");
		table_cell(&t, "%s",
		           human_number(mean,
		                        u->target.looks ? u->load_ms_sum / u->target.looks : NAN));
		table_cell(&t, "%s",
		           human_number(ttl, known ? watch_advised_ttl(u->target.rate, w->max_stale)
		                                   : NAN));
	}
	putchar('\n');
	table_print(&t, stdout);
	table_release(&t);
}

/* -- Setting out ------------------------------------------------------------------------------- */

/* Lines of a file that hold secrets better than a command line does: "Name: value" each. */
static int add_header(struct watch *w, const char *text)
{
	struct option_list *list = &w->headers;
	char line[4096];
	FILE *f;

	if (text[0] != '@') {
		if (!strchr(text, ':'))
			return cli_usage("watch: --header: \"%s\" is not \"Name: value\"", text);
		list->item[list->n++] = text;
		return 0;
	}
	f = fopen(text + 1, "re");
	if (!f)
		return cli_error("%s: %s", text + 1, strerror(errno));
	while (fgets(line, sizeof(line), f) && list->n < OPTION_LIST_MAX) {
		line[strcspn(line, "\r\n")] = '\0';
		if (!strchr(line, ':'))
			continue;
		list->item[list->n++] = *vec_push(&w->kept) = text_copy(line);
	}
	fclose(f);
	return 0;
}

static int add_url(struct watch *w, const char *url, const struct watch_http_options *o)
{
	struct watched *u = &w->url[w->n];
	bool loopback;

	if (watch_http_host(url, &u->host, &loopback))
		return cli_usage("watch: \"%s\" is not a URL that begins with http:// or https://",
		                 url);
	w->n++;
	u->url = url;
	u->name = text_printable(bytes_str(url));
	if (!loopback && w->every_s < POLITE_EVERY_S)
		return cli_usage("watch: %s is not on this machine: --every must be 1s or longer",
		                 u->host);
	u->http = watch_http_new(url, o);
	if (!u->http)
		return cli_error("watch: libcurl cannot be set up");
	watch_target_init(&u->target, w->every_s, w->for_s);
	return 0;
}

/* All that can be wrong before the first look. 0, or an exit status after a complaint. */
static int set_out(struct watch *w, char **url, int n_urls)
{
	struct watch_http_options http;
	const char *why;
	int status = 0;

	if (w->max_every_s == 0)
		w->max_every_s =
		        fmax(w->every_s, fmin(w->every_s * MAX_INTERVALS, w->for_s * MAX_SHARE));
	if (w->max_every_s < w->every_s)
		return cli_usage("watch: --max-every is shorter than --every");
	if (content_ignore_new(w->ignore.item, w->ignore.n, &w->ignored, &why))
		return cli_usage("watch: --ignore: %s", why);
	for (size_t i = 0; i < w->header_args.n && !status; i++)
		status = add_header(w, w->header_args.item[i]);
	http = (struct watch_http_options){w->headers.item, w->headers.n, w->ignored, w->timeout_s};
	for (int i = 0; i < n_urls && !status; i++)
		status = add_url(w, url[i], &http);
	if (!status)
		status = open_file(w->changes_path, "time_s\tkey\n", &w->changes);
	if (!status)
		status = open_file(w->requests_path, "time_s\tendpoint\tkey\tbytes\tload_ms\n",
		                   &w->requests);
	return status;
}

/* Gives the status to end with. */
static int end(struct watch *w, int status)
{
	status = close_file(w->changes_path, w->changes, status);
	status = close_file(w->requests_path, w->requests, status);
	for (size_t i = 0; i < w->n; i++) {
		watch_http_free(&w->url[i].http);
		free(w->url[i].name);
		free(w->url[i].host);
	}
	for (size_t i = 0; i < w->kept.n; i++)
		free(w->kept.v[i]);
	vec_free(&w->kept);
	content_ignore_free(&w->ignored);
	return status;
}

static bool anything_seen(const struct watch *w)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->url[i].target.looks > 0)
			return true;
	return false;
}

/* Looks until the time is over or a signal comes, and shows what came out. */
static int watch(struct watch *w)
{
	char span[HUMAN_MAX], every[HUMAN_MAX];

	cli_catch_signals();
	cli_say("watching %zu URL%s for %s, each at most once in %s; one request at a time; Ctrl-C "
	        "ends it",
	        w->n, w->n > 1 ? "s" : "", human_span(span, w->for_s),
	        human_span(every, w->every_s));
	run(w);
	if (cli.json)
		print_json(w);
	else
		print_summary(w);
	return anything_seen(w) ? CLI_OK : cli_error("watch: no URL gave an answer");
}

int cmd_watch(int argc, char **argv)
{
	static const struct usage usage = {
	        .synopsis = "URL...",
	        .brief = "Looks at URLs again and again, and tells how often each really changes "
	                 "and which TTL keeps stale answers below a share. Needs no daemon.",
	        .examples = "forecache watch https://api.example/quotes/IBM\n"
	                    "forecache watch --for 2h --max-stale 0.05 https://api.example/a "
	                    "https://api.example/b\n"
	                    "forecache watch --changes C.tsv --requests R.tsv --header @token.txt "
	                    "https://api.example/a\n",
	        .details = "One request at a time; conditional ones where the server gives an "
	                   "ETag or Last-Modified. Intervals start at --every and grow where "
	                   "little changes, until a change between two looks is about as likely "
	                   "as not. Retry-After is honoured; a server that refuses (401, 403, "
	                   "410) or fails five times in a row is left alone. Ctrl-C ends the "
	                   "watch with its result.\n"
	                   "JSON is compared by content: spacing and the order of members do not "
	                   "count.\n"
	                   "The TTL is the one at which the share of stale answers, averaged over "
	                   "the TTL, is --max-stale; how unsure the change rate is, is allowed "
	                   "for.\n"
	                   "The changes file has a row per change that was seen: several between "
	                   "two looks count once, and without Last-Modified the time is the "
	                   "middle between the two.",
	        .min_args = 1,
	        .max_args = URLS_MAX,
	};
	struct watch w = {.every_s = 10, .for_s = 600, .max_stale = 0.01, .timeout_s = 10};
	const struct option_row rows[] = {
	        {"every", 0, OPTION_SPAN, &w.every_s, 0.01, 86400, "TIME",
	         "shortest interval between two looks at a URL (10s)"},
	        {"for", 0, OPTION_SPAN, &w.for_s, 0.1, 31536000, "TIME", "watch so long (10m)"},
	        {"max-every", 0, OPTION_SPAN, &w.max_every_s, 0.01, 86400, "TIME",
	         "longest interval (12 times --every, at most a twentieth of --for)"},
	        {"max-stale", 0, OPTION_NUMBER, &w.max_stale, 0.0001, 0.5, "SHARE",
	         "share of answers that may be stale (0.01)"},
	        {"changes", 0, OPTION_TEXT, &w.changes_path, 0, 0, "FILE",
	         "write the changes that are seen: a file for simulate"},
	        {"requests", 0, OPTION_TEXT, &w.requests_path, 0, 0, "FILE",
	         "write the looks as requests: a file for simulate"},
	        {"header", 'H', OPTION_LIST, &w.header_args, 0, 0, "LINE|@FILE",
	         "send this header, or those in the file"},
	        {"ignore", 0, OPTION_LIST, &w.ignore, 0, 0, "POINTER",
	         "JSON pointer to what does not count as content, such as /meta/generated_at; * "
	         "stands for any one member"},
	        {"answer-timeout", 0, OPTION_SPAN, &w.timeout_s, 0.1, 600, "TIME",
	         "give up waiting for an answer (10s)"},
	        {"quiet", 'q', OPTION_FLAG, &w.quiet, 0, 0, NULL, "only the result, not each look"},
	};
	int status = options_parse(&usage, rows, sizeof(rows) / sizeof(rows[0]), &argc, &argv);

	if (status >= 0)
		return status;
	curl_global_init(CURL_GLOBAL_DEFAULT);
	status = set_out(&w, argv, argc);
	if (!status)
		status = watch(&w);
	status = end(&w, status);
	curl_global_cleanup();
	return status;
}
