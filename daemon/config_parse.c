/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The text of a configuration becomes a struct config: see config.h. */
#include "base/mem.h"
#include "base/text.h"
#include "daemon/config.h"
#include "daemon/config_source.h"
#include "daemon/config_value.h"
#include "daemon/option.h"
#include "daemon/pattern.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_MAX_DEPTH 16

/* -- Policy, origins, endpoints, schedules ---------------------------------------------------- */

static int parse_ttl_mode(struct config_reader *p, const cJSON *v, const char *path,
                          enum ttl_mode *ret)
{
	int i = config_read_name(p, v, path, config_ttl_modes,
	                         "must be \"learn\", \"obey\" or \"advise\"");

	if (i >= 0)
		*ret = (enum ttl_mode)i;
	return i < 0 ? i : 0;
}

static int parse_prewarm_mode(struct config_reader *p, const cJSON *v, const char *path,
                              enum prewarm_mode *ret)
{
	int i = config_read_name(p, v, path, config_prewarm_modes,
	                         "must be \"auto\", \"always\" or \"never\"");

	if (i >= 0)
		*ret = (enum prewarm_mode)i;
	return i < 0 ? i : 0;
}

static int parse_compression(struct config_reader *p, const cJSON *v, const char *path,
                             enum compression *ret)
{
	int i = config_read_name(p, v, path, config_compressions, "must be \"off\" or \"zstd\"");

	if (i >= 0)
		*ret = (enum compression)i;
	return i < 0 ? i : 0;
}

/* 1: not a field of a policy. */
static int parse_policy_field(struct config_reader *p, const cJSON *v, const char *path,
                              struct policy *ret)
{
	const struct option *o = option_find(&option_policy, v->string);

	if (o)
		return config_read_number(p, v, path, o, ret);
	if (!strcmp(v->string, "ttl"))
		return parse_ttl_mode(p, v, path, &ret->ttl);
	if (!strcmp(v->string, "prewarm"))
		return parse_prewarm_mode(p, v, path, &ret->prewarm);
	if (!strcmp(v->string, "compression"))
		return parse_compression(p, v, path, &ret->compression);
	return 1;
}

static int check_policy(struct config_reader *p, const char *path, const struct policy *y)
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

static int parse_policy(struct config_reader *p, const cJSON *v, const char *path)
{
	static const char *const names[] = {"ttl", "prewarm", "compression", NULL};
	static const struct option_table *const tables[] = {&option_policy, NULL};
	char sub[256];
	int rc = config_read_object(p, v, path);

	for (const cJSON *e = rc ? NULL : v->child; e && !rc; e = e->next) {
		config_path_join(sub, sizeof(sub), path, e->string);
		if (config_source_of(p->c, sub))
			return config_fail(p->err, sub,
			                   "is given at the top as well: keep one of them");
		rc = parse_policy_field(p, e, sub, &p->c->policy);
		if (rc == 1)
			rc = config_unknown_key(p, sub, e->string, names, tables, false);
	}
	return rc;
}

/* A group of numbers that form a struct of their own. */
static int parse_numbers(struct config_reader *p, const cJSON *v, const char *path,
                         const struct option_table *t, void *of)
{
	static const char *const names[] = {NULL};
	const struct option_table *tables[] = {t, NULL};
	const struct option *o;
	char sub[256];
	int rc = config_read_object(p, v, path);

	for (const cJSON *e = rc ? NULL : v->child; e && !rc; e = e->next) {
		config_path_join(sub, sizeof(sub), path, e->string);
		o = option_find(t, e->string);
		if (of == &p->c->messages &&
		    (!strcmp(e->string, "max_key_bytes") || !strcmp(e->string, "max_value_bytes")))
			rc = config_fail(p->err, sub,
			                 "is set under \"limits\", for the cache as a whole");
		else
			rc = o ? config_read_number(p, e, sub, o, of)
			       : config_unknown_key(p, sub, e->string, names, tables, false);
	}
	return rc;
}

static int parse_header(struct config_reader *p, const cJSON *v, const char *path,
                        struct config_header *ret)
{
	const cJSON *file = cJSON_GetObjectItemCaseSensitive(v, "file");
	const cJSON *env = cJSON_GetObjectItemCaseSensitive(v, "env");
	const cJSON *from = file ? file : env;
	char line[8192], source[4096] = "text";
	int n;

	if (!text_is_token(v->string, strlen(v->string)))
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
	ret->source = text_copy(source);
	config_source_note(p->c, path, p->file);
	return 0;
}

static int parse_url(struct config_reader *p, const cJSON *v, const char *path, char **ret)
{
	int rc = config_read_text(p, v, path, ret);
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

static int parse_origin(struct config_reader *p, const cJSON *v, const char *path,
                        struct config_origin *o)
{
	static const char *const names[] = {"url", "headers", "proxy", "ca_file", NULL};
	static const struct option_table *const tables[] = {&option_origin, &option_http, NULL};
	const struct option *opt;
	char sub[256], deep[256];
	int rc = config_read_object(p, v, path);

	for (const cJSON *e = rc ? NULL : v->child; e && !rc; e = e->next) {
		config_path_join(sub, sizeof(sub), path, e->string);
		if ((opt = option_find(&option_origin, e->string)))
			rc = config_read_number(p, e, sub, opt, &o->policy);
		else if ((opt = option_find(&option_http, e->string)) &&
		         strcmp(e->string, "max_connections"))
			rc = config_read_number(p, e, sub, opt, &o->http);
		else if (!strcmp(e->string, "max_connections"))
			rc = config_fail(p->err, sub, "is called \"concurrency\" here");
		else if (!strcmp(e->string, "url"))
			rc = parse_url(p, e, sub, &o->url);
		else if (!strcmp(e->string, "proxy"))
			rc = config_read_text(p, e, sub, &o->proxy);
		else if (!strcmp(e->string, "ca_file"))
			rc = config_read_text(p, e, sub, &o->ca_file);
		else if (!strcmp(e->string, "headers")) {
			rc = config_read_object(p, e, sub);
			for (const cJSON *h = rc ? NULL : e->child; h && !rc; h = h->next) {
				struct config_header *header = vec_push(&o->headers);

				memset(header, 0, sizeof(*header));
				config_path_join(deep, sizeof(deep), sub, h->string);
				rc = parse_header(p, h, deep, header);
			}
		} else
			rc = config_unknown_key(p, sub, e->string, names, tables, false);
	}
	o->http.timeout = o->policy.timeout;
	o->http.max_connections = o->policy.concurrency;
	if (!rc && o->http.connect_timeout > o->http.timeout)
		o->http.connect_timeout = o->http.timeout;
	return rc;
}

static int parse_origins(struct config_reader *p, const cJSON *v, const char *path)
{
	struct config_origin *o;
	char sub[256];
	int rc = config_read_object(p, v, path);

	for (const cJSON *e = rc ? NULL : v->child; e && !rc; e = e->next) {
		config_path_join(sub, sizeof(sub), path, e->string);
		if (!*e->string || !strcmp(e->string, "none"))
			return config_fail(p->err, sub,
			                   "is not a name for an origin: \"none\" means no origin");
		o = vec_push(&p->c->origins);
		memset(o, 0, sizeof(*o));
		o->name = text_copy(e->string);
		option_defaults(&option_origin, &o->policy);
		option_defaults(&option_http, &o->http);
		rc = parse_origin(p, e, sub, o);
	}
	return rc;
}

static int parse_origin_name(struct config_reader *p, const cJSON *v, const char *path,
                             uint32_t *ret)
{
	if (!cJSON_IsString(v))
		return config_fail(p->err, path, "must be the name of an origin or \"none\", is %s",
		                   config_kind_of(v));
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

static int parse_match(struct config_reader *p, const cJSON *v, const char *path, char **ret)
{
	const char *why;
	int rc = config_read_text(p, v, path, ret);

	if (!rc && !pattern_is_valid(*ret, &why))
		rc = config_fail(p->err, path, "%s", why);
	return rc;
}

static int parse_rule(struct config_reader *p, const cJSON *v, const char *path,
                      struct config_rule *r)
{
	static const char *const names[] = {"match",    "origin",        "url",  "class",  "zone",
	                                    "calendar", "cache_private", "vary", "ignore", "ttl",
	                                    "prewarm",  "compression",   NULL};
	static const struct option_table *const tables[] = {&option_policy, NULL};
	char sub[256];
	int rc = config_read_object(p, v, path);

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
			rc = config_read_text(p, e, sub, &r->url);
		else if (!strcmp(e->string, "class"))
			rc = config_read_text(p, e, sub, &r->class_name);
		else if (!strcmp(e->string, "zone"))
			rc = config_read_text(p, e, sub, &r->zone);
		else if (!strcmp(e->string, "calendar"))
			rc = config_read_text(p, e, sub, &r->calendar);
		else if (!strcmp(e->string, "cache_private"))
			rc = config_read_bool(p, e, sub, &r->cache_private);
		else if (!strcmp(e->string, "vary"))
			rc = config_read_texts(p, e, sub, &r->vary);
		else if (!strcmp(e->string, "ignore"))
			rc = config_read_texts(p, e, sub, &r->ignore);
		else
			rc = config_unknown_key(p, sub, e->string, names, tables, false);
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

static int parse_rules(struct config_reader *p, const cJSON *v, const char *path)
{
	struct config_rule *r;
	char sub[256];
	size_t i = 0;
	int rc = config_read_list(p, v, path);

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

static int parse_schedule(struct config_reader *p, const cJSON *v, const char *path,
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
	int rc = config_read_object(p, v, path);

	for (const cJSON *e = rc ? NULL : v->child; e && !rc; e = e->next) {
		config_path_join(sub, sizeof(sub), path, e->string);
		if (!strcmp(e->string, "name"))
			rc = config_read_text(p, e, sub, &s->name);
		else if (!strcmp(e->string, "rrule"))
			rc = config_read_text(p, e, sub, &s->rrule);
		else if (!strcmp(e->string, "tz"))
			rc = config_read_text(p, e, sub, &s->tz);
		else if (!strcmp(e->string, "calendar"))
			rc = config_read_text(p, e, sub, &s->calendar);
		else if (!strcmp(e->string, "start"))
			rc = config_read_text(p, e, sub, &s->start);
		else if (!strcmp(e->string, "patterns"))
			rc = config_read_texts(p, e, sub, &s->patterns);
		else if (!strcmp(e->string, "skip_holidays"))
			rc = config_read_bool(p, e, sub, &s->skip_holidays);
		else if (!strcmp(e->string, "lead") && cJSON_IsString(e) &&
		         !strcmp(e->valuestring, "auto")) {
			s->lead = SPAN_ZERO;
		} else if (!strcmp(e->string, "lead")) {
			rc = config_read_number(p, e, sub, &lead, &d);
			s->lead = rc ? SPAN_ZERO : span_from_s(d);
		} else if (!strcmp(e->string, "max_keys")) {
			rc = config_read_number(p, e, sub, &keys, &d);
			s->max_keys = rc ? 0 : (uint32_t)d;
		} else
			rc = config_unknown_key(p, sub, e->string, names, tables, false);
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
	for (size_t i = 0; i < s->patterns.n; i++) {
		const char *why;

		snprintf(sub, sizeof(sub), "%.200s.patterns[%zu]", path, i);
		if (!pattern_is_valid(s->patterns.v[i], &why))
			return config_fail(p->err, sub, "%s", why);
	}
	return 0;
}

static int parse_schedules(struct config_reader *p, const cJSON *v, const char *path)
{
	struct config_schedule *s;
	char sub[256];
	size_t i = 0;
	int rc = config_read_list(p, v, path);

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

static int parse_option_text(struct config_reader *p, const cJSON *v, const char *path,
                             const struct option_text *o)
{
	int rc;

	if (cJSON_IsString(v) && *o->values && !in_words(o->values, v->valuestring))
		return config_fail(p->err, path, "must be one of: %s", o->values);
	rc = config_read_text(p, v, path, option_text_field(p->c, o));
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

/* An error of `policy.key` where the key was written at the top. */
static void as_it_stands(struct config_reader *p, const char *key)
{
	char path[256];

	config_path_join(path, sizeof(path), "policy", key);
	if (!strcmp(p->err->path, path))
		snprintf(p->err->path, sizeof(p->err->path), "%s", key);
}

/* The group that a key belongs into that was written at the top; NULL: none. */
static const char *group_of(const char *key)
{
	static const struct {
		const char *name;
		const struct option_table *table;
	} group[] = {{"limits", &option_limits},
	             {"messages", &option_messages},
	             {"learned", &option_learned}};

	for (size_t i = 0; i < sizeof(group) / sizeof(*group); i++)
		if (option_find(group[i].table, key))
			return group[i].name;
	return NULL;
}

static int parse_member(struct config_reader *p, const cJSON *e)
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
	if (rc < 0)
		as_it_stands(p, e->string);
	if (rc != 1)
		return rc;
	if (o)
		return config_read_number(p, e, e->string, o, p->c);
	if (t)
		return parse_option_text(p, e, e->string, t);
	if (!strcmp(e->string, "pool"))
		return config_read_bool(p, e, e->string, &p->c->pool);
	if (!strcmp(e->string, "limits"))
		return parse_numbers(p, e, e->string, &option_limits, &p->c->limits);
	if (!strcmp(e->string, "messages"))
		return parse_numbers(p, e, e->string, &option_messages, &p->c->messages);
	if (!strcmp(e->string, "learned"))
		return parse_numbers(p, e, e->string, &option_learned, &p->c->learned);
	for (size_t i = 0; names[i]; i++)
		if (!strcmp(e->string, names[i]))
			return 0; /* one that needs others first: see parse_root */
	if (group_of(e->string))
		return config_fail(p->err, e->string, "belongs under \"%s\": move it there",
		                   group_of(e->string));
	return config_unknown_key(p, e->string, e->string, names, tables, true);
}

static int check_queue(struct config_reader *p, const char *name, double bytes)
{
	if (bytes >= p->c->messages.max_frame_bytes + 65536)
		return 0;
	return config_fail(p->err, name,
	                   "%.15g bytes cannot hold a message of messages.max_frame_bytes "
	                   "(%.15g): raise it, or lower that",
	                   bytes, p->c->messages.max_frame_bytes);
}

static int parse_root(struct config_reader *p, const cJSON *root)
{
	/* endpoints take their defaults from policy and name origins, whatever the order in the
	 * file */
	static const struct {
		const char *name;
		int (*fn)(struct config_reader *p, const cJSON *v, const char *path);
	} later[] = {{"origins", parse_origins},
	             {"origin", NULL},
	             {"endpoints", parse_rules},
	             {"schedules", parse_schedules}};
	const cJSON *v;
	int rc = config_read_object(p, root, "");

	for (const cJSON *e = rc ? NULL : root->child; e && !rc; e = e->next)
		rc = parse_member(p, e);
	v = cJSON_GetObjectItemCaseSensitive(root, "policy");
	if (v && !rc)
		rc = parse_policy(p, v, "policy");
	if (!rc && check_policy(p, "policy", &p->c->policy)) {
		rc = -EINVAL;
		for (const cJSON *e = root->child; e; e = e->next)
			as_it_stands(p, e->string);
	}
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
	config_follow_limits(p->c);
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

int config_parse(const char *file, const char *text, size_t n, struct config **ret,
                 struct config_error *reterr)
{
	struct config_reader p = {.file = file, .err = reterr};
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
	/* a file of comments only says what {} says */
	root = copy[strspn(copy, " \t\r\n")] ? cJSON_ParseWithOpts(copy, &end, true)
	                                     : cJSON_CreateObject();
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
