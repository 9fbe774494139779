/* SPDX-License-Identifier: MIT */
#include "client/fc.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#define TOPIC_BYTES 1200

/* One notice; its topic as text. Frames that are not ours are skipped. */
static int receive(void *s, char *topic, zmq_msg_t *ret)
{
	int more = 1, parts = 0;
	size_t size = sizeof(more), n = 0;

	while (more) {
		zmq_msg_close(ret);
		zmq_msg_init(ret);
		if (zmq_msg_recv(ret, s, 0) < 0)
			return -errno;
		if (parts++ == 0) {
			n = zmq_msg_size(ret) < TOPIC_BYTES ? zmq_msg_size(ret) : TOPIC_BYTES - 1;
			memcpy(topic, zmq_msg_data(ret), n);
			topic[n] = '\0';
		}
		zmq_getsockopt(s, ZMQ_RCVMORE, &more, &size);
	}
	return parts == 2 ? 0 : -EBADMSG;
}

int fc_monitor(struct fc *fc, const char *prefix, double timeout_s, fc_notice_fn *fn, void *arg)
{
	int64_t max = (int64_t)fc->opt.max_reply_bytes;
	char address[FC_MAX_PATH + 32], topic[TOPIC_BYTES];
	int timeout_ms, linger = 0, rc = 0;
	sigset_t all, old;
	void *ctx, *s;
	zmq_msg_t msg;

	if (!prefix || !fn || !isfinite(timeout_s) || timeout_s < 0 || timeout_s > 1e6)
		return -EINVAL;
	timeout_ms = timeout_s > 0 ? (int)(timeout_s * 1e3) + 1 : -1;
	/* libzmq's threads inherit the mask: the caller's signals are for the caller */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ctx = zmq_ctx_new();
	s = ctx ? zmq_socket(ctx, ZMQ_SUB) : NULL;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!s) {
		if (ctx)
			zmq_ctx_term(ctx);
		return -ENOMEM;
	}
	zmq_setsockopt(s, ZMQ_LINGER, &linger, sizeof(linger));
	zmq_setsockopt(s, ZMQ_RCVTIMEO, &timeout_ms, sizeof(timeout_ms));
	zmq_setsockopt(s, ZMQ_MAXMSGSIZE, &max, sizeof(max));
	zmq_setsockopt(s, ZMQ_SUBSCRIBE, prefix, strlen(prefix));
	snprintf(address, sizeof(address), "ipc://%s/notices", fc->dir);
	if (zmq_connect(s, address))
		rc = -errno;
	zmq_msg_init(&msg);
	while (!rc) {
		rc = receive(s, topic, &msg);
		if (!rc)
			rc = fn(arg, topic, zmq_msg_data(&msg), zmq_msg_size(&msg));
		else if (rc == -EBADMSG)
			rc = 0;
	}
	zmq_msg_close(&msg);
	zmq_close(s);
	zmq_ctx_term(ctx);
	return rc == -EAGAIN ? -ETIMEDOUT : rc;
}
