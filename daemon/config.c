/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/config.h"

#include "base/mem.h"
#include "daemon/address.h"
#include "daemon/config_source.h"
#include "daemon/config_value.h"
#include "daemon/option.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct config *config_default(void)
{
	struct config *c = mem_calloc(1, sizeof(*c));

	c->sources = config_sources_new();
	option_defaults(&option_daemon, c);
	for (size_t i = 0; i < option_n_text; i++)
		config_set_text(option_text_field(c, &option_text[i]), option_text[i].def);
	option_defaults(&option_policy, &c->policy);
	option_defaults(&option_limits, &c->limits);
	option_defaults(&option_messages, &c->messages);
	option_defaults(&option_learned, &c->learned);
	config_follow_limits(c);
	c->policy.ttl = TTL_LEARN;
	c->origin = ORIGIN_NONE;
	return c;
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
	config_set_text(field, value);
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
	n += keep_rows(&option_limits, "limits", &now->limits, &old->limits, names, cap);
	config_follow_limits(now);
	n += keep_rows(&option_messages, "messages", &now->messages, &old->messages, names, cap);
	for (size_t i = 0; i < option_n_text; i++) {
		char **field = option_text_field(now, &option_text[i]);
		const char *was =
		        *option_text_field((struct config *)(uintptr_t)old, &option_text[i]);

		if (option_text[i].reload || !strcmp(*field, was))
			continue;
		config_set_text(field, was);
		add_name(names, cap, "", option_text[i].name);
		n++;
	}
	return n;
}
