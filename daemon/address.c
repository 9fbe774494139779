/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
