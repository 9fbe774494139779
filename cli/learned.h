/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A file of learned state, as `forecache export` writes it and `forecache import` reads it. Lines: first
 * {"forecached":"learned state","version":1}, then one record each:
 *	{"kind":"key","endpoint":"/q/<s>","name":"/q/IBM","fields":{"rate":[0.25,4],"seen":[12]}}
 * A name that is not UTF-8 stands in hexadecimal as "name_hex" (or "endpoint_hex").
 */
#ifndef FORECACHED_CLI_LEARNED_H
#define FORECACHED_CLI_LEARNED_H

#include "engine/engine.h"

struct learned;

/* NULL, and a word on stderr, when there can be no such file. */
struct learned *learned_create(const char *path);

/* A record_fn; arg is the struct learned. Faults are kept until the end. */
void learned_write(void *arg, const struct record *r);

/* CLI_OK, or CLI_ERROR with a word on stderr: not all of it could be written. */
int learned_close(struct learned **l);

#endif
