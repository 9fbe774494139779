/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config.h"

#include "bench/peer.h"

#include "base/mem.h"
#include "bench/bench.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef HAVE_LMDB
#include <lmdb.h>
#endif

#define READ_MAX (1u << 20)
#define PIPELINE 64u /* sets on their way at once; their answers fit the socket's buffer */
#define KEY_MAX  64

enum kind { MEMCACHED, REDIS, LMDB };

static const char *const names[] = {"memcached", "redis-server", "LMDB"};

struct peer {
	enum kind kind;
	pid_t pid;
	int fd;
	char *buf;
#ifdef HAVE_LMDB
	MDB_env *env;
	MDB_dbi db;
	MDB_txn *txn;
#endif
};

uint64_t resident_bytes(int pid)
{
	unsigned long long pages = 0;
	char path[64];
	FILE *f;

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/statm", pid);
	else
		snprintf(path, sizeof(path), "/proc/self/statm");
	f = fopen(path, "r");
	if (!f || fscanf(f, "%*u %llu", &pages) != 1)
		bench_die(path);
	fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* -- Servers ----------------------------------------------------------------------------------- */

static int dial(const char *path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof(to))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void become(enum kind kind, const char *path, uint64_t max_bytes)
{
	char mib[32];

	if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
		_exit(127);
	snprintf(mib, sizeof(mib), "%llu", (unsigned long long)(max_bytes >> 20) + 64);
	if (kind == REDIS)
		execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", path,
		       "--save", "", "--dir", bench_dir(), (char *)NULL);
	else if (geteuid())
		execlp("memcached", "memcached", "-s", path, "-m", mib, "-t", "1", (char *)NULL);
	else
		execlp("memcached", "memcached", "-s", path, "-m", mib, "-t", "1", "-u", "root",
		       (char *)NULL);
	_exit(127);
}

/* False when it is not there, or does not come up within 5 s. */
static bool serve(struct peer *p, uint64_t max_bytes)
{
	const struct timespec tick = {0, 10000000};
	char path[96];

	snprintf(path, sizeof(path), "%s/%s", bench_dir(), names[p->kind]);
	unlink(path);
	fflush(NULL); /* or the child prints it once more */
	p->pid = fork();
	if (p->pid == 0)
		become(p->kind, path, max_bytes);
	for (int i = 0; i < 500 && p->pid > 0 && p->fd < 0; i++) {
		if (waitpid(p->pid, NULL, WNOHANG) == p->pid) {
			p->pid = 0;
			return false;
		}
		p->fd = dial(path);
		nanosleep(&tick, NULL);
	}
	return p->fd >= 0;
}

static void send_all(struct peer *p, const char *out, size_t n)
{
	while (n) {
		ssize_t sent = write(p->fd, out, n);

		if (sent <= 0)
			bench_die(names[p->kind]);
		out += sent;
		n -= (size_t)sent;
	}
}

static void receive(struct peer *p, size_t n)
{
	while (n) {
		ssize_t got = read(p->fd, p->buf, n < READ_MAX ? n : READ_MAX);

		if (got <= 0)
			bench_die(names[p->kind]);
		n -= (size_t)got;
	}
}

static size_t digits(uint64_t n)
{
	size_t d = 1;

	while (n /= 10)
		d++;
	return d;
}

static void fill_server(struct peer *p, peer_key_fn *key, uint64_t n, struct bytes value)
{
	char *out = mem_calloc(PIPELINE, value.n + 256), name[KEY_MAX];
	size_t at, answer = p->kind == REDIS ? strlen("+OK\r\n") : strlen("STORED\r\n");

	for (uint64_t i = 0; i < n;) {
		unsigned k = 0;

		for (at = 0; k < PIPELINE && i < n; k++, i++) {
			struct bytes b = key(i, name);

			if (p->kind == REDIS)
				at += (size_t)sprintf(out + at,
				                      "*4\r\n$5\r\nSETEX\r\n$%zu\r\n%.*s\r\n"
				                      "$4\r\n3600\r\n$%zu\r\n",
				                      b.n, (int)b.n, (const char *)b.p, value.n);
			else
				at += (size_t)sprintf(out + at, "set %.*s 0 3600 %zu\r\n", (int)b.n,
				                      (const char *)b.p, value.n);
			memcpy(out + at, value.p, value.n);
			memcpy(out + at + value.n, "\r\n", 2);
			at += value.n + 2;
		}
		send_all(p, out, at);
		receive(p, k * answer);
	}
	free(out);
}

static void get_server(struct peer *p, struct bytes key, uint64_t value_bytes)
{
	char out[KEY_MAX + 64];
	int n;

	if (p->kind == REDIS)
		n = snprintf(out, sizeof(out), "*2\r\n$3\r\nGET\r\n$%zu\r\n%.*s\r\n", key.n,
		             (int)key.n, (const char *)key.p);
	else
		n = snprintf(out, sizeof(out), "get %.*s\r\n", (int)key.n, (const char *)key.p);
	send_all(p, out, (size_t)n);
	if (p->kind == REDIS)
		receive(p, 1 + digits(value_bytes) + 2 + value_bytes + 2);
	else
		receive(p, strlen("VALUE  0 \r\n") + key.n + digits(value_bytes) + value_bytes +
		                   strlen("\r\nEND\r\n"));
}

/* -- LMDB -------------------------------------------------------------------------------------- */

#ifdef HAVE_LMDB

static void lmdb_path(char *buf, size_t n)
{
	/* where the segments are: in memory */
	snprintf(buf, n, "/dev/shm/fc-bench-lmdb-%d", (int)getpid());
}

static void check(int rc, const char *what)
{
	if (rc) {
		errno = rc > 0 ? rc : EIO;
		bench_die(what);
	}
}

static void fill_lmdb(struct peer *p, peer_key_fn *key, uint64_t n, struct bytes value)
{
	MDB_txn *txn = NULL;
	char name[KEY_MAX];

	for (uint64_t i = 0; i < n; i++) {
		struct bytes b = key(i, name);
		MDB_val k = {b.n, (void *)(uintptr_t)b.p},
		        v = {value.n, (void *)(uintptr_t)value.p};

		if (!txn)
			check(mdb_txn_begin(p->env, NULL, 0, &txn), "LMDB");
		check(mdb_put(txn, p->db, &k, &v, 0), "LMDB");
		if (i % 10000 == 9999 || i + 1 == n) {
			check(mdb_txn_commit(txn), "LMDB");
			txn = NULL;
		}
	}
	check(mdb_txn_begin(p->env, NULL, MDB_RDONLY, &p->txn), "LMDB");
	mdb_txn_reset(p->txn);
}

static void get_lmdb(struct peer *p, struct bytes key)
{
	MDB_val k = {key.n, (void *)(uintptr_t)key.p}, v;

	check(mdb_txn_renew(p->txn), "LMDB");
	check(mdb_get(p->txn, p->db, &k, &v), "LMDB");
	memcpy(p->buf, v.mv_data, v.mv_size);
	mdb_txn_reset(p->txn);
}

static bool open_lmdb(struct peer *p, uint64_t max_bytes)
{
	MDB_txn *txn;
	char path[64];

	lmdb_path(path, sizeof(path));
	check(mdb_env_create(&p->env), "LMDB");
	check(mdb_env_set_mapsize(p->env, max_bytes * 2 + (64u << 20)), "LMDB");
	check(mdb_env_open(p->env, path, MDB_NOSUBDIR | MDB_NOSYNC | MDB_WRITEMAP, 0600), "LMDB");
	check(mdb_txn_begin(p->env, NULL, 0, &txn), "LMDB");
	check(mdb_dbi_open(txn, NULL, MDB_CREATE, &p->db), "LMDB");
	check(mdb_txn_commit(txn), "LMDB");
	return true;
}

static void close_lmdb(struct peer *p)
{
	char path[64], lock[80];

	lmdb_path(path, sizeof(path));
	snprintf(lock, sizeof(lock), "%s-lock", path);
	if (p->txn)
		mdb_txn_abort(p->txn);
	mdb_env_close(p->env);
	unlink(path);
	unlink(lock);
}

/* Pages in use. */
static uint64_t lmdb_bytes(struct peer *p)
{
	MDB_envinfo info;
	MDB_stat st;

	check(mdb_env_info(p->env, &info), "LMDB");
	check(mdb_env_stat(p->env, &st), "LMDB");
	return (uint64_t)(st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages) *
	       st.ms_psize;
}

#else

static bool open_lmdb(struct peer *p, uint64_t max_bytes)
{
	(void)p;
	(void)max_bytes;
	return false;
}

static void close_lmdb(struct peer *p)
{
	(void)p;
}

static void fill_lmdb(struct peer *p, peer_key_fn *key, uint64_t n, struct bytes value)
{
	(void)p;
	(void)key;
	(void)n;
	(void)value;
}

static void get_lmdb(struct peer *p, struct bytes key)
{
	(void)p;
	(void)key;
}

static uint64_t lmdb_bytes(struct peer *p)
{
	(void)p;
	return 0;
}

#endif

/* -- Either ------------------------------------------------------------------------------------ */

struct peer *peer_start(const char *name, uint64_t max_bytes)
{
	struct peer *p = mem_calloc(1, sizeof(*p));
	bool up;

	while (strcmp(names[p->kind], name) != 0)
		p->kind++;
	p->fd = -1;
	p->buf = mem_calloc(READ_MAX, 1);
	up = p->kind == LMDB ? open_lmdb(p, max_bytes) : serve(p, max_bytes);
	if (up)
		return p;
	printf("  (%s is not installed: no rows of it)\n", name);
	free(p->buf);
	free(p);
	return NULL;
}

void peer_stop(struct peer **pp)
{
	struct peer *p = *pp;

	*pp = NULL;
	if (!p)
		return;
	if (p->kind == LMDB)
		close_lmdb(p);
	if (p->fd >= 0)
		close(p->fd);
	if (p->pid > 0) {
		kill(p->pid, SIGKILL);
		waitpid(p->pid, NULL, 0);
	}
	free(p->buf);
	free(p);
}

void peer_fill(struct peer *p, peer_key_fn *key, uint64_t n, struct bytes value)
{
	if (p->kind == LMDB)
		fill_lmdb(p, key, n, value);
	else
		fill_server(p, key, n, value);
}

void peer_get(struct peer *p, struct bytes key, uint64_t value_bytes)
{
	if (p->kind == LMDB)
		get_lmdb(p, key);
	else
		get_server(p, key, value_bytes);
}

uint64_t peer_memory(struct peer *p)
{
	return p->kind == LMDB ? lmdb_bytes(p) : resident_bytes(p->pid);
}
