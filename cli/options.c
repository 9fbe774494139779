/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/options.h"

#include "cli/cli.h"
#include "cli/human.h"
#include "cli/term.h"

#include "base/bug.h"
#include "base/near.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 40

/* getopt_long's values of rows: above any character, so that letters and rows do not mix. */
#define ROW_BASE    1000
#define ROW_HELP    2000
#define ROW_WORDS   2001
#define ROW_VERSION 2002

static const struct option_row common[] = {
        {"json", 0, OPTION_FLAG, &cli.json, 0, 0, NULL, "print JSON"},
        {"dir", 0, OPTION_TEXT, &cli.dir, 0, 0, "DIR",
         "where the daemon's sockets are (else $FORECACHED_DIR, $XDG_RUNTIME_DIR/forecached, "
         "/run/forecached)"},
        {"timeout", 0, OPTION_SPAN, &cli.timeout_s, 0.01, 600, "TIME",
         "wait this long for the daemon (5s)"},
        {"no-color", 0, OPTION_FLAG, &cli.no_color, 0, 0, NULL, "no colours (also: $NO_COLOR)"},
};
#define N_COMMON (sizeof(common) / sizeof(common[0]))

__attribute__((format(printf, 2, 3))) static int complain(const char *command, const char *fmt, ...)
{
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return cli_usage("%s; try `forecache %s%s--help`", what, command ? command : "",
	                 command ? " " : "");
}

/* The option's value into its variable. -1, or the exit status after a complaint. */
static int take(const char *command, const struct option_row *row, const char *text)
{
	char *end;
	double x = NAN;

	switch (row->kind) {
	case OPTION_FLAG:
		*(bool *)row->into = true;
		return -1;
	case OPTION_TEXT:
		*(const char **)row->into = text;
		return -1;
	case OPTION_MAYBE:
		*(const char **)row->into = text ? text : "";
		return -1;
	case OPTION_LIST: {
		struct option_list *list = row->into;

		if (list->n == OPTION_LIST_MAX)
			return complain(command, "--%s: given more than %d times", row->name,
			                OPTION_LIST_MAX);
		list->item[list->n++] = text;
		return -1;
	}
	case OPTION_SPAN:
		if (human_parse_span(text, &x))
			return complain(command,
			                "--%s: \"%.40s\" is not a time like 30s, 5m, 1.5h or 2d",
			                row->name, text);
		break;
	case OPTION_NUMBER:
	case OPTION_COUNT:
		errno = 0;
		x = strtod(text, &end);
		if (end == text || *end || !isfinite(x) ||
		    (row->kind == OPTION_COUNT && x != floor(x)))
			return complain(command, "--%s: \"%.40s\" is not a %snumber", row->name,
			                text, row->kind == OPTION_COUNT ? "whole " : "");
		break;
	}
	if (!(x >= row->lo && x <= row->hi))
		return complain(command, "--%s: %.40s is not within %.15g .. %.15g%s", row->name,
		                text, row->lo, row->hi, row->kind == OPTION_SPAN ? " seconds" : "");
	*(double *)row->into = x;
	return -1;
}

static int unknown_option(const char *command, const char *typed,
                          const struct option_row *const *row, size_t n)
{
	char name[64];
	struct near near;

	if (strncmp(typed, "--", 2))
		return complain(command, "unknown option %.60s", typed);
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(typed + 2, "="), typed + 2);
	near = near_to(bytes_str(name));
	for (size_t i = 0; i < n; i++)
		near_offer(&near, row[i]->name);
	near_offer(&near, "help");
	if (near.name)
		return complain(command, "unknown option --%s; did you mean --%s?", name,
		                near.name);
	return complain(command, "unknown option --%s", name);
}

/* What getopt_long is told of the rows. */
struct spelled {
	struct option option[ROWS_MAX + 3];
	char letters[2 * ROWS_MAX + 8];
};

/* `in_order`: stop at the first positional argument, where there may be a version to ask for. */
static void spell_out(const struct option_row *const *row, size_t n, bool in_order,
                      struct spelled *ret)
{
	struct option *o = ret->option;
	char *l = ret->letters;

	BUG_ON(n > ROWS_MAX);
	*ret = (struct spelled){0};
	if (in_order)
		*l++ = '+';
	*l++ = ':'; /* a value that is missing is told from an option that there is not */
	*l++ = 'h';
	for (size_t i = 0; i < n; i++) {
		bool arg = row[i]->kind != OPTION_FLAG;
		int has_arg = row[i]->kind == OPTION_MAYBE ? optional_argument
		              : arg                        ? required_argument
		                                           : no_argument;

		*o++ = (struct option){row[i]->name, has_arg, NULL, ROW_BASE + (int)i};
		if (row[i]->letter) {
			*l++ = row[i]->letter;
			if (arg)
				*l++ = ':';
		}
	}
	*o++ = (struct option){"help", no_argument, NULL, ROW_HELP};
	*o++ = in_order ? (struct option){"version", no_argument, NULL, ROW_VERSION}
	                : (struct option){"help-words", no_argument, NULL, ROW_WORDS};
}

/* What getopt_long took c for: ':', '?', a letter, or the number of a row. */
static int take_option(const char *command, const struct option_row *const *row, size_t n, int c,
                       const char *typed)
{
	char letter[3] = {'-', (char)optopt, '\0'};
	size_t i = 0;

	if (c == ':')
		return complain(command, "%.60s needs a value", typed);
	if (c == '?' && optopt >= ROW_BASE)
		return complain(command, "%.60s takes no value", typed);
	if (c == '?')
		return unknown_option(command, optopt ? letter : typed, row, n);
	if (c >= ROW_BASE)
		return take(command, row[c - ROW_BASE], optarg);
	while (row[i]->letter != c)
		i++;
	return take(command, row[i], optarg);
}

/* What is not for the command to do, but asks of it. */
struct asked {
	bool help, words, version;
};

/* Runs getopt_long over the rows; argc and argv become what is left. -1, or the exit status. */
static int parse(const char *command, const struct option_row *const *row, size_t n, int *argc,
                 char ***argv, bool in_order, struct asked *ret)
{
	struct spelled s;
	int c, which, status;

	spell_out(row, n, in_order, &s);
	*ret = (struct asked){0};
	opterr = 0;
	optind = 0; /* glibc: start afresh, as getopt keeps its place between calls */
	while ((c = getopt_long(*argc, *argv, s.letters, s.option, &which)) != -1) {
		if (c == 'h' || c == ROW_HELP) {
			ret->help = true;
		} else if (c == ROW_WORDS) {
			ret->words = true;
		} else if (c == ROW_VERSION) {
			ret->version = true;
		} else {
			status = take_option(command, row, n, c, (*argv)[optind - 1]);
			if (status >= 0)
				return status;
		}
	}
	*argc -= optind;
	*argv += optind;
	return -1;
}

/* Text after the indent, broken at blanks so that no line is wider than `width`. */
static void wrapped(const char *text, int indent, int width)
{
	int at = indent;

	while (*text) {
		int word = (int)strcspn(text, " \n");

		if (at > indent && at + 1 + word > width) {
			printf("\n%*s", indent, "");
			at = indent;
		}
		at += printf("%s%.*s", at > indent ? " " : "", word, text);
		text += word;
		if (*text == '\n') {
			printf("\n%*s", text[1] ? indent : 0, "");
			at = indent;
		}
		text += *text != '\0';
	}
	putchar('\n');
}

static void help_row(const struct option_row *row)
{
	char left[64];
	int n = 0;

	if (row->letter)
		n = snprintf(left, sizeof(left), "-%c, ", row->letter);
	snprintf(left + n, sizeof(left) - (size_t)n, "--%s%s%s", row->name,
	         row->arg && row->kind != OPTION_MAYBE ? " " : "", row->arg ? row->arg : "");
	printf("  %-24s ", left);
	if (strlen(left) > 24)
		printf("\n%27s", "");
	wrapped(row->help, 27, 96);
}

static void print_help(const char *command, const struct usage *u, const struct option_row *row,
                       size_t n)
{
	const char *bold = term_on(TERM_BOLD), *off = term_off(TERM_BOLD);

	printf("%sExamples%s\n", bold, off);
	for (const char *p = u->examples; *p; p = strchr(p, '\n') + 1)
		printf("  %.*s\n", (int)strcspn(p, "\n"), p);
	printf("\n%sUsage%s  forecache %s%s%s [OPTION]...\n\n", bold, off, command,
	       *u->synopsis ? " " : "", u->synopsis);
	wrapped(u->brief, 0, 96);
	if (u->details) {
		putchar('\n');
		wrapped(u->details, 0, 96);
	}
	printf("\n%sOptions%s\n", bold, off);
	for (size_t i = 0; i < n; i++)
		help_row(&row[i]);
	for (size_t i = 0; i < N_COMMON; i++)
		help_row(&common[i]);
	help_row(&(struct option_row){.name = "help", .letter = 'h', .help = "this text"});
}

int options_parse(const struct usage *u, const struct option_row *row, size_t n, int *argc,
                  char ***argv)
{
	const struct option_row *all[ROWS_MAX];
	const char *command = (*argv)[0];
	struct asked asked;
	int status;

	BUG_ON(n + N_COMMON > ROWS_MAX);
	for (size_t i = 0; i < n; i++)
		all[i] = &row[i];
	for (size_t i = 0; i < N_COMMON; i++)
		all[n + i] = &common[i];
	status = parse(command, all, n + N_COMMON, argc, argv, false, &asked);
	if (status >= 0)
		return status;
	if (asked.help) {
		print_help(command, u, row, n);
		return CLI_OK;
	}
	if (asked.words) {
		for (size_t i = 0; i < n + N_COMMON; i++)
			printf("--%s\n", all[i]->name);
		puts("--help");
		return CLI_OK;
	}
	if (*argc < u->min_args)
		return complain(command, "%s needs %s", command, u->synopsis);
	for (int i = 0; i < *argc; i++) {
		/* most often a variable of a script that is not set */
		if (!*(*argv)[i] && i + 1 != u->may_be_empty)
			return complain(command, "%s: argument %d is empty", command, i + 1);
	}
	if (u->max_args >= 0 && *argc > u->max_args)
		return complain(command, "%s: \"%.60s\" is one argument too many", command,
		                (*argv)[u->max_args]);
	return -1;
}

int options_subcommand(const struct usage *u, const struct subcommand *sub, size_t n, int argc,
                       char **argv)
{
	const char *command = argv[0];
	struct near near;
	bool words = argc == 2 && !strcmp(argv[1], "--help-words");
	char name[64];
	int status;

	BUG_ON(n > ROWS_MAX);
	for (size_t i = 0; i < n; i++) {
		if (words)
			puts(sub[i].name);
		if (argc < 2 || strcmp(argv[1], sub[i].name))
			continue;
		snprintf(name, sizeof(name), "%s %s", command, sub[i].name);
		argv[1] = name;
		return sub[i].run(argc - 1, argv + 1);
	}
	status = options_parse(u, NULL, 0, &argc, &argv);
	if (status >= 0)
		return status;
	near = near_to(bytes_str(argv[0]));
	for (size_t i = 0; i < n; i++)
		near_offer(&near, sub[i].name);
	return cli_usage("%s: there is no \"%s\" in %s%s%s%s", command, argv[0], u->synopsis,
	                 near.name ? "; did you mean \"" : "", near.name ? near.name : "",
	                 near.name ? "\"?" : "");
}

int options_parse_common(int *argc, char ***argv, bool *ret_help, bool *ret_version)
{
	const struct option_row *all[N_COMMON];
	struct asked asked;
	int status;

	for (size_t i = 0; i < N_COMMON; i++)
		all[i] = &common[i];
	status = parse(NULL, all, N_COMMON, argc, argv, true, &asked);
	*ret_help = asked.help;
	*ret_version = asked.version;
	return status;
}
