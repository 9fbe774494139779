/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/http_rules.h"

#include <curl/curl.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A year: RFC 9111 lets a cache take anything longer as that. */
#define MAX_DELTA_S 31536000.0
#define MAX_RETRY_S 86400.0

void http_answer_init(struct http_answer *a)
{
	*a = (struct http_answer){.max_age_s = -1,
	                          .s_maxage_s = -1,
	                          .age_s = -1,
	                          .date_s = -1,
	                          .expires_s = -1,
	                          .last_modified_s = -1,
	                          .retry_after_s = -1,
	                          .retry_at_s = -1};
}

/* -- Values ----------------------------------------------------------------------------------- */

/* Digits only, optionally quoted; < 0 for anything else. */
static double delta(const char *s, size_t n)
{
	double v = 0;
	size_t i;

	if (n >= 2 && s[0] == '"' && s[n - 1] == '"') {
		s++;
		n -= 2;
	}
	for (i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		v = v * 10 + (s[i] - '0');
		if (v > MAX_DELTA_S)
			v = MAX_DELTA_S;
	}
	return n ? v : -1;
}

static double date(const char *s, size_t n)
{
	char text[64];
	time_t t;

	if (n >= sizeof text)
		return -1;
	memcpy(text, s, n);
	text[n] = '\0';
	t = curl_getdate(text, NULL);
	return t < 0 ? -1 : (double)t;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void trim(const char **s, size_t *n)
{
	while (*n && is_blank(**s)) {
		(*s)++;
		(*n)--;
	}
	while (*n && is_blank((*s)[*n - 1]))
		(*n)--;
}

static bool is_name(const char *s, size_t n, const char *name)
{
	return n == strlen(name) && strncasecmp(s, name, n) == 0;
}

static void cache_control(struct http_answer *a, const char *s, size_t n)
{
	const char *end = s + n;

	while (s < end) {
		const char *comma = s, *v, *eq;
		size_t item, name;
		bool quoted = false;

		/* a quoted list may hold commas: private="Set-Cookie, X-Id" */
		while (comma < end && (quoted || *comma != ',')) {
			quoted ^= *comma == '"';
			comma++;
		}
		v = s;
		item = (size_t)(comma - s);
		trim(&v, &item);
		eq = memchr(v, '=', item);
		name = eq ? (size_t)(eq - v) : item;
		if (is_name(v, name, "no-store"))
			a->no_store = true;
		else if (is_name(v, name, "private"))
			a->is_private = true;
		else if (is_name(v, name, "no-cache"))
			a->no_cache = true;
		/*
		 * what is no number counts as 0: the origin wanted a limit, and this is the safe
		 * one
		 */
		else if (is_name(v, name, "max-age"))
			a->max_age_s = eq && delta(eq + 1, item - name - 1) >= 0
			                       ? delta(eq + 1, item - name - 1)
			                       : 0;
		else if (is_name(v, name, "s-maxage"))
			a->s_maxage_s = eq && delta(eq + 1, item - name - 1) >= 0
			                        ? delta(eq + 1, item - name - 1)
			                        : 0;
		s = comma + 1;
	}
}

static void add_vary(struct http_answer *a, const char *s, size_t n)
{
	size_t have = strlen(a->vary);

	if (have + n + 2 > sizeof a->vary) {
		a->vary_too_long = true;
		return;
	}
	if (have)
		a->vary[have++] = ',';
	memcpy(a->vary + have, s, n);
	a->vary[have + n] = '\0';
}

static void copy(char *to, size_t size, const char *s, size_t n)
{
	*to = '\0';
	if (n >= size)
		return;
	/* a bare CR would begin a line of its own in the request that carries it back */
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
			return;
	memcpy(to, s, n);
	to[n] = '\0';
}

void http_answer_header(struct http_answer *a, const char *line, size_t n)
{
	const char *colon = memchr(line, ':', n), *v;
	size_t name, len;

	if (!colon)
		return;
	name = (size_t)(colon - line);
	v = colon + 1;
	len = n - name - 1;
	trim(&v, &len);
	if (is_name(line, name, "Cache-Control")) {
		cache_control(a, v, len);
	} else if (is_name(line, name, "Set-Cookie")) {
		a->set_cookie = true;
	} else if (is_name(line, name, "Vary")) {
		add_vary(a, v, len);
	} else if (is_name(line, name, "ETag")) {
		copy(a->etag, sizeof a->etag, v, len);
	} else if (is_name(line, name, "Last-Modified")) {
		a->last_modified_s = date(v, len);
		copy(a->last_modified, sizeof a->last_modified, v, len);
		if (a->last_modified_s < 0)
			*a->last_modified = '\0';
	} else if (is_name(line, name, "Date")) {
		a->date_s = date(v, len);
	} else if (is_name(line, name, "Expires")) {
		/* "0" and other nonsense mean: in the past */
		a->expires_s = date(v, len) < 0 ? 0 : date(v, len);
	} else if (is_name(line, name, "Age")) {
		a->age_s = delta(v, len);
	} else if (is_name(line, name, "Retry-After")) {
		a->retry_after_s = delta(v, len);
		a->retry_at_s = a->retry_after_s < 0 ? date(v, len) : -1;
	} else if (is_name(line, name, "Content-Type")) {
		const char *end = memchr(v, ';', len);
		size_t type = end ? (size_t)(end - v) : len;

		trim(&v, &type);
		a->json = is_name(v, type, "application/json") || is_name(v, type, "text/json") ||
		          (type > 5 && strncasecmp(v + type - 5, "+json", 5) == 0);
	}
}

/* -- What follows ----------------------------------------------------------------------------- */

static bool vary_is_listed(const struct http_answer *a, const char *const *vary, size_t n_vary)
{
	const char *s = a->vary;

	while (*s) {
		size_t n = strcspn(s, ","), item = n, i;
		const char *v = s;

		trim(&v, &item);
		s += n + (s[n] == ',');
		/* we ask for and undo encodings in the same way each time */
		if (item == 0 || is_name(v, item, "Accept-Encoding"))
			continue;
		for (i = 0; i < n_vary && !is_name(v, item, vary[i]); i++)
			;
		if (i == n_vary)
			return false;
	}
	return true;
}

bool http_answer_cacheable(const struct http_answer *a, const char *const *vary, size_t n_vary,
                           bool cache_private, const char **ret_why)
{
	*ret_why = NULL;
	if (a->no_store && !cache_private)
		*ret_why = "Cache-Control: no-store";
	else if (a->is_private && !cache_private)
		*ret_why = "Cache-Control: private";
	else if (a->set_cookie && !cache_private)
		*ret_why = "Set-Cookie";
	else if (a->vary_too_long || !vary_is_listed(a, vary, n_vary))
		*ret_why = "Vary by a header that is not listed in vary";
	return !*ret_why;
}

struct span http_answer_max_age(const struct http_answer *a)
{
	double s = a->s_maxage_s >= 0 ? a->s_maxage_s : a->max_age_s;

	if (s < 0 && a->expires_s >= 0 && a->date_s >= 0)
		s = a->expires_s > a->date_s ? a->expires_s - a->date_s : 0;
	else if (s < 0 && a->expires_s == 0)
		s = 0;
	if (a->no_cache)
		s = 0;
	if (s < 0)
		return SPAN_ZERO;
	if (a->age_s > 0)
		s -= a->age_s;
	return s > 0 ? span_from_s(s) : SPAN_US(1);
}

struct span http_answer_retry_after(const struct http_answer *a, double now_s)
{
	double s = a->retry_after_s;

	if (s < 0 && a->retry_at_s >= 0)
		s = a->retry_at_s - now_s;
	if (!(s > 0))
		return SPAN_ZERO;
	return span_from_s(s < MAX_RETRY_S ? s : MAX_RETRY_S);
}

bool http_answer_last_modified_is_strong(const struct http_answer *a)
{
	return a->last_modified_s >= 0 && a->date_s >= 0 && a->date_s - a->last_modified_s >= 1;
}

double http_answer_modified_ago(const struct http_answer *a, double now_s)
{
	if (a->last_modified_s < 0)
		return -1;
	if (a->date_s < 0)
		return now_s - a->last_modified_s;
	return a->date_s - a->last_modified_s + (a->age_s > 0 ? a->age_s : 0);
}
