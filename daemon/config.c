/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/config.h"

#include "base/bug.h"
#include "base/mem.h"
#include "daemon/address.h"
#include "daemon/config_source.h"
#include "daemon/option.h"
#include "daemon/pattern.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* A configuration is written by people: what is longer is a mistake, and cJSON looks keys up in
 * lists. */
#define CONFIG_MAX_BYTES (1u << 20)
#define CONFIG_MAX_DEPTH 16
#define CONFIG_MAX_LIST  10000

/* What one parse works on. */
struct parse {
	struct config *c;
	const char *file;
	struct config_error *err;
};

int config_fail(struct config_error *e, const char *path, const char *fmt, ...)
{
	va_list ap;

	snprintf(e->path, sizeof(e->path), "%s", path);
	va_start(ap, fmt);
	vsnprintf(e->why, sizeof(e->why), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* -- Numbers as people write them ------------------------------------------------------------- */

static bool with_suffix(const char *text, const char *const *suffix, const double *factor, size_t n,
                        double *ret)
{
	char *end;
	double v;

	/* strtod also takes "inf", "nan", exponents and hexadecimal, none of which anybody means
	 * here */
	v = strtod(text, &end);
	if (end == text || end != text + strspn(text, "0123456789.") || !isfinite(v))
		return false;
	while (*end == ' ')
		end++;
	for (size_t i = 0; i < n; i++)
		if (!strcmp(end, suffix[i])) {
			*ret = v * factor[i];
			return isfinite(*ret);
		}
	return false;
}

bool config_duration(const char *text, double *ret_s)
{
	static const char *const suffix[] = {"", "s", "ms", "m", "min", "h", "d", "w"};
	static const double factor[] = {1, 1, 1e-3, 60, 60, 3600, 86400, 604800};

	return with_suffix(text, suffix, factor, 8, ret_s);
}

static bool config_size(const char *text, double *ret_bytes)
{
	static const char *const suffix[] = {"", "B", "KiB", "MiB", "GiB", "kB", "MB", "GB"};
	static const double factor[] = {1, 1, 1024, 1048576, 1073741824.0, 1e3, 1e6, 1e9};

	return with_suffix(text, suffix, factor, 8, ret_bytes);
}

/* -- Values ----------------------------------------------------------------------------------- */

static const char *kind_of(const cJSON *v)
{
	return cJSON_IsObject(v)   ? "an object"
	       : cJSON_IsArray(v)  ? "a list"
	       : cJSON_IsString(v) ? "a text"
	       : cJSON_IsBool(v)   ? "true or false"
	       : cJSON_IsNull(v)   ? "null"
	                           : "a number";
}

static void set_text(char **field, const char *value)
{
	free(*field);
	*field = value ? mem_dup(value, strlen(value)) : NULL;
}

static int parse_text(struct parse *p, const cJSON *v, const char *path, char **ret)
{
	if (!cJSON_IsString(v))
		return config_fail(p->err, path, "must be a text in quotes, is %s", kind_of(v));
	for (const char *s = v->valuestring; *s; s++)
		if ((unsigned char)*s < 0x20)
			return config_fail(p->err, path, "must not contain control characters");
	set_text(ret, v->valuestring);
	config_source_note(p->c, path, p->file);
	return 0;
}

static int parse_bool(struct parse *p, const cJSON *v, const char *path, bool *ret)
{
	if (!cJSON_IsBool(v))
		return config_fail(p->err, path, "must be true or false, is %s", kind_of(v));
	*ret = cJSON_IsTrue(v);
	config_source_note(p->c, path, p->file);
	return 0;
}

static int parse_number(struct parse *p, const cJSON *v, const char *path, const struct option *o,
                        void *of)
{
	char lo[64], hi[64];
	double d = NAN;
	bool text = cJSON_IsString(v);

	if (cJSON_IsNumber(v))
		d = v->valuedouble;
	else if (text && !strcmp(o->unit, "s") && !config_duration(v->valuestring, &d))
		return config_fail(p->err, path,
		                   "is not a length of time: write seconds, or \"30s\", \"5m\", "
		                   "\"24h\", \"7d\"");
	else if (text && !strcmp(o->unit, "bytes") && !config_size(v->valuestring, &d))
		return config_fail(
		        p->err, path,
		        "is not a size: write bytes, or \"64KiB\", \"256MiB\", \"1GiB\"");
	else if (!text || isnan(d))
		return config_fail(p->err, path, "must be a number (%s), is %s", o->unit,
		                   kind_of(v));
	if (!(d >= o->lo && d <= o->hi)) {
		option_format(o, o->lo, lo, sizeof(lo));
		option_format(o, o->hi, hi, sizeof(hi));
		return config_fail(p->err, path,
		                   "%.15g is out of range: must be from %s to %s, in %s: %s", d, lo,
		                   hi, o->unit, o->help);
	}
	option_set(o, of, d);
	config_source_note(p->c, path, p->file);
	return 0;
}

/* -- Keys ------------------------------------------------------------------------------------- */

/* Edit distance of short names, to suggest what was meant. */
static size_t distance(const char *a, const char *b)
{
	size_t na = strlen(a), nb = strlen(b), row[64];

	if (na >= 64 || nb >= 64)
		return 64;
	for (size_t j = 0; j <= nb; j++)
		row[j] = j;
	for (size_t i = 1; i <= na; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			size_t above = row[j], best = diagonal + (a[i - 1] != b[j - 1]);

			best = above + 1 < best ? above + 1 : best;
			best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
			row[j] = best;
			diagonal = above;
		}
	}
	return row[nb];
}

static void consider(const char *wrong, const char *name, size_t *best, const char **ret)
{
	size_t d = distance(wrong, name);

	if (d < *best) {
		*best = d;
		*ret = name;
	}
}

/* Names: further keys that are allowed here, ends with NULL. Tables: ends with NULL. */
static int unknown_key(struct parse *p, const char *path, const char *key, const char *const *names,
                       const struct option_table *const *tables, bool texts)
{
	size_t best = strlen(key) / 2 + 1; /* half of it wrong is not a slip of the pen */
	const char *near = NULL;

	for (; *names; names++)
		consider(key, *names, &best, &near);
	for (; *tables; tables++)
		for (size_t i = 0; i < (*tables)->n; i++)
			consider(key, (*tables)->row[i].name, &best, &near);
	for (size_t i = 0; texts && i < option_n_text; i++)
		consider(key, option_text[i].name, &best, &near);
	if (near)
		return config_fail(p->err, path, "unknown key: did you mean \"%s\"?", near);
	return config_fail(p->err, path,
	                   "unknown key: remove it; forecached.conf(5) lists all keys");
}

/* An object without a key twice. Every key's path is `path.key`. */
static int parse_object(struct parse *p, const cJSON *v, const char *path)
{
	char sub[256];

	if (!cJSON_IsObject(v))
		return config_fail(p->err, path, "must be an object { ... }, is %s", kind_of(v));
	if (cJSON_GetArraySize(v) > CONFIG_MAX_LIST)
		return config_fail(p->err, path, "has more than %d keys", CONFIG_MAX_LIST);
	for (const cJSON *a = v->child; a; a = a->next)
		for (const cJSON *b = a->next; b; b = b->next)
			if (!strcmp(a->string, b->string)) {
				config_path_join(sub, sizeof(sub), path, a->string);
				return config_fail(p->err, sub, "is given twice: keep one of them");
			}
	return 0;
}

static int parse_list(struct parse *p, const cJSON *v, const char *path)
{
	if (!cJSON_IsArray(v))
		return config_fail(p->err, path, "must be a list [ ... ], is %s", kind_of(v));
	if (cJSON_GetArraySize(v) > CONFIG_MAX_LIST)
		return config_fail(p->err, path, "has more than %d entries", CONFIG_MAX_LIST);
	return 0;
}

static int parse_texts(struct parse *p, const cJSON *v, const char *path, struct config_texts *ret)
{
	int rc = parse_list(p, v, path);
	size_t i = 0;

	for (const cJSON *e = rc ? NULL : v->child; e && !rc; e = e->next) {
		char sub[256];
		char **t = vec_push(ret);

		*t = NULL;
		snprintf(sub, sizeof(sub), "%.200s[%zu]", path, i++);
		rc = parse_text(p, e, sub, t);
	}
	return rc;
}

/* -- Policy, origins, endpoints, schedules ---------------------------------------------------- */

/* Which of these names it is; -EINVAL: none, `wrong` says what it must be. */
static int parse_name(struct parse *p, const cJSON *v, const char *path, const char *const name[],
                      const char *wrong)
{
	for (int i = 0; cJSON_IsString(v) && name[i]; i++)
		if (!strcmp(v->valuestring, name[i])) {
			config_source_note(p->c, path, p->file);
			return i;
		}
	return config_fail(p->err, path, "%s", wrong);
}

static int parse_ttl_mode(struct parse *p, const cJSON *v, const char *path, enum ttl_mode *ret)
{
	int i = parse_name(p, v, path, config_ttl_modes,
	                   "must be \"learn\", \"obey\" or \"advise\"");

	if (i >= 0)
		*ret = (enum ttl_mode)i;
	return i < 0 ? i : 0;
}

static int parse_prewarm_mode(struct parse *p, const cJSON *v, const char *path,
                              enum prewarm_mode *ret)
{
	int i = parse_name(p, v, path, config_prewarm_modes,
	                   "must be \"auto\", \"always\" or \"never\"");

	if (i >= 0)
		*ret = (enum prewarm_mode)i;
	return i < 0 ? i : 0;
}

static int parse_compression(struct parse *p, const cJSON *v, const char *path,
                             enum compression *ret)
{
	int i = parse_name(p, v, path, config_compressions, "must be \"off\" or \"zstd\"");

	if (i >= 0)
		*ret = (enum compression)i;
	return i < 0 ? i : 0;
}

/* 1: not a field of a policy. */
static int parse_policy_field(struct parse *p, const cJSON *v, const char *path, struct policy *ret)
{
	const struct option *o = option_find(&option_policy, v->string);

	if (o)
		return parse_number(p, v, path, o, ret);
	if (!strcmp(v->string, "ttl"))
		return parse_ttl_mode(p, v, path, &ret->ttl);
	if (!strcmp(v->string, "prewarm"))
		return parse_prewarm_mode(p, v, path, &ret->prewarm);
	if (!strcmp(v->string, "compression"))
		return parse_compression(p, v, path, &ret->compression);
	return 1;
}

static int check_policy(struct parse *p, const char *path, const struct policy *y)
{
	char sub[256];

	config_path_join(sub, sizeof(sub), path, "min_ttl");
	if (y->min_ttl > y->max_age)
		return config_fail(
		        p->err, sub,
		        "%.15g s is longer than max_age, %.15g s: lower min_ttl or raise max_age",
		        y->min_ttl, y->max_age);
	config_path_join(sub, sizeof(sub), path, "compression_min_bytes");
	if (y->compression_min_bytes > y->compression_max_bytes)
		return config_fail(p->err, sub,
		                   "%.15g bytes are more than compression_max_bytes, %.15g: lower "
		                   "the one or raise the other",
		                   y->compression_min_bytes, y->compression_max_bytes);
	return 0;
}

static int parse_policy(struct parse *p, const cJSON *v, const char *path)
{
	static const char *const names[] = {"ttl", "prewarm", "compression", NULL};
	static const struct option_table *const tables[] = {&option_policy, NULL};
	char sub[256];
	int rc = parse_object(p, v, path);

	for (const cJSON *e = rc ? NULL : v->child; e && !rc; e = e->next) {
		config_path_join(sub, sizeof(sub), path, e->string);
		if (config_source_of(p->c, sub))
			return config_fail(p->err, sub,
			                   "is given at the top as well: keep one of them");
		rc = parse_policy_field(p, e, sub, &p->c->policy);
		if (rc == 1)
			rc = unknown_key(p, sub, e->string, names, tables, false);
	}
	return rc;
}

/* A group of numbers that form a struct of their own. */
static int parse_numbers(struct parse *p, const cJSON *v, const char *path,
                         const struct option_table *t, void *of)
{
	static const char *const names[] = {NULL};
	const struct option_table *tables[] = {t, NULL};
	const struct option *o;
	char sub[256];
	int rc = parse_object(p, v, path);

	for (const cJSON *e = rc ? NULL : v->child; e && !rc; e = e->next) {
		config_path_join(sub, sizeof(sub), path, e->string);
		o = option_find(t, e->string);
		if (of == &p->c->messages &&
		    (!strcmp(e->string, "max_key_bytes") || !strcmp(e->string, "max_value_bytes")))
			rc = config_fail(p->err, sub,
			                 "is set under \"limits\", for the cache as a whole");
		else
			rc = o ? parse_number(p, e, sub, o, of)
			       : unknown_key(p, sub, e->string, names, tables, false);
	}
	return rc;
}

static bool is_header_name(const char *s)
{
	/* RFC 9110 "token" */
	return *s && strspn(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
	                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(s);
}

static int parse_header(struct parse *p, const cJSON *v, const char *path,
                        struct config_header *ret)
{
	const cJSON *file = cJSON_GetObjectItemCaseSensitive(v, "file");
	const cJSON *env = cJSON_GetObjectItemCaseSensitive(v, "env");
	const cJSON *from = file ? file : env;
	char line[8192], source[4096] = "text";
	int n;

	if (!is_header_name(v->string))
		return config_fail(p->err, path, "is not the name of a header");
	if (cJSON_IsString(v)) {
		if (strpbrk(v->valuestring, "\r\n"))
			return config_fail(p->err, path, "must be one line");
		n = snprintf(line, sizeof(line), "%s: %s", v->string, v->valuestring);
	} else if (cJSON_IsObject(v) && cJSON_GetArraySize(v) == 1 && cJSON_IsString(from) &&
	           *from->valuestring) {
		n = snprintf(line, sizeof(line), "%s: ${%s:%s}", v->string, file ? "file" : "env",
		             from->valuestring);
		snprintf(source, sizeof(source), "%s %s", file ? "file" : "env", from->valuestring);
	} else {
		return config_fail(p->err, path,
		                   "must be a text, {\"file\": \"PATH\"} or {\"env\": \"NAME\"}");
	}
	if (n < 0 || (size_t)n >= sizeof(line))
		return config_fail(p->err, path, "is longer than %zu bytes", sizeof(line) - 1);
	ret->line = mem_dup(line, (size_t)n);
	ret->source = mem_dup(source, strlen(source));
	config_source_note(p->c, path, p->file);
	return 0;
}

static int parse_url(struct parse *p, const cJSON *v, const char *path, char **ret)
{
	int rc = parse_text(p, v, path, ret);
	size_t n;

	if (rc)
		return rc;
	if (strncmp(*ret, "http://", 7) && strncmp(*ret, "https://", 8))
		return config_fail(p->err, path, "must begin with http:// or https://");
	n = strlen(*ret);
	while (n && (*ret)[n - 1] == '/')
		(*ret)[--n] = '\0';
	return 0;
}

static int parse_origin(struct parse *p, const cJSON *v, const char *path, struct config_origin *o)
{
	static const char *const names[] = {"url", "headers", "proxy", "ca_file", NULL};
	static const struct option_table *const tables[] = {&option_origin, &option_http, NULL};
	const struct option *opt;
	char sub[256], deep[256];
	int rc = parse_object(p, v, path);

	for (const cJSON *e = rc ? NULL : v->child; e && !rc; e = e->next) {
		config_path_join(sub, sizeof(sub), path, e->string);
		if ((opt = option_find(&option_origin, e->string)))
			rc = parse_number(p, e, sub, opt, &o->policy);
		else if ((opt = option_find(&option_http, e->string)) &&
		         strcmp(e->string, "max_connections"))
			rc = parse_number(p, e, sub, opt, &o->http);
		else if (!strcmp(e->string, "max_connections"))
			rc = config_fail(p->err, sub, "is called \"concurrency\" here");
		else if (!strcmp(e->string, "url"))
			rc = parse_url(p, e, sub, &o->url);
		else if (!strcmp(e->string, "proxy"))
			rc = parse_text(p, e, sub, &o->proxy);
		else if (!strcmp(e->string, "ca_file"))
			rc = parse_text(p, e, sub, &o->ca_file);
		else if (!strcmp(e->string, "headers")) {
			rc = parse_object(p, e, sub);
			for (const cJSON *h = rc ? NULL : e->child; h && !rc; h = h->next) {
				struct config_header *header = vec_push(&o->headers);

				memset(header, 0, sizeof(*header));
				config_path_join(deep, sizeof(deep), sub, h->string);
				rc = parse_header(p, h, deep, header);
			}
		} else
			rc = unknown_key(p, sub, e->string, names, tables, false);
	}
	o->http.timeout = o->policy.timeout;
	o->http.max_connections = o->policy.concurrency;
	if (!rc && o->http.connect_timeout > o->http.timeout)
		o->http.connect_timeout = o->http.timeout;
	return rc;
}

static int parse_origins(struct parse *p, const cJSON *v, const char *path)
{
	struct config_origin *o;
	char sub[256];
	int rc = parse_object(p, v, path);

	for (const cJSON *e = rc ? NULL : v->child; e && !rc; e = e->next) {
		config_path_join(sub, sizeof(sub), path, e->string);
		if (!*e->string || !strcmp(e->string, "none"))
			return config_fail(p->err, sub,
			                   "is not a name for an origin: \"none\" means no origin");
		o = vec_push(&p->c->origins);
		memset(o, 0, sizeof(*o));
		o->name = mem_dup(e->string, strlen(e->string));
		option_defaults(&option_origin, &o->policy);
		option_defaults(&option_http, &o->http);
		rc = parse_origin(p, e, sub, o);
	}
	return rc;
}

static int parse_origin_name(struct parse *p, const cJSON *v, const char *path, uint32_t *ret)
{
	if (!cJSON_IsString(v))
		return config_fail(p->err, path, "must be the name of an origin or \"none\", is %s",
		                   kind_of(v));
	config_source_note(p->c, path, p->file);
	if (!strcmp(v->valuestring, "none")) {
		*ret = ORIGIN_NONE;
		return 0;
	}
	for (size_t i = 0; i < p->c->origins.n; i++)
		if (!strcmp(p->c->origins.v[i].name, v->valuestring)) {
			*ret = (uint32_t)i;
			return 0;
		}
	return config_fail(p->err, path, "no origin is called \"%.100s\": add it under \"origins\"",
	                   v->valuestring);
}

static int parse_match(struct parse *p, const cJSON *v, const char *path, char **ret)
{
	const char *why;
	int rc = parse_text(p, v, path, ret);

	if (!rc && !pattern_is_valid(*ret, &why))
		rc = config_fail(p->err, path, "%s", why);
	return rc;
}

static int parse_rule(struct parse *p, const cJSON *v, const char *path, struct config_rule *r)
{
	static const char *const names[] = {"match",    "origin",        "url",  "class",  "zone",
	                                    "calendar", "cache_private", "vary", "ignore", "ttl",
	                                    "prewarm",  "compression",   NULL};
	static const struct option_table *const tables[] = {&option_policy, NULL};
	char sub[256];
	int rc = parse_object(p, v, path);

	for (const cJSON *e = rc ? NULL : v->child; e && !rc; e = e->next) {
		config_path_join(sub, sizeof(sub), path, e->string);
		rc = parse_policy_field(p, e, sub, &r->policy);
		r->policy.ttl_stated |= !strcmp(e->string, "ttl");
		if (rc != 1)
			continue;
		if (!strcmp(e->string, "match"))
			rc = parse_match(p, e, sub, &r->match);
		else if (!strcmp(e->string, "origin"))
			rc = parse_origin_name(p, e, sub, &r->origin);
		else if (!strcmp(e->string, "url"))
			rc = parse_text(p, e, sub, &r->url);
		else if (!strcmp(e->string, "class"))
			rc = parse_text(p, e, sub, &r->class_name);
		else if (!strcmp(e->string, "zone"))
			rc = parse_text(p, e, sub, &r->zone);
		else if (!strcmp(e->string, "calendar"))
			rc = parse_text(p, e, sub, &r->calendar);
		else if (!strcmp(e->string, "cache_private"))
			rc = parse_bool(p, e, sub, &r->cache_private);
		else if (!strcmp(e->string, "vary"))
			rc = parse_texts(p, e, sub, &r->vary);
		else if (!strcmp(e->string, "ignore"))
			rc = parse_texts(p, e, sub, &r->ignore);
		else
			rc = unknown_key(p, sub, e->string, names, tables, false);
	}
	if (!rc && !r->match) {
		config_path_join(sub, sizeof(sub), path, "match");
		rc = config_fail(
		        p->err, sub,
		        "is missing: the keys this is about, e.g. \"/quotes/<symbol>\" or \"*\"");
	}
	if (!rc && r->url && r->origin == ORIGIN_NONE) {
		config_path_join(sub, sizeof(sub), path, "url");
		rc = config_fail(p->err, sub, "needs an \"origin\" as well");
	} else if (!rc && r->url && !p->c->origins.v[r->origin].url) {
		config_path_join(sub, sizeof(sub), path, "url");
		rc = config_fail(p->err, sub, "its origin has no \"url\": loader workers read it");
	}
	return rc ? rc : check_policy(p, path, &r->policy);
}

static int parse_rules(struct parse *p, const cJSON *v, const char *path)
{
	struct config_rule *r;
	char sub[256];
	size_t i = 0;
	int rc = parse_list(p, v, path);

	for (const cJSON *e = rc ? NULL : v->child; e && !rc; e = e->next) {
		snprintf(sub, sizeof(sub), "%.200s[%zu]", path, i++);
		r = vec_push(&p->c->rules);
		memset(r, 0, sizeof(*r));
		r->policy = p->c->policy;
		r->origin = p->c->origin;
		rc = parse_rule(p, e, sub, r);
		for (size_t k = 0; !rc && k + 1 < p->c->rules.n; k++)
			if (!strcmp(p->c->rules.v[k].match, r->match))
				rc = config_fail(
				        p->err, sub,
				        "has the same match as endpoints[%zu], which comes first: "
				        "remove one of them",
				        k);
	}
	return rc;
}

static int parse_schedule(struct parse *p, const cJSON *v, const char *path,
                          struct config_schedule *s)
{
	static const char *const names[] = {
	        "name",     "rrule",         "tz",   "calendar", "start",
	        "patterns", "skip_holidays", "lead", "max_keys", NULL};
	static const struct option_table *const tables[] = {NULL};
	static const struct option lead = {"lead", 0,   0,    0,
	                                   86400,  "s", true, "warm this long before"};
	static const struct option keys = {"max_keys", 0, 0, 0, 10000000, "keys", true, "0: 10000"};
	char sub[256];
	double d;
	int rc = parse_object(p, v, path);

	for (const cJSON *e = rc ? NULL : v->child; e && !rc; e = e->next) {
		config_path_join(sub, sizeof(sub), path, e->string);
		if (!strcmp(e->string, "name"))
			rc = parse_text(p, e, sub, &s->name);
		else if (!strcmp(e->string, "rrule"))
			rc = parse_text(p, e, sub, &s->rrule);
		else if (!strcmp(e->string, "tz"))
			rc = parse_text(p, e, sub, &s->tz);
		else if (!strcmp(e->string, "calendar"))
			rc = parse_text(p, e, sub, &s->calendar);
		else if (!strcmp(e->string, "start"))
			rc = parse_text(p, e, sub, &s->start);
		else if (!strcmp(e->string, "patterns"))
			rc = parse_texts(p, e, sub, &s->patterns);
		else if (!strcmp(e->string, "skip_holidays"))
			rc = parse_bool(p, e, sub, &s->skip_holidays);
		else if (!strcmp(e->string, "lead") && cJSON_IsString(e) &&
		         !strcmp(e->valuestring, "auto")) {
			s->lead = SPAN_ZERO;
		} else if (!strcmp(e->string, "lead")) {
			rc = parse_number(p, e, sub, &lead, &d);
			s->lead = rc ? SPAN_ZERO : span_from_s(d);
		} else if (!strcmp(e->string, "max_keys")) {
			rc = parse_number(p, e, sub, &keys, &d);
			s->max_keys = rc ? 0 : (uint32_t)d;
		} else
			rc = unknown_key(p, sub, e->string, names, tables, false);
	}
	if (rc)
		return rc;
	if (!s->name || !*s->name)
		return config_fail(p->err, path, "has no \"name\"");
	if (!s->rrule || !*s->rrule)
		return config_fail(p->err, path,
		                   "has no \"rrule\", e.g. "
		                   "\"FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9;BYMINUTE=30\"");
	if (!s->patterns.n)
		return config_fail(p->err, path,
		                   "has no \"patterns\": a list of the endpoints or keys to warm");
	if (s->patterns.n > REQUEST_MAX_PATTERNS)
		return config_fail(p->err, path, "has more than %d patterns", REQUEST_MAX_PATTERNS);
	return 0;
}

static int parse_schedules(struct parse *p, const cJSON *v, const char *path)
{
	struct config_schedule *s;
	char sub[256];
	size_t i = 0;
	int rc = parse_list(p, v, path);

	for (const cJSON *e = rc ? NULL : v->child; e && !rc; e = e->next) {
		snprintf(sub, sizeof(sub), "%.200s[%zu]", path, i++);
		s = vec_push(&p->c->schedules);
		memset(s, 0, sizeof(*s));
		rc = parse_schedule(p, e, sub, s);
		for (size_t k = 0; !rc && k + 1 < p->c->schedules.n; k++)
			if (!strcmp(p->c->schedules.v[k].name, s->name))
				rc = config_fail(p->err, sub, "has the same name as schedules[%zu]",
				                 k);
	}
	return rc;
}

/* -- The file as a whole ---------------------------------------------------------------------- */

static const struct option_text *find_text(const char *name)
{
	for (size_t i = 0; i < option_n_text; i++)
		if (!strcmp(option_text[i].name, name))
			return &option_text[i];
	return NULL;
}

/* True when value is one of the words of list. */
static bool in_words(const char *list, const char *value)
{
	size_t n = strlen(value);

	for (const char *s = list; n && (s = strstr(s, value)); s += n)
		if ((s == list || s[-1] == ' ') && (s[n] == ' ' || s[n] == '\0'))
			return true;
	return false;
}

static int parse_option_text(struct parse *p, const cJSON *v, const char *path,
                             const struct option_text *o)
{
	int rc;

	if (cJSON_IsString(v) && *o->values && !in_words(o->values, v->valuestring))
		return config_fail(p->err, path, "must be one of: %s", o->values);
	rc = parse_text(p, v, path, option_text_field(p->c, o));
	if (!rc && !strncmp(v->valuestring, "tcp://", 6) &&
	    strstr("events requests loaders notices", o->name))
		rc = config_fail(
		        p->err, path,
		        "tcp:// is refused: without CURVE and a list of client keys anybody could "
		        "read and write the cache; use ipc://");
	if (!rc && *v->valuestring && strstr("events requests loaders notices", o->name) &&
	    strncmp(v->valuestring, "ipc:///", 7))
		rc = config_fail(p->err, path, "must be ipc:// and an absolute path");
	return rc;
}

static int parse_member(struct parse *p, const cJSON *e)
{
	static const char *const names[] = {
	        "policy",    "limits", "messages", "learned", "origins",     "origin", "endpoints",
	        "schedules", "pool",   "ttl",      "prewarm", "compression", NULL};
	static const struct option_table *const tables[] = {&option_daemon, &option_policy, NULL};
	const struct option *o = option_find(&option_daemon, e->string);
	const struct option_text *t = find_text(e->string);
	char sub[256];
	int rc;

	/* fields of a policy may stand at the top as well */
	config_path_join(sub, sizeof(sub), "policy", e->string);
	rc = parse_policy_field(p, e, sub, &p->c->policy);
	if (rc != 1)
		return rc;
	if (o)
		return parse_number(p, e, e->string, o, p->c);
	if (t)
		return parse_option_text(p, e, e->string, t);
	if (!strcmp(e->string, "pool"))
		return parse_bool(p, e, e->string, &p->c->pool);
	if (!strcmp(e->string, "limits"))
		return parse_numbers(p, e, e->string, &option_limits, &p->c->limits);
	if (!strcmp(e->string, "messages"))
		return parse_numbers(p, e, e->string, &option_messages, &p->c->messages);
	if (!strcmp(e->string, "learned"))
		return parse_numbers(p, e, e->string, &option_learned, &p->c->learned);
	for (size_t i = 0; names[i]; i++)
		if (!strcmp(e->string, names[i]))
			return 0; /* one that needs others first: see parse_root */
	return unknown_key(p, e->string, e->string, names, tables, true);
}

static int check_queue(struct parse *p, const char *name, double bytes)
{
	if (bytes >= p->c->messages.max_frame_bytes + 65536)
		return 0;
	return config_fail(p->err, name,
	                   "%.15g bytes cannot hold a message of messages.max_frame_bytes "
	                   "(%.15g): raise it, or lower that",
	                   bytes, p->c->messages.max_frame_bytes);
}

static int parse_root(struct parse *p, const cJSON *root)
{
	/* endpoints take their defaults from policy and name origins, whatever the order in the
	 * file */
	static const struct {
		const char *name;
		int (*fn)(struct parse *p, const cJSON *v, const char *path);
	} later[] = {{"origins", parse_origins},
	             {"origin", NULL},
	             {"endpoints", parse_rules},
	             {"schedules", parse_schedules}};
	const cJSON *v;
	int rc = parse_object(p, root, "");

	for (const cJSON *e = rc ? NULL : root->child; e && !rc; e = e->next)
		rc = parse_member(p, e);
	v = cJSON_GetObjectItemCaseSensitive(root, "policy");
	if (v && !rc)
		rc = parse_policy(p, v, "policy");
	rc = rc ? rc : check_policy(p, "policy", &p->c->policy);
	for (size_t i = 0; !rc && i < sizeof(later) / sizeof(*later); i++) {
		v = cJSON_GetObjectItemCaseSensitive(root, later[i].name);
		if (v && later[i].fn)
			rc = later[i].fn(p, v, later[i].name);
		else if (v)
			rc = parse_origin_name(p, v, later[i].name, &p->c->origin);
	}
	if (rc)
		return rc;
	rc = config_check_redis(p->c, p->err);
	rc = rc ? rc : config_check_http(p->c, p->err);
	if (rc)
		return rc;
	p->c->messages.max_key_bytes = p->c->limits.max_key_bytes;
	p->c->messages.max_value_bytes = p->c->limits.max_value_bytes;
	if (p->c->messages.max_frame_bytes <
	    p->c->limits.max_value_bytes + p->c->limits.max_key_bytes + 4096)
		return config_fail(p->err, "messages.max_frame_bytes",
		                   "%.15g bytes cannot hold a value of limits.max_value_bytes "
		                   "(%.15g) with its "
		                   "key: raise it, or lower that",
		                   p->c->messages.max_frame_bytes, p->c->limits.max_value_bytes);
	rc = check_queue(p, "input_queue_bytes", p->c->input_queue_bytes);
	return rc ? rc : check_queue(p, "reply_queue_bytes", p->c->reply_queue_bytes);
}

/*
 * Blanks out comments, in place, so that the line of a syntax error is still right (cJSON_Minify
 * would lose it). False when a comment does not end.
 */
static bool blank_comments(char *s)
{
	bool quoted = false;

	for (; *s; s++) {
		if (quoted && *s == '\\' && s[1]) {
			s++;
		} else if (*s == '"') {
			quoted = !quoted;
		} else if (!quoted && s[0] == '/' && s[1] == '/') {
			while (s[1] && s[1] != '\n')
				*s++ = ' ';
			*s = ' ';
		} else if (!quoted && s[0] == '/' && s[1] == '*') {
			char *end = strstr(s + 2, "*/");

			if (!end)
				return false;
			for (; s < end + 2; s++)
				if (*s != '\n')
					*s = ' ';
			s--;
		}
	}
	return true;
}

/* cJSON recurses: a look at the depth comes first. */
static size_t depth_of(const char *s)
{
	size_t depth = 0, deepest = 0;
	bool quoted = false;

	for (; *s; s++) {
		if (quoted && *s == '\\' && s[1])
			s++;
		else if (*s == '"')
			quoted = !quoted;
		else if (!quoted && (*s == '{' || *s == '['))
			deepest = ++depth > deepest ? depth : deepest;
		else if (!quoted && (*s == '}' || *s == ']') && depth)
			depth--;
	}
	return deepest;
}

static size_t line_of(const char *text, const char *at)
{
	size_t line = 1;

	for (const char *s = text; s < at; s++)
		line += *s == '\n';
	return line;
}

struct config *config_default(void)
{
	struct config *c = mem_calloc(1, sizeof(*c));

	c->sources = config_sources_new();
	option_defaults(&option_daemon, c);
	for (size_t i = 0; i < option_n_text; i++)
		set_text(option_text_field(c, &option_text[i]), option_text[i].def);
	option_defaults(&option_policy, &c->policy);
	option_defaults(&option_limits, &c->limits);
	option_defaults(&option_messages, &c->messages);
	option_defaults(&option_learned, &c->learned);
	c->messages.max_key_bytes = c->limits.max_key_bytes;
	c->messages.max_value_bytes = c->limits.max_value_bytes;
	c->policy.ttl = TTL_LEARN;
	c->origin = ORIGIN_NONE;
	return c;
}

int config_parse(const char *file, const char *text, size_t n, struct config **ret,
                 struct config_error *reterr)
{
	struct parse p = {.file = file, .err = reterr};
	const char *end = NULL;
	cJSON *root = NULL;
	char *copy = NULL;
	int rc;

	if (n > CONFIG_MAX_BYTES)
		return config_fail(reterr, "", "is longer than %u bytes", CONFIG_MAX_BYTES);
	if (memchr(text, 0, n))
		return config_fail(reterr, "", "contains a NUL byte: is it a text file?");
	copy = mem_dup(text, n);
	p.c = config_default();
	if (!blank_comments(copy)) {
		rc = config_fail(reterr, "", "a comment that begins with /* does not end");
		goto out;
	}
	if (depth_of(copy) > CONFIG_MAX_DEPTH) {
		rc = config_fail(reterr, "", "is nested more than %d deep", CONFIG_MAX_DEPTH);
		goto out;
	}
	root = cJSON_ParseWithOpts(copy, &end, true);
	if (!root) {
		rc = config_fail(
		        reterr, "",
		        "line %zu: not JSON: look for a missing or extra comma, quote or bracket",
		        line_of(copy, end ? end : copy));
		goto out;
	}
	rc = parse_root(&p, root);
out:
	if (!rc) {
		*ret = p.c;
		p.c = NULL;
	}
	config_free(&p.c);
	cJSON_Delete(root);
	free(copy);
	return rc;
}

int config_load(const char *file, struct config **ret, struct config_error *reterr)
{
	FILE *f = fopen(file, "re");
	char *text = NULL;
	size_t n;
	int rc;

	if (!f) {
		rc = -errno;
		config_fail(reterr, "", "cannot be read: %s", strerror(errno));
		return rc;
	}
	text = mem_calloc(1, CONFIG_MAX_BYTES + 2);
	n = fread(text, 1, CONFIG_MAX_BYTES + 1, f);
	if (ferror(f)) {
		rc = -EIO;
		config_fail(reterr, "", "cannot be read: %s", strerror(errno));
	} else {
		rc = config_parse(file, text, n, ret, reterr);
	}
	fclose(f);
	free(text);
	return rc;
}

static void free_texts(struct config_texts *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->v[i]);
	vec_free(list);
}

static void free_origin(struct config_origin *o)
{
	free(o->name);
	free(o->url);
	free(o->proxy);
	free(o->ca_file);
	for (size_t i = 0; i < o->headers.n; i++) {
		free(o->headers.v[i].line);
		free(o->headers.v[i].source);
	}
	vec_free(&o->headers);
}

static void free_rule(struct config_rule *r)
{
	free(r->match);
	free(r->class_name);
	free(r->zone);
	free(r->calendar);
	free(r->url);
	free_texts(&r->vary);
	free_texts(&r->ignore);
}

static void free_schedule(struct config_schedule *s)
{
	free(s->name);
	free(s->rrule);
	free(s->tz);
	free(s->calendar);
	free(s->start);
	free_texts(&s->patterns);
}

void config_free(struct config **c)
{
	struct config *x = *c;

	if (!x)
		return;
	for (size_t i = 0; i < option_n_text; i++)
		free(*option_text_field(x, &option_text[i]));
	for (size_t i = 0; i < x->origins.n; i++)
		free_origin(&x->origins.v[i]);
	for (size_t i = 0; i < x->rules.n; i++)
		free_rule(&x->rules.v[i]);
	for (size_t i = 0; i < x->schedules.n; i++)
		free_schedule(&x->schedules.v[i]);
	vec_free(&x->origins);
	vec_free(&x->rules);
	vec_free(&x->schedules);
	config_sources_free(&x->sources);
	free(x);
	*c = NULL;
}

int config_check_redis(const struct config *c, struct config_error *reterr)
{
	char host[64];
	int port;

	if (!strcmp(c->redis, "off"))
		return 0;
	if (!address_parse(c->redis, host, sizeof(host), &port))
		return config_fail(reterr, "redis",
		                   "\"%.100s\" is no address: write \"127.0.0.1:6390\", "
		                   "\"[::1]:6390\", \"*:6390\" or \"off\"",
		                   c->redis);
	if (!address_is_loopback(host) && !*c->redis_password_file)
		return config_fail(
		        reterr, "redis",
		        "%.64s can be reached from other hosts: without a password anybody "
		        "could read and write the cache; set redis_password_file, or use "
		        "127.0.0.1",
		        host);
	return 0;
}

int config_check_http(const struct config *c, struct config_error *reterr)
{
	char host[64];
	int port;

	if (!strcmp(c->http, "off"))
		return 0;
	if (!address_parse(c->http, host, sizeof(host), &port))
		return config_fail(reterr, "http",
		                   "\"%.100s\" is no address: write \"127.0.0.1:6391\", "
		                   "\"[::1]:6391\", \"*:6391\" or \"off\"",
		                   c->http);
	if (!address_is_loopback(host) && strcmp(c->http_open, "on"))
		return config_fail(
		        reterr, "http",
		        "%.64s can be reached from other hosts, where anybody could read "
		        "keys and figures: if that is meant, set \"http_open\" to \"on\"; "
		        "else use 127.0.0.1",
		        host);
	return 0;
}

void config_override(struct config *c, char **field, const char *value, const char *from)
{
	set_text(field, value);
	for (size_t i = 0; i < option_n_text; i++)
		if (option_text_field(c, &option_text[i]) == field)
			config_source_note(c, option_text[i].name, from);
}

static void add_name(char *names, size_t cap, const char *group, const char *name)
{
	size_t n = strlen(names);

	snprintf(names + n, cap - n, "%s%s%s%s", n ? " " : "", group, *group ? "." : "", name);
}

/* Rows that take a restart: back to the old values. */
static size_t keep_rows(const struct option_table *t, const char *group, void *now, const void *old,
                        char *names, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++) {
		double was = option_get(&t->row[i], old);

		if (t->row[i].reload || option_get(&t->row[i], now) == was)
			continue;
		option_set(&t->row[i], now, was);
		add_name(names, cap, group, t->row[i].name);
		n++;
	}
	return n;
}

/* What the command line or the environment said stands, whatever the file says now. */
static void carry_overrides(struct config *now, const struct config *old, const char *file)
{
	for (size_t i = 0; i < option_n_text; i++) {
		const char *from = config_source_of(old, option_text[i].name);

		if (from && strcmp(from, file))
			config_override(now, option_text_field(now, &option_text[i]),
			                *option_text_field((struct config *)(uintptr_t)old,
			                                   &option_text[i]),
			                from);
	}
}

size_t config_keep_fixed(struct config *now, const struct config *old, const char *file,
                         char *names, size_t cap)
{
	size_t n = 0;

	names[0] = '\0';
	carry_overrides(now, old, file);
	n += keep_rows(&option_daemon, "", now, old, names, cap);
	n += keep_rows(&option_learned, "learned", &now->learned, &old->learned, names, cap);
	/* the two that follow limits are judged there */
	if (now->messages.max_key_bytes != old->messages.max_key_bytes ||
	    now->messages.max_value_bytes != old->messages.max_value_bytes) {
		now->messages.max_key_bytes = now->limits.max_key_bytes = old->limits.max_key_bytes;
		now->messages.max_value_bytes = now->limits.max_value_bytes =
		        old->limits.max_value_bytes;
		add_name(names, cap, "limits", "max_key_bytes/max_value_bytes");
		n++;
	}
	n += keep_rows(&option_messages, "messages", &now->messages, &old->messages, names, cap);
	for (size_t i = 0; i < option_n_text; i++) {
		char **field = option_text_field(now, &option_text[i]);
		const char *was =
		        *option_text_field((struct config *)(uintptr_t)old, &option_text[i]);

		if (option_text[i].reload || !strcmp(*field, was))
			continue;
		set_text(field, was);
		add_name(names, cap, "", option_text[i].name);
		n++;
	}
	return n;
}
