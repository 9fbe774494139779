/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * libforecache against a daemon that is this program: a real segment, real sockets, and answers
 * that the test chooses. Here clocks are real, as the library's are; what is waited for is polled
 * with a deadline.
 */
#include "client/forecache.h"
#include "client/lane.h"

#include "proto/loader.h"
#include "proto/notice.h"
#include "proto/reply.h"
#include "proto/row.h"
#include "store/store.h"
#include "tests/sanitized.h"
#include "tests/store_open.h"
#include "tests/store_packed.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

static int64_t clock_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* Polls until cond holds or s seconds are over; gives cond. */
#define EVENTUALLY(cond, s)                                                                        \
	({                                                                                         \
		int64_t until_ = clock_us(CLOCK_MONOTONIC) + (int64_t)((s)*1000000);               \
		while (!(cond) && clock_us(CLOCK_MONOTONIC) < until_)                              \
			poll(NULL, 0, 2);                                                          \
		(cond);                                                                            \
	})

/* -- The daemon ----------------------------------------------------------------------------- */

#define SEGMENT_BYTES (4u << 20)
#define MAX_WAITERS   64
#define MAX_SEEN      64

struct waiter {
	zmq_msg_t envelope;
	uint64_t id;
	atomic_bool used;
};

static struct daemon {
	char dir[64], segment[96], link[96];
	void *mem, *ctx, *requests, *events, *loaders, *notices;
	struct store *store;
	struct store_clock clock;
	pthread_t thread;
	pthread_mutex_t lock;
	atomic_bool stop, silent; /* silent: no heartbeat, no answers */
	/* answers */
	uint64_t lease; /* of any key; 0: free */
	struct waiter waiter[MAX_WAITERS];
	atomic_uint requests_seen, sets_seen, failed_seen, events_seen[EVENT_OUTCOMES],
	        event_messages;
	atomic_uint registered, beats, answers;
	char last_value[64], last_text[64];
	unsigned last_word;
	char loader_id[256];
	size_t loader_id_n;
} d = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct instant wall(void)
{
	return (struct instant){clock_us(CLOCK_REALTIME)};
}

static struct store_clock store_clock_now(void)
{
	return (struct store_clock){clock_us(CLOCK_BOOTTIME), wall(), 1, 0};
}

static void put_at(const char *key, const void *value, size_t n, uint64_t version, double age_s,
                   double soft_s, double hard_s, double max_age_s)
{
	struct store_item item = {
	        .key = bytes_str(key), .value = bytes_of(value, n), .version = version};
	struct instant now = wall();
	uint32_t entry;

	item.loaded = instant_add(now, span_from_s(-age_s));
	item.soft = instant_add(now, span_from_s(soft_s));
	item.hard = instant_add(now, span_from_s(hard_s));
	item.max_age = span_from_s(max_age_s);
	pthread_mutex_lock(&d.lock);
	OK(store_put(d.store, &item, &entry) == 0);
	pthread_mutex_unlock(&d.lock);
}

static void put(const char *key, const char *value)
{
	put_at(key, value, strlen(value), 7, 0, 100, 100, 1000);
}

/* A value whose end is announced by change events. */
static void push(const char *key)
{
	put(key, "p");
	pthread_mutex_lock(&d.lock);
	store_set_pushed(d.store, store_find(d.store, bytes_str(key)), true);
	pthread_mutex_unlock(&d.lock);
}

static void answer(zmq_msg_t *envelope, struct pack *w)
{
	zmq_msg_t copy;

	zmq_msg_init(&copy);
	zmq_msg_copy(&copy, envelope);
	zmq_msg_send(&copy, d.requests, ZMQ_SNDMORE | ZMQ_DONTWAIT);
	zmq_send(d.requests, w->p, w->n, ZMQ_DONTWAIT);
}

static void write_got(struct pack *w, struct bytes key, uint64_t lease)
{
	struct got g = {.outcome = EVENT_MISS, .age_s = NAN, .ttl_s = NAN, .lease = lease};
	uint32_t entry = store_find(d.store, key);
	struct store_item item;

	if (entry != STORE_NONE && !lease) {
		store_get(d.store, entry, &item);
		g.found = true;
		g.value = item.value;
		g.version = item.version;
		g.outcome = EVENT_HIT;
		g.age_s = 0;
		g.ttl_s = 1;
	}
	got_write(w, &g);
}

static void handle(struct request *r, zmq_msg_t *envelope)
{
	struct row_hello hello = {.server = bytes_str("test"), .protocol = PROTO_VERSION};
	struct pack w;
	size_t i;

	pack_init(&w, 1 << 22);
	switch (r->op) {
	case OP_GET:
		if (r->get.mode == MODE_LEASE && store_find(d.store, r->key) == STORE_NONE &&
		    d.lease) {
			for (i = 0; i < MAX_WAITERS && d.waiter[i].used; i++)
				;
			zmq_msg_init(&d.waiter[i].envelope);
			zmq_msg_copy(&d.waiter[i].envelope, envelope);
			d.waiter[i].id = r->id;
			d.waiter[i].used = true;
			pack_release(&w);
			return;
		}
		reply_start(&w, r->id, true);
		if (r->get.mode == MODE_LEASE && store_find(d.store, r->key) == STORE_NONE)
			d.lease = 42;
		write_got(&w, r->key, r->get.mode == MODE_LEASE ? d.lease : 0);
		break;
	case OP_MGET:
		reply_start(&w, r->id, true);
		pack_array(&w, (uint32_t)r->pair.n);
		for (i = 0; i < r->pair.n; i++)
			write_got(&w, r->pair.v[i].key, 0);
		break;
	case OP_LEASE: /* failed: those who wait are told */
		atomic_fetch_add(&d.failed_seen, r->get.failed == 42);
		d.lease = 0;
		for (i = 0; i < MAX_WAITERS; i++)
			if (d.waiter[i].used) {
				pack_reset(&w);
				reply_error(&w, d.waiter[i].id, true, STATUS_LOAD_FAILED, NULL);
				answer(&d.waiter[i].envelope, &w);
				zmq_msg_close(&d.waiter[i].envelope);
				d.waiter[i].used = false;
			}
		pack_reset(&w);
		reply_count(&w, r->id, true, 1);
		break;
	case OP_SET:
		atomic_fetch_add(&d.sets_seen, 1);
		if (r->set.lease && r->set.lease != d.lease) {
			reply_error(&w, r->id, true, STATUS_LEASE_LOST, NULL);
			break;
		}
		d.lease = 0;
		put_at("k", r->set.value.p, r->set.value.n, 9, 0, 100, 100, 1000);
		for (i = 0; i < MAX_WAITERS; i++)
			if (d.waiter[i].used) {
				pack_reset(&w);
				reply_start(&w, d.waiter[i].id, true);
				write_got(&w, r->key, 0);
				answer(&d.waiter[i].envelope, &w);
				zmq_msg_close(&d.waiter[i].envelope);
				d.waiter[i].used = false;
			}
		pack_reset(&w);
		reply_count(&w, r->id, true, 1);
		break;
	case OP_DELETE:
		reply_count(&w, r->id, true, store_find(d.store, r->key) != STORE_NONE);
		break;
	case OP_CHANGED:
		reply_error(&w, r->id, true, STATUS_DENIED, "not here");
		break;
	case OP_TTL:
		reply_start(&w, r->id, true);
		row_write(&w, &row_advice, &(struct row_advice){.ttl_s = 12.5});
		break;
	case OP_HELLO:
		reply_start(&w, r->id, true);
		row_write(&w, &row_hello, &hello);
		break;
	case OP_STATS: /* never answered */
		pack_release(&w);
		return;
	case OP_HEALTH: /* nonsense, then an answer to someone else's request */
		pack_raw(&w, bytes_of("\xdd\x10\x00\x00\x00", 5));
		answer(envelope, &w);
		pack_reset(&w);
		reply_count(&w, r->id + 1000, true, 1);
		answer(envelope, &w);
		pack_reset(&w);
		reply_count(&w, r->id, true, 5);
		break;
	default:
		reply_error(&w, r->id, true, STATUS_UNKNOWN_OP, NULL);
	}
	answer(envelope, &w);
	pack_release(&w);
}

/* Receives envelope (the first frame) and body (the last). */
static bool receive(void *s, zmq_msg_t *envelope, zmq_msg_t *body)
{
	int more = 1, first = 1;
	size_t n = sizeof(more);

	while (more) {
		zmq_msg_t *to = first && envelope ? envelope : body;

		zmq_msg_close(to);
		zmq_msg_init(to);
		if (zmq_msg_recv(to, s, ZMQ_DONTWAIT) < 0)
			return false;
		first = 0;
		zmq_getsockopt(s, ZMQ_RCVMORE, &more, &n);
	}
	return true;
}

static void take_requests(struct request *r, struct message *m, const struct proto_limits *limits)
{
	zmq_msg_t envelope, body;

	zmq_msg_init(&envelope);
	zmq_msg_init(&body);
	while (receive(d.requests, &envelope, &body)) {
		struct bytes frame = bytes_of(zmq_msg_data(&body), zmq_msg_size(&body));

		atomic_fetch_add(&d.requests_seen, 1);
		if (request_read(r, m, frame, limits, NULL) == STATUS_OK)
			handle(r, &envelope);
		else
			OK(false, "a bad request");
	}
	zmq_msg_close(&envelope);
	zmq_msg_close(&body);
}

static void take_events(struct events *e, struct message *m, const struct proto_limits *limits)
{
	zmq_msg_t body;
	size_t i;

	zmq_msg_init(&body);
	while (receive(d.events, NULL, &body)) {
		OK(events_read(e, m, bytes_of(zmq_msg_data(&body), zmq_msg_size(&body)), limits,
		               NULL) == 0);
		OK(e->refused == 0);
		atomic_fetch_add(&d.event_messages, 1);
		for (i = 0; i < e->list.n; i++)
			atomic_fetch_add(&d.events_seen[e->list.v[i].outcome], e->list.v[i].count);
	}
	zmq_msg_close(&body);
}

static void take_loaders(struct loader_message *l, struct message *m,
                         const struct proto_limits *limits)
{
	zmq_msg_t envelope, body;
	struct pack w;

	pack_init(&w, 1 << 20);
	zmq_msg_init(&envelope);
	zmq_msg_init(&body);
	while (receive(d.loaders, &envelope, &body)) {
		int rc = loader_message_read(
		        l, m, bytes_of(zmq_msg_data(&body), zmq_msg_size(&body)), limits, NULL);

		OK(rc == 0);
		if (rc)
			continue;
		if (l->word == LOADER_BEAT) {
			atomic_fetch_add(&d.beats, 1);
			continue;
		}
		pthread_mutex_lock(&d.lock);
		if (l->word == LOADER_REGISTER) {
			struct told t = {.kind = TOLD_REGISTERED, .beat = SPAN_MS(50)};

			d.loader_id_n = zmq_msg_size(&envelope);
			memcpy(d.loader_id, zmq_msg_data(&envelope), d.loader_id_n);
			pack_reset(&w);
			told_write(&w, &t);
			zmq_send(d.loaders, d.loader_id, d.loader_id_n, ZMQ_SNDMORE | ZMQ_DONTWAIT);
			zmq_send(d.loaders, w.p, w.n, ZMQ_DONTWAIT);
		} else {
			d.last_word = l->word;
			if (l->word == LOADER_VALUE)
				snprintf(d.last_value, sizeof(d.last_value), "%.*s",
				         (int)l->value.n, (const char *)l->value.p);
			snprintf(d.last_text, sizeof(d.last_text), "%.*s", (int)l->error.n,
			         (const char *)l->error.p);
		}
		pthread_mutex_unlock(&d.lock);
		if (l->word == LOADER_REGISTER)
			atomic_fetch_add(&d.registered, 1);
		else
			atomic_fetch_add(&d.answers, 1);
	}
	zmq_msg_close(&envelope);
	zmq_msg_close(&body);
	pack_release(&w);
}

static struct told next_job; /* under the lock; job 0: none */

static void give_job(void)
{
	struct pack w;

	pack_init(&w, 1 << 20);
	pthread_mutex_lock(&d.lock);
	if (next_job.job) {
		told_write(&w, &next_job);
		zmq_send(d.loaders, d.loader_id, d.loader_id_n, ZMQ_SNDMORE | ZMQ_DONTWAIT);
		zmq_send(d.loaders, w.p, w.n, ZMQ_DONTWAIT);
		next_job.job = 0;
	}
	pthread_mutex_unlock(&d.lock);
	pack_release(&w);
}

static void publish(uint64_t seq)
{
	struct row_notice n = {.seq = seq,
	                       .time_s = wall(),
	                       .what = bytes_str("changed"),
	                       .endpoint = bytes_str("/q"),
	                       .key = bytes_str("k")};
	char topic[NOTICE_TOPIC_BYTES];
	struct pack w;

	pack_init(&w, 1 << 16);
	notice_write(&w, &n);
	zmq_send(d.notices, topic, notice_topic(&n, topic), ZMQ_SNDMORE | ZMQ_DONTWAIT);
	zmq_send(d.notices, w.p, w.n, ZMQ_DONTWAIT);
	pack_release(&w);
}

static void *daemon_run(void *arg)
{
	struct proto_limits limits = proto_limits_default();
	struct loader_message l;
	struct message m;
	struct request r;
	struct events e;
	uint64_t seq = 0;

	(void)arg;
	message_init(&m);
	request_init(&r);
	events_init(&e);
	loader_message_init(&l);
	while (!atomic_load(&d.stop)) {
		zmq_pollitem_t item[] = {{.socket = d.requests, .events = ZMQ_POLLIN},
		                         {.socket = d.events, .events = ZMQ_POLLIN},
		                         {.socket = d.loaders, .events = ZMQ_POLLIN}};

		zmq_poll(item, 3, 5);
		if (atomic_load(&d.silent))
			continue;
		pthread_mutex_lock(&d.lock);
		store_heartbeat(d.store, clock_us(CLOCK_BOOTTIME));
		pthread_mutex_unlock(&d.lock);
		take_requests(&r, &m, &limits);
		take_events(&e, &m, &limits);
		take_loaders(&l, &m, &limits);
		give_job();
		publish(seq++);
	}
	message_release(&m);
	request_release(&r);
	events_release(&e);
	loader_message_release(&l);
	return NULL;
}

static void *bind_to(int type, const char *name)
{
	void *s = zmq_socket(d.ctx, type);
	char address[128];
	int zero = 0;

	zmq_setsockopt(s, ZMQ_LINGER, &zero, sizeof(zero));
	snprintf(address, sizeof(address), "ipc://%s/%s", d.dir, name);
	OK(zmq_bind(s, address) == 0, "%s", address);
	return s;
}

/* A segment of its own, behind the link; the sockets if wanted. */
static void daemon_start(bool sockets)
{
	static int lives;
	int fd;

	if (!*d.dir) {
		snprintf(d.dir, sizeof(d.dir), "/tmp/t_client-XXXXXX");
		OK(mkdtemp(d.dir) != NULL);
		snprintf(d.link, sizeof(d.link), "%s/segment", d.dir);
	}
	snprintf(d.segment, sizeof(d.segment), "/dev/shm/t_client-%d-%d", (int)getpid(), ++lives);
	fd = open(d.segment, O_RDWR | O_CREAT | O_EXCL, 0600);
	OK(fd >= 0 && !ftruncate(fd, SEGMENT_BYTES));
	d.mem = mmap(NULL, SEGMENT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	d.clock = store_clock_now();
	d.store = created(d.mem, SEGMENT_BYTES, 1000 + (uint64_t)lives, d.clock);
	OK(d.store != NULL);
	store_heartbeat(d.store, clock_us(CLOCK_BOOTTIME));
	unlink(d.link);
	OK(symlink(d.segment, d.link) == 0);
	d.lease = 0;
	atomic_store(&d.stop, false);
	atomic_store(&d.silent, false);
	if (!sockets)
		return;
	d.ctx = zmq_ctx_new();
	d.requests = bind_to(ZMQ_ROUTER, "requests");
	d.events = bind_to(ZMQ_PULL, "events");
	d.loaders = bind_to(ZMQ_ROUTER, "loaders");
	d.notices = bind_to(ZMQ_PUB, "notices");
	OK(!pthread_create(&d.thread, NULL, daemon_run, NULL));
}

static void daemon_stop(void)
{
	if (d.ctx) {
		atomic_store(&d.stop, true);
		pthread_join(d.thread, NULL);
		zmq_close(d.requests);
		zmq_close(d.events);
		zmq_close(d.loaders);
		zmq_close(d.notices);
		zmq_ctx_term(d.ctx);
		d.ctx = NULL;
	}
	store_release(&d.store);
	munmap(d.mem, SEGMENT_BYTES);
	unlink(d.segment);
	unlink(d.link);
}

static struct fc *open_client(void)
{
	struct fc_options o = {
	        .size = sizeof(o), .dir = d.dir, .flush_s = 0.01, .timeout_s = 5, .silence_s = 0.5};
	struct fc *fc = NULL;

	OK(fc_open(&o, &fc) == 0);
	return fc;
}

static bool is_value(const struct fc_value *v, const char *text)
{
	return v->data && v->bytes == strlen(text) && !memcmp(v->data, text, v->bytes);
}

#define GET(fc, key, v)           fc_get(fc, NULL, key, strlen(key), v)
#define LOAD(fc, key, fn, arg, v) fc_get_or_load(fc, NULL, key, strlen(key), fn, arg, v)

/* -- Load functions ------------------------------------------------------------------------- */

struct origin {
	atomic_int loads;
	int rc, pause_ms;
	const char *value;
	double ttl_s;
};

static int load(void *arg, const void *key, size_t key_bytes, struct fc_loaded *ret)
{
	struct origin *o = arg;

	(void)key;
	(void)key_bytes;
	atomic_fetch_add(&o->loads, 1);
	poll(NULL, 0, o->pause_ms);
	if (o->rc)
		return o->rc;
	ret->data = strdup(o->value);
	ret->bytes = strlen(o->value);
	ret->ttl_s = o->ttl_s;
	return 0;
}

/* -- Tests ---------------------------------------------------------------------------------- */

TEST(options_are_checked)
{
	struct fc_options o = {.size = sizeof(o), .dir = d.dir};
	char far[200];
	struct fc *fc;

	o.timeout_s = -1;
	OK(fc_open(&o, &fc) == -EINVAL && !fc);
	o.timeout_s = NAN;
	OK(fc_open(&o, &fc) == -EINVAL);
	o.timeout_s = 0;
	o.max_batch = 1000000;
	OK(fc_open(&o, &fc) == -EINVAL);
	o.max_batch = 0;
	o.size = 0;
	OK(fc_open(&o, &fc) == -EINVAL);
	o.size = sizeof(o);
	memset(far, 'x', sizeof(far) - 1);
	far[0] = '/';
	far[sizeof(far) - 1] = '\0';
	o.dir = far;
	OK(fc_open(&o, &fc) == -ENAMETOOLONG);
	OK(fc_open(NULL, NULL) == -EINVAL);
	fc_close(NULL);
	fc = NULL;
	fc_close(&fc);
	for (int e = -140; e <= 140; e++)
		OK(fc_strerror(e) && *fc_strerror(e));
}

TEST(a_get_reads_the_segment_and_needs_no_socket)
{
	char big[10000], key0[] = "a\0b";
	struct fc_value v;
	struct fc *fc;

	daemon_start(false);
	fc = open_client();
	put("k", "value");
	OK(GET(fc, "k", &v) == 0 && is_value(&v, "value") && v.outcome == FC_HIT && v.version == 7);
	OK(v.age_s >= 0 && v.age_s < 5 && v.ttl_s > 90 && v.ttl_s <= 100, "%g %g", v.age_s,
	   v.ttl_s);
	fc_value_release(&v);
	fc_value_release(&v);
	OK(GET(fc, "other", &v) == -ENOENT && !v.data && v.outcome == FC_MISS);
	put("empty", "");
	OK(GET(fc, "empty", &v) == 0 && v.data && v.bytes == 0);
	fc_value_release(&v);
	memset(big, 'x', sizeof(big));
	put_at("big", big, sizeof(big), 1, 0, 100, 100, 1000);
	OK(GET(fc, "big", &v) == 0 && v.bytes == sizeof(big) && !memcmp(v.data, big, sizeof(big)));
	fc_value_release(&v);
	put_at("grace", "g", 1, 1, 10, -5, 50, 1000);
	OK(GET(fc, "grace", &v) == 0 && v.outcome == FC_GRACE && v.ttl_s < 0);
	fc_value_release(&v);
	put_at("stale", "s", 1, 1, 10, -5, -1, 1000);
	OK(GET(fc, "stale", &v) == -ENOENT && !v.data);
	OK(fc_get(fc, NULL, key0, 3, &v) == -ENOENT);
	OK(fc_get(fc, NULL, "", 0, &v) == -EINVAL);
	OK(fc_get(fc, NULL, NULL, 3, &v) == -EINVAL);
	fc_close(&fc);
	daemon_stop();
}

TEST(a_peek_copies_to_the_callers_buffer_and_asks_nobody)
{
	char buf[16], key[] = "k";
	struct fc_stats s;
	struct fc_value v;
	struct fc *fc;

	daemon_start(false);
	fc = open_client();
	put("k", "value");
	put_at("big", "0123456789abcdefg", 17, 1, 0, 100, 100, 1000);
	put_at("grace", "g", 1, 1, 10, -5, 50, 1000);
	put_at("stale", "s", 1, 1, 10, -5, -1, 1000);
#define PEEK(k, flags) fc_get_into(fc, NULL, k, strlen(k), flags, buf, sizeof(buf), &v)
	OK(PEEK("k", 0) == 0 && v.data == buf && is_value(&v, "value") && v.outcome == FC_HIT);
	OK(PEEK("k", FC_ONLY_FRESH) == 0 && v.version == 7 && v.ttl_s > 90);
	OK(PEEK("grace", 0) == 0 && is_value(&v, "g") && v.outcome == FC_GRACE);
	OK(PEEK("none", 0) == -ENOENT && !v.data && v.outcome == FC_MISS);
	OK(PEEK("stale", 0) == -ENOENT && !v.data);
	fc_stats(fc, &s);
	OK(s.gets == 5 && s.hits == 2 && s.grace == 1 && s.misses == 2);
	/* not told: someone else will ask again */
	OK(PEEK("grace", FC_ONLY_FRESH) == -ENOENT && !v.data && v.outcome == FC_MISS);
	OK(PEEK("none", FC_ONLY_FRESH) == -ENOENT && !v.data);
	OK(PEEK("big", 0) == -ERANGE && !v.data && v.bytes == 17);
	OK(PEEK("", 0) == -EINVAL && PEEK("k", 0) == 0);
	OK(fc_get_into(fc, NULL, key, 1, 0, NULL, 16, &v) == -EINVAL);
	fc_stats(fc, &s);
	OK(s.gets == 6 && s.misses == 2 && s.requests == 0);
#undef PEEK
	fc_close(&fc);
	daemon_stop();
}

/* Text that is long enough to be worth it. */
#define LONG                                                                                       \
	"{\"bid\":1.25,\"ask\":1.26},{\"bid\":1.25,\"ask\":1.27},{\"bid\":1.25,\"ask\":1.28},"     \
	"{\"bid\":1.25,\"ask\":1.29},{\"bid\":1.25,\"ask\":1.30},{\"bid\":1.25,\"ask\":1.31}"

/* Puts what is to be taken for a frame. */
static void put_frame(const char *key, struct bytes frame)
{
	struct instant soft = instant_add(wall(), SPAN_S(100));
	struct store_item item = {.key = bytes_str(key),
	                          .value = frame,
	                          .version = 7,
	                          .loaded = wall(),
	                          .soft = soft,
	                          .hard = soft,
	                          .max_age = SPAN_S(1000),
	                          .packed = true};

	pthread_mutex_lock(&d.lock);
	OK(store_put(d.store, &item, NULL) == 0);
	pthread_mutex_unlock(&d.lock);
}

static struct bytes frame_of(const char *value)
{
	bool packed;
	struct bytes frame = packed_or_not(bytes_str(value), &packed);

	OK(packed && frame.n < strlen(value));
	return frame;
}

TEST(a_value_that_is_kept_compressed_is_decoded)
{
	static const void *const keys[] = {"z", "none", "z"};
	static const size_t key_bytes[] = {1, 4, 1};
	char buf[sizeof(LONG)];
	struct fc_value v, many[3];
	struct fc_stats s;
	struct fc_view w;
	struct bytes frame;
	struct fc *fc;

	daemon_start(false);
	fc = open_client();
	put_frame("z", frame_of(LONG));
	for (int i = 0; i < 3; i++) {
		OK(GET(fc, "z", &v) == 0 && is_value(&v, LONG) && v.version == 7 &&
		   v.outcome == FC_HIT && v.ttl_s > 90);
		fc_value_release(&v);
	}
	OK(fc_get_into(fc, NULL, "z", 1, 0, buf, strlen(LONG), &v) == 0 && v.data == buf &&
	   is_value(&v, LONG));
	OK(fc_get_into(fc, NULL, "z", 1, 0, buf, strlen(LONG) - 1, &v) == -ERANGE && !v.data &&
	           v.bytes == strlen(LONG),
	   "%zu", v.bytes);
	OK(fc_mget(fc, NULL, keys, key_bytes, 3, many) == 0 && is_value(&many[0], LONG) &&
	   many[1].error == -ENOENT && is_value(&many[2], LONG));
	for (int i = 0; i < 3; i++)
		fc_value_release(&many[i]);
	OK(fc_get_or_load(fc, NULL, "z", 1, NULL, NULL, &v) == 0 && is_value(&v, LONG));
	fc_value_release(&v);
	fc_stats(fc, &s);
	OK(s.gets == 8 && s.hits == 7 && s.requests == 0);
	OK(fc_peek(fc, NULL, "z", 1, 0, &w) == -EAGAIN && !w.data && !fc_peek_valid(fc, &w),
	   "it is not there in one piece");
	fc_stats(fc, &s);
	OK(s.gets == 8, "who asks again is counted once");
	/* frames that are none, by whatever mistake, though their sums are right */
	put_frame("junk", bytes_str("it is no frame"));
	frame = frame_of(LONG);
	put_frame("cut", bytes_of(frame.p, frame.n - 1));
	((char *)(uintptr_t)frame.p)[frame.n - 1] ^= 1;
	put_frame("bad", frame);
	put_frame("empty", bytes_of(NULL, 0));
	OK(GET(fc, "junk", &v) == -ENOENT && GET(fc, "cut", &v) == -ENOENT &&
	   GET(fc, "bad", &v) == -ENOENT && GET(fc, "empty", &v) == -ENOENT && !v.data);
	fc_close(&fc);
	daemon_stop();
}

TEST(a_peek_without_a_segment_waits_for_no_one)
{
	struct fc_value v;
	struct fc_stats s;
	struct fc *fc = open_client();
	char buf[16];

	OK(fc_get_into(fc, NULL, "k", 1, 0, buf, sizeof(buf), &v) == -EAGAIN && !v.data);
	fc_stats(fc, &s);
	OK(s.gets == 0 && s.requests == 0);
	fc_close(&fc);
}

TEST(a_view_is_right_until_the_writer_is_at_it)
{
	struct fc_view w, other;
	struct fc *fc;
	char big[5000];

	memset(big, 'b', sizeof(big));
	daemon_start(false);
	fc = open_client();
#define PEEK(k, flags) fc_peek(fc, NULL, k, strlen(k), flags, &w)
	put("k", "value");
	put_at("big", big, sizeof(big), 9, 3, 100, 100, 1000);
	put_at("grace", "g", 1, 1, 10, -5, 50, 1000);
	put_at("stale", "s", 1, 1, 10, -5, -1, 1000);
	OK(PEEK("k", 0) == 0 && w.bytes == 5 && !memcmp(w.data, "value", 5) && w.version == 7 &&
	   w.outcome == FC_HIT && w.ttl_s > 90);
	OK(fc_peek_valid(fc, &w) == 1 && !w.data);
	OK(fc_peek_valid(fc, &w) == 0, "a peek ends once");
	OK(PEEK("big", 0) == 0 && w.bytes == sizeof(big) && !memcmp(w.data, big, sizeof(big)) &&
	   w.version == 9 && w.age_s >= 3);
	OK(fc_peek(fc, NULL, "k", 1, 0, &other) == 0, "two at once");
	put("k", "other");
	OK(fc_peek_valid(fc, &other) == 0 && fc_peek_valid(fc, &w) == 1);
	OK(PEEK("grace", 0) == 0 && w.outcome == FC_GRACE && fc_peek_valid(fc, &w) == 1);
	OK(PEEK("grace", FC_ONLY_FRESH) == -ENOENT && !w.data && fc_peek_valid(fc, &w) == 0);
	OK(PEEK("stale", 0) == -ENOENT && PEEK("none", 0) == -ENOENT && PEEK("", 0) == -EINVAL);
	OK(fc_peek(fc, NULL, "k", 1, 0, NULL) == -EINVAL);
	pthread_mutex_lock(&d.lock);
	{
		struct store_item item;

		store_get(d.store, store_find(d.store, bytes_str("big")), &item);
		((char *)(uintptr_t)item.value.p)[4000] ^= 1;
	}
	pthread_mutex_unlock(&d.lock);
	OK(PEEK("big", 0) == -ENOENT, "one bit of it is wrong");
#undef PEEK
	fc_close(&fc);
	daemon_stop();
}

static bool reads(struct fc *fc, const char *key, const char *value)
{
	struct fc_value v;
	bool is = !GET(fc, key, &v) && is_value(&v, value);

	fc_value_release(&v);
	return is;
}

/* The daemon goes, with the file, and its segment is replaced: a view stays readable. */
TEST(a_view_outlives_the_segment_it_is_of)
{
	struct fc_view w;
	struct fc *fc;
	int i, sum = 0;

	daemon_start(true);
	fc = open_client();
	put("k", "value");
	OK(fc_peek(fc, NULL, "k", 1, 0, &w) == 0);
	daemon_stop();
	daemon_start(true);
	put("k", "newer");
	OK(EVENTUALLY(reads(fc, "k", "newer"), 10));
	for (i = 0; i < (int)w.bytes; i++)
		sum += ((const char *)w.data)[i];
	OK(sum == 'v' + 'a' + 'l' + 'u' + 'e');
	fc_peek_valid(fc, &w);
	fc_close(&fc);
	daemon_stop();
}

/* Of very many hits some are told, and stand for the others: their sum is right, and each share. */
TEST(of_many_hits_some_are_told_with_their_weight)
{
	struct sample s = {0};
	uint64_t told[4] = {0}, n = 0, sum = 0;
	int i;

	for (i = 0; i < 4000000; i++) {
		/* in a fixed order, as a loop over keys has it: a fixed step would never meet some */
		unsigned key = i % 8 < 4 ? 0 : i % 8 < 6 ? 1 : i % 8 < 7 ? 2 : 3;
		uint32_t weight = sample_hit(&s, (uint32_t)i / 400000);

		told[key] += weight;
		sum += weight;
		n += weight > 0;
		if (i < (int)SAMPLE_EXACT - 1)
			OK(weight == 1, "hit %d", i);
	}
	OK(sum + s.since == 4000000 && s.since < 2 * SAMPLE_MOST, "%u", s.since);
	OK(n < 60000, "%u are told", (unsigned)n);
	/* shares of a half, a quarter, an eighth: each key is met some thousand times */
	OK(fabs((double)told[0] / 2e6 - 1) < 0.1 && fabs((double)told[1] / 1e6 - 1) < 0.1 &&
	           fabs((double)told[2] / 5e5 - 1) < 0.15 && fabs((double)told[3] / 5e5 - 1) < 0.15,
	   "%u %u %u %u", (unsigned)told[0], (unsigned)told[1], (unsigned)told[2],
	   (unsigned)told[3]);
	/* a quieter time tells each again */
	for (i = 0; i < 20 * 100; i++)
		sample_hit(&s, 1000 + (uint32_t)i / 100);
	OK(s.every == 1, "%u", s.every);
}

static void *get_once(void *arg)
{
	struct fc_value v;

	OK(GET(arg, "k", &v) == 0);
	fc_value_release(&v);
	return NULL;
}

/* More threads than a handle has lanes at hand, at once and one after the other. */
TEST(what_threads_counted_stays_when_they_end)
{
	enum { N = LANES_AT_HAND + 8 };
	pthread_t t[N];
	struct fc_stats s;
	struct fc *fc;
	int i;

	daemon_start(true);
	fc = open_client();
	put("k", "value");
	for (i = 0; i < N; i++)
		OK(pthread_create(&t[i], NULL, get_once, fc) == 0);
	for (i = 0; i < N; i++)
		pthread_join(t[i], NULL);
	for (i = 0; i < 100; i++) {
		OK(pthread_create(&t[0], NULL, get_once, fc) == 0);
		pthread_join(t[0], NULL);
	}
	fc_stats(fc, &s);
	OK(s.gets == N + 100 && s.hits == N + 100, "%llu", (unsigned long long)s.gets);
	fc_close(&fc);
	daemon_stop();
}

TEST(events_reach_the_daemon_counted)
{
	unsigned hits = atomic_load(&d.events_seen[EVENT_HIT]);
	unsigned misses = atomic_load(&d.events_seen[EVENT_MISS]);
	struct fc_stats s;
	struct fc_value v;
	struct fc *fc;
	int i;

	daemon_start(true);
	fc = open_client();
	put("k", "value");
	for (i = 0; i < 2000; i++) {
		GET(fc, "k", &v);
		fc_value_release(&v);
	}
	for (i = 0; i < 300; i++)
		GET(fc, "none", &v);
	OK(fc_event(fc, &(struct fc_event){.size = sizeof(struct fc_event),
	                                   .endpoint = "/q",
	                                   .key = "x",
	                                   .key_bytes = 1,
	                                   .outcome = FC_EVENT_SET,
	                                   .count = 11,
	                                   .load_ms = 3.5}) == 0);
	OK(fc_event(fc, &(struct fc_event){.size = sizeof(struct fc_event),
	                                   .key = "x",
	                                   .key_bytes = 1,
	                                   .load_ms = NAN}) == -EINVAL);
	OK(EVENTUALLY(atomic_load(&d.events_seen[EVENT_HIT]) == hits + 2000, 10), "%u",
	   atomic_load(&d.events_seen[EVENT_HIT]));
	OK(EVENTUALLY(atomic_load(&d.events_seen[EVENT_MISS]) == misses + 300, 10));
	OK(EVENTUALLY(atomic_load(&d.events_seen[EVENT_SET]) == 11, 10));
	fc_stats(fc, &s);
	OK(s.hits == 2000 && s.misses == 300 && s.gets == 2300 && s.segment_reads == 2300);
	OK(EVENTUALLY((fc_stats(fc, &s), s.events_sent == 2311), 10) && s.events_dropped == 0,
	   "%llu", (unsigned long long)s.events_sent);
	printf("# 2311 events in %u messages\n", atomic_load(&d.event_messages));
	fc_close(&fc);
	daemon_stop();
}

TEST(what_is_not_told_yet_is_told_at_close)
{
	struct fc_options o = {.size = sizeof(o), .dir = d.dir, .flush_s = 30};
	unsigned before = atomic_load(&d.events_seen[EVENT_HIT]);
	struct fc_value v;
	struct fc *fc;

	daemon_start(true);
	put("k", "value");
	OK(fc_open(&o, &fc) == 0);
	OK(GET(fc, "k", &v) == 0);
	fc_value_release(&v);
	fc_close(&fc);
	OK(EVENTUALLY(atomic_load(&d.events_seen[EVENT_HIT]) == before + 1, 10));
	daemon_stop();
}

TEST(too_many_events_are_dropped_and_counted)
{
	struct fc_options o = {.size = sizeof(o), .dir = d.dir, .flush_s = 30, .max_events = 16};
	struct fc_stats s;
	struct fc *fc;
	int i, refused = 0;

	daemon_start(false);
	OK(fc_open(&o, &fc) == 0);
	for (i = 0; i < 1000; i++)
		refused += fc_event(fc, &(struct fc_event){.size = sizeof(struct fc_event),
		                                           .key = &i,
		                                           .key_bytes = sizeof(i)}) == -ENOBUFS;
	fc_stats(fc, &s);
	OK(refused >= 900 && s.events_dropped >= (unsigned)refused, "%d", refused);
	fc_close(&fc);
	daemon_stop();
}

/* Whatever the thread asks the kernel for from here on ends the process. */
static void no_more_system_calls(void)
{
	struct sock_filter code[] = {
	        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_exit_group, 0, 1),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(code[0]), code};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		_exit(77);
}

TEST(a_get_makes_no_system_call)
{
	struct fc_value v;
	struct fc *fc;
	int status, i, bad = 0;
	pid_t child;

	daemon_start(false);
	put("k", "value");
	fc = open_client();
	child = SANITIZED ? 0 : fork();
	if (child == 0 && !SANITIZED) {
		GET(fc, "k", &v); /* starts the thread */
		fc_value_release(&v);
		no_more_system_calls();
		for (i = 0; i < 100000; i++) {
			bad += GET(fc, "k", &v) != 0;
			fc_value_release(&v);
			bad += GET(fc, "none", &v) != -ENOENT;
		}
		_exit(bad != 0);
	}
	if (SANITIZED) {
		printf("# skipped: a sanitizer makes its own system calls\n");
	} else {
		OK(waitpid(child, &status, 0) == child);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
			printf("# skipped: no seccomp here\n");
		else
			OK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
	}
	fc_close(&fc);
	daemon_stop();
}

TEST(requests_are_answered)
{
	struct fc_set_options set = {.size = sizeof(set), .lease = 41};
	char err[64];
	void *result;
	size_t n;
	double ttl = 0;
	struct fc *fc;

	daemon_start(true);
	fc = open_client();
	OK(fc_set(fc, NULL, "k", 1, "new", 3, NULL) == 0);
	OK(fc_set(fc, NULL, "k", 1, "new", 3, &set) == -ESTALE);
	set.ttl_s = NAN;
	OK(fc_set(fc, NULL, "k", 1, "new", 3, &set) == -EINVAL);
	OK(fc_set(fc, NULL, "k", 1, NULL, 8388609, NULL) == -EINVAL);
	OK(fc_delete(fc, "k", 1) == 0);
	OK(fc_delete(fc, "none", 4) == -ENOENT);
	OK(fc_changed(fc, NULL, "k", 1, 0) == -EACCES);
	OK(fc_ttl(fc, NULL, "k", 1, &ttl) == 0 && ttl == 12.5);
	OK(fc_request(fc, "changed", "\x91\xa1k", 3, 0, &result, &n, err, sizeof(err)) == -EACCES);
	OK(!strcmp(err, "not here"), "%s", err);
	OK(fc_request(fc, "hello", NULL, 0, 0, &result, &n, err, sizeof(err)) == 0, "%s", err);
	OK(n > 10 && (*(unsigned char *)result & 0xf0) == 0x80);
	free(result);
	OK(fc_request(fc, "hello", "\xdd\x10\0\0\0", 5, 0, &result, &n, err, 64) == -EINVAL);
	/* nonsense and answers for others do no harm */
	OK(fc_request(fc, "health", NULL, 0, 0, &result, &n, err, sizeof(err)) == 0, "%s", err);
	OK(n == 8 && !memcmp(result,
	                     "\x81\xa5"
	                     "count\x05",
	                     8));
	free(result);
	OK(fc_request(fc, "stats", NULL, 0, 0.05, &result, &n, err, sizeof(err)) == -ETIMEDOUT);
	fc_close(&fc);
	daemon_stop();
}

TEST(without_a_segment_the_daemon_is_asked)
{
	const void *keys[] = {"k", "none", "k"};
	size_t key_bytes[] = {1, 4, 1};
	struct fc_value v[3];
	struct fc *fc;

	daemon_start(true);
	put("k", "value");
	unlink(d.link);
	fc = open_client();
	OK(GET(fc, "k", v) == 0 && is_value(v, "value") && v->outcome == FC_HIT);
	fc_value_release(v);
	OK(GET(fc, "none", v) == -ENOENT);
	OK(fc_mget(fc, NULL, keys, key_bytes, 3, v) == 0);
	OK(v[0].error == 0 && is_value(&v[0], "value"));
	OK(v[1].error == -ENOENT && !v[1].data);
	OK(v[2].error == 0 && is_value(&v[2], "value"));
	for (int i = 0; i < 3; i++)
		fc_value_release(&v[i]);
	/* and once it is there it is found */
	OK(symlink(d.segment, d.link) == 0);
	OK(EVENTUALLY(fc_alive(fc), 10));
	OK(fc_mget(fc, NULL, keys, key_bytes, 3, v) == 0);
	OK(v[1].error == -ENOENT && is_value(&v[2], "value"));
	for (int i = 0; i < 3; i++)
		fc_value_release(&v[i]);
	fc_close(&fc);
	daemon_stop();
}

static struct fc *shared;

static void *get_or_load(void *arg)
{
	struct fc_value v;
	intptr_t ok;

	ok = LOAD(shared, "k", load, arg, &v) == 0 && is_value(&v, "loaded");
	fc_value_release(&v);
	return (void *)ok;
}

TEST(one_caller_loads_and_the_others_wait)
{
	struct origin o = {.value = "loaded", .pause_ms = 50};
	pthread_t t[16];
	struct fc_value v;
	void *ok;
	int i;

	daemon_start(true);
	shared = open_client();
	for (i = 0; i < 16; i++)
		pthread_create(&t[i], NULL, get_or_load, &o);
	for (i = 0; i < 16; i++) {
		pthread_join(t[i], &ok);
		OK(ok, "%d", i);
	}
	OK(atomic_load(&o.loads) == 1, "%d loads", atomic_load(&o.loads));
	/* now it is in the segment */
	OK(LOAD(shared, "k", load, &o, &v) == 0 && v.outcome == FC_HIT);
	fc_value_release(&v);
	OK(atomic_load(&o.loads) == 1);
	fc_close(&shared);
	daemon_stop();
}

/* -- A daemon that dies while it is asked --------------------------------------------------- */

static struct fc *open_patient_client(double load_wait_s)
{
	/* a silence that is never reached: only the connection tells */
	struct fc_options o = {.size = sizeof(o),
	                       .dir = d.dir,
	                       .timeout_s = 60,
	                       .silence_s = 60,
	                       .load_wait_s = load_wait_s};
	struct fc *fc = NULL;

	OK(fc_open(&o, &fc) == 0);
	return fc;
}

static unsigned waiters(void)
{
	unsigned n = 0;
	int i;

	for (i = 0; i < MAX_WAITERS; i++)
		n += atomic_load(&d.waiter[i].used);
	return n;
}

static void forget_waiters(void)
{
	int i;

	for (i = 0; i < MAX_WAITERS; i++)
		if (d.waiter[i].used) {
			zmq_msg_close(&d.waiter[i].envelope);
			d.waiter[i].used = false;
		}
}

TEST(what_was_asked_of_a_daemon_that_died_is_asked_of_the_next)
{
	struct origin o = {.value = "loaded", .pause_ms = 20};
	int64_t start;
	pthread_t t[4];
	void *ok;
	int i;

	daemon_start(true);
	d.lease = 1; /* somebody else's */
	shared = open_patient_client(60);
	for (i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, get_or_load, &o);
	OK(EVENTUALLY(waiters() == 4, 30));
	atomic_store(&d.sets_seen, 0);
	start = clock_us(CLOCK_MONOTONIC);
	daemon_stop();
	forget_waiters();
	daemon_start(true);
	for (i = 0; i < 4; i++) {
		pthread_join(t[i], &ok);
		OK(ok, "%d", i);
	}
	OK(clock_us(CLOCK_MONOTONIC) - start < 30000000, "%" PRId64 " us",
	   clock_us(CLOCK_MONOTONIC) - start);
	/*
	 * by a lease of the next daemon; and those who looked when there was none, by the lock file
	 */
	OK(atomic_load(&o.loads) <= 2, "%d loads", atomic_load(&o.loads));
	fc_close(&shared);
	daemon_stop();
}

static void *ask_in_vain(void *arg)
{
	char err[64];
	void *result = NULL;
	size_t n;

	(void)arg;
	return (void *)(intptr_t)fc_request(shared, "stats", NULL, 0, 60, &result, &n, err,
	                                    sizeof(err));
}

TEST(what_may_not_be_asked_twice_ends_with_the_connection)
{
	unsigned before = atomic_load(&d.requests_seen);
	pthread_t t;
	void *rc;

	daemon_start(true);
	shared = open_patient_client(60);
	pthread_create(&t, NULL, ask_in_vain, NULL);
	OK(EVENTUALLY(atomic_load(&d.requests_seen) == before + 1, 30));
	daemon_stop();
	daemon_start(true);
	pthread_join(t, &rc);
	OK((intptr_t)rc == -ENOTCONN, "%d", (int)(intptr_t)rc);
	fc_close(&shared);
	daemon_stop();
}

/* The segment is another life's before the sockets of that life answer. */
TEST(a_segment_that_was_taken_over_is_read_at_once)
{
	struct origin o = {.value = "loaded"};
	struct fc_value v;
	struct fc *fc;

	daemon_start(false);
	put("k", "value");
	fc = open_client();
	OK(LOAD(fc, "k", load, &o, &v) == 0 && is_value(&v, "value"));
	fc_value_release(&v);
	store_release(&d.store);
	d.store = attached(d.mem, SEGMENT_BYTES, 77, d.clock, wall(), NULL, NULL);
	OK(d.store != NULL);
	OK(LOAD(fc, "k", load, &o, &v) == 0 && is_value(&v, "value") && v.outcome == FC_HIT);
	fc_value_release(&v);
	OK(atomic_load(&o.loads) == 0, "%d loads", atomic_load(&o.loads));
	fc_close(&fc);
	daemon_stop();
}

TEST(callers_whose_patience_ends_together_load_once)
{
	struct origin o = {.value = "loaded", .pause_ms = 50};
	pthread_t t[8];
	void *ok;
	int i;

	daemon_start(true);
	d.lease = 1; /* whose holder never comes back */
	shared = open_patient_client(2);
	atomic_store(&d.sets_seen, 0);
	for (i = 0; i < 8; i++)
		pthread_create(&t[i], NULL, get_or_load, &o);
	for (i = 0; i < 8; i++) {
		pthread_join(t[i], &ok);
		OK(ok, "%d", i);
	}
	OK(atomic_load(&o.loads) == 1, "%d loads", atomic_load(&o.loads));
	OK(atomic_load(&d.sets_seen) == 1, "the daemon is told");
	fc_close(&shared);
	daemon_stop();
	forget_waiters();
}

/* -- Loads that fail ------------------------------------------------------------------------ */

static void *get_or_fail(void *arg)
{
	struct fc_value v;
	intptr_t rc = LOAD(shared, "k", load, arg, &v);

	fc_value_release(&v);
	return (void *)rc;
}

TEST(when_one_caller_cannot_load_the_others_do_not_try)
{
	struct origin o = {.rc = -EHOSTUNREACH, .pause_ms = 300};
	int i, failed = 0, told = 0;
	pthread_t t[8];
	void *rc;

	daemon_start(true);
	shared = open_client();
	for (i = 0; i < 8; i++)
		pthread_create(&t[i], NULL, get_or_fail, &o);
	for (i = 0; i < 8; i++) {
		pthread_join(t[i], &rc);
		failed += (intptr_t)rc == -EHOSTUNREACH;
		told += (intptr_t)rc == -EIO;
	}
	OK(failed == 1 && told == 7, "%d failed, %d were told", failed, told);
	OK(atomic_load(&o.loads) == 1 && atomic_load(&d.failed_seen) == 1);
	fc_close(&shared);
	daemon_stop();
}

TEST(a_load_that_fails_gives_the_old_value)
{
	struct origin o = {.rc = -EHOSTUNREACH};
	struct fc_value v;
	struct fc *fc;

	daemon_start(true);
	fc = open_client();
	OK(LOAD(fc, "other", load, &o, &v) == -EHOSTUNREACH && !v.data);
	put_at("stale", "old", 3, 1, 10, -5, -1, 1000);
	atomic_store(&d.silent, true); /* the daemon's clock stands; then it is gone */
	OK(EVENTUALLY(!fc_alive(fc), 10));
	OK(LOAD(fc, "stale", load, &o, &v) == 0 && is_value(&v, "old") && v.outcome == FC_GRACE);
	fc_value_release(&v);
	put_at("ancient", "old", 3, 1, 1001, -5, -1, 1000);
	OK(LOAD(fc, "ancient", load, &o, &v) == -EHOSTUNREACH && !v.data);
	o.rc = -ENOENT; /* the origin says that it is no more */
	OK(LOAD(fc, "stale", load, &o, &v) == -ENOENT && !v.data);
	fc_close(&fc);
	daemon_stop();
}

TEST(a_silent_daemon_is_not_waited_for)
{
	struct origin o = {.value = "loaded"};
	struct fc_value v;
	struct fc *fc;
	int64_t start;

	daemon_start(true);
	put("k", "value");
	put_at("grace", "g", 1, 1, 10, -5, 50, 1000);
	push("pushed");
	push("pushed old");
	fc = open_client();
	OK(fc_alive(fc));
	OK(GET(fc, "pushed", &v) == 0 && v.outcome == FC_HIT);
	fc_value_release(&v);
	OK(GET(fc, "grace", &v) == 0);
	fc_value_release(&v);
	atomic_store(&d.silent, true);
	OK(EVENTUALLY(!fc_alive(fc), 10));
	start = clock_us(CLOCK_MONOTONIC);
	OK(fc_set(fc, NULL, "k", 1, "x", 1, NULL) == -ENOTCONN);
	OK(GET(fc, "k", &v) == 0 && v.outcome == FC_HIT); /* fresh until its TTL */
	fc_value_release(&v);
	OK(GET(fc, "pushed", &v) == -ENOENT); /* fresh while events are heard */
	OK(LOAD(fc, "pushed", load, &o, &v) == 0 && is_value(&v, "loaded"));
	fc_value_release(&v);
	o.rc = -EHOSTUNREACH;
	OK(LOAD(fc, "pushed old", load, &o, &v) == 0 && v.outcome == FC_GRACE);
	fc_value_release(&v);
	o.rc = 0;
	OK(GET(fc, "grace", &v) == -ENOENT);
	OK(LOAD(fc, "grace", load, &o, &v) == 0 && is_value(&v, "loaded"));
	fc_value_release(&v);
	OK(clock_us(CLOCK_MONOTONIC) - start < 2000000, "%" PRId64 " us",
	   clock_us(CLOCK_MONOTONIC) - start);
	fc_close(&fc);
	daemon_stop();
}

TEST(no_daemon_at_all_is_said_at_once)
{
	struct fc_value v;
	struct fc *fc = open_client();
	int64_t start = clock_us(CLOCK_MONOTONIC);

	OK(fc_set(fc, NULL, "k", 1, "x", 1, NULL) == -ENOTCONN);
	OK(GET(fc, "k", &v) == -ENOTCONN);
	OK(clock_us(CLOCK_MONOTONIC) - start < 2000000);
	OK(!fc_alive(fc));
	fc_close(&fc);
}

/* Children without a daemon: what they load is counted in shared memory. */
static void load_in_child(struct origin *o, int start_fd)
{
	struct fc *fc = open_client();
	struct fc_value v;
	char c;
	int rc;

	if (read(start_fd, &c, 1) < 0)
		_exit(2);
	rc = LOAD(fc, "k", load, o, &v);
	rc = rc || !is_value(&v, "loaded");
	fc_value_release(&v);
	fc_close(&fc);
	_exit(rc);
}

TEST(without_a_daemon_one_process_loads_and_the_others_wait)
{
	struct origin *o =
	        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child[8];
	int i, status, p[2];

	*o = (struct origin){.value = "loaded", .pause_ms = 300, .ttl_s = 10};
	OK(pipe(p) == 0);
	for (i = 0; i < 8; i++) {
		child[i] = fork();
		if (child[i] == 0) {
			close(p[1]);
			load_in_child(o, p[0]);
		}
	}
	close(p[1]); /* all start */
	close(p[0]);
	for (i = 0; i < 8; i++) {
		OK(waitpid(child[i], &status, 0) == child[i]);
		OK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%x", status);
	}
	OK(atomic_load(&o->loads) == 1, "%d loads", atomic_load(&o->loads));
	munmap(o, 4096);
}

/* Neither directory is there, so both use the same one for their locks. */
TEST(without_daemons_the_apps_of_two_share_no_values)
{
	struct fc_options one = {.size = sizeof(one), .dir = "/nonexistent/one", .timeout_s = 1},
	                  two = {.size = sizeof(two), .dir = "/nonexistent/two", .timeout_s = 1};
	struct origin first = {.value = "of one", .ttl_s = 60}, again = {.value = "not asked"},
	              second = {.value = "of two", .ttl_s = 60};
	struct fc *a = NULL, *b = NULL;
	struct fc_value v;
	char key[32];

	/* of this run only: what it leaves must not answer the next */
	snprintf(key, sizeof(key), "two/%d/%" PRId64, (int)getpid(), clock_us(CLOCK_MONOTONIC));
	OK(fc_open(&one, &a) == 0 && fc_open(&two, &b) == 0);
	OK(LOAD(a, key, load, &first, &v) == 0 && is_value(&v, "of one"));
	fc_value_release(&v);
	OK(LOAD(b, key, load, &second, &v) == 0 && is_value(&v, "of two"));
	fc_value_release(&v);
	OK(LOAD(a, key, load, &again, &v) == 0 && is_value(&v, "of one"), "its own is still good");
	fc_value_release(&v);
	fc_close(&a);
	fc_close(&b);
}

TEST(without_a_daemon_a_value_ages_from_before_its_load)
{
	struct origin slow = {.value = "slow", .pause_ms = 200, .ttl_s = 600};
	struct fc *fc = open_client();
	struct fc_value v;
	char key[32];

	snprintf(key, sizeof(key), "slow/%d/%" PRId64, (int)getpid(), clock_us(CLOCK_MONOTONIC));
	OK(LOAD(fc, key, load, &slow, &v) == 0 && v.outcome == FC_MISS);
	fc_value_release(&v);
	OK(LOAD(fc, key, load, &slow, &v) == 0 && v.outcome == FC_HIT);
	OK(v.age_s >= 0.2 && v.ttl_s <= 599.8, "%.3f s old, good for %.3f s", v.age_s, v.ttl_s);
	fc_value_release(&v);
	fc_close(&fc);
}

TEST(a_lock_dies_with_its_holder)
{
	struct origin *o =
	        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct origin mine = {.value = "mine"};
	struct fc *fc = open_client();
	struct fc_value v;
	int64_t start;
	pid_t child;

	*o = (struct origin){.value = "loaded", .pause_ms = 60000};
	child = fork();
	if (child == 0) {
		struct fc *own = open_client();

		LOAD(own, "dead", load, o, &v);
		_exit(0);
	}
	OK(EVENTUALLY(atomic_load(&o->loads) == 1, 10));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	start = clock_us(CLOCK_MONOTONIC);
	OK(LOAD(fc, "dead", load, &mine, &v) == 0 && is_value(&v, "mine"));
	OK(clock_us(CLOCK_MONOTONIC) - start < 5000000);
	fc_value_release(&v);
	fc_close(&fc);
	munmap(o, 4096);
}

static bool no_fork(void)
{
	if (SANITIZED)
		printf("# skipped: the sanitizer cannot fork a process with threads\n");
	return SANITIZED;
}

TEST(a_child_goes_on_after_fork)
{
	unsigned before;
	struct fc_value v;
	struct fc *fc;
	int status, i;
	pid_t child;

	if (no_fork())
		return;
	daemon_start(true);
	put("k", "value");
	put_frame("z", frame_of(LONG));
	fc = open_client();
	OK(fc_set(fc, NULL, "k", 1, "x", 1, NULL) == 0); /* the parent's link is up */
	before = atomic_load(&d.events_seen[EVENT_HIT]);
	OK(GET(fc, "z", &v) == 0); /* ... and it has decoded */
	fc_value_release(&v);
	OK(EVENTUALLY(atomic_load(&d.events_seen[EVENT_HIT]) == before + 1, 10));
	before = atomic_load(&d.events_seen[EVENT_HIT]);
	child = fork();
	if (child == 0) {
		int bad = 0;

		for (i = 0; i < 100; i++) {
			bad += i % 2 ? GET(fc, "k", &v) != 0
			             : GET(fc, "z", &v) != 0 || !is_value(&v, LONG);
			fc_value_release(&v);
		}
		bad += fc_set(fc, NULL, "k", 1, "y", 1, NULL) != 0;
		fc_close(&fc);
		_exit(bad != 0);
	}
	OK(waitpid(child, &status, 0) == child);
	OK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%x", status);
	OK(EVENTUALLY(atomic_load(&d.events_seen[EVENT_HIT]) == before + 100, 10));
	OK(fc_set(fc, NULL, "k", 1, "z", 1, NULL) == 0, "the parent goes on, too");
	fc_close(&fc);
	daemon_stop();
}

#define CHILDREN      4
#define CHILD_THREADS 3
#define CHILD_GETS    200

static struct fc *inherited;
static struct origin *child_origin;

static void *work_in_child(void *arg)
{
	char key[32];
	struct fc_value v;
	uintptr_t bad = 0;

	for (int i = 0; i < CHILD_GETS; i++) {
		bad += GET(inherited, "stay", &v) != 0 || !is_value(&v, "value");
		fc_value_release(&v);
		snprintf(key, sizeof(key), "%p/%d", arg, i);
		bad += GET(inherited, key, &v) != -ENOENT;
		if (i % 20)
			continue;
		bad += fc_set(inherited, NULL, key, strlen(key), "x", 1, NULL) != 0;
	}
	return (void *)bad;
}

/* A worker of a prefork server: threads that get and set, and a loader of its own. */
static _Noreturn void child_run(atomic_bool *go_home)
{
	pthread_t t[CHILD_THREADS];
	uintptr_t bad = 0;
	void *more;

	bad += fc_register_loader(inherited, "/q", 2, load, child_origin) != 0;
	for (uintptr_t i = 0; i < CHILD_THREADS; i++)
		bad += pthread_create(&t[i], NULL, work_in_child,
		                      (void *)((uintptr_t)getpid() << 8 | i)) != 0;
	for (int i = 0; i < CHILD_THREADS; i++) {
		pthread_join(t[i], &more);
		bad += (uintptr_t)more;
	}
	bad += !EVENTUALLY(atomic_load(go_home), 30);
	fc_close(&inherited);
	_exit(bad != 0);
}

TEST(the_children_of_a_prefork_server_work)
{
	atomic_bool *go_home =
	        mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned hits, sets, registered, answers;
	pid_t child[CHILDREN];
	int status;

	if (no_fork())
		return;
	daemon_start(true);
	put("stay", "value");
	child_origin = (struct origin *)(void *)((char *)go_home + 4096);
	*child_origin = (struct origin){.value = "loaded"};
	inherited = open_client();
	OK(fc_set(inherited, NULL, "k", 1, "x", 1, NULL) == 0, "the parent's link is up");
	hits = atomic_load(&d.events_seen[EVENT_HIT]);
	sets = atomic_load(&d.sets_seen);
	registered = atomic_load(&d.registered);
	answers = atomic_load(&d.answers);
	for (unsigned i = 0; i < CHILDREN; i++) {
		child[i] = fork();
		if (child[i] == 0)
			child_run(go_home);
		OK(EVENTUALLY(atomic_load(&d.registered) >= registered + i + 1, 30), "%u loaders",
		   atomic_load(&d.registered) - registered);
		/* it goes to the one that came last */
		pthread_mutex_lock(&d.lock);
		next_job = (struct told){.kind = TOLD_JOB,
		                         .job = 5 + i,
		                         .endpoint = bytes_str("/q"),
		                         .key = bytes_str("/q/1"),
		                         .reason = bytes_str("refresh"),
		                         .deadline = SPAN_S(30)};
		pthread_mutex_unlock(&d.lock);
		OK(EVENTUALLY(atomic_load(&d.answers) >= answers + i + 1, 30),
		   "the loader of child %u answers", i);
	}
	OK(atomic_load(&child_origin->loads) == CHILDREN);
	atomic_store(go_home, true);
	for (int i = 0; i < CHILDREN; i++)
		OK(waitpid(child[i], &status, 0) == child[i] && WIFEXITED(status) &&
		           WEXITSTATUS(status) == 0,
		   "child %d: %x", i, (unsigned)status);
	/* each hit of each thread of each child was told; each child's sets arrived */
	OK(EVENTUALLY(atomic_load(&d.events_seen[EVENT_HIT]) ==
	                      hits + CHILDREN * CHILD_THREADS * CHILD_GETS,
	              10),
	   "%u hits", atomic_load(&d.events_seen[EVENT_HIT]) - hits);
	OK(atomic_load(&d.sets_seen) == sets + CHILDREN * CHILD_THREADS * CHILD_GETS / 20, "%u sets",
	   atomic_load(&d.sets_seen) - sets);
	OK(fc_set(inherited, NULL, "k", 1, "z", 1, NULL) == 0, "the parent goes on, too");
	fc_close(&inherited);
	daemon_stop();
	munmap(go_home, 8192);
	atomic_store(&d.registered, 0);
	atomic_store(&d.answers, 0);
}

/* Nobody but its owner can cut the file; who finds it cut reads none of it. */
TEST(a_segment_that_was_cut_is_read_no_more)
{
	struct fc_options o = {.size = sizeof(o), .dir = d.dir, .timeout_s = 0.2};
	struct fc_value v;
	struct fc *fc;

	for (int i = 0; i < 4; i++) {
		static const off_t cut[] = {0, 64, 4096, SEGMENT_BYTES / 2};

		daemon_start(false);
		put("k", "value");
		OK(truncate(d.segment, cut[i]) == 0);
		OK(fc_open(&o, &fc) == 0);
		OK(GET(fc, "k", &v) != 0 && !v.data, "cut to %ld before it is mapped",
		   (long)cut[i]);
		OK(!fc_alive(fc));
		fc_close(&fc);
		/* the fixture still writes a heartbeat at its end */
		OK(truncate(d.segment, SEGMENT_BYTES) == 0);
		daemon_stop();
	}
}

TEST(another_segment_is_found)
{
	struct fc_value v;
	struct fc *fc;

	daemon_start(true);
	put("k", "first");
	fc = open_client();
	OK(GET(fc, "k", &v) == 0 && is_value(&v, "first"));
	fc_value_release(&v);
	daemon_stop();
	daemon_start(true);
	put("k", "second");
	OK(EVENTUALLY((fc_value_release(&v), GET(fc, "k", &v) == 0 && is_value(&v, "second")), 10));
	fc_value_release(&v);
	OK(fc_set(fc, NULL, "k", 1, "x", 1, NULL) == 0, "it has connected again");
	fc_close(&fc);
	daemon_stop();
}

TEST(a_loader_serves_the_daemon)
{
	struct origin o = {.value = "served"};
	unsigned beats;
	struct fc *fc;

	daemon_start(true);
	fc = open_client();
	OK(fc_register_loader(fc, "/q", 0, load, &o) == -EINVAL);
	OK(fc_register_loader(fc, "/q", 2, load, &o) == 0);
	OK(fc_register_loader(fc, "/q", 2, load, &o) == -EEXIST);
	OK(EVENTUALLY(atomic_load(&d.registered) == 1, 0.5), "as soon as it is connected");
	beats = atomic_load(&d.beats);
	pthread_mutex_lock(&d.lock);
	next_job = (struct told){.kind = TOLD_JOB,
	                         .job = 5,
	                         .endpoint = bytes_str("/q"),
	                         .key = bytes_str("/q/1"),
	                         .reason = bytes_str("refresh"),
	                         .deadline = SPAN_S(5)};
	pthread_mutex_unlock(&d.lock);
	OK(EVENTUALLY(atomic_load(&d.answers) == 1, 10));
	pthread_mutex_lock(&d.lock);
	OK(d.last_word == LOADER_VALUE && !strcmp(d.last_value, "served"));
	o.rc = -EHOSTUNREACH;
	next_job.job = 6;
	pthread_mutex_unlock(&d.lock);
	OK(EVENTUALLY(atomic_load(&d.answers) == 2, 10));
	pthread_mutex_lock(&d.lock);
	OK(d.last_word == LOADER_ERROR && d.last_text[0]);
	pthread_mutex_unlock(&d.lock);
	OK(EVENTUALLY(atomic_load(&d.beats) > beats + 2, 10), "it beats");
	pthread_mutex_lock(&d.lock);
	o = (struct origin){.value = "at the end", .pause_ms = 100};
	next_job.job = 7;
	pthread_mutex_unlock(&d.lock);
	OK(EVENTUALLY(atomic_load(&o.loads) == 1, 10));
	fc_close(&fc);
	OK(EVENTUALLY(atomic_load(&d.answers) == 4, 10) && d.last_word == LOADER_BYE,
	   "it says bye");
	OK(!strcmp(d.last_value, "at the end"), "what was running is told before");
	daemon_stop();
}

static int three_notices(void *arg, const char *topic, const void *notice, size_t n)
{
	int *seen = arg;

	OK(!strcmp(topic, "changed:/q"), "%s", topic);
	OK(n > 0 && (*(const unsigned char *)notice & 0xf0) == 0x80);
	return ++*seen == 3 ? 123 : 0;
}

TEST(notices_are_handed_out)
{
	struct fc *fc;
	int seen = 0;

	daemon_start(true);
	fc = open_client();
	OK(fc_monitor(fc, "changed:", 10, three_notices, &seen) == 123);
	OK(fc_monitor(fc, "peak:", 0.05, three_notices, &seen) == -ETIMEDOUT);
	OK(seen == 3);
	fc_close(&fc);
	daemon_stop();
}

static void *hammer(void *arg)
{
	struct fc_value v;
	char key[16];
	int i;

	(void)arg;
	for (i = 0; i < 20000; i++) {
		snprintf(key, sizeof(key), "k%d", i % 50);
		GET(shared, key, &v);
		if (v.data && !is_value(&v, "value"))
			return (void *)1;
		fc_value_release(&v);
	}
	return NULL;
}

TEST(many_threads_read_while_the_writer_writes)
{
	struct fc_stats s;
	pthread_t t[4];
	int64_t start;
	void *bad;
	int i;

	daemon_start(true);
	shared = open_client();
	put("k1", "value");
	start = clock_us(CLOCK_MONOTONIC);
	for (i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, hammer, NULL);
	for (i = 0; i < 2000; i++) {
		char key[16];

		snprintf(key, sizeof(key), "k%d", i % 50);
		put(key, "value");
	}
	for (i = 0; i < 4; i++) {
		pthread_join(t[i], &bad);
		OK(!bad);
	}
	printf("# 80000 gets in 4 threads took %.1f ms\n",
	       (double)(clock_us(CLOCK_MONOTONIC) - start) * 1e-3);
	fc_stats(shared, &s);
	OK(s.gets == 80000);
	fc_stats(shared, &s);
	/* hits that nobody was told for yet, of each thread: fewer than SAMPLE_MOST twice */
	OK(EVENTUALLY((fc_stats(shared, &s), s.events_sent + s.events_dropped > 80000 - 8 * 1024),
	              10) &&
	           s.events_sent + s.events_dropped <= 80000,
	   "%llu %llu", (unsigned long long)s.events_sent, (unsigned long long)s.events_dropped);
	fc_close(&shared);
	daemon_stop();
}

static void remove_dir(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", d.dir);
	if (system(command))
		printf("# %s is left\n", d.dir);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(a_get_reads_the_segment_and_needs_no_socket);
	RUN(a_peek_copies_to_the_callers_buffer_and_asks_nobody);
	RUN(a_value_that_is_kept_compressed_is_decoded);
	RUN(a_peek_without_a_segment_waits_for_no_one);
	RUN(a_view_is_right_until_the_writer_is_at_it);
	RUN(a_view_outlives_the_segment_it_is_of);
	RUN(of_many_hits_some_are_told_with_their_weight);
	RUN(options_are_checked);
	RUN(a_get_makes_no_system_call);
	RUN(events_reach_the_daemon_counted);
	RUN(what_is_not_told_yet_is_told_at_close);
	RUN(what_threads_counted_stays_when_they_end);
	RUN(too_many_events_are_dropped_and_counted);
	RUN(requests_are_answered);
	RUN(without_a_segment_the_daemon_is_asked);
	RUN(one_caller_loads_and_the_others_wait);
	RUN(what_was_asked_of_a_daemon_that_died_is_asked_of_the_next);
	RUN(what_may_not_be_asked_twice_ends_with_the_connection);
	RUN(a_segment_that_was_taken_over_is_read_at_once);
	RUN(callers_whose_patience_ends_together_load_once);
	RUN(when_one_caller_cannot_load_the_others_do_not_try);
	RUN(a_load_that_fails_gives_the_old_value);
	RUN(a_silent_daemon_is_not_waited_for);
	RUN(no_daemon_at_all_is_said_at_once);
	RUN(without_a_daemon_one_process_loads_and_the_others_wait);
	RUN(without_daemons_the_apps_of_two_share_no_values);
	RUN(without_a_daemon_a_value_ages_from_before_its_load);
	RUN(a_lock_dies_with_its_holder);
	RUN(a_child_goes_on_after_fork);
	RUN(the_children_of_a_prefork_server_work);
	RUN(a_segment_that_was_cut_is_read_no_more);
	RUN(another_segment_is_found);
	RUN(a_loader_serves_the_daemon);
	RUN(notices_are_handed_out);
	RUN(many_threads_read_while_the_writer_writes);
	remove_dir();
	return tap_done();
}
