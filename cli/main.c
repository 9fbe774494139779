/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/cli.h"

#include "base/near.h"
#include "cli/ask.h"
#include "cli/options.h"
#include "cli/term.h"

#include "config.h"

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct cli cli = {.timeout_s = 5};

/* In the order of `forecache help`: what a newcomer needs first stands first. */
static const struct command {
	const char *name;
	command_fn *run;
	const char *brief;
	const char *group; /* set at the first row of a group */
} commands[] = {
        {"endpoints", cmd_endpoints, "The endpoints, and what was learned of each", "See"},
        {"ttls", cmd_ttls, "The keys with their TTLs, hottest first", NULL},
        {"why", cmd_why, "Why a TTL is what it is, and what would change it", NULL},
        {"forecast", cmd_forecast, "The requests that are expected, drawn", NULL},
        {"stats", cmd_stats, "Everything that the daemon counts", NULL},
        {"top", cmd_top, "The hottest endpoints or keys, refreshed", NULL},
        {"monitor", cmd_monitor, "The daemon's notices as they come", NULL},
        {"get", cmd_get, "Print a value", "Values"},
        {"set", cmd_set, "Put a value into the cache", NULL},
        {"del", cmd_del, "Take values out", NULL},
        {"changed", cmd_changed, "Say that the origin's value has changed", NULL},
        {"ttl", cmd_ttl, "The TTL that is advised for a key", NULL},
        {"purge", cmd_purge, "Take out a key, all of an endpoint, or everything", NULL},
        {"schedule", cmd_schedule,
         "Peaks that are known beforehand: add, list, remove, next, report", "Operate"},
        {"prewarm", cmd_prewarm, "Load now what is likely to be asked for", NULL},
        {"pause", cmd_pause, "Stop learning, prefetching or both for a while", NULL},
        {"resume", cmd_resume, "End a pause", NULL},
        {"export", cmd_export, "What was learned, as a file", NULL},
        {"import", cmd_import, "Learn from such a file: of another daemon, or of a simulation",
         NULL},
        {"watch", cmd_watch, "Look at URLs again and again: how often do they change, which TTL?",
         "Without a daemon"},
        {"simulate", cmd_simulate, "What caching policies would have done with recorded requests",
         NULL},
        {"report", cmd_report, "The same and more as a page to send to a colleague", NULL},
        {"backtest", cmd_backtest, "How good demand forecasts would have been on a recorded series",
         NULL},
        {"config", cmd_config, "config check: is the daemon's configuration right?", NULL},
        {"help", cmd_help, "This overview, or the help of one command", NULL},
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

/* -- Talk ------------------------------------------------------------------------------------- */

static void talk(const char *fmt, va_list ap)
{
	fflush(stdout); /* so that the two streams come in order on a terminal */
	fputs("forecache: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

void cli_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	talk(fmt, ap);
	va_end(ap);
}

int cli_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	talk(fmt, ap);
	va_end(ap);
	return CLI_ERROR;
}

int cli_usage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	talk(fmt, ap);
	va_end(ap);
	return CLI_USAGE;
}

/* -- Signals ----------------------------------------------------------------------------------- */

static volatile sig_atomic_t caught;

static void on_signal(int sig)
{
	caught = sig;
}

void cli_catch_signals(void)
{
	/* no SA_RESTART: a blocking call returns, so that the loop sees the signal at once */
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND};

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

bool cli_interrupted(void)
{
	return caught != 0;
}

int cli_signal_status(void)
{
	return 128 + caught;
}

/* -- Help -------------------------------------------------------------------------------------- */

static void overview(void)
{
	printf("forecache: talk to forecached, the caching daemon that learns TTLs\n"
	       "\n"
	       "%sExamples%s\n"
	       "  forecache endpoints                       # what is cached, and what was learned "
	       "of it\n"
	       "  forecache why /quotes/IBM                 # why this TTL\n"
	       "  forecache forecast '/quotes/<symbol>'     # the demand of the next hours, drawn\n"
	       "  forecache watch https://api.example/x     # measure an API; needs no daemon\n"
	       "\n"
	       "%sUsage%s  forecache [--dir DIR] [--json] COMMAND [ARGUMENT]... [OPTION]...\n",
	       term_on(TERM_BOLD), term_off(TERM_BOLD), term_on(TERM_BOLD), term_off(TERM_BOLD));
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (commands[i].group)
			printf("\n%s%s%s\n", term_on(TERM_BOLD), commands[i].group,
			       term_off(TERM_BOLD));
		printf("  %-10s %s\n", commands[i].name, commands[i].brief);
	}
	printf("\n`forecache COMMAND --help` has examples and options of each.\n"
	       "Exit status: 0 ok, 1 error, 2 usage, 3 not found, 69 daemon unreachable.\n");
}

static int unknown_command(const char *name)
{
	struct near near = near_to(bytes_str(name));

	for (size_t i = 0; i < N_COMMANDS; i++)
		near_offer(&near, commands[i].name);
	if (near.name)
		return cli_usage("there is no command \"%s\"; did you mean \"%s\"?", name,
		                 near.name);
	return cli_usage("there is no command \"%s\"; `forecache help` lists them", name);
}

int cmd_help(int argc, char **argv)
{
	static const struct usage usage = {
	        .synopsis = "[COMMAND]",
	        .brief = "Shows what the commands do.",
	        .examples = "forecache help\n"
	                    "forecache help watch         # the same as: forecache watch --help\n",
	        .max_args = 1,
	};
	bool words = false;
	const struct option_row rows[] = {
	        {"words", 0, OPTION_FLAG, &words, 0, 0, NULL,
	         "only the names of all commands, one a line"},
	};
	int status = options_parse(&usage, rows, 1, &argc, &argv);
	const struct command *c;

	if (status >= 0)
		return status;
	if (words) {
		for (size_t i = 0; i < N_COMMANDS; i++)
			puts(commands[i].name);
		return CLI_OK;
	}
	if (argc == 0) {
		overview();
		return CLI_OK;
	}
	c = find(argv[0]);
	if (!c)
		return unknown_command(argv[0]);
	return c->run(2, (char *[]){(char *)c->name, (char *)"--help", NULL});
}

/* Output that did not get to the disk or pipe is an error even if all else went well. */
static int flushed(int status)
{
	bool failed = fflush(stdout) || ferror(stdout);

	if (failed && errno != EPIPE)
		return cli_error("writing the output failed: %s", strerror(errno));
	return failed ? CLI_ERROR : status;
}

int main(int argc, char **argv)
{
	bool help, version;
	int status;
	const struct command *c;

	setlocale(LC_CTYPE, ""); /* for the width of characters; numbers stay in the C locale */
	signal(SIGPIPE, SIG_IGN);
	status = options_parse_common(&argc, &argv, &help, &version);
	if (status >= 0)
		return status;
	if (version) {
		printf("forecache %s\n", PACKAGE_VERSION);
		return flushed(CLI_OK);
	}
	if (help) {
		overview();
		return flushed(CLI_OK);
	}
	if (argc == 0)
		return cli_usage("which command? `forecache help` lists them");
	c = find(argv[0]);
	status = c ? flushed(c->run(argc, argv)) : unknown_command(argv[0]);
	ask_teardown();
	return status;
}
