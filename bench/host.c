/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/host.h"

#include "bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

static int64_t clock_us(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

struct instant host_now(void)
{
	return (struct instant){clock_us(CLOCK_REALTIME)};
}

static void put(struct host *h, struct bytes key, struct bytes value, uint64_t version, bool packed)
{
	struct instant now = host_now();
	struct store_item item = {.key = key,
	                          .value = value,
	                          .version = version,
	                          .loaded = now,
	                          .soft = instant_add(now, SPAN_S(7200)),
	                          .hard = instant_add(now, SPAN_S(7200)),
	                          .max_age = SPAN_S(7200),
	                          .packed = packed};
	uint32_t entry;
	int rc;

	pthread_mutex_lock(&h->lock);
	rc = store_put(h->store, &item, &entry);
	pthread_mutex_unlock(&h->lock);
	if (rc) {
		errno = -rc;
		bench_die("store_put");
	}
}

void host_put(struct host *h, struct bytes key, struct bytes value, uint64_t version)
{
	put(h, key, value, version, false);
}

void host_put_packed(struct host *h, struct bytes key, struct bytes frame, uint64_t version)
{
	put(h, key, frame, version, true);
}

/* Heartbeats, and takes events as the daemon's ZeroMQ thread does: received, checked, decoded. */
static void *run(void *arg)
{
	struct host *h = arg;
	struct proto_limits limits = proto_limits_default();
	struct events events;
	struct message m;
	zmq_msg_t frame;

	events_init(&events);
	message_init(&m);
	zmq_msg_init(&frame);
	while (!atomic_load(&h->stop)) {
		pthread_mutex_lock(&h->lock);
		store_heartbeat(h->store, clock_us(CLOCK_BOOTTIME));
		pthread_mutex_unlock(&h->lock);
		if (zmq_msg_recv(&frame, h->pull, 0) < 0)
			continue;
		if (!events_read(&events, &m, bytes_of(zmq_msg_data(&frame), zmq_msg_size(&frame)),
		                 &limits, NULL)) {
			unsigned long long n = 0;

			if (h->fn)
				h->fn(h->arg, events.list.v, events.list.n);
			for (size_t i = 0; i < events.list.n; i++)
				n += events.list.v[i].count;
			atomic_fetch_add(&h->events, n);
		}
	}
	zmq_msg_close(&frame);
	message_release(&m);
	events_release(&events);
	return NULL;
}

void host_start(struct host *h, const char *dir, uint64_t bytes, host_events_fn *fn, void *arg)
{
	char address[128];
	int wait_ms = 100, fd;

	*h = (struct host){.lock = PTHREAD_MUTEX_INITIALIZER, .bytes = bytes, .fn = fn, .arg = arg};
	snprintf(h->segment, sizeof(h->segment), "%s/fc-bench-%d", dir ? dir : "/dev/shm",
	         (int)getpid());
	snprintf(h->link, sizeof(h->link), "%s/segment", bench_dir());
	fd = open(h->segment, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)h->bytes))
		bench_die(h->segment);
	h->mem = mmap(NULL, h->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (h->mem == MAP_FAILED || symlink(h->segment, h->link))
		bench_die(h->link);
	if (store_create(h->mem, h->bytes, 1,
	                 (struct store_clock){clock_us(CLOCK_BOOTTIME), host_now(), 1, 0},
	                 &h->store))
		bench_die("store_create");
	store_heartbeat(h->store, clock_us(CLOCK_BOOTTIME));

	h->ctx = zmq_ctx_new();
	h->pull = zmq_socket(h->ctx, ZMQ_PULL);
	snprintf(address, sizeof(address), "ipc://%s/events", bench_dir());
	zmq_setsockopt(h->pull, ZMQ_RCVTIMEO, &wait_ms, sizeof(wait_ms));
	if (zmq_bind(h->pull, address) || pthread_create(&h->thread, NULL, run, h))
		bench_die(address);
}

void host_stop(struct host *h)
{
	atomic_store(&h->stop, true);
	pthread_join(h->thread, NULL);
	zmq_close(h->pull);
	zmq_ctx_term(h->ctx);
	store_release(&h->store);
	munmap(h->mem, h->bytes);
	unlink(h->segment);
	unlink(h->link);
}
