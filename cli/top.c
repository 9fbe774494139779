/* SPDX-License-Identifier: GPL-3.0-or-later */
/* top: the hottest endpoints or keys, again and again. */
#include "cli/cli.h"

#include "cli/ask.h"
#include "cli/human.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/term.h"
#include "cli/ttls.h"
#include "daemon/message_json.h"

#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/*
 * Home, and clear what is below: no flicker, and nothing of what stood above the program is lost.
 */
#define HOME_AND_CLEAR "\033[H\033[J"
#define ALTERNATE_ON   "\033[?1049h"
#define ALTERNATE_OFF  "\033[?1049l"

struct counters {
	double requests, hits, grace, misses, loads, errors;
};

static double sum(const cJSON *object)
{
	const cJSON *item;
	double total = 0;

	cJSON_ArrayForEach(item, object)
	{
		if (cJSON_IsNumber(item))
			total += item->valuedouble;
	}
	return total;
}

static int read_counters(struct counters *ret)
{
	struct request r;
	cJSON *stats;
	int status;

	request_init(&r);
	r.op = OP_STATS;
	status = ask_json(&r, &stats);
	request_release(&r);
	if (status)
		return status;
	*ret = (struct counters){
	        .requests = json_num(stats, "requests"),
	        .hits = json_num(stats, "hits"),
	        .grace = json_num(stats, "grace"),
	        .misses = json_num(stats, "misses"),
	        .loads = sum(cJSON_GetObjectItemCaseSensitive(stats, "loads")),
	        .errors = json_num(stats, "load_errors"),
	};
	cJSON_Delete(stats);
	return CLI_OK;
}

/* What happened between two looks, per second. */
static void print_head(const struct counters *c, const struct counters *was, double dt_s)
{
	char rate[HUMAN_MAX], hits[HUMAN_MAX], loads[HUMAN_MAX], errors[HUMAN_MAX];
	double requests = c->requests - was->requests;
	char now[HUMAN_MAX];

	printf("%s  ", human_time(now, (double)time(NULL), false));
	if (!(dt_s > 0)) {
		printf("%.0f requests since the start of the daemon\n\n", c->requests);
		return;
	}
	printf("%s requests/s, %s hits, %s loads/s, %s errors/s\n\n",
	       human_number(rate, requests / dt_s),
	       human_share(hits, requests > 0
	                                 ? (c->hits + c->grace - was->hits - was->grace) / requests
	                                 : NAN),
	       human_number(loads, (c->loads - was->loads) / dt_s),
	       human_number(errors, (c->errors - was->errors) / dt_s));
}

/* Sleeps; false when a signal ended it, or had come before: signals wait until it sleeps. */
static bool pause_s(double s)
{
	struct timespec ts = {(time_t)s, (long)((s - floor(s)) * 1e9)};
	sigset_t ends, was;
	bool slept;

	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigprocmask(SIG_BLOCK, &ends, &was);
	slept = !cli_interrupted() && ppoll(NULL, 0, &ts, &was) == 0;
	sigprocmask(SIG_SETMASK, &was, NULL);
	return slept && !cli_interrupted();
}

int cmd_top(int argc, char **argv)
{
	static const struct usage usage = {
	        .synopsis = "[ENDPOINT]",
	        .brief = "Shows the endpoints, or the hottest keys of one, and refreshes until "
	                 "Ctrl-C.",
	        .examples = "forecache top\n"
	                    "forecache top '/quotes/<symbol>' --every 1s\n"
	                    "forecache top --count 1 > snapshot.txt\n",
	        .max_args = 1,
	};
	double every_s = 2, count = HUGE_VAL;
	bool keys = false;
	const struct option_row rows[] = {
	        {"every", 0, OPTION_SPAN, &every_s, 0.1, 3600, "TIME", "refresh this often (2s)"},
	        {"count", 0, OPTION_COUNT, &count, 1, 1e9, "N", "stop after N tables"},
	        {"keys", 'k', OPTION_FLAG, &keys, 0, 0, NULL, "keys of all endpoints"},
	};
	int status = options_parse(&usage, rows, sizeof(rows) / sizeof(rows[0]), &argc, &argv);
	bool screen = term_is_tty() && !cli.json && isinf(count);
	struct counters c, was = {0};
	struct request r;
	double dt_s = 0;

	if (status >= 0)
		return status;
	status = CLI_OK;
	cli_catch_signals();
	request_init(&r);
	r.op = keys || argc ? OP_TTLS : OP_ENDPOINTS;
	r.endpoint = bytes_str(argc ? argv[0] : NULL);
	r.list.max = (uint32_t)(term_height() > 8 ? term_height() - 5 : 20);
	while (count-- > 0 && !cli_interrupted()) {
		struct answer a;

		status = read_counters(&c);
		if (!status)
			status = ask(&r, &a);
		if (status)
			break;
		if (screen)
			fputs(dt_s > 0 ? HOME_AND_CLEAR : ALTERNATE_ON HOME_AND_CLEAR, stdout);
		if (cli.json) {
			status = json_print(message_to_json(a.reply.result));
		} else {
			print_head(&c, &was, dt_s);
			status = ttls_table(&a, argc ? argv[0] : NULL, r.list.max, stdout);
			if (!screen && count > 0)
				putchar('\n');
		}
		answer_release(&a);
		if (fflush(stdout) || status)
			break;
		was = c;
		dt_s = every_s;
		if (count > 0 && !pause_s(every_s))
			break;
	}
	if (screen && dt_s > 0) {
		fputs(ALTERNATE_OFF, stdout);
		fflush(stdout);
		/* what was said of it is gone with that screen */
		if (status == CLI_UNREACHABLE)
			ask_there(false);
	}
	request_release(&r);
	return cli_interrupted() ? CLI_OK : status;
}
