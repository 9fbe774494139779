/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/setup.h"

#include "base/mem.h"
#include "base/text.h"
#include "calendar/calendar.h"
#include "daemon/config_source.h"
#include "daemon/content_hash.h"
#include "daemon/http_setup.h"
#include "daemon/schedule_rule.h"
#include "daemon/schedules.h"
#include "daemon/url_template.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define YEAR SPAN_S(31556952)

/* -- Zones ------------------------------------------------------------------------------------ */

/* Which of the two it was is only known by trying the zone without the calendar. */
static int wrong_zone(const char *name, struct instant from, struct instant to, int rc,
                      const struct fault *why, struct config_error *reterr)
{
	struct fault ignored;
	struct zone *z = NULL;

	if (calendar_zone(name, from, to, &z, &ignored))
		config_fail(reterr, "zone", "%s: use an IANA name such as \"America/New_York\"",
		            why->text);
	else
		config_fail(reterr, "calendar", "%s", why->text);
	calendar_zone_free(&z);
	return rc;
}

int setup_zone(struct setup *s, const char *name, const char *calendar, struct instant now,
               const struct zone **ret, struct config_error *reterr)
{
	struct instant from = {now.us - 2 * YEAR.us}, to = {now.us + 20 * YEAR.us};
	struct fault err = {""};
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
	if (rc)
		return wrong_zone(name, from, to, rc, &err, reterr);
	z.name = text_copy(name);
	z.calendar = text_copy(calendar);
	z.events = false;
	*vec_push(&s->zones) = z;
	*ret = z.zone;
	return 0;
}

/* For what stands at `path`, where the zone is called zone_key. */
static int zone_for(struct setup *s, const char *path, const char *zone_key, const char *name,
                    const char *calendar, struct instant now, const struct zone **ret,
                    struct config_error *reterr)
{
	int rc = setup_zone(s, name, calendar, now, ret, reterr);
	bool is_zone = rc && !strcmp(reterr->path, "zone");

	if (rc)
		config_path_join(reterr->path, sizeof(reterr->path), path,
		                 is_zone ? zone_key : "calendar");
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
	        schedule_rule_event_zone(y, own, sizeof(own)) ? text_copy(own) : NULL;
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
		         "one that goes on",
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
	int rc = zone_for(s, "", "zone", NULL, NULL, now, &zone, reterr);

	s->engine.zone = zone;
	for (size_t i = 0; i < c->rules.n && !rc; i++) {
		const struct config_rule *r = &c->rules.v[i];

		snprintf(path, sizeof(path), "endpoints[%zu]", i);
		rc = zone_for(s, path, "zone", r->zone, r->calendar, now, &zone, reterr);
		*vec_push(&s->rules) = (struct engine_rule){.match = r->match,
		                                            .class_name = r->class_name,
		                                            .origin = r->origin,
		                                            .zone = zone,
		                                            .policy = r->policy};
	}
	for (size_t i = 0; i < c->schedules.n && !rc; i++) {
		const struct config_schedule *y = &c->schedules.v[i];

		snprintf(path, sizeof(path), "schedules[%zu]", i);
		rc = zone_for(s, path, "tz", y->tz, y->calendar, now, &zone, reterr);
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
		return text_copy(url);
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
	struct fault err;
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

/*
 * An endpoint's own keys, also where no origin of ours uses them: the origin's setup, which reads them
 * again, could not say whose they are.
 */
static int check_rule(const struct config *c, size_t i, struct config_error *reterr)
{
	const struct config_rule *r = &c->rules.v[i];
	struct content_ignore *ignore = NULL;
	const char *why = NULL;
	char path[64], *url;
	int rc = 0;

	for (size_t k = 0; k < r->ignore.n; k++) {
		rc = content_ignore_new((const char *const *)&r->ignore.v[k], 1, &ignore, &why);
		content_ignore_free(&ignore);
		snprintf(path, sizeof(path), "endpoints[%zu].ignore[%zu]", i, k);
		if (rc)
			return config_fail(reterr, path, "\"%.100s\": %s", r->ignore.v[k], why);
	}
	snprintf(path, sizeof(path), "endpoints[%zu].ignore", i);
	rc = content_ignore_new((const char *const *)r->ignore.v, r->ignore.n, &ignore, &why);
	content_ignore_free(&ignore);
	if (rc)
		return config_fail(reterr, path, "%s", why);
	if (!r->url)
		return 0;
	snprintf(path, sizeof(path), "endpoints[%zu].url", i);
	url = url_of(&c->origins.v[r->origin], r->url);
	why = url_template_check(url, r->match);
	if (why)
		rc = config_fail(reterr, path, "\"%.120s\" %s", url, why);
	free(url);
	return rc;
}

static int check_headers(const struct config_origin *o, struct config_error *reterr)
{
	struct fault err;
	char path[256];

	for (size_t i = 0; i < o->headers.n; i++) {
		const char *line = o->headers.v[i].line;

		snprintf(path, sizeof(path), "origins.%.100s.headers.%.*s", o->name,
		         (int)strcspn(line, ":"), line);
		if (http_header_check(line, &err))
			return config_fail(reterr, path, "%s", err.text);
	}
	return 0;
}

/* What the listener will find at the start (resp_listen.c). A pipe can be read once, so that is not tried. */
static int check_password(const struct config *c, struct config_error *reterr)
{
	const char *file = c->redis_password_file;
	struct stat st;
	FILE *f = NULL;
	int first;

	if (!*file || (!strcmp(c->redis, "off") && !strcmp(c->redis_socket, "off")))
		return 0;
	if (stat(file, &st) || (S_ISREG(st.st_mode) && !(f = fopen(file, "re"))))
		return config_fail(reterr, "redis_password_file",
		                   "%.300s: %s: the daemon's user must be able to read it", file,
		                   strerror(errno));
	if (S_ISDIR(st.st_mode))
		return config_fail(reterr, "redis_password_file", "%.300s: is a directory", file);
	if (!f)
		return 0;
	first = fgetc(f);
	fclose(f);
	if (first > 0 && first != '\r' && first != '\n')
		return 0;
	return config_fail(reterr, "redis_password_file",
	                   "%.300s: its first line is empty: write the password there", file);
}

static int check_origins(const struct setup *s, struct config_error *reterr)
{
	struct origin_check k = {.err.text = ""};
	char path[256];
	int rc = 0, field;

	for (size_t i = 0; i < s->config->origins.n && !rc; i++) {
		const struct config_origin *o = &s->config->origins.v[i];

		if (!o->url)
			continue;
		rc = check_headers(o, reterr);
		if (rc)
			return rc;
		rc = setup_with_origin(s, i, 1, check_origin, &k);
		if (!rc)
			continue;
		/* "ca_file: no such file": the field is the rest of the path; not all name one */
		field = (int)strspn(k.err.text, "abcdefghijklmnopqrstuvwxyz_");
		if (k.err.text[field] != ':')
			field = 0;
		snprintf(path, sizeof(path), "origins.%.200s%s%.*s", o->name, field ? "." : "",
		         field, k.err.text);
		config_fail(reterr, path, "%s",
		            field ? k.err.text + field + strspn(k.err.text + field, ": ")
		                  : k.err.text);
	}
	return rc;
}

int setup_check(struct setup *s, struct instant now, bool strict, struct config_error *reterr)
{
	int rc = strict ? check_password(s->config, reterr) : 0;

	for (size_t i = 0; i < s->config->rules.n && !rc; i++)
		rc = check_rule(s->config, i, reterr);
	rc = rc ? rc : check_origins(s, reterr);
	return rc ? rc : schedules_check(s, now, strict, reterr);
}
