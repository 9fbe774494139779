/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/chart.h"

#include "cli/human.h"
#include "cli/term.h"

#include <math.h>
#include <string.h>
#include <time.h>

/* Eighths of a cell, filled from below. */
static const char *const eighth_utf8[] = {" ",      "\u2581", "\u2582", "\u2583", "\u2584",
                                          "\u2585", "\u2586", "\u2587", "\u2588"};
static const char *const eighth_ascii[] = {" ", "_", "_", "_", "#", "#", "#", "#", "#"};

double chart_step(double span_s, size_t n)
{
	static const double step[] = {60,   120,  300,   600,   900,   1200,  1800,
	                              3600, 7200, 10800, 14400, 21600, 43200, 86400};

	for (size_t i = 0; i < sizeof(step) / sizeof(step[0]); i++)
		if (step[i] * (double)n >= span_s)
			return step[i];
	return ceil(span_s / (double)n / 86400) * 86400;
}

/* The highest value, rounded up to 1, 2, 2.5 or 5 times a power of ten: the top of the scale. */
static double top_of(const struct chart_point *p, size_t n)
{
	static const double nice[] = {1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10};
	double max = 0, unit;

	for (size_t i = 0; i < n; i++) {
		if (isfinite(p[i].hi))
			max = fmax(max, p[i].hi);
		if (isfinite(p[i].mid))
			max = fmax(max, p[i].mid);
	}
	if (!(max > 0))
		return 1;
	unit = pow(10, floor(log10(max)));
	for (size_t i = 0; i < sizeof(nice) / sizeof(nice[0]); i++)
		if (nice[i] * unit >= max)
			return nice[i] * unit;
	return 10 * unit;
}

/* The cell that covers [y, y + cell) of a point. */
static void draw_cell(FILE *f, const struct chart_point *p, double y, double cell, bool utf8)
{
	const char *const *eighth = utf8 ? eighth_utf8 : eighth_ascii;
	double mid = isfinite(p->mid) ? p->mid : 0, lo = isfinite(p->lo) ? p->lo : mid;
	double hi = isfinite(p->hi) ? p->hi : mid;

	if (mid > 0 && mid >= y && mid < y + cell)
		fprintf(f, "%s%s%s", term_on(TERM_BOLD), utf8 ? "\u2501" : "=",
		        term_off(TERM_BOLD));
	else if (lo >= y + cell)
		fputs(eighth[8], f);
	else if (lo > y && mid < y)
		fputs(eighth[(int)((lo - y) / cell * 8)], f);
	else if (hi > y && hi > lo)
		fprintf(f, "%s%s%s", term_on(TERM_DIM), utf8 ? "\u2592" : ":", term_off(TERM_DIM));
	else if (lo > y)
		fputs(eighth[(int)((lo - y) / cell * 8)], f);
	else
		fputc(' ', f);
}

/* Local times at round places: every label has room for itself and a blank. */
static void draw_axis(FILE *f, const struct chart_point *p, size_t n)
{
	char hours[1024], days[1024];
	size_t width = n < sizeof(hours) - 24 ? n : sizeof(hours) - 24, free_h = 0, free_d = 0;
	double step = n > 1 ? p[1].t_s - p[0].t_s : 60, round_s;
	int last_day = -1;

	/* labels at multiples of a step that leaves eight columns from one to the next */
	round_s = chart_step(step * 8, 1);
	memset(hours, ' ', sizeof(hours));
	memset(days, ' ', sizeof(days));
	for (size_t i = 0; i < width; i++) {
		time_t t = (time_t)p[i].t_s;
		struct tm tm;
		double local;
		char text[32];

		if (!localtime_r(&t, &tm))
			continue;
		local = tm.tm_hour * 3600.0 + tm.tm_min * 60.0 + tm.tm_sec;
		if ((i == 0 || fmod(local, round_s) < step) && i >= free_h) {
			strftime(text, sizeof(text), "%H:%M", &tm);
			memcpy(hours + i, text, strlen(text));
			free_h = i + strlen(text) + 1;
		}
		if (tm.tm_yday != last_day && i >= free_d) {
			strftime(text, sizeof(text), "%a %d %b", &tm);
			memcpy(days + i, text, strlen(text));
			free_d = i + strlen(text) + 1;
			last_day = tm.tm_yday;
		}
	}
	hours[free_h - 1] = days[free_d - 1] = '\0'; /* the first column always has its labels */
	fprintf(f, "%*s%s\n%*s%s\n", CHART_MARGIN, "", hours, CHART_MARGIN, "", days);
}

void chart_draw(FILE *f, const struct chart_point *p, size_t n, int height, bool utf8)
{
	double top = top_of(p, n), cell = top / height;

	for (int row = height - 1; row >= 0; row--) {
		char label[HUMAN_MAX];
		/*
		 * the label of a row is its upper edge; only every other one, so that it can be
		 * read
		 */
		bool labelled = (height - 1 - row) % 2 == 0;

		fprintf(f, "%*s %s", CHART_MARGIN - 2,
		        labelled ? human_number(label, cell * (row + 1)) : "",
		        utf8 ? "\u2502" : "|");
		for (size_t i = 0; i < n; i++)
			draw_cell(f, &p[i], cell * row, cell, utf8);
		fputc('\n', f);
	}
	fprintf(f, "%*s %s", CHART_MARGIN - 2, "0", utf8 ? "\u2514" : "+");
	for (size_t i = 0; i < n; i++)
		fputs(utf8 ? "\u2500" : "-", f);
	fputc('\n', f);
	draw_axis(f, p, n);
}

void chart_spark(FILE *f, const double *v, size_t n, bool utf8)
{
	const char *const *eighth = utf8 ? eighth_utf8 : eighth_ascii;
	double max = 0;

	for (size_t i = 0; i < n; i++)
		if (isfinite(v[i]))
			max = fmax(max, v[i]);
	for (size_t i = 0; i < n; i++)
		fputs(isfinite(v[i]) && max > 0 && v[i] > 0
		              ? eighth[1 + (int)fmin(7, v[i] / max * 7.999)]
		              : " ",
		      f);
}
