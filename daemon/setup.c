/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/setup.h"

#include "base/mem.h"
#include "calendar/calendar.h"
#include "daemon/schedule_rule.h"
#include "daemon/schedules.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define YEAR SPAN_S(31556952)

static char *dup_text(const char *s)
{
	return mem_dup(s, strlen(s));
}

/* -- Zones ------------------------------------------------------------------------------------ */

int setup_zone(struct setup *s, const char *name, const char *calendar, struct instant now,
               const struct zone **ret, struct config_error *reterr)
{
	struct instant from = {now.us - 2 * YEAR.us}, to = {now.us + 20 * YEAR.us};
	struct calendar_error err = {""};
	struct setup_zone z;
	int rc;

	name = name && *name ? name : s->config->zone;
	calendar = calendar && *calendar ? calendar : s->config->calendar;
	for (size_t i = 0; i < s->zones.n; i++)
		if (!strcmp(s->zones.v[i].name, name) &&
		    !strcmp(s->zones.v[i].calendar, calendar)) {
			*ret = s->zones.v[i].zone;
			return 0;
		}
	z.zone = NULL;
	rc = *calendar ? calendar_open(calendar, name, from, to, &z.zone, &err)
	               : calendar_zone(name, from, to, &z.zone, &err);
	if (rc) {
		config_fail(reterr, "", "%s: use an IANA name such as \"America/New_York\"",
		            err.text);
		return rc;
	}
	z.name = dup_text(name);
	z.calendar = dup_text(calendar);
	z.events = false;
	*vec_push(&s->zones) = z;
	*ret = z.zone;
	return 0;
}

static int zone_for(struct setup *s, const char *path, const char *name, const char *calendar,
                    struct instant now, const struct zone **ret, struct config_error *reterr)
{
	int rc = setup_zone(s, name, calendar, now, ret, reterr);

	if (rc)
		snprintf(reterr->path, sizeof(reterr->path), "%s", path);
	return rc;
}

/*
 * The special days of the calendar whose events a rule takes, where it is another: to know its end. And
 * its zone, since who takes the setup over has no time to read it.
 */
static void take_source(struct setup *s, const struct config_schedule *y, struct instant now)
{
	const char *source = calendar_source(y->rrule);
	struct config_error ignored; /* it is for schedules_check to refuse it */
	const struct zone *zone;
	size_t n = s->zones.n;
	char own[128];

	*vec_push(&s->event_zones) =
	        schedule_rule_event_zone(y, own, sizeof(own)) ? dup_text(own) : NULL;
	if (source && !setup_zone(s, y->tz, source, now, &zone, &ignored) && s->zones.n > n)
		s->zones.v[n].events = true;
}

static bool is_first_of(const struct setup *s, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (!strcmp(s->zones.v[k].calendar, s->zones.v[i].calendar))
			return false;
	return *s->zones.v[i].calendar;
}

bool setup_calendar(const struct setup *s, size_t i, struct instant wall, const char **ret_name,
                    double *ret_days)
{
	for (size_t k = 0; k < s->zones.n; k++) {
		const struct zone *z = s->zones.v[k].zone;
		double today = zone_local_s(z, wall) / 86400;

		if (!is_first_of(s, k) || (s->zones.v[k].events && !z->n_days) || i--)
			continue;
		*ret_name = s->zones.v[k].calendar;
		*ret_days = z->n_days ? floor(z->day[z->n_days - 1].day - today + 1) : 0;
		return true;
	}
	return false;
}

void setup_calendar_text(const char *name, double days, char *ret_text, size_t cap)
{
	*ret_text = '\0';
	if (days < 0)
		snprintf(ret_text, cap,
		         "calendar %.200s ended %.0f days ago: every weekday counts as open; get "
		         "one "
		         "that goes on",
		         name, -days);
	else if (days < SETUP_CALENDAR_WARN_DAYS)
		snprintf(ret_text, cap,
		         "calendar %.200s ends in %.0f days: from then on every weekday counts as "
		         "open; get one that goes on",
		         name, days);
}

bool setup_calendar_warning(const struct setup *s, size_t i, struct instant wall, char *ret_text,
                            size_t cap)
{
	const char *name;
	double days;

	if (!setup_calendar(s, i, wall, &name, &days))
		return false;
	setup_calendar_text(name, days, ret_text, cap);
	return true;
}

/* -- The engine's form ------------------------------------------------------------------------ */

int setup_new(struct config **cp, struct instant now, struct setup **ret,
              struct config_error *reterr)
{
	struct setup *s = mem_calloc(1, sizeof(*s));
	struct config *c = s->config = *cp;
	const struct zone *zone = NULL;
	char path[64];
	int rc = zone_for(s, "zone", NULL, NULL, now, &zone, reterr);

	s->engine.zone = zone;
	for (size_t i = 0; i < c->rules.n && !rc; i++) {
		const struct config_rule *r = &c->rules.v[i];

		snprintf(path, sizeof(path), "endpoints[%zu].%s", i,
		         r->calendar ? "calendar" : "zone");
		rc = zone_for(s, path, r->zone, r->calendar, now, &zone, reterr);
		*vec_push(&s->rules) = (struct engine_rule){.match = r->match,
		                                            .class_name = r->class_name,
		                                            .origin = r->origin,
		                                            .zone = zone,
		                                            .policy = r->policy};
	}
	for (size_t i = 0; i < c->schedules.n && !rc; i++) {
		const struct config_schedule *y = &c->schedules.v[i];

		snprintf(path, sizeof(path), "schedules[%zu].%s", i,
		         y->calendar ? "calendar" : "tz");
		rc = zone_for(s, path, y->tz, y->calendar, now, &zone, reterr);
		if (!rc)
			take_source(s, y, now);
	}
	if (rc) {
		s->config = NULL;
		setup_free(&s);
		return rc;
	}
	for (size_t i = 0; i < c->origins.n; i++)
		*vec_push(&s->origins) =
		        (struct engine_origin){c->origins.v[i].name, c->origins.v[i].policy};
	s->engine.limits = c->limits;
	s->engine.reserve = true;
	s->engine.policy = c->policy;
	s->engine.origin = c->origin;
	s->engine.pool = c->pool;
	s->engine.rule = s->rules.v;
	s->engine.n_rules = s->rules.n;
	s->engine.origins = s->origins.v;
	s->engine.n_origins = s->origins.n;
	*ret = s;
	*cp = NULL;
	return 0;
}

void setup_free(struct setup **sp)
{
	struct setup *s = *sp;

	if (!s)
		return;
	for (size_t i = 0; i < s->zones.n; i++) {
		free(s->zones.v[i].name);
		free(s->zones.v[i].calendar);
		calendar_zone_free(&s->zones.v[i].zone);
	}
	vec_free(&s->zones);
	for (size_t i = 0; i < s->event_zones.n; i++)
		free(s->event_zones.v[i]);
	vec_free(&s->event_zones);
	vec_free(&s->rules);
	vec_free(&s->origins);
	config_free(&s->config);
	free(s);
	*sp = NULL;
}

/* -- Origins ---------------------------------------------------------------------------------- */

/* The whole URL template of a rule: absolute as it is, else behind the origin's url. */
static char *url_of(const struct config_origin *o, const char *url)
{
	size_t n;
	char *s;

	if (url && (!strncmp(url, "http://", 7) || !strncmp(url, "https://", 8)))
		return dup_text(url);
	url = url ? url : "{+key}";
	n = strlen(o->url) + strlen(url) + 2;
	s = mem_calloc(n, 1);
	snprintf(s, n, "%s%s%s", o->url, *url == '/' || *url == '{' ? "" : "/", url);
	return s;
}

int setup_with_origin(const struct setup *s, size_t i, double time_scale, setup_origin_fn *fn,
                      void *arg)
{
	const struct config *c = s->config;
	const struct config_origin *o = &c->origins.v[i];
	struct http_origin_config h = http_origin_default();
	VEC(struct http_route) routes = {0};
	VEC(const char *) headers = {0};
	int rc;

	for (size_t k = 0; k < o->headers.n; k++)
		*vec_push(&headers) = o->headers.v[k].line;
	for (size_t k = 0; k < c->rules.n; k++) {
		const struct config_rule *r = &c->rules.v[k];

		if (r->origin != i)
			continue;
		*vec_push(&routes) = (struct http_route){.match = r->match,
		                                         .url = url_of(o, r->url),
		                                         .header = headers.v,
		                                         .n_headers = headers.n,
		                                         .vary = (const char *const *)r->vary.v,
		                                         .n_vary = r->vary.n,
		                                         .ignore = (const char *const *)r->ignore.v,
		                                         .n_ignore = r->ignore.n,
		                                         .cache_private = r->cache_private};
	}
	*vec_push(&routes) = (struct http_route){
	        .url = url_of(o, NULL), .header = headers.v, .n_headers = headers.n};
	h.name = o->name;
	h.route = routes.v;
	h.n_routes = routes.n;
	h.ca_file = o->ca_file;
	h.proxy = o->proxy;
	h.time_scale = time_scale;
#define X(name, def, lo, hi, unit, help) h.name = o->http.name;
	HTTP_ORIGIN_TABLE(X)
#undef X
	rc = fn(arg, &h);
	for (size_t k = 0; k < routes.n; k++)
		free((char *)(uintptr_t)routes.v[k].url);
	vec_free(&routes);
	vec_free(&headers);
	return rc;
}

struct origin_check {
	struct http_origin_error err;
};

static void ignore_load(void *arg, const struct input *loaded)
{
	(void)arg;
	(void)loaded;
}

static int check_origin(void *arg, const struct http_origin_config *c)
{
	struct origin_check *k = arg;
	struct http_origin *o = NULL;
	int rc = http_origin_new(c, ignore_load, NULL, &o, &k->err);

	http_origin_free(&o);
	return rc;
}

int setup_check(struct setup *s, struct instant now, struct config_error *reterr)
{
	struct origin_check k = {.err.text = ""};
	char path[256];

	for (size_t i = 0; i < s->config->origins.n; i++) {
		int rc = s->config->origins.v[i].url ? setup_with_origin(s, i, 1, check_origin, &k)
		                                     : 0;

		if (!rc)
			continue;
		snprintf(path, sizeof(path), "origins.%.200s", s->config->origins.v[i].name);
		config_fail(reterr, path, "%s", k.err.text);
		return rc;
	}
	return schedules_check(s, now, reterr);
}
