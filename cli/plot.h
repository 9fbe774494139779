/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Line charts as SVG or PNG, drawn by gnuplot.
 *
 * HOW IT WORKS gnuplot runs as a child process without a shell and without the user's settings; it
 * reads script and numbers from a file that is its standard input, and its standard output is the
 * picture. No name from a log ever gets into a script: texts are constants of this program.
 */
#ifndef FORECACHED_CLI_PLOT_H
#define FORECACHED_CLI_PLOT_H

#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>

#define PLOT_MAX_LINES 6
#define PLOT_PACKAGE   "gnuplot-nox" /* what to install where it is missing, on Debian */

enum plot_format {
	PLOT_SVG,    /* a file of its own, on white */
	PLOT_INLINE, /* an <svg> element for a page: the text has the page's colour */
	PLOT_PNG
};

enum plot_style { PLOT_POINTS, PLOT_STEPS };

struct plot_line {
	const char *title; /* NULL: none in the legend */
	const double *x, *y;
	size_t n; /* where either is NAN there is no point */
};

struct plot {
	const char *name;  /* of letters: tells apart what several charts of one page define */
	const char *about; /* for those who cannot see it */
	const char *x_label, *y_label, *x_tics;
	double x_lo, x_hi; /* both 0: as the data are */
	int width, height; /* of the SVG; a PNG has 1.5 times as many pixels */
	bool log_x;
	enum plot_style style;
	struct plot_line line[PLOT_MAX_LINES];
	size_t n_lines;
};

/* Is there a gnuplot in $PATH? */
bool plot_possible(void);

/*
 * The picture, n bytes and a NUL behind them, to be freed. NULL with an error that says what to do.
 */
char *plot_draw(const struct plot *p, enum plot_format format, size_t *ret_n, struct fault *reterr);

#endif
