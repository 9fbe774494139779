/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Many Redis clients who want one key, all at the same time, over connections of their own.
 *
 *	resp_herd PORT KEY CLIENTS LOAD_MS FOR_MS EVERY_MS
 *
 * Each asks for the key: all at once when EVERY_MS is 0, once; else every EVERY_MS for FOR_MS, evenly
 * spread. Whoever gets a miss loads: sets the key LOAD_MS later, to live for an hour. One line at
 * the end: "requests N loads N errors N wrong N p50_us N p99_us N max_us N": the times are those of
 * all who got a value, from when they were to ask. With an EVERY_MS of 0 that is when they did.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct client {
	int fd;
	int64_t due_us;    /* of the request on its way, or of the next one */
	int64_t set_at_us; /* it loads until then; 0: it does not */
	int waits;         /* replies that are yet to come */
	char in[256];
	size_t in_n;
};

static struct client *clients;
static int64_t *took_us;
static size_t n_took, max_took;
static unsigned long requests, loads, errors, wrong;

static int64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void die(const char *what)
{
	fprintf(stderr, "resp_herd: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void say(struct client *c, const char *text)
{
	ssize_t n = (ssize_t)strlen(text);

	if (send(c->fd, text, (size_t)n, MSG_NOSIGNAL) != n)
		errors++;
	c->waits++;
}

/* One reply from the start of the buffer; how many bytes it has, 0: it is not complete. */
static size_t reply(struct client *c, int64_t load_us)
{
	char *crlf = memmem(c->in, c->in_n, "\r\n", 2);
	size_t n;

	if (!crlf)
		return 0;
	n = (size_t)(crlf - c->in) + 2;
	if (c->in[0] == '$' && c->in[1] != '-') {
		size_t bulk = strtoul(c->in + 1, NULL, 10);

		if (c->in_n < n + bulk + 2)
			return 0;
		if (c->in[n] != 'v')
			wrong++;
		if (n_took < max_took)
			took_us[n_took++] = now_us() - c->due_us;
		n += bulk + 2;
	} else if (c->in[0] == '$') {
		loads++;
		c->set_at_us = now_us() + load_us;
	} else if (c->in[0] == '+') {
		c->due_us = now_us(); /* it has loaded: its next turn counts from here */
	} else if (c->in[0] == '-') {
		errors++;
	}
	c->waits--;
	return n;
}

static void hear(struct client *c, int64_t load_us)
{
	ssize_t got = recv(c->fd, c->in + c->in_n, sizeof(c->in) - c->in_n, 0);
	size_t n;

	if (got <= 0) {
		errors++;
		close(c->fd);
		c->fd = -1;
		c->waits = 0;
		return;
	}
	c->in_n += (size_t)got;
	while ((n = reply(c, load_us)) != 0) {
		c->in_n -= n;
		memmove(c->in, c->in + n, c->in_n);
	}
}

/* Hears who has been answered, for at most so long. */
static void listen_to_all(int epoll_fd, int64_t load_us, int64_t every_us, int timeout_ms)
{
	struct epoll_event ev[256];
	int n = epoll_wait(epoll_fd, ev, 256, timeout_ms);

	for (int i = 0; i < n; i++) {
		struct client *c = &clients[ev[i].data.u32];
		int was = c->waits;

		hear(c, load_us);
		/* its next turn */
		if (was && !c->waits && !c->set_at_us)
			c->due_us = every_us ? c->due_us + every_us : -1;
	}
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int64_t at_share(double q)
{
	return n_took ? took_us[(size_t)(q * (double)(n_took - 1))] : -1;
}

int main(int argc, char **argv)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int64_t load_us, for_us, every_us, begin, end, now;
	char get[300], set[400];
	int epoll_fd = epoll_create1(0), one = 1, n_clients, open_ones = 1;

	if (argc != 7) {
		fprintf(stderr, "usage: resp_herd PORT KEY CLIENTS LOAD_MS FOR_MS EVERY_MS\n");
		return 2;
	}
	sa.sin_port = htons((uint16_t)atoi(argv[1]));
	n_clients = atoi(argv[3]);
	load_us = atoll(argv[4]) * 1000;
	for_us = atoll(argv[5]) * 1000;
	every_us = atoll(argv[6]) * 1000;
	snprintf(get, sizeof(get), "*2\r\n$3\r\nGET\r\n$%zu\r\n%.128s\r\n", strlen(argv[2]),
	         argv[2]);
	snprintf(set, sizeof(set),
	         "*5\r\n$3\r\nSET\r\n$%zu\r\n%.128s\r\n$5\r\nv-new\r\n$2\r\nEX\r\n$4\r\n3600\r\n",
	         strlen(argv[2]), argv[2]);
	clients = calloc((size_t)n_clients, sizeof(*clients));
	max_took =
	        every_us ? (size_t)n_clients * (size_t)(for_us / every_us + 2) : (size_t)n_clients;
	took_us = calloc(max_took, sizeof(*took_us));
	if (epoll_fd < 0 || !clients || !took_us)
		die("no room");
	for (int i = 0; i < n_clients; i++) {
		struct epoll_event e = {.events = EPOLLIN, .data.u32 = (uint32_t)i};

		clients[i].fd = socket(AF_INET, SOCK_STREAM, 0);
		if (clients[i].fd < 0 || connect(clients[i].fd, (struct sockaddr *)&sa, sizeof(sa)))
			die("connect");
		setsockopt(clients[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, clients[i].fd, &e))
			die("epoll");
	}
	begin = now_us();
	end = begin + for_us;
	for (int i = 0; i < n_clients; i++)
		clients[i].due_us = begin + (every_us ? every_us * i / n_clients : 0);
	while (open_ones) {
		unsigned sent = 0;

		open_ones = 0;
		now = now_us();
		for (int i = 0; i < n_clients; i++) {
			struct client *c = &clients[i];

			if (c->fd < 0)
				continue;
			if (c->set_at_us && now >= c->set_at_us) {
				c->set_at_us = 0;
				say(c, set);
			} else if (!c->waits && !c->set_at_us && c->due_us >= 0 &&
			           now >= c->due_us && c->in_n == 0) {
				if (requests < (unsigned long)n_clients || now < end) {
					/* the request is late if the one before it was answered late */
					if (!every_us)
						c->due_us = now_us();
					requests++;
					say(c, get);
					if (++sent % 8 == 0)
						listen_to_all(epoll_fd, load_us, every_us, 0);
				} else {
					c->due_us = -1;
				}
			}
			open_ones += c->waits || c->set_at_us || c->due_us >= 0;
		}
		listen_to_all(epoll_fd, load_us, every_us, 1);
	}
	qsort(took_us, n_took, sizeof(*took_us), compare);
	printf("requests %lu loads %lu errors %lu wrong %lu p50_us %" PRId64 " p99_us %" PRId64
	       " max_us %" PRId64 "\n",
	       requests, loads, errors, wrong, at_share(0.5), at_share(0.99), at_share(1));
	return 0;
}
