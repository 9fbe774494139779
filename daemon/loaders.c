/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/loaders.h"

#include "base/bug.h"
#include "base/heap.h"
#include "base/intern.h"
#include "base/mem.h"
#include "base/vec.h"
#include "daemon/daemon.h"
#include "daemon/large.h"
#include "daemon/log.h"
#include "daemon/origins.h"
#include "proto/loader.h"
#include "proto/status.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Beats that may be missed. */
#define SILENT_BEATS 3

#define NOBODY UINT32_MAX

/* One connection that has registered; its number is that of its name in `peer`. */
struct loader {
	struct wire_peer peer;
	uint32_t jobs, room;  /* at work on; and how many it takes at once */
	int64_t heard_us;     /* CLOCK_BOOTTIME */
	VEC(uint32_t) serves; /* endpoints */
};

/* A job, open until it is answered, fails, or its deadline passes; its number is that of its id in
 * `id`. */
struct job {
	uint64_t id;
	uint32_t endpoint;
	uint32_t loader; /* NOBODY: waits */
	char *key;
	size_t key_bytes;
	enum load_reason reason;
	struct instant deadline; /* real time: CLOCK_BOOTTIME */
	bool have;
	uint64_t version;
	unsigned tries;
};

struct served {
	VEC(uint32_t) loader;  /* who serves it */
	VEC(uint32_t) waiting; /* jobs that found no room, oldest first */
};

struct loaders {
	struct daemon *d;
	struct intern peer, endpoint, id;
	VEC(struct loader) loader;
	VEC(struct served) served;
	VEC(struct job) job;
	struct heap deadline; /* of jobs */
	struct loop_timer timer;
};

static int64_t boot_us(const struct loaders *l)
{
	return clock_boot_us(&l->d->clock);
}

static struct span beat(const struct loaders *l)
{
	return span_from_s(l->d->setup->config->loader_beat_s);
}

static struct bytes peer_name(const struct wire_peer *p)
{
	return bytes_of(p->id, p->n);
}

/* -- Talking ---------------------------------------------------------------------------------- */

static void tell(struct loaders *l, const struct wire_peer *to, const struct told *t)
{
	struct pack p;

	pack_init(&p, (size_t)l->d->setup->config->messages.max_frame_bytes);
	told_write(&p, t);
	if (!wire_tell(l->d->wire, to, &p))
		l->d->count.replies_lost++;
	pack_release(&p);
}

/* Counted, logged, told to who did it; nothing else happens. */
static void refuse(struct loaders *l, const struct wire_peer *who, int status, const char *text)
{
	struct told t = {.kind = TOLD_REFUSED,
	                 .code = bytes_str(status_name(status)),
	                 .text = bytes_str(text)};
	char name[LOG_TEXT_BYTES];

	l->d->count.loader_faults++;
	log_line(LOG_NOTICE, "loader_fault", "loader=%s why=\"%s\"", log_key(peer_name(who), name),
	         text);
	tell(l, who, &t);
}

/* -- Jobs ------------------------------------------------------------------------------------- */

static void end_job(struct loaders *l, uint32_t n)
{
	struct job *j = &l->job.v[n];

	heap_cancel(&l->deadline, n);
	if (j->loader != NOBODY)
		l->loader.v[j->loader].jobs--;
	free(j->key);
	j->key = NULL;
	intern_remove(&l->id, n);
}

static void take_out(struct loaders *l, uint32_t n)
{
	struct served *s = &l->served.v[l->job.v[n].endpoint];

	for (size_t i = 0; i < s->waiting.n; i++)
		if (s->waiting.v[i] == n) {
			memmove(&s->waiting.v[i], &s->waiting.v[i + 1],
			        (s->waiting.n - i - 1) * sizeof(*s->waiting.v));
			s->waiting.n--;
			return;
		}
}

static void fail_job(struct loaders *l, uint32_t n, const char *text)
{
	uint64_t id = l->job.v[n].id;

	if (l->job.v[n].loader == NOBODY)
		take_out(l, n);
	end_job(l, n);
	log_line(LOG_NOTICE, "load_failed", "origin=loader why=\"%s\"", text);
	daemon_fail_load(l->d, id, text);
}

static void give(struct loaders *l, uint32_t n, uint32_t loader)
{
	struct job *j = &l->job.v[n];
	struct told t = {.kind = TOLD_JOB,
	                 .job = j->id,
	                 .endpoint = intern_name(&l->endpoint, j->endpoint),
	                 .key = bytes_of(j->key, j->key_bytes),
	                 .reason = bytes_str(load_reason_name(j->reason)),
	                 .deadline = {j->deadline.us - boot_us(l)},
	                 .have = j->have,
	                 .version = j->version};

	j->loader = loader;
	l->loader.v[loader].jobs++;
	tell(l, &l->loader.v[loader].peer, &t);
}

/* The worker of the endpoint with the most room; NOBODY when none has any. */
static uint32_t choose(const struct loaders *l, uint32_t endpoint)
{
	const struct served *s = &l->served.v[endpoint];
	uint32_t best = NOBODY, room = 0;

	for (size_t i = 0; i < s->loader.n; i++) {
		const struct loader *w = &l->loader.v[s->loader.v[i]];

		if (w->jobs < w->room && w->room - w->jobs > room) {
			room = w->room - w->jobs;
			best = s->loader.v[i];
		}
	}
	return best;
}

static void place(struct loaders *l, uint32_t n)
{
	uint32_t endpoint = l->job.v[n].endpoint, loader = choose(l, endpoint);

	if (loader == NOBODY)
		*vec_push(&l->served.v[endpoint].waiting) = n;
	else
		give(l, n, loader);
}

/* Room has come free: the oldest jobs that wait get it. */
static void place_waiting(struct loaders *l, uint32_t endpoint)
{
	struct served *s = &l->served.v[endpoint];
	uint32_t loader;

	while (s->waiting.n && (loader = choose(l, endpoint)) != NOBODY) {
		uint32_t n = s->waiting.v[0];

		memmove(&s->waiting.v[0], &s->waiting.v[1],
		        (s->waiting.n - 1) * sizeof(*s->waiting.v));
		s->waiting.n--;
		give(l, n, loader);
	}
}

static uint32_t find_job(const struct loaders *l, uint64_t id)
{
	return intern_find(&l->id, bytes_of(&id, sizeof(id)));
}

void loaders_load(struct loaders *l, const struct effect *f)
{
	uint32_t endpoint = intern_find(&l->endpoint, f->endpoint), n;
	struct span left = clock_real_until(&l->d->clock, f->load.deadline);
	struct job *j;

	if (endpoint == INTERN_NONE || !l->served.v[endpoint].loader.n) {
		daemon_fail_load(l->d, f->load.job,
		                 "no loader worker is registered for this endpoint");
		return;
	}
	n = intern_add(&l->id, bytes_of(&f->load.job, sizeof(f->load.job)), NULL);
	while (l->job.n <= n)
		*vec_push(&l->job) = (struct job){0};
	j = &l->job.v[n];
	*j = (struct job){.id = f->load.job,
	                  .endpoint = endpoint,
	                  .loader = NOBODY,
	                  .key = mem_dup(f->key.p, f->key.n),
	                  .key_bytes = f->key.n,
	                  .reason = f->load.reason,
	                  .deadline = {boot_us(l) + left.us},
	                  .have = f->load.have,
	                  .version = f->load.version};
	heap_set(&l->deadline, n, j->deadline);
	place(l, n);
}

/* -- Coming and going ------------------------------------------------------------------------- */

static void announce(struct loaders *l, uint32_t endpoint, bool up)
{
	struct bytes name = intern_name(&l->endpoint, endpoint);
	uint32_t origin = up ? origins_for_loader(l->d->origins, name) : ORIGIN_NONE;

	daemon_input(l->d, &(struct input){.kind = INPUT_LOADER,
	                                   .endpoint = name,
	                                   .loader = {.up = up, .origin = origin}});
}

static void stop_serving(struct loaders *l, uint32_t loader)
{
	struct loader *w = &l->loader.v[loader];

	for (size_t i = 0; i < w->serves.n; i++) {
		struct served *s = &l->served.v[w->serves.v[i]];

		for (size_t k = 0; k < s->loader.n; k++)
			if (s->loader.v[k] == loader)
				s->loader.v[k] = s->loader.v[--s->loader.n];
	}
}

/* Takes its jobs away: to another worker, or they fail. */
static void take_jobs(struct loaders *l, uint32_t loader, const char *why)
{
	unsigned retries = (unsigned)l->d->setup->config->loader_retries;

	for (uint32_t n = 0; n < l->job.n && l->loader.v[loader].jobs; n++) {
		struct job *j = &l->job.v[n];

		if (!intern_is_live(&l->id, n) || j->loader != loader)
			continue;
		if (j->tries++ < retries && l->served.v[j->endpoint].loader.n) {
			l->loader.v[loader].jobs--;
			j->loader = NOBODY;
			l->d->count.jobs_retried++;
			place(l, n);
		} else {
			fail_job(l, n, why);
		}
	}
}

/* The endpoints that it served and nobody serves now: jobs that wait there have nobody to wait for.
 */
static void close_endpoints(struct loaders *l, uint32_t loader, const char *why)
{
	struct loader *w = &l->loader.v[loader];

	for (size_t i = 0; i < w->serves.n; i++) {
		uint32_t endpoint = w->serves.v[i];

		if (l->served.v[endpoint].loader.n)
			continue;
		while (l->served.v[endpoint].waiting.n)
			fail_job(l, l->served.v[endpoint].waiting.v[0], why);
		announce(l, endpoint, false);
	}
	w->serves.n = 0;
}

static void leave(struct loaders *l, uint32_t loader, const char *why)
{
	struct loader *w = &l->loader.v[loader];
	char name[LOG_TEXT_BYTES];

	log_line(LOG_INFO, "loader_gone", "loader=%s jobs=%u why=\"%s\"",
	         log_key(peer_name(&w->peer), name), (unsigned)w->jobs, why);
	stop_serving(l, loader);
	take_jobs(l, loader, why);
	close_endpoints(l, loader, why);
	vec_free(&l->loader.v[loader].serves);
	intern_remove(&l->peer, loader);
}

static void serve(struct loaders *l, uint32_t loader, struct bytes endpoint)
{
	struct loader *w = &l->loader.v[loader];
	uint32_t e;

	/* names stay: workers that keep coming with new ones must not fill the memory */
	if (intern_find(&l->endpoint, endpoint) == INTERN_NONE &&
	    l->endpoint.live >= (uint32_t)l->d->setup->config->limits.max_endpoints) {
		refuse(l, &w->peer, STATUS_BUSY,
		       "limits.max_endpoints endpoints are known already");
		return;
	}
	e = intern_add(&l->endpoint, endpoint, NULL);
	while (l->served.n <= e)
		memset(vec_push(&l->served), 0, sizeof(*l->served.v));
	for (size_t i = 0; i < w->serves.n; i++)
		if (w->serves.v[i] == e)
			return;
	*vec_push(&w->serves) = e;
	*vec_push(&l->served.v[e].loader) = loader;
	if (l->served.v[e].loader.n == 1)
		announce(l, e, true);
	place_waiting(l, e);
}

static void enter(struct loaders *l, const struct wire_item *i)
{
	const struct config *c = l->d->setup->config;
	uint32_t n = intern_find(&l->peer, peer_name(&i->peer));
	struct told t = {.kind = TOLD_REGISTERED, .beat = beat(l)};
	char name[LOG_TEXT_BYTES];
	struct loader *w;

	if (n == INTERN_NONE && l->peer.live >= (uint32_t)c->max_loaders) {
		refuse(l, &i->peer, STATUS_BUSY, "max_loaders workers are registered already");
		return;
	}
	if (n != INTERN_NONE) {
		stop_serving(l, n); /* registers anew: jobs it has stay with it */
		l->loader.v[n].serves.n = 0;
	} else {
		n = intern_add(&l->peer, peer_name(&i->peer), NULL);
		while (l->loader.n <= n)
			memset(vec_push(&l->loader), 0, sizeof(*l->loader.v));
		l->loader.v[n] = (struct loader){.peer = i->peer};
	}
	w = &l->loader.v[n];
	w->heard_us = boot_us(l);
	w->room = i->loader.concurrency;
	log_line(LOG_INFO, "loader", "loader=%s endpoints=%zu concurrency=%u",
	         log_key(peer_name(&i->peer), name), i->loader.endpoint.n, (unsigned)w->room);
	tell(l, &i->peer, &t);
	for (size_t k = 0; k < i->loader.endpoint.n; k++)
		serve(l, n, i->loader.endpoint.v[k]);
}

/* -- Answers ---------------------------------------------------------------------------------- */

static const enum load_status ended[LOADER_WORDS] = {
        [LOADER_VALUE] = LOADED_OK,
        [LOADER_UNCHANGED] = LOADED_NOT_MODIFIED,
        [LOADER_ABSENT] = LOADED_ABSENT,
        [LOADER_ERROR] = LOADED_ERROR,
        [LOADER_UNCACHEABLE] = LOADED_UNCACHEABLE,
};

/* The value of an answer, on its way into its place. */
struct answer {
	struct wire_item *item;
	struct input in;
	struct instant came;
};

static void answer_free(void *arg)
{
	struct answer *a = arg;

	wire_item_free(&a->item);
	free(a);
}

static void answer_placed(struct daemon *d, void *arg, struct large_value *v, size_t n)
{
	struct answer *a = arg;

	(void)n;
	a->in.loaded.waited = instant_diff(clock_now(&d->clock), a->came);
	a->in.loaded.room = large_room(v);
	a->in.loaded.packed = large_packed(v);
	daemon_input(d, &a->in);
	large_discard(d->large, answer_free, a);
}

static void put_in_place(struct loaders *l, uint32_t job, struct wire_item *i,
                         const struct input *in, int level)
{
	struct large_value v = {
	        .value = in->loaded.value, .key_bytes = l->job.v[job].key_bytes, .level = level};
	struct answer *a = mem_calloc(1, sizeof(*a));

	*a = (struct answer){i, *in, clock_now(&l->d->clock)};
	large_put(l->d->large, &v, 1, 1, answer_placed, answer_free, a);
}

/* The job that the worker answers, if it is its to answer; INTERN_NONE after a refusal. */
static uint32_t answered_job(struct loaders *l, uint32_t loader, const struct wire_item *i)
{
	uint64_t id = i->loader.job;
	uint32_t n = find_job(l, id);
	char text[160];

	if (n == INTERN_NONE) {
		snprintf(text, sizeof(text),
		         "job %" PRIu64 " is not open: it was answered, or is past its deadline",
		         id);
		refuse(l, &i->peer, STATUS_BAD_REQUEST, text);
	} else if (l->job.v[n].loader != loader) {
		snprintf(text, sizeof(text), "job %" PRIu64 " was given to another worker", id);
		refuse(l, &i->peer, STATUS_DENIED, text);
		n = INTERN_NONE;
	}
	return n;
}

/* An answer that cannot be: refused, and the load has failed. `text` has to live as long as *in. */
static void check_answer(struct loaders *l, const struct job *j, const struct wire_item *i,
                         struct input *in, char *text, size_t cap)
{
	const struct loader_message *m = &i->loader;
	double most = l->d->setup->config->limits.max_value_bytes;

	if (m->word == LOADER_UNCHANGED && !j->have) {
		refuse(l, &i->peer, STATUS_BAD_REQUEST,
		       "unchanged: the daemon holds no value of this key");
		in->loaded.status = LOADED_ERROR;
		in->loaded.error = bytes_str("the loader said `unchanged`, but no value is held");
	}
	if ((double)m->value.n > most) {
		snprintf(text, cap,
		         "the loader's value of %zu bytes is longer than limits.max_value_bytes, "
		         "%.15g",
		         m->value.n, most);
		refuse(l, &i->peer, STATUS_TOO_BIG, text);
		in->loaded.status = LOADED_ERROR;
		in->loaded.value = bytes_of(NULL, 0);
		in->loaded.error = bytes_str(text);
	}
}

/* True: it keeps the item. */
static bool answer(struct loaders *l, uint32_t loader, struct wire_item *i)
{
	const struct loader_message *m = &i->loader;
	struct input in = {.kind = INPUT_LOADED,
	                   .loaded = {.job = m->job,
	                              .status = ended[m->word],
	                              .value = m->value,
	                              .version = m->version,
	                              .last_modified = m->last_modified,
	                              .max_age = m->max_age,
	                              .retry_after = m->retry_after,
	                              .error = m->error}};
	uint32_t n = answered_job(l, loader, i), endpoint;
	bool large;
	int level;
	char text[160];

	if (n == INTERN_NONE)
		return false;
	check_answer(l, &l->job.v[n], i, &in, text, sizeof(text));
	if (instant_is_set(in.loaded.last_modified))
		in.loaded.last_modified.us -= l->d->clock.offset.us;
	endpoint = l->job.v[n].endpoint;
	large = in.loaded.status == LOADED_OK &&
	        large_wants(l->d, intern_name(&l->endpoint, endpoint),
	                    bytes_of(l->job.v[n].key, l->job.v[n].key_bytes), in.loaded.value.n,
	                    &level);
	if (large)
		put_in_place(l, n, i, &in, level);
	end_job(l, n);
	if (in.loaded.status == LOADED_ERROR)
		l->d->count.jobs_failed++;
	if (!large)
		daemon_input(l->d, &in);
	place_waiting(l, endpoint);
	return large;
}

bool loaders_take(struct loaders *l, struct wire_item *i)
{
	uint32_t n = intern_find(&l->peer, peer_name(&i->peer));
	bool kept = false;

	if (i->status) {
		refuse(l, &i->peer, STATUS_BAD_REQUEST, i->error.text);
		return false;
	}
	if (n != INTERN_NONE)
		l->loader.v[n].heard_us = boot_us(l);
	switch (i->loader.word) {
	case LOADER_REGISTER:
		enter(l, i);
		break;
	case LOADER_BEAT:
		if (n == INTERN_NONE)
			refuse(l, &i->peer, STATUS_NOT_FOUND,
			       "not registered: send register first");
		else
			tell(l, &i->peer, &(struct told){.kind = TOLD_BEAT});
		break;
	case LOADER_BYE:
		if (n != INTERN_NONE)
			leave(l, n, "the loader worker said bye");
		daemon_report_failures(l->d);
		break;
	default:
		if (n == INTERN_NONE)
			refuse(l, &i->peer, STATUS_DENIED, "not registered: send register first");
		else
			kept = answer(l, n, i);
		break;
	}
	return kept;
}

/* -- Time ------------------------------------------------------------------------------------- */

/* Every quarter of a beat: who was silent for too long, and which jobs are past their deadline? */
static void on_timer(void *arg)
{
	struct loaders *l = arg;
	struct span silent = {beat(l).us * SILENT_BEATS};
	uint32_t n;

	while (heap_pop(&l->deadline, (struct instant){boot_us(l)}, &n))
		fail_job(l, n, "the loader worker did not answer by the deadline");
	for (n = 0; n < l->loader.n; n++) {
		if (!intern_is_live(&l->peer, n) ||
		    boot_us(l) - l->loader.v[n].heard_us <= silent.us)
			continue;
		l->d->count.loaders_lost++;
		leave(l, n, "the loader worker was silent for three beats");
	}
	daemon_report_failures(l->d);
	loop_timer_set(l->d->loop, &l->timer, (struct span){beat(l).us / 4});
}

struct loaders *loaders_new(struct daemon *d)
{
	struct loaders *l = mem_calloc(1, sizeof(*l));

	l->d = d;
	intern_init(&l->peer, d->boot_id);
	intern_init(&l->endpoint, d->boot_id);
	intern_init(&l->id, d->boot_id);
	l->timer = (struct loop_timer){on_timer, l, 0};
	loop_timer_set(d->loop, &l->timer, beat(l));
	return l;
}

void loaders_free(struct loaders **lp)
{
	struct loaders *l = *lp;

	if (!l)
		return;
	loop_timer_cancel(l->d->loop, &l->timer);
	for (uint32_t n = 0; n < l->job.n; n++)
		if (intern_is_live(&l->id, n))
			free(l->job.v[n].key);
	for (uint32_t n = 0; n < l->loader.n; n++)
		vec_free(&l->loader.v[n].serves);
	for (uint32_t n = 0; n < l->served.n; n++) {
		vec_free(&l->served.v[n].loader);
		vec_free(&l->served.v[n].waiting);
	}
	vec_free(&l->loader);
	vec_free(&l->served);
	vec_free(&l->job);
	heap_release(&l->deadline);
	intern_release(&l->peer);
	intern_release(&l->endpoint);
	intern_release(&l->id);
	free(l);
	*lp = NULL;
}

size_t loaders_count(const struct loaders *l, size_t *ret_jobs)
{
	if (ret_jobs)
		*ret_jobs = l->id.live;
	return l->peer.live;
}
