/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/http_setup.h"

#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_SECRET_BYTES 16384 /* of a file with a header's value */
#define MAX_HEADER_TEXT  32768 /* of a header with its secrets put in */

/* Reads a file that holds a secret; the line end at its end is not part of it. */
static int read_secret(const char *path, char *ret, size_t size, size_t *ret_n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = 0;
	struct stat st;
	ssize_t n = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = -EINVAL;
	else if (st.st_size > MAX_SECRET_BYTES || (size_t)st.st_size > size)
		err = -EFBIG;
	else if ((n = read(fd, ret, (size_t)st.st_size)) < 0)
		err = -errno;
	close(fd);
	if (err)
		return err;
	while (n > 0 && (ret[n - 1] == '\n' || ret[n - 1] == '\r'))
		n--;
	*ret_n = (size_t)n;
	return 0;
}

/* Puts the value of ${env:NAME} or ${file:PATH} at *p to ret, and moves *p behind it. */
static int secret(const char **p, char *ret, size_t size, size_t *ret_n, struct fault *e)
{
	const char *end = strchr(*p, '}'), *what = *p + 2;
	char name[PATH_MAX];
	const char *value;
	bool is_env = strncmp(what, "env:", 4) == 0, is_file = strncmp(what, "file:", 5) == 0;
	size_t n;
	int err;

	what += is_env ? 4 : 5;
	if (!end || !(is_env || is_file) || end <= what || (size_t)(end - what) >= sizeof name)
		return fault_set(e, -EINVAL, "'${' must be ${env:NAME} or ${file:/path}");
	n = (size_t)(end - what);
	memcpy(name, what, n);
	name[n] = '\0';
	*p = end + 1;
	if (is_file) {
		err = read_secret(name, ret, size, ret_n);
		return err ? fault_set(e, err, "%.180s: %s", name, strerror(-err)) : 0;
	}
	value = getenv(name);
	if (!value)
		return fault_set(e, -ENOENT, "$%.80s is not set", name);
	*ret_n = strlen(value);
	if (*ret_n > size)
		return fault_set(e, -EFBIG, "$%.80s is too long", name);
	memcpy(ret, value, *ret_n);
	return 0;
}

/* How long the name is; 0: it is none. */
static size_t name_of(const char *header)
{
	const char *colon = strchr(header, ':');
	size_t n = colon ? (size_t)(colon - header) : 0;

	return colon && text_is_token(header, n) ? n : 0;
}

/* Appends "Name: value" with its secrets put in. Error texts never have its value. */
static int add_header(struct curl_slist **list, const char *header, struct fault *e)
{
	static const char *const ours[] = {
	        "If-None-Match",  "If-Modified-Since", "If-Match",   "Range",           "If-Range",
	        "Content-Length", "Transfer-Encoding", "Connection", "Accept-Encoding", "Expect"};
	const char *p = header;
	size_t name = name_of(header), n = 0, got, i;
	struct curl_slist *longer;
	char *text;
	int err = 0;

	if (!name)
		return fault_set(e, -EINVAL, "must be \"Name: value\"");
	for (i = 0; i < sizeof ours / sizeof *ours; i++)
		if (strlen(ours[i]) == name && strncasecmp(ours[i], header, name) == 0)
			return fault_set(e, -EINVAL, "is set by the cache itself");
	text = mem_calloc(1, MAX_HEADER_TEXT + 1);
	while (*p && !err && n < MAX_HEADER_TEXT) {
		if (p[0] != '$' || p[1] != '{') {
			text[n++] = *p++;
			continue;
		}
		err = secret(&p, text + n, MAX_HEADER_TEXT - n, &got, e);
		if (!err)
			n += got;
	}
	if (!err && *p)
		err = fault_set(e, -EFBIG, "is longer than %d bytes", MAX_HEADER_TEXT);
	for (i = 0; i < n && !err; i++)
		if ((unsigned char)text[i] < ' ' && text[i] != '\t')
			err = fault_set(e, -EINVAL,
			                "its value has a line end or control character in it");
	if (!err) {
		longer = curl_slist_append(*list, text);
		if (longer)
			*list = longer;
		else
			err = fault_set(e, -ENOMEM, "no memory");
	}
	explicit_bzero(text, MAX_HEADER_TEXT);
	free(text);
	return err;
}

int http_header_check(const char *header, struct fault *e)
{
	struct curl_slist *list = NULL;
	int err = add_header(&list, header, e);

	curl_slist_free_all(list);
	return err;
}

static void route_release(struct http_setup_route *r)
{
	size_t i;

	free(r->match);
	free(r->url);
	for (i = 0; i < r->n_vary; i++)
		free((char *)r->vary[i]);
	free(r->vary);
	curl_slist_free_all(r->header);
	content_ignore_free(&r->ignore);
}

void http_setup_drop(struct http_setup *s)
{
	size_t i;

	if (--s->users)
		return;
	for (i = 0; i < s->n_routes; i++)
		route_release(&s->route[i]);
	free(s->route);
	free(s->name);
	free(s->ca_file);
	free(s->proxy);
	free(s->user_agent);
	free(s);
}

static int route_read(const struct http_route *c, struct http_setup_route *r, struct fault *e)
{
	const char *why;
	size_t i;
	int err;

	r->match = text_copy(c->match);
	if (!c->url)
		return fault_set(e, -EINVAL, "url: missing");
	why = url_template_check(c->url, c->match);
	if (why)
		return fault_set(e, -EINVAL, "url: '%.120s' %s", c->url, why);
	r->url = text_copy(c->url);
	r->cache_private = c->cache_private;
	r->vary = mem_calloc(c->n_vary + 1, sizeof *r->vary);
	for (; r->n_vary < c->n_vary; r->n_vary++)
		r->vary[r->n_vary] = text_copy(c->vary[r->n_vary]);
	if (content_ignore_new(c->ignore, c->n_ignore, &r->ignore, &why))
		return fault_set(e, -EINVAL, "ignore: %s", why);
	for (i = 0; i < c->n_headers; i++) {
		size_t name = name_of(c->header[i]);
		struct fault inner;

		err = add_header(&r->header, c->header[i], &inner);
		if (err)
			return fault_set(e, err, "header %.*s: %.400s",
			                 (int)(name < 80 ? name : 80), c->header[i], inner.text);
	}
	return 0;
}

int http_setup_new(const struct http_origin_config *c, struct http_setup **ret, struct fault *e)
{
	struct http_setup *s = mem_calloc(1, sizeof *s);
	size_t i;
	int err = 0;

	s->users = 1;
	s->name = text_copy(c->name ? c->name : "origin");
	s->ca_file = text_copy(c->ca_file);
	s->proxy = text_copy(c->proxy);
	s->user_agent = text_copy(c->user_agent ? c->user_agent : "forecached/" FORECACHED_VERSION);
	s->scale = c->time_scale > 0 ? c->time_scale : 1;
#define X(field, def, lo, hi, unit, help)                                                          \
	if (!err && !(c->field >= (lo) && c->field <= (hi)))                                       \
		err = fault_set(e, -EINVAL, #field ": must be a number from %.15g to %.15g " unit, \
		                (double)(lo), (double)(hi));                                       \
	s->field = c->field;
	HTTP_ORIGIN_TABLE(X)
#undef X
	if (!err && s->ca_file && access(s->ca_file, R_OK) < 0)
		err = fault_set(e, -errno, "ca_file: %.180s: %s", s->ca_file, strerror(errno));
	s->route = mem_calloc(c->n_routes + 1, sizeof *s->route);
	for (i = 0; i < c->n_routes && !err; i++) {
		s->n_routes++;
		err = route_read(&c->route[i], &s->route[i], e);
	}
	if (err) {
		http_setup_drop(s);
		return err;
	}
	*ret = s;
	return 0;
}

const struct http_setup_route *http_setup_find(const struct http_setup *s, struct bytes endpoint,
                                               struct bytes key, struct url_captures *ret)
{
	size_t i;

	for (i = 0; i < s->n_routes; i++) {
		const struct http_setup_route *r = &s->route[i];
		struct url_captures unused;

		if (url_match(r->match, key, ret))
			return r;
		if (url_match(r->match, endpoint, &unused)) {
			ret->n = 0;
			return r;
		}
	}
	return NULL;
}
