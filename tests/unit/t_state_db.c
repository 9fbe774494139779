/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/state_db.c"

#include "base/rng.h"
#include "tests/tap.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static char dir[64];

static const char *path_of(const char *name)
{
	static char path[4][128];
	static int turn;
	char *p = path[turn++ % 4];

	snprintf(p, sizeof path[0], "%s/%s", dir, name);
	return p;
}

/* A record whose numbers follow from its name, so that a wrong one shows. */
struct made {
	struct record r;
	char name[32];
	double a[3], b[40];
};

static double value_of(int i, int k)
{
	return ldexp(1.0 + (i * 37 + k) / 3.0, (i + k) % 60 - 30);
}

static const struct record *make(struct made *m, const char *kind, int i)
{
	int k;

	snprintf(m->name, sizeof m->name, "/q/%d", i);
	for (k = 0; k < 3; k++)
		m->a[k] = value_of(i, k);
	for (k = 0; k < 40; k++)
		m->b[k] = -value_of(i, 100 + k);
	m->r = (struct record){.kind = kind,
	                       .name = bytes_str(m->name),
	                       .endpoint = bytes_str("/q/<s>"),
	                       .n_fields = 2};
	m->r.field[0] = (struct record_field){"rate", m->a, 3};
	m->r.field[1] = (struct record_field){"shape", m->b, 40};
	return &m->r;
}

struct seen {
	uint64_t n, wrong;
	int order; /* of kinds */
	bool disorder;
};

static void take(void *arg, const struct record *r)
{
	struct seen *s = arg;
	struct made m;
	const struct record *want;
	int i, order;

	s->n++;
	if (r->name.n < 4 || r->name.n > 20 || sscanf(r->name.p, "/q/%d", &i) != 1) {
		s->wrong++;
		return;
	}
	want = make(&m, "key", i);
	if (!bytes_equal(r->name, want->name) || !bytes_equal(r->endpoint, want->endpoint) ||
	    r->n_fields != 2 || strcmp(r->field[0].name, "rate") != 0 || r->field[0].n != 3 ||
	    r->field[1].n != 40 || memcmp(r->field[0].v, m.a, sizeof m.a) != 0 ||
	    memcmp(r->field[1].v, m.b, sizeof m.b) != 0)
		s->wrong++;
	order = strcmp(r->kind, "key") == 0 ? 2 : strcmp(r->kind, "endpoint") == 0 ? 1 : 0;
	s->disorder |= order < s->order;
	s->order = order;
}

static struct state_db *db_open(const char *path)
{
	struct state_db_config c = state_db_default();
	struct state_db *db = NULL;
	struct fault e;

	OK(state_db_open(path, &c, &db, &e) == 0, "%s", e.text);
	OK(!*e.text, "%s", e.text);
	return db;
}

static void fill(const char *path, int n)
{
	struct state_db *db = db_open(path);
	struct made m;
	int i;

	for (i = 0; i < n; i++)
		OK(state_db_put(db, make(&m,
		                         i % 50 == 0  ? "endpoint"
		                         : i == n - 1 ? "class"
		                                      : "key",
		                         i)));
	OK(state_db_flush(db, 20) == 0);
	state_db_close(&db);
	OK(!db);
}

TEST(what_was_put_is_there_after_a_restart)
{
	const char *path = path_of("a.db");
	struct state_db *db;
	struct state_db_loaded l = {0};
	struct fault e;
	struct seen s = {0};
	struct made m;

	fill(path, 1000);
	db = db_open(path);
	OK(state_db_load(db, take, &s, &l, &e) == 0 && !*e.text, "%s", e.text);
	OK(l.records == 1000 && l.dropped == 0 && s.n == 1000 && s.wrong == 0 && !s.disorder,
	   "%d %d", (int)l.records, (int)s.wrong);
	/* a later record replaces an earlier one of its kind and name */
	make(&m, "key", 7);
	m.a[0] = 42;
	OK(state_db_put(db, &m.r) && state_db_flush(db, 10) == 0);
	s = (struct seen){0};
	OK(state_db_load(db, take, &s, &l, &e) == 0 && l.records == 1000 && s.wrong == 1);
	state_db_close(&db);
}

static void take_versions(void *arg, const struct record *r)
{
	int *version = arg, k;

	if (r->name.n < 10 && sscanf(r->name.p, "%d", &k) == 1 && k < 500)
		version[k] = (int)r->field[0].v[0];
}

TEST(of_many_for_one_name_the_last_that_was_put_stays)
{
	static int want[500], got[500];
	struct state_db *db = db_open(path_of("last.db"));
	struct state_db_loaded l = {0};
	struct fault e;
	char name[16];
	struct rng g;

	rng_init(&g, tap_seed);
	for (int i = 1; i <= 20000; i++) {
		int k = (int)rng_below(&g, 500);
		double version = i;
		struct record r = {.kind = rng_below(&g, 2) ? "key" : "class",
		                   .name = bytes_of(name, (size_t)snprintf(name, sizeof name, "%d", k)),
		                   .field = {{"version", &version, 1}},
		                   .n_fields = rng_below(&g, 5) > 0};

		if (!strcmp(r.kind, "key"))
			want[k] = r.n_fields ? i : 0;
		else
			r.name.n = 0; /* other kinds stand between them */
		OK(state_db_put(db, &r));
		if (i % 100 == 0)
			OK(state_db_history_put(db, r.name,
			                        &(struct ttl_point){.at = {i}, .ttl_s = 1}));
	}
	OK(state_db_flush(db, 20) == 0);
	OK(state_db_load(db, take_versions, got, &l, &e) == 0);
	OK(memcmp(want, got, sizeof want) == 0);
	state_db_close(&db);
}

TEST(room_is_made_by_writing)
{
	struct state_db_config c = state_db_default();
	struct fault e;
	struct state_db *db;
	struct made m;

	c.queue_records = 16;
	OK(state_db_open(path_of("room.db"), &c, &db, &e) == 0);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; state_db_put(db, make(&m, "key", 16 * round + i)); i++)
			;
		OK(state_db_make_room(db, 10, 20) == 0 && state_db_room(db) >= 10);
	}
	OK(state_db_make_room(db, 1000, 20) == 0 && state_db_room(db) == 16, "as much as there can be");
	state_db_close(&db);
}

TEST(a_record_without_fields_deletes_what_was_kept)
{
	const char *path = path_of("erase.db");
	struct state_db *db;
	struct state_db_loaded l = {0};
	struct fault e;
	struct seen s = {0};
	struct made m;

	fill(path, 10);
	db = db_open(path);
	make(&m, "key", 7);
	m.r.n_fields = 0;
	OK(state_db_put(db, &m.r) && state_db_flush(db, 10) == 0);
	/* of that name there is another kind, and the class of the last one is none of its */
	make(&m, "class", 7);
	m.r.n_fields = 0;
	OK(state_db_put(db, &m.r) && state_db_flush(db, 10) == 0);
	state_db_close(&db);
	db = db_open(path);
	OK(state_db_load(db, take, &s, &l, &e) == 0 && l.records == 9 && s.wrong == 0, "%d",
	   (int)l.records);
	/* it can come back */
	OK(state_db_put(db, make(&m, "key", 7)) && state_db_flush(db, 10) == 0);
	OK(state_db_load(db, take, &s, &l, &e) == 0 && l.records == 10);
	state_db_close(&db);
}

static void keep_one(void *arg, const struct record *r)
{
	double *v = arg;

	memcpy(v, r->field[0].v, r->field[0].n * sizeof *v);
}

TEST(numbers_come_back_bit_by_bit_and_names_byte_by_byte)
{
	static const double hard[] = {0.1,
	                              1.0 / 3,
	                              5e-324,
	                              1.7976931348623157e308,
	                              9007199254740993.0,
	                              -0.0,
	                              1758654321.123456,
	                              2.2250738585072011e-308};
	struct state_db *db = db_open(path_of("b.db"));
	struct record r = {.kind = "class", .n_fields = 1};
	struct state_db_loaded l = {0};
	struct fault e;
	double back[8] = {0}, bad = NAN;
	char name[256];
	int i;

	for (i = 0; i < 256; i++)
		name[i] = (char)i;
	r.name = bytes_of(name, 256);
	r.field[0] = (struct record_field){"hard \"name\"", hard, 8};
	OK(state_db_put(db, &r) && state_db_flush(db, 10) == 0);
	OK(state_db_load(db, keep_one, back, &l, &e) == 0 && l.records == 1);
	OK(memcmp(hard, back, sizeof hard) == 0);
	/* what is no number is left out, and hurts no other */
	r.name = bytes_str("bad");
	r.field[0] = (struct record_field){"x", &bad, 1};
	OK(state_db_put(db, &r) && state_db_flush(db, 10) == 0);
	OK(state_db_load(db, keep_one, back, &l, &e) == 0 && l.records == 1);
	state_db_close(&db);
}

static int count_files(const char *prefix)
{
	char command[256];
	int n = -1;
	FILE *f;

	snprintf(command, sizeof command, "ls %s | grep -c '^%s'", dir, prefix);
	f = popen(command, "r");
	if (f) {
		if (fscanf(f, "%d", &n) != 1)
			n = -1;
		pclose(f);
	}
	return n;
}

static char *slurp(const char *path, size_t *ret_n)
{
	FILE *f = fopen(path, "rb");
	char *p = mem_calloc(1, 8 << 20);

	*ret_n = f ? fread(p, 1, 8 << 20, f) : 0;
	if (f)
		fclose(f);
	return p;
}

static void spill(const char *path, const char *p, size_t n)
{
	char beside[160];
	FILE *f = fopen(path, "wb");

	OK(fwrite(p, 1, n, f) == n);
	fclose(f);
	snprintf(beside, sizeof beside, "%s-wal", path);
	unlink(beside);
	snprintf(beside, sizeof beside, "%s-shm", path);
	unlink(beside);
}

/*
 * Opens and loads a damaged file: set aside or loaded, never a wrong record, and usable afterwards.
 */
static bool try_damaged(const char *path, struct seen *s)
{
	struct state_db_config c = state_db_default();
	struct state_db *db = NULL;
	struct fault e = {""}, e2 = {""};
	struct state_db_loaded l = {0};
	bool aside;
	struct made m;
	int err = state_db_open(path, &c, &db, &e);

	*s = (struct seen){0};
	if (err) {
		/* a header that says "another program's" is left alone, and said so */
		OK(err == -EINVAL && strstr(e.text, "another program's"), "%d %s", err, e.text);
		return true;
	}
	err = state_db_load(db, take, s, &l, &e2);
	OK(err == 0, "%d %s", err, e2.text);
	OK(s->wrong == 0, "%d wrong records", (int)s->wrong);
	aside = strstr(e.text, "set aside") || strstr(e2.text, "set aside");
	if (l.dropped)
		OK(strstr(e2.text, "fail their checksum") != NULL, "%s", e2.text);
	OK(state_db_put(db, make(&m, "key", 1)), "goes on");
	err = state_db_flush(db, 10);
	if (err && !aside)
		err = state_db_flush(db, 20); /* damage that only a write meets: set aside then */
	OK(err == 0, "flush: %d", err);
	state_db_close(&db);
	return aside;
}

static void remove_aside(void)
{
	char command[160];

	snprintf(command, sizeof command, "rm -f %s/c.db.*", dir);
	OK(system(command) == 0);
}

TEST(numbers_of_all_kinds_come_back)
{
	enum { NUMBERS = 8000 };
	static double v[NUMBERS], back[NUMBERS];
	struct state_db *db = db_open(path_of("n.db"));
	struct record r = {.kind = "class", .name = bytes_str("n"), .n_fields = 1};
	struct state_db_loaded l = {0};
	struct fault e;
	struct rng g;

	rng_init(&g, tap_seed);
	for (int i = 0; i < NUMBERS; i++) {
		int64_t n = (int64_t)(rng_u64(&g) >> rng_below(&g, 64));

		n = rng_below(&g, 2) ? n : -n;
		/* whole ones, instants, floats, and any */
		v[i] = i % 4 == 0   ? (double)n
		       : i % 4 == 1 ? (double)n / 1e6
		       : i % 4 == 2 ? (double)((float)n / 1024)
		                    : (double)n / 3e7;
		if (i % 4 == 1 && rng_below(&g, 2))
			v[i] = nextafter(v[i], rng_below(&g, 2) ? INFINITY : -INFINITY);
	}
	r.field[0] = (struct record_field){"v", v, NUMBERS};
	OK(state_db_put(db, &r) && state_db_flush(db, 10) == 0);
	OK(state_db_load(db, keep_one, back, &l, &e) == 0 && l.records == 1);
	for (int i = 0; i < NUMBERS; i++)
		OK(v[i] == back[i], "%.17g, %.17g", v[i], back[i]);
	state_db_close(&db);
}

TEST(a_truncated_file_is_set_aside_or_loaded)
{
	const char *path = path_of("c.db");
	size_t n, at, tried = 0, aside = 0, step;
	struct seen s;
	char *whole;

	fill(path, 300);
	whole = slurp(path, &n);
	OK(n > 50000, "%zu bytes", n);
	step = n / 100 | 1;
	for (at = 0; at < n; at += at < 120 ? 3 : step) {
		spill(path, whole, at);
		aside += try_damaged(path, &s);
		tried++;
		remove_aside();
	}
	printf("# %zu lengths of %zu bytes: %zu set aside\n", tried, n, aside);
	OK(aside >= tried - 2, "only the empty file is no damage");
	free(whole);
}

TEST(a_file_with_flipped_bits_is_set_aside_or_loaded_without_what_is_wrong)
{
	const char *path = path_of("c.db");
	size_t n, i, aside = 0, lost = 0;
	struct rng g;
	struct seen s;
	char *whole, *copy;

	unlink(path);
	fill(path, 300);
	whole = slurp(path, &n);
	copy = mem_calloc(1, n);
	rng_init(&g, tap_seed);
	for (i = 0; i < 300; i++) {
		size_t flips = 1 + rng_below(&g, 4), k;

		memcpy(copy, whole, n);
		for (k = 0; k < flips; k++)
			copy[rng_below(&g, i < 120 ? 100 : n)] ^= (char)(1 << rng_below(&g, 8));
		spill(path, copy, n);
		if (try_damaged(path, &s))
			aside++;
		else
			lost += s.n < 300;
		remove_aside();
	}
	printf("# 300 damaged files: %zu set aside, %zu loaded with some records left out\n", aside,
	       lost);
	OK(aside > 20 && lost > 20);
	free(whole);
	free(copy);
}

TEST(a_file_of_a_later_version_is_set_aside)
{
	const char *path = path_of("d.db");
	struct state_db_config c = state_db_default();
	struct state_db *db = NULL;
	struct fault e;
	sqlite3 *sql;

	fill(path, 10);
	OK(sqlite3_open(path, &sql) == 0 &&
	   sqlite3_exec(sql, "PRAGMA user_version = 2", NULL, NULL, NULL) == 0);
	sqlite3_close(sql);
	OK(state_db_open(path, &c, &db, &e) == 0 && strstr(e.text, "is of version 2") &&
	           strstr(e.text, "d.db.newer-"),
	   "%s", e.text);
	printf("# %s\n", e.text);
	OK(count_files("d.db.newer-") >= 1);
	state_db_close(&db);
}

TEST(what_is_not_ours_is_left_alone)
{
	const char *path = path_of("e.db");
	struct state_db_config c = state_db_default();
	struct state_db *db = NULL;
	struct fault e;
	sqlite3 *sql;

	OK(sqlite3_open(path, &sql) == 0 &&
	   sqlite3_exec(sql, "CREATE TABLE mine(x)", NULL, NULL, NULL) == 0);
	sqlite3_close(sql);
	OK(state_db_open(path, &c, &db, &e) == -EINVAL && strstr(e.text, "another program's") &&
	           !db,
	   "%s", e.text);
	OK(count_files("e.db") == 2, "the file and the lock");
	OK(state_db_open("/nonexistent/x.db", &c, &db, &e) == -ENOENT, "%s", e.text);
	OK(state_db_open(dir, &c, &db, &e) < 0, "%s", e.text);
	OK(state_db_open("/dev/null/x", &c, &db, &e) < 0 && !db, "%s", e.text);
}

TEST(a_second_daemon_is_kept_out)
{
	const char *path = path_of("f.db");
	struct state_db_config c = state_db_default();
	struct state_db *db = db_open(path), *other = NULL;
	struct fault e;

	OK(state_db_open(path, &c, &other, &e) == -EBUSY && !other, "%s", e.text);
	state_db_close(&db);
	db = db_open(path);
	state_db_close(&db);
}

TEST(a_full_disk_keeps_it_in_memory_until_there_is_room)
{
	struct state_db_config c = state_db_default();
	struct state_db *db = NULL;
	struct fault e;
	struct state_db_status st;
	struct state_db_loaded l = {0};
	struct seen s = {0};
	struct made m;
	int i, put = 0;

	c.queue_records = 500;
	OK(state_db_open(path_of("g.db"), &c, &db, &e) == 0);
	pthread_mutex_lock(&db->file_mutex);
	OK(state_file_run(&db->file, "PRAGMA max_page_count = 20") == 0);
	pthread_mutex_unlock(&db->file_mutex);
	for (i = 0; i < 600; i++)
		put += state_db_put(db, make(&m, "key", i));
	OK(put == 500 && state_db_room(db) == 0, "%d", put);
	OK(state_db_flush(db, 10) == -ENOSPC);
	state_db_status(db, &st);
	OK(st.failing && st.failures > 0 && st.warning == 1 && st.queued == 500 && st.written == 0,
	   "%d queued", (int)st.queued);
	OK(strstr(st.warning_text, "stays in memory") && strstr(st.warning_text, "full"), "%s",
	   st.warning_text);
	OK(state_db_flush(db, 10) == -ENOSPC);
	state_db_status(db, &st);
	OK(st.warning == 1, "at most once a minute");
	pthread_mutex_lock(&db->file_mutex);
	OK(state_file_run(&db->file, "PRAGMA max_page_count = 100000") == 0);
	pthread_mutex_unlock(&db->file_mutex);
	OK(state_db_flush(db, 10) == 0 && state_db_room(db) == 500);
	state_db_status(db, &st);
	OK(!st.failing && st.written == 500 && st.queued == 0 && st.behind_s == 0 &&
	   st.warning == 2);
	OK(state_db_load(db, take, &s, &l, &e) == 0 && l.records == 500 && s.wrong == 0);
	state_db_close(&db);
}

/*
 * The kernel says no to every write beyond a size: what a quota does. In a child, for it is
 * forever.
 */
TEST(a_file_that_may_not_grow_does_no_harm)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		struct rlimit limit = {65536, 65536};
		struct state_db_config c = state_db_default();
		struct state_db *db = NULL;
		struct fault e;
		struct made m;
		int i, err;

		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &limit);
		if (state_db_open(path_of("h.db"), &c, &db, &e))
			_exit(2);
		for (i = 0; i < 400; i++)
			state_db_put(db, make(&m, "key", i));
		err = state_db_flush(db, 10);
		state_db_close(&db);
		_exit(err == -EIO || err == -ENOSPC ? 0 : 3);
	}
	OK(waitpid(pid, &status, 0) == pid && status == 0, "status %x", (unsigned)status);
}

TEST(kill_9_loses_nothing_that_was_flushed)
{
	struct fault e;
	struct state_db_loaded l = {0};
	struct seen s = {0};
	struct state_db *db;
	int status, i, to[2];
	char c;

	for (i = 0; i < 10; i++) {
		const char *path = path_of("k.db");
		pid_t pid;

		OK(pipe(to) == 0);
		pid = fork();
		if (pid == 0) {
			struct made m;
			int k;

			db = db_open(path);
			for (k = 0; k < 200; k++)
				state_db_put(db, make(&m, "key", i * 1000 + k));
			if (state_db_flush(db, 20) == 0 && write(to[1], "x", 1) == 1)
				for (k = 200;; k++) { /* and is killed in the middle of more */
					state_db_put(db, make(&m, "key", i * 1000 + k % 700));
					state_db_flush(db, 1);
				}
			_exit(1);
		}
		OK(read(to[0], &c, 1) == 1);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		close(to[0]);
		close(to[1]);
		db = db_open(path);
		s = (struct seen){0};
		OK(state_db_load(db, take, &s, &l, &e) == 0 && !*e.text, "%s", e.text);
		OK(s.wrong == 0 && l.dropped == 0 && l.records >= (uint64_t)(200 * (i + 1)), "%d",
		   (int)l.records);
		state_db_close(&db);
	}
}

/* The point of the i-th microsecond; not all is always known. */
static struct ttl_point point_of(int i)
{
	return (struct ttl_point){.at = {i},
	                          .ttl_s = i,
	                          .change_rate_per_s = 0.5,
	                          .stale_share = i % 3 ? i / 1000.0 : NAN,
	                          .hit_ratio = i % 5 ? i / 500.0 : NAN};
}

static bool is_same(double x, double y)
{
	return x == y || (isnan(x) && isnan(y));
}

/* Are the points those of every second microsecond, up to the last one? */
static bool are_in_order(const ttl_points *v, int last)
{
	for (size_t i = 0; i < v->n; i++) {
		struct ttl_point p = v->v[i], q = point_of(last - 2 * (int)(v->n - 1 - i));

		if (p.at.us != q.at.us || p.ttl_s != q.ttl_s ||
		    p.change_rate_per_s != q.change_rate_per_s ||
		    !is_same(p.stale_share, q.stale_share) || !is_same(p.hit_ratio, q.hit_ratio))
			return false;
	}
	return true;
}

TEST(history_is_kept_up_to_its_limit)
{
	struct state_db_config c = state_db_default();
	struct state_db *db = NULL;
	ttl_points v = {0};
	struct ttl_point p;
	struct fault e;
	int i;

	c.history_rows = 100;
	OK(state_db_open(path_of("i.db"), &c, &db, &e) == 0);
	for (i = 0; i < 300; i++) {
		p = point_of(i);
		OK(state_db_history_put(db, bytes_str(i % 2 ? "/b" : "/a"), &p));
	}
	OK(state_db_flush(db, 10) == 0);
	OK(ttl_history_read(path_of("i.db"), bytes_str("/a"), 1000, &v) == 0);
	OK(v.n == 50 && are_in_order(&v, 298), "%zu", v.n);
	v.n = 0;
	OK(ttl_history_read(path_of("i.db"), bytes_str("/b"), 10, &v) == 0);
	OK(v.n == 10 && are_in_order(&v, 299), "the last ones: %zu", v.n);
	v.n = 0;
	OK(ttl_history_read(path_of("i.db"), bytes_str("/c"), 10, &v) == 0 && v.n == 0);
	OK(ttl_history_read(path_of("none.db"), bytes_str("/a"), 10, &v) == -EIO);
	/* what the file would not take does not hold up all the rest */
	p.ttl_s = NAN;
	OK(!state_db_history_put(db, bytes_str("/a"), &p));
	vec_free(&v);
	state_db_close(&db);
}

TEST(a_history_from_before_it_had_shares_goes_on)
{
	struct state_db_config c = state_db_default();
	struct ttl_point p = point_of(2);
	const char *path = path_of("before.db");
	struct state_db *db = NULL;
	sqlite3 *sql = NULL;
	ttl_points v = {0};
	struct fault e;

	OK(state_db_open(path, &c, &db, &e) == 0);
	state_db_close(&db);
	OK(sqlite3_open(path, &sql) == 0 &&
	           sqlite3_exec(sql,
	                        "ALTER TABLE ttl_history DROP COLUMN stale_share;"
	                        "ALTER TABLE ttl_history DROP COLUMN hit_ratio;"
	                        "INSERT INTO ttl_history VALUES(1, x'2f61', 1, 7, 0.25);",
	                        NULL, NULL, NULL) == 0,
	   "%s", sqlite3_errmsg(sql));
	sqlite3_close(sql);
	for (int i = 0; i < 2; i++) {
		OK(state_db_open(path, &c, &db, &e) == 0 && !*e.text, "%s", e.text);
		OK(i || state_db_history_put(db, bytes_str("/a"), &p));
		state_db_close(&db);
	}
	OK(ttl_history_read(path, bytes_str("/a"), 10, &v) == 0 && v.n == 2, "%zu", v.n);
	OK(v.v[0].ttl_s == 7 && v.v[0].change_rate_per_s == 0.25 && isnan(v.v[0].stale_share) &&
	   isnan(v.v[0].hit_ratio));
	OK(v.v[1].ttl_s == p.ttl_s && v.v[1].hit_ratio == p.hit_ratio);
	vec_free(&v);
}

TEST(keys_are_kept_up_to_their_limit)
{
	struct state_db_config c = state_db_default();
	struct state_db *db = NULL;
	struct fault e;
	struct state_db_loaded l = {0};
	struct seen s = {0};
	struct made m;
	int i;

	c.key_rows = 1000;
	OK(state_db_open(path_of("j.db"), &c, &db, &e) == 0);
	for (i = 0; i < 1500; i++)
		OK(state_db_put(db, make(&m, i < 10 ? "endpoint" : "key", i)));
	OK(state_db_flush(db, 10) == 0);
	db->next_prune_ms = 0; /* an hour later */
	OK(state_db_put(db, make(&m, "key", 5000)) && state_db_flush(db, 10) == 0);
	OK(state_db_load(db, take, &s, &l, &e) == 0 && l.records == 1010, "%d", (int)l.records);
	state_db_close(&db);
}

/* -- Export and import ------------------------------------------------------------------------ */

struct imported {
	struct seen seen;
	char last_name[300];
	size_t last_n;
};

static int take_import(void *arg, const struct record *r, const char **ret_why)
{
	struct imported *s = arg;

	(void)ret_why;
	take(&s->seen, r);
	s->last_n = r->name.n < sizeof s->last_name ? r->name.n : sizeof s->last_name;
	if (s->last_n)
		memcpy(s->last_name, r->name.p, s->last_n);
	return 0;
}

TEST(an_export_is_imported_as_it_was)
{
	struct imported s = {0};
	struct fault e = {""};
	struct made m;
	char *text = NULL, all[256];
	size_t n = 0, got;
	FILE *f = open_memstream(&text, &n);
	int i;

	OK(record_export_begin(f) == 0);
	for (i = 0; i < 500; i++)
		OK(record_export(f, make(&m, "key", i)) == 0);
	for (i = 0; i < 256; i++)
		all[i] = (char)i;
	m.r.name = bytes_of(all, 256);
	OK(record_export(f, &m.r) == 0);
	fclose(f);
	f = fmemopen(text, n, "r");
	OK(record_import(f, take_import, &s, &got, &e) == 0, "%s", e.text);
	OK(got == 501 && s.seen.n == 501 && s.seen.wrong == 1, "%d wrong", (int)s.seen.wrong);
	OK(s.last_n == 256 && memcmp(s.last_name, all, 256) == 0);
	fclose(f);
	free(text);
}

TEST(bad_imports_are_refused_with_their_line)
{
#define HEAD "{\"forecached\":\"learned state\",\"version\":1}\n"
	static const char *const bad[][2] = {
	        {"", "line 1: it is empty"},
	        {"hello\n", "line 1: it is not an export"},
	        {"{\"forecached\":\"learned state\",\"version\":9}\n", "line 1: version: 9"},
	        {HEAD "{\"kind\":\"key\"\n", "line 2: not a JSON object, or cut short"},
	        {HEAD "\n{}\n", "line 3: kind: missing"},
	        {HEAD "{\"kind\":\"key\",\"name\":7,\"fields\":{}}\n", "line 2: name: not a text"},
	        {HEAD "{\"kind\":\"key\",\"name_hex\":\"0g\",\"fields\":{}}\n",
	         "line 2: name: not a text, or name_hex"},
	        {HEAD "{\"kind\":\"key\",\"name\":\"a\"}\n", "line 2: fields: is not an object"},
	        {HEAD "{\"kind\":\"key\",\"name\":\"a\",\"fields\":{\"x\":3}}\n",
	         "line 2: fields: one is not a list"},
	        {HEAD "{\"kind\":\"key\",\"name\":\"a\",\"fields\":{\"x\":[1e999]}}\n",
	         "line 2: fields: one holds"},
	        {HEAD "{\"kind\":\"key\",\"name\":\"a\",\"fields\":{\"x\":[null]}}\n",
	         "line 2: fields: one holds"},
	        {HEAD "{\"kind\":\"key\",\"name\":\"a\",\"fields\":{\"x\":[1]}} trailing\n",
	         "line 2: not a JSON object"},
	};
	struct imported s = {0};
	struct fault e;
	size_t i, n;

	for (i = 0; i < sizeof bad / sizeof *bad; i++) {
		FILE *f = *bad[i][0]
		                  ? fmemopen((void *)(uintptr_t)bad[i][0], strlen(bad[i][0]), "r")
		                  : fopen("/dev/null", "r");

		OK(record_import(f, take_import, &s, &n, &e) == -EINVAL &&
		           strncmp(e.text, bad[i][1], strlen(bad[i][1])) == 0,
		   "%s: %s", bad[i][0], e.text);
		fclose(f);
	}
}

TEST(random_imports_do_no_harm)
{
	struct fault e;
	struct imported s = {0};
	struct made m;
	struct rng g;
	char *text = NULL, *copy;
	size_t n = 0, got;
	FILE *f = open_memstream(&text, &n);
	int i;

	record_export_begin(f);
	for (i = 0; i < 3; i++)
		record_export(f, make(&m, "key", i));
	fclose(f);
	copy = mem_calloc(1, n);
	rng_init(&g, tap_seed);
	for (i = 0; i < 3000; i++) {
		size_t k, flips = 1 + rng_below(&g, 4);

		memcpy(copy, text, n);
		for (k = 0; k < flips; k++)
			copy[rng_below(&g, n)] = (char)rng_below(&g, 256);
		f = fmemopen(copy, 1 + rng_below(&g, n), "r");
		record_import(f, take_import, &s, &got, &e);
		fclose(f);
	}
	free(copy);
	free(text);
}

int main(int argc, char **argv)
{
	char command[128];
	int rc;

	tap_start(argc, argv);
	strcpy(dir, "/tmp/t_state_db.XXXXXX");
	if (!mkdtemp(dir))
		return 99;
	RUN(what_was_put_is_there_after_a_restart);
	RUN(of_many_for_one_name_the_last_that_was_put_stays);
	RUN(room_is_made_by_writing);
	RUN(a_record_without_fields_deletes_what_was_kept);
	RUN(numbers_come_back_bit_by_bit_and_names_byte_by_byte);
	RUN(numbers_of_all_kinds_come_back);
	RUN(a_truncated_file_is_set_aside_or_loaded);
	RUN(a_file_with_flipped_bits_is_set_aside_or_loaded_without_what_is_wrong);
	RUN(a_file_of_a_later_version_is_set_aside);
	RUN(what_is_not_ours_is_left_alone);
	RUN(a_second_daemon_is_kept_out);
	RUN(a_full_disk_keeps_it_in_memory_until_there_is_room);
	RUN(a_file_that_may_not_grow_does_no_harm);
	RUN(kill_9_loses_nothing_that_was_flushed);
	RUN(history_is_kept_up_to_its_limit);
	RUN(a_history_from_before_it_had_shares_goes_on);
	RUN(keys_are_kept_up_to_their_limit);
	RUN(an_export_is_imported_as_it_was);
	RUN(bad_imports_are_refused_with_their_line);
	RUN(random_imports_do_no_harm);
	snprintf(command, sizeof command, "rm -rf %s", dir);
	rc = system(command);
	return rc ? 99 : tap_done();
}
