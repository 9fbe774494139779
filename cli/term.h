/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the terminal can do. Colour only on a terminal, never when $NO_COLOR is set, $TERM is "dumb"
 * or --no-color was given; block characters only in a UTF-8 locale.
 */
#ifndef FORECACHED_CLI_TERM_H
#define FORECACHED_CLI_TERM_H

#include <stdbool.h>

enum term_style { TERM_PLAIN, TERM_BOLD, TERM_DIM, TERM_GOOD, TERM_WARN, TERM_BAD, TERM_STYLES };

bool term_is_tty(void); /* of stdout */
bool term_has_utf8(void);
bool term_has_width(void); /* of stdout: it is a terminal, or $COLUMNS says */
int term_width(void);      /* of stdout; $COLUMNS, else 100, where stdout is not a terminal */
int term_height(void);     /* 24 where unknown */

/* The escape sequence that starts the style, and the one that ends it; both "" without colour. */
const char *term_on(enum term_style s);
const char *term_off(enum term_style s);

#endif
