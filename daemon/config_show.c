/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/config.h"

#include "daemon/config_source.h"
#include "daemon/option.h"

#include <string.h>

static void show(const struct config *c, FILE *out, const char *path, const char *value,
                 const char *unit, const char *fallback)
{
	const char *from = config_source_of(c, path);

	fprintf(out, "%s = %s%s%s  # %s\n", path, value, *unit ? " " : "", unit,
	        from ? from : fallback);
}

static void show_rows(const struct config *c, FILE *out, const char *path,
                      const struct option_table *t, const void *of, const char *inherited)
{
	char sub[256], text[64], base[256];
	const char *from;

	for (size_t i = 0; i < t->n; i++) {
		config_path_join(sub, sizeof(sub), path, t->row[i].name);
		option_format(&t->row[i], option_get(&t->row[i], of), text, sizeof(text));
		from = "default";
		if (inherited) {
			config_path_join(base, sizeof(base), inherited, t->row[i].name);
			from = config_source_of(c, base) ? inherited : from;
		}
		show(c, out, sub, text, t->row[i].unit, from);
	}
}

static void show_quoted(const struct config *c, FILE *out, const char *path, const char *key,
                        const char *value)
{
	char sub[256], text[4096];

	config_path_join(sub, sizeof(sub), path, key);
	snprintf(text, sizeof(text), "\"%s\"", value ? value : "");
	show(c, out, sub, text, "", "default");
}

static void show_flag(const struct config *c, FILE *out, const char *path, const char *key,
                      bool value)
{
	char sub[256];

	config_path_join(sub, sizeof(sub), path, key);
	show(c, out, sub, value ? "true" : "false", "", "default");
}

static void show_texts(const struct config *c, FILE *out, const char *path, const char *key,
                       const struct config_texts *list)
{
	char k[64];

	for (size_t i = 0; i < list->n; i++) {
		snprintf(k, sizeof(k), "%s[%zu]", key, i);
		show_quoted(c, out, path, k, list->v[i]);
	}
}

static const char *origin_name(const struct config *c, uint32_t i)
{
	return i == ORIGIN_NONE ? "none" : c->origins.v[i].name;
}

static void show_origin(const struct config *c, size_t i, FILE *out)
{
	const struct config_origin *o = &c->origins.v[i];
	char path[256];

	snprintf(path, sizeof(path), "origins.%.200s", o->name);
	show_quoted(c, out, path, "url", o->url);
	show_rows(c, out, path, &option_origin, &o->policy, NULL);
	show_rows(c, out, path, &option_http, &o->http, NULL);
	show_quoted(c, out, path, "proxy", o->proxy);
	show_quoted(c, out, path, "ca_file", o->ca_file);
	for (size_t k = 0; k < o->headers.n; k++)
		fprintf(out, "%s.headers.%.*s = (%s)  # not shown\n", path,
		        (int)strcspn(o->headers.v[k].line, ":"), o->headers.v[k].line,
		        o->headers.v[k].source);
}

static void show_rule(const struct config *c, size_t i, FILE *out)
{
	const struct config_rule *r = &c->rules.v[i];
	char path[256];

	snprintf(path, sizeof(path), "endpoints[%zu]", i);
	show_quoted(c, out, path, "match", r->match);
	show_quoted(c, out, path, "origin", origin_name(c, r->origin));
	show_quoted(c, out, path, "url", r->url);
	show_quoted(c, out, path, "class", r->class_name);
	show_quoted(c, out, path, "zone", r->zone ? r->zone : c->zone);
	show_quoted(c, out, path, "calendar", r->calendar ? r->calendar : c->calendar);
	show_flag(c, out, path, "cache_private", r->cache_private);
	show_texts(c, out, path, "vary", &r->vary);
	show_texts(c, out, path, "ignore", &r->ignore);
	show_quoted(c, out, path, "ttl", config_ttl_modes[r->policy.ttl]);
	show_quoted(c, out, path, "prewarm", config_prewarm_modes[r->policy.prewarm]);
	show_quoted(c, out, path, "compression", config_compressions[r->policy.compression]);
	show_rows(c, out, path, &option_policy, &r->policy, "policy");
}

static void show_schedule(const struct config *c, size_t i, FILE *out)
{
	const struct config_schedule *s = &c->schedules.v[i];
	char path[256];

	snprintf(path, sizeof(path), "schedules[%zu]", i);
	show_quoted(c, out, path, "name", s->name);
	show_quoted(c, out, path, "rrule", s->rrule);
	show_quoted(c, out, path, "tz", s->tz ? s->tz : c->zone);
	show_quoted(c, out, path, "start", s->start);
	show_texts(c, out, path, "patterns", &s->patterns);
	show_flag(c, out, path, "skip_holidays", s->skip_holidays);
	fprintf(out, "%s.lead = %.15g s\n%s.max_keys = %u keys\n", path, span_s(s->lead), path,
	        (unsigned)s->max_keys);
}

void config_show(const struct config *c, FILE *out)
{
	for (size_t i = 0; i < option_n_text; i++)
		show_quoted(c, out, "", option_text[i].name,
		            *option_text_field((struct config *)(uintptr_t)c, &option_text[i]));
	show_rows(c, out, "", &option_daemon, c, NULL);
	show_rows(c, out, "limits", &option_limits, &c->limits, NULL);
	show_rows(c, out, "messages", &option_messages, &c->messages, "limits");
	show_rows(c, out, "learned", &option_learned, &c->learned, NULL);
	show_flag(c, out, "", "pool", c->pool);
	show_rows(c, out, "policy", &option_policy, &c->policy, NULL);
	show_quoted(c, out, "policy", "ttl", config_ttl_modes[c->policy.ttl]);
	show_quoted(c, out, "policy", "prewarm", config_prewarm_modes[c->policy.prewarm]);
	show_quoted(c, out, "policy", "compression",
	            config_compressions[c->policy.compression]);
	show_quoted(c, out, "", "origin", origin_name(c, c->origin));
	for (size_t i = 0; i < c->origins.n; i++)
		show_origin(c, i, out);
	for (size_t i = 0; i < c->rules.n; i++)
		show_rule(c, i, out);
	for (size_t i = 0; i < c->schedules.n; i++)
		show_schedule(c, i, out);
}
