/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A configuration made ready for use: zone files and calendars read, rules and origins in the form
 * of the engine and of the HTTP origins. What --check-config runs, and what a reload swaps.
 *
 * OWNERSHIP a setup owns its config.
 */
#ifndef FORECACHED_DAEMON_SETUP_H
#define FORECACHED_DAEMON_SETUP_H

#include "base/instant.h"
#include "base/zone.h"
#include "daemon/config.h"
#include "daemon/http_origin.h"
#include "engine/engine.h"

struct setup_zone {
	char *name, *calendar; /* calendar "": none */
	bool events;           /* for the instants of a rule only: it may know no special days */
	struct zone *zone;
};

struct setup {
	struct config *config;
	VEC(struct setup_zone) zones; /* each pair of name and calendar once */
	VEC(struct engine_rule) rules;
	VEC(struct engine_origin) origins;
	/* by schedule: the zone of the calendar whose events its rule takes; NULL: it needs none */
	VEC(char *) event_zones;
	struct engine_config engine; /* points into the above; seed is the caller's to fill in */
};

/*
 * Takes over *c (sets it to NULL) on success. On failure, -EINVAL or the error of a file, with
 * *reterr naming the key, *c is still the caller's. Zones reach from two years before `now` to 20
 * after.
 */
int setup_new(struct config **c, struct instant now, struct setup **ret,
              struct config_error *reterr);
void setup_free(struct setup **s);

/*
 * The zone of that name and calendar (NULL or "": the configuration's), read when it is a new one. The
 * path of an error is "zone" or "calendar".
 */
int setup_zone(struct setup *s, const char *name, const char *calendar, struct instant now,
               const struct zone **ret, struct config_error *reterr);

/*
 * Calendar i of those that zones use, each once; *ret_days until its last special day, which are
 * below 0 when that is over. False past the last.
 */
bool setup_calendar(const struct setup *s, size_t i, struct instant wall, const char **ret_name,
                    double *ret_days);

/* Whoever uses a calendar is warned from so many days before its end on. */
#define SETUP_CALENDAR_WARN_DAYS 60

/* What to say of a calendar with so many days left: empty unless it ends within that time. */
void setup_calendar_text(const char *name, double days, char *ret_text, size_t cap);

/*
 * What to say of calendar i: empty unless it ends within SETUP_CALENDAR_WARN_DAYS. False past the
 * last.
 */
bool setup_calendar_warning(const struct setup *s, size_t i, struct instant wall, char *ret_text,
                            size_t cap);

/*
 * Origin i, which must have a url, as http_origin_new() takes it; call fn with it, for it lives
 * during the call only. Its routes are the endpoints that name the origin, and one for all other
 * keys.
 */
typedef int setup_origin_fn(void *arg, const struct http_origin_config *c);
int setup_with_origin(const struct setup *s, size_t i, double time_scale, setup_origin_fn *fn,
                      void *arg);

/*
 * Tries every origin and schedule as far as that goes without the world. Strict, for --check-config: what a
 * start only warns of, since it was right when it was written, is refused, too, and so is what its listeners
 * would fail by.
 */
int setup_check(struct setup *s, struct instant now, bool strict, struct config_error *reterr);

#endif
