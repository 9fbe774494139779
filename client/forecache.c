/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/fc.h"
#include "client/link.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CLOSE_LINGER_S 0.1

/* -- Clocks --------------------------------------------------------------------------------- */

static int64_t clock_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t fc_boottime_us(void)
{
	return clock_us(CLOCK_BOOTTIME);
}

int64_t fc_monotonic_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

int64_t fc_wall_us(void)
{
	return clock_us(CLOCK_REALTIME);
}

/* -- Fork ----------------------------------------------------------------------------------- */

/*
 * Handles are held still while a fork goes on. The child's handles keep the segment; the link, its
 * thread, sockets and memory are the parent's: the child forgets them, since nothing of libzmq may
 * be touched there, and what they held waits for the parent.
 */
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct fc *all;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void before_fork(void)
{
	pthread_mutex_lock(&all_lock);
}

static void after_fork_parent(void)
{
	pthread_mutex_unlock(&all_lock);
}

static void after_fork_child(void)
{
	struct fc *fc;

	pthread_mutex_init(&all_lock, NULL);
	for (fc = all; fc; fc = fc->next) {
		pthread_mutex_init(&fc->lock, NULL);
		atomic_store(&fc->link, NULL);
		lanes_forked(&fc->lanes);
		segment_forked(&fc->segment);
		outbox_forked(&fc->outbox);
	}
}

static void watch_forks(void)
{
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static void add_to_all(struct fc *fc)
{
	pthread_once(&fork_once, watch_forks);
	pthread_mutex_lock(&all_lock);
	fc->next = all;
	if (all)
		all->prev = fc;
	all = fc;
	pthread_mutex_unlock(&all_lock);
}

static void remove_from_all(struct fc *fc)
{
	pthread_mutex_lock(&all_lock);
	if (fc->prev)
		fc->prev->next = fc->next;
	else
		all = fc->next;
	if (fc->next)
		fc->next->prev = fc->prev;
	pthread_mutex_unlock(&all_lock);
}

/* -- Options -------------------------------------------------------------------------------- */

/* Row: X(field, default, lowest, highest). */
#define OPTION_TABLE(X)                                                                            \
	X(timeout_s, 5, 0.001, 3600)                                                               \
	X(load_wait_s, 10, 0.001, 3600)                                                            \
	X(silence_s, 2, 0.1, 3600)                                                                 \
	X(flush_s, 0.1, 0.001, 60)                                                                 \
	X(max_batch, 1000, 1, 10000)                                                               \
	X(max_events, 65536, 16, 10000000)                                                         \
	X(max_waiting, 4096, 1, 1000000)                                                           \
	X(max_value_bytes, 67108864, 64, BYTES_MAX_VALUE)                                          \
	X(max_reply_bytes, 83886080, 1024, 1073741824)

static int take_options(struct fc *fc, const struct fc_options *given)
{
	if (given) {
		if (given->size < sizeof(size_t) || given->size > 65536)
			return -EINVAL;
		/* what an older program does not know of is 0 */
		memcpy(&fc->opt, given,
		       given->size < sizeof(fc->opt) ? given->size : sizeof(fc->opt));
	}
	fc->opt.size = sizeof(fc->opt);
#define X(field, def, lo, hi)                                                                      \
	if (fc->opt.field == 0)                                                                    \
		fc->opt.field = (def);                                                             \
	if (!((double)fc->opt.field >= (lo) && (double)fc->opt.field <= (hi)))                     \
		return -EINVAL;
	OPTION_TABLE(X)
#undef X
	fc->silence_us = (int64_t)(fc->opt.silence_s * 1e6);
	fc->limits = proto_limits_default();
	fc->limits.max_frame_bytes = (double)fc->opt.max_reply_bytes;
	fc->limits.max_value_bytes = (double)fc->opt.max_value_bytes;
	fc->limits.max_key_bytes = BYTES_MAX_KEY;
	fc->limits.max_elements = 4194304; /* an export can be long, and is our own daemon's */
	return 0;
}

/* The daemon's directory: option, $FORECACHED_DIR, $XDG_RUNTIME_DIR/forecached, /run/forecached. */
static int find_dir(struct fc *fc)
{
	const char *dir = fc->opt.dir, *run;
	int n = -1;

	if (!dir || !*dir)
		dir = getenv("FORECACHED_DIR");
	if (dir && *dir) {
		n = snprintf(fc->dir, sizeof(fc->dir), "%s", dir);
	} else {
		run = getenv("XDG_RUNTIME_DIR");
		if (run && *run)
			n = snprintf(fc->dir, sizeof(fc->dir), "%s/forecached", run);
		if (n < 0 || n >= (int)sizeof(fc->dir) || access(fc->dir, F_OK))
			n = snprintf(fc->dir, sizeof(fc->dir), "/run/forecached");
	}
	/* the longest name of a socket must fit behind it */
	if (n < 0 || n + (int)strlen("/requests") > FC_MAX_PATH)
		return -ENAMETOOLONG;
	fc->opt.dir = fc->dir;
	return 0;
}

/* -- Open and close ------------------------------------------------------------------------- */

int fc_open(const struct fc_options *options, struct fc **ret)
{
	char path[FC_MAX_PATH + 16];
	struct fc *fc;
	int rc;

	if (!ret)
		return -EINVAL;
	*ret = NULL;
	fc = aligned_alloc(64, (sizeof(*fc) + 63) / 64 * 64);
	if (!fc)
		return -ENOMEM;
	memset(fc, 0, sizeof(*fc));
	rc = take_options(fc, options);
	rc = rc ? rc : find_dir(fc);
	rc = rc ? rc : outbox_init(&fc->outbox, fc->opt.max_events);
	if (rc) {
		free(fc);
		return rc;
	}
	pthread_mutex_init(&fc->lock, NULL);
	snprintf(path, sizeof(path), "%s/segment", fc->dir);
	lanes_init(&fc->lanes);
	segment_init(&fc->segment, path, &fc->lanes);
	segment_refresh(&fc->segment);
	add_to_all(fc);
	*ret = fc;
	return 0;
}

void fc_close(struct fc **fcp)
{
	struct fc *fc = fcp ? *fcp : NULL;
	struct link *l;

	if (!fc)
		return;
	*fcp = NULL;
	remove_from_all(fc);
	atomic_store(&fc->closing, true);
	l = atomic_exchange(&fc->link, NULL);
	link_stop(&l, CLOSE_LINGER_S);
	segment_release(&fc->segment);
	lanes_release(&fc->lanes);
	outbox_release(&fc->outbox);
	pthread_mutex_destroy(&fc->lock);
	free(fc);
}

struct link *fc_link(struct fc *fc)
{
	struct link *l = atomic_load_explicit(&fc->link, memory_order_acquire);

	if (l || atomic_load(&fc->closing))
		return l;
	pthread_mutex_lock(&fc->lock);
	l = atomic_load(&fc->link);
	if (!l) {
		l = link_start(fc);
		atomic_store(&fc->link, l);
	}
	pthread_mutex_unlock(&fc->lock);
	return l;
}

void fc_note(struct fc *fc, const char *endpoint, struct bytes key, enum event_outcome outcome,
             uint32_t count, uint64_t value_bytes, uint64_t version)
{
	struct event e = {.at = INSTANT_NONE,
	                  .endpoint = bytes_str(endpoint),
	                  .key = key,
	                  .outcome = outcome,
	                  .count = count,
	                  .value_bytes = value_bytes,
	                  .version = version};

	if (fc_link(fc))
		outbox_put(&fc->outbox, &e);
	else
		outbox_dropped(&fc->outbox, &e, 1);
}

int fc_register_loader(struct fc *fc, const char *endpoint, unsigned concurrency, fc_load_fn *fn,
                       void *arg)
{
	struct worker *w;
	struct link *l;
	int rc;

	if (!endpoint || !*endpoint || strlen(endpoint) > 1024 || !fn || concurrency == 0 ||
	    concurrency > WORKER_MAX_THREADS)
		return -EINVAL;
	l = fc_link(fc);
	if (!l)
		return -EAGAIN;
	rc = worker_new(fc, l, endpoint, concurrency, fn, arg, &w);
	if (rc)
		return rc;
	rc = link_add_worker(l, w);
	if (rc)
		worker_free(&w);
	return rc;
}

/* -- Questions ------------------------------------------------------------------------------ */

void fc_stats(struct fc *fc, struct fc_stats *ret)
{
	struct lane *l = atomic_load_explicit(&fc->lanes.first, memory_order_acquire);

	*ret = (struct fc_stats){
	        .requests = atomic_load(&fc->requests),
	        .timeouts = atomic_load(&fc->timeouts),
	        .events_sent = atomic_load(&fc->events_sent),
	        .events_dropped = atomic_load(&fc->outbox.dropped),
	        .loads = atomic_load(&fc->loads),
	        .load_errors = atomic_load(&fc->load_errors),
	};
	for (; l; l = l->next) {
#define X(name) ret->name += atomic_load_explicit(&l->name, memory_order_relaxed);
		LANE_COUNT_TABLE(X)
#undef X
	}
}

int fc_alive(struct fc *fc)
{
	struct lane *mine = lanes_mine(&fc->lanes);
	struct segment_map *m = mine ? segment_hold(&fc->segment, mine) : NULL;
	int alive;

	if (!m)
		return 0;
	alive = span_s(store_reader_silence(&m->reader, fc_boottime_us())) <= fc->opt.silence_s;
	segment_drop(mine);
	return alive;
}

const char *fc_strerror(int error)
{
	switch (error < 0 ? -error : error) {
	case 0:
		return "success";
	case EINVAL:
		return "an argument is out of range";
	case ENAMETOOLONG:
		return "the directory's name is too long for a socket in it";
	case ENOMEM:
		return "out of memory";
	case ENOENT:
		return "not found";
	case EMSGSIZE:
		return "a key, value or message is above its limit";
	case EBUSY:
		return "too much is waiting: try again later";
	case ESTALE:
		return "the lease is no longer held, or a change came after the value was read: it "
		       "was not kept";
	case ETIMEDOUT:
		return "no answer in time";
	case ENOTCONN:
		return "no daemon is running there";
	case ENOBUFS:
		return "too many events wait to be told: this one was dropped";
	case EEXIST:
		return "the endpoint has a loader already";
	case EAGAIN:
		return "no thread can be had";
	case EIO:
		return "the load failed and there is no old value";
	case ENOSYS:
		return "the daemon does not know this operation";
	case EACCES:
		return "the daemon's configuration does not allow it";
	case ENODEV:
		return "what this needs is switched off in the daemon, or not ready";
	case EPROTO:
		return "the daemon's answer is not what the protocol says";
	case ECANCELED:
		return "the handle was closed";
	case ERANGE:
		return "the value does not fit the buffer";
	case EINTR:
		return "interrupted by a signal";
	default:
		return "an error of the load function or the system";
	}
}

const char *fc_version(void)
{
	return PACKAGE_VERSION;
}
