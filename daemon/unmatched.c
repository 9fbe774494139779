/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/unmatched.h"

#include "base/mem.h"
#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/pattern.h"

#include <stdlib.h>

struct unmatched {
	struct daemon *d;
	struct loop_timer timer;
	bool *seen; /* by rule, while a look is under way */
};

/* An endpoint named by a rule has the rule's pattern as its name; one that the app named may match
 * it. */
static void look_at(void *arg, const struct ttl_row *row)
{
	struct unmatched *u = arg;
	const struct config *c = u->d->setup->config;

	for (size_t i = 0; i < c->rules.n; i++) {
		const char *match = c->rules.v[i].match;

		if (!bytes_equal(bytes_str(match), row->endpoint) &&
		    !pattern_matches(match, row->endpoint))
			continue;
		u->seen[i] = true;
		return; /* the first rule that matches is the one that counts */
	}
}

static void on_timer(void *arg)
{
	struct unmatched *u = arg;
	const struct config *c = u->d->setup->config;
	char text[LOG_TEXT_BYTES];

	u->seen = mem_calloc(c->rules.n ? c->rules.n : 1, sizeof(*u->seen));
	engine_endpoints(u->d->engine, clock_now(&u->d->clock), look_at, u);
	for (size_t i = 0; i < c->rules.n; i++)
		if (!u->seen[i])
			log_line(LOG_WARN, "pattern_unmatched",
			         "key=endpoints[%zu].match pattern=%s why=\"has matched nothing "
			         "for %.15g s: is it "
			         "spelt right, or does an earlier pattern take its keys?\"",
			         i, log_quote(bytes_str(c->rules.v[i].match), text),
			         c->unmatched_after);
	free(u->seen);
	u->seen = NULL;
}

void unmatched_restart(struct unmatched *u)
{
	struct span after = span_from_s(u->d->setup->config->unmatched_after);

	loop_timer_set(u->d->loop, &u->timer, clock_to_real(&u->d->clock, after));
}

struct unmatched *unmatched_new(struct daemon *d)
{
	struct unmatched *u = mem_calloc(1, sizeof(*u));

	u->d = d;
	u->timer = (struct loop_timer){on_timer, u, 0};
	unmatched_restart(u);
	return u;
}

void unmatched_free(struct unmatched **up)
{
	struct unmatched *u = *up;

	if (!u)
		return;
	loop_timer_cancel(u->d->loop, &u->timer);
	free(u);
	*up = NULL;
}
