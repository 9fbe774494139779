/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A writer process that is killed with SIGKILL at random instants, again and again, while other
 * processes read its segment: ./store_torture [seed [kills]]. Each new writer takes over what the
 * one before left, verifies all of it and goes on; many are killed while they still do that.
 *
 * Every word of a value depends on its key and version, so a wrong or mixed value shows. An old one
 * does, too: before a version is forgotten for good (replaced or removed, and that call has
 * returned), the writer raises the key's floor, and no reader may get a version below the floor it
 * saw first.
 */
#include "base/hash.h"
#include "base/rng.h"
#include "store/reader.h"
#include "store/store.h"
#include "tests/store_open.h"
#include "tests/store_packed.h"
#include "tests/tap.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define BYTES   (1u << 20)
#define KEYS    400u
#define READERS 3u
#define MAX     30000u
#define NOW     ((struct instant){INT64_C(1770000000000000)})
#define MAX_AGE SPAN_S(1000)

static const struct store_clock clock_then = {5000000, {INT64_C(1770000000000000)}, 1.0, 0};

/* What the processes share besides the segment; all words are atomic. */
struct shared {
	uint64_t stop, version, boot_id;
	uint64_t floor[KEYS]; /* no older version may be seen */
	uint64_t gets, hits, gone, wrong;
	uint64_t attached, kept, dropped, puts;
	uint64_t steps; /* what writers did once they had attached */
};

static struct shared *sh;
static int segment_fd;
static uint64_t value[MAX / 8 + 1];
static int kills = 100;

static uint64_t get(const uint64_t *w)
{
	return __atomic_load_n(w, __ATOMIC_SEQ_CST);
}

static void add(uint64_t *w, uint64_t n)
{
	__atomic_fetch_add(w, n, __ATOMIC_SEQ_CST);
}

static struct bytes key_name(unsigned k)
{
	static char name[32];

	return bytes_of(name, (size_t)snprintf(name, sizeof(name), "/torture/%u", k));
}

static uint64_t word(unsigned k, uint64_t version, size_t i)
{
	return hash_u64((uint64_t)k << 32 | version) + i;
}

static bool value_right(unsigned k, uint64_t version, struct bytes v, bool packed)
{
	uint64_t w;

	if (packed) {
		v = unpacked(v);
		if (!v.p)
			return false;
	}
	for (size_t i = 0; i < v.n / 8; i++) {
		w = word(k, version, i);
		if (memcmp((const char *)v.p + i * 8, &w, 8) != 0)
			return false;
	}
	return true;
}

/* Times of a version; its soft expiry may be moved, and its hard one with it. */
static bool times_right(struct instant loaded, struct instant soft, struct instant hard,
                        struct span max_age)
{
	return loaded.us == NOW.us && max_age.us == MAX_AGE.us && hard.us == soft.us + 1000 &&
	       soft.us > NOW.us;
}

static void *map(int prot)
{
	void *p = mmap(NULL, BYTES, prot, MAP_SHARED, segment_fd, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		_exit(99);
	}
	return p;
}

static void complain(const char *who, const char *what, unsigned k, uint64_t version)
{
	add(&sh->wrong, 1);
	fprintf(stderr, "# %s: key %u, version %" PRIu64 ": %s\n", who, k, version, what);
}

static void reader(uint64_t seed)
{
	static char buf[MAX + 8];
	const void *mem = map(PROT_READ);
	struct store_reader r = {0};
	struct reader_value v;
	enum reader_outcome o = READER_GONE;
	uint64_t floor;
	struct rng g;
	unsigned k;

	rng_init(&g, seed);
	while (!get(&sh->stop)) {
		if (o == READER_GONE && store_reader_init(&r, mem, BYTES) != 0)
			continue;
		k = (unsigned)rng_below(&g, KEYS);
		floor = get(&sh->floor[k]);
		o = store_reader_get(&r, key_name(k), NOW, buf, MAX, &v);
		add(&sh->gets, 1);
		add(&sh->gone, o == READER_GONE);
		if (o == READER_MISS || o == READER_GONE)
			continue;
		add(&sh->hits, 1);
		if (o != READER_FRESH)
			complain("reader", "not fresh", k, v.version);
		else if (!value_right(k, v.version, bytes_of(buf, v.value_bytes), v.packed))
			complain("reader", "wrong value", k, v.version);
		else if (!times_right(v.loaded, v.soft, v.hard, v.max_age))
			complain("reader", "wrong times", k, v.version);
		else if (v.version < floor)
			complain("reader", "old version", k, v.version);
	}
}

static void check_entry(void *arg, uint32_t h)
{
	const struct store *s = arg;
	struct store_item i;
	unsigned k;

	store_get(s, h, &i);
	if (sscanf(i.key.p, "/torture/%u", &k) != 1 || !bytes_equal(i.key, key_name(k)))
		complain("writer", "wrong key", 0, i.version);
	else if (!value_right(k, i.version, i.value, i.packed))
		complain("writer", "wrong value", k, i.version);
	else if (!times_right(i.loaded, i.soft, i.hard, i.max_age))
		complain("writer", "wrong times", k, i.version);
	else if (i.version < get(&sh->floor[k]))
		complain("writer", "old version", k, i.version);
}

/* Takes the segment over and verifies it with our own eyes. */
static struct store *take_over(void)
{
	uint64_t boot_id = __atomic_add_fetch(&sh->boot_id, 1, __ATOMIC_SEQ_CST), kept, dropped;
	void *mem = map(PROT_READ | PROT_WRITE);
	struct store *s = attached(mem, BYTES, boot_id, clock_then, NOW, &kept, &dropped);

	if (s) {
		add(&sh->attached, 1);
		add(&sh->kept, kept);
		add(&sh->dropped, dropped);
		store_each(s, check_entry, s);
		return s;
	}
	return created(mem, BYTES, boot_id, clock_then);
}

/* In steps, as large values are put. False: it was given up before it was shown to anybody. */
static bool put_in_room(struct store *s, struct rng *g, const struct store_item *item)
{
	struct store_room room = {0};
	uint32_t h;
	int rc;

	while ((rc = store_reserve(s, item->key.n, item->value.n, &room)))
		if (rc == -ENOSPC)
			store_remove(s, store_sample(s, g));
	if (rng_below(g, 8)) {
		store_fill(s, &room, item->value.p);
		while (rng_below(g, 8) && store_publish(s, item, &room, &h))
			store_remove(s, store_sample(s, g));
	}
	if (!room.granules)
		return true;
	store_unreserve(s, &room);
	return false;
}

static void put(struct store *s, struct rng *g, unsigned k)
{
	struct store_item item = {.loaded = NOW, .max_age = MAX_AGE};
	size_t n = (size_t)exp(rng_uniform(g) * log(MAX));
	uint32_t h;

	item.version = __atomic_add_fetch(&sh->version, 1, __ATOMIC_SEQ_CST);
	for (size_t i = 0; i <= n / 8; i++)
		value[i] = word(k, item.version, i);
	item.key = key_name(k);
	item.value = bytes_of(value, n);
	/* a third, where that saves enough */
	if (item.version % 3 == 0)
		item.value = packed_or_not(item.value, &item.packed);
	item.soft = instant_add(NOW, SPAN_MS(1 + rng_below(g, 1000)));
	item.hard = instant_add(item.soft, SPAN_MS(1));
	if (rng_below(g, 2)) {
		while (store_put(s, &item, &h) != 0)
			store_remove(s, store_sample(s, g));
	} else if (!put_in_room(s, g, &item)) {
		return;
	}
	__atomic_store_n(&sh->floor[k], item.version, __ATOMIC_SEQ_CST);
	add(&sh->puts, 1);
}

_Noreturn static void writer(uint64_t seed)
{
	struct store *s = take_over();
	struct instant soft;
	struct rng g;
	unsigned k;
	uint32_t h;

	rng_init(&g, seed);
	for (;; add(&sh->steps, 1)) {
		k = (unsigned)rng_below(&g, KEYS);
		h = store_find(s, key_name(k));
		soft = instant_add(NOW, SPAN_MS(1 + rng_below(&g, 1000)));
		switch (h == STORE_NONE ? 9 : rng_below(&g, 10)) {
		case 0:
			store_remove(s, h);
			__atomic_store_n(&sh->floor[k], get(&sh->version) + 1, __ATOMIC_SEQ_CST);
			break;
		case 1:
			store_set_expiry(s, h, soft, instant_add(soft, SPAN_MS(1)));
			break;
		case 2:
			store_renew(s, h, NOW, soft, instant_add(soft, SPAN_MS(1)));
			break;
		default:
			put(s, &g, k);
		}
	}
}

static pid_t start(void (*fn)(uint64_t), uint64_t seed)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fn(seed);
		_exit(0);
	}
	return pid;
}

static void start_writer(uint64_t seed)
{
	writer(seed);
}

/* Waits, by what the writer does and not by time, until its end has come: most often at work. */
static void let_work(pid_t writer, struct rng *g)
{
	uint64_t steps = get(&sh->steps) + (uint64_t)exp(rng_uniform(g) * log(3000));
	siginfo_t ended = {0};

	/* one in three while it starts or attaches, which takes some 300 us */
	if (rng_below(g, 3) == 0) {
		for (uint64_t n = rng_below(g, 300000); n; n--)
			get(&sh->steps);
		return;
	}
	while (get(&sh->steps) < steps) {
		if (waitid(P_PID, (id_t)writer, &ended, WEXITED | WNOHANG | WNOWAIT) ||
		    ended.si_pid)
			return;
		sched_yield();
	}
}

TEST(a_writer_killed_anywhere_leaves_nothing_wrong)
{
	pid_t readers[READERS], w;
	struct store *s;
	struct rng g;
	int status;

	rng_init(&g, tap_seed);
	for (unsigned i = 0; i < READERS; i++)
		readers[i] = start(reader, tap_seed * 1000 + i);
	for (int i = 0; i < kills; i++) {
		w = start(start_writer, rng_u64(&g));
		let_work(w, &g);
		kill(w, SIGKILL);
		OK(waitpid(w, &status, 0) == w && WIFSIGNALED(status) &&
		           WTERMSIG(status) == SIGKILL,
		   "writer %d ended by itself: status %#x", i, (unsigned)status);
	}
	__atomic_store_n(&sh->stop, 1, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < READERS; i++)
		OK(waitpid(readers[i], &status, 0) == readers[i] && status == 0,
		   "reader %u: status %#x", i, (unsigned)status);
	s = take_over();
	store_release(&s);
	printf("# %d kills, %" PRIu64 " attached, %" PRIu64 " puts; on attaching %" PRIu64
	       " entries kept, %" PRIu64 " dropped\n",
	       kills, sh->attached, sh->puts, sh->kept, sh->dropped);
	printf("# %" PRIu64 " gets, %" PRIu64 " hits, %" PRIu64 " gone, %" PRIu64 " wrong\n",
	       sh->gets, sh->hits, sh->gone, sh->wrong);
	OK(sh->wrong == 0);
	OK(sh->attached > (uint64_t)kills / 3 && sh->attached < (uint64_t)kills &&
	           sh->kept > 50 * sh->attached && sh->dropped < 2 * (uint64_t)kills,
	   "too much is lost");
	OK(sh->hits > sh->gets / 20 && sh->gone > 0, "the readers saw too little");
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	if (argc > 2)
		kills = atoi(argv[2]);
	segment_fd = memfd_create("store_torture", MFD_CLOEXEC);
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (segment_fd < 0 || ftruncate(segment_fd, BYTES) != 0 || sh == MAP_FAILED) {
		perror("shared memory");
		return 99;
	}
	RUN(a_writer_killed_anywhere_leaves_nothing_wrong);
	return tap_done();
}
