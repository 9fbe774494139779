/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Asks the daemon over ZeroMQ and waits for the answer.
 *
 *	struct request r;
 *	cJSON *result;
 *
 *	request_init(&r);
 *	r.op = OP_WHY;
 *	r.key = bytes_str("/quotes/IBM");
 *	status = ask_json(&r, &result);
 *
 * HOW IT WORKS not through libforecache, which fails open: a person at a terminal wants to be told
 * at once which socket was tried and what is wrong with it. So the socket is tried with a plain
 * connect first, which tells "not there" from "nobody listens" from "not allowed" without waiting.
 * When no answer comes in time the same connect tells whose process listens, and a hello whether it
 * hangs or only this question takes long. The connection is opened at the first question and used by
 * all others of the process.
 *
 * OWNERSHIP what an answer points into lives until answer_release; a cJSON tree is the caller's.
 */
#ifndef FORECACHED_CLI_ASK_H
#define FORECACHED_CLI_ASK_H

#include "proto/reply.h"
#include "proto/request.h"
#include "proto/value.h"

#include <cjson/cJSON.h>
#include <stddef.h>

struct answer {
	unsigned char *frame;
	struct message message;
	struct reply reply;
};

/*
 * Sends the request and reads the answer. CLI_OK; else what went wrong has been said on stderr:
 * CLI_UNREACHABLE, CLI_NOT_FOUND, CLI_ERROR. Nothing is to be released then.
 */
int ask(const struct request *r, struct answer *ret);
void answer_release(struct answer *a);

/* The same, and the result as JSON; cJSON_Delete it. */
int ask_json(const struct request *r, cJSON **ret);

/* The same, without a word when the status is CLI_NOT_FOUND: for who then tries something else. */
int ask_json_quietly(const struct request *r, cJSON **ret);

/*
 * CLI_OK when the daemon answers, even if only to say hello; else why not has been said, unless
 * silently.
 */
int ask_there(bool silently);

/* "ipc://DIR/NAME" of the daemon's directory: CLI_OK, or CLI_UNREACHABLE when nobody listens there. */
#define ASK_ADDRESS_MAX 256
int ask_address(const char *name, char ret[ASK_ADDRESS_MAX]);

/* The process's ZeroMQ context. */
void *ask_context(void);

/* Closes the connection, if there is one; called once, at the end of main. */
void ask_teardown(void);

#endif
