/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/origins.h"

#include "base/mem.h"
#include "base/text.h"
#include "base/vec.h"
#include "daemon/daemon.h"
#include "daemon/large.h"
#include "daemon/log.h"
#include "daemon/pattern.h"

#include <stdlib.h>
#include <string.h>

/* What the engine calls the budget of loader workers that no origin stands for. */
#define LOADER_BUDGET "loader"

struct slot {
	struct daemon *d;
	char *name;
	struct http_origin *http; /* NULL: only a budget, or left out by a reload */
	bool listed;              /* in the present configuration */
};

struct origins {
	struct daemon *d;
	VEC(struct slot *) slot; /* by the engine's number */
};

struct origins *origins_new(struct daemon *d)
{
	struct origins *o = mem_calloc(1, sizeof(*o));

	o->d = d;
	return o;
}

static void close_slot(struct slot *s)
{
	if (!s->http)
		return;
	loop_del(s->d->loop, http_origin_fd(s->http));
	http_origin_free(&s->http);
}

void origins_free(struct origins **op)
{
	struct origins *o = *op;

	if (!o)
		return;
	for (size_t i = 0; i < o->slot.n; i++) {
		close_slot(o->slot.v[i]);
		free(o->slot.v[i]->name);
		free(o->slot.v[i]);
	}
	vec_free(&o->slot);
	free(o);
	*op = NULL;
}

static struct slot *slot_of(struct origins *o, const char *name)
{
	struct slot *s;

	for (size_t i = 0; i < o->slot.n; i++)
		if (!strcmp(o->slot.v[i]->name, name))
			return o->slot.v[i];
	s = mem_calloc(1, sizeof(*s));
	*s = (struct slot){.d = o->d, .name = text_copy(name)};
	*vec_push(&o->slot) = s;
	return s;
}

static void loaded(void *arg, const struct input *in)
{
	struct slot *s = arg;
	char text[LOG_TEXT_BYTES];

	if (in->loaded.status == LOADED_ERROR) {
		s->d->count.jobs_failed++;
		log_line(LOG_NOTICE, "load_failed", "origin=%s why=%s", s->name,
		         log_quote(in->loaded.error, text));
	}
	daemon_input(s->d, in);
}

/* A load whose value is on its way into its place. */
struct placing {
	struct slot *slot;
	struct load *load;
};

static void placed(struct daemon *d, void *arg, struct large_value *v, size_t n)
{
	struct placing *p = arg;
	void *body;

	(void)n;
	http_origin_go_on(p->slot->http, clock_now(&d->clock), p->load, large_room(v),
	                  large_packed(v), v->content_hash, &body);
	large_discard(d->large, free, body);
	free(p);
}

static void put_in_place(void *arg, const struct http_large *large)
{
	struct slot *s = arg;
	struct large_value v = {
	        .value = large->body, .key_bytes = large->key.n, .content = large->hashed};
	struct placing *p;
	void *body;

	if (!large_wants(s->d, large->endpoint, large->key, large->body.n, &v.level)) {
		http_origin_go_on(s->http, clock_now(&s->d->clock), large->load, NULL, NULL, 0,
		                  &body);
		free(body);
		return;
	}
	p = mem_calloc(1, sizeof(*p));
	*p = (struct placing){s, large->load};
	large_put(s->d->large, &v, 1, 1, placed, free, p);
}

static void on_fd(void *arg, uint32_t events)
{
	struct slot *s = arg;

	(void)events;
	http_origin_run(s->http, clock_now(&s->d->clock));
}

static int set_up(void *arg, const struct http_origin_config *c)
{
	struct slot *s = arg;
	struct fault err = {.text = ""};
	int rc;

	if (s->http) {
		rc = http_origin_configure(s->http, c, &err);
	} else {
		rc = http_origin_new(c, loaded, s, &s->http, &err);
		rc = rc ? rc : loop_add(s->d->loop, http_origin_fd(s->http), EPOLLIN, on_fd, s);
	}
	if (!rc)
		http_origin_set_large(s->http, large_least(s->d->setup->config), put_in_place);
	if (rc)
		log_line(LOG_ERROR, "origin", "name=%s why=\"%s\"", s->name, err.text);
	return rc;
}

void origins_configure(struct origins *o)
{
	const struct setup *setup = o->d->setup;

	for (size_t i = 0; i < o->slot.n; i++)
		o->slot.v[i]->listed = false;
	for (size_t i = 0; i < setup->config->origins.n; i++) {
		struct slot *s = slot_of(o, setup->config->origins.v[i].name);

		s->listed = true;
		if (setup->config->origins.v[i].url)
			setup_with_origin(setup, i, o->d->clock.scale, set_up, s);
	}
	/* one that was left out stays until its loads have ended: nobody starts new ones there */
}

uint32_t origins_for_loader(struct origins *o, struct bytes endpoint)
{
	const struct config *c = o->d->setup->config;

	for (size_t i = 0; i < c->rules.n; i++) {
		const struct config_rule *r = &c->rules.v[i];

		if (!bytes_equal(bytes_str(r->match), endpoint) &&
		    !pattern_matches(r->match, endpoint))
			continue;
		if (r->origin == ORIGIN_NONE)
			break;
		for (size_t k = 0; k < o->slot.n; k++)
			if (!strcmp(o->slot.v[k]->name, c->origins.v[r->origin].name))
				return (uint32_t)k;
	}
	slot_of(o, LOADER_BUDGET);
	return ORIGIN_NONE;
}

void origins_load(struct origins *o, const struct effect *load)
{
	struct slot *s = load->load.origin < o->slot.n ? o->slot.v[load->load.origin] : NULL;

	if (!s || !s->http)
		daemon_fail_load(
		        o->d, load->load.job,
		        s && s->listed
		                ? "its origin has no url, and no loader worker is registered for it"
		                : "the configuration has no such origin any more");
	else
		http_origin_load(s->http, clock_now(&o->d->clock), load);
}

bool origins_stats(const struct origins *o, size_t i, const char **ret_name,
                   struct http_origin_stats *ret)
{
	*ret = (struct http_origin_stats){0};
	if (i >= o->slot.n)
		return false;
	*ret_name = o->slot.v[i]->name;
	if (o->slot.v[i]->http)
		http_origin_stats(o->slot.v[i]->http, ret);
	return true;
}

const char *origins_noise(const struct origins *o, struct bytes endpoint, unsigned *ret_alone,
                          unsigned *ret_compared)
{
	const char *field = NULL;

	for (size_t i = 0; i < o->slot.n && !field; i++)
		if (o->slot.v[i]->http)
			field = http_origin_noise(o->slot.v[i]->http, endpoint, ret_alone,
			                          ret_compared);
	return field;
}
