/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reads messages for tests of the protocol from outside. Without arguments, lines from stdin, each
 * a kind and a message in hex; says "ok" and what it was, or "bad" and why. With one argument a
 * table: limits, statuses, operations.
 */
#include "proto/loader.h"
#include "proto/notice.h"
#include "proto/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LINE (1 << 20)

static const struct proto_limits *limits;

static int check_request(struct message *m, struct bytes b, struct proto_error *err)
{
	struct pack again;
	struct request r, r2;
	int status;

	request_init(&r);
	request_init(&r2);
	pack_init(&again, MAX_LINE);
	status = request_read(&r, m, b, limits, err);
	if (status == STATUS_OK) {
		printf("ok %s", op_name(r.op));
		/* what we write of it must mean the same */
		request_write(&again, &r);
		status = request_read(&r2, m, pack_bytes(&again), limits, err);
		printf(status == STATUS_OK && r2.op == r.op ? "\n"
		                                            : " but not when written again\n");
	}
	pack_release(&again);
	request_release(&r);
	request_release(&r2);
	return status;
}

static int check_reply(struct message *m, struct bytes b, struct proto_error *err)
{
	struct reply r;
	int rc = reply_read(&r, m, b, limits, err);

	if (!rc)
		printf("ok status %d\n", r.status);
	return rc;
}

static int check_events(struct message *m, struct bytes b, struct proto_error *err)
{
	struct events e;
	int rc;

	events_init(&e);
	rc = events_read(&e, m, b, limits, err);
	if (!rc)
		printf("ok accepted %zu refused %zu\n", e.list.n, e.refused);
	events_release(&e);
	return rc;
}

static int check_loader(struct message *m, struct bytes b, struct proto_error *err)
{
	struct loader_message l;
	int rc;

	loader_message_init(&l);
	rc = loader_message_read(&l, m, b, limits, err);
	if (!rc)
		printf("ok word %d\n", (int)l.word);
	loader_message_release(&l);
	return rc;
}

static int check_told(struct message *m, struct bytes b, struct proto_error *err)
{
	struct told t;
	int rc = told_read(&t, m, b, limits, err);

	if (!rc)
		printf("ok kind %d\n", (int)t.kind);
	return rc;
}

static int check_notice(struct message *m, struct bytes b, struct proto_error *err)
{
	struct row_notice n;
	int rc = message_read(m, b, limits, err);

	rc = rc ? rc : notice_read(&n, m->root, err);
	if (!rc)
		printf("ok %.*s\n", (int)n.what.n, (const char *)n.what.p);
	return rc;
}

static const struct kind {
	const char *name;
	int (*check)(struct message *m, struct bytes b, struct proto_error *err);
} kinds[] = {
        {"request", check_request}, {"reply", check_reply}, {"events", check_events},
        {"loader", check_loader},   {"told", check_told},   {"notice", check_notice},
};

/* The bytes that the hex digits say, written over them. */
static struct bytes unhex(char *s)
{
	unsigned char *out = (unsigned char *)s;
	unsigned byte;
	size_t n = 0;
	int used;

	/* two digits make one byte, so writing never overtakes reading */
	while (sscanf(s, " %2x%n", &byte, &used) == 1) {
		s += used;
		out[n++] = (unsigned char)byte;
	}
	return bytes_of(out, n);
}

static void check_line(char *line, struct message *m)
{
	struct proto_error err = {"there is no such kind"};
	char kind[16];
	int used = 0;
	size_t i;

	if (sscanf(line, "%15s%n", kind, &used) != 1)
		return;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kind, kinds[i].name) && !kinds[i].check(m, unhex(line + used), &err))
			return;
	printf("bad %s\n", err.text);
}

static void print_table(const char *name)
{
	if (!strcmp(name, "limits")) {
#define X(name, def, lo, hi, unit, help) printf("%s %.0f\n", #name, (double)(def));
		PROTO_LIMIT_TABLE(X)
#undef X
	} else if (!strcmp(name, "statuses")) {
#define X(name, number, code, text) printf("%d %s\n", number, code);
		STATUS_TABLE(X)
#undef X
	} else if (!strcmp(name, "operations")) {
#define X(name, text) printf("%s\n", text);
		OP_TABLE(X)
#undef X
	}
}

int main(int argc, char **argv)
{
	static struct proto_limits defaults;
	static char line[MAX_LINE];
	struct message m;

	defaults = proto_limits_default();
	limits = &defaults;
	if (argc > 1) {
		print_table(argv[1]);
		return 0;
	}
	message_init(&m);
	while (fgets(line, sizeof(line), stdin))
		check_line(line, &m);
	message_release(&m);
	return 0;
}
