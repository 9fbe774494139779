/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/daemon.h"

#include "base/bug.h"
#include "base/mem.h"
#include "daemon/large.h"
#include "daemon/learned.h"
#include "daemon/loaders.h"
#include "daemon/log.h"
#include "daemon/origins.h"
#include "daemon/requests.h"
#include "daemon/resp.h"
#include "daemon/schedules.h"
#include "daemon/unmatched.h"
#include "proto/notice.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Readers take a daemon for gone after 2 s of silence. */
static const struct span HEARTBEAT = {250 * 1000};

/* Inputs of the wire and timer items of the engine in one turn, so that neither starves the other.
 */
#define ITEMS_PER_TURN 512
#define TICKS_PER_TURN 512

/* How often the end is looked at while answers are still owed. */
static const struct span DRAIN_LOOK = {20 * 1000};

struct load_failure {
	uint64_t job;
	char text[256];
};

/* -- Tickets ---------------------------------------------------------------------------------- */

uint64_t daemon_ticket(struct daemon *d, ticket_fn *fn, void *arg, uint32_t part)
{
	struct ticket *t;
	uint32_t i;

	if (d->free_ticket.n) {
		i = d->free_ticket.v[--d->free_ticket.n];
	} else {
		i = (uint32_t)d->ticket.n;
		*vec_push(&d->ticket) = (struct ticket){0};
	}
	t = &d->ticket.v[i];
	*t = (struct ticket){fn, arg, part, t->serial + 1};
	d->open_tickets++;
	return (uint64_t)t->serial << 32 | (i + 1);
}

static void reply(struct daemon *d, const struct effect *f)
{
	uint32_t i = (uint32_t)f->ticket - 1;
	struct ticket t;

	BUG_ON(i >= d->ticket.n);
	t = d->ticket.v[i];
	if (t.fn && f->reply.count == TICKET_MORE) {
		t.fn(d, t.arg, t.part, f);
		return;
	}
	/* every ticket is answered once: a second answer would go to somebody else */
	BUG_ON(!t.fn || t.serial != (uint32_t)(f->ticket >> 32));
	d->ticket.v[i].fn = NULL;
	*vec_push(&d->free_ticket) = i;
	d->open_tickets--;
	t.fn(d, t.arg, t.part, f);
}

/* -- Fits ------------------------------------------------------------------------------------- */

struct fit {
	struct daemon *d;
	uint64_t fit;
	struct harmonic_data *data;
	struct harmonic model;
	int status;
};

static void fit_work(void *job)
{
	struct fit *f = job;

	f->status = harmonic_fit(f->data, &f->model);
}

static void fit_drop(void *job)
{
	struct fit *f = job;

	harmonic_data_free(&f->data);
	free(f);
}

static void fit_done(void *job)
{
	struct fit *f = job;
	struct input in = {.kind = INPUT_FITTED,
	                   .fitted = {.fit = f->fit, .status = f->status, .model = f->model}};

	f->d->count.fits++;
	daemon_input(f->d, &in);
	fit_drop(f);
}

static void start_fit(struct daemon *d, const struct effect *e)
{
	struct fit *f = mem_calloc(1, sizeof(*f));

	*f = (struct fit){.d = d, .fit = e->fit.fit, .data = e->fit.data};
	workers_put(d->workers, fit_work, fit_done, fit_drop, f);
}

/* -- Notices ---------------------------------------------------------------------------------- */

void daemon_notice(struct daemon *d, struct row_notice *n)
{
	char topic[NOTICE_TOPIC_BYTES];
	struct pack p;
	size_t len;

	n->seq = ++d->notice_seq;
	n->time_s = (struct instant){clock_now(&d->clock).us + d->clock.offset.us};
	pack_init(&p, (size_t)d->setup->config->messages.max_frame_bytes);
	notice_write(&p, n);
	len = notice_topic(n, topic);
	d->count.notices += wire_publish(d->wire, bytes_of(topic, len), &p);
	pack_release(&p);
}

static void engine_notice(struct daemon *d, const struct effect *f)
{
	static const char *const what[] = {[NOTICE_CHANGED] = "changed",
	                                   [NOTICE_PEAK] = "peak",
	                                   [NOTICE_ENDPOINT] = "endpoint",
	                                   [NOTICE_JUMP] = "jump"};
	struct row_notice n = {.what = bytes_str(what[f->notice.what]),
	                       .endpoint = f->endpoint,
	                       .key = f->key,
	                       .version = f->notice.version,
	                       .name = f->notice.name,
	                       .wanted = f->notice.peak.wanted,
	                       .warm = f->notice.peak.warm,
	                       .left = f->notice.peak.skipped[SKIP_VOLATILE],
	                       .value = f->notice.value,
	                       .count = f->notice.loads};
	char text[LOG_TEXT_BYTES];

	if (f->notice.what == NOTICE_PEAK)
		n.name = schedules_peak(d->schedules, f->notice.name, &f->notice.peak);
	if (f->notice.what == NOTICE_ENDPOINT)
		log_line(LOG_INFO, "endpoint", "name=%s", log_quote(f->endpoint, text));
	if (f->notice.what == NOTICE_JUMP)
		log_line(LOG_INFO, "jump", "endpoint=%s per_s=%.3g loads=%" PRIu64,
		         log_quote(f->endpoint, text), f->notice.value, f->notice.loads);
	daemon_notice(d, &n);
}

/* -- Effects ---------------------------------------------------------------------------------- */

void daemon_fail_load(struct daemon *d, uint64_t job, const char *text)
{
	struct load_failure *f = mem_calloc(1, sizeof(*f));

	f->job = job;
	snprintf(f->text, sizeof(f->text), "%s", text);
	*vec_push(&d->failed) = f;
}

static void carry_out(struct daemon *d)
{
	for (size_t i = 0; i < d->fx.list.n; i++) {
		const struct effect *f = &d->fx.list.v[i];

		switch (f->kind) {
		case EFFECT_REPLY:
			reply(d, f);
			break;
		case EFFECT_WAIT:
			break; /* for decision logs */
		case EFFECT_LOAD:
			if (f->load.origin == ORIGIN_NONE)
				loaders_load(d->loaders, f);
			else
				origins_load(d->origins, f);
			break;
		case EFFECT_FIT:
			start_fit(d, f);
			break;
		case EFFECT_NOTICE:
			engine_notice(d, f);
			break;
		}
	}
	effects_clear(&d->fx);
}

static void input_once(struct daemon *d, const struct input *in)
{
	BUG_ON(d->busy);
	d->busy = true;
	engine_input(d->engine, clock_now(&d->clock), in, &d->fx);
	carry_out(d);
	d->busy = false;
}

void daemon_effects(struct daemon *d)
{
	if (!d->fx.list.n)
		return;
	BUG_ON(d->busy);
	d->busy = true;
	carry_out(d);
	d->busy = false;
}

/* A load that cannot start may make the engine try another: until none is left. */
void daemon_report_failures(struct daemon *d)
{
	struct load_failure *f;

	while (d->failed.n) {
		f = d->failed.v[--d->failed.n];
		d->count.jobs_failed++;
		input_once(d, &(struct input){.kind = INPUT_LOADED,
		                              .loaded = {.job = f->job,
		                                         .status = LOADED_ERROR,
		                                         .last_modified = INSTANT_NONE,
		                                         .error = bytes_str(f->text)}});
		free(f);
	}
}

void daemon_input(struct daemon *d, const struct input *in)
{
	input_once(d, in);
	daemon_report_failures(d);
}

/* -- Timers and the wire ---------------------------------------------------------------------- */

static void on_tick(void *arg)
{
	struct daemon *d = arg;

	d->busy = true;
	engine_tick(d->engine, clock_now(&d->clock), TICKS_PER_TURN, &d->fx);
	carry_out(d);
	d->busy = false;
	daemon_report_failures(d);
}

static void on_heartbeat(void *arg)
{
	struct daemon *d = arg;

	store_heartbeat(d->store, clock_boot_us(&d->clock));
	loop_timer_set(d->loop, &d->heartbeat, HEARTBEAT);
}

static void on_wire(void *arg, uint32_t events)
{
	struct daemon *d = arg;
	struct wire_item *i;

	(void)events;
	for (int k = 0; k < ITEMS_PER_TURN && (i = wire_take(d->wire)); k++)
		requests_take(d, i);
}

static void on_clock_step(void *arg, uint32_t events)
{
	struct daemon *d = arg;
	struct span offset;

	(void)events;
	if (!clock_stepped(&d->clock, &offset))
		return;
	d->count.clock_steps++;
	log_line(LOG_NOTICE, "clock_step", "offset_s=%.6f", span_s(offset));
	daemon_input(d, &(struct input){.kind = INPUT_CLOCK, .clock.offset = offset});
	schedules_expand(d->schedules);
}

void daemon_turn_end(void *arg)
{
	struct daemon *d = arg;
	struct instant next;

	resp_turn_end(d->resp);
	next = engine_next(d->engine);
	/* setting it anew costs a system call: not in every turn for the same instant */
	if (next.us == INSTANT_NEVER.us)
		loop_timer_cancel(d->loop, &d->tick);
	else if (!d->tick.id || next.us != d->tick_at.us)
		loop_timer_set(d->loop, &d->tick, clock_real_until(&d->clock, next));
	d->tick_at = next;
	wire_flush(d->wire);
	/* all that was answered in this turn has been copied by now */
	unpacker_trim(&d->unpack.unpacker);
}

int daemon_start(struct daemon *d)
{
	int rc = loop_add(d->loop, wire_fd(d->wire), EPOLLIN, on_wire, d);

	d->tick = (struct loop_timer){on_tick, d, 0};
	d->heartbeat = (struct loop_timer){on_heartbeat, d, 0};
	if (!rc && d->clock.step_fd >= 0)
		rc = loop_add(d->loop, d->clock.step_fd, EPOLLIN, on_clock_step, d);
	if (rc)
		return rc;
	if (d->clock.offset.us)
		daemon_input(d,
		             &(struct input){.kind = INPUT_CLOCK, .clock.offset = d->clock.offset});
	loop_set_turn_end(d->loop, daemon_turn_end, d);
	/* the start may have taken its time: the first heartbeat is of now */
	clock_turn(&d->clock);
	on_heartbeat(d);
	return 0;
}

void daemon_give_up(struct daemon *d)
{
	for (uint32_t i = 0; i < d->ticket.n; i++) {
		struct ticket *t = &d->ticket.v[i];
		struct effect f = {.kind = EFFECT_REPLY,
		                   .ticket = (uint64_t)t->serial << 32 | (i + 1),
		                   .reply = {.status = REPLY_BUSY, .outcome = OUTCOME_MISS}};

		if (t->fn)
			reply(d, &f);
	}
	wire_flush(d->wire);
}

void daemon_stop(struct daemon *d)
{
	loop_timer_cancel(d->loop, &d->tick);
	loop_timer_cancel(d->loop, &d->heartbeat);
	loop_timer_cancel(d->loop, &d->drain);
	vec_free(&d->ticket);
	vec_free(&d->free_ticket);
	for (size_t i = 0; i < d->failed.n; i++)
		free(d->failed.v[i]);
	vec_free(&d->failed);
	effects_release(&d->fx);
}

/* -- The end, and a new configuration --------------------------------------------------------- */

static void on_drain(void *arg)
{
	struct daemon *d = arg;
	bool over = clock_boot_us(&d->clock) >= d->drain_until_us;

	if (over || (d->open_tickets == 0 && !large_count(d->large) && wire_is_idle(d->wire))) {
		log_line(LOG_INFO, "drained", "unanswered=%zu", d->open_tickets);
		loop_stop(d->loop);
		return;
	}
	loop_timer_set(d->loop, &d->drain, DRAIN_LOOK);
}

void daemon_drain(struct daemon *d)
{
	struct row_notice n = {.what = bytes_str("stop")};

	if (d->draining) { /* a second signal: at once */
		loop_stop(d->loop);
		return;
	}
	d->draining = true;
	d->drain_until_us = clock_boot_us(&d->clock) + span_from_s(d->setup->config->drain_s).us;
	daemon_notice(d, &n);
	log_line(LOG_INFO, "stop", "waiting=%zu", d->open_tickets);
	wire_stop_accepting(d->wire);
	resp_stop_accepting(d->resp);
	d->drain = (struct loop_timer){on_drain, d, 0};
	loop_timer_set(d->loop, &d->drain, SPAN_ZERO);
}

/* A configuration is read by a worker: zone files, calendars and years of schedules take their time. */
struct reload {
	struct daemon *d;
	const struct config *old; /* stays until this has come back */
	struct instant now;
	struct config *config;
	struct setup *setup;
	struct config_error err;
	char kept[512];
	int rc;
};

static void reload_work(void *job)
{
	struct reload *r = job;

	r->rc = config_load(r->d->config_file, &r->config, &r->err);
	if (!r->rc) {
		config_keep_fixed(r->config, r->old, r->d->config_file, r->kept, sizeof(r->kept));
		r->rc = setup_new(&r->config, r->now, &r->setup, &r->err);
	}
	r->rc = r->rc ? r->rc : setup_check(r->setup, r->now, false, &r->err);
}

static void reload_drop(void *job)
{
	struct reload *r = job;

	setup_free(&r->setup);
	config_free(&r->config);
	free(r);
}

static void take_setup(struct daemon *d, struct setup *s, const char *kept)
{
	enum log_level level = LOG_INFO;
	struct setup *old = d->setup;

	d->setup = s;
	d->count.reloads++;
	s->engine.seed = old->engine.seed;
	engine_configure(d->engine, clock_now(&d->clock), &s->engine);
	origins_configure(d->origins);
	schedules_configure(d->schedules);
	unmatched_restart(d->unmatched);
	resp_configure(d->resp);
	setup_free(&old);
	log_level_parse(s->config->log_level, &level);
	log_setup(level, (unsigned)s->config->log_burst, !strcmp(s->config->log_keys, "text"));
	log_line(LOG_INFO, "reload", "ok=1 file=%s", d->config_file);
	if (*kept)
		log_line(LOG_WARN, "reload_needs_restart", "kept=\"%s\"", kept);
}

static void reload_done(void *job)
{
	struct reload *r = job;
	struct daemon *d = r->d;
	struct row_notice n = {.what = bytes_str("reload")};
	bool again = d->reload_again;

	if (r->rc) {
		log_line(LOG_WARN, "reload", "ok=0 file=%s key=%s why=\"%s\"", d->config_file,
		         r->err.path, r->err.why);
		n.text = bytes_str(r->err.why);
	} else {
		take_setup(d, r->setup, r->kept);
		r->setup = NULL;
	}
	daemon_notice(d, &n);
	reload_drop(r);
	d->reloading = d->reload_again = false;
	if (again)
		daemon_reload(d);
}

void daemon_reload(struct daemon *d)
{
	struct reload *r;

	if (!d->config_file) {
		log_line(LOG_NOTICE, "reload", "ok=0 why=\"started without --config\"");
		return;
	}
	/* the file may have changed since it was read */
	d->reload_again = d->reloading;
	if (d->reloading)
		return;
	d->reloading = true;
	r = mem_calloc(1, sizeof(*r));
	*r = (struct reload){.d = d, .old = d->setup->config, .now = clock_now(&d->clock)};
	workers_put(d->workers, reload_work, reload_done, reload_drop, r);
}
