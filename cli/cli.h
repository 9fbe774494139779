/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The forecache command: what its subcommands share.
 *
 * HOW IT WORKS main.c has one row per subcommand; each row's function gets its own argc and argv
 * (argv[0] is the subcommand), parses them with options.h, does its work and returns an exit
 * status. Data goes to stdout, talk to stderr (cli_say, cli_error), so that `forecache ttls --json
 * | jq` works whatever else is being said.
 *
 * OWNERSHIP `cli` is filled by the option parser before a subcommand does anything, and then read
 * only.
 */
#ifndef FORECACHED_CLI_CLI_H
#define FORECACHED_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

enum cli_status {
	CLI_OK = 0,
	CLI_ERROR = 1,
	CLI_USAGE = 2,
	CLI_NOT_FOUND = 3,
	CLI_UNREACHABLE = 69, /* EX_UNAVAILABLE of sysexits.h */
};

/* The options that every subcommand has. */
struct cli {
	const char *dir;  /* --dir; NULL: $FORECACHED_DIR and so on */
	bool json;        /* --json */
	bool no_color;    /* --no-color */
	double timeout_s; /* --timeout */
};
extern struct cli cli;

/*
 * One line on stderr, "forecache: ..." in front. cli_error returns CLI_ERROR, cli_usage CLI_USAGE.
 */
__attribute__((format(printf, 1, 2))) void cli_say(const char *fmt, ...);
__attribute__((format(printf, 1, 2))) int cli_error(const char *fmt, ...);
__attribute__((format(printf, 1, 2))) int cli_usage(const char *fmt, ...);

/*
 * Set by SIGINT and SIGTERM once cli_catch_signals() was called: commands that take long end their loop
 * then, clean up, and return cli_signal_status(), 128 + the signal; or 0 where Ctrl-C is the way to end.
 */
void cli_catch_signals(void);
bool cli_interrupted(void);
int cli_signal_status(void);

/* The subcommands: in the file of that name, or where it says. */
typedef int command_fn(int argc, char **argv);
command_fn cmd_get, cmd_set, cmd_del, cmd_changed, cmd_ttl; /* value.c */
command_fn cmd_ttls, cmd_endpoints;                         /* ttls.c */
command_fn cmd_why;
command_fn cmd_forecast;
command_fn cmd_stats;
command_fn cmd_top;
command_fn cmd_monitor;
command_fn cmd_watch;
command_fn cmd_schedule;
command_fn cmd_prewarm, cmd_pause, cmd_resume, cmd_purge; /* control.c */
command_fn cmd_export, cmd_import;                        /* state.c */
command_fn cmd_config;                                    /* config_check.c */
command_fn cmd_simulate;
command_fn cmd_report;
command_fn cmd_backtest;
command_fn cmd_help; /* main.c */

#endif
