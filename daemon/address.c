/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool parse_port(const char *s, int *ret)
{
	char *end;
	long v;

	if (*s < '0' || *s > '9')
		return false;
	v = strtol(s, &end, 10);
	if (*end || v > 65535)
		return false;
	*ret = (int)v;
	return true;
}

bool address_parse(const char *text, char *host, size_t cap, int *ret_port)
{
	const char *colon = strrchr(text, ':'), *from = text, *to = colon;
	unsigned char any[16];

	if (!colon) {
		snprintf(host, cap, "127.0.0.1");
		return parse_port(text, ret_port);
	}
	if (*from == '[' && to > from && to[-1] == ']') {
		from++;
		to--;
	}
	if ((size_t)(to - from) >= cap || !parse_port(colon + 1, ret_port))
		return false;
	memcpy(host, from, (size_t)(to - from));
	host[to - from] = '\0';
	if (!strcmp(host, "*"))
		snprintf(host, cap, "0.0.0.0");
	return inet_pton(AF_INET, host, any) == 1 || inet_pton(AF_INET6, host, any) == 1;
}

bool address_is_loopback(const char *host)
{
	return !strncmp(host, "127.", 4) || !strcmp(host, "::1");
}

int address_listen(const char *option, const char *text, int backlog, int *ret_port,
                   struct fault *e)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_storage got;
	socklen_t got_n = sizeof(got);
	int fd, port, one = 1, err = 0;
	char host[64];
	bool six;

	if (!address_parse(text, host, sizeof(host), &port))
		return fault_set(e, -EINVAL, "%s: \"%s\" is no address", option, text);
	six = inet_pton(AF_INET6, host, &v6.sin6_addr) == 1;
	v6.sin6_port = v4.sin_port = htons((uint16_t)port);
	if (!six && inet_pton(AF_INET, host, &v4.sin_addr) != 1)
		return fault_set(e, -EINVAL, "%s: \"%s\" is no address", option, text);
	fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fault_set(e, -errno, "%s: no socket: %s", option, strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if ((six ? bind(fd, (struct sockaddr *)&v6, sizeof(v6))
	         : bind(fd, (struct sockaddr *)&v4, sizeof(v4))) ||
	    listen(fd, backlog))
		err = errno;
	if (err) {
		close(fd);
		if (err == EADDRINUSE)
			return fault_set(
			        e, -err,
			        "%s: %s is in use by another program: set \"%s\" to another "
			        "address (or use --%s), \"127.0.0.1:0\" for any free port, or "
			        "\"off\"",
			        option, text, option, option);
		return fault_set(e, -err, "%s: cannot listen on %s: %s", option, text,
		                 strerror(err));
	}
	*ret_port = port;
	if (!getsockname(fd, (struct sockaddr *)&got, &got_n))
		*ret_port = ntohs(six ? ((struct sockaddr_in6 *)&got)->sin6_port
		                      : ((struct sockaddr_in *)&got)->sin_port);
	return fd;
}
