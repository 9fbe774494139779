/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The sockets of the listener for Redis clients: see resp.h. */
#include "daemon/resp_conn.h"

#include "base/mem.h"
#include "base/text.h"
#include "daemon/address.h"
#include "daemon/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 511

/* How often idle connections are looked for. */
static const struct span IDLE_LOOK = {1000 * 1000};

/* -- Accepting -------------------------------------------------------------------------------- */

static const char SORRY[] = "-ERR max number of clients reached\r\n";

static void on_refused(void *arg)
{
	struct resp *r = arg;

	r->n_rejected++;
	log_line(LOG_WARN, "redis_accept",
	         "why=\"no descriptor is left: raise the limit of open files, or lower "
	         "redis_max_clients\" connections=%zu",
	         r->n_conns);
}

/*
 * The last descriptors are not for Redis clients: libzmq ends the process when it gets none for a
 * connection of its own. Numbers are given out from the lowest, so a high one says that few are left.
 */
#define KEEP_FREE 64

static bool is_one_of_the_last(int fd)
{
	struct rlimit files;
	rlim_t keep;

	if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur == RLIM_INFINITY)
		return false;
	keep = files.rlim_cur / 8 < KEEP_FREE ? files.rlim_cur / 8 : KEEP_FREE;
	return (rlim_t)fd >= files.rlim_cur - keep;
}

static void too_many(struct resp *r, int fd)
{
	r->n_rejected++;
	log_line(LOG_NOTICE, "redis_refused",
	         "why=\"redis_max_clients is %" PRId64
	         ", and some descriptors are kept free\" connections=%zu descriptor=%d",
	         r->set.max_clients, r->n_conns, fd);
	if (write(fd, SORRY, sizeof(SORRY) - 1) < 0)
		log_line(LOG_DEBUG, "redis_refused", "why=\"%s\"", strerror(errno));
	close(fd);
}

static void open_one(struct resp *r, int fd, bool is_unix)
{
	int one = 1;

	if (r->n_conns >= (size_t)r->set.max_clients || is_one_of_the_last(fd)) {
		too_many(r, fd);
		return;
	}
	if (!is_unix) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	}
	r->n_connections++;
	resp_conn_open(r, fd, is_unix);
}

static void on_tcp(void *arg, int fd, const struct sockaddr *from, socklen_t n)
{
	(void)from;
	(void)n;
	open_one(arg, fd, false);
}

static void on_unix(void *arg, int fd, const struct sockaddr *from, socklen_t n)
{
	(void)from;
	(void)n;
	open_one(arg, fd, true);
}

/* -- Idle connections ------------------------------------------------------------------------- */

static void on_idle(void *arg)
{
	struct resp *r = arg;
	int64_t now = clock_boot_us(&r->d->clock);
	struct resp_conn *next;

	loop_timer_set(r->d->loop, &r->idle, IDLE_LOOK);
	r->ops_per_s = r->n_commands >= r->ops_at_look ? r->n_commands - r->ops_at_look : 0;
	r->ops_at_look = r->n_commands;
	if (!r->set.idle_s)
		return;
	for (struct resp_conn *c = r->first; c; c = next) {
		next = c->next;
		if (!c->waits && !c->monitor && now - c->last_us > r->set.idle_s * 1000000)
			resp_conn_close(c);
	}
}

/* -- Listening -------------------------------------------------------------------------------- */

static int listen_tcp(struct resp *r, const char *where, struct fault *e)
{
	int rc = address_listen("redis", where, BACKLOG, &r->port, e);

	if (rc < 0)
		return rc;
	rc = acceptor_start(&r->tcp, r->d->loop, rc);
	return rc ? fault_set(e, rc, "redis: %s", strerror(-rc)) : 0;
}

static int listen_unix(struct resp *r, struct fault *e)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	size_t n = strlen(r->d->dir) + sizeof("/resp.sock");
	int rc, fd;

	r->unix_path = mem_calloc(n, 1);
	snprintf(r->unix_path, n, "%s/resp.sock", r->d->dir);
	if (n > sizeof(sa.sun_path))
		return fault_set(
		        e, -ENAMETOOLONG,
		        "redis_socket: %s is longer than a socket's name can be (%zu): choose a "
		        "shorter run directory, or set \"redis_socket\" to \"off\"",
		        r->unix_path, sizeof(sa.sun_path) - 1);
	memcpy(sa.sun_path, r->unix_path, n);
	/* the run directory is locked: what lies there is of a daemon that is no more */
	unlink(r->unix_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) || listen(fd, BACKLOG)) {
		rc = fault_set(e, -errno, "redis_socket: cannot listen on %s: %s", r->unix_path,
		               strerror(errno));
		if (fd >= 0)
			close(fd);
		return rc;
	}
	rc = acceptor_start(&r->unix_socket, r->d->loop, fd);
	return rc ? fault_set(e, rc, "redis_socket: %s", strerror(-rc)) : 0;
}

/* The first line of the file. */
static int read_password(struct resp *r, const char *file, struct fault *e)
{
	char line[1024];
	FILE *f;

	f = fopen(file, "re");
	if (!f)
		return fault_set(e, -errno, "redis_password_file: %s: %s", file, strerror(errno));
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	fclose(f);
	line[strcspn(line, "\r\n")] = '\0';
	if (!*line)
		return fault_set(e, -EINVAL, "redis_password_file: %s: its first line is empty",
		                 file);
	r->password = text_copy(line);
	explicit_bzero(line, sizeof(line));
	return 0;
}

static void make_run_id(struct resp *r)
{
	unsigned char x[20];

	if (getrandom(x, sizeof(x), 0) != sizeof(x))
		memset(x, 0, sizeof(x));
	for (size_t i = 0; i < sizeof(x); i++)
		snprintf(r->run_id + 2 * i, 3, "%02x", x[i]);
}

void resp_configure(struct resp *r)
{
	const struct config *c;

	if (!r)
		return;
	c = r->d->setup->config;
	r->set.max_clients = (int64_t)c->redis_max_clients;
	r->set.idle_s = (int64_t)c->redis_idle_s;
	r->set.bulk_bytes = (int64_t)c->redis_bulk_bytes;
	r->set.query_bytes = (int64_t)c->redis_query_bytes;
	r->set.output_bytes = (int64_t)c->redis_output_bytes;
	r->set.misses = (int64_t)c->redis_misses;
	r->limits.inline_bytes = (size_t)c->redis_inline_bytes;
	r->limits.args = (size_t)c->redis_args;
	r->limits.bulk_bytes = (size_t)c->redis_bulk_bytes;
}

int resp_new(struct daemon *d, struct resp **ret, struct fault *reterr)
{
	const struct config *c = d->setup->config;
	struct resp *r;
	int rc = 0;

	*ret = NULL;
	if (!strcmp(c->redis, "off") && !strcmp(c->redis_socket, "off"))
		return 0;
	r = mem_calloc(1, sizeof(*r));
	r->d = d;
	r->started_us = clock_boot_us(&d->clock);
	r->tcp = r->unix_socket =
	        (struct acceptor){.refused = on_refused, .arg = r, .sorry = bytes_str(SORRY)};
	r->tcp.take = on_tcp;
	r->unix_socket.take = on_unix;
	r->idle = (struct loop_timer){on_idle, r, 0};
	r->set.slow_us = 10000;
	r->set.slow_len = 128;
	resp_command_init();
	r->calls = mem_calloc(resp_n_commands, sizeof(*r->calls));
	resp_conn_setup(r);
	resp_configure(r);
	make_run_id(r);
	if (*c->redis_password_file)
		rc = read_password(r, c->redis_password_file, reterr);
	if (!rc && strcmp(c->redis, "off"))
		rc = listen_tcp(r, c->redis, reterr);
	if (!rc && !strcmp(c->redis_socket, "on"))
		rc = listen_unix(r, reterr);
	if (rc) {
		resp_free(&r);
		return rc;
	}
	loop_timer_set(d->loop, &r->idle, IDLE_LOOK);
	log_line(LOG_INFO, "redis", "address=%s port=%d socket=%s password=%s",
	         strcmp(c->redis, "off") ? c->redis : "-", r->port,
	         r->unix_path ? r->unix_path : "-", r->password ? "yes" : "no");
	*ret = r;
	return 0;
}

void resp_stop_accepting(struct resp *r)
{
	if (!r)
		return;
	acceptor_stop(&r->tcp);
	acceptor_stop(&r->unix_socket);
	if (r->unix_path)
		unlink(r->unix_path);
}

void resp_free(struct resp **rp)
{
	struct resp *r = *rp;

	if (!r)
		return;
	resp_stop_accepting(r);
	resp_conn_write_all(r);
	plain_flush_step(r->d->engine, UINT32_MAX);
	while (r->first)
		resp_conn_close(r->first);
	resp_conn_teardown(r);
	loop_timer_cancel(r->d->loop, &r->idle);
	resp_slow_trim(r, 0);
	vec_free(&r->slow);
	if (r->password)
		explicit_bzero(r->password, strlen(r->password));
	free(r->password);
	free(r->unix_path);
	free(r->calls);
	free(r);
	*rp = NULL;
}

size_t resp_connections(const struct resp *r)
{
	return r ? r->n_conns : 0;
}

uint64_t resp_commands(const struct resp *r)
{
	return r ? r->n_commands : 0;
}
