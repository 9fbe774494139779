/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Store and client when memory runs out: each allocation of our own fails, once, or it and all after
 * it, one after another until none is left to fail. What must hold: no crash, an error that says so
 * or a right answer, and nothing that stays allocated. And a get of a value in place allocates
 * nothing at all, one that gives the value away only that.
 *
 * The allocation functions are wrapped by the linker in our own objects, which are linked in here;
 * libraries allocate as ever. Of libzmq 4.3 it is known that it aborts when it gets no memory.
 */
int client_main(int argc, char **argv); /* of the fixture, whose daemon is used here */
#define main client_main
#include "tests/unit/t_client.c"
#undef main

#include "client/lane.h"
#include "client/segment.h"

/* -- Allocation ------------------------------------------------------------------------------ */

static atomic_long until_failure, live, made;
static atomic_bool armed, sticky, failed_once;

/* The daemon of the fixture is not tested either. */
static bool is_tested(void)
{
	return !(d.ctx && pthread_equal(pthread_self(), d.thread));
}

static bool fails(void)
{
	long left;

	if (!atomic_load(&armed) || !is_tested())
		return false;
	left = atomic_fetch_sub(&until_failure, 1);
	if (left > 0 || (left < 0 && !atomic_load(&sticky)))
		return false;
	atomic_store(&failed_once, true);
	return true;
}

static void *counted(void *p)
{
	if (p && is_tested()) {
		atomic_fetch_add(&live, 1);
		atomic_fetch_add(&made, 1);
	}
	return p;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
char *__real_strdup(const char *s);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
char *__wrap_strdup(const char *s);
void __wrap_free(void *p);

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : counted(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : counted(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t n)
{
	void *q = fails() ? NULL : __real_realloc(p, n);

	if (p)
		return q;
	return counted(q);
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
	return fails() ? NULL : counted(__real_aligned_alloc(align, n));
}

char *__wrap_strdup(const char *s)
{
	return fails() ? NULL : counted(__real_strdup(s));
}

void __wrap_free(void *p)
{
	if (p && is_tested())
		atomic_fetch_sub(&live, 1);
	__real_free(p);
}

/* -- What is done over and over --------------------------------------------------------------- */

static bool is_clean(int rc)
{
	return rc == 0 || rc == -ENOENT || rc == -ENOMEM || rc == -ENOTCONN || rc == -EAGAIN ||
	       rc == -ENOBUFS || rc == -ETIMEDOUT;
}

static int load_or_not(void *arg, const void *key, size_t key_bytes, struct fc_loaded *ret)
{
	(void)arg;
	(void)key;
	(void)key_bytes;
	ret->data = malloc(6);
	if (!ret->data)
		return -ENOMEM;
	memcpy(ret->data, "loaded", 6);
	ret->bytes = 6;
	return 0;
}

static void check_value(const char *what, int rc, const struct fc_value *v, const char *want)
{
	OK(is_clean(rc), "%s: %d", what, rc);
	OK(!v->data || (v->bytes == strlen(want) && !memcmp(v->data, want, v->bytes)),
	   "%s gave %.*s, %d", what, (int)v->bytes, (const char *)v->data, rc);
}

/* One call of everything; each may fail, none may lie. */
static void use_client(void)
{
	struct fc_options o = {.size = sizeof(o),
	                       .dir = d.dir,
	                       .flush_s = 0.002,
	                       .timeout_s = 0.5,
	                       .load_wait_s = 0.5,
	                       .max_events = 64};
	static const void *const keys[] = {"stay", "none"};
	static const size_t key_bytes[] = {4, 4};
	struct fc_event e = {.size = sizeof(e), .endpoint = "/e", .key = "stay", .key_bytes = 4};
	char err[64], buf[64];
	struct fc_value v = {0}, two[2] = {{0}};
	size_t n;
	double ttl_s;
	struct fc *fc;
	void *result;
	int rc = fc_open(&o, &fc);

	OK(is_clean(rc) && !rc == !!fc, "open: %d", rc);
	if (!fc)
		return;
	rc = fc_get(fc, "/e", "stay", 4, &v);
	check_value("get", rc, &v, "value");
	fc_value_release(&v);
	rc = fc_get_into(fc, "/e", "stay", 4, 0, buf, sizeof(buf), &v);
	check_value("peek", rc, &v, "value");
	rc = fc_get(fc, "/e", "z", 1, &v);
	check_value("get, decoded", rc, &v, LONG);
	fc_value_release(&v);
	OK(is_clean(fc_event(fc, &e)));
	rc = fc_set(fc, NULL, "set", 3, "x", 1, NULL);
	OK(is_clean(rc), "set: %d", rc);
	rc = fc_mget(fc, "/e", keys, key_bytes, 2, two);
	OK(is_clean(rc), "mget: %d", rc);
	check_value("mget", two[0].error, &two[0], "value");
	fc_value_release(&two[0]);
	fc_value_release(&two[1]);
	rc = fc_get_or_load(fc, "/e", "new", 3, load_or_not, NULL, &v);
	check_value("load", rc, &v, "loaded");
	fc_value_release(&v);
	OK(is_clean(fc_ttl(fc, "/e", "stay", 4, &ttl_s)));
	rc = fc_request(fc, "hello", NULL, 0, 0, &result, &n, err, sizeof(err));
	if (!rc)
		free(result);
	rc = fc_register_loader(fc, "/q", 1, load_or_not, NULL);
	OK(is_clean(rc), "register: %d", rc);
	fc_close(&fc);
}

static void use_store(void)
{
	static _Alignas(4096) unsigned char mem[1 << 18];
	struct store_clock clock = {1, {1000000}, 1, 0};
	struct store_item item = {.key = bytes_str("k"),
	                          .value = bytes_str("value"),
	                          .hard = INSTANT_NEVER,
	                          .max_age = SPAN_S(9)};
	struct store *s;
	struct store_found found;
	int rc;

	memset(mem, 0, sizeof(mem));
	rc = store_create(mem, sizeof(mem), 1, clock, &s);
	OK(rc == (s ? 0 : -ENOMEM));
	OK(s || mem[0] == 0, "nothing was touched");
	if (!s)
		return;
	OK(store_put(s, &item, NULL) == 0);
	store_release(&s);
	rc = store_attach(mem, sizeof(mem), 2, clock, clock.base, NULL, &found, &s);
	OK(rc == (s ? 0 : -ENOMEM) && (!s || found.kept == 1));
	store_release(&s);
	/* whoever tries again finds all there */
	atomic_store(&armed, false);
	OK(!store_attach(mem, sizeof(mem), 3, clock, clock.base, NULL, &found, &s) &&
	   found.kept == 1);
	store_release(&s);
}

/* Runs fn with its n-th allocation failing, n = 0, 1, ...; returns how many there are. */
static unsigned starve(void (*fn)(void), bool all_after)
{
	unsigned n = 0;
	long before;

	do {
		before = atomic_load(&live);
		atomic_store(&until_failure, n);
		atomic_store(&sticky, all_after);
		atomic_store(&failed_once, false);
		atomic_store(&armed, true);
		fn();
		atomic_store(&armed, false);
		OK(atomic_load(&live) == before, "allocation %u: %ld are left", n,
		   atomic_load(&live) - before);
		n++;
	} while (atomic_load(&failed_once) && n < 1000);
	return n - 1;
}

TEST(a_store_that_gets_no_memory_says_so_and_touches_nothing)
{
	unsigned once = starve(use_store, false), all = starve(use_store, true);

	printf("# %u allocations failed once, %u with all that follow\n", once, all);
	OK(once >= 16 && all >= 16);
}

TEST(a_client_that_gets_no_memory_says_so_and_leaks_none)
{
	unsigned once, all;

	daemon_start(true);
	put("stay", "value");
	put_frame("z", frame_of(LONG));
	use_client();
	once = starve(use_client, false);
	all = starve(use_client, true);
	printf("# %u allocations failed once, %u with all that follow\n", once, all);
	OK(once > 20 && all > 20);
	daemon_stop();
}

TEST(a_client_without_a_segment_that_gets_no_memory_says_so)
{
	unsigned once, all;

	daemon_start(true);
	unlink(d.link);
	once = starve(use_client, false);
	all = starve(use_client, true);
	printf("# %u allocations failed once, %u with all that follow\n", once, all);
	OK(once > 20 && all > 20);
	daemon_stop();
}

TEST(a_get_allocates_the_value_that_it_gives_away_and_nothing_else)
{
	struct fc_options o = {.size = sizeof(o), .dir = d.dir, .flush_s = 60};
	struct fc_value v;
	struct fc_view view;
	struct fc *fc;
	char buf[64];
	long before;

	daemon_start(false);
	put("stay", "value");
	put_frame("z", frame_of(LONG));
	OK(fc_open(&o, &fc) == 0);
	OK(fc_get(fc, "/e", "stay", 4, &v) == 0); /* starts the thread */
	fc_value_release(&v);
	before = atomic_load(&made);
	for (int i = 0; i < 1000; i++) {
		OK(fc_get(fc, "/e", "none", 4, &v) == -ENOENT);
		OK(fc_get_into(fc, "/e", "stay", 4, 0, buf, sizeof(buf), &v) == 0);
		OK(fc_peek(fc, "/e", "stay", 4, 0, &view) == 0 && fc_peek_valid(fc, &view) == 1);
	}
	OK(atomic_load(&made) == before, "%ld allocations", atomic_load(&made) - before);
	for (int i = 0; i < 1000; i++) {
		OK(fc_get(fc, "/e", "stay", 4, &v) == 0);
		fc_value_release(&v);
	}
	OK(atomic_load(&made) <= before + 1000, "%ld allocations", atomic_load(&made) - before);
	fc_close(&fc);
	daemon_stop();
}

TEST(memory_for_a_large_frame_is_not_kept)
{
	struct fc_options o = {.size = sizeof(o), .dir = d.dir, .flush_s = 60};
	static char none[UNPACKER_KEEPS + 1];
	char buf[sizeof(LONG)];
	struct fc_value v;
	struct fc *fc;
	long before;

	daemon_start(false);
	put_frame("z", frame_of(LONG));
	put_frame("no frame", bytes_of(none, UNPACKER_KEEPS));
	put_frame("nor this", bytes_of(none, UNPACKER_KEEPS + 1));
	OK(fc_open(&o, &fc) == 0);
	OK(fc_get_into(fc, NULL, "z", 1, 0, buf, sizeof(buf), &v) == 0);
	OK(fc_get_into(fc, NULL, "no frame", 8, 0, buf, sizeof(buf), &v) == -ENOENT);
	before = atomic_load(&live);
	OK(fc_get_into(fc, NULL, "no frame", 8, 0, buf, sizeof(buf), &v) == -ENOENT);
	OK(atomic_load(&live) == before);
	OK(fc_get_into(fc, NULL, "nor this", 8, 0, buf, sizeof(buf), &v) == -ENOENT);
	OK(atomic_load(&live) == before - 1, "what was lent before is gone, too");
	fc_close(&fc);
	daemon_stop();
}

TEST(a_segment_that_is_cut_while_it_is_mapped_is_let_go)
{
	struct segment_map *m;
	static struct segment s;
	static struct lanes lanes;

	daemon_start(false);
	segment_init(&s, d.link, &lanes);
	segment_refresh(&s);
	m = atomic_load(&s.current);
	OK(m != NULL);
	OK(truncate(d.segment, 4096) == 0);
	segment_refresh(&s);
	OK(atomic_load(&s.current) == NULL, "it would be read, and SIGBUS");
	OK(truncate(d.segment, SEGMENT_BYTES) == 0);
	segment_release(&s);
	daemon_stop();
}

int main(int argc, char **argv)
{
	tap_start(argc, argv);
	RUN(a_store_that_gets_no_memory_says_so_and_touches_nothing);
	RUN(a_client_that_gets_no_memory_says_so_and_leaks_none);
	RUN(a_client_without_a_segment_that_gets_no_memory_says_so);
	RUN(a_get_allocates_the_value_that_it_gives_away_and_nothing_else);
	RUN(memory_for_a_large_frame_is_not_kept);
	RUN(a_segment_that_is_cut_while_it_is_mapped_is_let_go);
	remove_dir();
	return tap_done();
}
