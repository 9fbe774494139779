/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/term.h"

#include "cli/cli.h"

#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool term_is_tty(void)
{
	return isatty(STDOUT_FILENO);
}

static bool has_color(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return !cli.no_color && !(no && *no) && term && strcmp(term, "dumb") && term_is_tty();
}

bool term_has_utf8(void)
{
	return !strcmp(nl_langinfo(CODESET), "UTF-8");
}

/* 0: neither the terminal nor the environment says. */
static int size(bool height, const char *name)
{
	struct winsize w;
	const char *text = getenv(name);
	int n = text ? atoi(text) : 0;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && (height ? w.ws_row : w.ws_col) > 0)
		return height ? w.ws_row : w.ws_col;
	return n >= 20 && n <= 1000 ? n : 0;
}

bool term_has_width(void)
{
	return term_is_tty() || size(false, "COLUMNS");
}

int term_width(void)
{
	int n = size(false, "COLUMNS");

	return n ? n : 100;
}

int term_height(void)
{
	int n = size(true, "LINES");

	return n ? n : 24;
}

const char *term_on(enum term_style s)
{
	static const char *const on[TERM_STYLES] = {
	        [TERM_PLAIN] = "",        [TERM_BOLD] = "\033[1m",  [TERM_DIM] = "\033[2m",
	        [TERM_GOOD] = "\033[32m", [TERM_WARN] = "\033[33m", [TERM_BAD] = "\033[31m",
	};

	return has_color() ? on[s] : "";
}

const char *term_off(enum term_style s)
{
	return s != TERM_PLAIN && has_color() ? "\033[0m" : "";
}
