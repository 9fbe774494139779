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

/* Of a question without an answer something is said on a terminal after this long. */
#define PATIENCE_MS 2000

/* How long one that has not answered may take to say that it is there. */
#define ALIVE_S 1

#define SUN_PATH_MAX ((int)sizeof(((struct sockaddr_un *)NULL)->sun_path))

static struct {
	void *context, *socket;
	uint64_t last_id;
	char dir[ASK_ADDRESS_MAX];
	int64_t since_ms; /* the question that waits was asked then */
	bool told;        /* that it waits */
	bool mute;        /* not a word, whatever goes wrong */
} asking;

/* -- Where the daemon is ----------------------------------------------------------------------- */

static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static const char *daemon_dir(void)
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
	const char *env = getenv("FORECACHED_DIR");
	const char *from = cli.dir ? "--dir" : env && *env ? "$FORECACHED_DIR" : NULL;

	if (asking.mute)
		return CLI_UNREACHABLE;
	if (error == EACCES) {
		cli_say("ipc://%s: permission denied: it belongs to the daemon's user", path);
		cli_say("run this as that user, or let its group in: \"segment_mode\": \"0640\" in "
		        "forecached.conf");
		return CLI_UNREACHABLE;
	}
	cli_say("no daemon at ipc://%s: %s", path, why);
	if (from)
		cli_say("the directory is from %s; to start a daemon there: forecached --dir %s",
		        from, daemon_dir());
	else
		cli_say("start it with `systemctl start forecached` or `forecached`, or say where "
		        "it runs with "
		        "--dir DIR or $FORECACHED_DIR");
	return CLI_UNREACHABLE;
}

/* As far as /proc says. */
static bool is_stopped(pid_t pid)
{
	char path[64], text[256], *end;
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	f = pid > 0 ? fopen(path, "re") : NULL;
	if (f) {
		n = fread(text, 1, sizeof(text) - 1, f);
		fclose(f);
	}
	text[n] = '\0';
	end = strrchr(text, ')'); /* the name may hold anything */
	return end && (!strncmp(end, ") T", 3) || !strncmp(end, ") t", 3));
}

/* Somebody listens, but says nothing. Always CLI_UNREACHABLE. */
static int hung(const char *path, pid_t pid, const char *why)
{
	char process[48] = "";

	if (asking.mute)
		return CLI_UNREACHABLE;
	if (pid > 0)
		snprintf(process, sizeof(process), " (process %ld)", (long)pid);
	cli_say("a daemon runs at ipc://%s%s, but does not answer: %s", path, process, why);
	if (is_stopped(pid))
		cli_say("it is stopped; `kill -CONT %ld` lets it go on", (long)pid);
	else if (pid > 0)
		cli_say("its log may say what it is at; if it does not come back, `kill -9 %ld` "
		        "and start it again: values and what was learned are kept",
		        (long)pid);
	else
		cli_say("its log may say what it is at");
	return CLI_UNREACHABLE;
}

/*
 * Does somebody listen there? 0 and the process (0: not known); else an errno value, EAGAIN when
 * nobody takes new connections any more. Waits for nothing.
 */
static int listener(const char *path, pid_t *ret_pid)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct ucred peer = {0};
	socklen_t size = sizeof(peer);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rc = 0;

	*ret_pid = 0;
	if (fd < 0)
		return errno;
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)))
		rc = errno;
	else if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		*ret_pid = peer.pid;
	close(fd);
	return rc;
}

/* CLI_OK when somebody listens. */
static int look_for(const char *path, pid_t *ret_pid)
{
	int rc = listener(path, ret_pid);

	if (rc == 0)
		return CLI_OK;
	if (rc == EAGAIN)
		return hung(path, 0, "as many connections as it may have wait to be taken");
	return unreachable(path, rc,
	                   rc == ENOENT         ? "there is no such socket"
	                   : rc == ECONNREFUSED ? "the socket is there, but nobody listens "
	                                          "(a daemon that was killed?)"
	                                        : strerror(rc));
}

int ask_address(const char *name, char ret[ASK_ADDRESS_MAX])
{
	char path[ASK_ADDRESS_MAX - 8];
	int status;
	pid_t pid;

	if (snprintf(path, sizeof(path), "%s/%s", daemon_dir(), name) >= SUN_PATH_MAX)
		return unreachable(path, 0, "the path of the socket is longer than 107 bytes");
	status = look_for(path, &pid);
	if (!status)
		snprintf(ret, ASK_ADDRESS_MAX, "ipc://%s", path);
	return status;
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

/* Who looks at a terminal is told that this takes its time. Gives until when to be silent. */
static int64_t tell_of_waiting(int64_t now)
{
	int64_t at = asking.since_ms + PATIENCE_MS;

	if (asking.told || asking.mute || !isatty(STDERR_FILENO))
		return INT64_MAX;
	if (now < at)
		return at;
	asking.told = true;
	cli_say("no answer yet from the daemon at %s; waiting for another %.3g s (--timeout)",
	        daemon_dir(), cli.timeout_s - PATIENCE_MS / 1000.0);
	return INT64_MAX;
}

/* Waits for the socket until the deadline. 0, or -1 with errno (EAGAIN: time is over). */
static int wait_for(short events, int64_t deadline_ms)
{
	for (;;) {
		zmq_pollitem_t item = {.socket = asking.socket, .events = events};
		int64_t now = now_ms(), left = deadline_ms - now, until = deadline_ms;
		int64_t silent = left > 0 ? tell_of_waiting(now) : INT64_MAX;
		int rc;

		until = silent < until ? silent : until;
		rc = zmq_poll(&item, 1, until > now ? (long)(until - now) : 0);
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

static int say_hello(double timeout_s);

/* Does the daemon answer within that time? Says nothing. */
static bool is_alive(double timeout_s)
{
	bool mute = asking.mute;
	int status;

	asking.mute = true;
	status = say_hello(timeout_s);
	asking.mute = mute;
	return status == CLI_OK;
}

/* Why there is no answer, by errno and by looking who is there. */
static int no_answer(const char *op, double timeout_s)
{
	char path[ASK_ADDRESS_MAX], why[128];
	int status, error = errno;
	pid_t pid;

	if (error == EINTR && cli_interrupted())
		return cli_signal_status();
	if (asking.mute)
		return CLI_UNREACHABLE;
	if (error != EAGAIN)
		return cli_error("%s: %s", op, zmq_strerror(error));
	snprintf(path, sizeof(path), "%.200s/requests", daemon_dir());
	snprintf(why, sizeof(why), "no answer to \"%s\" within %g s (--timeout)", op, timeout_s);
	status = look_for(path, &pid);
	if (status)
		return status;
	if (is_stopped(pid) || !is_alive(ALIVE_S))
		return hung(path, pid, why);
	cli_say("%s; the daemon does answer other questions, so this one takes longer", why);
	return CLI_UNREACHABLE;
}

/* What the daemon says, without the operation in front, which stands there anyway. */
static const char *without(const char *op, const char *text)
{
	size_t n = strlen(op);

	return !strncmp(text, op, n) && !strncmp(text + n, ": ", 2) ? text + n + 2 : text;
}

static int failed(const struct request *r, const struct reply *reply, bool quietly)
{
	char *text = text_printable(reply->text),
	     *name = text_printable(r->key.n ? r->key : r->endpoint);
	int status = reply->status == STATUS_NOT_FOUND ? CLI_NOT_FOUND : CLI_ERROR;

	if (!asking.mute && !(quietly && status == CLI_NOT_FOUND))
		cli_say("%s%s%s: %s", op_name(r->op), *name ? " " : "", name,
		        *text ? without(op_name(r->op), text) : status_text(reply->status));
	free(text);
	free(name);
	return status;
}

static int exchange(const struct request *asked, double timeout_s, struct answer *ret, bool quietly)
{
	struct proto_limits limits = proto_limits_default();
	int64_t started = now_ms(), deadline = started + (int64_t)(timeout_s * 1000);
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
	asking.since_ms = started;
	asking.told = false;
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
		status = no_answer(op_name(r.op), timeout_s);
	pack_release(&w);
	if (status)
		return status;
	message_init(&a.message);
	do { /* answers to questions whose time was over are passed by */
		free(a.frame);
		a.frame = receive(deadline, &n);
		if (!a.frame) {
			message_release(&a.message);
			return no_answer(op_name(r.op), timeout_s);
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
	return exchange(r, cli.timeout_s, ret, false);
}

static int say_hello(double timeout_s)
{
	struct request r;
	struct answer a;
	int status;

	request_init(&r);
	r.op = OP_HELLO;
	status = exchange(&r, timeout_s, &a, false);
	request_release(&r);
	if (!status)
		answer_release(&a);
	return status;
}

int ask_there(bool silently)
{
	char address[ASK_ADDRESS_MAX];
	int status;

	asking.mute = silently;
	status = ask_address("requests", address);
	if (!status)
		status = say_hello(cli.timeout_s);
	asking.mute = false;
	return status;
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
	int status = exchange(r, cli.timeout_s, &a, quietly);

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
