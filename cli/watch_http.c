/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/watch_http.h"

#include "base/mem.h"
#include "base/vec.h"
#include "cli/cli.h"
#include "base/text.h"

#include "config.h"

#include <curl/curl.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define USER_AGENT    "forecache-watch/" PACKAGE_VERSION
#define VALIDATOR_MAX 512 /* longer ETags are not remembered */
#define REDIRECTS_MAX 3L

struct watch_http {
	CURL *curl;
	const struct content_ignore *ignore;
	struct curl_slist *header;                              /* ours, without validators */
	char etag[VALIDATOR_MAX], last_modified[VALIDATOR_MAX]; /* of the last 200; "": none */
	/* of the answer under way */
	VEC(char) body;
	bool too_large;
	char new_etag[VALIDATOR_MAX], new_last_modified[VALIDATOR_MAX];
	struct watch_answer *answer;
	char curl_error[CURL_ERROR_SIZE];
};

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct watch_http *h = arg;

	n *= size;
	if (h->body.n + n > WATCH_HTTP_MAX_BYTES) {
		h->too_large = true;
		return 0;
	}
	vec_reserve(&h->body, h->body.n + n);
	memcpy(h->body.v + h->body.n, p, n);
	h->body.n += n;
	return n;
}

/* The value of header `name` without blanks around it, or NULL. */
static const char *value_of(const char *line, size_t n, const char *name, char ret[VALIDATOR_MAX])
{
	size_t m = strlen(name);

	if (n <= m || strncasecmp(line, name, m) || line[m] != ':')
		return NULL;
	line += m + 1;
	n -= m + 1;
	while (n > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		n--;
	}
	while (n > 0 && strchr("\r\n \t", line[n - 1]))
		n--;
	if (n >= VALIDATOR_MAX)
		return NULL;
	memcpy(ret, line, n);
	ret[n] = '\0';
	return ret;
}

static double date_of(const char *text)
{
	time_t t = curl_getdate(text, NULL);

	return t == -1 ? NAN : (double)t;
}

static double retry_after(const char *text)
{
	char *end;
	double s = strtod(text, &end);

	if (end != text && !*end && s >= 0)
		return s;
	s = date_of(text) - (double)time(NULL);
	return s > 0 ? s : isnan(s) ? NAN : 0;
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct watch_http *h = arg;
	char value[VALIDATOR_MAX];

	n *= size;
	if (n > 5 && !strncmp(line, "HTTP/", 5)) { /* after a redirect, another answer begins */
		h->new_etag[0] = h->new_last_modified[0] = '\0';
		h->answer->date_s = h->answer->retry_after_s = NAN;
	} else if (value_of(line, n, "ETag", value)) {
		memcpy(h->new_etag, value, VALIDATOR_MAX);
	} else if (value_of(line, n, "Last-Modified", value)) {
		memcpy(h->new_last_modified, value, VALIDATOR_MAX);
	} else if (value_of(line, n, "Date", value)) {
		h->answer->date_s = date_of(value);
	} else if (value_of(line, n, "Retry-After", value)) {
		h->answer->retry_after_s = retry_after(value);
	}
	return n;
}

static int on_progress(void *arg, curl_off_t dt, curl_off_t dn, curl_off_t ut, curl_off_t un)
{
	(void)arg, (void)dt, (void)dn, (void)ut, (void)un;
	return cli_interrupted();
}

/* http and https only, also after a redirect: a server must not make us read files. */
static void only_http(CURL *curl)
{
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
	curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

struct watch_http *watch_http_new(const char *url, const struct watch_http_options *o)
{
	struct watch_http *h = mem_calloc(1, sizeof(*h));

	h->curl = curl_easy_init();
	if (!h->curl) {
		free(h);
		return NULL;
	}
	h->ignore = o->ignore;
	for (size_t i = 0; i < o->n_headers; i++)
		h->header = curl_slist_append(h->header, o->header[i]);
	curl_easy_setopt(h->curl, CURLOPT_URL, url);
	only_http(h->curl);
	curl_easy_setopt(h->curl, CURLOPT_USERAGENT, USER_AGENT);
	curl_easy_setopt(h->curl, CURLOPT_ACCEPT_ENCODING, "");
	curl_easy_setopt(h->curl, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(h->curl, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
	curl_easy_setopt(h->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h->curl, CURLOPT_TIMEOUT_MS, (long)(o->timeout_s * 1000));
	curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, h);
	curl_easy_setopt(h->curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(h->curl, CURLOPT_HEADERDATA, h);
	curl_easy_setopt(h->curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(h->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, h->curl_error);
	return h;
}

void watch_http_free(struct watch_http **h)
{
	if (!*h)
		return;
	curl_easy_cleanup((*h)->curl);
	curl_slist_free_all((*h)->header);
	vec_free(&(*h)->body);
	free(*h);
	*h = NULL;
}

static struct curl_slist *with_validators(const struct watch_http *h)
{
	struct curl_slist *all = NULL;
	char line[VALIDATOR_MAX + 32];

	for (const struct curl_slist *s = h->header; s; s = s->next)
		all = curl_slist_append(all, s->data);
	if (h->etag[0]) {
		snprintf(line, sizeof(line), "If-None-Match: %s", h->etag);
		all = curl_slist_append(all, line);
	}
	if (h->last_modified[0]) {
		snprintf(line, sizeof(line), "If-Modified-Since: %s", h->last_modified);
		all = curl_slist_append(all, line);
	}
	return all;
}

void watch_http_get(struct watch_http *h, struct watch_answer *ret)
{
	struct curl_slist *header = with_validators(h);
	curl_off_t total_us = 0;
	long status = 0;
	CURLcode rc;

	*ret = (struct watch_answer){.last_modified_s = NAN, .date_s = NAN, .retry_after_s = NAN};
	h->answer = ret;
	h->body.n = 0;
	h->too_large = false;
	h->new_etag[0] = h->new_last_modified[0] = h->curl_error[0] = '\0';
	curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, header);
	rc = curl_easy_perform(h->curl);
	curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(header);
	if (rc) {
		char *why = text_printable(
		        bytes_str(*h->curl_error ? h->curl_error : curl_easy_strerror(rc)));

		if (h->too_large)
			snprintf(ret->error, sizeof(ret->error),
			         "the answer is longer than %u bytes", WATCH_HTTP_MAX_BYTES);
		else
			snprintf(ret->error, sizeof(ret->error), "%.200s", why);
		free(why);
		return;
	}
	curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(h->curl, CURLINFO_TOTAL_TIME_T, &total_us);
	ret->status = (int)status;
	ret->load_ms = (double)total_us / 1000;
	ret->bytes = h->body.n;
	ret->version = content_hash_json(bytes_of(h->body.v, h->body.n), h->ignore);
	if (h->new_last_modified[0])
		ret->last_modified_s = date_of(h->new_last_modified);
	if (status == 200) {
		memcpy(h->etag, h->new_etag, VALIDATOR_MAX);
		memcpy(h->last_modified, h->new_last_modified, VALIDATOR_MAX);
	} else if (status != 304) {
		snprintf(ret->error, sizeof(ret->error), "status %ld", status);
	}
}

static bool is_loopback(const char *host)
{
	return !strcasecmp(host, "localhost") || !strncmp(host, "127.", 4) ||
	       !strcmp(host, "[::1]");
}

int watch_http_host(const char *url, char **ret_host, bool *ret_loopback)
{
	char *scheme = NULL, *host = NULL, *port = NULL;
	CURLU *u = curl_url();
	int rc = -EINVAL;

	if (u && !curl_url_set(u, CURLUPART_URL, url, 0) &&
	    !curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) &&
	    !curl_url_get(u, CURLUPART_HOST, &host, 0) &&
	    !curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) && *host &&
	    (!strcmp(scheme, "http") || !strcmp(scheme, "https"))) {
		*ret_host = mem_calloc(strlen(host) + strlen(port) + 2, 1);
		sprintf(*ret_host, "%s:%s", host, port);
		*ret_loopback = is_loopback(host);
		rc = 0;
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(u);
	return rc;
}
