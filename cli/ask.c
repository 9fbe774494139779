/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/ask.h"

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "daemon/message_json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

/*
 * Learned state comes in pages, so no answer needs to be larger than what the daemon accepts
 * itself.
 */
#define ANSWER_MAX_ELEMENTS 4194304

static struct {
	void *context, *socket;
	uint64_t last_id;
	char dir[ASK_ADDRESS_MAX];
} asking;

/* -- Where the daemon is ----------------------------------------------------------------------- */

static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

const char *ask_dir(void)
{
	const char *env = getenv("FORECACHED_DIR"), *xdg = getenv("XDG_RUNTIME_DIR");

	if (cli.dir)
		return cli.dir;
	if (env && *env)
		return env;
	if (xdg && *xdg) {
		snprintf(asking.dir, sizeof(asking.dir), "%s/forecached", xdg);
		if (is_directory(asking.dir))
			return asking.dir;
	}
	return "/run/forecached";
}

/* Always CLI_UNREACHABLE. */
static int unreachable(const char *path, int error, const char *why)
{
	const char *from = cli.dir ? "--dir" : getenv("FORECACHED_DIR") ? "$FORECACHED_DIR" : NULL;

	if (error == EACCES) {
		cli_say("ipc://%s: permission denied: it belongs to the daemon's user", path);
		cli_say("run this as that user, or let its group in: \"segment_mode\": \"0640\" in "
		        "forecached.conf");
		return CLI_UNREACHABLE;
	}
	cli_say("no daemon at ipc://%s: %s", path, why);
	if (from)
		cli_say("the directory is from %s; to start a daemon there: forecached --dir %s",
		        from, ask_dir());
	else
		cli_say("start it with `systemctl start forecached` or `forecached`, or say where "
		        "it runs with "
		        "--dir DIR or $FORECACHED_DIR");
	return CLI_UNREACHABLE;
}

int ask_address(const char *name, char ret[ASK_ADDRESS_MAX])
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	char path[ASK_ADDRESS_MAX - 8];
	int fd, rc;

	if (snprintf(path, sizeof(path), "%s/%s", ask_dir(), name) >= (int)sizeof(un.sun_path))
		return unreachable(path, 0, "the path of the socket is longer than 107 bytes");
	memcpy(un.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return cli_error("socket: %s", strerror(errno));
	rc = connect(fd, (struct sockaddr *)&un, sizeof(un)) ? errno : 0;
	close(fd);
	if (rc)
		return unreachable(path, rc,
		                   rc == ENOENT         ? "there is no such socket"
		                   : rc == ECONNREFUSED ? "the socket is there, but nobody listens "
		                                          "(a daemon that was killed?)"
		                                        : strerror(rc));
	snprintf(ret, ASK_ADDRESS_MAX, "ipc://%s", path);
	return CLI_OK;
}

void *ask_context(void)
{
	if (!asking.context)
		asking.context = zmq_ctx_new();
	return asking.context;
}

static int open_socket(void)
{
	char address[ASK_ADDRESS_MAX];
	int linger = 0, immediate = 1, status;
	void *s;

	if (asking.socket)
		return CLI_OK;
	status = ask_address("requests", address);
	if (status)
		return status;
	s = ask_context() ? zmq_socket(ask_context(), ZMQ_DEALER) : NULL;
	if (!s)
		return cli_error("zmq_socket: %s", zmq_strerror(errno));
	zmq_setsockopt(s, ZMQ_LINGER, &linger, sizeof(linger));
	zmq_setsockopt(s, ZMQ_IMMEDIATE, &immediate, sizeof(immediate));
	if (zmq_connect(s, address)) {
		status = cli_error("%s: %s", address, zmq_strerror(errno));
		zmq_close(s);
		return status;
	}
	asking.socket = s;
	return CLI_OK;
}

void ask_teardown(void)
{
	if (asking.socket)
		zmq_close(asking.socket);
	if (asking.context)
		zmq_ctx_term(asking.context);
	asking.socket = asking.context = NULL;
}

/* -- Question and answer ----------------------------------------------------------------------- */

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Waits for the socket until the deadline. 0, or -1 with errno (EAGAIN: time is over). */
static int wait_for(short events, int64_t deadline_ms)
{
	for (;;) {
		zmq_pollitem_t item = {.socket = asking.socket, .events = events};
		int64_t left = deadline_ms - now_ms();
		int rc = zmq_poll(&item, 1, left > 0 ? (long)left : 0);

		if (rc > 0)
			return 0;
		if (rc < 0 && (errno != EINTR || cli_interrupted()))
			return -1;
		if (left <= 0) {
			errno = EAGAIN;
			return -1;
		}
	}
}

/* The last frame of the next message, to be freed. NULL with errno. */
static unsigned char *receive(int64_t deadline_ms, size_t *ret_bytes)
{
	unsigned char *frame = NULL;
	int more = 1;
	size_t size = sizeof(more);

	if (wait_for(ZMQ_POLLIN, deadline_ms))
		return NULL;
	while (more) {
		zmq_msg_t msg;

		zmq_msg_init(&msg);
		if (zmq_msg_recv(&msg, asking.socket, ZMQ_DONTWAIT) < 0) {
			free(frame);
			return NULL;
		}
		free(frame);
		*ret_bytes = zmq_msg_size(&msg);
		frame = (unsigned char *)mem_dup(zmq_msg_data(&msg), *ret_bytes);
		zmq_msg_close(&msg);
		zmq_getsockopt(asking.socket, ZMQ_RCVMORE, &more, &size);
	}
	return frame;
}

static int no_answer(const char *op)
{
	char path[ASK_ADDRESS_MAX], why[128];

	snprintf(path, sizeof(path), "%.200s/requests", ask_dir());
	if (errno != EAGAIN)
		return cli_error("%s: %s", op, zmq_strerror(errno));
	snprintf(why, sizeof(why), "no answer to \"%s\" within %g s (--timeout)", op,
	         cli.timeout_s);
	return unreachable(path, 0, why);
}

static int failed(const struct request *r, const struct reply *reply, bool quietly)
{
	char *text = text_printable(reply->text),
	     *name = text_printable(r->key.n ? r->key : r->endpoint);
	int status = reply->status == STATUS_NOT_FOUND ? CLI_NOT_FOUND : CLI_ERROR;
	size_t n = strlen(op_name(r->op));
	const char *why = text;

	/* "set: key: ...": the operation stands before it already */
	if (!strncmp(text, op_name(r->op), n) && !strncmp(text + n, ": ", 2))
		why = text + n + 2;
	if (!(quietly && status == CLI_NOT_FOUND))
		cli_say("%s%s%s: %s", op_name(r->op), *name ? " " : "", name,
		        *why ? why : status_text(reply->status));
	free(text);
	free(name);
	return status;
}

static int exchange(const struct request *asked, struct answer *ret, bool quietly)
{
	struct proto_limits limits = proto_limits_default();
	int64_t deadline = now_ms() + (int64_t)(cli.timeout_s * 1000);
	struct request r = *asked;
	struct proto_error err;
	struct answer a = {0};
	struct pack w;
	size_t n = 0;
	int status = open_socket();

	if (status)
		return status;
	limits.max_frame_bytes = 1 << 30; /* our own daemon's answers may be as large as it likes */
	limits.max_value_bytes = 1 << 29;
	limits.max_elements = ANSWER_MAX_ELEMENTS;
	r.id = ++asking.last_id;
	r.has_id = true;
	pack_init(&w, (size_t)limits.max_frame_bytes);
	request_write(&w, &r);
	if (pack_status(&w)) {
		pack_release(&w);
		return cli_error("%s: the request is too large", op_name(r.op));
	}
	/* an empty frame first, as a REQ socket would send it */
	if (wait_for(ZMQ_POLLOUT, deadline) ||
	    zmq_send(asking.socket, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
	    zmq_send(asking.socket, w.p, w.n, ZMQ_DONTWAIT) < 0)
		status = no_answer(op_name(r.op));
	pack_release(&w);
	if (status)
		return status;
	message_init(&a.message);
	do { /* answers to questions whose time was over are passed by */
		free(a.frame);
		a.frame = receive(deadline, &n);
		if (!a.frame) {
			message_release(&a.message);
			return no_answer(op_name(r.op));
		}
		if (reply_read(&a.reply, &a.message, bytes_of(a.frame, n), &limits, &err)) {
			status = cli_error("%s: the answer cannot be read: %s", op_name(r.op),
			                   err.text);
			answer_release(&a);
			return status;
		}
	} while (a.reply.has_id && a.reply.id != r.id);
	if (a.reply.status != STATUS_OK) {
		status = failed(&r, &a.reply, quietly);
		answer_release(&a);
		return status;
	}
	*ret = a;
	return CLI_OK;
}

int ask(const struct request *r, struct answer *ret)
{
	return exchange(r, ret, false);
}

void answer_release(struct answer *a)
{
	message_release(&a->message);
	free(a->frame);
	a->frame = NULL;
}

static int exchange_json(const struct request *r, cJSON **ret, bool quietly)
{
	struct answer a;
	int status = exchange(r, &a, quietly);

	if (status)
		return status;
	*ret = message_to_json(a.reply.result);
	answer_release(&a);
	return CLI_OK;
}

int ask_json(const struct request *r, cJSON **ret)
{
	return exchange_json(r, ret, false);
}

int ask_json_quietly(const struct request *r, cJSON **ret)
{
	return exchange_json(r, ret, true);
}
