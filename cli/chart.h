/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A forecast drawn with block characters: solid up to where it surely goes, shaded where it may go,
 * a heavy line where it most likely goes, with a scale on the left and the time below.
 *
 *	  12 |            ▒▒▒
 *	     |       ▒▒▒▒▒━━━▒▒
 *	   6 |    ▒▒━━━━━━▄▄▄━━▒▒▒
 *	     |━━━━━━█████████████━━━
 *	   0 +----------------------
 *	      08:00     09:00
 *
 * OWNERSHIP everything is read during the call only.
 */
#ifndef FORECACHED_CLI_CHART_H
#define FORECACHED_CLI_CHART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct chart_point {
	double t_s; /* seconds since 1970; labels are in this machine's local time */
	double mid, lo, hi;
};

#define CHART_MARGIN 9 /* columns left of the first point */

/* One column per point, `height` rows (>= 2) and two lines of time axis. */
void chart_draw(FILE *f, const struct chart_point *p, size_t n, int height, bool utf8);

/* One line of n columns whose heights are v / max(v); "" for what is not finite. */
void chart_spark(FILE *f, const double *v, size_t n, bool utf8);

/*
 * The smallest pleasant step in seconds (1 min, 2, 5, 10, 15, 20, 30, 1 h, ...) that covers span in
 * n steps.
 */
double chart_step(double span_s, size_t n);

#endif
