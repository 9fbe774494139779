/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Addresses to listen on, as people write them: "127.0.0.1:6390", "[::1]:6390", "*:6390", "6390". */
#ifndef FORECACHED_DAEMON_ADDRESS_H
#define FORECACHED_DAEMON_ADDRESS_H

#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>

/* Numbers only, no names. "*" gives 0.0.0.0; a port alone 127.0.0.1. False: not of that form. */
bool address_parse(const char *text, char *host, size_t cap, int *ret_port);

/* Whether only this host can connect to it. */
bool address_is_loopback(const char *host);

/*
 * Listens on an address, the value of the configuration's `option`: the socket, or a negative errno
 * value. A port of 0 is any that is free; *ret_port is the one that was taken.
 */
int address_listen(const char *option, const char *text, int backlog, int *ret_port,
                   struct fault *reterr);

#endif
