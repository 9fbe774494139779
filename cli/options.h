/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Options of a subcommand as a table: the parser, --help and the shell completion come from it.
 *
 *	static const struct usage usage = { .synopsis = "[ENDPOINT]", .max_args = 1, ... };
 *	double limit = 100;
 *	const struct option_row rows[] = {
 *		{ "limit", 'n', OPTION_COUNT, &limit, 1, 1e6, "N", "at most N rows" },
 *	};
 *	int status = options_parse(&usage, rows, 1, &argc, &argv);
 *
 *	if (status >= 0)
 *		return status;
 *
 * The options of `struct cli` (--json, --dir, ...) are added to every table, -h and --help too.
 */
#ifndef FORECACHED_CLI_OPTIONS_H
#define FORECACHED_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

enum option_kind {
	OPTION_FLAG, /* into: bool */
	OPTION_TEXT, /* into: const char *, pointing into argv */
	/* the same, and the value may be left out: then "". Written --name=VALUE, no letter */
	OPTION_MAYBE,
	OPTION_NUMBER, /* into: double within lo .. hi */
	OPTION_COUNT,  /* into: double, whole, within lo .. hi */
	/* into: double seconds within lo .. hi, typed as 30, 30s, 5m, 1.5h, 2d, 250ms */
	OPTION_SPAN,
	OPTION_LIST, /* into: struct option_list; may be given again and again */
};

#define OPTION_LIST_MAX 64

struct option_list {
	const char *item[OPTION_LIST_MAX];
	size_t n;
};

struct option_row {
	const char *name; /* without the dashes */
	char letter;      /* 0: none */
	enum option_kind kind;
	void *into;
	double lo, hi;
	const char *arg, *help;
};

struct usage {
	const char *synopsis;   /* what stands between the command's name and [OPTION]... */
	const char *brief;      /* one sentence */
	const char *examples;   /* lines "forecache ...   # what it does", each with its newline */
	const char *details;    /* may be NULL */
	int min_args, max_args; /* positional ones; max < 0: any number */
	int may_be_empty;       /* which of them, counted from 1, may be ""; 0: none */
};

/*
 * Parses argv[1..], moves positional arguments to the front (argv[0] is the first of them when
 * done). Returns -1 to go on, else the exit status: CLI_OK after --help, CLI_USAGE after a
 * complaint on stderr.
 */
int options_parse(const struct usage *u, const struct option_row *row, size_t n, int *argc,
                  char ***argv);

/* A word that stands after a command: `schedule add`. */
struct subcommand {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is "schedule add" */
};

/* Runs the one that argv[1] names, or says which there are. Gives the exit status. */
int options_subcommand(const struct usage *u, const struct subcommand *sub, size_t n, int argc,
                       char **argv);

/* The common options in front of the subcommand, as main() gets them. Returns as options_parse. */
int options_parse_common(int *argc, char ***argv, bool *ret_help, bool *ret_version);

#endif
