/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How far a long run is, on stderr: a bar where that is a terminal, else a line now and then.
 *
 *	replaying [#########           ]  31 %, 412 k requests/s, 1 min 20 s left
 *
 * Short runs show nothing.
 */
#ifndef FORECACHED_CLI_BAR_H
#define FORECACHED_CLI_BAR_H

#include <stdbool.h>

struct bar {
	const char *what;
	bool on_terminal, drawn;
	double began_s, next_s; /* of the monotonic clock; next_s: when to say the next line */
};

void bar_begin(struct bar *b, const char *what);

/* The share of the work that is done, 0 .. 1, and the requests so far; 0: they are not counted. */
void bar_draw(struct bar *b, double share, double requests);

/* Takes the bar off the screen. */
void bar_end(struct bar *b);

#endif
