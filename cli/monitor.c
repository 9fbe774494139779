/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * monitor: the daemon's notices, one a line.
 *
 * HOW IT WORKS a subscriber is not told that the publisher has gone, and waits for one that comes back
 * by itself. So when nothing has come for a while the daemon is asked whether it is there; what is said
 * of it is said once, and notices go on when it is back.
 */
#include "cli/cli.h"

#include "cli/ask.h"
#include "cli/human.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/term.h"
#include "daemon/message_json.h"
#include "base/near.h"
#include "base/text.h"
#include "proto/notice.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

static void print_line(const struct row_notice *n)
{
	char when[HUMAN_MAX], x[HUMAN_MAX], *what = text_printable(n->what),
	                                    *endpoint = text_printable(n->endpoint);
	char *key = text_printable(n->key), *name = text_printable(n->name),
	     *text = text_printable(n->text);

	printf("%s  %s%-8s%s", human_time(when, instant_s(n->time_s), false), term_on(TERM_BOLD),
	       what, term_off(TERM_BOLD));
	if (*name)
		printf("  %s", name);
	if (*key)
		printf("  %s", key);
	if (*endpoint)
		printf("  %s", endpoint);
	if (n->wanted || n->warm || n->left)
		printf("  %" PRIu64 " of %" PRIu64 " warm, %" PRIu64 " left to demand", n->warm,
		       n->wanted, n->left);
	if (isfinite(n->value) && n->value != 0)
		printf("  x%s", human_number(x, n->value));
	if (n->count)
		printf("  %" PRIu64, n->count);
	if (*text)
		printf("  %s", text);
	putchar('\n');
	free(what);
	free(endpoint);
	free(key);
	free(name);
	free(text);
}

/* Silence of so many looks at the socket, a quarter of a second each, and the daemon is asked. */
#define LOOKS_OF_SILENCE 8

static const char *const kinds[] = {
#define X(name) #name,
        NOTICE_KIND_TABLE(X)
#undef X
};
#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* CLI_OK when "KIND" or "KIND:ENDPOINT" begins with one that there is, else a complaint. */
static int check_kind(const char *what)
{
	char typed[64], all[256] = "";
	struct near near;
	size_t n = 0;

	snprintf(typed, sizeof(typed), "%.*s", (int)strcspn(what, ":"), what);
	near = near_to(bytes_str(typed));
	for (size_t i = 0; i < N_KINDS; i++) {
		if (!strcmp(kinds[i], typed))
			return CLI_OK;
		near_offer(&near, kinds[i]);
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s", i ? ", " : "", kinds[i]);
	}
	return cli_usage("monitor: \"%s\" is not one of %s%s%s%s", typed, all,
	                 near.name ? "; did you mean " : "", near.name ? near.name : "",
	                 near.name ? "?" : "");
}

/* The daemon has been heard of. */
static void is_there(bool *gone)
{
	if (*gone)
		cli_say("the daemon is back");
	*gone = false;
}

/* Looks whether the daemon is there, and says when that is no longer so, or again. */
static void look_for_daemon(bool *gone)
{
	bool there = ask_there(*gone) == CLI_OK;

	if (cli_interrupted())
		return;
	if (there)
		is_there(gone);
	else if (!*gone)
		cli_say("waiting for it to come back");
	*gone = !there;
}

/* The second frame of a notice on stdout; says when some were missed. */
static void show(struct bytes frame, uint64_t *seq, bool all)
{
	struct proto_limits limits = proto_limits_default();
	struct proto_error err;
	struct row_notice n;
	struct message m;

	message_init(&m);
	if (message_read(&m, frame, &limits, &err) || notice_read(&n, m.root, &err)) {
		cli_say("a notice that cannot be read: %s", err.text);
	} else {
		if (all && *seq && n.seq > *seq + 1)
			cli_say("%" PRIu64 " notice%s missed", n.seq - *seq - 1,
			        n.seq - *seq > 2 ? "s were" : " was");
		*seq = n.seq;
		if (cli.json) {
			cJSON *item = message_to_json(m.root);
			char *text = cJSON_PrintUnformatted(item);

			puts(text ? text : "null");
			cJSON_free(text);
			cJSON_Delete(item);
		} else {
			print_line(&n);
		}
		fflush(stdout);
	}
	message_release(&m);
}

/*
 * Both frames of the next notice within a quarter of a second, so that signals are seen. 0 or -1.
 */
static int receive(void *s, zmq_msg_t *topic, zmq_msg_t *body)
{
	zmq_pollitem_t item = {.socket = s, .events = ZMQ_POLLIN};

	if (zmq_poll(&item, 1, 250) <= 0)
		return -1;
	if (zmq_msg_recv(topic, s, ZMQ_DONTWAIT) < 0 || !zmq_msg_more(topic))
		return -1;
	return zmq_msg_recv(body, s, ZMQ_DONTWAIT) < 0 ? -1 : 0;
}

int cmd_monitor(int argc, char **argv)
{
	static const struct usage usage = {
	        .synopsis = "[KIND[:ENDPOINT]]",
	        .brief = "Prints the daemon's notices as they come, until Ctrl-C: changed values, "
	                 "schedules whose time has come, new endpoints, jumps of the demand, "
	                 "refused events.",
	        .examples = "forecache monitor\n"
	                    "forecache monitor 'changed:/quotes/<symbol>'\n"
	                    "forecache monitor peak --json\n",
	        .details = "KIND is changed, peak, endpoint, jump, refused, reload or stop. With "
	                   "--json each line is an object. Notices are hints: a slow reader "
	                   "misses some, and is told so. So it is when the daemon is gone or "
	                   "hangs; the notices of the next one follow.",
	        .max_args = 1,
	};
	double count = HUGE_VAL;
	const struct option_row rows[] = {
	        {"count", 0, OPTION_COUNT, &count, 1, 1e9, "N", "stop after N notices"},
	};
	int status = options_parse(&usage, rows, 1, &argc, &argv), linger = 0;
	char address[ASK_ADDRESS_MAX];
	bool gone = false;
	uint64_t seq = 0;
	int silent = 0;
	void *s;

	if (status >= 0)
		return status;
	status = argc ? check_kind(argv[0]) : CLI_OK;
	if (status)
		return status;
	status = ask_address("notices", address);
	if (status)
		return status;
	cli_catch_signals();
	s = ask_context() ? zmq_socket(ask_context(), ZMQ_SUB) : NULL;
	if (!s)
		return cli_error("zmq_socket: %s", zmq_strerror(errno));
	zmq_setsockopt(s, ZMQ_LINGER, &linger, sizeof(linger));
	zmq_setsockopt(s, ZMQ_SUBSCRIBE, argc ? argv[0] : "", argc ? strlen(argv[0]) : 0);
	if (zmq_connect(s, address))
		status = cli_error("%s: %s", address, zmq_strerror(errno));
	while (!status && count > 0 && !cli_interrupted()) {
		zmq_msg_t topic, body;

		zmq_msg_init(&topic);
		zmq_msg_init(&body);
		if (!receive(s, &topic, &body)) {
			show(bytes_of(zmq_msg_data(&body), zmq_msg_size(&body)), &seq, argc == 0);
			count--;
			silent = 0;
			is_there(&gone);
		} else if (++silent >= LOOKS_OF_SILENCE && !cli_interrupted()) {
			look_for_daemon(&gone);
			silent = 0;
		}
		zmq_msg_close(&topic);
		zmq_msg_close(&body);
		if (ferror(stdout))
			break;
	}
	zmq_close(s);
	return status ? status : cli_interrupted() ? cli_signal_status() : CLI_OK;
}
